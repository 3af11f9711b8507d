// SPDX-License-Identifier: BSD-2-Clause
/*
 * Clients in an event loop, over loopback: when they call sendmsg(), and what they pin. Everything that
 * they send with MSG_ZEROCOPY is soon complete there, for the kernel copies it; what is in the socket
 * of a peer that does not read is not.
 */
#include "config/option.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "ring/ring_memory.h"
#include "stream/client.h"

#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <event2/event.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_SIZE 65536U
#define BLOCKS 64U
#define CLIENTS 2U
#define TURN (16 << 10)
#define SMALL_BUFFER (128 << 10)
#define PATIENCE_NS 20000000000ULL
/* So long nothing new happens, if nothing more is to come. */
#define QUIET_NS 200000000ULL

static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };

/* So often it was called. */
static unsigned int sends;

/* So often was asked what a socket is ready for. */
static unsigned int polls;

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
	struct zerocopy_verdicts verdicts;
	struct ring *ring;
	struct window *window;
	struct client_owner owner;
	uint32_t may_be_pinned; /* blocks */
	struct client *client[CLIENTS];
	int peer[CLIENTS];
	uint64_t received[CLIENTS];
	uint32_t clients, gone;
	bool kicked; /* nobody gets all of it */
};

static uint32_t pin_allowance(void *argument)
{
	const struct world *world = argument;
	uint32_t pinned = ring_pinned_blocks(world->ring);

	check(pinned <= world->may_be_pinned, "%u blocks are pinned, of %u", pinned,
	      world->may_be_pinned);
	return pinned < world->may_be_pinned ? world->may_be_pinned - pinned : 0;
}

static void have_turn(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	client_send(argument);
}

static void again(void *argument, struct client *client)
{
	const struct timeval soon = { .tv_usec = 1 };
	struct world *world = argument;

	event_base_once(world->base, -1, EV_TIMEOUT, have_turn, client, &soon);
}

static void gone(void *argument, struct client *client)
{
	struct world *world = argument;

	(void)client;
	world->gone++;
}

static void world_begin(struct world *world, uint32_t may_be_pinned)
{
	memset(world, 0, sizeof(*world));
	option_set_presets(OPTION_STREAM, &world->settings);
	world->settings.name = stream_name_text;
	world->settings.zerocopy = ZEROCOPY_ALWAYS;
	world->settings.block_size = BLOCK_SIZE;
	world->settings.ring_size = (uint64_t)BLOCKS * BLOCK_SIZE;
	world->settings.send_buffer = LOOPBACK_SEND_BUFFER;
	world->may_be_pinned = may_be_pinned;
	world->owner = (struct client_owner){
		.argument = world,
		.turn_bytes = TURN,
		.uncopied_turn_bytes = TURN,
		.latency = &world->latency,
		.verdicts = &world->verdicts,
		.pin_allowance = pin_allowance,
		.again = again,
		.gone = gone,
	};
	world->base = event_base_new();
	world->ring = ring_memory_create("test", BLOCK_SIZE, BLOCKS, HUGE_PAGES_NEVER);
	world->window = window_create(BLOCKS);
	if (!world->base || !world->ring || !world->window)
		errx(1, "no ring");
}

static void join(struct world *world)
{
	const struct sockaddr_in nobody = { .sin_family = AF_INET };
	uint32_t i = world->clients++;
	int sender;

	if (!connect_pair(&ipv4, SMALL_BUFFER, &sender, &world->peer[i]))
		errx(1, "no connection");
	world->client[i] =
		client_create(world->base, sender, (const struct sockaddr *)&nobody, sizeof(nobody),
			      &world->settings, world->window, &world->owner);
	if (!world->client[i])
		errx(1, "no client");
}

/* Fill the ring; who is to have the first of it is up to the caller. */
static void fill(struct world *world)
{
	struct block *block;

	while ((block = ring_take(world->ring))) {
		block->monotonic_ns = clock_monotonic_ns();
		block->length = BLOCK_SIZE;
		pattern_fill(block->data, block->length, window_bytes(world->window));
		window_push(world->window, block);
	}
}

/* Until nothing happens any more. */
static void run_until_quiet(struct world *world)
{
	uint64_t quiet_since = clock_monotonic_ns(), give_up = quiet_since + PATIENCE_NS;
	unsigned int before = sends;

	while (clock_monotonic_ns() - quiet_since < QUIET_NS &&
	       check(clock_monotonic_ns() < give_up, "no end")) {
		event_base_loop(world->base, EVLOOP_NONBLOCK);
		if (sends != before)
			quiet_since = clock_monotonic_ns();
		before = sends;
		usleep(1000);
	}
}

