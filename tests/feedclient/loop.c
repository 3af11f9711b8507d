// SPDX-License-Identifier: BSD-2-Clause
#include "loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "connect.h"
#include "options.h"

#define MAX_EVENTS 256

static uint64_t tick_at;
static uint64_t progress_at = NEVER;
static uint64_t progress_bytes;

static volatile sig_atomic_t signalled;
static volatile sig_atomic_t pauses_wanted;

static void client_dispatch(struct client *client, uint32_t events)
{
	if (client->state == STATE_CONNECTING)
		connect_finish(client);
	else
		client_event(client, events);
}

static void show_progress(void)
{
	if (!opt.progress || run.started_at == NEVER)
		return;
	if (progress_at == NEVER) {
		progress_at = run.started_at + NS_PER_S;
		progress_bytes = run.started_bytes;
	}
	if (run.now < progress_at)
		return;
	fprintf(stderr, "progress: %.1f MiB received, %.1f MiB/s\n", (double)tally.bytes / 1048576,
		(double)(tally.bytes - progress_bytes) / 1048576);
	progress_bytes = tally.bytes;
	progress_at += NS_PER_S;
}

static void write_pauses(void)
{
	FILE *file;

	if (!pauses_wanted || !opt.pauses)
		return;
	pauses_wanted = 0;
	file = fopen(opt.pauses, "ae");
	if (!file) {
		tally_fail("%s: %s", opt.pauses, strerror(errno));
		return;
	}
	client_write_pauses(file);
	fclose(file);
}

static void do_timed_work(void)
{
	run.now = run_clock();
	write_pauses();
	connect_start();
	show_progress();
	if (run.now < tick_at)
		return;
	tick_at = run.now + TICK_NS;
	connect_expire();
	client_resume_reading();
}

/* Return the milliseconds until something is due, -1 if nothing is. */
static int wait_time(void)
{
	uint64_t due = min_u64(run.deadline, progress_at);

	if (!TAILQ_EMPTY(&run.waiting) || !TAILQ_EMPTY(&run.connecting) ||
	    !TAILQ_EMPTY(&run.paused))
		due = min_u64(due, tick_at);
	if (due == NEVER)
		return -1;
	return due <= run.now ? 0 : (int)min_u64((due - run.now + 999999) / 1000000, 60000);
}

static bool run_over(void)
{
	return signalled || run.connect_failed || run.now >= run.deadline ||
	       (run.started_at != NEVER && run.awaited == 0);
}

static void wait_for_events(const sigset_t *signals)
{
	struct epoll_event events[MAX_EVENTS];
	int count = epoll_pwait(run.epoll, events, MAX_EVENTS, wait_time(), signals);

	run.now = run_clock();
	for (int i = 0; i < count; i++)
		client_dispatch(events[i].data.ptr, events[i].events);
}

static void stop_clients(void)
{
	run.stopping = true;
	run.ended_at = run_clock();
	if (run.connect_failed)
		return;
	if (run.started_at == NEVER)
		tally_fail("only %" PRIu64 " of %" PRIu64 " clients were connected",
			   tally.connected, opt.clients);
	else if (opt.until_end && run.awaited)
		tally_fail("%" PRIu64 " clients were not ended by the server", run.awaited);
}

static void close_clients(void)
{
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		if (client->state == STATE_RUNNING || client->state == STATE_STALLED)
			client_end(client, ENDING_STOPPED);
		client_close_socket(client);
	}
}

static void on_signal(int number)
{
	if (number == SIGUSR1)
		pauses_wanted = 1;
	else
		signalled = 1;
}

/* Block signals except while waiting for events; set *@unblocked to the mask to wait with. */
static void catch_stop_signals(sigset_t *unblocked)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, unblocked);
	sigdelset(unblocked, SIGINT);
	sigdelset(unblocked, SIGTERM);
	sigdelset(unblocked, SIGUSR1);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void loop_run(void)
{
	sigset_t unblocked;

	raise_file_limit();
	catch_stop_signals(&unblocked);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll < 0) {
		tally_fail("epoll_create1: %s", strerror(errno));
		return;
	}
	for (uint64_t i = 0; i < opt.clients; i++)
		client_connect_later(&run.clients[i], 0);
	do_timed_work();
	while (!run_over()) {
		wait_for_events(&unblocked);
		do_timed_work();
	}
	stop_clients();
	close_clients();
	close(run.epoll);
}
