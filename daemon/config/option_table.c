// SPDX-License-Identifier: BSD-2-Clause
#include "config/option_table.h"

#include "lib/endpoint.h"
#include "lib/input.h"
#include "lib/settings.h"
#include "lib/units.h"

#include <bsd/string.h>
#include <ctype.h>
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define MILLISECOND 1000ULL
#define SECOND 1000000ULL
#define HOUR (3600 * SECOND)

static const char *const log_level_words[] = {
	"error", "warning", "notice", "info", "debug", NULL
};
static const char *const on_end_words[] = { "auto", "close", "wait", NULL };
static const char *const overrun_words[] = { "drop-oldest", "stall", NULL };
static const char *const huge_pages_words[] = { "auto", "never", "require", NULL };
static const char *const pattern_form_words[] = { "offsets", "stamped", "resident", NULL };
static const char *const lag_policy_words[] = { "drop", "disconnect", "block", NULL };
static const char *const zerocopy_words[] = { "auto", "always", "never", NULL };

#define DAEMON(option_name, field_name, option_type)                      \
	.name = option_name, .scope = OPTION_DAEMON, .type = option_type, \
	.field = offsetof(struct daemon_settings, field_name)
#define STREAM(option_name, field_name, option_type)                      \
	.name = option_name, .scope = OPTION_STREAM, .type = option_type, \
	.field = offsetof(struct stream_settings, field_name)

