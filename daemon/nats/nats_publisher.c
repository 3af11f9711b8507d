// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_publisher.h"

#include "ctl/cat_progress.h"
#include "ctl/cat_receiver.h"
#include "ctl/cat_report.h"
#include "ctl/cat_session.h"
#include "ctl/cat_signals.h"
#include "ctl/cat_sink.h"
#include "lib/clock.h"
#include "nats/nats_dial.h"
#include "nats/nats_exit.h"
#include "nats/nats_feed.h"
#include "nats/nats_outbox.h"
#include "nats/nats_probe.h"
#include "nats/nats_stream.h"
#include "nats/nats_subject.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Time for acknowledgements after a signal. */
#define REST_NS (10 * NS_PER_S)
/* Interval of statistics in JSON. */
#define STATS_NS (10 * NS_PER_S)

struct publisher {
	struct nats_options *options;
	struct cat_report *report;
	struct nats_server *server;
	char source[NATS_SUBJECT_BYTES]; /* name of the stream of dmacastd */
	char subject[NATS_SUBJECT_BYTES];
	char name[NATS_SUBJECT_BYTES]; /* of the stream of JetStream */
	struct nats_stream stream;
	struct nats_outbox *outbox;
	struct nats_feed *feed;
	struct cat_sink sink;
	struct cat_receiver *receiver;
	struct cat_session_options session_options;
	struct cat_session *session;
	uint64_t stats_ns; /* monotonic; when statistics are due */
	bool ended;	   /* the end of the stream was published */
};

/* ---- reports ---- */

static void publisher_report_stats(struct publisher *publisher)
{
	const struct nats_outbox_stats *stats = nats_outbox_stats(publisher->outbox);

	cat_report_event(publisher->report, "stats",
			 json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "messages",
				   (json_int_t)stats->messages, "bytes", (json_int_t)stats->bytes,
				   "pending", (json_int_t)stats->pending, "pending_bytes",
				   (json_int_t)stats->pending_bytes, "duplicates",
				   (json_int_t)stats->duplicates, "syncs", (json_int_t)stats->syncs,
				   "lost_messages", (json_int_t)stats->lost_messages, "connected",
				   nats_server_is_connected(publisher->server)));
}

/* Return: monotonic time when a report is due. */
static uint64_t publisher_keep_reports(struct publisher *publisher)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t draw_ns = cat_progress_draw(cat_report_progress(publisher->report), now_ns);

	if (now_ns >= publisher->stats_ns) {
		publisher_report_stats(publisher);
		publisher->stats_ns = now_ns + STATS_NS;
	}
	return draw_ns && draw_ns < publisher->stats_ns ? draw_ns : publisher->stats_ns;
}

/* ---- the loop ---- */

static void publisher_wait(struct publisher *publisher, struct pollfd source, uint64_t until_ns)
{
	struct pollfd fds[2] = { source,
				 { .fd = nats_server_fd(publisher->server), .events = POLLIN } };

	cat_signals_poll(fds, 2, until_ns);
	if (fds[1].revents)
		nats_server_clear(publisher->server);
	if (publisher->session)
		cat_session_handle(publisher->session, fds[0].revents);
}

/* Return: false when nothing can be published any more. */
static bool publisher_check_outbox(struct publisher *publisher)
{
	const char *error = nats_outbox_error(publisher->outbox);

	if (error && publisher->session)
		cat_session_fail(publisher->session, "%s", error);
	else if (error)
		cat_report_error(publisher->report, "%s", error);
	return !error;
}

static void publisher_check_end(struct publisher *publisher)
{
	bool ended = cat_receiver_state(publisher->receiver) == CAT_RECEIVER_ENDED;

	if (ended && !publisher->ended && !nats_feed_end(publisher->feed))
		cat_session_fail(publisher->session, "no memory");
	publisher->ended = ended;
}

static uint64_t publisher_sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void publisher_loop(struct publisher *publisher)
{
	while (!cat_session_finished(publisher->session) && !cat_signals_stopped()) {
		uint64_t until_ns = nats_outbox_advance(publisher->outbox);

		until_ns = publisher_sooner(until_ns, publisher_keep_reports(publisher));
		if (!publisher_check_outbox(publisher))
			return;
		until_ns = publisher_sooner(until_ns, cat_session_keep_time(publisher->session));
		if (cat_session_finished(publisher->session) || cat_signals_stopped())
			return;
		publisher_wait(publisher,
			       cat_session_poll(publisher->session,
						nats_outbox_is_full(publisher->outbox)),
			       until_ns);
		publisher_check_end(publisher);
	}
}

/* Wait until the last message was read, which says where to resume. */
static bool publisher_synchronize(struct publisher *publisher)
{
	const struct pollfd none = { .fd = -1 };

	while (!cat_signals_stopped()) {
		uint64_t until_ns = nats_outbox_advance(publisher->outbox);

		if (!publisher_check_outbox(publisher))
			return false;
		if (nats_outbox_last(publisher->outbox))
			return true;
		publisher_wait(publisher, none, until_ns);
	}
	return false;
}

/* Return: false if messages are left. */
static bool publisher_drain(struct publisher *publisher)
{
	const struct nats_outbox_stats *stats = nats_outbox_stats(publisher->outbox);
	const struct pollfd none = { .fd = -1 };
	uint64_t end_ns = clock_monotonic_ns() + REST_NS;

	while (stats->pending && !nats_outbox_error(publisher->outbox) &&
	       clock_monotonic_ns() < end_ns) {
		uint64_t until_ns = nats_outbox_advance(publisher->outbox);

		if (stats->pending)
			publisher_wait(publisher, none, publisher_sooner(until_ns, end_ns));
	}
	return !stats->pending;
}

