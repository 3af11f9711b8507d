/* SPDX-License-Identifier: BSD-2-Clause */
/* This process, as the system sees it. */
#ifndef DMACAST_PROCESS_H
#define DMACAST_PROCESS_H

#include <stdint.h>

/** process_start_time() - seconds since 1970. */
double process_start_time(void);

/** process_cpu_seconds() - that it used so far, user and system. */
double process_cpu_seconds(void);

/** process_resident_bytes() - memory that it has now, the ring included; 0 if that cannot be told. */
uint64_t process_resident_bytes(void);

/** process_virtual_bytes() - address space that it has now; 0 if that cannot be told. */
uint64_t process_virtual_bytes(void);

/** process_open_fds() - 0 if that cannot be told. */
uint64_t process_open_fds(void);

/** process_max_fds() - how many it may have. */
uint64_t process_max_fds(void);

#endif
