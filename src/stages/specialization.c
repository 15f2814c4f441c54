/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * specialization: a flow's packets do what its first ones were found to do, and workers of a common shape run code that
 * was compiled for it.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.5,
 * "Network Stack Specialization": templates filled with what stays the same for a connection, routing not decided anew
 * for each packet, layered functions inlined, and the way back to the generic code when something has changed.
 *
 * The primitive is "packet-path" (core/path.h). generic, what runs without the stage: each packet passes the stages of
 * its hooks, has its source learned and its destination looked up. specialized, the stage:
 *
 * Templates. Each worker has a table of flows: ingress port and both Ethernet addresses ("key": "l2"), or also
 * EtherType, IP addresses, protocol and ports ("flow"), for stages that decide by them. A packet that has no template
 * goes the generic way, and if all that will happen to it is known, this is written into a template: what the stages of
 * the ingress hook do with its flow (struct pv_stage, decide), the egress port, and what the stages there do. The
 * packets behind it go straight to the vector of their egress port, or are dropped.
 *
 * Guards. A template is used only while all that it was made from is as it was:
 *  - the words of the switching table for source and destination (pv_fdb_is_unchanged). They are compared by value,
 *    because a generation of the whole table would let a guest that sends from ever new addresses turn everybody's
 *    templates off; so would one of all ports for a guest that goes up and down. What such a guest can do is to have
 * its own flows take the generic way, and other flows' templates evicted that no packet has used in this second;
 *  - the worker's generation: its stages, what they have decided, its other primitives, its ports;
 *  - the second: the first packet of each goes the generic way, by which the table learns that the source still speaks.
 * The state of the egress port (up, queues in use, longest frame) is not in the template but looked at: where the short
 * way is not open, pv_deliver() does with the packet what it does on the generic path.
 *
 * Order. Packets without a template wait until one with a template is next, and are sent the generic way before it. A
 * packet does not overtake those that wait for egress stages either. So what goes out, and in which order, is the same.
 *
 * Shapes. The polling round is one inline code (core/path_inline.h), compiled for: one worker, no packet stages where
 * packets of its ports pass, all ports vhost-user with the data path vio; the same with other ports among them; all
 * else. Each is there with and without brackets for signals (base/critical.h). The first two call the data path
 * directly.
 *
 * Counters. A stage that was not called because of its decision counts packets, emitted and dropped as if it had been,
 * but no calls. Time that templates take is the switch's. hits, misses, stale (misses because a guard failed) and
 * evicted are the worker's (pktvirt-ctl show workers).
 *
 * No packet is held, so there is nobody who owns one for longer than a burst; drops are those of the generic path.
 *
 * Limits. Group addresses, addresses that the table does not have, packets with IP options, extension headers or
 * fragments ("flow") and flows through an ingress stage that does not decide go the generic way. So do two flows too
 * many for their place in the table, as long as it is in use.
 */
#include <string.h>
#include <sys/random.h>

#include <rte_ip.h>
#include <rte_malloc.h>

#include "core/path_inline.h"

#define REWRITES_MAX 2	      /* of a flow at one hook */
#define HEADER_MAX 64	      /* bytes that decisions may be about: Ethernet, IPv6, two ports */
#define KEY_WORDS 2	      /* addresses and ingress port */
#define FLOW_WORDS 5	      /* the rest of "flow" */
#define KEY_USED (1ULL << 63) /* so that no key is like that of an empty template */

struct options {
	uint32_t templates;
	uint32_t key;
};

static const char *const key_names[] = { [PV_LIKE_ADDRESSES] = "l2", [PV_LIKE_FLOW] = "flow", NULL };

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, templates, "templates", 64, 1048576, 4096,
		       "templates of each worker, rounded up to a power of two"),
	PV_OPTION_ENUM(struct options, key, "key", key_names, PV_LIKE_ADDRESSES,
		       "what tells flows apart: l2 = Ethernet addresses, flow = also IP addresses, protocol and ports"),
	PV_OPTION_END,
};

enum action {
	ACTION_FORWARD,	  /* to the egress port */
	ACTION_SAME_PORT, /* drop: the egress port is the ingress port */
	ACTION_DROP,	  /* an ingress stage does */
	ACTION_GENERIC,	  /* it is known that there can be no template */
};

