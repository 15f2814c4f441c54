/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which context moves from which worker to which, over numbers; and that a move loses and reorders nothing, with
 * workers on threads of their own and frames that are counted under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/backlog.h"
#include "core/report.h"
#include "counting.h"
#include "testbed.h"

#define CYCLES 3000000ULL /* per thousandth of a second, of a worker */

/* --- ports that ask workers for something ------------------------------------------------------------------------- */

/* Ports of one queue pair, what each asks its worker for in thousandths of it, and what was decided of them. */
struct world {
	uint16_t n_workers, n_ports;
	uint32_t wants[32];
	uint16_t owner[32];
	uint32_t now_s;
	struct pv_rebalance rebalance;
	struct pv_loads loads;
	struct pv_move move; /* the last */
	uint32_t moves;
};

static struct world *
new_world(uint16_t n_workers, uint16_t n_ports)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->n_workers = n_workers;
	world->n_ports = n_ports;
	world->now_s = 1000;
	for (uint16_t i = 0; i < n_ports; i++)
		world->loads.movable[i] = true;
	return world;
}

/* A world of two workers; what the ports of each ask for. 0 ends a list. */
static struct world *
new_pair(const uint32_t *first, const uint32_t *second)
{
	const uint32_t *lists[] = { first, second };
	struct world *world = new_world(2, 0);

	for (uint16_t worker = 0; worker < 2; worker++)
		for (const uint32_t *want = lists[worker]; *want != 0; want++) {
			world->loads.movable[world->n_ports] = true;
			world->owner[world->n_ports] = worker;
			world->wants[world->n_ports++] = *want;
		}
	return world;
}

#define WANTS(...) ((const uint32_t[]){ __VA_ARGS__, 0 })

static uint32_t
asked_of(const struct world *world, uint16_t worker)
{
	uint32_t asked = 0;

	for (uint16_t i = 0; i < world->n_ports; i++)
		asked += world->owner[i] == worker ? world->wants[i] : 0;
	return asked;
}

/* A worker that is asked for too much serves its ports in proportion. */
static void
make_loads(struct world *world)
{
	struct pv_loads *loads = &world->loads;

	loads->n_workers = world->n_workers;
	loads->n_ports = world->n_ports;
	memset(loads->cycles, 0, sizeof(loads->cycles));
	for (uint16_t i = 0; i < world->n_workers; i++) {
		loads->busy[i] = RTE_MIN(asked_of(world, i), 1000u) * CYCLES;
		loads->idle[i] = 1000 * CYCLES - loads->busy[i];
	}
	for (uint16_t i = 0; i < world->n_ports; i++) {
		uint32_t asked = RTE_MAX(asked_of(world, world->owner[i]), 1000u);

		loads->cycles[world->owner[i]][i] = world->wants[i] * CYCLES / 2 * 1000 / asked;
		loads->owners[i] |= 1u << world->owner[i];
	}
}

/* A second passes. Whether a port moved. */
static bool
pass(struct world *world)
{
	make_loads(world);
	world->now_s++;
	if (!pv_rebalance_decide(&world->rebalance, &world->loads, world->now_s, &world->move))
		return false;
	assert_int_equal(world->owner[world->move.port], world->move.from);
	assert_int_not_equal(world->move.from, world->move.to);
	world->loads.owners[world->move.port] &= ~(1u << world->move.from);
	world->owner[world->move.port] = world->move.to;
	world->moves++;
	return true;
}

static void
pass_in_rest(struct world *world, uint32_t seconds)
{
	for (uint32_t i = 0; i < seconds; i++)
		assert_false(pass(world));
}

static void
a_context_moves_when_its_worker_was_hot_in_two_looks(void **state)
{
	struct world *world = new_pair(WANTS(300, 300, 300), WANTS(100));

	assert_false(pass(world));
	assert_true(pass(world));
	assert_int_equal(world->move.from, 0);
	assert_int_equal(world->move.to, 1);
	assert_int_equal(world->move.from_permille, 900);
	assert_int_equal(world->move.to_permille, 100);
	pass_in_rest(world, 100);
	free(world);
}

