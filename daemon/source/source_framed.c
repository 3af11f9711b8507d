// SPDX-License-Identifier: BSD-2-Clause
/*
 * The source of a relay: it connects to an origin, or starts a command that writes its frames, and passes its blocks on
 * as they are.
 *
 *   IDLE ─ start ─▶ CALLING ─▶ READING ◀─▶ STARVED (no free block)
 *                     ▲ │         │ connection lost, silence, a frame that is none
 *                     │ ▼         ▼
 *                     RETRYING ◀──┴──▶ ENDED (END, with on-end = close)
 *
 * RETRYING lasts until a former run of a command has ended, too.
 *
 * By http: it asks for what follows the last block that it has. An origin that does not have that any more, or has
 * another epoch, is asked for its oldest block.
 */
#include "source/source_type.h"

#include "lib/log.h"
#include "lib/state.h"
#include "lib/timer_state.h"
#include "lib/units.h"
#include "ring/ring.h"
#include "source/framed_input.h"
#include "source/origin_link.h"
#include "source/origins.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <http_parser.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum framed_state {
	FRAMED_IDLE,
	FRAMED_CALLING,
	FRAMED_READING,
	FRAMED_STARVED,
	FRAMED_RETRYING,
	FRAMED_ENDED,
};

/* What to ask an origin for. */
enum framed_wish {
	FRAMED_WISH_NEXT,   /* what follows the last block */
	FRAMED_WISH_OLDEST, /* the oldest block, because it does not have that any more */
	FRAMED_WISH_OTHER,  /* the oldest block, because it does not know the last one */
};

struct framed_source {
	struct source source;
	struct event_base *base;
	const struct stream_settings *settings;
	struct ring *ring;
	struct origins origins;
	struct framed_input *input;
	enum framed_state state;
	enum framed_wish wish;
	bool was_open;
	bool is_over; /* the origin has written all of this connection or run */
	struct origin_link link;
	struct event readable;
	struct event resume;
	struct event retry;
	struct event silence; /* when input-timeout may be over */
	uint64_t active_ns;   /* last byte, or since when one is expected */
	uint64_t opened_ns;
	struct log_limit losses;
};

static void framed_call(struct framed_source *framed);

/* The state for source_state(). */
static void framed_set_state(struct framed_source *framed, enum framed_state state)
{
	static const enum source_state published[] = {
		[FRAMED_IDLE] = SOURCE_WAITING,	    [FRAMED_CALLING] = SOURCE_CONNECTING,
		[FRAMED_READING] = SOURCE_RUNNING,  [FRAMED_STARVED] = SOURCE_RUNNING,
		[FRAMED_RETRYING] = SOURCE_WAITING, [FRAMED_ENDED] = SOURCE_ENDED,
	};

	framed->state = state;
	source_set_state(&framed->source, published[state], state == FRAMED_STARVED);
}

static void framed_disconnect(struct framed_source *framed)
{
	event_del(&framed->readable);
	event_del(&framed->silence);
	event_del(&framed->retry);
	origin_link_close(&framed->link, framed->is_over);
	framed_input_cut(framed->input);
}

/* ---- the end of a connection ---- */

static void framed_switch(struct framed_source *framed)
{
	framed->wish = FRAMED_WISH_NEXT;
	framed->source.text = origins_text(&framed->origins);
	if (framed->source.callbacks->switched)
		framed->source.callbacks->switched(framed->source.argument);
}

/* Return true if the connection was not short. */
static bool framed_was_steady(const struct framed_source *framed)
{
	return framed->link.fd >= 0 &&
	       clock_monotonic_ns() - framed->opened_ns >= BACKOFF_STEADY_NS;
}

