// SPDX-License-Identifier: BSD-2-Clause
#include "lib/state.h"

#include "lib/shared_bytes.h"

#include <assert.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_DEPTH 32

/* Length from which bytes are in the memory file: as text they would take six times their memory. */
#define MIN_FILE_BYTES 4096U

/* An object, or a list of objects, that was begun. */
struct state_frame {
	const char *name;
	json_t *value; /* borrowed from the one around it */
	size_t used; /* items of a list that were begun; restoring: members of an object that were read */
	size_t most; /* of a list: upper bound for its items */
};

struct state {
	json_t *root;
	bool saving;
	struct state_frame frame[MAX_DEPTH];
	size_t depth; /* number of frames that were begun */
	size_t lost;  /* number of frames that were begun after a failure */
	int *descriptor;
	size_t descriptors;
	int file;		      /* memory file with long bytes; -1: none */
	uint64_t file_bytes;	      /* saving: written to it */
	struct shared_bytes **shared; /* those with a number; restoring, it is an owner of them */
	size_t shared_count;
	bool failed;
	char why[STATE_WRONG_TEXT];
};

static struct state *state_new(json_t *root, bool saving)
{
	struct state *state = root ? calloc(1, sizeof(*state)) : NULL;

	if (!state) {
		json_decref(root);
		return NULL;
	}
	state->root = root;
	state->saving = saving;
	state->file = -1;
	state->frame[0] = (struct state_frame){ .name = "state", .value = root };
	state->depth = 1;
	return state;
}

