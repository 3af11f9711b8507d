/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test pattern: every aligned 64-bit little-endian word of the stream is its own byte offset in the
 * stream. A receiver that knows the offset can check any byte, one that does not learns it from any aligned
 * word, and both can tell lost, repeated, shifted and overwritten bytes apart.
 */
#ifndef DMACAST_PATTERN_H
#define DMACAST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Word size of the pattern in bytes. Offsets that are a multiple of it are "aligned". */
#define PATTERN_WORD 8

/*
 * Forms of the test pattern, in the order of the words in option_table.c. The last two are for benchmarks:
 * blocks are always whole. The first word of a block is its offset in the stream, the second one the time
 * when it was full, CLOCK_MONOTONIC in nanoseconds. The other words depend on the form.
 */
enum pattern_form {
	PATTERN_OFFSETS,  /* the pattern alone, in blocks of any length */
	PATTERN_STAMPED,  /* the offset of each word in the stream, as in the pattern */
	PATTERN_RESIDENT, /* the offset of each word in the ring, which is written only once */
};

/* Size in bytes of the two words that are written for each block. */
#define PATTERN_HEAD (2 * PATTERN_WORD)

/**
 * pattern_fill() - write @length bytes of the pattern, from stream offset @offset (any alignment).
 */
void pattern_fill(void *buffer, size_t length, uint64_t offset);

/**
 * pattern_fill_block() - write a whole block. With PATTERN_RESIDENT write only what differs.
 * @length: more than PATTERN_HEAD
 * @offset: offset of the block in the stream in bytes, aligned
 * @place: offset of the block in the ring in bytes, aligned
 */
void pattern_fill_block(enum pattern_form form, void *block, size_t length, uint64_t offset,
			uint64_t place);

/** pattern_read_head() - read the offset in the stream and the time from a block that has a head. */
void pattern_read_head(const void *block, uint64_t *offset, uint64_t *full_ns);

/**
 * pattern_check() - compare @length bytes at @buffer with the pattern from stream offset @offset.
 *
 * Return: the number of leading bytes that are right; @length if all are.
 */
size_t pattern_check(const void *buffer, size_t length, uint64_t offset);

/**
 * pattern_locate() - find the stream offset of @buffer from its content.
 * @buffer: at least 2 * PATTERN_WORD bytes whose first one is an aligned byte of the stream
 * @offset: out: the stream offset of the first byte
 *
 * Return: false if these bytes are not from the pattern.
 */
bool pattern_locate(const void *buffer, uint64_t *offset);

#endif
