// SPDX-License-Identifier: BSD-2-Clause
/* Which peers a list of rules lets connect. */
#include "lib/access.h"

#include "tap.h"

#include <arpa/inet.h>
#include <string.h>

static struct sockaddr_storage peer_of(const char *text)
{
	struct sockaddr_storage peer = { .ss_family = strchr(text, ':') ? AF_INET6 : AF_INET };
	void *address = peer.ss_family == AF_INET
				? (void *)&((struct sockaddr_in *)&peer)->sin_addr
				: (void *)&((struct sockaddr_in6 *)&peer)->sin6_addr;

	check(inet_pton(peer.ss_family, text, address) == 1, "%s", text);
	return peer;
}

static void test_parse(void)
{
	static const char *const right[] = { "all",	  "0.0.0.0/0",	 "10.0.0.0/8",
					     "10.1.2.3",  "::/0",	 "::1",
					     "fe80::/10", "10.1.2.4/31", "2001:db8::/33" };
	static const char *const wrong[] = { "",	   "ALL",	    "10.0.0.0/33",
					     "10.0.0.0/",  "10.0.0.0/8x",   "10.0.0/8",
					     "10.0.0.1/8", "::1/129",	    "::1/127",
					     "/8",	   "10.0.0.0/-1",   "10.1.2.5/31",
					     "host",	   "2001:db9::/31", "1.2.3.4/0008" };

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct access_rule rule = { .allow = true };
		char text[ACCESS_TEXT];
		const char *expected;

		check(access_parse(right[i], &rule, &expected) && rule.allow, "%s", right[i]);
		check(!strcmp(access_format(&rule, text), right[i]), "%s as %s", right[i], text);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct access_rule rule = { 0 };
		const char *expected = NULL;

		check(!access_parse(wrong[i], &rule, &expected) && expected, "%s", wrong[i]);
	}
	point("prefixes, addresses and all are read and written, and nothing else");
}

/* @text: rules such as "+10.0.0.0/8 -all", in their order */
static struct access_list list_of(const char *text)
{
	struct access_list list = { 0 };
	char rules[128], *rest = rules, *word;

	strcpy(rules, text);
	while ((word = strsep(&rest, " ")) && *word) {
		struct access_rule rule = { .allow = *word == '+' };
		const char *expected;

		check(access_parse(word + 1, &rule, &expected), "%s", word);
		access_list_add(&list, &rule);
	}
	return list;
}

static void test_matches(void)
{
	static const struct {
		const char *rules, *peer; /* a rule: '+' or '-' and a prefix */
		bool allows;
	} table[] = {
		{ "", "10.0.0.1", true },
		{ "+10.0.0.0/8", "10.255.0.1", true },
		{ "+10.0.0.0/8", "11.0.0.1", false },
		{ "+10.0.0.0/8", "::1", false },
		{ "+10.0.0.0/8", "::ffff:10.9.9.9", true },
		{ "-10.0.0.0/8", "::ffff:10.9.9.9", false },
		{ "-10.0.0.0/8", "11.0.0.1", true },
		{ "-all +10.0.0.0/8", "10.0.0.1", true },
		{ "-all +10.0.0.0/8", "2001:db8::1", false },
		{ "-all +10.0.0.0/8 -10.1.0.0/16 +10.1.2.3", "10.1.2.3", true },
		{ "-all +10.0.0.0/8 -10.1.0.0/16 +10.1.2.3", "10.1.2.4", false },
		{ "-all +10.0.0.0/8 -10.1.0.0/16 +10.1.2.3", "10.2.2.4", true },
		{ "+all -2001:db8::/33", "2001:db8:7fff::1", false },
		{ "+all -2001:db8::/33", "2001:db8:8000::1", true },
		{ "-::/0", "10.0.0.1", true },
		{ "-::/0", "::ffff:10.0.0.1", true },
		{ "-::/0", "::1", false },
		{ "-0.0.0.0/0", "::1", true },
		{ "-0.0.0.0/0", "10.0.0.1", false },
		{ "+192.168.0.0/23", "192.168.1.255", true },
		{ "+192.168.0.0/23", "192.168.2.0", false },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sockaddr_storage peer = peer_of(table[i].peer);
		struct access_list list = list_of(table[i].rules), copy;

		check(access_list_allows(&list, (struct sockaddr *)&peer) == table[i].allows,
		      "\"%s\" and %s", table[i].rules, table[i].peer);
		check(access_list_copy(&copy, &list) && access_list_is_equal(&copy, &list),
		      "\"%s\" not copied", table[i].rules);
		if (copy.count) {
			copy.rule[0].allow = !copy.rule[0].allow;
			check(!access_list_is_equal(&copy, &list), "\"%s\"", table[i].rules);
		}
		access_list_clear(&copy);
		access_list_clear(&list);
	}
	point("the last match decides, and IPv4-mapped peers are IPv4 addresses");
}

/* A Unix socket has no address: only "all" matches. */
static void test_no_address(void)
{
	struct sockaddr peer = { .sa_family = AF_UNIX };
	struct access_rule rule = { .allow = true };
	struct access_list list = { 0 };
	const char *expected;

	access_parse("0.0.0.0/0", &rule, &expected);
	access_list_add(&list, &rule);
	check(!access_list_allows(&list, &peer), "a prefix matched");
	access_parse("all", &rule, &expected);
	access_list_add(&list, &rule);
	check(access_list_allows(&list, &peer), "all did not match");
	access_list_clear(&list);
	point("a peer without an IP address matches all only");
}

static void test_complete(void)
{
	static const struct {
		const char *rules;
		bool complete;
	} table[] = {
		{ "", false },
		{ "+10.0.0.1", true },
		{ "-10.0.0.1", false },
		{ "-10.0.0.1 +10.0.0.0/8", false },
		{ "+::1 -10.0.0.1", true },
		{ "-10.0.0.1 +all", true },
		{ "-all +10.0.0.1", true },
		{ "-0.0.0.0/0 +::/0", false },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct access_list list = list_of(table[i].rules);

		check(access_list_is_complete(&list) == table[i].complete, "\"%s\"",
		      table[i].rules);
		access_list_clear(&list);
	}
	point("a list is complete if it begins with an allow, or has a rule about all");
}

int main(void)
{
	test_complete();
	test_parse();
	test_matches();
	test_no_address();
	return tap_end();
}
