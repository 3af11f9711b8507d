/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node of dmacast.ko without a kernel: this program's own open(), ioctl(), mmap(), munmap(), read(),
 * write() and close(), which stand before those of the C library, keep the rules of dmacast.h for one
 * path and leave everything else to the system. What breaks a rule is counted in `faults`.
 */
#ifndef DMACAST_TEST_FAKEDEVICE_H
#define DMACAST_TEST_FAKEDEVICE_H

#include <uapi/dmacast.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAKE_PATH "/dev/dmacast/fake"
#define FAKE_MOST 256U
#define FAKE_MAPPINGS 4U
#define FAKE_GAP 4096U /* between two blocks in the mapping */

enum fake_state { FAKE_FREE, FAKE_READY, FAKE_LENT };

static const char *fake_path = FAKE_PATH;

static struct {
	/* What is to happen. An error is an errno, or 0. */
	int open_error, info_error, setup_error, mmap_error, start_error, write_error, read_error;
	uint32_t abi_version;
	uint32_t write_most; /* indices that one write() takes; 0: all */
	uint64_t stride_lack;
	bool gone;
	/* What did happen. */
	unsigned int faults, attempts, opens, closes, starts, stops, reads, writes;
	bool running;
	unsigned int mapped; /* mappings, of which a handover makes more than one */
	struct dmacast_setup setup;
	enum fake_state state[FAKE_MOST];
	/* What is read next. */
	struct dmacast_block ready[FAKE_MOST];
	uint32_t ready_count;
	uint64_t sequence;
	int fd, hold; /* of a pipe: its end that is read is the device, the other one keeps it alive */
	int content;	       /* memfd that each mapping shows; -1: none */
	unsigned char *memory; /* the first mapping */
	unsigned char *mapping[FAKE_MAPPINGS];
} fake;

static void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.fd = fake.hold = fake.content = -1;
	fake.abi_version = DMACAST_ABI_VERSION;
}

/* Like the device: readable as long as there is something to read or it is stopped, and never writable. */
static inline void fake_update(void)
{
	char any;

	syscall(SYS_read, fake.fd, &any, sizeof(any));
	if (fake.ready_count || !fake.running)
		syscall(SYS_write, fake.hold, "r", 1);
}

static inline uint32_t fake_count(enum fake_state state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < fake.setup.block_count; i++)
		count += fake.state[i] == state;
	return count;
}

/* The record is read next, whatever it says. */
static inline void fake_push(struct dmacast_block record)
{
	record.sequence = fake.sequence++;
	fake.ready[fake.ready_count++] = record;
	fake_update();
}

/* The engine fills any free block. Return: false when there is none. */
static inline bool fake_fill(uint64_t length, uint32_t flags, uint64_t lost)
{
	for (uint32_t i = 0; i < fake.setup.block_count; i++) {
		uint64_t sequence = fake.sequence + lost;

		if (fake.state[i] != FAKE_FREE)
			continue;
		memset(fake.memory + i * fake.setup.stride, (int)sequence & 0xff, length);
		fake.state[i] = FAKE_READY;
		fake.sequence = sequence;
		fake_push((struct dmacast_block){
			.index = i,
			.flags = flags,
			.length = length,
			.monotonic_ns = 1000 + sequence,
			.realtime_ns = 2000 + sequence,
			.lost = lost,
		});
		return true;
	}
	return false;
}

static inline void fake_unplug(void)
{
	fake.gone = true;
	syscall(SYS_close, fake.hold); /* a hang-up */
	fake.hold = -1;
}

static inline int fake_fail(int error)
{
	errno = error;
	return -1;
}

int open(const char *path, int flags, ...)
{
	int ends[2];
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (strcmp(path, fake_path))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	fake.attempts++;
	if (fake.open_error)
		return fake_fail(fake.open_error);
	if (fake.fd >= 0)
		return fake_fail(EBUSY);
	fake.faults += (flags & (O_ACCMODE | O_NONBLOCK)) != (O_RDWR | O_NONBLOCK);
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
		return -1;
	fake.fd = ends[0];
	fake.hold = ends[1];
	fake.opens++;
	return fake.fd;
}

int close(int fd)
{
	if (fd >= 0 && fd == fake.fd) {
		fake.faults += fake.mapped > 0; /* that comes first */
		fake.closes++;
		if (fake.hold >= 0)
			syscall(SYS_close, fake.hold);
		if (fake.content >= 0)
			syscall(SYS_close, fake.content);
		fake.fd = fake.hold = fake.content = -1;
	}
	return (int)syscall(SYS_close, fd);
}

