/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_ether.h>

#include "../fuzz/net_header_rules.h"

#define FRAME_MAX 65536
#define PROTOCOL_AT 9	  /* in an IPv4 header */
#define NEXT_HEADER_AT 6  /* in an IPv6 header */
#define TOTAL_LENGTH_AT 2 /* in an IPv4 header */
#define FRAGMENT_AT 6	  /* in an IPv4 header */
#define DATA_OFFSET_AT 12 /* in a TCP header */
#define TCP_FLAGS_AT 13	  /* in a TCP header */
#define CWR 0x80
#define CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM
#define BIT(n) (1ULL << (n))

/* What a frame consists of. */
struct shape {
	uint8_t tags;
	bool ipv6;
	uint8_t extensions; /* headers of 8 bytes in IPv6, words of options in IPv4 */
	uint8_t protocol;
	uint8_t tcp_options; /* in words */
	uint32_t payload;
	uint8_t gso_type;
	uint16_t gso_size;
};

/* A frame, and the header that a guest sends with it. */
static struct {
	uint8_t bytes[FRAME_MAX];
	uint32_t length, l2_len, l3_len, l4_len;
	struct virtio_net_hdr header;
} frame;

/* Places that end where no memory follows. */
static uint8_t *guarded[3];
static struct rte_mbuf segments[3];
static struct rte_mbuf *const packet = &segments[0];

static const struct shape tcp4 = { .protocol = IPPROTO_TCP, .payload = 100 };
static const struct shape tcp6 = { .protocol = IPPROTO_TCP, .payload = 100, .ipv6 = true };
static const struct shape udp4 = { .protocol = IPPROTO_UDP, .payload = 100 };
static const struct shape udp6 = { .protocol = IPPROTO_UDP, .payload = 100, .ipv6 = true };

static const struct {
	struct shape shape;
	uint8_t host_feature, guest_feature;
	uint64_t flags;
} segmentations[] = {
	{ { .protocol = IPPROTO_TCP, .payload = 3000, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 },
	  VIRTIO_NET_F_HOST_TSO4,
	  VIRTIO_NET_F_GUEST_TSO4,
	  RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 },
	{ { .protocol = IPPROTO_TCP,
	    .payload = 3000,
	    .ipv6 = true,
	    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
	    .gso_size = 1428 },
	  VIRTIO_NET_F_HOST_TSO6,
	  VIRTIO_NET_F_GUEST_TSO6,
	  RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV6 },
	{ { .protocol = IPPROTO_UDP, .payload = 3000, .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1480 },
	  VIRTIO_NET_F_HOST_UFO,
	  VIRTIO_NET_F_GUEST_UFO,
	  RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4 },
	{ { .protocol = IPPROTO_UDP,
	    .payload = 3000,
	    .ipv6 = true,
	    .gso_type = VIRTIO_NET_HDR_GSO_UDP,
	    .gso_size = 1448 },
	  VIRTIO_NET_F_HOST_UFO,
	  VIRTIO_NET_F_GUEST_UFO,
	  RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV6 },
};

static void
put16(uint32_t at, uint32_t value)
{
	frame.bytes[at] = (uint8_t)(value >> 8);
	frame.bytes[at + 1] = (uint8_t)value;
}

static void
put_ethernet(const struct shape *shape)
{
	for (uint8_t tag = 0; tag < shape->tags; tag++)
		put16(12 + tag * 4, tag == 0 && shape->tags > 1 ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN);
	frame.l2_len = 14 + shape->tags * 4;
	put16(frame.l2_len - 2, shape->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

static void
put_ipv4(const struct shape *shape)
{
	uint8_t *ip = frame.bytes + frame.l2_len;

	frame.l3_len = 20 + shape->extensions * 4;
	ip[0] = 0x40 | (uint8_t)(frame.l3_len / 4);
	ip[PROTOCOL_AT] = shape->protocol;
	put16(frame.l2_len + FRAGMENT_AT, 0x4000);
}

static void
put_ipv6(const struct shape *shape)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING };
	uint8_t *ip = frame.bytes + frame.l2_len;

	frame.l3_len = 40 + shape->extensions * 8;
	ip[0] = 0x60;
	ip[NEXT_HEADER_AT] = shape->extensions == 0 ? shape->protocol : kinds[0];
	for (uint8_t i = 0; i < shape->extensions; i++) {
		ip[40 + i * 8] = i + 1 == shape->extensions ? shape->protocol : kinds[(i + 1) % RTE_DIM(kinds)];
		ip[40 + i * 8 + 1] = 0;
	}
}

static void
put_transport(const struct shape *shape)
{
	uint32_t at = frame.l2_len + frame.l3_len;

	frame.l4_len = shape->protocol == IPPROTO_UDP ? 8 : 0;
	if (shape->protocol == IPPROTO_TCP) {
		frame.l4_len = 20 + shape->tcp_options * 4;
		frame.bytes[at + DATA_OFFSET_AT] = (uint8_t)(frame.l4_len / 4 << 4);
		frame.bytes[at + TCP_FLAGS_AT] = 0x10;
	}
	frame.length = at + frame.l4_len + shape->payload;
}

