/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames through the rings of one guest: what arrives, what is dropped and why, and that nothing is lost on the way.
 * With the argument "granted", guests whose frames are copied have each of them mapped for itself; with "window", the
 * memory of guests lies in one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>

#include <rte_malloc.h>

#include "driver.h"
#include "testbed.h"
#include "vio/fault.h"
#include "vio/net_header.h"
#include "vio_bench.h"

#define WRITE VRING_DESC_F_WRITE
#define V1 (1ULL << VIRTIO_F_VERSION_1)
#define MERGE (1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define TABLES (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENTS (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define AT(n) (DRIVER_BUFFERS + (n)*0x1000u)
#define PACKETS 255
#define PIECES_MAX 24
#define UNTOUCHED 0xee

static bool granted, windowed;

/* A guest with one ring: 1 it transmits with, 0 it receives with. */
struct guest {
	struct driver *driver;
	struct bench *bench;
	struct rte_mempool *pool;
	uint16_t index;
};

struct guest_setup {
	bool packed, receives;
	uint16_t size; /* 0: 16 */
	uint64_t features;
	uint32_t copy_break, frame_limit;
	unsigned int packets; /* in the pool; 0: PACKETS */
};

static struct guest
guest(const struct guest_setup *setup)
{
	struct guest it = {
		.driver = driver_new(setup->packed, setup->size != 0 ? setup->size : 16),
		.pool = bench_pool(setup->packets != 0 ? setup->packets : PACKETS),
		.index = setup->receives ? 0 : 1,
	};
	struct pv_virtqueue_setup queue = driver_setup(it.driver, setup->features);
	const struct bench_setup bench = {
		.features = queue.features,
		.copy_break = setup->copy_break,
		.frame_limit = setup->frame_limit,
		.pool = it.pool,
		.files = granted && setup->copy_break == 0 ? &it.driver->files : NULL,
		.window_files = windowed ? &it.driver->files : NULL,
	};

	assert_int_equal(pv_fault_install(), 0); /* cmocka has its own handlers in each test */
	it.bench = bench_new(&bench, &it.driver->memory);
	assert_int_equal(bench_add_ring(it.bench, it.index, &queue), 0);
	return it;
}

static void
assert_no_packet_is_missing(const struct guest *it)
{
	assert_int_equal(rte_mempool_avail_count(it->pool), it->pool->size);
}

static void
end(struct guest *it)
{
	bench_free(it->bench);
	assert_no_packet_is_missing(it);
	rte_mempool_free(it->pool);
	driver_free(it->driver);
}

static struct pv_vio_ring *
ring(struct guest *it)
{
	return &it->bench->vio.rings[it->index];
}

/* A guest that attaches anew. */
static void
revive(struct guest *it)
{
	struct pv_virtqueue *queue = &ring(it)->queue;

	assert_non_null(queue->stopped);
	assert_true(strlen(it->bench->vio.why) > 0);
	queue->stopped = NULL;
	if (!it->driver->packed)
		queue->next_avail = queue->next_used; /* of the chains that it has offered, none is left */
	it->bench->vio.stopped = false;
	it->bench->vio.running = true;
}

/* --- frames from the guest ---------------------------------------------------------------------------------------- */

static uint16_t
receive(struct guest *it, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vio_receive(&it->bench->vio, 0, packets, count);
}

/* The byte of a frame at an offset. */
static uint8_t
pattern(uint8_t seed, uint32_t offset)
{
	return (uint8_t)(seed + offset * 7);
}

/* Writes a header and then a frame into the buffers, one after the other, as far as they reach. */
static void
write_frame(struct guest *it, const struct virtio_net_hdr *header, uint8_t seed, const struct driver_buffer *buffers,
	    uint16_t n)
{
	uint8_t start[12] = { 0 };
	uint32_t done = 0, header_size = it->bench->vio.header_size;

	if (header != NULL)
		memcpy(start, header, sizeof(*header));
	for (uint16_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < buffers[i].length; j++, done++)
			*driver_at(it->driver, buffers[i].address + j) =
				done < header_size ? start[done] : pattern(seed, done - header_size);
}

/* How a guest may lay a buffer out (virtio 1.2, 2.7.4: as it likes). */
enum layout { TOGETHER, HEADER_APART, HEADER_SPLIT, HEADER_WITH_DATA, MANY, BORDER, TABLE, TABLE_OF_MANY, LAYOUTS };

/* Cuts `total` bytes; the buffers lie from buffer `place` on. Returns how many there are. */
static uint16_t
lay_out(enum layout layout, uint32_t total, uint32_t header_size, uint32_t place, struct driver_buffer *buffers)
{
	uint32_t cuts[PIECES_MAX] = { 0 }, done = 0;
	uint16_t n = 0;

	if (layout == HEADER_APART)
		cuts[n++] = header_size;
	if (layout == HEADER_SPLIT) {
		cuts[n++] = 1;
		cuts[n++] = header_size - 1;
	}
	if (layout == HEADER_WITH_DATA || layout == TABLE) {
		cuts[n++] = header_size - 3;
		cuts[n++] = 4;
	}
	if (layout == MANY || layout == TABLE_OF_MANY)
		while (n < 19)
			cuts[n++] = total / 20;
	for (uint16_t i = 0; i < n; i++) {
		buffers[i] = (struct driver_buffer){ AT(place) + 100 * i, cuts[i], 0 };
		done += cuts[i];
	}
	assert_in_range(done, 0, total - 1);
	buffers[n] = (struct driver_buffer){ AT(place) + 2500, total - done, 0 };
	if (layout == BORDER)
		buffers[n].address = DRIVER_HIGH - 17 - total / 3;
	return n + 1;
}

static uint16_t
offer(struct guest *it, enum layout layout, const struct driver_buffer *buffers, uint16_t n)
{
	return layout == TABLE || layout == TABLE_OF_MANY ? driver_offer_table(it->driver, buffers, n) :
							    driver_offer(it->driver, buffers, n);
}

/* Sends a frame in one buffer; returns the chain's id. */
static uint16_t
offer_frame(struct guest *it, uint32_t place, uint32_t length, uint8_t seed)
{
	const struct driver_buffer buffer = { AT(place), length + it->bench->vio.header_size, 0 };

	write_frame(it, NULL, seed, &buffer, 1);
	return driver_offer(it->driver, &buffer, 1);
}

static void
assert_frame(const struct rte_mbuf *packet, uint8_t seed, uint32_t length)
{
	uint32_t done = 0;
	uint16_t segments = 0;

	assert_int_equal(packet->pkt_len, length);
	assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, 0);
	assert_int_equal(rte_mbuf_refcnt_read(packet), 1);
	for (const struct rte_mbuf *segment = packet; segment != NULL; segment = segment->next, segments++)
		for (uint32_t i = 0; i < segment->data_len; i++, done++)
			assert_int_equal(*rte_pktmbuf_mtod_offset(segment, const uint8_t *, i), pattern(seed, done));
	assert_int_equal(done, length);
	assert_int_equal(segments, packet->nb_segs);
}

static void
assert_given_back(struct guest *it, uint16_t id)
{
	uint32_t found, length;

	assert_true(driver_take(it->driver, &found, &length));
	assert_int_equal(found, id);
	assert_int_equal(length, 0);
}

static void
assert_nothing_given_back(struct guest *it)
{
	uint32_t id, length;

	assert_false(driver_take(it->driver, &id, &length));
}

static void
check_frame_from(struct guest *it, enum layout layout, uint32_t length)
{
	uint32_t header_size = it->bench->vio.header_size;
	struct driver_buffer buffers[PIECES_MAX];
	struct rte_mbuf *packets[32];
	uint16_t n, id;

	if (layout != TOGETHER && layout != BORDER && length + header_size < 40)
		return;
	n = lay_out(layout, length + header_size, header_size, 0, buffers);
	write_frame(it, NULL, (uint8_t)length, buffers, n);
	id = offer(it, layout, buffers, n);
	assert_int_equal(receive(it, packets, 32), 1);
	assert_frame(packets[0], (uint8_t)length, length);
	rte_pktmbuf_free(packets[0]);
	assert_int_equal(receive(it, packets, 32), 0);
	assert_given_back(it, id);
	assert_nothing_given_back(it);
	assert_no_packet_is_missing(it);
}

