// SPDX-License-Identifier: BSD-2-Clause
#include "source/command.h"

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "source/command_log.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Time to exit without a signal after the output has ended. */
#define FINISH_US 1000000ULL
/* Time from SIGKILL until what does not end is left. */
#define KILL_US 2000000ULL
/* Interval of the checks whether a group without its leader has ended: from and to. */
#define MIN_CHECK_US 10000ULL
#define MAX_CHECK_US 200000ULL

enum command_state {
	COMMAND_RUNNING,
	COMMAND_FINISHING,
	COMMAND_TERMINATING,
	COMMAND_KILLING,
	COMMAND_ENDED,
	COMMAND_LEFT,
};

struct command {
	LIST_ENTRY(command) entry; /* of released_commands */
	struct event_base *base;
	char *name; /* of the stream */
	void (*ended)(void *argument);
	void *argument;
	enum command_state state;
	pid_t pid;		 /* also the group's */
	int pidfd;		 /* readable when the process has exited; -1: not available */
	bool exited;		 /* and reaped */
	bool is_released;	 /* it has no owner, and waits to be reaped */
	struct event exit_event; /* of pidfd, or of SIGCHLD */
	struct event timer;	 /* next step */
	uint64_t deadline_ns;	 /* of the state */
	uint64_t stop_us;	 /* for TERMINATING */
	uint64_t check_us;
	struct command_log log;
	int output; /* standard output that nobody needs any more; -1: none */
	struct event output_event;
};

/* Commands without an owner whose process has not been reaped. */
static LIST_HEAD(, command) released_commands = LIST_HEAD_INITIALIZER(released_commands);

/* ---- processes ---- */

/* Send a signal to the process itself, unless it was reaped. */
static int command_signal_process(const struct command *command, int number)
{
	if (command->pidfd >= 0)
		return pidfd_send_signal(command->pidfd, number, NULL, 0);
	return kill(command->pid, number);
}

/*
 * Return true if a process of the group exists, even as a zombie. A number stays taken as long as a group
 * has it. So once the leader was reaped, a process with that number means that the group is gone and the
 * number belongs to a stranger.
 */
static bool command_has_group(const struct command *command)
{
	if (command->exited && (kill(command->pid, 0) == 0 || errno != ESRCH))
		return false;
	return kill(-command->pid, 0) == 0 || errno == EPERM;
}

static void command_signal(const struct command *command, int number)
{
	if (command_has_group(command))
		kill(-command->pid, number);
	/* Only once: for some programs the second SIGTERM has another meaning. */
	if (!command->exited && getpgid(command->pid) != command->pid)
		command_signal_process(command, number);
}

/* A process of the group, as in /proc. */
struct group_member {
	pid_t pid;
	char name[64];
	unsigned int running, zombies; /* numbers of such processes in the group */
};

static void command_read_process(const char *number, struct group_member *member)
{
	char path[64], line[256], *name, *end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return;
	line[length] = '\0';
	/* "123 (name) S ...", where the name may contain anything. */
	name = strchr(line, '(');
	end = strrchr(line, ')');
	if (!name || !end || end[1] != ' ')
		return;
	if (end[2] == 'Z' || end[2] == 'X') {
		member->zombies++;
		return;
	}
	*end = '\0';
	member->running++;
	member->pid = (pid_t)atoi(number);
	strlcpy(member->name, name + 1, sizeof(member->name));
}

/* Look the group up in /proc: about a microsecond for each process of the system. */
static void command_find_group(const struct command *command, struct group_member *member)
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;

	memset(member, 0, sizeof(*member));
	while (directory && (entry = readdir(directory))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 &&
		    (getpgid(pid) == command->pid || (pid == command->pid && !command->exited)))
			command_read_process(entry->d_name, member);
	}
	if (directory)
		closedir(directory);
}

