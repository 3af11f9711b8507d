// SPDX-License-Identifier: BSD-2-Clause
#include "lib/state.h"

#include "lib/interrupted.h"
#include "lib/packed.h"
#include "lib/shared_bytes.h"

#include <assert.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_DEPTH 32

/* Length from which bytes are in the memory file: the state is copied more than once. */
#define MIN_FILE_BYTES 4096U

/* An object, or a list of objects, that was begun. */
struct state_frame {
	const char *name;
	bool is_list;
	size_t used; /* items of a list that were begun */
	size_t most; /* of a list: upper bound for its items */
};

struct state {
	bool saving;
	struct packed packed;	 /* one map */
	size_t at;		 /* restoring: what is before was read */
	struct packed_item next; /* restoring: the item there */
	struct state_frame frame[MAX_DEPTH];
	size_t depth; /* number of frames that were begun */
	size_t lost;  /* number of frames that were begun after a failure */
	int *descriptor;
	size_t descriptors;
	int file;		      /* memory file with long bytes; -1: none */
	uint64_t file_number;	      /* of its descriptor */
	uint64_t file_bytes;	      /* saving: written to it */
	struct shared_bytes **shared; /* those with a number; restoring, it is an owner of them */
	size_t shared_count;
	bool failed;
	char why[STATE_WRONG_TEXT];
};

static struct state *state_new(bool saving)
{
	struct state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->saving = saving;
	state->file = -1;
	state->frame[0] = (struct state_frame){ .name = "state" };
	state->depth = 1;
	return state;
}

struct state *state_create(void)
{
	struct state *state = state_new(true);

	if (state)
		packed_begin_map(&state->packed);
	return state;
}

static void state_close_all(const int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	}
}

/* Return: false without memory. The descriptors are the state's afterwards. */
static bool state_copy_descriptors(struct state *state, const int *descriptors, size_t count)
{
	state->descriptor = calloc(count + 1, sizeof(*state->descriptor));
	if (!state->descriptor)
		return false;
	for (size_t i = 0; i < count; i++)
		state->descriptor[i] = descriptors[i];
	state->descriptors = count;
	return true;
}

/* Read the item at @at, unless nothing is left. */
static void state_look(struct state *state)
{
	state->next = packed_read(state->packed.data + state->at, state->packed.length - state->at);
}

/* Go on behind the item that state_look() has found. */
static void state_skip(struct state *state)
{
	state->at += state->next.size;
	state_look(state);
}

/* Return: false without memory. */
static bool state_copy_data(struct state *state, const char *data, size_t length)
{
	state->packed.data = malloc(length ? length : 1);
	if (!state->packed.data)
		return false;
	memcpy(state->packed.data, data, length);
	state->packed.length = length;
	state_look(state);
	return true;
}

struct state *state_decode(const char *data, size_t length, const int *descriptors, size_t count,
			   char wrong[STATE_WRONG_TEXT])
{
	struct state *state = state_new(false);

	strlcpy(wrong, "no memory", STATE_WRONG_TEXT);
	if (!state || !state_copy_data(state, data, length) ||
	    !state_copy_descriptors(state, descriptors, count)) {
		state_close_all(descriptors, count);
	} else if (state->next.kind == PACKED_MAP) {
		state_skip(state);
		return state;
	} else {
		strlcpy(wrong, "expected an object in CBOR", STATE_WRONG_TEXT);
	}
	state_free(state);
	return NULL;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	if (!state->saving)
		state_close_all(state->descriptor, state->descriptors);
	free(state->descriptor);
	if (state->file >= 0)
		close(state->file);
	for (size_t i = 0; !state->saving && i < state->shared_count; i++)
		shared_bytes_release(state->shared[i]);
	free(state->shared);
	free(state->packed.data);
	free(state);
}

bool state_is_saving(const struct state *state)
{
	return state->saving;
}

/* ---- failures ---- */

/* Append the names of what was begun: "state.streams[2].client". */
static void state_format_path(const struct state *state, char *text, size_t size)
{
	char index[32];

	for (size_t i = 1; i < state->depth; i++) {
		const struct state_frame *frame = &state->frame[i];

		if (frame->name && i > 1)
			strlcat(text, ".", size);
		if (frame->name)
			strlcat(text, frame->name, size);
		if (!frame->is_list || i + 1 == state->depth)
			continue;
		snprintf(index, sizeof(index), "[%zu]", frame->used - 1);
		strlcat(text, index, size);
	}
}

