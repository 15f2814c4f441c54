/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ack-offload: which acknowledgments of a guest become several, how many, and that all others pass alone. Segments go
 * through receive-aggregation first, as they do in a worker. Random conversations are compared with a model that keeps
 * every boundary by itself.
 *
 * PV_TEST_ROUNDS makes the random part longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_tcp.h>

#include "core/pipeline.h"
#include "known_random.h"
#include "stage_rig.h"
#include "tcp_frames.h"
#include "testbed.h"
#include "vio/coalesced.h"

#define GUEST 1 /* ports of the switch */
#define WIRE 3
#define SIZE 100
#define START 1000 /* first sequence number */
#define TX_FLAGS RTE_MBUF_F_TX_OFFLOAD_MASK

static struct rte_mempool *pool;
static unsigned int refuse; /* calls of getrandom() from the next one on */
static time_t skipped_s;

/* Instead of the library's: so that init can fail, and tables are as full as the last time. */
ssize_t
getrandom(void *buffer, size_t length, unsigned int flags)
{
	if (refuse > 0 && length > 64) {
		refuse--;
		errno = ENOSYS;
		return -1;
	}
	return known_random(buffer, length);
}

/* Instead of the library's: so that time can pass. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += skipped_s;
	return result;
}

/* --- helpers ------------------------------------------------------------------------------------------------------ */

/* The two stages behind each other. */
struct world {
	struct rig *aggregation, *offload;
	unsigned int in_use_before;
};

static struct world
new_world(const char *options)
{
	return (struct world){
		.in_use_before = rte_mempool_in_use_count(pool),
		.aggregation = rig_new("receive-aggregation", "{\"limit\": 64}", pool),
		.offload = rig_new("ack-offload", options, pool),
	};
}

static void
free_world(struct world *world)
{
	rig_free(world->aggregation);
	rig_free(world->offload);
	assert_int_equal(rte_mempool_in_use_count(pool), world->in_use_before);
}

/* Hands on what the first stage has emitted, and frees it when it has passed. */
static void
pass_on(struct world *world)
{
	struct rig *from = world->aggregation, *to = world->offload;
	uint32_t out = to->n_out;

	rig_flush(from, PV_HOOK_FROM_WIRE);
	for (uint32_t i = 0; i < from->n_out; i += PV_VECTOR_MAX)
		rig_process(to, PV_HOOK_FROM_WIRE, &from->out[i],
			    (uint16_t)RTE_MIN(from->n_out - i, (uint32_t)PV_VECTOR_MAX));
	assert_int_equal(to->n_out, out + from->n_out);
	from->n_out = 0;
	rig_clear(to);
}

static void
receive(struct world *world, const struct tcp_frame *frame)
{
	struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, frame);

	mbuf->port = WIRE;
	rig_process(world->aggregation, PV_HOOK_FROM_WIRE, &mbuf, 1);
}

/* Segments of one size that become one packet, and perhaps a shorter one behind them. */
static void
receive_run(struct world *world, struct tcp_frame frame, unsigned int count, uint16_t rest)
{
	for (unsigned int i = 0; i < count; i++) {
		receive(world, &frame);
		frame.seq += frame.payload;
		frame.id++;
	}
	frame.payload = rest;
	if (rest > 0)
		receive(world, &frame);
	pass_on(world);
}

static void
receive_segments(struct world *world, uint32_t seq, unsigned int count)
{
	receive_run(world, tcp_frame(0, seq, SIZE), count, 0);
}

/* What the guest answers to flow 0. */
static struct tcp_frame
answer(uint32_t ack)
{
	struct tcp_frame frame = tcp_frame(0, 7000, 0), to = frame;

	frame.source = to.destination;
	frame.destination = to.source;
	frame.source_port = to.destination_port;
	frame.destination_port = to.source_port;
	frame.ack = ack;
	return frame;
}

static void
send_mbuf(struct world *world, struct rte_mbuf *mbuf)
{
	rig_clear(world->offload);
	mbuf->port = GUEST;
	pv_packet_set_egress(mbuf, WIRE);
	rig_process(world->offload, PV_HOOK_TO_WIRE, &mbuf, 1);
}

static void
send_frame(struct world *world, const struct tcp_frame *frame)
{
	send_mbuf(world, tcp_frame_mbuf(pool, frame));
}

static void
send_ack(struct world *world, uint32_t ack)
{
	struct tcp_frame frame = answer(ack);

	send_frame(world, &frame);
}

static uint32_t
ack_of(const struct rte_mbuf *packet)
{
	return rte_be_to_cpu_32(rte_pktmbuf_mtod_offset(packet, const struct rte_tcp_hdr *, 34)->recv_ack);
}

