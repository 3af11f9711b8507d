// SPDX-License-Identifier: BSD-2-Clause
/*
 * Streams that one process saves in the middle of traffic and the next one restores, many times in a row. The clients,
 * which check every byte, are in this process; each daemon is a child of it, which gets the state and the descriptors
 * of the one before.
 */
#include "stream/streams.h"

#include "lib/frame.h"
#include "lib/log.h"
#include "stream/section.h"
#include "stream/stream_internal.h"

#include "dice.h"
#include "handoverworld.h"
#include "loopback.h"
#include "statejson.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS 60000000000ULL
#define HANDOVERS 12
#define DRAIN_US 600000000U
#define REPORT_TEXT 4096

/* ---- ports ---- */

enum port {
	PORT_RAW,
	PORT_FRAMED,
	PORT_WEB,
	PORT_OLD,
	PORT_FEW,
	PORT_GONE,
	PORT_FIFO,
	PORT_FILE,
	PORT_DRAIN,
	PORTS
};

static struct {
	struct sockaddr_in address[PORTS];
	char text[PORTS][32];
	char directory[32], fifo[64], file[64];
	int fifo_writer;
	uint64_t fifo_written;
} place;

static void choose_ports(void)
{
	int fd[PORTS];

	for (int i = 0; i < PORTS; i++) {
		socklen_t length = sizeof(place.address[i]);

		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		place.address[i].sin_family = AF_INET;
		place.address[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		if (fd[i] < 0 || bind(fd[i], (struct sockaddr *)&place.address[i], length) ||
		    getsockname(fd[i], (struct sockaddr *)&place.address[i], &length))
			err(1, "no port");
		snprintf(place.text[i], sizeof(place.text[i]), "127.0.0.1:%u",
			 ntohs(place.address[i].sin_port));
	}
	for (int i = 0; i < PORTS; i++)
		close(fd[i]);
}

static void make_files(void)
{
	unsigned char bytes[4096];
	int fd;

	strcpy(place.directory, "/tmp/handover.XXXXXX");
	if (!mkdtemp(place.directory))
		err(1, "no directory");
	snprintf(place.fifo, sizeof(place.fifo), "%s/fifo", place.directory);
	snprintf(place.file, sizeof(place.file), "%s/file", place.directory);
	pattern_fill(bytes, sizeof(bytes), 0);
	fd = open(place.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (mkfifo(place.fifo, 0600) || write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
		err(1, "no files");
	close(fd);
	/* Both directions: it opens without a reader, and has one as long as this process runs. */
	place.fifo_writer = open(place.fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	place.fifo_written = 0;
}

static void remove_files(void)
{
	close(place.fifo_writer);
	unlink(place.fifo);
	unlink(place.file);
	rmdir(place.directory);
}

/* ---- settings of the daemon ---- */

#define STREAMS 4

static void settings_add_endpoint(struct stream_settings *stream, const char *name, enum port port,
				  const char *option, const char *value)
{
	struct endpoint_settings endpoint = { .name = strdup(name),
					      .stream = strdup(stream->name) };
	bool *is_set = calloc(option_count, sizeof(*is_set));
	char expected[OPTION_ERROR_TEXT];

	if (!option_inherit(&endpoint, stream, is_set) ||
	    !option_set(option_find(OPTION_ENDPOINT, "listen"), OPTION_ENDPOINT, &endpoint,
			place.text[port], expected) ||
	    (option && !option_set(option_find(OPTION_ENDPOINT, option), OPTION_ENDPOINT, &endpoint,
				   value, expected)) ||
	    !stream_settings_add_endpoint(stream, &endpoint))
		errx(1, "no endpoint %s", name);
	free(is_set);
}

/* A pattern with clients of all kinds. @has_gone: the section that a reload removes */
static void pattern_settings(struct stream_settings *settings, bool has_gone)
{
	settings_begin(settings, "a", place.text[PORT_RAW], "4M");
	settings_set(settings, "pattern", "20M/s");
	settings_set(settings, "lag-policy", "block");
	settings_set(settings, "retain", "1M");
	settings_set(settings, "meta", "unit=V");
	settings_add_endpoint(settings, "framed", PORT_FRAMED, "format", "framed");
	settings_add_endpoint(settings, "web", PORT_WEB, "format", "http");
	settings_add_endpoint(settings, "old", PORT_OLD, "start", "oldest");
	settings_add_endpoint(settings, "few", PORT_FEW, "max-clients-per-address", "2");
	if (has_gone)
		settings_add_endpoint(settings, "gone", PORT_GONE, "dscp", "8");
}

static void all_settings(struct stream_settings settings[STREAMS], bool is_reloaded)
{
	pattern_settings(&settings[0], !is_reloaded);
	settings_begin(&settings[1], "b", place.text[PORT_FIFO], "2M");
	settings_set(&settings[1], "input", place.fifo);
	settings_set(&settings[1], "lag-policy", "block");
	settings_set(&settings[1], "flush", "5ms");
	settings_begin(&settings[2], "c", place.text[PORT_FILE], "2M");
	settings_set(&settings[2], "input", place.file);
	settings_set(&settings[2], "on-end", "close");
	settings_begin(&settings[3], "d", place.text[PORT_DRAIN], is_reloaded ? "2M" : "4M");
	settings_set(&settings[3], "pattern", "10M/s");
	settings_set(&settings[3], "lag-policy", "block");
}

static void end_settings(struct stream_settings settings[STREAMS])
{
	for (int i = 0; i < STREAMS; i++)
		settings_end(&settings[i]);
}

/* ---- what the daemon does for this test ---- */

static void server_open_all(void)
{
	struct stream_settings settings[STREAMS];

	all_settings(settings, false);
	streamworld_start(settings, STREAMS);
	end_settings(settings);
}

static void server_add_name(void *argument, const struct name_report *report)
{
	char *text = argument;
	size_t length = strlen(text);

	snprintf(text + length, REPORT_TEXT - length,
		 "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 "\n",
		 report->name, report->stats->bytes, report->totals.stats.sent_bytes,
		 report->stats->joined, report->stats->refused, report->clients,
		 report->generations, report->most_lag_bytes);
}

static void server_report(void)
{
	char text[REPORT_TEXT] = "";

	streams_each_name(world.streams, server_add_name, text);
	server_answer(text, sizeof(text));
}

static void server_reload(void)
{
	struct stream_settings settings[STREAMS];
	bool finished;

	all_settings(settings, true);
	finished = streams_is_finished(world.streams, &settings[2]);
	if (!streamworld_reload(settings, STREAMS, DRAIN_US) || !finished)
		errx(1, "no reload; ended: %d", finished);
	end_settings(settings);
	server_answer("+", 1);
}

static void server_command_all(char command)
{
	if (command == 'R')
		server_report();
	else if (command == 'L')
		server_reload();
}

static const struct server_functions functions_of_all = {
	.open = server_open_all,
	.command = server_command_all,
};

/* ---- clients ---- */

enum peer_kind { PEER_RAW, PEER_FRAMED, PEER_WEB };

struct peer {
	const char *name;
	int fd;
	enum peer_kind kind;
	bool stalled;
	bool ended;		/* by the daemon, in order */
	bool failed;		/* reset, or wrong bytes */
	uint64_t begin, offset; /* of the stream: first byte, and next byte */
	bool knows_offset;
	uint64_t bytes;
	/* Bytes that are not complete yet: of a head, a header, or the first two words. */
	unsigned char part[512];
	size_t part_length;
	bool in_body; /* PEER_WEB: after the head */
	/* PEER_FRAMED: */
	struct frame frame; /* the last one */
	uint64_t payload;   /* bytes of it that are left */
	uint64_t frames, metadata;
};

#define MAX_PEERS 32

static struct {
	struct peer peer[MAX_PEERS];
	unsigned int count;
} peers;

/* @little: its socket takes little while nobody reads it */
static struct peer *peer_connect(const char *name, enum port port, enum peer_kind kind, bool little)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct peer *peer = &peers.peer[peers.count++];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), buffer = 32768;

	memset(peer, 0, sizeof(*peer));
	if (little)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&place.address[port], sizeof(place.address[port])))
		err(1, "%s: no connection", name);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (kind == PEER_WEB && send(fd, request, strlen(request), 0) != (ssize_t)strlen(request))
		err(1, "no request");
	peer->name = name;
	peer->fd = fd;
	peer->kind = kind;
	return peer;
}

