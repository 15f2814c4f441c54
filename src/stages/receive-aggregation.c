/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * receive-aggregation: TCP segments of a connection that arrive one after the other become one large packet.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis 2009), section 3.2.1.
 *
 * What it does. Behind each wire there is a table of partial packets. A segment that continues one is chained to it,
 * without its headers and without a copy; the header of the first becomes that of the whole. What leaves is a packet to
 * segment (virtio GSO, TSO): from it come the segments that went in, each with its own boundaries, sequence number and
 * payload. So guests are given large packets if they take such, and who cannot take them gets what arrived.
 *
 * What is aggregated: segments of one connection (ingress port, VLANs, IP addresses, TCP ports) that
 *  - are alike in Ethernet addresses, tags, TOS or traffic class, TTL or hop limit, DF, flow label, ECE;
 *  - follow each other by sequence number, with acknowledgment numbers and timestamps that do not go back;
 *  - are as long as the first one; a shorter one is the last;
 *  - carry no flags but ACK, PSH, ECE and CWR; one with PSH is the last, and CWR may only be in the first, because that
 *    is where segmentation puts them;
 *  - have no IP options or extension headers, are no fragments, and have no TCP option but the timestamp in its usual
 *    place, which all or none have;
 *  - with IPv4, have identifications that count up or, with DF, stay the same (RFC 6864 gives them no meaning then, and
 *    segmentation makes them count);
 *  - have good checksums: that of IPv4 is looked at here. That of TCP is good if the port says so or left it to be
 *    filled in, for a local sender; "checksum" says whether others are looked at here, too, or are not aggregated. They
 *    are looked at when there are two segments to put together, so a packet that stays alone costs no sum.
 * The whole has the acknowledgment number, window, timestamp and PSH of the last, the sum of the pseudo header where
 * the checksum is, and beside it the acknowledgment number of each segment (vio/coalesced.h).
 *
 * Who owns packets. A partial packet is kept until "limit" segments are in it, until the last one of the kinds above,
 * until a packet of its connection comes that does not continue it, or until flush: at the end of the round. Everything
 * else is emitted as it came. A packet of a connection goes out behind what is kept of it, so nothing is reordered; a
 * fragment, or what else does not show its connection, behind everything between its addresses.
 *
 * The table belongs to a worker. It has places for 256 connections in a round; when they are taken, everything goes out
 * and it begins anew. Its hash has random numbers in it, which a sender does not know, so that nobody can choose
 * connections that all are in one of its 512 lists.
 *
 * Limits. Packets in several buffers, in buffers that others refer to, and those which are large already pass as they
 * are. Nothing is dropped, so there are no drop reasons.
 */
#include <sys/random.h>

#include <linux/virtio_net.h>

#include <rte_prefetch.h>

#include "core/stage.h"
#include "core/tcp_packet.h"
#include "vio/coalesced.h"

/*
 * Words that were just put together one by one, from headers, are compared and copied in words: read as vectors they
 * would have to be in the cache first. That costs 30 cycles a packet.
 */
#ifndef __clang__
#pragma GCC optimize("no-tree-slp-vectorize")
#endif

#define PLACES 256
#define LISTS 512
#define AHEAD 6u /* packets between the one that is looked at and the one that is fetched */

#define GOOD_IN_SOFTWARE 0
#define GOOD_FROM_PORT 1

/* Flags of packets that may be aggregated; any other asks for something that a header cannot keep. */
#define HARMLESS                                                                                                   \
	(RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_VLAN | \
	 RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)
#define TCP_FLAGS (RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_ECE_FLAG | RTE_TCP_CWR_FLAG)

struct options {
	uint32_t limit;
	uint32_t checksum;
};

static const char *const checksum_names[] = { [GOOD_IN_SOFTWARE] = "software", [GOOD_FROM_PORT] = "port", NULL };

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, limit, "limit", 2, 64, 20, "segments of a packet at most"),
	PV_OPTION_ENUM(struct options, checksum, "checksum", checksum_names, GOOD_IN_SOFTWARE,
		       "who checks TCP checksums: software = the stage, where the port has not; port = only the port"),
	PV_OPTION_END,
};

