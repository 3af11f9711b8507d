// SPDX-License-Identifier: BSD-2-Clause
#include "lib/log.h"

#include "lib/clock.h"
#include "lib/state.h"

#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const char *program_name = "dmacast";
static enum log_level threshold = LOG_LEVEL_INFO;
static bool for_journald;
static char *collected;
static size_t collected_size;
static unsigned int lost; /* messages that could not be written since the last one that was */

void log_init(const char *program)
{
	program_name = program;
	for_journald = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

enum log_level log_get_level(void)
{
	return threshold;
}

static const char *log_level_word(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error: ";
	case LOG_LEVEL_WARNING:
		return "warning: ";
	case LOG_LEVEL_DEBUG:
		return "debug: ";
	default:
		return "";
	}
}

static bool log_is_writable(void)
{
	struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT);
}

/*
 * Lines are shorter than PIPE_BUF: a pipe that is writable takes one whole, without waiting. A socket, or a full disk, may
 * take a part.
 */
static bool log_write_line(const char *line, size_t length)
{
	while (length && log_is_writable()) {
		ssize_t n = write(STDERR_FILENO, line, length);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		line += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
	return !length;
}

static size_t log_prefix(char line[LINE_BYTES], enum log_level level)
{
	int n;

	if (for_journald)
		n = snprintf(line, LINE_BYTES, "<%d>", (int)level);
	else
		n = snprintf(line, LINE_BYTES, "%s: %s", program_name, log_level_word(level));
	return (size_t)n;
}

static void log_write_or_count(const char *line, size_t length)
{
	char note[LINE_BYTES];
	size_t note_length;

	if (lost) {
		note_length = log_prefix(note, LOG_LEVEL_WARNING);
		note_length +=
			(size_t)snprintf(note + note_length, sizeof(note) - note_length,
					 "messages lost because nobody read them: %u\n", lost);
		if (!log_write_line(note, note_length)) {
			lost++;
			return;
		}
		lost = 0;
	}
	if (!log_write_line(line, length))
		lost++;
}

void log_collect(char *text, size_t size)
{
	collected = text;
	collected_size = size;
}

static void log_collect_line(const char *line)
{
	if (*collected)
		strlcat(collected, "\n", collected_size);
	strlcat(collected, line, collected_size);
}

/* @note: appended, also where the message is cut */
static void log_line(enum log_level level, const char *note, const char *format, va_list args)
{
	int saved_errno = errno;
	char line[LINE_BYTES];
	size_t length, start, room;
	int n;

	if (level > threshold && !(collected && level <= LOG_LEVEL_WARNING))
		return;
	start = length = log_prefix(line, level);
	/* For the end of line, too. */
	room = sizeof(line) - 1 - length - strlen(note);
	n = vsnprintf(line + length, room + 1, format, args);
	if (n > 0)
		length += (size_t)n < room ? (size_t)n : room;
	length += strlcpy(line + length, note, sizeof(line) - length);
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[length] = '\0';
	if (collected && level <= LOG_LEVEL_WARNING)
		log_collect_line(line + start);
	line[length++] = '\n';
	if (level <= threshold)
		log_write_or_count(line, length);
	errno = saved_errno;
}

void log_message(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(level, "", format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	unsigned int suppressed;
	char note[40] = "";
	va_list args;

	if (!log_limit_pass(limit, clock_monotonic_ns(), &suppressed))
		return;
	if (suppressed)
		snprintf(note, sizeof(note), " (%u more suppressed)", suppressed);
	va_start(args, format);
	log_line(level, note, format, args);
	va_end(args);
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned int *suppressed)
{
	*suppressed = 0;
	if (!limit->passed || now_ns - limit->interval_start_ns >= LOG_LIMIT_INTERVAL_NS) {
		*suppressed = limit->suppressed;
		limit->interval_start_ns = now_ns;
		limit->passed = 0;
		limit->suppressed = 0;
	}
	if (limit->passed >= (limit->burst ? limit->burst : LOG_LIMIT_BURST)) {
		limit->suppressed++;
		return false;
	}
	limit->passed++;
	return true;
}

void log_limit_transfer(struct log_limit *limit, struct state *state, const char *name)
{
	uint32_t passed = limit->passed, suppressed = limit->suppressed;

	state_enter(state, name);
	state_u64(state, "interval_start_ns", &limit->interval_start_ns);
	state_u32(state, "passed", &passed);
	state_u32(state, "suppressed", &suppressed);
	state_leave(state);
	limit->passed = passed;
	limit->suppressed = suppressed;
}
