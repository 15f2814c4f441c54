/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The segmenter and its like: every segment is looked at whole, its checksums are verified by DPDK, and put together
 * again they are what they were made from. Of TCP over IPv4 librte_gso makes the same.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_ethdev.h>
#include <rte_gso.h>
#include <rte_malloc.h>
#include <rte_tcp.h>

#include "large.h"
#include "testbed.h"
#include "vio/net_header.h"
#include "vio/offload.h"
#include "vio_bench.h"

#define PACKETS 4000
#define SEGMENTS_MAX PV_SEGMENTS_MAX
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_pool, free_pool)

static struct rte_mempool *pool;
static struct rte_mbuf *segments[SEGMENTS_MAX + 1];

static int
make_pool(void **state)
{
	pool = bench_pool(PACKETS);
	large_lent = 0;
	return 0;
}

static int
free_pool(void **state)
{
	rte_mempool_free(pool);
	return 0;
}

static void
assert_nothing_is_missing(void)
{
	assert_int_equal(rte_mempool_avail_count(pool), pool->size);
	assert_int_equal(large_lent, 0);
}

/* Cuts a packet, which stays the caller's. Returns into how many segments. */
static uint32_t
cut(struct rte_mbuf *packet, bool leaves_checksum)
{
	struct pv_segmenter segmenter;
	uint32_t n = 0;

	assert_int_equal(pv_segmenter_begin(&segmenter, packet, pool, leaves_checksum), 0);
	while ((segments[n] = pv_segmenter_next(&segmenter)) != NULL) {
		assert_int_equal(segments[n]->port, packet->port);
		n++;
	}
	assert_int_equal(segmenter.left, 0);
	return n;
}

static void
check_cut(const struct large *large)
{
	for (int partial = 0; partial < 2; partial++) {
		struct rte_mbuf *packet = large_packet(large, pool);
		uint32_t n;

		packet->port = 7;
		n = cut(packet, partial);
		rte_pktmbuf_free(packet);
		large_assert_segments(large, (const struct rte_mbuf *const *)segments, n, partial);
		rte_pktmbuf_free_bulk(segments, n);
		assert_nothing_is_missing();
	}
}

static void
tcp_becomes_segments_that_are_right_in_every_byte(void **state)
{
	static const uint32_t payloads[] = { 1449, 2895, 2896, 2897, 14480, 60001 };

	for (int ipv6 = 0; ipv6 < 2; ipv6++)
		for (uint8_t tags = 0; tags < 3; tags++)
			for (size_t i = 0; i < RTE_DIM(payloads); i++)
				check_cut(&(struct large){ .ipv6 = ipv6,
							   .tags = tags,
							   .tcp_options = 3,
							   .sequence = 0xffff8000,
							   .id = 0xfffe,
							   .payload = payloads[i],
							   .size = 1448 });
}

static void
options_and_extension_headers_are_in_every_segment(void **state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++)
		for (uint8_t extensions = 0; extensions < 6; extensions++)
			for (uint8_t options = 0; options <= 10; options += 5)
				check_cut(&(struct large){ .ipv6 = ipv6,
							   .extensions = extensions,
							   .tcp_options = options,
							   .payload = 5000,
							   .size = 999 });
}

static void
flags_are_in_the_segment_that_they_are_about(void **state)
{
	for (unsigned int flags = 0; flags < 256; flags++)
		check_cut(
			&(struct large){ .ipv6 = flags % 2, .tcp_flags = (uint8_t)flags, .payload = 301, .size = 100 });
}

static void
payload_is_found_in_however_many_pieces(void **state)
{
	for (int external = 0; external < 2; external++)
		for (uint16_t pieces = 1; pieces <= 40; pieces++)
			for (uint16_t first = 0; first < 50; first += 7)
				check_cut(&(struct large){ .udp = pieces % 4 == 3,
							   .ipv6 = pieces % 2,
							   .payload = 9001,
							   .size = 1000,
							   .pieces = pieces,
							   .first = first,
							   .external = external });
}

