// SPDX-License-Identifier: BSD-2-Clause
/*
 * Handovers of streams that do not simply run: one that waits for clients or for its device, one whose clients talk to
 * a command, connections and endpoints that wait. For streams with traffic see streams_handover.c.
 */
#include "stream/streams.h"

#include "lib/backoff.h"
#include "lib/log.h"
#include "ring/ring_memory.h"
#include "stream/listener.h"

#include "handoverworld.h"
#include "loopback.h"
#include "statepass.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define PATIENCE_MS 20000

static struct {
	void (*set)(struct stream_settings *settings);
	char path[64]; /* of the preamble */
} test;

/* ---- the daemon ---- */

static void server_open_one(void)
{
	struct stream_settings settings;

	/* Successors find the device. */
	fake.open_error = ENOENT;
	settings_begin(&settings, "a", world.endpoint, "2M");
	settings_set(&settings, "lag-policy", "block");
	test.set(&settings);
	streamworld_start(&settings, 1);
	settings_end(&settings);
}

static void server_take_state(void *argument, const struct name_report *report)
{
	snprintf(argument, 64, "%s %u", report->newest.state, (unsigned int)report->clients);
}

static void server_command_one(char command)
{
	char text[64] = "";

	if (command == 'R') {
		streams_each_name(world.streams, server_take_state, text);
		server_answer(text, sizeof(text));
	} else if (command == 'F') {
		fake_fill(WORLD_BLOCK_BYTES, 0, 0);
		server_answer("+", 1);
	}
}

static const struct server_functions functions_of_one = {
	.open = server_open_one,
	.command = server_command_one,
};

static void begin(void (*set)(struct stream_settings *settings))
{
	streamworld_begin();
	test.set = set;
	daemon_start();
}

static void end(void)
{
	daemon_ask('S', NULL, 0);
	daemon_await_exit();
}

/* Wait until the state of the stream and the number of clients are these. */
static bool daemon_reaches(const char *state)
{
	char text[64] = "";

	for (int i = 0; i < PATIENCE_MS / 5; i++) {
		daemon_ask('R', text, sizeof(text));
		if (!strcmp(text, state))
			return true;
		usleep(5000);
	}
	printf("# %s\n", text);
	return false;
}

/* ---- clients ---- */

