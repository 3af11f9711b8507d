// SPDX-License-Identifier: BSD-2-Clause
/* The turns of the event loop: what counts as busy, and what does not. */
#include "lib/loop_time.h"

#include "capture.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "tap.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS 1000000ULL

#if !LOOP_HAS_HOOKS
/* As in main.c. */
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int most,
						      int timeout)
{
	return loop_time_poll(fd, events, most, timeout);
}
#endif

static struct event_base *base;
static struct capture capture;

static void compute(evutil_socket_t fd, short what, void *argument)
{
	const uint64_t *ms = argument;
	uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + *ms * MS;

	(void)fd;
	(void)what;
	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static void sleep_within(evutil_socket_t fd, short what, void *argument)
{
	const uint64_t *ms = argument;

	(void)fd;
	(void)what;
	usleep((useconds_t)(*ms * 1000));
}

/* Run a loop that polls for @wait_ms, then calls @work with @ms. */
static void run(event_callback_fn work, uint64_t wait_ms, uint64_t ms)
{
	const struct timeval wait = clock_timeval(wait_ms * 1000);

	event_base_once(base, -1, EV_TIMEOUT, work, &ms, &wait);
	loop_time_start(base);
	event_base_dispatch(base);
	loop_time_stop();
}

static void test_wait(void)
{
	run(compute, 300, 0);
	check(histogram_count(&loop_time()->turns) >= 1, "no turn");
	check(loop_time()->longest_ns < 250 * MS, "%" PRIu64 " ns", loop_time()->longest_ns);
	point("waiting for events is not a turn");
}

static void test_computing(void)
{
	uint64_t before = histogram_count(&loop_time()->turns);

	run(compute, 20, 120);
	check(histogram_count(&loop_time()->turns) > before, "no turn");
	check(loop_time()->longest_ns >= 115 * MS, "%" PRIu64 " ns", loop_time()->longest_ns);
	point("a callback that computes is");
}

static void test_sleeping(void)
{
	run(sleep_within, 20, 400);
	check(loop_time()->longest_ns >= 390 * MS, "%" PRIu64 " ns", loop_time()->longest_ns);
	point("one that sleeps is, too");
}

static void test_warning(void)
{
	log_set_level(LOG_LEVEL_WARNING);
	capture_begin(&capture, STDERR_FILENO);
	run(compute, 0, 420);
	capture_end(&capture);
	check(strstr(capture.text, "the event loop was busy for ") != NULL, "%s", capture.text);
	point("a very long turn is logged");
}

static void test_stopped(void)
{
	uint64_t before = histogram_count(&loop_time()->turns), ms = 0;
	const struct timeval wait = { .tv_usec = 1000 };

	event_base_once(base, -1, EV_TIMEOUT, compute, &ms, &wait);
	event_base_dispatch(base);
	check(histogram_count(&loop_time()->turns) == before, "counted");
	point("nothing is measured after the end");
}

int main(void)
{
	log_init("test");
	log_set_level(LOG_LEVEL_ERROR);
	base = event_base_new();
	test_wait();
	test_computing();
	test_sleeping();
	test_warning();
	test_stopped();
	event_base_free(base);
	return tap_end();
}
