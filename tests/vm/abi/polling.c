// SPDX-License-Identifier: BSD-2-Clause
/* poll(), select(), epoll. */
#include "channel.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (16 * KIB)
#define BLOCK_COUNT 8U

static short events_of(const struct channel *channel, int timeout)
{
	struct pollfd wanted = { .fd = channel->fd, .events = ~0 };
	int count = poll(&wanted, 1, timeout);

	check(count == (wanted.revents != 0), "poll gave %d, events %x", count, wanted.revents);
	return wanted.revents;
}

static bool readable(const struct channel *channel)
{
	struct timeval none = { 0 };
	fd_set read_set, write_set, except_set;

	FD_ZERO(&read_set);
	FD_SET(channel->fd, &read_set);
	write_set = except_set = read_set;
	select(channel->fd + 1, &read_set, &write_set, &except_set, &none);
	check(!FD_ISSET(channel->fd, &write_set), "select says that it is writable");
	return FD_ISSET(channel->fd, &read_set);
}

/* check_ended() - read() returns at once, and poll() says so. */
static void check_ended(const struct channel *channel, const char *after)
{
	struct dmacast_block block;

	refused(read(channel->fd, &block, sizeof(block)), ENODATA);
	check(events_of(channel, 0) == (POLLIN | POLLRDNORM), "events %x after %s",
	      events_of(channel, 0), after);
	check(readable(channel), "not readable after %s", after);
}

static void test_poll(void)
{
	struct channel channel = channel_open();
	struct dmacast_block blocks[BLOCK_COUNT];

	/* Not running: read() returns at once, with ENODATA. */
	check_ended(&channel, "a new one");
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	check_ended(&channel, "SETUP");
	channel_map(&channel);
	check_ended(&channel, "mmap()");
	point("POLLIN before START");

	sim("rate", "1");
	channel_start(&channel);
	check(!events_of(&channel, 100), "events %x, and none is ready", events_of(&channel, 0));
	check(!readable(&channel), "readable, and none is ready");
	sim("rate", "0");
	check((events_of(&channel, 20000) & (POLLIN | POLLRDNORM)) == (POLLIN | POLLRDNORM),
	      "events %x, and one is ready", events_of(&channel, 0));
	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	for (unsigned int i = 0; i < BLOCK_COUNT; i++) {
		check(events_of(&channel, 0) == (POLLIN | POLLRDNORM), "events %x, %u were read",
		      events_of(&channel, 0), i);
		check(readable(&channel), "not readable, %u were read", i);
		read_one(&channel);
	}
	check(!events_of(&channel, 100), "events %x, and all are lent", events_of(&channel, 0));
	check(!readable(&channel), "readable, and all are lent");
	point("POLLIN when a block is ready, and not else while it runs");

	recycle(&channel, 0);
	check(events_of(&channel, 20000) == (POLLIN | POLLRDNORM), "events %x after write()",
	      events_of(&channel, 0));
	channel_stop(&channel);
	check(events_of(&channel, 0) == (POLLIN | POLLRDNORM), "events %x after STOP",
	      events_of(&channel, 0));
	channel_read(&channel, blocks, 1, 10);
	check_ended(&channel, "STOP and the last block");
	channel_close(&channel);
	point("after write() and STOP");
}

static int epoll_of(const struct channel *channel, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	need(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, channel->fd, &event), "epoll: %m");
	return epoll;
}

static int epoll_events(int epoll, int timeout)
{
	struct epoll_event event = { 0 };

	return epoll_wait(epoll, &event, 1, timeout) == 1 ? (int)event.events : 0;
}

static void test_epoll(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	int level = epoll_of(&channel, EPOLLIN | EPOLLOUT);
	struct dmacast_block block;
	int edge;

	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	for (unsigned int i = 0; i < 3; i++)
		check(epoll_events(level, 0) == EPOLLIN, "the event is gone after %u", i);
	for (unsigned int i = 0; i < BLOCK_COUNT; i++)
		block = read_one(&channel);
	check(!epoll_events(level, 0), "an event without a ready block");
	recycle(&channel, block.index);
	check(epoll_events(level, 20000) == EPOLLIN, "no event");
	point("level-triggered");

	read_one(&channel);
	edge = epoll_of(&channel, EPOLLIN | EPOLLET);
	check(!epoll_events(edge, 100), "an event without a ready block");
	recycle(&channel, block.index);
	check(epoll_events(edge, 20000) == EPOLLIN, "no event");
	check(!epoll_events(edge, 200), "the event again");
	block = read_one(&channel);
	check(!epoll_events(edge, 100), "an event by read()");
	recycle(&channel, block.index);
	check(epoll_events(edge, 20000) == EPOLLIN, "no event for the next block");
	close(edge);
	close(level);
	channel_close(&channel);
	point("edge-triggered");
}

/* One block every 160 ms: each wakes poll(), and only then. */
static void test_wakes(void)
{
	struct channel channel;
	struct dmacast_block block;
	uint64_t start, waited;

	sim("rate", "%u", 100000);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	for (unsigned int i = 0; i < 8; i++) {
		start = clock_ns(CLOCK_MONOTONIC);
		check(events_of(&channel, 20000) == (POLLIN | POLLRDNORM), "no event");
		waited = clock_ns(CLOCK_MONOTONIC) - start;
		check(waited < 5 * NS_PER_S, "it took %.1f ms", waited / 1e6);
		check(read(channel.fd, &block, sizeof(block)) == sizeof(block), "read: %m");
		recycle(&channel, block.index);
	}
	channel_close(&channel);
	sim("rate", "0");
	point("every block wakes poll()");
}

static void *stop_in_thread(void *argument)
{
	sleep_ms(200);
	channel_stop(argument);
	return NULL;
}

/* STOP ends the wait for a block, because none will come. */
static void test_polling_stop_wakes(void)
{
	struct channel channel = channel_open();
	struct dmacast_block block;
	pthread_t thread;

	sim("rate", "1");
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	for (unsigned int i = 0; i < 2; i++) {
		int edge;

		channel_start(&channel);
		edge = epoll_of(&channel, EPOLLIN | EPOLLET);
		check(!epoll_events(edge, 0), "an event without a ready block");
		need(!pthread_create(&thread, NULL, stop_in_thread, &channel), "no thread");
		if (i)
			check(epoll_events(edge, 10000) == EPOLLIN, "no event by STOP");
		else
			check(events_of(&channel, 10000) == (POLLIN | POLLRDNORM),
			      "no event by STOP");
		pthread_join(thread, NULL);
		refused(read(channel.fd, &block, sizeof(block)), ENODATA);
		close(edge);
	}
	channel_close(&channel);
	sim("rate", "0");
	point("STOP wakes poll() and edge-triggered epoll_wait()");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_poll();
	test_polling_stop_wakes();
	test_epoll();
	test_wakes();
	return tap_end();
}