/* Until every client has ended. */
static void run_until_gone(struct world *world)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while (world->gone < world->clients &&
	       check(clock_monotonic_ns() < give_up, "%u of %u clients ended", world->gone,
		     world->clients)) {
		for (uint32_t i = 0; i < world->clients; i++)
			receive_pattern(world->peer[i], &world->received[i]);
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
}

/* Everything arrives at everyone, and the end of the connection, too. */
static void world_end(struct world *world)
{
	for (uint32_t i = 0; i < world->clients; i++)
		client_finish(world->client[i]);
	run_until_gone(world);
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
	option_free_values(OPTION_STREAM, &world->settings);
}

/* More room in the socket than at first. The kernel tells the client of it. */
static void make_room(struct world *world, uint32_t i)
{
	const int send_buffer = LOOPBACK_SEND_BUFFER;

	if (setsockopt(world->client[i]->zerocopy.fd, SOL_SOCKET, SO_SNDBUF, &send_buffer,
		       sizeof(send_buffer)))
		err(1, "SO_SNDBUF");
	run_until_quiet(world);
}

static void test_full(void)
{
	const struct zerocopy *zerocopy;
	struct world world;
	unsigned int before;

	world_begin(&world, BLOCKS);
	world.settings.send_buffer = LOOPBACK_SEND_BUFFER / 8;
	join(&world);
	zerocopy = &world.client[0]->zerocopy;
	fill(&world);
	client_send(world.client[0]);
	run_until_quiet(&world);
	check(zerocopy_is_blocked(zerocopy), "the socket is not full");
	check(zerocopy_outstanding(zerocopy), "nothing is outstanding");
	/* As libevent tells of EPOLLERR, and that of a completion. */
	before = sends;
	event_active(&world.client[0]->event, EV_READ | EV_WRITE, 0);
	run_until_quiet(&world);
	check(sends == before, "%u sends", sends - before);
	check(zerocopy_is_blocked(zerocopy), "the socket has room");
	check(polls, "nothing was asked");
	point("a completion does not make a client try whose socket is full");
	before = sends;
	polls = 0;
	make_room(&world, 0);
	check(sends > before && !polls, "%u sends, %u questions", sends - before, polls);
	point("where there is nothing but room, nothing is asked");
	world_end(&world);
	point("and it goes on when there is room");
}

/* Send until no socket takes any more. */
static void send_to_all(struct world *world)
{
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_send(world->client[i]);
	run_until_quiet(world);
}

/* What is sent after the peers' windows are closed is outstanding for as long as nobody reads. */
static void test_pins(void)
{
	const uint32_t limit = 2;
	const struct zerocopy *zerocopy;
	struct world world;

	world_begin(&world, 0);
	world.settings.send_buffer = LOOPBACK_SEND_BUFFER / 8;
	join(&world);
	join(&world);
	fill(&world);
	send_to_all(&world);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		zerocopy = &world.client[i]->zerocopy;
		check(zerocopy_is_blocked(zerocopy), "client %u could send more", i);
		check(!zerocopy->stats.zerocopy_sends, "client %u sends by zero-copy", i);
		check(zerocopy->stats.copied_sends, "client %u sends nothing", i);
	}
	point("where nothing may be pinned, everything is copied");

	world.may_be_pinned = limit;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		uint64_t copied;

		zerocopy = &world.client[i]->zerocopy;
		copied = zerocopy->stats.copied_sends;
		make_room(&world, i);
		check(zerocopy_outstanding(zerocopy), "client %u has nothing outstanding", i);
		check(zerocopy->stats.copied_sends > copied, "client %u was sent no copy", i);
		check(ring_pinned_blocks(world.ring) == limit, "%u blocks are pinned",
		      ring_pinned_blocks(world.ring));
		point(i ? "what is pinned already, others may pin, too"
			: "no more than may be is pinned, and the rest is copied");
	}
	world_end(&world);
	point("and everything arrives at both");
}

/* Two clients do not read; what their sockets hold is outstanding. */
static void test_kicked(void)
{
	struct world world;

	world_begin(&world, BLOCKS);
	world.kicked = true;
	join(&world);
	join(&world);
	fill(&world);
	send_to_all(&world);
	for (uint32_t i = 0; i < CLIENTS; i++)
		check(zerocopy_outstanding(&world.client[i]->zerocopy),
		      "client %u has nothing outstanding", i);
	for (uint32_t i = 0; i < CLIENTS; i++)
		client_kick(world.client[i], LEAVE_BY_OPERATOR, NULL);
	run_until_gone(&world);
	check(!ring_pinned_blocks(world.ring), "%u blocks are pinned",
	      ring_pinned_blocks(world.ring));
	world_end(&world);
	point("kicked clients end when no send is outstanding");
}

int main(void)
{
	test_full();
	test_pins();
	test_kicked();
	return tap_end();
}
