// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_table.h"

#include <bsd/string.h>
#include <err.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GAP "  "
#define LINE_BYTES 2048

struct table {
	const struct table_column *columns;
	size_t count;
	size_t *width;
	char **cell;
	size_t cells, capacity;
};

struct table *table_create(const struct table_column *columns, size_t count)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table || !(table->width = calloc(count, sizeof(*table->width))))
		err(1, "table");
	table->columns = columns;
	table->count = count;
	for (size_t i = 0; i < count; i++)
		table_add(table, "%s", columns[i].title);
	return table;
}

/* Replace control characters: a text from elsewhere must not move the cursor. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
	}
}

void table_add(struct table *table, const char *format, ...)
{
	size_t column = table->cells % table->count, length;
	va_list args;
	char *text;

	if (table->cells == table->capacity) {
		table->capacity = table->capacity ? 2 * table->capacity : 64;
		table->cell = reallocarray(table->cell, table->capacity, sizeof(*table->cell));
	}
	va_start(args, format);
	if (!table->cell || vasprintf(&text, format, args) < 0)
		err(1, "table");
	va_end(args);
	make_printable(text);
	length = strlen(text);
	if (length > table->width[column])
		table->width[column] = length;
	table->cell[table->cells++] = text;
}

size_t table_rows(const struct table *table)
{
	return table->cells / table->count;
}

static size_t fitting_columns(const struct table *table, size_t width)
{
	size_t used = table->width[0], count = 1;

	while (count < table->count && (used += strlen(GAP) + table->width[count]) <= width)
		count++;
	return count;
}

const char *table_line(const struct table *table, size_t row, size_t width, char *line, size_t size)
{
	size_t count = fitting_columns(table, width), end;
	char padded[LINE_BYTES];

	*line = '\0';
	for (size_t i = 0; i < count; i++) {
		int cell_width = (int)table->width[i];

		snprintf(padded, sizeof(padded), "%*s%s",
			 table->columns[i].right ? cell_width : -cell_width,
			 table->cell[row * table->count + i], i + 1 < count ? GAP : "");
		strlcat(line, padded, size);
	}
	end = strlen(line);
	if (end > width)
		line[end = width] = '\0';
	while (end && line[end - 1] == ' ')
		line[--end] = '\0';
	return line;
}

void table_print(const struct table *table, FILE *file)
{
	char line[LINE_BYTES];

	for (size_t row = 0; row < table_rows(table); row++)
		fprintf(file, "%s\n", table_line(table, row, SIZE_MAX, line, sizeof(line)));
}

void table_free(struct table *table)
{
	while (table->cells)
		free(table->cell[--table->cells]);
	free(table->cell);
	free(table->width);
	free(table);
}
