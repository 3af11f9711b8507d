// SPDX-License-Identifier: BSD-2-Clause
/* Commands: the lines that they write to standard error, and their end. */
#include "capture.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "source/command.h"
#include "source/command_log.h"
#include "runloop.h"
#include "tap.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct capture capture;

/* Return what is logged if a command writes @text, @length bytes, in pieces of @piece bytes. */
static const char *command_test_log(const char *text, size_t length, size_t piece)
{
	struct event_base *base = event_base_new();
	struct command_log log;
	int ends[2];

	if (!base || pipe2(ends, O_NONBLOCK | O_CLOEXEC) ||
	    !command_log_open(&log, base, "adc", ends[0]))
		err(1, "pipe");
	close(ends[1]);
	capture_begin(&capture, STDERR_FILENO);
	for (size_t at = 0; at < length; at += piece)
		command_log_add(&log, text + at, length - at < piece ? length - at : piece);
	command_log_close(&log);
	event_base_free(base);
	return capture_end(&capture);
}

static void test_lines(void)
{
	static const char text[] = "one\ntwo\r\nthree\r 4%\r\0 5%\r\r\n\nrest";
	static const char expected[] = "test: stream adc: command: one\n"
				       "test: stream adc: command: two\n"
				       "test: stream adc: command: three\n"
				       "test: stream adc: command:  4%\n"
				       "test: stream adc: command: ? 5%\n"
				       "test: stream adc: command: rest\n";

	for (size_t piece = 1; piece < sizeof(text); piece++)
		check(!strcmp(command_test_log(text, sizeof(text) - 1, piece), expected),
		      "in pieces of %zu: %s", piece, capture.text);
	point("lines end at LF, CR or CRLF, however they are read; empty ones are not logged");
}

static void test_long_lines(void)
{
	char text[2 * MAX_COMMAND_LINE + 20], expected[2 * MAX_COMMAND_LINE + 200];
	const int length = (int)MAX_COMMAND_LINE;

	memset(text, 'x', sizeof(text));
	text[length] = '\n';
	memcpy(text + sizeof(text) - 6, "\nnext\n", 6);
	snprintf(expected, sizeof(expected),
		 "test: stream adc: command: %.*s\ntest: stream adc: command: %.*s [cut]\n"
		 "test: stream adc: command: next\n",
		 length, text, length, text + length + 1);
	for (size_t piece = 1; piece < sizeof(text); piece += 37)
		check(!strcmp(command_test_log(text, sizeof(text), piece), expected),
		      "in pieces of %zu: %s", piece, capture.text);
	point("a line of %d bytes is whole; a longer one is cut there, with a mark", length);
}

static void test_flood(void)
{
	char text[4000];
	unsigned int lines = 0;

	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, "abc\n", 4);
	for (const char *at = command_test_log(text, sizeof(text), 333); (at = strchr(at, '\n'));
	     at++)
		lines++;
	check(lines == LOG_LIMIT_BURST + 1, "%u lines", lines);
	check(strstr(capture.text, "test: stream adc: command: 990 more lines suppressed\n"), "%s",
	      capture.text);
	point("of 1000 lines 10 are logged, and the number of the others");
}

static void test_log_parts(void)
{
	struct event_base *base = event_base_new();
	struct command_log log;
	static char text[65536];
	int ends[2];

	memset(text, 'x', sizeof(text));
	if (!base || pipe2(ends, O_NONBLOCK | O_CLOEXEC) ||
	    write(ends[1], text, sizeof(text)) != sizeof(text))
		err(1, "pipe");
	capture_begin(&capture, STDERR_FILENO);
	check(command_log_open(&log, base, "adc", ends[0]), "not open");
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	check(read(ends[0], text, 1) == 1, "all was read at once");
	close(ends[1]);
	command_log_close(&log);
	command_log_close(&log);
	capture_end(&capture);
	event_base_free(base);
	point("one event reads a part of what the pipe has");
}

/* ---- the end ---- */

#define PATIENCE_MS 10000

/* In place of the C library's: processes that may not be signalled. A supervisor has the value of its start. */
static bool no_signals;

int kill(pid_t pid, int number)
{
	if (!no_signals || !number)
		return (int)syscall(SYS_kill, pid, number);
	errno = EPERM;
	return -1;
}

