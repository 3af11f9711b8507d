// SPDX-License-Identifier: BSD-2-Clause
/* dmacastctl: show the state of a running dmacastd, and control it. */
#include "ctl/cat.h"
#include "ctl/ctl_answer.h"
#include "ctl/ctl_connection.h"
#include "ctl/ctl_events.h"
#include "ctl/ctl_handover.h"
#include "ctl/ctl_rates.h"
#include "ctl/ctl_restart.h"
#include "ctl/ctl_show.h"
#include "ctl/ctl_table.h"
#include "ctl/ctl_top.h"
#include "ctl/dnssd.h"
#include "ctl/doctor.h"
#include "lib/process.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Exit status for a wrong command line. */
#define STATUS_WRONG_USAGE 2
/* Exit status of "events" when the daemon has ended or closed the connection. */
#define STATUS_DAEMON_ENDED 3

/* Longest time of --timeout, in microseconds; the daemon does not allow more. */
#define MAX_DRAIN_US 3600000000ULL

/* Time over which the rates of clients are measured. */
static const struct timespec rate_interval = { .tv_nsec = 500000000 };

/* Bits of the options that only some commands have. */
enum {
	HAS_STREAM = 1,
	HAS_ALL = 2,
	HAS_DELAY = 4,
	HAS_ROUNDS = 8,
	HAS_JSON = 16,
	HAS_TIMEOUT = 32,
	HAS_VERBOSE = 64,
	HAS_INTERFACE = 128,
	HAS_DNSSD = 256,
	HAS_ON_RESTART = 512
};

struct arguments {
	const char *socket;
	const char *word;    /* after the command, or NULL */
	const char *stream;  /* --stream */
	uint64_t timeout_us; /* --timeout */
	struct top_options top;
	struct doctor_options doctor;	  /* --verbose and --interface */
	const struct dnssd_format *dnssd; /* --avahi or --resolved */
	const char *directory;		  /* --directory, or NULL */
	unsigned int given;		  /* HAS_... bits of the options given */
	struct ctl *ctl;
};

struct command {
	const char *name, *arguments, *help;
	unsigned int options; /* HAS_... bits of the options allowed */
	bool takes_word;
	int (*run)(const struct arguments *arguments);
};

static int __attribute__((format(printf, 1, 2))) wrong_usage(const char *format, ...)
{
	va_list args;

	fputs("dmacastctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; see dmacastctl --help\n", stderr);
	return STATUS_WRONG_USAGE;
}

/* ---- asking ---- */

static int report_failure(const struct arguments *arguments, const char *error)
{
	json_t *answer;

	fprintf(stderr, "dmacastctl: %s\n", error);
	if (arguments->given & HAS_JSON) {
		answer = json_pack("{s:b, s:s}", "ok", 0, "error", error);
		answer_print(answer);
		json_decref(answer);
	}
	return 1;
}

/* Return: the answer; NULL after an error, which is printed. */
static json_t *ask_daemon(const struct arguments *arguments, json_t *request)
{
	char error[CTL_ERROR_TEXT];
	json_t *answer = ctl_ask(arguments->ctl, request, error);

	if (!answer)
		report_failure(arguments, error);
	return answer;
}

static json_t *ask_command(const struct arguments *arguments, const char *command)
{
	return ask_daemon(arguments, ctl_request(command));
}

static json_t *ask_clients(const struct arguments *arguments)
{
	char error[CTL_ERROR_TEXT];
	json_t *answer = ctl_ask_clients(arguments->ctl, arguments->word, error);

	if (!answer)
		report_failure(arguments, error);
	return answer;
}

/* Print and free @answer. Return: the exit status. */
static int print_if_json(const struct arguments *arguments, json_t *answer)
{
	int status = 0;

	if (!answer)
		return 1;
	if (arguments->given & HAS_JSON)
		status = !answer_print(answer);
	json_decref(answer);
	return status;
}

/* ---- the commands ---- */

