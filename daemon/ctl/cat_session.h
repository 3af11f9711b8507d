/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream over one connection at a time. When it is gone, the next URL is tried, or with `reconnect` all of them
 * again and again, and the stream is resumed behind the last block that is complete.
 */
#ifndef DMACAST_CAT_SESSION_H
#define DMACAST_CAT_SESSION_H

#include "ctl/cat_receiver.h"
#include "lib/stream_url.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_report;
struct cat_session;

struct cat_session_options {
	struct stream_url *urls;
	size_t url_count;
	enum cat_format format;
	uint64_t bytes; /* limit of payload; UINT64_MAX: none */
	bool reconnect;
};

/** cat_session_create() - return a session without a connection; NULL without memory. All arguments must outlive it. */
struct cat_session *cat_session_create(const struct cat_session_options *options,
				       struct cat_receiver *receiver, struct cat_report *report);

/**
 * cat_session_keep_time() - connect when it is due, and give up what takes too long.
 *
 * Return: monotonic time of the next call; CAT_NEVER: only when something happens.
 */
uint64_t cat_session_keep_time(struct cat_session *session);

/** cat_session_poll() - return what to wait for. @pause: receive nothing now */
struct pollfd cat_session_poll(const struct cat_session *session, bool pause);

/** cat_session_handle() - connect, send and receive after poll(). @events: the revents; 0: nothing is done */
void cat_session_handle(struct cat_session *session, short events);

/** cat_session_fail() - report an error and finish. */
void cat_session_fail(struct cat_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** cat_session_finish() - finish without an error. */
void cat_session_finish(struct cat_session *session);

/** cat_session_finished() - return true if nothing more is received: all is there, or after an error. */
bool cat_session_finished(const struct cat_session *session);

/** cat_session_failed() - return true after an error, which was reported. */
bool cat_session_failed(const struct cat_session *session);

/** cat_session_judge_end() - report that the program ends without a stream, or between two connections. */
void cat_session_judge_end(struct cat_session *session);

/** cat_session_free() - disconnect and free; NULL is allowed. */
void cat_session_free(struct cat_session *session);

#endif