/* Return true if nothing of the command runs any more. */
static bool command_is_gone(const struct command *command)
{
	struct group_member member;
	siginfo_t info;

	if (!command->exited)
		return false;
	if (!command_has_group(command))
		return true;
	/* As process 1 of a container the daemon inherits them. */
	do {
		info.si_pid = 0;
	} while (!waitid(P_PGID, (id_t)command->pid, &info, WEXITED | WNOHANG) && info.si_pid);
	if (!command_has_group(command))
		return true;
	/* Nobody reaps zombies where process 1 does not. The first checks do without a look at /proc. */
	if (command->check_us < MAX_CHECK_US)
		return false;
	command_find_group(command, &member);
	return member.zombies && !member.running;
}

/* ---- the end ---- */

static void command_close_output(struct command *command)
{
	if (command->output < 0)
		return;
	event_del(&command->output_event);
	close(command->output);
	command->output = -1;
}

static void command_drop_output(evutil_socket_t fd, short what, void *argument)
{
	char dropped[65536];
	ssize_t n = read(fd, dropped, sizeof(dropped));

	(void)what;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		command_close_output(argument);
}

static void command_free(struct command *command)
{
	event_del(&command->timer);
	event_del(&command->exit_event);
	command_close_output(command);
	command_log_close(&command->log);
	if (command->pidfd >= 0)
		close(command->pidfd);
	if (command->is_released)
		LIST_REMOVE(command, entry);
	free(command->name);
	free(command);
}

static void command_log_left(const struct command *command)
{
	struct group_member member;

	command_find_group(command, &member);
	if (member.running > 1)
		log_warning(
			"stream %s: command: process %d (%s) and %u more do not end after SIGKILL; "
			"going on without them",
			command->name, (int)member.pid, member.name, member.running - 1);
	else if (member.running)
		log_warning(
			"stream %s: command: process %d (%s) does not end after SIGKILL; going on "
			"without it",
			command->name, (int)member.pid, member.name);
	else
		log_warning(
			"stream %s: command: process group %d does not end after SIGKILL; going "
			"on without it",
			command->name, (int)command->pid);
}

static void command_set_ended(struct command *command, enum command_state state)
{
	command->state = state;
	event_del(&command->timer);
	command_close_output(command);
	command_log_close(&command->log);
	if (state == COMMAND_LEFT)
		command_log_left(command);
	command->ended(command->argument);
}

static void command_set_deadline(struct command *command, uint64_t delay_us)
{
	command->deadline_ns = clock_monotonic_ns() + delay_us * 1000;
	command->check_us = MIN_CHECK_US;
}

/* Send the signal of the next state. */
static void command_go_on(struct command *command)
{
	if (command->state < COMMAND_TERMINATING && command->stop_us) {
		command->state = COMMAND_TERMINATING;
		command_signal(command, SIGTERM);
		/* A stopped process handles it only after this. */
		command_signal(command, SIGCONT);
		command_set_deadline(command, command->stop_us);
	} else {
		command->state = COMMAND_KILLING;
		command_signal(command, SIGKILL);
		command_set_deadline(command, KILL_US);
	}
}

static void command_schedule(struct command *command)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t delay_us =
		command->deadline_ns > now ? (command->deadline_ns - now) / 1000 + 1 : 0;
	struct timeval delay;

	/* The exit of the leader is an event, that of the others is not. */
	if (command->exited && delay_us > command->check_us) {
		delay_us = command->check_us;
		command->check_us *= 2;
		if (command->check_us > MAX_CHECK_US)
			command->check_us = MAX_CHECK_US;
	}
	delay = clock_timeval(delay_us);
	if (!evtimer_add(&command->timer, &delay))
		return;
	log_error("stream %s: command: no memory for a timer; killing it", command->name);
	command->state = COMMAND_KILLING;
	command->deadline_ns = 0;
	command_signal(command, SIGKILL);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

