/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of metadata that describe a stream, as texts KEY=VALUE: in UTF-8, each key once. */
#ifndef DMACAST_META_H
#define DMACAST_META_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* Enough for a key and its NUL. */
#define META_KEY_TEXT 65

/**
 * meta_check() - return true if @text is KEY=VALUE, with a KEY of up to 64 letters, digits, '_', '.' and '-', and a
 * VALUE in UTF-8.
 * @expected: out: on failure, what would be right
 */
bool meta_check(const char *text, const char **expected);

/** meta_key() - copy the key of an item, and return its value. */
const char *meta_key(const char *item, char key[META_KEY_TEXT]);

/** meta_find() - return the value of @key, or NULL. */
const char *meta_find(const struct text_list *meta, const char *key);

#endif
