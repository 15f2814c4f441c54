/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts: p0 to p2 have guests, p3 and p4 are wires. The table is looked at after changes, since an address that is
 * wrong there for a moment would be believed later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "core/contexts.h"
#include "core/path.h"
#include "testbed.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define C "52:54:00:00:00:0c"
#define D "52:54:00:00:00:0d" /* of p1's configuration, where there is one */
#define W "52:54:00:00:00:aa" /* behind p3 */
#define X "52:54:00:00:00:bb" /* unknown */
#define BROADCAST "ff:ff:ff:ff:ff:ff"
#define MULTICAST "01:00:5e:00:00:01"

#define PORTS 5
#define WIRES (1u << 3 | 1u << 4)

static struct testbed *
new_testbed(struct testbed_setup setup)
{
	setup.ports = PORTS;
	setup.wires = WIRES;
	setup.stages[0] = pv_stage_find("multi-context-demux");
	return testbed_new(&setup);
}

static struct testbed *
plain(void)
{
	return new_testbed((struct testbed_setup){ .workers = 1 });
}

static struct testbed *
configured(void)
{
	return new_testbed((struct testbed_setup){ .macs = { [1] = D } });
}

static void
send_frame(struct testbed *testbed, uint16_t port, const char *destination, const char *source)
{
	testbed_inject(testbed, port, 0, destination, source, 60);
	testbed_run(testbed, 1);
}

/* A is p0's, B is p1's, C is p2's, W is behind p3. */
static void
teach(struct testbed *testbed)
{
	send_frame(testbed, 0, BROADCAST, A);
	send_frame(testbed, 1, BROADCAST, B);
	send_frame(testbed, 2, BROADCAST, C);
	send_frame(testbed, 3, BROADCAST, W);
	testbed_clear(testbed);
}

/* Who was given packets since the last time, as a string like "00110" of p0 to p4: how many of each. */
static void
assert_sent(struct testbed *testbed, const char *expected)
{
	char sent[PORTS + 1] = { 0 };

	for (uint16_t i = 0; i < PORTS; i++)
		sent[i] = (char)('0' + testbed_sent(testbed, i));
	testbed_clear(testbed);
	assert_string_equal(sent, expected);
}

static uint16_t
port_behind(struct testbed *testbed, const char *address)
{
	struct pv_mac mac;

	assert_int_equal(pv_mac_parse(address, &mac), 0);
	return pv_fdb_lookup(testbed_datapath(testbed)->fdb, mac.bytes);
}

static void
the_first_address_that_a_guest_sends_is_its_own(void **state)
{
	struct testbed *testbed = plain();

	send_frame(testbed, 0, BROADCAST, A);
	assert_sent(testbed, "01111");
	assert_int_equal(port_behind(testbed, A), 0);
	send_frame(testbed, 0, BROADCAST, X);
	assert_sent(testbed, "00000");
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(port_behind(testbed, X), PV_FDB_NO_PORT);
	send_frame(testbed, 0, BROADCAST, A);
	assert_sent(testbed, "01111");
	testbed_free(testbed);
}

static void
a_configured_address_is_the_only_one_that_its_guest_may_use(void **state)
{
	struct testbed *testbed = configured();

	send_frame(testbed, 1, BROADCAST, B);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(port_behind(testbed, B), PV_FDB_NO_PORT);
	send_frame(testbed, 1, BROADCAST, D);
	assert_sent(testbed, "10111");
	testbed_free(testbed);
}

