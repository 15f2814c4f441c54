/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtqueues, the device's side: which descriptor chains a guest has made available, where their buffers are, how they
 * are given back, and when the guest wants to be told. Both formats: split (virtio 1.2, 2.7) and packed (2.8).
 *
 * A guest may change a ring at any moment. Each field is read once; the copy is checked and used. What breaks the rules
 * in a way that leaves us without knowing where the ring stands stops the queue: pv_virtqueue_stop() says why, and it
 * is not touched again until the guest attaches anew. What makes only one chain useless gives back that chain.
 *
 * A burst goes: peek at up to PV_BURST_MAX chains, use their buffers, take() those that were used, push() them into the
 * used ring, publish() that and, if pv_virtqueue_wants_call(), call the guest. One worker does all of it.
 */
#ifndef PV_VIO_VIRTQUEUE_H
#define PV_VIO_VIRTQUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include <linux/virtio_ring.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "base/limits.h"
#include "vio/inflight.h"
#include "vio/memory.h"
#include "vio/translation.h"

/* Eight bytes of a ring, whatever type the ring's structure gives them. */
typedef uint64_t __attribute__((may_alias)) pv_ring_word;

#define PV_RING_SIZE_MAX 32768u /* virtio 1.2, 2.7: Queue Size */

/* A chain that the guest has made available: a copy of its first descriptor, and how to give it back. */
struct pv_available {
	uint64_t address;
	uint32_t length;
	uint16_t flags; /* VRING_DESC_F_… of the first descriptor */
	uint16_t next;	/* of the first descriptor, split */
	uint16_t id;	/* split: index of the first descriptor; packed: buffer id */
	uint16_t slots; /* places that it takes in a packed ring; 1 in a split one */
	uint16_t place; /* of the first descriptor in a packed ring */
};

/* A chain that is given back, and the bytes that were written to it. */
struct pv_used {
	uint16_t id;
	uint16_t slots;
	uint32_t length;
};

/* Buffers of a chain, where they are. */
struct pv_pieces {
	struct iovec *piece;
	uint32_t n, max;
	uint32_t buffers; /* descriptors; one of no length has no piece */
	uint64_t bytes;
};

struct pv_virtqueue {
	union {
		struct {
			struct vring_desc *desc;
			struct vring_avail *avail;
			struct vring_used *used;
		};
		struct {
			struct vring_packed_desc *ring;
			struct vring_packed_desc_event *driver_event, *device_event;
		};
	};
	const struct pv_memory *memory;
	struct pv_translator *translator;   /* or NULL: addresses are looked up in the regions */
	uint64_t longest;		    /* with a translator: bytes of a chain that are of use at most */
	struct pv_inflight_split *inflight; /* region of a tracked split ring, or NULL */
	struct pv_inflight_packed *journal; /* the same of a packed one */
	uint16_t *resubmit;		    /* chains that a backend before us had taken, oldest first, or NULL */
	uint16_t n_resubmit, resubmitted;
	uint16_t size;	     /* entries; a power of two in a split ring */
	uint16_t next_avail; /* split: free-running index; packed: place */
	uint16_t next_used;  /* the same of the used ring; not yet published ones included */
	uint16_t published;  /* split: used index that the guest knows; packed: `next_used` then */
	bool avail_wrap;     /* packed: wrap counters */
	bool used_wrap;
	bool packed;
	bool indirect;		    /* VIRTIO_RING_F_INDIRECT_DESC was negotiated */
	bool event_index;	    /* VIRTIO_RING_F_EVENT_IDX was */
	bool told;		    /* that the guest was called or asked at `told_at` */
	uint16_t told_at;	    /* `next_used` when it was last asked whether the guest wants a call */
	uint64_t taken;		    /* chains, in all; counted when tracked */
	uint16_t batch, batch_head; /* chains pushed and not published yet, when tracked; the last of them */
	uint64_t used_guest;	    /* guest-physical address of the used ring, when writes to it are logged, else 0 */
	bool log_used;
	struct iovec *scratch;	/* room for the pieces of two directions */
	uint32_t scratch_max;	/* of one direction */
	uint64_t missing;	/* I/O virtual address that the IOTLB lacks, after -EAGAIN */
	const char *stopped;	/* why the queue is not used any more, or NULL */
	uint32_t stopped_value; /* what was found */
};

