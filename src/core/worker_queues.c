/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/worker_queues.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "core/datapath.h"

void
pv_place_queues(struct pv_port *port, uint16_t n_workers)
{
	for (uint16_t queue = 0; queue < port->queues; queue++)
		port->owner[queue] = (uint16_t)((port->id + queue) % n_workers);
}

static int
make_vector(struct pv_fan *fan, uint16_t to)
{
	if (fan->vector[to] == NULL)
		fan->vector[to] = rte_zmalloc("pv_vector", sizeof(struct pv_vector), RTE_CACHE_LINE_SIZE);
	return fan->vector[to] != NULL ? 0 : -ENOMEM;
}

static void
free_fan(struct pv_fan *fan)
{
	for (uint16_t i = 0; i < PV_PORTS_MAX; i++)
		rte_free(fan->vector[i]);
}

int
pv_worker_queues_make_room(struct pv_worker *worker, uint16_t port)
{
	int result = make_vector(&worker->egress, port);

	return result == 0 ? make_vector(&worker->send, port) : result;
}

int
pv_worker_queues_make(struct pv_worker *worker)
{
	int result = 0;

	worker->queues = calloc((size_t)PV_PORTS_MAX * PV_QUEUES_MAX, sizeof(*worker->queues));
	worker->ports = rte_calloc("pv_port_counters", PV_PORTS_MAX, sizeof(*worker->ports), RTE_CACHE_LINE_SIZE);
	if (worker->queues == NULL || worker->ports == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; result == 0 && i < worker->datapath->config->n_workers; i++)
		result = make_vector(&worker->hand, i);
	return result;
}

void
pv_worker_queues_free(struct pv_worker *worker)
{
	free_fan(&worker->egress);
	free_fan(&worker->send);
	free_fan(&worker->hand);
	free(worker->queues);
	rte_free(worker->ports);
}

static void
take_of_port(struct pv_worker *worker, struct pv_port *port)
{
	struct pv_route *route = &worker->route[port->id];

	for (uint16_t queue = 0; queue < port->queues; queue++) {
		if (port->owner[queue] != worker->id)
			continue;
		route->queues[route->count++] = queue;
		worker->queues[worker->n_queues++] = (struct pv_queue){ .port = port, .queue = queue };
	}
}

void
pv_worker_queues_take(struct pv_worker *worker)
{
	const struct pv_datapath *datapath = worker->datapath;

	memset(worker->route, 0, sizeof(worker->route));
	worker->n_queues = 0;
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		take_of_port(worker, port);
}
