/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ack-offload: the guest acknowledges a large packet once, and the sender gets the acknowledgments that it would have
 * got for the segments.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis 2009), section 3.2.2.
 *
 * What it does. A guest that is given several segments as one packet (receive-aggregation, which is listed before this
 * stage) acknowledges them together. Senders count acknowledgments to open their congestion window, and expect one for
 * every second full segment (RFC 1122, 4.2.3.2; RFC 5681, 4.2). The paper's guests send a template with the numbers
 * beside it; guests that know nothing of this send the last acknowledgment only, so it is the template, and the numbers
 * come from what was seen on the way in: behind the wire, the stage notes where the segments of each aggregated packet
 * begin and end. Before the wire, in front of an acknowledgment that passes some of these boundaries, it emits a copy
 * for every second full segment behind the last one. Then comes the guest's own. So the sender gets as many as a
 * receiver would send that acknowledges every second segment, and the last of them when the guest does.
 *
 * A template has no payload, no flags but ACK, no options but the timestamp, and a number beyond the one before. So
 * duplicates, SACK blocks, echoes of congestion (which are counted, too: DCTCP) and updates of the window pass alone.
 * So does one whose window field is smaller than the one before: in copies of it, with lower numbers, the right edge of
 * the window would move back, which RFC 9293 (3.8.6) asks receivers not to do.
 *
 * A copy differs from its template in the acknowledgment number, and in the checksum of TCP unless that is left to the
 * device: then the field holds the sum of the pseudo header, which the number is not part of. The identification of
 * IPv4 stays: it has a meaning for fragments only, and no link fragments packets of this size.
 *
 * What is noted. Of each connection of which an aggregated packet has come: runs of payload in order, with the size of
 * their segments; packets that came alone are part of them. Payload behind a gap is noted, too, but an acknowledgment
 * makes copies only up to the first gap that it passes: the receiver of single segments would have acknowledged what
 * lay behind all at once, as soon as the gap was closed. Payload that comes again is not noted.
 *
 * Who owns packets. Everything is emitted in the call that hands it over, copies before their template. Nothing is
 * held. The copies are the only packets made: one at most for two segments that came, and 256 for one template. When
 * there is no buffer for one, it is left out, and counted.
 *
 * The table belongs to a worker: "flows" connections, four to a place that a hash with random numbers finds; the one
 * of which nothing was noted for longest gives way. A connection is forgotten when nothing was noted of it for "idle-s"
 * seconds, and at SYN, FIN or RST.
 *
 * Limits. The worker that receives a connection from the wire must be the one that sends to the wire: with several
 * queues on several workers that is up to the device's distribution of flows; elsewhere acknowledgments pass alone.
 *
 * Drop reasons. no_buffer: a copy could not be made.
 */
#include <sys/random.h>

#include <rte_malloc.h>

#include "core/stage.h"
#include "core/tcp_packet.h"
#include "core/worker.h"
#include "vio/coalesced.h"

#define WAYS 4
#define RUNS 16 /* of a connection */
#define COPIES_MAX 256
#define TEMPLATE_MAX 128   /* bytes of a frame, which headers and padding are less than */
#define RUN_MAX (1u << 30) /* bytes: the largest window of TCP */
#define SEGMENTS_PER_ACK 2
#define ENDING (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG)

struct options {
	uint32_t flows;
	uint32_t idle_s;
};

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, flows, "flows", 16, 1048576, 1024,
		       "connections of each worker, rounded up to a power of two"),
	PV_OPTION_UINT(struct options, idle_s, "idle-s", 1, 3600, 10,
		       "seconds without payload after which one is forgotten"),
	PV_OPTION_END,
};

enum { DROP_NO_BUFFER };

static const struct pv_drop_reason drops[] = {
	[DROP_NO_BUFFER] = { "no_buffer", "no buffer for the copy of an acknowledgment" },
	{ .name = NULL },
};

/* Payload without a gap: segments of one size, the last of which may be shorter. */
struct run {
	uint32_t start, end;
	uint16_t size;
	bool ended; /* by a shorter one */
};

