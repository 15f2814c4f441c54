/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules of a device, over a driver that is made of the three functions that the library has for them, here; and what
 * one without such rules says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_flow.h>

#include "vio/ethdev_flow.h"

#define DEVICE 7
#define RULES_MAX 8

struct rte_flow {
	struct rte_ether_addr to;
	uint16_t vlan; /* 0: not looked at */
	uint16_t queue;
	bool made;
};

static struct {
	struct rte_flow rules[RULES_MAX];
	int validates, creates, destroys; /* what these return, negative */
	int created;
} driver;

static void
read_pattern(struct rte_flow *rule, const struct rte_flow_item *pattern)
{
	const struct rte_flow_item_eth *eth = pattern[0].spec, *eth_mask = pattern[0].mask;
	const struct rte_flow_item_vlan *vlan = pattern[1].spec, *vlan_mask = pattern[1].mask;

	assert_int_equal(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
	assert_true(rte_is_broadcast_ether_addr(&eth_mask->hdr.dst_addr));
	assert_true(rte_is_zero_ether_addr(&eth_mask->hdr.src_addr));
	assert_int_equal(eth_mask->hdr.ether_type, 0);
	rule->to = eth->hdr.dst_addr;
	rule->vlan = 0;
	if (pattern[1].type == RTE_FLOW_ITEM_TYPE_END)
		return;
	assert_int_equal(pattern[1].type, RTE_FLOW_ITEM_TYPE_VLAN);
	assert_int_equal(pattern[2].type, RTE_FLOW_ITEM_TYPE_END);
	assert_int_equal(vlan_mask->hdr.vlan_tci, RTE_BE16(0x0fff));
	rule->vlan = rte_be_to_cpu_16(vlan->hdr.vlan_tci);
}

int
rte_flow_validate(uint16_t device, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
		  const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	struct rte_flow rule;

	assert_int_equal(device, DEVICE);
	assert_true(attr->ingress && !attr->egress && !attr->transfer);
	read_pattern(&rule, pattern);
	assert_int_equal(actions[0].type, RTE_FLOW_ACTION_TYPE_QUEUE);
	assert_int_equal(actions[1].type, RTE_FLOW_ACTION_TYPE_END);
	return driver.validates;
}

struct rte_flow *
rte_flow_create(uint16_t device, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
		const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	const struct rte_flow_action_queue *there = actions[0].conf;
	struct rte_flow *rule = &driver.rules[driver.created];

	rte_errno = -driver.creates;
	if (driver.creates != 0)
		return NULL;
	assert_true(driver.created < RULES_MAX);
	driver.created++;
	read_pattern(rule, pattern);
	rule->queue = there->index;
	rule->made = true;
	return rule;
}

int
rte_flow_destroy(uint16_t device, struct rte_flow *rule, struct rte_flow_error *error)
{
	assert_int_equal(device, DEVICE);
	assert_true(rule->made);
	if (driver.destroys == 0)
		rule->made = false;
	return driver.destroys;
}

static const uint8_t one[6] = { 0x52, 0x54, 0, 0, 0, 1 }, two[6] = { 0x52, 0x54, 0, 0, 0, 2 };

static int
begin(void **state)
{
	memset(&driver, 0, sizeof(driver));
	return 0;
}

static void
a_rule_says_address_vlan_and_queue(void **state)
{
	struct pv_ethdev_flows flows = { 0 };

	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 3), 0);
	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, two, 4094, 0), 0);
	assert_int_equal(flows.count, 2);
	assert_memory_equal(&driver.rules[0].to, one, 6);
	assert_int_equal(driver.rules[0].vlan, 0);
	assert_int_equal(driver.rules[0].queue, 3);
	assert_memory_equal(&driver.rules[1].to, two, 6);
	assert_int_equal(driver.rules[1].vlan, 4094);
	assert_int_equal(driver.rules[1].queue, 0);
	pv_ethdev_flow_clear(&flows, DEVICE);
	assert_int_equal(flows.count, 0);
	assert_false(driver.rules[0].made || driver.rules[1].made);
}

static void
rules_are_taken_away_by_address_and_vlan(void **state)
{
	struct pv_ethdev_flows flows = { 0 };

	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), 0);
	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 5, 1), 0);
	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, two, 5, 2), 0);
	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 5, 3), -EEXIST);
	assert_int_equal(pv_ethdev_flow_remove(&flows, DEVICE, one, 5), 0);
	assert_int_equal(pv_ethdev_flow_remove(&flows, DEVICE, one, 5), 0);
	assert_int_equal(pv_ethdev_flow_remove(&flows, DEVICE, two, 0), 0);
	assert_int_equal(flows.count, 2);
	assert_true(driver.rules[0].made && driver.rules[2].made);
	assert_false(driver.rules[1].made);
	pv_ethdev_flow_clear(&flows, DEVICE);
}

/* Which error it is depends on the driver. */
static void
a_driver_without_such_rules_is_told_from_one_that_refuses_this_one(void **state)
{
	static const int none[] = { -ENOSYS, -ENOTSUP, -EINVAL, -EPERM },
			 this[] = { -ENOSPC, -EBUSY, -EEXIST, -ENOMEM };
	struct pv_ethdev_flows flows = { 0 };

	for (size_t i = 0; i < 4; i++) {
		driver.validates = none[i];
		assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), -ENOTSUP);
		driver.validates = this[i];
		assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), this[i]);
		driver.validates = 0;
		driver.creates = this[i];
		assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), this[i]);
		driver.creates = 0;
	}
	assert_int_equal(driver.created, 0);
	assert_int_equal(flows.count, 0);
}

static void
a_rule_that_the_device_keeps_is_still_known(void **state)
{
	struct pv_ethdev_flows flows = { 0 };

	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), 0);
	driver.destroys = -EIO;
	assert_int_equal(pv_ethdev_flow_remove(&flows, DEVICE, one, 0), -EIO);
	assert_int_equal(flows.count, 1);
	driver.destroys = 0;
	assert_int_equal(pv_ethdev_flow_remove(&flows, DEVICE, one, 0), 0);
	assert_int_equal(flows.count, 0);
	/* One that goes with its device is not asked for again. */
	assert_int_equal(pv_ethdev_flow_add(&flows, DEVICE, one, 0, 0), 0);
	driver.destroys = -EIO;
	pv_ethdev_flow_clear(&flows, DEVICE);
	assert_int_equal(flows.count, 0);
	assert_null(flows.first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_rule_says_address_vlan_and_queue, begin),
		cmocka_unit_test_setup(rules_are_taken_away_by_address_and_vlan, begin),
		cmocka_unit_test_setup(a_driver_without_such_rules_is_told_from_one_that_refuses_this_one, begin),
		cmocka_unit_test_setup(a_rule_that_the_device_keeps_is_still_known, begin),
	};

	return cmocka_run_group_tests_name("ethdev_flow", tests, NULL, NULL);
}
