/* SPDX-License-Identifier: BSD-2-Clause */
/* What ethtool(8) knows of a network interface. */
#ifndef DMACAST_NIC_FEATURES_H
#define DMACAST_NIC_FEATURES_H

#include <stdbool.h>

/* Enough for the name of a driver. */
#define NIC_DRIVER 32

struct nic_features {
	bool scatter_gather; /* a packet may be in several pieces */
	bool checksum;	 /* the card computes checksums of TCP, for at least one of IPv4 and IPv6 */
	bool can_change; /* what is missing can be switched on */
};

/** nic_driver() - write the name of the driver; empty if it is not known. */
void nic_driver(const char *name, char driver[NIC_DRIVER]);

/** nic_features() - fill in @features. Return: false with errno if the interface does not tell. */
bool nic_features(const char *name, struct nic_features *features);

#endif
