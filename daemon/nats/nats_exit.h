/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit statuses of dmacast-nats, besides 2 for wrong usage. */
#ifndef DMACAST_NATS_EXIT_H
#define DMACAST_NATS_EXIT_H

enum nats_exit { NATS_EXIT_ALL = 0, NATS_EXIT_ERROR = 1, NATS_EXIT_LOST = 3 };

#endif
