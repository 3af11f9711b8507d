// SPDX-License-Identifier: BSD-2-Clause
/*
 * serialfeed - feed the test pattern (pattern.h) to a serial port of a machine in QEMU, as fast as it is
 * taken and no faster, until a signal comes.
 *
 *	serialfeed SERIAL MONITOR ADDRESS
 *
 * SERIAL and MONITOR are Unix sockets of QEMU, ADDRESS is the port's UFSTAT register. The emulated FIFO
 * of the port has no flow control, and once it is full it counts as empty: so a piece is sent when the one
 * before it has left the socket and the FIFO, and never mind how slow the machine is.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/pattern.h"

/* Less than the FIFO's 256. */
#define PIECE 128
#define PAUSE_NS 100000

/* Of UFSTAT: the count of received bytes, and that it is full. */
#define FIFO_BYTES 0x1ff

static volatile sig_atomic_t stopping;

static void serial_stop(int number)
{
	(void)number;
	stopping = 1;
}

static void __attribute__((noreturn)) serial_fail(const char *what)
{
	fprintf(stderr, "serialfeed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to_qemu(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		serial_fail(path);
	return fd;
}

static void serial_send(int fd, const void *data, size_t length)
{
	const char *at = data;

	while (length) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			serial_fail("send");
		at += sent;
		length -= (size_t)sent;
	}
}

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

static void wait_until_read(int serial)
{
	int unread;

	for (;;) {
		if (ioctl(serial, SIOCOUTQ, &unread))
			serial_fail("SIOCOUTQ");
		if (!unread || stopping)
			return;
		pause_briefly();
	}
}

/* Ask for a register; what the monitor says before, such as its prompt and an echo, is no answer. */
static uint32_t monitor_read_register(int monitor, const char *address)
{
	char command[64], answer[4096], wanted[32];
	size_t length = 0;

	snprintf(command, sizeof(command), "xp /1wx %s\n", address);
	snprintf(wanted, sizeof(wanted), "%016" PRIx64 ": 0x",
		 (uint64_t)strtoull(address, NULL, 0));
	serial_send(monitor, command, strlen(command));
	while (length < sizeof(answer) - 1) {
		ssize_t got = recv(monitor, answer + length, sizeof(answer) - 1 - length, 0);
		const char *value;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			serial_fail("monitor");
		length += (size_t)got;
		answer[length] = '\0';
		value = strstr(answer, wanted);
		if (value && strchr(value, '\n'))
			return (uint32_t)strtoul(value + strlen(wanted), NULL, 16);
	}
	errno = EPROTO;
	serial_fail("monitor");
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = serial_stop };
	unsigned char piece[PIECE];
	uint64_t offset = 0;
	int serial, monitor;

	if (argc != 4) {
		fprintf(stderr, "usage: serialfeed SERIAL MONITOR ADDRESS\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	serial = connect_to_qemu(argv[1]);
	monitor = connect_to_qemu(argv[2]);
	while (!stopping) {
		pattern_fill(piece, sizeof(piece), offset);
		serial_send(serial, piece, sizeof(piece));
		offset += sizeof(piece);
		wait_until_read(serial);
		while (!stopping && (monitor_read_register(monitor, argv[3]) & FIFO_BYTES))
			pause_briefly();
	}
	printf("%" PRIu64 "\n", offset);
	return 0;
}
