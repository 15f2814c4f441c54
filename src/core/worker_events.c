/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker that is told by signals what there is to do, as a User-mode Linux core is (base/critical.h).
 *
 * A port is ready when its guest has kicked, when its descriptor has a frame, or, for a device that cannot say, at each
 * tick. A ready port is polled until it is empty; then it is asked to say when it is not, looked at once more, and left
 * alone. When nothing is ready the worker sleeps in sigsuspend().
 */
#include <rte_cycles.h>

#include "core/backlog.h"
#include "core/datapath.h"

#define TICK_US 10000	  /* of User-mode Linux: 100 Hz */
#define TICK_POLL_US 1000 /* of a worker with a device that is to be polled */

static void
set_source(uint64_t sources[PV_EVENT_WORDS], uint32_t source)
{
	sources[PV_EVENT_WORD(source)] |= PV_EVENT_BIT(source);
}

static bool
has_source(const uint64_t sources[PV_EVENT_WORDS], uint32_t source)
{
	return (sources[PV_EVENT_WORD(source)] & PV_EVENT_BIT(source)) != 0;
}

/* Everything is looked at first. Returns how often the worker is to look at what cannot say. */
static uint32_t
prepare(struct pv_worker *worker)
{
	struct pv_events *events = &worker->events;
	uint32_t tick_us = TICK_US;

	memset(events->ticking, 0, sizeof(events->ticking));
	set_source(events->ready, PV_SOURCE_MAIL);
	for (uint16_t i = 0; i < worker->n_queues; i++) {
		const struct pv_port *port = worker->queues[i].port;

		set_source(events->ready, port->id);
		if (port->ops->listen != NULL)
			continue;
		set_source(events->ticking, port->id);
		tick_us = TICK_POLL_US;
	}
	return tick_us;
}

/* Polls a queue; a port that may have more stays ready. Of one that is not in use kicks are wanted, too, for later. */
static uint32_t
poll_ready(struct pv_worker *worker, const struct pv_queue *queue)
{
	struct pv_port *port = queue->port;
	uint32_t packets = pv_worker_poll(worker, queue);

	if (packets > 0 || (port->up && port->ops->listen != NULL && port->ops->listen(port, queue->queue, true) &&
			    queue->queue < port->active_queues))
		pv_events_set(&worker->events, port->id);
	return packets;
}

static uint32_t
run_round(struct pv_worker *worker, const uint64_t ready[PV_EVENT_WORDS])
{
	uint32_t packets = 0, mail = 0;

	for (uint16_t i = 0; i < worker->n_queues; i++)
		if (has_source(ready, worker->queues[i].port->id))
			packets += poll_ready(worker, &worker->queues[i]);
	if (has_source(ready, PV_SOURCE_MAIL) && (mail = pv_worker_poll_mailboxes(worker)) > 0)
		pv_events_set(&worker->events, PV_SOURCE_MAIL);
	pv_worker_flush(worker);
	worker->counters.rounds++;
	worker->counters.packets += packets + mail;
	mail += pv_backlog_run(worker);
	if (!pv_backlog_is_empty(worker))
		pv_events_set(&worker->events, PV_SOURCE_MAIL);
	return packets + mail;
}

/* Returns how many cycles it slept. */
static uint64_t
sleep_until_told(struct pv_worker *worker)
{
	uint64_t slept;

	rte_rcu_qsbr_thread_offline(worker->datapath->qsbr, worker->id);
	slept = pv_events_wait(&worker->events);
	rte_rcu_qsbr_thread_online(worker->datapath->qsbr, worker->id);
	worker->counters.sleeps++;
	return slept;
}

/* A worker that is told is busy whenever it does not sleep: also when it finds nothing more, and asks to be told. */
static void
count_time(struct pv_worker *worker, uint32_t packets, uint64_t cycles, uint64_t slept)
{
	struct pv_worker_counters *counters = &worker->counters;

	counters->busy_rounds += packets > 0;
	counters->busy_cycles += cycles - slept;
	counters->idle_cycles += slept;
}

int
pv_worker_run_on_events(struct pv_worker *worker, enum pv_critical_way way)
{
	struct pv_datapath *datapath = worker->datapath;
	uint32_t tick_us = prepare(worker);
	uint64_t ready[PV_EVENT_WORDS], last = rte_rdtsc(), now;
	int result = pv_events_begin(&worker->events, way, tick_us);

	if (result != 0)
		return result;
	while (likely(!datapath->leave)) {
		uint32_t packets = 0;
		uint64_t slept = 0;

		if (pv_events_take(&worker->events, ready))
			packets = run_round(worker, ready);
		else
			slept = sleep_until_told(worker);
		now = rte_rdtsc();
		rte_rcu_qsbr_quiescent(datapath->qsbr, worker->id);
		pv_worker_tick(worker, now);
		count_time(worker, packets, now - last, slept);
		pv_worker_count_calls(worker);
		last = now;
	}
	pv_events_end(&worker->events);
	return 0;
}
