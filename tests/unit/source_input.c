// SPDX-License-Identifier: BSD-2-Clause
/*
 * The sources that read bytes, from real pipes, FIFOs, files, sockets and commands: which blocks they
 * make, what they do at the end of the input, and when they try again.
 */
#include "lib/backoff.h"
#include "lib/clock.h"
#include "loopback.h"
#include "sourceworld.h"
#include "tap.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#define FLUSH_MS 200

static char directory[] = "/tmp/dmacast-source.XXXXXX";
/* Rounds of the event loop. */
static uint32_t turns;
/* Of the sources that are opened from now on. */
static uint64_t input_test_baud, input_test_timeout;
static bool input_test_input_lines, input_test_forwards, input_test_on_demand;

/* Open the source of `input = ...`, and start it unless that is left to the test by on-demand. What is logged until sourceworld_end() is in world.log.text then. */
static bool input_test_world_begin(enum on_end on_end, bool loop, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool input_test_world_begin(enum on_end on_end, bool loop, const char *format, ...)
{
	va_list args;

	turns = 0;
	va_start(args, format);
	sourceworld_begin(format, args);
	va_end(args);
	world.settings.on_end = on_end;
	world.settings.loop = loop;
	world.settings.baud = input_test_baud;
	world.settings.input_timeout = input_test_timeout;
	world.settings.flush = FLUSH_MS * 1000;
	if (input_test_forwards)
		world.settings.client.input = CLIENT_INPUT_SOURCE;
	world.settings.stop_timeout = input_test_on_demand ? 200000 : 0;
	world.settings.on_demand = input_test_on_demand;
	if (input_test_input_lines)
		world.settings.record_end = (struct record_end){ .length = 1, .byte = "\n" };
	capture_begin(&world.log, STDERR_FILENO);
	if (sourceworld_open() && !input_test_on_demand)
		source_start(world.source);
	return world.source;
}

static void input_test_time_is_over(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	*(bool *)argument = true;
}

static void run_for(const uint32_t *count, uint32_t least, const size_t *bytes, size_t least_bytes,
		    int ms)
{
	const struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	bool over = false;
	struct event *timer = evtimer_new(world.base, input_test_time_is_over, &over);

	evtimer_add(timer, &time);
	while (!over && (!count || *count < least) && (!bytes || *bytes < least_bytes)) {
		event_base_loop(world.base, EVLOOP_ONCE);
		turns++;
	}
	event_free(timer);
}

static void run_until_bytes(size_t bytes)
{
	run_for(NULL, 0, &handed->bytes, bytes, PATIENCE_MS);
	check(handed->bytes == bytes, "%zu bytes, expected %zu", handed->bytes, bytes);
}

static void run_until_end(void)
{
	run_for(&handed->ends, 1, NULL, 0, PATIENCE_MS);
	check(handed->ends == 1, "%" PRIu32 " ends", handed->ends);
}

static void run_ms(int ms)
{
	run_for(NULL, 0, NULL, 0, ms);
}

/* Return true if a byte that was written after @since_ns cannot have waited for `flush` yet. */
static bool is_before_flush(uint64_t since_ns)
{
	return clock_monotonic_ns() - since_ns < FLUSH_MS * 1000000ULL;
}

static unsigned int input_test_count_of(const char *text, const char *wanted)
{
	unsigned int count = 0;

	for (; (text = strstr(text, wanted)); text++)
		count++;
	return count;
}

/* See that these are all bytes until now. */
static void check_text(const char *text)
{
	check(handed->bytes == strlen(text) && !memcmp(handed->byte, text, handed->bytes),
	      "\"%.*s\"", (int)handed->bytes, (const char *)handed->byte);
}

/* ---- standard input, and blocks ---- */

static void test_input_blocks(void)
{
	int fd = pipe_to_stdin();
	uint64_t begin_ns;

	check(input_test_world_begin(ON_END_AUTO, false, "-"), "not open");
	begin_ns = clock_monotonic_ns();
	write_bytes(fd, 0, 2 * BLOCK_SIZE + 100);
	run_until_bytes(2 * BLOCK_SIZE);
	check(handed->readies == 1, "%" PRIu32 " times ready", handed->readies);
	check(handed->blocks == 2 && handed->length[0] == BLOCK_SIZE &&
		      handed->length[1] == BLOCK_SIZE,
	      "%" PRIu32 " blocks", handed->blocks);
	point("full blocks are handed on at once");

	run_ms(FLUSH_MS / 10);
	check(handed->blocks == 2 || !is_before_flush(begin_ns), "%" PRIu32 " blocks",
	      handed->blocks);
	run_until_bytes(2 * BLOCK_SIZE + 100);
	check(handed->length[2] == 100 && handed->readies == 2, "block of %" PRIu32 " bytes",
	      handed->length[2]);
	check_bytes(0, 0, 2 * BLOCK_SIZE + 100);
	point("a part of a block follows when `flush` is over");

	write_bytes(fd, 2 * BLOCK_SIZE + 100, 3 * BLOCK_SIZE);
	close(fd);
	run_until_end();
	check(handed->bytes == 3 * BLOCK_SIZE, "%zu bytes", handed->bytes);
	check_bytes(0, 0, 3 * BLOCK_SIZE);
	check(!strcmp(handed->why, "end of input"), "%s", handed->why);
	check(!*sourceworld_end(), "%s", world.log.text);
	point("at the end of standard input the rest is handed on, and the source ends");
}

static void test_input_stop(void)
{
	int fd = pipe_to_stdin();
	uint64_t begin_ns;

	input_test_world_begin(ON_END_AUTO, false, "-");
	begin_ns = clock_monotonic_ns();
	write_bytes(fd, 0, 100);
	run_ms(FLUSH_MS / 10);
	check(handed->blocks == 0 || !is_before_flush(begin_ns), "%" PRIu32 " blocks",
	      handed->blocks);
	source_stop(world.source);
	check(handed->bytes == 100 && handed->readies == 1, "%zu bytes", handed->bytes);
	write_bytes(fd, 100, 200);
	run_ms(2 * FLUSH_MS);
	check(handed->bytes == 100 && !handed->ends, "%zu bytes, %" PRIu32 " ends", handed->bytes,
	      handed->ends);
	sourceworld_end();
	close(fd);
	point("when it is stopped, it hands on what it has, and reads no more");
}

/* Nobody gives blocks back: the writer is held up, and loses nothing. */
static void test_starved(void)
{
	int fd = pipe_to_stdin(), unread = 0;
	const size_t bytes = (BLOCKS + 2) * BLOCK_SIZE;

	input_test_world_begin(ON_END_AUTO, false, "-");
	world.keeps = true;
	write_bytes(fd, 0, bytes / 2);
	run_until_bytes(bytes / 2 / BLOCK_SIZE * BLOCK_SIZE);
	write_bytes(fd, bytes / 2, bytes);
	run_for(&handed->starved, 1, NULL, 0, PATIENCE_MS);
	check(handed->starved == 1 && handed->bytes == BLOCKS * BLOCK_SIZE, "%zu bytes",
	      handed->bytes);
	run_ms(FLUSH_MS);
	ioctl(STDIN_FILENO, FIONREAD, &unread);
	check(unread == 2 * BLOCK_SIZE, "%d bytes are not read", unread);
	check(handed->starved == 1, "starved %" PRIu32 " times", handed->starved);
	point("without a free block nothing is read");

	ring_put(world.ring, world.held[--world.held_count]);
	run_ms(FLUSH_MS);
	check(handed->blocks == BLOCKS, "%" PRIu32 " blocks", handed->blocks);
	sourceworld_give_back();
	run_until_bytes(bytes);
	check_bytes(0, 0, bytes);
	close(fd);
	run_until_end();
	sourceworld_end();
	point("with more free blocks than the low-water mark it goes on, and nothing is lost");
}

/* ---- paths ---- */

/* The end of the pseudo-terminal that is an input; once that is exclusive, only root can open another one. */
static int terminal_observer = -1;

/* Open a pseudo-terminal, and link @path to the end that is an input. Return: the device's end. */
static int plug_terminal(const char *path)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || grantpt(fd) || unlockpt(fd))
		err(1, "pseudo-terminal");
	unlink(path);
	if (symlink(ptsname(fd), path))
		err(1, "%s", path);
	close(terminal_observer);
	terminal_observer = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return fd;
}

