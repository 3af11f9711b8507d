// SPDX-License-Identifier: BSD-2-Clause
/*
 * Clients in an event loop, over loopback: when they call sendmsg(), and what they pin. The kernel copies
 * there, so zero-copy sends are complete soon, except for data in the socket of a peer that does not read.
 */
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "ring/ring_memory.h"
#include "stream/client.h"
#include "stream/client_socket.h"

#include "clientpair.h"
#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_SIZE 65536U
#define BLOCKS 64U
#define CLIENTS 2U
#define BUDGET (16 << 10)
#define SMALL_BUFFER (128 << 10)
#define PATIENCE_NS 20000000000ULL
/* Iterations of about 1 ms without a send after which no more sends are expected. */
#define QUIET_ROUNDS 200

/* Calls of sendmsg() and of poll(). */
static unsigned int sends, polls;

int poll(struct pollfd *sockets, nfds_t count, int timeout)
{
	const struct timespec patience = { .tv_nsec = 1000000L * timeout };

	polls++;
	return ppoll(sockets, count, timeout < 0 ? NULL : &patience, NULL);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	sends++;
	return syscall(SYS_sendmsg, fd, message, flags);
}

static char stream_name_text[] = "test";

struct world {
	struct event_base *base;
	struct stream_settings settings;
	struct latency latency;
	struct sent_counter sent;
	/* Clients by their copy state, if it is known, and changes of it. */
	uint32_t state_count[ZEROCOPY_UNCOPIED + 1], copy_state_changes;
	struct ring *ring;
	struct window *window;
	struct stream_memory memory;
	struct client_group group;
	uint32_t max_pinned; /* blocks */
	struct client *client[CLIENTS];
	int peer[CLIENTS];
	uint64_t received[CLIENTS];
	uint32_t clients, half_closed, gone;
	bool kicked; /* the clients do not get everything */
};

static void limit_pinned(struct world *world, uint32_t blocks)
{
	world->max_pinned = blocks;
	ring_set_max_pinned(world->ring, blocks);
}

static void check_pinned(const struct world *world)
{
	check(ring_pinned_blocks(world->ring) <= world->max_pinned, "%u blocks are pinned, of %u",
	      ring_pinned_blocks(world->ring), world->max_pinned);
}

static void clients_send_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	client_send(argument);
}

static void clients_requeue(void *argument, struct client *client)
{
	const struct timeval soon = { .tv_usec = 1 };
	struct world *world = argument;

	event_base_once(world->base, -1, EV_TIMEOUT, clients_send_again, client, &soon);
}

static void clients_gone(void *argument, struct client *client)
{
	struct world *world = argument;

	(void)client;
	world->gone++;
}

static void clients_copy_state_changed(void *argument, enum zerocopy_copy_state before,
				       enum zerocopy_copy_state now)
{
	struct world *world = argument;

	world->copy_state_changes++;
	check(before != now, "state %d again", now);
	if (before != ZEROCOPY_UNKNOWN)
		world->state_count[before]--;
	if (now != ZEROCOPY_UNKNOWN)
		world->state_count[now]++;
}

static void clients_half_closed(void *argument, struct client *client)
{
	struct world *world = argument;

	(void)client;
	world->half_closed++;
}

static const struct client_callbacks clients_callbacks = {
	.half_closed = clients_half_closed,
	.copy_state_changed = clients_copy_state_changed,
	.requeue = clients_requeue,
	.gone = clients_gone,
};

