// SPDX-License-Identifier: BSD-2-Clause
/*
 * Real-time threads on the last processor: a thread that waits for blocks and does not sleep preempts the
 * one that feeds the engine at any place. The engine goes on being fed. Nothing else should run on that
 * processor (isolcpus): on PREEMPT_RT any task that is preempted with softirqs disabled delays the tasklet
 * of the simulated engine.
 */
#include "channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE (4 * KIB)
#define BLOCK_COUNT 8U
/* The engine fills a block in about a millisecond, and sleeps in between. */
#define RATE "4000000"
#define ROUNDS 400U
#define MAX_IDLE 5U /* rounds without a block, after which it gives up */
#define PRIORITY_ENGINE 80
#define PRIORITY_SOFTIRQS 79
#define PRIORITY_HOG 50
#define RT_RUNTIME "/proc/sys/kernel/sched_rt_runtime_us"

static unsigned int processor;

static void realtime_pin(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	/* A thread of the kernel that belongs to a processor stays there. */
	sched_setaffinity(pid, sizeof(set), &set);
}

static void set_priority(pid_t pid, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	need(!sched_setscheduler(pid, priority ? SCHED_FIFO : SCHED_OTHER, &param),
	     "priority %d of %d: %m", priority, pid);
}

/* find_task() - the process of that name; 0: there is none. */
static pid_t find_task(const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	need(proc, "/proc: %m");
	while (!pid && (entry = readdir(proc))) {
		char path[PATH_MAX], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(comm, sizeof(comm), file) && !strcmp(strtok(comm, "\n") ?: "", name))
			pid = (pid_t)strtol(entry->d_name, NULL, 10);
		fclose(file);
	}
	closedir(proc);
	return pid;
}

/* ---- The owner, of ordinary priority ---- */

static atomic_bool ended;

static void *feed(void *argument)
{
	const struct channel *channel = argument;
	struct dmacast_block blocks[BLOCK_COUNT];
	uint32_t index[BLOCK_COUNT];

	realtime_pin(0);
	while (!ended) {
		ssize_t got = read(channel->fd, blocks, sizeof(blocks));
		size_t count = got > 0 ? got / sizeof(*blocks) : 0;

		for (size_t i = 0; i < count; i++)
			index[i] = blocks[i].index;
		/* Each write() feeds the engine, and one of nothing good, too. */
		if (!count)
			index[count++] = UINT32_MAX;
		if (write(channel->fd, index, count * sizeof(*index)) < 0 && errno != EINVAL)
			break;
	}
	return NULL;
}

/* ---- The hog ---- */

static uint64_t completed(int file)
{
	char text[32] = "";

	need(pread(file, text, sizeof(text) - 1, 0) > 0, "completed: %m");
	return strtoull(text, NULL, 10);
}

/* spin() - until more blocks than the ring has were filled. Return: false after 5 s. */
static bool spin(int file)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + 5 * NS_PER_S;
	uint64_t enough = completed(file) + BLOCK_COUNT + 1;

	while (completed(file) < enough)
		if (clock_ns(CLOCK_MONOTONIC) > end)
			return false;
	return true;
}

/* Why no block was filled for 5 s. */
enum idleness {
	STARVED, /* the engine has no block */
	LATE, /* it has one, and told of every transfer that it finished: it may not have been told of the block */
	UNDELIVERED, /* its tasklet did not run, so the module does not know of a transfer; that is not the module's */
	IDLENESSES
};

static enum idleness idleness(const struct channel *channel, uint64_t transfers)
{
	struct dmacast_stats stats = channel_stats(channel);

	transfers = sim_value("transfers") - transfers;
	printf("# 5 s: %u queued, %u ready, %llu of %" PRIu64 " transfers completed\n",
	       stats.blocks_queued, stats.blocks_ready, stats.completed, transfers);
	if (!stats.blocks_queued)
		return STARVED;
	return stats.completed == transfers ? LATE : UNDELIVERED;
}

static void test_hog(void)
{
	struct channel channel;
	uint64_t transfers = sim_value("transfers");
	unsigned int idle[IDLENESSES] = { 0 };
	char path[PATH_MAX];
	pthread_t thread;
	int file;

	sim("rate", RATE);
	channel = channel_run(BLOCK_SIZE, BLOCK_COUNT, 0);
	need(!fcntl(channel.fd, F_SETFL, O_NONBLOCK), "fcntl: %m");
	snprintf(path, sizeof(path), "/sys/class/dmacast/%s/completed", channel_name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	need(file >= 0, "%s: %m", path);
	need(!pthread_create(&thread, NULL, feed, &channel), "no thread");
	realtime_pin(0);
	set_priority(0, PRIORITY_HOG);
	for (unsigned int n = 0, all_idle = 0; n < ROUNDS && all_idle < MAX_IDLE; n++) {
		struct timespec pause = { .tv_nsec = 100000 + random() % 3000000 };

		nanosleep(&pause, NULL);
		if (spin(file))
			continue;
		idle[idleness(&channel, transfers)]++;
		all_idle++;
	}
	set_priority(0, 0);
	ended = true;
	pthread_join(thread, NULL);
	check(!idle[STARVED], "nobody fed the engine for 5 s, %u times", idle[STARVED]);
	check(!idle[LATE], "the engine did nothing for 5 s, %u times", idle[LATE]);
	/*
	 * On PREEMPT_RT any task that is preempted with softirqs disabled keeps tasklets from running. What else
	 * there is on this processor does so about once, in the first rounds.
	 */
	check(idle[UNDELIVERED] < MAX_IDLE, "the engine's tasklet did not run for 5 s, %u times",
	      idle[UNDELIVERED]);
	close(file);
	channel_close(&channel);
	sim("rate", "0");
	point("a real-time thread preempts those who feed, and spins");
}

/* raise_thread() - raise a thread of the kernel that belongs to the processor, if there is one. */
static void raise_thread(const char *kind, int priority)
{
	char name[32];
	pid_t pid;

	snprintf(name, sizeof(name), "%s/%u", kind, processor);
	pid = find_task(name);
	if (pid)
		set_priority(pid, priority);
}

int main(int argc, char **argv)
{
	pid_t engine;

	begin(argc, argv);
	processor = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	engine = find_task("dmacast_sim/0");
	need(engine, "the engine has no thread");
	/* Without a rest for others: they would feed in it. */
	need(write_file(RT_RUNTIME, "-1"), RT_RUNTIME ": %m");
	set_priority(engine, PRIORITY_ENGINE);
	realtime_pin(engine);
	/*
	 * The engine calls back by a tasklet, which a PREEMPT_RT kernel runs in the first thread, and not as
	 * long as the second one is preempted.
	 */
	raise_thread("ksoftirqd", PRIORITY_SOFTIRQS);
	raise_thread("ktimers", PRIORITY_SOFTIRQS);
	test_hog();
	return tap_end();
}