static void
udp_becomes_fragments_with_one_checksum(void **state)
{
	static const uint32_t payloads[] = { 1473, 2960, 2952, 2953, 30000, 65000 };

	for (int ipv6 = 0; ipv6 < 2; ipv6++)
		for (uint8_t tags = 0; tags < 3; tags++)
			for (size_t i = 0; i < RTE_DIM(payloads); i++)
				for (uint16_t size = 1473; size <= 1480; size++)
					check_cut(&(struct large){ .udp = true,
								   .ipv6 = ipv6,
								   .tags = tags,
								   .id = 0xffff,
								   .payload = payloads[i],
								   .size = size });
	check_cut(&(struct large){ .udp = true, .extensions = 4, .payload = 4000, .size = 1400 });
}

/* They are for one datagram, and another's must not be mixed with them. */
static void
fragments_of_two_packets_are_told_apart(void **state)
{
	static const struct large large = { .udp = true, .ipv6 = true, .payload = 3000, .size = 1448 };
	uint32_t identification[2];

	for (int i = 0; i < 2; i++) {
		struct rte_mbuf *packet = large_packet(&large, pool);
		uint32_t n = cut(packet, false);

		memcpy(&identification[i], rte_pktmbuf_mtod_offset(segments[0], char *, 14 + 40 + 4), 4);
		rte_pktmbuf_free_bulk(segments, n);
		rte_pktmbuf_free(packet);
	}
	assert_int_not_equal(identification[0], identification[1]);
}

/* Segmentation alone asks for checksums as well (net_header.h has it so, too). */
static void
a_packet_need_not_ask_for_the_checksum_to_be_segmented(void **state)
{
	static const struct large large = { .payload = 3000, .size = 1400 };

	for (int partial = 0; partial < 2; partial++) {
		struct rte_mbuf *packet = large_packet(&large, pool);
		uint32_t n;

		packet->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
		n = cut(packet, partial);
		large_assert_segments(&large, (const struct rte_mbuf *const *)segments, n, partial);
		rte_pktmbuf_free_bulk(segments, n);
		rte_pktmbuf_free(packet);
	}
}

/* What a packet says of where it is and whence it came is not true of a copy. */
static void
only_requests_are_taken_over_from_the_packet(void **state)
{
	static const struct large large = { .payload = 3000, .size = 1400, .pieces = 3 };
	struct rte_mbuf *packet = large_packet(&large, pool), *clone = rte_pktmbuf_clone(packet, pool);
	uint32_t n;

	assert_non_null(clone);
	clone->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_VLAN;
	n = cut(clone, true);
	large_assert_segments(&large, (const struct rte_mbuf *const *)segments, n, true);
	rte_pktmbuf_free_bulk(segments, n);
	rte_pktmbuf_free(clone);
	rte_pktmbuf_free(packet);
	assert_nothing_is_missing();
}

/* --- what cannot be segmented ------------------------------------------------------------------------------------- */

static void
assert_refused(const struct large *large, void (*spoil)(struct rte_mbuf *packet))
{
	struct rte_mbuf *packet = large_packet(large, pool);
	struct pv_segmenter segmenter;

	if (spoil != NULL)
		spoil(packet);
	assert_int_equal(pv_segmenter_begin(&segmenter, packet, pool, false), -EINVAL);
	rte_pktmbuf_free(packet);
	assert_nothing_is_missing();
}

static void
a_udp_datagram_behind_extension_headers_is_refused(void **state)
{
	assert_refused(&(struct large){ .udp = true, .ipv6 = true, .extensions = 1, .payload = 3000, .size = 1000 },
		       NULL);
}

static void
a_packet_of_too_many_segments_is_refused(void **state)
{
	check_cut(&(struct large){ .payload = SEGMENTS_MAX - 1, .size = 1 });
	check_cut(&(struct large){ .payload = 31 * SEGMENTS_MAX - 1, .size = 31, .id = 60000 });
	assert_refused(&(struct large){ .payload = SEGMENTS_MAX, .size = 1 }, NULL);
	assert_refused(&(struct large){ .payload = 31 * SEGMENTS_MAX, .size = 31 }, NULL);
	assert_refused(&(struct large){ .payload = 65000, .size = 1 }, NULL);
	assert_refused(&(struct large){ .udp = true, .payload = 8 * SEGMENTS_MAX, .size = 8 }, NULL);
}

