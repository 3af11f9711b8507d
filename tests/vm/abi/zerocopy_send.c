// SPDX-License-Identifier: BSD-2-Clause
/*
 * zerocopy_send - is a mapping fit for MSG_ZEROCOPY, and are its pages free when the kernel says so?
 *
 *	zerocopy_send PORT DEVICE BLOCK_SIZE BYTES CHUNK [contiguous]
 *	zerocopy_send PORT DEVICE
 *
 * It listens on PORT, takes one client, and sends it BYTES of the ring's feed in calls of at most CHUNK
 * bytes: all of them must complete, none copied; then every block is given back, and none of them may
 * wait for its pages for long. vmxnet3 copies frames of up to 128 bytes into its descriptors, headers and
 * data, and the kernel then says "copied" for all of that send: there each one must have such a frame; the
 * kernel counts them if it was booted with trace_event=net:net_dev_start_xmit. Without a size, DEVICE is a
 * mapping that the kernel must refuse to send from with EFAULT. The standard output is TAP.
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>

#define BLOCK_COUNT 8U
#define PFNMAP_SIZE 65536U

#define TRACING "/sys/kernel/tracing/"
#define EVENT TRACING "events/net/net_dev_start_xmit/"

static int client;
static uint64_t sends, completions, copied, copied_notices;

/*
 * Does the driver make a copy of small frames? Then look at these from now on. The event is on since boot: to
 * switch it changes the kernel's code on all processors, for which a process was once seen to wait for ever.
 */
static bool watch_small_frames(void)
{
	char driver[256] = "";

	if (readlink("/sys/class/net/eth0/device/driver", driver, sizeof(driver) - 1) < 0 ||
	    strcmp(strrchr(driver, '/'), "/vmxnet3"))
		return false;
	need(number_from(EVENT "enable") == 1, "no trace_event=net:net_dev_start_xmit at boot");
	need(write_file(EVENT "filter", "len <= 128 && data_len > 0"), "filter: %m");
	need(write_file(TRACING "trace", ""), "trace: %m");
	return true;
}

static uint64_t count_small_frames(void)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[1024];
	uint64_t count = 0;

	need(trace, "trace: %m");
	while (fgets(line, sizeof(line), trace))
		count += strstr(line, "net_dev_start_xmit:") != NULL;
	fclose(trace);
	return count;
}

static void sender_read_completions(void)
{
	char control[256];

	for (;;) {
		struct msghdr message = { .msg_control = control,
					  .msg_controllen = sizeof(control) };

		if (recvmsg(client, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
			check(errno == EAGAIN, "error queue: %m");
			return;
		}
		check(!(message.msg_flags & MSG_CTRUNC), "a notification is cut");
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			struct sock_extended_err error;
			uint32_t count;

			memcpy(&error, CMSG_DATA(c), sizeof(error));
			if (!check(error.ee_origin == SO_EE_ORIGIN_ZEROCOPY && !error.ee_errno,
				   "origin %u, errno %u", error.ee_origin, error.ee_errno))
				continue;
			count = error.ee_data - error.ee_info + 1;
			completions += count;
			if (error.ee_code) {
				copied += count;
				copied_notices++;
			}
		}
	}
}

