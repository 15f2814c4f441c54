/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which queues of ports a worker owns, and its ways to them: made when the data path is built, changed while it is
 * held.
 */
#ifndef PV_CORE_WORKER_QUEUES_H
#define PV_CORE_WORKER_QUEUES_H

#include "core/worker.h"

/* Gives each queue pair of a port to a worker, round the workers, each port beginning with another one. */
void pv_place_queues(struct pv_port *port, uint16_t n_workers);

/* Makes what a worker has for ports and other workers, with none of its own yet. 0 or -ENOMEM; free() in any case. */
int pv_worker_queues_make(struct pv_worker *worker);
void pv_worker_queues_free(struct pv_worker *worker);

/* Makes a worker's vectors for packets to a port. 0 or -ENOMEM. Again does nothing. */
int pv_worker_queues_make_room(struct pv_worker *worker, uint16_t port);

/* Has the worker poll the queues that it owns now, and send to these. It does not run, or is held. */
void pv_worker_queues_take(struct pv_worker *worker);

#endif
