// SPDX-License-Identifier: BSD-2-Clause
/*
 * One connection at a time. When it is gone, the next URL is tried, or with --reconnect all of them again and again,
 * and the stream is resumed behind the last block that is complete.
 */
#include "ctl/cat.h"

#include "lib/http_response.h"
#include "ctl/cat_connection.h"
#include "ctl/cat_options.h"
#include "ctl/cat_output.h"
#include "ctl/cat_progress.h"
#include "ctl/cat_receiver.h"
#include "ctl/cat_report.h"
#include "lib/stream_url.h"
#include "lib/backoff.h"
#include "lib/clock.h"

#include <errno.h>
#include <http_parser.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum cat_exit { CAT_EXIT_ALL = 0, CAT_EXIT_ERROR = 1, CAT_EXIT_LOST = 3 };

#define RECEIVE_BYTES (512U << 10)
/* Nothing is received while this many bytes wait for standard output. */
#define MAX_PENDING_BYTES (1U << 20)

#define NS_PER_S 1000000000ULL
/* Time for an address to accept a connection, and for a server to answer. */
#define ANSWER_NS (10 * NS_PER_S)
/* Time for standard output to take the rest after an error, a signal or --duration. */
#define REST_NS (10 * NS_PER_S)
/* Longest time that bytes wait for a whole piece of a file. */
#define FLUSH_NS NS_PER_S
/* Signals within this time are one. */
#define SECOND_SIGNAL_NS NS_PER_S

#define REASON_BYTES 1024
#define NEVER UINT64_MAX

struct cat {
	const struct cat_options *options;
	struct cat_report *report;
	struct cat_output *output;
	struct cat_receiver *receiver;
	unsigned char *buffer; /* of RECEIVE_BYTES */

	size_t url;	   /* index of the one in use */
	uint64_t failures; /* connections in a row without payload */
	struct backoff backoff;
	uint64_t retry_ns;    /* monotonic; when to connect, while there is no connection */
	bool oldest, too_old; /* the last place was refused: ask for the oldest block; by 410 */

	struct cat_connection *connection;
	struct http_response *answer; /* NULL: not HTTP */
	uint64_t answer_ns;    /* monotonic; limit for a connection or an answer; NEVER: none */
	uint64_t bytes_before; /* payload of the connections before */
	bool connected;	       /* a stream began, of this connection or one before */
	bool cut;	       /* the last stream did not end in order, and none has begun since */

	uint64_t end_ns;   /* monotonic; of --duration; NEVER: none */
	uint64_t flush_ns; /* monotonic */
	bool finished;
	bool failed;	    /* an error was reported */
	bool output_failed; /* nothing can be written any more */
};

/* They end the program in order. */
static const int cat_signals[] = { SIGINT, SIGTERM, SIGHUP };

static volatile sig_atomic_t cat_stopped;

/* The second signal ends the program at once; but timeout(1) sends each one twice. */
static void cat_signalled(int number)
{
	static uint64_t first_ns;
	uint64_t now_ns = clock_monotonic_ns();

	if (!cat_stopped) {
		first_ns = now_ns;
	} else if (now_ns - first_ns >= SECOND_SIGNAL_NS) {
		signal(number, SIG_DFL);
		raise(number);
	}
	cat_stopped = number;
}

static void __attribute__((format(printf, 2, 3))) cat_fail(struct cat *cat, const char *format, ...)
{
	char text[CAT_FILE_ERROR];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cat_report_error(cat->report, "%s", text);
	cat->finished = cat->failed = true;
}

/*
 * Signals come in ppoll(), so that none is overlooked, and while a call may block: name resolution, or a write to a
 * terminal, a FIFO or a disk.
 */
