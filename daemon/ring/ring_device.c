// SPDX-License-Identifier: BSD-2-Clause
#include "ring/ring_device.h"

#include "lib/interrupted.h"
#include "lib/log.h"
#include "lib/refuse.h"
#include "lib/state.h"
#include "lib/units.h"
#include "ring/ring_type.h"

#include <assert.h>
#include <uapi/dmacast.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Limit for one read(). */
#define MAX_RECORDS 64U
/* Number of returned blocks that are written before the turn of the event loop ends; or this part of
 * the ring, so that the engine of a small one need not wait. */
#define RETURN_AT 32U
#define RETURN_DIVISOR 8U

/* Delay after an error of write() that may be temporary. */
static const struct timeval retry_time = { .tv_usec = 10000 };

enum place { WITH_KERNEL, LENT, RETURNED };

struct device_ring {
	struct ring ring;
	const struct stream_settings *settings;
	int fd;
	unsigned char *memory;
	size_t mapped;
	size_t stride; /* bytes from a block to the next one in `memory` */
	bool running;
	bool gone;	      /* the device: returned blocks are not written any more */
	unsigned char *place; /* enum place of each block */
	uint32_t *returned;   /* indices that are not written yet */
	uint32_t returned_count;
	uint32_t return_at;
	struct event turn_over;
	struct log_limit fault_log;
};

static struct device_ring *device_of(struct ring *ring)
{
	return (struct device_ring *)ring;
}

/* Log that the kernel and the daemon disagree about the state of a block. */
static void __attribute__((format(printf, 2, 3)))
report_fault(struct device_ring *device, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_limited(&device->fault_log, LOG_LEVEL_ERROR,
		    "stream %s: device %s: %s; please report this", device->settings->name,
		    device->settings->device, text);
}

/* ---- giving back ---- */

static void write_returned(struct device_ring *device)
{
	uint32_t done = 0;

	while (!device->gone && done < device->returned_count) {
		const uint32_t *rest = device->returned + done;
		/* model: write */
		ssize_t n =
			write(device->fd, rest, (device->returned_count - done) * sizeof(*rest));

		if (n > 0) {
			for (uint32_t i = 0; i < (size_t)n / sizeof(*rest); i++)
				device->place[rest[i]] = WITH_KERNEL;
			done += (uint32_t)((size_t)n / sizeof(*rest));
		} else if (n < 0 && errno == ENODEV) {
			device->gone = true;
		} else if (n < 0 && errno == EINVAL) {
			/* The kernel has it already. The others are still to be written. */
			report_fault(device, "block %u was returned, but was not lent", *rest);
			device->place[*rest] = WITH_KERNEL;
			done++;
		} else if (n == 0 || errno != EINTR) {
			report_fault(device, "write: %s", n ? strerror(errno) : "nothing written");
			break;
		}
	}
	device->returned_count = device->gone ? 0 : device->returned_count - done;
	if (device->returned_count) {
		memmove(device->returned, device->returned + done,
			device->returned_count * sizeof(*device->returned));
		event_add(&device->turn_over, &retry_time);
	}
}

static void turn_is_over(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	write_returned(argument);
}

static void return_index(struct device_ring *device, uint32_t index)
{
	if (device->gone)
		return;
	device->place[index] = RETURNED;
	device->returned[device->returned_count++] = index;
	if (device->returned_count >= device->return_at)
		write_returned(device);
	else if (device->returned_count == 1)
		event_active(&device->turn_over, EV_TIMEOUT, 0);
}

static void device_give_back(struct ring *ring, struct block *block)
{
	struct device_ring *device = device_of(ring);

	assert(device->gone || device->place[block->index] == LENT);
	return_index(device, block->index);
}

/* ---- borrowing ---- */

/* Return: false if the record contradicts the state of the block. */
static bool accept_record(struct device_ring *device, const struct dmacast_block *record,
			  struct ring_device_block *filled)
{
	struct ring *ring = &device->ring;
	struct block *block;

