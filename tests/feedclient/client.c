// SPDX-License-Identifier: BSD-2-Clause
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/units.h"
#include "options.h"

/* ---- Creation ---- */

static enum role role_at(uint64_t index)
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
	int rank = client_rank(client);

	if (rank < run.awaited_rank || !run.awaited) {
		run.awaited_rank = rank;
		run.awaited = 0;
	}
	if (rank == run.awaited_rank)
		run.awaited++;
}

void client_create_all(void)
{
	run.clients = calloc(opt.clients, sizeof(*run.clients));
	if (!run.clients)
		options_error("out of memory");
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		client->number = (unsigned int)i + 1;
		client->fd = -1;
		client->role = role_at(i);
		count_awaited(client);
	}
}

/* ---- Lists and sockets ---- */

void client_move(struct client *client, struct client_list *list)
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
 * Without events the socket leaves the epoll set: EPOLLHUP and EPOLLERR cannot be switched off and
 * would make the loop spin.
 */
void client_watch(struct client *client, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = client };
	int operation = !client->watched ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (client->watched == events)
		return;
	if (epoll_ctl(run.epoll, operation, client->fd, &event) < 0)
		tally_fail("client %u: epoll_ctl: %s", client->number, strerror(errno));
	client->watched = events;
}

static void watch_established(struct client *client)
{
	uint32_t events = client->sending ? EPOLLOUT : 0;

	if (client->state == STATE_STALLED)
		events |= EPOLLRDHUP;
	else if (client->list != &run.paused)
		events |= EPOLLIN;
	client_watch(client, events);
}

void client_close_socket(struct client *client)
{
	if (client->fd < 0)
		return;
	client_watch(client, 0);
	close(client->fd);
	client->fd = -1;
}

/* ---- Bytes ---- */

void client_check_begin(struct client *client)
{
	check_begin(&client->check, client->number);
	frames_begin(&client->frames, client->number);
}

bool client_check_received(struct client *client, size_t length)
{
	if (opt.framed && !opt.discard)
		return frames_received(&client->frames, check_buffer, length);
	return check_received(&client->check, length, false);
}

bool client_check_finish(struct client *client, enum ending ending)
{
	if (ending == ENDING_EOF && !answer_finish(&client->answer))
		return false;
	if (opt.framed && !opt.discard)
		return frames_finish(&client->frames, ending == ENDING_EOF);
	return check_finish(&client->check);
}

/* ---- Endings ---- */

bool client_end_expected(enum ending ending)
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

int client_rank(const struct client *client)
{
	if (client->role == ROLE_STALL)
		return 2;
	return client->role != ROLE_PLAIN && opt.churn ? 1 : 0;
}

void client_retire(struct client *client, enum ending ending)
{
	client->ending = ending;
	client->state = STATE_ENDED;
	if (client_rank(client) == run.awaited_rank)
		run.awaited--;
}

void client_connect_later(struct client *client, uint64_t not_before)
{
	client->state = STATE_WAITING;
	client->not_before = not_before;
	client_move(client, &run.waiting);
}

void client_end(struct client *client, enum ending ending)
{
	if (ending != ENDING_FAILED && !client_check_finish(client, ending))
		ending = ENDING_FAILED;
	tally.endings[ending]++;
	if (client->role == ROLE_STALL)
		tally.stalled_endings[ending]++;
	if (!client_end_expected(ending))
		tally_fail("client %u: the server %s the connection after %" PRIu64 " bytes",
			   client->number, ending == ENDING_EOF ? "ended" : "reset",
			   client->received);
	client_move(client, NULL);
	/* A stalled client keeps its socket, so that the server must cope with it until its end. */
	if (client->state == STATE_STALLED)
		client_watch(client, 0);
	else
		client_close_socket(client);
	if (ending == ENDING_LEFT && opt.churn && !run.stopping)
		client_connect_later(client, run.now);
	else
		client_retire(client, ending);
}

static void abort_connection(struct client *client)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	client_end(client, ENDING_LEFT);
}

/* Return the number of bytes after which this client acts according to its role. */
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

static uint64_t bytes_goal(const struct client *client)
{
	return min_u64(role_goal(client), opt.bytes);
}

static void goal_reached(struct client *client)
{
	if (client->received < role_goal(client)) {
		client_end(client, ENDING_DONE);
	} else if (client->role == ROLE_STALL) {
		client->state = STATE_STALLED;
		client_move(client, NULL);
		watch_established(client);
	} else if (client->role == ROLE_RESET) {
		abort_connection(client);
	} else {
		client_end(client, ENDING_LEFT);
	}
}

/* ---- Reading, with or without a limit ---- */

/* Return what --rate allows in a tick, at least a byte: the least to wake up for. */
static double tick_credit(void)
{
	double bytes = (double)opt.rate * TICK_NS / NS_PER_S;

	return bytes < 1 ? 1 : bytes;
}

static void refill_credit(struct client *client)
{
	double seconds = (double)(run.now - client->credit_at) / NS_PER_S;

	client->credit += seconds * (double)opt.rate;
	/* A client that found nothing to read may catch up on a few ticks at most. */
	if (client->credit > 10 * tick_credit())
		client->credit = 10 * tick_credit();
	client->credit_at = run.now;
}

