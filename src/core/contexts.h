/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts: how frames find their guest, with the way "contexts" of the primitive "multiplexing" (core/multiplexing.h).
 */
#ifndef PV_CORE_CONTEXTS_H
#define PV_CORE_CONTEXTS_H

#include "core/worker.h"

/* A context is a port with a guest; other ports are wires. */
static inline bool
pv_is_context(const struct pv_port *port)
{
	return port->role == PV_ROLE_GUEST;
}

/* As switch_burst of struct pv_multiplexing. */
void pv_contexts_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count);

#endif