static void peer_fail(struct peer *peer, const char *why, uint64_t number)
{
	peer->failed = !check(false, "%s: %s %" PRIu64 " at byte %" PRIu64, peer->name, why, number,
			      peer->bytes);
}

/* Collect @wanted bytes in `part`. Return: how many of @length were used. */
static size_t peer_collect(struct peer *peer, const unsigned char *bytes, size_t length,
			   size_t wanted)
{
	size_t used = wanted - peer->part_length;

	if (used > length)
		used = length;
	memcpy(peer->part + peer->part_length, bytes, used);
	peer->part_length += used;
	return used;
}

static void peer_check_bytes(struct peer *peer, const unsigned char *bytes, size_t length)
{
	size_t right = pattern_check(bytes, length, peer->offset);

	if (right != length)
		peer_fail(peer, "wrong byte of the stream", peer->offset + right);
	peer->offset += length;
}

/* Return: bytes used. */
static size_t peer_take_raw(struct peer *peer, const unsigned char *bytes, size_t length)
{
	size_t used;

	if (peer->knows_offset) {
		peer_check_bytes(peer, bytes, length);
		return length;
	}
	used = peer_collect(peer, bytes, length, 2 * PATTERN_WORD);
	if (peer->part_length < 2 * PATTERN_WORD)
		return used;
	if (!pattern_locate(peer->part, &peer->offset))
		peer_fail(peer, "no pattern", 0);
	peer->begin = peer->offset;
	peer->knows_offset = true;
	peer_check_bytes(peer, peer->part, 2 * PATTERN_WORD);
	return used;
}

