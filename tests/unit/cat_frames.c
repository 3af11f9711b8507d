// SPDX-License-Identifier: BSD-2-Clause
/*
 * The frames that dmacastctl cat reads: a stream of frames in random pieces gives the same payload, and no damage to
 * a header goes unnoticed.
 */
#include "lib/continuity.h"
#include "ctl/cat_frames.h"

#include "dice.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH 0x1a2b3c4dU
#define STREAM_BYTES (64U << 10)

/* Bytes of a connection, and the payload of its blocks. */
struct recording {
	unsigned char bytes[STREAM_BYTES];
	size_t length;
	unsigned char payload[STREAM_BYTES];
	size_t payload_length;
	size_t frames;
	size_t header[64]; /* offset of each header */
};

/* What a reader made of a connection. */
struct reading {
	unsigned char payload[STREAM_BYTES];
	size_t payload_length;
	size_t frames;
	uint64_t lost_blocks, lost_bytes;
	bool bad;   /* the parser or the continuity found an error */
	bool ended; /* with END, and nothing incomplete */
	char error[FRAME_READER_ERROR];
};

/* Return a number below @limit. */
static uint32_t roll_below(struct dice *dice, size_t limit)
{
	return dice_roll(dice, 0, (uint32_t)limit - 1);
}

static void record_frame(struct recording *recording, struct frame frame, const void *payload,
			 size_t header_bytes)
{
	unsigned char *header = recording->bytes + recording->length;

	recording->header[recording->frames++] = recording->length;
	frame_encode(&frame, header);
	header[5] = (unsigned char)header_bytes;
	memset(header + FRAME_HEADER_BYTES, 0xee, header_bytes - FRAME_HEADER_BYTES);
	if (frame.length)
		memcpy(header + header_bytes, payload, frame.length);
	recording->length += header_bytes + frame.length;
	if (frame.flags & (FRAME_METADATA | FRAME_END))
		return;
	memcpy(recording->payload + recording->payload_length, payload, frame.length);
	recording->payload_length += frame.length;
}

/* A connection with blocks of random lengths, some with a longer header and with flags that nobody knows. */
static void record_connection(struct recording *recording, struct dice *dice, unsigned int blocks)
{
	struct frame frame = { .flags = FRAME_METADATA, .length = 2, .epoch = EPOCH };
	unsigned char payload[1000];

	memset(recording, 0, sizeof(*recording));
	frame.sequence = roll_below(dice, 1000);
	frame.position = frame.sequence * 1000;
	record_frame(recording, frame, "{}", FRAME_HEADER_BYTES);
	for (unsigned int i = 0; i < blocks; i++) {
		for (size_t at = 0; at < sizeof(payload); at++)
			payload[at] = (unsigned char)roll_below(dice, 256);
		frame.length = 1 + roll_below(dice, sizeof(payload));
		frame.flags = roll_below(dice, 2) ? FRAME_SHORT : 0x4000;
		record_frame(recording, frame, payload,
			     64 + (roll_below(dice, 4) ? 0 : roll_below(dice, 192)));
		frame.sequence++;
		frame.position += frame.length;
	}
	frame.flags = FRAME_END;
	frame.length = 0;
	record_frame(recording, frame, NULL, FRAME_HEADER_BYTES);
}

/* Take one frame. Return: false at an error. */
static bool read_frame(struct reading *reading, struct continuity *continuity,
		       const struct cat_frame *frame)
{
	const char *error;
	struct continuity_step step;

	reading->frames++;
	if (!continuity_check(continuity, &frame->header, &step, &error)) {
		reading->bad = true;
		snprintf(reading->error, sizeof(reading->error), "%s", error);
		return false;
	}
	reading->lost_blocks += step.lost_blocks;
	reading->lost_bytes += step.lost_bytes;
	if (frame->header.flags & (FRAME_METADATA | FRAME_END) || step.duplicate)
		return true;
	memcpy(reading->payload + reading->payload_length, frame->payload, frame->header.length);
	reading->payload_length += frame->header.length;
	return true;
}

