// SPDX-License-Identifier: BSD-2-Clause
/*
 * The source of a relay that goes on in another process: within a frame, between two attempts, and after its end; and
 * what a wrong value in its state does.
 */
#include "lib/clock.h"
#include "lib/frame.h"
#include "sourcepass.h"
#include "sourceworld.h"
#include "tap.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define EPOCH 7U
#define FRAME_BYTES (FRAME_HEADER_BYTES + BLOCK_SIZE)
/* Number of the first block. */
#define FIRST 1000U

static char directory[] = "/tmp/dmacast-framed.XXXXXX";
static char origin[64], input[80];

/* ---- the origin ---- */

/* Write @frame, of the test's stream from @frame->position on, without its last @cut bytes. */
static void origin_write_frame(int fd, const struct frame *frame, size_t cut)
{
	unsigned char bytes[FRAME_BYTES];
	size_t length = FRAME_HEADER_BYTES + frame->length - cut;

	frame_encode(frame, bytes);
	for (size_t i = 0; i < frame->length; i++)
		bytes[FRAME_HEADER_BYTES + i] = test_byte_at(frame->position + i);
	if (write(fd, bytes, length) != (ssize_t)length)
		err(1, "write");
}

/* Write what a connection begins with: the metadata. */
static void origin_begin(int fd)
{
	static const struct frame frame = {
		.flags = FRAME_METADATA,
		.length = 2,
		.epoch = EPOCH,
		.sequence = FIRST,
	};
	unsigned char bytes[FRAME_HEADER_BYTES + 2] = { 0 };

	frame_encode(&frame, bytes);
	bytes[FRAME_HEADER_BYTES] = '{';
	bytes[FRAME_HEADER_BYTES + 1] = '}';
	if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
		err(1, "write");
}

/* Write block number @number, counted from 0, without its last @cut bytes. */
static void origin_write_block(int fd, uint64_t number, size_t cut)
{
	const struct frame frame = {
		.flags = number ? 0 : FRAME_START,
		.length = BLOCK_SIZE,
		.epoch = EPOCH,
		.sequence = FIRST + number,
		.position = number * BLOCK_SIZE,
	};

	origin_write_frame(fd, &frame, cut);
}

/* Write the rest of that block. */
static void origin_write_rest(int fd, uint64_t number, size_t rest)
{
	write_bytes(fd, (number + 1) * BLOCK_SIZE - rest, (number + 1) * BLOCK_SIZE);
}

static void origin_write_end(int fd, uint64_t number)
{
	const struct frame frame = {
		.flags = FRAME_END,
		.epoch = EPOCH,
		.sequence = FIRST + number,
		.position = number * BLOCK_SIZE,
	};

	origin_write_frame(fd, &frame, 0);
}

/* ---- helpers ---- */

static void relayed_begin(void)
{
	handover_begin("%s", input);
	world.settings.input_format = INPUT_FRAMED;
}

/* See that the last block is @number, and that each byte up to its end came once. */
static void relayed_check_blocks(uint64_t number)
{
	handover_run_until_bytes((number + 1) * BLOCK_SIZE);
	handover_check_bytes((number + 1) * BLOCK_SIZE);
	check(handed->frame.epoch == EPOCH && handed->frame.sequence == FIRST + number,
	      "the last block is %08" PRIx32 ":%" PRIu64, handed->frame.epoch,
	      handed->frame.sequence);
	check(!handed->missed, "%" PRIu64 " blocks missed", handed->missed);
}

static bool relayed_is_waiting(void)
{
	return source_state(world.source, clock_monotonic_ns()) == SOURCE_WAITING;
}

static bool relayed_has_ended(void)
{
	return handed->ends == 1;
}

/* ---- it goes on ---- */

/* Have a state of a source within its second block. Return: the connection of its origin. */
static int relayed_save_within_block(int listener)
{
	int fd;

	relayed_begin();
	handover_start(is_within_block, true);
	fd = handover_accept(listener);
	origin_begin(fd);
	origin_write_block(fd, 0, 0);
	origin_write_block(fd, 1, 1000);
	handover_take_parcel();
	return fd;
}

static void test_framed_within_block(int listener)
{
	int fd = relayed_save_within_block(listener);

	origin_write_rest(fd, 1, 1000);
	handover_succeed();
	origin_write_block(fd, 2, 0);
	relayed_check_blocks(2);
	check(handed->ups == 1 && !handed->downs && !handed->restarts, "%u times up, %u down",
	      handed->ups, handed->downs);
	close(fd);
	/* The next connection repeats what the relay has. */
	fd = handover_accept_own(listener);
	origin_begin(fd);
	for (uint64_t i = 0; i < 4; i++)
		origin_write_block(fd, i, 0);
	relayed_check_blocks(3);
	check(handed->restarts == 1, "%u restarts", handed->restarts);
	sourceworld_end();
	close(fd);
	point("the connection goes on within a frame, and after the next one no block comes "
	      "twice");
}

static void test_framed_retrying(void)
{
	int listener, fd;

	unlink(origin);
	relayed_begin();
	handover_do(relayed_is_waiting);
	listener = handover_listen_unix(origin);
	fd = handover_accept_own(listener);
	origin_begin(fd);
	origin_write_block(fd, 0, 0);
	relayed_check_blocks(0);
	sourceworld_end();
	close(fd);
	close(listener);
	point("one that waits for its next attempt makes it");
}

