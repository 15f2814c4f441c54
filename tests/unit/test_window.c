/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's memory in a window: every address stays in it, what is not the guest's is zeroes and ends the guest, and
 * where there can be no window nothing has changed. test_vio.c and test_vio_large.c run over one, too.
 */
#include <errno.h>
#include <pthread.h>
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

#include <linux/virtio_config.h>

#include "child.h"
#include "driver.h"
#include "testbed.h"
#include "vio/fault.h"
#include "vio/window.h"
#include "vio_bench.h"

#define PAGE 4096u
#define WINDOW 0x20000000ULL /* bytes: the next power of two behind DRIVER_END */
#define LENGTH_MAX UINT32_MAX
#define HOLE 0x1ead0000u
#define V1 (1ULL << VIRTIO_F_VERSION_1)
#define WRITE VRING_DESC_F_WRITE
#define HEADER 12
#define THREADS 8
#define ATTACHMENTS 500

/* A guest and the window that its memory lies in. */
struct guest {
	struct driver *driver;
	struct pv_memory memory;
	struct pv_window window;
	_Atomic uint32_t faulted;
};

/* cmocka takes the signals before each test, so they are taken back here. */
static void
open_window(struct guest *it)
{
	memset(it, 0, sizeof(*it));
	assert_int_equal(pv_fault_install(), 0);
	it->driver = driver_new(false, 16);
	it->memory = it->driver->memory;
	assert_null(pv_window_open(&it->window, &it->memory, &it->driver->files, &it->faulted));
}

static void
close_window(struct guest *it)
{
	pv_window_close(&it->window, &it->memory);
	driver_free(it->driver);
}

static uint8_t *
at(const struct guest *it, uint64_t address)
{
	return pv_memory_at(&it->memory, address, 1);
}

static uint8_t
look_at(const struct guest *it, uint64_t address)
{
	return *(volatile uint8_t *)at(it, address);
}

static void
put(const struct guest *it, uint64_t address, uint8_t value)
{
	*(volatile uint8_t *)at(it, address) = value;
}

static unsigned int
count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int lines = 0;

	assert_non_null(maps);
	for (int byte; (byte = fgetc(maps)) != EOF;)
		lines += byte == '\n';
	fclose(maps);
	return lines;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static void
an_address_of_the_guest_is_where_the_guest_has_it(void **state)
{
	static const uint64_t addresses[] = { DRIVER_LOW, DRIVER_BUFFERS + 17, DRIVER_HIGH - 1, DRIVER_HIGH,
					      DRIVER_END - 1 };
	struct guest it;

	open_window(&it);
	for (size_t i = 0; i < RTE_DIM(addresses); i++) {
		uint8_t *guests = driver_at(it.driver, addresses[i]);

		*guests = (uint8_t)(i + 1);
		assert_int_equal(look_at(&it, addresses[i]), i + 1);
		put(&it, addresses[i], 0x77);
		assert_int_equal(*guests, 0x77);
		assert_true(pv_memory_has(&it.memory, at(&it, addresses[i]), 1));
		assert_int_equal(pv_memory_guest_address(&it.memory, at(&it, addresses[i])), addresses[i]);
		assert_ptr_equal(pv_window_move(&it.window, &it.memory, guests), at(&it, addresses[i]));
		assert_ptr_equal(pv_memory_at_user(&it.memory, addresses[i] + 0x7f0000000000, 1),
				 at(&it, addresses[i]));
	}
	assert_int_equal(it.faulted, 0);
	close_window(&it);
}

static void
assert_inside(const struct guest *it, uint64_t address)
{
	uint8_t *found = at(it, address);
	struct iovec piece;
	uint64_t missing;

	assert_in_range((uintptr_t)found, (uintptr_t)it->memory.window, (uintptr_t)it->memory.window + WINDOW - 1);
	assert_true(found + LENGTH_MAX < it->window.mapping + it->window.length);
	assert_ptr_equal(pv_memory_at(&it->memory, address, LENGTH_MAX), found);
	assert_int_equal(pv_memory_map(&it->memory, address, LENGTH_MAX, true, &piece, 1, &missing), 1);
	assert_ptr_equal(piece.iov_base, found);
	assert_int_equal(piece.iov_len, LENGTH_MAX);
}