static void clients_begin(struct world *world, uint32_t max_pinned)
{
	memset(world, 0, sizeof(*world));
	option_set_defaults(OPTION_STREAM, &world->settings);
	world->settings.name = stream_name_text;
	world->settings.client.zerocopy = ZEROCOPY_ALWAYS;
	world->settings.block_size = BLOCK_SIZE;
	world->settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	world->settings.client.send_buffer = LOOPBACK_SEND_BUFFER;
	world->base = event_base_new();
	world->ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	world->window = window_create(BLOCKS);
	if (!world->base || !world->ring || !world->window)
		errx(1, "no ring");
	limit_pinned(world, max_pinned);
	stream_memory_init(&world->memory, &world->settings.client, world->settings.ring_size);
	world->group = (struct client_group){
		.base = world->base,
		.stream_name = world->settings.name,
		.settings = &world->settings.client,
		.window = world->window,
		.memory = &world->memory,
		.latency = &world->latency,
		.sent = &world->sent,
		.callbacks = &clients_callbacks,
		.argument = world,
		.budget_bytes = BUDGET,
		.uncopied_budget_bytes = BUDGET,
	};
}

static void clients_join(struct world *world)
{
	uint32_t i = world->clients++;

	world->client[i] = clientpair_join(&world->group, SMALL_BUFFER, &world->peer[i]);
}

/* Fill up to this number of blocks. Clients send nothing before the caller makes them. */
static void clients_push(struct world *world, uint32_t blocks)
{
	struct block *block;

	while (blocks-- && (block = ring_take(world->ring))) {
		block->monotonic_ns = clock_monotonic_ns();
		block->length = BLOCK_SIZE;
		pattern_fill(block->data, block->length, window_bytes(world->window));
		window_push(world->window, block);
	}
}

static void clients_fill(struct world *world)
{
	clients_push(world, BLOCKS);
}

/* Run the event loop until no client has sent for QUIET_ROUNDS iterations. */
static void run_until_quiet(struct world *world)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;
	unsigned int quiet = 0, before = sends;

	while (quiet < QUIET_ROUNDS && check(clock_monotonic_ns() < give_up, "no end")) {
		event_base_loop(world->base, EVLOOP_NONBLOCK);
		check_pinned(world);
		quiet = sends == before ? quiet + 1 : 0;
		before = sends;
		usleep(1000);
	}
}

static void receive_all(struct world *world)
{
	for (uint32_t i = 0; i < world->clients; i++)
		receive_pattern(world->peer[i], &world->received[i]);
}

/* Receive, and run the event loop, until every client is GONE. */
static void run_until_gone(struct world *world)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while (world->gone < world->clients &&
	       check(clock_monotonic_ns() < give_up, "%u of %u clients ended", world->gone,
		     world->clients)) {
		receive_all(world);
		event_base_loop(world->base, EVLOOP_NONBLOCK);
		check_pinned(world);
	}
	/* A client is GONE when the peer's kernel has everything; the last data may be unread. */
	receive_all(world);
}

/* Finish all clients: each must get everything, unless kicked, and the end of the connection. */
static void clients_end(struct world *world)
{
	for (uint32_t i = 0; i < world->clients; i++)
		client_finish(world->client[i]);
	run_until_gone(world);
	check(!world->state_count[ZEROCOPY_COPIED] && !world->state_count[ZEROCOPY_UNCOPIED],
	      "%u clients are copied, %u are not", world->state_count[ZEROCOPY_COPIED],
	      world->state_count[ZEROCOPY_UNCOPIED]);
	for (uint32_t i = 0; i < world->clients; i++) {
		check(world->kicked || world->received[i] == window_bytes(world->window),
		      "received %" PRIu64 " of %" PRIu64, world->received[i],
		      window_bytes(world->window));
		close(world->peer[i]);
		client_free(world->client[i]);
	}
	check(ring_free_blocks(world->ring) == BLOCKS, "%u blocks are free",
	      ring_free_blocks(world->ring));
	window_destroy(world->window);
	ring_destroy(world->ring);
	event_base_free(world->base);
}

/* Let the socket of a client hold more. The kernel reports the new space to it. */
static void enlarge_socket(struct world *world, uint32_t i)
{
	const int bytes = LOOPBACK_SEND_BUFFER;
	int fd = world->client[i]->zerocopy.fd;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes)))
		err(1, "SO_SNDBUF");
	run_until_quiet(world);
}

