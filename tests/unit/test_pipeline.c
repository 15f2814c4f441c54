/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of packet stages: who owns a packet, when flush is called, what is counted, over several workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ether.h>

#include "testbed.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define BROADCAST "ff:ff:ff:ff:ff:ff"

/* --- stages to test with ------------------------------------------------------------------------------------------ */

/* Holds up to 64 packets until flush. */
struct holder {
	struct rte_mbuf *held[64];
};

static void
hold(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct holder *holder = self->state;

	for (uint16_t i = 0; i < count; i++)
		holder->held[self->held++] = packets[i];
}

static void
let_go(struct pv_stage_self *self, struct pv_run *run)
{
	struct holder *holder = self->state;

	for (uint32_t i = 0; i < self->held; i++)
		pv_emit(run, holder->held[i]);
	self->held = 0;
}

static void
free_held(struct pv_stage_self *self)
{
	struct holder *holder = self->state;

	rte_pktmbuf_free_bulk(holder->held, self->held);
}

static const struct pv_stage holding = {
	.name = "holding",
	.summary = "holds",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.state_size = sizeof(struct holder),
	.process = hold,
	.flush = let_go,
	.fini = free_held,
};
static const struct pv_stage holding_at_egress = {
	.name = "holding-at-egress",
	.summary = "holds",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_TO_GUEST),
	.state_size = sizeof(struct holder),
	.process = hold,
	.flush = let_go,
	.fini = free_held,
};
/* Breaks the promise: has no flush, so what it holds stays. */
static const struct pv_stage keeping = {
	.name = "keeping",
	.summary = "keeps",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.state_size = sizeof(struct holder),
	.process = hold,
	.fini = free_held,
};

/* Drops frames of odd length. */
static const struct pv_drop_reason odd_drops[] = { { "odd", "the frame's length is odd" }, { NULL, NULL } };

static void
drop_odd(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		if (packets[i]->pkt_len % 2 != 0)
			pv_stage_drop(run, packets[i], 0);
		else
			pv_emit(run, packets[i]);
	}
}

static struct pv_stage dropping = {
	.name = "dropping",
	.summary = "drops",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST) | PV_HOOK_BIT(PV_HOOK_TO_WIRE),
	.drops = odd_drops,
	.process = drop_odd,
};

/* Makes five packets of one. */
static void
multiply(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		for (int copy = 0; copy < 4; copy++) {
			struct rte_mbuf *made = rte_pktmbuf_copy(packets[i], packets[i]->pool, 0, UINT32_MAX);

			assert_non_null(made);
			pv_emit(run, made);
		}
		pv_emit(run, packets[i]);
	}
}

static const struct pv_stage multiplying = {
	.name = "multiplying",
	.summary = "multiplies",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_TO_GUEST),
	.process = multiply,
};

/* Writes down which hook and which ports it sees. */
static uint32_t seen_hooks;
static uint16_t seen_from, seen_to;

static void
look(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	seen_hooks |= PV_HOOK_BIT(run->hook);
	for (uint16_t i = 0; i < count; i++) {
		seen_from = packets[i]->port;
		if ((PV_HOOK_BIT(run->hook) & PV_HOOKS_EGRESS) != 0)
			seen_to = pv_packet_egress(packets[i]);
		pv_emit(run, packets[i]);
	}
}

static const struct pv_stage looking = {
	.name = "looking",
	.summary = "looks",
	.source = "test",
	.hooks = PV_HOOKS_INGRESS | PV_HOOKS_EGRESS,
	.process = look,
};

static unsigned int inits, finis;

static int
init_twice(struct pv_stage_self *self)
{
	inits++;
	return self->worker == 1 ? -ENOMEM : 0;
}

static void
count_fini(struct pv_stage_self *self)
{
	finis++;
}

static const struct pv_stage failing_on_worker_1 = {
	.name = "failing",
	.summary = "fails",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.init = init_twice,
	.process = look,
	.fini = count_fini,
};

/* --- tests -------------------------------------------------------------------------------------------------------- */

static struct testbed *
two_ports_with(const struct pv_stage *first, const struct pv_stage *second)
{
	const struct testbed_setup setup = { .ports = 2, .stages = { first, second } };
	struct testbed *testbed = testbed_new(&setup);

	assert_non_null(testbed);
	return testbed;
}