static size_t peer_take_head(struct peer *peer, const unsigned char *bytes)
{
	size_t used = peer_collect(peer, bytes, 1, peer->part_length + 1);

	if (peer->part_length >= 4 && !memcmp(peer->part + peer->part_length - 4, "\r\n\r\n", 4)) {
		peer->in_body = true;
		if (strncmp((const char *)peer->part, "HTTP/1.1 200", 12) != 0)
			peer_fail(peer, "another answer", 0);
		peer->part_length = 0;
	} else if (peer->part_length == sizeof(peer->part)) {
		peer_fail(peer, "a head without end", 0);
	}
	return used;
}

/* A frame must continue the one before: neither a gap nor another epoch. */
static void peer_begin_block(struct peer *peer, const struct frame *frame)
{
	bool first = !peer->frames++;

	if (!first && frame->flags & (FRAME_LOSS | FRAME_START))
		peer_fail(peer, "flags", frame->flags);
	if (!first && frame->epoch != peer->frame.epoch)
		peer_fail(peer, "epoch", frame->epoch);
	if (!first && frame->sequence != peer->frame.sequence + 1)
		peer_fail(peer, "sequence", frame->sequence);
	if (!first && frame->position != peer->offset)
		peer_fail(peer, "position", frame->position);
	if (first)
		peer->begin = frame->position;
	peer->offset = frame->position;
	peer->frame = *frame;
}

static size_t peer_take_header(struct peer *peer, const unsigned char *bytes, size_t length)
{
	size_t used = peer_collect(peer, bytes, length, FRAME_HEADER_BYTES);
	unsigned int header_bytes;
	struct frame frame;

	if (peer->part_length < FRAME_HEADER_BYTES)
		return used;
	peer->part_length = 0;
	if (frame_parse(peer->part, &frame, &header_bytes) != FRAME_IS_VALID) {
		peer_fail(peer, "no frame", 0);
		return used;
	}
	if (frame.flags & FRAME_METADATA)
		peer->metadata++;
	else if (!(frame.flags & FRAME_END))
		peer_begin_block(peer, &frame);
	peer->frame.flags = frame.flags;
	peer->payload = frame.length;
	return used;
}

static size_t peer_take_framed(struct peer *peer, const unsigned char *bytes, size_t length)
{
	if (!peer->payload)
		return peer_take_header(peer, bytes, length);
	if (length > peer->payload)
		length = peer->payload;
	if (!(peer->frame.flags & FRAME_METADATA))
		peer_check_bytes(peer, bytes, length);
	peer->payload -= length;
	return length;
}

static size_t peer_take(struct peer *peer, const unsigned char *bytes, size_t length)
{
	if (peer->kind == PEER_FRAMED)
		return peer_take_framed(peer, bytes, length);
	if (peer->kind == PEER_WEB && !peer->in_body)
		return peer_take_head(peer, bytes);
	return peer_take_raw(peer, bytes, length);
}

