// SPDX-License-Identifier: BSD-2-Clause
/* The option table: what its users rely on. */
#include "config/option_table.h"
#include "lib/settings.h"
#include "lib/units.h"

#include "tap.h"

#include <stdlib.h>
#include <string.h>

static bool is_number(const struct option_definition *option)
{
	return option->type->parse_number;
}

static const enum option_scope scopes[] = { OPTION_DAEMON, OPTION_STREAM, OPTION_ENDPOINT };

/* Settings of any scope. */
union any_settings {
	struct stream_settings stream;
	struct daemon_settings daemon;
	struct endpoint_settings endpoint;
};

static size_t size_of(enum option_scope scope)
{
	if (scope == OPTION_ENDPOINT)
		return sizeof(struct endpoint_settings);
	return scope == OPTION_DAEMON ? sizeof(struct daemon_settings)
				      : sizeof(struct stream_settings);
}

static size_t field_of(const struct option_definition *option, enum option_scope scope)
{
	return scope == OPTION_ENDPOINT ? option->endpoint_field : option->field;
}

static bool is_rule(const struct option_definition *option)
{
	return option->type == &option_type_allow || option->type == &option_type_deny;
}

static void test_names(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		size_t same = 0;

		check(*option->name && strspn(option->name, "abcdefghijklmnopqrstuvwxyz-") ==
					       strlen(option->name),
		      "%s", option->name);
		/* Also across the scopes: the command line has options of both. */
		for (size_t j = 0; j < option_count; j++)
			same += !strcmp(option->name, option_table[j].name);
		check(same == 1, "%zu are called %s", same, option->name);
		for (size_t j = 0; j < 3; j++)
			check(!option_find(scopes[j], option->name) ==
				      !option_is_in(option, scopes[j]),
			      "%s in scope %zu", option->name, j);
		check(option_is_in(option, option->scope), "%s is not in its scope", option->name);
		check(!option->in_endpoint || option->scope != OPTION_DAEMON,
		      "%s is in scopes of different kinds", option->name);
	}
	check(!option_find(OPTION_STREAM, "") && !option_find(OPTION_STREAM, "inpu") &&
		      !option_find(OPTION_STREAM, "inputs"),
	      "found by a part of the name");
	point("names are well-formed, unique and found");
}

static void check_fields(enum option_scope scope)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *a = &option_table[i];
		size_t start = field_of(a, scope), end = start + a->type->size;

		if (!option_is_in(a, scope))
			continue;
		check(end <= size_of(scope), "%s ends outside", a->name);
		for (size_t j = 0; j < i; j++) {
			const struct option_definition *b = &option_table[j];
			size_t other = field_of(b, scope);

			check(!option_is_in(b, scope) || start >= other + b->type->size ||
				      other >= end || (is_rule(a) && is_rule(b)),
			      "%s and %s share a field", a->name, b->name);
		}
	}
}

static void test_fields(void)
{
	for (size_t i = 0; i < 3; i++)
		check_fields(scopes[i]);
	point("each option has a field of its own, except allow and deny, which share a list");
}

static void test_option_help(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		char text[256] = "";
		FILE *file = fmemopen(text, sizeof(text), "w");

		option_describe_value(option, file);
		fclose(file);
		check(*text && !strchr(text, '\n'), "%s takes \"%s\"", option->name, text);
		check(option->help && *option->help && !strchr(option->help, '\n'), "%s",
		      option->name);
		if (option->help)
			check(strlen(option->help) <= 88, "%s: %zu columns", option->name,
			      strlen(option->help));
	}
	point("each option has one line of help, and says what it accepts");
}

