/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ways to reach the pages of a packet: the same bytes in each of them, and what becomes of mappings that last for one
 * packet. test_vio has the rings and layouts, with these mappings, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/memfd.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_malloc.h>

#include "core/primitive.h"
#include "driver.h"
#include "testbed.h"
#include "vio/fault.h"
#include "vio/grant.h"
#include "vio/io_channel.h"
#include "vio_bench.h"

#define WRITE VRING_DESC_F_WRITE
#define V1 (1ULL << VIRTIO_F_VERSION_1)
#define MERGE (1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define TABLES (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define PAGE 0x1000u
#define AT(n) (DRIVER_BUFFERS + (n)*PAGE)
#define HEADER 12u
#define HUGE_PAGE (2u << 20)
#define SIZE 64
#define PACKETS 255
#define FRAME_MAX 1522

enum mode { PERSISTENT, GRANT, HEADER_CHANNEL, MODES };

/* A guest with one ring: 1 it transmits with, 0 it receives with. */
struct guest {
	struct driver *driver;
	struct bench *bench;
	struct rte_mempool *pool;
	struct pv_vio_ring *ring;
};

static struct guest
guest_of(struct rte_mempool *pool, enum mode mode, bool packed, bool receives, uint64_t features)
{
	struct guest it = { .driver = driver_new(packed, SIZE), .pool = pool };
	struct pv_virtqueue_setup queue = driver_setup(it.driver, V1 | TABLES | features);
	const struct bench_setup bench = {
		.features = queue.features,
		.copy_break = mode == HEADER_CHANNEL ? PV_HEADER_COPY : 0,
		.pool = pool,
		.files = mode == GRANT ? &it.driver->files : NULL,
	};

	it.bench = bench_new(&bench, &it.driver->memory);
	assert_int_equal(bench_add_ring(it.bench, receives ? 0 : 1, &queue), 0);
	it.ring = &it.bench->vio.rings[receives ? 0 : 1];
	return it;
}

static struct guest
sender(struct rte_mempool *pool, enum mode mode)
{
	return guest_of(pool, mode, false, false, 0);
}

static struct guest
receiver(struct rte_mempool *pool, enum mode mode, uint64_t features)
{
	return guest_of(pool, mode, false, true, features);
}

static void
end(struct guest *it)
{
	bench_free(it->bench);
	driver_free(it->driver);
}

static void
end_pool(struct rte_mempool *pool)
{
	assert_int_equal(rte_mempool_avail_count(pool), pool->size);
	rte_mempool_free(pool);
}

static void
assert_granted(const struct guest *it, uint64_t maps, uint64_t pages, uint64_t failures)
{
	assert_int_equal(it->ring->granted.maps, maps);
	assert_int_equal(it->ring->granted.pages, pages);
	assert_int_equal(it->ring->granted.failures, failures);
}

static uint16_t
receive(struct guest *it, struct rte_mbuf **packets)
{
	return pv_vio_receive(&it->bench->vio, 0, packets, 32);
}

static uint16_t
transmit(struct guest *it, struct rte_mbuf *packet)
{
	return pv_vio_transmit(&it->bench->vio, 0, &packet, 1);
}

/* Has one frame received that lies in these buffers. */
static void
send_one(struct guest *it, const struct driver_buffer *buffers, uint16_t n)
{
	struct rte_mbuf *packets[32];
	uint32_t id, length;

	driver_offer(it->driver, buffers, n);
	assert_int_equal(receive(it, packets), 1);
	rte_pktmbuf_free(packets[0]);
	assert_true(driver_take(it->driver, &id, &length));
}

static void
send_plain(struct guest *it, uint64_t address, uint32_t length)
{
	const struct driver_buffer buffer = { address, length, 0 };

	send_one(it, &buffer, 1);
}

/* Has a frame delivered to what is offered; returns how many buffers it took. */
static unsigned int
deliver(struct guest *it, uint32_t length)
{
	struct rte_mbuf *packet = bench_packet(it->pool, length, 1, 1);
	uint32_t id, written;
	unsigned int n = 0;

	assert_int_equal(transmit(it, packet), 1);
	while (driver_take(it->driver, &id, &written))
		n++;
	return n;
}

/* Mappings of the guests' files; others come and go with the heap. */
static unsigned int
count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		n += strstr(line, "memfd:guest") != NULL;
	fclose(maps);
	return n;
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

