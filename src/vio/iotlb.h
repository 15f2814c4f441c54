/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOTLB of a device behind a virtual IOMMU (VIRTIO_F_ACCESS_PLATFORM): where ranges of I/O virtual addresses are,
 * as the frontend told us (vhost-user protocol, VHOST_USER_IOTLB_MSG). What is not here is asked for, and the ring
 * waits until the answer has come.
 *
 * Changed by the message thread while no worker reads it.
 */
#ifndef PV_VIO_IOTLB_H
#define PV_VIO_IOTLB_H

#include <stdbool.h>
#include <stdint.h>

#define PV_IOTLB_MAX 4096 /* ranges; when there are more, those of before are forgotten and asked for again */

struct pv_iotlb_range {
	uint64_t first, last; /* I/O virtual addresses, both included */
	uint8_t *host;
	uint8_t access; /* VHOST_ACCESS_RO, _WO or _RW */
};

struct pv_iotlb {
	uint32_t n;
	struct pv_iotlb_range ranges[PV_IOTLB_MAX]; /* in order of address, not overlapping */
};

/*
 * Finds the range that `address` is in: our address into *host, and *length cut to what lies in the range. 0; -EAGAIN
 * when there is none; -EFAULT when it may not be accessed so.
 */
int pv_iotlb_find(const struct pv_iotlb *iotlb, uint64_t address, uint64_t *length, bool write, void **host);

/* Adds a range of `size` bytes (not 0, and not over the end of the address space), instead of what was there. */
void pv_iotlb_insert(struct pv_iotlb *iotlb, uint64_t address, uint64_t size, uint8_t *host, uint8_t access);

/* Forgets all ranges that have an address in [address, address + size). */
void pv_iotlb_remove(struct pv_iotlb *iotlb, uint64_t address, uint64_t size);

void pv_iotlb_clear(struct pv_iotlb *iotlb);

#endif
