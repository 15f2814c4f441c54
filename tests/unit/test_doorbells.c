/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells: what they do; that each order of steps of who rings and who takes or goes to sleep loses nothing (one
 * instruction at a time: with the two stores of ring, or of take, or those of the sleep the other way round, this
 * fails at once); and the same with threads at random, until all that was asked for has been done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/doorbells.h"
#include "core/worker.h"
#include "hang.h"
#include "next_random.h"
#include "steps.h"

#define RINGERS 3
#define SOURCES 24
#define ROUNDS 3000
#define BURST 3 /* rings of each in a round */

enum { ONE = 3, OTHER = 200 }; /* sources of two words */

static struct pv_doorbells doorbells;
static int bell;

static int
set_up(void **state)
{
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pv_doorbells_init(&doorbells, bell);
	return bell >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	return close(bell);
}

/* How often the bell was rung since the last time. */
static uint64_t
count_bells(void)
{
	eventfd_t times = 0;

	return eventfd_read(bell, &times) == 0 ? times : 0;
}

static bool
has(const uint64_t rung[PV_EVENT_WORDS], uint32_t source)
{
	return (rung[PV_EVENT_WORD(source)] & PV_EVENT_BIT(source)) != 0;
}

static uint32_t
count_sources(const uint64_t rung[PV_EVENT_WORDS])
{
	uint32_t n = 0;

	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		n += (uint32_t)__builtin_popcountll(rung[word]);
	return n;
}

/* --- alone -------------------------------------------------------------------------------------------------------- */

static void
each_source_is_taken_once_and_no_other(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	for (uint32_t source = 0; source < PV_EVENT_SOURCES; source++) {
		pv_doorbells_ring(&doorbells, source);
		assert_true(pv_doorbells_is_any(&doorbells));
		assert_true(pv_doorbells_take(&doorbells, rung));
		assert_true(has(rung, source));
		assert_int_equal(count_sources(rung), 1);
		assert_false(pv_doorbells_is_any(&doorbells));
		assert_false(pv_doorbells_take(&doorbells, rung));
	}
}

static void
sources_of_all_words_are_taken_at_once(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	for (int times = 0; times < 2; times++)
		for (uint32_t source = 0; source < PV_EVENT_SOURCES; source++)
			pv_doorbells_ring(&doorbells, source);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_int_equal(count_sources(rung), PV_EVENT_SOURCES);
	assert_false(pv_doorbells_take(&doorbells, rung));
}

static void
mail_and_leave_are_sources(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	pv_doorbells_ring(&doorbells, PV_SOURCE_MAIL);
	pv_doorbells_ring(&doorbells, PV_SOURCE_LEAVE);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_true(has(rung, PV_SOURCE_MAIL) && has(rung, PV_SOURCE_LEAVE));
}

static void
only_words_that_the_summary_names_are_looked_at(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	doorbells.words[PV_EVENT_WORD(OTHER)] = PV_EVENT_BIT(OTHER); /* who rings has come so far */
	assert_false(pv_doorbells_take(&doorbells, rung));
	pv_doorbells_ring(&doorbells, ONE);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_int_equal(count_sources(rung), 1);
	pv_doorbells_ring(&doorbells, OTHER);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_true(has(rung, OTHER));
}

static void
an_owner_that_is_awake_hears_no_bell(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	pv_doorbells_ring(&doorbells, ONE);
	assert_false(pv_doorbells_prepare_sleep(&doorbells));
	pv_doorbells_ring(&doorbells, OTHER);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_true(pv_doorbells_prepare_sleep(&doorbells));
	pv_doorbells_wake_up(&doorbells);
	pv_doorbells_ring(&doorbells, OTHER);
	assert_int_equal(count_bells(), 0);
}

static void
the_bell_rings_once_for_each_sleep(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	for (int sleep = 0; sleep < 3; sleep++) {
		assert_true(pv_doorbells_prepare_sleep(&doorbells));
		for (uint32_t source = 0; source < PV_EVENT_SOURCES; source++)
			pv_doorbells_ring(&doorbells, source);
		assert_int_equal(count_bells(), 1);
		pv_doorbells_wake_up(&doorbells);
		assert_true(pv_doorbells_take(&doorbells, rung));
	}
}

static void
what_the_owner_notes_itself_rings_no_bell(void **state)
{
	uint64_t rung[PV_EVENT_WORDS];

	assert_true(pv_doorbells_prepare_sleep(&doorbells));
	pv_doorbells_note(&doorbells, ONE);
	pv_doorbells_wake_up(&doorbells);
	assert_int_equal(count_bells(), 0);
	assert_true(pv_doorbells_take(&doorbells, rung));
	assert_true(has(rung, ONE));
}

/* --- at each instruction ------------------------------------------------------------------------------------------ */

static uint32_t moment; /* the instruction before which the other thread does something */
static void (*other_thread)(void);
static bool may_sleep, has_slept, is_done;
static uint64_t taken[PV_EVENT_WORDS]; /* of all takes */

