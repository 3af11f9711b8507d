// SPDX-License-Identifier: BSD-2-Clause
#include "candidate.h"

#include "lib/child.h"
#include "lib/interrupted.h"
#include "lib/parcel.h"
#include "lib/priority.h"
#include "lib/refuse.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Time for the answer. */
static const struct timeval candidate_time = { .tv_sec = 5 };

struct candidate {
	char *path;
	void (*checked)(void *argument, const char *wrong);
	void *argument; /* of checked() */
	pid_t child;	/* 0: none */
	int pidfd;	/* see child_watch_exit() */
	int output;	/* what it prints */
	bool late;	/* it was ended */
	struct event exit, timer;
};

/* ---- the child ---- */

/* Run the program, in the child. All signals are blocked until their handlers are reset. */
static _Noreturn void candidate_run(const char *path, int output, pid_t daemon)
{
	static char option[] = "--handover-format";
	char *arguments[] = { (char *)(uintptr_t)path, option, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (!child_end_with(daemon))
		_exit(1);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	child_reset_signals();
	execv(path, arguments);
	_exit(127);
}

/* Return: 0 or an errno. */
static int candidate_fork(struct candidate *candidate, int output)
{
	const pid_t daemon = getpid();

	candidate->child = child_fork();
	if (candidate->child == 0)
		candidate_run(candidate->path, output, daemon);
	if (candidate->child > 0)
		return 0;
	candidate->child = 0;
	return errno;
}

/* ---- its end ---- */

static bool candidate_judge(const struct candidate *candidate, const siginfo_t *info,
			    char wrong[CANDIDATE_WRONG_TEXT])
{
	char text[64], expected[16];
	ssize_t length = REPEAT_INTERRUPTED(read(candidate->output, text, sizeof(text) - 1));

	snprintf(expected, sizeof(expected), "%d\n", PARCEL_FORMAT);
	text[length > 0 ? length : 0] = '\0';
	if (candidate->late)
		return refuse(wrong, CANDIDATE_WRONG_TEXT, "%s --handover-format does not end",
			      candidate->path);
	if (info->si_code != CLD_EXITED || info->si_status || strspn(text, "0123456789") == 0 ||
	    text[strspn(text, "0123456789")] != '\n')
		return refuse(wrong, CANDIDATE_WRONG_TEXT,
			      "%s is not a dmacastd that can take over: it does not answer to "
			      "--handover-format",
			      candidate->path);
	if (!strcmp(text, expected))
		return true;
	text[strcspn(text, "\n")] = '\0';
	return refuse(wrong, CANDIDATE_WRONG_TEXT,
		      "%s understands handover format %s; expected %d: restart the "
		      "service instead, which ends all connections",
		      candidate->path, text, PARCEL_FORMAT);
}

/* Reap the child. Return: false if it has not exited. */
static bool candidate_reap(struct candidate *candidate, siginfo_t *info)
{
	if (waitid(P_PID, (id_t)candidate->child, info, WEXITED | WNOHANG) == 0 && !info->si_pid)
		return false;
	candidate->child = 0;
	return true;
}

static void candidate_exited(evutil_socket_t fd, short what, void *argument)
{
	struct candidate *candidate = argument;
	char wrong[CANDIDATE_WRONG_TEXT];
	siginfo_t info = { 0 };
	bool right;

	(void)fd;
	(void)what;
	if (!candidate_reap(candidate, &info))
		return;
	event_del(&candidate->exit);
	event_del(&candidate->timer);
	right = candidate_judge(candidate, &info, wrong);
	candidate->checked(candidate->argument, right ? NULL : wrong);
}

static void candidate_is_late(evutil_socket_t fd, short what, void *argument)
{
	struct candidate *candidate = argument;

	(void)fd;
	(void)what;
	candidate->late = true;
	kill(candidate->child, SIGKILL);
}

/* ---- its start ---- */

static bool candidate_check_file(const char *path, char wrong[CANDIDATE_WRONG_TEXT])
{
	struct stat status;

	if (*path != '/')
		return refuse(wrong, CANDIDATE_WRONG_TEXT, "%s: expected an absolute path", path);
	if (stat(path, &status) || (S_ISREG(status.st_mode) && access(path, X_OK)))
		return refuse(wrong, CANDIDATE_WRONG_TEXT, "%s: %s", path, strerror(errno));
	return S_ISREG(status.st_mode) ||
	       refuse(wrong, CANDIDATE_WRONG_TEXT,
		      "%s: expected a program, not a directory or device", path);
}

static bool candidate_start(struct candidate *candidate, struct event_base *base,
			    char wrong[CANDIDATE_WRONG_TEXT])
{
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return refuse(wrong, CANDIDATE_WRONG_TEXT, "cannot run %s: %s", candidate->path,
			      strerror(errno));
	candidate->output = ends[0];
	error = candidate_fork(candidate, ends[1]);
	close(ends[1]);
	if (error)
		return refuse(wrong, CANDIDATE_WRONG_TEXT, "cannot run %s: %s", candidate->path,
			      strerror(error));
	if (child_watch_exit(&candidate->exit, base, candidate->child, &candidate->pidfd,
			     candidate_exited, candidate) &&
	    !evtimer_add(&candidate->timer, &candidate_time))
		return true;
	return refuse(wrong, CANDIDATE_WRONG_TEXT, "no memory to run %s", candidate->path);
}

struct candidate *candidate_check(struct event_base *base, const char *path,
				  void (*checked)(void *argument, const char *wrong),
				  void *argument, char wrong[CANDIDATE_WRONG_TEXT])
{
	struct candidate *candidate;

	if (!candidate_check_file(path, wrong))
		return NULL;
	candidate = calloc(1, sizeof(*candidate));
	refuse(wrong, CANDIDATE_WRONG_TEXT, "no memory to run %s", path);
	if (!candidate)
		return NULL;
	candidate->path = strdup(path);
	candidate->checked = checked;
	candidate->argument = argument;
	candidate->pidfd = -1;
	candidate->output = -1;
	evtimer_assign(&candidate->timer, base, candidate_is_late, candidate);
	evtimer_assign(&candidate->exit, base, NULL, NULL);
	event_priority_set(&candidate->timer, PRIORITY_OPERATOR);
	if (candidate->path && candidate_start(candidate, base, wrong))
		return candidate;
	candidate_free(candidate);
	return NULL;
}

void candidate_free(struct candidate *candidate)
{
	if (!candidate)
		return;
	event_del(&candidate->timer);
	event_del(&candidate->exit);
	if (candidate->child) {
		kill(candidate->child, SIGKILL);
		REPEAT_INTERRUPTED(waitid(P_PID, (id_t)candidate->child, NULL, WEXITED));
	}
	if (candidate->pidfd >= 0)
		close(candidate->pidfd);
	if (candidate->output >= 0)
		close(candidate->output);
	free(candidate->path);
	free(candidate);
}
