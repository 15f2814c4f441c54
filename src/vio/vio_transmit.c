/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames to the guest: its receive queue. A frame goes into one chain or, with mergeable buffers, into as many as it
 * needs (virtio 1.2, 5.1.6.4); it is copied once, from wherever its segments are.
 */
#include <errno.h>

#include <rte_atomic.h>
#include <rte_cycles.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "base/critical.h"
#include "base/limits.h"
#include "vio/coalesced.h"
#include "vio/interrupts.h"
#include "vio/net_header.h"
#include "vio/offload.h"

/* What became of a frame. */
enum { FRAME_SENT = -1, RING_FULL = -2, RING_STOPS = -3 }; /* or a drop reason */

#define PREFETCH_LINES 8
#define HELD_MAX_MS 100	     /* without an answer of the frontend */
#define HELD_BUFFERS_MAX 256 /* of the pool, by the frames that a ring holds */
#define FURTHER_MAX 1024     /* descriptors of a frame's further chains: each costs time, however little it holds */
#define USED_MAX 256	     /* chains of one frame: of 64 KiB in buffers of 256 bytes, which nobody offers */
_Static_assert(PV_BURST_MAX + USED_MAX <= PV_INFLIGHT_ENTRIES, "what is pushed together can be noted");

struct delivery {
	struct pv_vio *vio;
	struct pv_vio_ring *ring;
	struct pv_available chains[PV_BURST_MAX];
	uint8_t *at[PV_BURST_MAX]; /* the buffer of a plain chain */
	uint16_t n, next;	   /* chains looked at, and the next one to be used */
	struct pv_used used[PV_INFLIGHT_ENTRIES];
	uint16_t n_used;
	bool pushed; /* something, in this burst */
};

static inline uint16_t
look(struct delivery *delivery, uint16_t max, const bool packed)
{
	delivery->next = 0;
	delivery->n = pv_virtqueue_peek(&delivery->ring->queue, delivery->chains, max, packed);
	if (unlikely(delivery->ring->grants != NULL)) {
		memset(delivery->at, 0, delivery->n * sizeof(delivery->at[0])); /* nothing is mapped yet */
		return delivery->n;
	}
	for (uint16_t i = 0; i < delivery->n; i++) {
		const struct pv_available *chain = &delivery->chains[i];

		delivery->at[i] = NULL;
		if (likely(pv_available_is_plain(chain, true)))
			delivery->at[i] = pv_virtqueue_at(&delivery->ring->queue, chain->address, chain->length, true);
		if (likely(delivery->at[i] != NULL)) {
			__builtin_prefetch(delivery->at[i], 1);
			__builtin_prefetch(delivery->at[i] + RTE_CACHE_LINE_SIZE, 1);
		}
	}
	return delivery->n;
}

static inline void
use(struct delivery *delivery, const struct pv_available *chain, uint32_t length, const bool packed)
{
	delivery->used[delivery->n_used++] =
		(struct pv_used){ .id = chain->id, .slots = chain->slots, .length = length };
	delivery->next++;
	pv_virtqueue_take(&delivery->ring->queue, chain, packed);
}

/* Copies the frame's segments one after the other. */
static inline void
copy_segments(uint8_t *to, const struct rte_mbuf *packet)
{
	do {
		rte_memcpy(to, rte_pktmbuf_mtod(packet, const void *), packet->data_len);
		to += packet->data_len;
		packet = packet->next;
	} while (packet != NULL);
}

/* Of constant sizes, so that they are stores and no call. */
static inline void
write_header(const struct pv_vio *vio, uint8_t *to, const struct virtio_net_hdr *header)
{
	struct virtio_net_hdr_mrg_rxbuf whole = { .hdr = *header, .num_buffers = 1 };

	if (likely(vio->header_size == sizeof(whole)))
		memcpy(to, &whole, sizeof(whole));
	else
		memcpy(to, &whole.hdr, sizeof(whole.hdr));
}

/* The common case: a plain chain that the whole frame fits in. */
static __rte_always_inline void
fill_plain(struct delivery *delivery, const struct virtio_net_hdr *header, const struct rte_mbuf *packet,
	   const bool packed)
{
	struct pv_vio *vio = delivery->vio;
	uint8_t *at = delivery->at[delivery->next];
	uint32_t length = vio->header_size + packet->pkt_len;

	write_header(vio, at, header);
	copy_segments(at + vio->header_size, packet);
	pv_memory_written(&vio->memory, at, length);
	use(delivery, &delivery->chains[delivery->next], length, packed);
}

/* --- frames over several buffers ---------------------------------------------------------------------------------- */

