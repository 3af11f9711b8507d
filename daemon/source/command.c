// SPDX-License-Identifier: BSD-2-Clause
#include "source/command.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/state.h"
#include "source/command_log.h"
#include "source/supervisor.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Time to exit without a signal after the output has ended. */
#define FINISH_US 1000000ULL
/* Time from SIGKILL until what does not end is left. */
#define KILL_US 2000000ULL
/* Interval of the attempts to reap a supervisor that has closed its socket. */
#define REAP_US 5000ULL

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
	struct supervisor supervisor;
	pid_t pid;	  /* of the leader, also the group's; 0: not known yet */
	bool exited;	  /* the leader */
	bool remains;	  /* others of its group run */
	bool gone;	  /* nothing of the group runs */
	bool is_released; /* it has no owner, and waits until the supervisor is reaped */
	bool is_restored; /* another process started it */
	struct event report_event;
	struct event timer;   /* next step */
	uint64_t deadline_ns; /* of the state */
	uint64_t stop_us;     /* for TERMINATING */
	struct command_log log;
	int output; /* standard output that nobody needs any more; -1: none */
	struct event output_event;
};

/* Commands without an owner whose supervisor has not been reaped. */
static LIST_HEAD(, command) released_commands = LIST_HEAD_INITIALIZER(released_commands);

/* ---- processes ---- */

/* A process of the group, as in /proc. */
struct group_member {
	pid_t pid;
	char name[64];
	unsigned int running; /* number of such processes in the group */
};

static void command_read_process(const char *number, struct group_member *member)
{
	char path[NAME_MAX + sizeof("/proc//stat")], line[256], *name, *end;
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
	if (end[2] == 'Z' || end[2] == 'X')
		return;
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

		if (pid > 0 && command->pid &&
		    (getpgid(pid) == command->pid || (pid == command->pid && !command->exited)))
			command_read_process(entry->d_name, member);
	}
	if (directory)
		closedir(directory);
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
	event_del(&command->report_event);
	command_close_output(command);
	command_log_close(&command->log);
	supervisor_close(&command->supervisor);
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
}

/* Send the signal of the next state. */
static void command_go_on(struct command *command)
{
	if (command->state < COMMAND_TERMINATING && command->stop_us) {
		command->state = COMMAND_TERMINATING;
		supervisor_signal(&command->supervisor, SIGTERM);
		/* A stopped process handles it only after this. */
		supervisor_signal(&command->supervisor, SIGCONT);
		command_set_deadline(command, command->stop_us);
	} else {
		command->state = COMMAND_KILLING;
		supervisor_signal(&command->supervisor, SIGKILL);
		command_set_deadline(command, KILL_US);
	}
}

static void command_schedule(struct command *command)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t delay_us =
		command->deadline_ns > now ? (command->deadline_ns - now) / 1000 + 1 : 0;
	struct timeval delay = clock_timeval(delay_us);

	if (!evtimer_add(&command->timer, &delay))
		return;
	log_error("stream %s: command: no memory for a timer; killing it", command->name);
	command->state = COMMAND_KILLING;
	command->deadline_ns = 0;
	supervisor_signal(&command->supervisor, SIGKILL);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

/* @code, @status: of waitid() */
static void command_log_status(const struct command *command, int code, int status)
{
	if (command->state == COMMAND_LEFT)
		log_notice("stream %s: command: process %d has ended", command->name,
			   (int)command->pid);
	else if (command->state >= COMMAND_TERMINATING || (code == CLD_EXITED && status == 0))
		log_debug("stream %s: command ended", command->name);
	else if (code == CLD_EXITED)
		log_warning("stream %s: command ended with status %d", command->name, status);
	else
		log_warning("stream %s: command ended by signal %d, %s", command->name, status,
			    strsignal(status));
}

/* Free the command if its supervisor has ended and was reaped. It closes its socket a moment before. */
static void command_free_if_over(struct command *command)
{
	const struct timeval delay = clock_timeval(REAP_US);

	if (command->supervisor.socket >= 0)
		return;
	if (supervisor_reap(&command->supervisor))
		command_free(command);
	else
		evtimer_add(&command->timer, &delay); /* else command_reap_released() does it */
}

static void command_step(evutil_socket_t fd, short what, void *argument)
{
	struct command *command = argument;
	bool late = clock_monotonic_ns() >= command->deadline_ns;

	(void)fd;
	(void)what;
	if (command->is_released) {
		command_free_if_over(command);
		return;
	}
	if (command->gone) {
		command_set_ended(command, COMMAND_ENDED);
		return;
	}
	if (late && command->state == COMMAND_KILLING) {
		command_set_ended(command, COMMAND_LEFT);
		return;
	}
	/* The others of a group whose leader has exited have no reason to go on. */
	if (late || (command->state == COMMAND_FINISHING && command->remains))
		command_go_on(command);
	command_schedule(command);
}

/* Something has killed the supervisor, and so the kernel the leader. The number of a restored one is not certain. */
static void command_lose_supervisor(struct command *command)
{
	if (!command->exited && command->pid > 1 && !command->is_restored)
		kill(-command->pid, SIGKILL);
	log_warning("stream %s: command: the process that supervises it was killed; the command "
		    "is killed, too",
		    command->name);
	command->exited = true;
	command->gone = true;
}

static void command_supervisor_ended(struct command *command)
{
	event_del(&command->report_event);
	supervisor_close(&command->supervisor);
	if (!command->gone)
		command_lose_supervisor(command);
}

