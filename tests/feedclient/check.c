// SPDX-License-Identifier: BSD-2-Clause
/*
 * feedclient - many clients of one feed, which check every byte they receive.
 *
 * Opens --clients connections to HOST:PORT and serves them all from one epoll loop. The feed has to
 * be the test pattern of pattern.h, so each byte is checked against its place in the stream. One
 * line of key=value pairs on stdout says what happened, each failure has a line on stderr.
 *
 *   clients, connected     how many were wanted, how many were connected at least once
 *   ended, resets          connections the server ended in order (EOF), or with a reset
 *   bytes_*                received by the clients that do not stall
 *   first_offset_*         stream offsets of the connections' first bytes, "none" without any
 *   gaps, gap_bytes        forward jumps of the stream (--allow-gaps) and what they left out
 *   cut_gaps               those gaps of them that begin within a block
 *   bad                    connections with wrong bytes
 *   unsure                 connections that ended less than 16 bytes behind a gap: it was guessed
 *   seconds, rate          since all were connected: the time, and bytes per second
 *   joins, left, done      connections made, left by --leave or --reset, closed after --bytes
 *   stalled_ended, stalled_resets   as "ended" and "resets", of the stalled clients alone
 *   sent                   bytes of rubbish sent to the server
 *   errors                 failures; the exit status is 1 when there are any
 *
 * This is plain epoll on purpose: a test must not share the machinery of what it tests.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../command_line.h"
#include "lib/pattern.h"
#include "lib/units.h"

#define BUFFER_SIZE (256 * 1024)
#define MAX_CLIENTS 10000
#define MAX_EVENTS 256

/* So many connect at once: more would only overflow the server's listen queue. */
#define MAX_CONNECTING 128

/* Failures beyond this many are counted, not printed. */
#define MAX_FAILURE_LINES 50

/* Two words tell a stream offset for sure. */
#define LOCATE_BYTES (2 * PATTERN_WORD)

/*
 * A jump of the stream shows at the first wrong byte, but the bytes on both sides of it may be
 * equal for a while: the jump itself can be this many bytes before the first wrong one.
 */
#define HISTORY_BYTES 16

/* History, and the fewer than LOCATE_BYTES that cannot be judged before more have come. */
#define CARRY_BYTES (HISTORY_BYTES + LOCATE_BYTES)

#define NS_PER_S UINT64_C(1000000000)
#define TICK_NS UINT64_C(10000000)
#define TICKS_PER_S (NS_PER_S / TICK_NS)
#define RETRY_NS UINT64_C(20000000)

#define UNSET UINT64_MAX
#define NEVER UINT64_MAX

enum role { ROLE_PLAIN, ROLE_STALL, ROLE_RESET, ROLE_LEAVE };

enum state {
	STATE_WAITING, /* for its turn to connect, or for the time to try again */
	STATE_CONNECTING,
	STATE_RUNNING,
	STATE_STALLED, /* connected, but does not read (any more) */
	STATE_ENDED,
};

/* How a connection ended. */
enum ending {
	ENDING_NONE,
	ENDING_EOF,
	ENDING_RESET,
	ENDING_DONE,	/* --bytes */
	ENDING_LEFT,	/* --reset, --leave */
	ENDING_STOPPED, /* was still there when the run ended */
	ENDING_FAILED,	/* wrong bytes, no connection, a strange error */
	ENDINGS,
};

enum verdict { RIGHT, UNDECIDED, WRONG };

/* What a client knows of the stream; starts anew with each connection. */
struct check {
	bool located;
	uint64_t expected; /* stream offset of the next byte to check */
	uint64_t position; /* the same byte, counted from the connection's first one */
	size_t carry_checked;
	size_t carry_length;
	unsigned char carry[CARRY_BYTES];
};

TAILQ_HEAD(client_list, client);

struct client {
	unsigned int number; /* from 1 */
	int fd;
	enum role role;
	enum state state;
	enum ending ending; /* of the last connection */
	uint64_t joins;
	uint64_t received; /* on this connection */
	uint64_t total;	   /* on all connections */
	uint64_t sent;
	bool sending;
	bool reset_seen; /* the error is gone from the socket, recv() will see an end */
	uint32_t watched;
	double credit; /* bytes that --rate lets it read now */
	uint64_t credit_at;
	uint64_t not_before;
	uint64_t give_up_at;
	int connect_error;	  /* why it tries again to connect */
	struct client_list *list; /* the one list it is in, or NULL */
	TAILQ_ENTRY(client) link;
	struct check check;
};

/* The bytes at hand of one connection: the first @checked of them are known to be right. */
struct window {
	const unsigned char *bytes;
	size_t checked;
	size_t length;
};

/* A place in a window where the stream goes on at another offset. */
struct jump {
	size_t at;
	uint64_t from;
	uint64_t to;
};

static struct options {
	uint64_t clients;
	uint64_t bytes;
	double seconds;
	bool until_end;
	bool allow_end;
	bool allow_reset;
	const char *expect_end;
	uint64_t expect_bytes;
	bool from_start;
	bool allow_gaps;
	bool block_gaps;
	uint64_t block_size;
	bool discard;
	uint64_t rate;
	uint64_t rcvbuf;
	uint64_t read_size;
	uint64_t stall;
	uint64_t stall_after;
	uint64_t reset;
	uint64_t reset_after;
	uint64_t leave;
	uint64_t leave_after;
	bool churn;
	bool half_close;
	uint64_t send;
	uint64_t ready_fd;
	const char *ready;
	bool progress;
	uint64_t min_rate;
	double spread;
	const char *source;
	uint64_t connect_timeout;
	uint64_t generate;
	const char *check_file;
	bool help;
} opt = {
	.clients = 1,
	.bytes = UNSET,
	.seconds = INFINITY,
	.expect_bytes = UNSET,
	.block_size = PATTERN_WORD,
	.rate = UNITS_RATE_MAX,
	.read_size = BUFFER_SIZE,
	.ready_fd = UNSET,
	.spread = INFINITY,
	.connect_timeout = 5000000,
	.generate = UNSET,
};