static struct {
	struct event_base *base;
	struct command *command;
	int output;
	unsigned int ends;
	pid_t pid[2]; /* printed by the command */
} run;

static void command_test_ended(void *argument)
{
	check(argument == &run, "another argument");
	run.ends++;
	event_base_loopbreak(run.base);
}

static void command_test_loop_ms(unsigned int ms)
{
	runloop_ms(run.base, ms);
}

/* Start a command whose first line has up to two process ids. */
static void command_test_begin(const char *text)
{
	char line[100] = "";
	size_t length = 0;

	memset(&run, 0, sizeof(run));
	run.base = event_base_new();
	capture_begin(&capture, STDERR_FILENO);
	run.command =
		command_start(run.base, "adc", text, &run.output, NULL, command_test_ended, &run);
	if (!run.base || !run.command)
		err(1, "no command");
	for (int ms = 0; ms < PATIENCE_MS && !strchr(line, '\n'); ms += 5) {
		ssize_t n = read(run.output, line + length, sizeof(line) - 1 - length);

		length += n > 0 ? (size_t)n : 0;
		command_test_loop_ms(5);
	}
	check(sscanf(line, "%d %d", &run.pid[0], &run.pid[1]) >= 1, "it printed '%s'", line);
	check(!run.ends, "ended() is called without a request");
}

/* Wait for the end. Return: the milliseconds that it took. */
static unsigned int command_test_wait(void)
{
	uint64_t start = clock_monotonic_ns();

	check(!run.ends, "ended() was called within a function");
	command_test_loop_ms(PATIENCE_MS);
	check(run.ends == 1, "ended() was called %u times", run.ends);
	return (unsigned int)((clock_monotonic_ns() - start) / 1000000);
}

static const char *command_test_end(void)
{
	command_release(run.command);
	event_base_free(run.base);
	close(run.output);
	return capture_end(&capture);
}

/* Return true if it exists, even as a zombie. */
static bool exists(pid_t pid)
{
	return pid && syscall(SYS_kill, pid, 0) == 0;
}

static void test_command_end(void)
{
	unsigned int ms;

	command_test_begin("echo $$; exec sleep 600");
	command_end(run.command, PATIENCE_MS * 1000ULL);
	ms = command_test_wait();
	check(!exists(run.pid[0]), "it runs, or was not reaped");
	check(!strcmp(command_test_end(), ""), "%s", capture.text);
	check(ms < PATIENCE_MS, "%u ms", ms);
	point("SIGTERM ends a command");

	command_test_begin("trap '' TERM; echo $$; while :; do sleep 600; done");
	command_end(run.command, 300000);
	command_end(run.command, 0);
	ms = command_test_wait();
	check(ms >= 290, "%u ms", ms);
	check(!exists(run.pid[0]), "it runs, or was not reaped");
	check(!strcmp(command_test_end(), ""), "%s", capture.text);
	point("one that ignores SIGTERM is killed after stop-timeout");

	command_test_begin("trap '' TERM; echo $$; while :; do sleep 600; done");
	command_end(run.command, 0);
	command_test_wait();
	check(!exists(run.pid[0]), "it runs, or was not reaped");
	command_test_end();
	point("stop-timeout = 0: at once");

	command_test_begin("trap '' TERM; echo $$; while :; do sleep 600; done");
	command_end(run.command, 3600000000);
	command_test_loop_ms(50);
	command_kill(run.command);
	command_test_wait();
	check(!exists(run.pid[0]), "it runs, or was not reaped");
	command_test_end();
	point("command_kill() ends the waiting");

	command_test_begin("echo $$; kill -STOP $$; sleep 600");
	command_end(run.command, 3600000000);
	command_test_wait();
	command_test_end();
	point("one that is stopped ends, too");
}

/* The shell ends at once; another process of the group does so when it is ready. */
static void test_group(void)
{
	command_test_begin("sh -c 'trap \"sleep 0.3; echo complete >&2; exit\" TERM; echo $$; "
			   "while :; do sleep 0.1; done' & wait");
	command_end(run.command, 3600000000);
	command_test_wait();
	check(strstr(command_test_end(), "command: complete\n"), "%s", capture.text);
	point("the whole group has its time, also after the shell");

	command_test_begin("(trap '' TERM; exec sleep 600) & echo $$ $!; exit 3");
	command_test_loop_ms(100);
	check(exists(run.pid[1]), "the child ended with the shell");
	command_finish(run.command, 100000);
	command_test_wait();
	for (int ms = 0; ms < PATIENCE_MS && exists(run.pid[1]); ms += 10)
		usleep(10000);
	check(!strcmp(command_test_end(),
		      "test: warning: stream adc: command ended with status 3\n"),
	      "%s", capture.text);
	point("what is left of the group after the shell is killed");
}

