// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_output.h"

#include "lib/clock.h"
#include "ring/ring.h"
#include "stream/client.h"
#include "stream/client_internal.h"

#include <errno.h>

/* Time that the peer has to close after it was sent an answer, in microseconds. */
#define ANSWER_LINGER_US 2000000

/*
 * Shorten the request to the blocks that may be pinned, or forbid pins if even the first may not be. A
 * block that has a pin already costs nothing, so that all clients can pin the same blocks. A copy of the
 * rest of a block goes back by free() when the client has sent it, so no send may pin it.
 */
static void limit_pins(struct zerocopy_request *request)
{
	const struct block *block = request->first;
	uint32_t allowance, run = 0;

	if (block_is_copy(block))
		return;
	allowance = ring_pin_allowance(block->ring);
	for (; run < request->blocks && (block->pins || allowance); run++, block = block->next) {
		if (!block->pins)
			allowance--;
	}
	request->may_pin = run > 0;
	if (request->may_pin)
		request->blocks = run;
}

static void client_count_sent(struct client *client, uint64_t bytes)
{
	struct sent_counter *all = client->group->sent;

	client->stats.sent_bytes += bytes;
	all->bytes += bytes;
	rate_note(&all->rate, all->bytes, clock_monotonic_ns());
}

/* Return true if the run that the client receives has no block left for it; see client_end_run(). */
static bool client_is_at_end(const struct client *client)
{
	return client->cursor.sequence >= client->end.sequence && !client->cursor.held;
}

static uint32_t client_end_epoch(const struct client *client)
{
	return client->end.epoch ? client->end.epoch : client->group->frames->epoch;
}

/* Return a frame with the place of the client in the stream, as it sees it. */
static struct frame client_place(const struct client *client)
{
	const struct client_group *group = client->group;
	const struct block *block =
		client_is_at_end(client) ? NULL : window_block(group->window, &client->cursor);
	struct frame frame = { 0 };
	struct frames_shift place;
	unsigned int ignored;

	if (block && block->header) {
		frame_parse(block->header, &frame, &ignored);
		return (struct frame){ .sequence = frame.sequence, .position = frame.position };
	}
	if (client_is_at_end(client))
		place = stream_frames_place(group->frames, client->end.sequence,
					    client->end.position, true);
	else
		place = stream_frames_place(group->frames, client->cursor.sequence,
					    window_position(group->window, &client->cursor), false);
	return (struct frame){ .sequence = place.sequence, .position = place.position };
}

/* Prepare a frame that is no block, at the place of the client in the stream. */
static void client_set_aside(struct client *client, enum frame_flag flag, uint32_t epoch,
			     struct shared_bytes *payload)
{
	struct frame frame = client_place(client);

	frame.flags = (uint16_t)flag;
	frame.epoch = epoch;
	client_aside_set(&client->aside, frame, payload);
}

/* Return true if a framed client of a relay has to wait until it is known where the origin is. */
static bool client_awaits_origin(const struct client *client)
{
	return client->cursor.framed && client->state == CLIENT_STREAMING &&
	       !stream_frames_are_known(client->group->frames);
}

/* Return the epoch of its current block, or of the next one. */
static uint32_t client_epoch(const struct client *client)
{
	const struct client_group *group = client->group;
	const struct block *block = window_block(group->window, &client->cursor);

	return block ? frame_epoch(block->header) : group->frames->epoch;
}

/* Take the preamble as it is now. Return: false without memory. */
static bool client_take_preamble(struct client *client)
{
	const struct client_group *group = client->group;
	struct shared_bytes *preamble;

	client->preamble_is_late = false;
	if (!stream_preamble_get(group->preamble, window_position(group->window, &client->cursor),
				 &preamble))
		return false;
	client->preamble = shared_bytes_keep(preamble);
	client->preamble_epoch = preamble ? client_epoch(client) : 0;
	return true;
}

