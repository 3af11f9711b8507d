// SPDX-License-Identifier: BSD-2-Clause
/* Subjects by a template, and where a subscriber begins. */
#include "nats/nats_subject.h"

#include "nats/nats_start.h"

#include "tap.h"

#define NOW_NS 1770091506000000000ULL

static void test_templates(void)
{
	static const struct {
		const char *template, *subject;
	} examples[] = {
		{ NATS_SUBJECT_DEFAULT, "dmacast.lab_1.adc_0" },
		{ "a.b", "a.b" },
		{ "x-{stream}", "x-adc_0" },
		{ "{host}{stream}", "lab_1adc_0" },
	};
	static const char *const wrong[] = { "",    ".a",     "a.", "a..b", "a b",	"a.*",
					     "a.>", "{name}", "{",  "a.\n", "{stream}." };
	char subject[NATS_SUBJECT_BYTES];
	const char *expected;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		check(nats_subject_check(examples[i].template, &expected), "%s",
		      examples[i].template);
		check(nats_subject_expand(examples[i].template, "lab 1.example.org", "adc.0",
					  subject),
		      "%s", examples[i].template);
		check(!strcmp(subject, examples[i].subject), "got %s, expected %s", subject,
		      examples[i].subject);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(!nats_subject_check(wrong[i], &expected), "'%s'", wrong[i]);
	check(nats_subject_has_stream("a.{stream}") && !nats_subject_has_stream("a.{host}"),
	      "{stream}");
	check(!strcmp(nats_subject_stream("a.b.c-d", subject), "a_b_c-d"), "got %s", subject);
	point("templates of subjects");
}

static void test_length(void)
{
	char name[NATS_SUBJECT_BYTES + 100], subject[NATS_SUBJECT_BYTES];

	memset(name, 'x', sizeof(name));
	name[200] = '\0';
	check(nats_subject_expand("{stream}", "", name, subject) && strlen(subject) == 200,
	      "200 characters");
	name[200] = 'x';
	name[201] = '\0';
	check(!nats_subject_expand("{stream}", "", name, subject), "201 characters");
	point("a subject has a longest length");
}

static bool start_is(const char *text, enum nats_start_kind kind, uint64_t number)
{
	struct nats_start start;
	const char *expected;

	if (!nats_start_parse(text, NOW_NS, &start, &expected) || start.kind != kind)
		return false;
	return kind == NATS_START_SEQUENCE ? start.sequence == number : start.realtime_ns == number;
}

static void test_starts(void)
{
	static const char *const wrong[] = { "",
					     "0",
					     "-",
					     "-x",
					     "first",
					     "durable:",
					     "durable:a.b",
					     "2026-13-01T00:00:00Z",
					     "2026-02-03T04:05:06Q",
					     "12x",
					     "durable:a b" };
	struct nats_start start;
	const char *expected;

	check(start_is("oldest", NATS_START_OLDEST, 0), "oldest");
	check(start_is("newest", NATS_START_NEWEST, 0), "newest");
	check(start_is("1234", NATS_START_SEQUENCE, 1234), "a sequence");
	check(start_is("-10s", NATS_START_TIME, NOW_NS - 10000000000), "an age");
	check(start_is("2026-02-03T04:05:06Z", NATS_START_TIME, NOW_NS), "a time");
	check(nats_start_parse("durable:edge-1", NOW_NS, &start, &expected) &&
		      start.kind == NATS_START_DURABLE && !strcmp(start.durable, "edge-1"),
	      "durable");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(!nats_start_parse(wrong[i], NOW_NS, &start, &expected), "'%s'", wrong[i]);
	point("where a subscriber begins");
}

int main(void)
{
	test_templates();
	test_length();
	test_starts();
	return tap_end();
}
