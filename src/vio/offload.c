/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's librte_gso knows neither TCP over IPv6 nor checksums, keeps CWR in every segment, and refers to the packet,
 * which is a guest's memory here; so segments are made here, for both versions of IP alike, and copied: a checksum has
 * to look at each byte anyway. tests/unit/test_offload.c compares the two where both can do it.
 */
#include "vio/offload.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_memcpy.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vio/net_header.h"

#define FRAGMENT_UNIT 8u /* of IP: what a fragment's offset counts in */

/* RFC 8200, 4.5. */
struct fragment_header {
	uint8_t next, reserved;
	rte_be16_t place;
	uint32_t identification;
};

/* feature of the guest, and what it is here */
static const struct {
	uint64_t feature;
	uint32_t offload;
} of_guests[] = {
	{ 1ULL << VIRTIO_NET_F_GUEST_CSUM, PV_OFFLOAD_CSUM }, { 1ULL << VIRTIO_NET_F_GUEST_TSO4, PV_OFFLOAD_TSO4 },
	{ 1ULL << VIRTIO_NET_F_GUEST_TSO6, PV_OFFLOAD_TSO6 }, { 1ULL << VIRTIO_NET_F_GUEST_ECN, PV_OFFLOAD_ECN },
	{ 1ULL << VIRTIO_NET_F_GUEST_UFO, PV_OFFLOAD_UFO },
};

uint32_t
pv_offload_of_guest(uint64_t features)
{
	uint32_t offloads = 0;

	for (size_t i = 0; i < RTE_DIM(of_guests); i++)
		if ((features & of_guests[i].feature) != 0)
			offloads |= of_guests[i].offload;
	return offloads;
}

static inline uint32_t
network_at(const struct rte_mbuf *packet)
{
	return packet->l2_len;
}

static inline uint32_t
transport_at(const struct rte_mbuf *packet)
{
	return packet->l2_len + packet->l3_len;
}

