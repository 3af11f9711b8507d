// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/kernel_file.h"

#include "lib/read_proc_integer.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Return: false with errno if the path is too long. */
static bool __attribute__((format(printf, 3, 0)))
kernel_file_path(char path[KERNEL_FILE_PATH], const char *root, const char *format, va_list args)
{
	int length = snprintf(path, KERNEL_FILE_PATH, "%s/", root);

	if (length < KERNEL_FILE_PATH)
		length +=
			vsnprintf(path + length, (size_t)(KERNEL_FILE_PATH - length), format, args);
	errno = ENAMETOOLONG;
	return length < KERNEL_FILE_PATH;
}

/* Return: NULL with errno. */
static FILE *__attribute__((format(printf, 2, 0)))
kernel_file_vopen(const char *root, const char *format, va_list args)
{
	char path[KERNEL_FILE_PATH];

	return kernel_file_path(path, root, format, args) ? fopen(path, "re") : NULL;
}

FILE *kernel_file_open(const char *root, const char *format, ...)
{
	va_list args;
	FILE *file;

	va_start(args, format);
	file = kernel_file_vopen(root, format, args);
	va_end(args);
	return file;
}

int64_t kernel_file_integer(const char *root, const char *format, ...)
{
	char path[KERNEL_FILE_PATH];
	va_list args;
	bool fits;

	va_start(args, format);
	fits = kernel_file_path(path, root, format, args);
	va_end(args);
	return fits ? read_proc_integer(path) : -1;
}

bool kernel_file_line(char *line, size_t size, const char *root, const char *format, ...)
{
	va_list args;
	FILE *file;

	va_start(args, format);
	file = kernel_file_vopen(root, format, args);
	va_end(args);
	if (!file || !fgets(line, (int)size, file))
		*line = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (!file)
		return false;
	fclose(file);
	return true;
}

bool kernel_file_value(char *value, size_t size, const char *name, const char *root,
		       const char *format, ...)
{
	size_t length = strlen(name);
	bool found = false;
	char line[4096];
	va_list args;
	FILE *file;

	va_start(args, format);
	file = kernel_file_vopen(root, format, args);
	va_end(args);
	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, name, length);
	if (file)
		fclose(file);
	if (!found)
		return false;
	length += strspn(line + length, " \t");
	strlcpy(value, line + length, size);
	value[strcspn(value, "\n")] = '\0';
	return true;
}
