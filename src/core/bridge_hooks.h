/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way "hooked-bridge" of the primitive "multiplexing": a learning bridge with hooks, as in Xen's driver domain.
 *
 * Source: Menon, EPFL thesis 4267 (2009), 2.3: what Linux's bridge and netfilter routines cost there for each packet
 * ("non-proto", 15 % to 19 %), "even when no netfilter hooks are set up"; 5.1 is what contexts are compared with.
 *
 * Each packet passes the hooks that Linux's bridge has, in the same places: pre-routing before its source is learned,
 * forward when its egress port is known, post-routing before it is sent; a flooded packet passes the last two for each
 * port. At each hook functions are called in turn by pointers, whoever has registered them. Those that are there from
 * the start are what a driver domain has with ebtables and iptables: a chain of rules for frames at each hook, without
 * rules, and a chain for IP packets, which has one for each port in "forward": Xen's script for virtual interfaces adds
 * "-A FORWARD -m physdev --physdev-in vifD.N -j ACCEPT". A chain is looked through from its beginning, and every rule
 * compares all that a rule of ebtables does; the rule that accepts a packet counts it.
 *
 * So all packets pass, and guests see what they see with the way "bridge". Addresses are learned and looked up for each
 * packet; nothing is remembered in a burst. What it costs is what this code costs: there are no delays. It is less than
 * in Linux: no sk_buff is cloned, no lock is taken, no statistics of devices are kept.
 */
#ifndef PV_CORE_BRIDGE_HOOKS_H
#define PV_CORE_BRIDGE_HOOKS_H

#include <stdbool.h>

#include "core/worker.h"

#define PV_BRIDGE_FUNCTIONS_MAX 8 /* at each hook */

/* Where a packet is; ports that are not known there are PV_FDB_NO_PORT. */
struct pv_bridge_state {
	struct pv_worker *worker;
	enum pv_bridge_hook hook;
	uint16_t in, out;
};

/* What is called for each packet: whether it may go on; it is dropped otherwise. */
typedef bool pv_bridge_function(void *own, const struct rte_mbuf *packet, const struct pv_bridge_state *state);

/*
 * Adds a function to a hook, behind those that are there, and takes it away. While no worker runs. 0, -ENOSPC; -ENOENT
 * when it is not there.
 */
int pv_bridge_register(enum pv_bridge_hook hook, pv_bridge_function *function, void *own);
int pv_bridge_unregister(enum pv_bridge_hook hook, pv_bridge_function *function);

#endif
