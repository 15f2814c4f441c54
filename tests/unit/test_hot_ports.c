/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports that are added and removed while the data path is there, between ports that a test fills and empties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ether.h>

#include "core/hot_ports.h"
#include "core/report.h"
#include "testbed.h"

#define BROADCAST "ff:ff:ff:ff:ff:ff"
#define STATION "52:54:00:00:00:01"
#define OTHER "52:54:00:00:00:02"
#define FRAME_BYTES 60

static struct testbed *
two_ports(uint16_t workers)
{
	struct testbed *testbed = testbed_new(&(struct testbed_setup){ .ports = 2, .workers = workers });

	assert_non_null(testbed);
	return testbed;
}

static struct pv_port *
add_described(struct testbed *testbed, struct pv_config_port described)
{
	char error[512] = "";
	uint64_t held_us;
	struct pv_port *port = pv_add_port(testbed_datapath(testbed), &described, &held_us, error, sizeof(error));

	if (port == NULL)
		fail_msg("not added: %s", error);
	return port;
}

static struct pv_port *
add(struct testbed *testbed, const char *name)
{
	return add_described(testbed, testbed_describe_port(name));
}

static struct pv_port *
add_with_mac(struct testbed *testbed, const char *name, const char *mac)
{
	struct pv_config_port described = testbed_describe_port(name);

	assert_int_equal(pv_mac_parse(mac, &described.mac), 0);
	return add_described(testbed, described);
}

static void
take_away(struct testbed *testbed, struct pv_port *port)
{
	uint64_t held_us;

	pv_remove_port(testbed_datapath(testbed), port, &held_us);
}

/* What the daemon would answer to a request for a port; the mistakes are in `error`. */
static json_t *
ask_for(struct testbed *testbed, const char *described, char error[2048])
{
	json_t *json = json_loads(described, 0, NULL), *answer;

	assert_non_null(json);
	answer = pv_port_add(testbed_datapath(testbed), json, error, 2048);
	json_decref(json);
	return answer;
}

static void
check_refused(struct testbed *testbed, const char *described, const char *why)
{
	char error[2048] = "";

	assert_null(ask_for(testbed, described, error));
	assert_string_equal(error, why);
}

/* The names of the ports that a report or a configuration has, one after another. */
static void
check_names(json_t *object, json_t *list, const char *expected)
{
	char names[256] = "";
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		strcat(names, json_string_value(json_object_get(one, "name")));
		strcat(names, " ");
	}
	assert_string_equal(names, expected);
	json_decref(object);
}

static void
check_reported(struct testbed *testbed, const char *expected)
{
	json_t *report = pv_report_ports(testbed_datapath(testbed));

	check_names(report, json_object_get(report, "ports"), expected);
}

/* --- what is added ------------------------------------------------------------------------------------------------ */

static void
frames_reach_an_added_port_and_come_from_it(void **state)
{
	for (uint16_t workers = 1; workers <= 2; workers++) {
		struct testbed *testbed = two_ports(workers);
		struct pv_port *port = add(testbed, "new");

		assert_int_equal(port->id, 2);
		testbed_inject(testbed, 0, 0, BROADCAST, STATION, FRAME_BYTES);
		testbed_inject(testbed, port->id, 0, STATION, OTHER, FRAME_BYTES);
		testbed_run(testbed, 2);
		assert_int_equal(testbed_sent(testbed, port->id), 1);
		assert_int_equal(testbed_sent(testbed, 1), 1);
		assert_int_equal(testbed_sent(testbed, 0), 1);
		assert_int_equal(testbed_all_drops(testbed), 0);
		testbed_free(testbed);
	}
}

