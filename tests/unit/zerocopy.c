// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sends on real connections over loopback, from a real ring: the bytes that arrive, and how long blocks
 * are pinned. The kernel copies there, but only when the data leaves the socket: data for a peer that does
 * not read is outstanding until it reads.
 */
#include "lib/clock.h"
#include "lib/pattern.h"
#include "ring/ring_memory.h"
#include "send/zerocopy.h"
#include "stream/window.h"

#include "dice.h"
#include "locklimit.h"
#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK_SIZE 65536U
#define BLOCKS 64U
/* Receive buffer of a peer: small, so that the sender is blocked soon when the peer does not read. */
#define SMALL_BUFFER (128 << 10)
/* More bytes than any socket accepts at once. */
#define LARGE_BUDGET (16ULL << 20)
/* Bytes of a small send that is still worth zero-copy. */
#define SMALL_PINNED 16384U
#define PATIENCE_NS 20000000000ULL

static const struct family families[] = {
	{ "IPv4", AF_INET, AF_INET },
	{ "IPv6", AF_INET6, AF_INET6 },
	{ "IPv4 on an IPv6 socket", AF_INET6, AF_INET },
};

static const struct family *const ipv4 = &families[0];

struct link {
	struct ring *ring;
	struct window *window;
	struct cursor cursor;
	struct zerocopy zerocopy;
	struct latency latency;
	enum zerocopy_copy_state copy_state; /* as reported */
	int peer;
	uint64_t history_bytes;	 /* that have no latency: the first ones that are sent */
	uint64_t timed_blocks;	 /* blocks behind them whose last byte was sent */
	uint64_t whole_blocks;	 /* those of them that were sent by zero-copy */
	uint64_t sent, received; /* bytes */
	uint64_t copied;	 /* bytes that were sent by copying */
	/* Of a framed link: the block that is received, its position, and its bytes that are. */
	uint64_t sequence, position, frame_bytes;
};

/* ---- connections ---- */

static void link_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				    enum zerocopy_copy_state now)
{
	struct link *link = argument;

	check(before == link->copy_state && now != before, "from %d to %d, was %d", before, now,
	      link->copy_state);
	link->copy_state = now;
}

static void link_begin(struct link *link, int sender, int peer, enum zerocopy_mode mode)
{
	memset(link, 0, sizeof(*link));
	link->ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	link->window = window_create(BLOCKS);
	if (!link->ring || !link->window)
		errx(1, "no ring");
	window_join(link->window, &link->cursor, window_head(link->window));
	zerocopy_open(&link->zerocopy, sender, mode, &link->latency, link_copy_state_changed, link);
	link->peer = peer;
}

static bool link_open(struct link *link, const struct family *family, enum zerocopy_mode mode)
{
	int sender, peer;

	if (!connect_pair(family, SMALL_BUFFER, &sender, &peer))
		return false;
	link_begin(link, sender, peer, mode);
	return true;
}

static uint32_t block_length(uint64_t sequence)
{
	return BLOCK_SIZE - 8 * (uint32_t)(sequence % 7) - (uint32_t)(sequence % 3);
}

static void make_header(uint64_t sequence, uint64_t position,
			unsigned char header[FRAME_HEADER_BYTES])
{
	const struct frame frame = {
		.sequence = sequence,
		.position = position,
		.length = block_length(sequence),
	};

	frame_encode(&frame, header);
}

/* Fill every free block with the pattern; the lengths differ. */
static void link_fill(struct link *link)
{
	struct block *block;

	while ((block = ring_take(link->ring))) {
		block->monotonic_ns = clock_monotonic_ns();
		block->length = block_length(window_head(link->window));
		make_header(window_head(link->window), window_bytes(link->window), block->header);
		pattern_fill(block->data, block->length, window_bytes(link->window));
		window_push(link->window, block);
	}
}

/* Check that a send has pinned the blocks up to the byte @end, and no others. */
static void check_pins(const struct zerocopy_request *request, const uint32_t *pins_before,
		       uint64_t end)
{
	const struct block *block = request->first;
	uint64_t start = 0;

	for (uint32_t i = 0; i < request->blocks; i++, block = block->next) {
		uint32_t expected = pins_before[i] + (start < end);

		check(block->pins == expected, "block %u has %u pins, expected %u", i, block->pins,
		      expected);
		start += block_header_bytes(block, request->framed) + block->length;
	}
}

