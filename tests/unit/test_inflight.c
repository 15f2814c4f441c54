/* SPDX-License-Identifier: BSD-3-Clause */
/* What is known of a ring after the one who served it was killed: nothing is lost, nothing comes twice. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver.h"
#include "testbed.h"
#include "vio/virtqueue.h"

#define SIZE 16
#define OFFERED_MAX 8	/* chains */
#define AREA_BYTES 4096 /* for more than any area of such a ring but the descriptors */

static void *
shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

/* --- one ring and its region -------------------------------------------------------------------------------------- */

static void
begin(struct pv_virtqueue *queue, const struct driver *driver, void *region)
{
	struct pv_virtqueue_setup setup = driver_setup(driver, 0);

	assert_int_equal(pv_virtqueue_init(queue, &setup, &driver->memory), 0);
	pv_inflight_begin(queue, region, true);
}

static void
chains_in_flight_are_taken_again_in_the_order_in_which_they_were(void **state)
{
	static const uint16_t order[] = { 3, 0, 5 };
	struct driver *driver = driver_new(false, SIZE);
	struct pv_inflight_split *region = calloc(1, pv_inflight_size(1, SIZE, false));
	struct pv_available chains[SIZE];
	struct pv_virtqueue queue;

	assert_non_null(region);
	region->version = 1;
	for (uint16_t i = 0; i < RTE_DIM(order); i++) {
		region->chain[order[i]].inflight = 1;
		region->chain[order[i]].counter = 10u + i;
	}
	begin(&queue, driver, region);
	assert_int_equal(pv_virtqueue_peek(&queue, chains, SIZE, false), RTE_DIM(order));
	for (uint16_t i = 0; i < RTE_DIM(order); i++)
		assert_int_equal(chains[i].id, order[i]);
	assert_int_equal(pv_virtqueue_avail_base(&queue), RTE_DIM(order));
	free(region);
	pv_virtqueue_fini(&queue);
	driver_free(driver);
}

/* Where a packed ring goes on that has such a region; where it began (0x8000) when the region cannot be right. */
static uint16_t
place_after(const struct pv_inflight_packed *found, const struct pv_inflight_entry *entries, uint16_t n_entries)
{
	struct driver *driver = driver_new(true, SIZE);
	struct pv_inflight_packed *region = calloc(1, pv_inflight_size(1, SIZE, true));
	struct pv_virtqueue queue;
	uint16_t place;

	assert_non_null(region);
	*region = *found;
	region->version = 1;
	region->size = SIZE;
	memcpy(region + 1, entries, n_entries * sizeof(*entries));
	begin(&queue, driver, region);
	place = pv_virtqueue_used_base(&queue);
	assert_int_equal(pv_virtqueue_avail_base(&queue), place);
	assert_int_equal(region->noted, 0);
	free(region);
	pv_virtqueue_fini(&queue);
	driver_free(driver);
	return place;
}

static void
a_packed_ring_goes_on_at_a_place_that_it_has(void **state)
{
	static const struct pv_inflight_entry no_entries[1];

	for (uint16_t place = SIZE - 2; place <= SIZE + 1; place++) {
		const struct pv_inflight_packed region = { .old_used = place, .used = place };

		assert_int_equal(place_after(&region, no_entries, 0), place < SIZE ? place : 0x8000);
	}
}

static void
a_note_is_used_when_it_can_be_and_never_when_it_cannot(void **state)
{
	static const struct pv_inflight_entry two[] = { { .slots = 1 }, { .slots = 2 } };
	static const struct pv_inflight_entry none[] = { { .slots = 1 }, { .slots = 0 } };
	static const struct pv_inflight_entry many[] = { { .slots = SIZE }, { .slots = 1 } };
	struct pv_inflight_packed region = { .noted = 2, .used = 3, .used_wrap = 1 };

	assert_int_equal(place_after(&region, two, 2), 0x8003);
	assert_int_equal(place_after(&region, none, 2), 0x8000);
	assert_int_equal(place_after(&region, many, 2), 0x8000);
	region.used = SIZE;
	assert_int_equal(place_after(&region, two, 2), 0x8000);
	region.used = 1; /* over the end of the ring */
	region.used_wrap = 0;
	assert_int_equal(place_after(&region, two, 2), 1);
	region.noted = SIZE + 1;
	assert_int_equal(place_after(&region, two, 2), 0x8000);
	region.noted = UINT16_MAX;
	assert_int_equal(place_after(&region, two, 2), 0x8000);
}

