// SPDX-License-Identifier: BSD-2-Clause
/*
 * Four processes call everything in random order, with right and wrong arguments:
 *
 *	racer DEVICE [FIRST [COUNT [SECONDS]]]
 *
 * Seeds are FIRST to FIRST + COUNT - 1; each runs for SECONDS. A seed fixes each process's sequence of
 * decisions; the order between processes is chance. Each sequence has all calls of dmacast.h, changes of
 * mappings, forks that inherit them, references to pages from pipes, reads from another process's memory,
 * unbinding, unplugging, and faults of the simulated engine. Checked are
 *
 *	errors		only the ones that dmacast.h or the call's manual names
 *	content		of a lent block, until it is given back; of pages in a pipe, until they are read
 *	counters	that they fit together at any moment
 *	the end		each seed leaves a ring that works, and with fault points (kmod/fault.h) no page
 *
 * Each process gives back only what it read itself, but with an odd seed any index, at any time; then content
 * is not checked.
 */
#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dice.h"
#include "lib/pattern.h"

#define DRIVER "/sys/bus/platform/drivers/dmacast/"
#define SIM "/sys/kernel/debug/dmacast_sim/"
#define HELD_PAGES "/sys/module/dmacast/parameters/held_pages"

#define PROCESSES 4
#define MAX_BLOCKS 16
#define MAX_PINS 6
#define MAX_HEIRS 3
#define PIPE_BYTES (1 << 20)
/* Largest block whose content is checked: larger ones would take most of the time. */
#define CHECKED_SIZE (128 * KIB)
/* Interval of the signal that interrupts calls. */
#define INTERRUPT_US 10000
/* Time that a process may take to end; then it hangs. */
#define HANG_SECONDS 30

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* Each ring has another size: a mapping of that size tells which ring it is. */
static const struct geometry {
	uint32_t pages, count, flags;
} geometries[] = {
	{ 1, 2, 0 },
	{ 1, 16, 0 },
	{ 5, 4, 0 },
	{ 25, 8, 0 },
	{ 25, 9, DMACAST_SETUP_CONTIGUOUS },
	{ 64, 8, DMACAST_SETUP_CONTIGUOUS },
};

#define GEOMETRIES (sizeof(geometries) / sizeof(geometries[0]))

/* What processes know of each other. */
static struct {
	struct {
		_Atomic int fd; /* -1: none */
		_Atomic int pid;
		_Atomic uintptr_t map; /* 0: none */
		_Atomic(const char *) doing;
		_Atomic uint64_t calls, successes;
	} process[PROCESSES];
	_Atomic unsigned int close_round; /* all processes close their file when it changes */
} * shared;

/* A lent block, and its content when it was read; sum 0: not checked. */
struct lent {
	struct dmacast_block block;
	uint64_t sum;
};

/* References to pages in a pipe. */
struct pin {
	int ends[2];
	size_t size; /* 0: none */
	uint64_t sum;
	bool checked;
};

struct racer {
	unsigned int number;
	uint64_t seed;
	bool anarchic; /* gives back any index */
	struct dice dice;
	int fd; /* -1: none */
	unsigned char *map;
	const struct geometry *geometry; /* of the mapping */
	struct lent lent[MAX_BLOCKS];
	unsigned int lent_count;
	struct pin pins[MAX_PINS];
	pid_t heirs[MAX_HEIRS]; /* forked processes; 0: none */
	unsigned int close_round;
	bool unbound; /* the file's channel is */
	bool failed;
};

static volatile sig_atomic_t interrupts;

static void interrupted(int number)
{
	(void)number;
	interrupts++;
}

/* ---- Checks in a process ---- */

static bool __attribute__((format(printf, 3, 4)))
expect(struct racer *racer, bool condition, const char *format, ...)
{
	char text[300];
	va_list args;
	int length;

	if (condition)
		return true;
	racer->failed = true;
	length = snprintf(text, sizeof(text), "# seed %" PRIu64 ", process %u, %s: ", racer->seed,
			  racer->number, shared->process[racer->number].doing);
	va_start(args, format);
	length += vsnprintf(text + length, sizeof(text) - length - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(text) - 2)
		length = sizeof(text) - 2;
	text[length++] = '\n';
	/* A single call: lines of other processes are not mixed into it. */
	if (write(STDOUT_FILENO, text, length) < 0)
		return false;
	return false;
}

/*
 * outcome() - check and count the result of a call, whose errors are those in the 0-terminated list; every
 * call of the channel may be interrupted, or find it unbound. Return: true if the call succeeded.
 */