/* What the report says of all connections together. */
static struct {
	uint64_t endings[ENDINGS];
	uint64_t stalled_endings[ENDINGS];
	uint64_t connected;
	uint64_t joins;
	uint64_t bytes;
	uint64_t sent;
	uint64_t first_offset_min;
	uint64_t first_offset_max;
	uint64_t gaps;
	uint64_t gap_bytes;
	uint64_t cut_gaps;
	uint64_t unsure;
	uint64_t bad;
	uint64_t failures;
} tally = { .first_offset_min = UINT64_MAX };

static struct {
	struct client *clients;
	int epoll;
	struct sockaddr_storage server;
	socklen_t server_length;
	struct sockaddr_storage source;
	socklen_t source_length;
	struct client_list waiting;
	struct client_list connecting;
	struct client_list paused;
	unsigned int connecting_count;
	uint64_t awaited; /* clients that the run waits for: see awaited_rank() */
	int awaited_rank;
	uint64_t now;
	uint64_t tick_at;
	uint64_t progress_at;
	uint64_t progress_bytes;
	uint64_t started_at; /* all connected, or NEVER */
	uint64_t started_bytes;
	uint64_t ended_at;
	uint64_t deadline;
	bool connect_failed;
	bool stopping;
} run = {
	.epoll = -1,
	.waiting = TAILQ_HEAD_INITIALIZER(run.waiting),
	.connecting = TAILQ_HEAD_INITIALIZER(run.connecting),
	.paused = TAILQ_HEAD_INITIALIZER(run.paused),
	.progress_at = NEVER,
	.started_at = NEVER,
	.deadline = NEVER,
};

/* New data is received behind the room for what a client carries over from earlier. */
static unsigned char buffer[CARRY_BYTES + BUFFER_SIZE];

static volatile sig_atomic_t signalled;

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list arguments;

	if (tally.failures++ >= MAX_FAILURE_LINES)
		return;
	fputs("feedclient: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

__attribute__((format(printf, 1, 2), noreturn)) static void usage_error(const char *format, ...)
{
	va_list arguments;

	fputs("feedclient: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n(see feedclient --help)\n", stderr);
	exit(2);
}

/* ---- Checking the stream ---- */

/* Read the stream offset of @bytes from their content: one whole word at least, better two. */
static bool locate(const unsigned char *bytes, size_t length, uint64_t *offset)
{
	uint64_t word;

	if (length >= LOCATE_BYTES)
		return pattern_locate(bytes, offset);
	if (length < PATTERN_WORD)
		return false;
	memcpy(&word, bytes, sizeof(word));
	*offset = le64toh(word);
	return *offset % PATTERN_WORD == 0 && pattern_check(bytes, length, *offset) == length;
}

static size_t first_candidate(const struct window *window)
{
	return window->checked > HISTORY_BYTES ? window->checked - HISTORY_BYTES : 0;
}

static void place_jump(const struct check *check, const struct window *window, size_t at,
		       struct jump *jump)
{
	jump->at = at;
	jump->from = check->expected - (window->checked - at);
	jump->to = jump->from;
}

/* Any jump, also one that no server may make: for the text of a failure. */
static bool find_any_jump(const struct check *check, const struct window *window, struct jump *jump)
{
	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		place_jump(check, window, at, jump);
		if (window->length - at >= LOCATE_BYTES &&
		    pattern_locate(window->bytes + at, &jump->to) && jump->to != jump->from)
			return true;
	}
	return false;
}

/*
 * A jump forward to a whole block. There is only one place for it: its bytes tell their offset only
 * when read from a word's start, and a word that is the same before and after it is no jump. (Where
 * it begins within a word, two places a word apart are thinkable; the gap is the same in both.)
 */
static bool find_jump(const struct check *check, const struct window *window, struct jump *jump)
{
	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		place_jump(check, window, at, jump);
		if (window->length - at >= LOCATE_BYTES &&
		    pattern_locate(window->bytes + at, &jump->to) && jump->to > jump->from &&
		    jump->to % opt.block_size == 0)
			return true;
	}
	return false;
}

/* The nearest place behind @from that a jump may lead to and whose word begins with these bytes. */
static bool nearest_landing(const unsigned char *bytes, size_t length, uint64_t from, uint64_t *to)
{
	uint64_t alignment = opt.block_size & -opt.block_size;
	uint64_t step = UINT64_C(1) << (8 * length);
	uint64_t word = 0;

	memcpy(&word, bytes, length);
	word = le64toh(word);
	if (word % alignment)
		return false;
	if (step < alignment)
		step = alignment;
	*to = from - from % step + word;
	while (*to <= from || *to % opt.block_size)
		*to += step;
	return true;
}

/*
 * The data ended so soon after a jump that its place cannot be read for sure: there must be some
 * place that fits, and the nearest one is the best guess.
 */
static bool guess_jump(const struct check *check, const struct window *window, struct jump *best)
{
	bool found = false;

	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		const unsigned char *bytes = window->bytes + at;
		size_t length = window->length - at;
		struct jump jump;
		bool fits;

		place_jump(check, window, at, &jump);
		if (length < PATTERN_WORD)
			fits = nearest_landing(bytes, length, jump.from, &jump.to);
		else
			fits = length < LOCATE_BYTES && locate(bytes, length, &jump.to) &&
			       jump.to > jump.from && jump.to % opt.block_size == 0;
		if (fits && (!found || jump.to - jump.from < best->to - best->from)) {
			*best = jump;
			found = true;
		}
	}
	return found;
}

static const char *hex(const unsigned char *bytes, size_t length, char text[3 * LOCATE_BYTES + 1])
{
	char *end = text;

	*end = '\0';
	for (size_t i = 0; i < length && i < LOCATE_BYTES; i++)
		end += sprintf(end, " %02x", bytes[i]);
	return text;
}

/* Say what the wrong bytes are, when they are pattern bytes of another place. */
static void describe_jump(const struct client *client, const struct window *window, char *text,
			  size_t size)
{
	const struct check *check = &client->check;
	struct jump jump;

	text[0] = '\0';
	if (!check->located || !find_any_jump(check, window, &jump))
		return;
	snprintf(text, size,
		 "; byte %" PRIu64 " goes on with stream offset %" PRIu64 ", %" PRIu64 " %s",
		 check->position - (window->checked - jump.at), jump.to,
		 jump.to > jump.from ? jump.to - jump.from : jump.from - jump.to,
		 jump.to > jump.from ? "ahead" : "back");
}

