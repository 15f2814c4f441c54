/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that are longer than one buffer, through the rings of one guest: from one that may send them, in pieces or
 * not, copied or shared, and to one that takes them, with what the header says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>

#include <rte_malloc.h>
#include <rte_tcp.h>

#include "driver.h"
#include "large.h"
#include "testbed.h"
#include "vio/coalesced.h"
#include "vio/net_header.h"
#include "vio/offload.h"
#include "vio_bench.h"

#define WRITE VRING_DESC_F_WRITE
#define V1 (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define MERGE (1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define HEADER 12 /* bytes, with V1 */
#define PIECES_MAX 64
#define UNTOUCHED 0xee

static const struct large tcp4 = { .payload = 60000, .size = 1448, .tcp_options = 3 };
static const struct large tcp6 = { .payload = 20000, .size = 1428, .ipv6 = true, .tags = 1 };
static const struct large cwr = { .payload = 5000, .size = 1448, .tcp_flags = RTE_TCP_CWR_FLAG };
static const struct large udp4 = { .payload = 65000, .size = 1480, .udp = true };
static const struct large udp6 = { .payload = 30000, .size = 1448, .udp = true, .ipv6 = true };
static const struct large *const larges[] = { &tcp4, &tcp6, &cwr, &udp4, &udp6 };

static uint8_t bytes[HEADER + LARGE_FRAME_MAX]; /* as the guest has them */
static uint8_t flat[LARGE_FRAME_MAX];

static bool windowed; /* with the argument "window": the memory of guests lies in one */

/* A guest with one ring: 1 it transmits with, 0 it receives with. */
struct guest {
	struct driver *driver;
	struct bench *bench;
	struct rte_mempool *pool;
	uint16_t index;
};

struct guest_setup {
	bool packed, receives;
	uint64_t features;
	uint32_t copy_break, frame_limit; /* 0: PV_LARGE_FRAME_MAX */
	unsigned int packets;		  /* in the pool; 0: 255 */
};

static struct guest
guest(const struct guest_setup *setup)
{
	struct guest it = {
		.driver = driver_new(setup->packed, 256),
		.pool = bench_pool(setup->packets != 0 ? setup->packets : 255),
		.index = setup->receives ? 0 : 1,
	};
	struct pv_virtqueue_setup queue = driver_setup(it.driver, setup->features);
	const struct bench_setup bench = {
		.features = queue.features,
		.copy_break = setup->copy_break,
		.frame_limit = setup->frame_limit != 0 ? setup->frame_limit : PV_LARGE_FRAME_MAX,
		.pool = it.pool,
		.window_files = windowed ? &it.driver->files : NULL,
	};

	it.bench = bench_new(&bench, &it.driver->memory);
	assert_int_equal(bench_add_ring(it.bench, it.index, &queue), 0);
	return it;
}

static void
end(struct guest *it)
{
	bench_free(it->bench);
	assert_int_equal(rte_mempool_avail_count(it->pool), it->pool->size);
	rte_mempool_free(it->pool);
	driver_free(it->driver);
}

static struct pv_vio_counters
counters(const struct guest *it)
{
	return it->bench->vio.rings[it->index].counters;
}

/* --- from the guest ----------------------------------------------------------------------------------------------- */

/* The virtio-net header that a guest sends with a packet (virtio 1.2, 5.1.6.2). */
static struct virtio_net_hdr
header_of(const struct large *large)
{
	static const uint8_t types[2][2] = { { VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 },
					     { VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP } };
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = large_l2(large) + large_l3(large),
		.csum_offset = large->udp ? 6 : 16,
	};

	if (large->size == 0)
		return header;
	header.gso_type = types[large->udp][large->ipv6];
	if ((large->tcp_flags & RTE_TCP_CWR_FLAG) != 0)
		header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header.gso_size = large->size;
	header.hdr_len = (uint16_t)large_headers(large);
	return header;
}

