/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers with contexts, on threads of their own, beside guests that kick only when they are asked to. Guests make
 * frames available at any moment, so that contexts become idle and come back, and workers fall asleep and get up, all
 * the time; every frame must arrive. One port cannot say when it has frames, and has to be polled.
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
#include "core/turns.h"
#include "counting.h"
#include "testbed.h"

#define PORTS 5
#define MUTE (PORTS - 1) /* the port that cannot say when it has frames */
#define OFFERS 20000
#define DEADLINE_S 60

/* How a guest kicks, by port. */
static struct {
	uint64_t times;
	int fd; /* eventfd */
} kick[PORTS];

static uint16_t
others_in_turn(uint16_t from, uint64_t number)
{
	return (from + 1 + number % (PORTS - 1)) % PORTS;
}

/* A queue of 32 that takes what it has room for now and then: what it does not take is the backlog's. */
static uint16_t
give_frames(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t taken = RTE_MIN(count, (uint16_t)(rte_rdtsc() % 33));

	return counting_give(port, queue, packets, taken);
}

static const struct pv_port_ops guest_ops = {
	.rx_burst = counting_take,
	.tx_burst = give_frames,
	.listen = counting_listen,
};
static const struct pv_port_ops mute_ops = { .rx_burst = counting_take, .tx_burst = give_frames };

static int
open_guest(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	counting_begin(port, others_in_turn);
	port->ops = port->id == MUTE ? &mute_ops : &guest_ops;
	port->tells = port->id != MUTE;
	kick[port->id].times = 0;
	kick[port->id].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return 0;
}

static int
start_guest(struct pv_port *port)
{
	if (port->tells)
		port->watch(port, 0, kick[port->id].fd);
	return counting_start(port);
}

static void
close_guest(struct pv_port *port)
{
	port->watch(port, 0, -1);
	close(kick[port->id].fd);
}

static const struct pv_port_type guest_type = {
	.name = "kicking",
	.summary = "makes and counts frames, and kicks",
	.open = open_guest,
	.start = start_guest,
	.close = close_guest,
};

/* The guest's side: as with an event index, it looks whether it has to kick after it has made frames available. */
static void
offer(uint16_t port, uint32_t frames)
{
	struct counting_guest *guest = &counting_guests[port];

	guest->offered += frames;
	if (!guest->wants_kicks)
		return;
	kick[port].times++;
	eventfd_write(kick[port].fd, 1);
}

static struct testbed *
make_type(const struct pv_port_type *type, uint16_t workers, uint32_t idle_us, bool mute)
{
	struct testbed_setup setup = { .ports = PORTS, .workers = workers, .type = type };
	struct testbed *testbed;

	setup.stages[0] = pv_stage_find("multi-context-demux");
	for (uint16_t i = 0; i < PORTS; i++) {
		static char macs[PORTS][18];

		pv_mac_format((uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)i }, macs[i]);
		setup.macs[i] = macs[i];
	}
	testbed = testbed_new(&setup);
	assert_non_null(testbed);
	testbed_datapath(testbed)->contexts.idle_us = idle_us;
	testbed_port(testbed, MUTE)->tells = !mute;
	for (uint16_t i = 0; i < PORTS; i++)
		testbed_port(testbed, i)->weight = 1;
	return testbed;
}

static struct testbed *
start_type(const struct pv_port_type *type, uint16_t workers, uint32_t idle_us, bool mute)
{
	struct testbed *testbed = make_type(type, workers, idle_us, mute);

	assert_int_equal(pv_datapath_start(testbed_datapath(testbed)), 0);
	return testbed;
}

static struct testbed *
start(uint16_t workers, uint32_t idle_us, bool mute)
{
	return start_type(&guest_type, workers, idle_us, mute);
}

static uint64_t
sum_received(const struct testbed *testbed)
{
	uint64_t sum = testbed_all_drops((struct testbed *)(uintptr_t)testbed);

	for (uint16_t i = 0; i < PORTS; i++)
		sum += counting_guests[i].received;
	return sum;
}

static void
wait_until_received(const struct testbed *testbed, uint64_t frames)
{
	time_t end = time(NULL) + DEADLINE_S;

	while (sum_received(testbed) < frames) {
		sched_yield();
		if (time(NULL) > end)
			fail_msg("%lu of %lu frames are not there: nobody knows of them",
				 (unsigned long)(frames - sum_received(testbed)), (unsigned long)frames);
	}
}

/* From nothing to some time in which contexts, and workers, have become idle. */
static void
pause_for_a_moment(unsigned int *seed)
{
	const struct timespec moment = { .tv_nsec = (long)(rand_r(seed) % 100) * 1000 };

	if (rand_r(seed) % 4 == 0)
		nanosleep(&moment, NULL);
}

