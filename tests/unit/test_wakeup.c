/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts that go idle, over the real data path: drivers make frames available at random moments and kick only if the
 * ring asks for it (virtio 1.2, 2.7.10 and 2.8.10); the owner polls contexts that are active, has those that are empty
 * tell it by their kicks, and sleeps when all are. Another thread has mail for it. Nothing may be lost: no round of a
 * driver begins before all of its last was received, so nothing that comes later helps an owner that sleeps on it.
 *
 * docs/models/doorbells.pml says the same of statements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "core/doorbells.h"
#include "core/relay.h"
#include "core/worker.h"
#include "driver.h"
#include "hang.h"
#include "next_random.h"
#include "testbed.h"
#include "vio_bench.h"

#define EVENTS (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define CONTEXTS 2
#define ROUNDS 6000 /* of each driver at least, and of who has mail */
#define RING 16
#define BURST 4	    /* frames at once, at most */
#define PATIENCE 13 /* a context goes idle after 2^0 to 2^12 rounds without a frame */
#define PACKETS 63
#define FRAME 100 /* bytes, header included */

/* Who has the thread is written there by it alone, but for `done`. */
struct client {
	pthread_t thread;
	uint32_t random;
	_Atomic uint32_t done; /* frames received, or mail read */
	/* Of a context: */
	struct driver *driver;
	struct bench *bench;
	int kick;
};

static struct client contexts[CONTEXTS], sender;
static struct pv_doorbells doorbells;
static struct pv_relay *relay;
static struct rte_mempool *pool;
static _Atomic uint32_t mail;	   /* that waits */
static _Atomic uint32_t under_way; /* clients that are not done; the last one says so */
static bool events;		   /* with event index */

static struct {
	_Atomic uint32_t idle, sleeps, rung; /* how often: a context went idle, the owner slept, an idle one was rung */
	_Atomic uint32_t kicks, quiet;	     /* bursts with a kick, and without */
} counters;

/* How threads take turns is up to the machine: drivers go on until this is so. */
static bool
every_way_was_gone(void)
{
	return counters.idle > ROUNDS / 10 && counters.sleeps > ROUNDS / 10 && counters.kicks > 0 && counters.quiet > 0;
}

/* Mostly short, and now and then so long that an owner that has nothing to do sleeps. */
static void
pause_a_while(uint32_t *random, uint32_t limit)
{
	uint32_t turns = next_random(random) % limit;

	if (next_random(random) % 16 == 0)
		sched_yield();
	for (; turns > 0; turns--)
		__asm__ volatile("" ::: "memory");
}

/* --- drivers ------------------------------------------------------------------------------------------------------ */

/* virtio 1.2, 2.7.10: whether the device asks for a kick for what was made available, (old, new]. */
static bool
split_wants_kick(const struct driver *driver, uint16_t new, uint16_t old)
{
	const volatile uint16_t *event = (const volatile uint16_t *)&driver->used->ring[driver->size];
	const volatile struct vring_used *used = driver->used;

	return events ? vring_need_event(*event, new, old) : (used->flags & VRING_USED_F_NO_NOTIFY) == 0;
}

/* 2.8.10; pktvirt asks for all kicks or none. */
static bool
packed_wants_kick(const struct driver *driver)
{
	const volatile struct vring_packed_desc_event *event = driver->device_event;

	return event->flags != VRING_PACKED_EVENT_FLAG_DISABLE;
}

static void
offer_burst(struct client *context, uint32_t n)
{
	struct driver *driver = context->driver;
	uint16_t old = driver->offered;
	bool wanted;

	for (uint32_t i = 0; i < n; i++)
		driver_offer_one(driver, DRIVER_BUFFERS + i * 0x1000u, FRAME, 0);
	atomic_thread_fence(memory_order_seq_cst); /* 2.7.13.4.1 */
	wanted = driver->packed ? packed_wants_kick(driver) : split_wants_kick(driver, driver->offered, old);
	atomic_fetch_add_explicit(wanted ? &counters.kicks : &counters.quiet, 1, memory_order_relaxed);
	if (wanted)
		eventfd_write(context->kick, 1);
}

