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
#include "ring/ring_memory.h"
#include "send/zerocopy.h"
#include "stream/window.h"

#include "dice.h"
#include "loopback.h"
#include "tap.h"

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
#define MAX_DESCRIPTORS 8
#define PATIENCE_MS 20000

static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };
static const struct stream_settings settings;

struct link {
	struct ring *ring;
	struct window *window;
	struct cursor cursor;
	struct zerocopy zerocopy;
	struct latency latency;
	enum zerocopy_copy_state copy_state; /* as reported */
	struct link *predecessor;	     /* which is gone, as its process would be */
};

/* What the peer has got. */
struct peer {
	int fd;
	bool framed;
	uint64_t sequence, position; /* of the block that is being received */
	uint32_t at;		     /* bytes of it that have arrived, with its header */
};

/* The one that goes on. Its predecessors are never freed: no one may write to the memory any more. */
static struct link *link_now;
static struct peer peer;
static uint64_t handovers, outstanding_handed;

/* ---- content ---- */

static uint32_t block_length(uint64_t sequence)
{
	return BLOCK_SIZE - 8 * (uint32_t)(sequence % 7) - (uint32_t)(sequence % 3);
}

static void make_header(uint64_t sequence, uint64_t position, unsigned char *header)
{
	const struct frame frame = {
		.sequence = sequence,
		.position = position,
		.length = block_length(sequence),
		.monotonic_ns = sequence * 5,
	};

	frame_encode(&frame, header);
}

static void link_fill(struct link *link)
{
	struct block *block;

	while ((block = ring_take(link->ring))) {
		uint64_t sequence = window_head(link->window);

		block->monotonic_ns = clock_monotonic_ns();
		block->length = block_length(sequence);
		make_header(sequence, window_bytes(link->window), block->header);
		pattern_fill(block->data, block->length, window_bytes(link->window));
		window_push(link->window, block);
	}
}

/* Check bytes of one block, or of its header. Return: how many. */
static size_t peer_check(const unsigned char *bytes, size_t length)
{
	uint32_t header_bytes = peer.framed ? FRAME_HEADER_BYTES : 0;
	uint32_t end = header_bytes + block_length(peer.sequence);
	unsigned char header[FRAME_HEADER_BYTES];

	if (peer.at < header_bytes) {
		if (length > header_bytes - peer.at)
			length = header_bytes - peer.at;
		make_header(peer.sequence, peer.position, header);
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
		peer.position += block_length(peer.sequence++);
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

/* ---- the link ---- */

static void link_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				    enum zerocopy_copy_state now)
{
	struct link *link = argument;

	check(before == link->copy_state && now != before, "from %d to %d, was %d", before, now,
	      link->copy_state);
	link->copy_state = now;
}

static struct link *link_allocate(void)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		errx(1, "no memory");
	link->predecessor = link_now;
	return link;
}

static void link_open(int sender, int receiver, bool framed, enum huge_pages huge_pages)
{
	struct link *link = link_allocate();

	link->ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, huge_pages);
	link->window = window_create(BLOCKS);
	if (!link->ring || !link->window)
		errx(1, "no ring");
	link->cursor.framed = framed;
	window_join(link->window, &link->cursor, 0);
	zerocopy_open(&link->zerocopy, sender, ZEROCOPY_ALWAYS, &link->latency,
		      link_copy_state_changed, link);
	link_now = link;
	peer = (struct peer){ .fd = receiver, .framed = framed };
}

static void begin_link(bool framed, enum huge_pages huge_pages)
{
	int sender, receiver;

	if (!connect_pair(&ipv4, SMALL_BUFFER, &sender, &receiver))
		errx(1, "no IPv4");
	link_open(sender, receiver, framed, huge_pages);
}

/* Send up to @max_bytes. Return: as zerocopy_send(). */
static ssize_t link_send(struct link *link, uint64_t max_bytes)
{
	struct zerocopy_request request = {
		.first = window_block(link->window, &link->cursor),
		.offset = link->cursor.offset,
		.blocks = window_run(link->window, &link->cursor, 8, UINT64_MAX),
		.max_bytes = max_bytes,
		.framed = link->cursor.framed,
		.may_pin = true,
	};
	ssize_t n = -1;

	if (request.blocks)
		n = zerocopy_send(&link->zerocopy, &request);
	if (n > 0)
		window_advance(link->window, &link->cursor, (uint64_t)n);
	return n;
}

