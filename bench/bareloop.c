// SPDX-License-Identifier: BSD-2-Clause
/*
 * bareloop - a bare loop of epoll_wait() and send(), as a measure for dmacastd.
 *
 * It does the minimum that has the effect of `dmacastd --pattern max --lag-policy block`, with the
 * same options: the same ring in the same kind of memory, filled with the same pattern, sent in full
 * to --hold clients from one thread. No client loses a byte; a block is filled again when it has been
 * sent to every client. No client joins later, and the run ends when the first one leaves.
 *
 * Its only state is the position of each client and, for each block, the number of clients that still
 * need it:
 *
 *     0 ... tail ............. head        offsets in the stream; head - tail <= ring size
 *            │   ▲       ▲   ▲  │          each client is somewhere between
 *
 * It is meant to be a limit and therefore does what was found to be fastest (figures in README.md):
 *   - edge-triggered epoll: no epoll_ctl() after a socket was added;
 *   - a short send() means that the socket is full: no second call just to get EAGAIN;
 *   - each client gets a small budget (--turn) before the next one, so that the bytes for the last
 *     client are still in the CPU's nearest cache. With few clients the budget is larger, because calls
 *     and wake-ups count more; with zero-copy that does not copy it is still larger, because the cache
 *     does not count;
 *   - the ring is filled in small portions (--fill), so that sending continues meanwhile;
 *   - TCP_NODELAY and TCP_NOTSENT_LOWAT as in the daemon; SO_SNDBUF only by option.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>

#include "config/option_table.h"
#include "daemon_option.h"
#include "lib/address.h"
#include "lib/clock.h"
#include "lib/pattern.h"
#include "lib/settings.h"
#include "lib/units.h"
#include "ring/ring_memory.h"

#define MAX_EVENTS 512

/*
 * Defaults in bytes: --turn for few clients, for many, and for clients that are sent no copies; --fill.
 * A budget is a number of whole packets, of 65160 bytes with Ethernet's segments of 1448, and a little
 * less with those of 65483 on loopback: a last packet that a zero-copy send does not fill costs as much
 * as a full one.
 */
#define FEW_CLIENTS 16
#define BUDGET_FEW_CLIENTS (14U * 65160)
#define BUDGET_MANY_CLIENTS (7U * 65160)
#define BUDGET_UNCOPIED (70U * 65160)
#define FILL_BYTES (2U << 20)

/* Maximum of a client's outstanding zero-copy sends; further sends copy. */
#define MAX_PENDING 1024

struct client {
	int fd;
	bool writable;	   /* the socket has had space since it was last full */
	bool uncopied;	   /* the last completion reported no copy */
	uint64_t sent;	   /* offset of the next byte to send */
	uint64_t released; /* offset up to which its sends no longer need the ring */
	/* End offsets of zero-copy sends, by the number that the kernel gives them. */
	uint64_t *end;
	bool *complete;
	uint32_t oldest, next;
};

static struct server {
	struct stream_settings settings;
	uint64_t ring_size, block_size, hold; /* bytes, bytes, clients */
	bool zerocopy;
	uint64_t budget, uncopied_budget, fill; /* bytes at a time */
	unsigned char *memory;
	uint64_t *needed_by; /* clients that have not released it, for each block */
	uint64_t tail, head;
	uint64_t due_ns; /* with a rate: time to fill the next block, monotonic; 0: at once */
	int listener, epoll;
	struct client *client;
} server = {
	.fill = FILL_BYTES,
};

static uint64_t bare_block_of(uint64_t offset)
{
	return offset % server.ring_size / server.block_size;
}

/* Allocate the same memory as the daemon, with the same code. */
static void bare_open_ring(void)
{
	uint64_t blocks = server.ring_size / server.block_size;
	struct ring *ring = ring_memory_create("bareloop", server.block_size, (uint32_t)blocks,
					       (enum huge_pages)server.settings.huge_pages);

	server.needed_by = calloc(blocks, sizeof(*server.needed_by));
	if (!ring || !server.needed_by)
		errx(1, "no memory for the ring");
	fprintf(stderr, "bareloop: ring of %s\n", ring_memory_text(ring));
	for (uint64_t i = 0; i < blocks; i++) {
		const struct block *block = ring_take(ring);

		server.memory = block->data - block->index * server.block_size;
	}
}

