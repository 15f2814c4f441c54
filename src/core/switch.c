/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet switching: learn the source, look the destination up, flood what is broadcast, multicast or unknown, and
 * never send a frame back to where it came from. Frames of one burst mostly share source and destination, so the last
 * answer of each is kept for the burst.
 */
#include <string.h>

#include <rte_ether.h>

#include "core/datapath.h"
#include "core/multiplexing.h"
#include "vio/offload.h"

/* The last addresses of this burst and what was found for them. */
struct memory {
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

static inline bool
learned_already(const struct memory *memory, const struct rte_ether_hdr *ether, uint16_t port)
{
	return memory->source_port == port && rte_is_same_ether_addr(&memory->source, &ether->src_addr);
}

/* False when the frame may not carry that source address; it is dropped then. */
static inline bool
admit_source(struct pv_worker *worker, struct memory *memory, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	enum pv_fdb_learned learned;

	if (likely(learned_already(memory, ether, packet->port)))
		return true;
	if (unlikely(!rte_is_valid_assigned_ether_addr(&ether->src_addr))) {
		pv_drop(worker, packet->port, PV_DROP_BAD_SOURCE, packet);
		return false;
	}
	learned = pv_fdb_learn(worker->datapath->fdb, ether->src_addr.addr_bytes, packet->port, worker->now_s);
	if (unlikely(learned != PV_FDB_KNOWN)) {
		if (learned == PV_FDB_SPOOFED) {
			pv_drop(worker, packet->port, PV_DROP_SPOOFED_SOURCE, packet);
			return false;
		}
		/* What the frame taught may be about the addresses of frames behind it. */
		memory->egress = PV_FDB_NO_PORT;
		memory->last_port = PV_FDB_NO_PORT;
	}
	memory->source = ether->src_addr;
	memory->source_port = packet->port;
	return true;
}

static inline uint16_t
find_egress(struct pv_worker *worker, struct memory *memory, const struct rte_ether_addr *destination)
{
	if (likely(memory->egress != PV_FDB_NO_PORT && rte_is_same_ether_addr(&memory->destination, destination)))
		return memory->egress;
	memory->egress = pv_fdb_lookup(worker->datapath->fdb, destination->addr_bytes);
	memory->destination = *destination;
	return memory->egress;
}

/* IEEE 802.1Q, table 8-1: addresses that a bridge does not forward. */
static inline bool
is_link_local(const struct rte_ether_addr *address)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(address->addr_bytes, prefix, sizeof(prefix)) == 0 && address->addr_bytes[5] < 0x10;
}

/* Delivers a copy to every port that is up but the packet's own; the last one gets the packet itself. */
static void
flood(struct pv_worker *worker, struct rte_mbuf *packet)
{
	struct pv_datapath *datapath = worker->datapath;
	uint16_t target = PV_FDB_NO_PORT;

	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		if (i == packet->port || !datapath->ports[i]->up)
			continue;
		if (target != PV_FDB_NO_PORT) {
			struct rte_mbuf *copy = rte_pktmbuf_copy(packet, datapath->pool, 0, UINT32_MAX);

			if (unlikely(copy == NULL)) {
				worker->ports[target].drops[PV_DROP_NO_BUFFER]++;
			} else {
				worker->counters.flooded++;
				pv_deliver(worker, copy, target);
			}
		}
		target = i;
	}
	if (target == PV_FDB_NO_PORT)
		pv_drop(worker, packet->port, PV_DROP_NO_PORT, packet);
	else
		pv_deliver(worker, packet, target);
}

/* The short form of pv_deliver() for the packets after the first to `direct`. False when it does not fit. */
static inline bool
deliver_directly(struct pv_worker *worker, const struct memory *memory, struct rte_mbuf *packet)
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
is_like_the_last(const struct memory *memory, const struct rte_mbuf *packet)
{
	return memory->last_port == packet->port &&
	       memcmp(memory->last, rte_pktmbuf_mtod(packet, const void *), sizeof(memory->last)) == 0;
}

static void
deliver(struct pv_worker *worker, struct memory *memory, struct rte_mbuf *packet, uint16_t egress)
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

static inline void
forward(struct pv_worker *worker, struct memory *memory, struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	uint16_t egress;

	if (unlikely(rte_is_multicast_ether_addr(&ether->dst_addr))) {
		if (is_link_local(&ether->dst_addr))
			pv_drop(worker, packet->port, PV_DROP_LINK_LOCAL, packet);
		else
			flood(worker, packet);
		return;
	}
	egress = find_egress(worker, memory, &ether->dst_addr);
	if (unlikely(egress == PV_FDB_NO_PORT))
		flood(worker, packet);
	else if (unlikely(egress == packet->port))
		pv_drop(worker, packet->port, PV_DROP_SAME_PORT, packet);
	else
		deliver(worker, memory, packet, egress);
}

static inline void
switch_one(struct pv_worker *worker, struct memory *memory, struct rte_mbuf *packet)
{
	if (likely(is_like_the_last(memory, packet) && deliver_directly(worker, memory, packet)))
		return;
	if (likely(admit_source(worker, memory, packet)))
		forward(worker, memory, packet);
}

static void
bridge_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_SWITCH];
	struct memory memory = {
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

		switch_one(worker, &memory, packets[i]);
		pv_critical_leave(events, before);
	}
	section->calls++;
	section->packets += count;
	/* A vector that fills up is sent from in here: sending is not the switch's time. */
	section->cycles += rte_rdtsc() - *transmit_cycles - start;
}

static const struct pv_implementation bridge = {
	.primitive = PV_PRIMITIVE_MULTIPLEXING,
	.name = "bridge",
	.summary = "one learning bridge; every guest that is attached is polled in every round",
	.plain = true,
	.ops = &(const struct pv_multiplexing){ .switch_burst = bridge_burst, .by_table = true },
};
PV_IMPLEMENTATION(bridge)
