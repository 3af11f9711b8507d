// SPDX-License-Identifier: BSD-2-Clause
/* Decisions to pin, to copy or to probe, one event after the other. */
#include "send/zerocopy_probe.h"

#include "tap.h"

#include <inttypes.h>

#define LARGE 65536U
#define SMALL 10239U
#define MIB (1ULL << 20)

static const char *const way_names[] = {
	[ZEROCOPY_WAY_PINS] = "pins",
	[ZEROCOPY_WAY_COPIES] = "copies",
	[ZEROCOPY_WAY_PROBES] = "probes",
};

/* Choose for a send of @bytes; the choice must be @expected. */
static void choose_way_for(struct zerocopy_probe *probe, uint64_t bytes, uint32_t outstanding,
			   enum zerocopy_way expected)
{
	enum zerocopy_way way = zerocopy_probe_choose(probe, bytes, outstanding);

	check(way == expected, "%s, expected %s", way_names[way], way_names[expected]);
}

static void check_way(const struct zerocopy_probe *probe, enum zerocopy_way expected)
{
	enum zerocopy_way way = zerocopy_probe_way(probe);

	check(way == expected, "%s, expected %s", way_names[way], way_names[expected]);
}

/* Send copies until the pause is over; it must last @bytes. */
static void sit_out(struct zerocopy_probe *probe, uint64_t bytes)
{
	check(probe->pause_left == bytes, "pause of %" PRIu64 ", expected %" PRIu64,
	      probe->pause_left, bytes);
	for (uint64_t sent = 0; sent < bytes; sent += 16 * MIB) {
		check_way(probe, ZEROCOPY_WAY_COPIES);
		choose_way_for(probe, LARGE, 0, ZEROCOPY_WAY_COPIES);
		zerocopy_probe_copied(probe, 16 * MIB);
	}
	check_way(probe, ZEROCOPY_WAY_PROBES);
}

static void test_fixed_modes(void)
{
	struct zerocopy_probe probe;

	zerocopy_probe_init(&probe, ZEROCOPY_NEVER);
	check_way(&probe, ZEROCOPY_WAY_COPIES);
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_COPIES);
	point("never: copies");

	zerocopy_probe_init(&probe, ZEROCOPY_ALWAYS);
	check_way(&probe, ZEROCOPY_WAY_PINS);
	choose_way_for(&probe, SMALL, 0, ZEROCOPY_WAY_COPIES);
	choose_way_for(&probe, SMALL + 1, 0, ZEROCOPY_WAY_PINS);
	for (int i = 0; i < 100; i++)
		zerocopy_probe_complete(&probe, 1, true);
	check_way(&probe, ZEROCOPY_WAY_PINS);
	choose_way_for(&probe, LARGE, 1, ZEROCOPY_WAY_PINS);
	point("always: pins all but small sends, whatever completions say");
}

static void test_proven(void)
{
	struct zerocopy_probe probe;

	zerocopy_probe_init(&probe, ZEROCOPY_AUTO);
	check_way(&probe, ZEROCOPY_WAY_PROBES);
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PROBES);
	choose_way_for(&probe, LARGE, 1, ZEROCOPY_WAY_COPIES);
	check_way(&probe, ZEROCOPY_WAY_PROBES);
	point("auto: one probe is outstanding at a time");

	zerocopy_probe_complete(&probe, 3, true);
	zerocopy_probe_complete(&probe, 1, false);
	check_way(&probe, ZEROCOPY_WAY_PINS);
	choose_way_for(&probe, LARGE, 10, ZEROCOPY_WAY_PINS);
	choose_way_for(&probe, SMALL, 0, ZEROCOPY_WAY_COPIES);
	point("auto: pins after one completion without a copy");

	zerocopy_probe_complete(&probe, 3, true);
	check_way(&probe, ZEROCOPY_WAY_PROBES);
	choose_way_for(&probe, LARGE, 1, ZEROCOPY_WAY_COPIES);
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PROBES);
	point("auto: probes again when the kernel begins to copy");
}

static void test_pauses(void)
{
	struct zerocopy_probe probe;

	zerocopy_probe_init(&probe, ZEROCOPY_AUTO);
	zerocopy_probe_complete(&probe, 3, true);
	check_way(&probe, ZEROCOPY_WAY_PROBES);
	zerocopy_probe_complete(&probe, 1, true);
	sit_out(&probe, 64 * MIB);
	point("auto: pauses after four copies in a row");

	for (uint64_t pause = 128 * MIB; pause <= 4096 * MIB; pause *= 2) {
		choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PROBES);
		zerocopy_probe_complete(&probe, 1, true);
		sit_out(&probe, pause);
	}
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PROBES);
	zerocopy_probe_complete(&probe, 1, true);
	sit_out(&probe, 4096 * MIB);
	point("auto: each further pause takes one copy and is twice as long, up to 4 GiB");

	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PROBES);
	zerocopy_probe_complete(&probe, 1, false);
	check_way(&probe, ZEROCOPY_WAY_PINS);
	zerocopy_probe_complete(&probe, 4, true);
	sit_out(&probe, 64 * MIB);
	point("auto: one completion without a copy makes the next pause short again");
}

static void test_hold_off(void)
{
	struct zerocopy_probe probe;

	zerocopy_probe_init(&probe, ZEROCOPY_ALWAYS);
	zerocopy_probe_no_buffer(&probe);
	for (int i = 0; i < 64; i++) {
		check_way(&probe, ZEROCOPY_WAY_COPIES);
		choose_way_for(&probe, SMALL, 0, ZEROCOPY_WAY_COPIES); /* does not count */
		choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_COPIES);
	}
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PINS);
	point("after ENOBUFS 64 sends are copied");

	zerocopy_probe_no_buffer(&probe);
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_COPIES);
	zerocopy_probe_complete(&probe, 1, true);
	choose_way_for(&probe, LARGE, 0, ZEROCOPY_WAY_PINS);
	point("a completion ends that");
}

int main(void)
{
	test_fixed_modes();
	test_proven();
	test_pauses();
	test_hold_off();
	return tap_end();
}
