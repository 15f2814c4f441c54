/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames from the guest: its transmit queue.
 *
 * Copied chains are given back in the same burst. Where frames are shared, every chain goes on loan, the copied ones
 * too, so that chains are given back in the order in which they came: a guest whose switch was killed finds its used
 * ring without gaps, and what was not given back is still available.
 */
#include <errno.h>

#include <rte_arp.h>
#include <rte_atomic.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "base/critical.h"
#include "base/limits.h"
#include "vio/buffers.h"
#include "vio/interrupts.h"
#include "vio/net_header.h"

#define CONTROL_ROUNDS 64    /* bursts in a row without a look at the control queue, at most */
#define SHARED_PIECES_MAX 20 /* a frame in more pieces is copied; Linux sends TCP in up to 19 */

/* What became of a chain. */
enum { CHAIN_TAKEN = -1, CHAIN_WAITS = -2, CHAIN_STOPS = -3 }; /* or a drop reason, and the chain is given back */

/* What a burst works with. */
struct receipt {
	struct pv_vio *vio;
	struct pv_vio_ring *ring;
	struct pv_available chains[PV_BURST_MAX];
	uint8_t *at[PV_BURST_MAX]; /* the buffer of a plain chain */
	struct pv_used used[PV_BURST_MAX];
	uint16_t n_used;
};

/* --- loans -------------------------------------------------------------------------------------------------------- */

static void
end_loan(void *buffer, void *loan)
{
	atomic_store_explicit(&((struct pv_loan *)loan)->done, true, memory_order_release);
}

/* Takes the next loan for a chain; there is one, because a burst is no longer than the loans that are free. */
static inline struct pv_loan *
lend(struct pv_vio_ring *ring, const struct pv_available *chain)
{
	struct pv_loan *loan = &ring->loans[ring->loan_tail++ & (ring->n_loans - 1)];

	loan->id = chain->id;
	loan->slots = chain->slots;
	return loan;
}

/* Gives back the chains whose loans ended, up to the first that has not. Returns how many. */
static uint16_t
take_back(struct pv_vio_ring *ring, const bool packed)
{
	struct pv_used used[PV_BURST_MAX];
	uint16_t total = 0;

	while (ring->loan_head != ring->loan_tail) {
		uint16_t n = 0;

		while (n < PV_BURST_MAX && ring->loan_head != ring->loan_tail) {
			const struct pv_loan *loan = &ring->loans[ring->loan_head & (ring->n_loans - 1)];

			if (!atomic_load_explicit(&loan->done, memory_order_acquire))
				break;
			used[n++] = (struct pv_used){ .id = loan->id, .slots = loan->slots };
			ring->loan_head++;
		}
		pv_virtqueue_push(&ring->queue, used, n, packed);
		total += n;
		if (n < PV_BURST_MAX)
			break;
	}
	if (ring->loan_head == ring->loan_tail)
		ring->loan_head = ring->loan_tail = 0; /* the same few are used again, and stay in the cache */
	return total;
}

