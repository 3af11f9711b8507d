// SPDX-License-Identifier: BSD-2-Clause
#include "lib/resolver.h"

#include "lib/child.h"
#include "lib/interrupted.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Upper bound of children at a time. */
#define MAX_CHILDREN 8U

/* Descriptors from here on are closed in a child: its pipe is number 3. */
#define CHILD_PIPE 3
/* Descriptors that are closed one by one where close_range() is missing. */
#define MAX_CLOSED 65536

/* Time for a name. glibc asks three name servers for 20 seconds with its default options. */
static const struct timeval time_limit = { .tv_sec = 15 };

enum query_state { QUERY_QUEUED, QUERY_RUNNING, QUERY_ENDING };

/* The part of the result that a child writes, at once: it is smaller than PIPE_BUF. */
struct resolver_answer {
	int error, system_error;
	unsigned int count;
	char address[MAX_RESOLVED][sizeof(struct sockaddr_in6)];
};

_Static_assert(sizeof(struct resolver_answer) <= PIPE_BUF, "an answer is written at once");

struct resolver_query {
	TAILQ_ENTRY(resolver_query) entry; /* of `queries` */
	struct event_base *base;
	char *host;
	int flags;
	void (*done)(void *argument, const struct resolved *resolved);
	void *argument;
	enum query_state state;
	struct event timer;  /* QUEUED: the start, RUNNING: the time limit */
	int pipe;	     /* RUNNING: the end to read; else -1 */
	struct event answer; /* of `pipe` */
	pid_t child;
	int pidfd;	   /* readable when the child has exited; -1: not available */
	struct event exit; /* of pidfd, or of SIGCHLD */
};

/* All queries, the oldest first. */
static TAILQ_HEAD(, resolver_query) queries = TAILQ_HEAD_INITIALIZER(queries);
/* Queries that have a child. */
static unsigned int children;

static void resolver_begin(evutil_socket_t fd, short what, void *argument);

/* ---- the child ---- */

/* Convert the list of getaddrinfo(). */
static void resolver_pack(const struct addrinfo *list, struct resolver_answer *answer)
{
	for (; list && answer->count < MAX_RESOLVED; list = list->ai_next) {
		if (list->ai_addrlen <= sizeof(answer->address[0]))
			memcpy(answer->address[answer->count++], list->ai_addr, list->ai_addrlen);
	}
}

static void resolver_ask(const char *host, int flags, struct resolver_answer *answer)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	struct addrinfo *list = NULL;

	memset(answer, 0, sizeof(*answer));
	errno = 0;
	answer->error = getaddrinfo(host, NULL, &hints, &list);
	answer->system_error = errno;
	if (answer->error)
		return;
	resolver_pack(list, answer);
	freeaddrinfo(list);
	if (!answer->count)
		answer->error = EAI_NONAME;
}

/* Keep no descriptor of the daemon: its clients, its endpoints and its devices must be able to close. */
static void resolver_close_others(int output)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Neither is one of 0 to 2: main() keeps these open. */
	for (int fd = 0; fd < CHILD_PIPE; fd++)
		dup2(null, fd);
	if (output != CHILD_PIPE)
		dup2(output, CHILD_PIPE);
	if (!close_range(CHILD_PIPE + 1, ~0U, 0))
		return;
	for (int fd = CHILD_PIPE + 1; fd < MAX_CLOSED; fd++)
		close(fd);
}

/* Resolve, in the child. All signals are blocked until their handlers are reset. */
static _Noreturn void resolver_run_child(const struct resolver_query *query, int output,
					 pid_t daemon)
{
	struct resolver_answer answer;

	if (!child_end_with(daemon))
		_exit(1);
	resolver_close_others(output);
	child_reset_signals();
	resolver_ask(query->host, query->flags, &answer);
	_exit(REPEAT_INTERRUPTED(write(CHILD_PIPE, &answer, sizeof(answer))) !=
	      (ssize_t)sizeof(answer));
}

/* ---- the end of a query ---- */

static void resolver_free(struct resolver_query *query)
{
	event_del(&query->timer);
	event_del(&query->answer);
	event_del(&query->exit);
	if (query->pipe >= 0)
		close(query->pipe);
	if (query->pidfd >= 0)
		close(query->pidfd);
	TAILQ_REMOVE(&queries, query, entry);
	free(query->host);
	free(query);
}