/* Return: as client_take_preamble(). */
static bool client_begin_preamble(struct client *client)
{
	const struct stream_preamble *preamble = client->group->preamble;

	client->preamble_is_late =
		preamble && !client->catches_up && stream_preamble_is_late(preamble);
	return !preamble || client->preamble_is_late || client_take_preamble(client);
}

static bool block_has_epoch(const struct block *block, uint64_t epoch)
{
	return frame_epoch(block->header) == epoch;
}

/* Return the sequence of the first block behind the current one that has another epoch; of the head: none has. */
static uint64_t client_next_run(const struct client *client, uint32_t epoch)
{
	return window_search(client->group->window, client->cursor.sequence + 1, block_has_epoch,
			     epoch);
}

/* Prepare the metadata of the next block, and note where it is due again. */
static void client_set_metadata_aside(struct client *client)
{
	const struct stream_frames *frames = client->group->frames;
	uint32_t epoch = client_epoch(client);
	struct shared_bytes *metadata = stream_frames_metadata_of(frames, epoch);

	client_set_aside(client, FRAME_METADATA, epoch, metadata);
	shared_bytes_release(metadata);
	client->metadata_due =
		epoch == frames->epoch ? CLIENT_NOT_DUE : client_next_run(client, epoch);
}

enum history_result client_find_start(const struct client_group *group,
				      const struct client_start *start,
				      struct history_answer *answer)
{
	*answer = (struct history_answer){ .place.sequence = window_head(group->window) };
	if (!group->history)
		return HISTORY_FOUND;
	return stream_history_find(group->history, start ? start : &group->settings->start, answer);
}

/* Let the client end before the block @sequence, or that of the head. */
static void client_set_end(struct client *client, uint64_t sequence)
{
	const struct client_group *group = client->group;
	const struct window *window = group->window;
	bool is_head = sequence == window_head(window);

	client->end = (struct client_end){
		.sequence = sequence,
		.position = is_head ? window_bytes(window)
				    : window_block_at(window, sequence)->position,
		.epoch = sequence ? stream_frames_epoch_of(group->frames, sequence - 1) : 0,
	};
}

bool client_enter(struct client *client, const struct history_place *place, bool framed)
{
	const struct client_group *group = client->group;

	client->cursor.framed = framed;
	client->catches_up = place->sequence != window_head(group->window);
	client->metadata_due = CLIENT_NOT_DUE;
	client->end = (struct client_end){ .sequence = CLIENT_NOT_DUE };
	window_join(group->window, &client->cursor, place->sequence);
	if (place->end && framed)
		client_set_end(client, place->end);
	if (!place->resumes && !client_begin_preamble(client)) {
		window_leave(group->window, &client->cursor);
		return false;
	}
	client_set_state(client, CLIENT_STREAMING);
	if (client->end.sequence != CLIENT_NOT_DUE)
		client_set_state(client, CLIENT_FINISHING);
	/* At once, so that whatever the client loses from now on is a gap behind this frame. */
	if (framed && stream_frames_are_known(group->frames))
		client_set_metadata_aside(client);
	else if (framed)
		client->metadata_due = place->sequence;
	return true;
}

static void client_set_preamble_aside(struct client *client)
{
	if (client->cursor.framed)
		client_set_aside(client, FRAME_PREAMBLE, client->preamble_epoch, client->preamble);
	else
		client_aside_set_raw(&client->aside, client->preamble);
	shared_bytes_release(client->preamble);
	client->preamble = NULL;
}

/* Between two blocks: prepare what belongs there, if anything does. @first: the next block, or NULL */
static void client_prepare_aside(struct client *client, const struct block *first)
{
	bool framed = client->cursor.framed;

	if (client->end_sent || client_aside_is_left(&client->aside) || !client_is_active(client) ||
	    !window_is_between(&client->cursor))
		return;
	if (client->preamble_is_late && first)
		client_take_preamble(client); /* a file, which needs no memory */
	if (client_awaits_origin(client))
		return;
	if (framed && client->cursor.sequence >= client->metadata_due &&
	    !client_is_at_end(client)) {
		client_set_metadata_aside(client);
	} else if (client->preamble) {
		client_set_preamble_aside(client);
	} else if (framed && client->state == CLIENT_FINISHING && !client->end_sent && !first) {
		client->end_sent = true;
		client_set_aside(client, FRAME_END, client_end_epoch(client), NULL);
	}
}

