// SPDX-License-Identifier: BSD-2-Clause
/*
 * feed - data for servers in the benchmarks that do not generate their own.
 *
 * Writes the test pattern (pattern.h) to stdout, or with --connect to a server, as fast as it is read or
 * at a --rate. A feed should use little of the machine on which servers are measured. With --repeat the
 * pattern's first bytes are in memory from the start and are sent over and over by sendfile(), which
 * copies nothing into a pipe, nor into a socket of the same machine. Without --repeat each byte is
 * generated anew, and feedclient can check the stream.
 *
 * When the reader closes, the feed ends, too; this is not a failure.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "lib/units.h"

#include "../tests/command_line.h"

/* Largest pipe of an unprivileged process, in bytes; the default is 64 KiB. */
#define PIPE_SIZE (1 << 20)

#define MAX_SIZE (UINT64_C(1) << 30)
#define MAX_ANSWER 4096

static struct options {
	uint64_t repeat, rate, write_size, bytes, await, port;
	const char *connect, *request;
	bool help;
} opt = {
	.rate = UNITS_RATE_MAX,
	.write_size = 256 << 10,
	.bytes = UINT64_MAX,
};

/* ---- the destination ---- */

static int feed_connect(const char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *server;
	struct address address;
	const char *expected;
	int error, fd;

	if (!address_parse(text, &address, &expected))
		errx(2, "--connect %s: expected %s", text, expected);
	error = getaddrinfo(address.host, address.port, &hints, &server);
	if (error)
		errx(1, "%s: %s", text, gai_strerror(error));
	fd = socket(server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, server->ai_addr, server->ai_addrlen))
		err(1, "connect to %s", text);
	freeaddrinfo(server);
	return fd;
}

/* Send the request in file @name; the server grants it with an answer that ends in an empty line. */
static void feed_send_request(int fd, const char *name)
{
	char text[MAX_ANSWER + 1];
	size_t length;
	ssize_t n = 0;
	FILE *file = fopen(name, "re");

	if (!file)
		err(1, "%s", name);
	length = fread(text, 1, MAX_ANSWER, file);
	if (ferror(file) || !feof(file))
		errx(1, "%s: expected a file of less than %d bytes", name, MAX_ANSWER);
	fclose(file);
	if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "send the request");
	for (length = 0, text[0] = 0; length < MAX_ANSWER && !strstr(text, "\r\n\r\n");
	     text[length] = 0) {
		n = read(fd, text + length, MAX_ANSWER - length);
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	if (strncmp(text, "HTTP/", 5) || !strstr(text, " 200 ") || n <= 0)
		errx(1, "the request is not granted: %.*s", (int)strcspn(text, "\r\n"), text);
}

/* ---- waiting for clients ---- */

/* Return the number of connections to --port in @table, one of the kernel's. */
static uint64_t feed_connections_in(const char *table)
{
	FILE *file = fopen(table, "re");
	unsigned int port, state;
	uint64_t count = 0;
	char line[512];

	if (!file) /* no IPv6 */
		return 0;
	while (fgets(line, sizeof(line), file))
		count +=
			sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) == 2 &&
			port == opt.port && state == 1; /* TCP_ESTABLISHED */
	fclose(file);
	return count;
}

static void feed_await_clients(void)
{
	while (feed_connections_in("/proc/self/net/tcp") +
		       feed_connections_in("/proc/self/net/tcp6") <
	       opt.await)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 20 * NS_PER_MS },
				NULL);
}

/* ---- the feed ---- */

/* Sleep until the rate allows more than the @sent bytes. */
static void feed_pace(uint64_t started_at, uint64_t sent)
{
	uint64_t due_ns, now;

	if (opt.rate == UNITS_RATE_MAX)
		return;
	due_ns = started_at + (uint64_t)((double)sent / (double)opt.rate * (double)NS_PER_S);
	now = clock_monotonic_ns();
	if (now < due_ns) {
		struct timespec span = { .tv_sec = (time_t)((due_ns - now) / NS_PER_S),
					 .tv_nsec = (long)((due_ns - now) % NS_PER_S) };

		clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
	}
}

