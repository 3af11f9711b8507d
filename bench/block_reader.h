/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads one client's stream block by block, to check it against the test pattern and to learn when a
 * block was full and when all of it had arrived.
 */
#ifndef BENCH_BLOCK_READER_H
#define BENCH_BLOCK_READER_H

#include "lib/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bytes of a block's head and of the word after it, which determines the rest. */
#define BLOCK_READER_HEAD (PATTERN_HEAD + PATTERN_WORD)

/* Properties common to all clients. */
struct block_form {
	enum pattern_form form;
	size_t block_size;
	bool check; /* check every byte; otherwise those after the head are not even copied */
	/* Called for each complete block. @full_ns: monotonic; 0 if the form has no time stamp. */
	void (*complete)(void *argument, uint64_t full_ns);
	void *argument;
};

/* Initialize with zeroes. */
struct block_reader {
	size_t position; /* bytes of the block that have come */
	uint64_t offset; /* offset of the block in the stream */
	uint64_t next;	 /* offset of the next word after the head */
	uint64_t full_ns;
	bool located;	/* a head was read before: offset is valid */
	bool past_head; /* for the owner: the head of an HTTP answer was read */
	unsigned char head[BLOCK_READER_HEAD];
};

/**
 * block_reader_receive() - receive from @fd what has come, up to the end of a block.
 * @wrong: must be NULL; out: description of an error at reader->position or in the head before it
 *
 * Return: as recv().
 */
ssize_t block_reader_receive(struct block_reader *reader, const struct block_form *form, int fd,
			     const char **wrong);

#endif
