/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/relay.h"

#define PORTS 3
#define SLOTS (PV_QUEUES_MAX + 1)
#define DEADLINE_S 20
#define ROUND_TRIPS 200

static struct pv_port ports[PORTS];
static _Atomic uint32_t woken[PORTS][SLOTS];
static sem_t any;

static void
wake(struct pv_port *port, uint16_t slot)
{
	woken[port->id][slot]++;
	sem_post(&any);
}

static void
wait_for_one(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DEADLINE_S;
	if (sem_timedwait(&any, &until) != 0)
		fail_msg("no event within %d s", DEADLINE_S);
}

static void
kick(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

/* A relay whose thread runs, and nothing is watched. */
static struct pv_relay *
begin(void)
{
	struct pv_relay *relay = pv_relay_new(PORTS, wake);

	assert_non_null(relay);
	memset(woken, 0, sizeof(woken));
	sem_init(&any, 0, 0);
	for (uint16_t i = 0; i < PORTS; i++)
		ports[i].id = i;
	assert_int_equal(pv_relay_start(relay), 0);
	return relay;
}

static void
end(struct pv_relay *relay)
{
	pv_relay_free(relay);
	sem_destroy(&any);
}

static int
watched(struct pv_relay *relay, uint16_t port, uint16_t slot)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(pv_relay_watch(relay, &ports[port], slot, fd));
	return fd;
}

/* Once there and back: all that happened before has been told, too. */
static void
go_round(int fd)
{
	kick(fd);
	wait_for_one();
}

static unsigned int
count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		n++;
	closedir(folder);
	return n;
}

static void
each_kick_reaches_the_port_and_the_slot_that_it_is_about(void **state)
{
	static const uint16_t slots[][2] = {
		{ 0, 0 }, { 0, 1 }, { 1, 0 }, { 2, PV_QUEUES_MAX - 1 }, { 2, PV_QUEUES_MAX }
	};
	struct pv_relay *relay = begin();
	int fds[5];

	for (int i = 0; i < 5; i++)
		fds[i] = watched(relay, slots[i][0], slots[i][1]);
	for (uint32_t turn = 1; turn <= 10; turn++)
		for (int i = 0; i < 5; i++) {
			go_round(fds[i]);
			assert_int_equal(woken[slots[i][0]][slots[i][1]], turn);
		}
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	end(relay);
}

static void
a_descriptor_that_was_exchanged_says_nothing_any_more(void **state)
{
	struct pv_relay *relay = begin();
	int other = watched(relay, 1, 0), first = watched(relay, 0, 0), second;

	go_round(first);
	second = watched(relay, 0, 0);
	kick(first);
	go_round(other);
	assert_int_equal(woken[0][0], 1);
	go_round(second);
	assert_int_equal(woken[0][0], 2);
	close(first);
	close(second);
	close(other);
	end(relay);
}

static void
a_descriptor_that_was_taken_away_says_nothing_any_more(void **state)
{
	struct pv_relay *relay = begin();
	int other = watched(relay, 1, 0), fd = watched(relay, 0, 0);

	go_round(fd);
	assert_true(pv_relay_watch(relay, &ports[0], 0, -1));
	assert_true(pv_relay_watch(relay, &ports[0], 0, -1));
	kick(fd);
	go_round(other);
	assert_int_equal(woken[0][0], 1);
	assert_true(pv_relay_watch(relay, &ports[0], 0, fd)); /* and what came meanwhile is told */
	wait_for_one();
	assert_int_equal(woken[0][0], 2);
	close(fd);
	close(other);
	end(relay);
}

static void
the_descriptor_is_copied(void **state)
{
	struct pv_relay *relay = begin();
	int fd = watched(relay, 0, 0), of_the_frontend = dup(fd);

	close(fd);
	go_round(of_the_frontend);
	assert_int_equal(woken[0][0], 1);
	close(of_the_frontend);
	end(relay);
}

static void
a_descriptor_that_is_always_readable_tells_once(void **state)
{
	struct pv_relay *relay = begin();
	int other = watched(relay, 1, 0), full = eventfd(1, EFD_CLOEXEC);

	assert_true(pv_relay_watch(relay, &ports[0], 0, full));
	wait_for_one();
	for (int i = 0; i < ROUND_TRIPS; i++)
		go_round(other);
	assert_int_equal(woken[0][0], 1);
	assert_int_equal(woken[1][0], ROUND_TRIPS);
	close(full);
	close(other);
	end(relay);
}

static void
nothing_is_ever_read_from_a_descriptor(void **state)
{
	struct pv_relay *relay = begin();
	int fd = watched(relay, 0, 0);
	eventfd_t value = 0;

	for (int i = 0; i < 3; i++)
		go_round(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 3);
	close(fd);
	end(relay);
}