static void test_defaults(void)
{
	struct daemon_settings daemon_settings = { 0 };
	struct stream_settings stream_settings = { 0 };

	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		struct stream_settings any = { 0 };
		char expected[OPTION_ERROR_TEXT] = "";
		uint64_t value;

		if (!option->default_text)
			continue;
		check(option_set(option, option->scope, &any, option->default_text, expected),
		      "%s = %s: expected %s", option->name, option->default_text, expected);
		check(is_number(option) || option->type == &option_type_boolean ||
			      option->type == &option_type_choice ||
			      option->type == &option_type_lag ||
			      option->type == &option_type_start,
		      "the default of %s needs memory", option->name);
		if (!is_number(option))
			continue;
		value = *(const uint64_t *)((const char *)&any + option->field);
		check(option->minimum < option->maximum, "%s", option->name);
		check((option->has_auto && value == SETTING_AUTO) ||
			      (value >= option->minimum && value <= option->maximum),
		      "%s = %s", option->name, option->default_text);
		/* Otherwise a number could mean "auto". */
		check(!option->has_auto || option->maximum < SETTING_AUTO, "%s", option->name);
	}
	point("each default is a value that the option accepts, and needs no memory");

	option_set_defaults(OPTION_DAEMON, &daemon_settings);
	option_set_defaults(OPTION_STREAM, &stream_settings);
	check(daemon_settings.log_level == 3, "log-level %u", daemon_settings.log_level);
	check(stream_settings.block_size == 256 << 10 && stream_settings.ring_size == 16 << 20,
	      "another ring");
	check(stream_settings.client.lag_policy == LAG_POLICY_DROP &&
		      stream_settings.client.zerocopy == ZEROCOPY_AUTO &&
		      stream_settings.on_end == ON_END_AUTO &&
		      stream_settings.huge_pages == HUGE_PAGES_AUTO &&
		      stream_settings.overrun == OVERRUN_DROP_OLDEST && !stream_settings.contiguous,
	      "another choice");
	check(!stream_settings.input.first && !stream_settings.pattern && !stream_settings.device &&
		      !stream_settings.listen.count,
	      "a source or an endpoint by default");
	check(stream_settings_blocks(&stream_settings) == 64 &&
		      stream_settings_low_water(&stream_settings) == 8,
	      "another low-water mark");
	point("a new stream has the defaults");
}

/* The words of each choice have the values of the enum that the daemon uses. */
static void test_choices(void)
{
	static const struct {
		const char *name, *word;
		unsigned int value;
	} table[] = {
		{ "log-level", "error", 0 },
		{ "log-level", "debug", 4 },
		{ "on-end", "auto", ON_END_AUTO },
		{ "on-end", "close", ON_END_CLOSE },
		{ "on-end", "wait", ON_END_WAIT },
		{ "overrun", "drop-oldest", OVERRUN_DROP_OLDEST },
		{ "overrun", "stall", OVERRUN_STALL },
		{ "huge-pages", "auto", HUGE_PAGES_AUTO },
		{ "huge-pages", "never", HUGE_PAGES_NEVER },
		{ "huge-pages", "require", HUGE_PAGES_REQUIRE },
		{ "lag-policy", "drop", LAG_POLICY_DROP },
		{ "lag-policy", "disconnect", LAG_POLICY_DISCONNECT },
		{ "lag-policy", "block", LAG_POLICY_BLOCK },
		{ "lag-policy", "latest", LAG_POLICY_LATEST },
		{ "half-close", "keep", HALF_CLOSE_KEEP },
		{ "half-close", "end", HALF_CLOSE_END },
		{ "zerocopy", "auto", ZEROCOPY_AUTO },
		{ "zerocopy", "always", ZEROCOPY_ALWAYS },
		{ "zerocopy", "never", ZEROCOPY_NEVER },
		{ "format", "raw", FORMAT_RAW },
		{ "format", "framed", FORMAT_FRAMED },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct option_definition *option = option_find(OPTION_STREAM, table[i].name);
		struct stream_settings any = { 0 };
		char expected[OPTION_ERROR_TEXT];
		unsigned int value;

		if (!option)
			option = option_find(OPTION_DAEMON, table[i].name);
		if (!check(option && option->type == &option_type_choice, "%s", table[i].name))
			continue;
		check(option_set(option, option->scope, &any, table[i].word, expected), "%s = %s",
		      table[i].name, table[i].word);
		value = *(const unsigned int *)(const void *)((const char *)&any + option->field);
		check(value == table[i].value, "%s = %s is %u", table[i].name, table[i].word,
		      value);
	}
	point("the words of choices have the values that the daemon uses");
}

