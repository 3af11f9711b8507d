// SPDX-License-Identifier: BSD-2-Clause
#include "lib/log.h"

#include "capture.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define LINE_BYTES 1024 /* of a line with its end */
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct capture capture;

static const enum log_level levels[] = {
	LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG,
};

static const char *logged(enum log_level level, const char *text)
{
	capture_begin(&capture, STDERR_FILENO);
	log_message(level, "%s", text);
	return capture_end(&capture);
}

static void test_prefixes(void)
{
	static const char *const plain[] = {
		"prog: error: text\n", "prog: warning: text\n", "prog: text\n",
		"prog: text\n",	       "prog: debug: text\n",
	};
	static const char *const journald[] = {
		"<3>text\n", "<4>text\n", "<5>text\n", "<6>text\n", "<7>text\n",
	};

	log_set_level(LOG_LEVEL_DEBUG);
	for (int in_journal = 0; in_journal < 2; in_journal++) {
		if (in_journal)
			setenv("JOURNAL_STREAM", "8:12345", 1);
		else
			unsetenv("JOURNAL_STREAM");
		log_init("prog");
		for (size_t i = 0; i < LENGTH(levels); i++) {
			const char *expected = in_journal ? journald[i] : plain[i];
			const char *line = logged(levels[i], "text");

			check(!strcmp(line, expected), "%s, expected %s", line, expected);
		}
		point("prefixes %s", in_journal ? "for journald" : "elsewhere");
	}
	unsetenv("JOURNAL_STREAM");
	log_init("prog");
}

static void test_macros(void)
{
	capture_begin(&capture, STDERR_FILENO);
	log_error("%d", 1);
	log_warning("%s", "2");
	log_notice("3");
	log_info("%c", '4');
	log_debug("%u", 5U);
	capture_end(&capture);
	check(!strcmp(capture.text, "prog: error: 1\nprog: warning: 2\nprog: 3\nprog: 4\n"
				    "prog: debug: 5\n"),
	      "%s", capture.text);
	point("one line for each call");
}

static void test_levels(void)
{
	check(*logged(LOG_LEVEL_INFO, "a") && !*logged(LOG_LEVEL_DEBUG, "b"),
	      "before it is set: %s", capture.text);
	for (size_t set = 0; set < LENGTH(levels); set++) {
		log_set_level(levels[set]);
		for (size_t i = 0; i < LENGTH(levels); i++)
			check((*logged(levels[i], "text") != '\0') == (i <= set),
			      "level %d, threshold %d: \"%s\"", levels[i], levels[set],
			      capture.text);
	}
	point("what is less important than the level is dropped; info is the default");
}

static void test_control_characters(void)
{
	char text[256], expected[300] = "prog: ";

	for (int c = 1; c < 256; c++) {
		text[c - 1] = (char)c;
		expected[5 + c] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	text[255] = '\0';
	strcat(expected, "\n");
	check(!strcmp(logged(LOG_LEVEL_INFO, text), expected), "\"%s\"", capture.text);
	check(!strcmp(logged(LOG_LEVEL_INFO, "a\n<0>b\r\n"), "prog: a?<0>b??\n"), "\"%s\"",
	      capture.text);
	check(!strcmp(logged(LOG_LEVEL_INFO, ""), "prog: \n"), "\"%s\"", capture.text);
	point("control characters are replaced");
}

static void test_log_long_lines(void)
{
	static const size_t lengths[] = {
		900, 1016, 1017, 1018, 1019, 1023, 1024, 1025, 2000, 10000
	};
	char text[10001];

	for (size_t i = 0; i < LENGTH(lengths); i++) {
		size_t whole = strlen("prog: ") + lengths[i] + 1;
		size_t expected = whole < LINE_BYTES ? whole : LINE_BYTES, length;

		memset(text, 'x', lengths[i]);
		text[lengths[i]] = '\0';
		length = strlen(logged(LOG_LEVEL_INFO, text));
		check(length == expected, "%zu bytes, expected %zu", length, expected);
		check(strspn(capture.text + 6, "x") == length - 7, "not the text");
		check(capture.text[length - 1] == '\n', "no end of line");
	}
	point("a long line is cut, and still ends");
}

/* What @text becomes with standard error at @fd, where errno must be kept. */
static void log_to(int fd, const char *text)
{
	int saved = dup(STDERR_FILENO), after;

	fflush(stderr);
	if (saved < 0 || dup2(fd, STDERR_FILENO) < 0)
		err(1, "dup");
	errno = ENOTTY;
	log_info("%s", text);
	after = errno;
	dup2(saved, STDERR_FILENO);
	close(saved);
	check(after == ENOTTY, "\"%s\": %s", text, strerror(after));
}

static void test_errno(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), after;

	log_to(null, "written");
	close(null);
	log_set_level(LOG_LEVEL_ERROR);
	errno = ENOTTY;
	log_info("dropped");
	check(errno == ENOTTY, "dropped: %s", strerror(errno));
	log_set_level(LOG_LEVEL_INFO);
	capture_begin(&capture, STDERR_FILENO);
	errno = ENOENT;
	log_info("%m");
	after = errno;
	capture_end(&capture);
	check(after == ENOENT, "used: %s", strerror(after));
	check(!strcmp(capture.text, "prog: No such file or directory\n"), "%s", capture.text);
	point("errno is kept, and can be used in the message");
}

