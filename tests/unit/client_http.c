// SPDX-License-Identifier: BSD-2-Clause
/*
 * HTTP clients in an event loop, over loopback: what their requests lead to, and that each one ends within its time,
 * whatever its peer does. http_request.c has the requests as such.
 */
#include "config/option_table.h"
#include "lib/clock.h"
#include "ring/ring_memory.h"
#include "stream/client.h"

#include "clientpair.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE 4096U
#define BLOCKS 16U
#define BUFFER (64 << 10)
#define BUDGET (64 << 10)
#define PATIENCE_NS 20000000000ULL
/* Least time for which the daemon waits for the peer's end after an answer. */
#define LINGER_NS 2000000000ULL
/* More than both sockets take. */
#define LONG_ANSWER (8U << 20)

#define GET_FEED "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_INFO "GET /info HTTP/1.1\r\nHost: a\r\n\r\n"

static char web_name[] = "test";

static struct {
	struct event_base *base;
	struct stream_settings settings;
	struct stream_frames frames;
	struct stream_memory memory;
	struct sent_counter sent;
	struct latency latency;
	uint64_t answers[HTTP_CODES];
	struct ring *ring;
	struct window *window;
	struct client_group group;
	struct client *client;
	int peer;
	unsigned int gone, streaming, half_closed; /* calls */
	char received[4096];
	size_t length; /* bytes that the peer has received; those beyond `received` are only counted */
	bool ended;
} web;

/* ---- the owner of the client ---- */

static void web_requeue(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
}

static void web_gone(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
	web.gone++;
}

static void web_streaming(void *argument, struct client *client)
{
	(void)argument;
	check(client->state == CLIENT_STREAMING, "state %u", client->state);
	web.streaming++;
}

static void web_half_closed(void *argument, struct client *client)
{
	(void)argument;
	(void)client;
	web.half_closed++;
}

static void web_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				   enum zerocopy_copy_state now)
{
	(void)argument;
	(void)before;
	(void)now;
}

static const struct client_callbacks web_callbacks = {
	.requeue = web_requeue,
	.copy_state_changed = web_copy_state_changed,
	.streaming = web_streaming,
	.half_closed = web_half_closed,
	.gone = web_gone,
};

static void web_begin(uint64_t request_timeout)
{
	memset(&web, 0, sizeof(web));
	option_set_defaults(OPTION_STREAM, &web.settings);
	web.settings.name = web_name;
	web.settings.block_size = BLOCK_SIZE;
	web.settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	web.settings.client.format = FORMAT_HTTP;
	web.settings.client.request_timeout = request_timeout;
	web.base = event_base_new();
	web.ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	web.window = window_create(BLOCKS);
	if (!web.base || !web.ring || !web.window ||
	    !stream_frames_init(&web.frames, &web.settings))
		errx(1, "no ring");
	stream_memory_init(&web.memory, &web.settings.client, web.settings.ring_size);
	web.group = (struct client_group){
		.base = web.base,
		.stream_name = web.settings.name,
		.settings = &web.settings.client,
		.window = web.window,
		.frames = &web.frames,
		.memory = &web.memory,
		.sent = &web.sent,
		.latency = &web.latency,
		.http_answers = web.answers,
		.callbacks = &web_callbacks,
		.budget_bytes = BUDGET,
		.uncopied_budget_bytes = BUDGET,
	};
	web.client = clientpair_join(&web.group, BUFFER, &web.peer);
	check(web.client->state == CLIENT_REQUESTING, "state %u", web.client->state);
}

/* ---- the peer ---- */

