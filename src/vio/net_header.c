/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading parses the frame, because of a guest's header only four fields mean anything that the frame does not say:
 * NEEDS_CSUM, gso_type, gso_size, and csum_start with csum_offset, which must then point where the frame has its TCP or
 * UDP checksum. hdr_len is a hint that is not needed (virtio 1.2, 5.1.6.2.2).
 *
 * csum_start behind the frame's own transport header, or in a frame whose transport is neither TCP nor UDP, is what a
 * guest sends from its tunnels. An mbuf has no words for that, so the sum is made here, over whatever is there. It is
 * the ones' complement sum that the specification defines; SCTP's CRC32c is not, and no guest asks for it this way.
 */
#include "vio/net_header.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

/* The fields are used as they are (virtio 1.2, 5.1.6.1: little-endian). */
_Static_assert(RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN, "the fields of virtio_net_hdr need to be swapped");

#define TAGS_MAX 2
#define SCTP_CHECKSUM_AT 8 /* in its header, where no other protocol has a checksum */
#define EXTENSIONS_MAX 8
#define L3_LEN_MAX ((1u << RTE_MBUF_L3_LEN_BITS) - 1)

#define SEGMENTATION (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
/* Requests that virtio has no fields for. */
#define NOT_OF_VIRTIO (PV_NET_HEADER_FLAGS & ~(SEGMENTATION | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_RX_L4_CKSUM_GOOD))

struct transport {
	uint8_t protocol;
	uint8_t csum_offset;
	uint64_t csum;
};

struct gso {
	uint8_t type;
	uint8_t host_feature, guest_feature;
	uint8_t protocol;
	uint64_t ip; /* the flag of the IP version, or of either */
	uint64_t segmentation;
};

/* What the headers of a frame say; lengths and offsets in bytes. */
struct frame {
	uint16_t l2_len, l3_len, l4_len;
	uint16_t ether_type; /* behind the tags, big-endian */
	uint8_t protocol;
	const struct transport *transport; /* NULL: neither TCP nor UDP */
	uint64_t ip;			   /* RTE_MBUF_F_TX_IPV4, _IPV6 or 0 */
	uint32_t end;			   /* of the IP datagram, or of the frame */
};

/* The beginning of each of IPv6's extension headers (RFC 8200, 4.3 to 4.6). */
struct extension {
	uint8_t next;
	uint8_t length; /* in 8 bytes, without the first 8 */
};

static const struct transport transports[] = {
	{ IPPROTO_TCP, offsetof(struct rte_tcp_hdr, cksum), RTE_MBUF_F_TX_TCP_CKSUM },
	{ IPPROTO_UDP, offsetof(struct rte_udp_hdr, dgram_cksum), RTE_MBUF_F_TX_UDP_CKSUM },
};

static const struct gso gsos[] = {
	{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4, IPPROTO_TCP, RTE_MBUF_F_TX_IPV4,
	  RTE_MBUF_F_TX_TCP_SEG },
	{ VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6, IPPROTO_TCP, RTE_MBUF_F_TX_IPV6,
	  RTE_MBUF_F_TX_TCP_SEG },
	{ VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_GUEST_UFO, IPPROTO_UDP,
	  RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6, RTE_MBUF_F_TX_UDP_SEG },
};

static bool
negotiated(uint64_t features, uint8_t feature)
{
	return (features & (1ULL << feature)) != 0;
}

/* Copies what is in the first segment; false when that does not have so much. */
static bool
fetch(const struct rte_mbuf *packet, uint32_t offset, void *copy, uint32_t length)
{
	if (offset + length > packet->data_len)
		return false;
	memcpy(copy, rte_pktmbuf_mtod_offset(packet, const void *, offset), length);
	return true;
}

static bool
is_tag(uint16_t ether_type)
{
	return ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) || ether_type == RTE_BE16(RTE_ETHER_TYPE_QINQ);
}

static int
parse_ethernet(const struct rte_mbuf *packet, struct frame *frame)
{
	struct rte_ether_hdr ethernet;
	struct rte_vlan_hdr tag;

	if (!fetch(packet, 0, &ethernet, sizeof(ethernet)))
		return -EINVAL;
	frame->l2_len = sizeof(ethernet);
	frame->ether_type = ethernet.ether_type;
	frame->end = packet->pkt_len;
	for (int tags = 0; tags < TAGS_MAX && is_tag(frame->ether_type); tags++) {
		if (!fetch(packet, frame->l2_len, &tag, sizeof(tag)))
			return -EINVAL;
		frame->l2_len += sizeof(tag);
		frame->ether_type = tag.eth_proto;
	}
	return 0;
}