static void
inject_many(struct testbed *testbed, unsigned int count, uint32_t length)
{
	for (unsigned int i = 0; i < count; i++)
		testbed_inject(testbed, 0, 0, BROADCAST, A, length + i);
}

static void
held_packets_leave_in_the_round_they_came(void **state)
{
	struct testbed *testbed = two_ports_with(&holding, NULL);

	inject_many(testbed, 7, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 7);
	testbed_free(testbed);
}

static void
what_one_stage_lets_go_the_next_may_hold_and_let_go_too(void **state)
{
	struct testbed *testbed = two_ports_with(&holding, &holding_at_egress);

	inject_many(testbed, 7, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 7);
	testbed_free(testbed);
}

static void
packets_keep_their_order(void **state)
{
	struct testbed *testbed = two_ports_with(&holding, &holding_at_egress);

	inject_many(testbed, 32, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 32);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(testbed_packet(testbed, 1, i)->pkt_len, 60 + i);
	testbed_free(testbed);
}

static void
fini_frees_what_is_still_held(void **state)
{
	struct testbed *testbed = two_ports_with(&keeping, NULL);
	struct pv_stage_self *self;

	inject_many(testbed, 3, 60);
	testbed_run(testbed, 2);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(rte_mempool_in_use_count(testbed_datapath(testbed)->pool), 3);
	self = &testbed_datapath(testbed)->workers[0]->packet_stages.stages[0];
	assert_int_equal(self->held, 3);
	self->stage->fini(self);
	self->held = 0;
	testbed_free(testbed);
}

static void
a_stage_drop_is_counted_by_name_at_its_port(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .wires = 2, .stages = { &dropping } };
	struct testbed *testbed = testbed_new(&setup);
	uint16_t reason = testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].drop_base;
	const struct pv_stage_counters *counters =
		&testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].counters;

	assert_string_equal(pv_drop_name(reason), "dropping.odd");
	inject_many(testbed, 10, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 5);
	assert_int_equal(testbed_drops(testbed, 0, reason), 5);
	assert_int_equal(counters->calls, 2); /* from-guest, and to-wire of what was left */
	assert_int_equal(counters->packets, 10 + 5);
	assert_int_equal(counters->emitted, 5 + 5);
	assert_int_equal(counters->dropped, 5);
	testbed_free(testbed);
}

static void
a_drop_at_egress_is_counted_at_the_egress_port(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .wires = 3, .stages = { &dropping } };
	struct testbed *testbed = testbed_new(&setup);

	testbed_inject(testbed, 0, 0, BROADCAST, A, 61);
	testbed_run(testbed, 1);
	assert_int_equal(
		testbed_drops(testbed, 1, testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].drop_base), 1);
	testbed_free(testbed);
}

static void
a_stage_may_make_more_packets_than_a_vector_holds(void **state)
{
	struct testbed *testbed = two_ports_with(&multiplying, NULL);

	inject_many(testbed, 32, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 5 * 32);
	for (uint32_t i = 0; i < 5 * 32; i++)
		assert_int_equal(testbed_packet(testbed, 1, i)->pkt_len, 60 + i / 5);
	testbed_free(testbed);
}

static void
every_hook_is_called_for_the_roles_it_is_about(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .wires = 2, .stages = { &looking } };
	struct testbed *testbed = testbed_new(&setup);

	seen_hooks = 0;
	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(seen_hooks, PV_HOOK_BIT(PV_HOOK_FROM_GUEST) | PV_HOOK_BIT(PV_HOOK_TO_WIRE));
	assert_int_equal(seen_from, 0);
	assert_int_equal(seen_to, 1);
	seen_hooks = 0;
	testbed_inject(testbed, 1, 0, A, B, 60);
	testbed_run(testbed, 1);
	assert_int_equal(seen_hooks, PV_HOOK_BIT(PV_HOOK_FROM_WIRE) | PV_HOOK_BIT(PV_HOOK_TO_GUEST));
	assert_int_equal(seen_from, 1);
	assert_int_equal(seen_to, 0);
	testbed_free(testbed);
}

