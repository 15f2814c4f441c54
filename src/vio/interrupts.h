/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of guests, gathered: Menon, thesis 2009, section 5.3.1, "interrupt bit vectors". There the network interface
 * writes which contexts have completions into a bit vector, and one interrupt has the hypervisor go through it. Here a
 * worker notes which rings it has given chains back in, and goes through these after a turn: each guest is asked once
 * whether it wants a call, and called at most once, for all that was given back in the meantime.
 *
 *   burst, burst, burst ... --> port's bit --> word's bit     pv_interrupts_deliver(): one pass over bits that are set
 *
 * That is for threads between pv_interrupts_begin() and pv_interrupts_end(); on others each burst makes its own call.
 *
 * No call is lost: what a ring still owes its guest is in the ring (`uncalled`), which only its worker changes, in a
 * burst. Who takes the ring away meanwhile, after the last burst, makes the call (pv_vio_pause), and the bit is worth
 * nothing then. Nor is a stale one made: a ring that is loaded anew owes nothing.
 *
 * A worker delivers before anybody waits for it: before it sleeps, is held, or gives a queue away. So a port that is
 * closed has no bit; pv_interrupts_forget() makes sure.
 */
#ifndef PV_VIO_INTERRUPTS_H
#define PV_VIO_INTERRUPTS_H

#include <stdint.h>

#include "vio/vio.h"

#define PV_INTERRUPT_WORDS (PV_PORTS_MAX / 64)
_Static_assert(PV_VIO_RINGS <= 64 && PV_INTERRUPT_WORDS <= 64, "a word has a bit for each");

struct pv_interrupts_counters {
	uint64_t passes;  /* that found something */
	uint64_t rings;	  /* that were found in them */
	uint64_t calls;	  /* made in them */
	uint64_t covered; /* places of used rings that these passes were about */
};

struct pv_interrupts {
	uint64_t summary;		    /* bit per word */
	uint64_t words[PV_INTERRUPT_WORDS]; /* bit per port */
	struct {
		struct pv_vio *vio;
		uint64_t rings; /* bit per ring, by its place in `vio` */
	} ports[PV_PORTS_MAX];
	struct pv_interrupts_counters counters;
};

/* Those of this thread, or NULL. */
extern __thread struct pv_interrupts *pv_interrupts_self;

/* Has this thread gather its calls from now on, in `interrupts`, which is zeroed or was used before. */
void pv_interrupts_begin(struct pv_interrupts *interrupts);

/* Makes all calls that are due. On the thread, outside of bursts. */
void pv_interrupts_deliver(struct pv_interrupts *interrupts);

/* Ends gathering, and makes all calls that are due. Nothing if this thread does not gather there. */
void pv_interrupts_end(struct pv_interrupts *interrupts);

/* A port's rings are gone, or are going: it is not called. On the thread, or while it is held. */
void pv_interrupts_forget(struct pv_interrupts *interrupts, uint16_t port);

/* Takes note of a ring that owes its guest a look at whether it wants a call. In a burst. */
static inline void
pv_interrupts_note(struct pv_interrupts *interrupts, struct pv_vio *vio, const struct pv_vio_ring *ring)
{
	uint16_t port = vio->port->id;

	interrupts->ports[port].vio = vio;
	interrupts->ports[port].rings |= RTE_BIT64(ring - vio->rings);
	interrupts->words[port / 64] |= RTE_BIT64(port % 64);
	interrupts->summary |= RTE_BIT64(port / 64);
}

/*
 * Asks the guest whether it wants a call for what it is owed one for, and calls it. In a burst. Whether it was called.
 */
static inline bool
pv_vio_call_if_wanted(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	ring->uncalled = 0;
	if (!pv_virtqueue_wants_call(&ring->queue))
		return false;
	pv_vio_call(vio, ring);
	return true;
}

/*
 * Counts what is about to be published. Beyond a lap of a packed ring, or the numbers of a split one, nobody can tell
 * any more whether the guest's event was passed: it counts as passed then, like the first.
 */
static inline void
pv_vio_owe_call(struct pv_vio_ring *ring, const bool packed)
{
	struct pv_virtqueue *queue = &ring->queue;
	uint32_t places = (uint16_t)(queue->next_used - queue->published);

	if (packed && queue->next_used <= queue->published)
		places = (uint32_t)queue->size + queue->next_used - queue->published;
	ring->uncalled += places;
	if (unlikely(ring->uncalled > (packed ? queue->size : UINT16_MAX)))
		queue->told = false;
}

/* Shows the guest all that was pushed, which is something, and calls it now or notes that. In a burst. */
static __rte_always_inline void
pv_vio_show(struct pv_vio *vio, struct pv_vio_ring *ring, const bool packed)
{
	struct pv_interrupts *interrupts = pv_interrupts_self;

	if (interrupts != NULL)
		pv_vio_owe_call(ring, packed);
	pv_virtqueue_publish(&ring->queue, packed);
	if (interrupts != NULL)
		pv_interrupts_note(interrupts, vio, ring);
	else
		pv_vio_call_if_wanted(vio, ring);
}

#endif
