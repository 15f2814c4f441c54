/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stage: one optimization that a configuration can list. There are two kinds, in one registry.
 *
 * A packet stage is a function over a burst of mbufs at one or more hook points. It owns each packet that it is
 * handed until it does exactly one of three things with it: pv_emit() it to the next stage, pv_stage_drop() it with
 * a named reason, or keep it, raising self->held, until its flush function emits it. The worker calls flush after
 * every polling round in which the stage holds packets, so nothing is ever held longer than a round.
 *
 * A mechanism binds an implementation to a primitive: how the framework does one basic thing (src/core/primitive.h).
 * For each primitive exactly one implementation is bound when the pipeline is built; the baseline of the
 * configuration decides where no stage does.
 *
 * A stage is a file in src/stages/, or a shared object ("plugins"): see examples/storm-control.
 */
#ifndef PV_CORE_STAGE_H
#define PV_CORE_STAGE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/drop.h"
#include "base/limits.h"
#include "base/option.h"

#define PV_VECTOR_MAX 64 /* packets that a stage hands on at once */

/* Where in the switch a packet stage sits. A port is a guest's or a wire by its "role". */
enum pv_hook { PV_HOOK_FROM_GUEST, PV_HOOK_FROM_WIRE, PV_HOOK_TO_GUEST, PV_HOOK_TO_WIRE, PV_HOOK_COUNT };
#define PV_HOOK_BIT(hook) (1u << (hook))
#define PV_HOOKS_INGRESS (PV_HOOK_BIT(PV_HOOK_FROM_GUEST) | PV_HOOK_BIT(PV_HOOK_FROM_WIRE))
#define PV_HOOKS_EGRESS (PV_HOOK_BIT(PV_HOOK_TO_GUEST) | PV_HOOK_BIT(PV_HOOK_TO_WIRE))

/* "from-guest", "from-wire", "to-guest", "to-wire". */
const char *pv_hook_name(enum pv_hook hook);

struct pv_worker;
struct pv_stage;

/* Counters of one stage on one worker; written by the worker, read at any time. */
struct pv_stage_counters {
	uint64_t calls;	  /* of process, with at least one packet */
	uint64_t packets; /* handed to process, and those for which what it has decided was done without it */
	uint64_t emitted; /* handed on; more than `packets` when the stage makes packets */
	uint64_t dropped;
	uint64_t cycles; /* in process and flush, without what runs downstream */
};

/* One stage on one worker: what process, flush, init and fini are given. */
struct pv_stage_self {
	const struct pv_stage *stage;
	const void *options; /* the parsed options object */
	void *state;	     /* stage->state_size bytes, zeroed, this worker's own */
	uint16_t worker;
	uint16_t drop_base;	      /* number of the stage's first drop reason */
	uint32_t held;		      /* packets that the stage keeps; set by the stage */
	_Atomic uint32_t *generation; /* for pv_stage_changed() */
	struct pv_stage_counters counters;
};

/*
 * One position in the chain of a hook, on one worker: where pv_emit() collects what goes to the next position.
 * `worker` and `next` are the framework's.
 */
struct pv_run {
	struct pv_worker *worker;
	struct pv_stage_self *self;
	struct pv_run *next; /* NULL at the end of the chain */
	enum pv_hook hook;
	uint16_t count;
	uint64_t downstream_cycles;
	struct rte_mbuf *packets[PV_VECTOR_MAX];
};

/* Hands the collected packets of `run` on. Called by pv_emit() and by the worker, not by a stage. */
void pv_run_forward(struct pv_run *run);

/* Hands a packet to the next stage. The packet is not the caller's any more. */
static inline void
pv_emit(struct pv_run *run, struct rte_mbuf *packet)
{
	run->packets[run->count++] = packet;
	run->self->counters.emitted++;
	if (unlikely(run->count == PV_VECTOR_MAX))
		pv_run_forward(run);
}

/* Frees a packet and counts it under a reason of the stage's own table: `reason` is the index there. */
void pv_stage_drop(struct pv_run *run, struct rte_mbuf *packet, uint16_t reason);

/* Counts under such a reason, at `port`, a packet that the stage would have made and that there was no buffer for. */
void pv_stage_drop_unmade(struct pv_run *run, uint16_t port, uint16_t reason);

/*
 * The port that a packet came from (its id is in mbuf->port at every hook) and, at the egress hooks, the one it goes
 * to. A stage that makes packets sets both; rte_pktmbuf_copy() takes them over.
 */
uint16_t pv_packet_egress(const struct rte_mbuf *packet);
void pv_packet_set_egress(struct rte_mbuf *packet, uint16_t port);

/*
 * Decisions. Where flows have templates (the stage "specialization"), a packet stage may be asked once what it does
 * with all packets like one, and is not called for them then. What they have in common:
 */
