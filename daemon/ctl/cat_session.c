// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_session.h"

#include "lib/http_response.h"
#include "ctl/cat_connection.h"
#include "ctl/cat_report.h"
#include "ctl/cat_signals.h"
#include "lib/backoff.h"
#include "lib/clock.h"

#include <errno.h>
#include <http_parser.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVE_BYTES (512U << 10)

/* Time for an address to accept a connection, and for a server to answer. */
#define ANSWER_NS (10 * NS_PER_S)

#define REASON_BYTES 1024

struct cat_session {
	const struct cat_session_options *options;
	struct cat_report *report;
	struct cat_receiver *receiver;
	unsigned char *buffer; /* of RECEIVE_BYTES */

	size_t url;	   /* index of the one in use */
	uint64_t failures; /* connections in a row without payload */
	struct backoff backoff;
	uint64_t retry_ns;    /* monotonic; when to connect, while there is no connection */
	bool oldest, too_old; /* the last place was refused: ask for the oldest block; by 410 */

	struct cat_connection *connection;
	struct http_response *answer; /* NULL: not HTTP */
	uint64_t answer_ns;    /* monotonic; limit for a connection or an answer; CAT_NEVER: none */
	uint64_t bytes_before; /* payload of the connections before */
	bool connected;	       /* a stream began, of this connection or one before */
	bool cut;	       /* the last stream did not end in order, and none has begun since */

	bool finished;
	bool failed; /* an error was reported */
};

void cat_session_fail(struct cat_session *session, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	cat_report_verror(session->report, format, args);
	va_end(args);
	session->finished = session->failed = true;
}

static const struct stream_url *cat_session_current_url(const struct cat_session *session)
{
	return &session->options->urls[session->url];
}

/* ---- the end of a connection ---- */

static void cat_session_disconnect(struct cat_session *session)
{
	cat_connection_close(session->connection);
	http_response_free(session->answer);
	session->connection = NULL;
	session->answer = NULL;
	session->answer_ns = CAT_NEVER;
}

/* Choose the next URL, and wait after each round in which none had payload. */
static void cat_session_plan_retry(struct cat_session *session, const char *reason)
{
	const struct stream_url *former = cat_session_current_url(session);
	uint64_t delay_us = 0;
	char next[REASON_BYTES];

	session->url = (session->url + 1) % session->options->url_count;
	if (++session->failures % session->options->url_count == 0) {
		struct timeval delay = backoff_take(&session->backoff);

		delay_us = clock_timeval_us(&delay);
	}
	session->retry_ns = clock_monotonic_ns() + delay_us * 1000;
	snprintf(next, sizeof(next), "connecting to %s in %.1f s",
		 cat_session_current_url(session)->text, (double)delay_us / 1e6);
	cat_report_disconnected(session->report, former->text, reason, next);
}

static bool cat_session_may_retry(const struct cat_session *session)
{
	return session->options->reconnect || session->url + 1 < session->options->url_count;
}

/* Return true if the receiver lets the program go on; else the program ends, with an error or without. */
static bool cat_session_check_receiver(struct cat_session *session)
{
	switch (cat_receiver_state(session->receiver)) {
	case CAT_RECEIVER_FAILED:
		cat_session_fail(session, "%s: %s", cat_session_current_url(session)->text,
				 cat_receiver_error(session->receiver));
		return false;
	case CAT_RECEIVER_COMPLETE:
		session->finished = true;
		return false;
	default:
		return true;
	}
}

/* The connection is gone, or could not be made. */
static void cat_session_lose(struct cat_session *session, const char *reason)
{
	size_t dropped = session->connection ? cat_receiver_end(session->receiver) : 0;
	char text[REASON_BYTES];

	session->oldest = false;
	session->cut =
		session->connected && cat_receiver_state(session->receiver) != CAT_RECEIVER_ENDED;
	cat_session_disconnect(session);
	if (!cat_session_check_receiver(session))
		return;
	if (cat_receiver_bytes(session->receiver) > session->bytes_before) {
		session->failures = 0;
		backoff_reset(&session->backoff);
	}
	if (dropped)
		snprintf(text, sizeof(text), "%s within a frame, of which %zu bytes were dropped",
			 reason, dropped);
	else
		snprintf(text, sizeof(text), "%s", reason);
	if (cat_session_may_retry(session))
		cat_session_plan_retry(session, text);
	else
		cat_session_fail(session, "%s: %s", cat_session_current_url(session)->text, text);
}

