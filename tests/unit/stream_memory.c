// SPDX-License-Identifier: BSD-2-Clause
/* The account of what clients' sockets may hold: when a grant grows and shrinks, and that the limit is kept. */
#include "config/option_table.h"
#include "stream/stream_memory.h"

#include "dice.h"
#include "statepass.h"
#include "tap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define CLIENTS 600U

static char stream_name_text[] = "test";

struct world {
	struct stream_settings settings;
	struct stream_memory memory;
	struct memory_grant grant[CLIENTS];
};

static struct world world;

static void account_begin(uint64_t ring_size)
{
	memset(&world, 0, sizeof(world));
	option_set_defaults(OPTION_STREAM, &world.settings);
	world.settings.name = stream_name_text;
	stream_memory_init(&world.memory, &world.settings.client, ring_size);
	for (uint32_t i = 0; i < CLIENTS; i++)
		stream_memory_join(&world.memory, &world.settings.client, &world.grant[i]);
}

/* Return the bytes of the grants that are charged. */
static uint64_t charged(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < CLIENTS; i++)
		bytes += world.grant[i].bytes > MEMORY_GRANT_MIN ? world.grant[i].bytes : 0;
	return bytes;
}

/* Raise the grant of a client that has acknowledged @bytes since its last raise. */
static uint64_t raise_after(struct memory_grant *grant, uint64_t bytes)
{
	uint64_t acknowledged = grant->acknowledged + bytes;

	stream_memory_raise(
		&world.memory, grant,
		stream_memory_raised(&world.memory, &world.settings.client, grant, acknowledged),
		acknowledged);
	return grant->bytes;
}

static void raise_fully(struct memory_grant *grant)
{
	uint64_t before;

	do {
		before = grant->bytes;
	} while (raise_after(grant, 64 * MIB) != before);
}

static void test_grant_growth(void)
{
	struct memory_grant *grant = &world.grant[0];
	uint64_t bytes;

	account_begin(16 * MIB);
	check(grant->bytes == 16 * KIB && !world.memory.charged, "%" PRIu64 " bytes", grant->bytes);
	point("a new client has 16 KiB, which are not charged");
	bytes = raise_after(grant, 8 * 32 * KIB - 1);
	check(bytes == 16 * KIB, "%" PRIu64 " bytes", bytes);
	point("less than eight times the next grant was acknowledged: it does not grow");
	bytes = raise_after(grant, 8 * 32 * KIB);
	check(bytes == 32 * KIB && world.memory.charged == 32 * KIB,
	      "%" PRIu64 " bytes, %" PRIu64 " charged", bytes, world.memory.charged);
	point("eight times: it doubles, and is charged in full");
	bytes = raise_after(grant, 8 * 32 * KIB);
	check(bytes == 32 * KIB, "%" PRIu64 " bytes", bytes);
	point("what was acknowledged before the last raise does not count again");
	raise_fully(grant);
	check(grant->bytes == MIB, "%" PRIu64 " bytes", grant->bytes);
	point("it grows to notsent-lowat");
	stream_memory_leave(&world.memory, grant);
	check(!world.memory.charged, "%" PRIu64 " charged", world.memory.charged);
	point("it is given back when the client leaves");
}

static void test_max_grant(void)
{
	struct memory_grant *grant = &world.grant[0];

	account_begin(16 * MIB);
	world.settings.client.notsent_lowat = 100 * KIB;
	raise_fully(grant);
	check(grant->bytes == 100 * KIB, "%" PRIu64 " bytes", grant->bytes);
	point("notsent-lowat is reached also if it is no power of two");
	world.settings.client.notsent_lowat = 4 * KIB;
	check(stream_memory_lower(&world.memory, &world.settings.client, grant) &&
		      grant->bytes == 4 * KIB,
	      "%" PRIu64 " bytes", grant->bytes);
	check(!world.memory.charged, "%" PRIu64 " charged", world.memory.charged);
	point("a lower notsent-lowat takes effect on a running client");
	stream_memory_join(&world.memory, &world.settings.client, grant);
	raise_fully(grant);
	check(grant->bytes == 4 * KIB, "%" PRIu64 " bytes", grant->bytes);
	point("and on a new one");
	account_begin(16 * MIB);
	world.settings.client.socket_memory = 64 * KIB;
	raise_fully(grant);
	check(grant->bytes == 16 * KIB, "%" PRIu64 " bytes", grant->bytes);
	point("with the smallest socket-memory nobody gets more than 16 KiB");
	account_begin(64 * MIB);
	check(stream_memory_limit(&world.memory) == 64 * MIB, "not the ring's size");
	account_begin(MIB);
	check(stream_memory_limit(&world.memory) == 16 * MIB, "not 16 MiB");
	point("the default limit is the ring's size, or 16 MiB");
}

/* All clients are busy: the grants become alike. */
static void test_many_busy(void)
{
	uint64_t least = UINT64_MAX, most = 0;

	account_begin(16 * MIB);
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t i = 0; i < CLIENTS; i++) {
			stream_memory_lower(&world.memory, &world.settings.client, &world.grant[i]);
			raise_after(&world.grant[i], 64 * MIB);
			check(world.memory.charged <= 16 * MIB, "%" PRIu64 " charged",
			      world.memory.charged);
		}
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		least = world.grant[i].bytes < least ? world.grant[i].bytes : least;
		most = world.grant[i].bytes > most ? world.grant[i].bytes : most;
	}
	check(most <= 4 * least, "from %" PRIu64 " to %" PRIu64 " bytes", least, most);
	point("600 busy clients: within 16 MiB, and none has more than four times another's");
}

