// SPDX-License-Identifier: BSD-2-Clause
#include "send/zerocopy.h"

#include "lib/clock.h"
#include "send/errqueue.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below this many bytes pinning pages costs more than copying them (kernel: msg_zerocopy.rst). */
#define WORTH_PINNING 10240

/*
 * The kernel hands packets of many segments to the network card: of as many whole ones as fit into 64 KiB
 * less this (sk_setup_caps(): MAX_TCP_HEADER and the terminating byte), but of one at least.
 */
#define PACKET_MOST 65536U
#define PACKET_HEADERS 321U

/* ZEROCOPY_AUTO: so much, one at a time, until it is known whether it pays. Where the kernel copies
 * after all that is slow, and many clients have to find out. */
#define PROBE_BYTES ((size_t)64 << 10)

/* ZEROCOPY_AUTO: so many "copied" in a row end it, and so many bytes later it is tried again. */
#define COPIED_LIMIT 4
#define COPYING_FIRST (64ULL << 20)
#define COPYING_MOST (4ULL << 30)

#define HOLD_OFF_SENDS 64

/* Bytes of payload in a packet, for now. */
static uint32_t packet_bytes(int fd)
{
	socklen_t length = sizeof(int);
	int segment = 0;

	if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, &length) || segment <= 0)
		return 1;
	if ((uint32_t)segment > PACKET_MOST - PACKET_HEADERS)
		return (uint32_t)segment;
	return (PACKET_MOST - PACKET_HEADERS) / (uint32_t)segment * (uint32_t)segment;
}

void zerocopy_open(struct zerocopy *zerocopy, int fd, enum zerocopy_mode mode,
		   struct latency *latency, struct zerocopy_verdicts *verdicts)
{
	int one = 1;

