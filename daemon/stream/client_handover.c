// SPDX-License-Identifier: BSD-2-Clause
/*
 * A client that is saved by one process and restored by the next one, with its connection. Both directions are the same
 * calls; the connection itself comes last, so that a failure before it leaves nothing to complete.
 *
 * The new event reports all that the socket has, also what the other process has noticed already: `input_ended` keeps a
 * FIN from being handled twice. What was due by the clock is due then, too.
 */
#include "stream/client.h"

#include "lib/state.h"
#include "ring/ring.h"
#include "stream/client_internal.h"
#include "stream/client_socket.h"

#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Return true while the client has something to send that is no block. */
static bool client_has_output(const struct client *client)
{
	return client_is_active(client) || client->state == CLIENT_ANSWERING;
}

/* Both kinds of address fit into the longer one. */
static void client_transfer_peer(struct client *client, struct state *state)
{
	state_fixed_bytes(state, "peer", &client->peer, sizeof(struct sockaddr_in6));
	if (state_is_saving(state) || state_failed(state))
		return;
	if (client->peer.ss_family != AF_INET && client->peer.ss_family != AF_INET6)
		state_fail(state, "peer: unknown address family %d", client->peer.ss_family);
	else
		address_format((const struct sockaddr *)&client->peer, client->peer_text);
}

static void client_transfer_state(struct client *client, struct state *state)
{
	int number = (int)client->state;

	state_choice(state, "state", &number, CLIENT_GONE);
	client->state = (enum client_state)number;
	state_u64(state, "joined_ns", &client->joined_ns);
	state_u64(state, "deadline_ns", &client->deadline_ns);
	state_u16(state, "overdue", &client->overdue);
	if (client->state < CLIENT_CLOSING && !client->deadline_ns != client_is_active(client))
		state_fail(state, "has a deadline of %" PRIu64 " in state %d", client->deadline_ns,
			   number);
}

/* Transfer a reason. @memory: restoring: of the text, NULL for that of the reason itself */
static void client_transfer_reason(struct state *state, const char *name, enum leave_reason *reason,
				   const char **text, char **memory)
{
	int number = (int)*reason;
	/* Saving does not change the text. */
	char *saved = *text == leave_reason_text(*reason) ? NULL : (char *)(uintptr_t)*text;

	state_enter(state, name);
	state_choice(state, "reason", &number, LEAVE_REASONS);
	state_string_copy(state, "text", &saved);
	state_leave(state);
	if (state_is_saving(state))
		return;
	*reason = (enum leave_reason)number;
	*memory = saved;
	*text = saved ? saved : leave_reason_text(*reason);
}

/* Without a queue, the task is the least one. */
static void client_transfer_task(struct client *client, struct state *state)
{
	bool has_task = !state_is_saving(state) || client->queue;
	int number = has_task ? (int)client->task : CLIENT_TASK_SEND;

	state_choice(state, "task", &number, CLIENT_TASK_KICK + 1);
	if (!state_is_saving(state))
		client->task = (enum client_task)number;
	if (number == CLIENT_TASK_KICK)
		client_transfer_reason(state, "kick", &client->kick_reason, &client->kick_text,
				       &client->kick_memory);
}

static void client_transfer_request(struct client *client, struct state *state)
{
	const struct client_group *group = client->group;

	state_bool(state, "is_http", &client->is_http);
	if (!state_optional(state, "request", client->request))
		return;
	if (!state_is_saving(state))
		client->request = http_request_create();
	if (!client->request)
		state_fail(state, "no memory");
	else
		http_request_transfer(client->request, state);
	if (!group->frames || !group->http_answers)
		state_fail(state, "the stream does not answer requests");
	state_leave(state);
}

static void client_transfer_input(struct client *client, struct state *state)
{
	state_bool(state, "forwards_input", &client->forwards_input);
	state_u64(state, "input_unit", &client->input_unit);
	state_bool(state, "input_ended", &client->input_ended);
	state_u64(state, "input_end_ns", &client->input_end_ns);
	state_u64(state, "input_end_sent", &client->input_end_sent);
	if (client->input_unit > MAX_CLIENT_INPUT)
		state_fail(state, "input_unit: %" PRIu64 "; expected at most %u",
			   client->input_unit, MAX_CLIENT_INPUT);
	if (client->forwards_input && !client->group->input)
		state_fail(state, "the source of the stream takes no input");
}

/* Where it ends while the stream goes on. */
static void client_transfer_end(struct client_end *end, struct state *state)
{
	if (!state_is_saving(state))
		end->sequence = CLIENT_NOT_DUE;
	if (!state_optional(state, "end", end->sequence != CLIENT_NOT_DUE))
		return;
	state_u64(state, "sequence", &end->sequence);
	state_u64(state, "position", &end->position);
	state_u32(state, "epoch", &end->epoch);
	state_leave(state);
}

