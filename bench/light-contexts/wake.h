/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long the kernel takes to wake a thread on another CPU, without a switch: what a first frame to one that sleeps
 * cannot be faster than.
 *
 * A thread of ours sleeps in epoll_wait() on an eventfd, as a worker does that has nothing to do. The time is from
 * before the caller writes to that until it sees that the thread has said so, by a counter that it polls: on one
 * clock, its own.
 */
#ifndef LC_WAKE_H
#define LC_WAKE_H

#include <stdbool.h>
#include <stdint.h>

struct waker;

/* Starts the thread, on that CPU. NULL after saying why. */
struct waker *waker_start(unsigned int cpu);

/* Wakes it: the nanoseconds until it has answered; 0 if it does not within a second. */
uint64_t waker_wake(struct waker *waker);

/* Ends it; NULL is fine. */
void waker_stop(struct waker *waker);

#endif
