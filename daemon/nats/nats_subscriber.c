// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_subscriber.h"

#include "ctl/cat_output.h"
#include "ctl/cat_progress.h"
#include "ctl/cat_report.h"
#include "ctl/cat_signals.h"
#include "lib/clock.h"
#include "nats/nats_consumer.h"
#include "nats/nats_dial.h"
#include "nats/nats_exit.h"
#include "nats/nats_stream.h"
#include "nats/nats_subject.h"
#include "nats/nats_writer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Nothing is received while this many bytes wait for standard output. */
#define MAX_PENDING_BYTES (4U << 20)
#define REST_NS (10 * NS_PER_S)
#define STATS_NS (10 * NS_PER_S)
/* Longest time for which a signal, or standard output, is not looked at. */
#define TURN_MS 100

static const struct cat_output_options standard_output;

struct subscriber {
	struct nats_options *options;
	struct cat_report *report;
	struct nats_server *server;
	char name[NATS_SUBJECT_BYTES]; /* of the stream of JetStream */
	struct nats_stream stream;
	struct nats_consumer *consumer;
	struct cat_output *output;
	struct nats_writer *writer;
	uint64_t messages, foreign; /* received; those without our headers */
	uint64_t stats_ns;
	bool finished, failed, output_failed;
};

/* ---- reports ---- */

static void __attribute__((format(printf, 2, 3)))
subscriber_fail(struct subscriber *subscriber, const char *format, ...)
{
	char text[2 * NATS_SERVER_ERROR];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!subscriber->failed)
		cat_report_error(subscriber->report, "%s", text);
	subscriber->finished = subscriber->failed = true;
}

static void subscriber_report_stats(struct subscriber *subscriber)
{
	cat_report_event(subscriber->report, "stats",
			 json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "messages",
				   (json_int_t)subscriber->messages, "bytes",
				   (json_int_t)nats_writer_bytes(subscriber->writer), "foreign",
				   (json_int_t)subscriber->foreign, "duplicates",
				   (json_int_t)nats_writer_duplicates(subscriber->writer),
				   "reopened",
				   (json_int_t)nats_consumer_reopened(subscriber->consumer),
				   "connected", nats_server_is_connected(subscriber->server)));
}

static void subscriber_keep_reports(struct subscriber *subscriber)
{
	uint64_t now_ns = clock_monotonic_ns();

	cat_progress_draw(cat_report_progress(subscriber->report), now_ns);
	if (now_ns < subscriber->stats_ns)
		return;
	subscriber_report_stats(subscriber);
	subscriber->stats_ns = now_ns + STATS_NS;
}

/* ---- the loop ---- */

static void subscriber_flush(struct subscriber *subscriber)
{
	cat_signals_allow(true);
	if (!subscriber->output_failed && !cat_output_flush(subscriber->output)) {
		subscriber->output_failed = true;
		subscriber_fail(subscriber, "%s", cat_output_error(subscriber->output));
	}
	cat_signals_allow(false);
}

static void subscriber_wait_for_output(struct subscriber *subscriber, uint64_t until_ns)
{
	struct pollfd fd = { .fd = cat_output_fd(subscriber->output), .events = POLLOUT };

	cat_signals_poll(&fd, 1, until_ns);
	subscriber_flush(subscriber);
}

static void subscriber_end_stream(struct subscriber *subscriber, uint64_t sequence)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "the stream began to count again, as after a restart of dmacastd: these frames "
		 "end; the next ones begin with --start %" PRIu64,
		 sequence);
	cat_report_notice(subscriber->report, "count", text);
	subscriber->finished = true;
}

/* Return: true if the message was taken. */
static bool subscriber_take(struct subscriber *subscriber, const struct nats_delivery *delivery)
{
	size_t length = (size_t)natsMsg_GetDataLength(delivery->message);
	struct nats_message message;
	const char *fault;

	subscriber->messages++;
	if (!nats_message_decode(&message, nats_stream_get_header, delivery->message, length,
				 &fault)) {
		subscriber->foreign++;
		return true;
	}
	switch (nats_writer_take(subscriber->writer, &message, natsMsg_GetData(delivery->message),
				 length)) {
	case NATS_WRITER_TAKEN:
		return true;
	case NATS_WRITER_ENDS:
		subscriber_end_stream(subscriber, delivery->sequence);
		return false;
	default:
		subscriber_fail(subscriber, "message %" PRIu64 ": %s", delivery->sequence,
				nats_writer_error(subscriber->writer));
		return false;
	}
}

/* Wait until all is written. Return: false if it is not, at the end of the program. */
static bool subscriber_write_all(struct subscriber *subscriber)
{
	while (cat_output_pending(subscriber->output) && !subscriber->output_failed &&
	       !cat_signals_stopped())
		subscriber_wait_for_output(subscriber, clock_monotonic_ns() + TURN_MS * 1000000ULL);
	return !cat_output_pending(subscriber->output) && !subscriber->output_failed;
}

static void subscriber_handle(struct subscriber *subscriber, struct nats_delivery *delivery)
{
	bool taken = subscriber_take(subscriber, delivery), written = false;

	subscriber_flush(subscriber);
	/* What is acknowledged does not come again, so it has to be out. */
	if (taken && delivery->durable && nats_writer_is_whole(subscriber->writer))
		written = subscriber_write_all(subscriber);
	nats_consumer_free_delivery(delivery, written);
}