/* The numbers of what went out for the last packet of the guest. */
static void
assert_numbers(const struct world *world, const uint32_t *numbers, uint32_t count)
{
	assert_int_equal(world->offload->n_out, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(ack_of(world->offload->out[i]), numbers[i]);
}

#define ASSERT_ACKS(world, ...)                                   \
	do {                                                      \
		const uint32_t wanted_[] = { __VA_ARGS__ };       \
                                                                  \
		assert_numbers(world, wanted_, RTE_DIM(wanted_)); \
	} while (0)

static void
assert_is_frame(const struct rte_mbuf *packet, const struct tcp_frame *frame)
{
	static uint8_t wanted[TCP_FRAME_MAX], bytes[TCP_FRAME_MAX];
	uint32_t length = tcp_frame_write(frame, wanted);

	assert_int_equal(packet->pkt_len, length);
	tcp_frame_copy(packet, bytes);
	assert_memory_equal(bytes, wanted, length);
	assert_int_equal(pv_packet_egress(packet), WIRE);
	assert_int_equal(packet->port, GUEST);
}

/* A world in which the guest has acknowledged START, and six segments have come as one packet since. */
static struct world
six_segments(void)
{
	struct world world = new_world(NULL);

	receive_segments(&world, START - 2 * SIZE, 2);
	send_ack(&world, START);
	assert_int_equal(world.offload->n_out, 1);
	receive_segments(&world, START, 6);
	return world;
}

/* The frame passes alone and unchanged, though it acknowledges six segments or what it says. */
static void
assert_passes_alone(const struct tcp_frame *frame)
{
	struct world world = six_segments();

	send_frame(&world, frame);
	assert_int_equal(world.offload->n_out, 1);
	assert_is_frame(world.offload->out[0], frame);
	free_world(&world);
}

/* --- what becomes several ----------------------------------------------------------------------------------------- */

static void
every_second_segment_is_acknowledged(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE);
	free_world(&world);
}

static void
the_guest_s_own_is_the_last_of_an_odd_number(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + 5 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 5 * SIZE);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

static void
two_segments_need_no_more_than_the_guest_s_own(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + SIZE);
	ASSERT_ACKS(&world, START + SIZE);
	send_ack(&world, START + 3 * SIZE);
	ASSERT_ACKS(&world, START + 3 * SIZE);
	free_world(&world);
}

static void
a_number_within_a_segment_acknowledges_what_is_before_it(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + 4 * SIZE + 7);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 4 * SIZE + 7);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

static void
one_may_acknowledge_several_packets(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START + 6 * SIZE, 3);
	receive_segments(&world, START + 9 * SIZE, 2);
	send_ack(&world, START + 11 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 8 * SIZE, START + 10 * SIZE,
		    START + 11 * SIZE);
	free_world(&world);
}

static void
segments_that_came_alone_are_counted(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START + 6 * SIZE, 1);
	receive_segments(&world, START + 7 * SIZE, 1);
	receive_segments(&world, START + 8 * SIZE, 3);
	send_ack(&world, START + 11 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 8 * SIZE, START + 10 * SIZE,
		    START + 11 * SIZE);
	free_world(&world);
}

static void
a_short_segment_is_not_counted(void **state)
{
	struct world world = six_segments();
	uint32_t seq = START + 6 * SIZE + SIZE + 30;

	send_ack(&world, START + 6 * SIZE);
	receive_run(&world, tcp_frame(0, START + 6 * SIZE, SIZE), 1, 30);
	receive_segments(&world, seq, 4);
	send_ack(&world, seq + 4 * SIZE);
	ASSERT_ACKS(&world, seq + SIZE, seq + 3 * SIZE, seq + 4 * SIZE);
	free_world(&world);
}

static void
a_short_segment_that_came_alone_is_not_counted(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = tcp_frame(0, START + 6 * SIZE, 30);

	receive(&world, &frame);
	pass_on(&world);
	receive_segments(&world, START + 6 * SIZE + 30, 3);
	send_ack(&world, START + 9 * SIZE + 30);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 8 * SIZE + 30,
		    START + 9 * SIZE + 30);
	free_world(&world);
}

static void
segments_may_become_longer(void **state)
{
	struct world world = six_segments();

	receive_run(&world, tcp_frame(0, START + 6 * SIZE, 2 * SIZE), 3, 0);
	send_ack(&world, START + 12 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 10 * SIZE, START + 12 * SIZE);
	free_world(&world);
}

static void
sequence_numbers_may_wrap(void **state)
{
	uint32_t start = UINT32_MAX - 2 * SIZE - 10;
	struct world world = new_world(NULL);

	receive_segments(&world, start - 2 * SIZE, 2);
	send_ack(&world, start);
	receive_segments(&world, start, 6);
	receive_segments(&world, start + 6 * SIZE, 2);
	send_ack(&world, start + 7 * SIZE);
	ASSERT_ACKS(&world, start + 2 * SIZE, start + 4 * SIZE, start + 6 * SIZE, start + 7 * SIZE);
	free_world(&world);
}

/* --- what copies look like ---------------------------------------------------------------------------------------- */

static void
assert_copies_are_like(struct tcp_frame data, struct tcp_frame frame)
{
	struct world world = new_world(NULL);
	struct tcp_frame before = data;

	before.seq -= 2 * SIZE;
	receive_run(&world, before, 2, 0);
	frame.ack = data.seq;
	send_frame(&world, &frame);
	receive_run(&world, data, 6, 0);
	frame.ack = data.seq + 6 * SIZE;
	send_frame(&world, &frame);
	assert_int_equal(world.offload->n_out, 3);
	for (uint32_t i = 0; i < 3; i++) {
		frame.ack = data.seq + (i + 1) * 2 * SIZE;
		assert_is_frame(world.offload->out[i], &frame);
		assert_int_equal(world.offload->out[i]->ol_flags, 0);
	}
	free_world(&world);
}

