/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Daemons that are children of the test and follow each other: each one saves its streams, passes its state and its
 * descriptors to the test, and exits; the next one restores them. The clients are in the test.
 */
#ifndef DMACAST_TEST_HANDOVERWORLD_H
#define DMACAST_TEST_HANDOVERWORLD_H

#include "lib/state.h"

#include "streamworld.h"
#include "tap.h"

#include <err.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 512

/* ---- passing descriptors ---- */

struct parcel_of_test {
	char *text;
	size_t length;
	int descriptor[MAX_DESCRIPTORS];
	size_t count;
};

/* Descriptors of one message; the kernel takes 253. */
#define PIECE 200

static inline void send_message(int fd, const void *bytes, size_t length, const int *descriptors,
				size_t count)
{
	char control[CMSG_SPACE(PIECE * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (count) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "sendmsg");
}

/* Return: bytes. @descriptors: appended to */
static inline ssize_t receive_message(int fd, void *bytes, size_t length,
				      struct parcel_of_test *parcel)
{
	char control[CMSG_SPACE(PIECE * sizeof(int))] __attribute__((aligned(8)));
	struct iovec piece = { .iov_base = bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	size_t count = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

	if (parcel->count + count > MAX_DESCRIPTORS)
		errx(1, "too many descriptors");
	if (count)
		memcpy(&parcel->descriptor[parcel->count], CMSG_DATA(header), count * sizeof(int));
	parcel->count += count;
	return n;
}

static inline void parcel_send(int fd, const char *text, size_t length, const int *descriptors,
			       size_t count)
{
	int file = memfd_create("state", MFD_CLOEXEC);
	size_t total[1] = { count };

	if (file < 0 || write(file, text, length) != (ssize_t)length)
		err(1, "no memory file");
	send_message(fd, total, sizeof(total), &file, 1);
	for (size_t i = 0; i < count; i += PIECE)
		send_message(fd, "+", 1, &descriptors[i], count - i < PIECE ? count - i : PIECE);
}

/* Return: false if the sender said that it failed. */
static inline bool parcel_receive(int fd, struct parcel_of_test *parcel)
{
	size_t total[1] = { 0 };
	struct stat status;
	char byte;
	int file;

	memset(parcel, 0, sizeof(*parcel));
	if (receive_message(fd, total, sizeof(total), parcel) != sizeof(total) ||
	    parcel->count != 1)
		return false;
	file = parcel->descriptor[0];
	parcel->count = 0;
	while (parcel->count < total[0]) {
		if (receive_message(fd, &byte, 1, parcel) != 1)
			return false;
	}
	fstat(file, &status);
	parcel->length = (size_t)status.st_size;
	parcel->text = calloc(1, parcel->length + 1);
	if (pread(file, parcel->text, parcel->length, 0) != status.st_size)
		err(1, "no state");
	close(file);
	return true;
}

static inline void parcel_close(struct parcel_of_test *parcel)
{
	for (size_t i = 0; i < parcel->count; i++)
		close(parcel->descriptor[i]);
	free(parcel->text);
	parcel->text = NULL;
	parcel->count = 0;
}

/* ---- the daemon, a child ---- */

static struct {
	int control;
	char command; /* 0: none */
} server;

/* What the tests differ in. */
struct server_functions {
	void (*open)(void);	       /* the streams of the first daemon, and start them */
	void (*command)(char command); /* other than the commands of daemon_ask() */
};

static const struct server_functions *server_functions;

static inline void server_save(void)
{
	struct state *state = state_create();
	const int *descriptors;
	size_t length, count;
	char *text;

	streams_save(world.streams, state);
	text = state_text(state, &length);
	if (!text) {
		printf("# saving failed: %s\n", state_why(state));
		fflush(stdout);
		_exit(3);
	}
	descriptors = state_descriptors(state, &count);
	parcel_send(server.control, text, length, descriptors, count);
	free(text);
	state_free(state);
	_exit(0);
}

static inline void server_command(evutil_socket_t fd, short what, void *argument)
{
	(void)what;
	(void)argument;
	if (recv(fd, &server.command, 1, 0) != 1)
		_exit(4); /* the test has ended */
}

static inline void server_answer(const void *bytes, size_t length)
{
	send_message(server.control, bytes, length, NULL, 0);
}

/* Outside of the event loop, since a reload runs it. */
static inline void server_do(char command)
{
	if (command == 'H')
		server_save();
	else if (command == 'P')
		server_answer("+", 1);
	else if (command)
		server_functions->command(command);
}

static inline bool server_restore(struct parcel_of_test *parcel, char *why)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state =
		state_parse(parcel->text, parcel->length, parcel->descriptor, parcel->count, wrong);
	bool restored = state && streams_restore(world.streams, state);

	snprintf(why, STATE_WRONG_TEXT, "%s", state ? state_why(state) : wrong);
	state_free(state);
	free(parcel->text);
	return restored;
}

static inline bool parcel_has(const struct parcel_of_test *parcel, int fd)
{
	for (size_t i = 0; parcel && i < parcel->count; i++) {
		if (parcel->descriptor[i] == fd)
			return true;
	}
	return false;
}

/* Close what is the test's: a client must end when the test closes it. */
static inline void server_close_others(const struct parcel_of_test *parcel)
{
	for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
		if (fd != server.control && !parcel_has(parcel, fd))
			close(fd);
	}
}

