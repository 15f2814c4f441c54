/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <linux/virtio_config.h>

#include "driver.h"
#include "testbed.h"
#include "vio/virtqueue.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define TABLES (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENTS (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define AT(n) (DRIVER_BUFFERS + (n)*0x1000u)
#define CHAIN_MAX 256 /* as in virtqueue.c */

typedef uint16_t __attribute__((may_alias)) ring_index;

/* Both halves of a queue. */
struct pair {
	struct driver *driver;
	struct pv_virtqueue queue;
	struct pv_available chain; /* of the last gather */
	struct pv_pieces readable, writable;
};

static struct pair
pair(bool packed, uint16_t size, uint64_t features)
{
	struct pair pair = { .driver = driver_new(packed, size) };
	struct pv_virtqueue_setup setup = driver_setup(pair.driver, features);

	assert_int_equal(pv_virtqueue_init(&pair.queue, &setup, &pair.driver->memory), 0);
	return pair;
}

static void
end(struct pair *pair)
{
	pv_virtqueue_fini(&pair->queue);
	driver_free(pair->driver);
}

static uint16_t
peek(struct pair *pair, struct pv_available *chains, uint16_t max)
{
	return pv_virtqueue_peek(&pair->queue, chains, max, pair->driver->packed);
}

/* Finds the buffers of the next chain, which must be there, and goes on behind it unless the queue has stopped. */
static int
gather(struct pair *pair)
{
	int result;

	assert_int_equal(peek(pair, &pair->chain, 1), 1);
	result = pv_virtqueue_gather(&pair->queue, &pair->chain, &pair->readable, &pair->writable);
	assert_int_equal(result == -EPROTO, pair->queue.stopped != NULL);
	if (result != -EPROTO)
		pv_virtqueue_take(&pair->queue, &pair->chain, pair->driver->packed);
	return result;
}

static void
give(struct pair *pair, const struct pv_available *chain, uint32_t length)
{
	const struct pv_used used = { chain->id, chain->slots, length };

	pv_virtqueue_push(&pair->queue, &used, 1, pair->driver->packed);
	pv_virtqueue_publish(&pair->queue, pair->driver->packed);
}

static void
assert_piece(const struct pair *pair, const struct pv_pieces *pieces, uint32_t i, uint64_t address, size_t length)
{
	assert_in_range(i, 0, pieces->n - 1);
	assert_ptr_equal(pieces->piece[i].iov_base, driver_at(pair->driver, address));
	assert_int_equal(pieces->piece[i].iov_len, length);
}

/* What becomes of one chain that is offered so, in a ring of 8. */
static int
fate(bool packed, uint64_t features, const struct driver_buffer *buffers, uint16_t n)
{
	struct pair pair_ = pair(packed, 8, features);
	int result;

	driver_offer(pair_.driver, buffers, n);
	result = gather(&pair_);
	end(&pair_);
	return result;
}

/* The same of an indirect table whose descriptor says that it has `length` bytes. */
static int
fate_of_table(bool packed, const struct driver_buffer *buffers, uint16_t n, uint32_t length)
{
	struct pair pair_ = pair(packed, 8, TABLES);
	uint64_t table = driver_make_table(pair_.driver, buffers, n);
	int result;

	driver_offer_one(pair_.driver, table, length, INDIRECT);
	result = gather(&pair_);
	end(&pair_);
	return result;
}

/* --- lengths and page tables -------------------------------------------------------------------------------------- */

#define HUGE 0x100000000000u /* guest-physical, of 8 GiB behind which there is nothing */
#define HUGE_SIZE (8ULL << 30)
#define OF_USE 70000u /* bytes of a chain, in 18 pages or 19 */

/* A pair whose chains are translated page by page. */
struct translated {
	struct pair pair;
	struct pv_translation_counters counters;
	struct pv_translator *translator;
};

static void
translate(struct translated *it, enum pv_translation_way way)
{
	const struct pv_translation translation = { .way = way, .entries = 16 };
	struct pv_memory *memory = &it->pair.driver->memory;
	void *huge = mmap(NULL, HUGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(huge, MAP_FAILED);
	memory->regions[memory->n_regions++] =
		(struct pv_region){ .guest = HUGE, .size = HUGE_SIZE, .host = (uint8_t *)huge };
	memory->n_direct = memory->n_regions;
	it->translator = pv_translator_new(&translation, memory, &it->counters);
	assert_non_null(it->translator);
	it->pair.queue.translator = it->translator;
	it->pair.queue.longest = OF_USE;
}

static void
end_translated(struct translated *it)
{
	struct pv_memory *memory = &it->pair.driver->memory;

	pv_translator_free(it->translator);
	munmap(memory->regions[--memory->n_regions].host, HUGE_SIZE);
	end(&it->pair);
}

/* Gathers one chain; the pages that were gone through are counted, each at most twice: without an entry, and with it.
 */
static uint64_t
pages_of(const struct driver_buffer *buffers, uint16_t n, bool packed, enum pv_translation_way way, int expected,
	 uint64_t bytes)
{
	struct translated it = { .pair = pair(packed, 256, 0) };
	struct pv_pieces *pieces = (buffers[0].flags & WRITE) != 0 ? &it.pair.writable : &it.pair.readable;
	uint64_t walks, found = 0;

	it.pair.queue.memory = &it.pair.driver->memory;
	translate(&it, way);
	driver_offer(it.pair.driver, buffers, n);
	assert_int_equal(gather(&it.pair), expected);
	if (n == 1 && buffers[0].length > OF_USE)
		assert_null(pv_virtqueue_at(&it.pair.queue, buffers[0].address, buffers[0].length,
					    (buffers[0].flags & WRITE) != 0));
	for (uint32_t i = 0; expected == 0 && i < pieces->n; i++)
		found += pieces->piece[i].iov_len;
	assert_int_equal(found, bytes);
	if (expected == 0)
		assert_int_equal(pieces->bytes, bytes);
	walks = it.counters.walks;
	end_translated(&it);
	return walks;
}

static void
the_length_of_a_buffer_does_not_say_how_many_pages_are_gone_through(void **state)
{
	static const struct driver_buffer read = { HUGE, UINT32_MAX, 0 }, written = { HUGE + 1, UINT32_MAX, WRITE },
					  beyond = { HUGE + HUGE_SIZE - OF_USE, OF_USE + 1, 0 },
					  written_beyond = { HUGE + HUGE_SIZE - OF_USE, OF_USE + 1, WRITE };
	struct driver_buffer many[200], many_written[200];

	for (uint32_t i = 0; i < RTE_DIM(many); i++) {
		many[i] = (struct driver_buffer){ HUGE + i * 0x1000000ULL, UINT32_MAX, 0 };
		many_written[i] = (struct driver_buffer){ HUGE + i * 0x1000000ULL, UINT32_MAX, WRITE };
	}
	for (int i = 0; i < 4; i++) {
		bool packed = i % 2;
		enum pv_translation_way way = i < 2 ? PV_TRANSLATE_WALK : PV_TRANSLATE_CACHE;

		assert_int_equal(pages_of(&read, 1, packed, way, 0, UINT32_MAX), 0);
		assert_int_equal(pages_of(many, 200, packed, way, 0, 200ULL * UINT32_MAX), 0);
		assert_in_range(pages_of(&written, 1, packed, way, 0, UINT32_MAX), 18, 2 * 19);
		assert_in_range(pages_of(many_written, 200, packed, way, 0, 200ULL * UINT32_MAX), 18, 2 * 19);
		assert_int_equal(pages_of(&beyond, 1, packed, way, -EPROTO, 0), 0);
		assert_in_range(pages_of(&written_beyond, 1, packed, way, -EPROTO, 0), 18, 2 * 19);
	}
}

/* --- chains that are right --------------------------------------------------------------------------------------- */

static void
nothing_is_available_in_a_new_ring(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, 0);
		struct pv_available chains[8];

		assert_int_equal(peek(&it, chains, 8), 0);
		assert_false(pv_virtqueue_has_work(&it.queue));
		assert_null(it.queue.stopped);
		end(&it);
	}
}

