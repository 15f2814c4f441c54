/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rate limit of what a context sends, over DPDK's rte_meter: a single rate three color marker (RFC 2697) without an
 * excess burst, which is a token bucket.
 *
 * Nothing is dropped for it. A burst is charged after it was taken; if there were not tokens enough, the context is not
 * polled until there would have been, and its frames wait in its own ring. So what goes out at once is bounded by the
 * bucket (what the rate gives in a millisecond, at least PV_RATE_BURST_MIN bytes) and one burst.
 *
 * A context has one limit, however many workers poll queues of it: these charge the same bucket, one after the other.
 *
 * Counted are the bytes of frames, from the destination's address on, without checksum, preamble and gap: a limit of
 * 1000 Mbit/s is somewhat more than what a wire of that speed takes.
 */
#ifndef PV_CORE_RATE_H
#define PV_CORE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_meter.h>
#include <rte_spinlock.h>

#define PV_RATE_BURST_MIN 16384 /* bytes */

struct pv_rate {
	_Atomic uint64_t until; /* time stamp from which the context may send */
	uint64_t start;		/* time stamp that `time` counts from */
	uint64_t time;		/* that the meter has come to: parts of a cycle (rate.c) */
	struct rte_meter_srtcm_profile profile;
	struct rte_meter_srtcm meter;
	bool limited;
	rte_spinlock_t lock; /* of all but `until` */
};

/* Begins with a full bucket at a value of the time stamp counter. 0 Mbit/s: no limit. */
void pv_rate_init(struct pv_rate *rate, uint32_t mbps, uint64_t now);

/* Takes the tokens of bytes that were sent. Any worker. */
void pv_rate_charge(struct pv_rate *rate, uint32_t bytes, uint64_t now);

/* Whether more may be sent. */
static inline bool
pv_rate_allows(const struct pv_rate *rate, uint64_t now)
{
	return now >= atomic_load_explicit(&rate->until, memory_order_relaxed);
}

#endif