/* ---- start and end ---- */

static bool publisher_name(struct publisher *publisher)
{
	const struct nats_options *options = publisher->options;
	char host[HOST_NAME_MAX + 1] = "localhost";

	gethostname(host, sizeof(host) - 1);
	if (!nats_probe(&publisher->options->url, !options->check, publisher->report,
			publisher->source))
		return false;
	if (!nats_subject_expand(options->subject, host, publisher->source, publisher->subject)) {
		cat_report_error(publisher->report, "the subject is too long: use a shorter one");
		return false;
	}
	if (options->stream.name)
		strlcpy(publisher->name, options->stream.name, sizeof(publisher->name));
	else
		nats_subject_stream(publisher->subject, publisher->name);
	publisher->stream = (struct nats_stream){
		.server = publisher->server,
		.options = &options->stream,
		.name = publisher->name,
		.subject = publisher->subject,
	};
	return true;
}

static bool publisher_open_outbox(struct publisher *publisher)
{
	char error[NATS_SERVER_ERROR];

	publisher->outbox =
		nats_outbox_create(&publisher->stream, publisher->source,
				   publisher->options->max_pending, publisher->report, error);
	if (!publisher->outbox)
		cat_report_error(publisher->report, "%s", error);
	return publisher->outbox;
}

static bool publisher_open_session(struct publisher *publisher)
{
	const struct nats_last *last = nats_outbox_last(publisher->outbox);
	struct frame frame;

	publisher->session_options = (struct cat_session_options){
		.urls = &publisher->options->url,
		.url_count = 1,
		.format = CAT_FORMAT_FRAMED,
		.bytes = UINT64_MAX,
		.reconnect = true,
	};
	publisher->feed = nats_feed_create(publisher->outbox, publisher->subject,
					   nats_server_payload(publisher->server), last);
	if (publisher->feed) {
		publisher->sink = nats_feed_sink(publisher->feed);
		publisher->receiver = cat_receiver_create(CAT_FORMAT_FRAMED, UINT64_MAX, false,
							  &publisher->sink, publisher->report);
	}
	if (publisher->receiver) {
		if (last->known && nats_message_last_block(&last->message, last->length, &frame))
			cat_receiver_resume(publisher->receiver, &frame);
		publisher->session = cat_session_create(&publisher->session_options,
							publisher->receiver, publisher->report);
	}
	if (!publisher->session)
		cat_report_error(publisher->report, "no memory");
	return publisher->session;
}

static void publisher_close(struct publisher *publisher)
{
	cat_session_free(publisher->session);
	cat_receiver_free(publisher->receiver);
	nats_feed_free(publisher->feed);
	/* Until the server is closed, a callback may run. */
	nats_server_disconnect(publisher->server);
	nats_outbox_stop(publisher->outbox);
	nats_server_close(publisher->server);
	nats_outbox_free(publisher->outbox);
	cat_report_free(publisher->report);
}

static enum nats_exit publisher_status(const struct publisher *publisher, bool drained)
{
	if (cat_session_failed(publisher->session) || !drained)
		return NATS_EXIT_ERROR;
	return cat_report_lost(publisher->report) ? NATS_EXIT_LOST : NATS_EXIT_ALL;
}

static int publisher_end(struct publisher *publisher)
{
	bool drained = publisher_drain(publisher);
	enum nats_exit status;

	if (!drained && !cat_session_failed(publisher->session))
		cat_report_error(publisher->report,
				 "%" PRIu64 " messages were not acknowledged; the next start "
				 "publishes what is missing",
				 nats_outbox_stats(publisher->outbox)->pending);
	status = publisher_status(publisher, drained);
	publisher_report_stats(publisher);
	if (!cat_report_end(publisher->report, cat_receiver_bytes(publisher->receiver),
			    (int)status))
		status = NATS_EXIT_ERROR;
	return (int)status;
}

static int publisher_check(struct publisher *publisher)
{
	char error[NATS_SERVER_ERROR];

	nats_dial_print(publisher->server);
	if (!publisher_name(publisher))
		return NATS_EXIT_ERROR;
	printf("source: stream %s of %s\nsubject: %s\n", publisher->source,
	       publisher->options->url.text, publisher->subject);
	if (nats_stream_print(&publisher->stream, error))
		return NATS_EXIT_ALL;
	cat_report_error(publisher->report, "%s", error);
	return NATS_EXIT_ERROR;
}

/* Return: the exit status; a signal before the stream was received is an end in order. */
static int publisher_run(struct publisher *publisher)
{
	publisher->server = nats_dial(&publisher->options->server, !publisher->options->check,
				      publisher->report);
	if (publisher->server && publisher->options->check)
		return publisher_check(publisher);
	if (!publisher->server || !publisher_name(publisher) || !publisher_open_outbox(publisher) ||
	    !publisher_synchronize(publisher))
		return cat_signals_stopped() ? NATS_EXIT_ALL : NATS_EXIT_ERROR;
	if (!publisher_open_session(publisher))
		return NATS_EXIT_ERROR;
	publisher_loop(publisher);
	return publisher_end(publisher);
}

int nats_publish(struct nats_options *options)
{
	struct publisher publisher = { .options = options };
	int status = NATS_EXIT_ERROR;

	publisher.report = cat_report_create(&options->report);
	if (publisher.report)
		status = publisher_run(&publisher);
	publisher_close(&publisher);
	return status;
}