static int command_status(const struct arguments *arguments)
{
	json_t *status, *streams = NULL;

	if (arguments->given & HAS_JSON)
		return print_if_json(arguments, ask_command(arguments, "status"));
	status = ask_command(arguments, "status");
	if (status)
		streams = ask_command(arguments, "streams");
	if (streams)
		show_status(status, streams, stdout);
	json_decref(status);
	json_decref(streams);
	return streams ? 0 : 1;
}

static int ctl_print_table(struct table *table)
{
	table_print(table, stdout);
	table_free(table);
	return 0;
}

static int command_streams(const struct arguments *arguments)
{
	json_t *streams;
	int status = 1;

	if (arguments->given & HAS_JSON)
		return print_if_json(arguments, ask_command(arguments, "streams"));
	streams = ask_command(arguments, "streams");
	if (streams)
		status = ctl_print_table(show_streams(streams));
	json_decref(streams);
	return status;
}

static int command_clients(const struct arguments *arguments)
{
	json_t *before = ask_clients(arguments), *now;
	int status = 1;

	if (!before || arguments->given & HAS_JSON)
		return print_if_json(arguments, before);
	nanosleep(&rate_interval, NULL);
	now = ask_clients(arguments);
	if (now) {
		rates_of_clients(now, before);
		status = ctl_print_table(show_clients(now));
	}
	json_decref(before);
	json_decref(now);
	return status;
}

static int command_top(const struct arguments *arguments)
{
	return top_run(arguments->ctl, &arguments->top);
}

static int command_events(const struct arguments *arguments)
{
	json_t *request = ctl_request("events");
	char error[CTL_ERROR_TEXT];
	int descriptor;

	request = ctl_request_set_text(request, "stream", arguments->word);
	descriptor = ctl_subscribe(arguments->ctl, request, error);
	if (descriptor < 0)
		return report_failure(arguments, error);
	events_forward(descriptor, error);
	if (*error)
		fprintf(stderr, "dmacastctl: %s: %s\n", arguments->socket, error);
	return STATUS_DAEMON_ENDED;
}

static int command_kick(const struct arguments *arguments)
{
	json_t *request, *answer;
	bool everyone = arguments->given & HAS_ALL;

	if (everyone == (arguments->word || arguments->stream))
		return wrong_usage("kick: expected CLIENT, --stream NAME or --all");
	request = ctl_request("kick");
	request = ctl_request_set_text(request, "client", arguments->word);
	request = ctl_request_set_text(request, "stream", arguments->stream);
	if (everyone)
		request = ctl_request_set(request, "all", json_true());
	answer = ask_daemon(arguments, request);
	if (answer && !(arguments->given & HAS_JSON))
		printf("kicked: %lld\n",
		       (long long)json_integer_value(json_object_get(answer, "kicked")));
	return print_if_json(arguments, answer);
}

static int command_reload(const struct arguments *arguments)
{
	json_t *status = ask_command(arguments, "status"), *answer;
	const char *warnings;

	/* The daemon runs, so wait: a name server that does not answer, or a large ring, takes a while. */
	if (!status)
		return 1;
	json_decref(status);
	ctl_wait_without_limit(arguments->ctl);
	answer = ask_command(arguments, "reload");
	warnings = json_string_value(json_object_get(answer, "warnings"));
	if (warnings)
		fprintf(stderr, "%s\n", warnings);
	return print_if_json(arguments, answer);
}

static int command_doctor(const struct arguments *arguments)
{
	struct doctor_options options_of_doctor = arguments->doctor;

	options_of_doctor.json = arguments->given & HAS_JSON;
	options_of_doctor.needs_daemon = strcmp(arguments->socket, CTL_DEFAULT_SOCKET) != 0;
	return doctor_run(arguments->ctl, &options_of_doctor);
}

