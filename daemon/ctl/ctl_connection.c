// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_connection.h"

#include "lib/interrupted.h"

#include <bsd/string.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Control sockets of service instances. */
#define OTHER_SOCKETS "/run/dmacast-*/control"

/* Limit for an answer: a running daemon answers at once, a stopped one (SIGSTOP) never. */
static const struct timeval answer_timeout = { .tv_sec = 5 };

struct ctl {
	const char *path;
	FILE *stream; /* for reading; NULL if not connected */
	char *line;
	bool was_closed; /* by the daemon, instead of the last answer */
};

struct ctl *ctl_open(const char *path)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));

	if (ctl)
		ctl->path = path;
	return ctl;
}

static void ctl_disconnect(struct ctl *ctl)
{
	if (ctl->stream)
		fclose(ctl->stream);
	ctl->stream = NULL;
}

void ctl_close(struct ctl *ctl)
{
	ctl_disconnect(ctl);
	free(ctl->line);
	free(ctl);
}

/* Name the control sockets of other daemons. */
static void name_other_sockets(char error[CTL_ERROR_TEXT])
{
	glob_t found;

	if (glob(OTHER_SOCKETS, 0, NULL, &found))
		return;
	strlcat(error, "; there are", CTL_ERROR_TEXT);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		strlcat(error, " ", CTL_ERROR_TEXT);
		strlcat(error, found.gl_pathv[i], CTL_ERROR_TEXT);
	}
	globfree(&found);
}

static void explain_error(const struct ctl *ctl, int number, char error[CTL_ERROR_TEXT])
{
	const char *help = "";

	switch (number) {
	case ENOENT:
		help = ": no daemon has its control socket there; start dmacastd, or pass the path "
		       "that it logs as its control socket to --socket";
		break;
	case ECONNREFUSED:
		help = ": the daemon that created it is gone; start dmacastd again";
		break;
	case EACCES:
	case EPERM:
		help = ": expected root, the daemon's own user, or a member of the group dmacast";
		break;
	case EAGAIN:
		help = ": the daemon does not answer";
		break;
	default:
		break;
	}
	snprintf(error, CTL_ERROR_TEXT, "%s: %s%s", ctl->path,
		 number == EAGAIN ? "timed out" : strerror(number), help);
	if (number == ENOENT)
		name_other_sockets(error);
}

static bool ctl_connect(struct ctl *ctl, int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlcpy(address.sun_path, ctl->path, sizeof(address.sun_path)) >=
	    sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	return !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &answer_timeout, sizeof(answer_timeout)) &&
	       !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &answer_timeout, sizeof(answer_timeout)) &&
	       !REPEAT_INTERRUPTED(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
}

void ctl_wait_without_limit(struct ctl *ctl)
{
	static const struct timeval no_limit;

	if (ctl->stream)
		setsockopt(fileno(ctl->stream), SOL_SOCKET, SO_RCVTIMEO, &no_limit,
			   sizeof(no_limit));
}

static bool ctl_ensure_connected(struct ctl *ctl, char error[CTL_ERROR_TEXT])
{
	int fd;

	if (ctl->stream)
		return true;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && ctl_connect(ctl, fd))
		ctl->stream = fdopen(fd, "r");
	if (ctl->stream)
		return true;
	explain_error(ctl, errno, error);
	if (fd >= 0)
		close(fd);
	return false;
}

static bool ctl_send_all(const struct ctl *ctl, const char *text, size_t length)
{
	while (length) {
		ssize_t n =
			REPEAT_INTERRUPTED(send(fileno(ctl->stream), text, length, MSG_NOSIGNAL));

		if (n < 0)
			return false;
		text += n;
		length -= (size_t)n;
	}
	return true;
}

/* Append to the line. Return: false without memory. */
static bool ctl_append(struct ctl *ctl, size_t length, const char *more, size_t more_bytes)
{
	char *line = realloc(ctl->line, length + more_bytes + 1);

	if (!line)
		return false;
	memcpy(line + length, more, more_bytes + 1);
	ctl->line = line;
	return true;
}

/*
 * Read a line. getline() ends in the middle if this process was stopped and continued, since the socket has a time limit.
 *
 * Return: its length; with an error, or at the end of file, -1 or that of a part, with errno
 */
static ssize_t ctl_read_line(struct ctl *ctl)
{
	size_t capacity = 0, length = 0;
	char *more = NULL;
	ssize_t got;

	do {
		errno = 0;
		clearerr(ctl->stream);
		got = getline(&more, &capacity, ctl->stream);
		if (got > 0 && !ctl_append(ctl, length, more, (size_t)got))
			got = -1;
		length += got > 0 ? (size_t)got : 0;
	} while (errno == EINTR && !(length && ctl->line[length - 1] == '\n'));
	free(more);
	return length ? (ssize_t)length : got;
}

