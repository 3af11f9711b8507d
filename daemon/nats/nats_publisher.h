/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacast-nats publish: from a stream of dmacastd into a stream of JetStream. */
#ifndef DMACAST_NATS_PUBLISHER_H
#define DMACAST_NATS_PUBLISHER_H

#include "nats/nats_options.h"

/** nats_publish() - run the command until a signal or an error. Return: the exit status. */
int nats_publish(struct nats_options *options);

#endif
