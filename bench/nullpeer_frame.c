// SPDX-License-Identifier: BSD-2-Clause
#include "nullpeer_frame.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/if_packet.h>

/* Packets per system call. More would delay the server. */
#define MAX_BATCH 32

#define MSS MAX_FRAME_PAYLOAD

/* A SACK of three ranges: 2 + 2 + 3 * 8. */
#define SACK_RANGES 3U
#define OPTION_BYTES 28
#define TIME_TO_LIVE 64

/* The layout has no padding. */
struct packet {
	struct ether_header ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t options[OPTION_BYTES];
} __attribute__((packed));

static struct sender {
	int socket;
	struct packet model; /* header fields common to all packets */
	struct packet packet[MAX_BATCH];
	struct iovec piece[MAX_BATCH][2]; /* packet, payload */
	struct mmsghdr message[MAX_BATCH];
	unsigned int count;
} sender;

static void frame_read_hardware_address(const char *link, uint8_t address[ETH_ALEN])
{
	struct ifreq request = { 0 };

	strncpy(request.ifr_name, link, sizeof(request.ifr_name) - 1);
	if (ioctl(sender.socket, SIOCGIFHWADDR, &request))
		err(1, "link %s", link);
	memcpy(address, request.ifr_hwaddr.sa_data, ETH_ALEN);
}

static void frame_open_socket(const char *link)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_ifindex = (int)if_nametoindex(link) };
	int one = 1;

	/* Protocol 0: receive nothing. */
	sender.socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (sender.socket < 0)
		err(1, "packet socket");
	if (!address.sll_ifindex ||
	    bind(sender.socket, (struct sockaddr *)&address, sizeof(address)))
		err(1, "packet socket at link %s", link);
	if (setsockopt(sender.socket, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		err(1, "PACKET_QDISC_BYPASS");
}

void frame_open(const struct frame_way *way)
{
	struct packet *model = &sender.model;

	frame_open_socket(way->peer_link);
	frame_read_hardware_address(way->server_link, model->ethernet.ether_dhost);
	frame_read_hardware_address(way->peer_link, model->ethernet.ether_shost);
	model->ethernet.ether_type = htons(ETHERTYPE_IP);
	model->ip.version = 4;
	model->ip.ihl = sizeof(model->ip) / 4;
	model->ip.ttl = TIME_TO_LIVE;
	model->ip.protocol = IPPROTO_TCP;
	model->ip.frag_off = htons(IP_DF);
	model->ip.saddr = way->source.s_addr;
	model->ip.daddr = way->server.sin_addr.s_addr;
	model->tcp.dest = way->server.sin_port;
	for (unsigned int i = 0; i < MAX_BATCH; i++) {
		sender.piece[i][0].iov_base = &sender.packet[i];
		sender.message[i].msg_hdr.msg_iov = sender.piece[i];
	}
}

/* Add 16-bit words to a checksum. Only the last piece may have an odd length. */
static uint32_t frame_add_words(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)byte[i] << 8 | byte[i + 1];
	if (length % 2)
		sum += (uint32_t)byte[length - 1] << 8;
	return sum;
}

static uint16_t frame_finish_sum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void frame_set_checksums(struct packet *packet, size_t tcp_length, const struct frame *frame)
{
	uint32_t sum = IPPROTO_TCP + (uint32_t)(tcp_length + frame->payload_length);

	/* The pseudo header includes both addresses. */
	sum = frame_add_words(sum, &packet->ip.saddr, 2 * sizeof(packet->ip.saddr));
	sum = frame_add_words(sum, &packet->tcp, tcp_length);
	packet->tcp.check =
		frame_finish_sum(frame_add_words(sum, frame->payload, frame->payload_length));
	packet->ip.check = frame_finish_sum(frame_add_words(0, &packet->ip, sizeof(packet->ip)));
}

/* Return the number of bytes. */
static size_t frame_add_syn_options(uint8_t *options, uint8_t window_shift)
{
	const uint8_t bytes[] = { TCPOPT_MAXSEG,
				  TCPOLEN_MAXSEG,
				  MSS >> 8,
				  MSS & 0xff,
				  TCPOPT_SACK_PERMITTED,
				  TCPOLEN_SACK_PERMITTED,
				  TCPOPT_NOP,
				  TCPOPT_NOP,
				  TCPOPT_NOP,
				  TCPOPT_WINDOW,
				  TCPOLEN_WINDOW,
				  window_shift };

	memcpy(options, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static size_t frame_add_sack(uint8_t *options, const struct early *early)
{
	unsigned int ranges = early->count < SACK_RANGES ? early->count : SACK_RANGES;
	size_t length = 4;

	for (unsigned int i = 0; i < ranges; i++) {
		const uint32_t range[] = { htonl(early->range[i].from), htonl(early->range[i].to) };

		memcpy(options + length, range, sizeof(range));
		length += sizeof(range);
	}
	options[0] = options[1] = TCPOPT_NOP;
	options[2] = TCPOPT_SACK;
	options[3] = (uint8_t)(length - 2);
	return length;
}

void frame_send(const struct frame *frame)
{
	struct packet *packet = &sender.packet[sender.count];
	size_t length = sizeof(packet->tcp);

	*packet = sender.model;
	packet->tcp.source = htons(frame->client_port);
	packet->tcp.seq = htonl(frame->sequence);
	packet->tcp.ack_seq = htonl(frame->ack);
	packet->tcp.th_flags = frame->flags;
	packet->tcp.window = htons(frame->window);
	if (frame->flags & REPORT_SYN)
		length += frame_add_syn_options(packet->options, frame->window_shift);
	else if (frame->early && frame->early->count)
		length += frame_add_sack(packet->options, frame->early);
	packet->tcp.doff = (uint8_t)(length / 4) & 0xf;
	packet->ip.tot_len = htons((uint16_t)(sizeof(packet->ip) + length + frame->payload_length));
	frame_set_checksums(packet, length, frame);
	sender.piece[sender.count][0].iov_len =
		sizeof(packet->ethernet) + sizeof(packet->ip) + length;
	sender.piece[sender.count][1] = (struct iovec){
		.iov_base = (void *)(uintptr_t)frame->payload,
		.iov_len = frame->payload_length,
	};
	sender.message[sender.count].msg_hdr.msg_iovlen = frame->payload_length ? 2 : 1;
	if (++sender.count == MAX_BATCH)
		frame_flush();
}

void frame_flush(void)
{
	unsigned int sent = 0;

	while (sent < sender.count) {
		int n = sendmmsg(sender.socket, sender.message + sent, sender.count - sent, 0);

		if (n >= 0)
			sent += (unsigned int)n;
		else if (errno ==
			 ENOBUFS) /* the queue to the server is full: this packet is lost */
			sent++;
		else if (errno != EINTR)
			err(1, "send to the server");
	}
	sender.count = 0;
}
