/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells: what says to a worker which of its sources have work, in two levels of bit vectors, as the events of the
 * mailboxes of a CDNA network interface (Menon, thesis 2009, section 5.3.2). `words` has a bit for each source: a port
 * by its id, PV_SOURCE_MAIL, PV_SOURCE_LEAVE (core/worker.h). `summary` has a bit for each word. So who takes looks at
 * one word when nothing rings, and else at those words only that have something, with 512 idle ports as with two.
 *
 * Any thread rings; the owner alone takes and sleeps. To ring twice before the owner takes is to ring once. Who rings
 * has made the work available before: it is visible to who takes.
 *
 * Nothing is lost:
 * - ring sets the bit of the word, then that of the summary; take gives the summary back as 0, then each word that it
 *   named. If the summary was taken before our bit was in it, the bit stays there for the next take. If it was taken
 *   with our bit, that was set after the bit of the word (release), so who took it (acquire) finds this one, too,
 *   unless an earlier take has it already, and then it was seen. The other way round, a take between the two would find
 *   an empty word, and the bit that comes next would be in a word that no summary names.
 * - The bit of the word is set with release and taken with acquire, since a take that another ring's summary brought
 *   there may have it.
 *
 * Nobody sleeps on it: the owner says that it is asleep, then looks at the summary once more; who rings sets the
 * summary, then looks whether the owner is asleep. These four are sequentially consistent: in their one order either
 * the ring comes before the last look, which sees it, or the owner is asleep before the ringer looks. The ringer who
 * finds it asleep takes that away by an exchange and writes to the bell, so there is at most one such system call each
 * time that the owner wants to sleep, however many ring. A bell that comes late, after the owner saw a ring in its last
 * look or got up by itself, ends its next sleep at once; that costs a look. docs/models/doorbells.pml is the model of
 * this, of kicks and of what the owner does.
 *
 * What all this costs while nobody sleeps: who rings, two atomic operations and a look in the same cache line; who
 * takes, one load when there is nothing.
 */
#ifndef PV_CORE_DOORBELLS_H
#define PV_CORE_DOORBELLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "base/critical.h"

struct pv_doorbells {
	_Atomic uint64_t summary; /* a bit for each of `words` */
	_Atomic bool asleep;	  /* the owner sleeps, or is about to, and nobody has rung the bell for that yet */
	int bell;		  /* eventfd that ends its sleep */
	_Atomic uint64_t words[PV_EVENT_WORDS];
} __rte_cache_aligned;

_Static_assert(PV_EVENT_WORDS <= 64, "the summary is one word");

/*
 * Nothing rings, and the owner is awake. `bell` is an eventfd that does not block and that the owner waits for when it
 * sleeps (pv_relay_bell_fd); it stays the caller's, and must be there as long as somebody rings.
 */
void pv_doorbells_init(struct pv_doorbells *doorbells, int bell);

/* Writes to the bell; what pv_doorbells_ring() does to an owner that is asleep. Any thread. */
void pv_doorbells_rouse(struct pv_doorbells *doorbells);

/*
 * Has a source taken, without waking the owner: for the owner itself, with what it has found out, such as kicks that
 * ended its sleep (pv_relay_wait).
 */
static inline void
pv_doorbells_note(struct pv_doorbells *doorbells, uint32_t source)
{
	const uint32_t word = PV_EVENT_WORD(source);

	atomic_fetch_or_explicit(&doorbells->words[word], PV_EVENT_BIT(source), memory_order_release);
	atomic_fetch_or(&doorbells->summary, 1ULL << word);
}

/* Has a source taken, and its owner woken for that. Any thread. */
static inline void
pv_doorbells_ring(struct pv_doorbells *doorbells, uint32_t source)
{
	pv_doorbells_note(doorbells, source);
	if (unlikely(atomic_load(&doorbells->asleep)))
		pv_doorbells_rouse(doorbells);
}

/* Whether something rings. On the owner, or for who only wants to know. */
static inline bool
pv_doorbells_is_any(const struct pv_doorbells *doorbells)
{
	return atomic_load_explicit(&doorbells->summary, memory_order_relaxed) != 0;
}

/*
 * Takes all that rings: all of `rung` is written. False when there is nothing, and `rung` is not written then. A word
 * that the summary names may be empty. On the owner.
 */
static inline bool
pv_doorbells_take(struct pv_doorbells *doorbells, uint64_t rung[PV_EVENT_WORDS])
{
	uint64_t summary;

	if (likely(!pv_doorbells_is_any(doorbells)))
		return false;
	summary = atomic_exchange_explicit(&doorbells->summary, 0, memory_order_acquire);
	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		rung[word] = (summary >> word & 1) == 0 ?
				     0 :
				     atomic_exchange_explicit(&doorbells->words[word], 0, memory_order_acquire);
	return true;
}

/*
 * Says that the owner is going to sleep, and whether it may: false when something rings, and it stays awake. If true,
 * who rings from now on writes to the bell; the owner waits for that, and calls pv_doorbells_wake_up() when it is
 * awake, whatever ended the wait. On the owner.
 */
bool pv_doorbells_prepare_sleep(struct pv_doorbells *doorbells);

/* The owner is awake: nobody needs to write to the bell. On the owner. */
static inline void
pv_doorbells_wake_up(struct pv_doorbells *doorbells)
{
	atomic_store_explicit(&doorbells->asleep, false, memory_order_relaxed);
}

#endif