static void
no_address_leaves_the_window_and_no_length_the_guard(void **state)
{
	static const uint64_t edges[] = { 0, WINDOW, DRIVER_LOW, DRIVER_END, 1ULL << 32, 1ULL << 47, 1ULL << 63 };
	struct guest it;

	open_window(&it);
	assert_int_equal(it.memory.window_mask, WINDOW - 1);
	for (size_t i = 0; i < RTE_DIM(edges); i++)
		for (uint64_t near = 0; near < 3; near++)
			assert_inside(&it, edges[i] - 1 + near);
	for (unsigned int i = 0; i < 100000; i++)
		assert_inside(&it, (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand());
	close_window(&it);
}

static void
a_buffer_over_the_border_of_regions_is_one_piece(void **state)
{
	struct guest it;
	struct iovec piece;
	uint64_t missing;

	open_window(&it);
	*driver_at(it.driver, DRIVER_HIGH - 1) = 1;
	*driver_at(it.driver, DRIVER_HIGH) = 2;
	assert_int_equal(pv_memory_map(&it.memory, DRIVER_HIGH - 1, 2, false, &piece, 1, &missing), 1);
	assert_int_equal(piece.iov_len, 2);
	assert_int_equal(((uint8_t *)piece.iov_base)[0], 1);
	assert_int_equal(((uint8_t *)piece.iov_base)[1], 2);
	assert_int_equal(pv_memory_map(&it.memory, DRIVER_HIGH, 0, false, &piece, 1, &missing), 0);
	close_window(&it);
}

/* While a guest is migrated: whatever address it gave for a page, the page is the one that is copied again. */
static void
what_is_written_is_logged_under_its_own_address(void **state)
{
	static _Atomic uint8_t log[DRIVER_END / PAGE / 8];
	struct guest it;

	open_window(&it);
	it.memory.log = log;
	it.memory.log_size = sizeof(log);
	pv_memory_written(&it.memory, at(&it, DRIVER_HIGH - 1 + 4 * WINDOW), 2);
	assert_int_equal(log[(DRIVER_HIGH - 1) / PAGE / 8], 0x80);
	assert_int_equal(log[DRIVER_HIGH / PAGE / 8], 1);
	pv_memory_written(&it.memory, at(&it, HOLE), 2);
	close_window(&it);
}

/* --- holes -------------------------------------------------------------------------------------------------------- */

static void
a_hole_is_zeroes_and_is_told(void **state)
{
	static const uint64_t holes[] = { 0, DRIVER_LOW - 1, DRIVER_END, WINDOW - 1 };

	for (size_t i = 0; i < RTE_DIM(holes); i++) {
		struct guest it;

		open_window(&it);
		memset(driver_at(it.driver, DRIVER_LOW), 0xa5, DRIVER_REGION);
		assert_int_equal(look_at(&it, holes[i]), 0);
		assert_int_equal(it.faulted, PV_FAULT_HOLE);
		put(&it, holes[i], 0x42);
		assert_int_equal(look_at(&it, holes[i]), 0x42);
		assert_int_equal(look_at(&it, DRIVER_LOW), 0xa5);
		close_window(&it);
	}
}

static void
what_is_behind_the_window_is_a_guard(void **state)
{
	struct guest it;
	volatile uint8_t *end;

	open_window(&it);
	end = at(&it, WINDOW - 1) + LENGTH_MAX;
	assert_int_equal(*end, 0);
	*end = 1;
	assert_int_equal(it.faulted, PV_FAULT_HOLE);
	close_window(&it);
}

static void
the_memory_beside_a_hole_stays_the_guests(void **state)
{
	struct guest it;

	open_window(&it);
	look_at(&it, DRIVER_LOW - 1);
	look_at(&it, DRIVER_END);
	*driver_at(it.driver, DRIVER_LOW) = 3;
	*driver_at(it.driver, DRIVER_END - 1) = 4;
	assert_int_equal(look_at(&it, DRIVER_LOW), 3);
	assert_int_equal(look_at(&it, DRIVER_END - 1), 4);
	close_window(&it);
}

/* Else a guest could use up the mappings that a process may have. */
static void
the_pages_of_a_hole_cost_one_mapping(void **state)
{
	struct guest it;
	unsigned int before;

	open_window(&it);
	before = count_mappings();
	for (uint64_t address = 0; address < DRIVER_LOW; address += 16 * PAGE)
		put(&it, address, 1);
	assert_in_range(count_mappings(), before, before + 1);
	close_window(&it);
}

static void
what_the_guest_takes_away_is_zeroes_and_told_apart(void **state)
{
	struct guest it;

	open_window(&it);
	memset(driver_at(it.driver, DRIVER_LOW), 0xa5, DRIVER_REGION);
	assert_int_equal(ftruncate(it.driver->files.file[1].fd, DRIVER_FILE_OFFSET + PAGE), 0);
	assert_int_equal(look_at(&it, DRIVER_LOW), 0xa5);
	assert_int_equal(it.faulted, 0);
	assert_int_equal(look_at(&it, DRIVER_LOW + PAGE), 0);
	assert_int_equal(it.faulted, PV_FAULT_CUT);
	assert_int_equal(look_at(&it, DRIVER_HIGH - 1), 0);
	look_at(&it, HOLE);
	assert_int_equal(it.faulted, PV_FAULT_CUT | PV_FAULT_HOLE);
	close_window(&it);
}

static void
only_the_owner_of_a_window_is_told(void **state)
{
	struct guest it, other;

	open_window(&it);
	open_window(&other);
	look_at(&it, HOLE);
	assert_int_equal(it.faulted, PV_FAULT_HOLE);
	assert_int_equal(other.faulted, 0);
	close_window(&it);
	look_at(&other, HOLE);
	assert_int_equal(other.faulted, PV_FAULT_HOLE);
	close_window(&other);
}

struct crowd {
	const struct guest *guest;
	pthread_barrier_t start;
};

static void *
touch_holes(void *argument)
{
	struct crowd *crowd = argument;

	pthread_barrier_wait(&crowd->start);
	for (uint64_t address = HOLE; address < HOLE + 64 * PAGE; address += PAGE) {
		uintptr_t sum = look_at(crowd->guest, address);

		put(crowd->guest, address, 0);
		if (sum != 0 || look_at(crowd->guest, address - DRIVER_LOW) != 0)
			return argument;
	}
	return NULL;
}

static void
many_threads_may_touch_a_hole_at_once(void **state)
{
	for (int round = 0; round < 100; round++) {
		struct guest it;
		struct crowd crowd = { .guest = &it };
		pthread_t threads[THREADS];
		void *wrong;

		open_window(&it);
		pthread_barrier_init(&crowd.start, NULL, THREADS);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, touch_holes, &crowd), 0);
		for (int i = 0; i < THREADS; i++) {
			assert_int_equal(pthread_join(threads[i], &wrong), 0);
			assert_null(wrong);
		}
		pthread_barrier_destroy(&crowd.start);
		close_window(&it);
	}
}

