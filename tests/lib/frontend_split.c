/* SPDX-License-Identifier: BSD-3-Clause */
/* Split rings (virtio 1.2, 2.7), the driver's side. */
#include "frontend_private.h"

#include <string.h>
#include <sys/eventfd.h>

static struct vring_avail *
available(const struct frontend_ring *ring)
{
	return frontend_at(ring->frontend, ring->driver);
}

static struct vring_used *
used(const struct frontend_ring *ring)
{
	return frontend_at(ring->frontend, ring->device);
}

static uint64_t
descriptors_bytes(uint16_t size)
{
	return size * sizeof(struct vring_desc);
}

static uint64_t
driver_bytes(uint16_t size)
{
	return 6 + 2 * (uint64_t)size;
}

static uint64_t
device_bytes(uint16_t size)
{
	return 6 + sizeof(vring_used_elem_t) * (uint64_t)size;
}

/* 2.7.10: does the device want to hear of it? */
static void
kick(struct frontend_ring *ring, uint16_t told)
{
	uint16_t event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(&event, &used(ring)->ring[ring->size], sizeof(event));
	if (ring->event_idx ? event == (uint16_t)(told - 1) :
			      (load_acquire(&used(ring)->flags) & VRING_USED_F_NO_NOTIFY) == 0)
		eventfd_write(ring->kick, 1);
}

static struct vring_desc
describe(const struct frontend_ring *ring, const struct slot *slot, uint16_t piece, bool writable)
{
	bool last = piece == slot->n_pieces - 1;

	return (struct vring_desc){
		.addr = frontend_device_address(ring->frontend, slot->cell + slot->pieces[piece].offset),
		.len = slot->pieces[piece].length,
		.flags = (uint16_t)((writable ? VRING_DESC_F_WRITE : 0) | (last ? 0 : VRING_DESC_F_NEXT))
	};
}

/* Writes the table of an indirect buffer; returns the descriptor that refers to it. */
static struct vring_desc
write_table(struct frontend_ring *ring, struct slot *slot, bool writable)
{
	for (uint16_t i = 0; i < slot->n_pieces; i++) {
		slot->told[i] = describe(ring, slot, i, writable);
		if (i < slot->n_pieces - 1)
			slot->told[i].next = (uint16_t)(i + 1);
	}
	memcpy(frontend_at(ring->frontend, slot->table), slot->told, slot->n_pieces * sizeof(slot->told[0]));
	return (struct vring_desc){ .addr = frontend_device_address(ring->frontend, slot->table),
				    .len = slot->n_pieces * (uint32_t)sizeof(slot->told[0]),
				    .flags = VRING_DESC_F_INDIRECT };
}

/* Writes the chain of a direct buffer into the ring's table. */
static void
write_chain(struct frontend_ring *ring, struct slot *slot, bool writable)
{
	struct vring_desc *table = frontend_at(ring->frontend, ring->descriptors);

	for (uint16_t i = 0; i < slot->n_pieces; i++) {
		slot->told[i] = describe(ring, slot, i, writable);
		if (i < slot->n_pieces - 1)
			slot->told[i].next = slot->descriptors[i + 1];
		table[slot->descriptors[i]] = slot->told[i];
	}
}

static void
offer(struct frontend_ring *ring, uint16_t number, bool writable)
{
	struct vring_desc *table = frontend_at(ring->frontend, ring->descriptors);
	struct slot *slot = &ring->slots[number];
	uint16_t told = (uint16_t)ring->offered; /* this one counts already */

	for (uint16_t i = 0; i < slot->n_descriptors; i++)
		slot->descriptors[i] = frontend_fifo_take(&ring->free_descriptors, NULL);
	if (slot->indirect)
		table[slot->descriptors[0]] = write_table(ring, slot, writable);
	else
		write_chain(ring, slot, writable);
	ring->by_head[slot->descriptors[0]] = number;
	available(ring)->ring[(uint16_t)(told - 1) % ring->size] = slot->descriptors[0];
	store_release(&available(ring)->idx, told);
	kick(ring, told);
}

static int
peek(struct frontend_ring *ring, uint16_t *id, uint32_t *length)
{
	uint16_t visible = (uint16_t)(load_acquire(&used(ring)->idx) - (uint16_t)ring->used);
	const vring_used_elem_t *element = &used(ring)->ring[(uint16_t)ring->used % ring->size];

	if (visible > frontend_ring_outstanding(ring))
		return frontend_complain(ring->frontend, "ring %u: %u buffers were used, and %u are outstanding",
					 ring->index, visible, frontend_ring_outstanding(ring));
	if (visible == 0)
		return 0;
	if (element->id >= ring->size)
		return frontend_complain(ring->frontend, "ring %u: the id %u was used", ring->index, element->id);
	*id = (uint16_t)element->id;
	*length = element->len;
	frontend_log_written(ring->frontend,
			     ring->device + (uint64_t)((const uint8_t *)element - (uint8_t *)used(ring)),
			     sizeof(*element));
	frontend_log_written(ring->frontend, ring->device, sizeof(struct vring_used));
	return 1;
}

static int
find(const struct frontend_ring *ring, uint16_t id)
{
	uint16_t number = ring->by_head[id];

	return ring->slots[number].outstanding && ring->slots[number].descriptors[0] == id ? number : -1;
}

static int
pass(struct frontend_ring *ring, const struct slot *slot)
{
	const struct vring_desc *table = frontend_at(ring->frontend, ring->descriptors);
	bool changed = false;

	for (uint16_t i = 0; i < slot->n_descriptors; i++) {
		changed |= !slot->indirect &&
			   memcmp(&table[slot->descriptors[i]], &slot->told[i], sizeof(slot->told[i])) != 0;
		frontend_fifo_put(&ring->free_descriptors, slot->descriptors[i], 0);
	}
	return changed ? frontend_complain(ring->frontend, "ring %u: a descriptor was changed", ring->index) : 0;
}

void
frontend_split_use(struct frontend_ring *ring, uint64_t order)
{
	const struct slot *slot = &ring->slots[ring->by_order[order % ring->size]];
	uint16_t index = used(ring)->idx;

	used(ring)->ring[index % ring->size] = (vring_used_elem_t){ .id = slot->descriptors[0] };
	store_release(&used(ring)->idx, (uint16_t)(index + 1));
}

static uint32_t
base(const struct frontend_ring *ring)
{
	return (uint16_t)ring->used;
}

/* 2.7.7: without EVENT_IDX a flag says so, with it an index that is never reached. */
static void
call_never(struct frontend_ring *ring)
{
	if (ring->event_idx)
		store_release(&available(ring)->ring[ring->size], (uint16_t)(ring->used - 1));
	else
		store_release(&available(ring)->flags, VRING_AVAIL_F_NO_INTERRUPT);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void
call_after(struct frontend_ring *ring, uint16_t skipped)
{
	if (ring->event_idx)
		store_release(&available(ring)->ring[ring->size], (uint16_t)(ring->used + skipped));
	else
		store_release(&available(ring)->flags, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

const struct ring_format frontend_split = {
	.descriptors_bytes = descriptors_bytes,
	.driver_bytes = driver_bytes,
	.device_bytes = device_bytes,
	.first_base = 0,
	.offer = offer,
	.peek = peek,
	.find = find,
	.pass = pass,
	.base = base,
	.call_never = call_never,
	.call_after = call_after,
};