static void test_full_socket(void)
{
	const struct zerocopy *zerocopy;
	struct world world;
	unsigned int before;

	clients_begin(&world, BLOCKS);
	world.settings.client.send_buffer = LOOPBACK_SEND_BUFFER / 8;
	clients_join(&world);
	zerocopy = &world.client[0]->zerocopy;
	clients_fill(&world);
	client_send(world.client[0]);
	run_until_quiet(&world);
	check(zerocopy_is_blocked(zerocopy), "the socket is not full");
	check(zerocopy_outstanding(zerocopy), "nothing is outstanding");
	/* The form in which libevent reports EPOLLERR, and so a completion. */
	before = sends;
	event_active(&world.client[0]->event, EV_READ | EV_WRITE, 0);
	run_until_quiet(&world);
	check(sends == before, "%u sends", sends - before);
	check(zerocopy_is_blocked(zerocopy), "the socket is not full any more");
	check(polls, "no poll()");
	point("after a completion, a client with a full socket does not send");
	before = sends;
	polls = 0;
	enlarge_socket(&world, 0);
	check(sends > before && !polls, "%u sends, %u polls", sends - before, polls);
	point("when a socket has space and no completions, poll() is not called");
	clients_end(&world);
	point("the client continues when its socket has space");
}

/* Send until all sockets are full. */
static void send_to_all(struct world *world)
{
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_send(world->client[i]);
	run_until_quiet(world);
}

/* Data that is sent after a peer's window has closed is outstanding until the peer reads. */
static void test_pin_limit(void)
{
	const uint32_t limit = 2;
	const struct zerocopy *zerocopy;
	struct world world;

	clients_begin(&world, 0);
	world.settings.client.send_buffer = LOOPBACK_SEND_BUFFER / 8;
	clients_join(&world);
	clients_join(&world);
	clients_fill(&world);
	send_to_all(&world);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		zerocopy = &world.client[i]->zerocopy;
		check(zerocopy_is_blocked(zerocopy), "client %u could send more", i);
		check(!zerocopy->stats.zerocopy_sends, "client %u sends by zero-copy", i);
		check(zerocopy->stats.copied_sends, "client %u sends nothing", i);
	}
	point("with a limit of 0 pinned blocks, everything is copied");

	limit_pinned(&world, limit);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint64_t copied;

		zerocopy = &world.client[i]->zerocopy;
		copied = zerocopy->stats.copied_sends;
		enlarge_socket(&world, i);
		check(zerocopy_outstanding(zerocopy), "client %u has nothing outstanding", i);
		check(zerocopy->stats.copied_sends > copied, "client %u was sent no copy", i);
		check(ring_pinned_blocks(world.ring) == limit, "%u blocks are pinned",
		      ring_pinned_blocks(world.ring));
		point(i ? "a block that is pinned already may be pinned by another client"
			: "blocks are pinned up to the limit, and the rest is copied");
	}
	clients_end(&world);
	point("everything arrives at both clients");
}

static void test_pins_of_a_send(void)
{
	const uint32_t limit = 2;
	struct world world;

	clients_begin(&world, 0);
	world.group.budget_bytes = world.group.uncopied_budget_bytes = 4 * BLOCK_SIZE;
	world.settings.client.send_buffer = LOOPBACK_SEND_BUFFER / 8;
	clients_join(&world);
	clients_fill(&world);
	client_send(world.client[0]);
	run_until_quiet(&world);
	limit_pinned(&world, limit);
	enlarge_socket(&world, 0);
	check(ring_pinned_blocks(world.ring) == limit, "%u blocks are pinned",
	      ring_pinned_blocks(world.ring));
	point("a send of several blocks pins no more of them than the limit");
	clients_end(&world);
	point("and the rest arrives, too");
}