/* Writes header and frame to where the guest has them; returns the length of both. */
static uint32_t
make_bytes(const struct large *large)
{
	struct virtio_net_hdr header = header_of(large);

	memset(bytes, 0, HEADER);
	memcpy(bytes, &header, sizeof(header));
	return HEADER + large_bytes(large, bytes + HEADER);
}

/* How a guest may lay it out. As Linux does: the header by itself, what is linear, and pages. */
enum layout { TOGETHER, BORDER, LINUX, LINUX_IN_TABLE, MANY, LAYOUTS };

static uint16_t
lay_out(enum layout layout, uint32_t total, struct driver_buffer *buffers)
{
	uint32_t done = 0, part;
	uint16_t n = 0;

	if (layout == TOGETHER || layout == BORDER) {
		buffers[0] =
			(struct driver_buffer){ layout == BORDER ? DRIVER_HIGH - total / 3 : DRIVER_BUFFERS, total, 0 };
		return 1;
	}
	for (; done < total; done += part, n++) {
		part = layout == MANY ? (total + 39) / 40 : n == 0 ? HEADER : n == 1 ? 200 : (total - 212 + 16) / 17;
		part = RTE_MIN(part, total - done);
		assert_in_range(n, 0, PIECES_MAX - 1);
		buffers[n] = (struct driver_buffer){ DRIVER_BUFFERS + n * 0x2000u + 7, part, 0 };
	}
	return n;
}

static uint16_t
offer(struct guest *it, enum layout layout, uint32_t total)
{
	struct driver_buffer buffers[PIECES_MAX];
	uint16_t n = lay_out(layout, total, buffers);
	uint32_t done = 0;

	for (uint16_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < buffers[i].length; j++)
			*driver_at(it->driver, buffers[i].address + j) = bytes[done++];
	return layout == LINUX_IN_TABLE ? driver_offer_table(it->driver, buffers, n) :
					  driver_offer(it->driver, buffers, n);
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
assert_request(const struct rte_mbuf *packet, const struct large *large)
{
	assert_int_equal(packet->ol_flags & PV_NET_HEADER_FLAGS, large_flags(large) & PV_NET_HEADER_FLAGS);
	assert_int_equal(packet->l2_len, large_l2(large));
	assert_int_equal(packet->l3_len, large_l3(large));
	assert_int_equal(packet->l4_len, large_l4(large));
	assert_int_equal(packet->tso_segsz, large->size);
}

/* Sends it; it must arrive as it was, and its chain come back. Whether it was shared. */
static bool
check_from(struct guest *it, enum layout layout, const struct large *large)
{
	uint64_t shared = counters(it).shared, copied = counters(it).copied;
	uint32_t total = make_bytes(large);
	struct rte_mbuf *packet;
	uint16_t id = offer(it, layout, total);

	assert_int_equal(pv_vio_receive(&it->bench->vio, 0, &packet, 1), 1);
	rte_mbuf_sanity_check(packet, 1);
	assert_request(packet, large);
	assert_int_equal(packet->pkt_len, total - HEADER);
	assert_int_equal(large_flat(packet, flat), total - HEADER);
	assert_memory_equal(flat, bytes + HEADER, total - HEADER);
	rte_pktmbuf_free(packet);
	assert_int_equal(pv_vio_receive(&it->bench->vio, 0, &packet, 1), 0);
	assert_given_back(it, id);
	shared = counters(it).shared - shared;
	assert_int_equal(shared + counters(it).copied - copied, 1);
	assert_int_equal(rte_mempool_avail_count(it->pool), it->pool->size);
	return shared == 1;
}

static void
large_packets_arrive_as_they_were_in_every_layout(void **state)
{
	for (int packed = 0; packed < 2; packed++)
		for (int sharing = 0; sharing < 2; sharing++) {
			struct guest it = guest(&(struct guest_setup){ .packed = packed,
								       .features = V1 | PV_FEATURES_FROM_GUEST,
								       .copy_break = sharing ? 256 : 0 });

			for (enum layout layout = 0; layout < LAYOUTS; layout++)
				for (size_t i = 0; i < RTE_DIM(larges); i++)
					assert_int_equal(check_from(&it, layout, larges[i]),
							 sharing && layout != MANY); /* in too many pieces */
			end(&it);
		}
}

/* What is not a multiple of a buffer's room, and what is; these need not be segmented. */
static void
frames_of_any_length_are_copied_whole(void **state)
{
	static const uint32_t lengths[] = { BENCH_ROOM - 1, BENCH_ROOM,		BENCH_ROOM + 1, 2 * BENCH_ROOM - 1,
					    2 * BENCH_ROOM, 2 * BENCH_ROOM + 1, 5 * BENCH_ROOM, 65535 + 14 };
	struct guest it = guest(&(struct guest_setup){ .features = V1 | PV_FEATURES_FROM_GUEST });

	for (size_t i = 0; i < RTE_DIM(lengths); i++)
		for (enum layout layout = 0; layout < LAYOUTS; layout++) {
			const struct large large = { .payload = lengths[i] - 54 };

			assert_false(check_from(&it, layout, &large));
		}
	end(&it);
}

static void
the_longest_datagram_behind_two_tags_is_taken_and_no_more(void **state)
{
	struct large large = { .payload = UINT16_MAX - 40, .size = 1448, .tags = 2 };
	struct guest it = guest(&(struct guest_setup){ .features = V1 | PV_FEATURES_FROM_GUEST, .copy_break = 256 });
	struct rte_mbuf *packet;

	for (enum layout layout = 0; layout < LAYOUTS; layout++)
		check_from(&it, layout, &large);
	assert_int_equal(make_bytes(&large), HEADER + PV_LARGE_FRAME_MAX);
	for (enum layout layout = 0; layout < LAYOUTS; layout++) {
		uint16_t id = offer(&it, layout, HEADER + PV_LARGE_FRAME_MAX + 1);

		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 1), 0);
		assert_int_equal(it.bench->dropped[PV_DROP_OVERSIZED], layout + 1u);
		assert_given_back(&it, id);
	}
	end(&it);
}

