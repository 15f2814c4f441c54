/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The relay: what guests write when they have made frames available (kick descriptors) cannot raise a signal, so a
 * thread of its own waits for them and passes each on as an event of the worker that owns the queue.
 *
 * Descriptors are known at all times; the thread runs only while workers are told by signals. Nothing is ever read from
 * a descriptor, which its frontend shares and could make wait: edges are enough.
 */
#ifndef PV_CORE_RELAY_H
#define PV_CORE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "vio/port.h"

struct pv_relay;

/* Whom an event of a port's slot is for; any thread. */
typedef void pv_relay_wake(struct pv_port *port, uint16_t slot);

/* NULL with errno set. `ports` is how many there are at most. */
struct pv_relay *pv_relay_new(uint16_t ports, pv_relay_wake *wake);
void pv_relay_free(struct pv_relay *relay);

/* Starts and stops the thread. 0 or -errno; again does nothing. On one thread. */
int pv_relay_start(struct pv_relay *relay);
void pv_relay_stop(struct pv_relay *relay);

/*
 * Has the descriptor of a port's slot watched instead of the one before, or none (-1). It is copied. False when it is
 * neither an eventfd nor a pipe: then nobody tells of the slot. Calls for one slot are not at the same time.
 */
bool pv_relay_watch(struct pv_relay *relay, struct pv_port *port, uint16_t slot, int fd);

#endif