static void
a_segment_longer_than_a_buffer_is_refused(void **state)
{
	check_cut(&(struct large){ .payload = 3000, .size = BENCH_ROOM - 54 });
	assert_refused(&(struct large){ .payload = 3000, .size = BENCH_ROOM - 53 }, NULL);
	assert_refused(&(struct large){ .payload = 65000, .size = UINT16_MAX }, NULL);
	check_cut(&(struct large){ .udp = true, .ipv6 = true, .payload = 4000, .size = 1984 });
	assert_refused(&(struct large){ .udp = true, .ipv6 = true, .payload = 4000, .size = 1992 }, NULL);
}

static void
a_fragment_of_no_bytes_is_refused(void **state)
{
	for (uint16_t size = 1; size < 8; size++)
		assert_refused(&(struct large){ .udp = true, .payload = 100, .size = size }, NULL);
}

static void
say_nothing_of_the_size(struct rte_mbuf *packet)
{
	packet->tso_segsz = 0;
}

static void
say_longest_l2(struct rte_mbuf *packet)
{
	packet->l2_len = 127;
}

static void
say_longest_l3(struct rte_mbuf *packet)
{
	packet->l3_len = 511;
}

static void
say_longest_l4(struct rte_mbuf *packet)
{
	packet->l4_len = 255;
}

static void
say_no_l2(struct rte_mbuf *packet)
{
	packet->l2_len = 0;
}

static void
say_no_l3(struct rte_mbuf *packet)
{
	packet->l3_len = 0;
}

static void
say_no_l4(struct rte_mbuf *packet)
{
	packet->l4_len = 0;
}

static void
say_no_version(struct rte_mbuf *packet)
{
	packet->ol_flags &= ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
}

static void
say_both(struct rte_mbuf *packet)
{
	packet->ol_flags |= PV_SEGMENTATION_FLAGS;
}

/* As if the headers went on in the next segment. */
static void
cut_the_headers_short(struct rte_mbuf *packet)
{
	packet->data_len -= 1;
	packet->pkt_len -= 1;
}

static void
lose_the_payload(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet->next);
	packet->next = NULL;
	packet->nb_segs = 1;
	packet->pkt_len = packet->data_len;
}

static void
headers_that_cannot_be_are_refused(void **state)
{
	static void (*const spoils[])(struct rte_mbuf *) = { say_nothing_of_the_size,
							     say_longest_l2,
							     say_longest_l3,
							     say_longest_l4,
							     say_no_l2,
							     say_no_l3,
							     say_no_l4,
							     say_no_version,
							     say_both,
							     cut_the_headers_short,
							     lose_the_payload };

	for (size_t i = 0; i < RTE_DIM(spoils); i++)
		for (int ipv6 = 0; ipv6 < 2; ipv6++) {
			const struct large large = { .ipv6 = ipv6, .payload = 3000, .size = 1000, .pieces = 2 };

			assert_refused(&large, spoils[i]);
		}
}

static void
a_datagram_of_udp_with_headers_that_cannot_be_is_refused(void **state)
{
	static void (*const spoils[])(struct rte_mbuf *) = {
		say_nothing_of_the_size, say_longest_l2,       say_longest_l3, say_no_l2, say_no_l3,
		say_no_version,		 cut_the_headers_short
	};

	for (size_t i = 0; i < RTE_DIM(spoils); i++)
		for (int ipv6 = 0; ipv6 < 2; ipv6++) {
			const struct large large = {
				.udp = true, .ipv6 = ipv6, .payload = 3000, .size = 1000, .pieces = 2
			};

			assert_refused(&large, spoils[i]);
		}
}

/* --- no buffers --------------------------------------------------------------------------------------------------- */

/* Takes all of a pool's packets but `leave`; returns how many, and the packets in `taken`. */
static unsigned int
drain(struct rte_mempool *from, unsigned int leave, struct rte_mbuf **taken)
{
	unsigned int n = rte_mempool_avail_count(from) - leave;

	assert_int_equal(rte_mempool_get_bulk(from, (void **)taken, n), 0);
	return n;
}

