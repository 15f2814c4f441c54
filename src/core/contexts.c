/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/contexts.h"

#include "core/datapath.h"
#include "core/primitive.h"

void
pv_contexts_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	const struct pv_multiplexing *bridge = pv_implementation_find(PV_PRIMITIVE_MULTIPLEXING, "bridge")->ops;

	bridge->switch_burst(worker, packets, count);
}
