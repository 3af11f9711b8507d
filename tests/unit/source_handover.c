// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sources that go on in another process: a predecessor opens a source, reads a part, saves it and exits; this process
 * restores it. Both write what they hand on to the same memory, which must have each byte of the producer once.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/pattern.h"
#include "lib/state.h"
#include "sourcepass.h"
#include "sourceworld.h"
#include "tap.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

static char directory[] = "/tmp/dmacast-handover.XXXXXX";

/* Stop the source, which hands on what is there, and see that each byte came once. */
static void handover_stop_and_check(size_t bytes)
{
	handover_run_until_bytes(bytes - bytes % BLOCK_SIZE);
	for (int ms = 0; ms < 100; ms += 5)
		handover_loop_ms(5);
	source_stop(world.source);
	handover_check_bytes(bytes);
}

static void handover_check_one_run(void)
{
	check(handed->ups == 1 && !handed->restarts && !handed->starved,
	      "%u times up, %u restarts, %u times starved", handed->ups, handed->restarts,
	      handed->starved);
	check(handed->runs == 1, "%u begins of runs", handed->runs);
}

/* Hand over within the second block, and write the rest during the handover and after it. */
static void handover_within_block(int fd)
{
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_predecess(is_within_block, true);
	write_bytes(fd, BLOCK_SIZE + 100, BLOCK_SIZE + 300);
	handover_succeed();
	check(handed->downs == 0, "the source went down");
	write_bytes(fd, BLOCK_SIZE + 300, 3 * BLOCK_SIZE + 7);
	handover_run_until_bytes(3 * BLOCK_SIZE);
}

/* ---- pattern ---- */

static bool is_within_pattern(void)
{
	return handed->bytes >= 10 * BLOCK_SIZE && ring_free_blocks(world.ring) == BLOCKS - 1;
}

static void test_handover_pattern(void)
{
	uint64_t begin_ns = clock_monotonic_ns(), most;

	handover_begin("%s", "");
	world.settings.pattern = 2000000;
	handover_do(is_within_pattern);
	handover_run_until_bytes(40 * BLOCK_SIZE);
	source_stop(world.source);
	most = (clock_monotonic_ns() - begin_ns) / 500;
	check(pattern_check(handed->byte, handed->bytes, 0) == handed->bytes, "wrong bytes");
	check(handed->bytes <= most, "%zu bytes, at most %" PRIu64 " are due", handed->bytes, most);
	check(handed->ups == 1, "%u times up", handed->ups);
	sourceworld_end();
	point("pattern: it continues within a block, at its pace");
}

static bool is_starved(void)
{
	return handed->starved;
}

static bool is_starved_again(void)
{
	return handed->starved == 2;
}

static void test_handover_pattern_starved(void)
{
	handover_begin("%s", "");
	world.settings.pattern = 100000000;
	world.keeps = true;
	handover_do(is_starved);
	check(world.held_count == BLOCKS, "%u blocks held", world.held_count);
	handover_loop_ms(20);
	check(handed->bytes == BLOCKS * BLOCK_SIZE, "%zu bytes", handed->bytes);
	sourceworld_give_back();
	check(handover_run_until(is_starved_again), "it does not go on");
	check(pattern_check(handed->byte, handed->bytes, 0) == handed->bytes, "wrong bytes");
	check(handed->ups == 1, "%u times up", handed->ups);
	sourceworld_end();
	point("pattern: it goes on when a block is free");
}

static void test_handover_pattern_paused(void)
{
	handover_begin("%s", "");
	world.settings.pattern = 100000000;
	handover_predecess(NULL, false);
	handover_succeed();
	handover_loop_ms(20);
	check(!handed->bytes && !handed->ups, "it has started");
	source_start(world.source);
	handover_run_until_bytes(BLOCK_SIZE);
	sourceworld_end();
	point("pattern: one that has not started waits for that");
}

/* ---- files ---- */

