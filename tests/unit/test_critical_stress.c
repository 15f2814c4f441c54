/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sections, takes and sleeps at random, while other threads raise sources and signals hit whom they may. Nothing may be
 * lost: who raises counts what is to be done in a word of the source first, who takes the source takes the word, and
 * the next round does not begin before all is done. In each second round nobody sends anything else, so nothing helps a
 * thread that sleeps on something.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/critical.h"
#include "hang.h"
#include "next_random.h"

#define NEVER_US 4000000000u /* a tick that no test lives to see */
#define RAISERS_MAX 3
#define SOURCES 24
#define SET_BY_OWNER 1

struct stress {
	uint32_t raisers, rounds, burst; /* so many requests of each raiser in a round */
	uint32_t depth;			 /* of sections; 0: none but those of taking */
	uint32_t owner_pause;		 /* before it sleeps, in turns of a loop */
	uint32_t noise;			 /* signals about nothing, before each request of each second round */
};

static const enum pv_critical_way ways[] = { PV_CRITICAL_SIGMASK, PV_CRITICAL_MASK };
static cpu_set_t cpus; /* that we may use */
static const struct stress *stress;
static struct pv_events events;
static pthread_t owner, raisers[RAISERS_MAX];
static pthread_barrier_t all_run;	 /* nobody is signalled who is not there yet, or has gone */
static _Atomic uint32_t posted[SOURCES]; /* requests that wait, by source */
static _Atomic uint32_t done;		 /* requests, of all */

/* The first of the CPUs, or the others. Threads that take turns on one signal each other only when the other sleeps. */
static void
run_on(bool first)
{
	cpu_set_t chosen;
	int cpu = 0;

	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	CPU_ZERO(&chosen);
	CPU_SET(cpu, &chosen);
	if (!first)
		CPU_XOR(&chosen, &chosen, &cpus);
	if (CPU_COUNT(&cpus) > 1)
		sched_setaffinity(0, sizeof(chosen), &chosen);
}

/* Spread over all words; source 1 is not among them. */
static uint32_t
id_of(uint32_t source)
{
	return source * PV_EVENT_SOURCES / SOURCES;
}

static void
pause_up_to(uint32_t *random, uint32_t limit)
{
	for (uint32_t left = next_random(random) % limit; left > 0; left--)
		__asm__ volatile("" ::: "memory");
}

static uint32_t
requests_of_a_round(void)
{
	return stress->raisers * stress->burst;
}

/* A signal that is about nothing, to anybody. */
static void
disturb(uint32_t *random)
{
	int number = next_random(random) % 2 == 0 ? SIGIO : SIGALRM;

	switch (next_random(random) % 4) {
	case 0:
		kill(getpid(), number);
		break;
	case 1:
		pthread_kill(raisers[next_random(random) % stress->raisers], number);
		break;
	default:
		pthread_kill(owner, number);
	}
}

static void
wait_until_done(uint32_t requests)
{
	while (atomic_load(&done) < requests)
		sched_yield();
}

static void *
raise_in_rounds(void *number)
{
	uint32_t random = 1 + (uint32_t)(uintptr_t)number;

	pthread_barrier_wait(&all_run);
	for (uint32_t round = 0; round < stress->rounds; round++) {
		for (uint32_t i = 0; i < stress->burst; i++) {
			uint32_t source = next_random(&random) % SOURCES;

			for (uint32_t n = round % 2 == 0 ? 0 : stress->noise; n > 0; n--)
				disturb(&random);
			pause_up_to(&random, 2000);
			atomic_fetch_add(&posted[source], 1);
			pv_events_raise(&events, id_of(source));
		}
		wait_until_done((round + 1) * requests_of_a_round());
	}
	pthread_barrier_wait(&all_run);
	return NULL;
}

/* What is ready may not change here. */
static void
work_undisturbed(uint32_t *random)
{
	uint64_t before[PV_EVENT_WORDS];

	memcpy(before, events.ready, sizeof(before));
	pause_up_to(random, 1000);
	if (memcmp(before, events.ready, sizeof(before)) != 0)
		fail_msg("a handler ran in a section");
}

