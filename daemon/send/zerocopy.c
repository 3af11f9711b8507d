// SPDX-License-Identifier: BSD-2-Clause
#include "send/zerocopy.h"

#include "lib/clock.h"
#include "lib/interrupted.h"
#include "send/errqueue.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The kernel passes packets of many segments to the network card: as many whole segments as fit into
 * 64 KiB less the headers (sk_setup_caps(): MAX_TCP_HEADER and the terminating byte), but at least one.
 */
#define MAX_PACKET 65536U
#define PACKET_HEADERS 321U

/* Return the bytes of payload in the largest packet of now. */
static uint32_t packet_bytes(int fd)
{
	socklen_t length = sizeof(int);
	int segment = 0;

	if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, &length) || segment <= 0)
		return 1;
	if ((uint32_t)segment > MAX_PACKET - PACKET_HEADERS)
		return (uint32_t)segment;
	return (MAX_PACKET - PACKET_HEADERS) / (uint32_t)segment * (uint32_t)segment;
}

void zerocopy_open(struct zerocopy *zerocopy, int fd, enum zerocopy_mode mode,
		   struct latency *latency,
		   void (*copy_state_changed)(void *argument, enum zerocopy_copy_state before,
					      enum zerocopy_copy_state now),
		   void *argument)
{
	int one = 1;

	memset(zerocopy, 0, sizeof(*zerocopy));
	zerocopy->fd = fd;
	zerocopy->latency = latency;
	zerocopy->copy_state_changed = copy_state_changed;
	zerocopy->argument = argument;
	completions_init(&zerocopy->completions);
	if (mode != ZEROCOPY_NEVER && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		mode = ZEROCOPY_NEVER;
	zerocopy_probe_init(&zerocopy->probe, mode);
}

/* The pieces of memory of a message. */
struct pieces {
	struct iovec piece[2 * ZEROCOPY_BLOCKS];
	size_t count;
	uint64_t left; /* bytes that may be added */
};

/*
 * Add @length bytes, without the first *@skip, which are skipped. What is next to the last piece in memory is
 * one piece with it, because the kernel looks up the pages of each piece separately.
 */
static void add_piece(struct pieces *pieces, unsigned char *bytes, uint32_t length, uint32_t *skip)
{
	struct iovec *last = pieces->count ? &pieces->piece[pieces->count - 1] : NULL;
	uint32_t skipped = *skip < length ? *skip : length;

	*skip -= skipped;
	bytes += skipped;
	length -= skipped;
	if (length > pieces->left)
		length = (uint32_t)pieces->left;
	if (!length)
		return;
	if (!last || (unsigned char *)last->iov_base + last->iov_len != bytes) {
		last = &pieces->piece[pieces->count++];
		*last = (struct iovec){ .iov_base = bytes };
	}
	last->iov_len += length;
	pieces->left -= length;
}

/* Put the blocks of a request into @pieces. Return: bytes. */
static size_t fill_pieces(const struct zerocopy_request *request, struct pieces *pieces)
{
	const struct block *block = request->first;
	uint32_t skip = request->offset;

	pieces->count = 0;
	pieces->left = request->max_bytes;
	for (uint32_t i = 0; i < request->blocks && pieces->left; i++, block = block->next) {
		add_piece(pieces, block->header, block_header_bytes(block, request->framed), &skip);
		add_piece(pieces, block->data, block->length, &skip);
	}
	return request->max_bytes - pieces->left;
}

/* Shorten @message to @bytes. */
static void message_truncate(struct msghdr *message, size_t bytes)
{
	size_t pieces = 0;

	while (pieces < message->msg_iovlen && bytes) {
		struct iovec *piece = &message->msg_iov[pieces++];

		if (piece->iov_len > bytes)
			piece->iov_len = bytes;
		bytes -= piece->iov_len;
	}
	message->msg_iovlen = pieces;
}

/* The blocks that the first bytes of a request are in. */
struct block_span {
	uint32_t blocks;
	uint32_t whole_blocks; /* sent to their end, and with a latency */
};

/* Record the latency of each block that ends within the first @bytes, which were accepted. */
static struct block_span account_sent(struct zerocopy *zerocopy,
				      const struct zerocopy_request *request, size_t bytes)
{
	const struct block *block = request->first;
	uint64_t left = (uint64_t)request->offset + bytes, now = 0;
	uint32_t whole = 0;

	for (; whole < request->blocks; whole++, block = block->next) {
		uint32_t length = block_header_bytes(block, request->framed) + block->length;

		if (left < length)
			break;
		if (!whole)
			now = clock_monotonic_ns();
		if (!request->is_history)
			histogram_add(&zerocopy->latency->to_send, block_age(block, now));
		left -= length;
	}
	return (struct block_span){ .blocks = whole + (left > 0),
				    .whole_blocks = request->is_history ? 0 : whole };
}

/* A short send means that the socket is full; do not call again just to get EAGAIN. */
static ssize_t send_message(struct zerocopy *zerocopy, const struct msghdr *message, size_t length,
			    int flags)
{
	ssize_t n = REPEAT_INTERRUPTED(
		sendmsg(zerocopy->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL | flags));

	zerocopy->send_blocked = n < 0 ? errno == EAGAIN : (size_t)n < length;
	return n;
}

/* Adapt the peak to a send of @bytes. A smaller send lowers it only if it filled the socket. */
static void note_accepted(struct zerocopy *zerocopy, uint64_t bytes)
{
	uint64_t half = zerocopy->accepted_peak / 2;

	if (bytes > zerocopy->accepted_peak)
		zerocopy->accepted_peak = bytes;
	else if (zerocopy->send_blocked)
		zerocopy->accepted_peak = bytes > half ? bytes : half;
}

/* Send with MSG_ZEROCOPY. The kernel numbers each call that accepts bytes. */
static ssize_t send_zerocopy(struct zerocopy *zerocopy, const struct zerocopy_request *request,
			     const struct msghdr *message, size_t length)
{
	ssize_t n = send_message(zerocopy, message, length, MSG_ZEROCOPY);
	struct block_span span;

	if (n <= 0)
		return n;
	span = account_sent(zerocopy, request, (size_t)n);
	/* model: send */
	completions_add(&zerocopy->completions, request->first, span.blocks, span.whole_blocks);
	zerocopy->stats.zerocopy_sends++;
	note_accepted(zerocopy, (uint64_t)n);
	return n;
}

/* Round @bytes down to whole packets, but not to 0. */
static uint64_t whole_packets(struct zerocopy *zerocopy, uint64_t bytes)
{
	/*
	 * Segments are at most half of the largest window that the peer has offered so far, so they are
	 * smaller at first: on loopback half of 64 KiB. Update the size at the 1st, 2nd, 4th... call.
	 */
	zerocopy->budgets++;
	if (!(zerocopy->budgets & (zerocopy->budgets - 1)))
		zerocopy->packet = packet_bytes(zerocopy->fd);
	return bytes < zerocopy->packet ? bytes : bytes - bytes % zerocopy->packet;
}

/* Return true if the kernel does not copy, and no limit of locked memory was met. */
static bool avoids_copies(const struct zerocopy *zerocopy)
{
	return zerocopy->probe.copy_state == ZEROCOPY_UNCOPIED && !zerocopy->stats.no_buffer &&
	       zerocopy_probe_way(&zerocopy->probe) == ZEROCOPY_WAY_PINS;
}

uint64_t zerocopy_budget(struct zerocopy *zerocopy, uint64_t bytes, uint64_t uncopied_bytes)
{
	uint64_t budget = 2 * zerocopy->accepted_peak;

	if (budget > uncopied_bytes)
		budget = uncopied_bytes;
	if (budget < bytes || !avoids_copies(zerocopy))
		budget = bytes;
	return whole_packets(zerocopy, budget);
}

static enum zerocopy_way choose_way(struct zerocopy *zerocopy,
				    const struct zerocopy_request *request, size_t length)
{
	enum zerocopy_way way = ZEROCOPY_WAY_COPIES;

	if (request->may_pin)
		way = zerocopy_probe_choose(&zerocopy->probe, length,
					    zerocopy_outstanding(zerocopy));
	if (way != ZEROCOPY_WAY_COPIES && !completions_reserve(&zerocopy->completions))
		way = ZEROCOPY_WAY_COPIES;
	return way;
}

ssize_t zerocopy_send(struct zerocopy *zerocopy, const struct zerocopy_request *request)
{
	struct pieces pieces;
	size_t length = fill_pieces(request, &pieces);
	struct msghdr message = { .msg_iov = pieces.piece, .msg_iovlen = pieces.count };
	enum zerocopy_way way = choose_way(zerocopy, request, length);
	ssize_t n;

	if (way != ZEROCOPY_WAY_COPIES) {
		if (way == ZEROCOPY_WAY_PROBES && length > ZEROCOPY_PROBE_BYTES) {
			length = ZEROCOPY_PROBE_BYTES;
			message_truncate(&message, length);
		}
		n = send_zerocopy(zerocopy, request, &message, length);
		if (n >= 0 || errno != ENOBUFS)
			return n;
		/* Unread notifications use up the socket's option memory; reading them may free enough. */
		if (zerocopy_reap(zerocopy) && completions_reserve(&zerocopy->completions)) {
			n = send_zerocopy(zerocopy, request, &message, length);
			if (n >= 0 || errno != ENOBUFS)
				return n;
		}
		zerocopy->stats.no_buffer++;
		zerocopy_probe_no_buffer(&zerocopy->probe);
	}
	/* model: copy */
	n = send_message(zerocopy, &message, length, 0);
	if (n > 0) {
		zerocopy->stats.copied_sends++;
		zerocopy_probe_copied(&zerocopy->probe, (uint64_t)n);
		account_sent(zerocopy, request, (size_t)n);
	}
	return n;
}

ssize_t zerocopy_send_copy(struct zerocopy *zerocopy, struct iovec *piece, size_t pieces)
{
	const struct msghdr message = { .msg_iov = piece, .msg_iovlen = pieces };
	size_t length = 0;
	ssize_t n;

	for (size_t i = 0; i < pieces; i++)
		length += piece[i].iov_len;
	n = send_message(zerocopy, &message, length, 0);
	zerocopy->stats.copied_sends += n > 0;
	return n;
}

static void note_copied(struct zerocopy *zerocopy, uint64_t sends, bool copied)
{
	enum zerocopy_copy_state before = zerocopy->probe.copy_state;

	zerocopy_probe_complete(&zerocopy->probe, sends, copied);
	if (copied)
		zerocopy->stats.completed_copied += sends;
	if (zerocopy->probe.copy_state != before)
		zerocopy->copy_state_changed(zerocopy->argument, before,
					     zerocopy->probe.copy_state);
}

/* Release the blocks of the sends in @range. Return: how many of them were outstanding. */
static uint64_t complete_sends(struct zerocopy *zerocopy, const struct send_range *range,
			       uint64_t now_ns)
{
	struct histogram *latency =
		zerocopy->was_reset ? NULL : &zerocopy->latency->to_acknowledged;
	uint64_t foreign = completions_complete(&zerocopy->completions, range->low, range->high,
						latency, now_ns);
	uint64_t sends = (uint64_t)(range->high - range->low) + 1 - foreign;

	zerocopy->stats.foreign_completions += foreign;
	zerocopy->stats.completed += sends;
	if (sends)
		note_copied(zerocopy, sends, range->copied);
	return sends;
}

uint64_t zerocopy_reap(struct zerocopy *zerocopy)
{
	struct errqueue_batch batch;
	uint64_t sends = 0, now_ns;
	bool more;

	do {
		more = errqueue_read(zerocopy->fd, &batch);
		now_ns = batch.ranges ? clock_monotonic_ns() : 0;
		zerocopy->stats.truncated += batch.truncated;
		/* model: reap */
		for (unsigned int i = 0; i < batch.ranges; i++)
			sends += complete_sends(zerocopy, &batch.range[i], now_ns);
	} while (more);
	/* EPOLLOUT does not follow a send that was short for another reason than a full socket. */
	if (sends && !zerocopy_outstanding(zerocopy))
		zerocopy_unblock(zerocopy);
	return sends;
}

void zerocopy_reset(struct zerocopy *zerocopy)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	zerocopy->was_reset = true;
	/* This fails only if the connection has ended already. */
	(void)connect(zerocopy->fd, &nowhere, sizeof(nowhere));
}

void zerocopy_abandon(struct zerocopy *zerocopy)
{
	zerocopy_reset(zerocopy);
	completions_drop(&zerocopy->completions);
	zerocopy_close(zerocopy);
}

void zerocopy_close(struct zerocopy *zerocopy)
{
	if (zerocopy->probe.copy_state != ZEROCOPY_UNKNOWN)
		zerocopy->copy_state_changed(zerocopy->argument, zerocopy->probe.copy_state,
					     ZEROCOPY_UNKNOWN);
	completions_free(&zerocopy->completions);
	close(zerocopy->fd);
	zerocopy->fd = -1;
}