/* Start queries that wait, as many as may have a child. */
static void resolver_wake_queued(void)
{
	struct resolver_query *query;
	unsigned int free_places = children < MAX_CHILDREN ? MAX_CHILDREN - children : 0;

	TAILQ_FOREACH (query, &queries, entry) {
		if (query->state != QUERY_QUEUED)
			continue;
		if (!free_places--)
			return;
		event_active(&query->timer, EV_TIMEOUT, 0);
	}
}

/* Reap the child if it has exited. Return: false if it has not. */
static bool resolver_reap(struct resolver_query *query)
{
	siginfo_t info = { 0 };

	if (waitid(P_PID, (id_t)query->child, &info, WEXITED | WNOHANG) == 0 && !info.si_pid)
		return false;
	children--;
	resolver_free(query);
	return true;
}

static void resolver_child_exited(evutil_socket_t fd, short what, void *argument)
{
	const struct resolver_query *query = argument;

	(void)fd;
	(void)what;
	/* Until then its answer may be in the pipe. */
	if (query->state == QUERY_ENDING && resolver_reap(argument))
		resolver_wake_queued();
}

/* Release what the query has but its child, which is ended and reaped. */
static void resolver_end(struct resolver_query *query)
{
	event_del(&query->timer);
	event_del(&query->answer);
	if (query->pipe >= 0)
		close(query->pipe);
	query->pipe = -1;
	query->state = QUERY_ENDING;
	kill(query->child, SIGKILL);
	/* The event of a pidfd comes again; that of SIGCHLD may have come. */
	if (resolver_reap(query))
		resolver_wake_queued();
}

/* End the query with this result. */
static void resolver_finish(struct resolver_query *query, const struct resolved *resolved)
{
	void (*done)(void *argument, const struct resolved *resolved) = query->done;
	void *done_argument = query->argument;

	if (query->state == QUERY_RUNNING)
		resolver_end(query);
	else
		resolver_free(query);
	done(done_argument, resolved);
}

static void resolver_fail(struct resolver_query *query, int error, int system_error)
{
	const struct resolved failed = { .error = error, .system_error = system_error };

	resolver_finish(query, &failed);
}

static void resolver_unpack(const struct resolver_answer *answer, struct resolved *resolved)
{
	memset(resolved, 0, sizeof(*resolved));
	resolved->error = answer->error;
	resolved->system_error = answer->system_error;
	resolved->count = answer->count < MAX_RESOLVED ? answer->count : MAX_RESOLVED;
	for (unsigned int i = 0; i < resolved->count; i++)
		memcpy(&resolved->address[i], answer->address[i], sizeof(answer->address[i]));
}

static void resolver_answered(evutil_socket_t fd, short what, void *argument)
{
	struct resolver_query *query = argument;
	struct resolver_answer answer;
	struct resolved resolved;
	ssize_t length = read(fd, &answer, sizeof(answer));

	(void)what;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length != (ssize_t)sizeof(answer)) {
		resolver_fail(query, EAI_SYSTEM, ECHILD);
		return;
	}
	resolver_unpack(&answer, &resolved);
	resolver_finish(query, &resolved);
}

static void resolver_time_is_over(struct resolver_query *query)
{
	const struct resolved late = { .error = EAI_AGAIN, .timed_out = true };

	resolver_finish(query, &late);
}

/* ---- the start of a query ---- */

/* Return: 0 or an errno. */
static int resolver_fork(struct resolver_query *query, int output)
{
	const pid_t daemon = getpid();

	query->child = child_fork();
	if (query->child == 0)
		resolver_run_child(query, output, daemon);
	return query->child < 0 ? errno : 0;
}

/* Start the child, and watch it. Return: 0 or an errno. */
static int resolver_start_child(struct resolver_query *query)
{
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return errno;
	query->pipe = ends[0];
	error = resolver_fork(query, ends[1]);
	close(ends[1]);
	if (error)
		return error;
	children++;
	query->state = QUERY_RUNNING;
	event_assign(&query->answer, query->base, query->pipe, EV_READ | EV_PERSIST,
		     resolver_answered, query);
	/* After the fork: it may not take a second. */
	if (!child_watch_exit(&query->exit, query->base, query->child, &query->pidfd,
			      resolver_child_exited, query) ||
	    event_add(&query->answer, NULL) || evtimer_add(&query->timer, &time_limit))
		return ENOMEM;
	return 0;
}