static void web_peer_sends(const char *text)
{
	ssize_t length = (ssize_t)strlen(text);

	check(send(web.peer, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length,
	      "send: %s", strerror(errno));
}

static void reset_by_peer(void)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(web.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(web.peer);
	web.peer = -1;
}

static void web_peer_reads(void)
{
	static char buffer[BUFFER];
	ssize_t n;

	while ((n = recv(web.peer, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		size_t kept = sizeof(web.received) - 1 - web.length;

		if (web.length < sizeof(web.received) - 1)
			memcpy(web.received + web.length, buffer,
			       (size_t)n < kept ? (size_t)n : kept);
		web.length += (size_t)n;
	}
	web.ended |= n == 0;
}

/* Run the event loop until @expression; the peer reads meanwhile if it @reads. */
#define web_run_until(reads, expression)                                                \
	do {                                                                            \
		uint64_t give_up_ = clock_monotonic_ns() + PATIENCE_NS;                 \
                                                                                        \
		while (!(expression) &&                                                 \
		       check(clock_monotonic_ns() < give_up_, "never: " #expression)) { \
			if (reads)                                                      \
				web_peer_reads();                                       \
			event_base_loop(web.base, EVLOOP_NONBLOCK);                     \
			usleep(500);                                                    \
		}                                                                       \
	} while (0)

static void web_push(void)
{
	struct block *block = ring_take(web.ring);

	if (!check(block, "no free block"))
		return;
	block->length = BLOCK_SIZE;
	memset(block->data, 'a' + (int)(window_head(web.window) % 26), BLOCK_SIZE);
	stream_frames_write(&web.frames, block, window_head(web.window), window_bytes(web.window));
	window_push(web.window, block);
}

/* The client must be gone. */
static void web_end(enum leave_reason reason)
{
	check(web.gone == 1 && web.client->state == CLIENT_GONE, "%u calls, state %u", web.gone,
	      web.client->state);
	check(web.client->leave == reason, "left: %s", leave_reason_word(web.client->leave));
	client_free(web.client);
	close(web.peer);
	stream_frames_free(&web.frames);
	check(ring_free_blocks(web.ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(web.ring));
	window_destroy(web.window);
	ring_destroy(web.ring);
	event_base_free(web.base);
	web.settings.name = NULL;
	stream_settings_clear(&web.settings);
}

static bool has_answer(const char *text)
{
	return !strncmp(web.received, text, strlen(text));
}

static bool peer_was_reset(void)
{
	char byte;

	return recv(web.peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

/* ---- tests ---- */

#define LONG_TIME 60000000
#define SHORT_TIME 100000

static void test_feed(void)
{
	const char *body;

	web_begin(LONG_TIME);
	web_push();
	check(ring_free_blocks(web.ring) == BLOCKS, "a client without a request holds a block");
	check(!client_is_active(web.client) && !client_owes_nothing(web.client), "it is active");
	web_peer_sends("GET / HTTP/1.1\r\nHo");
	event_base_loop(web.base, EVLOOP_NONBLOCK);
	check(web.client->state == CLIENT_REQUESTING && !web.streaming,
	      "half a request was enough");
	web_peer_sends("st: a\r\n\r\nGET /info HTTP/1.1\r\n");
	web_run_until(true, web.length);
	check(web.streaming == 1 && web.answers[HTTP_CODE_OK] == 1, "%u calls, %" PRIu64 " answers",
	      web.streaming, web.answers[HTTP_CODE_OK]);
	check(has_answer("HTTP/1.1 200 OK\r\n") &&
		      strstr(web.received, "\r\nDmacast-Sequence: 1\r\n"),
	      "%s", web.received);
	body = strstr(web.received, "\r\n\r\n");
	web_push();
	client_send(web.client);
	web_run_until(true, body && web.length == (size_t)(body + 4 - web.received) + BLOCK_SIZE);
	check(body && body[4] == 'b', "it begins with another block");
	client_finish(web.client);
	web_run_until(true, web.gone);
	web_run_until(true, web.ended);
	web_end(LEAVE_END_OF_STREAM);
	point("a complete request enters the window, and the feed follows the head of the answer");
}

static void test_feed_is_unlimited(void)
{
	uint64_t begun_ns = clock_monotonic_ns();

	web_begin(SHORT_TIME);
	web_peer_sends(GET_FEED);
	web_run_until(true, clock_monotonic_ns() - begun_ns > 2 * SHORT_TIME * 1000);
	check(web.client->state == CLIENT_STREAMING && !web.client->deadline_ns, "state %u",
	      web.client->state);
	client_finish(web.client);
	web_run_until(true, web.gone);
	web_end(LEAVE_END_OF_STREAM);
	point("the time for the request does not end the feed");
}

static void test_half_close(void)
{
	web_begin(LONG_TIME);
	web_peer_sends(GET_FEED);
	shutdown(web.peer, SHUT_WR);
	client_check_input(web.client);
	check(web.half_closed == 1 && web.client->state == CLIENT_STREAMING, "%u calls, state %u",
	      web.half_closed, web.client->state);
	web_push();
	web_run_until(true, web.length > BLOCK_SIZE);
	client_finish(web.client);
	web_run_until(true, web.gone);
	web_end(LEAVE_END_OF_STREAM);
	point("a client that shuts down its side behind its request gets the feed");
}

/* Ask for the metadata, and read the answer up to its end. */
static void get_info(void)
{
	web_peer_sends(GET_INFO);
	web_run_until(true, web.ended);
	check(has_answer("HTTP/1.1 200 OK\r\n") && web.answers[HTTP_CODE_OK] == 1, "%s",
	      web.received);
	check(web.client->stats.received_bytes == strlen(GET_INFO), "%" PRIu64 " bytes received",
	      web.client->stats.received_bytes);
	check(web.gone || web.client->state == CLIENT_CLOSING, "state %u", web.client->state);
}

static void test_http_answer(void)
{
	uint64_t begin_ns;

	web_begin(LONG_TIME);
	begin_ns = clock_monotonic_ns();
	get_info();
	web_peer_sends("more\r\n");
	event_base_loop(web.base, EVLOOP_NONBLOCK);
	check((!web.gone && !peer_was_reset()) || clock_monotonic_ns() - begin_ns >= LINGER_NS,
	      "input behind the request ended the connection");
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	check(!web.streaming && !web.half_closed, "it was taken for the feed");
	web_end(LEAVE_ANSWERED);
	point("after an answer the socket is open until the peer has closed");

	web_begin(LONG_TIME);
	get_info();
	web_run_until(true, web.gone);
	web_end(LEAVE_ANSWERED);
	point("but not for ever");

	web_begin(LONG_TIME);
	get_info();
	reset_by_peer();
	web_run_until(false, web.gone);
	web_end(LEAVE_ANSWERED);
	point("a reset by the peer is not the reason then");

	web_begin(LONG_TIME);
	get_info();
	client_finish(web.client);
	web_end(LEAVE_ANSWERED);
	point("and not when the stream ends");
}

static void test_error(void)
{
	web_begin(LONG_TIME);
	web_peer_sends("GET /nothing HTTP/1.0\r\n\r\n");
	web_run_until(true, web.ended);
	check(has_answer("HTTP/1.1 404 Not Found\r\n") && web.answers[HTTP_CODE_NOT_FOUND] == 1,
	      "%s", web.received);
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	web_end(LEAVE_REFUSED);
	point("an error is an answer, too");
}

static void test_request_timeout(void)
{
	uint64_t begun_ns = clock_monotonic_ns();

	web_begin(SHORT_TIME);
	web_peer_sends("GET / HTTP/1.1\r\nA: ");
	while (!web.ended && check(clock_monotonic_ns() < begun_ns + PATIENCE_NS, "still open")) {
		send(web.peer, "a", 1, MSG_NOSIGNAL);
		event_base_loop(web.base, EVLOOP_NONBLOCK);
		web_peer_reads();
		usleep(20000); /* at most 8 KiB in PATIENCE_NS */
	}
	check(has_answer("HTTP/1.1 408 Request Timeout\r\n"), "%s", web.received);
	check(clock_monotonic_ns() - begun_ns >= SHORT_TIME * 1000, "too early");
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	web_end(LEAVE_REFUSED);
	point("single bytes give a request no more time");

	web_begin(SHORT_TIME);
	web_run_until(true, web.ended);
	check(has_answer("HTTP/1.1 408 Request Timeout\r\n"), "%s", web.received);
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	web_end(LEAVE_REFUSED);
	point("a client that sends nothing is told so");
}

/* An answer that the sockets do not take at once. @timeout: for the answer */
static void begin_long_answer(uint64_t timeout)
{
	static char text[LONG_ANSWER];

	web_begin(LONG_TIME);
	web.settings.client.request_timeout = timeout;
	shared_bytes_release(web.frames.metadata);
	web.frames.metadata = shared_bytes_create(text, sizeof(text));
	web_peer_sends(GET_INFO);
	web_run_until(false, web.client->state >= CLIENT_ANSWERING);
}

static void test_long_answer(void)
{
	begin_long_answer(LONG_TIME);
	web_run_until(true, web.ended);
	check(web.length > LONG_ANSWER, "%zu bytes", web.length);
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	web_end(LEAVE_ANSWERED);
	point("an answer that does not fit the socket continues when there is space");

	begin_long_answer(SHORT_TIME);
	web_run_until(false, web.gone);
	web_end(LEAVE_TIMED_OUT);
	point("a peer that does not read it is reset");

	begin_long_answer(LONG_TIME);
	client_finish(web.client);
	web_end(LEAVE_ANSWERED);
	point("or closed when the stream ends");
}

static void test_early_ends(void)
{
	web_begin(LONG_TIME);
	shutdown(web.peer, SHUT_WR);
	web_run_until(false, web.gone);
	web_end(LEAVE_HALF_CLOSED);
	point("a peer that closes without a request has no answer");

	web_begin(LONG_TIME);
	web_peer_sends("GET /");
	shutdown(web.peer, SHUT_WR);
	web_run_until(true, web.gone);
	web_run_until(true, web.ended);
	check(has_answer("HTTP/1.1 400 Bad Request\r\n"), "%s", web.received);
	web_end(LEAVE_REFUSED);
	point("one that closes within it has");

	web_begin(LONG_TIME);
	reset_by_peer();
	web_run_until(false, web.gone);
	web_end(LEAVE_RESET_BY_PEER);
	point("one that resets the connection is gone");

	web_begin(LONG_TIME);
	web_peer_sends("GET /");
	client_finish(web.client);
	web_end(LEAVE_STOPPING);
	point("the end of the stream ends a request");

	web_begin(LONG_TIME);
	client_kick(web.client, LEAVE_BY_OPERATOR, NULL);
	check(peer_was_reset(), "it was not reset");
	web_end(LEAVE_BY_OPERATOR);
	point("and so does the operator");
}

int main(void)
{
	test_feed();
	test_feed_is_unlimited();
	test_half_close();
	test_http_answer();
	test_error();
	test_request_timeout();
	test_long_answer();
	test_early_ends();
	return tap_end();
}
