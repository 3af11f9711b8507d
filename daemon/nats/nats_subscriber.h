/* SPDX-License-Identifier: BSD-2-Clause */
/* dmacast-nats subscribe: from a stream of JetStream to standard output. */
#ifndef DMACAST_NATS_SUBSCRIBER_H
#define DMACAST_NATS_SUBSCRIBER_H

#include "nats/nats_options.h"

/** nats_subscribe() - run the command until a signal or an error. Return: the exit status. */
int nats_subscribe(struct nats_options *options);

#endif