static void
frames_in_every_layout_arrive_as_they_were(void **state)
{
	static const uint32_t lengths[] = { 1,	 14,  60,  115, 116, 117,  127,	 128, 129,
					    130, 255, 256, 257, 258, 1000, 1518, 1522 };
	static const uint32_t breaks[] = { 0, 128, 256 };

	for (int packed = 0; packed < 2; packed++)
		for (int version = 0; version < 2; version++)
			for (size_t i = 0; i < RTE_DIM(breaks); i++) {
				struct guest it = guest(&(struct guest_setup){ .packed = packed,
									       .size = 32,
									       .features = (version ? V1 : 0) | TABLES,
									       .copy_break = breaks[i] });

				for (enum layout layout = 0; layout < LAYOUTS; layout++)
					for (size_t j = 0; j < RTE_DIM(lengths); j++)
						check_frame_from(&it, layout, lengths[j]);
				assert_int_equal(ring(&it)->counters.shared != 0, breaks[i] != 0);
				end(&it);
			}
}

static void
frames_above_the_copy_break_are_shared_and_no_others(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .size = 32, .features = V1, .copy_break = 256 });

	for (uint32_t length = 200; length < 300; length++) {
		uint64_t shared = ring(&it)->counters.shared, copied = ring(&it)->counters.copied;

		check_frame_from(&it, TOGETHER, length);
		assert_int_equal(ring(&it)->counters.shared - shared, length > 256);
		assert_int_equal(ring(&it)->counters.copied - copied, length <= 256);
	}
	end(&it);
}

/* Sends a frame of 50 bytes a piece, the first with the header before it; whether it was shared. */
static bool
is_shared_in_pieces(struct guest *it, uint16_t pieces)
{
	uint64_t shared = ring(it)->counters.shared, copied = ring(it)->counters.copied;
	struct driver_buffer buffers[PIECES_MAX];
	struct rte_mbuf *packet;
	uint16_t id;

	for (uint16_t i = 0; i < pieces; i++)
		buffers[i] = (struct driver_buffer){ AT(0) + 100 * i, i == 0 ? 12 + 50 : 50, 0 };
	write_frame(it, NULL, 3, buffers, pieces);
	id = driver_offer(it->driver, buffers, pieces);
	assert_int_equal(receive(it, &packet, 1), 1);
	assert_frame(packet, 3, 50 * pieces);
	rte_pktmbuf_free(packet);
	assert_int_equal(receive(it, &packet, 1), 0);
	assert_given_back(it, id);
	shared = ring(it)->counters.shared - shared;
	copied = ring(it)->counters.copied - copied;
	assert_int_equal(shared + copied, 1);
	return shared == 1;
}

static void
a_frame_in_more_than_20_pieces_is_copied(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .size = 64, .features = V1, .copy_break = 256 });

	for (uint16_t pieces = 6; pieces <= PIECES_MAX; pieces++)
		assert_int_equal(is_shared_in_pieces(&it, pieces), pieces <= 20);
	end(&it);
}

static void
a_burst_takes_no_more_than_it_is_asked_for(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(&(struct guest_setup){
			.packed = packed, .size = 128, .features = V1, .copy_break = packed ? 128 : 0 });
		struct rte_mbuf *packets[32];
		uint16_t ids[100], total = 0;

		for (uint16_t i = 0; i < 100; i++)
			ids[i] = offer_frame(&it, i, 300, (uint8_t)i);
		assert_int_equal(receive(&it, packets, 0), 0);
		for (uint16_t n; (n = receive(&it, packets, 32)) > 0; total += n) {
			assert_int_equal(n, RTE_MIN(32, 100 - total));
			for (uint16_t i = 0; i < n; i++)
				assert_frame(packets[i], (uint8_t)(total + i), 300);
			rte_pktmbuf_free_bulk(packets, n);
		}
		assert_int_equal(total, 100);
		for (uint16_t i = 0; i < 100; i++)
			assert_given_back(&it, ids[i]);
		end(&it);
	}
}

/* Offers one buffer; the chain must come back, and the frame be dropped for that reason. */
static void
check_drop(struct guest *it, const struct virtio_net_hdr *header, struct driver_buffer buffer, uint16_t reason)
{
	uint64_t before = it->bench->dropped[reason];
	struct rte_mbuf *packets[32];
	uint16_t id;

	write_frame(it, header, 0, &buffer, 1);
	id = driver_offer(it->driver, &buffer, 1);
	assert_int_equal(receive(it, packets, 32), 0);
	assert_int_equal(it->bench->dropped[reason] - before, 1);
	receive(it, packets, 32);
	assert_given_back(it, id);
	assert_false(it->bench->vio.stopped);
	assert_no_packet_is_missing(it);
}

static void
a_chain_that_is_no_frame_is_dropped_and_comes_back(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct guest it =
			guest(&(struct guest_setup){ .packed = i % 2, .features = V1, .copy_break = i < 2 ? 0 : 128 });

		check_drop(&it, NULL, (struct driver_buffer){ AT(0), 0, 0 }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ 0, 0, 0 }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ AT(0), 4, 0 }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ AT(0), 12, 0 }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ DRIVER_HIGH - 6, 12, 0 }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ AT(0), 100, WRITE }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ DRIVER_HIGH - 6, 100, WRITE }, PV_DROP_BAD_CHAIN);
		check_drop(&it, NULL, (struct driver_buffer){ AT(0), 12 + 1523, 0 }, PV_DROP_OVERSIZED);
		check_drop(&it, NULL, (struct driver_buffer){ DRIVER_HIGH - 6, 12 + 1523, 0 }, PV_DROP_OVERSIZED);
		check_drop(&it, NULL, (struct driver_buffer){ DRIVER_BUFFERS, 0x200000, 0 }, PV_DROP_OVERSIZED);
		check_frame_from(&it, TOGETHER, 100);
		end(&it);
	}
}

/* virtio 1.2, 5.1.6.2: what the fields may say. The frame is no IP packet. */
static void
a_header_that_lies_is_dropped_and_its_chain_comes_back(void **state)
{
	static const struct virtio_net_hdr lies[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 1500, .csum_offset = 16 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0xffff, .csum_offset = 0xffff },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0, .csum_offset = 0 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		  .csum_start = 34,
		  .csum_offset = 16 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 2, .gso_size = 100 },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 0x7f, .gso_size = 0xffff, .hdr_len = 0xffff },
		{ .gso_type = VIRTIO_NET_HDR_GSO_ECN },
	};
	const uint64_t features = V1 | 1 << VIRTIO_NET_F_CSUM | 1 << VIRTIO_NET_F_HOST_TSO4;

	for (int i = 0; i < 4; i++)
		for (size_t j = 0; j < RTE_DIM(lies); j++) {
			struct guest it = guest(&(struct guest_setup){
				.packed = i % 2, .features = features, .copy_break = i < 2 ? 0 : 128 });

			check_drop(&it, &lies[j], (struct driver_buffer){ AT(0), 12 + 400, 0 }, PV_DROP_BAD_HEADER);
			check_drop(&it, &lies[j], (struct driver_buffer){ DRIVER_HIGH - 20, 12 + 400, 0 },
				   PV_DROP_BAD_HEADER);
			end(&it);
		}
}

/* virtio 1.2, 5.1.6.2.2: hdr_len and unknown flags are not believed; 5.1.6.2.1: num_buffers is not used. */
static void
fields_that_mean_nothing_are_ignored(void **state)
{
	static const struct virtio_net_hdr header = {
		.flags = 0xfe, .hdr_len = 0xffff, .gso_size = 9, .csum_start = 7
	};
	struct guest it = guest(&(struct guest_setup){ .features = V1 | MERGE });
	const struct driver_buffer buffer = { AT(0), 12 + 100, 0 };
	struct rte_mbuf *packets[32];

	write_frame(&it, &header, 5, &buffer, 1);
	memset(driver_at(it.driver, AT(0) + 10), 0xff, 2);
	driver_offer(it.driver, &buffer, 1);
	assert_int_equal(receive(&it, packets, 32), 1);
	assert_frame(packets[0], 5, 100);
	rte_pktmbuf_free(packets[0]);
	end(&it);
}