static uint64_t
send_at_random(struct testbed *testbed, uint32_t offers, uint16_t ports)
{
	unsigned int seed = 1;
	uint64_t frames = 0;

	for (uint32_t i = 0; i < offers; i++) {
		uint32_t some = 1 + (uint32_t)rand_r(&seed) % 3;

		offer((uint16_t)(rand_r(&seed) % ports), some);
		frames += some;
		pause_for_a_moment(&seed);
		if (i % 8 == 0)
			wait_until_received(testbed, frames);
	}
	wait_until_received(testbed, frames);
	return frames;
}

static void
check_turns(const struct testbed *testbed, uint16_t workers)
{
	const struct pv_datapath *datapath = testbed_datapath((struct testbed *)(uintptr_t)testbed);

	for (uint16_t i = 0; i < PORTS - 1; i++) {
		const struct pv_turn *turn = &datapath->workers[i % workers]->turns->turn[i];

		assert_true(turn->counters.turns > 0);
		assert_true(turn->counters.idled > 0);
		assert_true(turn->counters.rung > 0);
		assert_true(kick[i].times > 0);
	}
}

static json_int_t
number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static uint64_t
sum_turns(const struct pv_worker *worker)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < PORTS; i++)
		sum += worker->turns->turn[i].counters.turns;
	return sum;
}

/* What is said of a worker is what it has counted. The workers are held. */
static void
check_report(const struct testbed *testbed, uint16_t workers)
{
	const struct pv_datapath *datapath = testbed_datapath((struct testbed *)(uintptr_t)testbed);
	json_t *report = pv_report_workers(datapath);

	for (uint16_t i = 0; i < workers; i++) {
		const struct pv_worker *worker = datapath->workers[i];
		const json_t *contexts =
			json_object_get(json_array_get(json_object_get(report, "workers"), i), "contexts");
		const json_t *backlog = json_object_get(contexts, "backlog");

		assert_int_equal(number(contexts, "turns"), sum_turns(worker));
		assert_true(number(contexts, "kicks") > 0);
		assert_int_equal(number(contexts, "active"), worker->turns->n_active);
		assert_true(number(backlog, "kept") > 0);
		assert_int_equal(number(backlog, "kept"), worker->backlog->counters.kept);
		assert_int_equal(number(backlog, "waiting"), 0);
		assert_int_equal(number(json_object_get(contexts, "interrupts"), "calls"), 0); /* no virtio here */
	}
	json_decref(report);
}

static void
run_case(uint16_t workers, uint32_t idle_us)
{
	struct testbed *testbed = start(workers, idle_us, true);

	send_at_random(testbed, OFFERS, PORTS);
	check_turns(testbed, workers);
	pv_hold_workers(testbed_datapath(testbed));
	check_report(testbed, workers);
	pv_release_workers(testbed_datapath(testbed));
	assert_int_equal(testbed_all_drops(testbed), 0);
	testbed_free(testbed);
}

static void
no_frame_is_forgotten_when_contexts_become_idle_at_once(void **state)
{
	run_case(1, 0);
}

static void
no_frame_is_forgotten_when_contexts_become_idle_after_a_while(void **state)
{
	run_case(1, 20);
}

static void
no_frame_is_forgotten_between_two_workers(void **state)
{
	run_case(2, 0);
	run_case(2, 20);
}

/* Where all can say when they have frames, a worker sleeps, and does nothing until it is told. */
static void
a_worker_sleeps_when_all_are_idle(void **state)
{
	struct testbed *testbed = start(1, 20, false);
	const struct pv_worker *worker = testbed_datapath(testbed)->workers[0];
	time_t end = time(NULL) + DEADLINE_S;
	uint64_t rounds, before;

	send_at_random(testbed, 100, MUTE);
	do {
		rounds = worker->counters.rounds;
		usleep(20000);
		assert_true(time(NULL) < end);
	} while (worker->counters.sleeps == 0 || worker->turns->n_active > 0 ||
		 worker->counters.rounds > rounds + 1); /* it gets up once a second */
	before = sum_received(testbed);
	offer(2, 7);
	wait_until_received(testbed, before + 7);
	testbed_free(testbed);
}

/* Who is held while it sleeps is there at once, and goes on with everybody. */
static void
workers_that_sleep_are_held(void **state)
{
	struct testbed *testbed = start(2, 0, false);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	uint64_t frames = 0;

	for (uint32_t i = 0; i < 500; i++) {
		pv_hold_workers(datapath);
		offer(i % MUTE, 1 + i % 100);
		frames += 1 + i % 100;
		pv_release_workers(datapath);
		if (i % 3 == 0)
			wait_until_received(testbed, frames);
	}
	wait_until_received(testbed, frames);
	testbed_free(testbed);
}

