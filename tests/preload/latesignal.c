// SPDX-License-Identifier: BSD-2-Clause
/*
 * For LD_PRELOAD: let a signal come at the moment when a program blocks signals.
 *
 * DMACAST_LATE_SIGTERM is "before" or "after": SIGTERM comes just before, or after, a call of sigprocmask() that blocks
 * SIGTERM.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Size of a set of signals in the kernel, in bytes. */
#define KERNEL_SET 8

static int comes(const char *when, int how, const sigset_t *set)
{
	const char *text = getenv("DMACAST_LATE_SIGTERM");

	return text && !strcmp(text, when) && how == SIG_BLOCK && set &&
	       sigismember(set, SIGTERM) == 1;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
	long result;

	if (comes("before", how, set))
		raise(SIGTERM);
	result = syscall(SYS_rt_sigprocmask, how, set, before, KERNEL_SET);
	if (comes("after", how, set))
		raise(SIGTERM);
	return (int)result;
}