/* A fragment is refused, here and in IPv6: its checksum covers bytes of other frames. */
static int
parse_ipv4(const struct rte_mbuf *packet, struct frame *frame)
{
	struct rte_ipv4_hdr ip;

	if (!fetch(packet, frame->l2_len, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < RTE_IPV4_MIN_IHL)
		return -EINVAL;
	if ((ip.fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return -EINVAL;
	frame->ip = RTE_MBUF_F_TX_IPV4;
	frame->l3_len = rte_ipv4_hdr_len(&ip);
	frame->protocol = ip.next_proto_id;
	frame->end = frame->l2_len + rte_be_to_cpu_16(ip.total_length);
	return 0;
}

static bool
is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS;
}

static int
skip_extensions(const struct rte_mbuf *packet, struct frame *frame)
{
	struct extension extension;

	for (int i = 0; is_extension(frame->protocol); i++) {
		if (i == EXTENSIONS_MAX || !fetch(packet, frame->l2_len + frame->l3_len, &extension, sizeof(extension)))
			return -EINVAL;
		frame->l3_len += (extension.length + 1) * 8;
		frame->protocol = extension.next;
	}
	return frame->protocol != IPPROTO_FRAGMENT && frame->l3_len <= L3_LEN_MAX ? 0 : -EINVAL;
}

static int
parse_ipv6(const struct rte_mbuf *packet, struct frame *frame)
{
	struct rte_ipv6_hdr ip;

	if (!fetch(packet, frame->l2_len, &ip, sizeof(ip)) || rte_be_to_cpu_32(ip.vtc_flow) >> 28 != 6)
		return -EINVAL;
	frame->ip = RTE_MBUF_F_TX_IPV6;
	frame->l3_len = sizeof(ip);
	frame->protocol = ip.proto;
	frame->end = frame->l2_len + sizeof(ip) + rte_be_to_cpu_16(ip.payload_len);
	return skip_extensions(packet, frame);
}

static int
parse_network(const struct rte_mbuf *packet, struct frame *frame)
{
	switch (frame->ether_type) {
	case RTE_BE16(RTE_ETHER_TYPE_IPV4):
		return parse_ipv4(packet, frame);
	case RTE_BE16(RTE_ETHER_TYPE_IPV6):
		return parse_ipv6(packet, frame);
	default:
		return 0;
	}
}

static int
parse_transport(const struct rte_mbuf *packet, struct frame *frame)
{
	struct rte_tcp_hdr tcp;

	if (frame->ip == 0)
		return 0;
	for (size_t i = 0; i < RTE_DIM(transports); i++)
		if (transports[i].protocol == frame->protocol)
			frame->transport = &transports[i];
	if (frame->protocol == IPPROTO_UDP)
		frame->l4_len = sizeof(struct rte_udp_hdr);
	if (frame->protocol == IPPROTO_TCP) {
		if (!fetch(packet, frame->l2_len + frame->l3_len, &tcp, sizeof(tcp)))
			return -EINVAL;
		frame->l4_len = (tcp.data_off >> 4) * 4;
		if (frame->l4_len < sizeof(tcp))
			return -EINVAL;
	}
	return 0;
}

static uint32_t
headers_end(const struct frame *frame)
{
	return frame->l2_len + frame->l3_len + frame->l4_len;
}

static int
parse(const struct rte_mbuf *packet, struct frame *frame)
{
	if (parse_ethernet(packet, frame) < 0 || parse_network(packet, frame) < 0 || parse_transport(packet, frame) < 0)
		return -EINVAL;
	if (headers_end(frame) > packet->data_len || headers_end(frame) > frame->end || frame->end > packet->pkt_len)
		return -EINVAL;
	return 0;
}

/* rte_raw_cksum_mbuf() of DPDK 22.11 loses a carry behind a segment of an odd length. */
static uint16_t
sum_from(const struct rte_mbuf *segment, uint32_t start)
{
	uint32_t sum = 0;
	bool odd = false;

	for (; segment != NULL; segment = segment->next) {
		uint32_t length = segment->data_len - RTE_MIN(start, segment->data_len);
		uint16_t part = rte_raw_cksum(
			rte_pktmbuf_mtod_offset(segment, const void *, segment->data_len - length), length);

		sum += odd ? rte_bswap16(part) : part;
		odd ^= length % 2;
		start -= segment->data_len - length;
	}
	return __rte_raw_cksum_reduce(sum);
}

/* Puts a checksum where the header says; -EINVAL when that is not in the first segment. */
static int
put_checksum(const struct virtio_net_hdr *header, struct rte_mbuf *packet, const void *sum, uint32_t length)
{
	uint32_t field = (uint32_t)header->csum_start + header->csum_offset;

	if (field + length > packet->data_len)
		return -EINVAL;
	memcpy(rte_pktmbuf_mtod_offset(packet, void *, field), sum, length);
	return 0;
}

/*
 * The ones' complement sum from csum_start to the end of the frame (virtio 1.2, 5.1.6.2). All ones stand for zero,
 * because zero in a UDP header says that there is no checksum.
 */
static int
finish_checksum(const struct virtio_net_hdr *header, struct rte_mbuf *packet)
{
	uint16_t sum = ~sum_from(packet, header->csum_start);

	if (sum == 0)
		sum = UINT16_MAX;
	return put_checksum(header, packet, &sum, sizeof(sum));
}

/* Not rte_hash_crc(), which loads words from where they are not aligned. */
static uint32_t
crc_over(const char *bytes, uint32_t length, uint32_t crc)
{
	uint64_t word;

	for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		crc = rte_hash_crc_8byte(word, crc);
	}
	for (; length > 0; bytes++, length--)
		crc = rte_hash_crc_1byte((uint8_t)*bytes, crc);
	return crc;
}

/* The same for SCTP: a CRC32c, least significant byte first (RFC 9260, appendix A). */
static int
finish_crc(const struct virtio_net_hdr *header, struct rte_mbuf *packet)
{
	uint32_t start = header->csum_start, crc = UINT32_MAX;

	for (const struct rte_mbuf *segment = packet; segment != NULL; segment = segment->next) {
		uint32_t skipped = RTE_MIN(start, segment->data_len);

		crc = crc_over(rte_pktmbuf_mtod_offset(segment, const char *, skipped), segment->data_len - skipped,
			       crc);
		start -= skipped;
	}
	crc = rte_cpu_to_le_32(~crc);
	return put_checksum(header, packet, &crc, sizeof(crc));
}

int
pv_net_header_complete(const struct virtio_net_hdr *header, struct rte_mbuf *packet)
{
	return header->csum_offset == SCTP_CHECKSUM_AT ? finish_crc(header, packet) : finish_checksum(header, packet);
}

/* The row of a guest's gso_type, if it is negotiated and of the protocols that the frame has. */
static const struct gso *
find_gso(uint8_t type, uint64_t features, const struct frame *frame)
{
	for (size_t i = 0; i < RTE_DIM(gsos); i++)
		if (gsos[i].type == type)
			return negotiated(features, gsos[i].host_feature) && gsos[i].protocol == frame->protocol &&
					       (gsos[i].ip & frame->ip) != 0 ?
				       &gsos[i] :
				       NULL;
	return NULL;
}

/* ECN needs no field of an mbuf: the flag CWR in the TCP header says it, and writing looks there. */
static bool
ecn_is_wrong(uint8_t gso_type, uint64_t features, const struct gso *gso)
{
	return (gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0 &&
	       (gso->protocol != IPPROTO_TCP || !negotiated(features, VIRTIO_NET_F_HOST_ECN));
}

/*
 * A frame that makes only one segment is not segmented: there are devices that stop when asked to. Segments of UFO are
 * IP fragments, so that the UDP header counts as payload.
 */
static int
read_gso(const struct virtio_net_hdr *header, uint64_t features, const struct frame *frame, struct rte_mbuf *packet)
{
	const struct gso *gso = find_gso(header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN, features, frame);
	uint32_t payload = packet->pkt_len - frame->l2_len - frame->l3_len;

	if (gso == NULL || ecn_is_wrong(header->gso_type, features, gso))
		return -EINVAL;
	if (header->gso_size == 0 || frame->end != packet->pkt_len)
		return -EINVAL;
	if (gso->protocol == IPPROTO_TCP)
		payload -= frame->l4_len;
	if (payload / header->gso_size >= PV_SEGMENTS_MAX)
		return -EINVAL;
	if (payload > header->gso_size) {
		packet->ol_flags |= gso->segmentation;
		packet->tso_segsz = header->gso_size;
	}
	return 0;
}

/* A checksum that an mbuf has no words for. */
static int
finish_other(const struct virtio_net_hdr *header, const struct frame *frame, struct rte_mbuf *packet)
{
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE || header->csum_start < headers_end(frame))
		return -EINVAL;
	return finish_checksum(header, packet);
}

int
pv_net_header_read_offloads(const struct virtio_net_hdr *header, uint64_t features, struct rte_mbuf *packet)
{
	struct frame frame = { 0 };

	/* Without NEEDS_CSUM it is gso_type that brought us here, and that needs it (virtio 1.2, 5.1.6.2.1). */
	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || !negotiated(features, VIRTIO_NET_F_CSUM) ||
	    parse(packet, &frame) < 0)
		return -EINVAL;
	if (frame.transport == NULL || header->csum_start != frame.l2_len + frame.l3_len)
		return finish_other(header, &frame, packet);
	if (header->csum_offset != frame.transport->csum_offset)
		return -EINVAL;
	packet->ol_flags |= frame.ip | frame.transport->csum;
	packet->tx_offload = rte_mbuf_tx_offload(frame.l2_len, frame.l3_len, frame.l4_len, 0, 0, 0, 0);
	return header->gso_type == VIRTIO_NET_HDR_GSO_NONE ? 0 : read_gso(header, features, &frame, packet);
}

