/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Critical sections of a thread whose devices interrupt it with signals, as those of a User-mode Linux core do (Koh et
 * al., LCN 2006, section 4.1): what a section does is not interrupted by a handler, and no event is lost.
 *
 * The primitive "critical-section" has three ways. With PV_CRITICAL_POLL there are no signals: a thread has no events,
 * and a section costs a look at a thread-local pointer. With PV_CRITICAL_SIGMASK each section blocks the signals with
 * pthread_sigmask() and restores what was before; a nested one saves and restores, too. With PV_CRITICAL_MASK the mask
 * is a word of the thread: a handler that arrives while it is set notes that and returns, and who clears the word runs
 * what was noted. The model of the last is docs/models/user-mask.pml.
 *
 * Who signals: another thread with pv_events_raise() (SIGIO), the kernel with SIGIO for descriptors in O_ASYNC mode,
 * and a timer with SIGALRM. The common handler marks sources ready; the thread takes them when it gets to it and
 * sleeps in sigsuspend() when there are none. Signals only say that there is something: each source is a bit.
 *
 * A handler changes nothing but its own thread's events, and all signals are directed at a thread. One that somebody
 * else sends to the process does no harm, wherever it lands.
 */
#ifndef PV_BASE_CRITICAL_H
#define PV_BASE_CRITICAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <rte_branch_prediction.h>

#define PV_PRIMITIVE_CRITICAL "critical-section"

enum pv_critical_way { PV_CRITICAL_POLL, PV_CRITICAL_SIGMASK, PV_CRITICAL_MASK };

/* The function table of the primitive. */
struct pv_critical_ops {
	enum pv_critical_way way;
};

#define PV_EVENT_WORDS 9
#define PV_EVENT_SOURCES (64 * PV_EVENT_WORDS)
#define PV_EVENT_WORD(source) ((source) / 64)
#define PV_EVENT_BIT(source) (1ULL << (source) % 64)

struct pv_events_counters {
	uint64_t mask_calls; /* pthread_sigmask() of sections */
	uint64_t waits;	     /* sigsuspend() */
	uint64_t wait_calls; /* pthread_sigmask() around those */
	uint64_t signals;    /* handlers run */
	uint64_t deferred;   /* signals that came in a section, and were noted */
};

/* What a thread is told by signals. Read and changed by the thread and its handlers, but for `raised`. */
struct pv_events {
	enum pv_critical_way way;
	volatile bool masked;		      /* PV_CRITICAL_MASK: a section is under way */
	volatile sig_atomic_t pending;	      /* the same: signals that came meanwhile, a bit each */
	uint64_t ready[PV_EVENT_WORDS];	      /* marked by handlers; the thread changes it in sections only */
	uint64_t descriptors[PV_EVENT_WORDS]; /* sources that a SIGIO of the kernel may be about */
	uint64_t ticking[PV_EVENT_WORDS];     /* sources that the timer makes ready */
	struct pv_events_counters counters;
	sigset_t open, closed; /* masks of the thread outside of sections and in them */
	uint64_t woken;	       /* time stamp counter at the signal that ended the last sleep; 0 until it comes */
	timer_t timer;
	pthread_t thread;
	_Atomic bool listening; /* `thread` may be signalled */
	_Atomic uint64_t raised[PV_EVENT_WORDS];
};

/* Those of this thread, or NULL. */
extern __thread struct pv_events *pv_events_self;

/*
 * Installs the handlers of SIGIO and SIGALRM in the process, for good. 0 or -errno. Once, before any of the following;
 * again does nothing.
 */
int pv_events_install(void);

/*
 * Has this thread told by signals from now on, in one of the two ways with signals, and by a timer every `tick_us`.
 * `events` is zeroed but for `descriptors`, `ticking` and what is to be ready, or is what pv_events_end() left; what
 * can be told by descriptors and the timer is ready. `events` and the thread must live until nobody raises any more. 0,
 * or -errno with the signals of the thread as they were.
 */
int pv_events_begin(struct pv_events *events, enum pv_critical_way way, uint32_t tick_us);

/* Ends that, outside of sections. What is ready stays so. SIGIO and SIGALRM are open then, and do nothing. */
void pv_events_end(struct pv_events *events);

/* Makes a source ready, from any thread. Nothing before begin and after end, but for the bit in `raised`. */
void pv_events_raise(struct pv_events *events, uint32_t source);

/* Makes a source ready, on the thread itself. */
void pv_events_set(struct pv_events *events, uint32_t source);

/* Has a source looked at whenever the kernel sends SIGIO: its descriptor is in O_ASYNC mode now. On the thread. */
void pv_events_expect(struct pv_events *events, uint32_t source);

/* Takes all that is ready, on the thread. Whether there is anything. */
bool pv_events_take(struct pv_events *events, uint64_t sources[PV_EVENT_WORDS]);

/*
 * Sleeps until a signal has come, unless something is ready. On the thread, outside of sections. Returns for how many
 * cycles of the time stamp counter it slept, up to the signal: to be told is not to sleep.
 */
uint64_t pv_events_wait(struct pv_events *events);

/* Runs what was noted while the mask was set, and clears it. */
void pv_events_drain(struct pv_events *events);

/* The two ends of a section with signals: those of pv_critical_enter() and _leave(), with its system calls. */
bool pv_events_block(struct pv_events *events);
void pv_events_unblock(struct pv_events *events, bool before);

static inline struct pv_events *
pv_critical_events(void)
{
	return pv_events_self;
}

/* Begins a section of a thread that is told by signals. Returns what its end is to restore. */
static inline bool
pv_events_enter(struct pv_events *events)
{
	bool before;

	if (events->way == PV_CRITICAL_SIGMASK)
		return pv_events_block(events);
	before = events->masked;
	events->masked = true;
	atomic_signal_fence(memory_order_seq_cst);
	return before;
}

/*
 * Ends a section. The mask is cleared before the look at what was noted: a signal that comes in between finds it clear
 * and is handled at once.
 */
static inline void
pv_events_leave(struct pv_events *events, bool before)
{
	if (events->way == PV_CRITICAL_SIGMASK) {
		pv_events_unblock(events, before);
		return;
	}
	atomic_signal_fence(memory_order_seq_cst);
	if (before)
		return;
	events->masked = false;
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(events->pending != 0))
		pv_events_drain(events);
}

/* The same for any thread: `events` are its own, or NULL, and then there is nothing to be done. */
static inline bool
pv_critical_enter(struct pv_events *events)
{
	return likely(events == NULL) ? false : pv_events_enter(events);
}

static inline void
pv_critical_leave(struct pv_events *events, bool before)
{
	if (unlikely(events != NULL))
		pv_events_leave(events, before);
}

#endif
