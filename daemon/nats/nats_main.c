// SPDX-License-Identifier: BSD-2-Clause
/* dmacast-nats: a bridge between streams of dmacastd and NATS JetStream. */
#include "ctl/cat_signals.h"
#include "nats/nats_options.h"
#include "nats/nats_publisher.h"
#include "nats/nats_subscriber.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NATS_STATUS_USAGE 2

static int nats_run(int argc, char **argv, int (*command)(struct nats_options *options))
{
	struct nats_options options;
	int status = nats_options_parse(&options, argc, argv);

	if (status >= 0)
		return status;
	/* Before the library starts its threads, which do not handle signals. */
	cat_signals_catch();
	return command(&options);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "publish"))
		return nats_run(argc - 1, argv + 1, nats_publish);
	if (!strcmp(command, "subscribe"))
		return nats_run(argc - 1, argv + 1, nats_subscribe);
	if (!strcmp(command, "--help") || !strcmp(command, "-h")) {
		nats_options_print_help();
		return 0;
	}
	if (!strcmp(command, "--version")) {
		printf("dmacast-nats %s\n", DMACAST_VERSION);
		return 0;
	}
	fprintf(stderr, "%s: expected publish or subscribe; see dmacast-nats --help\n",
		program_invocation_short_name);
	return NATS_STATUS_USAGE;
}