/* The checksum that the packet needs. Segmentation asks for that of its protocol, also when no flag does. */
static const struct transport *
needed_checksum(uint64_t flags)
{
	uint64_t csum = flags & RTE_MBUF_F_TX_L4_MASK;

	if (csum == 0)
		csum = (flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	for (size_t i = 0; i < RTE_DIM(transports); i++)
		if (transports[i].csum == csum)
			return &transports[i];
	return NULL;
}

static int
write_checksum(const struct rte_mbuf *packet, uint64_t features, const struct transport *transport,
	       struct virtio_net_hdr *header)
{
	uint32_t start = packet->l2_len + packet->l3_len;

	if (!negotiated(features, VIRTIO_NET_F_GUEST_CSUM) || transport == NULL)
		return -ENOTSUP;
	/* True of what a guest sent. */
	if (start + transport->csum_offset + sizeof(uint16_t) > packet->data_len)
		return -ENOTSUP;
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->csum_start = (uint16_t)start;
	header->csum_offset = transport->csum_offset;
	return 0;
}

static const struct gso *
needed_gso(uint64_t flags, uint64_t features, uint8_t protocol)
{
	for (size_t i = 0; i < RTE_DIM(gsos); i++)
		if ((flags & SEGMENTATION) == gsos[i].segmentation && (flags & gsos[i].ip) != 0 &&
		    gsos[i].protocol == protocol && negotiated(features, gsos[i].guest_feature))
			return &gsos[i];
	return NULL;
}

/* Its place in the first segment is one that write_checksum() has checked: before the checksum. */
static bool
has_cwr(const struct rte_mbuf *packet)
{
	return (*rte_pktmbuf_mtod_offset(packet, const uint8_t *,
					 packet->l2_len + packet->l3_len + offsetof(struct rte_tcp_hdr, tcp_flags)) &
		RTE_TCP_CWR_FLAG) != 0;
}

static int
write_gso(const struct rte_mbuf *packet, uint64_t features, uint8_t protocol, struct virtio_net_hdr *header)
{
	const struct gso *gso = needed_gso(packet->ol_flags, features, protocol);
	uint32_t headers = packet->l2_len + packet->l3_len + packet->l4_len;

	if (gso == NULL || packet->tso_segsz == 0 || headers > packet->data_len)
		return -ENOTSUP;
	header->gso_type = gso->type;
	header->gso_size = packet->tso_segsz;
	header->hdr_len = (uint16_t)headers;
	if (protocol == IPPROTO_TCP && has_cwr(packet)) {
		if (!negotiated(features, VIRTIO_NET_F_GUEST_ECN))
			return -ENOTSUP;
		header->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	}
	return 0;
}

/*
 * RTE_MBUF_F_RX_L4_CKSUM_NONE is taken for unknown: drivers do not agree whether it says that the data is good. The
 * guest looks for itself then.
 */
static void
write_validity(uint64_t flags, uint64_t features, struct virtio_net_hdr *header)
{
	if ((flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
	    negotiated(features, VIRTIO_NET_F_GUEST_CSUM))
		header->flags = VIRTIO_NET_HDR_F_DATA_VALID;
}

int
pv_net_header_write_offloads(const struct rte_mbuf *packet, uint64_t features, struct virtio_net_hdr *header)
{
	const struct transport *transport;

	if ((packet->ol_flags & NOT_OF_VIRTIO) != 0)
		return -ENOTSUP;
	if ((packet->ol_flags & (RTE_MBUF_F_TX_L4_MASK | SEGMENTATION)) == 0) {
		write_validity(packet->ol_flags, features, header);
		return 0;
	}
	transport = needed_checksum(packet->ol_flags);
	if (write_checksum(packet, features, transport, header) < 0)
		return -ENOTSUP;
	return (packet->ol_flags & SEGMENTATION) == 0 ? 0 : write_gso(packet, features, transport->protocol, header);
}
