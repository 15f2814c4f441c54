/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port->address is written once for a guest, by the worker that gets the first frame of it: from 0 to the address,
 * after the table has it as claimed. Two workers may do so at the same time, for two queues of one guest and two
 * addresses; whoever finds that the other was faster takes his claim back. While it is known no table is looked at.
 *
 * It is reset when the guest is gone and all workers have been quiescent, so that no packet of that guest can claim for
 * the next one.
 */
#include "core/contexts.h"

#include "core/contexts_inline.h"
#include "core/vlan.h"

static void
flood(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, pv_switch_takes_all, pv_deliver);
}

static inline bool
is_a_wire(const struct pv_worker *worker, const struct rte_mbuf *packet, const struct pv_port *to)
{
	return !pv_is_context(to);
}

static void
flood_wires(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, is_a_wire, pv_deliver);
}

static const struct pv_switch_rules rules = {
	.admit = pv_contexts_admit,
	.flood = flood,
	.flood_unknown = flood_wires,
	.deliver = pv_switch_deliver,
};

void
pv_contexts_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	if (unlikely(worker->datapath->uses_vlans))
		pv_vlan_switch_burst(worker, packets, count);
	else
		pv_switch_burst(worker, packets, count, &rules);
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

/* Claims an address for a context that has none. Whether it is the context's now. */
static bool
claim(struct pv_worker *worker, struct pv_port *port, const uint8_t mac[6])
{
	uint64_t known = 0, wanted = pv_context_address(mac);
	enum pv_fdb_learned learned = pv_fdb_claim(worker->datapath->fdb, mac, port->id, worker->now_s);

	if (learned == PV_FDB_SPOOFED || learned == PV_FDB_REFUSED)
		return false;
	if (atomic_compare_exchange_strong(&port->address, &known, wanted) || known == wanted)
		return true;
	pv_fdb_unclaim(worker->datapath->fdb, mac, port->id);
	return false;
}

bool
pv_contexts_admit_first(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	struct pv_port *port = worker->datapath->ports[packet->port];

	if (!pv_switch_is_source(worker, packet))
		return false;
	if (port->address != 0 || !claim(worker, port, ether->src_addr.addr_bytes)) {
		pv_drop(worker, packet->port, PV_DROP_SPOOFED_SOURCE, packet);
		return false;
	}
	pv_switch_forget(memory);
	return true;
}

void
pv_context_reset_address(struct pv_port *port)
{
	port->address = port->mac.set ? pv_context_address(port->mac.bytes) : 0;
}

/* --- going over --------------------------------------------------------------------------------------------------- */

static enum pv_fdb_keep
to_keep(const struct pv_port *port)
{
	if (port == NULL || !pv_is_context(port))
		return PV_FDB_KEEP_ALL;
	return port->mac.set ? PV_FDB_KEEP_NONE : PV_FDB_KEEP_LAST;
}

void
pv_contexts_begin(struct pv_datapath *datapath)
{
	struct pv_fdb_adoption adoption[PV_PORTS_MAX] = { 0 };

	for (uint16_t i = 0; i < datapath->n_ports; i++)
		adoption[i].keep = to_keep(datapath->ports[i]);
	pv_fdb_adopt(datapath->fdb, adoption, pv_now_s());
	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		if (datapath->ports[i] == NULL)
			continue;
		pv_context_reset_address(datapath->ports[i]);
		if (adoption[i].claimed)
			datapath->ports[i]->address = pv_context_address(adoption[i].mac);
	}
}

void
pv_contexts_end(struct pv_datapath *datapath)
{
	pv_fdb_release_claims(datapath->fdb, pv_now_s());
	for (uint16_t i = 0; i < datapath->n_ports; i++)
		if (datapath->ports[i] != NULL)
			pv_context_reset_address(datapath->ports[i]);
}
