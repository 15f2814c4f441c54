/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The watchdog of the workers: interrupts the system call of a worker that has not finished a round for a second. No
 * call of ours waits, but some are on descriptors that a frontend shares with us.
 *
 * It is a thread of its own, because every other may be waiting for just that worker: the one that speaks with
 * frontends when a guest goes, the main one when it holds the workers or shuts a guest out.
 */
#ifndef PV_CORE_WATCHDOG_H
#define PV_CORE_WATCHDOG_H

#include <pthread.h>
#include <stdbool.h>

struct pv_datapath;

struct pv_watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool runs, end;
};

/* Starts the watchdog of a data path whose workers run, and stops it when they do not any more. 0 or -errno. */
int pv_watchdog_start(struct pv_datapath *datapath);
void pv_watchdog_stop(struct pv_datapath *datapath);

/* What it does each second. */
void pv_watchdog_look(const struct pv_datapath *datapath);

#endif
