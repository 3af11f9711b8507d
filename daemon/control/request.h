/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests of the control socket and their answers, one JSON object each; dmacastctl(8) describes
 * them. This file uses no sockets.
 */
#ifndef DMACAST_REQUEST_H
#define DMACAST_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct control_callbacks;

/* What a request asks of its connection. */
struct request_effect {
	uint64_t
		reload; /* the answer waits for the reload of this number: request_reload_answer(); 0: none */
	bool hands_over; /* the answer waits for the end of the process, or a failure: request_refusal() */
	bool subscribes; /* events follow the answer */
	char *stream;	 /* only those of this stream, to be freed; NULL: all events */
};

/* The process that sent a request. */
struct request_peer {
	uid_t uid;
	pid_t pid;
	bool may_change; /* all commands are allowed; else only those that change nothing */
};

/**
 * request_answer() - execute the request in @line.
 * @effect: out
 *
 * Return: the answer, a line without newline, which the caller frees; NULL without memory, and if it waits.
 */
char *request_answer(const struct control_callbacks *callbacks, const struct request_peer *peer,
		     const char *line, size_t length, struct request_effect *effect);

/**
 * request_reload_answer() - return the answer to a request that waited for a reload.
 * @done, @text: see control_reload_done()
 *
 * Return: like request_answer().
 */
char *request_reload_answer(bool done, const char *text);

/**
 * request_refusal() - return the answer to a line that is not a request.
 *
 * Return: like request_answer().
 */
char *request_refusal(const char *error);

#endif
