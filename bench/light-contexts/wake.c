/* SPDX-License-Identifier: BSD-3-Clause */
#include "wake.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "commands.h"

#define LOST_NS 1000000000ULL

struct waker {
	pthread_t thread;
	int event, epoll;
	uint32_t answers; /* how often it has woken up; polled by who wakes it */
	bool ends;
};

static void *
sleep_and_answer(void *given)
{
	struct waker *waker = given;
	struct epoll_event event;

	while (!__atomic_load_n(&waker->ends, __ATOMIC_ACQUIRE))
		if (epoll_wait(waker->epoll, &event, 1, -1) == 1)
			__atomic_add_fetch(&waker->answers, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int
start_thread(struct waker *waker, unsigned int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int error;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	pthread_attr_init(&attributes);
	error = pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	if (error == 0)
		error = pthread_create(&waker->thread, &attributes, sleep_and_answer, waker);
	pthread_attr_destroy(&attributes);
	return -error;
}

static int
make_descriptors(struct waker *waker)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET }; /* each write is told once, and never read */

	waker->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	waker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(waker->epoll, EPOLL_CTL_ADD, waker->event, &event) != 0)
		return -errno;
	return 0;
}

static void
free_waker(struct waker *waker)
{
	close(waker->epoll);
	close(waker->event);
	free(waker);
}

struct waker *
waker_start(unsigned int cpu)
{
	struct waker *waker = calloc(1, sizeof(*waker));
	int error;

	if (waker == NULL)
		return NULL;
	error = make_descriptors(waker);
	if (error == 0)
		error = start_thread(waker, cpu);
	if (error == 0)
		return waker;
	fprintf(stderr, "light-contexts: wake: CPU %u: %s\n", cpu, strerror(-error));
	free_waker(waker);
	return NULL;
}

static void
ring(const struct waker *waker)
{
	const uint64_t one = 1;

	if (write(waker->event, &one, sizeof(one)) < 0)
		perror("light-contexts: wake");
}

uint64_t
waker_wake(struct waker *waker)
{
	uint32_t before = __atomic_load_n(&waker->answers, __ATOMIC_ACQUIRE);
	uint64_t start = now_ns();

	ring(waker);
	while (__atomic_load_n(&waker->answers, __ATOMIC_ACQUIRE) == before)
		if (now_ns() > start + LOST_NS)
			return 0;
	return now_ns() - start;
}

void
waker_stop(struct waker *waker)
{
	if (waker == NULL)
		return;
	__atomic_store_n(&waker->ends, true, __ATOMIC_RELEASE);
	ring(waker);
	pthread_join(waker->thread, NULL);
	free_waker(waker);
}
