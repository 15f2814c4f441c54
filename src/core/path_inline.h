/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of a worker's round that are compiled once for each shape of a worker: constants in struct pv_shape decide
 * which branches are left. `pv_any_shape` is right for every worker.
 */
#ifndef PV_CORE_PATH_INLINE_H
#define PV_CORE_PATH_INLINE_H

#include <rte_cycles.h>
#include <rte_ether.h>

#include "core/backlog.h"
#include "core/datapath.h"
#include "core/path.h"
#include "core/pipeline.h"
#include "vio/offload.h"
#include "vio/vhost_vio.h"

enum pv_shape_ports {
	PV_SHAPE_ANY_PORTS,
	PV_SHAPE_SOME_VIO, /* ports of the data path vio, which are called directly, and others */
	PV_SHAPE_ALL_VIO,
};

struct pv_shape {
	enum pv_shape_ports ports;
	bool no_signals; /* critical sections need no bracket */
	bool one_worker; /* which owns all queues */
	bool no_stages;	 /* packet stages */
};

static const struct pv_shape pv_any_shape = { .ports = PV_SHAPE_ANY_PORTS };

static __rte_always_inline struct pv_events *
pv_path_events(const struct pv_shape *shape)
{
	return shape->no_signals ? NULL : pv_critical_events();
}

static __rte_always_inline bool
pv_path_is_vio(const struct pv_port *port, const struct pv_shape *shape)
{
	return shape->ports == PV_SHAPE_ALL_VIO ||
	       (shape->ports == PV_SHAPE_SOME_VIO && port->ops == &pv_vhost_vio_ops);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static __rte_always_inline uint16_t
pv_path_rx(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	   const struct pv_shape *shape)
{
	if (pv_path_is_vio(port, shape))
		return pv_vhost_vio_rx(port, queue, packets, count);
	return port->ops->rx_burst(port, queue, packets, count);
}

/* False when it is no frame; it is dropped then. */
static __rte_always_inline bool
pv_path_admit(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf *packet)
{
	if (unlikely(packet->data_len < RTE_ETHER_HDR_LEN)) {
		pv_drop(worker, port->id, PV_DROP_RUNT, packet);
		return false;
	}
	if (unlikely(!pv_offload_fits(packet, port->frame_max))) {
		pv_drop(worker, port->id, PV_DROP_OVERSIZED, packet);
		return false;
	}
	return true;
}

static __rte_always_inline void
pv_path_count_received(struct pv_worker *worker, const struct pv_port *port, uint16_t count, uint64_t cycles)
{
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_RECEIVE];

	section->calls++;
	section->packets += count;
	section->cycles += cycles;
	worker->ports[port->id].rx_calls++;
	worker->ports[port->id].rx_cycles += cycles;
	worker->counters.bursts++;
}

static __rte_always_inline enum pv_hook
pv_path_ingress_hook(const struct pv_port *port)
{
	return port->role == PV_ROLE_GUEST ? PV_HOOK_FROM_GUEST : PV_HOOK_FROM_WIRE;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static __rte_always_inline uint16_t
pv_path_tx(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	   const struct pv_shape *shape)
{
	if (pv_path_is_vio(port, shape))
		return pv_vhost_vio_tx(port, queue, packets, count);
	return port->ops->tx_burst(port, queue, packets, count);
}

/* What a queue did not take waits for it, where that is the way, or is dropped. */
static inline void
pv_path_not_taken(struct pv_worker *worker, struct pv_port *port, uint16_t queue, struct rte_mbuf **packets,
		  uint16_t count)
{
	if (worker->backlog != NULL) {
		pv_backlog_keep(worker, port, queue, packets, count);
		return;
	}
	for (uint16_t i = 0; i < count; i++)
		pv_drop(worker, port->id, port->up ? PV_DROP_RING_FULL : PV_DROP_PORT_DOWN, packets[i]);
}

/* Sends to one queue, and counts what it takes. */
static __rte_always_inline void
pv_path_send_to_queue(struct pv_worker *worker, struct pv_port *port, uint16_t queue, struct rte_mbuf **packets,
		      uint16_t count, const struct pv_shape *shape)
{
	struct pv_port_counters *counters = &worker->ports[port->id];
	struct pv_events *events = pv_path_events(shape);
	uint64_t bytes = 0;
	uint16_t sent;

	if (pv_backlog_waits(worker, port, queue)) {
		pv_backlog_keep(worker, port, queue, packets, count);
		return;
	}
	for (uint16_t i = 0; i < count; i++) {
		bool before = pv_critical_enter(events);

		bytes += packets[i]->pkt_len;
		pv_critical_leave(events, before);
	}
	sent = likely(port->up) ? pv_path_tx(port, queue, packets, count, shape) : 0;
	for (uint16_t i = sent; i < count; i++)
		bytes -= packets[i]->pkt_len;
	if (unlikely(sent < count))
		pv_path_not_taken(worker, port, queue, packets + sent, (uint16_t)(count - sent));
	counters->tx_packets += sent;
	counters->tx_bytes += bytes;
}

static __rte_always_inline void
pv_path_send_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector, const struct pv_shape *shape)
{
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_TRANSMIT];
	struct pv_port *port = worker->datapath->ports[to];
	const struct pv_route *route = &worker->route[to];
	uint16_t active = port->active_queues, usable = 0, count = vector->count;
	uint64_t notified = pv_notified.cycles, start = rte_rdtsc(), cycles;

	while (usable < route->count && route->queues[usable] < active)
		usable++;
	if (likely(usable <= 1))
		pv_path_send_to_queue(worker, port, route->queues[0], vector->packets, count, shape);
	else
		pv_send_spread(worker, port, route->queues, usable, vector->packets, count);
	vector->count = 0;
	cycles = rte_rdtsc() - start - (pv_notified.cycles - notified);
	section->calls++;
	section->packets += count;
	section->cycles += cycles;
	worker->ports[to].tx_calls++;
	worker->ports[to].tx_cycles += cycles;
}

