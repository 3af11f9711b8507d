// SPDX-License-Identifier: BSD-2-Clause
/*
 * Each table lists metrics: the name, the help, and the place of the number in a struct. The format
 * requires all samples of a metric in a row, so a table is written metric by metric, each for all
 * subjects. A subject is a stream or a client: its labels and the struct that the table refers to.
 *
 * No label needs escaping: names of streams and addresses contain neither quotes nor backslashes.
 */
#include "observe/exposition.h"

#include "lib/clock.h"
#include "lib/histogram.h"
#include "lib/loop_time.h"
#include "lib/process.h"
#include "lib/succession.h"
#include "stream/client.h"
#include "stream/streams.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum number { NUMBER_U64, NUMBER_U32, NUMBER_NS };

/* Rows with the same name are one metric: the labels differ, and only the first row has a help. */
struct metric {
	const char *name; /* without the prefix of its subjects */
	const char *help;
	size_t offset;
	enum number number;
	const char *label; /* in addition to those of the subject; or NULL */
};

struct subject {
	char labels[256];
	const void *numbers;
};

struct subjects {
	struct subject *item;
	size_t count;
};

/* ---- the tables ---- */

#define ROWS(table) (table), sizeof(table) / sizeof((table)[0])
#define IN(type, field) .offset = offsetof(struct type, field)
static const struct metric stream_counters[] = {
	{ "filled_blocks_total", "Blocks received from the source.", IN(stream_stats, blocks) },
	{ "filled_bytes_total", "Bytes in these blocks.", IN(stream_stats, bytes) },
	{ "lost_blocks_total",
	  "Blocks of the device that were overwritten before they were read, or not filled because "
	  "a transfer failed.",
	  IN(stream_stats, lost_blocks) },
	{ "overruns_total", "Number of times that one or more such blocks in a row were missing.",
	  IN(stream_stats, losses) },
	{ "broken_records_total",
	  "Records that are not whole: larger than a block, or the source ended within them.",
	  IN(stream_stats, broken_records) },
	{ "source_waits_total", "Number of times that the source waited because no block was free.",
	  IN(stream_stats, waits) },
	{ "source_starts_total",
	  "Number of times that the source was started: with on-demand, each time for clients.",
	  IN(stream_stats, source_starts) },
	{ "source_restarts_total",
	  "Number of times that the source was opened again: connected, restarted or plugged in.",
	  IN(stream_stats, source_restarts) },
	{ "origin_switches_total", "Number of times that a relay took another one of its origins.",
	  IN(stream_stats, origin_switches) },
	{ "input_forwarded_bytes_total", "Bytes from clients that were written to the source.",
	  IN(stream_stats, input.forwarded_bytes) },
	{ "input_discarded_bytes_total", "Bytes from clients that were discarded.",
	  IN(stream_stats, input.discarded_bytes) },
	{ "clients_joined_total", "Clients that connected.", IN(stream_stats, joined) },
};

/* Counters of one client, or of all clients that a stream has had. */
static const struct metric sent_counters[] = {
	{ "sent_bytes_total", "Bytes passed to the sockets of clients.",
	  IN(client_totals, stats.sent_bytes) },
	{ "dropped_bytes_total", "Bytes that clients missed because they were too slow.",
	  IN(client_totals, stats.dropped_bytes) },
	{ "drops_total", "Number of times that a client that was too slow skipped ahead.",
	  IN(client_totals, stats.drops) },
	{ "received_bytes_total", "Bytes that clients sent.",
	  IN(client_totals, stats.received_bytes) },
	{ "zerocopy_sends_total", "Zero-copy sends.", IN(client_totals, sends.zerocopy_sends) },
	{ "copied_sends_total", "Sends by copying.", IN(client_totals, sends.copied_sends) },
	{ "completions_total", "Zero-copy sends that the kernel reported complete.",
	  IN(client_totals, sends.completed) },
	{ "completions_copied_total", "Completed zero-copy sends that the kernel copied after all.",
	  IN(client_totals, sends.completed_copied) },
	{ "enobufs_fallbacks_total",
	  "Sends by copying because MSG_ZEROCOPY was refused for lack of memory (ENOBUFS).",
	  IN(client_totals, sends.no_buffer) },
};

