/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of a publisher's standard input. */
#ifndef BENCH_BLOCK_INPUT_H
#define BENCH_BLOCK_INPUT_H

#include <stdbool.h>
#include <stddef.h>

/** block_input_read() - fill @block with @length bytes of stdin. Return false at the end; exit on an error. */
bool block_input_read(void *block, size_t length);

#endif
