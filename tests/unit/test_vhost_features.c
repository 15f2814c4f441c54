/* SPDX-License-Identifier: BSD-3-Clause */
/* Which features which frontend is offered, and what `doctor` says of those that are not in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_config.h>

#include "core/primitive.h"
#include "core/stage.h"
#include "vio/offload.h"
#include "vio/vhost_features.h"

#define BIT(n) (1ULL << (n))
#define OTHERS (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_MTU))
#define ABLE (OTHERS | PV_FEATURES_OFFLOAD)

static const enum pv_frontend frontends[] = { PV_FRONTEND_UML, PV_FRONTEND_QEMU, PV_FRONTEND_VIRTIO_USER };
static const uint64_t wishes[] = { 0, PV_FEATURES_FROM_GUEST, PV_FEATURES_TO_GUEST, PV_FEATURES_OFFLOAD,
				   BIT(VIRTIO_NET_F_GUEST_TSO4) };

static void
of_offloads_those_that_are_wanted_are_offered(void **state)
{
	for (size_t i = 0; i < sizeof(frontends) / sizeof(frontends[0]); i++)
		for (size_t j = 0; j < sizeof(wishes) / sizeof(wishes[0]); j++) {
			uint64_t offered =
				pv_vhost_offered(frontends[i], ABLE | pv_vhost_own_features(true), 1, wishes[j]);

			assert_int_equal(offered & PV_FEATURES_OFFLOAD, wishes[j]);
			assert_int_equal(offered & OTHERS, OTHERS);
		}
}

static void
what_the_data_path_has_not_is_not_offered(void **state)
{
	assert_int_equal(pv_vhost_offered(PV_FRONTEND_QEMU, OTHERS, 1, PV_FEATURES_OFFLOAD), OTHERS);
	assert_int_equal(pv_vhost_offered(PV_FRONTEND_QEMU, OTHERS | BIT(VIRTIO_NET_F_CSUM), 1, PV_FEATURES_OFFLOAD),
			 OTHERS | BIT(VIRTIO_NET_F_CSUM));
}

static void
segments_are_counted_for_a_guest_without_a_device_model_that_takes_large_packets(void **state)
{
	const uint64_t able = ABLE | pv_vhost_own_features(false), receives = BIT(VIRTIO_NET_F_GUEST_TSO4),
		       large = receives | BIT(VIRTIO_NET_F_HOST_TSO4);

	assert_true((pv_vhost_offered(PV_FRONTEND_UML, able, 1, large) & BIT(VIRTIO_NET_F_RSC_EXT)) != 0);
	assert_int_equal(pv_vhost_offered(PV_FRONTEND_UML, able, 1, 0) & BIT(VIRTIO_NET_F_RSC_EXT), 0);
	assert_int_equal(pv_vhost_offered(PV_FRONTEND_UML, able, 1, receives) & BIT(VIRTIO_NET_F_RSC_EXT), 0);
	assert_int_equal(pv_vhost_offered(PV_FRONTEND_QEMU, able, 1, large) & BIT(VIRTIO_NET_F_RSC_EXT), 0);
}

/* What guests are offered with the stage in one or both directions, and without it. */
static void
the_stage_offers_a_direction_or_both(void **state)
{
	static const struct {
		const char *direction;
		uint64_t features;
	} cases[] = { { "both", PV_FEATURES_OFFLOAD },
		      { "from-guest", PV_FEATURES_FROM_GUEST },
		      { "to-guest", PV_FEATURES_TO_GUEST } };
	const struct pv_stage *stage = pv_stage_find("offload");
	const struct pv_guest_interface *plain = pv_implementation_find(PV_PRIMITIVE_GUEST_INTERFACE, "plain")->ops;

	assert_int_equal(plain->features(NULL), 0);
	assert_int_equal(plain->wire_offloads(NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = json_pack("{s:s}", "direction", cases[i].direction);
		struct pv_diag *diag = pv_diag_new("test", "");
		const struct pv_guest_interface *interface;
		uint64_t options[4];

		pv_options_init(stage->options, options);
		pv_options_parse(stage->options, options, json, "", NULL, diag);
		assert_int_equal(pv_diag_count(diag), 0);
		interface = pv_implementation_find(PV_PRIMITIVE_GUEST_INTERFACE, stage->bind(options))->ops;
		assert_int_equal(interface->features(options), cases[i].features);
		assert_int_equal(interface->wire_offloads(options), PV_OFFLOAD_ALL);
		pv_diag_free(diag);
		json_decref(json);
	}
}

static const json_t *
find_answer(const json_t *answers, const char *name)
{
	const json_t *answer;
	size_t i;

	json_array_foreach(answers, i, answer)
		if (strcmp(json_string_value(json_object_get(answer, "name")), name) == 0)
			return answer;
	fail_msg("%s is not in the answer", name);
	return NULL;
}

static void
assert_answer(const json_t *answers, const char *name, bool offered, const char *refused_by, const char *change)
{
	json_t *expected =
		json_pack("{s:s, s:s, s:b, s:b, s:s?, s:s?}", "name", name, "kind", "virtio", "offered", offered,
			  "accepted", refused_by == NULL, "refused_by", refused_by, "change", change);
	const json_t *found = find_answer(answers, name);

	if (!json_equal(found, expected))
		fail_msg("%s: expected %s, found %s", name, json_dumps(expected, 0), json_dumps(found, 0));
	json_decref(expected);
}

static void
doctor_says_what_to_change_for_an_offload(void **state)
{
	static const char list[] = "list the stage \"offload\", with \"direction\": \"both\"; on \"data-path\": "
				   "\"rte_vhost\" there are no offloads";
	static const char nothing[] = "nothing: the data path does not have it";
	uint64_t offered = OTHERS | PV_FEATURES_TO_GUEST, accepted = offered & ~BIT(VIRTIO_NET_F_GUEST_UFO);
	uint64_t able = ABLE & ~BIT(VIRTIO_NET_F_HOST_UFO);
	json_t *answers = pv_vhost_doctor(PV_FRONTEND_QEMU, able, offered, accepted, 0, 0, true);

	assert_answer(answers, "VIRTIO_NET_F_CSUM", false, "pktvirt", list);
	assert_answer(answers, "VIRTIO_NET_F_HOST_TSO4", false, "pktvirt", list);
	assert_answer(answers, "VIRTIO_NET_F_HOST_TSO6", false, "pktvirt", list);
	assert_answer(answers, "VIRTIO_NET_F_HOST_ECN", false, "pktvirt", list);
	assert_answer(answers, "VIRTIO_NET_F_HOST_UFO", false, "pktvirt", nothing);
	assert_answer(answers, "VIRTIO_NET_F_GUEST_TSO4", true, NULL, NULL);
	assert_answer(answers, "VIRTIO_NET_F_GUEST_ECN", true, NULL, NULL);
	assert_answer(answers, "VIRTIO_NET_F_GUEST_UFO", true, "the guest or its device model", "QEMU: guest_ufo=on");
	json_decref(answers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_offloads_those_that_are_wanted_are_offered),
		cmocka_unit_test(what_the_data_path_has_not_is_not_offered),
		cmocka_unit_test(segments_are_counted_for_a_guest_without_a_device_model_that_takes_large_packets),
		cmocka_unit_test(the_stage_offers_a_direction_or_both),
		cmocka_unit_test(doctor_says_what_to_change_for_an_offload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
