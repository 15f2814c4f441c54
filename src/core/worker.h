/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one EAL lcore that polls the queues it owns and runs each packet to completion: receive, ingress stages,
 * switch, egress stages, transmit, in bursts.
 *
 * Ownership. Queue pair i of a port belongs to exactly one worker (port->owner[i]), which alone receives from and
 * sends to it, so no queue is locked. A worker that owns no active queue of the egress port puts the packet into the
 * mailbox between it and the owner, a single-producer single-consumer ring per pair of workers; the owner runs the
 * egress stages and sends. All counters here are written by their worker only and read by anyone.
 */
#ifndef PV_CORE_WORKER_H
#define PV_CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include "base/critical.h"
#include "core/config.h"
#include "core/doorbells.h"
#include "core/fdb.h"
#include "core/stage.h"
#include "vio/interrupts.h"
#include "vio/port.h"

#define PV_MAILBOX_SIZE 1024 /* packets between two workers */

/* What a worker is told of by signals (base/critical.h) or doorbells (core/doorbells.h): its ports by their id, and */
#define PV_SOURCE_MAIL PV_PORTS_MAX	   /* that there are packets in its mailboxes, */
#define PV_SOURCE_LEAVE (PV_PORTS_MAX + 1) /* and that datapath->leave was set */

struct pv_backlog;
struct pv_datapath;
struct pv_path;
struct pv_turns;
struct pv_packet_path;

struct pv_port_counters {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_calls, tx_calls;   /* that moved a packet */
	uint64_t rx_cycles, tx_cycles; /* in them */
	uint64_t linearized; /* packets copied into one buffer, for a device that holds on to what it is given */
	uint64_t completed;  /* checksums made in software, */
	uint64_t segmented;  /* and packets cut to the end, */
	uint64_t segments;   /* and what they became, for a port that does not do it */
	uint64_t accepted_packets, accepted_bytes; /* by the rule for what comes in here (core/bridge_hooks.h) */
	uint64_t drops[PV_DROP_MAX];
};

/* Where a packet is on its way through the bridge with hooks (core/bridge_hooks.h). */
enum pv_bridge_hook { PV_BRIDGE_PRE_ROUTING, PV_BRIDGE_FORWARD, PV_BRIDGE_POST_ROUTING, PV_BRIDGE_HOOK_COUNT };

/* What the framework itself does with a burst: measured like a stage. */
enum pv_section {
	PV_SECTION_RECEIVE,
	PV_SECTION_SWITCH,
	PV_SECTION_TRANSMIT,
	PV_SECTION_NOTIFY, /* calls of guests, which happen in the two others and are no part of them; not those of
			      librte_vhost */
	PV_SECTION_COUNT
};
struct pv_section_counters {
	uint64_t calls, packets, cycles;
};

/* What the templates of flows were good for (core/path.h); all 0 on a path that has none. */
struct pv_template_counters {
	uint64_t hits;	  /* packets that a template told where to go */
	uint64_t misses;  /* packets that went the generic way; of these, */
	uint64_t stale;	  /* because something had changed since the template was made */
	uint64_t evicted; /* templates that gave way to those of other flows */
};

struct pv_worker_counters {
	uint64_t rounds, busy_rounds, sleeps;
	uint64_t busy_cycles, idle_cycles;
	uint64_t packets; /* received from ports and mailboxes */
	uint64_t bursts;  /* in which they came */
	uint64_t handed_over;
	uint64_t flooded;		       /* copies made */
	uint64_t hooked[PV_BRIDGE_HOOK_COUNT]; /* packets that passed each hook */
	struct pv_section_counters section[PV_SECTION_COUNT];
	struct pv_template_counters templates;
};

struct pv_queue {
	struct pv_port *port;
	uint16_t queue;
};

/* Packets waiting for the same next thing. */
struct pv_vector {
	uint16_t count;
	bool touched;
	struct rte_mbuf *packets[PV_BURST_MAX];
};

/* One vector per destination, and which of them have packets. */
struct pv_fan {
	struct pv_vector *vector[PV_PORTS_MAX];
	uint16_t touched[PV_PORTS_MAX];
	uint16_t n_touched;
};

struct pv_chain {
	struct pv_run *runs; /* one per stage; NULL when there is none */
	uint16_t count;
};

/* A worker's packet stages, and the chains that they form (core/worker_stages.h). */
struct pv_worker_stages {
	struct pv_stage_self *stages;
	uint16_t n;
	bool *kept; /* for each, whether it was taken over from the set before */
	struct pv_chain chain[PV_HOOK_COUNT];
};

/* This worker's way to the queues of one port. */
struct pv_route {
	uint16_t queues[PV_QUEUES_MAX]; /* own queue pairs, ascending */
	uint16_t count;
};