/* The smallest and the largest number are accepted, the numbers beyond them are not. */
static void test_ranges(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		const uint64_t value[] = { option->minimum - 1, option->minimum, option->maximum,
					   option->maximum + 1 };

		if (!is_number(option))
			continue;
		for (int v = 0; v < 4; v++) {
			struct stream_settings any = { 0 };
			char expected[OPTION_ERROR_TEXT] = "", text[UNITS_TEXT];
			bool inside = v == 1 || v == 2, taken;

			if ((v == 0 && !option->minimum) ||
			    (v == 3 && option->maximum == UINT64_MAX))
				continue;
			if (option->type == &option_type_count || option->type == &option_type_dscp)
				snprintf(text, sizeof(text), "%llu", (unsigned long long)value[v]);
			else if (option->type == &option_type_size)
				units_format_size(value[v], text);
			else if (option->type == &option_type_duration)
				units_format_duration(value[v], text);
			else
				units_format_rate(value[v], text);
			taken = option_set(option, option->scope, &any, text, expected);
			check(taken == inside, "%s = %s: expected %s", option->name, text,
			      expected);
			check(inside || (strstr(expected, " from ") && strstr(expected, " to ")),
			      "%s = %s: expected %s", option->name, text, expected);
		}
	}
	point("numbers are accepted from the minimum to the maximum, and errors name both");
}

/* Return a value that the option accepts and that is not its default. */
static const char *other_value(const struct option_definition *option)
{
	static const struct {
		const struct option_type *type;
		const char *text;
	} value[] = {
		{ &option_type_count, "7" },	      { &option_type_size, "1M" },
		{ &option_type_duration, "7s" },      { &option_type_rate, "7K/s" },
		{ &option_type_boolean, "yes" },      { &option_type_input, "/other" },
		{ &option_type_path, "/o" },	      { &option_type_address, ":7" },
		{ &option_type_endpoint, ":7" },      { &option_type_record_end, "\\n" },
		{ &option_type_name, "other" },	      { &option_type_word, "other" },
		{ &option_type_dscp, "EF" },	      { &option_type_lag, "7ms" },
		{ &option_type_allow, "10.0.0.0/8" }, { &option_type_deny, "::1" },
		{ &option_type_preamble, "44" },      { &option_type_meta, "site=here" },
		{ &option_type_start, "-4M" },
	};

	for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++) {
		if (value[i].type == option->type)
			return value[i].text;
	}
	return option->choices[strcmp(option->choices[0], option->default_text) ? 0 : 1];
}

/* An option that needs a restart must not be in the part of its struct that a reload changes. */
static void test_fixed_part(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		size_t fixed = option->scope == OPTION_DAEMON ? DAEMON_SETTINGS_FIXED
							      : STREAM_SETTINGS_FIXED;

		if (option->scope == OPTION_ENDPOINT) {
			check(option->effect != OPTION_AT_START, "%s", option->name);
			continue;
		}
		check((option->effect == OPTION_AT_START) == (option->field < fixed),
		      "%s is in the wrong part of its struct", option->name);
	}
	point("options that need a restart, and no others, are in the fixed part of their struct");
}

static void clear_settings(enum option_scope scope, union any_settings *settings)
{
	if (scope == OPTION_DAEMON)
		daemon_settings_clear(&settings->daemon);
	else if (scope == OPTION_ENDPOINT)
		endpoint_settings_clear(&settings->endpoint);
	else
		stream_settings_clear(&settings->stream);
}

