/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The offload driver in its place before a port: who gets large packets whole, who gets what instead, in which order,
 * and what is dropped. Every test is run on the generic packet path and on the specialized one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <rte_tcp.h>

#include "large.h"
#include "testbed.h"
#include "vio/net_header.h"
#include "vio/offload.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define C "52:54:00:00:00:0c"
#define UNKNOWN "52:54:00:00:00:77"
#define SENT_MAX 1024

static const struct large tcp4 = { .payload = 10001, .size = 1448, .tcp_options = 3, .sequence = 77 };
static const struct large tcp6 = { .payload = 10001, .size = 1428, .tcp_options = 3, .ipv6 = true, .pieces = 9 };
static const struct large cwr = { .payload = 3000, .size = 1448, .tcp_flags = RTE_TCP_CWR_FLAG };
static const struct large udp4 = { .payload = 5000, .size = 1480, .udp = true };
static const struct large udp6 = { .payload = 5000, .size = 1448, .udp = true, .ipv6 = true, .tags = 1 };
static const struct large *const larges[] = { &tcp4, &tcp6, &cwr, &udp4, &udp6 };

/* Sees what the egress hook is given. */
static uint32_t seen_packets, seen_bytes;

static void
look(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		seen_packets++;
		seen_bytes += packets[i]->pkt_len;
		pv_emit(run, packets[i]);
	}
}

static const struct pv_stage looking = {
	.name = "looking",
	.summary = "looks",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_TO_GUEST),
	.process = look,
};

static bool
is_specialized(void **state)
{
	return *state != NULL;
}

/* Ports p0 of A, p1 of B and p2 of C; p1 does `offloads`, the others nothing. */
static struct testbed *
open_testbed(void **state, uint16_t workers, uint32_t offloads, const struct pv_stage *stage)
{
	struct testbed_setup setup = { .ports = 3, .workers = workers, .macs = { A, B, C }, .stages = { stage } };
	struct testbed *testbed;

	if (is_specialized(state))
		setup.stages[stage != NULL ? 1 : 0] = pv_stage_find("specialization");
	testbed = testbed_new(&setup);
	assert_non_null(testbed);
	testbed_port(testbed, 1)->offloads = offloads;
	for (int i = 0; i < 3; i++) /* so that there is a template */
		testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 2);
	assert_int_equal(testbed_sent(testbed, 1), 3);
	testbed_clear(testbed);
	large_lent = 0;
	return testbed;
}

static void
close_testbed(void **state, struct testbed *testbed)
{
	const struct pv_worker *worker = testbed_datapath(testbed)->workers[0];

	assert_int_equal(worker->counters.templates.hits > 0, is_specialized(state));
	testbed_free(testbed);
	assert_int_equal(large_lent, 0);
}

static void
inject(struct testbed *testbed, const struct large *large)
{
	testbed_inject_packet(testbed, 0, 0, large_packet(large, testbed_datapath(testbed)->pool));
}

/* A counter of a port, summed over workers. */
#define COUNTED(testbed, port, counter)                                                    \
	({                                                                                 \
		uint64_t sum = 0;                                                          \
		for (uint16_t w = 0; w < testbed_datapath(testbed)->n_workers; w++)        \
			sum += testbed_datapath(testbed)->workers[w]->ports[port].counter; \
		sum;                                                                       \
	})

/* What was sent to a port from `first` on is what the packet becomes. Returns where that ends. */
static uint32_t
assert_sent_in_segments(struct testbed *testbed, uint16_t port, uint32_t first, const struct large *large, bool partial)
{
	const struct rte_mbuf *sent[SENT_MAX];
	uint32_t n = large_count(large);

	assert_in_range(n, 1, SENT_MAX);
	assert_true(first + n <= testbed_sent(testbed, port));
	for (uint32_t i = 0; i < n; i++)
		sent[i] = testbed_packet(testbed, port, first + i);
	large_assert_segments(large, sent, n, partial);
	return first + n;
}