static ssize_t send_some(struct link *link, uint32_t blocks, uint64_t max_bytes, bool may_pin)
{
	struct zerocopy *zerocopy = &link->zerocopy;
	uint64_t zerocopy_sends = zerocopy->stats.zerocopy_sends;
	uint32_t outstanding = zerocopy_outstanding(zerocopy), pins[ZEROCOPY_BLOCKS];
	struct zerocopy_request request = {
		.first = window_block(link->window, &link->cursor),
		.offset = link->cursor.offset,
		.blocks = window_run(link->window, &link->cursor, blocks, UINT64_MAX),
		.max_bytes = max_bytes,
		.framed = link->cursor.framed,
		.is_history = link->sent < link->history_bytes,
		.may_pin = may_pin,
	};
	struct block *block = request.first;
	uint64_t sequence = link->cursor.sequence;
	ssize_t n;

	for (uint32_t i = 0; i < request.blocks; i++, block = block->next)
		pins[i] = block->pins;
	n = zerocopy_send(zerocopy, &request);
	if (n <= 0)
		return n;
	check((uint64_t)n <= max_bytes, "%zd bytes", n);
	if (zerocopy->stats.zerocopy_sends != zerocopy_sends) {
		check(zerocopy_outstanding(zerocopy) == outstanding + 1, "%u outstanding, were %u",
		      zerocopy_outstanding(zerocopy), outstanding);
		check_pins(&request, pins, request.offset + (uint64_t)n);
	} else {
		check_pins(&request, pins, 0);
		link->copied += (uint64_t)n;
	}
	link->sent += (uint64_t)n;
	window_advance(link->window, &link->cursor, (uint64_t)n);
	if (!request.is_history)
		link->timed_blocks += link->cursor.sequence - sequence;
	check(histogram_count(&link->latency.to_send) == link->timed_blocks,
	      "%" PRIu64 " blocks sent to their end, expected %" PRIu64,
	      histogram_count(&link->latency.to_send), link->timed_blocks);
	if (zerocopy->stats.zerocopy_sends != zerocopy_sends && !request.is_history)
		link->whole_blocks += link->cursor.sequence - sequence;
	return n;
}

/* Check bytes of one block, or of its header. Return: how many. */
static size_t check_framed(struct link *link, const unsigned char *bytes, size_t length)
{
	uint32_t end = FRAME_HEADER_BYTES + block_length(link->sequence);
	unsigned char header[FRAME_HEADER_BYTES];
	uint64_t at = link->frame_bytes;

	if (at < FRAME_HEADER_BYTES) {
		if (length > FRAME_HEADER_BYTES - at)
			length = FRAME_HEADER_BYTES - at;
		make_header(link->sequence, link->position, header);
		check(!memcmp(bytes, header + at, length),
		      "the header of block %" PRIu64 " is wrong from byte %" PRIu64 " on",
		      link->sequence, at);
	} else {
		if (length > end - at)
			length = end - at;
		check(pattern_check(bytes, length, link->position + at - FRAME_HEADER_BYTES) ==
			      length,
		      "block %" PRIu64 " is wrong from byte %" PRIu64 " on", link->sequence, at);
	}
	link->frame_bytes += length;
	if (link->frame_bytes == end) {
		link->position += block_length(link->sequence++);
		link->frame_bytes = 0;
	}
	return length;
}

static ssize_t receive_framed(struct link *link)
{
	static unsigned char buffer[256 << 10];
	ssize_t n;

	while ((n = recv(link->peer, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		link->received += (uint64_t)n;
		for (size_t done = 0; done < (size_t)n;)
			done += check_framed(link, buffer + done, (size_t)n - done);
	}
	return n;
}

static ssize_t link_receive(struct link *link)
{
	if (link->cursor.framed)
		return receive_framed(link);
	return receive_pattern(link->peer, &link->received);
}

/* Fill, send and receive until @bytes more bytes were sent. */
static void transfer(struct link *link, uint64_t bytes)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS, end = link->sent + bytes;
	unsigned int calls = 0;

	while (link->sent < end && !tap.failed) {
		link_fill(link);
		while (window_lag(link->window, &link->cursor) &&
		       send_some(link, 1 + calls++ % 5, 512 << 10, true) > 0)
			;
		link_receive(link);
		zerocopy_reap(&link->zerocopy);
		if (!check(clock_monotonic_ns() < give_up, "%" PRIu64 " bytes sent", link->sent))
			return;
	}
}

/* Send until the socket is full. */
static void send_until_full(struct link *link)
{
	ssize_t n;

	link_fill(link);
	do {
		n = send_some(link, 4, 512 << 10, true);
	} while (n > 0);
	check(n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK), "%zd: %s", n, strerror(errno));
	check(window_lag(link->window, &link->cursor), "everything was accepted");
}