/* Send bytes that line editing would take or change, and all others. */
static void send_from_device(int fd, size_t before)
{
	unsigned char sent[256 + 12] = "\r\n\x03\x04\x13\x11\x15\x7f\xff\x1c\x1a\x16", back[16];
	ssize_t n;

	for (size_t i = 0; i < 256; i++)
		sent[12 + i] = (unsigned char)i;
	check(write(fd, sent, sizeof(sent)) == (ssize_t)sizeof(sent), "%s", strerror(errno));
	run_until_bytes(before + sizeof(sent));
	check(!memcmp(handed->byte + before, sent, sizeof(sent)), "other bytes");
	n = read(fd, back, sizeof(back));
	check(n < 0 && errno == EAGAIN, "%zd bytes came back", n);
}

static bool is_cooked(void)
{
	struct termios settings = { 0 };

	check(!tcgetattr(terminal_observer, &settings), "%s", strerror(errno));
	return (settings.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG);
}

static void test_fifo(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", directory);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	run_ms(FLUSH_MS);
	check(!handed->ends, "ended before there is a writer");
	for (size_t writer = 0; writer < 3; writer++) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		write_bytes(fd, writer * 1000, (writer + 1) * 1000);
		close(fd);
		run_until_bytes((writer + 1) * 1000);
		check(handed->length[writer] == 1000, "block of %" PRIu32 " bytes",
		      handed->length[writer]);
	}
	check_bytes(0, 0, 3000);
	check(!handed->ends, "ended");
	sourceworld_end();
	check(input_test_count_of(world.log.text, "end of input; waiting for the next writer") == 3,
	      "%s", world.log.text);
	point("on-end = wait: a FIFO is read from one writer after the other");

	input_test_world_begin(ON_END_AUTO, false, "%s", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	write_bytes(fd, 0, 1000);
	close(fd);
	run_until_end();
	check(handed->bytes == 1000, "%zu bytes", handed->bytes);
	sourceworld_end();
	point("without it, it ends with the first writer");
}

/* Open the FIFO that the source reads, or comes to read. */
static int open_writer(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	for (int ms = 0; fd < 0 && ms < PATIENCE_MS; ms += 5) {
		run_ms(5);
		fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	}
	check(fd >= 0, "nobody reads %s: %s", path, strerror(errno));
	return fd;
}

static void make_fifo(const char *path)
{
	unlink(path);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
}

/* Write bytes @from to @to to the FIFO, and see that they arrive. */
static void pass_fifo(const char *path, size_t from, size_t to)
{
	int fd = open_writer(path);

	write_bytes(fd, from, to);
	run_until_bytes(to);
	close(fd);
}

