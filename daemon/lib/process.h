/* SPDX-License-Identifier: BSD-2-Clause */
/* This process, as the system sees it. */
#ifndef DMACAST_PROCESS_H
#define DMACAST_PROCESS_H

#include <stdint.h>

/** process_start_time() - return when it started, in seconds since 1970. */
double process_start_time(void);

/** process_cpu_seconds() - return the CPU time used until now, user and system. */
double process_cpu_seconds(void);

/** process_resident_bytes() - return the resident memory, with the rings; 0 if unknown. */
uint64_t process_resident_bytes(void);

/** process_virtual_bytes() - return the size of the address space; 0 if unknown. */
uint64_t process_virtual_bytes(void);

/** process_open_fds() - return the number of open descriptors; 0 if unknown. */
uint64_t process_open_fds(void);

/**
 * process_keep_standard_fds() - open /dev/null as those of descriptors 0 to 2 that are closed: a socket or a file would
 * get the number, and then output or messages. @flags: as of open()
 */
void process_keep_standard_fds(int flags);

/** process_max_fds() - return the limit of open descriptors; 0 if unknown. */
uint64_t process_max_fds(void);

#endif
