// SPDX-License-Identifier: BSD-2-Clause
/*
 * At the egress of the server's link: report the header of each TCP packet and drop the packet. The
 * payload is never read and therefore never copied: a zero-copy send remains one. For the server's TCP
 * the packet is on its way.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "nullpeer_report.h"

#define RING_BYTES (8 << 20)
#define TCP_FLAGS_BYTE 13

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} reports SEC(".maps");

/* Whether reports wake the reader; not needed for a reader that never sleeps. */
const volatile bool wake = true;

/* Packets without a report because the ring was full. For the server they are lost. */
__u64 overflows = 0;

static void fill_report(struct report *report, const struct iphdr *ip, const struct tcphdr *tcp,
			__u32 length)
{
	report->sequence = bpf_ntohl(tcp->seq);
	report->ack = bpf_ntohl(tcp->ack_seq);
	report->length = length - sizeof(struct ethhdr) - ip->ihl * 4 - tcp->doff * 4;
	report->server_port = bpf_ntohs(tcp->source);
	report->client_port = bpf_ntohs(tcp->dest);
	report->window = bpf_ntohs(tcp->window);
	report->flags = ((const __u8 *)tcp)[TCP_FLAGS_BYTE];
	report->unused = 0;
}

int swallow(struct __sk_buff *packet); /* the kernel calls it */

SEC("tc")
int swallow(struct __sk_buff *packet)
{
	void *data = (void *)(long)packet->data, *end = (void *)(long)packet->data_end;
	const struct ethhdr *ethernet = data;
	const struct iphdr *ip = (const void *)(ethernet + 1);
	const struct tcphdr *tcp = (const void *)(ip + 1); /* the server sends no IP options */
	struct report *report;

	if ((const void *)(tcp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_TCP || ip->ihl * 4 != sizeof(*ip))
		return TC_ACT_STOLEN;
	report = bpf_ringbuf_reserve(&reports, sizeof(*report), 0);
	if (!report) {
		__sync_fetch_and_add(&overflows, 1);
		return TC_ACT_STOLEN;
	}
	fill_report(report, ip, tcp, packet->len);
	bpf_ringbuf_submit(report, wake ? 0 : BPF_RB_NO_WAKEUP);
	return TC_ACT_STOLEN;
}

const char swallow_license[] SEC("license") = "Dual BSD/GPL";
