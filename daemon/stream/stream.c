// SPDX-License-Identifier: BSD-2-Clause
/*
 * The fan-out. A block from the source enters the window and is offered to every client that has all
 * blocks before it (stream_lag.c). A client whose socket is full continues by itself on its next
 * socket event.
 *
 * Nothing is freed from within a callback of its own: clients that are gone are parked in `dead` and
 * freed in the next iteration of the event loop.
 */
#include "stream/stream.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/priority.h"
#include "lib/units.h"
#include "ring/ring.h"
#include "source/path_watch.h"
#include "source/source.h"
#include "stream/stream_internal.h"

#include <assert.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Bytes that one client may send before the next one. With many clients the budget is small: the bytes
 * that all of them get are still in the CPU's nearest cache for the last one. With few clients it is
 * large, because system calls and wake-ups cost more.
 */
#define MAX_BUDGET (896ULL << 10)
#define MIN_BUDGET (448ULL << 10)
#define TOTAL_BUDGET (7ULL << 20)

/* Upper bound of the budget in bytes if the kernel does not copy: the cache does not matter then. */
#define UNCOPIED_BUDGET (4480ULL << 10)

/*
 * Bytes that a source may hand on before they are sent. With few clients keep this small: recently freed
 * blocks are refilled while they are still in the cache. With many clients they are in the cache anyway,
 * and a single client that gets no copies does not need it. Then a large budget saves system calls and
 * packets that are not full.
 */
#define MIN_SOURCE_BUDGET (768U << 10)
#define MAX_SOURCE_BUDGET (4U << 20)

/* Time that udev may need to set the group of a new device, in nanoseconds. */
#define DEVICE_SETTLE_NS 1000000000ULL

/* Upper bound for the clients that are freed in one turn of the event loop. */
#define MAX_REAPED 500

static void stream_schedule_deferred(struct stream *stream)
{
	static const struct timeval at_once;

	if (!evtimer_pending(stream->deferred, NULL))
		evtimer_add(stream->deferred, &at_once);
}

static void stream_schedule_queued(struct stream *stream)
{
	if (!stream_queue_is_empty(&stream->queue) || stream->lag.wants_room)
		stream_schedule_deferred(stream);
}

/* Do what is queued, but not for long. */
static void stream_run_queue(struct stream *stream)
{
	stream_queue_run(&stream->queue, clock_monotonic_ns() + MAX_CALLBACK_NS);
	if (!stream_queue_is_in_round(&stream->queue))
		stream->round_bytes = 0;
	stream_schedule_queued(stream);
}

static void stream_set_state(struct stream *stream, enum stream_state state)
{
	assert(state > stream->state || (state == STREAM_IDLE && stream->state == STREAM_RUNNING));
	stream->state = state;
}

static void stream_end_if_empty(struct stream *stream)
{
	if (stream->state != STREAM_ENDING || stream->clients ||
	    (stream->source && source_is_busy(stream->source)))
		return;
	stream_set_state(stream, STREAM_ENDED);
	stream_journal_flush(&stream->journal);
	stream_events_close(&stream->events);
	log_info("stream %s: ended after %" PRIu64 " bytes in %" PRIu64 " blocks",
		 stream->settings->name, window_bytes(stream->window), window_head(stream->window));
	stream->callbacks->ended(stream->argument, stream);
}

/* ---- sending ---- */

static void stream_set_budget(struct stream *stream)
{
	uint64_t share = TOTAL_BUDGET / (stream->clients ? stream->clients : 1);
	struct section *section;

	if (share < MIN_BUDGET)
		share = MIN_BUDGET;
	if (share > MAX_BUDGET)
		share = MAX_BUDGET;
	/* With many clients it stays the same, and there may be hundreds of sections. */
	if (share == stream->budget_bytes)
		return;
	stream->budget_bytes = share;
	TAILQ_FOREACH (section, &stream->sections, entry)
		section->group.budget_bytes = stream->budget_bytes;
}

static struct stream *stream_of(const void *argument)
{
	return ((const struct section *)argument)->stream;
}

static void client_requeue(void *argument, struct client *client)
{
	struct stream *stream = stream_of(argument);

	stream_queue_add(&stream->queue, client, CLIENT_TASK_SEND);
	stream_schedule_deferred(stream);
}

static void client_progressed(void *argument)
{
	struct stream *stream = stream_of(argument);

	if (stream->lag.blocked)
		stream_schedule_deferred(stream);
}

/* Return true if the kernel copies for every client that it has reported on, as on loopback. */
static bool kernel_copies(const struct stream *stream)
{
	return stream->copied_clients && stream->copied_clients == stream->known_clients;
}

static void client_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				      enum zerocopy_copy_state now)
{
	struct stream *stream = stream_of(argument);
	bool did_copy = kernel_copies(stream);

	stream->known_clients -= before != ZEROCOPY_UNKNOWN;
	stream->known_clients += now != ZEROCOPY_UNKNOWN;
	stream->copied_clients -= before == ZEROCOPY_COPIED;
	stream->copied_clients += now == ZEROCOPY_COPIED;
	/* A state that was handed over may be wrong: clients of a stream without a ring have sent no block. */
	if (stream->ring && kernel_copies(stream) != did_copy)
		ring_set_reuse(stream->ring, did_copy ? RING_SEQUENTIAL : RING_LIFO);
}

