// SPDX-License-Identifier: BSD-2-Clause
/* write(): giving blocks back. */
#include "channel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE (12 * KIB)
#define BLOCK_COUNT 16U

/* lend() - a stalled channel, @count of whose blocks are lent; the others are ready. */
static struct channel lend(struct dmacast_block *blocks, unsigned int count)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	need(channel_read(&channel, blocks, count, 10) == count, "not %u blocks", count);
	return channel;
}

static void recycling_check_lent(const struct channel *channel, unsigned int lent,
				 unsigned int recycled)
{
	struct dmacast_stats stats = channel_stats(channel);

	check(stats.blocks_lent == lent, "%u blocks are lent, not %u", stats.blocks_lent, lent);
	check(stats.recycled == recycled, "%llu were recycled, not %u", stats.recycled, recycled);
}

static void test_bad(void)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct channel channel = lend(blocks, 4);
	uint32_t indices[8] = { blocks[0].index, blocks[1].index };
	static const uint32_t outside[] = {
		BLOCK_COUNT, BLOCK_COUNT + 1, 1U << 16, 1U << 31, UINT32_MAX,
	};
	bool lent[BLOCK_COUNT] = { false };

	refused(write(channel.fd, indices, 1), EINVAL);
	refused(write(channel.fd, indices, 2), EINVAL);
	refused(write(channel.fd, indices, 3), EINVAL);
	refused(write(channel.fd, indices, 5), EINVAL);
	refused(write(channel.fd, indices, 7), EINVAL);
	check(write(channel.fd, indices, 0) == 0, "nothing to write: %m");
	recycling_check_lent(&channel, 4, 0);
	point("sizes that are no multiple of 4");

	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		refused(try_recycle(&channel, outside[i]), EINVAL);
	recycling_check_lent(&channel, 4, 0);
	point("indices out of range");

	for (unsigned int i = 0; i < 4; i++)
		lent[blocks[i].index] = true;
	for (uint32_t i = 0; i < BLOCK_COUNT; i++)
		if (!lent[i])
			refused(try_recycle(&channel, i), EINVAL);
	recycling_check_lent(&channel, 4, 0);
	check(channel_stats(&channel).blocks_ready == BLOCK_COUNT - 4, "another one is not ready");
	point("blocks that were never lent");

	refused(write(channel.fd, null_pointer, 4), EFAULT);
	refused(write(channel.fd, wild_pointer, 8), EFAULT);
	refused(write(channel.fd, guarded(0), 4), EFAULT);
	recycling_check_lent(&channel, 4, 0);
	point("bad pointers");

	recycle(&channel, blocks[0].index);
	recycling_check_lent(&channel, 3, 1);
	refused(try_recycle(&channel, blocks[0].index), EINVAL);
	recycling_check_lent(&channel, 3, 1);
	indices[0] = indices[1] = blocks[1].index;
	check(write(channel.fd, indices, 8) == 4, "twice in one write(): %m");
	recycling_check_lent(&channel, 2, 2);
	point("twice");

	indices[0] = blocks[2].index;
	indices[1] = BLOCK_COUNT;
	indices[2] = blocks[3].index;
	check(write(channel.fd, indices, 12) == 4, "a good and a bad one: %m");
	recycling_check_lent(&channel, 1, 3);
	check(write(channel.fd, indices + 2, 4) == 4, "the rest: %m");
	recycling_check_lent(&channel, 0, 4);
	channel_close(&channel);
	point("a good index, then a bad one");
}

/* The part of the array before the bad page may count, nothing else. */
static void test_half_bad(void)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct channel channel = lend(blocks, 4);
	uint32_t *indices = guarded(2 * sizeof(*indices));
	struct dmacast_stats stats;
	ssize_t length;

	indices[0] = blocks[0].index;
	indices[1] = blocks[1].index;
	length = write(channel.fd, indices, 16);
	stats = channel_stats(&channel);
	if (length == -1)
		check(errno == EFAULT && stats.blocks_lent == 4 && !stats.recycled,
		      "errno %d, %u lent", errno, stats.blocks_lent);
	else
		check(length >= 0 && length <= 8 && stats.recycled * 4 == (uint64_t)length &&
			      stats.blocks_lent == 4 - stats.recycled,
		      "%zd bytes, %llu recycled, %u lent", length, stats.recycled,
		      stats.blocks_lent);
	channel_close(&channel);
	point("an array that is half there");
}