struct pv_worker {
	struct pv_doorbells doorbells; /* while it polls, with contexts; first, as it has cache lines of its own */
	struct pv_datapath *datapath;
	pthread_t thread;
	_Atomic bool runs; /* `thread` is there */
	uint16_t id;
	uint16_t cpu;
	unsigned int lcore;
	uint64_t watched_round; /* counters.rounds, when the watchdog last looked */
	uint64_t next_second;
	uint32_t now_s;		 /* pv_now_s(), kept once a second */
	uint16_t n_queues;	 /* of */
	uint16_t burst_max;	 /* packets that it takes of a queue at once */
	struct pv_queue *queues; /* owned, to be polled */
	struct pv_route route[PV_PORTS_MAX];
	struct pv_fan egress;			  /* switched, before the egress stages */
	struct pv_fan send;			  /* after them, before tx_burst */
	struct pv_fan hand;			  /* for other workers, by worker */
	struct rte_ring *mailbox[PV_WORKERS_MAX]; /* from worker i; NULL from itself */
	struct pv_backlog *backlog;		  /* what waits for full queues; NULL where nothing does */
	struct pv_worker_stages packet_stages;
	const struct pv_packet_path *way; /* as bound (core/path.h) */
	const struct pv_path *path;	  /* as chosen for the worker's shape */
	void *path_state;		  /* of `way` */
	_Atomic uint32_t generation;	  /* changes when decisions of stages or `path` may have changed */
	uint32_t flooded_bytes; /* of copies made since its loop has set this to 0: its sender's (core/turns.h) */
	struct pv_worker_counters counters;
	struct pv_port_counters *ports;	 /* by port id */
	struct pv_interrupts interrupts; /* while it gathers its calls of guests */
	struct pv_events events;	 /* while it is told by signals */
	struct pv_turns *turns;		 /* while it polls, with contexts: who is polled */
};

/* Seconds of the monotonic clock: the time of the switching table. */
uint32_t pv_now_s(void);

/* Microseconds of the same, for what is measured once. */
uint64_t pv_now_us(void);

/* Runs on the worker's lcore until the data path is told to stop. `argument` is the worker. Returns 0. */
int pv_worker_main(void *argument);

/* Runs one polling round: every owned queue and mailbox, then flushes. Returns how many packets it took in. */
uint32_t pv_worker_round(struct pv_worker *worker);

/* The parts of a round: one queue, all mailboxes, what stages hold. The first two return how many packets they took. */
uint32_t pv_worker_poll(struct pv_worker *worker, const struct pv_queue *queue);
uint32_t pv_worker_poll_mailboxes(struct pv_worker *worker);
void pv_worker_flush(struct pv_worker *worker);

/*
 * Takes all that is in the mailboxes now: what several contexts of another worker have sent is not to be one burst of a
 * pass in which each of this worker's has one. Returns how many packets.
 */
uint32_t pv_worker_take_mail(struct pv_worker *worker);

/* Runs mailboxes and stages until they are empty, when nobody fills them any more. */
void pv_worker_settle(struct pv_worker *worker);

/* Counts a round of a worker that polls: one without a packet is none of work. */
void pv_worker_count_round(struct pv_worker *worker, uint32_t packets, uint64_t cycles);

/* What happens each second, with the time stamp counter's value. */
void pv_worker_tick(struct pv_worker *worker, uint64_t now);

/* Takes over what this thread has spent on calling guests. */
void pv_worker_count_calls(struct pv_worker *worker);

/*
 * Runs rounds over what signals say is ready, and sleeps until they do; until datapath->leave is set. 0, or -errno at
 * once when the kernel gives no timer.
 */
int pv_worker_run_on_events(struct pv_worker *worker, enum pv_critical_way way);

/* Has a worker look at a source; one that polls everything does so anyway. Any thread. */
void pv_worker_wake(struct pv_worker *worker, uint32_t source);

/* Hands packets to a hook's chain of stages and then to what follows: the switch, or transmission. */
void pv_chain_run(struct pv_worker *worker, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count);

/* Puts a packet on its way to an egress port: to the egress stages, or to the mailbox of the queue's owner. */
void pv_deliver(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t port);

/* Puts a packet that has passed the egress stages into its port's vector. */
void pv_collect_for_sending(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t port);

/* Runs what is waiting in the worker's fans to the end: egress stages, transmission, mailboxes. */
void pv_drain(struct pv_worker *worker);

/* Frees a packet and counts it under a reason at a port. */
static inline void
pv_drop(struct pv_worker *worker, uint16_t port, uint16_t reason, struct rte_mbuf *packet)
{
	worker->ports[port].drops[reason]++;
	rte_pktmbuf_free(packet);
}

/* The hook that packets to a port pass. */
static inline enum pv_hook
pv_egress_hook(const struct pv_port *port)
{
	return port->role == PV_ROLE_GUEST ? PV_HOOK_TO_GUEST : PV_HOOK_TO_WIRE;
}

/* Whether a worker sends to a port itself, of whose queue pairs the first `active` are in use. */
static inline bool
pv_owns_an_active_queue(const struct pv_route *route, uint16_t active)
{
	return route->count > 0 && route->queues[0] < active;
}

static inline bool
pv_fan_is_full(const struct pv_fan *fan, uint16_t to)
{
	return fan->vector[to]->count == PV_BURST_MAX;
}

/* Adds a packet to the vector of a destination, which must not be full. In a section, or where there are no signals. */
static inline void
pv_fan_put(struct pv_fan *fan, struct pv_vector *vector, uint16_t to, struct rte_mbuf *packet)
{
	if (!vector->touched) {
		vector->touched = true;
		fan->touched[fan->n_touched++] = to;
	}
	vector->packets[vector->count++] = packet;
}

/* The same in a section of its own. */
static inline void
pv_fan_add(struct pv_fan *fan, uint16_t to, struct rte_mbuf *packet)
{
	struct pv_events *events = pv_critical_events();
	struct pv_vector *vector = fan->vector[to];
	bool before = pv_critical_enter(events);

	pv_fan_put(fan, vector, to, packet);
	pv_critical_leave(events, before);
}

#endif
