// SPDX-License-Identifier: BSD-2-Clause
#include "config/arguments.h"

#include "config/config_check.h"
#include "config/config_file.h"
#include "config/option_table.h"
#include "lib/log.h"
#include "lib/parcel.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DMACAST_VERSION
#define DMACAST_VERSION "unknown"
#endif

#define DEFAULT_STREAM_NAME "main"

/* Values for getopt_long(). Those of the option table start at OPTION_BASE. */
enum { OPTION_CHECK_ONLY = 256, OPTION_HANDOVER_FORMAT, OPTION_NAME, OPTION_BASE };

struct parser {
	struct config *config;
	const char *file;
	const char *name;
	bool *is_set; /* for each option of the table */
	bool check;
	int verbosity;
	unsigned int errors;
};

static const struct option fixed_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, OPTION_CHECK_ONLY },
	{ "handover-format", no_argument, NULL, OPTION_HANDOVER_FORMAT },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};

#define FIXED_OPTIONS (sizeof(fixed_options) / sizeof(fixed_options[0]))

static struct option *long_options(void)
{
	struct option *options = calloc(FIXED_OPTIONS + option_count + 1, sizeof(*options));
	struct option *next = options + FIXED_OPTIONS;

	if (!options)
		return NULL;
	memcpy(options, fixed_options, sizeof(fixed_options));
	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].scope == OPTION_ENDPOINT)
			continue;
		*next++ = (struct option){ .name = option_table[i].name,
					   .has_arg = required_argument,
					   .val = OPTION_BASE + (int)i };
	}
	return options;
}

static void print_options(enum option_scope scope)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (option->scope != scope)
			continue;
		printf("  --%s ", option->name);
		option_describe_value(option, stdout);
		printf("\n        %s", option->help);
		if (option->default_text)
			printf(" (default %s)", option->default_text);
		putchar('\n');
	}
}

static void print_daemon_help(void)
{
	printf("Usage: dmacastd [--check] -c FILE\n"
	       "       dmacastd [--check] --input INPUT --listen HOST:PORT [OPTION]...\n"
	       "Stream a live feed to many TCP clients.\n\n"
	       "  -c, --config FILE  read the daemon's and the streams' options from a file\n"
	       "  --check            print the effective configuration and exit\n"
	       "  --handover-format  print the version of what dmacastd hands over to its "
	       "successor, "
	       "and exit\n"
	       "  --name NAME        name of the stream without a file "
	       "(default " DEFAULT_STREAM_NAME ")\n"
	       "  -v, --verbose      log more, -q, --quiet: log less\n"
	       "  -h, --help         print this, -V, --version: print the version\n\n"
	       "The daemon, with a file or without one:\n");
	print_options(OPTION_DAEMON);
	printf("\nA single stream, without a file:\n");
	print_options(OPTION_STREAM);
	printf("\nExample: some-command | dmacastd --input - --listen :7000\n"
	       "See dmacastd(8) and dmacastd.conf(5).\n");
}

/* Return the stream of the command line, created when it is first needed; NULL without memory. */
static struct stream_settings *command_line_stream(struct parser *parser)
{
	const char *expected;

	if (!parser->config->stream_count)
		config_add_stream(parser->config, DEFAULT_STREAM_NAME, &expected);
	return parser->config->streams;
}

static void set_table_option(struct parser *parser, size_t index, const char *text)
{
	const struct option_definition *option = &option_table[index];
	char expected[OPTION_ERROR_TEXT];
	void *settings = &parser->config->daemon;

	if (option->scope == OPTION_STREAM)
		settings = command_line_stream(parser);
	expected[0] = '\0';
	if (parser->is_set[index] && !option->type->repeats) {
		log_error("--%s %s: set before; expected once", option->name, text);
		parser->errors++;
	} else if (!settings || !option_set(option, option->scope, settings, text, expected)) {
		if (*expected)
			log_error("--%s %s: expected %s", option->name, text, expected);
		else
			log_error("--%s %s: no memory", option->name, text);
		parser->errors++;
	}
	parser->is_set[index] = true;
}

/* Read the file before the other arguments, so that these replace its options. */
static void read_named_file(struct parser *parser, int argc, char **argv,
			    const struct option *options)
{
	bool help = false;
	int option;

	while ((option = getopt_long(argc, argv, ":c:vqhV", options, NULL)) != -1) {
		if (option == 'h' || option == 'V' || option == OPTION_HANDOVER_FORMAT)
			help = true;
		if (option != 'c')
			continue;
		if (parser->file) {
			log_error("-c %s: expected only one configuration file", optarg);
			parser->errors++;
			continue;
		}
		parser->file = optarg;
	}
	optind = 1;
	if (parser->file && !help && !config_file_read(parser->config, parser->file))
		parser->errors++;
}

