/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop of a worker with contexts. A pass gives each active context its turn, then takes what is in the mailboxes,
 * flushes stages, and tries again what receivers had no room for. Between passes it looks at doorbells: those that
 * other threads ring all the time, which costs a load, and the kicks of guests now and then, which costs a system call,
 * and only while somebody is idle.
 *
 * To become idle, a context asks its guest for kicks and then looks once more; so whatever the guest makes available
 * is either seen by that look or kicked about. To sleep, the worker says so and then looks at the doorbells once more;
 * so whoever rings is either seen or ends the sleep. docs/models/doorbells.pml has both.
 */
#include "core/worker_contexts.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "core/backlog.h"
#include "core/contexts.h"
#include "core/datapath.h"
#include "core/turns.h"

#define LOOK_US 50		/* at most, from one look at the kicks of guests to the next, while frames flow */
#define IDLE_SHARE_SLEPT 32	/* of the quiet time, at once, while somebody has to be polled */
#define SLEEP_MAX_NS 1000000000 /* otherwise */

/* What a run of the loop works with, in cycles of the time stamp counter. */
struct loop {
	struct pv_worker *worker;
	struct pv_turns *turns;
	uint64_t now;
	uint64_t idle_cycles, look_cycles;
	uint64_t next_look;
	uint32_t n_ports; /* of the worker; of them, */
	uint32_t n_mute;  /* those that cannot say when they have frames: they stay active */
	uint64_t quiet;	  /* since when nothing has come, while those are polled */
};

int
pv_worker_contexts_make(struct pv_worker *worker)
{
	worker->turns = rte_zmalloc("pv_turns", sizeof(*worker->turns), RTE_CACHE_LINE_SIZE);
	return worker->turns != NULL ? 0 : -ENOMEM;
}

void
pv_worker_contexts_free(struct pv_worker *worker)
{
	rte_free(worker->turns);
}

static uint64_t
cycles_of_us(uint32_t us)
{
	return rte_get_tsc_hz() / 1000000 * us;
}

/* Bytes of a filling; wires keep no deficit. */
static uint32_t
share_of(const struct pv_datapath *datapath, const struct pv_port *port)
{
	uint64_t share = (uint64_t)datapath->contexts.quantum * port->weight;

	return pv_is_context(port) ? (uint32_t)RTE_MIN(share, UINT32_MAX) : 0;
}

/*
 * Kicks of queue pairs that are not in use are wanted, too: the guest takes them into use by its control queue, of
 * which only the worker of queue 0 hears. Whether one is in use is asked after the look, as the guest has sent after
 * that.
 */
static bool
listen_to(struct pv_worker *worker, struct pv_port *port, bool wanted)
{
	const struct pv_route *route = &worker->route[port->id];
	bool work = false;

	for (uint16_t i = 0; port->ops->listen != NULL && i < route->count; i++)
		work |= port->ops->listen(port, route->queues[i], wanted) && route->queues[i] < port->active_queues;
	return work;
}

/* --- active and idle ---------------------------------------------------------------------------------------------- */

static void
activate(struct loop *loop, uint16_t id)
{
	struct pv_port *port = loop->worker->datapath->ports[id];

	if (port == NULL || loop->worker->route[id].count == 0 || pv_turns_is_active(loop->turns, id))
		return;
	if (port->up)
		listen_to(loop->worker, port, false);
	pv_turns_activate(loop->turns, id, loop->now);
	loop->turns->turn[id].counters.rung++;
}

/* A context that has work after all is polled on. One that is down is not asked: its port is woken when it comes up. */
static void
become_idle(struct loop *loop, struct pv_port *port)
{
	struct pv_turn *turn = &loop->turns->turn[port->id];

	if (!port->tells)
		return;
	if (port->up && listen_to(loop->worker, port, true)) {
		listen_to(loop->worker, port, false);
		turn->last_frame = loop->now;
		return;
	}
	turn->counters.idled++;
	pv_turns_deactivate(loop->turns, port->id);
}

