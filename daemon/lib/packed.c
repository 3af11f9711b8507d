// SPDX-License-Identifier: BSD-2-Clause
#include "lib/packed.h"

#include <cbor.h>
#include <stdlib.h>
#include <string.h>

/* Most bytes of an item, without those of a text. */
#define HEAD_BYTES 9
#define MIN_SIZE ((size_t)4096)

/* libcbor 0.9 has changed the type of lengths in callbacks. */
#if CBOR_MAJOR_VERSION == 0 && CBOR_MINOR_VERSION < 9
typedef size_t packed_length;
#else
typedef uint64_t packed_length;
#endif

/* ---- writing ---- */

/* Let there be place for a head and @length bytes. Return: false without memory. */
static bool packed_reserve(struct packed *packed, size_t length)
{
	size_t size = packed->size ? packed->size : MIN_SIZE;
	unsigned char *grown;

	if (packed->no_memory)
		return false;
	while (size - packed->length < length + HEAD_BYTES)
		size *= 2;
	if (size == packed->size)
		return true;
	grown = realloc(packed->data, size);
	packed->no_memory = !grown;
	if (!grown)
		return false;
	packed->data = grown;
	packed->size = size;
	return true;
}

static unsigned char *packed_place(const struct packed *packed)
{
	return packed->data + packed->length;
}

void packed_put_number(struct packed *packed, uint64_t number)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_uint(number, packed_place(packed), HEAD_BYTES);
}

void packed_put_signed(struct packed *packed, int64_t number)
{
	if (number >= 0)
		packed_put_number(packed, (uint64_t)number);
	else if (packed_reserve(packed, 0))
		packed->length += cbor_encode_negint((uint64_t)(-1 - number), packed_place(packed),
						     HEAD_BYTES);
}

void packed_put_bool(struct packed *packed, bool value)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_bool(value, packed_place(packed), HEAD_BYTES);
}

void packed_put_null(struct packed *packed)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_null(packed_place(packed), HEAD_BYTES);
}

/* There is place for them. */
static void packed_append(struct packed *packed, const void *bytes, size_t length)
{
	if (length)
		memcpy(packed_place(packed), bytes, length);
	packed->length += length;
}

void packed_put_text(struct packed *packed, const char *text, size_t length)
{
	if (!packed_reserve(packed, length))
		return;
	packed->length += cbor_encode_string_start(length, packed_place(packed), HEAD_BYTES);
	packed_append(packed, text, length);
}

void packed_put_bytes(struct packed *packed, const void *bytes, size_t length)
{
	if (!packed_reserve(packed, length))
		return;
	packed->length += cbor_encode_bytestring_start(length, packed_place(packed), HEAD_BYTES);
	packed_append(packed, bytes, length);
}

void packed_begin_numbers(struct packed *packed, size_t count)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_array_start(count, packed_place(packed), HEAD_BYTES);
}

void packed_begin_list(struct packed *packed)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_indef_array_start(packed_place(packed), HEAD_BYTES);
}

void packed_begin_map(struct packed *packed)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_indef_map_start(packed_place(packed), HEAD_BYTES);
}

void packed_end(struct packed *packed)
{
	if (packed_reserve(packed, 0))
		packed->length += cbor_encode_break(packed_place(packed), HEAD_BYTES);
}

/* ---- reading: callbacks of the decoder, of which those for other kinds do nothing ---- */

static void packed_found(void *item, enum packed_kind kind, uint64_t number)
{
	((struct packed_item *)item)->kind = kind;
	((struct packed_item *)item)->number = number;
}

static void packed_found_uint8(void *item, uint8_t number)
{
	packed_found(item, PACKED_NUMBER, number);
}

static void packed_found_uint16(void *item, uint16_t number)
{
	packed_found(item, PACKED_NUMBER, number);
}

static void packed_found_uint32(void *item, uint32_t number)
{
	packed_found(item, PACKED_NUMBER, number);
}

static void packed_found_uint64(void *item, uint64_t number)
{
	packed_found(item, PACKED_NUMBER, number);
}

/* @number: for -1 - @number, which an int64_t may be too small for */
static void packed_found_negint64(void *item, uint64_t number)
{
	if (number <= INT64_MAX)
		packed_found(item, PACKED_NEGATIVE, ~number);
}

static void packed_found_negint8(void *item, uint8_t number)
{
	packed_found_negint64(item, number);
}

static void packed_found_negint16(void *item, uint16_t number)
{
	packed_found_negint64(item, number);
}

static void packed_found_negint32(void *item, uint32_t number)
{
	packed_found_negint64(item, number);
}

static void packed_found_bool(void *item, bool value)
{
	packed_found(item, PACKED_BOOL, value);
}

static void packed_found_null(void *item)
{
	packed_found(item, PACKED_NULL, 0);
}

static void packed_found_run(struct packed_item *item, enum packed_kind kind, cbor_data bytes,
			     packed_length length)
{
	item->kind = kind;
	item->bytes = bytes;
	item->length = (size_t)length;
}

static void packed_found_text(void *item, cbor_data bytes, packed_length length)
{
	packed_found_run(item, PACKED_TEXT, bytes, length);
}

static void packed_found_bytes(void *item, cbor_data bytes, packed_length length)
{
	packed_found_run(item, PACKED_BYTES, bytes, length);
}

static void packed_found_numbers(void *item, packed_length count)
{
	packed_found(item, PACKED_NUMBERS, count);
}

static void packed_found_list(void *item)
{
	packed_found(item, PACKED_LIST, 0);
}

static void packed_found_map(void *item)
{
	packed_found(item, PACKED_MAP, 0);
}

static void packed_found_end(void *item)
{
	packed_found(item, PACKED_END, 0);
}

static const struct cbor_callbacks *packed_callbacks(void)
{
	static struct cbor_callbacks callbacks;

	if (callbacks.uint8)
		return &callbacks;
	callbacks = cbor_empty_callbacks;
	callbacks.uint8 = packed_found_uint8;
	callbacks.uint16 = packed_found_uint16;
	callbacks.uint32 = packed_found_uint32;
	callbacks.uint64 = packed_found_uint64;
	callbacks.negint8 = packed_found_negint8;
	callbacks.negint16 = packed_found_negint16;
	callbacks.negint32 = packed_found_negint32;
	callbacks.negint64 = packed_found_negint64;
	callbacks.boolean = packed_found_bool;
	callbacks.null = packed_found_null;
	callbacks.string = packed_found_text;
	callbacks.byte_string = packed_found_bytes;
	callbacks.array_start = packed_found_numbers;
	callbacks.indef_array_start = packed_found_list;
	callbacks.indef_map_start = packed_found_map;
	callbacks.indef_break = packed_found_end;
	return &callbacks;
}

struct packed_item packed_read(const unsigned char *data, size_t length)
{
	struct packed_item item = { .kind = PACKED_WRONG };
	struct cbor_decoder_result result =
		cbor_stream_decode(data, length, packed_callbacks(), &item);

	if (item.kind != PACKED_WRONG && result.status == CBOR_DECODER_FINISHED)
		item.size = result.read;
	else
		item.kind = PACKED_WRONG;
	return item;
}
