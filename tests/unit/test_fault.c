/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"
#include "vio/fault.h"

#define PAGE 4096u
#define PAGES 64u
#define LENGTH (PAGE * PAGES)
#define HUGE_PAGE (2u << 20)
#define THREADS 8
#define ROUNDS 200

/* A file of a guest, mapped. */
struct shared {
	int fd;
	uint8_t *at;
	size_t length;
	_Atomic uint32_t faulted;
};

static void
share_file(struct shared *shared, int fd, size_t length)
{
	shared->fd = fd;
	shared->length = length;
	shared->faulted = 0;
	assert_true(shared->fd >= 0);
	assert_int_equal(ftruncate(shared->fd, (off_t)length), 0);
	shared->at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd, 0);
	assert_ptr_not_equal(shared->at, MAP_FAILED);
}

static void
share(struct shared *shared)
{
	share_file(shared, memfd_create("guest", MFD_CLOEXEC), LENGTH);
	memset(shared->at, 0xa5, LENGTH);
}

/* As share(), and watched. cmocka takes SIGBUS before each test, so it is taken back here. */
static void
share_watched(struct shared *shared)
{
	share(shared);
	assert_int_equal(pv_fault_install(), 0);
	assert_int_equal(pv_fault_watch(shared->at, LENGTH, &shared->faulted), 0);
}

static void
take_back(struct shared *shared)
{
	pv_fault_unwatch(shared->at);
	munmap(shared->at, shared->length);
	close(shared->fd);
}

static void
cut(const struct shared *shared, unsigned int pages)
{
	assert_int_equal(ftruncate(shared->fd, (off_t)pages * PAGE), 0);
}

static uint8_t
look_at(const struct shared *shared, unsigned int page)
{
	return ((volatile uint8_t *)shared->at)[page * PAGE + 17];
}

static void
put(struct shared *shared, unsigned int page, uint8_t value)
{
	((volatile uint8_t *)shared->at)[page * PAGE + 17] = value;
}

static void
what_is_gone_reads_as_zeroes_and_is_told(void **state)
{
	struct shared shared;

	share_watched(&shared);
	cut(&shared, 0);
	assert_int_equal(look_at(&shared, 5), 0);
	assert_int_equal(shared.faulted, 1);
	assert_int_equal(look_at(&shared, 0), 0);
	assert_int_equal(look_at(&shared, PAGES - 1), 0);
	take_back(&shared);
}

static void
what_is_there_stays_shared(void **state)
{
	struct shared shared;
	uint8_t byte = 0x77;

	share_watched(&shared);
	cut(&shared, 3);
	assert_int_equal(look_at(&shared, 2), 0xa5);
	assert_int_equal(shared.faulted, 0);
	assert_int_equal(look_at(&shared, 3), 0);
	assert_int_equal(shared.faulted, 1);
	assert_int_equal(look_at(&shared, 2), 0xa5);
	assert_int_equal(pwrite(shared.fd, &byte, 1, 2 * PAGE + 17), 1);
	assert_int_equal(look_at(&shared, 2), 0x77);
	take_back(&shared);
}

static void
writing_goes_on(void **state)
{
	struct shared shared;

	share_watched(&shared);
	cut(&shared, 0);
	put(&shared, 7, 0x42);
	assert_int_equal(look_at(&shared, 7), 0x42);
	memset(shared.at, 0x11, LENGTH);
	assert_int_equal(look_at(&shared, PAGES - 1), 0x11);
	assert_int_equal(shared.faulted, 1);
	take_back(&shared);
}

static void
a_file_that_grows_again_changes_nothing(void **state)
{
	struct shared shared;

	share_watched(&shared);
	cut(&shared, 0);
	put(&shared, 0, 1);
	cut(&shared, PAGES);
	assert_int_equal(look_at(&shared, 0), 1);
	cut(&shared, 0);
	assert_int_equal(look_at(&shared, 0), 1);
	take_back(&shared);
}

static void
only_the_owner_is_told(void **state)
{
	struct shared shared, other;

	share_watched(&shared);
	share_watched(&other);
	cut(&shared, 0);
	look_at(&shared, 0);
	assert_int_equal(shared.faulted, 1);
	assert_int_equal(other.faulted, 0);
	assert_int_equal(look_at(&other, 0), 0xa5);
	take_back(&shared);
	take_back(&other);
}

static void
errno_is_kept(void **state)
{
	struct shared shared;

	share_watched(&shared);
	cut(&shared, 0);
	errno = ENOTTY;
	look_at(&shared, 0);
	assert_int_equal(errno, ENOTTY);
	take_back(&shared);
}

