/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that do not change and have several owners, such as a text that many clients get. */
#ifndef DMACAST_SHARED_BYTES_H
#define DMACAST_SHARED_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct shared_bytes {
	uint32_t owners;
	uint32_t length;
	unsigned char bytes[];
};

/** shared_bytes_create() - copy @length bytes; the caller is the owner. Return: NULL without memory. */
struct shared_bytes *shared_bytes_create(const void *bytes, size_t length);

/** shared_bytes_keep() - add an owner. Return: @shared; NULL for NULL. */
struct shared_bytes *shared_bytes_keep(struct shared_bytes *shared);

/** shared_bytes_release() - remove an owner; the last one frees the bytes. NULL is allowed. */
void shared_bytes_release(struct shared_bytes *shared);

#endif