static void test_framed_ended(int listener)
{
	int fd;

	relayed_begin();
	world.settings.on_end = ON_END_CLOSE;
	handover_start(relayed_has_ended, true);
	fd = handover_accept(listener);
	origin_begin(fd);
	origin_write_block(fd, 0, 0);
	origin_write_end(fd, 1);
	handover_take_parcel();
	handover_succeed();
	handover_loop_ms(20);
	check(source_state(world.source, clock_monotonic_ns()) == SOURCE_ENDED, "state");
	check(handed->ends == 1, "%u ends", handed->ends);
	relayed_check_blocks(0);
	sourceworld_end();
	close(fd);
	point("one that has ended stays so");
}

/* ---- wrong values ---- */

/* Return: the value of @path, "a/b" for "b" of the object "a" of the source; @name: out: its last part */
static json_t *relayed_find(json_t *root, const char *path, const char **name)
{
	json_t *object = json_object_get(root, "source");
	char part[64];

	for (*name = path; strchr(*name, '/'); *name = strchr(*name, '/') + 1) {
		snprintf(part, sizeof(part), "%.*s", (int)strcspn(*name, "/"), *name);
		object = json_object_get(object, part);
	}
	if (!json_object_get(object, *name))
		errx(1, "the state has no %s", path);
	return object;
}

/* See that a state with the JSON text @value at @path is refused with @reason. */
static void relayed_check_refused(const char *path, const char *value, const char *reason)
{
	json_t *root = statejson_load(parcel.data, parcel.length);
	const char *name, *why;
	json_t *object = relayed_find(root, path, &name);
	char *text;

	json_object_set_new(object, name, json_loads(value, JSON_DECODE_ANY, NULL));
	text = json_dumps(root, JSON_COMPACT);
	why = handover_restore_broken(text);
	check(why && strstr(why, reason), "%s = %s: %s; expected '%s'", path, value,
	      why ? why : "accepted", reason);
	free(text);
	json_decref(root);
}

static void test_framed_refused(int listener)
{
	static const struct {
		const char *path, *value, *reason;
	} wrong[] = {
		{ "framed_state", "0", "descriptor contradicts the state" },
		{ "framed_state", "4", "descriptor contradicts the state" },
		{ "framed_state", "5", "descriptor contradicts the state" },
		{ "framed_state", "99", "framed_state" },
		{ "wish", "3", "wish" },
		{ "fd", "-1", "descriptor contradicts the state" },
		{ "retry", "1", "retry: contradicts the state" },
		{ "origins/current", "1", "there is no such origin" },
		{ "framed/done", "5000", "cannot be read of this frame" },
		{ "framed/done", "0", "cannot be read of this frame" },
		{ "framed/block", "4294967295", "contradicts the frame" },
	};
	static struct capture log;
	int fd = relayed_save_within_block(listener);

	capture_begin(&log, STDERR_FILENO);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		relayed_check_refused(wrong[i].path, wrong[i].value, wrong[i].reason);
	capture_end(&log);
	two_close(&parcel);
	close(fd);
	point("a state that contradicts itself is refused, with the reason");
}

static void test_framed_broken(int listener)
{
	int fd = relayed_save_within_block(listener);

	test_handover_broken_parcel("relay within a block");
	close(fd);
	unlink(origin);
	relayed_begin();
	test_handover_broken("relay between two attempts", relayed_is_waiting, true);
}

static bool relayed_has_block(void)
{
	return handed->bytes == BLOCK_SIZE;
}

static void relayed_run(const char *command)
{
	handover_begin("exec:%s", command);
	world.settings.input_format = INPUT_FRAMED;
	world.settings.stop_timeout = HOUR_US;
}

static bool relayed_is_stopping(void)
{
	if (relayed_has_block())
		source_stop(world.source);
	return relayed_has_block();
}

static void test_relayed_command(void)
{
	char file[160], command[256];
	int fd;

	snprintf(file, sizeof(file), "%s/frames", directory);
	fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	origin_begin(fd);
	origin_write_block(fd, 0, 0);
	origin_write_block(fd, 1, 1000);
	close(fd);
	snprintf(command, sizeof(command), "cat %s; exec sleep 600", file);
	relayed_run(command);
	test_handover_broken("command that relays", is_within_block, true);
	snprintf(command, sizeof(command), "cat %s; trap '' TERM; while :; do sleep 600; done",
		 file);
	relayed_run(command);
	test_handover_broken("command that is stopped", relayed_is_stopping, true);
	unlink(file);
}

int main(void)
{
	int listener;

	sourceworld_init(directory, MAX_BYTES);
	snprintf(origin, sizeof(origin), "%s/origin", directory);
	snprintf(input, sizeof(input), "unix:%s", origin);
	listener = handover_listen_unix(origin);
	test_framed_within_block(listener);
	test_framed_ended(listener);
	test_framed_refused(listener);
	test_framed_broken(listener);
	close(listener);
	test_framed_retrying();
	test_relayed_command();
	unlink(origin);
	rmdir(directory);
	return tap_end();
}
