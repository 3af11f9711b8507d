// SPDX-License-Identifier: BSD-2-Clause
/*
 * Configuration files and command lines: the settings that valid ones give, and for invalid ones, whether
 * the error says where, what, and what would be right.
 */
#include "config/arguments.h"
#include "config/config.h"
#include "config/config_check.h"
#include "config/config_file.h"
#include "config/option_table.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/pattern.h"

#include "capture.h"
#include "tap.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(literal) literal, sizeof(literal) - 1

static struct capture capture;
static char directory[] = "/tmp/dmacast-config-XXXXXX";
static char path[64];

static void write_config_file(const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(text, 1, length, file) != length || fclose(file))
		err(1, "%s", path);
}

/* Read and check a file. What this logs is in capture.text afterwards. */
static bool read_config(struct config *config, const char *from)
{
	bool right;

	config_init(config);
	capture_begin(&capture, STDERR_FILENO);
	right = config_file_read(config, from) && config_check(config, from);
	capture_end(&capture);
	return right;
}

static char *printed_config(const struct config *config)
{
	char *text;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	config_print(config, file);
	fclose(file);
	return text;
}

static unsigned int line_count(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* Return true if a captured line begins with @start and contains @key and @right. */
static bool is_logged(const char *start, const char *key, const char *right)
{
	char *text = strdup(capture.text), *rest = text;
	bool found = false;

	for (char *line; (line = strsep(&rest, "\n"));)
		found |= !strncmp(line, start, strlen(start)) && strstr(line, key) &&
			 strstr(line, right);
	free(text);
	return found;
}

/* ---- wrong files ---- */

#define STREAM "[stream a]\ninput = -\nlisten = :7000\n" /* three lines */
#define DEVICE "[stream a]\ndevice = /dev/x\nlisten = :7000\n"
#define RELAY "[stream a]\ninput = http://h:1/\ninput-format = framed\nlisten = :7000\n"
#define NAME_32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-.012"

static const struct {
	const char *title;
	const char *text;
	size_t length;
	unsigned int line; /* 0: the error concerns several lines */
	const char *key, *right;
	unsigned int errors; /* 0: one */
} wrong_files[] = {
	/* Sections */
	{ "nothing", TEXT(""), 0, "no stream", "at least one [stream NAME]", 0 },
	{ "no stream", TEXT("[daemon]\nstrict = no\n"), 0, "no stream", "[stream NAME]", 0 },
	{ "an unknown section", TEXT("\n[streams]\nx = y\n" STREAM), 2, "[streams]",
	  "[daemon], [stream NAME] or [endpoint NAME]", 0 },
	{ "a section without a key", TEXT("[bogus]\n" STREAM), 1, "[bogus]", "[stream NAME]", 0 },
	{ "a section in capitals", TEXT("[Daemon]\n" STREAM), 1, "[Daemon]", "[daemon]", 0 },
	{ "a section without a name", TEXT("[]\n" STREAM), 1, "[]", "[stream NAME]", 0 },
	{ "an option before any section", TEXT("strict = yes\n" STREAM), 1, "strict",
	  "[daemon], [stream NAME] or [endpoint NAME] before", 0 },
	{ "an endpoint without a name", TEXT("[endpoint]\n" STREAM), 1, "[endpoint]",
	  "[endpoint NAME]", 0 },
	{ "an endpoint twice",
	  TEXT("[endpoint e]\nstream = a\nlisten = :2\n" STREAM "[endpoint e]\n"), 7,
	  "[endpoint e]", "once, under a name of its own", 0 },
	{ "an endpoint without a stream", TEXT("\n[endpoint e]\nlisten = :2\n" STREAM), 2,
	  "[endpoint e]", "stream = NAME", 0 },
	{ "an endpoint of an unknown stream",
	  TEXT(STREAM "[endpoint e]\nlisten = :2\nstream = b\n"), 4, "[endpoint e] stream = b",
	  "the name of a stream", 0 },
	{ "an endpoint without an address", TEXT("[endpoint e]\nstream = a\n" STREAM), 1,
	  "[endpoint e]", "at least one listen", 0 },
	{ "a stream's option in an endpoint", TEXT(STREAM "[endpoint e]\nblock-size = 4K\n"), 5,
	  "[endpoint e] block-size", "in a section [stream NAME]", 0 },
	{ "an endpoint's option in a stream", TEXT(STREAM "stream = b\n"), 4, "[stream a] stream",
	  "in a section [endpoint NAME]", 0 },
	{ "an endpoint with the address of a stream",
	  TEXT(STREAM "[endpoint e]\nstream = a\nlisten = *:7000\n"), 0,
	  "[endpoint e] listen = *:7000: taken by [stream a], listen = :7000",
	  "another address or port", 0 },
	{ "an endpoint with the address of the metrics",
	  TEXT("[daemon]\nmetrics = :9\n" STREAM "[endpoint e]\nstream = a\nlisten = :9\n"), 0,
	  "[endpoint e] listen = :9: taken by [daemon], metrics", "another address or port", 0 },
	{ "an endpoint that blocks with a limit",
	  TEXT(STREAM "lag-limit = 1M\n[endpoint e]\nstream = a\nlisten = :2\n"
		      "lag-policy = block\n"),
	  0, "[endpoint e] lag-limit", "lag-limit = none", 0 },
	{ "a limit of more than the ring", TEXT(STREAM "lag-limit = 16M\n"), 0,
	  "[stream a] lag-limit = 16M", "less than ring-size, 16M", 0 },
	{ "a limit of more than a year", TEXT(STREAM "lag-limit = 8761h\n"), 4, "lag-limit = 8761h",
	  "a duration of 1ms to 8760h", 0 },
	{ "history of more than a year", TEXT(STREAM "retain = 9999999999h\n"), 4,
	  "retain = 9999999999h", "a duration of 1ms to 8760h", 0 },
	{ "input of every client for the source",
	  TEXT("[stream a]\ninput = exec:ls\nlisten = :1\nclient-input = source\n"), 0,
	  "[stream a] client-input = source: every peer", "allow = ADDRESS before each deny", 0 },
	{ "input of clients for the source, of whom some are refused",
	  TEXT("[stream a]\ninput = tcp:h:1\nlisten = :1\n"
	       "[endpoint e]\nstream = a\nlisten = :2\nclient-input = source\n"
	       "deny = 10.0.0.1\nallow = 10.0.0.0/8\n"),
	  0, "[endpoint e] client-input = source: every peer", "or allow = all", 0 },
	{ "input of clients for a source that does not read",
	  TEXT(STREAM "client-input = source\nallow = ::1\n"), 0,
	  "[stream a] client-input = source: expected a source that reads", "exec:, tcp:", 0 },
	{ "input of HTTP clients for the source",
	  TEXT("[stream a]\ninput = tcp:h:1\nlisten = :1\nclient-input = source\nallow = ::1\n"
	       "[endpoint e]\nstream = a\nlisten = :2\nformat = http\n"),
	  0, "[endpoint e] client-input = source: what follows an HTTP request",
	  "client-input = discard", 0 },
	{ "input of clients for a pattern",
	  TEXT("[stream a]\npattern = max\nlisten = :1\n[endpoint e]\nstream = a\n"
	       "listen = :2\nclient-input = source\nallow = ::1\n"),
	  0, "[endpoint e] client-input = source: expected a source that reads", "exec:", 0 },
	{ "a unit that is too large", TEXT(STREAM "client-input-size = 4097\n"), 4,
	  "client-input-size = 4097", "from 0 to 4096", 0 },
	{ "more history than the ring keeps", TEXT(STREAM "retain = 15M\n"), 0,
	  "[stream a] retain = 15M",
	  "at most 14M, which is ring-size = 16M without the 2M of low-water", 0 },
	{ "history for clients that skip it",
	  TEXT(STREAM "[endpoint e]\nstream = a\nlisten = :2\nlag-policy = latest\n"
		      "start = -1M\n"),
	  0, "[endpoint e] start = -1M", "start = live, or another lag-policy than latest", 0 },
	{ "a start that only HTTP has", TEXT(STREAM "start = 1a2b3c4d:1\n"), 4,
	  "start = 1a2b3c4d:1", "live, oldest, a size before the end such as -4M", 0 },
	{ "more clients awaited than there can be",
	  TEXT(STREAM "hold = 5\nmax-clients = 2\n[endpoint e]\nstream = a\nlisten = :2\n"), 0,
	  "[stream a] hold = 5", "at most max-clients, 4", 0 },
	{ "[daemon] twice", TEXT("[daemon]\n[daemon]\n" STREAM), 2, "[daemon]", "only one", 0 },
	{ "a stream twice", TEXT(STREAM "[stream b]\npattern = max\nlisten = :1\n" STREAM), 7,
	  "[stream a]", "once, under a name of its own", 0 },
	{ "a stream without a name", TEXT("[stream]\n" STREAM), 1, "[stream]", "[stream NAME]", 0 },
	{ "a stream with an empty name", TEXT("[stream ]\n" STREAM), 1, "[stream ]",
	  "1 to 32 letters", 0 },
	{ "a stream name with a slash", TEXT("[stream a/b]\n"), 1, "[stream a/b]",
	  "letters, digits, '.', '_' or '-'", 0 },
	{ "a stream name with a blank", TEXT("[stream a b]\n"), 1, "[stream a b]", "letters", 0 },
	{ "a stream name with an umlaut", TEXT("[stream \xc3\xa4]\n"), 1, "[stream \xc3\xa4]",
	  "letters", 0 },
	{ "a stream name of 33 letters", TEXT("[stream " NAME_32 "x]\n"), 1, NAME_32 "x", "1 to 32",
	  0 },
	/* Lines */
	{ "no equals sign", TEXT(STREAM "hold\n"), 4, "", "[section] or key = value", 0 },
	{ "a section that does not end", TEXT(STREAM "\n[stream b\nhold = 1\n"), 5, "[stream b",
	  "[endpoint NAME], and nothing after it", 0 },
	{ "an option behind a section", TEXT("[daemon] strict = yes\n" STREAM), 1, "[daemon]",
	  "nothing after it", 0 },
	{ "a byte order mark, then a blank", TEXT("\xef\xbb\xbf [daemon]\nbogus = 1\n" STREAM), 2,
	  "[daemon] bogus", "dmacastd.conf(5)", 0 },
	{ "a form feed before a line", TEXT(STREAM "hold = 1\n\fbogus = 1\n"), 5,
	  "[stream a] bogus", "dmacastd.conf(5)", 0 },
	{ "no key", TEXT(STREAM "junk ; = 1\n"), 4, "junk", "[section] or key = value", 0 },
	{ "an endpoint twice, written in two ways", TEXT(STREAM "listen = *:2\nlisten = :02\n"), 0,
	  "listen = :02", "taken by [stream a]", 0 },
	{ "a NUL byte", TEXT(STREAM "ho\0ld = 1\nbogus = 1\n"), 4, "NUL byte", "text", 2 },
	{ "a NUL byte in a comment", TEXT("# \0\n" STREAM), 1, "NUL byte", "text", 0 },
	{ "UTF-16", TEXT("\xff\xfe[\0d\0a\0e\0m\0o\0n\0]\0\n"), 1, "NUL byte", "text", 0 },
	{ "a quote that does not end", TEXT(STREAM "hold = \"3 ; c\n"), 4, "hold",
	  "expected a quote (\") at the end of the value", 0 },
	{ "a quote that ends too early", TEXT(STREAM "hold = \"3\" 4\n"), 4, "hold",
	  "only a comment behind the closing quote", 0 },
	{ "a value in quotes that is wrong", TEXT(STREAM "hold = \" 3\"\n"), 4, "hold =  3",
	  "a whole number", 0 },
	/* Options */
	{ "an unknown option", TEXT(STREAM "bogus = 1\n"), 4, "[stream a] bogus",
	  "dmacastd.conf(5)", 0 },
	{ "an option in capitals", TEXT(STREAM "Hold = 1\n"), 4, "Hold", "dmacastd.conf(5)", 0 },
	{ "a stream's option in [daemon]", TEXT("[daemon]\nhold = 1\n" STREAM), 2, "[daemon] hold",
	  "expected in a section [stream NAME]", 0 },
	{ "the daemon's option in a stream", TEXT(STREAM "strict = yes\n"), 4, "[stream a] strict",
	  "expected in the section [daemon]", 0 },
	{ "an option twice", TEXT(STREAM "hold = 1\n\nhold = 1\n"), 6, "[stream a] hold",
	  "set before, on line 4; expected once", 0 },
	{ "an option twice, first with a wrong value", TEXT(STREAM "hold = x\nhold = 1\n"), 5,
	  "[stream a] hold", "set before, on line 4", 2 },
	{ "an input twice", TEXT(STREAM "input = /x\n"), 0, "[stream a] input = /x: a second input",
	  "input-format = framed", 0 },
	{ "two wrong lines", TEXT(STREAM "hold = x\nloop = maybe\n"), 5, "[stream a] loop = maybe",
	  "yes or no", 2 },
	{ "no value", TEXT(STREAM "hold =\n"), 4, "[stream a] hold = ", "a whole number", 0 },
	/* Values */
	{ "no number", TEXT(STREAM "hold = many\n"), 4, "[stream a] hold = many",
	  "a whole number, from 0 to 100000", 0 },
	{ "a number too low", TEXT(STREAM "max-clients = 0\n"), 4, "max-clients = 0",
	  "from 1 to 100000", 0 },
	{ "a number too high", TEXT(STREAM "max-clients = 100001\n"), 4, "max-clients = 100001",
	  "from 1 to 100000", 0 },
	{ "a number beyond 64 bits", TEXT(STREAM "hold = 18446744073709551616\n"), 4,
	  "hold = 18446744073709551616", "from 0 to 100000", 0 },
	{ "auto where there is none", TEXT(STREAM "hold = auto\n"), 4, "hold = auto",
	  "from 0 to 100000", 0 },
	{ "no size", TEXT(STREAM "block-size = 64 K\n"), 4, "block-size = 64 K",
	  "a size such as 256K or 4M, from 4K to 64M", 0 },
	{ "a size too low", TEXT(STREAM "block-size = 4095\n"), 4, "block-size = 4095", "from 4K",
	  0 },
	{ "a size too high", TEXT(STREAM "block-size = 65M\n"), 4, "block-size = 65M", "to 64M",
	  0 },
	{ "no size nor auto", TEXT(STREAM "send-buffer = none\n"), 4, "send-buffer = none",
	  "from 4K to 1G, or auto", 0 },
	{ "a duration without a unit", TEXT(STREAM "flush = 100\n"), 4, "flush = 100",
	  "a duration such as 500ms or 10s, from 1ms to 1h", 0 },
	{ "a duration too low", TEXT(STREAM "flush = 999us\n"), 4, "flush = 999us", "from 1ms", 0 },
	{ "a duration too high", TEXT(STREAM "keepalive = 10h\n"), 4, "keepalive = 10h", "to 9h",
	  0 },
	{ "no rate", TEXT("[stream a]\npattern = 5M\nlisten = :1\n"), 2, "pattern = 5M",
	  "a rate such as 100M/s, or max", 0 },
	{ "a rate of nothing", TEXT("[stream a]\npattern = 0/s\nlisten = :1\n"), 2, "pattern = 0/s",
	  "from 1/s to max", 0 },
	{ "metrics without a port", TEXT("[daemon]\nmetrics = localhost\n" STREAM), 2,
	  "[daemon] metrics = localhost", "HOST:PORT", 0 },
	{ "neither yes nor no", TEXT("[daemon]\nstrict = true\n" STREAM), 2,
	  "[daemon] strict = true", "yes or no", 0 },
	{ "no such choice", TEXT(STREAM "lag-policy = Drop\n"), 4, "lag-policy = Drop",
	  "one of drop, disconnect, block", 0 },
	{ "an empty input", TEXT("[stream a]\ninput = ; -\nlisten = :1\n"), 2,
	  "input =", "-, a path, unix:PATH", 0 },
	{ "an unknown kind of input", TEXT("[stream a]\ninput = udp:0.0.0.0:5000\nlisten = :1\n"),
	  2, "input = udp:0.0.0.0:5000", "tcp-listen:HOST:PORT or exec:COMMAND; a path such as",
	  0 },
	{ "a kind of input in capitals", TEXT("[stream a]\ninput = TCP:h:1\nlisten = :1\n"), 2,
	  "input = TCP:h:1", "-, a path, unix:PATH", 0 },
	{ "an unknown URL as an input", TEXT("[stream a]\ninput = https://h/x\nlisten = :1\n"), 2,
	  "input = https://h/x", "-, a path, unix:PATH", 0 },
	{ "a URL without a host", TEXT("[stream a]\ninput = http:///x\nlisten = :1\n"), 2,
	  "input = http:///x", "http://HOST:PORT/PATH", 0 },
	{ "input of clients for a relay", TEXT(RELAY "client-input = source\nallow = all\n"), 0,
	  "[stream a] client-input = source", "input-format = raw", 0 },
	{ "a relay of a path", TEXT(RELAY "input = /x\n"), 0, "[stream a] input = /x",
	  "tcp://HOST:PORT", 0 },
	{ "a relay of a pattern",
	  TEXT("[stream a]\npattern = 1M/s\ninput-format = framed\nlisten = :1\n"), 0,
	  "[stream a] input-format = framed", "an input", 0 },
	{ "a relay on demand", TEXT(RELAY "on-demand = yes\n"), 0, "[stream a] on-demand = yes",
	  "on-demand = no", 0 },
	{ "a relay with metadata", TEXT(RELAY "meta.a = b\n"), 0, "[stream a] meta",
	  "that of the origin", 0 },
	{ "a relay with records", TEXT(RELAY "record-size = 4\n"), 0, "[stream a] record-size",
	  "expected neither", 0 },
	{ "a relay with a preamble", TEXT(RELAY "preamble = 4K\n"), 0, "[stream a] preamble",
	  "comes from the origin", 0 },
	{ "an unknown kind of input with a dash and digits",
	  TEXT("[stream a]\ninput = x-2:\nlisten = :1\n"), 2,
	  "input = x-2:", "-, a path, unix:PATH", 0 },
	{ "a path that looks like a kind of input",
	  TEXT("[stream a]\ninput = C:foo\nlisten = :1\n"), 2, "input = C:foo", "written ./a:b",
	  0 },
	{ "an empty device", TEXT("[stream a]\ndevice = ; /dev/x\nlisten = :1\n"), 2,
	  "device =", "an absolute path", 0 },
	{ "a device that is no absolute path", TEXT("[stream a]\ndevice = adc\nlisten = :1\n"), 2,
	  "device = adc", "an absolute path such as /dev/dmacast/adc", 0 },
	{ "a device that is the root", TEXT("[stream a]\ndevice = /\nlisten = :1\n"), 2,
	  "device = /", "an absolute path", 0 },
	{ "a device with a control character", TEXT("[stream a]\ndevice = /d\x01\nlisten = :1\n"),
	  2, "device = /d", "no control characters", 0 },
	{ "a Unix socket without a path", TEXT("[stream a]\ninput = unix:\nlisten = :1\n"), 2,
	  "input = unix:", "1 to 107 bytes", 0 },
	{ "an endpoint without a port", TEXT(STREAM "listen = localhost\n"), 4,
	  "listen = localhost", "HOST:PORT", 0 },
	{ "a socket without a name", TEXT(STREAM "listen = systemd:\n"), 4,
	  "listen = systemd:", "systemd:NAME with the name of a socket", 0 },
	{ "a socket's name with a blank", TEXT(STREAM "listen = systemd:a b\n"), 4,
	  "listen = systemd:a b", "no blank and no colon", 0 },
	{ "a socket's name with a colon", TEXT(STREAM "listen = systemd:a:7000\n"), 4,
	  "listen = systemd:a:7000", "no blank and no colon", 0 },
	{ "neither a port nor a socket", TEXT(STREAM "listen = systemd\n"), 4, "listen = systemd",
	  ":PORT or systemd:NAME", 0 },
	{ "an endpoint with a named port", TEXT(STREAM "listen = :http\n"), 4, "listen = :http",
	  "0 to 65535", 0 },
	{ "an endpoint in IPv6 without brackets", TEXT(STREAM "listen = ::1:80\n"), 4,
	  "listen = ::1:80", "[IPV6]:PORT", 0 },
	/* Several options together */
	{ "no source", TEXT("[stream a]\nlisten = :1\n"), 0, "[stream a]",
	  "input, pattern or device", 0 },
	{ "two sources", TEXT(STREAM "pattern = max\n"), 0, "[stream a]: two sources",
	  "either input, pattern or device", 0 },
	{ "two sources, one of them a device", TEXT(STREAM "device = /dev/x\n"), 0,
	  "[stream a]: two sources", "either input, pattern or device", 0 },
	{ "three sources", TEXT(STREAM "pattern = max\ndevice = /dev/x\n"), 0,
	  "[stream a]: three sources", "either input, pattern or device", 0 },
	{ "no endpoint", TEXT("[stream a]\ninput = -\n"), 0, "[stream a]", "listen = HOST:PORT",
	  0 },
	{ "three blocks", TEXT(STREAM "block-size = 4M\nring-size = 15M\n"), 0, "ring-size = 15M",
	  "at least 16M, or smaller blocks", 0 },
	{ "no block at all", TEXT(STREAM "block-size = 64M\n"), 0, "ring-size = 16M: holds 0",
	  "at least 256M", 0 },
	{ "low-water above half", TEXT(STREAM "low-water = 33\n"), 0, "low-water = 33",
	  "at most half of the ring's 64 blocks", 0 },
	{ "blocks that are no pages", TEXT(STREAM "block-size = 10000\n"), 0, "block-size = 10000",
	  "a multiple of the page size", 0 },
	{ "loop with a socket", TEXT("[stream a]\ninput = tcp:h:1\nlisten = :1\nloop = yes\n"), 0,
	  "[stream a] loop = yes", "a regular file", 0 },
	{ "loop with a command", TEXT("[stream a]\ninput = exec:ls\nlisten = :1\nloop = yes\n"), 0,
	  "[stream a] loop = yes", "a regular file", 0 },
	{ "loop with a pattern", TEXT("[stream a]\npattern = max\nlisten = :1\nloop = yes\n"), 0,
	  "[stream a] loop = yes", "a regular file", 0 },
	{ "a pattern's form without a pattern",
	  TEXT("[stream a]\ninput = /x\nlisten = :1\npattern-form = stamped\n"), 0,
	  "[stream a] pattern-form", "a pattern", 0 },
	{ "loop with a device", TEXT(DEVICE "loop = yes\n"), 0, "[stream a] loop = yes",
	  "a regular file", 0 },
	{ "a speed of what is no path",
	  TEXT("[stream a]\ninput = tcp:h:1\nlisten = :1\nbaud = 9600\n"), 0,
	  "[stream a] baud = 9600", "path of a terminal", 0 },
	{ "a speed of standard input", TEXT(STREAM "baud = 9600\n"), 0, "[stream a] baud = 9600",
	  "path of a terminal", 0 },
	{ "a speed of a device", TEXT(DEVICE "baud = 9600\n"), 0, "[stream a] baud = 9600",
	  "path of a terminal", 0 },
	{ "a timeout of a device", TEXT(DEVICE "input-timeout = 5s\n"), 0,
	  "[stream a] input-timeout", "an input as the source", 0 },
	{ "huge pages for a device", TEXT(DEVICE "huge-pages = require\n"), 0,
	  "[stream a] huge-pages = require", "no device", 0 },
	{ "stalling what is no device", TEXT(STREAM "overrun = stall\n"), 0,
	  "[stream a] overrun = stall", "a device", 0 },
	{ "contiguous blocks of what is no device", TEXT(STREAM "contiguous = yes\n"), 0,
	  "[stream a] contiguous = yes", "a device", 0 },
	{ "an empty end of a record", TEXT(STREAM "record-end = \"\"\n"), 4,
	  "record-end = ", "1 to 16 bytes, such as \\n", 0 },
	{ "an end of a record of 17 bytes", TEXT(STREAM "record-end = 0123456789abcdef\\n\n"), 4,
	  "record-end = 0123456789abcdef\\n", "1 to 16 bytes", 0 },
	{ "an unknown escape", TEXT(STREAM "record-end = \\e\n"), 4, "record-end = \\e",
	  "\\r, \\t, \\0, \\\\ or \\xNN", 0 },
	{ "an octal escape", TEXT(STREAM "record-end = \\012\n"), 4, "record-end = \\012",
	  "or \\xNN", 0 },
	{ "a backslash at the end", TEXT(STREAM "record-end = a\\\n"), 4, "record-end = a\\",
	  "or \\xNN", 0 },
	{ "half a byte", TEXT(STREAM "record-end = \\xa\n"), 4, "record-end = \\xa", "or \\xNN",
	  0 },
	{ "a record of no bytes", TEXT(STREAM "record-size = 0\n"), 4, "record-size = 0",
	  "from 1 to 64M", 0 },
	{ "a size and an end of records", TEXT(STREAM "record-size = 8\nrecord-end = \\n\n"), 0,
	  "[stream a]: record-size and record-end", "one of them", 0 },
	{ "an end of records for a device", TEXT(DEVICE "record-end = \\n\n"), 0,
	  "[stream a] record-end", "an input as the source", 0 },
	{ "an end of records for a pattern",
	  TEXT("[stream a]\npattern = 1/s\nlisten = :1\nrecord-end = \\n\n"), 0,
	  "[stream a] record-end", "an input as the source", 0 },
	{ "a preamble that is no path", TEXT(STREAM "preamble = head.wav\n"), 4,
	  "preamble = head.wav", "the absolute path of a file, or a size such as 44, from 1 to 1M",
	  0 },
	{ "a preamble of no bytes", TEXT(STREAM "preamble = 0\n"), 4, "preamble = 0", "from 1", 0 },
	{ "a preamble that is too large", TEXT(STREAM "preamble = 1025K\n"), 4, "preamble = 1025K",
	  "to 1M", 0 },
	{ "a preamble beside the grid of a device",
	  TEXT(DEVICE "preamble = 44\nrecord-size = 64\n"), 0,
	  "[stream a] preamble = 44: no multiple of record-size = 64", "or the path of a file", 0 },
	{ "records larger than blocks", TEXT(STREAM "record-size = 300K\n"), 0,
	  "[stream a] record-size = 300K: larger than block-size = 256K", "larger blocks", 0 },
	{ "records that do not fill a device's blocks",
	  TEXT(DEVICE "record-size = 12K\nblock-size = 64K\n"), 0,
	  "[stream a] block-size = 64K: no multiple of record-size = 12K",
	  "block-size = 60K or 72K", 0 },
	{ "records that do not fill pages, for a device", TEXT(DEVICE "record-size = 1000\n"), 0,
	  "[stream a] block-size = 256K: no multiple of record-size = 1000",
	  "expected block-size = 500K", 0 },
	{ "records for which a device's blocks are too large",
	  TEXT(DEVICE "record-size = 40M\nblock-size = 63M\nring-size = 1G\nlow-water = 1\n"), 0,
	  "[stream a] block-size = 63M", "expected block-size = 40M", 0 },
	{ "records that fill no block of a device", TEXT(DEVICE "record-size = 16777213\n"), 0,
	  "[stream a] block-size = 256K", "no block-size up to 64M", 0 },
	{ "waiting for standard input", TEXT(STREAM "on-end = wait\n"), 0,
	  "[stream a] on-end = wait", "opened again", 0 },
	{ "waiting for a pattern", TEXT("[stream a]\npattern = 1/s\nlisten = :1\non-end = wait\n"),
	  0, "[stream a] on-end = wait", "opened again", 0 },
	{ "hold above max-clients", TEXT(STREAM "hold = 3\nmax-clients = 2\n"), 0,
	  "[stream a] hold = 3", "at most max-clients, 2", 0 },
	{ "an endpoint twice", TEXT(STREAM "listen = :7000\n"), 0,
	  "[stream a] listen = :7000: taken by [stream a]", "another address or port", 0 },
	{ "an endpoint of another stream",
	  TEXT(STREAM "[stream b]\npattern = max\nlisten = :1\nlisten = :7000\n"), 0,
	  "[stream b] listen = :7000: taken by [stream a]", "another address or port", 0 },
	{ "every address, and one of them, on one port",
	  TEXT("[stream a]\ninput = -\nlisten = *:7503\n"
	       "[stream b]\npattern = max\nlisten = 127.0.0.1:7503\n"),
	  0, "[stream b] listen = 127.0.0.1:7503: taken by [stream a], listen = *:7503",
	  "another address or port", 0 },
	{ "a socket of another stream",
	  TEXT(STREAM "listen = systemd:s\n[stream b]\npattern = max\nlisten = systemd:s\n"), 0,
	  "[stream b] listen = systemd:s: taken by [stream a]", "another address or port", 0 },
	{ "an endpoint that is the address of the metrics",
	  TEXT("[daemon]\nmetrics = :9431\n" STREAM "listen = 127.0.0.1:9431\n"), 0,
	  "[stream a] listen = 127.0.0.1:9431: taken by [daemon], metrics = :9431",
	  "another address or port", 0 },
	{ "every address, and the metrics on one port",
	  TEXT("[daemon]\nmetrics = [::1]:9431\n" STREAM "listen = *:9431\n"), 0,
	  "[stream a] listen = *:9431: taken by [daemon], metrics = [::1]:9431",
	  "another address or port", 0 },
	{ "an input at an endpoint of its stream",
	  TEXT("[stream a]\ninput = tcp-listen:7000\nlisten = 127.0.0.1:7000\n"), 0,
	  "[stream a] listen = 127.0.0.1:7000: taken by [stream a], input = tcp-listen:7000",
	  "another address or port", 0 },
	{ "an input at an endpoint of another stream",
	  TEXT(STREAM "[stream b]\ninput = tcp-listen:[::1]:7000\nlisten = :1\n"), 0,
	  "[stream b] input = tcp-listen:[::1]:7000: taken by [stream a], listen = :7000",
	  "another address or port", 0 },
	{ "an input at the address of the metrics",
	  TEXT("[daemon]\nmetrics = *:9431\n[stream b]\ninput = tcp-listen:9431\nlisten = :1\n"), 0,
	  "[stream b] input = tcp-listen:9431: taken by [daemon], metrics = *:9431",
	  "another address or port", 0 },
	{ "two inputs at one address",
	  TEXT("[stream a]\ninput = tcp-listen:5\nlisten = :1\n"
	       "[stream b]\ninput = tcp-listen:*:5\nlisten = :2\n"),
	  0, "[stream b] input = tcp-listen:*:5: taken by [stream a], input = tcp-listen:5",
	  "another address or port", 0 },
	{ "two inputs at one path",
	  TEXT("[stream a]\ninput = unix-listen:/x\nlisten = :1\n"
	       "[stream b]\ninput = unix-listen:/x\nlisten = :2\n"),
	  0, "[stream b] input = unix-listen:/x: taken by [stream a]", "one stream for each socket",
	  0 },
	{ "an input at the path of the control socket",
	  TEXT("[daemon]\ncontrol = /x\n[stream a]\ninput = unix-listen:/x\nlisten = :1\n"), 0,
	  "[stream a] input = unix-listen:/x: taken by [daemon], control = /x", "another path", 0 },
	{ "a port of an input that is too high",
	  TEXT("[stream a]\ninput = tcp-listen:65536\nlisten = :1\n"), 2,
	  "input = tcp-listen:65536", "tcp-listen:PORT, tcp-listen:HOST:PORT or", 0 },
	{ "an input without a port", TEXT("[stream a]\ninput = tcp-listen:\nlisten = :1\n"), 2,
	  "input = tcp-listen:", "with a port from 0 to 65535", 0 },
	{ "an input without a path", TEXT("[stream a]\ninput = unix-listen:\nlisten = :1\n"), 2,
	  "input = unix-listen:", "a path of 1 to 107 bytes", 0 },
	{ "a loop of what producers send",
	  TEXT("[stream a]\ninput = tcp-listen:5\nlisten = :1\nloop = yes\n"), 0,
	  "[stream a] loop = yes", "a regular file", 0 },
	{ "stopping standard input", TEXT(STREAM "on-demand = yes\n"), 0,
	  "[stream a] on-demand = yes: standard input", "input = exec:COMMAND", 0 },
	{ "two streams on standard input", TEXT(STREAM "[stream b]\ninput = -\nlisten = :1\n"), 0,
	  "[stream b] input = -: taken by [stream a]", "one stream on standard input", 0 },
	{ "two streams of one device", TEXT(DEVICE "[stream b]\ndevice = /dev/x\nlisten = :1\n"), 0,
	  "[stream b] device = /dev/x: taken by [stream a]", "one stream for each device", 0 },
	{ "everything wrong together",
	  TEXT("[stream a]\nlow-water = 9\nblock-size = 2M\nhold = 9\n"
	       "max-clients = 1\n[stream b]\n"),
	  0, "[stream a] low-water = 9", "at most half of the ring's 8 blocks", 6 },
};

static void test_wrong_files(void)
{
	for (size_t i = 0; i < LENGTH(wrong_files); i++) {
		unsigned int errors = wrong_files[i].errors ? wrong_files[i].errors : 1;
		struct config config;
		char start[128];

		write_config_file(wrong_files[i].text, wrong_files[i].length);
		check(!read_config(&config, path), "taken");
		if (wrong_files[i].line)
			snprintf(start, sizeof(start), "test: error: %s:%u: ", path,
				 wrong_files[i].line);
		else
			snprintf(start, sizeof(start), "test: error: %s: ", path);
		check(is_logged(start, wrong_files[i].key, wrong_files[i].right), "%s",
		      capture.text);
		check(line_count(capture.text) == errors, "expected %u errors: %s", errors,
		      capture.text);
		config_free(&config);
		point("wrong file: %s", wrong_files[i].title);
	}
}

static void test_same_terminal(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct config config;
	char text[256], key[64];

	if (fd < 0)
		err(1, "pseudo-terminal");
	snprintf(text, sizeof(text),
		 "[stream a]\ninput = %s\nlisten = :1\n[stream b]\ninput = %s\nlisten = :2\n",
		 ptsname(fd), ptsname(fd));
	write_config_file(text, strlen(text));
	check(!read_config(&config, path), "taken");
	snprintf(key, sizeof(key), "[stream b] input = %s: taken by [stream a]", ptsname(fd));
	check(is_logged("test: error: ", key, "one stream for each terminal"), "%s", capture.text);
	config_free(&config);
	close(fd);
	snprintf(text, sizeof(text),
		 "[stream a]\ninput = /dev/zero\nlisten = :1\n"
		 "[stream b]\ninput = /dev/zero\nlisten = :2\n");
	write_config_file(text, strlen(text));
	check(read_config(&config, path), "%s", capture.text);
	config_free(&config);
	point("two streams cannot have the same terminal, but other devices");
}

/* Each option of the table refuses this value with an error. */
static void test_wrong_values(void)
{
	static const char *const section[] = {
		[OPTION_DAEMON] = "daemon",
		[OPTION_STREAM] = "stream a",
		[OPTION_ENDPOINT] = "endpoint a",
	};

	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		const char *in = section[option->scope];
		struct config config;
		char text[256], start[128], key[64];

		snprintf(text, sizeof(text), "[%s]\n\n%s = tcp:\\?\n", in, option->name);
		snprintf(start, sizeof(start), "test: error: %s:3: [%s] ", path, in);
		snprintf(key, sizeof(key), "] %s = tcp:\\?: ", option->name);
		write_config_file(text, strlen(text));
		check(!read_config(&config, path), "%s: taken", option->name);
		check(is_logged(start, key, "expected "), "%s", capture.text);
		check(line_count(capture.text) == 1, "%s", capture.text);
		config_free(&config);
	}
	point("each option refuses a wrong value, with file, line and key");
}