static void
a_look_in_between_that_is_not_hot_begins_anew(void **state)
{
	struct world *world = new_pair(WANTS(300, 300, 300), WANTS(100));

	for (int i = 0; i < 20; i++) {
		world->wants[0] = i % 2 == 0 ? 300 : 100;
		assert_false(pass(world));
	}
	free(world);
}

/* What it was before it gave a context away says nothing of it. */
static void
a_worker_that_gave_a_context_away_is_looked_at_twice_again(void **state)
{
	struct world *world = new_pair(WANTS(500, 500, 500, 500, 500, 500), WANTS(100));

	world->n_workers = 3;
	for (int i = 0; i < 2; i++) {
		assert_false(pass(world));
		assert_true(pass(world));
		assert_int_equal(world->move.from, 0);
	}
	free(world);
}

static void
what_is_balanced_stays(void **state)
{
	struct world *world = new_pair(WANTS(300, 300, 300), WANTS(300, 400, 150));

	pass_in_rest(world, 100);
	free(world);
}

static void
a_worker_that_is_busy_for_no_more_than_the_limit_keeps_its_contexts(void **state)
{
	struct world *world = new_pair(WANTS(400, 400), WANTS(10));

	pass_in_rest(world, 100);
	world->wants[0]++;
	assert_false(pass(world));
	assert_true(pass(world));
	free(world);
}

static void
a_context_that_is_all_the_load_there_is_stays(void **state)
{
	struct world *alone = new_pair(WANTS(5000), WANTS(10));
	struct world *nearly = new_pair(WANTS(900, 10, 10, 10), WANTS(10));

	pass_in_rest(alone, 100);
	pass_in_rest(nearly, 100);
	free(alone);
	free(nearly);
}

static void
the_move_that_leaves_the_two_most_alike_is_made(void **state)
{
	struct world *world = new_pair(WANTS(100, 420, 380, 50), WANTS(50));

	assert_false(pass(world));
	assert_true(pass(world));
	assert_int_equal(world->move.port, 1);
	free(world);
}

static void
a_context_that_moved_stays_for_a_while(void **state)
{
	struct world *world = new_pair(WANTS(450, 450), WANTS(10));
	uint32_t moved_s;

	assert_false(pass(world));
	assert_true(pass(world));
	moved_s = world->now_s;
	/* Now its new worker is hot, as it has more to do, and so has another there. */
	world->wants[world->move.port] = 500;
	world->wants[2] = 490;
	world->wants[1 - world->move.port] = 10;
	world->loads.movable[2] = false;
	while (!pass(world))
		assert_true(world->now_s < moved_s + PV_REBALANCE_STAY_S);
	assert_int_equal(world->now_s, moved_s + PV_REBALANCE_STAY_S);
	free(world);
}

static void
wires_stay(void **state)
{
	struct world *world = new_pair(WANTS(300, 300, 300), WANTS(10));

	for (uint16_t i = 0; i < 3; i++)
		world->loads.movable[i] = false;
	pass_in_rest(world, 10);
	world->loads.movable[2] = true;
	assert_true(pass(world));
	assert_int_equal(world->move.port, 2);
	free(world);
}

/* Otherwise its queue pairs would gather at one worker in the course of time. */
static void
a_context_does_not_go_to_where_other_queue_pairs_of_it_are(void **state)
{
	struct world *world = new_pair(WANTS(450, 400), WANTS(10));

	world->loads.owners[0] = world->loads.owners[1] = 3;
	pass_in_rest(world, 10);
	world->loads.owners[1] = 1;
	assert_true(pass(world));
	assert_int_equal(world->move.port, 1);
	free(world);
}

/* It may be in a call that does not return. */
static void
nothing_goes_to_a_worker_that_nothing_is_known_of(void **state)
{
	struct world *world = new_pair(WANTS(450, 400), WANTS(10));

	for (int i = 0; i < 10; i++) {
		make_loads(world);
		world->loads.busy[1] = world->loads.idle[1] = 0;
		assert_false(pv_rebalance_decide(&world->rebalance, &world->loads, ++world->now_s, &world->move));
	}
	for (int i = 0; i < 10; i++) {
		memset(world->loads.busy, 0, sizeof(world->loads.busy));
		memset(world->loads.idle, 0, sizeof(world->loads.idle));
		assert_false(pv_rebalance_decide(&world->rebalance, &world->loads, ++world->now_s, &world->move));
	}
	free(world);
}