static void
a_chain_is_seen_until_it_is_taken(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, 0);
		struct pv_available chains[8];
		uint16_t id = driver_offer_one(it.driver, AT(0), 77, WRITE);

		for (int i = 0; i < 2; i++) {
			assert_true(pv_virtqueue_has_work(&it.queue));
			assert_int_equal(peek(&it, chains, 8), 1);
		}
		assert_int_equal(chains[0].address, AT(0));
		assert_int_equal(chains[0].length, 77);
		assert_int_equal(chains[0].id, id);
		assert_true(pv_available_is_plain(&chains[0], true));
		assert_false(pv_available_is_plain(&chains[0], false));
		pv_virtqueue_take(&it.queue, chains, packed);
		assert_int_equal(peek(&it, chains, 8), 0);
		end(&it);
	}
}

static void
the_buffers_of_a_chain_are_found_in_their_order(void **state)
{
	static const struct driver_buffer buffers[] = {
		{ AT(0), 10, 0 }, { AT(1), 2000, 0 }, { AT(2), 1, WRITE }, { AT(3), 4096, WRITE }
	};

	for (int i = 0; i < 4; i++) {
		bool packed = i % 2, table = i / 2;
		struct pair it = pair(packed, 8, TABLES);

		if (table)
			driver_offer_table(it.driver, buffers, 4);
		else
			driver_offer(it.driver, buffers, 4);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(it.readable.n, 2);
		assert_int_equal(it.readable.bytes, 2010);
		assert_int_equal(it.writable.n, 2);
		assert_int_equal(it.writable.bytes, 4097);
		assert_piece(&it, &it.readable, 0, AT(0), 10);
		assert_piece(&it, &it.readable, 1, AT(1), 2000);
		assert_piece(&it, &it.writable, 0, AT(2), 1);
		assert_piece(&it, &it.writable, 1, AT(3), 4096);
		end(&it);
	}
}

static void
a_chain_may_be_as_long_as_the_ring(void **state)
{
	struct driver_buffer buffers[8];

	for (uint16_t i = 0; i < 8; i++)
		buffers[i] = (struct driver_buffer){ AT(i), 100, 0 };
	for (int packed = 0; packed < 2; packed++) {
		assert_int_equal(fate(packed, 0, buffers, 8), 0);
		assert_int_equal(fate_of_table(packed, buffers, 8, 8 * 16), 0);
	}
}

/* virtio 1.2, 2.7.5.3.2. */
static void
descriptors_may_stand_before_an_indirect_one_in_a_split_ring(void **state)
{
	static const struct driver_buffer in_table[] = { { AT(1), 20, 0 }, { AT(2), 30, WRITE } };
	struct pair it = pair(false, 8, TABLES);
	const struct driver_buffer buffers[] = { { AT(0), 10, 0 },
						 { driver_make_table(it.driver, in_table, 2), 32, INDIRECT } };

	driver_offer(it.driver, buffers, 2);
	assert_int_equal(gather(&it), 0);
	assert_int_equal(it.readable.n, 2);
	assert_piece(&it, &it.readable, 1, AT(1), 20);
	assert_piece(&it, &it.writable, 0, AT(2), 30);
	end(&it);
}

/* virtio 1.2, 2.7.5.3.2: the device ignores it. */
static void
the_flag_write_of_an_indirect_descriptor_means_nothing(void **state)
{
	static const struct driver_buffer in_table[] = { { AT(1), 20, 0 } };

	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, TABLES);

		driver_offer_one(it.driver, driver_make_table(it.driver, in_table, 1), 16, INDIRECT | WRITE);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(it.readable.n, 1);
		assert_int_equal(it.writable.n, 0);
		end(&it);
	}
}

static void
a_buffer_over_the_border_of_touching_regions_is_in_two_pieces(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, 0);

		driver_offer_one(it.driver, DRIVER_HIGH - 5, 20, 0);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(it.readable.n, 2);
		assert_int_equal(it.readable.bytes, 20);
		assert_piece(&it, &it.readable, 0, DRIVER_HIGH - 5, 5);
		assert_piece(&it, &it.readable, 1, DRIVER_HIGH, 15);
		end(&it);
	}
}

