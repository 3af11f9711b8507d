// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/doctor_streams.h"

#include "ctl/ctl_answer.h"
#include "ctl/nic.h"
#include "lib/units.h"

#include <inttypes.h>

/* Share in percent of completed sends from which on copies are reported. */
#define MANY_COPIES 10
/* Share in percent of a ring or of socket-memory from which on it is nearly full. */
#define NEARLY_FULL 90

struct doctor_stream {
	const struct doctor *doctor;
	const json_t *object;
	const char *name;
};

/* Return: @part of @whole in percent; 0 of nothing. */
static uint64_t doctor_percent(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)(100 * (double)part / (double)whole) : 0;
}

/* Clients on this machine are always copied for; that is no fault. */
static void stream_check_copies(const struct doctor_stream *stream)
{
	uint64_t completed = answer_count(stream->object, "completed");
	uint64_t copied = answer_count(stream->object, "completed_copied");
	uint64_t percent = doctor_percent(copied, completed);
	bool is_outside = nic_is_outside(stream->doctor), is_much = percent >= MANY_COPIES;

	findings_add(stream->doctor->findings,
		     !is_much	  ? FINDING_OK
		     : is_outside ? FINDING_WARNING
				  : FINDING_NOTE,
		     "copies",
		     "a zero-copy send that the kernel copies after all costs more than a copy",
		     is_outside
			     ? "see the findings about interfaces and captures; if nothing helps, "
			       "zerocopy = never"
			     : "nothing, if all clients are on this machine",
		     "stream %s: the kernel copied %" PRIu64 " %% of %" PRIu64 " zero-copy sends",
		     stream->name, percent, completed);
}

static void stream_check_refusals(const struct doctor_stream *stream)
{
	uint64_t refused = answer_count(stream->object, "enobufs");

	if (refused)
		findings_add(stream->doctor->findings, FINDING_WARNING, "enobufs",
			     "the kernel refused to pin memory, and the data was copied",
			     "see memlock and optmem_max",
			     "stream %s: %" PRIu64 " sends were refused with ENOBUFS", stream->name,
			     refused);
}

static void stream_check_ring(const struct doctor_stream *stream)
{
	const json_t *ring = json_object_get(stream->object, "ring");
	uint64_t all = answer_count(ring, "all"), pinned = answer_count(ring, "pinned");
	bool is_full = doctor_percent(pinned, all) >= NEARLY_FULL;

	if (all)
		findings_add(stream->doctor->findings, is_full ? FINDING_WARNING : FINDING_OK,
			     "pinned",
			     "incomplete sends hold the ring, and the source finds no free block",
			     "raise ring-size, or lower notsent-lowat and user-timeout",
			     "stream %s: %" PRIu64 " of %" PRIu64 " blocks are pinned",
			     stream->name, pinned, all);
}

static void stream_check_sockets(const struct doctor_stream *stream)
{
	uint64_t granted = answer_count(stream->object, "socket_memory_granted_bytes");
	uint64_t limit = answer_count(stream->object, "socket_memory_limit_bytes");
	char granted_text[UNITS_TEXT], limit_text[UNITS_TEXT];
	bool is_full = doctor_percent(granted, limit) >= NEARLY_FULL;

	if (limit)
		findings_add(stream->doctor->findings, is_full ? FINDING_WARNING : FINDING_OK,
			     "socket-memory",
			     "further clients get less data at a time, and use more CPU time",
			     "raise socket-memory in dmacastd.conf",
			     "stream %s: sockets may hold %s of %s", stream->name,
			     units_format_about(granted, granted_text),
			     units_format_about(limit, limit_text));
}

static void stream_check_losses(const struct doctor_stream *stream)
{
	uint64_t lost = answer_count(json_object_get(stream->object, "filled"), "lost_blocks");
	uint64_t dropped = answer_count(stream->object, "dropped_bytes");
	char text[UNITS_TEXT];

	if (lost)
		findings_add(stream->doctor->findings, FINDING_WARNING, "losses",
			     "every client misses what the device overwrote",
			     "raise ring-size, or give the daemon a processor of its own "
			     "(CPUAffinity=)",
			     "stream %s: %" PRIu64 " blocks were lost at the device", stream->name,
			     lost);
	if (dropped)
		findings_add(
			stream->doctor->findings, FINDING_NOTE, "losses",
			"some clients were slower than the source",
			"dmacastctl clients shows which; a larger ring-size bridges longer pauses",
			"stream %s: clients missed %s", stream->name,
			units_format_about(dropped, text));
}

void doctor_check_streams(const struct doctor *doctor)
{
	const json_t *object;
	size_t i;

	json_array_foreach(doctor->streams, i, object)
	{
		struct doctor_stream stream = { .doctor = doctor, .object = object };

		stream.name = json_string_value(json_object_get(object, "name"));
		if (!stream.name)
			continue;
		stream_check_copies(&stream);
		stream_check_refusals(&stream);
		stream_check_ring(&stream);
		stream_check_sockets(&stream);
		stream_check_losses(&stream);
	}
}