const struct option_definition option_table[] = {
	{ DAEMON("log-level", log_level, OPTION_CHOICE), .effect = OPTION_AT_ONCE, .preset = "info",
	  .choices = log_level_words, .help = "the least important message that is logged" },
	{ DAEMON("drain-timeout", drain_timeout, OPTION_DURATION), .effect = OPTION_AT_ONCE,
	  .preset = "5s", .maximum = HOUR,
	  .help = "how long clients may take to get the rest when stopping" },
	{ DAEMON("strict", strict, OPTION_BOOL), .effect = OPTION_AT_ONCE, .preset = "no",
	  .help = "refuse to start where the kernel may complete zero-copy sends early" },
	{ DAEMON("control", control, OPTION_PATH), .help = "Unix socket for dmacastctl" },
	{ DAEMON("metrics", metrics, OPTION_ADDRESS),
	  .help = "serve /metrics and /status.json by HTTP there; :PORT: on the loopback only" },
	{ DAEMON("metrics-per-client", metrics_per_client, OPTION_BOOL), .preset = "no",
	  .help = "show each client there, not only all clients of a stream together" },

	{ STREAM("input", input, OPTION_INPUT),
	  .help = "source: - (standard input), a path, unix:PATH, tcp:HOST:PORT, exec:COMMAND" },
	{ STREAM("pattern", pattern, OPTION_RATE), .minimum = 1, .maximum = UNITS_RATE_MAX,
	  .help = "source: checkable data at this rate, instead of an input" },
	{ STREAM("pattern-form", pattern_form, OPTION_CHOICE), .preset = "offsets",
	  .choices = pattern_form_words,
	  .help = "for benchmarks: blocks with a time stamp; or in memory but for that" },
	{ STREAM("device", device, OPTION_PATH),
	  .help = "source: the kernel ring of dmacast.ko, such as /dev/dmacast/adc" },
	{ STREAM("loop", loop, OPTION_BOOL), .preset = "no",
	  .help = "start a regular file again at its end" },
	{ STREAM("on-end", on_end, OPTION_CHOICE), .preset = "auto", .choices = on_end_words,
	  .help = "at the source's end: close the stream, or wait for the source to come back" },
	{ STREAM("hold", hold, OPTION_COUNT), .effect = OPTION_AT_ONCE, .preset = "0",
	  .maximum = 100000, .help = "start to read only when so many clients are there" },
	{ STREAM("flush", flush, OPTION_DURATION), .effect = OPTION_AT_ONCE, .preset = "100ms",
	  .minimum = MILLISECOND, .maximum = HOUR,
	  .help = "hand a part-filled block on so long after its first byte" },
	{ STREAM("overrun", overrun, OPTION_CHOICE), .preset = "drop-oldest",
	  .choices = overrun_words,
	  .help = "of a device without a free block: lose the oldest one not read, or stall it" },
	{ STREAM("contiguous", contiguous, OPTION_BOOL), .preset = "no",
	  .help = "each block of a device's ring in one physically contiguous piece" },
	{ STREAM("listen", listen, OPTION_LISTEN), .effect = OPTION_AT_ONCE,
	  .help = "endpoint for clients, or systemd:NAME; may be given several times" },
	{ STREAM("block-size", block_size, OPTION_SIZE), .preset = "256K", .minimum = 4 * KIB,
	  .maximum = 64 * MIB, .help = "unit of recycling; a multiple of the page size" },
	{ STREAM("ring-size", ring_size, OPTION_SIZE), .preset = "16M", .minimum = 16 * KIB,
	  .maximum = 1024 * GIB, .help = "memory of all blocks together" },
	{ STREAM("low-water", low_water, OPTION_COUNT), .effect = OPTION_AT_ONCE, .preset = "auto",
	  .has_auto = true, .minimum = 1, .maximum = 1000000,
	  .help = "free blocks at which the slowest client gives way" },
	{ STREAM("huge-pages", huge_pages, OPTION_CHOICE), .preset = "auto",
	  .choices = huge_pages_words, .help = "use huge pages for the ring" },
	{ STREAM("lag-policy", lag_policy, OPTION_CHOICE), .effect = OPTION_AT_ONCE,
	  .preset = "drop", .choices = lag_policy_words,
	  .help = "what happens to a client that is too slow" },
	{ STREAM("zerocopy", zerocopy, OPTION_CHOICE), .effect = OPTION_NEW_CLIENTS,
	  .preset = "auto", .choices = zerocopy_words, .help = "send with MSG_ZEROCOPY" },
	{ STREAM("max-clients", max_clients, OPTION_COUNT), .effect = OPTION_AT_ONCE,
	  .preset = "4096", .minimum = 1, .maximum = 100000, .help = "clients at the same time" },
	{ STREAM("max-clients-per-address", max_clients_per_address, OPTION_COUNT),
	  .effect = OPTION_AT_ONCE, .preset = "0", .maximum = 100000,
	  .help = "clients at the same time from one address; 0: no limit" },
	{ STREAM("send-buffer", send_buffer, OPTION_SIZE), .effect = OPTION_NEW_CLIENTS,
	  .preset = "auto", .has_auto = true, .minimum = 4 * KIB, .maximum = 1 * GIB,
	  .help = "socket send buffer of each client" },
	{ STREAM("notsent-lowat", notsent_lowat, OPTION_SIZE), .effect = OPTION_NEW_CLIENTS,
	  .preset = "auto", .has_auto = true, .minimum = 4 * KIB, .maximum = 1 * GIB,
	  .help = "bytes a socket may hold that are not sent yet" },
	{ STREAM("keepalive", keepalive, OPTION_DURATION), .effect = OPTION_NEW_CLIENTS,
	  .preset = "30s", .maximum = 9 * HOUR,
	  .help = "probe a silent client after so long; 0: never" },
	{ STREAM("user-timeout", user_timeout, OPTION_DURATION), .effect = OPTION_NEW_CLIENTS,
	  .preset = "60s", .maximum = 9 * HOUR,
	  .help = "end a client that acknowledges nothing for so long; 0: the kernel's own" },
};

const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

const struct option_definition *option_find(enum option_scope scope, const char *name)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].scope == scope && !strcmp(option_table[i].name, name))
			return &option_table[i];
	}
	return NULL;
}

static const char *format_number(const struct option_definition *option, uint64_t number,
				 char text[UNITS_TEXT])
{
	switch (option->type) {
	case OPTION_SIZE:
		return units_format_size(number, text);
	case OPTION_DURATION:
		return units_format_duration(number, text);
	case OPTION_RATE:
		return units_format_rate(number, text);
	default:
		snprintf(text, UNITS_TEXT, "%" PRIu64, number);
		return text;
	}
}

static bool parse_number(const struct option_definition *option, const char *text, uint64_t *number)
{
	switch (option->type) {
	case OPTION_SIZE:
		return units_parse_size(text, number);
	case OPTION_DURATION:
		return units_parse_duration(text, number);
	case OPTION_RATE:
		return units_parse_rate(text, number);
	default:
		return units_parse_count(text, number);
	}
}