static void
take_doorbells(struct loop *loop)
{
	uint64_t rung[PV_EVENT_WORDS];

	if (!pv_doorbells_take(&loop->worker->doorbells, rung))
		return;
	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		for (uint64_t left = rung[word]; left != 0; left &= left - 1) {
			uint32_t source = 64 * word + (uint32_t)__builtin_ctzll(left);

			if (source < PV_PORTS_MAX)
				activate(loop, (uint16_t)source);
		}
}

/* Everybody is polled at first. */
static void
begin(struct loop *loop)
{
	struct pv_worker *worker = loop->worker;
	struct pv_datapath *datapath = worker->datapath;
	struct pv_turns *turns = loop->turns;

	memset(turns->active, 0, sizeof(turns->active));
	turns->n_active = 0;
	loop->now = rte_rdtsc();
	loop->idle_cycles = cycles_of_us(datapath->contexts.idle_us);
	loop->look_cycles = cycles_of_us(LOOK_US);
	for (uint16_t i = 0; i < worker->n_queues; i++) {
		struct pv_port *port = worker->queues[i].port;

		if (pv_turns_is_active(turns, port->id))
			continue;
		listen_to(worker, port, false);
		pv_turns_begin(turns, port->id, share_of(datapath, port), loop->now);
		turns->turn[port->id].rate = &datapath->rates[port->id];
		loop->n_ports++;
		loop->n_mute += !port->tells;
	}
	loop->quiet = loop->now;
}

/* --- a pass ------------------------------------------------------------------------------------------------------- */

/*
 * A burst of each queue of a wire; of a context one of all its queues together, whatever their number. It begins with
 * the queue behind the one that the burst before ended with. Lost frames count as well as packets.
 */
static uint32_t
poll_queues(struct pv_worker *worker, struct pv_port *port, struct pv_turn *turn)
{
	const struct pv_route *route = &worker->route[port->id];
	const uint64_t *frames = &worker->ports[port->id].rx_packets, end = *frames + worker->burst_max;
	uint16_t first = turn->first_queue;
	uint32_t packets = 0;

	for (uint16_t i = 0; i < route->count; i++) {
		const struct pv_queue queue = { .port = port, .queue = route->queues[(first + i) % route->count] };

		packets += pv_worker_poll(worker, &queue);
		if (turn->share == 0)
			continue;
		turn->first_queue = (uint16_t)((first + i + 1) % route->count);
		if (*frames >= end)
			break;
		worker->burst_max = (uint16_t)(end - *frames);
	}
	return packets;
}

static uint32_t
take_turn(struct loop *loop, uint16_t id)
{
	struct pv_worker *worker = loop->worker;
	struct pv_port *port = worker->datapath->ports[id];
	struct pv_turn *turn = &loop->turns->turn[id];
	uint64_t bytes = worker->ports[id].rx_bytes, frames = worker->ports[id].rx_packets;
	uint16_t burst = pv_turn_burst(turn, loop->now);
	uint32_t packets;

	if (burst == 0 || pv_backlog_blocks(port, loop->now) || (pv_is_context(port) && pv_context_has_mail(port))) {
		turn->counters.passed_by++;
		return 0;
	}
	worker->burst_max = burst;
	worker->flooded_bytes = 0;
	packets = poll_queues(worker, port, turn);
	frames = worker->ports[id].rx_packets - frames;
	if (frames > 0) {
		bytes = worker->ports[id].rx_bytes - bytes + worker->flooded_bytes +
			(frames - packets) * PV_TURN_LOST_BYTES;
		pv_turns_charge(loop->turns, id, (uint32_t)frames, bytes, frames >= burst, loop->now);
	} else if (loop->now - turn->last_frame > loop->idle_cycles) {
		become_idle(loop, port);
	}
	pv_interrupts_deliver(&worker->interrupts);
	return packets;
}