/* Sets the IP length to `length` bytes from the IP header on. */
static void
put_ip_length(const struct shape *shape, uint32_t length)
{
	if (shape->ipv6)
		put16(frame.l2_len + 4, length - 40);
	else
		put16(frame.l2_len + TOTAL_LENGTH_AT, length);
}

static void
build(const struct shape *shape)
{
	for (uint32_t i = 0; i < 256 + shape->payload; i++)
		frame.bytes[i] = (uint8_t)(i * 31 + 7);
	put_ethernet(shape);
	if (shape->ipv6)
		put_ipv6(shape);
	else
		put_ipv4(shape);
	put_transport(shape);
	put_ip_length(shape, frame.length - frame.l2_len);
	frame.header = (struct virtio_net_hdr){
		.flags = CSUM,
		.gso_type = shape->gso_type,
		.gso_size = shape->gso_size,
		.csum_start = (uint16_t)(frame.l2_len + frame.l3_len),
		.csum_offset = shape->protocol == IPPROTO_UDP ? 6 : 16,
	};
}

static void
place(unsigned int segment, const uint8_t *bytes, uint32_t length)
{
	segments[segment] =
		(struct rte_mbuf){ .buf_addr = guarded[segment] - length, .data_len = (uint16_t)length, .nb_segs = 1 };
	memcpy(guarded[segment] - length, bytes, length);
}

/* The packet with `first` bytes in its first segment. */
static void
split(uint32_t first)
{
	place(0, frame.bytes, first);
	place(1, frame.bytes + first, frame.length - first);
	packet->pkt_len = frame.length;
	if (first < frame.length) {
		packet->next = &segments[1];
		packet->nb_segs = 2;
	}
}

static int
read_split(uint32_t first, uint64_t features)
{
	const char *broken;
	bool accepted;

	split(first);
	broken = rules_of_read(packet, &frame.header, features, &accepted);
	if (broken != NULL)
		fail_msg("%s", broken);
	return accepted ? 0 : -EINVAL;
}

/* As most tests do it: linear, from a guest that negotiated all. */
static int
read_all(void)
{
	return read_split(frame.length, RULES_ALL_FEATURES);
}

static void
assert_refused(void)
{
	assert_int_equal(read_all(), -EINVAL);
}

static void
assert_request(uint64_t flags, uint16_t segsz)
{
	assert_int_equal(read_all(), 0);
	assert_int_equal(packet->ol_flags, flags);
	assert_int_equal(packet->l2_len, frame.l2_len);
	assert_int_equal(packet->l3_len, frame.l3_len);
	assert_int_equal(packet->l4_len, frame.l4_len);
	assert_int_equal(packet->tso_segsz, segsz);
}