static void
at_the_moment(const ucontext_t *context, uint32_t step)
{
	if (step != moment)
		return;
	other_thread();
	is_done = true;
}

static void
ring_one(void)
{
	pv_doorbells_ring(&doorbells, ONE);
}

static void
take_all(void)
{
	uint64_t rung[PV_EVENT_WORDS];

	if (!pv_doorbells_take(&doorbells, rung))
		return;
	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		taken[word] |= rung[word];
}

static void
go_to_sleep(void)
{
	may_sleep = pv_doorbells_prepare_sleep(&doorbells);
	has_slept |= may_sleep;
}

/* What an owner does when it has nothing left. */
static void
take_and_go_to_sleep(void)
{
	take_all();
	go_to_sleep();
}

/* One thread, and what another does at each of its instructions; `check` says whether that was right. */
static void
at_each_instruction(void (*thread)(void), void (*other)(void), void (*before)(void), void (*check)(void))
{
	uint32_t instructions = 0;

	other_thread = other;
	hang_watch("a step by step run");
	is_done = true;
	for (moment = 0; is_done; moment++) {
		pv_doorbells_init(&doorbells, bell);
		count_bells();
		memset(taken, 0, sizeof(taken));
		is_done = may_sleep = false;
		before();
		steps_begin(at_the_moment);
		thread();
		instructions = steps_end();
		if (is_done)
			check();
	}
	hang_is_over();
	print_message("at each of %u instructions\n", instructions);
	assert_true(instructions > 5);
}

static void
nothing(void)
{
}

static void
ring_other(void)
{
	pv_doorbells_ring(&doorbells, OTHER);
}

/* Of the same word as ONE. */
static void
ring_neighbour(void)
{
	pv_doorbells_ring(&doorbells, ONE + 1);
}

static void
the_ring_is_taken(void)
{
	take_all();
	if (!has(taken, ONE))
		fail_msg("instruction %u: the ring was lost", moment);
}

static void
a_sleeper_was_woken(void)
{
	bool is_rung = count_bells() > 0;

	if (may_sleep && !is_rung && pv_doorbells_is_any(&doorbells))
		fail_msg("instruction %u: it sleeps, and nobody rings the bell", moment);
	the_ring_is_taken();
}

static void
a_take_at_any_moment_of_a_ring_loses_nothing(void **state)
{
	at_each_instruction(ring_one, take_all, nothing, the_ring_is_taken);
	at_each_instruction(ring_one, take_all, ring_other, the_ring_is_taken);
	at_each_instruction(ring_one, take_all, ring_neighbour, the_ring_is_taken);
}

static void
a_ring_at_any_moment_of_a_take_is_not_lost(void **state)
{
	at_each_instruction(take_all, ring_one, nothing, the_ring_is_taken);
	at_each_instruction(take_all, ring_one, ring_other, the_ring_is_taken);
	at_each_instruction(take_all, ring_one, ring_neighbour, the_ring_is_taken);
}

static void
a_ring_at_any_moment_before_a_sleep_ends_it(void **state)
{
	has_slept = false;
	at_each_instruction(take_and_go_to_sleep, ring_one, nothing, a_sleeper_was_woken);
	at_each_instruction(take_and_go_to_sleep, ring_one, ring_other, a_sleeper_was_woken);
	assert_true(has_slept);
}

static void
a_sleep_at_any_moment_of_a_ring_is_ended(void **state)
{
	has_slept = false;
	at_each_instruction(ring_one, go_to_sleep, nothing, a_sleeper_was_woken);
	at_each_instruction(ring_one, take_and_go_to_sleep, nothing, a_sleeper_was_woken);
	at_each_instruction(ring_one, take_and_go_to_sleep, ring_neighbour, a_sleeper_was_woken);
	assert_true(has_slept);
}

/* --- by threads --------------------------------------------------------------------------------------------------- */

struct stress {
	uint32_t ringers, rounds, burst;
	uint32_t pause;	      /* of who rings, before it does, in turns of a loop: at most */
	uint32_t owner_pause; /* the same before it goes to sleep */
};

static const struct stress *stress;
static _Atomic uint32_t posted[SOURCES]; /* requests that wait, by source */
static _Atomic uint32_t done;		 /* requests, of all */

/* Spread over all words. */
static uint32_t
id_of(uint32_t source)
{
	return source * PV_EVENT_SOURCES / SOURCES;
}

static void
pause_up_to(uint32_t *random, uint32_t limit)
{
	for (uint32_t left = next_random(random) % (limit + 1); left > 0; left--)
		__asm__ volatile("" ::: "memory");
}