static void cat_allow_signals(bool allow)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(cat_signals) / sizeof(cat_signals[0]); i++)
		sigaddset(&set, cat_signals[i]);
	sigprocmask(allow ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* As nohup(1) sets it. */
static bool cat_ignores_hangup(void)
{
	struct sigaction action;

	return !sigaction(SIGHUP, NULL, &action) && action.sa_handler == SIG_IGN;
}

static void cat_catch_signals(void)
{
	struct sigaction action = { .sa_handler = cat_signalled };
	bool nohup = cat_ignores_hangup();

	sigfillset(&action.sa_mask);
	cat_allow_signals(false);
	for (size_t i = 0; i < sizeof(cat_signals) / sizeof(cat_signals[0]); i++) {
		if (cat_signals[i] != SIGHUP || !nohup)
			sigaction(cat_signals[i], &action, NULL);
	}
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static const struct stream_url *cat_current_url(const struct cat *cat)
{
	return &cat->options->urls[cat->url];
}

/* ---- the end of a connection ---- */

static void cat_disconnect(struct cat *cat)
{
	cat_connection_close(cat->connection);
	http_response_free(cat->answer);
	cat->connection = NULL;
	cat->answer = NULL;
	cat->answer_ns = NEVER;
}

/* Choose the next URL, and wait after each round in which none had payload. */
static void cat_plan_retry(struct cat *cat, const char *reason)
{
	const struct stream_url *former = cat_current_url(cat);
	uint64_t delay_us = 0;
	char next[REASON_BYTES];

	cat->url = (cat->url + 1) % cat->options->url_count;
	if (++cat->failures % cat->options->url_count == 0) {
		struct timeval delay = backoff_take(&cat->backoff);

		delay_us = (uint64_t)delay.tv_sec * 1000000 + (uint64_t)delay.tv_usec;
	}
	cat->retry_ns = clock_monotonic_ns() + delay_us * 1000;
	snprintf(next, sizeof(next), "connecting to %s in %.1f s", cat_current_url(cat)->text,
		 (double)delay_us / 1e6);
	cat_report_disconnected(cat->report, former->text, reason, next);
}

static bool cat_may_retry(const struct cat *cat)
{
	return cat->options->reconnect || cat->url + 1 < cat->options->url_count;
}

/* Return true if the receiver lets the program go on; else the program ends, with an error or without. */
static bool cat_check_receiver(struct cat *cat)
{
	switch (cat_receiver_state(cat->receiver)) {
	case CAT_RECEIVER_FAILED:
		cat_fail(cat, "%s: %s", cat_current_url(cat)->text,
			 cat_receiver_error(cat->receiver));
		return false;
	case CAT_RECEIVER_COMPLETE:
		cat->finished = true;
		return false;
	default:
		return true;
	}
}

/* The connection is gone, or could not be made. */
static void cat_lose(struct cat *cat, const char *reason)
{
	size_t dropped = cat->connection ? cat_receiver_end(cat->receiver) : 0;
	char text[REASON_BYTES];

	cat->oldest = false;
	cat->cut = cat->connected && cat_receiver_state(cat->receiver) != CAT_RECEIVER_ENDED;
	cat_disconnect(cat);
	if (!cat_check_receiver(cat))
		return;
	if (cat_receiver_bytes(cat->receiver) > cat->bytes_before) {
		cat->failures = 0;
		backoff_reset(&cat->backoff);
	}
	if (dropped)
		snprintf(text, sizeof(text), "%s within a frame, of which %zu bytes were dropped",
			 reason, dropped);
	else
		snprintf(text, sizeof(text), "%s", reason);
	if (cat_may_retry(cat))
		cat_plan_retry(cat, text);
	else
		cat_fail(cat, "%s: %s", cat_current_url(cat)->text, text);
}

/* The stream has ended in order. */
static void cat_complete(struct cat *cat)
{
	uint64_t bytes;

	if (cat->options->reconnect) {
		cat_lose(cat, "the stream has ended");
		return;
	}
	cat_receiver_end(cat->receiver);
	cat_disconnect(cat);
	if (!cat_check_receiver(cat))
		return;
	bytes = cat_receiver_bytes(cat->receiver);
	cat->finished = true;
	if (cat->options->bytes != UINT64_MAX)
		cat_fail(cat, "the stream ended after %" PRIu64 " of %" PRIu64 " bytes", bytes,
			 cat->options->bytes);
}

/* All bytes of the connection were received. */
static void cat_end_connection(struct cat *cat)
{
	if (cat_receiver_state(cat->receiver) == CAT_RECEIVER_RUNS &&
	    cat_receiver_is_framed(cat->receiver))
		cat_lose(cat, "the connection ended without the END of the stream");
	else
		cat_complete(cat);
}

/* ---- the begin of a connection ---- */

static void cat_begin_stream(struct cat *cat)
{
	cat->answer_ns = NEVER;
	cat->connected = true;
	cat->cut = false;
	cat_report_connected(cat->report, cat_current_url(cat)->text);
}

static void cat_accept_answer(struct cat *cat)
{
	cat->oldest = false;
	if (cat->answer_ns != NEVER)
		cat_begin_stream(cat);
}

static bool cat_pass_body(void *data, const unsigned char *bytes, size_t length)
{
	struct cat *cat = data;

	cat_accept_answer(cat);
	return cat_receiver_feed(cat->receiver, bytes, length) == CAT_RECEIVER_RUNS;
}

static const char *cat_http_format(const struct cat *cat)
{
	switch (cat->options->format) {
	case CAT_FORMAT_RAW:
		return NULL;
	case CAT_FORMAT_FRAMED:
		return "framed";
	default:
		return stream_url_has(cat_current_url(cat), "format") ? NULL : "framed";
	}
}

/* Ask for the block after the last one that is complete. @link: out. Return: NULL without memory. */
static char *cat_make_request(struct cat *cat, enum continuity_link *link)
{
	struct stream_request wanted = { .program = "dmacastctl", .format = cat_http_format(cat) };
	char place[40];
	uint32_t epoch;
	uint64_t sequence;

	if (cat_receiver_last(cat->receiver, &epoch, &sequence)) {
		snprintf(place, sizeof(place), "%08" PRIx32 ":%" PRIu64, epoch, sequence);
		*link = CONTINUITY_RESUMED;
		wanted.start = place;
		if (cat->oldest) {
			*link = cat->too_old ? CONTINUITY_OLDEST : CONTINUITY_JOIN;
			wanted.start = strcpy(place, "oldest");
		}
	}
	return stream_url_request(cat_current_url(cat), &wanted);
}

/* Return: false without memory. @request: out; NULL: none is needed */
static bool cat_prepare_http(struct cat *cat, enum continuity_link *link, char **request)
{
	*request = NULL;
	if (!cat_current_url(cat)->http)
		return true;
	cat->answer = http_response_create(cat_pass_body, cat);
	*request = cat->answer ? cat_make_request(cat, link) : NULL;
	return *request;
}

static void cat_connect(struct cat *cat)
{
	enum continuity_link link = CONTINUITY_JOIN;
	char error[CAT_CONNECTION_ERROR], *request;

	cat->bytes_before = cat_receiver_bytes(cat->receiver);
	if (!cat_prepare_http(cat, &link, &request)) {
		cat_fail(cat, "no memory");
		return;
	}
	cat_allow_signals(true);
	cat->connection = cat_connection_open(&cat_current_url(cat)->address, request, error);
	cat_allow_signals(false);
	cat->answer_ns = clock_monotonic_ns() + ANSWER_NS;
	if (cat->connection)
		cat_receiver_begin(cat->receiver, link);
	else
		cat_lose(cat, error);
}

static void cat_advance(struct cat *cat)
{
	char error[CAT_CONNECTION_ERROR];

	if (!cat_connection_advance(cat->connection, error)) {
		cat_lose(cat, error);
	} else if (cat_connection_is_ready(cat->connection)) {
		cat->answer_ns = clock_monotonic_ns() + ANSWER_NS;
		if (!cat->answer)
			cat_begin_stream(cat);
	}
}

static void cat_time_out(struct cat *cat)
{
	char error[CAT_CONNECTION_ERROR];

	if (cat_connection_is_ready(cat->connection))
		cat_lose(cat, "the server does not answer");
	else if (cat_connection_next_address(cat->connection, error))
		cat->answer_ns = clock_monotonic_ns() + ANSWER_NS;
	else
		cat_lose(cat, error);
}

/* ---- receiving ---- */

/* The server does not have the place, or does not know it: take what it has. */
static void cat_ask_for_oldest(struct cat *cat, unsigned int status)
{
	cat->oldest = true;
	cat->too_old = status == HTTP_STATUS_GONE;
	cat_disconnect(cat);
	cat->retry_ns = 0;
}

static void cat_be_refused(struct cat *cat)
{
	unsigned int status = http_response_status(cat->answer);
	char error[HTTP_RESPONSE_ERROR];
	uint32_t epoch;
	uint64_t sequence;

	if ((status == HTTP_STATUS_CONFLICT || status == HTTP_STATUS_GONE) && !cat->oldest &&
	    cat_receiver_last(cat->receiver, &epoch, &sequence)) {
		cat_ask_for_oldest(cat, status);
		return;
	}
	cat_lose(cat, http_response_error(cat->answer, error));
}

/* @length: 0 at the end of the connection */
static void cat_take_answer(struct cat *cat, size_t length)
{
	char error[HTTP_RESPONSE_ERROR];

	switch (http_response_feed(cat->answer, (const char *)cat->buffer, length)) {
	case HTTP_RESPONSE_STREAM:
		cat_accept_answer(cat);
		break;
	case HTTP_RESPONSE_COMPLETE:
		cat_accept_answer(cat);
		if (cat_check_receiver(cat))
			cat_end_connection(cat);
		break;
	case HTTP_RESPONSE_REFUSED:
		cat_be_refused(cat);
		break;
	case HTTP_RESPONSE_BAD:
		if (cat_check_receiver(cat))
			cat_lose(cat, cat->answer_ns == NEVER
					      ? "the answer was cut or is malformed"
					      : http_response_error(cat->answer, error));
		break;
	case HTTP_RESPONSE_HEAD:
		if (!length)
			cat_lose(cat, "the server closed the connection without an answer");
		break;
	}
}

static void cat_take_bytes(struct cat *cat, size_t length)
{
	if (cat->answer)
		cat_take_answer(cat, length);
	else if (length)
		cat_receiver_feed(cat->receiver, cat->buffer, length);
	else
		cat_end_connection(cat);
	if (cat->connection && cat_check_receiver(cat) &&
	    cat_receiver_state(cat->receiver) == CAT_RECEIVER_ENDED)
		cat_complete(cat);
}

static void cat_receive(struct cat *cat)
{
	ssize_t received = cat_connection_receive(cat->connection, cat->buffer, RECEIVE_BYTES);
	int number = errno;

	cat_allow_signals(true);
	if (received >= 0)
		cat_take_bytes(cat, (size_t)received);
	else if (number != EAGAIN && number != EINTR)
		cat_lose(cat, strerror(number));
	cat_allow_signals(false);
}

/* ---- the loop ---- */

static void cat_flush(struct cat *cat)
{
	cat_allow_signals(true);
	if (!cat->output_failed && !cat_output_flush(cat->output)) {
		cat->output_failed = true;
		cat_fail(cat, "%s", cat_output_error(cat->output));
	}
	cat_allow_signals(false);
	cat->flush_ns = clock_monotonic_ns() + FLUSH_NS;
}

/* What is due by time. Return: when to look again; NEVER: only when something happens. */
static uint64_t cat_keep_time(struct cat *cat)
{
	uint64_t now_ns = clock_monotonic_ns(), draw_ns, next_ns;

	if (now_ns >= cat->end_ns)
		cat->finished = true;
	else if (!cat->connection && now_ns >= cat->retry_ns)
		cat_connect(cat);
	else if (cat->connection && now_ns >= cat->answer_ns)
		cat_time_out(cat);
	if (cat->options->output.pattern && now_ns >= cat->flush_ns)
		cat_flush(cat);
	draw_ns = cat_progress_draw(cat_report_progress(cat->report), now_ns);
	next_ns = cat->connection ? cat->answer_ns : cat->retry_ns;
	if (cat->end_ns < next_ns)
		next_ns = cat->end_ns;
	if (draw_ns && draw_ns < next_ns)
		next_ns = draw_ns;
	if (cat->options->output.pattern && cat->flush_ns < next_ns)
		next_ns = cat->flush_ns;
	return next_ns;
}

/* Wait with the signals allowed that end the program. */
static void cat_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(wait_ns / NS_PER_S),
		.tv_nsec = (long)(wait_ns % NS_PER_S),
	};
	sigset_t none;

	sigemptyset(&none);
	if (ppoll(fds, count, until_ns == NEVER ? NULL : &timeout, &none) > 0)
		return;
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = 0;
}

