// SPDX-License-Identifier: BSD-2-Clause
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "options.h"
#include "tally.h"

static const char head_end[] = "\r\n\r\n";

void answer_begin(struct answer *answer, unsigned int client, int fd)
{
	char request[1024];
	int length;

	*answer = (struct answer){ .client = client, .complete = !opt.http };
	if (!opt.http)
		return;
	length = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: feedclient\r\n\r\n",
			  opt.http);
	/* The socket is new, so it has space. receive_feed() finds an error of the connection. */
	if (send(fd, request, (size_t)length, MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		tally_fail("client %u: the request was not sent", client);
}

static void answer_take_byte(struct answer *answer, char byte)
{
	if (answer->length + 1 < sizeof(answer->status))
		answer->status[answer->length] = byte;
	answer->length++;
	if (byte == head_end[answer->ending])
		answer->ending++;
	else
		answer->ending = byte == head_end[0];
	answer->complete = !head_end[answer->ending];
}

bool answer_received(struct answer *answer, unsigned char *bytes, size_t *length)
{
	size_t used = 0;

	if (answer->complete)
		return true;
	while (used < *length && !answer->complete)
		answer_take_byte(answer, (char)bytes[used++]);
	*length -= used;
	memmove(bytes, bytes + used, *length);
	if (!answer->complete || !strncmp(answer->status, "HTTP/1.1 200 ", 13))
		return true;
	answer->status[strcspn(answer->status, "\r\n")] = '\0';
	tally_fail("client %u: the answer is %s", answer->client, answer->status);
	return false;
}

bool answer_finish(const struct answer *answer)
{
	if (!answer->complete)
		tally_fail("client %u: the connection ended within the head of the answer",
			   answer->client);
	return answer->complete;
}
