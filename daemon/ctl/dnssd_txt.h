/* SPDX-License-Identifier: BSD-2-Clause */
/* The TXT record of a service: strings KEY=VALUE, with the limits of RFC 6763. */
#ifndef DMACAST_DNSSD_TXT_H
#define DMACAST_DNSSD_TXT_H

#include <stdbool.h>
#include <stddef.h>

/* Longest string in bytes: its length is one byte. */
#define MAX_TXT_STRING 255U
/* Longest record in bytes, with a byte for each length: what fits into a packet with the other records. */
#define MAX_TXT_RECORD 1300U
/* Number of strings; the shortest one takes 4 bytes. */
#define MAX_TXT_STRINGS (MAX_TXT_RECORD / 4)

struct dnssd_txt {
	char *string[MAX_TXT_STRINGS];
	size_t count;
	size_t bytes; /* of the record */
};

/**
 * dnssd_txt_add() - append KEY=VALUE. End the program without memory.
 *
 * Return: NULL; or the reason why it was left out: too long, no space, a control character, or a key that is there
 * already, as readers do not distinguish upper and lower case and take the first one.
 */
const char *dnssd_txt_add(struct dnssd_txt *txt, const char *key, const char *value);

/** dnssd_txt_clear() - free the strings. */
void dnssd_txt_clear(struct dnssd_txt *txt);

#endif
