/* SPDX-License-Identifier: BSD-3-Clause */
/* Page tables and their cache find what the lookup in regions and IOTLB finds, whatever those look like. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/vhost_types.h>

#include <rte_common.h>

#include "testbed.h"
#include "vio/fault.h"
#include "vio/iotlb.h"
#include "vio/translation.h"

#define PAGE 4096ULL
#define SPAN (64 * PAGE) /* of guest addresses that are tried */
#define PIECES 64

static const struct pv_translation ways[] = {
	{ .way = PV_TRANSLATE_WALK },
	{ .way = PV_TRANSLATE_CACHE, .entries = 16 },
	{ .way = PV_TRANSLATE_CACHE, .entries = 4096 },
};

static uint8_t *arena; /* what regions are pieces of; never touched but by the guard */

static uint64_t
pick(uint64_t below)
{
	return ((uint64_t)rand() << 31 | (uint64_t)rand()) % below;
}

/* Any length that has a meaning somewhere: bytes, about a page, several. */
static uint64_t
pick_length(void)
{
	static const uint64_t scales[] = { 16, PAGE, PAGE + 2, 4 * PAGE };

	return pick(scales[pick(RTE_DIM(scales))]);
}

/* Regions that touch here and there, of odd sizes, at odd places of ours; rarely the whole pages that guests have. */
static void
make_regions(struct pv_memory *memory)
{
	bool tidy = pick(2) == 0;
	uint64_t guest = pick(4) * PAGE, unit = tidy ? PAGE : 1;

	memset(memory, 0, sizeof(*memory));
	while (memory->n_regions < PV_REGIONS_MAX && guest < SPAN) {
		uint64_t size = tidy ? (1 + pick(8)) * PAGE : 1 + pick(8 * PAGE);

		memory->regions[memory->n_regions++] = (struct pv_region){
			.guest = guest,
			.size = size,
			.host = arena + pick(SPAN / unit) * unit,
		};
		guest += size + (pick(2) == 0 ? 0 : pick(3 * PAGE / unit) * unit);
	}
	memory->n_direct = memory->n_regions;
}

static void
make_iotlb(struct pv_iotlb *iotlb)
{
	static const uint8_t rights[] = { VHOST_ACCESS_RO, VHOST_ACCESS_WO, VHOST_ACCESS_RW };

	pv_iotlb_clear(iotlb);
	for (unsigned int i = 0; i < 24; i++) {
		uint64_t unit = pick(3) == 0 ? 1 : PAGE;

		pv_iotlb_insert(iotlb, pick(SPAN / unit) * unit, unit * (1 + pick(unit == 1 ? 3 * PAGE : 3)),
				arena + pick(SPAN / unit) * unit, rights[pick(RTE_DIM(rights))]);
	}
}

/* Pieces that follow one another in our memory become one. */
static int
join(struct iovec *pieces, int n)
{
	int last = -1;

	for (int i = 0; i < n; i++) {
		if (last >= 0 && (char *)pieces[last].iov_base + pieces[last].iov_len == pieces[i].iov_base)
			pieces[last].iov_len += pieces[i].iov_len;
		else
			pieces[++last] = pieces[i];
	}
	return n <= 0 ? n : last + 1;
}

static void
compare(struct pv_translator *translator, const struct pv_memory *memory, uint64_t address, uint32_t length, bool write)
{
	struct iovec expected[PIECES], found[PIECES];
	uint64_t missing_expected = 0, missing_found = 0;
	int n = join(expected, pv_memory_map(memory, address, length, write, expected, PIECES, &missing_expected));
	int n_found = pv_translator_map(translator, address, length, write, found, PIECES, &missing_found);
	void *at = pv_translator_at(translator, address, length, write);

	assert_int_equal(n_found, n);
	assert_int_equal(missing_found, missing_expected);
	for (int i = 0; i < n; i++) {
		assert_ptr_equal(found[i].iov_base, expected[i].iov_base);
		assert_int_equal(found[i].iov_len, expected[i].iov_len);
	}
	assert_ptr_equal(at, n == 1 ? expected[0].iov_base : NULL);
}

static uint64_t
pick_address(void)
{
	switch (pick(16)) {
	case 0:
		return UINT64_MAX - pick(2 * PAGE); /* wraps */
	case 1:
		return (pick(SPAN) | 1ULL << 48); /* looks like another in four levels */
	default:
		return pick(SPAN);
	}
}