/* ---- what clients send ---- */

static ssize_t stream_write_source(void *argument, const void *bytes, size_t length)
{
	const struct stream *stream = argument;

	return source_write(stream->source, bytes, length);
}

static const struct stream_input_callbacks stream_input_callbacks = {
	.write = stream_write_source,
	.read = client_read_input,
};

static void stream_source_writable(void *argument)
{
	struct stream *stream = argument;

	stream_input_writable(&stream->input);
}

static void stream_source_unwritable(void *argument)
{
	struct stream *stream = argument;

	stream_input_end_run(&stream->input);
}

/* ---- the source ---- */

static void stream_make_room(void *argument)
{
	struct stream *stream = argument;

	stream_lag_make_room(&stream->lag);
	stream_schedule_queued(stream);
}

/* The metadata has changed: each framed client gets it before the next block. */
static void stream_metadata_changed(struct stream *stream)
{
	struct section *section;
	struct client *client;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			client_send_metadata(client);
	}
}

/* Return: true if it has changed. */
static bool stream_refresh_metadata(struct stream *stream)
{
	bool changed = stream_frames_refresh(&stream->frames);

	if (changed)
		stream_metadata_changed(stream);
	return changed;
}

/* Let clients send that have something else than blocks. */
static void stream_requeue_all(struct stream *stream)
{
	struct section *section;
	struct client *client;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			client_requeue(section, client);
	}
}

static void stream_block_filled(void *argument, struct block *block)
{
	struct stream *stream = argument;

	stream->stats->blocks++;
	stream->stats->last_block_ns = clock_monotonic_ns();
	stream->stats->bytes += block->length;
	rate_note(&stream->stats->rate, stream->stats->bytes, stream->stats->last_block_ns);
	stream->round_bytes += block->length;
	if (stream->frames.stale)
		stream_refresh_metadata(stream);
	stream_frames_write(&stream->frames, block, window_head(stream->window),
			    window_bytes(stream->window));
	stream_preamble_add(&stream->preamble, block, window_bytes(stream->window));
	window_push(stream->window, block);
}

static void stream_count_lost(struct stream *stream, uint64_t blocks)
{
	stream->stats->lost_blocks += blocks;
	stream->stats->losses++;
	stream_events_overrun(&stream->events, blocks);
}

static void stream_blocks_lost(void *argument, uint64_t blocks)
{
	struct stream *stream = argument;

	stream_frames_note_lost(&stream->frames, blocks);
	stream_count_lost(stream, blocks);
}

static void stream_record_broken(void *argument)
{
	struct stream *stream = argument;

	stream->stats->broken_records++;
}

static void stream_source_starved(void *argument)
{
	struct stream *stream = argument;

	stream->stats->waits++;
}

/* Until all clients were offered the bytes of a budget, the source may not exceed it. */
static size_t stream_source_budget(void *argument)
{
	const struct stream *stream = argument;
	bool few = stream->budget_bytes > MIN_BUDGET;
	bool cached = stream->clients > 1 || ring_reuse(stream->ring) == RING_LIFO;
	size_t budget = few && cached ? MIN_SOURCE_BUDGET : MAX_SOURCE_BUDGET;

	if (!stream_queue_is_in_round(&stream->queue))
		return budget;
	return budget > stream->round_bytes ? budget - (size_t)stream->round_bytes : 0;
}

static void stream_blocks_ready(void *argument)
{
	struct stream *stream = argument;

	stream_lag_offer(&stream->lag);
	if (!stream_queue_is_in_round(&stream->queue))
		stream->round_bytes = 0;
	stream_schedule_queued(stream);
}

static void section_finish_clients(struct section *section)
{
	struct client *client;

	endpoints_close_all(&section->endpoints);
	TAILQ_FOREACH (client, &section->crowd.clients, entry)
		stream_queue_add(&section->stream->queue, client, CLIENT_TASK_FINISH);
}

static void stream_finish_clients(struct stream *stream)
{
	struct section *section;

	stream_set_state(stream, STREAM_ENDING);
	stream_demand_end(&stream->demand);
	stream->lag.wants_room = false;
	TAILQ_FOREACH (section, &stream->sections, entry)
		section_finish_clients(section);
	stream_run_queue(stream);
	stream_end_if_empty(stream);
}

static void stream_begin_epoch(struct stream *stream)
{
	if (stream_frames_begin_epoch(&stream->frames))
		stream_metadata_changed(stream);
}

static void stream_source_restarted(void *argument)
{
	struct stream *stream = argument;

	stream->stats->source_restarts++;
	/* The epochs of a relay are those of its origin. */
	if (!stream_settings_is_relay(stream->settings))
		stream_begin_epoch(stream);
}

/* ---- a relay ---- */

/* The numbers of the blocks begin again: framed clients get END, and may come back. */
static void stream_end_runs(struct stream *stream)
{
	struct section *section;
	struct client *client;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		TAILQ_FOREACH (client, &section->crowd.clients, entry)
			client_end_run(client);
	}
	stream_requeue_all(stream);
	log_notice("stream %s: input %s: its blocks are counted from another begin; framed clients "
		   "get the rest and END, and have to connect again",
		   stream->settings->name, source_text(stream->source));
}

