/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of guests that a worker gathers: one per ring and pass, none lost, none for somebody else. Guests are drivers
 * over plain memory, each with a ring that it transmits with and one that it receives with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_malloc.h>

#include "driver.h"
#include "testbed.h"
#include "vio/interrupts.h"
#include "vio_bench.h"

#define V1 (1ULL << VIRTIO_F_VERSION_1)
#define EVENTS (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define SIZE 16
#define LENGTH 60
#define FRAME_AT(n) (DRIVER_BUFFERS + (n) % SIZE * 0x800u)

enum { RECEIVES, TRANSMITS };

struct guest {
	struct driver *driver[2]; /* of its rings */
	struct bench *bench;
	struct rte_mempool *pool;
	uint64_t used[2]; /* chains that were given back in a ring, in all */
};

static struct pv_interrupts interrupts;

static struct guest
guest(uint16_t port, bool packed, uint64_t features, uint32_t copy_break)
{
	struct guest it = { .pool = bench_pool(255) };
	struct bench_setup setup = { .copy_break = copy_break, .pool = it.pool };
	struct pv_memory memory;

	for (int i = 0; i < 2; i++)
		it.driver[i] = driver_new(packed, SIZE);
	setup.features = driver_setup(it.driver[0], features | V1).features;
	/* Guest addresses are those of the ring that transmits; the other's rings are only known by where they are. */
	memory = it.driver[TRANSMITS]->memory;
	it.bench = bench_new(&setup, &memory);
	it.bench->port.id = port;
	for (uint16_t i = 0; i < 2; i++) {
		struct pv_virtqueue_setup queue = driver_setup(it.driver[i], setup.features);

		assert_int_equal(bench_add_ring(it.bench, i, &queue), 0);
	}
	return it;
}

static void
end(struct guest *it)
{
	bench_free(it->bench);
	assert_int_equal(rte_mempool_avail_count(it->pool), it->pool->size);
	rte_mempool_free(it->pool);
	for (int i = 0; i < 2; i++)
		driver_free(it->driver[i]);
}

static void
take_all(struct guest *it, int ring)
{
	uint32_t id, length;

	while (driver_take(it->driver[ring], &id, &length))
		it->used[ring]++;
}

/* A burst of frames from the guest. */
static void
transmit(struct guest *it, uint16_t frames)
{
	uint16_t header = it->bench->vio.header_size, received;
	struct rte_mbuf *packets[PV_BURST_MAX];

	for (uint16_t i = 0; i < frames; i++) {
		memset(driver_at(it->driver[TRANSMITS], FRAME_AT(i)), 0, header + LENGTH);
		driver_offer_one(it->driver[TRANSMITS], FRAME_AT(i), header + LENGTH, 0);
	}
	received = pv_vio_receive(&it->bench->vio, 0, packets, PV_BURST_MAX);
	assert_int_equal(received, frames);
	rte_pktmbuf_free_bulk(packets, received);
	take_all(it, TRANSMITS);
}

/* A burst of frames to the guest. */
static void
receive(struct guest *it, uint16_t frames)
{
	struct rte_mbuf *packets[PV_BURST_MAX];

	for (uint16_t i = 0; i < frames; i++) {
		driver_offer_one(it->driver[RECEIVES], FRAME_AT(i), 0x800, VRING_DESC_F_WRITE);
		packets[i] = bench_packet(it->pool, LENGTH, 1, 0);
	}
	assert_int_equal(pv_vio_transmit(&it->bench->vio, 0, packets, frames), frames);
	take_all(it, RECEIVES);
}

static void
assert_calls(struct guest *it, uint64_t of_receiving, uint64_t of_transmitting)
{
	assert_int_equal(bench_calls(it->bench, RECEIVES), of_receiving);
	assert_int_equal(bench_calls(it->bench, TRANSMITS), of_transmitting);
}

static int
begin(void **state)
{
	memset(&interrupts, 0, sizeof(interrupts));
	pv_interrupts_begin(&interrupts);
	return 0;
}

static int
finish(void **state)
{
	pv_interrupts_end(&interrupts);
	return 0;
}

/* --- how many ----------------------------------------------------------------------------------------------------- */

static void
a_thread_that_does_not_gather_calls_in_each_burst(void **state)
{
	struct guest it = guest(0, false, 0, 0);

	for (int i = 0; i < 3; i++) {
		transmit(&it, 2);
		receive(&it, 2);
		assert_calls(&it, 1, 1);
	}
	end(&it);
}

static void
one_pass_makes_one_call_per_ring_however_many_bursts_there_were(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(5, packed, 0, 0);

		interrupts.counters = (struct pv_interrupts_counters){ 0 };
		for (uint16_t i = 1; i < 10; i++) {
			transmit(&it, i);
			receive(&it, 2);
		}
		assert_calls(&it, 0, 0);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 1, 1);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, 0);
		assert_int_equal(interrupts.counters.passes, 1);
		assert_int_equal(interrupts.counters.rings, 2);
		assert_int_equal(interrupts.counters.calls, 2);
		assert_int_equal(interrupts.counters.covered, 45 + 18);
		receive(&it, 1);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 1, 0);
		end(&it);
	}
}