struct template
{
	uint64_t key[KEY_WORDS];
	struct pv_fdb_guard source, destination;
	uint32_t generation, second;
	uint16_t egress;
	uint8_t action;
	bool passes_ingress, passes_egress; /* stages, whose passages are in struct rest */
	bool asks_egress;		    /* the egress stages want to see each packet */
};
_Static_assert(sizeof(struct template) == RTE_CACHE_LINE_SIZE, "a hit reads one line of the table");

struct rewrite {
	uint16_t offset, length;
	uint8_t bytes[PV_REWRITE_MAX];
};

/* What the stages of one hook do with a flow. */
struct passage {
	uint16_t stages; /* that count it, from the first one on */
	bool drops;	 /* the last of them, for this reason */
	uint16_t reason;
	uint16_t n_rewrites;
	struct rewrite rewrites[REWRITES_MAX];
};

/* The part of a template that not every hit needs. */
struct rest {
	uint64_t flow[FLOW_WORDS];
	struct passage ingress, egress;
};

struct table {
	struct template *templates;
	struct rest *rests;
	uint32_t n;
	uint32_t hash_shift;
	uint32_t likeness;
	bool decided[PV_HOOK_COUNT]; /* every stage of the hook can say what it decides */
	uint64_t mix[KEY_WORDS + FLOW_WORDS + 1];
};

struct key {
	uint64_t words[KEY_WORDS];
	uint64_t flow[FLOW_WORDS];
};

/* What is known when nothing can change. */
static const _Atomic uint64_t nothing;

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* The last word of a flow. */
struct flow_word {
	uint32_t ports;
	uint16_t type;
	uint8_t protocol;
	uint8_t header; /* bytes of the frame that the key covers */
};

_Static_assert(sizeof(struct flow_word) == sizeof(uint64_t), "it is a word of the key");

static inline bool
has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static inline bool
is_extension_header(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_MH;
}

