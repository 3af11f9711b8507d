// SPDX-License-Identifier: BSD-2-Clause
/*
 * evhttp does the protocol, and limits the size of a request and silence. It limits neither the number
 * of connections nor their duration, and does not report when one begins or ends. So the bufferevents
 * are made here, and a reference to each is kept: one that evhttp has freed has no callbacks any more.
 *
 *   evhttp needs one ─ metrics_make_connection() ─▶ open ─ evhttp frees it ─▶ seen by the next metrics_sweep, closed
 *                                             └─ its time is over: shutdown(), and evhttp frees it
 *
 * The sweep runs while there are connections. When they are too many, none is accepted until then: so
 * this is a limit for connections a second, too.
 */
#include "observe/metrics.h"

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/priority.h"
#include "observe/exposition.h"
#include "observe/report.h"

#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_CONNECTIONS 32U
#define BACKLOG 128
#define MAX_HEADER_BYTES 8192
#define MAX_BODY_BYTES 1024
#define MAX_INPUT_BYTES ((size_t)16 << 10)

/* Limit for the duration of a connection; shorter when others wait. */
#define MAX_CONNECTION_NS 20000000000ULL
#define MAX_CROWDED_CONNECTION_NS 2000000000ULL
static const struct timeval sweep_time = { .tv_usec = 200000 };

/* Part of the time that making pages may take; and age up to which a page that is still read is reused. */
#define MAKING_DIVISOR 20U
#define STILL_READ_NS 5000000000ULL

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct bufferevent *buffer;
	uint64_t since_ns;
};

TAILQ_HEAD(connection_list, connection);

/* The newest page of each kind is kept; older ones as long as a client reads them. */
struct page {
	char *text;
	size_t length;
	uint64_t made_ns, cost_ns;
	unsigned int references;
};

enum page_kind { PAGE_METRICS, PAGE_STATUS, PAGE_KINDS };

struct metrics {
	const struct streams *streams;
	char *address; /* as configured */
	bool per_client;
	struct event_base *base;
	struct evhttp *http;
	struct listen_set *set;		    /* its listeners are evhttp's */
	struct connection_list connections; /* the oldest first */
	unsigned int connection_count;
	struct event *sweep_timer;
	struct page *newest[PAGE_KINDS];
};

/* ---- connections ---- */

static void metrics_start_sweep(struct metrics *metrics)
{
	if (!evtimer_pending(metrics->sweep_timer, NULL))
		evtimer_add(metrics->sweep_timer, &sweep_time);
}

/* Make the bufferevent of a connection that evhttp has accepted. */
static struct bufferevent *metrics_make_connection(struct event_base *base, void *argument)
{
	struct metrics *metrics = argument;
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection)
		connection->buffer = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!connection || !connection->buffer) {
		free(connection);
		return NULL; /* evhttp tries by itself */
	}
	bufferevent_priority_set(connection->buffer, PRIORITY_OPERATOR);
	bufferevent_set_max_single_write(connection->buffer, OPERATOR_WRITE_BYTES);
	bufferevent_setwatermark(connection->buffer, EV_READ, 0, MAX_INPUT_BYTES);
	bufferevent_incref(connection->buffer);
	connection->since_ns = clock_monotonic_ns();
	TAILQ_INSERT_TAIL(&metrics->connections, connection, entry);
	if (++metrics->connection_count >= MAX_CONNECTIONS)
		listen_hold(metrics->set);
	metrics_start_sweep(metrics);
	return connection->buffer;
}

static bool metrics_connection_is_over(const struct connection *connection)
{
	bufferevent_event_cb event_called = NULL;

	bufferevent_getcb(connection->buffer, NULL, NULL, &event_called, NULL);
	return !event_called;
}

static void metrics_remove_connection(struct metrics *metrics, struct connection *connection)
{
	TAILQ_REMOVE(&metrics->connections, connection, entry);
	metrics->connection_count--;
	bufferevent_decref(connection->buffer); /* closes the descriptor */
	free(connection);
}