static void
copies_differ_in_number_and_checksum_only(void **state)
{
	for (uint32_t seq = 0; seq < 400000; seq += 13331) {
		struct tcp_frame data = tcp_frame(0, seq * 10007u, SIZE), frame = answer(0);

		frame.window = (uint16_t)seq;
		frame.padding = seq % 7;
		assert_copies_are_like(data, frame);
	}
}

static void
copies_over_ipv6_too(void **state)
{
	struct tcp_frame data = tcp_frame(0, START, SIZE), frame = answer(0);

	data.ipv6 = frame.ipv6 = true;
	assert_copies_are_like(data, frame);
}

static void
copies_with_tags_and_without_timestamps_too(void **state)
{
	struct tcp_frame data = tcp_frame(0, START, SIZE), frame = answer(0);

	data.tags = frame.tags = 2;
	data.tci[0] = 5;
	frame.tci[0] = 0xe005;
	data.timestamps = frame.timestamps = false;
	assert_copies_are_like(data, frame);
}

static void
a_checksum_that_is_left_to_the_device_stays(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, &frame);
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(mbuf, struct rte_tcp_hdr *, 34);
	uint64_t flags = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;

	tcp->cksum = 0x1234;
	mbuf->ol_flags |= flags;
	mbuf->l2_len = 14;
	mbuf->l3_len = 20;
	mbuf->l4_len = 32;
	send_mbuf(&world, mbuf);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE);
	for (uint32_t i = 0; i < 3; i++) {
		const struct rte_mbuf *out = world.offload->out[i];

		assert_int_equal(rte_pktmbuf_mtod_offset(out, const struct rte_tcp_hdr *, 34)->cksum, 0x1234);
		assert_int_equal(out->ol_flags & TX_FLAGS, flags);
		assert_int_equal(out->l2_len + out->l3_len + out->l4_len, 66);
	}
	free_world(&world);
}

static void
the_guest_s_own_packet_is_the_last(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, &frame);

	send_mbuf(&world, mbuf);
	assert_int_equal(world.offload->n_out, 3);
	assert_ptr_equal(world.offload->out[2], mbuf);
	free_world(&world);
}

/* --- what passes alone -------------------------------------------------------------------------------------------- */

#define ALONE(name, change)                                        \
	static void name(void **state)                             \
	{                                                          \
		struct tcp_frame frame = answer(START + 6 * SIZE); \
                                                                   \
		change;                                            \
		assert_passes_alone(&frame);                       \
	}

static void
set_options(struct tcp_frame *frame, const void *options, uint8_t length)
{
	memcpy(frame->options, options, length);
	frame->options_len = length;
}

static const uint8_t sack[12] = { 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9 };

ALONE(a_duplicate_passes_alone, frame.ack = START)
ALONE(an_older_number_passes_alone, frame.ack = START - 1)
ALONE(an_update_of_the_window_passes_alone, (frame.ack = START, frame.window++))
ALONE(a_smaller_window_passes_alone, frame.window--)
ALONE(a_closed_window_passes_alone, frame.window = 0)
ALONE(data_passes_alone, frame.payload = 1)
ALONE(an_echo_of_congestion_passes_alone, frame.flags |= RTE_TCP_ECE_FLAG)
ALONE(cwr_passes_alone, frame.flags |= RTE_TCP_CWR_FLAG)
ALONE(psh_passes_alone, frame.flags |= RTE_TCP_PSH_FLAG)
ALONE(urg_passes_alone, frame.flags |= RTE_TCP_URG_FLAG)
ALONE(fin_passes_alone, frame.flags |= RTE_TCP_FIN_FLAG)
ALONE(rst_passes_alone, frame.flags |= RTE_TCP_RST_FLAG)
ALONE(syn_passes_alone, frame.flags |= RTE_TCP_SYN_FLAG)
ALONE(what_acknowledges_nothing_passes_alone, frame.flags = 0)
ALONE(sack_blocks_pass_alone, set_options(&frame, sack, sizeof(sack)))
ALONE(ip_options_pass_alone, frame.ip_options = 4)
ALONE(a_fragment_passes_alone, frame.fragment = RTE_IPV4_HDR_MF_FLAG)
ALONE(reserved_bits_pass_alone, frame.reserved = 1)
ALONE(a_frame_that_is_mostly_padding_passes_alone, frame.padding = 100)
ALONE(another_connection_passes_alone, frame.destination++)
ALONE(another_port_of_tcp_passes_alone, frame.source_port++)
ALONE(another_vlan_passes_alone, (frame.tags = 1, frame.tci[0] = 2))

static void
a_larger_window_is_a_template(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);

	frame.window += 10;
	send_frame(&world, &frame);
	assert_int_equal(world.offload->n_out, 3);
	free_world(&world);
}

static void
the_first_that_is_seen_passes_alone(void **state)
{
	struct world world = new_world(NULL);

	receive_segments(&world, START, 6);
	send_ack(&world, START + 3 * SIZE);
	ASSERT_ACKS(&world, START + 3 * SIZE);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 5 * SIZE, START + 6 * SIZE);
	free_world(&world);
}

static void
to_another_port_of_the_switch_it_passes_alone(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, &frame);

	mbuf->port = GUEST;
	pv_packet_set_egress(mbuf, WIRE + 1);
	rig_process(world.offload, PV_HOOK_TO_WIRE, &mbuf, 1);
	assert_int_equal(world.offload->n_out, 1);
	free_world(&world);
}

static void
what_data_acknowledges_is_not_acknowledged_again(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 4 * SIZE);

	frame.payload = 5;
	send_frame(&world, &frame);
	ASSERT_ACKS(&world, START + 4 * SIZE);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