static void
nobody_else_can_claim_an_address_that_is_configured_or_claimed(void **state)
{
	struct testbed *testbed = configured();

	send_frame(testbed, 0, BROADCAST, D);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	send_frame(testbed, 0, BROADCAST, A);
	send_frame(testbed, 2, BROADCAST, A);
	assert_int_equal(testbed_drops(testbed, 2, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(port_behind(testbed, A), 0);
	send_frame(testbed, 2, BROADCAST, C); /* it may still have one of its own */
	assert_int_equal(port_behind(testbed, C), 2);
	testbed_free(testbed);
}

static void
an_address_that_is_configured_behind_a_wire_cannot_be_claimed(void **state)
{
	struct testbed *testbed = new_testbed((struct testbed_setup){ .macs = { [3] = W } });

	send_frame(testbed, 0, BROADCAST, W);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(port_behind(testbed, W), 3);
	testbed_free(testbed);
}

static void
a_wire_cannot_speak_with_the_address_of_a_context(void **state)
{
	struct testbed *testbed = configured();

	send_frame(testbed, 0, BROADCAST, A);
	testbed_clear(testbed);
	send_frame(testbed, 3, BROADCAST, A);
	send_frame(testbed, 4, C, D);
	assert_sent(testbed, "00000");
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(testbed_drops(testbed, 4, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

static void
an_address_that_a_wire_taught_moves_to_the_guest_that_claims_it(void **state)
{
	struct testbed *testbed = plain();

	send_frame(testbed, 3, BROADCAST, W);
	send_frame(testbed, 0, BROADCAST, W);
	testbed_clear(testbed);
	send_frame(testbed, 4, W, X);
	assert_sent(testbed, "10000");
	send_frame(testbed, 3, BROADCAST, W);
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

static void
a_wire_teaches_many_addresses_and_they_move_between_wires(void **state)
{
	struct testbed *testbed = plain();

	send_frame(testbed, 3, BROADCAST, W);
	send_frame(testbed, 3, BROADCAST, X);
	send_frame(testbed, 4, BROADCAST, X);
	assert_int_equal(port_behind(testbed, W), 3);
	assert_int_equal(port_behind(testbed, X), 4);
	testbed_free(testbed);
}

static void
a_bad_source_is_told_from_a_spoofed_one(void **state)
{
	struct testbed *testbed = configured();

	for (uint16_t port = 0; port < 4; port++) {
		send_frame(testbed, port, BROADCAST, MULTICAST);
		send_frame(testbed, port, BROADCAST, "00:00:00:00:00:00");
		assert_int_equal(testbed_drops(testbed, port, PV_DROP_BAD_SOURCE), 2);
	}
	assert_int_equal(testbed_all_drops(testbed), 8);
	send_frame(testbed, 0, BROADCAST, A); /* none of them was claimed */
	assert_int_equal(port_behind(testbed, A), 0);
	testbed_free(testbed);
}

static void
frames_go_straight_to_the_context_that_they_are_for(void **state)
{
	struct testbed *testbed = plain();

	teach(testbed);
	send_frame(testbed, 0, B, A);
	assert_sent(testbed, "01000");
	send_frame(testbed, 3, C, W);
	assert_sent(testbed, "00100");
	send_frame(testbed, 1, W, B);
	assert_sent(testbed, "00010");
	testbed_free(testbed);
}

static void
a_frame_to_nobody_known_goes_to_wires_only(void **state)
{
	struct testbed *testbed = plain();

	teach(testbed);
	send_frame(testbed, 0, X, A);
	assert_sent(testbed, "00011");
	send_frame(testbed, 3, X, W);
	assert_sent(testbed, "00001");
	testbed_port(testbed, 4)->up = false;
	send_frame(testbed, 3, X, W);
	assert_sent(testbed, "00000");
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_NO_PORT), 1);
	testbed_port(testbed, 3)->up = false;
	send_frame(testbed, 0, X, A);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_NO_PORT), 1);
	testbed_free(testbed);
}

static void
a_silent_guest_hears_nothing_but_group_addresses(void **state)
{
	struct testbed *testbed = plain();

	send_frame(testbed, 3, A, W);
	assert_sent(testbed, "00001");
	send_frame(testbed, 3, MULTICAST, W);
	assert_sent(testbed, "11101");
	send_frame(testbed, 3, "01:80:c2:00:00:0e", W);
	assert_sent(testbed, "00000");
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_LINK_LOCAL), 1);
	testbed_free(testbed);
}

static void
nothing_goes_back_to_where_it_came_from(void **state)
{
	struct testbed *testbed = plain();

	teach(testbed);
	send_frame(testbed, 0, A, A);
	send_frame(testbed, 3, W, X);
	assert_sent(testbed, "00000");
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SAME_PORT), 1);
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_SAME_PORT), 1);
	testbed_free(testbed);
}