static void
take_all_back(struct driver *driver)
{
	uint32_t id, length;

	while (driver_take(driver, &id, &length))
		;
}

static void
leave(void)
{
	if (atomic_fetch_sub(&under_way, 1) == 1)
		pv_doorbells_ring(&doorbells, PV_SOURCE_LEAVE);
}

static void *
drive(void *argument)
{
	struct client *context = argument;
	uint32_t sent = 0;

	for (uint32_t round = 0; round < ROUNDS || !every_way_was_gone(); round++) {
		for (uint32_t bursts = 1 + next_random(&context->random) % 3; bursts > 0; bursts--) {
			uint32_t n = 1 + next_random(&context->random) % BURST;

			pause_a_while(&context->random, 2000);
			offer_burst(context, n);
			sent += n;
		}
		while (atomic_load(&context->done) < sent)
			sched_yield();
		take_all_back(context->driver);
	}
	leave();
	return NULL;
}

static void *
send_mail(void *argument)
{
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		pause_a_while(&sender.random, 4000);
		atomic_fetch_add_explicit(&mail, 1, memory_order_relaxed);
		pv_doorbells_ring(&doorbells, PV_SOURCE_MAIL);
		while (atomic_load(&sender.done) < round)
			sched_yield();
	}
	leave();
	return NULL;
}

/* --- their owner -------------------------------------------------------------------------------------------------- */

struct owner {
	bool polled[CONTEXTS];
	uint32_t n_polled;
	uint32_t patience[CONTEXTS]; /* empty polls until it goes idle */
	uint32_t random;
};

/* An event of the relay; on the owner. */
static void
wake(struct pv_port *port, uint16_t slot)
{
	pv_doorbells_note(&doorbells, port->id);
}

static void
activate(struct owner *owner, uint16_t id)
{
	if (owner->polled[id])
		return;
	counters.rung++;
	pv_vio_listen(&contexts[id].bench->vio, 0, false);
	owner->polled[id] = true;
	owner->n_polled++;
}

/* Asks for kicks, then looks once more. */
static void
go_idle(struct owner *owner, uint16_t id)
{
	struct pv_vio *vio = &contexts[id].bench->vio;

	if (pv_vio_listen(vio, 0, true)) {
		pv_vio_listen(vio, 0, false);
		return;
	}
	counters.idle++;
	owner->polled[id] = false;
	owner->n_polled--;
}

static void
poll_context(struct owner *owner, uint16_t id)
{
	struct rte_mbuf *packets[PV_BURST_MAX];
	uint16_t n = pv_vio_receive(&contexts[id].bench->vio, 0, packets, PV_BURST_MAX);

	rte_pktmbuf_free_bulk(packets, n);
	if (n > 0) {
		owner->patience[id] = 1u << next_random(&owner->random) % PATIENCE;
		atomic_fetch_add(&contexts[id].done, n);
	} else if (owner->patience[id] > 0) {
		owner->patience[id]--;
	} else {
		go_idle(owner, id);
	}
}

static void
take_doorbells(struct owner *owner)
{
	uint64_t rung[PV_EVENT_WORDS];

	if (!pv_doorbells_take(&doorbells, rung))
		return;
	for (uint16_t id = 0; id < CONTEXTS; id++)
		if ((rung[PV_EVENT_WORD(id)] & PV_EVENT_BIT(id)) != 0)
			activate(owner, id);
	if ((rung[PV_EVENT_WORD(PV_SOURCE_MAIL)] & PV_EVENT_BIT(PV_SOURCE_MAIL)) != 0)
		atomic_fetch_add(&sender.done, atomic_exchange_explicit(&mail, 0, memory_order_relaxed));
}

static void
sleep_until_rung(struct owner *owner)
{
	pause_a_while(&owner->random, 1000);
	if (!pv_doorbells_prepare_sleep(&doorbells))
		return;
	counters.sleeps++;
	pv_relay_wait(relay, 0, -1);
	pv_doorbells_wake_up(&doorbells);
}

