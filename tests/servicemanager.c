// SPDX-License-Identifier: BSD-2-Clause
/*
 * servicemanager - plays systemd for a service under test: passes sockets, and records its
 * notifications.
 *
 *	servicemanager [--listen NAME=HOST:PORT]... [--connected NAME] [--watchdog USEC]
 *	               [--told FILE [--store NUMBER] [--restart PIDFILE]] COMMAND...
 *
 * --listen passes a listening TCP socket, --connected one of a pair that does not listen. With --told
 * there is a notification socket; each message is a line of FILE, with the time in milliseconds and the
 * sender's process id before it. COMMAND takes the place of this process, a child writes the file and
 * ends after it.
 *
 * With --restart COMMAND is a child, whose process id is in PIDFILE. It is started again, with what it has stored, when
 * it fails, and when it ends with something stored; until this process gets SIGTERM, which is passed on. --store is
 * FileDescriptorStoreMax=, by default 0.
 */
#include "lib/address.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PASSED 3
/* Sockets are kept from this descriptor on until they are installed. */
#define FIRST_KEPT 100
#define MAX_PASSED 32
#define MAX_STORED 8
/* Time before a command that failed is started again. */
#define RESTART_NS 50000000

static struct {
	int fd[MAX_PASSED];
	char names[1024];
	unsigned int count;
} passed;

static void pass(int fd, const char *name)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_KEPT);

	if (passed.count == MAX_PASSED || kept < 0 ||
	    strlen(passed.names) + strlen(name) + 2 > sizeof(passed.names))
		errx(2, "%s: too many sockets", name);
	close(fd);
	passed.fd[passed.count] = kept;
	if (passed.count++)
		strcat(passed.names, ":");
	strcat(passed.names, name);
}

static int listen_to_pass(const char *endpoint)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *info;
	struct address address;
	const char *expected;
	int one = 1, fd;

	if (!address_parse(endpoint, &address, &expected))
		errx(2, "%s: expected %s", endpoint, expected);
	if (getaddrinfo(*address.host ? address.host : NULL, address.port, &hints, &info))
		errx(2, "%s: unknown", endpoint);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, SOMAXCONN))
		err(2, "%s", endpoint);
	freeaddrinfo(info);
	return fd;
}

static void pass_listening(char *text)
{
	char *endpoint = strchr(text, '=');

	if (!endpoint)
		errx(2, "%s: expected NAME=HOST:PORT", text);
	*endpoint++ = '\0';
	pass(listen_to_pass(endpoint), text);
}

static void pass_connected(const char *name)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(2, "socketpair");
	pass(pair[0], name);
}

/* ---- the descriptor store ---- */

static struct {
	struct {
		int fd;
		char name[64];
		bool polled; /* removed when it has an error, or its other end is closed */
	} item[MAX_STORED];
	unsigned int count, most;
} store;

static void store_remove(unsigned int index)
{
	close(store.item[index].fd);
	store.item[index] = store.item[--store.count];
}

static void store_add(int fd, const char *name, bool polled)
{
	if (store.count >= store.most) {
		close(fd);
		return;
	}
	store.item[store.count].fd = fd;
	store.item[store.count].polled = polled;
	snprintf(store.item[store.count].name, sizeof(store.item[0].name), "%s", name);
	store.count++;
}

static void store_remove_name(const char *name)
{
	for (unsigned int i = store.count; i--;) {
		if (!strcmp(store.item[i].name, name))
			store_remove(i);
	}
}

static void store_check(void)
{
	for (unsigned int i = store.count; i--;) {
		struct pollfd wait = { .fd = store.item[i].fd };

		if (store.item[i].polled && poll(&wait, 1, 0) > 0)
			store_remove(i);
	}
}