static void
each_piece_of_a_packet_from_the_guest_is_mapped_once_and_counted(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = sender(pool, GRANT);
	const struct driver_buffer two[] = { { AT(0), HEADER, 0 }, { AT(1) + 8, 100, 0 } };

	send_plain(&it, AT(0), HEADER + 100);
	assert_granted(&it, 1, 1, 0);
	send_plain(&it, AT(1) - 50, HEADER + 100); /* over two pages, */
	assert_granted(&it, 2, 3, 0);
	send_plain(&it, DRIVER_HIGH - 50, HEADER + 100); /* and two regions */
	assert_granted(&it, 4, 5, 0);
	send_one(&it, two, 2);
	assert_granted(&it, 6, 7, 0);
	end(&it);
	end_pool(pool);
}

static void
each_piece_of_a_packet_to_the_guest_is_mapped_once_and_counted(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = receiver(pool, GRANT, MERGE);

	driver_offer_one(it.driver, AT(0), HEADER + 100, WRITE);
	assert_int_equal(deliver(&it, 100), 1);
	assert_granted(&it, 1, 1, 0);
	for (uint16_t i = 0; i < 3; i++)
		driver_offer_one(it.driver, AT(i + 1) - 10, 100, WRITE);
	assert_int_equal(deliver(&it, 250), 3);
	assert_granted(&it, 4, 1 + 3 * 2, 0);
	end(&it);
	end_pool(pool);
}

/* A guest without mergeable buffers offers room for the longest frame each time. */
static void
of_a_large_buffer_only_what_the_packet_needs_is_mapped(void **state)
{
	const struct driver_buffer large[] = { { AT(0), 2 * PAGE, WRITE }, { AT(8), 8 * PAGE, WRITE } };
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = receiver(pool, GRANT, 0);

	driver_offer(it.driver, large, 2);
	assert_int_equal(deliver(&it, 60), 1);
	assert_granted(&it, 1, 1, 0);
	end(&it);
	end_pool(pool);
}

static void
assert_report(const struct guest *it, const char *pages, double per_frame, json_int_t maps)
{
	json_t *report = pv_vio_report(&it->bench->vio), *ring;

	assert_string_equal(json_string_value(json_object_get(report, "pages")), pages);
	assert_true(json_real_value(json_object_get(report, "mappings_per_frame")) == per_frame);
	ring = json_array_get(json_object_get(report, "rings"), (size_t)(it->ring - it->bench->vio.rings));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(ring, "grants"), "maps")), maps);
	json_decref(report);
}

static void
a_port_reports_how_it_reaches_pages_and_mappings_per_frame(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest granted = sender(pool, GRANT), persistent = sender(pool, PERSISTENT);

	send_plain(&granted, AT(0), 200);
	send_plain(&granted, DRIVER_HIGH - 50, 200);
	assert_report(&granted, "grant", 1.5, 3);
	send_plain(&persistent, AT(0), 200);
	assert_report(&persistent, "persistent", 0, 0);
	end(&granted);
	end(&persistent);
	end_pool(pool);
}

/* --- the same bytes ----------------------------------------------------------------------------------------------- */

static uint32_t
pick(uint32_t below)
{
	return (uint32_t)rand() % below;
}

/* Cuts `total` bytes into buffers that lie in turn somewhere; returns how many there are. */
static uint16_t
lay_out(uint32_t total, uint32_t place, uint16_t flags, struct driver_buffer buffers[8])
{
	uint16_t n = 0;

	while (total > 0) {
		uint32_t part = n == 7 || pick(3) == 0 ? total : 1 + pick(total);
		uint64_t address = AT(place + 4 * n) + pick(2 * PAGE);

		if (n == 0 && pick(4) == 0)
			address = DRIVER_HIGH - pick(part + 1); /* over the border of regions */
		buffers[n++] = (struct driver_buffer){ address, part, flags };
		total -= part;
	}
	return n;
}

static void
offer(struct driver *driver, const struct driver_buffer *buffers, uint16_t n)
{
	if (pick(2) == 0)
		driver_offer(driver, buffers, n);
	else
		driver_offer_table(driver, buffers, n);
}

/* The byte at an offset of what buffers have, one after the other. */
static uint8_t *
byte_at(const struct driver *driver, const struct driver_buffer *buffers, uint32_t offset)
{
	uint16_t i = 0;

	while (offset >= buffers[i].length)
		offset -= buffers[i++].length;
	return driver_at(driver, buffers[i].address + offset);
}

