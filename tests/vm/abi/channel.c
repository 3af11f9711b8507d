// SPDX-License-Identifier: BSD-2-Clause
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/pattern.h"

#define DRIVER "/sys/bus/platform/drivers/dmacast"
#define SIM "/sys/kernel/debug/dmacast_sim"

const char *device = "/dev/dmacast/sim0";
const char *channel_name;
size_t page_size;
char platform_device[64];
void *volatile null_pointer, *volatile wild_pointer = (void *)8;

void give_up(void)
{
	point("what the rest depends on");
	printf("# giving up\n");
	exit(tap_end() ?: 1);
}

unsigned int patience(void)
{
	const char *text = getenv("DMACAST_TEST_PATIENCE");
	int factor = text ? atoi(text) : 1;

	return factor > 1 ? factor : 1;
}

/* deadline() - on CLOCK_MONOTONIC, in @seconds. */
static uint64_t deadline(double seconds)
{
	return clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9) * patience();
}

void begin_without_sim(int argc, char **argv)
{
	char path[PATH_MAX], link[PATH_MAX];

	if (argc > 1)
		device = argv[1];
	channel_name = strrchr(device, '/') ? strrchr(device, '/') + 1 : device;
	page_size = sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof(path), "/sys/class/dmacast/%s/device", channel_name);
	need(realpath(path, link), "%s: %m", path);
	snprintf(platform_device, sizeof(platform_device), "%.60s", strrchr(link, '/') + 1);
	tap.checks = 0;
	/* A test that hangs is a failed one. */
	alarm(300 * patience());
}

void begin(int argc, char **argv)
{
	begin_without_sim(argc, argv);
	sim("rate", "0");
}

/* ---- The channel ---- */

struct channel channel_open(void)
{
	struct channel channel = { .fd = open(device, O_RDWR | O_CLOEXEC) };

	need(channel.fd >= 0, "%s: %m", device);
	return channel;
}

int try_setup(const struct channel *channel, uint64_t block_size, uint32_t block_count,
	      uint32_t flags)
{
	struct dmacast_setup setup = {
		.block_size = block_size,
		.block_count = block_count,
		.flags = flags,
	};

	return ioctl(channel->fd, DMACAST_IOC_SETUP, &setup);
}

void channel_setup(struct channel *channel, uint64_t block_size, uint32_t block_count,
		   uint32_t flags)
{
	struct dmacast_setup setup = {
		.block_size = block_size,
		.block_count = block_count,
		.flags = flags,
	};

	need(!ioctl(channel->fd, DMACAST_IOC_SETUP, &setup), "SETUP %" PRIu64 " * %u, flags %u: %m",
	     block_size, block_count, flags);
	channel->block_size = block_size;
	channel->block_count = block_count;
	channel->map_size = setup.map_size;
	channel->stride = setup.stride;
}

void channel_map(struct channel *channel)
{
	void *map = mmap(NULL, channel->map_size, PROT_READ, MAP_SHARED, channel->fd, 0);

	need(map != MAP_FAILED, "mmap of %" PRIu64 " bytes: %m", channel->map_size);
	channel->map = map;
}

void channel_unmap(struct channel *channel)
{
	need(!munmap((void *)(uintptr_t)channel->map, channel->map_size), "munmap: %m");
	channel->map = NULL;
}

void channel_start(struct channel *channel)
{
	need(!ioctl(channel->fd, DMACAST_IOC_START), "START: %m");
}

void channel_stop(struct channel *channel)
{
	need(!ioctl(channel->fd, DMACAST_IOC_STOP), "STOP: %m");
}

void channel_close(struct channel *channel)
{
	if (channel->map)
		channel_unmap(channel);
	need(!close(channel->fd), "close: %m");
	channel->fd = -1;
}

struct channel channel_run(uint64_t block_size, uint32_t block_count, uint32_t flags)
{
	struct channel channel = channel_open();

	channel_setup(&channel, block_size, block_count, flags);
	channel_map(&channel);
	channel_start(&channel);
	return channel;
}

int try_recycle(const struct channel *channel, uint32_t index)
{
	ssize_t written = write(channel->fd, &index, sizeof(index));

	return written == sizeof(index) ? 0 : -1;
}

void recycle(const struct channel *channel, uint32_t index)
{
	need(!try_recycle(channel, index), "recycling %u: %m", index);
}

struct dmacast_stats channel_stats(const struct channel *channel)
{
	struct dmacast_stats stats;
	uint64_t sum;

	memset(&stats, 0xff, sizeof(stats));
	need(!ioctl(channel->fd, DMACAST_IOC_STATS, &stats), "STATS: %m");
	sum = (uint64_t)stats.blocks_free + stats.blocks_queued + stats.blocks_ready +
	      stats.blocks_lent + stats.blocks_quarantine;
	check(sum == channel->block_count,
	      "of %u blocks, %u free, %u queued, %u ready, %u lent, %u in quarantine",
	      channel->block_count, stats.blocks_free, stats.blocks_queued, stats.blocks_ready,
	      stats.blocks_lent, stats.blocks_quarantine);
	check(stats.running <= 1, "running is %u", stats.running);
	for (unsigned int i = 0; i < sizeof(stats.reserved) / sizeof(stats.reserved[0]); i++)
		check(!stats.reserved[i], "reserved[%u] is %llu", i, stats.reserved[i]);
	return stats;
}