static void
a_system_call_sees_an_error(void **state)
{
	struct guest it;
	int ends[2];

	open_window(&it);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], at(&it, HOLE), 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(it.faulted, 0);
	close(ends[0]);
	close(ends[1]);
	close_window(&it);
}

/* --- what is no window's ------------------------------------------------------------------------------------------ */

static void
touch_what_is_nobodys(void)
{
	*(volatile uint8_t *)mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void
touch_null(void)
{
	volatile uintptr_t null = 16;

	*(volatile uint8_t *)null = 1;
}

static void
touch_a_closed_window(void)
{
	struct guest it;
	volatile uint8_t *hole;

	open_window(&it);
	hole = at(&it, HOLE);
	close_window(&it);
	*hole = 1;
}

static void
touch_what_may_only_be_read(void)
{
	struct guest it;

	open_window(&it);
	mprotect(at(&it, DRIVER_LOW), PAGE, PROT_READ);
	put(&it, DRIVER_LOW, 1);
}

static void
send_to_itself(void)
{
	kill(getpid(), SIGSEGV);
	pause();
}

static void
any_other_access_kills(void **state)
{
	child_assert_killed(SIGSEGV, touch_what_is_nobodys);
	child_assert_killed(SIGSEGV, touch_null);
	child_assert_killed(SIGSEGV, touch_a_closed_window);
	child_assert_killed(SIGSEGV, touch_what_may_only_be_read);
	child_assert_killed(SIGSEGV, send_to_itself);
}

/* --- no window ---------------------------------------------------------------------------------------------------- */

static void
assert_refused(struct driver *driver, const struct pv_memory *memory, const char *why)
{
	struct pv_window window = { 0 };
	struct pv_memory after = *memory;
	_Atomic uint32_t faulted = 0;
	unsigned int before = count_mappings();
	const char *said = pv_window_open(&window, &after, &driver->files, &faulted);

	assert_non_null(said);
	assert_string_equal(said, why);
	assert_memory_equal(&after, memory, sizeof(after));
	assert_null(window.mapping);
	assert_int_equal(count_mappings(), before);
	pv_window_close(&window, &after);
}

static void
memory_that_fits_no_window_is_left_alone(void **state)
{
	static const char beyond[] = "the guest's memory reaches beyond 1 TiB";
	static const char pages[] = "a region of the guest's memory is not made of whole pages of its file";
	struct driver *driver = driver_new(false, 16);
	struct pv_memory memory = driver->memory;

	memory.regions[0].guest = PV_WINDOW_MAX - DRIVER_REGION + PAGE;
	assert_refused(driver, &memory, beyond);
	memory.regions[0].guest = UINT64_MAX - DRIVER_REGION + 1;
	assert_refused(driver, &memory, beyond);
	memory.regions[0].guest = DRIVER_HIGH + 1;
	assert_refused(driver, &memory, pages);
	memory.regions[0].guest = DRIVER_HIGH;
	memory.regions[0].host += 16;
	assert_refused(driver, &memory, pages);
	memory = driver->memory;
	memory.regions[1].size -= 16;
	assert_refused(driver, &memory, pages);
	memory = driver->memory;
	driver->files.file[0].page = 2u << 20;
	assert_refused(driver, &memory, pages);
	driver->files.file[0].page = PAGE;
	memory.regions[0].guest -= PAGE;
	assert_refused(driver, &memory, "regions of the guest's memory overlap");
	memory.n_regions = 0;
	assert_refused(driver, &memory, "the files of the guest's memory are not known");
	driver_free(driver);
}

static void
a_file_that_cannot_be_mapped_is_left_alone(void **state)
{
	struct driver *driver = driver_new(false, 16);
	int fd = driver->files.file[0].fd;

	driver->files.file[0].fd = -1;
	assert_refused(driver, &driver->memory, "Bad file descriptor");
	driver->files.file[0].fd = fd;
	driver->files.file[1].fd = -1;
	assert_refused(driver, &driver->memory, "Bad file descriptor");
	driver->files.file[1].fd = fd;
	driver_free(driver);
}

/* Whether the kernel's refusal was taken as it is; in a process of its own, which has little room. */
static void
a_kernel_without_room_is_no_end(void **state)
{
	const struct rlimit little = { 1u << 30, 1u << 30 };
	struct pv_window window = { 0 };
	struct driver *driver = driver_new(false, 16);
	struct pv_memory memory = driver->memory;
	_Atomic uint32_t faulted = 0;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (setrlimit(RLIMIT_AS, &little) != 0)
			_exit(2);
		_exit(pv_window_open(&window, &memory, &driver->files, &faulted) == NULL ||
		      memory.regions[0].host != driver->memory.regions[0].host);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	driver_free(driver);
}

static void
closing_puts_everything_back(void **state)
{
	struct guest it;
	unsigned int before;

	open_window(&it);
	close_window(&it); /* whatever the C library maps the first time */
	before = count_mappings();
	for (int i = 0; i < ATTACHMENTS; i++) {
		open_window(&it);
		look_at(&it, HOLE);
		put(&it, 0, 1);
		assert_int_equal(it.faulted, PV_FAULT_HOLE);
		pv_window_close(&it.window, &it.memory);
		assert_memory_equal(it.memory.regions, it.driver->memory.regions, sizeof(it.memory.regions));
		assert_null(it.memory.window);
		assert_ptr_equal(pv_window_move(&it.window, &it.memory, it.driver->desc), it.driver->desc);
		driver_free(it.driver);
	}
	assert_in_range(count_mappings(), 0, before);
}

static void
a_window_may_be_opened_again_over_other_memory(void **state)
{
	struct guest it;
	uint64_t address = PV_WINDOW_MAX - DRIVER_REGION;

	open_window(&it);
	pv_window_close(&it.window, &it.memory);
	it.memory.regions[0].guest = address;
	assert_null(pv_window_open(&it.window, &it.memory, &it.driver->files, &it.faulted));
	assert_int_equal(it.memory.window_mask, PV_WINDOW_MAX - 1);
	*driver_at(it.driver, DRIVER_HIGH) = 9;
	assert_int_equal(look_at(&it, address), 9);
	assert_int_equal(look_at(&it, 0), 0);
	assert_int_equal(it.faulted, PV_FAULT_HOLE);
	close_window(&it);
}

/* --- the port ----------------------------------------------------------------------------------------------------- */

/* A port whose guest has one ring: 1 it transmits with, 0 it receives with. */
struct port {
	struct driver *driver;
	struct bench *bench;
};

static struct port
port(struct rte_mempool *pool, bool packed, bool receives, uint32_t copy_break)
{
	struct port it = { .driver = driver_new(packed, 16) };
	struct pv_virtqueue_setup queue = driver_setup(it.driver, V1);
	const struct bench_setup setup = {
		.features = queue.features, .copy_break = copy_break, .pool = pool, .window_files = &it.driver->files
	};

	assert_int_equal(pv_fault_install(), 0);
	it.bench = bench_new(&setup, &it.driver->memory);
	assert_int_equal(bench_add_ring(it.bench, receives ? 0 : 1, &queue), 0);
	return it;
}

static void
end(struct port *it)
{
	bench_free(it->bench);
	driver_free(it->driver);
}

static void
assert_byte(const struct rte_mbuf *packet, uint32_t offset, uint8_t value)
{
	uint8_t room;

	assert_int_equal(*(const uint8_t *)rte_pktmbuf_read(packet, offset, 1, &room), value);
}

static void
a_frame_that_is_nowhere_stops_its_own_port_behind_it(void **state)
{
	struct rte_mempool *pool = bench_pool(255);
	struct rte_mbuf *packets[32];

	for (int i = 0; i < 4; i++) {
		struct port it = port(pool, i % 2, false, i < 2 ? 0 : 128), other = port(pool, false, false, 0);

		driver_offer_one(it.driver, DRIVER_BUFFERS, HEADER + 100, 0);
		driver_offer_one(it.driver, HOLE, HEADER + 500, 0);
		driver_offer_one(it.driver, DRIVER_BUFFERS, HEADER + 100, 0);
		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, packets, 32), 3);
		assert_byte(packets[1], 499, 0);
		rte_pktmbuf_free_bulk(packets, 3);
		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, packets, 32), 0);
		assert_true(it.bench->vio.stopped);
		assert_string_equal(it.bench->vio.why, "an address of the guest is where it has no memory");
		driver_offer_one(other.driver, DRIVER_BUFFERS, HEADER + 100, 0);
		assert_int_equal(pv_vio_receive(&other.bench->vio, 0, packets, 32), 1);
		rte_pktmbuf_free(packets[0]);
		assert_false(other.bench->vio.stopped);
		end(&it);
		end(&other);
	}
	rte_mempool_free(pool);
}