/* Where copying out of a frame has come to. */
struct reader {
	const struct rte_mbuf *segment;
	uint32_t offset; /* in it */
	uint32_t left;	 /* of the frame */
};

static void
read_some(struct reader *reader, uint8_t *to, uint64_t length)
{
	while (length > 0) {
		uint32_t part = (uint32_t)RTE_MIN((uint64_t)reader->segment->data_len - reader->offset, length);

		rte_memcpy(to, rte_pktmbuf_mtod_offset(reader->segment, const uint8_t *, reader->offset), part);
		to += part;
		length -= part;
		reader->left -= part;
		reader->offset += part;
		if (reader->offset == reader->segment->data_len) {
			reader->segment = reader->segment->next;
			reader->offset = 0;
		}
	}
}

/* Writes the virtio-net header to the beginning of the pieces; it may lie over several. */
static void
write_to_pieces(const struct pv_memory *memory, const struct pv_pieces *pieces, const void *from, uint32_t length)
{
	const uint8_t *at = from;

	for (uint32_t i = 0; length > 0; i++) {
		uint32_t part = (uint32_t)RTE_MIN(pieces->piece[i].iov_len, (size_t)length);

		memcpy(pieces->piece[i].iov_base, at, part);
		pv_memory_written(memory, pieces->piece[i].iov_base, part);
		at += part;
		length -= part;
	}
}

/* Fills pieces from `skip` on with what is left of the frame; returns how many bytes. */
static uint32_t
fill_pieces(const struct pv_memory *memory, const struct pv_pieces *pieces, uint32_t skip, struct reader *reader)
{
	uint32_t before = reader->left;

	for (uint32_t i = 0; i < pieces->n && reader->left > 0; i++) {
		const struct iovec *piece = &pieces->piece[i];
		uint64_t part;

		if (skip >= piece->iov_len) {
			skip -= (uint32_t)piece->iov_len;
			continue;
		}
		part = RTE_MIN(piece->iov_len - skip, (size_t)reader->left);
		read_some(reader, (uint8_t *)piece->iov_base + skip, part);
		pv_memory_written(memory, (uint8_t *)piece->iov_base + skip, part);
		skip = 0;
	}
	return before - reader->left;
}

/* The first place of a frame's header, to be written again when the number of its buffers is known. */
struct header_place {
	uint8_t *at[2]; /* of the two bytes of num_buffers, which may be apart */
};

static void
find_place(const struct pv_pieces *pieces, struct header_place *place)
{
	uint64_t offset = offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers);

	for (uint32_t byte = 0; byte < 2; byte++) {
		uint64_t left = offset + byte;
		uint32_t i = 0;

		while (left >= pieces->piece[i].iov_len)
			left -= pieces->piece[i++].iov_len;
		place->at[byte] = (uint8_t *)pieces->piece[i].iov_base + left;
	}
}

/* The next chain's buffers. 0, or RING_FULL, RING_STOPS, or a drop reason when the chain is of no use. */
static int
next_buffers(struct delivery *delivery, struct pv_pieces *writable, const bool packed)
{
	struct pv_pieces readable;
	int result;

	if (delivery->next == delivery->n && look(delivery, PV_BURST_MAX, packed) == 0)
		return delivery->ring->queue.stopped != NULL ? RING_STOPS : RING_FULL;
	delivery->ring->counters.gathered++;
	result = pv_virtqueue_gather(&delivery->ring->queue, &delivery->chains[delivery->next], &readable, writable);
	if (result == -EAGAIN) {
		pv_vio_ask_iotlb(delivery->vio, delivery->ring);
		delivery->ring->waits = true;
		return RING_FULL;
	}
	if (result == -EPROTO)
		return RING_STOPS;
	return result != 0 || readable.buffers > 0 || writable->n == 0 ? PV_DROP_BAD_CHAIN : 0;
}

/* Has the first `bytes` of a chain mapped, where that is done for each packet. Whether they can be written to. */
static bool
reach(const struct delivery *delivery, struct pv_pieces *writable, uint64_t bytes)
{
	struct pv_grants *grants = delivery->ring->grants;

	return likely(grants == NULL) || pv_grants_map(grants, writable, bytes, true);
}

/* A place in the ring to come back to. */
struct mark {
	uint16_t next_avail, resubmitted, n_used;
	bool avail_wrap;
};

static struct mark
mark(const struct delivery *delivery)
{
	return (struct mark){
		.next_avail = delivery->ring->queue.next_avail,
		.avail_wrap = delivery->ring->queue.avail_wrap,
		.resubmitted = delivery->ring->queue.resubmitted,
		.n_used = delivery->n_used,
	};
}

