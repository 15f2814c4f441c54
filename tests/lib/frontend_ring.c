/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What split and packed rings have in common: buffers, and the suspicion. A buffer is a slot: a cell of memory in which
 * its pieces lie with gaps between them, and a shadow of that cell as the driver left it. When the device has used the
 * buffer, the bytes that it says it wrote are taken over into the shadow; then cell and shadow must be the same.
 */
#include "frontend_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GAP 24u /* bytes before a piece, and up to 12 more so that pieces are not aligned */
#define GAPS_BYTES (DESCRIPTORS_MAX * 40u)
#define TABLE_BYTES (DESCRIPTORS_MAX * (uint32_t)sizeof(struct vring_desc))

/* Whether each of 0 to size - 1 comes up once: the step must have no factor of the size. */
static bool
is_coprime(uint16_t step, uint16_t size)
{
	while (size != 0) {
		uint16_t rest = step % size;

		step = size;
		size = rest;
	}
	return step == 1;
}

int
frontend_fifo_make(struct fifo *fifo, uint16_t size, bool with_lengths)
{
	fifo->size = size;
	fifo->item = calloc(size, sizeof(*fifo->item));
	fifo->length = with_lengths ? calloc(size, sizeof(*fifo->length)) : NULL;
	return fifo->item != NULL && (!with_lengths || fifo->length != NULL) ? 0 : -ENOMEM;
}

void
frontend_fifo_free(struct fifo *fifo)
{
	free(fifo->item);
	free(fifo->length);
}

void
frontend_fifo_put(struct fifo *fifo, uint16_t item, uint32_t length)
{
	uint16_t at = (uint16_t)((fifo->first + fifo->count++) % fifo->size);

	fifo->item[at] = item;
	if (fifo->length != NULL)
		fifo->length[at] = length;
}

uint16_t
frontend_fifo_take(struct fifo *fifo, uint32_t *length)
{
	uint16_t at = fifo->first;

	fifo->first = (uint16_t)((at + 1) % fifo->size);
	fifo->count--;
	if (length != NULL)
		*length = fifo->length[at];
	return fifo->item[at];
}

/* --- Making and unmaking --- */

static uint32_t
cell_bytes(const struct frontend *frontend, bool receives)
{
	uint32_t bytes = receives ? frontend->setup.receive_bytes : TRANSMIT_BYTES;

	return ROUND_UP(bytes + GAPS_BYTES, 64);
}

static const struct ring_format *
format_of(const struct frontend *frontend)
{
	return (frontend->features & FRONTEND_BIT(VIRTIO_F_RING_PACKED)) != 0 ? &frontend_packed : &frontend_split;
}

uint64_t
frontend_ring_bytes(const struct frontend *frontend)
{
	const struct ring_format *format = format_of(frontend);
	uint16_t size = frontend->setup.ring_size;
	uint64_t areas = ROUND_UP(format->descriptors_bytes(size), PAGE) + ROUND_UP(format->driver_bytes(size), PAGE) +
			 ROUND_UP(format->device_bytes(size), PAGE);

	return frontend->n_rings * (areas + (uint64_t)size * TABLE_BYTES) +
	       (uint64_t)frontend->n_rings / 2 * size * (cell_bytes(frontend, true) + cell_bytes(frontend, false));
}