static bool outcome(struct racer *racer, long result, const int *errors)
{
	int error = errno;

	shared->process[racer->number].calls++;
	if (result >= 0) {
		shared->process[racer->number].successes++;
		return true;
	}
	if (error == ENODEV)
		racer->unbound = true;
	if (error == EINTR || error == ENODEV)
		return false;
	for (; *errors; errors++) {
		if (*errors == error)
			return false;
	}
	expect(racer, false, "%s", strerror(error));
	return false;
}

#define OUTCOME(racer, result, ...) outcome(racer, result, (const int[]){ __VA_ARGS__, 0 })

static uint32_t roll(struct racer *racer, uint32_t least, uint32_t most)
{
	return dice_roll(&racer->dice, least, most);
}

static bool one_in(struct racer *racer, uint32_t n)
{
	return dice_one_in(&racer->dice, n);
}

static size_t block_size(const struct geometry *geometry)
{
	return geometry->pages * page_size;
}

static size_t ring_size(const struct geometry *geometry)
{
	return block_size(geometry) * geometry->count;
}

/* ---- Lent blocks ---- */

static const unsigned char *block_start(const struct racer *racer, uint32_t index)
{
	return racer->map + index * block_size(racer->geometry);
}

static bool is_checkable(const struct racer *racer, const struct dmacast_block *block)
{
	return !racer->anarchic && racer->map && block->index < racer->geometry->count &&
	       block_size(racer->geometry) <= CHECKED_SIZE;
}

static uint64_t block_sum(const struct racer *racer, const struct dmacast_block *block)
{
	return hash(block_start(racer, block->index), block_size(racer->geometry)) | 1;
}

static void check_pattern(struct racer *racer, const struct dmacast_block *block)
{
	const unsigned char *start = block_start(racer, block->index);
	uint64_t offset = 0;
	size_t right = 0;

	if (block->length < 2 * PATTERN_WORD)
		return;
	if (pattern_locate(start, &offset))
		right = pattern_check(start, block->length, offset);
	expect(racer, right == block->length, "block %u: %zu of %llu bytes are right", block->index,
	       right, block->length);
}

static void note_lent(struct racer *racer, const struct dmacast_block *block)
{
	struct lent lent = { .block = *block };

	if (is_checkable(racer, block)) {
		check_pattern(racer, block);
		lent.sum = block_sum(racer, block);
	}
	expect(racer, racer->lent_count < MAX_BLOCKS || racer->anarchic,
	       "too many blocks are lent");
	if (racer->lent_count < MAX_BLOCKS)
		racer->lent[racer->lent_count++] = lent;
}

static void racer_check_lent(struct racer *racer, const struct lent *lent)
{
	if (lent->sum && is_checkable(racer, &lent->block))
		expect(racer, block_sum(racer, &lent->block) == lent->sum,
		       "block %u changed while it was lent", lent->block.index);
}

/* The first @count lent blocks are given back. */
static void forget_lent(struct racer *racer, unsigned int count)
{
	racer->lent_count -= count;
	memmove(racer->lent, racer->lent + count, racer->lent_count * sizeof(racer->lent[0]));
}

/* ---- Pages in pipes ---- */