static void command_take_report(struct command *command, const struct supervisor_report *report)
{
	switch (report->kind) {
	case SUPERVISOR_STARTED:
		command->pid = report->value;
		break;
	case SUPERVISOR_EXITED:
		command->exited = true;
		command_log_status(command, report->value, report->status);
		break;
	case SUPERVISOR_REMAINS:
		command->remains = true;
		break;
	case SUPERVISOR_GONE:
		command->exited = true;
		command->gone = true;
		break;
	default:
		log_debug("stream %s: command: unknown report %d", command->name, report->kind);
	}
}

static void command_take_reports(struct command *command)
{
	struct supervisor_report report;
	int got;

	if (command->supervisor.socket < 0)
		return;
	while ((got = supervisor_receive(&command->supervisor, &report)) > 0)
		command_take_report(command, &report);
	if (got < 0)
		command_supervisor_ended(command);
}

static void command_report_ready(evutil_socket_t fd, short what, void *argument)
{
	struct command *command = argument;

	(void)fd;
	(void)what;
	command_take_reports(command);
	if (command->is_released)
		command_free_if_over(command);
	else if (command->state > COMMAND_RUNNING && command->state < COMMAND_ENDED)
		command_step(-1, 0, command);
}

/* Free what ended without an event, for which there was no memory. */
static void command_reap_released(void)
{
	struct command *command, *next;

	LIST_FOREACH_SAFE (command, &released_commands, entry, next) {
		if (command->supervisor.socket < 0 && supervisor_reap(&command->supervisor))
			command_free(command);
	}
}

void command_forget_released(const struct event_base *base)
{
	struct command *command, *next;

	LIST_FOREACH_SAFE (command, &released_commands, entry, next) {
		if (command->base != base)
			continue;
		supervisor_reap(&command->supervisor);
		command_free(command);
	}
}

/* ---- the start ---- */

/* The pipes to and from a command; -1: closed, or never opened. */
struct command_ends {
	int input[2], output[2], errors[2];
};

static struct command *command_create(struct event_base *base, const char *name)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command || !(command->name = strdup(name))) {
		free(command);
		return NULL;
	}
	command->base = base;
	command->supervisor.socket = -1;
	command->log.fd = -1;
	command->output = -1;
	evtimer_assign(&command->timer, base, command_step, command);
	evtimer_assign(&command->report_event, base, NULL, NULL);
	evtimer_assign(&command->output_event, base, NULL, NULL);
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

/* Return: false without memory. */
static bool command_watch_reports(struct command *command)
{
	event_assign(&command->report_event, command->base, command->supervisor.socket,
		     EV_READ | EV_PERSIST, command_report_ready, command);
	return !event_add(&command->report_event, NULL);
}

/* Return: false with errno set. */
static bool command_spawn(struct command *command, const char *text,
			  const struct command_ends *ends)
{
	const struct supervisor_ends its = { ends->input[0], ends->output[1], ends->errors[1] };

	return supervisor_start(&command->supervisor, text, &its);
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
	if (!command_spawn(command, text, &ends)) {
		error = errno;
		goto fail;
	}
	if (!command_watch_reports(command)) {
		supervisor_close(&command->supervisor); /* which kills it */
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
	supervisor_signal(&command->supervisor, 0);
	event_active(&command->timer, EV_TIMEOUT, 0);
}

void command_end(struct command *command, uint64_t stop_us)
{
	if (command->state >= COMMAND_TERMINATING)
		return;
	command_take_reports(command);
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
	command_take_reports(command);
	if (command->state < COMMAND_ENDED) {
		command->state = COMMAND_KILLING;
		supervisor_signal(&command->supervisor, SIGKILL);
	}
	event_del(&command->timer);
	command_close_output(command);
	command_log_close(&command->log);
	command->is_released = true;
	LIST_INSERT_HEAD(&released_commands, command, entry);
	command_free_if_over(command);
}

/* ---- handover ---- */

static void command_transfer(struct command *command, struct state *state)
{
	int number = (int)command->state;

	/* One that is ENDED or LEFT has no owner that could save it. */
	state_choice(state, "state", &number, COMMAND_ENDED);
	command->state = (enum command_state)number;
	supervisor_transfer(&command->supervisor, state);
	state_pid(state, "pid", &command->pid);
	state_bool(state, "exited", &command->exited);
	state_bool(state, "remains", &command->remains);
	state_bool(state, "gone", &command->gone);
	state_u64(state, "deadline_ns", &command->deadline_ns);
	state_u64(state, "stop_us", &command->stop_us);
	state_descriptor(state, "output", &command->output);
}

void command_save(struct command *command, struct state *state)
{
	state_enter(state, "command");
	command_transfer(command, state);
	command_log_save(&command->log, state);
	state_leave(state);
}

static void command_continue(struct command *command, struct state *state)
{
	if (command->supervisor.socket < 0 && !command->gone)
		state_fail(state, "it has no supervisor");
	else if (command->supervisor.socket >= 0 && !command_watch_reports(command))
		state_fail(state, "no memory");
	if (command->output >= 0)
		command_drain(command, command->output);
	if (command->state > COMMAND_RUNNING)
		event_active(&command->timer, EV_TIMEOUT, 0);
}

struct command *command_restore(struct event_base *base, const char *name,
				void (*ended)(void *argument), void *argument, struct state *state)
{
	struct command *command = command_create(base, name);

	if (!command) {
		state_fail(state, "no memory for a command");
		return NULL;
	}
	command->is_restored = true;
	command->ended = ended;
	command->argument = argument;
	state_enter(state, "command");
	command_transfer(command, state);
	command_log_restore(&command->log, base, command->name, state);
	if (!state_failed(state))
		command_continue(command, state);
	state_leave(state);
	if (!state_failed(state))
		return command;
	supervisor_close(&command->supervisor);
	command_release(command);
	return NULL;
}