/* The stream has ended in order. */
static void cat_session_complete(struct cat_session *session)
{
	uint64_t bytes;

	if (session->options->reconnect) {
		cat_session_lose(session, "the stream has ended");
		return;
	}
	cat_receiver_end(session->receiver);
	cat_session_disconnect(session);
	if (!cat_session_check_receiver(session))
		return;
	bytes = cat_receiver_bytes(session->receiver);
	session->finished = true;
	if (session->options->bytes != UINT64_MAX)
		cat_session_fail(session, "the stream ended after %" PRIu64 " of %" PRIu64 " bytes",
				 bytes, session->options->bytes);
}

/* All bytes of the connection were received. */
static void cat_session_end_connection(struct cat_session *session)
{
	if (cat_receiver_state(session->receiver) == CAT_RECEIVER_RUNS &&
	    cat_receiver_is_framed(session->receiver))
		cat_session_lose(session, "the connection ended without the END of the stream");
	else
		cat_session_complete(session);
}

/* ---- the begin of a connection ---- */

static void cat_session_begin_stream(struct cat_session *session)
{
	session->answer_ns = CAT_NEVER;
	session->connected = true;
	session->cut = false;
	cat_report_connected(session->report, cat_session_current_url(session)->text);
}

static void cat_session_accept_answer(struct cat_session *session)
{
	session->oldest = false;
	if (session->answer_ns != CAT_NEVER)
		cat_session_begin_stream(session);
}

static bool cat_session_pass_body(void *data, const unsigned char *bytes, size_t length)
{
	struct cat_session *session = data;

	cat_session_accept_answer(session);
	return cat_receiver_feed(session->receiver, bytes, length) == CAT_RECEIVER_RUNS;
}

static const char *cat_session_http_format(const struct cat_session *session)
{
	switch (session->options->format) {
	case CAT_FORMAT_RAW:
		return NULL;
	case CAT_FORMAT_FRAMED:
		return "framed";
	default:
		return stream_url_has(cat_session_current_url(session), "format") ? NULL : "framed";
	}
}

/* Ask for the block after the last one that is complete. @link: out. Return: NULL without memory. */
static char *cat_session_make_request(struct cat_session *session, enum continuity_link *link)
{
	struct stream_request wanted = { .program = program_invocation_short_name,
					 .format = cat_session_http_format(session) };
	char place[40];
	uint32_t epoch;
	uint64_t sequence;

	if (cat_receiver_last(session->receiver, &epoch, &sequence)) {
		snprintf(place, sizeof(place), "%08" PRIx32 ":%" PRIu64, epoch, sequence);
		*link = CONTINUITY_RESUMED;
		wanted.start = place;
		if (session->oldest) {
			*link = session->too_old ? CONTINUITY_OLDEST : CONTINUITY_JOIN;
			wanted.start = strcpy(place, "oldest");
		}
	}
	return stream_url_request(cat_session_current_url(session), &wanted);
}

/* Return: false without memory. @request: out; NULL: none is needed */
static bool cat_session_prepare_http(struct cat_session *session, enum continuity_link *link,
				     char **request)
{
	*request = NULL;
	if (!cat_session_current_url(session)->http)
		return true;
	session->answer = http_response_create(cat_session_pass_body, session);
	*request = session->answer ? cat_session_make_request(session, link) : NULL;
	return *request;
}

static void cat_session_connect(struct cat_session *session)
{
	enum continuity_link link = CONTINUITY_JOIN;
	char error[CAT_CONNECTION_ERROR], *request;

	session->bytes_before = cat_receiver_bytes(session->receiver);
	if (!cat_session_prepare_http(session, &link, &request)) {
		cat_session_fail(session, "no memory");
		return;
	}
	cat_signals_allow(true);
	session->connection =
		cat_connection_open(&cat_session_current_url(session)->address, request, error);
	cat_signals_allow(false);
	session->answer_ns = clock_monotonic_ns() + ANSWER_NS;
	if (session->connection)
		cat_receiver_begin(session->receiver, link);
	else
		cat_session_lose(session, error);
}

static void cat_session_advance(struct cat_session *session)
{
	char error[CAT_CONNECTION_ERROR];

	if (!cat_connection_advance(session->connection, error)) {
		cat_session_lose(session, error);
	} else if (cat_connection_is_ready(session->connection)) {
		session->answer_ns = clock_monotonic_ns() + ANSWER_NS;
		if (!session->answer)
			cat_session_begin_stream(session);
	}
}

static void cat_session_time_out(struct cat_session *session)
{
	char error[CAT_CONNECTION_ERROR];

	if (cat_connection_is_ready(session->connection))
		cat_session_lose(session, "the server does not answer");
	else if (cat_connection_next_address(session->connection, error))
		session->answer_ns = clock_monotonic_ns() + ANSWER_NS;
	else
		cat_session_lose(session, error);
}

/* ---- receiving ---- */

/* The server does not have the place, or does not know it: take what it has. */
static void cat_session_ask_for_oldest(struct cat_session *session, unsigned int status)
{
	session->oldest = true;
	session->too_old = status == HTTP_STATUS_GONE;
	cat_session_disconnect(session);
	session->retry_ns = 0;
}