static void link_send_until_full(struct link *link)
{
	link_fill(link);
	while (link_send(link, 1 << 20) > 0)
		link_fill(link);
	check(zerocopy_outstanding(&link->zerocopy), "nothing is outstanding");
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
static void link_drain(struct link *link)
{
	struct pollfd events[] = { { .fd = peer.fd, .events = POLLIN },
				   { .fd = link->zerocopy.fd } };

	while (zerocopy_outstanding(&link->zerocopy) && !tap.failed) {
		if (!check(poll(events, 2, PATIENCE_MS) > 0, "%u sends stay outstanding",
			   zerocopy_outstanding(&link->zerocopy)))
			break;
		peer_receive(SIZE_MAX);
		zerocopy_reap(&link->zerocopy);
	}
	check_numbers(&link->zerocopy);
}

/* Close it when nothing is outstanding: each block comes back. */
static void link_end(struct link *link)
{
	window_leave(link->window, &link->cursor);
	zerocopy_close(&link->zerocopy);
	check(link->copy_state == ZEROCOPY_UNKNOWN, "copy state %d", link->copy_state);
	window_destroy(link->window);
	check(ring_free_blocks(link->ring) == BLOCKS, "%u of %u blocks came back",
	      ring_free_blocks(link->ring), BLOCKS);
	ring_destroy(link->ring);
	close(peer.fd);
}

/* ---- handover ---- */

struct parcel {
	char text[64 << 10];
	size_t length;
	int descriptors[MAX_DESCRIPTORS];
	size_t count;
};

static void link_save(struct link *link, struct parcel *parcel)
{
	struct state *state = state_create();
	const int *saved;
	char *text;

	ring_save(link->ring, state);
	window_transfer(link->window, link->ring, state);
	window_transfer_cursor(link->window, link->ring, state, &link->cursor);
	zerocopy_save(&link->zerocopy, link->ring, state);
	text = state_text(state, &parcel->length);
	if (!text || parcel->length > sizeof(parcel->text))
		errx(1, "%zu bytes of state: %s", parcel->length, state_why(state));
	memcpy(parcel->text, text, parcel->length);
	free(text);
	saved = state_descriptors(state, &parcel->count);
	if (parcel->count > MAX_DESCRIPTORS)
		errx(1, "%zu descriptors", parcel->count);
	memcpy(parcel->descriptors, saved, parcel->count * sizeof(*saved));
	state_free(state);
}

static struct state *parcel_open(const struct parcel *parcel)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state = state_parse(parcel->text, parcel->length, parcel->descriptors,
					  parcel->count, wrong);

	if (!state)
		errx(1, "%s", wrong);
	return state;
}

/* Restore all but the socket. */
static struct link *link_restore_blocks(struct state *state)
{
	struct link *link = link_allocate();

	link->ring = ring_restore(NULL, &settings, state);
	if (!link->ring)
		errx(1, "%s", state_why(state));
	link->window = window_create(BLOCKS);
	if (!link->window)
		errx(1, "no memory");
	window_transfer(link->window, link->ring, state);
	window_transfer_cursor(link->window, link->ring, state, &link->cursor);
	return link;
}

static bool link_restore_socket(struct link *link, struct state *state)
{
	return zerocopy_restore(&link->zerocopy, link->ring, state, ZEROCOPY_ALWAYS, &link->latency,
				link_copy_state_changed, link);
}

