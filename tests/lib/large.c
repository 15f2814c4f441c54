/* SPDX-License-Identifier: BSD-3-Clause */
#include "large.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "base/option.h"

#define DESTINATION "52:54:00:00:00:0b"
#define SOURCE "52:54:00:00:00:0a"
#define FRAGMENT_HEADER 8

uint32_t large_lent;

uint16_t
large_l2(const struct large *large)
{
	return (uint16_t)(14 + 4 * large->tags);
}

uint16_t
large_l3(const struct large *large)
{
	return (uint16_t)(large->ipv6 ? 40 + 8 * large->extensions : 20 + 4 * large->extensions);
}

uint16_t
large_l4(const struct large *large)
{
	return (uint16_t)(large->udp ? 8 : 20 + 4 * large->tcp_options);
}

uint32_t
large_headers(const struct large *large)
{
	return large_l2(large) + large_l3(large) + large_l4(large);
}

static uint32_t
transport_at(const struct large *large)
{
	return large_l2(large) + large_l3(large);
}

static uint8_t
protocol_of(const struct large *large)
{
	return large->udp ? IPPROTO_UDP : IPPROTO_TCP;
}

static void
put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t
get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void
put_ethernet(const struct large *large, uint8_t *frame)
{
	struct pv_mac to, from;

	assert_int_equal(pv_mac_parse(large->destination != NULL ? large->destination : DESTINATION, &to), 0);
	assert_int_equal(pv_mac_parse(large->source != NULL ? large->source : SOURCE, &from), 0);
	memcpy(frame, to.bytes, 6);
	memcpy(frame + 6, from.bytes, 6);
	for (uint8_t tag = 0; tag < large->tags; tag++) {
		put16(frame + 12 + 4 * tag, tag + 1 < large->tags ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN);
		put16(frame + 14 + 4 * tag, 0x2000u + tag + 1);
	}
	put16(frame + large_l2(large) - 2, large->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

static void
put_ipv4(const struct large *large, uint8_t *frame, uint32_t length)
{
	uint8_t *ip = frame + large_l2(large);
	uint16_t sum;

	memset(ip, 1, large_l3(large)); /* options of no operation */
	ip[0] = (uint8_t)(0x40 | large_l3(large) / 4);
	ip[1] = 0x02; /* ECT(0) */
	put16(ip + 2, length - large_l2(large));
	put16(ip + 4, large->id);
	put16(ip + 6, large->udp ? 0 : RTE_IPV4_HDR_DF_FLAG);
	ip[8] = 64;
	ip[9] = protocol_of(large);
	put16(ip + 10, 0);
	memcpy(ip + 12, (uint8_t[]){ 10, 1, 2, 3, 192, 168, 255, 254 }, 8);
	sum = (uint16_t)~rte_raw_cksum(ip, large_l3(large));
	memcpy(ip + 10, &sum, 2);
}

static void
put_ipv6(const struct large *large, uint8_t *frame, uint32_t length)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS };
	uint8_t *ip = frame + large_l2(large), *next = ip + 6, *at = ip + 40;

	memcpy(ip, (uint8_t[]){ 0x60, 0x21, 0x23, 0x45 }, 4);
	put16(ip + 4, length - large_l2(large) - 40);
	ip[7] = 64;
	for (uint8_t i = 0; i < 32; i++)
		ip[8 + i] = (uint8_t)(0xfd + 37 * i);
	for (uint8_t i = 0; i < large->extensions; i++, at += 8) {
		*next = kinds[RTE_MIN(i, 1)];
		memcpy(at, (uint8_t[]){ 0, 0, 1, 4, 0, 0, 0, 0 }, 8); /* PadN */
		next = at;
	}
	*next = protocol_of(large);
}

static void
put_transport(const struct large *large, uint8_t *frame, uint32_t length)
{
	uint8_t *at = frame + transport_at(large);

	memset(at, 1, large_l4(large));
	put16(at, 5201);
	put16(at + 2, 40001);
	if (large->udp) {
		put16(at + 4, length - transport_at(large));
		put16(at + 6, 0);
		return;
	}
	put16(at + 4, large->sequence >> 16);
	put16(at + 6, large->sequence);
	put16(at + 8, 0x1234);
	at[12] = (uint8_t)(large_l4(large) / 4 << 4);
	at[13] = large->tcp_flags | RTE_TCP_ACK_FLAG;
	put16(at + 16, 0);
}