enum pv_likeness {
	PV_LIKE_ADDRESSES, /* hook, ingress port and, at egress hooks, egress port; both Ethernet addresses */
	/*
	 * Also EtherType and, if it says IPv4 without options and fragments, or IPv6 without extension headers, both
	 * addresses, protocol and, of TCP and UDP, both ports.
	 */
	PV_LIKE_FLOW,
};

enum pv_verdict {
	PV_VERDICT_LOOK,    /* at each of them: process is called */
	PV_VERDICT_PASS,    /* they are emitted as they are, */
	PV_VERDICT_REWRITE, /* or with these bytes in the place of those at `offset` of the frame, */
	PV_VERDICT_DROP,    /* or dropped for this reason */
};

#define PV_REWRITE_MAX 16
struct pv_decision {
	enum pv_verdict verdict;
	uint16_t reason;	 /* index in the stage's own table */
	uint16_t offset, length; /* within what the packets have in common, or headers before it */
	uint8_t bytes[PV_REWRITE_MAX];
};

/*
 * What the stage's `decide` has said on this worker no longer holds: it is asked again. Any thread. It is for changes
 * that are rare; what changes with the packets that guests send is to be looked at in each (PV_VERDICT_LOOK).
 */
static inline void
pv_stage_changed(struct pv_stage_self *self)
{
	atomic_fetch_add_explicit(self->generation, 1, memory_order_release);
}

struct pv_implementation;

struct pv_stage {
	const char *name;    /* as in the configuration: lower case with hyphens */
	const char *summary; /* one line */
	const char *source;  /* the paper and its section */

	const struct pv_option *options; /* or NULL */
	size_t options_size;
	const struct pv_drop_reason *drops; /* or NULL; ends with a NULL name */

	/* A packet stage has hooks and process; the rest may be NULL. */
	uint32_t hooks; /* of PV_HOOK_BIT() */
	size_t state_size;
	/* Prepares self->state on one worker. 0 or -errno, having logged why; then fini is not called for it. */
	int (*init)(struct pv_stage_self *self);
	void (*process)(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count);
	/* Emits all that the stage holds for the hook of `run`. */
	void (*flush)(struct pv_stage_self *self, struct pv_run *run);
	/* Gives back what init took, and frees packets still held. */
	void (*fini)(struct pv_stage_self *self);
	/*
	 * What process does with `packet`, which it may only read, and with all that are like it, until
	 * pv_stage_changed(): never more than that, with no state that process would have changed, and without
	 * overtaking packets that the stage keeps. NULL: process is called for every packet.
	 */
	struct pv_decision (*decide)(struct pv_stage_self *self, enum pv_hook hook, enum pv_likeness likeness,
				     const struct rte_mbuf *packet);

	/*
	 * Features of virtio-net (1ULL << VIRTIO_NET_F_…) that guests are offered where the stage is listed, beside
	 * what the primitive "guest-interface" offers: without them it is of little use.
	 */
	uint64_t guest_features;

	/* A mechanism has these two: which primitive it is about, and which implementation its options ask for. */
	const char *primitive;
	const char *(*bind)(const void *options);
};

/*
 * Adds a stage; the object is kept by reference. Returns 0; -EEXIST when there is one of that name; -EINVAL when it
 * is neither a packet stage nor a mechanism, or both; -ENOSPC.
 */
int pv_stage_register(const struct pv_stage *stage);

/* The stage of that name or NULL; all stages, in order of name. */
const struct pv_stage *pv_stage_find(const char *name);
size_t pv_stage_count(void);
const struct pv_stage *pv_stage_get(size_t index);

/* The number of the stage's first drop reason. */
uint16_t pv_stage_drop_base(const struct pv_stage *stage);

/* Registers a stage of the daemon itself when the program starts. */
#define PV_STAGE(object)                                                    \
	__attribute__((constructor)) static void pv_register_##object(void) \
	{                                                                   \
		if (pv_stage_register(&(object)) != 0)                      \
			__builtin_trap();                                   \
	}

/*
 * What a plugin exports, under the name pv_plugin. It is looked at before any code of the plugin runs beyond its
 * constructors, and refused unless `abi` is PV_PLUGIN_ABI of this daemon.
 */
#define PV_PLUGIN_ABI 3u
struct pv_plugin {
	uint32_t abi;
	const struct pv_stage *const *stages; /* NULL-terminated */
};
#define PV_PLUGIN(...)                                                                  \
	static const struct pv_stage *const pv_plugin_stages[] = { __VA_ARGS__, NULL }; \
	__attribute__((visibility("default")))                                          \
	const struct pv_plugin pv_plugin = { .abi = PV_PLUGIN_ABI, .stages = pv_plugin_stages }

#endif
