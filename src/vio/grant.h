/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of a guest that are mapped for one packet: the way PV_CHANNEL_GRANT of the primitive "io-channel".
 *
 * The addresses of a packet's buffers are translated and checked as ever, to where they are in the mapping that stays
 * (memory.h). From there the file and the offset are known, and just those pages are mapped anew: one mmap() for each
 * piece, read-only for what the guest transmits, and one munmap() after the copy. Whoever copies is given the new
 * addresses, and does not use the old ones.
 *
 * The grants of a ring are its worker's. They are made when the ring is taken over and freed when it is given back, so
 * no file is used that the library may have closed (vio.h: pause and resume).
 *
 * A page that the guest has cut off its file is a fault in a mapping that nobody watches: while there are mappings the
 * worker's shield is up (fault.h), which makes it a page of zeroes and stops the port, as it does elsewhere.
 */
#ifndef PV_VIO_GRANT_H
#define PV_VIO_GRANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vio/memory.h"
#include "vio/virtqueue.h"

/* What a region of the guest's memory is mapped from. */
struct pv_grant_file {
	uint8_t *mapping; /* our address of the file's first byte, whether that is mapped or not */
	uint64_t size;	  /* bytes from there that are */
	uint64_t page;	  /* bytes: what mappings of the file are made of */
	int fd;		  /* not ours */
};

struct pv_grant_files {
	uint32_t n;
	struct pv_grant_file file[PV_REGIONS_MAX];
};

/* Counted by the ring's worker. */
struct pv_grant_counters {
	uint64_t maps;
	uint64_t pages;	   /* in those, of the size that the file has */
	uint64_t failures; /* packets that were dropped because the kernel refused */
	int error;	   /* what it said last, or 0 */
};

/* Adds a file that is mapped at `mapping` from its beginning on. */
void pv_grant_files_add(struct pv_grant_files *files, int fd, void *mapping, uint64_t size);

struct pv_grants;

/*
 * Grants for a ring that works with chains of up to `pieces` pieces, and frames over one and a further one at a time.
 * What the pointers lead to must outlive them; *faulted is set when a page is gone. NULL without memory.
 */
struct pv_grants *pv_grants_new(const struct pv_grant_files *files, const struct pv_memory *memory, uint32_t pieces,
				_Atomic uint32_t *faulted, struct pv_grant_counters *counters);
void pv_grants_free(struct pv_grants *grants);

/*
 * Maps the first `bytes` of pieces, or all that there are, to be read, or to be written to as a whole. *pieces then is
 * what was mapped: good until it is unmapped. False when the kernel refuses: nothing more than before is mapped.
 */
bool pv_grants_map(struct pv_grants *grants, struct pv_pieces *pieces, uint64_t bytes, bool write);

/* How many mappings there are now. */
uint32_t pv_grants_count(const struct pv_grants *grants);

/* Unmaps all but the first `keep` mappings, and marks what was written to in the log of dirty pages, if there is one.
 */
void pv_grants_unmap(struct pv_grants *grants, uint32_t keep);

#endif