static void command_log_status(const struct command *command, const siginfo_t *info)
{
	if (command->state == COMMAND_LEFT)
		log_notice("stream %s: command: process %d has ended", command->name,
			   (int)command->pid);
	else if (command->state >= COMMAND_TERMINATING ||
		 (info->si_code == CLD_EXITED && info->si_status == 0))
		log_debug("stream %s: command ended", command->name);
	else if (info->si_code == CLD_EXITED)
		log_warning("stream %s: command ended with status %d", command->name,
			    info->si_status);
	else
		log_warning("stream %s: command ended by signal %d, %s", command->name,
			    info->si_status, strsignal(info->si_status));
}

/* Reap the process if it has exited. Return: false if it has not. */
static bool command_reap(struct command *command)
{
	siginfo_t info = { 0 };

	if (command->exited)
		return true;
	if (waitid(P_PID, (id_t)command->pid, &info, WEXITED | WNOHANG) || !info.si_pid)
		return false;
	command->exited = true;
	event_del(&command->exit_event);
	command_log_status(command, &info);
	return true;
}

static void command_step(evutil_socket_t fd, short what, void *argument)
{
	struct command *command = argument;
	bool late = clock_monotonic_ns() >= command->deadline_ns;

	(void)fd;
	(void)what;
	command_reap(command);
	if (command_is_gone(command)) {
		command_set_ended(command, COMMAND_ENDED);
		return;
	}
	if (late && command->state == COMMAND_KILLING) {
		command_set_ended(command, COMMAND_LEFT);
		return;
	}
	/* The others of a group whose leader has exited have no reason to go on. */
	if (late || (command->state == COMMAND_FINISHING && command->exited))
		command_go_on(command);
	command_schedule(command);
}

static void command_exit_event(evutil_socket_t fd, short what, void *argument)
{
	struct command *command = argument;

	(void)fd;
	(void)what;
	if (!command_reap(command))
		return;
	if (command->is_released)
		command_free(command);
	else if (command->state > COMMAND_RUNNING && command->state < COMMAND_ENDED)
		command_step(-1, 0, command);
}

/* Reap what ended without an event, for which there was no memory. */
static void command_reap_released(void)
{
	struct command *command, *next;

	LIST_FOREACH_SAFE (command, &released_commands, entry, next) {
		if (command_reap(command))
			command_free(command);
	}
}

void command_forget_released(const struct event_base *base)
{
	struct command *command, *next;

	LIST_FOREACH_SAFE (command, &released_commands, entry, next) {
		if (command->base == base)
			command_free(command);
	}
}

/* ---- the start ---- */

/* The pipes to and from a command; -1: closed, or never opened. */
struct command_ends {
	int input[2], output[2], errors[2];
};

/*
 * Become the command, in the child of vfork(): it uses the memory of the daemon, which is suspended until
 * execve(). Call system calls only.
 */
static _Noreturn void command_exec(char *const arguments[], const struct command_ends *ends,
				   pid_t daemon)
{
	static const char failed[] = "cannot run /bin/sh\n";
	const struct sigaction reset = { .sa_handler = SIG_DFL };
	int input = ends->input[0] >= 0 ? ends->input[0] : open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	dup2(input, STDIN_FILENO);
	dup2(ends->output[1], STDOUT_FILENO);
	dup2(ends->errors[1], STDERR_FILENO);
	setpgid(0, 0);
	/* The daemon may have ended before prctl(). */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != daemon)
		_exit(127);
	/* No handler of the daemon may run here: all signals are blocked until they have their default actions. */
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &reset, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(arguments[0], arguments, environ);
	if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
		_exit(126);
	_exit(127);
}

/* posix_spawn() has no PR_SET_PDEATHSIG, and fork() copies the page tables of an anonymous ring. */
static int command_spawn(const char *text, const struct command_ends *ends, pid_t *pid)
{
	char shell[] = "/bin/sh", option[] = "-c", *command = strdup(text);
	char *const arguments[] = { shell, option, command, NULL };
	const pid_t daemon = getpid();
	sigset_t all, before;
	pid_t child;
	int error;

	if (!command)
		return ENOMEM;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
	if (child == 0)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Vfork) */
		command_exec(arguments, ends, daemon);
	error = child < 0 ? errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(command);
	*pid = child;
	return error;
}

