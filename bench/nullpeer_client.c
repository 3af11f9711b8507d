// SPDX-License-Identifier: BSD-2-Clause
#include "nullpeer_client.h"

#include <assert.h>

#include "lib/units.h"
#include "nullpeer_frame.h"

#define NS_PER_S UINT64_C(1000000000)
#define RETRY_NS UINT64_C(200000000)

/* Largest value of the window field in a header. */
#define MAX_WINDOW_FIELD 65535U

/* Smallest step in bytes, or a quarter of the window, to open it: avoids silly windows. */
#define MIN_WINDOW_STEP UINT64_C(65536)

/* Send a packet with the current window. Rounding may extend it; the server may use that. */
static void peer_send_payload(struct client *client, uint8_t flags, uint32_t sequence,
			      const void *payload, uint32_t length)
{
	uint32_t window = client->edge - client->expected;
	struct frame frame = {
		.client_port = client->port,
		.flags = flags,
		.sequence = sequence,
		.window_shift = client->shift,
		.payload = payload,
		.payload_length = length,
	};

	if (flags & REPORT_ACK) {
		frame.ack = client->expected;
		frame.early = length ? NULL : &client->early;
	}
	/* The window of a SYN is not scaled. */
	if (!(flags & REPORT_SYN)) {
		window = (window + (1U << client->shift) - 1) >> client->shift;
		client->edge = client->expected + (window << client->shift);
	}
	frame.window = (uint16_t)(window > MAX_WINDOW_FIELD ? MAX_WINDOW_FIELD : window);
	frame_send(&frame);
}

static void peer_send_frame(struct client *client, uint8_t flags, uint32_t sequence)
{
	peer_send_payload(client, flags, sequence, NULL, 0);
}

static void peer_send_ack(struct client *client)
{
	peer_send_frame(client, REPORT_ACK, client->next_sequence);
}

/* Send the part of the request that the server has not acknowledged. */
static void peer_send_request(struct client *client)
{
	const struct client_plan *plan = client->plan;
	uint32_t at = client->acknowledged - (client->first_sequence + 1), length;

	for (; at < plan->request_length; at += length) {
		length = plan->request_length - at;
		if (length > MAX_FRAME_PAYLOAD)
			length = MAX_FRAME_PAYLOAD;
		peer_send_payload(client, REPORT_ACK, client->first_sequence + 1 + at,
				  (const char *)plan->request + at, length);
	}
}

void client_refuse(const struct report *report)
{
	/* A bare ACK may be the last packet of a connection that ended in order. */
	if (report->flags & REPORT_RST ||
	    !(report->length || report->flags & (REPORT_SYN | REPORT_FIN)))
		return;
	frame_send(&(struct frame){
		.client_port = report->client_port,
		.flags = REPORT_RST,
		.sequence = report->ack,
	});
}

/* ---- the window ---- */

static uint64_t peer_window_unit(const struct client *client)
{
	return UINT64_C(1) << client->shift;
}

/* Move the edge of the window as far as the buffer allows. Return: true if it was moved. */
static bool peer_open_window(struct client *client)
{
	uint64_t size = client->plan->window;
	uint64_t room = size > client->buffered ? size - client->buffered : 0;
	uint64_t least = size / 4 < MIN_WINDOW_STEP ? size / 4 : MIN_WINDOW_STEP;
	uint32_t edge = client->expected + (uint32_t)(room - room % peer_window_unit(client));

	if (sequence_distance(edge, client->edge) <= 0 || (uint32_t)(edge - client->edge) < least)
		return false;
	client->edge = edge;
	return true;
}

static bool peer_reads(const struct client *client, uint64_t now)
{
	const struct client_plan *plan = client->plan;

	return now >= client->resume_at &&
	       !(plan->action == ACTION_STALL && client->received >= plan->action_after);
}

