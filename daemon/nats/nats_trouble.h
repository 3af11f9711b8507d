/* SPDX-License-Identifier: BSD-2-Clause */
/* What does not work for now, which is reported once in a while as long as it stays the same. */
#ifndef DMACAST_NATS_TROUBLE_H
#define DMACAST_NATS_TROUBLE_H

#include "nats/nats_server.h"

#include <stdint.h>

struct cat_report;

/* Begin with zeros. */
struct nats_trouble {
	char text[NATS_SERVER_ERROR]; /* that was reported last; "": none */
	uint64_t reported_ns;	      /* monotonic */
};

/** nats_trouble_report() - report it, unless the same was reported within half a minute. */
void nats_trouble_report(struct nats_trouble *trouble, struct cat_report *report, const char *text,
			 uint64_t now_ns);

/** nats_trouble_end() - note that it is over: it is reported at once when it comes again. */
void nats_trouble_end(struct nats_trouble *trouble);

#endif