/* As much as one readv() takes, so that the next one finds nothing, when the blocks are not sent yet. */
static void test_fifo_and_clients(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/clients", directory);
	make_fifo(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	fd = open_writer(path);
	write_bytes(fd, 0, (BLOCKS - 1) * BLOCK_SIZE);
	run_until_bytes((BLOCKS - 1) * BLOCK_SIZE);
	check(handed->readies == 1, "%" PRIu32 " times ready", handed->readies);
	sourceworld_end();
	close(fd);
	check(!strstr(world.log.text, strerror(EPIPE)), "%s", world.log.text);
	point("an error of a client is not taken for one of the input");
}

static void test_fifo_made_anew(void)
{
	char path[64], other[64], link[64];
	int former, fd;

	snprintf(path, sizeof(path), "%s/fifo", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	snprintf(link, sizeof(link), "%s/link", directory);
	make_fifo(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	run_ms(20);
	turns = 0;
	run_ms(FLUSH_MS);
	check(turns <= 2, "%" PRIu32 " turns of the event loop", turns);
	point("a FIFO is watched without polling");

	make_fifo(path);
	pass_fifo(path, 0, 100);
	make_fifo(path);
	pass_fifo(path, 100, 200);
	pass_fifo(path, 200, 300);
	make_fifo(other);
	if (rename(other, path))
		err(1, "%s", path);
	pass_fifo(path, 300, 400);
	check_bytes(0, 0, 400);
	point("on-end = wait: a FIFO that is made anew is read, whether the former one had a "
	      "writer or not");

	former = open_writer(path);
	write_bytes(former, 400, 500);
	make_fifo(path);
	run_until_bytes(500);
	write_bytes(former, 500, 600);
	run_until_bytes(600);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	check(fd < 0 && errno == ENXIO, "read before the former one has ended");
	close(former);
	pass_fifo(path, 600, 700);
	check_bytes(0, 0, 700);
	sourceworld_end();
	check(input_test_count_of(world.log.text, "the former one still has a writer") == 1, "%s",
	      world.log.text);
	check(input_test_count_of(world.log.text, "; reading the new file of this name\n") == 4,
	      "%s", world.log.text);
	point("... and the former one is read to its end first");

	make_fifo(path);
	if (symlink(path, link))
		err(1, "%s", link);
	input_test_world_begin(ON_END_WAIT, false, "%s", link);
	make_fifo(path);
	pass_fifo(path, 0, 100);
	sourceworld_end();
	unlink(link);
	point("... also behind a symbolic link");

	make_fifo(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	world.keeps = true;
	fd = open_writer(path);
	write_bytes(fd, 0, BLOCKS * BLOCK_SIZE + 10);
	run_for(&handed->starved, 1, NULL, 0, PATIENCE_MS);
	check(handed->starved == 1, "not starved");
	close(fd);
	make_fifo(path);
	run_ms(20);
	world.keeps = false;
	sourceworld_give_back();
	run_until_bytes(BLOCKS * BLOCK_SIZE + 10);
	pass_fifo(path, BLOCKS * BLOCK_SIZE + 10, BLOCKS * BLOCK_SIZE + 100);
	check_bytes(0, 0, BLOCKS * BLOCK_SIZE + 100);
	sourceworld_end();
	point("... also while no block was free");
}

static void test_input_missing(void)
{
	char path[96], folder[64], folders[80];
	int fd;

	snprintf(folder, sizeof(folder), "%s/folder", directory);
	snprintf(folders, sizeof(folders), "%s/deeper", folder);
	snprintf(path, sizeof(path), "%s/fifo", folders);
	check(input_test_world_begin(ON_END_WAIT, false, "%s", path), "refused");
	run_ms(FLUSH_MS);
	mkdir(folder, 0700);
	run_ms(5);
	mkdir(folders, 0700);
	run_ms(5);
	make_fifo(path);
	pass_fifo(path, 0, 100);
	unlink(path);
	rmdir(folders);
	run_ms(50);
	mkdir(folders, 0700);
	make_fifo(path);
	pass_fifo(path, 100, 200);
	check_bytes(0, 0, 200);
	check(!handed->ends, "ended");
	sourceworld_end();
	check(input_test_count_of(world.log.text,
				  "No such file or directory; waiting until it can be "
				  "opened\n") >= 1,
	      "%s", world.log.text);
	check(input_test_count_of(world.log.text, "No such file or directory") <= 2, "%s",
	      world.log.text);
	check(input_test_count_of(world.log.text, "fifo: open\n") >= 1, "%s", world.log.text);
	unlink(path);
	rmdir(folders);
	rmdir(folder);
	point("on-end = wait: a FIFO that is missing is waited for, and said so once");

	snprintf(path, sizeof(path), "%s/terminal", directory);
	unlink(path);
	check(input_test_world_begin(ON_END_WAIT, false, "%s", path), "refused");
	run_ms(20);
	fd = plug_terminal(path);
	for (int ms = 0; ms < PATIENCE_MS && is_cooked(); ms += 20)
		run_ms(20);
	send_from_device(fd, 0);
	sourceworld_end();
	close(fd);
	close(terminal_observer);
	terminal_observer = -1;
	point("... so is a terminal");
}

/* Write bytes @from to @to to the end of a file, and see that they arrive. */
static void pass_file(int fd, size_t at, size_t from, size_t to)
{
	write_bytes(fd, from, to);
	run_until_bytes(at + to - from);
	check_bytes(at, from, to);
}

static void test_file_followed(void)
{
	char path[64], other[64];
	int fd, next;

	snprintf(path, sizeof(path), "%s/followed", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	check(input_test_world_begin(ON_END_WAIT, false, "%s", path), "refused");
	run_ms(20);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	run_ms(20); /* it is opened empty */
	pass_file(fd, 0, 0, 3000);
	pass_file(fd, 3000, 3000, 20000);
	point("on-end = wait: a file is followed while it grows");

	turns = 0;
	run_ms(FLUSH_MS);
	check(turns <= 2, "%" PRIu32 " turns of the event loop", turns);
	if (ftruncate(fd, 0))
		err(1, "%s", path);
	run_ms(20);
	pass_file(fd, 20000, 0, 100);
	point("... without polling, and from its start when it was truncated");

	next = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	write_bytes(next, 500, 900);
	write_bytes(fd, 100, 200);
	if (rename(other, path))
		err(1, "%s", path);
	run_until_bytes(20600);
	check_bytes(20100, 100, 200);
	check_bytes(20200, 500, 900);
	check(!handed->ends, "ended");
	close(fd);
	close(next);
	unlink(path);
	sourceworld_end();
	check(input_test_count_of(world.log.text, "; reading the new file of this name\n") == 1,
	      "%s", world.log.text);
	point("... and a file that takes its place is read behind the rest of it");
}

static void test_file(void)
{
	const size_t size = 3 * BLOCK_SIZE + 10;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	write_bytes(fd, 0, size);
	close(fd);
	input_test_world_begin(ON_END_AUTO, false, "%s", path);
	run_until_end();
	check(handed->bytes == size, "%zu bytes", handed->bytes);
	check_bytes(0, 0, size);
	sourceworld_end();
	point("a file is read once");

	input_test_world_begin(ON_END_AUTO, true, "%s", path);
	world.keeps = true; /* or there would be no end of it */
	run_for(&handed->starved, 1, NULL, 0, PATIENCE_MS);
	check(handed->bytes == BLOCKS * BLOCK_SIZE && !handed->ends, "%zu bytes", handed->bytes);
	for (size_t at = 0; at + size < handed->bytes; at += size)
		check_bytes(at, 0, size);
	check(handed->length[3] == BLOCK_SIZE, "block of %" PRIu32 " bytes", handed->length[3]);
	sourceworld_end();
	point("loop = yes: again and again, without a gap");

	check(!input_test_world_begin(ON_END_WAIT, false, "%s", directory), "open");
	check(strstr(sourceworld_end(), "is a directory"), "%s", world.log.text);
	check(!input_test_world_begin(ON_END_AUTO, false, "%s", directory), "open");
	check(strstr(sourceworld_end(), "is a directory"), "%s", world.log.text);
	check(!input_test_world_begin(ON_END_AUTO, false, "%s/none", directory), "open");
	check(strstr(sourceworld_end(), "stream adc: input = /tmp/") &&
		      strstr(world.log.text, "/none: No such file or directory\n"),
	      "%s", world.log.text);
	point("what cannot be read is an error when it is opened");

	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	close(fd);
	input_test_world_begin(ON_END_AUTO, true, "%s", path);
	run_until_end();
	check(!handed->bytes, "%zu bytes", handed->bytes);
	sourceworld_end();
	point("loop = yes: an empty file ends");
}

static void test_terminal(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/terminal", directory);
	fd = plug_terminal(path);
	check(is_cooked(), "raw before it is an input");
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	send_from_device(fd, 0);
	point("a terminal is raw: every byte arrives as it is, and none is echoed");

	close(fd);
	fd = plug_terminal(path);
	run_ms(20);
	for (int ms = 0; ms < PATIENCE_MS && is_cooked(); ms += 20)
		run_ms(20);
	send_from_device(fd, 268);
	check(!handed->ends, "ended");
	point("... also after it was unplugged and plugged in again");

	source_stop(world.source);
	check(is_cooked(), "still raw");
	sourceworld_end();
	point("at the end it has its former settings");

	/* A reload opens the successor before the former source has ended. */
	struct source *former;

	input_test_world_begin(ON_END_AUTO, false, "%s", path);
	check(world.source && !is_cooked(), "not raw");
	former = world.source;
	world.source = source_open(world.base, &world.settings, world.ring, NULL,
				   &sourceworld_callbacks, NULL);
	check(world.source, "refused");
	source_stop(former);
	source_close(former);
	check(is_cooked(), "still raw");
	source_start(world.source);
	send_from_device(fd, 0);
	source_close(world.source);
	world.source = NULL;
	check(is_cooked(), "still raw");
	check(!*sourceworld_end(), "%s", world.log.text);
	point("a successor opens it when the former source has released it");

	input_test_baud = 9600;
	input_test_world_begin(ON_END_AUTO, false, "%s", path);
	send_from_device(fd, 0);
	check(!*sourceworld_end(), "%s", world.log.text);
	input_test_world_begin(ON_END_CLOSE, false, "/dev/null");
	run_until_end();
	check(strstr(sourceworld_end(), "baud has no effect; it is no terminal\n"), "%s",
	      world.log.text);
	input_test_baud = 0;
	close(fd);
	close(terminal_observer);
	terminal_observer = -1;
	point("a speed without a terminal is warned of");
}

/* ---- sockets ---- */

static int input_test_listen_at(const struct sockaddr *address, socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, length) || listen(fd, 8))
		err(1, "listen");
	return fd;
}

/* Accept the connection of the source, whose event loop runs meanwhile. */
static int accept_running(int listening)
{
	int fd = -1;

	fcntl(listening, F_SETFL, O_NONBLOCK);
	for (int ms = 0; fd < 0 && ms < PATIENCE_MS; ms += 5) {
		run_ms(5);
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	}
	check(fd >= 0, "nobody connects");
	return fd;
}

static void test_tcp(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length), fd;
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	getsockname(listening, &address.sockaddr, &length);
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	fd = accept_running(listening);
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	close(fd);
	run_until_bytes(BLOCK_SIZE + 100);
	fd = accept_running(listening);
	write_bytes(fd, BLOCK_SIZE + 100, 2 * BLOCK_SIZE);
	run_until_bytes(2 * BLOCK_SIZE);
	check_bytes(0, 0, 2 * BLOCK_SIZE);
	check(handed->length[1] == 100, "block of %" PRIu32 " bytes", handed->length[1]);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	fd = accept_running(listening);
	close(fd);
	check(!handed->ends, "ended");
	sourceworld_end();
	check(input_test_count_of(world.log.text, ": open\n") == 3, "%s", world.log.text);
	check(strstr(world.log.text, "end of input; trying again in 100ms\n"), "%s",
	      world.log.text);
	check(strstr(world.log.text, "Connection reset by peer; trying again in 200ms\n"), "%s",
	      world.log.text);
	point("a TCP input connects again when the connection ended or was reset");

	input_test_world_begin(ON_END_CLOSE, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	fd = accept_running(listening);
	close(fd);
	run_until_end();
	check(!strcmp(handed->why, "end of input"), "%s", handed->why);
	sourceworld_end();
	close(listening);
	point("on-end = close: it does not");
}

static void test_backoff(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length);

	getsockname(listening, &address.sockaddr, &length);
	close(listening);
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	/* 0, 100, 300 and 700 ms after the start; the next one is 800 ms later. */
	run_ms(1300);
	check(!handed->ends && !handed->bytes, "%" PRIu32 " ends, %zu bytes", handed->ends,
	      handed->bytes);
	sourceworld_end();
	for (unsigned int ms = 100; ms <= 400; ms *= 2) {
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "Connection refused; trying again in %ums\n", ms);
		check(input_test_count_of(world.log.text, wanted) == 1, "%s%s", wanted,
		      world.log.text);
	}
	check(input_test_count_of(world.log.text, "trying again") <= 4, "%s", world.log.text);
	point("each try comes later than the one before");

	struct backoff backoff;
	struct timeval delay = { 0 };

	backoff_reset(&backoff);
	for (int i = 0; i < 20; i++)
		delay = backoff_take(&backoff);
	check(delay.tv_sec == 10 && !delay.tv_usec, "%ld s", (long)delay.tv_sec);
	backoff_reset(&backoff);
	delay = backoff_take(&backoff);
	check(!delay.tv_sec && delay.tv_usec == 100000, "%ld us", (long)delay.tv_usec);
	point("by at most 10 seconds; and a reset begins with 100 ms");
}

static void test_unix(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening, fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
	input_test_world_begin(ON_END_AUTO, false, "unix:%s", address.sun_path);
	run_ms(50);
	listening = input_test_listen_at((const struct sockaddr *)&address, sizeof(address));
	fd = accept_running(listening);
	write_bytes(fd, 0, 500);
	run_until_bytes(500);
	check_bytes(0, 0, 500);
	sourceworld_end();
	close(fd);
	close(listening);
	check(strstr(world.log.text, "No such file or directory; trying again in 100ms\n"), "%s",
	      world.log.text);
	point("a Unix socket that is not there yet is tried again");
}

/* ---- producers that connect ---- */

/* Return: the port of no socket, which can be listened on. */
static unsigned int free_port(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int fd = input_test_listen_at(&address.sockaddr, length);

	getsockname(fd, &address.sockaddr, &length);
	close(fd);
	return ntohs(address.in.sin_port);
}

/* Return: a connected socket, or -1. */
static int produce_at(const struct sockaddr *address, socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, address, length) == 0)
		return fd;
	close(fd);
	return -1;
}