static uint64_t
checksum_flags(const struct shape *shape)
{
	return (shape->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
	       (shape->protocol == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
}

static void
an_empty_header_asks_for_nothing(void **state)
{
	build(&tcp4);
	frame.header = (struct virtio_net_hdr){ 0 };
	assert_int_equal(read_split(frame.length, 0), 0);
	assert_int_equal(packet->ol_flags, 0);
	assert_int_equal(packet->tx_offload, 0);
}

static void
an_empty_header_goes_with_any_frame(void **state)
{
	static const struct virtio_net_hdr empty;

	build(&tcp4);
	frame.header = empty;
	memset(frame.bytes, 0xff, sizeof(frame.bytes));
	for (frame.length = 0; frame.length < 100; frame.length++)
		assert_int_equal(read_all(), 0);
}

static void
flags_other_than_needs_csum_are_ignored(void **state)
{
	build(&tcp4);
	for (unsigned int flags = 0; flags < 256; flags++) {
		frame.header.flags = (uint8_t)flags;
		assert_int_equal(read_all(), 0);
		assert_int_equal(packet->ol_flags, (flags & CSUM) != 0 ? checksum_flags(&tcp4) : 0);
	}
}

static void
a_checksum_of_tcp_or_udp_becomes_a_request_behind_any_tags(void **state)
{
	const struct shape *shapes[] = { &tcp4, &tcp6, &udp4, &udp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++)
		for (uint8_t tags = 0; tags <= 2; tags++) {
			struct shape shape = *shapes[i];

			shape.tags = tags;
			build(&shape);
			assert_request(checksum_flags(&shape), 0);
		}
}

static void
options_and_extension_headers_count_for_the_lengths(void **state)
{
	for (uint8_t words = 0; words <= 10; words++) {
		struct shape shape = { .protocol = IPPROTO_TCP, .extensions = words, .tcp_options = 10 - words };

		build(&shape);
		assert_request(checksum_flags(&shape), 0);
	}
	for (uint8_t headers = 0; headers <= 8; headers++) {
		struct shape shape = { .protocol = IPPROTO_UDP, .ipv6 = true, .extensions = headers };

		build(&shape);
		assert_request(checksum_flags(&shape), 0);
	}
}

static void
the_pseudo_header_in_the_checksum_field_stays(void **state)
{
	build(&segmentations[0].shape);
	put16(frame.header.csum_start + 16, 0xabcd);
	assert_int_equal(read_all(), 0);
	assert_memory_equal(rte_pktmbuf_mtod(packet, uint8_t *), frame.bytes, frame.length);
}

static void
a_checksum_is_refused_when_csum_is_not_negotiated(void **state)
{
	build(&udp6);
	assert_int_equal(read_split(frame.length, RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_CSUM)), -EINVAL);
	assert_int_equal(read_split(frame.length, BIT(VIRTIO_NET_F_CSUM)), 0);
}

static void
a_csum_offset_of_another_protocol_is_refused(void **state)
{
	const struct shape *shapes[] = { &tcp4, &udp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++) {
		build(shapes[i]);
		for (unsigned int offset = 0; offset <= UINT16_MAX; offset++) {
			bool right = offset == (shapes[i]->protocol == IPPROTO_TCP ? 16 : 6);

			frame.header.csum_offset = (uint16_t)offset;
			assert_int_equal(read_all(), right ? 0 : -EINVAL);
		}
	}
}

static void
a_csum_start_inside_the_headers_is_refused(void **state)
{
	const struct shape *shapes[] = { &tcp4, &tcp6, &udp4, &udp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++) {
		build(shapes[i]);
		for (uint16_t start = 0; start < frame.l2_len + frame.l3_len + frame.l4_len; start++) {
			frame.header.csum_start = start;
			assert_int_equal(read_all(), start == frame.l2_len + frame.l3_len ? 0 : -EINVAL);
		}
	}
}

static void
a_checksum_beyond_the_packet_or_its_first_segment_is_refused(void **state)
{
	build(&udp4);
	frame.header.csum_start = 60;
	for (unsigned int offset = 0; offset <= UINT16_MAX; offset += offset < 200 ? 1 : 97) {
		frame.header.csum_offset = (uint16_t)offset;
		assert_int_equal(read_all(), 60 + offset + 2 <= frame.length ? 0 : -EINVAL);
		assert_int_equal(read_split(80, RULES_ALL_FEATURES), 60 + offset + 2 <= 80 ? 0 : -EINVAL);
	}
	frame.header.csum_start = UINT16_MAX;
	frame.header.csum_offset = UINT16_MAX;
	assert_refused();
}

/* That the sum is right is a rule of each read. */
static void
assert_computed(void)
{
	assert_int_equal(read_all(), 0);
	assert_int_equal(packet->ol_flags, 0);
	assert_memory_not_equal(rte_pktmbuf_mtod(packet, uint8_t *), frame.bytes, frame.length);
}

static void
the_checksum_of_a_packet_in_a_tunnel_is_computed_here(void **state)
{
	struct shape gre = { .protocol = IPPROTO_GRE, .payload = 200 };

	build(&udp4);
	frame.header.csum_start = 14 + 20 + 8 + 8 + 14 + 20;
	frame.header.csum_offset = 16;
	assert_computed();
	build(&gre);
	frame.header.csum_start = 14 + 20 + 4 + 20;
	frame.header.csum_offset = 6;
	assert_computed();
}

static void
a_checksum_behind_what_is_not_ip_is_computed_here(void **state)
{
	struct shape three_tags = { .tags = 3, .protocol = IPPROTO_TCP };

	build(&udp4);
	put16(12, RTE_ETHER_TYPE_ARP);
	assert_computed();
	build(&three_tags);
	assert_computed();
	frame.header.csum_start = 21;
	assert_refused();
}

static void
a_computed_checksum_is_right_however_the_frame_is_cut(void **state)
{
	build(&udp4);
	for (uint16_t start = 42; start < 60; start++)
		for (uint32_t first = 70; first <= frame.length; first++) {
			frame.header.csum_start = start;
			assert_int_equal(read_split(first, RULES_ALL_FEATURES), 0);
		}
}

static void
a_computed_checksum_is_right_behind_an_odd_segment_of_many_ones(void **state)
{
	struct shape gre = { .protocol = IPPROTO_GRE, .payload = 60000 };

	build(&gre);
	memset(frame.bytes + 34, 0xff, 60000);
	frame.header.csum_start = 34;
	assert_int_equal(read_split(1001, RULES_ALL_FEATURES), 0);
	assert_int_equal(read_split(40001, RULES_ALL_FEATURES), 0);
}

static void
a_computed_checksum_is_right_over_two_odd_segments(void **state)
{
	uint8_t *flat;

	build(&udp4);
	frame.header.csum_start = 50;
	split(81);
	place(1, frame.bytes + 81, 21);
	place(2, frame.bytes + 102, frame.length - 102);
	segments[1].next = &segments[2];
	packet->nb_segs = 3;
	assert_int_equal(pv_net_header_read(&frame.header, RULES_ALL_FEATURES, packet), 0);
	flat = rules_flat(packet);
	rules_finish_checksum(frame.bytes, frame.length, 50, 6);
	assert_memory_equal(flat, frame.bytes, frame.length);
	free(flat);
}

static void
a_computed_checksum_of_zero_is_written_as_all_ones(void **state)
{
	build(&udp4);
	memset(frame.bytes + 50, 0, frame.length - 50);
	put16(60, 0xffff);
	frame.header.csum_start = 50;
	frame.header.csum_offset = 4;
	assert_int_equal(read_all(), 0);
	assert_int_equal(rte_pktmbuf_mtod(packet, uint8_t *)[54], 0xff);
	assert_int_equal(rte_pktmbuf_mtod(packet, uint8_t *)[55], 0xff);
}

/* What the host's kernel leaves to a device, whatever the frame is. */
static void
a_checksum_that_the_host_left_is_computed(void **state)
{
	const struct shape *shapes[] = { &tcp4, &tcp6, &udp4, &udp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++) {
		build(shapes[i]);
		split(frame.length);
		assert_int_equal(pv_net_header_complete(&frame.header, packet), 0);
		rules_finish_checksum(frame.bytes, frame.length, frame.header.csum_start, frame.header.csum_offset);
		assert_memory_equal(rte_pktmbuf_mtod(packet, uint8_t *), frame.bytes, frame.length);
	}
}

static void
a_checksum_of_the_host_beyond_the_first_segment_is_refused(void **state)
{
	build(&tcp4);
	for (uint32_t first = 0; first <= frame.length; first++) {
		split(first);
		assert_int_equal(pv_net_header_complete(&frame.header, packet), first >= 34 + 18 ? 0 : -EINVAL);
	}
	split(frame.length);
	for (uint32_t start = 0; start <= UINT16_MAX; start++) {
		frame.header.csum_start = (uint16_t)start;
		assert_int_equal(pv_net_header_complete(&frame.header, packet),
				 start + 18 <= frame.length ? 0 : -EINVAL);
	}
}

/* A bit at a time, as RFC 9260, appendix A, defines it. */
static uint32_t
crc32c(const uint8_t *bytes, uint32_t length)
{
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc % 2 * 0x82f63b78);
	}
	return ~crc;
}