static void report_mismatch(const struct client *client, const struct window *window)
{
	const struct check *check = &client->check;
	unsigned char expected[LOCATE_BYTES];
	char expected_text[3 * LOCATE_BYTES + 1], found_text[3 * LOCATE_BYTES + 1], jump_text[128];

	pattern_fill(expected, sizeof(expected), check->expected);
	describe_jump(client, window, jump_text, sizeof(jump_text));
	fail("client %u: wrong byte at stream offset %" PRIu64 " (byte %" PRIu64
	     " of the connection): expected%s, found%s%s",
	     client->number, check->expected, check->position,
	     hex(expected, sizeof(expected), expected_text),
	     hex(window->bytes + window->checked, window->length - window->checked, found_text),
	     jump_text);
}

static void report_no_pattern(struct client *client, struct window *window)
{
	char text[3 * LOCATE_BYTES + 1];

	if (opt.from_start) {
		window->checked = pattern_check(window->bytes, window->length, 0);
		client->check.expected = client->check.position = window->checked;
		report_mismatch(client, window);
		return;
	}
	fail("client %u: the first bytes are no pattern: found%s", client->number,
	     hex(window->bytes, window->length, text));
}

/* The connection ended within the first word: there is not much to check. */
static enum verdict check_few_bytes(struct client *client, struct window *window)
{
	uint64_t word = 0;
	bool right;

	memcpy(&word, window->bytes, window->length);
	if (opt.from_start)
		right = word == 0;
	else
		right = le64toh(word) % PATTERN_WORD == 0;
	if (!right) {
		report_no_pattern(client, window);
		return WRONG;
	}
	window->checked = window->length;
	return RIGHT;
}

/* Learn from the first two words where in the stream this connection begins. */
static enum verdict check_start(struct client *client, struct window *window, bool last)
{
	uint64_t offset;

	if (window->length < LOCATE_BYTES && !last)
		return UNDECIDED;
	if (window->length < PATTERN_WORD)
		return check_few_bytes(client, window);
	if (!locate(window->bytes, window->length, &offset)) {
		report_no_pattern(client, window);
		return WRONG;
	}
	tally.first_offset_min = min_u64(tally.first_offset_min, offset);
	if (offset > tally.first_offset_max)
		tally.first_offset_max = offset;
	if (opt.from_start && offset != 0) {
		fail("client %u: starts at stream offset %" PRIu64 ", not at 0", client->number,
		     offset);
		return WRONG;
	}
	client->check.expected = offset;
	client->check.located = true;
	return RIGHT;
}

static bool count_gap(const struct client *client, const struct jump *jump)
{
	tally.gaps++;
	tally.gap_bytes += jump->to - jump->from;
	if (jump->from % opt.block_size == 0)
		return true;
	tally.cut_gaps++;
	if (opt.block_gaps)
		fail("client %u: the gap at stream offset %" PRIu64 " begins within a block",
		     client->number, jump->from);
	return !opt.block_gaps;
}

/* Go on after the jump; what was before it is no history of what follows. */
static void follow_jump(struct check *check, struct window *window, const struct jump *jump)
{
	check->position -= window->checked - jump->at;
	check->expected = jump->to;
	window->bytes += jump->at;
	window->length -= jump->at;
	window->checked = 0;
}

/* The byte behind the checked ones is wrong: is that a gap? */
static enum verdict check_mismatch(struct client *client, struct window *window, bool last)
{
	struct check *check = &client->check;
	struct jump jump;

	if (window->length - window->checked < LOCATE_BYTES && !last)
		return UNDECIDED;
	if (opt.allow_gaps && find_jump(check, window, &jump)) {
		follow_jump(check, window, &jump);
	} else if (opt.allow_gaps && last && guess_jump(check, window, &jump)) {
		tally.unsure++;
		window->checked = window->length;
	} else {
		report_mismatch(client, window);
		return WRONG;
	}
	return count_gap(client, &jump) ? RIGHT : WRONG;
}

static enum verdict check_window(struct client *client, struct window *window, bool last)
{
	struct check *check = &client->check;
	enum verdict verdict = check->located ? RIGHT : check_start(client, window, last);

	while (verdict == RIGHT && window->checked < window->length) {
		size_t right = pattern_check(window->bytes + window->checked,
					     window->length - window->checked, check->expected);

		window->checked += right;
		check->expected += right;
		check->position += right;
		if (window->checked < window->length)
			verdict = check_mismatch(client, window, last);
	}
	return verdict;
}

static void carry_over(struct check *check, const struct window *window)
{
	size_t from = first_candidate(window);

	check->carry_checked = window->checked - from;
	check->carry_length = window->length - from;
	memcpy(check->carry, window->bytes + from, check->carry_length);
}

/* Check @length bytes behind the carry room of the buffer. Return: false when they are wrong. */
static bool check_received(struct client *client, size_t length, bool last)
{
	struct check *check = &client->check;
	unsigned char *start = buffer + CARRY_BYTES - check->carry_length;
	struct window window = { .bytes = start,
				 .checked = check->carry_checked,
				 .length = check->carry_length + length };

	if (opt.discard)
		return true;
	memcpy(start, check->carry, check->carry_length);
	if (check_window(client, &window, last) == WRONG) {
		tally.bad++;
		return false;
	}
	carry_over(check, &window);
	return true;
}

/* Judge what was left undecided, now that nothing more comes. */
static bool check_finish(struct client *client)
{
	return check_received(client, 0, true);
}

/* ---- The life of a client ---- */

static void list_move(struct client *client, struct client_list *list)
{
	if (client->list == &run.connecting)
		run.connecting_count--;
	if (list == &run.connecting)
		run.connecting_count++;
	if (client->list)
		TAILQ_REMOVE(client->list, client, link);
	client->list = list;
	if (list)
		TAILQ_INSERT_TAIL(list, client, link);
}

/*
 * Watch for just these events. Without any the socket leaves the epoll set, because EPOLLHUP and
 * EPOLLERR cannot be switched off and would make the loop spin.
 */
static void watch(struct client *client, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = client };
	int operation = !client->watched ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (client->watched == events)
		return;
	if (epoll_ctl(run.epoll, operation, client->fd, &event) < 0)
		fail("client %u: epoll_ctl: %s", client->number, strerror(errno));
	client->watched = events;
}

