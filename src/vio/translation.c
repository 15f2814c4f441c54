/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/translation.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>
#include <rte_malloc.h>

#include "vio/fault.h"

#define PAGE_SHIFT 12
#define PAGE_BYTES (1ULL << PAGE_SHIFT)
#define LEVELS 4
#define LEVEL_BITS 9
#define ADDRESS_BITS (PAGE_SHIFT + LEVELS * LEVEL_BITS)
#define TABLE_ENTRIES (1u << LEVEL_BITS)
/* Of one ring: dense ones reach over 8 GiB. A guest that needs more begins anew, and pays for that itself. */
#define TABLES_MAX 4096

/* The last level: our address of the page, which need not be aligned, shifted by the two bits of what is allowed. */
#define MAY_READ 1u
#define MAY_WRITE 2u
#define RIGHT_BITS 2

struct table {
	uint64_t entries[TABLE_ENTRIES]; /* of the upper levels: number of a table, 0 for none */
};

struct cached {
	uint64_t page; /* its number plus 1; 0 for none */
	uint64_t entry;
};

struct pv_translator {
	const struct pv_memory *memory;
	struct pv_translation_counters *counters;
	struct table *tables; /* the first is the root */
	uint32_t n_tables;
	uint32_t mask; /* of the cache */
	struct cached *cache;
};

struct pv_translator *
pv_translator_new(const struct pv_translation *translation, const struct pv_memory *memory,
		  struct pv_translation_counters *counters)
{
	struct pv_translator *translator;

