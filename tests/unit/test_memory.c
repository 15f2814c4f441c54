/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory and its IOTLB. No address is ever followed, so that regions can be anywhere. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/vhost_types.h>

#include <rte_common.h>

#include "vio/iotlb.h"
#include "vio/memory.h"

#define PAGE 4096u
#define RO VHOST_ACCESS_RO
#define WO VHOST_ACCESS_WO
#define RW VHOST_ACCESS_RW

/* Of the guest: A and B touch, C is apart, D is the end of all addresses. Here: all apart. */
#define A 0x10000u
#define B 0x20000u
#define C 0x40000u
#define D (UINT64_MAX - 0xffff)
#define SIZE 0x10000u

static uint8_t *
host(uint64_t number)
{
	return (uint8_t *)(uintptr_t)(0x100000000000 + number * 0x1000000);
}

static struct pv_memory
memory(void)
{
	return (struct pv_memory){
		.n_direct = 4,
		.n_regions = 4,
		.regions = { { .guest = B, .user = 0x7001000, .size = SIZE, .host = host(2) },
			     { .guest = A, .user = 0x9001000, .size = SIZE, .host = host(1) },
			     { .guest = D, .user = 0x5001000, .size = SIZE, .host = host(4) },
			     { .guest = C, .user = 0x3001000, .size = SIZE, .host = host(3) } },
	};
}

static void
bytes_of_ours_are_the_guests_when_one_region_has_them_all(void **state)
{
	struct pv_memory it = memory();

	it.n_direct = 0; /* behind an IOMMU, too */
	assert_true(pv_memory_has(&it, host(1), SIZE));
	assert_true(pv_memory_has(&it, host(3) + SIZE - 1, 1));
	assert_false(pv_memory_has(&it, host(1), SIZE + 1));
	assert_false(pv_memory_has(&it, host(3) + SIZE - 1, 2));
	assert_false(pv_memory_has(&it, host(2) - 1, 2));
	assert_false(pv_memory_has(&it, host(4) + 1, UINT64_MAX));
}

static void
a_buffer_in_one_region_has_one_address(void **state)
{
	struct pv_memory it = memory();

	assert_ptr_equal(pv_memory_at(&it, A, SIZE), host(1));
	assert_ptr_equal(pv_memory_at(&it, A + 5, 10), host(1) + 5);
	assert_ptr_equal(pv_memory_at(&it, B, 1), host(2));
	assert_ptr_equal(pv_memory_at(&it, C + SIZE - 1, 1), host(3) + SIZE - 1);
	assert_ptr_equal(pv_memory_at(&it, UINT64_MAX, 1), host(4) + SIZE - 1);
}

static void
a_buffer_that_is_not_all_in_one_region_has_none(void **state)
{
	static const struct {
		uint64_t address, length;
	} none[] = {
		{ 0, 1 },	   { A - 1, 1 },      { A - 1, 2 },
		{ A, SIZE + 1 },   { A + 1, SIZE },   { B - 1, 2 },
		{ B + SIZE, 0 },   { B + SIZE, 1 },   { C - 1, 1 },
		{ A, UINT32_MAX }, { A, UINT64_MAX }, { A + 1, UINT64_MAX },
		{ D - 1, 1 },	   { UINT64_MAX, 2 }, { UINT64_MAX, UINT64_MAX },
	};
	struct pv_memory it = memory();

	for (size_t i = 0; i < RTE_DIM(none); i++)
		assert_null(pv_memory_at(&it, none[i].address, none[i].length));
	it.n_direct = 0;
	assert_null(pv_memory_at(&it, A, 1));
}

static void
assert_pieces(const struct pv_memory *it, uint64_t address, uint32_t length, const struct iovec *expected, int n)
{
	struct iovec pieces[8];
	uint64_t missing = 0;

	assert_int_equal(pv_memory_map(it, address, length, false, pieces, RTE_DIM(pieces), &missing), n);
	for (int i = 0; i < n; i++) {
		assert_ptr_equal(pieces[i].iov_base, expected[i].iov_base);
		assert_int_equal(pieces[i].iov_len, expected[i].iov_len);
	}
}

static void
a_buffer_over_the_border_of_touching_regions_is_in_pieces(void **state)
{
	struct pv_memory it = memory();
	const struct iovec border[] = { { host(1) + SIZE - 1, 1 }, { host(2), 1 } };
	const struct iovec both[] = { { host(1), SIZE }, { host(2), SIZE } };
	const struct iovec end[] = { { host(4) + SIZE - 9, 9 } };

	assert_pieces(&it, B - 1, 2, border, 2);
	assert_pieces(&it, A, 2 * SIZE, both, 2);
	assert_pieces(&it, UINT64_MAX - 8, 9, end, 1);
	assert_pieces(&it, 0, 0, NULL, 0);
}

