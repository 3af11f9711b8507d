// SPDX-License-Identifier: BSD-2-Clause
#include "lib/parcel.h"

#include "lib/clock.h"
#include "lib/interrupted.h"
#include "lib/refuse.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef DMACAST_VERSION
#define DMACAST_VERSION "unknown"
#endif

/* Descriptors of one message: SCM_MAX_FD of Linux. */
#define MESSAGE_DESCRIPTORS 253U
/* Upper bound for the descriptors of a parcel, which is that of a process in Linux. */
#define MAX_DESCRIPTORS (1U << 20)
/* Upper bound for the data in bytes. */
#define MAX_TEXT ((size_t)1 << 30)

/* Time for the whole parcel, which is there already, and for its end of file. */
#define RECEIVE_NS 5000000000ULL

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char parcel_magic[8] = "dmacastP";

enum parcel_kind { PARCEL_BEGIN = 1, PARCEL_DESCRIPTORS, PARCEL_END, PARCEL_REVOKED };

/* The bytes of each message. */
struct parcel_message {
	char magic[sizeof(parcel_magic)];
	uint32_t format;
	uint32_t kind;
	uint64_t count; /* descriptors of the whole parcel, without the data's */
};

/* The beginning of the memory file. */
struct parcel_header {
	char magic[sizeof(parcel_magic)];
	uint32_t format;
	uint32_t reserved;
	char version[32];
	uint64_t length; /* of the data that follows */
};

/* ---- the data ---- */

static bool parcel_write_all(int fd, const void *bytes, size_t length)
{
	const char *next = bytes;

	while (length) {
		ssize_t n = REPEAT_INTERRUPTED(write(fd, next, length));

		if (n < 0)
			return false;
		next += n;
		length -= (size_t)n;
	}
	return true;
}

/* Return: the memory file; -1 after a failure. */
static int parcel_write_data(const char *data, size_t length, char wrong[PARCEL_WRONG_TEXT])
{
	struct parcel_header header = { .format = PARCEL_FORMAT, .length = length };
	int fd = memfd_create("dmacast-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memcpy(header.magic, parcel_magic, sizeof(header.magic));
	strlcpy(header.version, DMACAST_VERSION, sizeof(header.version));
	if (fd >= 0 && parcel_write_all(fd, &header, sizeof(header)) &&
	    parcel_write_all(fd, data, length) && !fcntl(fd, F_ADD_SEALS, SEALS))
		return fd;
	refuse(wrong, PARCEL_WRONG_TEXT, "cannot write the state to memory: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool parcel_check_header(const struct parcel_header *header, size_t size,
				char wrong[PARCEL_WRONG_TEXT])
{
	if (memcmp(header->magic, parcel_magic, sizeof(parcel_magic)))
		return refuse(wrong, PARCEL_WRONG_TEXT, "it is not of dmacastd");
	if (header->format != PARCEL_FORMAT)
		return refuse(wrong, PARCEL_WRONG_TEXT, "it has format %" PRIu32 "; expected %d",
			      header->format, PARCEL_FORMAT);
	if (header->length != size - sizeof(*header) ||
	    !memchr(header->version, '\0', sizeof(header->version)))
		return refuse(wrong, PARCEL_WRONG_TEXT, "its state is damaged");
	return true;
}

/* Return: the size of the memory file; 0 if it is none, or could still change. */
static size_t parcel_data_size(int fd)
{
	struct stat status;

	if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &status) ||
	    status.st_size < (off_t)sizeof(struct parcel_header) ||
	    status.st_size > (off_t)MAX_TEXT)
		return 0;
	return (size_t)status.st_size;
}

static bool parcel_read_data(int fd, struct parcel_content *content, char wrong[PARCEL_WRONG_TEXT])
{
	size_t size = parcel_data_size(fd);
	struct parcel_header header;
	struct iovec piece[2] = { { &header, sizeof(header) } };

	if (!size)
		return refuse(wrong, PARCEL_WRONG_TEXT, "its state is not a sealed memory file");
	content->length = size - sizeof(header);
	content->data = malloc(content->length + 1);
	if (!content->data)
		return refuse(wrong, PARCEL_WRONG_TEXT, "no memory");
	piece[1] = (struct iovec){ content->data, content->length };
	if (preadv(fd, piece, 2, 0) != (ssize_t)size)
		return refuse(wrong, PARCEL_WRONG_TEXT, "its state cannot be read");
	content->data[content->length] = '\0';
	if (!parcel_check_header(&header, size, wrong))
		return false;
	strlcpy(content->version, header.version, sizeof(content->version));
	return true;
}

/* ---- messages ---- */

union parcel_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_DESCRIPTORS)];
};

