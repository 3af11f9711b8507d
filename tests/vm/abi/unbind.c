// SPDX-License-Identifier: BSD-2-Clause
/* The device goes away, in every state of its owner, and comes back. */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (20 * KIB)
#define BLOCK_COUNT 8U

/* Every call but close() and munmap() has but one answer now. */
static void check_gone(const struct channel *channel)
{
	struct dmacast_info info;
	struct dmacast_stats stats;
	struct dmacast_block block;
	struct pollfd wanted = { .fd = channel->fd, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	refused(ioctl(channel->fd, DMACAST_IOC_INFO, &info), ENODEV);
	refused(ioctl(channel->fd, DMACAST_IOC_STATS, &stats), ENODEV);
	refused(try_setup(channel, BLOCK_SIZE, BLOCK_COUNT, 0), ENODEV);
	refused(try_setup(channel, 0, 0, 0), ENODEV);
	refused(ioctl(channel->fd, DMACAST_IOC_START), ENODEV);
	refused(ioctl(channel->fd, DMACAST_IOC_STOP), ENODEV);
	refused(read(channel->fd, &block, sizeof(block)), ENODEV);
	refused(try_recycle(channel, 0), ENODEV);
	check(mmap(NULL, channel->map_size ?: page_size, PROT_READ, MAP_SHARED, channel->fd, 0) ==
			      MAP_FAILED &&
		      errno == ENODEV,
	      "mmap: %m");
	check(poll(&wanted, 1, 0) == 1 &&
		      (wanted.revents & (POLLHUP | POLLERR)) == (POLLHUP | POLLERR),
	      "poll says %x", wanted.revents);
	need(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, channel->fd, &event), "epoll: %m");
	check(epoll_wait(epoll, &event, 1, 0) == 1 &&
		      (event.events & (EPOLLHUP | EPOLLERR)) == (EPOLLHUP | EPOLLERR),
	      "epoll says %x", event.events);
	close(epoll);
}

static void check_no_node(void)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 5 * NS_PER_S;

	while (!access(device, F_OK) && clock_ns(CLOCK_MONOTONIC) < end)
		sleep_ms(5);
	check(access(device, F_OK) == -1 && errno == ENOENT, "%s is still there", device);
	check(sysfs_value("running") == UINT64_MAX, "sysfs still has it");
}

/* The device that is there again works, whatever its predecessor was doing. */
static void unbind_check_works(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);

	read_blocks(&channel, 3 * BLOCK_COUNT);
	channel_stop(&channel);
	channel_close(&channel);
}