/* Read a connection in pieces of 1 to @most bytes. */
static void read_connection(struct reading *reading, struct continuity *continuity,
			    const unsigned char *bytes, size_t length, struct dice *dice,
			    size_t most)
{
	struct cat_frames *frames = cat_frames_create();
	const unsigned char *end = bytes + length;
	struct cat_frame frame;

	reading->bad = false;
	while (bytes < end && !reading->bad) {
		enum cat_frames_result result = CAT_FRAMES_FRAME;
		size_t piece = 1 + roll_below(dice, most);
		/* A copy of exactly this size, so that a sanitizer finds a byte too far. */
		size_t taken = piece < (size_t)(end - bytes) ? piece : (size_t)(end - bytes);
		unsigned char *copy = malloc(taken);
		const unsigned char *at = copy;

		memcpy(copy, bytes, taken);
		bytes += taken;
		while (result == CAT_FRAMES_FRAME && !reading->bad) {
			result = cat_frames_next(frames, &at, &taken, &frame);
			if (result == CAT_FRAMES_FRAME)
				read_frame(reading, continuity, &frame);
		}
		free(copy);
		if (result == CAT_FRAMES_BAD) {
			reading->bad = true;
			snprintf(reading->error, sizeof(reading->error), "%s",
				 cat_frames_error(frames));
		}
	}
	reading->ended = cat_frames_ended(frames) && !cat_frames_incomplete(frames);
	cat_frames_free(frames);
}

static struct recording recording;
static struct reading reading;

static void read_recording(struct dice *dice, size_t most)
{
	struct continuity continuity = { 0 };

	memset(&reading, 0, sizeof(reading));
	continuity_begin(&continuity, CONTINUITY_JOIN);
	read_connection(&reading, &continuity, recording.bytes, recording.length, dice, most);
}

static void test_splits(uint32_t rounds)
{
	struct dice dice = { 1 };

	for (uint32_t i = 0; i < rounds; i++) {
		static const size_t most[] = { 1, 7, 100, 3000, STREAM_BYTES };

		record_connection(&recording, &dice, 1 + roll_below(&dice, 20));
		read_recording(&dice, most[i % 5]);
		check(!reading.bad, "round %u: %s", i, reading.error);
		check(reading.ended, "round %u: no end", i);
		check(reading.frames == recording.frames, "round %u: %zu frames of %zu", i,
		      reading.frames, recording.frames);
		check(reading.payload_length == recording.payload_length &&
			      !memcmp(reading.payload, recording.payload, reading.payload_length),
		      "round %u: another payload", i);
		check(!reading.lost_bytes && !reading.lost_blocks, "round %u: a loss", i);
	}
	point("the payload is the same, whatever the pieces; unknown flags and longer headers are "
	      "no error");
}

/* Choose a byte of a header that says something which the other frames can contradict. */
static size_t choose_offset(struct dice *dice, size_t number)
{
	/* The epoch of a block that follows another one. */
	bool follows = number >= 2 && number < recording.frames - 1;
	size_t offset;

	do {
		offset = roll_below(dice, FRAME_HEADER_BYTES);
	} while (offset == 7 || (offset >= 12 && offset < 16 && !follows) ||
		 (offset >= 32 && offset < 48) || offset >= 60);
	return offset;
}

/* Damage one byte of one header: an error, or a gap, but never silence. */
static void test_damage(uint32_t rounds)
{
	const unsigned char says_nothing = FRAME_SHORT | FRAME_START | 0xc0;
	struct dice dice = { 2 };
	uint32_t errors = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		unsigned char damage = (unsigned char)(1 + roll_below(&dice, 255));
		size_t number, offset;

		record_connection(&recording, &dice, 1 + roll_below(&dice, 8));
		number = roll_below(&dice, recording.frames);
		offset = choose_offset(&dice, number);
		if (offset == 6 && !(damage & ~says_nothing))
			damage = FRAME_LOSS;
		recording.bytes[recording.header[number] + offset] ^= damage;
		read_recording(&dice, 5000);
		errors += reading.bad || !reading.ended;
		check(reading.bad || !reading.ended || reading.lost_bytes,
		      "round %u: byte %zu of frame %zu of %zu, changed by %#x, is not noticed", i,
		      offset, number, recording.frames, damage);
	}
	check(errors > rounds / 2, "only %u of %u are errors", errors, rounds);
	point("damage to a header is noticed");
}

