/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How packets move between the parts of a worker: along a hook's chain of stages, into the vectors of the egress
 * ports, through the egress stages, and out.
 */
#include "core/pipeline.h"

#include <string.h>

#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_mbuf_dyn.h>

#include "core/path_inline.h"

static int egress_offset = -1;

int
pv_pipeline_init(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "pktvirt_egress_port",
		.size = sizeof(uint16_t),
		.align = __alignof__(uint16_t),
	};

	egress_offset = rte_mbuf_dynfield_register(&field);
	return egress_offset < 0 ? -rte_errno : 0;
}

static inline uint16_t *
egress_of(const struct rte_mbuf *packet)
{
	return RTE_MBUF_DYNFIELD(packet, egress_offset, uint16_t *);
}

uint16_t
pv_packet_egress(const struct rte_mbuf *packet)
{
	return *egress_of(packet);
}

void
pv_packet_set_egress(struct rte_mbuf *packet, uint16_t port)
{
	*egress_of(packet) = port;
}

void
pv_stage_drop(struct pv_run *run, struct rte_mbuf *packet, uint16_t reason)
{
	bool egress = (PV_HOOK_BIT(run->hook) & PV_HOOKS_EGRESS) != 0;

	run->self->counters.dropped++;
	pv_drop(run->worker, egress ? pv_packet_egress(packet) : packet->port, run->self->drop_base + reason, packet);
}

void
pv_stage_drop_unmade(struct pv_run *run, uint16_t port, uint16_t reason)
{
	run->self->counters.dropped++;
	run->worker->ports[port].drops[run->self->drop_base + reason]++;
}

static void
run_stage(struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_stage_self *self = run->self;
	uint64_t start = rte_rdtsc();

	run->downstream_cycles = 0;
	self->counters.calls++;
	self->counters.packets += count;
	self->stage->process(self, run, packets, count);
	pv_run_forward(run);
	self->counters.cycles += rte_rdtsc() - start - run->downstream_cycles;
}

/* What follows the last stage of a hook. */
static void
end_of_chain(struct pv_worker *worker, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count)
{
	if ((PV_HOOK_BIT(hook) & PV_HOOKS_INGRESS) != 0) {
		worker->datapath->multiplexing->switch_burst(worker, packets, count);
		return;
	}
	for (uint16_t i = 0; i < count; i++)
		pv_collect_for_sending(worker, packets[i], pv_packet_egress(packets[i]));
}

void
pv_run_forward(struct pv_run *run)
{
	uint16_t count = run->count;
	uint64_t start;

	if (count == 0)
		return;
	start = rte_rdtsc();
	run->count = 0;
	if (run->next != NULL)
		run_stage(run->next, run->packets, count);
	else
		end_of_chain(run->worker, run->hook, run->packets, count);
	run->downstream_cycles += rte_rdtsc() - start;
}

void
pv_chain_run(struct pv_worker *worker, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_chain *chain = &worker->packet_stages.chain[hook];

	if (chain->count > 0)
		run_stage(&chain->runs[0], packets, count);
	else
		end_of_chain(worker, hook, packets, count);
}

void
pv_chain_flush(struct pv_worker *worker, enum pv_hook hook)
{
	struct pv_chain *chain = &worker->packet_stages.chain[hook];

	/* In order: what one stage lets go of may be held by the next, which comes after it. */
	for (uint16_t i = 0; i < chain->count; i++) {
		struct pv_run *run = &chain->runs[i];
		struct pv_stage_self *self = run->self;
		uint64_t start;

		if (self->held == 0 || self->stage->flush == NULL)
			continue;
		start = rte_rdtsc();
		run->downstream_cycles = 0;
		self->stage->flush(self, run);
		pv_run_forward(run);
		self->counters.cycles += rte_rdtsc() - start - run->downstream_cycles;
	}
}

void
pv_run_egress_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector, const struct pv_shape *shape)
{
	uint16_t count = vector->count;

	vector->count = 0;
	pv_chain_run(worker, pv_egress_hook(worker->datapath->ports[to]), vector->packets, count);
}

