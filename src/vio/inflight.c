/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/inflight.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_atomic.h>
#include <rte_common.h>
#include <rte_malloc.h>

#include "vio/virtqueue.h"

#define VERSION 1
_Static_assert(sizeof(struct pv_inflight_packed) == 32, "as QEMU and DPDK lay it out");
_Static_assert(sizeof(struct pv_inflight_entry) == 32, "as QEMU and DPDK lay it out");
#define ALIGNMENT 64u /* of a ring's region, as QEMU and DPDK have it */

static uint32_t
region_size(uint16_t ring_size, bool packed)
{
	uint32_t split_size = (uint32_t)(sizeof(struct pv_inflight_split) +
					 ring_size * sizeof(((struct pv_inflight_split *)NULL)->chain[0]));
	uint32_t packed_size =
		(uint32_t)(sizeof(struct pv_inflight_packed) + ring_size * sizeof(struct pv_inflight_entry));

	return RTE_ALIGN_CEIL(packed ? packed_size : split_size, ALIGNMENT);
}

size_t
pv_inflight_size(uint16_t n_rings, uint16_t ring_size, bool packed)
{
	return (size_t)n_rings * region_size(ring_size, packed);
}

int
pv_inflight_create(size_t size)
{
	int fd = memfd_create("pktvirt-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) != 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static bool
file_has(int fd, uint64_t size, uint64_t offset)
{
	struct stat status;

	return fstat(fd, &status) == 0 && size <= (uint64_t)status.st_size && offset <= (uint64_t)status.st_size - size;
}

int
pv_inflight_map(struct pv_inflight *inflight, int fd, uint64_t size, uint64_t offset, uint16_t n_rings,
		uint16_t ring_size, bool packed)
{
	void *mapping;

	if (n_rings == 0 || ring_size == 0 || size < pv_inflight_size(n_rings, ring_size, packed) ||
	    !file_has(fd, size, offset))
		return -EINVAL;
	mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (mapping == MAP_FAILED)
		return -errno;
	pv_inflight_unmap(inflight);
	*inflight = (struct pv_inflight){
		.regions = mapping,
		.mapping = mapping,
		.mapping_size = size,
		.n_rings = n_rings,
		.region_size = region_size(ring_size, packed),
		.ring_size = ring_size,
	};
	return 0;
}

void
pv_inflight_unmap(struct pv_inflight *inflight)
{
	if (inflight->mapping != NULL)
		munmap(inflight->mapping, inflight->mapping_size);
	*inflight = (struct pv_inflight){ .regions = NULL };
}

void *
pv_inflight_region(const struct pv_inflight *inflight, uint16_t ring, uint16_t size)
{
	if (inflight->regions == NULL || ring >= inflight->n_rings || size > inflight->ring_size)
		return NULL;
	return inflight->regions + (size_t)ring * inflight->region_size;
}

/* --- split -------------------------------------------------------------------------------------------------------- */

/* Chains whose return was shown to the guest, while nobody could take the mark from them any more. */
static void
forget_last_batch(const struct pv_virtqueue *queue, struct pv_inflight_split *region, uint16_t used)
{
	uint16_t id = region->last_batch_head, n = (uint16_t)(used - region->used_index);

	for (; n > 0 && n <= queue->size && id < queue->size; n--) {
		region->chain[id].inflight = 0;
		id = region->chain[id].next;
	}
}

/* A chain that is in flight: a copy, as the region may change while they are sorted. */
struct taken {
	uint64_t counter;
	uint16_t id;
};

static int
compare_taken(const void *one, const void *other)
{
	const struct taken *a = one, *b = other;

	if (a->counter != b->counter)
		return a->counter < b->counter ? -1 : 1;
	return a->id - b->id;
}

/* Finds what is in flight, oldest first; `taken` has room for all. */
static void
find_inflight(struct pv_virtqueue *queue, const struct pv_inflight_split *region, struct taken *taken)
{
	uint16_t n = 0;

	for (uint16_t id = 0; id < queue->size; id++)
		if (region->chain[id].inflight == 1)
			taken[n++] = (struct taken){ .counter = region->chain[id].counter, .id = id };
	qsort(taken, n, sizeof(*taken), compare_taken);
	for (uint16_t i = 0; i < n; i++)
		queue->resubmit[i] = taken[i].id;
	queue->n_resubmit = n;
	if (n > 0)
		queue->taken = taken[n - 1].counter + 1;
}

static void
recover_split(struct pv_virtqueue *queue, struct pv_inflight_split *region, uint16_t used)
{
	struct taken *taken = rte_malloc("pv_taken", queue->size * sizeof(*taken), 0);

	queue->resubmit = rte_calloc("pv_resubmit", queue->size, sizeof(*queue->resubmit), 0);
	if (taken != NULL && queue->resubmit != NULL) {
		if (region->used_index != used)
			forget_last_batch(queue, region, used);
		find_inflight(queue, region, taken);
		queue->next_used = queue->published = used;
		queue->next_avail = (uint16_t)(used + queue->n_resubmit);
	}
	rte_free(taken);
}

static void
begin_split(struct pv_virtqueue *queue, struct pv_inflight_split *region, bool recover)
{
	uint16_t used = __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);

	if (recover && region->version == VERSION)
		recover_split(queue, region, used);
	else
		for (uint16_t i = 0; i < queue->size; i++)
			region->chain[i].inflight = 0;
	region->version = VERSION;
	region->size = queue->size;
	region->used_index = used;
	queue->inflight = region;
	queue->batch = 0;
}

uint16_t
pv_inflight_heads(const struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max)
{
	uint16_t n = RTE_MIN((uint16_t)(queue->n_resubmit - queue->resubmitted), max);

	for (uint16_t i = 0; i < n; i++)
		chains[i].id = queue->resubmit[queue->resubmitted + i];
	return n;
}

void
pv_inflight_take(struct pv_virtqueue *queue, const struct pv_available *chain)
{
	if (queue->resubmitted < queue->n_resubmit)
		queue->resubmitted++;
	else
		queue->next_avail++;
	queue->inflight->chain[chain->id].counter = queue->taken++;
	queue->inflight->chain[chain->id].inflight = 1;
}

void
pv_inflight_push(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	struct pv_inflight_split *region = queue->inflight;

	for (uint16_t i = 0; i < n; i++) {
		region->chain[used[i].id].next = queue->batch_head;
		queue->batch_head = used[i].id;
	}
	queue->batch += n;
	region->last_batch_head = queue->batch_head;
	atomic_thread_fence(memory_order_release);
}

void
pv_inflight_publish(struct pv_virtqueue *queue)
{
	struct pv_inflight_split *region = queue->inflight;
	uint16_t id = queue->batch_head;

	/* The links are in memory that is not ours alone: as many as there are, and none beyond the ring. */
	for (; queue->batch > 0 && id < queue->size; queue->batch--) {
		region->chain[id].inflight = 0;
		id = region->chain[id].next;
	}
	queue->batch = 0;
	atomic_thread_fence(memory_order_release);
	region->used_index = queue->next_used;
}

/* --- packed ------------------------------------------------------------------------------------------------------- */

/* The region's entries, behind its beginning. */
static struct pv_inflight_entry *
entries_of(struct pv_inflight_packed *region)
{
	return (struct pv_inflight_entry *)(region + 1);
}

/* Notes what will be given back. */
static void
intend(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	struct pv_inflight_packed *region = queue->journal;
	uint16_t place = queue->next_used;
	bool wrap = queue->used_wrap;

	for (uint16_t i = 0; i < n; i++) {
		entries_of(region)[i] = (struct pv_inflight_entry){ .slots = used[i].slots,
								    .id = used[i].id,
								    .length = used[i].length };
		pv_packed_advance(queue, &place, &wrap, used[i].slots);
	}
	region->used = place;
	region->used_wrap = wrap;
	__atomic_store_n(&region->noted, n, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_release);
}

/* It is: the note is not needed any more. */
static void
commit(struct pv_inflight_packed *region)
{
	atomic_thread_fence(memory_order_release);
	region->old_used = region->used;
	region->old_used_wrap = region->used_wrap;
	__atomic_store_n(&region->noted, 0, __ATOMIC_RELEASE);
}

void
pv_inflight_push_packed(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n)
{
	while (n > 0) {
		/* A guest that makes used descriptors available again before it is told could have more of them. */
		uint16_t together = RTE_MIN(n, queue->size);

		intend(queue, used, together);
		pv_packed_push_all(queue, used, together);
		commit(queue->journal);
		used += together;
		n -= together;
	}
}

/* What a backend before us was about to give back, and where it began with that. */
struct note {
	struct pv_used used[PV_INFLIGHT_ENTRIES];
	uint16_t n, place, slots;
	bool wrap;
};

/*
 * Copies what is noted. Where it began follows from the position behind it: `old_used` may have been changing. False
 * when it cannot be so: the frontend may write there.
 */
static bool
read_note(const struct pv_virtqueue *queue, struct pv_inflight_packed *region, const struct pv_inflight_packed *found,
	  struct note *note)
{
	note->n = found->noted;
	note->slots = 0;
	if (note->n > PV_INFLIGHT_ENTRIES || note->n > queue->size || found->used >= queue->size)
		return false;
	for (uint16_t i = 0; i < note->n; i++) {
		const volatile struct pv_inflight_entry *entry = &entries_of(region)[i];

		note->used[i] = (struct pv_used){ .id = entry->id, .slots = entry->slots, .length = entry->length };
		if (note->used[i].slots == 0 || note->used[i].slots > queue->size - note->slots)
			return false;
		note->slots += note->used[i].slots;
	}
	note->place = found->used;
	note->wrap = found->used_wrap != 0;
	if (note->place < note->slots) {
		note->place += queue->size;
		note->wrap = !note->wrap;
	}
	note->place -= note->slots;
	return true;
}

/* Whether the guest was shown what begins at a place: then it is marked as used, or available once more. */
static bool
was_published(const struct pv_virtqueue *queue, uint16_t place, bool wrap)
{
	return !pv_packed_is_available(pv_packed_rest(&queue->ring[place]).flags, wrap);
}

/* Gives back what is noted, unless the guest has it already. The queue is at the place of the first. */
static void
complete(struct pv_virtqueue *queue, const struct note *note)
{
	if (was_published(queue, note->place, note->wrap)) {
		pv_packed_advance(queue, &queue->next_used, &queue->used_wrap, note->slots);
		return;
	}
	pv_packed_push_all(queue, note->used, note->n);
}

static void
set_place(struct pv_virtqueue *queue, uint16_t place, bool wrap)
{
	queue->next_used = place;
	queue->used_wrap = wrap;
}

/* Without a note: another backend may have been killed between the two positions. */
static void
find_position(struct pv_virtqueue *queue, const struct pv_inflight_packed *found)
{
	bool old_wrap = found->old_used_wrap != 0;

	if (found->old_used >= queue->size)
		return;
	if (found->used < queue->size && was_published(queue, found->old_used, old_wrap))
		set_place(queue, found->used, found->used_wrap != 0);
	else
		set_place(queue, found->old_used, old_wrap);
}

static void
find_place(struct pv_virtqueue *queue, struct pv_inflight_packed *region, const struct pv_inflight_packed *found)
{
	struct note note;

	if (found->noted == 0) {
		find_position(queue, found);
	} else if (read_note(queue, region, found, &note)) {
		set_place(queue, note.place, note.wrap);
		complete(queue, &note);
	}
	queue->next_avail = queue->published = queue->next_used;
	queue->avail_wrap = queue->used_wrap;
}

static void
begin_packed(struct pv_virtqueue *queue, struct pv_inflight_packed *region, bool recover)
{
	struct pv_inflight_packed found;

	memcpy(&found, region, sizeof(found));
	rte_compiler_barrier(); /* the frontend may write there: what is used from here on is the copy */
	if (recover && found.version == VERSION && found.size == queue->size)
		find_place(queue, region, &found);
	region->version = VERSION;
	region->size = queue->size;
	region->used = queue->next_used;
	region->used_wrap = queue->used_wrap;
	commit(region);
	queue->journal = region;
}

void
pv_inflight_begin(struct pv_virtqueue *queue, void *region, bool recover)
{
	if (queue->packed)
		begin_packed(queue, region, recover);
	else
		begin_split(queue, region, recover);
}
