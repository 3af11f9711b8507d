/* SPDX-License-Identifier: BSD-2-Clause */
/* For the kinds of source only: what each of them implements behind source.h. */
#ifndef DMACAST_SOURCE_TYPE_H
#define DMACAST_SOURCE_TYPE_H

#include "source/source.h"

struct source_type {
	void (*start)(struct source *source);
	void (*stop)(struct source *source);
	bool (*is_busy)(const struct source *source); /* optional, as kill */
	void (*kill)(struct source *source);
	void (*adapt)(struct source *source);
	void (*close)(struct source *source);
};

/* The first member of each kind's own struct. */
struct source {
	const struct source_type *type;
	const char *text;
};

/* The openers of the kinds, with the contract of source_open(). */
struct source *source_input_open(struct event_base *base, const struct stream_settings *settings,
				 struct ring *ring, const struct source_callbacks *callbacks,
				 void *argument);
struct source *source_pattern_open(struct event_base *base, const struct stream_settings *settings,
				   struct ring *ring, const struct source_callbacks *callbacks,
				   void *argument);
struct source *source_device_open(struct event_base *base, const struct stream_settings *settings,
				  struct ring *ring, const struct source_callbacks *callbacks,
				  void *argument);

#endif