static void
a_buffer_that_is_partly_nowhere_has_no_pieces(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t length;
	} none[] = { { 0, 1 },		{ A - 1, 2 },	  { A, 2 * SIZE + 1 }, { B, UINT32_MAX }, { C + SIZE - 1, 2 },
		     { UINT64_MAX, 2 }, { D, UINT32_MAX } };
	struct pv_memory it = memory();
	struct iovec pieces[8];
	uint64_t missing;

	for (size_t i = 0; i < RTE_DIM(none); i++)
		assert_int_equal(pv_memory_map(&it, none[i].address, none[i].length, false, pieces, 8, &missing),
				 -EFAULT);
}

/* Address 0 may be memory: still nothing goes round the end of all addresses. */
static void
no_buffer_goes_on_at_address_zero(void **state)
{
	struct pv_memory it = memory();
	struct iovec pieces[8];
	uint64_t missing;

	it.regions[3].guest = 0;
	assert_int_equal(pv_memory_map(&it, UINT64_MAX, 1, false, pieces, 8, &missing), 1);
	assert_int_equal(pv_memory_map(&it, 0, 1, false, pieces, 8, &missing), 1);
	assert_int_equal(pv_memory_map(&it, UINT64_MAX, 2, false, pieces, 8, &missing), -EFAULT);
}

static void
more_pieces_than_there_is_room_for_are_refused(void **state)
{
	struct pv_memory it = memory();
	struct iovec pieces[2];
	uint64_t missing;

	assert_int_equal(pv_memory_map(&it, B - 1, 2, false, pieces, 2, &missing), 2);
	assert_int_equal(pv_memory_map(&it, B - 1, 2, false, pieces, 1, &missing), -EMSGSIZE);
	assert_int_equal(pv_memory_map(&it, B - 1, 1, false, pieces, 0, &missing), -EMSGSIZE);
	assert_int_equal(pv_memory_map(&it, B - 1, 0, false, pieces, 0, &missing), 0);
}

