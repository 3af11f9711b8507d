// SPDX-License-Identifier: BSD-2-Clause
#include "lib/meta.h"

#include <stdint.h>
#include <string.h>

#define MAX_CODE 0x10ffffU

/* Return the number of bytes after the first one of a character in UTF-8; -1: it is no first byte. */
static int following_bytes(unsigned char first)
{
	if (first < 0x80)
		return 0;
	if ((first & 0xe0) == 0xc0)
		return 1;
	if ((first & 0xf0) == 0xe0)
		return 2;
	return (first & 0xf8) == 0xf0 ? 3 : -1;
}

/* Return the character after the one at @p; NULL if that is not valid UTF-8. */
static const unsigned char *next_character(const unsigned char *p)
{
	static const uint32_t smallest[] = { 0, 0x80, 0x800, 0x10000 };
	int more = following_bytes(*p);
	uint32_t code;

	if (more < 1)
		return more < 0 ? NULL : p + 1;
	code = *p++ & (0x3fU >> more);
	for (int i = 0; i < more; i++, p++) {
		if ((*p & 0xc0) != 0x80)
			return NULL;
		code = code << 6 | (*p & 0x3fU);
	}
	return code < smallest[more] || code > MAX_CODE || (code & ~0x7ffU) == 0xd800 ? NULL : p;
}

static bool is_utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (p && *p)
		p = next_character(p);
	return p;
}

static size_t key_length(const char *text)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return strspn(text, allowed);
}

bool meta_check(const char *text, const char **expected)
{
	size_t length = key_length(text);

	*expected = "a KEY of 1 to 64 letters, digits, '_', '.' or '-'";
	if (!length || length >= META_KEY_TEXT || text[length] != '=')
		return false;
	*expected = "a text in UTF-8";
	return is_utf8(text + length + 1);
}

const char *meta_key(const char *item, char key[META_KEY_TEXT])
{
	size_t length = key_length(item);

	memcpy(key, item, length);
	key[length] = '\0';
	return item + length + 1;
}

const char *meta_find(const struct text_list *meta, const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < meta->count; i++) {
		if (!strncmp(meta->item[i], key, length) && meta->item[i][length] == '=')
			return meta->item[i] + length + 1;
	}
	return NULL;
}
