/* SPDX-License-Identifier: BSD-2-Clause */
/* The request that a client sends first: the content of the file of --send. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include <stddef.h>

/**
 * request_read() - return the content of file @name, which is never freed.
 * @most: maximum size in bytes; the minimum is 1
 * @length: out: size in bytes
 *
 * Exit with status 2 if the file cannot be read or has another size.
 */
const char *request_read(const char *name, size_t most, size_t *length);

#endif
