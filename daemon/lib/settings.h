/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The settings of the daemon and of its streams, as plain values. The configuration layer fills these
 * structs, all other layers may read them. Each stream has a copy of its own. When the configuration is
 * read again, members in the first part of a struct keep their values until a restart; the others change
 * in place. The meaning of each option is in
 * dmacastd.conf(5); its default and range are in option_table.c.
 */
#ifndef DMACAST_SETTINGS_H
#define DMACAST_SETTINGS_H

#include "lib/access.h"
#include "lib/client_start.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Same order as the words in option_table.c. */
enum lag_policy { LAG_POLICY_DROP, LAG_POLICY_DISCONNECT, LAG_POLICY_BLOCK, LAG_POLICY_LATEST };
enum zerocopy_mode { ZEROCOPY_AUTO, ZEROCOPY_ALWAYS, ZEROCOPY_NEVER };
enum on_end { ON_END_AUTO, ON_END_CLOSE, ON_END_WAIT };
enum listen_when { LISTEN_NOW, LISTEN_AVAILABLE };
enum overrun { OVERRUN_DROP_OLDEST, OVERRUN_STALL };
enum half_close { HALF_CLOSE_KEEP, HALF_CLOSE_END };
enum client_format { FORMAT_RAW, FORMAT_FRAMED, FORMAT_HTTP };
enum input_format { INPUT_RAW, INPUT_FRAMED };
enum client_input { CLIENT_INPUT_DISCARD, CLIENT_INPUT_SOURCE };
enum huge_pages { HUGE_PAGES_AUTO, HUGE_PAGES_NEVER, HUGE_PAGES_REQUIRE };

/* "auto", in a number. */
#define SETTING_AUTO UINT64_MAX

/* Upper bound of client-input-size, and of what is read of one client at a time, in bytes. */
#define MAX_CLIENT_INPUT 4096U

/* A list of texts, each owned. */
struct text_list {
	char **item;
	size_t count;
};

/* A distance from the newest block, as bytes or as age. Both 0: no limit, or nothing. */
struct lag_limit {
	uint64_t bytes;
	uint64_t microseconds;
};

/*
 * What belongs to a client and to the endpoints where it connects. All members can change while the
 * stream runs.
 */
struct client_settings {
	unsigned int lag_policy; /* enum lag_policy */
	struct lag_limit lag_limit;
	unsigned int half_close; /* enum half_close */
	unsigned int zerocopy;	 /* enum zerocopy_mode */
	unsigned int format;	 /* enum client_format */
	unsigned int input;	 /* enum client_input */
	uint64_t input_size;	 /* bytes of a unit; 0: none */
	struct client_start start;
	uint64_t request_timeout; /* microseconds, of FORMAT_HTTP */
	uint64_t max_clients;
	uint64_t max_clients_per_address; /* 0: the same as max_clients */
	uint64_t send_buffer;		  /* bytes, or SETTING_AUTO: the kernel adapts it */
	uint64_t notsent_lowat;		  /* bytes, or SETTING_AUTO */
	uint64_t socket_memory;		  /* bytes, or SETTING_AUTO */
	uint64_t keepalive;		  /* microseconds; 0: off */
	uint64_t user_timeout;		  /* microseconds; 0: the kernel's own */
	uint64_t connect_rate;		  /* connections a second; 0: no limit */
	struct access_list access;	  /* the lines `allow` and `deny`, in their order */
	uint64_t max_rate;		  /* bytes a second, or UNITS_RATE_MAX */
	char *congestion;		  /* congestion control; NULL: the system's default */
	uint64_t dscp;			  /* 0 to 63 */
	char *interface;		  /* network interface; NULL: every one */
	uint64_t backlog;		  /* connections */
	bool reuse_port;
};

/* A section [endpoint NAME]. */
struct endpoint_settings {
	char *name;
	char *stream;
	struct text_list listen;
	unsigned int listen_when; /* enum listen_when */
	struct client_settings client;
};

#define MAX_RECORD_END 16

/* Bytes at the end of each record. */
struct record_end {
	uint8_t length; /* 0: not set */
	unsigned char byte[MAX_RECORD_END];
};

#define MAX_PREAMBLE (1U << 20)

/* What a client gets before its first block; at most one of both is set. */
struct preamble_setting {
	uint64_t bytes; /* of each run of the source; 0: not set */
	char *path;	/* of a file; NULL: not set */
};

