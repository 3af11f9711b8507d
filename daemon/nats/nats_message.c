// SPDX-License-Identifier: BSD-2-Clause
#include "nats/nats_message.h"

#include "lib/units.h"

#include <bsd/string.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_DIGITS 8

struct header_list {
	struct nats_header *headers;
	size_t count;
};

struct header_reader {
	nats_header_get *get;
	void *data;
	const char *fault; /* name of the first header that is wrong; NULL: none */
};

bool nats_message_is_event(const struct nats_message *message)
{
	return message->event[0];
}

/* ---- writing ---- */

static void __attribute__((format(printf, 3, 4)))
header_add(struct header_list *list, const char *name, const char *format, ...)
{
	struct nats_header *header = &list->headers[list->count++];
	va_list args;

	header->name = name;
	va_start(args, format);
	vsnprintf(header->value, sizeof(header->value), format, args);
	va_end(args);
}

static void header_add_number(struct header_list *list, const char *name, uint64_t number)
{
	header_add(list, name, "%" PRIu64, number);
}

/* The same bytes have the same id, whenever they are published. */
static void header_add_id(struct header_list *list, const struct nats_message *message,
			  const char *stream)
{
	const struct frame *frame = &message->frame;
	char suffix[64] = "";

	if (nats_message_is_event(message))
		snprintf(suffix, sizeof(suffix), "-%s-%016" PRIx64, message->event,
			 message->event_id);
	if (message->offset)
		snprintf(suffix + strlen(suffix), sizeof(suffix) - strlen(suffix), "-%" PRIu32,
			 message->offset);
	header_add(list, NATS_HEADER_ID, "%.64s-%08" PRIx32 "-%" PRIu64 "%s", stream, frame->epoch,
		   frame->sequence, suffix);
}

static void header_add_place(struct header_list *list, const struct nats_message *message)
{
	const struct frame *frame = &message->frame;
	char after[CLIENT_START_TEXT];

	header_add(list, "Dmacast-Epoch", "%08" PRIx32, frame->epoch);
	header_add_number(list, "Dmacast-Sequence", frame->sequence);
	header_add_number(list, "Dmacast-Position", frame->position);
	header_add(list, "Dmacast-Count", "%08" PRIx32, message->count);
	if (!message->after.exists)
		return;
	header_add(list, "Dmacast-After", "%s", block_name_format(&message->after.name, after));
	header_add_number(list, "Dmacast-After-End", message->after.end);
}

static void header_add_block(struct header_list *list, const struct nats_message *message)
{
	const struct frame *frame = &message->frame;

	header_add_number(list, "Dmacast-Length", frame->length);
	if (message->offset)
		header_add_number(list, "Dmacast-Offset", message->offset);
	header_add_number(list, "Dmacast-Flags", frame->flags);
	if (frame->flags & FRAME_LOSS) {
		header_add_number(list, "Dmacast-Lost-Blocks", frame->lost_blocks);
		header_add_number(list, "Dmacast-Lost-Bytes", frame->lost_bytes);
	}
	if (message->gap_blocks) {
		header_add_number(list, "Dmacast-Gap-Blocks", message->gap_blocks);
		header_add_number(list, "Dmacast-Gap-Bytes", message->gap_bytes);
	}
	if (message->block_size)
		header_add_number(list, "Dmacast-Block-Size", message->block_size);
}

size_t nats_message_encode(const struct nats_message *message, const char *stream,
			   struct nats_header headers[NATS_HEADERS])
{
	struct header_list list = { .headers = headers };

	header_add_id(&list, message, stream);
	if (nats_message_is_event(message))
		header_add(&list, "Dmacast-Event", "%s", message->event);
	header_add_place(&list, message);
	header_add_number(&list, "Dmacast-Realtime", message->frame.realtime_ns);
	header_add_number(&list, "Dmacast-Monotonic", message->frame.monotonic_ns);
	header_add_block(&list, message);
	return list.count;
}

/* ---- reading ---- */

static const char *header_read(struct header_reader *reader, const char *name)
{
	return reader->get(reader->data, name);
}

/* @optional: a header that is missing is 0 */
static uint64_t header_read_number(struct header_reader *reader, const char *name, bool optional,
				   uint64_t limit)
{
	const char *text = header_read(reader, name);
	uint64_t number = 0;

	if ((!text && optional) || (text && units_parse_count(text, &number) && number <= limit) ||
	    reader->fault)
		return number;
	reader->fault = name;
	return 0;
}

