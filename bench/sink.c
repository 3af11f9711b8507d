// SPDX-License-Identifier: BSD-2-Clause
/*
 * sink - many clients that discard what they receive, as cheaply as the kernel allows.
 *
 * Opens --clients connections to --connect HOST:PORT and discards everything with recv(MSG_TRUNC),
 * which copies nothing. After all are connected it waits for the first byte, then for --warmup, and
 * then counts for --seconds. It prints one line of key=value pairs:
 *
 *   clients            number of clients
 *   bytes, seconds     bytes received by all clients, and the time measured
 *   rate               bytes per second, all clients together
 *   min, median, max   bytes per second of the slowest, the middle and the fastest client
 *   latency_p50, _p99, _p999, _max    with --latency: seconds from the time stamp in a block, when it
 *                      was full, until a client had all of it
 *   sink_cpu           CPU time of this program, in seconds
 *   server_cpu         CPU time of the process --server-pid and its descendants
 *   softirq_cpu        CPU time of the kernel's threads for softirqs (ksoftirqd)
 *   other_cpu          CPU time of everything else on this machine: 0 if the run was undisturbed
 *
 * With --check and --latency it reads the stream block by block, of --block-size. The server's source
 * must be a pattern of --pattern-form, with a time stamp for --latency (dmacastd.conf(5), THE PATTERN).
 * --check compares every byte, in order, with that pattern; a wrong or missing byte ends the run.
 *
 * With --send FILE each client sends the file's content when it is connected, such as an HTTP request,
 * and counts the answers as data. With --check or --latency the head of one HTTP answer is skipped.
 *
 * With --pace TIME it waits for this time before each connection. Many servers have a listen queue of 5
 * or 10, and a client that finds it full tries again only after a second.
 *
 * With --listen it waits for connections to HOST:PORT instead, for servers that connect to their clients.
 *
 * With --stalled N the last N clients never read. min, median and max are then those of the other clients,
 * and the line also has server_memory: bytes of resident memory and of data in send queues, at the end.
 *
 * With --slice TIME it measures in time slices of that length, between which it stops itself and the
 * server (see slice.h); all other times count only these slices.
 *
 * With --poll it never sleeps, so that the server need not wake it. With few clients on a virtual
 * machine wake-ups are most of the server's work, and their number is random.
 *
 * The exit status is 1 if a byte was wrong, a connection ended too early, or no byte came.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "block_reader.h"
#include "config/option_table.h"
#include "cpu_time.h"
#include "daemon_option.h"
#include "lib/address.h"
#include "lib/clock.h"
#include "lib/settings.h"
#include "lib/units.h"
#include "request.h"
#include "samples.h"
#include "server_memory.h"
#include "slice.h"

#define USECONDS_PER_S 1000000
#define MAX_EVENTS 256

/* Upper bound in bytes for one recv() that discards data: more than any socket holds. */
#define MAX_DISCARD (1UL << 30)

/* A slice ends when no data came for this time, in ms, or after the maximum, in ns. */
#define SETTLE_MS 1
#define MAX_SETTLE_NS UINT64_C(200000000)

/* Timeout for the first byte. */
#define FIRST_BYTE_TIMEOUT_NS UINT64_C(60000000000)

/* Maximum request in bytes, which a socket accepts in one send. */
#define MAX_REQUEST (64UL << 10)

/* Maximum head of an HTTP answer in bytes. */
#define MAX_HEAD 4096

struct sink {
	struct address address;
	uint64_t clients;
	uint64_t stalled; /* clients that never read, the last ones */
	bool listen;	  /* accept the connections instead of making them */
	uint64_t seconds_us, warmup_us;
	uint64_t pace_us; /* pause between connections */
	bool poll, check, latency;
	const char *histogram;		 /* path */
	struct stream_settings settings; /* the server's block size and form of the pattern */
	const char *request;		 /* --send, NULL: none */
	size_t request_length;
	pid_t server;
	uint64_t slice_us; /* --slice, 0: none */
	struct slice slice;
	int epoll;
	int *fd;
	uint64_t *received; /* bytes of each client since the count began */
	uint64_t total;	    /* bytes of all clients */
	/* With --check or --latency: */
	struct block_form form;
	struct block_reader *reader;
	struct samples samples;
};

/* Clock and CPU time at the beginning or the end of the measurement. */
struct reading {
	uint64_t ns;
	struct cpu_time used;
};

static struct reading sink_take_reading(const struct sink *sink)
{
	return (struct reading){
		.ns = slice_clock_ns(&sink->slice),
		.used = slice_cpu_time(&sink->slice),
	};
}