static int handover_make_fifo(char path[256], const char *name)
{
	int fd;

	snprintf(path, 256, "%s/%s", directory, name);
	unlink(path);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
	fd = open(path, O_RDWR | O_CLOEXEC); /* without a reader, too */
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void test_handover_fifo(void)
{
	char path[256];
	int fd = handover_make_fifo(path, "fifo"), next;

	handover_begin("%s", path);
	handover_within_block(fd);
	handover_stop_and_check(3 * BLOCK_SIZE + 7);
	handover_check_one_run();
	sourceworld_end();
	close(fd);
	point("FIFO: no byte is lost or doubled");

	fd = handover_make_fifo(path, "fifo");
	handover_begin("%s", path);
	handover_within_block(fd);
	close(fd);
	next = open(path, O_WRONLY | O_CLOEXEC);
	write_bytes(next, 3 * BLOCK_SIZE + 7, 5 * BLOCK_SIZE);
	handover_run_until_bytes(5 * BLOCK_SIZE);
	handover_check_bytes(5 * BLOCK_SIZE);
	close(next);
	sourceworld_end();
	point("FIFO: the next writer is read after a handover");

	fd = handover_make_fifo(path, "fifo");
	handover_begin("%s", path);
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_predecess(is_within_block, true);
	unlink(path);
	next = handover_make_fifo(path, "fifo"); /* nothing watches the path */
	handover_succeed();
	write_bytes(next, BLOCK_SIZE + 100, 2 * BLOCK_SIZE + 100);
	handover_loop_ms(20);
	close(fd);
	handover_run_until_bytes(2 * BLOCK_SIZE + 100);
	handover_check_bytes(2 * BLOCK_SIZE + 100);
	close(next);
	sourceworld_end();
	point("FIFO: one that replaced it during the handover is read after it");
}

static void test_handover_flush(void)
{
	char path[256];
	int fd = handover_make_fifo(path, "fifo");

	handover_begin("%s", path);
	world.settings.flush = 300000;
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_do(is_within_block);
	handover_run_until_bytes(BLOCK_SIZE + 100);
	handover_check_bytes(BLOCK_SIZE + 100);
	sourceworld_end();
	close(fd);
	point("flush: the time of the predecessor's bytes goes on");
}

static bool is_held(void)
{
	return handed->starved && handed->bytes == BLOCKS * BLOCK_SIZE;
}

static void test_handover_starved(void)
{
	char path[256];
	int fd = handover_make_fifo(path, "fifo");

	handover_begin("%s", path);
	world.keeps = true;
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	write_bytes(fd, 0, (BLOCKS + 3) * BLOCK_SIZE);
	handover_do(is_held);
	handover_loop_ms(20);
	check(handed->bytes == BLOCKS * BLOCK_SIZE, "%zu bytes", handed->bytes);
	check(source_state(world.source, clock_monotonic_ns()) == SOURCE_RUNNING, "state");
	sourceworld_give_back();
	handover_run_until_bytes((BLOCKS + 3) * BLOCK_SIZE);
	handover_check_bytes((BLOCKS + 3) * BLOCK_SIZE);
	sourceworld_end();
	close(fd);
	point("without a free block it waits, and goes on when there is one");
}

static int handover_open_file(char path[256])
{
	int fd;

	snprintf(path, 256, "%s/file", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void test_handover_file(void)
{
	char path[256];
	int fd = handover_open_file(path);

	handover_begin("%s", path);
	world.keeps = true;
	write_bytes(fd, 0, (BLOCKS + 5) * BLOCK_SIZE + 9);
	handover_do(is_held);
	sourceworld_give_back();
	world.keeps = false;
	handover_run_until_bytes((BLOCKS + 5) * BLOCK_SIZE + 9);
	write_bytes(fd, (BLOCKS + 5) * BLOCK_SIZE + 9, (BLOCKS + 7) * BLOCK_SIZE);
	handover_run_until_bytes((BLOCKS + 7) * BLOCK_SIZE);
	handover_check_bytes((BLOCKS + 7) * BLOCK_SIZE);
	sourceworld_end();
	close(fd);
	point("regular file: it is read on, and followed");

	fd = handover_open_file(path);
	handover_begin("%s", path);
	write_bytes(fd, 0, 100);
	wanted_bytes = 100;
	handover_predecess(has_bytes, true);
	write_bytes(fd, 100, 300); /* nothing watches the file */
	handover_succeed();
	handover_run_until_bytes(300);
	write_bytes(fd, 300, 500);
	handover_run_until_bytes(500);
	handover_check_bytes(500);
	sourceworld_end();
	close(fd);
	point("regular file: what was appended during the handover is noticed");

	fd = handover_open_file(path);
	handover_begin("%s", path);
	world.settings.on_end = ON_END_CLOSE;
	world.keeps = true;
	write_bytes(fd, 0, (BLOCKS + 1) * BLOCK_SIZE + 9);
	handover_do(is_held);
	sourceworld_give_back();
	handover_run_until_bytes((BLOCKS + 1) * BLOCK_SIZE + 9);
	check(handed->ends == 1, "%u ends", handed->ends);
	handover_check_bytes((BLOCKS + 1) * BLOCK_SIZE + 9);
	sourceworld_end();
	close(fd);
	point("regular file: it ends at its end");
}

static bool is_missing(void)
{
	return source_state(world.source, clock_monotonic_ns()) == SOURCE_WAITING;
}

static void test_handover_missing(void)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/later", directory);
	handover_begin("%s", path);
	handover_predecess(is_missing, true);
	fd = handover_make_fifo(path, "later");
	handover_succeed();
	write_bytes(fd, 0, BLOCK_SIZE);
	handover_run_until_bytes(BLOCK_SIZE);
	handover_check_bytes(BLOCK_SIZE);
	check(strstr(sourceworld_end(), ": open\n"), "%s", world.log.text);
	close(fd);
	point("a path that is missing is opened when it is there");
}

static void test_handover_stdin(void)
{
	int before = dup(STDIN_FILENO), fd = pipe_to_stdin();

	handover_begin("-");
	world.settings.on_end = ON_END_CLOSE;
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_predecess(is_within_block, true);
	/* The successor has another one, as under systemd. */
	dup2(before, STDIN_FILENO);
	close(before);
	handover_succeed();
	write_bytes(fd, BLOCK_SIZE + 100, 2 * BLOCK_SIZE + 5);
	close(fd);
	handover_run_until_bytes(2 * BLOCK_SIZE + 5);
	check(handed->ends == 1, "%u ends", handed->ends);
	handover_check_bytes(2 * BLOCK_SIZE + 5);
	handover_check_one_run();
	check(fcntl(STDIN_FILENO, F_GETFD) >= 0, "the standard input of the successor is closed");
	sourceworld_end();
	point("standard input: that of the predecessor is read to its end");
}

/* ---- records ---- */

static void test_handover_records(void)
{
	char path[256], line[3 * BLOCK_SIZE], text[3 * BLOCK_SIZE];
	int fd = handover_make_fifo(path, "fifo");

	memset(line, 'x', sizeof(line));
	for (size_t i = 99; i < sizeof(line); i += 100)
		line[i] = '\n';
	handover_begin("%s", path);
	world.settings.record_end = (struct record_end){ .length = 1, .byte = "\n" };
	/* A part of a line is the rest behind the last whole one. */
	check(write(fd, line, BLOCK_SIZE + 50) == (ssize_t)BLOCK_SIZE + 50, "short write");
	wanted_bytes = BLOCK_SIZE - BLOCK_SIZE % 100;
	handover_do(has_bytes);
	check(write(fd, line + BLOCK_SIZE + 50, sizeof(line) - BLOCK_SIZE - 50) > 0, "write");
	handover_run_until_bytes(2 * wanted_bytes);
	source_stop(world.source);
	memcpy(text, handed->byte, handed->bytes);
	check(!memcmp(text, line, handed->bytes) && handed->bytes > 2 * BLOCK_SIZE - 200,
	      "%zu bytes", handed->bytes);
	check(handed->runs == 1, "%u runs", handed->runs);
	sourceworld_end();
	close(fd);
	point("a record that was divided by the handover is whole");
}

#define LINE_BYTES 100
#define BLOCK_OF_LINES (BLOCK_SIZE - BLOCK_SIZE % LINE_BYTES)

/* All blocks are held, and the begin of a line has none. */
static bool is_held_with_rest(void)
{
	return handed->starved && handed->bytes == BLOCKS * BLOCK_OF_LINES;
}

static void test_handover_rest(void)
{
	static char lines[(BLOCKS + 3) * BLOCK_SIZE];
	char path[256];
	int fd = handover_make_fifo(path, "fifo");

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = (char)((i + 1) % LINE_BYTES ? 'a' + i % 23 : '\n');
	handover_begin("%s", path);
	world.settings.record_end = (struct record_end){ .length = 1, .byte = "\n" };
	world.keeps = true;
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	check(write(fd, lines, sizeof(lines)) == (ssize_t)sizeof(lines), "short write");
	handover_do(is_held_with_rest);
	sourceworld_give_back();
	handover_run_until_bytes((BLOCKS + 2) * BLOCK_OF_LINES);
	source_stop(world.source);
	check(!memcmp(handed->byte, lines, handed->bytes), "a byte is missing or doubled");
	sourceworld_end();
	close(fd);
	point("the begin of a record waits for a free block");
}

/* ---- connections ---- */

static int handover_connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (int ms = 0; connect(fd, (const struct sockaddr *)&address, sizeof(address)); ms += 5) {
		if (ms >= PATIENCE_MS)
			err(1, "%s", path);
		usleep(5000);
	}
	return fd;
}

/* See that source_write() reaches @fd. */
static void handover_check_write(int fd)
{
	char text[8] = "";

	check(source_write(world.source, "gain 1\n", 7) == 7, "write: %s", strerror(errno));
	check(read(fd, text, 7) == 7 && !strcmp(text, "gain 1\n"), "'%s'", text);
}

/* The peer of the connection @fd writes, within a block during the handover, and takes what clients send. */
static void handover_check_connection(int fd)
{
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_take_parcel();
	write_bytes(fd, BLOCK_SIZE + 100, BLOCK_SIZE + 300);
	handover_succeed();
	write_bytes(fd, BLOCK_SIZE + 300, 3 * BLOCK_SIZE + 7);
	handover_run_until_bytes(3 * BLOCK_SIZE);
	handover_check_write(fd);
	check(handed->writable == 1 && !handed->unwritable, "writable %u times, unwritable %u",
	      handed->writable, handed->unwritable);
	handover_check_one_run();
}

static bool was_down(void)
{
	return handed->downs;
}

static void test_handover_dialled(void)
{
	char path[256];
	int listener, fd;

	snprintf(path, sizeof(path), "%s/socket", directory);
	listener = handover_listen_unix(path);
	handover_begin("unix:%s", path);
	world.settings.client.input = CLIENT_INPUT_SOURCE;
	handover_start(is_within_block, true);
	fd = handover_accept(listener);
	handover_check_connection(fd);
	handover_stop_and_check(3 * BLOCK_SIZE + 7);
	sourceworld_end();
	close(fd);
	point("unix: the connection goes on in both directions");

	handover_begin("unix:%s", path);
	handover_start(is_within_block, true);
	fd = handover_accept(listener);
	handover_check_connection(fd);
	close(fd);
	check(handover_run_until(was_down), "the end is not noticed");
	fd = handover_accept_own(listener);
	write_bytes(fd, 3 * BLOCK_SIZE + 7, 4 * BLOCK_SIZE + 7);
	handover_run_until_bytes(4 * BLOCK_SIZE + 7);
	handover_check_bytes(4 * BLOCK_SIZE + 7);
	check(handed->restarts == 1, "%u restarts", handed->restarts);
	sourceworld_end();
	close(fd);
	point("unix: it is dialled again when it ends after a handover");

	handover_begin("unix:%s", path);
	handover_do(NULL);
	check(source_state(world.source, clock_monotonic_ns()) == SOURCE_CONNECTING, "state");
	fd = handover_accept_own(listener);
	write_bytes(fd, 0, BLOCK_SIZE);
	handover_run_until_bytes(BLOCK_SIZE);
	handover_check_bytes(BLOCK_SIZE);
	sourceworld_end();
	close(fd);
	close(listener);
	point("unix: one that was being dialled is dialled");
}

static bool is_retrying(void)
{
	return source_state(world.source, clock_monotonic_ns()) == SOURCE_WAITING;
}

static void test_handover_retry(void)
{
	char path[256];
	int listener, fd;

	snprintf(path, sizeof(path), "%s/nothing", directory);
	handover_begin("unix:%s", path);
	handover_do(is_retrying);
	listener = handover_listen_unix(path);
	fd = handover_accept_own(listener);
	write_bytes(fd, 0, BLOCK_SIZE);
	handover_run_until_bytes(BLOCK_SIZE);
	sourceworld_end();
	close(fd);
	close(listener);
	point("one that waits for its next attempt makes it");
}

static void test_handover_listen(void)
{
	char path[256];
	int fd, next;

	snprintf(path, sizeof(path), "%s/producers", directory);
	handover_begin("unix-listen:%s", path);
	world.settings.client.input = CLIENT_INPUT_SOURCE;
	handover_start(is_within_block, true);
	fd = handover_connect_unix(path);
	write_bytes(fd, 0, 10); /* it is the first */
	next = handover_connect_unix(path);
	write_bytes(next, 3 * BLOCK_SIZE + 7, 4 * BLOCK_SIZE + 7);
	write_bytes(fd, 10, BLOCK_SIZE + 100);
	handover_take_parcel();
	write_bytes(fd, BLOCK_SIZE + 100, BLOCK_SIZE + 300);
	handover_succeed();
	write_bytes(fd, BLOCK_SIZE + 300, 3 * BLOCK_SIZE + 7);
	handover_run_until_bytes(3 * BLOCK_SIZE);
	handover_check_write(fd);
	handover_check_one_run();
	close(fd);
	handover_run_until_bytes(4 * BLOCK_SIZE + 7);
	handover_check_bytes(4 * BLOCK_SIZE + 7);
	close(next);
	next = handover_connect_unix(path);
	write_bytes(next, 4 * BLOCK_SIZE + 7, 5 * BLOCK_SIZE + 7);
	handover_run_until_bytes(5 * BLOCK_SIZE + 7);
	handover_check_bytes(5 * BLOCK_SIZE + 7);
	sourceworld_end();
	close(next);
	check(access(path, F_OK), "the socket is left behind");
	point("unix-listen: the producer goes on, the next one is in the queue, another can "
	      "connect");

	handover_begin("tcp-listen:127.0.0.1:0");
	handover_do(NULL);
	check(source_state(world.source, clock_monotonic_ns()) == SOURCE_WAITING, "state");
	sourceworld_end();
	point("tcp-listen: one that waits for a producer waits");
}

/* ---- terminals ---- */

static bool has_read_line(void)
{
	return handed->bytes == 5;
}

static void test_handover_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	struct termios before, during, after;
	char path[64];

	if (master < 0 || grantpt(master) || unlockpt(master) ||
	    ptsname_r(master, path, sizeof(path)))
		err(1, "no terminal");
	slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &before))
		err(1, "%s", path);
	handover_begin("%s", path);
	world.settings.flush = 1000;
	handover_start(has_read_line, true);
	for (int ms = 0; ms < PATIENCE_MS && !tcgetattr(slave, &during); ms += 5) {
		if (!(during.c_lflag & ICANON))
			break;
		usleep(5000);
	}
	check(write(master, "12345", 5) == 5, "write");
	handover_take_parcel();
	tcgetattr(slave, &during);
	check(!(during.c_lflag & ICANON), "it was reset");
	check(write(master, "67890", 5) == 5, "write");
	handover_succeed();
	handover_run_until_bytes(10);
	check(!memcmp(handed->byte, "1234567890", 10), "wrong bytes");
	sourceworld_end();
	tcgetattr(slave, &after);
	check(after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag,
	      "not as before: %x, %x", after.c_lflag, before.c_lflag);
	close(slave);
	close(master);
	point("terminal: it stays raw, and at the end has the settings from before the "
	      "predecessor");
}