static void parcel_attach(struct msghdr *message, union parcel_control *control, const int *fds,
			  size_t count)
{
	memset(control, 0, sizeof(*control));
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	control->header.cmsg_level = SOL_SOCKET;
	control->header.cmsg_type = SCM_RIGHTS;
	control->header.cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(&control->header), fds, sizeof(int) * count);
}

/* Return: false with errno. */
static bool parcel_send_message(int fd, enum parcel_kind kind, uint64_t total, const int *fds,
				size_t count)
{
	struct parcel_message bytes = { .format = PARCEL_FORMAT, .kind = kind, .count = total };
	struct iovec piece = { &bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	union parcel_control control;

	memcpy(bytes.magic, parcel_magic, sizeof(bytes.magic));
	if (count)
		parcel_attach(&message, &control, fds, count);
	return REPEAT_INTERRUPTED(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)) ==
	       (ssize_t)sizeof(bytes);
}

/* Hint at the limit behind errno. */
static bool parcel_fail_to_send(size_t count, char wrong[PARCEL_WRONG_TEXT])
{
	const char *hint = "";

	if (errno == ETOOMANYREFS)
		hint = "; raise LimitNOFILE=, which also limits the descriptors in transit";
	else if (errno == EAGAIN || errno == ENOBUFS)
		hint = "; raise net.core.wmem_max";
	return refuse(wrong, PARCEL_WRONG_TEXT, "cannot pass on %zu descriptors: %s%s", count,
		      strerror(errno), hint);
}

static bool parcel_send_all(int fd, int data, const int *descriptors, size_t count)
{
	size_t next = 0, most;

	if (!parcel_send_message(fd, PARCEL_BEGIN, count, &data, 1))
		return false;
	for (; next < count; next += most) {
		most = count - next < MESSAGE_DESCRIPTORS ? count - next : MESSAGE_DESCRIPTORS;
		if (!parcel_send_message(fd, PARCEL_DESCRIPTORS, count, descriptors + next, most))
			return false;
	}
	return parcel_send_message(fd, PARCEL_END, count, NULL, 0);
}

static bool parcel_open_ends(struct parcel *parcel, char wrong[PARCEL_WRONG_TEXT])
{
	int ends[2], bytes = 1 << 24;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return refuse(wrong, PARCEL_WRONG_TEXT, "no socket to pass descriptors on: %s",
			      strerror(errno));
	/* The kernel limits it to net.core.wmem_max. */
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	parcel->sender = ends[0];
	parcel->receiver = ends[1];
	return true;
}

static void parcel_close(struct parcel *parcel)
{
	close(parcel->sender);
	if (parcel->receiver >= 0)
		close(parcel->receiver);
	*parcel = (struct parcel){ .sender = -1, .receiver = -1 };
}

bool parcel_pack(struct parcel *parcel, const char *data, size_t length, const int *descriptors,
		 size_t count, char wrong[PARCEL_WRONG_TEXT])
{
	int file;
	bool sent;

	*parcel = (struct parcel){ .sender = -1, .receiver = -1 };
	if (length > MAX_TEXT - sizeof(struct parcel_header) || count > MAX_DESCRIPTORS)
		return refuse(wrong, PARCEL_WRONG_TEXT,
			      "%zu bytes and %zu descriptors are too many", length, count);
	file = parcel_write_data(data, length, wrong);
	if (file < 0)
		return false;
	if (!parcel_open_ends(parcel, wrong)) {
		close(file);
		return false;
	}
	sent = parcel_send_all(parcel->sender, file, descriptors, count);
	if (!sent)
		parcel_fail_to_send(count, wrong);
	close(file);
	if (!sent)
		parcel_close(parcel);
	return sent;
}

bool parcel_is_kept(struct parcel *parcel)
{
	struct pollfd poll_sender = { .fd = parcel->sender };

	close(parcel->receiver);
	parcel->receiver = -1;
	return poll(&poll_sender, 1, 0) == 0;
}

/* ---- receiving ---- */

struct parcel_receipt {
	int fd;
	uint64_t until_ns;
	uint64_t expected; /* descriptors */
	bool begun, ended, revoked;
	int data; /* the memory file; -1: none */
	int *descriptors;
	size_t count;
};

/* Wait for the next message or the end of file. */
static bool parcel_wait(const struct parcel_receipt *receipt)
{
	struct pollfd wait = { .fd = receipt->fd, .events = POLLIN };
	uint64_t now = clock_monotonic_ns();
	int ms = now < receipt->until_ns ? (int)((receipt->until_ns - now) / 1000000) + 1 : 0;

	return REPEAT_INTERRUPTED(poll(&wait, 1, ms)) > 0;
}

