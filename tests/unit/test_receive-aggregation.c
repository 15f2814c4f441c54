/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * receive-aggregation: what becomes one packet and what does not, each rule by two segments that differ in one thing;
 * who goes out before whom; and random streams, which the segments of what leaves must be again, byte for byte, and
 * whose groups are those that a model of the rules makes.
 *
 * PV_TEST_ROUNDS makes the random part longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "core/pipeline.h"
#include "known_random.h"
#include "stage_rig.h"
#include "tcp_frames.h"
#include "testbed.h"
#include "vio/coalesced.h"

#define PAYLOAD 100
#define TX_FLAGS RTE_MBUF_F_TX_OFFLOAD_MASK

static struct rte_mempool *pool;
static bool no_random;
static unsigned int refused;

/* Instead of the library's: so that init can fail, and nothing else that asks for less. */
ssize_t
getrandom(void *buffer, size_t length, unsigned int flags)
{
	if (no_random && length > 64) {
		errno = ENOSYS;
		refused++;
		return -1;
	}
	return known_random(buffer, length);
}

/* --- helpers ------------------------------------------------------------------------------------------------------ */

/* A test that has failed leaves packets; that is its own matter. */
static unsigned int in_use_before;

static struct rig *
new_rig(const char *options)
{
	in_use_before = rte_mempool_in_use_count(pool);
	return rig_new("receive-aggregation", options, pool);
}

static void
free_rig(struct rig *rig)
{
	rig_free(rig);
	assert_int_equal(rte_mempool_in_use_count(pool), in_use_before);
}

static struct rte_mbuf *
mbuf_of(const struct tcp_frame *frame)
{
	struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, frame);

	mbuf->port = 1;
	return mbuf;
}

static void
give(struct rig *rig, struct rte_mbuf *packet)
{
	rig_process(rig, PV_HOOK_FROM_WIRE, &packet, 1);
}

static void
give_frame(struct rig *rig, const struct tcp_frame *frame)
{
	give(rig, mbuf_of(frame));
}

static void
flush(struct rig *rig)
{
	rig_flush(rig, PV_HOOK_FROM_WIRE);
	assert_int_equal(rig->self.held, 0);
}

/* Two segments in sequence. */
static void
make_pair(struct tcp_frame *a, struct tcp_frame *b)
{
	*a = tcp_frame(0, 1000, PAYLOAD);
	*b = tcp_frame(0, 1000 + PAYLOAD, PAYLOAD);
	a->id = 7;
	b->id = 8;
}

/* The packet is the frame, and asks for nothing. */
static void
assert_is_frame(const struct rte_mbuf *packet, const struct tcp_frame *frame)
{
	static uint8_t wanted[TCP_FRAME_MAX], bytes[TCP_FRAME_MAX];
	uint32_t length = tcp_frame_write(frame, wanted);

	assert_int_equal(packet->pkt_len, length);
	assert_int_equal(tcp_frame_copy(packet, bytes), length);
	assert_memory_equal(bytes, wanted, length);
	assert_int_equal(packet->ol_flags & (TX_FLAGS | pv_coalesced_flag), 0);
}

static void
assert_stay_apart_with(const char *options, const struct tcp_frame *a, const struct tcp_frame *b)
{
	struct rig *rig = new_rig(options);

	give_frame(rig, a);
	give_frame(rig, b);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(rig->out[0], a);
	assert_is_frame(rig->out[1], b);
	free_rig(rig);
}

static void
assert_stay_apart(const struct tcp_frame *a, const struct tcp_frame *b)
{
	assert_stay_apart_with(NULL, a, b);
}

static void
assert_become_one(const struct tcp_frame *a, const struct tcp_frame *b)
{
	struct rig *rig = new_rig(NULL);

	give_frame(rig, a);
	give_frame(rig, b);
	flush(rig);
	assert_int_equal(rig->n_out, 1);
	assert_int_equal(rig->out[0]->nb_segs, 2);
	assert_int_equal(rig->out[0]->pkt_len, tcp_frame_headers(a) + a->payload + b->payload);
	free_rig(rig);
}

/* A test of two segments after `change`. */
#define APART(name, change)                \
	static void name(void **state)     \
	{                                  \
		struct tcp_frame a, b;     \
                                           \
		make_pair(&a, &b);         \
		change;                    \
		assert_stay_apart(&a, &b); \
	}
#define TOGETHER(name, change)             \
	static void name(void **state)     \
	{                                  \
		struct tcp_frame a, b;     \
                                           \
		make_pair(&a, &b);         \
		change;                    \
		assert_become_one(&a, &b); \
	}

/* --- what the whole looks like ------------------------------------------------------------------------------------ */

static void
give_run(struct rig *rig, struct tcp_frame first, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		give_frame(rig, &first);
		first.seq += first.payload;
		first.id++;
	}
}

static void
assert_offload(const struct rte_mbuf *packet, const struct tcp_frame *frame, unsigned int segments)
{
	uint16_t l3_len = frame->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	uint64_t ip = frame->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;

	assert_int_equal(packet->ol_flags & TX_FLAGS, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | ip);
	assert_int_equal(packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, 0);
	assert_int_equal(packet->l2_len, RTE_ETHER_HDR_LEN + 4 * frame->tags);
	assert_int_equal(packet->l3_len, l3_len);
	assert_int_equal(packet->l4_len, tcp_frame_headers(frame) - packet->l2_len - l3_len);
	assert_int_equal(packet->tso_segsz, frame->payload);
	assert_int_equal(packet->nb_segs, segments);
	assert_int_equal(packet->pkt_len, tcp_frame_headers(frame) + segments * frame->payload);
	assert_true(pv_is_coalesced(packet));
	assert_int_equal(pv_coalesced(packet)->segments, segments);
	assert_int_equal(pv_coalesced(packet)->dup_acks, 0);
	assert_int_equal(rte_mbuf_check(packet, 1, &(const char *){ NULL }), 0);
}

/* Three segments of a kind, and what the headers of the whole say. */
static void
assert_three_become_one(struct tcp_frame frame)
{
	struct rig *rig = new_rig(NULL);
	const struct rte_tcp_hdr *tcp;
	const struct rte_mbuf *whole;

	give_run(rig, frame, 3);
	assert_int_equal(rig->n_out, 0);
	assert_int_equal(rig->self.held, 3);
	flush(rig);
	assert_int_equal(rig->n_out, 1);
	whole = rig->out[0];
	assert_offload(whole, &frame, 3);
	if (frame.ipv6) {
		const struct rte_ipv6_hdr *ip =
			rte_pktmbuf_mtod_offset(whole, const struct rte_ipv6_hdr *, whole->l2_len);

		assert_int_equal(rte_be_to_cpu_16(ip->payload_len), whole->l4_len + 3 * frame.payload);
		tcp = (const struct rte_tcp_hdr *)(ip + 1);
		assert_int_equal(tcp->cksum, rte_ipv6_phdr_cksum(ip, 0));
	} else {
		const struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(whole, const struct rte_ipv4_hdr *, whole->l2_len);

		assert_int_equal(rte_be_to_cpu_16(ip->total_length), 20 + whole->l4_len + 3 * frame.payload);
		assert_int_equal(rte_be_to_cpu_16(ip->packet_id), frame.id);
		assert_int_equal(rte_raw_cksum(ip, sizeof(*ip)), UINT16_MAX);
		tcp = (const struct rte_tcp_hdr *)(ip + 1);
		assert_int_equal(tcp->cksum, rte_ipv4_phdr_cksum(ip, 0));
	}
	assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), frame.seq);
	free_rig(rig);
}

static void
segments_in_sequence_become_one_packet(void **state)
{
	assert_three_become_one(tcp_frame(0, 1000, PAYLOAD));
}

static void
segments_without_timestamps_become_one_packet(void **state)
{
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	frame.timestamps = false;
	assert_three_become_one(frame);
}

static void
segments_over_ipv6_become_one_packet(void **state)
{
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	frame.ipv6 = true;
	frame.label = 0x12345;
	frame.tos = 0xa0;
	assert_three_become_one(frame);
}

static void
segments_with_tags_become_one_packet(void **state)
{
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	frame.tags = 1;
	frame.tci[0] = 0x6005;
	assert_three_become_one(frame);
	frame.tags = 2;
	frame.tpid[0] = RTE_ETHER_TYPE_QINQ;
	frame.tci[1] = 9;
	frame.ipv6 = true;
	assert_three_become_one(frame);
}

static void
sequence_numbers_may_wrap(void **state)
{
	assert_three_become_one(tcp_frame(0, UINT32_MAX - PAYLOAD - 3, PAYLOAD));
}