/* --- greedy guests ------------------------------------------------------------------------------------------------ */

enum { GREEDY, OTHER, GREEDY_QUEUES = 8 };

static struct {
	bool nonsense;		     /* the greedy guest makes chains available that are no frames */
	uint64_t enough;	     /* turns of the other, then both are done */
	uint64_t turns[2];	     /* of the two */
	uint32_t frames, frames_max; /* of the greedy one since the other was polled */
	_Atomic bool done;
} greed;

/* From the time on that both are there. */
static void
count_greed(const struct pv_port *port, uint16_t count)
{
	if (port->id == GREEDY && greed.turns[OTHER] == 0)
		return;
	greed.turns[port->id]++;
	greed.frames += port->id == GREEDY ? count : 0;
	if (port->id == GREEDY)
		return;
	greed.frames_max = RTE_MAX(greed.frames_max, greed.frames);
	greed.frames = 0;
	if (greed.turns[OTHER] == greed.enough)
		greed.done = true;
}

/* Each queue is full until it is done. */
static uint16_t
take_always(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = 0;

	if (greed.done)
		return 0;
	count_greed(port, count);
	if (port->id == GREEDY && greed.nonsense) {
		port->count_drop(port, queue, PV_DROP_BAD_CHAIN, count);
		return 0;
	}
	while (n < count && (packets[n] = counting_frame(port, n)) != NULL)
		n++;
	return n;
}

static int
open_greedy(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	static const struct pv_port_ops greedy = { .rx_burst = take_always, .tx_burst = counting_give };
	static const struct pv_port_ops quiet = { .rx_burst = counting_take, .tx_burst = counting_give };

	counting_begin(port, others_in_turn);
	port->ops = port->id <= OTHER ? &greedy : &quiet;
	port->queues = port->active_queues = port->id == GREEDY ? GREEDY_QUEUES : 1;
	return 0;
}

static const struct pv_port_type greedy_type = {
	.name = "greedy",
	.summary = "has always more",
	.open = open_greedy,
	.start = counting_start,
	.close = counting_close,
};

static void
run_greedy(bool nonsense)
{
	struct testbed *testbed;

	memset(&greed, 0, sizeof(greed));
	greed.nonsense = nonsense;
	greed.enough = 2000;
	testbed = start_type(&greedy_type, 1, 20, true);
	while (!greed.done || rte_mempool_in_use_count(testbed_datapath(testbed)->pool) > 0)
		sched_yield();
	testbed_free(testbed);
}

static void
a_turn_is_one_burst_however_many_queues_a_guest_has(void **state)
{
	run_greedy(false);
	assert_in_range(greed.frames_max, 1, 2 * PV_BURST_MAX); /* a pass, and another one when deficits are filled */
}

static void
chains_that_are_no_frames_are_not_free(void **state)
{
	run_greedy(true);
	assert_true(greed.turns[GREEDY] < greed.turns[OTHER] / 4);
}

/* Two workers poll queues of the guest. */
static void
a_limit_is_for_all_queues_of_a_guest_together(void **state)
{
	const uint32_t mbps = 80;
	struct testbed *testbed;
	struct pv_datapath *datapath;
	time_t end = time(NULL) + DEADLINE_S;
	uint64_t start_cycles, bytes;

	memset(&greed, 0, sizeof(greed));
	testbed = make_type(&greedy_type, 2, 20, true);
	datapath = testbed_datapath(testbed);
	pv_rate_init(&datapath->rates[GREEDY], mbps, rte_rdtsc());
	start_cycles = rte_rdtsc();
	assert_int_equal(pv_datapath_start(datapath), 0);
	for (uint16_t i = 0; i < 2; i++)
		while (*(volatile uint64_t *)&datapath->workers[i]->ports[GREEDY].rx_bytes == 0)
			assert_true(time(NULL) < end);
	usleep(100000);
	greed.done = true;
	bytes = datapath->workers[0]->ports[GREEDY].rx_bytes + datapath->workers[1]->ports[GREEDY].rx_bytes;
	assert_in_range(bytes, 1, 100000 + (rte_rdtsc() - start_cycles) * 1.2 * mbps * 125000 / rte_get_tsc_hz());
	while (rte_mempool_in_use_count(datapath->pool) > 0)
		sched_yield();
	testbed_free(testbed);
}

