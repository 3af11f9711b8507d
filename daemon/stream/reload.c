// SPDX-License-Identifier: BSD-2-Clause
#include "stream/reload.h"

#include "config/option_table.h"
#include "lib/endpoint.h"
#include "lib/log.h"
#include "ring/ring.h"
#include "stream/change.h"
#include "stream/preparation.h"
#include "stream/section.h"
#include "stream/stream.h"
#include "stream/stream_watch.h"
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

/* What happens to the endpoints of one section of the new configuration. */
struct target {
	struct section_settings wanted;
	struct section *section; /* that gets the endpoints */
	bool is_new;		 /* it was made for this */
	struct endpoints added;	 /* ORIGIN_NEW, before they are moved */
	enum origin *origin;	 /* one for each endpoint that is wanted */
};

struct change {
	enum change_kind kind;
	const struct stream_settings *wanted;
	struct stream *running;		 /* NULL for CHANGE_OPEN */
	struct stream *prepared;	 /* for CHANGE_RESTART and CHANGE_OPEN */
	struct stream_settings *adapted; /* copy of `wanted`, for CHANGE_ADAPT */
	struct target *target;		 /* the stream's own endpoints, then each section */
	size_t targets;
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
	const struct change *change; /* of the stream that is searched; NULL: it is removed */
	const char *text;
	bool found;
};

static const struct target *change_find_target(const struct change *change, const char *name)
{
	for (size_t i = 0; change && i < change->targets; i++) {
		const struct target *target = &change->target[i];

		if (!name ? !target->wanted.name
			  : target->wanted.name && !strcmp(target->wanted.name, name))
			return target;
	}
	return NULL;
}

static void reload_search_port(void *argument, struct section *section)
{
	struct search *search = argument;
	const struct target *target = change_find_target(search->change, section->name);

	search->found |= endpoints_blocks_port(&section->endpoints, search->text,
					       target ? target->wanted.listen : NULL,
					       target ? target->wanted.client : NULL);
}

static void reload_search_port_of_stream(void *argument, struct stream *stream)
{
	struct search *search = argument;

	search->change = reload_find_change(search->plan, stream_name(stream));
	stream_each_section(stream, reload_search_port, search);
}

/* Return true if a stream has an endpoint that must be closed before @text can be opened. */
static bool reload_port_is_blocked(const struct plan *plan, const char *text)
{
	struct search search = { .plan = plan, .text = text };

	streams_each_current(plan->streams, reload_search_port_of_stream, &search);
	return search.found;
}

static enum origin reload_find_origin(const struct plan *plan, const struct change *change,
				      const struct target *target, size_t index)
{
	const char *text = target->wanted.listen->item[index];
	const struct section *running =
		change->running ? stream_find_section(change->running, target->wanted.name) : NULL;

	if (running && endpoints_number(&running->endpoints, text, target->wanted.client) >
			       text_list_count(target->wanted.listen, index, text))
		return change->kind == CHANGE_RESTART ? ORIGIN_STREAM : ORIGIN_HERE;
	/* The stream that has it no longer wants it, since no two streams may. */
	if (change_is_listening(plan->streams, text, target->wanted.client))
		return ORIGIN_STREAM;
	/* An endpoint that will be closed may block the port, as localhost:7000 does for :7000. */
	return reload_port_is_blocked(plan, text) ? ORIGIN_LATER : ORIGIN_NEW;
}

/* Find, or make, the section that gets the endpoints. Return: false without memory, which was logged. */
static bool target_find_section(const struct change *change, struct target *target)
{
	struct stream *stream = change->prepared ? change->prepared : change->running;

	target->section = stream_find_section(stream, target->wanted.name);
	if (target->section)
		return true;
	target->section = stream_add_section(
		stream, stream_settings_find_endpoint(change->adapted, target->wanted.name));
	target->is_new = target->section;
	return target->is_new;
}

static bool target_open_endpoints(const struct plan *plan, const struct change *change,
				  struct target *target)
{
	const struct text_list *listen = target->wanted.listen;

	endpoints_init_beside(&target->added, &target->section->endpoints);
	target->added.settings = target->wanted.client;
	target->origin = calloc(listen->count + 1, sizeof(*target->origin));
	if (!target->origin) {
		log_error("stream %s: no memory for its endpoints", target->section->label);
		return false;
	}
	/* Nothing may fail any more when they are moved there. */
	if (!endpoints_reserve(&target->section->endpoints, listen->count))
		return false;
	for (size_t i = 0; i < listen->count; i++) {
		target->origin[i] = reload_find_origin(plan, change, target, i);
		if (target->origin[i] == ORIGIN_NEW &&
		    !endpoints_open(&target->added, listen->item[i], target->wanted.when,
				    preparation_names(plan->preparation)))
			return false;
	}
	return true;
}

static bool change_prepare_endpoints(const struct plan *plan, struct change *change)
{
	for (size_t i = 0; i < change->targets; i++) {
		struct target *target = &change->target[i];

		if (!target_find_section(change, target) ||
		    !section_check(target->wanted.client, target->section->label) ||
		    !target_open_endpoints(plan, change, target))
			return false;
	}
	return true;
}

struct handover {
	struct endpoints *to;
	const char *text;
	const struct client_settings *settings;
};

