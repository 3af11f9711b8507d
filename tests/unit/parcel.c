// SPDX-License-Identifier: BSD-2-Clause
/* A text and descriptors in the queue of a socket: whole, and in each way in which it cannot be used. */
#include "lib/parcel.h"

#include "tap.h"
#include "twoprocesses.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MANY 3000

/* The value of a macro as a text. */
#define STRINGIFY(macro) STRINGIFY_ARGUMENT(macro)
#define STRINGIFY_ARGUMENT(text) #text

static const char text[] = "{\"a\":1}";

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool set_limit(rlim_t most)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_NOFILE, &limit) &&
	       (limit.rlim_cur = most, !setrlimit(RLIMIT_NOFILE, &limit));
}

/* The ends of a connection on loopback. */
static void connect_pair(int end[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length))
		abort();
	end[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(end[0], (struct sockaddr *)&address, length))
		abort();
	end[1] = accept(listener, NULL, NULL);
	close(listener);
}

/* Return the errno of reading from a connection; 0: its end. */
static int read_error(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 ? errno : 0;
}

static unsigned int open_descriptors(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 20000; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static bool pack(struct parcel *parcel, const int *fds, size_t count)
{
	char wrong[PARCEL_WRONG_TEXT] = "";

	return check(parcel_pack(parcel, text, sizeof(text) - 1, fds, count, wrong), "%s", wrong);
}

/* Unpack after the sender is gone; expect a failure with this in its text. */
static size_t unpack_wrong(int receiver, const char *expected)
{
	struct parcel_content content;
	char wrong[PARCEL_WRONG_TEXT] = "";

	check(!parcel_unpack(receiver, &content, wrong), "usable");
	check(strstr(wrong, expected) != NULL, "%s; expected %s", wrong, expected);
	check(!content.data && !content.descriptors && !content.count, "it left something");
	return content.reset;
}

/* ---- what can be used ---- */

static void test_whole(size_t count)
{
	unsigned int before = open_descriptors();
	struct parcel_content content;
	char wrong[PARCEL_WRONG_TEXT] = "";
	struct parcel parcel;
	int *fds = calloc(count + 1, sizeof(*fds));

	for (size_t i = 0; i < count; i++) {
		fds[i] = memfd_create("test", 0);
		check(pwrite(fds[i], &i, sizeof(i), 0) == sizeof(i), "%s", strerror(errno));
	}
	pack(&parcel, fds, count);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	close(parcel.sender);
	check(parcel_unpack(parcel.receiver, &content, wrong), "%s", wrong);
	check(content.length == sizeof(text) - 1 && !strcmp(content.data, text), "another text");
	check(*content.version, "no version");
	check(content.count == count, "%zu descriptors", content.count);
	for (size_t i = 0; i < content.count; i++) {
		size_t number = 0;

		check(pread(content.descriptors[i], &number, sizeof(number), 0) ==
				      (ssize_t)sizeof(number) &&
			      number == i,
		      "descriptor %zu is %zu", i, number);
		check(fcntl(content.descriptors[i], F_GETFD) == FD_CLOEXEC, "no close-on-exec");
	}
	check(parcel_discard(content.descriptors, content.count) == 0, "connections");
	parcel_free_content(&content);
	check(open_descriptors() == before, "%u descriptors, before %u", open_descriptors(),
	      before);
	free(fds);
	point("%zu descriptors arrive in order, with the data", count);
}

static void test_kept(void)
{
	struct parcel parcel;
	int copy;

	pack(&parcel, NULL, 0);
	check(!parcel_is_kept(&parcel), "kept by nobody");
	parcel_revoke(&parcel);
	pack(&parcel, NULL, 0);
	copy = dup(parcel.receiver);
	check(parcel_is_kept(&parcel), "not kept");
	parcel_revoke(&parcel);
	unpack_wrong(copy, "revoked");
	point("whether another process keeps it is known");
}

static bool resets_on_close(int fd)
{
	struct linger linger = { 0 };
	socklen_t length = sizeof(linger);

	return !getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) && linger.l_onoff &&
	       !linger.l_linger;
}

