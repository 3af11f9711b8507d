/* SPDX-License-Identifier: BSD-2-Clause */
/* The files by which a user is known: the library reads some of them only while it connects, and then tries again. */
#ifndef DMACAST_NATS_SECRETS_H
#define DMACAST_NATS_SECRETS_H

#include "nats/nats_options.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * nats_secrets_check() - look whether the files of the options can be read, and the seed of an NKey is one.
 * @error: out: on failure, the file and what is wrong
 */
bool nats_secrets_check(const struct nats_server_options *options, char *error, size_t size);

#endif
