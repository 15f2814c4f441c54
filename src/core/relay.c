/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"

#define SLOTS (PV_QUEUES_MAX + 1)
#define BELL UINT32_MAX /* in the place of a slot's number among all */
#define NS_PER_S 1000000000

struct slot {
	struct pv_port *port;
	uint16_t worker; /* in whose set it is */
	int fd;		 /* our copy plus 1, or 0 */
};

/* The slots of a port. Who changes them has the lock, and who tells of one. */
struct slots {
	pthread_mutex_t lock;
	struct slot slot[SLOTS];
};

/* What a worker's events come from. */
struct set {
	int epoll;
	int bell; /* eventfd */
};

struct pv_relay {
	int sets_of_all; /* for the thread: an epoll set of all workers' sets, while it runs, and of */
	int end;	 /* the eventfd that ends it */
	bool runs;
	pthread_t thread;
	pv_relay_wake *wake;
	uint16_t n_ports, n_workers;
	struct set *sets;     /* by worker */
	struct slots ports[]; /* by id */
};

/* --- new and free ------------------------------------------------------------------------------------------------- */

static bool
open_set(struct set *set)
{
	struct epoll_event bell = { .events = EPOLLIN | EPOLLET, .data.u32 = BELL };

	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	set->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return set->epoll >= 0 && set->bell >= 0 && epoll_ctl(set->epoll, EPOLL_CTL_ADD, set->bell, &bell) == 0;
}

static bool
open_all(struct pv_relay *relay, uint16_t workers)
{
	struct epoll_event end = { .events = EPOLLIN, .data.ptr = NULL };

	relay->sets_of_all = epoll_create1(EPOLL_CLOEXEC);
	relay->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->sets = calloc(workers, sizeof(*relay->sets));
	if (relay->sets_of_all < 0 || relay->end < 0 || relay->sets == NULL ||
	    epoll_ctl(relay->sets_of_all, EPOLL_CTL_ADD, relay->end, &end) != 0)
		return false;
	while (relay->n_workers < workers)
		if (!open_set(&relay->sets[relay->n_workers++]))
			return false;
	return true;
}

struct pv_relay *
pv_relay_new(uint16_t ports, uint16_t workers, pv_relay_wake *wake)
{
	struct pv_relay *relay = calloc(1, sizeof(*relay) + ports * sizeof(relay->ports[0]));

	if (relay == NULL)
		return NULL;
	relay->wake = wake;
	relay->n_ports = ports;
	for (uint16_t i = 0; i < ports; i++)
		pthread_mutex_init(&relay->ports[i].lock, NULL);
	if (open_all(relay, workers))
		return relay;
	pv_relay_free(relay);
	return NULL;
}

static void
close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The frontend has the descriptor, too, so closing ours would not take it out of the set. Returns it, to be closed. */
static int
forget(const struct pv_relay *relay, struct slot *slot)
{
	int fd = slot->fd - 1;

	if (fd >= 0)
		epoll_ctl(relay->sets[slot->worker].epoll, EPOLL_CTL_DEL, fd, NULL);
	slot->fd = 0;
	return fd;
}

static void
free_port(const struct pv_relay *relay, struct slots *port)
{
	for (uint16_t i = 0; i < SLOTS; i++)
		close_if_open(forget(relay, &port->slot[i]));
	pthread_mutex_destroy(&port->lock);
}

void
pv_relay_free(struct pv_relay *relay)
{
	if (relay == NULL)
		return;
	pv_relay_stop(relay);
	for (uint16_t i = 0; i < relay->n_ports; i++)
		free_port(relay, &relay->ports[i]);
	for (uint16_t i = 0; i < relay->n_workers; i++) {
		close_if_open(relay->sets[i].epoll);
		close_if_open(relay->sets[i].bell);
	}
	close_if_open(relay->end);
	close_if_open(relay->sets_of_all);
	free(relay->sets);
	free(relay);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Whether there was somebody to tell. The event may be older than what the slot is now. */
static bool
tell(struct pv_relay *relay, uint32_t index)
{
	struct slots *port = &relay->ports[index / SLOTS];
	const struct slot *slot = &port->slot[index % SLOTS];
	bool watched;

	pthread_mutex_lock(&port->lock);
	watched = slot->fd != 0;
	if (watched)
		relay->wake(slot->port, (uint16_t)(index % SLOTS));
	pthread_mutex_unlock(&port->lock);
	return watched;
}

/* The kernel hands out in turn what is ready, and what it has no room for first the next time. */
static int
look(struct pv_relay *relay, const struct set *set, const struct timespec *timeout)
{
	struct epoll_event events[PV_RELAY_EVENTS_MAX];
	int n = epoll_pwait2(set->epoll, events, PV_RELAY_EVENTS_MAX, timeout, NULL), told = 0;

	for (int i = 0; i < n; i++)
		if (events[i].data.u32 != BELL)
			told += tell(relay, events[i].data.u32);
	return told;
}

int
pv_relay_wait(struct pv_relay *relay, uint16_t worker, int64_t timeout_ns)
{
	const struct timespec timeout = { .tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S };

	return look(relay, &relay->sets[worker], timeout_ns < 0 ? NULL : &timeout);
}

int
pv_relay_bell_fd(const struct pv_relay *relay, uint16_t worker)
{
	return relay->sets[worker].bell;
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* A look at each worker in turn that has something; so none keeps another's events waiting. */
static void *
relay_events(void *argument)
{
	static const struct timespec at_once = { 0 };
	struct pv_relay *relay = argument;
	struct epoll_event events[PV_RELAY_EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(relay->sets_of_all, events, PV_RELAY_EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == NULL)
				return NULL;
			look(relay, events[i].data.ptr, &at_once);
		}
	}
}

/* It holds nobody up, and may run wherever there is room: on a sleeping worker's CPU too. */
static void
allow_all_cpus(pthread_t thread)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	pthread_setaffinity_np(thread, sizeof(all), &all);
}