static void test_no_file(void)
{
	struct config config;

	unlink(path);
	check(!read_config(&config, path), "taken");
	check(is_logged("test: error: ", path, "No such file or directory; expected a "), "%s",
	      capture.text);
	check(line_count(capture.text) == 1, "%s", capture.text);
	config_free(&config);
	point("wrong file: none");
	check(!read_config(&config, directory), "taken");
	check(is_logged("test: error: ", directory, " is a directory; expected a regular file"),
	      "%s", capture.text);
	config_free(&config);
	point("wrong file: a directory");
}

/* Files that would have no end, or would make the caller wait. */
static void test_endless_files(void)
{
	static const struct {
		const char *path; /* NULL: the one that was made */
		const char *right;
	} table[] = {
		{ NULL, " is a pipe; expected a regular file" },
		{ "/dev/zero", " is a device; expected a regular file" },
		/* Its size is 0. */
		{ "/proc/self/mem", ": Input/output error; expected a configuration file" },
	};

	unlink(path);
	if (mkfifo(path, 0600))
		err(1, "%s", path);
	for (size_t i = 0; i < LENGTH(table); i++) {
		const char *from = table[i].path ? table[i].path : path;
		struct config config;

		check(!read_config(&config, from), "%s: taken", from);
		check(is_logged("test: error: ", from, table[i].right), "%s", capture.text);
		check(line_count(capture.text) == 1, "%s", capture.text);
		config_free(&config);
	}
	unlink(path);
	point("wrong files: a pipe, a device, and one that cannot be read");
}