/* --- loans -------------------------------------------------------------------------------------------------------- */

static struct guest
sharing_guest(bool packed, uint16_t size, unsigned int packets)
{
	return guest(&(struct guest_setup){
		.packed = packed, .size = size, .features = V1 | TABLES, .copy_break = 128, .packets = packets });
}

static void
shared_chains_are_given_back_in_order_whenever_their_packets_are_freed(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = sharing_guest(packed, 16, 0);
		struct rte_mbuf *packets[32], *none[32];
		uint16_t ids[5];

		for (uint16_t i = 0; i < 5; i++)
			ids[i] = offer_frame(&it, i, i == 2 ? 60 : 500, (uint8_t)i); /* the third is copied */
		assert_int_equal(receive(&it, packets, 32), 5);
		for (uint16_t i = 0; i < 5; i++)
			assert_frame(packets[i], (uint8_t)i, i == 2 ? 60 : 500);
		for (int i = 4; i > 0; i--) {
			rte_pktmbuf_free(packets[i]);
			assert_int_equal(receive(&it, none, 32), 0);
			assert_nothing_given_back(&it);
		}
		rte_pktmbuf_free(packets[0]);
		assert_int_equal(receive(&it, none, 32), 0);
		for (uint16_t i = 0; i < 5; i++)
			assert_given_back(&it, ids[i]);
		end(&it);
	}
}

static void *
free_packet(void *packet)
{
	rte_pktmbuf_free(packet);
	return NULL;
}

static void
a_shared_packet_may_be_freed_on_any_thread(void **state)
{
	struct guest it = sharing_guest(false, 16, 0);

	for (int i = 0; i < 100; i++) {
		struct rte_mbuf *packets[32];
		pthread_t thread;
		uint16_t id = offer_frame(&it, 0, 1000, 1);

		assert_int_equal(receive(&it, packets, 32), 1);
		assert_int_equal(pthread_create(&thread, NULL, free_packet, packets[0]), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(receive(&it, packets, 32), 0);
		assert_given_back(&it, id);
	}
	end(&it);
}

/* As a flood does it: copies of the packet refer to the same memory. */
static void
a_shared_chain_is_given_back_after_the_last_packet_that_refers_to_it(void **state)
{
	struct guest it = sharing_guest(true, 16, 0);
	struct rte_mbuf *packets[32], *none[32], *clone;
	uint16_t id = offer_frame(&it, 0, 1000, 1);

	assert_int_equal(receive(&it, packets, 32), 1);
	clone = rte_pktmbuf_clone(packets[0], it.pool);
	assert_non_null(clone);
	rte_pktmbuf_free(packets[0]);
	receive(&it, none, 32);
	assert_nothing_given_back(&it);
	rte_pktmbuf_free(clone);
	receive(&it, none, 32);
	assert_given_back(&it, id);
	end(&it);
}

static void
settling_gives_back_what_is_late_and_calls_the_guest(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = sharing_guest(packed, 16, 0);
		struct rte_mbuf *packets[32];
		uint16_t id = offer_frame(&it, 0, 1000, 1);

		assert_true(pv_vio_settle(ring(&it)));
		assert_int_equal(receive(&it, packets, 32), 1);
		assert_false(pv_vio_settle(ring(&it)));
		assert_int_equal(bench_calls(it.bench, 1), 0);
		rte_pktmbuf_free(packets[0]);
		assert_true(pv_vio_settle(ring(&it)));
		assert_given_back(&it, id);
		assert_int_equal(bench_calls(it.bench, 1), 1);
		end(&it);
	}
}

/* Another worker may be the one that is done with the packet, and a guest without room does not kick. */
static void
a_ring_is_looked_at_until_its_chains_are_given_back(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = sharing_guest(packed, 16, 0);
		struct rte_mbuf *packets[32];
		uint16_t id = offer_frame(&it, 0, 1000, 1);

		assert_int_equal(receive(&it, packets, 32), 1);
		assert_true(pv_vio_listen(&it.bench->vio, 0, true));
		rte_pktmbuf_free(packets[0]);
		assert_true(pv_vio_listen(&it.bench->vio, 0, true));
		assert_int_equal(receive(&it, packets, 32), 0);
		assert_given_back(&it, id);
		assert_false(pv_vio_listen(&it.bench->vio, 0, true));
		end(&it);
	}
}

static void
a_guest_keeps_half_of_its_ring(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = sharing_guest(packed, 16, 0);
		struct rte_mbuf *packets[32], *more[32];

		for (uint16_t i = 0; i < 12; i++)
			offer_frame(&it, i, 500, (uint8_t)i);
		assert_int_equal(receive(&it, packets, 32), 12);
		assert_int_equal(ring(&it)->counters.shared, 8);
		assert_int_equal(ring(&it)->counters.copied, 4);
		for (uint16_t i = 12; i < 16; i++)
			offer_frame(&it, i, 500, (uint8_t)i);
		assert_int_equal(receive(&it, more, 32), 4);
		assert_int_equal(ring(&it)->counters.shared, 8);
		for (uint16_t i = 0; i < 16; i++) {
			struct rte_mbuf *packet = i < 12 ? packets[i] : more[i - 12];

			assert_frame(packet, (uint8_t)i, 500);
			rte_pktmbuf_free(packet);
		}
		end(&it);
	}
}

static void
loans_work_in_the_smallest_rings(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 4 };

	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		struct guest it = sharing_guest(true, sizes[i], 0);

		for (int lap = 0; lap < 20; lap++)
			check_frame_from(&it, TOGETHER, 1000);
		end(&it);
	}
}

static void
without_packets_chains_wait_and_none_is_lost(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = sharing_guest(packed, 16, 7);
		struct rte_mbuf *taken[7], *packets[32];
		uint16_t id;

		assert_int_equal(rte_pktmbuf_alloc_bulk(it.pool, taken, 7), 0);
		id = offer_frame(&it, 0, 100, 3);
		assert_int_equal(receive(&it, packets, 32), 0);
		assert_nothing_given_back(&it);
		rte_pktmbuf_free_bulk(taken, 7);
		assert_int_equal(receive(&it, packets, 32), 1);
		assert_frame(packets[0], 3, 100);
		rte_pktmbuf_free(packets[0]);
		assert_given_back(&it, id);
		end(&it);
	}
}

/* A pool of each size, so that it runs dry at every place there is. */
static void
a_pool_that_runs_dry_in_a_frame_costs_the_frame_and_nothing_else(void **state)
{
	for (unsigned int room = 1; room < 20; room++) {
		struct guest it = sharing_guest(room % 2, 64, room);
		struct driver_buffer buffers[PIECES_MAX];
		struct rte_mbuf *packets[32];
		uint16_t ids[4], received, counted = 0;

		for (uint16_t i = 0; i < 4; i++) {
			uint16_t n = 0;

			for (; n < 6; n++)
				buffers[n] = (struct driver_buffer){ AT(8 * i + n), 200, 0 };
			write_frame(&it, NULL, (uint8_t)i, buffers, n);
			ids[i] = driver_offer(it.driver, buffers, n);
		}
		for (int burst = 0; burst < 4; burst++) {
			received = receive(&it, packets, 32);
			for (uint16_t i = 0; i < received; i++)
				assert_int_equal(packets[i]->pkt_len, 1200 - 12);
			counted += received;
			rte_pktmbuf_free_bulk(packets, received);
		}
		assert_no_packet_is_missing(&it);
		if (room >= 4)
			assert_int_equal(counted + it.bench->dropped[PV_DROP_NO_BUFFER], 4);
		else
			assert_int_equal(counted, 0);
		receive(&it, packets, 0);
		for (uint16_t i = 0; i < 4 && room >= 4; i++)
			assert_given_back(&it, ids[i]);
		end(&it);
	}
}

/* --- the end of a guest that breaks the rules --------------------------------------------------------------------- */

