/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory in a window: the protection PV_PROTECT_WINDOW (protection.h), after Menon, thesis 2009, section
 * 5.3.3, where an IOMMU keeps a device within the memory of the guest that has given it an address.
 *
 *     PROT_NONE |<------------- a power of two -------------->| PROT_NONE
 *     ----------+-------+------------+-------+----------------+-----------------------
 *        page   |  hole |  region 0  |  hole |    region 1    |  guard: over 4 GiB
 *     ----------+-------+------------+-------+----------------+-----------------------
 *               ^ window + (address & mask) is in here, and window + (address & mask) + length at most there ^
 *
 * Each region of the guest is mapped once more, from the file that the frontend has shared, at the place that its
 * guest-physical address has in the window. So an address becomes one of ours by one mask and one addition
 * (memory.h: pv_memory_at), it cannot leave the window whatever it says, and no buffer reaches over the guard, which is
 * longer than a descriptor can say. Addresses beyond the window are others in it, as on a bus that has fewer lines.
 *
 * Whoever touches a hole or the guard gets SIGSEGV, which becomes zeroes, and the port is stopped (fault.h): as one is
 * whose guest names an address outside its memory without a window. A system call that does gets EFAULT, and the frame
 * is dropped by who made it.
 *
 * What is a window's and what is not: it is a way of looking up regions (translation.h: PV_TRANSLATE_REGION). Where
 * addresses are translated page by page, come from an IOTLB, or only say which pages to map for a packet (grant.h),
 * each is validated as ever. So it is where a window is not possible: memory that reaches beyond PV_WINDOW_MAX, regions
 * that are not made of whole pages of their file, such as a part of a huge page, or a kernel that gives no mapping.
 * Rings are reached through the window, too; the library goes on with the mappings that it has made, and so do the
 * others.
 *
 * Limits: the address space of 2^47 bytes has room for 128 windows of PV_WINDOW_MAX. Pages have entries in the
 * page tables twice.
 */
#ifndef PV_VIO_WINDOW_H
#define PV_VIO_WINDOW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "vio/grant.h"
#include "vio/memory.h"

#define PV_WINDOW_MAX (1ULL << 40)		      /* bytes that a guest's addresses may reach over */
#define PV_WINDOW_GUARD ((1ULL << 32) + (1ULL << 16)) /* behind a window: more than the length of any buffer */

/* All zeroes while it is closed. */
struct pv_window {
	uint8_t *mapping; /* of everything, guards included */
	size_t length;
	uint8_t *elsewhere[PV_REGIONS_MAX]; /* where the regions are without it */
};

/*
 * Has the guest's memory lie in a window, closed until then: its regions are in there from now on, and memory->window
 * is set. `files` are what the regions are mapped from, in the same order. *faulted is set as by pv_fault_watch(), and
 * must outlive the window. Not while the memory is used. NULL, or what is in the way; then nothing has changed.
 */
const char *pv_window_open(struct pv_window *window, struct pv_memory *memory, const struct pv_grant_files *files,
			   _Atomic uint32_t *faulted);

/* Ends that, and has the regions where they were. Not while the memory is used. Nothing when it is closed. */
void pv_window_close(struct pv_window *window, struct pv_memory *memory);

/* Where an address in the mappings that the regions have without the window is in it; the same address without one. */
void *pv_window_move(const struct pv_window *window, const struct pv_memory *memory, void *elsewhere);

#endif
