/* SPDX-License-Identifier: BSD-2-Clause */
/* The report of nullpeer.bpf.c on each TCP packet that the server sends, in the CPU's byte order. */
#ifndef NULLPEER_REPORT_H
#define NULLPEER_REPORT_H

#include <linux/types.h>

/* Flags of the TCP header. */
#define REPORT_FIN 0x01
#define REPORT_SYN 0x02
#define REPORT_RST 0x04
#define REPORT_ACK 0x10

struct report {
	__u32 sequence;
	__u32 ack;
	__u32 length; /* bytes of payload; with GSO up to 64 KiB */
	__u16 server_port;
	__u16 client_port;
	__u16 window;
	__u8 flags;
	__u8 unused;
};

#endif
