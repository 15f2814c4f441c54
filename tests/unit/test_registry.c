/* SPDX-License-Identifier: BSD-3-Clause */
/* The registries of stages and of primitives, which hold what the daemon itself registers as well. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/config.h"
#include "core/primitive.h"
#include "core/stage.h"

#define BINDINGS_MAX 32

static void
process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
}

static const char *
bind_cached(const void *options)
{
	return "cached";
}

static const char *
bind_missing(const void *options)
{
	return "missing";
}

static const struct pv_drop_reason drops[] = { { "first", "a" }, { "second", "b" }, { 0 } };
static const struct pv_stage packet_stage = {
	.name = "test-packet", .hooks = PV_HOOKS_INGRESS, .process = process, .drops = drops
};
static const struct pv_stage mechanism = { .name = "test-mechanism", .primitive = "test-walk", .bind = bind_cached };
static const struct pv_stage rival = { .name = "test-rival", .primitive = "test-walk", .bind = bind_cached };
static const struct pv_stage lost = { .name = "test-lost", .primitive = "test-walk", .bind = bind_missing };
static const struct pv_stage stray = { .name = "test-stray", .primitive = "test-unknown", .bind = bind_cached };

static const struct pv_implementation walked = { .primitive = "test-walk",
						 .name = "walked",
						 .baselines = 1u << PV_BASELINE_UML };
static const struct pv_implementation direct = { .primitive = "test-walk", .name = "direct", .plain = true };
static const struct pv_implementation cached = { .primitive = "test-walk", .name = "cached" };
static const struct pv_implementation no_plain = { .primitive = "test-bare", .name = "only" };

static void
a_stage_is_found_by_its_name(void **state)
{
	assert_int_equal(pv_stage_register(&packet_stage), 0);
	assert_int_equal(pv_stage_register(&mechanism), 0);
	assert_ptr_equal(pv_stage_find("test-packet"), &packet_stage);
	assert_ptr_equal(pv_stage_find("test-mechanism"), &mechanism);
	assert_null(pv_stage_find("test-pack"));
}

static void
a_name_is_registered_once(void **state)
{
	size_t before = pv_stage_count();
	uint16_t drops_before = pv_drop_count();

	assert_int_equal(pv_stage_register(&packet_stage), -EEXIST);
	assert_int_equal(pv_stage_count(), before);
	assert_int_equal(pv_drop_count(), drops_before);
}

static void
stages_are_in_order_of_name(void **state)
{
	assert_true(pv_stage_count() >= 2);
	for (size_t i = 1; i < pv_stage_count(); i++)
		assert_true(strcmp(pv_stage_get(i - 1)->name, pv_stage_get(i)->name) < 0);
}

static void
drop_reasons_of_a_stage_are_registered_with_it(void **state)
{
	uint16_t first = pv_stage_drop_base(&packet_stage);

	assert_true(first >= PV_DROP_CORE_COUNT);
	assert_string_equal(pv_drop_name(first), "test-packet.first");
	assert_string_equal(pv_drop_name(first + 1), "test-packet.second");
}

static void
a_stage_is_of_exactly_one_kind(void **state)
{
	const struct pv_stage wrong[] = {
		{ .name = "neither" },
		{ .name = "no-process", .hooks = PV_HOOKS_EGRESS },
		{ .name = "no-hooks", .process = process },
		{ .name = "no-bind", .primitive = "test-walk" },
		{ .name = "no-primitive", .bind = bind_cached },
		{ .name = "both", .hooks = 1, .process = process, .primitive = "test-walk", .bind = bind_cached },
		{ .name = "half", .hooks = 1, .process = process, .primitive = "test-walk" },
		{ .name = "other-half", .hooks = 1, .primitive = "test-walk", .bind = bind_cached },
		{ .name = NULL, .hooks = 1, .process = process },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(pv_stage_register(&wrong[i]), -EINVAL);
	assert_null(pv_stage_find("both"));
}

static void
hooks_have_names(void **state)
{
	assert_string_equal(pv_hook_name(PV_HOOK_FROM_GUEST), "from-guest");
	assert_string_equal(pv_hook_name(PV_HOOK_FROM_WIRE), "from-wire");
	assert_string_equal(pv_hook_name(PV_HOOK_TO_GUEST), "to-guest");
	assert_string_equal(pv_hook_name(PV_HOOK_TO_WIRE), "to-wire");
}

static void
baselines_have_names(void **state)
{
	assert_string_equal(pv_baseline_names[PV_BASELINE_NONE], "none");
	assert_string_equal(pv_baseline_names[PV_BASELINE_UML], "uml");
	assert_string_equal(pv_baseline_names[PV_BASELINE_XEN], "xen");
	assert_null(pv_baseline_names[PV_BASELINE_COUNT]);
}

static void
an_implementation_is_found_by_primitive_and_name(void **state)
{
	assert_int_equal(pv_implementation_register(&walked), 0);
	assert_int_equal(pv_implementation_register(&direct), 0);
	assert_int_equal(pv_implementation_register(&cached), 0);
	assert_ptr_equal(pv_implementation_find("test-walk", "direct"), &direct);
	assert_null(pv_implementation_find("test-walk", "other"));
	assert_null(pv_implementation_find("other", "direct"));
}

static void
implementations_are_sorted(void **state)
{
	for (size_t i = 1; i < pv_implementation_count(); i++) {
		const struct pv_implementation *a = pv_implementation_get(i - 1), *b = pv_implementation_get(i);
		int order = strcmp(a->primitive, b->primitive);

		assert_true(order < 0 || (order == 0 && strcmp(a->name, b->name) < 0));
	}
}

static void
a_primitive_has_one_of_each(void **state)
{
	const struct pv_implementation same_name = { .primitive = "test-walk", .name = "cached" };
	const struct pv_implementation second_plain = { .primitive = "test-walk", .name = "x", .plain = true };
	const struct pv_implementation second_uml = { .primitive = "test-walk",
						      .name = "y",
						      .baselines = 1u << PV_BASELINE_UML | 1u << PV_BASELINE_XEN };
	size_t before = pv_implementation_count();

	assert_int_equal(pv_implementation_register(&same_name), -EEXIST);
	assert_int_equal(pv_implementation_register(&second_plain), -EEXIST);
	assert_int_equal(pv_implementation_register(&second_uml), -EEXIST);
	assert_int_equal(pv_implementation_count(), before);
}

/* Binds with a baseline and up to two listed stages. Returns what pv_bind() does, and *found for "test-walk". */
static int
bind_with(enum pv_baseline baseline, const struct pv_stage *one, const struct pv_stage *two, struct pv_binding *found)
{
	struct pv_config_stage listed[] = { { .stage = one }, { .stage = two } };
	const struct pv_config config = {
		.settings = { .baseline = baseline },
		.stages = listed,
		.n_stages = (one != NULL ? 1u : 0u) + (two != NULL ? 1u : 0u),
	};
	struct pv_binding bindings[BINDINGS_MAX];
	int n = pv_bind(&config, bindings, BINDINGS_MAX);

	for (int i = 0; i < n; i++)
		if (strcmp(bindings[i].primitive, "test-walk") == 0)
			*found = bindings[i];
	return n;
}