static void stream_count_missed(struct stream *stream, uint64_t blocks)
{
	if (!blocks)
		return;
	stream_count_lost(stream, blocks);
	log_limited(&stream->missed_log, LOG_LEVEL_WARNING,
		    "stream %s: input %s: %" PRIu64 " blocks are missing: the origin does not have "
		    "them any more, or lost them",
		    stream->settings->name, source_text(stream->source), blocks);
}

static void stream_block_identified(void *argument, const struct frame *frame, bool restarts,
				    uint64_t missed)
{
	struct stream *stream = argument;

	if (restarts)
		stream_end_runs(stream);
	if (stream_frames_follow(&stream->frames, frame, restarts, window_head(stream->window),
				 window_bytes(stream->window)))
		stream_preamble_set(&stream->preamble, NULL, 0);
	stream_count_missed(stream, missed);
}

static void stream_source_described(void *argument, const struct frame *frame, const void *payload)
{
	struct stream *stream = argument;
	bool was_known = stream->frames.is_known;

	if (!was_known)
		stream_frames_follow(&stream->frames, frame, false, window_head(stream->window),
				     window_bytes(stream->window));
	if (frame->flags & FRAME_PREAMBLE)
		stream_preamble_set(&stream->preamble, payload, frame->length);
	else if (stream_frames_set_metadata(&stream->frames, payload, frame->length))
		stream_metadata_changed(stream);
	if (!was_known)
		stream_requeue_all(stream);
}

static void stream_source_switched(void *argument)
{
	struct stream *stream = argument;

	stream->stats->origin_switches++;
	stream_events_origin(&stream->events, source_text(stream->source),
			     stream->stats->origin_switches);
}

/* ---- the source goes on and ends ---- */

static void stream_source_up(void *argument)
{
	const struct stream *stream = argument;

	stream_events_source_up(&stream->events, stream->stats->source_restarts);
}

static void stream_source_down(void *argument, const char *why)
{
	const struct stream *stream = argument;

	stream_events_source_down(&stream->events, why);
}

static void stream_run_begins(void *argument)
{
	struct stream *stream = argument;

	stream_preamble_begin_run(&stream->preamble);
}

static void stream_source_ended(void *argument, const char *why)
{
	struct stream *stream = argument;

	log_info("stream %s: %s after %" PRIu64 " bytes; %" PRIu64 " clients get the rest",
		 stream->settings->name, why, window_bytes(stream->window), stream->clients);
	if (stream_settings_device_returns(stream->settings))
		stream->callbacks->device_lost(stream->argument, stream);
	stream_finish_clients(stream);
}

static void stream_source_idle(void *argument)
{
	stream_end_if_empty(argument);
}

static void stream_demand_met(void *argument)
{
	struct stream *stream = argument;

	if (stream->settings->on_demand)
		log_limited(&stream->start_log, LOG_LEVEL_INFO,
			    "stream %s: starting the source for %" PRIu64 " clients",
			    stream->settings->name, stream->demand.active);
	stream->stats->source_starts++;
	stream_set_state(stream, STREAM_RUNNING);
	source_start(stream->source);
}

static void stream_demand_over(void *argument)
{
	struct stream *stream = argument;

	source_pause(stream->source);
	stream->lag.wants_room = false;
	stream->lag.blocked = false;
	/* The next start begins a new run. A client that joins before it is told the epoch of that run. */
	stream_run_begins(stream);
	stream_begin_epoch(stream);
	stream_set_state(stream, STREAM_IDLE);
	log_limited(&stream->pause_log, LOG_LEVEL_INFO,
		    "stream %s: no client is left; stopping the source until one comes",
		    stream->settings->name);
}

static const struct stream_demand_callbacks demand_callbacks = {
	.met = stream_demand_met,
	.over = stream_demand_over,
};

/* Let the source run as soon as clients want it. */
static void stream_start_source(struct stream *stream)
{
	if (stream->started && stream->state == STREAM_HOLDING)
		stream_demand_begin(&stream->demand);
}

/* ---- clients come and go ---- */

static void client_gone(void *argument, struct client *client)
{
	struct section *section = argument;
	struct stream *stream = section->stream;
	const struct zerocopy_stats *sends = &client->zerocopy.stats;

	if (sends->foreign_completions || sends->truncated)
		log_error("stream %s: client %s: %" PRIu64 " completions of sends that were not "
			  "outstanding, %" PRIu64 " cut short; please report this",
			  section->label, client->peer_text, sends->foreign_completions,
			  sends->truncated);
	stream_journal_left(&stream->journal, client, stream->clients - 1);
	stream->stats->left_for[client->leave]++;
	client_totals_add(&stream->stats->left, &client->stats, sends);
	stream_queue_remove(client);
	stream_crowd_leave(&section->crowd, client);
	stream->clients--;
	stream_set_budget(stream);
	TAILQ_INSERT_TAIL(&stream->dead, client, entry);
	stream_schedule_deferred(stream);
}

