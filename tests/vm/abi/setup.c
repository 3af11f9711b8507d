// SPDX-License-Identifier: BSD-2-Clause
/* Opening a channel, INFO, unknown ioctls, SETUP, START, STOP. */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct dmacast_info info;

/* setup_of() - a SETUP that would be right. */
static struct dmacast_setup setup_of(uint64_t block_size, uint32_t block_count)
{
	return (struct dmacast_setup){ .block_size = block_size, .block_count = block_count };
}

static void test_info(void)
{
	struct channel channel = channel_open();
	void *readonly = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(&info, 0xff, sizeof(info));
	need(!ioctl(channel.fd, DMACAST_IOC_INFO, &info), "INFO: %m");
	check(info.abi_version == DMACAST_ABI_VERSION, "ABI version %u", info.abi_version);
	check(!(info.flags & ~(DMACAST_INFO_RESIDUE | DMACAST_INFO_CONTIGUOUS)), "flags %x",
	      info.flags);
	check(memchr(info.name, '\0', sizeof(info.name)) && !strcmp(info.name, channel_name),
	      "the name is %.32s", info.name);
	check(info.page_size == page_size, "page size %u", info.page_size);
	check(info.max_segment_size >= page_size, "segments of %u", info.max_segment_size);
	check(info.max_block_count >= 2, "at most %u blocks", info.max_block_count);
	check(info.max_block_size >= page_size && info.max_block_size % page_size == 0,
	      "blocks of at most %llu bytes", info.max_block_size);
	check(info.max_block_size <= 64 * MIB, "blocks of at most %llu bytes", info.max_block_size);
	if (!info.max_segments)
		check(info.max_block_size == 64 * MIB, "blocks of at most %llu bytes",
		      info.max_block_size);
	for (unsigned int i = 0; i < 4; i++)
		check(!info.reserved[i], "reserved[%u] is %llu", i, info.reserved[i]);
	point("INFO");

	refused(ioctl(channel.fd, DMACAST_IOC_INFO, NULL), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_INFO, wild_pointer), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_INFO, readonly), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_INFO, (char *)guarded(95)), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_STATS, NULL), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_STATS, readonly), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_STATS, (char *)guarded(135)), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_SETUP, NULL), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_SETUP, wild_pointer), EFAULT);
	refused(ioctl(channel.fd, DMACAST_IOC_SETUP, (char *)guarded(63)), EFAULT);
	point("bad pointers");
	munmap(readonly, page_size);
	channel_close(&channel);
}

static void test_unknown_ioctls(void)
{
	static const unsigned long unknown[] = {
		_IO(DMACAST_IOC_MAGIC, 0),
		_IO(DMACAST_IOC_MAGIC, 1),
		_IO(DMACAST_IOC_MAGIC, 5),
		_IO(DMACAST_IOC_MAGIC, 255),
		_IOR(DMACAST_IOC_MAGIC, 0, char[95]),
		_IOR(DMACAST_IOC_MAGIC, 0, char[104]),
		_IOW(DMACAST_IOC_MAGIC, 0, struct dmacast_info),
		_IOR(DMACAST_IOC_MAGIC, 1, struct dmacast_setup),
		_IOWR(DMACAST_IOC_MAGIC, 1, char[72]),
		_IOR(DMACAST_IOC_MAGIC, 2, int),
		_IOR(DMACAST_IOC_MAGIC, 4, char[128]),
		_IO(DMACAST_IOC_MAGIC - 1, 2),
		_IO(DMACAST_IOC_MAGIC + 1, 2),
		0x5401, /* TCGETS */
		0,
		UINT32_MAX,
	};
	struct channel channel = channel_open();
	unsigned char buffer[256];

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		memset(buffer, 0x5a, sizeof(buffer));
		errno = 0;
		check(ioctl(channel.fd, unknown[i], buffer) == -1 && errno == ENOTTY,
		      "%08lx: errno %d", unknown[i], errno);
		for (size_t b = 0; b < sizeof(buffer); b++)
			check(buffer[b] == 0x5a, "%08lx wrote to its argument", unknown[i]);
	}
	check(!channel_stats(&channel).running, "one of them was START");
	point("unknown ioctls");
	channel_close(&channel);
}

