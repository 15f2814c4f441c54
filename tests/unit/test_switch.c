/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testbed.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define C "52:54:00:00:00:0c"
#define BROADCAST "ff:ff:ff:ff:ff:ff"

static const struct testbed_setup three = { .ports = 3 };

/* Lets the table learn A at port 0, B at port 1, C at port 2. */
static void
teach(struct testbed *testbed)
{
	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	testbed_inject(testbed, 1, 0, BROADCAST, B, 60);
	testbed_inject(testbed, 2, 0, BROADCAST, C, 60);
	testbed_run(testbed, 1);
	testbed_clear(testbed);
}

static void
a_broadcast_reaches_every_other_port_once(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	testbed_inject(testbed, 1, 0, BROADCAST, B, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 0), 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(testbed_sent(testbed, 2), 1);
	testbed_free(testbed);
}

static void
flooded_packets_are_independent_copies(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	testbed_inject(testbed, 1, 0, BROADCAST, B, 60);
	testbed_run(testbed, 1);
	assert_ptr_not_equal(testbed_packet(testbed, 0, 0)->buf_addr, testbed_packet(testbed, 2, 0)->buf_addr);
	assert_memory_equal(rte_pktmbuf_mtod(testbed_packet(testbed, 0, 0), const char *),
			    rte_pktmbuf_mtod(testbed_packet(testbed, 2, 0), const char *), 60);
	testbed_free(testbed);
}

static void
an_unknown_destination_is_flooded_and_a_learned_one_is_not(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_sent(testbed, 2), 1);
	testbed_clear(testbed);
	teach(testbed);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_sent(testbed, 2), 0);
	testbed_free(testbed);
}

static void
an_address_that_moves_is_followed(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_inject(testbed, 2, 0, A, B, 60);
	testbed_run(testbed, 1);
	testbed_clear(testbed);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(testbed_sent(testbed, 2), 1);
	testbed_free(testbed);
}

static void
an_address_that_moves_is_followed_within_a_burst(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_inject(testbed, 0, 0, A, B, 60); /* B is at port 0, and so is A */
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 2);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SAME_PORT), 2);
	testbed_free(testbed);
}

static void
nothing_goes_back_to_where_it_came_from(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_inject(testbed, 0, 0, A, C, 60);
	testbed_run(testbed, 1);
	testbed_inject(testbed, 0, 0, C, A, 60); /* C is at port 0 now */
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SAME_PORT), 2);
	assert_int_equal(testbed_sent(testbed, 0), 0);
	testbed_free(testbed);
}

static void
a_static_address_receives_before_it_ever_spoke(void **state)
{
	const struct testbed_setup setup = { .ports = 3, .macs = { [1] = B } };
	struct testbed *testbed = testbed_new(&setup);

	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_sent(testbed, 2), 0);
	testbed_free(testbed);
}

static void
a_static_address_cannot_be_spoken_for_by_another_port(void **state)
{
	const struct testbed_setup setup = { .ports = 3, .macs = { [1] = B } };
	struct testbed *testbed = testbed_new(&setup);

	testbed_inject(testbed, 0, 0, BROADCAST, B, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(testbed_sent(testbed, 1) + testbed_sent(testbed, 2), 0);
	testbed_free(testbed);
}

static void
a_group_address_as_source_is_dropped(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	testbed_inject(testbed, 0, 0, BROADCAST, "01:00:5e:00:00:01", 60);
	testbed_inject(testbed, 0, 0, BROADCAST, "00:00:00:00:00:00", 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_BAD_SOURCE), 2);
	testbed_free(testbed);
}

static void
link_local_frames_are_not_forwarded(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	testbed_inject(testbed, 0, 0, "01:80:c2:00:00:00", A, 60);
	testbed_inject(testbed, 0, 0, "01:80:c2:00:00:0f", A, 60);
	testbed_inject(testbed, 0, 0, "01:80:c2:00:00:10", A, 60); /* just past them: forwarded */
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_LINK_LOCAL), 2);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	testbed_free(testbed);
}

static void
runts_and_oversized_frames_are_dropped_by_name(void **state)
{
	struct testbed *testbed = testbed_new(&three);
	uint8_t runt[13] = { 0 };

	testbed_inject_bytes(testbed, 0, 0, runt, sizeof(runt), 1);
	testbed_inject_bytes(testbed, 0, 0, runt, 0, 1);
	testbed_inject(testbed, 0, 0, BROADCAST, A, 1500 + PV_PORT_OVERHEAD + 1);
	testbed_inject(testbed, 0, 0, BROADCAST, A, 1500 + PV_PORT_OVERHEAD);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_RUNT), 2);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_OVERSIZED), 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	testbed_free(testbed);
}

static void
a_frame_too_long_for_its_egress_port_is_dropped_there(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .mtu = 9000 };
	struct testbed *testbed = testbed_new(&setup);

	testbed_port(testbed, 1)->frame_max = 1500 + PV_PORT_OVERHEAD;
	testbed_inject(testbed, 0, 0, BROADCAST, A, 5000);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_EXCEEDS_MTU), 1);
	testbed_port(testbed, 1)->frame_max = 9000 + PV_PORT_OVERHEAD;
	testbed_inject(testbed, 0, 0, BROADCAST, A, 5000);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_packet(testbed, 1, 0)->pkt_len, 5000);
	testbed_free(testbed);
}