static int produce_tcp(unsigned int port)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, htons((in_port_t)port));

	return produce_at(&address.sockaddr, length);
}

static int produce_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return produce_at((const struct sockaddr *)&address, sizeof(address));
}

static void reset_connection(int fd)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void test_tcp_listen(void)
{
	unsigned int port = free_port();
	int first, second, third, last;

	if (!check(input_test_world_begin(ON_END_AUTO, false, "tcp-listen:127.0.0.1:%u", port),
		   "refused"))
		return;
	check(source_state(world.source, 0) == SOURCE_WAITING, "not waiting");
	first = produce_tcp(port);
	second = produce_tcp(port);
	third = produce_tcp(port);
	last = produce_tcp(port);
	check(first >= 0 && second >= 0 && third >= 0 && last >= 0, "%s", strerror(errno));
	/* These are gone before it is their turn. */
	write_bytes(second, BLOCK_SIZE + 100, BLOCK_SIZE + 300);
	close(second);
	reset_connection(third);
	write_bytes(last, BLOCK_SIZE + 300, BLOCK_SIZE + 400);
	write_bytes(first, 0, BLOCK_SIZE + 100);
	run_until_bytes(BLOCK_SIZE);
	run_ms(2 * FLUSH_MS);
	check(handed->bytes == BLOCK_SIZE + 100, "%zu bytes", handed->bytes);
	check(source_state(world.source, 0) == SOURCE_RUNNING, "not running");
	point("a producer that connects is read, and the others wait");

	write_bytes(first, BLOCK_SIZE + 400, BLOCK_SIZE + 450);
	close(first);
	run_until_bytes(BLOCK_SIZE + 450);
	check_bytes(0, 0, BLOCK_SIZE + 100);
	check_bytes(BLOCK_SIZE + 100, BLOCK_SIZE + 400, BLOCK_SIZE + 450);
	check_bytes(BLOCK_SIZE + 150, BLOCK_SIZE + 100, BLOCK_SIZE + 400);
	check(handed->length[2] == 50 && handed->length[3] == 200,
	      "%" PRIu32 " and %" PRIu32 " bytes", handed->length[2], handed->length[3]);
	close(last);
	for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (source_state(world.source, 0) == SOURCE_WAITING)
			break;
		run_ms(5);
	}
	check(source_state(world.source, 0) == SOURCE_WAITING, "not waiting");
	check(handed->bytes == BLOCK_SIZE + 450 && !handed->ends, "%zu bytes", handed->bytes);
	check(handed->restarts >= 2 && handed->restarts <= 3, "%" PRIu32 " restarts",
	      handed->restarts);
	sourceworld_end();
	check(strstr(world.log.text, "producers can connect to 127.0.0.1:"), "%s", world.log.text);
	check(input_test_count_of(world.log.text, " connected\n") >= 3, "%s", world.log.text);
	check(input_test_count_of(world.log.text, ": end of input; waiting for the next one\n") >=
		      3,
	      "%s", world.log.text);
	check(produce_tcp(port) < 0, "still listens");
	point("one follows the other, also one that has gone meanwhile; each is named in the log");
}

static void test_tcp_listen_close(void)
{
	unsigned int port = free_port();
	int fd;

	input_test_world_begin(ON_END_CLOSE, false, "tcp-listen:%u", port);
	close(produce_tcp(port));
	reset_connection(produce_tcp(port));
	run_ms(200);
	check(!handed->ends, "ended by a connection without a byte");
	fd = produce_tcp(port);
	write_bytes(fd, 0, 300);
	close(fd);
	run_until_end();
	check(handed->bytes == 300, "%zu bytes", handed->bytes);
	check_bytes(0, 0, 300);
	check(produce_tcp(port) < 0, "still listens");
	sourceworld_end();
	point("on-end = close: the first producer that sends something is the only one");
}

static void test_listen_timeout(void)
{
	unsigned int port = free_port();
	int first, second;
	unsigned char byte;

	input_test_timeout = 300000;
	input_test_world_begin(ON_END_AUTO, false, "tcp-listen:127.0.0.1:%u", port);
	first = produce_tcp(port);
	second = produce_tcp(port);
	write_bytes(first, 0, 10);
	write_bytes(second, 10, 20);
	run_until_bytes(20);
	check_bytes(0, 0, 20);
	fcntl(first, F_SETFL, O_NONBLOCK);
	check(read(first, &byte, 1) == 0, "the silent producer is still connected");
	sourceworld_end();
	input_test_timeout = 0;
	check(input_test_count_of(world.log.text,
				  ": no byte for 300ms; waiting for the next one\n"),
	      "%s", world.log.text);
	close(first);
	close(second);
	point("input-timeout: a silent producer is left for the next one");
}

/* A reload opens the successor before the former source has ended. */
static void test_listen_successor(void)
{
	unsigned int port = free_port();
	struct source *former;
	int first, second;

	input_test_world_begin(ON_END_AUTO, false, "tcp-listen:127.0.0.1:%u", port);
	first = produce_tcp(port);
	write_bytes(first, 0, 10);
	run_ms(20);
	second = produce_tcp(port);
	write_bytes(second, 10, 20);
	former = world.source;
	world.source = source_open(world.base, &world.settings, world.ring, NULL,
				   &sourceworld_callbacks, NULL);
	if (!check(world.source != NULL, "refused"))
		errx(1, "no successor");
	write_bytes(first, 20, 30);
	run_ms(20);
	source_stop(former);
	source_start(world.source);
	source_close(former);
	run_until_bytes(30);
	check_bytes(0, 0, 10);
	check_bytes(10, 20, 30);
	check_bytes(20, 10, 20);
	/* A successor that is given up changes nothing. */
	former = world.source;
	world.source = source_open(world.base, &world.settings, world.ring, NULL,
				   &sourceworld_callbacks, NULL);
	source_close(world.source);
	world.source = former;
	close(second);
	close(first);
	first = produce_tcp(port);
	check(first >= 0, "%s", strerror(errno));
	write_bytes(first, 30, 40);
	run_until_bytes(40);
	check_bytes(30, 30, 40);
	close(first);
	sourceworld_end();
	point("a successor has the same socket, with the producers that wait");
}