/* The connection is gone, or could not be made. Try again, with the next origin if there are several. */
static void framed_lose(struct framed_source *framed, const char *why)
{
	bool gained = framed->link.fd >= 0 && framed_input_gained(framed->input), switched;
	const char *former = framed->source.text;
	struct timeval delay;
	char time[UNITS_TEXT];

	source_note_end(&framed->source, why);
	delay = origins_fail(&framed->origins, gained, framed_was_steady(framed), &switched);
	log_limited(&framed->losses, LOG_LEVEL_WARNING,
		    "stream %s: input %s: %s; trying %s%s in %s", framed->settings->name, former,
		    why, switched ? "" : "again", switched ? origins_text(&framed->origins) : "",
		    units_format_duration(clock_timeval_us(&delay), time));
	framed_input_ready(framed->input);
	framed_disconnect(framed);
	framed_set_state(framed, FRAMED_RETRYING);
	event_add(&framed->retry, &delay);
	if (switched)
		framed_switch(framed);
}

static void framed_end_stream(struct framed_source *framed)
{
	const char *why = "the origin has ended the stream";

	framed->is_over = true;
	if (framed->settings->on_end != ON_END_CLOSE) {
		framed_lose(framed, why);
		return;
	}
	source_note_end(&framed->source, why);
	framed_input_ready(framed->input);
	framed_disconnect(framed);
	framed_set_state(framed, FRAMED_ENDED);
	framed->source.callbacks->ended(framed->source.argument, why);
}

/* ---- reading ---- */

/* Note the start of a wait for bytes; input-timeout ends it. */
static void framed_expect_bytes(struct framed_source *framed)
{
	struct timeval delay = clock_timeval(framed->settings->input_timeout);

	framed->active_ns = clock_monotonic_ns();
	if (framed->settings->input_timeout)
		event_add(&framed->silence, &delay);
	else
		event_del(&framed->silence);
}

/* Return: false without memory. */
static bool framed_watch(struct framed_source *framed)
{
	if (framed->state != FRAMED_READING)
		framed_expect_bytes(framed);
	framed_set_state(framed, FRAMED_READING);
	return !event_add(&framed->readable, NULL);
}

/* The timer is not set again for each byte: it looks how long ago the last one was. */
static void framed_silence_due(evutil_socket_t fd, short what, void *argument)
{
	struct framed_source *framed = argument;
	uint64_t timeout_ns = framed->settings->input_timeout * 1000;
	uint64_t silent_ns = clock_monotonic_ns() - framed->active_ns;
	char time[UNITS_TEXT], why[UNITS_TEXT + 32];
	struct timeval delay;

	(void)fd;
	(void)what;
	if (framed->state != FRAMED_READING || !timeout_ns)
		return;
	if (silent_ns < timeout_ns) {
		delay = clock_timeval((timeout_ns - silent_ns) / 1000 + 1);
		event_add(&framed->silence, &delay);
		return;
	}
	snprintf(why, sizeof(why), "no byte for %s",
		 units_format_duration(framed->settings->input_timeout, time));
	framed_lose(framed, why);
}

static void framed_starve(struct framed_source *framed)
{
	event_del(&framed->readable);
	framed_set_state(framed, FRAMED_STARVED);
}

/* Take @bytes that were read. Return: false if the connection has ended. */
static bool framed_take(struct framed_source *framed, size_t bytes)
{
	source_note_bytes(&framed->source);
	framed->active_ns = framed->source.last_byte_ns;
	switch (framed_input_commit(framed->input, bytes)) {
	case FRAMED_INPUT_MORE:
		return true;
	case FRAMED_INPUT_ENDED:
		framed_end_stream(framed);
		return false;
	default:
		framed_lose(framed, framed_input_error(framed->input));
		return false;
	}
}

static const char *framed_missing_end(const struct framed_source *framed)
{
	return framed->origins.input.kind == INPUT_EXEC
		       ? "the command ended without the END of the stream"
		       : "the connection ended without the END of the stream";
}

/* Read once. Return: the number of bytes; 0 if there are no more for now, or the connection has ended. */
static size_t framed_read_some(struct framed_source *framed)
{
	struct iovec space[FRAMED_INPUT_SPACES];
	size_t bytes;
	int count = framed_input_spaces(framed->input, space, &bytes);
	ssize_t n;

	if (!count) {
		framed_starve(framed);
		return 0;
	}
	n = readv(framed->link.fd, space, count);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		framed->is_over = !n;
		framed_lose(framed, n ? strerror(errno) : framed_missing_end(framed));
		return 0;
	}
	return framed_take(framed, (size_t)n) && (size_t)n == bytes ? bytes : 0;
}

