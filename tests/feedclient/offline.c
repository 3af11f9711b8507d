// SPDX-License-Identifier: BSD-2-Clause
#include "offline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "lib/units.h"
#include "lines.h"
#include "options.h"

#define TICKS_PER_S (NS_PER_S / TICK_NS)

static int open_check_file(void)
{
	if (!strcmp(opt.check_file, "-"))
		return STDIN_FILENO;
	return open(opt.check_file, O_RDONLY | O_CLOEXEC);
}

static enum ending check_open_file(struct client *client)
{
	while (client->received < opt.bytes) {
		ssize_t length = read(client->fd, check_buffer,
				      min_u64(opt.read_size, opt.bytes - client->received));

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0) {
			tally_fail("%s: %s", opt.check_file, strerror(errno));
			return ENDING_FAILED;
		}
		if (length == 0)
			return ENDING_EOF;
		client_count_received(client, (size_t)length);
		if (!client_check_received(client, (size_t)length))
			return ENDING_FAILED;
	}
	return ENDING_DONE;
}

void offline_check(void)
{
	struct client *client = &run.clients[0];
	enum ending ending;

	client->fd = open_check_file();
	if (client->fd < 0) {
		tally_fail("%s: %s", opt.check_file, strerror(errno));
		return;
	}
	client_check_begin(client);
	client->answer.complete = true;
	run.started_at = run_clock();
	tally.connected = tally.joins = 1;
	ending = check_open_file(client);
	if (ending != ENDING_FAILED && !client_check_finish(client, ending))
		ending = ENDING_FAILED;
	client->ending = ending;
	tally.endings[ending]++;
	run.ended_at = run_clock();
	close(client->fd);
}

static bool write_pattern(const unsigned char *bytes, size_t length)
{
	while (length) {
		ssize_t written = write(STDOUT_FILENO, bytes, length);

		if (written >= 0) {
			bytes += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			/* Another process made this pipe or socket nonblocking. */
			struct pollfd ready = { .fd = STDOUT_FILENO, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			tally_fail("write: %s", strerror(errno));
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

/* Wait for the next tick; return the stream offset that --rate allows by then. */
static uint64_t next_allowance(uint64_t start, uint64_t *tick)
{
	if (opt.rate == UNITS_RATE_MAX)
		return UINT64_MAX;
	sleep_until(start + ++*tick * TICK_NS);
	return opt.rate / TICKS_PER_S * *tick + opt.rate % TICKS_PER_S * *tick / TICKS_PER_S;
}

void offline_generate(void)
{
	uint64_t start = run_clock(), tick = 0, offset = 0;
	uint64_t end = opt.generate ? opt.generate : UINT64_MAX;

	while (offset < end) {
		uint64_t allowed = min_u64(next_allowance(start, &tick), end);

		while (offset < allowed) {
			size_t length = min_u64(allowed - offset, BUFFER_SIZE);

			if (opt.lines)
				lines_fill(check_buffer, length);
			else
				pattern_fill(check_buffer, length, offset);
			if (!write_pattern(check_buffer, length))
				return;
			offset += length;
		}
	}
}
