// SPDX-License-Identifier: BSD-2-Clause
#include "stream/preparation.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/names.h"
#include "ring/ring_memory.h"
#include "stream/change.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

struct preparation {
	struct event_base *base;
	struct streams *streams;
	const struct stream_settings *wanted;
	size_t count;
	const char *address;
	const struct preparation_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct event step;
	struct names *names;
	struct ring **ring;	  /* one for each stream; NULL: not made, or not needed */
	struct ring_maker *maker; /* of the ring that is being made */
	size_t making;		  /* its stream */
};

enum preparation_progress {
	PREPARATION_WAITING,
	PREPARATION_MORE,
	PREPARATION_LATER, /* as PREPARATION_MORE, but after a pause */
	PREPARATION_READY,
	PREPARATION_FAILED
};

static const struct timeval preparation_at_once;
/* Pause while another process works for a ring. */
static const struct timeval preparation_pause = { .tv_usec = 2000 };

/* Call preparation_step() after @delay. Return: false without memory. */
static bool preparation_schedule(struct preparation *preparation, const struct timeval *delay)
{
	return evtimer_add(&preparation->step, delay) == 0;
}

/* ---- names ---- */

static void preparation_names_settled(void *argument)
{
	struct preparation *preparation = argument;

	/* Its memory is that of the last step. */
	event_active(&preparation->step, EV_TIMEOUT, 0);
}

static bool preparation_add_name(struct preparation *preparation, const char *host)
{
	if (names_add(preparation->names, host))
		return true;
	log_error("no memory to resolve %s", host);
	return false;
}

static bool preparation_add_address(struct preparation *preparation)
{
	struct address address;
	struct resolved resolved;
	const char *expected;

	if (!preparation->address || !address_parse(preparation->address, &address, &expected) ||
	    !address.host[0] || resolver_numeric(address.host, &resolved))
		return true;
	return preparation_add_name(preparation, address.host);
}

/* Return: false if @host has no address, which was logged with the option. @endpoint: section; NULL: the stream */
static bool preparation_check_name(struct preparation *preparation, const char *host,
				   const char *stream, const char *endpoint, const char *option,
				   const char *text)
{
	const struct resolved *resolved = names_find(preparation->names, host);

	if (!resolved)
		return preparation_add_name(preparation, host);
	if (!resolved->error)
		return true;
	log_error("stream %s%s%s: %s = %s: %s", stream, endpoint ? ": endpoint " : "",
		  endpoint ? endpoint : "", option, text, resolved_error(resolved));
	return false;
}

static bool preparation_check_endpoint(struct preparation *preparation, const char *stream,
				       const struct section_settings *section, const char *text)
{
	char host[sizeof(((struct address *)0)->host)];

	if (!change_needs_name(preparation->streams, text, section->client, host))
		return true;
	/* The listener waits for an address. */
	if (section->when == LISTEN_AVAILABLE && names_find(preparation->names, host))
		return true;
	return preparation_check_name(preparation, host, stream, section->name, "listen", text);
}

static bool preparation_check_sections(struct preparation *preparation,
				       const struct stream_settings *wanted)
{
	bool right = true;

	for (size_t i = 0; i < stream_settings_sections(wanted); i++) {
		const struct section_settings section = stream_settings_section(wanted, i);

		for (size_t j = 0; j < section.listen->count; j++)
			right &= preparation_check_endpoint(preparation, wanted->name, &section,
							    section.listen->item[j]);
	}
	return right;
}

static bool preparation_check_input(struct preparation *preparation,
				    const struct stream_settings *wanted)
{
	char host[sizeof(((struct address *)0)->host)];

	return !change_needs_input_name(preparation->streams, wanted, host) ||
	       preparation_check_name(preparation, host, wanted->name, NULL, "input",
				      wanted->input.first);
}

static enum preparation_progress preparation_resolve(struct preparation *preparation)
{
	bool right = preparation_add_address(preparation);

	for (size_t i = 0; i < preparation->count; i++) {
		const struct stream_settings *wanted = &preparation->wanted[i];

		right &= preparation_check_input(preparation, wanted);
		right &= preparation_check_sections(preparation, wanted);
	}
	if (!right)
		return PREPARATION_FAILED;
	return names_pending(preparation->names) ? PREPARATION_WAITING : PREPARATION_READY;
}

/* ---- rings ---- */