static inline void
to_egress_stages(struct pv_worker *worker, struct rte_mbuf *packet, const struct pv_port *port)
{
	if (worker->packet_stages.chain[pv_egress_hook(port)].count == 0) {
		pv_path_collect(worker, packet, port->id, &pv_any_shape);
		return;
	}
	*egress_of(packet) = port->id;
	if (unlikely(pv_fan_is_full(&worker->egress, port->id)))
		pv_run_egress_vector(worker, port->id, worker->egress.vector[port->id], &pv_any_shape);
	pv_fan_add(&worker->egress, port->id, packet);
}

static void
to_owner(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to, uint16_t owner)
{
	*egress_of(packet) = to;
	worker->counters.handed_over++;
	if (unlikely(pv_fan_is_full(&worker->hand, owner)))
		pv_hand_vector(worker, owner, worker->hand.vector[owner], &pv_any_shape);
	pv_fan_add(&worker->hand, owner, packet);
}

void
pv_deliver(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	struct pv_port *port = worker->datapath->ports[to];
	uint16_t active = port->active_queues;

	if (unlikely(!port->up)) {
		pv_drop(worker, to, PV_DROP_PORT_DOWN, packet);
		return;
	}
	if (unlikely(!pv_offload_fits(packet, port->frame_max))) {
		pv_drop(worker, to, PV_DROP_EXCEEDS_MTU, packet);
		return;
	}
	if (likely(pv_owns_an_active_queue(&worker->route[to], active)))
		to_egress_stages(worker, packet, port);
	else
		to_owner(worker, packet, to, port->owner[worker->id % active]);
}

void
pv_collect_for_sending(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	pv_path_collect(worker, packet, to, &pv_any_shape);
}

/* What tells flows apart, in memory that is aligned for the hash. */
struct flow_key {
	uint8_t addresses[32];
	uint32_t ports;
	uint32_t protocol;
};

static void
add_ports(struct flow_key *key, const struct rte_mbuf *packet, uint32_t offset)
{
	if ((key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP) &&
	    rte_pktmbuf_data_len(packet) >= offset + sizeof(key->ports))
		memcpy(&key->ports, rte_pktmbuf_mtod_offset(packet, const char *, offset), sizeof(key->ports));
}

static void
fill_ipv4(struct flow_key *key, const struct rte_mbuf *packet)
{
	const struct rte_ipv4_hdr *ipv4 =
		rte_pktmbuf_mtod_offset(packet, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	key->protocol = ipv4->next_proto_id;
	memcpy(key->addresses, &ipv4->src_addr, 2 * sizeof(ipv4->src_addr));
	if ((ipv4->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) == 0)
		add_ports(key, packet, RTE_ETHER_HDR_LEN + rte_ipv4_hdr_len(ipv4));
}

static void
fill_ipv6(struct flow_key *key, const struct rte_mbuf *packet)
{
	const struct rte_ipv6_hdr *ipv6 =
		rte_pktmbuf_mtod_offset(packet, const struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);

	key->protocol = ipv6->proto;
	memcpy(key->addresses, ipv6->src_addr, 32);
	add_ports(key, packet, RTE_ETHER_HDR_LEN + sizeof(*ipv6));
}

/* The same for all packets of a flow: addresses and ports of TCP and UDP over IP, else the Ethernet addresses. */
static uint32_t
flow_hash(const struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	uint16_t length = rte_pktmbuf_data_len(packet);
	struct flow_key key = { .ports = 0 };

	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
	    length >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr))
		fill_ipv4(&key, packet);
	else if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
		 length >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr))
		fill_ipv6(&key, packet);
	else
		memcpy(key.addresses, ether, 2 * sizeof(struct rte_ether_addr));
	return rte_hash_crc(&key, sizeof(key), 0);
}

void
pv_send_spread(struct pv_worker *worker, struct pv_port *port, const uint16_t *queues, uint16_t n_queues,
	       struct rte_mbuf **packets, uint16_t count)
{
	struct rte_mbuf *part[PV_BURST_MAX];
	uint16_t chosen[PV_BURST_MAX];

	for (uint16_t i = 0; i < count; i++)
		chosen[i] = flow_hash(packets[i]) % n_queues;
	for (uint16_t queue = 0; queue < n_queues; queue++) {
		uint16_t n = 0;

		for (uint16_t i = 0; i < count; i++)
			if (chosen[i] == queue)
				part[n++] = packets[i];
		if (n > 0)
			pv_path_send_to_queue(worker, port, queues[queue], part, n, &pv_any_shape);
	}
}