static void test_cut(uint32_t rounds)
{
	struct dice dice = { 3 };

	for (uint32_t i = 0; i < rounds; i++) {
		record_connection(&recording, &dice, 1 + roll_below(&dice, 8));
		recording.length = roll_below(&dice, recording.length);
		read_recording(&dice, 2000);
		check(!reading.bad, "round %u: %s", i, reading.error);
		check(!reading.ended, "round %u: an end after %zu bytes", i, recording.length);
		check(!memcmp(reading.payload, recording.payload, reading.payload_length),
		      "round %u: another payload", i);
	}
	point("a connection that is cut has only whole frames, and no end");
}

/* ---- headers that are wrong ---- */

static const struct frame metadata = { .flags = FRAME_METADATA, .length = 2, .epoch = EPOCH };
static const struct frame block = { .length = 2, .epoch = EPOCH };

#define WITH(base, ...)                   \
	({                                \
		struct frame with = base; \
		__VA_ARGS__;              \
		with;                     \
	})

static void expect_error(const char *title, struct frame first, struct frame second,
			 const char *expected)
{
	struct dice dice = { 4 };

	memset(&recording, 0, sizeof(recording));
	record_frame(&recording, first, "{}", FRAME_HEADER_BYTES);
	record_frame(&recording, second, "xx", FRAME_HEADER_BYTES);
	read_recording(&dice, 200);
	check(reading.bad && strstr(reading.error, expected), "%s: got '%s', expected '%s'", title,
	      reading.error, expected);
}

static void test_contradictions(void)
{
	expect_error("no metadata first", block, block, "the first frame has no metadata");
	expect_error("two kinds", metadata, WITH(block, with.flags = FRAME_END | FRAME_METADATA),
		     "two kinds");
	expect_error("END with payload", metadata, WITH(block, with.flags = FRAME_END),
		     "END and a payload");
	expect_error("an empty block", metadata, WITH(block, with.length = 0), "without payload");
	expect_error("no epoch", metadata, WITH(block, with.epoch = 0), "epoch of 0");
	expect_error("LOSS without a loss", metadata, WITH(block, with.flags = FRAME_LOSS),
		     "0 lost blocks");
	expect_error("a loss without LOSS", metadata,
		     WITH(block, with.lost_blocks = 1, with.lost_bytes = 5), "1 lost blocks");
	expect_error("sequence ahead alone", metadata, WITH(block, with.sequence = 1),
		     "contradict each other");
	expect_error("position ahead alone", metadata, WITH(block, with.position = 1),
		     "contradict each other");
	expect_error("more blocks than bytes", metadata,
		     WITH(block, with.sequence = 3, with.position = 2), "contradict each other");
	expect_error("sequence back", WITH(metadata, with.sequence = 9, with.position = 9),
		     WITH(block, with.sequence = 8, with.position = 9), "sequence goes back");
	expect_error("position back", WITH(metadata, with.sequence = 9, with.position = 9),
		     WITH(block, with.sequence = 9, with.position = 8), "position goes back");
	point("each contradiction has its message");
}

