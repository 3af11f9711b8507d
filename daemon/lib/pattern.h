/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test pattern: every aligned 64-bit little-endian word of the stream holds its own byte
 * offset in the stream. A receiver can therefore check any byte when it knows the offset, learn the
 * offset from any aligned word when it does not, and see a lost, repeated, shifted or overwritten
 * byte for what it is.
 */
#ifndef DMACAST_PATTERN_H
#define DMACAST_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The pattern's word size in bytes; offsets that are a multiple of it are "aligned". */
#define PATTERN_WORD 8

/*
 * What the test pattern looks like, in the order of the words in option_table.c. The last two are for
 * benchmarks: of each block, which must be whole, the first word is its offset in the stream as ever,
 * and the second one the time, CLOCK_MONOTONIC in nanoseconds, when the block was full. The rest is
 */
enum pattern_form {
	PATTERN_OFFSETS,  /* (no blocks, all of it is as above) */
	PATTERN_STAMPED,  /* as above */
	PATTERN_RESIDENT, /* the offset of each word in the ring: it stays in memory, once written */
};

/* The two words that are anew in each block. */
#define PATTERN_HEAD (2 * PATTERN_WORD)

/**
 * pattern_fill() - write @length bytes of the pattern, from stream offset @offset (any alignment).
 */
void pattern_fill(void *buffer, size_t length, uint64_t offset);

/**
 * pattern_fill_block() - write a whole block of any form; PATTERN_RESIDENT writes what is not there yet.
 * @length: more than PATTERN_HEAD
 * @offset: of the block in the stream, aligned
 * @place: of the block in the ring, in bytes, aligned
 */
void pattern_fill_block(enum pattern_form form, void *block, size_t length, uint64_t offset,
			uint64_t place);

/** pattern_read_head() - the offset in the stream and the time of a block that has a head. */
void pattern_read_head(const void *block, uint64_t *offset, uint64_t *full_ns);

/**
 * pattern_check() - compare @length bytes at @buffer with the pattern from stream offset @offset.
 *
 * Return: how many leading bytes are right; @length when all are.
 */
size_t pattern_check(const void *buffer, size_t length, uint64_t offset);

/**
 * pattern_locate() - read the stream offset of @buffer from its content.
 * @buffer: at least 2 * PATTERN_WORD bytes whose first one is an aligned byte of the stream
 * @offset: out: the stream offset of the first byte
 *
 * Return: false when these bytes are no pattern.
 */
bool pattern_locate(const void *buffer, uint64_t *offset);

#endif