static uint32_t
run_pass(struct loop *loop)
{
	struct pv_worker *worker = loop->worker;
	struct pv_turns *turns = loop->turns;
	uint32_t packets = 0;

	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		for (uint64_t left = turns->active[word]; left != 0; left &= left - 1)
			packets += take_turn(loop, (uint16_t)(64 * word + (uint32_t)__builtin_ctzll(left)));
	pv_turns_end_pass(turns);
	packets += pv_worker_take_mail(worker);
	pv_worker_flush(worker);
	worker->counters.rounds++;
	worker->counters.packets += packets;
	packets += pv_backlog_run(worker);
	pv_interrupts_deliver(&worker->interrupts);
	return packets;
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void
look_at_kicks(struct loop *loop)
{
	if (loop->now < loop->next_look)
		return;
	loop->next_look = loop->now + loop->look_cycles;
	if (loop->turns->n_active < loop->n_ports)
		pv_relay_wait(loop->worker->datapath->relay, loop->worker->id, 0);
}

/* Whether nobody has to be polled but those that cannot say when they have frames. */
static bool
may_sleep(const struct loop *loop)
{
	return loop->turns->n_active <= loop->n_mute && pv_backlog_is_empty(loop->worker);
}

/* For how long: without end, in a manner of speaking, unless somebody has to be polled. */
static int64_t
sleep_ns(const struct loop *loop)
{
	const struct pv_config_settings *settings = &loop->worker->datapath->config->settings;
	uint64_t quiet_ns = (loop->now - loop->quiet) / (rte_get_tsc_hz() / 1000000) * 1000;

	if (loop->turns->n_active == 0)
		return SLEEP_MAX_NS;
	return (int64_t)RTE_MIN(quiet_ns / IDLE_SHARE_SLEPT, settings->idle_sleep_us * 1000ULL);
}

static void
sleep_until_rung(struct loop *loop)
{
	struct pv_worker *worker = loop->worker;
	struct rte_rcu_qsbr *qsbr = worker->datapath->qsbr;
	int64_t longest_ns = sleep_ns(loop);

	if (longest_ns == 0)
		return;
	rte_rcu_qsbr_thread_offline(qsbr, worker->id);
	/* Who sets `leave` rings then: that ring may have been taken already, and then `leave` is seen here. */
	if (pv_doorbells_prepare_sleep(&worker->doorbells) && !worker->datapath->leave) {
		pv_relay_wait(worker->datapath->relay, worker->id, longest_ns);
		loop->next_look = rte_rdtsc() + loop->look_cycles; /* the kicks that ended it are noted already */
	}
	pv_doorbells_wake_up(&worker->doorbells);
	rte_rcu_qsbr_thread_online(qsbr, worker->id);
	worker->counters.sleeps++;
}

static void
run_once(struct loop *loop)
{
	struct pv_worker *worker = loop->worker;
	uint64_t before = loop->now;
	uint32_t packets;

	look_at_kicks(loop);
	take_doorbells(loop);
	packets = run_pass(loop);
	rte_rcu_qsbr_quiescent(worker->datapath->qsbr, worker->id);
	if (packets == 0 && may_sleep(loop))
		sleep_until_rung(loop);
	loop->now = rte_rdtsc();
	if (packets > 0)
		loop->quiet = loop->now;
	pv_worker_tick(worker, loop->now);
	pv_worker_count_round(worker, packets, loop->now - before);
	pv_worker_count_calls(worker);
}

void
pv_worker_run_contexts(struct pv_worker *worker)
{
	struct loop loop = { .worker = worker, .turns = worker->turns };

	begin(&loop);
	pv_interrupts_begin(&worker->interrupts);
	while (likely(!worker->datapath->leave))
		run_once(&loop);
	pv_interrupts_end(&worker->interrupts);
	worker->burst_max = PV_BURST_MAX;
}
