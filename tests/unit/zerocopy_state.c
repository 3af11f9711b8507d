// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage: zerocopy_state [STEPS [SEED]]
 *
 * A connection over loopback is handed over while its sends are outstanding: the successor reads their completions, sends
 * the rest of a block or of its header, and the peer gets every byte. The predecessor is another set of objects in this
 * process, or a process that has ended.
 */
#include "lib/clock.h"
#include "lib/frame.h"
#include "lib/pattern.h"
#include "lib/state.h"
#include "ring/ring.h"
#include "send/zerocopy.h"
#include "stream/window.h"

#include "dice.h"
#include "loopback.h"
#include "sharedring.h"
#include "statejson.h"
#include "statepass.h"
#include "tap.h"
#include "twoprocesses.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_SIZE 65536U
#define BLOCKS 32U
/* Receive buffer of the peer: small, so that sends are outstanding while it does not read. */
#define SMALL_BUFFER (128 << 10)
#define PATIENCE_MS 20000

static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };
static const struct stream_settings settings;

struct relay {
	struct ring *ring;
	struct window *window;
	struct cursor cursor;
	struct zerocopy zerocopy;
	struct latency latency;
	enum zerocopy_copy_state copy_state; /* as reported */
	struct relay *predecessor;	     /* which is gone, as its process would be */
};

/* What the peer has got. */
struct peer {
	int fd;
	bool framed;
	uint64_t sequence, position; /* of the block that is being received */
	uint32_t at;		     /* bytes of it that have arrived, with its header */
};

/* The one that goes on. Its predecessors are never freed: no one may write to the memory any more. */
static struct relay *relay_now;
static struct peer peer;
static uint64_t handovers, outstanding_handed;

/* ---- content ---- */

static uint32_t relay_block_length(uint64_t sequence)
{
	return BLOCK_SIZE - 8 * (uint32_t)(sequence % 7) - (uint32_t)(sequence % 3);
}

static void relay_make_header(uint64_t sequence, uint64_t position, unsigned char *header)
{
	const struct frame frame = {
		.sequence = sequence,
		.position = position,
		.length = relay_block_length(sequence),
		.monotonic_ns = sequence * 5,
	};

	frame_encode(&frame, header);
}

static void relay_fill(struct relay *relay)
{
	struct block *block;

	while ((block = ring_take(relay->ring))) {
		uint64_t sequence = window_head(relay->window);

		block->monotonic_ns = clock_monotonic_ns();
		block->length = relay_block_length(sequence);
		relay_make_header(sequence, window_bytes(relay->window), block->header);
		pattern_fill(block->data, block->length, window_bytes(relay->window));
		window_push(relay->window, block);
	}
}

/* Check bytes of one block, or of its header. Return: how many. */
static size_t peer_check(const unsigned char *bytes, size_t length)
{
	uint32_t header_bytes = peer.framed ? FRAME_HEADER_BYTES : 0;
	uint32_t end = header_bytes + relay_block_length(peer.sequence);
	unsigned char header[FRAME_HEADER_BYTES];

	if (peer.at < header_bytes) {
		if (length > header_bytes - peer.at)
			length = header_bytes - peer.at;
		relay_make_header(peer.sequence, peer.position, header);
		check(!memcmp(bytes, header + peer.at, length), "header of block %" PRIu64,
		      peer.sequence);
	} else {
		if (length > end - peer.at)
			length = end - peer.at;
		check(pattern_check(bytes, length, peer.position + peer.at - header_bytes) ==
			      length,
		      "data of block %" PRIu64, peer.sequence);
	}
	peer.at += (uint32_t)length;
	if (peer.at == end) {
		peer.at = 0;
		peer.position += relay_block_length(peer.sequence++);
	}
	return length;
}

/* Receive up to @most bytes that are there. Return: as recv(). */
static ssize_t peer_receive(size_t most)
{
	static unsigned char buffer[256 << 10];
	ssize_t n =
		recv(peer.fd, buffer, most < sizeof(buffer) ? most : sizeof(buffer), MSG_DONTWAIT);

	for (size_t done = 0; n > 0 && done < (size_t)n;)
		done += peer_check(buffer + done, (size_t)n - done);
	return n;
}

/* ---- the link that is handed over ---- */

static void relay_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				     enum zerocopy_copy_state now)
{
	struct relay *relay = argument;

	check(before == relay->copy_state && now != before, "from %d to %d, was %d", before, now,
	      relay->copy_state);
	relay->copy_state = now;
}

static struct relay *relay_allocate(void)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		errx(1, "no memory");
	relay->predecessor = relay_now;
	return relay;
}