static void
what_sack_acknowledges_is_not_acknowledged_again(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 3 * SIZE);

	set_options(&frame, sack, sizeof(sack));
	send_frame(&world, &frame);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 5 * SIZE, START + 6 * SIZE);
	free_world(&world);
}

static void
the_number_of_what_acknowledges_nothing_is_not_believed(void **state)
{
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);

	frame.flags = 0;
	send_frame(&world, &frame);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE);
	free_world(&world);
}

static void
a_repeated_template_passes_alone(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + 6 * SIZE);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

static void
a_connection_without_aggregated_packets_is_not_noted(void **state)
{
	struct world world = new_world(NULL);

	for (uint32_t i = 0; i < 6; i++)
		receive_segments(&world, START + i * SIZE, 1);
	send_ack(&world, START);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

/* --- streams that are not in order -------------------------------------------------------------------------------- */

static void
a_number_beyond_what_came_acknowledges_what_came(void **state)
{
	struct world world = six_segments();

	send_ack(&world, START + 1000 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 1000 * SIZE);
	free_world(&world);
}

static void
what_lies_behind_a_gap_is_acknowledged_at_once(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START + 7 * SIZE, 6);
	receive_segments(&world, START + 6 * SIZE, 1);
	send_ack(&world, START + 13 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 13 * SIZE);
	free_world(&world);
}

static void
behind_a_gap_that_was_passed_everything_is_as_before(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START + 7 * SIZE, 6);
	send_ack(&world, START + 7 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 7 * SIZE);
	send_ack(&world, START + 13 * SIZE);
	ASSERT_ACKS(&world, START + 9 * SIZE, START + 11 * SIZE, START + 13 * SIZE);
	free_world(&world);
}

static void
segments_that_come_again_are_not_counted_again(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START, 6);
	receive_segments(&world, START + 3 * SIZE, 6);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE);
	receive_segments(&world, START, 6);
	send_ack(&world, START + 6 * SIZE + 1);
	ASSERT_ACKS(&world, START + 6 * SIZE + 1);
	free_world(&world);
}

static void
segments_beyond_any_window_are_not_noted(void **state)
{
	struct world world = six_segments();

	receive_segments(&world, START + 0x40000000 + 1, 4);
	receive_segments(&world, START - 0x40000000, 4);
	receive_segments(&world, START + 6 * SIZE, 2);
	send_ack(&world, START + 8 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE, START + 6 * SIZE, START + 8 * SIZE);
	free_world(&world);
}

static void
more_gaps_than_there_is_room_for_lose_the_oldest(void **state)
{
	struct world world = six_segments();
	uint32_t last = START + 17 * 10 * SIZE;

	for (uint32_t i = 1; i <= 17; i++)
		receive_segments(&world, START + i * 10 * SIZE, 4);
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	send_ack(&world, last);
	ASSERT_ACKS(&world, last);
	send_ack(&world, last + 4 * SIZE);
	ASSERT_ACKS(&world, last + 2 * SIZE, last + 4 * SIZE);
	free_world(&world);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void
assert_forgotten_after(uint8_t flags, bool from_guest)
{
	struct world world = six_segments();
	struct tcp_frame end = from_guest ? answer(START) : tcp_frame(0, START + 6 * SIZE, 0);

	end.flags = flags;
	if (from_guest) {
		send_frame(&world, &end);
	} else {
		receive(&world, &end);
		pass_on(&world);
	}
	send_ack(&world, START + 6 * SIZE);
	ASSERT_ACKS(&world, START + 6 * SIZE);
	free_world(&world);
}

static void
an_ended_connection_is_forgotten(void **state)
{
	for (int from_guest = 0; from_guest < 2; from_guest++) {
		assert_forgotten_after(RTE_TCP_RST_FLAG, from_guest);
		assert_forgotten_after(RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG, from_guest);
		assert_forgotten_after(RTE_TCP_SYN_FLAG, from_guest);
	}
}

static void
an_unused_connection_is_forgotten(void **state)
{
	struct world world = new_world("{\"idle-s\": 10}");

	receive_segments(&world, START, 2);
	send_ack(&world, START);
	skipped_s += 9;
	receive_segments(&world, START + 2 * SIZE, 2);
	skipped_s += 9;
	send_ack(&world, START + 4 * SIZE);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 4 * SIZE);
	skipped_s += 1;
	receive_segments(&world, START + 4 * SIZE, 4);
	skipped_s += 12;
	send_ack(&world, START + 8 * SIZE);
	ASSERT_ACKS(&world, START + 8 * SIZE);
	free_world(&world);
}

static struct tcp_frame
answer_of(unsigned int flow, uint32_t ack)
{
	struct tcp_frame frame = answer(ack);

	frame.destination += flow;
	return frame;
}

static void
connections_beyond_the_table_take_the_place_of_others(void **state)
{
	struct world world = new_world("{\"flows\": 16}");
	unsigned int kept = 0;

	for (unsigned int flow = 0; flow < 200; flow++)
		receive_run(&world, tcp_frame(flow, START, SIZE), 4, 0);
	for (unsigned int flow = 0; flow < 200; flow++) {
		struct tcp_frame first = answer_of(flow, START), second = answer_of(flow, START + 4 * SIZE);

		send_frame(&world, &first);
		assert_int_equal(world.offload->n_out, 1);
		send_frame(&world, &second);
		kept += world.offload->n_out == 2;
	}
	assert_true(kept >= 4 && kept <= 16);
	free_world(&world);
}

