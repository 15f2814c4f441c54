/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One look at the headers of a frame, for stages that are about TCP: which connection it belongs to, and what the
 * headers say if they are of the usual form. Only bytes of the first segment are read, none of them twice.
 */
#ifndef PV_CORE_TCP_PACKET_H
#define PV_CORE_TCP_PACKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

enum pv_tcp_kind {
	PV_TCP_NONE,	  /* TCP is not in it, as far as anybody can see */
	PV_TCP_UNCLEAR,	  /* the first segment ends before it says */
	PV_TCP_ADDRESSES, /* of some connection between two addresses: a fragment, or behind extension headers */
	PV_TCP_PORTS,	  /* of a connection; the rest of the header is not in the first segment */
	PV_TCP_ODD,	  /* the header is there; something about it is unusual, or contradicts itself */
	PV_TCP_PLAIN,	  /* all of struct pv_tcp is there */
};

/* Words of a connection: the first ones are all that there is with IPv4. */
#define PV_TCP_FLOW_WORDS 6
#define PV_TCP_FLOW_WORDS_IPV4 3
#define PV_TCP_FLOW_ADDRESSES 2 /* from here on: IP addresses */
#define PV_TCP_ALIKE_WORDS 4

/*
 * Without IP options, fragments and extension headers; without TCP options, or with the timestamp in the form that
 * RFC 7323 recommends (appendix A); with lengths that fit. Numbers are in host order.
 */
struct pv_tcp {
	/*
	 * The same for all packets of a connection in one direction: TCP ports, a port of the switch and the version of
	 * IP; VLANs; IP addresses.
	 */
	uint64_t flow[PV_TCP_FLOW_WORDS];
	/*
	 * The same for packets that differ in nothing but length, place in the stream, ECN flags of TCP, PSH, window
	 * and checksums: Ethernet addresses, tags, TOS, TTL, DF, the first word of IPv6 and the length of TCP's header.
	 */
	uint64_t alike[PV_TCP_ALIKE_WORDS];
	uint32_t seq, ack;
	uint32_t sent, echoed; /* the timestamp option; 0 when there is none */
	uint16_t window;
	uint16_t l2_len, l3_len, l4_len;
	uint16_t ip_len;  /* with its header */
	uint16_t payload; /* bytes */
	uint16_t id;	  /* of IPv4 */
	uint8_t flags;	  /* of TCP */
	bool ipv6, dont_fragment;
};

/* Whether sequence number `a` is before `b`. */
static inline bool
pv_seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/*
 * Not 0 when two connections are not the same. Words one by one: what a parser has just written in words would have to
 * go through memory before it could be read as vectors.
 */
static __rte_always_inline uint64_t
pv_tcp_flow_differs(const uint64_t *a, const uint64_t *b, bool ipv6)
{
	uint64_t differs = (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]);

	if (unlikely(ipv6))
		differs |= (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5]);
	return differs;
}

static __rte_always_inline uint64_t
pv_tcp_alike_differs(const uint64_t *a, const uint64_t *b)
{
	return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
}

#define PV_TCP_RANDOM_WORDS (1 + 2 * PV_TCP_FLOW_WORDS)

static __rte_always_inline uint64_t
pv_tcp_hash_word(const uint64_t *random, const uint64_t *flow, unsigned int word)
{
	return random[2 * word + 1] * (uint32_t)flow[word] + random[2 * word + 2] * (flow[word] >> 32);
}

/*
 * Multilinear (Lemire and Kaser, "Strongly universal string hashing is fast"), over halves of words. With numbers that
 * a sender does not know, two connections share any n of the bits with probability 2^-n, whatever their addresses.
 */
static __rte_always_inline uint32_t
pv_tcp_hash(const uint64_t *random, const uint64_t *flow, bool ipv6)
{
	uint64_t hash = random[0];

	for (unsigned int i = 0; i < PV_TCP_FLOW_WORDS_IPV4; i++)
		hash += pv_tcp_hash_word(random, flow, i);
	for (unsigned int i = PV_TCP_FLOW_WORDS_IPV4; unlikely(ipv6) && i < PV_TCP_FLOW_WORDS; i++)
		hash += pv_tcp_hash_word(random, flow, i);
	return (uint32_t)(hash >> 32);
}

/* The key of the other direction of a connection. */
static inline void
pv_tcp_flow_back(const struct pv_tcp *tcp, uint64_t *flow)
{
	uint64_t ports = tcp->flow[0];

	flow[0] = (ports & ~(uint64_t)UINT32_MAX) | (ports & UINT16_MAX) << 16 | (ports >> 16 & UINT16_MAX);
	flow[1] = tcp->flow[1];
	flow[2] = tcp->ipv6 ? tcp->flow[4] : tcp->flow[2] << 32 | tcp->flow[2] >> 32;
	flow[3] = tcp->flow[5];
	flow[4] = tcp->ipv6 ? tcp->flow[2] : 0;
	flow[5] = tcp->flow[3];
}