	if (record->index >= ring->blocks || device->place[record->index] != WITH_KERNEL) {
		report_fault(device, "block %u was lent, but is %s", record->index,
			     record->index < ring->blocks ? "not the kernel's" : "beyond the ring");
		return false;
	}
	if (!record->length || record->length > ring->block_size) {
		report_fault(device, "block %u has a length of %" PRIu64, record->index,
			     (uint64_t)record->length);
		return_index(device, record->index);
		return false;
	}
	device->place[record->index] = LENT;
	block = ring_take_block(ring, record->index);
	block->length = (uint32_t)record->length;
	block->monotonic_ns = record->monotonic_ns;
	block->captured_ns = record->monotonic_ns;
	block->realtime_ns = record->realtime_ns;
	*filled = (struct ring_device_block){
		.block = block,
		.lost = record->lost,
		.after_error = record->flags & DMACAST_BLOCK_AFTER_ERROR,
		.after_suspend = record->flags & DMACAST_BLOCK_AFTER_SUSPEND,
		.is_short = record->flags & DMACAST_BLOCK_SHORT,
	};
	return true;
}

int ring_device_read(struct ring *ring, struct ring_device_block *blocks, uint32_t most)
{
	struct device_ring *device = device_of(ring);
	struct dmacast_block record[MAX_RECORDS];
	int count = 0;
	ssize_t n;

	if (most > MAX_RECORDS)
		most = MAX_RECORDS;
	/* model: lend */
	n = REPEAT_INTERRUPTED(read(device->fd, record, most * sizeof(*record)));
	if (n < 0 && errno == ENODEV)
		device->gone = true;
	if (n < 0)
		return -1;
	for (size_t i = 0; i < (size_t)n / sizeof(*record); i++)
		count += accept_record(device, &record[i], &blocks[count]);
	return count;
}

/* ---- setting up ---- */

int ring_device_fd(const struct ring *ring)
{
	return ((const struct device_ring *)(const void *)ring)->fd;
}

bool ring_device_start(struct ring *ring)
{
	struct device_ring *device = device_of(ring);

	device->running = ioctl(device->fd, DMACAST_IOC_START) == 0;
	return device->running;
}

void ring_device_stop(struct ring *ring)
{
	struct device_ring *device = device_of(ring);

	if (device->running && ioctl(device->fd, DMACAST_IOC_STOP) && errno != ENODEV)
		log_warning("stream %s: device %s: cannot be stopped: %s", device->settings->name,
			    device->settings->device, strerror(errno));
	device->running = false;
}

static bool open_node(struct device_ring *device, char wrong[RING_DEVICE_WRONG])
{
	device->fd = REPEAT_INTERRUPTED(
		open(device->settings->device, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
	if (device->fd >= 0)
		return true;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return refuse(wrong, RING_DEVICE_WRONG,
			      "%s: dmacast.ko is not loaded, or has no such channel",
			      strerror(errno));
	case EBUSY:
		return refuse(wrong, RING_DEVICE_WRONG, "another process has it open");
	case EPERM:
		return refuse(
			wrong, RING_DEVICE_WRONG,
			"%s: the device policy of the service or container denies it; with "
			"systemd, add DeviceAllow=char-dmacast and run systemctl daemon-reload",
			strerror(errno));
	case EACCES:
		return refuse(wrong, RING_DEVICE_WRONG, "%s; its group may use it",
			      strerror(errno));
	default:
		return refuse(wrong, RING_DEVICE_WRONG, "%s", strerror(errno));
	}
}

static bool check_info(const struct device_ring *device, char wrong[RING_DEVICE_WRONG])
{
	const struct stream_settings *settings = device->settings;
	char size[UNITS_TEXT], most[UNITS_TEXT];
	struct dmacast_info info;

	memset(&info, 0, sizeof(info));
	if (ioctl(device->fd, DMACAST_IOC_INFO, &info))
		return refuse(wrong, RING_DEVICE_WRONG, "%s",
			      errno == ENODEV ? strerror(errno) : "not a device of dmacast.ko");
	if (info.abi_version < DMACAST_ABI_VERSION)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "dmacast.ko is too old: its interface is version %u, not %u",
			      info.abi_version, DMACAST_ABI_VERSION);
	if (settings->block_size % info.page_size || settings->block_size > info.max_block_size)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "block-size = %s: expected a multiple of %u, at most %s",
			      units_format_size(settings->block_size, size), info.page_size,
			      units_format_size(info.max_block_size, most));
	if (device->ring.blocks > info.max_block_count)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "ring-size: %u blocks; expected at most %u, or larger blocks",
			      device->ring.blocks, info.max_block_count);
	return true;
}

