// SPDX-License-Identifier: BSD-2-Clause
/*
 * Framed clients in an event loop, over loopback, beside a raw one in the same window: metadata, headers, gaps,
 * the end. The peer of each framed client reads frame after frame, with a decoder of its own.
 */
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "ring/ring_memory.h"
#include "stream/client.h"

#include "../frame_decode.h"
#include "clientpair.h"
#include "tap.h"

#include <endian.h>
#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE 16384U
#define BLOCKS 32U
#define BUDGET (64 << 10)
#define BUFFER (64 << 10)
#define PATIENCE_NS 20000000000ULL
/* Bytes of a payload: of a block, or of much metadata. */
#define MAX_PAYLOAD (80U << 10)

static char stream_name_text[] = "test";

/* What the peer of a framed client knows. */
struct peer {
	int fd;
	unsigned char bytes[64 + MAX_PAYLOAD]; /* of the frame that comes */
	size_t length;			       /* of these that have come */
	struct frame frame;		       /* the last one */
	char metadata[MAX_PAYLOAD + 1];
	uint32_t epoch;		     /* of the last metadata */
	uint64_t sequence, position; /* those that must follow */
	uint64_t blocks, metadata_frames, ends, gap_blocks, gap_bytes, losses, starts;
	bool closed;
};

static struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct client_settings raw_settings;
	struct stream_frames frames;
	struct stream_memory memory;
	struct sent_counter sent;
	struct latency latency;
	struct ring *ring;
	struct window *window;
	struct client_group framed_group, raw_group;
	struct client *client, *raw;
	struct peer peer;
	int raw_peer;
	uint64_t raw_received;
	uint32_t gone;
} world;

static void framed_send_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	client_send(argument);
}

static void framed_requeue(void *argument, struct client *client)
{
	const struct timeval soon = { .tv_usec = 1 };

	(void)argument;
	event_base_once(world.base, -1, EV_TIMEOUT, framed_send_again, client, &soon);
}

static void framed_gone(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
	world.gone++;
}

static void framed_ignore_copy_state(void *argument, enum zerocopy_copy_state before,
				     enum zerocopy_copy_state now)
{
	(void)argument;
	(void)before;
	(void)now;
}

static void framed_ignore_half_close(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
}

static const struct client_callbacks framed_callbacks = {
	.half_closed = framed_ignore_half_close,
	.copy_state_changed = framed_ignore_copy_state,
	.requeue = framed_requeue,
	.gone = framed_gone,
};

static void framed_set(const char *name, const char *text)
{
	char expected[OPTION_ERROR_TEXT];

	if (!option_set(option_find(OPTION_STREAM, name), OPTION_STREAM, &world.settings, text,
			expected))
		errx(1, "%s = %s: expected %s", name, text, expected);
}

static void framed_begin(enum zerocopy_mode mode)
{
	memset(&world, 0, sizeof(world));
	option_set_defaults(OPTION_STREAM, &world.settings);
	world.settings.name = stream_name_text;
	world.settings.block_size = BLOCK_SIZE;
	world.settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	world.settings.client.zerocopy = mode;
	world.raw_settings = world.settings.client;
	world.settings.client.format = FORMAT_FRAMED;
	framed_set("meta", "site=here");
	world.base = event_base_new();
	world.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	world.window = window_create(BLOCKS);
	if (!world.base || !world.ring || !world.window ||
	    !stream_frames_init(&world.frames, &world.settings))
		errx(1, "no ring");
	stream_memory_init(&world.memory, &world.settings.client, world.settings.ring_size);
	world.framed_group = (struct client_group){
		.base = world.base,
		.stream_name = world.settings.name,
		.settings = &world.settings.client,
		.window = world.window,
		.frames = &world.frames,
		.memory = &world.memory,
		.sent = &world.sent,
		.latency = &world.latency,
		.callbacks = &framed_callbacks,
		.budget_bytes = BUDGET,
		.uncopied_budget_bytes = BUDGET,
	};
	world.raw_group = world.framed_group;
	world.raw_group.settings = &world.raw_settings;
}