/* Read completions until nothing is outstanding. The peer receives everything if @receiving. */
static void settle(struct link *link, bool receiving)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while (receiving && link->received < link->sent && clock_monotonic_ns() < give_up) {
		struct pollfd readable = { .fd = link->peer, .events = POLLIN };

		poll(&readable, 1, 100);
		if (link_receive(link) == 0)
			break;
	}
	zerocopy_reap(&link->zerocopy);
	while (zerocopy_outstanding(&link->zerocopy) && clock_monotonic_ns() < give_up) {
		struct pollfd error = { .fd = link->zerocopy.fd };

		if (poll(&error, 1, 100) > 0 && !zerocopy_reap(&link->zerocopy))
			usleep(1000); /* a reset socket always has POLLERR */
	}
	check(!zerocopy_outstanding(&link->zerocopy), "%u outstanding",
	      zerocopy_outstanding(&link->zerocopy));
	check(!ring_pinned_blocks(link->ring), "%u blocks pinned", ring_pinned_blocks(link->ring));
	if (receiving)
		check(histogram_count(&link->latency.to_acknowledged) == link->whole_blocks,
		      "%" PRIu64 " blocks acknowledged, expected %" PRIu64,
		      histogram_count(&link->latency.to_acknowledged), link->whole_blocks);
	if (receiving)
		check(link->received == link->sent, "received %" PRIu64 " of %" PRIu64,
		      link->received, link->sent);
}

static void leave_window(struct link *link)
{
	window_leave(link->window, &link->cursor);
	check(ring_free_blocks(link->ring) + ring_pinned_blocks(link->ring) == BLOCKS,
	      "%u free, %u pinned", ring_free_blocks(link->ring), ring_pinned_blocks(link->ring));
}

/* Close a link whose cursor has left, with nothing outstanding. */
static void link_close(struct link *link)
{
	const struct zerocopy_stats *stats = &link->zerocopy.stats;

	check(ring_free_blocks(link->ring) == BLOCKS, "%u blocks free",
	      ring_free_blocks(link->ring));
	check(stats->completed == stats->zerocopy_sends, "%" PRIu64 " of %" PRIu64 " completed",
	      stats->completed, stats->zerocopy_sends);
	check(stats->foreign_completions == 0, "%" PRIu64 " foreign", stats->foreign_completions);
	check(stats->truncated == 0, "%" PRIu64 " truncated", stats->truncated);
	check((uint32_t)stats->zerocopy_sends == link->zerocopy.completions.next, "next number %u",
	      link->zerocopy.completions.next);
	zerocopy_close(&link->zerocopy);
	check(link->copy_state == ZEROCOPY_UNKNOWN, "copy state %d", link->copy_state);
	check(link->zerocopy.fd < 0, "fd %d", link->zerocopy.fd);
	if (link->peer >= 0)
		close(link->peer);
	window_destroy(link->window);
	ring_destroy(link->ring);
}

/* ---- each family ---- */

static void overwrite_all(struct ring *ring)
{
	struct block *block[BLOCKS];
	uint32_t taken = 0;

	while (taken < BLOCKS && (block[taken] = ring_take(ring)))
		memset(block[taken++]->data, 0xdb, BLOCK_SIZE);
	check(taken == BLOCKS, "%u blocks are free", taken);
	while (taken)
		ring_put(ring, block[--taken]);
}

static void test_transfer(const struct family *family)
{
	struct link link;

	link_open(&link, family, ZEROCOPY_ALWAYS);
	check(link.zerocopy.probe.mode == ZEROCOPY_ALWAYS, "SO_ZEROCOPY is refused");
	link.history_bytes = 4 << 20;
	check(zerocopy_budget(&link.zerocopy, 1, LARGE_BUDGET) == 1,
	      "a large budget before the first completion");
	transfer(&link, 16 << 20);
	settle(&link, true);
	check(zerocopy_budget(&link.zerocopy, 1, LARGE_BUDGET) == 1, "a large budget on loopback");
	check(link.copied < link.sent / 10, "%" PRIu64 " of %" PRIu64 " bytes by copying",
	      link.copied, link.sent);
	check(zerocopy_reap(&link.zerocopy) == 0, "completed twice");
	leave_window(&link);
	link_close(&link);
	point("%s: everything arrives, every send completes, every block comes back", family->name);
}