static bool map_blocks(struct device_ring *device, const struct dmacast_setup *setup,
		       char wrong[RING_DEVICE_WRONG])
{
	uint32_t blocks = device->ring.blocks;
	void *memory;

	if (setup->map_size > SIZE_MAX || setup->stride < device->ring.block_size ||
	    setup->map_size / blocks < setup->stride)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "a ring of %" PRIu64 " bytes, a block each %" PRIu64,
			      (uint64_t)setup->map_size, (uint64_t)setup->stride);
	memory = mmap(NULL, (size_t)setup->map_size, PROT_READ, MAP_SHARED, device->fd, 0);
	if (memory == MAP_FAILED)
		return refuse(wrong, RING_DEVICE_WRONG, "cannot be mapped: %s", strerror(errno));
	device->memory = memory;
	device->mapped = (size_t)setup->map_size;
	device->stride = (size_t)setup->stride;
	ring_place_blocks(&device->ring, memory, device->stride);
	return true;
}

static bool set_up_blocks(struct device_ring *device, char wrong[RING_DEVICE_WRONG])
{
	const struct stream_settings *settings = device->settings;
	struct dmacast_setup setup = {
		.block_size = settings->block_size,
		.block_count = device->ring.blocks,
		.flags = (settings->overrun == OVERRUN_STALL ? DMACAST_SETUP_STALL : 0) |
			 (settings->contiguous ? DMACAST_SETUP_CONTIGUOUS : 0),
	};
	char size[UNITS_TEXT];

	if (ioctl(device->fd, DMACAST_IOC_SETUP, &setup) == 0)
		return map_blocks(device, &setup, wrong);
	if (errno == ENOMEM)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "no %s of memory for the ring; lower ring-size; the kernel log "
			      "says more",
			      units_format_about(settings->block_size * device->ring.blocks, size));
	if (errno == EINVAL)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "the ring is refused; the kernel log says why");
	if (errno == EBUSY)
		return refuse(wrong, RING_DEVICE_WRONG,
			      "too much of the former ring is still being sent; the kernel "
			      "log says how much");
	return refuse(wrong, RING_DEVICE_WRONG, "no ring: %s", strerror(errno));
}

static bool device_ask(const struct ring *ring, struct ring_kernel_report *report)
{
	struct dmacast_stats stats;

	if (ioctl(ring_device_fd(ring), DMACAST_IOC_STATS, &stats))
		return false;
	*report = (struct ring_kernel_report){
		.completed = stats.completed,
		.bytes = stats.bytes,
		.lent = stats.lent,
		.recycled = stats.recycled,
		.overruns = stats.overruns,
		.stalls = stats.stalls,
		.errors = stats.errors,
		.short_transfers = stats.short_transfers,
		.quarantined = stats.quarantined,
		.replaced = stats.replaced,
		.left_behind = stats.left_behind,
		.left_refused = stats.left_refused,
		.blocks_free = stats.blocks_free,
		.blocks_queued = stats.blocks_queued,
		.blocks_ready = stats.blocks_ready,
		.blocks_lent = stats.blocks_lent,
		.blocks_quarantine = stats.blocks_quarantine,
		.running = stats.running,
	};
	return true;
}

static void device_save(struct ring *ring, struct state *state)
{
	struct device_ring *device = device_of(ring);

	write_returned(device);
	if (device->gone)
		state_fail(state, "device %s is gone: only this process can still read its blocks",
			   device->settings->device);
	else if (device->returned_count)
		state_fail(state, "device %s does not take blocks back", device->settings->device);
	state_descriptor(state, "fd", &device->fd);
	state_size(state, "mapped", &device->mapped);
	state_size(state, "stride", &device->stride);
	state_bool(state, "running", &device->running);
}