static inline int fake_setup(struct dmacast_setup *setup)
{
	if (fake.setup_error)
		return fake_fail(fake.setup_error);
	if (fake.running || fake.mapped || setup->block_count > FAKE_MOST)
		return fake_fail(EBUSY);
	setup->stride = setup->block_size + FAKE_GAP - fake.stride_lack;
	setup->map_size = setup->stride * setup->block_count;
	fake.setup = *setup;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list args;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (fd != fake.fd)
		return (int)syscall(SYS_ioctl, fd, request, argument);
	if (fake.gone)
		return fake_fail(ENODEV);
	switch (request) {
	case DMACAST_IOC_INFO:
		if (fake.info_error)
			return fake_fail(fake.info_error);
		*(struct dmacast_info *)argument = (struct dmacast_info){
			.abi_version = fake.abi_version,
			.name = "fake",
			.page_size = 4096,
			.max_block_count = FAKE_MOST,
			.max_block_size = 1 << 20,
		};
		return 0;
	case DMACAST_IOC_SETUP:
		return fake_setup(argument);
	case DMACAST_IOC_STATS:
		*(struct dmacast_stats *)argument = (struct dmacast_stats){
			.completed = fake.sequence,
			.bytes = 2,
			.lent = 3,
			.recycled = 4,
			.overruns = 5,
			.stalls = 6,
			.errors = 7,
			.short_transfers = 8,
			.quarantined = 9,
			.replaced = 10,
			.left_behind = 16,
			.left_refused = 17,
			.blocks_free = fake_count(FAKE_FREE),
			.blocks_queued = 12,
			.blocks_ready = fake_count(FAKE_READY),
			.blocks_lent = fake_count(FAKE_LENT),
			.blocks_quarantine = 15,
			.running = fake.running,
		};
		return 0;
	case DMACAST_IOC_START:
		if (fake.start_error)
			return fake_fail(fake.start_error);
		if (fake.running)
			return fake_fail(EALREADY);
		fake.running = true;
		fake_update();
		fake.starts++;
		return 0;
	case DMACAST_IOC_STOP:
		if (!fake.running)
			return fake_fail(EALREADY);
		fake.running = false;
		fake_update();
		fake.stops++;
		return 0;
	}
	return fake_fail(ENOTTY);
}

#ifdef SYS_mmap2 /* 32 bits */
#define FAKE_SYS_MMAP SYS_mmap2
#define FAKE_MMAP_UNIT 4096
#else
#define FAKE_SYS_MMAP SYS_mmap
#define FAKE_MMAP_UNIT 1
#endif

static void *fake_map(size_t length)
{
	unsigned char *memory;

	if (fake.content < 0) {
		fake.content = memfd_create("fake", MFD_CLOEXEC);
		if (fake.content < 0 || ftruncate(fake.content, (off_t)length))
			return MAP_FAILED;
	}
	/* The test writes to it, too. */
	memory = (unsigned char *)syscall(FAKE_SYS_MMAP, NULL, length, PROT_READ | PROT_WRITE,
					  MAP_SHARED, fake.content, 0L);
	if (!fake.memory)
		fake.memory = memory;
	fake.mapping[fake.mapped++] = memory;
	return memory;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (fd < 0 || fd != fake.fd)
		return (void *)syscall(FAKE_SYS_MMAP, address, length, protection, flags, fd,
				       (long)(offset / FAKE_MMAP_UNIT));
	if (fake.mmap_error || fake.gone || fake.mapped == FAKE_MAPPINGS) {
		errno = fake.mmap_error ? fake.mmap_error : ENODEV;
		return MAP_FAILED;
	}
	fake.faults += protection != PROT_READ || flags != MAP_SHARED || offset ||
		       length != fake.setup.map_size;
	return fake_map(length);
}

int munmap(void *address, size_t length)
{
	for (unsigned int i = 0; i < fake.mapped; i++) {
		if (fake.mapping[i] != address)
			continue;
		fake.faults += length != fake.setup.map_size;
		fake.mapping[i] = fake.mapping[--fake.mapped];
		fake.memory = fake.mapped ? fake.mapping[0] : NULL;
		break;
	}
	return (int)syscall(SYS_munmap, address, length);
}

ssize_t read(int fd, void *buffer, size_t size)
{
	uint32_t count = (uint32_t)(size / sizeof(struct dmacast_block));

	if (fd < 0 || fd != fake.fd)
		return syscall(SYS_read, fd, buffer, size);
	fake.reads++;
	if (fake.gone)
		return fake_fail(ENODEV);
	if (fake.read_error) {
		errno = fake.read_error;
		fake.read_error = 0;
		return -1;
	}
	if (!count)
		return fake_fail(EINVAL);
	if (!fake.ready_count)
		return fake_fail(fake.running ? EAGAIN : ENODATA);
	if (count > fake.ready_count)
		count = fake.ready_count;
	for (uint32_t i = 0; i < count; i++) {
		if (fake.ready[i].index < FAKE_MOST)
			fake.state[fake.ready[i].index] = FAKE_LENT;
	}
	memcpy(buffer, fake.ready, count * sizeof(fake.ready[0]));
	fake.ready_count -= count;
	memmove(fake.ready, fake.ready + count, fake.ready_count * sizeof(fake.ready[0]));
	fake_update();
	return (ssize_t)(count * sizeof(fake.ready[0]));
}

ssize_t write(int fd, const void *buffer, size_t size)
{
	uint32_t count = (uint32_t)(size / sizeof(uint32_t)), done;

	if (fd < 0 || fd != fake.fd)
		return syscall(SYS_write, fd, buffer, size);
	fake.writes++;
	if (fake.gone)
		return fake_fail(ENODEV);
	if (fake.write_error) {
		errno = fake.write_error;
		fake.write_error = 0;
		return -1;
	}
	if (!count || size % sizeof(uint32_t))
		return fake_fail(EINVAL);
	if (fake.write_most && count > fake.write_most)
		count = fake.write_most;
	for (done = 0; done < count; done++) {
		uint32_t index = ((const uint32_t *)buffer)[done];

		if (index >= fake.setup.block_count || fake.state[index] != FAKE_LENT) {
			fake.faults++;
			break;
		}
		fake.state[index] = FAKE_FREE;
	}
	return done ? (ssize_t)(done * sizeof(uint32_t)) : fake_fail(EINVAL);
}

#endif