/* Neither peer reads, so the data in both sockets is outstanding. */
static void test_kicked(void)
{
	struct world world;

	clients_begin(&world, BLOCKS);
	world.kicked = true;
	clients_join(&world);
	clients_join(&world);
	clients_fill(&world);
	send_to_all(&world);
	for (uint32_t i = 0; i < CLIENTS; i++)
		check(zerocopy_outstanding(&world.client[i]->zerocopy),
		      "client %u has nothing outstanding", i);
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_kick(world.client[i], LEAVE_BY_OPERATOR, NULL);
	run_until_gone(&world);
	check(!ring_pinned_blocks(world.ring), "%u blocks are pinned",
	      ring_pinned_blocks(world.ring));
	clients_end(&world);
	point("kicked clients end when no send is outstanding");
}

/* Everything was sent, and copied by the kernel, but the window of the peer is full. */
static void test_unacknowledged(void)
{
	const struct client *client;
	struct world world;

	clients_begin(&world, 0);
	clients_join(&world);
	client = world.client[0];
	clients_push(&world, 2 * SMALL_BUFFER / BLOCK_SIZE + 1);
	client_finish(world.client[0]);
	enlarge_socket(&world, 0);
	check(!zerocopy_outstanding(&client->zerocopy) && client_unacknowledged(client),
	      "%u sends are outstanding", zerocopy_outstanding(&client->zerocopy));
	check(client->state == CLIENT_CLOSING, "state %d", (int)client->state);
	point("a client that was sent everything stays until its peer has acknowledged it");
	clients_end(&world);
	point("and then it ends");
}

/* @kept: latencies that are recorded */
static void check_latencies(const struct world *world, uint64_t kept)
{
	check(histogram_count(&world->latency.to_send) == kept &&
		      histogram_count(&world->latency.to_acknowledged) == kept,
	      "%" PRIu64 " sent, %" PRIu64 " acknowledged, expected %" PRIu64,
	      histogram_count(&world->latency.to_send),
	      histogram_count(&world->latency.to_acknowledged), kept);
}

static void test_latency_of_history(void)
{
	struct world world;

	clients_begin(&world, BLOCKS);
	clients_join(&world);
	world.client[0]->catches_up = true;
	clients_push(&world, 1);
	client_send(world.client[0]);
	run_until_quiet(&world);
	receive_all(&world);
	run_until_quiet(&world);
	check(!world.client[0]->catches_up, "catches up");
	check_latencies(&world, 0);
	clients_push(&world, 1);
	client_send(world.client[0]);
	run_until_quiet(&world);
	receive_all(&world);
	run_until_quiet(&world);
	check_latencies(&world, 1);
	clients_end(&world);
	point("the age of history is no latency");
}

static void test_copy_states(void)
{
	struct world world;

	clients_begin(&world, BLOCKS);
	clients_join(&world);
	clients_join(&world);
	check(!world.copy_state_changes, "%u changes before a send", world.copy_state_changes);
	clients_fill(&world);
	send_to_all(&world);
	check(world.state_count[ZEROCOPY_COPIED] == CLIENTS, "%u clients are copied",
	      world.state_count[ZEROCOPY_COPIED]);
	check(world.copy_state_changes == CLIENTS, "%u changes", world.copy_state_changes);
	point("each client reports once that the kernel copies");
	clients_end(&world);
	point("clients that leave report an unknown state");
}