static void device_restored(struct ring *ring)
{
	struct device_ring *device = device_of(ring);

	for (uint32_t i = 0; i < ring->blocks; i++)
		device->place[i] = ring->block[i].is_taken ? LENT : WITH_KERNEL;
}

static void device_destroy(struct ring *ring)
{
	struct device_ring *device = device_of(ring);

	event_del(&device->turn_over);
	if (device->memory)
		munmap(device->memory, device->mapped);
	if (device->fd >= 0)
		close(device->fd); /* gives back what was not written yet */
	free(device->place);
	free(device->returned);
	ring_tear_down(ring);
	free(device);
}

static const struct ring_type device_type = {
	.kind = RING_KIND_DEVICE,
	.save = device_save,
	.restored = device_restored,
	.give_back = device_give_back,
	.ask_kernel = device_ask,
	.destroy = device_destroy,
};

/* @headers_fd: as in ring_set_up() */
static struct device_ring *allocate(struct event_base *base, const struct stream_settings *settings,
				    size_t block_size, uint32_t blocks, int headers_fd)
{
	struct device_ring *device = calloc(1, sizeof(*device));

	if (!device) {
		if (headers_fd >= 0)
			close(headers_fd);
		return NULL;
	}
	device->fd = -1;
	device->settings = settings;
	device->return_at =
		blocks / RETURN_DIVISOR < RETURN_AT ? blocks / RETURN_DIVISOR : RETURN_AT;
	device->place = calloc(blocks, sizeof(*device->place));
	device->returned = calloc(blocks, sizeof(*device->returned));
	event_assign(&device->turn_over, base, -1, 0, turn_is_over, device);
	snprintf(device->ring.text, sizeof(device->ring.text), "kernel ring, overrun = %s%s",
		 settings->overrun == OVERRUN_STALL ? "stall" : "drop-oldest",
		 settings->contiguous ? ", contiguous" : "");
	if (ring_set_up(&device->ring, &device_type, block_size, blocks, headers_fd) &&
	    device->place && device->returned)
		return device;
	device_destroy(&device->ring);
	return NULL;
}

struct ring *ring_device_open(struct event_base *base, const struct stream_settings *settings,
			      char wrong[RING_DEVICE_WRONG])
{
	uint32_t blocks = (uint32_t)stream_settings_blocks(settings);
	struct device_ring *device =
		allocate(base, settings, (size_t)settings->block_size, blocks, -1);

	if (!device) {
		refuse(wrong, RING_DEVICE_WRONG, "no memory for the ring; lower ring-size");
		return NULL;
	}
	if (open_node(device, wrong) && check_info(device, wrong) && set_up_blocks(device, wrong))
		return &device->ring;
	device_destroy(&device->ring);
	return NULL;
}

/* Map the blocks again. Those that are lent stay so: they belong to the open node, not to a process. */
static void device_restore_blocks(struct device_ring *device, struct state *state)
{
	struct dmacast_setup setup = { 0 };
	char wrong[RING_DEVICE_WRONG];
	size_t mapped = 0;

	state_descriptor(state, "fd", &device->fd);
	state_size(state, "mapped", &mapped);
	state_size(state, "stride", &device->stride);
	state_bool(state, "running", &device->running);
	setup.map_size = mapped;
	setup.stride = device->stride;
	if (!state_failed(state) &&
	    !(check_info(device, wrong) && map_blocks(device, &setup, wrong)))
		state_fail(state, "device %s: %s", device->settings->device, wrong);
}

struct ring *ring_device_restore(struct event_base *base, const struct stream_settings *settings,
				 struct state *state, const struct ring_restored *restored)
{
	struct device_ring *device = allocate(base, settings, restored->block_size,
					      restored->blocks, restored->headers_fd);

	if (!device) {
		state_fail(state, "no memory for the ring");
		return NULL;
	}
	device_restore_blocks(device, state);
	if (!state_failed(state))
		return &device->ring;
	device_destroy(&device->ring);
	return NULL;
}