/* The busiest has nothing that could go; the next has. */
static void
a_worker_that_cannot_be_helped_does_not_keep_others_from_it(void **state)
{
	struct world *world = new_world(3, 4);

	world->wants[0] = 990;
	world->owner[1] = world->owner[2] = 1;
	world->wants[1] = world->wants[2] = 450;
	world->owner[3] = 2;
	world->wants[3] = 10;
	assert_false(pass(world));
	assert_true(pass(world));
	assert_int_equal(world->move.from, 1);
	assert_int_equal(world->move.to, 2);
	free(world);
}

/* --- many seconds ------------------------------------------------------------------------------------------------- */

static uint32_t
random_below(uint32_t *seed, uint32_t limit)
{
	*seed = *seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)*seed * limit >> 32);
}

static struct world *
new_random_world(uint32_t *seed)
{
	struct world *world = new_world((uint16_t)(2 + random_below(seed, 4)), (uint16_t)(1 + random_below(seed, 32)));
	uint32_t most = 50 + random_below(seed, 1200);
	uint16_t skewed = (uint16_t)(1 + random_below(seed, world->n_workers)); /* workers that have any */

	for (uint16_t i = 0; i < world->n_ports; i++) {
		world->owner[i] = (uint16_t)random_below(seed, skewed);
		world->wants[i] = random_below(seed, most);
		world->loads.movable[i] = random_below(seed, 8) != 0;
	}
	return world;
}

static uint64_t
sum_of_squares(const struct world *world)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < world->n_workers; i++)
		sum += (uint64_t)asked_of(world, i) * asked_of(world, i);
	return sum;
}

/* What only ever gets smaller comes back to nothing that it was: there is no circle. */
static void
constant_loads_come_to_rest(void **state)
{
	uint32_t seed = 1, moves = 0;

	for (int i = 0; i < 3000; i++) {
		struct world *world = new_random_world(&seed);
		uint64_t before = sum_of_squares(world);

		for (int second = 0; second < 300; second++) {
			if (!pass(world))
				continue;
			assert_true(sum_of_squares(world) < before);
			before = sum_of_squares(world);
		}
		moves += world->moves;
		pass_in_rest(world, 100);
		free(world);
	}
	assert_true(moves > 3000);
}

static void
loads_that_change_all_the_time_move_a_context_no_more_than_it_may(void **state)
{
	uint32_t seed = 2, moves = 0;

	for (int i = 0; i < 300; i++) {
		struct world *world = new_random_world(&seed);
		uint32_t moved_s[32] = { 0 };
		uint32_t hot[PV_WORKERS_MAX] = { 0 };

		for (int second = 0; second < 400; second++) {
			world->wants[random_below(&seed, world->n_ports)] = random_below(&seed, 1500);
			for (uint16_t worker = 0; worker < world->n_workers; worker++)
				hot[worker] = asked_of(world, worker) > 800 ? hot[worker] + 1 : 0;
			if (!pass(world))
				continue;
			assert_true(hot[world->move.from] >= PV_REBALANCE_LOOKS);
			assert_true(world->loads.movable[world->move.port]);
			assert_true(world->now_s >= moved_s[world->move.port] + PV_REBALANCE_STAY_S);
			moved_s[world->move.port] = world->now_s;
		}
		moves += world->moves;
		free(world);
	}
	assert_true(moves > 300);
}

/* --- the move itself ---------------------------------------------------------------------------------------------- */

#define PORTS 4
#define WORKERS 2
#define WINDOW 200 /* frames of a guest under way: no ring or mailbox is ever full */
#define MOVES 1500
#define DEADLINE_S 60
#define FOREVER_US 1000000000u /* no test lives to see the end of it */

static const char *const macs[PORTS] = { "52:54:00:00:00:00", "52:54:00:00:00:01", "52:54:00:00:00:02",
					 "52:54:00:00:00:03" };
static const char *const way_names[] = { "poll", "signal-mask", "user-mask" };

static _Atomic uint32_t wrong[PORTS]; /* by port: frames that were not those that were to come */

static uint16_t
next_guest(uint16_t from, uint64_t number)
{
	return (from + 1) % PORTS;
}