static void test_reset(const struct family *family)
{
	struct link link;
	uint64_t acknowledged;
	ssize_t n;

	link_open(&link, family, ZEROCOPY_ALWAYS);
	send_until_full(&link);
	zerocopy_reap(&link.zerocopy);
	usleep(50000);
	zerocopy_reap(&link.zerocopy);
	check(zerocopy_outstanding(&link.zerocopy), "nothing is outstanding");
	check(ring_pinned_blocks(link.ring), "nothing is pinned");
	leave_window(&link);
	check(ring_free_blocks(link.ring) < BLOCKS, "recycled while outstanding");

	acknowledged = histogram_count(&link.latency.to_acknowledged);
	zerocopy_reset(&link.zerocopy);
	settle(&link, false);
	check(histogram_count(&link.latency.to_acknowledged) == acknowledged,
	      "purged data counts as acknowledged");
	/* No send needs the blocks any more: data that arrives now must not come from them. */
	overwrite_all(link.ring);
	n = link_receive(&link);
	check(n < 0 && errno == ECONNRESET, "%zd: %s", n, strerror(errno));
	check(link.received < link.sent, "everything arrived");
	link_close(&link);
	point("%s: a reset with a peer that never reads gives all blocks back", family->name);
}

static void test_peer_resets(const struct family *family)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct link link;
	ssize_t n;

	link_open(&link, family, ZEROCOPY_ALWAYS);
	send_until_full(&link);
	check(zerocopy_outstanding(&link.zerocopy), "nothing is outstanding");
	setsockopt(link.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(link.peer);
	link.peer = -1;
	settle(&link, false);
	n = send_some(&link, 1, BLOCK_SIZE, true);
	check(n < 0 && (errno == ECONNRESET || errno == EPIPE), "%zd: %s", n, strerror(errno));
	leave_window(&link);
	zerocopy_reset(&link.zerocopy); /* harmless */
	check(zerocopy_reap(&link.zerocopy) == 0, "completed twice");
	link_close(&link);
	point("%s: a reset by the peer gives all blocks back", family->name);
}

static void test_family(const struct family *family)
{
	int sender, peer;

	if (!connect_pair(family, SMALL_BUFFER, &sender, &peer)) {
		tap_skip(family->name, "not available here");
		return;
	}
	close(sender);
	close(peer);
	test_transfer(family);
	test_reset(family);
	test_peer_resets(family);
}

/* ---- zero-copy or copying ---- */

static void test_never(void)
{
	struct link link;

	link_open(&link, ipv4, ZEROCOPY_NEVER);
	transfer(&link, 4 << 20);
	check(link.copied == link.sent, "%" PRIu64 " bytes by zero-copy", link.sent - link.copied);
	check(link.zerocopy.completions.next == 0, "sends were numbered");
	settle(&link, true);
	send_until_full(&link);
	check(!zerocopy_outstanding(&link.zerocopy) && !ring_pinned_blocks(link.ring),
	      "something is pinned");
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("never: no send is numbered, no block is pinned");
}

/* The second send of a stream, and whether it goes by zero-copy. */
static void test_choice(void)
{
	static const struct {
		const char *title;
		uint32_t blocks;
		uint64_t max_bytes;
		bool may_pin, pinned;
	} table[] = {
		{ "one byte", 1, 1, true, false },
		{ "a small piece", 1, 4096, true, false },
		{ "a whole block", 1, BLOCK_SIZE, true, true },
		{ "a whole block that may not be pinned", 1, BLOCK_SIZE, false, false },
		{ "a part of a block", 4, BLOCK_SIZE / 2, true, true },
		{ "two blocks of four", 4, BLOCK_SIZE + 1000, true, true },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct link link;
		ssize_t n;

		link_open(&link, ipv4, ZEROCOPY_ALWAYS);
		link_fill(&link);
		/* The second send begins within a block. */
		n = send_some(&link, 1, 100, true);
		check(n == 100, "%zd bytes", n);
		n = send_some(&link, table[i].blocks, table[i].max_bytes, table[i].may_pin);
		check(n > 0, "%s: %s", table[i].title, strerror(errno));
		check(link.zerocopy.stats.zerocopy_sends == table[i].pinned,
		      "%s: %" PRIu64 " by zero-copy", table[i].title,
		      link.zerocopy.stats.zerocopy_sends);
		check(link.zerocopy.stats.copied_sends == 2U - table[i].pinned,
		      "%s: %" PRIu64 " by copying", table[i].title,
		      link.zerocopy.stats.copied_sends);
		settle(&link, true);
		leave_window(&link);
		link_close(&link);
	}
	point("a send pins blocks only if it is large and may pin, and only those that it reads "
	      "from");
}

