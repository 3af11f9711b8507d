// SPDX-License-Identifier: BSD-2-Clause
#include "stream/client_options.h"

#include "lib/units.h"

#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Options of one socket while they are set. */
struct attempt {
	int fd;
	int error; /* of the first option that was refused; 0: none */
	const char **refused;
	char *value; /* CLIENT_OPTION_TEXT bytes */
};

static void attempt_failed(struct attempt *attempt, const char *option, const char *value)
{
	if (attempt->error)
		return;
	attempt->error = errno;
	*attempt->refused = option;
	strlcpy(attempt->value, value, CLIENT_OPTION_TEXT);
}

static void set_text(struct attempt *attempt, int level, int number, const char *option,
		     const char *text)
{
	if (text && setsockopt(attempt->fd, level, number, text, (socklen_t)strlen(text)))
		attempt_failed(attempt, option, text);
}

/* The two low bits are left to the kernel: it uses them for ECN. An IPv6 socket may have an IPv4 peer. */
static void set_dscp(struct attempt *attempt, uint64_t dscp)
{
	int field = (int)(dscp << 2), family = AF_INET;
	socklen_t length = sizeof(family);
	char text[UNITS_TEXT];
	bool failed;

	if (!dscp)
		return;
	getsockopt(attempt->fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
	failed = setsockopt(attempt->fd, IPPROTO_IP, IP_TOS, &field, sizeof(field));
	if (family == AF_INET6)
		failed |= setsockopt(attempt->fd, IPPROTO_IPV6, IPV6_TCLASS, &field, sizeof(field));
	snprintf(text, sizeof(text), "%" PRIu64, dscp);
	if (failed)
		attempt_failed(attempt, "dscp", text);
}

/* The kernel has a long for it; older ones, and 32-bit ones, take 32 bits. */
static void set_max_rate(struct attempt *attempt, uint64_t rate)
{
	unsigned long wide = rate < (unsigned long)-1 ? (unsigned long)rate : (unsigned long)-1;
	unsigned int narrow = rate < UINT32_MAX ? (unsigned int)rate : UINT32_MAX;
	char text[UNITS_TEXT];

	if (rate == UNITS_RATE_MAX ||
	    !setsockopt(attempt->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &wide, sizeof(wide)) ||
	    !setsockopt(attempt->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &narrow, sizeof(narrow)))
		return;
	attempt_failed(attempt, "max-rate", units_format_rate(rate, text));
}

static bool attempt_succeeded(const struct attempt *attempt)
{
	errno = attempt->error;
	return !attempt->error;
}

bool client_options_set(int fd, const struct client_settings *settings, const char **refused,
			char value[CLIENT_OPTION_TEXT])
{
	struct attempt attempt = { .fd = fd, .refused = refused, .value = value };

	*refused = NULL;
	set_text(&attempt, IPPROTO_TCP, TCP_CONGESTION, "congestion", settings->congestion);
	set_dscp(&attempt, settings->dscp);
	/* Not 0, which comes from settings that were never read. */
	set_max_rate(&attempt, settings->max_rate ? settings->max_rate : UNITS_RATE_MAX);
	return attempt_succeeded(&attempt);
}

bool client_options_check(int fd, const struct client_settings *settings, const char **refused,
			  char value[CLIENT_OPTION_TEXT])
{
	struct attempt attempt = { .fd = fd, .refused = refused, .value = value };

	if (!client_options_set(fd, settings, refused, value))
		return false;
	set_text(&attempt, SOL_SOCKET, SO_BINDTODEVICE, "interface", settings->interface);
	return attempt_succeeded(&attempt);
}