static void
own(void)
{
	struct owner owner = { .polled = { true, true }, .n_polled = CONTEXTS, .random = 99 };

	while (atomic_load(&under_way) > 0) {
		if (owner.n_polled > 0 && next_random(&owner.random) % 4 == 0)
			pv_relay_wait(relay, 0, 0);
		take_doorbells(&owner);
		for (uint16_t id = 0; id < CONTEXTS; id++)
			if (owner.polled[id])
				poll_context(&owner, id);
		if (owner.n_polled == 0)
			sleep_until_rung(&owner);
	}
}

/* --- all together ------------------------------------------------------------------------------------------------- */

static void
begin_context(uint16_t id, bool packed)
{
	struct client *context = &contexts[id];
	struct pv_virtqueue_setup queue;
	struct bench_setup bench = { .pool = pool };

	*context = (struct client){ .random = 1 + id, .driver = driver_new(packed, RING) };
	queue = driver_setup(context->driver, events ? EVENTS : 0);
	bench.features = queue.features;
	context->bench = bench_new(&bench, &context->driver->memory);
	assert_int_equal(bench_add_ring(context->bench, 1, &queue), 0);
	context->bench->port.id = id;
	context->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(pv_relay_watch(relay, &context->bench->port, 0, context->kick));
	pv_vio_listen(&context->bench->vio, 0, false);
}

static void
end_context(struct client *context)
{
	assert_true(pv_relay_watch(relay, &context->bench->port, 0, -1));
	assert_false(context->bench->vio.stopped);
	close(context->kick);
	bench_free(context->bench);
	driver_free(context->driver);
}

static void
begin(bool packed)
{
	pool = bench_pool(PACKETS);
	relay = pv_relay_new(CONTEXTS, 1, wake);
	assert_non_null(relay);
	pv_doorbells_init(&doorbells, pv_relay_bell_fd(relay, 0));
	memset(&counters, 0, sizeof(counters));
	sender = (struct client){ .random = 1000 };
	for (uint16_t id = 0; id < CONTEXTS; id++)
		begin_context(id, packed);
}

static void
end(void)
{
	for (uint16_t id = 0; id < CONTEXTS; id++)
		end_context(&contexts[id]);
	pv_relay_free(relay);
	assert_int_equal(rte_mempool_avail_count(pool), PACKETS);
	rte_mempool_free(pool);
}

static void
start_clients(void)
{
	atomic_store(&under_way, CONTEXTS + 1);
	for (uint16_t id = 0; id < CONTEXTS; id++)
		assert_int_equal(pthread_create(&contexts[id].thread, NULL, drive, &contexts[id]), 0);
	assert_int_equal(pthread_create(&sender.thread, NULL, send_mail, NULL), 0);
}

static void
join_clients(void)
{
	for (uint16_t id = 0; id < CONTEXTS; id++)
		pthread_join(contexts[id].thread, NULL);
	pthread_join(sender.thread, NULL);
}

static void
nothing_is_lost(bool packed, bool with_events)
{
	events = with_events;
	begin(packed);
	hang_watch("something was lost, its owner sleeps on it, or it never sleeps");
	start_clients();
	own();
	join_clients();
	hang_is_over();
	print_message("%u frames, kicked for %u times and not for %u; %u times idle, %u times rung, %u sleeps\n",
		      contexts[0].done + contexts[1].done, counters.kicks, counters.quiet, counters.idle, counters.rung,
		      counters.sleeps);
	assert_in_range(counters.idle, counters.rung, counters.rung + CONTEXTS);
	end();
}

static void
nothing_is_lost_in_split_rings_with_the_flag(void **state)
{
	nothing_is_lost(false, false);
}

static void
nothing_is_lost_in_split_rings_with_event_index(void **state)
{
	nothing_is_lost(false, true);
}

static void
nothing_is_lost_in_packed_rings_with_the_flag(void **state)
{
	nothing_is_lost(true, false);
}

static void
nothing_is_lost_in_packed_rings_with_event_index(void **state)
{
	nothing_is_lost(true, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_in_split_rings_with_the_flag),
		cmocka_unit_test(nothing_is_lost_in_split_rings_with_event_index),
		cmocka_unit_test(nothing_is_lost_in_packed_rings_with_the_flag),
		cmocka_unit_test(nothing_is_lost_in_packed_rings_with_event_index),
	};

	testbed_start_eal();
	return cmocka_run_group_tests_name("wakeup", tests, NULL, NULL);
}