static void metrics_sweep(evutil_socket_t fd, short what, void *argument)
{
	struct metrics *metrics = argument;
	uint64_t now = clock_monotonic_ns();
	struct connection *connection, *next;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE (connection, &metrics->connections, entry, next) {
		uint64_t longest = metrics->connection_count >= MAX_CONNECTIONS
					   ? MAX_CROWDED_CONNECTION_NS
					   : MAX_CONNECTION_NS;

		if (metrics_connection_is_over(connection))
			metrics_remove_connection(metrics, connection);
		else if (now - connection->since_ns > longest)
			shutdown(bufferevent_getfd(connection->buffer), SHUT_RDWR);
	}
	if (metrics->connection_count < MAX_CONNECTIONS)
		listen_release(metrics->set);
	if (metrics->connection_count)
		metrics_start_sweep(metrics);
}

/* ---- pages ---- */

static void release_page(struct page *page)
{
	if (!page || --page->references)
		return;
	free(page->text);
	free(page);
}

static void page_was_read(const void *text, size_t length, void *argument)
{
	(void)text;
	(void)length;
	release_page(argument);
}

static bool write_status(FILE *file, const struct metrics *metrics)
{
	json_t *status = report_daemon();
	bool complete;

	fputc('{', file);
	complete = !json_object_set_new(status, "streams", report_streams(metrics->streams)) &&
		   !json_dumpf(status, file, JSON_EMBED | JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	json_decref(status);
	if (metrics->per_client) {
		fputs(",\n \"clients\": ", file);
		complete = complete && report_write_clients(file, metrics->streams);
	}
	fputs("\n}\n", file);
	return complete && !ferror(file);
}

static struct page *make_page(const struct metrics *metrics, enum page_kind kind)
{
	struct page *page = calloc(1, sizeof(*page));
	FILE *file = page ? open_memstream(&page->text, &page->length) : NULL;
	uint64_t begun = clock_monotonic_ns();
	bool complete;

	if (!file) {
		free(page);
		return NULL;
	}
	page->references = 1;
	if (kind == PAGE_METRICS)
		complete = exposition_write(file, metrics->streams, metrics->per_client);
	else
		complete = write_status(file, metrics);
	if (fclose(file) || !complete) {
		release_page(page);
		return NULL;
	}
	page->made_ns = clock_monotonic_ns();
	page->cost_ns = page->made_ns - begun;
	return page;
}

/* Return true if the page can be sent again. */
static bool is_new_enough(const struct page *page)
{
	uint64_t age = clock_monotonic_ns() - page->made_ns;

	return age < page->cost_ns * MAKING_DIVISOR ||
	       (page->references > 1 && age < STILL_READ_NS);
}

/* Return: NULL without memory. */
static struct page *metrics_page(struct metrics *metrics, enum page_kind kind)
{
	struct page *page = metrics->newest[kind];

	if (page && is_new_enough(page))
		return page;
	release_page(page);
	metrics->newest[kind] = make_page(metrics, kind);
	return metrics->newest[kind];
}

/* ---- requests ---- */

static void add_header(struct evhttp_request *request, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

static void reply(struct evhttp_request *request, int code, const char *reason, const char *type,
		  struct evbuffer *body)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	add_header(request, "Content-Type", type);
	add_header(request, "Content-Length", length);
	add_header(request, "Cache-Control", "no-store");
	add_header(request, "Connection", "close");
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
		evbuffer_drain(body, evbuffer_get_length(body));
	evhttp_send_reply(request, code, reason, body);
}

static void reply_text(struct evhttp_request *request, int code, const char *reason,
		       const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (!body || evbuffer_add_printf(body, "%s\n", text) < 0)
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
	else
		reply(request, code, reason, "text/plain; charset=utf-8", body);
	if (body)
		evbuffer_free(body);
}

static void reply_page(struct metrics *metrics, struct evhttp_request *request, enum page_kind kind)
{
	static const char *const type[] = { EXPOSITION_TYPE, "application/json" };
	struct page *page = metrics_page(metrics, kind);
	struct evbuffer *body = evbuffer_new();

	if (page && body &&
	    !evbuffer_add_reference(body, page->text, page->length, page_was_read, page)) {
		page->references++;
		reply(request, HTTP_OK, "OK", type[kind], body);
	} else {
		reply_text(request, HTTP_INTERNAL, "Internal Server Error", "no memory");
	}
	if (body)
		evbuffer_free(body);
}

static void request_received(struct evhttp_request *request, void *argument)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	enum evhttp_cmd_type command = evhttp_request_get_command(request);

	if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		add_header(request, "Allow", "GET, HEAD");
		reply_text(request, HTTP_BADMETHOD, "Method Not Allowed", "only GET and HEAD");
	} else if (path && !strcmp(path, "/metrics")) {
		reply_page(argument, request, PAGE_METRICS);
	} else if (path && !strcmp(path, "/status.json")) {
		reply_page(argument, request, PAGE_STATUS);
	} else {
		reply_text(request, HTTP_NOTFOUND, "Not Found",
			   "dmacastd has /metrics and /status.json");
	}
}