static void framed_read(evutil_socket_t fd, short what, void *argument)
{
	struct framed_source *framed = argument;
	size_t budget = framed->source.callbacks->budget(framed->source.argument), bytes = 1;

	(void)fd;
	(void)what;
	while (budget && bytes) {
		bytes = framed_read_some(framed);
		budget -= bytes < budget ? bytes : budget;
	}
	framed_input_ready(framed->input);
}

/* Called within ring_put(), deep inside the code that recycles: only note it. */
static void framed_ring_has_free(void *argument)
{
	struct framed_source *framed = argument;

	event_active(&framed->resume, EV_TIMEOUT, 0);
}

static void framed_resume(evutil_socket_t fd, short what, void *argument)
{
	struct framed_source *framed = argument;

	(void)fd;
	(void)what;
	if (framed->state == FRAMED_STARVED)
		framed_watch(framed);
}

/* ---- a connection ---- */

/* The origin does not have the place that it was asked for: take what it has. Return: false for another error. */
static bool framed_ask_for_oldest(struct framed_source *framed, unsigned int status)
{
	if (framed->wish != FRAMED_WISH_NEXT ||
	    (status != HTTP_STATUS_GONE && status != HTTP_STATUS_CONFLICT))
		return false;
	framed->wish = status == HTTP_STATUS_GONE ? FRAMED_WISH_OLDEST : FRAMED_WISH_OTHER;
	framed_call(framed);
	return true;
}

/* A command is not told where to go on, but it may know, as a durable consumer does. */
static enum continuity_link framed_link(const struct framed_source *framed)
{
	enum input_kind kind = framed->origins.input.kind;
	uint32_t epoch;
	uint64_t sequence;

	if ((kind != INPUT_HTTP && kind != INPUT_EXEC) ||
	    !framed_input_last(framed->input, &epoch, &sequence) ||
	    framed->wish == FRAMED_WISH_OTHER)
		return CONTINUITY_JOIN;
	return framed->wish == FRAMED_WISH_NEXT ? CONTINUITY_RESUMED : CONTINUITY_OLDEST;
}

static void framed_opened(void *argument, int fd)
{
	struct framed_source *framed = argument;

	framed->is_over = false;
	framed->opened_ns = clock_monotonic_ns();
	event_assign(&framed->readable, framed->base, fd, EV_READ | EV_PERSIST, framed_read,
		     framed);
	framed_input_begin(framed->input, framed_link(framed));
	framed->wish = FRAMED_WISH_NEXT;
	if (framed->was_open && framed->source.callbacks->restarted)
		framed->source.callbacks->restarted(framed->source.argument);
	framed->was_open = true;
	log_info("stream %s: input %s: open", framed->settings->name, framed->source.text);
	if (!framed_watch(framed))
		framed_lose(framed, "no memory");
}

static void framed_refused(void *argument, const char *error, unsigned int status)
{
	struct framed_source *framed = argument;

	if (!framed_ask_for_oldest(framed, status))
		framed_lose(framed, error);
}

/* Return what to ask for: the parameter `start`; NULL: what the URL says. */
static const char *framed_start_text(const struct framed_source *framed,
				     char text[CLIENT_START_TEXT])
{
	const struct lag_limit *retain = &framed->settings->retain;
	struct block_name last;

	if (!framed_input_last(framed->input, &last.epoch, &last.sequence)) {
		/* Clients of a former relay may resume at what is kept. */
		if ((!retain->bytes && !retain->microseconds) ||
		    stream_url_has(&framed->origins.input.url, "start"))
			return NULL;
		return "oldest";
	}
	return framed->wish == FRAMED_WISH_NEXT ? block_name_format(&last, text) : "oldest";
}

/* Return true if the next origin is a command, and a former run has not ended yet. */
static bool framed_must_wait(const struct framed_source *framed)
{
	return framed->origins.input.kind == INPUT_EXEC && origin_link_is_busy(&framed->link);
}