/* Find "NAME=" at the beginning of a line of @text. Return: its value, up to the end of the line; NULL: there is none. */
static const char *value_of(const char *text, const char *name, char value[64])
{
	size_t length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && line[length] == '=') {
			snprintf(value, 64, "%.*s", (int)strcspn(line + length + 1, "\n"),
				 line + length + 1);
			return value;
		}
	}
	return NULL;
}

/* React to a message with these descriptors. Those of a barrier are closed, as are those that are not stored. */
static void store_obey(const char *text, const int *fds, size_t count)
{
	char name[64], value[64];
	const char *stored_name = value_of(text, "FDNAME", name);
	bool polled = !value_of(text, "FDPOLL", value) || strcmp(value, "0");
	bool stores = value_of(text, "FDSTORE", value) != NULL;

	if (value_of(text, "FDSTOREREMOVE", value) && stored_name)
		store_remove_name(stored_name);
	for (size_t i = 0; i < count; i++) {
		if (stores)
			store_add(fds[i], stored_name ? stored_name : "stored", polled);
		else
			close(fds[i]);
	}
}

/* ---- notifications ---- */

/* Create it in the abstract namespace, so that no file remains. */
static int open_notifications(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
	char variable[sizeof(address.sun_path)];
	socklen_t length;

	snprintf(variable, sizeof(variable), "@dmacast-test-%d", (int)getpid());
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(variable));
	memcpy(address.sun_path + 1, variable + 1, strlen(variable) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)))
		err(2, "notification socket");
	setenv("NOTIFY_SOCKET", variable, 1);
	return fd;
}

static void write_message(FILE *file, pid_t sender, char *text)
{
	struct timespec now;

	for (char *c = text; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	fprintf(file, "%lld %d %s\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		(int)sender, text);
	fflush(file);
}

/* Return: false if no message is there. */
static bool take_message(int fd, FILE *file)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * MAX_STORED)];
	} control;
	char text[4096];
	struct iovec piece = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct ucred sender = { 0 };
	int fds[MAX_STORED];
	size_t count = 0;
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (length < 0)
		return false;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&sender, CMSG_DATA(header), sizeof(sender));
			continue;
		}
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	}
	text[length] = '\0';
	store_obey(text, fds, count);
	write_message(file, sender.pid, text);
	return true;
}