/* A frame from one guest to another one, both of which lay their buffers out as they like. */
static void
cross(struct guest *from, struct guest *to)
{
	struct driver_buffer sent[8], got[8];
	uint32_t length = 60 + pick(FRAME_MAX - 59), spare = pick(2) * pick(3000), id, written;
	uint16_t n = lay_out(HEADER + length, 0, 0, sent);
	struct rte_mbuf *packets[32];

	for (uint32_t i = 0; i < HEADER + length; i++)
		*byte_at(from->driver, sent, i) = i < HEADER ? 0 : (uint8_t)rand();
	offer(from->driver, sent, n);
	n = lay_out(HEADER + length + spare, 0, WRITE, got);
	offer(to->driver, got, n);
	assert_int_equal(receive(from, packets), 1);
	assert_int_equal(transmit(to, packets[0]), 1);
	assert_int_equal(pv_vio_receive(&from->bench->vio, 0, packets, 0), 0); /* gives back what was shared */
	assert_true(driver_take(from->driver, &id, &written));
	assert_true(driver_take(to->driver, &id, &written));
	assert_int_equal(written, HEADER + length);
	for (uint32_t i = HEADER; i < HEADER + length; i++)
		assert_int_equal(*byte_at(to->driver, got, i), *byte_at(from->driver, sent, i));
}

/* Makes the guest's addresses translated ones: ranges of whatever length, and elsewhere than the guest has them. */
static struct pv_iotlb *
hide_behind_iommu(struct guest *it)
{
	struct pv_iotlb *iotlb = rte_zmalloc("iotlb", sizeof(*iotlb), 0);
	uint64_t at = DRIVER_LOW;

	assert_non_null(iotlb);
	while (at < DRIVER_END) {
		uint64_t size = 0x800 * (1 + pick(16)), left = (at < DRIVER_HIGH ? DRIVER_HIGH : DRIVER_END) - at;

		size = RTE_MIN(size, left);
		pv_iotlb_insert(iotlb, at, size, driver_at(it->driver, at), VHOST_ACCESS_RW);
		at += size;
	}
	it->bench->vio.iotlb = iotlb;
	it->bench->vio.memory.iotlb = iotlb;
	it->bench->vio.memory.n_direct = 0;
	return iotlb;
}

static void
cross_many_times(enum mode mode, bool packed, bool hidden, const struct pv_translation *translation)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest guests[2] = { guest_of(pool, mode, packed, false, 0), guest_of(pool, mode, packed, true, MERGE) };
	struct pv_iotlb *iotlbs[2] = { NULL, NULL };
	struct pv_translator *translators[2];

	for (int i = 0; i < 2; i++) {
		struct pv_vio_ring *ring = guests[i].ring;

		if (hidden)
			iotlbs[i] = hide_behind_iommu(&guests[i]);
		translators[i] = pv_translator_new(translation, &guests[i].bench->vio.memory, &ring->translated);
		ring->queue.translator = translators[i];
	}
	for (int i = 0; i < 300; i++)
		cross(&guests[0], &guests[1]);
	for (int i = 0; i < 2; i++) {
		assert_true((guests[i].ring->granted.maps >= 300) == (mode == GRANT));
		end(&guests[i]);
		pv_translator_free(translators[i]);
		rte_free(iotlbs[i]);
	}
	end_pool(pool);
}

static void
frames_cross_in_every_mode_over_every_ring_and_translation(void **state)
{
	static const struct pv_translation translations[] = {
		{ .way = PV_TRANSLATE_REGION },
		{ .way = PV_TRANSLATE_WALK },
		{ .way = PV_TRANSLATE_CACHE, .entries = 16 },
	};

	for (enum mode mode = 0; mode < MODES; mode++)
		for (int packed = 0; packed < 2; packed++)
			for (int hidden = 0; hidden < 2; hidden++)
				for (size_t i = 0; i < RTE_DIM(translations); i++)
					cross_many_times(mode, packed, hidden, &translations[i]);
}