bool
pv_vio_settle(struct pv_vio_ring *ring)
{
	if (ring->loans == NULL)
		return true;
	if (take_back(ring, ring->queue.packed) > 0) {
		pv_virtqueue_publish(&ring->queue, ring->queue.packed);
		/* Its ring may be full, and it waits for just these. Nobody interrupts this thread. */
		ring->uncalled = 0;
		if (pv_virtqueue_wants_call(&ring->queue))
			pv_vio_call_unless_full(ring);
	}
	return ring->loan_head == ring->loan_tail;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

/*
 * Makes a buffer of the pool a packet. Of a free mbuf `next` is NULL, and refcnt and nb_segs are 1 (rte_mbuf.h), and
 * the lengths of headers mean nothing without a flag: so its second cache line is left alone.
 */
static inline void
make_packet(struct rte_mbuf *packet, uint32_t length)
{
	packet->data_off = RTE_PKTMBUF_HEADROOM;
	packet->ol_flags = 0;
	packet->packet_type = 0;
	packet->vlan_tci = 0;
	packet->data_len = (uint16_t)length;
	packet->pkt_len = length;
}

static inline void
copy_whole(struct rte_mbuf *packet, const void *frame, uint32_t length)
{
	make_packet(packet, length);
	rte_memcpy(rte_pktmbuf_mtod(packet, void *), frame, length);
}

/* Appends a piece of guest memory to a packet as an external buffer. False when there is no mbuf for it. */
static inline bool
refer(struct pv_vio *vio, struct rte_mbuf *packet, struct rte_mbuf **last, void *at, size_t length,
      struct pv_loan *loan)
{
	struct rte_mbuf *segment = rte_mbuf_raw_alloc(vio->pool);

	if (unlikely(segment == NULL))
		return false;
	segment->ol_flags = 0;
	rte_pktmbuf_attach_extbuf(segment, at, RTE_BAD_IOVA, (uint16_t)length, &loan->shared);
	segment->data_len = (uint16_t)length;
	segment->pkt_len = (uint32_t)length;
	(*last)->next = segment;
	*last = segment;
	packet->nb_segs++;
	packet->pkt_len += (uint32_t)length;
	return true;
}

static inline struct pv_loan *
begin_sharing(struct pv_vio_ring *ring, const struct pv_available *chain, uint16_t references)
{
	struct pv_loan *loan = lend(ring, chain);

	atomic_store_explicit(&loan->done, false, memory_order_relaxed);
	rte_mbuf_ext_refcnt_set(&loan->shared, references);
	return loan;
}

/* Whether a chain may be held: the guest keeps half of its ring whatever becomes of what it sent. */
static inline bool
may_share(const struct pv_vio_ring *ring)
{
	return ring->loan_tail - ring->loan_head < ring->queue.size / 2u;
}

/* A copied chain's way back: at once, unless one before it is still out. */
static inline void
give_back(struct receipt *receipt, const struct pv_available *chain)
{
	if (likely(receipt->ring->loan_head == receipt->ring->loan_tail))
		receipt->used[receipt->n_used++] = (struct pv_used){ .id = chain->id, .slots = chain->slots };
	else
		atomic_store_explicit(&lend(receipt->ring, chain)->done, true, memory_order_relaxed);
}

/* The virtio-net header, copied out; then only the copy counts. */
static inline struct virtio_net_hdr
copy_header(const void *from)
{
	struct virtio_net_hdr header;

	memcpy(&header, from, sizeof(header));
	rte_compiler_barrier();
	return header;
}

static inline int
understand(const struct pv_vio *vio, const struct virtio_net_hdr *header, struct rte_mbuf *packet)
{
	return likely(pv_net_header_read(header, vio->features, packet) == 0) ? CHAIN_TAKEN : PV_DROP_BAD_HEADER;
}

static inline int
check_length(const struct pv_vio *vio, uint64_t bytes)
{
	if (unlikely(bytes <= vio->header_size))
		return PV_DROP_BAD_CHAIN;
	return unlikely(bytes - vio->header_size > vio->frame_limit) ? PV_DROP_OVERSIZED : CHAIN_TAKEN;
}

/* A long frame in one buffer: its beginning is copied, the rest is referred to. */
static __rte_noinline int
share_plain(struct receipt *receipt, uint16_t i, struct rte_mbuf *packet, uint32_t length)
{
	struct pv_vio *vio = receipt->vio;
	uint8_t *frame = receipt->at[i] + vio->header_size;
	struct pv_loan *loan = begin_sharing(receipt->ring, &receipt->chains[i], 1);
	struct rte_mbuf *last = packet;

	copy_whole(packet, frame, PV_HEADER_COPY);
	if (unlikely(!refer(vio, packet, &last, frame + PV_HEADER_COPY, length - PV_HEADER_COPY, loan))) {
		end_loan(NULL, loan);
		return PV_DROP_NO_BUFFER;
	}
	receipt->ring->counters.shared++;
	return CHAIN_TAKEN;
}

/* Copies `length` bytes from `offset` on out of pieces that have them. */
static void
copy_out(const struct pv_pieces *pieces, uint64_t offset, void *to, uint64_t length)
{
	char *at = to;

	for (uint32_t i = 0; length > 0; i++) {
		uint64_t part;

		if (offset >= pieces->piece[i].iov_len) {
			offset -= pieces->piece[i].iov_len;
			continue;
		}
		part = RTE_MIN(pieces->piece[i].iov_len - offset, length);
		rte_memcpy(at, (const char *)pieces->piece[i].iov_base + offset, part);
		at += part;
		length -= part;
		offset = 0;
	}
}

/* Copies a frame that is longer than a buffer of the pool into several. False when there are not enough. */
static bool
copy_long(const struct pv_vio *vio, const struct pv_pieces *pieces, uint64_t offset, uint32_t length,
	  struct rte_mbuf *packet)
{
	struct rte_mbuf *last = packet;

	make_packet(packet, vio->room);
	copy_out(pieces, offset, rte_pktmbuf_mtod(packet, void *), vio->room);
	for (uint32_t done = vio->room, part; done < length; done += part) {
		struct rte_mbuf *segment = rte_mbuf_raw_alloc(vio->pool);

		if (unlikely(segment == NULL))
			return false;
		part = RTE_MIN(length - done, vio->room);
		make_packet(segment, part);
		copy_out(pieces, offset + done, rte_pktmbuf_mtod(segment, void *), part);
		last->next = segment;
		last = segment;
		packet->nb_segs++;
		packet->pkt_len += part;
	}
	return true;
}

static __rte_noinline int
take_long_plain(struct receipt *receipt, uint16_t i, struct rte_mbuf *packet, uint32_t length)
{
	struct iovec piece = { receipt->at[i], receipt->chains[i].length };
	const struct pv_pieces pieces = { .piece = &piece, .n = 1, .max = 1 };
	bool copied = copy_long(receipt->vio, &pieces, receipt->vio->header_size, length, packet);

	give_back(receipt, &receipt->chains[i]);
	receipt->ring->counters.copied += copied;
	return copied ? CHAIN_TAKEN : PV_DROP_NO_BUFFER;
}

/* A frame in one buffer, its header before it. */
static __rte_always_inline int
take_plain(struct receipt *receipt, uint16_t i, struct rte_mbuf *packet)
{
	struct pv_vio *vio = receipt->vio;
	const struct pv_available *chain = &receipt->chains[i];
	uint32_t length = chain->length - vio->header_size;
	struct virtio_net_hdr header;
	int result = check_length(vio, chain->length);

	if (unlikely(result != CHAIN_TAKEN)) {
		give_back(receipt, chain);
		return result;
	}
	header = copy_header(receipt->at[i]);
	if (unlikely(length > vio->copy_break) && may_share(receipt->ring)) {
		result = share_plain(receipt, i, packet, length);
		if (unlikely(result != CHAIN_TAKEN))
			return result;
	} else if (unlikely(length > vio->room)) {
		result = take_long_plain(receipt, i, packet, length);
		if (unlikely(result != CHAIN_TAKEN))
			return result;
	} else {
		copy_whole(packet, receipt->at[i] + vio->header_size, length);
		give_back(receipt, chain);
		receipt->ring->counters.copied++;
	}
	return understand(vio, &header, packet);
}

static uint32_t
find_piece(const struct pv_pieces *pieces, uint64_t *offset)
{
	uint32_t i = 0;

	while (i < pieces->n && *offset >= pieces->piece[i].iov_len)
		*offset -= pieces->piece[i++].iov_len;
	return i;
}

/* Refers to all that lies behind `offset`. */
static bool
share_pieces(struct receipt *receipt, const struct pv_available *chain, struct rte_mbuf *packet,
	     const struct pv_pieces *pieces, uint64_t offset)
{
	struct rte_mbuf *last = packet;
	uint32_t first = find_piece(pieces, &offset), i = first;
	struct pv_loan *loan = begin_sharing(receipt->ring, chain, (uint16_t)(pieces->n - first));

	for (; i < pieces->n; i++, offset = 0) {
		const struct iovec *piece = &pieces->piece[i];

		if (!refer(receipt->vio, packet, &last, (char *)piece->iov_base + offset, piece->iov_len - offset,
			   loan))
			break;
	}
	if (likely(i == pieces->n))
		return true;
	/* The references that were never made end here; those that were, when the packet is freed. */
	if (rte_mbuf_ext_refcnt_update(&loan->shared, (int16_t) - (int)(pieces->n - i)) == 0)
		end_loan(NULL, loan);
	return false;
}

/* Copies the frame behind its header. False when there are no buffers for it. */
static bool
copy_pieces(const struct pv_vio *vio, const struct pv_pieces *pieces, uint32_t length, struct rte_mbuf *packet)
{
	if (unlikely(length > vio->room))
		return copy_long(vio, pieces, vio->header_size, length, packet);
	make_packet(packet, length);
	copy_out(pieces, vio->header_size, rte_pktmbuf_mtod(packet, void *), length);
	return true;
}

/* A frame in pieces, maybe its header too. */
static int
take_pieces(struct receipt *receipt, const struct pv_available *chain, const struct pv_pieces *pieces,
	    struct rte_mbuf *packet)
{
	struct pv_vio *vio = receipt->vio;
	uint32_t length = (uint32_t)pieces->bytes - vio->header_size;
	uint8_t bytes[sizeof(struct virtio_net_hdr)];
	struct virtio_net_hdr header;

	copy_out(pieces, 0, bytes, sizeof(bytes));
	header = copy_header(bytes);
	if (length <= vio->copy_break || pieces->n > SHARED_PIECES_MAX || !may_share(receipt->ring)) {
		bool copied = copy_pieces(vio, pieces, length, packet);

		give_back(receipt, chain);
		receipt->ring->counters.copied += copied;
		if (unlikely(!copied))
			return PV_DROP_NO_BUFFER;
	} else {
		make_packet(packet, PV_HEADER_COPY);
		copy_out(pieces, vio->header_size, rte_pktmbuf_mtod(packet, void *), PV_HEADER_COPY);
		if (!share_pieces(receipt, chain, packet, pieces, vio->header_size + PV_HEADER_COPY))
			return PV_DROP_NO_BUFFER;
		receipt->ring->counters.shared++;
	}
	return understand(vio, &header, packet);
}

/* A frame whose buffers are mapped for it alone. */
static int
take_granted(struct receipt *receipt, const struct pv_available *chain, struct pv_pieces *pieces,
	     struct rte_mbuf *packet)
{
	struct pv_grants *grants = receipt->ring->grants;
	int result;

	if (unlikely(!pv_grants_map(grants, pieces, pieces->bytes, false))) {
		give_back(receipt, chain);
		return PV_DROP_NO_MAPPING;
	}
	result = take_pieces(receipt, chain, pieces, packet);
	pv_grants_unmap(grants, 0);
	return result;
}

/* A chain of several buffers, or over a border; any, where each is mapped for itself. */
static __rte_noinline int
take_chain(struct receipt *receipt, const struct pv_available *chain, struct rte_mbuf *packet)
{
	struct pv_pieces readable, writable;
	int result = pv_virtqueue_gather(&receipt->ring->queue, chain, &readable, &writable);

	receipt->ring->counters.gathered++;
	if (result == -EAGAIN) {
		pv_vio_ask_iotlb(receipt->vio, receipt->ring);
		return CHAIN_WAITS;
	}
	if (result == -EPROTO)
		return CHAIN_STOPS;
	result = result != 0 || writable.n > 0 ? PV_DROP_BAD_CHAIN : check_length(receipt->vio, readable.bytes);
	if (result == CHAIN_TAKEN)
		return receipt->ring->grants != NULL ? take_granted(receipt, chain, &readable, packet) :
						       take_pieces(receipt, chain, &readable, packet);
	give_back(receipt, chain);
	return result;
}

/* --- the burst ---------------------------------------------------------------------------------------------------- */

/* Looks at what is available and asks the cache for it. */
static __rte_always_inline uint16_t
look(struct receipt *receipt, uint16_t max, const bool packed)
{
	uint16_t n = pv_virtqueue_peek(&receipt->ring->queue, receipt->chains, max, packed);

	if (unlikely(receipt->ring->grants != NULL)) {
		memset(receipt->at, 0, n * sizeof(receipt->at[0])); /* nothing is mapped yet */
		return n;
	}
	for (uint16_t i = 0; i < n; i++) {
		const struct pv_available *chain = &receipt->chains[i];

		receipt->at[i] = NULL;
		if (likely(pv_available_is_plain(chain, false)))
			receipt->at[i] = pv_virtqueue_at(&receipt->ring->queue, chain->address, chain->length, false);
		if (likely(receipt->at[i] != NULL)) {
			rte_prefetch0(receipt->at[i]);
			rte_prefetch0(receipt->at[i] + RTE_CACHE_LINE_SIZE);
		}
	}
	return n;
}

static __rte_always_inline uint16_t
take_all(struct receipt *receipt, uint16_t queue, struct rte_mbuf **packets, uint16_t n, const bool packed)
{
	struct pv_events *events = pv_critical_events();
	uint16_t received = 0, i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *packet = packets[i];
		const struct pv_available *chain = &receipt->chains[i];
		bool before = pv_critical_enter(events);
		int result = likely(receipt->at[i] != NULL) ? take_plain(receipt, i, packet) :
							      take_chain(receipt, chain, packet);

		if (likely(result != CHAIN_WAITS && result != CHAIN_STOPS))
			pv_virtqueue_take(&receipt->ring->queue, chain, packed);
		pv_critical_leave(events, before);
		if (unlikely(result == CHAIN_WAITS || result == CHAIN_STOPS))
			break;
		if (likely(result == CHAIN_TAKEN)) {
			packets[received++] = packet;
			continue;
		}
		receipt->vio->port->count_drop(receipt->vio->port, queue, (uint16_t)result, 1);
		rte_pktmbuf_free(packet);
	}
	for (; i < n; i++)
		rte_pktmbuf_free(packets[i]);
	return received;
}