static void
a_crc_of_sctp_that_the_host_left_is_computed(void **state)
{
	struct shape sctp = { .protocol = IPPROTO_SCTP, .payload = 123 };
	uint32_t crc;

	assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283); /* the check value of CRC-32C */
	build(&sctp);
	frame.header.csum_offset = 8;
	memset(frame.bytes + 34 + 8, 0, sizeof(crc));
	crc = crc32c(frame.bytes + 34, frame.length - 34);
	for (uint32_t first = 34 + 12; first <= frame.length; first++) {
		split(first);
		assert_int_equal(pv_net_header_complete(&frame.header, packet), 0);
		assert_memory_equal(rte_pktmbuf_mtod_offset(packet, uint8_t *, 34 + 8), &crc, sizeof(crc));
	}
	split(34 + 11);
	assert_int_equal(pv_net_header_complete(&frame.header, packet), -EINVAL);
}

static void
a_fragment_is_refused(void **state)
{
	struct shape extended = { .protocol = IPPROTO_FRAGMENT, .ipv6 = true, .extensions = 1, .payload = 100 };

	build(&udp4);
	put16(frame.l2_len + FRAGMENT_AT, 0x2000);
	assert_refused();
	put16(frame.l2_len + FRAGMENT_AT, 0x0001);
	assert_refused();
	put16(frame.l2_len + FRAGMENT_AT, 0x8000);
	assert_int_equal(read_all(), 0);
	build(&extended);
	assert_refused();
}

static void
an_ip_header_that_is_none_is_refused(void **state)
{
	const struct shape *shapes[] = { &tcp4, &tcp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++)
		for (uint8_t version = 0; version < 16; version++) {
			build(shapes[i]);
			frame.bytes[14] = (uint8_t)(version << 4 | (frame.bytes[14] & 15));
			assert_int_equal(read_all(), version == (shapes[i]->ipv6 ? 6 : 4) ? 0 : -EINVAL);
		}
	for (uint8_t words = 0; words < 5; words++) {
		build(&tcp4);
		frame.bytes[14] = 0x40 | words;
		frame.header.csum_start = 14 + words * 4;
		assert_refused();
	}
}

static void
an_ip_length_that_the_frame_or_the_headers_contradict_is_refused(void **state)
{
	const struct shape *shapes[] = { &tcp4, &tcp6, &udp4, &udp6 };

	for (size_t i = 0; i < RTE_DIM(shapes); i++) {
		build(shapes[i]);
		for (uint32_t length = shapes[i]->ipv6 ? 40 : 0; length <= UINT16_MAX; length++) {
			bool fits = length >= frame.l3_len + frame.l4_len && length <= frame.length - frame.l2_len;

			put_ip_length(shapes[i], length);
			assert_int_equal(read_all(), fits ? 0 : -EINVAL);
		}
	}
}

