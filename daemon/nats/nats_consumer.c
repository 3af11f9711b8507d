// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_consumer.h"

#include "ctl/cat_report.h"
#include "ctl/cat_signals.h"
#include "lib/clock.h"
#include "nats/nats_trouble.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The server says that it is there; a consumer without this twice is made again. */
#define HEARTBEAT_NS (2 * NS_PER_S)
/* The server forgets a consumer without a subscriber after this. */
#define INACTIVE_NS (30 * NS_PER_S)
/* Messages that a durable consumer may have unacknowledged, and thereby reads again after a restart. */
#define MAX_UNACKNOWLEDGED 256
#define PAUSE_NS (200 * NS_PER_MS)

struct nats_consumer {
	struct nats_server *server;
	const char *stream;
	const struct nats_start *start;
	struct cat_report *report;

	natsSubscription *subscription; /* NULL: not open */
	natsSubscription *former;	/* the one before, which has ended */
	char *name;			/* of a consumer that ends with the subscription */
	uint64_t generation;		/* of the server, when it was opened */
	uint64_t next;			/* sequence of JetStream; 0: by the start */
	uint64_t delivered;		/* number of deliveries of this consumer; 0: unknown */
	uint64_t fetch, fetch_end;	/* sequences that are read one by one: from, and behind */
	uint64_t opened, retry_ns;

	struct nats_trouble trouble;
	char fatal[NATS_SERVER_ERROR];
};

struct nats_consumer *nats_consumer_create(struct nats_server *server, const char *stream,
					   const struct nats_start *start,
					   struct cat_report *report)
{
	struct nats_consumer *consumer = calloc(1, sizeof(*consumer));

	if (!consumer)
		return NULL;
	consumer->server = server;
	consumer->stream = stream;
	consumer->start = start;
	consumer->report = report;
	consumer->next = start->kind == NATS_START_SEQUENCE ? start->sequence : 0;
	return consumer;
}

static bool consumer_is_durable(const struct nats_consumer *consumer)
{
	return consumer->start->kind == NATS_START_DURABLE;
}

static void consumer_report(struct nats_consumer *consumer, const char *text)
{
	uint64_t now_ns = clock_monotonic_ns();

	consumer->retry_ns = now_ns + PAUSE_NS;
	nats_trouble_report(&consumer->trouble, consumer->report, text, now_ns);
}

/* ---- opening ---- */

static void consumer_configure(const struct nats_consumer *consumer, jsConsumerConfig *config,
			       const char *inbox)
{
	const struct nats_start *start = consumer->start;

	jsConsumerConfig_Init(config);
	config->DeliverSubject = inbox;
	config->FlowControl = true;
	config->Heartbeat = HEARTBEAT_NS;
	config->AckPolicy = js_AckNone;
	config->DeliverPolicy = js_DeliverAll;
	if (consumer_is_durable(consumer)) {
		config->Durable = start->durable;
		config->AckPolicy = js_AckAll;
		config->MaxAckPending = MAX_UNACKNOWLEDGED;
	} else {
		config->InactiveThreshold = INACTIVE_NS;
	}
	if (consumer->next) {
		config->DeliverPolicy = js_DeliverByStartSequence;
		config->OptStartSeq = consumer->next;
	} else if (start->kind == NATS_START_TIME) {
		config->DeliverPolicy = js_DeliverByStartTime;
		config->OptStartTime = (int64_t)start->realtime_ns;
	}
}

/* What an earlier run of a durable consumer got but did not acknowledge has to be read again. */
static void consumer_take_over(struct nats_consumer *consumer, const jsConsumerInfo *info)
{
	uint64_t first = info->AckFloor.Stream + 1, end = info->Delivered.Stream + 1;

	if (consumer->next > first)
		first = consumer->next;
	if (end > first + MAX_UNACKNOWLEDGED)
		first = end - MAX_UNACKNOWLEDGED;
	consumer->fetch = first;
	consumer->fetch_end = end > first ? end : first;
}

static natsStatus consumer_add(struct nats_consumer *consumer, jsErrCode *code)
{
	jsConsumerInfo *info = NULL;
	jsConsumerConfig config;
	natsInbox *inbox = NULL;
	natsStatus status = natsInbox_Create(&inbox);

	if (status == NATS_OK) {
		consumer_configure(consumer, &config, inbox);
		status = js_AddConsumer(&info, nats_server_jetstream(consumer->server),
					consumer->stream, &config, NULL, code);
	}
	if (status == NATS_OK) {
		free(consumer->name);
		consumer->name = strdup(info->Name);
		status = consumer->name ? NATS_OK : NATS_NO_MEMORY;
	}
	jsConsumerInfo_Destroy(info);
	natsInbox_Destroy(inbox);
	return status;
}

