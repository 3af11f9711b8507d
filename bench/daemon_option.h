/* SPDX-License-Identifier: BSD-2-Clause */
/* Options that benchmarks share with the daemon. */
#ifndef BENCH_DAEMON_OPTION_H
#define BENCH_DAEMON_OPTION_H

#include "lib/settings.h"

/** daemon_option_set() - set an option of a stream; see option_set(). Exit with status 2 if it is wrong. */
void daemon_option_set(struct stream_settings *settings, const char *name, const char *text);

#endif