/* The packet is as it was, with its request. */
static void
assert_sent_whole(struct testbed *testbed, uint16_t port, uint32_t index, const struct large *large)
{
	static uint8_t before[LARGE_FRAME_MAX], after[LARGE_FRAME_MAX];
	const struct rte_mbuf *packet = testbed_packet(testbed, port, index);
	uint32_t length = large_bytes(large, before);

	assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, large_flags(large) & PV_NET_HEADER_FLAGS);
	assert_int_equal(packet->tso_segsz, large->size);
	assert_int_equal(packet->l2_len, large_l2(large));
	assert_int_equal(packet->l3_len, large_l3(large));
	assert_int_equal(packet->l4_len, large_l4(large));
	assert_int_equal(large_flat(packet, after), length);
	assert_memory_equal(before, after, length);
}

/* The packet was not cut, and its checksum is there. */
static void
assert_sent_complete(struct testbed *testbed, uint16_t port, uint32_t index, const struct large *large)
{
	static uint8_t before[LARGE_FRAME_MAX], after[LARGE_FRAME_MAX];
	const struct rte_mbuf *packet = testbed_packet(testbed, port, index);
	uint32_t length = large_bytes(large, before);

	large_complete(large, before, length);
	assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, 0);
	assert_int_equal(large_flat(packet, after), length);
	assert_memory_equal(before, after, length);
}

static void
a_port_that_does_it_all_gets_packets_whole(void **state)
{
	struct testbed *testbed = open_testbed(state, 1, PV_OFFLOAD_ALL, NULL);

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < RTE_DIM(larges); i++)
			inject(testbed, larges[i]);
		testbed_run(testbed, 1);
		assert_int_equal(testbed_sent(testbed, 1), RTE_DIM(larges));
		for (uint32_t i = 0; i < RTE_DIM(larges); i++)
			assert_sent_whole(testbed, 1, i, larges[i]);
		testbed_clear(testbed);
	}
	assert_int_equal(COUNTED(testbed, 1, segmented), 0);
	assert_int_equal(COUNTED(testbed, 1, completed), 0);
	assert_int_equal(testbed_all_drops(testbed), 0);
	close_testbed(state, testbed);
}

static void
check_segments(void **state, uint32_t offloads, bool partial)
{
	struct testbed *testbed = open_testbed(state, 1, offloads, NULL);
	uint32_t segments = 0, at = 0;

	for (size_t i = 0; i < RTE_DIM(larges); i++) {
		inject(testbed, larges[i]);
		segments += large_count(larges[i]);
	}
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), segments);
	for (uint32_t i = 0; i < RTE_DIM(larges); i++)
		at = assert_sent_in_segments(testbed, 1, at, larges[i], partial);
	assert_int_equal(COUNTED(testbed, 1, segmented), RTE_DIM(larges));
	assert_int_equal(COUNTED(testbed, 1, segments), segments);
	assert_int_equal(COUNTED(testbed, 1, tx_packets), 3 + segments);
	assert_int_equal(COUNTED(testbed, 1, completed), 0);
	assert_int_equal(testbed_all_drops(testbed), 0);
	close_testbed(state, testbed);
}

static void
a_port_that_does_checksums_only_gets_segments_without(void **state)
{
	check_segments(state, PV_OFFLOAD_CSUM, true);
}

static void
a_port_that_does_nothing_gets_segments_with_their_checksums(void **state)
{
	check_segments(state, 0, false);
}

/* A guest may negotiate such nonsense. */
static void
segmentation_without_checksums_counts_for_nothing(void **state)
{
	check_segments(state, PV_OFFLOAD_ALL & ~PV_OFFLOAD_CSUM, false);
}

