/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a server, with the data that its sockets hold. */
#ifndef BENCH_SERVER_MEMORY_H
#define BENCH_SERVER_MEMORY_H

#include <sys/types.h>

/**
 * server_memory_read() - return the memory of a server in bytes
 * @server: a process, counted with its descendants
 *
 * Adds the resident memory and the bytes in the send queues of all TCP sockets of this network namespace. Clients
 * that only receive have nothing in theirs.
 */
double server_memory_read(pid_t server);

#endif
