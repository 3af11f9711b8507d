// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/cat_options.h"

#include "ctl/cat_name.h"
#include "lib/units.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAT_STATUS_USAGE 2

/* Longest --duration and time of --rotate, in microseconds: a hundred years. */
#define MAX_CAT_TIME_US (100ULL * 366 * 86400 * 1000000)

enum {
	CAT_OPTION_RAW = 256,
	CAT_OPTION_FRAMED,
	CAT_OPTION_FORCE,
	CAT_OPTION_ROTATE,
	CAT_OPTION_DIRECT,
	CAT_OPTION_SIGMF,
	CAT_OPTION_DURATION,
	CAT_OPTION_BYTES,
	CAT_OPTION_RECONNECT,
	CAT_OPTION_JSON,
};

static const struct option cat_long_options[] = {
	{ "raw", no_argument, NULL, CAT_OPTION_RAW },
	{ "framed", no_argument, NULL, CAT_OPTION_FRAMED },
	{ "output", required_argument, NULL, 'o' },
	{ "force", no_argument, NULL, CAT_OPTION_FORCE },
	{ "rotate", required_argument, NULL, CAT_OPTION_ROTATE },
	{ "direct", no_argument, NULL, CAT_OPTION_DIRECT },
	{ "sigmf", no_argument, NULL, CAT_OPTION_SIGMF },
	{ "duration", required_argument, NULL, CAT_OPTION_DURATION },
	{ "bytes", required_argument, NULL, CAT_OPTION_BYTES },
	{ "reconnect", no_argument, NULL, CAT_OPTION_RECONNECT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "json", optional_argument, NULL, CAT_OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void cat_print_help(void)
{
	printf("Usage: dmacastctl cat [OPTION]... URL...\n"
	       "Receive a stream from tcp://HOST:PORT or http://HOST:PORT/PATH, check it, and "
	       "write\n"
	       "its payload to standard output. With several URLs, each one is tried when the one\n"
	       "before it is gone.\n\n"
	       "      --raw              take the bytes as they are\n"
	       "      --framed           expect frames (default: by the first bytes)\n"
	       "  -o, --output FILE      write to FILE; a pattern such as adc-%%Y%%m%%d-%%n.raw\n"
	       "      --force            overwrite files that exist\n"
	       "      --rotate SIZE|TIME begin another file at this size, or after this time\n"
	       "      --direct           write with O_DIRECT\n"
	       "      --sigmf            write FILE.sigmf-data and FILE.sigmf-meta\n"
	       "      --duration TIME    end after this time\n"
	       "      --bytes SIZE       end after this many bytes of payload\n"
	       "      --reconnect        connect again, and resume where the server can\n"
	       "  -q, --quiet            no progress, no lines about gaps\n"
	       "      --json[=FILE]      report in JSON, to FILE or standard error\n"
	       "  -h, --help             print this help\n\n"
	       "Exit status: 0 all was received, 1 error, 2 wrong usage, 3 something was lost.\n"
	       "See dmacastctl(8).\n");
}

static int __attribute__((format(printf, 1, 2))) cat_wrong_usage(const char *format, ...)
{
	va_list args;

	fputs("dmacastctl: cat: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see dmacastctl cat --help\n", stderr);
	return CAT_STATUS_USAGE;
}

static bool cat_parse_time(const char *text, uint64_t *microseconds)
{
	return units_parse_duration(text, microseconds) && *microseconds &&
	       *microseconds <= MAX_CAT_TIME_US;
}

static int cat_parse_rotate(struct cat_options *options, const char *text)
{
	if (units_parse_size(text, &options->output.rotate_bytes) && options->output.rotate_bytes)
		return -1;
	options->output.rotate_bytes = 0;
	if (cat_parse_time(text, &options->output.rotate_us))
		return -1;
	return cat_wrong_usage("--rotate %s: expected a size such as 1G or a time such as 10m",
			       text);
}

static int cat_parse_duration(struct cat_options *options, const char *text)
{
	if (cat_parse_time(text, &options->duration_us))
		return -1;
	return cat_wrong_usage("--duration %s: expected a time such as 500ms, 10s or 1h", text);
}

static int cat_parse_bytes(struct cat_options *options, const char *text)
{
	if (units_parse_size(text, &options->session.bytes) && options->session.bytes &&
	    options->session.bytes != UINT64_MAX)
		return -1;
	return cat_wrong_usage("--bytes %s: expected a size such as 1000000 or 64M", text);
}

static int cat_set_format(struct cat_options *options, enum cat_format format)
{
	if (options->session.format != CAT_FORMAT_AUTO && options->session.format != format)
		return cat_wrong_usage("expected --raw or --framed, not both");
	options->session.format = format;
	return -1;
}

static int cat_set_json(struct cat_options *options, const char *path)
{
	options->report.json = true;
	options->report.json_path = path;
	return -1;
}

static int cat_set(bool *flag)
{
	*flag = true;
	return -1;
}

/* Return: -1, or the exit status if the program ends here. */
static int cat_take_option(struct cat_options *options, int option, const char *what)
{
	switch (option) {
	case CAT_OPTION_RAW:
		return cat_set_format(options, CAT_FORMAT_RAW);
	case CAT_OPTION_FRAMED:
		return cat_set_format(options, CAT_FORMAT_FRAMED);
	case 'o':
		options->output.pattern = optarg;
		return -1;
	case CAT_OPTION_FORCE:
		return cat_set(&options->output.force);
	case CAT_OPTION_ROTATE:
		return cat_parse_rotate(options, optarg);
	case CAT_OPTION_DIRECT:
		return cat_set(&options->output.direct);
	case CAT_OPTION_SIGMF:
		return cat_set(&options->output.sigmf);
	case CAT_OPTION_DURATION:
		return cat_parse_duration(options, optarg);
	case CAT_OPTION_BYTES:
		return cat_parse_bytes(options, optarg);
	case CAT_OPTION_RECONNECT:
		return cat_set(&options->session.reconnect);
	case 'q':
		return cat_set(&options->report.quiet);
	case CAT_OPTION_JSON:
		return cat_set_json(options, optarg);
	case 'h':
		cat_print_help();
		return 0;
	case ':':
		return cat_wrong_usage("%s: expected a value", what);
	default:
		return cat_wrong_usage("%s: unknown option", what);
	}
}

static int cat_check_output(const struct cat_options *options)
{
	const struct cat_output_options *output = &options->output;
	bool rotate = output->rotate_bytes || output->rotate_us, varies;
	const char *expected;

	if (!output->pattern && (output->force || output->direct || output->sigmf || rotate))
		return cat_wrong_usage("--force, --rotate, --direct and --sigmf need files: "
				       "expected --output FILE");
	if (!output->pattern)
		return -1;
	if (!cat_name_check(output->pattern, &varies, &expected))
		return cat_wrong_usage("--output %s: expected %s", output->pattern, expected);
	if (rotate && !varies)
		return cat_wrong_usage("--output %s: with --rotate, expected a name that differs "
				       "for each file, such as %s-%%n",
				       output->pattern, output->pattern);
	if (output->sigmf && options->session.format == CAT_FORMAT_RAW)
		return cat_wrong_usage("--sigmf needs the metadata of a framed stream, not --raw");
	return -1;
}

static int cat_parse_urls(struct cat_options *options, int count, char **texts)
{
	const char *expected;

	if (!count)
		return cat_wrong_usage("expected a URL");
	options->session.urls = calloc((size_t)count, sizeof(*options->session.urls));
	if (!options->session.urls)
		return cat_wrong_usage("no memory");
	options->session.url_count = (size_t)count;
	for (int i = 0; i < count; i++) {
		if (!stream_url_parse(texts[i], &options->session.urls[i], &expected))
			return cat_wrong_usage("%s: expected %s", texts[i], expected);
	}
	return -1;
}

int cat_options_parse(struct cat_options *options, int argc, char **argv)
{
	int option, status = -1;

	*options = (struct cat_options){ .session.bytes = UINT64_MAX };
	opterr = 0;
	while (status < 0 &&
	       (option = getopt_long(argc, argv, ":o:qh", cat_long_options, NULL)) != -1)
		status = cat_take_option(options, option, argv[optind - 1]);
	if (status < 0)
		status = cat_check_output(options);
	if (status < 0)
		status = cat_parse_urls(options, argc - optind, argv + optind);
	return status;
}

void cat_options_free(struct cat_options *options)
{
	free(options->session.urls);
}
