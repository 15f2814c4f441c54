/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules at a wire port, as contexts come, go, move and change their addresses, and as the device allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "testbed.h"

#define WIRE 0
#define WORKERS 2
#define RULES_MAX 256
#define KNOWN (1ULL << 48)

/* --- a device ------------------------------------------------------------------------------------------------------
 */

/* The rules of the wire, and how it takes them. */
static struct {
	struct {
		uint8_t mac[6];
		uint16_t vlan, queue;
	} rules[RULES_MAX];
	uint16_t n;
	uint16_t room;	       /* rules that it has place for */
	bool without_vlan;     /* takes no rules with one */
	int fails;	       /* what it says to every call then */
	int calls_until_fails; /* -1: it does not fail */
	uint32_t steers, unsteers;
} device;

static uint16_t guest_queues, wire_queues;
static uint32_t now_s;

static uint16_t
find_rule(const uint8_t mac[6], uint16_t vlan)
{
	uint16_t i = 0;

	while (i < device.n && (device.rules[i].vlan != vlan || memcmp(device.rules[i].mac, mac, 6) != 0))
		i++;
	return i;
}

static bool
is_broken(void)
{
	if (device.calls_until_fails > 0)
		device.calls_until_fails--;
	return device.calls_until_fails == 0;
}

static int
steer(struct pv_port *port, const uint8_t mac[6], uint16_t vlan, uint16_t queue)
{
	assert_int_equal(port->id, WIRE);
	assert_true(queue < port->queues);
	device.steers++;
	if (is_broken())
		return device.fails;
	if (device.without_vlan && vlan != 0)
		return -ENOTSUP;
	if (find_rule(mac, vlan) < device.n)
		return -EEXIST;
	if (device.n == device.room)
		return -ENOSPC;
	memcpy(device.rules[device.n].mac, mac, 6);
	device.rules[device.n].vlan = vlan;
	device.rules[device.n++].queue = queue;
	return 0;
}

static int
unsteer(struct pv_port *port, const uint8_t mac[6], uint16_t vlan)
{
	uint16_t i = find_rule(mac, vlan);

	assert_int_equal(port->id, WIRE);
	assert_true(i < device.n);
	device.unsteers++;
	if (is_broken())
		return device.fails;
	device.rules[i] = device.rules[--device.n];
	return 0;
}

static uint16_t
no_packets(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return 0;
}

static const struct pv_port_ops silent_ops = { .rx_burst = no_packets, .tx_burst = no_packets };

static int
open_silent(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	port->ops = &silent_ops;
	port->queues = port->id == WIRE ? wire_queues : guest_queues;
	port->active_queues = port->queues;
	port->up = true;
	return 0;
}

static void
close_silent(struct pv_port *port)
{
}

static const struct pv_port_type able = { .name = "able",
					  .summary = "takes rules",
					  .open = open_silent,
					  .close = close_silent,
					  .steer = steer,
					  .unsteer = unsteer };
static const struct pv_port_type unable = {
	.name = "unable", .summary = "takes none", .open = open_silent, .close = close_silent
};

/* --- what is looked at ---------------------------------------------------------------------------------------------
 */

static struct testbed *
begin_with(const struct pv_port_type *type, uint16_t ports, const struct pv_stage *stage, const char *mac)
{
	struct testbed *testbed = testbed_new(&(struct testbed_setup){ .ports = ports,
								       .workers = WORKERS,
								       .wires = 1u << WIRE,
								       .type = type,
								       .stages = { stage },
								       .macs = { NULL, mac } });

	assert_non_null(testbed);
	return testbed;
}

static struct testbed *
begin(uint16_t ports)
{
	return begin_with(&able, ports, pv_stage_find("multi-context-demux"), NULL);
}

/* As a context claims it: 52:54:00:00:xx:xx. */
static void
give_address(struct testbed *testbed, uint16_t port, uint16_t number)
{
	testbed_port(testbed, port)->address =
		KNOWN | 0x5452 | (uint64_t)(number >> 8) << 32 | (uint64_t)(number & 0xff) << 40;
}

static void
look(struct testbed *testbed)
{
	pv_steer(testbed_datapath(testbed), ++now_s);
}

/* The queue of the rule for an address; -1: there is none. */
static int
queue_of(uint16_t number, uint16_t vlan)
{
	const uint8_t mac[6] = { 0x52, 0x54, 0, 0, (uint8_t)(number >> 8), (uint8_t)number };
	uint16_t i = find_rule(mac, vlan);

	return i < device.n ? device.rules[i].queue : -1;
}