static void client_inactive(void *argument)
{
	stream_demand_leave(&stream_of(argument)->demand);
}

static void client_half_closed(void *argument, struct client *client)
{
	struct section *section = argument;

	stream_crowd_add_half_closed(&section->crowd, client);
}

static void client_streaming(void *argument, struct client *client)
{
	(void)client;
	stream_demand_join(&stream_of(argument)->demand);
}

static const struct client_callbacks client_callbacks = {
	.inactive = client_inactive,
	.streaming = client_streaming,
	.half_closed = client_half_closed,
	.requeue = client_requeue,
	.copy_state_changed = client_copy_state_changed,
	.progressed = client_progressed,
	.gone = client_gone,
};

/* Make a client, and let it join the crowd. @fd: taken over. Return: NULL without memory. */
static struct client *section_add_client(struct section *section, int fd,
					 const struct sockaddr *peer, socklen_t length)
{
	struct crowd_host *host = stream_crowd_reserve(&section->crowd, peer);
	struct client *client;

	if (!host) {
		close(fd);
		return NULL;
	}
	client = client_create(&section->group, fd, peer, length);
	if (client)
		stream_crowd_join(&section->crowd, client, host);
	else
		stream_crowd_cancel(&section->crowd, host);
	return client;
}

static void stream_client_accepted(void *argument, int fd, const struct sockaddr *peer,
				   socklen_t length)
{
	struct section *section = argument;
	struct stream *stream = section->stream;
	struct client *client;

	if (!stream_admission_check(&section->admission, fd, peer, &section->crowd))
		return;
	client = section_add_client(section, fd, peer, length);
	if (!client) {
		stream_admission_count(&section->admission, REFUSE_NO_MEMORY);
		stream_events_refused(&section->group, peer, REFUSE_NO_MEMORY);
		log_error("stream %s: no memory for a client", section->label);
		return;
	}
	stream->clients++;
	stream->stats->joined++;
	section->stats->joined++;
	stream_set_budget(stream);
	stream_journal_joined(&stream->journal, client, stream->clients);
	if (client_is_active(client))
		stream_demand_join(&stream->demand);
	/* It may have closed already: while many do that, the next one needs its place. */
	client_check_input(client);
}

static void stream_endpoint_changed(void *argument, enum listener_change change,
				    const char *endpoint, const char *text)
{
	static const enum stream_event_type type[] = {
		[LISTENER_LISTENS] = EVENT_ENDPOINT_LISTENING,
		[LISTENER_WAITS] = EVENT_ENDPOINT_WAITING,
		[LISTENER_CLOSED] = EVENT_ENDPOINT_CLOSED,
	};
	const struct section *section = argument;

	stream_events_endpoint(&section->group, type[change], endpoint, text);
}

static void stream_reap_dead(struct stream *stream, unsigned int most)
{
	struct client *client;

	while (most-- && (client = TAILQ_FIRST(&stream->dead))) {
		TAILQ_REMOVE(&stream->dead, client, entry);
		client_free(client);
	}
	if (!TAILQ_EMPTY(&stream->dead))
		stream_schedule_deferred(stream);
}

/* Free removed sections whose clients have left, but not from within a callback of such a client. */
static void stream_reap_sections(struct stream *stream)
{
	struct section *section, *next;

	TAILQ_FOREACH_SAFE (section, &stream->sections, entry, next) {
		if (section->removed && !section->crowd.count)
			stream_drop_section(stream, section);
	}
}

/* A client under lag-policy = block has moved on, or left: others may be the slowest ones now. */
static void stream_retry_room(struct stream *stream)
{
	if (stream->lag.blocked && stream->state == STREAM_RUNNING)
		stream_make_room(stream);
}

static void stream_run_deferred(evutil_socket_t fd, short what, void *argument)
{
	struct stream *stream = argument;

	(void)fd;
	(void)what;
	stream_reap_dead(stream, MAX_REAPED);
	stream_reap_sections(stream);
	stream_run_queue(stream);
	/* The source may wait for blocks that clients in the queue needed. */
	if (stream->lag.wants_room)
		stream_make_room(stream);
	stream_retry_room(stream);
	stream_end_if_empty(stream);
}

static void section_kick_all(struct section *section, enum leave_reason reason, const char *text)
{
	struct client *client;

	TAILQ_FOREACH (client, &section->crowd.clients, entry)
		stream_queue_add_kick(&section->stream->queue, client, reason, text);
}

/* Reset the clients of removed sections that had their time, and wait for the next one. */
static void stream_sections_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream *stream = argument;
	uint64_t now_ns = clock_monotonic_ns(), next_ns = UINT64_MAX;
	struct section *section;
	struct timeval delay;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (section, &stream->sections, entry) {
		if (!section->removed)
			continue;
		if (section->drain_ns <= now_ns)
			section_kick_all(section, LEAVE_STOPPING, "endpoint removed");
		else if (section->drain_ns < next_ns)
			next_ns = section->drain_ns;
	}
	stream_run_queue(stream);
	if (next_ns == UINT64_MAX)
		return;
	delay = clock_timeval((next_ns - now_ns) / 1000 + 1);
	evtimer_add(&stream->section_timer, &delay);
}

