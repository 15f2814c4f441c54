/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/ethdev_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_flow.h>

#define VLAN_ID_MASK 0x0fff

struct pv_ethdev_flow {
	struct pv_ethdev_flow *next;
	struct rte_flow *handle;
	uint8_t mac[6];
	uint16_t vlan;
};

/* The place that points to a rule, or to the end of the list. */
static struct pv_ethdev_flow **
find(struct pv_ethdev_flows *flows, const uint8_t mac[6], uint16_t vlan)
{
	struct pv_ethdev_flow **at = &flows->first;

	while (*at != NULL && ((*at)->vlan != vlan || memcmp((*at)->mac, mac, 6) != 0))
		at = &(*at)->next;
	return at;
}

/* Drivers say in many ways that they have no such rules. */
static int
validate(uint16_t device, const struct rte_flow_item *pattern, const struct rte_flow_action *actions)
{
	const struct rte_flow_attr ingress = { .ingress = 1 };
	struct rte_flow_error error = { 0 };
	int result = rte_flow_validate(device, &ingress, pattern, actions, &error);

	switch (result) {
	case -ENOSYS:
	case -ENOTSUP:
	case -EINVAL:
	case -EPERM:
		return -ENOTSUP;
	default:
		return result;
	}
}

static struct rte_flow *
create(uint16_t device, const struct rte_flow_item *pattern, const struct rte_flow_action *actions, int *result)
{
	const struct rte_flow_attr ingress = { .ingress = 1 };
	struct rte_flow_error error = { 0 };
	struct rte_flow *handle;

	*result = validate(device, pattern, actions);
	if (*result != 0)
		return NULL;
	rte_errno = 0;
	handle = rte_flow_create(device, &ingress, pattern, actions, &error);
	if (handle == NULL)
		*result = rte_errno > 0 ? -rte_errno : -EIO;
	return handle;
}

static struct rte_flow *
create_for(uint16_t device, const uint8_t mac[6], uint16_t vlan, uint16_t queue, int *result)
{
	struct rte_flow_item_eth to = { 0 };
	const struct rte_flow_item_eth to_mask = { .hdr.dst_addr.addr_bytes = "\xff\xff\xff\xff\xff\xff" };
	const struct rte_flow_item_vlan in = { .hdr.vlan_tci = rte_cpu_to_be_16(vlan) };
	const struct rte_flow_item_vlan in_mask = { .hdr.vlan_tci = RTE_BE16(VLAN_ID_MASK) };
	const struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &to, .mask = &to_mask },
		{ .type = vlan != 0 ? RTE_FLOW_ITEM_TYPE_VLAN : RTE_FLOW_ITEM_TYPE_END, .spec = &in, .mask = &in_mask },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct rte_flow_action_queue there = { .index = queue };
	const struct rte_flow_action actions[] = {
		{ .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &there },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};

	memcpy(to.hdr.dst_addr.addr_bytes, mac, 6);
	return create(device, pattern, actions, result);
}

int
pv_ethdev_flow_add(struct pv_ethdev_flows *flows, uint16_t device, const uint8_t mac[6], uint16_t vlan, uint16_t queue)
{
	struct pv_ethdev_flow *flow;
	int result;

	if (*find(flows, mac, vlan) != NULL)
		return -EEXIST;
	flow = calloc(1, sizeof(*flow));
	if (flow == NULL)
		return -ENOMEM;
	flow->handle = create_for(device, mac, vlan, queue, &result);
	if (flow->handle == NULL) {
		free(flow);
		return result;
	}
	memcpy(flow->mac, mac, sizeof(flow->mac));
	flow->vlan = vlan;
	flow->next = flows->first;
	flows->first = flow;
	flows->count++;
	return 0;
}

int
pv_ethdev_flow_remove(struct pv_ethdev_flows *flows, uint16_t device, const uint8_t mac[6], uint16_t vlan)
{
	struct pv_ethdev_flow **at = find(flows, mac, vlan), *flow = *at;
	struct rte_flow_error error = { 0 };
	int result;

	if (flow == NULL)
		return 0;
	result = rte_flow_destroy(device, flow->handle, &error);
	if (result != 0)
		return result;
	*at = flow->next;
	free(flow);
	flows->count--;
	return 0;
}

void
pv_ethdev_flow_clear(struct pv_ethdev_flows *flows, uint16_t device)
{
	while (flows->first != NULL) {
		struct pv_ethdev_flow *flow = flows->first;
		struct rte_flow_error error = { 0 };

		rte_flow_destroy(device, flow->handle, &error);
		flows->first = flow->next;
		free(flow);
	}
	flows->count = 0;
}
