/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts: how frames find their guest, with the way "contexts" of the primitive "multiplexing" (core/multiplexing.h).
 *
 * Source: Menon, EPFL thesis 4267 (2009), 5.2: each guest has an own interface, with an address of its own, and what
 * multiplexes gives each frame straight to the one it is for.
 *
 * A context is a port with a guest; other ports are wires. It speaks with one source address: the one that is
 * configured ("mac"), else the first that it sends, which it claims in the switching table and keeps until its guest
 * is gone. Whatever else it sends is spoofed_source, and so is a claimed or configured address from anywhere else; an
 * address that was merely learned behind a wire moves to the context that claims it. Wires are learned from as with
 * the bridge.
 *
 * A context receives frames to its address, and group addresses. A frame to an address that nobody is known for goes to
 * wires only, and from a wire to the other ones.
 */
#ifndef PV_CORE_CONTEXTS_H
#define PV_CORE_CONTEXTS_H

#include "core/datapath.h"

static inline bool
pv_is_context(const struct pv_port *port)
{
	return port->role == PV_ROLE_GUEST;
}

/* An address as in struct pv_port, address; */
static inline uint64_t
pv_context_address(const uint8_t mac[6])
{
	uint64_t address = 1;

	for (int i = 5; i >= 0; i--)
		address = address << 8 | mac[i];
	return address;
}

/* and the bytes of one that is known. */
static inline void
pv_context_mac(uint64_t address, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(address >> 8 * i);
}

/*
 * Packets of a context that may be in mailboxes between workers when it is polled. All contexts of a worker share
 * those, and whoever fills one would push out the others' packets, so a context with more waits for the worker that
 * gets them.
 */
#define PV_CONTEXT_MAIL_MAX (PV_BURST_MAX / 2)

static inline bool
pv_context_has_mail(const struct pv_port *port)
{
	return unlikely(atomic_load_explicit(&port->mail, memory_order_relaxed) > PV_CONTEXT_MAIL_MAX);
}

/* As switch_burst of struct pv_multiplexing. */
void pv_contexts_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count);

/*
 * Sets what a context speaks with before its guest has spoken: what is configured, or nothing. When the port is opened,
 * and when its guest is gone and no worker uses it.
 */
void pv_context_reset_address(struct pv_port *port);

/*
 * When guests are given contexts: each keeps the address that it was last heard with, and what else was learned of it
 * is forgotten. When they are so no more: addresses that were claimed go on as learned ones. While workers do not run
 * or are held.
 */
void pv_contexts_begin(struct pv_datapath *datapath);
void pv_contexts_end(struct pv_datapath *datapath);

#endif