/*
 * What a virtqueue begins with: addresses of its rings here, size, format, base (virtio 1.2, 2.7 and vhost-user
 * protocol, SET_VRING_BASE: in a packed ring bit 15 is the wrap counter).
 */
struct pv_virtqueue_setup {
	void *descriptors, *driver, *device; /* vhost-user: desc, avail, used */
	uint32_t size;
	uint16_t avail_base, used_base;
	uint64_t features; /* negotiated */
	bool log_used;
	uint64_t used_guest;
};

/* Whether each area of a ring lies in one region of the memory. */
bool pv_virtqueue_is_in_memory(const struct pv_virtqueue_setup *setup, const struct pv_memory *memory);

/*
 * Prepares a queue over rings that lie in mapped memory, each area in one piece. 0; -EINVAL when size or alignment is
 * none that the specification allows; -ENOMEM.
 */
int pv_virtqueue_init(struct pv_virtqueue *queue, const struct pv_virtqueue_setup *setup,
		      const struct pv_memory *memory);

/* Gives back what init took. */
void pv_virtqueue_fini(struct pv_virtqueue *queue);

/* The bases to go on with later, as the vhost-user protocol has them. */
uint16_t pv_virtqueue_avail_base(const struct pv_virtqueue *queue);
uint16_t pv_virtqueue_used_base(const struct pv_virtqueue *queue);

/* Stops using a queue, for a reason that says what is wrong with `value`. */
static inline void
pv_virtqueue_stop(struct pv_virtqueue *queue, const char *why, uint32_t value)
{
	queue->stopped = why;
	queue->stopped_value = value;
}

/*
 * The buffers of a chain, those to read and those to write, in the queue's own scratch memory: good until the next
 * call. 0; -EBADMSG when the chain is of no use (a readable buffer after a writable one, a writable one of no length,
 * too many buffers or pieces), and is to be given back; -EAGAIN when it has to wait for the IOTLB (queue->missing);
 * -EPROTO when the queue was stopped.
 */
int pv_virtqueue_gather(struct pv_virtqueue *queue, const struct pv_available *chain, struct pv_pieces *readable,
			struct pv_pieces *writable);

/* Whether a chain is one buffer that the device reads (or writes): the common case. */
static inline bool
pv_available_is_plain(const struct pv_available *chain, bool writable)
{
	return (chain->flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE)) ==
	       (writable ? VRING_DESC_F_WRITE : 0);
}

/*
 * Where a buffer of a chain is when it is in one piece, else NULL. One that is longer than any frame is no common case,
 * and pages are not gone through for it.
 */
static inline void *
pv_virtqueue_at(const struct pv_virtqueue *queue, uint64_t address, uint64_t length, bool write)
{
	if (likely(queue->translator == NULL))
		return pv_memory_at(queue->memory, address, length);
	return likely(length <= queue->longest) ? pv_translator_at(queue->translator, address, length, write) : NULL;
}

/* --- split ------------------------------------------------------------------------------------------------------- */