static bool set_number(const struct option_definition *option, uint64_t *field, const char *text,
		       char expected[OPTION_ERROR_TEXT])
{
	static const char *const example[] = {
		[OPTION_COUNT] = "a whole number",
		[OPTION_SIZE] = "a size such as 256K or 4M",
		[OPTION_DURATION] = "a duration such as 500ms or 10s",
		[OPTION_RATE] = "a rate such as 100M/s, or max",
	};
	char low[UNITS_TEXT], high[UNITS_TEXT];
	uint64_t number;

	if (option->has_auto && !strcmp(text, "auto")) {
		*field = SETTING_AUTO;
		return true;
	}
	if (parse_number(option, text, &number) && number >= option->minimum &&
	    number <= option->maximum) {
		*field = number;
		return true;
	}
	snprintf(expected, OPTION_ERROR_TEXT, "%s, from %s to %s%s", example[option->type],
		 format_number(option, option->minimum, low),
		 format_number(option, option->maximum, high), option->has_auto ? ", or auto" : "");
	return false;
}

static bool set_choice(const struct option_definition *option, unsigned int *field,
		       const char *text, char expected[OPTION_ERROR_TEXT])
{
	for (unsigned int i = 0; option->choices[i]; i++) {
		if (!strcmp(option->choices[i], text)) {
			*field = i;
			return true;
		}
	}
	strlcpy(expected, "one of", OPTION_ERROR_TEXT);
	for (unsigned int i = 0; option->choices[i]; i++) {
		strlcat(expected, i ? ", " : " ", OPTION_ERROR_TEXT);
		strlcat(expected, option->choices[i], OPTION_ERROR_TEXT);
	}
	return false;
}

static bool set_bool(bool *field, const char *text, char expected[OPTION_ERROR_TEXT])
{
	*field = !strcmp(text, "yes");
	if (*field || !strcmp(text, "no"))
		return true;
	strlcpy(expected, "yes or no", OPTION_ERROR_TEXT);
	return false;
}

static char *must_copy(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		err(1, "configuration");
	return copy;
}

/* What is printed is to be read again. */
static bool is_one_line(const char *text, char expected[OPTION_ERROR_TEXT])
{
	for (const char *p = text; *p; p++) {
		if (iscntrl((unsigned char)*p)) {
			strlcpy(expected, "no control characters", OPTION_ERROR_TEXT);
			return false;
		}
	}
	if (*text &&
	    (isspace((unsigned char)*text) || isspace((unsigned char)text[strlen(text) - 1]))) {
		strlcpy(expected, "no blank at either end", OPTION_ERROR_TEXT);
		return false;
	}
	return true;
}

static void replace_text(char **field, const char *text)
{
	free(*field);
	*field = must_copy(text);
}

static bool set_input(char **field, const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct input input;
	const char *wrong;

	if (!is_one_line(text, expected))
		return false;
	if (!input_parse(text, &input, &wrong)) {
		strlcpy(expected, wrong, OPTION_ERROR_TEXT);
		return false;
	}
	replace_text(field, text);
	return true;
}

static bool set_path(char **field, const char *text, char expected[OPTION_ERROR_TEXT])
{
	if (!is_one_line(text, expected))
		return false;
	if (*text != '/' || text[1] == '\0') {
		strlcpy(expected, "an absolute path such as /dev/dmacast/adc", OPTION_ERROR_TEXT);
		return false;
	}
	replace_text(field, text);
	return true;
}

static bool set_address(char **field, const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct address address;
	const char *wrong;

	if (!address_parse(text, &address, &wrong)) {
		strlcpy(expected, wrong, OPTION_ERROR_TEXT);
		return false;
	}
	replace_text(field, text);
	return true;
}

static bool add_listen(struct text_list *list, const char *text, char expected[OPTION_ERROR_TEXT])
{
	struct endpoint endpoint;
	const char *wrong;
	char **item;

	if (!endpoint_parse(text, &endpoint, &wrong)) {
		strlcpy(expected, wrong, OPTION_ERROR_TEXT);
		return false;
	}
	item = reallocarray(list->item, list->count + 1, sizeof(*item));
	if (!item)
		err(1, "configuration");
	list->item = item;
	list->item[list->count++] = must_copy(text);
	return true;
}

