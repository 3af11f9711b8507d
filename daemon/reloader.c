// SPDX-License-Identifier: BSD-2-Clause
#include "reloader.h"

#include "config/arguments.h"
#include "host/limits.h"
#include "lib/log.h"
#include "stream/preparation.h"

#include <bsd/string.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

struct reloader {
	struct event_base *base;
	struct streams *streams;
	const struct config *current;
	int argc;
	char **argv;
	const struct reloader_callbacks *callbacks;
	void *argument; /* of the callbacks */
	struct event begin;
	uint64_t number; /* of the last reload that began */
	bool requested;	 /* the next one */
	bool first;	 /* the next one is that of reloader_request_first() */
	bool running;
	struct config next;		 /* while one is running */
	struct preparation *preparation; /* while one is running */
	char text[1024];		 /* its warnings and errors */
};

/* ---- the messages of a reload ---- */

static void reloader_begin_step(void *argument)
{
	struct reloader *reloader = argument;

	log_collect(reloader->text, sizeof(reloader->text));
}

static void reloader_end_step(void *argument)
{
	(void)argument;
	log_collect(NULL, 0);
}

/* ---- the end of a reload ---- */

static void reloader_end(struct reloader *reloader, bool done)
{
	reloader->running = false;
	preparation_free(reloader->preparation);
	reloader->preparation = NULL;
	config_free(&reloader->next);
	reloader->callbacks->done(reloader->argument, reloader->number, done, reloader->text);
}

static void reloader_finish(struct reloader *reloader, bool done)
{
	reloader_begin_step(reloader);
	if (!done && reloader->current->file)
		log_error("%s was not applied; the previous configuration stays in effect",
			  reloader->current->file);
	reloader_end_step(reloader);
	reloader_end(reloader, done);
	if (reloader->requested)
		event_active(&reloader->begin, EV_TIMEOUT, 0);
}

static void reloader_prepared(void *argument)
{
	struct reloader *reloader = argument;
	bool done;

	reloader_begin_step(reloader);
	done = reloader->callbacks->apply(reloader->argument, &reloader->next,
					  reloader->preparation);
	reloader_end_step(reloader);
	reloader_finish(reloader, done);
}

static void reloader_not_prepared(void *argument)
{
	reloader_finish(argument, false);
}

/* ---- the start of a reload ---- */

static const struct preparation_callbacks reloader_preparation_callbacks = {
	.ready = reloader_prepared,
	.failed = reloader_not_prepared,
	.begin_step = reloader_begin_step,
	.end_step = reloader_end_step,
};

static bool reloader_read(struct reloader *reloader)
{
	struct config *next = &reloader->next;

	if (!reloader->current->file && !reloader->first) {
		log_warning("nothing to reload: dmacastd was started without a configuration file "
			    "(-c FILE)");
		return false;
	}
	if (reloader->current->file)
		log_notice("reading %s again", reloader->current->file);
	if (arguments_parse(reloader->argc, reloader->argv, next) != ARGUMENTS_RUN ||
	    !limits_report(&next->daemon, next->streams, next->stream_count))
		return false;
	reloader->preparation = preparation_start(reloader->base, reloader->streams, next->streams,
						  next->stream_count, NULL,
						  &reloader_preparation_callbacks, reloader);
	return reloader->preparation;
}

static void reloader_begin(evutil_socket_t fd, short what, void *argument)
{
	struct reloader *reloader = argument;
	bool right;

	(void)fd;
	(void)what;
	reloader->requested = false;
	reloader->running = true;
	reloader->number++;
	reloader->text[0] = '\0';
	config_init(&reloader->next);
	reloader->callbacks->begun(reloader->argument);
	reloader_begin_step(reloader);
	right = reloader_read(reloader);
	reloader->first = false;
	reloader_end_step(reloader);
	if (!right)
		reloader_finish(reloader, false);
}

struct reloader *reloader_create(struct event_base *base, struct streams *streams,
				 const struct config *config, int argc, char **argv,
				 const struct reloader_callbacks *callbacks, void *argument)
{
	struct reloader *reloader = calloc(1, sizeof(*reloader));

	if (!reloader)
		return NULL;
	reloader->base = base;
	reloader->streams = streams;
	reloader->current = config;
	reloader->argc = argc;
	reloader->argv = argv;
	reloader->callbacks = callbacks;
	reloader->argument = argument;
	evtimer_assign(&reloader->begin, base, reloader_begin, reloader);
	return reloader;
}

uint64_t reloader_request(struct reloader *reloader)
{
	reloader->requested = true;
	if (!reloader->running)
		event_active(&reloader->begin, EV_TIMEOUT, 0);
	return reloader->number + 1;
}

void reloader_request_first(struct reloader *reloader)
{
	reloader->first = true;
	reloader_request(reloader);
}

bool reloader_is_busy(const struct reloader *reloader)
{
	return reloader->running || reloader->requested;
}

void reloader_cancel(struct reloader *reloader, const char *why)
{
	if (!reloader_is_busy(reloader))
		return;
	log_notice("%s", why);
	strlcpy(reloader->text, why, sizeof(reloader->text));
	event_del(&reloader->begin);
	if (reloader->running)
		reloader_end(reloader, false);
	if (!reloader->requested)
		return;
	reloader->requested = false;
	reloader->callbacks->done(reloader->argument, ++reloader->number, false, reloader->text);
}

void reloader_free(struct reloader *reloader)
{
	if (!reloader)
		return;
	event_del(&reloader->begin);
	preparation_free(reloader->preparation);
	if (reloader->running)
		config_free(&reloader->next);
	free(reloader);
}