static void test_refused_zerocopy(void)
{
	struct link link;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	link_begin(&link, pair[0], pair[1], ZEROCOPY_ALWAYS);
	check(link.zerocopy.probe.mode == ZEROCOPY_NEVER, "mode %d", link.zerocopy.probe.mode);
	transfer(&link, 4 << 20);
	check(link.copied == link.sent, "%" PRIu64 " bytes by zero-copy", link.sent - link.copied);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("on a socket that refuses zero-copy, data is sent by copying");
}

/* Transfer until zero-copy is wanted, or until it is not. */
static void transfer_until(struct link *link, bool wanted, uint64_t max_bytes)
{
	uint64_t end = link->sent + max_bytes;

	while (link->zerocopy.probe.wanted != wanted && !tap.failed &&
	       check(link->sent < end, "still %s after %" PRIu64 " bytes",
		     wanted ? "copying" : "zero-copy", max_bytes))
		transfer(link, 1);
}

static void test_auto(void)
{
	struct link link;
	uint64_t pause, asked, copied;

	link_open(&link, ipv4, ZEROCOPY_AUTO);
	check(link.zerocopy.probe.wanted, "zero-copy is not wanted at first");
	transfer_until(&link, false, 64 << 20);
	settle(&link, true);
	check(link.zerocopy.stats.completed_copied == link.zerocopy.stats.zerocopy_sends,
	      "%" PRIu64 " of %" PRIu64 " were copied", link.zerocopy.stats.completed_copied,
	      link.zerocopy.stats.zerocopy_sends);
	pause = link.zerocopy.probe.pause_left;
	point("auto stops zero-copy where the kernel copies");

	/* Send most of the pause at once, and the rest send by send. */
	check(pause > 16 << 20 && pause < 1 << 30, "pause of %" PRIu64, pause);
	asked = link.zerocopy.stats.zerocopy_sends;
	copied = link.copied;
	while (link.zerocopy.probe.pause_left > 8 << 20 && !tap.failed &&
	       check(link.copied - copied < pause, "still copying"))
		transfer(&link, 1);
	while (link.zerocopy.stats.zerocopy_sends == asked && !tap.failed &&
	       check(link.copied - copied < pause + BLOCK_SIZE, "still copying")) {
		link_fill(&link);
		send_some(&link, 1, BLOCK_SIZE, true);
		settle(&link, true);
	}
	check(link.copied - copied >= pause, "zero-copy after %" PRIu64 " bytes of %" PRIu64,
	      link.copied - copied, pause);
	point("auto tries zero-copy again after the pause, not before");

	check(!link.zerocopy.probe.wanted, "zero-copy is still wanted");
	check(link.zerocopy.stats.zerocopy_sends == asked + 1, "%" PRIu64 " sends",
	      link.zerocopy.stats.zerocopy_sends - asked);
	check(link.zerocopy.probe.pause_left > pause, "pause of %" PRIu64 ", before %" PRIu64,
	      link.zerocopy.probe.pause_left, pause);
	leave_window(&link);
	link_close(&link);
	point("auto stops again after one more copy, for a longer pause");
}

