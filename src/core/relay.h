/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The relay: what guests write when they have made frames available (kick descriptors), passed on as events of the
 * worker that owns the queue. There is a set of descriptors (epoll) for each worker, and one of two looks at it:
 *
 * - A thread of the relay, over the sets of all workers, while workers are told by signals, which a kick cannot raise.
 *   It runs from pv_relay_start() to pv_relay_stop().
 * - The worker itself, while it polls: pv_relay_wait(), without waiting between two rounds, and to sleep in when it has
 *   nothing to do. Any thread ends its sleep by writing to its bell (pv_relay_bell_fd).
 *
 * Descriptors are known at all times, whoever looks. The queue's owner is the one in port->owner; who changes that
 * calls pv_relay_move(). Slot PV_QUEUES_MAX is of the owner of queue 0.
 *
 * A frontend shares its descriptor and is not trusted: nothing is ever read from one, which it could make wait; edges
 * are enough. A descriptor that is readable for ever tells once; one that is written to in a loop tells once in each
 * look, and a look takes a limited number of events, the longest waiting first, so it can be had at any time for a
 * bounded price, and no descriptor is kept waiting by others. What a frontend can do is to end its worker's sleep.
 */
#ifndef PV_CORE_RELAY_H
#define PV_CORE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "vio/port.h"

#define PV_RELAY_EVENTS_MAX 64 /* of one look */

struct pv_relay;

/*
 * Whom an event of a port's slot is for: on the thread that looks. It may not wait for who calls pv_relay_watch() or
 * pv_relay_move() of this port, and when those return it is not under way any more for what was watched before.
 */
typedef void pv_relay_wake(struct pv_port *port, uint16_t slot);

/* NULL with errno set. `ports` and `workers` are how many there are at most. */
struct pv_relay *pv_relay_new(uint16_t ports, uint16_t workers, pv_relay_wake *wake);
void pv_relay_free(struct pv_relay *relay);

/* Starts and stops the thread. 0 or -errno; again does nothing. On one thread, when no worker is in pv_relay_wait(). */
int pv_relay_start(struct pv_relay *relay);
void pv_relay_stop(struct pv_relay *relay);

/*
 * Has the descriptor of a port's slot watched instead of the one before, or none (-1). It is copied. What it has been
 * written before is told, too. False when it is none of eventfd, pipe and socket, or there is no room: then nobody
 * tells of the slot. Any thread.
 */
bool pv_relay_watch(struct pv_relay *relay, struct pv_port *port, uint16_t slot, int fd);

/*
 * Has events of a port's slot told to its owner, after port->owner was changed. No kick is lost; one may be told again.
 * Nothing when it is so already, or when the slot has no descriptor. False, with errno set, when there is no room: the
 * worker before looks at it still, and says so to whom it is for. While both workers are held, on any thread.
 */
bool pv_relay_move(struct pv_relay *relay, struct pv_port *port, uint16_t slot);

/*
 * Calls `wake` for what the worker's descriptors tell, of PV_RELAY_EVENTS_MAX at most; the rest is told next time.
 * Waits for something if there is nothing: not at all with 0, no longer than timeout_ns, or with -1 without end.
 * Returns how many slots it told of: 0 too when the bell or a signal ended the wait. While the thread does not run, on
 * that worker.
 */
int pv_relay_wait(struct pv_relay *relay, uint16_t worker, int64_t timeout_ns);

/*
 * The worker's bell: an eventfd. Writing to it ends the worker's wait, or the next one if it is not in one; that does
 * not block. It is the relay's.
 */
int pv_relay_bell_fd(const struct pv_relay *relay, uint16_t worker);

#endif