static void test_finish(void)
{
	command_test_begin("echo $$; exec >&-; sleep 0.3; exit 4");
	command_finish(run.command, 3600000000);
	command_test_wait();
	check(strstr(command_test_end(), "command ended with status 4\n"), "%s", capture.text);
	point("after its output ended, it has a second to exit by itself");

	command_test_begin("trap 'echo got TERM >&2; exit' TERM; echo $$; exec >&-; "
			   "while :; do sleep 0.1; done");
	command_finish(run.command, 3600000000);
	command_test_wait();
	check(strstr(command_test_end(), "command: got TERM\n"), "%s", capture.text);
	point("then it gets SIGTERM");
}

/* What it writes at its end is read, so that SIGPIPE does not end it. */
static void test_drain(void)
{
	command_test_begin("trap 'head -c 3000000 /dev/zero; echo complete >&2; exit' TERM; "
			   "trap 'echo PIPE >&2' PIPE; echo $$; while :; do sleep 0.1; done");
	command_end(run.command, 3600000000);
	command_drain(run.command, run.output);
	command_test_wait();
	run.output = open("/dev/null", O_RDONLY | O_CLOEXEC);
	command_test_end();
	check(strstr(capture.text, "command: complete\n") && !strstr(capture.text, "PIPE"), "%s",
	      capture.text);
	point("it can write to its output until it ends");
}

/* A command has the default signals, whatever the daemon blocks, ignores or handles. */
static void test_signals(void)
{
	/* 32 and 33 belong to the C library, which does not let a program set them; perl leaves them ignored. */
	const unsigned long long libc_signals = 3ULL << 31;
	const char *value;

	command_test_begin("echo $$; exec sed -n '/^Sig[BIC]/p' /proc/self/status >&2");
	command_finish(run.command, 3600000000);
	command_test_wait();
	command_test_end();
	for (const char *const *field = (const char *const[]){ "SigBlk", "SigIgn", "SigCgt", NULL };
	     *field; field++) {
		char expected[100];

		/* The log replaces the tabulator. */
		snprintf(expected, sizeof(expected), "command: %s:?", *field);
		value = strstr(capture.text, expected);
		check(value && !(strtoull(value + strlen(expected), NULL, 16) & ~libc_signals),
		      "%s: %s", *field, capture.text);
	}
	point("a command has the default signals");
}

/* Read the parent and the state of a process from /proc. Return: false if it does not exist. */
static bool command_test_read_stat(pid_t pid, char *state, int *parent)
{
	char path[64], line[256];
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	found = file && fgets(line, sizeof(line), file) &&
		sscanf(line, "%*d (%*[^)]) %c %d", state, parent) == 2;
	if (file)
		fclose(file);
	return found;
}

/* Return the process id of the supervisor, the parent of the leader. */
static pid_t command_test_supervisor(void)
{
	int parent = 0;
	char state;

	check(command_test_read_stat(run.pid[0], &state, &parent), "the leader does not run");
	return parent;
}

/* Return true unless it has ended; process 1 of a container may not reap it. */
static bool runs(pid_t pid)
{
	char state = 'Z';
	int parent;

	return pid && command_test_read_stat(pid, &state, &parent) && state != 'Z';
}

/* Wait until the supervisor was reaped, and with it the command freed. */
static void command_test_wait_for_reap(pid_t supervisor)
{
	for (int ms = 0; ms < PATIENCE_MS && exists(supervisor); ms += 10)
		command_test_loop_ms(10);
	check(!exists(supervisor), "the supervisor was not reaped");
}

