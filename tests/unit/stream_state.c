// SPDX-License-Identifier: BSD-2-Clause
/*
 * Parts of a stream that are saved and restored: settings, totals, frames, preamble, limits. Each must be as before, and
 * each wrong value must be a failure.
 */
#include "config/config_state.h"
#include "config/option_table.h"
#include "config/quote.h"
#include "lib/backoff.h"
#include "lib/log.h"
#include "lib/rate_limit.h"
#include "lib/stats.h"
#include "stream/stream_frames.h"
#include "stream/stream_journal.h"
#include "stream/stream_names.h"
#include "stream/stream_preamble.h"

#include "statepass.h"
#include "streamworld.h"
#include "tap.h"

#include <inttypes.h>

/* As long as an option can be. Its line of a file would have its name, too, and be too long. */
#define MAX_INPUT (MAX_LINE_BYTES - 8)

/* ---- settings ---- */

/* Return: the settings after a handover; NULL: saving or restoring failed. */
static struct stream_settings *pass_settings(const struct stream_settings *settings)
{
	struct state *state = state_begin_saving();
	struct stream_settings *restored;

	config_state_save_stream(settings, state);
	if (state_failed(state)) {
		state_free(state);
		return NULL;
	}
	state = state_pass(state);
	restored = config_state_restore_stream(state);
	state_end_pass(state);
	return restored;
}

static void check_same_settings(const struct stream_settings *settings, const char *what)
{
	struct stream_settings *restored = pass_settings(settings);
	char options[OPTION_NAMES_TEXT];

	if (!check(restored, "%s: not restored", what))
		return;
	check(!strcmp(restored->name, settings->name), "%s: name %s", what, restored->name);
	check(!option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, settings, restored, options),
	      "%s: %s", what, options);
	check(!option_endpoint_changes(settings, restored, options), "%s: %s", what, options);
	stream_settings_free(restored);
}

static void add_endpoint(struct stream_settings *stream)
{
	struct endpoint_settings endpoint = { .name = strdup("viewers"),
					      .stream = strdup(stream->name) };
	bool *is_set = calloc(option_count, sizeof(*is_set));
	char expected[OPTION_ERROR_TEXT];

	check(option_inherit(&endpoint, stream, is_set) &&
		      option_set(option_find(OPTION_ENDPOINT, "listen"), OPTION_ENDPOINT, &endpoint,
				 ":7001", expected) &&
		      option_set(option_find(OPTION_ENDPOINT, "dscp"), OPTION_ENDPOINT, &endpoint,
				 "46", expected) &&
		      stream_settings_add_endpoint(stream, &endpoint),
	      "no endpoint");
	free(is_set);
}

static void test_settings(void)
{
	struct stream_settings settings;
	char *input = malloc(MAX_INPUT);

	settings_begin(&settings, "a", ":7000", "4M");
	settings_set(&settings, "pattern", "10M/s");
	settings_set(&settings, "meta", "unit=V; not a comment");
	settings_set(&settings, "meta", "place=\"left\" \\ right");
	settings_set(&settings, "allow", "10.0.0.0/8");
	settings_set(&settings, "retain", "1M");
	settings_set(&settings, "congestion", "cubic");
	check_same_settings(&settings, "pattern");
	add_endpoint(&settings);
	check_same_settings(&settings, "endpoint");
	settings_end(&settings);
	point("settings with lists, quotes and sections are the same afterwards");

	settings_begin(&settings, "a", ":7000", "4M");
	memset(input, 'x', MAX_INPUT);
	memcpy(input, "exec:", 5);
	input[MAX_INPUT - 1] = '\0';
	settings_set(&settings, "input", input);
	check_same_settings(&settings, "a long command");
	free(input);
	settings_end(&settings);
	settings_begin(&settings, "a", ":7000", "4M");
	settings_set(&settings, "input", "/tmp/\xe9t\xe9");
	check_same_settings(&settings, "no UTF-8");
	settings_end(&settings);
	point("so are inputs that no line of a file or no UTF-8 text can have");

	settings_begin(&settings, "a", ":7000", "4M");
	log_set_level((enum log_level)0);
	check(!pass_settings(&settings), "saved without a source");
	log_set_level(LOG_LEVEL_ERROR);
	settings_end(&settings);
	point("settings that would be refused when they are read are not saved");
}

