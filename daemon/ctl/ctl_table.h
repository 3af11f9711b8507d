/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of text: each column is as wide as its longest cell. */
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

/**
 * table_create() - return an empty table; end the program without memory.
 * @columns: must outlive the table
 */
struct table *table_create(const struct table_column *columns, size_t count);

/** table_add() - append a cell, from left to right; '?' replaces what cannot be printed. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** table_rows() - return the number of complete rows, including the titles. */
size_t table_rows(const struct table *table);

/**
 * table_line() - write a row without trailing blanks; row 0 has the titles.
 * @width: in characters; columns beyond it are left out, and the first one is cut
 *
 * Return: @line.
 */
const char *table_line(const struct table *table, size_t row, size_t width, char *line,
		       size_t size);

/** table_print() - print all rows. */
void table_print(const struct table *table, FILE *file);

/** table_free() - free a table. */
void table_free(struct table *table);

#endif