void state_fail(struct state *state, const char *format, ...)
{
	char path[STATE_WRONG_TEXT / 2] = "", text[STATE_WRONG_TEXT];
	va_list args;

	if (state->failed)
		return;
	state->failed = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	state_format_path(state, path, sizeof(path));
	snprintf(state->why, sizeof(state->why), "%s%s%.*s", path, *path ? ": " : "",
		 (int)(STATE_WRONG_TEXT / 2 - 3), text);
}

bool state_failed(const struct state *state)
{
	return state->failed;
}

const char *state_why(const struct state *state)
{
	return state->why;
}

const char *state_encode(struct state *state, size_t *length)
{
	assert(state->saving && state->depth == 1);
	if (!state->packed.length || state->failed)
		return NULL;
	/* Whatever is saved next takes its place. */
	packed_end(&state->packed);
	if (state->packed.no_memory)
		state_fail(state, "no memory");
	*length = state->packed.length--;
	return state->failed ? NULL : (const char *)state->packed.data;
}

const int *state_descriptors(const struct state *state, size_t *count)
{
	*count = state->descriptors;
	return state->descriptor;
}

/* ---- structure ---- */

static struct state_frame *state_top(struct state *state)
{
	return &state->frame[state->depth - 1];
}

/* Begin to write the value @name. Return: false after a failure. */
static bool state_put(struct state *state, const char *name)
{
	if (state->packed.no_memory)
		state_fail(state, "%s: no memory", name);
	if (state->failed)
		return false;
	assert(!state_top(state)->is_list);
	packed_put_text(&state->packed, name, strlen(name));
	return true;
}

/* Return true if the next value of the current object is @name. */
static bool state_next_is(const struct state *state, const char *name)
{
	return state->next.kind == PACKED_TEXT && state->next.length == strlen(name) &&
	       !memcmp(state->next.bytes, name, state->next.length);
}

/*
 * Begin to read the value @name of the current object, which is state->next then; state_skip() follows. Return: false
 * after a failure.
 */
static bool state_get(struct state *state, const char *name)
{
	if (state->failed)
		return false;
	if (!state_next_is(state, name)) {
		state_fail(state, "%s is missing", name);
		return false;
	}
	state_skip(state);
	return true;
}

/* Begin an object or a list. Each begin has an end, also after a failure, so that the callers need no checks. */
static void state_push_frame(struct state *state, const char *name, bool is_list, size_t most)
{
	if (state->failed) {
		state->lost++;
		return;
	}
	assert(state->depth < MAX_DEPTH);
	state->frame[state->depth++] =
		(struct state_frame){ .name = name, .is_list = is_list, .most = most };
}

static bool state_end_lost(struct state *state)
{
	if (!state->lost)
		return false;
	state->lost--;
	return true;
}

static const char *state_kind_name(enum packed_kind kind)
{
	return kind == PACKED_LIST ? "a list" : "an object";
}

/* Read the begin of an object or a list. */
static void state_read_begin(struct state *state, enum packed_kind kind, const char *name)
{
	if (state->failed)
		return;
	if (state->next.kind == kind)
		state_skip(state);
	else
		state_fail(state, "%s: expected %s", name, state_kind_name(kind));
}

/* Read the end of the current object or list. */
static void state_read_end(struct state *state)
{
	const struct packed_item *next = &state->next;

	if (state->failed)
		return;
	if (next->kind == PACKED_END)
		state_skip(state);
	else if (next->kind == PACKED_TEXT)
		state_fail(state, "%.*s is not known", (int)(next->length < 64 ? next->length : 64),
			   next->bytes);
	else
		state_fail(state, "it does not end");
}

void state_enter(struct state *state, const char *name)
{
	if (!state->saving && state_get(state, name))
		state_read_begin(state, PACKED_MAP, name);
	else if (state->saving && state_put(state, name))
		packed_begin_map(&state->packed);
	state_push_frame(state, name, false, 0);
}

void state_leave(struct state *state)
{
	if (state_end_lost(state))
		return;
	assert(state->depth > 1 && !state_top(state)->is_list);
	if (state->saving)
		packed_end(&state->packed);
	else
		state_read_end(state);
	state->depth--;
}

bool state_has(const struct state *state, const char *name)
{
	return !state->failed && !state->saving && state_next_is(state, name);
}

