/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A model of the critical sections of a thread that signals interrupt: src/base/critical.h and critical.c with
 * PV_CRITICAL_MASK, where the mask is a word of the thread, or, with -DSIGMASK, with PV_CRITICAL_SIGMASK. Spin goes
 * through all orders of steps. tests/unit/test_model.py has it check the model and each of the mutations below. By
 * hand, with or without -DMUTATE=N at both places; the last line prints the steps to an error that was found:
 *
 *   cp docs/models/user-mask.pml /tmp && cd /tmp
 *   spin -a -DMUTATE=5 user-mask.pml && cc -O1 -o pan pan.c && ./pan -a -n
 *   spin -t -p -g -DMUTATE=5 user-mask.pml
 *
 * What is modelled: `worker` is the thread, which calls pv_critical_enter() and _leave(), pv_events_set(), _take(),
 * _wait(), _begin() and _end(); `handlers` is on_signal(); two `raiser`s are other threads in pv_events_raise(); and
 * `kernel` sends SIGIO for a descriptor in O_ASYNC mode and SIGALRM for the timer. One word of sources: two that are
 * raised, one of the descriptor, one of the timer. The thread sets one of them itself, too.
 *
 * What is taken for granted:
 * - A statement is a step, as are d_step { } and atomic { }: one load, store, atomic operation or system call. All see
 *   a step at once: `raised` and `listening`, which threads share, are sequentially consistent in critical.c, and the
 *   rest is of the thread and its handlers.
 * - A signal that came is a bit, not a queue. Its handler runs between any two steps of the thread at which the
 *   kernel's mask is open, or much later, and the thread stands still meanwhile. No handler interrupts another
 *   (sa_mask).
 * - Things happen in bursts: up to BURST of them at any time, and no more until all raises have returned, all signals
 *   were handled and the thread begins another round. So nobody is kept from going on by what never ends. There is no
 *   end to bursts, and none has to come.
 * - Left out: counters and time stamps; errors; pv_events_expect(); that there are more words; and what the
 *   compiler makes of it, of which tests/unit/test_critical_steps.c is.
 *
 * What is checked:
 * - nothing_is_lost: a source for which there is something to do is taken, some day. As a burst may be the last one,
 *   what comes later need not help.
 * - assert in handlers: none changes `ready` while the thread is in a section.
 * - assert in sleep: the thread does not go to sleep with something ready or noted.
 * - assert in worker: nothing is noted when no section is under way.
 * - without the formula (cc -DSAFETY -DNOCLAIM): the thread never stops but in its sleep.
 *
 * With BURST 3 there are 1.4 million states; with BURST 4, also without an error, 5.8 million.
 */
#ifndef BURST
#define BURST 3
#endif

/*
 * Mutations: what critical.c must not do. MUTATE is the number of one, and Spin has to find an error then. The test
 * reads this list. "SIGMASK": with that way.
 */
#define LOOKS_BEFORE_CLEARING 1	 /* leave: looks at what is noted, then clears the mask */
#define LEAVES_ALL_SECTIONS 2	 /* leave: clears the mask at the end of an inner section, too */
#define LOOKS_AFTER_SETTING 3	 /* enter: sets the mask, then looks whether it was set before */
#define DRAINS_ONCE 4		 /* drain: does not look for what was noted meanwhile */
#define DRAINS_BY_TWO_STEPS 5	 /* drain: loads what is noted, then stores 0 */
#define CLEARS_AFTER_HANDLING 6	 /* drain: stores 0 when it has handled what is noted */
#define DRAINS_UNMASKED 7	 /* drain: does not set the mask */
#define NOTES_BY_STORE 8	 /* handler: replaces the note that is there by its own */
#define IGNORES_MASK 9		 /* handler: does not look at the mask */
#define RAISED_BY_TWO_STEPS 10	 /* handle: loads what is raised, then stores 0 */
#define TAKES_WITHOUT_SECTION 11 /* take: has no section around copying and clearing */
#define SETS_WITHOUT_SECTION 12	 /* set: has no section around its load and store */
#define LOOKS_BEFORE_BLOCKING 13 /* wait: looks at what is ready, then blocks the signals */
#define OPENS_BEFORE_SLEEP 14	 /* wait: opens the mask, then sleeps */
#define LISTENING_BEFORE_BIT 15	 /* raise: looks at the flag, then sets its bit */
#define KILLS_BEFORE_BIT 16	 /* raise: sends the signal, then sets its bit */
#define BITS_BEFORE_LISTENING 17 /* begin: looks at the bits, then sets the flag */
#define BEGINS_BLIND 18		 /* begin: does not look at the bits */
#define OPENS_ALL_SECTIONS 19	 /* SIGMASK leave: opens the mask at the end of an inner section, too */
#ifndef MUTATE
#define MUTATE 0
#endif