static void test_limits(void)
{
	struct dice dice = { 5 };
	static const struct {
		struct frame frame;
		bool bad;
	} examples[] = {
		{ { .length = FRAME_MAX_BLOCK_BYTES, .epoch = 1 }, false },
		{ { .length = FRAME_MAX_BLOCK_BYTES + 1, .epoch = 1 }, true },
		{ { .flags = FRAME_METADATA, .length = FRAME_MAX_ASIDE_BYTES, .epoch = 1 }, false },
		{ { .flags = FRAME_METADATA, .length = FRAME_MAX_ASIDE_BYTES + 1, .epoch = 1 },
		  true },
		{ { .flags = FRAME_PREAMBLE, .length = FRAME_MAX_ASIDE_BYTES + 1, .epoch = 1 },
		  true },
	};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		memset(&recording, 0, sizeof(recording));
		record_frame(&recording, metadata, "{}", FRAME_HEADER_BYTES);
		frame_encode(&examples[i].frame, recording.bytes + recording.length);
		recording.length += FRAME_HEADER_BYTES;
		read_recording(&dice, 100);
		check(reading.bad == examples[i].bad, "example %zu: %s", i, reading.error);
	}
	point("the length of a payload is limited");
}

/* ---- from one connection to the next ---- */

static struct frame at(uint16_t flags, uint32_t epoch, uint64_t sequence)
{
	return (struct frame){
		.flags = flags,
		.epoch = epoch,
		.length = flags & FRAME_END ? 0 : 100,
		.sequence = sequence,
		.position = sequence * 100,
	};
}

/* Frames of one connection, and what each says. */
struct expected_step {
	struct frame frame;
	bool duplicate, unknown;
	uint64_t lost_blocks;
};

static void expect_steps(struct continuity *continuity, enum continuity_link link,
			 const char *title, const struct expected_step *steps, size_t count)
{
	const char *error;

	continuity_begin(continuity, link);
	for (size_t i = 0; i < count; i++) {
		const struct expected_step *expected = &steps[i];
		struct continuity_step step;

		if (!check(continuity_check(continuity, &expected->frame, &step, &error),
			   "%s: step %zu: %s", title, i, error))
			return;
		check(step.duplicate == expected->duplicate, "%s: step %zu: duplicate", title, i);
		check(step.unknown_loss == expected->unknown, "%s: step %zu: unknown", title, i);
		check(step.lost_blocks == expected->lost_blocks &&
			      step.lost_bytes == 100 * expected->lost_blocks,
		      "%s: step %zu: lost %llu blocks", title, i,
		      (unsigned long long)step.lost_blocks);
	}
}

#define EXPECT_STEPS(link, title, ...)                                                           \
	do {                                                                                     \
		const struct expected_step steps[] = { __VA_ARGS__ };                            \
		struct continuity continuity = joined();                                         \
		expect_steps(&continuity, link, title, steps, sizeof(steps) / sizeof(steps[0])); \
	} while (0)

/* After a connection with the blocks 5 to 7 of the epoch 1. */
static struct continuity joined(void)
{
	static const struct expected_step first[] = {
		{ .frame = { .flags = FRAME_METADATA,
			     .epoch = 1,
			     .sequence = 5,
			     .position = 500 } },
	};
	struct continuity continuity = { 0 };

	expect_steps(&continuity, CONTINUITY_JOIN, "first", first, 1);
	for (uint64_t i = 5; i <= 7; i++) {
		struct frame frame = at(0, 1, i);
		struct continuity_step step;
		const char *error;

		check(continuity_check(&continuity, &frame, &step, &error), "block: %s", error);
		check(step.new_epoch == (i == 5), "new epoch at %llu", (unsigned long long)i);
	}
	check(continuity.last_epoch == 1 && continuity.last_sequence == 7, "another last block");
	return continuity;
}