static void
the_payload_is_not_copied(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *mbufs[2];
	struct tcp_frame a, b;

	make_pair(&a, &b);
	mbufs[0] = mbuf_of(&a);
	mbufs[1] = mbuf_of(&b);
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	flush(rig);
	assert_ptr_equal(rig->out[0], mbufs[0]);
	assert_ptr_equal(rig->out[0]->next, mbufs[1]);
	assert_int_equal(mbufs[1]->data_off, RTE_PKTMBUF_HEADROOM + tcp_frame_headers(&b));
	assert_int_equal(mbufs[1]->data_len, PAYLOAD);
	free_rig(rig);
}

static void
the_whole_has_what_the_last_segment_says(void **state)
{
	struct rig *rig = new_rig(NULL);
	const struct rte_tcp_hdr *tcp;
	struct tcp_frame a, b;
	uint32_t stamps[2];

	make_pair(&a, &b);
	b.ack = a.ack + 5;
	b.window = 3;
	b.sent = a.sent + 7;
	b.echoed = a.echoed + 8;
	b.flags |= RTE_TCP_PSH_FLAG;
	give_frame(rig, &a);
	give_frame(rig, &b);
	assert_int_equal(rig->n_out, 1);
	tcp = rte_pktmbuf_mtod_offset(rig->out[0], const struct rte_tcp_hdr *, 34);
	memcpy(stamps, (const uint8_t *)(tcp + 1) + 4, sizeof(stamps));
	assert_int_equal(rte_be_to_cpu_32(tcp->recv_ack), b.ack);
	assert_int_equal(rte_be_to_cpu_16(tcp->rx_win), b.window);
	assert_int_equal(tcp->tcp_flags, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG);
	assert_int_equal(rte_be_to_cpu_32(stamps[0]), b.sent);
	assert_int_equal(rte_be_to_cpu_32(stamps[1]), b.echoed);
	free_rig(rig);
}

static void
each_segment_keeps_its_acknowledgment_number(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);
	const struct rte_mbuf *mbuf;

	for (uint32_t i = 0; i < 4; i++) {
		frame.ack = 7000 + i * i;
		give_frame(rig, &frame);
		frame.seq += PAYLOAD;
		frame.id++;
	}
	flush(rig);
	mbuf = rig->out[0];
	for (uint32_t i = 0; i < 4; i++, mbuf = mbuf->next) {
		assert_true(pv_is_coalesced(mbuf));
		assert_int_equal(pv_coalesced(mbuf)->ack, 7000 + i * i);
	}
	free_rig(rig);
}

static void
a_copy_of_the_whole_claims_no_numbers_that_it_has_not(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *copy;

	give_run(rig, tcp_frame(0, 1000, 2000), 9);
	flush(rig);
	copy = rte_pktmbuf_copy(rig->out[0], pool, 0, UINT32_MAX);
	assert_non_null(copy);
	assert_true(copy->nb_segs > 1 && pv_is_coalesced(copy));
	assert_int_equal(pv_coalesced(copy)->segments, 9);
	assert_false(pv_is_coalesced(copy->next));
	rte_pktmbuf_free(copy);
	free_rig(rig);
}

static void
padding_is_cut_from_what_is_put_together(void **state)
{
	struct tcp_frame a, b;

	make_pair(&a, &b);
	a.payload = b.payload = 1;
	b.seq = a.seq + 1;
	a.padding = b.padding = 9;
	assert_become_one(&a, &b);
}

static void
a_packet_that_stays_alone_leaves_as_it_came(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, 1);

	frame.padding = 9;
	give_frame(rig, &frame);
	assert_int_equal(rig->self.held, 1);
	flush(rig);
	assert_int_equal(rig->n_out, 1);
	assert_is_frame(rig->out[0], &frame);
	free_rig(rig);
}

/* --- which segments are of one connection ------------------------------------------------------------------------- */

APART(segments_of_different_sources_stay_apart, b.source++)
APART(segments_of_different_destinations_stay_apart, b.destination++)
APART(segments_of_different_source_ports_stay_apart, b.source_port++)
APART(segments_of_different_destination_ports_stay_apart, b.destination_port++)
APART(segments_of_different_stations_stay_apart, b.mac++)
APART(segments_with_and_without_a_tag_stay_apart, b.tags = 1)
APART(segments_of_different_vlans_stay_apart, (a.tags = b.tags = 1, a.tci[0] = 1, b.tci[0] = 2))
APART(segments_of_different_priorities_stay_apart, (a.tags = b.tags = 1, a.tci[0] = 1, b.tci[0] = 0x2001))
APART(segments_with_different_kinds_of_tags_stay_apart, (a.tags = b.tags = 1, b.tpid[0] = RTE_ETHER_TYPE_QINQ))
APART(segments_with_different_inner_tags_stay_apart, (a.tags = b.tags = 2, b.tci[1] = 5))
APART(segments_of_different_versions_of_ip_stay_apart, b.ipv6 = true)
APART(segments_with_three_tags_stay_apart, (a.tags = b.tags = 2, a.tpid[1] = b.tpid[1] = 0x9100))

static void
segments_of_different_ports_of_the_switch_stay_apart(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *second;
	struct tcp_frame a, b;

	make_pair(&a, &b);
	give_frame(rig, &a);
	second = mbuf_of(&b);
	second->port = 2;
	give(rig, second);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	free_rig(rig);
}

/* --- which of a connection follow each other ---------------------------------------------------------------------- */

APART(segments_of_different_tos_stay_apart, b.tos = 8)
APART(segments_of_different_ttl_stay_apart, b.ttl--)
APART(segments_that_may_and_may_not_be_fragmented_stay_apart, b.fragment = 0)
APART(segments_of_different_traffic_classes_stay_apart, (a.ipv6 = b.ipv6 = true, b.tos = 8))
APART(segments_of_different_hop_limits_stay_apart, (a.ipv6 = b.ipv6 = true, b.ttl--))
APART(segments_of_different_flow_labels_stay_apart, (a.ipv6 = b.ipv6 = true, b.label = 1))
APART(a_segment_behind_a_gap_stays_apart, b.seq++)
APART(a_segment_that_overlaps_stays_apart, b.seq--)
APART(a_repeated_segment_stays_apart, b.seq = a.seq)
APART(a_segment_that_acknowledges_less_stays_apart, b.ack--)
APART(a_segment_with_an_older_timestamp_stays_apart, b.sent--)
APART(a_segment_that_echoes_an_older_timestamp_stays_apart, b.echoed--)
APART(segments_with_and_without_timestamps_stay_apart, b.timestamps = false)
APART(a_longer_segment_stays_apart, b.payload++)
APART(an_identification_that_jumps_keeps_apart, b.id++)
APART(the_same_identification_without_df_keeps_apart, (a.fragment = b.fragment = 0, b.id = a.id))
APART(congestion_that_only_the_second_met_keeps_apart, (a.tos = 2, b.tos = 3))
APART(an_echo_of_congestion_that_only_one_has_keeps_apart, b.flags |= RTE_TCP_ECE_FLAG)
APART(a_second_segment_with_cwr_stays_apart, b.flags |= RTE_TCP_CWR_FLAG)
TOGETHER(a_first_segment_may_have_cwr, a.flags |= RTE_TCP_CWR_FLAG)
TOGETHER(segments_that_both_echo_congestion_become_one, (a.flags |= RTE_TCP_ECE_FLAG, b.flags |= RTE_TCP_ECE_FLAG))
TOGETHER(segments_that_both_met_congestion_become_one, a.tos = b.tos = 3)
TOGETHER(the_same_identification_with_df_is_no_matter, b.id = a.id)
TOGETHER(identifications_may_wrap, (a.id = UINT16_MAX, b.id = 0))
TOGETHER(acknowledgment_numbers_may_wrap, (a.ack = UINT32_MAX, b.ack = 4))
TOGETHER(timestamps_may_wrap, (a.sent = UINT32_MAX, b.sent = 1))
TOGETHER(windows_may_differ, b.window = 0)
TOGETHER(a_shorter_segment_may_follow, b.payload--)
TOGETHER(segments_of_one_byte_become_one, (a.payload = b.payload = 1, b.seq = a.seq + 1))

static void
identifications_that_stand_still_do_not_begin_to_count(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	for (int i = 0; i < 3; i++) {
		frame.id = i == 2;
		give_frame(rig, &frame);
		frame.seq += PAYLOAD;
	}
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_int_equal(rig->out[0]->nb_segs, 2);
	free_rig(rig);
}

/* --- which never are aggregated ----------------------------------------------------------------------------------- */

