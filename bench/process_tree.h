/* SPDX-License-Identifier: BSD-2-Clause */
/* A process and its descendants. */
#ifndef BENCH_PROCESS_TREE_H
#define BENCH_PROCESS_TREE_H

#include <sys/types.h>

/** process_tree_sum() - return the sum of @value over process @root and the children of its main threads. */
double process_tree_sum(pid_t root, double (*value)(pid_t pid));

#endif