/* A file of @size bytes: a stream, and comments. */
static void write_large_file(size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file)
		err(1, "%s", path);
	for (size -= (size_t)fprintf(file, STREAM); size; size--)
		putc(size == 1 ? '\n' : '#', file);
	if (fclose(file))
		err(1, "%s", path);
}

/* Return true if that much can be read, whatever size the file system states. */
static bool is_larger_than_4m(const char *name)
{
	FILE *file = fopen(name, "r");
	size_t left = ((size_t)4 << 20) + 1;

	while (file && left && getc(file) != EOF)
		left--;
	if (file)
		fclose(file);
	return !left;
}

static void test_large_files(void)
{
	struct config config;

	write_large_file((size_t)4 << 20);
	check(read_config(&config, path), "%s", capture.text);
	check(config.stream_count == 1, "%zu streams", config.stream_count);
	config_free(&config);
	write_large_file(((size_t)4 << 20) + 1);
	check(!read_config(&config, path), "taken");
	check(is_logged("test: error: ", path, "larger than 4 MiB"), "%s", capture.text);
	config_free(&config);
	if (is_larger_than_4m("/proc/kallsyms")) {
		check(!read_config(&config, "/proc/kallsyms"), "taken");
		check(is_logged("test: error: ", "/proc/kallsyms", "larger than 4 MiB"), "%s",
		      capture.text);
		config_free(&config);
	}
	point("files of up to 4 MiB");
}