/* Read once. */
static void peer_take_part(struct peer *peer)
{
	static unsigned char buffer[256 << 10];
	ssize_t n = recv(peer->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	size_t used = 0;

	if (n == 0) {
		peer->ended = true;
	} else if (n < 0 && errno != EAGAIN) {
		peer_fail(peer, strerror(errno), (uint64_t)errno);
	}
	while (n > 0 && used < (size_t)n && !peer->failed)
		used += peer_take(peer, buffer + used, (size_t)n - used);
	if (n > 0)
		peer->bytes += (uint64_t)n;
}

static void fifo_write(void)
{
	unsigned char buffer[16 << 10];
	ssize_t n;

	pattern_fill(buffer, sizeof(buffer), place.fifo_written);
	n = write(place.fifo_writer, buffer, sizeof(buffer));
	if (n > 0)
		place.fifo_written += (uint64_t)n;
}

/* One round of all clients. */
static void peers_step(void)
{
	for (unsigned int i = 0; i < peers.count; i++) {
		struct peer *peer = &peers.peer[i];

		if (!peer->stalled && !peer->ended && !peer->failed)
			peer_take_part(peer);
	}
	usleep(500);
}

static void traffic_step(void)
{
	fifo_write();
	peers_step();
}

/* Run until @expression is true, but not forever. */
#define traffic_until(expression)                                        \
	({                                                               \
		for (uint64_t end_ = clock_monotonic_ns() + PATIENCE_NS; \
		     !(expression) && clock_monotonic_ns() < end_;)      \
			traffic_step();                                  \
		(expression);                                            \
	})

/* Each client that reads has this many bytes more. */
static void traffic_of_all(uint64_t bytes)
{
	uint64_t wanted[MAX_PEERS];

	for (unsigned int i = 0; i < peers.count; i++)
		wanted[i] = peers.peer[i].bytes + bytes;
	for (unsigned int i = 0; i < peers.count; i++) {
		const struct peer *peer = &peers.peer[i];

		check(peer->stalled || peer->ended ||
			      traffic_until(peer->bytes >= wanted[i] || peer->failed),
		      "%s: stands at byte %" PRIu64, peer->name, peer->bytes);
	}
}

/* ---- reports ---- */

struct name_line {
	char name[8];
	uint64_t bytes, sent, joined, refused, clients;
	unsigned int generations;
	uint64_t lag; /* bytes, of the slowest client */
};

static struct name_line report_get(char name)
{
	char text[REPORT_TEXT] = "";
	struct name_line line = { 0 };

	daemon_ask('R', text, sizeof(text));
	for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL) {
		if (*at == name)
			sscanf(at,
			       "%7s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
			       " %u %" SCNu64,
			       line.name, &line.bytes, &line.sent, &line.joined, &line.refused,
			       &line.clients, &line.generations, &line.lag);
	}
	return line;
}

static void check_report(const struct name_line *before, const struct name_line *after)
{
	check(after->bytes >= before->bytes && after->sent >= before->sent,
	      "%s: %" PRIu64 " bytes after %" PRIu64 ", %" PRIu64 " sent after %" PRIu64,
	      before->name, after->bytes, before->bytes, after->sent, before->sent);
	check(after->joined == before->joined && after->refused == before->refused &&
		      after->clients == before->clients &&
		      after->generations == before->generations,
	      "%s: %" PRIu64 " joined, %" PRIu64 " refused, %" PRIu64 " clients, %u generations; "
	      "before: %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %u",
	      before->name, after->joined, after->refused, after->clients, after->generations,
	      before->joined, before->refused, before->clients, before->generations);
}

static void hand_over_with_reports(void)
{
	static const char names[] = "abcd";
	struct name_line before[STREAMS];

	for (int i = 0; i < STREAMS; i++)
		before[i] = report_get(names[i]);
	daemon_hand_over();
	for (int i = 0; i < STREAMS; i++) {
		const struct name_line after = report_get(names[i]);

		check_report(&before[i], &after);
	}
}

/* ---- tests ---- */

static bool is_refused(enum port port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = 20 };
	char byte;
	bool refused;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&place.address[port], sizeof(place.address[port])))
		err(1, "no connection");
	refused = recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
	close(fd);
	return refused;
}

