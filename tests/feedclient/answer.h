/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer - the request of --http, and the head of its answer, which the feed follows.
 */
#ifndef FEEDCLIENT_ANSWER_H
#define FEEDCLIENT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_STATUS_BYTES 64

/* What is known about the head of the answer on one connection. */
struct answer {
	unsigned int client; /* number for messages */
	char status[ANSWER_STATUS_BYTES];
	size_t length; /* bytes of the head that have come */
	size_t ending; /* bytes of its end that the last ones match */
	bool complete;
};

/** answer_begin() - begin a connection of this client, with its request if there is --http. */
void answer_begin(struct answer *answer, unsigned int client, int fd);

/** answer_received() - take the bytes of the head from *@length bytes of @bytes; those that follow move forward.
 * Return: false if the answer is no feed.
 */
bool answer_received(struct answer *answer, unsigned char *bytes, size_t *length);

/** answer_finish() - return false if the connection has ended within the head. */
bool answer_finish(const struct answer *answer);

#endif
