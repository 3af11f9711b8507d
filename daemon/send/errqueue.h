/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The error queue of a TCP socket: its notifications of complete zero-copy sends, as ranges of send
 * numbers. Other messages in the queue, such as timestamps, are skipped.
 */
#ifndef DMACAST_ERRQUEUE_H
#define DMACAST_ERRQUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct msghdr;

/* Messages that one system call reads. */
#define ERRQUEUE_BATCH 16

/* The sends that one notification reports as complete. */
struct send_range {
	uint32_t low, high; /* first and last number, modulo 2^32 */
	bool copied;	    /* the kernel copied the data after all */
};

struct errqueue_batch {
	struct send_range range[ERRQUEUE_BATCH];
	unsigned int ranges;
	unsigned int truncated; /* messages that did not fit the buffer: a bug */
};

/**
 * errqueue_read() - take up to ERRQUEUE_BATCH messages from the queue, without waiting.
 *
 * Return: true when the queue may hold more.
 */
bool errqueue_read(int fd, struct errqueue_batch *batch);

/** errqueue_parse() - Return: true, with @range set, if @message is a zero-copy notification. */
bool errqueue_parse(struct msghdr *message, struct send_range *range);

#endif