/* A connection that was seen in this round, and what is kept of it. */
struct place {
	uint64_t flow[PV_TCP_FLOW_WORDS];
	uint64_t alike[PV_TCP_ALIKE_WORDS];
	struct rte_mbuf *head, *tail; /* head is NULL when nothing is kept */
	const uint8_t *last_tcp;      /* header of the segment in `tail` */
	uint32_t next_seq, ack;
	uint32_t sent, echoed;
	uint32_t ip_len; /* of the whole */
	uint16_t size;	 /* payload of the first segment */
	uint16_t segments;
	uint16_t id, id_step; /* of the last segment; to the next one, once there are two */
	uint16_t l2_len, l3_len, l4_len;
	uint16_t next; /* in its list; 0 ends it */
	uint8_t ece;
	bool ipv6, dont_fragment;
};

struct table {
	uint16_t list[LISTS]; /* number of a place, from 1 on; 0: empty */
	uint16_t used;
	uint32_t limit;
	bool in_software;
	uint64_t random[PV_TCP_RANDOM_WORDS];
	struct place places[PLACES] __rte_cache_aligned;
};

/* A call of process or flush. */
struct burst {
	struct pv_stage_self *self;
	struct pv_run *run;
	struct table *table;
	struct place *last; /* of the packet before */
};

/* --- checksums ---------------------------------------------------------------------------------------------------- */

static inline uint16_t
fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* The ones' complement sum in the byte order of the frame. The loop is one that compilers turn into vectors. */
static uint64_t
sum_of(const uint8_t *at, uint32_t length)
{
	uint32_t words = length / sizeof(uint32_t);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < words; i++)
		sum += pv_load32(at + i * sizeof(uint32_t));
	at += words * sizeof(uint32_t);
	for (uint32_t i = 0; i < length % sizeof(uint32_t); i++)
		sum += (uint32_t)at[i] << (8 * i);
	return sum;
}

static bool
is_good_ipv4(const uint8_t *ip)
{
	uint64_t a = pv_load64(ip), b = pv_load64(ip + 8);

	return fold((a & UINT32_MAX) + (a >> 32) + (b & UINT32_MAX) + (b >> 32) + pv_load32(ip + 16)) == UINT16_MAX;
}

static bool
is_good_tcp(const uint8_t *ip, bool ipv6, uint32_t l3_len, uint32_t length)
{
	uint32_t addresses = ipv6 ? 32 : 8;

	return fold(sum_of(ip + l3_len - addresses, addresses + length) + rte_cpu_to_be_16((uint16_t)length) +
		    RTE_BE16(IPPROTO_TCP)) == UINT16_MAX;
}

/* Whether the checksum of TCP is known to be good, or is found so, which is noted in the packet. */
static inline bool
is_intact(const struct table *table, struct rte_mbuf *packet, uint32_t l2_len, uint32_t l3_len, uint32_t ip_len,
	  bool ipv6)
{
	if ((packet->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) != 0 ||
	    (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return true;
	if (!is_good_tcp(rte_pktmbuf_mtod_offset(packet, const uint8_t *, l2_len), ipv6, l3_len, ip_len - l3_len))
		return false;
	packet->ol_flags = (packet->ol_flags & ~RTE_MBUF_F_RX_L4_CKSUM_MASK) | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return true;
}

/* --- letting go --------------------------------------------------------------------------------------------------- */

/* The sum of the pseudo header, as vio/net_header.h wants it. */
static void
rewrite_headers(const struct place *place, uint8_t *ip)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + place->l3_len);
	const struct rte_tcp_hdr *last = (const struct rte_tcp_hdr *)place->last_tcp;

	tcp->recv_ack = last->recv_ack;
	tcp->rx_win = last->rx_win;
	tcp->tcp_flags |= last->tcp_flags & RTE_TCP_PSH_FLAG;
	if (place->l4_len > sizeof(*tcp))
		memcpy(tcp + 1, last + 1, PV_TCP_TIMESTAMP_LEN);
	if (place->ipv6) {
		struct rte_ipv6_hdr *ipv6 = (struct rte_ipv6_hdr *)ip;

		ipv6->payload_len = rte_cpu_to_be_16((uint16_t)(place->ip_len - sizeof(*ipv6)));
		tcp->cksum = rte_ipv6_phdr_cksum(ipv6, 0);
	} else {
		struct rte_ipv4_hdr *ipv4 = (struct rte_ipv4_hdr *)ip;

		ipv4->total_length = rte_cpu_to_be_16((uint16_t)place->ip_len);
		ipv4->hdr_checksum = 0;
		ipv4->hdr_checksum = rte_ipv4_cksum(ipv4);
		tcp->cksum = rte_ipv4_phdr_cksum(ipv4, 0);
	}
}

