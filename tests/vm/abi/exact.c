// SPDX-License-Identifier: BSD-2-Clause
/*
 * The guard while page table entries come and go: a pipe holds the first page of a block that was given
 * back, and others unmap and map two of its other pages. The owner makes the guard look at the block all
 * the time, from a thread that the others preempt. No look may take it for idle.
 */
#include "channel.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The guard reads the map counts of this many pages, one after the other. */
#define PAGES 1024U
#define BLOCK_COUNT 3U
#define TOGGLERS 1U
#define TRIALS 15U
/* Less than a second, after which the block gets fresh pages. A busy machine may take longer all the same. */
#define TRIAL_MS 450U
#define MAX_ATTEMPTS (10 * TRIALS)

/* The block whose pages are toggled; in memory that child processes share. */
static struct {
	atomic_uint index;
	atomic_bool ended;
	atomic_uint toggles;
} * shared;

static void pin_to(unsigned int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	/* A machine may have one processor only. */
	sched_setaffinity(0, sizeof(set), &set);
}

static void be_realtime(void)
{
	const struct sched_param param = { .sched_priority = 50 };

	if (sched_setscheduler(0, SCHED_FIFO, &param))
		_exit(3);
}

static void exact_rest(unsigned int number)
{
	struct timespec time = { .tv_nsec = 100000 + 70000 * number };

	nanosleep(&time, NULL);
}

/*
 * Map one page and then unmap another: the number of entries stays, and a sum of map counts that was read
 * half before and half after that counts both pages.
 */
static void toggle(const unsigned char *map, size_t stride, unsigned int number)
{
	while (!shared->ended) {
		const unsigned char *block = map + shared->index * stride;
		const unsigned char *low = block + (1 + number) * page_size;
		const unsigned char *high = block + (PAGES - 1 - number) * page_size;

		(void)*(const volatile unsigned char *)high;
		madvise((void *)(uintptr_t)low, page_size, MADV_DONTNEED);
		exact_rest(number);
		(void)*(const volatile unsigned char *)low;
		madvise((void *)(uintptr_t)high, page_size, MADV_DONTNEED);
		shared->toggles++;
		exact_rest(number);
	}
}

struct toggler {
	const struct channel *channel;
	unsigned int number;
	pthread_t thread;
	pid_t child;
};

static void *toggle_in_thread(void *argument)
{
	struct toggler *toggler = argument;

	pin_to(toggler->number);
	be_realtime();
	toggle(toggler->channel->map, toggler->channel->stride, toggler->number);
	return NULL;
}

static void start_thread(struct toggler *toggler)
{
	need(!pthread_create(&toggler->thread, NULL, toggle_in_thread, toggler), "no thread");
}

static void end_thread(struct toggler *toggler)
{
	pthread_join(toggler->thread, NULL);
}

static void toggle_in_child(struct toggler *toggler, const unsigned char *map)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_to(toggler->number);
	be_realtime();
	toggle(map, toggler->channel->stride, toggler->number);
	_exit(0);
}

static void start_process(struct toggler *toggler)
{
	toggler->child = fork();
	need(toggler->child >= 0, "fork: %m");
	if (!toggler->child) {
		void *map = mmap(NULL, toggler->channel->map_size, PROT_READ, MAP_SHARED,
				 toggler->channel->fd, 0);

		if (map == MAP_FAILED)
			_exit(2);
		toggle_in_child(toggler, map);
	}
}

/* The child's page tables are copied, past the module's page faults. */
static void start_fork(struct toggler *toggler)
{
	toggler->child = fork();
	need(toggler->child >= 0, "fork: %m");
	if (!toggler->child)
		toggle_in_child(toggler, toggler->channel->map);
}

static void end_child(struct toggler *toggler)
{
	int status;

	waitpid(toggler->child, &status, 0);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "the other process ended with %x", status);
}