bool state_optional(struct state *state, const char *name, bool present)
{
	if (state->failed || (state->saving ? !present : !state_has(state, name)))
		return false;
	state_enter(state, name);
	return true;
}

void state_list(struct state *state, const char *name, size_t most)
{
	if (!state->saving && state_get(state, name))
		state_read_begin(state, PACKED_LIST, name);
	else if (state->saving && state_put(state, name))
		packed_begin_list(&state->packed);
	state_push_frame(state, name, true, most);
}

void state_item(struct state *state)
{
	struct state_frame *list = state_top(state);
	char name[32];

	if (!state->failed && list->used == list->most)
		state_fail(state, "more than %zu items", list->most);
	if (!state->failed) {
		assert(list->is_list);
		snprintf(name, sizeof(name), "item %zu", list->used++);
	}
	if (!state->failed && state->saving)
		packed_begin_map(&state->packed);
	else if (!state->saving)
		state_read_begin(state, PACKED_MAP, name);
	state_push_frame(state, NULL, false, 0);
}

void state_list_end(struct state *state)
{
	if (state_end_lost(state))
		return;
	assert(state->depth > 1 && state_top(state)->is_list);
	if (state->saving)
		packed_end(&state->packed);
	else if (!state->failed && state->next.kind == PACKED_MAP)
		state_fail(state, "more items than are known");
	else
		state_read_end(state);
	state->depth--;
}

bool state_next_item(struct state *state)
{
	/* A list that was lost has no items; those of others have no name. */
	if (!state->lost && !state_top(state)->name)
		state_leave(state);
	if (!state->failed && state->next.kind != PACKED_END) {
		state_item(state);
		if (!state->failed)
			return true;
		state_leave(state);
	}
	state_list_end(state);
	return false;
}

/* ---- values ---- */

/* Read a number from 0 to @most. */
static void state_read_number(struct state *state, const char *name, uint64_t most, uint64_t *value)
{
	if (state->next.kind != PACKED_NUMBER || state->next.number > most) {
		state_fail(state, "%s: expected a number up to %" PRIu64, name, most);
		return;
	}
	*value = state->next.number;
	state_skip(state);
}

/* @value: in and out */
static void state_number(struct state *state, const char *name, uint64_t most, uint64_t *value)
{
	if (!state->saving && state_get(state, name))
		state_read_number(state, name, most, value);
	else if (state->saving && state_put(state, name))
		packed_put_number(&state->packed, *value);
}

void state_u64(struct state *state, const char *name, uint64_t *value)
{
	state_number(state, name, UINT64_MAX, value);
}

void state_u32(struct state *state, const char *name, uint32_t *value)
{
	uint64_t number = *value;

	state_number(state, name, UINT32_MAX, &number);
	*value = (uint32_t)number;
}

void state_u16(struct state *state, const char *name, uint16_t *value)
{
	uint64_t number = *value;

	state_number(state, name, UINT16_MAX, &number);
	*value = (uint16_t)number;
}

void state_pid(struct state *state, const char *name, pid_t *value)
{
	uint64_t number = (uint64_t)*value;

	state_number(state, name, INT32_MAX, &number);
	*value = (pid_t)number;
}

static void state_read_signed(struct state *state, const char *name, int64_t *value)
{
	if (state->next.kind != PACKED_NEGATIVE &&
	    (state->next.kind != PACKED_NUMBER || state->next.number > INT64_MAX)) {
		state_fail(state, "%s: expected a number", name);
		return;
	}
	*value = (int64_t)state->next.number;
	state_skip(state);
}

void state_i64(struct state *state, const char *name, int64_t *value)
{
	if (!state->saving && state_get(state, name))
		state_read_signed(state, name, value);
	else if (state->saving && state_put(state, name))
		packed_put_signed(&state->packed, *value);
}

void state_size(struct state *state, const char *name, size_t *value)
{
	uint64_t number = *value;

	state_number(state, name, SIZE_MAX, &number);
	*value = (size_t)number;
}

static void state_read_bool(struct state *state, const char *name, bool *value)
{
	if (state->next.kind != PACKED_BOOL) {
		state_fail(state, "%s: expected true or false", name);
		return;
	}
	*value = state->next.number;
	state_skip(state);
}

void state_bool(struct state *state, const char *name, bool *value)
{
	if (!state->saving && state_get(state, name))
		state_read_bool(state, name, value);
	else if (state->saving && state_put(state, name))
		packed_put_bool(&state->packed, *value);
}

