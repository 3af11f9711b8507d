// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_progress.h"

#include "lib/clock.h"
#include "lib/rate.h"
#include "lib/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Back to the begin of the line, and clear it. */
#define CLEAR_LINE "\r\033[K"

#define LAG_TEXT 32
#define LINE_TEXT 256

struct cat_progress {
	bool shown, drawn;
	uint64_t due_ns; /* monotonic */
	uint64_t begun_ns, total;
	struct rate rate;
	uint64_t captured_ns; /* CLOCK_REALTIME, of the last block; 0: unknown */
	uint64_t gaps, lost_bytes;
};

struct cat_progress *cat_progress_create(bool shown)
{
	struct cat_progress *progress = calloc(1, sizeof(*progress));

	if (!progress)
		return NULL;
	progress->shown = shown;
	progress->begun_ns = clock_monotonic_ns();
	return progress;
}

void cat_progress_note_bytes(struct cat_progress *progress, uint64_t total)
{
	progress->total = total;
	if (progress->shown)
		rate_note(&progress->rate, total, clock_monotonic_ns());
}

void cat_progress_note_lag(struct cat_progress *progress, uint64_t captured_ns)
{
	progress->captured_ns = captured_ns;
}

void cat_progress_note_gap(struct cat_progress *progress, uint64_t bytes)
{
	progress->gaps++;
	progress->lost_bytes += bytes;
}

/* Write the age of the last block; nothing if it is unknown. */
static const char *cat_progress_lag(const struct cat_progress *progress, char text[LAG_TEXT])
{
	int64_t lag_ns = (int64_t)(clock_ns(CLOCK_REALTIME) - progress->captured_ns);

	text[0] = '\0';
	if (progress->captured_ns)
		snprintf(text, LAG_TEXT, "  lag %.3f s", (double)lag_ns / 1e9);
	return text;
}

/* Return the columns of the terminal without the last one: CLEAR_LINE cannot remove a line that was wrapped. */
static int cat_progress_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2)
		return LINE_TEXT;
	return size.ws_col - 1;
}

static void cat_progress_write(const struct cat_progress *progress, uint64_t rate, const char *end)
{
	char rate_text[UNITS_TEXT], total[UNITS_TEXT], lost[UNITS_TEXT], lag[LAG_TEXT];
	char line[LINE_TEXT];

	snprintf(line, sizeof(line), "%s  %s/s%s  gaps %" PRIu64 "%s%s%s",
		 units_format_about(progress->total, total), units_format_about(rate, rate_text),
		 cat_progress_lag(progress, lag), progress->gaps, progress->lost_bytes ? " (" : "",
		 progress->lost_bytes ? units_format_about(progress->lost_bytes, lost) : "",
		 progress->lost_bytes ? ")" : "");
	fprintf(stderr, CLEAR_LINE "%.*s%s", cat_progress_columns(), line, end);
}

uint64_t cat_progress_draw(struct cat_progress *progress, uint64_t now_ns)
{
	if (!progress->shown)
		return 0;
	if (now_ns < progress->due_ns)
		return progress->due_ns;
	cat_progress_write(progress, rate_per_second(&progress->rate, progress->total, now_ns), "");
	progress->drawn = true;
	progress->due_ns = now_ns + CAT_PROGRESS_NS;
	return progress->due_ns;
}

void cat_progress_clear(struct cat_progress *progress)
{
	if (progress->drawn)
		fputs(CLEAR_LINE, stderr);
	progress->drawn = false;
	progress->due_ns = 0;
}

/* The last line has the average rate. */
void cat_progress_finish(struct cat_progress *progress)
{
	uint64_t elapsed_ns = clock_monotonic_ns() - progress->begun_ns;

	if (progress->shown)
		cat_progress_write(progress,
				   (uint64_t)((double)progress->total * 1e9 / (double)elapsed_ns),
				   "\n");
	progress->shown = progress->drawn = false;
}

void cat_progress_free(struct cat_progress *progress)
{
	free(progress);
}