static void
an_indirect_table_may_lie_over_the_border_of_touching_regions(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, TABLES);
		struct vring_desc entry = { AT(0), 10, 0, 0 };
		struct vring_packed_desc same = { AT(0), 10, 0, 0 };
		const uint8_t *bytes = packed ? (const uint8_t *)&same : (const uint8_t *)&entry;

		for (int i = 0; i < 16; i++)
			*driver_at(it.driver, DRIVER_HIGH - 7 + i) = bytes[i];
		driver_offer_one(it.driver, DRIVER_HIGH - 7, 16, INDIRECT);
		assert_int_equal(gather(&it), 0);
		assert_piece(&it, &it.readable, 0, AT(0), 10);
		end(&it);
	}
}

static void
the_last_byte_of_memory_can_be_used_and_none_after_it(void **state)
{
	static const struct driver_buffer last = { DRIVER_END - 1, 1, 0 }, over = { DRIVER_END - 1, 2, 0 },
					  first = { DRIVER_LOW, 1, 0 }, before = { DRIVER_LOW - 1, 2, 0 };

	for (int packed = 0; packed < 2; packed++) {
		assert_int_equal(fate(packed, 0, &last, 1), 0);
		assert_int_equal(fate(packed, 0, &over, 1), -EPROTO);
		assert_int_equal(fate(packed, 0, &first, 1), 0);
		assert_int_equal(fate(packed, 0, &before, 1), -EPROTO);
	}
}

static void
a_buffer_to_read_of_no_length_is_nothing_and_may_be_anywhere(void **state)
{
	static const struct driver_buffer buffers[] = { { AT(0), 10, 0 }, { 0, 0, 0 }, { AT(1), 20, 0 } };

	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, 0);

		driver_offer(it.driver, buffers, 3);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(it.readable.n, 2);
		assert_int_equal(it.readable.bytes, 30);
		end(&it);
	}
}

/* --- chains that are given back ---------------------------------------------------------------------------------- */

static void
a_readable_buffer_after_a_writable_one_makes_the_chain_useless(void **state)
{
	static const struct driver_buffer buffers[] = { { AT(0), 10, WRITE }, { AT(1), 20, 0 } };

	for (int packed = 0; packed < 2; packed++) {
		assert_int_equal(fate(packed, 0, buffers, 2), -EBADMSG);
		assert_int_equal(fate_of_table(packed, buffers, 2, 32), -EBADMSG);
	}
}

/* Else a guest could have a whole ring of chains walked for every frame, and none would ever be filled. */
static void
a_writable_buffer_of_no_length_makes_the_chain_useless(void **state)
{
	static const struct driver_buffer buffers[] = { { AT(0), 10, WRITE }, { AT(1), 0, WRITE } };

	for (int packed = 0; packed < 2; packed++) {
		assert_int_equal(fate(packed, 0, buffers, 2), -EBADMSG);
		assert_int_equal(fate_of_table(packed, buffers, 2, 32), -EBADMSG);
	}
}

static void
a_chain_in_too_many_pieces_is_useless(void **state)
{
	static struct driver_buffer buffers[256];

	for (uint16_t i = 0; i < 256; i++)
		buffers[i] = (struct driver_buffer){ DRIVER_HIGH - 1, 2, 0 };
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 256, 0);

		driver_offer(it.driver, buffers, 256);
		assert_int_equal(gather(&it), -EBADMSG);
		assert_int_equal(it.chain.slots, packed ? 256 : 1);
		end(&it);
	}
}

static void
a_chain_of_too_many_descriptors_is_useless_in_a_ring_that_has_room_for_it(void **state)
{
	static struct driver_buffer buffers[CHAIN_MAX + 1];

	for (uint16_t i = 0; i <= CHAIN_MAX; i++)
		buffers[i] = (struct driver_buffer){ AT(0), 1, 0 };
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 4096, TABLES);

		driver_offer(it.driver, buffers, CHAIN_MAX);
		driver_offer(it.driver, buffers, CHAIN_MAX + 1);
		driver_offer_table(it.driver, buffers, CHAIN_MAX);
		driver_offer_table(it.driver, buffers, CHAIN_MAX + 1);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(gather(&it), -EBADMSG);
		assert_int_equal(gather(&it), 0);
		assert_int_equal(gather(&it), -EBADMSG);
		end(&it);
	}
}

/* --- chains that stop the queue ---------------------------------------------------------------------------------- */

static void
memory_that_is_nowhere_stops_the_queue(void **state)
{
	static const struct driver_buffer nowhere[] = {
		{ 0, 1, 0 },
		{ 0, UINT32_MAX, 0 },
		{ DRIVER_LOW, UINT32_MAX, 0 },
		{ DRIVER_LOW, UINT32_MAX, WRITE },
		{ DRIVER_END, 1, 0 },
		{ UINT64_MAX, 1, 0 },
		{ UINT64_MAX, 2, 0 },
		{ UINT64_MAX - 9, 100, WRITE },
		{ DRIVER_LOW - UINT32_MAX, UINT32_MAX, 0 },
		{ DRIVER_LOW | 1ULL << 32, 100, 0 },
	};

	for (size_t i = 0; i < RTE_DIM(nowhere); i++)
		for (int packed = 0; packed < 2; packed++) {
			assert_int_equal(fate(packed, 0, &nowhere[i], 1), -EPROTO);
			assert_int_equal(fate_of_table(packed, &nowhere[i], 1, 16), -EPROTO);
		}
}

static void
an_indirect_table_that_is_nowhere_stops_the_queue(void **state)
{
	static const uint64_t addresses[] = { 0,	  DRIVER_LOW - 16, DRIVER_LOW - 8, DRIVER_END - 15,
					      DRIVER_END, UINT64_MAX - 7,  UINT64_MAX - 15 };

	for (size_t i = 0; i < RTE_DIM(addresses); i++)
		for (int packed = 0; packed < 2; packed++) {
			const struct driver_buffer table = { addresses[i], 16, INDIRECT };

			assert_int_equal(fate(packed, TABLES, &table, 1), -EPROTO);
		}
}

