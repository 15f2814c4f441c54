/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/hold.h"

#include "core/datapath.h"

void
pv_hold_init(struct pv_hold *hold)
{
	pthread_mutex_init(&hold->lock, NULL);
	pthread_cond_init(&hold->changed, NULL);
}

void
pv_hold_workers(struct pv_datapath *datapath)
{
	struct pv_hold *hold = &datapath->hold;

	if (!datapath->running)
		return;
	pthread_mutex_lock(&hold->lock);
	hold->stopped = hold->settled = 0;
	hold->wanted = true;
	hold->times++;
	datapath->leave = true;
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		pv_worker_wake(datapath->workers[i], PV_SOURCE_LEAVE);
	while (hold->settled < datapath->n_workers)
		pthread_cond_wait(&hold->changed, &hold->lock);
	pthread_mutex_unlock(&hold->lock);
}

void
pv_release_workers(struct pv_datapath *datapath)
{
	struct pv_hold *hold = &datapath->hold;

	if (!datapath->running)
		return;
	pthread_mutex_lock(&hold->lock);
	hold->wanted = false;
	datapath->leave = false;
	pthread_cond_broadcast(&hold->changed);
	pthread_mutex_unlock(&hold->lock);
}

/* Only when nobody receives any more do mailboxes stay empty. */
static void
wait_until_all_stopped(struct pv_datapath *datapath)
{
	struct pv_hold *hold = &datapath->hold;

	hold->stopped++;
	pthread_cond_broadcast(&hold->changed);
	while (hold->stopped < datapath->n_workers)
		pthread_cond_wait(&hold->changed, &hold->lock);
}

/* Whoever takes a port away meanwhile waits for the end of it, as for that of a round. */
static void
settle(struct pv_worker *worker)
{
	struct rte_rcu_qsbr *qsbr = worker->datapath->qsbr;

	rte_rcu_qsbr_thread_online(qsbr, worker->id);
	pv_worker_settle(worker);
	rte_rcu_qsbr_thread_offline(qsbr, worker->id);
}

void
pv_hold_here(struct pv_worker *worker)
{
	struct pv_hold *hold = &worker->datapath->hold;
	uint32_t this_time;

	pthread_mutex_lock(&hold->lock);
	this_time = hold->times;
	if (hold->wanted) {
		wait_until_all_stopped(worker->datapath);
		pthread_mutex_unlock(&hold->lock);
		settle(worker);
		pthread_mutex_lock(&hold->lock);
		hold->settled++;
		pthread_cond_broadcast(&hold->changed);
		while (hold->wanted && hold->times == this_time)
			pthread_cond_wait(&hold->changed, &hold->lock);
	}
	pthread_mutex_unlock(&hold->lock);
}