/* Find the descriptors of a message. Return: their number. */
static size_t parcel_detach(struct msghdr *message, int fds[MESSAGE_DESCRIPTORS])
{
	const struct cmsghdr *header;
	size_t count = 0, more;

	for (header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, (struct cmsghdr *)(uintptr_t)header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		more = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds + count, CMSG_DATA(header), more * sizeof(int));
		count += more;
	}
	return count;
}

/* Take over the descriptors of a message, also of a wrong one: then they are closed with the others. */
static bool parcel_store(struct parcel_receipt *receipt, const int *fds, size_t count)
{
	int *more =
		count ? reallocarray(receipt->descriptors, receipt->count + count, sizeof(*more))
		      : receipt->descriptors;

	if (count && !more) {
		parcel_discard(fds, count);
		return false;
	}
	receipt->descriptors = more;
	for (size_t i = 0; i < count; i++)
		more[receipt->count++] = fds[i];
	return true;
}

/* The memory file is the last descriptor of the first message. */
static bool parcel_begin(struct parcel_receipt *receipt, const struct parcel_message *bytes)
{
	if (receipt->begun || receipt->count != 1 || bytes->count > MAX_DESCRIPTORS)
		return false;
	receipt->begun = true;
	receipt->expected = bytes->count;
	receipt->data = receipt->descriptors[--receipt->count];
	return true;
}

static bool parcel_take_kind(struct parcel_receipt *receipt, const struct parcel_message *bytes)
{
	switch (bytes->kind) {
	case PARCEL_BEGIN:
		return parcel_begin(receipt, bytes);
	case PARCEL_DESCRIPTORS:
		return receipt->begun && !receipt->ended;
	case PARCEL_END:
		receipt->ended = true;
		return receipt->begun && receipt->count == receipt->expected;
	case PARCEL_REVOKED:
		receipt->revoked = true;
		return true;
	default:
		return false;
	}
}

static bool parcel_take_message(struct parcel_receipt *receipt, const struct parcel_message *bytes,
				size_t length, char wrong[PARCEL_WRONG_TEXT])
{
	if (length != sizeof(*bytes) || memcmp(bytes->magic, parcel_magic, sizeof(parcel_magic)))
		return refuse(wrong, PARCEL_WRONG_TEXT, "it is not of dmacastd");
	if (bytes->format != PARCEL_FORMAT)
		return refuse(wrong, PARCEL_WRONG_TEXT, "it has format %" PRIu32 "; expected %d",
			      bytes->format, PARCEL_FORMAT);
	return parcel_take_kind(receipt, bytes) ||
	       refuse(wrong, PARCEL_WRONG_TEXT, "it is damaged");
}

/* Receive one message and its descriptors. Return: its length; 0 at the end of file; -1 with errno. */
static ssize_t parcel_receive_message(int fd, struct parcel_message *bytes,
				      int fds[MESSAGE_DESCRIPTORS], size_t *count, int *flags)
{
	struct iovec piece = { bytes, sizeof(*bytes) };
	union parcel_control control;
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t length = REPEAT_INTERRUPTED(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));

	*count = length < 0 ? 0 : parcel_detach(&message, fds);
	*flags = message.msg_flags;
	return length;
}

/* Return: 1; 0 at the end of file; -1 after a failure. */
static int parcel_receive_next(struct parcel_receipt *receipt, char wrong[PARCEL_WRONG_TEXT])
{
	struct parcel_message bytes;
	int fds[MESSAGE_DESCRIPTORS], flags;
	size_t count;
	ssize_t length;
	bool right;

	if (!parcel_wait(receipt)) {
		refuse(wrong, PARCEL_WRONG_TEXT, "another process has it, too, and does not end");
		return -1;
	}
	length = parcel_receive_message(receipt->fd, &bytes, fds, &count, &flags);
	if (length < 0)
		right = refuse(wrong, PARCEL_WRONG_TEXT, "it cannot be read: %s", strerror(errno));
	else if (!parcel_store(receipt, fds, count))
		right = refuse(wrong, PARCEL_WRONG_TEXT, "no memory");
	else if (flags & (MSG_CTRUNC | MSG_TRUNC))
		right = refuse(
			wrong, PARCEL_WRONG_TEXT,
			"it is cut off after %zu descriptors; raise LimitNOFILE=", receipt->count);
	else
		right = !length || parcel_take_message(receipt, &bytes, (size_t)length, wrong);
	return right ? length > 0 : -1;
}

static bool parcel_receive_all(struct parcel_receipt *receipt, char wrong[PARCEL_WRONG_TEXT])
{
	int more;

	do {
		more = parcel_receive_next(receipt, wrong);
	} while (more > 0);
	if (receipt->revoked)
		return refuse(wrong, PARCEL_WRONG_TEXT,
			      "its sender goes on itself, and has revoked it");
	if (!more && !receipt->ended)
		return refuse(wrong, PARCEL_WRONG_TEXT, "a part of it is missing");
	return !more;
}