static void watch_connected(struct client *client)
{
	uint32_t events = client->sending ? EPOLLOUT : 0;

	if (client->state == STATE_STALLED)
		events |= EPOLLRDHUP;
	else if (client->list != &run.paused)
		events |= EPOLLIN;
	watch(client, events);
}

static void close_socket(struct client *client)
{
	if (client->fd < 0)
		return;
	watch(client, 0);
	close(client->fd);
	client->fd = -1;
}

static bool end_expected(enum ending ending)
{
	bool any = opt.expect_end && !strcmp(opt.expect_end, "any");

	if (ending == ENDING_EOF)
		return opt.until_end || opt.allow_end || any ||
		       (opt.expect_end && !strcmp(opt.expect_end, "end"));
	if (ending == ENDING_RESET)
		return opt.allow_reset || any ||
		       (opt.expect_end && !strcmp(opt.expect_end, "reset"));
	return true;
}

/*
 * Whom the run waits for: it is over when all clients of the lowest rank there is have ended.
 * Clients that stall or come and go for ever do so beside others, unless there are no others.
 */
static int awaited_rank(const struct client *client)
{
	if (client->role == ROLE_STALL)
		return 2;
	return client->role != ROLE_PLAIN && opt.churn ? 1 : 0;
}

static void client_over(struct client *client, enum ending ending)
{
	client->ending = ending;
	client->state = STATE_ENDED;
	if (awaited_rank(client) == run.awaited_rank)
		run.awaited--;
}

static void connect_later(struct client *client, uint64_t not_before)
{
	client->state = STATE_WAITING;
	client->not_before = not_before;
	list_move(client, &run.waiting);
}

static void client_end(struct client *client, enum ending ending)
{
	if (ending != ENDING_FAILED && !check_finish(client))
		ending = ENDING_FAILED;
	tally.endings[ending]++;
	if (client->role == ROLE_STALL)
		tally.stalled_endings[ending]++;
	if (!end_expected(ending))
		fail("client %u: the server %s the connection after %" PRIu64 " bytes",
		     client->number, ending == ENDING_EOF ? "ended" : "reset", client->received);
	list_move(client, NULL);
	/* A stalled client keeps its socket, so that the server has to cope with it to the end. */
	if (client->state == STATE_STALLED)
		watch(client, 0);
	else
		close_socket(client);
	if (ending == ENDING_LEFT && opt.churn && !run.stopping)
		connect_later(client, run.now);
	else
		client_over(client, ending);
}

static void abort_connection(struct client *client)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	client_end(client, ENDING_LEFT);
}

/* After so many bytes this client does what its role demands. */
static uint64_t role_goal(const struct client *client)
{
	switch (client->role) {
	case ROLE_STALL:
		return opt.stall_after;
	case ROLE_RESET:
		return opt.reset_after;
	case ROLE_LEAVE:
		return opt.leave_after;
	case ROLE_PLAIN:
		break;
	}
	return UNSET;
}

static uint64_t client_goal(const struct client *client)
{
	return min_u64(role_goal(client), opt.bytes);
}

static void goal_reached(struct client *client)
{
	if (client->received < role_goal(client)) {
		client_end(client, ENDING_DONE);
	} else if (client->role == ROLE_STALL) {
		client->state = STATE_STALLED;
		list_move(client, NULL);
		watch_connected(client);
	} else if (client->role == ROLE_RESET) {
		abort_connection(client);
	} else {
		client_end(client, ENDING_LEFT);
	}
}

/* ---- Reading, with or without a limit ---- */

/* Worth waking up for: what --rate allows in a tick, but at least a byte. */
static double tick_credit(void)
{
	double bytes = (double)opt.rate * TICK_NS / NS_PER_S;

	return bytes < 1 ? 1 : bytes;
}

static void refill_credit(struct client *client)
{
	double seconds = (double)(run.now - client->credit_at) / NS_PER_S;

	client->credit += seconds * (double)opt.rate;
	/* A client that found nothing to read must not make up for more than some ticks. */
	if (client->credit > 10 * tick_credit())
		client->credit = 10 * tick_credit();
	client->credit_at = run.now;
}

static void pause_reading(struct client *client)
{
	list_move(client, &run.paused);
	watch_connected(client);
}

static void resume_reading(void)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&run.paused); client; client = next) {
		next = TAILQ_NEXT(client, link);
		refill_credit(client);
		if (client->credit >= tick_credit()) {
			list_move(client, NULL);
			watch_connected(client);
		}
	}
}

/* How much may be read at once; 0 when --rate says to wait: not for less than a tick's worth. */
static size_t read_limit(struct client *client)
{
	uint64_t limit = min_u64(opt.read_size, client_goal(client) - client->received);

	if (opt.rate == UNITS_RATE_MAX)
		return limit;
	refill_credit(client);
	return client->credit < tick_credit() ? 0 : min_u64(limit, (uint64_t)client->credit);
}

static void connection_failed(struct client *client, int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return;
	case ECONNRESET:
		client_end(client, ENDING_RESET);
		return;
	case EPIPE: /* a reset after the end: all there was has come, in order */
		client_end(client, ENDING_EOF);
		return;
	}
	fail("client %u: %s", client->number, strerror(error));
	client_end(client, ENDING_FAILED);
}

static void count_received(struct client *client, size_t length)
{
	client->received += length;
	client->total += length;
	client->credit -= (double)length;
	if (client->role != ROLE_STALL)
		tally.bytes += length;
}

static void receive(struct client *client)
{
	size_t limit = read_limit(client);
	ssize_t length;

	if (!limit) {
		pause_reading(client);
		return;
	}
	length = recv(client->fd, buffer + CARRY_BYTES, limit, opt.discard ? MSG_TRUNC : 0);
	if (length < 0) {
		connection_failed(client, errno);
	} else if (length == 0) {
		client_end(client, client->reset_seen ? ENDING_RESET : ENDING_EOF);
	} else {
		count_received(client, (size_t)length);
		if (!check_received(client, (size_t)length, false))
			client_end(client, ENDING_FAILED);
		else if (client->received >= client_goal(client))
			goal_reached(client);
	}
}

/* ---- Sending rubbish ---- */

