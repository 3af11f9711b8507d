// SPDX-License-Identifier: BSD-2-Clause
/* What outlives the streams of a name: their totals, and that one of them ended by itself. */
#include "stream/stream_names.h"

#include "config/option_table.h"

#include "tap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct stream_settings names_settings(const char *name)
{
	struct stream_settings settings = { 0 };

	option_set_defaults(OPTION_STREAM, &settings);
	settings.name = strdup(name);
	return settings;
}

static void names_free_settings(struct stream_settings *settings)
{
	stream_settings_clear(settings);
}

static const struct name_totals *first_totals(const struct stream_names *names)
{
	return TAILQ_FIRST(&names->totals);
}

static void test_name_totals(void)
{
	struct stream_settings settings = names_settings("a");
	struct name_totals *a, *b;
	struct stream_names names;

	stream_names_init(&names);
	a = stream_names_use(&names, "a");
	b = stream_names_use(&names, "b");
	check(a && b && a != b, "the same");
	check(stream_names_use(&names, "a") == a && a->users == 2, "%u users", a->users);
	check(first_totals(&names) == a && TAILQ_NEXT(a, entry) == b, "another order");
	point("all streams of one name have the same totals");

	a->stats.bytes = 5;
	name_totals_release(a);
	name_totals_release(a);
	stream_names_forget_others(&names, &settings, 1);
	check(stream_names_use(&names, "a") == a && a->stats.bytes == 5, "forgotten");
	check(stream_names_use(&names, "b") == b && b->users == 2, "forgotten");
	point("totals stay while the name is configured, or a stream uses them");

	name_totals_release(b);
	name_totals_release(b);
	stream_names_forget_others(&names, &settings, 1);
	check(first_totals(&names) == a && !TAILQ_NEXT(a, entry), "not forgotten");
	point("and are forgotten after that");

	stream_names_free(&names);
	check(first_totals(&names) == a, "freed, although in use");
	name_totals_release(a);
	stream_names_free(&names);
	check(!first_totals(&names), "not freed");
	names_free_settings(&settings);
	point("what is in use at the end is not freed");
}

static void test_finished_names(void)
{
	struct stream_settings a = names_settings("a"), b = names_settings("b"),
			       other = names_settings("a");
	struct stream_names names;

	other.client.max_clients++;
	stream_names_init(&names);
	stream_names_finished(&names, &a);
	check(stream_names_is_finished(&names, &a), "not finished");
	check(!stream_names_is_finished(&names, &b), "finished, by another name");
	check(!stream_names_is_finished(&names, &other), "finished, with another option");
	point("a stream has finished if its name and all options are the same");

	stream_names_finished(&names, &b);
	stream_names_started(&names, "a");
	check(!stream_names_is_finished(&names, &a), "still finished");
	check(stream_names_is_finished(&names, &b), "not finished any more");
	stream_names_finished(&names, &a);
	stream_names_forget_others(&names, &a, 1);
	check(stream_names_is_finished(&names, &a), "forgotten");
	check(!stream_names_is_finished(&names, &b), "not forgotten");
	stream_names_free(&names);
	names_free_settings(&a);
	names_free_settings(&b);
	names_free_settings(&other);
	point("until one of that name starts, or the name is not configured any more");
}

static void test_report(void)
{
	struct stream_report newer = { .name = "newer", .clients = 2, .outstanding_sends = 10 };
	struct stream_report older = { .name = "older", .clients = 3, .outstanding_sends = 20 };
	struct name_report report;
	struct stream_names names;
	struct name_totals *totals;

	stream_names_init(&names);
	totals = stream_names_use(&names, "a");
	totals->stats.left.stats.sent_bytes = 100;
	name_report_init(&report, totals);
	check(!strcmp(report.name, "a") && report.stats == &totals->stats, "%s", report.name);
	check(!report.generations && !report.clients, "%u generations", report.generations);
	check(report.totals.stats.sent_bytes == 100, "%" PRIu64, report.totals.stats.sent_bytes);
	point("the report of a name without streams");

	newer.present.stats.sent_bytes = 30;
	newer.most_lag_bytes = 7;
	newer.most_lag_ns = 9;
	older.present.stats.sent_bytes = 4;
	older.most_lag_bytes = 8;
	older.most_lag_ns = 6;
	name_report_add(&report, &newer);
	name_report_add(&report, &older);
	check(report.generations == 2 && report.clients == 5 && report.outstanding_sends == 30,
	      "%u generations, %" PRIu64 " clients, %" PRIu64 " sends", report.generations,
	      report.clients, report.outstanding_sends);
	check(report.totals.stats.sent_bytes == 134, "%" PRIu64, report.totals.stats.sent_bytes);
	check(report.most_lag_bytes == 8 && report.most_lag_ns == 9, "%" PRIu64 ", %" PRIu64,
	      report.most_lag_bytes, report.most_lag_ns);
	check(!strcmp(report.newest.name, "newer"), "%s", report.newest.name);
	name_totals_release(totals);
	stream_names_free(&names);
	point("the report adds streams up, and has the first one as the newest");
}

int main(void)
{
	test_name_totals();
	test_finished_names();
	test_report();
	return tap_end();
}
