// SPDX-License-Identifier: BSD-2-Clause
#include "handover.h"

#include "candidate.h"
#include "config/config.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/parcel.h"
#include "lib/priority.h"
#include "lib/refuse.h"
#include "lib/service.h"
#include "lib/state.h"
#include "lib/succession.h"
#include "stream/streams.h"

#include <bsd/string.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A signal that the event loop has caught, but not handled yet, would end with this program. From the phase BLOCKED on
 * signals stay pending, for the next program or until a failure; those caught before it are handled in two turns of
 * the event loop: the first one finds out which they are.
 */
enum handover_phase { HANDOVER_IDLE, HANDOVER_CHECKING, HANDOVER_DUE, HANDOVER_BLOCKED };
#define BLOCKED_TURNS 2

struct handover {
	struct event_base *base;
	struct streams *streams;
	const struct config *config;
	char **argv;
	const struct handover_callbacks *callbacks;
	void *argument; /* of the callbacks */
	enum handover_phase phase;
	unsigned int turns;  /* BLOCKED: turns of the event loop that are left */
	char path[PATH_MAX]; /* of the program; "": the service manager's next process */
	struct candidate *candidate;
	struct event due;
};

/* @how: SIG_BLOCK or SIG_UNBLOCK */
static void handover_block_signals(int how)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(how, &signals, NULL);
}

void handover_unblock_signals(void)
{
	handover_block_signals(SIG_UNBLOCK);
}

/* Leave the phase BLOCKED, or any other one. */
static void handover_set_phase(struct handover *handover, enum handover_phase phase)
{
	if (handover->phase == HANDOVER_BLOCKED)
		handover_unblock_signals();
	handover->phase = phase;
	if (phase == HANDOVER_BLOCKED)
		handover_block_signals(SIG_BLOCK);
}

static void handover_fail(struct handover *handover, const char *why)
{
	log_error("not handed over, so this process goes on: %s", why);
	handover_set_phase(handover, HANDOVER_IDLE);
	candidate_free(handover->candidate);
	handover->candidate = NULL;
	event_del(&handover->due);
	handover->callbacks->failed(handover->argument, why);
}

/* ---- the state ---- */

/* Save the options of the daemon, for a successor whose own configuration has errors. */
static void handover_save_options(const struct config *config, struct state *state)
{
	struct config daemon = *config;
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	daemon.streams = NULL;
	daemon.stream_count = 0;
	if (file) {
		config_print(&daemon, file);
		fclose(file);
	}
	/* Bytes: paths need not be UTF-8. */
	if (text)
		state_bytes(state, "options", (unsigned char **)(void *)&text, &length, length);
	else
		state_fail(state, "no memory for the options of the daemon");
	free(text);
}

static void handover_save_all(const struct handover *handover, uint64_t frozen_ns,
			      struct state *state)
{
	uint64_t handovers = succession()->handovers;

	state_u64(state, "frozen_ns", &frozen_ns);
	state_u64(state, "handovers", &handovers);
	handover_save_options(handover->config, state);
	streams_save(handover->streams, state);
}

static void handover_log(const struct handover *handover, size_t length, size_t descriptors)
{
	log_notice("handing over %" PRIu64 " stream(s) with %" PRIu64 " client(s) to %s: "
		   "%zu descriptors, %zu bytes of state",
		   streams_count(handover->streams), streams_clients(handover->streams),
		   *handover->path ? handover->path : "the next process of the service",
		   descriptors, length);
}

/* Save into @state. Return: the text, which is its own; NULL with a reason. */
static const char *handover_write(const struct handover *handover, struct state *state,
				  size_t *length, char wrong[HANDOVER_WRONG_TEXT])
{
	const char *text;

	handover_save_all(handover, clock_monotonic_ns(), state);
	text = state_encode(state, length);
	if (!text)
		refuse(wrong, HANDOVER_WRONG_TEXT, "%s", state_why(state));
	return text;
}

