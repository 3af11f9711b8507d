// SPDX-License-Identifier: BSD-2-Clause
#include "lib/continuity.h"

#include "lib/state.h"

#include <stddef.h>

void continuity_begin(struct continuity *continuity, enum continuity_link link)
{
	continuity->link = link;
	continuity->started = continuity->joined = false;
	continuity->epoch = 0;
}

/*
 * A gap has blocks and bytes, at least one byte for each block, or neither.
 * Return: NULL, or what is wrong.
 */
static const char *continuity_gap_fault(const struct continuity_place *from,
					const struct continuity_place *to)
{
	uint64_t blocks = to->sequence - from->sequence, bytes = to->position - from->position;

	if (to->sequence < from->sequence)
		return "the sequence goes back";
	if (to->position < from->position)
		return "the position goes back";
	if (!blocks != !bytes || bytes < blocks)
		return "the sequence and the position contradict each other";
	return NULL;
}

static bool continuity_place_equals(const struct continuity_place *a,
				    const struct continuity_place *b)
{
	return a->sequence == b->sequence && a->position == b->position;
}

/* Return true if the frame counts as the blocks of the connections before. */
static bool continuity_count_continues(const struct continuity *continuity,
				       const struct frame *frame)
{
	const struct continuity_place *first = &continuity->first, *wanted = &continuity->wanted;

	if (frame->epoch == continuity->last_epoch)
		return true;
	switch (continuity->link) {
	case CONTINUITY_RESUMED:
		return continuity_place_equals(first, wanted);
	case CONTINUITY_OLDEST:
		return first->sequence > wanted->sequence && first->position > wanted->position;
	default:
		return false;
	}
}

/* The first block of a connection, or its end. */
static void continuity_join(struct continuity *continuity, const struct frame *frame,
			    struct continuity_step *step)
{
	continuity->joined = true;
	if (continuity->received && continuity_count_continues(continuity, frame))
		return;
	step->unknown_loss = continuity->received;
	continuity->wanted = continuity->next;
}

/* Compare with what all connections have received. Return: NULL, or what is wrong. */
static const char *continuity_advance(struct continuity *continuity,
				      const struct continuity_place *place,
				      struct continuity_step *step)
{
	struct continuity_place *wanted = &continuity->wanted;
	const char *fault;

	if (place->sequence < wanted->sequence) {
		step->duplicate = true;
		return place->position < wanted->position ? NULL
							  : continuity_gap_fault(place, wanted);
	}
	fault = continuity_gap_fault(wanted, place);
	if (fault)
		return fault;
	step->lost_blocks = place->sequence - wanted->sequence;
	step->lost_bytes = place->position - wanted->position;
	*wanted = *place;
	return NULL;
}

/* Within a connection, an epoch begins with START, which only a gap can hide. Return: NULL, or what is wrong. */
static const char *continuity_epoch_fault(const struct continuity *continuity,
					  const struct frame *frame, bool gap)
{
	bool starts = frame->flags & FRAME_START;

	if (!continuity->epoch || !frame_is_block(frame))
		return NULL;
	if (starts && frame->epoch == continuity->epoch)
		return "START within an epoch";
	return starts || gap || frame->epoch == continuity->epoch ? NULL : "an epoch without START";
}

/* Note the last block that is no duplicate. */
static void continuity_note(struct continuity *continuity, const struct frame *frame)
{
	continuity->received = true;
	continuity->wanted =
		(struct continuity_place){ frame->sequence + 1, frame->position + frame->length };
	continuity->last_epoch = frame->epoch;
	continuity->last_sequence = frame->sequence;
}

void continuity_resume(struct continuity *continuity, const struct frame *frame)
{
	continuity_note(continuity, frame);
}

static void continuity_take_block(struct continuity *continuity, const struct frame *frame,
				  struct continuity_step *step)
{
	continuity->next =
		(struct continuity_place){ frame->sequence + 1, frame->position + frame->length };
	continuity->epoch = frame->epoch;
	if (step->duplicate)
		return;
	step->first = !continuity->received;
	step->new_epoch =
		step->first || step->unknown_loss || frame->epoch != continuity->last_epoch;
	continuity_note(continuity, frame);
}

bool continuity_check(struct continuity *continuity, const struct frame *frame,
		      struct continuity_step *step, const char **error)
{
	const struct continuity_place place = { frame->sequence, frame->position };
	bool block = frame_is_block(frame);

	*step = (struct continuity_step){ 0 };
	if (!continuity->started) {
		continuity->started = true;
		continuity->first = continuity->next = place;
	}
	*error = continuity_gap_fault(&continuity->next, &place);
	if (!*error)
		*error = continuity_epoch_fault(
			continuity, frame, !continuity_place_equals(&continuity->next, &place));
	if (*error)
		return false;
	if (!continuity->joined && (block || frame->flags & FRAME_END))
		continuity_join(continuity, frame, step);
	continuity->next = place;
	if (continuity->joined)
		*error = continuity_advance(continuity, &place, step);
	if (*error)
		return false;
	if (block)
		continuity_take_block(continuity, frame, step);
	return true;
}

/* ---- handover ---- */

static void continuity_transfer_place(struct continuity_place *place, struct state *state,
				      const char *name)
{
	state_enter(state, name);
	state_u64(state, "sequence", &place->sequence);
	state_u64(state, "position", &place->position);
	state_leave(state);
}

void continuity_transfer(struct continuity *continuity, struct state *state)
{
	int link = (int)continuity->link;

	state_enter(state, "continuity");
	state_choice(state, "link", &link, CONTINUITY_OLDEST + 1);
	continuity->link = (enum continuity_link)link;
	state_bool(state, "started", &continuity->started);
	state_bool(state, "joined", &continuity->joined);
	state_bool(state, "received", &continuity->received);
	state_u32(state, "epoch", &continuity->epoch);
	state_u32(state, "last_epoch", &continuity->last_epoch);
	state_u64(state, "last_sequence", &continuity->last_sequence);
	continuity_transfer_place(&continuity->first, state, "first");
	continuity_transfer_place(&continuity->next, state, "next");
	continuity_transfer_place(&continuity->wanted, state, "wanted");
	state_leave(state);
}
