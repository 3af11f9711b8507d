// SPDX-License-Identifier: BSD-2-Clause
/*
 * What dmacastctl cat makes of frames: payload that is written once, gaps with their origin, and the report at the end.
 * Each connection is fed a byte at a time, so that frames are cut anywhere.
 */
#include "ctl/cat_receiver.h"
#include "ctl/cat_report.h"
#include "ctl/cat_sink.h"

#include "tap.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 100U
#define GAPS 8

static struct {
	char path[32]; /* of the report in JSON */
	struct cat_report *report;
	struct cat_receiver *receiver;
	char written[64]; /* the first byte of each payload */
	unsigned int pieces, epochs;
	struct cat_gap gap[GAPS];
	unsigned int gaps;
} world;

/* ---- the sink ---- */

static bool sink_write(void *data, const struct frame *frame, const unsigned char *bytes,
		       size_t length)
{
	(void)data;
	(void)frame;
	if (length)
		world.written[world.pieces++] = (char)bytes[0];
	return true;
}

static bool sink_metadata(void *data, const struct frame *frame, json_t *metadata)
{
	(void)data;
	(void)frame;
	return metadata;
}

static void sink_gap(void *data, const struct cat_gap *gap, const struct frame *frame)
{
	(void)data;
	(void)frame;
	if (check(world.gaps < GAPS, "more than %d gaps", GAPS))
		world.gap[world.gaps++] = *gap;
}

static void sink_new_epoch(void *data)
{
	(void)data;
	world.epochs++;
}

static const char *sink_error(void *data)
{
	(void)data;
	return "the sink has failed";
}

static const struct cat_sink sink = {
	.write = sink_write,
	.metadata = sink_metadata,
	.gap = sink_gap,
	.new_epoch = sink_new_epoch,
	.error = sink_error,
};

/* ---- connections ---- */

/* @limit: of bytes */
static void receiver_begin(uint64_t limit)
{
	const struct cat_report_options options = { .quiet = true,
						    .json = true,
						    .json_path = world.path };
	int fd;

	memset(&world, 0, sizeof(world));
	strcpy(world.path, "/tmp/cat_receiver.XXXXXX");
	fd = mkstemp(world.path);
	if (fd < 0 || close(fd))
		err(1, "%s", world.path);
	world.report = cat_report_create(&options);
	if (world.report)
		world.receiver =
			cat_receiver_create(CAT_FORMAT_FRAMED, limit, false, &sink, world.report);
	if (!world.receiver)
		errx(1, "no memory");
}

/* Return true if the report in JSON has @text. */
static bool report_has(const char *text)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen(world.path, "re");

	if (!file)
		err(1, "%s", world.path);
	while (fgets(line, sizeof(line), file))
		found |= strstr(line, text) != NULL;
	fclose(file);
	return found;
}

static void receiver_end(void)
{
	cat_receiver_free(world.receiver);
	cat_report_free(world.report);
	unlink(world.path);
}

/* @first: of the bytes of the payload; the rest are like it */
static void receiver_feed(struct frame frame, const char *payload)
{
	unsigned char bytes[FRAME_HEADER_BYTES + BLOCK_BYTES];

	frame_encode(&frame, bytes);
	if (payload[1])
		memcpy(bytes + FRAME_HEADER_BYTES, payload, frame.length);
	else
		memset(bytes + FRAME_HEADER_BYTES, payload[0], frame.length);
	for (size_t i = 0; i < FRAME_HEADER_BYTES + frame.length; i++)
		cat_receiver_feed(world.receiver, bytes + i, 1);
	check(cat_receiver_state(world.receiver) != CAT_RECEIVER_FAILED, "%s",
	      cat_receiver_error(world.receiver));
}

static struct frame frame_at(unsigned int flags, uint32_t length, uint32_t epoch, uint64_t sequence)
{
	return (struct frame){
		.flags = (uint16_t)flags,
		.length = length,
		.epoch = epoch,
		.sequence = sequence,
		.position = sequence * BLOCK_BYTES,
	};
}

/* Begin a connection at a block. */
static void connection_begin(enum continuity_link link, uint32_t epoch, uint64_t sequence)
{
	cat_receiver_begin(world.receiver, link);
	receiver_feed(frame_at(FRAME_METADATA, 2, epoch, sequence), "{}");
}

/* Blocks from @first on, whose bytes are a letter each, 'a' for the block 0. */
static void receiver_feed_blocks(uint32_t epoch, uint64_t first, unsigned int count)
{
	for (uint64_t i = first; i < first + count; i++) {
		const char letter[2] = { (char)('a' + i), '\0' };

		receiver_feed(frame_at(0, BLOCK_BYTES, epoch, i), letter);
	}
}

