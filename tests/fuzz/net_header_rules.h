/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is true of every header and frame, whatever they say. The fuzzer and the unit test hold both directions to it.
 * Each function returns NULL or the rule that was broken.
 */
#ifndef TESTS_FUZZ_NET_HEADER_RULES_H
#define TESTS_FUZZ_NET_HEADER_RULES_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>

#include "vio/net_header.h"

#define RULES_ALL_FEATURES 0xffffULL
#define RULES_SEGMENTATION (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define RULES_READ_FLAGS (RULES_SEGMENTATION | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)

#define RULE(condition, sentence)          \
	do {                               \
		if (!(condition))          \
			return (sentence); \
	} while (0)

static inline bool
rules_negotiated(uint64_t features, uint8_t type, const uint8_t bits[3])
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return (features & 1ULL << bits[0]) != 0;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return (features & 1ULL << bits[1]) != 0;
	case VIRTIO_NET_HDR_GSO_UDP:
		return (features & 1ULL << bits[2]) != 0 && (type & VIRTIO_NET_HDR_GSO_ECN) == 0;
	default:
		return false;
	}
}

/* The bytes of a packet in one piece; the caller frees them. */
static inline uint8_t *
rules_flat(const struct rte_mbuf *packet)
{
	uint8_t *bytes = malloc(packet->pkt_len + 1), *to = bytes;

	for (; packet != NULL; packet = packet->next) {
		memcpy(to, rte_pktmbuf_mtod(packet, const void *), packet->data_len);
		to += packet->data_len;
	}
	return bytes;
}

/* Byte by byte, unlike what is tested. */
static inline void
rules_finish_checksum(uint8_t *bytes, uint32_t length, uint32_t start, uint32_t offset)
{
	uint64_t sum = 0;

	for (uint32_t i = start; i < length; i++)
		sum += (i - start) % 2 == 0 ? bytes[i] << 8 : bytes[i];
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = sum == UINT16_MAX ? UINT16_MAX : ~sum;
	bytes[start + offset] = (uint8_t)(sum >> 8);
	bytes[start + offset + 1] = (uint8_t)sum;
}

static inline const char *
rules_of_lengths(const struct rte_mbuf *packet, const uint8_t *bytes)
{
	const uint8_t *ip = bytes + packet->l2_len;
	uint32_t length;

	RULE(packet->l2_len >= 14 && packet->l2_len <= 22, "l2_len is an Ethernet header and up to two tags");
	RULE((uint32_t)packet->l2_len + packet->l3_len + packet->l4_len <= packet->data_len,
	     "the headers are in the first segment");
	if ((packet->ol_flags & RTE_MBUF_F_TX_IPV4) != 0) {
		RULE(ip[0] >> 4 == 4 && packet->l3_len == (ip[0] & 15) * 4, "l3_len is that of the IPv4 header");
		length = ip[2] << 8 | ip[3];
	} else {
		RULE(ip[0] >> 4 == 6 && packet->l3_len >= 40, "l3_len is at least that of an IPv6 header");
		length = 40 + (ip[4] << 8 | ip[5]);
	}
	RULE(length >= (uint32_t)packet->l3_len + packet->l4_len, "the IP length includes the headers");
	RULE(packet->l2_len + length <= packet->pkt_len, "the IP length stays in the frame");
	return NULL;
}