APART(segments_without_payload_stay_apart, (a.payload = b.payload = 0, b.seq = a.seq))
APART(fin_stays_apart, b.flags |= RTE_TCP_FIN_FLAG)
APART(syn_stays_apart, b.flags |= RTE_TCP_SYN_FLAG)
APART(rst_stays_apart, b.flags |= RTE_TCP_RST_FLAG)
APART(urg_stays_apart, b.flags |= RTE_TCP_URG_FLAG)
APART(segments_without_ack_stay_apart, a.flags = b.flags = 0)
APART(fin_first_stays_apart, a.flags |= RTE_TCP_FIN_FLAG)
APART(ip_options_keep_apart, a.ip_options = b.ip_options = 4)
APART(extension_headers_keep_apart, (a.ipv6 = b.ipv6 = true, a.ip_options = b.ip_options = 8))
APART(fragments_stay_apart, (a.fragment = b.fragment = RTE_IPV4_HDR_MF_FLAG))
APART(last_fragments_stay_apart, (a.fragment = b.fragment = 100))
APART(the_reserved_bit_of_the_fragment_field_keeps_apart, (a.fragment = b.fragment = 0x8000))

static void
set_options(struct tcp_frame *frame, const void *options, uint8_t length)
{
	memcpy(frame->options, options, length);
	frame->options_len = length;
}

/* A SACK block; timestamps that are not where they usually are; options that end early. */
static const uint8_t sack[12] = { 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9 };
static const uint8_t stamps_first[12] = { 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1 };
static const uint8_t end_first[4] = { 0, 0, 0, 0 };
static const uint8_t stamps_and_more[16] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1 };

APART(other_tcp_options_keep_apart, (set_options(&a, sack, sizeof(sack)), set_options(&b, sack, sizeof(sack))))
APART(timestamps_in_another_place_keep_apart,
      (set_options(&a, stamps_first, sizeof(stamps_first)), set_options(&b, stamps_first, sizeof(stamps_first))))
APART(an_end_of_options_keeps_apart,
      (set_options(&a, end_first, sizeof(end_first)), set_options(&b, end_first, sizeof(end_first))))
APART(options_behind_the_timestamp_keep_apart, (set_options(&a, stamps_and_more, sizeof(stamps_and_more)),
						set_options(&b, stamps_and_more, sizeof(stamps_and_more))))

/* A change of the bytes of a frame in an mbuf, which is otherwise right. */
static void
assert_changed_byte_stays_apart(unsigned int offset, uint8_t xor)
{
	for (int which = 0; which < 2; which++) {
		struct rig *rig = new_rig(NULL);
		struct rte_mbuf *mbufs[2];
		struct tcp_frame a, b;

		make_pair(&a, &b);
		mbufs[0] = mbuf_of(&a);
		mbufs[1] = mbuf_of(&b);
		*rte_pktmbuf_mtod_offset(mbufs[which], uint8_t *, offset) ^= xor;
		rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
		flush(rig);
		assert_int_equal(rig->n_out, 2);
		assert_ptr_equal(rig->out[0], mbufs[0]);
		assert_int_equal(rig->out[0]->ol_flags & TX_FLAGS, 0);
		*rte_pktmbuf_mtod_offset(mbufs[which], uint8_t *, offset) ^= xor;
		assert_is_frame(rig->out[0], &a);
		assert_is_frame(rig->out[1], &b);
		free_rig(rig);
	}
}

static void
a_wrong_checksum_of_ip_keeps_apart(void **state)
{
	assert_changed_byte_stays_apart(24, 1);
}

static void
a_wrong_checksum_of_tcp_keeps_apart(void **state)
{
	assert_changed_byte_stays_apart(14 + 20 + 16, 1);
}

static void
a_changed_byte_of_the_payload_keeps_apart(void **state)
{
	assert_changed_byte_stays_apart(14 + 20 + 32 + PAYLOAD - 1, 0x80);
}

static void
a_length_of_ip_beyond_the_frame_keeps_apart(void **state)
{
	assert_changed_byte_stays_apart(16, 0x40);
}

static void
a_length_of_tcp_beyond_the_packet_keeps_apart(void **state)
{
	assert_changed_byte_stays_apart(14 + 20 + 12, 0x70);
}

APART(reserved_bits_of_tcp_keep_apart, a.reserved = b.reserved = 1)

/* Both segments say so, their checksums are right, and nothing is there that could be taken for payload. */
static void
a_length_of_ip_that_cuts_headers_off_keeps_apart(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *mbufs[2];
	struct tcp_frame a, b;

	make_pair(&a, &b);
	mbufs[0] = mbuf_of(&a);
	mbufs[1] = mbuf_of(&b);
	for (int i = 0; i < 2; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(mbufs[i], struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

		ip->total_length = rte_cpu_to_be_16(20 + 31);
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		mbufs[i]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	assert_int_equal(rig->n_out, 2);
	assert_int_equal(mbufs[0]->pkt_len, tcp_frame_headers(&a) + PAYLOAD);
	free_rig(rig);
}

/* --- checksums ---------------------------------------------------------------------------------------------------- */

/* Two segments whose checksum of TCP is wrong, with these flags; how many packets are left. */
static uint32_t
left_with_wrong_checksums(const char *options, uint64_t flags)
{
	struct rig *rig = new_rig(options);
	struct rte_mbuf *mbufs[2];
	struct tcp_frame a, b;
	uint32_t left;

	make_pair(&a, &b);
	mbufs[0] = mbuf_of(&a);
	mbufs[1] = mbuf_of(&b);
	for (int i = 0; i < 2; i++) {
		mbufs[i]->ol_flags |= flags;
		rte_pktmbuf_mtod_offset(mbufs[i], struct rte_tcp_hdr *, 34)->cksum ^= 0x1111;
	}
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	flush(rig);
	left = rig->n_out;
	for (uint32_t i = 0; left == 2 && i < left; i++)
		assert_int_equal(rig->out[i]->ol_flags & TX_FLAGS, flags & TX_FLAGS);
	free_rig(rig);
	return left;
}

static void
what_the_port_has_checked_is_not_checked_again(void **state)
{
	assert_int_equal(left_with_wrong_checksums(NULL, RTE_MBUF_F_RX_L4_CKSUM_GOOD), 1);
	assert_int_equal(left_with_wrong_checksums("{\"checksum\": \"port\"}", RTE_MBUF_F_RX_L4_CKSUM_GOOD), 1);
}

static void
what_a_local_sender_left_to_be_filled_in_is_trusted(void **state)
{
	assert_int_equal(left_with_wrong_checksums(NULL, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4), 1);
	assert_int_equal(
		left_with_wrong_checksums("{\"checksum\": \"port\"}", RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4), 1);
}

static void
what_the_port_does_not_know_is_checked(void **state)
{
	assert_int_equal(left_with_wrong_checksums(NULL, 0), 2);
	assert_int_equal(left_with_wrong_checksums(NULL, RTE_MBUF_F_RX_L4_CKSUM_NONE), 2);
}

static void
what_the_port_found_wrong_is_not_looked_at(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *mbufs[2];
	struct tcp_frame a, b;

	make_pair(&a, &b);
	mbufs[0] = mbuf_of(&a);
	mbufs[1] = mbuf_of(&b);
	mbufs[1]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD;
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	assert_int_equal(rig->n_out, 2);
	free_rig(rig);
}

static void
with_checksum_port_nothing_is_checked_here(void **state)
{
	struct tcp_frame a, b;

	make_pair(&a, &b);
	assert_stay_apart_with("{\"checksum\": \"port\"}", &a, &b);
}

static void
a_packet_alone_is_not_checked(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	give_frame(rig, &frame);
	flush(rig);
	assert_int_equal(rig->out[0]->ol_flags, 0);
	free_rig(rig);
}

static void
sums_are_right_for_every_length(void **state)
{
	for (uint16_t payload = 1; payload < 80; payload++) {
		struct tcp_frame a, b;

		make_pair(&a, &b);
		a.payload = payload;
		b.payload = payload;
		b.seq = a.seq + payload;
		assert_become_one(&a, &b);
		a.ipv6 = b.ipv6 = true;
		assert_become_one(&a, &b);
	}
}

/* --- when a packet is complete ------------------------------------------------------------------------------------ */

static void
psh_ends_the_packet(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b;

	make_pair(&a, &b);
	b.flags |= RTE_TCP_PSH_FLAG;
	give_frame(rig, &a);
	give_frame(rig, &b);
	assert_int_equal(rig->n_out, 1);
	assert_int_equal(rig->out[0]->nb_segs, 2);
	free_rig(rig);
}

static void
a_segment_with_psh_alone_does_not_wait(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	frame.flags |= RTE_TCP_PSH_FLAG;
	give_frame(rig, &frame);
	assert_int_equal(rig->n_out, 1);
	assert_is_frame(rig->out[0], &frame);
	free_rig(rig);
}

static void
a_shorter_segment_ends_the_packet(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b;

	make_pair(&a, &b);
	b.payload--;
	give_frame(rig, &a);
	give_frame(rig, &b);
	assert_int_equal(rig->n_out, 1);
	assert_int_equal(rig->out[0]->tso_segsz, PAYLOAD);
	free_rig(rig);
}

static void
a_packet_of_the_most_segments_leaves_at_once(void **state)
{
	struct rig *rig = new_rig("{\"limit\": 3}");

	give_run(rig, tcp_frame(0, 1000, PAYLOAD), 7);
	assert_int_equal(rig->n_out, 2);
	assert_int_equal(rig->self.held, 1);
	flush(rig);
	assert_int_equal(rig->n_out, 3);
	assert_int_equal(rig->out[0]->nb_segs, 3);
	assert_int_equal(rig->out[2]->nb_segs, 1);
	free_rig(rig);
}

static void
twenty_segments_are_the_usual_limit(void **state)
{
	struct rig *rig = new_rig(NULL);

	give_run(rig, tcp_frame(0, 1000, PAYLOAD), 20);
	assert_int_equal(rig->n_out, 1);
	assert_int_equal(rig->out[0]->nb_segs, 20);
	free_rig(rig);
}

static void
a_packet_is_no_longer_than_ip_can_say(void **state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct rig *rig = new_rig(NULL);
		struct tcp_frame frame = tcp_frame(0, 1000, 8000);

		frame.ipv6 = ipv6;
		give_run(rig, frame, 9);
		flush(rig);
		assert_int_equal(rig->n_out, 2);
		assert_int_equal(rig->out[0]->nb_segs, 8);
		free_rig(rig);
		rig = new_rig(NULL);
		frame.payload = (uint16_t)((UINT16_MAX - (tcp_frame_headers(&frame) - RTE_ETHER_HDR_LEN)) / 11);
		give_run(rig, frame, 11);
		flush(rig);
		assert_int_equal(rig->n_out, 1);
		free_rig(rig);
	}
}

/* --- what is passed on as it is ----------------------------------------------------------------------------------- */

static void
an_empty_burst_is_nothing(void **state)
{
	struct rig *rig = new_rig(NULL);

	rig_process(rig, PV_HOOK_FROM_WIRE, NULL, 0);
	flush(rig);
	assert_int_equal(rig->n_out, 0);
	free_rig(rig);
}

static void
a_full_burst_becomes_as_few_packets_as_possible(void **state)
{
	struct rig *rig = new_rig("{\"limit\": 64}");
	struct rte_mbuf *mbufs[PV_VECTOR_MAX];

	for (uint16_t i = 0; i < PV_VECTOR_MAX; i++) {
		struct tcp_frame frame = tcp_frame(i % 2, 1000 + i / 2 * PAYLOAD, PAYLOAD);

		frame.id = i / 2;
		mbufs[i] = mbuf_of(&frame);
	}
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, PV_VECTOR_MAX);
	assert_int_equal(rig->self.held, PV_VECTOR_MAX);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_int_equal(rig->out[0]->nb_segs + rig->out[1]->nb_segs, PV_VECTOR_MAX);
	free_rig(rig);
}