/* Makes the chains taken since available again: nothing was pushed. */
static void
go_back(struct delivery *delivery, const struct mark *to)
{
	delivery->ring->queue.next_avail = to->next_avail;
	delivery->ring->queue.avail_wrap = to->avail_wrap;
	delivery->ring->queue.resubmitted = to->resubmitted;
	delivery->n_used = to->n_used;
	delivery->n = delivery->next = 0; /* to be looked at again */
}

/* Gives the chains taken since back empty: the next frame would be lost in them as well. */
static void
give_back_empty(struct delivery *delivery, const struct mark *since)
{
	for (uint16_t i = since->n_used; i < delivery->n_used; i++)
		delivery->used[i].length = 0;
}

/* A chain that can hold nothing goes back empty, so that the ring goes on. */
static int
refuse_chain(struct delivery *delivery, int why, const bool packed)
{
	use(delivery, &delivery->chains[delivery->next], 0, packed);
	return why;
}

/* Puts the rest of a frame into further chains. */
static int
fill_more(struct delivery *delivery, struct reader *reader, uint16_t *buffers, const bool packed)
{
	struct pv_grants *grants = delivery->ring->grants;
	uint32_t first = grants != NULL ? pv_grants_count(grants) : 0, descriptors = 0;

	while (reader->left > 0) {
		struct pv_pieces writable;
		int result;

		if (*buffers == USED_MAX || descriptors > FURTHER_MAX)
			return PV_DROP_SMALL_BUFFER;
		result = next_buffers(delivery, &writable, packed);
		if (result == PV_DROP_BAD_CHAIN)
			return refuse_chain(delivery, result, packed);
		if (result != 0)
			return result;
		if (unlikely(!reach(delivery, &writable, reader->left)))
			return PV_DROP_NO_MAPPING;
		use(delivery, &delivery->chains[delivery->next],
		    fill_pieces(&delivery->vio->memory, &writable, 0, reader), packed);
		if (unlikely(grants != NULL))
			pv_grants_unmap(grants, first);
		descriptors += writable.buffers;
		(*buffers)++;
	}
	return FRAME_SENT;
}

/* The number of a frame's buffers, when it is known. */
static void
write_num_buffers(const struct pv_memory *memory, const struct header_place *place, uint16_t buffers)
{
	for (uint32_t byte = 0; byte < 2; byte++) {
		*place->at[byte] = (uint8_t)(buffers >> 8 * byte);
		pv_memory_written(memory, place->at[byte], 1);
	}
}

/* Any chain, or several. */
static __rte_noinline int
fill_any(struct delivery *delivery, const struct virtio_net_hdr *header, const struct rte_mbuf *packet,
	 const bool packed)
{
	struct pv_vio *vio = delivery->vio;
	struct virtio_net_hdr_mrg_rxbuf whole = { .hdr = *header, .num_buffers = 1 };
	struct reader reader = { .segment = packet, .left = packet->pkt_len };
	struct header_place place = { { NULL, NULL } };
	struct pv_pieces writable;
	struct mark start = mark(delivery);
	uint16_t buffers = 1;
	int result = next_buffers(delivery, &writable, packed);

	if (result == PV_DROP_BAD_CHAIN || (result == 0 && writable.bytes <= vio->header_size))
		return refuse_chain(delivery, PV_DROP_BAD_CHAIN, packed);
	if (result != 0)
		return result;
	if (!vio->mergeable && writable.bytes < vio->header_size + (uint64_t)packet->pkt_len)
		return PV_DROP_SMALL_BUFFER;
	if (unlikely(!reach(delivery, &writable, vio->header_size + (uint64_t)reader.left)))
		return PV_DROP_NO_MAPPING;
	write_to_pieces(&vio->memory, &writable, &whole, vio->header_size);
	if (vio->mergeable)
		find_place(&writable, &place);
	use(delivery, &delivery->chains[delivery->next],
	    vio->header_size + fill_pieces(&vio->memory, &writable, vio->header_size, &reader), packed);
	result = fill_more(delivery, &reader, &buffers, packed);
	if (result == RING_FULL || result == RING_STOPS)
		go_back(delivery, &start);
	else if (result != FRAME_SENT)
		give_back_empty(delivery, &start);
	else if (buffers > 1)
		write_num_buffers(&vio->memory, &place, buffers);
	if (unlikely(delivery->ring->grants != NULL))
		pv_grants_unmap(delivery->ring->grants, 0);
	return result;
}

/* --- the burst ---------------------------------------------------------------------------------------------------- */