/* Begin the next ring that is needed. Return: PREPARATION_READY if there is none. */
static enum preparation_progress preparation_begin_ring(struct preparation *preparation)
{
	for (size_t i = 0; i < preparation->count; i++) {
		const struct stream_settings *wanted = &preparation->wanted[i];

		if (preparation->ring[i] || !change_needs_ring(preparation->streams, wanted))
			continue;
		preparation->making = i;
		preparation->maker = ring_maker_start(preparation->base, wanted->name,
						      (size_t)wanted->block_size,
						      (uint32_t)stream_settings_blocks(wanted),
						      (enum huge_pages)wanted->huge_pages);
		return preparation->maker ? PREPARATION_MORE : PREPARATION_FAILED;
	}
	return PREPARATION_READY;
}

static enum preparation_progress preparation_make_slice(struct preparation *preparation)
{
	switch (ring_maker_step(preparation->maker)) {
	case RING_READY:
		preparation->ring[preparation->making] = ring_maker_take(preparation->maker);
		preparation->maker = NULL;
		return PREPARATION_MORE;
	case RING_FAILED:
		return PREPARATION_FAILED;
	case RING_WAITING:
		return PREPARATION_LATER;
	default:
		return PREPARATION_MORE;
	}
}

static enum preparation_progress preparation_make_rings(struct preparation *preparation)
{
	uint64_t end = clock_monotonic_ns() + RING_SLICE_NS;
	enum preparation_progress progress = PREPARATION_MORE;

	while (progress == PREPARATION_MORE && clock_monotonic_ns() < end) {
		if (preparation->maker)
			progress = preparation_make_slice(preparation);
		else
			progress = preparation_begin_ring(preparation);
	}
	return progress;
}

/* ---- steps ---- */

static enum preparation_progress preparation_advance(struct preparation *preparation)
{
	enum preparation_progress progress = PREPARATION_READY;

	/* A ring that is being made is finished before anything is computed again. */
	if (!preparation->maker)
		progress = preparation_resolve(preparation);
	if (progress == PREPARATION_READY)
		progress = preparation_make_rings(preparation);
	if ((progress == PREPARATION_MORE || progress == PREPARATION_LATER) &&
	    !preparation_schedule(preparation, progress == PREPARATION_LATER
						       ? &preparation_pause
						       : &preparation_at_once)) {
		log_error("no memory for a timer");
		progress = PREPARATION_FAILED;
	}
	return progress;
}

static void preparation_step(evutil_socket_t fd, short what, void *argument)
{
	struct preparation *preparation = argument;
	const struct preparation_callbacks *callbacks = preparation->callbacks;
	enum preparation_progress progress;

	(void)fd;
	(void)what;
	callbacks->begin_step(preparation->argument);
	progress = preparation_advance(preparation);
	callbacks->end_step(preparation->argument);
	if (progress == PREPARATION_READY)
		callbacks->ready(preparation->argument);
	else if (progress == PREPARATION_FAILED)
		callbacks->failed(preparation->argument);
}

struct preparation *preparation_start(struct event_base *base, struct streams *streams,
				      const struct stream_settings *wanted, size_t count,
				      const char *address,
				      const struct preparation_callbacks *callbacks, void *argument)
{
	struct preparation *preparation = calloc(1, sizeof(*preparation));

	if (!preparation) {
		log_error("no memory to prepare the streams");
		return NULL;
	}
	preparation->base = base;
	preparation->streams = streams;
	preparation->wanted = wanted;
	preparation->count = count;
	preparation->address = address;
	preparation->callbacks = callbacks;
	preparation->argument = argument;
	evtimer_assign(&preparation->step, base, preparation_step, preparation);
	preparation->names = names_create(base, preparation_names_settled, preparation);
	preparation->ring = calloc(count, sizeof(struct ring *));
	if (preparation->names && preparation->ring &&
	    preparation_schedule(preparation, &preparation_at_once))
		return preparation;
	log_error("no memory to prepare the streams");
	preparation_free(preparation);
	return NULL;
}

const struct names *preparation_names(const struct preparation *preparation)
{
	return preparation->names;
}

struct ring *preparation_take_ring(struct preparation *preparation, size_t index)
{
	struct ring *ring = preparation->ring[index];

	preparation->ring[index] = NULL;
	return ring;
}

void preparation_free(struct preparation *preparation)
{
	if (!preparation)
		return;
	event_del(&preparation->step);
	names_free(preparation->names);
	if (preparation->maker)
		ring_maker_cancel(preparation->maker);
	for (size_t i = 0; preparation->ring && i < preparation->count; i++) {
		if (preparation->ring[i])
			ring_destroy(preparation->ring[i]);
	}
	free(preparation->ring);
	free(preparation);
}