struct state *state_create(void)
{
	return state_new(json_object(), true);
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

/* Find the memory file among the descriptors. Without one, bytes that are in it fail. */
static void state_find_file(struct state *state)
{
	const json_t *file = json_object_get(state->root, "file");
	json_int_t number = json_is_integer(file) ? json_integer_value(file) : -1;

	if (number < 0 || number >= (json_int_t)state->descriptors)
		return;
	state->file = state->descriptor[number];
	state->descriptor[number] = -1;
}

static bool state_take_descriptors(struct state *state, const int *descriptors, size_t count)
{
	if (!state_copy_descriptors(state, descriptors, count))
		return false;
	state_find_file(state);
	return true;
}

struct state *state_parse(const char *text, size_t length, const int *descriptors, size_t count,
			  char wrong[STATE_WRONG_TEXT])
{
	json_error_t error = { .text = "no memory" };
	json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	struct state *state = NULL;

	if (!json_is_object(root)) {
		snprintf(wrong, STATE_WRONG_TEXT, "%s",
			 root ? "expected a JSON object" : error.text);
		json_decref(root);
	} else {
		state = state_new(root, false);
		strlcpy(wrong, "no memory", STATE_WRONG_TEXT);
	}
	if (state && state_take_descriptors(state, descriptors, count))
		return state;
	state_close_all(descriptors, count);
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
	json_decref(state->root);
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
		if (!json_is_array(frame->value) || i + 1 == state->depth)
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

char *state_text(struct state *state, size_t *length)
{
	char *text;

	assert(state->saving && state->depth == 1);
	if (state->failed)
		return NULL;
	text = json_dumps(state->root, JSON_COMPACT);
	if (text)
		*length = strlen(text);
	else
		state_fail(state, "no memory");
	return text;
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

static void state_push_frame(struct state *state, const char *name, json_t *value)
{
	assert(state->depth < MAX_DEPTH);
	state->frame[state->depth++] = (struct state_frame){ .name = name, .value = value };
}

/* Put a new value into the current object. @value: taken over; NULL: there was no memory, or a text is not UTF-8 */
static void state_put(struct state *state, const char *name, json_t *value)
{
	json_t *object = state_top(state)->value;

	if (state->failed) {
		json_decref(value);
		return;
	}
	assert(json_is_object(object) && !json_object_get(object, name));
	if (json_object_set_new_nocheck(object, name, value))
		state_fail(state, value ? "%s: no memory" : "%s: no memory, or not UTF-8", name);
}

/* Return the value @name of the current object, borrowed; NULL after a failure. */
static json_t *state_get(struct state *state, const char *name)
{
	struct state_frame *frame = state_top(state);
	json_t *value;

	if (state->failed)
		return NULL;
	value = json_object_get(frame->value, name);
	if (value)
		frame->used++;
	else
		state_fail(state, "%s is missing", name);
	return value;
}

/* Begin @value, which is NULL after a failure. Each begin has an end, so that the callers need no checks. */
static void state_begin_value(struct state *state, const char *name, json_t *value)
{
	if (state->failed || !value)
		state->lost++;
	else
		state_push_frame(state, name, value);
}

static bool state_end_lost(struct state *state)
{
	if (!state->lost)
		return false;
	state->lost--;
	return true;
}

/* Return the object or list @name of the current object, borrowed; saving, it is new. NULL after a failure. */
static json_t *state_open(struct state *state, const char *name, bool is_list)
{
	json_t *value;

	if (state->saving) {
		state_put(state, name, is_list ? json_array() : json_object());
		return state->failed ? NULL : json_object_get(state_top(state)->value, name);
	}
	value = state_get(state, name);
	if (value && !(is_list ? json_is_array(value) : json_is_object(value)))
		state_fail(state, "%s: expected %s", name, is_list ? "a list" : "an object");
	return value;
}

void state_enter(struct state *state, const char *name)
{
	state_begin_value(state, name, state_open(state, name, false));
}

/* Find a member of the current object that was not read; the callers read each at most once. */
static void state_check_used(struct state *state)
{
	const struct state_frame *frame = state_top(state);

	if (!state->saving && frame->used != json_object_size(frame->value))
		state_fail(state, "has %zu values, of which %zu are known",
			   json_object_size(frame->value), frame->used);
}

void state_leave(struct state *state)
{
	if (state_end_lost(state))
		return;
	assert(state->depth > 1 && json_is_object(state_top(state)->value));
	if (!state->failed)
		state_check_used(state);
	state->depth--;
}

bool state_has(const struct state *state, const char *name)
{
	const struct state_frame *frame = &state->frame[state->depth - 1];

	return !state->failed && !state->saving && json_object_get(frame->value, name);
}

bool state_optional(struct state *state, const char *name, bool present)
{
	if (state->failed || (state->saving ? !present : !state_has(state, name)))
		return false;
	state_enter(state, name);
	return true;
}

size_t state_list(struct state *state, const char *name, size_t count, size_t most)
{
	json_t *value = state_open(state, name, true);

	if (!state->saving)
		count = json_array_size(value);
	if (count > most)
		state_fail(state, "%s: %zu items; expected at most %zu", name, count, most);
	state_begin_value(state, name, value);
	if (state->failed)
		return 0;
	state_top(state)->most = most;
	return count;
}

void state_item(struct state *state)
{
	struct state_frame *list = state_top(state);
	json_t *value = NULL;

	if (!state->failed && list->used == list->most)
		state_fail(state, "more than %zu items", list->most);
	if (!state->failed && state->saving && json_array_append_new(list->value, json_object())) {
		state_fail(state, "no memory");
	} else if (!state->failed) {
		value = json_array_get(list->value, list->used);
		list->used++;
		if (!json_is_object(value))
			state_fail(state, "item %zu: expected an object", list->used - 1);
	}
	state_begin_value(state, NULL, value);
}

void state_list_end(struct state *state)
{
	if (state_end_lost(state))
		return;
	assert(state->depth > 1 && json_is_array(state_top(state)->value));
	if (!state->failed && state_top(state)->used != json_array_size(state_top(state)->value))
		state_fail(state, "items were left out");
	state->depth--;
}

bool state_next_item(struct state *state)
{
	/* A list that was lost has no items; those of others have no name. */
	if (!state->lost && !state_top(state)->name)
		state_leave(state);
	if (!state->failed && state_top(state)->used < json_array_size(state_top(state)->value)) {
		state_item(state);
		if (!state->failed)
			return true;
		state_leave(state);
	}
	state_list_end(state);
	return false;
}

/* ---- values ---- */

/* The integer @name from 0 to @most, or any if @most is UINT64_MAX. Return: false after a failure. */
static bool state_get_number(struct state *state, const char *name, uint64_t most, uint64_t *value)
{
	const json_t *integer = state_get(state, name);

	if (!integer)
		return false;
	*value = (uint64_t)json_integer_value(integer);
	if (!json_is_integer(integer) || *value > most) {
		state_fail(state, "%s: expected a number up to %" PRIu64, name, most);
		return false;
	}
	return true;
}

/* @value: in and out */
static void state_number(struct state *state, const char *name, uint64_t most, uint64_t *value)
{
	uint64_t restored;

	if (state->saving)
		state_put(state, name, json_integer((json_int_t)*value));
	else if (state_get_number(state, name, most, &restored))
		*value = restored;
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

void state_i64(struct state *state, const char *name, int64_t *value)
{
	uint64_t number = (uint64_t)*value;

	state_number(state, name, UINT64_MAX, &number);
	*value = (int64_t)number;
}

void state_size(struct state *state, const char *name, size_t *value)
{
	uint64_t number = *value;

	state_number(state, name, SIZE_MAX, &number);
	*value = (size_t)number;
}

void state_bool(struct state *state, const char *name, bool *value)
{
	const json_t *boolean;

	if (state->saving) {
		state_put(state, name, json_boolean(*value));
		return;
	}
	boolean = state_get(state, name);
	if (boolean && !json_is_boolean(boolean))
		state_fail(state, "%s: expected true or false", name);
	else if (boolean)
		*value = json_is_true(boolean);
}

void state_choice(struct state *state, const char *name, int *value, int choices)
{
	uint64_t number = (uint64_t)*value;

	state_number(state, name, (uint64_t)choices - 1, &number);
	*value = (int)number;
}

static void state_put_numbers(struct state *state, const char *name, const uint64_t *value,
			      size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < count; i++) {
		if (json_array_append_new(list, json_integer((json_int_t)value[i])))
			state_fail(state, "%s: no memory", name);
	}
	state_put(state, name, list);
}

void state_numbers(struct state *state, const char *name, uint64_t *value, size_t count)
{
	const json_t *list;

	if (state->saving) {
		state_put_numbers(state, name, value, count);
		return;
	}
	list = state_get(state, name);
	if (list && (!json_is_array(list) || json_array_size(list) != count))
		state_fail(state, "%s: expected %zu numbers", name, count);
	for (size_t i = 0; !state->failed && i < count; i++)
		value[i] = (uint64_t)json_integer_value(json_array_get(list, i));
}

/* Return the text @name, borrowed; NULL after a failure, and for null if @may_be_null. */
static const char *state_get_text(struct state *state, const char *name, bool may_be_null)
{
	const json_t *text = state_get(state, name);

	if (!text || (may_be_null && json_is_null(text)))
		return NULL;
	if (!json_is_string(text))
		state_fail(state, "%s: expected a text", name);
	return json_string_value(text);
}

void state_string(struct state *state, const char *name, char *text, size_t size)
{
	const char *restored;

	if (state->saving) {
		state_put(state, name, json_string(text));
		return;
	}
	restored = state_get_text(state, name, false);
	if (restored && strlen(restored) >= size)
		state_fail(state, "%s: longer than %zu bytes", name, size - 1);
	else if (restored)
		strlcpy(text, restored, size);
}

void state_string_copy(struct state *state, const char *name, char **text)
{
	const char *restored;

	if (state->saving) {
		state_put(state, name, *text ? json_string(*text) : json_null());
		return;
	}
	restored = state_get_text(state, name, true);
	if (state->failed)
		return;
	*text = restored ? strdup(restored) : NULL;
	if (restored && !*text)
		state_fail(state, "%s: no memory", name);
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

/* ---- bytes: in hexadecimal, or in the memory file ---- */

static void state_put_hexadecimal(struct state *state, const char *name, const unsigned char *bytes,
				  size_t length)
{
	static const char digit[] = "0123456789abcdef";
	char *text = malloc(length * 2 + 1);

	for (size_t i = 0; text && i < length; i++) {
		text[i * 2] = digit[bytes[i] >> 4];
		text[i * 2 + 1] = digit[bytes[i] & 15];
	}
	state_put(state, name, text ? json_stringn_nocheck(text, length * 2) : NULL);
	free(text);
}

/* Return the value of a digit of state_put_hexadecimal(); 16 for anything else. */
static unsigned int state_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return (unsigned int)(digit - '0');
	return digit >= 'a' && digit <= 'f' ? (unsigned int)(digit - 'a') + 10 : 16;
}

static bool state_decode(const char *text, unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned int high = state_digit(text[i * 2]), low = state_digit(text[i * 2 + 1]);

		if (high > 15 || low > 15)
			return false;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

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
	if (json_object_set_new_nocheck(state->root, "file", json_integer(number)))
		state_fail(state, "no memory");
	return !state->failed;
}

/* Append to the memory file. Return: false after a failure. */
static bool state_write_file(struct state *state, const unsigned char *bytes, size_t length)
{
	while (length) {
		ssize_t n = pwrite(state->file, bytes, length, (off_t)state->file_bytes);

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
	json_int_t offset = (json_int_t)state->file_bytes;

	if (!state->failed && state_open_file(state) && state_write_file(state, bytes, length))
		state_put(state, name,
			  json_pack("{s:I, s:I}", "offset", offset, "length", (json_int_t)length));
}

static void state_put_bytes(struct state *state, const char *name, const unsigned char *bytes,
			    size_t length)
{
	if (length < MIN_FILE_BYTES)
		state_put_hexadecimal(state, name, bytes, length);
	else
		state_put_in_file(state, name, bytes, length);
}

/* Return the number of the bytes that @value is; SIZE_MAX: it is none. */
static size_t state_count_bytes(const json_t *value)
{
	const json_t *length = json_object_get(value, "length");

	if (json_is_string(value) && json_string_length(value) % 2 == 0)
		return json_string_length(value) / 2;
	return json_is_integer(length) && json_integer_value(length) >= 0
		       ? (size_t)json_integer_value(length)
		       : SIZE_MAX;
}

static bool state_read_file(const struct state *state, unsigned char *bytes, size_t length,
			    off_t offset)
{
	while (length) {
		ssize_t n = pread(state->file, bytes, length, offset);

		if (n <= 0)
			return false;
		bytes += n;
		length -= (size_t)n;
		offset += n;
	}
	return true;
}

/* Read the bytes that @value is, of which state_count_bytes() was right. */
static bool state_read_bytes(const struct state *state, const json_t *value, unsigned char *bytes,
			     size_t length)
{
	if (json_is_string(value))
		return state_decode(json_string_value(value), bytes, length);
	return state_read_file(state, bytes, length,
			       (off_t)json_integer_value(json_object_get(value, "offset")));
}

void state_bytes(struct state *state, const char *name, unsigned char **bytes, size_t *length,
		 size_t most)
{
	unsigned char *copy;
	const json_t *value;
	size_t size;

	if (state->saving) {
		state_put_bytes(state, name, *bytes, *length);
		return;
	}
	value = state_get(state, name);
	size = value ? state_count_bytes(value) : 0;
	if (size > most)
		state_fail(state, "%s: expected at most %zu bytes", name, most);
	if (state->failed)
		return;
	copy = size ? malloc(size) : NULL;
	if ((size && !copy) || !state_read_bytes(state, value, copy, size)) {
		state_fail(state, "%s: %s", name, copy ? "expected hexadecimal" : "no memory");
		free(copy);
		return;
	}
	*bytes = copy;
	*length = size;
}

void state_fixed_bytes(struct state *state, const char *name, void *bytes, size_t length)
{
	const json_t *value;

	if (state->saving) {
		state_put_bytes(state, name, bytes, length);
		return;
	}
	value = state_get(state, name);
	if (value &&
	    (state_count_bytes(value) != length || !state_read_bytes(state, value, bytes, length)))
		state_fail(state, "%s: expected %zu bytes", name, length);
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
	int64_t number = -1;

	if (state->saving) {
		number = state_add_descriptor(state, *fd);
		state_put(state, name, json_integer(number));
		return;
	}
	state_i64(state, name, &number);
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
