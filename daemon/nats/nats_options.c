// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_options.h"

#include "lib/clock.h"
#include "lib/units.h"
#include "nats/nats_subject.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NATS_STATUS_USAGE 2

#define DEFAULT_SERVER "nats://127.0.0.1:4222"
#define DEFAULT_PENDING_BYTES (32ULL << 20)
#define MIN_PENDING_BYTES (1ULL << 20)
#define MAX_PENDING_BYTES (4ULL << 30)
#define MAX_REPLICAS 5
/* The server has nanoseconds in 63 bits. */
#define MAX_TIME_US (100ULL * 366 * 86400 * 1000000)

enum {
	NATS_OPTION_SERVER = 256,
	NATS_OPTION_CREDENTIALS,
	NATS_OPTION_NKEY,
	NATS_OPTION_NKEY_SEED,
	NATS_OPTION_TLS,
	NATS_OPTION_TLS_CA,
	NATS_OPTION_TLS_CERT,
	NATS_OPTION_TLS_KEY,
	NATS_OPTION_SUBJECT,
	NATS_OPTION_STREAM,
	NATS_OPTION_STORAGE,
	NATS_OPTION_MAX_BYTES,
	NATS_OPTION_MAX_AGE,
	NATS_OPTION_REPLICAS,
	NATS_OPTION_DUPLICATES,
	NATS_OPTION_MAX_PENDING,
	NATS_OPTION_START,
	NATS_OPTION_FRAMED,
	NATS_OPTION_CHECK,
	NATS_OPTION_JSON,
};

#define COMMON_OPTIONS                                                           \
	{ "server", required_argument, NULL, NATS_OPTION_SERVER },               \
		{ "creds", required_argument, NULL, NATS_OPTION_CREDENTIALS },   \
		{ "nkey", required_argument, NULL, NATS_OPTION_NKEY },           \
		{ "nkey-seed", required_argument, NULL, NATS_OPTION_NKEY_SEED }, \
		{ "tls", no_argument, NULL, NATS_OPTION_TLS },                   \
		{ "tls-ca", required_argument, NULL, NATS_OPTION_TLS_CA },       \
		{ "tls-cert", required_argument, NULL, NATS_OPTION_TLS_CERT },   \
		{ "tls-key", required_argument, NULL, NATS_OPTION_TLS_KEY },     \
		{ "check", no_argument, NULL, NATS_OPTION_CHECK },               \
		{ "quiet", no_argument, NULL, 'q' },                             \
		{ "json", optional_argument, NULL, NATS_OPTION_JSON },           \
		{ "help", no_argument, NULL, 'h' },                              \
	{                                                                        \
		NULL, 0, NULL, 0                                                 \
	}

static const struct option nats_publish_options[] = {
	{ "subject", required_argument, NULL, NATS_OPTION_SUBJECT },
	{ "stream", required_argument, NULL, NATS_OPTION_STREAM },
	{ "storage", required_argument, NULL, NATS_OPTION_STORAGE },
	{ "max-bytes", required_argument, NULL, NATS_OPTION_MAX_BYTES },
	{ "max-age", required_argument, NULL, NATS_OPTION_MAX_AGE },
	{ "replicas", required_argument, NULL, NATS_OPTION_REPLICAS },
	{ "duplicate-window", required_argument, NULL, NATS_OPTION_DUPLICATES },
	{ "max-pending", required_argument, NULL, NATS_OPTION_MAX_PENDING },
	COMMON_OPTIONS,
};

static const struct option nats_subscribe_options[] = {
	{ "start", required_argument, NULL, NATS_OPTION_START },
	{ "framed", no_argument, NULL, NATS_OPTION_FRAMED },
	COMMON_OPTIONS,
};