static uint16_t
give_numbered(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint64_t expected = counting_guests[port->id].received;

	for (uint16_t i = 0; i < count; i++)
		wrong[port->id] += counting_number(packets[i]) != expected++;
	return counting_give(port, queue, packets, count);
}

static const struct pv_port_ops guest_ops = {
	.rx_burst = counting_take,
	.tx_burst = give_numbered,
	.listen = counting_listen,
};

static int
open_guest(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	counting_begin(port, next_guest);
	wrong[port->id] = 0;
	port->ops = &guest_ops;
	return 0;
}

static const struct pv_port_type guest_type = {
	.name = "numbering",
	.summary = "makes and checks numbered frames",
	.open = open_guest,
	.start = counting_start,
	.close = counting_close,
};

static struct testbed *
start(const struct pv_stage *stage, enum pv_critical_way way)
{
	struct testbed *testbed =
		testbed_new(&(struct testbed_setup){ .ports = PORTS,
						     .workers = WORKERS,
						     .type = &guest_type,
						     .stages = { stage },
						     .macs = { macs[0], macs[1], macs[2], macs[3] } });
	struct pv_datapath *datapath;

	assert_non_null(testbed);
	datapath = testbed_datapath(testbed);
	assert_int_equal(pv_datapath_start(datapath), 0);
	pv_hold_workers(datapath);
	if (way != PV_CRITICAL_POLL)
		assert_int_equal(pv_events_install(), 0);
	datapath->critical = way;
	pv_release_workers(datapath);
	return testbed;
}

static void
offer_more(struct pv_datapath *datapath)
{
	for (uint16_t i = 0; i < PORTS; i++) {
		uint64_t there = counting_guests[i].offered - counting_guests[(i + 1) % PORTS].received;

		if (there >= WINDOW)
			continue;
		counting_guests[i].offered += WINDOW - there;
		if (counting_guests[i].wants_kicks)
			datapath->ports[i]->wake(datapath->ports[i], 0);
	}
}

static bool
is_all_received(void)
{
	for (uint16_t i = 0; i < PORTS; i++)
		if (counting_guests[(i + 1) % PORTS].received < counting_guests[i].offered)
			return false;
	return true;
}

static void
wait_until_all_is_received(void)
{
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += DEADLINE_S;
	while (!is_all_received()) {
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			fail_msg("frames are lost, or a worker does not know of them");
	}
}

static void
finish(struct testbed *testbed)
{
	wait_until_all_is_received();
	assert_int_equal(testbed_all_drops(testbed), 0);
	for (uint16_t i = 0; i < PORTS; i++)
		assert_int_equal(wrong[i], 0);
	testbed_free(testbed);
}

static void
move_about(const struct pv_stage *stage, enum pv_critical_way way)
{
	struct testbed *testbed = start(stage, way);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	uint64_t before = 0;
	uint32_t seed = 3;

	for (uint32_t i = 0; i < MOVES; i++) {
		struct pv_port *port = datapath->ports[random_below(&seed, PORTS)];
		uint16_t from = port->owner[0];

		offer_more(datapath);
		pv_rebalance_move(datapath, port, from, 1 - from);
		assert_int_equal(port->owner[0], 1 - from);
		if (i % 16 != 0)
			continue;
		while (counting_guests[0].received == before) /* every now and then it is a worker's turn */
			sched_yield();
		before = counting_guests[0].received;
	}
	assert_int_equal(datapath->rebalance.moved_in[0] + datapath->rebalance.moved_in[1], MOVES);
	assert_int_equal(datapath->rebalance.moved_in[0], datapath->rebalance.moved_out[1]);
	finish(testbed);
}

static void
no_frame_is_lost_or_overtaken_by_a_move(void **state)
{
	for (enum pv_critical_way way = PV_CRITICAL_POLL; way <= PV_CRITICAL_MASK; way++) {
		print_message("%s\n", way_names[way]);
		move_about(NULL, way);
	}
}

static void
no_frame_of_a_context_is_lost_or_overtaken_by_a_move(void **state)
{
	move_about(pv_stage_find("multi-context-demux"), PV_CRITICAL_POLL);
}

/* --- looking at a data path --------------------------------------------------------------------------------------- */