/* What follows is for pv_tcp_parse(). */

static inline uint16_t
pv_load16(const uint8_t *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint32_t
pv_load32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t
pv_load64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

#define PV_TCP_TAGS_MAX 2
#define PV_TCP_OPTION_TIMESTAMP RTE_BE32(0x0101080a) /* NOP, NOP, kind 8, 10 bytes */
#define PV_TCP_TIMESTAMP_LEN 12
#define PV_TCP_IPV4_RESERVED RTE_BE16(0x8000)	  /* bit of the fragment field */
#define PV_TCP_VLANS RTE_BE64(0xffff0fffffff0fff) /* of two tags: EtherTypes and VLAN, without priority */

static inline bool
pv_is_tag(uint16_t ether_type)
{
	return ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ);
}

static __rte_always_inline enum pv_tcp_kind
pv_tcp_parse_options(const uint8_t *options, struct pv_tcp *tcp)
{
	if (tcp->l4_len == sizeof(struct rte_tcp_hdr)) {
		tcp->sent = tcp->echoed = 0;
		return PV_TCP_PLAIN;
	}
	if (tcp->l4_len != sizeof(struct rte_tcp_hdr) + PV_TCP_TIMESTAMP_LEN ||
	    pv_load32(options) != PV_TCP_OPTION_TIMESTAMP)
		return PV_TCP_ODD;
	tcp->sent = rte_be_to_cpu_32(pv_load32(options + 4));
	tcp->echoed = rte_be_to_cpu_32(pv_load32(options + 8));
	return PV_TCP_PLAIN;
}

static __rte_always_inline enum pv_tcp_kind
pv_tcp_parse_transport(const struct rte_mbuf *packet, uint16_t port, bool plain, struct pv_tcp *tcp)
{
	uint32_t offset = tcp->l2_len + tcp->l3_len, headers;
	const uint8_t *at = rte_pktmbuf_mtod_offset(packet, const uint8_t *, offset);
	uint8_t data_off;

	if (unlikely(packet->data_len < offset + 2 * sizeof(uint16_t)))
		return PV_TCP_ADDRESSES;
	tcp->flow[0] = pv_load32(at) | (uint64_t)port << 32 | (uint64_t)tcp->ipv6 << 48;
	tcp->flow[1] = tcp->alike[2] & PV_TCP_VLANS;
	if (unlikely(packet->data_len < offset + sizeof(struct rte_tcp_hdr)))
		return PV_TCP_PORTS;
	tcp->seq = rte_be_to_cpu_32(pv_load32(at + offsetof(struct rte_tcp_hdr, sent_seq)));
	tcp->ack = rte_be_to_cpu_32(pv_load32(at + offsetof(struct rte_tcp_hdr, recv_ack)));
	tcp->window = rte_be_to_cpu_16(pv_load16(at + offsetof(struct rte_tcp_hdr, rx_win)));
	tcp->flags = at[offsetof(struct rte_tcp_hdr, tcp_flags)];
	data_off = at[offsetof(struct rte_tcp_hdr, data_off)];
	tcp->l4_len = (data_off >> 4) * 4;
	tcp->alike[3] |= (uint64_t)data_off << 56;
	headers = tcp->l3_len + tcp->l4_len;
	/* The lower bits of data_off are flags of experiments, or reserved. */
	if (unlikely(!plain || (data_off & 0xf) != 0 || tcp->ip_len < headers ||
		     tcp->l2_len + headers > packet->data_len || (uint32_t)tcp->l2_len + tcp->ip_len > packet->pkt_len))
		return PV_TCP_ODD;
	tcp->payload = (uint16_t)(tcp->ip_len - headers);
	return pv_tcp_parse_options(at + sizeof(struct rte_tcp_hdr), tcp);
}