static void cat_session_be_refused(struct cat_session *session)
{
	unsigned int status = http_response_status(session->answer);
	char error[HTTP_RESPONSE_ERROR];
	uint32_t epoch;
	uint64_t sequence;

	if ((status == HTTP_STATUS_CONFLICT || status == HTTP_STATUS_GONE) && !session->oldest &&
	    cat_receiver_last(session->receiver, &epoch, &sequence)) {
		cat_session_ask_for_oldest(session, status);
		return;
	}
	cat_session_lose(session, http_response_error(session->answer, error));
}

/* @length: 0 at the end of the connection */
static void cat_session_take_answer(struct cat_session *session, size_t length)
{
	char error[HTTP_RESPONSE_ERROR];

	switch (http_response_feed(session->answer, (const char *)session->buffer, length)) {
	case HTTP_RESPONSE_STREAM:
		cat_session_accept_answer(session);
		break;
	case HTTP_RESPONSE_COMPLETE:
		cat_session_accept_answer(session);
		if (cat_session_check_receiver(session))
			cat_session_end_connection(session);
		break;
	case HTTP_RESPONSE_REFUSED:
		cat_session_be_refused(session);
		break;
	case HTTP_RESPONSE_BAD:
		if (cat_session_check_receiver(session))
			cat_session_lose(session,
					 session->answer_ns == CAT_NEVER
						 ? "the answer was cut or is malformed"
						 : http_response_error(session->answer, error));
		break;
	case HTTP_RESPONSE_HEAD:
		if (!length)
			cat_session_lose(session,
					 "the server closed the connection without an answer");
		break;
	}
}

static void cat_session_take_bytes(struct cat_session *session, size_t length)
{
	if (session->answer)
		cat_session_take_answer(session, length);
	else if (length)
		cat_receiver_feed(session->receiver, session->buffer, length);
	else
		cat_session_end_connection(session);
	if (session->connection && cat_session_check_receiver(session) &&
	    cat_receiver_state(session->receiver) == CAT_RECEIVER_ENDED)
		cat_session_complete(session);
}

static void cat_session_receive(struct cat_session *session)
{
	ssize_t received =
		cat_connection_receive(session->connection, session->buffer, RECEIVE_BYTES);
	int number = errno;

	cat_signals_allow(true);
	if (received >= 0)
		cat_session_take_bytes(session, (size_t)received);
	else if (number != EAGAIN && number != EINTR)
		cat_session_lose(session, strerror(number));
	cat_signals_allow(false);
}

/* ---- the loop ---- */

struct cat_session *cat_session_create(const struct cat_session_options *options,
				       struct cat_receiver *receiver, struct cat_report *report)
{
	struct cat_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->options = options;
	session->receiver = receiver;
	session->report = report;
	session->answer_ns = CAT_NEVER;
	backoff_reset(&session->backoff);
	session->buffer = malloc(RECEIVE_BYTES);
	if (session->buffer)
		return session;
	free(session);
	return NULL;
}

uint64_t cat_session_keep_time(struct cat_session *session)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (!session->connection && now_ns >= session->retry_ns)
		cat_session_connect(session);
	else if (session->connection && now_ns >= session->answer_ns)
		cat_session_time_out(session);
	return session->connection ? session->answer_ns : session->retry_ns;
}

/* An answer is waited for in any case, since the time for it runs. */
struct pollfd cat_session_poll(const struct cat_session *session, bool pause)
{
	if (!session->connection || (pause && session->answer_ns == CAT_NEVER))
		return (struct pollfd){ .fd = -1 };
	return (struct pollfd){ .fd = cat_connection_fd(session->connection),
				.events = cat_connection_events(session->connection) };
}

void cat_session_handle(struct cat_session *session, short events)
{
	if (events && !cat_connection_is_ready(session->connection))
		cat_session_advance(session);
	else if (events)
		cat_session_receive(session);
}

void cat_session_finish(struct cat_session *session)
{
	session->finished = true;
}

bool cat_session_finished(const struct cat_session *session)
{
	return session->finished;
}

bool cat_session_failed(const struct cat_session *session)
{
	return session->failed;
}

void cat_session_judge_end(struct cat_session *session)
{
	const struct cat_gap gap = { .origin = CAT_GAP_UNKNOWN };

	if (!session->failed && !session->connected)
		cat_session_fail(session, "no stream was received until the end");
	else if (!session->failed && session->cut)
		cat_report_gap(session->report, &gap, NULL);
}

void cat_session_free(struct cat_session *session)
{
	if (!session)
		return;
	cat_session_disconnect(session);
	free(session->buffer);
	free(session);
}
