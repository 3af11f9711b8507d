/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts in columns, as wide as what is in them. */
#ifndef DMACAST_CTL_TABLE_H
#define DMACAST_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table;

struct table_column {
	const char *title;
	bool right; /* aligned to the right */
};

/** table_create() - @columns: must outlive the table; ends the program without memory. */
struct table *table_create(const struct table_column *columns, size_t count);

/** table_add() - the next cell, from left to right. What cannot be printed is replaced. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** table_rows() - how many rows are full, with the one of titles. */
size_t table_rows(const struct table *table);

/**
 * table_line() - write a row; 0 are the titles. No blanks at its end.
 * @width: columns that do not fit into it are left out; the first one is cut
 *
 * Return: @line.
 */
const char *table_line(const struct table *table, size_t row, size_t width, char *line,
		       size_t size);

/** table_print() - write all of it. */
void table_print(const struct table *table, FILE *file);

/** table_free() - free it. */
void table_free(struct table *table);

#endif
