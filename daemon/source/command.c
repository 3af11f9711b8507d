// SPDX-License-Identifier: BSD-2-Clause
#include "source/command.h"

#include "lib/log.h"
#include "source/command_log.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct command {
	const char *name;
	pid_t pid;	 /* also the group's */
	int pidfd;	 /* readable when it exited */
	bool terminated; /* by command_terminate(): do not warn about its status */
	bool status_logged;
	struct event *exited; /* of pidfd */
	struct command_log log;
};

/* Read the status but leave the zombie: as long as it exists, no other process group can get its id,
 * and what the command left behind in the group can be killed by that id. */
static void command_pidfd_readable(evutil_socket_t fd, short what, void *argument)
{
	struct command *command = argument;
	siginfo_t info = { 0 };

	(void)what;
	if (command->status_logged ||
	    waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT | WNOHANG) || !info.si_pid)
		return;
	command->status_logged = true;
	if (command->terminated || (info.si_code == CLD_EXITED && info.si_status == 0))
		log_debug("stream %s: command ended", command->name);
	else if (info.si_code == CLD_EXITED)
		log_warning("stream %s: command ended with status %d", command->name,
			    info.si_status);
	else
		log_warning("stream %s: command ended by signal %d, %s", command->name,
			    info.si_status, strsignal(info.si_status));
	event_del(command->exited);
}

static int command_spawn(const char *text, int output, int errors, pid_t *pid)
{
	char shell[] = "/bin/sh", option[] = "-c", *command = strdup(text);
	char *arguments[] = { shell, option, command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all;
	int error;

	if (!command)
		return ENOMEM;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	sigfillset(&all);
	posix_spawnattr_setsigdefault(&attributes, &all);
	error = posix_spawn(pid, shell, &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(command);
	return error;
}

static bool command_watch(struct event_base *base, struct command *command, int errors)
{
	command->pidfd = pidfd_open(command->pid, 0);
	if (command->pidfd < 0)
		return false;
	command->exited = event_new(base, command->pidfd, EV_READ, command_pidfd_readable, command);
	return command->exited && !event_add(command->exited, NULL) &&
	       command_log_open(&command->log, base, command->name, errors);
}

struct command *command_start(struct event_base *base, const char *name, const char *text,
			      int *output)
{
	int out[2] = { -1, -1 }, errors[2] = { -1, -1 }, error;
	struct command *command = calloc(1, sizeof(*command));

	if (!command || pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC)) {
		error = errno;
		goto fail;
	}
	command->name = name;
	command->log.fd = -1;
	error = command_spawn(text, out[1], errors[1], &command->pid);
	if (error)
		goto fail;
	close(out[1]);
	close(errors[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(errors[0], F_SETFL, O_NONBLOCK);
	if (!command_watch(base, command, errors[0])) {
		error = errno;
		close(out[0]);
		if (command->log.fd < 0)
			close(errors[0]);
		command_destroy(command);
		errno = error;
		return NULL;
	}
	*output = out[0];
	return command;
fail:
	for (int i = 0; i < 2; i++) {
		if (out[i] >= 0)
			close(out[i]);
		if (errors[i] >= 0)
			close(errors[i]);
	}
	free(command);
	errno = error;
	return NULL;
}

void command_terminate(struct command *command)
{
	command->terminated = true;
	kill(-command->pid, SIGTERM);
}

void command_destroy(struct command *command)
{
	if (command->exited) {
		command_pidfd_readable(command->pidfd, 0, command);
		event_free(command->exited);
	}
	kill(-command->pid, SIGKILL);
	while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (command->pidfd >= 0)
		close(command->pidfd);
	command_log_close(&command->log);
	free(command);
}
