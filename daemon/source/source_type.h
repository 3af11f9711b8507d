/* SPDX-License-Identifier: BSD-2-Clause */
/* For the kinds of source only: what each of them implements behind source.h. */
#ifndef DMACAST_SOURCE_TYPE_H
#define DMACAST_SOURCE_TYPE_H

#include "lib/clock.h"
#include "source/source.h"

struct source_type {
	void (*start)(struct source *source);
	void (*pause)(struct source *source);
	void (*stop)(struct source *source);
	bool (*is_busy)(const struct source *source); /* optional, as kill */
	void (*kill)(struct source *source);
	void (*adapt)(struct source *source);
	ssize_t (*write)(struct source *source, const void *bytes, size_t length); /* optional */
	void (*save)(struct source *source, struct state *state);
	void (*close)(struct source *source);
};

#define SOURCE_WHY_TEXT 128

/* The first member of each kind's own struct. */
struct source {
	const struct source_type *type;
	const char *text;
	const struct source_callbacks *callbacks;
	void *argument;			/* of the callbacks */
	enum source_state state;	/* never SOURCE_SILENT, which depends on the time */
	bool held_up;			/* no block is free: its silence is not the source's */
	uint64_t since_ns;		/* of SOURCE_RUNNING without being held up */
	uint64_t last_byte_ns;		/* 0: none has come */
	char why_down[SOURCE_WHY_TEXT]; /* for the next end of SOURCE_RUNNING; "": unknown */
};

/** source_init() - begin in SOURCE_WAITING. @type, @text, @callbacks: must outlive the source */
void source_init(struct source *source, const struct source_type *type, const char *text,
		 const struct source_callbacks *callbacks, void *argument);

/** source_set_state() - note a state, and call up() or down() if SOURCE_RUNNING begins or ends. */
void source_set_state(struct source *source, enum source_state state, bool held_up);

/** source_note_end() - note why SOURCE_RUNNING will end; the text is copied. */
void source_note_end(struct source *source, const char *why);

/** source_note_bytes() - bytes have come. */
static inline void source_note_bytes(struct source *source)
{
	if (source->state != SOURCE_RUNNING)
		source_set_state(source, SOURCE_RUNNING, source->held_up);
	source->last_byte_ns = clock_monotonic_ns();
}

/* The openers of the kinds, with the contract of source_open(). */
struct source *source_input_open(struct event_base *base, const struct stream_settings *settings,
				 struct ring *ring, const struct names *names,
				 const struct source_callbacks *callbacks, void *argument);
struct source *source_framed_open(struct event_base *base, const struct stream_settings *settings,
				  struct ring *ring, const struct source_callbacks *callbacks,
				  void *argument);
struct source *source_pattern_open(struct event_base *base, const struct stream_settings *settings,
				   struct ring *ring, const struct source_callbacks *callbacks,
				   void *argument);
struct source *source_device_open(struct event_base *base, const struct stream_settings *settings,
				  struct ring *ring, const struct source_callbacks *callbacks,
				  void *argument);

/*
 * The same for source_restore(), within the object "source". Each one restores the members of struct source, too.
 * Return: NULL without memory. A source that is returned although the state has failed is closed by the caller.
 */
struct source *source_input_restore(struct event_base *base, const struct stream_settings *settings,
				    struct ring *ring, const struct source_callbacks *callbacks,
				    void *argument, struct state *state);
struct source *source_framed_restore(struct event_base *base,
				     const struct stream_settings *settings, struct ring *ring,
				     const struct source_callbacks *callbacks, void *argument,
				     struct state *state);
struct source *source_pattern_restore(struct event_base *base,
				      const struct stream_settings *settings, struct ring *ring,
				      const struct source_callbacks *callbacks, void *argument,
				      struct state *state);
struct source *source_device_restore(struct event_base *base,
				     const struct stream_settings *settings, struct ring *ring,
				     const struct source_callbacks *callbacks, void *argument,
				     struct state *state);

/** source_transfer() - save or restore the members of struct source, without calls of its callbacks. */
void source_transfer(struct source *source, struct state *state);

#endif
