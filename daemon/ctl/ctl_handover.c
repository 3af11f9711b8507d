// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/ctl_handover.h"

#include <bsd/string.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* Time for the new program to answer, and the interval between two attempts. */
#define ANSWER_SECONDS 30
static const struct timespec attempt_interval = { .tv_nsec = 20000000 };

static json_int_t handover_count(const json_t *status)
{
	const json_t *handovers = json_object_get(status, "handovers");

	return json_integer_value(json_object_get(handovers, "count"));
}

static json_t *handover_ask_status(struct ctl *ctl, char error[CTL_ERROR_TEXT])
{
	return ctl_ask(ctl, ctl_request("status"), error);
}

/* Wait for the end of the connection. Return: false with the reason if the daemon goes on. */
static bool handover_request(struct ctl *ctl, json_t *request, char error[CTL_ERROR_TEXT])
{
	json_t *answer;

	/* A reload may have to end first, however long it takes. */
	ctl_wait_without_limit(ctl);
	answer = ctl_ask(ctl, request, error);
	json_decref(answer);
	return !answer && ctl_was_closed(ctl);
}

static json_t *handover_await(struct ctl *ctl, char error[CTL_ERROR_TEXT])
{
	time_t end = time(NULL) + ANSWER_SECONDS;
	json_t *status = NULL;

	while (!status && time(NULL) < end) {
		nanosleep(&attempt_interval, NULL);
		status = handover_ask_status(ctl, error);
	}
	return status;
}

json_t *handover_upgrade(struct ctl *ctl, const char *path, char error[CTL_ERROR_TEXT])
{
	json_t *before = handover_ask_status(ctl, error), *after, *request;
	json_int_t count = handover_count(before);

	if (!before)
		return NULL;
	json_decref(before);
	request = ctl_request("upgrade");
	if (!handover_request(ctl, ctl_request_set_text(request, "path", path), error))
		return NULL;
	after = handover_await(ctl, error);
	/* Others may have followed. A program that has taken over nothing counts from 0. */
	if (!after || handover_count(after) > count)
		return after;
	json_decref(after);
	strlcpy(error,
		"the new program runs, but has not taken over the streams, so their clients "
		"were reset; its log says why",
		CTL_ERROR_TEXT);
	return NULL;
}

bool handover_to_service(struct ctl *ctl, char error[CTL_ERROR_TEXT])
{
	json_t *status = handover_ask_status(ctl, error);

	if (!status)
		return false;
	json_decref(status);
	return handover_request(ctl, ctl_request("handover"), error);
}
