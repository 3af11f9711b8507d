/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts that may have any bytes, such as names of files, in JSON. */
#ifndef DMACAST_JSON_TEXT_H
#define DMACAST_JSON_TEXT_H

#include <jansson.h>

/**
 * json_text() - return a string; in a text that is not valid UTF-8, '?' replaces each byte above 127. NULL without
 * memory.
 */
json_t *json_text(const char *text);

#endif
