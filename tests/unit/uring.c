// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sends from registered memory, over loopback: what arrives, and that of each send that took something
 * it is told once that it is complete, of no other, and not before.
 */
#include "uring.h"

#include "clock.h"
#include "limits.h"
#include "locked_memory.h"

#include "locklimit.h"
#include "loopback.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MEMORY_SIZE (4U << 20)
#define PIECE 65536U
#define SMALL_BUFFER (128 << 10)
#define GIB (1ULL << 30)
#define PATIENCE_NS 20000000000ULL
#define MOST_CONNECTIONS 1000U
#define MOST_SENDS 16384U /* of one sender, so many back, are known apart */

static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };

struct sender {
	int fd, peer;
	uint64_t sent, received; /* bytes */
	uint32_t made, complete; /* sends */
	bool outstanding[MOST_SENDS];
};

static unsigned char *memory;
static struct uring *uring;
static unsigned int pending_calls;
/* A sender that sends again from within uring_reap(), so often. */
static unsigned int again;

static void pending(void *argument)
{
	check(argument == &pending_calls, "another argument");
	pending_calls++;
}

static const struct uring_owner owner = { .argument = &pending_calls, .pending = pending };

static ssize_t send_pattern(struct sender *sender, size_t length)
{
	uint64_t offset = sender->sent % MEMORY_SIZE;
	ssize_t n;

	if (length > MEMORY_SIZE - offset)
		length = MEMORY_SIZE - offset;
	n = uring_send(uring, sender->fd, memory + offset, length, sender, sender->made);
	if (n > 0) {
		check((size_t)n <= length, "%zd of %zu bytes", n, length);
		sender->sent += (uint64_t)n;
		sender->outstanding[sender->made++ % MOST_SENDS] = true;
	}
	return n;
}

static void complete(void *argument, void *of, uint32_t number)
{
	struct sender *sender = of;

	check(argument == memory, "another argument");
	/* In any order. */
	check(number < sender->made && sender->outstanding[number % MOST_SENDS],
	      "number %u, %u made, %u complete", number, sender->made, sender->complete);
	sender->outstanding[number % MOST_SENDS] = false;
	sender->complete++;
	if (again && again--)
		check(send_pattern(sender, 4096) > 0 || errno == EAGAIN, "%s", strerror(errno));
}

static void sender_open(struct sender *sender, int receive_buffer)
{
	memset(sender, 0, sizeof(*sender));
	if (!connect_pair(&ipv4, receive_buffer, &sender->fd, &sender->peer))
		errx(1, "no connection");
}

static bool wait_for_more(uint64_t give_up)
{
	struct pollfd notification = { .fd = uring_fd(uring), .events = POLLIN };

	return poll(&notification, 1, 100) >= 0 &&
	       check(clock_monotonic_ns() < give_up, "it does not end");
}