/* What a second of so much load leaves in the counters. */
static void
spend_second(struct pv_worker *worker, uint32_t busy_permille)
{
	worker->counters.busy_cycles += busy_permille * CYCLES;
	worker->counters.idle_cycles += (1000 - busy_permille) * CYCLES;
	for (uint16_t i = 0; i < worker->n_queues; i++)
		worker->ports[worker->queues[i].port->id].rx_cycles += busy_permille * CYCLES / 4;
}

static struct testbed *
new_skewed_testbed(const struct pv_stage *stage, uint32_t wires)
{
	struct testbed *testbed = testbed_new(
		&(struct testbed_setup){ .ports = PORTS, .workers = 2, .wires = wires, .stages = { stage } });

	assert_non_null(testbed);
	return testbed;
}

static bool
look_twice(struct pv_datapath *datapath)
{
	uint64_t before = datapath->rebalance.moved_out[0];

	for (int i = 0; i < 2; i++) {
		spend_second(datapath->workers[0], 950);
		spend_second(datapath->workers[1], 50);
		pv_rebalance(datapath);
	}
	return datapath->rebalance.moved_out[0] > before;
}

static void
assert_moves(const struct pv_datapath *datapath, uint16_t worker, json_int_t in, json_int_t out)
{
	json_t *report = pv_report_workers(datapath);
	json_t *moves = json_object_get(json_array_get(json_object_get(report, "workers"), worker), "moves");

	assert_int_equal(json_integer_value(json_object_get(moves, "in")), in);
	assert_int_equal(json_integer_value(json_object_get(moves, "out")), out);
	json_decref(report);
}

static void
a_context_of_a_data_path_moves_with_its_queues(void **state)
{
	struct testbed *testbed = new_skewed_testbed(pv_stage_find("multi-context-demux"), 0);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	assert_int_equal(datapath->workers[0]->n_queues, 2);
	assert_true(look_twice(datapath));
	assert_int_equal(datapath->ports[0]->owner[0], 1);
	assert_int_equal(datapath->workers[0]->n_queues, 1);
	assert_int_equal(datapath->workers[1]->n_queues, 3);
	assert_int_equal(datapath->workers[0]->route[0].count, 0);
	assert_int_equal(datapath->workers[1]->route[0].count, 1);
	assert_moves(datapath, 0, 0, 1);
	assert_moves(datapath, 1, 1, 0);
	testbed_free(testbed);
}

static void
contexts_stay_where_they_are_when_the_stage_says_so_or_is_not_there(void **state)
{
	struct testbed *testbed = new_skewed_testbed(pv_stage_find("multi-context-demux"), 0);

	testbed_datapath(testbed)->contexts.rebalance = false;
	assert_false(look_twice(testbed_datapath(testbed)));
	testbed_free(testbed);
	testbed = new_skewed_testbed(NULL, 0);
	assert_false(look_twice(testbed_datapath(testbed)));
	testbed_free(testbed);
}

static void
wires_and_ports_that_are_down_or_removed_stay(void **state)
{
	struct testbed *testbed = new_skewed_testbed(pv_stage_find("multi-context-demux"), 1);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_port *removed = datapath->ports[1];

	datapath->ports[2]->up = false;
	datapath->ports[1] = NULL;
	assert_false(look_twice(datapath));
	datapath->ports[2]->up = true;
	assert_true(look_twice(datapath));
	assert_int_equal(datapath->ports[2]->owner[0], 1);
	datapath->ports[1] = removed;
	testbed_free(testbed);
}

static void
drops_of_a_port_that_moved_are_counted_once(void **state)
{
	struct testbed *testbed = new_skewed_testbed(pv_stage_find("multi-context-demux"), 0);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_port *port = datapath->ports[0];

	port->count_drop(port, 0, PV_DROP_RING_FULL, 3);
	pv_rebalance_move(datapath, port, 0, 1);
	port->count_drop(port, 0, PV_DROP_RING_FULL, 4);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_RING_FULL), 7);
	assert_int_equal(datapath->workers[1]->ports[0].drops[PV_DROP_RING_FULL], 4);
	testbed_free(testbed);
}