static __rte_always_inline int
deliver(struct delivery *delivery, const struct rte_mbuf *packet, const bool packed)
{
	struct pv_vio *vio = delivery->vio;
	struct virtio_net_hdr header;

	if (unlikely(pv_net_header_write(packet, vio->features, &header) != 0))
		return PV_DROP_NEEDS_OFFLOAD;
	if (unlikely(vio->tells_segments))
		pv_coalesced_tell(packet, &header);
	if (likely(delivery->next < delivery->n && delivery->at[delivery->next] != NULL &&
		   delivery->chains[delivery->next].length >= vio->header_size + packet->pkt_len)) {
		fill_plain(delivery, &header, packet, packed);
		return FRAME_SENT;
	}
	return fill_any(delivery, &header, packet, packed);
}

static void
count_lost(const struct pv_vio *vio, uint16_t queue, int reason, const struct rte_mbuf *packet)
{
	vio->port->count_refused(vio->port, queue, (uint16_t)reason, 1, packet->pkt_len);
}

static inline void
push(struct delivery *delivery, const bool packed)
{
	pv_virtqueue_push(&delivery->ring->queue, delivery->used, delivery->n_used, packed);
	delivery->pushed = delivery->pushed || delivery->n_used > 0;
	delivery->n_used = 0;
}

/*
 * Asks the cache for the beginning of the next frame's payload and of the buffer that it goes to, while this one is
 * copied: the rest the hardware sees coming.
 */
static inline void
prefetch_next(const struct delivery *delivery, const struct rte_mbuf *packet)
{
	uint16_t next = (uint16_t)(delivery->next + 1);

	if (packet->nb_segs > 1)
		for (uint32_t i = 0; i < PREFETCH_LINES; i++)
			rte_prefetch0(rte_pktmbuf_mtod_offset(packet->next, const char *, i *RTE_CACHE_LINE_SIZE));
	if (packet->pkt_len > 2 * RTE_CACHE_LINE_SIZE && next < delivery->n && delivery->at[next] != NULL)
		for (uint32_t i = 2; i < PREFETCH_LINES; i++)
			__builtin_prefetch(delivery->at[next] + i * RTE_CACHE_LINE_SIZE, 1);
}

static __rte_always_inline uint16_t
transmit(struct pv_vio *vio, struct pv_vio_ring *ring, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	 const bool packed)
{
	struct delivery delivery;
	struct pv_virtqueue *virtqueue = &ring->queue;
	struct pv_events *events = pv_critical_events();
	uint16_t sent = 0;

	delivery.vio = vio;
	delivery.ring = ring;
	delivery.n_used = 0;
	delivery.pushed = false;
	look(&delivery, count, packed);
	while (sent < count) {
		bool before = pv_critical_enter(events);
		int result;

		if (sent + 1 < count)
			prefetch_next(&delivery, packets[sent + 1]);
		result = deliver(&delivery, packets[sent], packed);
		pv_critical_leave(events, before);
		if (unlikely(result == RING_FULL || result == RING_STOPS))
			break;
		if (unlikely(result != FRAME_SENT))
			count_lost(vio, queue, result, packets[sent]);
		sent++;
		if (unlikely(delivery.n_used >= PV_BURST_MAX))
			push(&delivery, packed);
	}
	push(&delivery, packed);
	pv_virtqueue_prefetch_next(virtqueue, packed);
	if (delivery.pushed)
		pv_vio_show(vio, ring, packed);
	if (unlikely(virtqueue->stopped != NULL))
		pv_vio_stop(vio, ring);
	return sent;
}

static uint16_t
transmit_either(struct pv_vio *vio, struct pv_vio_ring *ring, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t sent;

	ring->waits = false;
	sent = vio->packed ? transmit(vio, ring, queue, packets, count, true) :
			     transmit(vio, ring, queue, packets, count, false);
	ring->counters.frames += sent;
	return sent;
}

/* --- waiting for the IOTLB ---------------------------------------------------------------------------------------- */

/* Whether one more may be held: large packets take many buffers, which all ports need. */
static bool
may_hold(const struct pv_vio *vio, const struct pv_vio_ring *ring, const struct rte_mbuf *packet)
{
	uint32_t buffers = packet->pkt_len / vio->room + 1;

	for (uint16_t i = 0; i < ring->n_held; i++)
		buffers += ring->held[i]->nb_segs;
	return ring->held != NULL && ring->n_held < PV_VIO_HELD_MAX && buffers <= HELD_BUFFERS_MAX;
}

/*
 * Keeps packets until the address of the buffer that they would go to is known; returns how many there was room for.
 * They may stay until this guest leaves, so what is in the memory of another one is copied: it must be able to go.
 */