/* Nobody kicks, so whoever waits for that is told that there is something to do. */
static void
memory_that_is_not_all_there_is_work(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct rte_mbuf *packets[1];

	assert_false(pv_vio_listen(&it.bench->vio, 0, true));
	it.bench->vio.faulted = 1;
	assert_true(pv_vio_listen(&it.bench->vio, 0, true));
	assert_int_equal(receive(&it, packets, 1), 0);
	assert_true(it.bench->vio.stopped);
	end(&it);
}

static void
assert_stopped(const struct guest *it, const char *why)
{
	assert_true(it->bench->vio.stopped);
	assert_false(it->bench->vio.running);
	assert_false(it->bench->port.up);
	assert_string_equal(it->bench->vio.why, why);
}

static void
a_chain_that_breaks_the_rules_stops_the_port_behind_the_frames_before_it(void **state)
{
	if (windowed) /* test_window.c says what becomes of it */
		skip();
	for (int i = 0; i < 4; i++) {
		struct guest it =
			guest(&(struct guest_setup){ .packed = i % 2, .features = V1, .copy_break = i < 2 ? 0 : 128 });
		struct rte_mbuf *packets[32], *none[32];
		uint16_t ids[2];

		ids[0] = offer_frame(&it, 0, 100, 0);
		ids[1] = offer_frame(&it, 1, 500, 1);
		driver_offer_one(it.driver, 0xdead0000, 1000, 0);
		offer_frame(&it, 2, 100, 2);
		assert_int_equal(receive(&it, packets, 32), 2);
		assert_stopped(&it, "ring 1: a descriptor points outside the guest's memory, with the length: 1000");
		assert_frame(packets[0], 0, 100);
		assert_frame(packets[1], 1, 500);
		rte_pktmbuf_free_bulk(packets, 2);
		assert_int_equal(receive(&it, none, 32), 0);
		assert_true(pv_vio_settle(ring(&it)));
		assert_given_back(&it, ids[0]);
		assert_given_back(&it, ids[1]);
		assert_nothing_given_back(&it);
		end(&it);
	}
}

static void
an_index_that_cannot_be_stops_the_port(void **state)
{
	for (int receives = 0; receives < 2; receives++) {
		struct guest it = guest(&(struct guest_setup){ .features = V1, .receives = receives });
		struct rte_mbuf *packets[1] = { bench_packet(it.pool, 100, 1, 0) };
		struct rte_mbuf *none[32];

		it.driver->avail->idx = 17;
		if (receives)
			assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, packets, 1), 0);
		else
			assert_int_equal(receive(&it, none, 32), 0);
		assert_stopped(&it, receives ?
					    "ring 0: the available index is further ahead than the ring is long: 17" :
					    "ring 1: the available index is further ahead than the ring is long: 17");
		assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, packets, 1), 0);
		rte_pktmbuf_free(packets[0]);
		end(&it);
	}
}

static void
only_the_first_reason_is_kept(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct rte_mbuf *packets[32];

	it.driver->avail->idx = 17;
	receive(&it, packets, 32);
	ring(&it)->queue.stopped = "something else";
	pv_vio_stop(&it.bench->vio, ring(&it));
	assert_stopped(&it, "ring 1: the available index is further ahead than the ring is long: 17");
	end(&it);
}

static void
memory_that_is_gone_stops_the_port(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct rte_mbuf *packets[32];

	offer_frame(&it, 0, 100, 0);
	it.bench->vio.faulted = 1;
	assert_int_equal(receive(&it, packets, 32), 0);
	assert_stopped(&it, "the file of the guest's memory is shorter than it was");
	assert_nothing_given_back(&it);
	end(&it);
}

static void
a_ring_that_is_not_ready_is_not_touched(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct rte_mbuf *packets[32], *one[1] = { bench_packet(it.pool, 100, 1, 0) };

	offer_frame(&it, 0, 100, 0);
	ring(&it)->ready = false;
	assert_int_equal(receive(&it, packets, 32), 0);
	assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, one, 1), 0); /* it has no such ring */
	assert_nothing_given_back(&it);
	assert_false(it.bench->vio.stopped);
	rte_pktmbuf_free(one[0]);
	end(&it);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void
assert_notifications(const struct guest *it, uint64_t notifications, double per_frame)
{
	json_t *report = pv_vio_report(&it->bench->vio);

	assert_int_equal(json_integer_value(json_object_get(report, "notifications")), notifications);
	assert_true(json_real_value(json_object_get(report, "notifications_per_frame")) == per_frame);
	json_decref(report);
}

static void
a_guest_is_called_once_for_a_burst_and_not_against_its_will(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(&(struct guest_setup){ .packed = packed, .features = V1 });
		struct rte_mbuf *packets[32];

		for (int wanted = 1; wanted >= 0; wanted--) {
			if (packed)
				it.driver->driver_event->flags =
					wanted ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
			else
				it.driver->avail->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
			for (uint16_t i = 0; i < 5; i++)
				offer_frame(&it, i, 100, 0);
			assert_int_equal(receive(&it, packets, 32), 5);
			rte_pktmbuf_free_bulk(packets, 5);
			assert_int_equal(bench_calls(it.bench, 1), wanted);
			assert_int_equal(receive(&it, packets, 32), 0);
			assert_int_equal(bench_calls(it.bench, 1), 0);
			for (uint16_t i = 0; i < 5; i++)
				driver_take(it.driver, &(uint32_t){ 0 }, &(uint32_t){ 0 });
			assert_notifications(&it, 1, wanted ? 1 / 5.0 : 1 / 10.0);
		}
		end(&it);
	}
}

static void
a_guest_that_does_not_take_its_calls_holds_nobody_up(void **state)
{
	static const uint64_t full = UINT64_MAX - 1;
	struct guest it = guest(&(struct guest_setup){ .features = V1 });

	assert_int_equal(write(ring(&it)->call_fd, &full, sizeof(full)), sizeof(full));
	for (int i = 0; i < 10; i++)
		check_frame_from(&it, TOGETHER, 100);
	end(&it);
}

static void
do_nothing(int number)
{
}

/* As the watchdog does: whatever call waits then is interrupted. */
static void
interrupt_each_ms(long ms)
{
	const struct sigaction action = { .sa_handler = do_nothing };
	const struct itimerval each = { { .tv_usec = ms * 1000 }, { .tv_usec = ms * 1000 } };

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &each, NULL), 0);
}

