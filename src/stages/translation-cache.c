/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * translation-cache: the address of a guest's buffer is found in a cache of pages translated before.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.3,
 * "Address Translation Cache"; Menon, EPFL thesis 2009, section 4.2.1, has the same structure, of 4096 entries.
 *
 * page-walk, the baseline of UML: for each page of each buffer that a guest names, page tables of four levels are
 * walked in software, with sigsetjmp() as the way out of a fault, and the page is touched, so that memory which is not
 * there is noticed. (vio/translation.h)
 *
 * cache, the stage: page addresses are kept in a direct-mapped table of `entries`, one for each ring; only a miss
 * walks.
 *
 * region, the stage's other mode, and what runs where no baseline asks otherwise: the few regions of memory that a
 * frontend shares are compared one after the other, for a buffer as a whole. There is nothing to fill or to flush.
 *
 * Counted for each ring (pktvirt-ctl --json show ports): hits, misses, walks, pages filled in, lookups of pages that
 * cannot be in a table (odd), faults caught. Tables and cache are dropped with every change of memory or IOTLB.
 */
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/translation.h"

struct options {
	uint32_t mode;
	uint32_t entries;
};

enum mode { MODE_CACHE, MODE_REGION };
static const char *const mode_names[] = { "cache", "region", NULL };

static const struct pv_option options[] = {
	PV_OPTION_ENUM(struct options, mode, "mode", mode_names, MODE_CACHE,
		       "cache = pages translated before; region = the regions of memory, without tables"),
	PV_OPTION_UINT(struct options, entries, "entries", 16, 65536, 4096,
		       "pages in the cache of a ring; rounded up to a power of two"),
	PV_OPTION_END,
};

static struct pv_translation
choose_region(const void *given)
{
	return (struct pv_translation){ .way = PV_TRANSLATE_REGION };
}

static struct pv_translation
choose_walk(const void *given)
{
	return (struct pv_translation){ .way = PV_TRANSLATE_WALK };
}

static struct pv_translation
choose_cache(const void *given)
{
	const struct options *asked = given;

	return (struct pv_translation){ .way = PV_TRANSLATE_CACHE, .entries = rte_align32pow2(asked->entries) };
}

static const struct pv_implementation region = {
	.primitive = PV_PRIMITIVE_TRANSLATION,
	.name = "region",
	.summary = "a guest's address is looked up in the regions of memory that it shares",
	.plain = true,
	.ops = &(const struct pv_translation_ops){ .choose = choose_region },
};
PV_IMPLEMENTATION(region)

static const struct pv_implementation page_walk = {
	.primitive = PV_PRIMITIVE_TRANSLATION,
	.name = "page-walk",
	.summary = "page tables of four levels are walked for each page of a buffer, guarded by sigsetjmp()",
	.baselines = 1u << PV_BASELINE_UML,
	.ops = &(const struct pv_translation_ops){ .choose = choose_walk },
};
PV_IMPLEMENTATION(page_walk)

static const struct pv_implementation cache = {
	.primitive = PV_PRIMITIVE_TRANSLATION,
	.name = "cache",
	.summary = "a direct-mapped cache of page addresses; page tables are walked on a miss",
	.ops = &(const struct pv_translation_ops){ .choose = choose_cache },
};
PV_IMPLEMENTATION(cache)

static const char *
bind_mode(const void *given)
{
	return ((const struct options *)given)->mode == MODE_REGION ? region.name : cache.name;
}

static const struct pv_stage translation_cache = {
	.name = "translation-cache",
	.summary = "a cache of translated pages finds where a guest's buffers are, without a walk of page tables",
	.source = "Koh et al., LCN 2006, section 4.3 (address translation cache)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_TRANSLATION,
	.bind = bind_mode,
};
PV_STAGE(translation_cache)