unsigned int channel_read(const struct channel *channel, struct dmacast_block *blocks,
			  unsigned int count, double seconds)
{
	uint64_t end = deadline(seconds);
	struct pollfd wanted = { .fd = channel->fd, .events = POLLIN };
	unsigned int have = 0;

	while (have < count) {
		uint64_t now = clock_ns(CLOCK_MONOTONIC);
		ssize_t got;

		if (now >= end || poll(&wanted, 1, (int)((end - now) / NS_PER_MS) + 1) <= 0)
			break;
		if (wanted.revents & (POLLHUP | POLLERR))
			break;
		got = read(channel->fd, blocks + have, (count - have) * sizeof(*blocks));
		if (!check(got > 0 && got % sizeof(*blocks) == 0, "read gave %zd: %m", got))
			break;
		have += got / sizeof(*blocks);
	}
	return have;
}

struct dmacast_block read_one(const struct channel *channel)
{
	struct dmacast_block block = { 0 };

	need(channel_read(channel, &block, 1, 20) == 1, "no block within 20 s");
	need(block.index < channel->block_count, "index %u of %u", block.index,
	     channel->block_count);
	return block;
}

bool wait_for_stat(const struct channel *channel, size_t offset, size_t size, uint64_t least,
		   uint64_t most, double seconds)
{
	uint64_t end = deadline(seconds);

	for (;;) {
		struct dmacast_stats stats = channel_stats(channel);
		uint64_t value = 0;

		/* The smaller members are numbers of the same byte order. */
		if (size == sizeof(uint32_t)) {
			uint32_t narrow;

			memcpy(&narrow, (char *)&stats + offset, sizeof(narrow));
			value = narrow;
		} else {
			memcpy(&value, (char *)&stats + offset, sizeof(value));
		}
		if (value >= least && value <= most)
			return true;
		if (clock_ns(CLOCK_MONOTONIC) >= end)
			return false;
		sleep_ms(2);
	}
}

void read_blocks(const struct channel *channel, unsigned int count)
{
	for (unsigned int n = 0; n < count; n++) {
		struct dmacast_block block = read_one(channel);

		check_content(channel, &block);
		recycle(channel, block.index);
	}
}

void channel_go_round(const struct channel *channel)
{
	unsigned int *seen = calloc(channel->block_count, sizeof(*seen));

	need(seen, "no memory");
	for (unsigned int n = 0; n < 2 * channel->block_count; n++) {
		struct dmacast_block block = read_one(channel);

		check_content(channel, &block);
		seen[block.index]++;
		recycle(channel, block.index);
	}
	for (unsigned int i = 0; i < channel->block_count; i++)
		check(seen[i], "block %u is lost", i);
	check(wait_for(channel, blocks_ready, channel->block_count, 20), "the ring is smaller");
	free(seen);
}

void channel_stop_often(struct channel *channel, unsigned int times)
{
	struct dmacast_stats stats = channel_stats(channel);

	for (unsigned int n = 0; n < times; n++) {
		uint64_t enough = stats.overruns + channel->block_count + n;

		channel_start(channel);
		need(wait_for(channel, overruns, enough, 30), "no overrun");
		channel_stop(channel);
		stats = channel_stats(channel);
		check(!stats.blocks_queued && !stats.running, "%u queued", stats.blocks_queued);
	}
}

/* ---- The content ---- */

const unsigned char *content(const struct channel *channel, const struct dmacast_block *block)
{
	return channel->map + block->index * channel->stride;
}

uint64_t stream_offset(const struct channel *channel, const struct dmacast_block *block)
{
	uint64_t offset = UINT64_MAX;

	check(pattern_locate(content(channel, block), &offset), "block %u has no pattern",
	      block->index);
	return offset;
}

bool check_content(const struct channel *channel, const struct dmacast_block *block)
{
	uint64_t offset;
	size_t right;

	if (!check(block->length > 0 && block->length <= channel->block_size,
		   "block %u has %llu bytes", block->index, block->length))
		return false;
	if (!check(pattern_locate(content(channel, block), &offset), "block %u has no pattern",
		   block->index))
		return false;
	right = pattern_check(content(channel, block), block->length, offset);
	return check(right == block->length, "block %u, from offset %" PRIu64 ": %zu of %llu bytes",
		     block->index, offset, right, block->length);
}

/* ---- References to pages ---- */

struct held_page hold_page(const struct channel *channel, const struct dmacast_block *block)
{
	struct held_page held = { .sum = hash(content(channel, block), page_size) };
	struct iovec part = { (void *)(uintptr_t)content(channel, block), page_size };

