// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_file.h"

#include "lib/interrupted.h"
#include "lib/refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Size of one write, and its alignment in the file. */
#define PIECE_BYTES (1U << 20)
/* Alignment of O_DIRECT in memory and in the file: no disk has larger blocks. */
#define PAGE_BYTES 4096U

struct cat_file {
	char *path;
	int fd;
	bool direct, regular, failed;
	uint64_t written;
	/*
	 * A piece of the file: what is written already, what is kept, and free space.
	 *
	 *	piece         + flushed      + filled      + PIECE_BYTES
	 *	|--- written ---|--- kept ---|--- free ----|
	 */
	unsigned char *piece;
	size_t flushed, filled;
};

static const char *cat_file_help(int number)
{
	switch (number) {
	case EEXIST:
		return "; choose another name, or overwrite it with --force";
	case ENOENT:
		return ": its directory does not exist";
	default:
		return "";
	}
}

/* Without O_TRUNC: nothing may be lost before the file is known to be of use. */
static bool cat_file_create(struct cat_file *file, bool force, char error[CAT_FILE_ERROR])
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | (force ? 0 : O_EXCL);
	struct stat status;

	file->fd = REPEAT_INTERRUPTED(open(file->path, flags, 0666));
	if (file->fd < 0)
		return refuse(error, CAT_FILE_ERROR, "%s: %s%s", file->path, strerror(errno),
			      cat_file_help(errno));
	file->regular = !fstat(file->fd, &status) && S_ISREG(status.st_mode);
	return true;
}

static bool cat_file_prepare(struct cat_file *file, bool created, char error[CAT_FILE_ERROR])
{
	if (fcntl(file->fd, F_SETFL, file->direct ? O_DIRECT : 0)) {
		if (created)
			unlink(file->path);
		return refuse(error, CAT_FILE_ERROR,
			      "%s: O_DIRECT: %s; this file system does not have it: leave "
			      "out --direct",
			      file->path, strerror(errno));
	}
	if (file->regular && REPEAT_INTERRUPTED(ftruncate(file->fd, 0)))
		return refuse(error, CAT_FILE_ERROR, "%s: %s", file->path, strerror(errno));
	return true;
}

struct cat_file *cat_file_open(const char *path, bool force, bool direct,
			       char error[CAT_FILE_ERROR])
{
	struct cat_file *file = calloc(1, sizeof(*file));
	void *piece = NULL;

	if (!file || posix_memalign(&piece, PAGE_BYTES, PIECE_BYTES)) {
		free(file);
		refuse(error, CAT_FILE_ERROR, "%s: no memory", path);
		return NULL;
	}
	file->fd = -1;
	file->piece = piece;
	file->direct = direct;
	file->path = strdup(path);
	if (file->path && cat_file_create(file, force, error) &&
	    cat_file_prepare(file, !force, error))
		return file;
	if (!file->path)
		refuse(error, CAT_FILE_ERROR, "%s: no memory", path);
	cat_file_close(file);
	return NULL;
}

static bool cat_file_fail_write(struct cat_file *file, const char *what, int number,
				char error[CAT_FILE_ERROR])
{
	file->failed = true;
	return refuse(error, CAT_FILE_ERROR, "%s: %s%s; %" PRIu64 " bytes were written to it",
		      file->path, what, strerror(number), file->written);
}

/* Write the kept bytes up to @end. */
static bool cat_file_write_to(struct cat_file *file, size_t end, char error[CAT_FILE_ERROR])
{
	ssize_t written;

	while (file->flushed < end) {
		written = REPEAT_INTERRUPTED(
			write(file->fd, file->piece + file->flushed, end - file->flushed));
		if (written < 0)
			return cat_file_fail_write(file, "", errno, error);
		file->flushed += (size_t)written;
		file->written += (uint64_t)written;
	}
	return true;
}

static bool cat_file_write_piece(struct cat_file *file, char error[CAT_FILE_ERROR])
{
	if (!cat_file_write_to(file, PIECE_BYTES, error))
		return false;
	/* Begin to write to the disk now, so that the fsync() at the end does not take long. */
	if (!file->direct && file->regular)
		sync_file_range(file->fd, (off_t)(file->written - PIECE_BYTES), PIECE_BYTES,
				SYNC_FILE_RANGE_WRITE);
	file->flushed = file->filled = 0;
	return true;
}

bool cat_file_write(struct cat_file *file, const unsigned char *bytes, size_t length,
		    char error[CAT_FILE_ERROR])
{
	while (length) {
		size_t space = PIECE_BYTES - file->filled, taken = length < space ? length : space;

		memcpy(file->piece + file->filled, bytes, taken);
		file->filled += taken;
		bytes += taken;
		length -= taken;
		if (file->filled == PIECE_BYTES && !cat_file_write_piece(file, error))
			return false;
	}
	return true;
}

bool cat_file_flush(struct cat_file *file, char error[CAT_FILE_ERROR])
{
	size_t end = file->direct ? file->filled - file->filled % PAGE_BYTES : file->filled;

	return file->failed || cat_file_write_to(file, end, error);
}

uint64_t cat_file_bytes(const struct cat_file *file)
{
	return file->written + file->filled - file->flushed;
}

uint64_t cat_file_written(const struct cat_file *file)
{
	return file->written;
}

const char *cat_file_path(const struct cat_file *file)
{
	return file->path;
}

/* Write what is less than a page, for which O_DIRECT has no way. */
static bool cat_file_write_rest(struct cat_file *file, char error[CAT_FILE_ERROR])
{
	if (!cat_file_flush(file, error))
		return false;
	if (file->failed || file->flushed == file->filled)
		return true;
	if (fcntl(file->fd, F_SETFL, 0))
		return cat_file_fail_write(file, "", errno, error);
	return cat_file_write_to(file, file->filled, error);
}

bool cat_file_finish(struct cat_file *file, char error[CAT_FILE_ERROR])
{
	bool failed = !cat_file_write_rest(file, error);

	if (file->regular && REPEAT_INTERRUPTED(fsync(file->fd)) && !failed)
		return cat_file_fail_write(file, "fsync: ", errno, error);
	return !failed;
}

void cat_file_close(struct cat_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	free(file->piece);
	free(file->path);
	free(file);
}