static void peer_read_buffer(struct client *client, uint64_t now)
{
	uint64_t rate = client->plan->rate, length;

	if (!peer_reads(client, now)) {
		client->read_at = now;
		return;
	}
	if (rate == UNITS_RATE_MAX) {
		client->buffered = 0;
		return;
	}
	length = (uint64_t)((double)(now - client->read_at) * (double)rate / (double)NS_PER_S);
	if (length) /* otherwise a low rate would never give a byte */
		client->read_at = now;
	client->buffered -= length < client->buffered ? length : client->buffered;
}

static void peer_begin_pause(struct client *client, uint64_t now)
{
	const struct client_plan *plan = client->plan;

	if (plan->pause_each && client->received - client->paused_at >= plan->pause_each) {
		client->paused_at = client->received;
		client->resume_at = now + plan->pause_ns;
	}
}

/* ---- the connection ---- */

void client_connect(struct client *client, uint16_t port, uint64_t now)
{
	assert(client->state == CLIENT_IDLE || client->state == CLIENT_ENDED);
	client->state = CLIENT_CONNECTING;
	client->port = port;
	client->fin_sent = false;
	client->shift = 0;
	while (client->plan->window >> client->shift > MAX_WINDOW_FIELD)
		client->shift++;
	client->first_sequence = (uint32_t)now;
	client->next_sequence = client->acknowledged = client->first_sequence + 1;
	client->expected = 0;
	client->edge = client->plan->window < MAX_WINDOW_FIELD ? (uint32_t)client->plan->window
							       : MAX_WINDOW_FIELD;
	client->received = client->buffered = client->unlost = client->paused_at = 0;
	client->resume_at = 0;
	client->early.count = 0;
	client->read_at = now;
	client->retry_at = now + RETRY_NS;
	peer_send_frame(client, REPORT_SYN, client->first_sequence);
}

static void peer_end(struct client *client)
{
	client->state = CLIENT_ENDED;
	client->retry_at = CLIENT_NEVER;
}

static void peer_send_fin(struct client *client, uint64_t now)
{
	if (!client->fin_sent)
		client->next_sequence++;
	client->fin_sent = true;
	client->retry_at = now + RETRY_NS;
	peer_send_frame(client, REPORT_FIN | REPORT_ACK, client->next_sequence - 1);
}

void client_abort(struct client *client)
{
	if (client->state == CLIENT_OPEN || client->state == CLIENT_LEAVING ||
	    client->state == CLIENT_CONNECTING)
		peer_send_frame(client, REPORT_RST, client->next_sequence);
	if (client->state != CLIENT_MUTE)
		peer_end(client);
}

static void peer_act(struct client *client, uint64_t now)
{
	const struct client_plan *plan = client->plan;

	if (client->state != CLIENT_OPEN || client->received < plan->action_after)
		return;
	switch (plan->action) {
	case ACTION_MUTE:
		client->state = CLIENT_MUTE;
		break;
	case ACTION_RESET:
		client->counts->has_reset++;
		client_abort(client);
		break;
	case ACTION_LEAVE:
		client->counts->left++;
		client->state = CLIENT_LEAVING;
		peer_send_fin(client, now);
		break;
	case ACTION_NONE:
	case ACTION_STALL:
		break;
	}
}

static void peer_take_syn(struct client *client, const struct report *report, uint64_t now)
{
	if (client->state != CLIENT_CONNECTING) {
		peer_send_ack(client);
		return;
	}
	if (!(report->flags & REPORT_ACK) || report->ack != client->next_sequence)
		return;
	client->state = CLIENT_OPEN;
	client->connected = true;
	client->counts->joins++;
	client->retry_at = CLIENT_NEVER;
	client->expected = report->sequence + 1;
	client->edge += client->expected;
	peer_open_window(client);
	peer_send_ack(client);
	if (client->plan->request_length) {
		client->next_sequence += client->plan->request_length;
		client->retry_at = now + RETRY_NS;
		peer_send_request(client);
	}
	if (client->plan->half_close)
		peer_send_fin(client, now);
	peer_act(client, now);
}

