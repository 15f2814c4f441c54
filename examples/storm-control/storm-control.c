/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storm-control: limits the broadcast and multicast frames that each port may send into the switch.
 *
 * This is the sample to copy for a stage of your own: it is built outside of the source tree of pktvirt, against its
 * installed headers, and loaded with "plugins". README.md shows how.
 *
 * What it does. Every frame to a group address (broadcast is one) takes a token from the bucket of the port that it
 * came from; when the bucket is empty the frame is dropped as "storm-control.storm". The bucket is filled with
 * "rate-pps" tokens a second and holds "burst" of them. Frames to one station are never touched.
 *
 *     "plugins": ["./storm-control.so"],
 *     "stages": [{ "storm-control": { "rate-pps": 1000, "burst": 200 } }]
 *
 * Who owns packets. Each frame is emitted or dropped in the call that hands it over; nothing is held, so there is no
 * flush, and the order of a port's frames is kept.
 *
 * State. Each worker has its own buckets, which only it touches, so there are no locks and no atomics. The price: a
 * port whose queue pairs are spread over n workers may send n times the rate.
 *
 * Buckets are kept in cycles of the time stamp counter rather than in tokens: a token is worth hz / rate-pps cycles,
 * and the cycles that pass between two frames are what the bucket gains, so a packet costs no division.
 *
 * Drop reasons. storm: the port has sent more group frames than it may.
 */
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <core/stage.h>

struct storm_options {
	uint32_t rate_pps;
	uint32_t burst;
};

static const struct pv_option storm_options[] = {
	PV_OPTION_UINT(struct storm_options, rate_pps, "rate-pps", 1, 10000000, 1000,
		       "broadcast and multicast frames that a port may send a second"),
	PV_OPTION_UINT(struct storm_options, burst, "burst", 1, 1000000, 200,
		       "frames that it may send at once after a silence"),
	PV_OPTION_END,
};

enum { STORM_DROP_STORM };

static const struct pv_drop_reason storm_drops[] = {
	[STORM_DROP_STORM] = { "storm", "the port has sent more group frames than it may" },
	{ .name = NULL },
};

/* What a port may still send, in cycles. */
struct bucket {
	uint64_t credit;
	uint64_t filled_at;
};

struct storm {
	uint64_t frame_cycles; /* what a frame costs */
	uint64_t full_cycles;  /* what a full bucket holds */
	struct bucket buckets[PV_PORTS_MAX];
};

static int
storm_init(struct pv_stage_self *self)
{
	const struct storm_options *options = self->options;
	struct storm *storm = self->state;
	uint64_t now = rte_rdtsc();

	storm->frame_cycles = rte_get_tsc_hz() / options->rate_pps;
	storm->full_cycles = storm->frame_cycles * options->burst;
	for (uint16_t port = 0; port < PV_PORTS_MAX; port++)
		storm->buckets[port] = (struct bucket){ .credit = storm->full_cycles, .filled_at = now };
	return 0;
}

/* The framework hands over no frame that is shorter than an Ethernet header. */
static bool
is_group_frame(const struct rte_mbuf *packet)
{
	return (*rte_pktmbuf_mtod(packet, const uint8_t *) & 1) != 0;
}

static void
fill(const struct storm *storm, struct bucket *bucket, uint64_t now)
{
	bucket->credit = RTE_MIN(bucket->credit + (now - bucket->filled_at), storm->full_cycles);
	bucket->filled_at = now;
}

/* Takes what a frame costs out of its port's bucket; false when that is not there. */
static bool
take_token(struct storm *storm, uint16_t port, uint64_t now)
{
	struct bucket *bucket = &storm->buckets[port];

	fill(storm, bucket, now);
	if (bucket->credit < storm->frame_cycles)
		return false;
	bucket->credit -= storm->frame_cycles;
	return true;
}

static void
storm_process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct storm *storm = self->state;
	uint64_t now = rte_rdtsc();

	for (uint16_t i = 0; i < count; i++) {
		if (!is_group_frame(packets[i]) || take_token(storm, packets[i]->port, now))
			pv_emit(run, packets[i]);
		else
			pv_stage_drop(run, packets[i], STORM_DROP_STORM);
	}
}

/* Where flows have templates, those of frames to one station are not handed over at all. */
static struct pv_decision
storm_decide(struct pv_stage_self *self, enum pv_hook hook, enum pv_likeness likeness, const struct rte_mbuf *packet)
{
	return (struct pv_decision){ .verdict = is_group_frame(packet) ? PV_VERDICT_LOOK : PV_VERDICT_PASS };
}

static const struct pv_stage storm_control = {
	.name = "storm-control",
	.summary = "limits the broadcast and multicast frames that each port may send",
	.source = "sample of an out-of-tree stage",
	.options = storm_options,
	.options_size = sizeof(struct storm_options),
	.drops = storm_drops,
	.hooks = PV_HOOKS_INGRESS,
	.state_size = sizeof(struct storm),
	.init = storm_init,
	.process = storm_process,
	.decide = storm_decide,
};

PV_PLUGIN(&storm_control);
