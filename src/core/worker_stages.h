/* SPDX-License-Identifier: BSD-3-Clause */
/* The packet stages of a worker: made from a configuration, and made anew from another while the worker is held. */
#ifndef PV_CORE_WORKER_STAGES_H
#define PV_CORE_WORKER_STAGES_H

#include "core/worker.h"

/*
 * Makes the stages that `config` lists. A stage that `before` (or NULL) has with the same options is taken over with
 * its state and counters; `before` stays usable until pv_worker_stages_replace(). 0, or -errno with nothing left
 * behind, having logged why.
 */
int pv_worker_stages_make(struct pv_worker *worker, const struct pv_config *config,
			  const struct pv_worker_stages *before, struct pv_worker_stages *made);

/* Frees what was made and is not to be used after all. */
void pv_worker_stages_discard(struct pv_worker_stages *made);

/* Ends the worker's stages that were not taken over and uses `made` from now on. Nothing is held by them. */
void pv_worker_stages_replace(struct pv_worker *worker, const struct pv_worker_stages *made);

/* Frees packets that the stages hold, and ends them. */
void pv_worker_stages_end(struct pv_worker *worker);

#endif