	need(!pipe2(held.ends, O_CLOEXEC), "pipe: %m");
	need(vmsplice(held.ends[1], &part, 1, 0) == (ssize_t)page_size, "vmsplice: %m");
	return held;
}

bool release_page(struct held_page *held)
{
	static unsigned char copy[64 * KIB];

	need(read(held->ends[0], copy, page_size) == (ssize_t)page_size, "read: %m");
	close(held->ends[0]);
	close(held->ends[1]);
	return hash(copy, page_size) == held->sum;
}

/* ---- The simulated engine, sysfs ---- */

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t written;
	int error;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return written == (ssize_t)strlen(text);
}

static uint64_t read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t value;

	if (!file)
		return UINT64_MAX;
	if (fscanf(file, "%" SCNu64, &value) != 1)
		value = UINT64_MAX;
	fclose(file);
	return value;
}

uint64_t number_from(const char *path)
{
	uint64_t value = read_number(path);

	need(value != UINT64_MAX, "%s: no number", path);
	return value;
}

void check_held(uint64_t bytes, const char *when)
{
	uint64_t held = number_from("/sys/module/dmacast/parameters/held_pages");

	check(held == bytes / page_size, "%s: %" PRIu64 " pages are held, not %" PRIu64, when, held,
	      bytes / page_size);
}

void check_held_soon(uint64_t bytes, const char *when)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S * patience();

	while (number_from("/sys/module/dmacast/parameters/held_pages") > bytes / page_size &&
	       clock_ns(CLOCK_MONOTONIC) < end)
		sleep_ms(20);
	check_held(bytes, when);
}

static void sim_path(char *path, size_t size, const char *file)
{
	const char *number = strrchr(platform_device, '.');

	snprintf(path, size, "%s/ch%s/%s", SIM, number ? number + 1 : "0", file);
}

void sim(const char *file, const char *format, ...)
{
	char path[PATH_MAX], text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim_path(path, sizeof(path), file);
	need(write_file(path, text), "%s to %s: %m", text, path);
}

uint64_t sim_value(const char *file)
{
	char path[PATH_MAX];

	sim_path(path, sizeof(path), file);
	return number_from(path);
}

void sim_unplug(unsigned int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ms);
	need(write_file(SIM "/unplug", text), SIM "/unplug: %m");
}

uint64_t sysfs_value(const char *attribute)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/class/dmacast/%s/%s", channel_name, attribute);
	return read_number(path);
}

void unbind(void)
{
	need(write_file(DRIVER "/unbind", platform_device), DRIVER "/unbind: %m");
}

void bind_again(void)
{
	uint64_t end;

	need(write_file(DRIVER "/bind", platform_device), DRIVER "/bind: %m");
	/* The node is made by a thread of the kernel. */
	for (end = deadline(10); access(device, F_OK);) {
		need(clock_ns(CLOCK_MONOTONIC) < end, "%s does not come back", device);
		sleep_ms(5);
	}
}

/* ---- The rest ---- */

static sigjmp_buf touch_again;

static void touched(int number)
{
	siglongjmp(touch_again, number);
}

int touch(const volatile void *address)
{
	struct sigaction action = { .sa_handler = touched }, segv, bus;
	int number;

	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	number = sigsetjmp(touch_again, 1);
	if (!number)
		(void)*(const volatile unsigned char *)address;
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return number;
}

uint64_t hash(const void *memory, size_t size)
{
	const unsigned char *bytes = memory;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3;
		sum ^= sum >> 29;
	}
	return sum;
}

uint64_t clock_ns(int clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void sleep_ms(unsigned int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * NS_PER_MS };

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

void *guarded(size_t size)
{
	size_t pages = (size + page_size - 1) / page_size * page_size;
	char *memory = mmap(NULL, pages + page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED, "mmap: %m");
	need(!mprotect(memory + pages, page_size, PROT_NONE), "mprotect: %m");
	return memory + pages - size;
}

int kmsg_open(void)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	need(kmsg >= 0 && lseek(kmsg, 0, SEEK_END) >= 0, "/dev/kmsg: %m");
	return kmsg;
}

unsigned int kmsg_count(int kmsg, const char *word)
{
	char line[8192 + 1];
	unsigned int count = 0;
	ssize_t length;

	for (;;) {
		length = read(kmsg, line, sizeof(line) - 1);
		if (length < 0 && errno == EPIPE)
			continue; /* some lines were overwritten */
		if (length <= 0)
			return count;
		line[length] = '\0';
		count += strstr(line, word) != NULL;
	}
}

bool kmsg_says(int kmsg, const char *word)
{
	return kmsg_count(kmsg, word) > 0;
}

/* ---- A client outside ---- */

int accept_client(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client, on = 1;

	need(listener >= 0, "socket: %m");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	need(!bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind: %m");
	need(!listen(listener, 1), "listen: %m");
	printf("# listening\n");
	fflush(stdout);
	client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	need(client >= 0, "accept: %m");
	need(!setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), "SO_ZEROCOPY: %m");
	close(listener);
	return client;
}