static void
an_added_port_has_its_static_address_at_once(void **state)
{
	struct testbed *testbed = two_ports(1);
	struct pv_port *port = add_with_mac(testbed, "new", OTHER);

	testbed_inject(testbed, 0, 0, OTHER, STATION, FRAME_BYTES);
	testbed_inject(testbed, 1, 0, BROADCAST, OTHER, FRAME_BYTES); /* who speaks with it is a liar */
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, port->id), 1);
	assert_int_equal(testbed_sent(testbed, 0), 0);
	assert_int_equal(testbed_drops(testbed, 1, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

static void
what_is_added_is_shown_and_what_is_removed_is_not(void **state)
{
	struct testbed *testbed = two_ports(2);
	const struct pv_config *config = testbed_datapath(testbed)->config;

	add(testbed, "new");
	check_reported(testbed, "p0 p1 new ");
	assert_int_equal(config->n_ports, 3);
	assert_string_equal(config->ports[2].name, "new");
	take_away(testbed, testbed_port(testbed, 0));
	check_reported(testbed, "p1 new ");
	assert_int_equal(config->n_ports, 2);
	assert_string_equal(config->ports[0].name, "p1");
	testbed_free(testbed);
}

/* --- what is removed ---------------------------------------------------------------------------------------------- */

static void
nothing_goes_to_a_removed_port(void **state)
{
	for (uint16_t workers = 1; workers <= 2; workers++) {
		struct testbed *testbed = two_ports(workers);
		struct pv_port *port = add_with_mac(testbed, "new", OTHER);

		take_away(testbed, port);
		testbed_inject(testbed, 0, 0, OTHER, STATION, FRAME_BYTES); /* nobody's: flooded */
		testbed_run(testbed, 2);
		assert_int_equal(testbed_sent(testbed, 1), 1);
		assert_int_equal(testbed_all_drops(testbed), 0);
		testbed_free(testbed);
	}
}

static void
learned_and_static_addresses_go_with_their_port(void **state)
{
	struct testbed *testbed = two_ports(1);
	struct pv_port *port = add_with_mac(testbed, "new", OTHER);
	const uint8_t learned[6] = { 0x52, 0x54, 0, 0, 0, 1 }, fixed[6] = { 0x52, 0x54, 0, 0, 0, 2 };

	testbed_inject(testbed, port->id, 0, BROADCAST, STATION, FRAME_BYTES);
	testbed_run(testbed, 1);
	assert_int_equal(pv_fdb_lookup(testbed_datapath(testbed)->fdb, learned), port->id);
	take_away(testbed, port);
	assert_int_equal(pv_fdb_lookup(testbed_datapath(testbed)->fdb, learned), PV_FDB_NO_PORT);
	assert_int_equal(pv_fdb_lookup(testbed_datapath(testbed)->fdb, fixed), PV_FDB_NO_PORT);
	testbed_free(testbed);
}

static void
an_id_is_used_again_with_counters_of_zero(void **state)
{
	struct testbed *testbed = two_ports(1);
	const struct pv_worker *worker = testbed_datapath(testbed)->workers[0];
	struct pv_port *port = add(testbed, "new");

	testbed_inject(testbed, port->id, 0, BROADCAST, STATION, FRAME_BYTES);
	testbed_run(testbed, 1);
	assert_int_equal(worker->ports[port->id].rx_packets, 1);
	take_away(testbed, port);
	port = add(testbed, "newer");
	assert_int_equal(port->id, 2);
	assert_int_equal(worker->ports[port->id].rx_packets, 0);
	testbed_free(testbed);
}

static void
all_ports_may_go_and_others_come(void **state)
{
	struct testbed *testbed = two_ports(2);

	take_away(testbed, testbed_port(testbed, 0));
	take_away(testbed, testbed_port(testbed, 1));
	check_reported(testbed, "");
	testbed_run(testbed, 1);
	add(testbed, "a");
	add(testbed, "b");
	testbed_inject(testbed, 0, 0, BROADCAST, STATION, FRAME_BYTES);
	testbed_run(testbed, 2);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	testbed_free(testbed);
}

static void
templates_of_flows_to_a_removed_port_count_for_nothing(void **state)
{
	struct testbed *testbed =
		testbed_new(&(struct testbed_setup){ .ports = 2, .stages = { pv_stage_find("specialization") } });
	struct pv_port *port = add_with_mac(testbed, "new", OTHER);

	for (int i = 0; i < 3; i++) {
		testbed_inject(testbed, 0, 0, OTHER, STATION, FRAME_BYTES);
		testbed_run(testbed, 1);
	}
	assert_int_equal(testbed_sent(testbed, port->id), 3);
	take_away(testbed, port);
	port = add(testbed, "newer"); /* with the same id, and not that address */
	testbed_inject(testbed, 0, 0, OTHER, STATION, FRAME_BYTES);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, port->id), 1); /* flooded, and so at the other, too */
	assert_int_equal(testbed_sent(testbed, 1), 1);
	testbed_free(testbed);
}