bool option_set(const struct option_definition *option, void *settings, const char *text,
		char expected[OPTION_ERROR_TEXT])
{
	void *field = (char *)settings + option->field;

	switch (option->type) {
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_RATE:
		return set_number(option, field, text, expected);
	case OPTION_BOOL:
		return set_bool(field, text, expected);
	case OPTION_CHOICE:
		return set_choice(option, field, text, expected);
	case OPTION_INPUT:
		return set_input(field, text, expected);
	case OPTION_PATH:
		return set_path(field, text, expected);
	case OPTION_ADDRESS:
		return set_address(field, text, expected);
	case OPTION_LISTEN:
		return add_listen(field, text, expected);
	}
	return false;
}

void option_set_presets(enum option_scope scope, void *settings)
{
	char expected[OPTION_ERROR_TEXT];

	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (option->scope == scope && option->preset &&
		    !option_set(option, settings, option->preset, expected))
			errx(1, "default of %s: expected %s", option->name, expected);
	}
}

static size_t plain_size(enum option_type type)
{
	if (type == OPTION_BOOL)
		return sizeof(bool);
	return type == OPTION_CHOICE ? sizeof(unsigned int) : sizeof(uint64_t);
}

static bool same_list(const struct text_list *a, const struct text_list *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = !strcmp(a->item[i], b->item[i]);
	return same;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_value(const struct option_definition *option, const void *a, const void *b)
{
	switch (option->type) {
	case OPTION_INPUT:
	case OPTION_PATH:
	case OPTION_ADDRESS:
		return same_text(*(char *const *)a, *(char *const *)b);
	case OPTION_LISTEN:
		return same_list(a, b);
	default:
		return !memcmp(a, b, plain_size(option->type));
	}
}

bool option_changes(enum option_scope scope, unsigned int effects, const void *a, const void *b,
		    char names[OPTION_NAMES_TEXT])
{
	names[0] = '\0';
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];

		if (option->scope != scope || !(effects & OPTION_EFFECT(option->effect)) ||
		    same_value(option, (const char *)a + option->field,
			       (const char *)b + option->field))
			continue;
		strlcat(names, *names ? ", " : "", OPTION_NAMES_TEXT);
		strlcat(names, option->name, OPTION_NAMES_TEXT);
	}
	return *names;
}

void option_print(const struct option_definition *option, const void *settings, FILE *file)
{
	const void *field = (const char *)settings + option->field;
	const struct text_list *list;
	const char *value = NULL;
	char text[UNITS_TEXT];
	uint64_t number;

	switch (option->type) {
	case OPTION_COUNT:
	case OPTION_SIZE:
	case OPTION_DURATION:
	case OPTION_RATE:
		number = *(const uint64_t *)field;
		if (option->has_auto && number == SETTING_AUTO)
			value = "auto";
		else if (option->preset || number)
			value = format_number(option, number, text);
		break;
	case OPTION_BOOL:
		value = *(const bool *)field ? "yes" : "no";
		break;
	case OPTION_CHOICE:
		value = option->choices[*(const unsigned int *)field];
		break;
	case OPTION_INPUT:
	case OPTION_PATH:
	case OPTION_ADDRESS:
		value = *(char *const *)field;
		break;
	case OPTION_LISTEN:
		list = field;
		for (size_t i = 0; i < list->count; i++)
			fprintf(file, "%s = %s\n", option->name, list->item[i]);
		return;
	}
	if (value)
		fprintf(file, "%s = %s\n", option->name, value);
}

void option_describe_value(const struct option_definition *option, FILE *file)
{
	static const char *const word[] = {
		[OPTION_COUNT] = "N",		[OPTION_SIZE] = "SIZE",
		[OPTION_DURATION] = "DURATION", [OPTION_RATE] = "RATE",
		[OPTION_BOOL] = "yes|no",	[OPTION_INPUT] = "INPUT",
		[OPTION_PATH] = "PATH",		[OPTION_ADDRESS] = "HOST:PORT",
		[OPTION_LISTEN] = "HOST:PORT",
	};

	if (option->type != OPTION_CHOICE) {
		fputs(word[option->type], file);
		return;
	}
	for (unsigned int i = 0; option->choices[i]; i++)
		fprintf(file, "%s%s", i ? "|" : "", option->choices[i]);
}
