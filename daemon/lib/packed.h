/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values in CBOR (RFC 8949), which are written and read one after the other: without a tree of them, and without an
 * allocation for each. Maps and lists are of indefinite length, so that they can be written before they are complete.
 * Texts are not checked to be UTF-8.
 */
#ifndef DMACAST_PACKED_H
#define DMACAST_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is written: begin with zeros, end with free(data). */
struct packed {
	unsigned char *data;
	size_t length;	/* bytes that were written */
	size_t size;	/* bytes that were allocated */
	bool no_memory; /* then the rest was not written */
};

void packed_put_number(struct packed *packed, uint64_t number);
void packed_put_signed(struct packed *packed, int64_t number);
void packed_put_bool(struct packed *packed, bool value);
void packed_put_null(struct packed *packed);
void packed_put_text(struct packed *packed, const char *text, size_t length);
void packed_put_bytes(struct packed *packed, const void *bytes, size_t length);

/** packed_begin_numbers() - begin a list of @count values, which needs no end. */
void packed_begin_numbers(struct packed *packed, size_t count);

/** packed_begin_list() / packed_begin_map() - begin one that packed_end() ends. */
void packed_begin_list(struct packed *packed);
void packed_begin_map(struct packed *packed);
void packed_end(struct packed *packed);

enum packed_kind {
	PACKED_WRONG, /* the data ends before it, or has something else */
	PACKED_NUMBER,
	PACKED_NEGATIVE,
	PACKED_BOOL,
	PACKED_NULL,
	PACKED_TEXT,
	PACKED_BYTES,
	PACKED_NUMBERS,
	PACKED_LIST,
	PACKED_MAP,
	PACKED_END, /* of a map or a list */
};

struct packed_item {
	enum packed_kind kind;
	uint64_t
		number; /* a number; of a negative one as int64_t; of a boolean 0 or 1; of numbers how many */
	const unsigned char *bytes; /* of a text, or bytes: in the data */
	size_t length;		    /* number of them */
	size_t size;		    /* bytes of data that the item takes; 0: it is wrong */
};

/** packed_read() - return the item at the begin of @data, of which @length bytes are left. */
struct packed_item packed_read(const unsigned char *data, size_t length);

#endif