static void
an_indirect_table_that_was_not_negotiated_stops_the_queue(void **state)
{
	static const struct driver_buffer table = { AT(0), 16, INDIRECT };

	for (int packed = 0; packed < 2; packed++)
		assert_int_equal(fate(packed, EVENTS, &table, 1), -EPROTO);
}

static void
an_indirect_table_in_an_indirect_table_stops_the_queue(void **state)
{
	static const struct driver_buffer inner = { AT(0), 16, INDIRECT };

	for (int packed = 0; packed < 2; packed++)
		assert_int_equal(fate_of_table(packed, &inner, 1, 16), -EPROTO);
}

static void
an_indirect_table_of_a_length_that_cannot_be_stops_the_queue(void **state)
{
	static const struct driver_buffer buffer = { AT(0), 100, 0 };
	static const uint32_t lengths[] = { 0, 1, 15, 17, UINT32_MAX };

	for (size_t i = 0; i < RTE_DIM(lengths); i++)
		for (int packed = 0; packed < 2; packed++)
			assert_int_equal(fate_of_table(packed, &buffer, 1, lengths[i]), -EPROTO);
}

static void
an_indirect_table_longer_than_the_ring_stops_the_queue(void **state)
{
	struct driver_buffer buffers[9];

	for (uint16_t i = 0; i < 9; i++)
		buffers[i] = (struct driver_buffer){ AT(i), 100, 0 };
	for (int packed = 0; packed < 2; packed++) {
		const struct driver_buffer all_of_memory = { DRIVER_LOW, 0xfffffff0, INDIRECT };

		assert_int_equal(fate_of_table(packed, buffers, 9, 9 * 16), -EPROTO);
		assert_int_equal(fate(packed, TABLES, &all_of_memory, 1), -EPROTO);
	}
}

/* virtio 1.2, 2.7.5.3.1 and 2.8.19. */
static void
a_descriptor_after_an_indirect_one_stops_the_queue(void **state)
{
	static const struct driver_buffer in_table[] = { { AT(1), 20, 0 } };

	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, TABLES);
		const struct driver_buffer buffers[] = { { driver_make_table(it.driver, in_table, 1), 16, INDIRECT },
							 { AT(0), 10, 0 } };

		driver_offer(it.driver, buffers, 2);
		assert_int_equal(gather(&it), -EPROTO);
		end(&it);
	}
}

static void
the_next_of_an_indirect_descriptor_stays_in_its_table(void **state)
{
	static const struct driver_buffer buffers[] = { { AT(0), 10, 0 }, { AT(1), 10, 0 } };
	static const uint16_t nexts[] = { 0, 2, 3, 0xffff }; /* 0: a loop */

	for (size_t i = 0; i < RTE_DIM(nexts); i++) {
		struct pair it = pair(false, 8, TABLES);
		uint64_t table = driver_make_table(it.driver, buffers, 2);

		((struct vring_desc *)driver_at(it.driver, table))->next = nexts[i];
		driver_offer_one(it.driver, table, 32, INDIRECT);
		assert_int_equal(gather(&it), -EPROTO);
		end(&it);
	}
}

static void
a_chain_that_loops_or_leaves_the_ring_stops_the_queue(void **state)
{
	static const uint16_t nexts[] = { 0, 1, 8, 9, 0xffff };

	for (size_t i = 0; i < RTE_DIM(nexts); i++) {
		struct pair it = pair(false, 8, 0);
		static const struct driver_buffer buffers[] = { { AT(0), 10, 0 }, { AT(1), 10, 0 } };

		driver_offer(it.driver, buffers, 2);
		it.driver->desc[1].flags = NEXT;
		it.driver->desc[1].next = nexts[i];
		assert_int_equal(gather(&it), -EPROTO);
		end(&it);
	}
}

static void
a_loop_of_nothing_stops_the_queue(void **state)
{
	struct pair it = pair(false, 8, 0);

	driver_offer_one(it.driver, AT(0), 0, NEXT);
	it.driver->desc[0].next = 0;
	assert_int_equal(gather(&it), -EPROTO);
	end(&it);
}

static void
a_packed_chain_without_an_end_stops_the_queue(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 7, 256 };

	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		struct pair it = pair(true, sizes[i], 0);
		struct pv_available chains[2];

		for (uint16_t place = 0; place < sizes[i]; place++)
			driver_offer_one(it.driver, AT(0), 10, NEXT);
		assert_int_equal(peek(&it, chains, 2), 0);
		assert_non_null(it.queue.stopped);
		assert_int_equal(it.queue.stopped_value, sizes[i]);
		end(&it);
	}
}

/* Chains that overlap, so that each is nearly as long as the ring: what a burst looks at is bounded by the ring. */
static void
packed_chains_that_go_round_the_ring_stop_the_queue(void **state)
{
	struct pair it = pair(true, 8, 0);
	struct pv_available chains[4];

	for (uint16_t place = 0; place < 8; place++)
		driver_offer_one(it.driver, AT(0), 10, place == 6 ? 0 : NEXT);
	assert_int_equal(peek(&it, chains, 4), 1);
	assert_int_equal(chains[0].slots, 7);
	assert_string_equal(it.queue.stopped, "a descriptor chain is longer than the ring");
	assert_int_equal(it.queue.stopped_value, 1);
	end(&it);
}

static void
a_head_beyond_the_ring_stops_the_queue_behind_the_chains_before_it(void **state)
{
	static const uint16_t heads[] = { 8, 9, 0x8000, 0xffff };

	for (size_t i = 0; i < RTE_DIM(heads); i++) {
		struct pair it = pair(false, 8, 0);
		struct pv_available chains[8];

		for (int n = 0; n < 3; n++)
			driver_offer_one(it.driver, AT(n), 10, 0);
		it.driver->avail->ring[2] = heads[i];
		assert_int_equal(peek(&it, chains, 2), 2);
		assert_null(it.queue.stopped);
		assert_int_equal(peek(&it, chains, 8), 2);
		assert_int_equal(chains[1].address, AT(1));
		assert_non_null(it.queue.stopped);
		assert_int_equal(it.queue.stopped_value, heads[i]);
		assert_false(pv_virtqueue_has_work(&it.queue));
		end(&it);
	}
}

