// SPDX-License-Identifier: BSD-2-Clause
#include "options.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../command_line.h"
#include "lib/pattern.h"
#include "lib/units.h"

struct options opt = {
	.clients = 1,
	.bytes = UNSET,
	.seconds = INFINITY,
	.expect_bytes = UNSET,
	.block_size = PATTERN_WORD,
	.rate = UNITS_RATE_MAX,
	.read_size = BUFFER_SIZE,
	.ready_fd = UNSET,
	.spread = INFINITY,
	.connect_timeout = 5000000,
	.generate = UNSET,
};

void options_error(const char *format, ...)
{
	va_list arguments;

	fputs("feedclient: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n(see feedclient --help)\n", stderr);
	exit(2);
}

static const struct setting setting_table[] = {
	{ "clients", COUNT, &opt.clients, "connections to open (1)" },
	{ "bytes", SIZE, &opt.bytes, "each client closes after this many bytes" },
	{ "seconds", NUMBER, &opt.seconds, "stop this long after all are connected" },
	{ "until-end", FLAG, &opt.until_end,
	  "until the server ends all connections; with --seconds: within that time" },
	{ "allow-end", FLAG, &opt.allow_end, "the server may end connections early" },
	{ "allow-reset", FLAG, &opt.allow_reset, "the server may reset connections" },
	{ "expect-end", TEXT, &opt.expect_end,
	  "how the server must end every connection: end, reset or any" },
	{ "expect-bytes", SIZE, &opt.expect_bytes,
	  "each plain client must receive exactly this many" },
	{ "from-start", FLAG, &opt.from_start, "the first byte must be stream offset 0" },
	{ "allow-gaps", FLAG, &opt.allow_gaps,
	  "the stream may jump forward to a multiple of --block-size" },
	{ "block-size", SIZE, &opt.block_size, "see --allow-gaps (8)" },
	{ "block-gaps", FLAG, &opt.block_gaps,
	  "gaps must begin at a multiple of --block-size, too" },
	{ "lines", FLAG, &opt.lines,
	  "the feed is that of --generate with --lines: gaps are whole lines, and offsets their "
	  "numbers" },
	{ "framed", FLAG, &opt.framed, "the feed has frames; see dmacast-frame(5)" },
	{ "http", TEXT, &opt.http, "ask for the feed by GET of this target, such as /?format=raw" },
	{ "preamble", TEXT, &opt.preamble,
	  "... add the preamble of the first client to this file" },
	{ "metadata", TEXT, &opt.metadata,
	  "... add the metadata of the first client to this file, a line for each frame" },
	{ "discard", FLAG, &opt.discard, "count the bytes, do not check them" },
	{ "rate", RATE, &opt.rate, "each client reads at most at this rate" },
	{ "rcvbuf", SIZE, &opt.rcvbuf, "SO_RCVBUF of the sockets" },
	{ "read-size", SIZE, &opt.read_size, "read at most this much at once (256K)" },
	{ "stall", COUNT, &opt.stall, "the first N clients do not read" },
	{ "stall-after", SIZE, &opt.stall_after, "... after they have read this much (0)" },
	{ "reset", COUNT, &opt.reset, "the next N clients reset their connection" },
	{ "reset-after", SIZE, &opt.reset_after, "... after they have read this much (0)" },
	{ "leave", COUNT, &opt.leave, "the next N clients close their connection" },
	{ "leave-after", SIZE, &opt.leave_after, "... after they have read this much (0)" },
	{ "churn", FLAG, &opt.churn, "those of --reset and --leave connect again at once" },
	{ "half-close", FLAG, &opt.half_close, "shut down the sending side once connected" },
	{ "send", SIZE, &opt.send, "each client sends this much rubbish" },
	{ "ready-fd", COUNT, &opt.ready_fd, "write \"ready\" there when all are connected" },
	{ "ready", TEXT, &opt.ready, "create this file when all are connected" },
	{ "progress", FLAG, &opt.progress, "a line on stderr each second" },
	{ "pauses", TEXT, &opt.pauses,
	  "after each SIGUSR1, add a line for each client to this file: its longest pause since "
	  "then in ms" },
	{ "min-rate", RATE, &opt.min_rate, "least total rate since all were connected" },
	{ "spread", NUMBER, &opt.spread,
	  "most percent that plain clients' bytes may differ, (max-min)/max" },
	{ "source", TEXT, &opt.source, "local address to connect from" },
	{ "connect-timeout", DURATION, &opt.connect_timeout,
	  "how long to try to connect, also when refused (5s)" },
	{ "generate", SIZE, &opt.generate,
	  "no client: write this much pattern to stdout, at --rate; 0 is endless" },
	{ "check-file", TEXT, &opt.check_file, "no network: check this file, \"-\" is stdin" },
	{ "help", FLAG, &opt.help, "print this" },
};

static void __attribute__((noreturn)) feedclient_bad_value(const char *name, const char *value)
{
	options_error("bad value for --%s: %s", name, value);
}

static const struct settings settings = {
	.item = setting_table,
	.count = sizeof(setting_table) / sizeof(setting_table[0]),
	.bad_value = feedclient_bad_value,
};

_Static_assert(sizeof(setting_table) / sizeof(setting_table[0]) <= MAX_SETTINGS, "too many");

static void print_feedclient_help(void)
{
	puts("Usage: feedclient [options] HOST:PORT\n"
	     "       feedclient --generate SIZE [--rate RATE]\n"
	     "       feedclient --check-file FILE [options]\n");
	settings_print(&settings);
}

static bool is_ending_word(const char *text)
{
	return !strcmp(text, "end") || !strcmp(text, "reset") || !strcmp(text, "any");
}

static void verify_feedclient_options(void)
{
	if (!opt.clients || opt.clients > MAX_CLIENTS)
		options_error("--clients must be 1 to %d", MAX_CLIENTS);
	if (opt.stall > opt.clients || opt.reset > opt.clients || opt.leave > opt.clients ||
	    opt.stall + opt.reset + opt.leave > opt.clients)
		options_error("more clients to --stall, --reset and --leave than --clients");
	if (!opt.block_size || opt.block_size % PATTERN_WORD)
		options_error("--block-size must be a multiple of %d", PATTERN_WORD);
	if (!opt.read_size || opt.read_size > BUFFER_SIZE)
		options_error("--read-size must be 1 to %d", BUFFER_SIZE);
	if (!opt.rate)
		options_error("--rate must not be 0");
	if (opt.rcvbuf > INT32_MAX)
		options_error("--rcvbuf is too large");
	if (opt.ready_fd != UNSET && opt.ready_fd > INT32_MAX)
		options_error("--ready-fd is no file descriptor");
	if (opt.seconds > 1e9 && isfinite(opt.seconds))
		options_error("--seconds is too large");
	if (opt.expect_end && !is_ending_word(opt.expect_end))
		options_error("--expect-end must be end, reset or any");
	if (opt.check_file && opt.clients > 1)
		options_error("--check-file is one client");
}

char *options_parse(int argc, char **argv)
{
	settings_parse(&settings, argc, argv);
	if (opt.help) {
		print_feedclient_help();
		exit(0);
	}
	verify_feedclient_options();
	if (opt.generate != UNSET)
		return NULL;
	if (argc - optind != (opt.check_file ? 0 : 1))
		options_error(opt.check_file ? "too many arguments" : "one HOST:PORT is needed");
	return argv[optind];
}