/* Return the block that is next; NULL if there is none, or if the end was announced. */
static struct block *client_next_block(const struct client *client)
{
	if (client->end_sent || !client_is_active(client) || client_is_at_end(client))
		return NULL;
	return window_block(client->group->window, &client->cursor);
}

/* Return how many blocks may be sent together: none behind a place where metadata is due, or behind the end. */
static uint32_t client_most_blocks(const struct client *client)
{
	uint64_t sequence = client->cursor.sequence, most = ZEROCOPY_BLOCKS;

	if (client->metadata_due > sequence && client->metadata_due - sequence < most)
		most = client->metadata_due - sequence;
	if (client->end.sequence > sequence && client->end.sequence - sequence < most)
		most = client->end.sequence - sequence;
	return (uint32_t)most;
}

/* Send blocks, up to @max_bytes. Return: as zerocopy_send(). */
static ssize_t client_send_blocks(struct client *client, struct block *first, uint64_t max_bytes)
{
	struct window *window = client->group->window;
	struct zerocopy_request request = {
		.first = first,
		.offset = client->cursor.offset,
		.blocks =
			window_run(window, &client->cursor, client_most_blocks(client), max_bytes),
		.max_bytes = max_bytes,
		.framed = client->cursor.framed,
		.is_history = client->catches_up,
	};
	ssize_t n;

	limit_pins(&request);
	n = zerocopy_send(&client->zerocopy, &request);
	if (n > 0)
		window_advance(window, &client->cursor, (uint64_t)n);
	return n;
}

static void client_report_progress(const struct client *client)
{
	const struct client_group *group = client->group;

	if (group->settings->lag_policy == LAG_POLICY_BLOCK && group->callbacks->progressed)
		group->callbacks->progressed(group->argument);
}

/* All is sent. */
static void client_end_output(struct client *client)
{
	if (client->state == CLIENT_ANSWERING) {
		client_set_deadline(client, ANSWER_LINGER_US);
		client_shut_down(client);
	} else if (client->state == CLIENT_FINISHING) {
		client_set_reason(client, LEAVE_END_OF_STREAM, NULL);
		client_shut_down(client);
	}
}

void client_send(struct client *client)
{
	const struct client_group *group = client->group;
	uint64_t budget = zerocopy_budget(&client->zerocopy, group->budget_bytes,
					  group->uncopied_budget_bytes);
	uint64_t sent = 0;

	while (client_is_active(client) || client->state == CLIENT_ANSWERING) {
		struct block *first = client_next_block(client);
		ssize_t n;

		client_prepare_aside(client, first);
		if (!first && !client_aside_is_left(&client->aside)) {
			client->catches_up = false;
			client_end_output(client);
			return;
		}
		if (zerocopy_is_blocked(&client->zerocopy))
			return;
		if (sent >= budget) {
			group->callbacks->requeue(group->argument, client);
			return;
		}
		if (client_aside_is_left(&client->aside))
			n = client_aside_send(&client->aside, &client->zerocopy);
		else
			n = client_send_blocks(client, first, budget - sent);
		if (n > 0) {
			sent += (uint64_t)n;
			client_count_sent(client, (uint64_t)n);
			client_report_progress(client);
		} else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			client_fail(client, errno);
		}
	}
}

void client_send_metadata(struct client *client)
{
	uint64_t head = window_head(client->group->window);

	if (client->cursor.framed && client->metadata_due > head &&
	    client->end.sequence == CLIENT_NOT_DUE)
		client->metadata_due = head;
}

void client_end_run(struct client *client)
{
	if (!client_is_active(client) || !client->cursor.framed ||
	    client->end.sequence != CLIENT_NOT_DUE)
		return;
	client_set_end(client, window_head(client->group->window));
	if (client->state == CLIENT_STREAMING)
		client_set_state(client, CLIENT_FINISHING);
}