static void pause_reading(struct client *client)
{
	client_move(client, &run.paused);
	watch_established(client);
}

void client_resume_reading(void)
{
	struct client *client, *next;

	for (client = TAILQ_FIRST(&run.paused); client; client = next) {
		next = TAILQ_NEXT(client, link);
		refill_credit(client);
		if (client->credit >= tick_credit()) {
			client_move(client, NULL);
			watch_established(client);
		}
	}
}

/* Return how much may be read at once; 0 if --rate allows less than a tick's worth. */
static size_t credit_limit(struct client *client)
{
	uint64_t limit = min_u64(opt.read_size, bytes_goal(client) - client->received);

	if (opt.rate == UNITS_RATE_MAX)
		return limit;
	refill_credit(client);
	return client->credit < tick_credit() ? 0 : min_u64(limit, (uint64_t)client->credit);
}

static void fail_on_error(struct client *client, int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
		return;
	case ECONNRESET:
		client_end(client, ENDING_RESET);
		return;
	case EPIPE: /* a reset after the end: all data has arrived */
		client_end(client, ENDING_EOF);
		return;
	}
	tally_fail("client %u: %s", client->number, strerror(error));
	client_end(client, ENDING_FAILED);
}

void client_count_received(struct client *client, size_t length)
{
	client->received += length;
	client->total += length;
	client->credit -= (double)length;
	if (client->role != ROLE_STALL)
		tally.bytes += length;
}

/* Take @length bytes of check_buffer. */
static void client_note_pause(struct client *client)
{
	uint64_t now = run_clock();

	if (client->received_at && now - client->received_at > client->longest_pause)
		client->longest_pause = now - client->received_at;
	client->received_at = now;
}

void client_write_pauses(FILE *file)
{
	for (uint64_t i = 0; i < opt.clients; i++) {
		struct client *client = &run.clients[i];

		if (client->state == STATE_RUNNING)
			fprintf(file, "%.3f\n", (double)client->longest_pause / 1e6);
		client->longest_pause = 0;
	}
	fflush(file);
}

static void take_received(struct client *client, size_t length)
{
	if (!answer_received(&client->answer, check_buffer, &length)) {
		client_end(client, ENDING_FAILED);
		return;
	}
	client_count_received(client, length);
	client_note_pause(client);
	if (length && !client_check_received(client, length))
		client_end(client, ENDING_FAILED);
	else if (client->received >= bytes_goal(client))
		goal_reached(client);
}

static void receive_feed(struct client *client)
{
	size_t limit = credit_limit(client);
	bool trunc = opt.discard && client->answer.complete;
	ssize_t length;

	if (!limit) {
		pause_reading(client);
		return;
	}
	length = recv(client->fd, check_buffer, limit, trunc ? MSG_TRUNC : 0);
	if (length < 0) {
		fail_on_error(client, errno);
	} else if (length == 0) {
		client_end(client, client->reset_seen ? ENDING_RESET : ENDING_EOF);
	} else {
		take_received(client, (size_t)length);
	}
}

/* ---- Sending rubbish ---- */

static void stop_rubbish(struct client *client)
{
	client->sending = false;
	if (opt.half_close)
		shutdown(client->fd, SHUT_WR);
	watch_established(client);
}

static void send_rubbish(struct client *client)
{
	static const unsigned char rubbish[16 * 1024] = { 'G', 'E', 'T', ' ', '/', '\r', '\n' };
	size_t length = min_u64(sizeof(rubbish), opt.send - client->sent);
	ssize_t sent = send(client->fd, rubbish, length, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		/* receive_feed() determines how the connection ended, after the remaining data. */
		client->reset_seen |= errno == ECONNRESET;
		stop_rubbish(client);
		return;
	}
	client->sent += (uint64_t)sent;
	tally.sent += (uint64_t)sent;
	if (client->sent == opt.send)
		stop_rubbish(client);
}

/* ---- Beginning ---- */

void client_begin(struct client *client, bool reset_seen)
{
	client_move(client, NULL);
	client->state = STATE_RUNNING;
	client->give_up_at = 0;
	client->connect_error = 0;
	client->received = 0;
	client->received_at = 0;
	client->sent = 0;
	client->reset_seen = reset_seen;
	client->sending = opt.send > 0;
	client->credit = tick_credit();
	client->credit_at = run.now;
	client_check_begin(client);
}

void client_run(struct client *client)
{
	answer_begin(&client->answer, client->number, client->fd);
	if (!client->sending)
		stop_rubbish(client);
	if (bytes_goal(client) == 0)
		goal_reached(client);
	else
		watch_established(client);
}

/* ---- Events ---- */

int client_socket_error(const struct client *client)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		return errno;
	return error;
}

static void stalled_event(struct client *client)
{
	int error = client->reset_seen ? ECONNRESET : client_socket_error(client);

	if (error)
		fail_on_error(client, error);
	else
		client_end(client, ENDING_EOF);
}

void client_event(struct client *client, uint32_t events)
{
	if (client->sending && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		send_rubbish(client);
	if (client->state == STATE_STALLED && events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		stalled_event(client);
	else if (client->state == STATE_RUNNING && client->list != &run.paused &&
		 events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive_feed(client);
}