/* ---- commands ---- */

/* Writes its process id and then the test's bytes, the first of them before the handover. */
static void test_handover_command(void)
{
	char path[256], first[32];
	int fd = handover_make_fifo(path, "gate"), pid = 0;
	size_t head;

	handover_begin("exec:printf '%%08d\\n' $$; exec cat '%s'", path);
	world.settings.stop_timeout = HOUR_US;
	write_bytes(fd, 0, BLOCK_SIZE + 100);
	handover_predecess(is_within_block, true);
	memcpy(first, handed->byte, 9);
	first[9] = '\0';
	check(sscanf(first, "%d", &pid) == 1 && !kill(pid, 0), "the command '%s' has ended", first);
	write_bytes(fd, BLOCK_SIZE + 100, BLOCK_SIZE + 300);
	handover_succeed();
	write_bytes(fd, BLOCK_SIZE + 300, 3 * BLOCK_SIZE - 9);
	handover_run_until_bytes(3 * BLOCK_SIZE);
	head = 9;
	memmove(handed->byte, handed->byte + head, handed->bytes - head);
	handed->bytes -= head;
	handover_check_bytes(3 * BLOCK_SIZE - head);
	handover_check_one_run();
	check(!kill(pid, 0), "the command has ended");
	source_stop(world.source);
	check(source_is_busy(world.source), "it is not busy");
	for (int ms = 0; ms < PATIENCE_MS && !handed->idle; ms += 5)
		handover_loop_ms(5);
	check(handed->idle == 1, "idle %u times", handed->idle);
	check(kill(pid, 0) && errno == ESRCH, "the command runs");
	check(!strcmp(sourceworld_end(), ""), "%s", world.log.text);
	close(fd);
	point("command: it runs on, with its output, and gets its SIGTERM from the successor");
}

