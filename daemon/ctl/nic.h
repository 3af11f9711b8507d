/* SPDX-License-Identifier: BSD-2-Clause */
/* The network interfaces of this machine: which of them carry clients, and what they can do. */
#ifndef DMACAST_NIC_H
#define DMACAST_NIC_H

#include "ctl/doctor_context.h"

#include <stdbool.h>

/**
 * nic_add() - add an interface to those that are looked at, unless it is there already.
 *
 * Return: false if there is no such interface. More than MAX_DOCTOR_NICS are left out.
 */
bool nic_add(struct doctor *doctor, const char *name);

/**
 * nic_add_all() - add the interfaces that carry clients: those on the way to the clients of the daemon; without
 * clients, those that are up, except the loopback.
 */
void nic_add_all(struct doctor *doctor);

/** nic_find() - return the interface with this index, or NULL if it is not looked at. */
const struct nic *nic_find(const struct doctor *doctor, unsigned int index);

/** nic_is_outside() - return true if an interface leads to other machines. */
bool nic_is_outside(const struct doctor *doctor);

/** doctor_check_nics() - look at scatter-gather and at checksum offload, without which the kernel copies. */
void doctor_check_nics(const struct doctor *doctor);

#endif
