// SPDX-License-Identifier: BSD-2-Clause
/*
 * Messages of an error queue, as the kernel could make them, and the sends that they complete. Each input is a
 * number of the first send and then steps, which a naive model repeats: a table of all sends.
 */
#include "send/completion.h"

#include "fakering.h"
#include "fuzz.h"
#include "send/errqueue.h"
#include "stream/window.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>

#define MAX_SENDS 300U
#define MAX_CONTROLS 3U
#define CONTROL_ROOM 160U

struct model_send {
	bool outstanding;
	uint32_t number, blocks;
};

static struct {
	struct completions completions;
	struct ring ring;
	struct window *window;
	struct cursor cursor;
	struct dice dice;
	struct model_send send[MAX_SENDS];
	uint32_t sends, outstanding;
	struct block *queue[FAKE_BLOCKS]; /* in the window, the oldest first */
	uint32_t queued;
	uint32_t newest; /* index in `queue` of the last block that was sent: sends are in order */
	uint32_t pins[FAKE_BLOCKS];
	uint32_t pinned[MAX_SENDS][FAKE_BLOCKS]; /* indices in the ring of each send's blocks */
} state;

static void state_begin(uint32_t number)
{
	memset(&state, 0, sizeof(state));
	fake_ring_init(&state.ring);
	state.window = window_create(FAKE_BLOCKS);
	window_join(state.window, &state.cursor, window_head(state.window));
	state.completions.oldest = state.completions.next = number;
}

static void state_push(void)
{
	struct block *block;

	if (!state.ring.free_blocks)
		return;
	block = fake_ring_take(&state.ring, &state.dice);
	window_push(state.window, block);
	state.queue[state.queued++] = block;
}

static void state_pop(void)
{
	if (!state.queued)
		return;
	window_advance(state.window, &state.cursor, state.queue[0]->length);
	memmove(state.queue, state.queue + 1, --state.queued * sizeof(state.queue[0]));
	state.newest -= state.newest > 0;
}

static void state_send(uint32_t at, uint32_t blocks)
{
	struct model_send *send = &state.send[state.sends];

	if (!state.queued || state.sends == MAX_SENDS)
		return;
	at = state.newest + at % (state.queued - state.newest);
	blocks = 1 + blocks % (state.queued - at);
	state.newest = at + blocks - 1;
	*send = (struct model_send){
		.outstanding = true,
		.number = state.completions.next,
		.blocks = blocks,
	};
	for (uint32_t i = 0; i < blocks; i++) {
		state.pinned[state.sends][i] = state.queue[at + i]->index;
		state.pins[state.queue[at + i]->index]++;
	}
	state.sends++;
	state.outstanding++;
	check(completions_reserve(&state.completions), "no memory");
	completions_add(&state.completions, state.queue[at], blocks, blocks - 1);
}

/* Return how many numbers of the range were not outstanding. */
static uint64_t model_complete_range(uint32_t low, uint32_t high)
{
	uint64_t wrong = high >= low ? (uint64_t)high - low + 1 : (1ULL << 32) - low + high + 1;

	for (uint32_t i = 0; i < state.sends; i++) {
		struct model_send *send = &state.send[i];
		bool within = high >= low ? send->number >= low && send->number <= high
					  : send->number >= low || send->number <= high;

		if (!send->outstanding || !within)
			continue;
		send->outstanding = false;
		state.outstanding--;
		wrong--;
		for (uint32_t block = 0; block < send->blocks; block++)
			state.pins[state.pinned[i][block]]--;
	}
	return wrong;
}

static void complete_range(uint32_t low, uint32_t high)
{
	uint64_t wrong = completions_complete(&state.completions, low, high, NULL, 0);
	uint64_t expected = model_complete_range(low, high);

	check(wrong == expected, "[%u, %u] returned %" PRIu64 ", expected %" PRIu64, low, high,
	      wrong, expected);
}

static void compare_state(void)
{
	uint32_t pinned = 0;

	check(state.completions.outstanding == state.outstanding, "%u outstanding, expected %u",
	      state.completions.outstanding, state.outstanding);
	for (uint32_t i = 0; i < FAKE_BLOCKS; i++) {
		const struct block *block = &state.ring.block[i];
		bool queued = false;

		for (uint32_t place = 0; place < state.queued; place++)
			queued |= state.queue[place] == block;
		pinned += state.pins[i] != 0;
		check(block->pins == state.pins[i], "block %u has %u pins, expected %u", i,
		      block->pins, state.pins[i]);
		check(state.ring.is_free[i] == (!queued && !state.pins[i]), "block %u: free %d", i,
		      state.ring.is_free[i]);
	}
	check(completions_blocks(&state.completions) == pinned, "%u blocks, expected %u",
	      completions_blocks(&state.completions), pinned);
}

