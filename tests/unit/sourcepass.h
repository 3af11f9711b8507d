/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source that goes on in another process: a predecessor opens it, reads a part, saves it and exits; this process
 * restores it, as it is or with wrong values. Both write what they hand on to the same memory.
 */
#ifndef DMACAST_TEST_SOURCEPASS_H
#define DMACAST_TEST_SOURCEPASS_H

#include "lib/log.h"
#include "lib/state.h"

#include "runloop.h"
#include "sourceworld.h"
#include "statejson.h"
#include "tap.h"
#include "twoprocesses.h"

#include <err.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR_US 3600000000ULL

/* A saved source on its way. */
static struct parcel_content parcel;

/* ---- the predecessor ---- */

static bool (*is_far_enough)(void);

static inline void handover_save_held(struct state *state)
{
	state_list(state, "held", BLOCKS);
	for (uint32_t i = 0; i < world.held_count; i++) {
		state_item(state);
		ring_transfer_block(world.ring, state, "block", &world.held[i]);
		state_leave(state);
	}
	state_list_end(state);
}

static inline _Noreturn void handover_save(int socket)
{
	struct state *state = state_create();

	ring_save(world.ring, state);
	handover_save_held(state);
	source_save(world.source, state);
	two_send(socket, state);
	state_free(state);
	_exit(0);
}

static inline void handover_loop_ms(unsigned int ms)
{
	runloop_ms(world.base, ms);
}

static inline bool handover_run_until(bool (*is_done)(void))
{
	for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (is_done())
			return true;
		handover_loop_ms(5);
	}
	return false;
}

/* Run a source until is_far_enough(). @starts: start it */
static inline _Noreturn void handover_predecessor(int socket, bool starts)
{
	log_set_level(LOG_LEVEL_ERROR);
	if (!sourceworld_open())
		errx(1, "not open");
	if (starts)
		source_start(world.source);
	if (is_far_enough && !handover_run_until(is_far_enough))
		errx(1, "the predecessor of %s does not come so far: %zu bytes, %u free blocks",
		     source_text(world.source), handed->bytes, ring_free_blocks(world.ring));
	handover_save(socket);
}

/* ---- the successor ---- */

static void handover_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Set up a test with defaults, for `input` or without. */
static inline void handover_begin(const char *format, ...)
{
	va_list args;

	is_far_enough = NULL;
	va_start(args, format);
	sourceworld_begin(format, args);
	va_end(args);
	if (!world.input[0])
		world.settings.input.first = NULL;
	world.settings.on_end = ON_END_WAIT;
	world.settings.flush = HOUR_US;
}

/* The process of the predecessor, and the socket that its parcel comes through. */
static pid_t predecessor;
static int predecessor_socket;

static inline void handover_start(bool (*is_done)(void), bool starts)
{
	is_far_enough = is_done;
	predecessor = two_fork(&predecessor_socket);
	if (predecessor == 0)
		handover_predecessor(predecessor_socket, starts);
}

/* Take the parcel, and wait until the predecessor is gone. */
static inline void handover_take_parcel(void)
{
	int status;

	if (!two_receive(predecessor_socket, &parcel))
		errx(1, "no state");
	close(predecessor_socket);
	if (waitpid(predecessor, &status, 0) != predecessor || status)
		errx(1, "the predecessor failed");
}

static inline void handover_predecess(bool (*is_done)(void), bool starts)
{
	handover_start(is_done, starts);
	handover_take_parcel();
}

static inline void handover_restore_held(struct state *state)
{
	state_list(state, "held", BLOCKS);
	while (state_next_item(state)) {
		struct block *block = NULL;

		ring_transfer_block(world.ring, state, "block", &block);
		if (!state_failed(state) && (!block || !ring_claim(world.ring, block)))
			state_fail(state, "held: has another owner");
		if (!state_failed(state))
			world.held[world.held_count++] = block;
	}
}

/*
 * Restore the ring and the source. The ring is there anyway, if it could be restored.
 * @state: NULL: it was not decoded, and @why has the reason; freed
 *
 * Return: NULL, or @why: why the source was not restored.
 */
static inline const char *handover_restore_state(struct state *state, char why[STATE_WRONG_TEXT])
{
	world.ring = NULL;
	world.source = NULL;
	world.held_count = 0;
	if (!state)
		return why;
	world.ring = ring_restore(world.base, &world.settings, state);
	if (world.ring)
		handover_restore_held(state);
	if (world.ring && !state_failed(state))
		world.source = source_restore(world.base, &world.settings, world.ring,
					      &sourceworld_callbacks, NULL, state);
	if (world.source)
		ring_check_restored(world.ring, state);
	snprintf(why, STATE_WRONG_TEXT, "%s", state_why(state));
	state_free(state);
	return why[0] ? why : NULL;
}

static inline const char *handover_restore(void)
{
	static char why[STATE_WRONG_TEXT];

	return handover_restore_state(
		state_decode(parcel.data, parcel.length, parcel.descriptors, parcel.count, why),
		why);
}