static void test_listen_taken(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length);

	getsockname(listening, &address.sockaddr, &length);
	check(!input_test_world_begin(ON_END_AUTO, false, "tcp-listen:127.0.0.1:%u",
				      ntohs(address.in.sin_port)),
	      "open");
	check(strstr(sourceworld_end(), "stream adc: input = tcp-listen:127.0.0.1:") &&
		      strstr(world.log.text, ": Address already in use\n"),
	      "%s", world.log.text);
	close(listening);
	check(!input_test_world_begin(ON_END_AUTO, false, "tcp-listen:192.0.2.77:0"), "open");
	check(strstr(sourceworld_end(), ": Cannot assign requested address\n"), "%s",
	      world.log.text);
	point("an address that is taken, or not there, is an error when it is opened");
}

static void test_unix_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = address.sun_path;
	struct stat status;
	int fd, other;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/producers", directory);
	other = input_test_listen_at((const struct sockaddr *)&address, sizeof(address));
	check(!input_test_world_begin(ON_END_AUTO, false, "unix-listen:%s", path), "open");
	check(strstr(sourceworld_end(), "another process listens there"), "%s", world.log.text);
	fd = produce_unix(path);
	check(fd >= 0, "the other one's socket is gone: %s", strerror(errno));
	close(fd);
	point("the Unix socket of a live process is left alone");

	close(other); /* and leaves its file */
	check(input_test_world_begin(ON_END_AUTO, false, "unix-listen:%s", path), "refused");
	check(!stat(path, &status) && S_ISSOCK(status.st_mode), "no socket");
	check((status.st_mode & 0777) == 0600 || (status.st_mode & 0777) == 0660, "mode %o",
	      status.st_mode & 0777);
	fd = produce_unix(path);
	other = produce_unix(path);
	write_bytes(other, 500, 600);
	write_bytes(fd, 0, 500);
	close(fd);
	run_until_bytes(600);
	check_bytes(0, 0, 600);
	close(other);
	sourceworld_end();
	check(strstr(world.log.text, "replaced one that nothing listened on\n"), "%s",
	      world.log.text);
	check(strstr(world.log.text, ": producer pid "), "%s", world.log.text);
	check(lstat(path, &status) && errno == ENOENT, "left behind");
	point("one that is left behind is replaced, is read, and is removed at the end");

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	check(!input_test_world_begin(ON_END_AUTO, false, "unix-listen:%s", path), "open");
	check(strstr(sourceworld_end(), "exists and is not a socket"), "%s", world.log.text);
	check(!lstat(path, &status) && S_ISREG(status.st_mode), "removed");
	unlink(path);
	check(!input_test_world_begin(ON_END_AUTO, false, "unix-listen:%s/none/s", directory),
	      "open");
	check(strstr(sourceworld_end(), "No such file or directory; create the directory"), "%s",
	      world.log.text);
	point("what is not a socket is not removed");
}

static void test_input_timeout(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length), fd, next;
	unsigned char byte;
	size_t bytes = 0;

	getsockname(listening, &address.sockaddr, &length);
	input_test_timeout = 300000;
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	fd = accept_running(listening);
	next = accept_running(listening);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	check(read(fd, &byte, 1) == 0, "the silent connection is still open");
	close(fd);
	point("input-timeout: a connection that is silent is left, and a new one is made");

	/* Bytes that come in time, for longer than the timeout. */
	fcntl(listening, F_SETFL, O_NONBLOCK);
	for (uint64_t begin = clock_monotonic_ns(); clock_monotonic_ns() - begin < 900000000;) {
		write_bytes(next, bytes, bytes + 1);
		bytes++;
		run_ms(10);
	}
	check(accept4(listening, NULL, NULL, SOCK_CLOEXEC) < 0, "it was left");
	world.settings.input_timeout = 0;
	source_adapt(world.source);
	run_ms(600);
	check(accept4(listening, NULL, NULL, SOCK_CLOEXEC) < 0, "it was left");
	point("... but not one that sends a byte now and then, and none when it is 0");

	world.settings.input_timeout = 300000;
	source_adapt(world.source);
	fd = accept_running(listening);
	close(next);
	check(!handed->ends, "ended");
	check_bytes(0, 0, handed->bytes);
	point("... and a change takes effect at once");

	world.keeps = true;
	while (world.held_count < BLOCKS && !handed->starved) {
		write_bytes(fd, 0, BLOCK_SIZE);
		run_ms(5);
	}
	for (int ms = 0; !handed->starved && ms < PATIENCE_MS; ms += 5)
		run_ms(5);
	run_ms(700);
	check(accept4(listening, NULL, NULL, SOCK_CLOEXEC) < 0, "it was left");
	world.keeps = false;
	sourceworld_give_back();
	next = accept_running(listening);
	close(fd);
	close(next);
	close(listening);
	sourceworld_end();
	check(input_test_count_of(world.log.text, "no byte for 300ms; trying again in ") == 3, "%s",
	      world.log.text);
	point("... and time without a free block does not count");

	input_test_world_begin(ON_END_CLOSE, false, "exec:printf abc; exec sleep 1000");
	run_until_end();
	check(!strcmp(handed->why, "no byte for 300ms"), "%s", handed->why);
	check(handed->bytes == 3, "%zu bytes", handed->bytes);
	sourceworld_end();
	input_test_world_begin(ON_END_AUTO, false, "exec:printf abc; exec sleep 1000");
	run_until_bytes(6);
	sourceworld_end();
	point("a silent command ends the stream, or is started again, as on-end says");

	/* Its output is read and dropped while it ends. */
	input_test_world_begin(ON_END_AUTO, false, "exec:printf abc; exec sleep 1000");
	run_until_bytes(3);
	source_stop(world.source);
	for (int ms = 0; ms < PATIENCE_MS && source_is_busy(world.source); ms += 10)
		run_ms(10);
	check(!handed->ends, "ended");
	sourceworld_end();
	input_test_timeout = 0;
	point("a command that was stopped is waited for no longer");
}

/* ---- states ---- */

static void check_state(enum source_state expected, uint64_t later_ns)
{
	enum source_state state = source_state(world.source, clock_monotonic_ns() + later_ns);

	check(state == expected, "%s, expected %s", source_state_word(state),
	      source_state_word(expected));
}

static void test_input_states(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length), fd;
	char path[64];

	getsockname(listening, &address.sockaddr, &length);
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	check_state(SOURCE_CONNECTING, 0);
	fd = accept_running(listening);
	run_ms(20);
	check_state(SOURCE_RUNNING, 0);
	check_state(SOURCE_SILENT, SOURCE_SILENT_NS);
	check(!source_last_byte_ns(world.source), "a byte has come");
	write_bytes(fd, 0, 100);
	run_ms(20);
	check(clock_monotonic_ns() - source_last_byte_ns(world.source) < SOURCE_SILENT_NS,
	      "the last byte is old");
	check_state(SOURCE_SILENT, 2 * SOURCE_SILENT_NS);
	check(!handed->restarts, "%" PRIu32 " restarts", handed->restarts);
	close(fd);
	close(accept_running(listening));
	close(listening);
	for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (handed->restarts && source_state(world.source, 0) == SOURCE_WAITING)
			break;
		run_ms(5);
	}
	check_state(SOURCE_WAITING, 2 * SOURCE_SILENT_NS);
	check(handed->restarts == 1, "%" PRIu32 " restarts", handed->restarts);
	source_stop(world.source);
	check_state(SOURCE_ENDED, 0);
	sourceworld_end();
	point("a socket: connecting, running, silent, waiting, ended");

	snprintf(path, sizeof(path), "%s/fifo", directory);
	make_fifo(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	run_ms(20);
	check_state(SOURCE_WAITING, 2 * SOURCE_SILENT_NS);
	pass_fifo(path, 0, 100);
	check_state(SOURCE_RUNNING, 0);
	run_ms(20);
	check_state(SOURCE_WAITING, 0);
	fd = open_writer(path);
	write_bytes(fd, 0, 1);
	run_ms(20);
	check_state(SOURCE_RUNNING, 0);
	check_state(SOURCE_SILENT, 2 * SOURCE_SILENT_NS);
	world.keeps = true;
	write_bytes(fd, 0, (BLOCKS + 1) * BLOCK_SIZE);
	run_for(&handed->starved, 1, NULL, 0, PATIENCE_MS);
	check_state(SOURCE_RUNNING, 2 * SOURCE_SILENT_NS);
	check(!handed->restarts, "%" PRIu32 " restarts", handed->restarts);
	close(fd);
	sourceworld_end();
	point("a FIFO waits for a writer; and without a free block no source is silent");
}