static struct rte_mbuf *
mbuf_of_bytes(const void *bytes, uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, length), bytes, length);
	mbuf->port = 1;
	return mbuf;
}

static void
frames_that_end_early_pass(void **state)
{
	static uint8_t bytes[TCP_FRAME_MAX];
	struct tcp_frame frame = tcp_frame(0, 1000, 4);

	for (int kind = 0; kind < 4; kind++) {
		struct rig *rig = new_rig(NULL);
		uint32_t length;

		frame.ipv6 = kind & 1;
		frame.tags = kind & 2;
		length = tcp_frame_write(&frame, bytes);
		for (uint16_t cut = RTE_ETHER_HDR_LEN; cut < length; cut++) {
			give(rig, mbuf_of_bytes(bytes, cut));
			assert_int_equal(rig->n_out, cut - RTE_ETHER_HDR_LEN + 1);
			assert_int_equal(rig->out[rig->n_out - 1]->pkt_len, cut);
			assert_memory_equal(rte_pktmbuf_mtod(rig->out[rig->n_out - 1], const void *), bytes, cut);
		}
		free_rig(rig);
	}
}

static void
foreign_protocols_pass_and_let_nothing_go(void **state)
{
	static uint8_t bytes[TCP_FRAME_MAX];
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);
	uint16_t length = (uint16_t)tcp_frame_write(&frame, bytes);

	give_frame(rig, &frame);
	bytes[23] = IPPROTO_UDP;
	give(rig, mbuf_of_bytes(bytes, length));
	bytes[23] = IPPROTO_TCP;
	bytes[14] = 0x65; /* version 6 in a frame of version 4 */
	give(rig, mbuf_of_bytes(bytes, length));
	bytes[12] = 0x08;
	bytes[13] = 0x06; /* ARP */
	give(rig, mbuf_of_bytes(bytes, length));
	frame.ipv6 = true;
	length = (uint16_t)tcp_frame_write(&frame, bytes);
	bytes[20] = IPPROTO_ICMPV6;
	give(rig, mbuf_of_bytes(bytes, length));
	assert_int_equal(rig->n_out, 4);
	assert_int_equal(rig->self.held, 1);
	free_rig(rig);
}

/* Splits a frame into two mbufs. */
static struct rte_mbuf *
chained(const struct tcp_frame *frame, uint16_t first)
{
	struct rte_mbuf *whole = mbuf_of(frame), *rest;

	rest = mbuf_of_bytes(rte_pktmbuf_mtod_offset(whole, const void *, first), (uint16_t)(whole->data_len - first));
	rte_pktmbuf_trim(whole, rest->data_len);
	assert_int_equal(rte_pktmbuf_chain(whole, rest), 0);
	return whole;
}

static void
packets_in_several_buffers_pass_behind_their_flow(void **state)
{
	struct tcp_frame a, b;

	make_pair(&a, &b);
	for (uint16_t first = RTE_ETHER_HDR_LEN; first < tcp_frame_headers(&b) + PAYLOAD; first++) {
		struct rig *rig = new_rig(NULL);

		give_frame(rig, &a);
		give(rig, chained(&b, first));
		assert_int_equal(rig->n_out, 2);
		assert_int_equal(rig->out[1]->nb_segs, 2);
		assert_is_frame(rig->out[0], &a);
		assert_is_frame(rig->out[1], &b);
		free_rig(rig);
	}
}

static void
buffers_that_others_refer_to_are_not_written_to(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *mbufs[2], *other;
	struct tcp_frame a, b;

	make_pair(&a, &b);
	mbufs[0] = mbuf_of(&a);
	mbufs[1] = mbuf_of(&b);
	rte_mbuf_refcnt_update(mbufs[1], 1);
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(mbufs[1], &b);
	rte_pktmbuf_free(mbufs[1]);
	rig_clear(rig);

	other = mbuf_of(&a);
	mbufs[0] = rte_pktmbuf_clone(other, pool);
	mbufs[1] = mbuf_of(&b);
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(other, &a);
	rte_pktmbuf_free(other);
	free_rig(rig);
}

static void
free_nothing(void *address, void *context)
{
}

static void
memory_that_is_not_ours_is_not_written_to(void **state)
{
	static uint8_t bytes[TCP_FRAME_MAX], before[TCP_FRAME_MAX];
	static struct rte_mbuf_ext_shared_info info = { .free_cb = free_nothing };
	struct rig *rig = new_rig(NULL);
	struct rte_mbuf *mbufs[2];
	struct tcp_frame a, b;
	uint16_t length;

	make_pair(&a, &b);
	length = (uint16_t)tcp_frame_write(&a, bytes);
	memcpy(before, bytes, length);
	mbufs[0] = rte_pktmbuf_alloc(pool);
	assert_non_null(mbufs[0]);
	rte_mbuf_ext_refcnt_set(&info, 1);
	rte_pktmbuf_attach_extbuf(mbufs[0], bytes, RTE_BAD_IOVA, length, &info);
	rte_pktmbuf_append(mbufs[0], length);
	mbufs[0]->port = 1;
	mbufs[1] = mbuf_of(&b);
	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 2);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_memory_equal(bytes, before, length);
	free_rig(rig);
}

static void
packets_that_are_large_already_pass_behind_their_flow(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b;
	struct rte_mbuf *large;

	make_pair(&a, &b);
	give_frame(rig, &a);
	large = mbuf_of(&b);
	large->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	large->tso_segsz = 20;
	give(rig, large);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(rig->out[0], &a);
	assert_int_equal(large->tso_segsz, 20);
	assert_false(pv_is_coalesced(large));
	free_rig(rig);
}

