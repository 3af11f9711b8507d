// SPDX-License-Identifier: BSD-2-Clause
/*
 * The source that fills nothing itself: a DMA engine does, and the kernel says which block is full.
 *
 *   IDLE ─ start ─▶ READING ◀─▶ STARVED (no block can be spared)
 *     ▲                │  │
 *     └──── pause() ───┘  │ device gone, stop()
 *                         ▼
 *                       ENDED
 *
 * A device that goes away is noticed in every state but ENDED.
 *
 * A block that is not lent is free here. The engine needs some of these all the time, so:
 *
 *   low_water   with this many free blocks or fewer, the slowest clients give way
 *   reserve     number of blocks that are never borrowed, though filled ones may wait
 *
 * With the reserve, an engine whose blocks nobody gives back still has some to fill: it loses (or
 * stalls, see `overrun`) between whole blocks, and the kernel counts. The reserve is less than the half
 * of the ring that stalled clients can never pin, so that they do not stop the source for the others.
 */
#include "source/source_type.h"

#include "lib/log.h"
#include "lib/state.h"
#include "ring/ring_device.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Limits for one read(); then other events are handled. */
#define MAX_READ_BYTES (4U << 20)
#define MAX_READ_BLOCKS 64U

/* Part of the ring that is never borrowed. */
#define RESERVE_DIVISOR 8U

/* Upper bound of an errno. */
#define MAX_ERRNO 4095

enum device_state { DEVICE_IDLE, DEVICE_READING, DEVICE_STARVED, DEVICE_ENDED };

struct device_source {
	struct source source;
	const struct stream_settings *settings;
	struct ring *ring;
	enum device_state state;
	uint32_t low_water, reserve; /* blocks */
	uint32_t read_blocks;
	struct event readable;
	struct event hangup;
	struct event resume;
	struct event failed; /* reports from the event loop that the start failed */
	int error;
	uint64_t blocks, lost, shorter;
	struct log_limit lost_log, broken_log;
};

static const char *device_why_lost(const struct ring_device_block *filled)
{
	if (filled->after_suspend)
		return "the machine was suspended, and what came meanwhile is lost, too";
	return filled->after_error ? "transfers failed" : "no block was free";
}

static void device_report_lost(struct device_source *device, const struct ring_device_block *filled)
{
	device->lost += filled->lost;
	device->source.callbacks->blocks_lost(device->source.argument, filled->lost);
	log_limited(&device->lost_log, LOG_LEVEL_WARNING,
		    "stream %s: device %s: %" PRIu64 " blocks lost: %s", device->settings->name,
		    device->settings->device, filled->lost, device_why_lost(filled));
}

/* Where a device sends packets, every block is short: log the first one only. */
static void device_report_short(struct device_source *device,
				const struct ring_device_block *filled)
{
	if (!device->shorter++)
		log_notice("stream %s: device %s: a transfer ended after %" PRIu32
			   " bytes; more such blocks are only counted",
			   device->settings->name, device->settings->device, filled->block->length);
}

static void device_check_record(struct device_source *device, const struct block *block)
{
	uint64_t size = device->settings->record_size;

	if (!size || block->length % size == 0)
		return;
	device->source.callbacks->record_broken(device->source.argument);
	log_limited(&device->broken_log, LOG_LEVEL_WARNING,
		    "stream %s: device %s: a transfer ended after %" PRIu32
		    " bytes, within a record (record-size = %" PRIu64 ")",
		    device->settings->name, device->settings->device, block->length, size);
}

static void device_hand_on(struct device_source *device, const struct ring_device_block *filled,
			   int count)
{
	for (int i = 0; i < count; i++) {
		device->blocks++;
		if (filled[i].lost)
			device_report_lost(device, &filled[i]);
		if (filled[i].is_short)
			device_report_short(device, &filled[i]);
		device_check_record(device, filled[i].block);
		device->source.callbacks->block_filled(device->source.argument, filled[i].block);
	}
	if (count > 0) {
		source_note_bytes(&device->source);
		device->source.callbacks->ready(device->source.argument);
	}
}

static void device_make_room_if_low(struct device_source *device)
{
	if (ring_free_blocks(device->ring) <= device->low_water)
		device->source.callbacks->make_room(device->source.argument);
}

