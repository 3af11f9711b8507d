/* SPDX-License-Identifier: BSD-2-Clause */
/* Which peers may connect: a list of rules about prefixes of addresses, of which the last match decides. */
#ifndef DMACAST_ACCESS_H
#define DMACAST_ACCESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct access_rule {
	bool allow;
	int family;	     /* AF_INET, AF_INET6, or AF_UNSPEC: all addresses */
	unsigned int length; /* of the prefix, in bits */
	unsigned char prefix[sizeof(struct in6_addr)];
};

struct access_list {
	struct access_rule *rule;
	size_t count;
};

/* Enough for every text that access_format() writes. */
#define ACCESS_TEXT (INET6_ADDRSTRLEN + sizeof("/128"))

/**
 * access_parse() - parse "10.0.0.0/8", "2001:db8::/32", an address, or "all" into all members but `allow`.
 * @expected: out: on failure, what would be right
 */
bool access_parse(const char *text, struct access_rule *rule, const char **expected);

/** access_format() - write the prefix as access_parse() reads it. Return: @text. */
const char *access_format(const struct access_rule *rule, char text[ACCESS_TEXT]);

/** access_list_add() - append a rule. Return: false without memory. */
bool access_list_add(struct access_list *list, const struct access_rule *rule);

/**
 * access_list_is_complete() - return true if a rule about each peer was written: the first one is an allow, so
 * that others are refused, or one is about all addresses.
 */
bool access_list_is_complete(const struct access_list *list);

/** access_list_copy() - make @copy, which is written over, an equal list. Return: false without memory. */
bool access_list_copy(struct access_list *copy, const struct access_list *list);

/** access_list_is_equal() - return true if both have the same rules in the same order. */
bool access_list_is_equal(const struct access_list *a, const struct access_list *b);

/** access_list_clear() - free the rules; the list is empty afterwards. */
void access_list_clear(struct access_list *list);

/**
 * access_list_allows() - return true if the last rule that matches @peer allows it. Without a match, a list
 * that begins with an allow refuses, and any other one allows. An IPv4-mapped peer is an IPv4 address.
 */
bool access_list_allows(const struct access_list *list, const struct sockaddr *peer);

#endif
