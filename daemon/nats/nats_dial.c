// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_dial.h"

#include "ctl/cat_report.h"
#include "ctl/cat_signals.h"
#include "lib/backoff.h"
#include "lib/clock.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

/* Report a reason if it is another one than before. */
static void dial_report(struct cat_report *report, const char *urls, const char *error,
			char reported[NATS_SERVER_ERROR])
{
	char text[2 * NATS_SERVER_ERROR];

	if (!strcmp(error, reported))
		return;
	strlcpy(reported, error, NATS_SERVER_ERROR);
	snprintf(text, sizeof(text), "%s: %s; trying again", urls, error);
	cat_report_notice(report, "trouble", text);
}

static void dial_pause(struct backoff *backoff)
{
	struct timeval delay = backoff_take(backoff);

	cat_signals_poll(NULL, 0, clock_monotonic_ns() + clock_timeval_us(&delay) * NS_PER_US);
}

struct nats_server *nats_dial(const struct nats_server_options *options, bool wait,
			      struct cat_report *report)
{
	enum nats_server_result result = NATS_SERVER_RETRY;
	char error[NATS_SERVER_ERROR] = "", reported[NATS_SERVER_ERROR] = "";
	struct nats_server *server = NULL;
	struct backoff backoff;

	backoff_reset(&backoff);
	while (!cat_signals_stopped()) {
		result = nats_server_connect(options, &server, error);
		if (result == NATS_SERVER_OK)
			break;
		if (result == NATS_SERVER_FATAL || !wait) {
			cat_report_error(report, "%s: %s", options->urls, error);
			break;
		}
		dial_report(report, options->urls, error, reported);
		dial_pause(&backoff);
	}
	return server;
}

void nats_dial_print(struct nats_server *server)
{
	char url[NATS_SERVER_ERROR];

	printf("server: %s\npayload of a message: at most %zu bytes; longer blocks are cut\n",
	       nats_server_url(server, url), nats_server_payload(server));
}