static void
extension_headers_are_bounded(void **state)
{
	struct shape nine = { .protocol = IPPROTO_TCP, .ipv6 = true, .extensions = 9 };
	struct shape one = { .protocol = IPPROTO_UDP, .ipv6 = true, .extensions = 1, .payload = 3000 };

	build(&nine);
	assert_refused();
	for (unsigned int length = 0; length < 256; length++) {
		build(&one);
		frame.bytes[14 + 40 + 1] = (uint8_t)length;
		frame.header.csum_start = (uint16_t)(14 + 40 + 8 * (length + 1));
		assert_int_equal(read_all(), 40 + 8 * (length + 1) <= 511 ? 0 : -EINVAL);
	}
}

static void
a_tcp_data_offset_that_is_too_small_or_beyond_the_frame_is_refused(void **state)
{
	struct shape shape = { .protocol = IPPROTO_TCP, .payload = 20 };

	build(&shape);
	for (uint8_t words = 0; words < 16; words++) {
		frame.bytes[14 + 20 + DATA_OFFSET_AT] = (uint8_t)(words << 4);
		assert_int_equal(read_all(), words >= 5 && words <= 10 ? 0 : -EINVAL);
	}
}

static void
headers_are_read_in_the_first_segment_only(void **state)
{
	struct shape shapes[] = {
		{ .tags = 2, .protocol = IPPROTO_TCP, .extensions = 3, .tcp_options = 4, .payload = 50 },
		{ .tags = 1, .protocol = IPPROTO_UDP, .extensions = 3, .ipv6 = true, .payload = 50 },
	};

	for (size_t i = 0; i < RTE_DIM(shapes); i++) {
		build(&shapes[i]);
		for (uint32_t first = 0; first <= frame.length; first++) {
			bool there = first >= frame.l2_len + frame.l3_len + frame.l4_len;

			assert_int_equal(read_split(first, RULES_ALL_FEATURES), there ? 0 : -EINVAL);
		}
	}
}

static void
a_frame_that_is_cut_short_is_refused(void **state)
{
	struct shape shape = { .tags = 2, .protocol = IPPROTO_TCP, .extensions = 8, .ipv6 = true, .payload = 50 };
	uint32_t whole;

	build(&shape);
	whole = frame.length;
	for (frame.length = 0; frame.length < whole; frame.length++)
		assert_refused();
	assert_int_equal(read_all(), 0);
}

static void
a_large_frame_becomes_a_request_for_segmentation(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++)
		for (uint8_t extensions = 0; extensions <= 4; extensions++) {
			struct shape shape = segmentations[i].shape;

			shape.tags = extensions % 3;
			shape.extensions = extensions;
			shape.tcp_options = extensions;
			build(&shape);
			assert_request(segmentations[i].flags, shape.gso_size);
		}
}

static void
segmentation_is_refused_when_it_is_not_negotiated(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		uint64_t feature = BIT(segmentations[i].host_feature);

		build(&segmentations[i].shape);
		assert_int_equal(read_split(frame.length, RULES_ALL_FEATURES & ~feature), -EINVAL);
		assert_int_equal(read_split(frame.length, feature | BIT(VIRTIO_NET_F_CSUM)), 0);
		assert_int_equal(read_split(frame.length, feature), -EINVAL);
	}
}

static void
segmentation_without_a_checksum_is_refused(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		build(&segmentations[i].shape);
		frame.header.flags = 0;
		assert_refused();
		frame.header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
		assert_refused();
	}
}

static void
segmentation_of_a_packet_in_a_tunnel_is_refused(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		build(&segmentations[i].shape);
		frame.header.csum_start += 100;
		assert_refused();
	}
}

static void
a_gso_type_is_refused_unless_the_frame_is_of_it(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		build(&segmentations[i].shape);
		for (unsigned int type = 1; type < 256; type++) {
			uint8_t own = segmentations[i].shape.gso_type;
			bool tcp = segmentations[i].shape.protocol == IPPROTO_TCP;

			frame.header.gso_type = (uint8_t)type;
			assert_int_equal(read_all(), type == own || (tcp && type == (own | CWR)) ? 0 : -EINVAL);
		}
	}
}

static void
ecn_is_refused_when_it_is_not_negotiated(void **state)
{
	build(&segmentations[0].shape);
	frame.header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	assert_int_equal(read_split(frame.length, RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_HOST_ECN)), -EINVAL);
	assert_int_equal(read_all(), 0);
}

static void
a_gso_size_of_zero_is_refused(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		build(&segmentations[i].shape);
		frame.header.gso_size = 0;
		assert_refused();
	}
}

static void
a_frame_of_more_segments_than_anybody_makes_is_refused(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		struct shape shape = segmentations[i].shape;

		shape.gso_size = 10;
		shape.payload = 10 * PV_SEGMENTS_MAX - 1 - (shape.protocol == IPPROTO_UDP ? 8 : 0);
		build(&shape);
		assert_request(segmentations[i].flags, 10);
		shape.payload++;
		build(&shape);
		assert_refused();
	}
}

static void
a_frame_to_segment_ends_with_its_ip_datagram(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		build(&segmentations[i].shape);
		frame.length++;
		assert_refused();
	}
}