/* Send the whole request at once; there is no waiting for a server that reads slowly. */
static void sink_send_request(const struct sink *sink, int fd, uint64_t number)
{
	ssize_t n = send(fd, sink->request, sink->request_length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		err(1, "send of client %" PRIu64, number);
	if ((size_t)n != sink->request_length)
		errx(1, "client %" PRIu64 ": the file of --send does not fit into one send",
		     number);
}

/* Begin to receive from the socket @fd, unless the client is a stalled one. */
static void sink_add_client(struct sink *sink, int fd, uint64_t number)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = number };

	sink->fd[number] = fd;
	if (number >= sink->clients - sink->stalled)
		return;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "client %" PRIu64, number);
}

static void sink_connect_one(struct sink *sink, const struct addrinfo *server, uint64_t number)
{
	int fd = socket(server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket of client %" PRIu64, number);
	if (connect(fd, server->ai_addr, server->ai_addrlen))
		err(1, "connect client %" PRIu64 " to %s:%s", number, sink->address.host,
		    sink->address.port);
	if (sink->request)
		sink_send_request(sink, fd, number);
	sink_add_client(sink, fd, number);
}

/* Accept the connections of a server that connects to its clients. */
static void sink_accept_all(struct sink *sink, const struct addrinfo *address)
{
	int listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, address->ai_addr, address->ai_addrlen) ||
	    listen(listener, (int)sink->clients))
		err(1, "listen on %s:%s", sink->address.host, sink->address.port);
	for (uint64_t i = 0; i < sink->clients; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept client %" PRIu64, i);
		sink_add_client(sink, fd, i);
	}
	close(listener);
}

static void sink_connect_all(struct sink *sink)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *server;
	int error = getaddrinfo(sink->address.host, sink->address.port, &hints, &server);

	if (error)
		errx(1, "%s:%s: %s", sink->address.host, sink->address.port, gai_strerror(error));
	sink->epoll = epoll_create1(EPOLL_CLOEXEC);
	sink->fd = calloc(sink->clients, sizeof(*sink->fd));
	sink->received = calloc(sink->clients, sizeof(*sink->received));
	if (sink->check || sink->latency)
		sink->reader = calloc(sink->clients, sizeof(*sink->reader));
	if (sink->epoll < 0 || !sink->fd || !sink->received ||
	    (!sink->reader && (sink->check || sink->latency)))
		err(1, "%" PRIu64 " clients", sink->clients);
	if (sink->listen)
		sink_accept_all(sink, server);
	for (uint64_t i = 0; i < sink->clients && !sink->listen; i++) {
		if (i && sink->pace_us)
			usleep((useconds_t)sink->pace_us);
		sink_connect_one(sink, server, i);
	}
	freeaddrinfo(server);
}

static void sink_block_complete(void *argument, uint64_t full_ns)
{
	struct sink *sink = argument;

	if (sink->latency)
		samples_add(&sink->samples, clock_monotonic_ns() - full_ns);
}

/* Skip the head of an HTTP answer once all of it has come. Return: as recv(); EAGAIN before that. */
static ssize_t sink_skip_head(struct block_reader *reader, int fd, uint64_t number)
{
	static const char end[] = "\r\n\r\n";
	char head[MAX_HEAD];
	const char *last;
	ssize_t n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

	if (n <= 0)
		return n;
	last = memmem(head, (size_t)n, end, strlen(end));
	if (!last && n == sizeof(head))
		errx(1, "client %" PRIu64 ": the answer begins with no HTTP head", number);
	if (!last) {
		errno = EAGAIN;
		return -1;
	}
	reader->past_head = true;
	return recv(fd, head, (size_t)(last - head) + strlen(end), MSG_DONTWAIT);
}

static void sink_receive(struct sink *sink, uint64_t number)
{
	const char *wrong = NULL;
	ssize_t n;

	if (sink->reader && sink->request && !sink->reader[number].past_head)
		n = sink_skip_head(&sink->reader[number], sink->fd[number], number);
	else if (sink->reader)
		n = block_reader_receive(&sink->reader[number], &sink->form, sink->fd[number],
					 &wrong);
	else
		n = recv(sink->fd[number], NULL, MAX_DISCARD, MSG_TRUNC | MSG_DONTWAIT);
	if (wrong)
		errx(1, "client %" PRIu64 ": near byte %" PRIu64 " of the stream: %s", number,
		     sink->reader[number].offset + sink->reader[number].position, wrong);
	if (n > 0) {
		sink->received[number] += (uint64_t)n;
		sink->total += (uint64_t)n;
	} else if (n == 0) {
		errx(1, "client %" PRIu64 ": end of stream", number);
	} else if (errno != EAGAIN && errno != EINTR) {
		err(1, "client %" PRIu64, number);
	}
}

