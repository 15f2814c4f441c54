/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rebalancing: with contexts (core/multiplexing.h), a context moves from a worker with much load to one with little.
 *
 * What is looked at, once a second. Of each worker the share of the time since the last look in which it was busy. Of
 * each port at each worker its part of that: the cycles of receiving from it and sending to it, as a part of those of
 * all the worker's ports. Stages and the switch are in the busy time and in no port's cycles, so they are shared out
 * as those are.
 *
 * What is decided: at most one move a look, (port, from, to). The queue pairs of a port that one worker owns move
 * together, never to a worker that has others of that port: they could not be told apart, and parted, again. Only
 * contexts move; wires stay.
 *
 * When: `from` was busy for more than 80 % in two looks in a row, `to` is the least busy worker and at least 20 points
 * below, and the busier of the two gets at least 5 points less to do. A port whose part is all that there is stays, as
 * it would only take the load along. A port that moved stays for ten seconds.
 *
 * Why it comes to rest. A port that asks for p leaves R behind and goes to where C is already, only if R >= C + 5: for
 * a worker that is asked for no more than it can do this is the gain itself, p + 5 <= (p + R) - C; one that is asked
 * for more shows p as 100 p / (p + R), and 100 p / (p + R) + 5 <= 100 - C with p + R > 100 says the same. So a move
 * takes 2 p (R - C) off the sum of the squares of what workers are asked for: guests that do what they did never see a
 * second turn of a circle, and a port does not come right back. What changing loads do is kept in check by the ten
 * seconds.
 *
 * The move itself holds the workers (core/hold.h): mailboxes are empty then, so no frame is lost or overtaken. Waking
 * threads that looked up the owner before are no harm: a worker that is released looks at all its queues once.
 *
 * All of this is the main thread's.
 */
#ifndef PV_CORE_REBALANCE_H
#define PV_CORE_REBALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker.h"

#define PV_REBALANCE_HOT_PERCENT 80 /* that a worker is busy for, */
#define PV_REBALANCE_LOOKS 2	    /* in so many looks in a row, */
#define PV_REBALANCE_APART 20	    /* points more than another, */
#define PV_REBALANCE_GAIN 5	    /* and points that the busier one gets rid of, for a port to move, */
#define PV_REBALANCE_STAY_S 10	    /* which then stays */

/* What has happened since the last look. */
struct pv_loads {
	uint16_t n_workers, n_ports;
	uint64_t busy[PV_WORKERS_MAX], idle[PV_WORKERS_MAX]; /* cycles; none of both: nothing is known of the worker */
	uint64_t cycles[PV_WORKERS_MAX][PV_PORTS_MAX];	     /* that a port cost a worker */
	uint32_t owners[PV_PORTS_MAX];			     /* bit i: worker i owns queue pairs of the port */
	bool movable[PV_PORTS_MAX];			     /* the port is a context */
};

/* What is kept between looks. All zero in the beginning. */
struct pv_rebalance {
	uint8_t hot_looks[PV_WORKERS_MAX];    /* in a row, up to PV_REBALANCE_LOOKS */
	uint32_t stays_until_s[PV_PORTS_MAX]; /* pv_now_s() */
	uint64_t moved_in[PV_WORKERS_MAX], moved_out[PV_WORKERS_MAX];
	struct pv_loads before; /* counters at the last look, */
	struct pv_loads loads;	/* and what was made of them */
	struct pv_log_limit limit;
};

struct pv_move {
	uint16_t port, from, to;
	uint32_t from_permille, to_permille; /* how busy they were */
};

/*
 * Decides on a move from what has happened since the last look and from `rebalance`, which remembers how hot workers
 * were and, if there is a move, that the port stays now. False: nothing moves. Touches nothing else.
 */
bool pv_rebalance_decide(struct pv_rebalance *rebalance, const struct pv_loads *loads, uint32_t now_s,
			 struct pv_move *move);

/*
 * Holds the workers, gives all queue pairs of a port that `from` owns to `to`, and lets them go on. Any port; on the
 * main thread.
 */
void pv_rebalance_move(struct pv_datapath *datapath, struct pv_port *port, uint16_t from, uint16_t to);

/* Looks at the loads and moves a context if one is to move. Once a second, on the main thread. */
void pv_rebalance(struct pv_datapath *datapath);

#endif