/* Set each option alone: it differs, and an adaptation changes it unless it needs a restart. */
static void test_changes(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		union any_settings a = { 0 }, b = { 0 }, before;
		char names[OPTION_NAMES_TEXT], expected[OPTION_ERROR_TEXT];
		bool adapts = option->effect != OPTION_AT_START;

		if (option->scope == OPTION_ENDPOINT)
			continue; /* test_inheritance() */
		option_set_defaults(option->scope, &a);
		option_set_defaults(option->scope, &b);
		check(!option_changes(option->scope, OPTION_EFFECTS_ALL, &a, &b, names),
		      "%s changed by themselves", names);
		check(option_set(option, option->scope, &b, other_value(option), expected),
		      "%s: expected %s", option->name, expected);
		check(option_changes(option->scope, OPTION_EFFECTS_ALL, &a, &b, names) &&
			      !strcmp(names, is_rule(option) ? "allow, deny" : option->name),
		      "%s changed, not \"%s\"", option->name, names);
		check(option_changes(option->scope, OPTION_EFFECT(OPTION_AT_START), &a, &b,
				     names) == !adapts,
		      "%s is of another effect", option->name);

		before = b;
		if (option->scope == OPTION_DAEMON)
			daemon_settings_adapt(&a.daemon, &b.daemon);
		else
			stream_settings_adapt(&a.stream, &b.stream);
		check(!option_changes(option->scope, OPTION_EFFECTS_ALL, &a, &before, names) ==
			      adapts,
		      "%s: %s", option->name, adapts ? "not adapted" : "adapted");
		check(option_changes(option->scope, OPTION_EFFECTS_ALL, &a, &b, names),
		      "%s: no exchange", option->name);
		/* Each still owns its values. */
		clear_settings(option->scope, &b);
		clear_settings(option->scope, &a);
	}
	point("every option is compared, and adapted unless it needs a restart");
}

/* The copy of a stream's settings: equal in every option, and without a pointer of the original. */
static void test_copies(void)
{
	struct stream_settings settings = { .name = strdup("a") }, *copy;
	char names[OPTION_NAMES_TEXT], expected[OPTION_ERROR_TEXT];

	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].scope == OPTION_STREAM)
			option_set(&option_table[i], OPTION_STREAM, &settings,
				   other_value(&option_table[i]), expected);
	}
	copy = stream_settings_copy(&settings);
	check(!option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, copy, &settings, names),
	      "%s not copied", names);
	check(!strcmp(copy->name, "a"), "the copy is called %s", copy->name);
	/* No text is shared between the two. */
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		const char *one = (const char *)&settings + option->field;

		check(option->scope != OPTION_STREAM || option->type->size != sizeof(char *) ||
			      is_number(option) || option->choices ||
			      memcmp(one, (const char *)copy + option->field, sizeof(char *)) != 0,
		      "%s is shared", option->name);
	}
	check(copy->client.access.rule != settings.client.access.rule, "the rules are shared");
	check(copy->name != settings.name && copy->listen.item != settings.listen.item &&
		      copy->listen.item[0] != settings.listen.item[0] &&
		      copy->meta.item != settings.meta.item &&
		      copy->meta.item[0] != settings.meta.item[0],
	      "the name, the endpoints or the metadata are shared");
	stream_settings_clear(&settings);
	check(!option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, &settings,
			      &(struct stream_settings){ 0 }, names),
	      "%s not cleared", names);
	stream_settings_free(copy);
	stream_settings_free(NULL);
	point("a copy of a stream's settings has every value, and memory of its own");
}

/* Lists differ by their length, by their items and by the order of these. */
static void test_lists(void)
{
	static const char *const list[][3] = {
		{ ":1", ":2", NULL }, { ":1", ":3", NULL }, { ":2", ":1", NULL }, { ":1", NULL }
	};
	const struct option_definition *option = option_find(OPTION_STREAM, "listen");
	char names[OPTION_NAMES_TEXT], expected[OPTION_ERROR_TEXT];
	struct stream_settings settings[4] = { 0 }, *copy;

	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; list[i][j]; j++)
			option_set(option, OPTION_STREAM, &settings[i], list[i][j], expected);
		for (size_t j = 0; j < i; j++)
			check(option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, &settings[i],
					     &settings[j], names),
			      "lists %zu and %zu are the same", i, j);
	}
	for (size_t i = 0; i < 4; i++) {
		copy = stream_settings_copy(&settings[i]);
		check(!option_changes(OPTION_STREAM, OPTION_EFFECTS_ALL, copy, &settings[i], names),
		      "list %zu is not copied", i);
		stream_settings_free(copy);
		stream_settings_clear(&settings[i]);
	}
	point("lists are compared and copied with all of their items");
}

