// SPDX-License-Identifier: BSD-2-Clause
#include "config/option_table.h"

#include "lib/settings.h"
#include "lib/units.h"

#include <assert.h>
#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define MILLISECOND 1000ULL
#define SECOND 1000000ULL
#define HOUR (3600 * SECOND)

static const char *const log_level_words[] = {
	"error", "warning", "notice", "info", "debug", NULL
};
static const char *const on_end_words[] = { "auto", "close", "wait", NULL };
static const char *const listen_when_words[] = { "now", "available", NULL };
static const char *const overrun_words[] = { "drop-oldest", "stall", NULL };
static const char *const huge_pages_words[] = { "auto", "never", "require", NULL };
static const char *const pattern_form_words[] = { "offsets", "stamped", "resident", NULL };
static const char *const lag_policy_words[] = { "drop", "disconnect", "block", "latest", NULL };
static const char *const half_close_words[] = { "keep", "end", NULL };
const char *const option_zerocopy_words[] = { "auto", "always", "never", NULL };
const char *const option_format_words[] = { "raw", "framed", "http", NULL };
static const char *const input_format_words[] = { "raw", "framed", NULL };
static const char *const client_input_words[] = { "discard", "source", NULL };

#define DAEMON(option_name, field_name, type_name)                                     \
	.name = option_name, .scope = OPTION_DAEMON, .type = &option_type_##type_name, \
	.field = offsetof(struct daemon_settings, field_name)
#define STREAM(option_name, field_name, type_name)                                     \
	.name = option_name, .scope = OPTION_STREAM, .type = &option_type_##type_name, \
	.field = offsetof(struct stream_settings, field_name)

/* In [stream NAME] for its own endpoints, and in [endpoint NAME]. */
#define CLIENT(option_name, field_name, type_name)  \
	STREAM(option_name, field_name, type_name), \
		.in_endpoint = true,                \
		.endpoint_field = offsetof(struct endpoint_settings, field_name)

/* In [endpoint NAME] only, and not on the command line. */
#define ENDPOINT(option_name, field_name, type_name)                                     \
	.name = option_name, .scope = OPTION_ENDPOINT, .type = &option_type_##type_name, \
	.in_endpoint = true, .endpoint_field = offsetof(struct endpoint_settings, field_name)

