/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Turns of contexts at a worker: whose queue is polled, for how much, and who is not polled at all.
 *
 * Fairness. Deficit round robin over bytes (Shreedhar and Varghese, SIGCOMM 1995) in the form that may overdraw, since
 * how long frames are is known only when they have been taken: a context may be polled while its deficit is above
 * zero, pays for what came, copies made by flooding included, and what it has overdrawn it pays back. A pass over the
 * active contexts is one burst for each that may be polled, so bursts of all are interleaved whatever the quantum.
 * Deficits are filled up together, by quantum and weight, when nobody who has more frames than it was asked for may be
 * polled any more: who sends little holds up nobody. Nothing is saved: a deficit is never more than one filling.
 *
 * Idle contexts. One that has had no frame for a while leaves the set of active ones; its guest is asked to kick from
 * then on, and its doorbell (core/doorbells.h) brings it back. Who is in the set is a bit vector, so a pass costs
 * nothing for those who are not.
 *
 * Wires take part without a deficit. Ports that cannot say when they have frames are never idle.
 */
#ifndef PV_CORE_TURNS_H
#define PV_CORE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/critical.h"
#include "base/limits.h"
#include "core/rate.h"

/*
 * What a chain costs that turns out to be no frame: as much as a long one, since to find that out may take as much
 * time. It is not free for a guest to have us look at nonsense.
 */
#define PV_TURN_LOST_BYTES 9018

struct pv_turn_counters {
	uint64_t turns;	    /* polls that found frames, */
	uint64_t passed_by; /* and passes in which it was not polled: it had overdrawn, or is to wait */
	uint64_t idled;	    /* times that it became idle, */
	uint64_t rung;	    /* and that its doorbell ended that */
};

/* Of one context at one worker. */
struct pv_turn {
	int64_t deficit;      /* bytes */
	uint32_t share;	      /* bytes of a filling; 0: no deficit is kept */
	uint32_t frame_bytes; /* of its last frames, on average */
	uint16_t first_queue; /* of those that the worker has of it: where its next turn begins */
	uint64_t last_frame;  /* time stamp of the last poll that found some */
	struct pv_rate *rate; /* its limit, at all workers together; the caller sets it. NULL: none */
	struct pv_turn_counters counters;
};

struct pv_turns {
	uint64_t active[PV_EVENT_WORDS]; /* contexts that are polled, by port id */
	uint32_t n_active;
	bool someone_may; /* in this pass somebody had more frames, and may be polled before deficits are filled */
	struct pv_turn turn[PV_PORTS_MAX];
};

/* A context comes, or comes back: it is polled from now on. `share` as above. */
void pv_turns_begin(struct pv_turns *turns, uint16_t context, uint32_t share, uint64_t now);

/* It is polled, or not polled, from now on. Again does nothing. */
void pv_turns_activate(struct pv_turns *turns, uint16_t context, uint64_t now);
void pv_turns_deactivate(struct pv_turns *turns, uint16_t context);

static inline bool
pv_turns_is_active(const struct pv_turns *turns, uint16_t context)
{
	return (turns->active[PV_EVENT_WORD(context)] & PV_EVENT_BIT(context)) != 0;
}

/*
 * How many frames a context may give now, PV_BURST_MAX at most; 0: it is passed by, also for its rate limit. It may
 * overdraw by about one filling, so that bursts are not cut to what happens to be left.
 */
uint16_t pv_turn_burst(const struct pv_turn *turn, uint64_t now);

/*
 * It gave frames; they cost it `bytes`, or what as many of the shortest would. `more`: as many as it was asked for, so
 * that there may be more.
 */
void pv_turns_charge(struct pv_turns *turns, uint16_t context, uint32_t frames, uint64_t bytes, bool more,
		     uint64_t now);

/* A pass is over: deficits are filled when it is time for that. */
void pv_turns_end_pass(struct pv_turns *turns);

#endif