static void
each_kind_of_segmentation_is_done_where_it_lacks(void **state)
{
	static const struct {
		uint32_t offloads;
		const struct large *whole, *cut;
	} cases[] = {
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4, &tcp4, &tcp6 },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4, &tcp4, &cwr },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4, &tcp4, &udp4 },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO4 | PV_OFFLOAD_ECN, &cwr, &udp6 },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_TSO6, &tcp6, &tcp4 },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_UFO, &udp4, &tcp4 },
		{ PV_OFFLOAD_CSUM | PV_OFFLOAD_UFO, &udp6, &tcp6 },
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct testbed *testbed = open_testbed(state, 1, cases[i].offloads, NULL);

		inject(testbed, cases[i].whole);
		inject(testbed, cases[i].cut);
		inject(testbed, cases[i].whole);
		testbed_run(testbed, 1);
		assert_int_equal(testbed_sent(testbed, 1), 2 + large_count(cases[i].cut));
		assert_sent_whole(testbed, 1, 0, cases[i].whole);
		assert_sent_in_segments(testbed, 1, 1, cases[i].cut, true);
		assert_sent_whole(testbed, 1, testbed_sent(testbed, 1) - 1, cases[i].whole);
		close_testbed(state, testbed);
	}
}

static void
checksums_are_made_for_whom_does_not_take_unfinished_ones(void **state)
{
	for (uint32_t offloads = 0; offloads <= PV_OFFLOAD_CSUM; offloads++) {
		struct testbed *testbed = open_testbed(state, 1, offloads, NULL);
		struct large small = { .payload = 700 };

		for (uint32_t i = 0; i < 8; i++) { /* of one flow, in one burst */
			small.payload = 700 + i;
			small.ipv6 = i % 4 == 3;
			small.udp = i % 4 == 2;
			inject(testbed, &small);
		}
		testbed_run(testbed, 1);
		assert_int_equal(testbed_sent(testbed, 1), 8);
		for (uint32_t i = 0; i < 8; i++) {
			small.payload = 700 + i;
			small.ipv6 = i % 4 == 3;
			small.udp = i % 4 == 2;
			if (offloads == 0)
				assert_sent_complete(testbed, 1, i, &small);
			else
				assert_sent_whole(testbed, 1, i, &small);
		}
		assert_int_equal(COUNTED(testbed, 1, completed), offloads == 0 ? 8 : 0);
		close_testbed(state, testbed);
	}
}

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Large and small ones in turns, more than a burst; what a vector holds is passed several times. */
static void
segments_keep_the_place_of_their_packet(void **state)
{
	struct testbed *testbed = open_testbed(state, 1, PV_OFFLOAD_CSUM, NULL);
	uint32_t at = 0;

	for (uint32_t i = 0; i < 40; i++) {
		const struct large large = { .payload = 1000 * (i % 8) + 1000, .size = 300, .sequence = i };
		const struct large small = { .payload = 100 + i };

		inject(testbed, i % 3 == 1 ? &small : &large);
		if (i % 3 == 2)
			testbed_inject(testbed, 0, 0, B, A, 60 + i);
	}
	testbed_run(testbed, 3);
	for (uint32_t i = 0; i < 40; i++) {
		const struct large large = { .payload = 1000 * (i % 8) + 1000, .size = 300, .sequence = i };
		const struct large small = { .payload = 100 + i };

		if (i % 3 == 1)
			assert_sent_whole(testbed, 1, at++, &small);
		else
			at = assert_sent_in_segments(testbed, 1, at, &large, true);
		if (i % 3 == 2)
			assert_int_equal(testbed_packet(testbed, 1, at++)->pkt_len, 60 + i);
	}
	assert_int_equal(testbed_sent(testbed, 1), at);
	close_testbed(state, testbed);
}

static void
a_packet_of_more_segments_than_a_vector_holds_is_sent_whole(void **state)
{
	static const struct large large = { .payload = 60000, .size = 100, .id = 65000 };
	struct testbed *testbed = open_testbed(state, 1, 0, NULL);

	inject(testbed, &large);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 600);
	assert_sent_in_segments(testbed, 1, 0, &large, false);
	close_testbed(state, testbed);
}

/* --- what is not sent --------------------------------------------------------------------------------------------- */

