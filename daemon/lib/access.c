// SPDX-License-Identifier: BSD-2-Clause
#include "lib/access.h"

#include "lib/address.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* Return true if @a and @b agree in the first @length bits. */
static bool prefix_matches(const unsigned char *a, const unsigned char *b, unsigned int length)
{
	unsigned int bytes = length / 8, rest = length % 8;
	unsigned char mask = (unsigned char)(0xff00 >> rest);

	return !memcmp(a, b, bytes) && (!rest || !((a[bytes] ^ b[bytes]) & mask));
}

/* Return true if all bits of the address behind the prefix are zero. */
static bool prefix_is_plain(const struct access_rule *rule)
{
	for (unsigned int bit = rule->length; bit < family_bits(rule->family); bit++) {
		if (rule->prefix[bit / 8] & (0x80 >> bit % 8))
			return false;
	}
	return true;
}

/* Parse the length behind the slash; @text: NULL: the rule is about one address. */
static bool access_parse_length(const char *text, struct access_rule *rule)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;

	rule->length = family_bits(rule->family);
	if (!text)
		return true;
	if (!digits || digits > 3 || text[digits])
		return false;
	rule->length = (unsigned int)atoi(text);
	return rule->length <= family_bits(rule->family);
}

bool access_parse(const char *text, struct access_rule *rule, const char **expected)
{
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN];
	struct access_rule parsed = { .allow = rule->allow };
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	*expected = "an address or a prefix such as 10.0.0.0/8 or 2001:db8::/32, or all";
	if (!strcmp(text, "all")) {
		*rule = parsed;
		return true;
	}
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	parsed.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(parsed.family, address, parsed.prefix) != 1)
		return false;
	if (!access_parse_length(slash ? slash + 1 : NULL, &parsed)) {
		*expected = "a prefix length from 0 to 32 after an IPv4 address, to 128 after an "
			    "IPv6 one";
		return false;
	}
	if (!prefix_is_plain(&parsed)) {
		*expected = "an address whose bits behind the prefix are 0, or a longer prefix";
		return false;
	}
	*rule = parsed;
	return true;
}

const char *access_format(const struct access_rule *rule, char text[ACCESS_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	if (rule->family == AF_UNSPEC) {
		strlcpy(text, "all", ACCESS_TEXT);
		return text;
	}
	inet_ntop(rule->family, rule->prefix, address, sizeof(address));
	if (rule->length == family_bits(rule->family))
		strlcpy(text, address, ACCESS_TEXT);
	else
		snprintf(text, ACCESS_TEXT, "%s/%u", address, rule->length);
	return text;
}

bool access_list_add(struct access_list *list, const struct access_rule *rule)
{
	struct access_rule *rules =
		reallocarray(list->rule, list->count + 1, sizeof(struct access_rule));

	if (!rules)
		return false;
	rules[list->count++] = *rule;
	list->rule = rules;
	return true;
}

bool access_list_is_complete(const struct access_list *list)
{
	bool complete = list->count && list->rule[0].allow;

	for (size_t i = 0; !complete && i < list->count; i++)
		complete = list->rule[i].family == AF_UNSPEC;
	return complete;
}

bool access_list_copy(struct access_list *copy, const struct access_list *list)
{
	*copy = (struct access_list){ 0 };
	for (size_t i = 0; i < list->count; i++) {
		if (!access_list_add(copy, &list->rule[i]))
			return false;
	}
	return true;
}

static bool access_rule_is_equal(const struct access_rule *a, const struct access_rule *b)
{
	return a->allow == b->allow && a->family == b->family && a->length == b->length &&
	       !memcmp(a->prefix, b->prefix, sizeof(a->prefix));
}

bool access_list_is_equal(const struct access_list *a, const struct access_list *b)
{
	bool equal = a->count == b->count;

	for (size_t i = 0; equal && i < a->count; i++)
		equal = access_rule_is_equal(&a->rule[i], &b->rule[i]);
	return equal;
}

void access_list_clear(struct access_list *list)
{
	free(list->rule);
	*list = (struct access_list){ 0 };
}

static bool access_rule_matches(const struct access_rule *rule, int family,
				const unsigned char *address)
{
	if (rule->family == AF_UNSPEC)
		return true;
	return rule->family == family && address &&
	       prefix_matches(rule->prefix, address, rule->length);
}

bool access_list_allows(const struct access_list *list, const struct sockaddr *peer)
{
	int family;
	const unsigned char *address = address_bytes(peer, &family);

	for (size_t i = list->count; i-- > 0;) {
		if (access_rule_matches(&list->rule[i], family, address))
			return list->rule[i].allow;
	}
	return !list->count || !list->rule[0].allow;
}
