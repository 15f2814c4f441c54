/* SPDX-License-Identifier: BSD-3-Clause */
/* The region in which a device says which buffers it has in its hands ("Inflight I/O tracking"). */
#include "frontend_private.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define INFLIGHT_VERSION 1

/* The description of messages 31 and 32: as QEMU sends it, with four bytes of padding. */
struct inflight_description {
	uint64_t bytes, offset;
	uint16_t rings, ring_size;
};

/* A ring's part of the region, for split rings. */
struct inflight_split {
	uint64_t features;
	uint16_t version, descriptors, last_batch_head, used_index;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} descriptor[];
};

/* And for packed ones. */
struct inflight_packed {
	uint64_t features;
	uint16_t version, descriptors, free_head, old_free_head, used_index, old_used_index;
	uint8_t used_wrap, old_used_wrap, padding[7];
	struct {
		uint8_t inflight, padding;
		uint16_t next, last, count;
		uint64_t counter;
		uint16_t id, flags;
		uint32_t length;
		uint64_t address;
	} descriptor[];
};

_Static_assert(offsetof(struct inflight_packed, descriptor) == 32, "as QEMU and DPDK lay it out");

static void *
part_of(const struct frontend *frontend, const struct frontend_ring *ring)
{
	return frontend->inflight + frontend->inflight_bytes / frontend->n_rings * ring->index;
}

/* Fetches the region and maps it; `fd` becomes its file. */
static int
fetch(struct frontend *frontend, struct inflight_description *told, int *fd)
{
	const struct inflight_description asked = { .rings = frontend->n_rings,
						    .ring_size = frontend->setup.ring_size };
	int result = frontend_ask(frontend, GET_INFLIGHT_FD, &asked, sizeof(asked), told, sizeof(*told), fd);

	if (result < 0)
		return result;
	if (*fd < 0 || result < 20 || told->bytes == 0)
		return frontend_complain(frontend, "the device has no in-flight region");
	frontend->inflight_bytes = told->bytes;
	frontend->inflight = mmap(NULL, told->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, (off_t)told->offset);
	if (frontend->inflight == MAP_FAILED) {
		frontend->inflight = NULL;
		return -ENOMEM;
	}
	return 0;
}

int
frontend_share_inflight(struct frontend *frontend)
{
	struct inflight_description told;
	int fd = -1, result = fetch(frontend, &told, &fd);

	for (uint16_t i = 0; result == 0 && i < frontend->n_rings; i++)
		if (frontend->rings[i].fake_inflight > 0)
			frontend_write_inflight(&frontend->rings[i]);
	if (result == 0)
		result = frontend_tell(frontend, SET_INFLIGHT_FD, &told, sizeof(told), &fd, 1);
	if (fd >= 0)
		close(fd);
	return result;
}

int
frontend_inflight(struct frontend *frontend, const struct frontend_ring *ring)
{
	const struct inflight_split *split = part_of(frontend, ring);
	const struct inflight_packed *packed = part_of(frontend, ring);
	bool is_packed = ring->format == &frontend_packed;
	int inflight = 0;

	if ((is_packed ? packed->version : split->version) != INFLIGHT_VERSION)
		return frontend_complain(frontend, "the in-flight region has version %u", split->version);
	for (uint16_t i = 0; i < ring->size; i++)
		inflight += is_packed ? packed->descriptor[i].inflight : split->descriptor[i].inflight;
	if (!is_packed && split->used_index != (uint16_t)ring->used)
		return frontend_complain(frontend, "the in-flight region has used index %u, the ring %u",
					 split->used_index, (uint16_t)ring->used);
	return inflight;
}

bool
frontend_gone_used(uint16_t order, uint16_t fetched, unsigned int gone)
{
	return (gone & FRONTEND_GONE_OUT_OF_ORDER) != 0 ? order % 2 == 0 && order < fetched : order < fetched / 2;
}

int
frontend_fake_inflight(struct frontend *frontend, struct frontend_ring *ring, uint16_t fetched, unsigned int gone)
{
	int result;

	ring->fake_inflight = fetched;
	ring->fake_gone = gone;
	for (uint16_t i = 0; i < fetched; i++)
		if (frontend_gone_used(i, fetched, gone))
			frontend_split_use(ring, i);
	result = frontend_ring_look(ring);
	/* QEMU, which cannot ask a device that is gone, begins with what it had used. */
	ring->base = (uint16_t)ring->used;
	return result;
}

/* What the device that is gone had written there. */
void
frontend_write_inflight(struct frontend_ring *ring)
{
	struct inflight_split *split = part_of(ring->frontend, ring);
	bool torn = (ring->fake_gone & FRONTEND_GONE_TORN) != 0;

	split->version = INFLIGHT_VERSION;
	split->descriptors = ring->size;
	split->used_index = (uint16_t)(ring->used - (torn ? 1 : 0));
	for (uint16_t i = 0; i < ring->fake_inflight; i++) {
		uint16_t head = ring->slots[ring->by_order[i]].descriptors[0];
		bool used = frontend_gone_used(i, ring->fake_inflight, ring->fake_gone);

		split->descriptor[head].inflight = !used;
		split->descriptor[head].counter = i + 1u;
		if (used)
			split->last_batch_head = head;
	}
	split->descriptor[split->last_batch_head].inflight = torn;
}