static void test_no_ring(void)
{
	struct channel channel = channel_open();
	struct dmacast_block block;
	struct dmacast_stats stats;
	uint32_t index = 0;

	need(!try_setup(&channel, 0, 0, 0), "SETUP 0, 0: %m");
	stats = channel_stats(&channel);
	check(!stats.completed && !stats.bytes && !stats.lent && !stats.running,
	      "the counters are not 0");
	refused(ioctl(channel.fd, DMACAST_IOC_START), EINVAL);
	refused(ioctl(channel.fd, DMACAST_IOC_STOP), EALREADY);
	refused(read(channel.fd, &block, sizeof(block)), ENODATA);
	refused(write(channel.fd, &index, sizeof(index)), EINVAL);
	check(mmap(NULL, page_size, PROT_READ, MAP_SHARED, channel.fd, 0) == MAP_FAILED &&
		      errno == EINVAL,
	      "mmap: %m");
	channel_close(&channel);
	point("without a ring");
}

/* A refused SETUP leaves the ring as it was, with its content. */
static void check_unchanged(struct channel *channel, uint64_t expected)
{
	channel_map(channel);
	check(hash(channel->map, channel->block_size) == expected, "the ring has other content");
	channel_unmap(channel);
}

static void test_refused_setups(void)
{
	const uint64_t page = page_size, most = info.max_block_size;
	const struct {
		uint64_t block_size;
		uint32_t block_count, flags;
	} wrong[] = {
		{ 0, 4, 0 },
		{ page, 0, 0 },
		{ 1, 4, 0 },
		{ 8, 4, 0 },
		{ page - 1, 4, 0 },
		{ page + 1, 4, 0 },
		{ 2 * page - 8, 4, 0 },
		{ page / 2, 4, 0 },
		{ most + page, 4, 0 },
		{ most + 1, 4, 0 },
		{ 1ULL << 32, 4, 0 },
		{ 1ULL << 40, 4, 0 },
		{ 1ULL << 63, 4, 0 },
		{ UINT64_MAX, 4, 0 },
		{ UINT64_MAX - page + 1, 4, 0 },
		{ (1ULL << 32) + page, 4, 0 },
		{ page, 1, 0 },
		{ page, info.max_block_count + 1, 0 },
		{ page, UINT32_MAX, 0 },
		{ page, 1U << 31, 0 },
		{ 1ULL << 52, 1U << 12, 0 },
		{ most, UINT32_MAX, 0 },
		{ page, 4, 1U << 2 },
		{ page, 4, 1U << 3 },
		{ page, 4, 1U << 30 },
		{ page, 4, 1U << 31 },
		{ page, 4, UINT32_MAX },
		{ page, 4, ~(DMACAST_SETUP_STALL | DMACAST_SETUP_CONTIGUOUS) },
		{ 0, 0, 1U << 2 },
	};
	struct channel channel = channel_run(page, 4, DMACAST_SETUP_STALL);
	struct dmacast_block block = read_one(&channel);
	int kmsg = kmsg_open();
	uint64_t before;

	recycle(&channel, block.index);
	wait_for(&channel, blocks_ready, 4, 10);
	channel_stop(&channel);
	before = hash(channel.map, channel.block_size);
	channel_unmap(&channel);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		errno = 0;
		check(try_setup(&channel, wrong[i].block_size, wrong[i].block_count,
				wrong[i].flags) == -1 &&
			      errno == EINVAL,
		      "%" PRIu64 " * %u, flags %x: errno %d", wrong[i].block_size,
		      wrong[i].block_count, wrong[i].flags, errno);
		check_unchanged(&channel, before);
	}
	point("bad sizes, counts and flags");

	kmsg_says(kmsg, "");
	for (unsigned int i = 0; i < 4; i++) {
		struct dmacast_setup setup = setup_of(page, 4);

		setup.reserved[i] = 1ULL << (i * 20);
		refused(ioctl(channel.fd, DMACAST_IOC_SETUP, &setup), EINVAL);
		setup = setup_of(0, 0);
		setup.reserved[i] = 1;
		refused(ioctl(channel.fd, DMACAST_IOC_SETUP, &setup), EINVAL);
		check_unchanged(&channel, before);
	}
	point("reserved members that are not 0");

	sleep_ms(6000); /* longer than any rate limit of the kernel's */
	kmsg_says(kmsg, "");
	refused(try_setup(&channel, page + 1, 4, 0), EINVAL);
	sleep_ms(100);
	check(kmsg_says(kmsg, "dmacast"), "nothing in the kernel log");
	point("the kernel log explains a refusal");
	channel_close(&channel);
	close(kmsg);
}