static void relay_open(int sender, int receiver, bool framed, enum huge_pages huge_pages)
{
	struct relay *relay = relay_allocate();

	relay->ring = shared_ring_create(BLOCK_SIZE, BLOCKS, huge_pages);
	relay->window = window_create(BLOCKS);
	if (!relay->window)
		errx(1, "no window");
	relay->cursor.framed = framed;
	window_join(relay->window, &relay->cursor, 0);
	zerocopy_open(&relay->zerocopy, sender, ZEROCOPY_ALWAYS, &relay->latency,
		      relay_copy_state_changed, relay);
	relay_now = relay;
	peer = (struct peer){ .fd = receiver, .framed = framed };
}

static void begin_relay(bool framed, enum huge_pages huge_pages)
{
	int sender, receiver;

	if (!connect_pair(&ipv4, SMALL_BUFFER, &sender, &receiver))
		errx(1, "no IPv4");
	relay_open(sender, receiver, framed, huge_pages);
}

/* Send up to @max_bytes. Return: as zerocopy_send(). */
static ssize_t relay_send(struct relay *relay, uint64_t max_bytes)
{
	struct zerocopy_request request = {
		.first = window_block(relay->window, &relay->cursor),
		.offset = relay->cursor.offset,
		.blocks = window_run(relay->window, &relay->cursor, 8, UINT64_MAX),
		.max_bytes = max_bytes,
		.framed = relay->cursor.framed,
		.may_pin = true,
	};
	ssize_t n = -1;

	if (request.blocks)
		n = zerocopy_send(&relay->zerocopy, &request);
	if (n > 0)
		window_advance(relay->window, &relay->cursor, (uint64_t)n);
	return n;
}

static void relay_send_until_full(struct relay *relay)
{
	relay_fill(relay);
	while (relay_send(relay, 1 << 20) > 0)
		relay_fill(relay);
	check(zerocopy_outstanding(&relay->zerocopy), "nothing is outstanding");
}

static void check_numbers(const struct zerocopy *zerocopy)
{
	check(!zerocopy->stats.foreign_completions && !zerocopy->stats.truncated,
	      "%" PRIu64 " foreign completions", zerocopy->stats.foreign_completions);
	check(zerocopy->stats.completed + zerocopy_outstanding(zerocopy) ==
		      zerocopy->stats.zerocopy_sends,
	      "%" PRIu64 " of %" PRIu64 " sends are complete, and %u outstanding",
	      zerocopy->stats.completed, zerocopy->stats.zerocopy_sends,
	      zerocopy_outstanding(zerocopy));
}

/* Let the peer read until no send is outstanding. */
static void relay_drain(struct relay *relay)
{
	struct pollfd events[] = { { .fd = peer.fd, .events = POLLIN },
				   { .fd = relay->zerocopy.fd } };

	while (zerocopy_outstanding(&relay->zerocopy) && !tap.failed) {
		if (!check(poll(events, 2, PATIENCE_MS) > 0, "%u sends stay outstanding",
			   zerocopy_outstanding(&relay->zerocopy)))
			break;
		peer_receive(SIZE_MAX);
		zerocopy_reap(&relay->zerocopy);
	}
	check_numbers(&relay->zerocopy);
}

/* Close it when nothing is outstanding: each block comes back. */
static void relay_end(struct relay *relay)
{
	window_leave(relay->window, &relay->cursor);
	zerocopy_close(&relay->zerocopy);
	check(relay->copy_state == ZEROCOPY_UNKNOWN, "copy state %d", relay->copy_state);
	window_destroy(relay->window);
	check(ring_free_blocks(relay->ring) == BLOCKS, "%u of %u blocks came back",
	      ring_free_blocks(relay->ring), BLOCKS);
	ring_destroy(relay->ring);
	close(peer.fd);
}

/* ---- handover ---- */

static struct state *relay_save(struct relay *relay)
{
	struct state *state = state_create();

	ring_save(relay->ring, state);
	window_transfer(relay->window, relay->ring, state);
	window_transfer_cursor(relay->window, relay->ring, state, &relay->cursor);
	zerocopy_save(&relay->zerocopy, relay->ring, state);
	return state;
}

/* Save for a successor in this process, which has the same descriptors. */
static void relay_save_here(struct relay *relay, struct parcel_content *parcel)
{
	struct state *state = relay_save(relay);
	const int *saved = state_descriptors(state, &parcel->count);

	*parcel = (struct parcel_content){ .count = parcel->count };
	parcel->data = state_encode_copy(state, &parcel->length);
	parcel->descriptors = calloc(parcel->count, sizeof(*saved));
	if (!parcel->descriptors)
		errx(1, "no memory");
	memcpy(parcel->descriptors, saved, parcel->count * sizeof(*saved));
	state_free(state);
}