static int join(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	int fd = streamworld_connect();

	if (fd < 0)
		err(1, "no connection");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Receive @length bytes of the pattern from @offset on. */
static void expect_pattern(int fd, uint64_t offset, size_t length)
{
	unsigned char bytes[8192];

	for (size_t done = 0; done < length;) {
		size_t left = length - done;
		ssize_t n = recv(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);

		if (!check(n > 0, "%zu bytes: %s", done, n ? strerror(errno) : "the end"))
			return;
		check(pattern_check(bytes, (size_t)n, offset + done) == (size_t)n,
		      "wrong after %zu bytes", done);
		done += (size_t)n;
	}
}

static void expect_answer(int fd, const char *expected)
{
	char text[256] = "";

	check(recv(fd, text, strlen(expected), MSG_WAITALL) == (ssize_t)strlen(expected),
	      "received: %s", text);
	check(!strcmp(text, expected), "%s, expected %s", text, expected);
}

/* ---- waiting for clients ---- */

static void set_on_demand(struct stream_settings *settings)
{
	settings_set(settings, "pattern", "20M/s");
	settings_set(settings, "on-demand", "yes");
	settings_set(settings, "linger", "0");
}

static void test_on_demand_handed_over(void)
{
	int fd;

	begin(set_on_demand);
	daemon_hand_over();
	check(daemon_reaches("holding 0"), "another state");
	fd = join();
	expect_pattern(fd, 0, 100000);
	daemon_hand_over();
	check(daemon_reaches("running 1"), "another state");
	expect_pattern(fd, 100000, 100000);
	close(fd);
	check(daemon_reaches("idle 0"), "the source goes on");
	daemon_hand_over();
	check(daemon_reaches("idle 0"), "another state");
	fd = join();
	check(daemon_reaches("running 1"), "the source does not start again");
	close(fd);
	check(daemon_reaches("idle 0"), "the source goes on");
	end();
	point("a source on demand starts and stops after handovers in each of its states");
}

static void set_hold(struct stream_settings *settings)
{
	settings_set(settings, "pattern", "20M/s");
	settings_set(settings, "hold", "2");
}

static void test_hold_handed_over(void)
{
	int fd[2];

	begin(set_hold);
	fd[0] = join();
	check(daemon_reaches("holding 1"), "another state");
	daemon_hand_over();
	check(daemon_reaches("holding 1"), "another state");
	fd[1] = join();
	expect_pattern(fd[0], 0, 100000);
	expect_pattern(fd[1], 0, 100000);
	close(fd[0]);
	close(fd[1]);
	end();
	point("hold counts the clients from before and after a handover");
}

/* ---- waiting for a device ---- */

static void set_device(struct stream_settings *settings)
{
	settings_set(settings, "device", FAKE_PATH);
	settings_set(settings, "on-end", "wait");
}

static void test_device(void)
{
	char answer;
	int fd;

	begin(set_device);
	fd = join();
	check(daemon_reaches("waiting 1"), "another state");
	daemon_hand_over();
	check(daemon_reaches("running 1"), "the device is not opened");
	daemon_ask('F', &answer, 1);
	for (size_t left = WORLD_BLOCK_BYTES; left;) {
		char bytes[4096];
		ssize_t n = recv(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);

		if (!check(n > 0, "%zu bytes are missing", left))
			break;
		left -= (size_t)n;
	}
	close(fd);
	end();
	point("a stream without a device keeps its client, and opens the device when that is "
	      "there");
}

/* ---- a command that clients talk to ---- */

static void set_echo(struct stream_settings *settings)
{
	settings_set(settings, "input", "exec:cat");
	settings_set(settings, "client-input", "source");
	settings_set(settings, "allow", "all");
	settings_set(settings, "flush", "1ms");
}

static void test_echo(void)
{
	int fd;

	begin(set_echo);
	fd = join();
	check(send(fd, "one ", 4, 0) == 4, "send");
	expect_answer(fd, "one ");
	for (int i = 0; i < 3; i++) {
		daemon_hand_over();
		check(send(fd, "two ", 4, 0) == 4, "send");
		expect_answer(fd, "two ");
	}
	close(fd);
	end();
	point("a command goes on to read what clients send, and to answer");
}

/* ---- what waits in the kernel ---- */

static void set_preamble(struct stream_settings *settings)
{
	settings_set(settings, "pattern", "20M/s");
	settings_set(settings, "preamble", test.path);
}

static void test_accept_queue(void)
{
	struct parcel_content parcel;
	int fd, file;

	strcpy(test.path, "/tmp/preamble.XXXXXX");
	file = mkstemp(test.path);
	check(file >= 0 && write(file, "first", 5) == 5, "no file");
	close(file);
	begin(set_preamble);
	check(daemon_reaches("running 0"), "another state");
	unlink(test.path);
	daemon_freeze(&parcel);
	fd = join();
	daemon_begin(&parcel);
	two_close(&parcel);
	expect_answer(fd, "first");
	check(daemon_reaches("running 1"), "another state");
	close(fd);
	end();
	point("one that connects while there is no daemon is accepted, and gets the file that is "
	      "gone");
}

/* ---- endpoints ---- */

static unsigned int accepted;

static void count_accepted(void *argument, int fd, const struct sockaddr *peer, socklen_t length)
{
	(void)argument;
	(void)peer;
	(void)length;
	close(fd);
	accepted++;
}

/* Save an endpoint that waits. */
static struct state *save_waiting_endpoint(const char *text)
{
	struct state *state = state_begin_saving();
	char *endpoint = (char *)(uintptr_t)text;
	struct backoff backoff = { .next_us = MAX_BACKOFF_US };
	bool no = false;
	uint32_t backlog = 10;
	uint64_t zero = 0;
	int when = LISTEN_AVAILABLE;

	state_string_copy(state, "endpoint", &endpoint);
	state_string(state, "interface", (char *)(uintptr_t) "", 1);
	state_u32(state, "backlog", &backlog);
	state_bool(state, "reuse_port", &no);
	state_choice(state, "when", &when, LISTEN_AVAILABLE + 1);
	backoff_transfer(&backoff, state, "backoff");
	state_bool(state, "listens", &no);
	state_string(state, "waits_for", (char *)(uintptr_t) "no address", 1);
	state_enter(state, "set");
	state_bool(state, "held", &no);
	state_u64(state, "paused_ns", &zero);
	state_list(state, "sockets", 0);
	state_list_end(state);
	state_leave(state);
	return state_pass(state);
}

static void test_waiting_endpoint(void)
{
	static const struct listener_callbacks callbacks = { .accepted = count_accepted };
	struct listener *listener;
	struct state *state;
	int fd;

	streamworld_begin();
	world.base = event_base_new();
	state = save_waiting_endpoint(world.endpoint);
	listener = listener_restore(world.base, "a", &callbacks, NULL, state);
	state_end_pass(state);
	if (!check(listener, "no endpoint"))
		return;
	check(listener_waits_for(listener) && !strcmp(listener_waits_for(listener), "no address"),
	      "it waits for %s", listener_waits_for(listener));
	check(streamworld_run_until(!listener_waits_for(listener)), "it does not listen");
	fd = join();
	check(streamworld_run_until(accepted == 1), "not accepted");
	close(fd);
	listener_close(listener);
	event_base_free(world.base);
	point("an endpoint that waits for its address goes on with that");
}

/* ---- when nothing can be saved ---- */

static void test_not_saved(void)
{
	struct stream_settings settings;
	struct state *state = state_begin_saving();
	struct stream *prepared;

	streamworld_begin();
	world.base = event_base_new();
	settings_begin(&settings, "a", world.endpoint, "2M");
	set_hold(&settings);
	streamworld_open(&settings, 1);
	streams_save(world.streams, state);
	check(state_failed(state) && strstr(state_why(state), "not started"), "%s",
	      state_why(state));
	state_free(state);
	streams_start(world.streams);
	prepared = streams_prepare(world.streams, &settings,
				   ring_memory_create("a", (size_t)settings.block_size,
						      (uint32_t)stream_settings_blocks(&settings),
						      HUGE_PAGES_NEVER),
				   NULL);
	state = state_begin_saving();
	streams_save(world.streams, state);
	check(state_failed(state) && strstr(state_why(state), "reload"), "%s", state_why(state));
	state_free(state);
	streams_discard(world.streams, prepared);
	state = state_begin_saving();
	streams_save(world.streams, state);
	check(!state_failed(state), "%s", state_why(state));
	state_free(state);
	streamworld_run_ms(5);
	streamworld_stop();
	settings_end(&settings);
	event_base_free(world.base);
	point("streams that are not started, or change, are not saved; those that were saved go "
	      "on");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	server_functions = &functions_of_one;
	test_on_demand_handed_over();
	test_hold_handed_over();
	test_device();
	test_echo();
	test_accept_queue();
	test_waiting_endpoint();
	test_not_saved();
	return tap_end();
}