/* ---- opening, starting and stopping ---- */

const struct source_callbacks stream_source_callbacks = {
	.make_room = stream_make_room,
	.block_filled = stream_block_filled,
	.blocks_lost = stream_blocks_lost,
	.record_broken = stream_record_broken,
	.starved = stream_source_starved,
	.ready = stream_blocks_ready,
	.budget = stream_source_budget,
	.restarted = stream_source_restarted,
	.identified = stream_block_identified,
	.described = stream_source_described,
	.switched = stream_source_switched,
	.up = stream_source_up,
	.down = stream_source_down,
	.run_begins = stream_run_begins,
	.writable = stream_source_writable,
	.unwritable = stream_source_unwritable,
	.ended = stream_source_ended,
	.idle = stream_source_idle,
};

static bool stream_open_source(struct stream *stream, const struct names *names)
{
	const struct stream_settings *settings = stream->settings;
	uint32_t blocks = ring_blocks(stream->ring);
	char size[UNITS_TEXT], block_size[UNITS_TEXT];

	stream->source = source_open(stream->base, settings, stream->ring, names,
				     &stream_source_callbacks, stream);
	if (!stream->source)
		return false;
	stream_lag_set_ring(&stream->lag, stream->ring);
	stream->opened_ns = clock_monotonic_ns();
	log_info("stream %s: %s; ring of %s: %u blocks of %s, %s", settings->name,
		 source_text(stream->source),
		 units_format_about(settings->block_size * blocks, size), blocks,
		 units_format_about(settings->block_size, block_size),
		 ring_memory_text(stream->ring));
	return true;
}

/* Return false with device_error set. */
static bool stream_open_device_ring(struct stream *stream)
{
	char wrong[RING_DEVICE_WRONG] = "no memory";

	stream->ring = ring_device_open(stream->base, stream->settings, wrong);
	if (stream->ring && stream_open_source(stream, NULL)) {
		stream_set_state(stream, STREAM_HOLDING);
		stream->stats->source_restarts += stream->is_successor;
		return true;
	}
	if (stream->ring)
		ring_destroy(stream->ring);
	stream->ring = NULL;
	strlcpy(stream->device_error, wrong, sizeof(stream->device_error));
	return false;
}

/* The device may be there: udev sets its group after the kernel has made it, and each is an event. */
static void stream_device_appeared(void *argument)
{
	struct stream *stream = argument;

	stream->appeared_ns = clock_monotonic_ns();
	backoff_reset(&stream->backoff);
	event_active(stream->retry, EV_TIMEOUT, 0);
}

/* Watch the path of the device before it is opened, so that no change in between is missed. */
static void stream_watch_device(struct stream *stream)
{
	if (stream->device_watch)
		return;
	stream->device_watch = path_watch_create(stream->base, stream->settings->device,
						 stream_device_appeared, stream);
	if (!stream->device_watch && !stream->watch_failed)
		log_warning("stream %s: device %s: inotify: %s; it is noticed up to 10 seconds "
			    "after it has appeared",
			    stream->settings->name, stream->settings->device, strerror(errno));
	stream->watch_failed = !stream->device_watch;
}

static void stream_unwatch_device(struct stream *stream)
{
	path_watch_destroy(stream->device_watch);
	stream->device_watch = NULL;
}

/* Log why the device cannot be opened, unless it has just appeared and udev may not have set its group yet. */
static void stream_log_device_error(struct stream *stream)
{
	if (!strcmp(stream->logged_error, stream->device_error) ||
	    (stream->appeared_ns && clock_monotonic_ns() - stream->appeared_ns < DEVICE_SETTLE_NS))
		return;
	strlcpy(stream->logged_error, stream->device_error, sizeof(stream->logged_error));
	log_warning("stream %s: device %s: %s; trying again until it is there",
		    stream->settings->name, stream->settings->device, stream->device_error);
}

/* Open the device. If that fails, schedule the next attempt. */
static void stream_try_device(struct stream *stream)
{
	struct timeval delay;

	stream_watch_device(stream);
	if (stream_open_device_ring(stream)) {
		stream_unwatch_device(stream);
		return;
	}
	stream_log_device_error(stream);
	delay = backoff_take(&stream->backoff);
	evtimer_add(stream->retry, &delay);
}

static void stream_retry_due(evutil_socket_t fd, short what, void *argument)
{
	struct stream *stream = argument;

	(void)fd;
	(void)what;
	stream_try_device(stream);
	stream_start_source(stream);
}

static bool stream_open_ring(struct stream *stream, enum stream_device device,
			     const struct names *names)
{
	const struct stream_settings *settings = stream->settings;

	if (!settings->device) {
		stream_set_state(stream, STREAM_HOLDING);
		return stream_open_source(stream, names);
	}
	if (device == STREAM_DEVICE_HELD)
		return true;
	if (settings->on_end == ON_END_WAIT || device == STREAM_DEVICE_WAITED_FOR) {
		stream_try_device(stream);
		return true;
	}
	if (stream_open_device_ring(stream))
		return true;
	log_error("stream %s: device = %s: %s", settings->name, settings->device,
		  stream->device_error);
	return false;
}