/* More than there is: an error and no harm, above all no process killed for want of memory. */
static void test_too_much(void)
{
	struct channel channel = channel_open();
	uint64_t most = info.max_block_size;
	int status;

	errno = 0;
	status = try_setup(&channel, most, info.max_block_count, 0);
	check(status == -1 && (errno == ENOMEM || errno == EINVAL), "SETUP gave %d, errno %d",
	      status, errno);
	errno = 0;
	status = try_setup(&channel, page_size, info.max_block_count, 0);
	if (status)
		check(errno == ENOMEM, "errno %d", errno);
	channel_setup(&channel, page_size, 4, 0);
	channel_map(&channel);
	channel_start(&channel);
	read_one(&channel);
	channel_close(&channel);
	point("a ring larger than memory is refused, and the next one works");
}

static void test_setup_sizes(void)
{
	const struct {
		uint64_t block_size;
		uint32_t block_count, flags;
	} right[] = {
		{ page_size, 2, 0 },
		{ page_size, 200, 0 },
		{ 12 * KIB, 3, 0 },
		{ 100 * KIB, 8, 0 },
		{ 100 * KIB, 8, DMACAST_SETUP_STALL },
		{ 1 * MIB, 8, 0 },
		{ 1 * MIB + 4 * KIB, 5, DMACAST_SETUP_STALL },
		{ 4 * MIB + 36 * KIB, 3, 0 },
		{ page_size, 4, DMACAST_SETUP_CONTIGUOUS },
		{ 100 * KIB, 8, DMACAST_SETUP_CONTIGUOUS },
		{ 1 * MIB, 4, DMACAST_SETUP_CONTIGUOUS | DMACAST_SETUP_STALL },
		{ 64 * MIB, 2, 0 },
	};
	static unsigned char zeroes[64 * KIB];

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct channel channel = channel_open();
		struct dmacast_stats stats;
		struct dmacast_block block;

		if (right[i].block_size > info.max_block_size) {
			refused(try_setup(&channel, right[i].block_size, right[i].block_count, 0),
				EINVAL);
			point("%" PRIu64 " bytes are too many for this engine",
			      right[i].block_size);
			channel_close(&channel);
			continue;
		}
		need(!try_setup(&channel, 0, 0, 0), "SETUP 0, 0: %m");
		channel_setup(&channel, right[i].block_size, right[i].block_count, right[i].flags);
		check(channel.stride >= channel.block_size && channel.stride % page_size == 0,
		      "stride %" PRIu64, channel.stride);
		check(channel.map_size >= channel.stride * (channel.block_count - 1) +
						  channel.block_size &&
			      channel.map_size % page_size == 0,
		      "map size %" PRIu64, channel.map_size);
		stats = channel_stats(&channel);
		check(stats.blocks_free == channel.block_count, "%u blocks free",
		      stats.blocks_free);
		check(!stats.completed && !stats.bytes && !stats.lent && !stats.recycled &&
			      !stats.overruns && !stats.stalls && !stats.errors &&
			      !stats.short_transfers && !stats.quarantined && !stats.replaced &&
			      !stats.running,
		      "the counters are not 0");
		check(sysfs_value("block_size") == channel.block_size, "sysfs: block_size");
		check(sysfs_value("block_count") == channel.block_count, "sysfs: block_count");
		channel_map(&channel);
		for (uint32_t b = 0; b < channel.block_count; b++)
			for (uint64_t at = 0; at < channel.block_size;) {
				size_t part = channel.block_size - at < sizeof(zeroes)
						      ? channel.block_size - at
						      : sizeof(zeroes);

				check(!memcmp(channel.map + b * channel.stride + at, zeroes, part),
				      "block %u is not zeroed, from byte %" PRIu64, b, at);
				at += part;
			}
		channel_start(&channel);
		for (unsigned int n = 0; n < 3 * channel.block_count && n < 30; n++) {
			block = read_one(&channel);
			check(block.length == channel.block_size && !block.flags,
			      "%llu bytes, flags %x", block.length, block.flags);
			check_content(&channel, &block);
			recycle(&channel, block.index);
		}
		channel_stop(&channel);
		channel_close(&channel);
		point("%u blocks of %" PRIu64 " KiB, flags %u: zeroed, then filled",
		      right[i].block_count, (uint64_t)(right[i].block_size / KIB), right[i].flags);
	}
}