static void subscriber_turn(struct subscriber *subscriber)
{
	size_t pending = cat_output_pending(subscriber->output);
	struct nats_delivery delivery;

	subscriber_keep_reports(subscriber);
	if (pending >= MAX_PENDING_BYTES) {
		subscriber_wait_for_output(subscriber, clock_monotonic_ns() + TURN_MS * 1000000ULL);
		return;
	}
	delivery = nats_consumer_next(subscriber->consumer, pending ? 1 : TURN_MS);
	if (delivery.message)
		subscriber_handle(subscriber, &delivery);
	else if (pending)
		subscriber_flush(subscriber);
	if (nats_consumer_error(subscriber->consumer))
		subscriber_fail(subscriber, "%s", nats_consumer_error(subscriber->consumer));
}

/* A signal interrupts a wait, but not the library; it is noticed in the next turn. */
static void subscriber_loop(struct subscriber *subscriber)
{
	while (!subscriber->finished && !cat_signals_stopped()) {
		subscriber_turn(subscriber);
		cat_signals_poll(NULL, 0, 0);
	}
}

/* ---- start and end ---- */

static void subscriber_write_rest(struct subscriber *subscriber)
{
	uint64_t end_ns = clock_monotonic_ns() + REST_NS;

	if (!subscriber->failed && !nats_writer_end(subscriber->writer))
		subscriber_fail(subscriber, "%s", cat_output_error(subscriber->output));
	subscriber_flush(subscriber);
	while (cat_output_pending(subscriber->output) && !subscriber->output_failed &&
	       clock_monotonic_ns() < end_ns)
		subscriber_wait_for_output(subscriber, end_ns);
	if (cat_output_pending(subscriber->output))
		subscriber_fail(subscriber, "standard output is full: %zu bytes were not written",
				cat_output_pending(subscriber->output));
}

static int subscriber_end(struct subscriber *subscriber)
{
	enum nats_exit status = NATS_EXIT_ALL;

	subscriber_write_rest(subscriber);
	if (subscriber->failed)
		status = NATS_EXIT_ERROR;
	else if (cat_report_lost(subscriber->report))
		status = NATS_EXIT_LOST;
	subscriber_report_stats(subscriber);
	if (!cat_report_end(subscriber->report, nats_writer_bytes(subscriber->writer), (int)status))
		status = NATS_EXIT_ERROR;
	return (int)status;
}

/* A subscriber that begins in the middle needs the metadata of now. */
static void subscriber_read_metadata(struct subscriber *subscriber)
{
	jsCtx *jetstream = nats_server_jetstream(subscriber->server);
	char events[NATS_SUBJECT_BYTES];
	jsStreamInfo *info = NULL;
	natsMsg *message = NULL;
	jsErrCode code;

	if (js_GetStreamInfo(&info, jetstream, subscriber->name, NULL, &code) == NATS_OK &&
	    info->Config->SubjectsLen) {
		nats_subject_events(info->Config->Subjects[0], events);
		if (js_GetLastMsg(&message, jetstream, subscriber->name, events, NULL, &code) ==
		    NATS_OK)
			nats_writer_note_event(subscriber->writer, natsMsg_GetData(message),
					       (size_t)natsMsg_GetDataLength(message));
	}
	natsMsg_Destroy(message);
	jsStreamInfo_Destroy(info);
}

static bool subscriber_create(struct subscriber *subscriber)
{
	subscriber->output = cat_output_create(&standard_output, subscriber->report);
	if (subscriber->output)
		subscriber->writer =
			nats_writer_create(subscriber->options->framed, subscriber->name,
					   subscriber->output, subscriber->report);
	if (subscriber->writer)
		subscriber->consumer =
			nats_consumer_create(subscriber->server, subscriber->name,
					     &subscriber->options->start, subscriber->report);
	if (!subscriber->consumer)
		cat_report_error(subscriber->report, "no memory");
	return subscriber->consumer;
}

static int subscriber_check(struct subscriber *subscriber)
{
	const struct nats_stream stream = { .server = subscriber->server,
					    .name = subscriber->name };
	char error[NATS_SERVER_ERROR];

	nats_dial_print(subscriber->server);
	if (nats_stream_print(&stream, error))
		return NATS_EXIT_ALL;
	cat_report_error(subscriber->report, "%s", error);
	return NATS_EXIT_ERROR;
}

static int subscriber_run(struct subscriber *subscriber)
{
	nats_subject_stream(subscriber->options->stream_name, subscriber->name);
	subscriber->server = nats_dial(&subscriber->options->server, !subscriber->options->check,
				       subscriber->report);
	if (!subscriber->server)
		return cat_signals_stopped() ? NATS_EXIT_ALL : NATS_EXIT_ERROR;
	if (subscriber->options->check)
		return subscriber_check(subscriber);
	if (!subscriber_create(subscriber))
		return NATS_EXIT_ERROR;
	subscriber_read_metadata(subscriber);
	subscriber_loop(subscriber);
	return subscriber_end(subscriber);
}

int nats_subscribe(struct nats_options *options)
{
	struct subscriber subscriber = { .options = options };
	int status = NATS_EXIT_ERROR;

	subscriber.report = cat_report_create(&options->report);
	if (subscriber.report)
		status = subscriber_run(&subscriber);
	nats_consumer_stop(subscriber.consumer);
	nats_server_disconnect(subscriber.server);
	nats_consumer_free(subscriber.consumer);
	nats_writer_free(subscriber.writer);
	cat_output_free(subscriber.output);
	nats_server_close(subscriber.server);
	cat_report_free(subscriber.report);
	return status;
}