/* Make the guard look at the block again and again: each write() does, whatever it brings. */
static void look_often(const struct channel *channel)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + TRIAL_MS * NS_PER_MS;

	while (clock_ns(CLOCK_MONOTONIC) < end)
		try_recycle(channel, UINT32_MAX);
}

struct outcome {
	unsigned int trials;
	unsigned int late;    /* trials that do not count: the block got fresh pages meanwhile */
	unsigned int idle;    /* times that a look took the block for idle */
	unsigned int filled;  /* blocks that the engine filled again */
	unsigned int changed; /* pages that changed in the pipe */
};

/*
 * Give back one block of which a pipe holds a page. If a look takes it for idle, it leaves quarantine, and
 * then either the look on the way to the engine sends it back, which counts once more, or it is filled.
 */
static void try_once(const struct channel *channel, struct outcome *outcome)
{
	struct dmacast_stats before, after;
	struct dmacast_block block;
	struct held_page held;

	need(wait_for(channel, blocks_ready, BLOCK_COUNT, 20), "not all are ready");
	block = read_one(channel);
	shared->index = block.index;
	held = hold_page(channel, &block);
	before = channel_stats(channel);
	recycle(channel, block.index);
	look_often(channel);
	after = channel_stats(channel);
	if (after.replaced != before.replaced) {
		outcome->late++;
	} else {
		outcome->trials++;
		outcome->idle += after.quarantined - before.quarantined - 1;
		if (!after.blocks_quarantine) {
			outcome->filled++;
			wait_for(channel, blocks_ready, BLOCK_COUNT, 5);
		}
	}
	outcome->changed += !release_page(&held);
}

static void test_toggled(void (*start)(struct toggler *toggler),
			 void (*end)(struct toggler *toggler), bool do_fork, const char *who)
{
	struct channel channel = channel_run(PAGES * page_size, BLOCK_COUNT, DMACAST_SETUP_STALL);
	struct toggler togglers[TOGGLERS];
	struct outcome outcome = { 0 };

	if (do_fork && madvise((void *)(uintptr_t)channel.map, channel.map_size, MADV_DOFORK)) {
		channel_close(&channel);
		tap_skip(who, "this kernel refuses MADV_DOFORK");
		return;
	}
	for (uint64_t at = 0; at < channel.map_size; at += page_size)
		touch(channel.map + at);
	shared->ended = false;
	shared->toggles = 0;
	for (unsigned int i = 0; i < TOGGLERS; i++) {
		togglers[i] = (struct toggler){ .channel = &channel, .number = i };
		start(&togglers[i]);
	}
	while (outcome.trials < TRIALS && outcome.trials + outcome.late < MAX_ATTEMPTS)
		try_once(&channel, &outcome);
	shared->ended = true;
	for (unsigned int i = 0; i < TOGGLERS; i++)
		end(&togglers[i]);
	printf("# %s: %u trials, %u late, %u toggles; taken for idle: %u; filled: %u; changed: "
	       "%u\n",
	       who, outcome.trials, outcome.late, shared->toggles, outcome.idle, outcome.filled,
	       outcome.changed);
	check(outcome.trials == TRIALS, "%u of %u trials took too long", outcome.late,
	      MAX_ATTEMPTS);
	check(shared->toggles > TRIALS, "only %u toggles", shared->toggles);
	check(!outcome.idle, "a block in a pipe was taken for idle %u times", outcome.idle);
	check(!outcome.filled, "a block in a pipe was filled %u times", outcome.filled);
	check(!outcome.changed, "a page in a pipe changed %u times", outcome.changed);
	channel_close(&channel);
	point("%s", who);
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	shared = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(shared != MAP_FAILED, "mmap: %m");
	pin_to(0);
	test_toggled(start_thread, end_thread, false, "threads of the owner toggle pages");
	test_toggled(start_process, end_child, false,
		     "other processes toggle pages of their own mappings");
	test_toggled(start_fork, end_child, true,
		     "children toggle pages of mappings they inherited");
	return tap_end();
}