struct flow {
	uint64_t key[PV_TCP_FLOW_WORDS]; /* of packets from the wire */
	uint32_t acked;			 /* by the guest; at first, where the first aggregated packet begins */
	uint16_t window;		 /* of the packet that did */
	bool known;			 /* the guest has acknowledged something */
	uint8_t first, count;		 /* of runs, oldest first */
	struct run runs[RUNS];
};

/* What a look for a connection begins with. */
struct slot {
	uint32_t tag; /* of its key; 0: free */
	uint32_t used_s;
};

struct table {
	struct slot *slots;
	struct flow *flows;
	uint32_t used;
	uint32_t mask;
	uint32_t idle_s;
	uint32_t now_s;
	uint64_t random[PV_TCP_RANDOM_WORDS];
};

/* --- the table ---------------------------------------------------------------------------------------------------- */

static bool
is_free(const struct table *table, const struct slot *slot)
{
	return slot->tag == 0 || table->now_s - slot->used_s > table->idle_s;
}

static void
forget(struct table *table, struct flow *flow)
{
	table->slots[flow - table->flows].tag = 0;
	table->used--;
}

/* The first of the slots that a key may be in, and what is written there for it. */
static uint32_t
place_of(const struct table *table, const uint64_t *key, bool ipv6, uint32_t *tag)
{
	uint32_t hash = pv_tcp_hash(table->random, key, ipv6);

	*tag = hash | 1;
	return (hash >> 1) * WAYS & table->mask;
}

static struct flow *
find(const struct table *table, const uint64_t *key, bool ipv6)
{
	uint32_t tag, place;

	if (table->used == 0)
		return NULL;
	place = place_of(table, key, ipv6, &tag);
	for (uint32_t i = place; i < place + WAYS; i++)
		if (table->slots[i].tag == tag && !is_free(table, &table->slots[i]) &&
		    pv_tcp_flow_differs(table->flows[i].key, key, true) == 0)
			return &table->flows[i];
	return NULL;
}

/* A slot that is free, or of the connection that was not used for longest. */
static uint32_t
choose(const struct table *table, uint32_t place)
{
	uint32_t chosen = place;

	for (uint32_t i = place; i < place + WAYS; i++) {
		if (is_free(table, &table->slots[i]))
			return i;
		if (table->now_s - table->slots[i].used_s > table->now_s - table->slots[chosen].used_s)
			chosen = i;
	}
	return chosen;
}

static struct flow *
make(struct table *table, const uint64_t *key, bool ipv6, uint32_t seq)
{
	uint32_t tag, i = choose(table, place_of(table, key, ipv6, &tag));
	struct flow *flow = &table->flows[i];

	if (table->slots[i].tag == 0)
		table->used++;
	table->slots[i] = (struct slot){ .tag = tag, .used_s = table->now_s };
	memcpy(flow->key, key, sizeof(flow->key));
	flow->known = false;
	flow->acked = seq;
	flow->first = flow->count = 0;
	return flow;
}

/* --- from the wire: what is noted --------------------------------------------------------------------------------- */

static struct run *
run_at(struct flow *flow, unsigned int index)
{
	return &flow->runs[(flow->first + index) % RUNS];
}

static void
drop_first(struct flow *flow)
{
	flow->first = (flow->first + 1) % RUNS;
	flow->count--;
}

/* Whether segments of `size` that begin at `seq` are more of a run. A packet that came alone may be a shorter last. */
static bool
extends(const struct run *run, uint32_t seq, uint32_t payload, uint16_t size)
{
	return seq == run->end && !run->ended && (size == run->size || (payload == size && size < run->size)) &&
	       run->end - run->start + payload <= RUN_MAX;
}

