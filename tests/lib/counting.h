/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests for tests in which workers run on threads of their own: ports that make their frames themselves, as many as
 * the test offers, and count what they are given. Guest i is port i and has the address 52:54:00:00:00:0i; its frames
 * are numbered from 0 on. The type of such ports is the test's: of the functions below, and its own where it wants
 * more.
 */
#ifndef TESTS_LIB_COUNTING_H
#define TESTS_LIB_COUNTING_H

#include "core/datapath.h"

#define COUNTING_GUESTS_MAX 8
#define COUNTING_FRAME_BYTES 60

/* Whom the frame of that number is for: a guest, or COUNTING_ALL. */
typedef uint16_t counting_receiver(uint16_t from, uint64_t number);
#define COUNTING_ALL UINT16_MAX /* broadcast */

struct counting_guest {
	counting_receiver *receiver;
	_Atomic uint64_t offered;  /* frames, in all, and what became of them */
	_Atomic uint64_t taken;	   /* by the worker */
	_Atomic uint64_t received; /* from it */
	_Atomic bool wants_kicks;  /* the worker wants to be told of new ones */
};

extern struct counting_guest counting_guests[COUNTING_GUESTS_MAX]; /* by port */

/* The guest's frame of that number, which is in it behind the Ethernet header. NULL without buffers. */
struct rte_mbuf *counting_frame(const struct pv_port *port, uint64_t number);
uint64_t counting_number(const struct rte_mbuf *packet);

/* Of struct pv_port_ops: takes what was offered, as far as there are buffers; counts and frees what it is given. */
uint16_t counting_take(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t counting_give(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
bool counting_listen(struct pv_port *port, uint16_t queue, bool wanted);

/* For the type's open(): a guest that has offered nothing yet. */
void counting_begin(const struct pv_port *port, counting_receiver *receiver);
/* Of struct pv_port_type: up at once, and nothing to close. */
int counting_start(struct pv_port *port);
void counting_close(struct pv_port *port);

#endif
