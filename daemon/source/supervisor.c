// SPDX-License-Identifier: BSD-2-Clause
#include "source/supervisor.h"

#include "lib/child.h"
#include "lib/interrupted.h"
#include "lib/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Interval of the checks whether a group without its leader has ended: from and to. */
#define MIN_CHECK_MS 10
#define MAX_CHECK_MS 200
/* Time to kill a group after the daemon has ended. */
#define LAST_CHECKS 20

/* Descriptors of the supervisor; 0 to 2 are the command's until it has been started. */
enum { SUPERVISOR_SOCKET = 3, SUPERVISOR_CHILD_FD, SUPERVISOR_DESCRIPTORS };

/* What the shell is started with, in memory of its own: the supervisor has no heap. */
struct supervisor_command {
	size_t size; /* bytes of the memory */
	char *argument[4];
	char *environment[];
};

/* ---- in the supervisor: system calls only ---- */

/* The state of the supervisor, in the process of its own. */
struct supervisor_self {
	pid_t leader; /* also the group; 0: it could not be started */
	bool exited;
	bool reaped;   /* its number may belong to another process */
	bool is_asked; /* report when the group is gone */
	bool remained; /* and was reported */
	bool daemon_left;
	int check_ms;
	unsigned int checks; /* since the daemon has left */
};

static void supervisor_report(enum supervisor_report_kind kind, int value, int status)
{
	const struct supervisor_report report = { (int32_t)kind, value, status };

	(void)!REPEAT_INTERRUPTED(
		send(SUPERVISOR_SOCKET, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Become the command, in the child of vfork(). All signals are blocked until their handlers are reset. */
static _Noreturn void supervisor_exec(const struct supervisor_command *command, pid_t supervisor)
{
	static const char failed[] = "cannot run /bin/sh\n";

	setpgid(0, 0);
	/* If something kills the supervisor, the kernel kills at least the leader. */
	if (!child_end_with(supervisor))
		_exit(127);
	child_reset_signals();
	execve(command->argument[0], command->argument, command->environment);
	(void)!write(STDERR_FILENO, failed, sizeof(failed) - 1);
	_exit(127);
}

static void supervisor_run_shell(struct supervisor_self *self,
				 const struct supervisor_command *command)
{
	static const char failed[] = "cannot start a process\n";
	const pid_t supervisor = getpid();
	pid_t child = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

	if (child == 0)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Vfork) */
		supervisor_exec(command, supervisor);
	if (child > 0) {
		self->leader = child;
		supervisor_report(SUPERVISOR_STARTED, child, 0);
		return;
	}
	(void)!write(STDERR_FILENO, failed, sizeof(failed) - 1);
	self->exited = self->reaped = true;
	supervisor_report(SUPERVISOR_EXITED, CLD_EXITED, 126);
}

/* Have the descriptors of the command as 0 to 2, the socket as SUPERVISOR_SOCKET, and no others. */
static bool supervisor_set_descriptors(const struct supervisor_ends *ends, int socket)
{
	int wanted[] = { ends->input, ends->output, ends->errors, socket };
	bool done = true;

	if (wanted[0] < 0)
		wanted[0] = REPEAT_INTERRUPTED(open("/dev/null", O_RDONLY | O_CLOEXEC));
	/* First away from the numbers that they get. */
	for (int i = 0; i <= SUPERVISOR_SOCKET; i++)
		wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, SUPERVISOR_DESCRIPTORS);
	for (int i = 0; i <= SUPERVISOR_SOCKET; i++)
		done &= dup2(wanted[i], i) == i;
	closefrom(SUPERVISOR_SOCKET + 1);
	return done && !fcntl(SUPERVISOR_SOCKET, F_SETFD, FD_CLOEXEC);
}

/* Return: false if the end of a child cannot be waited for. */
static bool supervisor_watch_children(void)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK) == SUPERVISOR_CHILD_FD;
}