/* Return: 0 if the text does not begin with an epoch. */
static uint32_t header_parse_epoch(const char *text)
{
	for (int i = 0; i < EPOCH_DIGITS; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return 0;
	}
	return (uint32_t)strtoul(text, NULL, 16);
}

static uint32_t header_read_epoch(struct header_reader *reader, const char *name)
{
	const char *text = header_read(reader, name);
	uint32_t epoch = text && strlen(text) == EPOCH_DIGITS ? header_parse_epoch(text) : 0;

	if (!epoch && !reader->fault)
		reader->fault = name;
	return epoch;
}

static void header_read_after(struct header_reader *reader, struct nats_message *message)
{
	const char *text = header_read(reader, "Dmacast-After"), *expected;
	struct client_start start;

	if (!text)
		return;
	message->after.exists = true;
	message->after.end = header_read_number(reader, "Dmacast-After-End", false, UINT64_MAX);
	if (client_start_parse(text, true, &start, &expected) && start.kind == CLIENT_START_AFTER)
		message->after.name = start.after;
	else if (!reader->fault)
		reader->fault = "Dmacast-After";
}

static void header_read_frame(struct header_reader *reader, struct frame *frame)
{
	frame->epoch = header_read_epoch(reader, "Dmacast-Epoch");
	frame->sequence = header_read_number(reader, "Dmacast-Sequence", false, UINT64_MAX);
	frame->position = header_read_number(reader, "Dmacast-Position", false, UINT64_MAX);
	frame->realtime_ns = header_read_number(reader, "Dmacast-Realtime", false, UINT64_MAX);
	frame->monotonic_ns = header_read_number(reader, "Dmacast-Monotonic", false, UINT64_MAX);
	frame->length = (uint32_t)header_read_number(reader, "Dmacast-Length", false, UINT32_MAX);
	frame->flags = (uint16_t)header_read_number(reader, "Dmacast-Flags", false, UINT16_MAX);
	frame->lost_blocks =
		(uint32_t)header_read_number(reader, "Dmacast-Lost-Blocks", true, UINT32_MAX);
	frame->lost_bytes = header_read_number(reader, "Dmacast-Lost-Bytes", true, UINT64_MAX);
}

bool nats_message_decode(struct nats_message *message, nats_header_get *get, void *data,
			 size_t length, const char **fault)
{
	struct header_reader reader = { .get = get, .data = data };
	const char *event = header_read(&reader, "Dmacast-Event");

	*message = (struct nats_message){ 0 };
	if (event)
		strlcpy(message->event, event, sizeof(message->event));
	header_read_frame(&reader, &message->frame);
	message->offset = (uint32_t)header_read_number(&reader, "Dmacast-Offset", true, UINT32_MAX);
	message->count = header_read_epoch(&reader, "Dmacast-Count");
	message->block_size =
		(uint32_t)header_read_number(&reader, "Dmacast-Block-Size", true, UINT32_MAX);
	message->gap_blocks = header_read_number(&reader, "Dmacast-Gap-Blocks", true, UINT64_MAX);
	message->gap_bytes = header_read_number(&reader, "Dmacast-Gap-Bytes", true, UINT64_MAX);
	header_read_after(&reader, message);
	if (!reader.fault && (uint64_t)message->offset + length > message->frame.length)
		reader.fault = "Dmacast-Length";
	*fault = reader.fault;
	return !reader.fault;
}

/* ---- places ---- */

bool nats_message_last_block(const struct nats_message *message, size_t length, struct frame *frame)
{
	bool whole = !nats_message_is_event(message) &&
		     message->offset + length == message->frame.length;

	*frame = message->frame;
	if (whole)
		return true;
	*frame = (struct frame){
		.epoch = message->after.name.epoch,
		.sequence = message->after.name.sequence,
		.position = message->after.end,
	};
	return message->after.exists;
}

bool nats_message_covers(const struct nats_message *last, size_t last_length,
			 const struct nats_message *message, size_t length)
{
	const struct frame *a = &last->frame, *b = &message->frame;

	if (nats_message_is_event(last) || nats_message_is_event(message) || a->epoch != b->epoch)
		return false;
	if (a->sequence != b->sequence)
		return a->sequence > b->sequence;
	return last->offset + last_length >= message->offset + length;
}
