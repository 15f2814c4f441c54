/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/worker.h"

#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>

#include "core/path_inline.h"
#include "core/worker_contexts.h"

#define IDLE_SHARE_SLEPT 32 /* one part in so many of the quiet time is slept at once */

/* Counts what came in and drops what is no frame. Returns how many remain, in order. */
static __rte_always_inline uint16_t
admit_burst(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_port_counters *counters = &worker->ports[port->id];
	struct pv_events *events = pv_critical_events();
	uint64_t bytes = 0;
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *packet = packets[i];
		bool before = pv_critical_enter(events);

		bytes += packet->pkt_len;
		packet->port = port->id;
		if (likely(pv_path_admit(worker, port, packet)))
			packets[kept++] = packet;
		pv_critical_leave(events, before);
	}
	counters->rx_packets += count;
	counters->rx_bytes += bytes;
	return kept;
}

static __rte_always_inline void
forward_generic(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count,
		uint64_t start, const struct pv_shape *shape)
{
	uint16_t kept = admit_burst(worker, port, packets, count);

	pv_path_count_received(worker, port, count, rte_rdtsc() - start);
	if (kept > 0)
		pv_chain_run(worker, pv_path_ingress_hook(port), packets, kept);
}

static uint32_t
poll_generic(struct pv_worker *worker, const struct pv_queue *queue)
{
	return pv_path_poll(worker, queue, forward_generic, &pv_any_shape);
}

static uint32_t
round_generic(struct pv_worker *worker)
{
	return pv_path_round(worker, forward_generic, &pv_any_shape);
}

static const struct pv_path *
choose_generic(struct pv_worker *worker)
{
	static const struct pv_path path = { .shape = "generic", .poll = poll_generic, .round = round_generic };

	return &path;
}

const struct pv_packet_path pv_path_generic = { .choose = choose_generic };

static const struct pv_implementation generic = {
	.primitive = PV_PRIMITIVE_PACKET_PATH,
	.name = "generic",
	.summary = "every packet passes the stages and is looked up in the switching table",
	.plain = true,
	.baselines = 1u << PV_BASELINE_UML,
	.ops = &pv_path_generic,
};
PV_IMPLEMENTATION(generic)

static uint16_t
poll_mailbox(struct pv_worker *worker, struct rte_ring *mailbox)
{
	struct rte_mbuf *packets[PV_BURST_MAX];
	uint16_t count = (uint16_t)rte_ring_sc_dequeue_burst(mailbox, (void **)packets, PV_BURST_MAX, NULL);

	if (count > 0) {
		pv_receive_handed(worker, packets, count);
		worker->counters.bursts++;
	}
	return count;
}

uint32_t
pv_worker_poll_mailboxes(struct pv_worker *worker)
{
	uint32_t packets = 0;

	for (uint16_t i = 0; i < worker->datapath->n_workers; i++)
		if (worker->mailbox[i] != NULL)
			packets += poll_mailbox(worker, worker->mailbox[i]);
	return packets;
}

uint32_t
pv_worker_take_mail(struct pv_worker *worker)
{
	uint32_t packets = 0;

	for (uint16_t i = 0; i < worker->datapath->n_workers; i++) {
		struct rte_ring *mailbox = worker->mailbox[i];
		uint32_t end = mailbox != NULL ? packets + rte_ring_count(mailbox) : packets;

		while (packets < end)
			packets += poll_mailbox(worker, mailbox);
	}
	return packets;
}

static bool
holds_packets(const struct pv_worker *worker)
{
	for (uint16_t i = 0; i < worker->packet_stages.n; i++)
		if (worker->packet_stages.stages[i].held > 0)
			return true;
	return false;
}

void
pv_worker_flush(struct pv_worker *worker)
{
	if (!holds_packets(worker))
		return;
	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++) {
		pv_chain_flush(worker, hook);
		pv_drain(worker);
	}
}

void
pv_worker_settle(struct pv_worker *worker)
{
	while (pv_worker_poll_mailboxes(worker) > 0)
		pv_worker_flush(worker);
	pv_backlog_run(worker); /* what still waits refers to no guest's memory */
}

/*
 * Nothing has come for a while: gives the core away for a moment, the longer the longer it has been quiet. Guests do
 * not know of it and nobody wakes the worker, so idle-sleep-us is the most that a first packet waits.
 */
