/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values of a configuration file. White space followed by a semicolon begins a comment; in a value that is
 * in double quotes it does not. Within quotes, \" is a quote and \\ is a backslash; any other backslash
 * stands for itself.
 */
#ifndef DMACAST_QUOTE_H
#define DMACAST_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Bytes of a line; a comment may be longer. */
#define MAX_LINE_BYTES 4096

/**
 * quote_remove() - take the value out of @text, in place: without quotes and without a comment.
 * @text: what follows the equals sign; white space around it is ignored
 * @value: out: the value, within @text
 * @comment: out: the comment behind a value without quotes; NULL: none
 *
 * Return: NULL, or what is expected.
 */
const char *quote_remove(char *text, char **value, const char **comment);

/** quote_print() - write @value as a file has it, with quotes if it needs them. */
void quote_print(const char *value, FILE *file);

/** quote_fits_line() - return true if "@name = @value" is not too long for a line of a file. */
bool quote_fits_line(const char *name, const char *value);

#endif
