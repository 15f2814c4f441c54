/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/doorbells.h"

#include <sys/eventfd.h>

void
pv_doorbells_init(struct pv_doorbells *doorbells, int bell)
{
	atomic_init(&doorbells->summary, 0);
	atomic_init(&doorbells->asleep, false);
	doorbells->bell = bell;
	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		atomic_init(&doorbells->words[word], 0);
}

/* A bell that is full, which takes 2^64 writes that nobody reads, is readable anyway. */
void
pv_doorbells_rouse(struct pv_doorbells *doorbells)
{
	if (atomic_exchange(&doorbells->asleep, false))
		eventfd_write(doorbells->bell, 1);
}

bool
pv_doorbells_prepare_sleep(struct pv_doorbells *doorbells)
{
	atomic_store(&doorbells->asleep, true);
	if (atomic_load(&doorbells->summary) == 0)
		return true;
	pv_doorbells_wake_up(doorbells);
	return false;
}
