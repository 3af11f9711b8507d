// SPDX-License-Identifier: BSD-2-Clause
/*
 * nullpeer - many imaginary clients of one TCP server, none of which reads what it sends.
 *
 * A BPF program at the egress of the server's link reports each packet's header and drops the packet.
 * This process answers for the clients with hand-made packets from the other end of the link. Nothing
 * reads the payload, so the kernel need not copy it: zero-copy sends remain zero-copy, as with a good
 * network card, and as fast as the machine allows. The clients can also misbehave in ways that real
 * clients cannot be made to. The payload cannot be checked here; feedclient does that.
 *
 * Run it in a network namespace made by bench/nullnet. It prints one line of key=value pairs on stdout,
 * and one line for each failure on stderr.
 *
 *   clients, connected     clients requested, clients that were connected at least once
 *   ended, resets          connections that the server ended with FIN, with RST
 *   bytes_*                bytes acknowledged by the clients without a role (by all, if each has one)
 *   seconds, rate          time since all were connected, data came, and --warmup was over; bytes per second
 *   joins, left, reset     connections made, closed by --leave, reset by --reset
 *   packets                packets with payload that the server sent
 *   lost, early, repeated  packets of these that were lost by --lose, out of order, received before
 *   zero_windows           number of times that a client closed its window
 *   beyond                 packets with bytes beyond the window
 *   overflows              packets that were lost because this program was too slow
 *   cpu, server_cpu        CPU time of this process, of --server-pid, in seconds
 *   softirq_cpu, other_cpu    CPU time of the kernel's threads for softirqs (ksoftirqd), of all others
 *   errors                 failures; the exit status is 1 if there are any
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "cpu_time.h"
#include "lib/address.h"
#include "lib/clock.h"
#include "lib/units.h"
#include "nullpeer_client.h"
#include "nullpeer_frame.h"
#include "nullpeer_tap.h"
#include "request.h"
#include "samples.h"
#include "slice.h"

#include "../tests/command_line.h"

#define TICK_MS 2
#define TICK_NS (TICK_MS * UINT64_C(1000000))

/* A slice ends when no packet came for this time, or after the maximum. */
#define SETTLE_NS UINT64_C(50000)
#define MAX_SETTLE_NS UINT64_C(200000000)

#define MAX_CLIENTS 20000

#define FIRST_PORT 10000
#define LAST_PORT 60000

/* Role of a client, assigned by its number in this order. */
enum role { ROLE_STALL, ROLE_MUTE, ROLE_RESET, ROLE_LEAVE, ROLE_PLAIN, ROLES };

static struct options {
	uint64_t clients, connecting, window, rate, lose;
	uint64_t pause_each, pause_us;
	uint64_t role[ROLES], role_after[ROLES]; /* clients; bytes before it acts */
	double seconds, warmup;
	bool half_close, churn, poll, until_end, allow_end, allow_reset, help;
	uint64_t coalesce_us; /* 0: reports wake this process */
	uint64_t server_pid;
	uint64_t slice_us; /* 0: none */
	uint64_t connect_timeout_us;
	const char *ready, *server_link, *peer_link, *source, *request;
} opt = {
	.clients = 1,
	.connecting = 128,
	.window = 4 << 20,
	.rate = UNITS_RATE_MAX,
	.pause_us = 100000,
	.seconds = INFINITY,
	.connect_timeout_us = 5000000,
	.server_link = "server",
	.peer_link = "peer",
	.source = "10.78.0.2",
};

static struct {
	struct client *clients;
	struct client *by_port[UINT16_MAX + 1];
	struct client_plan plan[ROLES];
	struct client_counts counts;
	const char *request; /* --send */
	size_t request_length;
	uint16_t next_port;
	uint64_t now, tick_at;
	uint64_t started_at;  /* time when all were connected, 0: not yet */
	uint64_t data_at;     /* time of the server's first data after that */
	uint64_t measured_at; /* end of --warmup after that */
	uint64_t bytes, measured_from;
	struct slice slice;
	struct cpu_time used;
	uint64_t failures;
} run = { .next_port = FIRST_PORT };

static volatile sig_atomic_t signalled;