static void
assert_at_worker(struct testbed *testbed, uint16_t number, uint16_t vlan, uint16_t worker)
{
	int queue = queue_of(number, vlan);

	assert_true(queue >= 0);
	assert_int_equal(testbed_port(testbed, WIRE)->owner[queue], worker);
}

/* --- cases ---------------------------------------------------------------------------------------------------------
 */

static void
frames_for_a_context_arrive_where_it_is(void **state)
{
	struct testbed *testbed = begin(4);

	for (uint16_t i = 1; i < 4; i++)
		give_address(testbed, i, i);
	testbed_port(testbed, 3)->vlan = 30;
	look(testbed);
	assert_int_equal(device.n, 3);
	assert_at_worker(testbed, 1, 0, 1);
	assert_at_worker(testbed, 2, 0, 0);
	assert_at_worker(testbed, 3, 30, 1);
	look(testbed);
	assert_int_equal(device.steers, 3);
	testbed_free(testbed);
	assert_int_equal(device.n, 0);
}

static void
contexts_of_a_worker_share_its_queues(void **state)
{
	struct testbed *testbed = begin(9);
	uint32_t at[4] = { 0 };

	for (uint16_t i = 1; i < 9; i++)
		give_address(testbed, i, i);
	look(testbed);
	for (uint16_t i = 1; i < 9; i++)
		at[queue_of(i, 0)]++;
	for (uint16_t queue = 0; queue < 4; queue++)
		assert_true(at[queue] > 0);
	testbed_free(testbed);
}

static void
a_configured_address_counts_before_one_is_claimed(void **state)
{
	struct testbed *testbed = begin_with(&able, 2, pv_stage_find("multi-context-demux"), "52:54:00:00:00:aa");

	look(testbed);
	assert_at_worker(testbed, 0xaa, 0, 1);
	testbed_free(testbed);
}

static void
without_an_address_a_guest_or_contexts_there_is_no_rule(void **state)
{
	struct testbed *testbed = begin(3);

	look(testbed);
	testbed_port(testbed, 1)->address = KNOWN | 0xffffffffffff;
	testbed_port(testbed, 2)->address = KNOWN | 1; /* a group's */
	look(testbed);
	give_address(testbed, 1, 1);
	testbed_port(testbed, 1)->up = false;
	look(testbed);
	testbed_free(testbed);
	testbed = begin_with(&able, 3, NULL, NULL);
	give_address(testbed, 1, 1);
	look(testbed);
	testbed_free(testbed);
	testbed = begin_with(&unable, 3, pv_stage_find("multi-context-demux"), NULL);
	give_address(testbed, 1, 1);
	look(testbed);
	testbed_free(testbed);
	assert_int_equal(device.steers, 0);
}

static void
a_wire_with_one_queue_has_nothing_to_choose(void **state)
{
	struct testbed *testbed;

	wire_queues = 1;
	testbed = begin(3);
	give_address(testbed, 1, 1);
	look(testbed);
	assert_int_equal(device.steers, 0);
	testbed_free(testbed);
}

/* Its frames are spread, and each of its workers gets some. */
static void
a_context_of_several_workers_has_no_rule(void **state)
{
	struct testbed *testbed;

	guest_queues = 2;
	testbed = begin(3);
	give_address(testbed, 1, 1);
	look(testbed);
	assert_int_equal(device.n, 0);
	testbed_port(testbed, 1)->active_queues = 1;
	look(testbed);
	assert_at_worker(testbed, 1, 0, 1);
	testbed_free(testbed);
}

static void
a_rule_goes_with_its_guest_and_its_address(void **state)
{
	struct testbed *testbed = begin(4);

	for (uint16_t i = 1; i < 4; i++)
		give_address(testbed, i, i);
	look(testbed);
	testbed_port(testbed, 1)->up = false;
	testbed_port(testbed, 2)->address = 0;
	give_address(testbed, 3, 33);
	look(testbed);
	assert_int_equal(device.n, 1);
	assert_at_worker(testbed, 33, 0, 1);
	testbed_port(testbed, 1)->up = true;
	look(testbed);
	assert_at_worker(testbed, 1, 0, 1);
	testbed_free(testbed);
}

static void
a_rule_follows_a_context_that_moves(void **state)
{
	struct testbed *testbed = begin(3);
	struct pv_datapath *datapath = testbed_datapath(testbed);

	give_address(testbed, 1, 1);
	look(testbed);
	assert_at_worker(testbed, 1, 0, 1);
	for (uint16_t to = 0; to < 2; to++) {
		pv_rebalance_move(datapath, datapath->ports[1], 1 - to, to);
		look(testbed);
		assert_int_equal(device.n, 1);
		assert_at_worker(testbed, 1, 0, to);
	}
	testbed_free(testbed);
}

