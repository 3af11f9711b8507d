/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to standard error, one line an event. Under systemd (JOURNAL_STREAM is set) each line
 * starts with the priority that journald reads, such as "<4>"; elsewhere with the program's name.
 * Nothing waits for a slow reader: messages are lost, and a line says how many.
 */
#ifndef DMACAST_LOG_H
#define DMACAST_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

/* The numbers are those of syslog(3), which journald reads. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/**
 * log_init() - set the name of the program, and find out from the environment if journald reads.
 * @program: name before each line; kept, not copied
 */
void log_init(const char *program);

/** log_set_level() - drop messages less important than @level. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/** log_get_level() - return the least important level that is logged. */
enum log_level log_get_level(void);

/**
 * log_collect() - from now on, append warnings and errors to @text, too, a line each.
 * @text: empty; lines that do not fit are left out. NULL: stop collecting
 */
void log_collect(char *text, size_t size);

/** log_message() - write one line; control characters in it are replaced. errno is kept. */
void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * A limit for events that a peer can cause as often as it likes: a burst of lines an interval. The
 * first line after it says how many were suppressed: "... (12 more suppressed)".
 */
struct log_limit {
	uint64_t interval_start_ns; /* monotonic */
	unsigned int burst;	    /* lines in an interval; 0: LOG_LIMIT_BURST */
	unsigned int passed;	    /* lines of this interval */
	unsigned int suppressed;    /* lines since the last one that passed */
};

#define LOG_LIMIT_BURST 10
#define LOG_LIMIT_INTERVAL_NS 5000000000ULL

/**
 * log_limited() - write one line as log_message() does, unless @limit suppresses it.
 * @limit: one for each kind of event and each stream; all zero at first, except `burst`
 */
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * log_limit_pass() - return true if @limit lets a line pass, and count it.
 * @now_ns: monotonic time
 * @suppressed: out: number of lines suppressed since the last one that passed
 */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned int *suppressed);

/** log_limit_transfer() - save or restore the object @name, without the burst; see state.h. */
void log_limit_transfer(struct log_limit *limit, struct state *state, const char *name);

#endif