static inline const char *
rules_of_request(const struct rte_mbuf *packet, const struct virtio_net_hdr *header, uint64_t features)
{
	static const uint8_t bits[] = { VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_UFO };
	struct rte_mbuf for_device = *packet;
	uint64_t flags = packet->ol_flags, l4 = flags & RTE_MBUF_F_TX_L4_MASK;

	RULE((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0, "only NEEDS_CSUM makes requests");
	RULE((features & 1ULL << VIRTIO_NET_F_CSUM) != 0, "CSUM is negotiated");
	RULE((flags & ~RULES_READ_FLAGS) == 0, "only these flags come from a guest");
	RULE(l4 == RTE_MBUF_F_TX_TCP_CKSUM || l4 == RTE_MBUF_F_TX_UDP_CKSUM, "each request is for TCP or UDP");
	RULE(!(flags & RTE_MBUF_F_TX_IPV4) != !(flags & RTE_MBUF_F_TX_IPV6), "one IP version");
	RULE(l4 == RTE_MBUF_F_TX_TCP_CKSUM ? packet->l4_len >= 20 && packet->l4_len <= 60 : packet->l4_len == 8,
	     "l4_len is one that TCP or UDP can have");
	RULE((packet->tso_segsz != 0) == ((flags & RULES_SEGMENTATION) != 0), "tso_segsz if segmented");
	if (packet->tso_segsz != 0) {
		RULE(packet->tso_segsz == header->gso_size, "tso_segsz is gso_size");
		RULE((flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? l4 == RTE_MBUF_F_TX_TCP_CKSUM :
							    l4 == RTE_MBUF_F_TX_UDP_CKSUM,
		     "the checksum is of the protocol that is segmented");
		RULE(rules_negotiated(features, header->gso_type, bits), "the segmentation is negotiated");
		RULE((packet->pkt_len - packet->l2_len - packet->l3_len -
		      (l4 == RTE_MBUF_F_TX_TCP_CKSUM ? packet->l4_len : 0u)) /
				     packet->tso_segsz <
			     PV_SEGMENTS_MAX,
		     "there is an end to the segments");
	}
	if ((flags & RTE_MBUF_F_TX_TCP_SEG) != 0 && (flags & RTE_MBUF_F_TX_IPV4) != 0)
		for_device.ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	RULE(rte_validate_tx_offload(&for_device) == 0, "DPDK takes the request for one");
	return NULL;
}

/* What may be in a header that is written for a guest. */
static inline const char *
rules_of_written(const struct rte_mbuf *packet, uint64_t features, const struct virtio_net_hdr *header)
{
	static const uint8_t bits[] = { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_UFO };

	RULE(header->flags == 0 || (features & 1ULL << VIRTIO_NET_F_GUEST_CSUM) != 0, "GUEST_CSUM is negotiated");
	RULE(header->flags <= VIRTIO_NET_HDR_F_DATA_VALID, "one flag at most");
	if (header->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM)
		RULE((uint32_t)header->csum_start + header->csum_offset + 2 <= packet->data_len,
		     "the checksum is in the first segment");
	else
		RULE(header->csum_start == 0 && header->csum_offset == 0, "no place of a checksum without the flag");
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		RULE(header->gso_size == 0 && header->hdr_len == 0, "no sizes without segmentation");
		return NULL;
	}
	RULE(header->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM, "segmentation comes with NEEDS_CSUM");
	RULE(header->gso_size != 0, "segments have a size");
	RULE(header->hdr_len <= packet->data_len, "hdr_len is in the first segment");
	RULE(rules_negotiated(features, header->gso_type, bits), "the guest takes these segments");
	return NULL;
}

/* Any packet for any guest. */
static inline const char *
rules_of_write(const struct rte_mbuf *packet, uint64_t features)
{
	struct virtio_net_hdr header;
	int ret;

	memset(&header, 0xff, sizeof(header));
	ret = pv_net_header_write(packet, features, &header);
	RULE(ret == 0 || ret == -ENOTSUP, "writing says 0 or -ENOTSUP");
	return ret == 0 ? rules_of_written(packet, features, &header) : NULL;
}

/* A guest that negotiated all gets what the sender gave, and we would read the same from it. */
static inline const char *
rules_of_round_trip(const struct rte_mbuf *packet, const struct virtio_net_hdr *header)
{
	struct rte_mbuf again = *packet;
	struct virtio_net_hdr written;

	RULE(pv_net_header_write(packet, RULES_ALL_FEATURES, &written) == 0, "what is read can be written");
	if (packet->ol_flags == 0) {
		RULE(written.flags == 0 && written.gso_type == 0, "no request, an empty header");
		return rules_of_written(packet, RULES_ALL_FEATURES, &written);
	}
	RULE(written.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM, "NEEDS_CSUM stays");
	RULE(written.csum_start == header->csum_start && written.csum_offset == header->csum_offset,
	     "the place of the checksum stays");
	if (packet->tso_segsz != 0) {
		RULE(((written.gso_type ^ header->gso_type) & ~VIRTIO_NET_HDR_GSO_ECN) == 0, "gso_type stays");
		RULE(written.gso_size == header->gso_size, "gso_size stays");
	}
	again.ol_flags = 0;
	again.tx_offload = 0;
	RULE(pv_net_header_read(&written, RULES_ALL_FEATURES, &again) == 0, "what is written can be read");
	RULE(again.ol_flags == packet->ol_flags && again.tx_offload == packet->tx_offload, "and says the same");
	return rules_of_written(packet, RULES_ALL_FEATURES, &written);
}

/* `bytes` are those of the packet before it was read; they become what they must be now. */
static inline const char *
rules_of_accepted(const struct rte_mbuf *packet, const struct virtio_net_hdr *header, uint64_t features, uint8_t *bytes)
{
	const char *broken = NULL;

	if (packet->ol_flags != 0)
		broken = rules_of_request(packet, header, features);
	else if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		rules_finish_checksum(bytes, packet->pkt_len, header->csum_start, header->csum_offset);
	if (broken == NULL && packet->ol_flags != 0)
		broken = rules_of_lengths(packet, bytes);
	if (broken == NULL)
		broken = rules_of_round_trip(packet, header);
	return broken != NULL ? broken : rules_of_write(packet, features);
}

/* Any header with any frame; the packet comes without offload fields. *accepted says what became of it. */
static inline const char *
rules_of_read(struct rte_mbuf *packet, const struct virtio_net_hdr *header, uint64_t features, bool *accepted)
{
	uint8_t *before = rules_flat(packet), *after;
	int ret = pv_net_header_read(header, features, packet);
	const char *broken = ret == 0 || ret == -EINVAL ? NULL : "reading says 0 or -EINVAL";

	*accepted = ret == 0;
	if (ret == 0)
		broken = rules_of_accepted(packet, header, features, before);
	after = rules_flat(packet);
	if (broken == NULL && memcmp(before, after, packet->pkt_len) != 0)
		broken = "the frame stays, but for a checksum that is computed";
	free(before);
	free(after);
	return broken;
}

#endif
