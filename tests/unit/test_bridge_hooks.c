/* SPDX-License-Identifier: BSD-3-Clause */
/* Four ports: p3 is a wire. What the hooked bridge does with packets is compared with the plain one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bridge_hooks.h"
#include "core/path.h"
#include "testbed.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define C "52:54:00:00:00:0c"
#define D "52:54:00:00:00:0d"
#define BROADCAST "ff:ff:ff:ff:ff:ff"

#define PORTS 4

static struct testbed *
new_testbed(const char *way)
{
	const struct testbed_setup setup = { .ports = PORTS, .wires = 1 << 3, .macs = { [3] = D } };
	struct testbed *testbed = testbed_new(&setup);

	testbed_datapath(testbed)->multiplexing = pv_implementation_find(PV_PRIMITIVE_MULTIPLEXING, way)->ops;
	return testbed;
}

static struct pv_worker *
worker_of(struct testbed *testbed)
{
	return testbed_datapath(testbed)->workers[0];
}

static void
assert_hooked(struct testbed *testbed, uint64_t pre_routing, uint64_t forward, uint64_t post_routing)
{
	const uint64_t *hooked = worker_of(testbed)->counters.hooked;

	assert_int_equal(hooked[PV_BRIDGE_PRE_ROUTING], pre_routing);
	assert_int_equal(hooked[PV_BRIDGE_FORWARD], forward);
	assert_int_equal(hooked[PV_BRIDGE_POST_ROUTING], post_routing);
}

/* An IPv4 packet without a payload. */
static void
send_ip(struct testbed *testbed, uint16_t port, const char *destination, const char *source)
{
	uint8_t frame[60] = { 0 };
	struct pv_mac to, from;

	assert_int_equal(pv_mac_parse(destination, &to), 0);
	assert_int_equal(pv_mac_parse(source, &from), 0);
	memcpy(frame, to.bytes, 6);
	memcpy(frame + 6, from.bytes, 6);
	memcpy(frame + 12, (const uint8_t[3]){ 0x08, 0x00, 0x45 }, 3);
	testbed_inject_bytes(testbed, port, 0, frame, sizeof(frame), 1);
}

static void
a_packet_passes_three_hooks_and_a_flooded_one_two_for_each_port(void **state)
{
	struct testbed *testbed = new_testbed("hooked-bridge");

	testbed_inject(testbed, 0, 0, BROADCAST, A, 60);
	testbed_run(testbed, 1);
	assert_hooked(testbed, 1, 3, 3);
	testbed_inject(testbed, 1, 0, A, B, 60);
	testbed_inject(testbed, 1, 0, A, B, 60);
	testbed_run(testbed, 1);
	assert_hooked(testbed, 3, 5, 5);
	assert_int_equal(testbed_sent(testbed, 0), 2);
	testbed_free(testbed);
}

static void
what_is_dropped_before_passes_no_more_hooks(void **state)
{
	struct testbed *testbed = new_testbed("hooked-bridge");

	testbed_inject(testbed, 0, 0, BROADCAST, D, 60); /* spoofed */
	testbed_inject(testbed, 0, 0, "01:80:c2:00:00:00", A, 60);
	testbed_inject(testbed, 0, 0, A, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_all_drops(testbed), 3);
	assert_hooked(testbed, 3, 0, 0);
	testbed_free(testbed);
}

static void
the_rule_of_a_port_counts_the_ip_packets_that_come_in_there(void **state)
{
	struct testbed *testbed = new_testbed("hooked-bridge");
	const struct pv_port_counters *ports = worker_of(testbed)->ports;

	send_ip(testbed, 2, D, C);
	send_ip(testbed, 2, D, C);
	send_ip(testbed, 3, C, D);
	testbed_inject(testbed, 2, 0, D, C, 60); /* its type says IPv4, its first byte not */
	testbed_run(testbed, 1);
	assert_int_equal(ports[2].accepted_packets, 2);
	assert_int_equal(ports[2].accepted_bytes, 120);
	assert_int_equal(ports[3].accepted_packets, 1);
	assert_int_equal(ports[0].accepted_packets + ports[1].accepted_packets, 0);
	assert_int_equal(testbed_sent(testbed, 3), 3);
	testbed_free(testbed);
}

struct seen {
	uint16_t in, out;
	uint32_t packets;
	bool passes;
};

static bool
see(void *own, const struct rte_mbuf *packet, const struct pv_bridge_state *state)
{
	struct seen *seen = own;

	seen->in = state->in;
	seen->out = state->out;
	seen->packets++;
	return seen->passes;
}