static const struct {
	const char *name, *value;
	const char *expected; /* NULL: it is accepted */
	const char *printed;
} meta_lines[] = {
	{ "meta.site", "Effelsberg, 100 m", NULL, "meta.site = Effelsberg, 100 m\n" },
	{ "meta.a.B_c-9", "", NULL, "meta.a.B_c-9 = \n" },
	{ "meta.unit", "\xc2\xb5V ; \"raw\"", NULL, "meta.unit = \"\xc2\xb5V ; \\\"raw\\\"\"\n" },
	{ "meta.equals", "a=b", NULL, "meta.equals = a=b\n" },
	{ "meta", "x", "a KEY of 1 to 64 letters", NULL },
	{ "meta.", "x", "a KEY of 1 to 64 letters", NULL },
	{ "meta.a b", "x", "a KEY of 1 to 64 letters", NULL },
	{ "meta.0123456789012345678901234567890123456789012345678901234567890123", "x", NULL,
	  "meta.0123456789012345678901234567890123456789012345678901234567890123 = x\n" },
	{ "meta.01234567890123456789012345678901234567890123456789012345678901234", "x",
	  "a KEY of 1 to 64 letters", NULL },
	{ "meta.latin1", "\xb5V", "a text in UTF-8", NULL },
	{ "meta.cut", "V\xc2", "a text in UTF-8", NULL },
	{ "meta.overlong", "\xc0\x80", "a text in UTF-8", NULL },
	{ "meta.surrogate", "\xed\xa0\x80", "a text in UTF-8", NULL },
	{ "meta.beyond", "\xf4\x90\x80\x80", "a text in UTF-8", NULL },
	{ "meta.emoji", "\xf0\x9f\x93\xa1", NULL, "meta.emoji = \xf0\x9f\x93\xa1\n" },
	{ "meta.tab", "a\tb", "no control characters", NULL },
	{ "meta.blank", " a", "no blank at either end", NULL },
};

static void test_meta(void)
{
	const struct option_definition *option = option_find(OPTION_STREAM, "meta.x");
	struct stream_settings settings = { 0 };
	char expected[OPTION_ERROR_TEXT], text[8192];

	for (size_t i = 0; i < sizeof(meta_lines) / sizeof(meta_lines[0]); i++) {
		const char *wrong = meta_lines[i].expected;
		FILE *file = fmemopen(text, sizeof(text), "w");
		bool set;

		expected[0] = '\0';
		set = option_set_line(option, OPTION_STREAM, &settings, meta_lines[i].name,
				      meta_lines[i].value, expected);
		check(set == !wrong && (!wrong || strstr(expected, wrong)), "%s = %s: expected %s",
		      meta_lines[i].name, meta_lines[i].value, expected);
		option_print(option, OPTION_STREAM, &settings, file);
		fclose(file);
		check(wrong || !strcmp(text, meta_lines[i].printed), "printed: %s", text);
		stream_settings_clear(&settings);
	}
	check(!option_find(OPTION_STREAM, "metax") && !option_find(OPTION_STREAM, "format.x") &&
		      !option_find(OPTION_DAEMON, "meta.x"),
	      "found by another name");
	point("a line of metadata has a key in its name, and is printed as it is read");

	check(option_set(option, OPTION_STREAM, &settings, "a=1", expected) &&
		      option_set(option, OPTION_STREAM, &settings, "ab=2", expected),
	      "expected %s", expected);
	check(!option_set(option, OPTION_STREAM, &settings, "a=3", expected) &&
		      strstr(expected, "once"),
	      "expected %s", expected);
	memset(text, 'x', sizeof(text));
	memcpy(text, "long=", 5);
	text[4096 - strlen("meta. = ") + 2] = '\0';
	check(!option_set(option, OPTION_STREAM, &settings, text, expected) &&
		      strstr(expected, "shorter"),
	      "expected %s", expected);
	text[4096 - strlen("meta. = ") + 1] = '\0';
	check(option_set(option, OPTION_STREAM, &settings, text, expected), "expected %s",
	      expected);
	stream_settings_clear(&settings);
	point("each key once, and no line that a file cannot hold");
}

