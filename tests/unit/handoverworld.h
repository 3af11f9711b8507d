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
#include "twoprocesses.h"

#include <err.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

	streams_save(world.streams, state);
	two_send(server.control, state);
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

static inline void message_send(int fd, const void *bytes, size_t length)
{
	if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "send");
}

static inline void server_answer(const void *bytes, size_t length)
{
	message_send(server.control, bytes, length);
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

static inline bool server_restore(struct parcel_content *parcel, char *why)
{
	char wrong[STATE_WRONG_TEXT];
	struct state *state = state_decode(parcel->data, parcel->length, parcel->descriptors,
					   parcel->count, wrong);
	bool restored = state && streams_restore(world.streams, state);

	snprintf(why, STATE_WRONG_TEXT, "%s", state ? state_why(state) : wrong);
	state_free(state);
	parcel_free_content(parcel);
	return restored;
}

static inline bool parcel_has(const struct parcel_content *parcel, int fd)
{
	for (size_t i = 0; parcel && i < parcel->count; i++) {
		if (parcel->descriptors[i] == fd)
			return true;
	}
	return false;
}

/* Close what is the test's: a client must end when the test closes it. */
static inline void server_close_others(const struct parcel_content *parcel)
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
static inline void server_open(struct parcel_content *parcel)
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

static inline __attribute__((noreturn)) void server_run(struct parcel_content *parcel)
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

static inline void daemon_begin(struct parcel_content *parcel)
{
	int end;

	daemon_now.pid = two_fork(&end);
	if (!daemon_now.pid) {
		server.control = end;
		server_close_others(parcel);
		server_run(parcel);
	}
	daemon_now.control = end;
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
	message_send(daemon_now.control, &command, 1);
	if (answer && recv(daemon_now.control, answer, length, 0) <= 0)
		errx(1, "daemon %u does not answer", daemon_now.number);
}

static inline void daemon_freeze(struct parcel_content *parcel)
{
	daemon_ask('H', NULL, 0);
	if (!check(two_receive(daemon_now.control, parcel), "nothing was saved"))
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
	struct parcel_content parcel;

	daemon_freeze(&parcel);
	daemon_begin(&parcel);
	two_close(&parcel);
}

#endif
