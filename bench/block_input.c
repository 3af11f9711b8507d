// SPDX-License-Identifier: BSD-2-Clause
#include "block_input.h"

#include <err.h>
#include <errno.h>
#include <unistd.h>

bool block_input_read(void *block, size_t length)
{
	for (size_t filled = 0; filled < length;) {
		ssize_t n = read(STDIN_FILENO, (char *)block + filled, length - filled);

		if (n < 0 && errno != EINTR)
			err(1, "read from stdin");
		if (n == 0)
			return false;
		filled += n > 0 ? (size_t)n : 0;
	}
	return true;
}
