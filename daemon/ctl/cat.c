// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat.h"

#include "ctl/cat_options.h"
#include "ctl/cat_output.h"
#include "ctl/cat_progress.h"
#include "ctl/cat_receiver.h"
#include "ctl/cat_report.h"
#include "ctl/cat_session.h"
#include "ctl/cat_signals.h"
#include "lib/clock.h"

#include <poll.h>

enum cat_exit { CAT_EXIT_ALL = 0, CAT_EXIT_ERROR = 1, CAT_EXIT_LOST = 3 };

/* Nothing is received while this many bytes wait for standard output. */
#define MAX_PENDING_BYTES (1U << 20)

/* Time for standard output to take the rest after an error, a signal or --duration. */
#define REST_NS (10 * NS_PER_S)
/* Longest time that bytes wait for a whole piece of a file. */
#define FLUSH_NS NS_PER_S

struct cat {
	const struct cat_options *options;
	struct cat_report *report;
	struct cat_output *output;
	struct cat_sink sink; /* of the output */
	struct cat_receiver *receiver;
	struct cat_session *session;
	uint64_t end_ns;    /* monotonic; of --duration; CAT_NEVER: none */
	uint64_t flush_ns;  /* monotonic */
	bool output_failed; /* nothing can be written any more */
};

static void cat_flush(struct cat *cat)
{
	cat_signals_allow(true);
	if (!cat->output_failed && !cat_output_flush(cat->output)) {
		cat->output_failed = true;
		cat_session_fail(cat->session, "%s", cat_output_error(cat->output));
	}
	cat_signals_allow(false);
	cat->flush_ns = clock_monotonic_ns() + FLUSH_NS;
}

/* What is due by time. Return: when to look again; CAT_NEVER: only when something happens. */
static uint64_t cat_keep_time(struct cat *cat)
{
	uint64_t now_ns = clock_monotonic_ns(), draw_ns, next_ns = CAT_NEVER;

	if (now_ns >= cat->end_ns)
		cat_session_finish(cat->session);
	else
		next_ns = cat_session_keep_time(cat->session);
	if (cat->options->output.pattern && now_ns >= cat->flush_ns)
		cat_flush(cat);
	draw_ns = cat_progress_draw(cat_report_progress(cat->report), now_ns);
	if (cat->end_ns < next_ns)
		next_ns = cat->end_ns;
	if (draw_ns && draw_ns < next_ns)
		next_ns = draw_ns;
	if (cat->options->output.pattern && cat->flush_ns < next_ns)
		next_ns = cat->flush_ns;
	return next_ns;
}

static void cat_wait(struct cat *cat, uint64_t until_ns)
{
	size_t pending = cat_output_pending(cat->output);
	struct pollfd fds[2] = { cat_session_poll(cat->session, pending >= MAX_PENDING_BYTES),
				 { .fd = -1 } };

	if (pending) {
		fds[1].fd = cat_output_fd(cat->output);
		fds[1].events = POLLOUT;
	}
	cat_signals_poll(fds, 2, until_ns);
	cat_session_handle(cat->session, fds[0].revents);
	if (!cat->options->output.pattern)
		cat_flush(cat);
}

/* Let standard output take the rest. */
static void cat_write_rest(struct cat *cat)
{
	bool limited = cat_signals_stopped() || cat_session_failed(cat->session) ||
		       clock_monotonic_ns() >= cat->end_ns;
	uint64_t until_ns = limited ? clock_monotonic_ns() + REST_NS : CAT_NEVER;
	struct pollfd fd = { .events = POLLOUT };

	cat_flush(cat);
	while (!cat->output_failed && cat_output_pending(cat->output)) {
		if (until_ns == CAT_NEVER && cat_signals_stopped())
			until_ns = clock_monotonic_ns() + REST_NS;
		fd.fd = cat_output_fd(cat->output);
		cat_signals_poll(&fd, 1, until_ns);
		cat_flush(cat);
		if (clock_monotonic_ns() < until_ns || !cat_output_pending(cat->output))
			continue;
		cat_session_fail(cat->session,
				 "standard output is full: %zu bytes were not written",
				 cat_output_pending(cat->output));
		break;
	}
}

static int cat_finish(struct cat *cat)
{
	enum cat_exit status = CAT_EXIT_ALL;

	cat_write_rest(cat);
	cat_session_judge_end(cat->session);
	cat_signals_allow(true);
	if (!cat_output_finish(cat->output) && !cat_session_failed(cat->session))
		cat_session_fail(cat->session, "%s", cat_output_error(cat->output));
	if (cat_session_failed(cat->session))
		status = CAT_EXIT_ERROR;
	else if (cat_report_lost(cat->report))
		status = CAT_EXIT_LOST;
	if (!cat_report_end(cat->report, cat_receiver_bytes(cat->receiver), (int)status))
		status = CAT_EXIT_ERROR;
	return (int)status;
}

static int cat_loop(struct cat *cat)
{
	while (!cat_session_finished(cat->session) && !cat_signals_stopped()) {
		uint64_t until_ns = cat_keep_time(cat);

		if (!cat_session_finished(cat->session) && !cat_signals_stopped())
			cat_wait(cat, until_ns);
	}
	return cat_finish(cat);
}

static bool cat_create(struct cat *cat, const struct cat_options *options)
{
	*cat = (struct cat){ .options = options, .end_ns = CAT_NEVER };
	if (options->duration_us)
		cat->end_ns = clock_monotonic_ns() + options->duration_us * 1000;
	cat->report = cat_report_create(&options->report);
	if (!cat->report)
		return false;
	cat->output = cat_output_create(&options->output, cat->report);
	if (cat->output) {
		cat->sink = cat_output_sink(cat->output);
		cat->receiver = cat_receiver_create(options->session.format, options->session.bytes,
						    options->output.sigmf, &cat->sink, cat->report);
	}
	if (cat->receiver)
		cat->session = cat_session_create(&options->session, cat->receiver, cat->report);
	if (!cat->session)
		cat_report_error(cat->report, "no memory");
	return cat->session;
}

static void cat_free(struct cat *cat)
{
	cat_session_free(cat->session);
	cat_receiver_free(cat->receiver);
	cat_output_free(cat->output);
	cat_report_free(cat->report);
}

int cat_run(int argc, char **argv)
{
	struct cat_options options;
	struct cat cat;
	int status = cat_options_parse(&options, argc, argv);

	if (status < 0) {
		cat_signals_catch();
		status = cat_create(&cat, &options) ? cat_loop(&cat) : (int)CAT_EXIT_ERROR;
		cat_free(&cat);
	}
	cat_options_free(&options);
	return status;
}