/* Return the bytes written by a call that returned @n. Exit if the reader has closed. */
static uint64_t feed_written(ssize_t n)
{
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		exit(0);
	if (n < 0 && errno != EINTR)
		err(1, "write");
	return n < 0 ? 0 : (uint64_t)n;
}

static uint64_t at_most(uint64_t length, uint64_t limit)
{
	return length < limit ? length : limit;
}

static void feed_repeated(int out, uint64_t started_at)
{
	int memory = memfd_create("feed", MFD_CLOEXEC);
	void *bytes = MAP_FAILED;

	if (memory >= 0 && !ftruncate(memory, (off_t)opt.repeat))
		bytes = mmap(NULL, opt.repeat, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (bytes == MAP_FAILED)
		err(1, "%" PRIu64 " bytes of memory", opt.repeat);
	pattern_fill(bytes, opt.repeat, 0);
	for (uint64_t sent = 0; sent < opt.bytes;) {
		off_t at = (off_t)(sent % opt.repeat);
		uint64_t length = at_most(opt.write_size, opt.repeat - (uint64_t)at);

		sent += feed_written(sendfile(out, memory, &at, at_most(length, opt.bytes - sent)));
		feed_pace(started_at, sent);
	}
}

static void feed_new(int out, uint64_t started_at)
{
	unsigned char *buffer = malloc(opt.write_size);

	if (!buffer)
		err(1, "%" PRIu64 " bytes of memory", opt.write_size);
	for (uint64_t sent = 0, end; sent < opt.bytes;) {
		end = sent + at_most(opt.write_size, opt.bytes - sent);
		pattern_fill(buffer, end - sent, sent);
		for (uint64_t begin = sent; sent < end;)
			sent += feed_written(write(out, buffer + (sent - begin), end - sent));
		feed_pace(started_at, sent);
	}
	free(buffer);
}

/* ---- the command line ---- */

static const struct setting setting_table[] = {
	{ "connect", TEXT, &opt.connect, "send to HOST:PORT instead of stdout" },
	{ "request", TEXT, &opt.request, "send this file first, and expect status 200 of HTTP" },
	{ "await", COUNT, &opt.await, "begin when this number of clients is connected to --port" },
	{ "port", COUNT, &opt.port, "... of this machine" },
	{ "repeat", SIZE, &opt.repeat, "send this size of the pattern over and over, from memory" },
	{ "rate", RATE, &opt.rate, "maximum rate" },
	{ "write-size", SIZE, &opt.write_size, "size of a write (256K)" },
	{ "bytes", SIZE, &opt.bytes, "total size" },
	{ "help", FLAG, &opt.help, "print this" },
};

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
};

static void feed_print_help(void)
{
	puts("Usage: feed [options]\n");
	settings_print(&settings);
}

static void feed_verify_options(void)
{
	if (!opt.write_size || opt.write_size > MAX_SIZE)
		errx(2, "--write-size must be 1 to 1G");
	if (opt.repeat > MAX_SIZE || opt.repeat % PATTERN_WORD)
		errx(2, "--repeat must be at most 1G, and whole words of %d bytes", PATTERN_WORD);
	if (!opt.rate)
		errx(2, "--rate must not be 0");
	if (!opt.await != !opt.port || opt.port > UINT16_MAX)
		errx(2, "--await needs --port and --port needs --await; a port is at most 65535");
	if (opt.request && !opt.connect)
		errx(2, "--request needs --connect");
}

int main(int argc, char **argv)
{
	int out = STDOUT_FILENO;

	settings_parse(&settings, argc, argv);
	if (opt.help) {
		feed_print_help();
		return 0;
	}
	if (optind < argc)
		errx(2, "%s: unexpected argument (see feed --help)", argv[optind]);
	feed_verify_options();
	signal(SIGPIPE, SIG_IGN);
	if (opt.connect)
		out = feed_connect(opt.connect);
	else
		fcntl(out, F_SETPIPE_SZ, PIPE_SIZE); /* fails harmlessly if it is no pipe */
	if (opt.request)
		feed_send_request(out, opt.request);
	feed_await_clients();
	if (opt.repeat)
		feed_repeated(out, clock_monotonic_ns());
	else
		feed_new(out, clock_monotonic_ns());
	return 0;
}
