/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From messages to the bytes of the stream, or to frames. They pass through a struct cat_receiver like the frames of a
 * connection, so gaps are found and reported as by dmacastctl cat, and only whole blocks are written.
 */
#ifndef DMACAST_NATS_WRITER_H
#define DMACAST_NATS_WRITER_H

#include "nats/nats_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cat_output;
struct cat_report;
struct nats_writer;

enum nats_writer_result {
	NATS_WRITER_TAKEN,
	NATS_WRITER_ENDS, /* frames: the count begins again, so this message belongs to another stream of frames */
	NATS_WRITER_FAILED, /* nats_writer_error() says why */
};

/**
 * nats_writer_create() - return a writer; NULL without memory.
 * @stream: name for metadata, where the stream has none
 */
struct nats_writer *nats_writer_create(bool framed, const char *stream, struct cat_output *output,
				       struct cat_report *report);

/** nats_writer_take() - take the next message. */
enum nats_writer_result nats_writer_take(struct nats_writer *writer,
					 const struct nats_message *message, const char *payload,
					 size_t length);

/** nats_writer_note_event() - take only the metadata of an event. */
void nats_writer_note_event(struct nats_writer *writer, const char *payload, size_t length);

/** nats_writer_is_whole() - return true if nothing of what was taken waits for the rest of its block. */
bool nats_writer_is_whole(const struct nats_writer *writer);

/** nats_writer_end() - end a stream of frames in order. Return: false on failure. */
bool nats_writer_end(struct nats_writer *writer);

/** nats_writer_bytes() - return the number of bytes of payload that were written. */
uint64_t nats_writer_bytes(const struct nats_writer *writer);

/** nats_writer_duplicates() - return the number of blocks that were in the stream twice, and were written once. */
uint64_t nats_writer_duplicates(const struct nats_writer *writer);

/** nats_writer_error() - return the reason of NATS_WRITER_FAILED. */
const char *nats_writer_error(const struct nats_writer *writer);

/** nats_writer_free() - free; NULL is allowed. */
void nats_writer_free(struct nats_writer *writer);

#endif
