// SPDX-License-Identifier: BSD-2-Clause
/*
 * broken - a daemon as it should not be, to see that its clients get right bytes all the same.
 *
 *	broken early|kill|close PORT BYTES [DEVICE]
 *
 * It listens on PORT, takes one client, and sends it the channel's feed with MSG_ZEROCOPY:
 *
 *   early  every block is given back as soon as sendmsg() has returned: BYTES in all, then an orderly end
 *   kill   no block is given back; after BYTES at the latest, or when the client does not take any more
 *          for a second, the process that sends is killed by kill -9
 *   close  the same, but it closes the socket and the device
 *
 * After "kill" and "close" the channel is opened and set up again in the same way, and runs, read by
 * somebody who gives everything back at once, for ten seconds: that is when bytes that are still in
 * the socket's queue would be overwritten.
 *
 * BYTES is a multiple of the block size; nothing is lost on the way, so the client sees one unbroken
 * piece of the pattern. The standard output is TAP.
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>

#define BLOCK_SIZE (128 * KIB)
/* More than QEMU and the machine outside take for a client that does not read. */
#define BLOCK_COUNT 128U
#define REUSE_NS (10 * NS_PER_S)

static uint64_t completions, copied;

/* Read what the kernel tells of sends, so that its memory for that does not run out. */
static void broken_read_completions(int client)
{
	char control[256];

	for (;;) {
		struct msghdr message = { .msg_control = control,
					  .msg_controllen = sizeof(control) };

		if (recvmsg(client, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			struct sock_extended_err error;

			memcpy(&error, CMSG_DATA(c), sizeof(error));
			if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
				continue;
			completions += error.ee_data - error.ee_info + 1;
			if (error.ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
				copied += error.ee_data - error.ee_info + 1;
		}
	}
}

/*
 * send_block() - all of it, but for what the client does not take within @patience ms.
 * Return: the bytes that were sent.
 */
static size_t send_block(int client, const unsigned char *data, size_t length, int patience)
{
	size_t sent = 0;

	while (sent < length) {
		struct pollfd wanted = { .fd = client, .events = POLLOUT };
		ssize_t n = send(client, data + sent, length - sent,
				 MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);

		broken_read_completions(client);
		if (n > 0) {
			sent += n;
			continue;
		}
		need(errno == EAGAIN || errno == ENOBUFS, "send: %m");
		/* A completion is an event, too: it is no sign that anything can be sent. */
		if (errno == ENOBUFS)
			sleep_ms(1);
		else if (poll(&wanted, 1, patience) == 0)
			break;
	}
	return sent;
}

static void early(int client, uint64_t bytes)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	uint64_t sent = 0;
	struct dmacast_stats stats;

	while (sent < bytes) {
		struct dmacast_block block = read_one(&channel);

		sent += send_block(client, content(&channel, &block), block.length, 60000);
		need(sent % BLOCK_SIZE == 0, "the client takes nothing any more");
		recycle(&channel, block.index);
	}
	check(sent == bytes, "%" PRIu64 " bytes", sent);
	/* An orderly end: all is acknowledged. */
	shutdown(client, SHUT_WR);
	while (read(client, (char[64]){ 0 }, 64) > 0)
		;
	close(client);
	stats = channel_stats(&channel);
	printf("# %llu quarantined, %llu replaced, %" PRIu64 " completions, %" PRIu64 " copied\n",
	       stats.quarantined, stats.replaced, completions, copied);
	check(stats.quarantined > 0, "no block came back too early");
	check(copied == 0, "%" PRIu64 " of %" PRIu64 " sends were copied: this proves nothing",
	      copied, completions);
	point("blocks given back too early");
	check(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "the ring has shrunk");
	channel_close(&channel);
	point("the ring is whole again");
}

/* Send and keep. Return: the bytes that were sent. */
static uint64_t send_and_keep(int client, const struct channel *channel, uint64_t bytes)
{
	uint64_t sent = 0;

	for (unsigned int n = 0; n < BLOCK_COUNT && sent < bytes; n++) {
		struct dmacast_block block = read_one(channel);
		size_t part = send_block(client, content(channel, &block), block.length, 1000);

		sent += part;
		if (part < block.length)
			break;
	}
	return sent;
}

/* The next owner of the channel. */
static void reuse(void)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + REUSE_NS;
	struct dmacast_stats stats;
	struct dmacast_block block;

	while (clock_ns(CLOCK_MONOTONIC) < end) {
		block = read_one(&channel);
		check_content(&channel, &block);
		recycle(&channel, block.index);
	}
	stats = channel_stats(&channel);
	printf("# %llu quarantined, %llu replaced, %llu blocks since\n", stats.quarantined,
	       stats.replaced, stats.completed);
	check(stats.completed > 2 * BLOCK_COUNT, "only %llu blocks", stats.completed);
	/* They may wait since before SETUP, which sets the counters to 0. */
	check(stats.replaced > 0, "no block got fresh pages: was anything in the socket?");
	point("blocks that are still in a socket wait, then get fresh pages");
	check(wait_for(&channel, blocks_ready, BLOCK_COUNT, 20), "the ring has shrunk");
	channel_close(&channel);
	point("the ring is whole again");
}

static void killed(int client, uint64_t bytes)
{
	int status, tell[2];
	uint64_t sent = 0;
	pid_t child;

	need(!pipe(tell), "pipe: %m");
	child = fork();
	need(child >= 0, "fork: %m");
	if (!child) {
		struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);

		sent = send_and_keep(client, &channel, bytes);
		need(write(tell[1], &sent, sizeof(sent)) == sizeof(sent), "write: %m");
		pause();
		_exit(0);
	}
	close(client);
	close(tell[1]);
	check(read(tell[0], &sent, sizeof(sent)) == sizeof(sent) && sent > 0, "nothing was sent");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended by itself");
	point("kill -9 after %" PRIu64 " bytes", sent);
	reuse();
}

static void closed(int client, uint64_t bytes)
{
	struct channel channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, DMACAST_SETUP_STALL);
	uint64_t sent = send_and_keep(client, &channel, bytes);

	check(sent > 0, "nothing was sent");
	close(client);
	channel_close(&channel);
	point("close() after %" PRIu64 " bytes", sent);
	reuse();
}

int main(int argc, char **argv)
{
	uint64_t bytes;
	int client;

	if (argc < 4) {
		fprintf(stderr, "usage: broken early|kill|close PORT BYTES [DEVICE]\n");
		return 2;
	}
	begin(argc - 3, argv + 3);
	bytes = strtoull(argv[3], NULL, 10);
	client = accept_client(atoi(argv[2]));
	if (!strcmp(argv[1], "early"))
		early(client, bytes);
	else if (!strcmp(argv[1], "kill"))
		killed(client, bytes);
	else
		closed(client, bytes);
	return tap_end();
}