static void test_client_settings(void)
{
	struct client_settings restored = { 0 };
	struct stream_settings settings;
	struct client_settings *client = &settings.client;
	struct state *state = state_begin_saving();

	settings_begin(&settings, "a", ":7000", "4M");
	settings_set(&settings, "dscp", "12");
	settings_set(&settings, "max-clients", "77");
	settings_set(&settings, "lag-policy", "latest");
	settings_set(&settings, "allow", "10.0.0.0/8");
	config_state_save_clients("viewers", client, state);
	state = state_pass(state);
	check(config_state_restore_clients(&restored, state), "failed");
	state_end_pass(state);
	check(restored.dscp == 12 && restored.max_clients == 77 &&
		      restored.lag_policy == LAG_POLICY_LATEST && !restored.access.count,
	      "dscp %" PRIu64 ", max-clients %" PRIu64 ", policy %u", restored.dscp,
	      restored.max_clients, restored.lag_policy);
	check(restored.notsent_lowat == client->notsent_lowat &&
		      restored.max_rate == client->max_rate &&
		      restored.request_timeout == client->request_timeout,
	      "others differ");
	settings_end(&settings);
	point("a section that was removed keeps the plain values of its clients' settings");
}

/* ---- totals ---- */

/* Give each number of @stats a value of its own. */
static void fill_stats(struct stream_stats *stats)
{
	uint64_t *number = (uint64_t *)(void *)stats;

	for (size_t i = 0; i < offsetof(struct stream_stats, own) / sizeof(*number); i++)
		number[i] = 1000 + i;
	stats->own.joined = 7;
	stream_stats_endpoint(stats, "viewers")->joined = 8;
	stream_stats_endpoint(stats, "guests")->refused = 9;
}

static void test_stats(void)
{
	struct stream_stats stats = { 0 }, restored = { 0 };
	struct state *state = state_begin_saving();

	fill_stats(&stats);
	stream_stats_transfer(&stats, state, "stats");
	state = state_pass(state);
	stream_stats_transfer(&restored, state, "stats");
	state_end_pass(state);
	check(!memcmp(&stats, &restored, offsetof(struct stream_stats, own)), "a number differs");
	check(restored.own.joined == 7 &&
		      stream_stats_endpoint(&restored, "viewers")->joined == 8 &&
		      stream_stats_endpoint(&restored, "guests")->refused == 9,
	      "the number of an endpoint differs");
	stream_stats_clear(&stats);
	stream_stats_clear(&restored);
	point("every counter, rate and bucket of a stream is the same afterwards");
}

static void test_names_saved(void)
{
	struct stream_settings settings, other;
	struct state *state = state_begin_saving();
	struct stream_names names, restored;

	settings_begin(&settings, "ended", ":7000", "4M");
	settings_set(&settings, "pattern", "1M/s");
	settings_begin(&other, "ended", ":7000", "8M");
	settings_set(&other, "pattern", "1M/s");
	stream_names_init(&names);
	stream_names_init(&restored);
	name_totals_release(stream_names_use(&names, "first"));
	fill_stats(&TAILQ_FIRST(&names.totals)->stats);
	name_totals_release(stream_names_use(&names, "ended"));
	stream_names_finished(&names, &settings);
	stream_names_save(&names, state);
	state = state_pass(state);
	stream_names_restore(&restored, state);
	state_end_pass(state);
	check(stream_names_is_finished(&restored, &settings), "has not ended");
	check(!stream_names_is_finished(&restored, &other), "another one has ended");
	check(!strcmp(TAILQ_FIRST(&restored.totals)->name, "first") &&
		      TAILQ_FIRST(&restored.totals)->stats.blocks ==
			      TAILQ_FIRST(&names.totals)->stats.blocks &&
		      !TAILQ_FIRST(&restored.totals)->users,
	      "the first name differs");
	stream_names_free(&names);
	stream_names_free(&restored);
	settings_end(&settings);
	settings_end(&other);
	point("names have their order and their totals, and those that ended have ended");
}

/* ---- frames and preamble ---- */

static unsigned char block_bytes[64];

static void write_blocks(struct stream_frames *frames, uint64_t from, uint64_t to)
{
	static unsigned char header[FRAME_HEADER_BYTES];
	struct block block = { .data = block_bytes, .header = header, .length = 64 };

	for (uint64_t i = from; i < to; i++)
		stream_frames_write(frames, &block, i, 64 * i);
}

static void test_frames(void)
{
	struct stream_settings settings;
	struct stream_frames frames, restored;
	struct state *state = state_begin_saving();
	uint32_t last;

	settings_begin(&settings, "a", ":7000", "4M");
	settings_set(&settings, "meta", "unit=V");
	check(stream_frames_init(&frames, &settings) && stream_frames_init(&restored, &settings),
	      "no memory");
	for (uint64_t i = 0; i < FRAMES_RUNS + 10; i++) {
		write_blocks(&frames, 2 * i, 2 * i + 2);
		stream_frames_begin_epoch(&frames);
	}
	stream_frames_note_lost(&frames, 5);
	last = frames.epoch;
	stream_frames_transfer(&frames, state);
	state = state_pass(state);
	stream_frames_transfer(&restored, state);
	state_end_pass(state);
	check(restored.epoch == last && restored.starts && restored.lost_blocks == 5,
	      "epoch %" PRIx32 ", %" PRIu64 " lost", restored.epoch, restored.lost_blocks);
	for (uint64_t i = 0; i < 2 * (FRAMES_RUNS + 10); i++)
		check(stream_frames_epoch_of(&restored, i) == stream_frames_epoch_of(&frames, i),
		      "epoch of block %" PRIu64, i);
	check(!stream_frames_refresh(&restored), "the metadata differ");
	stream_frames_free(&frames);
	stream_frames_free(&restored);
	settings_end(&settings);
	point("epochs, losses and metadata are the same, and no frame starts an epoch again");
}

