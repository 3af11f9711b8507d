/* SPDX-License-Identifier: BSD-2-Clause */
/* One output file, written in large pieces that are aligned in the file. */
#ifndef DMACAST_CAT_FILE_H
#define DMACAST_CAT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAT_FILE_ERROR 4500

struct cat_file;

/**
 * cat_file_open() - create a file.
 * @force: replace the content of a file that exists; without it, that is an error
 * @direct: write with O_DIRECT, past the page cache
 * @error: out: on failure, the reason
 */
struct cat_file *cat_file_open(const char *path, bool force, bool direct,
			       char error[CAT_FILE_ERROR]);

/**
 * cat_file_write() - append bytes; whole pieces are written at once.
 * @error: out: on failure, the reason, with the number of bytes that the file has
 */
bool cat_file_write(struct cat_file *file, const unsigned char *bytes, size_t length,
		    char error[CAT_FILE_ERROR]);

/** cat_file_flush() - write what is kept for a whole piece; with O_DIRECT, only whole pages of it. */
bool cat_file_flush(struct cat_file *file, char error[CAT_FILE_ERROR]);

/** cat_file_bytes() - return the number of bytes that were appended. */
uint64_t cat_file_bytes(const struct cat_file *file);

/** cat_file_written() - return the number of bytes that the file has. */
uint64_t cat_file_written(const struct cat_file *file);

/** cat_file_path() - return the name of the file. */
const char *cat_file_path(const struct cat_file *file);

/**
 * cat_file_finish() - write the rest, and wait until all is on the disk. After an error of this file it only waits
 * for what the file has.
 */
bool cat_file_finish(struct cat_file *file, char error[CAT_FILE_ERROR]);

/** cat_file_close() - close and free; NULL is allowed. */
void cat_file_close(struct cat_file *file);

#endif
