/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/virtqueue.h"

#include <errno.h>

#include <linux/virtio_config.h>

#include <rte_atomic.h>
#include <rte_malloc.h>

/* The event suppression structure of a packed ring, read in one load. */
typedef uint32_t __attribute__((may_alias)) pv_event_word;

/* The avail_event field, which has no name of its own behind the used ring. */
typedef uint16_t __attribute__((may_alias)) pv_index;

#define BIT(n) (1ULL << (n))
#define CHAIN_MAX 256  /* descriptors of a chain that is of use, as in rte_vhost: it bounds what a burst costs */
#define MORE_PIECES 64 /* a chain may have this many more than descriptors: buffers over borders */

static bool
is_aligned(const void *address, size_t alignment)
{
	return ((uintptr_t)address & (alignment - 1)) == 0;
}

/* virtio 1.2, 2.7 and 2.8: sizes and alignments. */
static bool
is_acceptable(const struct pv_virtqueue_setup *setup, bool packed)
{
	if (setup->size == 0 || setup->size > PV_RING_SIZE_MAX || !is_aligned(setup->descriptors, 16))
		return false;
	if (packed)
		return is_aligned(setup->driver, 4) && is_aligned(setup->device, 4) &&
		       (setup->avail_base & 0x7fff) < setup->size && (setup->used_base & 0x7fff) < setup->size;
	return rte_is_power_of_2(setup->size) && is_aligned(setup->driver, 2) && is_aligned(setup->device, 4);
}

bool
pv_virtqueue_is_in_memory(const struct pv_virtqueue_setup *setup, const struct pv_memory *memory)
{
	bool packed = (setup->features & BIT(VIRTIO_F_RING_PACKED)) != 0;
	uint64_t event = (setup->features & BIT(VIRTIO_RING_F_EVENT_IDX)) != 0 ? sizeof(uint16_t) : 0;
	uint64_t entries = setup->size, driver = sizeof(struct vring_packed_desc_event), device = driver;

	if (!packed) {
		driver = sizeof(struct vring_avail) + entries * sizeof(uint16_t) + event;
		device = sizeof(struct vring_used) + entries * sizeof(struct vring_used_elem) + event;
	}
	return pv_memory_has(memory, setup->descriptors, entries * sizeof(struct vring_desc)) &&
	       pv_memory_has(memory, setup->driver, driver) && pv_memory_has(memory, setup->device, device);
}

static void
set_bases(struct pv_virtqueue *queue, const struct pv_virtqueue_setup *setup)
{
	uint16_t mask = queue->packed ? 0x7fff : 0xffff;

	queue->next_avail = setup->avail_base & mask;
	queue->next_used = setup->used_base & mask;
	queue->avail_wrap = (setup->avail_base & 0x8000) != 0;
	queue->used_wrap = (setup->used_base & 0x8000) != 0;
	queue->published = queue->next_used;
}