/* Note the exit of the leader, which stays a zombie: so its number, which is the group's, stays taken. */
static void supervisor_look_at_leader(struct supervisor_self *self)
{
	siginfo_t info = { 0 };

	if (self->exited || waitid(P_PID, (id_t)self->leader, &info, WEXITED | WNOHANG | WNOWAIT) ||
	    !info.si_pid)
		return;
	self->exited = true;
	self->check_ms = MIN_CHECK_MS;
	supervisor_report(SUPERVISOR_EXITED, info.si_code, info.si_status);
}

/* Reap the orphans of the command while its leader, the oldest child, runs. */
static void supervisor_reap_orphans(const struct supervisor_self *self)
{
	siginfo_t info;

	while (!self->exited || self->reaped) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid ||
		    (info.si_pid == self->leader && !self->reaped) ||
		    waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG))
			return;
	}
}

/* Processes of the group besides the leader. */
struct supervisor_others {
	unsigned int running, zombies;
};

/* Return true if the process @name, as in /proc, has ended but was not reaped. */
static bool supervisor_is_zombie(int directory, const char *name)
{
	char path[64] = "", text[512];
	const char *at;
	ssize_t length;
	int fd;

	strncat(path, name, sizeof(path) - sizeof("/stat"));
	strcat(path, "/stat");
	fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return true; /* it was reaped */
	text[length] = '\0';
	at = strrchr(text, ')');
	return at && (at[2] == 'Z' || at[2] == 'X');
}

/* Return 0 if @name is no number. */
static pid_t supervisor_parse_pid(const char *name)
{
	pid_t pid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		pid = pid * 10 + *name - '0';
	return *name ? 0 : pid;
}

static void supervisor_look_at(const struct supervisor_self *self, int directory, const char *name,
			       struct supervisor_others *others)
{
	pid_t pid = supervisor_parse_pid(name);
	siginfo_t info;

	if (pid <= 0 || pid == self->leader)
		return;
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG); /* if it is an orphan of the command */
	if (getpgid(pid) != self->leader)
		return;
	if (supervisor_is_zombie(directory, name))
		others->zombies++;
	else
		others->running++;
}

/* As getdents64() writes them. */
struct supervisor_entry {
	uint64_t inode, offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* Look for the rest of the group, and reap orphans: about a microsecond for each process. Return: false without /proc. */
static bool supervisor_find_others(const struct supervisor_self *self,
				   struct supervisor_others *others)
{
	_Alignas(struct supervisor_entry) char entries[2048];
	int directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long length;