void state_choice(struct state *state, const char *name, int *value, int choices)
{
	uint64_t number = (uint64_t)*value;

	state_number(state, name, (uint64_t)choices - 1, &number);
	*value = (int)number;
}

static void state_put_numbers(struct state *state, const uint64_t *value, size_t count)
{
	packed_begin_numbers(&state->packed, count);
	for (size_t i = 0; i < count; i++)
		packed_put_number(&state->packed, value[i]);
}

static void state_read_numbers(struct state *state, const char *name, uint64_t *value, size_t count)
{
	if (state->next.kind != PACKED_NUMBERS || state->next.number != count) {
		state_fail(state, "%s: expected %zu numbers", name, count);
		return;
	}
	state_skip(state);
	for (size_t i = 0; i < count && !state->failed; i++)
		state_read_number(state, name, UINT64_MAX, &value[i]);
}

void state_numbers(struct state *state, const char *name, uint64_t *value, size_t count)
{
	if (!state->saving && state_get(state, name))
		state_read_numbers(state, name, value, count);
	else if (state->saving && state_put(state, name))
		state_put_numbers(state, value, count);
}

/* Read a text. Return: false after a failure. @text: out: not terminated */
static bool state_read_text(struct state *state, const char *name, const char **text,
			    size_t *length)
{
	if (state->next.kind != PACKED_TEXT ||
	    memchr(state->next.bytes, '\0', state->next.length)) {
		state_fail(state, "%s: expected a text", name);
		return false;
	}
	*text = (const char *)state->next.bytes;
	*length = state->next.length;
	state_skip(state);
	return true;
}

void state_string(struct state *state, const char *name, char *text, size_t size)
{
	const char *restored;
	size_t length;

	if (state->saving) {
		if (state_put(state, name))
			packed_put_text(&state->packed, text, strlen(text));
		return;
	}
	if (!state_get(state, name) || !state_read_text(state, name, &restored, &length))
		return;
	if (length < size)
		snprintf(text, size, "%.*s", (int)length, restored);
	else
		state_fail(state, "%s: longer than %zu bytes", name, size - 1);
}

static void state_put_text_or_null(struct state *state, const char *text)
{
	if (text)
		packed_put_text(&state->packed, text, strlen(text));
	else
		packed_put_null(&state->packed);
}

static void state_read_text_or_null(struct state *state, const char *name, char **text)
{
	const char *restored;
	size_t length;

	if (state->next.kind == PACKED_NULL) {
		state_skip(state);
		*text = NULL;
		return;
	}
	if (!state_read_text(state, name, &restored, &length))
		return;
	*text = strndup(restored, length);
	if (!*text)
		state_fail(state, "%s: no memory", name);
}

void state_string_copy(struct state *state, const char *name, char **text)
{
	if (!state->saving && state_get(state, name))
		state_read_text_or_null(state, name, text);
	else if (state->saving && state_put(state, name))
		state_put_text_or_null(state, *text);
}

/* ---- descriptors ---- */

/*
 * Return @array with place for one item more than @count, of @size bytes each; NULL after a failure, which leaves it. It
 * grows by doubling, and is full at each power of two.
 */
static void *state_grow(struct state *state, void *array, size_t count, size_t size)
{
	void *grown = array;

	if (!(count & (count - 1)))
		grown = reallocarray(array, count ? count * 2 : 1, size);
	if (!grown)
		state_fail(state, "no memory");
	return grown;
}

/* Return the number under which the successor finds @fd; -1 without memory. */
static int64_t state_add_descriptor(struct state *state, int fd)
{
	int *grown;

	if (fd < 0)
		return -1;
	grown = state_grow(state, state->descriptor, state->descriptors, sizeof(*grown));
	if (!grown)
		return -1;
	state->descriptor = grown;
	state->descriptor[state->descriptors] = fd;
	return (int64_t)state->descriptors++;
}

/* ---- bytes: with the other values, or in the memory file, as the numbers of its descriptor, offset and length ---- */

enum { FILE_NUMBER, FILE_OFFSET, FILE_LENGTH, FILE_NUMBERS };