static void
many_connections_are_told_apart(void **state)
{
	struct world world = new_world("{\"flows\": 4096}");
	unsigned int kept = 0;

	for (unsigned int flow = 0; flow < 200; flow++) {
		struct tcp_frame frame = tcp_frame(flow, START + flow, SIZE), first = answer_of(flow, START + flow);

		frame.ipv6 = first.ipv6 = flow % 2;
		receive_run(&world, frame, 4, 0);
		send_frame(&world, &first);
	}
	for (unsigned int flow = 0; flow < 200; flow++) {
		struct tcp_frame second = answer_of(flow, START + flow + 4 * SIZE);

		second.ipv6 = flow % 2;
		send_frame(&world, &second);
		kept += world.offload->n_out == 2;
	}
	assert_true(kept >= 195);
	free_world(&world);
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static void
one_template_makes_so_many_copies_at_most(void **state)
{
	struct world world = six_segments();

	for (uint32_t i = 0; i < 20; i++)
		receive_segments(&world, START + (6 + i * 60) * SIZE, 60);
	send_ack(&world, START + 1206 * SIZE);
	assert_int_equal(world.offload->n_out, 257);
	assert_int_equal(ack_of(world.offload->out[255]), START + 512 * SIZE);
	assert_int_equal(ack_of(world.offload->out[256]), START + 1206 * SIZE);
	free_world(&world);
}

static void
without_buffers_there_are_fewer_and_they_are_counted(void **state)
{
	static struct rte_mbuf *taken[8192];
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	struct rte_mbuf *template = tcp_frame_mbuf(pool, &frame);
	unsigned int count = 0;

	rig_clear(world.offload);
	while ((taken[count] = rte_pktmbuf_alloc(pool)) != NULL)
		count++;
	rte_pktmbuf_free(taken[--count]);
	send_mbuf(&world, template);
	ASSERT_ACKS(&world, START + 2 * SIZE, START + 6 * SIZE);
	assert_int_equal(world.offload->worker.ports[WIRE].drops[world.offload->self.drop_base], 1);
	rte_pktmbuf_free_bulk(taken, count);
	free_world(&world);
}

/* --- what is passed on as it is ----------------------------------------------------------------------------------- */

static void
an_empty_burst_is_nothing(void **state)
{
	struct world world = six_segments();

	rig_process(world.offload, PV_HOOK_TO_WIRE, NULL, 0);
	rig_process(world.offload, PV_HOOK_FROM_WIRE, NULL, 0);
	free_world(&world);
}

static void
a_full_burst_keeps_its_order(void **state)
{
	struct world world = six_segments();
	struct rte_mbuf *burst[PV_VECTOR_MAX];
	uint32_t before = START;

	for (unsigned int i = 0; i < PV_VECTOR_MAX; i++) {
		struct tcp_frame frame = answer(START + i * 10);

		burst[i] = tcp_frame_mbuf(pool, &frame);
		pv_packet_set_egress(burst[i], WIRE);
	}
	rig_clear(world.offload);
	rig_process(world.offload, PV_HOOK_TO_WIRE, burst, PV_VECTOR_MAX);
	assert_int_equal(world.offload->n_out, PV_VECTOR_MAX);
	for (unsigned int i = 0; i < PV_VECTOR_MAX; i++) {
		assert_ptr_equal(world.offload->out[i], burst[i]);
		assert_true(ack_of(burst[i]) >= before);
		before = ack_of(burst[i]);
	}
	free_world(&world);
}

static struct rte_mbuf *
mbuf_of_bytes(const void *bytes, uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, length), bytes, length);
	return mbuf;
}

static void
frames_that_end_early_pass(void **state)
{
	static uint8_t bytes[TCP_FRAME_MAX];
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	uint32_t length = tcp_frame_write(&frame, bytes);

	for (uint16_t cut = RTE_ETHER_HDR_LEN; cut < length; cut++) {
		struct rte_mbuf *mbuf = mbuf_of_bytes(bytes, cut);

		send_mbuf(&world, mbuf);
		assert_int_equal(world.offload->n_out, 1);
		assert_ptr_equal(world.offload->out[0], mbuf);
		assert_int_equal(mbuf->pkt_len, cut);
		mbuf = mbuf_of_bytes(bytes, cut);
		rig_process(world.offload, PV_HOOK_FROM_WIRE, &mbuf, 1);
		assert_int_equal(world.offload->n_out, 2);
	}
	free_world(&world);
}

static void
foreign_protocols_pass(void **state)
{
	static const uint8_t arp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 1, 8, 6 };
	static uint8_t bytes[TCP_FRAME_MAX];
	struct world world = six_segments();
	struct tcp_frame frame = answer(START + 6 * SIZE);
	uint16_t length = (uint16_t)tcp_frame_write(&frame, bytes);

	bytes[23] = IPPROTO_UDP;
	send_mbuf(&world, mbuf_of_bytes(bytes, length));
	assert_int_equal(world.offload->n_out, 1);
	send_mbuf(&world, mbuf_of_bytes(arp, sizeof(arp)));
	assert_int_equal(world.offload->n_out, 1);
	free_world(&world);
}