/* The frontend shares the descriptor, and takes back that it does not wait. */
static void
have_calls_wait(struct guest *it)
{
	static const uint64_t full = UINT64_MAX - 1;
	int fd = ring(it)->call_fd;

	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static void
a_call_that_waits_stops_the_port_and_the_third_one_shuts_its_guests_out(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct pv_vio *vio = &it.bench->vio;

	have_calls_wait(&it);
	interrupt_each_ms(5);
	for (int time = 1; time <= 3; time++) {
		pv_vio_call(vio, ring(&it));
		assert_true(vio->stopped && !vio->running);
		assert_non_null(strstr(vio->why, "calling the guest waits"));
		assert_int_equal(it.bench->port.revoked, time == 3);
		revive(&it);
	}
	interrupt_each_ms(0);
	end(&it);
}

static void
a_guest_that_polls_is_not_called(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	int fd = ring(&it)->call_fd;

	ring(&it)->call_fd = -1;
	check_frame_from(&it, TOGETHER, 100);
	assert_int_equal(ring(&it)->counters.calls, 0);
	ring(&it)->call_fd = fd;
	end(&it);
}

static uint16_t
transmit(struct guest *it, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vio_transmit(&it->bench->vio, 0, packets, count);
}

/* --- the IOTLB ---------------------------------------------------------------------------------------------------- */

/* Makes the guest's addresses translated ones; what the port asks for comes out of the socket that is returned. */
static int
translate(struct guest *it)
{
	int sockets[2];

	it->bench->vio.iotlb = rte_zmalloc("iotlb", sizeof(*it->bench->vio.iotlb), 0);
	assert_non_null(it->bench->vio.iotlb);
	it->bench->vio.memory.iotlb = it->bench->vio.iotlb;
	it->bench->vio.memory.n_direct = 0;
	it->bench->vio.memory.window = NULL; /* there is none behind an IOMMU */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	it->bench->vio.backend_fd = sockets[0];
	return sockets[1];
}

/* The address that was asked for, or 0. */
static uint64_t
asked_for(int socket)
{
	struct {
		uint32_t request, flags, size;
		struct vhost_iotlb_msg miss;
	} __rte_packed request;

	if (recv(socket, &request, sizeof(request), 0) != sizeof(request))
		return 0;
	assert_int_equal(request.size, sizeof(request.miss));
	assert_int_equal(request.miss.type, VHOST_IOTLB_MISS);
	return request.miss.iova;
}

static void
stop_translating(struct guest *it, int socket)
{
	close(socket);
	close(it->bench->vio.backend_fd);
	rte_free(it->bench->vio.iotlb);
}

/* Tells of one of the two pages that the test's buffer lies on, which were asked for in turn, once each. */
static void
answer(struct guest *it, int socket, uint64_t page)
{
	assert_int_equal(asked_for(socket), page == 0x6000 ? 0x7000 - 100 : 0x7000);
	assert_int_equal(asked_for(socket), 0);
	pv_iotlb_insert(it->bench->vio.iotlb, page, 0x1000, driver_at(it->driver, AT(page / 0x1000)), VHOST_ACCESS_RW);
}

static void
a_frame_waits_for_each_of_its_translations_and_they_are_asked_for_once(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1, .copy_break = 128 });
	struct rte_mbuf *packets[32];
	int socket = translate(&it);

	driver_offer_one(it.driver, 0x7000 - 100, 512, 0);
	for (uint64_t page = 0x6000; page <= 0x7000; page += 0x1000) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(receive(&it, packets, 32), 0);
		answer(&it, socket, page);
	}
	assert_int_equal(receive(&it, packets, 32), 1);
	assert_int_equal(packets[0]->pkt_len, 500);
	rte_pktmbuf_free(packets[0]);
	assert_int_equal(ring(&it)->counters.misses, 2);
	stop_translating(&it, socket);
	end(&it);
}

static void
a_frame_for_a_guest_is_kept_until_its_translations_are_known(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .receives = true, .features = V1 });
	struct rte_mbuf *packets[2] = { bench_packet(it.pool, 500, 1, 9), bench_packet(it.pool, 60, 1, 0) };
	uint32_t id, written;
	int socket = translate(&it);

	driver_offer_one(it.driver, 0x7000 - 100, 512, WRITE);
	driver_offer_one(it.driver, 0x7000 - 100, 512, WRITE);
	assert_int_equal(transmit(&it, packets, 1), 1);
	answer(&it, socket, 0x6000);
	assert_int_equal(transmit(&it, packets + 1, 1), 1);
	assert_false(driver_take(it.driver, &id, &written));
	answer(&it, socket, 0x7000);
	assert_int_equal(receive(&it, packets, 1), 0); /* its worker does this all the time */
	assert_true(driver_take(it.driver, &id, &written));
	assert_int_equal(written, 512);
	assert_int_equal(*driver_at(it.driver, AT(7) + 411), (uint8_t)(9 + 499));
	assert_true(driver_take(it.driver, &id, &written));
	assert_int_equal(written, 72);
	assert_int_equal(it.bench->refused_bytes, 0);
	stop_translating(&it, socket);
	end(&it);
}

static void
memory_that_may_not_be_accessed_so_stops_the_port(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 });
	struct rte_mbuf *packets[32];
	int socket = translate(&it);

	pv_iotlb_insert(it.bench->vio.iotlb, 0x1000, 0x1000, driver_at(it.driver, AT(0)), VHOST_ACCESS_WO);
	driver_offer_one(it.driver, 0x1000, 100, 0);
	assert_int_equal(receive(&it, packets, 32), 0);
	assert_stopped(&it, "ring 1: a descriptor points outside the guest's memory, with the length: 100");
	stop_translating(&it, socket);
	end(&it);
}

/* --- frames to the guest ------------------------------------------------------------------------------------------ */

/* Marks the buffers as not written to, and makes them writable. */
static void
prepare(struct guest *it, struct driver_buffer *buffers, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		buffers[i].flags = WRITE;
		for (uint32_t j = 0; j < buffers[i].length; j++)
			*driver_at(it->driver, buffers[i].address + j) = UNTOUCHED;
	}
}

/* Checks `used` bytes of the buffers from `done` on, and that the rest is as it was; returns what was checked in all.
 */
static uint32_t
check_buffers(struct guest *it, const struct driver_buffer *buffers, uint16_t n, uint32_t used, uint32_t done,
	      uint8_t seed, uint16_t num_buffers)
{
	uint32_t header_size = it->bench->vio.header_size, end_ = done + used;

	for (uint16_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < buffers[i].length; j++) {
			uint8_t expected = 0, found = *driver_at(it->driver, buffers[i].address + j);

			if (done >= end_)
				expected = UNTOUCHED;
			else if (done >= header_size)
				expected = (uint8_t)(seed + done - header_size);
			else if (done >= 10)
				expected = (uint8_t)(num_buffers >> 8 * (done - 10));
			if (found != expected)
				fail_msg("byte %u of the frame is %02x instead of %02x", done, found, expected);
			done += done < end_;
		}
	return done;
}

static void
check_frame_to(struct guest *it, enum layout layout, uint32_t length, uint32_t spare)
{
	uint32_t header_size = it->bench->vio.header_size, id, written;
	struct rte_mbuf *packet = bench_packet(it->pool, length, length % 3 + 1, (uint8_t)length);
	struct driver_buffer buffers[PIECES_MAX];
	uint16_t n = lay_out(layout, length + header_size + spare, header_size, 0, buffers), offered;

	prepare(it, buffers, n);
	offered = offer(it, layout, buffers, n);
	assert_int_equal(transmit(it, &packet, 1), 1);
	assert_true(driver_take(it->driver, &id, &written));
	assert_int_equal(id, offered);
	assert_int_equal(written, length + header_size);
	check_buffers(it, buffers, n, written, 0, (uint8_t)length, 1);
	assert_int_equal(it->bench->refused_bytes, 0);
}

static void
frames_are_delivered_in_every_layout(void **state)
{
	static const uint32_t lengths[] = { 60, 61, 62, 128, 129, 500, 1000, 1517, 1518, 1522 };
	static const uint64_t features[] = { 0, V1, MERGE, V1 | MERGE };

	for (int packed = 0; packed < 2; packed++)
		for (size_t i = 0; i < RTE_DIM(features); i++) {
			struct guest it = guest(&(struct guest_setup){
				.packed = packed, .size = 32, .receives = true, .features = features[i] | TABLES });

			for (enum layout layout = 0; layout < LAYOUTS; layout++)
				for (size_t j = 0; j < RTE_DIM(lengths); j++) {
					check_frame_to(&it, layout, lengths[j], 0);
					check_frame_to(&it, layout, lengths[j], 1 + (uint32_t)j * 50);
				}
			end(&it);
		}
}

/* A frame over buffers of `room` bytes each: as many as it needs, and num_buffers says so. */
static void
check_merged(struct guest *it, uint32_t length, uint32_t room, uint16_t pieces)
{
	struct rte_mbuf *packet = bench_packet(it->pool, length, 1 + length % 4, (uint8_t)room);
	uint16_t needed = (uint16_t)((length + 12 + room - 1) / room), ids[256];
	struct driver_buffer buffers[256][2];
	uint32_t done = 0, id, written;

	for (uint16_t i = 0; i < needed; i++) {
		buffers[i][0] = (struct driver_buffer){ AT(i), pieces > 1 ? room / 2 : room, WRITE };
		buffers[i][1] = (struct driver_buffer){ AT(i) + 0x800, room - room / 2, WRITE };
		prepare(it, buffers[i], pieces);
		ids[i] = driver_offer(it->driver, buffers[i], pieces);
	}
	assert_int_equal(transmit(it, &packet, 1), 1);
	for (uint16_t i = 0; i < needed; i++) {
		assert_true(driver_take(it->driver, &id, &written));
		assert_int_equal(id, ids[i]);
		assert_int_equal(written, RTE_MIN(room, length + 12 - done));
		done = check_buffers(it, buffers[i], pieces, written, done, (uint8_t)room, needed);
	}
	assert_int_equal(done, length + 12);
	assert_nothing_given_back(it);
}

