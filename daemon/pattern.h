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

/**
 * pattern_fill() - write @length bytes of the pattern, from stream offset @offset (any alignment).
 */
void pattern_fill(void *buffer, size_t length, uint64_t offset);

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