static void stop_sending(struct client *client)
{
	client->sending = false;
	if (opt.half_close)
		shutdown(client->fd, SHUT_WR);
	watch_connected(client);
}

static void send_rubbish(struct client *client)
{
	static const unsigned char rubbish[16 * 1024] = { 'G', 'E', 'T', ' ', '/', '\r', '\n' };
	size_t length = min_u64(sizeof(rubbish), opt.send - client->sent);
	ssize_t sent = send(client->fd, rubbish, length, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		/* How the connection ended is for receive() to say, after the data still there. */
		client->reset_seen |= errno == ECONNRESET;
		stop_sending(client);
		return;
	}
	client->sent += (uint64_t)sent;
	tally.sent += (uint64_t)sent;
	if (client->sent == opt.send)
		stop_sending(client);
}

/* ---- Connecting ---- */

static void announce(int fd)
{
	static const char text[] = "ready\n";

	if (write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		fail("cannot tell that all are connected: %s", strerror(errno));
	if (fd > STDERR_FILENO)
		close(fd);
}

static void all_connected(void)
{
	run.started_at = run.now;
	run.started_bytes = tally.bytes;
	if (isfinite(opt.seconds))
		run.deadline = run.now + (uint64_t)(opt.seconds * NS_PER_S);
	if (opt.progress)
		run.progress_at = run.now + NS_PER_S;
	run.progress_bytes = tally.bytes;
	if (opt.ready_fd != UNSET)
		announce((int)opt.ready_fd);
	if (opt.ready) {
		int fd = open(opt.ready, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

		if (fd < 0)
			fail("%s: %s", opt.ready, strerror(errno));
		else
			announce(fd);
	}
}

static void connected(struct client *client, bool reset_seen)
{
	list_move(client, NULL);
	client->state = STATE_RUNNING;
	client->give_up_at = 0;
	client->connect_error = 0;
	client->received = 0;
	client->sent = 0;
	client->reset_seen = reset_seen;
	client->sending = opt.send > 0;
	client->credit = tick_credit();
	client->credit_at = run.now;
	memset(&client->check, 0, sizeof(client->check));
	tally.joins++;
	if (client->joins++ == 0 && ++tally.connected == opt.clients)
		all_connected();
	if (!client->sending)
		stop_sending(client);
	if (client_goal(client) == 0)
		goal_reached(client);
	else
		watch_connected(client);
}

static bool worth_a_retry(int error)
{
	/* EADDRNOTAVAIL: out of local ports for now, as --churn uses them up quickly. */
	return error == ECONNREFUSED || error == EADDRNOTAVAIL;
}

static void connect_failed(struct client *client, const char *what, int error)
{
	close_socket(client);
	if (worth_a_retry(error) && run.now < client->give_up_at) {
		client->connect_error = error;
		connect_later(client, run.now + RETRY_NS);
		return;
	}
	list_move(client, NULL);
	if (client->joins && error == ECONNREFUSED && end_expected(ENDING_EOF)) {
		/* The server has ended while this client was away: fine, as for the others. */
		client_over(client, ENDING_LEFT);
		return;
	}
	fail("client %u: %s: %s", client->number, what, strerror(error));
	tally.endings[ENDING_FAILED]++;
	client_over(client, ENDING_FAILED);
	run.connect_failed = true;
}

/* Return: the name of the call that failed, with errno, or NULL. */
static const char *open_socket(struct client *client)
{
	static const int one = 1;
	int rcvbuf = (int)opt.rcvbuf;

	client->fd = socket(run.server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return "socket";
	if (opt.rcvbuf &&
	    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) < 0)
		return "SO_RCVBUF";
	if (!run.source_length)
		return NULL;
	/* Best effort: leaves the choice of the port to connect(), which has more of them. */
	setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(client->fd, (const struct sockaddr *)&run.source, run.source_length) < 0)
		return "bind";
	return NULL;
}

static void start_connect(struct client *client)
{
	const char *failed_call;

	client->state = STATE_CONNECTING;
	list_move(client, &run.connecting);
	if (!client->give_up_at)
		client->give_up_at = run.now + opt.connect_timeout * 1000;
	failed_call = open_socket(client);
	if (failed_call)
		connect_failed(client, failed_call, errno);
	else if (connect(client->fd, (const struct sockaddr *)&run.server, run.server_length) == 0)
		connected(client, false);
	else if (errno == EINPROGRESS || errno == EINTR)
		watch(client, EPOLLOUT);
	else
		connect_failed(client, "connect", errno);
}

static int socket_error(const struct client *client)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	return error;
}

static void finish_connect(struct client *client)
{
	int error = socket_error(client);

	/* Neither error is from connecting: it is connected, but the server has closed already. */
	if (error && error != ECONNRESET && error != EPIPE)
		connect_failed(client, "connect", error);
	else
		connected(client, error == ECONNRESET);
}

static void start_connects(void)
{
	struct client *client;

	while (run.connecting_count < MAX_CONNECTING && !run.connect_failed) {
		client = TAILQ_FIRST(&run.waiting);
		if (!client || client->not_before > run.now)
			break;
		start_connect(client);
	}
}

static void expire_connects(void)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&run.connecting); client; client = next) {
		int error = client->connect_error ? client->connect_error : ETIMEDOUT;

		next = TAILQ_NEXT(client, link);
		if (client->give_up_at <= run.now)
			connect_failed(client, "connect", error);
	}
}

/* ---- The loop ---- */

static void stalled_event(struct client *client)
{
	int error = client->reset_seen ? ECONNRESET : socket_error(client);

	if (error)
		connection_failed(client, error);
	else
		client_end(client, ENDING_EOF);
}