static void
sleep_a_moment(struct pv_worker *worker, uint64_t idle_cycles)
{
	uint64_t idle_ns = idle_cycles / (rte_get_tsc_hz() / 1000000) * 1000;
	uint64_t longest_ns = worker->datapath->config->settings.idle_sleep_us * 1000ULL;
	const struct timespec moment = { .tv_nsec = (long)RTE_MIN(idle_ns / IDLE_SHARE_SLEPT, longest_ns) };

	rte_rcu_qsbr_thread_offline(worker->datapath->qsbr, worker->id);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	rte_rcu_qsbr_thread_online(worker->datapath->qsbr, worker->id);
	worker->counters.sleeps++;
}

void
pv_worker_tick(struct pv_worker *worker, uint64_t now)
{
	if (unlikely(now >= worker->next_second)) {
		worker->next_second = now + rte_get_tsc_hz();
		worker->now_s = pv_now_s();
	}
}

void
pv_worker_wake(struct pv_worker *worker, uint32_t source)
{
	pv_events_raise(&worker->events, source);
	pv_doorbells_ring(&worker->doorbells, source);
}

/* Nobody needs to tell a worker that polls. */
static void
listen_to_none(struct pv_worker *worker)
{
	for (uint16_t i = 0; i < worker->n_queues; i++) {
		struct pv_port *port = worker->queues[i].port;

		if (port->ops->listen != NULL)
			port->ops->listen(port, worker->queues[i].queue, false);
	}
}

void
pv_worker_count_calls(struct pv_worker *worker)
{
	worker->counters.section[PV_SECTION_NOTIFY] = (struct pv_section_counters){ .calls = pv_notified.calls,
										    .packets = pv_notified.calls,
										    .cycles = pv_notified.cycles };
}

/* So is whatever it did for the packets of those before. */
void
pv_worker_count_round(struct pv_worker *worker, uint32_t packets, uint64_t cycles)
{
	struct pv_worker_counters *counters = &worker->counters;

	if (packets > 0) {
		counters->busy_rounds++;
		counters->busy_cycles += cycles;
	} else {
		counters->idle_cycles += cycles;
	}
}

static void
run_by_polling(struct pv_worker *worker)
{
	struct pv_datapath *datapath = worker->datapath;
	uint64_t last = rte_rdtsc(), idle = 0;

	listen_to_none(worker);
	while (likely(!datapath->leave)) {
		uint32_t packets = pv_worker_round(worker);
		uint64_t now = rte_rdtsc();

		rte_rcu_qsbr_quiescent(datapath->qsbr, worker->id);
		pv_worker_tick(worker, now);
		if (packets == 0 && idle >= datapath->idle_cycles_before_sleep) {
			sleep_a_moment(worker, idle);
			now = rte_rdtsc(); /* a sleep is no part of the round after it */
		}
		pv_worker_count_round(worker, packets, now - last);
		pv_worker_count_calls(worker);
		idle = packets > 0 ? 0 : idle + (now - last);
		last = now;
	}
}

static void
run(struct pv_worker *worker)
{
	enum pv_critical_way way = worker->datapath->critical;
	int result = 0;

	pv_path_choose(worker);
	rte_rcu_qsbr_thread_online(worker->datapath->qsbr, worker->id);
	if (way != PV_CRITICAL_POLL)
		result = pv_worker_run_on_events(worker, way);
	if (result != 0)
		pv_error("worker", "worker %u polls: it cannot be told by signals: %s", worker->id, strerror(-result));
	if (way == PV_CRITICAL_POLL && pv_has_contexts(worker->datapath))
		pv_worker_run_contexts(worker);
	else if (way == PV_CRITICAL_POLL || result != 0)
		run_by_polling(worker);
	rte_rcu_qsbr_thread_offline(worker->datapath->qsbr, worker->id);
}

int
pv_worker_main(void *argument)
{
	struct pv_worker *worker = argument;

	worker->thread = pthread_self();
	worker->runs = true;
	prctl(PR_SET_TIMERSLACK, 1); /* otherwise every sleep is 50 us longer */
	worker->now_s = pv_now_s();
	worker->next_second = rte_rdtsc() + rte_get_tsc_hz();
	while (!worker->datapath->stop) {
		run(worker);
		pv_hold_here(worker);
	}
	worker->runs = false;
	return 0;
}