static void racer_unpin(struct racer *racer, struct pin *pin)
{
	static unsigned char copy[PIPE_BYTES];
	size_t have = 0;

	while (have < pin->size) {
		ssize_t got = read(pin->ends[0], copy + have, pin->size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (!expect(racer, got > 0, "the pipe has %zu of %zu bytes", have, pin->size))
			break;
		have += got;
	}
	if (pin->checked && have == pin->size)
		expect(racer, hash(copy, have) == pin->sum, "bytes in a pipe changed");
	close(pin->ends[0]);
	close(pin->ends[1]);
	pin->size = 0;
}

/* Reference a part of the block; the pin is checked if @lent is held meanwhile. */
static void pin_part(struct racer *racer, struct pin *pin, uint32_t index, bool checked)
{
	uint32_t words = block_size(racer->geometry) / 8, from = roll(racer, 0, words - 1);
	struct iovec part = { (void *)(uintptr_t)(block_start(racer, index) + from * 8),
			      8 * roll(racer, 1, words - from) };
	ssize_t spliced;

	if (pipe2(pin->ends, O_CLOEXEC | O_NONBLOCK))
		return;
	if (one_in(racer, 2))
		fcntl(pin->ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	spliced = vmsplice(pin->ends[1], &part, 1, one_in(racer, 4) ? SPLICE_F_GIFT : 0);
	if (!OUTCOME(racer, spliced, EAGAIN)) {
		close(pin->ends[0]);
		close(pin->ends[1]);
		return;
	}
	pin->size = spliced;
	pin->checked = checked && spliced % 8 == 0;
	if (pin->checked)
		pin->sum = hash(part.iov_base, spliced);
}

static void do_pin(struct racer *racer)
{
	struct pin *pin = &racer->pins[roll(racer, 0, MAX_PINS - 1)];

	if (pin->size) {
		racer_unpin(racer, pin);
	} else if (racer->map && racer->lent_count && !one_in(racer, 4)) {
		const struct lent *lent = &racer->lent[roll(racer, 0, racer->lent_count - 1)];

		if (lent->block.index < racer->geometry->count)
			pin_part(racer, pin, lent->block.index, is_checkable(racer, &lent->block));
	} else if (racer->map) {
		pin_part(racer, pin, roll(racer, 0, racer->geometry->count - 1), false);
	}
}

/* ---- The file ---- */

static bool is_device(int fd)
{
	char link[40], path[PATH_MAX];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	return length >= (ssize_t)strlen(device) && !strncmp(path, device, strlen(device));
}

/* The same open file as another process has. */
static int borrow_file(struct racer *racer)
{
	unsigned int number = roll(racer, 0, PROCESSES - 1);
	int theirs = shared->process[number].fd, pidfd, fd;

	if (number == racer->number || theirs < 0)
		return -1;
	pidfd = syscall(SYS_pidfd_open, shared->process[number].pid, 0);
	if (pidfd < 0)
		return -1;
	fd = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	close(pidfd);
	/* Its number may be that of another file meanwhile. */
	if (fd >= 0 && !is_device(fd)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void unmap(struct racer *racer)
{
	if (!racer->map)
		return;
	shared->process[racer->number].map = 0;
	OUTCOME(racer, munmap(racer->map, ring_size(racer->geometry)), ENOMEM);
	racer->map = NULL;
}

static void do_open(struct racer *racer)
{
	if (racer->fd >= 0)
		return;
	racer->fd = open(device, O_RDWR | O_CLOEXEC | (one_in(racer, 2) ? O_NONBLOCK : 0));
	/* The node may be gone, or not yet what it was: unbound. */
	if (!OUTCOME(racer, racer->fd, EBUSY, ENOENT, ENXIO))
		racer->fd = borrow_file(racer);
	if (racer->fd < 0)
		sleep_ms(2);
	shared->process[racer->number].fd = racer->fd;
	racer->lent_count = 0;
	/* A mapping that was left may be of another file. */
	if (racer->fd >= 0)
		unmap(racer);
}

static void racer_give_back(struct racer *racer, unsigned int count)
{
	uint32_t indices[MAX_BLOCKS + 1];
	ssize_t written;

	for (unsigned int i = 0; i < count; i++) {
		racer_check_lent(racer, &racer->lent[i]);
		indices[i] = racer->lent[i].block.index;
	}
	written = write(racer->fd, indices, count * sizeof(indices[0]));
	if (racer->anarchic) {
		OUTCOME(racer, written, EINVAL);
		forget_lent(racer, count);
		return;
	}
	if (written < 0 && errno == ENODEV)
		forget_lent(racer, count);
	if (OUTCOME(racer, written, 0)) {
		expect(racer, written == (ssize_t)(count * sizeof(indices[0])),
		       "of %u indices, %zd bytes were taken", count, written);
		forget_lent(racer, written / sizeof(indices[0]));
	}
}

static void close_file(struct racer *racer)
{
	racer->unbound = false;
	if (racer->fd < 0)
		return;
	if (racer->lent_count && !one_in(racer, 4))
		racer_give_back(racer, racer->lent_count);
	/* A mapping keeps the file open. */
	if (!one_in(racer, 8))
		unmap(racer);
	shared->process[racer->number].fd = -1;
	OUTCOME(racer, close(racer->fd), 0);
	racer->fd = -1;
	racer->lent_count = 0;
}

static void do_close(struct racer *racer)
{
	if (one_in(racer, 4))
		shared->close_round++;
	close_file(racer);
}

/* ---- ioctl ---- */

static void do_setup(struct racer *racer)
{
	const struct geometry *geometry = &geometries[roll(racer, 0, GEOMETRIES - 1)];
	struct dmacast_setup setup = {
		.block_size = block_size(geometry),
		.block_count = geometry->count,
		.flags = geometry->flags | (one_in(racer, 2) ? DMACAST_SETUP_STALL : 0),
	};

	if (one_in(racer, 8))
		setup.block_size = setup.block_count = 0;
	if (OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_SETUP, &setup), EBUSY, ENOMEM))
		expect(racer, setup.map_size == setup.block_size * setup.block_count,
		       "map_size is %llu", setup.map_size);
}

static void do_wrong_setup(struct racer *racer)
{
	struct dmacast_setup setup = { .block_size = page_size, .block_count = 4 };
	long result;

	switch (roll(racer, 0, 5)) {
	case 0:
		setup.block_size += roll(racer, 1, page_size - 1);
		break;
	case 1:
		setup.block_count = 1;
		break;
	case 2:
		setup.flags = 1U << roll(racer, 2, 31);
		break;
	case 3:
		setup.reserved[roll(racer, 0, 3)] = 1;
		break;
	case 4:
		setup.block_size = dice_bits(&racer->dice) | 1;
		break;
	default:
		OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_SETUP, wild_pointer), EFAULT);
		return;
	}
	result = ioctl(racer->fd, DMACAST_IOC_SETUP, &setup);
	expect(racer, result < 0, "a wrong set-up is accepted");
	OUTCOME(racer, result, EINVAL);
}