const struct option_definition option_table[] = {
	{ DAEMON("log-level", log_level, choice), .effect = OPTION_AT_ONCE, .default_text = "info",
	  .choices = log_level_words,
	  .help = "log messages of this level and of all more important ones" },
	{ DAEMON("drain-timeout", drain_timeout, duration), .effect = OPTION_AT_ONCE,
	  .default_text = "5s", .maximum = HOUR,
	  .help = "time for clients to receive the rest when dmacastd stops" },
	{ DAEMON("strict", strict, boolean), .effect = OPTION_AT_ONCE, .default_text = "no",
	  .help = "refuse to start where the kernel may complete zero-copy sends early" },
	{ DAEMON("control", control, path), .help = "Unix socket for dmacastctl" },
	{ DAEMON("metrics", metrics, address),
	  .help = "serve /metrics and /status.json by HTTP at this address; :PORT: loopback only" },
	{ DAEMON("metrics-per-client", metrics_per_client, boolean), .default_text = "no",
	  .help = "show each client in the metrics, not only the totals of each stream" },

	{ STREAM("input", input, input),
	  .help = "source: -, PATH, unix:PATH, tcp://HOST:PORT, http://..., tcp-listen:PORT, "
		  "exec:CMD" },
	{ STREAM("input-format", input_format, choice), .default_text = "raw",
	  .choices = input_format_words,
	  .help = "what the input sends: bytes, or the frames of another dmacastd (a relay)" },
	{ STREAM("pattern", pattern, rate), .minimum = 1, .maximum = UNITS_RATE_MAX,
	  .help = "source: test data at this rate, which receivers can check" },
	{ STREAM("pattern-form", pattern_form, choice), .default_text = "offsets",
	  .choices = pattern_form_words,
	  .help = "benchmarks only: time-stamp each block; \"resident\" rewrites nothing else" },
	{ STREAM("device", device, path),
	  .help = "source: a device of dmacast.ko, such as /dev/dmacast/adc" },
	{ STREAM("loop", loop, boolean), .default_text = "no",
	  .help = "start again at the end of a regular file" },
	{ STREAM("baud", baud, count), .default_text = "0", .maximum = 100000000,
	  .help = "speed of an input that is a terminal, in bit/s; 0: as it is set" },
	{ STREAM("on-end", on_end, choice), .default_text = "auto", .choices = on_end_words,
	  .help = "at the end of the source: close the stream, or wait for the source to return" },
	{ STREAM("stop-timeout", stop_timeout, duration), .effect = OPTION_AT_ONCE,
	  .default_text = "5s", .maximum = HOUR,
	  .help = "time for a command to end after SIGTERM; then it is killed" },
	{ STREAM("input-timeout", input_timeout, duration), .effect = OPTION_AT_ONCE,
	  .default_text = "0s", .maximum = 24 * HOUR,
	  .help = "connect again, or restart the command, after this time without a byte; 0: "
		  "never" },
	{ STREAM("hold", hold, count), .effect = OPTION_AT_ONCE, .default_text = "0",
	  .maximum = 100000, .help = "start the source only when this many clients are connected" },
	{ STREAM("on-demand", on_demand, boolean), .effect = OPTION_AT_ONCE, .default_text = "no",
	  .help = "start the source for the first client, and stop it after the last one" },
	{ STREAM("linger", linger, duration), .effect = OPTION_AT_ONCE, .default_text = "5s",
	  .maximum = 24 * HOUR,
	  .help = "time from the last client's end until on-demand stops the source" },
	{ STREAM("flush", flush, duration), .effect = OPTION_AT_ONCE, .default_text = "100ms",
	  .minimum = MILLISECOND, .maximum = HOUR,
	  .help = "send a block that is not full after this time from its first byte" },
	{ STREAM("overrun", overrun, choice), .default_text = "drop-oldest",
	  .choices = overrun_words,
	  .help = "when a device has no free block: drop its oldest unread block, or stall" },
	{ STREAM("contiguous", contiguous, boolean), .default_text = "no",
	  .help = "allocate each block of a device in one physically contiguous piece" },
	{ STREAM("record-size", record_size, size), .minimum = 1, .maximum = 64 * MIB,
	  .help = "size of a record; no client begins or continues within one" },
	{ STREAM("record-end", record_end, record_end),
	  .help = "bytes at the end of each record, such as \\n, instead of a size" },
	{ STREAM("preamble", preamble, preamble),
	  .help = "first for each client that joins: a file, or this many first bytes of the "
		  "source" },
	{ ENDPOINT("stream", stream, name), .effect = OPTION_AT_ONCE,
	  .help = "the stream that clients of this endpoint receive" },
	{ CLIENT("listen", listen, endpoint), .effect = OPTION_AT_ONCE,
	  .help = "endpoint for clients, or systemd:NAME; may be given several times" },
	{ CLIENT("listen-when", listen_when, choice), .effect = OPTION_AT_ONCE,
	  .default_text = "now", .choices = listen_when_words,
	  .help = "endpoint whose address is missing: refuse the start, or wait for it" },
	{ STREAM("block-size", block_size, size), .default_text = "256K", .minimum = 4 * KIB,
	  .maximum = 64 * MIB,
	  .help = "size of a block, the unit of recycling; a multiple of the page size" },
	{ STREAM("ring-size", ring_size, size), .default_text = "16M", .minimum = 16 * KIB,
	  .maximum = 1024 * GIB, .help = "memory of all blocks together" },
	{ STREAM("low-water", low_water, count), .effect = OPTION_AT_ONCE, .default_text = "auto",
	  .has_auto = true, .minimum = 1, .maximum = 1000000,
	  .help = "number of free blocks at which the slowest client gives way" },
	{ STREAM("retain", retain, lag), .effect = OPTION_AT_ONCE, .default_text = "none",
	  .help = "keep the last blocks, of this size or age, for clients with another start than "
		  "live" },
	{ STREAM("huge-pages", huge_pages, choice), .default_text = "auto",
	  .choices = huge_pages_words, .help = "use huge pages for the ring" },
	{ CLIENT("lag-policy", client.lag_policy, choice), .effect = OPTION_AT_ONCE,
	  .default_text = "drop", .choices = lag_policy_words,
	  .help = "what happens to a client that is too slow" },
	{ CLIENT("lag-limit", client.lag_limit, lag), .effect = OPTION_AT_ONCE,
	  .default_text = "none",
	  .help = "apply lag-policy to a client that is this far behind, not only at low-water" },
	{ CLIENT("zerocopy", client.zerocopy, choice), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "auto", .choices = option_zerocopy_words,
	  .help = "send with MSG_ZEROCOPY" },
	{ CLIENT("format", client.format, choice), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "raw", .choices = option_format_words,
	  .help = "send the blocks as they are, with a header before each, or after an HTTP "
		  "request" },
	{ CLIENT("start", client.start, start), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "live",
	  .help = "begin with the next block, the oldest one, or this far before the end" },
	{ CLIENT("request-timeout", client.request_timeout, duration), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "10s", .minimum = 100 * MILLISECOND, .maximum = HOUR,
	  .help = "time for an HTTP client to send its request" },
	{ STREAM("meta", meta, meta), .effect = OPTION_AT_ONCE,
	  .help = "a text for framed clients; meta.KEY = TEXT in a file; may be given several "
		  "times" },
	{ CLIENT("max-clients", client.max_clients, count), .effect = OPTION_AT_ONCE,
	  .default_text = "4096", .minimum = 1, .maximum = 100000,
	  .help = "maximum number of clients at the same time" },
	{ CLIENT("max-clients-per-address", client.max_clients_per_address, count),
	  .effect = OPTION_AT_ONCE, .default_text = "0", .maximum = 100000,
	  .help = "maximum number of clients from one address; 0: no limit" },
	{ CLIENT("connect-rate", client.connect_rate, count), .effect = OPTION_AT_ONCE,
	  .default_text = "0", .maximum = 1000000,
	  .help = "maximum number of new clients in a second; 0: no limit" },
	{ CLIENT("allow", client.access, allow), .effect = OPTION_AT_ONCE,
	  .help = "accept clients from these addresses; the last match of allow and deny decides" },
	{ CLIENT("deny", client.access, deny), .effect = OPTION_AT_ONCE,
	  .help = "refuse clients from these addresses; the last match of allow and deny decides" },
	{ CLIENT("max-rate", client.max_rate, rate), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "max", .minimum = 1 * KIB, .maximum = UNITS_RATE_MAX,
	  .help = "send to each client at most at this rate" },
	{ CLIENT("send-buffer", client.send_buffer, size), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "auto", .has_auto = true, .minimum = 4 * KIB, .maximum = 1 * GIB,
	  .help = "socket send buffer of each client" },
	{ CLIENT("notsent-lowat", client.notsent_lowat, size), .effect = OPTION_AT_ONCE,
	  .default_text = "auto", .has_auto = true, .minimum = 4 * KIB, .maximum = 1 * GIB,
	  .help = "give a client's socket more data only below this number of unsent bytes, or "
		  "fewer" },
	{ STREAM("socket-memory", client.socket_memory, size), .effect = OPTION_AT_ONCE,
	  .default_text = "auto", .has_auto = true, .minimum = 64 * KIB, .maximum = 1024 * GIB,
	  .help = "limit of the unsent data in the sockets of all clients, beyond 16K for each" },
	{ CLIENT("half-close", client.half_close, choice), .effect = OPTION_AT_ONCE,
	  .default_text = "keep", .choices = half_close_words,
	  .help = "a client that shuts down its sending side: keep sending, or end the "
		  "connection" },
	{ CLIENT("client-input", client.input, choice), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "discard", .choices = client_input_words,
	  .help = "what clients send: discard it, or write it to the source" },
	{ CLIENT("client-input-size", client.input_size, count), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "0", .maximum = MAX_CLIENT_INPUT,
	  .help = "bytes of a command, which reaches the source whole; 0: as it comes" },
	{ CLIENT("keepalive", client.keepalive, duration), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "30s", .maximum = 9 * HOUR,
	  .help = "probe a client after this time of silence; 0: never" },
	{ CLIENT("user-timeout", client.user_timeout, duration), .effect = OPTION_NEW_CLIENTS,
	  .default_text = "60s", .maximum = 9 * HOUR,
	  .help = "end a client that acknowledges nothing for this time; 0: the kernel's own "
		  "limits" },
	{ CLIENT("congestion", client.congestion, word), .effect = OPTION_NEW_CLIENTS,
	  .help = "the kernel's TCP congestion control for clients, such as bbr" },
	{ CLIENT("dscp", client.dscp, dscp), .effect = OPTION_NEW_CLIENTS, .default_text = "0",
	  .maximum = 63, .help = "mark packets to clients with this code point: EF, CS5, AF41, N" },
	{ CLIENT("interface", client.interface, word), .effect = OPTION_AT_ONCE,
	  .help = "accept clients on this network interface only" },
	{ CLIENT("backlog", client.backlog, count), .effect = OPTION_AT_ONCE,
	  .default_text = "4096", .minimum = 1, .maximum = 65535,
	  .help = "maximum number of connections that wait to be accepted" },
	{ CLIENT("reuse-port", client.reuse_port, boolean), .effect = OPTION_AT_ONCE,
	  .default_text = "no",
	  .help = "let other processes listen on the same address and share the clients" },
};

