/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * multi-context-demux: a private, protected context of the switch for every guest, and idle ones for free.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis 4267, 2009), chapter 5, "Concurrent
 * Direct Network Access" (CDNA). There the network interface multiplexes traffic between contexts that are mapped into
 * guests, and the driver domain, through whose bridge all guests' packets went, is out of the way. Here the switch is
 * what the interface is there. The primitive is "multiplexing" (core/multiplexing.h).
 *
 * hooked-bridge, the baseline of Xen: all guests share one learning bridge with the hooks and rules of the driver
 * domain's kernel (core/bridge_hooks.h), and each guest that is attached is polled in every round.
 *
 * bridge, what runs where no baseline asks otherwise: the same without hooks.
 *
 * contexts, the stage. Each guest has
 *
 * - an address (core/contexts.h): the one of the configuration, or the first that it sends from, which is its own until
 *   it goes. It may use no other. Frames go to the context that has their destination, straight; what nobody has goes
 *   to wires only. A device that can steers in hardware (core/steering.h). Guests of one VLAN hear each other only
 *   (core/vlan.h).
 * - turns (core/turns.h): deficit round robin over bytes, by weight, with an optional limit of its rate (core/rate.h).
 *   What a receiver has no room for waits in a lane of its sender (core/backlog.h), and the sender with it, so that who
 *   floods gets its share of a receiver and no more.
 * - a doorbell (core/doorbells.h): a context without frames for idle-us is not polled; its guest kicks when it has one.
 *   When all contexts of a worker are idle, the worker sleeps.
 * - calls that are gathered (vio/interrupts.h): one pass after each turn over those that wait for one, as with the bit
 *   vectors of CDNA's interrupts.
 * - protection (vio/protection.h): its addresses are kept within its own memory, one by one or by a window.
 * - an end at any time: pktvirt-ctl context revoke (core/revocation.h), port remove (core/hot_ports.h).
 *
 * With several workers contexts move from one with much load to one with little (core/rebalance.h).
 *
 * Who owns what: a frame that waits for its receiver is the backlog's, for hold-us at most; it never refers to a
 * guest's memory.
 *
 * Limits: a guest with several addresses (a bridge or macvlan in it) needs the bridge. Turns and doorbells are for
 * workers that poll; where signals tell them (baseline uml without signal-free-sync) those are the doorbells already. A
 * port that cannot say when it has frames (a device of DPDK, data path rte_vhost, raw) is polled as it was.
 *
 * Drop reasons, of ports: spoofed_source, wrong_vlan, no_port (nobody has the address, and there is no wire), ring_full
 * (it has waited for hold-us, or its lane is full), mailbox_full (its sender has as much on the way to other workers as
 * there is room left).
 *
 * Counted for each context (pktvirt-ctl show contexts): turns, passes in which it was passed by, kicks, frames that
 * wait; for each worker (show workers): those of its contexts, and what came of frames that waited and of calls that
 * were gathered.
 */
#include "core/contexts.h"
#include "core/multiplexing.h"
#include "core/primitive.h"
#include "core/stage.h"

static const struct pv_option options[] = {
	PV_OPTION_ENUM(struct pv_contexts_options, protection, "protection", pv_protection_names, PV_PROTECT_VALIDATE,
		       "how a guest's addresses are kept within its memory: looked up one by one, or by a window"),
	PV_OPTION_UINT(struct pv_contexts_options, idle_us, "idle-us", 0, 1000000, 500,
		       "how long a context is polled without a frame, before its doorbell has to tell of the next"),
	PV_OPTION_UINT(struct pv_contexts_options, quantum, "quantum", 1518, 1048576, 98304,
		       "bytes that a context of weight 1 may send in a turn while others wait for theirs"),
	PV_OPTION_UINT(struct pv_contexts_options, hold_us, "hold-us", 0, 1000000, 100000,
		       "how long a frame waits for its receiver's full queue before it is dropped"),
	PV_OPTION_UINT(struct pv_contexts_options, backpressure_us, "backpressure-us", 0, 100000, 1000,
		       "how long a sender is left alone, at a time, while what it has sent waits for its receiver"),
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
