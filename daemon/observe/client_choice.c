// SPDX-License-Identifier: BSD-2-Clause
#include "observe/client_choice.h"

#include "lib/units.h"
#include "stream/client.h"
#include "stream/stream_report.h"
#include "stream/streams.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

static const char *const order_word[CLIENT_ORDERS] = {
	[ORDER_LAG] = "lag",   [ORDER_PINNED] = "pinned",	[ORDER_DROPPED] = "dropped",
	[ORDER_SENT] = "sent", [ORDER_CONNECTED] = "connected", [ORDER_PEER] = "peer",
};

/* ---- parameters ---- */

static bool choice_set_limit(struct client_choice *choice, const char *value)
{
	uint64_t number;

	if (!units_parse_count(value, &number) || number > MAX_CHOSEN_CLIENTS)
		return false;
	choice->limit = (unsigned int)number;
	return true;
}

static bool choice_set_sort(struct client_choice *choice, const char *value)
{
	for (enum client_order order = 0; order < CLIENT_ORDERS; order++) {
		if (strcmp(value, order_word[order]))
			continue;
		choice->order = order;
		return true;
	}
	return false;
}

static bool choice_set_order(struct client_choice *choice, const char *value)
{
	choice->ascending = !strcmp(value, "ascending");
	return choice->ascending || !strcmp(value, "descending");
}

static bool choice_set_stream(struct client_choice *choice, const char *value)
{
	return strlcpy(choice->stream, value, sizeof(choice->stream)) < sizeof(choice->stream);
}

static bool choice_set_find(struct client_choice *choice, const char *value)
{
	return strlcpy(choice->find, value, sizeof(choice->find)) < sizeof(choice->find);
}

static const struct choice_parameter {
	const char *name, *expected;
	bool (*set)(struct client_choice *choice, const char *value);
} choice_parameters[] = {
	{ "limit", "limit: expected a number from 0 to 250", choice_set_limit },
	{ "sort", "sort: expected lag, pinned, dropped, sent, connected or peer", choice_set_sort },
	{ "order", "order: expected ascending or descending", choice_set_order },
	{ "stream", "stream: expected at most 127 bytes", choice_set_stream },
	{ "find", "find: expected at most 127 bytes", choice_set_find },
};

bool client_choice_set(struct client_choice *choice, const char *name, const char *value,
		       const char **expected)
{
	*expected = "expected limit, sort, order, stream or find";
	for (size_t i = 0; i < sizeof(choice_parameters) / sizeof(choice_parameters[0]); i++) {
		if (strcmp(name, choice_parameters[i].name))
			continue;
		*expected = choice_parameters[i].expected;
		return choice_parameters[i].set(choice, value);
	}
	return false;
}

const char *client_choice_format(const struct client_choice *choice, char text[CHOICE_KIND])
{
	snprintf(text, CHOICE_KIND, "%s %d %u %zu %s %s", order_word[choice->order],
		 choice->ascending, choice->limit, strlen(choice->stream), choice->stream,
		 choice->find);
	return text;
}

/* ---- the order ---- */

static void chosen_client_value(struct chosen_client *entry, enum client_order order,
				const struct client_report *report, uint64_t now_ns)
{
	switch (order) {
	case ORDER_LAG:
		entry->value = report->lag_ns;
		entry->second_value = report->lag_bytes;
		break;
	case ORDER_PINNED:
		entry->value = report->pinned_blocks;
		break;
	case ORDER_DROPPED:
		entry->value = report->totals.stats.dropped_bytes;
		break;
	case ORDER_SENT:
		entry->value = report->totals.stats.sent_bytes;
		break;
	case ORDER_CONNECTED:
		entry->value = now_ns - report->joined_ns;
		break;
	default:
		break;
	}
}

static int compare_values(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_chosen(const struct client_choice *choice, const struct chosen_client *a,
			  const struct chosen_client *b)
{
	int difference = 0;

	if (choice->order == ORDER_PEER)
		difference = strcmp(a->client->peer_text, b->client->peer_text);
	if (!difference)
		difference = compare_values(a->value, b->value);
	if (!difference)
		difference = compare_values(a->second_value, b->second_value);
	return choice->ascending ? difference : -difference;
}

/* ---- finding ---- */

struct choice_search {
	const struct client_choice *choice;
	struct chosen_clients *chosen;
	const char *stream; /* name of the current one */
	uint64_t now_ns;
};

static bool choice_matches(const struct client_choice *choice, const struct client_report *report)
{
	return !*choice->find || strcasestr(report->peer, choice->find) ||
	       strcasestr(report->endpoint, choice->find) ||
	       (report->section && strcasestr(report->section, choice->find));
}

/* Return the place of @entry, behind those that are equal. */
static unsigned int chosen_place(const struct choice_search *search,
				 const struct chosen_client *entry)
{
	unsigned int low = 0, high = search->chosen->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (compare_chosen(search->choice, &search->chosen->client[middle], entry) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void chosen_insert(const struct choice_search *search, const struct chosen_client *entry)
{
	struct chosen_clients *chosen = search->chosen;
	unsigned int place = chosen_place(search, entry);

	if (place >= search->choice->limit)
		return;
	if (chosen->count < search->choice->limit)
		chosen->count++;
	memmove(&chosen->client[place + 1], &chosen->client[place],
		(chosen->count - 1 - place) * sizeof(*entry));
	chosen->client[place] = *entry;
}

static void choice_visit_client(void *argument, const struct client *client)
{
	struct choice_search *search = argument;
	struct chosen_client entry = { .client = client, .stream = search->stream };
	struct client_report report;

	client_report(client, search->now_ns, &report);
	if (!choice_matches(search->choice, &report))
		return;
	search->chosen->matching++;
	chosen_client_value(&entry, search->choice->order, &report, search->now_ns);
	chosen_insert(search, &entry);
}

static void choice_visit_stream(void *argument, struct stream *stream)
{
	struct choice_search *search = argument;

	search->stream = stream_name(stream);
	if (!*search->choice->stream || !strcmp(search->choice->stream, search->stream))
		stream_each_client(stream, choice_visit_client, search);
}

void client_choice_find(const struct client_choice *choice, const struct streams *streams,
			uint64_t now_ns, struct chosen_clients *chosen)
{
	struct choice_search search = { .choice = choice, .chosen = chosen, .now_ns = now_ns };

	chosen->count = 0;
	chosen->matching = 0;
	streams_each(streams, choice_visit_stream, &search);
}