static void
assert_bound(enum pv_baseline baseline, const struct pv_stage *stage, const struct pv_implementation *expected,
	     const char *why)
{
	struct pv_binding bound = { 0 };

	assert_true(bind_with(baseline, stage, NULL, &bound) > 0);
	assert_ptr_equal(bound.implementation, expected);
	assert_string_equal(bound.why, why);
}

static void
the_plain_way_is_bound_without_a_baseline(void **state)
{
	assert_bound(PV_BASELINE_NONE, NULL, &direct, "plain");
}

static void
a_baseline_binds_its_own_way(void **state)
{
	assert_bound(PV_BASELINE_UML, NULL, &walked, "baseline uml");
}

static void
a_baseline_without_an_own_way_leaves_the_plain_one(void **state)
{
	assert_bound(PV_BASELINE_XEN, NULL, &direct, "plain");
}

static void
a_listed_stage_wins_over_the_baseline(void **state)
{
	assert_bound(PV_BASELINE_UML, &mechanism, &cached, "stage test-mechanism");
	assert_bound(PV_BASELINE_NONE, &mechanism, &cached, "stage test-mechanism");
}

static void
a_packet_stage_binds_nothing(void **state)
{
	assert_bound(PV_BASELINE_UML, &packet_stage, &walked, "baseline uml");
}