/* Who has not negotiated to send them has the limit of every port. */
static void
large_packets_of_a_guest_that_may_not_send_them_are_oversized(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1, .frame_limit = 1522 });
	struct rte_mbuf *packet;

	for (enum layout layout = 0; layout < LAYOUTS; layout++) {
		uint16_t id = offer(&it, layout, make_bytes(&tcp4));

		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 1), 0);
		assert_int_equal(it.bench->dropped[PV_DROP_OVERSIZED], layout + 1u);
		assert_given_back(&it, id);
	}
	end(&it);
}

static void
a_pool_that_runs_dry_in_a_large_packet_costs_the_packet_and_nothing_else(void **state)
{
	unsigned int arrived = 0, lost = 0;

	for (unsigned int room = 1; room < 45; room++)
		for (int sharing = 0; sharing < 2; sharing++)
			for (enum layout layout = 0; layout < LAYOUTS; layout++) {
				struct guest it = guest(&(struct guest_setup){ .features = V1 | PV_FEATURES_FROM_GUEST,
									       .copy_break = sharing ? 256 : 0,
									       .packets = room });
				uint16_t id = offer(&it, layout, make_bytes(&tcp4));
				struct rte_mbuf *packet;
				uint16_t n = pv_vio_receive(&it.bench->vio, 0, &packet, 1);

				assert_int_equal(n + it.bench->dropped[PV_DROP_NO_BUFFER], 1);
				assert_int_equal(counters(&it).copied + counters(&it).shared, n);
				arrived += n;
				lost += 1u - n;
				if (n == 1)
					rte_pktmbuf_free(packet);
				assert_int_equal(rte_mempool_avail_count(it.pool), room);
				assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 0), 0);
				assert_given_back(&it, id);
				end(&it);
			}
	assert_true(arrived > 0 && lost > 0);
}

