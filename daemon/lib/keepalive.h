/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a TCP connection whose other end is gone without a word. */
#ifndef DMACAST_KEEPALIVE_H
#define DMACAST_KEEPALIVE_H

/**
 * keepalive_set() - let the TCP connection @fd end with an error when its peer does not answer for 30
 * seconds. A kernel without one of the options ignores it.
 */
void keepalive_set(int fd);

#endif