static void
an_empty_round_calls_no_stage(void **state)
{
	struct testbed *testbed = two_ports_with(&looking, &holding);

	testbed_run(testbed, 3);
	assert_int_equal(testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].counters.calls, 0);
	assert_int_equal(testbed_datapath(testbed)->workers[0]->counters.rounds, 3);
	testbed_free(testbed);
}

static void
a_failed_init_is_undone_for_those_that_succeeded(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .workers = 2, .stages = { &failing_on_worker_1 } };

	inits = finis = 0;
	assert_null(testbed_new(&setup));
	assert_int_equal(inits, 2);
	assert_int_equal(finis, 1);
}

static void
a_chained_packet_passes_whole(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .mtu = 9000, .stages = { &looking } };
	struct testbed *testbed = testbed_new(&setup);
	uint8_t bytes[6000];

	memset(bytes, 0xff, 6);
	memset(bytes + 6, 2, sizeof(bytes) - 6);
	testbed_inject_bytes(testbed, 0, 0, bytes, sizeof(bytes), 4);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_packet(testbed, 1, 0)->pkt_len, sizeof(bytes));
	assert_int_equal(testbed_packet(testbed, 1, 0)->nb_segs, 4);
	testbed_free(testbed);
}

static void
a_worker_without_a_queue_of_the_port_hands_over(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .workers = 2, .stages = { &looking } };
	struct testbed *testbed = testbed_new(&setup);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	assert_int_equal(testbed_port(testbed, 0)->owner[0], 0);
	assert_int_equal(testbed_port(testbed, 1)->owner[0], 1);
	inject_many(testbed, 32, 60);
	pv_worker_round(datapath->workers[0]);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(datapath->workers[0]->counters.handed_over, 32);
	pv_worker_round(datapath->workers[1]);
	assert_int_equal(testbed_sent(testbed, 1), 32);
	assert_int_equal(datapath->workers[1]->packet_stages.stages[0].counters.packets, 32); /* its egress stages */
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(testbed_packet(testbed, 1, i)->pkt_len, 60 + i);
	testbed_free(testbed);
}

static void
a_full_mailbox_drops_by_name(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .workers = 2 };
	struct testbed *testbed = testbed_new(&setup);

	for (int i = 0; i < PV_MAILBOX_SIZE; i++) /* a ring holds one less */
		testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	while (pv_worker_round(testbed_datapath(testbed)->workers[0]) > 0)
		;
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_MAILBOX_FULL), 1);
	testbed_run(testbed, PV_MAILBOX_SIZE / PV_BURST_MAX);
	assert_int_equal(testbed_sent(testbed, 1), PV_MAILBOX_SIZE - 1);
	testbed_free(testbed);
}

static void
who_floods_a_mailbox_leaves_room_for_others(void **state)
{
	const struct testbed_setup setup = { .ports = 5,
					     .workers = 2,
					     .macs = { A, B, "52:54:00:00:00:0c", NULL, "52:54:00:00:00:0e" },
					     .stages = { pv_stage_find("multi-context-demux") } };
	struct testbed *testbed = testbed_new(&setup);
	struct pv_worker *sending = testbed_datapath(testbed)->workers[0];
	const uint32_t flooders[] = { 0, 2 };

	for (uint32_t i = 0; i < 4 * PV_MAILBOX_SIZE; i++) {
		uint32_t port = flooders[i / PV_BURST_MAX % 2];

		testbed_inject(testbed, port, 0, B, setup.macs[port], 60);
		if (i % PV_BURST_MAX == PV_BURST_MAX - 1)
			pv_worker_round(sending);
	}
	for (int i = 0; i < PV_BURST_MAX; i++)
		testbed_inject(testbed, 4, 0, B, setup.macs[4], 60);
	pv_worker_round(sending);
	for (int i = 0; i < 2; i++)
		assert_in_range(testbed_port(testbed, flooders[i])->mail, PV_MAILBOX_SIZE / 3 - PV_BURST_MAX,
				PV_MAILBOX_SIZE / 3 + PV_BURST_MAX);
	assert_int_equal(testbed_port(testbed, 4)->mail, PV_BURST_MAX);
	testbed_run(testbed, 2 * PV_MAILBOX_SIZE / PV_BURST_MAX);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(testbed_port(testbed, i)->mail, 0);
	assert_int_equal(testbed_sent(testbed, 1) + testbed_drops(testbed, 1, PV_DROP_MAILBOX_FULL),
			 4 * PV_MAILBOX_SIZE + PV_BURST_MAX);
	testbed_free(testbed);
}