/* Shows the guest what was given back, and has it called. */
static __rte_always_inline void
finish(struct receipt *receipt, uint16_t returned, const bool packed)
{
	struct pv_vio_ring *ring = receipt->ring;

	pv_virtqueue_push(&ring->queue, receipt->used, receipt->n_used, packed);
	if (returned + receipt->n_used > 0)
		pv_vio_show(receipt->vio, ring, packed);
	if (unlikely(ring->queue.stopped != NULL))
		pv_vio_stop(receipt->vio, ring);
}

static __rte_always_inline uint16_t
receive(struct pv_vio *vio, struct pv_vio_ring *ring, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	const bool packed)
{
	struct receipt receipt;
	uint16_t n, received = 0, returned = 0;

	receipt.vio = vio;
	receipt.ring = ring;
	receipt.n_used = 0;
	if (ring->loan_head != ring->loan_tail) {
		returned = take_back(ring, packed); /* those of the burst before, mostly */
		count = (uint16_t)RTE_MIN(count, ring->n_loans - (ring->loan_tail - ring->loan_head));
	}
	n = look(&receipt, count, packed);
	/* Without buffers for them the chains stay available: they come later. */
	if (n > 0 && likely(rte_mempool_get_bulk(vio->pool, (void **)packets, n) == 0))
		received = take_all(&receipt, queue, packets, n, packed);
	pv_virtqueue_prefetch_next(&ring->queue, packed);
	if (n > 0 || returned > 0 || unlikely(ring->queue.stopped != NULL))
		finish(&receipt, returned, packed);
	return received;
}