/* Sources: bits of `ready`, `raised` and `watched`. */
#define RAISED_1 1
#define RAISED_2 2
#define DESCRIPTOR 4
#define TICKING 8

/*
 * What SIGIO of the kernel and SIGALRM make ready: nothing, where another source is watched. The more is ready the less
 * the thread sleeps, and an event that was lost for a moment is not lost for good.
 */
#define descriptors (watched & DESCRIPTOR)
#define ticking (watched & TICKING)

/* Bits of `pending`, as in critical.c. */
#define NOTED_IO 1
#define NOTED_TICK 2

/* struct pv_events, and whether pv_events_self points to it. */
bool masked;
byte pending;
byte ready;
byte raised;
bool listening;
bool self;

/* What the kernel knows. */
bool blocked;		 /* the thread's mask: SIGIO and SIGALRM are */
bool io_came, tick_came; /* and have no handler yet */
bool asleep;		 /* in sigsuspend() */
bool armed;		 /* the timer is */

/* What only the checks know. */
byte watched;	   /* one source, any */
bool owed;	   /* there is something to do for it */
byte depth;	   /* of sections */
byte under_way;	   /* calls of pv_events_raise() */
byte left = BURST; /* what may still happen in this burst */

ltl nothing_is_lost { [] (owed -> <> !owed) }

/*
 * There is something to do for the source: a frame in a ring. It is told after that; that both are one step leaves only
 * those orders out in which the thread does it without having been told.
 */
#define OWE(source) owed = (owed || (source) == watched)

/* ready |= more, by a load and a store. `seen` is the caller's. */
inline change_ready(more)
{
	seen = ready;
	ready = seen | (more);
	seen = 0
}

/* handle(): mark() of what the signals may be about, then what was raised. `seen` and `got` are the caller's. */
inline handle(signals)
{
	if
	:: ((signals) & NOTED_TICK) != 0 -> change_ready(ticking)
	:: else
	fi;
	if
	:: ((signals) & NOTED_IO) != 0 ->
		change_ready(descriptors);
		if
		:: raised != 0 ->
#if MUTATE == RAISED_BY_TWO_STEPS
			got = raised;
			raised = 0;
#else
			d_step { got = raised; raised = 0 }; /* atomic_exchange() */
#endif
			change_ready(got);
			got = 0
		:: else
		fi
	:: else
	fi
}

/* --- handlers ----------------------------------------------------------------------------------------------------- */

/*
 * on_signal(), from when the kernel delivers a signal until the thread goes on. It is one step. The thread could not do
 * anything in between, and for others the one moment that counts is that of the exchange: who sets a bit before has it
 * taken, and who sets it later finds it clear and sends a signal, which waits.
 */