static void
compare_all_ways(const struct pv_memory *memory, unsigned int times)
{
	for (size_t i = 0; i < RTE_DIM(ways); i++) {
		struct pv_translation_counters counters = { 0 };
		struct pv_translator *translator = pv_translator_new(&ways[i], memory, &counters);

		assert_non_null(translator);
		for (unsigned int n = 0; n < times; n++)
			compare(translator, memory, pick_address(), (uint32_t)pick_length(), pick(2) == 0);
		assert_int_equal(counters.caught, 0);
		pv_translator_free(translator);
	}
}

static void
every_way_finds_the_same_in_any_regions(void **state)
{
	struct pv_memory memory;

	for (unsigned int i = 0; i < 200; i++) {
		make_regions(&memory);
		compare_all_ways(&memory, 200);
	}
}

static void
every_way_finds_the_same_in_any_iotlb(void **state)
{
	struct pv_iotlb *iotlb = calloc(1, sizeof(*iotlb));
	struct pv_memory memory = { .iotlb = iotlb };

	assert_non_null(iotlb);
	for (unsigned int i = 0; i < 200; i++) {
		make_iotlb(iotlb);
		compare_all_ways(&memory, 200);
	}
	free(iotlb);
}

static struct pv_memory
one_region(uint64_t guest, uint64_t size, void *host)
{
	return (struct pv_memory){
		.n_regions = 1,
		.n_direct = 1,
		.regions = { { .guest = guest, .size = size, .host = host } },
	};
}

static void
cache_counts_hits_and_misses(void **state)
{
	const struct pv_memory memory = one_region(0, SPAN, arena);
	struct pv_translation_counters counters = { 0 };
	struct pv_translator *translator = pv_translator_new(&ways[1], &memory, &counters);

	assert_non_null(pv_translator_at(translator, 0, 2 * PAGE, true)); /* two pages: two misses, each walked twice */
	assert_int_equal(counters.misses, 2);
	assert_int_equal(counters.filled, 2);
	assert_int_equal(counters.walks, 4);
	assert_non_null(pv_translator_at(translator, 5, 100, false));
	assert_int_equal(counters.hits, 1);
	assert_non_null(pv_translator_at(translator, 16 * PAGE, 1, false)); /* its place is that of page 0 */
	assert_non_null(pv_translator_at(translator, 0, 1, false));
	assert_int_equal(counters.misses, 4);
	assert_int_equal(counters.filled, 3); /* page 0 is in the tables still */
	assert_int_equal(counters.walks, 4 + 2 + 1);
	pv_translator_free(translator);
}

static void
walk_goes_through_the_tables_each_time(void **state)
{
	const struct pv_memory memory = one_region(7 * PAGE, SPAN, arena);
	struct pv_translation_counters counters = { 0 };
	struct pv_translator *translator = pv_translator_new(&ways[0], &memory, &counters);

	for (unsigned int i = 0; i < 10; i++)
		assert_ptr_equal(pv_translator_at(translator, 8 * PAGE + i, 10, false), arena + PAGE + i);
	assert_int_equal(counters.walks, 11);
	assert_int_equal(counters.filled, 1);
	pv_translator_free(translator);
}

/* Memory that a frontend has taken out of its file: no signal ends us, and the rest can still be used. */
static void
page_that_is_gone_is_a_fault_of_its_chain_alone(void **state)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	void *host;

	assert_int_equal(pv_fault_install(), 0); /* cmocka has its own handler of SIGBUS in each test */
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	host = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(host, MAP_FAILED);
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	for (size_t i = 0; i < RTE_DIM(ways); i++) {
		const struct pv_memory memory = one_region(0, 4 * PAGE, host);
		struct pv_translation_counters counters = { 0 };
		struct pv_translator *translator = pv_translator_new(&ways[i], &memory, &counters);
		struct iovec pieces[4];
		uint64_t missing;

		assert_int_equal(pv_translator_map(translator, PAGE, 2 * PAGE, false, pieces, 4, &missing), -EFAULT);
		assert_null(pv_translator_at(translator, 3 * PAGE, 1, false));
		assert_int_equal(counters.caught, 2);
		assert_ptr_equal(pv_translator_at(translator, 0, 2 * PAGE, false), host);
		pv_translator_free(translator);
	}
	munmap(host, 4 * PAGE);
	close(fd);
}