	if (translation->way == PV_TRANSLATE_REGION)
		return NULL;
	translator = rte_zmalloc("pv_translator", sizeof(*translator), RTE_CACHE_LINE_SIZE);
	if (translator == NULL)
		return NULL;
	translator->memory = memory;
	translator->counters = counters;
	translator->n_tables = 1;
	translator->tables = mmap(NULL, TABLES_MAX * sizeof(struct table), PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (translator->tables == MAP_FAILED)
		translator->tables = NULL;
	if (translation->way == PV_TRANSLATE_CACHE) {
		translator->mask = translation->entries - 1;
		translator->cache =
			rte_zmalloc("pv_cached", translation->entries * sizeof(struct cached), RTE_CACHE_LINE_SIZE);
	}
	if (translator->tables == NULL || (translation->way == PV_TRANSLATE_CACHE && translator->cache == NULL)) {
		pv_translator_free(translator);
		return NULL;
	}
	return translator;
}

void
pv_translator_free(struct pv_translator *translator)
{
	if (translator == NULL)
		return;
	if (translator->tables != NULL)
		munmap(translator->tables, TABLES_MAX * sizeof(struct table));
	rte_free(translator->cache);
	rte_free(translator);
}

/* --- page tables -------------------------------------------------------------------------------------------------- */

static inline unsigned int
index_of(uint64_t page, unsigned int level)
{
	return page >> (LEVELS - 1 - level) * LEVEL_BITS & (TABLE_ENTRIES - 1);
}

/* The entry of a page, 0 when there is none. */
static uint64_t
walk(const struct table *tables, uint64_t page)
{
	uint64_t entry = 0;

	for (unsigned int level = 0; level < LEVELS; level++) {
		entry = tables[entry].entries[index_of(page, level)];
		if (entry == 0)
			return 0;
	}
	return entry;
}

static inline uint8_t *
host_of(uint64_t entry)
{
	return (uint8_t *)(uintptr_t)(entry >> RIGHT_BITS);
}

/*
 * The same with a way out, and a touch of the page: as a User-mode Linux core copies to and from its processes, which
 * saves the mask of signals too (sigsetjmp with 1), for a jump out of a handler has to restore it. That is a system
 * call. Whether the page is there; not when it has an entry and no memory.
 */
static bool
walk_guarded(struct pv_translator *translator, uint64_t page, uint64_t *entry)
{
	sigjmp_buf out;

	translator->counters->walks++;
	if (sigsetjmp(out, 1) != 0) {
		translator->counters->caught++;
		return false;
	}
	pv_fault_catch(&out);
	*entry = walk(translator->tables, page);
	if (*entry != 0)
		(void)*(volatile const uint8_t *)host_of(*entry);
	pv_fault_catch(NULL);
	return true;
}

static uint32_t
new_table(struct pv_translator *translator)
{
	uint32_t number = translator->n_tables++;

	memset(&translator->tables[number], 0, sizeof(struct table));
	return number;
}

static void
forget_all(struct pv_translator *translator)
{
	memset(&translator->tables[0], 0, sizeof(struct table));
	translator->n_tables = 1;
}

static void
enter(struct pv_translator *translator, uint64_t page, uint64_t entry)
{
	struct table *table = &translator->tables[0];

	if (translator->n_tables + LEVELS > TABLES_MAX)
		forget_all(translator);
	for (unsigned int level = 0; level < LEVELS - 1; level++) {
		uint64_t *next = &table->entries[index_of(page, level)];

		if (*next == 0)
			*next = new_table(translator);
		table = &translator->tables[*next];
	}
	table->entries[index_of(page, LEVELS - 1)] = entry;
	translator->counters->filled++;
}

/* What the tables are made from: the page as a whole, and what may be done with it. 0 when it is no whole one. */
static uint64_t
find_page(const struct pv_translator *translator, uint64_t page)
{
	uint64_t rights = 0;
	struct iovec all = { .iov_base = NULL };

	for (uint64_t right = MAY_READ; right <= MAY_WRITE; right <<= 1) {
		struct iovec piece;
		uint64_t missing;

		if (pv_memory_map(translator->memory, page << PAGE_SHIFT, PAGE_BYTES, right == MAY_WRITE, &piece, 1,
				  &missing) != 1)
			continue;
		rights |= right;
		all = piece;
	}
	return rights == 0 ? 0 : (uint64_t)(uintptr_t)all.iov_base << RIGHT_BITS | rights;
}

void
pv_translator_flush(struct pv_translator *translator)
{
	forget_all(translator);
	if (translator->cache != NULL)
		memset(translator->cache, 0, (translator->mask + 1) * sizeof(*translator->cache));
}

void
pv_translator_rest(struct pv_translator *translator)
{
	pv_translator_flush(translator);
	madvise(translator->tables, TABLES_MAX * sizeof(struct table), MADV_DONTNEED); /* zeroes from now on */
}

/* --- lookup ------------------------------------------------------------------------------------------------------- */

/* The entry of a page into *entry, 0 when it can have none. False when the page faulted. */
static bool
find_in_tables(struct pv_translator *translator, uint64_t page, uint64_t *entry)
{
	if (!walk_guarded(translator, page, entry))
		return false;
	if (likely(*entry != 0))
		return true;
	*entry = find_page(translator, page);
	if (*entry == 0)
		return true;
	enter(translator, page, *entry);
	return walk_guarded(translator, page, entry);
}

static bool
find_entry(struct pv_translator *translator, uint64_t page, uint64_t *entry)
{
	struct cached *cached;

	*entry = 0;
	if (unlikely(page >> (ADDRESS_BITS - PAGE_SHIFT) != 0))
		return true; /* beyond what four levels reach */
	if (translator->cache == NULL)
		return find_in_tables(translator, page, entry);
	cached = &translator->cache[page & translator->mask];
	if (likely(cached->page == page + 1)) {
		translator->counters->hits++;
		*entry = cached->entry;
		return true;
	}
	translator->counters->misses++;
	if (!find_in_tables(translator, page, entry))
		return false;
	if (*entry != 0)
		*cached = (struct cached){ .page = page + 1, .entry = *entry };
	return true;
}

/*
 * Where an address is, and into *length how much of what follows, up to the end of its page. 0, or as pv_memory_map().
 */
static int
find_part(struct pv_translator *translator, uint64_t address, uint64_t *length, bool write, void **host)
{
	uint64_t offset = address & (PAGE_BYTES - 1), entry;
	struct iovec piece;
	int result;

	*length = RTE_MIN(*length, PAGE_BYTES - offset);
	if (!find_entry(translator, address >> PAGE_SHIFT, &entry))
		return -EFAULT;
	if (likely((entry & (write ? MAY_WRITE : MAY_READ)) != 0)) {
		*host = host_of(entry) + offset;
		return 0;
	}
	/* What is in no whole page, and what is forbidden: the latter is said as it is without tables. */
	translator->counters->odd++;
	result = pv_memory_find(translator->memory, address, *length, write, &piece);
	if (result != 0)
		return result;
	*host = piece.iov_base;
	*length = piece.iov_len;
	return 0;
}

/*
 * Whether a part goes on where the one before it ends, and both are one piece. While writes are logged that is not said
 * over the border of regions that touch here and for the guest: who logs a piece looks for the region that it is in.
 */
static inline bool
goes_on(const struct pv_memory *memory, const void *first, uint64_t length, const void *part, uint64_t part_length)
{
	return (const uint8_t *)first + length == part &&
	       (likely(memory->log == NULL) || pv_memory_has(memory, first, length + part_length));
}

void *
pv_translator_at(struct pv_translator *translator, uint64_t address, uint64_t length, bool write)
{
	uint64_t done = length;
	void *first, *host;

	if (unlikely(length == 0) || find_part(translator, address, &done, write, &first) != 0)
		return NULL;
	while (done < length) {
		uint64_t part = length - done;

		if (unlikely(address + done < address) ||
		    find_part(translator, address + done, &part, write, &host) != 0 ||
		    !goes_on(translator->memory, first, done, host, part))
			return NULL;
		done += part;
	}
	return first;
}

int
pv_translator_map(struct pv_translator *translator, uint64_t address, uint32_t length, bool write, struct iovec *pieces,
		  unsigned int max, uint64_t *missing)
{
	unsigned int n = 0;
	uint64_t left = length, part;

	for (; left > 0; left -= part) {
		struct iovec *last = n > 0 ? &pieces[n - 1] : NULL;
		void *host;
		int result;

		part = left;
		result = find_part(translator, address, &part, write, &host);
		if (result != 0) {
			*missing = address;
			return result;
		}
		if (last != NULL && goes_on(translator->memory, last->iov_base, last->iov_len, host, part)) {
			last->iov_len += part;
		} else {
			if (n == max)
				return -EMSGSIZE;
			pieces[n++] = (struct iovec){ .iov_base = host, .iov_len = part };
		}
		if (__builtin_add_overflow(address, part, &address) && left > part)
			return -EFAULT;
	}
	return (int)n;
}
