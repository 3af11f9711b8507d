// SPDX-License-Identifier: BSD-2-Clause
#include "observe/live_page.h"

#include "lib/clock.h"
#include "lib/html_text.h"
#include "lib/units.h"
#include "observe/client_choice.h"
#include "observe/page_text.h"
#include "stream/client.h"
#include "stream/streams.h"

#include <inttypes.h>

/* Clients in the table. */
#define PAGE_CLIENTS 50U

const char *live_page_policy(void)
{
	return page_text_policy;
}

/* ---- cells ---- */

static void page_text_cell(FILE *file, const char *text)
{
	fputs("<td>", file);
	html_write(file, text);
	fputs("</td>", file);
}

static void page_number_cell(FILE *file, uint64_t number)
{
	fprintf(file, "<td class=\"number\">%" PRIu64 "</td>", number);
}

/* @unit: "" or "/s" */
static void page_bytes_cell(FILE *file, uint64_t bytes, const char *unit)
{
	char text[UNITS_TEXT];

	fprintf(file, "<td class=\"number\" title=\"%" PRIu64 "\">%s%s</td>", bytes,
		units_format_about(bytes, text), unit);
}

static void page_seconds_cell(FILE *file, uint64_t ns)
{
	fprintf(file, "<td class=\"number\">%.3f s</td>", (double)ns / 1e9);
}

static void page_begin_table(FILE *file, const char *caption, const char *const *column)
{
	fprintf(file, "<table><caption>%s</caption><thead><tr>", caption);
	for (; *column; column++)
		fprintf(file, "<th scope=\"col\">%s</th>", *column);
	fputs("</tr></thead><tbody>\n", file);
}

static void page_end_table(FILE *file)
{
	fputs("</tbody></table>\n", file);
}

/* ---- streams ---- */

static void page_stream_row(void *argument, const struct name_report *name)
{
	const struct stream_stats *stats = name->stats;
	uint64_t now_ns = clock_monotonic_ns();
	FILE *file = argument;

	fputs("<tr>", file);
	page_text_cell(file, name->name);
	page_text_cell(file, name->generations ? name->newest.state : "ended");
	page_text_cell(file, name->generations ? name->newest.source : "");
	page_text_cell(file, name->generations ? name->newest.source_state : "ended");
	page_number_cell(file, name->clients);
	page_bytes_cell(file, rate_per_second(&stats->rate, stats->bytes, now_ns), "/s");
	page_bytes_cell(file, rate_per_second(&stats->sent.rate, stats->sent.bytes, now_ns), "/s");
	page_bytes_cell(file, name->totals.stats.sent_bytes, "");
	page_bytes_cell(file, name->totals.stats.dropped_bytes, "");
	page_seconds_cell(file, name->most_lag_ns);
	fputs("</tr>\n", file);
}

static void page_write_streams(FILE *file, const struct streams *streams)
{
	static const char *const column[] = {
		"Stream", "State", "Source",  "Source state",	    "Clients", "In",
		"Out",	  "Sent",  "Dropped", "Lag of the slowest", NULL
	};

	page_begin_table(file, "Streams", column);
	streams_each_name(streams, page_stream_row, file);
	page_end_table(file);
}

/* ---- clients ---- */

static void page_client_row(FILE *file, const struct chosen_client *chosen, uint64_t now_ns)
{
	struct client_report report;

	client_report(chosen->client, now_ns, &report);
	fputs("<tr>", file);
	page_text_cell(file, report.peer);
	page_text_cell(file, chosen->stream);
	page_text_cell(file, report.endpoint);
	page_text_cell(file, report.format);
	page_text_cell(file, report.state);
	page_bytes_cell(file, report.totals.stats.sent_bytes, "");
	page_bytes_cell(file, report.totals.stats.dropped_bytes, "");
	page_bytes_cell(file, report.lag_bytes, "");
	page_seconds_cell(file, report.lag_ns);
	page_number_cell(file, report.pinned_blocks);
	page_seconds_cell(file, now_ns - report.joined_ns);
	fputs("</tr>\n", file);
}

static void page_write_clients(FILE *file, const struct streams *streams)
{
	static const char *const column[] = { "Client", "Stream",	 "Endpoint",  "Format",
					      "State",	"Sent",		 "Dropped",   "Behind",
					      "Lag",	"Pinned blocks", "Connected", NULL };
	static const struct client_choice choice = { .order = ORDER_LAG, .limit = PAGE_CLIENTS };
	uint64_t now_ns = clock_monotonic_ns();
	struct chosen_clients chosen;

	client_choice_find(&choice, streams, now_ns, &chosen);
	page_begin_table(file, "Clients", column);
	for (unsigned int i = 0; i < chosen.count; i++)
		page_client_row(file, &chosen.client[i], now_ns);
	page_end_table(file);
	if (chosen.matching > chosen.count)
		fprintf(file, "<p>The %u of %" PRIu64 " clients that are furthest behind.</p>\n",
			chosen.count, chosen.matching);
}

void live_page_write(FILE *file, const struct streams *streams, bool per_client)
{
	fputs(page_text_begin, file);
	page_write_streams(file, streams);
	if (per_client)
		page_write_clients(file, streams);
	else
		fputs("<p>With metrics-per-client = yes, each client is shown, too.</p>\n", file);
	fputs(page_text_end, file);
}