static void
a_header_split_over_segments_is_a_runt(void **state)
{
	struct testbed *testbed = testbed_new(&three);
	uint8_t frame[20] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52 };

	testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 2);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_RUNT), 1);
	testbed_free(testbed);
}

static void
a_port_that_is_down_gets_nothing_and_says_so(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_port(testbed, 1)->up = false;
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_PORT_DOWN), 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(testbed_sent(testbed, 2), 1);
	testbed_free(testbed);
}

static void
what_was_learned_from_a_port_is_forgotten_when_it_goes_down(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_port(testbed, 1)->set_up(testbed_port(testbed, 1), false);
	testbed_port(testbed, 1)->set_up(testbed_port(testbed, 1), true);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_int_equal(testbed_sent(testbed, 2), 1);
	testbed_free(testbed);
}

static void
a_lone_port_has_nobody_to_talk_to(void **state)
{
	const struct testbed_setup setup = { .ports = 1 };
	struct testbed *testbed = testbed_new(&setup);

	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_NO_PORT), 1);
	testbed_free(testbed);
}

static void
what_a_full_ring_does_not_take_is_dropped_there(void **state)
{
	struct testbed *testbed = testbed_new(&three);

	teach(testbed);
	testbed_limit(testbed, 1, 5);
	for (int i = 0; i < 20; i++)
		testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 5);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_RING_FULL), 15);
	testbed_free(testbed);
}

static void
bytes_and_packets_are_counted_both_ways(void **state)
{
	struct testbed *testbed = testbed_new(&three);
	const struct pv_port_counters *from = &testbed_datapath(testbed)->workers[0]->ports[0];
	const struct pv_port_counters *to = &testbed_datapath(testbed)->workers[0]->ports[1];

	teach(testbed);
	testbed_limit(testbed, 1, 2);
	for (uint32_t length = 100; length < 104; length++)
		testbed_inject(testbed, 0, 0, B, A, length);
	testbed_run(testbed, 1);
	assert_int_equal(from->rx_packets, 1 + 4);
	assert_int_equal(from->rx_bytes, 60 + 100 + 101 + 102 + 103);
	assert_int_equal(from->rx_calls, 1 + 1);
	assert_int_equal(to->tx_calls, 2 + 1);
	assert_int_equal(to->tx_packets, 2 + 2);
	assert_int_equal(to->tx_bytes, 2 * 60 + 100 + 101);
	testbed_free(testbed);
}

/* Random frames between ports, some without a taker: in + copies = out + dropped. */
static void
no_packet_is_lost_or_made_up(void **state)
{
	static const char *const addresses[] = { A, B, C, "52:54:00:00:00:0d", BROADCAST };
	const struct testbed_setup setup = { .ports = 3, .workers = 2, .queues = 2 };
	struct testbed *testbed = testbed_new(&setup);
	uint64_t in = 0, out = 0, copies = 0;
	unsigned int seed = 7;

	teach(testbed);
	for (int burst = 0; burst < 20; burst++) {
		uint64_t drops = testbed_all_drops(testbed);

		for (int i = 0; i < 40; i++, in++)
			testbed_inject(testbed, (uint16_t)(rand_r(&seed) % 3), (uint16_t)(rand_r(&seed) % 2),
				       addresses[rand_r(&seed) % 5], addresses[rand_r(&seed) % 4], 60);
		testbed_limit(testbed, 2, 10);
		testbed_run(testbed, 3);
		out += testbed_all_drops(testbed) - drops;
		for (uint16_t port = 0; port < 3; port++)
			out += testbed_sent(testbed, port);
		testbed_clear(testbed);
	}
	for (uint16_t i = 0; i < 2; i++)
		copies += testbed_datapath(testbed)->workers[i]->counters.flooded;
	assert_int_equal(in + copies - 3, out); /* teach() made three copies, cleared away */
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broadcast_reaches_every_other_port_once),
		cmocka_unit_test(flooded_packets_are_independent_copies),
		cmocka_unit_test(an_unknown_destination_is_flooded_and_a_learned_one_is_not),
		cmocka_unit_test(an_address_that_moves_is_followed),
		cmocka_unit_test(an_address_that_moves_is_followed_within_a_burst),
		cmocka_unit_test(nothing_goes_back_to_where_it_came_from),
		cmocka_unit_test(a_static_address_receives_before_it_ever_spoke),
		cmocka_unit_test(a_static_address_cannot_be_spoken_for_by_another_port),
		cmocka_unit_test(a_group_address_as_source_is_dropped),
		cmocka_unit_test(link_local_frames_are_not_forwarded),
		cmocka_unit_test(runts_and_oversized_frames_are_dropped_by_name),
		cmocka_unit_test(a_frame_too_long_for_its_egress_port_is_dropped_there),
		cmocka_unit_test(a_header_split_over_segments_is_a_runt),
		cmocka_unit_test(a_port_that_is_down_gets_nothing_and_says_so),
		cmocka_unit_test(what_was_learned_from_a_port_is_forgotten_when_it_goes_down),
		cmocka_unit_test(a_lone_port_has_nobody_to_talk_to),
		cmocka_unit_test(what_a_full_ring_does_not_take_is_dropped_there),
		cmocka_unit_test(bytes_and_packets_are_counted_both_ways),
		cmocka_unit_test(no_packet_is_lost_or_made_up),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