/* All of the indices that there are, from two bases. */
static void
an_available_index_ahead_of_the_ring_stops_the_queue(void **state)
{
	for (uint32_t jump = 0; jump < 65536; jump++) {
		static const uint16_t bases[] = { 0, 65530 };
		struct pv_available chains[16];
		static struct pair it;

		if (jump == 0)
			it = pair(false, 8, 0);
		it.queue.stopped = NULL;
		it.queue.next_avail = bases[jump % 2];
		it.driver->avail->idx = (uint16_t)(bases[jump % 2] + jump);
		assert_int_equal(peek(&it, chains, 16), jump <= 8 ? jump : 0);
		assert_int_equal(it.queue.stopped != NULL, jump > 8);
		if (jump > 8)
			assert_int_equal(it.queue.stopped_value, jump);
		if (jump == 65535)
			end(&it);
	}
}

/* --- laps -------------------------------------------------------------------------------------------------------- */

#define IN_FLIGHT_MAX 256

struct in_flight {
	struct pv_available chains[IN_FLIGHT_MAX];
	uint32_t lengths[IN_FLIGHT_MAX];
	uint32_t first, last, slots;
};

static uint32_t
dice(uint32_t *random, uint32_t sides)
{
	*random = *random * 1664525 + 1013904223;
	return (*random >> 8) % sides;
}

static void
offer_some(struct pair *it, uint16_t n, uint32_t *random)
{
	static struct driver_buffer buffers[IN_FLIGHT_MAX];

	for (uint16_t i = 0; i < n; i++)
		buffers[i] = (struct driver_buffer){ AT(i % 8), 1 + dice(random, 100), WRITE };
	driver_offer(it->driver, buffers, n);
}

/* Takes what is available, and gives back some of what is there, with lengths of which some are 0. */
static void
device_turn(struct pair *it, struct in_flight *flight, uint32_t *random)
{
	struct pv_used used[IN_FLIGHT_MAX];
	struct pv_available chain;
	uint16_t n = 0;

	while (peek(it, &chain, 1) == 1) {
		pv_virtqueue_take(&it->queue, &chain, it->driver->packed);
		flight->chains[flight->last++ % IN_FLIGHT_MAX] = chain;
	}
	while (flight->first + n < flight->last && dice(random, 4) > 0) {
		uint32_t i = (flight->first + n) % IN_FLIGHT_MAX;

		flight->lengths[i] = dice(random, 3) * 1000;
		used[n++] = (struct pv_used){ flight->chains[i].id, flight->chains[i].slots, flight->lengths[i] };
	}
	pv_virtqueue_push(&it->queue, used, n, it->driver->packed);
	pv_virtqueue_publish(&it->queue, it->driver->packed);
	assert_null(it->queue.stopped);
}

static uint16_t
driver_turn(struct pair *it, struct in_flight *flight)
{
	uint32_t id, length;
	uint16_t slots = 0;

	while (driver_take(it->driver, &id, &length)) {
		uint32_t i = flight->first++ % IN_FLIGHT_MAX;

		assert_int_equal(id, flight->chains[i].id);
		assert_int_equal(length, flight->lengths[i]);
		slots += it->driver->packed ? flight->chains[i].slots : 1;
	}
	return slots;
}

/* Chains of 1 to 4 descriptors in a packed ring; of 1 in a split one, where descriptors come back in any order. */
static void
run_laps(bool packed, uint16_t size, uint32_t laps)
{
	struct pair it = pair(packed, size, 0);
	struct in_flight flight = { .first = 0 };
	uint32_t random = size, room = size, offered = 0;

	while (offered < laps * size) {
		while (room > 0 && dice(&random, 8) > 0) {
			uint16_t n = packed ? (uint16_t)(1 + dice(&random, RTE_MIN(room, 4u))) : 1;

			offer_some(&it, n, &random);
			room -= n;
			offered += n;
		}
		device_turn(&it, &flight, &random);
		room += driver_turn(&it, &flight);
	}
	end(&it);
}

static void
chains_come_back_as_they_were_over_many_laps(void **state)
{
	static const uint16_t packed_sizes[] = { 1, 2, 3, 5, 7, 8, 100, 256 }, split_sizes[] = { 1, 2, 8, 256 };

	for (size_t i = 0; i < RTE_DIM(packed_sizes); i++)
		run_laps(true, packed_sizes[i], 500);
	for (size_t i = 0; i < RTE_DIM(split_sizes); i++)
		run_laps(false, split_sizes[i], 500);
	run_laps(false, 256, 600); /* past 65536 */
}

static void
a_split_ring_shows_nothing_before_it_is_published(void **state)
{
	struct pair it = pair(false, 8, 0);
	const struct pv_used used = { 5, 1, 99 };
	uint32_t id, length;

	pv_virtqueue_push(&it.queue, &used, 1, false);
	assert_false(driver_take(it.driver, &id, &length));
	pv_virtqueue_publish(&it.queue, false);
	assert_true(driver_take(it.driver, &id, &length));
	assert_int_equal(id, 5);
	assert_int_equal(length, 99);
	end(&it);
}

/* Places that a chain had besides its first are not written to (virtio 1.2, 2.8.6). */
static void
a_used_packed_chain_takes_one_descriptor_and_skips_the_rest(void **state)
{
	static const struct driver_buffer buffers[] = { { AT(0), 10, 0 }, { AT(1), 20, 0 }, { AT(2), 30, 0 } };
	struct pair it = pair(true, 5, 0);

	for (int lap = 0; lap < 10; lap++) {
		struct vring_packed_desc before[5];
		uint16_t first = it.driver->place;

		driver_offer(it.driver, buffers, 3);
		assert_int_equal(gather(&it), 0);
		memcpy(before, it.driver->ring, sizeof(before));
		give(&it, &it.chain, 0);
		for (uint16_t place = 0; place < 5; place++)
			if (place != first)
				assert_memory_equal(&before[place], &it.driver->ring[place], sizeof(before[0]));
		assert_int_equal(driver_turn(&it, &(struct in_flight){ .chains = { it.chain } }), 3);
	}
	end(&it);
}

