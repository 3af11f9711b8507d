/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block of a ring, and its state. uapi/dmacast.h explains the states; this is who changes them:
 *
 *	FREE        dmacast_channel_feed() -> QUEUED; in use: -> QUARANTINE
 *	QUEUED      the transfer is done -> READY; it failed, or is empty: -> FREE
 *	READY       dmacast_channel_lend() -> LENT; overrun: -> FREE
 *	LENT        dmacast_channel_return() -> FREE; dmacast_channel_unlend() -> READY;
 *	            close() -> FREE, or QUARANTINE if in use
 *	QUARANTINE  dmacast_guard_look() -> FREE when unused, or with fresh pages
 *
 * Every block, from wherever it comes, passes one gate on its way to the engine:
 * dmacast_channel_feed() looks whether anything else still refers to its pages (guard.c).
 */
#ifndef DMACAST_BLOCK_H
#define DMACAST_BLOCK_H

#include "channel_state.h"

/**
 * dmacast_block_set_state() - change the state of a block, which becomes the last one in it
 * @block: the block
 * @state: its new state
 *
 * This is the one place where a state changes.
 *
 * Context: Any; under lock.
 */
void dmacast_block_set_state(struct ring_block *block, enum block_state state);

/**
 * dmacast_block_move() - change the state of a block in the caller's hand
 * @block: the block
 * @state: its new state
 *
 * Context: Any; takes the lock.
 */
void dmacast_block_move(struct ring_block *block, enum block_state state);

/**
 * dmacast_block_take() - take the oldest block in a state out of the state's list
 * @channel: the channel of the ring
 * @state: the state, which the block keeps
 *
 * Context: Any; under lock.
 * Return: the block, in the caller's hand; NULL if there is none.
 */
struct ring_block *dmacast_block_take(struct channel *channel, enum block_state state);

/**
 * dmacast_block_move_all() - change the state of all blocks in a state that are in nobody's hand
 * @channel: the channel of the ring
 * @from: their state
 * @to: their new state
 *
 * Context: Any; under lock.
 */
void dmacast_block_move_all(struct channel *channel, enum block_state from, enum block_state to);

#endif