/* Use a durable consumer that exists, or make one. */
static natsStatus consumer_find_durable(struct nats_consumer *consumer, jsErrCode *code)
{
	jsConsumerInfo *info = NULL;
	natsStatus status =
		js_GetConsumerInfo(&info, nats_server_jetstream(consumer->server), consumer->stream,
				   consumer->start->durable, NULL, code);

	if (status == NATS_OK &&
	    (!info->Config->DeliverSubject || info->Config->AckPolicy != js_AckAll))
		snprintf(consumer->fatal, sizeof(consumer->fatal),
			 "the consumer %s is of another kind: choose another name",
			 consumer->start->durable);
	else if (status == NATS_OK)
		consumer_take_over(consumer, info);
	jsConsumerInfo_Destroy(info);
	if (status != NATS_NOT_FOUND && *code != JSConsumerNotFoundErr) {
		free(consumer->name);
		consumer->name = strdup(consumer->start->durable);
		return status;
	}
	*code = 0;
	return consumer_add(consumer, code);
}

/*
 * Find where to begin: "newest" is the sequence of the next message, so that it is the same after a reconnect. A stream
 * that was in memory begins again with 1 when its server was restarted.
 */
static natsStatus consumer_find_place(struct nats_consumer *consumer, jsErrCode *code)
{
	bool newest = consumer->start->kind == NATS_START_NEWEST && !consumer->next;
	jsStreamInfo *info = NULL;
	natsStatus status = js_GetStreamInfo(&info, nats_server_jetstream(consumer->server),
					     consumer->stream, NULL, code);

	if (status == NATS_OK &&
	    (newest || (consumer->opened && consumer->next > info->State.LastSeq + 1)))
		consumer->next = info->State.LastSeq + 1;
	jsStreamInfo_Destroy(info);
	return status;
}

static natsStatus consumer_subscribe(struct nats_consumer *consumer, jsErrCode *code)
{
	jsSubOptions options;
	natsStatus status = jsSubOptions_Init(&options);

	options.Stream = consumer->stream;
	options.Consumer = consumer->name;
	options.ManualAck = true;
	if (status == NATS_OK)
		status = js_SubscribeSync(&consumer->subscription,
					  nats_server_jetstream(consumer->server), "", NULL,
					  &options, code);
	/* The flow control of the server limits what waits here. */
	if (status == NATS_OK)
		status = natsSubscription_SetPendingLimits(consumer->subscription, -1, -1);
	return status;
}

/* The threads of libnats may still use the subscription for a moment, so the one before it is destroyed. */
static void consumer_end_subscription(struct nats_consumer *consumer)
{
	if (!consumer->subscription)
		return;
	natsSubscription_Unsubscribe(consumer->subscription);
	natsSubscription_Destroy(consumer->former);
	consumer->former = consumer->subscription;
	consumer->subscription = NULL;
}

static void consumer_close(struct nats_consumer *consumer)
{
	jsErrCode code;

	consumer_end_subscription(consumer);
	if (consumer->name && !consumer_is_durable(consumer) &&
	    nats_server_is_connected(consumer->server))
		js_DeleteConsumer(nats_server_jetstream(consumer->server), consumer->stream,
				  consumer->name, NULL, &code);
	free(consumer->name);
	consumer->name = NULL;
	consumer->fetch = consumer->fetch_end = 0;
	consumer->delivered = 0;
}

static void consumer_open(struct nats_consumer *consumer)
{
	char reason[NATS_SERVER_ERROR], text[2 * NATS_SERVER_ERROR];
	natsStatus status;
	jsErrCode code = 0;

	consumer->generation = nats_server_generation(consumer->server);
	status = consumer_find_place(consumer, &code);
	if (status == NATS_OK)
		status = consumer_is_durable(consumer) ? consumer_find_durable(consumer, &code)
						       : consumer_add(consumer, &code);
	if (status == NATS_OK && !consumer->fatal[0])
		status = consumer_subscribe(consumer, &code);
	if (status == NATS_OK) {
		consumer->opened++;
		nats_trouble_end(&consumer->trouble);
		return;
	}
	snprintf(text, sizeof(text), "the stream %s cannot be read: %s", consumer->stream,
		 nats_server_reason(status, code, reason));
	text[NATS_SERVER_ERROR - 1] = '\0';
	consumer_report(consumer, text);
	consumer_close(consumer);
}

/* Return: false if there is no consumer now. */
static bool consumer_keep_open(struct nats_consumer *consumer)
{
	if (nats_server_is_closed(consumer->server))
		snprintf(consumer->fatal, sizeof(consumer->fatal),
			 "the connection to NATS is closed: the server refuses this client");
	if (consumer->subscription &&
	    consumer->generation != nats_server_generation(consumer->server))
		consumer_close(consumer);
	if (consumer->subscription || consumer->fatal[0])
		return !consumer->fatal[0];
	if (nats_server_is_connected(consumer->server) &&
	    clock_monotonic_ns() >= consumer->retry_ns)
		consumer_open(consumer);
	return consumer->subscription && !consumer->fatal[0];
}

