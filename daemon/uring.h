/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zero-copy sends through io_uring from memory that is registered: its pages are looked up and pinned
 * once, not again for each send, which is most of what zero-copy from pages of 4 KiB costs. Of each
 * send the kernel tells when it needs the memory no more, as an error queue does of MSG_ZEROCOPY, but
 * for all sockets in one queue. Linux 6.0 and later.
 *
 * A send is made at once and does not wait, as by sendmsg(MSG_DONTWAIT); it needs no option memory,
 * and counts nothing as locked memory: the registered memory was counted.
 */
#ifndef DMACAST_URING_H
#define DMACAST_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct uring;

struct uring_owner {
	void *argument;
	/*
	 * A send made ready what uring_reap() is to be called for, and no event will tell of it. NULL: it is
	 * called before each wait for events anyway.
	 */
	void (*pending)(void *argument);
};

/**
 * uring_open() - register memory to send from.
 * @memory: @size bytes, from the start of a page; has to stay until uring_close()
 * @why: out: when there is none, what is in the way, for people; a constant text
 *
 * Return: NULL where the kernel or the limits do not allow it.
 */
struct uring *uring_open(void *memory, size_t size, const struct uring_owner *owner,
			 const char **why);

/** uring_fd() - readable when there is something for uring_reap(). */
int uring_fd(const struct uring *uring);

/** uring_is_ready() - is there room for one more send? When not, send in another way. */
bool uring_is_ready(const struct uring *uring);

/** uring_reach() - how many of @length bytes from @data on, which are registered, one send may have. */
size_t uring_reach(const struct uring *uring, const void *data, size_t length);

/**
 * uring_send() - send on a TCP socket what it takes of @length bytes of registered memory.
 * @sender, @number: what uring_reap() is to tell, once, when the kernel needs the memory no more
 *
 * Call it only when uring_is_ready().
 *
 * Return: bytes accepted, or -1 with errno: then nothing was, and uring_reap() will not tell.
 */
ssize_t uring_send(struct uring *uring, int fd, const void *data, size_t length, void *sender,
		   uint32_t number);

/**
 * uring_reap() - tell @complete of each send that is complete.
 *
 * It may send. What is complete only then is for another call, to which the owner is asked by pending():
 * who sends as fast as that does not keep up others.
 */
void uring_reap(struct uring *uring,
		void (*complete)(void *argument, void *sender, uint32_t number), void *argument);

/** uring_close() - nothing may be outstanding. */
void uring_close(struct uring *uring);

#endif
