// SPDX-License-Identifier: BSD-2-Clause
#include "send/errqueue.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>

/* Control data of one message. */
#define CONTROL_BYTES 128

bool errqueue_parse(struct msghdr *message, struct send_range *range)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		const struct sock_extended_err *error = (const void *)CMSG_DATA(control);

		/* The level depends on the family of the socket, not on that of the peer. */
		if (!(control->cmsg_level == SOL_IP && control->cmsg_type == IP_RECVERR) &&
		    !(control->cmsg_level == SOL_IPV6 && control->cmsg_type == IPV6_RECVERR))
			continue;
		if (control->cmsg_len < CMSG_LEN(sizeof(*error)) ||
		    error->ee_origin != SO_EE_ORIGIN_ZEROCOPY || error->ee_errno)
			continue;
		range->low = error->ee_info;
		range->high = error->ee_data;
		range->copied = error->ee_code & SO_EE_CODE_ZEROCOPY_COPIED;
		return true;
	}
	return false;
}

bool errqueue_read(int fd, struct errqueue_batch *batch)
{
	union {
		char bytes[CONTROL_BYTES];
		struct cmsghdr align;
	} control[ERRQUEUE_BATCH];
	struct mmsghdr messages[ERRQUEUE_BATCH];
	int received;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < ERRQUEUE_BATCH; i++) {
		messages[i].msg_hdr.msg_control = &control[i];
		messages[i].msg_hdr.msg_controllen = sizeof(control[i]);
	}
	batch->ranges = batch->truncated = 0;
	received = recvmmsg(fd, messages, ERRQUEUE_BATCH, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
	for (int i = 0; i < received; i++) {
		struct msghdr *message = &messages[i].msg_hdr;

		batch->truncated += !!(message->msg_flags & MSG_CTRUNC);
		batch->ranges += errqueue_parse(message, &batch->range[batch->ranges]);
	}
	return received == ERRQUEUE_BATCH;
}