static void do_start(struct racer *racer)
{
	OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_START), EINVAL, EALREADY, EIO);
}

static void do_stop(struct racer *racer)
{
	OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_STOP), EALREADY);
}

static void do_look(struct racer *racer)
{
	struct dmacast_stats stats;
	struct dmacast_info info;

	switch (roll(racer, 0, 4)) {
	case 0:
		OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_STATS, null_pointer), EFAULT);
		return;
	case 1:
		OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_INFO, &info), 0);
		return;
	case 2:
		OUTCOME(racer, ioctl(racer->fd, _IO(DMACAST_IOC_MAGIC, roll(racer, 16, 255)), 0),
			ENOTTY);
		return;
	}
	if (!OUTCOME(racer, ioctl(racer->fd, DMACAST_IOC_STATS, &stats), 0))
		return;
	expect(racer, stats.recycled <= stats.lent, "%llu recycled, %llu lent", stats.recycled,
	       stats.lent);
	expect(racer, stats.lent - stats.recycled >= stats.blocks_lent,
	       "%llu lent, %llu recycled, %u now", stats.lent, stats.recycled, stats.blocks_lent);
	expect(racer, stats.completed >= stats.lent + stats.overruns + stats.blocks_ready,
	       "%llu completed, %llu lent, %llu overruns, %u ready", stats.completed, stats.lent,
	       stats.overruns, stats.blocks_ready);
	expect(racer, stats.bytes >= stats.completed, "%llu bytes in %llu blocks", stats.bytes,
	       stats.completed);
}

/* ---- read, write, poll ---- */

/* The second half of the room for records may be inaccessible. */
static void do_read(struct racer *racer)
{
	struct dmacast_block room[MAX_BLOCKS];
	unsigned int count;
	ssize_t result;

	if (racer->lent_count > MAX_BLOCKS - 2)
		return;
	count = roll(racer, 1, MAX_BLOCKS - racer->lent_count);
	if (one_in(racer, 16)) {
		OUTCOME(racer, read(racer->fd, room, sizeof(room[0]) - 1), EINVAL);
		return;
	}
	if (one_in(racer, 16)) {
		OUTCOME(racer, read(racer->fd, wild_pointer, sizeof(room)), EFAULT, EAGAIN,
			ENODATA);
		return;
	}
	if (one_in(racer, 16)) {
		size_t whole = roll(racer, 0, 2) * sizeof(room[0]);
		char *pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (pages == MAP_FAILED || mprotect(pages + page_size, page_size, PROT_NONE))
			return;
		result = read(racer->fd, pages + page_size - whole, 4 * sizeof(room[0]));
		if (OUTCOME(racer, result, EFAULT, EAGAIN, ENODATA))
			memcpy(room, pages + page_size - whole, result);
		munmap(pages, 2 * page_size);
	} else {
		result = read(racer->fd, room, count * sizeof(room[0]));
		OUTCOME(racer, result, EAGAIN, ENODATA);
	}
	for (ssize_t i = 0; result > 0 && i < result / (ssize_t)sizeof(room[0]); i++)
		note_lent(racer, &room[i]);
}

static void do_write(struct racer *racer)
{
	if (racer->lent_count)
		racer_give_back(racer, roll(racer, 1, racer->lent_count));
}

