// SPDX-License-Identifier: BSD-2-Clause
#include "uring.h"

#include "locked_memory.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Sends that may be outstanding, all sockets together. A power of two. */
#define TICKETS 8192U

/*
 * The queue of what the kernel has to tell never overflows: of each ticket there is one notification,
 * and the result of a send is read before the next one is made.
 */
#define QUEUE (2 * TICKETS)

/* Read from the kernel's queue at once. */
#define BATCH 32U

/* The kernel takes no more in one piece. */
#define BUFFER_MOST ((size_t)1 << 30)

/* Of RLIMIT_MEMLOCK, so that something is left for sends that are not from here. */
#define LOCKED_SHARE 2

/* A send that was made. */
struct ticket {
	void *sender; /* NULL: nobody is to be told */
	uint32_t number;
	uint32_t next; /* free: the next free one */
};

struct uring {
	struct io_uring io;
	struct uring_owner owner;
	unsigned char *memory;
	size_t size;
	bool broken; /* the kernel refused to take a send at all */
	struct ticket ticket[TICKETS];
	uint32_t free; /* the first one; TICKETS: none */
	/* Tickets that the kernel is done with and nobody was told of, in order, modulo TICKETS. */
	uint32_t done[TICKETS];
	uint32_t done_first, done_next;
	/* The result of the send that is being made. */
	bool has_result, will_notify;
	int result;
};

/* By all rings of this process. */
static uint64_t registered_bytes;

/* ---- opening ---- */

static const char *reason_text(int error)
{
	switch (error) {
	case ENOSYS:
	case EINVAL:
		return "it takes Linux 6.0 or later";
	case EPERM:
	case EACCES:
		return "this process may not use it (kernel.io_uring_disabled, SystemCallFilter=)";
	case ENOMEM:
		return "locked memory is limited (RLIMIT_MEMLOCK)";
	default:
		return strerror(error);
	}
}

static bool has_send(struct io_uring *io)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(io);
	bool has = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);

	io_uring_free_probe(probe);
	return has;
}

/* Return: 0 or a negative errno. */
static int register_memory(struct uring *uring)
{
	size_t count = (uring->size + BUFFER_MOST - 1) / BUFFER_MOST;
	struct iovec *buffer = calloc(count, sizeof(*buffer));
	int result;

	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		size_t left = uring->size - i * BUFFER_MOST;

		buffer[i].iov_base = uring->memory + i * BUFFER_MOST;
		buffer[i].iov_len = left < BUFFER_MOST ? left : BUFFER_MOST;
	}
	result = io_uring_register_buffers(&uring->io, buffer, (unsigned int)count);
	free(buffer);
	return result;
}

static bool within_limit(size_t size)
{
	uint64_t limit = locked_memory_limit();

	return limit == UINT64_MAX || registered_bytes + size <= limit / LOCKED_SHARE;
}

/* Return: 0 or a negative errno. */
static int set_up(struct uring *uring)
{
	/* What the kernel has to tell it may tell at the next system call: no need to interrupt. */
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = QUEUE,
	};
	int result = io_uring_queue_init_params(1, &uring->io, &parameters);

	if (result)
		return result;
	result = has_send(&uring->io) ? register_memory(uring) : -EINVAL;
	if (result)
		io_uring_queue_exit(&uring->io);
	return result;
}

struct uring *uring_open(void *memory, size_t size, const struct uring_owner *owner,
			 const char **why)
{
	struct uring *uring;
	int result;

	*why = reason_text(ENOMEM);
	if (!within_limit(size))
		return NULL;
	*why = "no memory";
	uring = calloc(1, sizeof(*uring));
	if (!uring)
		return NULL;
	uring->owner = *owner;
	uring->memory = memory;
	uring->size = size;
	for (uint32_t i = 0; i < TICKETS; i++)
		uring->ticket[i].next = i + 1;
	result = set_up(uring);
	if (result) {
		*why = reason_text(-result);
		free(uring);
		return NULL;
	}
	registered_bytes += size;
	return uring;
}

int uring_fd(const struct uring *uring)
{
	return uring->io.ring_fd;
}

/* ---- tickets ---- */

bool uring_is_ready(const struct uring *uring)
{
	return uring->free != TICKETS && !uring->broken;
}

