// SPDX-License-Identifier: BSD-2-Clause
/* The clients that a viewer wants to see, compared with all of them in order; and the page that shows them. */
#include "observe/client_choice.h"

#include "dice.h"
#include "lib/log.h"
#include "observe/live_page.h"
#include "observe/status_json.h"
#include "stream/client.h"
#include "stream/stream_report.h"
#include "streamworld.h"

#include <jansson.h>
#include <signal.h>

#define CLIENTS 30U

static int client_sockets[CLIENTS];
static struct dice dice;

/* ---- parameters ---- */

static bool choice_accepts(const char *name, const char *value)
{
	struct client_choice choice = { 0 };
	const char *expected = NULL;
	bool valid = client_choice_set(&choice, name, value, &expected);

	check(valid || expected, "no reason why %s=%s is wrong", name, value);
	return valid;
}

static void test_choice_parameters(void)
{
	static const char *const good[][2] = {
		{ "limit", "0" },   { "limit", "250" },	      { "sort", "lag" },
		{ "sort", "peer" }, { "order", "ascending" }, { "order", "descending" },
		{ "find", "" },	    { "find", "10.0.0." },    { "stream", "adc" },
	};
	static const char *const bad[][2] = {
		{ "limit", "251" },
		{ "limit", "" },
		{ "limit", "-1" },
		{ "limit", "1x" },
		{ "limit", " 1" },
		{ "sort", "" },
		{ "sort", "x" },
		{ "order", "up" },
		{ "", "" },
		{ "clients", "1" },
		{ "limit", "99999999999999999999" },
	};
	char text[2 * CHOICE_TEXT];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check(choice_accepts(good[i][0], good[i][1]), "%s=%s", good[i][0], good[i][1]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(!choice_accepts(bad[i][0], bad[i][1]), "%s=%s", bad[i][0], bad[i][1]);
	memset(text, 'x', sizeof(text));
	text[CHOICE_TEXT] = 0;
	check(!choice_accepts("find", text) && !choice_accepts("stream", text), "too long");
	text[CHOICE_TEXT - 1] = 0;
	check(choice_accepts("find", text) && choice_accepts("stream", text), "not too long");
	point("parameters are checked");
}

static void test_choice_kinds(void)
{
	struct client_choice one = { .stream = "a b", .find = "c" };
	struct client_choice other = { .stream = "a", .find = "b c" };
	char one_text[CHOICE_KIND], other_text[CHOICE_KIND];

	check(strcmp(client_choice_format(&one, one_text),
		     client_choice_format(&other, other_text)) != 0,
	      "both are %s", one_text);
	other = one;
	check(!strcmp(client_choice_format(&other, other_text), one_text), "%s", other_text);
	other.ascending = true;
	check(strcmp(client_choice_format(&other, other_text), one_text) != 0, "%s", other_text);
	point("each choice has a text of its own");
}

/* ---- a naive model ---- */

struct all_clients {
	const struct client *client[CLIENTS];
	unsigned int count;
};

static void note_client(void *argument, const struct client *client)
{
	struct all_clients *all = argument;

	all->client[all->count++] = client;
}

static void note_clients(void *argument, struct stream *stream)
{
	stream_each_client(stream, note_client, argument);
}

static struct all_clients all_of_them(void)
{
	struct all_clients all = { .count = 0 };

	streams_each(world.streams, note_clients, &all);
	return all;
}

static uint64_t model_value(const struct client *client, enum client_order order, uint64_t now_ns)
{
	struct client_report report;

	client_report(client, now_ns, &report);
	switch (order) {
	case ORDER_LAG:
		return report.lag_ns;
	case ORDER_PINNED:
		return report.pinned_blocks;
	case ORDER_DROPPED:
		return report.totals.stats.dropped_bytes;
	case ORDER_SENT:
		return report.totals.stats.sent_bytes;
	case ORDER_CONNECTED:
		return now_ns - report.joined_ns;
	default:
		return 0;
	}
}

static int model_compare(const struct client *a, const struct client *b,
			 const struct client_choice *choice, uint64_t now_ns)
{
	uint64_t a_value = model_value(a, choice->order, now_ns);
	uint64_t b_value = model_value(b, choice->order, now_ns);
	int difference = (a_value > b_value) - (a_value < b_value);

	if (choice->order == ORDER_PEER)
		difference = strcmp(a->peer_text, b->peer_text);
	return choice->ascending ? difference : -difference;
}

/* Neither is one chosen that an omitted one precedes, nor are two in the wrong order. */
static void check_chosen(const struct client_choice *choice, const struct chosen_clients *chosen,
			 uint64_t now_ns)
{
	struct all_clients all = all_of_them();
	unsigned int expected = choice->limit < all.count ? choice->limit : all.count;

	check(chosen->count == expected && chosen->matching == all.count, "%u of %u", chosen->count,
	      (unsigned int)chosen->matching);
	for (unsigned int i = 1; i < chosen->count; i++)
		check(model_compare(chosen->client[i - 1].client, chosen->client[i].client, choice,
				    now_ns) <= 0,
		      "number %u is before %u", i, i - 1);
	for (unsigned int i = 0; i < all.count; i++) {
		unsigned int better = 0, found = 0;

		for (unsigned int k = 0; k < chosen->count; k++) {
			found += chosen->client[k].client == all.client[i];
			better += model_compare(chosen->client[k].client, all.client[i], choice,
						now_ns) <= 0;
		}
		check(found == 1 || (!found && better == chosen->count), "client %u: %u times", i,
		      found);
	}
}

static void set_values(void)
{
	struct all_clients all = all_of_them();

	for (unsigned int i = 0; i < all.count; i++) {
		/* The clients are not constant, but what a visitor sees of them is. */
		struct client *client =
			client_of((struct cursor *)(uintptr_t)&all.client[i]->cursor);

		client->stats.dropped_bytes = dice_roll(&dice, 0, 3);
		client->stats.sent_bytes = dice_bits(&dice);
		client->joined_ns = clock_monotonic_ns() - dice_roll(&dice, 0, 1000000000);
	}
}

static void test_choice_orders(void)
{
	struct chosen_clients chosen;

	for (unsigned int round = 0; round < 100; round++) {
		struct client_choice choice = {
			.order = round % CLIENT_ORDERS,
			.ascending = dice_one_in(&dice, 2),
			.limit = dice_roll(&dice, 0, CLIENTS + 2),
		};
		uint64_t now_ns = clock_monotonic_ns();

		set_values();
		client_choice_find(&choice, world.streams, now_ns, &chosen);
		check_chosen(&choice, &chosen, now_ns);
	}
	point("in each order, the first ones are chosen");
}

static uint64_t matching(const char *stream, const char *find)
{
	struct client_choice choice = { .limit = 3 };
	struct chosen_clients chosen;

	snprintf(choice.stream, sizeof(choice.stream), "%s", stream);
	snprintf(choice.find, sizeof(choice.find), "%s", find);
	client_choice_find(&choice, world.streams, clock_monotonic_ns(), &chosen);
	return chosen.matching;
}

static void test_choice_filters(void)
{
	struct all_clients all = all_of_them();

	check(matching("a", "") == CLIENTS, "not all of the stream");
	check(!matching("b", ""), "clients of no stream");
	check(matching("", "127.0.0.") == CLIENTS, "not all of the address");
	check(matching("", all.client[7]->peer_text) == 1, "not one");
	check(!matching("", "10.9.8.7"), "clients of no address");
	point("clients are found by stream and address");
}

/* ---- documents ---- */

static json_t *view_of(const struct client_choice *choice)
{
	struct status_view view = { .streams = world.streams, .choice = choice };
	size_t length;
	json_error_t error;
	char *text;
	FILE *file = open_memstream(&text, &length);
	json_t *status;

	check(status_json_write_view(file, &view), "no memory");
	fclose(file);
	status = json_loads(text, 0, &error);
	check(status, "%s: %s", text, error.text);
	free(text);
	return status;
}

static void test_view(void)
{
	struct client_choice choice = { .limit = 4 };
	json_t *status = view_of(&choice);
	const json_t *stream = json_array_get(json_object_get(status, "streams"), 0);
	const json_t *metadata = json_object_get(stream, "metadata");

	check(json_array_size(json_object_get(status, "clients")) == 4, "not 4 clients");
	check(json_integer_value(json_object_get(status, "matching")) == CLIENTS, "not all match");
	check(json_object_get(metadata, "place"), "no metadata");
	check(json_object_get(metadata, "first") && !json_object_get(metadata, "second"),
	      "metadata without a bound, or none of it");
	json_decref(status);
	status = view_of(NULL);
	check(status && !json_object_get(status, "clients"), "clients");
	json_decref(status);
	point("a view is JSON, and has the clients that are asked for");
}

static unsigned int page_count(const char *page, const char *text)
{
	unsigned int count = 0;

	for (; (page = strstr(page, text)); page++)
		count++;
	return count;
}

static void test_page(void)
{
	size_t length;
	char *page;
	FILE *file = open_memstream(&page, &length);

	live_page_write(file, world.streams, true);
	fclose(file);
	check(page_count(page, "<td>127.0.0.1:") == 2 * CLIENTS, "%u cells with an address",
	      page_count(page, "<td>127.0.0.1:"));
	check(page_count(page, "<script>") == 1 && page_count(page, "</html>") == 1,
	      "not one script, or no end");
	check(strstr(live_page_policy(), "default-src 'none'"), "no policy");
	free(page);
	file = open_memstream(&page, &length);
	live_page_write(file, world.streams, false);
	fclose(file);
	check(!page_count(page, "<td>127.0.0.1:"), "addresses");
	free(page);
	point("the page has a table of clients, unless they are not shown");
}

static void choice_begin(void)
{
	struct stream_settings settings;
	char first[3000] = "first=", second[3000] = "second=";

	memset(first + 6, 'x', sizeof(first) - 7);
	memset(second + 7, 'x', sizeof(second) - 8);
	streamworld_begin();
	settings_begin(&settings, "a", world.endpoint, "4M");
	settings_set(&settings, "pattern", "300K/s");
	settings_set(&settings, "lag-policy", "drop");
	settings_set(&settings, "meta", first);
	settings_set(&settings, "meta", second);
	settings_set(&settings, "meta", "place=north");
	streamworld_start(&settings, 1);
	settings_end(&settings);
	for (unsigned int i = 0; i < CLIENTS; i++)
		client_sockets[i] = streamworld_connect();
	streamworld_run_until(streams_clients(world.streams) == CLIENTS);
	streamworld_run_ms(500);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_init("test");
	log_set_level(LOG_LEVEL_WARNING);
	dice.state = 1;
	world.base = event_base_new();
	test_choice_parameters();
	test_choice_kinds();
	choice_begin();
	test_choice_orders();
	test_choice_filters();
	test_view();
	test_page();
	for (unsigned int i = 0; i < CLIENTS; i++)
		close(client_sockets[i]);
	streams_kick_all(world.streams, LEAVE_BY_OPERATOR, NULL);
	streamworld_stop();
	point("the end");
	event_base_free(world.base);
	return tap_end();
}