/* Two files that follow one another here: a translator makes one piece of what is one for the guest. */
static void
a_piece_that_lies_in_two_files_is_mapped_in_two(void **state)
{
	uint8_t *both = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct pv_memory memory = { .n_regions = 0 };
	struct pv_grant_counters counters = { 0 };
	struct pv_grant_files files = { .n = 0 };
	struct iovec piece = { both + PAGE - 100, 300 };
	struct pv_pieces pieces = { .piece = &piece, .n = 1, .max = 1, .bytes = 300 };
	struct pv_grants *grants;
	_Atomic uint32_t faulted = 0;

	for (int i = 0; i < 2; i++) {
		int fd = memfd_create("guest", MFD_CLOEXEC);

		assert_int_equal(ftruncate(fd, PAGE), 0);
		mmap(both + i * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		pv_grant_files_add(&files, fd, both + i * PAGE, PAGE);
	}
	grants = pv_grants_new(&files, &memory, 1, &faulted, &counters);
	assert_true(pv_grants_map(grants, &pieces, UINT64_MAX, true));
	assert_int_equal(pieces.n, 2);
	assert_int_equal(pieces.bytes, 300);
	memset(pieces.piece[0].iov_base, 1, pieces.piece[0].iov_len);
	memset(pieces.piece[1].iov_base, 2, pieces.piece[1].iov_len);
	pv_grants_unmap(grants, 0);
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(both[PAGE - 100 + i], i < 100 ? 1 : 2);
	assert_int_equal(counters.maps, 2);
	pv_grants_free(grants);
	munmap(both, 2 * PAGE);
	for (int i = 0; i < 2; i++)
		close(files.file[i].fd);
}

static void
a_packet_in_very_many_pieces_is_not_mapped(void **state)
{
	static struct iovec piece[65];
	const struct pv_memory memory = { .n_regions = 0 };
	struct pv_grant_counters counters = { 0 };
	struct pv_grant_files files = { .n = 0 };
	struct pv_pieces pieces = { .piece = piece, .n = 65, .max = 65, .bytes = 65 };
	_Atomic uint32_t faulted = 0;
	struct pv_grants *grants;
	int fd = memfd_create("guest", MFD_CLOEXEC);
	uint8_t *memory_of_guest;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	memory_of_guest = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (int i = 0; i < 65; i++)
		piece[i] = (struct iovec){ memory_of_guest + 2 * i, 1 };
	pv_grant_files_add(&files, fd, memory_of_guest, PAGE);
	grants = pv_grants_new(&files, &memory, 65, &faulted, &counters);
	assert_false(pv_grants_map(grants, &pieces, UINT64_MAX, false));
	assert_int_equal(counters.failures, 1);
	assert_int_equal(counters.error, E2BIG);
	assert_int_equal(pv_grants_count(grants), 0);
	assert_true(pv_grants_map(grants, &pieces, 64, false));
	pv_grants_unmap(grants, 0);
	pv_grants_free(grants);
	munmap(memory_of_guest, PAGE);
	close(fd);
}

/* Maps 300 bytes over the border of two huge pages, again and again. */
static void
map_huge_pages(const struct pv_grant_files *files)
{
	const struct pv_memory memory = { .n_regions = 0 };
	struct pv_grant_counters counters = { 0 };
	_Atomic uint32_t faulted = 0;
	struct pv_grants *grants = pv_grants_new(files, &memory, 1, &faulted, &counters);
	uint8_t *host = files->file[0].mapping + HUGE_PAGE - 100;

	for (uint32_t lap = 1; lap < 20; lap++) {
		struct iovec piece = { host, 300 };
		struct pv_pieces pieces = { .piece = &piece, .n = 1, .max = 1, .bytes = 300 };
		unsigned int before = count_mappings();

		assert_true(pv_grants_map(grants, &pieces, 300, true));
		assert_int_equal(counters.pages, 2 * lap);
		memset(pieces.piece[0].iov_base, (int)lap, 300);
		assert_int_equal(count_mappings(), before + 1);
		pv_grants_unmap(grants, 0);
		assert_int_equal(count_mappings(), before);
		assert_int_equal(host[0], lap);
		assert_int_equal(host[299], lap);
	}
	pv_grants_free(grants);
}

static void
map_file(int fd, struct pv_grant_files *files)
{
	uint8_t *host = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(host, MAP_FAILED);
	pv_grant_files_add(files, fd, host, 2 * HUGE_PAGE);
}

static void
of_a_file_of_huge_pages_whole_ones_are_mapped(void **state)
{
	int huge = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	int plain = memfd_create("guest", MFD_CLOEXEC);
	struct pv_grant_files files = { .n = 0 }, known = { .n = 0 };

	if (huge >= 0) { /* the kernel knows such files, if there are pages for them or not */
		pv_grant_files_add(&known, huge, NULL, 0);
		assert_int_equal(known.file[0].page, HUGE_PAGE);
		close(huge);
	}
	assert_int_equal(ftruncate(plain, 2 * HUGE_PAGE), 0);
	map_file(plain, &files);
	assert_int_equal(files.file[0].page, PAGE);
	files.file[0].page = HUGE_PAGE; /* as if it were one */
	map_huge_pages(&files);
	munmap(files.file[0].mapping, 2 * HUGE_PAGE);
	close(plain);
}

static void
huge_pages_are_mapped_and_unmapped_by_the_kernel(void **state)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct pv_grant_files files = { .n = 0 };

	if (fd < 0 || fallocate(fd, 0, 0, 2 * HUGE_PAGE) != 0)
		skip(); /* the machine has none */
	map_file(fd, &files);
	map_huge_pages(&files);
	munmap(files.file[0].mapping, 2 * HUGE_PAGE);
	close(fd);
}