int
pv_virtqueue_init(struct pv_virtqueue *queue, const struct pv_virtqueue_setup *setup, const struct pv_memory *memory)
{
	bool packed = (setup->features & BIT(VIRTIO_F_RING_PACKED)) != 0;

	if (!is_acceptable(setup, packed))
		return -EINVAL;
	*queue = (struct pv_virtqueue){
		.memory = memory,
		.size = (uint16_t)setup->size,
		.packed = packed,
		.indirect = (setup->features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0,
		.event_index = (setup->features & BIT(VIRTIO_RING_F_EVENT_IDX)) != 0,
		.log_used = setup->log_used,
		.used_guest = setup->used_guest,
		.scratch_max = RTE_MIN(setup->size, (uint32_t)CHAIN_MAX) + MORE_PIECES,
	};
	queue->desc = setup->descriptors; /* or ring, driver_event and device_event: they share their places */
	queue->avail = setup->driver;
	queue->used = setup->device;
	queue->scratch = rte_calloc("pv_pieces", 2u * queue->scratch_max, sizeof(*queue->scratch), RTE_CACHE_LINE_SIZE);
	if (queue->scratch == NULL)
		return -ENOMEM;
	set_bases(queue, setup);
	return 0;
}

void
pv_virtqueue_fini(struct pv_virtqueue *queue)
{
	rte_free(queue->scratch);
	queue->scratch = NULL;
	rte_free(queue->resubmit);
	queue->resubmit = NULL;
}

uint16_t
pv_virtqueue_avail_base(const struct pv_virtqueue *queue)
{
	return queue->packed ? (uint16_t)(queue->next_avail | queue->avail_wrap << 15) : queue->next_avail;
}

uint16_t
pv_virtqueue_used_base(const struct pv_virtqueue *queue)
{
	return queue->packed ? (uint16_t)(queue->next_used | queue->used_wrap << 15) : queue->next_used;
}

/* How many places there are from one on to where the next chain is taken: there a lap ends. */
static uint16_t
places_left(const struct pv_virtqueue *queue, uint16_t place, bool wrap)
{
	bool before = place < queue->next_avail, lapped = before == (wrap == queue->avail_wrap);

	if (lapped)
		return 0;
	return (uint16_t)(queue->next_avail - place + (before ? 0 : queue->size));
}

bool
pv_packed_measure(struct pv_virtqueue *queue, struct pv_available *chain, bool wrap)
{
	uint16_t place = chain->place, left = places_left(queue, place, wrap);
	union pv_packed_rest rest;

	/* From here on the wrap counter does not matter: the driver makes the first descriptor available last. */
	do {
		if (chain->slots >= left) {
			pv_virtqueue_stop(queue, "a descriptor chain is longer than the ring", chain->slots);
			return false;
		}
		pv_packed_advance(queue, &place, &wrap, 1);
		rest = pv_packed_rest(&queue->ring[place]);
		chain->slots++;
	} while ((rest.flags & VRING_DESC_F_NEXT) != 0);
	chain->id = rest.id;
	return true;
}

/* --- gathering --------------------------------------------------------------------------------------------------- */

/* A chain while it is walked. */
struct walk {
	struct pv_virtqueue *queue;
	struct pv_pieces *readable, *writable;
	uint32_t buffers; /* so far */
};

static int
stop(struct pv_virtqueue *queue, const char *why, uint32_t value)
{
	pv_virtqueue_stop(queue, why, value);
	return -EPROTO;
}

/* Counts a buffer: more of them than the ring has entries are a loop, or as bad (virtio 1.2, 2.7.5.3.1). */
static int
count_buffer(struct walk *walk)
{
	if (++walk->buffers > walk->queue->size)
		return stop(walk->queue, "a descriptor chain is longer than the ring", walk->buffers);
	return walk->buffers > CHAIN_MAX ? -EBADMSG : 0;
}

static int
map(struct pv_virtqueue *queue, uint64_t address, uint32_t length, bool write, struct iovec *pieces, unsigned int max)
{
	if (queue->translator != NULL)
		return pv_translator_map(queue->translator, address, length, write, pieces, max, &queue->missing);
	return pv_memory_map(queue->memory, address, length, write, pieces, max, &queue->missing);
}

/*
 * How much of a buffer is translated page by page, behind `before` bytes of its chain. The guest says how long it is,
 * up to 4 GiB. Of one that is written to, a frame needs no more; a chain that is read and is too long is refused.
 */
static uint32_t
length_of_use(const struct pv_virtqueue *queue, uint64_t before, uint32_t length, bool write)
{
	uint64_t left = queue->longest - RTE_MIN(queue->longest, before);

	if (queue->translator == NULL || length <= left)
		return length;
	return write ? (uint32_t)left : 0;
}

/* Adds the pieces of a buffer. What is of no use is looked up all the same, in the regions, so it has to be there. */
static int
map_buffer(struct pv_virtqueue *queue, struct pv_pieces *to, uint64_t address, uint32_t length, bool write)
{
	struct iovec *pieces = to->piece + to->n;
	uint32_t first = length_of_use(queue, to->bytes, length, write);
	unsigned int max = to->max - to->n;
	int n = map(queue, address, first, write, pieces, max), rest;

	if (likely(first == length) || n < 0)
		return n;
	if (address + first < address)
		return -EFAULT;
	rest = pv_memory_map(queue->memory, address + first, length - first, write, pieces + n, max - (unsigned int)n,
			     &queue->missing);
	return rest < 0 ? rest : n + rest;
}

/* Adds one buffer to its direction. */
static int
add_buffer(struct walk *walk, uint64_t address, uint32_t length, uint16_t flags)
{
	bool write = (flags & VRING_DESC_F_WRITE) != 0;
	struct pv_pieces *to = write ? walk->writable : walk->readable;
	int n = count_buffer(walk);

	if (n != 0)
		return n;
	if (!write && walk->writable->n > 0)
		return -EBADMSG; /* virtio 1.2, 2.7.4.2: what the device writes comes after what it reads */
	if (write && length == 0)
		return -EBADMSG; /* nobody needs it, and a frame could be made to walk all of the ring for no byte */
	n = map_buffer(walk->queue, to, address, length, write);
	if (n == -EAGAIN)
		return n;
	if (n == -EFAULT)
		return stop(walk->queue, "a descriptor points outside the guest's memory, with the length", length);
	if (n < 0)
		return -EBADMSG;
	to->n += (uint32_t)n;
	to->buffers++;
	to->bytes += length;
	return 0;
}

/* Reads a part of an indirect table, which may lie over a border. */
static int
read_table(struct pv_virtqueue *queue, uint64_t address, void *to, uint32_t length)
{
	struct iovec pieces[4];
	int n = map(queue, address, length, false, pieces, RTE_DIM(pieces));
	char *at = to;

	if (n == -EAGAIN)
		return n;
	if (n < 0)
		return stop(queue, "an indirect table lies outside the guest's memory, with the length", length);
	for (int i = 0; i < n; i++) {
		memcpy(at, pieces[i].iov_base, pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	rte_compiler_barrier(); /* what is used from here on is the copy */
	return 0;
}

static int
add_indirect(struct walk *walk, const struct vring_desc *entry)
{
	if ((entry->flags & VRING_DESC_F_INDIRECT) != 0)
		return stop(walk->queue, "an indirect table in an indirect table, with the flags", entry->flags);
	return add_buffer(walk, entry->addr, entry->len, entry->flags);
}

/* The entries of a split ring's table are a chain (virtio 1.2, 2.7.5.3). */
static int
walk_split_table(struct walk *walk, uint64_t table, uint32_t entries)
{
	struct vring_desc entry = { 0 }; /* for a read that fails */
	uint32_t index = 0;
	int result;

	do {
		if (index >= entries)
			return stop(walk->queue, "an indirect descriptor is beyond its table", index);
		result = read_table(walk->queue, table + index * sizeof(entry), &entry, sizeof(entry));
		if (result == 0)
			result = add_indirect(walk, &entry);
		index = entry.next;
	} while (result == 0 && (entry.flags & VRING_DESC_F_NEXT) != 0);
	return result;
}

/* The entries of a packed ring's table are all of it, in order (virtio 1.2, 2.8.7). */
static int
walk_packed_table(struct walk *walk, uint64_t table, uint32_t entries)
{
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < entries; i++) {
		struct vring_packed_desc entry;
		struct vring_desc same;

		result = read_table(walk->queue, table + i * sizeof(entry), &entry, sizeof(entry));
		if (result != 0)
			break;
		same = (struct vring_desc){ .addr = entry.addr, .len = entry.len, .flags = entry.flags };
		result = add_indirect(walk, &same);
	}
	return result;
}

static int
walk_table(struct walk *walk, uint64_t address, uint32_t length, uint16_t flags)
{
	uint32_t entries = length / sizeof(struct vring_desc);

	if (!walk->queue->indirect)
		return stop(walk->queue, "an indirect table, which was not negotiated, with the flags", flags);
	if ((flags & VRING_DESC_F_NEXT) != 0) /* virtio 1.2, 2.7.5.3.1 and 2.8.19 */
		return stop(walk->queue, "an indirect table with another descriptor after it, flags", flags);
	if (length == 0 || length % sizeof(struct vring_desc) != 0)
		return stop(walk->queue, "an indirect table whose length is no multiple of 16", length);
	return walk->queue->packed ? walk_packed_table(walk, address, entries) :
				     walk_split_table(walk, address, entries);
}

static int
walk_split(struct walk *walk, const struct pv_available *chain)
{
	struct pv_virtqueue *queue = walk->queue;
	struct vring_desc entry = {
		.addr = chain->address, .len = chain->length, .flags = chain->flags, .next = chain->next
	};

	for (;;) {
		int result = (entry.flags & VRING_DESC_F_INDIRECT) != 0 ?
				     walk_table(walk, entry.addr, entry.len, entry.flags) :
				     add_buffer(walk, entry.addr, entry.len, entry.flags);

		if (result != 0 || (entry.flags & VRING_DESC_F_NEXT) == 0)
			return result;
		if (entry.next >= queue->size)
			return stop(queue, "a chained descriptor is beyond the ring", entry.next);
		entry = pv_split_descriptor(&queue->desc[entry.next]);
	}
}

/* Its length was measured before; flags that have changed since cannot lengthen it. */
static int
walk_packed(struct walk *walk, const struct pv_available *chain)
{
	struct pv_virtqueue *queue = walk->queue;
	uint64_t address = chain->address;
	union pv_packed_rest rest = { .length = chain->length, .flags = chain->flags };
	uint16_t place = chain->place;
	bool wrap = false;

	for (uint16_t i = 0;;) {
		int result = (rest.flags & VRING_DESC_F_INDIRECT) != 0 ?
				     walk_table(walk, address, rest.length, rest.flags) :
				     add_buffer(walk, address, rest.length, rest.flags);

		if (result != 0 || ++i == chain->slots)
			return result;
		pv_packed_advance(queue, &place, &wrap, 1);
		rest = pv_packed_rest(&queue->ring[place]);
		address = __atomic_load_n(&queue->ring[place].addr, __ATOMIC_RELAXED);
	}
}

int
pv_virtqueue_gather(struct pv_virtqueue *queue, const struct pv_available *chain, struct pv_pieces *readable,
		    struct pv_pieces *writable)
{
	struct walk walk = { .queue = queue, .readable = readable, .writable = writable };

	*readable = (struct pv_pieces){ .piece = queue->scratch, .max = queue->scratch_max };
	*writable = (struct pv_pieces){ .piece = queue->scratch + queue->scratch_max, .max = queue->scratch_max };
	return queue->packed ? walk_packed(&walk, chain) : walk_split(&walk, chain);
}

/* --- notification ------------------------------------------------------------------------------------------------ */

/* virtio 1.2, 2.7.7 (flags) and 2.7.10 (event index). */
static bool
split_wants_call(struct pv_virtqueue *queue)
{
	uint16_t old = queue->told_at, new = queue->next_used;
	bool first = !queue->told;

	if (!queue->event_index)
		return (__atomic_load_n(&queue->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	queue->told = true;
	queue->told_at = new;
	return first ||
	       pv_event_is_passed(__atomic_load_n(&queue->avail->ring[queue->size], __ATOMIC_RELAXED), new, old);
}

/* virtio 1.2, 2.8.10: the driver event suppression structure. */
static bool
packed_wants_call(struct pv_virtqueue *queue)
{
	const volatile pv_event_word *event_word = (const volatile pv_event_word *)queue->driver_event;
	uint32_t word = *event_word;
	uint16_t off_wrap = (uint16_t)word, flags = (uint16_t)(word >> 16) & 3, old = queue->told_at;
	uint16_t new = queue->next_used, event = off_wrap & 0x7fff;
	bool first = !queue->told;

	queue->told = true;
	queue->told_at = new;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !queue->event_index)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (((off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != 0) != queue->used_wrap)
		event = (uint16_t)(event - queue->size);
	if (old >= new) /* equal: all of the ring, because something was used */
		old = (uint16_t)(old - queue->size);
	return first || pv_event_is_passed(event, new, old);
}

bool
pv_virtqueue_wants_call(struct pv_virtqueue *queue)
{
	/* Between our publishing and reading what the guest wants; it does the same the other way round. */
	atomic_thread_fence(memory_order_seq_cst);
	return queue->packed ? packed_wants_call(queue) : split_wants_call(queue);
}

static void
set_split_kicks(struct pv_virtqueue *queue, bool wanted)
{
	if (queue->event_index) {
		/* Behind us, so that it is passed once in 65536 chains; or the very next one. */
		uint16_t event = wanted ? queue->next_avail : (uint16_t)(queue->next_avail - 1);

		__atomic_store_n((pv_index *)&queue->used->ring[queue->size], event, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&queue->used->flags, wanted ? 0 : VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

static void
set_packed_kicks(struct pv_virtqueue *queue, bool wanted)
{
	queue->device_event->off_wrap = (uint16_t)(queue->next_avail | queue->avail_wrap << 15);
	__atomic_store_n(&queue->device_event->flags,
			 wanted ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE, __ATOMIC_RELEASE);
}

void
pv_virtqueue_set_kicks(struct pv_virtqueue *queue, bool wanted)
{
	if (queue->packed)
		set_packed_kicks(queue, wanted);
	else
		set_split_kicks(queue, wanted);
	if (unlikely(queue->log_used))
		pv_virtqueue_log_used(queue);
	atomic_thread_fence(memory_order_seq_cst);
}

bool
pv_virtqueue_has_work(struct pv_virtqueue *queue)
{
	struct pv_available chain;

	return queue->stopped == NULL && pv_virtqueue_peek(queue, &chain, 1, queue->packed) > 0;
}

/* --- migration --------------------------------------------------------------------------------------------------- */

/* The places of a ring in [from, to), which may wrap. */
static void
log_places(struct pv_virtqueue *queue, uint16_t from, uint16_t to, size_t header, size_t entry)
{
	uint64_t at = queue->used_guest + header;

	if (from < to) {
		pv_memory_log_guest(queue->memory, at + from * entry, (to - from) * entry);
	} else {
		pv_memory_log_guest(queue->memory, at + from * entry, (queue->size - from) * entry);
		pv_memory_log_guest(queue->memory, at, to * entry);
	}
}

void
pv_virtqueue_log_used(struct pv_virtqueue *queue)
{
	size_t header = offsetof(struct vring_used, ring), entry = sizeof(struct vring_used_elem);
	uint16_t mask = (uint16_t)(queue->size - 1);

	if (queue->packed) {
		pv_memory_log_host(queue->memory, queue->device_event, sizeof(*queue->device_event));
		pv_memory_log_host(queue->memory, queue->ring, queue->size * sizeof(*queue->ring));
		return;
	}
	if (queue->published != queue->next_used)
		log_places(queue, queue->published & mask, queue->next_used & mask, header, entry);
	pv_memory_log_guest(queue->memory, queue->used_guest, header);
	pv_memory_log_guest(queue->memory, queue->used_guest + header + queue->size * entry, sizeof(uint16_t));
}