static void
check_needs_offload(void **state, const struct large *large, uint32_t data_len)
{
	struct testbed *testbed = open_testbed(state, 1, PV_OFFLOAD_CSUM & -(large->size > 0), NULL);
	struct rte_mbuf *packet = large_packet(large, testbed_datapath(testbed)->pool);

	if (data_len > 0) {
		packet->pkt_len -= packet->data_len - data_len;
		packet->data_len = (uint16_t)data_len;
	}
	testbed_inject_packet(testbed, 0, 0, packet);
	testbed_inject(testbed, 0, 0, B, A, 70);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_packet(testbed, 1, 0)->pkt_len, 70);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_NEEDS_OFFLOAD), 1);
	assert_int_equal(testbed_all_drops(testbed), 1);
	assert_int_equal(COUNTED(testbed, 1, segmented), 0);
	assert_int_equal(COUNTED(testbed, 1, segments), 0);
	assert_int_equal(COUNTED(testbed, 1, completed), 0);
	close_testbed(state, testbed);
}

static void
what_the_driver_cannot_do_is_dropped_by_name(void **state)
{
	/* Behind extension headers, of too many segments, and with headers that are not where they must be. */
	check_needs_offload(
		state, &(struct large){ .udp = true, .ipv6 = true, .extensions = 1, .payload = 3000, .size = 1000 }, 0);
	check_needs_offload(state, &(struct large){ .payload = 60000, .size = 1 }, 0);
	check_needs_offload(state, &(struct large){ .payload = 3000, .size = 1000, .pieces = 2 }, 53);
	check_needs_offload(state, &(struct large){ .payload = 300, .pieces = 1 }, 51);
	check_needs_offload(state, &(struct large){ .payload = 300, .pieces = 1, .udp = true }, 41);
}

/* Takes all of the pool's packets but `leave`. Returns the first of a chain of them. */
static struct rte_mbuf *
take_all(struct rte_mempool *pool, unsigned int leave)
{
	struct rte_mbuf *taken = NULL, *one;

	while ((one = rte_pktmbuf_alloc(pool)) != NULL) {
		one->next = taken;
		taken = one;
	}
	while (leave-- > 0) {
		one = taken;
		taken = taken->next;
		one->next = NULL;
		rte_pktmbuf_free(one);
	}
	return taken;
}

static void
give_back(struct rte_mbuf *taken)
{
	while (taken != NULL) {
		struct rte_mbuf *one = taken;

		taken = taken->next;
		one->next = NULL;
		rte_pktmbuf_free(one);
	}
}

static void
without_buffers_the_rest_of_a_packet_is_dropped_and_counted(void **state)
{
	for (unsigned int buffers = 0; buffers < 5; buffers++) {
		struct testbed *testbed = open_testbed(state, 1, 0, NULL);
		struct rte_mbuf *taken;

		inject(testbed, &tcp4);
		taken = take_all(testbed_datapath(testbed)->pool, buffers);
		testbed_run(testbed, 1);
		assert_int_equal(testbed_sent(testbed, 1), buffers);
		assert_int_equal(testbed_drops(testbed, 1, PV_DROP_NO_BUFFER), 1);
		assert_int_equal(testbed_all_drops(testbed), 1);
		/* What came in is what went out or was dropped, less the packets that were cut, plus their segments. */
		assert_int_equal(COUNTED(testbed, 1, segmented), 0);
		assert_int_equal(COUNTED(testbed, 1, segments), buffers);
		give_back(taken);
		close_testbed(state, testbed);
	}
}

static void
segments_that_a_port_does_not_take_are_counted_one_by_one(void **state)
{
	struct testbed *testbed = open_testbed(state, 1, 0, NULL);

	testbed_limit(testbed, 1, 3);
	inject(testbed, &tcp4);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 3);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_RING_FULL), large_count(&tcp4) - 3);
	assert_int_equal(COUNTED(testbed, 1, segments), large_count(&tcp4));
	close_testbed(state, testbed);
}