static void
without_buffers_for_all_segments_the_rest_stays_and_nothing_leaks(void **state)
{
	static const struct large large = { .payload = 10000, .size = 1000, .pieces = 5, .external = true };
	static struct rte_mbuf *taken[PACKETS];

	for (unsigned int buffers = 0; buffers < 10; buffers++) {
		struct rte_mbuf *packet = large_packet(&large, pool);
		unsigned int n_taken = drain(pool, buffers, taken), n = 0;
		struct pv_segmenter segmenter;

		assert_int_equal(pv_segmenter_begin(&segmenter, packet, pool, false), 0);
		while ((segments[n] = pv_segmenter_next(&segmenter)) != NULL)
			n++;
		assert_int_equal(n, buffers);
		assert_int_equal(segmenter.left, 10000 - 1000 * buffers);
		rte_mempool_put_bulk(pool, (void **)taken, n_taken);
		while ((segments[n] = pv_segmenter_next(&segmenter)) != NULL) /* it goes on where it was */
			n++;
		rte_pktmbuf_free(packet);
		large_assert_segments(&large, (const struct rte_mbuf *const *)segments, n, false);
		rte_pktmbuf_free_bulk(segments, n);
		assert_nothing_is_missing();
	}
}

/* --- random packets, and another that segments -------------------------------------------------------------------- */

static uint32_t
any(uint32_t n)
{
	return (uint32_t)random() % n;
}

static struct large
any_large(void)
{
	struct large large = {
		.udp = any(3) == 0,
		.ipv6 = any(2),
		.tags = (uint8_t)any(3),
		.extensions = any(3) == 0 ? (uint8_t)any(9) : 0,
		.tcp_options = (uint8_t)any(11),
		.tcp_flags = any(2) ? (uint8_t)any(256) : 0,
		.id = (uint16_t)any(65536),
		.sequence = (uint32_t)random() * 2,
		.payload = 100 + any(any(2) ? 3000 : 63000),
		.pieces = (uint16_t)any(30),
		.first = (uint16_t)any(100),
		.external = any(2),
	};
	uint32_t most = RTE_MIN(BENCH_ROOM - 8 - large_headers(&large), large.payload - 1);

	if (large.udp && large.ipv6)
		large.extensions = 0;
	large.size = (uint16_t)RTE_MAX(large.payload / (SEGMENTS_MAX - 100) + 9, 1 + any(most));
	large.size = RTE_MIN(large.size, most);
	return large;
}

/* The same segments made by librte_gso, but for checksums, which it leaves alone. */
static void
compare_with_gso(const struct large *large, uint32_t n)
{
	struct rte_gso_ctx gso = { .direct_pool = pool,
				   .indirect_pool = pool,
				   .gso_types = RTE_ETH_TX_OFFLOAD_TCP_TSO,
				   .gso_size = (uint16_t)(large_headers(large) + large->size) };
	static uint8_t ours[LARGE_FRAME_MAX], theirs[LARGE_FRAME_MAX];
	static struct rte_mbuf *others[SEGMENTS_MAX];
	struct rte_mbuf *packet = large_packet(large, pool);
	uint32_t ip = large_l2(large) + 10, tcp = large_l2(large) + large_l3(large) + 16;

	assert_int_equal(rte_gso_segment(packet, &gso, others, SEGMENTS_MAX), n);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t length = large_flat(segments[i], ours);

		assert_int_equal(large_flat(others[i], theirs), length);
		memset(ours + ip, 0, 2);
		memset(theirs + ip, 0, 2);
		memset(ours + tcp, 0, 2);
		memset(theirs + tcp, 0, 2);
		assert_memory_equal(ours, theirs, length);
	}
	rte_pktmbuf_free_bulk(others, n);
	rte_pktmbuf_free(packet);
}