/* Only while the thread is to see them: a set in another one takes a worker that sleeps on it longer to wake. */
static int
show_sets(const struct pv_relay *relay)
{
	for (uint16_t i = 0; i < relay->n_workers; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &relay->sets[i] };

		if (epoll_ctl(relay->sets_of_all, EPOLL_CTL_ADD, relay->sets[i].epoll, &event) != 0)
			return -errno;
	}
	return 0;
}

static void
hide_sets(const struct pv_relay *relay)
{
	for (uint16_t i = 0; i < relay->n_workers; i++)
		epoll_ctl(relay->sets_of_all, EPOLL_CTL_DEL, relay->sets[i].epoll, NULL);
}

/* With every signal blocked: those of the workers are for the workers. */
static int
start_thread(struct pv_relay *relay)
{
	sigset_t all, before;
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&relay->thread, NULL, relay_events, relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -result;
}

int
pv_relay_start(struct pv_relay *relay)
{
	int result;

	if (relay->runs)
		return 0;
	result = show_sets(relay);
	if (result == 0)
		result = start_thread(relay);
	if (result != 0) {
		hide_sets(relay);
		return result;
	}
	allow_all_cpus(relay->thread);
	pthread_setname_np(relay->thread, "pv-relay");
	relay->runs = true;
	return 0;
}

void
pv_relay_stop(struct pv_relay *relay)
{
	uint64_t times = 1;

	if (!relay->runs)
		return;
	if (write(relay->end, &times, sizeof(times)) == sizeof(times))
		pthread_join(relay->thread, NULL);
	if (read(relay->end, &times, sizeof(times)) == sizeof(times))
		relay->runs = false;
	hide_sets(relay);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

/*
 * Whether it can be waited for without harm: what is let through as a doorbell (vio/vhost_guard.c). The kernel asks
 * what is behind a descriptor: a file of a file system that the frontend serves would let everybody wait, and a set of
 * descriptors would cost as much as it likes.
 */
static bool
is_harmless(int fd)
{
	static const char *const kinds[] = { "anon_inode:[eventfd]", "pipe:[", "socket:[" };
	char itself[64], kind[32] = "";

	snprintf(itself, sizeof(itself), "/proc/self/fd/%d", fd);
	if (readlink(itself, kind, sizeof(kind) - 1) < 0)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(kind, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return false;
}

static uint16_t
owner_of(const struct pv_port *port, uint16_t number)
{
	return port->owner[number < PV_QUEUES_MAX ? number : 0];
}

/* A descriptor that is readable already is an event at once. */
static bool
add(const struct pv_relay *relay, uint16_t worker, uint32_t index, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = index };

	return epoll_ctl(relay->sets[worker].epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/*
 * The lock keeps a worker out that is to be told of this port. What could take longer, because of what a frontend has
 * given us, is done outside: the copy, and the end of the one before.
 */
bool
pv_relay_watch(struct pv_relay *relay, struct pv_port *port, uint16_t number, int fd)
{
	struct slots *slots = &relay->ports[port->id];
	struct slot *slot = &slots->slot[number];
	int copy = fd >= 0 && is_harmless(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	bool watched;
	int before;

	pthread_mutex_lock(&slots->lock);
	before = forget(relay, slot);
	slot->port = port;
	slot->worker = owner_of(port, number);
	watched = copy >= 0 && add(relay, slot->worker, port->id * SLOTS + number, copy);
	if (watched)
		slot->fd = copy + 1;
	pthread_mutex_unlock(&slots->lock);
	close_if_open(before);
	if (!watched)
		close_if_open(copy);
	return watched || fd < 0;
}

/* With the port's lock. In the new set first: it tells of what was written before, so no edge is lost between the two.
 */
static bool
move(const struct pv_relay *relay, struct slot *slot, uint16_t to, uint32_t index)
{
	if (slot->fd == 0 || slot->worker == to)
		return true;
	if (!add(relay, to, index, slot->fd - 1))
		return false;
	epoll_ctl(relay->sets[slot->worker].epoll, EPOLL_CTL_DEL, slot->fd - 1, NULL);
	slot->worker = to;
	return true;
}

bool
pv_relay_move(struct pv_relay *relay, struct pv_port *port, uint16_t number)
{
	struct slots *slots = &relay->ports[port->id];
	bool moved;

	pthread_mutex_lock(&slots->lock);
	moved = move(relay, &slots->slot[number], owner_of(port, number), port->id * SLOTS + number);
	pthread_mutex_unlock(&slots->lock);
	return moved;
}
