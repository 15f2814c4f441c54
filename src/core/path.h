/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "packet-path": by which code a worker brings packets from the queues that it polls to those that it
 * sends to. Whichever is bound, guests get the same bytes in the same order, and the same is counted as dropped.
 *
 * An implementation has one or more paths, which are the same inline code (core/path_inline.h) compiled for several
 * shapes of a worker: which ports, with or without stages. It chooses one each time something that shapes a worker has
 * changed.
 */
#ifndef PV_CORE_PATH_H
#define PV_CORE_PATH_H

#include "core/primitive.h"
#include "core/worker.h"

#define PV_PRIMITIVE_PACKET_PATH "packet-path"

struct pv_path {
	const char *shape;							  /* for people */
	uint32_t (*poll)(struct pv_worker *worker, const struct pv_queue *queue); /* as pv_worker_poll() */
	uint32_t (*round)(struct pv_worker *worker);				  /* as pv_worker_round() */
};

/* The function table of the primitive. */
struct pv_packet_path {
	/* Makes what the paths keep for a worker (worker->path_state), and frees it. NULL: they keep nothing. */
	void *(*make)(const struct pv_worker *worker, const void *options);
	void (*free)(void *state);
	/* The path for a worker as it is now, on which whatever was kept before counts for nothing. */
	const struct pv_path *(*choose)(struct pv_worker *worker);
};

/* Today's plain path. */
extern const struct pv_packet_path pv_path_generic;

/*
 * Has a worker go the way that is bound, and frees what the way before kept. The worker does not run, or is held
 * between two rounds (core/hold.h). 0, or -ENOMEM and nothing has changed; pv_path_generic needs no memory.
 */
int pv_path_bind(struct pv_worker *worker, const struct pv_packet_path *way, const void *options);

/* Frees what the worker's way keeps; it runs no more. Nothing if none was bound. */
void pv_path_unbind(struct pv_worker *worker);

/*
 * Ports, stages or other primitives of a worker may have changed: chooses again. On the worker, or while it is held;
 * each worker does so itself when it begins to run and when it was held.
 */
void pv_path_choose(struct pv_worker *worker);

#endif