static void
the_frontends_own_addresses_are_found_in_one_region_only(void **state)
{
	struct pv_memory it = memory();

	assert_ptr_equal(pv_memory_at_user(&it, 0x9001000 + 7, SIZE - 7), host(1) + 7);
	assert_null(pv_memory_at_user(&it, 0x9001000 + 7, SIZE));
	assert_null(pv_memory_at_user(&it, 0x9000fff, 1));
	assert_null(pv_memory_at_user(&it, A, 1));
	assert_null(pv_memory_at_user(&it, 0x9001000, UINT64_MAX));
	it.n_direct = 0; /* also when the guest's addresses are translated */
	assert_ptr_equal(pv_memory_at_user(&it, 0x5001000, 1), host(4));
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static _Atomic uint8_t bits[64];

static struct pv_memory
logged(void)
{
	struct pv_memory it = memory();

	memset((void *)bits, 0, sizeof(bits));
	it.log = bits;
	it.log_size = sizeof(bits) - 8; /* what is behind must stay clear */
	return it;
}

static void
assert_only(uint32_t first, uint32_t n)
{
	for (uint32_t page = 0; page < 8 * sizeof(bits); page++)
		assert_int_equal((bits[page / 8] >> page % 8) & 1, page >= first && page < first + n);
}

static void
every_page_that_was_written_to_is_logged_and_no_other(void **state)
{
	static const struct {
		uint32_t offset, length, page, pages;
	} writes[] = {
		{ 0, 1, 0, 1 },		{ 0, PAGE, 0, 1 },	  { PAGE - 1, 1, 0, 1 },
		{ PAGE - 1, 2, 0, 2 },	{ PAGE, PAGE + 1, 1, 2 }, { 100, 3 * PAGE, 0, 4 },
		{ SIZE - 1, 1, 15, 1 }, { 0, SIZE, 0, 16 },	  { 7, 0, 0, 0 },
	};

	for (size_t i = 0; i < RTE_DIM(writes); i++) {
		struct pv_memory it = logged();

		pv_memory_written(&it, host(2) + writes[i].offset, writes[i].length);
		assert_only(B / PAGE + writes[i].page, writes[i].pages);
		it = logged();
		pv_memory_log_guest(&it, B + writes[i].offset, writes[i].length);
		assert_only(B / PAGE + writes[i].page, writes[i].pages);
	}
}

static void
pages_beyond_the_log_are_not_logged(void **state)
{
	struct pv_memory it = logged();

	pv_memory_written(&it, host(4), SIZE); /* D */
	pv_memory_log_guest(&it, (8 * sizeof(bits) - 64) * PAGE, SIZE);
	pv_memory_log_guest(&it, UINT64_MAX, 1);
	pv_memory_log_guest(&it, UINT64_MAX, UINT64_MAX);
	pv_memory_written(&it, host(9), 1);
	assert_only(0, 0);
	pv_memory_log_guest(&it, (8 * sizeof(bits) - 65) * PAGE, SIZE);
	assert_only(8 * sizeof(bits) - 65, 1);
}

static void
without_a_log_nothing_is_logged(void **state)
{
	struct pv_memory it = logged();

	it.log = NULL;
	pv_memory_written(&it, host(1), 1);
	pv_memory_log_host(&it, host(1), 1);
	pv_memory_log_guest(&it, A, 1);
	assert_only(0, 0);
}

/* --- the IOTLB ---------------------------------------------------------------------------------------------------- */

static struct pv_iotlb tlb;

/* What is found at an address: our address, or NULL; *length is cut. */
static void *
find(uint64_t address, uint64_t *length)
{
	void *found = NULL;
	int result = pv_iotlb_find(&tlb, address, length, false, &found);

	assert_int_equal(result, found == NULL ? -EAGAIN : 0);
	return found;
}

static void
assert_found(uint64_t address, const uint8_t *at, uint64_t length)
{
	uint64_t found = UINT64_MAX;

	assert_ptr_equal(find(address, &found), at);
	assert_int_equal(found, length);
}

static void
assert_unknown(uint64_t address)
{
	uint64_t length = 1;

	assert_null(find(address, &length));
}

static void
an_empty_iotlb_knows_nothing(void **state)
{
	pv_iotlb_clear(&tlb);
	assert_unknown(0);
	assert_unknown(UINT64_MAX);
	pv_iotlb_remove(&tlb, 0, UINT64_MAX);
	assert_int_equal(tlb.n, 0);
}

static void
a_range_is_found_by_each_of_its_addresses(void **state)
{
	uint64_t length = 10;

	pv_iotlb_clear(&tlb);
	pv_iotlb_insert(&tlb, 0x5000, 0x1000, host(1), RW);
	pv_iotlb_insert(&tlb, 0x3000, 0x1000, host(2), RW);
	pv_iotlb_insert(&tlb, 0x6000, 1, host(3), RW);
	assert_found(0x5000, host(1), 0x1000);
	assert_found(0x5fff, host(1) + 0xfff, 1);
	assert_found(0x3456, host(2) + 0x456, 0x1000 - 0x456);
	assert_found(0x6000, host(3), 1);
	assert_ptr_equal(find(0x5000, &length), host(1));
	assert_int_equal(length, 10);
	assert_unknown(0x2fff);
	assert_unknown(0x4000);
	assert_unknown(0x4fff);
	assert_unknown(0x6001);
}

static void
ranges_reach_the_ends_of_the_address_space(void **state)
{
	pv_iotlb_clear(&tlb);
	pv_iotlb_insert(&tlb, 0, 0x1000, host(1), RW);
	pv_iotlb_insert(&tlb, UINT64_MAX - 0xfff, 0x1000, host(2), RW);
	assert_found(0, host(1), 0x1000);
	assert_found(UINT64_MAX, host(2) + 0xfff, 1);
	pv_iotlb_remove(&tlb, UINT64_MAX, 1);
	assert_unknown(UINT64_MAX);
	pv_iotlb_insert(&tlb, UINT64_MAX, 1, host(2), RW);
	pv_iotlb_remove(&tlb, 0x1000, UINT64_MAX); /* over the end, which does not reach 0 */
	assert_int_equal(tlb.n, 1);
	pv_iotlb_insert(&tlb, 0, UINT64_MAX, host(3), RW);
	assert_found(0, host(3), UINT64_MAX);
	assert_found(UINT64_MAX - 1, host(3) + (UINT64_MAX - 1), 1);
	assert_int_equal(tlb.n, 1);
}

static void
a_range_takes_the_place_of_all_that_it_overlaps(void **state)
{
	static const struct {
		uint64_t first, size;
		uint32_t left; /* of three ranges of 0x1000 at 0x1000, 0x3000, 0x5000, and the new one */
	} news[] = {
		{ 0x1000, 0x1000, 3 }, { 0x1fff, 1, 3 },      { 0x1fff, 0x1001, 3 }, { 0x1fff, 0x1002, 2 },
		{ 0x2000, 0x1000, 4 }, { 0, 0x1000, 4 },      { 0, 0x1001, 3 },	     { 0, 0x10000, 1 },
		{ 0x3800, 0x10, 3 },   { 0x6000, 0x1000, 4 }, { 0x5fff, 2, 3 },	     { 0x2000, UINT64_MAX - 0x2000, 2 },
	};

	for (size_t i = 0; i < RTE_DIM(news); i++) {
		pv_iotlb_clear(&tlb);
		for (uint64_t first = 0x1000; first <= 0x5000; first += 0x2000)
			pv_iotlb_insert(&tlb, first, 0x1000, host(first), RW);
		pv_iotlb_insert(&tlb, news[i].first, news[i].size, host(1), RW);
		assert_int_equal(tlb.n, news[i].left);
		assert_found(news[i].first, host(1), news[i].size);
		for (uint32_t j = 1; j < tlb.n; j++)
			assert_true(tlb.ranges[j].first > tlb.ranges[j - 1].last);
	}
}

static void
removing_forgets_each_range_that_is_touched(void **state)
{
	static const struct {
		uint64_t first, size;
		uint32_t left;
	} gone[] = {
		{ 0x1000, 0, 3 },      { 0x1000, 1, 2 },	  { 0x1fff, 1, 2 },	     { 0x2000, 0x1000, 3 },
		{ 0x1fff, 0x1002, 1 }, { 0, UINT64_MAX, 0 },	  { 0x3000, UINT64_MAX, 1 }, { 0, 0, 3 },
		{ 0x6000, 5, 3 },      { 0x5fff, UINT64_MAX, 2 },
	};

	for (size_t i = 0; i < RTE_DIM(gone); i++) {
		pv_iotlb_clear(&tlb);
		for (uint64_t first = 0x1000; first <= 0x5000; first += 0x2000)
			pv_iotlb_insert(&tlb, first, 0x1000, host(first), RW);
		pv_iotlb_remove(&tlb, gone[i].first, gone[i].size);
		assert_int_equal(tlb.n, gone[i].left);
	}
}

static void
a_full_iotlb_forgets_all_and_takes_the_new_range(void **state)
{
	pv_iotlb_clear(&tlb);
	for (uint64_t i = 0; i < PV_IOTLB_MAX; i++)
		pv_iotlb_insert(&tlb, (PV_IOTLB_MAX - i) * 0x2000, 0x1000, host(i), RW);
	assert_int_equal(tlb.n, PV_IOTLB_MAX);
	assert_unknown((PV_IOTLB_MAX + 1) * 0x2000);
	for (uint64_t i = 0; i < PV_IOTLB_MAX; i++)
		assert_found((PV_IOTLB_MAX - i) * 0x2000, host(i), 0x1000);
	pv_iotlb_insert(&tlb, 0x2000, 0x1000, host(1), RW); /* instead of one: none is forgotten */
	assert_int_equal(tlb.n, PV_IOTLB_MAX);
	pv_iotlb_insert(&tlb, 0, 0x1000, host(7), RW);
	assert_int_equal(tlb.n, 1);
	assert_found(0, host(7), 0x1000);
}

static void
access_is_as_the_frontend_permits(void **state)
{
	static const struct {
		uint8_t access;
		int reading, writing;
	} cases[] = { { RO, 0, -EFAULT }, { WO, -EFAULT, 0 }, { RW, 0, 0 }, { 0, -EFAULT, -EFAULT } };

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		uint64_t length = 1;
		void *found;

		pv_iotlb_clear(&tlb);
		pv_iotlb_insert(&tlb, 0x1000, 0x1000, host(1), cases[i].access);
		assert_int_equal(pv_iotlb_find(&tlb, 0x1000, &length, false, &found), cases[i].reading);
		assert_int_equal(pv_iotlb_find(&tlb, 0x1000, &length, true, &found), cases[i].writing);
	}
}

