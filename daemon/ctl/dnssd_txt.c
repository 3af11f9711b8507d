// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/dnssd_txt.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Return true if there is a string with this key. */
static bool dnssd_txt_has(const struct dnssd_txt *txt, const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < txt->count; i++) {
		if (!strncasecmp(txt->string[i], key, length) && txt->string[i][length] == '=')
			return true;
	}
	return false;
}

static bool dnssd_is_printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

const char *dnssd_txt_add(struct dnssd_txt *txt, const char *key, const char *value)
{
	size_t length = strlen(key) + 1 + strlen(value);

	if (!*key || strchr(key, '=') || !dnssd_is_printable(key) || !dnssd_is_printable(value))
		return "it has a control character";
	if (dnssd_txt_has(txt, key))
		return "the record has this key already";
	if (length > MAX_TXT_STRING)
		return "it is longer than 255 bytes";
	if (txt->bytes + 1 + length > MAX_TXT_RECORD || txt->count == MAX_TXT_STRINGS)
		return "the record would be longer than 1300 bytes";
	if (asprintf(&txt->string[txt->count], "%s=%s", key, value) < 0)
		err(1, "dnssd");
	txt->count++;
	txt->bytes += 1 + length;
	return NULL;
}

void dnssd_txt_clear(struct dnssd_txt *txt)
{
	while (txt->count)
		free(txt->string[--txt->count]);
	txt->bytes = 0;
}
