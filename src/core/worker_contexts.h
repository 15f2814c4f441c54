/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker that polls, with contexts. */
#ifndef PV_CORE_WORKER_CONTEXTS_H
#define PV_CORE_WORKER_CONTEXTS_H

#include "core/worker.h"

/*
 * Runs passes over the active contexts until datapath->leave is set: see core/turns.h. Contexts that are idle are told
 * by their doorbells, and when all are the worker sleeps.
 */
void pv_worker_run_contexts(struct pv_worker *worker);

/* Makes what a worker keeps of turns. 0 or -ENOMEM. */
int pv_worker_contexts_make(struct pv_worker *worker);
void pv_worker_contexts_free(struct pv_worker *worker);

#endif
