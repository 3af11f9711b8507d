// SPDX-License-Identifier: BSD-2-Clause
#include "lib/child.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t child_fork(void)
{
	sigset_t all, before;
	pid_t child;
	int error;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = fork();
	if (child == 0)
		return 0;
	error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = error;
	return child;
}

bool child_end_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == parent;
}

void child_reset_signals(void)
{
	const struct sigaction reset = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &reset, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

bool child_watch_exit(struct event *event, struct event_base *base, pid_t child, int *pidfd,
		      event_callback_fn exited, void *argument)
{
	/* Kernels before 5.3 have none. */
	*pidfd = pidfd_open(child, 0);
	if (*pidfd >= 0)
		event_assign(event, base, *pidfd, EV_READ | EV_PERSIST, exited, argument);
	else
		evsignal_assign(event, base, SIGCHLD, exited, argument);
	if (event_add(event, NULL))
		return false;
	/* It may have exited before SIGCHLD was watched. */
	if (*pidfd < 0)
		event_active(event, EV_SIGNAL, 1);
	return true;
}