static bool handover_pack(const struct handover *handover, struct state *state, const char *text,
			  size_t length, struct parcel *parcel, char wrong[HANDOVER_WRONG_TEXT])
{
	char packing[PARCEL_WRONG_TEXT];
	const int *descriptors;
	size_t count;

	descriptors = state_descriptors(state, &count);
	handover_log(handover, length, count);
	return parcel_pack(parcel, text, length, descriptors, count, packing) ||
	       refuse(wrong, HANDOVER_WRONG_TEXT, "%s", packing);
}

/* ---- to a program ---- */

static void handover_export(const struct parcel *parcel)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", parcel->receiver);
	setenv(HANDOVER_VARIABLE, number, 1);
	fcntl(parcel->receiver, F_SETFD, 0);
	service_export(true);
}

/* Return after an error. */
static void handover_execute(const struct handover *handover, const struct parcel *parcel,
			     char wrong[HANDOVER_WRONG_TEXT])
{
	int error;

	handover_export(parcel);
	execv(handover->path, handover->argv);
	error = errno;
	unsetenv(HANDOVER_VARIABLE);
	service_export(false);
	refuse(wrong, HANDOVER_WRONG_TEXT, "%s: %s", handover->path, strerror(error));
}

/* ---- to the service manager ---- */

/* Return after an error. */
static void handover_store(struct parcel *parcel, char wrong[HANDOVER_WRONG_TEXT])
{
	const char *error = service_store(parcel->receiver);

	if (!error && parcel_is_kept(parcel))
		_exit(0);
	if (error)
		refuse(wrong, HANDOVER_WRONG_TEXT, "the service manager does not take it: %s",
		       error);
	else
		refuse(wrong, HANDOVER_WRONG_TEXT,
		       "the service manager does not keep it; expected "
		       "FileDescriptorStoreMax=1 or more in the unit");
	service_forget_stored();
}

/* ---- the steps ---- */

/* Return after an error. Until then no memory is freed: that takes time, and the clients wait. */
static void handover_pass_on(const struct handover *handover, struct state *state, const char *text,
			     size_t length, char wrong[HANDOVER_WRONG_TEXT])
{
	struct parcel parcel;

	if (!handover_pack(handover, state, text, length, &parcel, wrong))
		return;
	if (*handover->path)
		handover_execute(handover, &parcel, wrong);
	else
		handover_store(&parcel, wrong);
	parcel_revoke(&parcel);
}

static void handover_run(struct handover *handover)
{
	char wrong[HANDOVER_WRONG_TEXT] = "no memory for the state";
	const char *text = NULL;
	struct state *state = state_create();
	size_t length;

	/* The successor serves the watchdog when it has restored everything. */
	service_tell("WATCHDOG=1");
	/* model: freeze */
	if (state)
		text = handover_write(handover, state, &length, wrong);
	if (text)
		handover_pass_on(handover, state, text, length, wrong);
	state_free(state);
	handover_fail(handover, wrong);
}

/* Let one turn of the event loop pass: a timer expires after the loop has polled. */
static void handover_await_turn(struct handover *handover)
{
	static const struct timeval at_once;

	if (evtimer_add(&handover->due, &at_once))
		handover_fail(handover, "no memory for a timer");
}

static void handover_advance(struct handover *handover)
{
	if (handover->phase == HANDOVER_DUE) {
		handover_set_phase(handover, HANDOVER_BLOCKED);
		handover->turns = BLOCKED_TURNS;
		handover_await_turn(handover);
	} else if (--handover->turns) {
		handover_await_turn(handover);
	} else {
		handover_run(handover);
	}
}

static void handover_is_due(evutil_socket_t fd, short what, void *argument)
{
	struct handover *handover = argument;
	const char *obstacle = handover->callbacks->obstacle(handover->argument);

	(void)fd;
	(void)what;
	if (obstacle)
		handover_fail(handover, obstacle);
	else if (handover->callbacks->must_wait(handover->argument))
		handover_set_phase(handover, HANDOVER_DUE);
	else
		handover_advance(handover);
}