/* The lengths of frames are their numbers. */
static void
what_waits_for_a_full_queue_moves_along_in_order(void **state)
{
	struct testbed *testbed =
		testbed_new(&(struct testbed_setup){ .ports = PORTS,
						     .workers = 2,
						     .stages = { pv_stage_find("multi-context-demux") },
						     .macs = { macs[0], macs[1], macs[2], macs[3] } });
	struct pv_datapath *datapath = testbed_datapath(testbed);

	for (uint16_t i = 0; i < 2; i++) {
		datapath->contexts.hold_us = FOREVER_US;
		pv_backlog_choose(datapath->workers[i]);
	}
	testbed_limit(testbed, 1, 0);
	for (uint32_t i = 0; i < 20; i++)
		testbed_inject(testbed, 0, 0, macs[1], macs[0], 60 + i);
	testbed_run(testbed, 3);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(pv_backlog_waiting_of(datapath->workers[1], 0), 20);
	pv_rebalance_move(datapath, datapath->ports[1], 1, 0);
	assert_int_equal(pv_backlog_waiting_of(datapath->workers[1], 0), 0);
	assert_int_equal(pv_backlog_waiting_of(datapath->workers[0], 0), 20);
	testbed_limit(testbed, 1, 1000);
	for (uint32_t i = 20; i < 40; i++)
		testbed_inject(testbed, 0, 0, macs[1], macs[0], 60 + i);
	for (int i = 0; i < 4; i++) {
		testbed_run(testbed, 1);
		pv_backlog_run(datapath->workers[0]);
	}
	assert_int_equal(testbed_sent(testbed, 1), 40);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(rte_pktmbuf_pkt_len(testbed_packet(testbed, 1, i)), 60 + i);
	testbed_free(testbed);
}

static void
kicks_are_told_to_the_worker_that_a_context_moved_to(void **state)
{
	struct testbed *testbed = new_skewed_testbed(pv_stage_find("multi-context-demux"), 0);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_port *port = datapath->ports[0];
	int kick = eventfd(0, EFD_CLOEXEC);

	port->watch(port, 0, kick);
	pv_rebalance_move(datapath, port, 0, 1);
	assert_int_equal(eventfd_write(kick, 1), 0);
	assert_int_equal(pv_relay_wait(datapath->relay, 0, 0), 0);
	assert_int_equal(pv_relay_wait(datapath->relay, 1, 0), 1);
	port->watch(port, 0, -1);
	close(kick);
	testbed_free(testbed);
}

static int
start_eal(void **state)
{
	testbed_start_eal();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_context_moves_when_its_worker_was_hot_in_two_looks),
		cmocka_unit_test(a_look_in_between_that_is_not_hot_begins_anew),
		cmocka_unit_test(a_worker_that_gave_a_context_away_is_looked_at_twice_again),
		cmocka_unit_test(what_is_balanced_stays),
		cmocka_unit_test(a_worker_that_is_busy_for_no_more_than_the_limit_keeps_its_contexts),
		cmocka_unit_test(a_context_that_is_all_the_load_there_is_stays),
		cmocka_unit_test(the_move_that_leaves_the_two_most_alike_is_made),
		cmocka_unit_test(a_context_that_moved_stays_for_a_while),
		cmocka_unit_test(wires_stay),
		cmocka_unit_test(a_context_does_not_go_to_where_other_queue_pairs_of_it_are),
		cmocka_unit_test(nothing_goes_to_a_worker_that_nothing_is_known_of),
		cmocka_unit_test(a_worker_that_cannot_be_helped_does_not_keep_others_from_it),
		cmocka_unit_test(constant_loads_come_to_rest),
		cmocka_unit_test(loads_that_change_all_the_time_move_a_context_no_more_than_it_may),
		cmocka_unit_test(no_frame_is_lost_or_overtaken_by_a_move),
		cmocka_unit_test(no_frame_of_a_context_is_lost_or_overtaken_by_a_move),
		cmocka_unit_test(a_context_of_a_data_path_moves_with_its_queues),
		cmocka_unit_test(contexts_stay_where_they_are_when_the_stage_says_so_or_is_not_there),
		cmocka_unit_test(wires_and_ports_that_are_down_or_removed_stay),
		cmocka_unit_test(drops_of_a_port_that_moved_are_counted_once),
		cmocka_unit_test(what_waits_for_a_full_queue_moves_along_in_order),
		cmocka_unit_test(kicks_are_told_to_the_worker_that_a_context_moved_to),
	};

	return cmocka_run_group_tests_name("rebalance", tests, start_eal, NULL);
}
