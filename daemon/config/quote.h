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

/** quote_length() - return the number of bytes that quote_print() writes. */
size_t quote_length(const char *value);

#endif