static void
the_next_guest_of_a_port_has_an_address_of_its_own(void **state)
{
	struct testbed *testbed = configured();
	struct pv_port *first = testbed_port(testbed, 0), *second = testbed_port(testbed, 1);

	send_frame(testbed, 0, BROADCAST, A);
	first->set_up(first, false);
	assert_int_equal(first->address, 0);
	assert_int_equal(port_behind(testbed, A), PV_FDB_NO_PORT);
	first->set_up(first, true);
	send_frame(testbed, 2, BROADCAST, A);
	assert_int_equal(port_behind(testbed, A), 2);
	send_frame(testbed, 0, BROADCAST, C);
	assert_int_equal(port_behind(testbed, C), 0);
	second->set_up(second, false);
	second->set_up(second, true);
	send_frame(testbed, 1, BROADCAST, B);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(port_behind(testbed, D), 1);
	testbed_free(testbed);
}

static void
sources_of_a_mixed_burst_are_told_apart(void **state)
{
	struct testbed *testbed = plain();

	teach(testbed);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_inject(testbed, 0, 0, B, X, 60);
	testbed_inject(testbed, 0, 0, B, A, 60);
	testbed_inject(testbed, 0, 0, B, C, 60);
	testbed_inject(testbed, 0, 0, C, A, 60);
	testbed_inject(testbed, 0, 0, B, MULTICAST, 60);
	testbed_run(testbed, 1);
	assert_sent(testbed, "02100");
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 2);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_BAD_SOURCE), 1);
	testbed_free(testbed);
}

static struct rte_mbuf *
take_frame(struct testbed *testbed, uint16_t port, const char *destination, const char *source)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(testbed_datapath(testbed)->pool);
	struct pv_mac to, from;

	assert_non_null(packet);
	pv_mac_parse(destination, &to);
	pv_mac_parse(source, &from);
	memcpy(rte_pktmbuf_append(packet, 60), to.bytes, 6);
	memcpy(rte_pktmbuf_mtod_offset(packet, char *, 6), from.bytes, 6);
	packet->port = port;
	return packet;
}

