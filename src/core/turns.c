/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/turns.h"

#include <rte_common.h>

#define FRAME_BYTES_LEAST 60   /* IEEE 802.3 has no shorter ones; a guest may make those of 14 */
#define FRAME_BYTES_FIRST 1514 /* before anything is known of a context's frames */

void
pv_turns_activate(struct pv_turns *turns, uint16_t context, uint64_t now)
{
	if (pv_turns_is_active(turns, context))
		return;
	turns->active[PV_EVENT_WORD(context)] |= PV_EVENT_BIT(context);
	turns->n_active++;
	turns->turn[context].last_frame = now;
}

void
pv_turns_deactivate(struct pv_turns *turns, uint16_t context)
{
	if (!pv_turns_is_active(turns, context))
		return;
	turns->active[PV_EVENT_WORD(context)] &= ~PV_EVENT_BIT(context);
	turns->n_active--;
}

void
pv_turns_begin(struct pv_turns *turns, uint16_t context, uint32_t share, uint64_t now)
{
	struct pv_turn *turn = &turns->turn[context];

	turn->share = share;
	turn->deficit = share;
	if (turn->frame_bytes == 0)
		turn->frame_bytes = FRAME_BYTES_FIRST;
	pv_turns_activate(turns, context, now);
}

uint16_t
pv_turn_burst(const struct pv_turn *turn, uint64_t now)
{
	if (turn->share == 0)
		return PV_BURST_MAX;
	if (turn->deficit <= 0 || (turn->rate != NULL && !pv_rate_allows(turn->rate, now)))
		return 0;
	return (uint16_t)RTE_MIN(turn->share / turn->frame_bytes + 1, (uint32_t)PV_BURST_MAX);
}

void
pv_turns_charge(struct pv_turns *turns, uint16_t context, uint32_t frames, uint64_t bytes, bool more, uint64_t now)
{
	struct pv_turn *turn = &turns->turn[context];

	turn->counters.turns++;
	turn->last_frame = now;
	if (turn->share == 0)
		return;
	turn->frame_bytes = RTE_MAX((uint32_t)(bytes / frames), (uint32_t)FRAME_BYTES_LEAST);
	turn->deficit -= (int64_t)RTE_MAX(bytes, (uint64_t)frames * FRAME_BYTES_LEAST);
	if (turn->rate != NULL)
		pv_rate_charge(turn->rate, (uint32_t)RTE_MIN(bytes, (uint64_t)UINT32_MAX), now);
	turns->someone_may |= more && turn->deficit > 0;
}

static void
fill(struct pv_turn *turn)
{
	turn->deficit = RTE_MIN(turn->deficit + turn->share, (int64_t)turn->share);
}

/* Those that are idle have paid back by the time they come again, or pay then: nobody gains by a pause. */
static void
fill_all(struct pv_turns *turns)
{
	for (uint32_t word = 0; word < PV_EVENT_WORDS; word++)
		for (uint64_t left = turns->active[word]; left != 0; left &= left - 1)
			fill(&turns->turn[64 * word + (uint32_t)__builtin_ctzll(left)]);
}

void
pv_turns_end_pass(struct pv_turns *turns)
{
	if (!turns->someone_may)
		fill_all(turns);
	turns->someone_may = false;
}