static int command_dnssd(const struct arguments *arguments)
{
	json_t *streams;
	int status;

	if (!arguments->dnssd)
		return wrong_usage("dnssd: expected --avahi or --resolved");
	streams = ask_command(arguments, "streams");
	if (!streams)
		return 1;
	status = dnssd_run(streams, arguments->word, arguments->dnssd, arguments->directory);
	json_decref(streams);
	return status;
}

static int command_log_level(const struct arguments *arguments)
{
	json_t *request = ctl_request("log-level");
	json_t *answer =
		ask_daemon(arguments, ctl_request_set_text(request, "level", arguments->word));

	if (answer && !(arguments->given & HAS_JSON))
		puts(json_string_value(json_object_get(answer, "level")));
	return print_if_json(arguments, answer);
}

static int command_drain(const struct arguments *arguments)
{
	json_t *request = ctl_request("drain");

	request = ctl_request_set_text(request, "stream", arguments->word);
	if (arguments->given & HAS_TIMEOUT)
		request = ctl_request_set(request, "timeout_seconds",
					  json_real((double)arguments->timeout_us / 1e6));
	return print_if_json(arguments, ask_daemon(arguments, request));
}

static int command_upgrade(const struct arguments *arguments)
{
	char error[CTL_ERROR_TEXT], line[256];
	json_t *status = handover_upgrade(arguments->ctl, arguments->word, error);

	if (!status)
		return report_failure(arguments, error);
	if (!(arguments->given & HAS_JSON))
		puts(show_handover(status, line, sizeof(line)));
	return print_if_json(arguments, status);
}

/* Return: true if there is nothing to do: the service is stopped, not restarted. */
static bool ctl_service_stops(void)
{
	const char *error;
	bool stops = !restart_is_under_way(&error);

	if (error)
		fprintf(stderr, "dmacastctl: %s, so this counts as a stop: clients are not kept\n",
			error);
	return stops;
}

static int command_handover(const struct arguments *arguments)
{
	char error[CTL_ERROR_TEXT];

	if (arguments->given & HAS_ON_RESTART && ctl_service_stops())
		return 0;
	if (!handover_to_service(arguments->ctl, error))
		return report_failure(arguments, error);
	return print_if_json(arguments, json_pack("{s:b}", "ok", 1));
}