/* No round begins before all of the last is done, so nothing that comes later helps an owner that sleeps on it. */
static void *
ring_in_rounds(void *number)
{
	uint32_t random = 1 + (uint32_t)(uintptr_t)number;

	for (uint32_t round = 1; round <= stress->rounds; round++) {
		for (uint32_t i = 0; i < stress->burst; i++) {
			uint32_t source = next_random(&random) % SOURCES;

			pause_up_to(&random, stress->pause);
			atomic_fetch_add_explicit(&posted[source], 1, memory_order_relaxed);
			pv_doorbells_ring(&doorbells, id_of(source));
		}
		while (atomic_load(&done) < round * stress->ringers * stress->burst)
			sched_yield();
	}
	return NULL;
}

static void
serve(const uint64_t rung[PV_EVENT_WORDS])
{
	uint32_t n = 0;

	for (uint32_t source = 0; source < SOURCES; source++)
		if (has(rung, id_of(source)))
			n += atomic_exchange_explicit(&posted[source], 0, memory_order_relaxed);
	atomic_fetch_add(&done, n);
}

static struct {
	uint32_t attempts, sleeps; /* how often the owner wanted to sleep, and did */
} counters;

static void
serve_all(int sleeping)
{
	uint32_t random = 77, all = stress->rounds * stress->ringers * stress->burst;
	uint64_t rung[PV_EVENT_WORDS];
	struct epoll_event event;

	while (atomic_load(&done) < all) {
		if (pv_doorbells_take(&doorbells, rung)) {
			serve(rung);
			continue;
		}
		pause_up_to(&random, stress->owner_pause);
		counters.attempts++;
		if (!pv_doorbells_prepare_sleep(&doorbells))
			continue;
		counters.sleeps++;
		while (epoll_wait(sleeping, &event, 1, -1) < 0)
			assert_int_equal(errno, EINTR);
		pv_doorbells_wake_up(&doorbells);
	}
}

static void
run(const struct stress *setup)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int sleeping = epoll_create1(EPOLL_CLOEXEC);
	pthread_t ringers[RINGERS];
	uint64_t bells;

	stress = setup;
	memset(&counters, 0, sizeof(counters));
	memset((void *)posted, 0, sizeof(posted));
	atomic_store(&done, 0);
	assert_int_equal(epoll_ctl(sleeping, EPOLL_CTL_ADD, bell, &event), 0);
	hang_watch("a ring was lost, or its owner sleeps on it");
	for (uintptr_t i = 0; i < stress->ringers; i++)
		assert_int_equal(pthread_create(&ringers[i], NULL, ring_in_rounds, (void *)i), 0);
	serve_all(sleeping);
	for (uint32_t i = 0; i < stress->ringers; i++)
		pthread_join(ringers[i], NULL);
	hang_is_over();
	close(sleeping);
	bells = count_bells();
	print_message("%u rings, %u sleeps of %u attempts, %u bells\n", atomic_load(&done), counters.sleeps,
		      counters.attempts, (uint32_t)bells);
	assert_true(counters.sleeps > 0);
	assert_true(bells <= counters.attempts);
}

static void
no_ring_of_many_threads_is_lost(void **state)
{
	const struct stress setup = { .ringers = RINGERS, .rounds = ROUNDS, .burst = BURST, .pause = 300 };

	run(&setup);
}

/* The one who rings comes again and again when the owner is about to sleep. */
static void
no_sleep_misses_a_ring_just_before(void **state)
{
	const struct stress setup = { .ringers = 1, .rounds = 4 * ROUNDS, .burst = 1, .owner_pause = 3000 };

	run(&setup);
}

#define WITH_BELL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest alone[] = {
		WITH_BELL(each_source_is_taken_once_and_no_other),
		WITH_BELL(sources_of_all_words_are_taken_at_once),
		WITH_BELL(mail_and_leave_are_sources),
		WITH_BELL(only_words_that_the_summary_names_are_looked_at),
		WITH_BELL(an_owner_that_is_awake_hears_no_bell),
		WITH_BELL(the_bell_rings_once_for_each_sleep),
		WITH_BELL(what_the_owner_notes_itself_rings_no_bell),
	};
	const struct CMUnitTest by_steps[] = {
		WITH_BELL(a_take_at_any_moment_of_a_ring_loses_nothing),
		WITH_BELL(a_ring_at_any_moment_of_a_take_is_not_lost),
		WITH_BELL(a_ring_at_any_moment_before_a_sleep_ends_it),
		WITH_BELL(a_sleep_at_any_moment_of_a_ring_is_ended),
	};
	const struct CMUnitTest by_threads[] = {
		WITH_BELL(no_ring_of_many_threads_is_lost),
		WITH_BELL(no_sleep_misses_a_ring_just_before),
	};
	int failed = cmocka_run_group_tests_name("doorbells alone", alone, NULL, NULL);

	if (steps_are_possible())
		failed += cmocka_run_group_tests_name("doorbells by steps", by_steps, NULL, NULL);
	else
		print_message("the CPU does not trap after an instruction: nothing is done by steps\n");
	return failed != 0 ? failed : cmocka_run_group_tests_name("doorbells by threads", by_threads, NULL, NULL);
}