/* ---- sections ---- */

struct section *stream_find_section(const struct stream *stream, const char *name)
{
	struct section *section;

	if (!name)
		return TAILQ_FIRST(&stream->sections);
	TAILQ_FOREACH (section, &stream->sections, entry) {
		if (section->name && !section->removed && !strcmp(section->name, name))
			break;
	}
	return section;
}

static void section_use_endpoint(struct section *section, const struct endpoint_settings *endpoint)
{
	section_use(section, &endpoint->client, &endpoint->listen);
}

static void section_use_own(struct section *section, const struct stream_settings *settings)
{
	section_use(section, &settings->client, &settings->listen);
}

struct section *stream_add_section(struct stream *stream, const struct endpoint_settings *endpoint)
{
	static const struct listener_callbacks listener_callbacks = {
		.accepted = stream_client_accepted,
		.changed = stream_endpoint_changed,
	};
	const struct client_group common = {
		.base = stream->base,
		.stream_name = stream->settings->name,
		.window = stream->window,
		.memory = &stream->memory,
		.frames = &stream->frames,
		.preamble = &stream->preamble,
		.history = &stream->history,
		.latency = &stream->stats->latency,
		.sent = &stream->stats->sent,
		.events = &stream->events,
		.input = &stream->input,
		.http_answers = stream->stats->http_answers,
		.callbacks = &client_callbacks,
		.uncopied_budget_bytes = UNCOPIED_BUDGET,
		.budget_bytes = stream->budget_bytes,
	};
	struct section *section = section_create(stream, endpoint ? endpoint->name : NULL, &common,
						 stream->stats, &listener_callbacks);

	if (!section)
		return NULL;
	if (endpoint)
		section_use_endpoint(section, endpoint);
	else
		section_use_own(section, stream->settings);
	TAILQ_INSERT_TAIL(&stream->sections, section, entry);
	stream_lag_add(&stream->lag, &section->lag_rule, &section->group);
	return section;
}

void stream_drop_section(struct stream *stream, struct section *section)
{
	stream_lag_remove(&stream->lag, &section->lag_rule);
	TAILQ_REMOVE(&stream->sections, section, entry);
	section_free(section);
}

void stream_each_section(struct stream *stream,
			 void (*each)(void *argument, struct section *section), void *argument)
{
	struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry)
		each(argument, section);
}

static bool stream_add_sections(struct stream *stream)
{
	const struct stream_settings *settings = stream->settings;
	bool added = stream_add_section(stream, NULL);

	for (size_t i = 0; added && i < settings->endpoint_count; i++)
		added = stream_add_section(stream, &settings->endpoints[i]);
	return added;
}

/* Return: false without memory, which was logged. */
static bool stream_init_parts(struct stream *stream)
{
	if (stream->deferred && stream->retry && stream->window &&
	    stream_input_init(&stream->input, stream->base, &stream_input_callbacks, stream,
			      &stream->stats->input) &&
	    stream_frames_init(&stream->frames, stream->settings) &&
	    stream_preamble_init(&stream->preamble, stream->settings))
		return true;
	log_error("stream %s: no memory for the window; lower ring-size", stream->settings->name);
	return false;
}

struct stream *stream_create(struct event_base *base, struct stream_settings *settings,
			     struct stream_stats *stats, const struct stream_callbacks *callbacks,
			     void *argument)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		log_error("stream %s: no memory", settings->name);
		stream_settings_free(settings);
		return NULL;
	}
	stream->settings = settings;
	stream->base = base;
	stream->stats = stats;
	stream->callbacks = callbacks;
	stream->argument = argument;
	backoff_reset(&stream->backoff);
	TAILQ_INIT(&stream->sections);
	TAILQ_INIT(&stream->dead);
	stream_queue_init(&stream->queue);
	stream_journal_init(&stream->journal, base, stream->settings);
	stream_events_init(&stream->events, callbacks->watch, stream->settings->name);
	stream->deferred = evtimer_new(base, stream_run_deferred, stream);
	stream_demand_init(&stream->demand, base, stream->settings, &stream->sections,
			   &demand_callbacks, stream);
	evtimer_assign(&stream->section_timer, base, stream_sections_due, stream);
	stream->retry = evtimer_new(base, stream_retry_due, stream);
	stream->window = window_create((uint32_t)stream_settings_blocks(settings));
	stream_set_budget(stream);
	stream_lag_init(&stream->lag, base, stream->settings, stream->window, &stream->queue);
	if (stream->window)
		stream_history_init(&stream->history, base, stream->settings, stream->window,
				    &stream->frames, &stream->preamble);
	stream_memory_init(&stream->memory, &stream->settings->client, settings->ring_size);
	if (stream_init_parts(stream))
		return stream;
	stream_close(stream);
	return NULL;
}

/* Create a stream without endpoints, ring and source, with a copy of the settings. */
static struct stream *stream_create_configured(struct event_base *base,
					       const struct stream_settings *settings,
					       struct stream_stats *stats,
					       const struct stream_callbacks *callbacks,
					       void *argument)
{
	struct stream_settings *copy = stream_settings_copy(settings);
	struct stream *stream;

	if (!copy) {
		log_error("stream %s: no memory", settings->name);
		return NULL;
	}
	stream = stream_create(base, copy, stats, callbacks, argument);
	if (!stream || stream_add_sections(stream))
		return stream;
	stream_close(stream);
	return NULL;
}

