/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/path.h"

#include <errno.h>

int
pv_path_bind(struct pv_worker *worker, const struct pv_packet_path *way, const void *options)
{
	void *state = NULL;

	if (way->make != NULL && (state = way->make(worker, options)) == NULL)
		return -ENOMEM;
	pv_path_unbind(worker);
	worker->way = way;
	worker->path_state = state;
	pv_path_choose(worker);
	return 0;
}

void
pv_path_unbind(struct pv_worker *worker)
{
	if (worker->path_state != NULL)
		worker->way->free(worker->path_state);
	worker->path_state = NULL;
}

void
pv_path_choose(struct pv_worker *worker)
{
	worker->generation++;
	worker->path = worker->way->choose(worker);
}

uint32_t
pv_worker_poll(struct pv_worker *worker, const struct pv_queue *queue)
{
	return worker->path->poll(worker, queue);
}

uint32_t
pv_worker_round(struct pv_worker *worker)
{
	return worker->path->round(worker);
}