/* Whose end is in a hole: it is found by who looks at it, and its sender is to blame. */
static void
a_shared_frame_that_ends_nowhere_stops_its_sender(void **state)
{
	struct rte_mempool *pool = bench_pool(255);
	struct port from = port(pool, false, false, 128), to = port(pool, false, true, 0);
	struct rte_mbuf *packets[32];
	uint32_t id, written;

	memset(driver_at(from.driver, DRIVER_END - 300), 0, 300);
	memset(driver_at(from.driver, DRIVER_END - 10), 7, 10);
	driver_offer_one(from.driver, DRIVER_END - 300, 1000, 0);
	driver_offer_one(to.driver, DRIVER_BUFFERS, 2000, WRITE);
	assert_int_equal(pv_vio_receive(&from.bench->vio, 0, packets, 32), 1);
	assert_int_equal(packets[0]->nb_segs, 2);
	assert_int_equal(from.bench->vio.faulted, 0);
	assert_int_equal(pv_vio_transmit(&to.bench->vio, 0, packets, 1), 1);
	assert_int_equal(from.bench->vio.faulted, PV_FAULT_HOLE);
	assert_int_equal(to.bench->vio.faulted, 0);
	assert_true(driver_take(to.driver, &id, &written));
	assert_int_equal(written, 1000);
	assert_int_equal(*driver_at(to.driver, DRIVER_BUFFERS + 299), 7);
	assert_int_equal(*driver_at(to.driver, DRIVER_BUFFERS + 300), 0);
	end(&from);
	end(&to);
	rte_mempool_free(pool);
}