static uint32_t take_ticket(struct uring *uring, void *sender, uint32_t number)
{
	uint32_t index = uring->free;
	struct ticket *ticket = &uring->ticket[index];

	assert(index != TICKETS);
	uring->free = ticket->next;
	*ticket = (struct ticket){ .sender = sender, .number = number };
	return index;
}

static void free_ticket(struct uring *uring, uint32_t index)
{
	uring->ticket[index].next = uring->free;
	uring->free = index;
}

static void add_done(struct uring *uring, uint32_t index)
{
	uring->done[uring->done_next++ % TICKETS] = index;
}

static bool is_pending(const struct uring *uring)
{
	return uring->done_first != uring->done_next;
}

static void tell_pending(const struct uring *uring)
{
	if (is_pending(uring) && uring->owner.pending)
		uring->owner.pending(uring->owner.argument);
}

/* ---- sending ---- */

static size_t offset_of(const struct uring *uring, const void *data)
{
	return (size_t)((const unsigned char *)data - uring->memory);
}

size_t uring_reach(const struct uring *uring, const void *data, size_t length)
{
	size_t offset = offset_of(uring, data);
	size_t reach = BUFFER_MOST - offset % BUFFER_MOST;

	assert(offset < uring->size && length <= uring->size - offset);
	return length < reach ? length : reach;
}

/* Read all that the kernel has to tell by now. */
static void read_queue(struct uring *uring)
{
	struct io_uring_cqe *batch[BATCH];
	unsigned int count;

	do {
		count = io_uring_peek_batch_cqe(&uring->io, batch, BATCH);
		for (unsigned int i = 0; i < count; i++) {
			const struct io_uring_cqe *told = batch[i];

			if (told->flags & IORING_CQE_F_NOTIF) {
				add_done(uring, (uint32_t)told->user_data);
			} else {
				uring->has_result = true;
				uring->will_notify = told->flags & IORING_CQE_F_MORE;
				uring->result = told->res;
			}
		}
		io_uring_cq_advance(&uring->io, count);
	} while (count == BATCH);
}

/* Return: the result of the kernel, or a negative errno when it did not even take the request. */
static int submit_and_wait(struct uring *uring, struct io_uring_sqe *request)
{
	struct io_uring_cqe *told;
	int taken;

	uring->has_result = uring->will_notify = false;
	do {
		taken = io_uring_submit(&uring->io);
	} while (taken == -EINTR);
	if (taken < 1) {
		/* It will be taken with the next one, if ever. */
		io_uring_prep_nop(request);
		uring->broken = true;
		log_warning("io_uring takes no more sends: %s; they go by MSG_ZEROCOPY",
			    strerror(-taken));
		return taken ? taken : -EAGAIN;
	}
	read_queue(uring);
	/* A send that does not wait has its result now; that is not promised. */
	while (!uring->has_result) {
		io_uring_wait_cqe(&uring->io, &told);
		read_queue(uring);
	}
	return uring->result;
}

ssize_t uring_send(struct uring *uring, int fd, const void *data, size_t length, void *sender,
		   uint32_t number)
{
	bool was_pending = is_pending(uring);
	struct io_uring_sqe *request = io_uring_get_sqe(&uring->io);
	uint32_t ticket = take_ticket(uring, sender, number);
	int result;

	io_uring_prep_send_zc_fixed(request, fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL, 0,
				    (unsigned int)(offset_of(uring, data) / BUFFER_MOST));
	io_uring_sqe_set_data64(request, ticket);
	result = submit_and_wait(uring, request);
	if (result <= 0)
		uring->ticket[ticket].sender = NULL;
	if (!uring->will_notify && result > 0)
		add_done(uring, ticket);
	else if (!uring->will_notify)
		free_ticket(uring, ticket);
	if (!was_pending)
		tell_pending(uring);
	if (result > 0)
		return result;
	errno = result ? -result : EAGAIN;
	return -1;
}

void uring_reap(struct uring *uring,
		void (*complete)(void *argument, void *sender, uint32_t number), void *argument)
{
	uint32_t count;

	read_queue(uring);
	for (count = uring->done_next - uring->done_first; count; count--) {
		uint32_t index = uring->done[uring->done_first++ % TICKETS];
		struct ticket ticket = uring->ticket[index];

		free_ticket(uring, index);
		if (ticket.sender)
			complete(argument, ticket.sender, ticket.number);
	}
	tell_pending(uring);
}

void uring_close(struct uring *uring)
{
	io_uring_queue_exit(&uring->io);
	registered_bytes -= uring->size;
	free(uring);
}