static const struct metric stream_gauges[] = {
	{ "block_size_bytes", "Size of a block.", IN(stream_report, block_size) },
	{ "socket_memory_limit_bytes", "Limit of what sockets of clients may hold: socket-memory.",
	  IN(stream_report, socket_memory_limit) },
	{ "blocks", "Blocks of the ring, by state.", IN(stream_report, blocks_free), NUMBER_U32,
	  "state=\"free\"" },
	{ "blocks", NULL, IN(stream_report, blocks_filling), NUMBER_U32, "state=\"filling\"" },
	{ "blocks", NULL, IN(stream_report, blocks_window), NUMBER_U32, "state=\"window\"" },
	{ "blocks", NULL, IN(stream_report, blocks_retained), NUMBER_U32, "state=\"retained\"" },
	{ "blocks", NULL, IN(stream_report, blocks_pinned), NUMBER_U32, "state=\"pinned\"" },
	{ "retained_bytes", "Data that is kept for clients that begin in the past.",
	  IN(stream_report, retained_bytes) },
	{ "retained_seconds", "Age of the oldest block of that data.",
	  IN(stream_report, retained_ns), NUMBER_NS },
};

static const struct metric name_gauges[] = {
	{ "clients", "Clients that are connected or whose connection is ending.",
	  IN(name_report, clients) },
	{ "outstanding_sends", "Incomplete zero-copy sends.", IN(name_report, outstanding_sends) },
	{ "socket_memory_granted_bytes",
	  "Unsent data that sockets of clients may hold beyond the 16 KiB of each.",
	  IN(name_report, socket_memory_granted) },
	{ "most_lag_bytes", "How far the slowest client is behind the newest block.",
	  IN(name_report, most_lag_bytes) },
	{ "most_lag_seconds", "Age of the oldest block that a client is at.",
	  IN(name_report, most_lag_ns), NUMBER_NS },
	{ "input_queued_bytes", "Bytes from clients that wait until the source reads them.",
	  IN(name_report, queued_input_bytes) },
	{ "copied_rest_bytes",
	  "Memory for the rests of blocks that clients finish after they skipped ahead.",
	  IN(name_report, copied_rest_bytes) },
};

static const struct metric kernel_counters[] = {
	{ "completed_blocks_total", "Blocks that the DMA engine filled.",
	  IN(ring_kernel_report, completed) },
	{ "completed_bytes_total", "Bytes in these blocks.", IN(ring_kernel_report, bytes) },
	{ "overruns_total", "Filled blocks that were taken back before they were read.",
	  IN(ring_kernel_report, overruns) },
	{ "stalls_total", "Number of times that the DMA engine had no block to fill.",
	  IN(ring_kernel_report, stalls) },
	{ "errors_total", "Transfers that failed.", IN(ring_kernel_report, errors) },
	{ "short_transfers_total", "Transfers that ended early.",
	  IN(ring_kernel_report, short_transfers) },
	{ "quarantined_blocks_total", "Number of times that a returned block was still being sent.",
	  IN(ring_kernel_report, quarantined) },
	{ "replaced_blocks_total", "Number of times that such a block got new pages.",
	  IN(ring_kernel_report, replaced) },
	{ "left_refused_total",
	  "Number of times that it got none because too many pages were left behind.",
	  IN(ring_kernel_report, left_refused) },
};

static const struct metric kernel_gauges[] = {
	{ "blocks", "Blocks of the kernel's ring, by state.", IN(ring_kernel_report, blocks_free),
	  NUMBER_U32, "state=\"free\"" },
	{ "blocks", NULL, IN(ring_kernel_report, blocks_queued), NUMBER_U32, "state=\"queued\"" },
	{ "blocks", NULL, IN(ring_kernel_report, blocks_ready), NUMBER_U32, "state=\"ready\"" },
	{ "blocks", NULL, IN(ring_kernel_report, blocks_lent), NUMBER_U32, "state=\"lent\"" },
	{ "blocks", NULL, IN(ring_kernel_report, blocks_quarantine), NUMBER_U32,
	  "state=\"quarantine\"" },
	{ "left_behind_bytes", "Pages that left the ring and are still being sent.",
	  IN(ring_kernel_report, left_behind) },
};