static void
a_frame_goes_into_as_many_mergeable_buffers_as_it_needs(void **state)
{
	static const uint32_t rooms[] = { 13, 20, 36, 61, 100, 512, 767, 768, 1533, 1534, 1535, 2048 };
	static const uint32_t lengths[] = { 1, 60, 500, 1522 };

	for (int packed = 0; packed < 2; packed++)
		for (uint16_t pieces = 1; pieces <= 2; pieces++) {
			struct guest it = guest(&(struct guest_setup){
				.packed = packed, .size = 512, .receives = true, .features = V1 | MERGE });

			for (size_t i = 0; i < RTE_DIM(rooms); i++)
				for (size_t j = 0; j < RTE_DIM(lengths); j++)
					check_merged(&it, lengths[j], rooms[i], pieces);
			end(&it);
		}
}

static void
a_full_burst_fills_the_ring_and_the_rest_stays_with_the_caller(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(&(struct guest_setup){ .packed = packed, .receives = true, .features = V1 });
		struct rte_mbuf *packets[32];

		for (uint16_t i = 0; i < 32; i++)
			packets[i] = bench_packet(it.pool, 100, 1, (uint8_t)i);
		for (uint16_t i = 0; i < 16; i++)
			driver_offer_one(it.driver, AT(i), 200, WRITE);
		assert_int_equal(transmit(&it, packets, 32), 16);
		assert_int_equal(transmit(&it, packets + 16, 16), 0);
		assert_int_equal(bench_calls(it.bench, 0), 1);
		assert_notifications(&it, 1, 1 / 16.0);
		assert_int_equal(rte_mempool_in_use_count(it.pool), 16);
		rte_pktmbuf_free_bulk(packets + 16, 16);
		assert_int_equal(it.bench->refused_bytes, 0);
		end(&it);
	}
}

/* What the ring is like before and after a frame that finds too few buffers. */
static void
a_ring_that_is_full_within_a_frame_stays_as_it_was(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(&(struct guest_setup){
			.packed = packed, .size = 5 + 3 * !packed, .receives = true, .features = V1 | MERGE });

		for (int lap = 0; lap < 12; lap++) {
			struct rte_mbuf *packets[2] = { bench_packet(it.pool, 50, 1, 0),
							bench_packet(it.pool, 250, 1, 0) };
			uint32_t id, written;

			for (uint16_t i = 0; i < 3; i++)
				driver_offer_one(it.driver, AT(i), 100, WRITE);
			assert_int_equal(transmit(&it, packets, 2), 1); /* one buffer, and two of the three it needs */
			assert_int_equal(transmit(&it, packets + 1, 1), 0);
			assert_true(driver_take(it.driver, &id, &written));
			assert_int_equal(written, 62);
			assert_nothing_given_back(&it);
			driver_offer_one(it.driver, AT(3), 100, WRITE);
			assert_int_equal(transmit(&it, packets + 1, 1), 1);
			for (uint16_t i = 0; i < 3; i++) {
				assert_true(driver_take(it.driver, &id, &written));
				assert_int_equal(written, i < 2 ? 100 : 62);
			}
			assert_int_equal(*driver_at(it.driver, AT(1) + 10), 3);
		}
		assert_int_equal(it.bench->refused_bytes, 0);
		end(&it);
	}
}

static void
a_frame_larger_than_the_buffer_is_lost_and_the_buffer_is_not(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(&(struct guest_setup){ .packed = packed, .receives = true, .features = V1 });
		struct rte_mbuf *packets[3] = { bench_packet(it.pool, 89, 1, 0), bench_packet(it.pool, 1000, 1, 0),
						bench_packet(it.pool, 88, 1, 0) };
		uint32_t id, written;

		driver_offer_one(it.driver, AT(0), 100, WRITE);
		assert_int_equal(transmit(&it, packets, 3), 3);
		assert_int_equal(it.bench->refused[PV_DROP_SMALL_BUFFER], 2);
		assert_int_equal(it.bench->refused_bytes, 1089);
		assert_true(driver_take(it.driver, &id, &written));
		assert_int_equal(written, 100);
		end(&it);
	}
}

static void
a_buffer_that_no_frame_fits_in_comes_back_empty(void **state)
{
	static const struct driver_buffer useless[] = {
		{ AT(0), 0, WRITE }, { AT(0), 9, WRITE }, { AT(0), 12, WRITE },
		{ AT(0), 2000, 0 },  { AT(0), 0, 0 },	  { DRIVER_HIGH - 4, 12, WRITE },
	};

	for (int i = 0; i < 4; i++) {
		struct guest it = guest(&(struct guest_setup){
			.packed = i % 2, .receives = true, .features = V1 | (i / 2 ? MERGE : 0) });

		for (size_t j = 0; j < RTE_DIM(useless); j++) {
			struct rte_mbuf *packets[2] = { bench_packet(it.pool, 60, 1, 1),
							bench_packet(it.pool, 60, 1, 1) };
			uint16_t id = driver_offer(it.driver, &useless[j], 1);
			uint32_t found, written;

			driver_offer_one(it.driver, AT(1), 100, WRITE);
			assert_int_equal(transmit(&it, packets, 2), 2);
			assert_int_equal(it.bench->refused[PV_DROP_BAD_CHAIN], j + 1);
			assert_given_back(&it, id);
			assert_true(driver_take(it.driver, &found, &written));
			assert_int_equal(written, 72);
		}
		assert_false(it.bench->vio.stopped);
		end(&it);
	}
}

/* Else each large frame would find it again, and none would ever arrive. */
static void
a_useless_chain_within_a_merged_frame_comes_back_with_those_before_it(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it =
			guest(&(struct guest_setup){ .packed = packed, .receives = true, .features = V1 | MERGE });
		struct rte_mbuf *packets[3];
		uint16_t ids[3];
		uint32_t id, written;

		for (uint16_t i = 0; i < 3; i++)
			packets[i] = bench_packet(it.pool, i == 1 ? 250 : 60, 1, 0);
		driver_offer_one(it.driver, AT(4), 100, WRITE);
		for (uint16_t i = 0; i < 3; i++)
			ids[i] = driver_offer_one(it.driver, AT(i), 100, i == 2 ? 0 : WRITE);
		driver_offer_one(it.driver, AT(5), 100, WRITE);
		assert_int_equal(transmit(&it, packets, 3), 3);
		assert_int_equal(it.bench->refused[PV_DROP_BAD_CHAIN], 1);
		assert_true(driver_take(it.driver, &id, &written));
		assert_int_equal(written, 72);
		for (uint16_t i = 0; i < 3; i++)
			assert_given_back(&it, ids[i]);
		assert_true(driver_take(it.driver, &id, &written));
		assert_int_equal(written, 72);
		end(&it);
	}
}

static void
a_frame_over_more_buffers_than_a_header_can_count_is_lost(void **state)
{
	struct guest it = guest(
		&(struct guest_setup){ .size = 1024, .receives = true, .features = V1 | MERGE, .frame_limit = 2000 });
	struct rte_mbuf *packets[32];
	uint32_t id, written;

	for (uint16_t i = 0; i < 600; i++)
		driver_offer_one(it.driver, AT(i % 64), i == 0 ? 100 : i == 1 ? 13 : 1, WRITE);
	packets[0] = bench_packet(it.pool, 88, 1, 0);
	packets[1] = bench_packet(it.pool, 1000, 1, 0);
	packets[2] = bench_packet(it.pool, 1, 1, 0);
	assert_int_equal(transmit(&it, packets, 2), 2);
	assert_int_equal(it.bench->refused[PV_DROP_SMALL_BUFFER], 1);
	assert_true(driver_take(it.driver, &id, &written));
	assert_int_equal(written, 100);
	for (int i = 0; i < 256; i++) {
		assert_true(driver_take(it.driver, &id, &written));
		assert_int_equal(written, 0);
	}
	assert_nothing_given_back(&it);
	rte_pktmbuf_free(packets[2]);
	end(&it);
}

