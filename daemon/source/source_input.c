// SPDX-License-Identifier: BSD-2-Clause
/*
 * The sources that read bytes: standard input, a FIFO, a file, a Unix or TCP socket, a command.
 *
 *   IDLE ─ start ─▶ DIALING ─▶ READING ◀─▶ STARVED (no free block)
 *                      ▲ │        │ end of input
 *                      │ ▼        ▼
 *                      RETRYING ◀─┼──────▶ ENDED
 *                                 ▼
 *                             FOLLOWING (a regular file, with on-end = wait)
 *
 * A source that producers connect to is LISTENING instead of DIALING and RETRYING. pause() leads back to IDLE from
 * every state but ENDED: what was open is closed, and the next start opens it again. It waits in RETRYING while the
 * command of the former run ends.
 *
 * What can be opened without waiting skips DIALING. STARVED keeps the descriptor but does not watch
 * it, so that the sender feels the back-pressure. A path that is missing is RETRYING: inotify says when
 * it is there, and the timer helps where inotify cannot.
 */
#include "source/source_type.h"

#include "lib/backoff.h"
#include "lib/clock.h"
#include "lib/input.h"
#include "lib/interrupted.h"
#include "lib/log.h"
#include "lib/state.h"
#include "lib/timer_state.h"
#include "lib/units.h"
#include "source/acceptor.h"
#include "source/caller.h"
#include "source/command.h"
#include "source/filler.h"
#include "source/input_writer.h"
#include "source/path_watch.h"
#include "source/terminal.h"

#include <bsd/string.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Fewer system calls for the same bytes, where the writer is fast; more is not worth it. */
#define PIPE_BYTES (1 << 20)

enum input_state {
	INPUT_IDLE,
	INPUT_DIALING,
	INPUT_LISTENING,
	INPUT_READING,
	INPUT_STARVED,
	INPUT_RETRYING,
	INPUT_FOLLOWING,
	INPUT_ENDED,
};

struct input_source {
	struct source source;
	struct event_base *base;
	const struct stream_settings *settings;
	struct filler *filler;
	struct input input;
	enum input_state state;
	bool reopens; /* at the end of the input, instead of ending */

	int fd;
	bool pollable;	  /* by epoll; else read once a turn of the event loop */
	bool nonblocking; /* read() never waits */
	bool was_open;
	bool is_fifo, is_regular; /* and the input is a path */
	bool replaced; /* the path is another FIFO now; the open one is read to its end */
	bool rewinds;  /* a regular file, with loop = yes */
	bool read_since_rewind;
	struct event readable;
	struct terminal *terminal; /* NULL: the descriptor is none */
	struct path_watch *watch;  /* of a path with on-end = wait */
	bool watch_failed;	   /* and was logged */
	bool missing;		   /* the path could not be opened */
	char missing_why[128];	   /* logged last */
	struct log_limit ends, write_errors;

	struct caller *caller;	   /* of INPUT_DIALING */
	struct acceptor *acceptor; /* of a source that listens, until it ends */
	char producer[PRODUCER_TEXT];
	struct log_limit producers; /* lines of those that connect */
	struct command *command;    /* of INPUT_EXEC, until it has ended */
	struct input_writer writer; /* to the standard input of the command, or to the peer */
	struct event retry;
	struct event silence; /* when input-timeout may be over */
	uint64_t active_ns;   /* last byte, or since when one is expected */
	struct backoff backoff;
	uint64_t opened_ns;
};

static void input_open_again(struct input_source *input);

/* What follows does not continue what was read. */
static void input_begin_run(struct input_source *input)
{
	filler_begin_run(input->filler);
	if (input->source.callbacks->run_begins)
		input->source.callbacks->run_begins(input->source.argument);
}

/* The state for source_state(). A FIFO waits until a writer has written. */
static void input_publish_state(struct input_source *input)
{
	enum source_state now = SOURCE_WAITING;

	switch (input->state) {
	case INPUT_READING:
		now = input->is_fifo ? input->source.state : SOURCE_RUNNING;
		break;
	case INPUT_STARVED:
		now = input->source.state;
		break;
	case INPUT_DIALING:
		now = SOURCE_CONNECTING;
		break;
	case INPUT_ENDED:
		now = SOURCE_ENDED;
		break;
	default:
		break;
	}
	source_set_state(&input->source, now, input->state == INPUT_STARVED);
}

static void input_set_state(struct input_source *input, enum input_state state)
{
	static const char *const name[] = { "idle",    "dialing",  "listening", "reading",
					    "starved", "retrying", "following", "ended" };

	if (state == input->state)
		return;
	log_debug("stream %s: input %s, was %s", input->settings->name, name[state],
		  name[input->state]);
	input->state = state;
	input_publish_state(input);
}