static inline void server_begin(void)
{
	tap.checks = tap.failed = 0;
	fake_reset();
	world.base = event_base_new();
	event_base_priority_init(world.base, 2);
	world.all_ended = 0;
}

/* @parcel: NULL: the first one */
static inline void server_open(struct parcel_of_test *parcel)
{
	char why[STATE_WRONG_TEXT];

	if (!parcel) {
		server_functions->open();
		return;
	}
	world.streams = streams_create(world.base, &streamworld_callbacks, NULL);
	if (!server_restore(parcel, why)) {
		printf("# restoring failed: %s\n", why);
		fflush(stdout);
		exit(5);
	}
}

static inline __attribute__((noreturn)) void server_run(struct parcel_of_test *parcel)
{
	struct event *command;

	server_begin();
	server_open(parcel);
	command = event_new(world.base, server.control, EV_READ | EV_PERSIST, server_command, NULL);
	event_add(command, NULL);
	while (server.command != 'S') {
		server.command = 0;
		event_base_loop(world.base, EVLOOP_ONCE);
		server_do(server.command);
	}
	streamworld_stop();
	event_free(command);
	event_base_free(world.base);
	exit(tap.failed ? 6 : 0);
}

/* ---- the daemon, as its parent sees it ---- */

static struct {
	pid_t pid;
	int control;
	unsigned int number;
} daemon_now;

static inline void daemon_begin(struct parcel_of_test *parcel)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	fflush(NULL);
	daemon_now.pid = fork();
	if (!daemon_now.pid) {
		close(pair[0]);
		server.control = pair[1];
		server_close_others(parcel);
		server_run(parcel);
	}
	close(pair[1]);
	daemon_now.control = pair[0];
	daemon_now.number++;
}

static inline void daemon_await_exit(void)
{
	int status = 0;

	waitpid(daemon_now.pid, &status, 0);
	close(daemon_now.control);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "daemon %u: status %x", daemon_now.number,
	      (unsigned int)status);
}

/*
 * Let the daemon do something: 'H': hand over, 'P': answer, 'S': stop, or a command of the test.
 * @answer: out: NULL: it does not answer
 */
static inline void daemon_ask(char command, void *answer, size_t length)
{
	struct parcel_of_test nothing = { 0 };

	send_message(daemon_now.control, &command, 1, NULL, 0);
	if (answer && receive_message(daemon_now.control, answer, length, &nothing) <= 0)
		errx(1, "daemon %u does not answer", daemon_now.number);
}

static inline void daemon_freeze(struct parcel_of_test *parcel)
{
	daemon_ask('H', NULL, 0);
	if (!check(parcel_receive(daemon_now.control, parcel), "nothing was saved"))
		exit(1);
	daemon_await_exit();
}

/* The first one. */
static inline void daemon_start(void)
{
	char answer;

	daemon_begin(NULL);
	daemon_ask('P', &answer, 1);
}

static inline void daemon_hand_over(void)
{
	struct parcel_of_test parcel;

	daemon_freeze(&parcel);
	daemon_begin(&parcel);
	parcel_close(&parcel);
}

#endif
