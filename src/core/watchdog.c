/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/watchdog.h"

#include <signal.h>
#include <time.h>

#include "core/datapath.h"

#define INTERRUPTION SIGRTMIN

static void
do_nothing(int signal)
{
}

/* Without SA_RESTART, so that the call it comes in ends. */
static void
take_interruptions(void)
{
	const struct sigaction action = { .sa_handler = do_nothing };

	sigaction(INTERRUPTION, &action, NULL);
}

void
pv_watchdog_look(const struct pv_datapath *datapath)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		struct pv_worker *worker = datapath->workers[i];
		uint64_t round = worker->counters.rounds;

		if (worker->runs && round == worker->watched_round)
			pthread_kill(worker->thread, INTERRUPTION);
		worker->watched_round = round;
	}
}

static void *
watch(void *argument)
{
	struct pv_datapath *datapath = argument;
	struct pv_watchdog *watchdog = &datapath->watchdog;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&watchdog->lock);
	while (!watchdog->end) {
		next.tv_sec++;
		while (!watchdog->end &&
		       pthread_cond_clockwait(&watchdog->changed, &watchdog->lock, CLOCK_MONOTONIC, &next) == 0)
			;
		pv_watchdog_look(datapath);
	}
	pthread_mutex_unlock(&watchdog->lock);
	return NULL;
}

/* With every signal blocked: those of the process are for others. */
int
pv_watchdog_start(struct pv_datapath *datapath)
{
	struct pv_watchdog *watchdog = &datapath->watchdog;
	sigset_t all, before;
	int result;

	take_interruptions();
	pthread_mutex_init(&watchdog->lock, NULL);
	pthread_cond_init(&watchdog->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&watchdog->thread, NULL, watch, datapath);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return -result;
	pthread_setname_np(watchdog->thread, "pv-watchdog");
	watchdog->runs = true;
	return 0;
}

void
pv_watchdog_stop(struct pv_datapath *datapath)
{
	struct pv_watchdog *watchdog = &datapath->watchdog;

	if (!watchdog->runs)
		return;
	pthread_mutex_lock(&watchdog->lock);
	watchdog->end = true;
	pthread_cond_signal(&watchdog->changed);
	pthread_mutex_unlock(&watchdog->lock);
	pthread_join(watchdog->thread, NULL);
	watchdog->runs = false;
}