static const struct metric client_gauges[] = {
	{ "lag_bytes", "How far the client is behind the newest block.",
	  IN(client_report, lag_bytes) },
	{ "lag_seconds", "Age of the block that the client is at.", IN(client_report, lag_ns),
	  NUMBER_NS },
	{ "outstanding_sends", "Incomplete zero-copy sends.", IN(client_report, outstanding),
	  NUMBER_U32 },
	{ "pinned_blocks", "Blocks pinned by these sends.", IN(client_report, pinned_blocks),
	  NUMBER_U32 },
	{ "unsent_limit_bytes", "Unsent bytes below which the client's socket is given more data.",
	  IN(client_report, unsent_limit) },
};

/* ---- writing ---- */

static void write_head(FILE *file, const char *prefix, const char *name, const char *type,
		       const char *help)
{
	fprintf(file, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, type);
}

/* Write like "%" PRIu64, in a fraction of the time: a page has several numbers for each client. */
static void write_u64(FILE *file, uint64_t number)
{
	char digits[24], *first = digits + sizeof(digits) - 1;

	*first = '\0';
	do {
		*--first = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	fputs_unlocked(first, file);
}

/* Write nanoseconds as seconds, like "%.9f". */
static void write_ns(FILE *file, uint64_t ns)
{
	char digits[] = ".000000000";
	uint64_t rest = ns % 1000000000U;

	for (size_t i = sizeof(digits) - 2; i; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	write_u64(file, ns / 1000000000U);
	fputs_unlocked(digits, file);
}

static void write_number(FILE *file, const struct metric *metric, const void *numbers)
{
	const void *number = (const char *)numbers + metric->offset;

	switch (metric->number) {
	case NUMBER_U64:
		write_u64(file, *(const uint64_t *)number);
		break;
	case NUMBER_U32:
		write_u64(file, *(const uint32_t *)number);
		break;
	case NUMBER_NS:
		write_ns(file, *(const uint64_t *)number);
		break;
	}
}

static void write_sample(FILE *file, const char *prefix, const struct metric *metric,
			 const struct subject *subject)
{
	fputs_unlocked(prefix, file);
	fputs_unlocked(metric->name, file);
	putc_unlocked('{', file);
	fputs_unlocked(subject->labels, file);
	if (metric->label) {
		putc_unlocked(',', file);
		fputs_unlocked(metric->label, file);
	}
	fputs_unlocked("} ", file);
	write_number(file, metric, subject->numbers);
	putc_unlocked('\n', file);
}

static void write_table(FILE *file, const char *prefix, const char *type,
			const struct metric *table, size_t rows, const struct subjects *subjects)
{
	for (const struct metric *metric = table; subjects->count && metric < table + rows;
	     metric++) {
		if (metric == table || strcmp(metric->name, metric[-1].name))
			write_head(file, prefix, metric->name, type, metric->help);
		for (size_t i = 0; i < subjects->count; i++)
			write_sample(file, prefix, metric, &subjects->item[i]);
	}
}

static void write_reasons(FILE *file, const struct subjects *stats)
{
	write_head(file, "dmacast_stream_", "clients_left_total", "counter",
		   "Clients that left, by reason.");
	for (size_t i = 0; i < stats->count; i++) {
		const struct stream_stats *numbers = stats->item[i].numbers;

		for (enum leave_reason reason = 0; reason < LEAVE_REASONS; reason++)
			fprintf(file,
				"dmacast_stream_clients_left_total{%s,reason=\"%s\"} %" PRIu64 "\n",
				stats->item[i].labels, leave_reason_word(reason),
				numbers->left_for[reason]);
	}
}

static void write_refusals(FILE *file, const struct subjects *stats)
{
	write_head(file, "dmacast_stream_", "clients_refused_total", "counter",
		   "Clients refused because of a limit, by reason.");
	for (size_t i = 0; i < stats->count; i++) {
		const struct stream_stats *numbers = stats->item[i].numbers;

		for (enum refuse_reason reason = 0; reason < REFUSE_REASONS; reason++)
			fprintf(file,
				"dmacast_stream_clients_refused_total{%s,reason=\"%s\"} %" PRIu64
				"\n",
				stats->item[i].labels, refuse_reason_word(reason),
				numbers->refused_for[reason]);
	}
}

static void write_http_answers(FILE *file, const struct subjects *stats)
{
	write_head(file, "dmacast_stream_", "http_requests_total", "counter",
		   "Requests of HTTP clients that were answered, by status code.");
	for (size_t i = 0; i < stats->count; i++) {
		const struct stream_stats *numbers = stats->item[i].numbers;

		for (enum http_code code = 0; code < HTTP_CODES; code++)
			fprintf(file,
				"dmacast_stream_http_requests_total{%s,code=\"%u\"} %" PRIu64 "\n",
				stats->item[i].labels, http_code_number(code),
				numbers->http_answers[code]);
	}
}

/* @labels: of the subject; "": none */
static void write_buckets(FILE *file, const char *name, const char *labels,
			  const struct histogram *histogram)
{
	const char *comma = *labels ? "," : "", *open = *labels ? "{" : "",
		   *close = *labels ? "}" : "";
	uint64_t count = 0;

	for (unsigned int bucket = 0; bucket < HISTOGRAM_BOUNDS; bucket++) {
		count += histogram->count[bucket];
		fprintf(file, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
			(double)histogram_bound(bucket) / 1e9, count);
	}
	count = histogram_count(histogram);
	fprintf(file, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
	fprintf(file, "%s_sum%s%s%s %.9f\n", name, open, labels, close, histogram_sum(histogram));
	fprintf(file, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

static void write_histogram(FILE *file, const char *name, const char *help,
			    const struct subjects *stats, size_t offset)
{
	write_head(file, "", name, "histogram", help);
	for (size_t i = 0; i < stats->count; i++)
		write_buckets(file, name, stats->item[i].labels,
			      (const void *)((const char *)stats->item[i].numbers + offset));
}

static void write_latencies(FILE *file, const struct subjects *stats)
{
	write_histogram(file, "dmacast_capture_to_send_seconds",
			"Time from the completion of a block until its last byte was passed to a "
			"client's socket.",
			stats, offsetof(struct stream_stats, latency.to_send));
	write_histogram(
		file, "dmacast_capture_to_acknowledged_seconds",
		"Time from the completion of a block until the kernel reported that a client had "
		"acknowledged its last byte; only for blocks whose last byte was sent by "
		"zero-copy, "
		"as nothing is reported for copies.",
		stats, offsetof(struct stream_stats, latency.to_acknowledged));
}

static void write_loop(FILE *file, const struct loop_time *loop)
{
	write_head(file, "", "dmacast_loop_seconds", "histogram",
		   "Time for which the event loop was busy between two polls for events.");
	write_buckets(file, "dmacast_loop_seconds", "", &loop->turns);
	write_head(file, "", "dmacast_loop_longest_seconds", "gauge",
		   "The longest of these times since the start.");
	fprintf(file, "dmacast_loop_longest_seconds %.9f\n", (double)loop->longest_ns / 1e9);
}

static void write_handovers(FILE *file, const struct succession *handover)
{
	write_head(
		file, "", "dmacast_handovers_total", "counter",
		"Number of times that a process of dmacastd handed everything over to the next.");
	fprintf(file, "dmacast_handovers_total %" PRIu64 "\n", handover->handovers);
	write_head(file, "", "dmacast_handover_clients", "gauge",
		   "Clients that the last handover kept.");
	fprintf(file, "dmacast_handover_clients %" PRIu64 "\n", handover->clients);
	write_head(file, "", "dmacast_handover_pause_seconds", "gauge",
		   "Time in which nothing was sent, during the last handover.");
	fprintf(file, "dmacast_handover_pause_seconds %.9f\n", (double)handover->pause_ns / 1e9);
}

static void write_process(FILE *file)
{
	write_head(file, "", "dmacast_build_info", "gauge",
		   "Version of dmacastd, as a label; always 1.");
	fprintf(file, "dmacast_build_info{version=\"%s\"} 1\n", DMACAST_VERSION);
	write_head(file, "", "process_start_time_seconds", "gauge",
		   "Start time of the process, in seconds since 1970.");
	fprintf(file, "process_start_time_seconds %.3f\n", process_start_time());
	write_head(file, "", "process_cpu_seconds_total", "counter",
		   "User and system CPU time used by the process.");
	fprintf(file, "process_cpu_seconds_total %.6f\n", process_cpu_seconds());
	write_head(file, "", "process_resident_memory_bytes", "gauge",
		   "Resident memory of the process, including the rings.");
	fprintf(file, "process_resident_memory_bytes %" PRIu64 "\n", process_resident_bytes());
	write_head(file, "", "process_virtual_memory_bytes", "gauge",
		   "Address space of the process.");
	fprintf(file, "process_virtual_memory_bytes %" PRIu64 "\n", process_virtual_bytes());
	write_head(file, "", "process_open_fds", "gauge", "Open file descriptors.");
	fprintf(file, "process_open_fds %" PRIu64 "\n", process_open_fds());
	write_head(file, "", "process_max_fds", "gauge",
		   "Maximum number of open file descriptors.");
	fprintf(file, "process_max_fds %" PRIu64 "\n", process_max_fds());
}

/* ---- streams ---- */

/* Make space for one more item. Return: the array; NULL without memory, and then @items stays valid. */
static void *grow_array(void *items, size_t count, size_t size)
{
	/* Double the array at each power of two. */
	if (count & (count - 1))
		return items;
	return reallocarray(items, count ? 2 * count : 1, size);
}

/* Append a subject. Return: the subject, or NULL without memory. */
static struct subject *add_subject(struct subjects *subjects, const void *numbers)
{
	struct subject *item = grow_array(subjects->item, subjects->count, sizeof(*item));

	if (!item)
		return NULL;
	subjects->item = item;
	item += subjects->count++;
	item->numbers = numbers;
	return item;
}

struct names {
	struct name_report *report;
	size_t count;
	bool failed;
};

static void collect_name(void *argument, const struct name_report *report)
{
	struct names *names = argument;
	struct name_report *grown = grow_array(names->report, names->count, sizeof(*grown));

	if (!grown) {
		names->failed = true;
		return;
	}
	names->report = grown;
	grown[names->count++] = *report;
}

enum part { PART_NAME, PART_STATS, PART_TOTALS, PART_NEWEST, PART_KERNEL };

/* Return the struct of this part, or NULL if the stream has none now. */
static const void *part_of(const struct name_report *report, enum part part)
{
	switch (part) {
	case PART_NAME:
		return report;
	case PART_STATS:
		return report->stats;
	case PART_TOTALS:
		return &report->totals;
	case PART_NEWEST:
		return report->generations && report->newest.blocks ? &report->newest : NULL;
	case PART_KERNEL:
		return report->generations && report->newest.has_kernel ? &report->newest.kernel
									: NULL;
	}
	return NULL;
}

static bool choose_part(struct subjects *subjects, const struct names *names, enum part part)
{
	subjects->count = 0;
	for (size_t i = 0; i < names->count; i++) {
		const void *numbers = part_of(&names->report[i], part);
		struct subject *subject;

		if (!numbers)
			continue;
		subject = add_subject(subjects, numbers);
		if (!subject)
			return false;
		snprintf(subject->labels, sizeof(subject->labels), "stream=\"%s\"",
			 names->report[i].name);
	}
	return true;
}

static void write_states(FILE *file, const struct names *names)
{
	write_head(file, "dmacast_stream_", "state", "gauge",
		   "1 for the current state, 0 for the others.");
	for (size_t i = 0; i < names->count; i++) {
		const struct name_report *report = &names->report[i];
		const char *now = report->generations ? report->newest.state : "ended", *word;

		for (unsigned int state = 0; (word = stream_state_word(state)); state++)
			fprintf(file, "dmacast_stream_state{stream=\"%s\",state=\"%s\"} %d\n",
				report->name, word, !strcmp(now, word));
	}
}

static void write_sources(FILE *file, const struct names *names)
{
	static const char *const state[] = { "waiting", "connecting", "running", "silent",
					     "ended" };
	const struct name_report *end = names->report + names->count;

	write_head(file, "dmacast_stream_", "source_state", "gauge",
		   "1 for the current state of the source, 0 for the others.");
	for (const struct name_report *name = names->report; name < end; name++) {
		const char *now = name->generations ? name->newest.source_state : "ended";

		for (size_t s = 0; s < sizeof(state) / sizeof(state[0]); s++)
			fprintf(file,
				"dmacast_stream_source_state{stream=\"%s\",state=\"%s\"} %d\n",
				name->name, state[s], !strcmp(now, state[s]));
	}
	write_head(file, "dmacast_stream_", "source_up", "gauge",
		   "1 while the source is open, running or silent; otherwise 0.");
	for (const struct name_report *name = names->report; name < end; name++)
		fprintf(file, "dmacast_stream_source_up{stream=\"%s\"} %d\n", name->name,
			name->generations && name->newest.source_up);
	write_head(file, "dmacast_stream_", "source_byte_age_seconds", "gauge",
		   "Time since the last byte from the source; absent before the first one.");
	for (const struct name_report *name = names->report; name < end; name++) {
		if (name->generations && name->newest.has_source_byte)
			fprintf(file,
				"dmacast_stream_source_byte_age_seconds{stream=\"%s\"} %.3f\n",
				name->name, (double)name->newest.source_byte_age_ns / 1e9);
	}
}

static void write_endpoints(FILE *file, const struct names *names)
{
	write_head(file, "dmacast_stream_", "endpoints", "gauge",
		   "Endpoints that listen, or that wait for their address, by state.");
	for (size_t i = 0; i < names->count; i++) {
		const struct name_report *name = &names->report[i];
		bool now = name->generations > 0;

		fprintf(file,
			"dmacast_stream_endpoints{stream=\"%s\",state=\"listening\"} %" PRIu64 "\n",
			name->name, now ? name->newest.endpoints_listening : 0);
		fprintf(file,
			"dmacast_stream_endpoints{stream=\"%s\",state=\"waiting\"} %" PRIu64 "\n",
			name->name, now ? name->newest.endpoints_waiting : 0);
	}
}

/* One metric of the sections of one stream. */
struct section_writer {
	FILE *file;
	const char *stream, *metric;
	size_t index; /* SECTION_CLIENTS and so on */
};

enum { SECTION_CLIENTS, SECTION_JOINED, SECTION_REFUSED, SECTION_METRICS };

static uint64_t section_number(const struct section_report *section, size_t index)
{
	if (index == SECTION_CLIENTS)
		return section->clients;
	return index == SECTION_JOINED ? section->stats->joined : section->stats->refused;
}

/* The stream's own endpoints have an empty name. */
static void write_section(void *argument, const struct section_report *section)
{
	const struct section_writer *writer = argument;

	fprintf(writer->file, "dmacast_section_%s{stream=\"%s\",section=\"%s\"} %" PRIu64 "\n",
		writer->metric, writer->stream, section->name ? section->name : "",
		section_number(section, writer->index));
}

static void write_sections(FILE *file, const struct names *names)
{
	static const struct {
		const char *metric, *type, *help;
	} table[SECTION_METRICS] = {
		[SECTION_CLIENTS] = { "clients", "gauge",
				      "Clients of the endpoints of a section." },
		[SECTION_JOINED] = { "clients_joined_total", "counter",
				     "Clients that connected to the endpoints of a "
				     "section." },
		[SECTION_REFUSED] = { "clients_refused_total", "counter",
				      "Clients refused at the endpoints of a section." },
	};

	for (size_t m = 0; m < SECTION_METRICS; m++) {
		write_head(file, "dmacast_section_", table[m].metric, table[m].type, table[m].help);
		for (size_t i = 0; i < names->count; i++) {
			const struct name_report *name = &names->report[i];
			struct section_writer writer = { file, name->name, table[m].metric, m };

			if (name->generations)
				stream_each_section_report(name->newest.stream, write_section,
							   &writer);
		}
	}
}

static bool write_stream_tables(FILE *file, const struct names *names, struct subjects *subjects)
{
	write_states(file, names);
	write_sources(file, names);
	write_endpoints(file, names);
	write_sections(file, names);
	if (!choose_part(subjects, names, PART_STATS))
		return false;
	write_table(file, "dmacast_stream_", "counter", ROWS(stream_counters), subjects);
	write_reasons(file, subjects);
	write_refusals(file, subjects);
	write_http_answers(file, subjects);
	write_latencies(file, subjects);
	if (!choose_part(subjects, names, PART_TOTALS))
		return false;
	write_table(file, "dmacast_stream_", "counter", ROWS(sent_counters), subjects);
	if (!choose_part(subjects, names, PART_NAME))
		return false;
	write_table(file, "dmacast_stream_", "gauge", ROWS(name_gauges), subjects);
	if (!choose_part(subjects, names, PART_NEWEST))
		return false;
	write_table(file, "dmacast_stream_", "gauge", ROWS(stream_gauges), subjects);
	if (!choose_part(subjects, names, PART_KERNEL))
		return false;
	write_table(file, "dmacast_device_", "counter", ROWS(kernel_counters), subjects);
	write_table(file, "dmacast_device_", "gauge", ROWS(kernel_gauges), subjects);
	return true;
}

static bool write_streams(FILE *file, const struct streams *streams)
{
	struct subjects subjects = { 0 };
	struct names names = { 0 };
	bool complete;

	streams_each_name(streams, collect_name, &names);
	complete = !names.failed && write_stream_tables(file, &names, &subjects);
	free(subjects.item);
	free(names.report);
	return complete;
}

/* ---- clients ---- */

struct clients {
	struct client_report *report; /* one for each subject */
	struct subjects subjects;
	const char *stream;
	uint64_t now_ns;
	bool failed;
};

/*
 * Add a client unless its socket is disconnected: the same peer may be connected again while the old
 * connection is being closed, and two samples must not have the same labels.
 */
static void collect_client(void *argument, const struct client *client)
{
	struct clients *clients = argument;
	struct client_report *report;
	struct subject *subject;

	report = grow_array(clients->report, clients->subjects.count, sizeof(*report));
	clients->failed |= !report;
	if (clients->failed)
		return;
	clients->report = report;
	report += clients->subjects.count;
	client_report(client, clients->now_ns, report);
	if (!report->endpoint[0])
		return;
	subject = add_subject(&clients->subjects, NULL);
	clients->failed |= !subject;
	if (subject)
		snprintf(subject->labels, sizeof(subject->labels),
			 "stream=\"%s\",client=\"%s\",endpoint=\"%s\"", clients->stream,
			 report->peer, report->endpoint);
}

static void collect_clients(void *argument, struct stream *stream)
{
	struct clients *clients = argument;

	clients->stream = stream_name(stream);
	stream_each_client(stream, collect_client, clients);
}

static void write_client_tables(FILE *file, struct clients *clients)
{
	struct subjects *subjects = &clients->subjects;

	for (size_t i = 0; i < subjects->count; i++)
		subjects->item[i].numbers = &clients->report[i].totals;
	write_table(file, "dmacast_client_", "counter", ROWS(sent_counters), subjects);
	for (size_t i = 0; i < subjects->count; i++)
		subjects->item[i].numbers = &clients->report[i];
	write_table(file, "dmacast_client_", "gauge", ROWS(client_gauges), subjects);
}

static bool write_clients(FILE *file, const struct streams *streams)
{
	struct clients clients = { .now_ns = clock_monotonic_ns() };

	streams_each(streams, collect_clients, &clients);
	if (!clients.failed)
		write_client_tables(file, &clients);
	free(clients.subjects.item);
	free(clients.report);
	return !clients.failed;
}

bool exposition_write(FILE *file, const struct streams *streams, bool per_client)
{
	write_process(file);
	write_handovers(file, succession());
	write_loop(file, loop_time());
	return write_streams(file, streams) && (!per_client || write_clients(file, streams)) &&
	       !ferror(file);
}