/* What can be done about a ring that cannot be used now. */
static void
make_usable(struct pv_vio *vio, const struct pv_vio_ring *ring, uint16_t queue)
{
	if (vio->faulted && ring->ready)
		pv_vio_stop(vio, ring);
	else if (vio->running && vio->memory.iotlb != NULL)
		pv_vio_seek_rings(vio, queue);
}

/* A broadcast of the address that was migrated to us, as if the guest had sent it. */
static uint16_t
announce(struct pv_vio *vio, struct rte_mbuf **packets)
{
	vio->announce = false;
	packets[0] = rte_net_make_rarp_packet(vio->pool, &vio->announced);
	return packets[0] != NULL ? 1 : 0;
}

/* What is not done in every burst. */
static void
do_chores(struct pv_vio *vio, uint16_t queue, uint16_t received)
{
	if (queue == 0 && vio->control_ring != PV_VIO_NO_RING &&
	    (received == 0 || ++vio->control_rounds == CONTROL_ROUNDS))
		pv_vio_serve_control(vio);
	if (vio->rings[2 * queue].n_held > 0)
		pv_vio_retry_held(vio, queue);
}

uint16_t
pv_vio_receive(struct pv_vio *vio, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_vio_ring *ring = &vio->rings[2 * queue + 1];
	uint16_t received;

	if (unlikely(!pv_vio_enter(vio, ring))) {
		make_usable(vio, ring, queue);
		do_chores(vio, queue, 0);
		return 0;
	}
	if (unlikely(vio->announce))
		received = announce(vio, packets);
	else
		received = vio->packed ? receive(vio, ring, queue, packets, count, true) :
					 receive(vio, ring, queue, packets, count, false);
	ring->counters.frames += received;
	pv_vio_leave(ring);
	do_chores(vio, queue, received);
	return received;
}

void
pv_vio_init_loans(struct pv_vio_ring *ring)
{
	for (uint32_t i = 0; i < ring->n_loans; i++) {
		ring->loans[i].shared.free_cb = end_loan;
		ring->loans[i].shared.fcb_opaque = &ring->loans[i];
	}
}
