// SPDX-License-Identifier: BSD-2-Clause
/*
 * Clients that a child process saves and that this one restores: real connections over loopback, whose peer checks
 * each byte that it gets of both, and how the connection ends. The child ends by _exit(), as the daemon does.
 */
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "ring/ring_memory.h"
#include "stream/client.h"
#include "stream/client_internal.h"
#include "stream/client_socket.h"
#include "stream/stream_queue.h"

#include "dice.h"
#include "../frame_decode.h"
#include "loopback.h"
#include "statejson.h"
#include "tap.h"
#include "twoprocesses.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_SIZE 4096U
#define BLOCKS 64U
#define BUDGET (64 << 10)
/* Bytes of the peer's receive buffer. */
#define PEER_BUFFER (16 << 10)
#define PATIENCE_NS 20000000000ULL
#define LONG_TIME 60000000
/* More than the sockets take, and what a test receives. */
#define LONG_ANSWER (256U << 10)
#define MAX_RECEIVED (1U << 20)
/* Length of a block in bytes. */
#define SHORT_BLOCK 100U
/* More than the peer's buffer takes, and less than that of the client. */
#define MANY_BLOCKS 20U
#define PREAMBLE "the preamble of all clients"
/* Turns of the event loop in which everything has happened that does not wait for somebody else. */
#define SOME_TURNS 8

static char hand_name[] = "test";

/* What is the same in both processes. */
enum hand_number {
	HAND_STATE,
	HAND_JOINED,
	HAND_DEADLINE,
	HAND_OVERDUE,
	HAND_SENT,
	HAND_RECEIVED,
	HAND_GRANT,
	HAND_IS_HTTP,
	HAND_SEQUENCE,
	HAND_OFFSET,
	HAND_FRAMED,
	HAND_CATCHES_UP,
	HAND_LEFT,
	HAND_OUTSTANDING,
	HAND_INPUT_ENDED,
	HAND_INPUT_END,
	HAND_INPUT_END_SENT,
	HAND_LEAVE,
	HAND_NUMBERS,
};

static struct {
	struct stream_settings settings;
	struct event_base *base;
	struct latency latency;
	struct sent_counter sent;
	struct stream_frames frames;
	struct stream_memory memory;
	struct stream_preamble preamble;
	struct stream_history history;
	struct stream_input input;
	struct input_stats input_stats;
	struct stream_queue queue;
	uint64_t answers[HTTP_CODES];
	struct ring *ring;
	struct window *window;
	struct client_group group;
	struct client *client;
	unsigned int half_closed, streaming, gone; /* calls */
	enum leave_reason leave;
	char reason[64];
	/* What the source got, and how much it takes. */
	unsigned char source[4096];
	size_t source_bytes, source_space;
	uint64_t bytes; /* of the stream until its end */
	/* The peer. */
	int sender, peer;
	unsigned char *received;
	size_t length;
	bool ended, reset;
	uint64_t child[HAND_NUMBERS]; /* of its client when it was saved */
	bool (*act)(void);	      /* of the child; false: it saves nothing */
} hand;

/* ---- the kernel's calls ---- */

/* Bytes that the socket takes; then it is full. */
static size_t quota = SIZE_MAX;
/* The error queue is not read: completions stay there. */
static bool leave_completions;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct msghdr part = *message;
	struct iovec piece[256];
	size_t left = quota;
	ssize_t n;

	if (quota == SIZE_MAX || part.msg_iovlen > 256)
		return syscall(SYS_sendmsg, fd, message, flags);
	if (!quota) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(piece, message->msg_iov, part.msg_iovlen * sizeof(piece[0]));
	for (size_t i = 0; i < part.msg_iovlen; i++) {
		if (piece[i].iov_len > left)
			piece[i].iov_len = left;
		left -= piece[i].iov_len;
	}
	part.msg_iov = piece;
	n = syscall(SYS_sendmsg, fd, &part, flags);
	quota -= n > 0 ? (size_t)n : 0;
	return n;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
	     struct timespec *timeout)
{
	if (!leave_completions)
		return (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
	errno = EAGAIN;
	return -1;
}

/* ---- the owner of the client ---- */

static void hand_requeue(void *argument, struct client *client)
{
	(void)argument;
	stream_queue_add(&hand.queue, client, CLIENT_TASK_SEND);
}

static void hand_gone(void *argument, struct client *client)
{
	(void)argument;
	stream_queue_remove(client);
	hand.gone++;
	hand.leave = client->leave;
	snprintf(hand.reason, sizeof(hand.reason), "%s", client->reason);
}

static void hand_streaming(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
	hand.streaming++;
}

static void hand_half_closed(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
	hand.half_closed++;
}

static void hand_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				    enum zerocopy_copy_state now)
{
	(void)argument;
	check(before != now, "state %d again", now);
}

static const struct client_callbacks hand_callbacks = {
	.requeue = hand_requeue,
	.copy_state_changed = hand_copy_state_changed,
	.streaming = hand_streaming,
	.half_closed = hand_half_closed,
	.gone = hand_gone,
};

static ssize_t hand_write(void *argument, const void *bytes, size_t length)
{
	size_t n = length < hand.source_space ? length : hand.source_space;

	(void)argument;
	if (!check(hand.source_bytes + n <= sizeof(hand.source), "too much for the source"))
		return -1;
	memcpy(hand.source + hand.source_bytes, bytes, n);
	hand.source_bytes += n;
	hand.source_space -= n;
	return (ssize_t)n;
}