static void
a_frame_that_needs_an_offload_that_the_guest_has_not_is_lost(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .receives = true, .features = V1 });
	struct rte_mbuf *packet = bench_packet(it.pool, 100, 1, 0);

	packet->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	packet->l2_len = 14;
	packet->l3_len = 20;
	driver_offer_one(it.driver, AT(0), 1000, WRITE);
	assert_int_equal(transmit(&it, &packet, 1), 1);
	assert_int_equal(it.bench->refused[PV_DROP_NEEDS_OFFLOAD], 1);
	assert_nothing_given_back(&it);
	end(&it);
}

static void
a_receive_buffer_that_is_nowhere_stops_the_port_and_the_frame_stays(void **state)
{
	if (windowed) /* test_window.c says what becomes of it */
		skip();
	for (int i = 0; i < 4; i++) {
		struct guest it = guest(&(struct guest_setup){
			.packed = i % 2, .receives = true, .features = V1 | (i / 2 ? MERGE : 0) });
		struct rte_mbuf *packets[2] = { bench_packet(it.pool, 50, 1, 0), bench_packet(it.pool, 150, 1, 0) };
		uint32_t id, written;

		driver_offer_one(it.driver, AT(0), 100, WRITE);
		if (i / 2)
			driver_offer_one(it.driver, AT(1), 100, WRITE);
		driver_offer_one(it.driver, DRIVER_END - 1, 2, WRITE);
		assert_int_equal(transmit(&it, packets, 2), 1);
		assert_stopped(&it, "ring 0: a descriptor points outside the guest's memory, with the length: 2");
		assert_true(driver_take(it.driver, &id, &written));
		assert_nothing_given_back(&it);
		assert_int_equal(transmit(&it, packets + 1, 1), 0);
		rte_pktmbuf_free(packets[1]);
		end(&it);
	}
}

static void
every_page_of_a_delivered_frame_is_logged(void **state)
{
	static _Atomic uint8_t log[DRIVER_END / 4096 / 8];

	for (int merged = 0; merged < 2; merged++) {
		struct guest it =
			guest(&(struct guest_setup){ .receives = true, .features = V1 | (merged ? MERGE : 0) });
		struct rte_mbuf *packet = bench_packet(it.pool, 1000, 1, 0);
		uint64_t pages[] = { DRIVER_BUFFERS / 4096, DRIVER_BUFFERS / 4096 + 1, DRIVER_BUFFERS / 4096 + 9 };

		memset((void *)log, 0, sizeof(log));
		it.bench->vio.memory.log = log;
		it.bench->vio.memory.log_size = sizeof(log);
		driver_offer_one(it.driver, AT(1) - 100, merged ? 200 : 1012, WRITE);
		if (merged)
			driver_offer_one(it.driver, AT(9) + 5, 1000, WRITE);
		assert_int_equal(transmit(&it, &packet, 1), 1);
		for (uint64_t page = 0; page < DRIVER_END / 4096; page++) {
			bool expected = page == pages[0] || page == pages[1] || (merged && page == pages[2]);

			assert_int_equal((log[page / 8] >> page % 8) & 1, expected);
		}
		end(&it);
	}
}

static void
a_shared_frame_is_copied_from_guest_to_guest(void **state)
{
	struct guest from = sharing_guest(false, 16, 0);
	struct guest to = guest(&(struct guest_setup){ .packed = true, .receives = true, .features = V1 | MERGE });
	struct driver_buffer buffers[PIECES_MAX];
	struct rte_mbuf *packets[32];
	uint32_t id, written;
	uint16_t n = lay_out(HEADER_WITH_DATA, 1012, 12, 0, buffers);

	write_frame(&from, NULL, 3, buffers, n);
	driver_offer(from.driver, buffers, n);
	for (int i = 0; i < 3; i++)
		driver_offer_one(to.driver, AT(i), 500, WRITE);
	assert_int_equal(receive(&from, packets, 32), 1);
	assert_int_equal(ring(&from)->counters.shared, 1);
	assert_int_equal(transmit(&to, packets, 1), 1);
	for (uint32_t done = 12; done < 1012; done++)
		assert_int_equal(*driver_at(to.driver, AT(done / 500) + done % 500), pattern(3, done - 12));
	for (int i = 0; i < 3; i++)
		assert_true(driver_take(to.driver, &id, &written));
	assert_int_equal(*driver_at(to.driver, AT(0) + 10), 3);
	end(&from);
	end(&to);
}

/* Else a guest that never says where its buffers are could keep another one from leaving. */
static void
a_frame_that_waits_for_a_guest_holds_nothing_of_the_sender(void **state)
{
	struct guest from = sharing_guest(false, 16, 0);
	struct guest to = guest(&(struct guest_setup){ .receives = true, .features = V1 });
	struct driver_buffer buffers[PIECES_MAX];
	struct rte_mbuf *packets[32];
	uint16_t n = lay_out(HEADER_WITH_DATA, 1012, 12, 0, buffers);
	uint32_t id, written;
	int socket = translate(&to);

	write_frame(&from, NULL, 3, buffers, n);
	driver_offer(from.driver, buffers, n);
	driver_offer_one(to.driver, 0x6000, 1012, WRITE);
	assert_int_equal(receive(&from, packets, 32), 1);
	assert_int_equal(ring(&from)->counters.shared, 1);
	assert_int_equal(transmit(&to, packets, 1), 1);
	assert_int_equal(ring(&to)->n_held, 1);
	assert_true(pv_vio_settle(ring(&from)));
	assert_true(driver_take(from.driver, &id, &written));
	pv_iotlb_insert(to.bench->vio.iotlb, 0x6000, 0x1000, driver_at(to.driver, AT(6)), VHOST_ACCESS_RW);
	assert_int_equal(receive(&to, packets, 1), 0);
	assert_int_equal(ring(&to)->n_held, 0);
	for (uint32_t done = 12; done < 1012; done++)
		assert_int_equal(*driver_at(to.driver, AT(6) + done), pattern(3, done - 12));
	stop_translating(&to, socket);
	end(&from);
	end(&to);
}

/* --- a guest that changes its memory all the time ----------------------------------------------------------------- */

#define CHANGES 500000
#define FRAMES 100 /* at least: on one CPU there are only so many for each turn of the other thread */

struct vandal {
	struct driver *driver;
	_Atomic bool end;
	_Atomic uint32_t changes;
	uint32_t random;
};

static uint32_t
dice(struct vandal *vandal, uint32_t sides)
{
	vandal->random = vandal->random * 1664525 + 1013904223;
	return (vandal->random >> 8) % sides;
}

/* Makes a descriptor something that may be right, or not. */
static void
change_descriptor(struct vandal *vandal)
{
	static const uint32_t lengths[] = { 0, 1, 11, 12, 13, 60, 200, 1000, 1534, 4096, 0x200000, UINT32_MAX };
	struct driver *driver = vandal->driver;
	uint16_t place = (uint16_t)dice(vandal, driver->size);
	uint64_t address = dice(vandal, 50) != 0 ? AT(dice(vandal, 64)) + dice(vandal, 4096) :
						   DRIVER_LOW + dice(vandal, 2 * DRIVER_REGION);
	uint32_t length = lengths[dice(vandal, dice(vandal, 20) != 0 ? 9 : RTE_DIM(lengths))];
	uint16_t flags = (uint16_t)dice(vandal, 8);

	if (dice(vandal, 3) != 0)
		flags &= WRITE;
	if (driver->packed) {
		volatile struct vring_packed_desc *to = &driver->ring[place];

		to->addr = address;
		to->len = length;
		to->id = (uint16_t)dice(vandal, 65536);
		to->flags = (uint16_t)(flags | (dice(vandal, 2) ? PV_PACKED_AVAIL : PV_PACKED_USED));
	} else {
		volatile struct vring_desc *to = &driver->desc[place];

		to->addr = address;
		to->len = length;
		to->flags = flags;
		to->next = (uint16_t)dice(vandal, driver->size + dice(vandal, 100) / 99);
	}
}