static void
a_queue_goes_on_where_its_bases_say(void **state)
{
	for (int packed = 0; packed < 2; packed++)
		for (uint32_t n = 0; n < 40; n++) {
			struct pair it = pair(packed, 8, 0);
			struct pv_virtqueue_setup setup = driver_setup(it.driver, 0);
			uint32_t id, length;

			for (uint32_t i = 0; i < n; i++) {
				driver_offer_one(it.driver, AT(0), 10, 0);
				assert_int_equal(gather(&it), 0);
				give(&it, &it.chain, 0);
				assert_true(driver_take(it.driver, &id, &length));
			}
			setup.avail_base = pv_virtqueue_avail_base(&it.queue);
			setup.used_base = pv_virtqueue_used_base(&it.queue);
			pv_virtqueue_fini(&it.queue);
			assert_int_equal(pv_virtqueue_init(&it.queue, &setup, &it.driver->memory), 0);
			assert_int_equal(pv_virtqueue_avail_base(&it.queue), setup.avail_base);
			assert_int_equal(pv_virtqueue_used_base(&it.queue), setup.used_base);
			driver_offer_one(it.driver, AT(0), 10, 0);
			assert_int_equal(gather(&it), 0);
			give(&it, &it.chain, 0);
			assert_true(driver_take(it.driver, &id, &length));
			end(&it);
		}
}

struct flicker {
	volatile struct vring_packed_desc *descriptor;
	_Atomic bool end;
};

/* Makes a descriptor available again, and again, without waiting for the device. */
static void *
make_available_again(void *argument)
{
	struct flicker *flicker = argument;

	while (!flicker->end) {
		flicker->descriptor->flags = PV_PACKED_AVAIL;
		flicker->descriptor->flags = PV_PACKED_USED;
	}
	return NULL;
}

/* Else there were more chains out than a ring has places for. */
static void
a_driver_that_does_not_wait_gets_no_more_chains_taken_than_the_ring_is_long(void **state)
{
	struct pair it = pair(true, 1, 0);
	struct flicker flicker = { .descriptor = it.driver->ring };
	struct pv_available chains[32];
	uint32_t seen = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, make_available_again, &flicker), 0);
	while (seen < 100000) {
		uint16_t n = peek(&it, chains, 32);

		assert_in_range(n, 0, 1);
		seen += n;
	}
	flicker.end = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	end(&it);
}

/* --- what a queue may begin with --------------------------------------------------------------------------------- */

static void
a_ring_that_leaves_its_region_is_told(void **state)
{
	for (int packed = 0; packed <= 1; packed++) {
		struct driver *driver = driver_new(packed != 0, 256);
		const struct pv_virtqueue_setup good = driver_setup(driver, EVENTS);
		uint8_t *region_end = driver->memory.regions[0].host + driver->memory.regions[0].size;

		assert_true(pv_virtqueue_is_in_memory(&good, &driver->memory));
		for (int area = 0; area < 3; area++) {
			struct pv_virtqueue_setup setup = good;
			void **at[] = { &setup.descriptors, &setup.driver, &setup.device };
			const size_t split[] = { 16 * 256, 4 + 2 * 256 + 2, 4 + 8 * 256 + 2 };
			const size_t length = packed != 0 && area > 0 ? 4 : split[area];

			*at[area] = region_end - length;
			assert_true(pv_virtqueue_is_in_memory(&setup, &driver->memory));
			*at[area] = region_end - length + 1;
			assert_false(pv_virtqueue_is_in_memory(&setup, &driver->memory));
		}
		driver_free(driver);
	}
}

static int
try_init(struct driver *driver, struct pv_virtqueue_setup setup)
{
	struct pv_virtqueue queue;
	int result = pv_virtqueue_init(&queue, &setup, &driver->memory);

	if (result == 0)
		pv_virtqueue_fini(&queue);
	return result;
}

static void
sizes_that_the_specification_does_not_have_are_refused(void **state)
{
	struct driver *split = driver_new(false, 8), *packed = driver_new(true, 8);
	struct pv_virtqueue_setup setup = driver_setup(split, 0), packed_setup = driver_setup(packed, 0);
	static const uint32_t good[] = { 1, 2, 1024, 32768 }, bad[] = { 0, 32769, 65536, 65537 },
			      packed_only[] = { 3, 1000 };

	for (size_t i = 0; i < RTE_DIM(good); i++) {
		setup.size = packed_setup.size = good[i];
		assert_int_equal(try_init(split, setup), 0);
		assert_int_equal(try_init(packed, packed_setup), 0);
	}
	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		setup.size = packed_setup.size = bad[i];
		assert_int_equal(try_init(split, setup), -EINVAL);
		assert_int_equal(try_init(packed, packed_setup), -EINVAL);
	}
	for (size_t i = 0; i < RTE_DIM(packed_only); i++) {
		setup.size = packed_setup.size = packed_only[i];
		assert_int_equal(try_init(split, setup), -EINVAL);
		assert_int_equal(try_init(packed, packed_setup), 0);
	}
	driver_free(split);
	driver_free(packed);
}

static void
areas_that_are_not_aligned_are_refused(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct driver *driver = driver_new(packed, 8);
		struct pv_virtqueue_setup good = driver_setup(driver, 0), bad;

		bad = good;
		bad.descriptors = (char *)good.descriptors + 8;
		assert_int_equal(try_init(driver, bad), -EINVAL);
		bad = good;
		bad.driver = (char *)good.driver + (packed ? 2 : 1);
		assert_int_equal(try_init(driver, bad), -EINVAL);
		bad = good;
		bad.device = (char *)good.device + 2;
		assert_int_equal(try_init(driver, bad), -EINVAL);
		assert_int_equal(try_init(driver, good), 0);
		driver_free(driver);
	}
}

static void
a_base_beyond_a_packed_ring_is_refused(void **state)
{
	struct driver *driver = driver_new(true, 7);
	struct pv_virtqueue_setup setup = driver_setup(driver, 0);

	for (uint32_t base = 0; base < 65536; base++) {
		setup.avail_base = (uint16_t)base;
		assert_int_equal(try_init(driver, setup), (base & 0x7fff) < 7 ? 0 : -EINVAL);
	}
	setup.avail_base = 6;
	setup.used_base = 7;
	assert_int_equal(try_init(driver, setup), -EINVAL);
	driver_free(driver);
}