void nats_options_print_help(void)
{
	printf("Usage: dmacast-nats publish [OPTION]... URL\n"
	       "       dmacast-nats subscribe [OPTION]... STREAM\n"
	       "Bring a stream of dmacastd into NATS JetStream, or from there to standard output.\n"
	       "URL is tcp://HOST:PORT of a framed endpoint or http://HOST:PORT/PATH.\n\n"
	       "      --server URL[,URL]...      of the NATS servers (default: " DEFAULT_SERVER
	       ")\n"
	       "      --creds FILE               credentials of the user\n"
	       "      --nkey KEY                 public NKey of the user\n"
	       "      --nkey-seed FILE           and its seed\n"
	       "      --tls                      require TLS\n"
	       "      --tls-ca FILE              certificates to trust, with TLS\n"
	       "      --tls-cert FILE            certificate of this client\n"
	       "      --tls-key FILE             and its key\n"
	       "      --check                    print the connection and its limits, and end\n"
	       "  -q, --quiet                    no progress, no lines about gaps\n"
	       "      --json[=FILE]              report in JSON, to FILE or standard error\n"
	       "  -h, --help                     print this help\n\n"
	       "publish:\n"
	       "      --subject TEMPLATE         default: " NATS_SUBJECT_DEFAULT "\n"
	       "      --stream NAME              of JetStream (default: the subject, with '_' for "
	       "'.')\n"
	       "      --storage file|memory      of a new stream (default: file)\n"
	       "      --max-bytes SIZE           keep at most this\n"
	       "      --max-age TIME             keep it for this time\n"
	       "      --replicas NUMBER          number of servers that store it (default: 1)\n"
	       "      --duplicate-window TIME    remember ids for this time (default: 2m)\n"
	       "      --max-pending SIZE         read no more while this much is not acknowledged\n"
	       "                                 (default: 32M)\n\n"
	       "subscribe:\n"
	       "      --start WHERE              oldest, newest, a sequence, a time, or "
	       "durable:NAME\n"
	       "                                 (default: newest)\n"
	       "      --framed                   write frames in place of the payload\n\n"
	       "Exit status: 0 all was transferred, 1 error, 2 wrong usage, 3 something was lost.\n"
	       "See dmacast-nats(1).\n");
}

static int __attribute__((format(printf, 1, 2))) nats_wrong_usage(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see dmacast-nats --help\n", stderr);
	return NATS_STATUS_USAGE;
}

static int nats_set_text(const char **text)
{
	*text = optarg;
	return -1;
}

static int nats_set_size(uint64_t *bytes, const char *name, uint64_t min, uint64_t max)
{
	if (units_parse_size(optarg, bytes) && *bytes >= min && *bytes <= max)
		return -1;
	return nats_wrong_usage("%s %s: expected a size such as 64M or 10G", name, optarg);
}

static int nats_set_time(uint64_t *microseconds, const char *name)
{
	if (units_parse_duration(optarg, microseconds) && *microseconds &&
	    *microseconds <= MAX_TIME_US)
		return -1;
	return nats_wrong_usage("%s %s: expected a time such as 30s, 10m or 24h", name, optarg);
}

static int nats_set_storage(struct nats_stream_options *stream)
{
	stream->storage_given = true;
	stream->memory = !strcmp(optarg, "memory");
	if (stream->memory || !strcmp(optarg, "file"))
		return -1;
	return nats_wrong_usage("--storage %s: expected file or memory", optarg);
}

static int nats_set_replicas(struct nats_stream_options *stream)
{
	if (units_parse_count(optarg, &stream->replicas) && stream->replicas &&
	    stream->replicas <= MAX_REPLICAS)
		return -1;
	return nats_wrong_usage("--replicas %s: expected 1 to %d", optarg, MAX_REPLICAS);
}

static int nats_set_subject(struct nats_options *options)
{
	const char *expected;

	options->subject = optarg;
	if (nats_subject_check(optarg, &expected))
		return -1;
	return nats_wrong_usage("--subject %s: expected %s", optarg, expected);
}

static int nats_set_start(struct nats_options *options)
{
	const char *expected;

	if (nats_start_parse(optarg, clock_ns(CLOCK_REALTIME), &options->start, &expected))
		return -1;
	return nats_wrong_usage("--start %s: expected %s", optarg, expected);
}

static int nats_set_json(struct cat_report_options *report)
{
	report->json = true;
	report->json_path = optarg;
	return -1;
}

static int nats_set_flag(bool *flag)
{
	*flag = true;
	return -1;
}

/* Return: -1, or the exit status if the program ends here. */
static int nats_take_server_option(struct nats_server_options *server, int option)
{
	switch (option) {
	case NATS_OPTION_SERVER:
		return nats_set_text(&server->urls);
	case NATS_OPTION_CREDENTIALS:
		return nats_set_text(&server->credentials);
	case NATS_OPTION_NKEY:
		return nats_set_text(&server->nkey);
	case NATS_OPTION_NKEY_SEED:
		return nats_set_text(&server->nkey_seed);
	case NATS_OPTION_TLS_CA:
		return nats_set_text(&server->tls_ca);
	case NATS_OPTION_TLS_CERT:
		return nats_set_text(&server->tls_cert);
	case NATS_OPTION_TLS_KEY:
		return nats_set_text(&server->tls_key);
	default:
		return nats_set_flag(&server->tls);
	}
}

