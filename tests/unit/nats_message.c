// SPDX-License-Identifier: BSD-2-Clause
/* Headers of messages: written and read again the same; blocks that are cut and joined. */
#include "nats/nats_message.h"

#include "nats/nats_join.h"

#include "tap.h"

struct header_set {
	struct nats_header headers[NATS_HEADERS];
	size_t count;
};

static const struct nats_message block = {
	.frame = { .flags = FRAME_LOSS | FRAME_START,
		   .length = 1000,
		   .epoch = 0xabc,
		   .sequence = 42,
		   .position = 1ULL << 40,
		   .realtime_ns = 1770091506789012345,
		   .monotonic_ns = 12345,
		   .lost_bytes = 2000,
		   .lost_blocks = 2 },
	.count = 0xa,
	.block_size = 1000,
	.after = { .exists = true, .name = { 0xabb, 41 }, .end = 1ULL << 40 },
	.gap_blocks = 3,
	.gap_bytes = 3000,
};

static const char *get_header(void *data, const char *name)
{
	const struct header_set *set = data;

	for (size_t i = 0; i < set->count; i++) {
		if (!strcmp(set->headers[i].name, name))
			return set->headers[i].value;
	}
	return NULL;
}

static struct header_set encode(const struct nats_message *message)
{
	struct header_set set;

	set.count = nats_message_encode(message, "adc", set.headers);
	check(set.count <= NATS_HEADERS, "%zu headers", set.count);
	return set;
}

static void check_same_message(const struct nats_message *a, const struct nats_message *b)
{
	check(!memcmp(&a->frame, &b->frame, sizeof(a->frame)), "the frame");
	check(a->offset == b->offset && a->count == b->count && a->block_size == b->block_size,
	      "offset, count or block size");
	check(a->after.exists == b->after.exists && a->after.name.epoch == b->after.name.epoch &&
		      a->after.name.sequence == b->after.name.sequence &&
		      a->after.end == b->after.end,
	      "the block before");
	check(a->gap_blocks == b->gap_blocks && a->gap_bytes == b->gap_bytes, "the gap");
	check(!strcmp(a->event, b->event), "the event");
}

static void test_headers_round_trip(void)
{
	struct nats_message piece = block, event = block, first = block, got;
	struct header_set set = encode(&block);
	const char *fault;

	check(!strcmp(get_header(&set, "Nats-Msg-Id"), "adc-00000abc-42"), "got %s",
	      get_header(&set, "Nats-Msg-Id"));
	check(nats_message_decode(&got, get_header, &set, 1000, &fault), "%s", fault);
	check_same_message(&block, &got);
	piece.offset = 600;
	set = encode(&piece);
	check(!strcmp(get_header(&set, "Nats-Msg-Id"), "adc-00000abc-42-600"), "got %s",
	      get_header(&set, "Nats-Msg-Id"));
	check(nats_message_decode(&got, get_header, &set, 400, &fault), "%s", fault);
	check_same_message(&piece, &got);
	check(!nats_message_decode(&got, get_header, &set, 401, &fault), "beyond the block");
	strcpy(event.event, "gap");
	event.event_id = 7;
	set = encode(&event);
	check(!strcmp(get_header(&set, "Nats-Msg-Id"), "adc-00000abc-42-gap-0000000000000007"),
	      "got %s", get_header(&set, "Nats-Msg-Id"));
	check(nats_message_decode(&got, get_header, &set, 1000, &fault), "%s", fault);
	check_same_message(&event, &got);
	first.after.exists = false;
	first.after.name = (struct block_name){ 0 };
	first.after.end = 0;
	set = encode(&first);
	check(nats_message_decode(&got, get_header, &set, 1000, &fault), "%s", fault);
	check_same_message(&first, &got);
	point("written and read again the same");
}