void handover_retry(struct handover *handover)
{
	if (handover->phase == HANDOVER_DUE)
		event_active(&handover->due, EV_TIMEOUT, 0);
}

static void handover_set_due(struct handover *handover)
{
	handover_set_phase(handover, HANDOVER_DUE);
	handover_retry(handover);
}

static void handover_checked(void *argument, const char *wrong)
{
	struct handover *handover = argument;

	if (wrong) {
		handover_fail(handover, wrong);
		return;
	}
	candidate_free(handover->candidate);
	handover->candidate = NULL;
	handover_set_due(handover);
}

/* ---- requests ---- */

static bool handover_may_begin(const struct handover *handover, char wrong[HANDOVER_WRONG_TEXT])
{
	const char *obstacle = handover->callbacks->obstacle(handover->argument);

	if (handover->phase != HANDOVER_IDLE)
		obstacle = "another handover is under way";
	return !obstacle || refuse(wrong, HANDOVER_WRONG_TEXT, "%s", obstacle);
}

bool handover_to_service(struct handover *handover, char wrong[HANDOVER_WRONG_TEXT])
{
	if (!handover_may_begin(handover, wrong))
		return false;
	if (!service_is_there())
		return refuse(wrong, HANDOVER_WRONG_TEXT,
			      "not started by a service manager; use dmacastctl "
			      "upgrade instead");
	handover->path[0] = '\0';
	handover_set_due(handover);
	return true;
}

/* Find the file that this program was started from. Another one may have taken its place. */
static bool handover_own_path(char path[PATH_MAX], char wrong[HANDOVER_WRONG_TEXT])
{
	static const char deleted[] = " (deleted)";
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	size_t suffix = sizeof(deleted) - 1;

	if (length < 0)
		return refuse(wrong, HANDOVER_WRONG_TEXT, "/proc/self/exe: %s", strerror(errno));
	path[length] = '\0';
	if ((size_t)length > suffix && !strcmp(path + length - suffix, deleted))
		path[(size_t)length - suffix] = '\0';
	return true;
}

static bool handover_set_path(struct handover *handover, const char *path,
			      char wrong[HANDOVER_WRONG_TEXT])
{
	if (!path)
		return handover_own_path(handover->path, wrong);
	return strlcpy(handover->path, path, sizeof(handover->path)) < sizeof(handover->path) ||
	       refuse(wrong, HANDOVER_WRONG_TEXT, "expected a path of less than %d bytes",
		      PATH_MAX);
}

bool handover_to_program(struct handover *handover, const char *path,
			 char wrong[HANDOVER_WRONG_TEXT])
{
	if (!handover_may_begin(handover, wrong) || !handover_set_path(handover, path, wrong))
		return false;
	handover->candidate =
		candidate_check(handover->base, handover->path, handover_checked, handover, wrong);
	if (!handover->candidate)
		return false;
	handover_set_phase(handover, HANDOVER_CHECKING);
	return true;
}

bool handover_is_pending(const struct handover *handover)
{
	return handover->phase != HANDOVER_IDLE;
}

void handover_cancel(struct handover *handover, const char *why)
{
	if (handover_is_pending(handover))
		handover_fail(handover, why);
}

struct handover *handover_create(struct event_base *base, struct streams *streams,
				 const struct config *config, char **argv,
				 const struct handover_callbacks *callbacks, void *argument)
{
	struct handover *handover = calloc(1, sizeof(*handover));

	if (!handover)
		return NULL;
	handover->base = base;
	handover->streams = streams;
	handover->config = config;
	handover->argv = argv;
	handover->callbacks = callbacks;
	handover->argument = argument;
	evtimer_assign(&handover->due, base, handover_is_due, handover);
	event_priority_set(&handover->due, PRIORITY_OPERATOR);
	return handover;
}

void handover_free(struct handover *handover)
{
	if (!handover)
		return;
	handover_set_phase(handover, HANDOVER_IDLE);
	event_del(&handover->due);
	candidate_free(handover->candidate);
	free(handover);
}