static void feed_loss(uint32_t epoch, uint64_t sequence, uint32_t blocks)
{
	struct frame frame = frame_at(FRAME_LOSS, BLOCK_BYTES, epoch, sequence);
	const char letter[2] = { (char)('a' + sequence), '\0' };

	frame.lost_blocks = blocks;
	frame.lost_bytes = blocks * BLOCK_BYTES;
	receiver_feed(frame, letter);
}

static void receiver_check_written(const char *expected)
{
	check(!strcmp(world.written, expected), "wrote '%s', expected '%s'", world.written,
	      expected);
}

static void check_gap(unsigned int i, enum cat_gap_origin origin, uint64_t blocks)
{
	check(i < world.gaps && world.gap[i].origin == origin && world.gap[i].blocks == blocks &&
		      world.gap[i].bytes == blocks * BLOCK_BYTES,
	      "gap %u of %u: %s, %llu blocks", i, world.gaps, cat_gap_name(world.gap[i].origin),
	      (unsigned long long)world.gap[i].blocks);
}

/* ---- the tests ---- */

static void test_receiver_gaps(void)
{
	receiver_begin(UINT64_MAX);
	connection_begin(CONTINUITY_JOIN, 1, 0);
	feed_loss(1, 0, 5);
	check(!world.gaps, "a gap before the first block");
	receiver_feed_blocks(1, 1, 1);
	feed_loss(1, 2, 3);
	receiver_feed_blocks(1, 5, 1);
	receiver_check_written("abcf");
	check(world.gaps == 2, "%u gaps", world.gaps);
	check_gap(0, CAT_GAP_SOURCE, 3);
	check_gap(1, CAT_GAP_CLIENT, 2);
	point("what the source lost and what the client lost are told apart, from the first block "
	      "on");

	cat_report_end(world.report, cat_receiver_bytes(world.receiver), 3);
	check(report_has("\"client\":{\"gaps\":1,\"blocks\":2,\"bytes\":200}") &&
		      report_has("\"source\":{\"gaps\":1,\"blocks\":3,\"bytes\":300}") &&
		      report_has("\"unknown\":{\"gaps\":0,\"blocks\":0,\"bytes\":0}"),
	      "the report lacks them");
	check(cat_report_lost(world.report), "nothing is lost");
	point("the report at the end has both, in blocks and in bytes");
	receiver_end();
}

static void test_receiver_overlap(void)
{
	uint32_t epoch;
	uint64_t sequence;

	receiver_begin(UINT64_MAX);
	connection_begin(CONTINUITY_JOIN, 1, 0);
	receiver_feed(frame_at(FRAME_PREAMBLE, BLOCK_BYTES, 1, 0), "P");
	receiver_feed_blocks(1, 0, 3);
	connection_begin(CONTINUITY_JOIN, 1, 1);
	receiver_feed(frame_at(FRAME_PREAMBLE, BLOCK_BYTES, 1, 1), "P");
	receiver_feed_blocks(1, 1, 3);
	receiver_check_written("Pabcd");
	check(!world.gaps && world.epochs == 1, "%u gaps, %u epochs", world.gaps, world.epochs);
	check(cat_receiver_last(world.receiver, &epoch, &sequence) && epoch == 1 && sequence == 3,
	      "the last block is %llu", (unsigned long long)sequence);
	point("a connection that overlaps: each block and the preamble once");

	connection_begin(CONTINUITY_RESUMED, 2, 4);
	receiver_feed(frame_at(FRAME_PREAMBLE, BLOCK_BYTES, 2, 4), "Q");
	receiver_feed(frame_at(FRAME_START, BLOCK_BYTES, 2, 4), "e");
	receiver_check_written("PabcdQe");
	check(!world.gaps && world.epochs == 2, "%u gaps, %u epochs", world.gaps, world.epochs);
	point("another run has a preamble of its own");

	connection_begin(CONTINUITY_JOIN, 3, 0);
	receiver_feed_blocks(3, 0, 1);
	receiver_check_written("PabcdQea");
	check(world.gaps == 1 && world.gap[0].origin == CAT_GAP_UNKNOWN, "%u gaps", world.gaps);
	point("another count is a loss that is unknown");
	receiver_end();
}

static void test_receiver_limit(void)
{
	receiver_begin(2 * BLOCK_BYTES + 1);
	connection_begin(CONTINUITY_JOIN, 1, 0);
	receiver_feed_blocks(1, 0, 2);
	check(cat_receiver_state(world.receiver) == CAT_RECEIVER_RUNS, "ended too early");
	receiver_feed_blocks(1, 2, 1);
	check(cat_receiver_state(world.receiver) == CAT_RECEIVER_COMPLETE, "did not end");
	check(cat_receiver_bytes(world.receiver) == 2 * BLOCK_BYTES + 1, "%llu bytes",
	      (unsigned long long)cat_receiver_bytes(world.receiver));
	receiver_end();
	point("a limit of bytes is exact, within a block");
}

int main(void)
{
	test_receiver_gaps();
	test_receiver_overlap();
	test_receiver_limit();
	return tap_end();
}
