/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/rebalance.h"

#include <string.h>

#include "core/backlog.h"
#include "core/contexts.h"
#include "core/datapath.h"
#include "core/telemetry.h"
#include "core/worker_queues.h"

#define PERMILLE(percent) ((percent)*10)
#define UNKNOWN UINT32_MAX

/* --- the decision ------------------------------------------------------------------------------------------------- */

/* How busy a worker was. One without time has not ended a round: who knows what it does. */
static uint32_t
busy_permille(const struct pv_loads *loads, uint16_t worker)
{
	uint64_t all = loads->busy[worker] + loads->idle[worker];

	return all == 0 ? UNKNOWN : (uint32_t)(loads->busy[worker] * 1000 / all);
}

static uint64_t
all_cycles(const struct pv_loads *loads, uint16_t worker)
{
	uint64_t cycles = 0;

	for (uint16_t port = 0; port < loads->n_ports; port++)
		cycles += loads->cycles[worker][port];
	return cycles;
}

static void
count_hot_looks(struct pv_rebalance *rebalance, const struct pv_loads *loads)
{
	for (uint16_t i = 0; i < loads->n_workers; i++) {
		uint32_t busy = busy_permille(loads, i);

		if (busy == UNKNOWN || busy <= PERMILLE(PV_REBALANCE_HOT_PERCENT))
			rebalance->hot_looks[i] = 0;
		else if (rebalance->hot_looks[i] < PV_REBALANCE_LOOKS)
			rebalance->hot_looks[i]++;
	}
}

/* The least busy worker; any one when nothing is known of all. */
static uint16_t
find_coldest(const struct pv_loads *loads)
{
	uint16_t coldest = 0;

	for (uint16_t i = 1; i < loads->n_workers; i++)
		if (busy_permille(loads, i) < busy_permille(loads, coldest))
			coldest = i;
	return coldest;
}

static bool
may_move(const struct pv_rebalance *rebalance, const struct pv_loads *loads, uint16_t port, uint16_t from, uint16_t to,
	 uint32_t now_s)
{
	return loads->movable[port] && (loads->owners[port] & 1u << from) != 0 &&
	       (loads->owners[port] & 1u << to) == 0 && now_s >= rebalance->stays_until_s[port];
}

/* What the busier of the two has less to do when a port with that part goes. */
static uint32_t
gain_of(uint32_t from, uint32_t to, uint32_t part)
{
	if (part >= from - to)
		return 0;
	return RTE_MIN(part, from - to - part);
}

/* The best of the moves from one worker, if it is better than the one that is known. */
static void
try_worker(const struct pv_rebalance *rebalance, const struct pv_loads *loads, struct pv_move candidate, uint32_t now_s,
	   uint32_t *best_gain, struct pv_move *best)
{
	uint64_t all = all_cycles(loads, candidate.from);

	if (all == 0)
		return;
	for (uint16_t port = 0; port < loads->n_ports; port++) {
		uint32_t gain;

		if (!may_move(rebalance, loads, port, candidate.from, candidate.to, now_s))
			continue;
		gain = gain_of(candidate.from_permille, candidate.to_permille,
			       (uint32_t)(loads->cycles[candidate.from][port] * candidate.from_permille / all));
		if (gain <= *best_gain)
			continue;
		*best_gain = gain;
		*best = candidate;
		best->port = port;
	}
}

bool
pv_rebalance_decide(struct pv_rebalance *rebalance, const struct pv_loads *loads, uint32_t now_s, struct pv_move *move)
{
	struct pv_move candidate = { .to = find_coldest(loads) };
	uint32_t best_gain = PERMILLE(PV_REBALANCE_GAIN) - 1;

	count_hot_looks(rebalance, loads);
	candidate.to_permille = busy_permille(loads, candidate.to);
	if (candidate.to_permille == UNKNOWN)
		return false;
	for (uint16_t from = 0; from < loads->n_workers; from++) {
		candidate.from = from;
		candidate.from_permille = busy_permille(loads, from);
		if (rebalance->hot_looks[from] == PV_REBALANCE_LOOKS &&
		    candidate.from_permille > candidate.to_permille + PERMILLE(PV_REBALANCE_APART))
			try_worker(rebalance, loads, candidate, now_s, &best_gain, move);
	}
	if (best_gain < PERMILLE(PV_REBALANCE_GAIN))
		return false;
	rebalance->stays_until_s[move->port] = now_s + PV_REBALANCE_STAY_S;
	rebalance->hot_looks[move->from] = 0; /* what it was before says nothing any more */
	return true;
}