/* Return the time to sleep from @now_ns: until @end_ns or the end of the slice. */
static int sink_timeout_ms(const struct sink *sink, uint64_t now_ns, uint64_t end_ns)
{
	uint64_t wake_ns = end_ns < sink->slice.ends_ns ? end_ns : sink->slice.ends_ns;

	return sink->poll ? 0 : (int)((wake_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* Receive what comes within @most_ms. Return: number of events. */
static int sink_receive_some(struct sink *sink, int most_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int n = epoll_wait(sink->epoll, events, MAX_EVENTS, most_ms);

	if (n < 0 && errno != EINTR)
		err(1, "epoll_wait");
	for (int i = 0; i < n; i++)
		sink_receive(sink, events[i].data.u64);
	return n;
}

/* End a slice. Receive first what the server's kernel still sends, or it would be sent in other slices. */
static void sink_end_slice(struct sink *sink)
{
	uint64_t most_ns;

	slice_stop_server(&sink->slice);
	most_ns = slice_clock_ns(&sink->slice) + MAX_SETTLE_NS;
	while (sink_receive_some(sink, SETTLE_MS) && slice_clock_ns(&sink->slice) < most_ns)
		;
	slice_pass(&sink->slice);
}

/* Receive until @end_ns, or, with @until_first, until a byte has come. */
static void sink_receive_until(struct sink *sink, uint64_t end_ns, bool until_first)
{
	uint64_t now;

	while ((now = slice_clock_ns(&sink->slice)) < end_ns && !(until_first && sink->total)) {
		if (slice_is_over(&sink->slice, now))
			sink_end_slice(sink);
		else
			sink_receive_some(sink, sink_timeout_ms(sink, now, end_ns));
	}
}

static void sink_print_result(struct sink *sink, const struct reading *from,
			      const struct reading *to)
{
	double seconds = (double)(to->ns - from->ns) / NS_PER_S;
	uint64_t reading = sink->clients - sink->stalled;
	const uint64_t *count = sink->received;

	sort_u64(sink->received, reading);
	printf("clients=%" PRIu64 " bytes=%" PRIu64 " seconds=%.3f rate=%.0f min=%.0f median=%.0f "
	       "max=%.0f",
	       sink->clients, sink->total, seconds, (double)sink->total / seconds,
	       (double)count[0] / seconds, (double)count[reading / 2] / seconds,
	       (double)count[reading - 1] / seconds);
	if (sink->latency)
		samples_print(&sink->samples, "latency");
	cpu_time_print("sink_cpu", sink->server, &from->used, &to->used);
	if (sink->stalled && sink->server)
		printf(" server_memory=%.0f", server_memory_read(sink->server));
	putchar('\n');
}

static void sink_measure(struct sink *sink)
{
	struct reading from, to;

	sink_receive_until(sink, slice_clock_ns(&sink->slice) + FIRST_BYTE_TIMEOUT_NS, true);
	if (!sink->total)
		errx(1, "no data");
	sink_receive_until(sink, slice_clock_ns(&sink->slice) + sink->warmup_us * 1000, false);
	memset(sink->received, 0, sink->clients * sizeof(*sink->received));
	sink->total = 0;
	samples_clear(&sink->samples);
	from = sink_take_reading(sink);
	sink_receive_until(sink, from.ns + sink->seconds_us * 1000, false);
	to = sink_take_reading(sink);
	slice_stop_server(&sink->slice);
	sink_print_result(sink, &from, &to);
	if (sink->histogram)
		samples_write_histogram(&sink->samples, sink->histogram);
}

static void sink_print_usage(FILE *file)
{
	fprintf(file,
		"Usage: sink --connect HOST:PORT [--clients N] [--seconds S] [--warmup S]\n"
		"            [--listen] [--stalled N] [--server-pid PID] [--slice TIME] [--poll] "
		"[--send FILE] [--pace "
		"TIME]\n"
		"            [--check] [--latency] [--histogram FILE] [--block-size SIZE] "
		"[--pattern-form FORM]\n"
		"S is a duration such as 2s or 500ms. Defaults: 1 client, 2s, 500ms. The last two\n"
		"options, for --check and --latency, have the defaults of dmacastd.\n");
}

static void sink_usage_error(const char *option, const char *text, const char *expected)
{
	errx(2, "--%s %s: expected %s", option, text, expected);
}

static void sink_set_form(struct sink *sink)
{
	sink->form = (struct block_form){
		.form = (enum pattern_form)sink->settings.pattern_form,
		.block_size = sink->settings.block_size,
		.check = sink->check,
		.complete = sink_block_complete,
		.argument = sink,
	};
	if (sink->latency && sink->form.form == PATTERN_OFFSETS)
		errx(2, "--latency: expected a --pattern-form with a time stamp, the same as the "
			"server's");
	if (sink->histogram && !sink->latency)
		errx(2, "--histogram: expected --latency, too");
}

static void sink_parse_arguments(struct sink *sink, int argc, char **argv)
{
	static const struct option options[] = {
		{ "connect", required_argument, NULL, 'c' },
		{ "listen", no_argument, NULL, 'i' },
		{ "clients", required_argument, NULL, 'n' },
		{ "stalled", required_argument, NULL, 'N' },
		{ "seconds", required_argument, NULL, 's' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "server-pid", required_argument, NULL, 'p' },
		{ "slice", required_argument, NULL, 'L' },
		{ "poll", no_argument, NULL, 'P' },
		{ "check", no_argument, NULL, 'k' },
		{ "latency", no_argument, NULL, 'l' },
		{ "histogram", required_argument, NULL, 'H' },
		{ "block-size", required_argument, NULL, 'b' },
		{ "pattern-form", required_argument, NULL, 'f' },
		{ "send", required_argument, NULL, 'S' },
		{ "pace", required_argument, NULL, 'A' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *expected = NULL;
	uint64_t number;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			if (!address_parse(optarg, &sink->address, &expected))
				sink_usage_error("connect", optarg, expected);
			break;
		case 'n':
			if (!units_parse_count(optarg, &sink->clients) || !sink->clients ||
			    sink->clients > 100000)
				sink_usage_error("clients", optarg, "a number from 1 to 100000");
			break;
		case 'i':
			sink->listen = true;
			break;
		case 'N':
			if (!units_parse_count(optarg, &sink->stalled))
				sink_usage_error("stalled", optarg, "a number of clients");
			break;
		case 's':
			if (!units_parse_duration(optarg, &sink->seconds_us) || !sink->seconds_us)
				sink_usage_error("seconds", optarg, "a duration such as 2s");
			break;
		case 'w':
			if (!units_parse_duration(optarg, &sink->warmup_us))
				sink_usage_error("warmup", optarg, "a duration such as 500ms");
			break;
		case 'p':
			if (!units_parse_count(optarg, &number) || !number || number > INT32_MAX)
				sink_usage_error("server-pid", optarg, "a process id");
			sink->server = (pid_t)number;
			break;
		case 'L':
			if (!units_parse_duration(optarg, &sink->slice_us) || !sink->slice_us)
				sink_usage_error("slice", optarg, "a duration such as 25ms");
			break;
		case 'P':
			sink->poll = true;
			break;
		case 'k':
			sink->check = true;
			break;
		case 'l':
			sink->latency = true;
			break;
		case 'H':
			sink->histogram = optarg;
			break;
		case 'b':
			daemon_option_set(&sink->settings, "block-size", optarg);
			break;
		case 'f':
			daemon_option_set(&sink->settings, "pattern-form", optarg);
			break;
		case 'S':
			sink->request = request_read(optarg, MAX_REQUEST, &sink->request_length);
			break;
		case 'A':
			if (!units_parse_duration(optarg, &sink->pace_us) ||
			    sink->pace_us > USECONDS_PER_S)
				sink_usage_error("pace", optarg, "a duration of at most 1s");
			break;
		case 'h':
			sink_print_usage(stdout);
			exit(0);
		default:
			sink_print_usage(stderr);
			exit(2);
		}
	}
	if (optind < argc || !sink->address.port[0]) {
		sink_print_usage(stderr);
		exit(2);
	}
	if (sink->stalled >= sink->clients)
		errx(2, "--stalled: expected fewer than the %" PRIu64 " clients", sink->clients);
	if (sink->listen && sink->request)
		errx(2, "--listen: expected no --send");
	if (sink->slice_us && !sink->server)
		errx(2, "--slice: expected --server-pid, too");
	if (sink->slice_us && sink->latency)
		errx(2, "--slice: expected no --latency: blocks that wait while the server is "
			"stopped are not late");
	sink_set_form(sink);
}

int main(int argc, char **argv)
{
	struct sink sink = { .clients = 1, .seconds_us = 2000000, .warmup_us = 500000 };
	struct rlimit files;

	option_set_defaults(OPTION_STREAM, &sink.settings);
	sink_parse_arguments(&sink, argc, argv);
	cpu_time_init();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	slice_begin(&sink.slice, sink.server, sink.slice_us);
	sink_connect_all(&sink);
	sink_measure(&sink);
	return 0;
}