static void test_many_errors(void)
{
	static const char line[] = "no option\n";
	struct config config;
	FILE *file = fopen(path, "w");

	for (int i = 0; i < 1000; i++)
		fputs(line, file);
	fclose(file);
	check(!read_config(&config, path), "taken");
	check(is_logged("test: error: ", ":50: ", "too many errors"), "%s", capture.text);
	check(line_count(capture.text) == 51, "%u lines", line_count(capture.text));
	config_free(&config);
	point("a file that is something else: its first 50 errors");
}

/* Write sections of endpoints, with one each, of the first stream; then streams with their own endpoints. */
static void write_many_streams(unsigned int sections, unsigned int streams, unsigned int endpoints)
{
	FILE *file = fopen(path, "w");
	unsigned int port = 0;

	for (unsigned int i = 0; i < sections; i++)
		fprintf(file, "[endpoint e%u]\nstream = s0\nlisten = :%u\n", i, 10001 + i);
	for (unsigned int i = 0; i < streams; i++) {
		fprintf(file, "[stream s%u]\npattern = 1K/s\n", i);
		for (unsigned int j = 0; j < endpoints; j++)
			fprintf(file, "listen = :%u\n", ++port);
	}
	fclose(file);
}

static void test_config_bounds(void)
{
	static const struct {
		unsigned int sections, streams, endpoints;
		const char *key, *expected; /* NULL: right */
	} table[] = {
		{ 0, 256, 2, NULL, NULL },
		{ 0, 257, 1, ":769: [stream s256]: ", "at most 256 streams" },
		{ 0, 8, 64, NULL, NULL },
		{ 0, 1, 65, ":67: [stream s0] listen = :65: ", "at most 64 of them" },
		{ 0, 9, 57, ": [stream s8] listen = :513: ", "at most 512 endpoints" },
		{ 511, 1, 1, NULL, NULL },
		{ 512, 1, 1, ": [endpoint e511] listen = :10512: ", "at most 512 endpoints" },
		{ 511, 1, 2, ": [endpoint e510] listen = :10511: ", "at most 512 endpoints" },
		{ 448, 2, 33, ": [stream s1] listen = :65: ", "at most 512 endpoints" },
		{ 513, 1, 1, ":1537: [endpoint e512]: ", "at most 512 endpoints" },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct config config;
		bool right;

		write_many_streams(table[i].sections, table[i].streams, table[i].endpoints);
		right = read_config(&config, path);
		check(right == !table[i].key, "%u sections, %u streams of %u endpoints",
		      table[i].sections, table[i].streams, table[i].endpoints);
		check(right || is_logged("test: error: ", table[i].key, table[i].expected), "%s",
		      capture.text);
		config_free(&config);
	}
	point("the number of streams and of endpoints is bounded");
}