static void test_busy(void)
{
	struct channel channel = channel_open();
	struct dmacast_block block;

	channel_setup(&channel, 8 * KIB, 4, 0);
	channel_start(&channel);
	check(channel_stats(&channel).running == 1, "not running");
	check(sysfs_value("running") == 1, "not running, says sysfs");
	refused(ioctl(channel.fd, DMACAST_IOC_START), EALREADY);
	refused(try_setup(&channel, 8 * KIB, 4, 0), EBUSY);
	refused(try_setup(&channel, 8 * KIB, 8, 0), EBUSY);
	refused(try_setup(&channel, 0, 0, 0), EBUSY);
	check(channel_stats(&channel).running == 1, "not running any more");
	point("SETUP and START while it runs");

	block = read_one(&channel);
	channel_stop(&channel);
	check(!channel_stats(&channel).running, "running after STOP");
	check(sysfs_value("running") == 0, "running, says sysfs");
	refused(ioctl(channel.fd, DMACAST_IOC_STOP), EALREADY);
	point("STOP, and again");

	check(channel_stats(&channel).blocks_lent == 1, "not one block is lent");
	refused(try_setup(&channel, 8 * KIB, 4, 0), EBUSY);
	refused(try_setup(&channel, 4 * KIB, 4, 0), EBUSY);
	refused(try_setup(&channel, 0, 0, 0), EBUSY);
	recycle(&channel, block.index);
	check(!try_setup(&channel, 8 * KIB, 4, 0), "with no block lent: %m");
	point("SETUP while a block is lent");

	channel_map(&channel);
	refused(try_setup(&channel, 8 * KIB, 4, 0), EBUSY);
	refused(try_setup(&channel, 8 * KIB, 5, 0), EBUSY);
	refused(try_setup(&channel, 0, 0, 0), EBUSY);
	check(touch(channel.map) == 0, "the mapping is gone");
	channel_unmap(&channel);
	check(!try_setup(&channel, 8 * KIB, 5, 0), "unmapped: %m");
	point("SETUP while mapped");

	check(!try_setup(&channel, 0, 0, 0), "SETUP 0, 0: %m");
	channel.block_count = 0;
	channel_stats(&channel);
	check(sysfs_value("block_count") == 0, "sysfs has blocks");
	refused(ioctl(channel.fd, DMACAST_IOC_START), EINVAL);
	check(mmap(NULL, channel.map_size, PROT_READ, MAP_SHARED, channel.fd, 0) == MAP_FAILED &&
		      errno == EINVAL,
	      "mmap after SETUP 0, 0: %m");
	check(!try_setup(&channel, 0, 0, 0), "again: %m");
	point("SETUP 0, 0 frees the ring");
	channel_close(&channel);
}

/* fill() - let every block be filled, stop, and return what the first one has. */
static uint64_t setup_fill(struct channel *channel)
{
	uint64_t sum;

	channel_map(channel);
	channel_start(channel);
	wait_for(channel, completed, channel->block_count, 20);
	channel_stop(channel);
	sum = hash(channel->map, channel->block_size);
	channel_unmap(channel);
	return sum;
}