static inline void handover_succeed(void)
{
	const char *why;

	capture_begin(&world.log, STDERR_FILENO);
	world.base = event_base_new();
	why = handover_restore();
	check(!why, "not restored: %s", why);
	if (why)
		errx(1, "%s", why);
	parcel_free_content(&parcel);
}

/* Have the source in this process. */
static inline void handover_do(bool (*is_done)(void))
{
	handover_predecess(is_done, true);
	handover_succeed();
}

static inline void handover_check_bytes(size_t bytes)
{
	check(handed->bytes == bytes, "%zu bytes, expected %zu", handed->bytes, bytes);
	check_bytes(0, 0, handed->bytes);
}

static size_t wanted_bytes;

static inline bool has_bytes(void)
{
	return handed->bytes >= wanted_bytes;
}

static inline void handover_run_until_bytes(size_t bytes)
{
	wanted_bytes = bytes;
	check(handover_run_until(has_bytes), "%zu bytes, expected %zu", handed->bytes, bytes);
}

/* The first block was handed on, and another one is being filled. */
static inline bool is_within_block(void)
{
	return handed->bytes == BLOCK_SIZE && ring_free_blocks(world.ring) == BLOCKS - 1;
}

/* ---- connections ---- */

static inline int handover_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		err(1, "accept");
	return fd;
}

/* The same for a connection of this process, whose event loop runs meanwhile. */
static inline int handover_accept_own(int listener)
{
	int fd = -1;

	fcntl(listener, F_SETFL, O_NONBLOCK);
	for (int ms = 0; ms < PATIENCE_MS && fd < 0; ms += 5) {
		handover_loop_ms(5);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	}
	if (fd < 0)
		err(1, "accept");
	fcntl(listener, F_SETFL, 0);
	return fd;
}

static inline int handover_listen_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 5))
		err(1, "%s", path);
	return fd;
}

/* ---- broken states ---- */

/*
 * Restore the text with other values, run it, and close it. The descriptors are duplicates.
 *
 * Return: NULL, or why the source was not restored.
 */
static inline const char *handover_restore_broken(const char *text)
{
	static char why[STATE_WRONG_TEXT];
	const char *wrong;
	int *original = parcel.descriptors;

	parcel.descriptors = calloc(parcel.count, sizeof(*original));
	for (size_t i = 0; i < parcel.count; i++)
		parcel.descriptors[i] = fcntl(original[i], F_DUPFD_CLOEXEC, 0);
	world.base = event_base_new();
	handed->bytes = handed->blocks = 0;
	wrong = handover_restore_state(
		statejson_decode_text(text, parcel.descriptors, parcel.count, why), why);
	if (world.source) {
		event_base_loop(world.base, EVLOOP_NONBLOCK);
		event_base_loop(world.base, EVLOOP_NONBLOCK);
		source_stop(world.source);
		source_close(world.source);
	}
	if (world.ring) {
		sourceworld_give_back();
		ring_destroy(world.ring);
	}
	command_forget_released(world.base);
	event_base_free(world.base);
	free(parcel.descriptors);
	parcel.descriptors = original;
	return wrong;
}

/* Return the length of the value at @at: a number, or true or false; 0 for something else. */
static inline size_t handover_value_length(const char *at)
{
	if (at[-1] != ':' && at[-1] != '[' && at[-1] != ',')
		return 0;
	if (!strncmp(at, "true", 4) || !strncmp(at, "false", 5))
		return *at == 't' ? 4 : 5;
	return strspn(at, "-0123456789");
}

static inline unsigned int handover_break_values(void)
{
	static const char *const other[] = {
		"0",	      "1",    "2",     "4096", "-1",
		"4294967295", "true", "false", "3",    "9223372036854775807"
	};
	char *right = statejson_text(parcel.data, parcel.length);
	const char *begin = strstr(right, "\"source\":"), *end = right + strlen(right);
	const size_t most = strlen(right) + 64;
	char *text = malloc(most);
	unsigned int tries = 0;

	for (const char *at = begin; at && at < end; at++) {
		size_t length = handover_value_length(at);

		for (size_t i = 0; length && i < sizeof(other) / sizeof(other[0]); i++) {
			snprintf(text, most, "%.*s%s%s", (int)(at - right), right, other[i],
				 at + length);
			handover_restore_broken(text);
			tries++;
		}
		at += length;
	}
	free(right);
	free(text);
	return tries;
}

/* Try wrong values in the state of `parcel`, which is closed. */
static inline void test_handover_broken_parcel(const char *what)
{
	static struct capture log; /* `world` is used again */
	unsigned int tries;

	capture_begin(&log, STDERR_FILENO);
	tries = handover_break_values();
	two_close(&parcel);
	capture_end(&log);
	check(tries > 100, "%u tries", tries);
	point("a wrong value in the state of a source does no harm: %s", what);
}

static inline void test_handover_broken(const char *what, bool (*is_done)(void), bool starts)
{
	handover_predecess(is_done, starts);
	test_handover_broken_parcel(what);
}

#endif