static void test_access_bound(void)
{
	for (unsigned int rules = 1024; rules <= 1025; rules++) {
		FILE *file = fopen(path, "w");
		struct config config;
		bool right;

		fputs(STREAM, file);
		for (unsigned int i = 0; i < rules; i++)
			fprintf(file, "%s = 10.0.%u.%u\n", i % 2 ? "deny" : "allow", i / 256,
				i % 256);
		fclose(file);
		right = read_config(&config, path);
		check(right == (rules == 1024), "%u rules", rules);
		check(right || is_logged("test: error: ", "[stream a] allow = 10.0.4.0: ",
					 "at most 1024 prefixes"),
		      "%s", capture.text);
		config_free(&config);
	}
	point("the number of rules about addresses is bounded");
}

/* Return: the CPU time in ns that a file of @bytes takes, of only this line. */
static uint64_t time_of_lines(const char *line, size_t bytes)
{
	FILE *file = fopen(path, "w");
	struct config config;
	uint64_t begin;

	for (size_t n = 0; n + strlen(line) < bytes; n += strlen(line))
		fputs(line, file);
	fclose(file);
	begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	read_config(&config, path);
	begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
	config_free(&config);
	return begin;
}

/* The time does not grow with the square of the size: four times as much is far from 16 times as long. */
static void test_many_lines(void)
{
	static const char *const lines[] = { "\n",	     " \t\n",	     "; a\n",
					     "# a\n",	     "\v\n",	     "listen = :1\n",
					     "[daemon]\n",   "[stream a]\n", "[endpoint a]\n",
					     "allow = all\n" };

	for (size_t i = 0; i < LENGTH(lines); i++) {
		uint64_t quarter = time_of_lines(lines[i], 256U << 10);
		uint64_t whole = time_of_lines(lines[i], 1U << 20);

		check(whole < 10 * quarter + 50000000, "%s: %" PRIu64 " and %" PRIu64 " ms",
		      lines[i], quarter / 1000000, whole / 1000000);
	}
	point("1 MiB of any line take no more than their size explains");
}

static void test_long_config_lines(void)
{
	static const struct {
		const char *start;
		size_t length;
		bool right;
	} table[] = {
		{ "input = /", 199, true },	{ "input = /", 200, true },
		{ "input = /", 4096, true },	{ "input = /", 4097, false },
		{ "input = \"/", 4096, false }, { "# comment", 1000, true },
		{ "; comment", 5000, true },	{ "\t # comment", 5000, true },
		{ "[stream ", 300, false },	{ "[stream ", 4097, false },
		{ "bogus", 300, false },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct config config;
		char text[6000], start[128];
		size_t length = (size_t)sprintf(text, "[stream a]\nlisten = :1\n");

		memset(text + length, 'x', table[i].length);
		memcpy(text + length, table[i].start, strlen(table[i].start));
		length += table[i].length;
		length +=
			(size_t)sprintf(text + length, "\nhold = %s\n", table[i].right ? "2" : "x");
		if (table[i].right && *table[i].start != 'i')
			length += (size_t)sprintf(text + length, "input = -\n");
		write_config_file(text, length);
		check(read_config(&config, path) == table[i].right, "%s, %zu bytes: %s",
		      table[i].start, table[i].length, capture.text);
		snprintf(start, sizeof(start), "test: error: %s:3: ", path);
		check(is_logged(start, "", "expected") == !table[i].right, "%s", capture.text);
		check(is_logged(start, "too long", "at most 4096 bytes") ==
			      (table[i].length == 4097),
		      "%s", capture.text);
		/* Neither a long comment nor a long line changes the numbers of the lines after it. */
		snprintf(start, sizeof(start), "test: error: %s:4: ", path);
		if (*table[i].start != '[')
			check(is_logged(start, "hold = x", "a whole number") == !table[i].right,
			      "%s", capture.text);
		if (table[i].right)
			check(config.stream_count == 1 && config.streams[0].hold == 2, "no hold");
		config_free(&config);
	}
	point("lines of up to 4096 bytes, comments of any length");
}

/* ---- right files ---- */

