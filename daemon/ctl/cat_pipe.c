// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Capacity of a pipe, as far as the system allows it. */
#define PIPE_BYTES (1 << 20)

struct cat_pipe {
	int fd;
	bool own, socket;
	unsigned char *buffer;
	size_t begin, end, capacity;
	uint64_t written;
};

/*
 * The pipe belongs to other programs, too, which may not expect O_NONBLOCK. Opened by its name in /proc, it has flags
 * of its own. Return: -1 if that is not possible.
 */
static int cat_pipe_reopen(void)
{
	int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	return fd;
}

struct cat_pipe *cat_pipe_create(void)
{
	struct cat_pipe *pipe = calloc(1, sizeof(*pipe));
	struct stat status = { 0 };

	if (!pipe)
		return NULL;
	fstat(STDOUT_FILENO, &status);
	pipe->socket = S_ISSOCK(status.st_mode);
	pipe->fd = S_ISFIFO(status.st_mode) ? cat_pipe_reopen() : -1;
	pipe->own = pipe->fd >= 0;
	if (!pipe->own)
		pipe->fd = STDOUT_FILENO;
	return pipe;
}

/* Make space behind the kept bytes. */
static bool cat_pipe_reserve(struct cat_pipe *pipe, size_t length)
{
	size_t kept = pipe->end - pipe->begin;
	unsigned char *buffer;

	if (pipe->begin) {
		memmove(pipe->buffer, pipe->buffer + pipe->begin, kept);
		pipe->begin = 0;
		pipe->end = kept;
	}
	if (length <= pipe->capacity - kept)
		return true;
	buffer = realloc(pipe->buffer, kept + length);
	if (!buffer)
		return false;
	pipe->buffer = buffer;
	pipe->capacity = kept + length;
	return true;
}

bool cat_pipe_append(struct cat_pipe *pipe, const unsigned char *bytes, size_t length,
		     char error[CAT_PIPE_ERROR])
{
	if (length > pipe->capacity - pipe->end && !cat_pipe_reserve(pipe, length)) {
		snprintf(error, CAT_PIPE_ERROR, "standard output: no memory for %zu bytes", length);
		return false;
	}
	memcpy(pipe->buffer + pipe->end, bytes, length);
	pipe->end += length;
	return true;
}

static ssize_t cat_pipe_write(const struct cat_pipe *pipe)
{
	const unsigned char *bytes = pipe->buffer + pipe->begin;
	size_t length = pipe->end - pipe->begin;

	if (pipe->socket)
		return send(pipe->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(pipe->fd, bytes, length);
}

/* A signal ends the attempt, since the program may have to end. */
bool cat_pipe_flush(struct cat_pipe *pipe, char error[CAT_PIPE_ERROR])
{
	ssize_t written;

	while (pipe->begin < pipe->end) {
		written = cat_pipe_write(pipe);
		if (written < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (written < 0) {
			snprintf(error, CAT_PIPE_ERROR,
				 "standard output: %s; %" PRIu64 " bytes were written to it",
				 strerror(errno), pipe->written);
			return false;
		}
		pipe->begin += (size_t)written;
		pipe->written += (uint64_t)written;
	}
	pipe->begin = pipe->end = 0;
	return true;
}

size_t cat_pipe_pending(const struct cat_pipe *pipe)
{
	return pipe->end - pipe->begin;
}

int cat_pipe_fd(const struct cat_pipe *pipe)
{
	return pipe->fd;
}

void cat_pipe_free(struct cat_pipe *pipe)
{
	if (!pipe)
		return;
	if (pipe->own)
		close(pipe->fd);
	free(pipe->buffer);
	free(pipe);
}