static void test_lost(void)
{
	char full[65536] = "", text[256] = "";
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), ends[2];
	ssize_t n = 0;

	log_to(null, "not writable");
	close(null);
	logged(LOG_LEVEL_INFO, "text");
	check(strstr(capture.text, "lost") && strstr(capture.text, ": 1\nprog: text\n"), "%s",
	      capture.text);

	/* A pipe without O_NONBLOCK, which is full: a write waits until the alarm. */
	if (pipe2(ends, O_CLOEXEC))
		err(1, "pipe");
	fcntl(ends[1], F_SETPIPE_SZ, sizeof(full));
	check(write(ends[1], full, sizeof(full)) == sizeof(full), "not full");
	alarm(20);
	for (int i = 0; i < 3; i++)
		log_to(ends[1], "nobody reads");
	alarm(0);
	for (size_t left = sizeof(full); left; left -= (size_t)n) {
		n = read(ends[0], full, left);
		if (!check(n > 0, "%s", strerror(errno)))
			break;
	}
	log_to(ends[1], "text");
	log_to(ends[1], "more");
	n = read(ends[0], text, sizeof(text) - 1);
	check(n > 0 && !strncmp(text, "prog: warning: ", 15), "%s", text);
	check(strstr(text, "lost") && strstr(text, ": 3\nprog: text\nprog: more\n"), "%s", text);
	close(ends[0]);
	close(ends[1]);
	point("nothing waits for whoever reads, and what was lost is told once");
}

static void test_limit(void)
{
	const uint64_t start = 3, interval = LOG_LIMIT_INTERVAL_NS;
	struct log_limit limit = { 0 };
	unsigned int suppressed;

	for (unsigned int i = 0; i < LOG_LIMIT_BURST + 5; i++) {
		bool pass = log_limit_pass(&limit, start + i, &suppressed);

		check(pass == (i < LOG_LIMIT_BURST), "event %u: %d", i, pass);
		check(suppressed == 0, "event %u: %u suppressed", i, suppressed);
	}
	check(!log_limit_pass(&limit, start + interval - 1, &suppressed), "too early");
	check(log_limit_pass(&limit, start + interval, &suppressed), "too late");
	check(suppressed == 6, "%u suppressed", suppressed);
	point("a burst passes, then nothing until the interval is over, and what was left out is "
	      "told");

	for (unsigned int i = 1; i < LOG_LIMIT_BURST; i++) {
		check(log_limit_pass(&limit, start + interval + i, &suppressed), "event %u", i);
		check(suppressed == 0, "told again: %u", suppressed);
	}
	check(!log_limit_pass(&limit, start + 2 * interval - 1, &suppressed), "an event too many");
	check(log_limit_pass(&limit, start + 9 * interval, &suppressed), "much later");
	check(suppressed == 1, "%u suppressed", suppressed);
	point("the next interval has a burst of its own");

	limit = (struct log_limit){ .burst = 3 };
	for (unsigned int i = 0; i < 5; i++)
		check(log_limit_pass(&limit, start + i, &suppressed) == (i < 3), "event %u", i);
	check(log_limit_pass(&limit, start + interval, &suppressed) && suppressed == 2,
	      "%u suppressed", suppressed);
	point("a limit may have a burst of another size");
}

/* Return: what a line with @text becomes. */
static const char *limited(struct log_limit *limit, const char *text)
{
	capture_begin(&capture, STDERR_FILENO);
	log_limited(limit, LOG_LEVEL_WARNING, "%s", text);
	return capture_end(&capture);
}

static void test_limited(void)
{
	const char *const end = " (7 more suppressed)\n";
	struct log_limit limit = { 0 };
	unsigned int lines = 0;
	char text[2000];
	size_t length;

	for (unsigned int i = 0; i < LOG_LIMIT_BURST + 5; i++) {
		lines += *limited(&limit, "text") != '\0';
		check(!*capture.text || !strcmp(capture.text, "prog: warning: text\n"), "%s",
		      capture.text);
	}
	check(lines == LOG_LIMIT_BURST, "%u lines", lines);
	point("a burst is logged as it is");

	/* As if the interval was over. */
	limit.interval_start_ns -= LOG_LIMIT_INTERVAL_NS;
	check(!strcmp(limited(&limit, "text"), "prog: warning: text (5 more suppressed)\n"), "%s",
	      capture.text);
	check(!strcmp(limited(&limit, "text"), "prog: warning: text\n"), "%s", capture.text);
	point("the first line after the interval says how many were suppressed, once");

	while (limit.suppressed < 7)
		limited(&limit, "text");
	limit.interval_start_ns -= LOG_LIMIT_INTERVAL_NS;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	length = strlen(limited(&limit, text));
	check(length == LINE_BYTES && !strcmp(capture.text + length - strlen(end), end), "%s",
	      capture.text);
	point("also where the line is cut");
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("prog");
	test_levels();
	test_prefixes();
	test_macros();
	test_control_characters();
	test_log_long_lines();
	test_errno();
	test_lost();
	test_limit();
	test_limited();
	return tap_end();
}