static void test_left(void)
{
	char expected[200];
	pid_t supervisor;

	no_signals = true;
	command_test_begin("echo $$; exec sleep 600");
	supervisor = command_test_supervisor();
	command_end(run.command, 100000);
	command_test_wait();
	check(exists(run.pid[0]), "it was signalled");
	snprintf(expected, sizeof(expected),
		 "test: warning: stream adc: command: process %d (sleep) does not end after "
		 "SIGKILL; going on without it\n"
		 "test: stream adc: command: process %d has ended\n",
		 run.pid[0], run.pid[0]);
	command_release(run.command);
	no_signals = false;
	kill(run.pid[0], SIGKILL);
	command_test_wait_for_reap(supervisor);
	check(!exists(run.pid[0]), "it was not reaped");
	check(run.ends == 1, "ended() was called %u times", run.ends);
	event_base_free(run.base);
	close(run.output);
	check(!strcmp(capture_end(&capture), expected), "%s, expected %s", capture.text, expected);
	point("one that cannot be killed is logged and left, and reaped when it ends");
}

static void test_release(void)
{
	pid_t supervisor;

	command_test_begin("trap '' TERM; echo $$; while :; do sleep 600; done");
	supervisor = command_test_supervisor();
	command_release(run.command);
	/* The supervisor, which reaps the leader, may have done so already. */
	check(exists(supervisor), "something waited for it");
	command_test_wait_for_reap(supervisor);
	check(!exists(run.pid[0]), "it was not reaped");
	check(!run.ends, "ended() was called");
	event_base_free(run.base);
	close(run.output);
	check(!strcmp(capture_end(&capture), ""), "%s", capture.text);
	point("one that is given up is killed, and reaped later");
}

/* Wait until neither process runs. */
static void command_test_wait_for_pids(void)
{
	for (int ms = 0; ms < PATIENCE_MS && (runs(run.pid[0]) || runs(run.pid[1])); ms += 10)
		usleep(10000);
	check(!runs(run.pid[0]), "the leader runs");
	check(!runs(run.pid[1]), "the other process of the group runs");
}

/* The process that has the socket of the supervisor is killed. Both processes of the group ignore SIGTERM. */
static void test_lifeline(void)
{
	int ends[2], status;
	pid_t daemon;

	if (pipe(ends))
		err(1, "pipe");
	daemon = fork();
	if (daemon == 0) {
		command_test_begin("trap '' TERM; (trap '' TERM; exec sleep 600) & echo $$ $!; "
				   "while :; do sleep 600; done");
		if (write(ends[1], &run.pid, sizeof(run.pid)) != sizeof(run.pid))
			err(1, "write");
		pause();
	}
	check(read(ends[0], &run.pid, sizeof(run.pid)) == sizeof(run.pid), "no process ids");
	check(exists(run.pid[0]) && exists(run.pid[1]), "they do not run");
	kill(daemon, SIGKILL);
	waitpid(daemon, &status, 0);
	close(ends[0]);
	close(ends[1]);
	command_test_wait_for_pids();
	point("kill -9 of the daemon kills the whole group");
}

static void test_supervisor(void)
{
	static const int number[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGTSTP };
	char expected[200];
	pid_t supervisor;

	command_test_begin("echo $$; cat; exec sleep 600");
	supervisor = command_test_supervisor();
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		kill(supervisor, number[i]);
	command_test_loop_ms(50);
	check(exists(run.pid[0]) && exists(supervisor), "a signal ended it");
	command_end(run.command, 3600000000);
	command_test_wait();
	check(!exists(run.pid[0]), "it runs");
	check(!strcmp(command_test_end(), ""), "%s", capture.text);
	point("signals to the supervisor do nothing, and it works afterwards");

	command_test_begin("trap '' TERM; echo $$; while :; do sleep 600; done");
	supervisor = command_test_supervisor();
	kill(supervisor, SIGKILL);
	command_finish(run.command, 3600000000);
	command_test_wait();
	command_test_wait_for_pids();
	command_release(run.command);
	command_test_wait_for_reap(supervisor);
	event_base_free(run.base);
	close(run.output);
	snprintf(expected, sizeof(expected),
		 "test: warning: stream adc: command: the process that supervises it was killed; "
		 "the command is killed, too\n");
	check(!strcmp(capture_end(&capture), expected), "%s", capture.text);
	point("without its supervisor a command is killed");
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	signal(SIGPIPE, SIG_IGN);
	test_lines();
	test_long_lines();
	test_flood();
	test_log_parts();
	test_command_end();
	test_group();
	test_finish();
	test_drain();
	test_signals();
	test_left();
	test_release();
	test_lifeline();
	test_supervisor();
	return tap_end();
}