static int nats_take_stream_option(struct nats_stream_options *stream, int option)
{
	switch (option) {
	case NATS_OPTION_STREAM:
		return nats_set_text(&stream->name);
	case NATS_OPTION_STORAGE:
		return nats_set_storage(stream);
	case NATS_OPTION_MAX_BYTES:
		return nats_set_size(&stream->max_bytes, "--max-bytes", 1, INT64_MAX);
	case NATS_OPTION_MAX_AGE:
		return nats_set_time(&stream->max_age_us, "--max-age");
	case NATS_OPTION_REPLICAS:
		return nats_set_replicas(stream);
	default:
		return nats_set_time(&stream->duplicate_us, "--duplicate-window");
	}
}

static int nats_take_option(struct nats_options *options, int option, const char *what)
{
	switch (option) {
	case NATS_OPTION_SERVER ... NATS_OPTION_TLS_KEY:
		return nats_take_server_option(&options->server, option);
	case NATS_OPTION_STREAM ... NATS_OPTION_DUPLICATES:
		return nats_take_stream_option(&options->stream, option);
	case NATS_OPTION_SUBJECT:
		return nats_set_subject(options);
	case NATS_OPTION_MAX_PENDING:
		return nats_set_size(&options->max_pending, "--max-pending", MIN_PENDING_BYTES,
				     MAX_PENDING_BYTES);
	case NATS_OPTION_START:
		return nats_set_start(options);
	case NATS_OPTION_FRAMED:
		return nats_set_flag(&options->framed);
	case NATS_OPTION_CHECK:
		return nats_set_flag(&options->check);
	case 'q':
		return nats_set_flag(&options->report.quiet);
	case NATS_OPTION_JSON:
		return nats_set_json(&options->report);
	case 'h':
		nats_options_print_help();
		return 0;
	case ':':
		return nats_wrong_usage("%s: expected a value", what);
	default:
		return nats_wrong_usage("%s: unknown option", what);
	}
}

static int nats_check_together(const struct nats_options *options)
{
	const struct nats_server_options *server = &options->server;
	const char *expected;

	if (!server->tls_cert != !server->tls_key)
		return nats_wrong_usage("expected --tls-cert and --tls-key, or neither");
	if (!server->nkey != !server->nkey_seed)
		return nats_wrong_usage("expected --nkey and --nkey-seed, or neither");
	if (server->credentials && server->nkey)
		return nats_wrong_usage("expected --creds or --nkey, not both");
	/* A JetStream name may have what a subject may have, without dots. */
	if (options->stream.name && (!nats_subject_check(options->stream.name, &expected) ||
				     strpbrk(options->stream.name, ".{")))
		return nats_wrong_usage("--stream %s: expected letters, digits, '_' and '-'",
					options->stream.name);
	return -1;
}

static int nats_parse_target(struct nats_options *options, const char *text, bool publish)
{
	const char *expected;

	if (publish)
		return stream_url_parse(text, &options->url, &expected)
			       ? -1
			       : nats_wrong_usage("%s: expected %s", text, expected);
	options->stream_name = text;
	if (nats_subject_check(text, &expected) && !strchr(text, '{'))
		return -1;
	return nats_wrong_usage("%s: expected the name of a JetStream stream, or its subject",
				text);
}

int nats_options_parse(struct nats_options *options, int argc, char **argv)
{
	bool publish = !strcmp(argv[0], "publish");
	const struct option *accepted = publish ? nats_publish_options : nats_subscribe_options;
	int option, status = -1;

	*options = (struct nats_options){
		.server.urls = DEFAULT_SERVER,
		.subject = NATS_SUBJECT_DEFAULT,
		.max_pending = DEFAULT_PENDING_BYTES,
		.start.kind = NATS_START_NEWEST,
	};
	opterr = 0;
	while (status < 0 && (option = getopt_long(argc, argv, ":qh", accepted, NULL)) != -1)
		status = nats_take_option(options, option, argv[optind - 1]);
	if (status < 0)
		status = nats_check_together(options);
	if (status < 0 && argc - optind != 1)
		status = nats_wrong_usage(publish ? "expected one URL"
						  : "expected one name of a stream");
	return status < 0 ? nats_parse_target(options, argv[optind], publish) : status;
}
