// SPDX-License-Identifier: BSD-2-Clause
#include "lib/shared_bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct shared_bytes *shared_bytes_create(const void *bytes, size_t length)
{
	struct shared_bytes *shared = malloc(sizeof(*shared) + length);

	assert(length <= UINT32_MAX);
	if (!shared)
		return NULL;
	shared->owners = 1;
	shared->length = (uint32_t)length;
	memcpy(shared->bytes, bytes, length);
	return shared;
}

struct shared_bytes *shared_bytes_keep(struct shared_bytes *shared)
{
	if (shared)
		shared->owners++;
	return shared;
}

void shared_bytes_release(struct shared_bytes *shared)
{
	if (!shared)
		return;
	assert(shared->owners);
	if (!--shared->owners)
		free(shared);
}
