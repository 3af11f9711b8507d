// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_events.h"

#include "lib/interrupted.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than any event has. */
#define EVENTS_BUFFER_BYTES ((size_t)64 << 10)

/* Wait for @descriptor. Return: false if nobody reads standard output any more. */
static bool events_wait(int descriptor)
{
	struct pollfd wait[] = {
		{ .fd = descriptor, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};

	REPEAT_INTERRUPTED(poll(wait, 2, -1));
	return !(wait[1].revents & POLLERR);
}

/* Write the whole lines of @length bytes. Return: the number of bytes of the line that has not ended. */
static size_t events_print(char *buffer, size_t length)
{
	const char *end = memrchr(buffer, '\n', length);
	size_t whole = end ? (size_t)(end + 1 - buffer) : 0;

	fwrite(buffer, 1, whole, stdout);
	fflush(stdout);
	memmove(buffer, buffer + whole, length - whole);
	return length - whole;
}

void events_forward(int descriptor, char error[CTL_ERROR_TEXT])
{
	static char buffer[EVENTS_BUFFER_BYTES];
	size_t length = 0;
	ssize_t n;

	error[0] = '\0';
	while (!ferror(stdout)) {
		if (!events_wait(descriptor))
			raise(SIGPIPE);
		n = read(descriptor, buffer + length, sizeof(buffer) - length);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0) {
			snprintf(error, CTL_ERROR_TEXT, "%s",
				 n ? strerror(errno) : "the daemon closed the connection");
			return;
		}
		length = events_print(buffer, length + (size_t)n);
	}
}
