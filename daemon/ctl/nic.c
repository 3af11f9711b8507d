// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/nic.h"

#include "ctl/nic_features.h"
#include "lib/address.h"

#include <bsd/string.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- which interfaces ---- */

static enum nic_kind nic_kind_of(const char *name)
{
	char driver[NIC_DRIVER];

	nic_driver(name, driver);
	if (!strcmp(name, "lo"))
		return NIC_LOOPBACK;
	if (!strcmp(driver, "veth"))
		return NIC_VETH;
	return strcmp(driver, "tun") ? NIC_CARD : NIC_TUN;
}

const struct nic *nic_find(const struct doctor *doctor, unsigned int index)
{
	for (size_t i = 0; i < doctor->nics; i++) {
		if (doctor->nic[i].index == index)
			return &doctor->nic[i];
	}
	return NULL;
}

bool nic_add(struct doctor *doctor, const char *name)
{
	unsigned int index = if_nametoindex(name);
	struct nic *nic = &doctor->nic[doctor->nics];

	if (!index)
		return false;
	if (nic_find(doctor, index) || doctor->nics == MAX_DOCTOR_NICS)
		return true;
	strlcpy(nic->name, name, sizeof(nic->name));
	nic->index = index;
	nic->kind = nic_kind_of(name);
	doctor->nics++;
	return true;
}

/* Add the interface that has this address. */
static void nic_add_of_address(struct doctor *doctor, const struct ifaddrs *list,
			       const struct sockaddr *address)
{
	struct address_host host = address_host(address), other;

	for (const struct ifaddrs *item = list; item; item = item->ifa_next) {
		if (!item->ifa_addr ||
		    (item->ifa_addr->sa_family != AF_INET && item->ifa_addr->sa_family != AF_INET6))
			continue;
		other = address_host(item->ifa_addr);
		if (!address_host_compare(&host, &other))
			nic_add(doctor, item->ifa_name);
	}
}

/* Add the interface on the way to an address: the kernel chooses a local address for a socket of UDP. */
static void nic_add_towards(struct doctor *doctor, const struct ifaddrs *list,
			    const struct addrinfo *peer)
{
	int fd = socket(peer->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage local;
	socklen_t size = sizeof(local);

	if (fd < 0)
		return;
	if (!connect(fd, peer->ai_addr, peer->ai_addrlen) &&
	    !getsockname(fd, (struct sockaddr *)&local, &size))
		nic_add_of_address(doctor, list, (const struct sockaddr *)&local);
	close(fd);
}

static void nic_add_of_client(struct doctor *doctor, const struct ifaddrs *list, const char *peer)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_DGRAM },
			*found;
	struct address address;
	const char *expected;

	if (!peer || !address_parse(peer, &address, &expected) ||
	    getaddrinfo(address.host, address.port, &hints, &found))
		return;
	nic_add_towards(doctor, list, found);
	freeaddrinfo(found);
}

static void nic_add_up(struct doctor *doctor, const struct ifaddrs *list)
{
	for (const struct ifaddrs *item = list; item; item = item->ifa_next) {
		if ((item->ifa_flags & IFF_UP) && !(item->ifa_flags & IFF_LOOPBACK))
			nic_add(doctor, item->ifa_name);
	}
}

void nic_add_all(struct doctor *doctor)
{
	struct ifaddrs *list = NULL;
	const json_t *client;
	size_t i;

	if (getifaddrs(&list))
		return;
	json_array_foreach(doctor->clients, i, client)
		nic_add_of_client(doctor, list, json_string_value(json_object_get(client, "peer")));
	if (!doctor->nics)
		nic_add_up(doctor, list);
	freeifaddrs(list);
}

bool nic_is_outside(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->nics; i++) {
		if (doctor->nic[i].kind == NIC_CARD)
			return true;
	}
	return false;
}

/* ---- what they can do ---- */

static void nic_check_kind(const struct doctor *doctor, const struct nic *nic)
{
	static const char *const why[] = {
		[NIC_LOOPBACK] =
			"what is sent to this machine is copied; clients on other machines "
			"are not affected",
		[NIC_VETH] = "what another namespace of this machine receives is copied; what a "
			     "bridge passes on to a card is not",
		[NIC_TUN] =
			"a program, such as a VPN or a virtual machine, reads the packets, which "
			"are copied for it",
	};

	if (nic->kind != NIC_CARD)
		findings_add(doctor->findings, FINDING_NOTE, "nic", why[nic->kind], NULL,
			     "%s is %s", nic->name,
			     nic->kind == NIC_LOOPBACK ? "the loopback"
			     : nic->kind == NIC_VETH   ? "one end of a veth pair"
						       : "a tun or tap device");
}

static void nic_report_missing(const struct doctor *doctor, const struct nic *nic,
			       const struct nic_features *features)
{
	char mend[FINDING_MEND];

	snprintf(mend, sizeof(mend), "ethtool -K %s%s%s", nic->name,
		 features->checksum ? "" : " tx on", features->scatter_gather ? "" : " sg on");
	if (!features->can_change)
		strlcpy(mend,
			"use another card or driver; until then zerocopy = never saves the attempt",
			sizeof(mend));
	findings_add(doctor->findings, FINDING_FAILURE, "nic",
		     "the kernel copies each packet before such an interface, so zero-copy costs "
		     "more than copying",
		     mend, "%s is without %s%s%s", nic->name,
		     features->scatter_gather ? "" : "scatter-gather",
		     features->scatter_gather || features->checksum ? "" : " and ",
		     features->checksum ? "" : "TX checksum offload");
}

static void nic_check(const struct doctor *doctor, const struct nic *nic)
{
	struct nic_features features;

	nic_check_kind(doctor, nic);
	if (nic->kind == NIC_LOOPBACK)
		return;
	if (!nic_features(nic->name, &features))
		findings_add(doctor->findings, FINDING_SKIPPED, "nic", NULL, NULL,
			     "%s does not tell its offloads", nic->name);
	else if (features.scatter_gather && features.checksum)
		findings_add(doctor->findings, FINDING_OK, "nic", NULL, NULL,
			     "%s has scatter-gather and TX checksum offload", nic->name);
	else
		nic_report_missing(doctor, nic, &features);
}

void doctor_check_nics(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->nics; i++)
		nic_check(doctor, &doctor->nic[i]);
	if (!doctor->nics)
		findings_add(doctor->findings, FINDING_NOTE, "nic", NULL, NULL,
			     "no interface is up, except the loopback");
}