static void
a_system_call_sees_an_error(void **state)
{
	struct shared shared;
	int ends[2];

	share_watched(&shared);
	assert_int_equal(pipe(ends), 0);
	cut(&shared, 0);
	assert_int_equal(write(ends[1], shared.at, 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(shared.faulted, 0);
	close(ends[0]);
	close(ends[1]);
	take_back(&shared);
}

struct crowd {
	struct shared *shared;
	pthread_barrier_t *start;
	unsigned int number;
};

/* Touches every page, each thread from another one on. */
static void *
touch_all(void *argument)
{
	const struct crowd *crowd = argument;
	uintptr_t sum = 0;

	pthread_barrier_wait(crowd->start);
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int page = (crowd->number * PAGES / THREADS + i) % PAGES;

		sum += look_at(crowd->shared, page);
		put(crowd->shared, page, 0);
	}
	return (void *)sum;
}

static void
touch_with_all_threads(struct shared *shared)
{
	pthread_barrier_t start;
	pthread_t threads[THREADS];
	struct crowd crowds[THREADS];
	void *sum;

	pthread_barrier_init(&start, NULL, THREADS);
	for (unsigned int i = 0; i < THREADS; i++) {
		crowds[i] = (struct crowd){ shared, &start, i };
		assert_int_equal(pthread_create(&threads[i], NULL, touch_all, &crowds[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &sum), 0);
		assert_ptr_equal(sum, NULL);
	}
	pthread_barrier_destroy(&start);
}

static void
many_threads_may_fault_at_once(void **state)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct shared shared;

		share_watched(&shared);
		cut(&shared, 0);
		touch_with_all_threads(&shared);
		assert_int_equal(shared.faulted, 1);
		take_back(&shared);
	}
}

static atomic_bool stop;

/* Mappings that come and go, so that the table changes under the handlers. */
static void *
come_and_go(void *argument)
{
	static uint8_t places[4][PAGE] __attribute__((aligned(4096)));
	_Atomic uint32_t faulted = 0;

	while (!stop) {
		for (size_t i = 0; i < 4; i++)
			pv_fault_watch(places[i], (i + 1) % 3 * PAGE + 1, &faulted);
		for (size_t i = 0; i < 4; i++)
			pv_fault_unwatch(places[i]);
	}
	return (void *)(uintptr_t)faulted;
}

static void
mappings_may_come_and_go_meanwhile(void **state)
{
	pthread_t changer;
	void *told;

	stop = false;
	assert_int_equal(pthread_create(&changer, NULL, come_and_go, NULL), 0);
	many_threads_may_fault_at_once(state);
	stop = true;
	assert_int_equal(pthread_join(changer, &told), 0);
	assert_ptr_equal(told, NULL);
}

static void
touch_unwatched(void)
{
	struct shared shared;

	share(&shared);
	cut(&shared, 0);
	look_at(&shared, 0);
}

static void
a_mapping_that_is_not_watched_kills(void **state)
{
	child_assert_killed(SIGBUS, touch_unwatched);
}

static void
touch_no_longer_watched(void)
{
	struct shared shared;

	share_watched(&shared);
	pv_fault_unwatch(shared.at);
	cut(&shared, 0);
	look_at(&shared, 0);
}

static void
a_mapping_that_is_no_longer_watched_kills(void **state)
{
	child_assert_killed(SIGBUS, touch_no_longer_watched);
}

static void
touch_beside_watched(void)
{
	struct shared shared;

	share(&shared);
	if (pv_fault_watch(shared.at + PAGE, PAGE, &shared.faulted) != 0)
		return;
	cut(&shared, 0);
	look_at(&shared, 1);
	look_at(&shared, 0);
}

static void
the_page_before_a_watched_one_kills(void **state)
{
	child_assert_killed(SIGBUS, touch_beside_watched);
}

static void
send_to_itself(void)
{
	kill(getpid(), SIGBUS);
	pause();
}

static void
a_signal_that_somebody_sends_kills(void **state)
{
	child_assert_killed(SIGBUS, send_to_itself);
}

static void
a_shield_mends_what_nobody_watches(void **state)
{
	struct shared shared;
	_Atomic uint32_t faulted = 0;

	share(&shared);
	assert_int_equal(pv_fault_install(), 0);
	cut(&shared, 1);
	pv_fault_shield(&faulted);
	assert_int_equal(look_at(&shared, 3), 0);
	assert_int_equal(faulted, 1);
	put(&shared, 3, 9);
	assert_int_equal(look_at(&shared, 4), 0);
	assert_int_equal(look_at(&shared, 3), 9);
	assert_int_equal(look_at(&shared, 0), 0xa5);
	pv_fault_shield(NULL);
	take_back(&shared);
}

static void *
touch_in_thread(void *argument)
{
	look_at(argument, 0);
	return NULL;
}

static void
shield_another_thread(void)
{
	struct shared shared;
	pthread_t thread;

	share(&shared);
	cut(&shared, 0);
	pv_fault_shield(&shared.faulted);
	if (pthread_create(&thread, NULL, touch_in_thread, &shared) == 0)
		pthread_join(thread, NULL);
}

