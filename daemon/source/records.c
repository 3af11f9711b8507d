// SPDX-License-Identifier: BSD-2-Clause
#include "source/records.h"

#include "lib/state.h"

#include <string.h>

void records_init(struct records *records, const struct stream_settings *settings)
{
	*records = (struct records){
		.size = (size_t)settings->record_size,
		.head = settings->record_size ? (size_t)settings->preamble.bytes : 0,
		.end = settings->record_end,
	};
	records->grid = records->head;
}

/* Return: the offset behind the last `end` that begins at @low or later and is whole; 0: there is none. */
static size_t last_end(const struct records *records, const unsigned char *data, size_t low,
		       size_t length)
{
	const struct record_end *end = &records->end;
	unsigned char last = end->byte[end->length - 1];

	while (length >= low + end->length) {
		const unsigned char *first = data + low + end->length - 1;
		const unsigned char *p = memrchr(first, last, (size_t)(data + length - first));

		if (!p)
			return 0;
		length = (size_t)(p - data);
		if (!memcmp(p + 1 - end->length, end->byte, end->length))
			return length + 1;
	}
	return 0;
}

/* Return: the offset behind an `end` that began in the block before; 0: there is none. */
static size_t split_end(const struct records *records, const unsigned char *data, size_t length)
{
	const struct record_end *end = &records->end;

	for (size_t before = 1; before < end->length && before <= records->tail_length; before++) {
		size_t here = end->length - before;

		if (here <= length &&
		    !memcmp(records->tail + records->tail_length - before, end->byte, before) &&
		    !memcmp(data, end->byte + before, here))
			return here;
	}
	return 0;
}

static void records_search(struct records *records, const unsigned char *data, size_t length)
{
	size_t overlap = records->end.length - 1U, low = 0, found;

	if (records->searched > overlap)
		low = records->searched - overlap;
	if (low < records->boundary)
		low = records->boundary;
	found = last_end(records, data, low, length);
	if (!found && !records->boundary && records->searched < overlap)
		found = split_end(records, data, length);
	if (found)
		records->boundary = found;
	records->searched = length;
}

size_t records_boundary(struct records *records, const unsigned char *data, size_t length)
{
	if (records->size)
		return length <= records->grid ? length
					       : length - (length - records->grid) % records->size;
	records_search(records, data, length);
	return records->boundary;
}

void records_moved(struct records *records, size_t boundary, size_t rest)
{
	records->grid -= boundary < records->grid ? boundary : records->grid;
	records->searched = rest;
	records->boundary = 0;
	records->tail_length = 0;
}

void records_split(struct records *records, const unsigned char *data, size_t length)
{
	size_t most = records->size ? 0 : records->end.length - 1U;

	records->searched = 0;
	records->boundary = 0;
	records->tail_length = length < most ? length : most;
	memcpy(records->tail, data + length - records->tail_length, records->tail_length);
}

void records_begin(struct records *records, size_t offset)
{
	records->searched = offset;
	records->boundary = offset;
	records->grid = records->head ? offset + records->head : 0;
	records->tail_length = 0;
}

void records_transfer(struct records *records, struct state *state, size_t length)
{
	size_t most = records->size ? 0 : records->end.length - 1U;

	state_enter(state, "records");
	state_size(state, "searched", &records->searched);
	state_size(state, "boundary", &records->boundary);
	state_size(state, "grid", &records->grid);
	state_size(state, "tail_length", &records->tail_length);
	state_fixed_bytes(state, "tail", records->tail, sizeof(records->tail));
	if (records->searched > length || records->boundary > length || records->tail_length > most)
		state_fail(state, "beyond the %zu bytes of the block", length);
	state_leave(state);
}