static void
random_packets_are_the_same_when_they_are_put_together_again(void **state)
{
	unsigned int compared = 0;

	srandom(1);
	for (int round = 0; round < 2000; round++) {
		struct large large = any_large();
		struct rte_mbuf *packet = large_packet(&large, pool);
		bool partial = any(2);
		uint32_t n = cut(packet, partial);

		rte_pktmbuf_free(packet);
		large_assert_segments(&large, (const struct rte_mbuf *const *)segments, n, partial);
		if (!large.udp && !large.ipv6 && (large.tcp_flags & RTE_TCP_CWR_FLAG) == 0 && n <= 1000) {
			compare_with_gso(&large, n);
			compared++;
		}
		rte_pktmbuf_free_bulk(segments, n);
		assert_nothing_is_missing();
	}
	assert_in_range(compared, 300, 2000);
}

/* --- what a packet needs ------------------------------------------------------------------------------------------ */

static uint32_t
needed(const struct large *large)
{
	struct rte_mbuf *packet = large_packet(large, pool);
	uint32_t found = pv_offload_needed(packet);

	rte_pktmbuf_free(packet);
	return found;
}

static void
a_packet_needs_what_it_asks_for(void **state)
{
	assert_int_equal(needed(&(struct large){ .payload = 100 }), PV_OFFLOAD_CSUM);
	assert_int_equal(needed(&(struct large){ .payload = 100, .tcp_flags = RTE_TCP_CWR_FLAG }), PV_OFFLOAD_CSUM);
	assert_int_equal(needed(&(struct large){ .payload = 100, .udp = true }), PV_OFFLOAD_CSUM);
	assert_int_equal(needed(&(struct large){ .payload = 100, .size = 50 }), PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4);
	assert_int_equal(needed(&(struct large){ .payload = 100, .size = 50, .ipv6 = true }),
			 PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO6);
	assert_int_equal(needed(&(struct large){ .payload = 100, .size = 50, .tcp_flags = RTE_TCP_CWR_FLAG }),
			 PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4 | PV_OFFLOAD_ECN);
	assert_int_equal(needed(&(struct large){ .payload = 100, .size = 50, .tcp_flags = RTE_TCP_ECE_FLAG }),
			 PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4);
	assert_int_equal(needed(&(struct large){ .payload = 100, .size = 50, .udp = true }),
			 PV_OFFLOAD_CSUM | PV_OFFLOAD_UFO);
}

/* CWR is looked for only where there are bytes. */
static void
headers_that_are_not_there_are_not_looked_at(void **state)
{
	static const struct large large = { .payload = 100, .size = 50, .pieces = 1, .tcp_flags = RTE_TCP_CWR_FLAG };
	struct rte_mbuf *packet = large_packet(&large, pool);

	packet->data_len = 14 + 20 + 14;
	assert_int_equal(pv_offload_needed(packet) & PV_OFFLOAD_ECN, PV_OFFLOAD_ECN);
	packet->data_len--;
	assert_int_equal(pv_offload_needed(packet) & PV_OFFLOAD_ECN, 0);
	packet->data_len = 54;
	rte_pktmbuf_free(packet);
}

static void
a_guest_does_what_it_negotiated(void **state)
{
	assert_int_equal(pv_offload_of_guest(0), 0);
	assert_int_equal(pv_offload_of_guest(PV_FEATURES_FROM_GUEST), 0);
	assert_int_equal(pv_offload_of_guest(PV_FEATURES_TO_GUEST), PV_OFFLOAD_ALL);
	assert_int_equal(pv_offload_of_guest(1ULL << VIRTIO_NET_F_GUEST_CSUM), PV_OFFLOAD_CSUM);
	assert_int_equal(pv_offload_of_guest(1ULL << VIRTIO_NET_F_GUEST_TSO4), PV_OFFLOAD_TSO4);
	assert_int_equal(pv_offload_of_guest(1ULL << VIRTIO_NET_F_GUEST_TSO6), PV_OFFLOAD_TSO6);
	assert_int_equal(pv_offload_of_guest(1ULL << VIRTIO_NET_F_GUEST_ECN), PV_OFFLOAD_ECN);
	assert_int_equal(pv_offload_of_guest(1ULL << VIRTIO_NET_F_GUEST_UFO), PV_OFFLOAD_UFO);
}