static void cat_wait(struct cat *cat, uint64_t until_ns)
{
	struct pollfd fds[2] = { { .fd = -1 }, { .fd = -1 } };
	size_t pending = cat_output_pending(cat->output);

	/* An answer is waited for in any case, since the time for it runs. */
	if (cat->connection && (pending < MAX_PENDING_BYTES || cat->answer_ns != NEVER)) {
		fds[0].fd = cat_connection_fd(cat->connection);
		fds[0].events = cat_connection_events(cat->connection);
	}
	if (pending) {
		fds[1].fd = cat_output_fd(cat->output);
		fds[1].events = POLLOUT;
	}
	cat_poll(fds, 2, until_ns);
	if (fds[0].revents && !cat_connection_is_ready(cat->connection))
		cat_advance(cat);
	else if (fds[0].revents)
		cat_receive(cat);
	if (!cat->options->output.pattern)
		cat_flush(cat);
}

/* Let standard output take the rest. */
static void cat_write_rest(struct cat *cat)
{
	bool limited = cat_stopped || cat->failed || clock_monotonic_ns() >= cat->end_ns;
	uint64_t until_ns = limited ? clock_monotonic_ns() + REST_NS : NEVER;
	struct pollfd fd = { .events = POLLOUT };

	cat_flush(cat);
	while (!cat->output_failed && cat_output_pending(cat->output)) {
		if (until_ns == NEVER && cat_stopped)
			until_ns = clock_monotonic_ns() + REST_NS;
		fd.fd = cat_output_fd(cat->output);
		cat_poll(&fd, 1, until_ns);
		cat_flush(cat);
		if (clock_monotonic_ns() < until_ns || !cat_output_pending(cat->output))
			continue;
		cat_fail(cat, "standard output is full: %zu bytes were not written",
			 cat_output_pending(cat->output));
		break;
	}
}

