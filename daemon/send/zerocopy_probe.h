/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the next send of one socket asks for zero-copy, and so pins its blocks. Under ZEROCOPY_AUTO:
 *
 *   PROBES ── a completion says "not copied" ──▶ PINS
 *    ▲  ▲                                         │
 *    │  └────── a completion says "copied" ───────┘
 *    │
 *    └── 4 of these in a row ──▶ COPIES, for a pause of 64 MiB ──▶ PROBES: one "copied" is enough for
 *                                the next pause, which is twice as long, 4 GiB at most
 *
 * A socket that PROBES has one small zero-copy send outstanding at a time, and copies meanwhile: where
 * the kernel copies after all, zero-copy is slow, and each of many clients has to find out. Under
 * ZEROCOPY_ALWAYS the socket always PINS, under ZEROCOPY_NEVER it always COPIES.
 *
 * After ENOBUFS the socket COPIES until a completion arrives, or for 64 sends.
 */
#ifndef DMACAST_ZEROCOPY_PROBE_H
#define DMACAST_ZEROCOPY_PROBE_H

#include "lib/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Size of a zero-copy send of a socket that probes. */
#define ZEROCOPY_PROBE_BYTES ((size_t)64 << 10)

/* What the last completion said about the data: whether the kernel copied it after all. */
enum zerocopy_copy_state { ZEROCOPY_UNKNOWN, ZEROCOPY_COPIED, ZEROCOPY_UNCOPIED };

enum zerocopy_way { ZEROCOPY_WAY_PINS, ZEROCOPY_WAY_COPIES, ZEROCOPY_WAY_PROBES };

struct zerocopy_probe {
	enum zerocopy_mode mode;
	enum zerocopy_copy_state copy_state;
	bool wanted;		  /* false in a pause, and at its end until the next send */
	uint32_t copied_in_a_row; /* completions that said "copied" */
	uint64_t pause_left;	  /* bytes */
	uint64_t next_pause;	  /* bytes */
	uint32_t hold_off;	  /* sends to copy after ENOBUFS */
};

void zerocopy_probe_init(struct zerocopy_probe *probe, enum zerocopy_mode mode);

/** zerocopy_probe_way() - how a large send would go now. Limits of others may still make it copy. */
enum zerocopy_way zerocopy_probe_way(const struct zerocopy_probe *probe);

/**
 * zerocopy_probe_choose() - decide how to send @bytes now, and count the decision.
 * @outstanding: zero-copy sends that are not complete
 */
enum zerocopy_way zerocopy_probe_choose(struct zerocopy_probe *probe, uint64_t bytes,
					uint32_t outstanding);

/** zerocopy_probe_copied() - count @bytes that were sent by copying. */
void zerocopy_probe_copied(struct zerocopy_probe *probe, uint64_t bytes);

/** zerocopy_probe_no_buffer() - note ENOBUFS of a zero-copy send. */
void zerocopy_probe_no_buffer(struct zerocopy_probe *probe);

/** zerocopy_probe_complete() - note a notification that covers @sends sends, at least 1. */
void zerocopy_probe_complete(struct zerocopy_probe *probe, uint64_t sends, bool copied);

#endif