static void
one_pass_goes_through_all_guests(void **state)
{
	static const uint16_t ports[] = { 0, 1, 63, 64, 300, PV_PORTS_MAX - 1 };
	struct guest guests[RTE_DIM(ports)];

	for (size_t i = 0; i < RTE_DIM(ports); i++)
		guests[i] = guest(ports[i], i % 2 != 0, 0, 0);
	for (size_t i = 0; i < RTE_DIM(ports); i++)
		transmit(&guests[i], 3);
	receive(&guests[2], 1);
	pv_interrupts_deliver(&interrupts);
	for (size_t i = 0; i < RTE_DIM(ports); i++)
		assert_calls(&guests[i], i == 2, 1);
	assert_int_equal(interrupts.counters.passes, 1);
	assert_int_equal(interrupts.counters.calls, RTE_DIM(ports) + 1);
	for (size_t i = 0; i < RTE_DIM(ports); i++)
		end(&guests[i]);
}

static void
what_comes_back_from_loans_is_called_for_too(void **state)
{
	struct guest it = guest(0, false, 0, 128);

	for (int i = 0; i < 2; i++) {
		struct rte_mbuf *packet;

		driver_offer_one(it.driver[TRANSMITS], FRAME_AT(0), 12 + 1000, 0);
		memset(driver_at(it.driver[TRANSMITS], FRAME_AT(0)), 0, 12);
		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 1), 1);
		rte_pktmbuf_free(packet);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, 0); /* chain i is out until the next burst, which finds nothing else */
		assert_int_equal(pv_vio_receive(&it.bench->vio, 0, &packet, 1), 0);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, 1);
	}
	end(&it);
}

static void
who_stops_gathering_delivers_first(void **state)
{
	struct guest it = guest(0, false, 0, 0);

	transmit(&it, 1);
	pv_interrupts_end(&interrupts);
	assert_calls(&it, 0, 1);
	transmit(&it, 1);
	assert_calls(&it, 0, 1);
	end(&it);
}

/* --- what guests want --------------------------------------------------------------------------------------------- */

static void
who_wants_no_call_gets_none(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(0, packed, 0, 0);

		if (packed)
			it.driver[TRANSMITS]->driver_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
		else
			it.driver[TRANSMITS]->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		for (int i = 0; i < 10; i++) /* more than a lap */
			transmit(&it, 5);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, 0);
		end(&it);
	}
}

/* Has the driver ask for a call when chain number `event` (of all, from 0 on) was used. */
static void
set_event(struct guest *it, uint64_t event)
{
	struct driver *driver = it->driver[TRANSMITS];

	if (!driver->packed) {
		driver->avail->ring[SIZE] = (uint16_t)event;
		return;
	}
	driver->driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	driver->driver_event->off_wrap = (uint16_t)(event % SIZE | (event / SIZE % 2 == 0) << 15);
}

static void
an_event_that_any_of_several_bursts_passed_is_a_call(void **state)
{
	for (int packed = 0; packed < 2; packed++)
		for (uint16_t event = 0; event < 12; event++) {
			struct guest it = guest(0, packed, EVENTS, 0);

			transmit(&it, 1);
			pv_interrupts_deliver(&interrupts); /* the first is always one */
			assert_calls(&it, 0, 1);
			set_event(&it, 1 + event);
			for (int i = 0; i < 3; i++)
				transmit(&it, 3); /* chains 1 to 9 */
			pv_interrupts_deliver(&interrupts);
			assert_calls(&it, 0, event < 9);
			transmit(&it, 1);
			pv_interrupts_deliver(&interrupts);
			assert_calls(&it, 0, event == 9);
			end(&it);
		}
}

/* The model: chains are numbered from 0 on, and each pass is asked about those since the one before. */
static void
check_against_model(bool packed, unsigned int seed)
{
	struct guest it = guest(0, packed, EVENTS, 0);
	uint64_t asked = 0, event = 0;
	bool first = true;

	srand(seed);
	set_event(&it, event);
	for (int i = 0; i < 3000; i++) {
		unsigned int what = (unsigned int)rand() % 8;
		bool wanted;

		if (what < 5)
			transmit(&it, (uint16_t)(1 + rand() % 9));
		if (what == 5)
			set_event(&it, event = it.used[TRANSMITS] + (uint64_t)rand() % SIZE);
		if (what < 6)
			continue;
		/* Who is a lap behind is called in any case. */
		wanted = it.used[TRANSMITS] > asked && (first || (event >= asked && event < it.used[TRANSMITS]) ||
							(packed && it.used[TRANSMITS] - asked > SIZE));
		/* An old event in a packed ring means another place by now; drivers set it anew before that. */
		if (packed && !wanted && event < asked)
			set_event(&it, event = it.used[TRANSMITS] + (uint64_t)rand() % SIZE);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, wanted);
		first = first && it.used[TRANSMITS] == asked;
		asked = it.used[TRANSMITS];
	}
	end(&it);
}