static const struct {
	const char *title;
	const char *text;
	size_t length;
	const char *effective[4]; /* lines that are printed */
} right_files[] = {
	{ "defaults",
	  TEXT(STREAM),
	  { "strict = no", "[stream a]", "block-size = 256K", "send-buffer = auto" } },
	{ "input of clients for the source",
	  TEXT("[stream a]\ninput = unix-listen:/s\nlisten = :1\nallow = 10.0.0.0/8\n"
	       "client-input = source\nclient-input-size = 5\n"
	       "[endpoint e]\nstream = a\nlisten = :2\ndeny = 10.0.0.1\nallow = all\n"),
	  { "[endpoint e]", "client-input = source", "client-input-size = 5" } },
	{ "a relay of several origins",
	  TEXT(RELAY "input = tcp://[::1]:2\ninput = unix:/s\nretain = 1M\n"),
	  { "input = http://h:1/", "input = tcp://[::1]:2", "input = unix:/s",
	    "input-format = framed" } },
	{ "comments and empty lines",
	  TEXT("# c\n;c\n\n[stream a] ; c\n  # c\n\t; c\ninput = - ; c\n\n; hold = 3\n"
	       "listen = :7000 ; c\nflush=2s ;c\n"),
	  { "input = -", "listen = :7000", "flush = 2s", "hold = 0" } },
	{ "no comment without a blank before it",
	  TEXT("[stream a]\ninput = exec:ls;ls #x\nlisten = :1\n"),
	  { "input = exec:ls;ls #x" } },
	{ "quotes keep a semicolon, a number sign, quotes and backslashes",
	  TEXT("[stream a]\ninput = \"exec:a ; b # \\\"c\\\" \\. \\\\n\"\nlisten = :1\n"),
	  { "input = \"exec:a ; b # \\\"c\\\" \\. \\n\"" } },
	{ "quotes that are not needed, and a comment behind them",
	  TEXT("[stream a]\ninput = \"exec:a;b\"  ; \"c\"\nlisten = \":1\";\nhold = \"3\"\n"),
	  { "input = exec:a;b", "listen = :1", "hold = 3" } },
	{ "quotes in a value that does not begin with one",
	  TEXT("[stream a]\ninput = exec:sh -c \"a;b\" \\\"\nlisten = :1\n"),
	  { "input = exec:sh -c \"a;b\" \\\"" } },
	{ "a semicolon and a quote at the start of a value",
	  TEXT("[stream a]\ninput = \";\\\"\"\nlisten = :1\n[stream b]\n"
	       "input = \"\\\"\"\nlisten = :2\n"),
	  { "input = \";\\\"\"", "input = \"\\\"\"" } },
	{ "indentation and blanks",
	  TEXT("  [stream a]\t\n\tinput   =   /a b  \n  listen=:1\n      hold\t=\t3   \n"),
	  { "input = /a b", "listen = :1", "hold = 3" } },
	{ "a byte order mark",
	  TEXT("\xef\xbb\xbf[daemon]\nstrict = yes\n" STREAM),
	  { "strict = yes" } },
	{ "a byte order mark before a comment", TEXT("\xef\xbb\xbf# c\n" STREAM), { "input = -" } },
	{ "line ends of DOS",
	  TEXT("[daemon]\r\nstrict = yes\r\n\r\n; c\r\n[stream a]\r\ninput = -\r\n"
	       "listen = :1\r\nflush = 1s ; c\r\n"),
	  { "strict = yes", "[stream a]", "listen = :1", "flush = 1s" } },
	{ "no end of the last line", TEXT(STREAM "hold = 3"), { "hold = 3" } },
	{ "a colon for the equals sign", TEXT(STREAM "hold: 3\n"), { "hold = 3" } },
	{ "an equals sign in a value",
	  TEXT("[stream a]\ninput = exec:a=b c=d\nlisten = :1\n"),
	  { "input = exec:a=b c=d" } },
	{ "several endpoints",
	  TEXT(STREAM "listen = [::1]:7001\nhold = 1\nlisten = localhost:7002\n"),
	  { "listen = :7000", "listen = [::1]:7001", "listen = localhost:7002" } },
	{ "port 0 several times", TEXT(STREAM "listen = :0\nlisten = :0\n"), { "listen = :0" } },
	{ "the same port at other hosts",
	  TEXT(STREAM "listen = a:7001\nlisten = b:7001\n"),
	  { "listen = a:7001", "listen = b:7001" } },
	{ "sockets of the service manager",
	  TEXT(STREAM "listen = systemd:adc\nlisten = systemd:dmacastd.socket\n"),
	  { "listen = systemd:adc", "listen = systemd:dmacastd.socket", "listen = :7000" } },
	{ "several streams",
	  TEXT(STREAM "[stream b]\npattern = 5K/s\nlisten = :1\n[stream c]\ninput = tcp:h:1\n"
		      "listen = :2\n"),
	  { "[stream a]", "[stream b]", "[stream c]", "pattern = 5K/s" } },
	{ "[daemon] at the end",
	  TEXT(STREAM "[daemon]\ndrain-timeout = 0\n"),
	  { "drain-timeout = 0" } },
	{ "an empty [daemon]", TEXT("[daemon]\n" STREAM), { "log-level = info" } },
	{ "a name of 32 letters",
	  TEXT("[stream " NAME_32 "]\ninput = -\nlisten = :1\n"),
	  { "[stream " NAME_32 "]" } },
	{ "blanks before a name",
	  TEXT("[stream    x]\ninput = -\nlisten = :1\n"),
	  { "[stream x]" } },
	{ "the same option in two streams",
	  TEXT(STREAM "hold = 1\n[stream b]\nhold = 2\npattern = max\nlisten = :1\n"),
	  { "hold = 1", "hold = 2", "pattern = max" } },
	{ "the least ring",
	  TEXT(STREAM "block-size = 4K\nring-size = 16K\nlow-water = 2\n"),
	  { "ring-size = 16K", "low-water = 2" } },
	{ "history of all of the ring but low-water",
	  TEXT(STREAM "block-size = 4K\nring-size = 16K\nlow-water = 2\nretain = 8K\n"),
	  { "retain = 8K" } },
	{ "a record of a block",
	  TEXT(STREAM "block-size = 4K\nring-size = 16K\nrecord-size = 4K\n"),
	  { "block-size = 4K", "record-size = 4K" } },
	{ "hold as many as max-clients",
	  TEXT(STREAM "hold = 2\nmax-clients = 2\n"),
	  { "hold = 2", "max-clients = 2" } },
	{ "paths with a colon",
	  TEXT("[stream a]\ninput = ./C:foo\nlisten = :1\n[stream b]\ninput = "
	       "/dev/serial/by-path/pci-0:1\n"
	       "listen = :2\n[stream c]\ninput = a.b:c\nlisten = :3\n"),
	  { "input = ./C:foo", "input = /dev/serial/by-path/pci-0:1", "input = a.b:c" } },
	{ "loop and wait with a path",
	  TEXT("[stream a]\ninput = /x\nlisten = :1\nloop = yes\non-end = wait\n"),
	  { "loop = yes", "on-end = wait" } },
	{ "loop with standard input, which may be a file",
	  TEXT(STREAM "loop = yes\n"),
	  { "loop = yes" } },
	{ "a device",
	  TEXT(DEVICE "on-end = wait\noverrun = stall\ncontiguous = yes\n"),
	  { "device = /dev/x", "on-end = wait", "overrun = stall", "contiguous = yes" } },
	{ "two devices",
	  TEXT(DEVICE "[stream b]\ndevice = /dev/y\nlisten = :1\n"),
	  { "device = /dev/x", "device = /dev/y", "overrun = drop-oldest" } },
	{ "units",
	  TEXT(STREAM "block-size = 65536\nring-size = 1GiB\nflush = 1000us\n"
		      "keepalive = 90s\n"),
	  { "block-size = 64K", "ring-size = 1G", "flush = 1ms", "keepalive = 90s" } },
	{ "records that a device's blocks hold as a whole",
	  TEXT(DEVICE "record-size = 12K\nblock-size = 60K\n"),
	  { "record-size = 12K" } },
	{ "records of a pattern, which fill no block",
	  TEXT("[stream a]\npattern = 1/s\nlisten = :1\nrecord-size = 1000\n"),
	  { "record-size = 1000" } },
	{ "a preamble that is a file",
	  TEXT(STREAM "preamble = \"/a; b\"\n"),
	  { "preamble = /a; b" } },
	{ "an end of records in quotes",
	  TEXT(STREAM "record-end = \"\\r\\n\" ; lines\n"),
	  { "record-end = \\r\\n" } },
	{ "an end of records with a NUL and other bytes",
	  TEXT(STREAM "record-end = \\x0d\\0a\\x001\\t\\xFF\\x41\n"),
	  { "record-end = \\r\\0a\\x001\\t\\xffA" } },
	{ "an end of records with a semicolon, a blank, a quote and a backslash",
	  TEXT(STREAM "record-end = \";\\x20 \\\"\\\\\\\\\"\n"),
	  { "record-end = \";\\x20\\x20\\\"\\\\\\\\\"" } },
	{ "an end of records of 16 bytes",
	  TEXT(STREAM "record-end = 0123456789abcde\\n\n"),
	  { "record-end = 0123456789abcde\\n" } },
};

/* A configuration that is printed and read again is the same. */
static void check_reread(const struct config *config)
{
	char *text = printed_config(config), *again;
	struct config other;

	write_config_file(text, strlen(text));
	check(read_config(&other, path), "%s", capture.text);
	again = printed_config(&other);
	check(!strcmp(text, again), "%s\nread again:\n%s", text, again);
	free(again);
	free(text);
	config_free(&other);
}

static void test_right_files(void)
{
	for (size_t i = 0; i < LENGTH(right_files); i++) {
		struct config config;
		char *text;

		write_config_file(right_files[i].text, right_files[i].length);
		check(read_config(&config, path), "refused");
		check(!*capture.text, "%s", capture.text);
		text = printed_config(&config);
		for (int n = 0; n < 4 && right_files[i].effective[n]; n++) {
			char line[128];

			snprintf(line, sizeof(line), "\n%s\n", right_files[i].effective[n]);
			check(strstr(text, line), "no %s in\n%s", right_files[i].effective[n],
			      text);
		}
		check_reread(&config);
		free(text);
		config_free(&config);
		point("right file: %s", right_files[i].title);
	}
}

/* A command that a comment cuts is worth a warning; a comment behind anything else is not. */
static void test_cut_values(void)
{
	static const struct {
		const char *input;
		bool warned;
	} table[] = {
		{ "exec:rtl_sdr - ; sleep 1", true },	  { "exec:rtl_sdr - ;", true },
		{ "\"exec:rtl_sdr -\" ; c", false },	  { "exec:a; b", false },
		{ "/dev/ttyUSB0 ; the receiver", false },
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct config config;
		char text[128], start[128];
		int length = snprintf(text, sizeof(text), "[stream a]\ninput = %s\nlisten = :1\n",
				      table[i].input);

		write_config_file(text, (size_t)length);
		check(read_config(&config, path), "%s", capture.text);
		snprintf(start, sizeof(start), "test: warning: %s:2: input = exec:", path);
		check(is_logged(start, ": cut at ", "in double quotes") == table[i].warned,
		      "%s: %s", table[i].input, capture.text);
		check(line_count(capture.text) == table[i].warned, "%s", capture.text);
		config_free(&config);
	}
	point("a warning where a command is cut");
}

/* An endpoint may stand before its stream, and has the values of the stream where it sets none. */
static void test_endpoint_sections(void)
{
	static const char text[] =
		"[endpoint one]\nlisten = :1\nlisten = :2\nstream = a\ndscp = EF\n"
		"allow = ::1\n"
		"[stream a]\npattern = max\nlag-policy = disconnect\ncongestion = reno\n"
		"deny = 10.0.0.0/8\nkeepalive = 7s\n"
		"[endpoint two]\nstream = a\nlisten = :3\nkeepalive = 9s\n"
		"lag-policy = latest\n";
	const struct endpoint_settings *one, *two;
	struct config config;

	write_config_file(text, strlen(text));
	if (!check(read_config(&config, path), "%s", capture.text))
		return;
	check(config.stream_count == 1 && config.streams[0].endpoint_count == 2, "another number");
	one = &config.streams[0].endpoints[0];
	two = &config.streams[0].endpoints[1];
	check(!strcmp(one->name, "one") && one->listen.count == 2 && one->client.dscp == 46 &&
		      one->client.lag_policy == LAG_POLICY_DISCONNECT &&
		      !strcmp(one->client.congestion, "reno") && one->client.keepalive == 7000000 &&
		      one->client.access.count == 1 && one->client.access.rule[0].allow,
	      "the first one differs");
	check(!strcmp(two->name, "two") && two->client.dscp == 0 &&
		      two->client.lag_policy == LAG_POLICY_LATEST &&
		      two->client.keepalive == 9000000 && two->client.access.count == 1 &&
		      !two->client.access.rule[0].allow,
	      "the second one differs");
	check_reread(&config);
	config_free(&config);
	point("endpoints stand before or behind their stream, and have its values");
}

/* ---- each option, in a file and on the command line ---- */

#define FIELD_OF(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)

