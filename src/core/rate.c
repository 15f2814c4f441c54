/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/rate.h"

#include <rte_common.h>

/*
 * The meter adds bytes once in a whole number of cycles, which may be as few as 100, so that its rate would be wrong by
 * up to 1 %. It is given the time in parts of a cycle and that part of the rate instead, which is a whole number too.
 */
#define PARTS 125
#define LONG_CYCLES (1ULL << 50) /* after so many `start` is moved: the time in parts would overflow */
#define BYTES_PER_MBIT (1000000 / 8)
#define BURST_PARTS 1000 /* one in so many of what a second gives */

void
pv_rate_init(struct pv_rate *rate, uint32_t mbps, uint64_t now)
{
	uint64_t bytes = (uint64_t)mbps * BYTES_PER_MBIT;
	struct rte_meter_srtcm_params params = {
		.cir = bytes / PARTS,
		.cbs = RTE_MAX(bytes / BURST_PARTS, (uint64_t)PV_RATE_BURST_MIN),
	};

	*rate = (struct pv_rate){ .start = now };
	rte_spinlock_init(&rate->lock);
	rate->limited = mbps > 0 && rte_meter_srtcm_profile_config(&rate->profile, &params) == 0 &&
			rte_meter_srtcm_config(&rate->meter, &rate->profile) == 0;
	rate->meter.time = 0; /* of ours, which begins here */
}

/* Takes tokens, no more than the bucket holds: those that come first, when there are not enough. */
static void
take(struct pv_rate *rate, uint32_t bytes)
{
	const struct rte_meter_srtcm_profile *profile = &rate->profile;

	while (rte_meter_srtcm_color_blind_check(&rate->meter, &rate->profile, rate->time, bytes) != RTE_COLOR_GREEN) {
		uint64_t lacking = bytes - rate->meter.tc;
		uint64_t periods = (lacking + profile->cir_bytes_per_period - 1) / profile->cir_bytes_per_period;

		rate->time = rate->meter.time + periods * profile->cir_period;
	}
}

/* Has the time count from later on; what the meter holds stays, or the bucket is full after so long a rest. */
static void
move_start(struct pv_rate *rate, uint64_t now)
{
	uint64_t cycles = RTE_MIN(rate->meter.time / PARTS, now - rate->start);

	rate->start += cycles;
	rate->meter.time -= cycles * PARTS;
	rate->time -= cycles * PARTS;
	if (now - rate->start > LONG_CYCLES)
		rate->start = now - LONG_CYCLES;
}

static void
go_on_to(struct pv_rate *rate, uint64_t now)
{
	if (now <= rate->start) /* time stamps of two processors are not quite the same */
		return;
	if (now - rate->start > LONG_CYCLES)
		move_start(rate, now);
	rate->time = RTE_MAX(rate->time, (now - rate->start) * PARTS);
}

void
pv_rate_charge(struct pv_rate *rate, uint32_t bytes, uint64_t now)
{
	if (!rate->limited)
		return;
	rte_spinlock_lock(&rate->lock);
	go_on_to(rate, now);
	while (bytes > 0) {
		uint32_t part = (uint32_t)RTE_MIN(rate->profile.cbs, (uint64_t)bytes);

		take(rate, part);
		bytes -= part;
	}
	rate->until = rate->start + (rate->time + PARTS - 1) / PARTS;
	rte_spinlock_unlock(&rate->lock);
}