/* Nothing that a packet becomes is longer than what was said, and the longest is so long. */
static void
the_longest_frame_is_known_before(void **state)
{
	srandom(2);
	for (int round = 0; round < 300; round++) {
		struct large large = any_large();
		uint32_t longest = 0, said, n;
		struct rte_mbuf *packet;

		if (large.udp)
			large.size = RTE_MAX(large.size & ~7u, 8);
		packet = large_packet(&large, pool);
		n = cut(packet, false);
		said = pv_offload_longest(packet);
		for (uint32_t i = 0; i < n; i++)
			longest = RTE_MAX(longest, segments[i]->pkt_len);
		rte_pktmbuf_free_bulk(segments, n);
		assert_int_equal(longest, said);
		assert_true(pv_offload_fits(packet, longest));
		assert_int_equal(pv_offload_fits(packet, longest - 1), packet->pkt_len <= longest - 1);
		packet->ol_flags &= ~PV_SEGMENTATION_FLAGS;
		assert_int_equal(pv_offload_fits(packet, longest), packet->pkt_len <= longest);
		rte_pktmbuf_free(packet);
	}
}

/* --- checksums ---------------------------------------------------------------------------------------------------- */

static void
a_checksum_is_put_where_it_belongs_and_no_more_asked_for(void **state)
{
	static uint8_t expected[LARGE_FRAME_MAX], frame[LARGE_FRAME_MAX];

	srandom(3);
	for (int round = 0; round < 500; round++) {
		struct large large = any_large();
		struct rte_mbuf *packet;
		uint32_t length;

		large.size = 0;
		packet = large_packet(&large, pool);
		length = large_bytes(&large, expected);
		large_complete(&large, expected, length);
		assert_int_equal(pv_offload_complete(packet), 0);
		assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, 0);
		assert_int_equal(large_flat(packet, frame), length);
		assert_memory_equal(frame, expected, length);
		assert_true(large_checksums_are_right(&large, frame, length));
		rte_pktmbuf_free(packet);
	}
	assert_nothing_is_missing();
}

/* It would say "no checksum" in a UDP header. */
static void
a_checksum_of_zero_is_written_as_all_ones(void **state)
{
	struct large large = { .udp = true, .payload = 100 };
	struct rte_mbuf *packet;
	uint8_t frame[200];
	uint16_t *first, sum;

	packet = large_packet(&large, pool);
	first = rte_pktmbuf_mtod_offset(packet, uint16_t *, 42);
	*first = 0;
	assert_int_equal(large_flat(packet, frame), 142);
	large_complete(&large, frame, 142);
	memcpy(&sum, frame + 40, sizeof(sum));
	*first = sum;
	assert_int_equal(pv_offload_complete(packet), 0);
	memcpy(&sum, rte_pktmbuf_mtod_offset(packet, char *, 40), sizeof(sum));
	assert_int_equal(sum, UINT16_MAX);
	rte_pktmbuf_free(packet);
}

static void
a_checksum_outside_the_first_segment_is_refused(void **state)
{
	struct large large = { .payload = 300, .pieces = 1 };

	for (int udp = 0; udp < 2; udp++) {
		struct rte_mbuf *packet;

		large.udp = udp;
		packet = large_packet(&large, pool);
		packet->data_len = udp ? 41 : 51;
		assert_int_equal(pv_offload_complete(packet), -EINVAL);
		assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, 0);
		rte_pktmbuf_free(packet);
		packet = large_packet(&large, pool);
		packet->l2_len = 127;
		packet->l3_len = 511;
		assert_int_equal(pv_offload_complete(packet), -EINVAL);
		rte_pktmbuf_free(packet);
	}
	assert_nothing_is_missing();
}

/* --- memory of guests --------------------------------------------------------------------------------------------- */

static void
check_own(const struct large *large, uint16_t pieces)
{
	static uint8_t before[LARGE_FRAME_MAX], after[LARGE_FRAME_MAX];
	struct rte_mbuf *packet = large_packet(large, pool);
	uint64_t flags = packet->ol_flags, tx_offload = packet->tx_offload;
	uint32_t length = large_flat(packet, before);

	assert_int_not_equal(large_lent, 0);
	assert_int_equal(pv_offload_own(packet, pool), 0);
	assert_int_equal(large_lent, 0);
	rte_mbuf_sanity_check(packet, 1);
	assert_int_equal(packet->nb_segs, pieces);
	assert_int_equal(packet->pkt_len, length);
	assert_int_equal(packet->ol_flags, flags);
	assert_int_equal(packet->tx_offload, tx_offload);
	assert_int_equal(large_flat(packet, after), length);
	assert_memory_equal(before, after, length);
	rte_pktmbuf_free(packet);
	assert_nothing_is_missing();
}

