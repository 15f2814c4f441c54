/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that wait because the queue which they are to go to is full, where guests have contexts.
 *
 * Turns by weight among senders are not enough where a receiver is the bottleneck: its queue is full most of the time,
 * and which frames get the places that come free would be a matter of luck, or of who sends most. So what a full queue
 * does not take waits here, and what comes after it waits behind it:
 *
 *   sender a  --> lane  | | | |
 *   sender b  --> lane  |   | |   --- deficit round robin over bytes, by weight ---> the next burst --> egress queue
 *   wire      --> lane  | | | |
 *
 * Each egress queue has a lane per sender (mbuf->port), first in, first out, so that the order within a sender stays.
 * The next burst is chosen before there is room for it, and goes first.
 *
 * Limits are counted in buffers of the packet pool. A lane has its part of its queue's limit; a frame beyond that is
 * dropped, as `ring_full`. Where the queue is full, or this worker's part of the pool, the longest lane loses its
 * oldest frame to a shorter one: who is greediest loses. A frame that has waited for hold-us is dropped, too. Nobody
 * waits for a port that is down, and nothing that waited for one guest is given to the next (port->times_up).
 *
 * Backpressure: a guest with more than a burst in a lane is not to be polled (pv_backlog_blocks), until the lane is
 * shorter, and for backpressure-us at once: what else it may have to say is not to wait for ever, and not again for a
 * receiver that takes nothing. Wires are always polled: all the others' frames come the same way.
 *
 * Ownership: a frame that waits is the backlog's. Frames that refer to a guest's memory are copied before, so that no
 * guest's leaving waits for another's full ring. A backlog belongs to its worker alone; counters are read by anyone.
 */
#ifndef PV_CORE_BACKLOG_H
#define PV_CORE_BACKLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/worker.h"

struct pv_backlog_parts;

struct pv_backlog_counters {
	uint64_t kept;	    /* frames that came here; of these, */
	uint64_t expired;   /* waited for too long, and */
	uint64_t displaced; /* gave way to those of another sender */
	uint64_t refused;   /* frames that did not come here: enough of their sender waited, or there was no room */
};

struct pv_backlog {
	uint32_t frames; /* that wait */
	struct pv_backlog_counters counters;
	struct pv_backlog_parts *parts;
	/* By port and queue pair: whether frames wait for it, and where (backlog.c). */
	uint16_t place[PV_PORTS_MAX][PV_QUEUES_MAX];
	uint32_t waiting[PV_PORTS_MAX]; /* by sender: frames that wait */
};

/*
 * Gives a worker a backlog if guests have contexts, with what their options say now; else takes it away, and drops what
 * still waits. When the worker does not run or is held. Without memory it has none, and says so: frames are dropped as
 * without contexts.
 */
void pv_backlog_choose(struct pv_worker *worker);

/* Frees what waits, too, and counts nothing. NULL is fine. */
void pv_backlog_free(struct pv_backlog *backlog);

/*
 * Takes over frames that an own queue of a port did not take, or that come behind such; they leave in pv_backlog_run().
 * The worker has a backlog.
 */
void pv_backlog_keep(struct pv_worker *worker, struct pv_port *port, uint16_t queue, struct rte_mbuf **packets,
		     uint16_t count);

/* Tries each queue that frames wait for once more. Returns how many left, sent or dropped. */
uint32_t pv_backlog_retry(struct pv_worker *worker);

/*
 * A port is about to be closed: drops what waits for it, as `port_down`, and does not refer to it any more. What it
 * sent still goes its way. For every worker, each of which is held or calls it itself.
 */
void pv_backlog_forget_port(struct pv_worker *worker, uint16_t port);

/* A queue pair goes from one worker to another, both held: so does what waits for it, each lane in its order. */
void pv_backlog_move(struct pv_worker *from, struct pv_worker *to, struct pv_port *port, uint16_t queue);

/* Whether frames wait for a queue: what comes now has to wait, too. */
static inline bool
pv_backlog_waits(const struct pv_worker *worker, const struct pv_port *port, uint16_t queue)
{
	const struct pv_backlog *backlog = worker->backlog;

	return unlikely(backlog != NULL && backlog->frames > 0 && backlog->place[port->id][queue] != 0);
}

static inline bool
pv_backlog_is_empty(const struct pv_worker *worker)
{
	return worker->backlog == NULL || worker->backlog->frames == 0;
}

/* What is to be done once a round. Returns how many frames left. */
static inline uint32_t
pv_backlog_run(struct pv_worker *worker)
{
	return likely(pv_backlog_is_empty(worker)) ? 0 : pv_backlog_retry(worker);
}

/* Frames of a sender that wait on a worker. Any thread. */
static inline uint32_t
pv_backlog_waiting_of(const struct pv_worker *worker, uint16_t sender)
{
	return worker->backlog == NULL ? 0 : worker->backlog->waiting[sender];
}

/* Whether a sender is not to be polled now, a value of the time stamp counter. Any worker. */
static inline bool
pv_backlog_blocks(const struct pv_port *sender, uint64_t now)
{
	return unlikely(atomic_load_explicit(&sender->clogged_lanes, memory_order_relaxed) != 0) &&
	       now < atomic_load_explicit(&sender->blocked_until, memory_order_relaxed);
}

#endif