/* --- kills -------------------------------------------------------------------------------------------------------- */

/* What the driver has offered and not got back, in order. */
struct offered {
	uint16_t id[OFFERED_MAX];
	uint32_t first, next;
};

/* A ring with its region, in memory that outlives who serves it. */
struct ring {
	struct driver *driver;
	void *region;
	struct offered offered;
	uint16_t together; /* chains that are given back at once */
};

static size_t
region_bytes(const struct ring *ring)
{
	return pv_inflight_size(1, SIZE, ring->driver->packed);
}

static void
make_ring(struct ring *ring, bool packed, uint16_t together)
{
	*ring = (struct ring){ .driver = driver_new(packed, SIZE), .together = together };
	ring->region = shared_memory(region_bytes(ring));
}

static void
end_ring(struct ring *ring)
{
	munmap(ring->region, region_bytes(ring));
	driver_free(ring->driver);
}

/* Makes a ring of the same format what the other is now. */
static void
copy_ring(struct ring *to, const struct ring *from)
{
	struct driver before = *to->driver;

	*to->driver = *from->driver;
	to->driver->memory = before.memory;
	to->driver->desc = before.desc; /* or the packed ring, and the same for the others */
	to->driver->ring = before.ring;
	to->driver->avail = before.avail;
	to->driver->driver_event = before.driver_event;
	to->driver->used = before.used;
	to->driver->device_event = before.device_event;
	memcpy(before.desc, from->driver->desc, SIZE * sizeof(*before.desc));
	memcpy(before.avail, from->driver->avail, AREA_BYTES);
	memcpy(before.used, from->driver->used, AREA_BYTES);
	memcpy(to->region, from->region, region_bytes(from));
	to->offered = from->offered;
	to->together = from->together;
}

static bool
is_like(const struct ring *one, const struct ring *other)
{
	return memcmp(one->driver->desc, other->driver->desc, SIZE * sizeof(*one->driver->desc)) == 0 &&
	       memcmp(one->driver->used, other->driver->used, AREA_BYTES) == 0 &&
	       memcmp(one->region, other->region, region_bytes(one)) == 0;
}

static void
offer(struct ring *ring)
{
	static const struct driver_buffer buffers[] = { { DRIVER_BUFFERS, 100, VRING_DESC_F_WRITE },
							{ DRIVER_BUFFERS + 100, 100, VRING_DESC_F_WRITE } };
	struct offered *offered = &ring->offered;

	while (offered->next - offered->first < OFFERED_MAX) {
		offered->id[offered->next % OFFERED_MAX] = driver_offer(ring->driver, buffers, 1 + offered->next % 2);
		offered->next++;
	}
}

/* Takes all that the device has given back: it is what comes next. Returns how many. */
static uint32_t
take_all(struct ring *ring)
{
	struct offered *offered = &ring->offered;
	uint32_t id, length, n = 0;

	while (driver_take(ring->driver, &id, &length)) {
		assert_int_not_equal(offered->first, offered->next);
		assert_int_equal(id, offered->id[offered->first % OFFERED_MAX]);
		offered->first++;
		n++;
	}
	return n;
}

/* The device: gives back so many chains at once, or those that it finds. Returns how many. */
static uint16_t
serve(struct pv_virtqueue *queue, uint16_t n, const bool packed)
{
	struct pv_available chains[OFFERED_MAX];
	struct pv_used used[OFFERED_MAX];

	n = pv_virtqueue_peek(queue, chains, n, packed);
	for (uint16_t i = 0; i < n; i++) {
		used[i] = (struct pv_used){ .id = chains[i].id, .slots = chains[i].slots };
		pv_virtqueue_take(queue, &chains[i], packed);
	}
	pv_virtqueue_push(queue, used, n, packed);
	pv_virtqueue_publish(queue, packed);
	return n;
}

