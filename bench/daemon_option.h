/* SPDX-License-Identifier: BSD-2-Clause */
/* Options that a benchmark has as the daemon has them. */
#ifndef BENCH_DAEMON_OPTION_H
#define BENCH_DAEMON_OPTION_H

#include "lib/settings.h"

/** daemon_option_set() - one of a stream; see option_set(). Ends the program with status 2 when it is wrong. */
void daemon_option_set(struct stream_settings *settings, const char *name, const char *text);

#endif