/* ---- commands ---- */

static void test_input_command(void)
{
	input_test_world_begin(ON_END_AUTO, false, "exec:printf abc; echo note >&2; exit 3");
	run_until_bytes(6);
	check(!memcmp(handed->byte, "abcabc", 6), "%.6s", (const char *)handed->byte);
	check(handed->length[0] == 3, "block of %" PRIu32 " bytes", handed->length[0]);
	check(!handed->ends, "ended");
	sourceworld_end();
	check(strstr(world.log.text, "stream adc: command: note\n"), "%s", world.log.text);
	check(strstr(world.log.text, "stream adc: command ended with status 3\n"), "%s",
	      world.log.text);
	check(strstr(world.log.text, "end of input; trying again in 100ms\n"), "%s",
	      world.log.text);
	point("a command runs again when it ended; its errors and its status are logged");

	input_test_world_begin(ON_END_CLOSE, false, "exec:kill -9 $$");
	run_until_end();
	run_ms(300); /* it closes its output before it is a zombie */
	sourceworld_end();
	check(strstr(world.log.text, "command ended by signal 9"), "%s", world.log.text);
	point("on-end = close: it does not");
}

/* Return: does it exist, also as a zombie of somebody else's? */
static bool is_running(pid_t pid)
{
	char path[64], state = 'X';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'X';
	fclose(file);
	return state != 'Z' && state != 'X';
}

static void test_command_group(void)
{
	pid_t shell = 0, child = 0;

	input_test_world_begin(ON_END_AUTO, false,
			       "exec:sleep 600 & echo $$ $! end; trap '' TERM; wait; wait");
	for (int ms = 0; ms < PATIENCE_MS && !memchr(handed->byte, 'd', handed->bytes); ms += 10)
		run_ms(10);
	check(sscanf((const char *)handed->byte, "%d %d", &shell, &child) == 2, "%s",
	      (const char *)handed->byte);
	check(is_running(shell) && is_running(child), "not running");
	source_stop(world.source);
	for (int ms = 0; ms < PATIENCE_MS && is_running(child); ms += 10)
		run_ms(10);
	check(!is_running(child), "the child still runs");
	check(!handed->ends, "ended");
	sourceworld_end();
	for (int ms = 0; ms < PATIENCE_MS && is_running(shell); ms += 10)
		usleep(10000);
	check(!is_running(shell), "the shell still runs");
	point("a command and its children are asked to end, and then killed, with the source");

	input_test_world_begin(ON_END_AUTO, false,
			       "exec:(trap '' TERM; exec sleep 600) & echo $$ $! end; wait");
	for (int ms = 0; ms < PATIENCE_MS && !memchr(handed->byte, 'd', handed->bytes); ms += 10)
		run_ms(10);
	check(sscanf((const char *)handed->byte, "%d %d", &shell, &child) == 2, "%s",
	      (const char *)handed->byte);
	sourceworld_end();
	for (int ms = 0; ms < PATIENCE_MS && is_running(child); ms += 10)
		usleep(10000);
	check(!is_running(child), "the child still runs");
	point("also children that ignore SIGTERM");
}

/* ---- writing to the source ---- */

#define PIPE_BYTES (64U << 10)

/* Write until it takes no more. Return: the number of bytes. */
static size_t input_test_fill(void)
{
	static const char bytes[10007];
	size_t sum = 0;
	ssize_t n;

	do {
		n = source_write(world.source, bytes, sizeof(bytes));
		sum += n > 0 ? (size_t)n : 0;
	} while (n == (ssize_t)sizeof(bytes));
	check(n >= 0, "%s", strerror(errno));
	return sum;
}

static void input_test_run_until(const uint32_t *count, uint32_t least)
{
	run_for(count, least, NULL, 0, PATIENCE_MS);
	check(*count == least, "%" PRIu32 " calls, expected %" PRIu32, *count, least);
}

static void test_write_command(void)
{
	char path[64];
	size_t filled;

	input_test_forwards = true;
	input_test_world_begin(ON_END_AUTO, false, "exec:cat");
	check(handed->writable == 1, "%" PRIu32 " calls", handed->writable);
	check(source_write(world.source, "abc", 3) == 3, "not written");
	run_until_bytes(3);
	check_text("abc");
	source_stop(world.source);
	check(handed->unwritable == 1, "%" PRIu32 " calls", handed->unwritable);
	check(source_write(world.source, "abc", 3) < 0, "written after the end");
	sourceworld_end();
	check(handed->unwritable == 1, "%" PRIu32 " calls", handed->unwritable);
	point("a command reads what is written to it, until it is stopped");

	snprintf(path, sizeof(path), "%s/reads", directory);
	input_test_world_begin(
		ON_END_AUTO, false,
		"exec:until test -e %s; do sleep 0.05; done; exec cat 3>&1 >/dev/null", path);
	filled = input_test_fill();
	check(filled >= PIPE_BYTES / 2 && filled <= PIPE_BYTES, "%zu bytes", filled);
	check(source_write(world.source, "a", 1) == 0, "a byte is taken by a full pipe");
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	input_test_run_until(&handed->writable, 2);
	/* The command reads beside this: nothing more than the first write is certain. */
	check(source_write(world.source, "abc", 3) > 0, "it takes nothing again");
	sourceworld_end();
	unlink(path);
	point("one that does not read takes as much as its pipe, and more when it reads");

	input_test_world_begin(ON_END_AUTO, false, "exec:head -c 3; exec sleep 0.1");
	check(source_write(world.source, "abcde", 5) == 5, "not written");
	run_until_bytes(3);
	input_test_run_until(&handed->writable, 2);
	check(handed->unwritable == 1, "%" PRIu32 " calls", handed->unwritable);
	check(source_write(world.source, "fgh", 3) == 3, "not written");
	run_until_bytes(6);
	check_text("abcfgh");
	sourceworld_end();
	point("the next run gets nothing that was written to the former one");

	input_test_world_begin(ON_END_AUTO, false, "exec:exec 0<&-; echo x; exec sleep 600");
	run_until_bytes(2);
	for (int i = 0; i < 2; i++) {
		errno = 0;
		check(source_write(world.source, "abc", 3) < 0 && errno == EPIPE, "%s",
		      strerror(errno));
	}
	run_ms(20);
	check(handed->writable == 1 && !handed->unwritable && !handed->ends,
	      "%" PRIu32 " and %" PRIu32 " calls", handed->writable, handed->unwritable);
	check(input_test_count_of(sourceworld_end(), "takes no more from clients") >= 1, "%s",
	      world.log.text);
	point("one that closes its input goes on, and the error is logged");

	input_test_forwards = false;
	input_test_world_begin(ON_END_CLOSE, false, "exec:cat; echo end");
	check(!handed->writable && source_write(world.source, "abc", 3) < 0, "written");
	run_until_end();
	check_text("end\n");
	check(!handed->unwritable, "%" PRIu32 " calls", handed->unwritable);
	sourceworld_end();
	point("without the option its input is empty");
}

