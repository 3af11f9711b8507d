// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_signals.h"

#include "lib/clock.h"

#include <signal.h>

/* Signals within this time are one. */
#define SECOND_SIGNAL_NS NS_PER_S

/* They end the program in order. */
static const int cat_signal_numbers[] = { SIGINT, SIGTERM, SIGHUP };

static volatile sig_atomic_t cat_signal_stopped;

/* The second signal ends the program at once; but timeout(1) sends each one twice. */
static void cat_signalled(int number)
{
	static uint64_t first_ns;
	uint64_t now_ns = clock_monotonic_ns();

	if (!cat_signal_stopped) {
		first_ns = now_ns;
	} else if (now_ns - first_ns >= SECOND_SIGNAL_NS) {
		signal(number, SIG_DFL);
		raise(number);
	}
	cat_signal_stopped = number;
}

void cat_signals_allow(bool allow)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(cat_signal_numbers) / sizeof(cat_signal_numbers[0]); i++)
		sigaddset(&set, cat_signal_numbers[i]);
	pthread_sigmask(allow ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

/* As nohup(1) sets it. */
static bool cat_ignores_hangup(void)
{
	struct sigaction action;

	return !sigaction(SIGHUP, NULL, &action) && action.sa_handler == SIG_IGN;
}

void cat_signals_catch(void)
{
	struct sigaction action = { .sa_handler = cat_signalled };
	bool nohup = cat_ignores_hangup();

	sigfillset(&action.sa_mask);
	cat_signals_allow(false);
	for (size_t i = 0; i < sizeof(cat_signal_numbers) / sizeof(cat_signal_numbers[0]); i++) {
		if (cat_signal_numbers[i] != SIGHUP || !nohup)
			sigaction(cat_signal_numbers[i], &action, NULL);
	}
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

bool cat_signals_stopped(void)
{
	return cat_signal_stopped;
}

void cat_signals_poll(struct pollfd *fds, nfds_t count, uint64_t until_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(wait_ns / NS_PER_S),
		.tv_nsec = (long)(wait_ns % NS_PER_S),
	};
	sigset_t none;

	sigemptyset(&none);
	if (ppoll(fds, count, until_ns == CAT_NEVER ? NULL : &timeout, &none) > 0)
		return;
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = 0;
}