/* Log why getopt_long() returned '?'; optopt has a short option, or the value of a long one. */
static void log_wrong_option(const char *argument)
{
	if (strncmp(argument, "--", 2))
		log_error("-%c: unknown option; see dmacastd --help", optopt);
	else if (optopt)
		log_error("%s: expected no value", argument);
	else
		log_error("%s: unknown or ambiguous option; see dmacastd --help", argument);
}

static bool take_options(struct parser *parser, int argc, char **argv, const struct option *options)
{
	int option;

	while ((option = getopt_long(argc, argv, ":c:vqhV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			break;
		case OPTION_CHECK_ONLY:
			parser->check = true;
			break;
		case OPTION_NAME:
			if (parser->name) {
				log_error("--name %s: set before; expected once", optarg);
				parser->errors++;
			}
			parser->name = optarg;
			break;
		case 'v':
			parser->verbosity++;
			break;
		case 'q':
			parser->verbosity--;
			break;
		case 'h':
			print_daemon_help();
			return false;
		case OPTION_HANDOVER_FORMAT:
			printf("%d\n", PARCEL_FORMAT);
			return false;
		case 'V':
			printf("dmacastd %s\n", DMACAST_VERSION);
			return false;
		case ':':
			log_error("%s: expected a value after it", argv[optind - 1]);
			parser->errors++;
			break;
		case '?':
			log_wrong_option(argv[optind - 1]);
			parser->errors++;
			break;
		default:
			if (parser->file &&
			    option_table[option - OPTION_BASE].scope == OPTION_STREAM) {
				log_error(
					"--%s: expected either -c FILE or the options of a stream",
					option_table[option - OPTION_BASE].name);
				parser->errors++;
				break;
			}
			set_table_option(parser, (size_t)(option - OPTION_BASE), optarg);
		}
	}
	if (optind < argc) {
		log_error("%s: unexpected argument; see dmacastd --help", argv[optind]);
		parser->errors++;
	}
	return true;
}

static void name_stream(struct parser *parser)
{
	struct stream_settings *stream;
	const char *expected = NULL;

	if (!parser->name)
		return;
	if (parser->file) {
		log_error("--name: expected no -c FILE, which names its streams itself");
		parser->errors++;
		return;
	}
	stream = command_line_stream(parser);
	if (stream && config_rename_stream(parser->config, stream, parser->name, &expected))
		return;
	if (expected)
		log_error("--name %s: expected %s", parser->name, expected);
	else
		log_error("--name %s: no memory", parser->name);
	parser->errors++;
}

static void set_verbosity(const struct parser *parser)
{
	int level = (int)parser->config->daemon.log_level + LOG_LEVEL_ERROR;

	/* -q keeps warnings and errors, -qq only errors. */
	if (parser->verbosity >= 0)
		level += parser->verbosity;
	else if (level > LOG_LEVEL_WARNING)
		level = LOG_LEVEL_WARNING;
	if (level > LOG_LEVEL_DEBUG)
		level = LOG_LEVEL_DEBUG;
	if (parser->verbosity < -1)
		level = LOG_LEVEL_ERROR;
	parser->config->log_level = (enum log_level)level;
}

/* Read the arguments and the file. Return: false if help or version was printed. */
static bool read_arguments(struct parser *parser, int argc, char **argv,
			   const struct option *options)
{
	opterr = 0;
	optind = 0; /* reset the state of an earlier call */
	read_named_file(parser, argc, argv, options);
	if (!take_options(parser, argc, argv, options))
		return false;
	name_stream(parser);
	return true;
}

enum arguments_outcome arguments_parse(int argc, char **argv, struct config *config)
{
	struct parser parser = { .config = config };
	struct option *options = long_options();
	bool parsed = true;

	parser.is_set = calloc(option_count, sizeof(*parser.is_set));
	if (options && parser.is_set) {
		parsed = read_arguments(&parser, argc, argv, options);
	} else {
		log_error("no memory to read the arguments");
		parser.errors++;
	}
	free(options);
	free(parser.is_set);
	if (!parsed)
		return ARGUMENTS_DONE;
	config->file = parser.file;
	if (!parser.errors && !parser.file && !config->stream_count) {
		log_error("nothing to do; expected -c FILE, or --input INPUT --listen HOST:PORT; "
			  "see dmacastd --help");
		return ARGUMENTS_WRONG;
	}
	if (parser.errors || !config_check(config, parser.file ? parser.file : "command line"))
		return ARGUMENTS_WRONG;
	set_verbosity(&parser);
	return parser.check ? ARGUMENTS_CHECK : ARGUMENTS_RUN;
}