/* What goes between two blocks. */
static void client_transfer_asides(struct client *client, struct state *state)
{
	client_aside_transfer(&client->aside, state);
	state_shared_bytes(state, "preamble", &client->preamble, MAX_PREAMBLE);
	state_u32(state, "preamble_epoch", &client->preamble_epoch);
	state_bool(state, "preamble_is_late", &client->preamble_is_late);
	state_bool(state, "catches_up", &client->catches_up);
	state_u64(state, "metadata_due", &client->metadata_due);
	client_transfer_end(&client->end, state);
	state_bool(state, "end_sent", &client->end_sent);
	if (client->preamble_is_late && !client->group->preamble)
		state_fail(state, "the stream has no preamble");
	if (client->end.sequence != CLIENT_NOT_DUE && client->state == CLIENT_STREAMING)
		state_fail(state, "it has a place to end at, and does not finish");
	if (client->end_sent && client->state == CLIENT_STREAMING)
		state_fail(state, "it has the end of a stream that goes on");
}

/* Outside of the window the cursor is for reports only. */
static void client_transfer_last_cursor(struct client *client, struct state *state)
{
	state_enter(state, "cursor");
	state_u64(state, "sequence", &client->cursor.sequence);
	state_bool(state, "framed", &client->cursor.framed);
	state_leave(state);
}

/* Transfer all but what is in the window and in the socket. */
static void client_transfer(struct client *client, struct state *state)
{
	client_transfer_state(client, state);
	client_transfer_peer(client, state);
	state_string(state, "endpoint_text", client->endpoint_text, sizeof(client->endpoint_text));
	client_transfer_reason(state, "leave", &client->leave, &client->reason,
			       &client->reason_memory);
	client_transfer_task(client, state);
	client_stats_transfer(&client->stats, state, "stats");
	client_transfer_request(client, state);
	client_transfer_input(client, state);
	memory_grant_transfer(&client->grant, client->group->memory, state);
	if (client_has_output(client))
		client_transfer_asides(client, state);
	if ((client->state == CLIENT_REQUESTING) != (client->request != NULL))
		state_fail(state, "only a client without an answer has a request");
}

static void client_transfer_cursor(struct client *client, struct ring *ring, struct state *state)
{
	if (!client_is_active(client)) {
		client_transfer_last_cursor(client, state);
		return;
	}
	window_transfer_cursor(client->group->window, ring, state, &client->cursor);
}

void client_save(struct client *client, struct ring *ring, struct state *state)
{
	assert(client->state != CLIENT_GONE);
	state_enter(state, "client");
	client_transfer(client, state);
	client_transfer_cursor(client, ring, state);
	zerocopy_save(&client->zerocopy, ring, state);
	state_leave(state);
}

/* Take over the socket. Return: false after a failure. */
static bool client_restore_socket(struct client *client, struct ring *ring, struct state *state)
{
	const struct client_group *group = client->group;

	return !state_failed(state) &&
	       zerocopy_restore(&client->zerocopy, ring, state,
				(enum zerocopy_mode)group->settings->zerocopy, group->latency,
				group->callbacks->copy_state_changed, group->argument);
}

/* Free a client without a socket. @joined: it is in the window */
static void client_forget(struct client *client, bool joined)
{
	if (joined)
		window_leave(client->group->window, &client->cursor);
	stream_memory_leave(client->group->memory, &client->grant);
	client_free_memory(client);
}

/* Let it continue. Return: false after a failure. */
static bool client_continue(struct client *client, struct state *state)
{
	if (state_failed(state))
		return false;
	if (client_has_output(client))
		client_apply_grant(client);
	if (!client_watch(client))
		state_fail(state, "client %s: its socket cannot be watched", client->peer_text);
	return !state_failed(state);
}

struct client *client_restore(const struct client_group *group, struct ring *ring,
			      struct state *state)
{
	struct client *client = calloc(1, sizeof(*client));
	bool joined, has_socket;

	if (!client) {
		state_fail(state, "no memory");
		return NULL;
	}
	client->group = group;
	state_enter(state, "client");
	client_transfer(client, state);
	if (!state_failed(state))
		client_transfer_cursor(client, ring, state);
	joined = client_is_active(client) && !state_failed(state);
	if (joined && client->cursor.framed && !group->frames)
		state_fail(state, "the stream has no frames");
	has_socket = client_restore_socket(client, ring, state);
	state_leave(state);
	if (!has_socket)
		client_forget(client, joined);
	else if (client_continue(client, state))
		return client;
	else
		client_abandon(client);
	return NULL;
}