/* Headers in the first buffer are read, and a copy is whole; others pass alone. */
static void
packets_in_several_buffers_pass_whole(void **state)
{
	struct tcp_frame frame = answer(START + 6 * SIZE);

	frame.padding = 4;
	for (uint16_t first = RTE_ETHER_HDR_LEN; first < 70; first++) {
		struct world world = six_segments();
		struct rte_mbuf *mbuf = tcp_frame_mbuf(pool, &frame), *rest;

		rest = mbuf_of_bytes(rte_pktmbuf_mtod_offset(mbuf, const void *, first),
				     (uint16_t)(mbuf->data_len - first));
		rte_pktmbuf_trim(mbuf, rest->data_len);
		rte_pktmbuf_chain(mbuf, rest);
		send_mbuf(&world, mbuf);
		assert_int_equal(world.offload->n_out, first >= 66 ? 3 : 1);
		assert_is_frame(world.offload->out[world.offload->n_out - 1], &frame);
		assert_int_equal(world.offload->out[0]->pkt_len, mbuf->pkt_len);
		free_world(&world);
	}
}

/* --- in a worker -------------------------------------------------------------------------------------------------- */

static const struct testbed_setup wire_and_guest = { .ports = 2,
						     .wires = 1,
						     .macs = { "52:54:00:00:00:02", "52:54:00:00:00:fe" } };

static struct testbed *
new_testbed(void)
{
	struct testbed_setup setup = wire_and_guest;

	setup.stages[0] = pv_stage_find("receive-aggregation");
	setup.stages[1] = pv_stage_find("ack-offload");
	return testbed_take_large(testbed_new(&setup));
}

static void
inject(struct testbed *testbed, uint16_t port, const struct tcp_frame *frame)
{
	static uint8_t bytes[TCP_FRAME_MAX];
	uint32_t length = tcp_frame_write(frame, bytes);

	bytes[5] = port == 0 ? 0xfe : 0x02;
	bytes[11] = port == 0 ? 0x02 : 0xfe;
	testbed_inject_bytes(testbed, port, 0, bytes, length, 1);
}

static void
the_sender_on_the_wire_gets_its_acknowledgments(void **state)
{
	struct testbed *testbed = new_testbed();
	struct tcp_frame data = tcp_frame(0, START, SIZE), frame = answer(START);

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 8; i++) {
			inject(testbed, 0, &data);
			data.seq += SIZE;
			data.id++;
		}
		testbed_run(testbed, 1);
		frame.ack = data.seq;
		inject(testbed, 1, &frame);
		testbed_run(testbed, 1);
	}
	assert_int_equal(testbed_sent(testbed, 1), 2);
	assert_int_equal(testbed_sent(testbed, 0), 1 + 4);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(ack_of(testbed_packet(testbed, 0, i)), START + (8 + 2 * i) * SIZE);
	assert_int_equal(testbed_all_drops(testbed), 0);
	testbed_free(testbed);
}

static void
the_table_is_given_back(void **state)
{
	struct rte_malloc_socket_stats before, after;
	struct world world;

	rte_malloc_get_socket_stats(0, &before);
	world = new_world(NULL);
	free_world(&world);
	rte_malloc_get_socket_stats(0, &after);
	assert_int_equal(before.heap_allocsz_bytes, after.heap_allocsz_bytes);
}

static void
a_stage_that_does_not_start_leaves_nothing(void **state)
{
	struct testbed_setup setup = wire_and_guest;

	setup.stages[0] = pv_stage_find("ack-offload");
	refuse = 1;
	assert_null(testbed_new(&setup));
	assert_int_equal(refuse, 0);
	testbed_free(new_testbed());
}

/* --- random conversations ----------------------------------------------------------------------------------------- */

#define MODEL_RUNS 16
#define BOUNDARIES_MAX 8192

/* A segment that the model remembers. */
struct boundary {
	uint32_t end;
	bool is_full;
};

struct model_run {
	uint32_t start, end;
	uint16_t size;
	bool ended;
	uint32_t count;
	struct boundary boundaries[BOUNDARIES_MAX];
};

struct model {
	struct model_run *runs; /* of MODEL_RUNS + 1, oldest first */
	uint32_t n_runs;
	uint32_t acked;
	uint16_t window;
	bool exists, known;
};

