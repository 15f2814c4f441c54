/* SPDX-License-Identifier: BSD-3-Clause */
/* The check of source addresses, which is compiled into each way that contexts are switched. */
#ifndef PV_CORE_CONTEXTS_INLINE_H
#define PV_CORE_CONTEXTS_INLINE_H

#include "core/contexts.h"
#include "core/switch_inline.h"

/* For a frame whose source is not the context's address: claims it if there is none yet. As `admit` of the rules. */
bool pv_contexts_admit_first(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet);

/* As `admit` of struct pv_switch_rules. */
static inline bool
pv_contexts_admit(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	const struct pv_port *port = worker->datapath->ports[packet->port];

	if (!pv_is_context(port))
		return pv_switch_learn(worker, memory, packet);
	if (likely(pv_context_address(ether->src_addr.addr_bytes) ==
		   atomic_load_explicit(&port->address, memory_order_relaxed)))
		return true;
	return pv_contexts_admit_first(worker, memory, packet);
}

#endif