static int
make_slots(struct frontend_ring *ring)
{
	ring->slots = calloc(ring->size, sizeof(*ring->slots));
	if (ring->slots == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < ring->size; i++) {
		struct slot *slot = &ring->slots[i];

		slot->cell = frontend_allocate(ring->frontend, ring->cell_bytes, 1, true);
		slot->table = frontend_allocate(ring->frontend, TABLE_BYTES, 16, true);
		slot->shadow = malloc(ring->cell_bytes);
		if (slot->cell == 0 || slot->table == 0 || slot->shadow == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
make_lists(struct frontend_ring *ring)
{
	uint16_t size = ring->size, step = 3;

	ring->by_order = calloc(size, sizeof(*ring->by_order));
	ring->by_head = calloc(size, sizeof(*ring->by_head));
	if (ring->by_order == NULL || ring->by_head == NULL ||
	    frontend_fifo_make(&ring->free_slots, size, false) != 0 ||
	    frontend_fifo_make(&ring->free_descriptors, size, false) != 0 ||
	    frontend_fifo_make(&ring->ready, size, true) != 0)
		return -ENOMEM;
	while (!is_coprime(step, size))
		step += 2;
	/* virtio 1.2, 2.7.9: with IN_ORDER a driver uses descriptors in ring order; else any order will do. */
	for (uint16_t i = 0; i < size; i++) {
		uint16_t item = ring->in_order ? i : (uint16_t)((size / 2 + (uint32_t)i * step) % size);

		frontend_fifo_put(&ring->free_slots, item, 0);
		frontend_fifo_put(&ring->free_descriptors, item, 0);
	}
	return 0;
}

static int
make_areas(struct frontend_ring *ring)
{
	struct frontend *frontend = ring->frontend;

	/* A page of its own for each, so that the log can tell which the device has written. */
	ring->device_bytes = ring->format->device_bytes(ring->size);
	ring->descriptors =
		frontend_allocate(frontend, ROUND_UP(ring->format->descriptors_bytes(ring->size), PAGE), PAGE, false);
	ring->driver = frontend_allocate(frontend, ROUND_UP(ring->format->driver_bytes(ring->size), PAGE), PAGE, false);
	ring->device = frontend_allocate(frontend, ROUND_UP(ring->device_bytes, PAGE), PAGE, false);
	return ring->descriptors != 0 && ring->driver != 0 && ring->device != 0 ? 0 : -ENOMEM;
}

int
frontend_ring_make(struct frontend *frontend, uint16_t index)
{
	struct frontend_ring *ring = &frontend->rings[index];
	int result;

	ring->frontend = frontend;
	ring->format = format_of(frontend);
	ring->index = index;
	ring->size = frontend->setup.ring_size;
	ring->receives = index % 2 == 0;
	ring->in_order = (frontend->features & FRONTEND_BIT(VIRTIO_F_IN_ORDER)) != 0;
	ring->event_idx = (frontend->features & FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX)) != 0;
	ring->cell_bytes = cell_bytes(frontend, ring->receives);
	ring->n_free = ring->size;
	ring->available_wrap = ring->used_wrap = true;
	ring->base = ring->format->first_base;
	ring->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ring->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ring->kick < 0 || ring->call < 0)
		return -errno;
	result = make_areas(ring);
	result = result != 0 ? result : make_lists(ring);
	return result != 0 ? result : make_slots(ring);
}

void
frontend_ring_free(struct frontend_ring *ring)
{
	if (ring->frontend == NULL)
		return;
	for (uint16_t i = 0; ring->slots != NULL && i < ring->size; i++)
		free(ring->slots[i].shadow);
	free(ring->slots);
	free(ring->by_order);
	free(ring->by_head);
	frontend_fifo_free(&ring->free_slots);
	frontend_fifo_free(&ring->free_descriptors);
	frontend_fifo_free(&ring->ready);
	close(ring->kick);
	close(ring->call);
}

/* --- Messages about a ring --- */

int
frontend_ring_tell_addresses(struct frontend_ring *ring)
{
	struct frontend *frontend = ring->frontend;
	bool translated = (frontend->features & FRONTEND_BIT(VIRTIO_F_ACCESS_PLATFORM)) != 0;
	/* What the device writes when it uses a buffer of a packed ring is the descriptors. */
	uint64_t used = ring->format == &frontend_packed ? ring->descriptors : ring->device;
	struct vhost_vring_addr address = { .index = ring->index,
					    .flags = frontend->logging ? 1u << VHOST_VRING_F_LOG : 0,
					    .log_guest_addr = used };
	uint64_t *told[] = { (uint64_t *)&address.desc_user_addr, (uint64_t *)&address.avail_user_addr,
			     (uint64_t *)&address.used_user_addr };
	const uint64_t guest[] = { ring->descriptors, ring->driver, ring->device };

	for (int i = 0; i < 3; i++)
		*told[i] = translated ? frontend_device_address(frontend, guest[i]) :
					frontend_user_address(frontend, guest[i]);
	return frontend_tell(frontend, SET_VRING_ADDR, &address, sizeof(address), NULL, 0);
}

static int
tell_state(struct frontend_ring *ring, uint32_t request, uint32_t value)
{
	const struct vhost_vring_state state = { .index = ring->index, .num = value };

	return frontend_tell(ring->frontend, request, &state, sizeof(state), NULL, 0);
}

static int
tell_eventfd(struct frontend_ring *ring, uint32_t request, int fd)
{
	const uint64_t index = ring->index;

	return frontend_tell(ring->frontend, request, &index, sizeof(index), &fd, 1);
}

int
frontend_ring_start(struct frontend_ring *ring)
{
	int result = tell_state(ring, SET_VRING_NUM, ring->size);

	result = result != 0 ? result : tell_state(ring, SET_VRING_BASE, ring->base);
	result = result != 0 ? result : frontend_ring_tell_addresses(ring);
	result = result != 0 ? result : tell_eventfd(ring, SET_VRING_KICK, ring->kick);
	return result != 0 ? result : tell_eventfd(ring, SET_VRING_CALL, ring->call);
}

int
frontend_ring_stop(struct frontend_ring *ring)
{
	const struct vhost_vring_state asked = { .index = ring->index };
	struct vhost_vring_state told;
	uint32_t expected;
	int result = frontend_ask(ring->frontend, GET_VRING_BASE, &asked, sizeof(asked), &told, sizeof(told), NULL);

	if (result < 0)
		return result;
	if (result != sizeof(told) || told.index != ring->index)
		return frontend_complain(ring->frontend, "ring %u: another ring's base is told", ring->index);
	result = frontend_ring_look(ring);
	if (result != 0)
		return result;
	expected = ring->format->base(ring);
	if ((told.num & 0xffff) != (expected & 0xffff) || (told.num >> 16 != 0 && told.num != expected))
		return frontend_complain(ring->frontend, "ring %u: the device stops at %#x, and has used up to %#x",
					 ring->index, told.num, expected);
	ring->base = told.num;
	return 0;
}

/* --- Buffers --- */

/* Cuts `data` bytes and a header into pieces, as the chain says. */
static void
cut(struct slot *slot, uint32_t header, uint32_t data, const struct frontend_chain *chain)
{
	uint32_t offset = 0, lead = header;

	slot->n_pieces = 0;
	slot->bytes = header + data;
	if (chain->header != FRONTEND_HEADER_TOGETHER) {
		uint32_t first = chain->header == FRONTEND_HEADER_APART ? header : header / 2;

		slot->pieces[slot->n_pieces++].length = first;
		lead -= first;
	}
	for (uint16_t i = 0; i < chain->pieces; i++) {
		uint32_t share = data / (uint32_t)(chain->pieces - i);

		slot->pieces[slot->n_pieces++].length = lead + share;
		data -= share;
		lead = 0;
	}
	for (uint16_t i = 0; i < slot->n_pieces; i++) {
		offset += GAP + i * 7 % 13;
		slot->pieces[i].offset = offset;
		offset += slot->pieces[i].length;
	}
}

/* Copies between bytes in a row and the pieces of a cell or its shadow. */
static void
scatter(const struct slot *slot, uint8_t *cell, uint32_t from, const uint8_t *bytes, uint32_t length)
{
	for (uint16_t i = 0; i < slot->n_pieces && length > 0; i++) {
		uint32_t room = slot->pieces[i].length, part;

		if (from >= room) {
			from -= room;
			continue;
		}
		part = length < room - from ? length : room - from;
		memcpy(cell + slot->pieces[i].offset + from, bytes, part);
		bytes += part;
		length -= part;
		from = 0;
	}
}

static void
gather(const struct slot *slot, const uint8_t *cell, uint32_t from, uint8_t *bytes, uint32_t length)
{
	for (uint16_t i = 0; i < slot->n_pieces && length > 0; i++) {
		uint32_t room = slot->pieces[i].length, part;

		if (from >= room) {
			from -= room;
			continue;
		}
		part = length < room - from ? length : room - from;
		memcpy(bytes, cell + slot->pieces[i].offset + from, part);
		bytes += part;
		length -= part;
		from = 0;
	}
}

void
frontend_ring_read(const struct frontend_ring *ring, uint16_t number, uint32_t from, void *bytes, uint32_t length)
{
	const struct slot *slot = &ring->slots[number];

	gather(slot, frontend_at(ring->frontend, slot->cell), from, bytes, length);
}

/* After memory was plugged, buffers move there one by one. */
static void
move_to_plugged(struct frontend_ring *ring, struct slot *slot)
{
	struct frontend *frontend = ring->frontend;

	if (frontend->plugged == 0 || slot->cell >= frontend->regions[frontend->n_regions - 1].guest)
		return;
	slot->cell = frontend->plugged;
	frontend->plugged += ring->cell_bytes;
}

/* A free slot, cut and filled with a pattern; -1 when there is no room. */
static int
prepare(struct frontend_ring *ring, uint32_t header, uint32_t data, const struct frontend_chain *chain)
{
	uint16_t pieces = (uint16_t)(chain->pieces + (chain->header != FRONTEND_HEADER_TOGETHER ? 1 : 0));
	uint16_t needed = chain->indirect ? 1 : pieces;
	uint16_t number;
	struct slot *slot;

	if (ring->free_slots.count == 0 || ring->n_free < needed)
		return -1;
	number = frontend_fifo_take(&ring->free_slots, NULL);
	slot = &ring->slots[number];
	move_to_plugged(ring, slot);
	cut(slot, header, data, chain);
	slot->indirect = chain->indirect;
	slot->n_descriptors = needed;
	memset(slot->shadow, 0x80 | ring->fill++, ring->cell_bytes);
	return number;
}

/* The rest of offering: what is in the shadow is put into the cell, and the device is told. */
static void
offer(struct frontend_ring *ring, uint16_t number, bool writable)
{
	struct slot *slot = &ring->slots[number];

	memcpy(frontend_at(ring->frontend, slot->cell), slot->shadow, ring->cell_bytes);
	slot->order = ring->offered++;
	slot->outstanding = true;
	ring->by_order[slot->order % ring->size] = number;
	ring->n_free -= slot->n_descriptors;
	ring->format->offer(ring, number, writable);
}

bool
frontend_ring_offer_tx(struct frontend_ring *ring, const void *frame, uint32_t length,
		       const struct frontend_chain *chain)
{
	static const uint8_t header[sizeof(struct virtio_net_hdr_mrg_rxbuf)];
	uint8_t header_bytes = ring->frontend->header_bytes;
	int number;

	if (header_bytes + length > TRANSMIT_BYTES)
		return false;
	number = prepare(ring, header_bytes, length, chain);
	if (number < 0)
		return false;
	scatter(&ring->slots[number], ring->slots[number].shadow, 0, header, header_bytes);
	scatter(&ring->slots[number], ring->slots[number].shadow, header_bytes, frame, length);
	offer(ring, (uint16_t)number, false);
	return true;
}

bool
frontend_ring_offer_rx(struct frontend_ring *ring, uint32_t bytes, const struct frontend_chain *chain)
{
	uint8_t header_bytes = ring->frontend->header_bytes;
	int number = prepare(ring, header_bytes, bytes - header_bytes, chain);

	if (number < 0)
		return false;
	offer(ring, (uint16_t)number, true);
	return true;
}

void
frontend_ring_fill(struct frontend_ring *ring)
{
	const struct frontend_setup *setup = &ring->frontend->setup;

	while (frontend_ring_offer_rx(ring, setup->receive_bytes, &setup->receive))
		;
}

/* --- What the device has used --- */

/* Tells the log's own account which bytes the device has written. */
static void
note_written(struct frontend_ring *ring, const struct slot *slot, uint32_t length)
{
	for (uint16_t i = 0; i < slot->n_pieces && length > 0; i++) {
		uint32_t part = length < slot->pieces[i].length ? length : slot->pieces[i].length;

		frontend_log_written(ring->frontend, slot->cell + slot->pieces[i].offset, part);
		length -= part;
	}
}

/* Compares what is in the buffer with what may be. */
static int
inspect(struct frontend_ring *ring, struct slot *slot, uint32_t length)
{
	const uint8_t *cell = frontend_at(ring->frontend, slot->cell);
	uint8_t written[FRONTEND_FRAME_MAX + DESCRIPTORS_MAX];

	if (length > slot->bytes || length > sizeof(written))
		return frontend_complain(ring->frontend, "ring %u: %u bytes were written into a buffer of %u",
					 ring->index, length, slot->bytes);
	gather(slot, cell, 0, written, length);
	scatter(slot, slot->shadow, 0, written, length);
	for (uint32_t i = 0; memcmp(cell, slot->shadow, ring->cell_bytes) != 0 && i < ring->cell_bytes; i++)
		if (cell[i] != slot->shadow[i])
			return frontend_complain(
				ring->frontend,
				"ring %u: byte %u of a cell is %#x, was %#x, with %u bytes used in %u pieces",
				ring->index, i, cell[i], slot->shadow[i], length, slot->n_pieces);
	if (slot->indirect &&
	    memcmp(frontend_at(ring->frontend, slot->table), slot->told, slot->n_pieces * sizeof(slot->told[0])) != 0)
		return frontend_complain(ring->frontend, "ring %u: an indirect table was changed", ring->index);
	return 0;
}

/* Takes a buffer out of the device's hands. */
static int
complete(struct frontend_ring *ring, uint16_t number, uint32_t length)
{
	struct slot *slot = &ring->slots[number];
	int result = inspect(ring, slot, length);

	note_written(ring, slot, length);
	slot->outstanding = false;
	ring->used++;
	ring->n_free += slot->n_descriptors;
	result = result != 0 ? result : ring->format->pass(ring, slot);
	frontend_fifo_put(&ring->ready, number, length);
	return result;
}

/*
 * virtio 1.2, 2.7.9: with IN_ORDER the device may tell only the last of several buffers; those before it are used then,
 * and completely.
 */
static int
complete_skipped(struct frontend_ring *ring, const struct slot *last)
{
	int result = 0;

	while (result == 0 && ring->used < last->order) {
		uint16_t number = ring->by_order[ring->used % ring->size];

		if (!ring->slots[number].outstanding)
			return frontend_complain(ring->frontend, "ring %u: buffers were used out of order",
						 ring->index);
		result = complete(ring, number, ring->receives ? ring->slots[number].bytes : 0);
	}
	return result;
}

int
frontend_ring_look(struct frontend_ring *ring)
{
	uint32_t length;
	uint16_t id;
	int result;

	while ((result = ring->format->peek(ring, &id, &length)) > 0) {
		int number = ring->format->find(ring, id);

		if (number < 0 || !ring->slots[number].outstanding)
			return frontend_complain(ring->frontend,
						 "ring %u: buffer id %u was used, and is not outstanding", ring->index,
						 id);
		if (!ring->receives && length != 0)
			return frontend_complain(ring->frontend,
						 "ring %u: %u bytes were written into a transmit buffer", ring->index,
						 length);
		result = ring->in_order ? complete_skipped(ring, &ring->slots[number]) : 0;
		result = result != 0 ? result : complete(ring, (uint16_t)number, length);
		if (result != 0)
			return result;
	}
	return result;
}

void
frontend_ring_release(struct frontend_ring *ring, uint16_t slot)
{
	frontend_fifo_put(&ring->free_slots, slot, 0);
}

int
frontend_ring_collect_used(struct frontend_ring *ring, struct frontend_used *used, uint32_t room)
{
	uint32_t n = 0;

	if (frontend_ring_look(ring) != 0)
		return -EPROTO;
	for (; n < room && ring->ready.count > 0; n++) {
		used[n].slot = frontend_fifo_take(&ring->ready, &used[n].length);
		frontend_ring_release(ring, used[n].slot);
	}
	return (int)n;
}

uint16_t
frontend_ring_outstanding(const struct frontend_ring *ring)
{
	return (uint16_t)(ring->offered - ring->used);
}

uint64_t
frontend_ring_used(const struct frontend_ring *ring)
{
	return ring->used;
}

void
frontend_ring_call_never(struct frontend_ring *ring)
{
	ring->format->call_never(ring);
}

void
frontend_ring_call_next(struct frontend_ring *ring)
{
	ring->format->call_after(ring, 0);
}

void
frontend_ring_call_after(struct frontend_ring *ring, uint16_t skipped)
{
	ring->format->call_after(ring, skipped);
}

uint64_t
frontend_ring_calls(struct frontend_ring *ring)
{
	eventfd_t calls = 0;

	return eventfd_read(ring->call, &calls) == 0 ? calls : 0;
}