struct play {
	struct world world;
	struct model model;
	struct tcp_frame data;
	uint16_t mss;
	uint32_t received; /* up to here there is no gap for the guest */
	uint64_t random;
	uint32_t copies;
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

static bool
is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static void
model_drop_first(struct model *model)
{
	memmove(&model->runs[0], &model->runs[1], --model->n_runs * sizeof(model->runs[0]));
}

/* Segments that came as one packet: `count` of `size`, and one of `rest` bytes. */
static void
model_note(struct model *model, uint32_t seq, uint32_t count, uint16_t size, uint16_t rest)
{
	struct model_run *last = model->n_runs > 0 ? &model->runs[model->n_runs - 1] : NULL;
	bool alone = count + (rest > 0) == 1;

	if (!model->exists && alone)
		return;
	if (!model->exists) {
		model->exists = true;
		model->known = false;
		model->acked = seq;
	}
	if (is_before(seq, model->acked) || (last != NULL && is_before(seq, last->end)))
		return;
	if (last == NULL || seq != last->end || last->ended || (alone ? size > last->size : size != last->size)) {
		last = &model->runs[model->n_runs++];
		*last = (struct model_run){ .start = seq, .end = seq, .size = size };
	}
	for (uint32_t i = 0; i < count + (rest > 0); i++) {
		uint16_t length = i < count ? size : rest;

		last->end += length;
		last->boundaries[last->count++] = (struct boundary){ last->end, length == last->size };
		last->ended = length != last->size;
		assert_true(last->count < BOUNDARIES_MAX);
	}
	if (model->n_runs > MODEL_RUNS)
		model_drop_first(model);
}

/* The numbers that a template makes, without its own. */
static uint32_t
model_template(const struct model *model, uint32_t ack, uint32_t *numbers)
{
	uint32_t count = 0, made = 0, seen = model->acked;

	for (uint32_t i = 0; i < model->n_runs; i++) {
		const struct model_run *run = &model->runs[i];

		if (is_before(seen, run->start))
			break;
		for (uint32_t j = 0; j < run->count; j++) {
			const struct boundary *boundary = &run->boundaries[j];

			if (!is_before(model->acked, boundary->end) || is_before(ack, boundary->end) ||
			    !boundary->is_full)
				continue;
			if (++count == 2 && boundary->end != ack) {
				count = 0;
				numbers[made++] = boundary->end;
			}
		}
		seen = run->end;
	}
	return made;
}

static uint32_t
model_ack(struct model *model, const struct tcp_frame *frame, uint32_t *numbers)
{
	uint32_t made = 0;

	if (!model->exists || (model->known && is_before(frame->ack, model->acked)))
		return 0;
	if (model->known && frame->payload == 0 && frame->flags == RTE_TCP_ACK_FLAG && frame->options_len == 0 &&
	    frame->window >= model->window && frame->ack != model->acked)
		made = model_template(model, frame->ack, numbers);
	model->known = true;
	model->acked = frame->ack;
	model->window = frame->window;
	while (model->n_runs > 0 && !is_before(model->acked, model->runs[0].end))
		model_drop_first(model);
	return made;
}

/* One packet, aggregated or not, that arrives from the wire. */
static void
play_data(struct play *play)
{
	struct tcp_frame frame = play->data;
	uint32_t count = chance(play, 4) ? 1 : 1 + pick(play, 12);
	uint16_t rest = chance(play, 6) ? (uint16_t)(1 + pick(play, play->mss)) : 0;

	if (chance(play, 40))
		play->mss = (uint16_t)(20 + pick(play, 300));
	if (rest >= play->mss)
		rest = 0;
	if (count == 1 && rest > 0 && chance(play, 2)) {
		frame.payload = rest;
		rest = 0;
	} else {
		frame.payload = play->mss;
	}
	if (chance(play, 25)) /* comes again */
		frame.seq -= (1 + pick(play, 20)) * play->mss;
	else if (chance(play, 30)) /* what was before it is lost */
		frame.seq += (1 + pick(play, 5)) * play->mss;
	model_note(&play->model, frame.seq, count, frame.payload, rest);
	receive_run(&play->world, frame, count, rest);
	if (is_before(play->data.seq, frame.seq + count * frame.payload + rest))
		play->data.seq = frame.seq + count * frame.payload + rest;
	play->data.id += 50;
}

static struct tcp_frame
some_answer(struct play *play)
{
	uint32_t in_flight = play->data.seq - (play->model.known ? play->model.acked : play->data.seq - 10000);
	struct tcp_frame frame = answer(play->data.seq);

	if (chance(play, 3) && in_flight > 0)
		frame.ack -= pick(play, in_flight);
	if (chance(play, 15))
		frame.ack = play->model.acked;
	if (chance(play, 40))
		frame.ack = play->data.seq + pick(play, 1000);
	frame.window = (uint16_t)(500 + (chance(play, 6) ? pick(play, 3) : 0));
	if (chance(play, 20))
		frame.payload = 10;
	if (chance(play, 20))
		frame.flags |= RTE_TCP_ECE_FLAG;
	if (chance(play, 20))
		set_options(&frame, sack, sizeof(sack));
	if (chance(play, 100))
		frame.flags |= RTE_TCP_RST_FLAG;
	return frame;
}

static void
play_answer(struct play *play)
{
	static uint32_t numbers[16 * BOUNDARIES_MAX];
	struct tcp_frame frame = some_answer(play), copy = frame;
	uint32_t made = 0;

	if ((frame.flags & RTE_TCP_RST_FLAG) != 0) {
		play->model.exists = false;
		play->model.n_runs = 0;
	} else {
		made = RTE_MIN(model_ack(&play->model, &frame, numbers), 256u);
	}
	send_frame(&play->world, &frame);
	assert_int_equal(play->world.offload->n_out, made + 1);
	for (uint32_t i = 0; i < made; i++) {
		copy.ack = numbers[i];
		assert_is_frame(play->world.offload->out[i], &copy);
	}
	assert_is_frame(play->world.offload->out[made], &frame);
	play->copies += made;
}

static uint32_t
play_conversation(uint64_t seed)
{
	struct play play = { .random = seed, .world = new_world(NULL) };

	play.model.runs = calloc(MODEL_RUNS + 1, sizeof(*play.model.runs));
	assert_non_null(play.model.runs);
	play.data = tcp_frame(0, pick(&play, UINT32_MAX), 0);
	play.mss = (uint16_t)(20 + pick(&play, 300));
	for (int step = 0; step < 1500; step++) {
		if (chance(&play, 3))
			play_answer(&play);
		else
			play_data(&play);
	}
	free(play.model.runs);
	free_world(&play.world);
	return play.copies;
}

static void
random_conversations_are_acknowledged_as_the_model_says(void **state)
{
	const char *more = getenv("PV_TEST_ROUNDS");
	unsigned long rounds = more != NULL ? strtoul(more, NULL, 10) : 30;
	uint32_t copies = 0;

	for (uint64_t seed = 1; seed <= rounds; seed++)
		copies += play_conversation(seed);
	assert_true(copies > rounds * 100);
}

static int
make_pool(void **state)
{
	pool = rte_pktmbuf_pool_create("test", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL || pv_pipeline_init() != 0;
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
		cmocka_unit_test(every_second_segment_is_acknowledged),
		cmocka_unit_test(the_guest_s_own_is_the_last_of_an_odd_number),
		cmocka_unit_test(two_segments_need_no_more_than_the_guest_s_own),
		cmocka_unit_test(a_number_within_a_segment_acknowledges_what_is_before_it),
		cmocka_unit_test(one_may_acknowledge_several_packets),
		cmocka_unit_test(segments_that_came_alone_are_counted),
		cmocka_unit_test(a_short_segment_is_not_counted),
		cmocka_unit_test(a_short_segment_that_came_alone_is_not_counted),
		cmocka_unit_test(segments_may_become_longer),
		cmocka_unit_test(sequence_numbers_may_wrap),
		cmocka_unit_test(copies_differ_in_number_and_checksum_only),
		cmocka_unit_test(copies_over_ipv6_too),
		cmocka_unit_test(copies_with_tags_and_without_timestamps_too),
		cmocka_unit_test(a_checksum_that_is_left_to_the_device_stays),
		cmocka_unit_test(the_guest_s_own_packet_is_the_last),
		cmocka_unit_test(a_duplicate_passes_alone),
		cmocka_unit_test(an_older_number_passes_alone),
		cmocka_unit_test(an_update_of_the_window_passes_alone),
		cmocka_unit_test(a_smaller_window_passes_alone),
		cmocka_unit_test(a_closed_window_passes_alone),
		cmocka_unit_test(data_passes_alone),
		cmocka_unit_test(an_echo_of_congestion_passes_alone),
		cmocka_unit_test(cwr_passes_alone),
		cmocka_unit_test(psh_passes_alone),
		cmocka_unit_test(urg_passes_alone),
		cmocka_unit_test(fin_passes_alone),
		cmocka_unit_test(rst_passes_alone),
		cmocka_unit_test(syn_passes_alone),
		cmocka_unit_test(what_acknowledges_nothing_passes_alone),
		cmocka_unit_test(sack_blocks_pass_alone),
		cmocka_unit_test(ip_options_pass_alone),
		cmocka_unit_test(a_fragment_passes_alone),
		cmocka_unit_test(reserved_bits_pass_alone),
		cmocka_unit_test(a_frame_that_is_mostly_padding_passes_alone),
		cmocka_unit_test(another_connection_passes_alone),
		cmocka_unit_test(another_port_of_tcp_passes_alone),
		cmocka_unit_test(another_vlan_passes_alone),
		cmocka_unit_test(a_larger_window_is_a_template),
		cmocka_unit_test(the_first_that_is_seen_passes_alone),
		cmocka_unit_test(to_another_port_of_the_switch_it_passes_alone),
		cmocka_unit_test(what_data_acknowledges_is_not_acknowledged_again),
		cmocka_unit_test(what_sack_acknowledges_is_not_acknowledged_again),
		cmocka_unit_test(the_number_of_what_acknowledges_nothing_is_not_believed),
		cmocka_unit_test(a_repeated_template_passes_alone),
		cmocka_unit_test(a_connection_without_aggregated_packets_is_not_noted),
		cmocka_unit_test(a_number_beyond_what_came_acknowledges_what_came),
		cmocka_unit_test(what_lies_behind_a_gap_is_acknowledged_at_once),
		cmocka_unit_test(behind_a_gap_that_was_passed_everything_is_as_before),
		cmocka_unit_test(segments_that_come_again_are_not_counted_again),
		cmocka_unit_test(segments_beyond_any_window_are_not_noted),
		cmocka_unit_test(more_gaps_than_there_is_room_for_lose_the_oldest),
		cmocka_unit_test(an_ended_connection_is_forgotten),
		cmocka_unit_test(an_unused_connection_is_forgotten),
		cmocka_unit_test(connections_beyond_the_table_take_the_place_of_others),
		cmocka_unit_test(many_connections_are_told_apart),
		cmocka_unit_test(one_template_makes_so_many_copies_at_most),
		cmocka_unit_test(without_buffers_there_are_fewer_and_they_are_counted),
		cmocka_unit_test(an_empty_burst_is_nothing),
		cmocka_unit_test(a_full_burst_keeps_its_order),
		cmocka_unit_test(frames_that_end_early_pass),
		cmocka_unit_test(foreign_protocols_pass),
		cmocka_unit_test(packets_in_several_buffers_pass_whole),
		cmocka_unit_test(the_sender_on_the_wire_gets_its_acknowledgments),
		cmocka_unit_test(the_table_is_given_back),
		cmocka_unit_test(a_stage_that_does_not_start_leaves_nothing),
		cmocka_unit_test(random_conversations_are_acknowledged_as_the_model_says),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