__rte_noinline void
pv_send_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector)
{
	pv_path_send_vector(worker, to, vector, &pv_any_shape);
}

/* Where the packets of one sender end that begin at `first`. */
static uint16_t
end_of_sender(struct rte_mbuf *const *packets, uint16_t first, uint16_t count)
{
	uint16_t end = (uint16_t)(first + 1);

	while (end < count && packets[end]->port == packets[first]->port)
		end++;
	return end;
}

/* Counts packets out of their senders' mail: a context that has much is not polled (contexts.h). */
static void
forget_mail(const struct pv_datapath *datapath, struct rte_mbuf *const *packets, uint16_t count)
{
	for (uint16_t first = 0, end; first < count; first = end) {
		_Atomic int32_t *mail = &datapath->ports[packets[first]->port]->mail;

		end = end_of_sender(packets, first, count);
		atomic_fetch_sub_explicit(mail, end - first, memory_order_relaxed);
	}
}

/*
 * A sender may have as much in the mailboxes as there is room left in this one, so one that several fill has room for
 * who has little there (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998). What
 * is beyond that is dropped. Counts the others, before they are there: from then on they are the other worker's.
 */
static void
admit_mail(struct pv_worker *worker, const struct rte_ring *mailbox, struct pv_vector *vector)
{
	int32_t room = (int32_t)rte_ring_free_count(mailbox), kept = 0;
	struct rte_mbuf **packets = vector->packets;

	for (uint16_t first = 0, end; first < vector->count; first = end) {
		_Atomic int32_t *mail = &worker->datapath->ports[packets[first]->port]->mail;
		int32_t left = room - kept - atomic_load_explicit(mail, memory_order_relaxed), taken;

		end = end_of_sender(packets, first, vector->count);
		taken = RTE_MIN(end - first, RTE_MAX((left + 1) / 2, 0)); /* each makes less room and more mail */
		atomic_fetch_add_explicit(mail, taken, memory_order_relaxed);
		memmove(&packets[kept], &packets[first], (size_t)taken * sizeof(packets[0]));
		kept += taken;
		for (uint16_t i = first + (uint16_t)taken; i < end; i++)
			pv_drop(worker, pv_packet_egress(packets[i]), PV_DROP_MAILBOX_FULL, packets[i]);
	}
	vector->count = (uint16_t)kept;
}

void
pv_hand_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector, const struct pv_shape *shape)
{
	struct pv_worker *other = worker->datapath->workers[to];
	struct rte_ring *mailbox = other->mailbox[worker->id];
	uint16_t taken;

	if (pv_has_contexts(worker->datapath))
		admit_mail(worker, mailbox, vector); /* to no more than there is room for */
	taken = (uint16_t)rte_ring_sp_enqueue_burst(mailbox, (void **)vector->packets, vector->count, NULL);
	for (uint16_t i = taken; i < vector->count; i++)
		pv_drop(worker, pv_packet_egress(vector->packets[i]), PV_DROP_MAILBOX_FULL, vector->packets[i]);
	vector->count = 0;
	if (worker->datapath->critical != PV_CRITICAL_POLL || pv_has_contexts(worker->datapath))
		pv_worker_wake(other, PV_SOURCE_MAIL);
}

void
pv_drain(struct pv_worker *worker)
{
	pv_path_drain(worker, &pv_any_shape);
}

/* Takes in packets that another worker has switched; this one owns a queue of their port. */
void
pv_receive_handed(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	if (pv_has_contexts(worker->datapath))
		forget_mail(worker->datapath, packets, count);
	for (uint16_t i = 0; i < count; i++) {
		uint16_t to = pv_packet_egress(packets[i]);
		const struct pv_port *port = worker->datapath->ports[to];

		if (likely(port->up && pv_owns_an_active_queue(&worker->route[to], port->active_queues)))
			to_egress_stages(worker, packets[i], port);
		else
			pv_drop(worker, to, PV_DROP_PORT_DOWN, packets[i]);
	}
	pv_drain(worker);
}