/* With two blocks a client that is in the first one loses nothing when it skips. */
static void test_client_copied_rest(bool finishing)
{
	const struct client *client;
	struct client_report report;
	struct world world;
	struct window_gap lost;

	clients_begin(&world, BLOCKS);
	clients_join(&world);
	client = world.client[0];
	clients_push(&world, 2);
	client_send(world.client[0]);
	check(client->cursor.offset && client->cursor.sequence == 0, "at %" PRIu64 ", offset %u",
	      client->cursor.sequence, client->cursor.offset);
	if (finishing)
		client_finish(world.client[0]);
	check(window_skip(world.window, &world.client[0]->cursor, false, &lost) && !lost.blocks &&
		      !lost.bytes,
	      "dropped %" PRIu64, lost.bytes);
	client_report(client, clock_monotonic_ns(), &report);
	check(report.sequence == 0 && report.lag_bytes == 2 * BLOCK_SIZE - client->stats.sent_bytes,
	      "sequence %" PRIu64 ", lag %" PRIu64, report.sequence, report.lag_bytes);
	check(!client_owes_nothing(client), "owes nothing");
	limit_pinned(&world, BLOCKS);
	while (window_copied_bytes(&client->cursor) && client_is_active(client)) {
		uint64_t zerocopy_sends = client->zerocopy.stats.zerocopy_sends;

		client_send(world.client[0]);
		check(client->zerocopy.stats.zerocopy_sends == zerocopy_sends ||
			      !window_copied_bytes(&client->cursor),
		      "a send pins the copy");
	}
	clients_end(&world);
	point("a client that %s sends the copied rest of its block first",
	      finishing ? "finishes" : "skips");
}

static void test_kicked_with_copy(void)
{
	struct world world;
	struct window_gap lost;

	clients_begin(&world, BLOCKS);
	world.kicked = true;
	clients_join(&world);
	clients_push(&world, 4);
	client_send(world.client[0]);
	check(window_skip(world.window, &world.client[0]->cursor, false, &lost), "no memory");
	check(window_copied_bytes(&world.client[0]->cursor), "nothing copied");
	client_kick(world.client[0], LEAVE_BY_OPERATOR, NULL);
	check(!window_copied_bytes(&world.client[0]->cursor), "still there");
	clients_end(&world);
	point("a copied rest is freed when its client is kicked");
}

/* ---- what peers send, for the source ---- */

static struct {
	struct stream_input input;
	struct input_stats stats;
	char written[256];
	size_t bytes;
} to_source;

static ssize_t clients_write_source(void *argument, const void *bytes, size_t length)
{
	check(argument == &to_source && to_source.bytes + length <= sizeof(to_source.written),
	      "%zu bytes", length);
	memcpy(to_source.written + to_source.bytes, bytes, length);
	to_source.bytes += length;
	return (ssize_t)length;
}

/* Two clients whose commands have 5 bytes. The source is away. */
static void forwarding_begin(struct world *world)
{
	static const struct stream_input_callbacks input_callbacks = {
		.write = clients_write_source,
		.read = client_read_input,
	};

	memset(&to_source, 0, sizeof(to_source));
	clients_begin(world, BLOCKS);
	if (!stream_input_init(&to_source.input, world->base, &input_callbacks, &to_source,
			       &to_source.stats))
		errx(1, "no memory");
	world->group.input = &to_source.input;
	world->settings.client.input = CLIENT_INPUT_SOURCE;
	world->settings.client.input_size = 5;
	clients_join(world);
	clients_join(world);
}

static void forwarding_end(struct world *world)
{
	world->kicked = true;
	/* The queue refers to the event loop. */
	for (uint32_t i = 0; i < world->clients; i++)
		client_kick(world->client[i], LEAVE_BY_OPERATOR, NULL);
	stream_input_free(&to_source.input);
	clients_end(world);
}

static void peer_sends(struct world *world, uint32_t i, const char *text, int flags)
{
	if (send(world->peer[i], text, strlen(text), flags) != (ssize_t)strlen(text))
		err(1, "send");
	run_until_quiet(world);
}

static void check_written(const char *text)
{
	check(to_source.bytes == strlen(text) && !memcmp(to_source.written, text, to_source.bytes),
	      "\"%.*s\", expected \"%s\"", (int)to_source.bytes, to_source.written, text);
}

