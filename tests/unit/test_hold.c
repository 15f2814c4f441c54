/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers on threads of their own, held and released while packets go from each to the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/critical.h"
#include "counting.h"
#include "testbed.h"

#define PORTS 4
#define WORKERS 2
#define TURNS 1500 /* of each way */
#define DEADLINE_S 60

static const char *const way_names[] = { "poll", "signal-mask", "user-mask" };

/* By port: bursts in which a thread that takes it away would not have been waited for. */
static _Atomic uint32_t unguarded[PORTS];

/* To all others in turn, and now and then to all. */
static uint16_t
receiver_of(uint16_t from, uint64_t number)
{
	return number % 16 == 0 ? COUNTING_ALL : (from + 1 + number % (PORTS - 1)) % PORTS;
}

/* Whether somebody who takes the port away now would have to wait: this burst is in a worker's hands. */
static void
check_guarded(const struct pv_port *port)
{
	const struct pv_datapath *datapath = port->framework;
	uint64_t token = rte_rcu_qsbr_start(datapath->qsbr);

	if (rte_rcu_qsbr_check(datapath->qsbr, token, false) != 0)
		unguarded[port->id]++;
}

static uint16_t
give_guarded(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	check_guarded(port);
	return counting_give(port, queue, packets, count);
}

static const struct pv_port_ops guest_ops = {
	.rx_burst = counting_take,
	.tx_burst = give_guarded,
	.listen = counting_listen,
};
static const struct pv_port_ops device_ops = { .rx_burst = counting_take, .tx_burst = give_guarded };

/* The last port cannot say when it has frames. */
static int
open_guest(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	counting_begin(port, receiver_of);
	unguarded[port->id] = 0;
	port->ops = port->id + 1 < PORTS ? &guest_ops : &device_ops;
	return 0;
}

static const struct pv_port_type guest_type = {
	.name = "counting",
	.summary = "makes and counts frames",
	.open = open_guest,
	.start = counting_start,
	.close = counting_close,
};

/* A stage that holds what it is given until the end of the round. */
struct holder {
	struct rte_mbuf *held[64];
};

static void
let_go(struct pv_stage_self *self, struct pv_run *run)
{
	const struct holder *holder = self->state;

	for (uint32_t i = 0; i < self->held; i++)
		pv_emit(run, holder->held[i]);
	self->held = 0;
}

static void
hold(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct holder *holder = self->state;

	for (uint16_t i = 0; i < count; i++) {
		if (self->held == RTE_DIM(holder->held))
			let_go(self, run);
		holder->held[self->held++] = packets[i];
	}
}

static void
free_held(struct pv_stage_self *self)
{
	struct holder *holder = self->state;

	rte_pktmbuf_free_bulk(holder->held, self->held);
}

#define HOLDING(where, bit)                                                                              \
	{                                                                                                \
		.name = where, .summary = "holds", .source = "test", .hooks = bit,                       \
		.state_size = sizeof(struct holder), .process = hold, .flush = let_go, .fini = free_held \
	}
static const struct pv_stage holding_in = HOLDING("holding-in", PV_HOOK_BIT(PV_HOOK_FROM_GUEST));
static const struct pv_stage holding_out = HOLDING("holding-out", PV_HOOK_BIT(PV_HOOK_TO_GUEST));

static void
offer(struct pv_port *port, uint64_t frames)
{
	struct counting_guest *guest = &counting_guests[port->id];

	guest->offered += frames;
	if (guest->wants_kicks)
		port->wake(port, 0);
}

/* Takes the workers over to another way, while they are held or do not run. */
static void
choose_way(struct pv_datapath *datapath, enum pv_critical_way way)
{
	if (way != PV_CRITICAL_POLL)
		assert_int_equal(pv_events_install(), 0);
	datapath->critical = way;
}