static void state_end(void)
{
	complete_range(0, UINT32_MAX);
	while (state.queued)
		state_pop();
	compare_state();
	check(state.ring.free_blocks == FAKE_BLOCKS, "%u blocks came back", state.ring.free_blocks);
	window_leave(state.window, &state.cursor);
	window_destroy(state.window);
	completions_free(&state.completions);
}

/* ---- messages ---- */

/* A control message is written as put_cmsg() of the kernel does, which cuts the last one. */
static void add_random_control(struct msghdr *message, size_t room, struct fuzz_input *input,
			       const struct sock_extended_err *error, struct send_range *range,
			       bool *is_range)
{
	uint8_t form = fuzz_byte(input);
	struct cmsghdr *control = (void *)((char *)message->msg_control + message->msg_controllen);
	size_t length = CMSG_LEN(form & 0x40 ? fuzz_byte(input) % 48 : sizeof(*error));
	size_t left = room - message->msg_controllen;
	bool right;

	if (left < sizeof(*control))
		return;
	if (length > left)
		length = left;
	control->cmsg_level = form & 1 ? SOL_IP : form & 2 ? SOL_SOCKET : SOL_IPV6;
	control->cmsg_type = form & 4 ? IP_TTL : form & 1 ? IP_RECVERR : IPV6_RECVERR;
	control->cmsg_len = length;
	memset(CMSG_DATA(control), 0xa5, length - CMSG_LEN(0));
	memcpy(CMSG_DATA(control), error,
	       length - CMSG_LEN(0) < sizeof(*error) ? length - CMSG_LEN(0) : sizeof(*error));
	message->msg_controllen += CMSG_ALIGN(length) < left ? CMSG_ALIGN(length) : left;
	right = !(form & 6 && (form & 4 || !(form & 1))) && length >= CMSG_LEN(sizeof(*error)) &&
		error->ee_origin == SO_EE_ORIGIN_ZEROCOPY && !error->ee_errno;
	if (right && !*is_range)
		*range = (struct send_range){ .low = error->ee_info,
					      .high = error->ee_data,
					      .copied =
						      error->ee_code & SO_EE_CODE_ZEROCOPY_COPIED };
	*is_range |= right;
}

/* Parse a message that may report the range; complete it if it does. */
static void complete_by_message(struct fuzz_input *input, uint32_t low, uint32_t high)
{
	size_t room = fuzz_byte(input) % CONTROL_ROOM;
	struct msghdr message = { .msg_control = malloc(room) };
	struct send_range range = { 0 }, expected = { 0 };
	bool is_range = false, got;

	for (uint8_t left = fuzz_byte(input) % (MAX_CONTROLS + 1); left; left--) {
		uint8_t odd = fuzz_byte(input);
		struct sock_extended_err error = {
			.ee_origin = odd & 0x80 ? odd & 7 : SO_EE_ORIGIN_ZEROCOPY,
			.ee_errno = odd & 0x40 ? ENOMSG : 0,
			.ee_code = odd & 0x3,
			.ee_info = low,
			.ee_data = high,
		};

		add_random_control(&message, room, input, &error, &expected, &is_range);
	}
	got = errqueue_parse(&message, &range);
	check(got == is_range, "is a range: %d", got);
	check(range.low == expected.low && range.high == expected.high &&
		      range.copied == expected.copied,
	      "[%u, %u] %d, expected [%u, %u] %d", range.low, range.high, range.copied,
	      expected.low, expected.high, expected.copied);
	if (got)
		complete_range(range.low, range.high);
	free(message.msg_control);
}

/* ---- steps ---- */

static void complete_near(struct fuzz_input *input, bool by_message)
{
	uint32_t low = state.completions.oldest + (uint32_t)(int8_t)fuzz_byte(input);
	uint32_t high = low + fuzz_byte(input) % 16;

	if (by_message)
		complete_by_message(input, low, high);
	else
		complete_range(low, high);
}

static void take_step(struct fuzz_input *input)
{
	uint8_t at = fuzz_byte(input);
	uint32_t low;

	switch (at % 8) {
	case 0:
	case 1:
		state_push();
		break;
	case 2:
		state_pop();
		break;
	case 3:
	case 4:
		state_send(at / 8, fuzz_byte(input));
		break;
	case 5:
		complete_near(input, false);
		break;
	case 6:
		complete_near(input, true);
		break;
	case 7:
		low = (uint32_t)fuzz_number(input, 4);
		complete_range(low, (uint32_t)fuzz_number(input, 4));
		break;
	}
}

void fuzz_one(struct fuzz_input *input)
{
	state_begin((uint32_t)fuzz_number(input, 4));
	while (input->left && !tap.failed) {
		take_step(input);
		compare_state();
	}
	state_end();
}
