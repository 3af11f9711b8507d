// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where records end. The first bytes are the settings; all others are the feed, which is added to blocks in
 * pieces: the length of each piece and what happens at its end come from the same bytes.
 */
#include "source/records.h"

#include "fuzz.h"

#include <inttypes.h>

#define BLOCK 64U

static struct {
	struct records records;
	unsigned char block[BLOCK];
	size_t length;		     /* of `block` */
	size_t boundary;	     /* that was returned last for this block */
	uint64_t run;		     /* bytes of this run before the block */
	size_t run_at;		     /* bytes of the block that are of the run before */
	unsigned char before[BLOCK]; /* the end of what a split divided, since the last boundary */
	size_t before_length;
	struct stream_settings settings;
} feed;

static void begin_feed(struct fuzz_input *input)
{
	uint8_t form = fuzz_byte(input);

	memset(&feed, 0, sizeof(feed));
	if (form & 1) {
		feed.settings.record_size = 1 + fuzz_byte(input) % BLOCK;
		feed.settings.preamble.bytes = form & 2 ? fuzz_byte(input) : 0;
	} else {
		feed.settings.record_end.length = 1 + (form >> 1) % MAX_RECORD_END;
		for (int i = 0; i < feed.settings.record_end.length; i++)
			feed.settings.record_end.byte[i] = fuzz_byte(input);
	}
	records_init(&feed.records, &feed.settings);
}

/* Return the last boundary by the size of the records: count from the begin of the run. */
static size_t model_size_boundary(void)
{
	uint64_t head = feed.settings.preamble.bytes, size = feed.settings.record_size;

	for (size_t at = feed.length; at > feed.run_at; at--) {
		uint64_t place = feed.run + at - feed.run_at;

		if (place <= head || (place - head) % size == 0)
			return at;
	}
	return feed.run_at;
}

/* Return true if the `end` of a record ends at @at of the block, and none of its bytes is before @first. */
static bool ends_at(size_t at, size_t first)
{
	const struct record_end *end = &feed.settings.record_end;

	for (size_t i = 1; i <= end->length; i++) {
		unsigned char byte = end->byte[end->length - i];

		if (i <= at) {
			if (at - i < first || feed.block[at - i] != byte)
				return false;
		} else if (first || i - at > feed.before_length ||
			   feed.before[feed.before_length - (i - at)] != byte) {
			return false;
		}
	}
	return true;
}

/* Ends may overlap, and which of them counts depends on the pieces. So compare with what any choice has to obey. */
static void check_end_boundary(size_t boundary)
{
	check(boundary >= feed.boundary && boundary <= feed.length, "%zu after %zu of %zu",
	      boundary, feed.boundary, feed.length);
	if (boundary > feed.boundary)
		check(ends_at(boundary, feed.boundary), "no record ends at %zu", boundary);
	for (size_t at = boundary + 1; at <= feed.length; at++)
		check(!ends_at(at, boundary), "a record ends at %zu, behind %zu", at, boundary);
}

static size_t feed_boundary(void)
{
	size_t boundary = records_boundary(&feed.records, feed.block, feed.length);

	if (feed.settings.record_size)
		check(boundary == model_size_boundary(), "%zu, expected %zu of %zu", boundary,
		      model_size_boundary(), feed.length);
	else
		check_end_boundary(boundary);
	feed.boundary = boundary;
	return boundary;
}

static void feed_hand_on(size_t bytes)
{
	feed.run += bytes - feed.run_at;
	feed.run_at = 0;
	feed.length -= bytes;
	memmove(feed.block, feed.block + bytes, feed.length);
	feed.boundary = 0;
}

/* Hand on what is whole; @full: or all of the block, if nothing is */
static void feed_pass(bool full)
{
	size_t boundary = feed_boundary();

	if (boundary) {
		feed.before_length = 0;
		records_moved(&feed.records, boundary, feed.length - boundary);
		feed_hand_on(boundary);
	} else if (full) {
		memcpy(feed.before, feed.block, feed.length);
		feed.before_length = feed.length;
		records_split(&feed.records, feed.block, feed.length);
		feed_hand_on(feed.length);
	}
}

/* A run ends at the last boundary, and another one begins: the rest is dropped. */
static void feed_restart(void)
{
	feed.length = feed_boundary();
	feed.before_length = 0;
	feed.run = 0;
	feed.run_at = feed.length;
	records_begin(&feed.records, feed.length);
}

static void feed_add(struct fuzz_input *input, size_t bytes)
{
	for (; bytes && feed.length < BLOCK && input->left; bytes--)
		feed.block[feed.length++] = fuzz_byte(input);
}

void fuzz_one(struct fuzz_input *input)
{
	begin_feed(input);
	while (input->left && !tap.failed) {
		uint8_t step = fuzz_byte(input);

		feed_add(input, step & 0x3f);
		if (step & 0x40)
			feed_boundary();
		if (feed.length == BLOCK)
			feed_pass(true);
		else if (step & 0x80)
			feed_pass(false);
		else if (step == 0)
			feed_restart();
	}
}
