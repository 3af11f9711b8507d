/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the fuzzers: each is a file that defines fuzz_one(). Its checks are those of tap.h; after an input for
 * which one was false, the process is aborted, and libFuzzer keeps the input.
 */
#ifndef DMACAST_TEST_FUZZ_H
#define DMACAST_TEST_FUZZ_H

#include "lib/log.h"
#include "tap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of an input that are not used yet. */
struct fuzz_input {
	const uint8_t *next;
	size_t left;
};

/** fuzz_one() - use one input; each fuzzer defines it. All checks must be true, whatever the input is. */
void fuzz_one(struct fuzz_input *input);

/* What libFuzzer calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)0); /* not even errors: each input has some */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_one(&(struct fuzz_input){ .next = data, .left = size });
	if (tap.failed)
		abort();
	return 0;
}

/** fuzz_byte() - return the next byte; 0 at the end. */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->next++;
}

/** fuzz_number() - return the number in the next @bytes bytes. */
static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned int bytes)
{
	uint64_t number = 0;

	while (bytes--)
		number = number << 8 | fuzz_byte(input);
	return number;
}

/**
 * fuzz_text() - return a copy of the next line, or of all that is left, with a NUL at its end; the caller
 * frees it. The copy is as long as its text, so that ASan sees each byte that is read behind it.
 * @line: end at a newline, which is not a part of the text
 */
static inline char *fuzz_text(struct fuzz_input *input, bool line)
{
	const uint8_t *end = line ? memchr(input->next, '\n', input->left) : NULL;
	size_t length = end ? (size_t)(end - input->next) : input->left;
	char *text = malloc(length + 1);

	if (!text)
		abort();
	memcpy(text, input->next, length);
	text[length] = '\0';
	input->next += length + (end != NULL);
	input->left -= length + (end != NULL);
	return text;
}

#endif
