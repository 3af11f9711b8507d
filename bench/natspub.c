// SPDX-License-Identifier: BSD-2-Clause
/*
 * natspub - a publisher for nats-server, to compare with: publishes blocks of stdin.
 *
 * Each block of --block-size becomes a message with the subject "feed" at the server at --connect HOST:PORT,
 * in one writev() from the buffer into which it was read. Nothing is lighter than that: a client library would
 * copy. It waits until the server listens.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/units.h"

#include "../tests/command_line.h"
#include "block_input.h"

#define MAX_LINE 4096
#define MAX_TRIES 400
#define RETRY_NS (50 * NS_PER_MS)

static struct options {
	uint64_t block_size;
	const char *connect;
	bool help;
} opt = {
	.block_size = 256 << 10,
};

static const struct setting setting_table[] = {
	{ "connect", TEXT, &opt.connect, "HOST:PORT of nats-server" },
	{ "block-size", SIZE, &opt.block_size, "size of a message (256K)" },
	{ "help", FLAG, &opt.help, "print this" },
};

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
};

static void natspub_send(int fd, struct iovec *part, int count)
{
	while (count) {
		ssize_t n = writev(fd, part, count);

		if (n < 0 && errno != EINTR)
			err(1, "send to nats-server");
		for (; count && n >= (ssize_t)part->iov_len; part++, count--)
			n -= (ssize_t)part->iov_len;
		if (count && n > 0) {
			part->iov_base = (char *)part->iov_base + n;
			part->iov_len -= (size_t)n;
		}
	}
}

static void natspub_send_text(int fd, char *text)
{
	natspub_send(fd, &(struct iovec){ text, strlen(text) }, 1);
}

/* Connect when the server listens, and receive its INFO. */
static int natspub_connect(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *server;
	struct address address;
	const char *expected;
	char line[MAX_LINE];
	int fd, refused = -1;

	if (!address_parse(opt.connect, &address, &expected))
		errx(2, "--connect %s: expected %s", opt.connect, expected);
	if (getaddrinfo(address.host, address.port, &hints, &server))
		errx(1, "%s: no such host", opt.connect);
	fd = socket(server->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (int i = 0; refused && i < MAX_TRIES; i++) {
		refused = connect(fd, server->ai_addr, server->ai_addrlen);
		if (refused)
			clock_nanosleep(CLOCK_MONOTONIC, 0,
					&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
	}
	freeaddrinfo(server);
	if (refused || recv(fd, line, sizeof(line), 0) < 4 || memcmp(line, "INFO", 4))
		errx(1, "%s: no NATS server", opt.connect);
	return fd;
}

/* Answer a PING; exit if the server reports an error. */
static void natspub_answer(int fd)
{
	char line[MAX_LINE + 1], pong[] = "PONG\r\n";
	ssize_t n = recv(fd, line, MAX_LINE, MSG_DONTWAIT);

	if (n <= 0)
		return;
	line[n] = 0;
	if (strstr(line, "-ERR"))
		errx(1, "nats-server: %s", line);
	if (strstr(line, "PING"))
		natspub_send_text(fd, pong);
}

static void natspub_publish(int fd)
{
	char head[64], tail[] = "\r\n";
	char *block = malloc(opt.block_size);

	if (!block)
		err(1, "%" PRIu64 " bytes of memory", opt.block_size);
	snprintf(head, sizeof(head), "PUB feed %" PRIu64 "\r\n", opt.block_size);
	while (block_input_read(block, opt.block_size)) {
		struct iovec part[] = { { head, strlen(head) },
					{ block, opt.block_size },
					{ tail, strlen(tail) } };

		natspub_send(fd, part, 3);
		natspub_answer(fd);
	}
	free(block);
}

int main(int argc, char **argv)
{
	char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
	int fd;

	settings_parse(&settings, argc, argv);
	if (opt.help) {
		puts("Usage: natspub --connect HOST:PORT [--block-size SIZE]\n");
		settings_print(&settings);
		return 0;
	}
	if (optind < argc || !opt.connect || !opt.block_size)
		errx(2, "expected --connect HOST:PORT");
	fd = natspub_connect();
	natspub_send_text(fd, hello);
	natspub_publish(fd);
	close(fd);
	return 0;
}
