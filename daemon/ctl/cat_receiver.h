/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the bytes of one connection after the other to the payload: told apart as raw or framed, checked, without
 * what was received already, and up to a number of bytes. Only whole blocks of a framed stream are written.
 */
#ifndef DMACAST_CAT_RECEIVER_H
#define DMACAST_CAT_RECEIVER_H

#include "lib/continuity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_receiver;
struct cat_report;
struct cat_sink;

enum cat_format {
	CAT_FORMAT_AUTO, /* by the first bytes of each connection */
	CAT_FORMAT_RAW,
	CAT_FORMAT_FRAMED,
};

enum cat_receiver_state {
	CAT_RECEIVER_RUNS,
	CAT_RECEIVER_ENDED,    /* the frame with END was there */
	CAT_RECEIVER_COMPLETE, /* the number of bytes was received */
	CAT_RECEIVER_FAILED,   /* cat_receiver_error() says why */
};

/**
 * cat_receiver_create() - return a receiver; NULL without memory.
 * @limit: number of bytes of payload; UINT64_MAX: no limit
 * @sigmf: leave out the preamble, which has no samples
 * @sink, @report: must outlive the receiver
 */
struct cat_receiver *cat_receiver_create(enum cat_format format, uint64_t limit, bool sigmf,
					 const struct cat_sink *sink, struct cat_report *report);

/**
 * cat_receiver_resume() - note the last block that was received before this program ran.
 * @frame: its header
 */
void cat_receiver_resume(struct cat_receiver *receiver, const struct frame *frame);

/** cat_receiver_begin() - begin a connection. */
void cat_receiver_begin(struct cat_receiver *receiver, enum continuity_link link);

/** cat_receiver_feed() - take the next bytes of the connection. */
enum cat_receiver_state cat_receiver_feed(struct cat_receiver *receiver, const unsigned char *bytes,
					  size_t length);

/**
 * cat_receiver_end() - end the connection.
 *
 * Return: the number of bytes of an incomplete frame, which were dropped.
 */
size_t cat_receiver_end(struct cat_receiver *receiver);

/** cat_receiver_state() - return the state after the last feed. */
enum cat_receiver_state cat_receiver_state(const struct cat_receiver *receiver);

/** cat_receiver_is_framed() - return true if the connection turned out to be framed, or has to be. */
bool cat_receiver_is_framed(const struct cat_receiver *receiver);

/** cat_receiver_error() - return the reason of CAT_RECEIVER_FAILED. */
const char *cat_receiver_error(const struct cat_receiver *receiver);

/**
 * cat_receiver_last() - return the place of the last block that is complete.
 *
 * Return: false if there is none, or if the stream is raw.
 */
bool cat_receiver_last(const struct cat_receiver *receiver, uint32_t *epoch, uint64_t *sequence);

/** cat_receiver_bytes() - return the number of bytes of payload so far. */
uint64_t cat_receiver_bytes(const struct cat_receiver *receiver);

/** cat_receiver_free() - free; NULL is allowed. */
void cat_receiver_free(struct cat_receiver *receiver);

#endif
