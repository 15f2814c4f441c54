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
#include <unistd.h>

#define SLOTS (PV_QUEUES_MAX + 1)
#define EVENTS_MAX 64

struct slot {
	struct pv_port *port;
	uint16_t number;
	int fd; /* our copy plus 1, or 0 */
};

struct pv_relay {
	int epoll;
	int end; /* eventfd that ends the thread */
	bool runs;
	pthread_t thread;
	pv_relay_wake *wake;
	size_t n_slots;
	struct slot slots[]; /* SLOTS of each port */
};

struct pv_relay *
pv_relay_new(uint16_t ports, pv_relay_wake *wake)
{
	size_t n_slots = (size_t)ports * SLOTS;
	struct pv_relay *relay = calloc(1, sizeof(*relay) + n_slots * sizeof(relay->slots[0]));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	if (relay == NULL)
		return NULL;
	relay->wake = wake;
	relay->n_slots = n_slots;
	relay->epoll = epoll_create1(EPOLL_CLOEXEC);
	relay->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (relay->epoll >= 0 && relay->end >= 0 && epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->end, &event) == 0)
		return relay;
	pv_relay_free(relay);
	return NULL;
}

/* The frontend has the descriptor, too, so closing ours would not take it out of the set. */
static void
forget(const struct pv_relay *relay, struct slot *slot)
{
	if (slot->fd == 0)
		return;
	epoll_ctl(relay->epoll, EPOLL_CTL_DEL, slot->fd - 1, NULL);
	close(slot->fd - 1);
	slot->fd = 0;
}

void
pv_relay_free(struct pv_relay *relay)
{
	if (relay == NULL)
		return;
	pv_relay_stop(relay);
	for (size_t i = 0; i < relay->n_slots; i++)
		forget(relay, &relay->slots[i]);
	if (relay->end >= 0)
		close(relay->end);
	if (relay->epoll >= 0)
		close(relay->epoll);
	free(relay);
}

static void *
relay_events(void *argument)
{
	const struct pv_relay *relay = argument;
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(relay->epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			const struct slot *slot = events[i].data.ptr;

			if (slot == NULL)
				return NULL;
			relay->wake(slot->port, slot->number);
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

/* With every signal blocked: those of the workers are for the workers. */
int
pv_relay_start(struct pv_relay *relay)
{
	sigset_t all, before;
	int result;

	if (relay->runs)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&relay->thread, NULL, relay_events, relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return -result;
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
}

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

bool
pv_relay_watch(struct pv_relay *relay, struct pv_port *port, uint16_t number, int fd)
{
	struct slot *slot = &relay->slots[port->id * SLOTS + number];
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = slot };
	int copy;

	forget(relay, slot);
	if (fd < 0)
		return true;
	copy = is_harmless(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (copy < 0)
		return false;
	slot->port = port;
	slot->number = number;
	if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, copy, &event) != 0) {
		close(copy);
		return false;
	}
	slot->fd = copy + 1;
	return true;
}
