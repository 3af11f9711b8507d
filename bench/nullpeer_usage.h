/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU time that was used, in seconds. */
#ifndef NULLPEER_USAGE_H
#define NULLPEER_USAGE_H

#include <sys/types.h>

struct usage {
	double own, server, machine;
};

/** usage_read() - so far. @server: the process, or 0. Ends the process when that is gone. */
struct usage usage_read(pid_t server);

#endif
