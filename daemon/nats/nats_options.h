/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of dmacast-nats. */
#ifndef DMACAST_NATS_OPTIONS_H
#define DMACAST_NATS_OPTIONS_H

#include "ctl/cat_report.h"
#include "lib/stream_url.h"
#include "nats/nats_start.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the connection to a server. */
struct nats_server_options {
	const char *urls; /* with commas between them */
	const char *credentials;
	const char *nkey, *nkey_seed; /* public key, and file with its seed */
	const char *tls_ca, *tls_cert, *tls_key;
	bool tls;
};

/* Of the JetStream stream. What was not given is not compared with a stream that exists. */
struct nats_stream_options {
	const char *name; /* NULL: from the subject */
	bool memory, storage_given;
	uint64_t max_bytes; /* 0: no limit, or not given */
	uint64_t max_age_us;
	uint64_t replicas;     /* 0: not given */
	uint64_t duplicate_us; /* 0: not given */
};

struct nats_options {
	struct nats_server_options server;
	struct nats_stream_options stream;
	struct cat_report_options report;
	bool check; /* only print the connection and its limits */

	/* publish */
	const char *subject;  /* template */
	uint64_t max_pending; /* bytes */
	struct stream_url url;

	/* subscribe */
	struct nats_start start;
	bool framed;
	const char *stream_name;
};

/**
 * nats_options_parse() - parse the arguments of a command; texts of @argv are kept. Errors and help are printed.
 * @argv: from "publish" or "subscribe" on
 *
 * Return: -1, or the exit status if the program ends here.
 */
int nats_options_parse(struct nats_options *options, int argc, char **argv);

/** nats_options_print_help() - print what the program does. */
void nats_options_print_help(void);

#endif
