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
#include "observe/client_choice.h"
#include "observe/exposition.h"
#include "observe/live_page.h"
#include "observe/rendering.h"
#include "observe/status_json.h"

#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
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

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct bufferevent *buffer;
	uint64_t since_ns;
};

TAILQ_HEAD(connection_list, connection);

enum cache_kind { CACHE_METRICS, CACHE_STATUS, CACHE_VIEWS, CACHES };

/* The first two are asked for by one program each, and may take long; views by people, who may be many. */
static const struct rendering_policy cache_policy[CACHES] = {
	[CACHE_METRICS] = { .kinds = 1, .divisor = 20, .busy_ns = 5000000000ULL },
	[CACHE_STATUS] = { .kinds = 1, .divisor = 20, .busy_ns = 5000000000ULL },
	[CACHE_VIEWS] = { .kinds = 8,
			  .divisor = 200,
			  .least_ns = 900000000ULL,
			  .ahead_ns = 5000000000ULL },
};

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
	struct rendering_cache *cache[CACHES];
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

/* ---- documents ---- */

struct metrics_query {
	const struct metrics *metrics;
	struct client_choice choice;
};

static bool metrics_write_exposition(FILE *file, void *argument)
{
	const struct metrics *metrics = argument;

	return exposition_write(file, metrics->streams, metrics->per_client);
}

static bool metrics_write_status(FILE *file, void *argument)
{
	const struct metrics *metrics = argument;

	return status_json_write(file, metrics->streams, metrics->per_client);
}

static bool metrics_write_page(FILE *file, void *argument)
{
	const struct metrics *metrics = argument;

	live_page_write(file, metrics->streams, metrics->per_client);
	return !ferror(file);
}

/* The interval is that of the present load: what others ask for delays the next document, too. */
static bool metrics_write_view(FILE *file, void *argument)
{
	const struct metrics_query *query = argument;
	const struct metrics *metrics = query->metrics;
	uint64_t interval_ns = rendering_interval_ns(metrics->cache[CACHE_VIEWS]);

	return status_json_write_view(file,
				      &(struct status_view){
					      .streams = metrics->streams,
					      .choice = metrics->per_client ? &query->choice : NULL,
					      .interval_ns = interval_ns,
				      });
}

/* ---- requests ---- */

static void add_header(struct evhttp_request *request, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

/* No page of another origin may read, embed or interpret an answer. */
static void add_security_headers(struct evhttp_request *request)
{
	add_header(request, "Cache-Control", "no-store");
	add_header(request, "X-Content-Type-Options", "nosniff");
	add_header(request, "Referrer-Policy", "no-referrer");
	add_header(request, "Cross-Origin-Resource-Policy", "same-origin");
}

static void reply(struct evhttp_request *request, int code, const char *reason, const char *type,
		  struct evbuffer *body)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	add_header(request, "Content-Type", type);
	add_header(request, "Content-Length", length);
	add_security_headers(request);
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

static void reply_rendering(struct evhttp_request *request, struct rendering *rendering,
			    const char *type)
{
	struct evbuffer *body = evbuffer_new();

	if (rendering && body && rendering_send(rendering, body))
		reply(request, HTTP_OK, "OK", type, body);
	else
		reply_text(request, HTTP_INTERNAL, "Internal Server Error", "no memory");
	if (body)
		evbuffer_free(body);
}

static void metrics_reply(struct metrics *metrics, struct evhttp_request *request,
			  enum cache_kind kind, bool (*write)(FILE *file, void *argument),
			  const char *type)
{
	uint64_t now_ns = clock_monotonic_ns();

	reply_rendering(request, rendering_get(metrics->cache[kind], "", now_ns, write, metrics),
			type);
}

/* ---- views ---- */

static void reply_busy(struct evhttp_request *request)
{
	add_header(request, "Retry-After", "5");
	reply_text(request, HTTP_SERVUNAVAIL, "Service Unavailable",
		   "busy with what other viewers ask for; try again in 5 seconds");
}

/* Return true if the client has this document already. */
static bool request_has_tag(struct evhttp_request *request, const char *tag)
{
	const char *known =
		evhttp_find_header(evhttp_request_get_input_headers(request), "If-None-Match");

	return known && !strcmp(known, tag);
}

static void reply_view(struct evhttp_request *request, struct rendering *rendering,
		       const char *type)
{
	const char *tag = rendering_tag(rendering);

	add_header(request, "ETag", tag);
	if (!request_has_tag(request, tag)) {
		reply_rendering(request, rendering, type);
		return;
	}
	add_security_headers(request);
	add_header(request, "Connection", "close");
	evhttp_send_reply(request, HTTP_NOTMODIFIED, "Not Modified", NULL);
}

/* Answer with a document of the cache that all viewers share. */
static void metrics_reply_view(struct metrics *metrics, struct evhttp_request *request,
			       const char *kind, bool (*write)(FILE *file, void *argument),
			       void *argument, const char *type)
{
	struct rendering_cache *cache = metrics->cache[CACHE_VIEWS];
	uint64_t now_ns = clock_monotonic_ns();
	struct rendering *rendering = rendering_get(cache, kind, now_ns, write, argument);

	if (rendering)
		reply_view(request, rendering, type);
	else if (rendering_wait_ns(cache, now_ns))
		reply_busy(request);
	else
		reply_text(request, HTTP_INTERNAL, "Internal Server Error", "no memory");
}

/* Set @choice as the query of the URL says. Return: NULL, or the reason why it cannot. */
static const char *parse_query(const char *query, struct client_choice *choice)
{
	const char *expected = "expected NAME=VALUE&NAME=VALUE";
	const struct evkeyval *parameter;
	struct evkeyvalq list;
	bool valid = !evhttp_parse_query_str(query, &list);

	if (!valid)
		return expected;
	for (parameter = list.tqh_first; parameter && valid; parameter = parameter->next.tqe_next)
		valid = client_choice_set(choice, parameter->key, parameter->value, &expected);
	evhttp_clear_headers(&list);
	return valid ? NULL : expected;
}

static void status_requested(struct metrics *metrics, struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request)), *error;
	struct metrics_query view = {
		.metrics = metrics,
		.choice.limit = MAX_CHOSEN_CLIENTS,
	};
	char kind[CHOICE_KIND];

	if (!query || !*query) {
		metrics_reply(metrics, request, CACHE_STATUS, metrics_write_status,
			      "application/json");
		return;
	}
	error = parse_query(query, &view.choice);
	if (error)
		reply_text(request, HTTP_BADREQUEST, "Bad Request", error);
	else
		metrics_reply_view(metrics, request, client_choice_format(&view.choice, kind),
				   metrics_write_view, &view, "application/json");
}