/* Whether the program ended while it received. */
static void cat_judge_end(struct cat *cat)
{
	const struct cat_gap gap = { .origin = CAT_GAP_UNKNOWN };

	if (!cat->failed && !cat->connected)
		cat_fail(cat, "no stream was received until the end");
	else if (!cat->failed && cat->cut)
		cat_report_gap(cat->report, &gap, NULL);
}

static int cat_finish(struct cat *cat)
{
	enum cat_exit status = CAT_EXIT_ALL;

	cat_write_rest(cat);
	cat_judge_end(cat);
	cat_allow_signals(true);
	if (!cat_output_finish(cat->output) && !cat->failed)
		cat_fail(cat, "%s", cat_output_error(cat->output));
	if (cat->failed)
		status = CAT_EXIT_ERROR;
	else if (cat_report_lost(cat->report))
		status = CAT_EXIT_LOST;
	if (!cat_report_end(cat->report, cat_receiver_bytes(cat->receiver), (int)status))
		status = CAT_EXIT_ERROR;
	return (int)status;
}

static int cat_loop(struct cat *cat)
{
	while (!cat->finished && !cat_stopped) {
		uint64_t until_ns = cat_keep_time(cat);

		if (!cat->finished && !cat_stopped)
			cat_wait(cat, until_ns);
	}
	return cat_finish(cat);
}