static void test_malformed_headers(void)
{
	static const char *const optional[] = { "Nats-Msg-Id",	      "Dmacast-Lost-Blocks",
						"Dmacast-Lost-Bytes", "Dmacast-Gap-Blocks",
						"Dmacast-Gap-Bytes",  "Dmacast-Block-Size",
						"Dmacast-After",      "Dmacast-Offset" };
	const struct header_set all = encode(&block);
	struct nats_message got;
	const char *fault;

	for (size_t i = 0; i < all.count; i++) {
		struct header_set set = all;
		bool may_miss = false;

		for (size_t j = 0; j < sizeof(optional) / sizeof(optional[0]); j++)
			may_miss |= !strcmp(optional[j], all.headers[i].name);
		set.headers[i].name = "Other";
		check(nats_message_decode(&got, get_header, &set, 1000, &fault) == may_miss,
		      "without %s", all.headers[i].name);
		if (!strcmp(all.headers[i].name, "Nats-Msg-Id"))
			continue;
		set = all;
		strcpy(set.headers[i].value, "-1");
		check(!nats_message_decode(&got, get_header, &set, 1000, &fault) &&
			      !strcmp(fault, all.headers[i].name),
		      "-1 in %s", all.headers[i].name);
	}
	point("each header that is missing or malformed is named");
}

static void test_last_block(void)
{
	struct nats_message event = block, lone = block;
	struct frame frame;

	check(nats_message_last_block(&block, 1000, &frame) && frame.sequence == 42 &&
		      frame.length == 1000,
	      "a whole block");
	check(nats_message_last_block(&block, 999, &frame) && frame.epoch == 0xabb &&
		      frame.sequence == 41 && frame.position == 1ULL << 40 && !frame.length,
	      "a piece");
	strcpy(event.event, "gap");
	check(nats_message_last_block(&event, 1000, &frame) && frame.sequence == 41, "an event");
	lone.after.exists = false;
	check(!nats_message_last_block(&lone, 999, &frame), "a piece without a block before");
	check(nats_message_covers(&block, 1000, &block, 1000), "itself");
	check(!nats_message_covers(&block, 999, &block, 1000), "more than its piece");
	check(!nats_message_covers(&event, 1000, &block, 1000), "by an event");
	lone.frame.sequence = 43;
	check(!nats_message_covers(&block, 1000, &lone, 1000), "a later one");
	check(nats_message_covers(&lone, 1000, &block, 1000), "an earlier one");
	lone.frame.epoch++;
	check(!nats_message_covers(&lone, 1000, &block, 1000), "of another epoch");
	point("what a message says about those before it");
}

/* Cut a block of @length at @limit, join it, and leave out the piece @missing. Return: true if it is whole. */
static bool cut_and_join(size_t length, size_t limit, size_t missing, size_t *joined)
{
	struct nats_message message = block;
	struct nats_join join = { 0 };
	bool dropped;

	*joined = 0;
	message.frame.length = (uint32_t)length;
	for (size_t offset = 0, piece, i = 0; offset < length; offset += piece, i++) {
		piece = nats_join_piece(length, offset, limit);
		check(piece && piece <= limit, "a piece of %zu", piece);
		message.offset = (uint32_t)offset;
		if (i != missing &&
		    nats_join_take(&join, &message, piece, &dropped) != NATS_JOIN_SKIP)
			*joined += piece;
	}
	return nats_join_is_whole(&join) && *joined == length;
}

static void test_cut_and_joined(void)
{
	struct nats_join join = { 0 };
	struct nats_message message = block;
	size_t joined;
	bool dropped;

	for (size_t length = 1; length < 60; length++) {
		for (size_t limit = 1; limit < 20; limit++) {
			check(cut_and_join(length, limit, SIZE_MAX, &joined),
			      "%zu in pieces of %zu", length, limit);
			for (size_t i = 0; i * limit < length; i++)
				check(!cut_and_join(length, limit, i, &joined),
				      "%zu in pieces of %zu without %zu", length, limit, i);
		}
	}
	check(nats_join_take(&join, &message, 10, &dropped) == NATS_JOIN_BEGIN && !dropped,
	      "begin");
	message.frame.sequence++;
	check(nats_join_take(&join, &message, 1000, &dropped) == NATS_JOIN_BEGIN && dropped,
	      "another block drops one that is not complete");
	check(nats_join_is_whole(&join), "whole");
	point("cut and joined again");
}

int main(void)
{
	test_headers_round_trip();
	test_malformed_headers();
	test_last_block();
	test_cut_and_joined();
	return tap_end();
}