/* A client has the reset for all of its time: if the successor is killed, a peer must not see the end of the stream. */
static void test_abort(void)
{
	const struct linger reset = { .l_onoff = 1 };
	struct parcel_content content;
	char wrong[PARCEL_WRONG_TEXT] = "";
	struct parcel parcel;
	int first[2], second[2], fds[3];

	connect_pair(first);
	connect_pair(second);
	setsockopt(first[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	fds[0] = first[0];
	fds[1] = memfd_create("test", 0);
	fds[2] = second[0];
	pack(&parcel, fds, 3);
	close(parcel.sender);
	check(parcel_unpack(parcel.receiver, &content, wrong), "%s", wrong);
	check(parcel_abort_on_close(&content) == 2, "connections");
	check(resets_on_close(first[0]) && resets_on_close(second[0]), "one would end in order");
	parcel_close_as_before(&content);
	check(resets_on_close(first[0]), "a client would end in order if the daemon is killed");
	check(!resets_on_close(second[0]), "one would be reset");
	parcel_discard(content.descriptors, content.count);
	parcel_free_content(&content);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(first[1]);
	close(second[1]);
	point("what closes a connection is as before when all is restored");
}

/* ---- what cannot ---- */

static void test_revoked(void)
{
	unsigned int before = open_descriptors();
	struct parcel parcel;
	int end[2], copy;

	connect_pair(end);
	pack(&parcel, end, 1);
	copy = dup(parcel.receiver);
	parcel_revoke(&parcel);
	check(unpack_wrong(copy, "revoked") == 0, "it had a connection still");
	check(send(end[0], "x", 1, 0) == 1 && recv(end[1], (char[1]){ 0 }, 1, 0) == 1,
	      "the connection of the sender is broken");
	close(end[0]);
	check(read_error(end[1]) == 0, "something keeps it open");
	close(end[1]);
	check(open_descriptors() == before, "descriptors are left");
	point("a revoked one cannot be used, and keeps nothing open");
}

/* A successor may come when only the message that revokes it is missing from an old one's queue. */
static void test_revoked_late(void)
{
	struct parcel parcel;
	int end[2], copy;

	connect_pair(end);
	pack(&parcel, end, 1);
	copy = dup(parcel.receiver);
	check(parcel_is_kept(&parcel), "not kept");
	parcel_revoke(&parcel);
	check(unpack_wrong(copy, "revoked") == 1, "no connection was reset");
	check(read_error(end[1]) == ECONNRESET, "not reset");
	close(end[0]);
	close(end[1]);
	point("one that is revoked after the fact resets its connections, whoever has them, too");
}

/* Take messages from the front and put the rest into another socket: @skip of them, and at most @most. */
static int parcel_part(int receiver, unsigned int skip, unsigned int most)
{
	char bytes[256], control[4096];
	int ends[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		abort();
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned int i = 0; i < skip + most; i++) {
		struct iovec piece = { bytes, sizeof(bytes) };
		struct msghdr message = { .msg_iov = &piece,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };
		ssize_t length = recvmsg(receiver, &message, MSG_DONTWAIT);

		if (length <= 0)
			break;
		piece.iov_len = (size_t)length;
		if (i >= skip && sendmsg(ends[0], &message, 0) != length)
			abort();
		for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
		     header = CMSG_NXTHDR(&message, header)) {
			for (size_t at = CMSG_LEN(0); at < header->cmsg_len; at += sizeof(int))
				close(*(int *)(void *)((char *)header + at));
		}
	}
	close(ends[0]);
	close(receiver);
	return ends[1];
}

static void test_incomplete(void)
{
	/* BEGIN has none of them. */
	static const size_t expected[] = { 0, 0, 253, 0 };
	struct parcel parcel;
	int end[2], fds[300];
	size_t reset;

	connect_pair(end);
	for (size_t i = 0; i < 300; i++)
		fds[i] = end[0];
	for (unsigned int most = 0; most < 4; most++) {
		pack(&parcel, fds, 300);
		close(parcel.sender);
		reset = unpack_wrong(parcel_part(parcel.receiver, 0, most),
				     "part of it is missing");
		/* All are the same connection, and all are counted before it is reset. */
		check(reset == expected[most], "%zu connections with %u messages", reset, most);
	}
	check(read_error(end[1]) == ECONNRESET, "not reset");
	pack(&parcel, fds, 300);
	close(parcel.sender);
	unpack_wrong(parcel_part(parcel.receiver, 1, 100), "damaged");
	pack(&parcel, fds, 300);
	close(parcel.sender);
	unpack_wrong(parcel_part(parcel.receiver, 3, 100), "damaged");
	close(end[0]);
	close(end[1]);
	point("one without its beginning, middle or end cannot be used; its connections are reset");
}

/* Return the receiving end of a socket with these bytes and a descriptor in it. */
static int socket_with(const void *bytes, size_t length, int fd)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		abort();
	two_send_descriptor(ends[0], bytes, length, fd);
	close(ends[0]);
	return ends[1];
}

static void test_garbage(void)
{
	static const struct {
		char magic[8];
		uint32_t format, kind;
		uint64_t count;
	} foreign = { "dmacastP", PARCEL_FORMAT + 1, 1, 0 },
	  begin = { "dmacastP", PARCEL_FORMAT, 1, 0 };
	unsigned int before = open_descriptors();
	int end[2], other;

	connect_pair(end);
	check(unpack_wrong(socket_with("hello", 5, end[0]), "not of dmacastd") == 1, "not reset");
	check(read_error(end[1]) == ECONNRESET, "not reset");
	check(unpack_wrong(socket_with(&foreign, sizeof(foreign), end[1]),
			   "expected " STRINGIFY(PARCEL_FORMAT)) == 0,
	      "a connection");
	check(unpack_wrong(socket_with(&begin, sizeof(begin), end[1]), "part of it is missing") ==
		      0,
	      "a connection");
	close(end[0]);
	close(end[1]);
	other = open("/dev/null", O_RDWR);
	unpack_wrong(other, "");
	check(open_descriptors() == before, "%u descriptors, before %u", open_descriptors(),
	      before);
	point("garbage, another format and what is no socket cannot be used");
}