struct stream *stream_open(struct event_base *base, const struct stream_settings *settings,
			   struct stream_stats *stats, const struct stream_callbacks *callbacks,
			   void *argument, enum stream_device device, struct ring *ring,
			   const struct names *names)
{
	struct stream *stream =
		stream_create_configured(base, settings, stats, callbacks, argument);

	if (!stream) {
		if (ring)
			ring_destroy(ring);
		return NULL;
	}
	stream->ring = ring;
	if (stream_preamble_read(&stream->preamble) && stream_open_ring(stream, device, names))
		return stream;
	stream_close(stream);
	return NULL;
}

/* Move the endpoints of all sections to those of @to, which has the same settings. */
static bool stream_move_endpoints(struct stream *to, struct stream *from)
{
	struct section *section, *target;
	bool moved = true;

	TAILQ_FOREACH (section, &from->sections, entry) {
		target = stream_find_section(to, section->name);
		if (target && !section->removed)
			moved = moved &&
				endpoints_move_all(&target->endpoints, &section->endpoints);
	}
	return moved;
}

struct stream *stream_open_successor(struct stream *lost, const struct stream_callbacks *callbacks,
				     void *argument)
{
	struct stream *stream = stream_create_configured(lost->base, lost->settings, lost->stats,
							 callbacks, argument);
	struct timeval delay;

	if (!stream)
		return NULL;
	if (!stream_move_endpoints(stream, lost)) {
		stream_close(stream);
		return NULL;
	}
	stream_preamble_inherit(&stream->preamble, &lost->preamble);
	stream->started = true;
	stream->is_successor = true;
	/* Do not open a device without a pause if it fails as soon as it starts. */
	if (clock_monotonic_ns() - lost->opened_ns < BACKOFF_STEADY_NS)
		stream->backoff = lost->backoff;
	stream_watch_device(stream);
	delay = backoff_take(&stream->backoff);
	evtimer_add(stream->retry, &delay);
	log_notice("stream %s: waiting for device %s; new clients wait until it is back",
		   stream->settings->name, stream->settings->device);
	return stream;
}

const char *stream_name(const struct stream *stream)
{
	return stream->settings->name;
}

bool stream_is_same(const struct stream *a, const struct stream *b)
{
	return !strcmp(a->settings->name, b->settings->name);
}

bool stream_is_ending(const struct stream *stream)
{
	return stream->state >= STREAM_ENDING;
}

const struct stream_settings *stream_settings(const struct stream *stream)
{
	return stream->settings;
}

/* The clients of a section that was removed get the rest; a timer ends that. */
static void stream_remove_section(struct stream *stream, struct section *section, uint64_t drain_us)
{
	const struct timeval patience = clock_timeval(drain_us);

	log_notice("stream %s: removed; its clients get the rest", section->label);
	section_remove(section);
	section->drain_ns = clock_monotonic_ns() + drain_us * 1000;
	section_finish_clients(section);
	stream_run_queue(stream);
	if (!evtimer_pending(&stream->section_timer, NULL))
		evtimer_add(&stream->section_timer, &patience);
	stream_schedule_deferred(stream);
}

/* Let each section use the settings of its name; sections of new names were added before. */
static void stream_use_settings(struct stream *stream, uint64_t drain_us)
{
	const struct stream_settings *settings = stream->settings;
	struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		const struct endpoint_settings *endpoint =
			section->name ? stream_settings_find_endpoint(settings, section->name)
				      : NULL;

		if (!section->name)
			section_use_own(section, settings);
		else if (!section->removed && endpoint)
			section_use_endpoint(section, endpoint);
		else if (!section->removed)
			stream_remove_section(stream, section, drain_us);
	}
}

void stream_adapt(struct stream *stream, struct stream_settings *wanted, uint64_t drain_us)
{
	stream_settings_adapt(stream->settings, wanted);
	stream_use_settings(stream, drain_us);
	stream_lag_adapt(&stream->lag);
	stream_history_adapt(&stream->history);
	if (stream_refresh_metadata(stream))
		stream_requeue_all(stream);
	if (stream->source)
		source_adapt(stream->source);
	if (stream->state == STREAM_RUNNING)
		stream_make_room(stream);
	stream_demand_adapt(&stream->demand);
}

void stream_retry_device(struct stream *stream)
{
	if (stream->state != STREAM_WAITING || evtimer_pending(stream->retry, NULL))
		return;
	event_active(stream->retry, EV_TIMEOUT, 0);
}

bool stream_has_command(const struct stream *stream)
{
	for (size_t i = 0; i < stream_settings_inputs(stream->settings); i++) {
		if (!strncmp(stream_settings_input(stream->settings, i), "exec:", 5))
			return true;
	}
	return false;
}

bool stream_has_ring(const struct stream *stream)
{
	return stream->ring;
}