static void sender_send_all(const unsigned char *data, size_t length, size_t chunk)
{
	while (length) {
		size_t part = length < chunk ? length : chunk;
		struct pollfd wanted = { .fd = client, .events = POLLOUT };
		ssize_t n = send(client, data, part, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
		int error = errno;

		if (n > 0) {
			sends++;
			data += n;
			length -= n;
		}
		sender_read_completions();
		if (n > 0)
			continue;
		need(n < 0 && (error == EAGAIN || error == ENOBUFS), "send: %zd, %s", n,
		     strerror(error));
		if (error == ENOBUFS)
			usleep(1000);
		else
			need(poll(&wanted, 1, 60000) > 0, "the client takes nothing any more");
	}
}

static struct dmacast_stats stats_of(int fd)
{
	struct dmacast_stats stats;

	need(!ioctl(fd, DMACAST_IOC_STATS, &stats), "STATS: %m");
	return stats;
}

static void send_ring(const char *path, uint64_t block_size, uint64_t bytes, size_t chunk,
		      uint32_t flags)
{
	struct dmacast_setup setup = { .block_size = block_size,
				       .block_count = BLOCK_COUNT,
				       .flags = DMACAST_SETUP_STALL | flags };
	struct dmacast_stats stats;
	const unsigned char *map;
	uint64_t sent = 0, end;
	bool copies_small = watch_small_frames();
	uint64_t small = 0;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	need(fd >= 0, "%s: %m", path);
	need(!ioctl(fd, DMACAST_IOC_SETUP, &setup), "SETUP: %m");
	map = mmap(NULL, setup.map_size, PROT_READ, MAP_SHARED, fd, 0);
	need(map != MAP_FAILED, "mmap: %m");
	need(!ioctl(fd, DMACAST_IOC_START), "START: %m");
	while (sent < bytes) {
		/* Most of the ring is in flight at once: with the stall flag all but the engine's two. */
		struct dmacast_block blocks[BLOCK_COUNT - 2];
		uint32_t indices[BLOCK_COUNT - 2];
		ssize_t got = read(fd, blocks, sizeof(blocks));
		size_t count = got > 0 ? got / sizeof(*blocks) : 0;

		need(count > 0, "read: %zd, %m", got);
		for (size_t i = 0; i < count; i++) {
			indices[i] = blocks[i].index;
			sender_send_all(map + blocks[i].index * setup.stride, blocks[i].length,
					chunk);
			sent += blocks[i].length;
		}
		for (end = clock_ns(CLOCK_MONOTONIC) + 60 * NS_PER_S;
		     completions < sends && clock_ns(CLOCK_MONOTONIC) < end;) {
			usleep(1000);
			sender_read_completions();
		}
		need(completions == sends, "%" PRIu64 " of %" PRIu64 " completions", completions,
		     sends);
		need(write(fd, indices, count * sizeof(*indices)) ==
			     (ssize_t)(count * sizeof(*indices)),
		     "write: %m");
	}
	if (copies_small)
		small = count_small_frames();
	printf("# %" PRIu64 " bytes, %" PRIu64 " sends, %" PRIu64 " completions, %" PRIu64
	       " copied; %" PRIu64 " small frames\n",
	       sent, sends, completions, copied, small);
	point("every send completes");
	check(copied_notices <= small, "%" PRIu64 " of %" PRIu64, copied, completions);
	point(copies_small ? "none was copied, but for small frames" : "none was copied");
	end = clock_ns(CLOCK_MONOTONIC) + NS_PER_S;
	do
		stats = stats_of(fd);
	while (stats.blocks_quarantine && clock_ns(CLOCK_MONOTONIC) < end);
	printf("# %llu times a block waited for its pages\n", stats.quarantined);
	check(!stats.blocks_quarantine, "%u blocks wait", stats.blocks_quarantine);
	check(!stats.blocks_lent, "%u blocks are lent", stats.blocks_lent);
	check(!stats.replaced, "%llu blocks got fresh pages", stats.replaced);
	point("the references are back");
	munmap((void *)(uintptr_t)map, setup.map_size);
	close(fd);
}

static void send_refused(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char *map;
	ssize_t n;

	need(fd >= 0, "%s: %m", path);
	map = mmap(NULL, PFNMAP_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	need(map != MAP_FAILED, "mmap: %m");
	errno = 0;
	n = send(client, map, PFNMAP_SIZE, MSG_ZEROCOPY | MSG_NOSIGNAL);
	check(n == -1 && errno == EFAULT, "send: %zd, errno %d", n, errno);
	point("the kernel refuses to send without copying");
	n = send(client, map, 4096, MSG_NOSIGNAL);
	check(n == 4096, "send: %zd, %m", n);
	point("it sends a copy");
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 6 && argc != 7) {
		fprintf(stderr, "usage: zerocopy_send PORT DEVICE "
				"[BLOCK_SIZE BYTES CHUNK [contiguous]]\n");
		return 2;
	}
	alarm(200);
	client = accept_client(atoi(argv[1]));
	if (argc == 3)
		send_refused(argv[2]);
	else
		send_ring(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
			  strtoull(argv[5], NULL, 10), argc == 7 ? DMACAST_SETUP_CONTIGUOUS : 0);
	shutdown(client, SHUT_WR);
	while (read(client, (char[64]){ 0 }, 64) > 0)
		;
	close(client);
	return tap_end();
}
