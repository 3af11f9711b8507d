/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a block. uapi/dmacast.h explains the states; these are the changes:
 *
 *	FREE        dmacast_channel_feed() -> QUEUED; in use: -> QUARANTINE
 *	QUEUED      transfer done -> READY; failed or empty: -> FREE
 *	READY       dmacast_channel_lend() -> LENT; overrun: -> FREE
 *	LENT        dmacast_channel_return() -> FREE; dmacast_channel_unlend() -> READY;
 *	            close() -> FREE, or QUARANTINE if in use
 *	QUARANTINE  dmacast_guard_look() -> FREE when unused, or with fresh pages
 *
 * Every block passes one gate on its way to the engine: dmacast_channel_feed() checks whether
 * anything outside the ring still refers to its pages (guard.c).
 */
#ifndef DMACAST_BLOCK_H
#define DMACAST_BLOCK_H

#include "channel_state.h"

/**
 * dmacast_block_set_state() - change the state of a block and append it to that state's list
 * @block: the block
 * @state: its new state
 *
 * No other function changes a state.
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
 * dmacast_block_take() - take the oldest block out of the list of a state
 * @channel: the channel of the ring
 * @state: the state, which the block keeps
 *
 * Context: Any; under lock.
 * Return: the block, in the caller's hand; NULL if there is none.
 */
struct ring_block *dmacast_block_take(struct channel *channel, enum block_state state);

/**
 * dmacast_block_move_all() - change the state of all blocks in the list of a state
 * @channel: the channel of the ring
 * @from: the state; blocks in a context's hand keep it
 * @to: their new state
 *
 * Context: Any; under lock.
 */
void dmacast_block_move_all(struct channel *channel, enum block_state from, enum block_state to);

#endif