/* --- mistakes ----------------------------------------------------------------------------------------------------- */

static void
all_mistakes_of_a_port_are_told_at_once(void **state)
{
	struct testbed *testbed = two_ports(1);

	check_refused(testbed, "{\"name\":\"p1\",\"weigth\":3,\"mtu\":20,\"tap\":{\"interface\":\"\"}}",
		      "p1: unknown option \"weigth\"; did you mean \"weight\"?\n"
		      "p1.mtu: 20: expected 68 to 9000\n"
		      "p1.tap.interface: \"\": expected a string of 1 to 15 characters\n"
		      "p1.name: \"p1\": already the name of a port");
	check_reported(testbed, "p0 p1 ");
	testbed_free(testbed);
}

static void
a_port_without_a_good_name_is_told_of_as_the_port(void **state)
{
	struct testbed *testbed = two_ports(1);

	check_refused(testbed, "{\"mtu\":20,\"tap\":{\"interface\":\"pvtest\"}}",
		      "port.name: missing: expected a string of 1 to 31 characters\n"
		      "port.mtu: 20: expected 68 to 9000");
	check_refused(testbed, "{\"name\":\"a b\",\"tap\":{\"interface\":\"pvtest\"}}",
		      "port.name: \"a b\": expected letters, digits, \".\", \"_\" and \"-\"");
	check_refused(testbed, "{\"name\":\"\",\"tap\":{\"interface\":\"pvtest\"}}",
		      "port.name: \"\": expected a string of 1 to 31 characters");
	check_refused(testbed, "[1]", "port: [1] (array): expected an object");
	testbed_free(testbed);
}

static void
who_has_something_already_is_named(void **state)
{
	struct testbed *testbed = two_ports(1);

	testbed_datapath(testbed)->config->ports[1].mac = (struct pv_mac){ .bytes = { 2, 0, 0, 0, 0, 1 }, .set = true };
	check_refused(testbed, "{\"name\":\"new\",\"mac\":\"02:00:00:00:00:01\",\"tap\":{\"interface\":\"pvtest\"}}",
		      "new.mac: \"02:00:00:00:00:01\": already the mac of port \"p1\"");
	testbed_free(testbed);
}

static void
a_port_for_larger_packets_than_there_are_buffers_for_is_refused(void **state)
{
	struct testbed *testbed = two_ports(1);

	check_refused(testbed, "{\"name\":\"new\",\"mtu\":9000,\"tap\":{\"interface\":\"pvtest\"}}",
		      "new.mtu: 9000: expected at most 2025, which the packet buffers have room for: they are made "
		      "for the ports at the start");
	testbed_free(testbed);
}

static int
open_nothing(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	return -EBUSY;
}

static int
open_nothing_and_say_why(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	pv_error("p0", "of another port");
	pv_error(port->name, "device \"%s\": expected another", "it");
	pv_error(port->name, "what else there is to say");
	return -EBUSY;
}

static int opened, closed;

static int
open_something(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	opened++;
	return 0;
}

static int
start_nothing(struct pv_port *port)
{
	return -EADDRINUSE;
}

static void
count_close(struct pv_port *port)
{
	closed++;
}

static const struct pv_port_type does_not_open = { .name = "shut", .open = open_nothing };
static const struct pv_port_type says_why = { .name = "loud", .open = open_nothing_and_say_why };
static const struct pv_port_type does_not_start = {
	.name = "mute",
	.open = open_something,
	.start = start_nothing,
	.close = count_close,
};

static void
check_not_added(struct testbed *testbed, const struct pv_port_type *type, const char *why)
{
	struct pv_config_port described = testbed_describe_port("new");
	char error[512] = "";
	uint64_t held_us;

	described.type = type;
	assert_int_equal(pv_mac_parse(OTHER, &described.mac), 0);
	assert_null(pv_add_port(testbed_datapath(testbed), &described, &held_us, error, sizeof(error)));
	assert_string_equal(error, why);
	check_reported(testbed, "p0 p1 ");
	assert_int_equal(testbed_datapath(testbed)->config->n_ports, 2);
}