static const struct stream_input_callbacks hand_input_callbacks = {
	.write = hand_write,
	.read = client_read_input,
};

/* ---- the stream of one process ---- */

/* Begin a test, with the settings of all. */
static void hand_new(unsigned int format)
{
	static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };
	unsigned char *received = hand.received;

	memset(&hand, 0, sizeof(hand));
	hand.received = received ? received : malloc(MAX_RECEIVED);
	option_set_defaults(OPTION_STREAM, &hand.settings);
	hand.settings.name = hand_name;
	hand.settings.block_size = BLOCK_SIZE;
	hand.settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	hand.settings.client.format = format;
	hand.settings.client.request_timeout = LONG_TIME;
	hand.settings.client.zerocopy = ZEROCOPY_ALWAYS;
	if (!hand.received || !connect_pair(&ipv4, PEER_BUFFER, &hand.sender, &hand.peer))
		errx(1, "no connection");
}

/* Make what both processes have. The ring and the window exist, and the preamble of a file is read by each. */
static void hand_open(void)
{
	stream_memory_init(&hand.memory, &hand.settings.client, hand.settings.ring_size);
	stream_queue_init(&hand.queue);
	if (!stream_preamble_init(&hand.preamble, &hand.settings) ||
	    !stream_preamble_read(&hand.preamble) ||
	    !stream_input_init(&hand.input, hand.base, &hand_input_callbacks, NULL,
			       &hand.input_stats))
		errx(1, "no memory");
	stream_history_init(&hand.history, hand.base, &hand.settings, hand.window, &hand.frames,
			    &hand.preamble);
	hand.group = (struct client_group){
		.base = hand.base,
		.stream_name = hand.settings.name,
		.settings = &hand.settings.client,
		.window = hand.window,
		.frames = &hand.frames,
		.memory = &hand.memory,
		.preamble = &hand.preamble,
		.history = &hand.history,
		.input = &hand.input,
		.sent = &hand.sent,
		.latency = &hand.latency,
		.http_answers = hand.answers,
		.callbacks = &hand_callbacks,
		.budget_bytes = BUDGET,
		.uncopied_budget_bytes = BUDGET,
	};
}

static void hand_push(uint32_t length)
{
	struct block *block = ring_take(hand.ring);

	if (!check(block, "no free block"))
		return;
	block->monotonic_ns = clock_monotonic_ns();
	block->length = length;
	pattern_fill(block->data, length, window_bytes(hand.window));
	stream_preamble_add(&hand.preamble, block, window_bytes(hand.window));
	stream_frames_write(&hand.frames, block, window_head(hand.window),
			    window_bytes(hand.window));
	window_push(hand.window, block);
}

static void hand_push_some(uint32_t blocks, uint32_t length)
{
	while (blocks--)
		hand_push(length);
}

static void hand_turn(void)
{
	event_base_loop(hand.base, EVLOOP_NONBLOCK);
	if (!stream_queue_is_empty(&hand.queue))
		stream_queue_run(&hand.queue, clock_monotonic_ns());
}

static void hand_turns(void)
{
	for (int i = 0; i < SOME_TURNS; i++)
		hand_turn();
}