static void test_same_again(void)
{
	struct channel channel = channel_open();
	struct dmacast_block block;
	struct dmacast_stats stats;
	uint64_t before, zeroes;

	need(!try_setup(&channel, 0, 0, 0), "SETUP 0, 0: %m");
	channel_setup(&channel, 20 * KIB, 6, DMACAST_SETUP_STALL);
	channel_map(&channel);
	zeroes = hash(channel.map, channel.block_size);
	channel_unmap(&channel);
	before = setup_fill(&channel);
	check(before != zeroes, "nothing was filled");
	check(channel_stats(&channel).blocks_ready == 6, "not all are ready");
	channel_setup(&channel, 20 * KIB, 6, DMACAST_SETUP_STALL);
	stats = channel_stats(&channel);
	check(stats.blocks_free == 6 && !stats.blocks_ready, "%u free, %u ready", stats.blocks_free,
	      stats.blocks_ready);
	check(!stats.completed && !stats.bytes && !stats.stalls, "the counters go on");
	check_unchanged(&channel, before);
	channel_map(&channel);
	channel_start(&channel);
	block = read_one(&channel);
	check(block.sequence == 0 && block.lost == 0 && !block.flags,
	      "sequence %llu, lost %llu, flags %x", block.sequence, block.lost, block.flags);
	check_content(&channel, &block);
	channel_stop(&channel);
	channel_unmap(&channel);
	recycle(&channel, block.index);
	point("the same SETUP again keeps the memory, and counts from 0");

	before = setup_fill(&channel);
	channel_close(&channel);
	channel = channel_open();
	channel_setup(&channel, 20 * KIB, 6, DMACAST_SETUP_STALL);
	check_unchanged(&channel, before);
	check(channel_stats(&channel).blocks_free == 6, "not all are free");
	point("also after close() and open()");

	setup_fill(&channel);
	channel_setup(&channel, 20 * KIB, 7, DMACAST_SETUP_STALL);
	check_unchanged(&channel, zeroes);
	setup_fill(&channel);
	channel_setup(&channel, 24 * KIB, 7, DMACAST_SETUP_STALL);
	channel_map(&channel);
	for (uint32_t b = 0; b < 7; b++)
		check(hash(channel.map + b * channel.stride, 20 * KIB) == zeroes,
		      "block %u is not zeroed", b);
	channel_close(&channel);
	point("another one is zeroed");
}

/* Return: the errno of an open() in another process. */
static int open_elsewhere(void)
{
	int status;
	pid_t child = fork();

	need(child >= 0, "fork: %m");
	if (!child)
		_exit(open(device, O_RDWR) >= 0 ? 0 : errno);
	need(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child has a signal");
	return WEXITSTATUS(status);
}

static void test_owner(void)
{
	struct channel channel = channel_open();
	struct dmacast_info again;
	int other, status;
	pid_t child;

	refused(open(device, O_RDWR), EBUSY);
	refused(open(device, O_RDONLY), EBUSY);
	check(open_elsewhere() == EBUSY, "another process may open it");
	other = dup(channel.fd);
	need(other >= 0, "dup: %m");
	close(channel.fd);
	refused(open(device, O_RDWR), EBUSY);
	check(!ioctl(other, DMACAST_IOC_INFO, &again), "INFO by a dup: %m");
	close(other);
	channel = channel_open();
	check(open_elsewhere() == EBUSY, "another process may open it");
	close(channel.fd);
	check(open_elsewhere() == 0, "another process may not open a closed one");
	point("one owner at a time");

	/* A child has the same file; the parent's close() is not the last one. */
	channel = channel_open();
	child = fork();
	need(child >= 0, "fork: %m");
	if (!child) {
		pause();
		_exit(0);
	}
	close(channel.fd);
	refused(open(device, O_RDWR), EBUSY);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	channel = channel_open();
	channel_setup(&channel, 4 * KIB, 4, 0);
	channel_close(&channel);
	point("until the last one has closed it");

	channel = channel_run(4 * KIB, 4, 0);
	channel_unmap(&channel);
	channel_close(&channel);
	channel = channel_open();
	channel_setup(&channel, 4 * KIB, 4, 0);
	check(!channel_stats(&channel).running, "it still runs");
	refused(ioctl(channel.fd, DMACAST_IOC_STOP), EALREADY);
	channel_close(&channel);
	point("close() stops the engine");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	test_info();
	test_unknown_ioctls();
	test_no_ring();
	test_refused_setups();
	test_too_much();
	test_setup_sizes();
	test_busy();
	test_same_again();
	test_owner();
	return tap_end();
}