static void framed_join(void)
{
	world.raw = clientpair_join(&world.raw_group, BUFFER, &world.raw_peer);
	world.client = clientpair_join(&world.framed_group, BUFFER, &world.peer.fd);
	world.peer.sequence = window_head(world.window);
	world.peer.position = window_bytes(world.window);
}

/* ---- the source ---- */

static void framed_push(uint32_t length)
{
	struct block *block = ring_take(world.ring);

	if (!check(block, "no free block"))
		return;
	block->length = length;
	block->monotonic_ns = clock_monotonic_ns();
	block->captured_ns = 1000 + window_head(world.window);
	block->realtime_ns = 2000 + window_head(world.window);
	pattern_fill(block->data, length, window_bytes(world.window));
	stream_frames_write(&world.frames, block, window_head(world.window),
			    window_bytes(world.window));
	window_push(world.window, block);
}

/* ---- the peer ---- */

static struct frame decode(const unsigned char *bytes)
{
	check(!memcmp(bytes, "DMCF\1\100", 6) && !frame_number(bytes + 60, 4), "no header");
	return frame_decode(bytes);
}

static void peer_take_block(struct peer *peer, const unsigned char *payload)
{
	const struct frame *frame = &peer->frame;

	check(frame->monotonic_ns == 1000 + frame->sequence &&
		      frame->realtime_ns == 2000 + frame->sequence,
	      "the times of block %" PRIu64, frame->sequence);
	check(pattern_check(payload, frame->length, frame->position) == frame->length,
	      "block %" PRIu64 " has other bytes", frame->sequence);
	check(!!(frame->flags & FRAME_SHORT) == (frame->length < BLOCK_SIZE),
	      "flags %u of %u bytes", frame->flags, frame->length);
	check(frame->epoch == peer->epoch, "epoch %u, but the metadata is of %u", frame->epoch,
	      peer->epoch);
	peer->blocks++;
	peer->losses += !!(frame->flags & FRAME_LOSS);
	peer->starts += !!(frame->flags & FRAME_START);
	peer->sequence++;
	peer->position += frame->length;
}

static void peer_take_frame(struct peer *peer)
{
	const struct frame *frame = &peer->frame;
	const unsigned char *payload = peer->bytes + FRAME_HEADER_BYTES;

	check(!peer->ends, "a frame behind the end");
	check(frame->sequence >= peer->sequence && frame->position >= peer->position,
	      "block %" PRIu64 " at %" PRIu64 ", expected %" PRIu64 " at %" PRIu64, frame->sequence,
	      frame->position, peer->sequence, peer->position);
	peer->gap_blocks += frame->sequence - peer->sequence;
	peer->gap_bytes += frame->position - peer->position;
	peer->sequence = frame->sequence;
	peer->position = frame->position;
	if (frame->flags & FRAME_METADATA) {
		peer->metadata_frames++;
		peer->epoch = frame->epoch;
		memcpy(peer->metadata, payload, frame->length);
		peer->metadata[frame->length] = '\0';
	} else if (frame->flags & FRAME_END) {
		check(!frame->length, "%u bytes at the end", frame->length);
		peer->ends++;
	} else {
		check(peer->metadata_frames, "a block before the metadata");
		peer_take_block(peer, payload);
	}
}

/* Read what has come. @most: upper bound in bytes. Return: false when there is no more. */
static bool peer_read(struct peer *peer, size_t most)
{
	size_t wanted = FRAME_HEADER_BYTES;
	ssize_t n;

	if (peer->length >= FRAME_HEADER_BYTES)
		wanted += peer->frame.length;
	wanted -= peer->length;
	n = recv(peer->fd, peer->bytes + peer->length, wanted < most ? wanted : most, MSG_DONTWAIT);
	if (n <= 0) {
		peer->closed |= n == 0;
		return false;
	}
	peer->length += (size_t)n;
	if (peer->length == FRAME_HEADER_BYTES) {
		peer->frame = decode(peer->bytes);
		check(peer->frame.length <= MAX_PAYLOAD, "%u bytes", peer->frame.length);
	}
	if (peer->length >= FRAME_HEADER_BYTES &&
	    peer->length == FRAME_HEADER_BYTES + peer->frame.length) {
		peer_take_frame(peer);
		peer->length = 0;
	}
	return !tap.failed;
}

