// SPDX-License-Identifier: BSD-2-Clause
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "options.h"

struct spread {
	uint64_t count;
	uint64_t min;
	uint64_t median;
	uint64_t max;
};

static int compare_totals(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Return how many bytes the clients received: the plain ones, or all that do not stall. */
static struct spread measure_spread(bool plain_only)
{
	uint64_t *totals = calloc(opt.clients, sizeof(*totals));
	struct spread spread = { 0 };

	if (!totals)
		return spread;
	for (uint64_t i = 0; i < opt.clients; i++) {
		enum role role = run.clients[i].role;

		if (role == ROLE_PLAIN || (role != ROLE_STALL && !plain_only))
			totals[spread.count++] = run.clients[i].total;
	}
	qsort(totals, spread.count, sizeof(*totals), compare_totals);
	if (spread.count) {
		spread.min = totals[0];
		spread.median = totals[spread.count / 2];
		spread.max = totals[spread.count - 1];
	}
	free(totals);
	return spread;
}

static double elapsed_seconds(void)
{
	if (run.started_at == NEVER)
		return 0;
	return (double)(run.ended_at - run.started_at) / NS_PER_S;
}

static double total_rate(void)
{
	double seconds = elapsed_seconds();

	/* Bytes that arrived while others were still connecting do not count. */
	return seconds > 0 ? (double)(tally.bytes - run.started_bytes) / seconds : 0;
}

static const char *const ending_names[ENDINGS] = {
	[ENDING_NONE] = "was never made",     [ENDING_EOF] = "was ended",
	[ENDING_RESET] = "was reset",	      [ENDING_DONE] = "was closed after --bytes",
	[ENDING_STOPPED] = "was still there",
};

static void verify_ending(const struct client *client)
{
	enum ending ending = client->ending;

	/* The former is reported already; clients that left ended by themselves. */
	if (ending == ENDING_FAILED || ending == ENDING_LEFT)
		return;
	if ((ending != ENDING_EOF || !strcmp(opt.expect_end, "reset")) &&
	    (ending != ENDING_RESET || !strcmp(opt.expect_end, "end")))
		tally_fail("client %u: the connection %s instead of the expected end (%s)",
			   client->number, ending_names[ending], opt.expect_end);
}

static void verify_each_client(void)
{
	for (uint64_t i = 0; i < opt.clients; i++) {
		const struct client *client = &run.clients[i];

		if (opt.expect_end)
			verify_ending(client);
		if (opt.expect_bytes != UNSET && client->role == ROLE_PLAIN &&
		    client->total != opt.expect_bytes)
			tally_fail("client %u: received %" PRIu64 " bytes, expected %" PRIu64,
				   client->number, client->total, opt.expect_bytes);
	}
}

static void verify_rates(void)
{
	struct spread spread = measure_spread(true);
	double percent =
		spread.max ? 100.0 * (double)(spread.max - spread.min) / (double)spread.max : 0;

	if (percent > opt.spread)
		tally_fail("the clients received %" PRIu64 " to %" PRIu64
			   " bytes: %.1f %% apart, allowed are %.1f %%",
			   spread.min, spread.max, percent, opt.spread);
	if (total_rate() < (double)opt.min_rate)
		tally_fail("the total rate is %.0f bytes/s, below %" PRIu64, total_rate(),
			   opt.min_rate);
}

void report_verify(void)
{
	verify_each_client();
	verify_rates();
}

static void print_first_offsets(void)
{
	if (tally.first_offset_min > tally.first_offset_max)
		printf(" first_offset_min=none first_offset_max=none");
	else
		printf(" first_offset_min=%" PRIu64 " first_offset_max=%" PRIu64,
		       tally.first_offset_min, tally.first_offset_max);
}

void report_print(void)
{
	struct spread spread = measure_spread(false);

	printf("clients=%" PRIu64 " connected=%" PRIu64 " ended=%" PRIu64 " resets=%" PRIu64,
	       opt.clients, tally.connected, tally.endings[ENDING_EOF],
	       tally.endings[ENDING_RESET]);
	printf(" bytes_total=%" PRIu64 " bytes_min=%" PRIu64 " bytes_median=%" PRIu64
	       " bytes_max=%" PRIu64,
	       tally.bytes, spread.min, spread.median, spread.max);
	print_first_offsets();
	printf(" gaps=%" PRIu64 " gap_bytes=%" PRIu64 " cut_gaps=%" PRIu64 " bad=%" PRIu64,
	       tally.gaps, tally.gap_bytes, tally.cut_gaps, tally.bad);
	if (opt.framed)
		printf(" frames=%" PRIu64 " metadata=%" PRIu64 " preambles=%" PRIu64
		       " ends=%" PRIu64 " starts=%" PRIu64 " gap_blocks=%" PRIu64
		       " lost_blocks=%" PRIu64 " lost_bytes=%" PRIu64,
		       tally.frames, tally.metadata, tally.preambles, tally.ends, tally.starts,
		       tally.gap_blocks, tally.lost_blocks, tally.lost_bytes);
	printf(" seconds=%.3f rate=%.0f", elapsed_seconds(), total_rate());
	printf(" joins=%" PRIu64 " left=%" PRIu64 " done=%" PRIu64, tally.joins,
	       tally.endings[ENDING_LEFT], tally.endings[ENDING_DONE]);
	printf(" stalled_ended=%" PRIu64 " stalled_resets=%" PRIu64 " sent=%" PRIu64
	       " unsure=%" PRIu64 " errors=%" PRIu64 "\n",
	       tally.stalled_endings[ENDING_EOF], tally.stalled_endings[ENDING_RESET], tally.sent,
	       tally.unsure, tally.failures);
}
