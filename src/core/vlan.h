/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VLANs of contexts: how bursts are switched where some port has the option "vlan" (IEEE 802.1Q).
 *
 * A context is of the VLAN that is configured, or of none, and hears only contexts of the same. Its guest knows nothing
 * of that: what it sends and gets has no tag. Wires are trunks: they hear all, with the tag of the sender's VLAN, and a
 * frame from a wire is for the contexts of the VLAN that its tag names, and for those of none if there is no tag or one
 * that has a priority only (VLAN 0). Between wires frames pass as they are.
 *
 * A guest with a VLAN that tags frames itself has them dropped as wrong_vlan, lest it gets into another one behind a
 * wire; a tag with a priority only is completed. A guest of none may send tagged frames, to wires and to other guests
 * of none; back from a wire it gets none. A frame to the address of a context of another VLAN is wrong_vlan, too:
 * addresses are unique over all VLANs, since there is one switching table.
 *
 * Tags are of the type 0x8100; other ones (0x88a8) are a part of the payload, but a guest with a VLAN may not send
 * those either. A tag goes into, or comes out of, the packet's first segment, which nobody else may hold: what is
 * shared is copied. Requests for offloads stay right, as l2_len says where the network header is.
 */
#ifndef PV_CORE_VLAN_H
#define PV_CORE_VLAN_H

#include "core/worker.h"

/* As switch_burst of struct pv_multiplexing, for contexts. */
void pv_vlan_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count);

#endif