static void
change_available(struct vandal *vandal)
{
	volatile struct vring_avail *avail = vandal->driver->avail;
	uint16_t used = ((volatile struct vring_used *)vandal->driver->used)->idx;

	avail->ring[dice(vandal, vandal->driver->size)] =
		(uint16_t)dice(vandal, vandal->driver->size + dice(vandal, 1000) / 999);
	avail->idx = (uint16_t)(used + dice(vandal, vandal->driver->size / 2 + dice(vandal, 2000) / 1999));
}

static void *
keep_changing(void *argument)
{
	struct vandal *vandal = argument;

	for (; !vandal->end; vandal->changes++) {
		change_descriptor(vandal);
		if (!vandal->driver->packed)
			change_available(vandal);
		else
			*(volatile uint32_t *)vandal->driver->driver_event = dice(vandal, 1 << 24) << 8;
		*driver_at(vandal->driver, AT(dice(vandal, 64)) + dice(vandal, 40)) = (uint8_t)dice(vandal, 256);
	}
	return NULL;
}

static void
settle_and_revive(struct guest *it)
{
	assert_true(pv_vio_settle(ring(it)));
	revive(it);
}

/* Packets are kept for a while, so that loans are out while the guest goes on. */
static uint32_t
receive_from_a_vandal(struct guest *it, struct rte_mbuf **kept, uint16_t *n_kept, uint32_t round)
{
	struct rte_mbuf *packets[32];
	uint16_t n = receive(it, packets, 32);

	assert_in_range(n, 0, it->driver->size);
	assert_in_range(ring(it)->loan_tail - ring(it)->loan_head, 0, ring(it)->n_loans);
	for (uint16_t i = 0; i < n; i++) {
		assert_in_range(packets[i]->pkt_len, 1, 1522);
		kept[(*n_kept)++] = packets[i];
	}
	if (it->bench->vio.stopped || round % 4 == 0) {
		rte_pktmbuf_free_bulk(kept, *n_kept);
		*n_kept = 0;
	}
	if (it->bench->vio.stopped)
		settle_and_revive(it);
	return n;
}

static uint32_t
transmit_to_a_vandal(struct guest *it, uint32_t round)
{
	struct rte_mbuf *packets[8];
	uint16_t sent;

	for (uint16_t i = 0; i < 8; i++)
		packets[i] = bench_packet(it->pool, 60 + (round * 37 + i * 211) % 1400, 1 + i % 3, 0);
	sent = transmit(it, packets, 8);
	for (uint16_t i = sent; i < 8; i++)
		rte_pktmbuf_free(packets[i]);
	if (it->bench->vio.stopped)
		revive(it);
	return sent;
}

static void
run_beside_a_vandal(const struct guest_setup *setup)
{
	struct guest it = guest(setup);
	struct vandal vandal = { .driver = it.driver, .random = 7 };
	struct rte_mbuf *kept[4 * 32];
	uint16_t n_kept = 0;
	uint32_t frames = 0, round = 0;
	pthread_t thread;

	it.bench->vio.limit.burst = 0;
	assert_int_equal(pthread_create(&thread, NULL, keep_changing, &vandal), 0);
	for (; vandal.changes < CHANGES || frames < FRAMES; round++) {
		uint32_t before = frames;

		frames += setup->receives ? transmit_to_a_vandal(&it, round) :
					    receive_from_a_vandal(&it, kept, &n_kept, round);
		if (frames == before)
			sched_yield(); /* it may be its turn */
	}
	vandal.end = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	rte_pktmbuf_free_bulk(kept, n_kept);
	end(&it);
}

static void
memory_that_changes_between_check_and_use_breaks_nothing(void **state)
{
	static const uint32_t breaks[] = { 0, 128 };

	for (int i = 0; i < 8; i++)
		run_beside_a_vandal(&(struct guest_setup){ .packed = i % 2,
							   .receives = i / 2 % 2,
							   .size = i % 2 ? 5 : 8,
							   .copy_break = breaks[i / 4],
							   .features = V1 | TABLES | EVENTS | (i / 4 ? MERGE : 0) });
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_in_every_layout_arrive_as_they_were),
		cmocka_unit_test(frames_above_the_copy_break_are_shared_and_no_others),
		cmocka_unit_test(a_frame_in_more_than_20_pieces_is_copied),
		cmocka_unit_test(a_burst_takes_no_more_than_it_is_asked_for),
		cmocka_unit_test(a_chain_that_is_no_frame_is_dropped_and_comes_back),
		cmocka_unit_test(a_header_that_lies_is_dropped_and_its_chain_comes_back),
		cmocka_unit_test(fields_that_mean_nothing_are_ignored),
		cmocka_unit_test(shared_chains_are_given_back_in_order_whenever_their_packets_are_freed),
		cmocka_unit_test(a_shared_packet_may_be_freed_on_any_thread),
		cmocka_unit_test(a_shared_chain_is_given_back_after_the_last_packet_that_refers_to_it),
		cmocka_unit_test(settling_gives_back_what_is_late_and_calls_the_guest),
		cmocka_unit_test(a_ring_is_looked_at_until_its_chains_are_given_back),
		cmocka_unit_test(a_guest_keeps_half_of_its_ring),
		cmocka_unit_test(loans_work_in_the_smallest_rings),
		cmocka_unit_test(without_packets_chains_wait_and_none_is_lost),
		cmocka_unit_test(a_pool_that_runs_dry_in_a_frame_costs_the_frame_and_nothing_else),
		cmocka_unit_test(a_chain_that_breaks_the_rules_stops_the_port_behind_the_frames_before_it),
		cmocka_unit_test(an_index_that_cannot_be_stops_the_port),
		cmocka_unit_test(only_the_first_reason_is_kept),
		cmocka_unit_test(memory_that_is_gone_stops_the_port),
		cmocka_unit_test(a_ring_that_is_not_ready_is_not_touched),
		cmocka_unit_test(a_guest_is_called_once_for_a_burst_and_not_against_its_will),
		cmocka_unit_test(a_guest_that_does_not_take_its_calls_holds_nobody_up),
		cmocka_unit_test(a_call_that_waits_stops_the_port_and_the_third_one_shuts_its_guests_out),
		cmocka_unit_test(a_guest_that_polls_is_not_called),
		cmocka_unit_test(memory_that_is_not_all_there_is_work),
		cmocka_unit_test(a_frame_waits_for_each_of_its_translations_and_they_are_asked_for_once),
		cmocka_unit_test(a_frame_for_a_guest_is_kept_until_its_translations_are_known),
		cmocka_unit_test(memory_that_may_not_be_accessed_so_stops_the_port),
		cmocka_unit_test(frames_are_delivered_in_every_layout),
		cmocka_unit_test(a_frame_goes_into_as_many_mergeable_buffers_as_it_needs),
		cmocka_unit_test(a_full_burst_fills_the_ring_and_the_rest_stays_with_the_caller),
		cmocka_unit_test(a_ring_that_is_full_within_a_frame_stays_as_it_was),
		cmocka_unit_test(a_frame_larger_than_the_buffer_is_lost_and_the_buffer_is_not),
		cmocka_unit_test(a_buffer_that_no_frame_fits_in_comes_back_empty),
		cmocka_unit_test(a_useless_chain_within_a_merged_frame_comes_back_with_those_before_it),
		cmocka_unit_test(a_frame_over_more_buffers_than_a_header_can_count_is_lost),
		cmocka_unit_test(a_frame_that_needs_an_offload_that_the_guest_has_not_is_lost),
		cmocka_unit_test(a_receive_buffer_that_is_nowhere_stops_the_port_and_the_frame_stays),
		cmocka_unit_test(every_page_of_a_delivered_frame_is_logged),
		cmocka_unit_test(a_shared_frame_is_copied_from_guest_to_guest),
		cmocka_unit_test(a_frame_that_waits_for_a_guest_holds_nothing_of_the_sender),
		cmocka_unit_test(memory_that_changes_between_check_and_use_breaks_nothing),
	};

	granted = argc > 1 && strcmp(argv[1], "granted") == 0;
	windowed = argc > 1 && strcmp(argv[1], "window") == 0;
	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
