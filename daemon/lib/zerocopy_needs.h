/* SPDX-License-Identifier: BSD-2-Clause */
/* What zero-copy sends take from the limits of the system: for the daemon's messages and for dmacastctl doctor. */
#ifndef DMACAST_ZEROCOPY_NEEDS_H
#define DMACAST_ZEROCOPY_NEEDS_H

/* Option memory in bytes that the kernel charges for each unread notification. */
#define OPTMEM_PER_SEND 768
/* Recommended net.core.optmem_max in bytes. */
#define OPTMEM_WANTED (1U << 20)
/*
 * Locked memory in bytes of one client that keeps a fast link busy: twice the bytes in flight, since a
 * send offers more than the socket accepts, and the kernel counts all that is offered.
 */
#define PINNED_PER_CLIENT (1U << 20)
/* Number of descriptors besides those of clients and those kept back: event loop, logs, sources, endpoints. */
#define OTHER_FILES 64

#endif
