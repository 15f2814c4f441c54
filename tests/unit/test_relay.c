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
#include <pthread.h>
#include <sched.h>
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

#define PORTS 8
#define SLOTS (PV_QUEUES_MAX + 1)
#define DEADLINE_S 20
#define ROUND_TRIPS 200
#define WORKERS 2
#define MS 1000000 /* in ns */
#define MANY (PV_RELAY_EVENTS_MAX + 10)

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

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DEADLINE_S;
	if (sem_clockwait(&any, CLOCK_MONOTONIC, &until) != 0)
		fail_msg("no event within %d s", DEADLINE_S);
}

static void
kick(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

/* A relay whose thread does not run, and nothing is watched. All queues are the first worker's. */
static struct pv_relay *
begin_polling(void)
{
	struct pv_relay *relay = pv_relay_new(PORTS, WORKERS, wake);

	assert_non_null(relay);
	memset(woken, 0, sizeof(woken));
	sem_init(&any, 0, 0);
	for (uint16_t i = 0; i < PORTS; i++)
		ports[i] = (struct pv_port){ .id = i };
	return relay;
}

/* The same, and its thread runs. */
static struct pv_relay *
begin(void)
{
	struct pv_relay *relay = begin_polling();

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

/* --- workers that look themselves --------------------------------------------------------------------------------- */

static void
a_worker_is_told_of_its_own_queues_only(void **state)
{
	struct pv_relay *relay = begin_polling();
	int fds[4];

	ports[0].owner[1] = ports[1].owner[0] = 1;
	fds[0] = watched(relay, 0, 0);
	fds[1] = watched(relay, 0, 1);
	fds[2] = watched(relay, 1, 1);
	fds[3] = watched(relay, 1, PV_QUEUES_MAX); /* looked after by who has queue 0 */
	for (int i = 0; i < 4; i++)
		kick(fds[i]);
	assert_int_equal(pv_relay_wait(relay, 0, 0), 2);
	assert_int_equal(woken[0][0] + woken[1][1], 2);
	assert_int_equal(woken[0][1] + woken[1][PV_QUEUES_MAX], 0);
	assert_int_equal(pv_relay_wait(relay, 1, -1), 2);
	assert_int_equal(woken[0][1] + woken[1][PV_QUEUES_MAX], 2);
	assert_int_equal(pv_relay_wait(relay, 0, 0) + pv_relay_wait(relay, 1, 0), 0);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	end(relay);
}

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void
a_wait_for_nothing_takes_its_time_and_a_look_none(void **state)
{
	struct pv_relay *relay = begin_polling();
	int64_t start = now_ns();

	assert_int_equal(pv_relay_wait(relay, 0, 3 * MS), 0);
	assert_true(now_ns() - start >= 3 * MS);
	for (int i = 0; i < ROUND_TRIPS; i++)
		assert_int_equal(pv_relay_wait(relay, 0, 0), 0);
	assert_int_equal(pv_relay_wait(relay, 0, 1), 0); /* of less than a millisecond, too */
	end(relay);
}

struct waiting {
	struct pv_relay *relay;
	uint16_t worker;
	int told;
};

static void *
wait_without_end(void *argument)
{
	struct waiting *waiting = argument;

	waiting->told = pv_relay_wait(waiting->relay, waiting->worker, -1);
	return NULL;
}

static void
the_bell_ends_one_wait_of_one_worker(void **state)
{
	struct waiting waiting = { .relay = begin_polling(), .worker = 1, .told = -1 };
	pthread_t worker;

	for (int i = 0; i < ROUND_TRIPS; i++) {
		assert_int_equal(pthread_create(&worker, NULL, wait_without_end, &waiting), 0);
		kick(pv_relay_bell_fd(waiting.relay, 1)); /* before it waits, or when it does */
		pthread_join(worker, NULL);
		assert_int_equal(waiting.told, 0);
	}
	assert_int_equal(pv_relay_wait(waiting.relay, 0, 0), 0);
	kick(pv_relay_bell_fd(waiting.relay, 0));
	kick(pv_relay_bell_fd(waiting.relay, 0));
	assert_int_equal(pv_relay_wait(waiting.relay, 0, -1), 0);
	end(waiting.relay);
}

static void
a_kick_ends_a_wait(void **state)
{
	struct waiting waiting = { .relay = begin_polling() };
	int fd = watched(waiting.relay, 0, 0);
	pthread_t worker;

	for (int i = 0; i < ROUND_TRIPS; i++) {
		waiting.told = 0;
		assert_int_equal(pthread_create(&worker, NULL, wait_without_end, &waiting), 0);
		kick(fd);
		pthread_join(worker, NULL);
		assert_int_equal(waiting.told, 1);
	}
	assert_int_equal(woken[0][0], ROUND_TRIPS);
	close(fd);
	end(waiting.relay);
}

static void
a_descriptor_that_moves_is_told_to_its_new_owner(void **state)
{
	struct pv_relay *relay = begin_polling();
	int fd = watched(relay, 0, 0), other = watched(relay, 1, 0);

	for (uint32_t turn = 0; turn < 10; turn++) {
		uint16_t before = turn % WORKERS, now = (turn + 1) % WORKERS;

		kick(fd); /* nobody has looked yet */
		ports[0].owner[0] = now;
		assert_true(pv_relay_move(relay, &ports[0], 0));
		assert_true(pv_relay_move(relay, &ports[0], 0));
		assert_int_equal(pv_relay_wait(relay, before, 0), 0);
		assert_int_equal(pv_relay_wait(relay, now, 0), 1);
		kick(fd);
		assert_int_equal(pv_relay_wait(relay, before, 0), 0);
		assert_int_equal(pv_relay_wait(relay, now, 0), 1);
		assert_int_equal(woken[0][0], 2 * (turn + 1));
	}
	kick(other);
	assert_int_equal(pv_relay_wait(relay, 0, 0), 1);
	assert_true(pv_relay_move(relay, &ports[2], 0)); /* which has no descriptor */
	assert_true(pv_relay_watch(relay, &ports[0], 0, -1));
	kick(fd);
	assert_int_equal(pv_relay_wait(relay, 0, 0) + pv_relay_wait(relay, 1, 0), 0);
	close(fd);
	close(other);
	end(relay);
}

static void
all_workers_are_told_by_the_thread_and_then_by_themselves(void **state)
{
	struct pv_relay *relay = begin();
	int fds[WORKERS];

	ports[1].owner[0] = 1;
	for (uint16_t i = 0; i < WORKERS; i++)
		fds[i] = watched(relay, i, 0);
	for (uint32_t turn = 0; turn < 20; turn++) {
		for (uint16_t i = 0; i < WORKERS; i++)
			go_round(fds[i]);
		kick(pv_relay_bell_fd(relay, 1)); /* which nobody waits for; the thread takes no harm */
		pv_relay_stop(relay);
		for (uint16_t i = 0; i < WORKERS; i++) {
			kick(fds[i]);
			while (pv_relay_wait(relay, i, -1) == 0)
				;
			wait_for_one();
			assert_int_equal(woken[i][0], 2 * (turn + 1));
		}
		assert_int_equal(pv_relay_start(relay), 0);
	}
	for (uint16_t i = 0; i < WORKERS; i++)
		close(fds[i]);
	end(relay);
}

/* --- hostile frontends -------------------------------------------------------------------------------------------- */

static void
watch_many(struct pv_relay *relay, int fds[MANY])
{
	for (uint16_t i = 0; i < MANY; i++)
		fds[i] = watched(relay, i % PORTS, i / PORTS);
}

static void
close_many(const int fds[MANY])
{
	for (uint16_t i = 0; i < MANY; i++)
		close(fds[i]);
}

static void
a_look_takes_so_many_events_and_the_next_one_the_others(void **state)
{
	struct pv_relay *relay = begin_polling();
	int fds[MANY];

	watch_many(relay, fds);
	for (uint16_t i = 0; i < MANY; i++)
		kick(fds[i]);
	assert_int_equal(pv_relay_wait(relay, 0, 0), PV_RELAY_EVENTS_MAX);
	for (uint16_t i = 0; i < PV_RELAY_EVENTS_MAX; i++)
		kick(fds[i]); /* who has been told of comes last, however often it kicks */
	assert_int_equal(pv_relay_wait(relay, 0, 0), PV_RELAY_EVENTS_MAX);
	for (uint16_t i = 0; i < MANY; i++)
		assert_in_range(woken[i % PORTS][i / PORTS], 1, 2);
	assert_int_equal(pv_relay_wait(relay, 0, 0), MANY - PV_RELAY_EVENTS_MAX);
	close_many(fds);
	end(relay);
}

struct frontend {
	const int *fds;
	_Atomic bool enough;
};

static void *
kick_all(void *argument)
{
	struct frontend *frontend = argument;

	while (!frontend->enough)
		for (uint16_t i = 1; i < MANY; i++)
			eventfd_write(frontend->fds[i], 1);
	return NULL;
}

/* 73 descriptors are always ready, 64 are told in a look, and one that is kicked once is not kept waiting. */
static void
who_kicks_in_a_loop_keeps_nobody_else_waiting(void **state)
{
	struct pv_relay *relay = begin_polling();
	int fds[MANY];
	struct frontend frontend = { .fds = fds };
	pthread_t guest;

	watch_many(relay, fds);
	assert_int_equal(pthread_create(&guest, NULL, kick_all, &frontend), 0);
	for (uint32_t turn = 1; turn <= ROUND_TRIPS; turn++) {
		int looks = 0;

		kick(fds[0]);
		while (woken[0][0] < turn && ++looks <= 3)
			assert_in_range(pv_relay_wait(relay, 0, 0), 0, PV_RELAY_EVENTS_MAX);
		assert_int_equal(woken[0][0], turn);
	}
	frontend.enough = true;
	pthread_join(guest, NULL);
	close_many(fds);
	end(relay);
}

static void
what_is_always_readable_or_was_hung_up_ends_one_wait(void **state)
{
	struct pv_relay *relay = begin_polling();
	int full = eventfd(1, EFD_CLOEXEC), fds[2], pair[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(pv_relay_watch(relay, &ports[0], 0, full));
	assert_true(pv_relay_watch(relay, &ports[1], 0, fds[0]));
	assert_true(pv_relay_watch(relay, &ports[2], 0, pair[0]));
	close(fds[1]);
	close(pair[1]);
	assert_int_equal(pv_relay_wait(relay, 0, -1), 3);
	for (int i = 0; i < ROUND_TRIPS; i++)
		assert_int_equal(pv_relay_wait(relay, 0, 0), 0);
	close(full);
	close(fds[0]);
	close(pair[0]);
	end(relay);
}

/* --- changes from elsewhere --------------------------------------------------------------------------------------- */

#define TURNS 3000 /* at least */

static struct pv_port passing;
static _Atomic bool is_there, is_over;
static _Atomic uint32_t told_of_it, told_too_late;

static void
wake_if_there(struct pv_port *port, uint16_t slot)
{
	told_of_it++;
	usleep(1); /* time for who is to wait for us */
	told_too_late += !is_there;
}

/*
 * A port comes and goes, and changes its owner, while two workers look and its guest kicks; until they have been told
 * of it, too: on one CPU that is a matter of luck.
 */
static void *
come_and_go(void *argument)
{
	struct pv_relay *relay = argument;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	for (uint32_t i = 0; i < TURNS || told_of_it == 0; i++) {
		is_there = true;
		passing.owner[0] = i % WORKERS;
		assert_true(pv_relay_watch(relay, &passing, 0, fd));
		kick(fd);
		passing.owner[0] = (i / 2) % WORKERS;
		assert_true(pv_relay_move(relay, &passing, 0));
		kick(fd);
		if (i >= TURNS)
			sched_yield();
		assert_true(pv_relay_watch(relay, &passing, 0, -1));
		is_there = false; /* and it could be freed now */
	}
	close(fd);
	is_over = true;
	for (uint16_t i = 0; i < WORKERS; i++)
		kick(pv_relay_bell_fd(relay, i));
	return NULL;
}

static void *
look_until_it_is_over(void *argument)
{
	struct waiting *waiting = argument;

	while (!is_over)
		pv_relay_wait(waiting->relay, waiting->worker, -1);
	return NULL;
}

static void
nobody_is_told_of_a_port_that_is_gone(void **state)
{
	struct pv_relay *relay = pv_relay_new(PORTS, WORKERS, wake_if_there);
	struct waiting waiting[WORKERS];
	pthread_t workers[WORKERS], control;

	assert_non_null(relay);
	passing.id = 1;
	for (uint16_t i = 0; i < WORKERS; i++) {
		waiting[i] = (struct waiting){ .relay = relay, .worker = i };
		assert_int_equal(pthread_create(&workers[i], NULL, look_until_it_is_over, &waiting[i]), 0);
	}
	assert_int_equal(pthread_create(&control, NULL, come_and_go, relay), 0);
	pthread_join(control, NULL);
	for (uint16_t i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	assert_int_equal(told_too_late, 0);
	pv_relay_free(relay);
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
		cmocka_unit_test(a_worker_is_told_of_its_own_queues_only),
		cmocka_unit_test(a_wait_for_nothing_takes_its_time_and_a_look_none),
		cmocka_unit_test(the_bell_ends_one_wait_of_one_worker),
		cmocka_unit_test(a_kick_ends_a_wait),
		cmocka_unit_test(a_descriptor_that_moves_is_told_to_its_new_owner),
		cmocka_unit_test(all_workers_are_told_by_the_thread_and_then_by_themselves),
		cmocka_unit_test(a_look_takes_so_many_events_and_the_next_one_the_others),
		cmocka_unit_test(who_kicks_in_a_loop_keeps_nobody_else_waiting),
		cmocka_unit_test(what_is_always_readable_or_was_hung_up_ends_one_wait),
		cmocka_unit_test(nobody_is_told_of_a_port_that_is_gone),
	};

	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