/* --- nothing is left behind --------------------------------------------------------------------------------------- */

static void
no_mapping_is_left_behind_in_any_mode(void **state)
{
	for (enum mode mode = 0; mode < MODES; mode++) {
		struct rte_mempool *pool = bench_pool(PACKETS);
		struct guest from = guest_of(pool, mode, true, false, 0), to = guest_of(pool, mode, true, true, MERGE);
		unsigned int before = count_mappings();

		assert_int_equal(before, 4); /* two regions of each guest */
		for (int i = 0; i < 200; i++)
			cross(&from, &to);
		assert_int_equal(count_mappings(), before);
		end(&from);
		end(&to);
		end_pool(pool);
		assert_int_equal(count_mappings(), 0);
	}
}

/* --- what the kernel refuses -------------------------------------------------------------------------------------- */

static struct rlimit
limit_addresses(rlim_t bytes)
{
	struct rlimit before, now;

	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	now = before;
	now.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_AS, &now), 0);
	return before;
}

static void
a_packet_that_cannot_be_mapped_is_dropped_and_its_chain_comes_back(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = sender(pool, GRANT);
	struct rte_mbuf *packets[32];
	struct rlimit before;
	uint32_t id, length;
	uint16_t received;

	send_plain(&it, AT(0), 200);
	for (uint16_t i = 0; i < 3; i++)
		driver_offer_one(it.driver, AT(i), 200, 0);
	before = limit_addresses(1);
	received = receive(&it, packets);
	limit_addresses(before.rlim_cur);
	assert_int_equal(received, 0);
	assert_int_equal(it.bench->dropped[PV_DROP_NO_MAPPING], 3);
	assert_int_equal(it.ring->granted.error, ENOMEM);
	for (uint16_t i = 0; i < 3; i++)
		assert_true(driver_take(it.driver, &id, &length));
	assert_granted(&it, 1, 1, 3);
	assert_false(it.bench->vio.stopped);
	send_plain(&it, AT(0), 200);
	end(&it);
	end_pool(pool);
}

static void
a_frame_whose_buffer_cannot_be_mapped_is_lost_and_the_buffer_is_not(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = receiver(pool, GRANT, 0);
	struct rte_mbuf *packet = bench_packet(pool, 100, 1, 1);
	struct rlimit before;
	uint16_t sent;

	for (uint16_t i = 0; i < 2; i++)
		driver_offer_one(it.driver, AT(i), 200, WRITE);
	assert_int_equal(deliver(&it, 50), 1);
	before = limit_addresses(1);
	sent = transmit(&it, packet);
	limit_addresses(before.rlim_cur);
	assert_int_equal(sent, 1);
	assert_int_equal(it.bench->refused[PV_DROP_NO_MAPPING], 1);
	assert_int_equal(it.bench->refused_bytes, 100);
	assert_granted(&it, 1, 1, 1);
	assert_int_equal(deliver(&it, 50), 1);
	end(&it);
	end_pool(pool);
}