/* The lines `input` of a stream. */
struct input_settings {
	char *first; /* NULL: not set */
	struct text_list
		others; /* further origins of the same blocks, in order, with INPUT_FRAMED */
};

struct stream_settings {
	/* Fixed while the stream runs, so that its source and its endpoints can keep pointers. */
	char *name;
	/* The source: exactly one of input, pattern and device is set. */
	struct input_settings input;
	unsigned int input_format; /* enum input_format */
	uint64_t pattern;	   /* bytes a second; 0: not asked for */
	unsigned int pattern_form; /* enum pattern_form */
	char *device;		   /* path of a node of dmacast.ko */
	bool loop;
	uint64_t baud;	      /* bit/s of a terminal; 0: as it is set */
	unsigned int on_end;  /* enum on_end */
	unsigned int overrun; /* enum overrun */
	bool contiguous;
	/* Records, which blocks do not cut; at most one of both is set. */
	uint64_t record_size; /* bytes; 0: not set */
	struct record_end record_end;
	struct preamble_setting preamble;
	/* The ring. */
	uint64_t block_size;	 /* bytes */
	uint64_t ring_size;	 /* bytes */
	unsigned int huge_pages; /* enum huge_pages */

	/* All members from `listen` to the end can change while the stream runs. */
	struct text_list listen;
	unsigned int listen_when;      /* enum listen_when */
	uint64_t stop_timeout;	       /* microseconds from SIGTERM to SIGKILL for a command */
	uint64_t input_timeout;	       /* microseconds; 0: never */
	uint64_t hold;		       /* clients */
	bool on_demand;		       /* the source runs only while clients are there */
	uint64_t linger;	       /* microseconds from the last client to the stop */
	uint64_t flush;		       /* microseconds */
	uint64_t low_water;	       /* blocks, or SETTING_AUTO */
	struct lag_limit retain;       /* what is kept for clients that do not begin live */
	struct text_list meta;	       /* see meta.h */
	struct client_settings client; /* of `listen` above */
	struct endpoint_settings *endpoints; /* the sections of this stream */
	size_t endpoint_count;
};

/* Settings of one group of endpoints: the stream's own ones, or those of a section [endpoint NAME]. */
struct section_settings {
	const char *name; /* NULL: the stream's own */
	const struct text_list *listen;
	enum listen_when when;
	const struct client_settings *client;
};

struct daemon_settings {
	/* Fixed while the daemon runs. */
	char *control; /* path of the control socket; NULL: see control_path() */
	char *metrics; /* address of the HTTP listener; NULL: none */
	bool metrics_per_client;

	/* All members from `log_level` to the end can change while the daemon runs. */
	unsigned int log_level; /* index into the words in option_table.c */
	uint64_t drain_timeout; /* microseconds */
	bool strict;
};

/* Size of the fixed part in bytes: members at this offset and behind it can change. */
#define STREAM_SETTINGS_FIXED offsetof(struct stream_settings, listen)
#define DAEMON_SETTINGS_FIXED offsetof(struct daemon_settings, log_level)

/** text_list_count() - count the items before index @end that are equal to @text. */
size_t text_list_count(const struct text_list *list, size_t end, const char *text);

/** stream_settings_copy() - copy @settings and all that they own. Return: NULL without memory. */
struct stream_settings *stream_settings_copy(const struct stream_settings *settings);

/** stream_settings_free() - free a copy. NULL is allowed. */
void stream_settings_free(struct stream_settings *settings);

/** stream_settings_clear() - free what @settings own, and set all members to zero. */
void stream_settings_clear(struct stream_settings *settings);

/** client_settings_clear() - free what @settings own, and set all members to zero. */
void client_settings_clear(struct client_settings *settings);

/** endpoint_settings_clear() - free what @settings own, and set all members to zero. */
void endpoint_settings_clear(struct endpoint_settings *settings);

/**
 * stream_settings_add_endpoint() - take over a section. Return: false without memory, and then @endpoint
 * stays with the caller.
 */
bool stream_settings_add_endpoint(struct stream_settings *settings,
				  const struct endpoint_settings *endpoint);

/** stream_settings_find_endpoint() - find a section by its name. Return: NULL if there is none. */
const struct endpoint_settings *
stream_settings_find_endpoint(const struct stream_settings *settings, const char *name);

/** daemon_settings_clear() - free what @settings own, and set all members to zero. */
void daemon_settings_clear(struct daemon_settings *settings);

/**
 * stream_settings_adapt() - give the settings of a running stream the values of @wanted.
 *
 * Exchanges the members that can change, so @wanted has the old values afterwards. The fixed members
 * of both stay as they are. Cannot fail.
 */