static bool has_a_block(void)
{
	return handed->bytes == BLOCK_SIZE;
}

static void test_handover_command_status(void)
{
	char path[256];
	int fd = handover_make_fifo(path, "gate");

	handover_begin("exec:head -c 4096 /dev/zero; read x <'%s'; echo line >&2; exit 3", path);
	world.settings.on_end = ON_END_CLOSE;
	world.settings.stop_timeout = HOUR_US;
	handover_do(has_a_block);
	check(write(fd, "go\n", 3) == 3, "write");
	for (int ms = 0; ms < PATIENCE_MS && !handed->idle; ms += 5)
		handover_loop_ms(5);
	check(handed->ends == 1 && handed->idle == 1, "%u ends, idle %u times", handed->ends,
	      handed->idle);
	sourceworld_end();
	check(strstr(world.log.text, "stream adc: command: line\n") &&
		      strstr(world.log.text, "stream adc: command ended with status 3\n"),
	      "%s", world.log.text);
	close(fd);
	point("command: the successor logs its lines and its exit status");

	fd = handover_make_fifo(path, "gate");
	handover_begin("exec:head -c 4096 /dev/zero; read x <'%s'; cat >&2; exit 5", path);
	world.settings.on_end = ON_END_WAIT;
	world.settings.client.input = CLIENT_INPUT_SOURCE;
	handover_do(has_a_block);
	check(write(fd, "go\n", 3) == 3, "write");
	check(source_write(world.source, "gain 1\n", 7) == 7, "write: %s", strerror(errno));
	for (int ms = 0; ms < 200; ms += 5)
		handover_loop_ms(5);
	check(strstr(sourceworld_end(), "stream adc: command: gain 1\n"), "%s", world.log.text);
	close(fd);
	point("command: its standard input is handed over");
}