/* Values that fit on a line without the blanks around the equals sign, or without quotes, but not as printed. */
static void test_long_texts(void)
{
	static const struct {
		const char *name, *begin;
	} table[] = { { "input", "exec:" }, { "device", "/" }, { "preamble", "/" } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct option_definition *option = option_find(OPTION_STREAM, table[i].name);
		size_t room = 4096 - strlen(table[i].name) - strlen(" = ");
		struct stream_settings settings = { 0 };
		char expected[OPTION_ERROR_TEXT], text[4097];

		memset(text, 'x', sizeof(text));
		memcpy(text, table[i].begin, strlen(table[i].begin));
		text[room + 1] = '\0';
		check(!option_set(option, OPTION_STREAM, &settings, text, expected) &&
			      strstr(expected, "shorter"),
		      "%s: expected %s", table[i].name, expected);
		text[room] = '\0';
		check(option_set(option, OPTION_STREAM, &settings, text, expected),
		      "%s: expected %s", table[i].name, expected);
		memcpy(text + room - 2, " ;", 2); /* quoted, it is longer */
		check(!option_set(option, OPTION_STREAM, &settings, text, expected) &&
			      strstr(expected, "shorter"),
		      "%s: expected %s", table[i].name, expected);
		stream_settings_clear(&settings);
	}
	point("a text is refused if the line that prints it would be too long to be read");
}

/* Add an endpoint to @stream that has set the option @own only, to another value than its stream. */
static void add_inheriting(struct stream_settings *stream, size_t own, const char *text)
{
	struct endpoint_settings endpoint = { .name = strdup("e") };
	bool *is_set = calloc(option_count, sizeof(*is_set));
	char expected[OPTION_ERROR_TEXT];

	is_set[own] = true;
	check(option_set(&option_table[own], OPTION_ENDPOINT, &endpoint, text, expected), "%s",
	      expected);
	check(option_inherit(&endpoint, stream, is_set) &&
		      stream_settings_add_endpoint(stream, &endpoint),
	      "no memory");
	free(is_set);
}

/* An endpoint that sets one option differs from another one that has all of its stream in that option. */
static void test_inheritance(void)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option_definition *option = &option_table[i];
		struct stream_settings stream = { 0 }, *copy;
		char names[OPTION_NAMES_TEXT];

		if (!option_is_in(option, OPTION_ENDPOINT))
			continue;
		stream.name = strdup("a");
		option_set_defaults(OPTION_STREAM, &stream);
		add_inheriting(&stream, i, other_value(option));
		add_inheriting(&stream,
			       (size_t)(option_find(OPTION_ENDPOINT, "stream") - option_table),
			       "a");
		option_changes(OPTION_ENDPOINT, OPTION_EFFECTS_ALL, &stream.endpoints[0],
			       &stream.endpoints[1], names);
		if (option->scope == OPTION_ENDPOINT)
			check(!strcmp(names, "stream"), "%s instead of stream", names);
		else
			check(strstr(names, option->name) && strstr(names, "stream"), "%s: %s",
			      option->name, names);
		copy = stream_settings_copy(&stream);
		check(copy->endpoint_count == 2 &&
			      !option_changes(OPTION_ENDPOINT, OPTION_EFFECTS_ALL,
					      &stream.endpoints[0], &copy->endpoints[0], names) &&
			      copy->endpoints[0].name != stream.endpoints[0].name,
		      "%s not copied", names);
		stream_settings_free(copy);
		stream_settings_clear(&stream);
	}
	point("an endpoint has what it sets, and the stream's values of the rest");
}