/* End what the peer reads. The bytes that it has not taken are not for the next run. */
static void input_close_writer(struct input_source *input)
{
	if (!input_writer_is_open(&input->writer))
		return;
	input_writer_close(&input->writer);
	if (input->source.callbacks->unwritable)
		input->source.callbacks->unwritable(input->source.argument);
}

static void input_close_descriptor(struct input_source *input)
{
	input_close_writer(input);
	if (input->fd < 0)
		return;
	event_del(&input->readable);
	event_del(&input->silence);
	if (input->terminal)
		terminal_release(input->terminal);
	input->terminal = NULL;
	if (input->fd != STDIN_FILENO)
		close(input->fd);
	input->fd = -1;
}

static void input_close_acceptor(struct input_source *input)
{
	acceptor_close(input->acceptor);
	input->acceptor = NULL;
}

static void input_cancel_caller(struct input_source *input)
{
	if (input->caller)
		caller_cancel(input->caller);
	input->caller = NULL;
}

/* Close all that belongs to one connection or one run of a command. */
static void input_close_all(struct input_source *input)
{
	input_close_descriptor(input);
	input_cancel_caller(input);
	input_close_acceptor(input);
	if (input->command)
		command_release(input->command);
	input->command = NULL;
}

/* Note the start of a wait for bytes; input-timeout ends it. */
static void input_expect_bytes(struct input_source *input)
{
	struct timeval delay = clock_timeval(input->settings->input_timeout);

	input->active_ns = clock_monotonic_ns();
	if (input->settings->input_timeout)
		event_add(&input->silence, &delay);
	else
		event_del(&input->silence);
}

/* Return: false without memory. */
static bool input_add_readable(struct input_source *input)
{
	static const struct timeval at_once;
	bool added = !event_add(&input->readable, input->pollable ? NULL : &at_once);

	/* epoll does not report a FIFO that never had a writer. */
	if (input->replaced && input->pollable)
		event_active(&input->readable, EV_READ, 0);
	return added;
}

static void input_watch(struct input_source *input)
{
	/* The time without a free block does not count. */
	if (input->state != INPUT_READING)
		input_expect_bytes(input);
	input_set_state(input, INPUT_READING);
	input_add_readable(input);
}

static void input_retry_later(struct input_source *input)
{
	struct timeval delay = backoff_take(&input->backoff);

	input_set_state(input, INPUT_RETRYING);
	event_add(&input->retry, &delay);
}

static void input_log_retry(const struct input_source *input, const char *why)
{
	char delay[UNITS_TEXT];

	log_warning("stream %s: input %s: %s; trying again in %s", input->settings->name,
		    input->source.text, why, units_format_duration(input->backoff.next_us, delay));
}

/* The path could not be opened. Log each reason once, as for a device. */
static void input_log_missing(struct input_source *input, const char *why)
{
	if (!strcmp(why, input->missing_why))
		return;
	strlcpy(input->missing_why, why, sizeof(input->missing_why));
	log_warning("stream %s: input %s: %s; waiting until it can be opened",
		    input->settings->name, input->source.text, why);
}

/* Return true if the path exists, and is another file than the one that is open. */
static bool input_is_replaced(const struct input_source *input)
{
	struct stat there, here;

	return !stat(input->input.argument, &there) && !fstat(input->fd, &here) &&
	       (there.st_dev != here.st_dev || there.st_ino != here.st_ino);
}

/* A FIFO or a regular file that is opened again ended. */
static void input_file_ended(struct input_source *input, const char *why)
{
	bool replaced = input_is_replaced(input);

	if (replaced)
		log_limited(&input->ends, LOG_LEVEL_INFO,
			    "stream %s: input %s: %s; reading the new file of this name",
			    input->settings->name, input->source.text, why);
	else if (input->is_fifo)
		log_limited(&input->ends, LOG_LEVEL_INFO,
			    "stream %s: input %s: %s; waiting for the next writer",
			    input->settings->name, input->source.text, why);
	if (replaced || input->is_fifo)
		input_open_again(input);
	else
		input_set_state(input, INPUT_FOLLOWING);
}

/* Return true if the producer sent nothing, like a program that only tests the port. */
static bool input_was_empty(const struct input_source *input)
{
	return input->acceptor && input->source.last_byte_ns < input->opened_ns;
}

static void input_listen(struct input_source *input)
{
	input_set_state(input, INPUT_LISTENING);
	acceptor_next(input->acceptor);
}

static void input_producer_ended(struct input_source *input, const char *why)
{
	log_limited(&input->ends, LOG_LEVEL_INFO,
		    "stream %s: input %s: producer %s: %s; waiting for the next one",
		    input->settings->name, input->source.text, input->producer, why);
	input_close_descriptor(input);
	input_listen(input);
}