/* Reset and close what was not received. Return: the number of connections. */
static size_t parcel_discard_rest(int fd)
{
	struct parcel_message bytes;
	int fds[MESSAGE_DESCRIPTORS], flags;
	size_t connections = 0, count;

	while (parcel_receive_message(fd, &bytes, fds, &count, &flags) > 0)
		connections += parcel_discard(fds, count);
	return connections;
}

static bool parcel_expect_changes(struct parcel_content *content, size_t count,
				  char wrong[PARCEL_WRONG_TEXT])
{
	content->changed = calloc(count + 1, sizeof(*content->changed));
	return content->changed || refuse(wrong, PARCEL_WRONG_TEXT, "no memory");
}

bool parcel_unpack(int receiver, struct parcel_content *content, char wrong[PARCEL_WRONG_TEXT])
{
	struct parcel_receipt receipt = { .fd = receiver,
					  .until_ns = clock_monotonic_ns() + RECEIVE_NS,
					  .data = -1 };
	size_t reset;
	bool usable;

	*content = (struct parcel_content){ 0 };
	usable = parcel_receive_all(&receipt, wrong) &&
		 parcel_read_data(receipt.data, content, wrong) &&
		 parcel_expect_changes(content, receipt.count, wrong);
	if (receipt.data >= 0)
		close(receipt.data);
	content->descriptors = receipt.descriptors;
	content->count = receipt.count;
	if (!usable) {
		reset = parcel_discard(content->descriptors, content->count);
		reset += parcel_discard_rest(receiver);
		parcel_free_content(content);
		content->reset = reset;
	}
	close(receiver);
	return usable;
}

void parcel_free_content(struct parcel_content *content)
{
	free(content->data);
	free(content->descriptors);
	free(content->changed);
	*content = (struct parcel_content){ 0 };
}

/* ---- the end of a parcel ---- */

/* Drop what is queued. The kernel closes descriptors for which there is no buffer. */
static void parcel_empty(int receiver)
{
	struct parcel_message bytes;

	while (REPEAT_INTERRUPTED(recv(receiver, &bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
}

void parcel_revoke(struct parcel *parcel)
{
	if (parcel->sender < 0)
		return;
	/* Empty it first: then there is place for the message, and nothing keeps a connection of this process open. */
	if (parcel->receiver >= 0)
		parcel_empty(parcel->receiver);
	parcel_send_message(parcel->sender, PARCEL_REVOKED, 0, NULL, 0);
	parcel_close(parcel);
}

static bool parcel_is_connection(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(int), address_length = sizeof(address);
	int protocol = 0;

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) &&
	       protocol == IPPROTO_TCP &&
	       !getpeername(fd, (struct sockaddr *)&address, &address_length);
}

/* Choose whether a connection is reset when it is closed. Return: true if that is a change. */
static bool parcel_set_abort(int fd, bool abort)
{
	const struct linger wanted = { .l_onoff = abort };
	struct linger before = { 0 };
	socklen_t length = sizeof(before);

	return !getsockopt(fd, SOL_SOCKET, SO_LINGER, &before, &length) &&
	       (!!before.l_onoff != abort || before.l_linger) &&
	       !setsockopt(fd, SOL_SOCKET, SO_LINGER, &wanted, sizeof(wanted));
}

size_t parcel_abort_on_close(const struct parcel_content *content)
{
	size_t connections = 0;

	for (size_t i = 0; i < content->count; i++) {
		if (!parcel_is_connection(content->descriptors[i]))
			continue;
		content->changed[i] = parcel_set_abort(content->descriptors[i], true);
		connections++;
	}
	return connections;
}

void parcel_close_as_before(const struct parcel_content *content)
{
	for (size_t i = 0; i < content->count; i++) {
		if (content->changed[i] && parcel_is_connection(content->descriptors[i]))
			parcel_set_abort(content->descriptors[i], false);
	}
}

size_t parcel_discard(const int *descriptors, size_t count)
{
	const struct sockaddr unspecified = { .sa_family = AF_UNSPEC };
	size_t connections = 0;

	/* Count all first: two descriptors may have the same connection. */
	for (size_t i = 0; i < count; i++) {
		if (!parcel_is_connection(descriptors[i]))
			continue;
		parcel_set_abort(descriptors[i], true);
		connections++;
	}
	for (size_t i = 0; i < count; i++) {
		/* The reset does not wait for other descriptors of the connection. */
		if (parcel_is_connection(descriptors[i]))
			connect(descriptors[i], &unspecified, sizeof(unspecified));
		if (descriptors[i] >= 0)
			close(descriptors[i]);
	}
	return connections;
}