static void
finish(const struct place *place)
{
	struct rte_mbuf *head = place->head;
	struct pv_coalesced *coalesced = pv_coalesced(head);

	rewrite_headers(place, rte_pktmbuf_mtod_offset(head, uint8_t *, place->l2_len));
	coalesced->segments = place->segments;
	coalesced->dup_acks = 0;
	head->ol_flags &= ~(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	head->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
			  (place->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	head->tx_offload = rte_mbuf_tx_offload(place->l2_len, place->l3_len, place->l4_len, place->size, 0, 0, 0);
}

/* Emits what is kept of a connection. */
static inline void
let_go(struct burst *burst, struct place *place)
{
	if (place->head == NULL)
		return;
	if (place->segments > 1)
		finish(place);
	burst->self->held -= place->segments;
	pv_emit(burst->run, place->head);
	place->head = NULL;
}

/* Emits all that is kept, in the order in which connections came, and forgets them. */
static void
let_all_go(struct burst *burst)
{
	struct table *table = burst->table;

	for (uint16_t i = 0; i < table->used; i++)
		let_go(burst, &table->places[i]);
	table->used = 0;
	memset(table->list, 0, sizeof(table->list));
	burst->last = NULL;
}

static void
let_go_between(struct burst *burst, const struct pv_tcp *tcp)
{
	struct table *table = burst->table;

	for (uint16_t i = 0; i < table->used && burst->self->held > 0; i++)
		if (table->places[i].head != NULL &&
		    memcmp(&table->places[i].flow[PV_TCP_FLOW_ADDRESSES], &tcp->flow[PV_TCP_FLOW_ADDRESSES],
			   sizeof(tcp->flow) - PV_TCP_FLOW_ADDRESSES * sizeof(tcp->flow[0])) == 0)
			let_go(burst, &table->places[i]);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static __rte_always_inline uint16_t
list_of(const struct table *table, const struct pv_tcp *tcp)
{
	return (uint16_t)(pv_tcp_hash(table->random, tcp->flow, tcp->ipv6) >> (32 - rte_log2_u32(LISTS)));
}

static __rte_always_inline bool
is_of(const struct place *place, const struct pv_tcp *tcp)
{
	return pv_tcp_flow_differs(place->flow, tcp->flow, tcp->ipv6) == 0;
}

static __rte_always_inline struct place *
find_in(struct table *table, uint16_t list, const struct pv_tcp *tcp)
{
	for (uint16_t number = table->list[list]; number != 0; number = table->places[number - 1].next)
		if (is_of(&table->places[number - 1], tcp))
			return &table->places[number - 1];
	return NULL;
}

/* The place of a connection; NULL when it has none and is to get none. */
static __rte_always_inline struct place *
find(struct burst *burst, const struct pv_tcp *tcp, bool make)
{
	struct table *table = burst->table;
	struct place *place;
	uint16_t list;

	if (burst->last != NULL && likely(is_of(burst->last, tcp)))
		return burst->last;
	list = list_of(table, tcp);
	place = find_in(table, list, tcp);
	if (place == NULL && make) {
		if (unlikely(table->used == PLACES))
			let_all_go(burst);
		place = &table->places[table->used++];
		place->next = table->list[list];
		place->head = NULL;
		for (unsigned int i = 0; i < PV_TCP_FLOW_WORDS; i++)
			place->flow[i] = tcp->flow[i];
		table->list[list] = table->used;
	}
	if (place != NULL)
		burst->last = place;
	return place;
}

/* --- aggregation -------------------------------------------------------------------------------------------------- */

/* Whether a packet with plain headers may be part of an aggregated one, as far as it can be seen in it alone. */
static __rte_always_inline bool
is_fit(const struct table *table, const struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	uint64_t flags = packet->ol_flags, state = flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (tcp->payload == 0 || (tcp->flags & ~TCP_FLAGS) != 0 || (tcp->flags & RTE_TCP_ACK_FLAG) == 0)
		return false;
	if ((flags & ~HARMLESS) != 0 || packet->nb_segs > 1 || rte_mbuf_refcnt_read(packet) > 1)
		return false;
	if (state != RTE_MBUF_F_RX_L4_CKSUM_GOOD && (flags & RTE_MBUF_F_TX_TCP_CKSUM) == 0 &&
	    (!table->in_software || state == RTE_MBUF_F_RX_L4_CKSUM_BAD))
		return false;
	return tcp->ipv6 || is_good_ipv4(rte_pktmbuf_mtod_offset(packet, const uint8_t *, tcp->l2_len));
}

static __rte_always_inline bool
is_next_id(const struct place *place, const struct pv_tcp *tcp)
{
	uint16_t step = (uint16_t)(tcp->id - place->id);

	if (place->ipv6)
		return true;
	if (place->segments > 1)
		return step == place->id_step;
	return step == 1 || (step == 0 && place->dont_fragment);
}

/* Whether a packet that is fit continues what is kept. */
static __rte_always_inline bool
continues(const struct place *place, const struct pv_tcp *tcp)
{
	return pv_tcp_alike_differs(place->alike, tcp->alike) == 0 && tcp->seq == place->next_seq &&
	       !pv_seq_before(tcp->ack, place->ack) && !pv_seq_before(tcp->sent, place->sent) &&
	       !pv_seq_before(tcp->echoed, place->echoed) && tcp->payload <= place->size &&
	       place->ip_len + tcp->payload <= UINT16_MAX &&
	       (tcp->flags & (RTE_TCP_ECE_FLAG | RTE_TCP_CWR_FLAG)) == place->ece && is_next_id(place, tcp);
}

static __rte_always_inline bool
are_intact(const struct table *table, const struct place *place, struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	return (place->segments > 1 ||
		is_intact(table, place->head, place->l2_len, place->l3_len, place->ip_len, place->ipv6)) &&
	       is_intact(table, packet, tcp->l2_len, tcp->l3_len, tcp->ip_len, tcp->ipv6);
}

/* What the next segment is compared with. */
static __rte_always_inline void
take_note(struct place *place, struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	place->tail = packet;
	place->last_tcp = rte_pktmbuf_mtod_offset(packet, const uint8_t *, tcp->l2_len + tcp->l3_len);
	place->next_seq = tcp->seq + tcp->payload;
	place->ack = tcp->ack;
	place->sent = tcp->sent;
	place->echoed = tcp->echoed;
	place->id = tcp->id;
	pv_coalesced(packet)->ack = tcp->ack;
}

/* Begins a partial packet. */
static __rte_always_inline void
keep(struct burst *burst, struct place *place, struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	for (unsigned int i = 0; i < PV_TCP_ALIKE_WORDS; i++)
		place->alike[i] = tcp->alike[i];
	place->head = packet;
	place->ip_len = tcp->ip_len;
	place->size = tcp->payload;
	place->segments = 1;
	place->l2_len = tcp->l2_len;
	place->l3_len = tcp->l3_len;
	place->l4_len = tcp->l4_len;
	place->ece = tcp->flags & RTE_TCP_ECE_FLAG;
	place->ipv6 = tcp->ipv6;
	place->dont_fragment = tcp->dont_fragment;
	take_note(place, packet, tcp);
	burst->self->held++;
}

/* What the frame has behind the IP packet is not part of it. */
static __rte_always_inline void
cut(struct rte_mbuf *packet, uint32_t l2_len, uint32_t ip_len)
{
	packet->data_len = (uint16_t)(l2_len + ip_len);
	packet->pkt_len = packet->data_len;
}

/* Chains the packet's payload to the partial packet. */
static __rte_always_inline void
append(struct burst *burst, struct place *place, struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	struct rte_mbuf *head = place->head;

	if (place->segments == 1) {
		cut(head, place->l2_len, place->ip_len);
		head->ol_flags |= pv_coalesced_flag;
		place->id_step = (uint16_t)(tcp->id - place->id);
	}
	place->tail->next = packet;
	take_note(place, packet, tcp);
	cut(packet, tcp->l2_len, tcp->ip_len);
	rte_pktmbuf_adj(packet, (uint16_t)(tcp->l2_len + tcp->l3_len + tcp->l4_len));
	packet->ol_flags |= pv_coalesced_flag;
	head->nb_segs++;
	head->pkt_len += tcp->payload;
	place->ip_len += tcp->payload;
	place->segments++;
	burst->self->held++;
}

static __rte_always_inline void
aggregate(struct burst *burst, struct rte_mbuf *packet, const struct pv_tcp *tcp)
{
	struct table *table = burst->table;
	bool is_last = (tcp->flags & RTE_TCP_PSH_FLAG) != 0;
	struct place *place = find(burst, tcp, !is_last);

	if (place != NULL && place->head != NULL) {
		if (likely(continues(place, tcp)) && likely(are_intact(table, place, packet, tcp))) {
			append(burst, place, packet, tcp);
			if (is_last || tcp->payload < place->size || place->segments == table->limit)
				let_go(burst, place);
			return;
		}
		let_go(burst, place);
	}
	if (is_last)
		pv_emit(burst->run, packet);
	else
		keep(burst, place, packet, tcp);
}

/* Emits what is kept of the packet's connection, or of all that may be. */
static __rte_noinline void
let_go_before(struct burst *burst, enum pv_tcp_kind kind, const struct pv_tcp *tcp)
{
	struct place *place;

	if (kind == PV_TCP_UNCLEAR) {
		let_all_go(burst);
	} else if (kind == PV_TCP_ADDRESSES) {
		let_go_between(burst, tcp);
	} else {
		place = find(burst, tcp, false);
		if (place != NULL)
			let_go(burst, place);
	}
}

static __rte_always_inline void
take(struct burst *burst, struct rte_mbuf *packet)
{
	struct pv_tcp tcp;
	enum pv_tcp_kind kind = pv_tcp_parse(packet, packet->port, &tcp);

	if (likely(kind == PV_TCP_PLAIN && is_fit(burst->table, packet, &tcp))) {
		aggregate(burst, packet, &tcp);
		return;
	}
	if (burst->self->held > 0 && kind != PV_TCP_NONE) {
		struct pv_tcp copy = tcp; /* so that what is looked at above may be in registers */

		let_go_before(burst, kind, &copy);
	}
	pv_emit(burst->run, packet);
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

static int
aggregation_init(struct pv_stage_self *self)
{
	const struct options *wanted = self->options;
	struct table *table = self->state;

	table->limit = wanted->limit;
	table->in_software = wanted->checksum == GOOD_IN_SOFTWARE;
	if (getrandom(table->random, sizeof(table->random), 0) != sizeof(table->random))
		return -EIO;
	return pv_coalesced_init();
}

/* The headers of a frame with timestamps reach into a second line. */
static inline void
fetch_headers(const struct rte_mbuf *packet)
{
	const uint8_t *at = rte_pktmbuf_mtod(packet, const uint8_t *);

	rte_prefetch0(at);
	rte_prefetch0(at + RTE_CACHE_LINE_SIZE);
}

static inline void
fetch_packet(struct rte_mbuf *packet)
{
	rte_mbuf_prefetch_part1(packet);
	rte_mbuf_prefetch_part2(packet);
}

static void
aggregation_process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct burst burst = { .self = self, .run = run, .table = self->state };

	for (unsigned int i = 0; i < RTE_MIN((unsigned int)count, 2 * AHEAD); i++)
		fetch_packet(packets[i]);
	for (unsigned int i = 0; i < RTE_MIN((unsigned int)count, AHEAD); i++)
		fetch_headers(packets[i]);
	for (uint16_t i = 0; i < count; i++) {
		if (i + 2 * AHEAD < count)
			fetch_packet(packets[i + 2 * AHEAD]);
		if (i + AHEAD < count)
			fetch_headers(packets[i + AHEAD]);
		take(&burst, packets[i]);
	}
}

static void
aggregation_flush(struct pv_stage_self *self, struct pv_run *run)
{
	struct burst burst = { .self = self, .run = run, .table = self->state };

	let_all_go(&burst);
}

static void
aggregation_fini(struct pv_stage_self *self)
{
	struct table *table = self->state;

	for (uint16_t i = 0; i < table->used; i++)
		rte_pktmbuf_free(table->places[i].head);
	table->used = 0;
}

static const struct pv_stage receive_aggregation = {
	.name = "receive-aggregation",
	.summary = "TCP segments that arrive in a row reach the guest as one large packet",
	.source = "Menon, EPFL thesis 2009, section 3.2.1",
	.options = options,
	.options_size = sizeof(struct options),
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_WIRE),
	.state_size = sizeof(struct table),
	.init = aggregation_init,
	.process = aggregation_process,
	.flush = aggregation_flush,
	.fini = aggregation_fini,
	.guest_features = 1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |
			  1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_GUEST_ECN,
};
PV_STAGE(receive_aggregation)
