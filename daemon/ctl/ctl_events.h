/* SPDX-License-Identifier: BSD-2-Clause */
/* The command "events": print events as they happen, until the daemon ends. */
#ifndef DMACAST_CTL_EVENTS_H
#define DMACAST_CTL_EVENTS_H

#include "ctl/ctl_connection.h"

/**
 * events_forward() - write whole lines from a connection to standard output as they come.
 * @descriptor: of the connection
 * @error: out: one line; why this ended
 *
 * Ends the program by SIGPIPE, at once, if nobody reads standard output any more.
 */
void events_forward(int descriptor, char error[CTL_ERROR_TEXT]);

#endif
