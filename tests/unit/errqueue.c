// SPDX-License-Identifier: BSD-2-Clause
/*
 * Error queue messages made by hand, in all forms that the kernel could use; and the queue of real
 * connections over loopback.
 */
#include "send/errqueue.h"

#include "loopback.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include <linux/errqueue.h>

#define SMALL_SEND 1000
#define PATIENCE_MS 5000

static const struct family families[] = {
	{ "IPv4", AF_INET, AF_INET },
	{ "IPv6", AF_INET6, AF_INET6 },
	{ "IPv4 on an IPv6 socket", AF_INET6, AF_INET },
};

/* One control message; a length of 0 stands for that of a whole sock_extended_err. */
struct sample_control {
	int level, type;
	size_t length;
	struct sock_extended_err error;
};

struct sample_message {
	struct msghdr header;
	_Alignas(struct cmsghdr) char control[256];
};

static void add_control(struct sample_message *message, const struct sample_control *sample)
{
	size_t length = sample->length ? sample->length : sizeof(sample->error);
	size_t used = message->header.msg_controllen;
	struct cmsghdr *control = (struct cmsghdr *)(void *)(message->control + used);

	control->cmsg_level = sample->level;
	control->cmsg_type = sample->type;
	control->cmsg_len = CMSG_LEN(length);
	memcpy(CMSG_DATA(control), &sample->error, length);
	message->header.msg_controllen = used + CMSG_SPACE(length);
}

static void message_init(struct sample_message *message)
{
	memset(message, 0, sizeof(*message));
	message->header.msg_control = message->control;
}

#define ZEROCOPY_ERROR(low, high, code)                                                  \
	{                                                                                \
		.ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_info = (low), .ee_data = (high), \
		.ee_code = (code)                                                        \
	}

/* Messages with one control message each, and the ranges that they report. */
static const struct sample {
	const char *title;
	struct sample_control control;
	bool is_range;
	struct send_range range;
} samples[] = {
	{ "IPv4", { SOL_IP, IP_RECVERR, 0, ZEROCOPY_ERROR(3, 7, 0) }, true, { 3, 7, false } },
	{ "IPv6", { SOL_IPV6, IPV6_RECVERR, 0, ZEROCOPY_ERROR(3, 3, 0) }, true, { 3, 3, false } },
	{ "copied after all",
	  { SOL_IP, IP_RECVERR, 0, ZEROCOPY_ERROR(0, 1, SO_EE_CODE_ZEROCOPY_COPIED) },
	  true,
	  { 0, 1, true } },
	{ "across the wrap of numbers",
	  { SOL_IP, IP_RECVERR, 0, ZEROCOPY_ERROR(UINT32_MAX, 2, 0) },
	  true,
	  { UINT32_MAX, 2, false } },
	{ "another origin",
	  { SOL_IP, IP_RECVERR, 0, { .ee_origin = SO_EE_ORIGIN_TIMESTAMPING } },
	  false,
	  { 0 } },
	{ "an error",
	  { SOL_IP, IP_RECVERR, 0, { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_errno = ENOMSG } },
	  false,
	  { 0 } },
	{ "another level", { SOL_SOCKET, IP_RECVERR, 0, ZEROCOPY_ERROR(3, 7, 0) }, false, { 0 } },
	{ "another type", { SOL_IP, IP_TTL, 0, ZEROCOPY_ERROR(3, 7, 0) }, false, { 0 } },
	{ "cut short", { SOL_IP, IP_RECVERR, 8, ZEROCOPY_ERROR(3, 7, 0) }, false, { 0 } },
};

static void test_notifications(void)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *sample = &samples[i];
		struct sample_message message;
		struct send_range range = { 0 };
		bool is_range;

		message_init(&message);
		add_control(&message, &sample->control);
		is_range = errqueue_parse(&message.header, &range);
		check(is_range == sample->is_range, "is a range: %d", is_range);
		check(range.low == sample->range.low && range.high == sample->range.high,
		      "[%u, %u], expected [%u, %u]", range.low, range.high, sample->range.low,
		      sample->range.high);
		check(range.copied == sample->range.copied, "copied: %d", range.copied);
		point("a message: %s", sample->title);
	}
}

static void test_several_controls(void)
{
	const struct sample_control ttl = { .level = SOL_IP,
					    .type = IP_TTL,
					    .length = sizeof(int) };
	struct sample_message message;
	struct send_range range;

	message_init(&message);
	check(!errqueue_parse(&message.header, &range), "a range in an empty message");
	add_control(&message, &ttl);
	add_control(&message, &samples[0].control);
	check(errqueue_parse(&message.header, &range), "no range");
	check(range.low == 3 && range.high == 7, "[%u, %u]", range.low, range.high);
	point("a notification behind other control data");
}

/* Every zero-copy send completes; loopback copies, and each range says it. */
static void test_read_queue(const struct family *family)
{
	static char data[SMALL_SEND];
	const uint32_t sends = 3;
	const int one = 1;
	struct errqueue_batch batch;
	struct pollfd error = { 0 };
	uint32_t next = 0;
	int sender, peer;

	if (!connect_pair(family, 0, &sender, &peer)) {
		tap_skip(family->name, "not available here");
		return;
	}
	if (setsockopt(sender, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		err(1, "SO_ZEROCOPY");
	check(!errqueue_read(sender, &batch), "more in an empty queue");
	check(!batch.ranges && !batch.truncated, "%u ranges, %u truncated", batch.ranges,
	      batch.truncated);
	for (uint32_t i = 0; i < sends; i++)
		check(send(sender, data, sizeof(data), MSG_ZEROCOPY) == sizeof(data), "not sent");
	error.fd = sender;
	while (next < sends && check(poll(&error, 1, PATIENCE_MS) == 1, "no notification")) {
		check(!errqueue_read(sender, &batch), "more than %d", ERRQUEUE_BATCH);
		check(!batch.truncated, "%u truncated", batch.truncated);
		for (unsigned int i = 0; i < batch.ranges; i++) {
			check(batch.range[i].low == next, "low %u, expected %u", batch.range[i].low,
			      next);
			check(batch.range[i].high >= batch.range[i].low, "high %u",
			      batch.range[i].high);
			check(batch.range[i].copied, "not copied");
			next = batch.range[i].high + 1;
		}
	}
	check(next == sends, "%u sends are complete", next);
	check(!poll(&error, 1, 0), "the queue is not empty");
	close(sender);
	close(peer);
	point("%s: sends complete in ranges", family->name);
}

int main(void)
{
	test_notifications();
	test_several_controls();
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		test_read_queue(&families[i]);
	return tap_end();
}