static void peer_has_read(void)
{
	const int one = 1;
	ssize_t n;

	/* An acknowledgement would come up to 40 ms later. */
	setsockopt(hand.peer, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
	while ((n = recv(hand.peer, hand.received + hand.length, MAX_RECEIVED - hand.length,
			 MSG_DONTWAIT)) > 0)
		hand.length += (size_t)n;
	hand.ended |= n == 0;
	hand.reset |= n < 0 && errno == ECONNRESET;
}

/* Run the event loop until @expression; the peer reads meanwhile if it @reads. */
#define hand_run_until(reads, expression)                                               \
	do {                                                                            \
		uint64_t give_up_ = clock_monotonic_ns() + PATIENCE_NS;                 \
                                                                                        \
		while (!(expression) &&                                                 \
		       check(clock_monotonic_ns() < give_up_, "never: " #expression)) { \
			if (reads)                                                      \
				peer_has_read();                                        \
			hand_turn();                                                    \
			usleep(100);                                                    \
		}                                                                       \
	} while (0)

/* ---- the child, which saves ---- */

static void hand_begin(void)
{
	close(hand.peer);
	hand.base = event_base_new();
	hand.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	hand.window = window_create(BLOCKS);
	if (!hand.base || !hand.ring || !hand.window ||
	    !stream_frames_init(&hand.frames, &hand.settings))
		errx(1, "no ring");
	hand_open();
}

static void hand_join(void)
{
	const struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(1234) };

	hand.client = client_create(&hand.group, hand.sender, (const struct sockaddr *)&peer,
				    sizeof(peer));
	if (!hand.client)
		errx(1, "no client");
}

/* What the streams of the daemon would save. */
static void hand_transfer(struct state *state)
{
	unsigned char *source = hand.source;

	state_u32(state, "epoch", &hand.frames.epoch);
	state_bool(state, "starts", &hand.frames.starts);
	state_shared_bytes(state, "metadata", &hand.frames.metadata, LONG_ANSWER);
	state_bool(state, "preamble_pending", &hand.preamble.pending);
	state_fixed_bytes(state, "source", source, sizeof(hand.source));
	state_size(state, "source_bytes", &hand.source_bytes);
	state_numbers(state, "answers", hand.answers, HTTP_CODES);
	state_numbers(state, "child", hand.child, HAND_NUMBERS);
	stream_input_transfer(&hand.input, state);
}

static void hand_count(const struct client *client, uint64_t number[HAND_NUMBERS])
{
	number[HAND_STATE] = client->state;
	number[HAND_JOINED] = client->joined_ns;
	number[HAND_DEADLINE] = client->deadline_ns;
	number[HAND_OVERDUE] = client->overdue;
	number[HAND_SENT] = client->stats.sent_bytes;
	number[HAND_RECEIVED] = client->stats.received_bytes;
	number[HAND_GRANT] = client->grant.bytes;
	number[HAND_IS_HTTP] = client->is_http;
	number[HAND_SEQUENCE] = client->cursor.sequence;
	number[HAND_OFFSET] = client_is_active(client) ? client->cursor.offset : 0;
	number[HAND_FRAMED] = client->cursor.framed;
	number[HAND_CATCHES_UP] = client_is_active(client) && client->catches_up;
	number[HAND_LEFT] = client->state < CLIENT_CLOSING ? client->aside.left : 0;
	number[HAND_OUTSTANDING] = zerocopy_outstanding(&client->zerocopy);
	number[HAND_INPUT_ENDED] = client->input_ended;
	number[HAND_INPUT_END] = client->input_end_ns;
	number[HAND_INPUT_END_SENT] = client->input_end_sent;
	number[HAND_LEAVE] = client->leave;
}

static bool hand_save(struct state *state)
{
	/* Those of this process are not its own. */
	tap.failed = 0;
	hand_begin();
	if (!hand.act())
		return false;
	quota = SIZE_MAX;
	hand_count(hand.client, hand.child);
	ring_save(hand.ring, state);
	window_transfer(hand.window, hand.ring, state);
	hand_transfer(state);
	client_save(hand.client, hand.ring, state);
	return true;
}

static int hand_exit_code(void)
{
	return tap.failed ? 1 : 0;
}

/* ---- this process, which restores ---- */

/* Restore what the child has saved, up to its client. Return: false after a failure of @state. */
static bool hand_restore(struct state *state)
{
	hand.base = event_base_new();
	hand.window = window_create(BLOCKS);
	if (!hand.base || !hand.window)
		errx(1, "no memory");
	hand.ring = ring_restore(hand.base, &hand.settings, state);
	hand_open();
	if (!hand.ring)
		return false;
	window_transfer(hand.window, hand.ring, state);
	hand.frames.settings = &hand.settings;
	hand_transfer(state);
	if (state_failed(state))
		return false;
	hand.client = client_restore(&hand.group, hand.ring, state);
	return hand.client && ring_check_restored(hand.ring, state);
}

/* Free all but the client. */
static void hand_close(void)
{
	stream_history_close(&hand.history);
	stream_frames_free(&hand.frames);
	stream_preamble_free(&hand.preamble);
	stream_input_free(&hand.input);
	if (hand.window)
		window_destroy(hand.window);
	if (hand.ring)
		ring_destroy(hand.ring);
	event_base_free(hand.base);
}

static void hand_check_restored(void)
{
	uint64_t grant = hand.child[HAND_GRANT], number[HAND_NUMBERS];
	const struct client *client = hand.client;

	hand_count(client, number);
	for (unsigned int i = 0; i < HAND_NUMBERS; i++)
		check(number[i] == hand.child[i], "number %u is %" PRIu64 ", not %" PRIu64, i,
		      number[i], hand.child[i]);
	check(!strcmp(client->peer_text, "0.0.0.0:1234") &&
		      !strncmp(client->endpoint_text, "127.0.0.1:", 10),
	      "peer %s, endpoint %s", client->peer_text, client->endpoint_text);
	check(hand.memory.charged == (grant > MEMORY_GRANT_MIN ? grant : 0),
	      "%" PRIu64 " bytes are charged", hand.memory.charged);
	check(!client->queue && !client->is_half_closed, "it is in a list");
	check(!hand.gone && !hand.half_closed && !hand.streaming, "a callback");
}

/*
 * Let the child do @act, and save; restore here. @between: while no process runs the client; NULL: nothing. Return:
 * false if the child has saved nothing.
 */
static bool hand_over_meanwhile(bool (*act)(void), void (*between)(void))
{
	char wrong[STATE_WRONG_TEXT];
	struct parcel_content saved;
	struct state *state;
	int code;

	hand.act = act;
	two_processes(hand_save, hand_exit_code, &saved, &code);
	check(code == 0, "the child ended with %d", code);
	close(hand.sender);
	quota = SIZE_MAX;
	if (!saved.data)
		return false;
	if (between)
		between();
	state = state_decode(saved.data, saved.length, saved.descriptors, saved.count, wrong);
	if (!state)
		errx(1, "%s", wrong);
	parcel_free_content(&saved);
	if (!hand_restore(state))
		errx(1, "restoring failed: %s", state_why(state));
	state_free(state);
	hand_check_restored();
	stream_queue_resume(&hand.queue, hand.client);
	return true;
}

static void hand_over(bool (*act)(void))
{
	check(hand_over_meanwhile(act, NULL), "the child saved nothing");
}

/* The client must be gone, after the peer got all that was sent and the end, unless it was reset. */
static void hand_end(enum leave_reason reason)
{
	hand_run_until(true, hand.gone);
	hand_run_until(true, hand.ended || hand.reset);
	check(hand.gone == 1 && hand.leave == reason, "%u times; left: %s", hand.gone,
	      leave_reason_word(hand.leave));
	check(hand.reset || hand.client->stats.sent_bytes == hand.length,
	      "%" PRIu64 " bytes sent, %zu received", hand.client->stats.sent_bytes, hand.length);
	check(!hand.memory.charged, "%" PRIu64 " bytes are charged", hand.memory.charged);
	check(!hand.client->zerocopy.stats.foreign_completions, "foreign completions");
	client_free(hand.client);
	close(hand.peer);
	hand.bytes = window_bytes(hand.window);
	while (window_release_oldest(hand.window))
		;
	check(ring_free_blocks(hand.ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(hand.ring));
	hand_close();
}

/* Send the rest, and end. The peer must not be reset. */
static void hand_finish(void)
{
	client_finish(hand.client);
	hand_end(LEAVE_END_OF_STREAM);
	check(hand.ended && !hand.reset, "the peer was reset");
}

/* ---- what the peer has received ---- */

/* Return the number of bytes of the head of an answer that is received. */
static size_t received_head(const char *status)
{
	const unsigned char *end = memmem(hand.received, hand.length, "\r\n\r\n", 4);

	if (!check(end, "no head in %zu bytes", hand.length))
		return hand.length;
	check(!strncmp((const char *)hand.received, status, strlen(status)), "%.*s",
	      (int)(end - hand.received), hand.received);
	return (size_t)(end - hand.received) + 4;
}

/* Check the pattern from @at to the end. @position: of the first byte */
static void check_peer_pattern(size_t at, size_t length, uint64_t position)
{
	size_t right = pattern_check(hand.received + at, length, position);

	check(right == length, "byte %" PRIu64 " is wrong", position + right);
}

/* Check a raw feed from @at to the end. @bytes: of the stream */
static void check_raw(size_t at, bool preamble, uint64_t bytes)
{
	size_t head = preamble ? strlen(PREAMBLE) : 0;

	if (!check(hand.length - at == head + bytes, "%zu bytes, not %" PRIu64, hand.length - at,
		   head + bytes))
		return;
	check(!memcmp(hand.received + at, PREAMBLE, head), "another preamble");
	check_peer_pattern(at + head, bytes, 0);
}

struct seen_frames {
	unsigned int metadata, preambles, blocks, ends;
	uint64_t lost; /* blocks */
	uint64_t next; /* sequence */
	uint64_t position;
};

static void check_block_frame(const struct frame *frame, size_t at, struct seen_frames *seen)
{
	check(frame->sequence >= seen->next, "block %" PRIu64 " behind %" PRIu64, frame->sequence,
	      seen->next);
	check(frame->sequence > seen->next || frame->position == seen->position,
	      "position %" PRIu64 ", not %" PRIu64, frame->position, seen->position);
	check_peer_pattern(at, frame->length, frame->position);
	seen->blocks++;
	seen->lost += frame->sequence - seen->next;
	seen->next = frame->sequence + 1;
	seen->position = frame->position + frame->length;
}

/* Check a framed feed from @at to the end: whole frames of one epoch, in order. */
static struct seen_frames check_frames(size_t at)
{
	struct seen_frames seen = { 0 };

	while (at + FRAME_HEADER_BYTES <= hand.length) {
		const unsigned char *header = hand.received + at;
		struct frame frame = frame_decode(header);

		at += FRAME_HEADER_BYTES;
		if (!check(frame_begins(header, FRAME_HEADER_BYTES) &&
				   at + frame.length <= hand.length,
			   "no frame at %zu of %zu", at, hand.length))
			return seen;
		check(frame.epoch == hand.frames.epoch, "epoch %x", frame.epoch);
		check(!seen.ends, "a frame behind the end");
		if (frame.flags & FRAME_METADATA)
			seen.metadata += check(hand.received[at] == '{', "no metadata");
		else if (frame.flags & FRAME_PREAMBLE)
			seen.preambles +=
				check(frame.length == strlen(PREAMBLE) &&
					      !memcmp(hand.received + at, PREAMBLE, frame.length),
				      "another preamble");
		else if (frame.flags & FRAME_END)
			seen.ends++;
		else
			check_block_frame(&frame, at, &seen);
		at += frame.length;
	}
	check(at == hand.length, "a part of a frame is left");
	return seen;
}

/* ---- requests and answers ---- */

static uint64_t peer_sent;

static void peer_has_sent(const char *text)
{
	ssize_t length = (ssize_t)strlen(text);

	check(send(hand.peer, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length,
	      "send: %s", strerror(errno));
	peer_sent += (uint64_t)length;
}

/* Begin a test whose peer sends @text before the client joins. */
static void hand_new_peer(unsigned int format, const char *text)
{
	hand_new(format);
	peer_sent = 0;
	peer_has_sent(text);
}

/* Join, and read all that the peer has sent. */
static bool act_read(void)
{
	hand_join();
	hand_run_until(false, hand.client->stats.received_bytes == peer_sent);
	return true;
}

/* @parts: number of places where each request is divided */
static void test_handed_request(unsigned int parts)
{
	static const char *const request[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
					       "GET /?format=framed HTTP/1.1\r\nHost: a\r\n\r\n" };

	for (size_t i = 0; i < 2; i++) {
		for (unsigned int j = 0; j < parts; j++) {
			size_t head, done = strlen(request[i]) * j / parts;
			char part[128];

			snprintf(part, sizeof(part), "%.*s", (int)done, request[i]);
			hand_new_peer(FORMAT_HTTP, part);
			hand_over(act_read);
			check(hand.client->state == CLIENT_REQUESTING, "state %u",
			      hand.client->state);
			peer_has_sent(request[i] + done);
			hand_run_until(true, hand.streaming);
			hand_push_some(3, SHORT_BLOCK);
			hand_finish();
			head = received_head("HTTP/1.1 200 OK\r\n");
			if (i)
				check(check_frames(head).blocks == 3, "not 3 blocks");
			else
				check_raw(head, false, 3 * SHORT_BLOCK);
			check(hand.answers[HTTP_CODE_OK] == 1, "no answer is counted");
		}
	}
	point("a request may come in parts, one to each process");
}

static void wait_beyond_deadline(void)
{
	usleep(150000);
}

static void test_handed_timeout(void)
{
	hand_new_peer(FORMAT_HTTP, "GET /");
	hand.settings.client.request_timeout = 100000;
	check(hand_over_meanwhile(act_read, wait_beyond_deadline), "nothing was saved");
	hand_run_until(true, hand.ended);
	received_head("HTTP/1.1 408 Request Timeout\r\n");
	shutdown(hand.peer, SHUT_WR);
	hand_end(LEAVE_REFUSED);
	point("its time goes on while no process runs");
}

static bool act_long_answer(void)
{
	unsigned char *text = malloc(LONG_ANSWER);

	pattern_fill(text, LONG_ANSWER, 0);
	shared_bytes_release(hand.frames.metadata);
	hand.frames.metadata = shared_bytes_create(text, LONG_ANSWER);
	free(text);
	hand_join();
	hand_run_until(false, hand.client->state == CLIENT_ANSWERING &&
				      zerocopy_is_blocked(&hand.client->zerocopy));
	return check(client_aside_is_left(&hand.client->aside), "all is sent");
}

static void test_handed_answer(void)
{
	size_t head;

	hand_new_peer(FORMAT_HTTP, "GET /info HTTP/1.0\r\n\r\n");
	hand_over(act_long_answer);
	check(hand.client->state == CLIENT_ANSWERING, "state %u", hand.client->state);
	hand_run_until(true, hand.ended);
	shutdown(hand.peer, SHUT_WR);
	hand_end(LEAVE_ANSWERED);
	head = received_head("HTTP/1.1 200 OK\r\n");
	check(hand.length == head + LONG_ANSWER, "%zu bytes", hand.length);
	check_peer_pattern(head, hand.length - head, 0);
	point("each process sends a part of an answer");
}

static bool act_short_answer(void)
{
	hand_join();
	hand_run_until(false, hand.client->state == CLIENT_CLOSING);
	return true;
}

/* The same with less time. */
static bool act_expiring_answer(void)
{
	act_short_answer();
	return client_set_deadline(hand.client, 50000);
}

static void test_handed_linger(void)
{
	hand_new_peer(FORMAT_HTTP, "GET /info HTTP/1.0\r\n\r\n");
	hand_over(act_short_answer);
	hand_turns();
	check(!hand.gone || clock_monotonic_ns() >= hand.child[HAND_DEADLINE], "it did not wait");
	shutdown(hand.peer, SHUT_WR);
	hand_end(LEAVE_ANSWERED);
	point("after an answer the socket stays open until the peer has closed");

	hand_new_peer(FORMAT_HTTP, "GET /info HTTP/1.0\r\n\r\n");
	hand_over(act_expiring_answer);
	hand_run_until(true, hand.gone);
	check(clock_monotonic_ns() >= hand.child[HAND_DEADLINE], "too early");
	hand_end(LEAVE_ANSWERED);
	point("but not beyond its time");
}

/* ---- the feed ---- */

/* Where the child stops. */
static struct {
	size_t quota;
	bool finishing;
	bool is_http;
	uint32_t history; /* blocks before the client joins */
} cut;

static bool act_cut(void)
{
	hand_push_some(cut.history, SHORT_BLOCK);
	quota = cut.quota;
	hand_join();
	if (cut.is_http)
		hand_run_until(false, hand.client->state == CLIENT_STREAMING);
	hand_push_some(3, SHORT_BLOCK);
	if (cut.finishing)
		client_finish(hand.client);
	else
		client_send(hand.client);
	hand_turns();
	/* Otherwise all is sent. */
	return !quota;
}

static void check_feed(unsigned int blocks, bool framed, bool preamble)
{
	size_t head = cut.is_http ? received_head("HTTP/1.1 200 OK\r\n") : 0;
	struct seen_frames seen;

	if (!framed) {
		check_raw(head, preamble, (uint64_t)blocks * SHORT_BLOCK);
		return;
	}
	seen = check_frames(head);
	check(seen.blocks == blocks && !seen.lost && seen.metadata == 1 && seen.ends == 1 &&
		      seen.preambles == preamble,
	      "%u blocks, %u metadata, %u ends, %u preambles", seen.blocks, seen.metadata,
	      seen.ends, seen.preambles);
}

/* Hand over after any byte of a feed. Return: false if all had been sent. */
static bool cut_feed(struct dice *dice, char *preamble)
{
	bool framed = dice_one_in(dice, 2), has_preamble = dice_one_in(dice, 2);
	unsigned int blocks;

	cut.is_http = dice_one_in(dice, 2);
	cut.finishing = dice_one_in(dice, 2);
	cut.history = dice_one_in(dice, 2) ? 3 : 0;
	cut.quota = dice_roll(dice, 0, framed ? 1200 : 700);
	hand_new_peer(cut.is_http ? FORMAT_HTTP : (framed ? FORMAT_FRAMED : FORMAT_RAW),
		      !cut.is_http ? ""
		      : framed	   ? "GET /?format=framed&start=oldest HTTP/1.0\r\n\r\n"
				   : "GET /?start=oldest HTTP/1.0\r\n\r\n");
	hand.settings.retain.bytes = 3 * SHORT_BLOCK;
	hand.settings.client.start.kind = CLIENT_START_OLDEST;
	hand.settings.client.zerocopy = dice_roll(dice, 0, ZEROCOPY_NEVER);
	hand.settings.preamble.path = has_preamble ? preamble : NULL;
	if (!hand_over_meanwhile(act_cut, NULL)) {
		close(hand.peer);
		return false;
	}
	blocks = cut.history + 3;
	if (!cut.finishing) {
		hand_push_some(2, SHORT_BLOCK);
		blocks += 2;
		client_finish(hand.client);
	}
	hand_end(LEAVE_END_OF_STREAM);
	check(hand.ended && !hand.reset, "the peer was reset");
	check_feed(blocks, framed, has_preamble);
	return true;
}

static void test_cut_feeds(unsigned int times)
{
	char path[] = "/tmp/dmacast-preamble-XXXXXX";
	struct dice dice = { 12345 };
	unsigned int cuts = 0;
	int file = mkstemp(path);

	if (file < 0 || write(file, PREAMBLE, strlen(PREAMBLE)) != (ssize_t)strlen(PREAMBLE))
		err(1, "%s", path);
	for (unsigned int i = 0; i < times; i++)
		cuts += cut_feed(&dice, path);
	check(cuts >= times / 2, "%u of %u feeds were cut", cuts, times);
	close(file);
	unlink(path);
	point("feeds of each format, also from history, go on behind any byte, %u times", times);
}

static bool leave_outstanding;

/* Fill the ring, and send until the socket is full. */
static bool act_fill(void)
{
	leave_completions = leave_outstanding;
	hand_join();
	stream_memory_raise(&hand.memory, &hand.client->grant, 32 << 10, 0);
	hand_push_some(BLOCKS - 4, BLOCK_SIZE);
	client_send(hand.client);
	hand_run_until(false, zerocopy_is_blocked(&hand.client->zerocopy));
	return !leave_outstanding ||
	       check(zerocopy_outstanding(&hand.client->zerocopy), "nothing is outstanding");
}

static void check_lowat(int bytes)
{
	socklen_t length = sizeof(int);
	int set = 0;

	getsockopt(hand.client->zerocopy.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &set, &length);
	check(set == bytes, "TCP_NOTSENT_LOWAT is %d", set);
}

static void test_full_sockets(void)
{
	for (unsigned int mode = 0; mode <= ZEROCOPY_NEVER; mode++) {
		for (unsigned int framed = 0; framed < 2; framed++) {
			hand_new(framed ? FORMAT_FRAMED : FORMAT_RAW);
			hand.settings.client.zerocopy = mode;
			leave_outstanding = mode == ZEROCOPY_ALWAYS;
			hand_over(act_fill);
			check_lowat(32 << 10);
			check(zerocopy_outstanding(&hand.client->zerocopy) || !leave_outstanding,
			      "nothing is outstanding");
			hand_run_until(true, ring_free_blocks(hand.ring) > BLOCKS / 2);
			hand_push_some(BLOCKS / 4, BLOCK_SIZE);
			hand_finish();
			if (framed)
				check(check_frames(0).position == hand.bytes, "bytes are missing");
			else
				check_raw(0, false, hand.bytes);
		}
	}
	point("with a full socket, and sends that are not complete, nothing is lost");
}

/* What the child skips, and how. */
static struct {
	size_t sent; /* bytes of the first block with its header */
	bool pins;
} skip;

static bool act_skip(void)
{
	struct window_gap lost;

	hand_push(SHORT_BLOCK);
	quota = FRAME_HEADER_BYTES + hand.frames.metadata->length + skip.sent;
	hand_join();
	client_send(hand.client);
	hand_push_some(5, SHORT_BLOCK);
	return check(window_skip(hand.window, &hand.client->cursor, skip.pins, &lost), "memory") &&
	       check(hand.client->cursor.held && lost.blocks == 4, "%" PRIu64 " blocks are lost",
		     lost.blocks);
}

static void test_handed_gap(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct seen_frames seen;

		skip.sent = i & 1 ? FRAME_HEADER_BYTES + 50 : 20;
		skip.pins = i & 2;
		hand_new(FORMAT_FRAMED);
		hand.settings.client.start.kind = CLIENT_START_OLDEST;
		hand.settings.retain.bytes = SHORT_BLOCK;
		hand_over(act_skip);
		hand_push(SHORT_BLOCK);
		hand_finish();
		seen = check_frames(0);
		check(seen.lost == 4 && seen.blocks == 3, "%u blocks, %" PRIu64 " lost",
		      seen.blocks, seen.lost);
	}
	point("a client that skips ahead gets the rest of its block, or of the copy, first");
}

/* ---- the end ---- */

/* Hand all over to the socket, which the peer does not read. */
static bool act_shut_down(void)
{
	hand_join();
	stream_memory_raise(&hand.memory, &hand.client->grant, 1 << 20, 0);
	client_apply_grant(hand.client);
	hand_push_some(MANY_BLOCKS, BLOCK_SIZE);
	client_finish(hand.client);
	hand_run_until(false, hand.client->state == CLIENT_CLOSING);
	return true;
}

static void test_handed_end(void)
{
	hand_new(FORMAT_RAW);
	hand_over(act_shut_down);
	check(hand.client->state == CLIENT_CLOSING, "state %u", hand.client->state);
	hand_end(LEAVE_END_OF_STREAM);
	check(hand.ended && !hand.reset, "the peer was reset");
	check_raw(0, false, (uint64_t)MANY_BLOCKS * BLOCK_SIZE);
	point("a client that is closing waits until its peer has everything");
}

static bool act_kick(void)
{
	act_fill();
	client_kick(hand.client, LEAVE_BY_OPERATOR, "a text of the child");
	hand.client->overdue = 2;
	return check(hand.client->state == CLIENT_RESETTING, "state %u", hand.client->state);
}

static bool act_queue_kick(void)
{
	act_fill();
	stream_queue_add_kick(&hand.queue, hand.client, LEAVE_BY_OPERATOR, "a text of the child");
	return true;
}

static bool act_queue_finish(void)
{
	hand_join();
	hand_push_some(3, SHORT_BLOCK);
	stream_queue_add(&hand.queue, hand.client, CLIENT_TASK_FINISH);
	return true;
}

static void check_kicked(void)
{
	hand_end(LEAVE_BY_OPERATOR);
	check(hand.reset && !strcmp(hand.reason, "a text of the child"), "reason: %s", hand.reason);
}

static void test_handed_kick(void)
{
	leave_outstanding = true;
	hand_new(FORMAT_FRAMED);
	hand_over(act_kick);
	check(hand.client->state == CLIENT_RESETTING &&
		      zerocopy_outstanding(&hand.client->zerocopy),
	      "nothing is outstanding");
	check_kicked();
	point("after a reset, the completions are read by the other process");

	hand_new(FORMAT_RAW);
	hand_over(act_queue_kick);
	check_kicked();
	hand_new(FORMAT_RAW);
	hand_over(act_queue_finish);
	hand_end(LEAVE_END_OF_STREAM);
	check_raw(0, false, 3 * SHORT_BLOCK);
	point("a task that waits in a queue is done");
}

/* ---- input ---- */

static bool act_half_close(void)
{
	hand_join();
	hand_push(SHORT_BLOCK);
	client_send(hand.client);
	hand_run_until(false, hand.half_closed == 1);
	return check(client_is_half_closed(hand.client), "it is not half-closed");
}

static bool act_join(void)
{
	hand_join();
	hand_turns();
	return check(!client_is_half_closed(hand.client), "it is half-closed");
}

static void shut_down_peer(void)
{
	shutdown(hand.peer, SHUT_WR);
}

static void test_handed_half_close(void)
{
	hand_new(FORMAT_RAW);
	shut_down_peer();
	hand_over(act_half_close);
	check(client_is_half_closed(hand.client), "it is not half-closed");
	check(client_proof_ns(hand.client, clock_monotonic_ns()), "it is known to be alive");
	hand_turns();
	check(!hand.half_closed, "the end of the peer is noticed twice");
	hand_push_some(3, SHORT_BLOCK);
	hand_finish();
	check_raw(0, false, 4 * SHORT_BLOCK);
	point("a half-closed client stays so");

	hand_new(FORMAT_RAW);
	check(hand_over_meanwhile(act_join, shut_down_peer), "nothing was saved");
	hand_run_until(true, hand.half_closed == 1);
	hand_finish();
	point("a peer that closes while no process runs is noticed");
}

/* Queue two of the units that the peer has sent; the source takes a part of the first one. */
static bool act_forward(void)
{
	hand.source_space = 3;
	stream_input_writable(&hand.input);
	hand_join();
	hand_run_until(false, hand.source_bytes == 3);
	return check(stream_input_queued(&hand.input) == 7, "%zu bytes are queued",
		     stream_input_queued(&hand.input));
}

static void peer_sends_more(void)
{
	peer_has_sent("cccddd");
}

static void test_handed_input(void)
{
	hand_new_peer(FORMAT_RAW, "aaaaabbbbbcc");
	hand.settings.client.input = CLIENT_INPUT_SOURCE;
	hand.settings.client.input_size = 5;
	check(hand_over_meanwhile(act_forward, peer_sends_more), "nothing was saved");
	check(stream_input_queued(&hand.input) == 7, "the queue is not the same");
	hand.source_space = sizeof(hand.source);
	stream_input_writable(&hand.input);
	hand_run_until(true, hand.source_bytes == 15);
	hand_turns();
	check(hand.source_bytes == 15 && !memcmp(hand.source, "aaaaabbbbbccccc", 15), "%.*s",
	      (int)hand.source_bytes, hand.source);
	check(hand.client->stats.received_bytes == 15, "%" PRIu64 " bytes received",
	      hand.client->stats.received_bytes);
	hand_finish();
	point("the source gets each unit of a client once, whichever process has read it");
}

/* ---- broken states ---- */

/* Replace the value behind some colon of @text. @out: as large as @text and 64 bytes */
static void break_value(const char *text, char *out, struct dice *dice)
{
	static const char *const numbers[] = { "0",	     "1",
					       "-1",	     "77",
					       "4294967295", "9223372036854775807",
					       "null",	     "-9223372036854775808" };
	const char *at = strstr(text, "\"client\":{") + 10;
	size_t length, value;

	at += dice_roll(dice, 0, (uint32_t)strlen(at) - 1);
	at += strcspn(at, ":");
	at += strspn(at, ":[{\"");
	length = (size_t)(at - text);
	value = strcspn(at, ",]}\"");
	memcpy(out, text, length);
	if (!strncmp(at, "true", 4) || !strncmp(at, "false", 5))
		sprintf(out + length, "%s%s", *at == 't' ? "false" : "true", at + value);
	else if (*at && at[value] == '"')
		sprintf(out + length, "%.*s%s", (int)(value / 2), at, at + value);
	else
		sprintf(out + length, "%s%s", numbers[dice_roll(dice, 0, 7)], at + value);
}

/* Give each attempt descriptors of its own, with a new connection. The socket is the last one. */
static void copy_descriptors(const struct parcel_content *saved, int *descriptor)
{
	static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };

	for (size_t i = 0; i + 1 < saved->count; i++)
		descriptor[i] = dup(saved->descriptors[i]);
	if (!connect_pair(&ipv4, PEER_BUFFER, &descriptor[saved->count - 1], &hand.peer))
		errx(1, "no connection");
}

/* Return true if the state was accepted; then the client runs for a while. */
static bool restore_broken(const struct parcel_content *saved, const char *text)
{
	int *descriptor = calloc(saved->count, sizeof(*descriptor));
	char wrong[STATE_WRONG_TEXT];
	struct state *state;
	bool accepted;

	hand.client = NULL;
	hand.gone = hand.half_closed = hand.streaming = 0;
	hand.length = 0;
	copy_descriptors(saved, descriptor);
	state = statejson_decode_text(text, descriptor, saved->count, wrong);
	free(descriptor);
	if (!state) {
		close(hand.peer);
		return false;
	}
	accepted = hand_restore(state);
	check(accepted || (state_failed(state) && *state_why(state)), "no reason");
	state_free(state);
	if (accepted) {
		stream_queue_resume(&hand.queue, hand.client);
		hand_push(SHORT_BLOCK);
		hand_turns();
		peer_has_read();
		hand_turns();
	}
	if (hand.client) {
		stream_queue_remove(hand.client);
		client_abandon(hand.client);
	}
	check(!hand.memory.charged, "%" PRIu64 " bytes are charged", hand.memory.charged);
	while (window_release_oldest(hand.window))
		;
	hand_close();
	close(hand.peer);
	return accepted;
}

/* Save a client, and restore it with wrong values. */
static void break_state(bool (*act)(void), unsigned int times, struct dice *dice)
{
	unsigned int accepted = 0;
	struct parcel_content saved;
	char *text, *broken, *right;
	int code;

	hand.act = act;
	two_processes(hand_save, hand_exit_code, &saved, &code);
	if (!check(saved.data, "nothing was saved"))
		return;
	close(hand.sender);
	close(hand.peer);
	right = statejson_text(saved.data, saved.length);
	text = malloc(strlen(right) + 256);
	broken = malloc(strlen(right) + 256);
	check(restore_broken(&saved, right), "the right state is not accepted");
	for (unsigned int i = 0; i < times; i++) {
		break_value(right, broken, dice);
		if (dice_one_in(dice, 3)) {
			strcpy(text, broken);
			break_value(text, broken, dice);
		}
		accepted += restore_broken(&saved, broken);
	}
	check(accepted < times, "all of %u states were accepted", times);
	two_close(&saved);
	free(right);
	free(text);
	free(broken);
}

static void test_broken_clients(unsigned int times)
{
	struct dice dice = { 777 };

	leave_outstanding = true;
	hand_new(FORMAT_FRAMED);
	break_state(act_fill, times, &dice);
	hand_new_peer(FORMAT_HTTP, "GET / HT");
	break_state(act_read, times, &dice);
	hand_new(FORMAT_FRAMED);
	skip.sent = 20;
	skip.pins = false;
	hand.settings.client.start.kind = CLIENT_START_OLDEST;
	hand.settings.retain.bytes = SHORT_BLOCK;
	break_state(act_skip, times, &dice);
	hand_new(FORMAT_RAW);
	break_state(act_kick, times, &dice);
	hand_new(FORMAT_FRAMED);
	cut.quota = 30;
	cut.is_http = false;
	cut.finishing = true;
	break_state(act_cut, times, &dice);
	point("%u states with wrong values are refused, or do no harm", 5 * times);
}

int main(int argc, char **argv)
{
	unsigned int steps = argc > 1 ? (unsigned int)atoi(argv[1]) : 200000;

	test_handed_request(2 + steps / 30000);
	test_handed_timeout();
	test_handed_answer();
	test_handed_linger();
	test_cut_feeds(steps / 1000);
	test_full_sockets();
	test_handed_gap();
	test_handed_end();
	test_handed_kick();
	test_handed_half_close();
	test_handed_input();
	test_broken_clients(steps / 2000);
	free(hand.received);
	return tap_end();
}