static void client_event(struct client *client, uint32_t events)
{
	if (client->state == STATE_CONNECTING) {
		finish_connect(client);
		return;
	}
	if (client->sending && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		send_rubbish(client);
	if (client->state == STATE_STALLED && events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		stalled_event(client);
	else if (client->state == STATE_RUNNING && client->list != &run.paused &&
		 events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(client);
}

static void show_progress(void)
{
	if (run.now < run.progress_at)
		return;
	fprintf(stderr, "progress: %.1f MiB received, %.1f MiB/s\n", (double)tally.bytes / 1048576,
		(double)(tally.bytes - run.progress_bytes) / 1048576);
	run.progress_bytes = tally.bytes;
	run.progress_at += NS_PER_S;
}

static void do_timed_work(void)
{
	run.now = clock_now();
	start_connects();
	show_progress();
	if (run.now < run.tick_at)
		return;
	run.tick_at = run.now + TICK_NS;
	expire_connects();
	resume_reading();
}

/* Milliseconds until something is due, -1 when nothing will be. */
static int wait_time(void)
{
	uint64_t due = min_u64(run.deadline, run.progress_at);

	if (!TAILQ_EMPTY(&run.waiting) || !TAILQ_EMPTY(&run.connecting) ||
	    !TAILQ_EMPTY(&run.paused))
		due = min_u64(due, run.tick_at);
	if (due == NEVER)
		return -1;
	return due <= run.now ? 0 : (int)min_u64((due - run.now + 999999) / 1000000, 60000);
}

static bool run_over(void)
{
	return signalled || run.connect_failed || run.now >= run.deadline ||
	       (run.started_at != NEVER && run.awaited == 0);
}

static void wait_for_events(const sigset_t *signals)
{
	struct epoll_event events[MAX_EVENTS];
	int count = epoll_pwait(run.epoll, events, MAX_EVENTS, wait_time(), signals);

	run.now = clock_now();
	for (int i = 0; i < count; i++)
		client_event(events[i].data.ptr, events[i].events);
}

static void stop_clients(void)
{
	run.stopping = true;
	run.ended_at = clock_now();
	if (run.connect_failed)
		return;
	if (run.started_at == NEVER)
		fail("only %" PRIu64 " of %" PRIu64 " clients were connected", tally.connected,
		     opt.clients);
	else if (opt.until_end && run.awaited)
		fail("%" PRIu64 " clients were not ended by the server", run.awaited);
}

static void close_clients(void)
{
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		if (client->state == STATE_RUNNING || client->state == STATE_STALLED)
			client_end(client, ENDING_STOPPED);
		close_socket(client);
	}
}

static void on_signal(int number)
{
	(void)number;
	signalled = 1;
}

/* Let signals in only while waiting for events: none is missed. Set *@unblocked to that mask. */
static void catch_signals(sigset_t *unblocked)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, unblocked);
	sigdelset(unblocked, SIGINT);
	sigdelset(unblocked, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static enum role role_of(uint64_t index)
{
	if (index < opt.stall)
		return ROLE_STALL;
	if (index < opt.stall + opt.reset)
		return ROLE_RESET;
	if (index < opt.stall + opt.reset + opt.leave)
		return ROLE_LEAVE;
	return ROLE_PLAIN;
}

static void count_awaited(const struct client *client)
{
	int rank = awaited_rank(client);

	if (rank < run.awaited_rank || !run.awaited) {
		run.awaited_rank = rank;
		run.awaited = 0;
	}
	if (rank == run.awaited_rank)
		run.awaited++;
}

static void create_clients(void)
{
	run.clients = calloc(opt.clients, sizeof(*run.clients));
	if (!run.clients)
		usage_error("out of memory");
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		client->number = (unsigned int)i + 1;
		client->fd = -1;
		client->role = role_of(i);
		count_awaited(client);
	}
}

static void run_network(void)
{
	sigset_t unblocked;

	raise_file_limit();
	catch_signals(&unblocked);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll < 0) {
		fail("epoll_create1: %s", strerror(errno));
		return;
	}
	for (uint64_t i = 0; i < opt.clients; i++)
		connect_later(&run.clients[i], 0);
	do_timed_work();
	while (!run_over()) {
		wait_for_events(&unblocked);
		do_timed_work();
	}
	stop_clients();
	close_clients();
	close(run.epoll);
}

/* ---- Without a network ---- */

static int open_check_file(void)
{
	if (!strcmp(opt.check_file, "-"))
		return STDIN_FILENO;
	return open(opt.check_file, O_RDONLY | O_CLOEXEC);
}

static enum ending read_file(struct client *client)
{
	while (client->received < opt.bytes) {
		ssize_t length = read(client->fd, buffer + CARRY_BYTES,
				      min_u64(opt.read_size, opt.bytes - client->received));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0) {
			fail("%s: %s", opt.check_file, strerror(errno));
			return ENDING_FAILED;
		}
		if (length == 0)
			return ENDING_EOF;
		count_received(client, (size_t)length);
		if (!check_received(client, (size_t)length, false))
			return ENDING_FAILED;
	}
	return ENDING_DONE;
}

/* The whole file, or "-" for stdin, as one client's connection. */
static void run_check_file(void)
{
	struct client *client = &run.clients[0];
	enum ending ending;

	client->fd = open_check_file();
	if (client->fd < 0) {
		fail("%s: %s", opt.check_file, strerror(errno));
		return;
	}
	run.started_at = clock_now();
	tally.connected = tally.joins = 1;
	ending = read_file(client);
	if (ending != ENDING_FAILED && !check_finish(client))
		ending = ENDING_FAILED;
	client->ending = ending;
	tally.endings[ending]++;
	run.ended_at = clock_now();
	close(client->fd);
}