proctype handlers()
{
	byte note, seen, got;

end:	do
	:: atomic {
		!blocked && (io_came || tick_came) ->
		if
		:: io_came -> io_came = false; note = NOTED_IO
		:: tick_came -> tick_came = false; note = NOTED_TICK
		fi;
		if
		:: !self
#if !defined(SIGMASK) && MUTATE != IGNORES_MASK
		:: self && masked ->
#if MUTATE == NOTES_BY_STORE
			pending = note
#else
			pending = pending | note
#endif
		:: self && !masked ->
#else
		:: self ->
#endif
			assert(depth == 0);
			handle(note)
		fi;
		note = 0;
		/* The mask is again what it was: the closed one, if this has ended the sleep in sigsuspend(). */
		blocked = asleep;
		asleep = false
	   }
	od
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* pv_critical_enter(), or pv_events_block(). */
inline enter(before)
{
#ifdef SIGMASK
	d_step { before = blocked; blocked = true; depth++ } /* pthread_sigmask(SIG_BLOCK) */
#elif MUTATE == LOOKS_AFTER_SETTING
	d_step { masked = true; depth++ };
	before = masked
#else
	before = masked;
	d_step { masked = true; depth++ }
#endif
}

/* pv_events_drain(): a section, again and again until nothing was noted in the last. */
inline drain()
{
	do
	:: true ->
#if MUTATE != DRAINS_UNMASKED
		d_step { masked = true; depth++ };
#endif
#if MUTATE == DRAINS_BY_TWO_STEPS
		noted = pending;
		pending = 0;
#elif MUTATE == CLEARS_AFTER_HANDLING
		noted = pending;
#else
		d_step { noted = pending; pending = 0 }; /* __atomic_exchange_n(): one instruction */
#endif
		handle(noted); /* nothing, of 0 */
		noted = 0;
#if MUTATE == CLEARS_AFTER_HANDLING
		pending = 0;
#endif
#if MUTATE != DRAINS_UNMASKED
		d_step { masked = false; depth-- };
#endif
#if MUTATE == DRAINS_ONCE
		break
#else
		if
		:: pending != 0
		:: else -> break
		fi
#endif
	od
}

/* pv_critical_leave(), or pv_events_unblock(). */
inline leave(before)
{
#ifdef SIGMASK
#if MUTATE == OPENS_ALL_SECTIONS
	before = false;
#endif
	d_step { blocked = before; depth--; before = false } /* pthread_sigmask(SIG_SETMASK) */
#else
	if
#if MUTATE != LEAVES_ALL_SECTIONS
	:: before -> d_step { depth--; before = false }
#endif
	:: else ->
#if MUTATE == LOOKS_BEFORE_CLEARING
		if
		:: pending != 0 -> d_step { masked = false; depth-- }; drain()
		:: else -> d_step { masked = false; depth-- }
		fi
#else
		d_step { masked = false; depth-- };
		if
		:: pending != 0 -> drain()
		:: else
		fi
#endif
	fi
#endif
}

/* pv_events_set(), of a source that others raise: a port that may have more stays ready. */
inline set()
{
#if MUTATE == SETS_WITHOUT_SECTION
	change_ready(RAISED_1)
#else
	enter(inner);
	change_ready(RAISED_1);
	leave(inner)
#endif
}

/* What pv_events_take() does in its section. */
inline copy_and_clear()
{
	taken = ready; /* is_any_ready() and memcpy() */
	if
	:: taken != 0 -> ready = 0 /* memset() */
	:: else
	fi
}

/* pv_events_take(). The thread does all there is to do for what it took. */
inline take()
{
#if MUTATE == TAKES_WITHOUT_SECTION
	copy_and_clear();
#else
	enter(inner);
	copy_and_clear();
	leave(inner);
#endif
	owed = (owed && (taken & watched) == 0)
}

/* sigsuspend(): opens the mask and sleeps in one step, until a handler has run. */
inline sleep()
{
#if MUTATE == OPENS_BEFORE_SLEEP
	blocked = false;
	asleep = true;
#else
	d_step { assert(ready == 0 && pending == 0); blocked = false; asleep = true };
#endif
end_asleep:
	!asleep
}

/* pv_events_wait(). */
inline wait()
{
#if MUTATE == LOOKS_BEFORE_BLOCKING
	if
	:: ready == 0 -> blocked = true; sleep()
	:: else -> blocked = true
	fi;
#else
	blocked = true; /* pthread_sigmask(), closed */
	if
	:: ready == 0 -> sleep()
	:: else
	fi;
#endif
	blocked = false /* pthread_sigmask(), open */
}

/* pv_events_begin(). Handlers look at nothing before `self` is set, so the mask's words are set in one step. */
inline begin()
{
	d_step { masked = false; pending = 0 };
	blocked = true;
	armed = true;
	self = true;
#if MUTATE == BITS_BEFORE_LISTENING
	handle(NOTED_IO | NOTED_TICK);
	listening = true;
#elif MUTATE == BEGINS_BLIND
	listening = true;
#else
	listening = true;
	handle(NOTED_IO | NOTED_TICK);
#endif
	blocked = false
}

/* pv_events_end(). */
inline finish()
{
	blocked = true;
	listening = false;
	armed = false;
	self = false;
	blocked = false
}

/* A round is given what may happen in it: all again, if everything of the last burst is over. */
inline start_round()
{
	d_step {
		assert(pending == 0);
		if
		:: !io_came && !tick_came && under_way == 0 -> left = BURST
		:: else
		fi
	}
}

/* What the thread does is one of the things that happen in a burst. */
inline spend()
{
	d_step { left > 0 -> left-- }
}

/*
 * A worker (core/worker_events.c) takes what is ready and does it, and sleeps when there is nothing. In some rounds it
 * first sets a source, in a section or not, and in some it ends and begins anew.
 */
proctype worker()
{
	byte taken, noted, seen, got;
	bool outer, inner;

	begin();
	do
	:: start_round();
	   if
	   :: spend(); set()
	   :: spend(); enter(outer); set(); leave(outer)
	   :: true
	   fi;
	   take();
	   if
	   :: taken != 0 -> taken = 0
	   :: else -> wait()
	   fi;
	   if
	   :: spend(); finish(); begin()
	   :: true
	   fi
	od
}

/* --- who tells it ------------------------------------------------------------------------------------------------- */

/* The rest of pv_events_raise(): pthread_kill(), if the thread listens. */
inline tell(listens)
{
	if
	:: listens -> io_came = true
	:: else
	fi
}

/* pv_events_raise() of one of two sources, again and again. */
proctype raiser(byte one, other)
{
	byte source;
#if MUTATE == LISTENING_BEFORE_BIT
	bool listened;
#endif

end:	do
	:: atomic {
		left > 0 -> left--;
		under_way++;
		if
		:: source = one
		:: source = other
		fi;
#if MUTATE == LISTENING_BEFORE_BIT
		listened = listening
	   };
	   atomic {
#elif MUTATE == KILLS_BEFORE_BIT
		tell(listening)
	   };
	   atomic {
#endif
		OWE(source);
		if /* atomic_fetch_or() */
		:: (raised & source) != 0 -> goto told
		:: else -> raised = raised | source
		fi
	   };
#if MUTATE == LISTENING_BEFORE_BIT
	   tell(listened);
#elif MUTATE != KILLS_BEFORE_BIT
	   tell(listening); /* atomic_load() is a step, pthread_kill() another */
#endif
told:	   atomic { source = 0; under_way-- }
	od
}

/* SIGIO of the kernel comes whether the thread listens or not; pv_events_begin() marks the descriptor. */
proctype kernel()
{
end:	do
	:: d_step { left > 0 -> left--; OWE(DESCRIPTOR); io_came = true }
	:: d_step { left > 0 && armed -> left--; OWE(TICKING); tick_came = true }
	od
}

init {
	atomic {
		if
		:: watched = RAISED_1 /* RAISED_2 is treated alike */
		:: watched = DESCRIPTOR
		:: watched = TICKING
		fi;
		run worker();
		run handlers();
		run kernel();
		run raiser(RAISED_1, RAISED_1);
		run raiser(RAISED_1, RAISED_2)
	}
}