static bool has_block_and_stops(void)
{
	if (has_a_block())
		source_stop(world.source);
	return has_a_block();
}

static void test_handover_command_stopping(void)
{
	uint64_t begin_ns;

	handover_begin("exec:trap '' TERM; head -c 4096 /dev/zero; while :; do sleep 600; done");
	world.settings.stop_timeout = 500000;
	begin_ns = clock_monotonic_ns();
	handover_do(has_block_and_stops);
	check(source_is_busy(world.source), "it is not busy");
	for (int ms = 0; ms < PATIENCE_MS && !handed->idle; ms += 5)
		handover_loop_ms(5);
	check(handed->idle == 1, "idle %u times", handed->idle);
	check(clock_monotonic_ns() - begin_ns >= 490000000, "it was killed early");
	check(!strcmp(sourceworld_end(), ""), "%s", world.log.text);
	point("command: one that is stopped is killed after what is left of stop-timeout");
}

/* ---- broken states ---- */

static void handover_clean_up(void)
{
	static const char *const name[] = { "fifo",    "file", "later",	   "socket",
					    "nothing", "gate", "producers" };
	char path[256];

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, name[i]);
		unlink(path);
	}
	rmdir(directory);
}

static void test_handover_all_broken(void)
{
	char path[256];
	int fd = handover_make_fifo(path, "fifo");

	handover_begin("%s", path);
	world.settings.record_end = (struct record_end){ .length = 2, .byte = "ab" };
	world.settings.flush = 1000;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	write_bytes(fd, 0, 100);
	test_handover_broken("FIFO", is_retrying, true);
	close(fd);

	handover_begin("%s", "");
	world.settings.pattern = 2000000;
	test_handover_broken("pattern", is_within_pattern, true);

	snprintf(path, sizeof(path), "%s/producers", directory);
	handover_begin("unix-listen:%s", path);
	test_handover_broken("unix-listen", NULL, true);

	handover_begin("exec:head -c 4096 /dev/zero; exec sleep 600");
	world.settings.client.input = CLIENT_INPUT_SOURCE;
	test_handover_broken("command", has_a_block, true);
}

int main(void)
{
	sourceworld_init(directory, MAX_BYTES);
	test_handover_pattern();
	test_handover_pattern_starved();
	test_handover_pattern_paused();
	test_handover_fifo();
	test_handover_flush();
	test_handover_starved();
	test_handover_file();
	test_handover_missing();
	test_handover_stdin();
	test_handover_records();
	test_handover_rest();
	test_handover_dialled();
	test_handover_retry();
	test_handover_listen();
	test_handover_terminal();
	test_handover_command();
	test_handover_command_status();
	test_handover_command_stopping();
	test_handover_all_broken();
	handover_clean_up();
	return tap_end();
}
