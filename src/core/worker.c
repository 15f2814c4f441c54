/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/worker.h"

#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_ether.h>

#include "core/datapath.h"
#include "core/pipeline.h"

#define IDLE_SHARE_SLEPT 32 /* one part in so many of the quiet time is slept at once */

static inline bool
admit(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf *packet)
{
	if (unlikely(packet->data_len < RTE_ETHER_HDR_LEN)) {
		pv_drop(worker, port->id, PV_DROP_RUNT, packet);
		return false;
	}
	if (unlikely(packet->pkt_len > port->frame_max)) {
		pv_drop(worker, port->id, PV_DROP_OVERSIZED, packet);
		return false;
	}
	return true;
}

/* Counts what came in and drops what is no frame. Returns how many remain, in order. */
static uint16_t
admit_burst(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_port_counters *counters = &worker->ports[port->id];
	uint64_t bytes = 0;
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *packet = packets[i];

		bytes += packet->pkt_len;
		packet->port = port->id;
		if (likely(admit(worker, port, packet)))
			packets[kept++] = packet;
	}
	counters->rx_packets += count;
	counters->rx_bytes += bytes;
	return kept;
}

static void
count_received(struct pv_worker *worker, const struct pv_port *port, uint16_t count, uint64_t cycles)
{
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_RECEIVE];

	section->calls++;
	section->packets += count;
	section->cycles += cycles;
	worker->ports[port->id].rx_calls++;
	worker->ports[port->id].rx_cycles += cycles;
	worker->counters.bursts++;
}

static uint16_t
poll_queue(struct pv_worker *worker, const struct pv_queue *queue)
{
	struct rte_mbuf *packets[PV_BURST_MAX];
	struct pv_port *port = queue->port;
	uint16_t count, kept;
	uint64_t start;

	if (!port->up || queue->queue >= port->active_queues)
		return 0;
	start = rte_rdtsc();
	count = port->ops->rx_burst(port, queue->queue, packets, PV_BURST_MAX);
	if (count == 0)
		return 0;
	kept = admit_burst(worker, port, packets, count);
	count_received(worker, port, count, rte_rdtsc() - start);
	if (kept > 0) {
		pv_chain_run(worker, port->role == PV_ROLE_GUEST ? PV_HOOK_FROM_GUEST : PV_HOOK_FROM_WIRE, packets,
			     kept);
		pv_drain(worker);
	}
	return count;
}

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

static bool
holds_packets(const struct pv_worker *worker)
{
	for (uint16_t i = 0; i < worker->n_stages; i++)
		if (worker->stages[i].held > 0)
			return true;
	return false;
}

uint32_t
pv_worker_round(struct pv_worker *worker)
{
	uint32_t packets = 0;

	for (uint16_t i = 0; i < worker->n_queues; i++)
		packets += poll_queue(worker, &worker->queues[i]);
	for (uint16_t i = 0; i < worker->datapath->n_workers; i++)
		if (worker->mailbox[i] != NULL)
			packets += poll_mailbox(worker, worker->mailbox[i]);
	if (holds_packets(worker)) {
		for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++) {
			pv_chain_flush(worker, hook);
			pv_drain(worker);
		}
	}
	worker->counters.rounds++;
	worker->counters.packets += packets;
	return packets;
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

static inline void
tick(struct pv_worker *worker, uint64_t now)
{
	if (unlikely(now >= worker->next_second)) {
		worker->next_second = now + rte_get_tsc_hz();
		worker->now_s = pv_now_s();
	}
}

static void
poll_until_stopped(struct pv_worker *worker)
{
	struct pv_datapath *datapath = worker->datapath;
	struct pv_worker_counters *counters = &worker->counters;
	uint64_t last = rte_rdtsc(), idle = 0;

	while (likely(!datapath->stop)) {
		uint32_t packets = pv_worker_round(worker);
		uint64_t now = rte_rdtsc();

		rte_rcu_qsbr_quiescent(datapath->qsbr, worker->id);
		tick(worker, now);
		if (packets > 0) {
			counters->busy_rounds++;
			counters->busy_cycles += now - last;
			idle = 0;
		} else {
			if (idle >= datapath->idle_cycles_before_sleep) {
				sleep_a_moment(worker, idle);
				now = rte_rdtsc(); /* a sleep is no part of the round after it */
			}
			counters->idle_cycles += now - last;
			idle += now - last;
		}
		last = now;
	}
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
	rte_rcu_qsbr_thread_online(worker->datapath->qsbr, worker->id);
	poll_until_stopped(worker);
	rte_rcu_qsbr_thread_offline(worker->datapath->qsbr, worker->id);
	worker->runs = false;
	return 0;
}