static void test_states(void)
{
	struct channel channel;
	struct dmacast_block blocks[BLOCK_COUNT];
	uint64_t sum;

	unbind();
	check_no_node();
	bind_again();
	unbind_check_works();
	point("closed");

	channel = channel_open();
	need(!try_setup(&channel, 0, 0, 0), "SETUP: %m");
	unbind();
	check_no_node();
	check_gone(&channel);
	bind_again();
	unbind_check_works();
	check_gone(&channel);
	channel_close(&channel);
	unbind_check_works();
	point("open, without a ring");

	channel = channel_open();
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	unbind();
	check_gone(&channel);
	channel_close(&channel);
	bind_again();
	unbind_check_works();
	point("with a ring");

	channel = channel_open();
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_map(&channel);
	unbind();
	check_gone(&channel);
	for (uint64_t at = 0; at < channel.map_size; at += page_size)
		check(!touch(channel.map + at), "page %" PRIu64 " is gone", at / page_size);
	need(!madvise((void *)(uintptr_t)channel.map, channel.map_size, MADV_DONTNEED),
	     "madvise: %m");
	for (uint64_t at = 0; at < channel.map_size; at += page_size)
		check(!touch(channel.map + at), "page %" PRIu64 " is gone", at / page_size);
	bind_again();
	unbind_check_works();
	check(!touch(channel.map), "gone when the device came back");
	channel_close(&channel);
	point("mapped");

	channel = channel_open();
	channel_setup(&channel, BLOCK_SIZE, BLOCK_COUNT, 0);
	channel_map(&channel);
	channel_start(&channel);
	need(channel_read(&channel, blocks, 3, 20) == 3, "no blocks");
	sum = hash(content(&channel, &blocks[0]), BLOCK_SIZE);
	unbind();
	check_gone(&channel);
	for (unsigned int i = 0; i < 3; i++)
		check_content(&channel, &blocks[i]);
	bind_again();
	unbind_check_works();
	for (unsigned int i = 0; i < 3; i++)
		check_content(&channel, &blocks[i]);
	check(hash(content(&channel, &blocks[0]), BLOCK_SIZE) == sum, "other content");
	need(!close(channel.fd), "close: %m");
	for (unsigned int i = 0; i < 3; i++)
		check_content(&channel, &blocks[i]);
	channel_unmap(&channel);
	point("running, with lent blocks: their content stays");

	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	need(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	channel_stop(&channel);
	unbind();
	check_gone(&channel);
	channel_close(&channel);
	bind_again();
	unbind_check_works();
	point("stopped, with ready blocks");
}

struct waiter {
	int fd;
	pthread_t thread;
	int result, error;
	short events;
};

static void *wait_in_read(void *argument)
{
	struct waiter *waiter = argument;
	struct dmacast_block block;

	do
		waiter->result = read(waiter->fd, &block, sizeof(block));
	while (waiter->result > 0);
	waiter->error = errno;
	return NULL;
}

static void *wait_in_poll(void *argument)
{
	struct waiter *waiter = argument;
	struct pollfd wanted = { .fd = waiter->fd, .events = POLLIN };

	waiter->result = poll(&wanted, 1, 20000);
	waiter->events = wanted.revents;
	return NULL;
}

static void *wait_in_epoll(void *argument)
{
	struct waiter *waiter = argument;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, waiter->fd, &event);
	waiter->result = epoll_wait(epoll, &event, 1, 20000);
	waiter->events = (short)event.events;
	close(epoll);
	return NULL;
}

static void test_waiters(void)
{
	static const struct {
		const char *name;
		void *(*wait)(void *waiter);
	} waiters[] = {
		{ "read()", wait_in_read },
		{ "poll()", wait_in_poll },
		{ "epoll_wait()", wait_in_epoll },
	};

	for (unsigned int i = 0; i < 3; i++) {
		struct channel channel;
		struct waiter waiter;

		sim("rate", "1");
		channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
		waiter = (struct waiter){ .fd = channel.fd };
		need(!pthread_create(&waiter.thread, NULL, waiters[i].wait, &waiter), "no thread");
		sleep_ms(200);
		unbind();
		pthread_join(waiter.thread, NULL);
		if (i == 0)
			check(waiter.result == -1 && waiter.error == ENODEV, "%d, errno %d",
			      waiter.result, waiter.error);
		else
			check(waiter.result == 1 &&
				      (waiter.events & (POLLHUP | POLLERR)) == (POLLHUP | POLLERR),
			      "%d, events %x", waiter.result, waiter.events);
		check_gone(&channel);
		channel_close(&channel);
		bind_again();
		sim("rate", "0");
		unbind_check_works();
		point("while %s waits", waiters[i].name);
	}
}

/* A page of a lent block is in a pipe, as it could be in a socket. */
static void test_pinned(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block block = read_one(&channel);
	static unsigned char copy[BLOCK_SIZE];
	struct iovec part = { (void *)(uintptr_t)content(&channel, &block), BLOCK_SIZE };
	uint64_t sum = hash(content(&channel, &block), BLOCK_SIZE);
	int ends[2];

	need(!pipe(ends), "pipe: %m");
	need(vmsplice(ends[1], &part, 1, 0) == BLOCK_SIZE, "vmsplice: %m");
	unbind();
	channel_close(&channel);
	bind_again();
	unbind_check_works();
	unbind_check_works();
	check(read(ends[0], copy, BLOCK_SIZE) == BLOCK_SIZE, "read: %m");
	check(hash(copy, BLOCK_SIZE) == sum, "other content");
	close(ends[0]);
	close(ends[1]);
	point("pages that something still refers to outlive the device");
}