/* One system call of a guest would keep the host's kernel busy with 64 K segments, were they let through. */
static void
a_packet_of_more_segments_than_any_driver_makes_is_refused(void **state)
{
	struct guest it = guest(&(struct guest_setup){ .features = V1 | PV_FEATURES_FROM_GUEST });
	struct large large = { .payload = 65000, .size = 1 };
	struct rte_mbuf *packet;
	uint16_t id = offer(&it, TOGETHER, make_bytes(&large));

	assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 1), 0);
	assert_int_equal(it.bench->dropped[PV_DROP_BAD_HEADER], 1);
	assert_given_back(&it, id);
	large.size = 88;
	check_from(&it, TOGETHER, &large);
	large = (struct large){ .payload = 27000, .size = 36 }; /* what Linux makes at the least */
	check_from(&it, TOGETHER, &large);
	end(&it);
}

/* --- to the guest ------------------------------------------------------------------------------------------------- */

/* Offers `n` chains of `pieces` descriptors of `room` bytes. */
static void
offer_room(struct guest *it, uint16_t n, uint16_t pieces, uint32_t room)
{
	struct driver_buffer buffers[PIECES_MAX];

	for (uint16_t i = 0; i < n; i++) {
		for (uint16_t j = 0; j < pieces; j++) {
			buffers[j] = (struct driver_buffer){ DRIVER_BUFFERS + (i * pieces + j) * room, room, WRITE };
			memset(driver_at(it->driver, buffers[j].address), UNTOUCHED, room);
		}
		driver_offer(it->driver, buffers, pieces);
	}
}

/* Reads a frame and its header out of chains that were offered so; returns the length of both. */
static uint32_t
take_bytes(struct guest *it, uint16_t pieces, uint32_t room, uint16_t *chains)
{
	uint32_t total = 0, id, written;

	for (*chains = 0; driver_take(it->driver, &id, &written); ++*chains) {
		assert_in_range(written, 1, pieces * room);
		for (uint32_t i = 0; i < written; i++)
			bytes[total++] = *driver_at(it->driver, DRIVER_BUFFERS + (uint64_t)*chains * pieces * room + i);
	}
	return total;
}

static void
check_to(uint64_t features, const struct large *large, uint16_t n, uint16_t pieces, uint32_t room)
{
	struct guest it = guest(&(struct guest_setup){
		.packed = n % 2, .receives = true, .features = V1 | PV_FEATURES_TO_GUEST | features });
	struct rte_mbuf *packet = large_packet(large, it.pool);
	uint32_t length = large_bytes(large, flat);
	struct virtio_net_hdr_mrg_rxbuf header;
	uint16_t chains;

	offer_room(&it, n, pieces, room);
	assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, &packet, 1), 1);
	assert_int_equal(it.bench->refused_bytes, 0);
	assert_int_equal(take_bytes(&it, pieces, room, &chains), HEADER + length);
	memcpy(&header, bytes, sizeof(header));
	header.hdr = header_of(large);
	assert_memory_equal(bytes, &header.hdr, sizeof(header.hdr));
	assert_int_equal(header.num_buffers, chains);
	assert_int_equal(chains, (HEADER + length + pieces * room - 1) / (pieces * room));
	assert_memory_equal(bytes + HEADER, flat, length);
	end(&it);
}

static void
large_packets_are_delivered_into_mergeable_buffers(void **state)
{
	for (size_t i = 0; i < RTE_DIM(larges); i++) {
		check_to(MERGE, larges[i], 60, 1, 1536);
		check_to(MERGE, larges[i], 33, 1, 4096);
		check_to(MERGE, larges[i], 8, 4, 4096);
	}
}

static void
large_packets_are_delivered_into_big_chains(void **state)
{
	for (size_t i = 0; i < RTE_DIM(larges); i++) {
		check_to(0, larges[i], 1, 19, 4096); /* as Linux offers them */
		check_to(0, larges[i], 2, 1, 70000);
	}
}