/* Open the memory file, which is a descriptor of the state. Return: false after a failure. */
static bool state_open_file(struct state *state)
{
	int64_t number;

	if (state->file >= 0)
		return true;
	state->file = memfd_create("dmacast-state", MFD_CLOEXEC);
	if (state->file < 0) {
		state_fail(state, "no memory file: %s", strerror(errno));
		return false;
	}
	number = state_add_descriptor(state, state->file);
	state->file_number = (uint64_t)number;
	return number >= 0;
}

/* Append to the memory file. Return: false after a failure. */
static bool state_write_file(struct state *state, const unsigned char *bytes, size_t length)
{
	while (length) {
		ssize_t n = REPEAT_INTERRUPTED(
			pwrite(state->file, bytes, length, (off_t)state->file_bytes));

		if (n <= 0) {
			state_fail(state, "no memory for %zu bytes: %s", length, strerror(errno));
			return false;
		}
		bytes += n;
		length -= (size_t)n;
		state->file_bytes += (uint64_t)n;
	}
	return true;
}

static void state_put_in_file(struct state *state, const char *name, const unsigned char *bytes,
			      size_t length)
{
	uint64_t place[FILE_NUMBERS] = { 0, state->file_bytes, length };

	if (state->failed || !state_open_file(state) || !state_write_file(state, bytes, length) ||
	    !state_put(state, name))
		return;
	place[FILE_NUMBER] = state->file_number;
	state_put_numbers(state, place, FILE_NUMBERS);
}

static void state_put_bytes(struct state *state, const char *name, const unsigned char *bytes,
			    size_t length)
{
	if (length >= MIN_FILE_BYTES)
		state_put_in_file(state, name, bytes, length);
	else if (state_put(state, name))
		packed_put_bytes(&state->packed, bytes, length);
}

/* Let the descriptor @number be the memory file. Return: false if it cannot. */
static bool state_find_file(struct state *state, uint64_t number)
{
	if (state->file >= 0)
		return number == state->file_number;
	if (number >= state->descriptors || state->descriptor[number] < 0)
		return false;
	state->file = state->descriptor[number];
	state->file_number = number;
	state->descriptor[number] = -1;
	return true;
}