/* Unpack a parcel whose memory file has these bytes and seals. */
static void unpack_wrong_state(const void *bytes, size_t length, int seals, const char *expected)
{
	int file = memfd_create("test", MFD_ALLOW_SEALING), receiver, ends[2];
	struct parcel parcel;
	char begin[64], end[64];
	ssize_t size, end_size;

	check(write(file, bytes, length) == (ssize_t)length, "%s", strerror(errno));
	fcntl(file, F_ADD_SEALS, seals);
	pack(&parcel, NULL, 0);
	size = recv(parcel.receiver, begin, sizeof(begin), 0);
	end_size = recv(parcel.receiver, end, sizeof(end), 0);
	parcel_revoke(&parcel);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
		abort();
	two_send_descriptor(ends[0], begin, (size_t)size, file);
	check(send(ends[0], end, (size_t)end_size, 0) == end_size, "%s", strerror(errno));
	receiver = ends[1];
	close(ends[0]);
	close(file);
	unpack_wrong(receiver, expected);
}

static void test_state(void)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct {
		char magic[8];
		uint32_t format, reserved;
		char version[32];
		uint64_t length;
		char text[8];
	} state = { "dmacastP", PARCEL_FORMAT, 0, "0", 8, "{}     " };

	unpack_wrong_state(&state, sizeof(state), 0, "not a sealed");
	unpack_wrong_state(&state, sizeof(state), F_SEAL_WRITE, "not a sealed");
	unpack_wrong_state(&state, 10, seals, "not a sealed");
	unpack_wrong_state(&state, sizeof(state) - 1, seals, "damaged");
	state.length = UINT64_MAX;
	unpack_wrong_state(&state, sizeof(state), seals, "damaged");
	state.format++;
	unpack_wrong_state(&state, sizeof(state), seals, "expected " STRINGIFY(PARCEL_FORMAT));
	state.magic[0] = 'x';
	unpack_wrong_state(&state, sizeof(state), seals, "not of dmacastd");
	point("a state that is not sealed, short, or of another format or program cannot be used");
}

static void test_descriptor_limit(void)
{
	struct parcel parcel = { -1, -1 };
	char wrong[PARCEL_WRONG_TEXT] = "";
	struct parcel_content content;
	unsigned int before;
	int fds[600], end[2];

	if (tap_under_valgrind()) {
		tap_skip("too few descriptors allowed", "valgrind has a limit of its own");
		return;
	}
	connect_pair(end);
	for (size_t i = 0; i < 600; i++)
		fds[i] = i ? 0 : end[0];
	before = open_descriptors();
	pack(&parcel, fds, 600);
	close(parcel.sender);
	check(set_limit(before + 400), "setrlimit");
	check(!parcel_unpack(parcel.receiver, &content, wrong), "usable");
	check(strstr(wrong, "raise LimitNOFILE") != NULL, "%s", wrong);
	check(content.reset == 1 && read_error(end[1]) == ECONNRESET, "not reset");
	raise_limit();
	close(end[0]);
	close(end[1]);
	check(open_descriptors() == before - 2, "%u descriptors, before %u", open_descriptors(),
	      before);
	point("too few descriptors allowed: not usable, and the error tells the mend");
}

static void test_in_flight(void)
{
	char wrong[PARCEL_WRONG_TEXT] = "";
	struct parcel parcel;
	int fds[600] = { 0 };
	bool packed;

	if (tap_under_valgrind()) {
		tap_skip("the kernel's limit of descriptors in transit",
			 "valgrind has a limit of its own");
		return;
	}
	if (!geteuid() && setresuid(-1, 65534, -1)) {
		tap_skip("the kernel's limit of descriptors in transit", "cannot drop rights");
		return;
	}
	check(set_limit(100), "setrlimit");
	packed = parcel_pack(&parcel, text, sizeof(text) - 1, fds, 600, wrong);
	check(!packed && strstr(wrong, "raise LimitNOFILE"), "%s", wrong);
	check(parcel.sender == -1 && parcel.receiver == -1, "ends are open");
	parcel_revoke(&parcel);
	if (!getuid() && setresuid(-1, 0, -1))
		abort();
	raise_limit();
	point("the kernel's limit of descriptors in transit: an error that tells the mend");
}

int main(void)
{
	raise_limit();
	test_whole(0);
	test_whole(1);
	test_whole(253);
	test_whole(254);
	test_whole(MANY);
	test_kept();
	test_abort();
	test_revoked();
	test_revoked_late();
	test_incomplete();
	test_garbage();
	test_state();
	test_descriptor_limit();
	test_in_flight();
	return tap_end();
}
