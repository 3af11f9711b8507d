// SPDX-License-Identifier: BSD-2-Clause
#include "stream/reload.h"

#include "config/option_table.h"
#include "lib/endpoint.h"
#include "lib/log.h"
#include "ring/ring.h"
#include "stream/change.h"
#include "stream/endpoints.h"
#include "stream/preparation.h"
#include "stream/stream.h"
#include "stream/streams.h"

#include <assert.h>
#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>

/* The origin of a wanted endpoint. */
enum origin {
	ORIGIN_HERE,   /* the running stream, which keeps it */
	ORIGIN_STREAM, /* a running stream, which hands it over */
	ORIGIN_NEW,    /* opened before the change */
	ORIGIN_LATER,  /* opened after an endpoint that blocks its port is closed */
};

struct change {
	enum change_kind kind;
	const struct stream_settings *wanted;
	struct stream *running;		 /* NULL for CHANGE_OPEN */
	struct stream *prepared;	 /* for CHANGE_RESTART and CHANGE_OPEN */
	struct stream_settings *adapted; /* copy of `wanted`, for CHANGE_ADAPT */
	struct endpoints added;		 /* ORIGIN_NEW, before they are moved */
	enum origin *origin;		 /* one for each item of wanted->listen */
	char options[OPTION_NAMES_TEXT];
};

struct plan {
	struct streams *streams;
	struct preparation *preparation;
	uint64_t drain_us;
	struct change *change;
	size_t count;
	unsigned int removed;
};

/* ---- deciding ---- */

static const struct change *reload_find_change(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (!strcmp(plan->change[i].wanted->name, name))
			return &plan->change[i];
	}
	return NULL;
}

static void reload_decide(const struct plan *plan, struct change *change)
{
	const char *name = change->wanted->name;

	change->running = streams_find(plan->streams, name);
	change->kind = change_decide(plan->streams, change->wanted, change->options);
	if (change->kind == CHANGE_ENDED)
		log_info("stream %s: already ended and unchanged; not restarted", name);
}

/* ---- endpoints ---- */

struct search {
	const struct plan *plan;
	const char *text;
	bool found;
};

/* Search for a stream that has this endpoint. It no longer wants it, since no two streams may. */
static void reload_search_endpoint(void *argument, struct stream *stream)
{
	struct search *search = argument;

	search->found |= endpoints_number(stream_endpoints(stream), search->text) > 0;
}

static void reload_search_port(void *argument, struct stream *stream)
{
	struct search *search = argument;
	const struct change *change = reload_find_change(search->plan, stream_name(stream));

	search->found |= endpoints_blocks_port(stream_endpoints(stream), search->text,
					       change ? &change->wanted->listen : NULL);
}

static bool reload_is_found(const struct plan *plan, const char *text,
			    void (*look)(void *argument, struct stream *stream))
{
	struct search search = { .plan = plan, .text = text };

	streams_each_current(plan->streams, look, &search);
	return search.found;
}

static enum origin reload_find_origin(const struct plan *plan, const struct change *change,
				      size_t index)
{
	const struct text_list *listen = &change->wanted->listen;
	const char *text = listen->item[index];

	if (change->running && endpoints_number(stream_endpoints(change->running), text) >
				       text_list_count(listen, index, text))
		return change->kind == CHANGE_RESTART ? ORIGIN_STREAM : ORIGIN_HERE;
	/* An endpoint with port 0 never equals another one, not even of the same text. */
	if (endpoint_is_same(text, text) && reload_is_found(plan, text, reload_search_endpoint))
		return ORIGIN_STREAM;
	/* An endpoint that will be closed may block the port, as localhost:7000 does for :7000. */
	return reload_is_found(plan, text, reload_search_port) ? ORIGIN_LATER : ORIGIN_NEW;
}

static struct stream *change_target(const struct change *change)
{
	return change->prepared ? change->prepared : change->running;
}

static bool change_prepare_endpoints(const struct plan *plan, struct change *change)
{
	const struct text_list *listen = &change->wanted->listen;
	struct endpoints *target = stream_endpoints(change_target(change));

	endpoints_init_beside(&change->added, target);
	change->origin = calloc(listen->count, sizeof(*change->origin));
	if (!change->origin) {
		log_error("stream %s: no memory for its endpoints", change->wanted->name);
		return false;
	}
	/* Nothing may fail any more when they are moved there. */
	if (!endpoints_reserve(target, listen->count))
		return false;
	for (size_t i = 0; i < listen->count; i++) {
		change->origin[i] = reload_find_origin(plan, change, i);
		if (change->origin[i] == ORIGIN_NEW &&
		    !endpoints_open(&change->added, listen->item[i],
				    (enum listen_when)change->wanted->listen_when,
				    preparation_names(plan->preparation)))
			return false;
	}
	return true;
}

struct handover {
	struct endpoints *to;
	const char *text;
};

static void reload_hand_over(void *argument, struct stream *stream)
{
	struct handover *handover = argument;

	if (handover->to != stream_endpoints(stream))
		endpoints_move(handover->to, stream_endpoints(stream), handover->text);
}

static void change_take_endpoints(const struct plan *plan, struct change *change)
{
	const struct text_list *listen = &change->wanted->listen;
	struct endpoints *target = stream_endpoints(change_target(change));

	for (size_t i = 0; i < listen->count; i++) {
		struct handover handover = { .to = target, .text = listen->item[i] };

		if (change->origin[i] != ORIGIN_STREAM)
			continue;
		if (change->running)
			reload_hand_over(&handover, change->running);
		if (endpoint_is_same(handover.text, handover.text))
			streams_each_current(plan->streams, reload_hand_over, &handover);
	}
	endpoints_move_all(target, &change->added);
}

