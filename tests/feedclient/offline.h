/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offline - what feedclient does without a network.
 */
#ifndef FEEDCLIENT_OFFLINE_H
#define FEEDCLIENT_OFFLINE_H

/** offline_check() - check --check-file, "-" for stdin, as the only connection of one client. */
void offline_check(void);

/** offline_generate() - write --generate bytes of the pattern to stdout, at --rate. */
void offline_generate(void);

#endif
