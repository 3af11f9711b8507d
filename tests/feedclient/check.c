// SPDX-License-Identifier: BSD-2-Clause
#include "check.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "tally.h"

enum judgement { RIGHT, UNDECIDED, WRONG };

/* The available bytes of one connection; the first @checked of them are right. */
struct window {
	const unsigned char *bytes;
	size_t checked;
	size_t length;
};

/* A place in a window where the stream continues at another offset. */
struct jump {
	size_t at;
	uint64_t from;
	uint64_t to;
};

/* Carried bytes, followed by new data. */
static unsigned char buffer[CARRY_BYTES + BUFFER_SIZE];

unsigned char *const check_buffer = buffer + CARRY_BYTES;

void check_begin(struct check *check, unsigned int client)
{
	memset(check, 0, sizeof(*check));
	check->client = client;
}

/* Read the stream offset of @bytes from their content: at least one whole word, two if possible. */
static bool locate_offset(const unsigned char *bytes, size_t length, uint64_t *offset)
{
	uint64_t word;

	if (length >= LOCATE_BYTES)
		return pattern_locate(bytes, offset);
	if (length < PATTERN_WORD)
		return false;
	memcpy(&word, bytes, sizeof(word));
	*offset = le64toh(word);
	return *offset % PATTERN_WORD == 0 && pattern_check(bytes, length, *offset) == length;
}

static size_t first_candidate(const struct window *window)
{
	return window->checked > HISTORY_BYTES ? window->checked - HISTORY_BYTES : 0;
}

static void place_jump(const struct check *check, const struct window *window, size_t at,
		       struct jump *jump)
{
	jump->at = at;
	jump->from = check->expected - (window->checked - at);
	jump->to = jump->from;
}

/* Find any jump, also one that no server may make, for the text of a failure. */
static bool find_any_jump(const struct check *check, const struct window *window, struct jump *jump)
{
	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		place_jump(check, window, at, jump);
		if (window->length - at >= LOCATE_BYTES &&
		    pattern_locate(window->bytes + at, &jump->to) && jump->to != jump->from)
			return true;
	}
	return false;
}

/*
 * Find a jump forward to a whole block. Its place is unique: bytes give their offset only when read
 * from a word's start, and a word that is the same before and after is no jump. (If the jump begins
 * within a word, two places a word apart are possible; the gap is the same in both.)
 */
static bool find_jump(const struct check *check, const struct window *window, struct jump *jump)
{
	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		place_jump(check, window, at, jump);
		if (window->length - at >= LOCATE_BYTES &&
		    pattern_locate(window->bytes + at, &jump->to) && jump->to > jump->from &&
		    jump->to % opt.block_size == 0)
			return true;
	}
	return false;
}

/* Find the nearest offset after @from that a jump may lead to and whose word begins with @bytes. */
static bool nearest_landing(const unsigned char *bytes, size_t length, uint64_t from, uint64_t *to)
{
	uint64_t alignment = opt.block_size & -opt.block_size;
	uint64_t step = UINT64_C(1) << (8 * length);
	uint64_t word = 0;

	memcpy(&word, bytes, length);
	word = le64toh(word);
	if (word % alignment)
		return false;
	if (step < alignment)
		step = alignment;
	*to = from - from % step + word;
	while (*to <= from || *to % opt.block_size)
		*to += step;
	return true;
}

/*
 * Guess the jump if the data ended too soon after it to determine its place: some place must fit,
 * and the nearest one is the best guess.
 */
static bool guess_jump(const struct check *check, const struct window *window, struct jump *best)
{
	bool found = false;

	for (size_t at = first_candidate(window); at <= window->checked; at++) {
		const unsigned char *bytes = window->bytes + at;
		size_t length = window->length - at;
		struct jump jump;
		bool fits;

		place_jump(check, window, at, &jump);
		if (length < PATTERN_WORD)
			fits = nearest_landing(bytes, length, jump.from, &jump.to);
		else
			fits = length < LOCATE_BYTES && locate_offset(bytes, length, &jump.to) &&
			       jump.to > jump.from && jump.to % opt.block_size == 0;
		if (fits && (!found || jump.to - jump.from < best->to - best->from)) {
			*best = jump;
			found = true;
		}
	}
	return found;
}

static const char *hex(const unsigned char *bytes, size_t length, char text[3 * LOCATE_BYTES + 1])
{
	char *end = text;

	*end = '\0';
	for (size_t i = 0; i < length && i < LOCATE_BYTES; i++)
		end += sprintf(end, " %02x", bytes[i]);
	return text;
}

/* Describe the wrong bytes if they are pattern bytes of another offset. */
static void describe_jump(const struct check *check, const struct window *window, char *text,
			  size_t size)
{
	struct jump jump;

	text[0] = '\0';
	if (!check->located || !find_any_jump(check, window, &jump))
		return;
	snprintf(text, size,
		 "; byte %" PRIu64 " goes on with stream offset %" PRIu64 ", %" PRIu64 " %s",
		 check->position - (window->checked - jump.at), jump.to,
		 jump.to > jump.from ? jump.to - jump.from : jump.from - jump.to,
		 jump.to > jump.from ? "ahead" : "back");
}