static const struct set {
	const char *name, *text; /* not the default */
	size_t field, size;
	uint64_t value; /* 0: a text */
} set[] = {
	{ "log-level", "debug", FIELD_OF(daemon_settings, log_level), 4 },
	{ "drain-timeout", "1500ms", FIELD_OF(daemon_settings, drain_timeout), 1500000 },
	{ "strict", "yes", FIELD_OF(daemon_settings, strict), true },
	{ "control", "/run/elsewhere/control", FIELD_OF(daemon_settings, control), 0 },
	{ "metrics", "[::1]:9431", FIELD_OF(daemon_settings, metrics), 0 },
	{ "metrics-per-client", "yes", FIELD_OF(daemon_settings, metrics_per_client), true },
	{ "on-end", "wait", FIELD_OF(stream_settings, on_end), ON_END_WAIT },
	{ "stop-timeout", "250ms", FIELD_OF(stream_settings, stop_timeout), 250000 },
	{ "hold", "7", FIELD_OF(stream_settings, hold), 7 },
	{ "on-demand", "yes", FIELD_OF(stream_settings, on_demand), true },
	{ "linger", "1500ms", FIELD_OF(stream_settings, linger), 1500000 },
	{ "flush", "250ms", FIELD_OF(stream_settings, flush), 250000 },
	{ "listen", "localhost:7000", FIELD_OF(stream_settings, listen), 0 },
	{ "listen-when", "available", FIELD_OF(stream_settings, listen_when), LISTEN_AVAILABLE },
	{ "block-size", "8K", FIELD_OF(stream_settings, block_size), 8192 },
	{ "ring-size", "128K", FIELD_OF(stream_settings, ring_size), 131072 },
	{ "low-water", "3", FIELD_OF(stream_settings, low_water), 3 },
	{ "lag-policy", "disconnect", FIELD_OF(stream_settings, client.lag_policy),
	  LAG_POLICY_DISCONNECT },
	{ "lag-limit", "64K", FIELD_OF(stream_settings, client.lag_limit), 0 },
	{ "zerocopy", "never", FIELD_OF(stream_settings, client.zerocopy), ZEROCOPY_NEVER },
	{ "format", "framed", FIELD_OF(stream_settings, client.format), FORMAT_FRAMED },
	{ "start", "-10s", FIELD_OF(stream_settings, client.start), 0 },
	{ "retain", "96K", FIELD_OF(stream_settings, retain), 0 },
	{ "request-timeout", "3s", FIELD_OF(stream_settings, client.request_timeout), 3000000 },
	{ "meta", "site=here", FIELD_OF(stream_settings, meta), 0 },
	{ "preamble", "4K", FIELD_OF(stream_settings, preamble), 0 },
	{ "max-clients", "99", FIELD_OF(stream_settings, client.max_clients), 99 },
	{ "max-clients-per-address", "5", FIELD_OF(stream_settings, client.max_clients_per_address),
	  5 },
	{ "connect-rate", "11", FIELD_OF(stream_settings, client.connect_rate), 11 },
	{ "allow", "10.0.0.0/8,::1", FIELD_OF(stream_settings, client.access), 0 },
	{ "deny", "10.1.0.0/16", FIELD_OF(stream_settings, client.access), 0 },
	{ "max-rate", "3M/s", FIELD_OF(stream_settings, client.max_rate), 3145728 },
	{ "send-buffer", "1M", FIELD_OF(stream_settings, client.send_buffer), 1048576 },
	{ "notsent-lowat", "12K", FIELD_OF(stream_settings, client.notsent_lowat), 12288 },
	{ "socket-memory", "24M", FIELD_OF(stream_settings, client.socket_memory), 25165824 },
	{ "half-close", "end", FIELD_OF(stream_settings, client.half_close), HALF_CLOSE_END },
	{ "client-input-size", "5", FIELD_OF(stream_settings, client.input_size), 5 },
	{ "keepalive", "3m", FIELD_OF(stream_settings, client.keepalive), 180000000 },
	{ "user-timeout", "2h", FIELD_OF(stream_settings, client.user_timeout), 7200000000 },
	{ "congestion", "reno", FIELD_OF(stream_settings, client.congestion), 0 },
	{ "dscp", "AF41", FIELD_OF(stream_settings, client.dscp), 34 },
	{ "interface", "lo", FIELD_OF(stream_settings, client.interface), 0 },
	{ "backlog", "77", FIELD_OF(stream_settings, client.backlog), 77 },
	{ "reuse-port", "yes", FIELD_OF(stream_settings, client.reuse_port), true },
	/* With an input: */
	{ "input", "/some/file", FIELD_OF(stream_settings, input), 0 },
	{ "loop", "yes", FIELD_OF(stream_settings, loop), true },
	{ "baud", "115200", FIELD_OF(stream_settings, baud), 115200 },
	{ "input-timeout", "9s", FIELD_OF(stream_settings, input_timeout), 9000000 },
	{ "huge-pages", "require", FIELD_OF(stream_settings, huge_pages), HUGE_PAGES_REQUIRE },
	{ "record-end", "\\r\\n", FIELD_OF(stream_settings, record_end), 0 },
	/* With a device: */
	{ "device", "/dev/dmacast/some", FIELD_OF(stream_settings, device), 0 },
	{ "overrun", "stall", FIELD_OF(stream_settings, overrun), OVERRUN_STALL },
	{ "contiguous", "yes", FIELD_OF(stream_settings, contiguous), true },
	{ "record-size", "2K", FIELD_OF(stream_settings, record_size), 2048 },
	/* With neither: */
	{ "pattern", "10M/s", FIELD_OF(stream_settings, pattern), 10485760 },
	{ "pattern-form", "resident", FIELD_OF(stream_settings, pattern_form), PATTERN_RESIDENT },
	/* With an origin: */
	{ "input-format", "framed", FIELD_OF(stream_settings, input_format), INPUT_FRAMED },
	/* With a command: */
	{ "client-input", "source", FIELD_OF(stream_settings, client.input), CLIENT_INPUT_SOURCE },
};

/* The options of `set` that exclude each other: those from these indices on. */
#define PATTERN (LENGTH(set) - 4)
#define DEVICE_FIRST (PATTERN - 4)
#define INPUT_FIRST (DEVICE_FIRST - 6)

static bool goes_with(size_t i, bool device)
{
	return i < INPUT_FIRST || (device ? i >= DEVICE_FIRST && i < PATTERN : i < DEVICE_FIRST);
}

static const struct option_definition *find_option(const char *name)
{
	const struct option_definition *option = option_find(OPTION_DAEMON, name);

	return option ? option : option_find(OPTION_STREAM, name);
}

static void check_value(const struct config *config, const struct set *expected)
{
	const struct option_definition *option = find_option(expected->name);
	const void *settings = option->scope == OPTION_DAEMON ? (const void *)&config->daemon
							      : (const void *)config->streams;
	const void *field = (const char *)settings + expected->field;
	uint64_t value = 0;

	if (!expected->value)
		return;
	if (expected->size == sizeof(bool))
		value = *(const bool *)field;
	else if (expected->size == sizeof(unsigned int))
		value = *(const unsigned int *)field;
	else if (expected->size == sizeof(uint64_t))
		value = *(const uint64_t *)field;
	check(value == expected->value, "%s = %s is %" PRIu64, expected->name, expected->text,
	      value);
}

/* Write the options of `set` to the file. */
static void write_set(bool device)
{
	char text[4096] = "";

	for (int scope = OPTION_DAEMON; scope <= OPTION_STREAM; scope++) {
		strcat(text, scope == OPTION_DAEMON ? "[daemon]\n" : "[stream a]\n");
		for (size_t i = 0; i < LENGTH(set); i++) {
			const struct option_definition *option = find_option(set[i].name);

			if (!goes_with(i, device) || (int)option->scope != scope)
				continue;
			sprintf(text + strlen(text), option->type->keyed ? "%s.%s\n" : "%s = %s\n",
				set[i].name, set[i].text);
		}
	}
	write_config_file(text, strlen(text));
}

/* Of a command line, at most. */
#define MAX_WORDS 256

static enum arguments_outcome parse_arguments(const char *line, struct config *config);

static void test_options_with(bool device)
{
	char line[4096] = "--check --name a", *from_file, *from_line;
	struct config config;
	const char *source;

	write_set(device);
	if (!check(read_config(&config, path), "%s", capture.text))
		return;
	for (size_t i = 0; i < LENGTH(set); i++) {
		if (goes_with(i, device))
			check_value(&config, &set[i]);
	}
	source = device ? config.streams[0].device : config.streams[0].input.first;
	check(!strcmp(source, device ? "/dev/dmacast/some" : "/some/file"), "%s", source);
	check(config.streams[0].listen.count == 1 &&
		      !strcmp(config.streams[0].listen.item[0], "localhost:7000"),
	      "another endpoint");
	from_file = printed_config(&config);
	check_reread(&config);
	config_free(&config);
	point("each option of a stream of %s in a file", device ? "a device" : "an input");

	for (size_t i = 0; i < LENGTH(set); i++) {
		if (goes_with(i, device))
			sprintf(line + strlen(line), " --%s %s", set[i].name, set[i].text);
	}
	check(parse_arguments(line, &config) == ARGUMENTS_CHECK, "%s", capture.text);
	from_line = printed_config(&config);
	check(!strcmp(from_file, from_line), "%s\nfrom the command line:\n%s", from_file,
	      from_line);
	config_free(&config);
	point("the same options on the command line make the same configuration");
	free(from_file);
	free(from_line);
}

static void test_every_option(void)
{
	struct config config;

	for (size_t i = 0; i < option_count; i++) {
		const char *text = NULL;

		if (option_table[i].scope == OPTION_ENDPOINT)
			continue;
		for (size_t s = 0; s < LENGTH(set); s++) {
			if (!strcmp(set[s].name, option_table[i].name))
				text = set[s].text;
		}
		check(text, "%s is missing in this test", option_table[i].name);
		check(text && (!option_table[i].default_text ||
			       strcmp(text, option_table[i].default_text)),
		      "%s is its default", option_table[i].name);
	}
	point("this test sets each option to another value than the default");
	test_options_with(false);
	test_options_with(true);

	check(parse_arguments("--pattern 10M/s --pattern-form resident --listen :1 --listen :2",
			      &config) == ARGUMENTS_RUN,
	      "%s", capture.text);
	check_value(&config, &set[PATTERN]);
	check_value(&config, &set[PATTERN + 1]);
	check(!config.streams[0].input.first && config.streams[0].listen.count == 2,
	      "other options");
	check(!strcmp(config.streams[0].name, "main"), "called %s", config.streams[0].name);
	check_reread(&config);
	config_free(&config);
	point("a pattern, several endpoints and the default name on the command line");
}