void stream_settings_adapt(struct stream_settings *settings, struct stream_settings *wanted);

/** daemon_settings_adapt() - do the same with the settings of the running daemon. */
void daemon_settings_adapt(struct daemon_settings *settings, struct daemon_settings *wanted);

/** stream_settings_blocks() - return the number of blocks in the ring. */
static inline uint64_t stream_settings_blocks(const struct stream_settings *settings)
{
	return settings->ring_size / settings->block_size;
}

/** stream_settings_has_records() - return true if blocks must consist of whole records. */
static inline bool stream_settings_has_records(const struct stream_settings *settings)
{
	return settings->record_size || settings->record_end.length;
}

/** stream_settings_is_relay() - return true if the blocks, with all that identifies them, are those of an origin. */
static inline bool stream_settings_is_relay(const struct stream_settings *settings)
{
	return settings->input.first && settings->input_format == INPUT_FRAMED;
}

/** stream_settings_inputs() - return the number of lines `input`. */
static inline size_t stream_settings_inputs(const struct stream_settings *settings)
{
	return settings->input.first ? 1 + settings->input.others.count : 0;
}

/** stream_settings_input() - return line @index of them. */
static inline const char *stream_settings_input(const struct stream_settings *settings,
						size_t index)
{
	return index ? settings->input.others.item[index - 1] : settings->input.first;
}

/** stream_settings_device_returns() - return true if the stream waits for a device that has gone. */
static inline bool stream_settings_device_returns(const struct stream_settings *settings)
{
	return settings->device && settings->on_end != ON_END_CLOSE;
}

/** stream_settings_listens() - return true if clients can connect to the stream's own endpoints. */
static inline bool stream_settings_listens(const struct stream_settings *settings)
{
	return settings->listen.count || !settings->endpoint_count;
}

/** stream_settings_sections() - return the number of groups of endpoints. The first is the stream's own. */
static inline size_t stream_settings_sections(const struct stream_settings *settings)
{
	return 1 + settings->endpoint_count;
}

/** stream_settings_section() - return group @index. It is valid as long as @settings are. */
struct section_settings stream_settings_section(const struct stream_settings *settings,
						size_t index);

/** stream_settings_listens_on() - return true if the stream or one of its sections has this endpoint. */
bool stream_settings_listens_on(const struct stream_settings *settings, const char *text);

/** stream_settings_max_clients() - return the sum of max-clients of the stream and its sections. */
uint64_t stream_settings_max_clients(const struct stream_settings *settings);

/** stream_settings_only_blocks() - return true if no client of the stream ever gives way. */
bool stream_settings_only_blocks(const struct stream_settings *settings);

/** stream_settings_forward_input() - return true if what clients send goes to the source. */
bool stream_settings_forward_input(const struct stream_settings *settings);

/** stream_settings_low_water() - return the low-water mark in blocks, with "auto" resolved. */
static inline uint64_t stream_settings_low_water(const struct stream_settings *settings)
{
	uint64_t blocks = stream_settings_blocks(settings);

	if (settings->low_water != SETTING_AUTO)
		return settings->low_water;
	return blocks >= 16 ? blocks / 8 : 1;
}

/**
 * client_settings_notsent_lowat() - return the highest TCP_NOTSENT_LOWAT in bytes, with "auto" resolved.
 * @ring_size: bytes
 *
 * A stalled client pins what its socket has accepted and not sent. A sixteenth of the ring is enough for
 * full speed, and small enough for several stalled clients. For many see client_settings_socket_memory().
 */
static inline int client_settings_notsent_lowat(const struct client_settings *settings,
						uint64_t ring_size)
{
	uint64_t share = ring_size / 16;

	if (settings->notsent_lowat != SETTING_AUTO)
		return (int)settings->notsent_lowat;
	if (share < (128U << 10))
		return 128 << 10;
	return share > (1U << 20) ? 1 << 20 : (int)share;
}

/**
 * client_settings_socket_memory() - return the bytes that the sockets of all clients may hold unsent beyond
 * a small amount for each, with "auto" resolved.
 * @ring_size: bytes
 */
static inline uint64_t client_settings_socket_memory(const struct client_settings *settings,
						     uint64_t ring_size)
{
	if (settings->socket_memory != SETTING_AUTO)
		return settings->socket_memory;
	return ring_size > (16U << 20) ? ring_size : 16U << 20;
}

#endif