/* Clients that were busy stall one after the other; the last one is not left with nothing. */
static void test_many_stalled(void)
{
	struct memory_grant *last = &world.grant[CLIENTS - 1];

	account_begin(16 * MIB);
	raise_fully(last);
	for (uint32_t i = 0; i < CLIENTS - 1; i++) {
		raise_fully(&world.grant[i]);
		check(world.memory.charged <= 16 * MIB, "%" PRIu64 " charged",
		      world.memory.charged);
	}
	while (stream_memory_lower(&world.memory, &world.settings.client, last))
		;
	check(last->bytes >= 16 * KIB, "%" PRIu64 " bytes", last->bytes);
	point("599 clients stall with all that they got: the limit is kept");
	for (uint32_t i = 0; i < CLIENTS - 1; i++)
		stream_memory_leave(&world.memory, &world.grant[i]);
	raise_fully(last);
	check(last->bytes == MIB, "%" PRIu64 " bytes", last->bytes);
	point("they leave: the one that moves gets all again");
}

static void test_lowered_limit(void)
{
	uint64_t before;

	account_begin(16 * MIB);
	for (uint32_t i = 0; i < CLIENTS; i++)
		raise_fully(&world.grant[i]);
	world.settings.client.socket_memory = MIB;
	before = charged();
	for (uint32_t round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < CLIENTS; i++)
			stream_memory_lower(&world.memory, &world.settings.client, &world.grant[i]);
	}
	check(before > MIB && charged() <= MIB, "%" PRIu64 " charged, before %" PRIu64, charged(),
	      before);
	point("a lowered limit is kept as soon as each client had some events");
}

static void test_random(uint64_t steps, uint64_t seed)
{
	struct dice dice = { seed };

	account_begin(16 * MIB);
	for (uint64_t i = 0; i < steps; i++) {
		struct memory_grant *grant = &world.grant[dice_roll(&dice, 0, CLIENTS - 1)];

		switch (dice_roll(&dice, 0, 7)) {
		case 0:
			stream_memory_leave(&world.memory, grant);
			stream_memory_join(&world.memory, &world.settings.client, grant);
			break;
		case 1:
			stream_memory_lower(&world.memory, &world.settings.client, grant);
			break;
		default:
			raise_after(grant, dice_roll(&dice, 0, 16 * MIB));
		}
		check(world.memory.charged <= 16 * MIB, "%" PRIu64 " charged",
		      world.memory.charged);
	}
	check(world.memory.charged == charged(), "%" PRIu64 " charged, not %" PRIu64,
	      world.memory.charged, charged());
	point("random steps: the account is right, and within its limit");
}

/* Restore a grant of @bytes. Return: true if it failed. */
static bool fails_with(uint64_t bytes)
{
	struct memory_grant grant = { .bytes = bytes, .acknowledged = 7 };
	struct state *state = state_begin_saving();
	struct stream_memory memory;
	bool failed;

	stream_memory_init(&memory, &world.settings.client, 16 * MIB);
	state_enter(state, "grant");
	state_u64(state, "bytes", &grant.bytes);
	state_u64(state, "acknowledged", &grant.acknowledged);
	state_leave(state);
	state = state_pass(state);
	grant = (struct memory_grant){ 0 };
	memory_grant_transfer(&grant, &memory, state);
	failed = state_failed(state);
	check(failed || (grant.bytes == bytes && grant.acknowledged == 7), "another grant");
	check(failed || memory.charged == (bytes > MEMORY_GRANT_MIN ? bytes : 0),
	      "%" PRIu64 " charged", memory.charged);
	check(!failed || (!grant.bytes && !memory.charged), "charged after a failure");
	state_free(state);
	return failed;
}

static void test_grant_transfer(void)
{
	struct state *state = state_begin_saving();

	account_begin(16 * MIB);
	raise_fully(&world.grant[0]);
	memory_grant_transfer(&world.grant[0], &world.memory, state);
	check(world.memory.charged == charged(), "saving changed the charge");
	state = state_pass(state);
	account_begin(16 * MIB);
	world.grant[0] = (struct memory_grant){ 0 };
	memory_grant_transfer(&world.grant[0], &world.memory, state);
	state_end_pass(state);
	check(world.memory.charged && world.memory.charged == charged(), "%" PRIu64 " charged",
	      world.memory.charged);
	check(!fails_with(MEMORY_GRANT_MIN) && !fails_with(MIB), "a grant was not accepted");
	check(fails_with(4096 * MIB), "4 GiB were accepted");
	point("a grant that is restored is charged");
}

int main(int argc, char **argv)
{
	uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_grant_growth();
	test_max_grant();
	test_many_busy();
	test_many_stalled();
	test_lowered_limit();
	test_random(steps, seed);
	test_grant_transfer();
	return tap_end();
}
