// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_request.h"

#include "lib/log.h"
#include "stream/client.h"
#include "stream/client_internal.h"
#include "stream/client_output.h"
#include "stream/http_answer.h"

#include <bsd/string.h>
#include <errno.h>
#include <sys/socket.h>

/* Size of a buffer for a part of a request. */
#define REQUEST_BYTES 2048

/* Answer with something else than the feed, and end. @answer: belongs to the client from now on; NULL: no memory */
static void client_answer(struct client *client, enum http_code code, struct shared_bytes *answer)
{
	if (!answer) {
		client_kick(client, LEAVE_ERROR, "no memory for an answer");
		return;
	}
	client->group->http_answers[code]++;
	client_set_reason(client, code <= HTTP_CODE_NO_CONTENT ? LEAVE_ANSWERED : LEAVE_REFUSED,
			  code <= HTTP_CODE_NO_CONTENT ? NULL : http_code_text(code));
	client_set_state(client, CLIENT_ANSWERING);
	client_aside_put_answer(&client->aside, answer);
	shared_bytes_release(answer);
	client_set_deadline(client, client->group->settings->request_timeout);
	client_send(client);
}

static void client_refuse(struct client *client, struct http_wish *wish, enum http_code code,
			  const char *problem, const struct block_name *oldest)
{
	wish->code = code;
	strlcpy(wish->problem, problem, sizeof(wish->problem));
	client_answer(client, code, http_answer_error(wish, oldest));
}

static void client_refuse_start(struct client *client, struct http_wish *wish,
				enum history_result result, const struct block_name *oldest)
{
	if (result == HISTORY_GONE)
		client_refuse(client, wish, HTTP_CODE_GONE,
			      "the block after this one is not kept any more; start=oldest begins "
			      "with the oldest one",
			      oldest);
	else
		client_refuse(client, wish, HTTP_CODE_CONFLICT,
			      "there is no such block: it has another epoch, or is still to come",
			      oldest);
}

/* Return the head of the answer for a feed that begins at @place; NULL without memory. */
static struct shared_bytes *client_make_feed_head(const struct client_group *group,
						  const struct history_place *place)
{
	struct frame frame = { .epoch = group->frames->epoch };
	unsigned int ignored;

	if (place->sequence != window_head(group->window))
		frame_parse(window_block_at(group->window, place->sequence)->header, &frame,
			    &ignored);
	else
		frame.sequence =
			stream_frames_place(group->frames, place->sequence, 0, false).sequence;
	return http_answer_feed(&(struct block_name){ frame.epoch, frame.sequence });
}

static void client_begin_feed(struct client *client, struct http_wish *wish,
			      const struct history_place *place)
{
	const struct client_group *group = client->group;
	struct shared_bytes *head = client_make_feed_head(group, place);

	if (!head || !client_enter(client, place, wish->framed)) {
		shared_bytes_release(head);
		client_refuse(client, wish, HTTP_CODE_SERVICE_UNAVAILABLE, "no memory for the feed",
			      NULL);
		return;
	}
	client_clear_deadline(client);
	client_aside_put_answer(&client->aside, head);
	shared_bytes_release(head);
	group->http_answers[HTTP_CODE_OK]++;
	group->callbacks->streaming(group->argument, client);
}

/* Return true if the client would have to skip at once what it asks for. */
static bool client_starts_too_early(const struct client *client, const struct http_wish *wish)
{
	return wish->has_start && wish->start.kind != CLIENT_START_LIVE &&
	       client->group->settings->lag_policy == LAG_POLICY_LATEST;
}

static void client_serve_feed(struct client *client, struct http_wish *wish)
{
	const struct client_group *group = client->group;
	struct history_answer answer;
	enum history_result result =
		client_find_start(group, wish->has_start ? &wish->start : NULL, &answer);

	if (client_starts_too_early(client, wish))
		client_refuse(client, wish, HTTP_CODE_BAD_REQUEST,
			      "start: expected live under lag-policy = latest", NULL);
	else if (result != HISTORY_FOUND)
		client_refuse_start(client, wish, result, &answer.oldest);
	else if (wish->head_only)
		client_answer(client, HTTP_CODE_OK, client_make_feed_head(group, &answer.place));
	else
		client_begin_feed(client, wish, &answer.place);
}

/* Return the answer to a request that is not for the feed; NULL without memory. */
static struct shared_bytes *client_make_answer(const struct client *client,
					       const struct http_wish *wish)
{
	if (wish->code == HTTP_CODE_NO_CONTENT)
		return http_answer_methods();
	if (wish->code != HTTP_CODE_OK)
		return http_answer_error(wish, NULL);
	return http_answer_info(client->group->frames->metadata, wish->head_only);
}

/* The request is decided. */
static void client_serve(struct client *client)
{
	struct http_wish wish = *http_request_wish(client->request);

	http_request_free(client->request);
	client->request = NULL;
	if (wish.code == HTTP_CODE_OK && !stream_frames_are_known(client->group->frames)) {
		client_refuse(client, &wish, HTTP_CODE_SERVICE_UNAVAILABLE,
			      "the relay has not heard of its origin yet; try again", NULL);
		return;
	}
	if (wish.code == HTTP_CODE_OK && wish.resource == HTTP_RESOURCE_FEED)
		client_serve_feed(client, &wish);
	else
		client_answer(client, wish.code, client_make_answer(client, &wish));
	log_debug("stream %s: client %s: answered %s%s%s", client->group->stream_name,
		  client->peer_text, http_code_text(wish.code), *wish.problem ? ": " : "",
		  wish.problem);
}

/* The peer has shut down its sending side before its request was complete. */
static void client_handle_cut_request(struct client *client)
{
	if (client_has_failed(client))
		return;
	if (http_request_is_empty(client->request)) {
		client_set_reason(client, LEAVE_HALF_CLOSED,
				  "closed by the peer without a request");
		client_close_in_order(client);
		return;
	}
	http_request_cut(client->request);
	client_serve(client);
}

void client_read_request(struct client *client)
{
	char bytes[REQUEST_BYTES];

	while (client->state == CLIENT_REQUESTING) {
		ssize_t n = recv(client->zerocopy.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0) {
			client->stats.received_bytes += (uint64_t)n;
			if (http_request_feed(client->request, bytes, (size_t)n))
				client_serve(client);
		} else if (n == 0) {
			client_handle_cut_request(client);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			client_fail(client, errno);
		}
	}
}

void client_expire_request(struct client *client)
{
	http_request_expire(client->request);
	client_serve(client);
}

bool client_begin_request(struct client *client)
{
	client->request = http_request_create();
	return client->request &&
	       client_set_deadline(client, client->group->settings->request_timeout);
}
