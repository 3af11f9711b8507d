/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of the control socket and their answers, one JSON object each: dmacastctl(8) has
 * them. No sockets here.
 */
#ifndef DMACAST_REQUEST_H
#define DMACAST_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct control_owner;

/* Who asks. */
struct request_peer {
	uid_t uid;
	pid_t pid;
	bool may_change; /* or only look */
};

/**
 * request_answer() - do what @line asks for.
 *
 * Return: the answer, a line without its end; to be freed. NULL without memory.
 */
char *request_answer(const struct control_owner *owner, const struct request_peer *peer,
		     const char *line, size_t length);

/**
 * request_refusal() - the answer to what is no request at all.
 *
 * Return: like request_answer().
 */
char *request_refusal(const char *error);

#endif
