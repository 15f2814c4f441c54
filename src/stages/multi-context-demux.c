/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * multi-context-demux: a private, protected context of the switch for every guest, and idle ones for free.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis 4267, 2009), chapter 5, "Concurrent
 * Direct Network Access" (CDNA). There the network interface multiplexes traffic between contexts that are mapped into
 * guests, and the driver domain is out of the way. Here the switch is what the interface is there.
 */
#include "core/contexts.h"
#include "core/multiplexing.h"
#include "core/primitive.h"
#include "core/stage.h"

static const struct pv_option options[] = {
	PV_OPTION_ENUM(struct pv_contexts_options, protection, "protection", pv_protection_names, PV_PROTECT_VALIDATE,
		       "how a guest's addresses are kept within its memory: looked up one by one, or by a window"),
	PV_OPTION_UINT(struct pv_contexts_options, idle_us, "idle-us", 0, 1000000, 100,
		       "without a frame, until a context is no longer polled and its doorbell tells of the next"),
	PV_OPTION_UINT(struct pv_contexts_options, quantum, "quantum", 1518, 1048576, 16384,
		       "bytes that a context of weight 1 may send in a turn while others wait for theirs"),
	PV_OPTION_UINT(struct pv_contexts_options, hold_us, "hold-us", 0, 1000000, 100000,
		       "that a frame waits for its receiver's full queue before it is dropped"),
	PV_OPTION_UINT(struct pv_contexts_options, backpressure_us, "backpressure-us", 0, 100000, 1000,
		       "that a sender is not polled at once while what it has sent waits for its receiver"),
	PV_OPTION_BOOL(struct pv_contexts_options, rebalance, "rebalance", true,
		       "contexts move from a worker with much load to one with little"),
	PV_OPTION_END,
};

static struct pv_contexts_options
choose_contexts(const void *given)
{
	return *(const struct pv_contexts_options *)given;
}

static const struct pv_implementation contexts = {
	.primitive = PV_PRIMITIVE_MULTIPLEXING,
	.name = "contexts",
	.summary = "each guest has a context: an address of its own, turns by weight, a doorbell while it is idle",
	.ops = &(const struct pv_multiplexing){ .switch_burst = pv_contexts_switch_burst,
						.by_table = true,
						.contexts = choose_contexts },
};
PV_IMPLEMENTATION(contexts)

static const char *
bind_contexts(const void *given)
{
	return contexts.name;
}

static const struct pv_stage multi_context_demux = {
	.name = "multi-context-demux",
	.summary = "every guest has a private context: addresses, fair turns, doorbells, revocation",
	.source = "Menon, EPFL thesis 2009, chapter 5 (concurrent direct network access)",
	.options = options,
	.options_size = sizeof(struct pv_contexts_options),
	.primitive = PV_PRIMITIVE_MULTIPLEXING,
	.bind = bind_contexts,
};
PV_STAGE(multi_context_demux)