static void
pipes_will_do(void **state)
{
	struct pv_relay *relay = begin();
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(pv_relay_watch(relay, &ports[0], 0, fds[0]));
	assert_int_equal(write(fds[1], "x", 1), 1);
	wait_for_one();
	assert_int_equal(woken[0][0], 1);
	close(fds[0]);
	close(fds[1]);
	end(relay);
}

static void
sockets_will_do(void **state)
{
	struct pv_relay *relay = begin();
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_true(pv_relay_watch(relay, &ports[0], 0, fds[0]));
	assert_int_equal(write(fds[1], "x", 1), 1);
	wait_for_one();
	assert_int_equal(woken[0][0], 1);
	close(fds[0]);
	close(fds[1]);
	end(relay);
}

static int
make_epoll(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static int
make_memory_file(void)
{
	return memfd_create("anon_inode:[eventfd]", MFD_CLOEXEC);
}

static int
make_timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static int
open_device(void)
{
	return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int
open_folder(void)
{
	return open("/", O_RDONLY | O_CLOEXEC);
}

/* What is polled may wait, or wake us as often as it likes, unless it is known what it is. */
static void
other_descriptors_are_refused(void **state)
{
	static int (*const make[])(void) = { make_memory_file, make_epoll, make_timer, open_device, open_folder };
	struct pv_relay *relay = begin();

	for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
		int before = watched(relay, 0, 0), fd = make[i](), other = watched(relay, 1, 0);
		uint32_t told = woken[0][0];

		assert_true(fd >= 0);
		if (pv_relay_watch(relay, &ports[0], 0, fd))
			fail_msg("descriptor %zu was accepted", i);
		kick(before); /* the one before is not watched any more either */
		go_round(other);
		assert_int_equal(woken[0][0], told);
		close(fd);
		close(before);
		close(other);
	}
	assert_false(pv_relay_watch(relay, &ports[0], 0, 1000000));
	end(relay);
}

static void
a_relay_that_is_stopped_tells_nothing_until_it_is_started(void **state)
{
	struct pv_relay *relay = begin();
	int fd = watched(relay, 0, 0), later;

	for (uint32_t turn = 1; turn <= 20; turn++) {
		pv_relay_stop(relay);
		pv_relay_stop(relay);
		kick(fd);
		later = watched(relay, 1, 0);
		kick(later);
		assert_int_equal(woken[0][0], turn - 1);
		assert_int_equal(pv_relay_start(relay), 0);
		assert_int_equal(pv_relay_start(relay), 0);
		wait_for_one();
		wait_for_one();
		assert_int_equal(woken[0][0], turn);
		assert_int_equal(woken[1][0], turn);
		close(later);
	}
	close(fd);
	end(relay);
}

static void
nothing_stays_open(void **state)
{
	unsigned int before = count_descriptors();
	struct pv_relay *relay = begin();

	for (uint16_t slot = 0; slot < SLOTS; slot++)
		for (int again = 0; again < 2; again++)
			close(watched(relay, 0, slot));
	end(relay);
	assert_int_equal(count_descriptors(), before);
	pv_relay_free(NULL);
}

/* A frontend that changes its descriptors while it kicks. */
static void *
kick_all_the_time(void *argument)
{
	const int *fds = argument;

	while (fcntl(fds[1], F_GETFD) >= 0 && eventfd_write(fds[0], 1) == 0)
		;
	return NULL;
}

static void
descriptors_change_while_they_are_kicked(void **state)
{
	struct pv_relay *relay = begin();
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	pthread_t guest;

	assert_int_equal(pthread_create(&guest, NULL, kick_all_the_time, fds), 0);
	for (int i = 0; i < 2000; i++) {
		assert_true(pv_relay_watch(relay, &ports[i % PORTS], (uint16_t)(i % SLOTS), i % 3 == 0 ? -1 : fds[0]));
		if (i % 100 == 0) {
			pv_relay_stop(relay);
			assert_int_equal(pv_relay_start(relay), 0);
		}
	}
	close(fds[1]);
	pthread_join(guest, NULL);
	close(fds[0]);
	end(relay);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kick_reaches_the_port_and_the_slot_that_it_is_about),
		cmocka_unit_test(a_descriptor_that_was_exchanged_says_nothing_any_more),
		cmocka_unit_test(a_descriptor_that_was_taken_away_says_nothing_any_more),
		cmocka_unit_test(the_descriptor_is_copied),
		cmocka_unit_test(a_descriptor_that_is_always_readable_tells_once),
		cmocka_unit_test(nothing_is_ever_read_from_a_descriptor),
		cmocka_unit_test(pipes_will_do),
		cmocka_unit_test(sockets_will_do),
		cmocka_unit_test(other_descriptors_are_refused),
		cmocka_unit_test(a_relay_that_is_stopped_tells_nothing_until_it_is_started),
		cmocka_unit_test(nothing_stays_open),
		cmocka_unit_test(descriptors_change_while_they_are_kicked),
	};

	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