static void reload_hand_over(void *argument, struct section *section)
{
	struct handover *handover = argument;

	if (handover->to != &section->endpoints)
		endpoints_move(handover->to, &section->endpoints, handover->text,
			       handover->settings);
}

static void reload_hand_over_of_stream(void *argument, struct stream *stream)
{
	stream_each_section(stream, reload_hand_over, argument);
}

static void target_take_endpoints(const struct plan *plan, const struct change *change,
				  struct target *target)
{
	struct section *running =
		change->running ? stream_find_section(change->running, target->wanted.name) : NULL;
	struct handover handover = { .to = &target->section->endpoints,
				     .settings = target->wanted.client };

	for (size_t i = 0; i < target->wanted.listen->count; i++) {
		if (target->origin[i] != ORIGIN_STREAM)
			continue;
		handover.text = target->wanted.listen->item[i];
		if (running)
			reload_hand_over(&handover, running);
		if (endpoint_is_same(handover.text, handover.text))
			streams_each_current(plan->streams, reload_hand_over_of_stream, &handover);
	}
	endpoints_move_all(handover.to, &target->added);
}

static void change_take_endpoints(const struct plan *plan, struct change *change)
{
	for (size_t i = 0; i < change->targets; i++)
		target_take_endpoints(plan, change, &change->target[i]);
}

static void target_open_late_endpoints(const struct plan *plan, const struct target *target)
{
	for (size_t i = 0; target->origin && i < target->wanted.listen->count; i++) {
		/* A failure is logged, and the next reload tries again. */
		if (target->origin[i] == ORIGIN_LATER)
			endpoints_open(&target->section->endpoints, target->wanted.listen->item[i],
				       target->wanted.when, preparation_names(plan->preparation));
	}
}

static void change_open_late_endpoints(const struct plan *plan, const struct change *change)
{
	for (size_t i = 0; i < change->targets; i++)
		target_open_late_endpoints(plan, &change->target[i]);
}

/* Close the endpoints of the running stream that it no longer has. Those of removed sections follow. */
static void change_close_endpoints(const struct change *change)
{
	for (size_t i = 0; i < change->targets; i++) {
		const struct target *target = &change->target[i];

		endpoints_close_others(&target->section->endpoints, target->wanted.listen,
				       target->wanted.client);
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
	for (size_t i = 0; i < change->targets; i++) {
		endpoints_close_all(&change->target[i].added);
		if (change->target[i].is_new)
			stream_drop_section(change->running, change->target[i].section);
	}
	if (change->prepared)
		streams_discard(plan->streams, change->prepared);
	change->prepared = NULL;
}

/* @text: the options that changed, or NULL */
static void reload_report(const struct plan *plan, enum stream_event_type type, const char *name,
			  const char *text)
{
	stream_watch_report(streams_watch(plan->streams),
			    (struct stream_event){ .type = type, .stream = name, .text = text });
}

static void reload_retire_removed(void *argument, struct stream *stream)
{
	struct plan *plan = argument;

	if (reload_find_change(plan, stream_settings(stream)->name))
		return;
	log_notice("stream %s: removed; its clients get the rest", stream_settings(stream)->name);
	reload_report(plan, EVENT_STREAM_REMOVED, stream_name(stream), NULL);
	streams_retire(plan->streams, stream, plan->drain_us);
	plan->removed++;
}

static void change_apply(struct plan *plan, struct change *change)
{
	const char *name = change->wanted->name;

	if (change->kind == CHANGE_RESTART) {
		log_notice("stream %s: restarted because %s changed", name, change->options);
		reload_report(plan, EVENT_STREAM_RESTARTED, name, change->options);
		streams_retire(plan->streams, change->running, plan->drain_us);
	} else if (change->kind == CHANGE_ADAPT) {
		log_notice("stream %s: %s changed", name, change->options);
		reload_report(plan, EVENT_STREAM_CHANGED, name, change->options);
		change_close_endpoints(change);
		stream_adapt(change->running, change->adapted, plan->drain_us);
	} else if (change->kind == CHANGE_OPEN && streams_is_running(plan->streams)) {
		log_notice("stream %s: new", name);
		reload_report(plan, EVENT_STREAM_ADDED, name, NULL);
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

static bool change_plan_targets(struct change *change)
{
	const struct stream_settings *wanted = change->wanted;

	change->target = calloc(stream_settings_sections(wanted), sizeof(*change->target));
	if (!change->target) {
		log_error("stream %s: no memory for its endpoints", wanted->name);
		return false;
	}
	change->targets = stream_settings_sections(wanted);
	for (size_t i = 0; i < change->targets; i++)
		change->target[i].wanted = stream_settings_section(wanted, i);
	return true;
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
		if (!change_plan_targets(&plan->change[i]))
			return false;
	}
	return true;
}

static void change_free_targets(struct change *change)
{
	for (size_t i = 0; i < change->targets; i++) {
		endpoints_close_all(&change->target[i].added);
		free(change->target[i].origin);
	}
	free(change->target);
}

static void reload_free_plan(struct plan *plan)
{
	for (size_t i = 0; plan->change && i < plan->count; i++) {
		change_free_targets(&plan->change[i]);
		stream_settings_free(plan->change[i].adapted);
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