/* Takes addresses and protocol over. Returns the length of the header, 0 when it is not one without options. */
static uint8_t
take_ipv4(const struct rte_mbuf *packet, struct key *key, struct flow_word *last)
{
	const struct rte_ipv4_hdr *ipv4 =
		rte_pktmbuf_mtod_offset(packet, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	if (packet->data_len < RTE_ETHER_HDR_LEN + sizeof(*ipv4) || ipv4->version_ihl != RTE_IPV4_VHL_DEF ||
	    (ipv4->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return 0;
	memcpy(key->flow, &ipv4->src_addr, 2 * sizeof(ipv4->src_addr));
	last->protocol = ipv4->next_proto_id;
	return sizeof(*ipv4);
}

static uint8_t
take_ipv6(const struct rte_mbuf *packet, struct key *key, struct flow_word *last)
{
	const struct rte_ipv6_hdr *ipv6 =
		rte_pktmbuf_mtod_offset(packet, const struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);

	if (packet->data_len < RTE_ETHER_HDR_LEN + sizeof(*ipv6) ||
	    (ipv6->vtc_flow & RTE_BE32(0xf0000000)) != RTE_BE32(0x60000000) || is_extension_header(ipv6->proto))
		return 0;
	memcpy(key->flow, ipv6->src_addr, sizeof(ipv6->src_addr) + sizeof(ipv6->dst_addr));
	last->protocol = ipv6->proto;
	return sizeof(*ipv6);
}

/* False when the packet's headers are none that flows are told by. */
static bool
take_flow(const struct rte_mbuf *packet, struct key *key)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	struct flow_word last = { .type = ether->ether_type, .header = RTE_ETHER_HDR_LEN };
	uint8_t length;

	memset(key->flow, 0, sizeof(key->flow));
	if (last.type == RTE_BE16(RTE_ETHER_TYPE_IPV4) || last.type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		length = last.type == RTE_BE16(RTE_ETHER_TYPE_IPV4) ? take_ipv4(packet, key, &last) :
								      take_ipv6(packet, key, &last);
		if (length == 0)
			return false;
		last.header += length;
		if (has_ports(last.protocol)) {
			if (packet->data_len < last.header + sizeof(last.ports))
				return false;
			memcpy(&last.ports, (const char *)ether + last.header, sizeof(last.ports));
			last.header += sizeof(last.ports);
		}
	}
	memcpy(&key->flow[FLOW_WORDS - 1], &last, sizeof(last));
	return true;
}

/* False for a packet that cannot have a template. */
static __rte_always_inline bool
take_key(const struct rte_mbuf *packet, struct key *key, bool by_flow)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t end;

	if (unlikely((frame[0] & 1) != 0))
		return false;
	memcpy(&key->words[0], frame, sizeof(key->words[0]));
	memcpy(&end, frame + sizeof(key->words[0]), sizeof(end));
	key->words[1] = KEY_USED | (uint64_t)packet->port << 32 | end;
	return !by_flow || take_flow(packet, key);
}

/* The multipliers are secret, so a guest cannot choose addresses that share a place with those of others. */
static __rte_always_inline uint32_t
place_of(const struct table *table, const struct key *key, bool by_flow)
{
	uint64_t mixed = key->words[0] * table->mix[0] + key->words[1] * table->mix[1];

	for (unsigned int i = 0; by_flow && i < FLOW_WORDS; i++)
		mixed = (mixed ^ mixed >> 32) + key->flow[i] * table->mix[KEY_WORDS + i];
	mixed = (mixed ^ mixed >> 32) * table->mix[KEY_WORDS + FLOW_WORDS];
	return (uint32_t)(mixed >> table->hash_shift);
}

static __rte_always_inline bool
is_of(const struct table *table, const struct template *template, const struct key *key, bool by_flow)
{
	return template->key[0] == key->words[0] && template->key[1] == key->words[1] &&
	       (!by_flow || memcmp(table->rests[template - table->templates].flow, key->flow, sizeof(key->flow)) == 0);
}

/* --- guards ------------------------------------------------------------------------------------------------------- */

/* Whether a template may be used, apart from the second. */
static __rte_always_inline bool
holds(const struct pv_worker *worker, const struct template *template)
{
	return template->generation == worker->generation && pv_fdb_is_unchanged(&template->source) &&
	       pv_fdb_is_unchanged(&template->destination);
}

static __rte_always_inline bool
is_fresh(const struct pv_worker *worker, const struct template *template)
{
	return template->second == worker->now_s && holds(worker, template);
}

/* --- making templates --------------------------------------------------------------------------------------------- */

/* Puts the bytes of a decision into the frame, if all packets that are like it have room for them there. */
static bool
rewrite(struct rte_mbuf *packet, uint16_t header, const struct pv_decision *decision, struct passage *passage)
{
	struct rewrite *rewrite = &passage->rewrites[passage->n_rewrites];

	if (passage->n_rewrites == REWRITES_MAX || decision->length > PV_REWRITE_MAX ||
	    decision->offset + decision->length > header)
		return false;
	rewrite->offset = decision->offset;
	rewrite->length = decision->length;
	memcpy(rewrite->bytes, decision->bytes, decision->length);
	memcpy(rte_pktmbuf_mtod_offset(packet, char *, decision->offset), decision->bytes, decision->length);
	passage->n_rewrites++;
	return true;
}

/* Asks the stages of a hook in turn; each sees what those before it make of the packet. False: they want to look. */
static bool
ask_stages(const struct pv_chain *chain, enum pv_likeness likeness, uint16_t header, struct rte_mbuf *packet,
	   struct passage *passage)
{
	*passage = (struct passage){ .stages = 0 };
	for (uint16_t i = 0; i < chain->count && !passage->drops; i++) {
		const struct pv_run *run = &chain->runs[i];
		struct pv_decision decision = run->self->stage->decide(run->self, run->hook, likeness, packet);

		if (decision.verdict == PV_VERDICT_LOOK ||
		    (decision.verdict == PV_VERDICT_REWRITE && !rewrite(packet, header, &decision, passage)))
			return false;
		passage->stages++;
		passage->drops = decision.verdict == PV_VERDICT_DROP;
		passage->reason = run->self->drop_base + decision.reason;
	}
	return true;
}

/* Where the switch sends the packet, as it is now. False: it is not known, or not to be learned. */
static bool
ask_switch(const struct pv_worker *worker, const struct rte_mbuf *packet, struct template *template)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	const struct pv_fdb *fdb = worker->datapath->fdb;

	if (!rte_is_valid_assigned_ether_addr(&ether->src_addr) || rte_is_multicast_ether_addr(&ether->dst_addr) ||
	    pv_fdb_watch(fdb, ether->src_addr.addr_bytes, &template->source) != packet->port)
		return false;
	template->egress = pv_fdb_watch(fdb, ether->dst_addr.addr_bytes, &template->destination);
	template->action = template->egress == packet->port ? ACTION_SAME_PORT : ACTION_FORWARD;
	return template->egress != PV_FDB_NO_PORT;
}