static void
event_indexes_are_passed_as_in_a_simple_model(void **state)
{
	for (unsigned int seed = 1; seed <= 20; seed++) {
		check_against_model(false, seed);
		check_against_model(true, seed);
	}
}

/* --- who takes rings away ----------------------------------------------------------------------------------------- */

/* As vio.c pauses a guest; the library knows no such device, which changes nothing here. */
static void
pause_guest(struct guest *it)
{
	struct pv_vio *vio = &it->bench->vio;

	vio->attached = true;
	pv_vio_pause(vio, -1);
	assert_false(vio->rings[RECEIVES].loaded);
}

/* What bench_free() would do of rings that are loaded. */
static void
end_paused(struct guest *it)
{
	for (uint16_t i = 0; i < 2; i++) {
		close(it->bench->vio.rings[i].call_fd);
		rte_free(it->bench->vio.rings[i].held);
	}
	end(it);
}

static void
a_pause_makes_the_calls_that_are_due_and_no_pass_makes_them_again(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest it = guest(7, packed, 0, 0);

		transmit(&it, 3);
		transmit(&it, 3);
		receive(&it, 1);
		pause_guest(&it);
		assert_calls(&it, 1, 1);
		pv_interrupts_deliver(&interrupts);
		assert_calls(&it, 0, 0);
		assert_int_equal(interrupts.counters.calls, 0);
		end_paused(&it);
	}
}

static void
a_pause_calls_nobody_without_reason(void **state)
{
	struct guest it = guest(7, false, 0, 0);

	transmit(&it, 3);
	pv_interrupts_deliver(&interrupts);
	assert_calls(&it, 0, 1);
	pause_guest(&it);
	assert_calls(&it, 0, 0);
	end_paused(&it);
}

static void
the_next_guest_of_a_port_is_not_called_for_the_one_before(void **state)
{
	struct guest it = guest(7, false, 0, 0);
	struct pv_virtqueue_setup setup = driver_setup(it.driver[TRANSMITS], V1);
	struct pv_vio_ring *ring = &it.bench->vio.rings[TRANSMITS];
	int call_fd[2];

	transmit(&it, 3);
	pause_guest(&it);
	assert_calls(&it, 0, 1);
	for (uint16_t i = 0; i < 2; i++) {
		call_fd[i] = it.bench->vio.rings[i].call_fd;
		rte_free(it.bench->vio.rings[i].held);
	}
	assert_int_equal(bench_add_ring(it.bench, TRANSMITS, &setup), 0);
	assert_int_equal(ring->uncalled, 0);
	it.bench->vio.running = true;
	pv_interrupts_deliver(&interrupts);
	assert_int_equal(bench_calls(it.bench, TRANSMITS), 0);
	for (uint16_t i = 0; i < 2; i++)
		close(call_fd[i]);
	end(&it);
}

static void
a_port_that_is_forgotten_is_not_touched(void **state)
{
	struct guest it = guest(7, false, 0, 0), other = guest(8, false, 0, 0);

	transmit(&it, 3);
	transmit(&other, 3);
	pv_interrupts_forget(&interrupts, 7);
	end(&it); /* its memory is gone */
	pv_interrupts_deliver(&interrupts);
	assert_calls(&other, 0, 1);
	end(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_does_not_gather_calls_in_each_burst),
		cmocka_unit_test_setup_teardown(one_pass_makes_one_call_per_ring_however_many_bursts_there_were, begin,
						finish),
		cmocka_unit_test_setup_teardown(one_pass_goes_through_all_guests, begin, finish),
		cmocka_unit_test_setup_teardown(what_comes_back_from_loans_is_called_for_too, begin, finish),
		cmocka_unit_test_setup_teardown(who_stops_gathering_delivers_first, begin, finish),
		cmocka_unit_test_setup_teardown(who_wants_no_call_gets_none, begin, finish),
		cmocka_unit_test_setup_teardown(an_event_that_any_of_several_bursts_passed_is_a_call, begin, finish),
		cmocka_unit_test_setup_teardown(event_indexes_are_passed_as_in_a_simple_model, begin, finish),
		cmocka_unit_test_setup_teardown(a_pause_makes_the_calls_that_are_due_and_no_pass_makes_them_again,
						begin, finish),
		cmocka_unit_test_setup_teardown(a_pause_calls_nobody_without_reason, begin, finish),
		cmocka_unit_test_setup_teardown(the_next_guest_of_a_port_is_not_called_for_the_one_before, begin,
						finish),
		cmocka_unit_test_setup_teardown(a_port_that_is_forgotten_is_not_touched, begin, finish),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