static void framed_call(struct framed_source *framed)
{
	char text[CLIENT_START_TEXT];
	const char *start = NULL;

	if (framed_must_wait(framed)) {
		framed_set_state(framed, FRAMED_RETRYING); /* framed_command_ended() follows */
		return;
	}
	if (framed->origins.input.kind == INPUT_HTTP)
		start = framed_start_text(framed, text);
	framed_set_state(framed, FRAMED_CALLING);
	origin_link_open(&framed->link, &framed->origins.input, start);
}

static void framed_retry_due(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	framed_call(argument);
}

static void framed_command_ended(void *argument)
{
	struct framed_source *framed = argument;

	if (framed->state == FRAMED_ENDED && framed->source.callbacks->idle)
		framed->source.callbacks->idle(framed->source.argument);
	else if (framed->state == FRAMED_RETRYING && !evtimer_pending(&framed->retry, NULL))
		framed_call(framed);
}

static const struct origin_link_callbacks framed_link_callbacks = {
	.opened = framed_opened,
	.failed = framed_refused,
	.ended = framed_command_ended,
};

/* ---- the functions of a source ---- */

static void framed_adapt_ring(struct framed_source *framed)
{
	uint32_t low_water = (uint32_t)stream_settings_low_water(framed->settings);

	/* One more than the low-water mark, or the next block would call make_room() at once. */
	ring_on_free(framed->ring, low_water + 1, framed_ring_has_free, framed);
}

static void framed_start(struct source *source)
{
	struct framed_source *framed = (struct framed_source *)source;

	framed_adapt_ring(framed);
	framed_call(framed);
}

static void framed_leave(struct framed_source *framed, enum framed_state state)
{
	framed_input_ready(framed->input);
	framed_disconnect(framed);
	event_del(&framed->resume);
	ring_on_free(framed->ring, 0, NULL, NULL);
	framed_set_state(framed, state);
}

static void framed_pause(struct source *source)
{
	struct framed_source *framed = (struct framed_source *)source;

	if (framed->state != FRAMED_ENDED)
		framed_leave(framed, FRAMED_IDLE);
}

static void framed_stop(struct source *source)
{
	framed_leave((struct framed_source *)source, FRAMED_ENDED);
}

static bool framed_is_busy(const struct source *source)
{
	return origin_link_is_busy(&((const struct framed_source *)source)->link);
}

static void framed_kill(struct source *source)
{
	origin_link_kill(&((struct framed_source *)source)->link);
}

static void framed_adapt(struct source *source)
{
	struct framed_source *framed = (struct framed_source *)source;

	if (framed->state == FRAMED_ENDED || framed->state == FRAMED_IDLE)
		return;
	framed_adapt_ring(framed);
	if (framed->state == FRAMED_READING)
		framed_expect_bytes(framed);
}

static void framed_close(struct source *source)
{
	struct framed_source *framed = (struct framed_source *)source;

	framed_disconnect(framed);
	origin_link_release(&framed->link);
	event_del(&framed->resume);
	ring_on_free(framed->ring, 0, NULL, NULL);
	framed_input_free(framed->input);
	free(framed);
}

/* ---- handover ---- */

static void framed_transfer(struct framed_source *framed, struct state *state)
{
	bool is_awaited =
		ring_is_awaited(framed->ring) || event_pending(&framed->resume, EV_TIMEOUT, NULL);
	int number = (int)framed->state;

	state_choice(state, "framed_state", &number, FRAMED_ENDED + 1);
	framed->state = (enum framed_state)number;
	number = (int)framed->wish;
	state_choice(state, "wish", &number, FRAMED_WISH_OTHER + 1);
	framed->wish = (enum framed_wish)number;
	state_bool(state, "was_open", &framed->was_open);
	state_bool(state, "is_awaited", &is_awaited);
	state_u64(state, "active_ns", &framed->active_ns);
	state_u64(state, "opened_ns", &framed->opened_ns);
	timer_transfer(&framed->retry, state, "retry");
	origins_transfer(&framed->origins, state);
	framed_input_transfer(framed->input, state);
	if (!state_is_saving(state) && !state_failed(state) && is_awaited)
		ring_want_free(framed->ring);
}

static void framed_save(struct source *source, struct state *state)
{
	struct framed_source *framed = (struct framed_source *)source;

	framed_transfer(framed, state);
	origin_link_save(&framed->link, state);
}