static void
a_port_that_does_not_open_or_start_leaves_nothing_behind(void **state)
{
	struct testbed *testbed = two_ports(2);
	const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 2 };

	check_not_added(testbed, &does_not_open, "new: Device or resource busy: the daemon's log says more");
	check_not_added(testbed, &says_why, "new: device \"it\": expected another");
	opened = closed = 0;
	check_not_added(testbed, &does_not_start, "new: Address already in use: the daemon's log says more");
	assert_int_equal(opened, 1);
	assert_int_equal(closed, 1);
	assert_int_equal(pv_fdb_lookup(testbed_datapath(testbed)->fdb, mac), PV_FDB_NO_PORT);
	testbed_run(testbed, 1);
	testbed_free(testbed);
}

static void
whose_guest_speaks_with_the_address_of_a_port_to_be_added_is_named(void **state)
{
	struct testbed *testbed =
		testbed_new(&(struct testbed_setup){ .ports = 2, .stages = { pv_stage_find("multi-context-demux") } });
	struct pv_config_port described = testbed_describe_port("new");
	char error[512] = "";
	uint64_t held_us;

	testbed_inject(testbed, 1, 0, BROADCAST, OTHER, FRAME_BYTES);
	testbed_run(testbed, 1);
	assert_int_equal(pv_mac_parse(OTHER, &described.mac), 0);
	assert_null(pv_add_port(testbed_datapath(testbed), &described, &held_us, error, sizeof(error)));
	assert_string_equal(error, "new: mac \"" OTHER "\": the guest of port \"p1\" speaks with it: "
				   "expected an address that nobody has");
	check_reported(testbed, "p0 p1 ");
	testbed_free(testbed);
}

static void
a_port_that_is_not_there_is_not_removed_but_the_nearest_is_named(void **state)
{
	struct testbed *testbed = two_ports(1);
	char error[512] = "";

	assert_null(pv_port_remove(testbed_datapath(testbed), "p9", error, sizeof(error)));
	assert_string_equal(error, "no port \"p9\"; did you mean \"p0\"?");
	assert_null(pv_port_remove(testbed_datapath(testbed), "wire", error, sizeof(error)));
	assert_string_equal(error, "no port \"wire\"; pktvirt-ctl show ports says which there are");
	testbed_free(testbed);
}

static void
there_are_so_many_ports_and_no_more(void **state)
{
	struct testbed *testbed = two_ports(1);
	char name[16];

	for (int i = 2; i < PV_PORTS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		add(testbed, name);
	}
	check_refused(testbed, "{\"name\":\"new\",\"tap\":{\"interface\":\"pvtest\"}}",
		      "there are 512 ports, and cannot be more: remove one first");
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_reach_an_added_port_and_come_from_it),
		cmocka_unit_test(an_added_port_has_its_static_address_at_once),
		cmocka_unit_test(what_is_added_is_shown_and_what_is_removed_is_not),
		cmocka_unit_test(nothing_goes_to_a_removed_port),
		cmocka_unit_test(learned_and_static_addresses_go_with_their_port),
		cmocka_unit_test(an_id_is_used_again_with_counters_of_zero),
		cmocka_unit_test(all_ports_may_go_and_others_come),
		cmocka_unit_test(templates_of_flows_to_a_removed_port_count_for_nothing),
		cmocka_unit_test(all_mistakes_of_a_port_are_told_at_once),
		cmocka_unit_test(a_port_without_a_good_name_is_told_of_as_the_port),
		cmocka_unit_test(who_has_something_already_is_named),
		cmocka_unit_test(a_port_for_larger_packets_than_there_are_buffers_for_is_refused),
		cmocka_unit_test(a_port_that_does_not_open_or_start_leaves_nothing_behind),
		cmocka_unit_test(whose_guest_speaks_with_the_address_of_a_port_to_be_added_is_named),
		cmocka_unit_test(a_port_that_is_not_there_is_not_removed_but_the_nearest_is_named),
		cmocka_unit_test(there_are_so_many_ports_and_no_more),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
