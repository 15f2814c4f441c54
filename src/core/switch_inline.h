/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the ways of the primitive "multiplexing" have in common, compiled into each with the rules that are its own
 * (struct pv_switch_rules, a constant): the walk over a burst, what is remembered in it, flooding.
 *
 * Frames of one burst mostly share source and destination, so the last answer of each is kept for the burst.
 */
#ifndef PV_CORE_SWITCH_INLINE_H
#define PV_CORE_SWITCH_INLINE_H

#include <string.h>

#include <rte_cycles.h>
#include <rte_ether.h>

#include "core/datapath.h"
#include "vio/offload.h"

/* The last addresses of this burst and what was found for them. */
struct pv_switch_memory {
	struct rte_ether_addr source, destination;
	uint16_t source_port;
	uint16_t egress;
	uint8_t last[2 * RTE_ETHER_ADDR_LEN]; /* both addresses of the last packet that went to `direct`, */
	uint16_t last_port;		      /* and where it came from */
	uint16_t direct;    /* port to which packets go with no stage and no other worker in between */
	bool direct_copies; /* its `copies`, what it need not be asked for, and frame_max */
	uint64_t direct_flags;
	uint32_t direct_max;
};

/* What becomes of a frame. Each of these delivers or drops the packet, but for `admit`, which may also let it pass. */
struct pv_switch_rules {
	/* False when the frame may not carry that source address; it is dropped then. */
	bool (*admit)(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet);
	/* To a group address, and to an address that the table does not have. */
	void (*flood)(struct pv_worker *worker, struct rte_mbuf *packet);
	void (*flood_unknown)(struct pv_worker *worker, struct rte_mbuf *packet);
	/* To the port that the address is behind, which is another. */
	void (*deliver)(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet,
			uint16_t egress);
};

/* --- sources ------------------------------------------------------------------------------------------------------ */

/* What a frame taught may be about the addresses of frames behind it. */
static inline void
pv_switch_forget(struct pv_switch_memory *memory)
{
	memory->source_port = PV_FDB_NO_PORT;
	memory->egress = PV_FDB_NO_PORT;
	memory->last_port = PV_FDB_NO_PORT;
}

/* Whether the source address of a frame is one that can speak; it is dropped otherwise. */
static inline bool
pv_switch_is_source(struct pv_worker *worker, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);

	if (likely(rte_is_valid_assigned_ether_addr(&ether->src_addr)))
		return true;
	pv_drop(worker, packet->port, PV_DROP_BAD_SOURCE, packet);
	return false;
}

/* Learns the source of a frame, once a burst. False when it may not carry that address; it is dropped then. */
static inline bool
pv_switch_learn(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	enum pv_fdb_learned learned;

	if (likely(memory->source_port == packet->port && rte_is_same_ether_addr(&memory->source, &ether->src_addr)))
		return true;
	if (unlikely(!pv_switch_is_source(worker, packet)))
		return false;
	learned = pv_fdb_learn(worker->datapath->fdb, ether->src_addr.addr_bytes, packet->port, worker->now_s);
	if (unlikely(learned != PV_FDB_KNOWN)) {
		if (learned == PV_FDB_SPOOFED) {
			pv_drop(worker, packet->port, PV_DROP_SPOOFED_SOURCE, packet);
			return false;
		}
		pv_switch_forget(memory);
	}
	memory->source = ether->src_addr;
	memory->source_port = packet->port;
	return true;
}

/* --- destinations ------------------------------------------------------------------------------------------------- */

static inline uint16_t
pv_switch_find(struct pv_worker *worker, struct pv_switch_memory *memory, const struct rte_ether_addr *destination)
{
	if (likely(memory->egress != PV_FDB_NO_PORT && rte_is_same_ether_addr(&memory->destination, destination)))
		return memory->egress;
	memory->egress = pv_fdb_lookup(worker->datapath->fdb, destination->addr_bytes);
	memory->destination = *destination;
	return memory->egress;
}

/* IEEE 802.1Q, table 8-1: addresses that a bridge does not forward. */
static inline bool
pv_switch_is_link_local(const struct rte_ether_addr *address)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(address->addr_bytes, prefix, sizeof(prefix)) == 0 && address->addr_bytes[5] < 0x10;
}

/* Whether a packet is for a port, of those that are up, and what is done to give it one. */
typedef bool pv_switch_takes(const struct pv_worker *worker, const struct rte_mbuf *packet, const struct pv_port *to);
typedef void pv_switch_give(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to);

static inline bool
pv_switch_takes_all(const struct pv_worker *worker, const struct rte_mbuf *packet, const struct pv_port *to)
{
	return true;
}

static __rte_always_inline void
pv_switch_give_copy(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to, pv_switch_give *give)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(packet, worker->datapath->pool, 0, UINT32_MAX);

	if (unlikely(copy == NULL)) {
		worker->ports[to].drops[PV_DROP_NO_BUFFER]++;
		return;
	}
	worker->counters.flooded++;
	worker->flooded_bytes += packet->pkt_len;
	give(worker, copy, to);
}