static void
ask_egress(struct pv_worker *worker, const struct table *table, uint16_t header, struct rte_mbuf *packet,
	   struct template *template, struct rest *rest)
{
	enum pv_hook hook = pv_egress_hook(worker->datapath->ports[template->egress]);
	const struct pv_chain *chain = &worker->packet_stages.chain[hook];

	if (chain->count == 0)
		return;
	pv_packet_set_egress(packet, template->egress);
	template->asks_egress =
		!table->decided[hook] || !ask_stages(chain, table->likeness, header, packet, &rest->egress);
	template->passes_egress = !template->asks_egress;
}

/* Finds out what is known to happen to the packet, which may be changed. False: nothing is, for the time being. */
static bool
ask_all(struct pv_worker *worker, const struct table *table, const struct pv_chain *ingress, uint16_t header,
	struct rte_mbuf *packet, struct template *template, struct rest *rest)
{
	template->passes_ingress = ingress->count > 0;
	if (!ask_stages(ingress, table->likeness, header, packet, &rest->ingress)) {
		template->action = ACTION_GENERIC;
		return true;
	}
	if (rest->ingress.drops) {
		template->action = ACTION_DROP;
		return true;
	}
	if (!ask_switch(worker, packet, template))
		return false;
	if (template->action == ACTION_FORWARD)
		ask_egress(worker, table, header, packet, template, rest);
	return true;
}

/* Bytes of the frame that all packets of its flow have. */
static uint16_t
common_header(const struct table *table, const struct key *key)
{
	struct flow_word last;

	if (table->likeness != PV_LIKE_FLOW)
		return RTE_ETHER_HDR_LEN;
	memcpy(&last, &key->flow[FLOW_WORDS - 1], sizeof(last));
	return last.header;
}

static void
make(struct pv_worker *worker, struct table *table, const struct pv_chain *ingress, const struct key *key,
     struct rte_mbuf *packet, struct template *template)
{
	struct rest *rest = &table->rests[template - table->templates];
	uint16_t header = common_header(table, key);
	uint8_t frame[HEADER_MAX];
	bool known;

	*template = (struct template){
		.source = { .word = &nothing },
		.destination = { .word = &nothing },
		.generation = worker->generation,
		.second = worker->now_s,
	};
	memcpy(frame, rte_pktmbuf_mtod(packet, const void *), header);
	known = ask_all(worker, table, ingress, header, packet, template, rest);
	memcpy(rte_pktmbuf_mtod(packet, void *), frame, header);
	if (!known)
		return;
	memcpy(template->key, key->words, sizeof(template->key));
	if (table->likeness == PV_LIKE_FLOW)
		memcpy(rest->flow, key->flow, sizeof(rest->flow));
}

/* A template's place for a new flow: one that is not in use. NULL when there is none. */
static struct template *
find_place(struct pv_worker *worker, struct table *table, uint32_t place)
{
	for (uint32_t way = 0; way < 2; way++) {
		struct template *template = &table->templates[place ^ way];

		if (template->key[1] == 0)
			return template;
		if (is_fresh(worker, template))
			continue;
		worker->counters.templates.evicted++;
		return template;
	}
	return NULL;
}

/* --- using them --------------------------------------------------------------------------------------------------- */

/* A burst on its way. */
struct burst {
	struct pv_worker *worker;
	const struct pv_port *port;
	struct table *table;
	enum pv_hook hook;
	struct template *last;	   /* of the packet before, if it had one */
	struct rte_mbuf **waiting; /* packets without a template */
	uint16_t n_waiting;
	uint16_t hits, misses;
	uint64_t generic_cycles;
};

/* A clock that stands still while packets are sent. */
static inline uint64_t
own_cycles(const struct pv_worker *worker)
{
	return rte_rdtsc() - worker->counters.section[PV_SECTION_TRANSMIT].cycles;
}