/* Bytes of ours that are in memory; statm may be wrong by so many pages for each CPU that there is. */
static uint64_t
resident(void)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long kilobytes;
	uint64_t sum = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Rss: %lu kB", &kilobytes) == 1)
			sum += kilobytes * 1024;
	fclose(file);
	return sum;
}

/* A region of a tebibyte: tables are forgotten when there are too many, and what is asked for is still found. */
static void
tables_stay_within_their_bounds(void **state)
{
	const uint64_t size = 1ULL << 40;
	void *host = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const struct pv_memory memory = one_region(0, size, host);
	struct pv_translation_counters counters = { 0 };
	struct pv_translator *translator = pv_translator_new(&ways[0], &memory, &counters);
	uint64_t before;

	assert_ptr_not_equal(host, MAP_FAILED);
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t address = i * (size / 20000);

		assert_ptr_equal(pv_translator_at(translator, address, 1, false), (char *)host + address);
	}
	assert_int_equal(counters.filled, 20000);
	before = resident();
	pv_translator_rest(translator);
	assert_true(resident() + (8u << 20) < before);
	assert_ptr_equal(pv_translator_at(translator, PAGE, 1, false), (char *)host + PAGE);
	pv_translator_free(translator);
	munmap(host, size);
}

/* Their pages follow one another here, too; but a write that is logged is logged region by region. */
static void
regions_that_touch_are_one_piece_unless_writes_are_logged(void **state)
{
	_Atomic uint8_t log[1] = { 0 };
	struct pv_memory memory = one_region(0, PAGE, arena);

	memory.regions[1] = (struct pv_region){ .guest = PAGE, .size = PAGE, .host = arena + PAGE };
	memory.n_regions = memory.n_direct = 2;
	for (size_t i = 0; i < RTE_DIM(ways); i++) {
		struct pv_translation_counters counters = { 0 };
		struct pv_translator *translator = pv_translator_new(&ways[i], &memory, &counters);
		struct iovec pieces[2];
		uint64_t missing;

		memory.log = NULL;
		assert_int_equal(pv_translator_map(translator, 1, 2 * PAGE - 1, true, pieces, 2, &missing), 1);
		assert_ptr_equal(pv_translator_at(translator, 1, 2 * PAGE - 1, true), arena + 1);
		memory.log = log;
		memory.log_size = sizeof(log);
		assert_int_equal(pv_translator_map(translator, 1, 2 * PAGE - 1, true, pieces, 2, &missing), 2);
		assert_int_equal(pieces[0].iov_len, PAGE - 1);
		assert_int_equal(pieces[1].iov_len, PAGE);
		assert_null(pv_translator_at(translator, 1, 2 * PAGE - 1, true));
		pv_translator_free(translator);
	}
}

/* Pages that are elsewhere after a flush, as after a new memory table. */
static void
flush_forgets_everything(void **state)
{
	struct pv_memory memory = one_region(0, SPAN, arena);

	for (size_t i = 0; i < RTE_DIM(ways); i++) {
		struct pv_translation_counters counters = { 0 };
		struct pv_translator *translator = pv_translator_new(&ways[i], &memory, &counters);

		memory.regions[0].host = arena;
		assert_ptr_equal(pv_translator_at(translator, PAGE, 8, true), arena + PAGE);
		memory.regions[0].host = arena + SPAN;
		pv_translator_flush(translator);
		assert_ptr_equal(pv_translator_at(translator, PAGE, 8, true), arena + SPAN + PAGE);
		pv_translator_free(translator);
	}
}

static void
region_needs_no_translator(void **state)
{
	const struct pv_translation plain = { .way = PV_TRANSLATE_REGION };
	struct pv_memory memory = { 0 };

	assert_null(pv_translator_new(&plain, &memory, NULL));
	pv_translator_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_finds_the_same_in_any_regions),
		cmocka_unit_test(every_way_finds_the_same_in_any_iotlb),
		cmocka_unit_test(cache_counts_hits_and_misses),
		cmocka_unit_test(walk_goes_through_the_tables_each_time),
		cmocka_unit_test(page_that_is_gone_is_a_fault_of_its_chain_alone),
		cmocka_unit_test(tables_stay_within_their_bounds),
		cmocka_unit_test(regions_that_touch_are_one_piece_unless_writes_are_logged),
		cmocka_unit_test(flush_forgets_everything),
		cmocka_unit_test(region_needs_no_translator),
	};

	testbed_start_eal();
	srand(1); /* the same in every run */
	arena = mmap(NULL, 3 * SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
