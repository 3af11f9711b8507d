/* SPDX-License-Identifier: BSD-2-Clause */
/* Standard output: whatever it is, it is not waited for, but where the kernel has no other way. */
#ifndef DMACAST_CAT_PIPE_H
#define DMACAST_CAT_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAT_PIPE_ERROR 160

struct cat_pipe;

/** cat_pipe_create() - write to standard output; NULL without memory. */
struct cat_pipe *cat_pipe_create(void);

/** cat_pipe_append() - keep bytes for cat_pipe_flush(). Return: false without memory. */
bool cat_pipe_append(struct cat_pipe *pipe, const unsigned char *bytes, size_t length,
		     char error[CAT_PIPE_ERROR]);

/**
 * cat_pipe_flush() - write as much as standard output takes without waiting.
 * @error: out: on failure, the reason, with the number of bytes that were written
 */
bool cat_pipe_flush(struct cat_pipe *pipe, char error[CAT_PIPE_ERROR]);

/** cat_pipe_pending() - return the number of bytes that are not written yet. */
size_t cat_pipe_pending(const struct cat_pipe *pipe);

/** cat_pipe_fd() - return the descriptor to wait for with POLLOUT. */
int cat_pipe_fd(const struct cat_pipe *pipe);

/** cat_pipe_free() - free; what is not written is lost. NULL is allowed. */
void cat_pipe_free(struct cat_pipe *pipe);

#endif