/* Run the event loop, and read, until @done(). */
static void framed_run(bool (*done)(void), const char *what)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while (!done() && !tap.failed && check(clock_monotonic_ns() < give_up, "%s", what)) {
		while (peer_read(&world.peer, SIZE_MAX))
			;
		receive_pattern(world.raw_peer, &world.raw_received);
		event_base_loop(world.base, EVLOOP_NONBLOCK);
	}
}

static bool has_everything(void)
{
	return world.peer.position == window_bytes(world.window) && !world.peer.length &&
	       world.raw_received == window_bytes(world.window);
}

static bool both_have_ended(void)
{
	return world.gone == 2 && world.peer.closed;
}

static void send_and_run(void)
{
	client_send(world.raw);
	client_send(world.client);
	framed_run(has_everything, "something is missing");
}

static void framed_free(void)
{
	client_free(world.client);
	client_free(world.raw);
	close(world.peer.fd);
	close(world.raw_peer);
	stream_frames_free(&world.frames);
	check(ring_free_blocks(world.ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(world.ring));
	window_destroy(world.window);
	ring_destroy(world.ring);
	event_base_free(world.base);
	world.settings.name = NULL;
	stream_settings_clear(&world.settings);
}

static void framed_end(void)
{
	client_finish(world.raw);
	client_finish(world.client);
	framed_run(both_have_ended, "no end");
	receive_pattern(world.raw_peer, &world.raw_received);
	check(world.peer.ends == 1 && !world.peer.length, "%" PRIu64 " ends, %zu bytes behind it",
	      world.peer.ends, world.peer.length);
	check(world.peer.position == window_bytes(world.window) &&
		      world.peer.sequence == window_head(world.window),
	      "the end is at %" PRIu64, world.peer.position);
	check(world.peer.gap_bytes == world.client->stats.dropped_bytes,
	      "%" PRIu64 " bytes are missing, dropped were %" PRIu64, world.peer.gap_bytes,
	      world.client->stats.dropped_bytes);
	framed_free();
}

/* Let the framed client lose what it has not begun, as the lag policy does. */
static void skip_ahead(bool may_pin)
{
	struct window_gap lost;

	if (check(window_skip(world.window, &world.client->cursor, may_pin, &lost), "no memory"))
		world.client->stats.dropped_bytes += lost.bytes;
}

/* ---- tests ---- */

static void test_both_kinds(enum zerocopy_mode mode, const char *title)
{
	framed_begin(mode);
	framed_push(BLOCK_SIZE); /* before they join */
	world.raw_received = window_bytes(world.window);
	framed_join();
	for (uint32_t round = 0; round < 40 && !tap.failed; round++) {
		for (uint32_t i = 0; i < 20; i++)
			framed_push(i % 3 ? BLOCK_SIZE : 8 + 8 * i * round);
		send_and_run();
	}
	check(world.peer.blocks == 800 && world.peer.metadata_frames == 1 && !world.peer.starts,
	      "%" PRIu64 " blocks, %" PRIu64 " starts", world.peer.blocks, world.peer.starts);
	check(world.client->stats.sent_bytes - world.raw->stats.sent_bytes ==
		      801 * FRAME_HEADER_BYTES + world.frames.metadata->length,
	      "%" PRIu64 " bytes more than raw",
	      world.client->stats.sent_bytes - world.raw->stats.sent_bytes);
	framed_end();
	point("a framed client beside a raw one, %s", title);
}

static void test_metadata(void)
{
	char text[128];
	uint32_t epoch;

	framed_begin(ZEROCOPY_AUTO);
	framed_join();
	client_send(world.client);
	framed_push(BLOCK_SIZE);
	send_and_run();
	epoch = world.frames.epoch;
	snprintf(text, sizeof(text),
		 "{\"stream\":\"test\",\"epoch\":%u,\"block_size\":16384,\"meta\":{\"site\":"
		 "\"here\"}}",
		 epoch);
	check(!strcmp(world.peer.metadata, text), "%s", world.peer.metadata);
	check(world.peer.starts == 1, "%" PRIu64 " starts", world.peer.starts);
	check(!stream_frames_refresh(&world.frames), "changed by itself");
	point("the first frame is the metadata");

	/* One block is in the window, and not sent, when the epoch changes. */
	framed_push(BLOCK_SIZE);
	check(stream_frames_begin_epoch(&world.frames) && world.frames.epoch != epoch, "no change");
	client_send_metadata(world.client);
	client_send_metadata(world.raw);
	check(world.client->metadata_due == 2 && world.raw->metadata_due == CLIENT_NOT_DUE,
	      "due at %" PRIu64, world.client->metadata_due);
	world.frames.epoch = epoch; /* for the comparison of this one block */
	send_and_run();
	check(world.peer.metadata_frames == 2, "%" PRIu64 " frames", world.peer.metadata_frames);
	check(world.peer.frame.flags & FRAME_METADATA && world.peer.frame.sequence == 2,
	      "the last frame has the flags %u", world.peer.frame.flags);
	framed_push(BLOCK_SIZE);
	send_and_run();
	check(world.peer.starts == 2 && world.peer.metadata_frames == 2, "%" PRIu64 " starts",
	      world.peer.starts);
	framed_end();
	point("metadata of another epoch comes before the first block of it, which has START");
}

/* Metadata that no socket takes at once, read in small pieces; a client that skips meanwhile. */
static void test_much_metadata(void)
{
	char text[4000] = "0=";

	framed_begin(ZEROCOPY_ALWAYS);
	world.settings.client.send_buffer = 4608;
	memset(text + 2, 'x', sizeof(text) - 3);
	for (int i = 0; i < 15; i++) {
		text[0] = (char)('a' + i);
		framed_set("meta", text);
	}
	check(stream_frames_refresh(&world.frames), "no change");
	framed_join();
	client_send(world.client);
	check(client_aside_is_left(&world.client->aside) &&
		      world.client->aside.left < world.frames.metadata->length,
	      "%u bytes are left", world.client->aside.left);
	for (uint32_t i = 0; i < 4; i++)
		framed_push(BLOCK_SIZE);
	skip_ahead(true);
	check(world.client->stats.dropped_bytes == 3 * BLOCK_SIZE, "dropped %" PRIu64,
	      world.client->stats.dropped_bytes);
	while (peer_read(&world.peer, 10))
		;
	send_and_run();
	check(world.peer.metadata_frames == 1 && world.peer.gap_blocks == 3 &&
		      world.peer.gap_bytes == 3 * BLOCK_SIZE,
	      "%" PRIu64 " blocks are missing", world.peer.gap_blocks);
	framed_end();
	point("metadata larger than a socket, and blocks that are lost meanwhile");
}

/* What is lost between the last block that a client gets and the end shows there. */
static void test_lost_at_end(void)
{
	framed_begin(ZEROCOPY_AUTO);
	framed_join();
	framed_push(BLOCK_SIZE);
	send_and_run();
	framed_push(100);
	client_send(world.raw);
	skip_ahead(true);
	framed_end();
	check(world.peer.gap_blocks == 1 && world.peer.gap_bytes == 100, "%" PRIu64 " bytes",
	      world.peer.gap_bytes);
	point("the end shows what was lost before it");
}

/* The stream goes on when a reload removes the section of the client; its socket is full at the end. */
static void test_nothing_after_end(void)
{
	framed_begin(ZEROCOPY_NEVER);
	framed_join();
	framed_push(BLOCK_SIZE);
	send_and_run();
	world.client->zerocopy.send_blocked = true;
	client_finish(world.client);
	check(client_aside_is_left(&world.client->aside), "the end is not waiting");
	framed_push(BLOCK_SIZE);
	check(stream_frames_begin_epoch(&world.frames), "no change");
	client_send_metadata(world.client);
	zerocopy_unblock(&world.client->zerocopy);
	client_send(world.client);
	client_finish(world.raw);
	framed_run(both_have_ended, "no end");
	check(world.peer.ends == 1 && world.peer.blocks == 1 && world.peer.metadata_frames == 1,
	      "%" PRIu64 " ends, %" PRIu64 " blocks, %" PRIu64 " frames of metadata",
	      world.peer.ends, world.peer.blocks, world.peer.metadata_frames);
	framed_free();
	point("nothing follows the end of a client, though the stream goes on");
}

/* The client gets all blocks at once. */
static void test_metadata_between(void)
{
	framed_begin(ZEROCOPY_NEVER);
	framed_join();
	framed_push(100);
	framed_push(100);
	check(stream_frames_begin_epoch(&world.frames), "no change");
	client_send_metadata(world.client);
	framed_push(100);
	framed_push(100);
	send_and_run();
	check(world.peer.blocks == 4 && world.peer.epoch == world.frames.epoch &&
		      world.peer.starts == 2,
	      "%" PRIu64 " blocks, %" PRIu64 " begin an epoch", world.peer.blocks,
	      world.peer.starts);
	framed_end();
	point("the metadata of an epoch comes between the blocks of the former one and its own");
}

/* The blocks of the next run are there, and have other numbers. */
static void test_end_of_run(void)
{
	framed_begin(ZEROCOPY_NEVER);
	framed_join();
	framed_push(100);
	framed_push(100);
	client_end_run(world.client);
	framed_push(100);
	framed_push(100);
	client_send(world.raw);
	client_send(world.client);
	client_finish(world.raw);
	framed_run(both_have_ended, "no end");
	check(world.peer.ends == 1 && world.peer.blocks == 2 && world.peer.position == 200,
	      "%" PRIu64 " ends, %" PRIu64 " blocks", world.peer.ends, world.peer.blocks);
	framed_free();
	point("a client whose run ends gets none of the blocks behind it");
}

static void test_source_losses(void)
{
	framed_begin(ZEROCOPY_AUTO);
	framed_join();
	framed_push(BLOCK_SIZE);
	stream_frames_note_lost(&world.frames, 2);
	stream_frames_note_lost(&world.frames, 1);
	framed_push(BLOCK_SIZE);
	send_and_run();
	check(world.peer.losses == 1 && world.peer.frame.lost_blocks == 3 &&
		      world.peer.frame.lost_bytes == 3 * BLOCK_SIZE,
	      "%u blocks, %" PRIu64 " bytes", world.peer.frame.lost_blocks,
	      world.peer.frame.lost_bytes);
	stream_frames_note_lost(&world.frames, 1ULL << 33);
	framed_push(BLOCK_SIZE);
	send_and_run();
	check(world.peer.frame.lost_blocks == UINT32_MAX &&
		      world.peer.frame.lost_bytes == BLOCK_SIZE * (1ULL << 33),
	      "%u blocks", world.peer.frame.lost_blocks);
	framed_push(BLOCK_SIZE);
	send_and_run();
	check(world.peer.losses == 2 && !world.peer.frame.lost_blocks, "lost again");
	framed_end();
	point("what the source lost is in the next header only");
}

int main(void)
{
	test_both_kinds(ZEROCOPY_ALWAYS, "by zero-copy");
	test_both_kinds(ZEROCOPY_NEVER, "by copying");
	test_both_kinds(ZEROCOPY_AUTO, "as it pays");
	test_metadata();
	test_much_metadata();
	test_lost_at_end();
	test_nothing_after_end();
	test_metadata_between();
	test_end_of_run();
	test_source_losses();
	return tap_end();
}