static const struct source_type framed_type = {
	.start = framed_start,
	.pause = framed_pause,
	.stop = framed_stop,
	.is_busy = framed_is_busy,
	.kill = framed_kill,
	.adapt = framed_adapt,
	.save = framed_save,
	.close = framed_close,
};

struct source *source_framed_open(struct event_base *base, const struct stream_settings *settings,
				  struct ring *ring, const struct source_callbacks *callbacks,
				  void *argument)
{
	struct framed_source *framed = calloc(1, sizeof(*framed));
	const char *wrong = "no memory";

	if (framed)
		framed->input = framed_input_create(settings, ring, callbacks, argument);
	if (!framed || !framed->input || !origins_init(&framed->origins, settings, &wrong)) {
		log_error("stream %s: input = %s: %s", settings->name, settings->input.first,
			  wrong);
		if (framed)
			framed_input_free(framed->input);
		free(framed);
		return NULL;
	}
	source_init(&framed->source, &framed_type, origins_text(&framed->origins), callbacks,
		    argument);
	framed->base = base;
	framed->settings = settings;
	framed->ring = ring;
	origin_link_init(&framed->link, base, settings, &framed_link_callbacks, framed);
	event_assign(&framed->readable, base, -1, 0, framed_read, framed);
	event_assign(&framed->resume, base, -1, 0, framed_resume, framed);
	evtimer_assign(&framed->retry, base, framed_retry_due, framed);
	evtimer_assign(&framed->silence, base, framed_silence_due, framed);
	return &framed->source;
}

/* Return: NULL, or what the state of the source has not, or must not have. */
static const char *framed_contradiction(const struct framed_source *framed)
{
	bool is_open = framed->state == FRAMED_READING || framed->state == FRAMED_STARVED;

	if (is_open != (framed->link.fd >= 0))
		return "whether there is a descriptor contradicts the state";
	if (framed->link.reads_command != (is_open && framed->origins.input.kind == INPUT_EXEC))
		return "reads_command: contradicts the input, or the state";
	if (framed->state != FRAMED_RETRYING && evtimer_pending(&framed->retry, NULL))
		return "retry: contradicts the state";
	return NULL;
}

/* The time of the handover is not the silence of the origin. */
static void framed_watch_silence(struct framed_source *framed)
{
	const struct timeval later = { .tv_sec = 1 };

	if (framed->settings->input_timeout)
		event_add(&framed->silence, &later);
}

/* Continue in the state that was restored. */
static void framed_continue(struct framed_source *framed)
{
	static const struct timeval at_once;

	if (framed->link.fd >= 0)
		event_assign(&framed->readable, framed->base, framed->link.fd, EV_READ | EV_PERSIST,
			     framed_read, framed);
	if (framed->state != FRAMED_IDLE && framed->state != FRAMED_ENDED)
		framed_adapt_ring(framed);
	if (framed->state == FRAMED_READING) {
		event_add(&framed->readable, NULL);
		framed_watch_silence(framed);
	}
	/* A call is not handed over: make it again. */
	if (framed->state == FRAMED_CALLING)
		framed->state = FRAMED_RETRYING;
	if (framed->state == FRAMED_RETRYING && !evtimer_pending(&framed->retry, NULL) &&
	    !framed_must_wait(framed))
		event_add(&framed->retry, &at_once);
}

struct source *source_framed_restore(struct event_base *base,
				     const struct stream_settings *settings, struct ring *ring,
				     const struct source_callbacks *callbacks, void *argument,
				     struct state *state)
{
	struct source *source = source_framed_open(base, settings, ring, callbacks, argument);
	struct framed_source *framed = (struct framed_source *)source;
	const char *wrong;

	if (!source)
		return NULL;
	source_transfer(source, state);
	framed_transfer(framed, state);
	source->text = origins_text(&framed->origins);
	wrong = origin_link_restore(&framed->link, state);
	if (!wrong && !state_failed(state))
		wrong = framed_contradiction(framed);
	if (wrong && !state_failed(state))
		state_fail(state, "%s", wrong);
	if (!state_failed(state))
		framed_continue(framed);
	return source;
}
