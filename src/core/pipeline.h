/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of pipeline.c that the worker's loop and the builder use; see core/worker.h for the rest. */
#ifndef PV_CORE_PIPELINE_H
#define PV_CORE_PIPELINE_H

#include "core/worker.h"

/* Registers the mbuf field that carries the egress port. 0 or -errno. Once, after EAL. */
int pv_pipeline_init(void);

/* Lets every stage of a hook hand on what it holds. */
void pv_chain_flush(struct pv_worker *worker, enum pv_hook hook);

/* Takes in packets from another worker's mailbox and runs them to the end. */
void pv_receive_handed(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count);

#endif