static void connect_all(void)
{
	peer_connect("raw", PORT_RAW, PEER_RAW, false);
	peer_connect("raw 2", PORT_RAW, PEER_RAW, false);
	peer_connect("framed", PORT_FRAMED, PEER_FRAMED, false);
	peer_connect("web", PORT_WEB, PEER_WEB, false);
	peer_connect("few", PORT_FEW, PEER_RAW, false);
	peer_connect("few 2", PORT_FEW, PEER_RAW, false);
	peer_connect("fifo", PORT_FIFO, PEER_RAW, false);
	peer_connect("gone", PORT_GONE, PEER_RAW, true);
	peer_connect("drain", PORT_DRAIN, PEER_RAW, true);
	traffic_of_all(2 << 20);
	peer_connect("old", PORT_OLD, PEER_RAW, false);
}

static void check_all_are_right(void)
{
	for (unsigned int i = 0; i < peers.count; i++)
		check(!peers.peer[i].failed, "%s", peers.peer[i].name);
}

static struct peer *peer_find(const char *name)
{
	for (unsigned int i = 0; i < peers.count; i++) {
		if (!strcmp(peers.peer[i].name, name))
			return &peers.peer[i];
	}
	errx(1, "no peer %s", name);
}

static void test_traffic(void)
{
	daemon_start();
	connect_all();
	check(traffic_until(!report_get('c').generations), "the file does not end");
	for (int i = 0; i < HANDOVERS; i++) {
		hand_over_with_reports();
		traffic_of_all(256 << 10);
	}
	check_all_are_right();
	point("%d handovers in the middle of traffic: raw, framed, HTTP and old clients get every "
	      "byte",
	      HANDOVERS);
	check(peer_find("framed")->metadata == 1, "%" PRIu64 " times metadata",
	      peer_find("framed")->metadata);
	check(peer_find("old")->begin < peer_find("old")->offset, "no byte");
	point("framed clients see neither a gap nor a new epoch nor metadata again");
	check(is_refused(PORT_FEW), "not refused");
	check(report_get('a').refused == 1, "%" PRIu64 " refused", report_get('a').refused);
	point("limits for each address count the clients that were handed over");
}

/* A reload makes a section and a generation drain; then more handovers follow. */
static void test_draining(void)
{
	char answer;

	peer_find("gone")->stalled = true;
	peer_find("drain")->stalled = true;
	check(traffic_until(report_get('a').lag > 1 << 20 && report_get('d').lag > 1 << 20),
	      "not stalled");
	daemon_ask('L', &answer, 1);
	check(report_get('d').generations == 2, "%u generations", report_get('d').generations);
	for (int i = 0; i < 3; i++) {
		const struct peer *fresh;

		hand_over_with_reports();
		fresh = peer_connect("new", PORT_DRAIN, PEER_RAW, false);
		check(traffic_until(fresh->bytes > 128 << 10), "no bytes");
	}
	check(report_get('d').generations == 2, "%u generations", report_get('d').generations);
	peer_find("gone")->stalled = false;
	peer_find("drain")->stalled = false;
	check(traffic_until(peer_find("gone")->ended), "the section's client does not end");
	check(traffic_until(peer_find("drain")->ended), "the former stream's client does not end");
	check(traffic_until(report_get('d').generations == 1), "the former stream does not end");
	check_all_are_right();
	point("a section and a stream that drain go on with that after three handovers");
	daemon_ask('L', &answer, 1);
	hand_over_with_reports();
	daemon_ask('L', &answer, 1);
	check(!report_get('c').generations, "started again");
	point("a stream that had ended stays so: a reload does not start it again");
}

static void test_common_end(void)
{
	uint64_t end = 0;

	hand_over_with_reports();
	daemon_ask('S', NULL, 0);
	for (unsigned int i = 0; i < peers.count; i++) {
		const struct peer *peer = &peers.peer[i];

		while (!peer->ended && !peer->failed)
			peers_step();
	}
	daemon_await_exit();
	check_all_are_right();
	end = peer_find("raw")->offset;
	check(peer_find("raw 2")->offset == end && peer_find("web")->offset == end &&
		      peer_find("framed")->offset == end && peer_find("old")->offset == end,
	      "ends at %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64, end,
	      peer_find("raw 2")->offset, peer_find("web")->offset, peer_find("framed")->offset,
	      peer_find("old")->offset);
	check(!peer_find("framed")->payload && !peer_find("framed")->part_length, "half a frame");
	point("at the end all clients have the same last byte, and nothing is left in the daemon");
}