static void
a_large_packet_for_small_buffers_is_lost_and_they_are_not(void **state)
{
	struct guest it =
		guest(&(struct guest_setup){ .receives = true, .features = V1 | PV_FEATURES_TO_GUEST, .packets = 100 });
	struct rte_mbuf *packets[2] = { large_packet(&tcp4, it.pool), large_packet(&cwr, it.pool) };
	uint16_t chains;

	offer_room(&it, 1, 4, 2048);
	assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, packets, 2), 2);
	assert_int_equal(it.bench->refused[PV_DROP_SMALL_BUFFER], 1);
	assert_int_equal(take_bytes(&it, 4, 2048, &chains), HEADER + large_bytes(&cwr, flat));
	end(&it);
}

/* What a guest is told that negotiated VIRTIO_NET_F_RSC_EXT or not, of a packet that was aggregated or not. */
static void
check_told(bool tells, bool coalesced)
{
	struct guest it =
		guest(&(struct guest_setup){ .receives = true, .features = V1 | MERGE | PV_FEATURES_TO_GUEST });
	struct rte_mbuf *packet = large_packet(&tcp4, it.pool);
	struct virtio_net_hdr header, expected = header_of(&tcp4);
	uint16_t chains;

	it.bench->vio.tells_segments = tells;
	if (coalesced) {
		packet->ol_flags |= pv_coalesced_flag;
		*pv_coalesced(packet) = (struct pv_coalesced){ .segments = 42, .dup_acks = 3 };
	}
	offer_room(&it, 60, 1, 1536);
	assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, &packet, 1), 1);
	take_bytes(&it, 1, 1536, &chains);
	memcpy(&header, bytes, sizeof(header));
	if (tells && coalesced) {
		expected.flags = VIRTIO_NET_HDR_F_RSC_INFO | VIRTIO_NET_HDR_F_DATA_VALID;
		expected.csum_start = 42;
		expected.csum_offset = 3;
	}
	assert_memory_equal(&header, &expected, sizeof(header));
	end(&it);
}

static void
a_guest_that_wants_to_know_is_told_how_many_segments_a_packet_was(void **state)
{
	assert_int_equal(pv_coalesced_init(), 0);
	for (int i = 0; i < 4; i++)
		check_told(i & 1, i & 2);
}

/* The offload driver is before the port; what gets by it nevertheless, such as while a guest changes, is no harm. */
static void
a_packet_for_a_guest_without_the_offload_is_lost(void **state)
{
	static const uint8_t needed[] = { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN,
					  VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_UFO };

	for (size_t i = 0; i < RTE_DIM(larges); i++) {
		struct guest it = guest(&(struct guest_setup){
			.receives = true, .features = V1 | MERGE | (PV_FEATURES_TO_GUEST & ~(1ULL << needed[i])) });
		struct rte_mbuf *packet = large_packet(larges[i], it.pool);

		offer_room(&it, 60, 1, 1536);
		assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, &packet, 1), 1);
		assert_int_equal(it.bench->refused[PV_DROP_NEEDS_OFFLOAD], 1);
		end(&it);
	}
}