static void do_wrong_write(struct racer *racer)
{
	uint32_t indices[2] = { roll(racer, MAX_BLOCKS, UINT32_MAX), 0 };

	switch (roll(racer, 0, 3)) {
	case 0:
		expect(racer, !OUTCOME(racer, write(racer->fd, indices, 4), EINVAL),
		       "it is accepted");
		break;
	case 1:
		expect(racer, !OUTCOME(racer, write(racer->fd, indices, 5), EINVAL),
		       "it is accepted");
		break;
	case 2:
		OUTCOME(racer, write(racer->fd, wild_pointer, 8), EFAULT);
		break;
	default:
		/* The same one twice. */
		if (!racer->lent_count || racer->anarchic)
			break;
		indices[0] = indices[1] = racer->lent[0].block.index;
		racer_check_lent(racer, &racer->lent[0]);
		if (OUTCOME(racer, write(racer->fd, indices, sizeof(indices)), 0))
			forget_lent(racer, 1);
		break;
	}
}

static void do_anarchic_write(struct racer *racer)
{
	uint32_t indices[8];

	if (!racer->anarchic)
		return;
	for (unsigned int i = 0; i < 8; i++)
		indices[i] = roll(racer, 0, MAX_BLOCKS);
	OUTCOME(racer, write(racer->fd, indices, 4 * roll(racer, 1, 8)), EINVAL);
}

static void do_poll(struct racer *racer)
{
	struct pollfd wanted = { .fd = racer->fd, .events = POLLIN | POLLOUT };
	int result = poll(&wanted, 1, roll(racer, 0, 5));

	if (OUTCOME(racer, result, 0) && result)
		expect(racer,
		       !(wanted.revents & ~(POLLIN | POLLRDNORM)) ||
			       wanted.revents == (POLLHUP | POLLERR),
		       "revents are 0x%x", wanted.revents);
}

static void do_flags(struct racer *racer)
{
	int flags = fcntl(racer->fd, F_GETFL);

	if (flags >= 0)
		fcntl(racer->fd, F_SETFL, flags ^ O_NONBLOCK);
}

/* ---- Mappings ---- */

static void do_map(struct racer *racer)
{
	const struct geometry *geometry = &geometries[roll(racer, 0, GEOMETRIES - 1)];
	void *map;

	unmap(racer);
	if (one_in(racer, 8)) {
		static const int wrong[][2] = {
			{ PROT_READ | PROT_WRITE, MAP_SHARED },
			{ PROT_READ | PROT_EXEC, MAP_SHARED },
			{ PROT_READ, MAP_PRIVATE },
		};
		const int *one = wrong[roll(racer, 0, 2)];

		map = mmap(NULL, ring_size(geometry), one[0], one[1], racer->fd, 0);
		expect(racer, map == MAP_FAILED, "a wrong mapping is possible");
		OUTCOME(racer, map == MAP_FAILED ? -1 : 0, EINVAL, EACCES);
		return;
	}
	map = mmap(NULL, ring_size(geometry), PROT_READ,
		   MAP_SHARED | (one_in(racer, 4) ? MAP_POPULATE : 0), racer->fd, 0);
	if (!OUTCOME(racer, map == MAP_FAILED ? -1 : 0, EINVAL))
		return;
	racer->map = map;
	racer->geometry = geometry;
	shared->process[racer->number].map = (uintptr_t)map;
}

static void do_unmap(struct racer *racer)
{
	size_t part;

	if (!racer->map)
		return;
	if (one_in(racer, 2)) {
		unmap(racer);
		return;
	}
	/* Not in part. */
	part = page_size * roll(racer, 1, ring_size(racer->geometry) / page_size - 1);
	expect(racer, munmap(racer->map, part) == -1 && errno == EINVAL, "unmapped in part: %m");
}

/* Advice on any part; some of it is refused, and none may change the content. */
static void do_advise(struct racer *racer)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_DONTNEED,	   MADV_DONTNEED, MADV_COLD,
		MADV_PAGEOUT,  MADV_POPULATE_READ, MADV_WILLNEED, MADV_FREE,
		MADV_REMOVE,   MADV_MERGEABLE,	   MADV_HUGEPAGE, MADV_DODUMP,
	};
	uint32_t pages, from;

	if (!racer->map)
		return;
	pages = ring_size(racer->geometry) / page_size;
	from = one_in(racer, 2) ? 0 : roll(racer, 0, pages - 1);
	if (madvise(racer->map + from * page_size, page_size * roll(racer, 1, pages - from),
		    advices[roll(racer, 0, sizeof(advices) / sizeof(advices[0]) - 1)]))
		expect(racer,
		       errno == EINVAL || errno == EAGAIN || errno == ENOMEM || errno == EFAULT ||
			       errno == EPERM || errno == EINTR || errno == EACCES,
		       "madvise: %m");
}