/* Sends what waits the generic way. */
static __rte_noinline uint64_t
run_waiting(struct pv_worker *worker, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count)
{
	uint64_t start = own_cycles(worker);

	pv_chain_run(worker, hook, packets, count);
	return own_cycles(worker) - start;
}

static __rte_always_inline void
flush_waiting(struct burst *burst)
{
	if (burst->n_waiting == 0)
		return;
	burst->generic_cycles += run_waiting(burst->worker, burst->hook, burst->waiting, burst->n_waiting);
	burst->n_waiting = 0;
}

/* A template for the flow, from here on. */
static __rte_noinline void
take_note(struct pv_worker *worker, struct table *table, enum pv_hook hook, const struct key *key, uint32_t place,
	  struct rte_mbuf *packet, struct template *template)
{
	if (template == NULL)
		template = find_place(worker, table, place);
	else if (!holds(worker, template))
		worker->counters.templates.stale++;
	if (template != NULL)
		make(worker, table, &worker->packet_stages.chain[hook], key, packet, template);
}

/*
 * The template that holds for a packet, or NULL. What comes before the packet and has none has passed the switch when
 * this returns one, for it may change what the switch knows.
 */
static __rte_always_inline struct template *
find(struct burst *burst, const struct key *key, struct rte_mbuf *packet, bool by_flow)
{
	struct pv_worker *worker = burst->worker;
	struct table *table = burst->table;
	uint32_t place = place_of(table, key, by_flow);
	struct template *template = &table->templates[place];

	if (!is_of(table, template, key, by_flow)) {
		template = &table->templates[place ^ 1];
		if (!is_of(table, template, key, by_flow))
			template = NULL;
	}
	if (likely(template != NULL && is_fresh(worker, template))) {
		if (template->action == ACTION_GENERIC)
			return NULL;
		flush_waiting(burst);
		if (likely(is_fresh(worker, template)))
			return template;
	}
	take_note(worker, table, burst->hook, key, place, packet, template);
	return NULL;
}

/* Does what the stages of a hook have decided. False: the packet was dropped. */
static bool
pass(struct pv_worker *worker, enum pv_hook hook, const struct passage *passage, uint16_t port, struct rte_mbuf *packet)
{
	const struct pv_chain *chain = &worker->packet_stages.chain[hook];

	for (uint16_t i = 0; i < passage->stages; i++) {
		struct pv_stage_counters *counters = &chain->runs[i].self->counters;

		counters->packets++;
		if (passage->drops && i + 1 == passage->stages)
			counters->dropped++;
		else
			counters->emitted++;
	}
	if (passage->drops) {
		pv_drop(worker, port, passage->reason, packet);
		return false;
	}
	for (uint16_t i = 0; i < passage->n_rewrites; i++) {
		const struct rewrite *rewrite = &passage->rewrites[i];

		memcpy(rte_pktmbuf_mtod_offset(packet, char *, rewrite->offset), rewrite->bytes, rewrite->length);
	}
	return true;
}

/* Whether a packet may go to its port's send vector at once. */
static __rte_always_inline bool
goes_straight(const struct pv_worker *worker, const struct pv_port *port, const struct template *template,
	      const struct rte_mbuf *packet, const struct pv_shape *shape)
{
	if (!port->up || !pv_offload_fits(packet, port->frame_max) ||
	    (!shape->one_worker && !pv_owns_an_active_queue(&worker->route[port->id], port->active_queues)))
		return false;
	return shape->no_stages || (!template->asks_egress && worker->egress.vector[port->id]->count == 0);
}

static __rte_always_inline void
apply(struct burst *burst, const struct template *template, struct rte_mbuf *packet, const struct pv_shape *shape)
{
	struct pv_worker *worker = burst->worker;
	const struct rest *rest = &burst->table->rests[template - burst->table->templates];
	const struct pv_port *port;

	if (!shape->no_stages && template->passes_ingress &&
	    !pass(worker, burst->hook, &rest->ingress, burst->port->id, packet))
		return;
	if (unlikely(template->action == ACTION_SAME_PORT)) {
		pv_drop(worker, burst->port->id, PV_DROP_SAME_PORT, packet);
		return;
	}
	port = worker->datapath->ports[template->egress];
	if (unlikely(!goes_straight(worker, port, template, packet, shape)))
		pv_deliver(worker, packet, template->egress);
	else if (shape->no_stages || !template->passes_egress ||
		 pass(worker, pv_egress_hook(port), &rest->egress, port->id, packet))
		pv_path_collect(worker, packet, template->egress, shape);
}