static void test_many(void)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct channel channel = lend(blocks, BLOCK_COUNT);
	const unsigned int length = 100000;
	uint32_t *indices = malloc(length * sizeof(*indices));

	need(indices, "no memory");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		indices[i] = blocks[BLOCK_COUNT - 1 - i].index;
	for (unsigned int i = BLOCK_COUNT; i < length; i++)
		indices[i] = BLOCK_COUNT;
	check(write(channel.fd, indices, length * sizeof(*indices)) ==
		      (ssize_t)(BLOCK_COUNT * sizeof(*indices)),
	      "not all and only those: %m");
	check(channel_stats(&channel).recycled == BLOCK_COUNT, "recycled: not all");
	free(indices);
	channel_close(&channel);
	point("all blocks in one write(), and much that is wrong");
}

static void test_rounds(void)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct channel channel = lend(blocks, BLOCK_COUNT);
	uint64_t expected = 0, next_offset = stream_offset(&channel, &blocks[0]);

	srandom(1);
	for (unsigned int round = 0; round < 50; round++) {
		unsigned int count =
			round ? channel_read(&channel, blocks, BLOCK_COUNT, 20) : BLOCK_COUNT;
		uint32_t indices[BLOCK_COUNT];

		need(count == BLOCK_COUNT, "%u blocks", count);
		for (unsigned int i = 0; i < count; i++) {
			check(blocks[i].sequence == expected, "sequence %llu", blocks[i].sequence);
			check(stream_offset(&channel, &blocks[i]) == next_offset, "other content");
			check_content(&channel, &blocks[i]);
			expected++;
			next_offset += blocks[i].length;
		}
		/* In any order, in pieces of any size. */
		for (unsigned int i = 0; i < count; i++) {
			unsigned int j = random() % (i + 1);

			indices[i] = indices[j];
			indices[j] = blocks[i].index;
		}
		for (unsigned int done = 0; done < count;) {
			unsigned int part = 1 + random() % (count - done);

			need(write(channel.fd, indices + done, part * 4) == (ssize_t)part * 4,
			     "write: %m");
			done += part;
		}
	}
	channel_close(&channel);
	point("50 rounds of all blocks, given back in any order");
}

static void test_recycling_stopped(void)
{
	struct dmacast_block blocks[BLOCK_COUNT];
	struct channel channel = lend(blocks, 4);
	struct dmacast_stats stats;

	channel_stop(&channel);
	for (unsigned int i = 0; i < 4; i++)
		recycle(&channel, blocks[i].index);
	stats = channel_stats(&channel);
	check(!stats.blocks_lent && stats.recycled == 4 && !stats.blocks_queued,
	      "%u lent, %llu recycled, %u queued", stats.blocks_lent, stats.recycled,
	      stats.blocks_queued);
	refused(try_recycle(&channel, blocks[0].index), EINVAL);
	point("after STOP");

	/* SETUP gives nobody a block: the indices of before are not lent. */
	need(channel_read(&channel, blocks, 2, 10) == 2, "none is ready");
	channel_close(&channel);
	channel = channel_open();
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	refused(try_recycle(&channel, blocks[0].index), EINVAL);
	stats = channel_stats(&channel);
	check(stats.blocks_free == BLOCK_COUNT, "%u free", stats.blocks_free);
	channel_map(&channel);
	channel_start(&channel);
	check(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "the ring has shrunk");
	channel_close(&channel);
	point("close() with lent blocks gives them back");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_bad();
	test_half_bad();
	test_many();
	test_rounds();
	test_recycling_stopped();
	return tap_end();
}
