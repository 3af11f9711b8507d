/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing to what an input reads from: the standard input of a command, or the peer of a connection.
 *
 *   CLOSED ─ open ─▶ READY ◀─▶ FULL ─▶ BROKEN: nobody reads any more
 *      ▲               └─────────────────▲ │
 *      └────────── input_writer_close() ───┘ from each state
 */
#ifndef DMACAST_INPUT_WRITER_H
#define DMACAST_INPUT_WRITER_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct state;

struct input_writer {
	struct event_base *base;
	/* From the event loop: it was FULL, and is READY or BROKEN. */
	void (*writable)(void *argument);
	void *argument;
	int fd; /* -1: CLOSED */
	bool is_socket;
	bool broken;
	struct event event; /* while FULL */
};

/** input_writer_init() - start CLOSED. */
void input_writer_init(struct input_writer *writer, struct event_base *base,
		       void (*writable)(void *argument), void *argument);

/** input_writer_open_pipe() - write to @fd, which is non-blocking and is taken over. */
void input_writer_open_pipe(struct input_writer *writer, int fd);

/** input_writer_open_socket() - write to @fd, which is non-blocking and must be open until the close. */
void input_writer_open_socket(struct input_writer *writer, int fd);

/** input_writer_is_open() - return false if it is CLOSED. */
static inline bool input_writer_is_open(const struct input_writer *writer)
{
	return writer->fd >= 0;
}

/**
 * input_writer_write() - write as many of @length bytes as fit now. It must be open.
 *
 * Return: the number of bytes. If that is less than @length it is FULL, and writable() follows. -1 with errno:
 * it is BROKEN.
 */
ssize_t input_writer_write(struct input_writer *writer, const void *bytes, size_t length);

/**
 * input_writer_transfer() - save the writer as the object "writer", or restore it after input_writer_init(): writable()
 * follows if it was FULL.
 * @fd: socket of the input, or -1
 */
void input_writer_transfer(struct input_writer *writer, struct state *state, int fd);

/** input_writer_close() - write no more, and close a pipe. May be repeated. */
void input_writer_close(struct input_writer *writer);

#endif