/* Send a line and read a line. Return: the line, valid until the next call; NULL after an error. */
static const char *exchange_lines(struct ctl *ctl, const char *line, char error[CTL_ERROR_TEXT])
{
	ssize_t length;

	ctl->was_closed = false;
	if (!ctl_ensure_connected(ctl, error))
		return NULL;
	if (!ctl_send_all(ctl, line, strlen(line)) || !ctl_send_all(ctl, "\n", 1)) {
		explain_error(ctl, errno, error);
		ctl_disconnect(ctl);
		return NULL;
	}
	length = ctl_read_line(ctl);
	if (length > 0 && ctl->line[length - 1] == '\n')
		return ctl->line;
	ctl->was_closed = !errno || errno == ECONNRESET;
	if (errno)
		explain_error(ctl, errno, error);
	else
		snprintf(error, CTL_ERROR_TEXT, "%s: the daemon closed the connection", ctl->path);
	ctl_disconnect(ctl);
	return NULL;
}

/* Return: @answer if the request succeeded; else free it and return NULL with its error. */
static json_t *answer_if_done(struct ctl *ctl, json_t *answer, char error[CTL_ERROR_TEXT])
{
	const char *text = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	if (text)
		strlcpy(error, text, CTL_ERROR_TEXT);
	else
		snprintf(error, CTL_ERROR_TEXT, "%s: not an answer of dmacastd", ctl->path);
	json_decref(answer);
	return NULL;
}

json_t *ctl_request(const char *command)
{
	return json_pack("{s:s}", "command", command);
}

json_t *ctl_request_set(json_t *request, const char *name, json_t *value)
{
	if (!json_object_set_new(request, name, value))
		return request;
	json_decref(request);
	return NULL;
}

/* json_pack() omits an optional text also without memory, and a request without its stream is about all of them. */
json_t *ctl_request_set_text(json_t *request, const char *name, const char *text)
{
	return text ? ctl_request_set(request, name, json_string(text)) : request;
}

json_t *ctl_ask(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT])
{
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	const char *answer;

	json_decref(request);
	if (!line) {
		strlcpy(error, "expected arguments in valid UTF-8", CTL_ERROR_TEXT);
		return NULL;
	}
	answer = exchange_lines(ctl, line, error);
	free(line);
	if (!answer)
		return NULL;
	return answer_if_done(ctl, json_loads(answer, 0, NULL), error);
}

bool ctl_was_closed(const struct ctl *ctl)
{
	return ctl->was_closed;
}

int ctl_subscribe(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT])
{
	json_t *answer;

	if (!ctl_ensure_connected(ctl, error)) {
		json_decref(request);
		return -1;
	}
	/* Read no more than the line of the answer. */
	setvbuf(ctl->stream, NULL, _IONBF, 0);
	answer = ctl_ask(ctl, request, error);
	json_decref(answer);
	if (!answer)
		return -1;
	ctl_wait_without_limit(ctl);
	return fileno(ctl->stream);
}

bool ctl_peer_is_visible(const struct ctl *ctl)
{
	struct ucred peer = { .pid = 0 };
	socklen_t size = sizeof(peer);

	return ctl->stream &&
	       !getsockopt(fileno(ctl->stream), SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid;
}

json_t *ctl_ask_clients(struct ctl *ctl, const char *stream, char error[CTL_ERROR_TEXT])
{
	json_t *all = NULL, *page, *clients;
	json_t *request;
	json_int_t next = 0;
	int failed = 0;

	do {
		request = ctl_request_set(ctl_request("clients"), "first", json_integer(next));
		page = ctl_ask(ctl, ctl_request_set_text(request, "stream", stream), error);
		if (!page) {
			json_decref(all);
			return NULL;
		}
		next = json_integer_value(json_object_get(page, "next"));
		clients = json_object_get(page, "clients");
		if (!all) {
			all = json_incref(page);
			json_object_del(all, "next");
		} else {
			failed = json_array_extend(json_object_get(all, "clients"), clients);
		}
		json_decref(page);
		if (failed) {
			strlcpy(error, "no memory for the answer", CTL_ERROR_TEXT);
			json_decref(all);
			return NULL;
		}
	} while (next);
	return all;
}

bool ctl_ask_all(struct ctl *ctl, struct ctl_answers *answers, char error[CTL_ERROR_TEXT])
{
	*answers = (struct ctl_answers){ NULL, NULL, NULL };
	answers->status = ctl_ask(ctl, ctl_request("status"), error);
	if (answers->status)
		answers->streams = ctl_ask(ctl, ctl_request("streams"), error);
	if (answers->streams)
		answers->clients = ctl_ask_clients(ctl, NULL, error);
	if (answers->clients)
		return true;
	ctl_answers_free(answers);
	return false;
}

void ctl_answers_free(struct ctl_answers *answers)
{
	json_decref(answers->status);
	json_decref(answers->streams);
	json_decref(answers->clients);
	*answers = (struct ctl_answers){ NULL, NULL, NULL };
}