/* Return true if a block may be filled now. Like the daemon, catch up with at most half a ring. */
static bool bare_fill_is_due(void)
{
	uint64_t now, period, most_behind;

	if (server.settings.pattern == UNITS_RATE_MAX)
		return true;
	period = server.block_size * NS_PER_S / server.settings.pattern;
	most_behind = period * (server.ring_size / server.block_size) / 2;
	now = clock_monotonic_ns();
	if (now < server.due_ns)
		return false;
	if (!server.due_ns)
		server.due_ns = now;
	if (now - server.due_ns > most_behind)
		server.due_ns = now - most_behind;
	server.due_ns += period;
	return true;
}

static bool bare_ring_has_space(void)
{
	return server.head - server.tail < server.ring_size;
}

static void bare_fill_ring(void)
{
	uint64_t left = server.fill < server.block_size ? server.block_size : server.fill;

	for (; left >= server.block_size && bare_ring_has_space() && bare_fill_is_due();
	     left -= server.block_size) {
		uint64_t place = server.head % server.ring_size;

		pattern_fill_block((enum pattern_form)server.settings.pattern_form,
				   server.memory + place, server.block_size, server.head, place);
		server.needed_by[bare_block_of(server.head)] = server.hold;
		server.head += server.block_size;
	}
}

/* Note that the client no longer needs anything before @offset. */
static void bare_release(struct client *client, uint64_t offset)
{
	uint64_t done = client->released / server.block_size;

	client->released = offset;
	for (; done < offset / server.block_size; done++)
		server.needed_by[bare_block_of(done * server.block_size)]--;
	while (server.tail != server.head && !server.needed_by[bare_block_of(server.tail)])
		server.tail += server.block_size;
}

/* ---- zero-copy ---- */

static void bare_take_completions(struct client *client, uint32_t low, uint32_t high)
{
	for (uint32_t number = low; number != high + 1; number++)
		client->complete[number % MAX_PENDING] = true;
	while (client->oldest != client->next && client->complete[client->oldest % MAX_PENDING]) {
		client->complete[client->oldest % MAX_PENDING] = false;
		bare_release(client, client->end[client->oldest++ % MAX_PENDING]);
	}
}