static void change_open_late_endpoints(const struct plan *plan, struct change *change)
{
	const struct text_list *listen = &change->wanted->listen;

	for (size_t i = 0; change->origin && i < listen->count; i++) {
		/* A failure is logged, and the next reload tries again. */
		if (change->origin[i] == ORIGIN_LATER)
			endpoints_open(stream_endpoints(change_target(change)), listen->item[i],
				       (enum listen_when)change->wanted->listen_when,
				       preparation_names(plan->preparation));
	}
}

/* ---- preparing and committing ---- */

/* Return true if nothing happens to the stream. */
static bool change_is_none(const struct change *change)
{
	return change->kind <= CHANGE_ENDED;
}

static bool change_prepare_stream(struct plan *plan, struct change *change)
{
	struct ring *ring =
		preparation_take_ring(plan->preparation, (size_t)(change - plan->change));

	change->prepared = streams_prepare(plan->streams, change->wanted, ring,
					   preparation_names(plan->preparation));
	return change->prepared;
}

static bool change_prepare(struct plan *plan, struct change *change)
{
	if (change_is_none(change))
		return true;
	if (change->kind == CHANGE_ADAPT) {
		change->adapted = stream_settings_copy(change->wanted);
		if (!change->adapted) {
			log_error("stream %s: no memory for its settings", change->wanted->name);
			return false;
		}
	} else if (!change_prepare_stream(plan, change)) {
		return false;
	}
	return change_prepare_endpoints(plan, change);
}

static void change_discard(struct plan *plan, struct change *change)
{
	endpoints_close_all(&change->added);
	if (change->prepared)
		streams_discard(plan->streams, change->prepared);
	change->prepared = NULL;
}

static void reload_retire_removed(void *argument, struct stream *stream)
{
	struct plan *plan = argument;

	if (reload_find_change(plan, stream_settings(stream)->name))
		return;
	log_notice("stream %s: removed; its clients get the rest", stream_settings(stream)->name);
	streams_retire(plan->streams, stream, plan->drain_us);
	plan->removed++;
}

static void change_apply(struct plan *plan, struct change *change)
{
	const char *name = change->wanted->name;

	if (change->kind == CHANGE_RESTART) {
		log_notice("stream %s: restarted because %s changed", name, change->options);
		streams_retire(plan->streams, change->running, plan->drain_us);
	} else if (change->kind == CHANGE_ADAPT) {
		log_notice("stream %s: %s changed", name, change->options);
		endpoints_close_others(stream_endpoints(change->running), &change->wanted->listen);
		stream_adapt(change->running, change->adapted);
	} else if (change->kind == CHANGE_OPEN && streams_is_running(plan->streams)) {
		log_notice("stream %s: new", name);
	}
}

static void reload_commit(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (!change_is_none(&plan->change[i]))
			change_take_endpoints(plan, &plan->change[i]);
	}
	streams_each_current(plan->streams, reload_retire_removed, plan);
	for (size_t i = 0; i < plan->count; i++)
		change_apply(plan, &plan->change[i]);
	for (size_t i = 0; i < plan->count; i++)
		change_open_late_endpoints(plan, &plan->change[i]);
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->change[i].prepared)
			streams_begin(plan->streams, plan->change[i].prepared);
	}
}

static void reload_log_summary(const struct plan *plan)
{
	unsigned int number[CHANGE_OPEN + 1] = { 0 };

	for (size_t i = 0; i < plan->count; i++)
		number[plan->change[i].kind]++;
	log_info("streams: %u new, %u removed, %u restarted, %u changed, %u as before",
		 number[CHANGE_OPEN], plan->removed, number[CHANGE_RESTART], number[CHANGE_ADAPT],
		 number[CHANGE_NONE] + number[CHANGE_ENDED]);
}

static bool reload_plan(struct plan *plan, const struct stream_settings *wanted)
{
	plan->change = calloc(plan->count, sizeof(*plan->change));
	if (!plan->change) {
		log_error("no memory to change the streams");
		return false;
	}
	for (size_t i = 0; i < plan->count; i++) {
		plan->change[i].wanted = &wanted[i];
		reload_decide(plan, &plan->change[i]);
	}
	return true;
}

static void reload_free_plan(struct plan *plan)
{
	for (size_t i = 0; plan->change && i < plan->count; i++) {
		endpoints_close_all(&plan->change[i].added);
		stream_settings_free(plan->change[i].adapted);
		free(plan->change[i].origin);
	}
	free(plan->change);
}

bool reload_streams(struct streams *streams, const struct stream_settings *wanted, size_t count,
		    uint64_t drain_us, struct preparation *preparation)
{
	struct plan plan = {
		.streams = streams,
		.preparation = preparation,
		.count = count,
		.drain_us = drain_us,
	};
	bool ready = reload_plan(&plan, wanted) && streams_reserve_timers(streams, count);

	for (size_t i = 0; ready && i < count; i++)
		ready = change_prepare(&plan, &plan.change[i]);
	if (ready) {
		reload_commit(&plan);
		streams_forget_others(streams, wanted, count);
		if (streams_is_running(streams))
			reload_log_summary(&plan);
	} else {
		for (size_t i = 0; plan.change && i < count; i++)
			change_discard(&plan, &plan.change[i]);
	}
	reload_free_plan(&plan);
	return ready;
}
