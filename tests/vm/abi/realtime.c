// SPDX-License-Identifier: BSD-2-Clause
/*
 * Real-time threads on one processor: whoever feeds the engine may be preempted at any place by a thread
 * that waits for blocks and does not sleep. The engine goes on being fed.
 */
#include "channel.h"

#include <dirent.h>
#include <fcntl.h>
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
#define PRIORITY_ENGINE 80
#define PRIORITY_SOFTIRQS 79
#define PRIORITY_HOG 50
#define RT_RUNTIME "/proc/sys/kernel/sched_rt_runtime_us"

static void pin(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	/* A thread of the kernel that belongs to a processor stays there. */
	sched_setaffinity(pid, sizeof(set), &set);
}

static void set_priority(pid_t pid, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	need(!sched_setscheduler(pid, priority ? SCHED_FIFO : SCHED_OTHER, &param),
	     "priority %d of %d: %m", priority, pid);
}

/* find_task() - the process of that name. */
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
	need(pid, "no task %s", name);
	return pid;
}

/* ---- The owner, of ordinary priority ---- */

static atomic_bool ended;

static void *feed(void *argument)
{
	const struct channel *channel = argument;
	struct dmacast_block blocks[BLOCK_COUNT];
	uint32_t index[BLOCK_COUNT];

	pin(0);
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

static void test_hog(void)
{
	struct channel channel;
	unsigned int starved = 0;
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
	pin(0);
	set_priority(0, PRIORITY_HOG);
	for (unsigned int n = 0; n < ROUNDS && starved < 5; n++) {
		struct timespec pause = { .tv_nsec = 100000 + random() % 3000000 };

		nanosleep(&pause, NULL);
		starved += !spin(file);
	}
	set_priority(0, 0);
	ended = true;
	pthread_join(thread, NULL);
	check(!starved, "the engine got no block %u times, for 5 s", starved);
	close(file);
	channel_close(&channel);
	sim("rate", "0");
	point("a real-time thread preempts those who feed, and spins");
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	/* Without a rest for others: they would feed in it. */
	need(write_file(RT_RUNTIME, "-1"), RT_RUNTIME ": %m");
	set_priority(find_task("dmacast_sim/0"), PRIORITY_ENGINE);
	pin(find_task("dmacast_sim/0"));
	/* It calls back by a tasklet, which a PREEMPT_RT kernel runs in this thread. */
	set_priority(find_task("ksoftirqd/0"), PRIORITY_SOFTIRQS);
	test_hog();
	return tap_end();
}