static void bare_read_error_queue(struct client *client)
{
	union {
		char bytes[128];
		struct cmsghdr align;
	} control;

	while (client->oldest != client->next) {
		struct msghdr message = { .msg_control = &control,
					  .msg_controllen = sizeof(control) };
		const struct sock_extended_err *error;
		struct cmsghdr *header;

		if (recvmsg(client->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		header = CMSG_FIRSTHDR(&message);
		if (!header || header->cmsg_level != SOL_IP || header->cmsg_type != IP_RECVERR)
			errx(1, "unexpected message in the error queue: not a notification");
		error = (const void *)CMSG_DATA(header);
		if (error->ee_origin != SO_EE_ORIGIN_ZEROCOPY || error->ee_errno)
			errx(1, "unexpected message in the error queue: not a completion");
		client->uncopied = !(error->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
		bare_take_completions(client, error->ee_info, error->ee_data);
	}
}

/* Account for bytes that were copied: only the sends before them can delay their release. */
static void bare_add_copied(struct client *client)
{
	if (client->oldest == client->next)
		bare_release(client, client->sent);
	else
		client->end[(client->next - 1) % MAX_PENDING] = client->sent;
}

static void bare_add_pinned(struct client *client)
{
	client->end[client->next++ % MAX_PENDING] = client->sent;
}

/* ---- sending ---- */

static bool bare_may_pin(const struct client *client)
{
	return server.zerocopy && client->next - client->oldest < MAX_PENDING;
}

static ssize_t bare_send_pinned(struct client *client, const void *data, size_t length)
{
	return send(client->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
}

static ssize_t bare_send_copy(struct client *client, const void *data, size_t length)
{
	return send(client->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Send until the socket is full or the budget is used up. Return: true if there is more to do. */
static bool bare_send_to(struct client *client)
{
	uint64_t stop = client->sent + (client->uncopied ? server.uncopied_budget : server.budget);

	if (stop > server.head)
		stop = server.head;
	while (client->writable && client->sent != stop) {
		uint64_t at = client->sent % server.ring_size;
		uint64_t length = stop - client->sent;
		bool pin = bare_may_pin(client);
		ssize_t n;

		if (length > server.ring_size - at)
			length = server.ring_size - at;
		n = pin ? bare_send_pinned(client, server.memory + at, length)
			: bare_send_copy(client, server.memory + at, length);
		if (n < 0 && pin && errno == ENOBUFS) {
			pin = false;
			n = bare_send_copy(client, server.memory + at, length);
		}
		if (n < 0 && errno != EAGAIN)
			exit(0); /* a client left */
		/* A short send leaves the socket full; EPOLLOUT will follow. */
		client->writable = n > 0 && (uint64_t)n == length;
		if (n <= 0)
			break;
		client->sent += (uint64_t)n;
		if (!server.zerocopy)
			bare_release(client, client->sent);
		else if (pin)
			bare_add_pinned(client);
		else
			bare_add_copied(client);
	}
	return client->writable && client->sent != server.head;
}

static void bare_take_event(const struct epoll_event *event)
{
	struct client *client = event->data.ptr;

	if (event->events & (EPOLLRDHUP | EPOLLHUP))
		exit(0); /* a client left */
	if (event->events & EPOLLERR)
		bare_read_error_queue(client);
	if (event->events & EPOLLOUT)
		client->writable = true;
}

/* Return the timeout for events; NULL: none. */
static const struct timespec *bare_timeout(bool more)
{
	static const struct timespec at_once;
	static struct timespec until_due;
	uint64_t now, left;

	if (more)
		return &at_once;
	if (!bare_ring_has_space())
		return NULL;
	if (server.settings.pattern == UNITS_RATE_MAX)
		return &at_once;
	now = clock_monotonic_ns();
	left = server.due_ns > now ? server.due_ns - now : 0;
	until_due.tv_sec = (time_t)(left / NS_PER_S);
	until_due.tv_nsec = (long)(left % NS_PER_S);
	return &until_due;
}

static void bare_run(void)
{
	struct epoll_event events[MAX_EVENTS];

	for (;;) {
		bool more = false;
		int n;

		bare_fill_ring();
		for (uint64_t i = 0; i < server.hold; i++)
			more |= bare_send_to(&server.client[i]);
		n = epoll_pwait2(server.epoll, events, MAX_EVENTS, bare_timeout(more), NULL);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_pwait2");
		for (int i = 0; i < n; i++)
			bare_take_event(&events[i]);
	}
}

/* ---- start ---- */

static void bare_open_listener(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	struct address wanted;
	const char *expected;
	int one = 1;

	if (!address_parse(text, &wanted, &expected))
		errx(2, "--listen %s: expected %s", text, expected);
	if (inet_pton(AF_INET, wanted.host, &address.sin_addr) != 1)
		errx(2, "--listen %s: expected an IPv4 address", text);
	address.sin_port = htons((in_port_t)strtoul(wanted.port, NULL, 10));
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server.listener < 0)
		err(1, "socket");
	setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server.listener, (struct sockaddr *)&address, length) ||
	    listen(server.listener, SOMAXCONN) ||
	    getsockname(server.listener, (struct sockaddr *)&address, &length))
		err(1, "listen on %s", text);
	fprintf(stderr, "bareloop: listening on %s:%u\n", wanted.host, ntohs(address.sin_port));
}

static void bare_set_socket_option(int fd, int level, int option, uint64_t value, const char *name)
{
	int number = (int)value;

	if (setsockopt(fd, level, option, &number, sizeof(number)))
		err(1, "%s", name);
}

static void bare_accept_client(struct client *client)
{
	struct epoll_event event = { .events = EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = client };

	client->fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client->fd < 0)
		err(1, "accept");
	bare_set_socket_option(client->fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	bare_set_socket_option(client->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
			       (uint64_t)client_settings_notsent_lowat(&server.settings.client,
								       server.settings.ring_size),
			       "TCP_NOTSENT_LOWAT");
	if (server.settings.client.send_buffer != SETTING_AUTO)
		bare_set_socket_option(client->fd, SOL_SOCKET, SO_SNDBUF,
				       server.settings.client.send_buffer, "SO_SNDBUF");
	if (server.zerocopy) {
		bare_set_socket_option(client->fd, SOL_SOCKET, SO_ZEROCOPY, 1, "SO_ZEROCOPY");
		client->end = calloc(MAX_PENDING, sizeof(*client->end));
		client->complete = calloc(MAX_PENDING, sizeof(*client->complete));
		if (!client->end || !client->complete)
			err(1, "client");
	}
	client->writable = true;
	if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, client->fd, &event))
		err(1, "epoll_ctl");
}

static void bare_accept_all(void)
{
	server.client = calloc(server.hold, sizeof(*server.client));
	if (!server.client)
		err(1, "%" PRIu64 " clients", server.hold);
	for (uint64_t i = 0; i < server.hold; i++)
		bare_accept_client(&server.client[i]);
}

/* Options of dmacastd that have the same meaning here. */
static const char *const daemon_options[] = {
	"hold",	      "block-size",    "ring-size",    "pattern",
	"huge-pages", "notsent-lowat", "pattern-form", "send-buffer",
};

#define DAEMON_OPTIONS (sizeof(daemon_options) / sizeof(daemon_options[0]))

static void bare_print_usage(FILE *file)
{
	fprintf(file, "Usage: bareloop --listen ADDRESS:PORT [--copy | --zerocopy]\n"
		      "                [--turn SIZE] [--fill SIZE] and these options of dmacastd:");
	for (size_t i = 0; i < DAEMON_OPTIONS; i++)
		fprintf(file, " --%s", daemon_options[i]);
	fputc('\n', file);
}

static uint64_t bare_size_argument(const char *option)
{
	uint64_t size;

	if (!units_parse_size(optarg, &size) || !size || size > INT32_MAX)
		errx(2, "--%s %s: expected a size such as 256K", option, optarg);
	return size;
}

static void bare_set_defaults(void)
{
	option_set_defaults(OPTION_STREAM, &server.settings);
	daemon_option_set(&server.settings, "hold", "1");
	daemon_option_set(&server.settings, "pattern", "max");
}

static void bare_take_settings(void)
{
	server.block_size = server.settings.block_size;
	server.ring_size = server.settings.ring_size;
	server.hold = server.settings.hold;
	if (!server.hold)
		errx(2, "--hold 0: expected at least one client");
	if (server.block_size % (uint64_t)sysconf(_SC_PAGESIZE) ||
	    server.ring_size % server.block_size)
		errx(2, "expected blocks of whole pages and a ring of whole blocks");
	server.uncopied_budget = server.budget ? server.budget : BUDGET_UNCOPIED;
	if (!server.budget)
		server.budget =
			server.hold < FEW_CLIENTS ? BUDGET_FEW_CLIENTS : BUDGET_MANY_CLIENTS;
}

static const char *bare_parse_arguments(int argc, char **argv)
{
	struct option options[DAEMON_OPTIONS + 7] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "copy", no_argument, NULL, 'c' },
		{ "zerocopy", no_argument, NULL, 'z' },
		{ "turn", required_argument, NULL, 'T' },
		{ "fill", required_argument, NULL, 'F' },
		{ "help", no_argument, NULL, 'h' },
	};
	const char *listen_on = NULL;
	int option, index;

	for (size_t i = 0; i < DAEMON_OPTIONS; i++)
		options[6 + i] = (struct option){ daemon_options[i], required_argument, NULL, 'd' };
	bare_set_defaults();
	while ((option = getopt_long(argc, argv, "h", options, &index)) != -1) {
		switch (option) {
		case 'l':
			listen_on = optarg;
			break;
		case 'c':
		case 'z':
			server.zerocopy = option == 'z';
			break;
		case 'd':
			daemon_option_set(&server.settings, options[index].name, optarg);
			break;
		case 'T':
			server.budget = bare_size_argument("turn");
			break;
		case 'F':
			server.fill = bare_size_argument("fill");
			break;
		case 'h':
			bare_print_usage(stdout);
			exit(0);
		default:
			bare_print_usage(stderr);
			exit(2);
		}
	}
	if (!listen_on || optind < argc) {
		bare_print_usage(stderr);
		exit(2);
	}
	bare_take_settings();
	return listen_on;
}

int main(int argc, char **argv)
{
	const char *listen_on = bare_parse_arguments(argc, argv);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server.epoll < 0)
		err(1, "epoll_create1");
	bare_open_ring();
	bare_open_listener(listen_on);
	bare_accept_all();
	bare_run();
}