static void exposition_requested(struct metrics *metrics, struct evhttp_request *request)
{
	metrics_reply(metrics, request, CACHE_METRICS, metrics_write_exposition, EXPOSITION_TYPE);
}

static void page_requested(struct metrics *metrics, struct evhttp_request *request)
{
	add_header(request, "Content-Security-Policy", live_page_policy());
	metrics_reply_view(metrics, request, "/", metrics_write_page, metrics,
			   "text/html; charset=utf-8");
}

static const struct metrics_path {
	const char *path;
	void (*requested)(struct metrics *metrics, struct evhttp_request *request);
} metrics_paths[] = {
	{ "/", page_requested },
	{ "/metrics", exposition_requested },
	{ "/status.json", status_requested },
};

static const struct metrics_path *find_path(const char *path)
{
	for (size_t i = 0; path && i < sizeof(metrics_paths) / sizeof(metrics_paths[0]); i++) {
		if (!strcmp(path, metrics_paths[i].path))
			return &metrics_paths[i];
	}
	return NULL;
}

static void request_received(struct evhttp_request *request, void *argument)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const struct metrics_path *path = find_path(uri ? evhttp_uri_get_path(uri) : NULL);
	enum evhttp_cmd_type command = evhttp_request_get_command(request);

	if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		add_header(request, "Allow", "GET, HEAD");
		reply_text(request, HTTP_BADMETHOD, "Method Not Allowed", "only GET and HEAD");
	} else if (path) {
		path->requested(argument, request);
	} else {
		reply_text(request, HTTP_NOTFOUND, "Not Found",
			   "dmacastd has /, /metrics and /status.json");
	}
}

/* ---- opening ---- */

static bool metrics_create_caches(struct metrics *metrics)
{
	for (size_t i = 0; i < CACHES; i++) {
		metrics->cache[i] = rendering_cache_create(&cache_policy[i]);
		if (!metrics->cache[i])
			return false;
	}
	return true;
}

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
	    !metrics_create_caches(metrics) || !metrics_set_up_http(metrics)) {
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
	for (size_t i = 0; i < CACHES; i++)
		rendering_cache_free(metrics->cache[i]);
	if (metrics->set)
		listen_close(metrics->set);
	if (metrics->sweep_timer)
		event_free(metrics->sweep_timer);
	free(metrics->address);
	free(metrics);
}