static uint16_t
hold(const struct pv_vio *vio, struct pv_vio_ring *ring, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = 0;

	if (ring->n_held == 0)
		ring->held_until = rte_rdtsc() + rte_get_tsc_hz() / 1000 * HELD_MAX_MS;
	while (n < count && may_hold(vio, ring, packets[n]) &&
	       (pv_offload_is_own(packets[n]) || pv_offload_own(packets[n], vio->pool) == 0))
		ring->held[ring->n_held++] = packets[n++];
	return n;
}

/* Whether the IOTLB does not know where the ring itself is; it is being asked for then. */
static bool
lacks_ring(const struct pv_vio *vio, const struct pv_vio_ring *ring)
{
	return vio->memory.iotlb != NULL && vio->port->up && !vio->faulted && !ring->ready;
}

static void
remove_held(struct pv_vio_ring *ring, uint16_t n)
{
	if (n == 0)
		return;
	rte_pktmbuf_free_bulk(ring->held, n);
	ring->n_held -= n;
	memmove(ring->held, ring->held + n, ring->n_held * sizeof(*ring->held));
}

static void
deliver_held(struct pv_vio *vio, struct pv_vio_ring *ring, uint16_t queue)
{
	uint16_t n, sent;

	do {
		n = RTE_MIN(ring->n_held, PV_BURST_MAX);
		sent = transmit_either(vio, ring, queue, ring->held, n);
		remove_held(ring, sent);
	} while (sent == n && ring->n_held > 0);
	if (sent > 0)
		ring->held_until = rte_rdtsc() + rte_get_tsc_hz() / 1000 * HELD_MAX_MS;
}

void
pv_vio_drop_held(struct pv_vio *vio, uint16_t queue)
{
	struct pv_vio_ring *ring = &vio->rings[2 * queue];

	for (uint16_t i = 0; i < ring->n_held; i++)
		count_lost(vio, queue, PV_DROP_RING_FULL, ring->held[i]);
	remove_held(ring, ring->n_held);
}

void
pv_vio_retry_held(struct pv_vio *vio, uint16_t queue)
{
	struct pv_vio_ring *ring = &vio->rings[2 * queue];

	if (pv_vio_enter(vio, ring)) {
		deliver_held(vio, ring, queue);
		pv_vio_leave(ring);
	}
	if (ring->n_held > 0 && rte_rdtsc() > ring->held_until)
		pv_vio_drop_held(vio, queue);
}

static inline bool
is_ours_alone(const struct rte_mempool *pool, const struct rte_mbuf *segment)
{
	return segment->pool == pool && rte_mbuf_refcnt_read(segment) == 1;
}

/*
 * Frees packets. Those that a burst is mostly made of go back to their pool together: of one segment, or a copied
 * header with the reference to the rest (vio_receive.c).
 */
static inline void
free_sent(struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t count)
{
	struct rte_mbuf *plain[2 * PV_BURST_MAX];
	uint16_t n = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *packet = packets[i], *rest;

		if (unlikely(packet->nb_segs > 2 || !is_ours_alone(pool, packet) || !RTE_MBUF_DIRECT(packet))) {
			rte_pktmbuf_free(packet);
			continue;
		}
		if (packet->nb_segs == 2) {
			rest = packet->next;
			if (unlikely(!is_ours_alone(pool, rest) || !RTE_MBUF_HAS_EXTBUF(rest))) {
				rte_pktmbuf_free(packet);
				continue;
			}
			rte_pktmbuf_detach(rest); /* ends the loan, if this was the last reference */
			plain[n++] = rest;
			packet->next = NULL;
			packet->nb_segs = 1;
		}
		plain[n++] = packet;
	}
	if (likely(n > 0))
		rte_mempool_put_bulk(pool, (void **)plain, n);
}

uint16_t
pv_vio_transmit(struct pv_vio *vio, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_vio_ring *ring = &vio->rings[2 * queue];
	uint16_t sent = 0;

	/* A pause may just have ended: then it runs again. */
	if (unlikely(!pv_vio_enter(vio, ring)) && !((vio->paused || vio->running) && pv_vio_wait(vio, ring)))
		return lacks_ring(vio, ring) ? hold(vio, ring, packets, count) : 0;
	if (unlikely(ring->n_held > 0))
		deliver_held(vio, ring, queue);
	if (likely(ring->n_held == 0))
		sent = transmit_either(vio, ring, queue, packets, count);
	free_sent(vio->pool, packets, sent);
	if (unlikely(sent < count && ring->waits))
		sent += hold(vio, ring, packets + sent, (uint16_t)(count - sent));
	pv_vio_leave(ring);
	return sent;
}