static void
all_mail_that_is_there_can_be_taken_at_once(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .workers = 2 };
	struct testbed *testbed = testbed_new(&setup);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	assert_int_equal(pv_worker_take_mail(datapath->workers[1]), 0);
	for (int i = 0; i < 3 * PV_BURST_MAX + 1; i++)
		testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	while (pv_worker_round(datapath->workers[0]) > 0)
		;
	assert_int_equal(pv_worker_take_mail(datapath->workers[1]), 3 * PV_BURST_MAX + 1);
	assert_int_equal(testbed_sent(testbed, 1), 3 * PV_BURST_MAX + 1);
	testbed_free(testbed);
}

static void
a_flow_stays_on_one_queue_and_flows_spread(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .queues = 4 };
	struct testbed *testbed = testbed_new(&setup);
	uint32_t used = 0;
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0, 0, 0, 0, 1, 0x08, 0, 0x45 };

	frame[23] = 17; /* UDP */
	for (uint8_t flow = 0; flow < 16; flow++) {
		frame[29] = flow;
		testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 1);
		testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 1);
	}
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 32);
	for (uint32_t i = 0; i < 32; i++) {
		for (uint32_t j = 0; j < i; j++)
			if (rte_pktmbuf_mtod(testbed_packet(testbed, 1, i), const uint8_t *)[29] ==
			    rte_pktmbuf_mtod(testbed_packet(testbed, 1, j), const uint8_t *)[29])
				assert_int_equal(testbed_packet_queue(testbed, 1, i),
						 testbed_packet_queue(testbed, 1, j));
		used |= 1u << testbed_packet_queue(testbed, 1, i);
	}
	assert_true(__builtin_popcount(used) > 1);
	testbed_free(testbed);
}

static void
inactive_queues_are_neither_polled_nor_sent_to(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .queues = 2 };
	struct testbed *testbed = testbed_new(&setup);

	testbed_port(testbed, 0)->active_queues = 1;
	testbed_port(testbed, 1)->active_queues = 1;
	testbed_inject(testbed, 0, 1, BROADCAST, A, 60);
	inject_many(testbed, 16, 60);
	testbed_run(testbed, 2);
	assert_int_equal(testbed_sent(testbed, 1), 16);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(testbed_packet_queue(testbed, 1, i), 0);
	testbed_port(testbed, 0)->active_queues = 2;
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 17);
	testbed_free(testbed);
}

static int
register_stages(void **state)
{
	return pv_stage_register(&dropping) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_packets_leave_in_the_round_they_came),
		cmocka_unit_test(what_one_stage_lets_go_the_next_may_hold_and_let_go_too),
		cmocka_unit_test(packets_keep_their_order),
		cmocka_unit_test(fini_frees_what_is_still_held),
		cmocka_unit_test(a_stage_drop_is_counted_by_name_at_its_port),
		cmocka_unit_test(a_drop_at_egress_is_counted_at_the_egress_port),
		cmocka_unit_test(a_stage_may_make_more_packets_than_a_vector_holds),
		cmocka_unit_test(every_hook_is_called_for_the_roles_it_is_about),
		cmocka_unit_test(an_empty_round_calls_no_stage),
		cmocka_unit_test(a_failed_init_is_undone_for_those_that_succeeded),
		cmocka_unit_test(a_chained_packet_passes_whole),
		cmocka_unit_test(a_worker_without_a_queue_of_the_port_hands_over),
		cmocka_unit_test(a_full_mailbox_drops_by_name),
		cmocka_unit_test(all_mail_that_is_there_can_be_taken_at_once),
		cmocka_unit_test(who_floods_a_mailbox_leaves_room_for_others),
		cmocka_unit_test(a_flow_stays_on_one_queue_and_flows_spread),
		cmocka_unit_test(inactive_queues_are_neither_polled_nor_sent_to),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, register_stages, NULL);
}
