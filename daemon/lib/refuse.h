/* SPDX-License-Identifier: BSD-2-Clause */
/* Telling a caller why something is refused. */
#ifndef DMACAST_REFUSE_H
#define DMACAST_REFUSE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * refuse() - write a reason, cut off after @size - 1 bytes.
 *
 * Return: false, for functions that do the same.
 */
bool refuse(char *wrong, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