static bool write_all(const unsigned char *bytes, size_t length)
{
	while (length) {
		ssize_t written = write(STDOUT_FILENO, bytes, length);

		if (written >= 0) {
			bytes += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			/* stdout is somebody else's nonblocking pipe or socket. */
			struct pollfd ready = { .fd = STDOUT_FILENO, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			fail("write: %s", strerror(errno));
			return false;
		}
	}
	return true;
}

static void sleep_until(uint64_t when)
{
	struct timespec time = { .tv_sec = (time_t)(when / NS_PER_S),
				 .tv_nsec = (long)(when % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

/* Wait for the next tick. Return: how much of the stream --rate wants written by then. */
static uint64_t next_allowance(uint64_t start, uint64_t *tick)
{
	if (opt.rate == UNITS_RATE_MAX)
		return UINT64_MAX;
	sleep_until(start + ++*tick * TICK_NS);
	return opt.rate / TICKS_PER_S * *tick + opt.rate % TICKS_PER_S * *tick / TICKS_PER_S;
}

static void run_generate(void)
{
	uint64_t start = clock_now(), tick = 0, offset = 0;
	uint64_t end = opt.generate ? opt.generate : UINT64_MAX;

	while (offset < end) {
		uint64_t allowed = min_u64(next_allowance(start, &tick), end);

		while (offset < allowed) {
			size_t length = min_u64(allowed - offset, BUFFER_SIZE);

			pattern_fill(buffer, length, offset);
			if (!write_all(buffer, length))
				return;
			offset += length;
		}
	}
}

/* ---- The report ---- */

struct spread {
	uint64_t count;
	uint64_t min;
	uint64_t median;
	uint64_t max;
};

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* How many bytes the clients received: the plain ones only, or all that do not stall. */
static struct spread measure_spread(bool plain_only)
{
	uint64_t *totals = calloc(opt.clients, sizeof(*totals));
	struct spread spread = { 0 };

	if (!totals)
		return spread;
	for (uint64_t i = 0; i < opt.clients; i++) {
		enum role role = run.clients[i].role;

		if (role == ROLE_PLAIN || (role != ROLE_STALL && !plain_only))
			totals[spread.count++] = run.clients[i].total;
	}
	qsort(totals, spread.count, sizeof(*totals), compare_u64);
	if (spread.count) {
		spread.min = totals[0];
		spread.median = totals[spread.count / 2];
		spread.max = totals[spread.count - 1];
	}
	free(totals);
	return spread;
}

static double elapsed_seconds(void)
{
	if (run.started_at == NEVER)
		return 0;
	return (double)(run.ended_at - run.started_at) / NS_PER_S;
}

static double total_rate(void)
{
	double seconds = elapsed_seconds();

	/* What came while others were still connecting does not count. */
	return seconds > 0 ? (double)(tally.bytes - run.started_bytes) / seconds : 0;
}

static const char *const ending_names[ENDINGS] = {
	[ENDING_NONE] = "was never made",     [ENDING_EOF] = "was ended",
	[ENDING_RESET] = "was reset",	      [ENDING_DONE] = "was closed after --bytes",
	[ENDING_STOPPED] = "was still there",
};

static void verify_ending(const struct client *client)
{
	enum ending ending = client->ending;

	/* The first have failed already, the second were meant to end themselves. */
	if (ending == ENDING_FAILED || ending == ENDING_LEFT)
		return;
	if ((ending != ENDING_EOF || !strcmp(opt.expect_end, "reset")) &&
	    (ending != ENDING_RESET || !strcmp(opt.expect_end, "end")))
		fail("client %u: the connection %s instead of the expected end (%s)",
		     client->number, ending_names[ending], opt.expect_end);
}

static void verify_clients(void)
{
	for (uint64_t i = 0; i < opt.clients; i++) {
		const struct client *client = &run.clients[i];

		if (opt.expect_end)
			verify_ending(client);
		if (opt.expect_bytes != UNSET && client->role == ROLE_PLAIN &&
		    client->total != opt.expect_bytes)
			fail("client %u: received %" PRIu64 " bytes, expected %" PRIu64,
			     client->number, client->total, opt.expect_bytes);
	}
}

static void verify_rates(void)
{
	struct spread spread = measure_spread(true);
	double percent =
		spread.max ? 100.0 * (double)(spread.max - spread.min) / (double)spread.max : 0;

	if (percent > opt.spread)
		fail("the clients received %" PRIu64 " to %" PRIu64
		     " bytes: %.1f %% apart, allowed are %.1f %%",
		     spread.min, spread.max, percent, opt.spread);
	if (total_rate() < (double)opt.min_rate)
		fail("the total rate is %.0f bytes/s, below %" PRIu64, total_rate(), opt.min_rate);
}

static void print_first_offsets(void)
{
	if (tally.first_offset_min > tally.first_offset_max)
		printf(" first_offset_min=none first_offset_max=none");
	else
		printf(" first_offset_min=%" PRIu64 " first_offset_max=%" PRIu64,
		       tally.first_offset_min, tally.first_offset_max);
}

static void print_report(void)
{
	struct spread spread = measure_spread(false);

	printf("clients=%" PRIu64 " connected=%" PRIu64 " ended=%" PRIu64 " resets=%" PRIu64,
	       opt.clients, tally.connected, tally.endings[ENDING_EOF],
	       tally.endings[ENDING_RESET]);
	printf(" bytes_total=%" PRIu64 " bytes_min=%" PRIu64 " bytes_median=%" PRIu64
	       " bytes_max=%" PRIu64,
	       tally.bytes, spread.min, spread.median, spread.max);
	print_first_offsets();
	printf(" gaps=%" PRIu64 " gap_bytes=%" PRIu64 " cut_gaps=%" PRIu64 " bad=%" PRIu64,
	       tally.gaps, tally.gap_bytes, tally.cut_gaps, tally.bad);
	printf(" seconds=%.3f rate=%.0f", elapsed_seconds(), total_rate());
	printf(" joins=%" PRIu64 " left=%" PRIu64 " done=%" PRIu64, tally.joins,
	       tally.endings[ENDING_LEFT], tally.endings[ENDING_DONE]);
	printf(" stalled_ended=%" PRIu64 " stalled_resets=%" PRIu64 " sent=%" PRIu64
	       " unsure=%" PRIu64 " errors=%" PRIu64 "\n",
	       tally.stalled_endings[ENDING_EOF], tally.stalled_endings[ENDING_RESET], tally.sent,
	       tally.unsure, tally.failures);
}

/* ---- The command line ---- */

static const struct setting setting_table[] = {
	{ "clients", COUNT, &opt.clients, "connections to open (1)" },
	{ "bytes", SIZE, &opt.bytes, "each client closes after so many bytes" },
	{ "seconds", NUMBER, &opt.seconds, "stop so long after all are connected" },
	{ "until-end", FLAG, &opt.until_end,
	  "until the server ends all connections; with --seconds: within that time" },
	{ "allow-end", FLAG, &opt.allow_end, "the server may end connections early" },
	{ "allow-reset", FLAG, &opt.allow_reset, "the server may reset connections" },
	{ "expect-end", TEXT, &opt.expect_end,
	  "all connections must have been ended so: end, reset or any" },
	{ "expect-bytes", SIZE, &opt.expect_bytes,
	  "each plain client must have received exactly so many" },
	{ "from-start", FLAG, &opt.from_start, "the first byte must be stream offset 0" },
	{ "allow-gaps", FLAG, &opt.allow_gaps,
	  "the stream may jump forward to a multiple of --block-size" },
	{ "block-size", SIZE, &opt.block_size, "see --allow-gaps (8)" },
	{ "block-gaps", FLAG, &opt.block_gaps,
	  "gaps must begin at a multiple of --block-size, too" },
	{ "discard", FLAG, &opt.discard, "count the bytes, do not check them" },
	{ "rate", RATE, &opt.rate, "each client reads at most so fast" },
	{ "rcvbuf", SIZE, &opt.rcvbuf, "SO_RCVBUF of the sockets" },
	{ "read-size", SIZE, &opt.read_size, "read at most so much at once (256K)" },
	{ "stall", COUNT, &opt.stall, "the first N clients do not read" },
	{ "stall-after", SIZE, &opt.stall_after, "... after they have read so much (0)" },
	{ "reset", COUNT, &opt.reset, "the next N clients reset their connection" },
	{ "reset-after", SIZE, &opt.reset_after, "... after they have read so much (0)" },
	{ "leave", COUNT, &opt.leave, "the next N clients close their connection" },
	{ "leave-after", SIZE, &opt.leave_after, "... after they have read so much (0)" },
	{ "churn", FLAG, &opt.churn, "those of --reset and --leave connect again at once" },
	{ "half-close", FLAG, &opt.half_close, "shut down the sending side once connected" },
	{ "send", SIZE, &opt.send, "each client sends so much rubbish" },
	{ "ready-fd", COUNT, &opt.ready_fd, "write \"ready\" there when all are connected" },
	{ "ready", TEXT, &opt.ready, "create this file when all are connected" },
	{ "progress", FLAG, &opt.progress, "a line on stderr each second" },
	{ "min-rate", RATE, &opt.min_rate, "least total rate since all were connected" },
	{ "spread", NUMBER, &opt.spread,
	  "most percent that plain clients' bytes may differ, (max-min)/max" },
	{ "source", TEXT, &opt.source, "local address to connect from" },
	{ "connect-timeout", DURATION, &opt.connect_timeout,
	  "how long to try to connect, also when refused (5s)" },
	{ "generate", SIZE, &opt.generate,
	  "no client: write so much pattern to stdout, at --rate; 0 is endless" },
	{ "check-file", TEXT, &opt.check_file, "no network: check this file, \"-\" is stdin" },
	{ "help", FLAG, &opt.help, "print this" },
};

__attribute__((noreturn)) static void bad_value(const char *name, const char *value)
{
	usage_error("bad value for --%s: %s", name, value);
}

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
	.bad_value = bad_value,
};

_Static_assert(sizeof(setting_table) / sizeof(setting_table[0]) <= SETTINGS_MOST, "too many");

static void print_help(void)
{
	puts("Usage: feedclient [options] HOST:PORT\n"
	     "       feedclient --generate SIZE [--rate RATE]\n"
	     "       feedclient --check-file FILE [options]\n");
	settings_print(&settings);
}

static bool known_end(const char *text)
{
	return !strcmp(text, "end") || !strcmp(text, "reset") || !strcmp(text, "any");
}

static void verify_options(void)
{
	if (!opt.clients || opt.clients > MAX_CLIENTS)
		usage_error("--clients must be 1 to %d", MAX_CLIENTS);
	if (opt.stall > opt.clients || opt.reset > opt.clients || opt.leave > opt.clients ||
	    opt.stall + opt.reset + opt.leave > opt.clients)
		usage_error("more clients to --stall, --reset and --leave than --clients");
	if (!opt.block_size || opt.block_size % PATTERN_WORD)
		usage_error("--block-size must be a multiple of %d", PATTERN_WORD);
	if (!opt.read_size || opt.read_size > BUFFER_SIZE)
		usage_error("--read-size must be 1 to %d", BUFFER_SIZE);
	if (!opt.rate)
		usage_error("--rate must not be 0");
	if (opt.rcvbuf > INT32_MAX)
		usage_error("--rcvbuf is too large");
	if (opt.ready_fd != UNSET && opt.ready_fd > INT32_MAX)
		usage_error("--ready-fd is no file descriptor");
	if (opt.seconds > 1e9 && isfinite(opt.seconds))
		usage_error("--seconds is too large");
	if (opt.expect_end && !known_end(opt.expect_end))
		usage_error("--expect-end must be end, reset or any");
	if (opt.check_file && opt.clients > 1)
		usage_error("--check-file is one client");
}

static void resolve(const char *host, const char *port, int family,
		    struct sockaddr_storage *address, socklen_t *length)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error)
		usage_error("%s: %s", host, gai_strerror(error));
	memcpy(address, found->ai_addr, found->ai_addrlen);
	*length = found->ai_addrlen;
	freeaddrinfo(found);
}

/* Split "HOST:PORT" or "[ADDRESS]:PORT" in place. */
static void parse_server(char *server)
{
	char *colon = strrchr(server, ':');
	char *host = server;

	if (!colon || !colon[1])
		usage_error("not HOST:PORT: %s", server);
	*colon = '\0';
	if (host[0] == '[' && colon > host && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	resolve(host, colon + 1, AF_UNSPEC, &run.server, &run.server_length);
	if (opt.source)
		resolve(opt.source, NULL, run.server.ss_family, &run.source, &run.source_length);
}

int main(int argc, char **argv)
{
	bool network;

	settings_parse(&settings, argc, argv);
	if (opt.help) {
		print_help();
		return 0;
	}
	verify_options();
	if (opt.generate != UNSET) {
		run_generate();
		return tally.failures ? 1 : 0;
	}
	network = !opt.check_file;
	if (argc - optind != (network ? 1 : 0))
		usage_error(network ? "one HOST:PORT is needed" : "too many arguments");
	create_clients();
	if (network) {
		parse_server(argv[optind]);
		run_network();
	} else {
		run_check_file();
	}
	verify_clients();
	verify_rates();
	print_report();
	if (tally.failures > MAX_FAILURE_LINES)
		fprintf(stderr, "feedclient: and %" PRIu64 " more failures\n",
			tally.failures - MAX_FAILURE_LINES);
	free(run.clients);
	return tally.failures ? 1 : 0;
}