/* A device that begins with the ring where the one before left it, and gives everything back. */
static void
serve_anew(struct ring *ring)
{
	struct pv_virtqueue queue;

	begin(&queue, ring->driver, ring->region);
	while (serve(&queue, OFFERED_MAX, ring->driver->packed) > 0)
		;
	pv_virtqueue_fini(&queue);
}

/* The device was killed now: the driver has all that was to be given back or nothing, and what it has not comes yet. */
static void
assert_goes_on(struct ring *ring)
{
	uint32_t n = take_all(ring);

	assert_true(n == 0 || n == ring->together);
	if (n > 0)
		offer(ring); /* in the place of those */
	serve_anew(ring);
	take_all(ring);
	assert_int_equal(ring->offered.first, ring->offered.next);
}

/* Steps a process, which was told to stop, through one instruction. False when it has ended. */
static bool
step(pid_t process)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, process, NULL, NULL), 0);
	assert_int_equal(waitpid(process, &status, 0), process);
	return WIFSTOPPED(status);
}

/* A process that will serve the ring, stopped before it does. -1 where processes may not be traced. */
static pid_t
start_device(const struct ring *ring)
{
	struct pv_virtqueue queue;
	pid_t process;
	int status;

	begin(&queue, ring->driver, ring->region);
	process = fork();
	assert_int_not_equal(process, -1);
	if (process == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(EXIT_FAILURE);
		raise(SIGSTOP);
		serve(&queue, ring->together, ring->driver->packed);
		_exit(EXIT_SUCCESS);
	}
	pv_virtqueue_fini(&queue);
	assert_int_equal(waitpid(process, &status, 0), process);
	return WIFSTOPPED(status) ? process : -1;
}

/* At each instruction of a device that gives back chains, another one could go on. */
static void
survive_a_kill_anywhere(struct ring *ring)
{
	pid_t device = start_device(ring);
	struct ring seen, copy;
	uint32_t changes = 0;

	if (device < 0)
		skip();
	make_ring(&seen, ring->driver->packed, ring->together);
	make_ring(&copy, ring->driver->packed, ring->together);
	copy_ring(&seen, ring);
	while (step(device)) {
		if (is_like(&seen, ring))
			continue;
		changes++;
		copy_ring(&seen, ring);
		copy_ring(&copy, ring);
		assert_goes_on(&copy);
	}
	assert_true(changes > ring->together);
	assert_int_equal(take_all(ring), ring->together);
	end_ring(&seen);
	end_ring(&copy);
}

/* From several places, so that some are over the end of the ring. */
static void
survive_kills(bool packed)
{
	for (uint16_t together = 1; together <= OFFERED_MAX; together += 3) {
		struct ring ring;

		make_ring(&ring, packed, together);
		for (int i = 0; i < 4; i++) {
			offer(&ring);
			survive_a_kill_anywhere(&ring);
		}
		end_ring(&ring);
	}
}

static void
who_is_killed_in_a_split_ring_loses_nothing_and_gives_nothing_back_twice(void **state)
{
	survive_kills(false);
}

static void
who_is_killed_in_a_packed_ring_loses_nothing_and_gives_nothing_back_twice(void **state)
{
	survive_kills(true);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_in_flight_are_taken_again_in_the_order_in_which_they_were),
		cmocka_unit_test(a_packed_ring_goes_on_at_a_place_that_it_has),
		cmocka_unit_test(a_note_is_used_when_it_can_be_and_never_when_it_cannot),
		cmocka_unit_test(who_is_killed_in_a_split_ring_loses_nothing_and_gives_nothing_back_twice),
		cmocka_unit_test(who_is_killed_in_a_packed_ring_loses_nothing_and_gives_nothing_back_twice),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