static void test_write_connection(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length), fd;
	static char bytes[1 << 16];
	size_t filled, got = 0;
	ssize_t n;

	getsockname(listening, &address.sockaddr, &length);
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	check(source_write(world.source, "abc", 3) < 0, "written before it is connected");
	fd = accept_running(listening);
	input_test_run_until(&handed->writable, 1);
	filled = input_test_fill();
	check(filled < 8U << 20, "%zu bytes", filled);
	for (int ms = 0; got < filled && ms < PATIENCE_MS; ms++) {
		run_ms(1);
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	check(got == filled, "%zu of %zu bytes", got, filled);
	check(handed->writable >= 2, "%" PRIu32 " calls", handed->writable);
	close(fd);
	input_test_run_until(&handed->unwritable, 1);
	handed->writable = 0;
	fd = accept_running(listening);
	input_test_run_until(&handed->writable, 1);
	check(source_write(world.source, "abc", 3) == 3, "not written");
	check(recv(fd, bytes, sizeof(bytes), 0) == 3 && !memcmp(bytes, "abc", 3), "other bytes");
	close(fd);
	close(listening);
	sourceworld_end();
	point("a connection takes bytes both ways, as many as its buffers hold");

	input_test_world_begin(ON_END_AUTO, false, "unix-listen:%s/writes", directory);
	check(!handed->writable && source_write(world.source, "abc", 3) < 0, "written");
	snprintf(bytes, sizeof(bytes), "%s/writes", directory);
	fd = produce_unix(bytes);
	input_test_run_until(&handed->writable, 1);
	check(source_write(world.source, "abc", 3) == 3, "not written");
	check(recv(fd, bytes, sizeof(bytes), 0) == 3 && !memcmp(bytes, "abc", 3), "other bytes");
	close(fd);
	input_test_run_until(&handed->unwritable, 1);
	sourceworld_end();
	point("so does a producer");
}

/* ---- records ---- */

static void write_line(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "write");
}

static void test_lines_at_end(void)
{
	int fd = pipe_to_stdin();

	input_test_world_begin(ON_END_AUTO, false, "-");
	write_line(fd, "one\ntwo\nthr");
	run_until_bytes(8);
	run_ms(2 * FLUSH_MS);
	check_text("one\ntwo\n");
	close(fd);
	run_until_end();
	check_text("one\ntwo\nthr");
	check(handed->broken == 1, "%" PRIu32 " broken", handed->broken);
	sourceworld_end();
	check(strstr(world.log.text,
		     "a record is not whole: sent without its end, as the source ended (3 bytes)"),
	      "%s", world.log.text);
	point("records: a line without its end waits for the rest, and is sent at the end");
}

static void test_lines_of_writers(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/lines.fifo", directory);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	write_line(fd, "one\ntw");
	close(fd);
	run_until_bytes(4);
	check(handed->broken == 1, "%" PRIu32 " broken", handed->broken);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	write_line(fd, "three\n");
	close(fd);
	run_until_bytes(10);
	check_text("one\nthree\n");
	check(handed->broken == 1, "%" PRIu32 " broken", handed->broken);
	sourceworld_end();
	check(strstr(world.log.text, "a record is not whole: dropped, as the input ended before "
				     "the rest of it (2 bytes)"),
	      "%s", world.log.text);
	point("records: what a writer left without its end is dropped");
}

static void test_lines_of_command(void)
{
	input_test_world_begin(ON_END_WAIT, false, "exec:printf 'one\\ntw'");
	run_until_bytes(4);
	run_for(&handed->restarts, 1, NULL, 0, PATIENCE_MS);
	run_until_bytes(8);
	check_text("one\none\n");
	check(handed->broken, "%" PRIu32 " broken", handed->broken);
	sourceworld_end();
	point("records: a command that is started again begins with a record");
}

static void test_lines_of_file(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/lines", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	write_line(fd, "one\ntw");
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	run_until_bytes(4);
	run_ms(FLUSH_MS);
	check(!handed->broken, "%" PRIu32 " broken", handed->broken);
	write_line(fd, "o\nthr");
	run_until_bytes(8);
	check_text("one\ntwo\n");
	check(!handed->broken, "%" PRIu32 " broken", handed->broken);
	if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		err(1, "%s", path);
	run_ms(FLUSH_MS);
	write_line(fd, "new\n");
	run_until_bytes(12);
	check_text("one\ntwo\nnew\n");
	check(handed->broken == 1, "%" PRIu32 " broken", handed->broken);
	sourceworld_end();
	close(fd);
	point("records: a file that grows continues its last record, until it is truncated");
}

static void test_lines_of_loop(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/loop", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	write_line(fd, "one\ntwo\nthr");
	input_test_world_begin(ON_END_AUTO, true, "%s", path);
	run_for(&handed->blocks, 2, NULL, 0, PATIENCE_MS);
	check(handed->bytes > 16 && handed->broken > 1, "%zu bytes, %" PRIu32 " broken",
	      handed->bytes, handed->broken);
	for (size_t at = 0; at < handed->bytes; at += 8)
		if (!check(!memcmp(handed->byte + at, "one\ntwo\n", 8), "at %zu", at))
			break;
	sourceworld_end();
	close(fd);
	point("records: each pass of loop = yes begins with a record");
}

/* Lines of 1000 bytes leave a rest of each block of 4096; the last one has no end. */
static void test_lines_without_blocks(void)
{
	const size_t bytes = (BLOCKS - 1) * 4000 + 1500;
	int fd = pipe_to_stdin();
	char line[1001] = "";

	memset(line, 'x', 999);
	input_test_world_begin(ON_END_AUTO, false, "-");
	world.keeps = true;
	line[999] = '\n';
	for (unsigned int i = 0; i < bytes / 1000; i++)
		write_line(fd, line);
	line[bytes % 1000] = '\0';
	write_line(fd, line);
	close(fd);
	run_until_end();
	check(handed->bytes == bytes, "%zu of %zu bytes", handed->bytes, bytes);
	check(handed->broken == 1, "%" PRIu32 " broken", handed->broken);
	check(!ring_free_blocks(world.ring), "%" PRIu32 " free blocks",
	      ring_free_blocks(world.ring));
	sourceworld_give_back();
	sourceworld_end();
	point("records: the end of the input needs no more blocks");
}

static void test_input_lines(void)
{
	input_test_input_lines = true;
	test_lines_at_end();
	test_lines_without_blocks();
	test_lines_of_writers();
	test_lines_of_command();
	test_lines_of_file();
	test_lines_of_loop();
	input_test_input_lines = false;
}

/* ---- pauses, which on-demand makes ---- */

/* Forget what came, and pause. */
static void pause_source(void)
{
	source_pause(world.source);
	check_state(SOURCE_WAITING, 2 * SOURCE_SILENT_NS);
	handed->bytes = 0;
	handed->blocks = 0;
	run_ms(20);
	check(!handed->bytes, "%zu bytes in a pause", handed->bytes);
}