/* Sections in one another, with what a thread does in them. Whether it has set a source of its own. */
static bool
run_sections(uint32_t depth, uint32_t *random)
{
	bool set = false, before;

	if (depth == 0)
		return false;
	for (uint32_t i = next_random(random) % 3; i > 0; i--) {
		before = pv_critical_enter(pv_critical_events());
		work_undisturbed(random);
		if (next_random(random) % 8 == 0) {
			pv_events_set(&events, SET_BY_OWNER);
			set = true;
		}
		set |= run_sections(depth - 1, random);
		work_undisturbed(random);
		pv_critical_leave(pv_critical_events(), before);
	}
	return set;
}

static void
serve(const uint64_t sources[PV_EVENT_WORDS])
{
	for (uint32_t source = 0; source < SOURCES; source++)
		if ((sources[PV_EVENT_WORD(id_of(source))] & PV_EVENT_BIT(id_of(source))) != 0)
			atomic_fetch_add(&done, atomic_exchange(&posted[source], 0));
}

static void
be_told(void)
{
	uint32_t random = 77, all = stress->rounds * requests_of_a_round();

	while (atomic_load(&done) < all) {
		uint64_t sources[PV_EVENT_WORDS];
		bool set = run_sections(stress->depth, &random);

		if (!pv_events_take(&events, sources)) {
			assert_false(set);
			pause_up_to(&random, stress->owner_pause);
			if (stress->depth == 0 || next_random(&random) % 4 == 0)
				pv_events_wait(&events);
			continue;
		}
		assert_int_equal((sources[0] & PV_EVENT_BIT(SET_BY_OWNER)) != 0, set);
		serve(sources);
	}
}

static void
start_raisers(void)
{
	pthread_barrier_init(&all_run, NULL, stress->raisers + 1);
	run_on(false);
	for (uintptr_t i = 0; i < stress->raisers; i++)
		assert_int_equal(pthread_create(&raisers[i], NULL, raise_in_rounds, (void *)i), 0);
	run_on(true);
	pthread_barrier_wait(&all_run);
}

static void
join_raisers(void)
{
	pthread_barrier_wait(&all_run);
	for (uint32_t i = 0; i < stress->raisers; i++)
		pthread_join(raisers[i], NULL);
	pthread_barrier_destroy(&all_run);
}

static void
run(const struct stress *setup, enum pv_critical_way way)
{
	stress = setup;
	owner = pthread_self();
	memset(&events, 0, sizeof(events));
	memset((void *)posted, 0, sizeof(posted));
	atomic_store(&done, 0);
	hang_watch("something was lost, or its thread sleeps on it");
	assert_int_equal(pv_events_begin(&events, way, NEVER_US), 0);
	start_raisers();
	be_told();
	join_raisers();
	pv_events_end(&events);
	hang_is_over();
	print_message("%u rounds: %" PRIu64 " sleeps, %" PRIu64 " signals, %" PRIu64 " of them deferred\n",
		      stress->rounds, events.counters.waits, events.counters.signals, events.counters.deferred);
}

static void
no_request_is_lost_under_random_signals(void **state)
{
	const struct stress setup = {
		.raisers = RAISERS_MAX, .rounds = 1000, .burst = 3, .depth = 3, .owner_pause = 1000, .noise = 4
	};

	run(&setup, *(const enum pv_critical_way *)*state);
}

/* The one raiser comes again and again when its thread is about to sleep. */
static void
no_sleep_misses_a_source_raised_just_before(void **state)
{
	const struct stress setup = { .raisers = 1, .rounds = 4000, .burst = 1, .owner_pause = 10000 };

	run(&setup, *(const enum pv_critical_way *)*state);
}

static int
install(void **state)
{
	return pv_events_install() == 0 && sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? 0 : -1;
}

#define IN_WAY(test, name, way)                                                  \
	{                                                                        \
#test ", " name, test, NULL, NULL, (void *)(uintptr_t)&ways[way] \
	}
#define IN_BOTH(test) IN_WAY(test, "signal-mask", 0), IN_WAY(test, "user-mask", 1)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH(no_request_is_lost_under_random_signals),
		IN_BOTH(no_sleep_misses_a_source_raised_just_before),
	};

	return cmocka_run_group_tests_name("critical_stress", tests, install, NULL);
}