/* The device would not have both. */
static void
an_address_goes_from_one_context_to_another(void **state)
{
	struct testbed *testbed = begin(4);

	give_address(testbed, 3, 1);
	look(testbed);
	testbed_port(testbed, 3)->address = 0;
	give_address(testbed, 2, 1);
	look(testbed);
	assert_int_equal(device.n, 1);
	assert_at_worker(testbed, 1, 0, 0);
	testbed_free(testbed);
}

static void
rules_go_when_contexts_do(void **state)
{
	struct testbed *testbed = begin(3);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	const struct pv_multiplexing *contexts = datapath->multiplexing;
	const struct pv_multiplexing bridge = { .switch_burst = contexts->switch_burst };

	give_address(testbed, 1, 1);
	look(testbed);
	datapath->multiplexing = &bridge;
	look(testbed);
	assert_int_equal(device.n, 0);
	datapath->multiplexing = contexts;
	look(testbed);
	assert_int_equal(device.n, 1);
	testbed_free(testbed);
}

static void
ports_that_are_removed_take_their_rules_along(void **state)
{
	struct testbed *testbed = begin(4);
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_port *ports[] = { datapath->ports[0], datapath->ports[1] };

	for (uint16_t i = 1; i < 4; i++)
		give_address(testbed, i, i);
	look(testbed);
	pv_steering_forget(datapath, 1);
	datapath->ports[1] = NULL;
	assert_int_equal(device.n, 2);
	look(testbed);
	assert_int_equal(device.n, 2);
	pv_steering_forget(datapath, WIRE);
	datapath->ports[WIRE] = NULL;
	assert_int_equal(device.n, 0);
	pv_steering_forget(datapath, WIRE);
	look(testbed);
	assert_int_equal(device.n, 0);
	datapath->ports[0] = ports[0];
	datapath->ports[1] = ports[1];
	testbed_free(testbed);
}

/* --- devices that refuse, and fail ---------------------------------------------------------------------------------
 */

static void
a_device_without_a_kind_of_rules_is_asked_once(void **state)
{
	struct testbed *testbed = begin(8);

	device.without_vlan = true;
	for (uint16_t i = 1; i < 8; i++) {
		give_address(testbed, i, i);
		testbed_port(testbed, i)->vlan = i < 4 ? 0 : i;
	}
	for (int i = 0; i < 200; i++)
		look(testbed);
	assert_int_equal(device.n, 3);
	assert_int_equal(device.steers, 4);
	testbed_free(testbed);
}

static void
a_device_that_fails_at_the_first_rule_is_not_asked_again(void **state)
{
	struct testbed *testbed = begin(4);

	device.fails = -EEXIST;
	device.calls_until_fails = 1;
	for (uint16_t i = 1; i < 4; i++)
		give_address(testbed, i, i);
	for (int i = 0; i < 200; i++)
		look(testbed);
	assert_int_equal(device.steers, 1);
	testbed_free(testbed);
}

static void
a_rule_that_is_not_to_be_had_is_asked_for_again_after_a_while(void **state)
{
	struct testbed *testbed = begin(4);

	device.room = 2;
	for (uint16_t i = 1; i < 4; i++)
		give_address(testbed, i, i);
	for (int i = 0; i < PV_STEERING_AGAIN_S; i++)
		look(testbed);
	assert_int_equal(device.steers, 3);
	assert_int_equal(device.n, 2);
	look(testbed);
	assert_int_equal(device.steers, 4);
	device.room = 3;
	for (int i = 0; i < PV_STEERING_AGAIN_S; i++)
		look(testbed);
	assert_int_equal(device.n, 3);
	testbed_free(testbed);
}

/* Another rule is another matter. */
static void
a_context_that_was_refused_a_rule_gets_one_for_its_next_address(void **state)
{
	struct testbed *testbed = begin(3);

	device.room = 1;
	give_address(testbed, 2, 20);
	look(testbed);
	give_address(testbed, 1, 1);
	look(testbed);
	device.room = 2;
	look(testbed);
	assert_int_equal(device.n, 1);
	give_address(testbed, 1, 2);
	look(testbed);
	assert_at_worker(testbed, 2, 0, 1);
	testbed_free(testbed);
}