static void
every_primitive_is_bound_once_and_in_order(void **state)
{
	const struct pv_config config = { 0 };
	struct pv_binding bindings[BINDINGS_MAX];
	int n = pv_bind(&config, bindings, BINDINGS_MAX);

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		assert_non_null(bindings[i].implementation);
		assert_true(i == 0 || strcmp(bindings[i - 1].primitive, bindings[i].primitive) < 0);
	}
	assert_int_equal(pv_bind(&config, bindings, (size_t)n), n);
	assert_int_equal(pv_bind(&config, bindings, (size_t)n - 1), -ENOSPC);
}

static void
what_cannot_be_bound_is_refused(void **state)
{
	struct pv_binding bound;

	assert_int_equal(bind_with(PV_BASELINE_NONE, &mechanism, &rival, &bound), -EINVAL);
	assert_int_equal(bind_with(PV_BASELINE_NONE, &lost, NULL, &bound), -EINVAL);
	assert_int_equal(bind_with(PV_BASELINE_NONE, &stray, NULL, &bound), -EINVAL);
}

/* Runs after the others that bind: what it adds cannot be taken back. */
static void
a_primitive_without_a_plain_way_is_refused(void **state)
{
	struct pv_binding bound;

	assert_int_equal(pv_implementation_register(&no_plain), 0);
	assert_int_equal(bind_with(PV_BASELINE_NONE, NULL, NULL, &bound), -EINVAL);
}

static void
full_registries_refuse_more(void **state)
{
	static struct pv_implementation implementations[256];
	static struct pv_stage stages[256];
	static char names[256][8];
	int result = 0;

	for (size_t i = 0; i < 256; i++)
		snprintf(names[i], sizeof(names[i]), "s%zu", i);
	for (size_t i = 0; i < 256 && result == 0; i++) {
		stages[i] = (struct pv_stage){ .name = names[i], .hooks = 1, .process = process };
		result = pv_stage_register(&stages[i]);
	}
	assert_int_equal(result, -ENOSPC);
	result = 0;
	for (size_t i = 0; i < 256 && result == 0; i++) {
		implementations[i] = (struct pv_implementation){ .primitive = "test-many", .name = names[i] };
		result = pv_implementation_register(&implementations[i]);
	}
	assert_int_equal(result, -ENOSPC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stage_is_found_by_its_name),
		cmocka_unit_test(a_name_is_registered_once),
		cmocka_unit_test(stages_are_in_order_of_name),
		cmocka_unit_test(drop_reasons_of_a_stage_are_registered_with_it),
		cmocka_unit_test(a_stage_is_of_exactly_one_kind),
		cmocka_unit_test(hooks_have_names),
		cmocka_unit_test(baselines_have_names),
		cmocka_unit_test(an_implementation_is_found_by_primitive_and_name),
		cmocka_unit_test(implementations_are_sorted),
		cmocka_unit_test(a_primitive_has_one_of_each),
		cmocka_unit_test(the_plain_way_is_bound_without_a_baseline),
		cmocka_unit_test(a_baseline_binds_its_own_way),
		cmocka_unit_test(a_baseline_without_an_own_way_leaves_the_plain_one),
		cmocka_unit_test(a_listed_stage_wins_over_the_baseline),
		cmocka_unit_test(a_packet_stage_binds_nothing),
		cmocka_unit_test(every_primitive_is_bound_once_and_in_order),
		cmocka_unit_test(what_cannot_be_bound_is_refused),
		cmocka_unit_test(a_primitive_without_a_plain_way_is_refused),
		cmocka_unit_test(full_registries_refuse_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