/* The memory has the same pattern again and again; what was received is compared with that. */
static void receive(struct sender *sender)
{
	static unsigned char buffer[PIECE];
	ssize_t n;

	while ((n = recv(sender->peer, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		uint64_t offset = sender->received % MEMORY_SIZE;
		size_t first = (size_t)n < MEMORY_SIZE - offset ? (size_t)n : MEMORY_SIZE - offset;

		check(!memcmp(buffer, memory + offset, first) &&
			      !memcmp(buffer + first, memory, (size_t)n - first),
		      "wrong bytes at %" PRIu64, sender->received);
		sender->received += (uint64_t)n;
	}
}

static void settle(struct sender *sender)
{
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	while ((sender->received < sender->sent || sender->complete < sender->made) &&
	       wait_for_more(give_up)) {
		receive(sender);
		uring_reap(uring, complete, memory);
	}
	check(sender->received == sender->sent, "received %" PRIu64 " of %" PRIu64,
	      sender->received, sender->sent);
	check(sender->complete == sender->made, "%u of %u complete", sender->complete,
	      sender->made);
}

static void sender_close(struct sender *sender)
{
	close(sender->fd);
	close(sender->peer);
}

static void test_stream(void)
{
	struct sender sender;

	sender_open(&sender, SMALL_BUFFER);
	while (sender.sent < 16 * MEMORY_SIZE && !tap.failed) {
		while (send_pattern(&sender, 3 * PIECE) > 0)
			;
		check(errno == EAGAIN, "%s", strerror(errno));
		receive(&sender);
		uring_reap(uring, complete, memory);
	}
	settle(&sender);
	point("all arrives, and each send is told of once");

	again = 3;
	send_pattern(&sender, 4096);
	settle(&sender);
	check(!again && sender.complete == sender.made, "%u times not, %u of %u complete", again,
	      sender.complete, sender.made);
	point("who is told may send");

	/* More than there are to tell of; each is complete as soon as it is sent, or soon. */
	again = 100000;
	for (int i = 0; i < 100; i++)
		send_pattern(&sender, 4096);
	for (int i = 0; i < 50 && !tap.failed; i++) {
		uint32_t complete_before = sender.complete, made_before = sender.made;

		receive(&sender);
		uring_reap(uring, complete, memory);
		check(sender.complete - complete_before <= made_before - complete_before,
		      "%u told, of %u", sender.complete - complete_before,
		      made_before - complete_before);
	}
	check(again > 1000, "no more than %u are left", again);
	again = 0;
	settle(&sender);
	sender_close(&sender);
	point("but does not keep the caller for ever");
}

static void test_not_before(void)
{
	struct sender sender;
	uint32_t complete_before;

	sender_open(&sender, SMALL_BUFFER);
	while (send_pattern(&sender, PIECE) > 0)
		;
	uring_reap(uring, complete, memory);
	usleep(50000);
	uring_reap(uring, complete, memory);
	/* The last one cannot be on its way: the peer's window is closed, and some are behind it. */
	check(sender.complete < sender.made, "all %u are complete", sender.made);
	complete_before = sender.complete;
	usleep(50000);
	uring_reap(uring, complete, memory);
	check(sender.complete == complete_before, "%u more", sender.complete - complete_before);
	settle(&sender);
	point("a send is not complete while the kernel has its bytes");

	while (send_pattern(&sender, PIECE) > 0)
		;
	check(connect(sender.fd, &(struct sockaddr){ .sa_family = AF_UNSPEC },
		      sizeof(struct sockaddr)) == 0,
	      "%s", strerror(errno));
	close(sender.peer);
	sender.peer = -1;
	sender.received = sender.sent; /* as far as it ever will be */
	settle(&sender);
	sender_close(&sender);
	point("after a reset all are complete");
}

static void test_errors(void)
{
	int unix_pair[2], tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sender sender;
	ssize_t n;

	if (tcp < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unix_pair))
		err(1, "socket");
	/* More often than there can be sends: they leave nothing behind. */
	for (int i = 0; i < 10000 && !tap.failed; i++) {
		n = uring_send(uring, tcp, memory, PIECE, NULL, 0);
		check(n == -1 && (errno == EPIPE || errno == ENOTCONN), "not connected: %zd, %s", n,
		      strerror(errno));
		n = uring_send(uring, unix_pair[0], memory, PIECE, NULL, 0);
		check(n == -1 && errno == EOPNOTSUPP, "Unix socket: %zd, %s", n, strerror(errno));
		n = uring_send(uring, 9999, memory, PIECE, NULL, 0);
		check(n == -1 && errno == EBADF, "no descriptor: %zd, %s", n, strerror(errno));
		uring_reap(uring, complete, memory);
		if (!check(uring_is_ready(uring), "no more sends after %d", i))
			break;
	}
	close(tcp);
	close(unix_pair[0]);
	close(unix_pair[1]);
	point("errors are told at once, and not again");

	sender_open(&sender, SMALL_BUFFER);
	check(send_pattern(&sender, PIECE) > 0, "%s", strerror(errno));
	settle(&sender);
	close(sender.peer);
	sender.peer = -1;
	for (int tries = 0; tries < 100 && (n = send_pattern(&sender, 4096)) > 0; tries++)
		usleep(1000);
	check(n == -1 && (errno == EPIPE || errno == ECONNRESET), "%zd, %s", n, strerror(errno));
	sender.received = sender.sent;
	settle(&sender);
	sender_close(&sender);
	point("a connection that is over is an error, and what was sent before is told of");
}

/* Peers that do not read: there is an end of what may be outstanding, and it is well before the memory's. */
static void test_no_more(void)
{
	static struct sender sender[MOST_CONNECTIONS];
	uint32_t connections = 0, made = 0;
	uint64_t give_up = clock_monotonic_ns() + PATIENCE_NS;

	limits_raise();
	while (uring_is_ready(uring) && connections < MOST_CONNECTIONS) {
		struct sender *one = &sender[connections++];

		sender_open(one, 4096);
		while (uring_is_ready(uring) && send_pattern(one, 4096) > 0)
			made++;
		uring_reap(uring, complete, memory);
	}
	check(!uring_is_ready(uring), "%u sends of %u connections, and there is no end", made,
	      connections);
	for (uint32_t done = 0; done < connections && wait_for_more(give_up);) {
		done = 0;
		for (uint32_t i = 0; i < connections; i++) {
			receive(&sender[i]);
			done += sender[i].received == sender[i].sent &&
				sender[i].complete == sender[i].made;
		}
		uring_reap(uring, complete, memory);
	}
	check(uring_is_ready(uring), "no room though all are complete");
	for (uint32_t i = 0; i < connections; i++) {
		settle(&sender[i]);
		sender_close(&sender[i]);
	}
	point("when all places are taken there is none, and later there are again");
}

/* In a burst many are told of while others are made; none is to be lost. */
static void test_pending(void)
{
	struct sender sender;

	sender_open(&sender, SMALL_BUFFER);
	uring_reap(uring, complete, memory);
	pending_calls = 0;
	for (int i = 0; i < 100 && !tap.failed; i++) {
		check(send_pattern(&sender, 4096) > 0, "%s", strerror(errno));
		receive(&sender);
	}
	/* Loopback's are complete when the next one is made. Of these no event tells. */
	if (pending_calls)
		check(pending_calls == 1, "told %u times", pending_calls);
	uring_reap(uring, complete, memory);
	settle(&sender);
	sender_close(&sender);
	point("that there are some to be told of is told once");
}

static const char *why;

static void test_limit(void)
{
	struct uring *other, *third;

	allow_locking(false, MEMORY_SIZE);
	other = uring_open(memory, MEMORY_SIZE, &owner, &why);
	check(!other && strstr(why, "RLIMIT_MEMLOCK"), "%s", why);
	allow_locking(true, 0);
	point("more than half of what may be locked is refused");

	/* `uring` has as much already. */
	allow_locking(false, 6 * MEMORY_SIZE);
	other = uring_open(memory, MEMORY_SIZE, &owner, &why);
	check(other || locked_memory_limit() < 6 * MEMORY_SIZE, "%s", why);
	third = uring_open(memory, 2 * MEMORY_SIZE, &owner, &why);
	check(!third && strstr(why, "RLIMIT_MEMLOCK"), "%s", why);
	if (other)
		uring_close(other);
	allow_locking(true, 0);
	point("all rings together count");
}

/* The kernel takes 1 GiB in one piece. The same little memory is mapped there many times. */
static void test_large(void)
{
	const size_t size = GIB + MEMORY_SIZE;
	const char *title = "memory of more than 1 GiB";
	int fd = memfd_create("test", MFD_CLOEXEC);
	unsigned char *large = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uring *usual = uring;
	struct sender sender;
	ssize_t n;

	if (locked_memory_limit() / 2 < size + MEMORY_SIZE) {
		tap_skip(title, "it is more than may be locked here");
		return;
	}
	if (fd < 0 || ftruncate(fd, MEMORY_SIZE) || large == MAP_FAILED)
		err(1, "memory");
	for (size_t at = 0; at < size; at += MEMORY_SIZE) {
		if (mmap(large + at, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0) == MAP_FAILED)
			err(1, "mmap");
	}
	memcpy(large, memory, MEMORY_SIZE);
	uring = uring_open(large, size, &owner, &why);
	if (!uring)
		errx(1, "%s: %s", title, why);
	check(uring_reach(uring, large, size) == GIB, "%zu bytes from the start",
	      uring_reach(uring, large, size));
	check(uring_reach(uring, large + GIB - 4096, PIECE) == 4096, "%zu bytes before the end",
	      uring_reach(uring, large + GIB - 4096, PIECE));
	check(uring_reach(uring, large + GIB, PIECE) == PIECE, "%zu bytes behind it",
	      uring_reach(uring, large + GIB, PIECE));
	sender_open(&sender, SMALL_BUFFER);
	/* What comes is what is at the end of the small memory, and then at its start. */
	sender.received = sender.sent = MEMORY_SIZE - 4096;
	for (uint32_t i = 0; i < 2; i++) {
		n = uring_send(uring, sender.fd, large + GIB - 4096 + 4096 * i, 4096, &sender, i);
		check(n == 4096, "%zd", n);
		sender.outstanding[i] = true;
		sender.made++;
	}
	sender.sent += 8192;
	settle(&sender);
	sender_close(&sender);
	uring_close(uring);
	uring = usual;
	munmap(large, size);
	close(fd);
	point("%s", title);
}

int main(void)
{
	memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "memory");
	pattern_fill(memory, MEMORY_SIZE, 0);
	uring = uring_open(memory, MEMORY_SIZE, &owner, &why);
	if (!uring) {
		tap_skip("sends by io_uring", why);
		return tap_end();
	}
	check(!pending_calls, "something is pending before the first send");
	test_stream();
	test_not_before();
	test_errors();
	test_pending();
	test_no_more();
	test_limit();
	test_large();
	uring_close(uring);
	return tap_end();
}