static void report_mismatch(const struct check *check, const struct window *window)
{
	unsigned char expected[LOCATE_BYTES];
	char expected_text[3 * LOCATE_BYTES + 1], found_text[3 * LOCATE_BYTES + 1], jump_text[128];

	pattern_fill(expected, sizeof(expected), check->expected);
	describe_jump(check, window, jump_text, sizeof(jump_text));
	tally_fail(
		"client %u: wrong byte at stream offset %" PRIu64 " (byte %" PRIu64
		" of the connection): expected%s, found%s%s",
		check->client, check->expected, check->position,
		hex(expected, sizeof(expected), expected_text),
		hex(window->bytes + window->checked, window->length - window->checked, found_text),
		jump_text);
}

static void report_no_pattern(struct check *check, struct window *window)
{
	char text[3 * LOCATE_BYTES + 1];

	if (opt.from_start) {
		window->checked = pattern_check(window->bytes, window->length, 0);
		check->expected = check->position = window->checked;
		report_mismatch(check, window);
		return;
	}
	tally_fail("client %u: the first bytes are no pattern: found%s", check->client,
		   hex(window->bytes, window->length, text));
}

/* Check a connection that ended within its first word. */
static enum judgement check_few_bytes(struct check *check, struct window *window)
{
	uint64_t word = 0;
	bool right;

	memcpy(&word, window->bytes, window->length);
	if (opt.from_start)
		right = word == 0;
	else
		right = le64toh(word) % PATTERN_WORD == 0;
	if (!right) {
		report_no_pattern(check, window);
		return WRONG;
	}
	window->checked = window->length;
	return RIGHT;
}

/* Read from the first two words where in the stream this connection begins. */
static enum judgement check_start(struct check *check, struct window *window, bool last)
{
	uint64_t offset;

	if (window->length < LOCATE_BYTES && !last)
		return UNDECIDED;
	if (window->length < PATTERN_WORD)
		return check_few_bytes(check, window);
	if (!locate_offset(window->bytes, window->length, &offset)) {
		report_no_pattern(check, window);
		return WRONG;
	}
	if (offset < tally.first_offset_min)
		tally.first_offset_min = offset;
	if (offset > tally.first_offset_max)
		tally.first_offset_max = offset;
	if (opt.from_start && offset != 0) {
		tally_fail("client %u: starts at stream offset %" PRIu64 ", not at 0",
			   check->client, offset);
		return WRONG;
	}
	check->expected = offset;
	check->located = true;
	return RIGHT;
}

static bool count_gap(const struct check *check, const struct jump *jump)
{
	tally.gaps++;
	tally.gap_bytes += jump->to - jump->from;
	if (jump->from % opt.block_size == 0)
		return true;
	tally.cut_gaps++;
	if (opt.block_gaps)
		tally_fail("client %u: the gap at stream offset %" PRIu64 " begins within a block",
			   check->client, jump->from);
	return !opt.block_gaps;
}

/* Continue after the jump; the bytes before it are not history of those after it. */
static void follow_jump(struct check *check, struct window *window, const struct jump *jump)
{
	check->position -= window->checked - jump->at;
	check->expected = jump->to;
	window->bytes += jump->at;
	window->length -= jump->at;
	window->checked = 0;
}

/* Judge a wrong byte after the checked ones: accept it if it begins a gap. */
static enum judgement check_mismatch(struct check *check, struct window *window, bool last)
{
	struct jump jump;

	if (window->length - window->checked < LOCATE_BYTES && !last)
		return UNDECIDED;
	if (opt.allow_gaps && find_jump(check, window, &jump)) {
		follow_jump(check, window, &jump);
	} else if (opt.allow_gaps && last && guess_jump(check, window, &jump)) {
		tally.unsure++;
		window->checked = window->length;
	} else {
		report_mismatch(check, window);
		return WRONG;
	}
	return count_gap(check, &jump) ? RIGHT : WRONG;
}

static enum judgement check_window(struct check *check, struct window *window, bool last)
{
	enum judgement judgement = check->located ? RIGHT : check_start(check, window, last);

	while (judgement == RIGHT && window->checked < window->length) {
		size_t right = pattern_check(window->bytes + window->checked,
					     window->length - window->checked, check->expected);

		window->checked += right;
		check->expected += right;
		check->position += right;
		if (window->checked < window->length)
			judgement = check_mismatch(check, window, last);
	}
	return judgement;
}

static void carry_over(struct check *check, const struct window *window)
{
	size_t from = first_candidate(window);

	check->carry_checked = window->checked - from;
	check->carry_length = window->length - from;
	memcpy(check->carry, window->bytes + from, check->carry_length);
}

bool check_received(struct check *check, size_t length, bool last)
{
	unsigned char *start = buffer + CARRY_BYTES - check->carry_length;
	struct window window = { .bytes = start,
				 .checked = check->carry_checked,
				 .length = check->carry_length + length };

	if (opt.discard)
		return true;
	if (opt.lines) {
		bool right = lines_check(&check->lines, check->client, check_buffer, length);

		tally.bad += !right;
		return right;
	}
	memcpy(start, check->carry, check->carry_length);
	if (check_window(check, &window, last) == WRONG) {
		tally.bad++;
		return false;
	}
	carry_over(check, &window);
	return true;
}

bool check_finish(struct check *check)
{
	return check_received(check, 0, true);
}