static uint8_t *
checksum_field(const struct large *large, uint8_t *frame)
{
	return frame + transport_at(large) + (large->udp ? 6 : 16);
}

/* The sum of the pseudo header, not inverted. */
static uint16_t
pseudo_sum(const struct large *large, const uint8_t *frame, uint32_t length)
{
	const uint8_t *addresses = frame + large_l2(large) + (large->ipv6 ? 8 : 12);
	uint32_t sum = protocol_of(large) + length;

	for (int i = 0; i < (large->ipv6 ? 32 : 8); i += 2)
		sum += get16(addresses + i);
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t
large_bytes(const struct large *large, uint8_t *frame)
{
	uint32_t headers = large_headers(large), length = headers + large->payload;

	assert_true(length <= LARGE_FRAME_MAX);
	put_ethernet(large, frame);
	if (large->ipv6)
		put_ipv6(large, frame, length);
	else
		put_ipv4(large, frame, length);
	put_transport(large, frame, length);
	for (uint32_t i = 0; i < large->payload; i++)
		frame[headers + i] = (uint8_t)(i * 7 + i / 251);
	put16(checksum_field(large, frame), pseudo_sum(large, frame, length - transport_at(large)));
	return length;
}

uint64_t
large_flags(const struct large *large)
{
	uint64_t flags = (large->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
			 (large->udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM);

	if (large->size > 0)
		flags |= large->udp ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG;
	return flags;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static void
end_loan(void *buffer, void *shared)
{
	free(buffer);
	free(shared);
	large_lent--;
}

static struct rte_mbuf *
make_external(struct rte_mempool *pool, const uint8_t *bytes, uint32_t length)
{
	struct rte_mbuf_ext_shared_info *shared = calloc(1, sizeof(*shared));
	struct rte_mbuf *piece = rte_pktmbuf_alloc(pool);
	void *buffer = malloc(length + 1);

	assert_non_null(piece);
	assert_non_null(shared);
	assert_non_null(buffer);
	memcpy(buffer, bytes, length);
	shared->free_cb = end_loan;
	shared->fcb_opaque = shared;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(piece, buffer, RTE_BAD_IOVA, (uint16_t)length, shared);
	piece->data_len = (uint16_t)length;
	piece->pkt_len = length;
	large_lent++;
	return piece;
}

static struct rte_mbuf *
make_piece(struct rte_mempool *pool, const uint8_t *bytes, uint32_t length)
{
	struct rte_mbuf *piece = rte_pktmbuf_alloc(pool);
	char *to;

	assert_non_null(piece);
	to = rte_pktmbuf_append(piece, (uint16_t)length);
	assert_non_null(to);
	memcpy(to, bytes, length);
	return piece;
}

static void
add_piece(struct rte_mbuf *packet, struct rte_mempool *pool, const uint8_t *bytes, uint32_t length, bool external)
{
	uint32_t room = external ? length : rte_pktmbuf_data_room_size(pool) - (uint32_t)RTE_PKTMBUF_HEADROOM;

	for (uint32_t done = 0, part; done < length; done += part) {
		part = RTE_MIN(length - done, room);
		assert_int_equal(rte_pktmbuf_chain(packet, external ? make_external(pool, bytes, length) :
								      make_piece(pool, bytes + done, part)),
				 0);
	}
}

struct rte_mbuf *
large_packet(const struct large *large, struct rte_mempool *pool)
{
	static uint8_t frame[LARGE_FRAME_MAX];
	uint32_t length = large_bytes(large, frame), room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	uint32_t done = large->pieces > 0 ? large_headers(large) + large->first : RTE_MIN(length, room);
	struct rte_mbuf *packet = make_piece(pool, frame, done);

	packet->ol_flags |= large_flags(large);
	packet->tx_offload =
		rte_mbuf_tx_offload(large_l2(large), large_l3(large), large_l4(large), large->size, 0, 0, 0);
	for (uint16_t left = RTE_MAX(large->pieces, 1); left > 0; left--) {
		uint32_t part = (length - done + left - 1u) / left;

		add_piece(packet, pool, frame + done, part, large->external && left % 2 == large->pieces % 2);
		done += part;
	}
	assert_int_equal(packet->pkt_len, length);
	return packet;
}

uint32_t
large_flat(const struct rte_mbuf *packet, uint8_t *frame)
{
	uint32_t length = 0;

	for (; packet != NULL; packet = packet->next) {
		memcpy(frame + length, rte_pktmbuf_mtod(packet, const void *), packet->data_len);
		length += packet->data_len;
	}
	return length;
}

/* --- checksums ---------------------------------------------------------------------------------------------------- */

/* The datagram without what is between IPv6's header and that of TCP or UDP, for DPDK, which knows no such thing. */
static bool
ipv6_checksum_is_right(const struct large *large, const uint8_t *frame, uint32_t length)
{
	uint8_t *copy = malloc(40 + length);
	uint32_t at = transport_at(large);
	bool right;

	assert_non_null(copy);
	memcpy(copy, frame + large_l2(large), 40);
	memcpy(copy + 40, frame + at, length - at);
	copy[6] = protocol_of(large);
	put16(copy + 4, length - at);
	right = rte_ipv6_udptcp_cksum_verify((void *)copy, copy + 40) == 0;
	free(copy);
	return right;
}

static bool
ipv4_checksum_is_right(const struct large *large, const uint8_t *frame, uint32_t length)
{
	uint8_t *copy = malloc(length);
	bool right;

	assert_non_null(copy);
	memcpy(copy, frame + large_l2(large), length - large_l2(large));
	right = rte_raw_cksum(copy, large_l3(large)) == UINT16_MAX &&
		rte_ipv4_udptcp_cksum_verify((void *)copy, copy + large_l3(large)) == 0;
	free(copy);
	return right;
}

bool
large_checksums_are_right(const struct large *large, const uint8_t *frame, uint32_t length)
{
	return large->ipv6 ? ipv6_checksum_is_right(large, frame, length) :
			     ipv4_checksum_is_right(large, frame, length);
}

void
large_complete(const struct large *large, uint8_t *frame, uint32_t length)
{
	uint32_t at = transport_at(large), sum = 0;

	for (uint32_t i = at; i < length; i++)
		sum += (i - at) % 2 == 0 ? (uint32_t)frame[i] << 8 : frame[i];
	while (sum > UINT16_MAX)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (uint16_t)~sum;
	put16(checksum_field(large, frame), sum == 0 ? UINT16_MAX : sum);
}

/* --- segments and fragments --------------------------------------------------------------------------------------- */

/* Bytes behind the IP header, or behind TCP's, in each but the last. */
static uint32_t
step_of(const struct large *large)
{
	return large->udp ? large->size & ~7u : large->size;
}

static uint32_t
payload_of(const struct large *large)
{
	return large->payload + (large->udp ? 8 : 0);
}

uint32_t
large_count(const struct large *large)
{
	return large->size == 0 ? 1 : (payload_of(large) + step_of(large) - 1) / step_of(large);
}

/* The IP header of a frame: that of the packet, but for the length, the number and what belongs to fragments. */
static void
check_network(const struct large *large, const uint8_t *whole, uint8_t *ip, uint32_t behind, uint32_t number)
{
	if (large->ipv6) {
		assert_int_equal(get16(ip + 4), behind);
		put16(ip + 4, get16(whole + 4));
		return;
	}
	assert_int_equal(get16(ip + 2), behind + 20);
	assert_int_equal(rte_raw_cksum(ip, large_l3(large)), UINT16_MAX);
	assert_int_equal(get16(ip + 4), (uint16_t)(large->id + number));
	memcpy(ip + 2, whole + 2, 4);
	memcpy(ip + 10, whole + 10, 2);
}

/* Undoes what is to be different in a segment, having looked at it; what is left is the same as in the packet. */
static void
check_segment(const struct large *large, const uint8_t *whole, uint8_t *frame, uint32_t length, uint32_t number,
	      bool partial)
{
	uint32_t headers = large_headers(large), at = transport_at(large), done = number * step_of(large);
	uint8_t flags = large->tcp_flags | RTE_TCP_ACK_FLAG;

	if (partial)
		assert_int_equal(get16(frame + at + 16), pseudo_sum(large, frame, length - at));
	else
		assert_true(large_checksums_are_right(large, frame, length));
	check_network(large, whole + large_l2(large), frame + large_l2(large),
		      length - large_l2(large) - (large->ipv6 ? 40 : 20), number);
	assert_int_equal(get32(frame + at + 4), large->sequence + done);
	if (done + step_of(large) < large->payload)
		flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (number > 0)
		flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	assert_int_equal(frame[at + 13], flags);
	memcpy(frame + at + 4, whole + at + 4, 4);
	frame[at + 13] = whole[at + 13];
	memcpy(frame + at + 16, whole + at + 16, 2);
	assert_memory_equal(frame, whole, headers);
	assert_memory_equal(frame + headers, whole + headers + done, length - headers);
	assert_int_equal(length - headers, RTE_MIN(step_of(large), large->payload - done));
}

/* What IPv6 has in a header of its own, IPv4 has in its own. Returns its length. */
static uint32_t
check_place(const struct large *large, uint8_t *frame, uint32_t done, bool more, uint32_t *identification)
{
	uint8_t *ip = frame + large_l2(large), *fragment = ip + 40;

	if (!large->ipv6) {
		assert_int_equal(get16(ip + 6), done / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0));
		put16(ip + 6, 0);
		return 0;
	}
	assert_int_equal(ip[6], IPPROTO_FRAGMENT);
	ip[6] = IPPROTO_UDP;
	assert_int_equal(fragment[0], IPPROTO_UDP);
	assert_int_equal(fragment[1], 0);
	assert_int_equal(get16(fragment + 2), done | more);
	if (done == 0)
		*identification = get32(fragment + 4);
	assert_int_equal(get32(fragment + 4), *identification);
	return FRAGMENT_HEADER;
}

/* The IP header of a fragment, as check_network(); the number is the packet's. */
static void
check_fragment_network(const struct large *large, const uint8_t *whole, uint8_t *ip, uint32_t length)
{
	if (large->ipv6) {
		assert_int_equal(get16(ip + 4), length - 40);
		memcpy(ip + 4, whole + 4, 2);
		return;
	}
	assert_int_equal(rte_raw_cksum(ip, large_l3(large)), UINT16_MAX);
	assert_int_equal(get16(ip + 2), length);
	memcpy(ip + 2, whole + 2, 2);
	memcpy(ip + 10, whole + 10, 2);
}

/* `whole` has its checksum. */
static void
check_fragment(const struct large *large, const uint8_t *whole, uint8_t *frame, uint32_t length, uint32_t number,
	       uint32_t *identification)
{
	uint32_t l2 = large_l2(large), at = transport_at(large), done = number * step_of(large);
	uint32_t left = payload_of(large) - done, added;

	check_fragment_network(large, whole + l2, frame + l2, length - l2);
	added = check_place(large, frame, done, left > step_of(large), identification);
	assert_memory_equal(frame, whole, at);
	assert_memory_equal(frame + at + added, whole + at + done, length - at - added);
	assert_int_equal(length - at - added, RTE_MIN(step_of(large), left));
}

static void
check_requests(const struct large *large, const struct rte_mbuf *segment, bool partial)
{
	struct large alone = *large;

	alone.size = 0;
	assert_int_equal(segment->ol_flags, partial ? large_flags(&alone) : 0);
	assert_int_equal(segment->nb_segs, 1);
	assert_int_equal(rte_mbuf_refcnt_read(segment), 1);
	assert_int_equal(segment->data_len, segment->pkt_len);
	if (!partial)
		return;
	assert_int_equal(segment->l2_len, large_l2(large));
	assert_int_equal(segment->l3_len, large_l3(large));
	assert_int_equal(segment->l4_len, large_l4(large));
	assert_int_equal(segment->tso_segsz, 0);
}

void
large_assert_segments(const struct large *large, const struct rte_mbuf *const *segments, uint32_t n, bool partial)
{
	static uint8_t whole[LARGE_FRAME_MAX], frame[LARGE_FRAME_MAX];
	uint32_t length = large_bytes(large, whole), identification = 0;

	assert_int_equal(n, large_count(large));
	if (large->udp) {
		large_complete(large, whole, length);
		assert_true(large_checksums_are_right(large, whole, length));
	}
	for (uint32_t i = 0; i < n; i++) {
		check_requests(large, segments[i], partial && !large->udp);
		length = large_flat(segments[i], frame);
		if (large->udp)
			check_fragment(large, whole, frame, length, i, &identification);
		else
			check_segment(large, whole, frame, length, i, partial);
	}
}
