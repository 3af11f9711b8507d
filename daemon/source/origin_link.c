// SPDX-License-Identifier: BSD-2-Clause
#include "source/origin_link.h"

#include "lib/state.h"
#include "source/caller.h"
#include "source/command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void origin_link_init(struct origin_link *link, struct event_base *base,
		      const struct stream_settings *settings,
		      const struct origin_link_callbacks *callbacks, void *argument)
{
	*link = (struct origin_link){
		.base = base,
		.settings = settings,
		.callbacks = callbacks,
		.argument = argument,
		.fd = -1,
	};
}

static void origin_link_cancel_caller(struct origin_link *link)
{
	if (link->caller)
		caller_cancel(link->caller);
	link->caller = NULL;
}

static void origin_link_opened(struct origin_link *link, int fd)
{
	link->fd = fd;
	link->callbacks->opened(link->argument, fd);
}

static void origin_link_connected(void *argument, int fd, const char *error)
{
	struct origin_link *link = argument;
	struct caller *caller = link->caller;

	/* The text of the error is the caller's. */
	link->caller = NULL;
	if (fd >= 0)
		origin_link_opened(link, fd);
	else
		link->callbacks->failed(link->argument, error, caller_status(caller));
	caller_cancel(caller);
}

static void origin_link_command_ended(void *argument)
{
	struct origin_link *link = argument;

	command_release(link->command);
	link->command = NULL;
	/* Its output is read to the end. */
	link->reads_command = false;
	link->callbacks->ended(link->argument);
}

static void origin_link_start_command(struct origin_link *link, const char *text)
{
	int output;

	link->command = command_start(link->base, link->settings->name, text, &output, NULL,
				      origin_link_command_ended, link);
	if (!link->command) {
		link->callbacks->failed(link->argument, strerror(errno), 0);
		return;
	}
	link->reads_command = true;
	origin_link_opened(link, output);
}

void origin_link_open(struct origin_link *link, const struct input *input, const char *start)
{
	if (input->kind == INPUT_EXEC) {
		origin_link_start_command(link, input->argument);
		return;
	}
	link->caller =
		caller_start(link->base, input, "framed", start, origin_link_connected, link);
	if (!link->caller)
		link->callbacks->failed(link->argument, "no memory", 0);
}

/* End the command. What it still writes is read: SIGPIPE would keep it from closing its files. */
static void origin_link_end_command(struct origin_link *link, bool is_over)
{
	if (is_over)
		command_finish(link->command, link->settings->stop_timeout);
	else
		command_end(link->command, link->settings->stop_timeout);
	command_drain(link->command, link->fd);
	link->reads_command = false;
	link->fd = -1;
}

void origin_link_close(struct origin_link *link, bool is_over)
{
	origin_link_cancel_caller(link);
	if (link->reads_command)
		origin_link_end_command(link, is_over);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

bool origin_link_is_busy(const struct origin_link *link)
{
	return link->command;
}

void origin_link_kill(struct origin_link *link)
{
	if (link->command)
		command_kill(link->command);
}

void origin_link_release(struct origin_link *link)
{
	if (link->command)
		command_release(link->command);
	link->command = NULL;
}

/* ---- handover ---- */

static void origin_link_transfer(struct origin_link *link, struct state *state)
{
	state_descriptor(state, "fd", &link->fd);
	state_bool(state, "reads_command", &link->reads_command);
}

void origin_link_save(struct origin_link *link, struct state *state)
{
	origin_link_transfer(link, state);
	if (state_optional(state, "runs", link->command)) {
		command_save(link->command, state);
		state_leave(state);
	}
}

const char *origin_link_restore(struct origin_link *link, struct state *state)
{
	origin_link_transfer(link, state);
	if (state_optional(state, "runs", false)) {
		link->command = command_restore(link->base, link->settings->name,
						origin_link_command_ended, link, state);
		state_leave(state);
	}
	if (!link->reads_command || (link->fd >= 0 && link->command))
		return NULL;
	/* Nothing is read from it. */
	link->reads_command = false;
	return "reads_command: there is no command, or no descriptor";
}
