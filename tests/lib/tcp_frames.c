/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_frames.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_debug.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

struct tcp_frame
tcp_frame(unsigned int flow, uint32_t seq, uint16_t payload)
{
	return (struct tcp_frame){
		.source = 0x0a000001 + flow,
		.destination = 0x0a0000fe,
		.source_port = 5000,
		.destination_port = 80,
		.seq = seq,
		.ack = 7000,
		.window = 500,
		.flags = RTE_TCP_ACK_FLAG,
		.timestamps = true,
		.sent = 100,
		.echoed = 200,
		.fragment = RTE_IPV4_HDR_DF_FLAG,
		.ttl = 64,
		.payload = payload,
	};
}

static uint8_t
options_len(const struct tcp_frame *frame)
{
	if (frame->options_len > 0)
		return frame->options_len;
	return frame->timestamps ? 12 : 0;
}

static uint16_t
ip_headers(const struct tcp_frame *frame)
{
	return (uint16_t)((frame->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)) +
			  frame->ip_options);
}

uint16_t
tcp_frame_headers(const struct tcp_frame *frame)
{
	return (uint16_t)(RTE_ETHER_HDR_LEN + 4 * frame->tags + ip_headers(frame) + sizeof(struct rte_tcp_hdr) +
			  options_len(frame));
}

static uint8_t *
put(uint8_t *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static uint8_t *
put16(uint8_t *at, uint16_t value)
{
	value = rte_cpu_to_be_16(value);
	return put(at, &value, sizeof(value));
}

static uint8_t *
put32(uint8_t *at, uint32_t value)
{
	value = rte_cpu_to_be_32(value);
	return put(at, &value, sizeof(value));
}

static uint8_t *
put_ethernet(const struct tcp_frame *frame, uint8_t *at)
{
	const uint8_t addresses[] = { 0x52, 0x54, 0, 0, 0, 0xfe, 0x52, 0x54, 0, 0, 0, frame->mac };

	at = put(at, addresses, sizeof(addresses));
	for (int i = 0; i < frame->tags; i++)
		at = put16(put16(at, frame->tpid[i] != 0 ? frame->tpid[i] : RTE_ETHER_TYPE_VLAN), frame->tci[i]);
	return put16(at, frame->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

static uint8_t *
put_ipv4(const struct tcp_frame *frame, uint8_t *at, uint16_t behind)
{
	struct rte_ipv4_hdr ip = {
		.version_ihl = (uint8_t)(0x45 + frame->ip_options / 4),
		.type_of_service = frame->tos,
		.total_length = rte_cpu_to_be_16((uint16_t)(ip_headers(frame) + behind)),
		.packet_id = rte_cpu_to_be_16(frame->id),
		.fragment_offset = rte_cpu_to_be_16(frame->fragment),
		.time_to_live = frame->ttl,
		.next_proto_id = IPPROTO_TCP,
		.src_addr = rte_cpu_to_be_32(frame->source),
		.dst_addr = rte_cpu_to_be_32(frame->destination),
	};

	at = put(at, &ip, sizeof(ip));
	memset(at, 1, frame->ip_options);
	return at + frame->ip_options;
}

static uint8_t *
put_ipv6(const struct tcp_frame *frame, uint8_t *at, uint16_t behind)
{
	struct rte_ipv6_hdr ip = {
		.vtc_flow = rte_cpu_to_be_32(0x60000000u | (uint32_t)frame->tos << 20 | frame->label),
		.payload_len = rte_cpu_to_be_16((uint16_t)(frame->ip_options + behind)),
		.proto = frame->ip_options > 0 ? IPPROTO_DSTOPTS : IPPROTO_TCP,
		.hop_limits = frame->ttl,
	};

	put32(ip.src_addr + 12, frame->source);
	put32(ip.dst_addr + 12, frame->destination);
	at = put(at, &ip, sizeof(ip));
	memset(at, 0, frame->ip_options);
	if (frame->ip_options > 0) {
		at[0] = IPPROTO_TCP;
		at[1] = (uint8_t)(frame->ip_options / 8 - 1);
		at[2] = 1; /* PadN */
		at[3] = (uint8_t)(frame->ip_options - 4);
	}
	return at + frame->ip_options;
}

static uint8_t *
put_tcp(const struct tcp_frame *frame, uint8_t *at)
{
	struct rte_tcp_hdr tcp = {
		.src_port = rte_cpu_to_be_16(frame->source_port),
		.dst_port = rte_cpu_to_be_16(frame->destination_port),
		.sent_seq = rte_cpu_to_be_32(frame->seq),
		.recv_ack = rte_cpu_to_be_32(frame->ack),
		.data_off = (uint8_t)((sizeof(tcp) + options_len(frame)) / 4 << 4 | frame->reserved),
		.tcp_flags = frame->flags,
		.rx_win = rte_cpu_to_be_16(frame->window),
	};

	at = put(at, &tcp, sizeof(tcp));
	if (frame->options_len > 0)
		return put(at, frame->options, frame->options_len);
	if (frame->timestamps)
		at = put32(put32(put32(at, 0x0101080a), frame->sent), frame->echoed);
	return at;
}

void
tcp_frame_checksums(uint8_t *bytes, uint16_t l2_len, uint16_t l3_len, bool ipv6)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(bytes + l2_len + l3_len);
	uint32_t sum;
	uint16_t length;

	tcp->cksum = 0;
	if (ipv6) {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(bytes + l2_len);

		length = (uint16_t)(rte_be_to_cpu_16(ip->payload_len) + sizeof(*ip) - l3_len);
		sum = rte_raw_cksum(ip->src_addr, 32);
	} else {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(bytes + l2_len);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, l3_len);
		length = (uint16_t)(rte_be_to_cpu_16(ip->total_length) - l3_len);
		sum = rte_raw_cksum(&ip->src_addr, 8);
	}
	sum += rte_cpu_to_be_16(length) + rte_cpu_to_be_16(IPPROTO_TCP) + rte_raw_cksum(tcp, length);
	sum = (sum & 0xffff) + (sum >> 16);
	tcp->cksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

uint32_t
tcp_frame_write(const struct tcp_frame *frame, uint8_t *bytes)
{
	uint16_t behind = (uint16_t)(sizeof(struct rte_tcp_hdr) + options_len(frame) + frame->payload);
	uint8_t *ip = put_ethernet(frame, bytes), *tcp, *at;

	tcp = frame->ipv6 ? put_ipv6(frame, ip, behind) : put_ipv4(frame, ip, behind);
	at = put_tcp(frame, tcp);
	for (uint32_t i = 0; i < frame->payload; i++)
		*at++ = (uint8_t)((frame->seq + i) * 31u ^ (frame->seq + i) >> 8);
	tcp_frame_checksums(bytes, (uint16_t)(ip - bytes), (uint16_t)(tcp - ip), frame->ipv6);
	memset(at, 0x5a, frame->padding);
	return (uint32_t)(at + frame->padding - bytes);
}

struct rte_mbuf *
tcp_frame_mbuf(struct rte_mempool *pool, const struct tcp_frame *frame)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	char *at;

	RTE_VERIFY(mbuf != NULL);
	at = rte_pktmbuf_append(mbuf, (uint16_t)(tcp_frame_headers(frame) + frame->payload + frame->padding));
	RTE_VERIFY(at != NULL);
	tcp_frame_write(frame, (uint8_t *)at);
	return mbuf;
}

uint32_t
tcp_frame_copy(const struct rte_mbuf *packet, uint8_t *bytes)
{
	uint32_t length = 0;

	for (const struct rte_mbuf *segment = packet; segment != NULL; segment = segment->next) {
		memcpy(bytes + length, rte_pktmbuf_mtod(segment, const void *), segment->data_len);
		length += segment->data_len;
	}
	RTE_VERIFY(length == packet->pkt_len);
	return length;
}

/* The segment number `index`, of which the payload is there and the headers are those of the whole. */
static void
finish_segment(const struct rte_mbuf *packet, unsigned int index, bool is_last, uint8_t *bytes, uint32_t payload)
{
	bool ipv6 = (packet->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;
	uint8_t *ip = bytes + packet->l2_len;
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + packet->l3_len);
	uint16_t length = (uint16_t)(packet->l3_len + packet->l4_len + payload);

	if (ipv6) {
		((struct rte_ipv6_hdr *)ip)->payload_len =
			rte_cpu_to_be_16((uint16_t)(length - sizeof(struct rte_ipv6_hdr)));
	} else {
		struct rte_ipv4_hdr *ipv4 = (struct rte_ipv4_hdr *)ip;

		ipv4->total_length = rte_cpu_to_be_16(length);
		ipv4->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ipv4->packet_id) + index));
	}
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + index * packet->tso_segsz);
	if (index > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	if (!is_last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG);
	tcp_frame_checksums(bytes, packet->l2_len, packet->l3_len, ipv6);
}

