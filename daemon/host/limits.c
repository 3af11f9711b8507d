// SPDX-License-Identifier: BSD-2-Clause
#include "host/limits.h"

#include "lib/descriptors.h"
#include "lib/read_proc_integer.h"
#include "lib/locked_memory.h"
#include "lib/log.h"
#include "lib/process.h"
#include "lib/units.h"
#include "lib/zerocopy_needs.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void raise_soft_limit(int resource)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) == 0 &&
	    limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit((__rlimit_resource_t)resource, &limit);
	}
}

void limits_raise(void)
{
	raise_soft_limit(RLIMIT_NOFILE);
	raise_soft_limit(RLIMIT_MEMLOCK);
}

static void report_locked_memory(uint64_t ring_bytes, uint64_t device_bytes, uint64_t clients)
{
	char ring[2 * UNITS_TEXT + sizeof(" (including  of devices, in the kernel)")];
	char each[UNITS_TEXT], limit_text[UNITS_TEXT], device[UNITS_TEXT];
	uint64_t limit = locked_memory_limit();

	units_format_about(ring_bytes, ring);
	if (device_bytes)
		snprintf(ring + strlen(ring), sizeof(ring) - strlen(ring),
			 " (including %s of devices, in the kernel)",
			 units_format_about(device_bytes, device));
	units_format_about(PINNED_PER_CLIENT, each);
	if (limit == UINT64_MAX) {
		log_info("zero-copy may pin up to %s, all rings; locked memory is not limited",
			 ring);
		return;
	}
	log_info("zero-copy may pin up to %s, all rings; RLIMIT_MEMLOCK = %s counts a block once "
		 "for each client that it is being sent to",
		 ring, units_format_about(limit, limit_text));
	if (limit / PINNED_PER_CLIENT < clients)
		log_notice("RLIMIT_MEMLOCK = %s is enough for about %" PRIu64
			   " busy clients of %" PRIu64
			   ", at %s each; beyond that, data is copied; raise it "
			   "(LimitMEMLOCK=, ulimit -l) or set zerocopy = never",
			   limit_text, limit / PINNED_PER_CLIENT, clients, each);
}

static void report_option_memory(void)
{
	int64_t optmem = read_proc_integer("/proc/sys/net/core/optmem_max");

	if (optmem < 0)
		return;
	if (optmem < OPTMEM_WANTED)
		log_notice("net.core.optmem_max = %" PRId64 " is enough for %" PRId64
			   " incomplete zero-copy sends of a client; beyond that, data is copied; "
			   "raise it to %u (sysctl)",
			   optmem, optmem / OPTMEM_PER_SEND, OPTMEM_WANTED);
	else
		log_debug("net.core.optmem_max = %" PRId64 " is enough", optmem);
}

static void report_files(uint64_t clients)
{
	uint64_t limit = process_max_fds();

	log_debug("RLIMIT_NOFILE = %" PRIu64, limit);
	if (limit < clients + OTHER_FILES + descriptors_reserve())
		log_warning("RLIMIT_NOFILE = %" PRIu64 " is too low for max-clients = %" PRIu64
			    "; raise it (LimitNOFILE=, ulimit -Hn) or lower max-clients",
			    limit, clients);
}

/* With MTU probing, kernels from about 6.5 on may report a send as complete before its data was sent. */
static bool report_mtu_probing(bool strict)
{
	int64_t probing = read_proc_integer("/proc/sys/net/ipv4/tcp_mtu_probing");

	if (probing <= 0)
		return true;
	log_message(strict ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		    "net.ipv4.tcp_mtu_probing = %" PRId64
		    ": the kernel may report data as sent before "
		    "it was sent, and clients may get wrong data; set it to 0 (sysctl) or use "
		    "zerocopy = never%s",
		    probing, strict ? "; forbidden by strict = yes" : "");
	return !strict;
}

/* Return how many clients the stream may send to by zero-copy. */
static uint64_t limits_zerocopy_clients(const struct stream_settings *stream)
{
	uint64_t clients = 0;

	if (stream_settings_listens(stream) && stream->client.zerocopy != ZEROCOPY_NEVER)
		clients = stream->client.max_clients;
	for (size_t i = 0; i < stream->endpoint_count; i++) {
		if (stream->endpoints[i].client.zerocopy != ZEROCOPY_NEVER)
			clients += stream->endpoints[i].client.max_clients;
	}
	return clients;
}

bool limits_report(const struct daemon_settings *settings, const struct stream_settings *streams,
		   size_t count)
{
	uint64_t ring_bytes = 0, device_bytes = 0, clients = 0, zerocopy_clients = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t bytes;

		clients += stream_settings_max_clients(&streams[i]);
		if (!limits_zerocopy_clients(&streams[i]))
			continue;
		bytes = stream_settings_blocks(&streams[i]) * streams[i].block_size;
		ring_bytes += bytes;
		if (streams[i].device)
			device_bytes += bytes;
		zerocopy_clients += limits_zerocopy_clients(&streams[i]);
	}
	report_files(clients);
	if (!zerocopy_clients)
		return true;
	report_locked_memory(ring_bytes, device_bytes, zerocopy_clients);
	report_option_memory();
	return report_mtu_probing(settings->strict);
}