/* ---- opening ---- */

static bool metrics_set_up_http(struct metrics *metrics)
{
	metrics->http = evhttp_new(metrics->base);
	if (!metrics->http)
		return false;
	evhttp_set_bevcb(metrics->http, metrics_make_connection, metrics);
	evhttp_set_gencb(metrics->http, request_received, metrics);
	evhttp_set_max_headers_size(metrics->http, MAX_HEADER_BYTES);
	evhttp_set_max_body_size(metrics->http, MAX_BODY_BYTES);
	/* All methods: other ones get an answer that names the right ones. */
	evhttp_set_allowed_methods(
		metrics->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
				       EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
				       EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	return true;
}

static struct evconnlistener *metrics_attach(void *argument, int fd)
{
	struct metrics *metrics = argument;
	struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(metrics->http, fd);

	return bound ? evhttp_bound_socket_get_listener(bound) : NULL;
}

static void metrics_opened(void *argument, const char *address)
{
	(void)argument;
	log_info("metrics at http://%s/metrics", address);
}

static void metrics_describe(void *argument, char *text, size_t size)
{
	const struct metrics *metrics = argument;

	snprintf(text, size, "metrics = %s", metrics->address);
}

static const struct listen_callbacks metrics_listen_callbacks = {
	.attach = metrics_attach,
	.opened = metrics_opened,
	.describe = metrics_describe,
};

/* Listen as `metrics` says: on the loopback if it names no host, everywhere for *. */
static bool metrics_listen(struct metrics *metrics, const struct names *names)
{
	const struct listen_options options = {
		.backlog = BACKLOG,
		.loopback = *metrics->address != '*',
		.names = names,
	};
	struct address address;
	const char *error;

	if (!address_parse(metrics->address, &address, &error)) {
		log_error("metrics = %s: expected %s", metrics->address, error);
		return false;
	}
	error = listen_on_address(metrics->set, &address, &options);
	if (error)
		log_error("metrics = %s: %s", metrics->address, error);
	return !error;
}

struct metrics *metrics_open(struct event_base *base, const char *address, bool per_client,
			     const struct streams *streams, const struct names *names)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics) {
		log_error("metrics = %s: no memory", address);
		return NULL;
	}
	metrics->base = base;
	metrics->streams = streams;
	metrics->per_client = per_client;
	metrics->address = strdup(address);
	metrics->set = listen_create(base, &metrics_listen_callbacks, metrics);
	TAILQ_INIT(&metrics->connections);
	metrics->sweep_timer = evtimer_new(base, metrics_sweep, metrics);
	if (!metrics->address || !metrics->set || !metrics->sweep_timer ||
	    !metrics_set_up_http(metrics)) {
		log_error("metrics = %s: no memory", address);
		metrics_close(metrics);
		return NULL;
	}
	event_priority_set(metrics->sweep_timer, PRIORITY_OPERATOR);
	listen_prioritize(metrics->set);
	if (metrics_listen(metrics, names))
		return metrics;
	metrics_close(metrics);
	return NULL;
}

void metrics_close(struct metrics *metrics)
{
	struct connection *connection;

	if (metrics->http)
		evhttp_free(metrics->http);
	while ((connection = TAILQ_FIRST(&metrics->connections)))
		metrics_remove_connection(metrics, connection);
	for (size_t i = 0; i < PAGE_KINDS; i++)
		release_page(metrics->newest[i]);
	if (metrics->set)
		listen_close(metrics->set);
	if (metrics->sweep_timer)
		event_free(metrics->sweep_timer);
	free(metrics->address);
	free(metrics);
}