/*
 * A port that holds on to packets may not hold a guest's memory: what refers to it is copied. False when there is no
 * room for that.
 */
static inline bool
pv_path_owns_its_bytes(struct pv_worker *worker, uint16_t to, struct rte_mbuf *packet)
{
	if (worker->datapath->ports[to]->copies || !RTE_MBUF_HAS_EXTBUF(packet->next))
		return true;
	worker->ports[to].linearized++;
	return pv_offload_own(packet, worker->datapath->pool) == 0;
}

/* Puts a packet that asks for nothing which its port does not do into the port's vector. */
static __rte_always_inline void
pv_path_put(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to, const struct pv_shape *shape)
{
	if (packet->nb_segs > 1 && unlikely(!pv_path_owns_its_bytes(worker, to, packet))) {
		pv_drop(worker, to, PV_DROP_NO_BUFFER, packet);
		return;
	}
	if (unlikely(pv_fan_is_full(&worker->send, to)))
		pv_send_vector(worker, to, worker->send.vector[to]);
	if (shape->no_signals)
		pv_fan_put(&worker->send, worker->send.vector[to], to, packet);
	else
		pv_fan_add(&worker->send, to, packet);
}

/* As pv_collect_for_sending(). */
static __rte_always_inline void
pv_path_collect(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to, const struct pv_shape *shape)
{
	if (unlikely((packet->ol_flags & PV_OFFLOAD_FLAGS) != 0) &&
	    (pv_offload_needed(packet) & ~worker->datapath->ports[to]->offloads) != 0)
		pv_do_offload(worker, packet, to);
	else
		pv_path_put(worker, packet, to, shape);
}

/* What is done with one destination's packets. */
typedef void pv_path_deal(struct pv_worker *worker, uint16_t to, struct pv_vector *vector,
			  const struct pv_shape *shape);

static __rte_always_inline void
pv_path_drain_fan(struct pv_worker *worker, struct pv_fan *fan, pv_path_deal *deal, const struct pv_shape *shape)
{
	for (uint16_t i = 0; i < fan->n_touched; i++) {
		struct pv_vector *vector = fan->vector[fan->touched[i]];

		vector->touched = false;
		if (vector->count > 0)
			deal(worker, fan->touched[i], vector, shape);
	}
	fan->n_touched = 0;
}

/* As pv_drain(). */
static __rte_always_inline void
pv_path_drain(struct pv_worker *worker, const struct pv_shape *shape)
{
	if (!shape->no_stages)
		pv_path_drain_fan(worker, &worker->egress, pv_run_egress_vector, shape);
	pv_path_drain_fan(worker, &worker->send, pv_path_send_vector, shape);
	if (!shape->one_worker)
		pv_path_drain_fan(worker, &worker->hand, pv_hand_vector, shape);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

/* Brings a burst that was received, since `start`, to the vectors of where it goes. */
typedef void pv_path_forward(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets,
			     uint16_t count, uint64_t start, const struct pv_shape *shape);

static __rte_always_inline uint32_t
pv_path_poll(struct pv_worker *worker, const struct pv_queue *queue, pv_path_forward *forward,
	     const struct pv_shape *shape)
{
	struct rte_mbuf *packets[PV_BURST_MAX];
	struct pv_port *port = queue->port;
	uint64_t start, notified;
	uint16_t count;

	if (!port->up || queue->queue >= port->active_queues)
		return 0;
	notified = pv_notified.cycles;
	start = rte_rdtsc();
	count = pv_path_rx(port, queue->queue, packets, worker->burst_max, shape);
	if (count == 0)
		return 0;
	start += pv_notified.cycles - notified; /* which is a section of its own */
	forward(worker, port, packets, count, start, shape);
	pv_path_drain(worker, shape);
	return count;
}

static __rte_always_inline uint32_t
pv_path_round(struct pv_worker *worker, pv_path_forward *forward, const struct pv_shape *shape)
{
	uint32_t packets = 0;

	for (uint16_t i = 0; i < worker->n_queues; i++)
		packets += pv_path_poll(worker, &worker->queues[i], forward, shape);
	if (!shape->one_worker)
		packets += pv_worker_poll_mailboxes(worker);
	if (!shape->no_stages)
		pv_worker_flush(worker);
	worker->counters.rounds++;
	worker->counters.packets += packets;
	return packets + pv_backlog_run(worker);
}

#endif
