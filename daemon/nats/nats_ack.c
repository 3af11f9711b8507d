// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_ack.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct acks_entry {
	STAILQ_ENTRY(acks_entry) link;
	struct nats_ack ack;
};

struct nats_acks {
	struct nats_server *server;
	char *inbox;
	natsSubscription *subscription;
	pthread_mutex_t lock; /* for the list */
	STAILQ_HEAD(, acks_entry) list;
};

static void ack_fail(struct nats_ack *ack, int code, const char *text)
{
	ack->stored = false;
	ack->code = code;
	strlcpy(ack->text, text, sizeof(ack->text));
}

void nats_ack_parse(struct nats_ack *ack, const char *payload, size_t length)
{
	json_t *reply = json_loadb(payload, length, 0, NULL),
	       *error = json_object_get(reply, "error");
	const char *text = "the server has sent no acknowledgement";
	json_int_t sequence = 0;
	int duplicate = 0, code = 0;

	if (error) {
		json_unpack(error, "{s?i, s?s}", "err_code", &code, "description", &text);
		ack_fail(ack, code, text);
	} else if (json_unpack(reply, "{s:I, s?b}", "seq", &sequence, "duplicate", &duplicate)) {
		ack_fail(ack, 0, text);
	} else {
		ack->stored = true;
		ack->duplicate = duplicate;
		ack->sequence = (uint64_t)sequence;
	}
	json_decref(reply);
}

/* Return: false if the subject is no reply to one of our messages. */
static bool acks_parse_subject(const struct nats_acks *acks, const char *subject,
			       struct nats_ack *ack)
{
	size_t length = strlen(acks->inbox);

	return !strncmp(subject, acks->inbox, length) &&
	       sscanf(subject + length, ".%" SCNu64 ".%" SCNu64, &ack->attempt, &ack->serial) == 2;
}

static void acks_append(struct nats_acks *acks, const struct nats_ack *ack)
{
	struct acks_entry *entry = malloc(sizeof(*entry));

	/* Without memory the acknowledgement is lost, which a time limit notices. */
	if (!entry)
		return;
	entry->ack = *ack;
	pthread_mutex_lock(&acks->lock);
	STAILQ_INSERT_TAIL(&acks->list, entry, link);
	pthread_mutex_unlock(&acks->lock);
	nats_server_wake(acks->server);
}

static void acks_receive(natsConnection *connection, natsSubscription *subscription,
			 natsMsg *message, void *data)
{
	struct nats_acks *acks = data;
	struct nats_ack ack = { 0 };

	(void)connection;
	(void)subscription;
	if (acks_parse_subject(acks, natsMsg_GetSubject(message), &ack)) {
		if (natsMsg_IsNoResponders(message))
			ack_fail(&ack, 0, "no server has the stream now");
		else
			nats_ack_parse(&ack, natsMsg_GetData(message),
				       (size_t)natsMsg_GetDataLength(message));
		acks_append(acks, &ack);
	}
	natsMsg_Destroy(message);
}

static natsStatus acks_subscribe(struct nats_acks *acks)
{
	char subject[NATS_REPLY_BYTES];
	natsStatus status = natsInbox_Create(&acks->inbox);

	if (status != NATS_OK)
		return status;
	snprintf(subject, sizeof(subject), "%s.>", acks->inbox);
	status = natsConnection_Subscribe(&acks->subscription, nats_server_connection(acks->server),
					  subject, acks_receive, acks);
	if (status == NATS_OK)
		status = natsSubscription_SetPendingLimits(acks->subscription, -1, -1);
	return status;
}

struct nats_acks *nats_acks_create(struct nats_server *server, char error[NATS_SERVER_ERROR])
{
	struct nats_acks *acks = calloc(1, sizeof(*acks));
	natsStatus status = NATS_NO_MEMORY;

	if (acks) {
		acks->server = server;
		pthread_mutex_init(&acks->lock, NULL);
		STAILQ_INIT(&acks->list);
		status = acks_subscribe(acks);
	}
	if (status == NATS_OK)
		return acks;
	nats_server_reason(status, 0, error);
	return NULL; /* the program ends; a callback may still run */
}

const char *nats_acks_reply(const struct nats_acks *acks, uint64_t attempt, uint64_t serial,
			    char reply[NATS_REPLY_BYTES])
{
	snprintf(reply, NATS_REPLY_BYTES, "%s.%" PRIu64 ".%" PRIu64, acks->inbox, attempt, serial);
	return reply;
}

bool nats_acks_take(struct nats_acks *acks, struct nats_ack *ack)
{
	struct acks_entry *entry;

	pthread_mutex_lock(&acks->lock);
	entry = STAILQ_FIRST(&acks->list);
	if (entry)
		STAILQ_REMOVE_HEAD(&acks->list, link);
	pthread_mutex_unlock(&acks->lock);
	if (entry)
		*ack = entry->ack;
	free(entry);
	return entry;
}

void nats_acks_stop(struct nats_acks *acks)
{
	if (!acks)
		return;
	natsSubscription_Destroy(acks->subscription);
	acks->subscription = NULL;
}

void nats_acks_free(struct nats_acks *acks)
{
	struct nats_ack ack;

	if (!acks)
		return;
	while (nats_acks_take(acks, &ack))
		;
	natsInbox_Destroy(acks->inbox);
	pthread_mutex_destroy(&acks->lock);
	free(acks);
}