/* Timestamps are in the same queue, and keep the kernel from merging notifications. */
static void test_full_queue(void)
{
	const int timestamps = SOF_TIMESTAMPING_TX_ACK | SOF_TIMESTAMPING_SOFTWARE |
			       SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
	const uint64_t sends = 40;
	struct pollfd error;
	struct link link;
	uint64_t complete;

	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	if (setsockopt(link.zerocopy.fd, SOL_SOCKET, SO_TIMESTAMPING, &timestamps,
		       sizeof(timestamps)))
		err(1, "SO_TIMESTAMPING");
	link_fill(&link);
	for (uint64_t i = 0; i < sends; i++) {
		check(send_some(&link, 2, BLOCK_SIZE / 4, true) == BLOCK_SIZE / 4, "not sent");
		link_receive(&link);
	}
	usleep(50000);
	link_receive(&link);
	complete = zerocopy_reap(&link.zerocopy);
	check(complete == sends, "%" PRIu64 " sends are complete", complete);
	error = (struct pollfd){ .fd = link.zerocopy.fd };
	check(poll(&error, 1, 0) == 0, "the queue is not empty: %x", (unsigned int)error.revents);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("the whole error queue is read at once, and other messages in it are skipped");
}

/* ---- no memory for notifications ---- */

static void test_no_buffer(void)
{
	const struct zerocopy_stats *stats;
	struct link link;

	allow_locking(false, 0);
	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	stats = &link.zerocopy.stats;
	link_fill(&link);
	check(send_some(&link, 2, 2 * BLOCK_SIZE, true) > 0, "%s", strerror(errno));
	check(stats->no_buffer == 1 && stats->copied_sends == 1 && !stats->zerocopy_sends,
	      "ENOBUFS %" PRIu64 " times, %" PRIu64 " copied", stats->no_buffer,
	      stats->copied_sends);
	while (stats->no_buffer < 3 && !tap.failed &&
	       check(link.sent < 256 << 20, "zero-copy was not tried again"))
		transfer(&link, 1);
	check(!stats->zerocopy_sends, "%" PRIu64 " by zero-copy", stats->zerocopy_sends);
	check(stats->no_buffer < stats->copied_sends / 16, "tried %" PRIu64 " times in %" PRIu64,
	      stats->no_buffer, stats->copied_sends);
	check(!zerocopy_outstanding(&link.zerocopy), "something is outstanding");
	settle(&link, true);
	point("after ENOBUFS data is sent by copying, and zero-copy is tried now and then");

	allow_locking(true, 0);
	while (!stats->zerocopy_sends && !tap.failed &&
	       check(link.sent < 512 << 20, "zero-copy was never tried again"))
		transfer(&link, 1);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("zero-copy continues when memory may be locked again");
}

static void test_buffer_again(void)
{
	struct link link;
	uint64_t sends;

	/* The peer does not read, so the last of these sends stay outstanding. */
	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	link_fill(&link);
	for (int i = 0; i < 4; i++)
		send_some(&link, 1, BLOCK_SIZE, true);
	sends = link.zerocopy.stats.zerocopy_sends;
	check(sends == 4, "%" PRIu64 " by zero-copy", sends);
	allow_locking(false, 0);
	check(send_some(&link, 1, BLOCK_SIZE, true) > 0, "%s", strerror(errno));
	check(link.zerocopy.stats.no_buffer == 1, "no ENOBUFS");
	check(zerocopy_outstanding(&link.zerocopy), "nothing is outstanding");
	allow_locking(true, 0);
	settle(&link, true);
	link_fill(&link);
	send_some(&link, 2, BLOCK_SIZE, true);
	check(link.zerocopy.stats.zerocopy_sends == sends + 1, "zero-copy was not tried at once");
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("after a completion zero-copy is tried again at once");
}

/* Return the budget of a socket with segments of this size. */
static uint64_t packets_budget(int segment, uint64_t bytes)
{
	struct latency latency;
	struct zerocopy zerocopy;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t whole;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)))
		err(1, "TCP_MAXSEG");
	zerocopy_open(&zerocopy, fd, ZEROCOPY_NEVER, &latency, NULL, NULL);
	whole = zerocopy_budget(&zerocopy, bytes, bytes);
	zerocopy_close(&zerocopy);
	return whole;
}

