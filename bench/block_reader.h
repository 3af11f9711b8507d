/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One client's bytes, taken block by block: to check them against the test pattern, and to know when
 * a block was full and when all of it was here.
 */
#ifndef BENCH_BLOCK_READER_H
#define BENCH_BLOCK_READER_H

#include "lib/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The head, and the word that says what comes behind it. */
#define BLOCK_READER_HEAD (PATTERN_HEAD + PATTERN_WORD)

/* What is the same for all clients. */
struct block_form {
	enum pattern_form form;
	size_t block_size;
	bool check; /* every byte; else those behind the head are not even copied */
	/* A block is here. @full_ns: monotonic; 0 where the form has no time stamp. */
	void (*complete)(void *argument, uint64_t full_ns);
	void *argument;
};

/* All zero to begin with. */
struct block_reader {
	size_t position; /* in the block */
	uint64_t offset; /* of the block in the stream */
	uint64_t next;	 /* offset of the next word behind the head */
	uint64_t full_ns;
	bool located; /* offset is that of the block before */
	unsigned char head[BLOCK_READER_HEAD];
};

/**
 * block_reader_receive() - take what is there for @fd, up to the end of a block.
 * @wrong: NULL; out: what is wrong with the byte at reader->position, or the head before it, in a text
 *
 * Return: as recv().
 */
ssize_t block_reader_receive(struct block_reader *reader, const struct block_form *form, int fd,
			     const char **wrong);

#endif