static void peer_take_reset(struct client *client)
{
	if (client->state == CLIENT_CONNECTING) {
		client->counts->refused++; /* client_tick() tries again */
		return;
	}
	client->counts->resets++;
	peer_end(client);
}

/* Return true if this packet is lost, by --lose. */
static bool peer_loses(struct client *client, const struct report *report)
{
	uint64_t each = client->plan->lose;

	if (!each || !report->length || ++client->unlost < each)
		return false;
	client->unlost = 0;
	client->counts->lost++;
	return true;
}

/* Account for the payload. Return: bytes that are now in order. */
static uint32_t peer_take_payload(struct client *client, const struct report *report)
{
	struct client_counts *counts = client->counts;
	uint32_t end_of_it = report->sequence + report->length;

	if (sequence_distance(end_of_it, client->expected) <= 0) {
		counts->repeated += report->length != 0;
		return 0;
	}
	if (sequence_distance(end_of_it, client->edge) > 0) {
		counts->beyond++;
		return 0;
	}
	if (sequence_distance(report->sequence, client->expected) > 0) {
		counts->early++;
		early_add(&client->early, report->sequence, end_of_it);
		return 0;
	}
	return early_join(&client->early, end_of_it) - client->expected;
}

static void peer_take_data(struct client *client, const struct report *report, uint64_t now)
{
	bool was_open = client->edge != client->expected;
	uint32_t length = peer_take_payload(client, report);

	if (client->state == CLIENT_LEAVING && length) {
		client_abort(client);
		return;
	}
	client->expected += length;
	client->received += length;
	client->total += length;
	client->buffered += length;
	peer_begin_pause(client, now);
	peer_read_buffer(client, now);
	peer_open_window(client);
	if (was_open && client->edge == client->expected)
		client->counts->zero_windows++;
	peer_send_ack(client);
	peer_act(client, now);
}

static void peer_take_fin(struct client *client, const struct report *report)
{
	if (report->sequence + report->length != client->expected)
		return;
	client->expected++;
	client->edge++;
	if (!client->fin_sent) {
		client->next_sequence++;
		peer_send_frame(client, REPORT_FIN | REPORT_ACK, client->next_sequence - 1);
	} else {
		peer_send_ack(client);
	}
	client->counts->ended++;
	peer_end(client);
}

void client_take(struct client *client, const struct report *report, uint64_t now)
{
	if (client->state == CLIENT_ENDED) {
		client_refuse(report);
		return;
	}
	client->counts->packets += report->length != 0;
	if (report->flags & REPORT_RST) {
		peer_take_reset(client);
		return;
	}
	if (client->state == CLIENT_MUTE || client->state == CLIENT_IDLE)
		return;
	if (report->flags & REPORT_SYN) {
		peer_take_syn(client, report, now);
		return;
	}
	if (client->state == CLIENT_CONNECTING || peer_loses(client, report))
		return;
	if (sequence_distance(report->ack, client->acknowledged) > 0)
		client->acknowledged = report->ack;
	if (client->acknowledged == client->next_sequence)
		client->retry_at = CLIENT_NEVER;
	/* An ACK at the expected sequence number is no news; any other one probes the window. */
	if (report->length || report->sequence != client->expected)
		peer_take_data(client, report, now);
	if (report->flags & REPORT_FIN && client->state != CLIENT_ENDED)
		peer_take_fin(client, report);
}

void client_tick(struct client *client, uint64_t now)
{
	if (now >= client->retry_at) {
		client->retry_at = now + RETRY_NS;
		if (client->state == CLIENT_CONNECTING)
			peer_send_frame(client, REPORT_SYN, client->first_sequence);
		else
			peer_send_request(client);
		if (client->fin_sent)
			peer_send_fin(client, now);
	}
	if (client->state != CLIENT_OPEN || !client->buffered)
		return;
	peer_read_buffer(client, now);
	if (peer_open_window(client))
		peer_send_ack(client);
}