const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

/* Return true if @name is that of @option, or its name with a key. */
static bool is_called(const struct option_definition *option, const char *name)
{
	size_t length = strlen(option->name);

	return !strncmp(option->name, name, length) &&
	       (!name[length] || (option->type->keyed && name[length] == '.'));
}

bool option_is_in(const struct option_definition *option, enum option_scope scope)
{
	return option->scope == scope || (scope == OPTION_ENDPOINT && option->in_endpoint);
}

/* Return the member of @settings. */
static const void *option_member(const struct option_definition *option, enum option_scope scope,
				 const void *settings)
{
	return (const char *)settings +
	       (scope == OPTION_ENDPOINT ? option->endpoint_field : option->field);
}

const struct option_definition *option_find(enum option_scope scope, const char *name)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_is_in(&option_table[i], scope) && is_called(&option_table[i], name))
			return &option_table[i];
	}
	return NULL;
}

bool option_set(const struct option_definition *option, enum option_scope scope, void *settings,
		const char *text, char expected[OPTION_ERROR_TEXT])
{
	return option->type->parse(
		option, (void *)(uintptr_t)option_member(option, scope, settings), text, expected);
}

bool option_set_line(const struct option_definition *option, enum option_scope scope,
		     void *settings, const char *name, const char *value,
		     char expected[OPTION_ERROR_TEXT])
{
	const char *key = name + strlen(option->name);
	char *text;
	bool set;

	if (!option->type->keyed)
		return option_set(option, scope, settings, value, expected);
	expected[0] = '\0';
	if (asprintf(&text, "%s=%s", *key ? key + 1 : key, value) < 0)
		return false;
	set = option_set(option, scope, settings, text, expected);
	free(text);
	return set;
}

