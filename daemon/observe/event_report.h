/* SPDX-License-Identifier: BSD-2-Clause */
/* An event as a line of JSON; dmacastctl(8) describes its members. */
#ifndef DMACAST_EVENT_REPORT_H
#define DMACAST_EVENT_REPORT_H

#include <stdint.h>

struct stream_event;

/** event_report() - return a line without newline, which the caller frees; NULL without memory. */
char *event_report(const struct stream_event *event);

/** event_report_lost() - return the line about events that were not sent, like event_report(). */
char *event_report_lost(uint64_t count);

#endif
