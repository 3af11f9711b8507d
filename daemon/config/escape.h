/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as text: \n, \r, \t, \0 and \\ as in C, and \xNN with two hexadecimal digits. All other characters
 * stand for themselves.
 */
#ifndef DMACAST_ESCAPE_H
#define DMACAST_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* Size of the text of @bytes bytes, with its NUL. */
#define ESCAPE_TEXT(bytes) (4 * (bytes) + 1)

/**
 * escape_parse() - write the bytes that @text stands for to @bytes.
 * @length: the size of @bytes; out: the number of bytes written
 *
 * Return: false if @text has another escape, or is longer.
 */
bool escape_parse(const char *text, unsigned char *bytes, size_t *length);

/**
 * escape_format() - write @length bytes as text: printable ASCII characters but the blank as they are.
 * @text: out: ESCAPE_TEXT(@length) bytes
 */
void escape_format(const unsigned char *bytes, size_t length, char *text);

#endif
