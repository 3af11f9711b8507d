// SPDX-License-Identifier: BSD-2-Clause
#include "daemon_option.h"

#include "config/option_table.h"

#include <err.h>

void daemon_option_set(struct stream_settings *settings, const char *name, const char *text)
{
	char expected[OPTION_ERROR_TEXT];

	if (!option_set(option_find(OPTION_STREAM, name), OPTION_STREAM, settings, text, expected))
		errx(2, "--%s %s: expected %s", name, text, expected);
}
