/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory as a port sees it: regions that the vhost-user frontend shared with us, and how an address that the
 * guest gives becomes one of ours. Every access to guest memory goes through here, and nothing that is not in a region
 * is ever touched.
 *
 * An address is guest-physical, or an I/O virtual one when VIRTIO_F_ACCESS_PLATFORM was negotiated; then the IOTLB
 * (iotlb.h) says where it is. A buffer may be in one piece here or, over the border of regions that touch and over
 * pages of the IOTLB, in several: the inline pv_memory_at() answers the first, common case, and pv_memory_map() all. In
 * a window (window.h) every address is somewhere, and every buffer in one piece.
 *
 * The message thread changes it only while no worker uses it (vio.h: pause and resume).
 */
#ifndef PV_VIO_MEMORY_H
#define PV_VIO_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <rte_branch_prediction.h>

#define PV_REGIONS_MAX 8

struct pv_iotlb;

struct pv_region {
	uint64_t guest; /* guest-physical address of its first byte */
	uint64_t user;	/* the same in the frontend's address space */
	uint64_t size;	/* in bytes */
	uint8_t *host;	/* the same in ours */
};

struct pv_memory {
	uint32_t n_direct; /* regions whose addresses the guest gives: all, or none with an IOTLB */
	uint32_t n_regions;
	uint8_t *window;      /* what the guest's address 0 is here when all of its memory lies in a window, or NULL; */
	uint64_t window_mask; /* and the bits of an address that count then */
	struct pv_region regions[PV_REGIONS_MAX];
	const struct pv_iotlb *iotlb; /* or NULL */
	_Atomic uint8_t *log; /* one bit per page of 4 KiB that we wrote to, while the guest is migrated, or NULL */
	uint64_t log_size;    /* bytes */
};

/* Where a guest's buffer is when it is in one piece, else NULL. A window's guard is longer than any buffer. */
static inline void *
pv_memory_at(const struct pv_memory *memory, uint64_t address, uint64_t length)
{
	/* In a part of bench/contexts alone: what is left when nothing keeps a guest in its memory. */
#ifdef PV_MEMORY_UNPROTECTED
	return memory->regions[0].host + (address - memory->regions[0].guest);
#endif
	if (memory->window != NULL)
		return memory->window + (address & memory->window_mask);
	for (uint32_t i = 0; i < memory->n_direct; i++) {
		const struct pv_region *region = &memory->regions[i];
		uint64_t offset = address - region->guest; /* wraps for an address below the region */

		if (likely(offset < region->size && length <= region->size - offset))
			return region->host + offset;
	}
	return NULL;
}

/*
 * Finds a guest's buffer piece by piece into `pieces` of `max`; a buffer of length 0 has none, and need not be
 * anywhere. `write` says that we are going to write to it. Returns the number of pieces; -EFAULT when part of it is in
 * no region, or the IOTLB forbids the access; -EAGAIN when the IOTLB does not know yet, with the address that it lacks
 * in *missing; -EMSGSIZE when there are more than `max`.
 */
int pv_memory_map(const struct pv_memory *memory, uint64_t address, uint32_t length, bool write, struct iovec *pieces,
		  unsigned int max, uint64_t *missing);

/* The first of those pieces, which may be all of the buffer. 0, -EFAULT or -EAGAIN. */
int pv_memory_find(const struct pv_memory *memory, uint64_t address, uint64_t length, bool write, struct iovec *piece);

/* Where a buffer that the frontend named by its own address is; NULL unless it is in one region. */
void *pv_memory_at_user(const struct pv_memory *memory, uint64_t user, uint64_t length);

/* Whether bytes at an address of ours are all in one region. */
bool pv_memory_has(const struct pv_memory *memory, const void *host, uint64_t length);

/* The guest-physical address of ours; UINT64_MAX when it is none of the guest's. */
uint64_t pv_memory_guest_address(const struct pv_memory *memory, const void *host);

/* Marks pages of guest memory as written to, given our address of them. Nothing without a log. */
void pv_memory_log_host(const struct pv_memory *memory, const void *host, uint64_t length);

/* The same, given the guest-physical address. */
void pv_memory_log_guest(const struct pv_memory *memory, uint64_t guest, uint64_t length);

static inline void
pv_memory_written(const struct pv_memory *memory, const void *host, uint64_t length)
{
	if (unlikely(memory->log != NULL))
		pv_memory_log_host(memory, host, length);
}

#endif