/* Stages may hand on what they held of several ports. */
static void
a_claim_within_a_burst_of_several_ports_counts_for_what_follows(void **state)
{
	struct testbed *testbed = plain();
	struct pv_worker *worker = testbed_datapath(testbed)->workers[0];
	struct rte_mbuf *packets[] = {
		take_frame(testbed, 3, BROADCAST, W), take_frame(testbed, 4, W, X), take_frame(testbed, 0, X, W),
		take_frame(testbed, 3, BROADCAST, W), take_frame(testbed, 4, W, X),
	};

	testbed_datapath(testbed)->multiplexing->switch_burst(worker, packets, RTE_DIM(packets));
	pv_drain(worker);
	assert_sent(testbed, "21112");
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

static void
copies_are_charged_to_who_has_them_made(void **state)
{
	struct testbed *testbed = plain();
	struct pv_worker *worker = testbed_datapath(testbed)->workers[0];

	testbed_inject(testbed, 0, 0, BROADCAST, A, 100);
	testbed_run(testbed, 1);
	assert_int_equal(worker->flooded_bytes, 3 * 100); /* the fourth is the frame itself */
	worker->flooded_bytes = 0;
	testbed_inject(testbed, 0, 0, X, A, 200);
	testbed_inject(testbed, 1, 0, A, B, 200);
	testbed_run(testbed, 1);
	assert_int_equal(worker->flooded_bytes, 200);
	testbed_free(testbed);
}

static void
a_port_that_was_removed_is_nobody(void **state)
{
	struct testbed *testbed = plain();
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_port *removed = datapath->ports[2];

	datapath->ports[2] = NULL;
	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	pv_worker_poll(datapath->workers[0], &datapath->workers[0]->queues[0]);
	pv_contexts_end(datapath);
	pv_contexts_begin(datapath);
	datapath->ports[2] = removed;
	assert_sent(testbed, "01011");
	testbed_free(testbed);
}

/* --- going over --------------------------------------------------------------------------------------------------- */

static void
a_bridge_with_contexts_from_now_on_keeps_what_was_heard_last(void **state)
{
	struct testbed *testbed = configured();
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_mac first, second;

	pv_contexts_end(datapath);
	pv_mac_parse(A, &first);
	pv_mac_parse(B, &second);
	pv_fdb_learn(datapath->fdb, first.bytes, 0, pv_now_s() - 5);
	pv_fdb_learn(datapath->fdb, second.bytes, 0, pv_now_s());
	pv_mac_parse(C, &first);
	pv_fdb_learn(datapath->fdb, first.bytes, 1, pv_now_s());
	pv_mac_parse(W, &first);
	pv_fdb_learn(datapath->fdb, first.bytes, 3, pv_now_s());
	pv_contexts_begin(datapath);
	assert_int_equal(port_behind(testbed, A), PV_FDB_NO_PORT);
	assert_int_equal(port_behind(testbed, B), 0);
	assert_int_equal(port_behind(testbed, C), PV_FDB_NO_PORT);
	assert_int_equal(port_behind(testbed, W), 3);
	send_frame(testbed, 0, BROADCAST, A);
	send_frame(testbed, 1, BROADCAST, C);
	assert_sent(testbed, "00000");
	send_frame(testbed, 0, BROADCAST, B);
	send_frame(testbed, 1, BROADCAST, D);
	assert_sent(testbed, "11222");
	testbed_free(testbed);
}

static void
a_claim_becomes_a_learned_address_when_contexts_end(void **state)
{
	struct testbed *testbed = configured();
	struct pv_datapath *datapath = testbed_datapath(testbed);

	send_frame(testbed, 0, BROADCAST, A);
	pv_contexts_end(datapath);
	assert_int_equal(port_behind(testbed, A), 0);
	assert_int_equal(datapath->ports[0]->address, 0);
	datapath->multiplexing = pv_implementation_find(PV_PRIMITIVE_MULTIPLEXING, "bridge")->ops;
	send_frame(testbed, 2, BROADCAST, A);
	assert_int_equal(port_behind(testbed, A), 2);
	send_frame(testbed, 0, BROADCAST, D); /* static, then as before */
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

/* --- templates ---------------------------------------------------------------------------------------------------- */

static struct testbed *
specialized(void)
{
	struct testbed_setup setup = { .ports = PORTS,
				       .wires = WIRES,
				       .stages = { pv_stage_find("multi-context-demux"),
						   pv_stage_find("specialization") } };

	return testbed_new(&setup);
}

static void
a_spoofed_source_neither_gets_nor_uses_a_template(void **state)
{
	struct testbed *testbed = specialized();
	const struct pv_template_counters *templates = &testbed_datapath(testbed)->workers[0]->counters.templates;
	uint64_t hits;

	teach(testbed);
	for (int i = 0; i < 3; i++)
		send_frame(testbed, 0, B, A);
	assert_true(templates->hits > 0);
	hits = templates->hits;
	for (int i = 0; i < 5; i++) {
		send_frame(testbed, 0, B, C);
		send_frame(testbed, 0, B, X);
		send_frame(testbed, 0, B, W);
		send_frame(testbed, 3, B, A);
	}
	assert_int_equal(templates->hits, hits);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 15);
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_SPOOFED_SOURCE), 5);
	assert_sent(testbed, "03000");
	testbed_free(testbed);
}

static void
a_template_ends_with_the_guest_whose_address_it_is_about(void **state)
{
	struct testbed *testbed = specialized();
	struct pv_port *port = testbed_port(testbed, 0);

	teach(testbed);
	for (int i = 0; i < 3; i++) {
		send_frame(testbed, 0, B, A);
		send_frame(testbed, 3, A, W);
	}
	assert_sent(testbed, "33000");
	port->set_up(port, false);
	port->set_up(port, true);
	send_frame(testbed, 3, A, W);
	assert_sent(testbed, "00001");
	send_frame(testbed, 0, B, X);
	send_frame(testbed, 0, B, A);
	assert_sent(testbed, "01000");
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

/* --- conservation ------------------------------------------------------------------------------------------------- */

/* A destination that a frame has reached. */
static void
assert_is_for(struct testbed *testbed, uint16_t port, const struct rte_mbuf *packet)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	const struct pv_port *context = testbed_port(testbed, port);
	uint64_t address = 1;

	for (int i = 5; i >= 0; i--)
		address = address << 8 | frame[i];
	if (pv_is_context(context) && (frame[0] & 1) == 0)
		assert_int_equal(address, context->address);
}