/* One descriptor, read in two loads. */
static inline struct vring_desc
pv_split_descriptor(const struct vring_desc *from)
{
	const volatile pv_ring_word *words = (const volatile pv_ring_word *)from;
	uint64_t address = words[0], rest = words[1];

	return (struct vring_desc){
		.addr = address,
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
}

/* How many chains are available; 0 and a stopped queue when the guest's index cannot be. */
static inline uint16_t
pv_split_count(struct pv_virtqueue *queue)
{
	uint16_t index = __atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t n = (uint16_t)(index - queue->next_avail);

	if (unlikely(n > queue->size)) {
		pv_virtqueue_stop(queue, "the available index is further ahead than the ring is long", n);
		return 0;
	}
	return n;
}

/* Copies the heads of the chains that come next into `id`. */
static inline uint16_t
pv_split_heads(struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max)
{
	uint16_t n = RTE_MIN(pv_split_count(queue), max), mask = (uint16_t)(queue->size - 1);

	for (uint16_t i = 0; i < n; i++) {
		uint16_t head = __atomic_load_n(&queue->avail->ring[(queue->next_avail + i) & mask], __ATOMIC_RELAXED);

		if (unlikely(head >= queue->size)) {
			pv_virtqueue_stop(queue, "an available descriptor is beyond the ring", head);
			return i;
		}
		chains[i].id = head;
		__builtin_prefetch(&queue->desc[head]);
	}
	return n;
}

static inline uint16_t
pv_split_peek(struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max)
{
	uint16_t n = unlikely(queue->resubmitted < queue->n_resubmit) ? pv_inflight_heads(queue, chains, max) :
									pv_split_heads(queue, chains, max);

	for (uint16_t i = 0; i < n; i++) {
		struct vring_desc first = pv_split_descriptor(&queue->desc[chains[i].id]);

		chains[i].address = first.addr;
		chains[i].length = first.len;
		chains[i].flags = first.flags;
		chains[i].next = first.next;
		chains[i].slots = 1;
	}
	return n;
}

static inline void
pv_split_push(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	uint16_t mask = (uint16_t)(queue->size - 1);

	if (unlikely(queue->inflight != NULL))
		pv_inflight_push(queue, used, n);
	for (uint16_t i = 0; i < n; i++)
		queue->used->ring[(queue->next_used + i) & mask] =
			(struct vring_used_elem){ .id = used[i].id, .len = used[i].length };
	queue->next_used += n;
}

/* --- packed ------------------------------------------------------------------------------------------------------ */

#define PV_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PV_PACKED_USED (1u << VRING_PACKED_DESC_F_USED)

/* What follows the address of a packed descriptor, as it lies in memory: one load, one store. */
union pv_packed_rest {
	struct {
		uint32_t length;
		uint16_t id, flags;
	};
	uint64_t word;
};

static inline union pv_packed_rest
pv_packed_rest(const struct vring_packed_desc *descriptor)
{
	const pv_ring_word *words = (const pv_ring_word *)descriptor;

	return (union pv_packed_rest){ .word = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE) };
}

/* virtio 1.2, 2.8.1: available when the two bits differ and the first equals the wrap counter. */
static inline bool
pv_packed_is_available(uint16_t flags, bool wrap)
{
	bool avail = (flags & PV_PACKED_AVAIL) != 0, used = (flags & PV_PACKED_USED) != 0;

	return avail != used && avail == wrap;
}

static inline void
pv_packed_advance(const struct pv_virtqueue *queue, uint16_t *place, bool *wrap, uint16_t slots)
{
	uint32_t next = (uint32_t)*place + slots;

	if (next >= queue->size) {
		next -= queue->size;
		*wrap = !*wrap;
	}
	*place = (uint16_t)next;
}

/*
 * Walks to the end of a chain of several descriptors: its buffer id is in the last one (virtio 1.2, 2.8.6). `wrap` is
 * the wrap counter where it begins. False and a stopped queue when it goes round the ring to what comes next: all that
 * is looked at in a burst is no longer than the ring.
 */
bool pv_packed_measure(struct pv_virtqueue *queue, struct pv_available *chain, bool wrap);

static inline uint16_t
pv_packed_peek(struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max)
{
	uint16_t place = queue->next_avail, n = 0;
	bool wrap = queue->avail_wrap;

	max = RTE_MIN(max, queue->size); /* who is quick could make a descriptor available again under our eyes */
	while (n < max) {
		struct pv_available *chain = &chains[n];
		union pv_packed_rest rest = pv_packed_rest(&queue->ring[place]);

		if (!pv_packed_is_available(rest.flags, wrap))
			break;
		chain->address = __atomic_load_n(&queue->ring[place].addr, __ATOMIC_RELAXED);
		chain->length = rest.length;
		chain->flags = rest.flags;
		chain->id = rest.id;
		chain->slots = 1;
		chain->place = place;
		if (unlikely((rest.flags & VRING_DESC_F_NEXT) != 0) && !pv_packed_measure(queue, chain, wrap))
			break;
		pv_packed_advance(queue, &place, &wrap, chain->slots);
		n++;
	}
	return n;
}

