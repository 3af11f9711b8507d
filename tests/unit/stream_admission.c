// SPDX-License-Identifier: BSD-2-Clause
/* Limits on clients: which connections are refused, and how that is counted, logged and seen by peers. */
#include "lib/clock.h"
#include "lib/log.h"
#include "stream/stream_admission.h"

#include "capture.h"
#include "loopback.h"
#include "tap.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define MAX_CLIENTS 8U

static const struct family ipv4 = { "IPv4", AF_INET, AF_INET };
static char stream_name_text[] = "test";

/* A stream's part in admission: its clients, of which only the addresses matter here. */
struct crowd {
	struct stream_settings settings;
	struct client_group group;
	struct stream_stats stats;
	struct stream_admission admission;
	struct client client[MAX_CLIENTS];
	struct stream_crowd all;
	struct capture log;
	const char *logged; /* by the last crowd_check() */
};

static void crowd_begin(struct crowd *crowd, uint64_t max_clients, uint64_t max_per_address)
{
	memset(crowd, 0, sizeof(*crowd));
	crowd->settings.client.max_clients = max_clients;
	crowd->settings.client.max_clients_per_address = max_per_address;
	stream_crowd_init(&crowd->all);
	crowd->group = (struct client_group){ .stream_name = stream_name_text,
					      .settings = &crowd->settings.client };
	stream_admission_init(&crowd->admission, &crowd->group, &crowd->stats, &crowd->stats.own);
}

static struct sockaddr_storage address_of(const char *text, in_port_t port)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
	} else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
	} else {
		errx(1, "%s: no address", text);
	}
	return address;
}

static void crowd_join(struct crowd *crowd, const char *text)
{
	struct client *client = &crowd->client[crowd->all.count];
	const struct sockaddr *peer = (const struct sockaddr *)&client->peer;

	client->peer = address_of(text, (in_port_t)(1000 + crowd->all.count));
	stream_crowd_join(&crowd->all, client, stream_crowd_reserve(&crowd->all, peer));
}

static void crowd_end(struct crowd *crowd)
{
	while (crowd->all.count)
		stream_crowd_leave(&crowd->all, TAILQ_FIRST(&crowd->all.clients));
}

/* Check a connection that seems to come from @text. @peer: out: its other end */
static bool crowd_check_peer(struct crowd *crowd, const char *text, int *peer)
{
	struct sockaddr_storage address = address_of(text, 999);
	bool admitted;
	int fd;

	if (!connect_pair(&ipv4, 0, &fd, peer))
		errx(1, "no connection");
	capture_begin(&crowd->log, STDERR_FILENO);
	admitted = stream_admission_check(&crowd->admission, fd, (struct sockaddr *)&address,
					  &crowd->all);
	crowd->logged = capture_end(&crowd->log);
	if (admitted)
		check(close(fd) == 0, "admitted, but closed");
	return admitted;
}

static bool crowd_check(struct crowd *crowd, const char *text)
{
	int peer;
	bool admitted = crowd_check_peer(crowd, text, &peer);

	close(peer);
	return admitted;
}

static void test_max_clients(void)
{
	struct crowd crowd;
	char byte;
	int peer;

	crowd_begin(&crowd, 2, 0);
	crowd_join(&crowd, "192.0.2.1");
	check(crowd_check(&crowd, "192.0.2.1"), "refused below the limit");
	check(!crowd.stats.refused && !*crowd.logged, "%" PRIu64 " refused, logged: %s",
	      crowd.stats.refused, crowd.logged);
	point("below max-clients a client is admitted, and nothing is logged");

	crowd_join(&crowd, "192.0.2.1");
	check(!crowd_check_peer(&crowd, "192.0.2.3", &peer), "admitted");
	check(recv(peer, &byte, 1, 0) < 0 && errno == ECONNRESET, "no reset: %s", strerror(errno));
	close(peer);
	check(crowd.stats.refused == 1, "%" PRIu64 " refused", crowd.stats.refused);
	check(strstr(crowd.logged, "stream test: client 192.0.2.3:999 refused: max-clients is "
				   "reached"),
	      "logged: %s", crowd.logged);
	point("at max-clients it is reset, counted and logged");

	crowd.settings.client.max_clients = 3;
	check(crowd_check(&crowd, "192.0.2.3"), "refused");
	crowd_end(&crowd);
	point("a changed limit is effective at once");
}

