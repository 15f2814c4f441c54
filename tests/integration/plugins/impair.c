/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * impair: a wire that loses, doubles and reorders frames, for tests; what netem does where the kernel has it. A frame
 * that is reordered leaves behind the next one, or at the end of the round. Listed first, so that it stands between the
 * wire and all other stages at from-wire; at to-wire, list it last.
 */
#include <stdlib.h>

#include "core/stage.h"

struct options {
	uint32_t lose, double_, reorder, seed;
};

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, lose, "lose", 0, 10000, 0, "frames of 10000 that are lost"),
	PV_OPTION_UINT(struct options, double_, "double", 0, 10000, 0, "frames of 10000 that come twice"),
	PV_OPTION_UINT(struct options, reorder, "reorder", 0, 10000, 0, "frames of 10000 that come behind the next"),
	PV_OPTION_UINT(struct options, seed, "seed", 1, 1000000, 1, "of the random numbers"),
	PV_OPTION_END,
};

static const struct pv_drop_reason drops[] = { { "lost", "the wire has lost it" }, { NULL, NULL } };

struct state {
	struct rte_mbuf *late[PV_HOOK_COUNT]; /* a frame that waits for the next one */
	uint32_t seed;
};

static int
init(struct pv_stage_self *self)
{
	const struct options *given = self->options;

	((struct state *)self->state)->seed = given->seed;
	return 0;
}

/* Whether it happens to this frame. */
static bool
happens(struct state *state, uint32_t of_10000)
{
	return (uint32_t)(rand_r(&state->seed) % 10000) < of_10000;
}

static void
emit_late(struct pv_stage_self *self, struct pv_run *run)
{
	struct state *state = self->state;

	if (state->late[run->hook] == NULL)
		return;
	pv_emit(run, state->late[run->hook]);
	state->late[run->hook] = NULL;
	self->held--;
}

static void
double_it(struct pv_run *run, struct rte_mbuf *packet)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(packet, packet->pool, 0, UINT32_MAX);

	if (copy != NULL)
		pv_emit(run, copy);
}

static void
process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	const struct options *given = self->options;
	struct state *state = self->state;

	for (uint16_t i = 0; i < count; i++) {
		if (happens(state, given->lose)) {
			pv_stage_drop(run, packets[i], 0);
			continue;
		}
		if (state->late[run->hook] == NULL && happens(state, given->reorder)) {
			state->late[run->hook] = packets[i];
			self->held++;
			continue;
		}
		if (happens(state, given->double_))
			double_it(run, packets[i]);
		pv_emit(run, packets[i]);
		emit_late(self, run);
	}
}

static void
flush(struct pv_stage_self *self, struct pv_run *run)
{
	emit_late(self, run);
}

static void
fini(struct pv_stage_self *self)
{
	struct state *state = self->state;

	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		rte_pktmbuf_free(state->late[hook]);
}

static const struct pv_stage stage = {
	.name = "impair",
	.summary = "loses, doubles and reorders frames of wires",
	.source = "none: for tests",
	.options = options,
	.options_size = sizeof(struct options),
	.drops = drops,
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_WIRE),
	.state_size = sizeof(struct state),
	.init = init,
	.process = process,
	.flush = flush,
	.fini = fini,
};
PV_PLUGIN(&stage);
