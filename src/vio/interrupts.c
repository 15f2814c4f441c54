/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/interrupts.h"

__thread struct pv_interrupts *pv_interrupts_self;

/* Takes the lowest bit out of a word that has one. Returns its number. */
static inline uint32_t
take_bit(uint64_t *word)
{
	uint32_t bit = (uint32_t)__builtin_ctzll(*word);

	*word &= *word - 1;
	return bit;
}

/* A ring that may not be used now was taken away: who did that has made the call. */
static void
deliver_ring(struct pv_interrupts *interrupts, struct pv_vio *vio, struct pv_vio_ring *ring)
{
	if (!pv_vio_enter(vio, ring))
		return;
	if (ring->uncalled > 0) {
		interrupts->counters.rings++;
		interrupts->counters.covered += ring->uncalled;
		interrupts->counters.calls += pv_vio_call_if_wanted(vio, ring);
		if (unlikely(ring->queue.stopped != NULL))
			pv_vio_stop(vio, ring);
	}
	pv_vio_leave(ring);
}

static void
deliver_port(struct pv_interrupts *interrupts, uint32_t port)
{
	struct pv_vio *vio = interrupts->ports[port].vio;
	uint64_t rings = interrupts->ports[port].rings;

	interrupts->ports[port].rings = 0;
	while (rings != 0)
		deliver_ring(interrupts, vio, &vio->rings[take_bit(&rings)]);
}

void
pv_interrupts_deliver(struct pv_interrupts *interrupts)
{
	uint64_t summary = interrupts->summary;

	if (summary == 0)
		return;
	interrupts->summary = 0;
	interrupts->counters.passes++;
	while (summary != 0) {
		uint32_t word = take_bit(&summary);
		uint64_t ports = interrupts->words[word];

		interrupts->words[word] = 0;
		while (ports != 0)
			deliver_port(interrupts, 64 * word + take_bit(&ports));
	}
}

void
pv_interrupts_begin(struct pv_interrupts *interrupts)
{
	pv_interrupts_self = interrupts;
}

void
pv_interrupts_end(struct pv_interrupts *interrupts)
{
	if (pv_interrupts_self != interrupts)
		return;
	pv_interrupts_deliver(interrupts);
	pv_interrupts_self = NULL;
}

void
pv_interrupts_forget(struct pv_interrupts *interrupts, uint16_t port)
{
	interrupts->words[port / 64] &= ~RTE_BIT64(port % 64);
	interrupts->ports[port].vio = NULL;
	interrupts->ports[port].rings = 0;
}
