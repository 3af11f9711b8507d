// SPDX-License-Identifier: BSD-2-Clause
#include "lib/child.h"

#include <event2/event_struct.h>
#include <signal.h>
#include <sys/pidfd.h>

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
