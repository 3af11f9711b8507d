// SPDX-License-Identifier: BSD-2-Clause
/*
 * Rules about prefixes, one a line, "+PREFIX" to allow and anything else to deny: their texts, and whom they
 * let in. The model compares bit by bit. The peers are those at both sides of the border of each prefix.
 */
#include "lib/access.h"

#include "fuzz.h"

#include <arpa/inet.h>

#define MAX_RULES 16

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool address_bit(const unsigned char *address, unsigned int bit)
{
	return address[bit / 8] >> (7 - bit % 8) & 1;
}

/* @family, @address: of the peer; IPv4-mapped addresses are IPv4 here already */
static bool model_matches(const struct access_rule *rule, int family, const unsigned char *address)
{
	if (rule->family == AF_UNSPEC)
		return true;
	if (rule->family != family)
		return false;
	for (unsigned int bit = 0; bit < rule->length; bit++) {
		if (address_bit(rule->prefix, bit) != address_bit(address, bit))
			return false;
	}
	return true;
}

static bool model_allows(const struct access_list *list, int family, const unsigned char *address)
{
	bool allowed = !list->count || !list->rule[0].allow;

	for (size_t i = 0; i < list->count; i++) {
		if (model_matches(&list->rule[i], family, address))
			allowed = list->rule[i].allow;
	}
	return allowed;
}

static void check_peer(const struct access_list *list, int family, const unsigned char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool is_mapped =
		family == AF_INET6 && !memcmp(address, mapped_prefix, sizeof(mapped_prefix));
	bool expected = is_mapped ? model_allows(list, AF_INET, address + sizeof(mapped_prefix))
				  : model_allows(list, family, address);

	if (family == AF_INET) {
		memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
		check(access_list_allows(list, (const struct sockaddr *)&in) == expected,
		      "expected %d", expected);
		memcpy(&in6.sin6_addr, mapped_prefix, sizeof(mapped_prefix));
		memcpy(&in6.sin6_addr.s6_addr[sizeof(mapped_prefix)], address, sizeof(in.sin_addr));
	} else {
		memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
	}
	check(access_list_allows(list, (const struct sockaddr *)&in6) == expected,
	      "IPv6: expected %d", expected);
}

/* The first address of the prefix, and those with one bit changed next to the border. */
static void check_border(const struct access_list *list, const struct access_rule *rule)
{
	unsigned int bits = rule->family == AF_INET ? 32 : 128;
	unsigned char address[sizeof(rule->prefix)];

	for (unsigned int bit = rule->length ? rule->length - 1 : 0;
	     bit < bits && bit <= rule->length; bit++) {
		memcpy(address, rule->prefix, sizeof(address));
		check_peer(list, rule->family, address);
		address[bit / 8] ^= (unsigned char)(0x80 >> bit % 8);
		check_peer(list, rule->family, address);
	}
	check_peer(list, rule->family, rule->prefix);
}

static void check_rule_text(const struct access_rule *rule, const char *text)
{
	struct access_rule again = { .allow = rule->allow };
	char copy[ACCESS_TEXT];
	const char *expected = NULL;

	access_format(rule, copy);
	if (check(access_parse(copy, &again, &expected), "\"%s\" is \"%s\": expected %s", text,
		  copy, expected))
		check(!memcmp(&again, rule, sizeof(again)), "\"%s\" is \"%s\"", text, copy);
}

static void add_rule(struct access_list *list, const char *text)
{
	struct access_rule rule;
	const char *expected = NULL;

	memset(&rule, 0, sizeof(rule));
	rule.allow = *text == '+';
	if (*text && access_parse(text + 1, &rule, &expected)) {
		check_rule_text(&rule, text);
		check(access_list_add(list, &rule), "no memory");
	} else if (*text) {
		check(expected && *expected, "\"%s\" is refused without a reason", text);
	}
}

void fuzz_one(struct fuzz_input *input)
{
	static const struct sockaddr local = { .sa_family = AF_UNIX };
	struct access_list list = { 0 }, copy;

	while (input->left && list.count < MAX_RULES) {
		char *text = fuzz_text(input, true);

		add_rule(&list, text);
		free(text);
	}
	for (size_t i = 0; i < list.count; i++) {
		if (list.rule[i].family != AF_UNSPEC)
			check_border(&list, &list.rule[i]);
	}
	check(access_list_allows(&list, &local) == model_allows(&list, AF_UNIX, NULL),
	      "a local peer");
	check(access_list_copy(&copy, &list) && access_list_is_equal(&copy, &list), "the copy");
	access_list_clear(&copy);
	access_list_clear(&list);
}