/* --- who wants to be called -------------------------------------------------------------------------------------- */

static void
flags_say_whether_a_driver_of_a_split_ring_wants_a_call(void **state)
{
	struct pair it = pair(false, 8, 0);

	for (int i = 0; i < 2; i++) {
		it.driver->avail->flags = 0;
		assert_true(pv_virtqueue_wants_call(&it.queue));
		it.driver->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		assert_false(pv_virtqueue_wants_call(&it.queue));
	}
	end(&it);
}

static void
flags_say_whether_a_driver_of_a_packed_ring_wants_a_call(void **state)
{
	for (uint32_t off_wrap = 0; off_wrap < 65536; off_wrap += 13) {
		static const bool wanted[] = { true, false, true, true };

		for (uint16_t flags = 0; flags < 4; flags++) {
			struct pair it = pair(true, 8, 0);

			it.driver->driver_event->off_wrap = (uint16_t)off_wrap;
			it.driver->driver_event->flags = flags;
			assert_int_equal(pv_virtqueue_wants_call(&it.queue), wanted[flags]);
			end(&it);
		}
	}
}

/* Nobody knows what the driver was told before. */
static void
the_first_event_index_is_always_a_call(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct pair it = pair(packed, 8, EVENTS);

		it.driver->avail->ring[8] = 5000;
		if (packed) {
			it.driver->driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
			it.driver->driver_event->off_wrap = 5;
		}
		assert_true(pv_virtqueue_wants_call(&it.queue));
		end(&it);
	}
}

/* The model: of `from` to `to` - 1 the one that is the event index was used now. */
static void
check_all_split_events(struct pair *it, uint16_t from, uint16_t to)
{
	static bool passed[65536];

	memset(passed, 0, sizeof(passed));
	for (uint16_t index = from; index != to; index++)
		passed[index] = true;
	for (uint32_t event = 0; event < 65536; event++) {
		it->queue.told = true;
		it->queue.told_at = from;
		it->queue.next_used = to;
		it->driver->avail->ring[8] = (uint16_t)event;
		if (pv_virtqueue_wants_call(&it->queue) != passed[event])
			fail_msg("from %u to %u with event index %u", from, to, event);
		assert_int_equal(it->queue.told_at, to);
	}
}

static void
the_event_index_of_a_split_ring_is_passed_as_in_a_simple_model(void **state)
{
	static const uint16_t steps[] = { 0, 1, 2, 8, 255, 256, 32767, 32768, 32769, 65535 };
	static const uint16_t bases[] = { 0, 1, 32767, 65535 };
	struct pair it = pair(false, 8, EVENTS);

	for (size_t i = 0; i < RTE_DIM(steps); i++)
		for (size_t j = 0; j < RTE_DIM(bases); j++)
			check_all_split_events(&it, bases[j], (uint16_t)(bases[j] + steps[i]));
	end(&it);
}

/* A place of a packed ring with its wrap counter as one number, 0 to 2 * size - 1. */
static void
check_all_packed_events(struct pair *it, uint16_t from, uint16_t steps)
{
	uint16_t size = it->driver->size, to = (uint16_t)((from + steps) % (2 * size));

	for (uint16_t event = 0; event < 2 * size; event++) {
		bool passed = (event + 2 * size - from) % (2 * size) < steps;

		it->queue.told = true;
		it->queue.told_at = from % size;
		it->queue.next_used = to % size;
		it->queue.used_wrap = to < size;
		it->driver->driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
		it->driver->driver_event->off_wrap = (uint16_t)(event % size | (event < size) << 15);
		if (pv_virtqueue_wants_call(&it->queue) != passed)
			fail_msg("ring of %u, from %u over %u with event %u", size, from, steps, event);
	}
}

static void
the_event_of_a_packed_ring_is_passed_as_in_a_simple_model(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 8, 31 };

	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		struct pair it = pair(true, sizes[i], EVENTS);

		for (uint16_t from = 0; from < 2 * sizes[i]; from++)
			for (uint16_t steps = 1; steps <= sizes[i]; steps++)
				check_all_packed_events(&it, from, steps);
		end(&it);
	}
}

static void
kicks_are_asked_for_and_refused_in_both_formats(void **state)
{
	struct pair split = pair(false, 8, EVENTS), packed = pair(true, 7, EVENTS), plain = pair(false, 8, 0);
	ring_index *event = (ring_index *)&split.driver->used->ring[8];
	ring_index *unused = (ring_index *)&plain.driver->used->ring[8];

	split.queue.next_avail = 0;
	pv_virtqueue_set_kicks(&split.queue, false);
	assert_int_equal(split.driver->used->flags, VRING_USED_F_NO_NOTIFY);
	assert_int_equal(*event, 0xffff);
	pv_virtqueue_set_kicks(&split.queue, true);
	assert_int_equal(split.driver->used->flags, 0);
	assert_int_equal(*event, 0);
	pv_virtqueue_set_kicks(&plain.queue, false);
	assert_int_equal(plain.driver->used->flags, VRING_USED_F_NO_NOTIFY);
	assert_int_equal(*unused, 0);
	packed.queue.next_avail = 6;
	pv_virtqueue_set_kicks(&packed.queue, false);
	assert_int_equal(packed.driver->device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	pv_virtqueue_set_kicks(&packed.queue, true);
	assert_int_equal(packed.driver->device_event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	assert_int_equal(packed.driver->device_event->off_wrap, 0x8006);
	end(&split);
	end(&packed);
	end(&plain);
}

/* --- migration --------------------------------------------------------------------------------------------------- */

static _Atomic uint8_t written[0x80000000 / 4096 / 8];

/* The pages that are marked, of those from `guest` on. */
static uint64_t
marked(uint64_t guest, uint32_t pages)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < pages; i++) {
		uint64_t page = guest / 4096 + i;

		bits |= (uint64_t)((written[page / 8] >> page % 8) & 1) << i;
	}
	return bits;
}

static void
begin_log(struct pair *it, uint64_t used_guest)
{
	memset((void *)written, 0, sizeof(written));
	it->driver->memory.log = written;
	it->driver->memory.log_size = sizeof(written);
	it->queue.log_used = true;
	it->queue.used_guest = used_guest;
}

