// SPDX-License-Identifier: BSD-2-Clause
#include "stream/stream_frames.h"

#include "config/escape.h"
#include "lib/log.h"
#include "lib/meta.h"
#include "lib/state.h"
#include "lib/units.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Set @object's member @name. A failure is a lack of memory: the texts of the settings are UTF-8. */
static bool add_metadata_member(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) == 0;
}

static json_t *meta_object(const struct text_list *meta)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < meta->count; i++) {
		char key[META_KEY_TEXT];
		const char *value = meta_key(meta->item[i], key);

		if (add_metadata_member(object, key, json_string(value)))
			continue;
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Return the rate of the stream in bytes per second; 0: none is configured. */
static uint64_t configured_rate(const struct stream_settings *settings)
{
	const char *text = meta_find(&settings->meta, "rate");
	uint64_t rate = settings->pattern;

	if (text && !units_parse_rate(text, &rate))
		rate = settings->pattern;
	return rate == UNITS_RATE_MAX ? 0 : rate;
}

/* What the blocks are made of, if that is configured. */
static bool add_records(json_t *object, const struct stream_settings *settings)
{
	char text[ESCAPE_TEXT(MAX_RECORD_END)];

	if (settings->record_size)
		return add_metadata_member(object, "record_size",
					   json_integer((json_int_t)settings->record_size));
	if (!settings->record_end.length)
		return true;
	escape_format(settings->record_end.byte, settings->record_end.length, text);
	return add_metadata_member(object, "record_end", json_string(text));
}

static bool add_metadata_members(json_t *object, const struct stream_settings *settings,
				 uint32_t epoch)
{
	uint64_t rate = configured_rate(settings);

	return add_metadata_member(object, "stream", json_string(settings->name)) &&
	       add_metadata_member(object, "epoch", json_integer(epoch)) &&
	       add_metadata_member(object, "block_size",
				   json_integer((json_int_t)settings->block_size)) &&
	       add_records(object, settings) &&
	       (!rate || add_metadata_member(object, "rate", json_integer((json_int_t)rate))) &&
	       add_metadata_member(object, "meta", meta_object(&settings->meta));
}

/* Return the metadata as a text that the caller owns; NULL without memory. */
static struct shared_bytes *make_metadata(const struct stream_settings *settings, uint32_t epoch)
{
	struct shared_bytes *metadata = NULL;
	json_t *object = json_object();
	char *text = NULL;

	if (object && add_metadata_members(object, settings, epoch))
		text = json_dumps(object, JSON_COMPACT);
	if (text)
		metadata = shared_bytes_create(text, strlen(text));
	free(text);
	json_decref(object);
	return metadata;
}

static bool is_same_text(const struct shared_bytes *a, const struct shared_bytes *b)
{
	return a && b && a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

/* Take over @metadata. Return: true if they have changed. */
static bool frames_replace_metadata(struct stream_frames *frames, struct shared_bytes *metadata)
{
	if (is_same_text(metadata, frames->metadata)) {
		shared_bytes_release(metadata);
		return false;
	}
	shared_bytes_release(frames->metadata);
	frames->metadata = metadata;
	return true;
}

bool stream_frames_set_metadata(struct stream_frames *frames, const void *bytes, size_t length)
{
	struct shared_bytes *metadata = shared_bytes_create(bytes, length);

	if (metadata)
		return frames_replace_metadata(frames, metadata);
	log_error("stream %s: no memory for the metadata of the origin; clients get its former one",
		  frames->settings->name);
	return false;
}

bool stream_frames_refresh(struct stream_frames *frames)
{
	struct shared_bytes *metadata;

	if (frames->is_relay)
		return false;
	metadata = make_metadata(frames->settings, frames->epoch);

	if (!metadata && !frames->stale)
		log_error("stream %s: no memory for the metadata of frames; trying again with the "
			  "next block",
			  frames->settings->name);
	frames->stale = !metadata;
	if (!metadata)
		return false;
	return frames_replace_metadata(frames, metadata);
}

bool stream_frames_begin_epoch(struct stream_frames *frames)
{
	frames->epoch = frame_new_epoch(frames->epoch);
	frames->starts = true;
	return stream_frames_refresh(frames);
}

bool stream_frames_init(struct stream_frames *frames, const struct stream_settings *settings)
{
	*frames = (struct stream_frames){
		.settings = settings,
		.epoch = frame_new_epoch(0),
		.starts = true,
		.is_relay = stream_settings_is_relay(settings),
	};
	frames->metadata = make_metadata(settings, frames->epoch);
	return frames->metadata;
}

void stream_frames_note_lost(struct stream_frames *frames, uint64_t blocks)
{
	frames->lost_blocks += blocks;
}

static void frames_note_run(struct stream_frames *frames, uint64_t sequence, bool restarts)
{
	frames->run[frames->runs++ % FRAMES_RUNS] = (struct frames_run){
		.sequence = sequence,
		.epoch = frames->epoch,
		.shift = frames->shift,
		.restarts = restarts,
	};
}

/* Return the number of the oldest run that is remembered. */
static uint64_t frames_first_run(const struct stream_frames *frames)
{
	return frames->runs > FRAMES_RUNS ? frames->runs - FRAMES_RUNS : 0;
}

/* Return the run that @sequence is in; NULL: it is not remembered. */
static const struct frames_run *frames_run_of(const struct stream_frames *frames, uint64_t sequence)
{
	for (uint64_t i = frames->runs; i > frames_first_run(frames); i--) {
		const struct frames_run *run = &frames->run[(i - 1) % FRAMES_RUNS];

		if (run->sequence <= sequence)
			return run;
	}
	return NULL;
}

uint32_t stream_frames_epoch_of(const struct stream_frames *frames, uint64_t sequence)
{
	const struct frames_run *run = frames_run_of(frames, sequence);

	return run ? run->epoch : 0;
}

/* Drop the last run if it has had no block until @sequence. Return: true if its numbers did not continue those before. */
static bool frames_drop_empty_run(struct stream_frames *frames, uint64_t sequence)
{
	const struct frames_run *last;

	if (!frames->runs)
		return false;
	last = &frames->run[(frames->runs - 1) % FRAMES_RUNS];
	if (last->sequence != sequence)
		return false;
	frames->runs--;
	return last->restarts;
}

bool stream_frames_follow(struct stream_frames *frames, const struct frame *frame, bool restarts,
			  uint64_t sequence, uint64_t position)
{
	const struct frames_shift shift = { frame->sequence - sequence,
					    frame->position - position };
	bool new_epoch = !frames->is_known || frame->epoch != frames->epoch;

	frames->next = *frame;
	if (!new_epoch && shift.sequence == frames->shift.sequence &&
	    shift.position == frames->shift.position)
		return false;
	restarts |= frames_drop_empty_run(frames, sequence);
	frames->is_known = true;
	frames->epoch = frame->epoch;
	frames->shift = shift;
	frames_note_run(frames, sequence, restarts);
	return new_epoch;
}

struct frames_shift stream_frames_place(const struct stream_frames *frames, uint64_t sequence,
					uint64_t position, bool ends)
{
	struct frames_shift shift = { 0 };
	const struct frames_run *run = NULL;

	/* An end belongs to the block before it. */
	if (!ends)
		run = frames_run_of(frames, sequence);
	else if (sequence)
		run = frames_run_of(frames, sequence - 1);
	if (run)
		shift = run->shift;
	return (struct frames_shift){ sequence + shift.sequence, position + shift.position };
}

/*
 * Find the block after @after in one run.
 * @end: sequence behind the run in the window; @is_last: nothing is behind it
 * @found: in and out; its end is that of the numbers which the run has
 */
static enum frames_search frames_search_run(const struct frames_run *run,
					    const struct block_name *after, uint64_t end,
					    bool is_last, struct frames_found *found)
{
	bool is_current = found->end == FRAMES_NO_END;
	uint64_t behind;

	found->sequence = after->sequence + 1 - run->shift.sequence;
	behind = found->sequence - run->sequence;
	if (behind <= end - run->sequence && found->sequence != found->end)
		return FRAMES_FOUND;
	/* Behind the last run it is still to come. */
	if (!is_current || (is_last && after->sequence >= run->sequence + run->shift.sequence))
		return FRAMES_UNKNOWN;
	return FRAMES_GONE;
}

enum frames_search stream_frames_find(const struct stream_frames *frames,
				      const struct block_name *after, uint64_t head,
				      struct frames_found *found)
{
	enum frames_search result = FRAMES_UNKNOWN, of_run;
	uint64_t end = head;

	found->end = FRAMES_NO_END;
	for (uint64_t i = frames->runs; i > frames_first_run(frames); i--) {
		const struct frames_run *run = &frames->run[(i - 1) % FRAMES_RUNS];

		if (run->epoch == after->epoch) {
			of_run = frames_search_run(run, after, end, i == frames->runs, found);
			if (of_run == FRAMES_FOUND)
				return of_run;
			if (of_run == FRAMES_GONE)
				result = of_run;
		}
		end = run->sequence;
		if (run->restarts)
			found->end = run->sequence;
	}
	return result;
}

uint64_t stream_frames_first(const struct stream_frames *frames)
{
	for (uint64_t i = frames->runs; i > frames_first_run(frames); i--) {
		const struct frames_run *run = &frames->run[(i - 1) % FRAMES_RUNS];

		if (run->restarts)
			return run->sequence;
	}
	return 0;
}

/* Return the metadata of the origin with another epoch; NULL without memory, or if they are no object. */
static struct shared_bytes *frames_date_metadata(const struct shared_bytes *metadata,
						 uint32_t epoch)
{
	json_t *object = json_loadb((const char *)metadata->bytes, metadata->length, 0, NULL);
	struct shared_bytes *dated = NULL;
	char *text = NULL;

	if (object && add_metadata_member(object, "epoch", json_integer(epoch)))
		text = json_dumps(object, JSON_COMPACT);
	if (text)
		dated = shared_bytes_create(text, strlen(text));
	free(text);
	json_decref(object);
	return dated;
}

struct shared_bytes *stream_frames_metadata_of(const struct stream_frames *frames, uint32_t epoch)
{
	struct shared_bytes *metadata = NULL;

	if (epoch != frames->epoch && frames->is_relay)
		metadata = frames_date_metadata(frames->metadata, epoch);
	else if (epoch != frames->epoch)
		metadata = make_metadata(frames->settings, epoch);
	return metadata ? metadata : shared_bytes_keep(frames->metadata);
}

/* Write the header that the origin has sent. */
static void frames_pass_on(const struct stream_frames *frames, struct block *block)
{
	assert(frames->next.length == block->length);
	frame_encode(&frames->next, block->header);
}

void stream_frames_write(struct stream_frames *frames, struct block *block, uint64_t sequence,
			 uint64_t position)
{
	uint64_t lost = frames->lost_blocks;
	uint64_t block_size = frames->settings->block_size;
	int flags = (lost ? FRAME_LOSS : 0) | (block->length < block_size ? FRAME_SHORT : 0) |
		    (frames->starts ? FRAME_START : 0);
	const struct frame frame = {
		.flags = (uint16_t)flags,
		.length = block->length,
		.epoch = frames->epoch,
		.sequence = sequence,
		.position = position,
		.realtime_ns = block->realtime_ns,
		.monotonic_ns = block->captured_ns,
		.lost_bytes = lost * block_size,
		.lost_blocks = lost < UINT32_MAX ? (uint32_t)lost : UINT32_MAX,
	};

	/* Nothing transmits the header: it follows from the pins, as for the block. */
	assert(!block->pins && !block->in_window);
	if (frames->is_relay) {
		frames_pass_on(frames, block);
		return;
	}
	frame_encode(&frame, block->header);
	if (frames->starts)
		frames_note_run(frames, sequence, false);
	frames->starts = false;
	frames->lost_blocks = 0;
}

/* ---- handover ---- */

/* The JSON text has the name, 4 KiB at most for each line of the configuration, and escapes. */
#define MAX_METADATA ((size_t)64 << 20)

static void frames_transfer_shift(struct frames_shift *shift, struct state *state)
{
	state_u64(state, "sequence_shift", &shift->sequence);
	state_u64(state, "position_shift", &shift->position);
}

static void frames_transfer_run(struct frames_run *run, struct state *state)
{
	state_item(state);
	state_u64(state, "sequence", &run->sequence);
	state_u32(state, "epoch", &run->epoch);
	frames_transfer_shift(&run->shift, state);
	state_bool(state, "restarts", &run->restarts);
	state_leave(state);
}

static void frames_transfer_runs(struct stream_frames *frames, struct state *state)
{
	uint64_t first;

	state_u64(state, "runs", &frames->runs);
	first = frames_first_run(frames);
	state_list(state, "run", FRAMES_RUNS);
	for (uint64_t i = first; i < frames->runs && !state_failed(state); i++)
		frames_transfer_run(&frames->run[i % FRAMES_RUNS], state);
	state_list_end(state);
}

void stream_frames_transfer(struct stream_frames *frames, struct state *state)
{
	struct shared_bytes *metadata = state_is_saving(state) ? frames->metadata : NULL;

	state_enter(state, "frames");
	state_u32(state, "epoch", &frames->epoch);
	state_bool(state, "starts", &frames->starts);
	state_u64(state, "lost_blocks", &frames->lost_blocks);
	state_bool(state, "is_known", &frames->is_known);
	frames_transfer_shift(&frames->shift, state);
	state_shared_bytes(state, "metadata", &metadata, MAX_METADATA);
	frames_transfer_runs(frames, state);
	state_leave(state);
	if (state_is_saving(state) || !metadata)
		return;
	shared_bytes_release(frames->metadata);
	frames->metadata = metadata;
}

void stream_frames_free(struct stream_frames *frames)
{
	shared_bytes_release(frames->metadata);
	frames->metadata = NULL;
}