static void test_forwarding(void)
{
	struct world world;

	forwarding_begin(&world);
	peer_sends(&world, 0, "abcdeABC", 0);
	peer_sends(&world, 1, "12345", 0);
	check_written("");
	check(!world.client[0]->stats.received_bytes, "read while the source is away");
	stream_input_writable(&to_source.input);
	run_until_quiet(&world);
	check_written("abcde12345");
	peer_sends(&world, 1, "678", 0);
	peer_sends(&world, 0, "DE", 0);
	peer_sends(&world, 1, "90", MSG_OOB);
	check_written("abcde12345ABCDE67890");
	check(world.client[0]->stats.received_bytes == 10, "%" PRIu64 " bytes",
	      world.client[0]->stats.received_bytes);
	check(to_source.stats.forwarded_bytes == 20 && !to_source.stats.discarded_bytes,
	      "%" PRIu64 " forwarded, %" PRIu64 " discarded", to_source.stats.forwarded_bytes,
	      to_source.stats.discarded_bytes);
	point("commands reach the source whole, in the order in which they became so");

	peer_sends(&world, 0, "xyz", 0);
	shutdown(world.peer[0], SHUT_WR);
	run_until_quiet(&world);
	check(world.half_closed == 1 && world.client[0]->state == CLIENT_STREAMING,
	      "%u half-closed", world.half_closed);
	check_written("abcde12345ABCDE67890");
	forwarding_end(&world);
	check(to_source.stats.discarded_bytes == 3, "%" PRIu64 " discarded",
	      to_source.stats.discarded_bytes);
	point("a part of a command at the end is discarded");
}

static void test_unread_end(void)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct world world;

	forwarding_begin(&world);
	peer_sends(&world, 0, "abcde", 0);
	shutdown(world.peer[0], SHUT_WR);
	run_until_quiet(&world);
	check(world.half_closed == 1, "%u half-closed", world.half_closed);
	check(world.client[0]->state == CLIENT_STREAMING, "it left");
	peer_sends(&world, 1, "12345", 0);
	setsockopt(world.peer[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(world.peer[1]);
	world.peer[1] = dup(world.peer[0]);
	run_until_quiet(&world);
	check(world.gone == 1 && world.client[1]->leave == LEAVE_RESET_BY_PEER, "%u left",
	      world.gone);
	check(to_source.stats.discarded_bytes == 5 && !to_source.stats.forwarded_bytes,
	      "%" PRIu64 " forwarded, %" PRIu64 " discarded", to_source.stats.forwarded_bytes,
	      to_source.stats.discarded_bytes);
	stream_input_writable(&to_source.input);
	run_until_quiet(&world);
	check_written("abcde");
	check(world.half_closed == 1, "%u half-closed", world.half_closed);
	forwarding_end(&world);
	point("the end and a reset of a connection are noticed while bytes are unread");

	forwarding_begin(&world);
	world.settings.client.half_close = HALF_CLOSE_END;
	peer_sends(&world, 0, "abcdefgh", 0);
	shutdown(world.peer[0], SHUT_WR);
	run_until_quiet(&world);
	check(world.gone == 1 && world.client[0]->leave == LEAVE_HALF_CLOSED, "%u left",
	      world.gone);
	check(to_source.stats.discarded_bytes == 8, "%" PRIu64 " discarded",
	      to_source.stats.discarded_bytes);
	peer_sends(&world, 1, "12345", 0);
	client_finish(world.client[1]);
	run_until_quiet(&world);
	check(to_source.stats.discarded_bytes == 13, "%" PRIu64 " discarded",
	      to_source.stats.discarded_bytes);
	stream_input_writable(&to_source.input);
	run_until_quiet(&world);
	check_written("");
	forwarding_end(&world);
	point("what a client that ends has not been read of is discarded and counted");
}

int main(void)
{
	test_forwarding();
	test_unread_end();
	test_full_socket();
	test_pin_limit();
	test_pins_of_a_send();
	test_kicked();
	test_unacknowledged();
	test_latency_of_history();
	test_copy_states();
	test_client_copied_rest(false);
	test_client_copied_rest(true);
	test_kicked_with_copy();
	return tap_end();
}