static inline bool
is_ipv4(const struct rte_mbuf *packet)
{
	return (packet->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
}

static bool
has_cwr(const struct rte_mbuf *packet)
{
	uint32_t at = transport_at(packet) + offsetof(struct rte_tcp_hdr, tcp_flags);

	return at < packet->data_len && (*rte_pktmbuf_mtod_offset(packet, const uint8_t *, at) & RTE_TCP_CWR_FLAG) != 0;
}

uint32_t
pv_offload_needed(const struct rte_mbuf *packet)
{
	uint32_t needed = PV_OFFLOAD_CSUM;

	if ((packet->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0)
		needed |= PV_OFFLOAD_UFO;
	if ((packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
		needed |= is_ipv4(packet) ? PV_OFFLOAD_TSO4 : PV_OFFLOAD_TSO6;
		if (has_cwr(packet))
			needed |= PV_OFFLOAD_ECN;
	}
	return needed;
}

/* Bytes that precede the payload of each segment of the packet. */
static uint32_t
headers_of(const struct rte_mbuf *packet)
{
	return transport_at(packet) + ((packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? packet->l4_len : 0);
}

/* The same with what is added to them. */
static uint32_t
headers_sent(const struct rte_mbuf *packet)
{
	bool adds_fragment = (packet->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0 && !is_ipv4(packet);

	return headers_of(packet) + (adds_fragment ? (uint32_t)sizeof(struct fragment_header) : 0);
}

uint32_t
pv_offload_longest(const struct rte_mbuf *packet)
{
	return headers_sent(packet) + packet->tso_segsz;
}

int
pv_offload_complete(struct rte_mbuf *packet)
{
	bool tcp = (packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;
	const struct virtio_net_hdr request = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)transport_at(packet),
		.csum_offset = tcp ? offsetof(struct rte_tcp_hdr, cksum) : offsetof(struct rte_udp_hdr, dgram_cksum),
	};
	int result = pv_net_header_complete(&request, packet);

	packet->ol_flags &= ~(PV_OFFLOAD_FLAGS | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	return result;
}

bool
pv_offload_is_own(const struct rte_mbuf *packet)
{
	for (; packet != NULL; packet = packet->next)
		if (RTE_MBUF_HAS_EXTBUF(packet))
			return false;
	return true;
}

int
pv_offload_own(struct rte_mbuf *packet, struct rte_mempool *pool)
{
	struct rte_mbuf *rest;

	if (packet->pkt_len - packet->data_len <= rte_pktmbuf_tailroom(packet))
		return rte_pktmbuf_linearize(packet);
	rest = rte_pktmbuf_copy(packet, pool, packet->data_len, UINT32_MAX);
	if (rest == NULL)
		return -ENOMEM;
	rte_pktmbuf_free(packet->next);
	packet->next = rest;
	packet->nb_segs = rest->nb_segs + 1;
	return 0;
}

/* --- segmentation ------------------------------------------------------------------------------------------------- */

/* IPv6 with extension headers: the fragment header's place would be among them. */
static bool
can_be_fragmented(const struct rte_mbuf *packet)
{
	return is_ipv4(packet) || packet->l3_len == sizeof(struct rte_ipv6_hdr);
}

/* Fragments of UDP share the one checksum, which is in the first of them. */
static int
prepare_fragments(struct rte_mbuf *packet)
{
	uint64_t flags = packet->ol_flags;
	int result;

	if (!can_be_fragmented(packet))
		return -EINVAL;
	packet->ol_flags = (flags & ~PV_OFFLOAD_FLAGS) | RTE_MBUF_F_TX_UDP_CKSUM;
	result = pv_offload_complete(packet);
	packet->ol_flags = flags;
	return result;
}

/*
 * Whether the headers are as long as what is written into them, and of one kind each. Of what a guest sent that is
 * known; stages make packets, too.
 */
static bool
headers_can_be(const struct rte_mbuf *packet)
{
	uint64_t ip = packet->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	bool tcp = (packet->ol_flags & PV_SEGMENTATION_FLAGS) == RTE_MBUF_F_TX_TCP_SEG;

	if (!tcp && (packet->ol_flags & PV_SEGMENTATION_FLAGS) != RTE_MBUF_F_TX_UDP_SEG)
		return false;
	if (packet->l2_len < sizeof(struct rte_ether_hdr) || (tcp && packet->l4_len < sizeof(struct rte_tcp_hdr)))
		return false;
	return (ip == RTE_MBUF_F_TX_IPV4 && packet->l3_len >= sizeof(struct rte_ipv4_hdr)) ||
	       (ip == RTE_MBUF_F_TX_IPV6 && packet->l3_len >= sizeof(struct rte_ipv6_hdr));
}

int
pv_segmenter_begin(struct pv_segmenter *segmenter, struct rte_mbuf *packet, struct rte_mempool *pool,
		   bool leaves_checksum)
{
	bool udp = (packet->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0;
	uint32_t headers = headers_of(packet);
	uint32_t size = udp ? packet->tso_segsz & ~(FRAGMENT_UNIT - 1) : packet->tso_segsz;

	if (!headers_can_be(packet) || size == 0 || headers > packet->data_len || headers >= packet->pkt_len ||
	    (packet->pkt_len - headers) / size >= PV_SEGMENTS_MAX ||
	    headers_sent(packet) + size > (uint32_t)rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM)
		return -EINVAL;
	if (udp && prepare_fragments(packet) != 0)
		return -EINVAL;
	*segmenter = (struct pv_segmenter){
		.packet = packet,
		.pool = pool,
		.from = packet,
		.offset = headers,
		.left = packet->pkt_len - headers,
		.headers = (uint16_t)headers,
		.size = (uint16_t)size,
		.identification = (uint32_t)rte_rdtsc(),
		.leaves_checksum = leaves_checksum && !udp,
	};
	return 0;
}

/* Copies the next bytes of the payload, which are there. */
static void
copy_payload(struct pv_segmenter *segmenter, char *to, uint32_t length)
{
	while (length > 0) {
		const struct rte_mbuf *from = segmenter->from;
		uint32_t part = RTE_MIN(from->data_len - segmenter->offset, length);

		rte_memcpy(to, rte_pktmbuf_mtod_offset(from, const char *, segmenter->offset), part);
		to += part;
		length -= part;
		segmenter->offset += part;
		if (segmenter->offset == from->data_len) {
			segmenter->from = from->next;
			segmenter->offset = 0;
		}
	}
}

/* The IP header of a segment with so many bytes behind it. */
static void
finish_network(const struct pv_segmenter *segmenter, struct rte_mbuf *segment, uint32_t behind)
{
	const struct rte_mbuf *packet = segmenter->packet;
	struct rte_ipv4_hdr *ipv4 = rte_pktmbuf_mtod_offset(segment, struct rte_ipv4_hdr *, network_at(packet));
	struct rte_ipv6_hdr *ipv6 = (void *)ipv4;

	if (!is_ipv4(packet)) {
		ipv6->payload_len = rte_cpu_to_be_16((uint16_t)(packet->l3_len - sizeof(*ipv6) + behind));
		return;
	}
	ipv4->total_length = rte_cpu_to_be_16((uint16_t)(packet->l3_len + behind));
	ipv4->hdr_checksum = 0;
	ipv4->hdr_checksum = (uint16_t)~rte_raw_cksum(ipv4, packet->l3_len);
}

static uint16_t
fold(uint32_t sum)
{
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/*
 * The sum of the pseudo header of a segment: that of the packet, which is in its checksum field, with another length
 * (RFC 1624). So extension headers, whose last word on the destination the sender has heeded, are no matter here.
 */
static uint16_t
pseudo_sum(const struct rte_mbuf *packet, uint16_t sum, uint32_t length)
{
	uint16_t before = rte_cpu_to_be_16((uint16_t)(packet->pkt_len - transport_at(packet)));

	return fold((uint32_t)sum + (uint16_t)~before + rte_cpu_to_be_16((uint16_t)length));
}

/* What the header of each segment says about it; FIN and PSH are about the last byte, CWR about the first segment. */
static void
finish_tcp(const struct pv_segmenter *segmenter, struct rte_mbuf *segment, uint32_t payload)
{
	const struct rte_mbuf *packet = segmenter->packet;
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(segment, struct rte_tcp_hdr *, transport_at(packet));
	uint32_t length = packet->l4_len + payload;
	uint16_t sum = pseudo_sum(packet, tcp->cksum, length);

	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + segmenter->done);
	if (segmenter->left > payload)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (segmenter->number > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	tcp->cksum = sum;
	if (segmenter->leaves_checksum) {
		/* Other flags are about the packet's own buffer, or where it came from. */
		segment->ol_flags =
			(packet->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)) | RTE_MBUF_F_TX_TCP_CKSUM;
		segment->tx_offload = packet->tx_offload;
		segment->tso_segsz = 0;
	} else {
		tcp->cksum = (uint16_t)~rte_raw_cksum(tcp, length); /* with what is in the field */
	}
}

static void
finish_segment(const struct pv_segmenter *segmenter, struct rte_mbuf *segment, uint32_t payload)
{
	const struct rte_mbuf *packet = segmenter->packet;
	struct rte_ipv4_hdr *ipv4 = rte_pktmbuf_mtod_offset(segment, struct rte_ipv4_hdr *, network_at(packet));

	if (is_ipv4(packet))
		ipv4->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ipv4->packet_id) + segmenter->number));
	finish_network(segmenter, segment, packet->l4_len + payload);
	finish_tcp(segmenter, segment, payload);
}

static void
finish_fragment(const struct pv_segmenter *segmenter, struct rte_mbuf *segment, uint32_t payload)
{
	const struct rte_mbuf *packet = segmenter->packet;
	bool more = segmenter->left > payload;
	struct rte_ipv4_hdr *ipv4 = rte_pktmbuf_mtod_offset(segment, struct rte_ipv4_hdr *, network_at(packet));
	struct rte_ipv6_hdr *ipv6 = (void *)ipv4;
	uint16_t place = (uint16_t)(segmenter->done / FRAGMENT_UNIT);
	struct fragment_header fragment;

	if (is_ipv4(packet)) {
		ipv4->fragment_offset = rte_cpu_to_be_16(place | (more ? RTE_IPV4_HDR_MF_FLAG : 0));
		finish_network(segmenter, segment, payload);
		return;
	}
	fragment = (struct fragment_header){
		.next = ipv6->proto,
		.place = rte_cpu_to_be_16((uint16_t)(place << 3 | more)),
		.identification = segmenter->identification,
	};
	memcpy(ipv6 + 1, &fragment, sizeof(fragment));
	ipv6->proto = IPPROTO_FRAGMENT;
	finish_network(segmenter, segment, sizeof(fragment) + payload);
}

struct rte_mbuf *
pv_segmenter_next(struct pv_segmenter *segmenter)
{
	const struct rte_mbuf *packet = segmenter->packet;
	uint32_t payload = RTE_MIN(segmenter->left, (uint32_t)segmenter->size), headers = headers_sent(packet);
	struct rte_mbuf *segment = payload > 0 ? rte_pktmbuf_alloc(segmenter->pool) : NULL;
	char *frame;

	if (segment == NULL)
		return NULL;
	frame = rte_pktmbuf_mtod(segment, char *);
	segment->port = packet->port;
	segment->data_len = (uint16_t)(headers + payload);
	segment->pkt_len = segment->data_len;
	memcpy(frame, rte_pktmbuf_mtod(packet, const char *), segmenter->headers);
	copy_payload(segmenter, frame + headers, payload);
	if ((packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0)
		finish_segment(segmenter, segment, payload);
	else
		finish_fragment(segmenter, segment, payload);
	segmenter->left -= payload;
	segmenter->done += payload;
	segmenter->number++;
	return segment;
}