void option_set_defaults(enum option_scope scope, void *settings)
{
	char expected[OPTION_ERROR_TEXT];
	bool accepted;

	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (!option_is_in(option, scope) || !option->default_text)
			continue;
		/* A unit test checks that each default is accepted, and that none needs memory. */
		accepted = option_set(option, scope, settings, option->default_text, expected);
		assert(accepted);
	}
}

/* Return true if @is_set has an option with the same member as @option: `allow` and `deny` are one list. */
static bool option_is_set(const struct option_definition *option, const bool *is_set)
{
	for (size_t i = 0; i < option_count; i++) {
		if (is_set[i] && option_table[i].in_endpoint &&
		    option_table[i].endpoint_field == option->endpoint_field)
			return true;
	}
	return false;
}

bool option_inherit(struct endpoint_settings *endpoint, const struct stream_settings *stream,
		    const bool *is_set)
{
	bool complete = true;

	for (size_t i = 0; complete && i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (!option_is_in(option, OPTION_STREAM) || !option->in_endpoint ||
		    option->type == &option_type_endpoint || option_is_set(option, is_set))
			continue;
		complete = option->type->copy(option, (char *)endpoint + option->endpoint_field,
					      (const char *)stream + option->field);
	}
	return complete;
}

bool option_changes(enum option_scope scope, unsigned int effects, const void *a, const void *b,
		    char names[OPTION_NAMES_TEXT])
{
	names[0] = '\0';
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (!option_is_in(option, scope) || !(effects & OPTION_EFFECT(option->effect)) ||
		    option->type->is_equal(option, option_member(option, scope, a),
					   option_member(option, scope, b)))
			continue;
		strlcat(names, *names ? ", " : "", OPTION_NAMES_TEXT);
		strlcat(names, option->name, OPTION_NAMES_TEXT);
	}
	return *names;
}

static void add_endpoint_name(const char *name, char names[OPTION_NAMES_TEXT])
{
	strlcat(names, *names ? ", endpoint " : "endpoint ", OPTION_NAMES_TEXT);
	strlcat(names, name, OPTION_NAMES_TEXT);
}

bool option_endpoint_changes(const struct stream_settings *a, const struct stream_settings *b,
			     char names[OPTION_NAMES_TEXT])
{
	const struct endpoint_settings *endpoint, *other;
	char options[OPTION_NAMES_TEXT];

	names[0] = '\0';
	for (size_t i = 0; i < a->endpoint_count; i++) {
		endpoint = &a->endpoints[i];
		other = stream_settings_find_endpoint(b, endpoint->name);
		if (!other ||
		    option_changes(OPTION_ENDPOINT, OPTION_EFFECTS_ALL, endpoint, other, options))
			add_endpoint_name(endpoint->name, names);
	}
	for (size_t i = 0; i < b->endpoint_count; i++) {
		endpoint = &b->endpoints[i];
		if (!stream_settings_find_endpoint(a, endpoint->name))
			add_endpoint_name(endpoint->name, names);
	}
	return *names;
}

void option_print(const struct option_definition *option, enum option_scope scope,
		  const void *settings, FILE *file)
{
	option->type->print(option, option_member(option, scope, settings), file);
}

void option_describe_value(const struct option_definition *option, FILE *file)
{
	option->type->describe(option, file);
}