/* ---- messages ---- */

static void consumer_reopen(struct nats_consumer *consumer, const char *text)
{
	consumer_report(consumer, text);
	consumer->retry_ns = 0;
	consumer_close(consumer);
}

/* Read one message by its sequence. One that is gone, since it was too old, is skipped. */
static struct nats_delivery consumer_fetch(struct nats_consumer *consumer)
{
	struct nats_delivery delivery = { .sequence = consumer->fetch };
	char reason[NATS_SERVER_ERROR];
	jsErrCode code = 0;
	natsStatus status = js_GetMsg(&delivery.message, nats_server_jetstream(consumer->server),
				      consumer->stream, consumer->fetch, NULL, &code);

	if (status == NATS_OK || status == NATS_NOT_FOUND || code == JSNoMessageFoundErr)
		consumer->next = ++consumer->fetch;
	else
		consumer_reopen(consumer, nats_server_reason(status, code, reason));
	return delivery;
}

/*
 * Check that nothing was skipped. A message that is missing in the stream does not interrupt the number of deliveries.
 * Return: false if the message is not the next one.
 */
static bool consumer_check(struct nats_consumer *consumer, const jsMsgMetaData *data)
{
	bool skipped = consumer->delivered && data->Sequence.Consumer != consumer->delivered + 1;

	if (!consumer_is_durable(consumer) && !consumer->delivered)
		skipped = data->Sequence.Consumer != 1;
	consumer->delivered = data->Sequence.Consumer;
	if (!skipped || data->Sequence.Stream <= consumer->next)
		return true;
	consumer_reopen(consumer, "messages were lost on the way; they are read again");
	return false;
}

static struct nats_delivery consumer_take(struct nats_consumer *consumer, natsMsg *message)
{
	struct nats_delivery delivery = { .message = message,
					  .durable = consumer_is_durable(consumer) };
	jsMsgMetaData *data = NULL;
	bool next;

	if (natsMsg_GetMetaData(&data, message) != NATS_OK) {
		nats_consumer_free_delivery(&delivery, false);
		return delivery;
	}
	delivery.sequence = data->Sequence.Stream;
	next = consumer_check(consumer, data);
	jsMsgMetaData_Destroy(data);
	/* A message that was passed on before need not come again. */
	if (!next || delivery.sequence < consumer->next)
		nats_consumer_free_delivery(&delivery, next);
	else
		consumer->next = delivery.sequence + 1;
	return delivery;
}

static struct nats_delivery consumer_receive(struct nats_consumer *consumer, int64_t timeout_ms)
{
	char reason[NATS_SERVER_ERROR];
	natsMsg *message = NULL;
	natsStatus status = natsSubscription_NextMsg(&message, consumer->subscription, timeout_ms);

	if (status == NATS_OK)
		return consumer_take(consumer, message);
	if (status == NATS_MISSED_HEARTBEAT)
		consumer_reopen(consumer, "the server is silent; asking again");
	else if (status != NATS_TIMEOUT && nats_server_is_connected(consumer->server))
		consumer_reopen(consumer, nats_server_reason(status, 0, reason));
	return (struct nats_delivery){ 0 };
}

struct nats_delivery nats_consumer_next(struct nats_consumer *consumer, int64_t timeout_ms)
{
	if (!consumer_keep_open(consumer)) {
		cat_signals_poll(NULL, 0, clock_monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS);
		return (struct nats_delivery){ 0 };
	}
	if (consumer->fetch < consumer->fetch_end)
		return consumer_fetch(consumer);
	return consumer_receive(consumer, timeout_ms);
}

void nats_consumer_free_delivery(struct nats_delivery *delivery, bool acknowledge)
{
	if (delivery->message && delivery->durable && acknowledge)
		natsMsg_Ack(delivery->message, NULL);
	natsMsg_Destroy(delivery->message);
	delivery->message = NULL;
}

const char *nats_consumer_error(const struct nats_consumer *consumer)
{
	return consumer->fatal[0] ? consumer->fatal : NULL;
}

uint64_t nats_consumer_reopened(const struct nats_consumer *consumer)
{
	return consumer->opened ? consumer->opened - 1 : 0;
}

void nats_consumer_stop(struct nats_consumer *consumer)
{
	if (consumer)
		consumer_close(consumer);
}

void nats_consumer_free(struct nats_consumer *consumer)
{
	if (!consumer)
		return;
	natsSubscription_Destroy(consumer->former);
	free(consumer);
}
