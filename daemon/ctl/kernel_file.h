/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the kernel below /proc and /sys, which have a line or a number. */
#ifndef DMACAST_KERNEL_FILE_H
#define DMACAST_KERNEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Enough for each path. */
#define KERNEL_FILE_PATH 512

/**
 * kernel_file_open() - open a file for reading.
 * @root: directory that stands for /proc or /sys
 * @format: of the path below it
 *
 * Return: NULL with errno.
 */
FILE *kernel_file_open(const char *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** kernel_file_integer() - return the integer in the file, or -1 if there is none. */
int64_t kernel_file_integer(const char *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** kernel_file_line() - read the first line, without its end. Return: false with errno, and an empty line. */
bool kernel_file_line(char *line, size_t size, const char *root, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/**
 * kernel_file_value() - read what follows @name, without blanks before it, in the first line that begins with @name.
 * @name: such as "CapEff:"
 *
 * Return: false if there is no such line.
 */
bool kernel_file_value(char *value, size_t size, const char *name, const char *root,
		       const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