/* Rules keep their order over both options; an endpoint with one of them has nothing of its stream's. */
static void test_rules(void)
{
	const struct option_definition *allow = option_find(OPTION_STREAM, "allow");
	const struct option_definition *deny = option_find(OPTION_STREAM, "deny");
	struct stream_settings stream = { .name = strdup("a") };
	char expected[OPTION_ERROR_TEXT], text[256] = "";
	FILE *file = fmemopen(text, sizeof(text), "w");

	option_set(deny, OPTION_STREAM, &stream, "all", expected);
	option_set(allow, OPTION_STREAM, &stream, "10.0.0.0/8, 2001:db8::/32 ::1", expected);
	option_set(deny, OPTION_STREAM, &stream, "10.1.2.3", expected);
	check(!option_set(allow, OPTION_STREAM, &stream, "10.0.0.0/8 10.0.0.1/8", expected) &&
		      strstr(expected, "bits behind the prefix"),
	      "%s", expected);
	check(!option_set(deny, OPTION_STREAM, &stream, " , ", expected), "nothing was taken");
	check(stream.client.access.count == 5, "%zu rules", stream.client.access.count);
	option_print(allow, OPTION_STREAM, &stream, file);
	option_print(deny, OPTION_STREAM, &stream, file);
	fclose(file);
	check(!strcmp(text, "deny = all\nallow = 10.0.0.0/8\nallow = 2001:db8::/32\n"
			    "allow = ::1\ndeny = 10.1.2.3\n"),
	      "%s", text);
	add_inheriting(&stream, (size_t)(allow - option_table), "all");
	add_inheriting(&stream, (size_t)(deny - option_table), "all");
	check(stream.endpoints[0].client.access.count == 1 &&
		      stream.endpoints[1].client.access.count == 1,
	      "rules of the stream are in the endpoint, too");
	stream_settings_clear(&stream);
	point("rules keep their order, and an endpoint has its own or those of its stream");
}

/* The sums and questions that depend on all sections of a stream. */
static void test_sections(void)
{
	struct stream_settings stream = { .name = strdup("a") };
	struct endpoint_settings endpoint = { .client.max_clients = 2,
					      .client.lag_policy = LAG_POLICY_BLOCK };
	char text[] = ":1", *item = text;

	stream.client.max_clients = 5;
	check(stream_settings_max_clients(&stream) == 5 && !stream_settings_only_blocks(&stream),
	      "without a section");
	endpoint.name = strdup("e");
	stream_settings_add_endpoint(&stream, &endpoint);
	check(stream_settings_max_clients(&stream) == 2 && stream_settings_only_blocks(&stream),
	      "with a section only");
	stream.listen = (struct text_list){ .item = &item, .count = 1 };
	check(stream_settings_max_clients(&stream) == 7 && !stream_settings_only_blocks(&stream),
	      "with a section and endpoints of its own");
	check(stream_settings_listens_on(&stream, ":1") &&
		      !stream_settings_listens_on(&stream, ":2"),
	      "another endpoint");
	check(stream_settings_find_endpoint(&stream, "e") == stream.endpoints &&
		      !stream_settings_find_endpoint(&stream, "f"),
	      "another section");
	stream.listen = (struct text_list){ 0 };
	stream_settings_clear(&stream);
	point("a stream's clients are those of its sections, too");
}

int main(void)
{
	test_meta();
	test_long_texts();
	test_names();
	test_fields();
	test_option_help();
	test_defaults();
	test_choices();
	test_ranges();
	test_fixed_part();
	test_changes();
	test_copies();
	test_lists();
	test_inheritance();
	test_rules();
	test_sections();
	return tap_end();
}