static void device_set_ended(struct device_source *device)
{
	event_del(&device->readable);
	event_del(&device->hangup);
	event_del(&device->resume);
	event_del(&device->failed);
	ring_on_free(device->ring, 0, NULL, NULL);
	if (device->state != DEVICE_ENDED && (device->lost || device->shorter))
		log_info("stream %s: device %s: %" PRIu64 " blocks, %" PRIu64 " short, and %" PRIu64
			 " lost",
			 device->settings->name, device->settings->device, device->blocks,
			 device->shorter, device->lost);
	device->state = DEVICE_ENDED;
	source_set_state(&device->source, SOURCE_ENDED, false);
}

static void device_end(struct device_source *device, int error)
{
	const char *why = strerror(error);

	if (error == ENODEV) {
		why = "device gone";
		log_warning("stream %s: device %s is gone", device->settings->name,
			    device->settings->device);
	} else {
		log_warning("stream %s: device %s: %s", device->settings->name,
			    device->settings->device, why);
	}
	source_note_end(&device->source, why);
	device_set_ended(device);
	device->source.callbacks->ended(device->source.argument, why);
}

static void device_read_blocks(evutil_socket_t fd, short what, void *argument)
{
	struct device_source *device = argument;
	struct ring_device_block filled[MAX_READ_BLOCKS];
	uint32_t most;
	int count;

	(void)fd;
	(void)what;
	device_make_room_if_low(device);
	most = ring_free_blocks(device->ring);
	if (most <= device->reserve) {
		event_del(&device->readable);
		device->state = DEVICE_STARVED;
		source_set_state(&device->source, SOURCE_RUNNING, true);
		device->source.callbacks->starved(device->source.argument);
		ring_want_free(device->ring);
		return; /* device_resume() follows */
	}
	most -= device->reserve;
	if (most > device->read_blocks)
		most = device->read_blocks;
	count = ring_device_read(device->ring, filled, most);
	if (count < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			device_end(device, errno);
		return;
	}
	device_hand_on(device, filled, count);
	device_make_room_if_low(device);
}

/*
 * A device is never writable, so this is EPOLLHUP or EPOLLERR, which libevent reports as writable.
 * Without it, a source that waits for blocks would learn that its device is gone when they come back.
 */
static void device_hung_up(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	device_end(argument, ENODEV);
}

static void device_watch(struct device_source *device)
{
	device->state = DEVICE_READING;
	source_set_state(&device->source, SOURCE_RUNNING, false);
	event_add(&device->readable, NULL);
}

/* Called within ring_put(), deep inside the code that recycles: only note it. */
static void device_ring_has_free(void *argument)
{
	struct device_source *device = argument;

	event_active(&device->resume, EV_TIMEOUT, 0);
}

static void device_resume(evutil_socket_t fd, short what, void *argument)
{
	struct device_source *device = argument;

	(void)fd;
	(void)what;
	if (device->state == DEVICE_STARVED)
		device_watch(device);
}

static void device_start_failed(evutil_socket_t fd, short what, void *argument)
{
	struct device_source *device = argument;

	(void)fd;
	(void)what;
	device_end(device, device->error);
}

static void device_start(struct source *source)
{
	struct device_source *device = (struct device_source *)source;

	if (ring_device_start(device->ring)) {
		device_watch(device);
		return;
	}
	device->error = errno;
	event_active(&device->failed, EV_TIMEOUT, 0);
}

/* Stop the engine, and hand on what is filled by now. */
static void device_stop_engine(struct device_source *device)
{
	struct ring_device_block filled[MAX_READ_BLOCKS];
	bool was_running = device->state == DEVICE_READING || device->state == DEVICE_STARVED;
	int count = 1;

	ring_device_stop(device->ring);
	/* The engine needs no reserve any more. */
	while (was_running && ring_free_blocks(device->ring) && count > 0) {
		count = ring_device_read(device->ring, filled, MAX_READ_BLOCKS);
		if (count > 0)
			device_hand_on(device, filled, count);
	}
}

/* The engine stands still, and poll() would report that as readable. */
static void device_pause(struct source *source)
{
	struct device_source *device = (struct device_source *)source;

	device_stop_engine(device);
	event_del(&device->readable);
	event_del(&device->resume);
	event_del(&device->failed);
	device->state = DEVICE_IDLE;
	source_set_state(source, SOURCE_WAITING, false);
}

static void device_stop(struct source *source)
{
	struct device_source *device = (struct device_source *)source;

	device_stop_engine(device);
	device_set_ended(device);
}

static void device_close(struct source *source)
{
	struct device_source *device = (struct device_source *)source;

	ring_device_stop(device->ring);
	device_set_ended(device);
	free(device);
}