/* Return its state, and free @parcel. */
static struct state *parcel_open(struct parcel_content *parcel)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state = state_decode(parcel->data, parcel->length, parcel->descriptors,
					   parcel->count, wrong);

	if (!state)
		errx(1, "%s", wrong);
	parcel_free_content(parcel);
	return state;
}

/* Restore all but the socket. */
static struct relay *relay_restore_blocks(struct state *state)
{
	struct relay *relay = relay_allocate();

	relay->ring = ring_restore(NULL, &settings, state);
	if (!relay->ring)
		errx(1, "%s", state_why(state));
	relay->window = window_create(BLOCKS);
	if (!relay->window)
		errx(1, "no memory");
	window_transfer(relay->window, relay->ring, state);
	window_transfer_cursor(relay->window, relay->ring, state, &relay->cursor);
	return relay;
}

static bool relay_restore_socket(struct relay *relay, struct state *state)
{
	return zerocopy_restore(&relay->zerocopy, relay->ring, state, ZEROCOPY_ALWAYS,
				&relay->latency, relay_copy_state_changed, relay);
}

/* Continue with what was saved. */
static void relay_continue(struct parcel_content *parcel)
{
	struct state *state = parcel_open(parcel);
	struct relay *relay = relay_restore_blocks(state);

	if (!relay_restore_socket(relay, state) || !ring_check_restored(relay->ring, state))
		errx(1, "%s", state_why(state));
	state_free(state);
	check_numbers(&relay->zerocopy);
	check(relay->copy_state == relay->zerocopy.probe.copy_state,
	      "copy state %d was not reported", relay->copy_state);
	handovers++;
	outstanding_handed += zerocopy_outstanding(&relay->zerocopy);
	relay_now = relay;
}

static void compare_sockets(const struct zerocopy *before, const struct zerocopy *after)
{
	check(before->fd == after->fd && before->packet == after->packet &&
		      before->budgets == after->budgets &&
		      before->accepted_peak == after->accepted_peak &&
		      before->send_blocked == after->send_blocked &&
		      before->was_reset == after->was_reset,
	      "another socket");
	check(!memcmp(&before->stats, &after->stats, sizeof(before->stats)), "other statistics");
	check(before->probe.mode == after->probe.mode &&
		      before->probe.copy_state == after->probe.copy_state &&
		      before->probe.wanted == after->probe.wanted &&
		      before->probe.copied_in_a_row == after->probe.copied_in_a_row &&
		      before->probe.pause_left == after->probe.pause_left &&
		      before->probe.next_pause == after->probe.next_pause &&
		      before->probe.hold_off == after->probe.hold_off,
	      "another probe");
	check(completions_blocks(&before->completions) == completions_blocks(&after->completions),
	      "%u blocks are pinned", completions_blocks(&after->completions));
}

static void relay_hand_over(void)
{
	struct parcel_content parcel;
	const struct relay *before = relay_now;

	relay_save_here(relay_now, &parcel);
	relay_continue(&parcel);
	compare_sockets(&before->zerocopy, &relay_now->zerocopy);
}

static void test_outstanding(bool framed)
{
	begin_relay(framed, HUGE_PAGES_AUTO);
	for (int lap = 0; lap < 4; lap++) {
		relay_send_until_full(relay_now);
		relay_hand_over();
		check(zerocopy_outstanding(&relay_now->zerocopy), "nothing is outstanding");
		relay_drain(relay_now);
	}
	check(relay_now->zerocopy.stats.zerocopy_sends == relay_now->zerocopy.completions.next,
	      "the numbers do not continue");
	relay_end(relay_now);
	point("the successor reads the completions of the predecessor's sends, %s",
	      framed ? "framed" : "raw");
}

static void test_random_relays(uint64_t steps, uint64_t seed, bool framed)
{
	struct dice dice = { .state = seed };

	handovers = outstanding_handed = 0;
	begin_relay(framed, HUGE_PAGES_NEVER);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		relay_fill(relay_now);
		relay_send(relay_now, dice_roll(&dice, 1, dice_one_in(&dice, 3) ? 100 : 300000));
		if (dice_one_in(&dice, 2))
			peer_receive(dice_roll(&dice, 1, 200000));
		if (dice_one_in(&dice, 3))
			zerocopy_reap(&relay_now->zerocopy);
		if (handovers < 100 && dice_one_in(&dice, (uint32_t)(steps / 100) + 1))
			relay_hand_over();
	}
	relay_drain(relay_now);
	printf("# %" PRIu64 " steps, seed %" PRIu64 ": %" PRIu64 " blocks, %" PRIu64
	       " sends, %" PRIu64 " handovers with %" PRIu64 " sends\n",
	       steps, seed, peer.sequence, relay_now->zerocopy.stats.zerocopy_sends, handovers,
	       outstanding_handed);
	check(outstanding_handed, "nothing was handed over");
	relay_end(relay_now);
	point("handed over at random moments, the peer gets every byte, %s",
	      framed ? "framed" : "raw");
}