/* Kept until the address of the buffer is known, and of the sender's memory nothing is kept. */
static void
a_large_packet_may_wait_for_a_translation(void **state)
{
	struct large large = tcp4;
	struct guest it = guest(&(struct guest_setup){ .receives = true, .features = V1 | PV_FEATURES_TO_GUEST });
	struct pv_vio *vio = &it.bench->vio;
	struct rte_mbuf *packet;
	uint32_t id, written;
	int sockets[2];

	large.pieces = 17;
	large.external = true;
	packet = large_packet(&large, it.pool);
	vio->iotlb = rte_zmalloc("iotlb", sizeof(*vio->iotlb), 0);
	assert_non_null(vio->iotlb);
	vio->memory.iotlb = vio->iotlb;
	vio->memory.n_direct = 0;
	vio->memory.window = NULL; /* there is none behind an IOMMU */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	vio->backend_fd = sockets[0];
	driver_offer_one(it.driver, 0x40000, 0x12000, WRITE);
	assert_int_equal(pv_vio_transmit(vio, 0, &packet, 1), 1);
	assert_int_equal(vio->rings[0].n_held, 1);
	assert_int_equal(large_lent, 0);
	pv_iotlb_insert(vio->iotlb, 0x40000, 0x12000, driver_at(it.driver, DRIVER_BUFFERS), VHOST_ACCESS_RW);
	assert_int_equal(pv_vio_receive(vio, 0, &packet, 1), 0); /* its worker does this all the time */
	assert_true(driver_take(it.driver, &id, &written));
	assert_int_equal(written, HEADER + large_bytes(&large, flat));
	assert_memory_equal(driver_at(it.driver, DRIVER_BUFFERS + HEADER), flat, written - HEADER);
	assert_int_equal(it.bench->refused_bytes, 0);
	close(sockets[0]);
	close(sockets[1]);
	rte_free(vio->iotlb);
	end(&it);
}

/* Packets of 60000 bytes that nobody says a place for take no more buffers than what others can spare. */
static void
large_packets_that_wait_do_not_take_all_buffers(void **state)
{
	struct guest it = guest(
		&(struct guest_setup){ .receives = true, .features = V1 | PV_FEATURES_TO_GUEST, .packets = 1023 });
	struct pv_vio *vio = &it.bench->vio;
	unsigned int before = rte_mempool_avail_count(it.pool);
	struct rte_mbuf *packets[20];
	uint16_t taken;
	int sockets[2];

	for (uint16_t i = 0; i < RTE_DIM(packets); i++)
		packets[i] = large_packet(&tcp4, it.pool);
	vio->iotlb = rte_zmalloc("iotlb", sizeof(*vio->iotlb), 0);
	vio->memory.iotlb = vio->iotlb;
	vio->memory.n_direct = 0;
	vio->memory.window = NULL; /* there is none behind an IOMMU */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
	vio->backend_fd = sockets[0];
	driver_offer_one(it.driver, 0x40000, 0x12000, WRITE);
	taken = pv_vio_transmit(vio, 0, packets, RTE_DIM(packets));
	assert_in_range(taken, 1, RTE_DIM(packets) - 1);
	for (uint16_t i = taken; i < RTE_DIM(packets); i++)
		rte_pktmbuf_free(packets[i]);
	assert_in_range(before - rte_mempool_avail_count(it.pool), 30, 256);
	pv_vio_drop_held(vio, 0);
	close(sockets[0]);
	close(sockets[1]);
	rte_free(vio->iotlb);
	end(&it);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_packets_arrive_as_they_were_in_every_layout),
		cmocka_unit_test(frames_of_any_length_are_copied_whole),
		cmocka_unit_test(the_longest_datagram_behind_two_tags_is_taken_and_no_more),
		cmocka_unit_test(large_packets_of_a_guest_that_may_not_send_them_are_oversized),
		cmocka_unit_test(a_pool_that_runs_dry_in_a_large_packet_costs_the_packet_and_nothing_else),
		cmocka_unit_test(a_packet_of_more_segments_than_any_driver_makes_is_refused),
		cmocka_unit_test(large_packets_are_delivered_into_mergeable_buffers),
		cmocka_unit_test(large_packets_are_delivered_into_big_chains),
		cmocka_unit_test(a_large_packet_for_small_buffers_is_lost_and_they_are_not),
		cmocka_unit_test(a_guest_that_wants_to_know_is_told_how_many_segments_a_packet_was),
		cmocka_unit_test(a_packet_for_a_guest_without_the_offload_is_lost),
		cmocka_unit_test(a_large_packet_may_wait_for_a_translation),
		cmocka_unit_test(large_packets_that_wait_do_not_take_all_buffers),
	};

	windowed = argc > 1 && strcmp(argv[1], "window") == 0;
	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
