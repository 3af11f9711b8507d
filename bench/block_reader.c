// SPDX-License-Identifier: BSD-2-Clause
#include "block_reader.h"

#include <endian.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_BYTES (256U << 10)

/* Evaluate a complete head. Return: description of an error, or NULL. */
static const char *block_reader_take_head(struct block_reader *reader,
					  const struct block_form *form)
{
	uint64_t expected = reader->offset + form->block_size, body;

	pattern_read_head(reader->head, &reader->offset, &reader->full_ns);
	memcpy(&body, reader->head + PATTERN_HEAD, sizeof(body));
	body = le64toh(body);
	reader->next = body + PATTERN_WORD;
	if (!form->check)
		return NULL;
	if (reader->located && reader->offset != expected)
		return "a block is not the one that follows its predecessor";
	reader->located = true;
	if (form->form != PATTERN_RESIDENT && body != reader->offset + PATTERN_HEAD)
		return "a block's third word is not its offset";
	if (form->form == PATTERN_OFFSETS && reader->full_ns != reader->offset + PATTERN_WORD)
		return "a block's second word is not its offset";
	return NULL;
}

static ssize_t block_reader_receive_head(struct block_reader *reader, const struct block_form *form,
					 int fd, const char **wrong)
{
	ssize_t n = recv(fd, reader->head + reader->position,
			 sizeof(reader->head) - reader->position, MSG_DONTWAIT);

	if (n > 0) {
		reader->position += (size_t)n;
		if (reader->position == sizeof(reader->head))
			*wrong = block_reader_take_head(reader, form);
	}
	return n;
}

static ssize_t block_reader_receive_body(struct block_reader *reader, const struct block_form *form,
					 int fd, const char **wrong)
{
	static unsigned char buffer[BUFFER_BYTES];
	size_t left = form->block_size - reader->position, right;
	ssize_t n;

	if (!form->check) {
		n = recv(fd, NULL, left, MSG_TRUNC | MSG_DONTWAIT);
	} else {
		n = recv(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer), MSG_DONTWAIT);
		right = n > 0 ? pattern_check(buffer, (size_t)n, reader->next) : 0;
		if (n > 0 && right != (size_t)n) {
			*wrong = "a byte within a block is not that of the pattern";
			reader->position += right;
			return n;
		}
	}
	if (n > 0) {
		reader->next += (uint64_t)n;
		reader->position += (size_t)n;
	}
	return n;
}

ssize_t block_reader_receive(struct block_reader *reader, const struct block_form *form, int fd,
			     const char **wrong)
{
	ssize_t n;

	if (reader->position < sizeof(reader->head))
		return block_reader_receive_head(reader, form, fd, wrong);
	n = block_reader_receive_body(reader, form, fd, wrong);
	if (n > 0 && !*wrong && reader->position == form->block_size) {
		reader->position = 0;
		form->complete(form->argument, form->form == PATTERN_OFFSETS ? 0 : reader->full_ns);
	}
	return n;
}
