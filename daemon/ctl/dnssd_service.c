// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/dnssd_service.h"

#include "lib/address.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>

/* Number of endpoints of a stream, and of ports of a section, that are looked at. */
#define MAX_DNSSD_PORTS 64

struct dnssd_port {
	unsigned int port;
	enum dnssd_protocol protocol;
};

/* The ports of one section. */
struct dnssd_ports {
	struct dnssd_port item[MAX_DNSSD_PORTS];
	size_t count;
};

static const char *dnssd_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* ---- ports ---- */

static bool dnssd_is_loopback(const char *host)
{
	return !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

static bool dnssd_is_ipv4(const char *host)
{
	struct in_addr ignored;

	return inet_pton(AF_INET, host, &ignored) == 1;
}

/* The socket of the address :: takes both versions, see listen_on_address(). */
static enum dnssd_protocol dnssd_protocol_of(const char *host)
{
	if (!*host || !strcmp(host, "::"))
		return DNSSD_ANY;
	return dnssd_is_ipv4(host) ? DNSSD_IPV4 : DNSSD_IPV6;
}

/* Add a port. One that is there already, at another address, is reached by both versions if these differ. */
static void dnssd_ports_add(struct dnssd_ports *ports, unsigned int port,
			    enum dnssd_protocol protocol)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->item[i].port != port)
			continue;
		if (ports->item[i].protocol != protocol)
			ports->item[i].protocol = DNSSD_ANY;
		return;
	}
	if (ports->count < MAX_DNSSD_PORTS)
		ports->item[ports->count++] =
			(struct dnssd_port){ .port = port, .protocol = protocol };
}

static void dnssd_ports_add_address(struct dnssd_ports *ports, const char *text, FILE *log)
{
	struct address address;
	const char *expected;

	if (!address_parse(text, &address, &expected))
		return;
	if (dnssd_is_loopback(address.host))
		fprintf(log, "dmacastctl: %s is left out: only this machine can connect to it\n",
			text);
	else
		dnssd_ports_add(ports, (unsigned int)atoi(address.port),
				dnssd_protocol_of(address.host));
}

static void dnssd_ports_add_endpoint(struct dnssd_ports *ports, const json_t *endpoint, FILE *log)
{
	const json_t *address;
	size_t i;

	json_array_foreach(json_object_get(endpoint, "addresses"), i, address)
		dnssd_ports_add_address(ports, json_string_value(address), log);
}

/*
 * Find the ports of a section. Endpoints have no section in the answer; they are in the order of the sections, so equal
 * texts are taken in turn.
 * @used: by an endpoint's index, whether it belongs to a section before this one
 */
static void dnssd_find_ports(const json_t *stream, const json_t *section,
			     bool used[MAX_DNSSD_PORTS], struct dnssd_ports *ports, FILE *log)
{
	const json_t *listen, *endpoint;
	size_t i, j;

	json_array_foreach(json_object_get(section, "listen"), i, listen)
	{
		json_array_foreach(json_object_get(stream, "endpoints"), j, endpoint)
		{
			if (j >= MAX_DNSSD_PORTS || used[j] ||
			    strcmp(dnssd_text(endpoint, "listen"), json_string_value(listen)))
				continue;
			used[j] = true;
			dnssd_ports_add_endpoint(ports, endpoint, log);
			break;
		}
	}
}

/* ---- the record ---- */

static void dnssd_add(struct dnssd_service *service, const char *key, const char *value, FILE *log)
{
	const char *reason = dnssd_txt_add(&service->txt, key, value);

	if (reason)
		fprintf(log, "dmacastctl: stream %s: %s is left out: %s\n", service->stream, key,
			reason);
}

static void dnssd_add_number(struct dnssd_service *service, const char *key, const json_t *number,
			     FILE *log)
{
	char text[32];

	if (!json_integer_value(number))
		return;
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
	dnssd_add(service, key, text, log);
}

/* Own keys come first: of equal keys, readers take the first one. */
static void dnssd_fill_txt(struct dnssd_service *service, const json_t *stream, FILE *log)
{
	const char *key;
	json_t *value, *meta = json_object_get(stream, "metadata");

	dnssd_add(service, "txtvers", "1", log);
	dnssd_add(service, "stream", service->stream, log);
	dnssd_add(service, "format", service->format, log);
	if (service->section)
		dnssd_add(service, "section", service->section, log);
	if (!strcmp(service->format, "http"))
		dnssd_add(service, "path", "/", log);
	dnssd_add_number(service, "block", json_object_get(stream, "block_size"), log);
	dnssd_add_number(service, "record", json_object_get(stream, "record_size"), log);
	json_object_foreach(meta, key, value)
		dnssd_add(service, key, json_string_value(value), log);
}

/* ---- services ---- */

size_t dnssd_each_service(const json_t *stream,
			  void (*each)(void *argument, const struct dnssd_service *service),
			  void *argument, FILE *log)
{
	bool used[MAX_DNSSD_PORTS] = { false };
	const json_t *section;
	size_t i, count = 0;

	json_array_foreach(json_object_get(stream, "sections"), i, section)
	{
		struct dnssd_service service = {
			.stream = dnssd_text(stream, "name"),
			.section = json_string_value(json_object_get(section, "section")),
			.format = dnssd_text(section, "format"),
		};
		struct dnssd_ports ports = { .count = 0 };

		service.type = strcmp(service.format, "http") ? "_dmacast._tcp" : "_http._tcp";
		dnssd_find_ports(stream, section, used, &ports, log);
		service.is_only = ports.count == 1;
		if (ports.count)
			dnssd_fill_txt(&service, stream, log);
		for (size_t p = 0; p < ports.count; p++, count++) {
			service.port = ports.item[p].port;
			service.protocol = ports.item[p].protocol;
			each(argument, &service);
		}
		dnssd_txt_clear(&service.txt);
	}
	return count;
}

const char *dnssd_instance_name(const struct dnssd_service *service, char separator,
				char name[DNSSD_NAME])
{
	const char between[2] = { separator, '\0' };
	char port[16];

	strlcpy(name, service->stream, DNSSD_NAME);
	if (service->section) {
		strlcat(name, between, DNSSD_NAME);
		strlcat(name, service->section, DNSSD_NAME);
	}
	if (!service->is_only) {
		snprintf(port, sizeof(port), "%s%u", between, service->port);
		strlcat(name, port, DNSSD_NAME);
	}
	return name;
}
