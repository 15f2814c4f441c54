/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vlan.h"

#include "core/contexts_inline.h"

#define VLAN_OF_TAG 0x0fffu /* of a tag's 16 bits */
#define TAGGED_HEADER (RTE_ETHER_HDR_LEN + sizeof(struct rte_vlan_hdr))

static inline rte_be16_t
type_of(const struct rte_mbuf *packet)
{
	return rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *)->ether_type;
}

static inline bool
has_tag(const struct rte_mbuf *packet)
{
	return type_of(packet) == RTE_BE16(RTE_ETHER_TYPE_VLAN);
}

static inline rte_be16_t *
tag_of(const struct rte_mbuf *packet)
{
	return rte_pktmbuf_mtod_offset(packet, rte_be16_t *, RTE_ETHER_HDR_LEN);
}

/* The VLAN that a frame's tag names; 0 when there is none. */
static inline uint16_t
tagged_vlan(const struct rte_mbuf *packet)
{
	return has_tag(packet) ? rte_be_to_cpu_16(*tag_of(packet)) & VLAN_OF_TAG : 0;
}

static inline const struct pv_port *
sender_of(const struct pv_worker *worker, const struct rte_mbuf *packet)
{
	return worker->datapath->ports[packet->port];
}

/* The VLAN whose contexts a frame is for. */
static inline uint16_t
vlan_of(const struct pv_worker *worker, const struct rte_mbuf *packet)
{
	const struct pv_port *from = sender_of(worker, packet);

	return pv_is_context(from) ? from->vlan : tagged_vlan(packet);
}

/* --- what may pass ------------------------------------------------------------------------------------------------ */

/* Whether its sender is of a VLAN and says itself of which one a frame is. */
static bool
brings_a_tag(const struct pv_worker *worker, const struct rte_mbuf *packet)
{
	const struct pv_port *from = sender_of(worker, packet);

	return pv_is_context(from) && from->vlan != 0 &&
	       (tagged_vlan(packet) != 0 || type_of(packet) == RTE_BE16(RTE_ETHER_TYPE_QINQ));
}

static bool
admit(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	if (unlikely(has_tag(packet) && packet->data_len < TAGGED_HEADER)) {
		pv_drop(worker, packet->port, PV_DROP_RUNT, packet);
		return false;
	}
	if (unlikely(brings_a_tag(worker, packet))) {
		pv_drop(worker, packet->port, PV_DROP_WRONG_VLAN, packet);
		return false;
	}
	return pv_contexts_admit(worker, memory, packet);
}

static inline bool
may_reach(const struct pv_worker *worker, const struct rte_mbuf *packet, const struct pv_port *to)
{
	return !pv_is_context(to) || to->vlan == vlan_of(worker, packet);
}

static inline bool
is_a_wire(const struct pv_worker *worker, const struct rte_mbuf *packet, const struct pv_port *to)
{
	return !pv_is_context(to);
}

/* --- tags --------------------------------------------------------------------------------------------------------- */

/* A packet with the same bytes whose first segment may be written; NULL when there is no buffer for it. */
static struct rte_mbuf *
make_writable(struct pv_worker *worker, struct rte_mbuf *packet)
{
	struct rte_mbuf *copy;

	if (likely(RTE_MBUF_DIRECT(packet) && rte_mbuf_refcnt_read(packet) == 1))
		return packet;
	copy = rte_pktmbuf_copy(packet, worker->datapath->pool, 0, UINT32_MAX);
	rte_pktmbuf_free(packet);
	return copy;
}

/* Gives a frame the tag of a VLAN; one that has a tag without a VLAN keeps its priority. False: there is no room. */
static bool
put_tag(struct rte_mbuf **packet, uint16_t vlan)
{
	if (has_tag(*packet)) {
		*tag_of(*packet) |= rte_cpu_to_be_16(vlan);
		return true;
	}
	(*packet)->vlan_tci = vlan;
	return rte_vlan_insert(packet) == 0;
}

static void
take_tag(struct rte_mbuf *packet)
{
	if (rte_vlan_strip(packet) != 0)
		return;
	packet->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
	packet->vlan_tci = 0;
	if (packet->l2_len >= TAGGED_HEADER)
		packet->l2_len -= sizeof(struct rte_vlan_hdr);
}

/* Delivers a frame as its receiver is to see it. */
static void
give(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	const struct pv_port *from = sender_of(worker, packet);
	bool to_context = pv_is_context(worker->datapath->ports[to]);
	bool puts = !to_context && pv_is_context(from) && from->vlan != 0;
	bool takes = to_context && has_tag(packet) && (!pv_is_context(from) || from->vlan != 0);

	if (puts || takes) {
		packet = make_writable(worker, packet);
		if (unlikely(packet == NULL)) {
			worker->ports[to].drops[PV_DROP_NO_BUFFER]++;
			return;
		}
	}
	if (takes)
		take_tag(packet);
	if (puts && unlikely(!put_tag(&packet, from->vlan)))
		pv_drop(worker, to, PV_DROP_NO_BUFFER, packet);
	else
		pv_deliver(worker, packet, to);
}

/* --- the burst ---------------------------------------------------------------------------------------------------- */

static void
flood(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, may_reach, give);
}

static void
flood_wires(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, is_a_wire, give);
}

static void
deliver(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet, uint16_t egress)
{
	if (likely(may_reach(worker, packet, worker->datapath->ports[egress])))
		give(worker, packet, egress);
	else
		pv_drop(worker, packet->port, PV_DROP_WRONG_VLAN, packet);
}

static const struct pv_switch_rules rules = {
	.admit = admit,
	.flood = flood,
	.flood_unknown = flood_wires,
	.deliver = deliver,
};

void
pv_vlan_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	pv_switch_burst(worker, packets, count, &rules);
}