/* The input ended or failed: hand on what was read, then end, or open it again. */
static void input_at_end(struct input_source *input, const char *why)
{
	source_note_end(&input->source, why);
	if (!input->reopens)
		filler_end(input->filler);
	else
		filler_flush(input->filler);
	/* What is appended to a regular file later continues its last record. */
	if (input->reopens && !input->is_regular)
		input_begin_run(input);
	filler_ready(input->filler);
	event_del(&input->readable);
	/* A command may wait for the end of its input. */
	input_close_writer(input);
	if (input->command)
		command_finish(input->command, input->settings->stop_timeout);
	if (!input->reopens && !input_was_empty(input)) {
		input_close_descriptor(input);
		input_close_acceptor(input);
		input_set_state(input, INPUT_ENDED);
		input->source.callbacks->ended(input->source.argument, why);
		return;
	}
	if (input->acceptor) {
		input_producer_ended(input, why);
		return;
	}
	if (input->is_fifo || input->is_regular) {
		input_file_ended(input, why);
		return;
	}
	input_close_descriptor(input);
	if (clock_monotonic_ns() - input->opened_ns >= BACKOFF_STEADY_NS)
		backoff_reset(&input->backoff);
	input_log_retry(input, why);
	input_retry_later(input);
}

/* The timer is not set again for each byte: it looks how long ago the last one was. */
static void input_silence_due(evutil_socket_t fd, short what, void *argument)
{
	struct input_source *input = argument;
	uint64_t timeout_ns = input->settings->input_timeout * 1000;
	uint64_t silent_ns = clock_monotonic_ns() - input->active_ns;
	char time[UNITS_TEXT], why[UNITS_TEXT + 32];
	struct timeval delay;

	(void)fd;
	(void)what;
	if (input->state != INPUT_READING || !timeout_ns)
		return;
	if (silent_ns < timeout_ns) {
		/* Up to a microsecond is cut off. */
		delay = clock_timeval((timeout_ns - silent_ns) / 1000 + 1);
		event_add(&input->silence, &delay);
		return;
	}
	if (input->is_fifo && input->reopens) {
		input_expect_bytes(input); /* opening it again would change nothing */
		return;
	}
	snprintf(why, sizeof(why), "no byte for %s",
		 units_format_duration(input->settings->input_timeout, time));
	input_at_end(input, why);
}

static void input_read_failed(struct input_source *input, int error)
{
	if (error == EINTR)
		return;
	if (error == EAGAIN || error == EWOULDBLOCK) {
		if (input->replaced)
			log_notice("stream %s: input %s: there is a new file of this name; the "
				   "former one still has a writer and is read to its end",
				   input->settings->name, input->source.text);
		input->replaced = false;
		return;
	}
	/* A producer is named when the next one is waited for. */
	if (!input->acceptor)
		log_warning("stream %s: input %s: %s", input->settings->name, input->source.text,
			    strerror(error));
	input_at_end(input, strerror(error));
}

/* Start a regular file again. Return: false if it does not loop or is empty. */
static bool input_rewind(struct input_source *input)
{
	bool again =
		input->rewinds && input->read_since_rewind && lseek(input->fd, 0, SEEK_SET) == 0;

	input->read_since_rewind = false;
	if (again)
		filler_begin_run(input->filler);
	return again;
}

/* Return true if another read(), after one that filled its space, does not wait. */
static bool input_has_more(const struct input_source *input)
{
	struct pollfd readable = { .fd = input->fd, .events = POLLIN };

	return input->nonblocking || poll(&readable, 1, 0) > 0;
}

static void input_read(evutil_socket_t fd, short what, void *argument)
{
	struct input_source *input = argument;
	size_t budget = filler_budget(input->filler);
	bool more;

	(void)what;
	/* Nothing would call again for a FIFO that never had a writer; see input_watch(). */
	if (!budget && input->replaced)
		budget = PIPE_BYTES;
	more = budget > 0;
	while (more) {
		struct iovec space[FILLER_BLOCKS];
		size_t bytes = budget;
		int count = filler_spaces(input->filler, space, &bytes);
		ssize_t n;

		if (!count) {
			event_del(&input->readable);
			input_set_state(input, INPUT_STARVED);
			break; /* input_resume() follows */
		}
		n = readv(fd, space, count);
		if (n < 0) {
			int error = errno;

			filler_ready(input->filler);
			input_read_failed(input, error);
			break;
		}
		if (n == 0) {
			if (input_rewind(input))
				continue;
			input_at_end(input, "end of input");
			break;
		}
		input->read_since_rewind = true;
		source_note_bytes(&input->source);
		input->active_ns = input->source.last_byte_ns;
		filler_commit(input->filler, (size_t)n);
		budget -= (size_t)n;
		more = budget && (size_t)n == bytes && input_has_more(input);
	}
	filler_ready(input->filler);
	if (input->state == INPUT_READING && !input->pollable)
		input_watch(input);
}