static void close_peers(void)
{
	for (unsigned int i = 0; i < peers.count; i++)
		close(peers.peer[i].fd);
	peers.count = 0;
}

/* ---- broken states ---- */

/* A value of a state, and where it is. */
struct leaf {
	json_t *around; /* object or list */
	const char *key;
	size_t index; /* of a list */
};

static struct {
	struct leaf *leaf;
	size_t count;
} leaves;

static void leaves_add(json_t *around, const char *key, size_t index)
{
	if (!(leaves.count & (leaves.count - 1)))
		leaves.leaf = reallocarray(leaves.leaf, leaves.count ? 2 * leaves.count : 1,
					   sizeof(*leaves.leaf));
	leaves.leaf[leaves.count++] = (struct leaf){ around, key, index };
}

/* Collect every value within @value. */
static void leaves_collect(json_t *value)
{
	const char *key;
	json_t *member;
	size_t index;

	json_object_foreach(value, key, member)
	{
		leaves_add(value, key, 0);
		leaves_collect(member);
	}
	json_array_foreach(value, index, member)
	{
		leaves_add(value, NULL, index);
		leaves_collect(member);
	}
}

static json_t *leaf_get(const struct leaf *leaf)
{
	return leaf->key ? json_object_get(leaf->around, leaf->key)
			 : json_array_get(leaf->around, leaf->index);
}

/* Return another value than @value, or NULL: remove it. */
static json_t *broken_value(struct dice *dice, const json_t *value)
{
	static const json_int_t number[] = { 0, 1, 7, 255, INT32_MAX, UINT32_MAX, INT64_MAX, -1 };

	switch (dice_roll(dice, 0, 9)) {
	case 0:
		return NULL;
	case 1:
		return json_null();
	case 2:
		return json_string("00");
	case 3:
		return json_integer(json_integer_value(value) + 1);
	case 4:
		return json_integer(json_integer_value(value) - 1);
	case 5:
		return json_boolean(!json_is_true(value));
	default:
		return json_integer(number[dice_roll(dice, 0, 7)]);
	}
}

/* Return a state with one wrong value. @what: out: which one */
static char *broken_state(struct dice *dice, const struct parcel_content *parcel, size_t *length,
			  char *what, size_t size)
{
	json_t *root = statejson_load(parcel->data, parcel->length), *wrong;
	const struct leaf *leaf;
	char *broken;

	leaves.count = 0;
	leaves_collect(root);
	/* Most values are numbers in lists, which are much alike. */
	do {
		leaf = &leaves.leaf[dice_roll(dice, 0, (uint32_t)leaves.count - 1)];
	} while (!leaf->key && !dice_one_in(dice, 10));
	wrong = broken_value(dice, leaf_get(leaf));
	broken = wrong ? json_dumps(wrong, JSON_ENCODE_ANY) : NULL;
	snprintf(what, size, "%s[%zu] = %s", leaf->key ? leaf->key : "item", leaf->index,
		 broken ? broken : "missing");
	free(broken);
	if (wrong && leaf->key)
		json_object_set_new(leaf->around, leaf->key, wrong);
	else if (wrong)
		json_array_set_new(leaf->around, leaf->index, wrong);
	else if (leaf->key)
		json_object_del(leaf->around, leaf->key);
	else
		json_array_remove(leaf->around, leaf->index);
	broken = statejson_encode(root, length);
	json_decref(root);
	return broken;
}

/* Between a child that tries broken states and the test. */
static struct trials {
	unsigned int next;
	char what[300]; /* the present one */
} * trials;

/* The same streams start without a state. */
static void start_afresh(void)
{
	struct stream_settings settings;

	streamworld_begin();
	settings_begin(&settings, "z", world.endpoint, "2M");
	settings_set(&settings, "pattern", "20M/s");
	if (!streamworld_reload(&settings, 1, 0))
		_exit(10);
	streams_start(world.streams);
	streamworld_run_ms(20);
	settings_end(&settings);
	streamworld_stop();
}

/*
 * Try to restore a state. What is restored nevertheless runs for a while, and ends this process; what fails must leave
 * nothing.
 */
