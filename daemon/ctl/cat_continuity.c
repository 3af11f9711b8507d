// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_continuity.h"

#include <stddef.h>

void cat_continuity_begin(struct cat_continuity *continuity, enum cat_link link)
{
	continuity->link = link;
	continuity->started = continuity->joined = false;
	continuity->epoch = 0;
}

static bool cat_frame_is_block(const struct frame *frame)
{
	return !(frame->flags & (FRAME_END | FRAME_METADATA | FRAME_PREAMBLE));
}

/*
 * A gap has blocks and bytes, at least one byte for each block, or neither.
 * Return: NULL, or what is wrong.
 */
static const char *cat_gap_fault(const struct cat_place *from, const struct cat_place *to)
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

static bool cat_place_equals(const struct cat_place *a, const struct cat_place *b)
{
	return a->sequence == b->sequence && a->position == b->position;
}

/* Return true if the frame counts as the blocks of the connections before. */
static bool cat_count_continues(const struct cat_continuity *continuity, const struct frame *frame)
{
	const struct cat_place *first = &continuity->first, *wanted = &continuity->wanted;

	if (frame->epoch == continuity->last_epoch)
		return true;
	switch (continuity->link) {
	case CAT_LINK_RESUMED:
		return cat_place_equals(first, wanted);
	case CAT_LINK_OLDEST:
		return first->sequence > wanted->sequence && first->position > wanted->position;
	default:
		return false;
	}
}

/* The first block of a connection, or its end. */
static void cat_continuity_join(struct cat_continuity *continuity, const struct frame *frame,
				struct cat_step *step)
{
	continuity->joined = true;
	if (continuity->received && cat_count_continues(continuity, frame))
		return;
	step->unknown_loss = continuity->received;
	continuity->wanted = continuity->next;
}

/* Compare with what all connections have received. Return: NULL, or what is wrong. */
static const char *cat_continuity_advance(struct cat_continuity *continuity,
					  const struct cat_place *place, struct cat_step *step)
{
	struct cat_place *wanted = &continuity->wanted;
	const char *fault;

	if (place->sequence < wanted->sequence) {
		step->duplicate = true;
		return place->position < wanted->position ? NULL : cat_gap_fault(place, wanted);
	}
	fault = cat_gap_fault(wanted, place);
	if (fault)
		return fault;
	step->lost_blocks = place->sequence - wanted->sequence;
	step->lost_bytes = place->position - wanted->position;
	*wanted = *place;
	return NULL;
}

/* Within a connection, an epoch begins with START, which only a gap can hide. Return: NULL, or what is wrong. */
static const char *cat_epoch_fault(const struct cat_continuity *continuity,
				   const struct frame *frame, bool gap)
{
	bool starts = frame->flags & FRAME_START;

	if (!continuity->epoch || !cat_frame_is_block(frame))
		return NULL;
	if (starts && frame->epoch == continuity->epoch)
		return "START within an epoch";
	return starts || gap || frame->epoch == continuity->epoch ? NULL : "an epoch without START";
}

static void cat_continuity_take_block(struct cat_continuity *continuity, const struct frame *frame,
				      struct cat_step *step)
{
	const struct cat_place after = { frame->sequence + 1, frame->position + frame->length };

	continuity->next = after;
	continuity->epoch = frame->epoch;
	if (step->duplicate)
		return;
	step->first = !continuity->received;
	step->new_epoch =
		step->first || step->unknown_loss || frame->epoch != continuity->last_epoch;
	continuity->received = true;
	continuity->wanted = after;
	continuity->last_epoch = frame->epoch;
	continuity->last_sequence = frame->sequence;
}

bool cat_continuity_check(struct cat_continuity *continuity, const struct frame *frame,
			  struct cat_step *step, const char **error)
{
	const struct cat_place place = { frame->sequence, frame->position };
	bool block = cat_frame_is_block(frame);

	*step = (struct cat_step){ 0 };
	if (!continuity->started) {
		continuity->started = true;
		continuity->first = continuity->next = place;
	}
	*error = cat_gap_fault(&continuity->next, &place);
	if (!*error)
		*error = cat_epoch_fault(continuity, frame,
					 !cat_place_equals(&continuity->next, &place));
	if (*error)
		return false;
	if (!continuity->joined && (block || frame->flags & FRAME_END))
		cat_continuity_join(continuity, frame, step);
	continuity->next = place;
	if (continuity->joined)
		*error = cat_continuity_advance(continuity, &place, step);
	if (*error)
		return false;
	if (block)
		cat_continuity_take_block(continuity, frame, step);
	return true;
}