/* --- how long a frame may be -------------------------------------------------------------------------------------- */

static void
check_longest(void **state, uint32_t offloads, const struct large *large, int32_t more)
{
	struct testbed *testbed = open_testbed(state, 1, offloads, NULL);
	uint32_t added = large->udp && large->ipv6 ? 8 : 0; /* the fragment header */
	uint32_t headers = large_headers(large) - (large->udp ? 8 : 0) + added;
	uint16_t longest = (uint16_t)(headers + large->size + (uint32_t)more);

	testbed_port(testbed, 0)->frame_max = longest;
	inject(testbed, large);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1) > 0, more >= 0);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_OVERSIZED), more < 0);
	testbed_clear(testbed);
	testbed_port(testbed, 0)->frame_max = 9000;
	testbed_port(testbed, 1)->frame_max = longest;
	inject(testbed, large);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1) > 0, more >= 0);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_EXCEEDS_MTU), more < 0);
	assert_int_equal(testbed_all_drops(testbed), more < 0 ? 2 : 0);
	close_testbed(state, testbed);
}

static void
the_segments_of_a_packet_are_to_fit_and_not_the_packet(void **state)
{
	for (size_t i = 0; i < RTE_DIM(larges); i++)
		for (int32_t more = -1; more <= 0; more++) {
			check_longest(state, 0, larges[i], more);
			check_longest(state, PV_OFFLOAD_ALL, larges[i], more);
		}
}

static void
a_large_packet_that_is_not_to_be_segmented_is_too_large(void **state)
{
	static const struct large large = { .payload = 3000 };
	struct testbed *testbed = open_testbed(state, 1, PV_OFFLOAD_ALL, NULL);

	inject(testbed, &large);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_OVERSIZED), 1);
	testbed_port(testbed, 0)->frame_max = 9000;
	inject(testbed, &large);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_EXCEEDS_MTU), 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	close_testbed(state, testbed);
}

/* --- other ways to a port ----------------------------------------------------------------------------------------- */

static void
the_worker_that_owns_the_port_does_the_work(void **state)
{
	struct testbed *testbed = open_testbed(state, 2, 0, NULL);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	assert_int_equal(testbed_port(testbed, 1)->owner[0], 1);
	inject(testbed, &tcp6);
	testbed_run(testbed, 2);
	assert_sent_in_segments(testbed, 1, 0, &tcp6, false);
	assert_int_equal(datapath->workers[0]->ports[1].segmented, 0);
	assert_int_equal(datapath->workers[1]->ports[1].segmented, 1);
	close_testbed(state, testbed);
}

static void
each_port_that_a_packet_is_flooded_to_gets_it_as_it_takes_it(void **state)
{
	for (size_t i = 0; i < RTE_DIM(larges); i++) {
		const struct testbed_setup setup = {
			.ports = 5, .stages = { is_specialized(state) ? pv_stage_find("specialization") : NULL }
		};
		struct testbed *testbed = testbed_new(&setup);
		struct large large = *larges[i];

		large.destination = UNKNOWN;
		testbed_port(testbed, 1)->offloads = PV_OFFLOAD_CSUM;
		testbed_port(testbed, 2)->offloads = PV_OFFLOAD_ALL;
		testbed_port(testbed, 4)->offloads = PV_OFFLOAD_ALL;
		for (int round = 0; round < 2; round++) {
			inject(testbed, &large);
			testbed_run(testbed, 1);
			assert_sent_in_segments(testbed, 1, 0, &large, true);
			assert_sent_whole(testbed, 2, 0, &large);
			assert_sent_in_segments(testbed, 3, 0, &large, false);
			assert_sent_whole(testbed, 4, 0, &large);
			assert_int_equal(testbed_sent(testbed, 0), 0);
			assert_int_equal(testbed_all_drops(testbed), 0);
			testbed_clear(testbed);
		}
		testbed_free(testbed);
	}
}