/* --- a queue pair that is not in use ------------------------------------------------------------------------------ */

static _Atomic bool kicks_wanted[2];	/* by queue pair */
static _Atomic uint32_t left_in_second; /* frames */

static uint16_t
take_of_second(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	if (queue == 1)
		left_in_second = 0; /* they are no good */
	return 0;
}

static bool
listen_to_queue(struct pv_port *port, uint16_t queue, bool wanted)
{
	kicks_wanted[queue] = wanted;
	return wanted && queue == 1 && left_in_second > 0;
}

static int
open_two_queues(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	static const struct pv_port_ops ops = { .rx_burst = take_of_second,
						.tx_burst = give_frames,
						.listen = listen_to_queue };

	port->ops = &ops;
	port->tells = true;
	port->queues = 2;
	return 0;
}

static const struct pv_port_type two_queues = {
	.name = "two-queues",
	.summary = "has two queue pairs, each at a worker",
	.open = open_two_queues,
	.start = counting_start,
	.close = counting_close,
};

/* A guest takes it into use by its control queue, which is another worker's; then its first frame has to be heard of.
 */
static void
kicks_of_a_queue_pair_that_is_not_in_use_are_wanted_and_what_is_in_it_keeps_nobody_awake(void **state)
{
	struct testbed_setup setup = { .ports = 1, .workers = 2, .type = &two_queues };
	struct pv_datapath *datapath;
	struct testbed *testbed;
	time_t end = time(NULL) + DEADLINE_S;

	left_in_second = 1;
	setup.stages[0] = pv_stage_find("multi-context-demux");
	testbed = testbed_new(&setup);
	assert_non_null(testbed);
	datapath = testbed_datapath(testbed);
	assert_int_equal(pv_datapath_start(datapath), 0);
	while (!kicks_wanted[0] || !kicks_wanted[1])
		assert_true(time(NULL) < end);
	testbed_port(testbed, 0)->active_queues = 2;
	testbed_port(testbed, 0)->wake(testbed_port(testbed, 0), 1);
	while (left_in_second > 0)
		assert_true(time(NULL) < end);
	testbed_free(testbed);
}

/* --- what is told of them ----------------------------------------------------------------------------------------- */

static void
assert_state(const struct pv_datapath *datapath, uint16_t context, const char *state)
{
	json_t *report = pv_report_contexts(datapath);
	const json_t *entry = json_array_get(json_object_get(report, "contexts"), context);

	assert_string_equal(json_string_value(json_object_get(entry, "state")), state);
	json_decref(report);
}

/* No worker runs. */
static void
a_context_is_active_at_any_of_its_workers_and_up_where_nobody_takes_turns(void **state)
{
	struct testbed_setup setup = { .ports = 1, .workers = 2, .type = &guest_type };
	struct pv_datapath *datapath;
	struct testbed *testbed;
	struct pv_port *port;

	setup.stages[0] = pv_stage_find("multi-context-demux");
	testbed = testbed_new(&setup);
	assert_non_null(testbed);
	datapath = testbed_datapath(testbed);
	port = testbed_port(testbed, 0);
	assert_state(datapath, 0, "down");
	port->up = true;
	assert_state(datapath, 0, "idle");
	port->queues = port->active_queues = 2;
	port->owner[1] = 1;
	pv_turns_activate(datapath->workers[1]->turns, 0, 0);
	assert_state(datapath, 0, "active");
	datapath->critical = PV_CRITICAL_MASK;
	assert_state(datapath, 0, "up");
	datapath->critical = PV_CRITICAL_POLL;
	port->queues = port->active_queues = 1;
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
		cmocka_unit_test(no_frame_is_forgotten_when_contexts_become_idle_at_once),
		cmocka_unit_test(no_frame_is_forgotten_when_contexts_become_idle_after_a_while),
		cmocka_unit_test(no_frame_is_forgotten_between_two_workers),
		cmocka_unit_test(a_worker_sleeps_when_all_are_idle),
		cmocka_unit_test(workers_that_sleep_are_held),
		cmocka_unit_test(a_turn_is_one_burst_however_many_queues_a_guest_has),
		cmocka_unit_test(a_limit_is_for_all_queues_of_a_guest_together),
		cmocka_unit_test(chains_that_are_no_frames_are_not_free),
		cmocka_unit_test(
			kicks_of_a_queue_pair_that_is_not_in_use_are_wanted_and_what_is_in_it_keeps_nobody_awake),
		cmocka_unit_test(a_context_is_active_at_any_of_its_workers_and_up_where_nobody_takes_turns),
	};

	return cmocka_run_group_tests(tests, start_eal, NULL);
}