/* Take messages until the process has ended. @signals: of signalfd(), passed on to it; -1: none. Return: stop? */
static bool take_messages(int fd, FILE *file, pid_t command, int signals)
{
	struct pollfd wait[3] = { { .fd = fd, .events = POLLIN },
				  { .fd = pidfd_open(command, 0), .events = POLLIN },
				  { .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo signal;
	bool stop = false;

	if (wait[1].fd < 0)
		err(2, "pidfd_open");
	while (!wait[1].revents) {
		if (poll(wait, 3, -1) < 0)
			err(2, "poll");
		while (take_message(fd, file))
			;
		store_check();
		if (wait[2].revents && read(signals, &signal, sizeof(signal)) == sizeof(signal)) {
			kill(command, (int)signal.ssi_signo);
			stop |= signal.ssi_signo == SIGTERM;
		}
	}
	close(wait[1].fd);
	return stop;
}

static FILE *open_told(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		err(2, "%s", path);
	return file;
}

static void start_writer(const char *path)
{
	int fd = open_notifications();
	pid_t command = getpid(), child;

	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child < 0)
		err(2, "fork");
	if (child == 0) {
		take_messages(fd, open_told(path), command, -1);
		_exit(0);
	}
	signal(SIGCHLD, SIG_DFL);
	close(fd);
}

/* ---- the environment of the command ---- */

static void set_variable(const char *name, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%ld", number);
	setenv(name, text, 1);
}

/* Pass on sockets, and what is stored behind them. */
static void install_passed(void)
{
	unsigned int count = passed.count;
	char names[2048];

	snprintf(names, sizeof(names), "%s", passed.names);
	for (unsigned int i = 0; i < count; i++) {
		if (dup2(passed.fd[i], FIRST_PASSED + (int)i) < 0)
			err(2, "dup2");
	}
	for (unsigned int i = 0; i < store.count; i++, count++) {
		if (dup2(store.item[i].fd, FIRST_PASSED + (int)count) < 0)
			err(2, "dup2");
		if (count)
			strcat(names, ":");
		strcat(names, store.item[i].name);
	}
	if (!count)
		return;
	set_variable("LISTEN_PID", getpid());
	set_variable("LISTEN_FDS", count);
	setenv("LISTEN_FDNAMES", names, 1);
}

static _Noreturn void manager_run_command(char **command)
{
	install_passed();
	execvp(*command, command);
	err(2, "%s", *command);
}

/* ---- starting it again ---- */

/* Descriptors are stored from FIRST_KEPT on, so that those to be passed on do not replace them. */
static void store_move(void)
{
	for (unsigned int i = 0; i < store.count; i++) {
		int kept = fcntl(store.item[i].fd, F_DUPFD_CLOEXEC, FIRST_KEPT);

		if (kept < 0)
			err(2, "dup");
		close(store.item[i].fd);
		store.item[i].fd = kept;
	}
}

static pid_t manager_start_command(char **command, const sigset_t *mask, const char *watchdog)
{
	pid_t manager = getpid(), child;

	store_move();
	child = fork();
	if (child < 0)
		err(2, "fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != manager)
		_exit(2);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (watchdog) {
		setenv("WATCHDOG_USEC", watchdog, 1);
		set_variable("WATCHDOG_PID", getpid());
	}
	manager_run_command(command);
}

static void write_pid(const char *path, pid_t child)
{
	FILE *file;
	char *other;

	if (asprintf(&other, "%s.new", path) < 0 || !(file = fopen(other, "we")))
		err(2, "%s", path);
	fprintf(file, "%d\n", (int)child);
	if (fclose(file) || rename(other, path))
		err(2, "%s", path);
	free(other);
}

static _Noreturn void run_restarting(char **command, const char *told, const char *pid_file,
				     const char *watchdog)
{
	const struct timespec pause = { .tv_nsec = RESTART_NS };
	int notifications = open_notifications(), signals, status = 0;
	FILE *file = open_told(told);
	sigset_t handled, before;
	bool stop = false;
	pid_t child;

	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, &before);
	signals = signalfd(-1, &handled, SFD_CLOEXEC);
	do {
		if (status)
			nanosleep(&pause, NULL);
		child = manager_start_command(command, &before, watchdog);
		write_pid(pid_file, child);
		stop |= take_messages(notifications, file, child, signals);
		waitpid(child, &status, 0);
		/* Its last messages may have come after the end was noticed. */
		while (take_message(notifications, file))
			;
	} while (!stop && (status || store.count));
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
						 { "connected", required_argument, NULL, 'c' },
						 { "watchdog", required_argument, NULL, 'w' },
						 { "told", required_argument, NULL, 't' },
						 { "store", required_argument, NULL, 's' },
						 { "restart", required_argument, NULL, 'r' },
						 { 0 } };
	const char *watchdog = NULL, *told = NULL, *pid_file = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			pass_listening(optarg);
			break;
		case 'c':
			pass_connected(optarg);
			break;
		case 'w':
			watchdog = optarg;
			break;
		case 't':
			told = optarg;
			break;
		case 's':
			store.most = (unsigned int)atoi(optarg);
			if (store.most > MAX_STORED)
				errx(2, "--store %s: too many", optarg);
			break;
		case 'r':
			pid_file = optarg;
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		errx(2, "expected a command");
	if (pid_file && !told)
		errx(2, "--restart: expected --told, too");
	if (pid_file)
		run_restarting(argv + optind, told, pid_file, watchdog);
	if (told)
		start_writer(told);
	if (watchdog) {
		setenv("WATCHDOG_USEC", watchdog, 1);
		set_variable("WATCHDOG_PID", getpid());
	}
	manager_run_command(argv + optind);
}