void stream_start(struct stream *stream)
{
	if (stream->started || stream_is_ending(stream))
		return;
	stream->started = true;
	if (stream->settings->on_demand)
		log_info("stream %s: on demand; the source starts when clients are there",
			 stream->settings->name);
	else if (stream->settings->hold)
		log_info("stream %s: holding until %" PRIu64 " clients have joined",
			 stream->settings->name, stream->settings->hold);
	stream_start_source(stream);
}

void stream_stop(struct stream *stream)
{
	if (stream->state >= STREAM_ENDING)
		return;
	stream_unwatch_device(stream);
	evtimer_del(stream->retry);
	if (stream->source)
		source_stop(stream->source);
	stream_finish_clients(stream);
}

void stream_kill_command(struct stream *stream)
{
	if (stream->source)
		source_kill(stream->source);
}

/* Parameters and value as of stream_kick(). */
static uint64_t section_kick(struct section *section, const char *address)
{
	struct client *client;
	uint64_t kicked = 0;

	TAILQ_FOREACH (client, &section->crowd.clients, entry) {
		if (client->state >= CLIENT_RESETTING ||
		    (address && strcmp(client->peer_text, address)))
			continue;
		stream_queue_add_kick(&section->stream->queue, client, LEAVE_BY_OPERATOR, NULL);
		kicked++;
	}
	return kicked;
}

uint64_t stream_kick(struct stream *stream, const char *address)
{
	struct section *section;
	uint64_t kicked = 0;

	TAILQ_FOREACH (section, &stream->sections, entry)
		kicked += section_kick(section, address);
	if (kicked)
		stream_run_queue(stream);
	stream_end_if_empty(stream);
	return kicked;
}

void stream_kick_all(struct stream *stream, enum leave_reason reason, const char *text)
{
	struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry)
		section_kick_all(section, reason, text);
	stream_run_queue(stream);
	stream_end_if_empty(stream);
}

uint64_t stream_clients(const struct stream *stream)
{
	return stream->clients;
}

uint64_t stream_bytes(const struct stream *stream)
{
	return window_bytes(stream->window);
}

bool stream_has_ended(const struct stream *stream)
{
	return stream->state == STREAM_ENDED;
}

void stream_close(struct stream *stream)
{
	struct section *section;

	assert(!stream->clients);
	stream_reap_dead(stream, UINT_MAX);
	stream_journal_flush(&stream->journal);
	stream_events_close(&stream->events);
	stream_unwatch_device(stream);
	stream_demand_end(&stream->demand);
	evtimer_del(&stream->section_timer);
	while ((section = TAILQ_FIRST(&stream->sections)))
		stream_drop_section(stream, section);
	stream_lag_close(&stream->lag);
	if (stream->source)
		source_close(stream->source);
	stream_input_free(&stream->input);
	if (stream->window) {
		stream_history_close(&stream->history);
		window_destroy(stream->window);
	}
	if (stream->ring)
		ring_destroy(stream->ring);
	if (stream->retry)
		event_free(stream->retry);
	if (stream->deferred)
		event_free(stream->deferred);
	stream_frames_free(&stream->frames);
	stream_preamble_free(&stream->preamble);
	stream_settings_free(stream->settings);
	free(stream);
}

/* ---- handover ---- */

bool stream_awaits_retry(const struct stream *stream)
{
	return evtimer_pending(stream->retry, NULL);
}

static void stream_resume_device(struct stream *stream)
{
	stream_watch_device(stream);
	event_active(stream->retry, EV_TIMEOUT, 0);
}

static bool stream_has_removed_section(const struct stream *stream)
{
	const struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		if (section->removed)
			return true;
	}
	return false;
}

/* Return how the demand was, which follows from the state of the stream. */
static enum demand_state stream_demand_state(const struct stream *stream)
{
	switch (stream->state) {
	case STREAM_RUNNING:
		return DEMAND_MET;
	case STREAM_IDLE:
		return DEMAND_WAITING;
	case STREAM_HOLDING:
		return stream->started ? DEMAND_WAITING : DEMAND_OFF;
	default:
		return DEMAND_OFF;
	}
}

void stream_resume(struct stream *stream, uint64_t active, bool retries)
{
	static const struct timeval at_once;

	stream_set_budget(stream);
	stream_demand_resume(&stream->demand, stream_demand_state(stream), active);
	if (stream_refresh_metadata(stream))
		stream_requeue_all(stream);
	if (stream->state == STREAM_WAITING && retries)
		stream_resume_device(stream);
	if (stream_has_removed_section(stream))
		evtimer_add(&stream->section_timer, &at_once);
	/* The source may have waited for blocks, which completions have freed by now. */
	stream->lag.wants_room = stream->state == STREAM_RUNNING;
	stream_schedule_deferred(stream);
}

static void section_abandon_clients(struct section *section)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&section->crowd.clients))) {
		stream_queue_remove(client);
		stream_crowd_leave(&section->crowd, client);
		section->stream->clients--;
		client_abandon(client);
	}
}

void stream_abandon(struct stream *stream)
{
	struct section *section;

	TAILQ_FOREACH (section, &stream->sections, entry) {
		endpoints_discard_all(&section->endpoints);
		section_abandon_clients(section);
	}
	stream_close(stream);
}