static void check_preamble_at(struct stream_preamble *preamble, uint64_t position,
			      const char *expected)
{
	struct shared_bytes *bytes = NULL;

	check(stream_preamble_get(preamble, position, &bytes), "no memory");
	check(bytes ? bytes->length == strlen(expected) &&
			      !memcmp(bytes->bytes, expected, bytes->length)
		    : !*expected,
	      "at %" PRIu64 ": %u bytes, expected \"%s\"", position, bytes ? bytes->length : 0,
	      expected);
}

static void test_preamble(void)
{
	struct block block = { .data = (unsigned char *)(uintptr_t) "abcdefgh", .length = 8 };
	struct stream_preamble preamble, restored;
	struct stream_settings settings;
	struct state *state = state_begin_saving();

	settings_begin(&settings, "a", ":7000", "4M");
	settings_set(&settings, "preamble", "12");
	check(stream_preamble_init(&preamble, &settings) &&
		      stream_preamble_init(&restored, &settings),
	      "no memory");
	stream_preamble_add(&preamble, &block, 1000);
	check_preamble_at(&preamble, 1008, "abcdefgh");
	stream_preamble_transfer(&preamble, state);
	state = state_pass(state);
	stream_preamble_transfer(&restored, state);
	state_end_pass(state);
	check_preamble_at(&restored, 1008, "abcdefgh");
	stream_preamble_add(&restored, &block, 1008);
	check_preamble_at(&restored, 1016, "abcdefghabcd");
	check_preamble_at(&restored, 1004, "abcd");
	check_preamble_at(&restored, 999, "");
	stream_preamble_free(&preamble);
	stream_preamble_free(&restored);
	settings_end(&settings);
	point("the first bytes of the run are the same, and the rest of them follows");
}

/* ---- limits ---- */

static void test_limits_saved(void)
{
	struct log_limit log = { .interval_start_ns = 1, .burst = 3, .passed = 4, .suppressed = 5 };
	struct log_limit restored_log = { .burst = 9 };
	struct rate_limit rate = { .even_ns = 6 }, restored_rate = { 0 };
	struct backoff backoff = { .next_us = 400000 }, restored_backoff;
	struct state *state = state_begin_saving();

	log_limit_transfer(&log, state, "log");
	rate_limit_transfer(&rate, state, "rate");
	backoff_transfer(&backoff, state, "backoff");
	backoff_reset(&restored_backoff);
	state = state_pass(state);
	log_limit_transfer(&restored_log, state, "log");
	rate_limit_transfer(&restored_rate, state, "rate");
	backoff_transfer(&restored_backoff, state, "backoff");
	state_end_pass(state);
	check(restored_log.interval_start_ns == 1 && restored_log.burst == 9 &&
		      restored_log.passed == 4 && restored_log.suppressed == 5,
	      "another log limit");
	check(restored_rate.even_ns == 6 && restored_backoff.next_us == 400000, "another limit");
	state = state_begin_saving();
	backoff.next_us = MAX_BACKOFF_US + 1;
	backoff_transfer(&backoff, state, "backoff");
	check(state_failed(state), "a delay that cannot be");
	state_free(state);
	point("limits and delays go on where they were");
}

static void test_journal(void)
{
	struct stream_settings settings;
	struct stream_journal journal, restored;
	struct state *state = state_begin_saving();

	world.base = event_base_new();
	settings_begin(&settings, "a", ":7000", "4M");
	stream_journal_init(&journal, world.base, &settings);
	stream_journal_init(&restored, world.base, &settings);
	journal.joined = 3;
	journal.left = 4;
	journal.left_totals.stats.sent_bytes = 5;
	stream_journal_transfer(&journal, state);
	state = state_pass(state);
	stream_journal_transfer(&restored, state);
	state_end_pass(state);
	check(restored.joined == 3 && restored.left == 4 &&
		      restored.left_totals.stats.sent_bytes == 5,
	      "other numbers");
	check(evtimer_pending(&restored.summary_timer, NULL), "no summary will come");
	stream_journal_flush(&restored);
	stream_journal_flush(&journal);
	settings_end(&settings);
	event_base_free(world.base);
	point("the summary of clients without a line comes from the successor");
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	test_settings();
	test_client_settings();
	test_stats();
	test_names_saved();
	test_frames();
	test_preamble();
	test_limits_saved();
	test_journal();
	return tap_end();
}
