/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that clients may not use, so that a source can be opened again, and the operator and the
 * metrics can connect, while clients take all that they can get.
 */
#ifndef DMACAST_DESCRIPTORS_H
#define DMACAST_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* Number of descriptors that are kept back, at most a quarter of the limit. */
#define MAX_DESCRIPTOR_RESERVE 64U

/** descriptors_reserve() - return the number of descriptors that are kept back, by RLIMIT_NOFILE. */
uint64_t descriptors_reserve(void);

/** descriptors_reserve_of() - return the same for any process, with this limit. */
uint64_t descriptors_reserve_of(uint64_t limit);

/**
 * descriptors_is_reserved() - return true if the open descriptor @fd is one of those kept back.
 *
 * The kernel gives out the lowest free number, so the highest ones stay free if clients give them back.
 */
bool descriptors_is_reserved(int fd);

#endif
