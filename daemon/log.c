// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const char *program_name = "dmacast";
static enum log_level threshold = LOG_LEVEL_INFO;
static bool for_journald;

void log_init(const char *program)
{
	program_name = program;
	for_journald = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

static const char *level_word(enum log_level level)
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

static void write_all(const char *line, size_t length)
{
	while (length) {
		ssize_t n = write(STDERR_FILENO, line, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* nowhere left to complain */
		line += n;
		length -= (size_t)n;
	}
}

void log_message(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_BYTES];
	size_t length;
	va_list args;
	int n;

	if (level > threshold)
		return;
	if (for_journald)
		n = snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		n = snprintf(line, sizeof(line), "%s: %s", program_name, level_word(level));
	length = (size_t)n;

	va_start(args, format);
	n = vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	if (n > 0)
		length += (size_t)n;
	if (length > sizeof(line) - 1)
		length = sizeof(line) - 1;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[length++] = '\n';
	write_all(line, length);
	errno = saved_errno;
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
	if (limit->passed >= LOG_LIMIT_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->passed++;
	return true;
}