/* See the top of this file. */
static uint32_t device_reserve(uint32_t blocks, uint32_t low_water)
{
	uint32_t reserve = blocks >= RESERVE_DIVISOR ? blocks / RESERVE_DIVISOR : 1;
	uint32_t most = (blocks + 1) / 2 - 2;

	if (reserve > low_water)
		reserve = low_water;
	return reserve < most ? reserve : most;
}

static void device_adapt(struct source *source)
{
	struct device_source *device = (struct device_source *)source;
	const struct stream_settings *settings = device->settings;
	uint32_t notify_at;

	device->low_water = (uint32_t)stream_settings_low_water(settings);
	device->reserve = device_reserve(ring_blocks(device->ring), device->low_water);
	/* Where clients do not give way, wait for several blocks at once. */
	notify_at = stream_settings_only_blocks(settings) ? device->low_water : device->reserve;
	notify_at++;
	ring_on_free(device->ring, notify_at, device_ring_has_free, device);
}

/* ---- handover: the ring has the node, and the engine goes on ---- */

static void device_transfer(struct device_source *device, struct state *state)
{
	bool has_failed = event_pending(&device->failed, EV_TIMEOUT, NULL);
	int number = (int)device->state;

	state_choice(state, "device_state", &number, DEVICE_ENDED + 1);
	device->state = (enum device_state)number;
	state_u64(state, "blocks", &device->blocks);
	state_u64(state, "lost", &device->lost);
	state_u64(state, "shorter", &device->shorter);
	number = device->error;
	state_choice(state, "error", &number, MAX_ERRNO + 1);
	device->error = number;
	state_bool(state, "has_failed", &has_failed);
	if (!state_is_saving(state) && has_failed)
		event_active(&device->failed, EV_TIMEOUT, 0);
}

static void device_source_save(struct source *source, struct state *state)
{
	device_transfer((struct device_source *)source, state);
}

static const struct source_type device_type = {
	.start = device_start,
	.pause = device_pause,
	.stop = device_stop,
	.adapt = device_adapt,
	.save = device_source_save,
	.close = device_close,
};

struct source *source_device_open(struct event_base *base, const struct stream_settings *settings,
				  struct ring *ring, const struct source_callbacks *callbacks,
				  void *argument)
{
	struct device_source *device = calloc(1, sizeof(*device));

	if (!device) {
		log_error("stream %s: no memory for the device", settings->name);
		return NULL;
	}
	source_init(&device->source, &device_type, settings->device, callbacks, argument);
	device->settings = settings;
	device->ring = ring;
	device->read_blocks = (uint32_t)(MAX_READ_BYTES / ring_block_size(ring));
	if (device->read_blocks < 1)
		device->read_blocks = 1;
	if (device->read_blocks > MAX_READ_BLOCKS)
		device->read_blocks = MAX_READ_BLOCKS;
	event_assign(&device->readable, base, ring_device_fd(ring), EV_READ | EV_PERSIST,
		     device_read_blocks, device);
	event_assign(&device->hangup, base, ring_device_fd(ring), EV_WRITE | EV_PERSIST,
		     device_hung_up, device);
	event_add(&device->hangup, NULL);
	event_assign(&device->resume, base, -1, 0, device_resume, device);
	event_assign(&device->failed, base, -1, 0, device_start_failed, device);
	device_adapt(&device->source);
	return &device->source;
}

/* Continue in the state that was restored. */
static void device_continue(struct device_source *device, struct state *state)
{
	switch (device->state) {
	case DEVICE_READING:
		if (event_add(&device->readable, NULL))
			state_fail(state, "no memory");
		break;
	case DEVICE_STARVED:
		/* Blocks may have come back meanwhile. */
		ring_want_free(device->ring);
		device_adapt(&device->source);
		break;
	case DEVICE_ENDED:
		event_del(&device->hangup);
		ring_on_free(device->ring, 0, NULL, NULL);
		break;
	case DEVICE_IDLE:
		break;
	}
}

struct source *source_device_restore(struct event_base *base,
				     const struct stream_settings *settings, struct ring *ring,
				     const struct source_callbacks *callbacks, void *argument,
				     struct state *state)
{
	struct source *source = source_device_open(base, settings, ring, callbacks, argument);
	struct device_source *device = (struct device_source *)source;

	if (!source)
		return NULL;
	source_transfer(source, state);
	device_transfer(device, state);
	if (!state_failed(state))
		device_continue(device, state);
	return source;
}
