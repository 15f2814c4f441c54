/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal-free-sync: a critical section on the packet path makes no system call.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.1,
 * "User-Level Signal Masking". A User-mode Linux core is interrupted by its devices with signals, so what the kernel
 * does with cli and sti costs it a system call each: 20 for a datagram sent (Table 4-1).
 *
 * signal-mask, the baseline of UML: workers are told by signals, too (core/worker_events.c): a guest's kick, a tap's
 * frame, a timer. Each critical section on a packet's way is bracketed by two pthread_sigmask() calls, and nested ones
 * save and restore: taking a frame from its queue, counting it, the switching table, the queue to its egress port,
 * giving it to that port, counting that.
 *
 * user-mask, the stage: signals stay, and the mask is a word in memory. A handler that arrives while it is set leaves a
 * note, and who clears it looks after the note (base/critical.h; a model of it is docs/models/user-mask.pml).
 *
 * poll, the stage's other mode, and what runs where no baseline asks otherwise: no signals at all. Workers look at
 * their queues all the time, and sleep for moments when it has been quiet.
 *
 * Counted: system calls of sections, sleeps and signals, by worker (pktvirt-ctl show workers).
 */
#include "base/critical.h"
#include "core/primitive.h"
#include "core/stage.h"

struct options {
	uint32_t mode;
};

enum mode { MODE_MASK, MODE_POLL };
static const char *const mode_names[] = { "mask", "poll", NULL };

static const struct pv_option options[] = {
	PV_OPTION_ENUM(struct options, mode, "mode", mode_names, MODE_MASK,
		       "mask = signals, and a mask in user space; poll = no signals"),
	PV_OPTION_END,
};

static const struct pv_implementation signal_mask = {
	.primitive = PV_PRIMITIVE_CRITICAL,
	.name = "signal-mask",
	.summary = "devices raise signals; two pthread_sigmask() calls for each critical section",
	.baselines = 1u << PV_BASELINE_UML,
	.ops = &(const struct pv_critical_ops){ .way = PV_CRITICAL_SIGMASK },
};
PV_IMPLEMENTATION(signal_mask)

static const struct pv_implementation user_mask = {
	.primitive = PV_PRIMITIVE_CRITICAL,
	.name = "user-mask",
	.summary = "devices raise signals; critical sections keep the mask in user space",
	.ops = &(const struct pv_critical_ops){ .way = PV_CRITICAL_MASK },
};
PV_IMPLEMENTATION(user_mask)

static const struct pv_implementation poll = {
	.primitive = PV_PRIMITIVE_CRITICAL,
	.name = "poll",
	.summary = "no signals: queues are looked at all the time",
	.plain = true,
	.ops = &(const struct pv_critical_ops){ .way = PV_CRITICAL_POLL },
};
PV_IMPLEMENTATION(poll)

static const char *
bind_mode(const void *given)
{
	return ((const struct options *)given)->mode == MODE_POLL ? poll.name : user_mask.name;
}

static const struct pv_stage signal_free_sync = {
	.name = "signal-free-sync",
	.summary = "critical sections on the packet path without a system call: a signal mask in user space",
	.source = "Koh et al., LCN 2006, section 4.1 (user-level signal masking)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_CRITICAL,
	.bind = bind_mode,
};
PV_STAGE(signal_free_sync)