/* Whether the template of the packet before is this one's, too. Since it was looked up nothing has run but sending. */
static __rte_always_inline bool
is_like_the_last(const struct burst *burst, const struct key *key, bool by_flow)
{
	return burst->last != NULL && is_of(burst->table, burst->last, key, by_flow);
}

static __rte_always_inline void
forward_one(struct burst *burst, struct rte_mbuf *packet, bool by_flow, const struct pv_shape *shape)
{
	struct template *template = NULL;
	struct key key;

	if ((shape->no_stages || burst->table->decided[burst->hook]) && likely(take_key(packet, &key, by_flow)))
		template = likely(is_like_the_last(burst, &key, by_flow)) ? burst->last :
									    find(burst, &key, packet, by_flow);
	burst->last = template;
	if (likely(template != NULL)) {
		burst->hits++;
		apply(burst, template, packet, shape);
	} else {
		burst->misses++;
		burst->waiting[burst->n_waiting++] = packet;
	}
}

static void
count_burst(const struct burst *burst, uint64_t cycles)
{
	struct pv_worker_counters *counters = &burst->worker->counters;
	struct pv_section_counters *section = &counters->section[PV_SECTION_SWITCH];

	counters->templates.hits += burst->hits;
	counters->templates.misses += burst->misses;
	section->calls += burst->hits > 0;
	section->packets += burst->hits;
	section->cycles += cycles - burst->generic_cycles;
}

static __rte_always_inline void
forward(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count, uint64_t start,
	bool by_flow, const struct pv_shape *shape)
{
	struct burst burst = { .worker = worker,
			       .port = port,
			       .table = worker->path_state,
			       .hook = pv_path_ingress_hook(port),
			       .waiting = packets };
	struct pv_events *events = pv_path_events(shape);
	uint64_t received = rte_rdtsc(), begin, bytes = 0;

	pv_path_count_received(worker, port, count, received - start);
	begin = received - worker->counters.section[PV_SECTION_TRANSMIT].cycles;
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *packet = packets[i];
		bool before = pv_critical_enter(events);

		bytes += packet->pkt_len;
		packet->port = port->id;
		if (likely(pv_path_admit(worker, port, packet)))
			forward_one(&burst, packet, by_flow, shape);
		pv_critical_leave(events, before);
	}
	flush_waiting(&burst);
	worker->ports[port->id].rx_packets += count;
	worker->ports[port->id].rx_bytes += bytes;
	count_burst(&burst, own_cycles(worker) - begin);
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

static __rte_always_inline void
forward_by_addresses(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count,
		     uint64_t start, const struct pv_shape *shape)
{
	forward(worker, port, packets, count, start, false, shape);
}

static __rte_always_inline void
forward_by_flow(struct pv_worker *worker, const struct pv_port *port, struct rte_mbuf **packets, uint16_t count,
		uint64_t start, const struct pv_shape *shape)
{
	forward(worker, port, packets, count, start, true, shape);
}