/* --- looking, and moving ------------------------------------------------------------------------------------------ */

/* Since the last look; a port that came in place of another begins anew. */
static uint64_t
take_difference(uint64_t *before, uint64_t now)
{
	uint64_t difference = now >= *before ? now - *before : now;

	*before = now;
	return difference;
}

static uint32_t
owners_of(const struct pv_port *port)
{
	uint16_t active = pv_queues_in_use(port);
	uint32_t owners = 0;

	for (uint16_t queue = 0; queue < active; queue++)
		owners |= 1u << port->owner[queue];
	return owners;
}

static void
look_at_worker(struct pv_rebalance *rebalance, const struct pv_worker *worker)
{
	struct pv_loads *loads = &rebalance->loads, *before = &rebalance->before;
	uint16_t id = worker->id;

	loads->busy[id] = take_difference(&before->busy[id], worker->counters.busy_cycles);
	loads->idle[id] = take_difference(&before->idle[id], worker->counters.idle_cycles);
	for (uint16_t i = 0; i < loads->n_ports; i++)
		loads->cycles[id][i] = take_difference(&before->cycles[id][i],
						       worker->ports[i].rx_cycles + worker->ports[i].tx_cycles);
}

static void
look(struct pv_datapath *datapath)
{
	struct pv_loads *loads = &datapath->rebalance.loads;

	loads->n_workers = datapath->n_workers;
	loads->n_ports = datapath->n_ports;
	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		const struct pv_port *port = datapath->ports[i];

		loads->movable[i] = port != NULL && port->up && pv_is_context(port);
		loads->owners[i] = port != NULL ? owners_of(port) : 0;
	}
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		look_at_worker(&datapath->rebalance, datapath->workers[i]);
}

/* With what waits for it, and its guest's kicks. One that cannot be watched there is told by the worker before. */
static void
move_queue(struct pv_datapath *datapath, struct pv_port *port, uint16_t queue, uint16_t to)
{
	pv_backlog_move(datapath->workers[port->owner[queue]], datapath->workers[to], port, queue);
	port->owner[queue] = to;
	pv_relay_move(datapath->relay, port, queue);
	if (queue == 0)
		pv_relay_move(datapath->relay, port, PV_QUEUES_MAX);
}

void
pv_rebalance_move(struct pv_datapath *datapath, struct pv_port *port, uint16_t from, uint16_t to)
{
	pv_telemetry_show(NULL); /* it looks at the queues of workers */
	pv_hold_workers(datapath);
	for (uint16_t queue = 0; queue < port->queues; queue++)
		if (port->owner[queue] == from)
			move_queue(datapath, port, queue, to);
	pv_worker_queues_take(datapath->workers[from]);
	pv_worker_queues_take(datapath->workers[to]);
	pv_release_workers(datapath);
	pv_telemetry_show(datapath);
	datapath->rebalance.moved_out[from]++;
	datapath->rebalance.moved_in[to]++;
}

void
pv_rebalance(struct pv_datapath *datapath)
{
	struct pv_rebalance *rebalance = &datapath->rebalance;
	struct pv_move move;
	struct pv_port *port;

	if (datapath->n_workers < 2 || !pv_has_contexts(datapath) || !datapath->contexts.rebalance)
		return;
	look(datapath);
	if (!pv_rebalance_decide(rebalance, &rebalance->loads, pv_now_s(), &move))
		return;
	port = datapath->ports[move.port];
	pv_rebalance_move(datapath, port, move.from, move.to);
	rebalance->limit.burst = 10;
	pv_log_limited(&rebalance->limit, PV_LOG_INFO, port->name,
		       "moved from worker %u, busy for %u %%, to worker %u, busy for %u %%", move.from,
		       move.from_permille / 10, move.to, move.to_permille / 10);
}