static void
a_frame_of_one_segment_is_not_segmented(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		const struct shape *shape = &segmentations[i].shape;
		uint16_t whole = shape->protocol == IPPROTO_UDP ? 3008 : 3000; /* a fragment carries the UDP header */

		build(shape);
		frame.header.gso_size = whole;
		assert_request(checksum_flags(shape), 0);
		frame.header.gso_size = UINT16_MAX;
		assert_request(checksum_flags(shape), 0);
		frame.header.gso_size = whole - 1;
		assert_request(segmentations[i].flags, whole - 1);
	}
}

static void
hdr_len_is_not_believed(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 54, 5000, UINT16_MAX };

	build(&segmentations[0].shape);
	for (size_t i = 0; i < RTE_DIM(lengths); i++) {
		frame.header.hdr_len = lengths[i];
		assert_request(segmentations[0].flags, segmentations[0].shape.gso_size);
	}
}

/* A packet as our own stages could make one, over a frame of the shape. */
static void
ask(const struct shape *shape, uint64_t flags, uint16_t segsz)
{
	build(shape);
	split(frame.length);
	packet->ol_flags = flags;
	packet->tx_offload = rte_mbuf_tx_offload(frame.l2_len, frame.l3_len, frame.l4_len, segsz, 0, 0, 0);
}

static int
write_for(uint64_t features, struct virtio_net_hdr *header)
{
	const char *broken = rules_of_write(packet, features);

	if (broken != NULL)
		fail_msg("%s", broken);
	memset(header, 0xff, sizeof(*header));
	return pv_net_header_write(packet, features, header);
}

static void
assert_written(uint64_t features, const struct virtio_net_hdr *expected)
{
	struct virtio_net_hdr header;

	assert_int_equal(write_for(features, &header), 0);
	assert_memory_equal(&header, expected, sizeof(header));
}

static void
assert_not_written(uint64_t features)
{
	struct virtio_net_hdr header;

	assert_int_equal(write_for(features, &header), -ENOTSUP);
}

static void
a_packet_without_requests_gets_an_empty_header(void **state)
{
	static const struct virtio_net_hdr empty;

	ask(&tcp4, 0, 0);
	assert_written(0, &empty);
	ask(&tcp4, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_EXTERNAL, 100);
	assert_written(RULES_ALL_FEATURES, &empty);
}

static void
only_a_good_checksum_is_said_to_be_valid(void **state)
{
	static const struct virtio_net_hdr empty, valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

	ask(&tcp4, RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0);
	assert_written(BIT(VIRTIO_NET_F_GUEST_CSUM), &valid);
	assert_written(RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_GUEST_CSUM), &empty);
	ask(&tcp4, RTE_MBUF_F_RX_L4_CKSUM_BAD, 0);
	assert_written(RULES_ALL_FEATURES, &empty);
	ask(&tcp4, RTE_MBUF_F_RX_L4_CKSUM_NONE, 0);
	assert_written(RULES_ALL_FEATURES, &empty);
}

static void
a_checksum_needs_a_guest_that_negotiated_guest_csum(void **state)
{
	const struct virtio_net_hdr tcp = { .flags = CSUM, .csum_start = 34, .csum_offset = 16 };
	const struct virtio_net_hdr udp = { .flags = CSUM, .csum_start = 54, .csum_offset = 6 };

	ask(&tcp4, checksum_flags(&tcp4), 0);
	assert_written(BIT(VIRTIO_NET_F_GUEST_CSUM), &tcp);
	assert_not_written(RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_GUEST_CSUM));
	ask(&udp6, checksum_flags(&udp6) | RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0);
	assert_written(BIT(VIRTIO_NET_F_GUEST_CSUM), &udp);
}

static void
segments_need_a_guest_that_negotiated_them(void **state)
{
	for (size_t i = 0; i < RTE_DIM(segmentations); i++) {
		const struct shape *shape = &segmentations[i].shape;
		uint64_t needed = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(segmentations[i].guest_feature);
		struct virtio_net_hdr expected;

		ask(shape, segmentations[i].flags, shape->gso_size);
		expected = frame.header;
		expected.hdr_len = (uint16_t)(frame.l2_len + frame.l3_len + frame.l4_len);
		assert_written(needed, &expected);
		assert_not_written(RULES_ALL_FEATURES & ~BIT(segmentations[i].guest_feature));
		assert_not_written(RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_GUEST_CSUM));
		packet->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
		assert_written(needed, &expected);
	}
}

static void
cwr_in_a_large_frame_needs_a_guest_that_negotiated_ecn(void **state)
{
	struct virtio_net_hdr header;

	ask(&segmentations[1].shape, segmentations[1].flags, 1428);
	rte_pktmbuf_mtod(packet, uint8_t *)[54 + TCP_FLAGS_AT] |= CWR;
	assert_not_written(RULES_ALL_FEATURES & ~BIT(VIRTIO_NET_F_GUEST_ECN));
	assert_int_equal(write_for(RULES_ALL_FEATURES, &header), 0);
	assert_int_equal(header.gso_type, VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN);
	ask(&tcp6, checksum_flags(&tcp6), 0);
	rte_pktmbuf_mtod(packet, uint8_t *)[54 + TCP_FLAGS_AT] |= CWR;
	assert_int_equal(write_for(BIT(VIRTIO_NET_F_GUEST_CSUM), &header), 0);
}

