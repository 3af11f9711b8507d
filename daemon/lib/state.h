/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of the daemon as named values, which one process saves and its successor restores. The same calls
 * describe both directions: saving, each one writes its value; restoring, each one reads it:
 *
 *     state_enter(state, "cursor");
 *     state_u64(state, "sequence", &cursor->sequence);
 *     state_u32(state, "offset", &cursor->offset);
 *     state_leave(state);
 *
 * The values are one CBOR map, see packed.h. Descriptors travel beside it, see parcel.h. Long bytes are in a memory file,
 * which is one of the descriptors. Values are restored in the order in which they were saved.
 *
 * The first failure is kept and ends all: afterwards nothing is saved, and restoring leaves each value as it is. So a
 * caller checks state_failed() once, before it uses what was restored. A value that is missing, out of range, or
 * present but not read is a failure: a state that is not understood in full must not be continued.
 */
#ifndef DMACAST_STATE_H
#define DMACAST_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct shared_bytes;
struct state;

/* Enough for each reason of a failure, with the path of the value. */
#define STATE_WRONG_TEXT 512

/** state_create() - begin to save. Return: NULL without memory. */
struct state *state_create(void);

/**
 * state_decode() - begin to restore what state_encode() returned, which is copied.
 * @descriptors: taken over, also on failure: those that nothing asks for are closed by state_free()
 * @wrong: out: on failure, why
 *
 * Return: NULL after a failure.
 */
struct state *state_decode(const char *data, size_t length, const int *descriptors, size_t count,
			   char wrong[STATE_WRONG_TEXT]);

/** state_free() - free the state. Descriptors that were saved stay open, but for the memory file with long bytes. */
void state_free(struct state *state);

/** state_is_saving() - return true while the values are written. */
bool state_is_saving(const struct state *state);

/** state_fail() - note a failure, with the path of the current value; the first one is kept. */
void state_fail(struct state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** state_failed() - return true after a failure. */
bool state_failed(const struct state *state);

/** state_why() - return the first failure as text, for the log; "" without one. */
const char *state_why(const struct state *state);

/** state_encode() - return what was saved, which is the state's; NULL after a failure. @length: out: bytes */
const char *state_encode(struct state *state, size_t *length);

/** state_descriptors() - return the saved descriptors, in order. @count: out */
const int *state_descriptors(const struct state *state, size_t *count);

/* ---- structure ---- */

/** state_enter() / state_leave() - begin and end the object @name within the current one. */
void state_enter(struct state *state, const char *name);
void state_leave(struct state *state);

/** state_has() - return true while restoring if the next value of the current object is @name. */
bool state_has(const struct state *state, const char *name);

/**
 * state_optional() - save whether the object @name follows, or find out whether it does.
 * @present: while saving: whether to enter it
 *
 * Return: true if it was entered; then state_leave() must follow.
 */
bool state_optional(struct state *state, const char *name, bool present);

/**
 * state_list() - begin the list @name of objects, each of which state_item() begins and state_leave() ends;
 * state_list_end() must follow.
 * @most: upper bound for the objects; more is a failure
 */
void state_list(struct state *state, const char *name, size_t most);
void state_item(struct state *state);
void state_list_end(struct state *state);

/**
 * state_next_item() - restoring, end the item of before, and begin the next one of the list.
 *
 * Return: false after the last one and after a failure; then the list has ended.
 */
bool state_next_item(struct state *state);

/* ---- values ---- */

void state_u64(struct state *state, const char *name, uint64_t *value);
void state_u32(struct state *state, const char *name, uint32_t *value);
void state_u16(struct state *state, const char *name, uint16_t *value);
void state_i64(struct state *state, const char *name, int64_t *value);
void state_size(struct state *state, const char *name, size_t *value);
void state_bool(struct state *state, const char *name, bool *value);
void state_pid(struct state *state, const char *name, pid_t *value); /* or 0: none */

/** state_choice() - an enumeration: 0 to @choices - 1. The caller passes its value through an int. */
void state_choice(struct state *state, const char *name, int *value, int choices);

/** state_numbers() - @count numbers in a row, such as the counters of a histogram. */
void state_numbers(struct state *state, const char *name, uint64_t *value, size_t count);

/** state_string() - a text in a buffer of @size bytes; a longer one is a failure. */
void state_string(struct state *state, const char *name, char *text, size_t size);

/** state_string_copy() - a text that is allocated while restoring, or NULL. Frees nothing. */
void state_string_copy(struct state *state, const char *name, char **text);

/**
 * state_bytes() - bytes that are allocated while restoring; NULL if there are none. Frees nothing.
 * @length: number of bytes; @most: upper bound
 */
void state_bytes(struct state *state, const char *name, unsigned char **bytes, size_t *length,
		 size_t most);

/** state_fixed_bytes() - exactly @length bytes in a buffer. */
void state_fixed_bytes(struct state *state, const char *name, void *bytes, size_t length);

/**
 * state_shared_bytes() - bytes that have several owners, or NULL: they are saved once, and have as many owners again.
 * @bytes: restoring: NULL; the caller becomes an owner
 * @most: upper bound of their length
 */
void state_shared_bytes(struct state *state, const char *name, struct shared_bytes **bytes,
			size_t most);

/**
 * state_descriptor() - an open descriptor, or -1. Restoring, it becomes the caller's, with close-on-exec set; its flags
 * and offset are those that it had.
 */
void state_descriptor(struct state *state, const char *name, int *fd);

#endif
