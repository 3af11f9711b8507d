// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_socket.h"

#include "lib/log.h"
#include "stream/client.h"
#include "stream/client_options.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define KEEPALIVE_PROBES 3

void client_set_option(const struct client *client, int level, int option, int value,
		       const char *name)
{
	if (setsockopt(client->zerocopy.fd, level, option, &value, sizeof(value)))
		log_debug("stream %s: client %s: %s: %s", client->group->stream_name,
			  client->peer_text, name, strerror(errno));
}

void client_set_linger(const struct client *client, bool reset_on_close)
{
	struct linger linger = { .l_onoff = reset_on_close, .l_linger = 0 };

	setsockopt(client->zerocopy.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int at_least_one_second(uint64_t microseconds)
{
	return microseconds < 1000000 ? 1 : (int)(microseconds / 1000000);
}

static void client_set_keepalive(const struct client *client)
{
	uint64_t keepalive = client->group->settings->keepalive;

	if (!keepalive)
		return;
	client_set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, at_least_one_second(keepalive),
			  "TCP_KEEPIDLE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPINTVL,
			  at_least_one_second(keepalive / KEEPALIVE_PROBES), "TCP_KEEPINTVL");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, "TCP_KEEPCNT");
}

void client_probe_half_closed(const struct client *client)
{
	uint64_t keepalive = client->group->settings->keepalive;
	int seconds = keepalive ? at_least_one_second(keepalive) : HALF_CLOSED_PROBE_SECONDS;

	if (seconds > HALF_CLOSED_PROBE_SECONDS)
		seconds = HALF_CLOSED_PROBE_SECONDS;
	client_set_option(client, IPPROTO_TCP, TCP_KEEPIDLE, seconds, "TCP_KEEPIDLE");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPINTVL, seconds, "TCP_KEEPINTVL");
	client_set_option(client, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES, "TCP_KEEPCNT");
	client_set_option(client, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
}

void client_apply_grant(const struct client *client)
{
	client_set_option(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)client->grant.bytes,
			  "TCP_NOTSENT_LOWAT");
}

/* Values that the kernel accepted when the endpoint was opened, but perhaps not now. */
static void client_set_refusable_options(const struct client *client)
{
	char value[CLIENT_OPTION_TEXT];
	const char *refused;

	if (!client_options_set(client->zerocopy.fd, client->group->settings, &refused, value))
		log_debug("stream %s: client %s: %s = %s: %s", client->group->stream_name,
			  client->peer_text, refused, value, strerror(errno));
}

void client_set_socket_options(const struct client *client)
{
	const struct client_settings *settings = client->group->settings;

	client_set_linger(client, true);
	client_set_option(client, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	client_apply_grant(client);
	if (settings->send_buffer != SETTING_AUTO)
		client_set_option(client, SOL_SOCKET, SO_SNDBUF, (int)settings->send_buffer,
				  "SO_SNDBUF");
	if (settings->user_timeout)
		client_set_option(client, IPPROTO_TCP, TCP_USER_TIMEOUT,
				  (int)((settings->user_timeout + 999) / 1000), "TCP_USER_TIMEOUT");
	client_set_keepalive(client);
	client_set_refusable_options(client);
}

/* Return the bytes in one of the queues of the socket. @request: SIOCOUTQ or SIOCINQ */
static unsigned int client_queued(const struct client *client, unsigned long request)
{
	int bytes = 0;

	return ioctl(client->zerocopy.fd, request, &bytes) == 0 && bytes > 0 ? (unsigned int)bytes
									     : 0;
}

uint64_t client_unacknowledged(const struct client *client)
{
	return client_queued(client, SIOCOUTQ);
}

size_t client_unread(const struct client *client)
{
	return client_queued(client, SIOCINQ);
}

int client_poll(const struct client *client, short what)
{
	struct pollfd socket = { .fd = client->zerocopy.fd,
				 .events = POLLIN | POLLRDHUP | POLLOUT };

	if (!(what & EV_READ))
		return POLLOUT;
	if (poll(&socket, 1, 0) < 0)
		return POLLIN | POLLERR | POLLOUT;
	return socket.revents;
}