static void test_packets(void)
{
	uint64_t first, later = 0;
	struct link link;
	int sender, peer;

	/* The expected sizes are those of tcp_xmit_size_goal() in the kernel. */
	check(packets_budget(1448, 448 << 10) == 7 * 45 * 1448, "448 KiB");
	check(packets_budget(1448, 45 * 1448) == 45 * 1448, "one packet");
	check(packets_budget(1448, 45 * 1448 - 1) == 45 * 1448 - 1, "less than a packet");
	check(packets_budget(1448, 0) == 0, "nothing");
	check(packets_budget(8948, 448 << 10) == 7 * 7 * 8948, "jumbo frames");
	point("a budget is rounded down to whole packets");

	/* On loopback one segment is larger than a packet of several, but not at first. */
	if (!connect_pair(ipv4, 0, &sender, &peer))
		errx(1, "no connection");
	link_begin(&link, sender, peer, ZEROCOPY_NEVER);
	first = zerocopy_budget(&link.zerocopy, 448 << 10, 448 << 10);
	for (unsigned int i = 0; i < 100; i++) {
		transfer(&link, BLOCK_SIZE);
		later = zerocopy_budget(&link.zerocopy, 448 << 10, 448 << 10);
	}
	check(link.zerocopy.packet > 32768 && link.zerocopy.packet < 65536,
	      "a packet: %u, first %" PRIu64, link.zerocopy.packet, first);
	check(later == 7 * link.zerocopy.packet, "%" PRIu64, later);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("the size of a packet follows the connection");
}

/* Note a completion that says "not copied". */
static void pretend_uncopied(struct link *link)
{
	zerocopy_probe_complete(&link->zerocopy.probe, 1, false);
	link->copy_state = ZEROCOPY_UNCOPIED;
}

static void test_budget(void)
{
	struct zerocopy *zerocopy;
	struct link link;
	uint64_t budget, first;
	ssize_t n;

	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	zerocopy = &link.zerocopy;
	link_fill(&link);
	n = send_some(&link, 4, 4 * BLOCK_SIZE, true);
	if (!check(n > (ssize_t)BLOCK_SIZE, "%zd bytes", n))
		return;
	check(zerocopy_budget(zerocopy, 1, LARGE_BUDGET) == 1,
	      "a large budget before the first completion");
	pretend_uncopied(&link);
	first = zerocopy_budget(zerocopy, 1, LARGE_BUDGET);
	check(first <= 2 * (uint64_t)n && first > 2 * (uint64_t)n - zerocopy->packet,
	      "a budget of %" PRIu64 " after a send of %zd", first, n);
	budget = zerocopy_budget(zerocopy, 1, (uint64_t)n);
	check(budget <= (uint64_t)n && budget > (uint64_t)n - zerocopy->packet, "%" PRIu64, budget);
	budget = zerocopy_budget(zerocopy, LARGE_BUDGET, LARGE_BUDGET);
	check(budget > LARGE_BUDGET - zerocopy->packet,
	      "%" PRIu64 ", expected at least the lower bound", budget);
	zerocopy->stats.no_buffer = 1;
	check(zerocopy_budget(zerocopy, 1, LARGE_BUDGET) == 1, "a large budget after ENOBUFS");
	zerocopy->stats.no_buffer = 0;
	point("without copies the budget is twice what the socket accepted");

	/* The last of these sends fills the socket. */
	send_until_full(&link);
	pretend_uncopied(&link);
	budget = zerocopy_budget(zerocopy, 1, LARGE_BUDGET);
	check(budget < first, "%" PRIu64 ", before %" PRIu64, budget, first);
	settle(&link, true);
	link_fill(&link);
	pretend_uncopied(&link);
	send_some(&link, 1, SMALL_PINNED, true);
	check(zerocopy_budget(zerocopy, 1, LARGE_BUDGET) == budget, "%" PRIu64 ", before %" PRIu64,
	      zerocopy_budget(zerocopy, 1, LARGE_BUDGET), budget);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("the budget falls with a send that filled the socket, not with a small send");
}

/* Blocks in pairs that are swapped in memory, so that no two consecutive blocks are one piece. */
static void test_pieces(void)
{
	struct block *block[BLOCKS];
	struct link link;
	ssize_t n;

	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	for (uint32_t i = 0; i < BLOCKS; i++)
		block[i] = ring_take(link.ring);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		struct block *one = block[i ^ 1];

		one->length = 12288;
		one->monotonic_ns = clock_monotonic_ns();
		pattern_fill(one->data, one->length, window_bytes(link.window));
		window_push(link.window, one);
	}
	n = send_some(&link, 4, UINT64_MAX, true);
	check(n == 4 * 12288, "%zd bytes", n);
	check(link.zerocopy.stats.zerocopy_sends == 1, "%" PRIu64 " sends",
	      link.zerocopy.stats.zerocopy_sends);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("several small pieces are sent by one system call");
}

