// SPDX-License-Identifier: BSD-2-Clause
#include "inheritance.h"

#include "config/config.h"
#include "config/config_file.h"
#include "handover.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/parcel.h"
#include "lib/service.h"
#include "lib/state.h"
#include "lib/succession.h"
#include "stream/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct inheritance {
	struct parcel_content content;
	struct state *state; /* has the descriptors that nobody has taken */
	size_t connections;
	uint64_t frozen_ns;
	uint64_t handovers;	/* before this one */
	unsigned char *options; /* of the daemon, as text */
	size_t options_length;	/* bytes */
};

/* ---- finding it ---- */

/* Return: the descriptor that a program before this one has left; -1: none. */
static int inheritance_inherited(void)
{
	const char *text = getenv(HANDOVER_VARIABLE);
	char *end = NULL;
	long fd = text ? strtol(text, &end, 10) : -1;

	unsetenv(HANDOVER_VARIABLE);
	if (!text)
		return -1;
	if (end == text || *end || fd <= STDERR_FILENO || fd > INT_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC)) {
		log_error("nothing is taken over: " HANDOVER_VARIABLE " does not name an open "
			  "descriptor");
		return -1;
	}
	return (int)fd;
}

static void inheritance_log_unusable(const char *why, size_t connections)
{
	log_error("nothing is taken over, and %zu connection(s) are reset: what the predecessor "
		  "left cannot be used: %s",
		  connections, why);
}

/* @fd: closed; -1: none. Return: true if @inheritance has a parcel now that it had not. */
static bool inheritance_unpack(struct inheritance *inheritance, int fd)
{
	struct parcel_content content;
	char wrong[PARCEL_WRONG_TEXT];

	if (fd < 0)
		return false;
	if (!parcel_unpack(fd, &content, wrong)) {
		inheritance_log_unusable(wrong, content.reset);
		return false;
	}
	if (inheritance->content.data) {
		inheritance_log_unusable("there is another one",
					 parcel_discard(content.descriptors, content.count));
		parcel_free_content(&content);
		return false;
	}
	inheritance->content = content;
	return true;
}

static void inheritance_find(struct inheritance *inheritance)
{
	bool stored = false;
	int fd;

	inheritance_unpack(inheritance, inheritance_inherited());
	while ((fd = service_take_stored()) >= 0) {
		inheritance_unpack(inheritance, fd);
		stored = true;
	}
	if (stored)
		service_forget_stored();
}

/* ---- using it ---- */

/* Return: false after an error, which was logged. */
static bool inheritance_parse(struct inheritance *inheritance)
{
	struct parcel_content *content = &inheritance->content;
	char wrong[STATE_WRONG_TEXT];
	struct state *state;

	/* Until all is restored, whatever closes a connection resets it. */
	inheritance->connections = parcel_abort_on_close(content);
	state = state_decode(content->data, content->length, content->descriptors, content->count,
			     wrong);
	inheritance->state = state;
	if (!state) {
		inheritance_log_unusable(wrong, inheritance->connections);
		return false;
	}
	state_u64(state, "frozen_ns", &inheritance->frozen_ns);
	state_u64(state, "handovers", &inheritance->handovers);
	state_bytes(state, "options", &inheritance->options, &inheritance->options_length,
		    content->length);
	if (!state_failed(state) && inheritance->options)
		return true;
	inheritance_log_unusable(state_why(state), inheritance->connections);
	return false;
}

struct inheritance *inheritance_take(void)
{
	struct inheritance *inheritance = calloc(1, sizeof(*inheritance));

	if (!inheritance) {
		log_error("no memory to look for what a predecessor left");
		return NULL;
	}
	inheritance_find(inheritance);
	if (inheritance->content.data && inheritance_parse(inheritance))
		return inheritance;
	inheritance_free(inheritance);
	return NULL;
}

bool inheritance_restore_options(const struct inheritance *inheritance, struct config *config)
{
	return config_file_parse(config, "options of the predecessor",
				 (const char *)inheritance->options, inheritance->options_length);
}

static void inheritance_report(const struct inheritance *inheritance, const struct streams *streams)
{
	struct succession handover = { .handovers = inheritance->handovers + 1,
				       .streams = streams_count(streams),
				       .clients = streams_clients(streams) };

	handover.pause_ns = clock_monotonic_ns() - inheritance->frozen_ns;
	succession_set(&handover);
	log_notice("took over %" PRIu64 " stream(s) with %" PRIu64 " client(s) from dmacastd %s "
		   "after a pause of %" PRIu64 " ms",
		   handover.streams, handover.clients, inheritance->content.version,
		   handover.pause_ns / 1000000);
}

bool inheritance_restore_streams(struct inheritance *inheritance, struct streams *streams)
{
	if (!streams_restore(streams, inheritance->state)) {
		inheritance_log_unusable(state_why(inheritance->state), inheritance->connections);
		return false;
	}
	parcel_close_as_before(&inheritance->content);
	inheritance_report(inheritance, streams);
	return true;
}

void inheritance_free(struct inheritance *inheritance)
{
	if (!inheritance)
		return;
	state_free(inheritance->state);
	parcel_free_content(&inheritance->content);
	free(inheritance->options);
	free(inheritance);
}