static inline void
pv_packed_store(struct pv_virtqueue *queue, uint16_t place, bool wrap, const struct pv_used *used)
{
	pv_ring_word *words = (pv_ring_word *)&queue->ring[place];
	uint16_t written = used->length > 0 ? VRING_DESC_F_WRITE : 0; /* virtio 1.2, 2.8.2 */
	union pv_packed_rest rest = {
		.length = used->length,
		.id = used->id,
		.flags = wrap ? PV_PACKED_AVAIL | PV_PACKED_USED | written : written,
	};

	__atomic_store_n(&words[1], rest.word, __ATOMIC_RELEASE);
}

/* The guest looks at used descriptors in turn, so the first one, stored last, publishes them all. */
static inline void
pv_packed_push_all(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	uint16_t first = queue->next_used;
	bool first_wrap = queue->used_wrap;

	pv_packed_advance(queue, &queue->next_used, &queue->used_wrap, used[0].slots);
	for (uint16_t i = 1; i < n; i++) {
		pv_packed_store(queue, queue->next_used, queue->used_wrap, &used[i]);
		pv_packed_advance(queue, &queue->next_used, &queue->used_wrap, used[i].slots);
	}
	pv_packed_store(queue, first, first_wrap, &used[0]);
}

static inline void
pv_packed_push(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	if (unlikely(queue->journal != NULL))
		pv_inflight_push_packed(queue, used, n);
	else if (n > 0)
		pv_packed_push_all(queue, used, n);
}

/* --- both -------------------------------------------------------------------------------------------------------- */

/* Copies up to `max` chains that come next; returns how many. Those remain available until they are taken. */
static inline uint16_t
pv_virtqueue_peek(struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max, const bool packed)
{
	return packed ? pv_packed_peek(queue, chains, max) : pv_split_peek(queue, chains, max);
}

/* Goes on behind a chain, the next one in the order of peek. */
static inline void
pv_virtqueue_take(struct pv_virtqueue *queue, const struct pv_available *chain, const bool packed)
{
	if (packed) {
		pv_packed_advance(queue, &queue->next_avail, &queue->avail_wrap, chain->slots);
		return;
	}
	if (unlikely(queue->inflight != NULL))
		pv_inflight_take(queue, chain);
	else
		queue->next_avail++;
}

/* Writes used[0] to used[n - 1] into the used ring. A split ring shows them to the guest at publish. */
static inline void
pv_virtqueue_push(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n, const bool packed)
{
	if (packed)
		pv_packed_push(queue, used, n);
	else
		pv_split_push(queue, used, n);
}

/* Marks what push and publish wrote, while the guest is being migrated. */
void pv_virtqueue_log_used(struct pv_virtqueue *queue);

/* Asks the cache for where the next burst's heads are: the guest has written them on another core. */
static inline void
pv_virtqueue_prefetch_next(const struct pv_virtqueue *queue, const bool packed)
{
	uint16_t mask = (uint16_t)(queue->size - 1);

	if (packed)
		return;
	__builtin_prefetch(&queue->avail->ring[queue->next_avail & mask]);
	__builtin_prefetch(&queue->avail->ring[(queue->next_avail + PV_BURST_MAX / 2) & mask]);
}

/* Shows the guest all that was pushed. */
static inline void
pv_virtqueue_publish(struct pv_virtqueue *queue, const bool packed)
{
	if (!packed)
		__atomic_store_n(&queue->used->idx, queue->next_used, __ATOMIC_RELEASE);
	if (!packed && unlikely(queue->inflight != NULL))
		pv_inflight_publish(queue);
	if (unlikely(queue->log_used))
		pv_virtqueue_log_used(queue);
	queue->published = queue->next_used;
}

/* virtio 1.2, 2.7.10.1: whether the event index lies in what was added, (old, new]. */
static inline bool
pv_event_is_passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Whether the guest wants to be called for what was published since it was last asked; asked once per burst. */
bool pv_virtqueue_wants_call(struct pv_virtqueue *queue);

/* Asks the guest not to kick, or to kick for the next chain that it makes available. */
void pv_virtqueue_set_kicks(struct pv_virtqueue *queue, bool wanted);

/* Whether a chain is available: to be asked again after kicks were turned on. */
bool pv_virtqueue_has_work(struct pv_virtqueue *queue);

#endif
