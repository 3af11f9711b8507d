/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Huge pages in a memfd, by MADV_COLLAPSE. That waits until each CPU has run a task of the kernel, which takes long on a
 * busy machine and never ends where a real-time process keeps a CPU for itself. So a process of its own does it, and the
 * event loop asks how far it is:
 *
 *   collapse_start() ─▶ COLLAPSE_WAITING ─▶ COLLAPSE_DONE, or COLLAPSE_REFUSED: this kernel cannot
 */
#ifndef DMACAST_COLLAPSE_H
#define DMACAST_COLLAPSE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct collapse {
	pid_t child;	  /* 0: none */
	int pipe;	  /* its reports; -1: none */
	size_t populated; /* bytes that are allocated, as it reported last */
	bool refused;
};

enum collapse_progress { COLLAPSE_WAITING, COLLAPSE_DONE, COLLAPSE_REFUSED };

/** collapse_init() - begin without a process. */
void collapse_init(struct collapse *collapse);

/**
 * collapse_start() - allocate all of a memfd, in huge pages as far as they can be had.
 * @size: bytes, a multiple of those of a page
 * @huge: bytes of a huge page
 *
 * Return: false with errno set, without a process.
 */
bool collapse_start(struct collapse *collapse, int fd, size_t size, size_t huge);

/** collapse_poll() - return how far it is, without waiting. */
enum collapse_progress collapse_poll(struct collapse *collapse);

/** collapse_wait() - wait until collapse_poll() has something to report, at most a tenth of a second. */
void collapse_wait(const struct collapse *collapse);

/** collapse_cancel() - end the process, if there is one. */
void collapse_cancel(struct collapse *collapse);

#endif
