/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holding the workers: all of them stop between two rounds, with no packet on its way, so that what they run on can be
 * changed; then they go on. What arrives meanwhile waits in the queues of the ports.
 */
#ifndef PV_CORE_HOLD_H
#define PV_CORE_HOLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct pv_datapath;
struct pv_worker;

struct pv_hold {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool wanted;
	uint32_t times;	  /* that the workers were held, in all */
	uint16_t stopped; /* workers that receive no more from ports */
	uint16_t settled; /* of those, that have nothing in their mailboxes either */
};

void pv_hold_init(struct pv_hold *hold);

/* Returns when every worker is held; then nothing refers to a guest's memory any more. Not on a worker. */
void pv_hold_workers(struct pv_datapath *datapath);
void pv_release_workers(struct pv_datapath *datapath);

/* The worker's side, when datapath->leave is set: returns when it is released, or at once if nobody wants it held. */
void pv_hold_here(struct pv_worker *worker);

#endif