static struct testbed *
start(enum pv_critical_way way)
{
	struct testbed *testbed = testbed_new(&(struct testbed_setup){
		.ports = PORTS, .workers = WORKERS, .type = &guest_type, .stages = { &holding_in, &holding_out } });

	assert_non_null(testbed);
	assert_int_equal(pv_datapath_start(testbed_datapath(testbed)), 0);
	pv_hold_workers(testbed_datapath(testbed));
	choose_way(testbed_datapath(testbed), way);
	pv_release_workers(testbed_datapath(testbed));
	return testbed;
}

/* --- what must be so ---------------------------------------------------------------------------------------------- */

struct sums {
	uint64_t in, out; /* and what was flooded is in, what was dropped is out */
};

static struct sums
add_up(struct testbed *testbed)
{
	const struct pv_datapath *datapath = testbed_datapath(testbed);
	struct sums sums = { .out = testbed_all_drops(testbed) };

	for (uint16_t i = 0; i < PORTS; i++) {
		sums.in += counting_guests[i].taken;
		sums.out += counting_guests[i].received;
	}
	for (uint16_t i = 0; i < WORKERS; i++)
		sums.in += datapath->workers[i]->counters.flooded;
	return sums;
}

static void
check_worker_is_empty(const struct pv_worker *worker)
{
	for (uint16_t i = 0; i < WORKERS; i++)
		assert_true(worker->mailbox[i] == NULL || rte_ring_empty(worker->mailbox[i]));
	for (uint16_t i = 0; i < worker->packet_stages.n; i++)
		assert_int_equal(worker->packet_stages.stages[i].held, 0);
	assert_int_equal(worker->egress.n_touched + worker->send.n_touched + worker->hand.n_touched, 0);
}

static void
check_nothing_is_on_its_way(struct testbed *testbed)
{
	const struct pv_datapath *datapath = testbed_datapath(testbed);
	struct sums sums = add_up(testbed);

	for (uint16_t i = 0; i < WORKERS; i++)
		check_worker_is_empty(datapath->workers[i]);
	assert_int_equal(rte_mempool_in_use_count(datapath->pool), 0);
	assert_int_equal(sums.in, sums.out);
}

static bool
is_all_delivered(struct testbed *testbed)
{
	struct sums sums = add_up(testbed);

	for (uint16_t i = 0; i < PORTS; i++)
		if (counting_guests[i].taken < counting_guests[i].offered)
			return false;
	return sums.in == sums.out;
}

/* However often workers were held, every event is known to who it is for. */
static void
wait_until_all_is_delivered(struct testbed *testbed)
{
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += DEADLINE_S;
	while (!is_all_delivered(testbed)) {
		sched_yield();
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			fail_msg("a worker does not know that there are frames, in a port or a mailbox");
	}
}

