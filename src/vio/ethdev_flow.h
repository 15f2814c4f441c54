/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules of a DPDK device that bring frames for an address to a queue: rte_flow, "Ethernet destination, and the VLAN if
 * one is given, to queue". Frames without a rule are spread as before (RSS). A rule is validated before it is made: so
 * a driver that has no such rules, which is most, says so without having begun anything.
 *
 * On one thread, but for the count.
 */
#ifndef PV_VIO_ETHDEV_FLOW_H
#define PV_VIO_ETHDEV_FLOW_H

#include <stdatomic.h>
#include <stdint.h>

struct pv_ethdev_flow;

/* The rules of a device. All zero: none. */
struct pv_ethdev_flows {
	struct pv_ethdev_flow *first;
	_Atomic uint32_t count;
};

/*
 * Makes the rule for an address in a VLAN (0: whatever its VLAN). 0, or -errno: -ENOTSUP when the driver has no such
 * rules, -EEXIST when there is one.
 */
int pv_ethdev_flow_add(struct pv_ethdev_flows *flows, uint16_t device, const uint8_t mac[6], uint16_t vlan,
		       uint16_t queue);

/* Takes it away. 0, also when there is none, or -errno and it is still there. */
int pv_ethdev_flow_remove(struct pv_ethdev_flows *flows, uint16_t device, const uint8_t mac[6], uint16_t vlan);

/* Takes all away; what the driver keeps goes with the device. */
void pv_ethdev_flow_clear(struct pv_ethdev_flows *flows, uint16_t device);

#endif