static void try_broken_state(const struct parcel_content *parcel, char *data, size_t length,
			     bool must_fail)
{
	struct parcel_content copy = { .data = data, .length = length, .count = parcel->count };
	char why[STATE_WRONG_TEXT];

	copy.descriptors = calloc(copy.count, sizeof(*copy.descriptors));
	for (size_t i = 0; i < copy.count; i++)
		copy.descriptors[i] = fcntl(parcel->descriptors[i], F_DUPFD_CLOEXEC, 0);
	world.streams = streams_create(world.base, &streamworld_callbacks, NULL);
	if (server_restore(&copy, why)) {
		streamworld_run_ms(20);
		_exit(must_fail ? 7 : 0);
	}
	if (!*why || streams_is_running(world.streams) || !streams_is_empty(world.streams))
		_exit(8);
	streamworld_run_ms(2);
	if (must_fail)
		start_afresh();
	else if (!streams_close(world.streams))
		_exit(9);
}

static void child_begin(const struct parcel_content *parcel)
{
	server.control = -1;
	server_close_others(parcel);
	server_begin();
	log_set_level((enum log_level)0);
}

static __attribute__((noreturn)) void child_end(struct parcel_content *parcel)
{
	two_close(parcel);
	free(leaves.leaf);
	event_base_free(world.base);
	exit(tap.failed ? 6 : 0);
}

/* A child: try broken states, up to the first one that can be restored. */
static __attribute__((noreturn)) void try_states(struct parcel_content *parcel, unsigned int count)
{
	child_begin(parcel);
	while (trials->next < count) {
		struct dice dice = { .state = trials->next++ };
		size_t length;
		char *data =
			broken_state(&dice, parcel, &length, trials->what, sizeof(trials->what));

		try_broken_state(parcel, data, length, false);
	}
	child_end(parcel);
}

static int await_child(pid_t pid)
{
	int status = 0;

	waitpid(pid, &status, 0);
	return status;
}

static bool peer_is_reset(const struct peer *peer)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	return n < 0 && errno == ECONNRESET;
}

/* All of it can be read; only then one value is found that is not known. */
static __attribute__((noreturn)) void try_unknown_value(struct parcel_content *parcel)
{
	json_t *root = statejson_load(parcel->data, parcel->length);
	size_t length;
	char *data;

	json_object_set_new(json_object_get(root, "streams"), "unknown", json_true());
	data = statejson_encode(root, &length);
	json_decref(root);
	child_begin(parcel);
	try_broken_state(parcel, data, length, true);
	child_end(parcel);
}

static void test_unknown_value(struct parcel_content *parcel)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		try_unknown_value(parcel);
	status = await_child(pid);
	check(!status, "status %x", (unsigned int)status);
	for (unsigned int i = 0; i < peers.count; i++)
		check(peer_is_reset(&peers.peer[i]), "%s is not reset", peers.peer[i].name);
	point("a state with an unknown value is refused: clients are reset, other streams can "
	      "start");
}

static void test_values_broken(struct parcel_content *parcel, unsigned int count)
{
	trials = mmap(NULL, sizeof(*trials), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	while (trials->next < count) {
		int status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (!pid)
			try_states(parcel, count);
		status = await_child(pid);
		check(!status, "%u: %s: status %x", trials->next, trials->what,
		      (unsigned int)status);
	}
	munmap(trials, sizeof(*trials));
	point("%u states with a wrong value are refused or run, and never end the daemon", count);
}

static void test_broken_states(unsigned int count)
{
	struct parcel_content parcel;

	daemon_start();
	connect_all();
	peer_connect("stalled", PORT_RAW, PEER_RAW, true)->stalled = true;
	check(traffic_until(report_get('a').lag > 1 << 20), "not stalled");
	daemon_freeze(&parcel);
	test_unknown_value(&parcel);
	test_values_broken(&parcel, count);
	two_close(&parcel);
	close_peers();
	daemon_start();
	peer_connect("raw", PORT_RAW, PEER_RAW, false);
	traffic_of_all(1 << 20);
	daemon_ask('S', NULL, 0);
	daemon_await_exit();
	check_all_are_right();
	close_peers();
	point("afterwards the ports can be used again");
}

int main(int argc, char **argv)
{
	/* Each takes about as long as 2000 steps of other tests. */
	unsigned int count = argc > 1 ? (unsigned int)atoi(argv[1]) / 2000 : 100;

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	server_functions = &functions_of_all;
	choose_ports();
	make_files();
	test_traffic();
	test_draining();
	test_common_end();
	close_peers();
	test_broken_states(count);
	remove_files();
	return tap_end();
}
