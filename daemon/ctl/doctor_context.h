/* SPDX-License-Identifier: BSD-2-Clause */
/* What the checks of dmacastctl doctor look at, and where they write what they find. */
#ifndef DMACAST_DOCTOR_CONTEXT_H
#define DMACAST_DOCTOR_CONTEXT_H

#include "ctl/finding.h"

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Number of interfaces that are looked at. */
#define MAX_DOCTOR_NICS 64

/* How the packets of an interface reach their receiver. */
enum nic_kind {
	NIC_CARD,     /* by hardware, or by a bridge, VLAN or bond above it */
	NIC_LOOPBACK, /* in this kernel */
	NIC_VETH,     /* through another interface of this kernel */
	NIC_TUN,      /* through a program */
};

struct nic {
	char name[IF_NAMESIZE];
	unsigned int index;
	enum nic_kind kind;
};

struct doctor {
	/* Where the file systems of the kernel are: "/proc" and "/sys", or copies of them. */
	const char *proc, *sys;
	struct findings *findings;
	/* The daemon; pid 0 and NULL without one; pid -1 if it has no number here. */
	pid_t pid;
	const json_t *streams; /* array of "streams", as the daemon answers */
	const json_t *clients; /* array of "clients" */
	/* The interfaces that carry clients. */
	struct nic nic[MAX_DOCTOR_NICS];
	size_t nics;
};

#endif
