/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "translation": how an address that a guest gives becomes one of ours.
 *
 * PV_TRANSLATE_REGION looks through the few regions that the frontend has shared (memory.h), or through the IOTLB. The
 * other two are what a kernel without hardware does, a User-mode Linux core for one (Koh et al., LCN 2006, section
 * 4.3): page tables of four levels and 4 KiB pages, filled when a page is first missed, and walked for each page of
 * each buffer with a way out of a fault (PV_TRANSLATE_WALK); or that behind a direct-mapped cache of page addresses
 * (PV_TRANSLATE_CACHE), so that it is walked on a miss only.
 *
 * A translator belongs to one ring, and so to one worker. It is flushed when the ring is taken over: whatever changes
 * memory or the IOTLB has rings given back first (vio.h), which is how nothing stale stays.
 *
 * All three ways find the same bytes, or the same error. A page that does not lie in one region, or one range of the
 * IOTLB, as a whole is never in a table: what is in it is looked up as PV_TRANSLATE_REGION does.
 */
#ifndef PV_VIO_TRANSLATION_H
#define PV_VIO_TRANSLATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vio/memory.h"

#define PV_PRIMITIVE_TRANSLATION "translation"

enum pv_translation_way { PV_TRANSLATE_REGION, PV_TRANSLATE_WALK, PV_TRANSLATE_CACHE };

struct pv_translation {
	enum pv_translation_way way;
	uint32_t entries; /* of the cache: a power of two */
};

/* The function table of the primitive: what the options of the stage that bound it, or NULL, ask for. */
struct pv_translation_ops {
	struct pv_translation (*choose)(const void *options);
};

/* Counted by the ring's worker. */
struct pv_translation_counters {
	uint64_t hits, misses; /* of the cache */
	uint64_t walks;	       /* of the page tables */
	uint64_t filled;       /* pages that were entered after a miss */
	uint64_t odd;	       /* lookups in pages that cannot be in a table */
	uint64_t caught;       /* faults: pages that are not in the guest's file */
};

struct pv_translator;

/*
 * A translator for a ring with that memory, both of which must outlive it, as `counters` must. NULL without memory for
 * it, and for PV_TRANSLATE_REGION, which needs none.
 */
struct pv_translator *pv_translator_new(const struct pv_translation *translation, const struct pv_memory *memory,
					struct pv_translation_counters *counters);
void pv_translator_free(struct pv_translator *translator);

/* Forgets all that was translated: the memory is another one, or the IOTLB. */
void pv_translator_flush(struct pv_translator *translator);
/* The same, and gives the memory of the tables back: they are not used for a while. */
void pv_translator_rest(struct pv_translator *translator);

/* As pv_memory_at(), behind an IOMMU too; NULL as well where `write` says what the IOTLB forbids. */
void *pv_translator_at(struct pv_translator *translator, uint64_t address, uint64_t length, bool write);

/* As pv_memory_map(); pieces that follow one another here are one. */
int pv_translator_map(struct pv_translator *translator, uint64_t address, uint32_t length, bool write,
		      struct iovec *pieces, unsigned int max, uint64_t *missing);

#endif
