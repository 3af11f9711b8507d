/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client says first: the content of the file that --send names. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stddef.h>

/**
 * request_read() - the content of file @name, which is not freed.
 * @most: bytes that it may have; it has to have one at least
 * @length: out
 *
 * Ends the program with status 2 when it cannot be had, or has more.
 */
const char *request_read(const char *name, size_t most, size_t *length);

#endif