__attribute__((format(printf, 1, 2))) static void nullpeer_fail(const char *format, ...)
{
	va_list arguments;

	run.failures++;
	fputs("nullpeer: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* ---- the clients ---- */

static enum role nullpeer_role(uint64_t number)
{
	enum role role = ROLE_STALL;

	while (role < ROLE_PLAIN && number >= opt.role[role])
		number -= opt.role[role++];
	return role;
}

static void nullpeer_create_clients(void)
{
	static const enum client_action actions[ROLES] = {
		[ROLE_STALL] = ACTION_STALL, [ROLE_MUTE] = ACTION_MUTE,
		[ROLE_RESET] = ACTION_RESET, [ROLE_LEAVE] = ACTION_LEAVE,
		[ROLE_PLAIN] = ACTION_NONE,
	};

	for (int i = 0; i < ROLES; i++)
		run.plan[i] = (struct client_plan){
			.action = actions[i],
			.action_after = opt.role_after[i],
			.window = opt.window,
			.rate = opt.rate,
			.lose = opt.lose,
			.pause_each = opt.pause_each,
			.pause_ns = opt.pause_us * NS_PER_US,
			.half_close = opt.half_close,
			.request = run.request,
			.request_length = (uint32_t)run.request_length,
		};
	run.clients = calloc(opt.clients, sizeof(*run.clients));
	if (!run.clients)
		err(1, "%" PRIu64 " clients", opt.clients);
	for (uint64_t i = 0; i < opt.clients; i++) {
		run.clients[i].plan = &run.plan[nullpeer_role(i)];
		run.clients[i].counts = &run.counts;
		run.clients[i].retry_at = CLIENT_NEVER;
	}
}

/* Connect from the port that has been unused for the longest time. */
static void nullpeer_connect(struct client *client)
{
	const struct client *user;

	if (client->port)
		run.by_port[client->port] = NULL;
	do {
		run.next_port = run.next_port == LAST_PORT ? FIRST_PORT : run.next_port + 1;
		user = run.by_port[run.next_port];
	} while (user);
	run.by_port[run.next_port] = client;
	client_connect(client, run.next_port, run.now);
}

static void nullpeer_take_report(const struct report *report)
{
	struct client *client = run.by_port[report->client_port];
	uint64_t before;

	if (!client) {
		client_refuse(report);
		return;
	}
	before = client->total;
	client_take(client, report, run.now);
	run.bytes += client->total - before;
}

/* Return true if the client has completed its role and connects again (--churn). */
static bool nullpeer_reconnects(const struct client *client)
{
	return opt.churn && client->state == CLIENT_ENDED && client->connected &&
	       (client->plan->action == ACTION_RESET || client->plan->action == ACTION_LEAVE);
}

static void nullpeer_start_measuring(void)
{
	run.measured_at = run.now;
	run.measured_from = run.bytes;
	for (uint64_t i = 0; i < opt.clients; i++)
		run.clients[i].total = 0;
	run.used = slice_cpu_time(&run.slice);
}

static void nullpeer_create_ready_file(void)
{
	int fd = open(opt.ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		err(1, "--ready %s", opt.ready);
	close(fd);
}

static bool nullpeer_all_ended(void)
{
	for (uint64_t i = 0; i < opt.clients; i++)
		if (run.clients[i].state != CLIENT_ENDED || nullpeer_reconnects(&run.clients[i]))
			return false;
	return true;
}

static void nullpeer_tick(void)
{
	uint64_t connecting = 0, missing = 0;

	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		client_tick(client, run.now);
		connecting += client->state == CLIENT_CONNECTING;
	}
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		missing += !client->connected;
		if ((client->state != CLIENT_IDLE && !nullpeer_reconnects(client)) ||
		    connecting >= opt.connecting)
			continue;
		nullpeer_connect(client);
		connecting++;
	}
	if (!missing && !run.started_at) {
		run.started_at = run.now;
		if (opt.ready)
			nullpeer_create_ready_file();
	}
	/* Wait for the first data, but not longer than the timeout, nor after all connections ended. */
	if (run.started_at && !run.data_at &&
	    (run.bytes || nullpeer_all_ended() ||
	     run.now - run.started_at >= opt.connect_timeout_us * NS_PER_US))
		run.data_at = run.now;
	if (run.data_at && !run.measured_at &&
	    (double)(run.now - run.data_at) >= opt.warmup * (double)NS_PER_S)
		nullpeer_start_measuring();
}

static bool nullpeer_is_over(uint64_t begun_at)
{
	if (!run.started_at)
		return run.now - begun_at >= opt.connect_timeout_us * NS_PER_US;
	return run.measured_at &&
	       ((double)(run.now - run.measured_at) >= opt.seconds * (double)NS_PER_S ||
		nullpeer_all_ended());
}

/* Sleep, like a network card that coalesces interrupts: packets are then taken together. */
static void nullpeer_coalesce(uint64_t span_ns)
{
	struct timespec span = { .tv_nsec = (long)span_ns };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

/*
 * End a slice: stop the server, but still take what its kernel sends. Otherwise the answers would come
 * after the other slices, and for such a round-trip time the kernel makes smaller packets.
 */
static void nullpeer_end_slice(void)
{
	uint64_t begun_at, packets;

	slice_stop_server(&run.slice);
	begun_at = slice_clock_ns(&run.slice);
	do {
		packets = run.counts.packets;
		nullpeer_coalesce(SETTLE_NS);
		run.now = slice_clock_ns(&run.slice);
		tap_take();
		frame_flush();
	} while (run.counts.packets != packets && run.now - begun_at < MAX_SETTLE_NS);
	slice_pass(&run.slice);
}

static void nullpeer_run(void)
{
	uint64_t begun_at = slice_clock_ns(&run.slice);

	while (!signalled) {
		run.now = slice_clock_ns(&run.slice);
		if (slice_is_over(&run.slice, run.now)) {
			nullpeer_end_slice();
			continue;
		}
		if (run.now >= run.tick_at) {
			run.tick_at = run.now + TICK_NS;
			nullpeer_tick();
			if (nullpeer_is_over(begun_at))
				break;
		}
		frame_flush();
		if (opt.coalesce_us)
			nullpeer_coalesce(opt.coalesce_us * NS_PER_US);
		if (opt.poll || opt.coalesce_us)
			tap_take();
		else
			tap_wait(TICK_MS);
		frame_flush();
	}
	run.now = slice_clock_ns(&run.slice);
}

/* ---- the report ---- */

static void nullpeer_verify(void)
{
	const struct client_counts *counts = &run.counts;

	for (uint64_t i = 0; i < opt.clients; i++)
		if (!run.clients[i].connected)
			nullpeer_fail("client %" PRIu64 ": no connection", i + 1);
	if (counts->ended && !opt.allow_end && !opt.until_end)
		nullpeer_fail("the server ended %" PRIu64 " connections", counts->ended);
	if (counts->resets && !opt.allow_reset)
		nullpeer_fail("the server reset %" PRIu64 " connections", counts->resets);
	if (counts->beyond)
		nullpeer_fail("%" PRIu64 " packets had bytes beyond the window", counts->beyond);
	if (opt.until_end && !signalled && !nullpeer_all_ended())
		nullpeer_fail("not all connections ended");
}

static void nullpeer_print_bytes(void)
{
	uint64_t *totals = calloc(opt.clients, sizeof(*totals)), count = 0;
	bool plain_only = run.clients[opt.clients - 1].plan->action == ACTION_NONE;

	if (!totals)
		err(1, "report");
	for (uint64_t i = 0; i < opt.clients; i++)
		if (run.clients[i].plan->action == ACTION_NONE || !plain_only)
			totals[count++] = run.clients[i].total;
	sort_u64(totals, count);
	printf(" bytes_total=%" PRIu64 " bytes_min=%" PRIu64 " bytes_median=%" PRIu64
	       " bytes_max=%" PRIu64,
	       run.bytes - run.measured_from, totals[0], totals[count / 2], totals[count - 1]);
	free(totals);
}

static void nullpeer_print_times(void)
{
	double seconds = 0, rate = 0;

	if (run.measured_at)
		seconds = (double)(run.now - run.measured_at) / (double)NS_PER_S;
	if (seconds > 0)
		rate = (double)(run.bytes - run.measured_from) / seconds;
	printf(" seconds=%.3f rate=%.0f", seconds, rate);
}

static void nullpeer_print_report(const struct cpu_time *used)
{
	const struct client_counts *counts = &run.counts;
	uint64_t connected = 0;

	for (uint64_t i = 0; i < opt.clients; i++)
		connected += run.clients[i].connected;
	printf("clients=%" PRIu64 " connected=%" PRIu64 " ended=%" PRIu64 " resets=%" PRIu64,
	       opt.clients, connected, counts->ended, counts->resets);
	nullpeer_print_bytes();
	nullpeer_print_times();
	printf(" joins=%" PRIu64 " left=%" PRIu64 " reset=%" PRIu64 " packets=%" PRIu64
	       " lost=%" PRIu64 " early=%" PRIu64 " repeated=%" PRIu64 " zero_windows=%" PRIu64
	       " beyond=%" PRIu64 " overflows=%" PRIu64,
	       counts->joins, counts->left, counts->has_reset, counts->packets, counts->lost,
	       counts->early, counts->repeated, counts->zero_windows, counts->beyond,
	       tap_overflows());
	cpu_time_print("cpu", (pid_t)opt.server_pid, &run.used, used);
	printf(" errors=%" PRIu64 "\n", run.failures);
}

/* ---- the command line ---- */

static const struct setting setting_table[] = {
	{ "clients", COUNT, &opt.clients, "connections to open (1)" },
	{ "connecting", COUNT, &opt.connecting,
	  "maximum pending at once, for the server's listen queue (128)" },
	{ "seconds", NUMBER, &opt.seconds,
	  "measure for this time (until a signal or the end of all)" },
	{ "warmup", NUMBER, &opt.warmup,
	  "... beginning this time after all are connected and data comes (0)" },
	{ "until-end", FLAG, &opt.until_end, "expect that the server ends all connections" },
	{ "allow-end", FLAG, &opt.allow_end, "the server may end connections early" },
	{ "allow-reset", FLAG, &opt.allow_reset, "the server may reset connections" },
	{ "window", SIZE, &opt.window, "receive buffer, and therefore window, of a client (4M)" },
	{ "rate", RATE, &opt.rate, "maximum rate at which a client reads" },
	{ "lose", COUNT, &opt.lose, "lose every N-th packet of a client" },
	{ "pause-each", SIZE, &opt.pause_each, "a client stops reading after each SIZE bytes" },
	{ "pause", DURATION, &opt.pause_us, "... for this time (100ms)" },
	{ "stall", COUNT, &opt.role[ROLE_STALL], "the first N clients do not read" },
	{ "stall-after", SIZE, &opt.role_after[ROLE_STALL],
	  "... after they have read this size (0)" },
	{ "mute", COUNT, &opt.role[ROLE_MUTE], "the next N clients answer nothing" },
	{ "mute-after", SIZE, &opt.role_after[ROLE_MUTE],
	  "... after they have received this size (0)" },
	{ "reset", COUNT, &opt.role[ROLE_RESET], "the next N clients reset their connection" },
	{ "reset-after", SIZE, &opt.role_after[ROLE_RESET],
	  "... after they have received this size (0)" },
	{ "leave", COUNT, &opt.role[ROLE_LEAVE], "the next N clients close their connection" },
	{ "leave-after", SIZE, &opt.role_after[ROLE_LEAVE],
	  "... after they have received this size (0)" },
	{ "churn", FLAG, &opt.churn, "clients of --reset and --leave connect again" },
	{ "send", TEXT, &opt.request, "send this file's content when connected" },
	{ "half-close", FLAG, &opt.half_close,
	  "send a FIN when connected, and continue to receive" },
	{ "connect-timeout", DURATION, &opt.connect_timeout_us,
	  "timeout for all to be connected (5s)" },
	{ "ready", TEXT, &opt.ready, "create this file when all are connected" },
	{ "server-pid", COUNT, &opt.server_pid, "also report the CPU time of this process" },
	{ "slice", DURATION, &opt.slice_us,
	  "run in time slices of this length; both are stopped between (slice.h)" },
	{ "poll", FLAG, &opt.poll, "never sleep, so that the server need not wake this process" },
	{ "coalesce", DURATION, &opt.coalesce_us,
	  "look for packets at this interval, instead of being woken by them" },
	{ "server-link", TEXT, &opt.server_link, "the server's end of the link (server)" },
	{ "peer-link", TEXT, &opt.peer_link, "the other end (peer)" },
	{ "source", TEXT, &opt.source, "address of the clients (10.78.0.2)" },
	{ "help", FLAG, &opt.help, "print this" },
};

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
};

_Static_assert(sizeof(setting_table) / sizeof(setting_table[0]) <= MAX_SETTINGS, "too many");

static void nullpeer_print_help(void)
{
	puts("Usage: nullpeer [options] ADDRESS:PORT\n");
	settings_print(&settings);
}

static void nullpeer_verify_options(void)
{
	uint64_t left = opt.clients;

	if (!opt.clients || opt.clients > MAX_CLIENTS)
		errx(2, "--clients must be 1 to %d", MAX_CLIENTS);
	for (int i = 0; i < ROLE_PLAIN; i++) {
		if (opt.role[i] > left)
			errx(2,
			     "more clients to --stall, --mute, --reset and --leave than --clients");
		left -= opt.role[i];
	}
	if (!opt.connecting)
		errx(2, "--connecting must not be 0");
	if (opt.window < 4096 || opt.window > MAX_CLIENT_WINDOW)
		errx(2, "--window must be 4K to 512M");
	if (opt.coalesce_us >= 1000000)
		errx(2, "--coalesce must be less than a second");
	if (!opt.rate)
		errx(2, "--rate must not be 0");
	if (opt.server_pid > INT32_MAX)
		errx(2, "--server-pid must be a process id");
	if (opt.slice_us && !opt.server_pid)
		errx(2, "--slice needs --server-pid");
}

static void nullpeer_parse_server(const char *text, struct frame_way *way)
{
	struct address address;
	const char *expected;

	if (!address_parse(text, &address, &expected))
		errx(2, "%s: expected %s", text, expected);
	way->server.sin_family = AF_INET;
	way->server.sin_port = htons((uint16_t)strtoul(address.port, NULL, 10));
	if (inet_pton(AF_INET, address.host, &way->server.sin_addr) != 1)
		errx(2, "%s: expected an IPv4 address", text);
	if (inet_pton(AF_INET, opt.source, &way->source) != 1)
		errx(2, "--source %s: expected an IPv4 address", opt.source);
	way->server_link = opt.server_link;
	way->peer_link = opt.peer_link;
}

static void nullpeer_take_signal(int number)
{
	(void)number;
	signalled = 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = nullpeer_take_signal };
	struct frame_way way = { 0 };
	struct cpu_time used;

	settings_parse(&settings, argc, argv);
	if (opt.help) {
		nullpeer_print_help();
		return 0;
	}
	nullpeer_verify_options();
	if (argc - optind != 1)
		errx(2, "one ADDRESS:PORT is needed (see nullpeer --help)");
	nullpeer_parse_server(argv[optind], &way);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1UL); /* for --coalesce; the default adds 50 us */
	if (opt.request)
		run.request = request_read(opt.request, MAX_CLIENT_REQUEST, &run.request_length);
	nullpeer_create_clients();
	frame_open(&way);
	cpu_time_init();
	tap_open(opt.server_link, !opt.poll && !opt.coalesce_us, nullpeer_take_report);
	slice_begin(&run.slice, (pid_t)opt.server_pid, opt.slice_us);
	run.used = slice_cpu_time(&run.slice);
	nullpeer_run();
	used = slice_cpu_time(&run.slice);
	slice_stop_server(&run.slice);
	nullpeer_verify();
	nullpeer_print_report(&used);
	for (uint64_t i = 0; i < opt.clients; i++)
		client_abort(&run.clients[i]);
	frame_flush();
	tap_close();
	free(run.clients);
	return run.failures ? 1 : 0;
}