static const struct command commands[] = {
	{ "status", "", "show the daemon's state and totals", HAS_JSON, false, command_status },
	{ "streams", "", "show a table of the streams", HAS_JSON, false, command_streams },
	{ "clients", "[STREAM]", "show a table of the clients, of one stream or of all", HAS_JSON,
	  true, command_clients },
	{ "top", "[-d SECONDS] [-n N]", "show streams and clients live", HAS_DELAY | HAS_ROUNDS,
	  false, command_top },
	{ "events", "[STREAM]", "print events of one stream, or all, as they happen, in JSON",
	  HAS_JSON, true, command_events },
	{ "kick", "CLIENT|--stream NAME|--all", "reset the connections of clients",
	  HAS_STREAM | HAS_ALL | HAS_JSON, true, command_kick },
	{ "reload", "", "read the configuration file again", HAS_JSON, false, command_reload },
	{ "log-level", "[LEVEL]", "print or set the least important level that is logged", HAS_JSON,
	  true, command_log_level },
	{ "drain", "[STREAM] [--timeout TIME]",
	  "stop the daemon or one stream; clients receive the rest", HAS_TIMEOUT | HAS_JSON, true,
	  command_drain },
	{ "doctor", "[-v] [--interface NAME]...",
	  "look for what makes zero-copy fail or slow on this machine; no daemon is needed",
	  HAS_JSON | HAS_VERBOSE | HAS_INTERFACE, false, command_doctor },
	{ "dnssd", "--avahi|--resolved [--directory PATH] [STREAM]",
	  "print or write files that announce streams in the local network", HAS_DNSSD, true,
	  command_dnssd },
	{ "upgrade", "[PROGRAM]", "replace the running program; clients stay connected", HAS_JSON,
	  true, command_upgrade },
	{ "handover", "[--on-restart]",
	  "end the daemon; the next process of its service continues, clients stay connected",
	  HAS_ON_RESTART | HAS_JSON, false, command_handover },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* ---- the command line ---- */

enum {
	OPTION_STREAM_NAME = 256,
	OPTION_ALL,
	OPTION_ONCE,
	OPTION_TIMEOUT,
	OPTION_INTERFACE,
	OPTION_AVAHI,
	OPTION_RESOLVED,
	OPTION_DIRECTORY,
	OPTION_ON_RESTART
};

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "stream", required_argument, NULL, OPTION_STREAM_NAME },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "delay", required_argument, NULL, 'd' },
	{ "rounds", required_argument, NULL, 'n' },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "verbose", no_argument, NULL, 'v' },
	{ "interface", required_argument, NULL, OPTION_INTERFACE },
	{ "avahi", no_argument, NULL, OPTION_AVAHI },
	{ "resolved", no_argument, NULL, OPTION_RESOLVED },
	{ "directory", required_argument, NULL, OPTION_DIRECTORY },
	{ "on-restart", no_argument, NULL, OPTION_ON_RESTART },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void ctl_print_help(void)
{
	printf("Usage: dmacastctl [-s PATH] [-j] COMMAND [ARGUMENT]...\n"
	       "Show the state of a running dmacastd, and control it.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		printf("  %s%s%s\n", commands[i].name, *commands[i].arguments ? " " : "",
		       commands[i].arguments);
		printf("        %s\n", commands[i].help);
	}
	printf("  cat [OPTION]... URL...\n"
	       "        receive a stream; see dmacastctl cat --help\n");
	printf("\nOptions:\n"
	       "  -s, --socket PATH    control socket of the daemon\n"
	       "                       (default " CTL_DEFAULT_SOCKET ")\n"
	       "  -j, --json           print the daemon's answer in JSON\n"
	       "  -d, --delay SECONDS  top: time between two pictures (default 1)\n"
	       "  -n, --rounds N       top: number of pictures; --once: one picture\n"
	       "      --timeout TIME   drain: time for clients, such as 10s (default: the "
	       "daemon's\n"
	       "                       drain-timeout)\n"
	       "  -v, --verbose        doctor: print also what is fine\n"
	       "      --interface NAME doctor: look at this interface; may be given several times\n"
	       "                       (default: those that carry clients, or all that are up)\n"
	       "      --avahi          dnssd: files for Avahi; --resolved: for systemd-resolved\n"
	       "      --directory PATH dnssd: write a file for each service\n"
	       "      --on-restart     handover: do nothing unless systemd restarts the service\n"
	       "  -h, --help           print this help\n"
	       "  -V, --version        print the version\n\n"
	       "See dmacastctl(8).\n");
}

static bool ctl_parse_delay(const char *text, double *delay)
{
	char *end;

	*delay = strtod(text, &end);
	return end != text && !*end && isfinite(*delay) && *delay >= 0.1 && *delay <= 3600;
}

/* Return: -1, or the exit status if the program ends here. */
static int ctl_add_interface(struct arguments *arguments)
{
	struct doctor_options *doctor = &arguments->doctor;

	arguments->given |= HAS_INTERFACE;
	if (doctor->interfaces == MAX_DOCTOR_INTERFACES)
		return wrong_usage("--interface %s: expected at most %d interfaces", optarg,
				   MAX_DOCTOR_INTERFACES);
	doctor->interface[doctor->interfaces++] = optarg;
	return -1;
}