static void
a_packet_that_refers_to_a_guest_is_copied_into_as_few_buffers_as_it_needs(void **state)
{
	check_own(&(struct large){ .payload = 100, .pieces = 1, .external = true }, 1);
	check_own(&(struct large){ .payload = BENCH_ROOM - 54, .pieces = 3, .external = true }, 1);
	check_own(&(struct large){ .payload = BENCH_ROOM - 53, .pieces = 3, .external = true }, 2);
	check_own(&(struct large){ .payload = BENCH_ROOM, .pieces = 1, .external = true }, 2);
	check_own(&(struct large){ .payload = BENCH_ROOM + 1, .pieces = 9, .external = true }, 3);
	check_own(&(struct large){ .payload = 65000, .size = 1448, .pieces = 17, .first = 74, .external = true }, 33);
}

static void
without_buffers_for_its_copy_a_packet_is_as_it_was(void **state)
{
	static const struct large large = { .payload = 20000, .size = 1448, .pieces = 8, .external = true };
	static uint8_t before[LARGE_FRAME_MAX], after[LARGE_FRAME_MAX];
	static struct rte_mbuf *taken[PACKETS];

	for (unsigned int buffers = 0; buffers < 10; buffers++) {
		struct rte_mbuf *packet = large_packet(&large, pool);
		unsigned int n_taken = drain(pool, buffers, taken);
		uint32_t length = large_flat(packet, before), lent = large_lent;
		uint16_t segments_before = packet->nb_segs;

		assert_int_equal(pv_offload_own(packet, pool), -ENOMEM);
		assert_int_equal(large_lent, lent);
		assert_int_equal(rte_mempool_avail_count(pool), buffers);
		assert_int_equal(packet->nb_segs, segments_before);
		assert_int_equal(large_flat(packet, after), length);
		assert_memory_equal(before, after, length);
		rte_mempool_put_bulk(pool, (void **)taken, n_taken);
		rte_pktmbuf_free(packet);
		assert_nothing_is_missing();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tcp_becomes_segments_that_are_right_in_every_byte),
		TEST(options_and_extension_headers_are_in_every_segment),
		TEST(flags_are_in_the_segment_that_they_are_about),
		TEST(payload_is_found_in_however_many_pieces),
		TEST(udp_becomes_fragments_with_one_checksum),
		TEST(fragments_of_two_packets_are_told_apart),
		TEST(a_packet_need_not_ask_for_the_checksum_to_be_segmented),
		TEST(only_requests_are_taken_over_from_the_packet),
		TEST(a_udp_datagram_behind_extension_headers_is_refused),
		TEST(a_packet_of_too_many_segments_is_refused),
		TEST(a_segment_longer_than_a_buffer_is_refused),
		TEST(a_fragment_of_no_bytes_is_refused),
		TEST(headers_that_cannot_be_are_refused),
		TEST(a_datagram_of_udp_with_headers_that_cannot_be_is_refused),
		TEST(without_buffers_for_all_segments_the_rest_stays_and_nothing_leaks),
		TEST(random_packets_are_the_same_when_they_are_put_together_again),
		TEST(a_packet_needs_what_it_asks_for),
		TEST(headers_that_are_not_there_are_not_looked_at),
		TEST(a_guest_does_what_it_negotiated),
		TEST(the_longest_frame_is_known_before),
		TEST(a_checksum_is_put_where_it_belongs_and_no_more_asked_for),
		TEST(a_checksum_of_zero_is_written_as_all_ones),
		TEST(a_checksum_outside_the_first_segment_is_refused),
		TEST(a_packet_that_refers_to_a_guest_is_copied_into_as_few_buffers_as_it_needs),
		TEST(without_buffers_for_its_copy_a_packet_is_as_it_was),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