static struct command *command_create(struct event_base *base, const char *name)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command || !(command->name = strdup(name))) {
		free(command);
		return NULL;
	}
	command->base = base;
	command->pidfd = -1;
	command->log.fd = -1;
	command->output = -1;
	evtimer_assign(&command->timer, base, command_step, command);
	evtimer_assign(&command->exit_event, base, NULL, NULL);
	return command;
}

static void command_close_end(int *end)
{
	if (*end >= 0)
		close(*end);
	*end = -1;
}

static void command_close_ends(struct command_ends *ends)
{
	for (int i = 0; i < 2; i++) {
		command_close_end(&ends->input[i]);
		command_close_end(&ends->output[i]);
		command_close_end(&ends->errors[i]);
	}
}

/* Return the end that the caller takes over. */
static int command_take_end(int *end)
{
	int fd = *end;

	*end = -1;
	return fd;
}

/* Open a pipe. Only @ours does not block: the command's end is another open file description. */
static bool command_open_pipe(int ends[2], int ours)
{
	return !pipe2(ends, O_CLOEXEC) && !fcntl(ends[ours], F_SETFL, O_NONBLOCK);
}

static bool command_open_ends(struct command_ends *ends, bool with_input)
{
	return command_open_pipe(ends->output, 0) && command_open_pipe(ends->errors, 0) &&
	       (!with_input || command_open_pipe(ends->input, 1));
}

struct command *command_start(struct event_base *base, const char *name, const char *text,
			      int *output, int *input, void (*ended)(void *argument),
			      void *argument)
{
	struct command_ends ends = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct command *command;
	int error = ENOMEM;

	command_reap_released();
	command = command_create(base, name);
	if (!command)
		goto fail;
	command->ended = ended;
	command->argument = argument;
	if (!command_open_ends(&ends, input)) {
		error = errno;
		goto fail;
	}
	if (!command_log_open(&command->log, base, command->name, ends.errors[0]))
		goto fail;
	ends.errors[0] = -1;
	error = command_spawn(text, &ends, &command->pid);
	if (error)
		goto fail;
	if (!child_watch_exit(&command->exit_event, base, command->pid, &command->pidfd,
			      command_exit_event, command)) {
		command_release(command);
		command = NULL;
		error = ENOMEM;
		goto fail;
	}
	*output = command_take_end(&ends.output[0]);
	if (input)
		*input = command_take_end(&ends.input[1]);
	command_close_ends(&ends);
	return command;
fail:
	command_close_ends(&ends);
	if (command)
		command_free(command);
	errno = error;
	return NULL;
}

void command_drain(struct command *command, int output)
{
	command->output = output;
	event_assign(&command->output_event, command->base, output, EV_READ | EV_PERSIST,
		     command_drop_output, command);
	/* Without memory the command gets SIGPIPE instead. */
	if (event_add(&command->output_event, NULL))
		command_close_output(command);
}

void command_finish(struct command *command, uint64_t stop_us)
{
	if (command->state != COMMAND_RUNNING)
		return;
	command->state = COMMAND_FINISHING;
	command->stop_us = stop_us;
	command_set_deadline(command, FINISH_US);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

void command_end(struct command *command, uint64_t stop_us)
{
	if (command->state >= COMMAND_TERMINATING)
		return;
	command_reap(command);
	command->stop_us = stop_us;
	command_go_on(command);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

void command_kill(struct command *command)
{
	if (command->state >= COMMAND_KILLING)
		return;
	command->stop_us = 0;
	command_go_on(command);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

void command_release(struct command *command)
{
	command_reap(command);
	if (command->state < COMMAND_ENDED) {
		command->state = COMMAND_KILLING;
		command_signal(command, SIGKILL);
	}
	event_del(&command->timer);
	command_close_output(command);
	command_log_close(&command->log);
	if (command->exited) {
		command_free(command);
		return;
	}
	command->is_released = true;
	LIST_INSERT_HEAD(&released_commands, command, entry);
}