static void
packets_that_ask_a_device_for_something_pass_behind_their_flow(void **state)
{
	static const uint64_t flags[] = { RTE_MBUF_F_TX_SEC_OFFLOAD, RTE_MBUF_F_TX_UDP_CKSUM, RTE_MBUF_F_TX_VLAN,
					  RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED };

	for (size_t i = 0; i < RTE_DIM(flags); i++) {
		struct rig *rig = new_rig(NULL);
		struct tcp_frame a, b;
		struct rte_mbuf *second;

		make_pair(&a, &b);
		give_frame(rig, &a);
		second = mbuf_of(&b);
		second->ol_flags |= flags[i];
		give(rig, second);
		assert_int_equal(rig->n_out, 2);
		assert_int_equal(second->ol_flags, flags[i]);
		free_rig(rig);
	}
}

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Something of flow 0 that does not join goes out behind what is kept of it, and flow 1 waits. */
static void
assert_goes_out_behind_its_flow(struct tcp_frame frame)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame kept = tcp_frame(0, 1000, PAYLOAD), other = tcp_frame(1, 1000, PAYLOAD);

	kept.ipv6 = other.ipv6 = frame.ipv6;
	give_frame(rig, &other);
	give_frame(rig, &kept);
	give_frame(rig, &frame);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(rig->out[0], &kept);
	assert_is_frame(rig->out[1], &frame);
	assert_int_equal(rig->self.held, 1);
	free_rig(rig);
}

#define BEHIND(name, change)                                                    \
	static void name(void **state)                                          \
	{                                                                       \
		struct tcp_frame frame = tcp_frame(0, 1000 + PAYLOAD, PAYLOAD); \
                                                                                \
		change;                                                         \
		assert_goes_out_behind_its_flow(frame);                         \
	}

BEHIND(a_pure_acknowledgment_does_not_overtake, frame.payload = 0)
BEHIND(fin_does_not_overtake, frame.flags |= RTE_TCP_FIN_FLAG)
BEHIND(rst_does_not_overtake, (frame.flags = RTE_TCP_RST_FLAG, frame.payload = 0))
BEHIND(syn_does_not_overtake, (frame.flags = RTE_TCP_SYN_FLAG, frame.payload = 0))
BEHIND(odd_tcp_options_do_not_overtake, set_options(&frame, sack, sizeof(sack)))
BEHIND(ip_options_do_not_overtake, frame.ip_options = 8)
BEHIND(a_first_fragment_does_not_overtake, frame.fragment = RTE_IPV4_HDR_MF_FLAG)
BEHIND(a_further_fragment_does_not_overtake, frame.fragment = RTE_IPV4_HDR_MF_FLAG | 50)
BEHIND(an_extension_header_does_not_overtake, (frame.ipv6 = true, frame.ip_options = 8))
BEHIND(urg_does_not_overtake, frame.flags |= RTE_TCP_URG_FLAG)

static void
the_priority_of_a_tag_makes_no_other_connection(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b;

	make_pair(&a, &b);
	a.tags = b.tags = 1;
	b.tci[0] = 0xe000;
	give_frame(rig, &a);
	give_frame(rig, &b);
	assert_int_equal(rig->n_out, 1);
	assert_is_frame(rig->out[0], &a);
	free_rig(rig);
}

static void
a_fragment_of_ipv6_does_not_overtake(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame kept = tcp_frame(0, 1000, PAYLOAD), frame = tcp_frame(0, 1000 + PAYLOAD, PAYLOAD);
	struct rte_mbuf *fragment;

	kept.ipv6 = frame.ipv6 = true;
	frame.ip_options = 8;
	give_frame(rig, &kept);
	fragment = mbuf_of(&frame);
	rte_pktmbuf_mtod(fragment, uint8_t *)[20] = IPPROTO_FRAGMENT;
	give(rig, fragment);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(rig->out[0], &kept);
	free_rig(rig);
}

static void
connections_of_different_vlans_do_not_end_each_other(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b, other;

	make_pair(&a, &b);
	a.tags = b.tags = 1;
	a.tci[0] = b.tci[0] = 1;
	other = b;
	other.tci[0] = 2;
	give_frame(rig, &a);
	give_frame(rig, &other);
	give_frame(rig, &b);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_int_equal(rig->out[0]->nb_segs, 2);
	free_rig(rig);
}

static void
what_does_not_show_its_addresses_goes_out_behind_everything(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000 + PAYLOAD, PAYLOAD);

	for (unsigned int flow = 0; flow < 3; flow++)
		give_run(rig, tcp_frame(flow, 1000, PAYLOAD), 2);
	give(rig, chained(&frame, 20));
	assert_int_equal(rig->n_out, 4);
	assert_int_equal(rig->self.held, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pv_coalesced(rig->out[i])->segments, 2);
	free_rig(rig);
}

static void
after_that_a_connection_begins_anew_in_the_same_burst(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);
	struct rte_mbuf *mbufs[3] = { mbuf_of(&frame), chained(&frame, 20), mbuf_of(&frame) };

	rig_process(rig, PV_HOOK_FROM_WIRE, mbufs, 3);
	assert_int_equal(rig->n_out, 2);
	flush(rig);
	assert_int_equal(rig->n_out, 3);
	free_rig(rig);
}

static void
after_something_odd_a_new_packet_begins(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD), odd = tcp_frame(0, 1000 + 2 * PAYLOAD, 0);

	give_run(rig, frame, 2);
	give_frame(rig, &odd);
	frame.seq += 2 * PAYLOAD;
	give_run(rig, frame, 3);
	flush(rig);
	assert_int_equal(rig->n_out, 3);
	assert_int_equal(rig->out[0]->nb_segs, 2);
	assert_is_frame(rig->out[1], &odd);
	assert_int_equal(rig->out[2]->nb_segs, 3);
	free_rig(rig);
}

static void
flows_leave_in_the_order_in_which_they_came(void **state)
{
	struct rig *rig = new_rig(NULL);

	for (unsigned int flow = 0; flow < 8; flow++)
		give_run(rig, tcp_frame((flow * 5) % 8, 1000, PAYLOAD), 2);
	flush(rig);
	assert_int_equal(rig->n_out, 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(rte_pktmbuf_mtod(rig->out[i], const uint8_t *)[29], 1 + (i * 5) % 8);
	free_rig(rig);
}

static void
more_connections_than_there_are_places_lose_nothing(void **state)
{
	struct rig *rig = new_rig(NULL);
	uint32_t segments = 0;

	for (unsigned int flow = 0; flow < 1000; flow++)
		give_run(rig, tcp_frame(flow, 1000, PAYLOAD), 2);
	assert_true(rig->self.held <= 2 * 256);
	flush(rig);
	assert_int_equal(rig->n_out, 1000);
	for (unsigned int i = 0; i < 1000; i++)
		segments += rig->out[i]->nb_segs;
	assert_int_equal(segments, 2000);
	free_rig(rig);
}

static void
a_table_that_was_flushed_remembers_nothing(void **state)
{
	struct rig *rig = new_rig(NULL);
	struct tcp_frame a, b;

	make_pair(&a, &b);
	give_frame(rig, &a);
	flush(rig);
	give_frame(rig, &b);
	flush(rig);
	assert_int_equal(rig->n_out, 2);
	assert_is_frame(rig->out[0], &a);
	assert_is_frame(rig->out[1], &b);
	free_rig(rig);
}

/* --- in a worker -------------------------------------------------------------------------------------------------- */

static const struct testbed_setup wire_and_guest = { .ports = 2, .wires = 1, .macs = { NULL, "52:54:00:00:00:fe" } };

static struct testbed *
new_testbed(void)
{
	struct testbed_setup setup = wire_and_guest;

	setup.stages[0] = pv_stage_find("receive-aggregation");
	return testbed_take_large(testbed_new(&setup));
}

static void
inject(struct testbed *testbed, uint16_t port, const struct tcp_frame *frame)
{
	static uint8_t bytes[TCP_FRAME_MAX];

	testbed_inject_bytes(testbed, port, 0, bytes, tcp_frame_write(frame, bytes), 1);
}

static void
partial_packets_leave_in_the_round_in_which_they_came(void **state)
{
	struct testbed *testbed = new_testbed();
	struct tcp_frame frame = tcp_frame(0, 1000, PAYLOAD);

	frame.mac = 1;
	for (int i = 0; i < 5; i++) {
		inject(testbed, 0, &frame);
		frame.seq += PAYLOAD;
		frame.id++;
	}
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_packet(testbed, 1, 0)->nb_segs, 5);
	assert_int_equal(testbed_all_drops(testbed), 0);
	testbed_free(testbed);
}