static void
a_request_that_virtio_has_no_field_for_is_refused(void **state)
{
	static const uint64_t requests[] = {
		RTE_MBUF_F_TX_IP_CKSUM,	      RTE_MBUF_F_TX_VLAN,	  RTE_MBUF_F_TX_QINQ,
		RTE_MBUF_F_TX_OUTER_IP_CKSUM, RTE_MBUF_F_TX_TUNNEL_VXLAN, RTE_MBUF_F_TX_OUTER_UDP_CKSUM,
		RTE_MBUF_F_TX_MACSEC,	      RTE_MBUF_F_TX_SEC_OFFLOAD,  RTE_MBUF_F_TX_SCTP_CKSUM,
	};

	for (size_t i = 0; i < RTE_DIM(requests); i++) {
		ask(&tcp4, requests[i] | RTE_MBUF_F_TX_IPV4, 0);
		assert_not_written(RULES_ALL_FEATURES);
	}
}

static void
a_request_that_contradicts_itself_is_refused(void **state)
{
	const struct shape *shape = &segmentations[0].shape;
	static const uint64_t wrong[] = {
		RTE_MBUF_F_TX_TCP_SEG,
		RTE_MBUF_F_TX_UDP_SEG,
		RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_IPV4,
		RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4,
		RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_SCTP_CKSUM | RTE_MBUF_F_TX_IPV4,
		RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4,
	};

	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		ask(shape, wrong[i], shape->gso_size);
		assert_not_written(RULES_ALL_FEATURES);
	}
	ask(shape, segmentations[0].flags, 0);
	assert_not_written(RULES_ALL_FEATURES);
}

static void
lengths_beyond_the_first_segment_are_refused(void **state)
{
	ask(&segmentations[0].shape, segmentations[0].flags, 1448);
	packet->data_len = 53;
	assert_not_written(RULES_ALL_FEATURES);
	ask(&tcp4, checksum_flags(&tcp4), 0);
	packet->data_len = 51;
	assert_not_written(RULES_ALL_FEATURES);
}

/* Random numbers that are the same in each run. */
static uint32_t
random_below(uint32_t limit)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % limit;
}

static bool
one_in(uint32_t n)
{
	return random_below(n) == 0;
}

/* Mostly right. */
static void
random_frame(void)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDP, IPPROTO_GRE };
	struct shape shape = {
		.tags = (uint8_t)random_below(4),
		.ipv6 = one_in(2),
		.extensions = one_in(3) ? (uint8_t)random_below(11) : 0,
		.protocol = protocols[random_below(RTE_DIM(protocols))],
		.tcp_options = (uint8_t)random_below(11),
		.payload = one_in(50) ? random_below(60000) : random_below(200),
	};

	if (one_in(2)) {
		shape.gso_type = shape.protocol == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP :
				 shape.ipv6		       ? VIRTIO_NET_HDR_GSO_TCPV6 :
								 VIRTIO_NET_HDR_GSO_TCPV4;
		shape.gso_size = (uint16_t)random_below(shape.payload + 2);
	}
	build(&shape);
}

/* Bytes of the header and of the frame's headers are changed, and its length. */
static void
random_damage(void)
{
	uint8_t *header = (uint8_t *)&frame.header;
	uint32_t headers = RTE_MIN(frame.length, frame.l2_len + frame.l3_len + frame.l4_len + 1);

	for (uint32_t n = one_in(2) ? random_below(4) : 0; n > 0; n--)
		frame.bytes[random_below(headers)] ^= one_in(2) ? 1 << random_below(8) : (int)random_below(256);
	for (uint32_t n = one_in(2) ? random_below(3) : 0; n > 0; n--)
		header[random_below(sizeof(frame.header))] ^= one_in(2) ? 1 << random_below(8) : (int)random_below(256);
	if (one_in(8))
		frame.length = random_below(frame.length + 1);
}

static void
no_random_header_or_frame_breaks_a_rule(void **state)
{
	uint32_t requests = 0, segmented = 0, computed = 0, refused = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		uint64_t features = one_in(4) ? random_below(UINT16_MAX + 1) : RULES_ALL_FEATURES;
		int ret;

		random_frame();
		random_damage();
		ret = read_split(one_in(3) ? random_below(frame.length + 1) : frame.length, features);
		requests += ret == 0 && packet->ol_flags != 0;
		segmented += ret == 0 && packet->tso_segsz != 0;
		computed += ret == 0 && packet->ol_flags == 0 && (frame.header.flags & CSUM) != 0;
		refused += ret != 0;
	}
	print_message("%u requests, %u of them segmented, %u computed, %u refused\n", requests, segmented, computed,
		      refused);
	assert_true(requests > 10000 && segmented > 5000 && computed > 5000 && refused > 10000);
}

