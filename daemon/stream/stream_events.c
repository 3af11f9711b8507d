// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_events.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "stream/client.h"

#include <stddef.h>

void stream_events_init(struct stream_events *events, struct stream_watch *watch,
			const char *stream)
{
	*events = (struct stream_events){ .watch = watch, .stream = stream };
}

static bool stream_events_are_watched(const struct stream_events *events)
{
	return events && stream_watch_is_on(events->watch);
}

/* Return an event about a client. */
static struct stream_event stream_events_of_client(const struct client *client,
						   enum stream_event_type type)
{
	return (struct stream_event){
		.type = type,
		.stream = client->group->events->stream,
		.section = client->group->section_name,
		.client = client->peer_text,
		.endpoint = client->endpoint_text,
		.stats = client->stats,
	};
}

void stream_events_joined(const struct client *client, uint64_t clients)
{
	const struct stream_events *events = client->group->events;
	struct stream_event event;

	if (!stream_events_are_watched(events))
		return;
	event = stream_events_of_client(client, EVENT_JOIN);
	event.clients = clients;
	stream_watch_report(events->watch, event);
}

void stream_events_left(struct client *client, uint64_t clients)
{
	const struct stream_events *events = client->group->events;
	struct stream_event event;

	if (!stream_events_are_watched(events))
		return;
	event_sum_end(&client->drops, events->watch);
	event = stream_events_of_client(client, EVENT_LEAVE);
	event.reason = leave_reason_word(client->leave);
	event.text = client->reason;
	event.duration_ns = clock_monotonic_ns() - client->joined_ns;
	event.clients = clients;
	stream_watch_report(events->watch, event);
}

static void stream_events_report_drops(const struct event_sum *sum)
{
	const struct client *client =
		(const void *)((const char *)sum - offsetof(struct client, drops));
	struct stream_event event = stream_events_of_client(client, EVENT_DROP);

	event.since_ns = sum->since_ns;
	event.bytes = sum->bytes;
	event.blocks = sum->blocks;
	event.count = sum->count;
	stream_watch_report(client->group->events->watch, event);
}

void stream_events_dropped(struct client *client, const struct window_gap *lost)
{
	const struct stream_events *events = client->group->events;

	if (stream_events_are_watched(events))
		event_sum_add(&client->drops, events->watch, lost->bytes, lost->blocks,
			      stream_events_report_drops);
}

void stream_events_refused(const struct client_group *group, const struct sockaddr *peer,
			   enum refuse_reason why)
{
	char text[ADDRESS_TEXT];

	if (!stream_events_are_watched(group->events))
		return;
	stream_watch_report(group->events->watch, (struct stream_event){
							  .type = EVENT_REFUSED,
							  .stream = group->events->stream,
							  .section = group->section_name,
							  .client = address_format(peer, text),
							  .reason = refuse_reason_word(why),
							  .text = refuse_reason_text(why),
						  });
}

static void stream_events_report_overruns(const struct event_sum *sum)
{
	const struct stream_events *events =
		(const void *)((const char *)sum - offsetof(struct stream_events, overruns));

	stream_watch_report(events->watch, (struct stream_event){
						   .type = EVENT_OVERRUN,
						   .stream = events->stream,
						   .since_ns = sum->since_ns,
						   .blocks = sum->blocks,
						   .count = sum->count,
					   });
}

void stream_events_overrun(struct stream_events *events, uint64_t blocks)
{
	if (stream_events_are_watched(events))
		event_sum_add(&events->overruns, events->watch, 0, blocks,
			      stream_events_report_overruns);
}

void stream_events_source_up(const struct stream_events *events, uint64_t restarts)
{
	stream_watch_report(events->watch, (struct stream_event){
						   .type = EVENT_SOURCE_UP,
						   .stream = events->stream,
						   .count = restarts,
					   });
}

void stream_events_source_down(const struct stream_events *events, const char *why)
{
	stream_watch_report(events->watch, (struct stream_event){
						   .type = EVENT_SOURCE_DOWN,
						   .stream = events->stream,
						   .text = why,
					   });
}

void stream_events_origin(const struct stream_events *events, const char *origin, uint64_t switches)
{
	stream_watch_report(events->watch, (struct stream_event){
						   .type = EVENT_ORIGIN_SWITCHED,
						   .stream = events->stream,
						   .text = origin,
						   .count = switches,
					   });
}

void stream_events_endpoint(const struct client_group *group, enum stream_event_type type,
			    const char *endpoint, const char *text)
{
	if (!stream_events_are_watched(group->events))
		return;
	stream_watch_report(group->events->watch, (struct stream_event){
							  .type = type,
							  .stream = group->events->stream,
							  .section = group->section_name,
							  .endpoint = endpoint,
							  .text = text,
						  });
}

void stream_events_close(struct stream_events *events)
{
	event_sum_end(&events->overruns, events->watch);
}