static void test_per_address(void)
{
	struct crowd crowd;

	crowd_begin(&crowd, MAX_CLIENTS, 2);
	crowd_join(&crowd, "192.0.2.1");
	crowd_join(&crowd, "192.0.2.2");
	check(crowd_check(&crowd, "192.0.2.1"), "the second one is refused");
	crowd_join(&crowd, "192.0.2.1");
	check(!crowd_check(&crowd, "192.0.2.1"), "the third one is admitted");
	check(crowd.stats.refused == 1, "%" PRIu64 " refused", crowd.stats.refused);
	check(strstr(crowd.logged, "refused: max-clients-per-address is reached"), "logged: %s",
	      crowd.logged);
	check(crowd_check(&crowd, "192.0.2.2") && crowd_check(&crowd, "2001:db8::1"),
	      "another address is refused");
	point("max-clients-per-address counts the clients of one address, whatever their ports");

	check(!crowd_check(&crowd, "::ffff:192.0.2.1"), "the mapped address is admitted");
	point("an IPv4 address is the same one when mapped into IPv6");

	crowd.settings.client.max_clients_per_address = 0;
	check(crowd_check(&crowd, "192.0.2.1"), "refused");
	crowd_end(&crowd);
	point("without max-clients-per-address only max-clients counts");
}

static void test_access(void)
{
	struct access_rule rule = { .allow = false };
	const char *expected;
	struct crowd crowd;
	char byte;
	int peer;

	crowd_begin(&crowd, 0, 0);
	access_parse("192.0.2.0/24", &rule, &expected);
	access_list_add(&crowd.settings.client.access, &rule);
	check(!crowd_check_peer(&crowd, "::ffff:192.0.2.9", &peer), "admitted");
	check(recv(peer, &byte, 1, 0) < 0 && errno == ECONNRESET, "no reset: %s", strerror(errno));
	close(peer);
	check(crowd.stats.refused_for[REFUSE_DENIED] == 1 && crowd.stats.own.refused == 1,
	      "not counted");
	check(strstr(crowd.logged, "refused: its address is denied"), "logged: %s", crowd.logged);
	check(!crowd_check(&crowd, "192.0.3.9") && crowd.stats.refused_for[REFUSE_MAX_CLIENTS] == 1,
	      "another one is not asked for the limits");
	access_list_clear(&crowd.settings.client.access);
	point("a denied peer is reset, counted and logged, whatever the limits");
}

static void test_connect_rate(void)
{
	struct rate_limit limit = { 0 };
	uint64_t now_ns = 5000000000;
	unsigned int admitted = 0;
	struct crowd crowd;

	for (unsigned int i = 0; i < 10 && rate_limit_allows(&limit, 4, now_ns); i++, admitted++)
		rate_limit_count(&limit, 4, now_ns);
	check(admitted == 4, "%u at once", admitted);
	check(!rate_limit_allows(&limit, 4, now_ns + 249999999) &&
		      rate_limit_allows(&limit, 4, now_ns + 250000000),
	      "another interval");
	check(rate_limit_allows(&limit, 0, now_ns), "a limit of 0 is none");
	check(rate_limit_allows(&limit, 400, now_ns + 10000000), "a higher limit has to wait");
	point("a rate lets the events of one second come at once, and then one for each part");

	crowd_begin(&crowd, MAX_CLIENTS, 0);
	crowd.settings.client.connect_rate = 1;
	check(crowd_check(&crowd, "192.0.2.1"), "refused");
	check(!crowd_check(&crowd, "192.0.2.1"), "the second one is admitted");
	check(crowd.stats.refused_for[REFUSE_CONNECT_RATE] == 1, "not counted");
	check(strstr(crowd.logged, "refused: connect-rate is reached"), "logged: %s", crowd.logged);
	crowd.settings.client.connect_rate = 0;
	check(crowd_check(&crowd, "192.0.2.1"), "refused without a limit");
	point("clients beyond connect-rate are refused");
}

static void test_log_limit(void)
{
	struct crowd crowd;
	unsigned int logged = 0;

	crowd_begin(&crowd, 0, 0);
	for (unsigned int i = 0; i < 2 * LOG_LIMIT_BURST; i++) {
		check(!crowd_check(&crowd, "192.0.2.1"), "admitted");
		logged += *crowd.logged != '\0';
	}
	check(logged == LOG_LIMIT_BURST, "%u refusals were logged", logged);
	check(crowd.stats.refused == 2 * LOG_LIMIT_BURST, "%" PRIu64 " refused",
	      crowd.stats.refused);
	point("all refusals are counted, and a burst of them is logged");

	/* As if the interval was over. */
	crowd.admission.refuse_log.interval_start_ns = clock_monotonic_ns() - LOG_LIMIT_INTERVAL_NS;
	check(!crowd_check(&crowd, "192.0.2.1"), "admitted");
	check(strstr(crowd.logged, "(10 more suppressed)"), "logged: %s", crowd.logged);
	point("later the log says how many were suppressed");
}

int main(void)
{
	log_init("test");
	test_max_clients();
	test_per_address();
	test_access();
	test_connect_rate();
	test_log_limit();
	return tap_end();
}