/* A used ring of 2048 is four pages and a bit; the log's address need not be that of the ring. */
static void
published_elements_of_a_split_ring_are_logged_with_its_index(void **state)
{
	static const uint64_t at = 0x40000000;
	struct pair it = pair(false, 2048, 0);
	struct pv_used used = { 1, 1, 1 };

	it.queue.next_used = it.queue.published = 1000; /* its element ends at 4 + 8 * 1001 */
	begin_log(&it, at);
	pv_virtqueue_push(&it.queue, &used, 1, false);
	pv_virtqueue_publish(&it.queue, false);
	assert_int_equal(marked(at, 6), 0x13); /* flags and index, the element, avail_event */
	it.queue.next_used = it.queue.published = 2046;
	begin_log(&it, at);
	for (int i = 0; i < 4; i++)
		pv_virtqueue_push(&it.queue, &used, 1, false);
	pv_virtqueue_publish(&it.queue, false);
	assert_int_equal(marked(at, 6), 0x19);
	it.queue.next_used = it.queue.published = 1000;
	begin_log(&it, at);
	for (int i = 0; i < 2048; i++)
		pv_virtqueue_push(&it.queue, &used, 1, false);
	pv_virtqueue_publish(&it.queue, false);
	assert_int_equal(marked(at, 6), 0x1f);
	end(&it);
}

static void
a_packed_ring_is_logged_where_it_is(void **state)
{
	struct pair it = pair(true, 300, 0);
	struct pv_used used = { 1, 1, 1 };

	begin_log(&it, 0);
	pv_virtqueue_push(&it.queue, &used, 1, true);
	pv_virtqueue_publish(&it.queue, true);
	assert_int_equal(marked(DRIVER_LOW, 4), 3);
	assert_int_equal(marked(DRIVER_LOW + 0xb0000, 2), 1);
	end(&it);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_length_of_a_buffer_does_not_say_how_many_pages_are_gone_through),
		cmocka_unit_test(nothing_is_available_in_a_new_ring),
		cmocka_unit_test(a_chain_is_seen_until_it_is_taken),
		cmocka_unit_test(the_buffers_of_a_chain_are_found_in_their_order),
		cmocka_unit_test(a_chain_may_be_as_long_as_the_ring),
		cmocka_unit_test(descriptors_may_stand_before_an_indirect_one_in_a_split_ring),
		cmocka_unit_test(the_flag_write_of_an_indirect_descriptor_means_nothing),
		cmocka_unit_test(a_buffer_over_the_border_of_touching_regions_is_in_two_pieces),
		cmocka_unit_test(an_indirect_table_may_lie_over_the_border_of_touching_regions),
		cmocka_unit_test(the_last_byte_of_memory_can_be_used_and_none_after_it),
		cmocka_unit_test(a_buffer_to_read_of_no_length_is_nothing_and_may_be_anywhere),
		cmocka_unit_test(a_readable_buffer_after_a_writable_one_makes_the_chain_useless),
		cmocka_unit_test(a_writable_buffer_of_no_length_makes_the_chain_useless),
		cmocka_unit_test(a_chain_in_too_many_pieces_is_useless),
		cmocka_unit_test(a_chain_of_too_many_descriptors_is_useless_in_a_ring_that_has_room_for_it),
		cmocka_unit_test(memory_that_is_nowhere_stops_the_queue),
		cmocka_unit_test(an_indirect_table_that_is_nowhere_stops_the_queue),
		cmocka_unit_test(an_indirect_table_that_was_not_negotiated_stops_the_queue),
		cmocka_unit_test(an_indirect_table_in_an_indirect_table_stops_the_queue),
		cmocka_unit_test(an_indirect_table_of_a_length_that_cannot_be_stops_the_queue),
		cmocka_unit_test(an_indirect_table_longer_than_the_ring_stops_the_queue),
		cmocka_unit_test(a_descriptor_after_an_indirect_one_stops_the_queue),
		cmocka_unit_test(the_next_of_an_indirect_descriptor_stays_in_its_table),
		cmocka_unit_test(a_chain_that_loops_or_leaves_the_ring_stops_the_queue),
		cmocka_unit_test(a_loop_of_nothing_stops_the_queue),
		cmocka_unit_test(a_packed_chain_without_an_end_stops_the_queue),
		cmocka_unit_test(packed_chains_that_go_round_the_ring_stop_the_queue),
		cmocka_unit_test(a_head_beyond_the_ring_stops_the_queue_behind_the_chains_before_it),
		cmocka_unit_test(an_available_index_ahead_of_the_ring_stops_the_queue),
		cmocka_unit_test(chains_come_back_as_they_were_over_many_laps),
		cmocka_unit_test(a_split_ring_shows_nothing_before_it_is_published),
		cmocka_unit_test(a_used_packed_chain_takes_one_descriptor_and_skips_the_rest),
		cmocka_unit_test(a_queue_goes_on_where_its_bases_say),
		cmocka_unit_test(a_driver_that_does_not_wait_gets_no_more_chains_taken_than_the_ring_is_long),
		cmocka_unit_test(a_ring_that_leaves_its_region_is_told),
		cmocka_unit_test(sizes_that_the_specification_does_not_have_are_refused),
		cmocka_unit_test(areas_that_are_not_aligned_are_refused),
		cmocka_unit_test(a_base_beyond_a_packed_ring_is_refused),
		cmocka_unit_test(flags_say_whether_a_driver_of_a_split_ring_wants_a_call),
		cmocka_unit_test(flags_say_whether_a_driver_of_a_packed_ring_wants_a_call),
		cmocka_unit_test(the_first_event_index_is_always_a_call),
		cmocka_unit_test(the_event_index_of_a_split_ring_is_passed_as_in_a_simple_model),
		cmocka_unit_test(the_event_of_a_packed_ring_is_passed_as_in_a_simple_model),
		cmocka_unit_test(kicks_are_asked_for_and_refused_in_both_formats),
		cmocka_unit_test(published_elements_of_a_split_ring_are_logged_with_its_index),
		cmocka_unit_test(a_packed_ring_is_logged_where_it_is),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
