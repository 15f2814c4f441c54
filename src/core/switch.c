/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet switching, with the way "bridge" of the primitive "multiplexing": learn the source, look the destination
 * up, flood what is broadcast, multicast or unknown, and never send a frame back to where it came from.
 */
#include "core/multiplexing.h"
#include "core/primitive.h"
#include "core/switch_inline.h"

/* To every port that is up but the packet's own. */
static void
flood(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, pv_switch_takes_all, pv_deliver);
}

static const struct pv_switch_rules rules = {
	.admit = pv_switch_learn,
	.flood = flood,
	.flood_unknown = flood,
	.deliver = pv_switch_deliver,
};

static void
bridge_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	pv_switch_burst(worker, packets, count, &rules);
}

static const struct pv_implementation bridge = {
	.primitive = PV_PRIMITIVE_MULTIPLEXING,
	.name = "bridge",
	.summary = "one learning bridge; every guest that is attached is polled in every round",
	.plain = true,
	.ops = &(const struct pv_multiplexing){ .switch_burst = bridge_burst, .by_table = true },
};
PV_IMPLEMENTATION(bridge)