/* The kernel cannot read the third block for a while, and sends the packets before it. */
static void test_unreadable(void)
{
	const char *title = "a send that ends where memory cannot be read is tried again";
	struct link link;
	unsigned char *third;
	ssize_t n;

	if (tap_under_valgrind()) {
		tap_skip(title, "valgrind reads the memory itself");
		return;
	}
	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	link_fill(&link);
	third = window_block(link.window, &link.cursor)->next->next->data;
	if (mprotect(third, BLOCK_SIZE, PROT_NONE))
		err(1, "mprotect");
	n = send_some(&link, 4, 4 * BLOCK_SIZE, true);
	check(n > 0 && (size_t)n < 2 * BLOCK_SIZE, "%zd bytes", n);
	check(zerocopy_is_blocked(&link.zerocopy), "a short send does not block");
	do {
		settle(&link, true);
		check(!zerocopy_is_blocked(&link.zerocopy),
		      "still blocked with nothing outstanding");
		n = send_some(&link, 4, 4 * BLOCK_SIZE, true);
	} while (n > 0);
	check(n < 0 && errno == EFAULT, "%zd: %s", n, strerror(errno));
	check(!zerocopy_is_blocked(&link.zerocopy), "EFAULT blocks");
	check(!zerocopy_outstanding(&link.zerocopy), "a failed send is outstanding");
	if (mprotect(third, BLOCK_SIZE, PROT_READ | PROT_WRITE))
		err(1, "mprotect");
	transfer(&link, 4 << 20);
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("%s", title);
}

/* Sends of any length, so that many begin and end within a header. */
static void transfer_framed(struct link *link, uint64_t bytes)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS, end = link->sent + bytes;
	struct dice dice = { .state = 5 };

	while (link->sent < end && !tap.failed &&
	       check(clock_monotonic_ns() < give_up, "%" PRIu64 " bytes sent", link->sent)) {
		uint64_t left;

		link_fill(link);
		while (window_lag(link->window, &link->cursor)) {
			const struct block *block = window_block(link->window, &link->cursor);

			left = FRAME_HEADER_BYTES + block->length - link->cursor.offset;
			/* Every other send ends around a header. */
			left = dice_one_in(&dice, 2) ? left + dice_roll(&dice, 0, 80)
						     : dice_roll(&dice, 1, 300 << 10);
			if (send_some(link, dice_roll(&dice, 1, 5), left, true) <= 0)
				break;
		}
		link_receive(link);
		zerocopy_reap(&link->zerocopy);
	}
}

static void test_framed_sends(void)
{
	static const enum zerocopy_mode modes[] = { ZEROCOPY_ALWAYS, ZEROCOPY_NEVER,
						    ZEROCOPY_AUTO };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct link link;

		link_open(&link, ipv4, modes[i]);
		link.cursor.framed = true;
		transfer_framed(&link, 32 << 20);
		settle(&link, true);
		check(link.sequence > 400, "%" PRIu64 " blocks", link.sequence);
		leave_window(&link);
		link_close(&link);
	}
	point("framed: each block has its header, whatever a send begins and ends with");
}

/* Bytes that are in no block, between two that are. */
static void test_send_copy(void)
{
	unsigned char text[] = "bytes", got[64];
	struct iovec piece[] = { { text, 2 }, { text + 2, 3 } };
	struct link link;

	link_open(&link, ipv4, ZEROCOPY_ALWAYS);
	check(zerocopy_send_copy(&link.zerocopy, piece, 2) == 5, "%s", strerror(errno));
	check(!zerocopy_outstanding(&link.zerocopy), "outstanding");
	check(recv(link.peer, got, sizeof(got), 0) == 5 && !memcmp(got, text, 5), "other bytes");
	send_until_full(&link);
	check(zerocopy_send_copy(&link.zerocopy, piece, 2) == -1 &&
		      zerocopy_is_blocked(&link.zerocopy),
	      "taken by a full socket");
	settle(&link, true);
	leave_window(&link);
	link_close(&link);
	point("bytes that are in no block are sent by copying, and wait for a full socket");
}

int main(void)
{
	test_framed_sends();
	test_send_copy();
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		test_family(&families[i]);
	test_never();
	test_choice();
	test_refused_zerocopy();
	test_auto();
	test_full_queue();
	test_no_buffer();
	test_buffer_again();
	test_unreadable();
	test_packets();
	test_budget();
	test_pieces();
	return tap_end();
}
