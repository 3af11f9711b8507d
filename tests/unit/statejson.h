/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a handover as JSON, which a test can look at and change, and back. What JSON has not is a text: bytes as
 * "hex:00ff", a number above INT64_MAX as "u64:18446744073709551615", no numbers as "numbers:". A list that begins with an
 * object is one of objects.
 */
#ifndef DMACAST_TEST_STATEJSON_H
#define DMACAST_TEST_STATEJSON_H

#include "lib/packed.h"
#include "lib/state.h"

#include <err.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- to JSON ---- */

static inline json_t *statejson_read(const unsigned char **at, const unsigned char *end);

static inline json_t *statejson_bytes(const struct packed_item *item)
{
	char *text = malloc(item->length * 2 + sizeof("hex:"));
	char *to = text + sprintf(text, "hex:");
	json_t *json;

	for (size_t i = 0; i < item->length; i++)
		to += sprintf(to, "%02x", item->bytes[i]);
	json = json_string(text);
	free(text);
	return json;
}

static inline json_t *statejson_number(uint64_t number)
{
	return number > INT64_MAX ? json_sprintf("u64:%" PRIu64, number)
				  : json_integer((json_int_t)number);
}

static inline json_t *statejson_numbers(const unsigned char **at, const unsigned char *end,
					uint64_t count)
{
	json_t *list = json_array();

	if (!count) {
		json_decref(list);
		return json_string("numbers:");
	}
	while (count--)
		json_array_append_new(list, statejson_read(at, end));
	return list;
}

static inline json_t *statejson_list(const unsigned char **at, const unsigned char *end)
{
	json_t *list = json_array(), *item;

	while ((item = statejson_read(at, end)))
		json_array_append_new(list, item);
	return list;
}

static inline json_t *statejson_map(const unsigned char **at, const unsigned char *end)
{
	json_t *map = json_object(), *name;

	while ((name = statejson_read(at, end))) {
		json_object_set_new(map, json_string_value(name), statejson_read(at, end));
		json_decref(name);
	}
	return map;
}

/* Return the next value; NULL: the end of the map or list around it. */
static inline json_t *statejson_read(const unsigned char **at, const unsigned char *end)
{
	struct packed_item item = packed_read(*at, (size_t)(end - *at));

	*at += item.size;
	switch (item.kind) {
	case PACKED_NUMBER:
		return statejson_number(item.number);
	case PACKED_NEGATIVE:
		return json_integer((json_int_t)item.number);
	case PACKED_BOOL:
		return json_boolean(item.number);
	case PACKED_NULL:
		return json_null();
	case PACKED_TEXT:
		return json_stringn((const char *)item.bytes, item.length);
	case PACKED_BYTES:
		return statejson_bytes(&item);
	case PACKED_NUMBERS:
		return statejson_numbers(at, end, item.number);
	case PACKED_LIST:
		return statejson_list(at, end);
	case PACKED_MAP:
		return statejson_map(at, end);
	case PACKED_END:
		return NULL;
	case PACKED_WRONG:
		break;
	}
	errx(1, "not a state");
}

/* Return what state_encode() has returned, for json_decref(). */
static inline json_t *statejson_load(const char *data, size_t length)
{
	const unsigned char *at = (const unsigned char *)data;

	return statejson_read(&at, at + length);
}

/* Return the same as a text, which the caller frees. */
static inline char *statejson_text(const char *data, size_t length)
{
	json_t *json = statejson_load(data, length);
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	if (!text)
		errx(1, "no memory");
	return text;
}

/* ---- from JSON ---- */

static inline void statejson_put(struct packed *packed, const json_t *value);

/* Return false if it is not hexadecimal. */
static inline bool statejson_put_bytes(struct packed *packed, const char *text)
{
	size_t length = strlen(text) / 2;
	unsigned char *bytes = malloc(length + 1);
	bool right = strspn(text, "0123456789abcdef") == strlen(text) && strlen(text) % 2 == 0;

	for (size_t i = 0; right && i < length; i++)
		sscanf(text + 2 * i, "%2hhx", &bytes[i]);
	if (right)
		packed_put_bytes(packed, bytes, length);
	free(bytes);
	return right;
}

static inline void statejson_put_string(struct packed *packed, const char *text)
{
	if (!strncmp(text, "u64:", 4))
		packed_put_number(packed, strtoull(text + 4, NULL, 10));
	else if (!strcmp(text, "numbers:"))
		packed_begin_numbers(packed, 0);
	else if (strncmp(text, "hex:", 4) != 0 || !statejson_put_bytes(packed, text + 4))
		packed_put_text(packed, text, strlen(text));
}

static inline void statejson_put_array(struct packed *packed, const json_t *list)
{
	size_t count = json_array_size(list);
	bool of_objects = !count || json_is_object(json_array_get(list, 0));

	if (of_objects)
		packed_begin_list(packed);
	else
		packed_begin_numbers(packed, count);
	for (size_t i = 0; i < count; i++)
		statejson_put(packed, json_array_get(list, i));
	if (of_objects)
		packed_end(packed);
}

static inline void statejson_put_object(struct packed *packed, const json_t *object)
{
	const char *name;
	json_t *value;

	packed_begin_map(packed);
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		packed_put_text(packed, name, strlen(name));
		statejson_put(packed, value);
	}
	packed_end(packed);
}

static inline void statejson_put(struct packed *packed, const json_t *value)
{
	if (json_is_object(value))
		statejson_put_object(packed, value);
	else if (json_is_array(value))
		statejson_put_array(packed, value);
	else if (json_is_string(value))
		statejson_put_string(packed, json_string_value(value));
	else if (json_is_integer(value))
		packed_put_signed(packed, json_integer_value(value));
	else if (json_is_boolean(value))
		packed_put_bool(packed, json_is_true(value));
	else
		packed_put_null(packed);
}

/* Return @json as state_encode() would, for free(). */
static inline char *statejson_encode(const json_t *json, size_t *length)
{
	struct packed packed = { 0 };

	statejson_put(&packed, json);
	if (packed.no_memory)
		errx(1, "no memory");
	*length = packed.length;
	return (char *)packed.data;
}

/* state_decode() of @json. */
static inline struct state *statejson_decode(const json_t *json, const int *descriptors,
					     size_t count, char wrong[STATE_WRONG_TEXT])
{
	size_t length;
	char *data = statejson_encode(json, &length);
	struct state *state = state_decode(data, length, descriptors, count, wrong);

	free(data);
	return state;
}

/* The same for a text. What is no JSON is null. */
static inline struct state *statejson_decode_text(const char *text, const int *descriptors,
						  size_t count, char wrong[STATE_WRONG_TEXT])
{
	json_t *json = json_loads(text, 0, NULL);
	struct state *state = statejson_decode(json, descriptors, count, wrong);

	json_decref(json);
	return state;
}

#endif
