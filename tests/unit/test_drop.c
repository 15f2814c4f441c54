/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/drop.h"

static void
the_reasons_of_the_core_come_first_and_in_order(void **state)
{
	static const char *const names[PV_DROP_CORE_COUNT] = {
		"runt",	      "oversized",    "bad_source",    "spoofed_source", "link_local",	 "same_port",
		"no_port",    "port_down",    "exceeds_mtu",   "ring_full",	 "mailbox_full", "no_buffer",
		"bad_header", "host_refused", "needs_offload", "bad_chain",	 "small_buffer", "unsegmented",
		"no_mapping", "wrong_vlan",   "filtered",
	};

	for (uint16_t i = 0; i < PV_DROP_CORE_COUNT; i++)
		assert_string_equal(pv_drop_name(i), names[i]);
	assert_string_equal(pv_drop_name(PV_DROP_NO_PORT), "no_port");
	assert_string_equal(pv_drop_help(PV_DROP_NO_PORT), "no other port that could take it");
}

static void
every_reason_has_a_name_and_a_help(void **state)
{
	for (uint16_t i = 0; i < pv_drop_count(); i++) {
		assert_non_null(pv_drop_name(i));
		assert_true(strlen(pv_drop_help(i)) > 0);
	}
}

static void
reasons_of_a_stage_are_reported_under_its_name(void **state)
{
	static const struct pv_drop_reason reasons[] = { { "late", "came too late" }, { "early", "too early" }, { 0 } };
	uint16_t before = pv_drop_count();
	int first = pv_drop_register("test-stage", reasons);

	assert_int_equal(first, before);
	assert_int_equal(pv_drop_count(), before + 2);
	assert_string_equal(pv_drop_name((uint16_t)first), "test-stage.late");
	assert_string_equal(pv_drop_name((uint16_t)(first + 1)), "test-stage.early");
	assert_string_equal(pv_drop_help((uint16_t)(first + 1)), "too early");
}

static void
a_number_that_no_reason_has_is_without_name(void **state)
{
	assert_null(pv_drop_name(pv_drop_count()));
	assert_null(pv_drop_help(UINT16_MAX));
}

static void
more_reasons_than_there_is_room_for_are_refused_as_a_whole(void **state)
{
	struct pv_drop_reason reasons[PV_DROP_MAX + 1] = { { 0 } };
	uint16_t room = PV_DROP_MAX - pv_drop_count();

	for (uint16_t i = 0; i <= room; i++)
		reasons[i] = (struct pv_drop_reason){ "x", "y" };
	assert_int_equal(pv_drop_register("greedy", reasons), -ENOSPC);
	assert_int_equal(pv_drop_count(), PV_DROP_MAX - room);
	reasons[room].name = NULL;
	assert_int_equal(pv_drop_register("exact", reasons), PV_DROP_MAX - room);
	assert_int_equal(pv_drop_count(), PV_DROP_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reasons_of_the_core_come_first_and_in_order),
		cmocka_unit_test(every_reason_has_a_name_and_a_help),
		cmocka_unit_test(reasons_of_a_stage_are_reported_under_its_name),
		cmocka_unit_test(a_number_that_no_reason_has_is_without_name),
		cmocka_unit_test(more_reasons_than_there_is_room_for_are_refused_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