static void
finish(struct testbed *testbed)
{
	struct pv_datapath *datapath = testbed_datapath(testbed);

	wait_until_all_is_delivered(testbed);
	pv_hold_workers(datapath);
	check_nothing_is_on_its_way(testbed);
	for (uint16_t i = 0; i < PORTS; i++)
		assert_int_equal(unguarded[i], 0);
	pv_release_workers(datapath);
	testbed_free(testbed);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

static void
nothing_is_on_its_way_while_workers_are_held(void **state)
{
	for (enum pv_critical_way way = PV_CRITICAL_POLL; way <= PV_CRITICAL_MASK; way++) {
		struct testbed *testbed = start(way);
		struct pv_datapath *datapath = testbed_datapath(testbed);

		print_message("%s\n", way_names[way]);
		for (uint32_t turn = 0; turn < TURNS; turn++) {
			offer(datapath->ports[turn % PORTS], 1 + turn % 200);
			pv_hold_workers(datapath);
			check_nothing_is_on_its_way(testbed);
			pv_release_workers(datapath);
		}
		wait_until_all_is_delivered(testbed); /* it may be the first time that a worker gets a CPU */
		assert_true(datapath->workers[0]->counters.handed_over > 0);
		finish(testbed);
	}
}

/* A worker may not even notice that it was released. */
static void
workers_are_held_again_at_once(void **state)
{
	for (enum pv_critical_way way = PV_CRITICAL_POLL; way <= PV_CRITICAL_MASK; way++) {
		struct testbed *testbed = start(way);
		struct pv_datapath *datapath = testbed_datapath(testbed);
		uint32_t before = datapath->hold.times;

		pv_hold_workers(datapath);
		for (uint32_t turn = 0; turn < TURNS; turn++) {
			offer(datapath->ports[turn % PORTS], 1 + turn % 200);
			pv_release_workers(datapath);
			pv_hold_workers(datapath);
			check_nothing_is_on_its_way(testbed);
		}
		pv_release_workers(datapath);
		assert_int_equal(datapath->hold.times, before + TURNS + 1);
		finish(testbed);
	}
}

static void
nothing_moves_while_workers_are_held(void **state)
{
	for (enum pv_critical_way way = PV_CRITICAL_POLL; way <= PV_CRITICAL_MASK; way++) {
		struct testbed *testbed = start(way);
		struct pv_datapath *datapath = testbed_datapath(testbed);

		for (uint32_t turn = 0; turn < 100; turn++) {
			struct sums before;

			pv_hold_workers(datapath);
			before = add_up(testbed);
			for (uint16_t i = 0; i < PORTS; i++)
				offer(datapath->ports[i], 10);
			pv_watchdog_look(datapath); /* signals wake nobody */
			for (int i = 0; i < 10; i++)
				sched_yield();
			assert_int_equal(add_up(testbed).in, before.in);
			pv_release_workers(datapath);
		}
		finish(testbed);
	}
}

/* What comes in one way is taken in the other. */
static void
workers_go_over_to_another_way(void **state)
{
	struct testbed *testbed = start(PV_CRITICAL_POLL);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	for (uint32_t turn = 0; turn < TURNS; turn++) {
		for (uint16_t i = 0; i < PORTS; i++)
			offer(datapath->ports[i], turn % 50);
		pv_hold_workers(datapath);
		check_nothing_is_on_its_way(testbed);
		choose_way(datapath, (turn * 7 + turn / 3) % 3);
		pv_release_workers(datapath);
		if (turn % 10 == 0)
			wait_until_all_is_delivered(testbed);
	}
	finish(testbed);
}

/* The thread of the guests' messages. */
struct messages {
	struct pv_datapath *datapath;
	_Atomic bool end;
	uint32_t times;
};

static void *
take_ports_away(void *argument)
{
	struct messages *messages = argument;

	while (!messages->end) {
		struct pv_port *port = messages->datapath->ports[messages->times % PORTS];

		port->set_up(port, false);
		port->set_up(port, true);
		messages->times++;
	}
	return NULL;
}

static void
ports_come_and_go_while_workers_are_held(void **state)
{
	for (enum pv_critical_way way = PV_CRITICAL_POLL; way <= PV_CRITICAL_MASK; way++) {
		struct testbed *testbed = start(way);
		struct pv_datapath *datapath = testbed_datapath(testbed);
		struct messages messages = { .datapath = datapath };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, take_ports_away, &messages), 0);
		for (uint32_t turn = 0; turn < TURNS || messages.times < PORTS; turn++) {
			offer(datapath->ports[turn % PORTS], 1 + turn % 100);
			pv_hold_workers(datapath);
			check_nothing_is_on_its_way(testbed);
			pv_release_workers(datapath);
		}
		messages.end = true;
		pthread_join(thread, NULL);
		finish(testbed);
	}
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
		cmocka_unit_test(nothing_is_on_its_way_while_workers_are_held),
		cmocka_unit_test(workers_are_held_again_at_once),
		cmocka_unit_test(nothing_moves_while_workers_are_held),
		cmocka_unit_test(workers_go_over_to_another_way),
		cmocka_unit_test(ports_come_and_go_while_workers_are_held),
	};

	return cmocka_run_group_tests_name("hold", tests, start_eal, NULL);
}