static void
no_random_packet_breaks_a_rule_when_written(void **state)
{
	for (uint32_t i = 0; i < 200000; i++) {
		struct virtio_net_hdr header;

		random_frame();
		split(random_below(200) % (frame.length + 1));
		for (uint32_t n = random_below(6); n > 0; n--)
			packet->ol_flags |= BIT(random_below(64));
		packet->tx_offload = rte_mbuf_tx_offload(random_below(128), random_below(512), random_below(256),
							 random_below(3), 0, 0, 0);
		write_for(one_in(2) ? random_below(UINT16_MAX + 1) : RULES_ALL_FEATURES, &header);
	}
}

static int
map_guarded_memory(void **state)
{
	for (size_t i = 0; i < RTE_DIM(guarded); i++) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE), size = FRAME_MAX + page;
		uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_ptr_not_equal(memory, MAP_FAILED);
		guarded[i] = memory + FRAME_MAX;
		assert_int_equal(mprotect(guarded[i], page, PROT_NONE), 0);
	}
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_header_asks_for_nothing),
		cmocka_unit_test(an_empty_header_goes_with_any_frame),
		cmocka_unit_test(flags_other_than_needs_csum_are_ignored),
		cmocka_unit_test(a_checksum_of_tcp_or_udp_becomes_a_request_behind_any_tags),
		cmocka_unit_test(options_and_extension_headers_count_for_the_lengths),
		cmocka_unit_test(the_pseudo_header_in_the_checksum_field_stays),
		cmocka_unit_test(a_checksum_is_refused_when_csum_is_not_negotiated),
		cmocka_unit_test(a_csum_offset_of_another_protocol_is_refused),
		cmocka_unit_test(a_csum_start_inside_the_headers_is_refused),
		cmocka_unit_test(a_checksum_beyond_the_packet_or_its_first_segment_is_refused),
		cmocka_unit_test(the_checksum_of_a_packet_in_a_tunnel_is_computed_here),
		cmocka_unit_test(a_checksum_behind_what_is_not_ip_is_computed_here),
		cmocka_unit_test(a_computed_checksum_is_right_however_the_frame_is_cut),
		cmocka_unit_test(a_computed_checksum_is_right_behind_an_odd_segment_of_many_ones),
		cmocka_unit_test(a_computed_checksum_is_right_over_two_odd_segments),
		cmocka_unit_test(a_computed_checksum_of_zero_is_written_as_all_ones),
		cmocka_unit_test(a_checksum_that_the_host_left_is_computed),
		cmocka_unit_test(a_checksum_of_the_host_beyond_the_first_segment_is_refused),
		cmocka_unit_test(a_crc_of_sctp_that_the_host_left_is_computed),
		cmocka_unit_test(a_fragment_is_refused),
		cmocka_unit_test(an_ip_header_that_is_none_is_refused),
		cmocka_unit_test(an_ip_length_that_the_frame_or_the_headers_contradict_is_refused),
		cmocka_unit_test(extension_headers_are_bounded),
		cmocka_unit_test(a_tcp_data_offset_that_is_too_small_or_beyond_the_frame_is_refused),
		cmocka_unit_test(headers_are_read_in_the_first_segment_only),
		cmocka_unit_test(a_frame_that_is_cut_short_is_refused),
		cmocka_unit_test(a_large_frame_becomes_a_request_for_segmentation),
		cmocka_unit_test(segmentation_is_refused_when_it_is_not_negotiated),
		cmocka_unit_test(segmentation_without_a_checksum_is_refused),
		cmocka_unit_test(segmentation_of_a_packet_in_a_tunnel_is_refused),
		cmocka_unit_test(a_gso_type_is_refused_unless_the_frame_is_of_it),
		cmocka_unit_test(ecn_is_refused_when_it_is_not_negotiated),
		cmocka_unit_test(a_gso_size_of_zero_is_refused),
		cmocka_unit_test(a_frame_of_more_segments_than_anybody_makes_is_refused),
		cmocka_unit_test(a_frame_to_segment_ends_with_its_ip_datagram),
		cmocka_unit_test(a_frame_of_one_segment_is_not_segmented),
		cmocka_unit_test(hdr_len_is_not_believed),
		cmocka_unit_test(a_packet_without_requests_gets_an_empty_header),
		cmocka_unit_test(only_a_good_checksum_is_said_to_be_valid),
		cmocka_unit_test(a_checksum_needs_a_guest_that_negotiated_guest_csum),
		cmocka_unit_test(segments_need_a_guest_that_negotiated_them),
		cmocka_unit_test(cwr_in_a_large_frame_needs_a_guest_that_negotiated_ecn),
		cmocka_unit_test(a_request_that_virtio_has_no_field_for_is_refused),
		cmocka_unit_test(a_request_that_contradicts_itself_is_refused),
		cmocka_unit_test(lengths_beyond_the_first_segment_are_refused),
		cmocka_unit_test(no_random_header_or_frame_breaks_a_rule),
		cmocka_unit_test(no_random_packet_breaks_a_rule_when_written),
	};

	return cmocka_run_group_tests(tests, map_guarded_memory, NULL);
}