static void
a_shield_is_of_one_thread(void **state)
{
	child_assert_killed(SIGBUS, shield_another_thread);
}

static void
shield_no_more(void)
{
	struct shared shared;

	share(&shared);
	cut(&shared, 0);
	pv_fault_shield(&shared.faulted);
	pv_fault_shield(NULL);
	look_at(&shared, 0);
}

static void
a_shield_has_an_end(void **state)
{
	child_assert_killed(SIGBUS, shield_no_more);
}

static void
what_is_no_mapping_is_refused(void **state)
{
	_Atomic uint32_t faulted;
	uint8_t *page = (uint8_t *)(uintptr_t)PAGE;

	assert_int_equal(pv_fault_watch(NULL, PAGE, &faulted), -EINVAL);
	assert_int_equal(pv_fault_watch(page + 1, PAGE, &faulted), -EINVAL);
	assert_int_equal(pv_fault_watch(page, 0, &faulted), -EINVAL);
	assert_int_equal(pv_fault_watch(page, PAGE, NULL), -EINVAL);
	pv_fault_unwatch(NULL);
	pv_fault_unwatch(page);
}

static void
the_table_has_an_end_and_places_are_used_again(void **state)
{
	_Atomic uint32_t faulted;
	uintptr_t n = 0;

	for (int round = 0; round < 2; round++) {
		for (n = 0; pv_fault_watch((void *)((n + 1) * PAGE), PAGE, &faulted) == 0; n++)
			;
		assert_int_equal(pv_fault_watch((void *)(uintptr_t)PAGE, PAGE, &faulted), -ENOSPC);
		assert_in_range(n, 5120, 100000);
		for (uintptr_t i = 0; i < n; i++)
			pv_fault_unwatch((void *)((i + 1) * PAGE));
	}
}

/* Takes huge pages when the machine has some that are free. */
static bool
share_huge(struct shared *shared)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB);
	bool there = fd >= 0 && fallocate(fd, 0, 0, 2 * HUGE_PAGE) == 0;

	if (there)
		share_file(shared, fd, 2 * HUGE_PAGE);
	else if (fd >= 0)
		close(fd);
	return there;
}

static void
huge_pages_are_replaced_all_together(void **state)
{
	struct shared shared;

	if (!share_huge(&shared))
		skip();
	assert_int_equal(pv_fault_install(), 0);
	assert_int_equal(pv_fault_watch(shared.at, shared.length, &shared.faulted), 0);
	shared.at[0] = shared.at[HUGE_PAGE] = 1;
	assert_int_equal(ftruncate(shared.fd, HUGE_PAGE), 0);
	assert_int_equal(((volatile uint8_t *)shared.at)[HUGE_PAGE + PAGE], 0);
	assert_int_equal(shared.faulted, 1);
	shared.at[2 * HUGE_PAGE - 1] = 1;
	take_back(&shared);
}

static void
a_shield_replaces_one_huge_page(void **state)
{
	struct shared shared;

	if (!share_huge(&shared))
		skip();
	assert_int_equal(pv_fault_install(), 0);
	shared.at[0] = shared.at[HUGE_PAGE] = 1;
	assert_int_equal(ftruncate(shared.fd, HUGE_PAGE), 0);
	pv_fault_shield(&shared.faulted);
	assert_int_equal(((volatile uint8_t *)shared.at)[HUGE_PAGE + PAGE], 0);
	assert_int_equal(((volatile uint8_t *)shared.at)[0], 1);
	assert_int_equal(shared.faulted, 1);
	pv_fault_shield(NULL);
	take_back(&shared);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_gone_reads_as_zeroes_and_is_told),
		cmocka_unit_test(what_is_there_stays_shared),
		cmocka_unit_test(writing_goes_on),
		cmocka_unit_test(a_file_that_grows_again_changes_nothing),
		cmocka_unit_test(only_the_owner_is_told),
		cmocka_unit_test(errno_is_kept),
		cmocka_unit_test(a_system_call_sees_an_error),
		cmocka_unit_test(many_threads_may_fault_at_once),
		cmocka_unit_test(mappings_may_come_and_go_meanwhile),
		cmocka_unit_test(a_mapping_that_is_not_watched_kills),
		cmocka_unit_test(a_mapping_that_is_no_longer_watched_kills),
		cmocka_unit_test(the_page_before_a_watched_one_kills),
		cmocka_unit_test(a_signal_that_somebody_sends_kills),
		cmocka_unit_test(a_shield_mends_what_nobody_watches),
		cmocka_unit_test(a_shield_is_of_one_thread),
		cmocka_unit_test(a_shield_has_an_end),
		cmocka_unit_test(what_is_no_mapping_is_refused),
		cmocka_unit_test(the_table_has_an_end_and_places_are_used_again),
		cmocka_unit_test(huge_pages_are_replaced_all_together),
		cmocka_unit_test(a_shield_replaces_one_huge_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