static void
what_guests_send_is_left_alone(void **state)
{
	struct testbed_setup setup = wire_and_guest;
	struct testbed *testbed;
	struct tcp_frame a, b;

	setup.wires = 0;
	setup.stages[0] = pv_stage_find("receive-aggregation");
	testbed = testbed_take_large(testbed_new(&setup));
	make_pair(&a, &b);
	a.mac = b.mac = 1;
	inject(testbed, 0, &a);
	inject(testbed, 0, &b);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 2);
	testbed_free(testbed);
}

static void
what_is_kept_is_freed_at_the_end(void **state)
{
	struct rig *rig = new_rig(NULL);

	give_run(rig, tcp_frame(0, 1000, PAYLOAD), 3);
	give_run(rig, tcp_frame(1, 1000, PAYLOAD), 1);
	assert_int_equal(rig->self.held, 4);
	free_rig(rig);
}

static void
a_stage_that_does_not_start_leaves_nothing(void **state)
{
	no_random = true;
	assert_null(new_testbed());
	assert_int_equal(refused, 1);
	no_random = false;
	testbed_free(new_testbed());
}

static int
refuse_to_start(struct pv_stage_self *self)
{
	return -EIO;
}

static void
pass(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		pv_emit(run, packets[i]);
}

static const struct pv_stage refusing = {
	.name = "refusing",
	.summary = "does not start",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_WIRE),
	.init = refuse_to_start,
	.process = pass,
};

static void
it_ends_when_another_stage_does_not_start(void **state)
{
	struct testbed_setup setup = wire_and_guest;

	setup.stages[0] = pv_stage_find("receive-aggregation");
	setup.stages[1] = &refusing;
	assert_null(testbed_new(&setup));
}

static void
guests_are_offered_what_large_packets_need(void **state)
{
	assert_int_equal(pv_stage_find("receive-aggregation")->guest_features,
			 1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |
				 1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_GUEST_ECN);
}

/* --- random streams ----------------------------------------------------------------------------------------------- */

#define FLOWS 12
#define STEPS 3000
#define SENT_MAX 4096

/* A packet that was given to the stage, and what is known of it. */
struct sent {
	struct tcp_frame frame;
	uint8_t bytes[1600];
	uint32_t length;
	bool odd;	/* something about it keeps it from being aggregated */
	bool bad_sum;	/* found when it is to be put together with another one */
	uint32_t group; /* that the model puts it into */
};

struct stream {
	struct tcp_frame next;
	uint16_t mss;
	struct sent sent[SENT_MAX];
	uint32_t n_sent, n_seen;
	/* The model: the group that is open begins here; none when it is n_sent. */
	uint32_t open, groups;
};

struct play {
	struct stream *streams;
	struct rig *rig;
	uint64_t random;
	uint32_t limit, merged;
};

static uint32_t
pick(struct play *play, uint32_t n)
{
	play->random = play->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(play->random >> 33) % n;
}

static bool
chance(struct play *play, uint32_t one_in)
{
	return pick(play, one_in) == 0;
}

/* One of the things that happen to segments. True: it is never aggregated then. */
static bool
make_odd(struct play *play, struct tcp_frame *frame)
{
	switch (pick(play, 9)) {
	case 0:
		frame->payload = 0;
		return true;
	case 1:
		frame->flags |= (uint8_t[]){ RTE_TCP_FIN_FLAG, RTE_TCP_RST_FLAG, RTE_TCP_SYN_FLAG,
					     RTE_TCP_URG_FLAG }[pick(play, 4)];
		return true;
	case 2:
		set_options(frame, sack, sizeof(sack));
		return true;
	case 3:
		frame->ip_options = 8;
		return true;
	case 4:
		if (frame->ipv6)
			return false;
		frame->fragment |= RTE_IPV4_HDR_MF_FLAG;
		return true;
	case 5:
		frame->flags = 0;
		return true;
	default:
		return false;
	}
}

/* Changes that decide whether a segment continues what is there. */
static void
vary(struct play *play, struct stream *stream, struct tcp_frame *frame)
{
	struct tcp_frame *next = &stream->next;

	if (chance(play, 4))
		next->ack += pick(play, 3000);
	if (chance(play, 6))
		next->window = (uint16_t)pick(play, 4);
	if (chance(play, 5))
		next->sent += pick(play, 3);
	if (chance(play, 20))
		next->tos ^= 3;
	if (chance(play, 30))
		next->ttl ^= 1;
	if (chance(play, 40))
		next->label ^= 1;
	if (chance(play, 40))
		next->tci[0] ^= 0x2000;
	if (chance(play, 30))
		next->flags ^= RTE_TCP_ECE_FLAG;
	if (chance(play, 40))
		next->fragment ^= RTE_IPV4_HDR_DF_FLAG;
	if (chance(play, 60))
		next->timestamps = !next->timestamps;
	*frame = *next;
	if (chance(play, 20))
		frame->flags |= RTE_TCP_CWR_FLAG;
	if (chance(play, 12))
		frame->flags |= RTE_TCP_PSH_FLAG;
	if (chance(play, 30))
		frame->ack -= 1 + pick(play, 100);
	if (chance(play, 30))
		frame->sent -= 1 + pick(play, 5);
	if (chance(play, 30))
		frame->echoed -= 1;
	if (chance(play, 30))
		frame->id += 1 + pick(play, 3);
	if (chance(play, 20))
		frame->padding = (uint16_t)pick(play, 12);
}

/* The next segment of a stream, and where the stream is then. */
static bool
make_segment(struct play *play, struct stream *stream, struct tcp_frame *frame)
{
	struct tcp_frame *next = &stream->next;
	bool odd = false;

	vary(play, stream, frame);
	frame->payload = chance(play, 10) ? (uint16_t)(1 + pick(play, stream->mss + 20u)) : stream->mss;
	if (chance(play, 12))
		odd = make_odd(play, frame);
	if (chance(play, 25))
		frame->seq -= pick(play, 3) * stream->mss; /* comes again */
	else
		next->seq += frame->payload;
	if (chance(play, 25))
		next->seq += pick(play, 2) * stream->mss; /* the one behind was lost */
	if (chance(play, 50))
		stream->mss = (uint16_t)(1 + pick(play, 700));
	next->id += stream->next.source % 3 != 0; /* some senders do not count */
	return odd;
}

/* --- the model of the rules --- */

static bool
are_alike(const struct tcp_frame *a, const struct tcp_frame *b)
{
	const uint8_t kept = RTE_TCP_ECE_FLAG;

	return a->mac == b->mac && a->tos == b->tos && a->ttl == b->ttl && a->timestamps == b->timestamps &&
	       (a->ipv6 ? a->label == b->label : a->fragment == b->fragment) &&
	       (a->flags & kept) == (b->flags & kept) && (a->tags == 0 || a->tci[0] == b->tci[0]);
}

static bool
may_follow(const struct sent *first, const struct sent *last, const struct sent *next, uint32_t count)
{
	const struct tcp_frame *a = &last->frame, *b = &next->frame;
	uint16_t step = (uint16_t)(b->id - a->id);
	bool stamps = !b->timestamps || ((int32_t)(b->sent - a->sent) >= 0 && (int32_t)(b->echoed - a->echoed) >= 0);

	if (!are_alike(&first->frame, b) || b->seq != a->seq + a->payload || (int32_t)(b->ack - a->ack) < 0 || !stamps)
		return false;
	if (!b->ipv6 && count > 1 && step != (uint16_t)(first[1].frame.id - first->frame.id))
		return false;
	if (!b->ipv6 && !(step == 1 || (step == 0 && (b->fragment & RTE_IPV4_HDR_DF_FLAG) != 0)))
		return false;
	return b->payload <= first->frame.payload && (b->flags & RTE_TCP_CWR_FLAG) == 0 && !first->bad_sum &&
	       !next->bad_sum;
}

static void
close_group(struct stream *stream)
{
	if (stream->open < stream->n_sent)
		stream->groups++;
	stream->open = stream->n_sent;
}

/* Puts the stream's newest packet into a group. Groups are runs of packets, so it is enough to number them. */
static void
model(const struct play *play, struct stream *stream)
{
	struct sent *next = &stream->sent[stream->n_sent];
	struct sent *first = &stream->sent[stream->open];
	uint32_t count = stream->n_sent - stream->open;
	bool psh = (next->frame.flags & RTE_TCP_PSH_FLAG) != 0, joined = false;

	if (next->odd || (count > 0 && !may_follow(first, next - 1, next, count)))
		close_group(stream);
	else
		joined = count > 0;
	next->group = stream->groups;
	count = stream->n_sent - stream->open + 1;
	first = &stream->sent[stream->open];
	stream->n_sent++;
	if (next->odd || psh || (joined && (next->frame.payload < first->frame.payload || count == play->limit)))
		close_group(stream);
}