/* Random frames, guests that come and go: in + copies = out + dropped, and no guest gets what is not its own. */
static void
no_packet_is_lost_made_up_or_led_astray(void **state)
{
	static const char *const addresses[] = { A, B, C, D, W, X, BROADCAST };
	struct testbed *testbed = new_testbed((struct testbed_setup){ .workers = 2, .queues = 2, .macs = { [1] = D } });
	uint64_t in = 0, out = 0, copies = 0;
	unsigned int seed = 11;

	for (int burst = 0; burst < 60; burst++) {
		uint64_t drops = testbed_all_drops(testbed);

		for (int i = 0; i < 40; i++, in++)
			testbed_inject(testbed, (uint16_t)(rand_r(&seed) % PORTS), (uint16_t)(rand_r(&seed) % 2),
				       addresses[rand_r(&seed) % 7], addresses[rand_r(&seed) % 7], 60);
		testbed_limit(testbed, 2, 10);
		testbed_run(testbed, 3);
		out += testbed_all_drops(testbed) - drops;
		for (uint16_t port = 0; port < PORTS; port++) {
			out += testbed_sent(testbed, port);
			for (uint32_t i = 0; i < testbed_sent(testbed, port); i++)
				assert_is_for(testbed, port, testbed_packet(testbed, port, i));
		}
		testbed_clear(testbed);
		if (burst % 10 == 9) {
			struct pv_port *port = testbed_port(testbed, (uint16_t)(rand_r(&seed) % 3));

			port->set_up(port, false);
			port->set_up(port, true);
		}
	}
	for (uint16_t i = 0; i < 2; i++)
		copies += testbed_datapath(testbed)->workers[i]->counters.flooded;
	assert_int_equal(in + copies, out);
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_address_that_a_guest_sends_is_its_own),
		cmocka_unit_test(a_configured_address_is_the_only_one_that_its_guest_may_use),
		cmocka_unit_test(nobody_else_can_claim_an_address_that_is_configured_or_claimed),
		cmocka_unit_test(an_address_that_is_configured_behind_a_wire_cannot_be_claimed),
		cmocka_unit_test(a_wire_cannot_speak_with_the_address_of_a_context),
		cmocka_unit_test(an_address_that_a_wire_taught_moves_to_the_guest_that_claims_it),
		cmocka_unit_test(a_wire_teaches_many_addresses_and_they_move_between_wires),
		cmocka_unit_test(a_bad_source_is_told_from_a_spoofed_one),
		cmocka_unit_test(frames_go_straight_to_the_context_that_they_are_for),
		cmocka_unit_test(a_frame_to_nobody_known_goes_to_wires_only),
		cmocka_unit_test(a_silent_guest_hears_nothing_but_group_addresses),
		cmocka_unit_test(nothing_goes_back_to_where_it_came_from),
		cmocka_unit_test(the_next_guest_of_a_port_has_an_address_of_its_own),
		cmocka_unit_test(sources_of_a_mixed_burst_are_told_apart),
		cmocka_unit_test(a_claim_within_a_burst_of_several_ports_counts_for_what_follows),
		cmocka_unit_test(copies_are_charged_to_who_has_them_made),
		cmocka_unit_test(a_port_that_was_removed_is_nobody),
		cmocka_unit_test(a_bridge_with_contexts_from_now_on_keeps_what_was_heard_last),
		cmocka_unit_test(a_claim_becomes_a_learned_address_when_contexts_end),
		cmocka_unit_test(a_spoofed_source_neither_gets_nor_uses_a_template),
		cmocka_unit_test(a_template_ends_with_the_guest_whose_address_it_is_about),
		cmocka_unit_test(no_packet_is_lost_made_up_or_led_astray),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