static atomic_bool loading;
static atomic_uint loads;

/* A user of the device who takes it as it comes. */
static void *unbind_load(void *argument)
{
	(void)argument;
	while (loading) {
		struct dmacast_setup setup = { .block_size = BLOCK_SIZE,
					       .block_count = BLOCK_COUNT };
		struct dmacast_block block;
		struct pollfd wanted = { .fd = open(device, O_RDWR | O_CLOEXEC), .events = POLLIN };
		unsigned char *map;

		if (wanted.fd < 0) {
			sleep_ms(1);
			continue;
		}
		map = MAP_FAILED;
		if (!ioctl(wanted.fd, DMACAST_IOC_SETUP, &setup))
			map = mmap(NULL, setup.map_size, PROT_READ, MAP_SHARED, wanted.fd, 0);
		if (map != MAP_FAILED && !ioctl(wanted.fd, DMACAST_IOC_START))
			while (loading && poll(&wanted, 1, 1000) > 0 &&
			       read(wanted.fd, &block, sizeof(block)) == sizeof(block)) {
				touch(map + block.index * setup.stride);
				loads++;
				if (write(wanted.fd, &block.index, sizeof(block.index)) < 0)
					break;
			}
		if (map != MAP_FAILED)
			munmap(map, setup.map_size);
		close(wanted.fd);
	}
	return NULL;
}

static void test_under_load(void)
{
	unsigned int before;
	pthread_t thread;

	loading = true;
	need(!pthread_create(&thread, NULL, unbind_load, NULL), "no thread");
	for (unsigned int n = 0; n < 20; n++) {
		before = loads;
		for (unsigned int ms = 0; ms < 10000 && loads < before + 20; ms++)
			sleep_ms(1);
		check(loads >= before + 20, "round %u: the device is of no use", n);
		sleep_ms(n % 7);
		unbind();
		if (n % 2)
			sleep_ms(n);
		bind_again();
	}
	loading = false;
	pthread_join(thread, NULL);
	unbind_check_works();
	point("20 times while it is used");
}

static void wait_for_node(void)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 10 * NS_PER_S;

	while (access(device, F_OK) && clock_ns(CLOCK_MONOTONIC) < end)
		sleep_ms(5);
	if (!check(!access(device, F_OK), "%s does not come back by itself", device))
		bind_again();
	sim("rate", "0");
}

static void test_unplug(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	struct dmacast_block blocks[3];
	unsigned int before;
	pthread_t thread;

	need(channel_read(&channel, blocks, 3, 20) == 3, "no blocks");
	sim_unplug(300);
	for (unsigned int n = 0; n < 5000; n++) {
		struct dmacast_info info;

		if (ioctl(channel.fd, DMACAST_IOC_INFO, &info) == -1)
			break;
		sleep_ms(1);
	}
	check_gone(&channel);
	for (unsigned int i = 0; i < 3; i++)
		check_content(&channel, &blocks[i]);
	sleep_ms(300);
	wait_for_node();
	unbind_check_works();
	for (unsigned int i = 0; i < 3; i++)
		check_content(&channel, &blocks[i]);
	channel_close(&channel);
	unbind_check_works();
	point("the engine is unplugged while it runs, and comes back");

	loading = true;
	need(!pthread_create(&thread, NULL, unbind_load, NULL), "no thread");
	for (unsigned int n = 0; n < 8; n++) {
		before = loads;
		for (unsigned int ms = 0; ms < 10000 && loads < before + 20; ms++)
			sleep_ms(1);
		check(loads >= before + 20, "round %u: the device is of no use", n);
		sim_unplug(20 + n * 5);
		sleep_ms(20 + n * 5);
		wait_for_node();
	}
	loading = false;
	pthread_join(thread, NULL);
	unbind_check_works();
	point("again and again under load");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_states();
	test_waiters();
	test_pinned();
	test_under_load();
	test_unplug();
	return tap_end();
}