static void test_reconnect(void)
{
	EXPECT_STEPS(CONTINUITY_RESUMED, "resumed", { at(FRAME_METADATA, 1, 8), false, false, 0 },
		     { at(0, 1, 8), false, false, 0 });
	EXPECT_STEPS(CONTINUITY_RESUMED, "resumed, another epoch begins",
		     { at(FRAME_METADATA, 2, 8), false, false, 0 },
		     { at(FRAME_START, 2, 8), false, false, 0 });
	EXPECT_STEPS(CONTINUITY_JOIN, "joined later",
		     { at(FRAME_METADATA, 1, 20), false, false, 0 },
		     { at(0, 1, 20), false, false, 12 }, { at(0, 1, 21), false, false, 0 });
	EXPECT_STEPS(CONTINUITY_JOIN, "joined later, and a gap after that",
		     { at(FRAME_METADATA, 1, 20), false, false, 0 },
		     { at(0, 1, 23), false, false, 15 }, { at(FRAME_END, 1, 26), false, false, 2 });
	EXPECT_STEPS(CONTINUITY_JOIN, "with blocks that are there",
		     { at(FRAME_METADATA, 1, 6), false, false, 0 }, { at(0, 1, 6), true, false, 0 },
		     { at(0, 1, 7), true, false, 0 }, { at(0, 1, 8), false, false, 0 });
	EXPECT_STEPS(CONTINUITY_JOIN, "with blocks that are there, and a gap",
		     { at(FRAME_METADATA, 1, 6), false, false, 0 }, { at(0, 1, 6), true, false, 0 },
		     { at(0, 1, 10), false, false, 2 });
	EXPECT_STEPS(CONTINUITY_JOIN, "another count",
		     { at(FRAME_METADATA, 2, 20), false, false, 0 },
		     { at(0, 2, 20), false, true, 0 }, { at(0, 2, 22), false, false, 1 });
	EXPECT_STEPS(CONTINUITY_JOIN, "another count that has begun again",
		     { at(FRAME_METADATA, 2, 0), false, false, 0 },
		     { at(FRAME_START, 2, 0), false, true, 0 }, { at(0, 2, 1), false, false, 0 });
	EXPECT_STEPS(CONTINUITY_OLDEST, "too old, in another epoch of the same count",
		     { at(FRAME_METADATA, 3, 30), false, false, 0 },
		     { at(0, 2, 30), false, false, 22 });
	EXPECT_STEPS(CONTINUITY_OLDEST, "too old, but the daemon has begun again since",
		     { at(FRAME_METADATA, 2, 3), false, false, 0 },
		     { at(0, 2, 3), false, true, 0 });
	EXPECT_STEPS(CONTINUITY_RESUMED, "asked to resume, which the server ignores",
		     { at(FRAME_METADATA, 2, 20), false, false, 0 },
		     { at(0, 2, 20), false, true, 0 });
	point("another connection: nothing lost, a known or an unknown loss, nothing twice");
}

static void expect_refusal(struct frame second, struct frame third, const char *expected)
{
	const struct frame frames[] = { at(FRAME_METADATA, 1, 8), second, third };
	struct continuity continuity = joined();
	struct continuity_step step;
	const char *error = "";

	continuity_begin(&continuity, CONTINUITY_RESUMED);
	for (size_t i = 0; i < 3; i++)
		check(continuity_check(&continuity, &frames[i], &step, &error) == (i < 2),
		      "frame %zu: '%s'", i, error);
	check(strstr(error, expected), "got '%s', expected '%s'", error, expected);
}

static void test_refusals(void)
{
	struct continuity continuity = joined();
	struct frame other = at(0, 1, 8);
	struct continuity_step step;
	const char *error;

	expect_refusal(at(0, 1, 8), at(0, 2, 9), "an epoch without START");
	expect_refusal(at(0, 1, 8), at(FRAME_START, 1, 9), "START within an epoch");
	other.position = 900;
	continuity_begin(&continuity, CONTINUITY_JOIN);
	check(!continuity_check(&continuity, &other, &step, &error) && strstr(error, "contradict"),
	      "a place with another position");
	point("an epoch begins with START; a sequence has one position");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	uint32_t rounds = (uint32_t)(steps / 100) + 10;

	test_splits(rounds);
	test_damage(rounds);
	test_cut(rounds);
	test_contradictions();
	test_limits();
	test_reconnect();
	test_refusals();
	return tap_end();
}