/* Gives a copy to every port that takes it but the packet's own; the last one gets the packet itself. */
static __rte_always_inline void
pv_switch_flood(struct pv_worker *worker, struct rte_mbuf *packet, pv_switch_takes *takes, pv_switch_give *give)
{
	const struct pv_datapath *datapath = worker->datapath;
	uint16_t target = PV_FDB_NO_PORT;

	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		const struct pv_port *port = datapath->ports[i];

		if (i == packet->port || port == NULL || !port->up || !takes(worker, packet, port))
			continue;
		if (target != PV_FDB_NO_PORT)
			pv_switch_give_copy(worker, packet, target, give);
		target = i;
	}
	if (target == PV_FDB_NO_PORT)
		pv_drop(worker, packet->port, PV_DROP_NO_PORT, packet);
	else
		give(worker, packet, target);
}

/* --- bursts ------------------------------------------------------------------------------------------------------- */

/* The short form of pv_deliver() for the packets after the first to `direct`. False when it does not fit. */
static inline bool
pv_switch_deliver_directly(struct pv_worker *worker, const struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	if (memory->direct == PV_FDB_NO_PORT || packet->pkt_len > memory->direct_max ||
	    (packet->ol_flags & PV_OFFLOAD_FLAGS & ~memory->direct_flags) != 0 ||
	    (packet->nb_segs > 1 && !memory->direct_copies) || pv_fan_is_full(&worker->send, memory->direct))
		return false;
	pv_fan_add(&worker->send, memory->direct, packet);
	return true;
}

/* Whether all that was found for the last packet holds for this one: most of a burst is of one flow. */
static inline bool
pv_switch_is_like_the_last(const struct pv_switch_memory *memory, const struct rte_mbuf *packet)
{
	return memory->last_port == packet->port &&
	       memcmp(memory->last, rte_pktmbuf_mtod(packet, const void *), sizeof(memory->last)) == 0;
}

/* Delivers a packet, and opens the direct way for those behind it if there is one. As `deliver` of the rules. */
static inline void
pv_switch_deliver(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet, uint16_t egress)
{
	const struct pv_port *port = worker->datapath->ports[egress];

	memcpy(memory->last, rte_pktmbuf_mtod(packet, const void *), sizeof(memory->last));
	memory->last_port = packet->port;
	pv_deliver(worker, packet, egress);
	memory->direct = PV_FDB_NO_PORT;
	if (!port->up || !pv_owns_an_active_queue(&worker->route[egress], port->active_queues) ||
	    worker->packet_stages.chain[pv_egress_hook(port)].count > 0)
		return;
	memory->direct = egress;
	memory->direct_copies = port->copies;
	memory->direct_max = port->frame_max;
	memory->direct_flags = (port->offloads & PV_OFFLOAD_CSUM) != 0 ? RTE_MBUF_F_TX_L4_MASK : 0;
}

static __rte_always_inline void
pv_switch_forward(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet,
		  const struct pv_switch_rules *rules)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	uint16_t egress;

	if (unlikely(rte_is_multicast_ether_addr(&ether->dst_addr))) {
		if (pv_switch_is_link_local(&ether->dst_addr))
			pv_drop(worker, packet->port, PV_DROP_LINK_LOCAL, packet);
		else
			rules->flood(worker, packet);
		return;
	}
	egress = pv_switch_find(worker, memory, &ether->dst_addr);
	if (unlikely(egress == PV_FDB_NO_PORT))
		rules->flood_unknown(worker, packet);
	else if (unlikely(egress == packet->port))
		pv_drop(worker, packet->port, PV_DROP_SAME_PORT, packet);
	else
		rules->deliver(worker, memory, packet, egress);
}

static __rte_always_inline void
pv_switch_one(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet,
	      const struct pv_switch_rules *rules)
{
	if (likely(pv_switch_is_like_the_last(memory, packet) && pv_switch_deliver_directly(worker, memory, packet)))
		return;
	if (likely(rules->admit(worker, memory, packet)))
		pv_switch_forward(worker, memory, packet, rules);
}

/* As switch_burst of struct pv_multiplexing. */
static __rte_always_inline void
pv_switch_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count,
		const struct pv_switch_rules *rules)
{
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_SWITCH];
	struct pv_switch_memory memory = {
		.source_port = PV_FDB_NO_PORT,
		.egress = PV_FDB_NO_PORT,
		.direct = PV_FDB_NO_PORT,
		.last_port = PV_FDB_NO_PORT,
	};
	const uint64_t *transmit_cycles = &worker->counters.section[PV_SECTION_TRANSMIT].cycles;
	uint64_t start = rte_rdtsc() - *transmit_cycles;
	struct pv_events *events = pv_critical_events();

	for (uint16_t i = 0; i < count; i++) {
		bool before = pv_critical_enter(events);

		pv_switch_one(worker, &memory, packets[i], rules);
		pv_critical_leave(events, before);
	}
	section->calls++;
	section->packets += count;
	/* A vector that fills up is sent from in here: sending is not the switch's time. */
	section->cycles += rte_rdtsc() - *transmit_cycles - start;
}

#endif
