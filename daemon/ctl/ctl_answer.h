/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's answers: numbers in them, and whole ones in JSON. */
#ifndef DMACAST_CTL_ANSWER_H
#define DMACAST_CTL_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/** answer_count() - return the member @name of @object as a whole number; 0 without it, or if it is negative. */
uint64_t answer_count(const json_t *object, const char *name);

/**
 * answer_print() - print JSON on standard output, indented on a terminal, else on one line.
 *
 * Return: false without memory, with a message. The caller looks for an error of standard output.
 */
bool answer_print(const json_t *answer);

#endif