/* A path of a shape, with what there is to know about it. */
#define PATH(path, text, forward, ...)                                                      \
	static const struct pv_shape shape_of_##path = { __VA_ARGS__ };                     \
	static uint32_t poll_##path(struct pv_worker *worker, const struct pv_queue *queue) \
	{                                                                                   \
		return pv_path_poll(worker, queue, forward, &shape_of_##path);              \
	}                                                                                   \
	static uint32_t round_##path(struct pv_worker *worker)                              \
	{                                                                                   \
		return pv_path_round(worker, forward, &shape_of_##path);                    \
	}                                                                                   \
	static const struct pv_path path = { .shape = text, .poll = poll_##path, .round = round_##path };

#define SIMPLE .one_worker = true, .no_stages = true

PATH(all_vio, "fused: vhost-user, no stages", forward_by_addresses, SIMPLE, .ports = PV_SHAPE_ALL_VIO,
     .no_signals = true)
PATH(all_vio_signals, "fused: vhost-user, no stages, signals", forward_by_addresses, SIMPLE, .ports = PV_SHAPE_ALL_VIO)
PATH(some_vio, "fused: one worker, no stages", forward_by_addresses, SIMPLE, .ports = PV_SHAPE_SOME_VIO,
     .no_signals = true)
PATH(some_vio_signals, "fused: one worker, no stages, signals", forward_by_addresses, SIMPLE,
     .ports = PV_SHAPE_SOME_VIO)
PATH(any_by_addresses, "templates", forward_by_addresses, .ports = PV_SHAPE_SOME_VIO)
PATH(any_by_flow, "templates of flows", forward_by_flow, .ports = PV_SHAPE_SOME_VIO)

static bool
are_all_vio(const struct pv_datapath *datapath)
{
	for (const struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (port->ops != &pv_vhost_vio_ops)
			return false;
	return true;
}

static bool
can_decide(const struct pv_chain *chain)
{
	for (uint16_t i = 0; i < chain->count; i++)
		if (chain->runs[i].self->stage->decide == NULL)
			return false;
	return true;
}

/* Whether there are stages on the way of any port's packets. */
static bool
has_stages(const struct pv_worker *worker)
{
	const struct pv_chain *chain = worker->packet_stages.chain;
	const struct pv_datapath *datapath = worker->datapath;

	for (const struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (chain[pv_path_ingress_hook(port)].count > 0 || chain[pv_egress_hook(port)].count > 0)
			return true;
	return false;
}

static const struct pv_path *
choose(struct pv_worker *worker)
{
	const struct pv_datapath *datapath = worker->datapath;
	struct table *table = worker->path_state;
	bool signals = datapath->critical != PV_CRITICAL_POLL;

	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		table->decided[hook] = can_decide(&worker->packet_stages.chain[hook]);
	if (!pv_switches_by_table(datapath))
		return pv_path_generic.choose(worker);
	if (table->likeness == PV_LIKE_FLOW)
		return &any_by_flow;
	if (has_stages(worker) || datapath->config->n_workers > 1)
		return &any_by_addresses;
	if (are_all_vio(datapath))
		return signals ? &all_vio_signals : &all_vio;
	return signals ? &some_vio_signals : &some_vio;
}

static void
free_table(void *state)
{
	struct table *table = state;

	rte_free(table->templates);
	rte_free(table->rests);
	rte_free(table);
}

static void *
make_table(const struct pv_worker *worker, const void *given)
{
	const struct options *wanted = given;
	struct table *table = rte_zmalloc("pv_templates", sizeof(*table), RTE_CACHE_LINE_SIZE);

	if (table == NULL)
		return NULL;
	table->n = rte_align32pow2(wanted->templates);
	table->hash_shift = 64 - rte_log2_u32(table->n);
	table->likeness = wanted->key;
	table->templates = rte_calloc("pv_templates", table->n, sizeof(*table->templates), RTE_CACHE_LINE_SIZE);
	table->rests = rte_calloc("pv_templates", table->n, sizeof(*table->rests), RTE_CACHE_LINE_SIZE);
	if (table->templates == NULL || table->rests == NULL ||
	    getrandom(table->mix, sizeof(table->mix), 0) != sizeof(table->mix)) {
		free_table(table);
		return NULL;
	}
	for (size_t i = 0; i < RTE_DIM(table->mix); i++)
		table->mix[i] |= 1;
	return table;
}

static const struct pv_implementation specialized = {
	.primitive = PV_PRIMITIVE_PACKET_PATH,
	.name = "specialized",
	.summary = "templates of flows, and rounds compiled for the shape of the worker",
	.ops = &(const struct pv_packet_path){ .make = make_table, .free = free_table, .choose = choose },
};
PV_IMPLEMENTATION(specialized)

static const char *
bind_specialized(const void *given)
{
	return specialized.name;
}

static const struct pv_stage specialization = {
	.name = "specialization",
	.summary = "packets of a flow do what its first one did, behind guards; rounds are compiled for common shapes",
	.source = "Koh et al., LCN 2006, section 4.5 (network stack specialization)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_PACKET_PATH,
	.bind = bind_specialized,
};
PV_STAGE(specialization)