/* Continue with what was saved. */
static void link_continue(const struct parcel *parcel)
{
	struct state *state = parcel_open(parcel);
	struct link *link = link_restore_blocks(state);

	if (!link_restore_socket(link, state) || !ring_check_restored(link->ring, state))
		errx(1, "%s", state_why(state));
	state_free(state);
	check_numbers(&link->zerocopy);
	check(link->copy_state == link->zerocopy.probe.copy_state, "copy state %d was not reported",
	      link->copy_state);
	handovers++;
	outstanding_handed += zerocopy_outstanding(&link->zerocopy);
	link_now = link;
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

static void link_hand_over(void)
{
	static struct parcel parcel;
	const struct link *before = link_now;

	link_save(link_now, &parcel);
	link_continue(&parcel);
	compare_sockets(&before->zerocopy, &link_now->zerocopy);
}

static void test_outstanding(bool framed)
{
	begin_link(framed, HUGE_PAGES_AUTO);
	for (int lap = 0; lap < 4; lap++) {
		link_send_until_full(link_now);
		link_hand_over();
		check(zerocopy_outstanding(&link_now->zerocopy), "nothing is outstanding");
		link_drain(link_now);
	}
	check(link_now->zerocopy.stats.zerocopy_sends == link_now->zerocopy.completions.next,
	      "the numbers do not continue");
	link_end(link_now);
	point("the successor reads the completions of the predecessor's sends, %s",
	      framed ? "framed" : "raw");
}

static void test_random(uint64_t steps, uint64_t seed, bool framed)
{
	struct dice dice = { .state = seed };

	handovers = outstanding_handed = 0;
	begin_link(framed, HUGE_PAGES_NEVER);
	for (uint64_t i = 0; i < steps && !tap.failed; i++) {
		link_fill(link_now);
		link_send(link_now, dice_roll(&dice, 1, dice_one_in(&dice, 3) ? 100 : 300000));
		if (dice_one_in(&dice, 2))
			peer_receive(dice_roll(&dice, 1, 200000));
		if (dice_one_in(&dice, 3))
			zerocopy_reap(&link_now->zerocopy);
		if (handovers < 100 && dice_one_in(&dice, (uint32_t)(steps / 100) + 1))
			link_hand_over();
	}
	link_drain(link_now);
	printf("# %" PRIu64 " steps, seed %" PRIu64 ": %" PRIu64 " blocks, %" PRIu64
	       " sends, %" PRIu64 " handovers with %" PRIu64 " sends\n",
	       steps, seed, peer.sequence, link_now->zerocopy.stats.zerocopy_sends, handovers,
	       outstanding_handed);
	check(outstanding_handed, "nothing was handed over");
	link_end(link_now);
	point("handed over at random moments, the peer gets every byte, %s",
	      framed ? "framed" : "raw");
}

static void test_reset(void)
{
	begin_link(false, HUGE_PAGES_NEVER);
	link_send_until_full(link_now);
	zerocopy_reset(&link_now->zerocopy);
	link_hand_over();
	check(link_now->zerocopy.was_reset, "not reset any more");
	link_drain(link_now);
	check(!histogram_count(&link_now->latency.to_acknowledged), "a reset acknowledges nothing");
	link_end(link_now);
	point("a connection that was reset ends at the successor");
}

/* Write @to over the text from @from on, which is there once. */
static void parcel_change(struct parcel *parcel, const char *from, const char *to)
{
	char *place = memmem(parcel->text, parcel->length, from, strlen(from));

	if (!place)
		errx(1, "no %s", from);
	memcpy(place, to, strlen(to));
}

static void test_refused(const char *from, const char *to, const char *expected)
{
	static struct parcel parcel;
	struct state *state;
	struct link *link;

	begin_link(false, HUGE_PAGES_NEVER);
	link_send_until_full(link_now);
	link_save(link_now, &parcel);
	parcel_change(&parcel, from, to);
	state = parcel_open(&parcel);
	link = link_restore_blocks(state);
	check(!link_restore_socket(link, state), "not refused");
	check(strstr(state_why(state), expected), "%s", state_why(state));
	state_free(state);
	check(!ring_pinned_blocks(link->ring), "%u blocks stay pinned",
	      ring_pinned_blocks(link->ring));
	while (peer_receive(SIZE_MAX) > 0)
		;
	check(errno == ECONNRESET, "%s", strerror(errno));
	if (window_head(link->window))
		window_leave(link->window, &link->cursor);
	window_destroy(link->window);
	ring_destroy(link->ring);
	close(peer.fd);
	point("refused, and the connection is reset: %s", expected);
}

/* ---- a predecessor that is a process ---- */

/* Descriptors and text in one message, as in a parcel. */
static void parcel_send(int fd, const struct parcel *parcel)
{
	char control[CMSG_SPACE(sizeof(parcel->descriptors))] = { 0 };
	struct iovec piece = { (void *)(uintptr_t)parcel->text, parcel->length };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(parcel->count * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(parcel->count * sizeof(int));
	memcpy(CMSG_DATA(header), parcel->descriptors, parcel->count * sizeof(int));
	if (sendmsg(fd, &message, 0) < 0)
		err(1, "sendmsg");
}

static void parcel_receive(int fd, struct parcel *parcel)
{
	char control[CMSG_SPACE(sizeof(parcel->descriptors))];
	struct iovec piece = { parcel->text, sizeof(parcel->text) };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (n <= 0 || !header)
		errx(1, "no parcel");
	parcel->length = (size_t)n;
	parcel->count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(parcel->descriptors, CMSG_DATA(header), parcel->count * sizeof(int));
}

/* Send as the predecessor, and end without closing anything in order. */
static void __attribute__((noreturn)) be_predecessor(int sender, int channel, bool framed)
{
	static struct parcel parcel;

	link_open(sender, -1, framed, HUGE_PAGES_AUTO);
	link_send_until_full(link_now);
	link_save(link_now, &parcel);
	parcel_send(channel, &parcel);
	_exit(tap.failed ? 1 : 0);
}

static void test_process(bool framed)
{
	static struct parcel parcel;
	int sender, receiver, channel[2], status;
	pid_t child;

	if (!connect_pair(&ipv4, SMALL_BUFFER, &sender, &receiver) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel))
		err(1, "sockets");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (!child)
		be_predecessor(sender, channel[1], framed);
	close(sender);
	close(channel[1]);
	parcel_receive(channel[0], &parcel);
	close(channel[0]);
	check(waitpid(child, &status, 0) == child && status == 0, "status %#x", status);
	peer = (struct peer){ .fd = receiver, .framed = framed };
	link_continue(&parcel);
	check(zerocopy_outstanding(&link_now->zerocopy), "nothing is outstanding");
	link_drain(link_now);
	link_send_until_full(link_now);
	link_drain(link_now);
	check(ring_free_blocks(link_now->ring) + window_length(link_now->window) == BLOCKS,
	      "blocks stay pinned");
	link_end(link_now);
	point("the predecessor was a process, which has ended: %s", framed ? "framed" : "raw");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) / 20 : 5000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_outstanding(false);
	test_outstanding(true);
	test_random(steps, seed, false);
	test_random(steps, seed + 1, true);
	test_reset();
	test_refused("\"wanted\":true", "\"wanted\":1   ", "wanted: expected true or false");
	test_refused("\"blocks\":[", "\"blocks\":[0", "send 0: 0 blocks");
	test_process(false);
	test_process(true);
	return tap_end();
}