static bool state_read_file(const struct state *state, unsigned char *bytes, size_t length,
			    uint64_t offset)
{
	while (length) {
		ssize_t n = REPEAT_INTERRUPTED(pread(state->file, bytes, length, (off_t)offset));

		if (n <= 0)
			return false;
		bytes += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return true;
}

/* Where bytes are that are restored. */
struct state_bytes_place {
	const unsigned char *bytes; /* NULL: in the memory file */
	uint64_t offset;	    /* there */
	uint64_t length;
};

/* Read where the bytes @name are. Return: false after a failure. */
static bool state_find_bytes(struct state *state, const char *name, struct state_bytes_place *place)
{
	uint64_t number[FILE_NUMBERS];

	if (!state_get(state, name))
		return false;
	if (state->next.kind == PACKED_BYTES) {
		*place = (struct state_bytes_place){ .bytes = state->next.bytes,
						     .length = state->next.length };
		state_skip(state);
		return true;
	}
	if (state->next.kind != PACKED_NUMBERS)
		state_fail(state, "%s: expected bytes", name);
	else
		state_read_numbers(state, name, number, FILE_NUMBERS);
	if (!state->failed && !state_find_file(state, number[FILE_NUMBER]))
		state_fail(state, "%s: there is no memory file", name);
	if (!state->failed)
		*place = (struct state_bytes_place){ .offset = number[FILE_OFFSET],
						     .length = number[FILE_LENGTH] };
	return !state->failed;
}

/* Copy the bytes to @bytes, which has place for them. */
static void state_copy_bytes(struct state *state, const char *name,
			     const struct state_bytes_place *place, unsigned char *bytes)
{
	if (place->bytes && place->length)
		memcpy(bytes, place->bytes, place->length);
	else if (!place->bytes && !state_read_file(state, bytes, place->length, place->offset))
		state_fail(state, "%s: the memory file ends before", name);
}

/* Return: NULL if there are none, and after a failure. */
static unsigned char *state_read_bytes(struct state *state, const char *name, uint64_t *length,
				       size_t most)
{
	struct state_bytes_place place;
	unsigned char *copy;

	*length = 0;
	if (!state_find_bytes(state, name, &place))
		return NULL;
	if (place.length > most)
		state_fail(state, "%s: expected at most %zu bytes", name, most);
	if (state->failed || !place.length)
		return NULL;
	copy = malloc(place.length);
	if (copy)
		state_copy_bytes(state, name, &place, copy);
	else
		state_fail(state, "%s: no memory", name);
	*length = place.length;
	if (!state->failed)
		return copy;
	free(copy);
	return NULL;
}

void state_bytes(struct state *state, const char *name, unsigned char **bytes, size_t *length,
		 size_t most)
{
	unsigned char *restored;
	uint64_t restored_length;

	if (state->saving) {
		state_put_bytes(state, name, *bytes, *length);
		return;
	}
	restored = state_read_bytes(state, name, &restored_length, most);
	if (state->failed)
		return;
	*bytes = restored;
	*length = (size_t)restored_length;
}

void state_fixed_bytes(struct state *state, const char *name, void *bytes, size_t length)
{
	struct state_bytes_place place;

	if (state->saving)
		state_put_bytes(state, name, bytes, length);
	else if (state_find_bytes(state, name, &place) && place.length != length)
		state_fail(state, "%s: expected %zu bytes", name, length);
	else if (!state->failed)
		state_copy_bytes(state, name, &place, bytes);
}

/* ---- bytes with several owners ---- */

/* Return the number of @bytes; that of the next ones if they have none. */
static size_t state_find_shared(const struct state *state, const struct shared_bytes *bytes)
{
	size_t number = 0;

	while (number < state->shared_count && state->shared[number] != bytes)
		number++;
	return number;
}

/* Give the next number to @bytes. */
static void state_number_shared(struct state *state, struct shared_bytes *bytes)
{
	struct shared_bytes **grown = state_grow(state, state->shared, state->shared_count,
						 sizeof(struct shared_bytes *));

	if (!grown)
		return;
	state->shared = grown;
	state->shared[state->shared_count++] = state->saving ? bytes : shared_bytes_keep(bytes);
}

static void state_save_shared(struct state *state, struct shared_bytes *bytes)
{
	bool has_number = bytes->owners > 1;
	size_t number = has_number ? state_find_shared(state, bytes) : 0;

	if (has_number)
		state_size(state, "number", &number);
	if (has_number && number < state->shared_count)
		return;
	state_put_bytes(state, "bytes", bytes->bytes, bytes->length);
	if (has_number)
		state_number_shared(state, bytes);
}

/* Return: NULL after a failure. */
static struct shared_bytes *state_read_shared(struct state *state, size_t most)
{
	struct shared_bytes *shared;
	unsigned char *bytes = NULL;
	size_t length = 0;

	state_bytes(state, "bytes", &bytes, &length, most);
	if (state->failed)
		return NULL;
	shared = shared_bytes_create(length ? (const void *)bytes : "", length);
	if (!shared)
		state_fail(state, "no memory");
	free(bytes);
	return shared;
}

/* Return: as state_read_shared(). */
static struct shared_bytes *state_restore_shared(struct state *state, size_t most)
{
	bool has_number = state_has(state, "number");
	size_t number = state->shared_count;
	struct shared_bytes *shared;

	if (has_number)
		state_size(state, "number", &number);
	if (number < state->shared_count)
		return shared_bytes_keep(state->shared[number]);
	if (number > state->shared_count)
		state_fail(state, "there are no bytes %zu", number);
	shared = state_read_shared(state, most);
	if (shared && has_number)
		state_number_shared(state, shared);
	return shared;
}

void state_shared_bytes(struct state *state, const char *name, struct shared_bytes **bytes,
			size_t most)
{
	if (!state_optional(state, name, *bytes))
		return;
	if (state->saving)
		state_save_shared(state, *bytes);
	else
		*bytes = state_restore_shared(state, most);
	state_leave(state);
}

/* ---- one descriptor ---- */

void state_descriptor(struct state *state, const char *name, int *fd)
{
	int64_t number = state->saving ? state_add_descriptor(state, *fd) : -1;

	state_i64(state, name, &number);
	if (state->saving)
		return;
	if (state->failed)
		return;
	if (number >= (int64_t)state->descriptors ||
	    (number >= 0 && state->descriptor[number] < 0)) {
		state_fail(state, "%s: there is no descriptor %" PRId64, name, number);
		return;
	}
	*fd = number < 0 ? -1 : state->descriptor[number];
	if (number >= 0)
		state->descriptor[number] = -1;
	if (*fd >= 0)
		fcntl(*fd, F_SETFD, FD_CLOEXEC);
}