static bool cat_create(struct cat *cat, const struct cat_options *options)
{
	*cat = (struct cat){ .options = options, .answer_ns = NEVER, .end_ns = NEVER };
	backoff_reset(&cat->backoff);
	if (options->duration_us)
		cat->end_ns = clock_monotonic_ns() + options->duration_us * 1000;
	cat->report = cat_report_create(&options->report);
	if (!cat->report)
		return false;
	cat->buffer = malloc(RECEIVE_BYTES);
	cat->output = cat_output_create(&options->output, cat->report);
	if (cat->output)
		cat->receiver =
			cat_receiver_create(options->format, options->bytes, options->output.sigmf,
					    cat->output, cat->report);
	if (!cat->buffer || !cat->receiver)
		cat_report_error(cat->report, "no memory");
	return cat->buffer && cat->receiver;
}

static void cat_free(struct cat *cat)
{
	cat_disconnect(cat);
	cat_receiver_free(cat->receiver);
	cat_output_free(cat->output);
	cat_report_free(cat->report);
	free(cat->buffer);
}

int cat_run(int argc, char **argv)
{
	struct cat_options options;
	struct cat cat;
	int status = cat_options_parse(&options, argc, argv);

	if (status < 0) {
		cat_catch_signals();
		status = cat_create(&cat, &options) ? cat_loop(&cat) : (int)CAT_EXIT_ERROR;
		cat_free(&cat);
	}
	cat_options_free(&options);
	return status;
}