static void input_resume(void *argument)
{
	struct input_source *input = argument;

	if (input->state == INPUT_STARVED)
		input_watch(input);
}

static bool input_is_pollable(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool pollable = epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;

	if (epoll >= 0)
		close(epoll);
	return pollable;
}

/* Have @fd as the input, and find out what can be done with it. */
static void input_set_descriptor(struct input_source *input, int fd, const struct stat *status)
{
	input->fd = fd;
	input->is_fifo = S_ISFIFO(status->st_mode) && input->input.kind == INPUT_PATH;
	input->is_regular = S_ISREG(status->st_mode) && input->input.kind == INPUT_PATH;
	input->rewinds = input->settings->loop && S_ISREG(status->st_mode);
	input->pollable = input_is_pollable(fd);
	/* Other processes share the mode of an inherited standard input: do not change it. */
	input->nonblocking = !input->pollable || (fcntl(fd, F_GETFL) & O_NONBLOCK);
	if (input->pollable)
		event_assign(&input->readable, input->base, fd, EV_READ | EV_PERSIST, input_read,
			     input);
	else
		event_assign(&input->readable, input->base, fd, 0, input_read, input);
}

/* Read from @fd from now on. */
static void input_adopt(struct input_source *input, int fd, const struct stat *status)
{
	/* Close the former descriptor of a FIFO only now: what the next writer has written would be lost
	 * if nobody had it open. */
	input_close_descriptor(input);
	input_begin_run(input);
	input_set_descriptor(input, fd, status);
	if (input->is_fifo)
		source_set_state(&input->source, SOURCE_WAITING, false);
	else if (input->was_open && input->source.callbacks->restarted)
		input->source.callbacks->restarted(input->source.argument);
	input->was_open = true;
	input->replaced = false;
	input->read_since_rewind = false;
	if (S_ISFIFO(status->st_mode))
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* may fail */
	input->opened_ns = clock_monotonic_ns();
}

/* The path may be another file, or the file was written. */
static void input_path_changed(void *argument)
{
	struct input_source *input = argument;
	struct stat status;

	if (input->state == INPUT_RETRYING && input->missing) {
		input_open_again(input);
		return;
	}
	if (input->state == INPUT_FOLLOWING) {
		if (!fstat(input->fd, &status) && status.st_size < lseek(input->fd, 0, SEEK_CUR)) {
			lseek(input->fd, 0, SEEK_SET); /* it was truncated */
			input_begin_run(input);
		}
		input_watch(input);
		return;
	}
	if (input->fd < 0 || !input->is_fifo || !input_is_replaced(input))
		return;
	/* Without a writer it is at its end, else it has data that comes first. */
	input->replaced = true;
	if (input->state == INPUT_READING)
		event_active(&input->readable, EV_READ, 0);
}

/* Watch the path before it is opened, so that no change in between is missed. */
static void input_watch_path(struct input_source *input)
{
	if (input->input.kind != INPUT_PATH || !input->reopens)
		return;
	if (input->watch) {
		path_watch_arm(input->watch, false);
		return;
	}
	input->watch =
		path_watch_create(input->base, input->input.argument, input_path_changed, input);
	if (!input->watch && !input->watch_failed)
		log_warning("stream %s: input %s: inotify: %s; a new file of this name is noticed "
			    "late or never",
			    input->settings->name, input->source.text, strerror(errno));
	input->watch_failed = !input->watch;
}

/* Warn of options that have no effect on the file that was opened. */
static void input_check_options(const struct input_source *input, mode_t mode)
{
	uint64_t baud = input->settings->baud;

	if (input->settings->loop && !S_ISREG(mode))
		log_warning("stream %s: input %s: loop = yes has no effect; it is no regular file",
			    input->settings->name, input->source.text);
	if (baud && !input->terminal)
		log_warning("stream %s: input %s: baud has no effect; it is no terminal",
			    input->settings->name, input->source.text);
	/* A UART tolerates about 2 percent. */
	if (baud && input->terminal &&
	    imaxabs((intmax_t)(terminal_speed(input->terminal) - baud)) > (intmax_t)(baud / 50))
		log_warning("stream %s: input %s: baud = %" PRIu64 ": the driver set %" PRIu64
			    "; choose a speed that the port supports",
			    input->settings->name, input->source.text, baud,
			    terminal_speed(input->terminal));
}

/* Return: NULL, or why nothing can be read from such a file. */
static const char *input_wrong_kind(const struct stat *status)
{
	return S_ISDIR(status->st_mode) ? "is a directory; expected a FIFO, file or device" : NULL;
}