/* ---- command lines ---- */

/* @line: arguments with one blank between them; FILE stands for the path of the file. */
static enum arguments_outcome parse_arguments(const char *line, struct config *config)
{
	enum arguments_outcome outcome;
	char *text = strdup(line), *rest = text, *argv[MAX_WORDS] = { strdup("dmacastd") };
	int argc = 1;

	for (char *word; *text && (word = strsep(&rest, " "));) {
		assert(argc < MAX_WORDS);
		argv[argc++] = strcmp(word, "FILE") ? word : path;
	}
	config_init(config);
	capture_begin(&capture, STDERR_FILENO);
	outcome = arguments_parse(argc, argv, config);
	capture_end(&capture);
	free(argv[0]);
	free(text);
	return outcome;
}

static const struct {
	const char *line, *key, *right;
	unsigned int errors; /* 0: one */
} wrong_lines[] = {
	{ "", "nothing to do", "-c FILE, or --input INPUT --listen HOST:PORT", 0 },
	{ "--check", "nothing to do", "-c FILE", 0 },
	{ "--strict yes", "nothing to do", "-c FILE", 0 },
	{ "--bogus", "--bogus: unknown", "dmacastd --help", 0 },
	{ "--bogus=1 --check", "--bogus=1: unknown", "dmacastd --help", 0 },
	{ "-x", "-x: unknown", "dmacastd --help", 0 },
	{ "--input - --listen :1 --verbose=3", "--verbose=3: ", "no value", 0 },
	{ "--input - --listen :1 --check=1", "--check=1: ", "no value", 0 },
	{ "--input - --listen :1 --name a --name b", "--name b: set before", "once", 0 },
	{ "-vz -c FILE", "-z: unknown", "dmacastd --help", 0 },
	{ "--max-c 1", "--max-c: unknown or ambiguous", "dmacastd --help", 2 },
	{ "-c", "-c: ", "a value after it", 0 },
	{ "--config", "--config: ", "a value after it", 0 },
	{ "--listen :1 --input", "--input: ", "a value after it", 0 },
	{ "--input - --listen :1 --name", "--name: ", "a value after it", 0 },
	{ "--input - --listen :1 more", "more: unexpected", "dmacastd --help", 0 },
	{ "more --input - --listen :1", "more: unexpected", "dmacastd --help", 0 },
	{ "--input - --listen :1 -- --hold", "--hold: unexpected", "dmacastd --help", 0 },
	{ "-", "-: unexpected", "dmacastd --help", 0 },
	{ "-c FILE -c FILE", "-c ", "only one configuration file", 0 },
	{ "-c /dev/null/none", "/dev/null/none: ", "expected a configuration file", 0 },
	{ "-c /dev/null", "/dev/null is a device", "a regular file", 0 },
	{ "-c FILE --input -", "--input: ", "either -c FILE or the options of a stream", 0 },
	{ "--listen :1 -c FILE", "--listen: ", "either -c FILE or the options of a stream", 0 },
	{ "-c FILE --name x", "--name: ", "no -c FILE", 0 },
	{ "--name a/b --input - --listen :1", "--name a/b: ", "1 to 32 letters", 0 },
	{ "--name= --input - --listen :1", "--name : ", "1 to 32 letters", 0 },
	{ "--name " NAME_32 "x --input - --listen :1", "--name " NAME_32 "x: ", "1 to 32", 0 },
	{ "--input - --input - --listen :1", "[stream main] input = -: a second input",
	  "expected one", 0 },
	{ "--input - --listen :1 --strict no --strict no", "--strict no: set before", "once", 0 },
	{ "--input= --listen :1", "--input : ", "-, a path, unix:PATH", 0 },
	{ "--input - --listen 1", "--listen 1: ", "HOST:PORT", 0 },
	{ "--input - --listen :1 --meta a=1 --meta a=2", "--meta a=2: ", "each KEY once", 0 },
	{ "--input - --listen :1 --meta site", "--meta site: ", "a KEY of 1 to 64 letters", 0 },
	{ "--input - --listen :1 --hold x", "--hold x: ", "a whole number, from 0 to 100000", 0 },
	{ "--input - --listen :1 --log-level loud", "--log-level loud: ", "one of error, warning",
	  0 },
	{ "--input -", "command line: [stream main]", "at least one listen = HOST:PORT", 0 },
	{ "--name x --listen :1", "command line: [stream x]", "input, pattern or device", 0 },
	{ "--input - --pattern max --listen :1", "two sources", "either input, pattern or device",
	  0 },
	{ "--device adc --listen :1", "--device adc: ", "an absolute path", 0 },
	{ "--device /dev/x --listen :1 --overrun drop",
	  "--overrun drop: ", "one of drop-oldest, stall", 0 },
	{ "--input - --listen :1 --listen :1", "listen = :1: taken", "another address", 0 },
	{ "--bogus --strict maybe --hold x", "--hold x: ", "a whole number", 3 },
};

static void test_wrong_lines(void)
{
	write_config_file(TEXT(STREAM));
	for (size_t i = 0; i < LENGTH(wrong_lines); i++) {
		unsigned int errors = wrong_lines[i].errors ? wrong_lines[i].errors : 1;
		struct config config;

		check(parse_arguments(wrong_lines[i].line, &config) == ARGUMENTS_WRONG, "taken");
		check(is_logged("test: error: ", wrong_lines[i].key, wrong_lines[i].right), "%s",
		      capture.text);
		check(line_count(capture.text) == errors, "expected %u errors: %s", errors,
		      capture.text);
		config_free(&config);
		point("wrong command line: %s",
		      *wrong_lines[i].line ? wrong_lines[i].line : "none");
	}
}

static void test_file_and_line(void)
{
	struct config config;

	write_config_file(TEXT("[daemon]\nstrict = yes\ndrain-timeout = 1s\n" STREAM));
	check(parse_arguments("--drain-timeout 2s -c FILE", &config) == ARGUMENTS_RUN, "%s",
	      capture.text);
	check(config.daemon.strict && config.daemon.drain_timeout == 2000000, "%d, %" PRIu64,
	      config.daemon.strict, config.daemon.drain_timeout);
	check(config.stream_count == 1 && !strcmp(config.streams[0].name, "a"), "another stream");
	config_free(&config);
	check(parse_arguments("--check --config FILE", &config) == ARGUMENTS_CHECK, "%s",
	      capture.text);
	config_free(&config);
	point("options of the daemon replace those of the file");
}

static void test_verbosity(void)
{
	static const struct {
		const char *line;
		enum log_level last; /* least important level that is logged */
	} table[] = {
		{ "-c FILE", LOG_LEVEL_INFO },
		{ "-c FILE -v", LOG_LEVEL_DEBUG },
		{ "-vvv -c FILE", LOG_LEVEL_DEBUG },
		{ "-c FILE -q", LOG_LEVEL_WARNING },
		{ "-c FILE --quiet --quiet", LOG_LEVEL_ERROR },
		{ "-c FILE -qqqq", LOG_LEVEL_ERROR },
		{ "-c FILE -vq", LOG_LEVEL_INFO },
		{ "-c FILE --log-level error", LOG_LEVEL_ERROR },
		{ "-c FILE --log-level notice", LOG_LEVEL_NOTICE },
		{ "-c FILE --log-level notice --verbose", LOG_LEVEL_INFO },
		{ "-c FILE --log-level debug -q", LOG_LEVEL_WARNING },
	};

	write_config_file(TEXT(STREAM));
	for (size_t i = 0; i < LENGTH(table); i++) {
		struct config config;
		unsigned int lines;

		check(parse_arguments(table[i].line, &config) == ARGUMENTS_RUN, "%s", capture.text);
		log_set_level(config.log_level);
		config_free(&config);
		capture_begin(&capture, STDERR_FILENO);
		for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
			log_message((enum log_level)level, "text");
		lines = line_count(capture_end(&capture));
		check(lines == table[i].last - LOG_LEVEL_ERROR + 1, "%s: %u levels", table[i].line,
		      lines);
	}
	log_set_level(LOG_LEVEL_INFO);
	point("log-level, -v and -q");
}

static void test_help_and_version(void)
{
	static struct capture output;
	struct config config;
	enum arguments_outcome outcome;

	capture_begin(&output, STDOUT_FILENO);
	outcome = parse_arguments("--help", &config);
	capture_end(&output);
	check(outcome == ARGUMENTS_DONE, "%d", outcome);
	check(!*capture.text, "%s", capture.text);
	for (size_t i = 0; i < option_count; i++) {
		char text[128];

		if (option_table[i].scope == OPTION_ENDPOINT)
			continue;
		snprintf(text, sizeof(text), "\n  --%s ", option_table[i].name);
		check(strstr(output.text, text), "no %s", option_table[i].name);
		check(strstr(output.text, option_table[i].help), "no help of %s",
		      option_table[i].name);
	}
	config_free(&config);
	point("--help names each option");

	capture_begin(&output, STDOUT_FILENO);
	outcome = parse_arguments("-V", &config);
	capture_end(&output);
	check(outcome == ARGUMENTS_DONE, "%d", outcome);
	check(!strcmp(output.text, "dmacastd " DMACAST_VERSION "\n"), "%s", output.text);
	config_free(&config);
	point("--version");
}

int main(void)
{
	if (!mkdtemp(directory))
		err(1, "%s", directory);
	snprintf(path, sizeof(path), "%s/conf", directory);
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	test_wrong_files();
	test_same_terminal();
	test_wrong_values();
	test_no_file();
	test_endpoint_sections();
	test_endless_files();
	test_large_files();
	test_many_errors();
	test_config_bounds();
	test_access_bound();
	test_many_lines();
	test_long_config_lines();
	test_right_files();
	test_cut_values();
	test_every_option();
	test_wrong_lines();
	test_file_and_line();
	test_verbosity();
	test_help_and_version();
	unlink(path);
	rmdir(directory);
	return tap_end();
}
