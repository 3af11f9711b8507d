// SPDX-License-Identifier: BSD-2-Clause
/* Terminals as inputs, on real ones: pseudo-terminals, whose other end is the device. */
#include "source/terminal.h"

#include "tap.h"

#include <asm/termbits.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TCGETS2
#define termios2 termios
#define TCGETS2 TCGETS
#define TCSETS2 TCSETS
#endif

/* The device's end, and the one that is claimed. */
static int device_end = -1, fd = -1;
static dev_t number;

static void open_terminal(void)
{
	struct stat status;

	device_end = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (device_end < 0 || grantpt(device_end) || unlockpt(device_end))
		err(1, "pseudo-terminal");
	fd = open(ptsname(device_end), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status))
		err(1, "%s", ptsname(device_end));
	number = status.st_rdev;
}

static void close_terminal(void)
{
	close(fd);
	close(device_end);
}

static struct termios2 terminal_settings(void)
{
	struct termios2 settings = { 0 };

	check(!ioctl(fd, TCGETS2, &settings), "%s", strerror(errno));
	return settings;
}

static int terminal_exclusive(void)
{
	int exclusive = -1;

	ioctl(fd, TIOCGEXCL, &exclusive);
	return exclusive;
}

/* Write what a device may send, and compare what arrives. */
static void check_transfer(void)
{
	unsigned char sent[256 + 16] = "\x04\r\n\x03\x1c\x1a\x15\x17\x7f\x13\x11\xff", got[512];
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t length = 0;
	ssize_t n;

	for (size_t i = 0; i < 256; i++)
		sent[16 + i] = (unsigned char)i;
	check(write(device_end, sent, sizeof(sent)) == (ssize_t)sizeof(sent), "%s",
	      strerror(errno));
	while (length < sizeof(sent) && poll(&readable, 1, 10000) == 1 &&
	       (n = read(fd, got + length, sizeof(got) - length)) > 0)
		length += (size_t)n;
	check(length == sizeof(sent) && !memcmp(got, sent, length), "%zu bytes", length);
	check(read(fd, got, sizeof(got)) < 0 && errno == EAGAIN, "not EAGAIN");
	n = read(device_end, got, sizeof(got));
	check(n < 0 && errno == EAGAIN, "%zd bytes came back", n);
}

static void test_raw(void)
{
	struct termios2 before, after;
	struct terminal *terminal;
	char early[8];

	open_terminal();
	before = terminal_settings();
	check((before.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG), "not cooked");
	before.c_iflag |= IXOFF;
	before.c_lflag &= ~(tcflag_t)ECHO; /* the line editor has the first bytes */
	ioctl(fd, TCSETS2, &before);
	check(write(device_end, "abc", 3) == 3, "%s", strerror(errno));
	terminal = terminal_claim(fd, number, 0);
	if (!check(terminal, "%s", strerror(errno)))
		exit(tap_end());
	check(read(fd, early, sizeof(early)) == 3 && !memcmp(early, "abc", 3), "no first bytes");
	point("what came before it was claimed is not lost");

	check_transfer();
	point("every byte arrives as it was sent, and none is echoed");

	after = terminal_settings();
	check((after.c_cflag & CBAUD) == (before.c_cflag & CBAUD), "another speed");
	check(after.c_ospeed == before.c_ospeed && terminal_speed(terminal) == before.c_ospeed,
	      "%u bit/s", after.c_ospeed);
	check(!after.c_iflag, "input flags %x", after.c_iflag);
	point("without a speed it keeps the one it has");

	check(terminal_exclusive() == 1, "not exclusive");
	check(terminal_is_claimed(number) && !terminal_is_claimed(number + 1), "not known");
	terminal_release(terminal);
	after = terminal_settings();
	check(!memcmp(&after, &before, sizeof(before)), "other settings");
	check(terminal_exclusive() == 0, "still exclusive");
	check(!terminal_is_claimed(number), "still known");
	close_terminal();
	point("released, it is as it was");
}

static void test_speed(void)
{
	static const unsigned int speeds[] = { 115200, 250000, 31250, 12000000 };
	struct terminal *terminal;
	struct termios2 before, now;

	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
		open_terminal();
		before = terminal_settings();
		terminal = terminal_claim(fd, number, speeds[i]);
		now = terminal_settings();
		check(now.c_ospeed == speeds[i] && now.c_ispeed == speeds[i],
		      "%u and %u bit/s, expected %u", now.c_ispeed, now.c_ospeed, speeds[i]);
		check(terminal_speed(terminal) == speeds[i], "another speed");
		check_transfer();
		terminal_release(terminal);
		now = terminal_settings();
		check(now.c_ospeed == before.c_ospeed, "%u bit/s", now.c_ospeed);
		close_terminal();
	}
	point("any speed can be set, and is the former one afterwards");
}

static void test_exclusive_before(void)
{
	struct terminal *terminal;

	open_terminal();
	ioctl(fd, TIOCEXCL);
	terminal = terminal_claim(fd, number, 0);
	terminal_release(terminal);
	check(terminal_exclusive() == 1, "no longer exclusive");
	close_terminal();
	point("one that was exclusive stays so");
}

static void test_unplugged(void)
{
	struct terminal *terminal;

	open_terminal();
	terminal = terminal_claim(fd, number, 9600);
	close(device_end);
	terminal_release(terminal);
	check(!terminal_is_claimed(number), "still known");
	check(!terminal_claim(fd, number, 9600) && errno == EIO, "%s", strerror(errno));
	close(fd);
	point("one that was unplugged can be released, and not claimed");
}

static void test_others(void)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), pipes[2];

	check(!terminal_claim(null, 0, 9600) && errno == ENOTTY, "%s", strerror(errno));
	close(null);
	if (pipe2(pipes, O_CLOEXEC))
		err(1, "pipe");
	check(!terminal_claim(pipes[0], 0, 0) && errno == ENOTTY, "%s", strerror(errno));
	close(pipes[0]);
	close(pipes[1]);
	point("what is no terminal is refused as such");
}

int main(void)
{
	test_raw();
	test_speed();
	test_exclusive_before();
	test_unplugged();
	test_others();
	return tap_end();
}
