// SPDX-License-Identifier: BSD-2-Clause
/*
 * libevent 2.1 has no hook around its poll. It calls epoll_wait() of the C library by the dynamic symbol, and
 * the program may define that, as loop_time_poll(): the linker exports a symbol that a library on its command
 * line refers to, and a program comes before its libraries. In a static program its definition is simply the
 * first one. It is in main.c, not here, as the other programs that use these files poll without being measured.
 * libevent 2.2 has the hooks.
 */
#include "lib/loop_time.h"

#include "lib/clock.h"
#include "lib/interrupted.h"
#include "lib/log.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if LOOP_HAS_HOOKS
#include <event2/watch.h>
#endif

/* Size of the kernel's signal set in bytes, which is not that of sigset_t. */
#define KERNEL_SIGSET_BYTES (_NSIG / 8)

/* Age in nanoseconds up to which a snapshot of the process is good enough. */
#define SNAPSHOT_NS 10000000ULL
/* Turns that seem longer than this, in nanoseconds, are measured more exactly. */
#define SUSPECT_NS 50000000ULL
/* Turns longer than this, in nanoseconds, are logged. */
#define WARN_NS 250000000ULL

/* What the kernel counts of this thread. */
struct snapshot {
	uint64_t taken_ns; /* monotonic */
	uint64_t cpu_ns;   /* CPU time */
	uint64_t
		queued_ns; /* time for which it was ready and had no CPU; 0 where the kernel does not tell */
	long sleeps; /* voluntary context switches */
};

static struct {
	bool is_running;
	uint64_t began_ns; /* begin of this turn; 0: in no turn */
	struct snapshot snapshot;
	struct loop_time time;
	struct log_limit limit;
} loop;

/* Return the time in nanoseconds for which this thread waited for a CPU; 0 if that is unknown. */
static uint64_t read_queued_ns(void)
{
	int fd = REPEAT_INTERRUPTED(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
	char text[128];
	uint64_t queued_ns = 0;
	ssize_t length;

	if (fd < 0)
		return 0;
	length = REPEAT_INTERRUPTED(read(fd, text, sizeof(text) - 1));
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	if (sscanf(text, "%*u %" SCNu64, &queued_ns) != 1)
		return 0;
	return queued_ns;
}

static void take_snapshot(struct snapshot *snapshot)
{
	struct rusage usage = { 0 };

	getrusage(RUSAGE_THREAD, &usage);
	snapshot->sleeps = usage.ru_nvcsw;
	snapshot->queued_ns = read_queued_ns();
	snapshot->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	snapshot->taken_ns = clock_monotonic_ns();
}

/* Return the duration of a turn, which seems to be @ns, without the time for which others had the CPU. */
static uint64_t busy_ns(uint64_t ns)
{
	const struct snapshot *before = &loop.snapshot;
	struct snapshot now;
	uint64_t queued_ns, cpu_ns;

	take_snapshot(&now);
	cpu_ns = now.cpu_ns - before->cpu_ns;
	queued_ns = now.queued_ns > before->queued_ns ? now.queued_ns - before->queued_ns : 0;
	/* A thread that did not sleep was busy for its CPU time: that knows of hypervisors, too. */
	if (now.sleeps == before->sleeps && cpu_ns < ns)
		return cpu_ns;
	return queued_ns < ns ? ns - queued_ns : 0;
}

static void loop_poll_returned(void)
{
	if (!loop.is_running)
		return;
	loop.began_ns = clock_monotonic_ns();
	if (loop.began_ns - loop.snapshot.taken_ns < SNAPSHOT_NS)
		return;
	take_snapshot(&loop.snapshot);
	loop.began_ns = loop.snapshot.taken_ns;
}

static void loop_poll_begins(void)
{
	uint64_t ns;

	if (!loop.began_ns)
		return;
	ns = clock_monotonic_ns() - loop.began_ns;
	loop.began_ns = 0;
	if (ns > SUSPECT_NS)
		ns = busy_ns(ns);
	histogram_add(&loop.time.turns, ns);
	if (ns > loop.time.longest_ns)
		loop.time.longest_ns = ns;
	if (ns > WARN_NS)
		log_limited(&loop.limit, LOG_LEVEL_WARNING,
			    "the event loop was busy for %" PRIu64
			    " ms in one turn; clients and requests had to wait",
			    ns / 1000000);
}

#if LOOP_HAS_HOOKS

static void loop_prepare(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
			 void *argument)
{
	(void)watch;
	(void)info;
	(void)argument;
	loop_poll_begins();
}

static void loop_check(struct evwatch *watch, const struct evwatch_check_cb_info *info,
		       void *argument)
{
	(void)watch;
	(void)info;
	(void)argument;
	loop_poll_returned();
}

/* The base frees them. */
static void loop_hook(struct event_base *base)
{
	if (!evwatch_prepare_new(base, loop_prepare, NULL) ||
	    !evwatch_check_new(base, loop_check, NULL))
		log_warning("no memory to measure the event loop");
}

#else

int loop_time_poll(int fd, struct epoll_event *events, int most, int timeout)
{
	int count;

	loop_poll_begins();
	count = (int)syscall(SYS_epoll_pwait, fd, events, most, timeout, NULL, KERNEL_SIGSET_BYTES);
	loop_poll_returned();
	return count;
}

static void loop_hook(struct event_base *base)
{
	(void)base;
}

#endif

void loop_time_start(struct event_base *base)
{
	loop_hook(base);
	loop.is_running = true;
}

void loop_time_stop(void)
{
	loop_poll_begins();
	loop.is_running = false;
	log_info("longest turn of the event loop: %" PRIu64 " ms", loop.time.longest_ns / 1000000);
}

const struct loop_time *loop_time(void)
{
	return &loop.time;
}