static void
stages_see_packets_before_they_are_cut(void **state)
{
	struct testbed *testbed = open_testbed(state, 1, 0, &looking);

	seen_packets = seen_bytes = 0;
	inject(testbed, &tcp4);
	testbed_run(testbed, 1);
	assert_int_equal(seen_packets, 1);
	assert_int_equal(seen_bytes, large_headers(&tcp4) + tcp4.payload);
	assert_sent_in_segments(testbed, 1, 0, &tcp4, false);
	close_testbed(state, testbed);
}

/* --- memory of guests --------------------------------------------------------------------------------------------- */

static void
a_port_that_keeps_packets_keeps_nothing_of_a_guest(void **state)
{
	struct large large = tcp4;

	large.pieces = 17;
	large.external = true;
	for (int copies = 0; copies < 2; copies++)
		for (int whole = 0; whole < 2; whole++) {
			struct testbed *testbed = open_testbed(state, 1, whole ? PV_OFFLOAD_ALL : 0, NULL);

			testbed_port(testbed, 1)->copies = copies;
			inject(testbed, &large);
			assert_int_not_equal(large_lent, 0);
			testbed_run(testbed, 1);
			assert_int_equal(large_lent != 0, whole && copies);
			assert_int_equal(COUNTED(testbed, 1, linearized), whole && !copies);
			if (whole)
				assert_sent_whole(testbed, 1, 0, &large);
			else
				assert_sent_in_segments(testbed, 1, 0, &large, false);
			close_testbed(state, testbed);
		}
}

static void
without_buffers_to_copy_it_into_a_packet_is_dropped(void **state)
{
	struct large large = tcp4;
	struct testbed *testbed = open_testbed(state, 1, PV_OFFLOAD_ALL, NULL);
	struct rte_mbuf *taken;

	large.pieces = 17;
	large.external = true;
	inject(testbed, &large);
	taken = take_all(testbed_datapath(testbed)->pool, 3);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(large_lent, 0);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_NO_BUFFER), 1);
	give_back(taken);
	close_testbed(state, testbed);
}

#define BOTH_PATHS(name)                                                                    \
	{ #name " (generic)", name, NULL, NULL, NULL },                                     \
	{                                                                                   \
#name " (specialized)", name, NULL, NULL, (void *)(uintptr_t) "specialized" \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_PATHS(a_port_that_does_it_all_gets_packets_whole),
		BOTH_PATHS(a_port_that_does_checksums_only_gets_segments_without),
		BOTH_PATHS(a_port_that_does_nothing_gets_segments_with_their_checksums),
		BOTH_PATHS(segmentation_without_checksums_counts_for_nothing),
		BOTH_PATHS(each_kind_of_segmentation_is_done_where_it_lacks),
		BOTH_PATHS(checksums_are_made_for_whom_does_not_take_unfinished_ones),
		BOTH_PATHS(segments_keep_the_place_of_their_packet),
		BOTH_PATHS(a_packet_of_more_segments_than_a_vector_holds_is_sent_whole),
		BOTH_PATHS(what_the_driver_cannot_do_is_dropped_by_name),
		BOTH_PATHS(without_buffers_the_rest_of_a_packet_is_dropped_and_counted),
		BOTH_PATHS(segments_that_a_port_does_not_take_are_counted_one_by_one),
		BOTH_PATHS(the_segments_of_a_packet_are_to_fit_and_not_the_packet),
		BOTH_PATHS(a_large_packet_that_is_not_to_be_segmented_is_too_large),
		BOTH_PATHS(the_worker_that_owns_the_port_does_the_work),
		BOTH_PATHS(each_port_that_a_packet_is_flooded_to_gets_it_as_it_takes_it),
		BOTH_PATHS(stages_see_packets_before_they_are_cut),
		BOTH_PATHS(a_port_that_keeps_packets_keeps_nothing_of_a_guest),
		BOTH_PATHS(without_buffers_to_copy_it_into_a_packet_is_dropped),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
