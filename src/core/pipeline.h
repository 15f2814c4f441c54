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

struct pv_shape;

/* What follows is for the parts of a path (path_inline.h). */

/* Runs the egress stages over packets to one port, and hands packets to another worker's mailbox. */
void pv_run_egress_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector,
			  const struct pv_shape *shape);
void pv_hand_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector, const struct pv_shape *shape);

/*
 * Does what a packet asks for and its port does not do, and puts what it becomes into the port's vector. It counts as
 * dropped when that cannot be done.
 */
void pv_do_offload(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to);

/* Sends packets to one port, on a worker of any shape. */
void pv_send_vector(struct pv_worker *worker, uint16_t to, struct pv_vector *vector);

/* Spreads packets over several own queues of a port by flow, so that a flow stays in order. */
void pv_send_spread(struct pv_worker *worker, struct pv_port *port, const uint16_t *queues, uint16_t n_queues,
		    struct rte_mbuf **packets, uint16_t count);

#endif