static void test_reset_relay(void)
{
	begin_relay(false, HUGE_PAGES_NEVER);
	relay_send_until_full(relay_now);
	zerocopy_reset(&relay_now->zerocopy);
	relay_hand_over();
	check(relay_now->zerocopy.was_reset, "not reset any more");
	relay_drain(relay_now);
	check(!histogram_count(&relay_now->latency.to_acknowledged),
	      "a reset acknowledges nothing");
	relay_end(relay_now);
	point("a connection that was reset ends at the successor");
}

/* Return the state, in which @value is @key of the object @object. @parcel: freed */
static struct state *parcel_open_with(struct parcel_content *parcel, const char *object,
				      const char *key, json_t *value)
{
	json_t *json = statejson_load(parcel->data, parcel->length);
	json_t *in = json_object_get(json_object_get(json, "zerocopy"), object);
	char wrong[STATE_WRONG_TEXT];
	struct state *state;

	if (!json_object_get(in, key) || json_object_set_new(in, key, value))
		errx(1, "no %s", key);
	state = statejson_decode(json, parcel->descriptors, parcel->count, wrong);
	if (!state)
		errx(1, "%s", wrong);
	json_decref(json);
	parcel_free_content(parcel);
	return state;
}

static void test_refused(const char *object, const char *key, json_t *value, const char *expected)
{
	struct parcel_content parcel;
	struct state *state;
	struct relay *relay;

	begin_relay(false, HUGE_PAGES_NEVER);
	relay_send_until_full(relay_now);
	relay_save_here(relay_now, &parcel);
	state = parcel_open_with(&parcel, object, key, value);
	relay = relay_restore_blocks(state);
	check(!relay_restore_socket(relay, state), "not refused");
	check(strstr(state_why(state), expected), "%s", state_why(state));
	state_free(state);
	check(!ring_pinned_blocks(relay->ring), "%u blocks stay pinned",
	      ring_pinned_blocks(relay->ring));
	while (peer_receive(SIZE_MAX) > 0)
		;
	check(errno == ECONNRESET, "%s", strerror(errno));
	if (window_head(relay->window))
		window_leave(relay->window, &relay->cursor);
	window_destroy(relay->window);
	ring_destroy(relay->ring);
	close(peer.fd);
	free(relay);
	point("refused, and the connection is reset: %s", expected);
}

/* ---- a predecessor that is a process ---- */

/* Send as the predecessor, and end without closing anything in order. */
static void __attribute__((noreturn)) be_predecessor(int sender, int channel, bool framed)
{
	relay_open(sender, -1, framed, HUGE_PAGES_AUTO);
	relay_send_until_full(relay_now);
	two_send(channel, relay_save(relay_now));
	_exit(tap.failed ? 1 : 0);
}

static void test_process(bool framed)
{
	struct parcel_content parcel;
	int sender, receiver, channel, status;
	pid_t child;

	if (!connect_pair(&ipv4, SMALL_BUFFER, &sender, &receiver))
		errx(1, "no IPv4");
	child = two_fork(&channel);
	if (!child)
		be_predecessor(sender, channel, framed);
	close(sender);
	if (!two_receive(channel, &parcel))
		errx(1, "no parcel");
	close(channel);
	check(waitpid(child, &status, 0) == child && status == 0, "status %#x", status);
	peer = (struct peer){ .fd = receiver, .framed = framed };
	relay_continue(&parcel);
	check(zerocopy_outstanding(&relay_now->zerocopy), "nothing is outstanding");
	relay_drain(relay_now);
	relay_send_until_full(relay_now);
	relay_drain(relay_now);
	check(ring_free_blocks(relay_now->ring) + window_length(relay_now->window) == BLOCKS,
	      "blocks stay pinned");
	relay_end(relay_now);
	point("the predecessor was a process, which has ended: %s", framed ? "framed" : "raw");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) / 20 : 5000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_outstanding(false);
	test_outstanding(true);
	test_random_relays(steps, seed, false);
	test_random_relays(steps, seed + 1, true);
	test_reset_relay();
	test_refused("probe", "wanted", json_integer(1), "wanted: expected true or false");
	test_refused("completions", "blocks", json_pack("[i]", 0), "blocks: expected");
	test_process(false);
	test_process(true);
	return tap_end();
}
