// SPDX-License-Identifier: BSD-2-Clause
/* Commands: the lines that they write to standard error. */
#include "capture.h"
#include "lib/log.h"
#include "source/command_log.h"
#include "tap.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
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

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	test_lines();
	test_long_lines();
	test_flood();
	test_log_parts();
	return tap_end();
}
