/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed rings (virtio 1.2, 2.8), the driver's side. The id of a buffer is the number of its slot. */
#include "frontend_private.h"

#include <string.h>
#include <sys/eventfd.h>

#define AVAILABLE (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)
#define NO_ID 0xdead /* 2.8.6: only the last descriptor of a list has the buffer's id */

static struct vring_packed_desc *
descriptor(const struct frontend_ring *ring, uint16_t at)
{
	return (struct vring_packed_desc *)frontend_at(ring->frontend, ring->descriptors) + at;
}

static uint64_t
descriptors_bytes(uint16_t size)
{
	return size * sizeof(struct vring_packed_desc);
}

static uint64_t
event_bytes(uint16_t size)
{
	return sizeof(struct vring_packed_desc_event);
}

static void
kick(struct frontend_ring *ring)
{
	const struct vring_packed_desc_event *event = frontend_at(ring->frontend, ring->device);

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* A device that waits for one descriptor is told of each: it may be told too often. */
	if (load_acquire(&event->flags) != VRING_PACKED_EVENT_FLAG_DISABLE)
		eventfd_write(ring->kick, 1);
}

/* 2.8.1: what says that a descriptor is available, in this lap. */
static uint16_t
available_flags(const struct frontend_ring *ring)
{
	return ring->available_wrap ? AVAILABLE : USED;
}

static void
step(const struct frontend_ring *ring, uint16_t *at, bool *wrap, uint16_t by)
{
	*at = (uint16_t)(*at + by);
	if (*at >= ring->size) {
		*at = (uint16_t)(*at - ring->size);
		*wrap = !*wrap;
	}
}

/* Writes a descriptor, but for its flags, which are returned: those of the first one are written last. */
static uint16_t
write_piece(struct frontend_ring *ring, const struct slot *slot, uint16_t piece, bool writable, uint16_t id)
{
	struct vring_packed_desc *to = descriptor(ring, ring->available_at);
	bool last = piece == slot->n_pieces - 1;

	to->addr = frontend_device_address(ring->frontend, slot->cell + slot->pieces[piece].offset);
	to->len = slot->pieces[piece].length;
	to->id = last ? id : NO_ID;
	return (uint16_t)(available_flags(ring) | (writable ? VRING_DESC_F_WRITE : 0) | (last ? 0 : VRING_DESC_F_NEXT));
}

/* 2.8.7: the entries of an indirect table follow one another. */
static uint16_t
write_table(struct frontend_ring *ring, struct slot *slot, bool writable, uint16_t id)
{
	struct vring_packed_desc *to = descriptor(ring, ring->available_at);
	struct vring_packed_desc *table = (struct vring_packed_desc *)slot->told;

	for (uint16_t i = 0; i < slot->n_pieces; i++)
		table[i] = (struct vring_packed_desc){ .addr = frontend_device_address(
							       ring->frontend, slot->cell + slot->pieces[i].offset),
						       .len = slot->pieces[i].length,
						       .id = NO_ID,
						       .flags = writable ? VRING_DESC_F_WRITE : 0 };
	memcpy(frontend_at(ring->frontend, slot->table), table, slot->n_pieces * sizeof(*table));
	to->addr = frontend_device_address(ring->frontend, slot->table);
	to->len = slot->n_pieces * (uint32_t)sizeof(*table);
	to->id = id;
	return (uint16_t)(available_flags(ring) | VRING_DESC_F_INDIRECT);
}

static void
offer(struct frontend_ring *ring, uint16_t number, bool writable)
{
	struct slot *slot = &ring->slots[number];
	struct vring_packed_desc *head = descriptor(ring, ring->available_at);
	uint16_t head_flags = 0;

	for (uint16_t i = 0; i < slot->n_descriptors; i++) {
		uint16_t flags = slot->indirect ? write_table(ring, slot, writable, number) :
						  write_piece(ring, slot, i, writable, number);

		if (i == 0)
			head_flags = flags;
		else
			descriptor(ring, ring->available_at)->flags = flags;
		step(ring, &ring->available_at, &ring->available_wrap, 1);
	}
	store_release(&head->flags, head_flags);
	kick(ring);
}

static int
peek(struct frontend_ring *ring, uint16_t *id, uint32_t *length)
{
	const struct vring_packed_desc *at = descriptor(ring, ring->used_at);
	uint16_t flags;

	if (frontend_ring_outstanding(ring) == 0)
		return 0;
	flags = load_acquire(&at->flags);
	if ((flags & (AVAILABLE | USED)) != (ring->used_wrap ? AVAILABLE | USED : 0))
		return 0;
	*id = at->id;
	/* 2.8.1: without this flag the length means nothing. */
	*length = (flags & VRING_DESC_F_WRITE) != 0 ? at->len : 0;
	frontend_log_written(ring->frontend, ring->descriptors + ring->used_at * sizeof(*at), sizeof(*at));
	return 1;
}

static int
find(const struct frontend_ring *ring, uint16_t id)
{
	return id < ring->size ? id : -1;
}

static int
pass(struct frontend_ring *ring, const struct slot *slot)
{
	step(ring, &ring->used_at, &ring->used_wrap, slot->n_descriptors);
	return 0;
}

/* Both halves: next available and next used descriptor, each with its wrap counter. */
static uint32_t
base(const struct frontend_ring *ring)
{
	uint32_t half = ring->used_at | (ring->used_wrap ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0);

	return half << 16 | half;
}

static void
call_never(struct frontend_ring *ring)
{
	struct vring_packed_desc_event *event = frontend_at(ring->frontend, ring->driver);

	store_release(&event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void
call_after(struct frontend_ring *ring, uint16_t skipped)
{
	struct vring_packed_desc_event *event = frontend_at(ring->frontend, ring->driver);
	uint16_t at = ring->used_at;
	bool wrap = ring->used_wrap;

	step(ring, &at, &wrap, skipped);
	if (ring->event_idx)
		store_release(&event->off_wrap, (uint16_t)(at | (wrap ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0)));
	store_release(&event->flags, ring->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

const struct ring_format frontend_packed = {
	.descriptors_bytes = descriptors_bytes,
	.driver_bytes = event_bytes,
	.device_bytes = event_bytes,
	.first_base = 0x80008000,
	.offer = offer,
	.peek = peek,
	.find = find,
	.pass = pass,
	.base = base,
	.call_never = call_never,
	.call_after = call_after,
};