	memset(zerocopy, 0, sizeof(*zerocopy));
	zerocopy->fd = fd;
	zerocopy->mode = mode;
	zerocopy->latency = latency;
	zerocopy->verdicts = verdicts;
	verdicts->count[ZEROCOPY_UNTOLD]++;
	zerocopy->copying_next = COPYING_FIRST;
	completions_init(&zerocopy->completions);
	if (mode != ZEROCOPY_NEVER && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		zerocopy->mode = ZEROCOPY_NEVER;
	zerocopy->wanted = zerocopy->mode != ZEROCOPY_NEVER;
}

/*
 * Blocks that are next to each other in memory are one piece: the kernel looks up the pages of each piece
 * by itself. Return: how many bytes; @pieces: out: in how many pieces.
 */
static size_t fill_pieces(const struct zerocopy_request *request, struct iovec *piece,
			  size_t *pieces)
{
	const struct block *block = request->first;
	uint64_t left = request->most_bytes;
	unsigned char *end = NULL;
	size_t count = 0;

	for (uint32_t i = 0; i < request->blocks && left; i++, block = block->next) {
		size_t skip = i ? 0 : request->offset;
		size_t length = block->length - skip;

		if (length > left)
			length = left;
		if (block->data + skip != end)
			piece[count++] = (struct iovec){ .iov_base = block->data + skip };
		piece[count - 1].iov_len += length;
		end = block->data + skip + length;
		left -= length;
	}
	*pieces = count;
	return request->most_bytes - left;
}

/* Leave out what is beyond @most bytes. */
static void cut_pieces(struct msghdr *message, size_t most)
{
	size_t pieces = 0;

	while (pieces < message->msg_iovlen && most) {
		struct iovec *piece = &message->msg_iov[pieces++];

		if (piece->iov_len > most)
			piece->iov_len = most;
		most -= piece->iov_len;
	}
	message->msg_iovlen = pieces;
}

/* What the first bytes of a request mean for its blocks. */
struct reach {
	uint32_t blocks; /* so many they reach into */
	uint32_t ended;	 /* of these, to the end */
};

/* The first @bytes were accepted. */
static struct reach take_reach(struct zerocopy *zerocopy, const struct zerocopy_request *request,
			       size_t bytes)
{
	const struct block *block = request->first;
	uint64_t left = (uint64_t)request->offset + bytes, now = 0;
	uint32_t ended = 0;

	for (; ended < request->blocks && left >= block->length; ended++, block = block->next) {
		if (!ended)
			now = clock_monotonic_ns();
		histogram_add(&zerocopy->latency->to_send, block_age(block, now));
		left -= block->length;
	}
	return (struct reach){ .blocks = ended + (left > 0), .ended = ended };
}

/* A short send means that the socket is full; do not call again just to get EAGAIN. */
static ssize_t send_message(struct zerocopy *zerocopy, const struct msghdr *message, size_t length,
			    int flags)
{
	ssize_t n = sendmsg(zerocopy->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL | flags);

	zerocopy->full = n < 0 ? errno == EAGAIN : (size_t)n < length;
	return n;
}

/* How much the socket takes at once: fewer bytes than before count only if there was no room for more. */
static void learn_taken(struct zerocopy *zerocopy, uint64_t bytes)
{
	if (bytes > zerocopy->taken)
		zerocopy->taken = bytes;
	else if (zerocopy->full)
		zerocopy->taken = bytes > zerocopy->taken / 2 ? bytes : zerocopy->taken / 2;
}

/* Send with the flag. The kernel numbers each call that takes bytes. */
static ssize_t send_pinned(struct zerocopy *zerocopy, const struct zerocopy_request *request,
			   const struct msghdr *message, size_t length)
{
	ssize_t n = send_message(zerocopy, message, length, MSG_ZEROCOPY);
	struct reach reach;

	if (n <= 0)
		return n;
	reach = take_reach(zerocopy, request, (size_t)n);
	completions_add(&zerocopy->completions, request->first, reach.blocks, reach.ended);
	zerocopy->stats.zerocopy_sends++;
	learn_taken(zerocopy, (uint64_t)n);
	return n;
}

static bool is_proven(const struct zerocopy *zerocopy)
{
	return zerocopy->verdict == ZEROCOPY_UNCOPIED;
}

/* Is it still to be found out whether zero-copy pays? */
static bool is_probing(const struct zerocopy *zerocopy)
{
	return zerocopy->mode == ZEROCOPY_AUTO && !is_proven(zerocopy);
}

enum zerocopy_way zerocopy_way(const struct zerocopy *zerocopy)
{
	if (zerocopy->mode == ZEROCOPY_NEVER || zerocopy->hold_off ||
	    (zerocopy->mode == ZEROCOPY_AUTO && !zerocopy->wanted && zerocopy->copying_left))
		return ZEROCOPY_WAY_COPIES;
	return is_probing(zerocopy) ? ZEROCOPY_WAY_PROBES : ZEROCOPY_WAY_PINS;
}

static uint64_t whole_packets(struct zerocopy *zerocopy, uint64_t bytes)
{
	/*
	 * Segments are not larger than half of the largest window that the peer has offered so far: of
	 * loopback's 64 KiB one that was just accepted has half. So look more than once, at the 1st,
	 * 2nd, 4th...
	 */
	zerocopy->turns++;
	if (!(zerocopy->turns & (zerocopy->turns - 1)))
		zerocopy->packet = packet_bytes(zerocopy->fd);
	return bytes < zerocopy->packet ? bytes : bytes - bytes % zerocopy->packet;
}

static bool avoids_copies(const struct zerocopy *zerocopy)
{
	return is_proven(zerocopy) && !zerocopy->stats.no_buffer &&
	       zerocopy_way(zerocopy) == ZEROCOPY_WAY_PINS;
}

uint64_t zerocopy_turn(struct zerocopy *zerocopy, uint64_t bytes, uint64_t uncopied_bytes)
{
	uint64_t wanted = 2 * zerocopy->taken;

	if (wanted > uncopied_bytes)
		wanted = uncopied_bytes;
	if (wanted < bytes || !avoids_copies(zerocopy))
		wanted = bytes;
	return whole_packets(zerocopy, wanted);
}

static bool should_pin(struct zerocopy *zerocopy, const struct zerocopy_request *request,
		       size_t length)
{
	if (!request->may_pin || zerocopy->mode == ZEROCOPY_NEVER || length < WORTH_PINNING)
		return false;
	if (zerocopy->hold_off) {
		zerocopy->hold_off--;
		return false;
	}
	if (zerocopy->mode == ZEROCOPY_AUTO && !zerocopy->wanted) {
		if (zerocopy->copying_left)
			return false;
		/* Try again. If nothing has changed, one more "copied" ends it, for longer. */
		zerocopy->wanted = true;
		zerocopy->copied_in_a_row = COPIED_LIMIT - 1;
	}
	if (is_probing(zerocopy) && zerocopy_outstanding(zerocopy))
		return false;
	return completions_reserve(&zerocopy->completions);
}

static void count_copied_bytes(struct zerocopy *zerocopy, uint64_t bytes)
{
	zerocopy->stats.copied_sends++;
	zerocopy->copying_left -= bytes < zerocopy->copying_left ? bytes : zerocopy->copying_left;
}

ssize_t zerocopy_send(struct zerocopy *zerocopy, const struct zerocopy_request *request)
{
	struct iovec piece[ZEROCOPY_PIECES];
	struct msghdr message = { .msg_iov = piece };
	size_t length = fill_pieces(request, piece, &message.msg_iovlen);
	ssize_t n;

	if (should_pin(zerocopy, request, length)) {
		if (is_probing(zerocopy)) {
			length = length < PROBE_BYTES ? length : PROBE_BYTES;
			cut_pieces(&message, length);
		}
		n = send_pinned(zerocopy, request, &message, length);
		if (n >= 0 || errno != ENOBUFS)
			return n;
		/* Unread notifications use up the option memory; reading them may free enough. */
		if (zerocopy_reap(zerocopy) && completions_reserve(&zerocopy->completions)) {
			n = send_pinned(zerocopy, request, &message, length);
			if (n >= 0 || errno != ENOBUFS)
				return n;
		}
		/* No event reports free option memory: these bytes go by copying. */
		zerocopy->stats.no_buffer++;
		zerocopy->hold_off = HOLD_OFF_SENDS;
	}
	n = send_message(zerocopy, &message, length, 0);
	if (n > 0) {
		count_copied_bytes(zerocopy, (uint64_t)n);
		take_reach(zerocopy, request, (size_t)n);
	}
	return n;
}

void zerocopy_set_verdict(struct zerocopy *zerocopy, enum zerocopy_verdict verdict)
{
	zerocopy->verdicts->count[zerocopy->verdict]--;
	zerocopy->verdict = verdict;
	zerocopy->verdicts->count[verdict]++;
}

static void adapt(struct zerocopy *zerocopy, uint64_t sends, bool copied)
{
	zerocopy_set_verdict(zerocopy, copied ? ZEROCOPY_COPIED : ZEROCOPY_UNCOPIED);
	if (!copied) {
		zerocopy->copied_in_a_row = 0;
		zerocopy->copying_next = COPYING_FIRST;
		return;
	}
	zerocopy->stats.completed_copied += sends;
	if (!zerocopy->wanted || zerocopy->mode != ZEROCOPY_AUTO)
		return;
	zerocopy->copied_in_a_row += (uint32_t)sends;
	if (zerocopy->copied_in_a_row < COPIED_LIMIT)
		return;
	zerocopy->wanted = false;
	zerocopy->copying_left = zerocopy->copying_next;
	if (zerocopy->copying_next < COPYING_MOST)
		zerocopy->copying_next *= 2;
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
		adapt(zerocopy, sends, range->copied);
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
		for (unsigned int i = 0; i < batch.ranges; i++)
			sends += complete_sends(zerocopy, &batch.range[i], now_ns);
	} while (more);
	if (sends) {
		zerocopy->hold_off = 0;
		/* A send that was short for another reason than a full socket is not followed by EPOLLOUT. */
		if (!zerocopy_outstanding(zerocopy))
			zerocopy->full = false;
	}
	return sends;
}

void zerocopy_reset(struct zerocopy *zerocopy)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	zerocopy->was_reset = true;
	/* Fails only on a socket that has no connection any more, where it is not needed. */
	(void)connect(zerocopy->fd, &nowhere, sizeof(nowhere));
}

void zerocopy_close(struct zerocopy *zerocopy)
{
	zerocopy->verdicts->count[zerocopy->verdict]--;
	completions_free(&zerocopy->completions);
	close(zerocopy->fd);
	zerocopy->fd = -1;
}