static __rte_always_inline enum pv_tcp_kind
pv_tcp_parse_ipv4(const struct rte_mbuf *packet, uint16_t port, struct pv_tcp *tcp)
{
	const uint8_t *at = rte_pktmbuf_mtod_offset(packet, const uint8_t *, tcp->l2_len);
	uint16_t fragment;
	uint8_t version_ihl;

	if (unlikely(packet->data_len < tcp->l2_len + sizeof(struct rte_ipv4_hdr)))
		return packet->nb_segs > 1 ? PV_TCP_UNCLEAR : PV_TCP_NONE;
	version_ihl = at[0];
	if (version_ihl >> 4 != 4 || (version_ihl & RTE_IPV4_HDR_IHL_MASK) < RTE_IPV4_MIN_IHL ||
	    at[offsetof(struct rte_ipv4_hdr, next_proto_id)] != IPPROTO_TCP)
		return PV_TCP_NONE;
	tcp->ipv6 = false;
	tcp->flow[2] = pv_load64(at + offsetof(struct rte_ipv4_hdr, src_addr));
	tcp->flow[3] = tcp->flow[4] = tcp->flow[5] = 0;
	fragment = pv_load16(at + offsetof(struct rte_ipv4_hdr, fragment_offset));
	if (unlikely((fragment & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0))
		return PV_TCP_ADDRESSES;
	tcp->dont_fragment = (fragment & RTE_BE16(RTE_IPV4_HDR_DF_FLAG)) != 0;
	tcp->alike[3] = (uint64_t)at[offsetof(struct rte_ipv4_hdr, type_of_service)] |
			(uint64_t)at[offsetof(struct rte_ipv4_hdr, time_to_live)] << 8 | (uint64_t)fragment << 16;
	tcp->id = rte_be_to_cpu_16(pv_load16(at + offsetof(struct rte_ipv4_hdr, packet_id)));
	tcp->l3_len = (version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
	tcp->ip_len = rte_be_to_cpu_16(pv_load16(at + offsetof(struct rte_ipv4_hdr, total_length)));
	return pv_tcp_parse_transport(
		packet, port, tcp->l3_len == sizeof(struct rte_ipv4_hdr) && (fragment & PV_TCP_IPV4_RESERVED) == 0,
		tcp);
}

/* Of what follows an IPv6 header, what TCP may be behind. */
static inline bool
pv_hides_tcp(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH || protocol == IPPROTO_MH;
}

static __rte_always_inline enum pv_tcp_kind
pv_tcp_parse_ipv6(const struct rte_mbuf *packet, uint16_t port, struct pv_tcp *tcp)
{
	const uint8_t *at = rte_pktmbuf_mtod_offset(packet, const uint8_t *, tcp->l2_len);
	uint16_t payload;
	uint8_t protocol;

	if (unlikely(packet->data_len < tcp->l2_len + sizeof(struct rte_ipv6_hdr)))
		return packet->nb_segs > 1 ? PV_TCP_UNCLEAR : PV_TCP_NONE;
	tcp->alike[3] = pv_load32(at) | (uint64_t)at[offsetof(struct rte_ipv6_hdr, hop_limits)] << 32;
	protocol = at[offsetof(struct rte_ipv6_hdr, proto)];
	if ((tcp->alike[3] & 0xf0) != 0x60 || (protocol != IPPROTO_TCP && !pv_hides_tcp(protocol)))
		return PV_TCP_NONE;
	tcp->ipv6 = true;
	for (unsigned int i = 0; i < PV_TCP_FLOW_WORDS - PV_TCP_FLOW_ADDRESSES; i++)
		tcp->flow[PV_TCP_FLOW_ADDRESSES + i] =
			pv_load64(at + offsetof(struct rte_ipv6_hdr, src_addr) + i * sizeof(tcp->flow[0]));
	if (unlikely(protocol != IPPROTO_TCP))
		return PV_TCP_ADDRESSES;
	tcp->dont_fragment = true;
	tcp->id = 0;
	tcp->l3_len = sizeof(struct rte_ipv6_hdr);
	payload = rte_be_to_cpu_16(pv_load16(at + offsetof(struct rte_ipv6_hdr, payload_len)));
	tcp->ip_len = (uint16_t)(sizeof(struct rte_ipv6_hdr) + payload);
	return pv_tcp_parse_transport(packet, port, payload <= UINT16_MAX - sizeof(struct rte_ipv6_hdr), tcp);
}

/*
 * Looks at `packet`, which came from or goes to `port` of the switch. What is set in `tcp` depends on the kind:
 * PV_TCP_ADDRESSES has the addresses in `flow`, PV_TCP_PORTS all of it, PV_TCP_ODD also seq, ack, window and flags. At
 * least RTE_ETHER_HDR_LEN bytes are in the first segment.
 */
static __rte_always_inline enum pv_tcp_kind
pv_tcp_parse(const struct rte_mbuf *packet, uint16_t port, struct pv_tcp *tcp)
{
	const uint8_t *at = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint16_t ether_type = pv_load16(at + offsetof(struct rte_ether_hdr, ether_type));
	uint64_t tag;

	tcp->alike[0] = pv_load64(at);
	tcp->alike[1] = pv_load32(at + sizeof(uint64_t));
	tcp->alike[2] = 0;
	tcp->l2_len = RTE_ETHER_HDR_LEN;
	for (int tags = 0; unlikely(pv_is_tag(ether_type)) && tags < PV_TCP_TAGS_MAX; tags++) {
		if (packet->data_len < tcp->l2_len + sizeof(struct rte_vlan_hdr))
			return packet->nb_segs > 1 ? PV_TCP_UNCLEAR : PV_TCP_NONE;
		tag = ether_type | (uint64_t)pv_load16(at + tcp->l2_len) << 16;
		tcp->alike[2] |= tag << (32 * tags);
		ether_type = pv_load16(at + tcp->l2_len + sizeof(uint16_t));
		tcp->l2_len += sizeof(struct rte_vlan_hdr);
	}
	if (likely(ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)))
		return pv_tcp_parse_ipv4(packet, port, tcp);
	if (ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return pv_tcp_parse_ipv6(packet, port, tcp);
	return PV_TCP_NONE;
}

#endif