static void
a_device_that_fails_midway_keeps_what_it_has_and_gets_the_rest_later(void **state)
{
	for (int calls = 2; calls <= 6; calls++) {
		struct testbed *testbed = begin(7);

		device.fails = -EIO;
		device.calls_until_fails = calls;
		for (uint16_t i = 1; i < 7; i++)
			give_address(testbed, i, i);
		look(testbed);
		assert_int_equal(device.n, calls - 1);
		device.calls_until_fails = -1;
		for (int i = 0; i < PV_STEERING_AGAIN_S; i++)
			look(testbed);
		assert_int_equal(device.n, 6);
		testbed_free(testbed);
	}
}

/* Until then it is known, and nothing comes in its place. */
static void
a_rule_that_the_device_does_not_let_go_of_is_taken_away_later(void **state)
{
	struct testbed *testbed = begin(3);

	give_address(testbed, 1, 1);
	look(testbed);
	give_address(testbed, 1, 2);
	device.fails = -EIO;
	device.calls_until_fails = 1;
	look(testbed);
	look(testbed);
	assert_int_equal(device.unsteers, 2);
	assert_int_equal(device.steers, 1);
	device.calls_until_fails = -1;
	look(testbed);
	assert_int_equal(device.n, 1);
	assert_at_worker(testbed, 2, 0, 1);
	testbed_free(testbed);
}

/* --- guests that make work -----------------------------------------------------------------------------------------
 */

#define MANY 201

static uint32_t
calls(void)
{
	return device.steers + device.unsteers;
}

static void
a_look_makes_so_many_changes_and_the_next_goes_on(void **state)
{
	struct testbed *testbed = begin(MANY);

	for (uint16_t i = 1; i < MANY; i++)
		give_address(testbed, i, i);
	for (uint32_t i = 1; i <= 3; i++) {
		look(testbed);
		assert_int_equal(device.n, i * PV_STEERING_CHANGES);
	}
	look(testbed);
	assert_int_equal(device.n, MANY - 1);
	testbed_free(testbed);
}

static void
guests_that_change_their_addresses_all_the_time_do_not_keep_others_from_rules(void **state)
{
	struct testbed *testbed = begin(MANY);
	uint16_t quiet = MANY - 20;

	for (uint16_t i = quiet; i < MANY; i++)
		give_address(testbed, i, i);
	for (uint16_t second = 0; second < 30; second++) {
		uint32_t before = calls();

		for (uint16_t i = 1; i < quiet; i++)
			give_address(testbed, i, (uint16_t)(1000 + second * MANY + i));
		look(testbed);
		assert_true(calls() - before <= PV_STEERING_CHANGES);
	}
	for (uint16_t i = quiet; i < MANY; i++)
		assert_at_worker(testbed, i, 0, i % WORKERS);
	assert_true(device.n < MANY);
	testbed_free(testbed);
}

static int
begin_case(void **state)
{
	memset(&device, 0, sizeof(device));
	device.room = RULES_MAX;
	device.calls_until_fails = -1;
	guest_queues = 1;
	wire_queues = 4;
	return 0;
}

static int
start_eal(void **state)
{
	testbed_start_eal();
	return 0;
}

#define CASE(name) cmocka_unit_test_setup(name, begin_case)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frames_for_a_context_arrive_where_it_is),
		CASE(contexts_of_a_worker_share_its_queues),
		CASE(a_configured_address_counts_before_one_is_claimed),
		CASE(without_an_address_a_guest_or_contexts_there_is_no_rule),
		CASE(a_wire_with_one_queue_has_nothing_to_choose),
		CASE(a_context_of_several_workers_has_no_rule),
		CASE(a_rule_goes_with_its_guest_and_its_address),
		CASE(a_rule_follows_a_context_that_moves),
		CASE(an_address_goes_from_one_context_to_another),
		CASE(rules_go_when_contexts_do),
		CASE(ports_that_are_removed_take_their_rules_along),
		CASE(a_device_without_a_kind_of_rules_is_asked_once),
		CASE(a_device_that_fails_at_the_first_rule_is_not_asked_again),
		CASE(a_rule_that_is_not_to_be_had_is_asked_for_again_after_a_while),
		CASE(a_context_that_was_refused_a_rule_gets_one_for_its_next_address),
		CASE(a_device_that_fails_midway_keeps_what_it_has_and_gets_the_rest_later),
		CASE(a_rule_that_the_device_does_not_let_go_of_is_taken_away_later),
		CASE(a_look_makes_so_many_changes_and_the_next_goes_on),
		CASE(guests_that_change_their_addresses_all_the_time_do_not_keep_others_from_rules),
	};

	return cmocka_run_group_tests_name("steering", tests, start_eal, NULL);
}