/* Return: -1, or the exit status if the program ends here. */
static int ctl_handle_option(struct arguments *arguments, int option, const char *what)
{
	switch (option) {
	case 's':
		arguments->socket = optarg;
		return -1;
	case 'j':
		arguments->given |= HAS_JSON;
		return -1;
	case OPTION_STREAM_NAME:
		arguments->stream = optarg;
		arguments->given |= HAS_STREAM;
		return -1;
	case OPTION_ALL:
		arguments->given |= HAS_ALL;
		return -1;
	case OPTION_TIMEOUT:
		arguments->given |= HAS_TIMEOUT;
		if (units_parse_duration(optarg, &arguments->timeout_us) &&
		    arguments->timeout_us <= MAX_DRAIN_US)
			return -1;
		return wrong_usage(
			"--timeout %s: expected a time from 0 to 1h, such as 500ms or 10s", optarg);
	case 'v':
		arguments->doctor.verbose = true;
		arguments->given |= HAS_VERBOSE;
		return -1;
	case OPTION_AVAHI:
	case OPTION_RESOLVED:
		arguments->dnssd = option == OPTION_AVAHI ? &dnssd_avahi : &dnssd_resolved;
		arguments->given |= HAS_DNSSD;
		return -1;
	case OPTION_DIRECTORY:
		arguments->directory = optarg;
		arguments->given |= HAS_DNSSD;
		return -1;
	case OPTION_INTERFACE:
		return ctl_add_interface(arguments);
	case OPTION_ON_RESTART:
		arguments->given |= HAS_ON_RESTART;
		return -1;
	case OPTION_ONCE:
		arguments->top.rounds = 1;
		arguments->given |= HAS_ROUNDS;
		return -1;
	case 'n':
		arguments->given |= HAS_ROUNDS;
		if (units_parse_count(optarg, &arguments->top.rounds) && arguments->top.rounds)
			return -1;
		return wrong_usage("-n %s: expected a whole number from 1 on", optarg);
	case 'd':
		arguments->given |= HAS_DELAY;
		if (ctl_parse_delay(optarg, &arguments->top.delay))
			return -1;
		return wrong_usage("-d %s: expected seconds, from 0.1 to 3600", optarg);
	case 'h':
		ctl_print_help();
		return 0;
	case 'V':
		printf("dmacastctl %s\n", DMACAST_VERSION);
		return 0;
	case ':':
		return wrong_usage("%s: expected a value", what);
	default:
		return wrong_usage("%s: unknown option", what);
	}
}

static const struct command *ctl_find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int run_command(struct arguments *arguments, const struct command *command)
{
	int status;

	arguments->ctl = ctl_open(arguments->socket);
	if (!arguments->ctl)
		return 1;
	status = command->run(arguments);
	ctl_close(arguments->ctl);
	/* A command fails if its output could not be written. */
	if (fflush(stdout) || ferror(stdout)) {
		perror("dmacastctl: standard output");
		status = command->run == command_doctor ? DOCTOR_BLIND : 1;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .socket = CTL_DEFAULT_SOCKET, .top.delay = 1 };
	const struct command *command;
	int option, status;

	/* For reading, so that output to a closed one is an error, not lost. */
	process_keep_standard_fds(O_RDONLY);
	/* It has a command line of its own, and needs no daemon on this machine. */
	if (argc > 1 && !strcmp(argv[1], "cat"))
		return cat_run(argc - 1, argv + 1);
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":s:jvd:n:hV", options, NULL)) != -1) {
		status = ctl_handle_option(&arguments, option, argv[optind - 1]);
		if (status >= 0)
			return status;
	}
	if (optind == argc)
		return wrong_usage("expected a command");
	if (!strcmp(argv[optind], "cat"))
		return wrong_usage(
			"cat: expected its options behind it: dmacastctl cat [OPTION]... URL...");
	command = ctl_find_command(argv[optind]);
	if (!command)
		return wrong_usage("%s: unknown command", argv[optind]);
	if (optind + 1 < argc && command->takes_word)
		arguments.word = argv[++optind];
	if (optind + 1 < argc)
		return wrong_usage("%s: unexpected argument of %s", argv[optind + 1],
				   command->name);
	if (arguments.given & ~command->options)
		return wrong_usage("%s does not have all of these options", command->name);
	return run_command(&arguments, command);
}