	if (directory < 0)
		return false;
	while ((length = syscall(SYS_getdents64, directory, entries, sizeof(entries))) > 0) {
		const struct supervisor_entry *entry;

		for (long at = 0; at < length; at += entry->length) {
			entry = (const void *)(entries + at);
			supervisor_look_at(self, directory, entry->name, others);
		}
	}
	close(directory);
	return length == 0;
}

/* Return true if the group has a process, even a zombie. A process with its number shows that it has none. */
static bool supervisor_has_group(const struct supervisor_self *self)
{
	if (!self->leader || (self->reaped && (kill(self->leader, 0) == 0 || errno != ESRCH)))
		return false;
	return kill(-self->leader, 0) == 0 || errno == EPERM;
}

/* Return true if nothing of the group runs. Then the leader is reaped, too. */
static bool supervisor_is_gone(struct supervisor_self *self)
{
	struct supervisor_others others = { 0 };
	siginfo_t info;

	if (!self->exited)
		return false;
	if (!self->leader)
		return true;
	if (supervisor_find_others(self, &others) && others.running)
		return false;
	/* /proc may be missing, or hide the processes of others. */
	if (!self->reaped)
		waitid(P_PID, (id_t)self->leader, &info, WEXITED | WNOHANG);
	self->reaped = true;
	return others.zombies || !supervisor_has_group(self);
}

static void supervisor_send_signal(const struct supervisor_self *self, int number)
{
	if (!number || !self->leader)
		return;
	if (supervisor_has_group(self))
		kill(-self->leader, number);
	/* Only once: for some programs the second SIGTERM has another meaning. */
	if (!self->exited && getpgid(self->leader) != self->leader)
		kill(self->leader, number);
}

static void supervisor_serve(struct supervisor_self *self)
{
	struct supervisor_request request = { 0 };
	ssize_t length = recv(SUPERVISOR_SOCKET, &request, sizeof(request), MSG_DONTWAIT);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	self->is_asked = true;
	self->check_ms = MIN_CHECK_MS;
	if (length > 0) {
		supervisor_send_signal(self, request.signal);
		return;
	}
	self->daemon_left = true;
	supervisor_send_signal(self, SIGKILL);
}

/* Report how the group is, if that was asked for. Return: false when it is gone, or nobody is left to wait for it. */
static bool supervisor_check(struct supervisor_self *self)
{
	if (!self->exited || !self->is_asked)
		return !self->daemon_left || self->checks++ < LAST_CHECKS;
	if (supervisor_is_gone(self)) {
		supervisor_report(SUPERVISOR_GONE, 0, 0);
		return false;
	}
	if (!self->remained)
		supervisor_report(SUPERVISOR_REMAINS, 0, 0);
	self->remained = true;
	return !self->daemon_left || self->checks++ < LAST_CHECKS;
}

/* Return the time of the next check in milliseconds; -1: with the next event. */
static int supervisor_next_check(struct supervisor_self *self)
{
	int next = self->check_ms;

	if (!self->daemon_left && (!self->exited || !self->is_asked))
		return -1;
	self->check_ms = next * 2 < MAX_CHECK_MS ? next * 2 : MAX_CHECK_MS;
	return next;
}

static void supervisor_wait(struct supervisor_self *self)
{
	struct pollfd ready[] = { { .fd = self->daemon_left ? -1 : SUPERVISOR_SOCKET,
				    .events = POLLIN },
				  { .fd = SUPERVISOR_CHILD_FD, .events = POLLIN } };
	struct signalfd_siginfo info;

	if (poll(ready, 2, supervisor_next_check(self)) < 0)
		return;
	if (ready[1].revents)
		(void)!read(SUPERVISOR_CHILD_FD, &info, sizeof(info));
	supervisor_look_at_leader(self);
	if (ready[0].revents)
		supervisor_serve(self);
	supervisor_reap_orphans(self);
}

/* All signals are blocked here, so none ends the supervisor but SIGKILL, and no handler of the daemon runs. */
static _Noreturn void supervisor_run(struct supervisor_command *command,
				     const struct supervisor_ends *ends, int socket)
{
	struct supervisor_self self = { .check_ms = MIN_CHECK_MS };

	prctl(PR_SET_NAME, "dmacast-command");
	/* A signal for the daemon's group is not for this process. */
	setpgid(0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!supervisor_set_descriptors(ends, socket) || !supervisor_watch_children())
		_exit(126);
	supervisor_run_shell(&self, command);
	/* The pipes end when the command closes them. */
	for (int fd = 0; fd < SUPERVISOR_SOCKET; fd++)
		close(fd);
	munmap(command, command->size);
	do
		supervisor_wait(&self);
	while (supervisor_check(&self));
	_exit(0);
}

/* ---- in the daemon ---- */

/* Append @text at @at. Return: its copy. */
static char *supervisor_copy_text(char **at, const char *text)
{
	char *copy = *at;

	*at = stpcpy(copy, text) + 1;
	return copy;
}

/* Return: the command, to be unmapped; NULL without memory. */
static struct supervisor_command *supervisor_copy_command(const char *text)
{
	static const char shell[] = "/bin/sh", option[] = "-c";
	size_t size = sizeof(struct supervisor_command) + sizeof(shell) + sizeof(option) +
		      strlen(text) + 1 + sizeof(char *);
	struct supervisor_command *command;
	size_t count = 0;
	char *at;

