/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the operator asked for, as plain values. The configuration layer fills these structs, every
 * other layer may read them. When the configuration is read again, a stream's own copy changes, but
 * not in what needs a new start (option_table.h). The meaning of each option is in
 * dmacastd.conf(5); its default and range are in option_table.c.
 */
#ifndef DMACAST_SETTINGS_H
#define DMACAST_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of the words in option_table.c. */
enum lag_policy { LAG_POLICY_DROP, LAG_POLICY_DISCONNECT, LAG_POLICY_BLOCK };
enum zerocopy_mode { ZEROCOPY_AUTO, ZEROCOPY_ALWAYS, ZEROCOPY_NEVER };
enum on_end { ON_END_AUTO, ON_END_CLOSE, ON_END_WAIT };
enum overrun { OVERRUN_DROP_OLDEST, OVERRUN_STALL };
enum huge_pages { HUGE_PAGES_AUTO, HUGE_PAGES_NEVER, HUGE_PAGES_REQUIRE };

/* Stands for "auto" in a number. */
#define SETTING_AUTO UINT64_MAX

/* A list of texts, each owned. */
struct text_list {
	char **item;
	size_t count;
};

struct stream_settings {
	char *name;
	/* The source: exactly one of these three is set. */
	char *input;
	uint64_t pattern;	   /* bytes a second; 0: not asked for */
	unsigned int pattern_form; /* enum pattern_form */
	char *device;		   /* path of a node of dmacast.ko */
	bool loop;
	unsigned int on_end;  /* enum on_end */
	uint64_t hold;	      /* clients */
	uint64_t flush;	      /* microseconds */
	unsigned int overrun; /* enum overrun */
	bool contiguous;
	struct text_list listen;
	/* The ring. */
	uint64_t block_size;	 /* bytes */
	uint64_t ring_size;	 /* bytes */
	uint64_t low_water;	 /* blocks, or SETTING_AUTO */
	unsigned int huge_pages; /* enum huge_pages */
	/* The clients. */
	unsigned int lag_policy; /* enum lag_policy */
	unsigned int zerocopy;	 /* enum zerocopy_mode */
	uint64_t max_clients;
	uint64_t max_clients_per_address; /* 0: as many as max_clients */
	uint64_t send_buffer;		  /* bytes, or SETTING_AUTO: the kernel adapts it */
	uint64_t notsent_lowat;		  /* bytes, or SETTING_AUTO */
	uint64_t keepalive;		  /* microseconds; 0: off */
	uint64_t user_timeout;		  /* microseconds; 0: the kernel's own */
};

struct daemon_settings {
	unsigned int log_level; /* index into the words in option_table.c */
	uint64_t drain_timeout; /* microseconds */
	bool strict;
	char *control; /* path of the control socket; NULL: see control_socket_path() */
	char *metrics; /* where to listen for HTTP; NULL: nowhere */
	bool metrics_per_client;
};

/** stream_settings_blocks() - how many blocks the ring of @settings has. */
static inline uint64_t stream_settings_blocks(const struct stream_settings *settings)
{
	return settings->ring_size / settings->block_size;
}

/** stream_settings_device_returns() - is the device waited for when it is gone? */
static inline bool stream_settings_device_returns(const struct stream_settings *settings)
{
	return settings->device && settings->on_end != ON_END_CLOSE;
}

/** stream_settings_low_water() - the low-water mark in blocks, "auto" worked out. */
static inline uint64_t stream_settings_low_water(const struct stream_settings *settings)
{
	uint64_t blocks = stream_settings_blocks(settings);

	if (settings->low_water != SETTING_AUTO)
		return settings->low_water;
	return blocks >= 16 ? blocks / 8 : 1;
}

/**
 * stream_settings_notsent_lowat() - TCP_NOTSENT_LOWAT in bytes, "auto" worked out.
 *
 * What a stalled client can pin is what its socket took and did not send. A sixteenth of the ring is
 * enough for speed, and little enough for several such clients.
 */
static inline int stream_settings_notsent_lowat(const struct stream_settings *settings)
{
	uint64_t share = settings->ring_size / 16;

	if (settings->notsent_lowat != SETTING_AUTO)
		return (int)settings->notsent_lowat;
	if (share < (128U << 10))
		return 128 << 10;
	return share > (1U << 20) ? 1 << 20 : (int)share;
}

#endif