static void
a_translated_buffer_is_in_a_piece_for_each_range(void **state)
{
	const struct iovec expected[] = { { host(5) + 0xffe, 2 }, { host(3), 0x1000 }, { host(4), 5 } };
	struct pv_memory it = memory();

	it.n_direct = 0;
	it.iotlb = &tlb;
	pv_iotlb_clear(&tlb);
	pv_iotlb_insert(&tlb, 0x1000, 0x1000, host(5), RW);
	pv_iotlb_insert(&tlb, 0x2000, 0x1000, host(3), RW);
	pv_iotlb_insert(&tlb, 0x3000, 0x1000, host(4), RO);
	assert_pieces(&it, 0x1ffe, 0x1007, expected, 3);
}

static void
a_translated_buffer_waits_for_the_first_address_that_is_missing(void **state)
{
	struct pv_memory it = memory();
	struct iovec pieces[8];
	uint64_t missing = 0;

	it.n_direct = 0;
	it.iotlb = &tlb;
	pv_iotlb_clear(&tlb);
	pv_iotlb_insert(&tlb, 0x1000, 0x1000, host(5), RW);
	pv_iotlb_insert(&tlb, 0x4000, 0x1000, host(4), RO);
	assert_int_equal(pv_memory_map(&it, 0x1800, 0x1000, false, pieces, 8, &missing), -EAGAIN);
	assert_int_equal(missing, 0x2000);
	assert_int_equal(pv_memory_map(&it, A, 1, false, pieces, 8, &missing), -EAGAIN);
	assert_int_equal(missing, A);
	assert_int_equal(pv_memory_map(&it, 0x4800, 1, true, pieces, 8, &missing), -EFAULT);
	assert_int_equal(pv_memory_map(&it, UINT64_MAX, 2, true, pieces, 8, &missing), -EAGAIN);
	pv_iotlb_insert(&tlb, UINT64_MAX, 1, host(2), RW);
	pv_iotlb_insert(&tlb, 0, 1, host(2), RW);
	assert_int_equal(pv_memory_map(&it, UINT64_MAX, 2, true, pieces, 8, &missing), -EFAULT);
}