static void
a_receive_buffer_that_is_nowhere_stops_the_port(void **state)
{
	struct rte_mempool *pool = bench_pool(255);

	for (int packed = 0; packed < 2; packed++) {
		struct port it = port(pool, packed, true, 0);
		struct rte_mbuf *packets[2] = { bench_packet(pool, 50, 1, 0), bench_packet(pool, 150, 1, 0) };

		driver_offer_one(it.driver, WINDOW - 1, 100, WRITE);
		driver_offer_one(it.driver, DRIVER_BUFFERS, 1000, WRITE);
		assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, packets, 1), 1);
		assert_int_equal(it.bench->vio.faulted, PV_FAULT_HOLE);
		assert_int_equal(pv_vio_transmit(&it.bench->vio, 0, packets + 1, 1), 0);
		rte_pktmbuf_free(packets[1]);
		end(&it);
	}
	rte_mempool_free(pool);
}

/* As on a bus that has fewer lines: it is the guest's own memory. */
static void
an_address_beyond_the_window_is_another_one_in_it(void **state)
{
	struct rte_mempool *pool = bench_pool(255);
	struct port it = port(pool, false, false, 0);
	struct rte_mbuf *packets[32];

	memset(driver_at(it.driver, DRIVER_BUFFERS), 0, HEADER);
	memset(driver_at(it.driver, DRIVER_BUFFERS + HEADER), 0x5a, 100);
	driver_offer_one(it.driver, (1ULL << 63) + DRIVER_BUFFERS, HEADER + 100, 0);
	assert_int_equal(pv_vio_receive(&it.bench->vio, 0, packets, 32), 1);
	assert_byte(packets[0], 99, 0x5a);
	rte_pktmbuf_free(packets[0]);
	assert_int_equal(pv_vio_receive(&it.bench->vio, 0, packets, 32), 0);
	assert_false(it.bench->vio.stopped);
	end(&it);
	rte_mempool_free(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_of_the_guest_is_where_the_guest_has_it),
		cmocka_unit_test(no_address_leaves_the_window_and_no_length_the_guard),
		cmocka_unit_test(a_buffer_over_the_border_of_regions_is_one_piece),
		cmocka_unit_test(what_is_written_is_logged_under_its_own_address),
		cmocka_unit_test(a_hole_is_zeroes_and_is_told),
		cmocka_unit_test(what_is_behind_the_window_is_a_guard),
		cmocka_unit_test(the_memory_beside_a_hole_stays_the_guests),
		cmocka_unit_test(the_pages_of_a_hole_cost_one_mapping),
		cmocka_unit_test(what_the_guest_takes_away_is_zeroes_and_told_apart),
		cmocka_unit_test(only_the_owner_of_a_window_is_told),
		cmocka_unit_test(many_threads_may_touch_a_hole_at_once),
		cmocka_unit_test(a_system_call_sees_an_error),
		cmocka_unit_test(any_other_access_kills),
		cmocka_unit_test(memory_that_fits_no_window_is_left_alone),
		cmocka_unit_test(a_file_that_cannot_be_mapped_is_left_alone),
		cmocka_unit_test(a_kernel_without_room_is_no_end),
		cmocka_unit_test(closing_puts_everything_back),
		cmocka_unit_test(a_window_may_be_opened_again_over_other_memory),
		cmocka_unit_test(a_frame_that_is_nowhere_stops_its_own_port_behind_it),
		cmocka_unit_test(a_shared_frame_that_ends_nowhere_stops_its_sender),
		cmocka_unit_test(a_receive_buffer_that_is_nowhere_stops_the_port),
		cmocka_unit_test(an_address_beyond_the_window_is_another_one_in_it),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