static void do_move(struct racer *racer)
{
	size_t size;
	void *place;

	if (!racer->map)
		return;
	size = ring_size(racer->geometry);
	if (one_in(racer, 4)) {
		expect(racer,
		       mremap(racer->map, size, size - page_size, MREMAP_MAYMOVE) == MAP_FAILED,
		       "it can shrink");
		expect(racer,
		       mremap(racer->map, size, size + page_size, MREMAP_MAYMOVE) == MAP_FAILED,
		       "it can grow");
		return;
	}
	place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (place == MAP_FAILED)
		return;
	place = mremap(racer->map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (!expect(racer, place != MAP_FAILED, "mremap: %m"))
		return;
	racer->map = place;
	shared->process[racer->number].map = (uintptr_t)place;
}

static void do_protect(struct racer *racer)
{
	size_t size;

	if (!racer->map)
		return;
	size = ring_size(racer->geometry);
	expect(racer, mprotect(racer->map, size, PROT_READ | PROT_WRITE) == -1 && errno == EACCES,
	       "it can be made writable: %m");
	if (mprotect(racer->map, size, PROT_NONE) == 0)
		expect(racer, !mprotect(racer->map, size, PROT_READ), "mprotect: %m");
	if (one_in(racer, 2) && mlock(racer->map, size) == 0)
		munlock(racer->map, size);
}

static void do_touch(struct racer *racer)
{
	if (racer->map)
		for (unsigned int n = 0; n < 8; n++)
			(void)*(volatile unsigned char *)(racer->map +
							  page_size *
								  roll(racer, 0,
								       ring_size(racer->geometry) /
										       page_size -
									       1));
}

/* A child that inherits the mapping keeps it for a while. */
static void do_fork(struct racer *racer)
{
	unsigned int i = roll(racer, 0, MAX_HEIRS - 1), ms = roll(racer, 0, 60);
	size_t size;
	bool inherit;

	if (racer->heirs[i]) {
		if (waitpid(racer->heirs[i], NULL, one_in(racer, 2) ? WNOHANG : 0) ==
		    racer->heirs[i])
			racer->heirs[i] = 0;
		return;
	}
	size = racer->map ? ring_size(racer->geometry) : 0;
	inherit = racer->map && !madvise(racer->map, size, MADV_DOFORK);
	racer->heirs[i] = fork();
	if (racer->heirs[i] < 0)
		racer->heirs[i] = 0;
	else if (racer->heirs[i] == 0) {
		for (size_t at = 0; inherit && at < size; at += page_size)
			(void)*(volatile unsigned char *)(racer->map + at);
		if (inherit && one_in(racer, 2))
			madvise(racer->map, size, MADV_DONTNEED);
		sleep_ms(ms);
		_exit(0);
	}
	if (inherit && one_in(racer, 2))
		madvise(racer->map, size, MADV_DONTFORK);
}

/* The memory of another process, which may just be unmapping it. */
static void do_spy(struct racer *racer)
{
	static char copy[64 * 1024];
	unsigned int number = roll(racer, 0, PROCESSES - 1);
	uintptr_t map = shared->process[number].map;
	struct iovec from = { (void *)(map + page_size * roll(racer, 0, 63)), sizeof(copy) };
	struct iovec to = { copy, sizeof(copy) };

	if (map && process_vm_readv(shared->process[number].pid, &to, 1, &from, 1, 0) < 0)
		expect(racer, errno == EFAULT || errno == ESRCH || errno == EINTR,
		       "process_vm_readv: %m");
}

static void do_proc(struct racer *racer)
{
	static const char *const files[] = { "/proc/self/smaps", "/proc/self/numa_maps",
					     "/proc/self/maps" };
	char text[4096];
	int fd = open(files[roll(racer, 0, 2)], O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
	sysfs_value("blocks_quarantine");
	sysfs_value("completed");
}

/* ---- The engine ---- */

static void __attribute__((format(printf, 2, 3))) try_sim(const char *file, const char *format, ...)
{
	const char *number = strrchr(platform_device, '.');
	char path[PATH_MAX], text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(path, sizeof(path), SIM "ch%s/%s", number ? number + 1 : "0", file);
	/* The file is not there while the engine is unplugged. */
	write_file(path, text);
}

static void do_engine(struct racer *racer)
{
	switch (roll(racer, 0, 5)) {
	case 0:
		try_sim("error", "%u", one_in(racer, 8) ? 20 : roll(racer, 1, 3));
		break;
	case 1:
		try_sim("short", "%u %u", roll(racer, 1, 3), 8 * roll(racer, 0, 600));
		break;
	case 2:
		try_sim("stall", "%u", roll(racer, 1, 50));
		break;
	case 3:
		try_sim("burst", "%u", roll(racer, 1, 10));
		break;
	case 4:
		try_sim("rate", "%u", one_in(racer, 2) ? 0 : 1000000 * roll(racer, 1, 50));
		break;
	default:
		try_sim("lossy", "%u", roll(racer, 0, 1));
		break;
	}
}

/* These two are rare: all files are useless after them. */
static void do_unbind(struct racer *racer)
{
	if (!one_in(racer, 3))
		return;
	write_file(DRIVER "unbind", platform_device);
	sleep_ms(roll(racer, 0, 20));
	write_file(DRIVER "bind", platform_device);
}

static void do_unplug(struct racer *racer)
{
	char text[16];

	if (!one_in(racer, 3))
		return;
	snprintf(text, sizeof(text), "%u", roll(racer, 1, 50));
	write_file(SIM "unplug", text);
}

/* ---- A process ---- */

static const struct operation {
	const char *name;
	void (*run)(struct racer *racer);
	unsigned int weight;
	bool needs_file;
} operations[] = {
	{ "open", do_open, 20, false },
	{ "close", do_close, 2, true },
	{ "SETUP", do_setup, 20, true },
	{ "wrong SETUP", do_wrong_setup, 5, true },
	{ "START", do_start, 30, true },
	{ "STOP", do_stop, 10, true },
	{ "INFO, STATS", do_look, 20, true },
	{ "read", do_read, 80, true },
	{ "write", do_write, 80, true },
	{ "wrong write", do_wrong_write, 10, true },
	{ "write of any index", do_anarchic_write, 40, true },
	{ "poll", do_poll, 20, true },
	{ "O_NONBLOCK", do_flags, 10, true },
	{ "mmap", do_map, 20, true },
	{ "munmap", do_unmap, 8, false },
	{ "madvise", do_advise, 20, false },
	{ "mremap", do_move, 5, false },
	{ "mprotect, mlock", do_protect, 4, false },
	{ "touch", do_touch, 40, false },
	{ "fork", do_fork, 8, false },
	{ "process_vm_readv", do_spy, 10, false },
	{ "vmsplice", do_pin, 60, false },
	{ "proc", do_proc, 3, false },
	{ "engine", do_engine, 15, false },
	{ "unbind", do_unbind, 1, false },
	{ "unplug", do_unplug, 1, false },
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static const struct operation *choose(struct racer *racer)
{
	uint32_t sum = 0, number;

	for (size_t i = 0; i < OPERATIONS; i++)
		sum += operations[i].weight;
	number = roll(racer, 0, sum - 1);
	for (size_t i = 0;; i++) {
		if (number < operations[i].weight)
			return &operations[i];
		number -= operations[i].weight;
	}
}

static void run_process(uint64_t seed, unsigned int number, uint64_t end)
{
	struct sigaction action = { .sa_handler = interrupted };
	struct itimerval timer = { { 0, INTERRUPT_US }, { 0, INTERRUPT_US } };
	struct racer racer = {
		.number = number,
		.seed = seed,
		.anarchic = seed % 2,
		.dice = { .state = seed * PROCESSES + number },
		.fd = -1,
		.close_round = shared->close_round,
	};

	shared->process[number].pid = getpid();
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (clock_ns(CLOCK_MONOTONIC) < end) {
		const struct operation *operation = choose(&racer);

		shared->process[number].doing = operation->name;
		if (operation->needs_file && racer.fd < 0)
			do_open(&racer);
		if (!operation->needs_file || racer.fd >= 0)
			operation->run(&racer);
		if (racer.close_round != shared->close_round) {
			racer.close_round = shared->close_round;
			close_file(&racer);
		}
		if (racer.unbound && one_in(&racer, 8))
			close_file(&racer);
	}
	/* Half of the processes are killed in the middle of something. */
	if (dice_one_in(&racer.dice, 2)) {
		shared->process[number].doing = "end";
		for (unsigned int i = 0; i < MAX_PINS; i++) {
			if (racer.pins[i].size)
				racer_unpin(&racer, &racer.pins[i]);
		}
		close_file(&racer);
		_exit(racer.failed);
	}
	for (unsigned int i = 0; i < MAX_PINS; i++) {
		if (racer.pins[i].size && racer.pins[i].checked)
			racer_unpin(&racer, &racer.pins[i]);
	}
	if (racer.failed)
		_exit(1);
	kill(getpid(), SIGKILL);
}

/* ---- A seed ---- */

/* wait_for_end() - the process must end well, or by its own SIGKILL. */
static void wait_for_end(unsigned int number, pid_t pid, uint64_t until)
{
	int status = 0;
	bool ended;

	while (!(ended = waitpid(pid, &status, WNOHANG) == pid) &&
	       clock_ns(CLOCK_MONOTONIC) < until)
		sleep_ms(20);
	if (!check(ended, "process %u hangs in: %s", number, shared->process[number].doing)) {
		kill(pid, SIGKILL);
		sleep_ms(2000);
		need(waitpid(pid, &status, WNOHANG) == pid, "process %u cannot be killed", number);
	} else if (WIFSIGNALED(status)) {
		check(WTERMSIG(status) == SIGKILL, "process %u, in %s: signal %d", number,
		      shared->process[number].doing, WTERMSIG(status));
	} else {
		check(WEXITSTATUS(status) == 0, "process %u failed", number);
	}
}

/* come_back() - the engine is plugged, the channel bound, no fault is left. */
static void come_back(void)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 20 * NS_PER_S * patience();
	int fd = -1;

	while (fd < 0 && clock_ns(CLOCK_MONOTONIC) < end) {
		write_file(DRIVER "bind", platform_device);
		fd = open(device, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			sleep_ms(20);
	}
	need(fd >= 0, "%s does not come back: %m", device);
	close(fd);
	sim("error", "0");
	sim("short", "0 0");
	sim("stall", "0");
	sim("burst", "0");
	sim("lossy", "0");
	sim("rate", "0");
}

static void check_end(void)
{
	const struct geometry *geometry = &geometries[3];
	struct channel channel = channel_open();
	struct dmacast_stats stats;

	channel_setup(&channel, block_size(geometry), geometry->count, DMACAST_SETUP_STALL);
	channel_map(&channel);
	channel_start(&channel);
	check(wait_while(&channel, blocks_quarantine, 0, 10), "blocks stay in quarantine");
	channel_go_round(&channel);
	stats = channel_stats(&channel);
	check(stats.completed == stats.lent + stats.blocks_ready,
	      "%llu completed, %llu lent, %u ready", stats.completed, stats.lent,
	      stats.blocks_ready);
	check(stats.lent == stats.recycled && !stats.overruns && !stats.errors,
	      "%llu lent, %llu recycled, %llu overruns, %llu errors", stats.lent, stats.recycled,
	      stats.overruns, stats.errors);
	channel_stop(&channel);
	channel_unmap(&channel);
	channel_setup(&channel, 0, 0, 0);
	if (!access(HELD_PAGES, F_OK))
		check_held_soon(0, "at the end");
	channel_close(&channel);
}

static void run_seed(uint64_t seed, unsigned int seconds)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + seconds * NS_PER_S, calls = 0, successes = 0;
	pid_t pids[PROCESSES];

	memset(shared, 0, sizeof(*shared));
	for (unsigned int i = 0; i < PROCESSES; i++)
		shared->process[i].fd = -1;
	fflush(stdout);
	for (unsigned int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		need(pids[i] >= 0, "fork: %m");
		if (!pids[i])
			run_process(seed, i, end);
	}
	for (unsigned int i = 0; i < PROCESSES; i++) {
		wait_for_end(i, pids[i], end + HANG_SECONDS * NS_PER_S * patience());
		calls += shared->process[i].calls;
		successes += shared->process[i].successes;
	}
	come_back();
	check_end();
	point("seed %" PRIu64 "%s: %" PRIu64 " calls, %" PRIu64 " of them succeeded", seed,
	      seed % 2 ? ", any index is given back" : "", calls, successes);
}

int main(int argc, char **argv)
{
	unsigned int first = argc > 2 ? atoi(argv[2]) : 0, count = argc > 3 ? atoi(argv[3]) : 4;
	unsigned int seconds = argc > 4 ? atoi(argv[4]) : 5;

	begin(argc, argv);
	alarm(60 + count * (seconds + 60) * patience());
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	need(shared != MAP_FAILED, "mmap: %m");
	for (unsigned int i = 0; i < count; i++)
		run_seed(first + i, seconds);
	return tap_end();
}