static void
a_function_at_a_hook_sees_where_a_packet_comes_from_and_goes_to(void **state)
{
	static const uint16_t in[] = { 1, 1, PV_FDB_NO_PORT }, out[] = { PV_FDB_NO_PORT, 3, 3 };
	struct testbed *testbed = new_testbed("hooked-bridge");

	for (enum pv_bridge_hook hook = 0; hook < PV_BRIDGE_HOOK_COUNT; hook++) {
		struct seen seen = { .passes = true };

		assert_int_equal(pv_bridge_register(hook, see, &seen), 0);
		testbed_inject(testbed, 1, 0, D, B, 60);
		testbed_run(testbed, 1);
		assert_int_equal(pv_bridge_unregister(hook, see), 0);
		assert_int_equal(seen.packets, 1);
		assert_int_equal(seen.in, in[hook]);
		assert_int_equal(seen.out, out[hook]);
	}
	assert_int_equal(testbed_sent(testbed, 3), 3);
	testbed_free(testbed);
}

static void
what_a_function_does_not_let_pass_is_dropped_as_filtered(void **state)
{
	struct testbed *testbed = new_testbed("hooked-bridge");

	for (enum pv_bridge_hook hook = 0; hook < PV_BRIDGE_HOOK_COUNT; hook++) {
		struct seen seen = { .passes = false };

		pv_bridge_register(hook, see, &seen);
		testbed_inject(testbed, 1, 0, D, B, 60);
		testbed_run(testbed, 1);
		pv_bridge_unregister(hook, see);
		assert_int_equal(testbed_drops(testbed, 1, PV_DROP_FILTERED), hook + 1);
	}
	assert_int_equal(testbed_sent(testbed, 3), 0);
	testbed_free(testbed);
}

static void
a_hook_has_room_for_some_functions(void **state)
{
	int n = 0;

	while (pv_bridge_register(PV_BRIDGE_FORWARD, see, NULL) == 0)
		n++;
	assert_in_range(n, 1, PV_BRIDGE_FUNCTIONS_MAX);
	assert_int_equal(pv_bridge_register(PV_BRIDGE_FORWARD, see, NULL), -ENOSPC);
	while (n-- > 0)
		assert_int_equal(pv_bridge_unregister(PV_BRIDGE_FORWARD, see), 0);
	assert_int_equal(pv_bridge_unregister(PV_BRIDGE_FORWARD, see), -ENOENT);
}

/* A checksum of what each port was sent, and of drops. */
static void
play(const char *way, uint32_t record[2 * PORTS])
{
	static const char *const addresses[] = { A, B, C, D, "52:54:00:00:00:0e", BROADCAST };
	struct testbed *testbed = new_testbed(way);
	unsigned int seed = 3;

	memset(record, 0, 2 * PORTS * sizeof(*record));
	for (int burst = 0; burst < 30; burst++) {
		for (int i = 0; i < 40; i++) {
			int port = rand_r(&seed) % PORTS, to = rand_r(&seed) % 6, from = rand_r(&seed) % 6;

			if (rand_r(&seed) % 2 == 0)
				send_ip(testbed, (uint16_t)port, addresses[to], addresses[from]);
			else
				testbed_inject(testbed, (uint16_t)port, 0, addresses[to], addresses[from],
					       60 + (uint32_t)(rand_r(&seed) % 100));
		}
		testbed_run(testbed, 2);
		for (uint16_t port = 0; port < PORTS; port++)
			for (uint32_t i = 0; i < testbed_sent(testbed, port); i++)
				record[port] = record[port] * 31 + testbed_packet(testbed, port, i)->pkt_len;
		testbed_clear(testbed);
	}
	for (uint16_t port = 0; port < PORTS; port++)
		for (uint16_t reason = 0; reason < PV_DROP_CORE_COUNT; reason++)
			record[PORTS + port] =
				record[PORTS + port] * 31 + (uint32_t)testbed_drops(testbed, port, reason);
	testbed_free(testbed);
}

static void
ports_are_sent_what_they_are_sent_by_the_plain_bridge(void **state)
{
	uint32_t plain[2 * PORTS], hooked[2 * PORTS];

	play("bridge", plain);
	play("hooked-bridge", hooked);
	assert_memory_equal(plain, hooked, sizeof(plain));
	assert_int_not_equal(plain[0], 0);
}

static void
it_is_what_xen_did(void **state)
{
	const struct pv_implementation *way = pv_implementation_find(PV_PRIMITIVE_MULTIPLEXING, "hooked-bridge");
	const struct pv_multiplexing *ops = way->ops;

	assert_int_equal(way->baselines, 1u << PV_BASELINE_XEN);
	assert_false(ops->by_table); /* a template would pass the hooks by */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_passes_three_hooks_and_a_flooded_one_two_for_each_port),
		cmocka_unit_test(what_is_dropped_before_passes_no_more_hooks),
		cmocka_unit_test(the_rule_of_a_port_counts_the_ip_packets_that_come_in_there),
		cmocka_unit_test(a_function_at_a_hook_sees_where_a_packet_comes_from_and_goes_to),
		cmocka_unit_test(what_a_function_does_not_let_pass_is_dropped_as_filtered),
		cmocka_unit_test(a_hook_has_room_for_some_functions),
		cmocka_unit_test(ports_are_sent_what_they_are_sent_by_the_plain_bridge),
		cmocka_unit_test(it_is_what_xen_did),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
