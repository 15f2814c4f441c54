/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts that are revoked and granted: which ports that can be asked of, and what it does to their frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/report.h"
#include "core/revocation.h"
#include "testbed.h"

#define BROADCAST "ff:ff:ff:ff:ff:ff"
#define STATION "52:54:00:00:00:01"
#define OTHER "52:54:00:00:00:02"

/* As a type with guests does it. */
static void
set_granted(struct pv_port *port, bool granted)
{
	port->revoked = !granted;
	port->set_up(port, granted);
}

static struct testbed *
three_ports(uint32_t wires)
{
	static struct pv_port_type with_guests;
	struct testbed *testbed = testbed_new(&(struct testbed_setup){ .ports = 3, .wires = wires });

	assert_non_null(testbed);
	with_guests = *testbed_port(testbed, 0)->type;
	with_guests.set_granted = set_granted;
	testbed_port(testbed, 0)->type = &with_guests;
	testbed_port(testbed, 1)->type = &with_guests;
	return testbed;
}

static void
check_state(struct testbed *testbed, uint16_t port, const char *state)
{
	assert_string_equal(pv_report_state(testbed_port(testbed, port)), state);
}

typedef json_t *command(struct pv_datapath *datapath, const char *name, char *error, size_t size);

static void
make(struct testbed *testbed, command *ask, const char *name, const char *state)
{
	char error[256] = "";
	json_t *answer = ask(testbed_datapath(testbed), name, error, sizeof(error));

	assert_string_equal(error, "");
	assert_non_null(answer);
	assert_string_equal(json_string_value(json_object_get(answer, "context")), name);
	assert_string_equal(json_string_value(json_object_get(answer, "state")), state);
	json_decref(answer);
}

static void
check_refused(struct testbed *testbed, command *ask, const char *name, const char *why)
{
	char error[256] = "";

	assert_null(ask(testbed_datapath(testbed), name, error, sizeof(error)));
	assert_string_equal(error, why);
}

static void
frames_to_a_revoked_context_are_dropped_and_counted(void **state)
{
	struct testbed *testbed = three_ports(0);

	testbed_inject(testbed, 1, 0, BROADCAST, OTHER, 60);
	testbed_run(testbed, 1);
	make(testbed, pv_context_revoke, "p1", "revoked");
	testbed_inject(testbed, 0, 0, OTHER, STATION, 60); /* its address is forgotten: to all others */
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	assert_int_equal(testbed_sent(testbed, 2), 2);
	check_state(testbed, 1, "revoked");
	testbed_free(testbed);
}

static void
frames_from_a_revoked_context_wait_until_it_is_granted(void **state)
{
	struct testbed *testbed = three_ports(0);

	make(testbed, pv_context_revoke, "p1", "revoked");
	testbed_inject(testbed, 1, 0, BROADCAST, OTHER, 60);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 0), 0);
	make(testbed, pv_context_grant, "p1", "up");
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 0), 1);
	testbed_free(testbed);
}

static void
what_cannot_be_revoked_says_why(void **state)
{
	struct testbed *testbed = three_ports(1u << 0);

	check_refused(testbed, pv_context_revoke, "p0",
		      "port \"p0\" is a wire and no context: expected a port with the role guest");
	check_refused(testbed, pv_context_revoke, "p2",
		      "port \"p2\" is of type fake, which has no guest to shut out; expected vhost-user");
	check_refused(testbed, pv_context_revoke, "q1", "no port \"q1\"; did you mean \"p1\"?");
	check_refused(testbed, pv_context_grant, "p1", "context \"p1\" is not revoked: its guest is not shut out");
	make(testbed, pv_context_revoke, "p1", "revoked");
	check_refused(testbed, pv_context_revoke, "p1",
		      "context \"p1\" is revoked already; context grant lets its guest in");
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_to_a_revoked_context_are_dropped_and_counted),
		cmocka_unit_test(frames_from_a_revoked_context_wait_until_it_is_granted),
		cmocka_unit_test(what_cannot_be_revoked_says_why),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