	for (; environ && environ[count]; count++)
		size += sizeof(char *) + strlen(environ[count]) + 1;
	command = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (command == MAP_FAILED)
		return NULL;
	command->size = size;
	at = (char *)(command->environment + count + 1);
	command->argument[0] = supervisor_copy_text(&at, shell);
	command->argument[1] = supervisor_copy_text(&at, option);
	command->argument[2] = supervisor_copy_text(&at, text);
	for (size_t i = 0; i < count; i++)
		command->environment[i] = supervisor_copy_text(&at, environ[i]);
	return command;
}

/* Return the begin of the heap, which the kernel writes to field 47 of /proc/self/stat; 0 if it is not known. */
static uintptr_t supervisor_heap_begin(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	char text[1024] = "", *at;
	FILE *file = fopen("/proc/self/stat", "re");
	size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[length] = '\0';
	at = strrchr(text, ')'); /* field 2 */
	for (int field = 2; at && field < 47; field++)
		at = strchr(at + 1, ' ');
	return at ? ((uintptr_t)strtoull(at + 1, NULL, 10) + page - 1) & ~(page - 1) : 0;
}

/*
 * Let fork() leave out the heap, or copy it again. Its page tables would take 0.1 ms for each MiB, and the supervisor
 * would keep a copy of each page that the daemon changes afterwards.
 */
static void supervisor_advise_heap(int advice)
{
	static uintptr_t begin;
	uintptr_t end = (uintptr_t)sbrk(0), in_use = (uintptr_t)&errno;

	if (!begin)
		begin = supervisor_heap_begin();
	if (!begin || begin >= end || (in_use >= begin && in_use < end))
		return;
	/* It fails at most because nothing is there. */
	(void)madvise((void *)begin, end - begin, advice); /* NOLINT(performance-no-int-to-ptr) */
}

/* Return: the process id, or -1 with errno set. */
static pid_t supervisor_fork(const char *text, const struct supervisor_ends *ends, int socket)
{
	struct supervisor_command *command = supervisor_copy_command(text);
	pid_t child;
	int error;

	if (!command)
		return -1;
	supervisor_advise_heap(MADV_DONTFORK);
	child = child_fork();
	if (child == 0)
		supervisor_run(command, ends, socket);
	error = errno;
	supervisor_advise_heap(MADV_DOFORK);
	munmap(command, command->size);
	errno = error;
	return child;
}

bool supervisor_start(struct supervisor *supervisor, const char *text,
		      const struct supervisor_ends *ends)
{
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return false;
	*supervisor = (struct supervisor){ .socket = pair[0], .parent = getpid() };
	supervisor->pid = supervisor_fork(text, ends, pair[1]);
	error = errno;
	close(pair[1]);
	if (supervisor->pid < 0)
		supervisor_close(supervisor);
	errno = error;
	return supervisor->pid >= 0;
}

void supervisor_signal(const struct supervisor *supervisor, int number)
{
	const struct supervisor_request request = { number };

	/* It fails if the supervisor has ended, which supervisor_receive() tells. */
	(void)!REPEAT_INTERRUPTED(
		send(supervisor->socket, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT));
}

int supervisor_receive(const struct supervisor *supervisor, struct supervisor_report *report)
{
	ssize_t length;

	*report = (struct supervisor_report){ 0 };
	length =
		REPEAT_INTERRUPTED(recv(supervisor->socket, report, sizeof(*report), MSG_DONTWAIT));
	if (length > 0)
		return 1;
	return length < 0 && errno == EAGAIN ? 0 : -1;
}

bool supervisor_reap(const struct supervisor *supervisor)
{
	return supervisor->parent != getpid() || supervisor->pid <= 0 ||
	       REPEAT_INTERRUPTED(waitpid(supervisor->pid, NULL, WNOHANG)) != 0;
}

void supervisor_close(struct supervisor *supervisor)
{
	if (supervisor->socket >= 0)
		close(supervisor->socket);
	supervisor->socket = -1;
}

void supervisor_transfer(struct supervisor *supervisor, struct state *state)
{
	state_enter(state, "supervisor");
	state_descriptor(state, "socket", &supervisor->socket);
	state_pid(state, "pid", &supervisor->pid);
	state_pid(state, "parent", &supervisor->parent);
	state_leave(state);
}