/* --- sending and comparing --- */

static struct rte_mbuf *
to_mbuf(struct play *play, struct sent *sent)
{
	struct rte_mbuf *mbuf = mbuf_of(&sent->frame);
	uint16_t headers = tcp_frame_headers(&sent->frame);

	if (chance(play, 30)) { /* the port has checked it, or a local sender left it */
		mbuf->ol_flags |= chance(play, 2) ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_TX_TCP_CKSUM;
	} else if (chance(play, 60) && sent->frame.payload > 0) {
		*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, headers) ^= 1;
		sent->bad_sum = true;
	}
	if (!sent->frame.ipv6 && chance(play, 60)) {
		rte_pktmbuf_mtod_offset(mbuf, uint8_t *, 14 + 4 * sent->frame.tags)[10] ^= 1;
		sent->odd = true;
	}
	sent->length = tcp_frame_copy(mbuf, sent->bytes);
	if (chance(play, 60) && mbuf->data_len > headers) { /* in two buffers */
		struct rte_mbuf *rest = mbuf_of_bytes(rte_pktmbuf_mtod_offset(mbuf, const void *, headers),
						      (uint16_t)(mbuf->data_len - headers));

		rte_pktmbuf_trim(mbuf, rest->data_len);
		rte_pktmbuf_chain(mbuf, rest);
		sent->odd = true;
	}
	return mbuf;
}

struct comparison {
	struct stream *stream;
	uint32_t count; /* segments of the packet */
};

/* What the rules rewrite, taken from the last segment of the group. */
static void
rewrite(struct stream *stream, uint32_t first, uint32_t index, uint32_t count, uint8_t *bytes)
{
	const struct tcp_frame *frame = &stream->sent[first].frame, *last = &stream->sent[first + count - 1].frame;
	uint16_t l2_len = (uint16_t)(RTE_ETHER_HDR_LEN + 4 * frame->tags);
	uint16_t l3_len = frame->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(bytes + l2_len);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(bytes + l2_len + l3_len);
	uint32_t stamps[2] = { rte_cpu_to_be_32(last->sent), rte_cpu_to_be_32(last->echoed) };

	tcp->recv_ack = rte_cpu_to_be_32(last->ack);
	tcp->rx_win = rte_cpu_to_be_16(last->window);
	if (frame->timestamps)
		memcpy((uint8_t *)(tcp + 1) + 4, stamps, sizeof(stamps));
	if (!frame->ipv6)
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(frame->id + index));
	tcp_frame_checksums(bytes, l2_len, l3_len, frame->ipv6);
}

static void
compare(void *context, unsigned int index, uint8_t *bytes, uint32_t length)
{
	struct comparison *comparison = context;
	struct stream *stream = comparison->stream;
	struct sent *sent = &stream->sent[stream->n_seen + index];
	uint8_t wanted[1600];

	assert_true(stream->n_seen + index < stream->n_sent);
	memcpy(wanted, sent->bytes, sent->length);
	if (comparison->count > 1)
		rewrite(stream, stream->n_seen, index, comparison->count, wanted);
	assert_int_equal(length, sent->length - (comparison->count > 1 ? sent->frame.padding : 0));
	assert_memory_equal(bytes, wanted, length);
}

/* The stream by the last byte of the sender's IP address. */
static struct stream *
stream_of(struct play *play, const struct rte_mbuf *packet)
{
	static uint8_t bytes[TCP_FRAME_MAX];
	unsigned int at = 14;

	tcp_frame_copy(packet, bytes);
	while (bytes[at - 2] == 0x81)
		at += 4;
	return &play->streams[bytes[at - 2] == 0x86 ? bytes[at + 23] - 1 : bytes[at + 15] - 1];
}

static void
check_output(struct play *play)
{
	for (uint32_t i = 0; i < play->rig->n_out; i++) {
		const struct rte_mbuf *packet = play->rig->out[i];
		bool whole = pv_is_coalesced(packet);
		struct comparison comparison = {
			.stream = stream_of(play, packet),
			.count = whole ? pv_coalesced(packet)->segments : 1,
		};
		struct stream *stream = comparison.stream;
		const struct rte_mbuf *mbuf = packet;

		tcp_frame_segment(packet, compare, &comparison);
		for (uint32_t j = 0; whole && j < comparison.count; j++, mbuf = mbuf->next)
			assert_int_equal(pv_coalesced(mbuf)->ack, stream->sent[stream->n_seen + j].frame.ack);
		for (uint32_t j = 1; j < comparison.count; j++)
			assert_int_equal(stream->sent[stream->n_seen].group, stream->sent[stream->n_seen + j].group);
		stream->n_seen += comparison.count;
		if (stream->n_seen < stream->n_sent)
			assert_int_not_equal(stream->sent[stream->n_seen - 1].group,
					     stream->sent[stream->n_seen].group);
		play->merged += comparison.count - 1;
	}
	rig_clear(play->rig);
}

static void
flush_streams(struct play *play)
{
	flush(play->rig);
	for (uint32_t i = 0; i < FLOWS; i++)
		close_group(&play->streams[i]);
	check_output(play);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct stream *stream = &play->streams[i];

		assert_int_equal(stream->n_seen, stream->n_sent);
		stream->n_seen = stream->n_sent = stream->open = 0;
	}
}

static struct rte_mbuf *
next_packet(struct play *play, struct stream *stream)
{
	struct sent *sent = &stream->sent[stream->n_sent];
	struct rte_mbuf *mbuf;

	memset(sent, 0, offsetof(struct sent, bytes));
	sent->bad_sum = false;
	sent->odd = make_segment(play, stream, &sent->frame);
	mbuf = to_mbuf(play, sent);
	model(play, stream);
	return mbuf;
}

static void
begin_streams(struct play *play)
{
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct tcp_frame *next = &play->streams[i].next;

		*next = tcp_frame(i, pick(play, UINT32_MAX), 0);
		next->ipv6 = i % 3 == 1;
		next->tags = i % 4 == 2;
		next->tci[0] = (uint16_t)i;
		next->ack = pick(play, UINT32_MAX);
		next->sent = pick(play, UINT32_MAX);
		next->id = (uint16_t)pick(play, UINT16_MAX);
		play->streams[i].mss = (uint16_t)(1 + pick(play, 700));
	}
}

static uint32_t
play_random_streams(uint64_t seed)
{
	struct play play = { .random = seed };
	struct rte_mbuf *burst[PV_BURST_MAX];
	struct stream *stream;
	char options[64];

	play.streams = calloc(FLOWS, sizeof(*play.streams));
	assert_non_null(play.streams);
	play.limit = 2 + pick(&play, 63);
	snprintf(options, sizeof(options), "{\"limit\": %u}", play.limit);
	play.rig = new_rig(options);
	begin_streams(&play);
	stream = &play.streams[0];
	for (uint32_t step = 0; step < STEPS;) {
		uint16_t count = (uint16_t)pick(&play, PV_BURST_MAX + 1);

		for (uint16_t i = 0; i < count; i++) {
			if (chance(&play, 1 + pick(&play, 8)))
				stream = &play.streams[pick(&play, FLOWS)];
			burst[i] = next_packet(&play, stream);
		}
		rig_process(play.rig, PV_HOOK_FROM_WIRE, burst, count);
		if (chance(&play, 3))
			flush_streams(&play);
		step += count;
	}
	flush_streams(&play);
	free_rig(play.rig);
	free(play.streams);
	return play.merged;
}

static void
segments_of_random_streams_are_what_went_in(void **state)
{
	const char *more = getenv("PV_TEST_ROUNDS");
	unsigned long rounds = more != NULL ? strtoul(more, NULL, 10) : 40;
	uint32_t merged = 0;

	for (uint64_t seed = 1; seed <= rounds; seed++)
		merged += play_random_streams(seed);
	assert_true(merged > rounds * STEPS / 10);
}

static int
make_pool(void **state)
{
	pool = rte_pktmbuf_pool_create("test", 8191, 0, 0, RTE_PKTMBUF_HEADROOM + 9216, SOCKET_ID_ANY);
	return pool == NULL || pv_coalesced_init() != 0;
}