/* Ranges of a small address space against an array with an entry for each address. */
static void
many_changes_leave_what_a_simple_model_has(void **state)
{
	static uint32_t model[256]; /* number of the range that the address is in, or 0 */
	uint32_t random = 1;

	pv_iotlb_clear(&tlb);
	memset(model, 0, sizeof(model));
	for (uint32_t step = 1; step < 20000; step++) {
		uint32_t first = (random = random * 1664525 + 1013904223) >> 24;
		uint32_t size = ((random = random * 1664525 + 1013904223) >> 26) + 1;

		size = RTE_MIN(size, 256 - first);
		for (uint32_t i = first; i < first + size; i++)
			for (uint32_t number = model[i], j = 0; number != 0 && j < 256; j++)
				if (model[j] == number)
					model[j] = 0;
		if (step % 3 == 0)
			pv_iotlb_remove(&tlb, first, size);
		else
			pv_iotlb_insert(&tlb, first, size, host(step), RW);
		for (uint32_t i = first; step % 3 != 0 && i < first + size; i++)
			model[i] = step;
		for (uint32_t i = 0; i < 256; i++) {
			uint64_t length = UINT64_MAX;

			assert_int_equal(find(i, &length) != NULL, model[i] != 0);
			assert_true(model[i] == 0 || model[i + length - 1] == model[i]);
		}
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_ours_are_the_guests_when_one_region_has_them_all),
		cmocka_unit_test(a_buffer_in_one_region_has_one_address),
		cmocka_unit_test(a_buffer_that_is_not_all_in_one_region_has_none),
		cmocka_unit_test(a_buffer_over_the_border_of_touching_regions_is_in_pieces),
		cmocka_unit_test(a_buffer_that_is_partly_nowhere_has_no_pieces),
		cmocka_unit_test(no_buffer_goes_on_at_address_zero),
		cmocka_unit_test(more_pieces_than_there_is_room_for_are_refused),
		cmocka_unit_test(the_frontends_own_addresses_are_found_in_one_region_only),
		cmocka_unit_test(every_page_that_was_written_to_is_logged_and_no_other),
		cmocka_unit_test(pages_beyond_the_log_are_not_logged),
		cmocka_unit_test(without_a_log_nothing_is_logged),
		cmocka_unit_test(an_empty_iotlb_knows_nothing),
		cmocka_unit_test(a_range_is_found_by_each_of_its_addresses),
		cmocka_unit_test(ranges_reach_the_ends_of_the_address_space),
		cmocka_unit_test(a_range_takes_the_place_of_all_that_it_overlaps),
		cmocka_unit_test(removing_forgets_each_range_that_is_touched),
		cmocka_unit_test(a_full_iotlb_forgets_all_and_takes_the_new_range),
		cmocka_unit_test(access_is_as_the_frontend_permits),
		cmocka_unit_test(a_translated_buffer_is_in_a_piece_for_each_range),
		cmocka_unit_test(a_translated_buffer_waits_for_the_first_address_that_is_missing),
		cmocka_unit_test(many_changes_leave_what_a_simple_model_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
