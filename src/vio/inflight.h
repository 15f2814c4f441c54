/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-flight tracking (vhost-user protocol, "Inflight I/O tracking"): memory that the frontend keeps for us, in which
 * each ring says which chains it has taken and not given back. A pktvirt that is started after one that was killed
 * finds its place in the rings there.
 *
 * The region of a split ring is kept as the protocol has it, for whatever other backend may come after us, and what a
 * backend before us left there is submitted again, in the order in which it was taken.
 *
 * Of a packed ring's region only the position is kept. Chains are given back in the order in which they were taken
 * (vio_receive.c), each to its own place, so what is in flight still stands in the ring behind that position: to begin
 * there is to submit it again. A backend that gives back out of order would have to be told more. Chains that are given
 * back together, as those of one frame have to be, overwrite each other's descriptors before the guest is shown the
 * first: what is to be written is noted in the region first, and written again by who comes after us when the guest has
 * not seen it. Whenever we are killed, either all of them are given back or none.
 */
#ifndef PV_VIO_INFLIGHT_H
#define PV_VIO_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A split ring's region ("QueueRegionSplit"). */
struct pv_inflight_split {
	uint64_t features;
	uint16_t version, size, last_batch_head, used_index;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} chain[];
};

/* The beginning of a packed ring's ("QueueRegionPacked"), */
struct pv_inflight_packed {
	uint64_t features;
	uint16_t version, size, free_head, old_free_head;
	uint16_t used, old_used; /* the position behind what is noted, and that of all that was given back before */
	uint8_t used_wrap, old_used_wrap;
	uint16_t noted; /* entries, while chains are given back; padding in the protocol */
	uint8_t padding[4];
};

/* and its entries ("DescStatePacked"): one for each chain that is being given back, none of them "inflight". */
struct pv_inflight_entry {
	uint8_t inflight, padding;
	uint16_t next, last;
	uint16_t slots; /* "num" */
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t length;
	uint64_t address;
};

#define PV_INFLIGHT_ENTRIES 320 /* of a burst, and of the longest frame behind it */

/* The regions of all rings of a port. */
struct pv_inflight {
	uint8_t *regions; /* or NULL: not tracked */
	void *mapping;
	size_t mapping_size;
	uint16_t n_rings;
	uint32_t region_size; /* bytes */
	uint16_t ring_size;   /* entries of the longest ring */
	uint64_t known;	      /* bit per ring: its region says no more than we do */
};

struct pv_virtqueue;
struct pv_available;
struct pv_used;

/* Bytes that the regions of so many rings of so many entries take. */
size_t pv_inflight_size(uint16_t n_rings, uint16_t ring_size, bool packed);

/* Memory for regions, empty: a descriptor, or -errno. */
int pv_inflight_create(size_t size);

/*
 * Maps regions that the frontend gives us: `size` bytes at `offset` of a file. 0; -EINVAL when they are smaller than
 * they must be, or the file is; -errno.
 */
int pv_inflight_map(struct pv_inflight *inflight, int fd, uint64_t size, uint64_t offset, uint16_t n_rings,
		    uint16_t ring_size, bool packed);
void pv_inflight_unmap(struct pv_inflight *inflight);

/* The region of a ring of `size` entries, or NULL. */
void *pv_inflight_region(const struct pv_inflight *inflight, uint16_t ring, uint16_t size);

/*
 * Begins to track a ring, before it is used; when asked to recover, at the place that its region says, if there ever
 * was one.
 */
void pv_inflight_begin(struct pv_virtqueue *queue, void *region, bool recover);

/*
 * What virtqueue.h calls for a tracked split ring: which chains are to be submitted again, before those that are
 * available; one was taken; some are being pushed; they were published.
 */
uint16_t pv_inflight_heads(const struct pv_virtqueue *queue, struct pv_available *chains, uint16_t max);
void pv_inflight_take(struct pv_virtqueue *queue, const struct pv_available *chain);
void pv_inflight_push(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n);
void pv_inflight_publish(struct pv_virtqueue *queue);

/* And for a packed one: gives back up to PV_INFLIGHT_ENTRIES chains, all at once, with pv_packed_push_all(). */
void pv_inflight_push_packed(struct pv_virtqueue *queue, const struct pv_used *used, uint16_t n);

#endif