static void resolver_begin(evutil_socket_t fd, short what, void *argument)
{
	struct resolver_query *query = argument;
	int error;

	(void)fd;
	(void)what;
	if (query->state == QUERY_RUNNING) {
		resolver_time_is_over(query);
		return;
	}
	if (children >= MAX_CHILDREN)
		return; /* woken when a child ends */
	error = resolver_start_child(query);
	if (error)
		resolver_fail(query, EAI_SYSTEM, error);
}

/* Reap children that ended without an event, for which there was no memory. */
static void resolver_reap_ended(void)
{
	struct resolver_query *query, *next;

	TAILQ_FOREACH_SAFE (query, &queries, entry, next) {
		if (query->state == QUERY_ENDING)
			resolver_reap(query);
	}
}

struct resolver_query *resolver_start(struct event_base *base, const char *host, int flags,
				      void (*done)(void *argument, const struct resolved *resolved),
				      void *argument)
{
	struct resolver_query *query;

	resolver_reap_ended();
	query = calloc(1, sizeof(*query));
	if (!query || !(query->host = strdup(host))) {
		free(query);
		return NULL;
	}
	query->base = base;
	query->flags = flags;
	query->done = done;
	query->argument = argument;
	query->pipe = -1;
	query->pidfd = -1;
	evtimer_assign(&query->timer, base, resolver_begin, query);
	evtimer_assign(&query->answer, base, NULL, NULL);
	evtimer_assign(&query->exit, base, NULL, NULL);
	TAILQ_INSERT_TAIL(&queries, query, entry);
	event_active(&query->timer, EV_TIMEOUT, 0);
	return query;
}

void resolver_cancel(struct resolver_query *query)
{
	if (query->state == QUERY_RUNNING) {
		resolver_end(query);
		return;
	}
	resolver_free(query);
	/* It may have been the one that was woken. */
	resolver_wake_queued();
}

void resolver_forget(const struct event_base *base)
{
	struct resolver_query *query, *next;

	TAILQ_FOREACH_SAFE (query, &queries, entry, next) {
		if (query->base != base)
			continue;
		/* Killed already, so this takes no time. */
		if (query->state == QUERY_ENDING) {
			REPEAT_INTERRUPTED(waitid(P_PID, (id_t)query->child, NULL, WEXITED));
			children--;
		}
		resolver_free(query);
	}
}

/* ---- results ---- */

bool resolver_numeric(const char *host, struct resolved *resolved)
{
	struct resolver_answer answer;

	resolver_ask(host, AI_NUMERICHOST, &answer);
	resolver_unpack(&answer, resolved);
	return resolved->error != EAI_NONAME;
}

const char *resolved_error(const struct resolved *resolved)
{
	if (!resolved->error)
		return NULL;
	if (resolved->timed_out)
		return "no answer from the name server";
	if (resolved->error == EAI_SYSTEM && resolved->system_error == ECHILD)
		return "the process that asks the name server was ended";
	if (resolved->error == EAI_SYSTEM)
		return strerror(resolved->system_error);
	return gai_strerror(resolved->error);
}

const struct addrinfo *resolved_list(struct resolved *resolved, const char *port)
{
	in_port_t number = htons((in_port_t)atoi(port));

	for (unsigned int i = 0; i < resolved->count; i++) {
		int family = resolved->address[i].any.sa_family;

		/* The port is at the same place in both families. */
		resolved->address[i].in.sin_port = number;
		resolved->info[i] = (struct addrinfo){
			.ai_family = family,
			.ai_socktype = SOCK_STREAM,
			.ai_addr = &resolved->address[i].any,
			.ai_addrlen = family == AF_INET6 ? sizeof(struct sockaddr_in6)
							 : sizeof(struct sockaddr_in),
			.ai_next = i + 1 < resolved->count ? &resolved->info[i + 1] : NULL,
		};
	}
	return resolved->count ? resolved->info : NULL;
}