static void test_pause_fifo(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", directory);
	make_fifo(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	run_ms(20);
	check(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0, "it is open before the start");
	for (size_t run = 0; run < 3; run++) {
		source_start(world.source);
		fd = open_writer(path);
		write_bytes(fd, run * 1000, run * 1000 + 500);
		run_until_bytes(500);
		check_bytes(0, run * 1000, run * 1000 + 500);
		/* This comes too late for the run, and too early for the next one. */
		write_bytes(fd, 0, 3 * BLOCK_SIZE + 7);
		pause_source();
		check(write(fd, "x", 1) < 0 && errno == EPIPE, "the writer can write");
		if (run != 1)
			close(fd);
	}
	close(fd);
	check(!handed->ends && !handed->restarts, "%" PRIu32 " ends, %" PRIu32 " restarts",
	      handed->ends, handed->restarts);
	sourceworld_end();
	point("a FIFO is closed in a pause, and what it held is not handed on later");

	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	world.keeps = true;
	source_start(world.source);
	fd = open_writer(path);
	write_bytes(fd, 0, (BLOCKS + 1) * BLOCK_SIZE);
	run_for(&handed->starved, 1, NULL, 0, PATIENCE_MS);
	pause_source();
	sourceworld_give_back();
	source_adapt(world.source);
	run_ms(20);
	check(!handed->bytes, "%zu bytes in a pause", handed->bytes);
	close(fd);
	world.keeps = false;
	source_start(world.source);
	pass_fifo(path, 0, 100);
	check_bytes(0, 0, 100);
	sourceworld_end();
	point("... also if it was paused while no block was free");
}

static void test_pause_file(void)
{
	const size_t size = 2 * BLOCK_SIZE;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	write_bytes(fd, 0, size);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	for (int run = 0; run < 3; run++) {
		source_start(world.source);
		run_until_bytes(size);
		check_bytes(0, 0, size);
		pause_source();
	}
	close(fd);
	check(!handed->ends && !handed->restarts, "%" PRIu32 " ends, %" PRIu32 " restarts",
	      handed->ends, handed->restarts);
	sourceworld_end();
	point("a file begins again with each start");

	check(!input_test_world_begin(ON_END_AUTO, false, "%s/none", directory), "open");
	check(strstr(sourceworld_end(), "/none: No such file or directory\n"), "%s",
	      world.log.text);
	check(!input_test_world_begin(ON_END_WAIT, false, "%s", directory), "open");
	check(strstr(sourceworld_end(), "is a directory"), "%s", world.log.text);
	point("... and is looked for when the stream is opened");
}

static void test_pause_connection(void)
{
	union any_address address;
	socklen_t length = loopback(&address, AF_INET, 0);
	int listening = input_test_listen_at(&address.sockaddr, length), fd, former;

	getsockname(listening, &address.sockaddr, &length);
	input_test_world_begin(ON_END_AUTO, false, "tcp:127.0.0.1:%u", ntohs(address.in.sin_port));
	source_start(world.source);
	former = accept_running(listening);
	run_ms(20);
	write_bytes(former, 0, 100);
	run_until_bytes(100);
	write_bytes(former, 100, 200);
	pause_source();
	source_start(world.source);
	check_state(SOURCE_CONNECTING, 0);
	/* While it connects, and then again. */
	pause_source();
	source_start(world.source);
	fd = accept_running(listening);
	write_bytes(fd, 500, 600);
	run_until_bytes(100);
	check_bytes(0, 500, 600);
	/* While it waits for the next attempt. */
	close(listening);
	close(fd);
	run_ms(100);
	pause_source();
	close(former);
	check(!handed->ends && handed->restarts <= 1, "%" PRIu32 " ends, %" PRIu32 " restarts",
	      handed->ends, handed->restarts);
	sourceworld_end();
	point("a connection is closed in a pause, and made anew");
}

static void test_pause_producers(void)
{
	unsigned int port = free_port();
	int first, second;

	if (!check(input_test_world_begin(ON_END_AUTO, false, "tcp-listen:127.0.0.1:%u", port),
		   "refused"))
		return;
	source_start(world.source);
	first = produce_tcp(port);
	write_bytes(first, 0, 100);
	run_until_bytes(100);
	second = produce_tcp(port);
	write_bytes(second, 200, 300);
	pause_source();
	check(send(first, "x", 1, MSG_NOSIGNAL) >= 0 || errno == EPIPE || errno == ECONNRESET, "%s",
	      strerror(errno));
	run_ms(20);
	check(send(first, "x", 1, MSG_NOSIGNAL) < 0, "the producer is still connected");
	source_start(world.source);
	run_until_bytes(100);
	check_bytes(0, 200, 300);
	close(second);
	run_ms(20);
	/* While it waits for a producer. */
	pause_source();
	second = produce_tcp(port);
	write_bytes(second, 400, 500);
	run_ms(50);
	check(!handed->bytes, "%zu bytes in a pause", handed->bytes);
	source_start(world.source);
	run_until_bytes(100);
	check_bytes(0, 400, 500);
	close(first);
	close(second);
	sourceworld_end();
	point("a producer is left in a pause, and the next one waits until it is over");
}

static void test_pause_command(void)
{
	pid_t shell = 0, next = 0;

	/* It ignores SIGTERM: the next start waits until it was killed. */
	input_test_world_begin(ON_END_AUTO, false,
			       "exec:trap '' TERM; echo $$ end; while :; do sleep 0.1; done");
	run_ms(20);
	check(!source_is_busy(world.source), "it runs before the start");
	source_start(world.source);
	for (int ms = 0; ms < PATIENCE_MS && !memchr(handed->byte, 'd', handed->bytes); ms += 10)
		run_ms(10);
	check(sscanf((const char *)handed->byte, "%d", &shell) == 1, "no number");
	source_pause(world.source);
	handed->bytes = 0;
	handed->blocks = 0;
	check(source_is_busy(world.source) && is_running(shell), "it has ended already");
	source_start(world.source);
	source_pause(world.source);
	source_start(world.source);
	for (int ms = 0; ms < PATIENCE_MS && !memchr(handed->byte, 'd', handed->bytes); ms += 10) {
		run_ms(10);
		check(!handed->bytes || !is_running(shell), "two of them run");
	}
	check(sscanf((const char *)handed->byte, "%d", &next) == 1 && next != shell,
	      "no second one");
	check(!handed->ends && !handed->restarts, "%" PRIu32 " ends, %" PRIu32 " restarts",
	      handed->ends, handed->restarts);
	/* A stop in a pause waits for it, too. */
	source_pause(world.source);
	source_stop(world.source);
	check(source_is_busy(world.source), "not busy");
	for (int ms = 0; ms < PATIENCE_MS && source_is_busy(world.source); ms += 10)
		run_ms(10);
	check(!is_running(next), "it still runs");
	sourceworld_end();
	point("a command is ended in a pause, and the next one waits until it has");
}

static void test_pause_terminal(void)
{
	struct pollfd echo = { .events = POLLIN };
	char path[64], text[64];
	int fd;

	snprintf(path, sizeof(path), "%s/terminal", directory);
	echo.fd = fd = plug_terminal(path);
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	check(is_cooked(), "it is open before the start");
	source_start(world.source);
	check(!is_cooked(), "not raw");
	send_from_device(fd, 0);
	pause_source();
	check(is_cooked(), "still raw");
	/* The observer keeps it open, so this waits there, and is echoed. */
	check(write(fd, "old\n", 4) == 4, "%s", strerror(errno));
	check(poll(&echo, 1, PATIENCE_MS) == 1 && read(fd, text, sizeof(text)) > 0, "no echo");
	source_start(world.source);
	send_from_device(fd, 0);
	check(handed->bytes == 268, "%zu bytes", handed->bytes);
	sourceworld_end();
	close(fd);
	close(terminal_observer);
	terminal_observer = -1;
	point("a terminal is as before in a pause, and what arrives then is dropped");
}

static void test_pause_lines(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/fifo", directory);
	make_fifo(path);
	input_test_input_lines = true;
	input_test_world_begin(ON_END_WAIT, false, "%s", path);
	source_start(world.source);
	fd = open_writer(path);
	write_line(fd, "one\ntw");
	for (int ms = 0; ms < PATIENCE_MS && !source_last_byte_ns(world.source); ms += 5)
		run_ms(5);
	source_pause(world.source);
	check_text("one\n");
	close(fd);
	source_start(world.source);
	fd = open_writer(path);
	write_line(fd, "three\n");
	run_until_bytes(strlen("one\nthree\n"));
	check_text("one\nthree\n");
	check(!handed->broken, "%" PRIu32 " records are not whole", handed->broken);
	close(fd);
	sourceworld_end();
	input_test_input_lines = false;
	point("records: a pause drops one that is not whole, and does not count it");
}

static void test_input_pauses(void)
{
	input_test_on_demand = true;
	test_pause_fifo();
	test_pause_file();
	test_pause_connection();
	test_pause_producers();
	test_pause_command();
	test_pause_terminal();
	test_pause_lines();
	input_test_on_demand = false;
}

int main(void)
{
	sourceworld_init(directory, 256U << 10);
	alarm(100); /* a FIFO that nobody reads cannot be opened */
	test_input_blocks();
	test_input_stop();
	test_starved();
	test_fifo();
	test_file();
	test_terminal();
	test_fifo_and_clients();
	test_fifo_made_anew();
	test_input_missing();
	test_file_followed();
	test_tcp();
	test_tcp_listen();
	test_tcp_listen_close();
	test_listen_timeout();
	test_listen_successor();
	test_listen_taken();
	test_unix_listen();
	test_backoff();
	test_input_timeout();
	test_input_states();
	test_unix();
	test_input_command();
	test_command_group();
	test_write_command();
	test_write_connection();
	test_input_lines();
	test_input_pauses();
	for (const char *const *name =
		     (const char *const[]){ "fifo", "file", "socket", "terminal", NULL };
	     *name; name++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", directory, *name);
		unlink(path);
	}
	rmdir(directory);
	return tap_end();
}