/* The field holds the pseudo header's sum with the length of what follows (vio/net_header.h). */
static void
verify_pseudo_sum(const struct rte_mbuf *packet, const uint8_t *bytes)
{
	const uint8_t *ip = bytes + packet->l2_len;
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(ip + packet->l3_len);

	if ((packet->ol_flags & RTE_MBUF_F_TX_IPV6) != 0)
		RTE_VERIFY(tcp->cksum == rte_ipv6_phdr_cksum((const struct rte_ipv6_hdr *)ip, 0));
	else
		RTE_VERIFY(tcp->cksum == rte_ipv4_phdr_cksum((const struct rte_ipv4_hdr *)ip, 0));
}

void
tcp_frame_segment(const struct rte_mbuf *packet,
		  void (*give)(void *context, unsigned int index, uint8_t *bytes, uint32_t length), void *context)
{
	uint32_t headers = packet->l2_len + packet->l3_len + packet->l4_len, length, payload;
	uint8_t *whole = malloc(2 * TCP_FRAME_MAX), *bytes = whole + TCP_FRAME_MAX;

	RTE_VERIFY(whole != NULL && packet->pkt_len <= TCP_FRAME_MAX);
	length = tcp_frame_copy(packet, whole);
	if ((packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) {
		give(context, 0, whole, length);
	} else {
		RTE_VERIFY((packet->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) != 0 && packet->tso_segsz > 0);
		RTE_VERIFY(packet->data_len >= headers && length > headers);
		verify_pseudo_sum(packet, whole);
		payload = length - headers;
		for (unsigned int index = 0; index * packet->tso_segsz < payload; index++) {
			uint32_t from = index * packet->tso_segsz;
			uint32_t part = RTE_MIN(payload - from, (uint32_t)packet->tso_segsz);

			memcpy(bytes, whole, headers);
			memcpy(bytes + headers, whole + headers + from, part);
			finish_segment(packet, index, from + part == payload, bytes, part);
			give(context, index, bytes, headers + part);
		}
	}
	free(whole);
}