static void
note(struct table *table, struct flow *flow, uint32_t seq, uint32_t payload, uint16_t size)
{
	struct run *last = flow->count > 0 ? run_at(flow, flow->count - 1u) : NULL;

	/* It comes again, or is not within any window. */
	if (seq - flow->acked > RUN_MAX || (last != NULL && pv_seq_before(seq, last->end)))
		return;
	table->slots[flow - table->flows].used_s = table->now_s;
	if (last != NULL && extends(last, seq, payload, size)) {
		last->end += payload;
		last->ended = payload % last->size != 0;
		return;
	}
	if (flow->count == RUNS)
		drop_first(flow);
	*run_at(flow, flow->count++) =
		(struct run){ .start = seq, .end = seq + payload, .size = size, .ended = payload % size != 0 };
}

static void
look_at_data(struct table *table, const struct rte_mbuf *packet)
{
	bool coalesced = pv_is_coalesced(packet);
	struct pv_tcp tcp;
	enum pv_tcp_kind kind = pv_tcp_parse(packet, packet->port, &tcp);
	struct flow *flow;
	uint16_t size;

	if (kind < PV_TCP_ODD)
		return;
	flow = find(table, tcp.flow, tcp.ipv6);
	if ((tcp.flags & ENDING) != 0) {
		if (flow != NULL)
			forget(table, flow);
		return;
	}
	if (kind != PV_TCP_PLAIN || tcp.payload == 0)
		return;
	if (flow == NULL && coalesced)
		flow = make(table, tcp.flow, tcp.ipv6, tcp.seq);
	size = (packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? packet->tso_segsz : tcp.payload;
	if (flow != NULL && size > 0)
		note(table, flow, tcp.seq, tcp.payload, size);
}

/* --- to the wire: copies ------------------------------------------------------------------------------------------ */

/* RFC 1624, equation 3. A checksum that is left to the device does not depend on the number. */
static void
set_ack(struct rte_mbuf *packet, const struct pv_tcp *tcp, uint32_t ack)
{
	struct rte_tcp_hdr *header = rte_pktmbuf_mtod_offset(packet, struct rte_tcp_hdr *, tcp->l2_len + tcp->l3_len);
	uint32_t before = header->recv_ack, sum;

	header->recv_ack = rte_cpu_to_be_32(ack);
	if ((packet->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0)
		return;
	sum = (uint16_t)~header->cksum;
	sum += (uint16_t)~before + (uint16_t) ~(before >> 16);
	sum += (header->recv_ack & UINT16_MAX) + (header->recv_ack >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	header->cksum = (uint16_t)~sum;
}

/* What is made of one template. */
struct copies {
	struct pv_run *run;
	const struct rte_mbuf *template;
	const struct pv_tcp *tcp;
	unsigned int segments; /* full ones, since the last acknowledgment */
	unsigned int made;
};

static void
make_copy(struct copies *copies, uint32_t ack)
{
	const struct rte_mbuf *template = copies->template;
	struct rte_mbuf *copy = rte_pktmbuf_copy(template, template->pool, 0, UINT32_MAX);

	copies->made++;
	if (copy == NULL) {
		pv_stage_drop_unmade(copies->run, pv_packet_egress(template), DROP_NO_BUFFER);
		return;
	}
	set_ack(copy, copies->tcp, ack);
	pv_emit(copies->run, copy);
}

/* Counts the full segments of a run that end behind `acked`, and not behind the template's number. */
static void
pass_run(struct copies *copies, const struct run *run, uint32_t acked)
{
	uint32_t end = pv_seq_before(copies->tcp->ack, run->end) ? copies->tcp->ack : run->end;
	uint32_t passed = pv_seq_before(acked, run->start) ? 0 : (acked - run->start) / run->size;

	for (uint32_t at = run->start + passed * run->size;
	     (int32_t)(end - at) >= run->size && copies->made < COPIES_MAX;) {
		at += run->size;
		if (++copies->segments < SEGMENTS_PER_ACK || at == copies->tcp->ack)
			continue;
		make_copy(copies, at);
		copies->segments = 0;
	}
}

static void
make_copies(struct flow *flow, struct copies *copies)
{
	uint32_t seen = flow->acked;

	for (unsigned int i = 0; i < flow->count; i++) {
		const struct run *run = run_at(flow, i);

		if (pv_seq_before(seen, run->start) || !pv_seq_before(seen, copies->tcp->ack))
			break;
		pass_run(copies, run, flow->acked);
		seen = run->end;
	}
}

/* Forgets runs that lie before the guest's number. */
static void
trim(struct flow *flow)
{
	while (flow->count > 0 && !pv_seq_before(flow->acked, run_at(flow, 0)->end))
		drop_first(flow);
}

static bool
is_template(const struct flow *flow, const struct rte_mbuf *packet, enum pv_tcp_kind kind, const struct pv_tcp *tcp)
{
	return kind == PV_TCP_PLAIN && tcp->payload == 0 && tcp->flags == RTE_TCP_ACK_FLAG && flow->known &&
	       tcp->window >= flow->window && packet->pkt_len <= TEMPLATE_MAX;
}

/* Emits what goes before the guest's packet. */
static void
look_at_ack(struct table *table, struct pv_run *run, const struct rte_mbuf *packet)
{
	struct pv_tcp tcp;
	enum pv_tcp_kind kind = pv_tcp_parse(packet, pv_packet_egress(packet), &tcp);
	struct copies copies = { .run = run, .template = packet, .tcp = &tcp };
	uint64_t key[PV_TCP_FLOW_WORDS];
	struct flow *flow;

	if (kind < PV_TCP_ODD || table->used == 0)
		return;
	pv_tcp_flow_back(&tcp, key);
	flow = find(table, key, tcp.ipv6);
	if (flow == NULL)
		return;
	if ((tcp.flags & ENDING) != 0) {
		forget(table, flow);
		return;
	}
	if ((tcp.flags & RTE_TCP_ACK_FLAG) == 0 || (flow->known && pv_seq_before(tcp.ack, flow->acked)))
		return;
	if (is_template(flow, packet, kind, &tcp))
		make_copies(flow, &copies);
	flow->acked = tcp.ack;
	flow->window = tcp.window;
	flow->known = true;
	trim(flow);
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

static int
offload_init(struct pv_stage_self *self)
{
	const struct options *wanted = self->options;
	struct table *table = self->state;
	uint32_t slots = rte_align32pow2(wanted->flows);

	table->mask = slots - 1;
	table->idle_s = wanted->idle_s;
	if (getrandom(table->random, sizeof(table->random), 0) != sizeof(table->random) || pv_coalesced_init() != 0)
		return -EIO;
	table->slots = rte_calloc("pv_ack_slots", slots, sizeof(*table->slots), RTE_CACHE_LINE_SIZE);
	table->flows = rte_calloc("pv_ack_flows", slots, sizeof(*table->flows), RTE_CACHE_LINE_SIZE);
	if (table->slots != NULL && table->flows != NULL)
		return 0;
	rte_free(table->slots);
	rte_free(table->flows);
	return -ENOMEM;
}

static void
offload_process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct table *table = self->state;

	table->now_s = pv_now_s();
	for (uint16_t i = 0; i < count; i++) {
		if (run->hook == PV_HOOK_FROM_WIRE)
			look_at_data(table, packets[i]);
		else
			look_at_ack(table, run, packets[i]);
		pv_emit(run, packets[i]);
	}
}

static void
offload_fini(struct pv_stage_self *self)
{
	struct table *table = self->state;

	rte_free(table->slots);
	rte_free(table->flows);
}

static const struct pv_stage ack_offload = {
	.name = "ack-offload",
	.summary = "one acknowledgment of an aggregated packet becomes those of its segments, before the wire",
	.source = "Menon, EPFL thesis 2009, section 3.2.2",
	.options = options,
	.options_size = sizeof(struct options),
	.drops = drops,
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_WIRE) | PV_HOOK_BIT(PV_HOOK_TO_WIRE),
	.state_size = sizeof(struct table),
	.init = offload_init,
	.process = offload_process,
	.fini = offload_fini,
};
PV_STAGE(ack_offload)