static int
free_pool(void **state)
{
	rte_mempool_free(pool);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_in_sequence_become_one_packet),
		cmocka_unit_test(segments_without_timestamps_become_one_packet),
		cmocka_unit_test(segments_over_ipv6_become_one_packet),
		cmocka_unit_test(segments_with_tags_become_one_packet),
		cmocka_unit_test(sequence_numbers_may_wrap),
		cmocka_unit_test(the_payload_is_not_copied),
		cmocka_unit_test(the_whole_has_what_the_last_segment_says),
		cmocka_unit_test(each_segment_keeps_its_acknowledgment_number),
		cmocka_unit_test(a_copy_of_the_whole_claims_no_numbers_that_it_has_not),
		cmocka_unit_test(padding_is_cut_from_what_is_put_together),
		cmocka_unit_test(a_packet_that_stays_alone_leaves_as_it_came),
		cmocka_unit_test(segments_of_different_sources_stay_apart),
		cmocka_unit_test(segments_of_different_destinations_stay_apart),
		cmocka_unit_test(segments_of_different_source_ports_stay_apart),
		cmocka_unit_test(segments_of_different_destination_ports_stay_apart),
		cmocka_unit_test(segments_of_different_stations_stay_apart),
		cmocka_unit_test(segments_with_and_without_a_tag_stay_apart),
		cmocka_unit_test(segments_of_different_vlans_stay_apart),
		cmocka_unit_test(segments_of_different_priorities_stay_apart),
		cmocka_unit_test(segments_with_different_kinds_of_tags_stay_apart),
		cmocka_unit_test(segments_with_different_inner_tags_stay_apart),
		cmocka_unit_test(segments_of_different_versions_of_ip_stay_apart),
		cmocka_unit_test(segments_with_three_tags_stay_apart),
		cmocka_unit_test(segments_of_different_ports_of_the_switch_stay_apart),
		cmocka_unit_test(segments_of_different_tos_stay_apart),
		cmocka_unit_test(segments_of_different_ttl_stay_apart),
		cmocka_unit_test(segments_that_may_and_may_not_be_fragmented_stay_apart),
		cmocka_unit_test(segments_of_different_traffic_classes_stay_apart),
		cmocka_unit_test(segments_of_different_hop_limits_stay_apart),
		cmocka_unit_test(segments_of_different_flow_labels_stay_apart),
		cmocka_unit_test(a_segment_behind_a_gap_stays_apart),
		cmocka_unit_test(a_segment_that_overlaps_stays_apart),
		cmocka_unit_test(a_repeated_segment_stays_apart),
		cmocka_unit_test(a_segment_that_acknowledges_less_stays_apart),
		cmocka_unit_test(a_segment_with_an_older_timestamp_stays_apart),
		cmocka_unit_test(a_segment_that_echoes_an_older_timestamp_stays_apart),
		cmocka_unit_test(segments_with_and_without_timestamps_stay_apart),
		cmocka_unit_test(a_longer_segment_stays_apart),
		cmocka_unit_test(an_identification_that_jumps_keeps_apart),
		cmocka_unit_test(the_same_identification_without_df_keeps_apart),
		cmocka_unit_test(congestion_that_only_the_second_met_keeps_apart),
		cmocka_unit_test(an_echo_of_congestion_that_only_one_has_keeps_apart),
		cmocka_unit_test(a_second_segment_with_cwr_stays_apart),
		cmocka_unit_test(a_first_segment_may_have_cwr),
		cmocka_unit_test(segments_that_both_echo_congestion_become_one),
		cmocka_unit_test(segments_that_both_met_congestion_become_one),
		cmocka_unit_test(the_same_identification_with_df_is_no_matter),
		cmocka_unit_test(identifications_may_wrap),
		cmocka_unit_test(acknowledgment_numbers_may_wrap),
		cmocka_unit_test(timestamps_may_wrap),
		cmocka_unit_test(windows_may_differ),
		cmocka_unit_test(a_shorter_segment_may_follow),
		cmocka_unit_test(segments_of_one_byte_become_one),
		cmocka_unit_test(identifications_that_stand_still_do_not_begin_to_count),
		cmocka_unit_test(segments_without_payload_stay_apart),
		cmocka_unit_test(fin_stays_apart),
		cmocka_unit_test(syn_stays_apart),
		cmocka_unit_test(rst_stays_apart),
		cmocka_unit_test(urg_stays_apart),
		cmocka_unit_test(segments_without_ack_stay_apart),
		cmocka_unit_test(fin_first_stays_apart),
		cmocka_unit_test(ip_options_keep_apart),
		cmocka_unit_test(extension_headers_keep_apart),
		cmocka_unit_test(fragments_stay_apart),
		cmocka_unit_test(last_fragments_stay_apart),
		cmocka_unit_test(the_reserved_bit_of_the_fragment_field_keeps_apart),
		cmocka_unit_test(other_tcp_options_keep_apart),
		cmocka_unit_test(timestamps_in_another_place_keep_apart),
		cmocka_unit_test(an_end_of_options_keeps_apart),
		cmocka_unit_test(options_behind_the_timestamp_keep_apart),
		cmocka_unit_test(a_wrong_checksum_of_ip_keeps_apart),
		cmocka_unit_test(a_wrong_checksum_of_tcp_keeps_apart),
		cmocka_unit_test(a_changed_byte_of_the_payload_keeps_apart),
		cmocka_unit_test(a_length_of_ip_beyond_the_frame_keeps_apart),
		cmocka_unit_test(a_length_of_tcp_beyond_the_packet_keeps_apart),
		cmocka_unit_test(reserved_bits_of_tcp_keep_apart),
		cmocka_unit_test(a_length_of_ip_that_cuts_headers_off_keeps_apart),
		cmocka_unit_test(what_the_port_has_checked_is_not_checked_again),
		cmocka_unit_test(what_a_local_sender_left_to_be_filled_in_is_trusted),
		cmocka_unit_test(what_the_port_does_not_know_is_checked),
		cmocka_unit_test(what_the_port_found_wrong_is_not_looked_at),
		cmocka_unit_test(with_checksum_port_nothing_is_checked_here),
		cmocka_unit_test(a_packet_alone_is_not_checked),
		cmocka_unit_test(sums_are_right_for_every_length),
		cmocka_unit_test(psh_ends_the_packet),
		cmocka_unit_test(a_segment_with_psh_alone_does_not_wait),
		cmocka_unit_test(a_shorter_segment_ends_the_packet),
		cmocka_unit_test(a_packet_of_the_most_segments_leaves_at_once),
		cmocka_unit_test(twenty_segments_are_the_usual_limit),
		cmocka_unit_test(a_packet_is_no_longer_than_ip_can_say),
		cmocka_unit_test(an_empty_burst_is_nothing),
		cmocka_unit_test(a_full_burst_becomes_as_few_packets_as_possible),
		cmocka_unit_test(frames_that_end_early_pass),
		cmocka_unit_test(foreign_protocols_pass_and_let_nothing_go),
		cmocka_unit_test(packets_in_several_buffers_pass_behind_their_flow),
		cmocka_unit_test(buffers_that_others_refer_to_are_not_written_to),
		cmocka_unit_test(memory_that_is_not_ours_is_not_written_to),
		cmocka_unit_test(packets_that_are_large_already_pass_behind_their_flow),
		cmocka_unit_test(packets_that_ask_a_device_for_something_pass_behind_their_flow),
		cmocka_unit_test(a_pure_acknowledgment_does_not_overtake),
		cmocka_unit_test(fin_does_not_overtake),
		cmocka_unit_test(rst_does_not_overtake),
		cmocka_unit_test(syn_does_not_overtake),
		cmocka_unit_test(odd_tcp_options_do_not_overtake),
		cmocka_unit_test(ip_options_do_not_overtake),
		cmocka_unit_test(a_first_fragment_does_not_overtake),
		cmocka_unit_test(a_further_fragment_does_not_overtake),
		cmocka_unit_test(an_extension_header_does_not_overtake),
		cmocka_unit_test(urg_does_not_overtake),
		cmocka_unit_test(the_priority_of_a_tag_makes_no_other_connection),
		cmocka_unit_test(a_fragment_of_ipv6_does_not_overtake),
		cmocka_unit_test(connections_of_different_vlans_do_not_end_each_other),
		cmocka_unit_test(what_does_not_show_its_addresses_goes_out_behind_everything),
		cmocka_unit_test(after_that_a_connection_begins_anew_in_the_same_burst),
		cmocka_unit_test(after_something_odd_a_new_packet_begins),
		cmocka_unit_test(flows_leave_in_the_order_in_which_they_came),
		cmocka_unit_test(more_connections_than_there_are_places_lose_nothing),
		cmocka_unit_test(a_table_that_was_flushed_remembers_nothing),
		cmocka_unit_test(partial_packets_leave_in_the_round_in_which_they_came),
		cmocka_unit_test(what_guests_send_is_left_alone),
		cmocka_unit_test(what_is_kept_is_freed_at_the_end),
		cmocka_unit_test(a_stage_that_does_not_start_leaves_nothing),
		cmocka_unit_test(it_ends_when_another_stage_does_not_start),
		cmocka_unit_test(guests_are_offered_what_large_packets_need),
		cmocka_unit_test(segments_of_random_streams_are_what_went_in),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
