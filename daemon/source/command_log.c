// SPDX-License-Identifier: BSD-2-Clause
#include "source/command_log.h"

#include "lib/state.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of one read(), and of one event: other events follow before the next one. */
#define READ_BYTES 16384
/* Upper bound of read() calls at the end; more than a pipe holds. */
#define MAX_LAST_READS 8

static void command_log_write(struct command_log *log, const char *mark)
{
	if (log->length)
		log_limited(&log->limit, LOG_LEVEL_INFO, "stream %s: command: %.*s%s", log->name,
			    (int)log->length, log->line, mark);
	log->length = 0;
}

void command_log_add(struct command_log *log, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		/* A progress display ends its lines with CR. The empty line within CRLF is not logged. */
		if (text[i] == '\n' || text[i] == '\r') {
			command_log_write(log, "");
			log->is_cut = false;
			continue;
		}
		if (log->length == sizeof(log->line)) {
			command_log_write(log, " [cut]");
			log->is_cut = true;
		}
		if (!log->is_cut)
			log->line[log->length++] = text[i] ? text[i] : '?';
	}
}

/* Return false if there is nothing to read now. */
static bool command_log_read(struct command_log *log)
{
	char text[READ_BYTES];
	ssize_t n = read(log->fd, text, sizeof(text));

	if (n > 0)
		command_log_add(log, text, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		event_del(&log->readable);
	return n > 0;
}

static void command_log_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	command_log_read(argument);
}

bool command_log_open(struct command_log *log, struct event_base *base, const char *name, int fd)
{
	memset(log, 0, sizeof(*log));
	log->name = name;
	log->fd = fd;
	event_assign(&log->readable, base, fd, EV_READ | EV_PERSIST, command_log_readable, log);
	if (event_add(&log->readable, NULL) == 0)
		return true;
	log->fd = -1;
	return false;
}

void command_log_close(struct command_log *log)
{
	unsigned int reads = 0;

	if (log->fd < 0)
		return;
	while (reads < MAX_LAST_READS && command_log_read(log))
		reads++;
	command_log_write(log, "");
	if (log->limit.suppressed)
		log_info("stream %s: command: %u more lines suppressed", log->name,
			 log->limit.suppressed);
	event_del(&log->readable);
	close(log->fd);
	log->fd = -1;
}

void command_log_save(struct command_log *log, struct state *state)
{
	unsigned char *line = (unsigned char *)log->line;

	state_enter(state, "log");
	state_descriptor(state, "fd", &log->fd);
	state_bytes(state, "line", &line, &log->length, sizeof(log->line));
	state_bool(state, "is_cut", &log->is_cut);
	state_leave(state);
}

void command_log_restore(struct command_log *log, struct event_base *base, const char *name,
			 struct state *state)
{
	unsigned char *line = NULL;
	size_t length = 0;
	bool is_cut = false;
	int fd = -1;

	state_enter(state, "log");
	state_descriptor(state, "fd", &fd);
	state_bytes(state, "line", &line, &length, sizeof(log->line));
	state_bool(state, "is_cut", &is_cut);
	if (fd < 0)
		state_fail(state, "fd: there is none");
	else if (!command_log_open(log, base, name, fd))
		state_fail(state, "no memory");
	state_leave(state);
	if (length && !state_failed(state))
		memcpy(log->line, line, length);
	log->length = state_failed(state) ? 0 : length;
	log->is_cut = is_cut;
	if (fd >= 0 && log->fd != fd)
		close(fd);
	free(line);
}