/*
 * Find out whether the path could be opened. To open it would let its writer begin, and to close it then would end
 * that. Return: NULL, or why not.
 */
static const char *input_check_path(struct input_source *input)
{
	struct stat status;

	input->missing = stat(input->input.argument, &status) ||
			 faccessat(AT_FDCWD, input->input.argument, R_OK, AT_EACCESS);
	return input->missing ? strerror(errno) : input_wrong_kind(&status);
}

/* Open standard input or a path. Return: NULL, or why not. */
static const char *input_open_path(struct input_source *input)
{
	struct terminal *terminal = NULL;
	struct stat status;
	const char *wrong;
	int fd = STDIN_FILENO;

	if (input->input.kind == INPUT_PATH)
		fd = REPEAT_INTERRUPTED(
			open(input->input.argument, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
	input->missing = fd < 0;
	if (fd < 0 || fstat(fd, &status))
		return strerror(errno);
	wrong = input_wrong_kind(&status);
	/* Standard input belongs to the shell, too. */
	if (!wrong && S_ISCHR(status.st_mode) && input->input.kind == INPUT_PATH) {
		terminal = terminal_claim(fd, status.st_rdev, input->settings->baud);
		if (!terminal && errno != ENOTTY) {
			wrong = strerror(errno);
			input->missing = true;
		}
	}
	if (wrong) {
		if (fd != STDIN_FILENO)
			close(fd);
		return wrong;
	}
	input_adopt(input, fd, &status);
	input->terminal = terminal;
	if (input->watch && input->is_regular)
		path_watch_arm(input->watch, true);
	/* These wait for a writer, not for a time. */
	if (input->is_fifo || input->is_regular)
		backoff_reset(&input->backoff);
	input_check_options(input, status.st_mode);
	return NULL;
}

/* Return true if the path is a terminal that another source of this process has. */
static bool input_is_claimed(const struct input_source *input)
{
	struct stat status;

	return input->input.kind == INPUT_PATH && !stat(input->input.argument, &status) &&
	       S_ISCHR(status.st_mode) && terminal_is_claimed(status.st_rdev);
}

static void input_adopt_connection(struct input_source *input, int fd)
{
	struct stat status = { 0 };

	fstat(fd, &status);
	input_adopt(input, fd, &status);
	if (input->acceptor)
		log_limited(&input->producers, LOG_LEVEL_INFO,
			    "stream %s: input %s: producer %s connected", input->settings->name,
			    input->source.text, input->producer);
	else
		log_info("stream %s: input %s: open", input->settings->name, input->source.text);
	input_watch(input);
}

static void input_writable(void *argument)
{
	const struct input_source *input = argument;

	if (input->source.callbacks->writable)
		input->source.callbacks->writable(input->source.argument);
}

/* What clients send goes to the peer from now on. */
static void input_open_connection_writer(struct input_source *input, int fd)
{
	input_writer_open_socket(&input->writer, fd);
	input_writable(input);
}

static void input_producer_accepted(void *argument, int fd, const char *peer)
{
	struct input_source *input = argument;

	strlcpy(input->producer, peer, sizeof(input->producer));
	input_adopt_connection(input, fd);
	input_open_connection_writer(input, fd);
}

static void input_connected(void *argument, int fd, const char *error)
{
	struct input_source *input = argument;

	if (fd < 0)
		input_log_retry(input, error); /* the caller has the text */
	input_cancel_caller(input);
	if (fd < 0) {
		input_retry_later(input);
		return;
	}
	input_adopt_connection(input, fd);
	if (input->input.kind != INPUT_HTTP)
		input_open_connection_writer(input, fd);
}

/* The command has ended, or does not end and was left. */
static void input_command_ended(void *argument)
{
	struct input_source *input = argument;

	command_release(input->command);
	input->command = NULL;
	if (input->state == INPUT_ENDED && input->source.callbacks->idle)
		input->source.callbacks->idle(input->source.argument);
	else if (input->state == INPUT_RETRYING && !evtimer_pending(&input->retry, NULL))
		input_open_again(input);
}

/* Return: false with errno set. */
static bool input_start_command(struct input_source *input)
{
	bool writes = stream_settings_forward_input(input->settings);
	int output, to_command = -1;

	input->command =
		command_start(input->base, input->settings->name, input->input.argument, &output,
			      writes ? &to_command : NULL, input_command_ended, input);
	if (!input->command)
		return false;
	input_adopt_connection(input, output);
	if (writes) {
		input_writer_open_pipe(&input->writer, to_command);
		input_writable(input);
	}
	return true;
}

/* Return: false without memory. */
static bool input_call(struct input_source *input)
{
	input->caller =
		caller_start(input->base, &input->input, NULL, NULL, input_connected, input);
	return input->caller;
}

static void input_open_again(struct input_source *input)
{
	const char *wrong;

	if (input->command) {
		input_set_state(input, INPUT_RETRYING); /* input_command_ended() follows */
		return;
	}
	switch (input->input.kind) {
	case INPUT_STDIN:
	case INPUT_PATH:
		input_watch_path(input);
		wrong = input_is_claimed(input) ? "another stream has it" : input_open_path(input);
		if (wrong) {
			input_log_missing(input, wrong);
			/* inotify may report it several times before it can be opened. */
			if (!event_pending(&input->retry, EV_TIMEOUT, NULL))
				input_retry_later(input);
			return;
		}
		event_del(&input->retry);
		if (input->missing_why[0])
			log_info("stream %s: input %s: open", input->settings->name,
				 input->source.text);
		input->missing_why[0] = '\0';
		input_watch(input);
		return;
	case INPUT_UNIX:
	case INPUT_TCP:
	case INPUT_HTTP:
		if (input_call(input)) {
			input_set_state(input, INPUT_DIALING);
			return;
		}
		wrong = "no memory";
		break;
	case INPUT_UNIX_LISTEN:
	case INPUT_TCP_LISTEN:
		input_listen(input);
		return;
	case INPUT_EXEC:
		if (input_start_command(input))
			return;
		wrong = strerror(errno);
		break;
	default:
		wrong = "unknown kind of input";
	}
	input_log_retry(input, wrong);
	input_retry_later(input);
}

static void input_retry_due(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	input_open_again(argument);
}

static void input_start(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	filler_start(input->filler);
	if (input->fd >= 0)
		input_watch(input);
	else
		input_open_again(input);
	/* What has arrived at a port that something else had open meanwhile is old. */
	if (input->terminal && input->settings->on_demand)
		terminal_drop_input(input->terminal);
}

/* Let the command write while it ends: SIGPIPE would keep it from closing its files. */
static void input_drain_command(struct input_source *input)
{
	if (input->fd < 0)
		return;
	event_del(&input->readable);
	event_del(&input->silence);
	command_drain(input->command, input->fd);
	input->fd = -1;
}

/* Close what is open, and do not try again. */
static void input_leave(struct input_source *input)
{
	event_del(&input->retry);
	input_cancel_caller(input);
	input_close_writer(input);
	if (input->command) {
		command_end(input->command, input->settings->stop_timeout);
		input_drain_command(input);
	}
	input_close_descriptor(input);
}

/* Drop what a FIFO has now: a writer that keeps it open would let the next run begin with it. */
static void input_drop_fifo(const struct input_source *input)
{
	char dropped[65536];
	ssize_t n = 1;

	for (size_t bytes = 0; n > 0 && bytes <= PIPE_BYTES; bytes += (size_t)n)
		n = read(input->fd, dropped, sizeof(dropped));
}

static void input_pause(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	if (input->state == INPUT_ENDED)
		return;
	if (input->fd >= 0 && input->is_fifo)
		input_drop_fifo(input);
	input_leave(input);
	if (input->acceptor)
		acceptor_cancel(input->acceptor);
	if (input->was_open && clock_monotonic_ns() - input->opened_ns >= BACKOFF_STEADY_NS)
		backoff_reset(&input->backoff);
	input->was_open = false;
	input_set_state(input, INPUT_IDLE);
	filler_pause(input->filler);
}

static void input_stop(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	input_close_acceptor(input);
	input_leave(input);
	input_set_state(input, INPUT_ENDED);
	filler_stop(input->filler);
}

static bool input_is_busy(const struct source *source)
{
	return ((const struct input_source *)source)->command;
}

static void input_kill(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	if (input->command)
		command_kill(input->command);
}

static void input_adapt(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	filler_adapt(input->filler);
	if (input->state == INPUT_READING)
		input_expect_bytes(input);
}

/* The command or the peer goes on without what clients send. */
static void input_log_write_error(struct input_source *input, int error)
{
	log_limited(&input->write_errors, LOG_LEVEL_WARNING,
		    "stream %s: input %s: takes no more from clients: %s; what they send is "
		    "discarded until its next run",
		    input->settings->name, input->source.text, strerror(error));
}

static ssize_t input_write(struct source *source, const void *bytes, size_t length)
{
	struct input_source *input = (struct input_source *)source;
	ssize_t n;

	if (!input_writer_is_open(&input->writer)) {
		errno = ENOTCONN;
		return -1;
	}
	n = input_writer_write(&input->writer, bytes, length);
	if (n < 0)
		input_log_write_error(input, errno);
	return n;
}

static void input_free(struct input_source *input)
{
	path_watch_destroy(input->watch);
	if (input->filler)
		filler_destroy(input->filler);
	free(input);
}

static void input_close(struct source *source)
{
	struct input_source *input = (struct input_source *)source;

	event_del(&input->retry);
	input_close_all(input);
	input_free(input);
}

/* ---- handover, the predecessor ---- */

static void input_transfer_values(struct input_source *input, struct state *state)
{
	int number = (int)input->state;

	state_choice(state, "input_state", &number, INPUT_ENDED + 1);
	input->state = (enum input_state)number;
	state_bool(state, "was_open", &input->was_open);
	state_bool(state, "replaced", &input->replaced);
	state_bool(state, "read_since_rewind", &input->read_since_rewind);
	state_bool(state, "missing", &input->missing);
	state_string(state, "missing_why", input->missing_why, sizeof(input->missing_why));
	state_string(state, "producer", input->producer, sizeof(input->producer));
	state_u64(state, "active_ns", &input->active_ns);
	state_u64(state, "opened_ns", &input->opened_ns);
	backoff_transfer(&input->backoff, state, "backoff");
	timer_transfer(&input->retry, state, "retry");
	filler_transfer(input->filler, state);
}

static void input_save(struct source *source, struct state *state)
{
	struct input_source *input = (struct input_source *)source;

	input_transfer_values(input, state);
	state_descriptor(state, "fd", &input->fd);
	if (state_optional(state, "terminal", input->terminal)) {
		terminal_save(input->terminal, state);
		state_leave(state);
	}
	input_writer_transfer(&input->writer, state, input->fd);
	if (state_optional(state, "accepts", input->acceptor)) {
		acceptor_save(input->acceptor, state);
		state_leave(state);
	}
	if (state_optional(state, "runs", input->command)) {
		command_save(input->command, state);
		state_leave(state);
	}
}

static const struct source_type input_type = {
	.save = input_save,
	.start = input_start,
	.pause = input_pause,
	.stop = input_stop,
	.is_busy = input_is_busy,
	.kill = input_kill,
	.adapt = input_adapt,
	.write = input_write,
	.close = input_close,
};

static const struct acceptor_callbacks input_acceptor_callbacks = {
	.accepted = input_producer_accepted,
};

static bool input_open_acceptor(struct input_source *input, const struct names *names,
				char wrong[ACCEPTOR_WRONG])
{
	input->acceptor =
		acceptor_open(input->base, input->settings->name, input->source.text, &input->input,
			      names, &input_acceptor_callbacks, input, wrong);
	return input->acceptor;
}

/* Return: the source with nothing open; NULL, and @wrong says why. */
static struct input_source *input_create(struct event_base *base,
					 const struct stream_settings *settings, struct ring *ring,
					 const struct source_callbacks *callbacks, void *argument,
					 const char **wrong)
{
	struct input_source *input = calloc(1, sizeof(*input));

	if (!input)
		return NULL;
	source_init(&input->source, &input_type, settings->input.first, callbacks, argument);
	input->base = base;
	input->settings = settings;
	input->fd = -1;
	backoff_reset(&input->backoff);
	input_writer_init(&input->writer, base, input_writable, input);
	evtimer_assign(&input->retry, base, input_retry_due, input);
	evtimer_assign(&input->silence, base, input_silence_due, input);
	input->filler =
		filler_create(base, settings, ring, callbacks, argument, input_resume, input);
	if (!input->filler || !input_parse(settings->input.first, &input->input, wrong)) {
		input_free(input);
		return NULL;
	}
	input->reopens = settings->on_end == ON_END_WAIT ||
			 (settings->on_end == ON_END_AUTO && input->input.kind != INPUT_STDIN &&
			  input->input.kind != INPUT_PATH);
	return input;
}

struct source *source_input_open(struct event_base *base, const struct stream_settings *settings,
				 struct ring *ring, const struct names *names,
				 const struct source_callbacks *callbacks, void *argument)
{
	const char *wrong = "no memory";
	struct input_source *input =
		input_create(base, settings, ring, callbacks, argument, &wrong);
	char acceptor_wrong[ACCEPTOR_WRONG];

	if (!input)
		goto fail;
	/* A path that is missing is an error without on-end = wait; a peer or a command may come later.
	 * A terminal of the former stream is opened at the start, which follows its end. */
	if (input->input.kind == INPUT_STDIN ||
	    (input->input.kind == INPUT_PATH && !input_is_claimed(input))) {
		input_watch_path(input);
		wrong = settings->on_demand && input->input.kind == INPUT_PATH
				? input_check_path(input)
				: input_open_path(input);
		if (wrong && input->missing && input->reopens)
			input_log_missing(input, wrong);
		else if (wrong)
			goto fail;
	}
	/* An address that is taken is an error now, as for `listen`. */
	if (input_listens(input->input.kind) &&
	    !input_open_acceptor(input, names, acceptor_wrong)) {
		wrong = acceptor_wrong;
		goto fail;
	}
	return &input->source;
fail:
	log_error("stream %s: input = %s: %s", settings->name, settings->input.first, wrong);
	if (input)
		input_free(input);
	return NULL;
}

/* ---- handover, the successor ---- */

static void input_restore_descriptor(struct input_source *input, struct state *state)
{
	struct stat status;
	int fd = -1;

	state_descriptor(state, "fd", &fd);
	if (fd >= 0 && !fstat(fd, &status))
		input_set_descriptor(input, fd, &status);
	if (!state_optional(state, "terminal", false))
		return;
	input->terminal = terminal_restore(input->fd, state);
	state_leave(state);
}

static void input_restore_parts(struct input_source *input, struct state *state)
{
	input_restore_descriptor(input, state);
	input_writer_transfer(&input->writer, state, input->fd);
	if (state_optional(state, "accepts", false)) {
		input->acceptor =
			acceptor_restore(input->base, input->settings->name, input->source.text,
					 &input->input, &input_acceptor_callbacks, input, state);
		state_leave(state);
	}
	if (state_optional(state, "runs", false)) {
		input->command = command_restore(input->base, input->settings->name,
						 input_command_ended, input, state);
		state_leave(state);
	}
}

/* Return: NULL, or what the state of the input has not, or must not have. */
static const char *input_contradiction(const struct input_source *input)
{
	enum input_kind kind = input->input.kind;
	bool listens = input_listens(kind), has_ended = input->state == INPUT_ENDED;

	if (input->fd < 0 && (input->state == INPUT_READING || input->state == INPUT_STARVED ||
			      input->state == INPUT_FOLLOWING))
		return "there is no descriptor";
	if (input->state == INPUT_FOLLOWING && !input->is_regular)
		return "the descriptor is no regular file";
	if (input->state == INPUT_DIALING && !input_connects(kind))
		return "the input does not connect";
	if (input->state == INPUT_LISTENING && !listens)
		return "the input does not listen";
	if (listens ? !input->acceptor != has_ended : input->acceptor != NULL)
		return "whether it listens contradicts the state";
	if (input->command && kind != INPUT_EXEC)
		return "the input is no command";
	if (input->state != INPUT_RETRYING && evtimer_pending(&input->retry, NULL))
		return "retry: contradicts the state";
	return NULL;
}

/* The time of the handover is not the silence of the producer. */
static void input_watch_silence(struct input_source *input)
{
	const struct timeval later = { .tv_sec = 1 };

	if (input->settings->input_timeout)
		event_add(&input->silence, &later);
}

/* Return true if the path or the file was changed while nothing watched it, or may have been. */
static bool input_may_have_changed(const struct input_source *input)
{
	struct stat status;

	if (input->state != INPUT_FOLLOWING)
		return true;
	return fstat(input->fd, &status) || input_is_replaced(input) ||
	       status.st_size != lseek(input->fd, 0, SEEK_CUR);
}

static void input_watch_restored_path(struct input_source *input)
{
	input_watch_path(input);
	if (!input->watch)
		return;
	if (input->is_regular)
		path_watch_arm(input->watch, true);
	if (input_may_have_changed(input))
		path_watch_report(input->watch);
}

/* Continue in the state that was restored. A source that is STARVED waits for its filler. */
static void input_continue(struct input_source *input, struct state *state)
{
	if (input->state != INPUT_ENDED)
		input_watch_restored_path(input);
	switch (input->state) {
	case INPUT_READING:
		if (!input_add_readable(input))
			state_fail(state, "no memory");
		input_watch_silence(input);
		break;
	case INPUT_DIALING:
		if (!input_call(input))
			state_fail(state, "no memory");
		break;
	case INPUT_RETRYING:
		/* Without a timer or a command to wait for nothing would follow. */
		if (!input->command && !evtimer_pending(&input->retry, NULL))
			input_retry_later(input);
		break;
	default:
		break;
	}
}

struct source *source_input_restore(struct event_base *base, const struct stream_settings *settings,
				    struct ring *ring, const struct source_callbacks *callbacks,
				    void *argument, struct state *state)
{
	const char *wrong = "no memory";
	struct input_source *input =
		input_create(base, settings, ring, callbacks, argument, &wrong);

	if (!input) {
		state_fail(state, "%s", wrong);
		return NULL;
	}
	source_transfer(&input->source, state);
	input_transfer_values(input, state);
	input_restore_parts(input, state);
	wrong = state_failed(state) ? NULL : input_contradiction(input);
	if (wrong)
		state_fail(state, "%s", wrong);
	if (!state_failed(state))
		input_continue(input, state);
	return &input->source;
}