/* A guest may forbid that its file be mapped for writing from now on, and rings go on in the mapping that there is. */
static void
a_sealed_file_costs_the_guest_what_it_would_receive(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest from = sender(pool, GRANT), to = receiver(pool, GRANT, MERGE);
	unsigned int before = count_mappings();

	assert_int_equal(fcntl(from.driver->files.file[1].fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	send_plain(&from, AT(0), 200);
	assert_int_equal(from.ring->granted.failures, 0);

	/* In the middle of a frame, too: what it had so far goes back empty. */
	assert_int_equal(fcntl(to.driver->files.file[0].fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	driver_offer_one(to.driver, AT(0), 100, WRITE);
	driver_offer_one(to.driver, DRIVER_HIGH, 100, WRITE);
	driver_offer_one(to.driver, AT(1), 100, WRITE);
	assert_int_equal(deliver(&to, 150), 1);
	assert_int_equal(deliver(&to, 60), 0);
	assert_int_equal(to.bench->refused[PV_DROP_NO_MAPPING], 2);
	assert_int_equal(to.ring->granted.error, EPERM);
	assert_int_equal(count_mappings(), before);
	assert_false(to.bench->vio.stopped);
	end(&from);
	end(&to);
	end_pool(pool);
}

static void
of_a_packet_that_is_mapped_in_part_nothing_stays_mapped(void **state)
{
	const struct driver_buffer two[] = { { AT(0), 100, WRITE }, { DRIVER_HIGH, 100, WRITE } };
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = receiver(pool, GRANT, 0);
	unsigned int before = count_mappings();

	assert_int_equal(fcntl(it.driver->files.file[0].fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	driver_offer(it.driver, two, 2);
	assert_int_equal(deliver(&it, 150), 0);
	assert_granted(&it, 1, 1, 1);
	assert_int_equal(count_mappings(), before);
	assert_int_equal(deliver(&it, 80), 1); /* it is all in the first */
	end(&it);
	end_pool(pool);
}

/* --- a file that is cut ------------------------------------------------------------------------------------------- */

/* Cuts the region that begins with the rings behind page `n` of its buffers. */
static void
cut(const struct guest *it, uint32_t n)
{
	assert_int_equal(ftruncate(it->driver->files.file[1].fd, (off_t)(DRIVER_FILE_OFFSET + AT(n) - DRIVER_LOW)), 0);
}

static void
assert_stopped(struct guest *it)
{
	struct rte_mbuf *packets[32];

	assert_int_equal(it->bench->vio.faulted, 1);
	assert_int_equal(receive(it, packets), 0);
	if (it->ring == &it->bench->vio.rings[1])
		assert_true(it->bench->vio.stopped);
	assert_false(pv_vio_enter(&it->bench->vio, it->ring));
}

static void
a_guest_that_cuts_its_file_stops_its_own_port_alone(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest from = sender(pool, GRANT), to = receiver(pool, GRANT, MERGE), other = sender(pool, GRANT);
	unsigned int before = count_mappings();
	struct rte_mbuf *packets[32];

	assert_int_equal(pv_fault_install(), 0); /* cmocka has its own handler of SIGBUS in each test */
	memset(driver_at(from.driver, AT(1) - 100), 0x55, 100);
	driver_offer_one(from.driver, AT(1) - 100, HEADER + 200, 0);
	cut(&from, 1);
	memset(driver_at(from.driver, AT(1) - 100), 0, HEADER);
	assert_int_equal(receive(&from, packets), 1);
	assert_int_equal(*rte_pktmbuf_mtod_offset(packets[0], uint8_t *, 87), 0x55);
	assert_int_equal(*rte_pktmbuf_mtod_offset(packets[0], uint8_t *, 88), 0);
	rte_pktmbuf_free(packets[0]);
	assert_stopped(&from);

	driver_offer_one(to.driver, AT(1) - 100, 2000, WRITE);
	cut(&to, 1);
	assert_int_equal(deliver(&to, 1000), 1);
	assert_stopped(&to);

	assert_int_equal(count_mappings(), before);
	assert_int_equal(other.bench->vio.faulted, 0);
	send_plain(&other, AT(0), 200);
	end(&from);
	end(&to);
	end(&other);
	end_pool(pool);
}

/* Else a fault that is nobody's guest's would be taken for one. */
static void
the_shield_is_down_behind_a_packet(void **state)
{
	struct rte_mempool *pool = bench_pool(PACKETS);
	struct guest it = sender(pool, GRANT);
	volatile uint8_t *gone;
	int fd = memfd_create("ours", MFD_CLOEXEC), status;
	pid_t child;

	gone = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	child = fork();
	if (child == 0) {
		signal(SIGBUS, SIG_DFL);
		pv_fault_install();
		send_plain(&it, AT(0), 200);
		_exit(*gone);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)gone, PAGE);
	close(fd);
	end(&it);
	end_pool(pool);
}

/* --- what is bound ------------------------------------------------------------------------------------------------ */

static void
the_smaller_copy_break_counts_and_with_grants_nothing_is_shared(void **state)
{
	const struct pv_io_channel persistent = { .way = PV_CHANNEL_PERSISTENT, .copy_break = PV_COPY_ALL };
	const struct pv_io_channel headers = { .way = PV_CHANNEL_PERSISTENT, .copy_break = 500 };
	const struct pv_io_channel grant = { .way = PV_CHANNEL_GRANT, .copy_break = PV_COPY_ALL };

	assert_int_equal(pv_io_channel_copy_break(&persistent, PV_COPY_ALL), PV_COPY_ALL);
	assert_int_equal(pv_io_channel_copy_break(&persistent, 256), 256);
	assert_int_equal(pv_io_channel_copy_break(&headers, PV_COPY_ALL), 500);
	assert_int_equal(pv_io_channel_copy_break(&headers, 256), 256);
	assert_int_equal(pv_io_channel_copy_break(&headers, 1000), 500);
	assert_int_equal(pv_io_channel_copy_break(&grant, 256), PV_COPY_ALL);
}

static void
only_xen_maps_each_packet(void **state)
{
	static const enum pv_channel_way expected[PV_BASELINE_COUNT] = { [PV_BASELINE_XEN] = PV_CHANNEL_GRANT };

	for (int baseline = 0; baseline < PV_BASELINE_COUNT; baseline++) {
		const struct pv_config config = { .settings.baseline = (uint32_t)baseline };
		struct pv_binding bindings[PV_BINDINGS_MAX];
		int n = pv_bind(&config, bindings, PV_BINDINGS_MAX), found = 0;

		for (int i = 0; i < n; i++) {
			const struct pv_io_channel_ops *ops = bindings[i].implementation->ops;

			if (strcmp(bindings[i].primitive, PV_PRIMITIVE_IO_CHANNEL) != 0)
				continue;
			assert_int_equal(ops->choose(NULL).way, expected[baseline]);
			assert_int_equal(ops->choose(NULL).copy_break, PV_COPY_ALL);
			found++;
		}
		assert_int_equal(found, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_piece_of_a_packet_from_the_guest_is_mapped_once_and_counted),
		cmocka_unit_test(each_piece_of_a_packet_to_the_guest_is_mapped_once_and_counted),
		cmocka_unit_test(of_a_large_buffer_only_what_the_packet_needs_is_mapped),
		cmocka_unit_test(a_port_reports_how_it_reaches_pages_and_mappings_per_frame),
		cmocka_unit_test(frames_cross_in_every_mode_over_every_ring_and_translation),
		cmocka_unit_test(a_piece_that_lies_in_two_files_is_mapped_in_two),
		cmocka_unit_test(a_packet_in_very_many_pieces_is_not_mapped),
		cmocka_unit_test(of_a_file_of_huge_pages_whole_ones_are_mapped),
		cmocka_unit_test(huge_pages_are_mapped_and_unmapped_by_the_kernel),
		cmocka_unit_test(no_mapping_is_left_behind_in_any_mode),
		cmocka_unit_test(a_packet_that_cannot_be_mapped_is_dropped_and_its_chain_comes_back),
		cmocka_unit_test(a_frame_whose_buffer_cannot_be_mapped_is_lost_and_the_buffer_is_not),
		cmocka_unit_test(a_sealed_file_costs_the_guest_what_it_would_receive),
		cmocka_unit_test(of_a_packet_that_is_mapped_in_part_nothing_stays_mapped),
		cmocka_unit_test(a_guest_that_cuts_its_file_stops_its_own_port_alone),
		cmocka_unit_test(the_shield_is_down_behind_a_packet),
		cmocka_unit_test(the_smaller_copy_break_counts_and_with_grants_nothing_is_shared),
		cmocka_unit_test(only_xen_maps_each_packet),
	};

	testbed_start_eal();
	srand(1); /* the same in every run */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
