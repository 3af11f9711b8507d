/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring: the blocks of one channel, and which of them are free. The kind of ring behind it, see
 * ring_memory.h and ring_device.h, decides where the memory comes from and what fills it.
 */
#ifndef DMACAST_RING_H
#define DMACAST_RING_H

#include "ring/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct ring;
struct state;
struct stream_settings;

/**
 * ring_take() - return a free block, empty, which the caller owns; NULL when there is none. Only for
 * rings whose blocks the daemon fills itself.
 */
struct block *ring_take(struct ring *ring);

/**
 * ring_return_unused() - give back the block that ring_take() gave out last; it is the next one again.
 * Return several in the opposite order.
 */
void ring_return_unused(struct ring *ring, struct block *block);

/* Order in which ring_take() gives out free blocks. */
enum ring_reuse {
	/*
	 * The block behind the last one, so that consecutive blocks are one piece of memory and one send.
	 * Better for zero-copy: no CPU reads the block again.
	 */
	RING_SEQUENTIAL,
	/* The block that came back last: its memory is still in the CPU's cache. Better where data is copied. */
	RING_LIFO,
};

/** ring_set_reuse() - set the order while blocks are pinned. At first it is RING_SEQUENTIAL. */
void ring_set_reuse(struct ring *ring, enum ring_reuse reuse);

/** ring_reuse() - return the order of now: without pinned blocks it is RING_LIFO. */
enum ring_reuse ring_reuse(const struct ring *ring);

/** ring_put() - give back a block that nothing reads any more. */
void ring_put(struct ring *ring, struct block *block);

/**
 * ring_on_free() - call @notify once when blocks are free after ring_take() found none, or after
 * ring_want_free().
 * @notify_at: number of free blocks at which it is called
 * @notify: called from within ring_put(), or from here; must not take blocks itself
 */
void ring_on_free(struct ring *ring, uint32_t notify_at, void (*notify)(void *argument),
		  void *argument);

/** ring_want_free() - ask for one call of the function of ring_on_free(). */
void ring_want_free(struct ring *ring);

/** ring_is_awaited() - return true while the function of ring_on_free() waits for its call. */
bool ring_is_awaited(const struct ring *ring);

/** ring_is_device() - return true if a device fills the blocks. */
bool ring_is_device(const struct ring *ring);

/* Sizes in blocks, except the block size, which is in bytes. */
uint32_t ring_blocks(const struct ring *ring);
uint32_t ring_free_blocks(const struct ring *ring);
uint32_t ring_pinned_blocks(const struct ring *ring);
uint32_t ring_pinned_only_blocks(const struct ring *ring); /* those outside of the window */
size_t ring_block_size(const struct ring *ring);

/** ring_set_max_pinned() - set how many blocks clients may pin; at first, all of them. */
void ring_set_max_pinned(struct ring *ring, uint32_t blocks);

/** ring_pin_allowance() - return how many blocks without a pin clients may pin now. */
uint32_t ring_pin_allowance(const struct ring *ring);

/** ring_count_pinned() - for block.c: change the number of blocks with pins by @change. */
void ring_count_pinned(struct ring *ring, int change);
void ring_count_pinned_only(struct ring *ring, int change);

/** ring_memory_text() - return what the memory is, for the log: "memfd, 4 KiB pages". */
const char *ring_memory_text(const struct ring *ring);

/* The kernel's counters of a device, since its module was loaded, and the states of its blocks. */
struct ring_kernel_report {
	uint64_t completed, bytes, lent, recycled;
	uint64_t overruns, stalls, errors, short_transfers;
	uint64_t quarantined, replaced;
	uint64_t left_behind; /* bytes, now */
	uint64_t left_refused;
	uint32_t blocks_free, blocks_queued, blocks_ready, blocks_lent, blocks_quarantine;
	bool running;
};

/** ring_ask_kernel() - fill @report. Return: false if there is no device, or it is gone. */
bool ring_ask_kernel(const struct ring *ring, struct ring_kernel_report *report);

/* ---- handover to a successor: another process, or this one after exec() ---- */

/**
 * ring_save() - save the ring as the object "ring", with the descriptors of its memory. The content of the blocks
 * stays where it is. Blocks of a device that were returned are written to it first. A ring in anonymous memory is a
 * failure.
 */
void ring_save(struct ring *ring, struct state *state);

/**
 * ring_restore() - map the ring of the object "ring" again. Each block that was not free is taken, with its content,
 * numbers and header; no one owns it yet.
 * @settings: those that the ring was made with; must outlive a ring of a device
 *
 * Return: NULL if the state has failed.
 */
struct ring *ring_restore(struct event_base *base, const struct stream_settings *settings,
			  struct state *state);

/* In a state, instead of the index of a block: there is none. */
#define RING_NO_BLOCK UINT32_MAX

/** ring_transfer_block() - save a block of the ring, or NULL, by its index; restoring, it must not be free. */
void ring_transfer_block(struct ring *ring, struct state *state, const char *name,
			 struct block **block);

/** ring_find_taken() - return the block @index if it exists and is not free, otherwise NULL. */
struct block *ring_find_taken(struct ring *ring, uint64_t index);

/**
 * ring_claim() - own a restored block as after ring_take().
 *
 * Return: false if the window, a pin or an earlier call has it.
 */
bool ring_claim(struct ring *ring, struct block *block);

/**
 * ring_check_restored() - let the state fail unless each block that is not free has an owner: the window, a pin, or
 * the caller of ring_claim(). @ring: NULL: there are no blocks
 *
 * Return: true if the state has not failed.
 */
bool ring_check_restored(struct ring *ring, struct state *state);

/** ring_destroy() - free the ring. Every block must be free, or restored and without an owner. */
void ring_destroy(struct ring *ring);

#endif
