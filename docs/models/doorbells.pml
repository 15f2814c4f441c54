/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A model of how a worker is told that a context has work: src/core/doorbells.h, the worker's half of src/core/relay.c,
 * and what a worker does with contexts that are idle. Spin goes through all orders of steps.
 * tests/unit/test_model.py has it check the model and each of the mutations below, with guests that use the event
 * index (virtio 1.2, 2.7.10), or with -DFLAG the flag that asks for no kicks. By hand, with or without -DMUTATE=N and
 * -DFLAG at both places; the last line prints the steps to an error that was found:
 *
 *   cp docs/models/doorbells.pml /tmp && cd /tmp
 *   spin -a -DMUTATE=5 doorbells.pml && cc -O1 -o pan pan.c && ./pan -a -n -m100000
 *   spin -t -p -g -DMUTATE=5 doorbells.pml
 *
 * What is modelled: `worker` polls the contexts that are active, looks at its epoll set for kicks, takes doorbells, and
 * sleeps in the epoll set when no context is active. A context that is found empty goes idle, or stays active for a
 * round: its guest is asked to kick, and it is looked at once more. What rings is active again, and asked not to kick.
 * Two `guest`s make chains available, look whether the device wants a kick, and kick. Two `ringer`s are other threads
 * that leave something for the worker, mail or something to do for a context, and ring. Two words of doorbells, of
 * which one has two sources.
 *
 * What is taken for granted:
 * - A statement is a step, as are d_step { } and atomic { }: one load, store, atomic operation or system call. All see
 *   a step at once: what doorbells.h says of memory orders is not checked here, and between its chain and its look a
 *   guest has the barrier that the specification asks for (2.7.13.4.1), as we have between asking and looking.
 * - The epoll set has a bit for each descriptor: a write sets it, and who waits takes all bits (edges).
 * - A ring has room for two chains, which are made available one by one. Of an event index only that is kept which can
 *   still bring a kick; that one of long ago is passed again after 65536 chains, a kick too many, is left out.
 * - Things happen in bursts, as in user-mask.pml: up to BURST of them at any time, and no more until the worker begins
 *   a round with nothing rung and nobody under way. So nobody is kept from going on by what never ends. There is no end
 *   to bursts, and none has to come.
 * - Left out: that a look takes a limited number of events; time-outs of sleeps, which wake the worker more often; how
 *   long a context has to be empty; several workers, which share nothing here.
 *
 * What is checked:
 * - nothing_is_lost: a chain that was made available is served, some day, and so is what a ringer has left. As a burst
 *   may be the last one, what comes later need not help. So the worker sleeps on nothing.
 * - assert in ring: the bell is rung at most once for each sleep.
 * - without the formula (cc -DSAFETY -DNOCLAIM): the worker never stops but in its sleep.
 *
 * With BURST 2 there are 1.8 million states, and as many with the flag.
 */
#ifndef BURST
#define BURST 2
#endif
/* Chains of a ring. */
#define ROOM 2

/*
 * Mutations: what is not to be done. MUTATE is the number of one, and Spin has to find an error then. The test reads
 * this list. "FLAG": with that.
 */
#define LOOKS_BEFORE_ASKING 1	 /* idle: looks once more, then asks for kicks */
#define IDLES_BLIND 2		 /* idle: does not look once more */
#define ASKS_FOR_NOTHING 3	 /* idle: does not ask for kicks */
#define IDLES_WITH_WORK 4	 /* idle: asks for no kicks as it has found work, and is idle nevertheless */
#define SUMMARY_BEFORE_WORD 5	 /* ring: sets the bit of the summary, then that of the word */
#define WORD_BY_TWO_STEPS 6	 /* ring: loads the word, then stores it with the bit */
#define LOOKS_BEFORE_RINGING 7	 /* ring: looks whether the worker is asleep, then sets its bits */
#define BELL_NOT_EXCHANGED 8	 /* ring: looks whether the worker is asleep, then says that it is not */
#define RINGS_BEFORE_POSTING 9	 /* who rings: leaves what there is to do when it has rung */
#define SUMMARY_BY_TWO_STEPS 10	 /* take: loads the summary, then stores 0 */
#define WORDS_BEFORE_SUMMARY 11	 /* take: takes the words that the summary names, then the summary */
#define TAKES_BY_TWO_STEPS 12	 /* take: loads a word, then stores 0 */
#define LOOKS_BEFORE_ASLEEP 13	 /* sleep: looks at the summary, then says that it is asleep */
#define SLEEPS_BLIND 14		 /* sleep: does not look at the summary */
#define FORGETS_BELLS 15	 /* sleep: takes the bell back before it waits, when it has looked */
#define FORGETS_KICKS 16	 /* sleep: takes kicks back that came after it has looked for them */
#define WAKES_UP_DEAF 17	 /* sleep: does not look what has ended it */
#define POLLS_ON_A_RING 18	 /* ring taken: polls the context once, and leaves it idle */
#define IDLE_WITHOUT_ASKING 19	 /* FLAG ring taken: a context that is empty then is idle at once, as it was before */
#ifndef MUTATE
#define MUTATE 0
#endif

/* Sources. The bits of the first two are those of contexts, too, and of their descriptors in the epoll set. */
#define CONTEXT_0 1
#define CONTEXT_1 2
#define MAIL 4
/* Another descriptor. */
#define BELL 8
#define WORD(source) ((source) == CONTEXT_0 -> 0 : 1)
#define BIT(context) (1 << (context))

/* Rings: chains that are available, and how a kick is asked for. */
byte chains[2];
#ifdef FLAG
bool wanted[2];
#else
bool for_next[2]; /* the event index is that of the next chain that the guest makes available, */
bool for_last[2]; /* or of the one that it made available last and has not looked for yet */
bool looking[2];  /* which there is */
#endif

/* struct pv_doorbells. */
byte words[2];
byte summary;
bool asleep;

byte edges;  /* of the epoll set */
byte posted; /* sources for which a ringer has left something */

/* What only the checks know. */
byte watched;	   /* one source, any */
bool owed;	   /* there is something to do for it */
bool roused;	   /* somebody rings the bell for this sleep */
byte under_way;	   /* guests and ringers that are not done */
byte left = BURST; /* what may still happen in this burst */

ltl nothing_is_lost { [] (owed -> <> !owed) }

#define OWE(source) owed = (owed || (source) == watched)
#define DONE(sources) owed = (owed && ((sources) & watched) == 0)

/* --- rings and kicks ---------------------------------------------------------------------------------------------- */

#define has_work(context) (chains[context] != 0 || (posted & BIT(context)) != 0)

/*
 * pv_virtqueue_set_kicks(), wanted and not wanted. The event index is that of our place, or the one before. Our place
 * is the guest's next chain if nothing is available, and the last one if that is all.
 */
inline ask_for_kicks(context)
{
#ifdef FLAG
	wanted[context] = true
#else
	d_step {
		for_next[context] = chains[context] == 0;
		for_last[context] = chains[context] == 1 && looking[context]
	}
#endif
}

inline ask_for_none(context)
{
#ifdef FLAG
	wanted[context] = false
#else
	d_step {
		for_next[context] = false;
		for_last[context] = chains[context] == 0 && looking[context]
	}
#endif
}

/* The guest makes a chain available, */
inline offer(context)
{
	chains[context]++;
#ifndef FLAG
	for_last[context] = for_next[context];
	for_next[context] = false;
	looking[context] = true;
#endif
	OWE(BIT(context))
}

/* and looks whether a kick is wanted for it. */
inline look_for_kick(context)
{
#ifdef FLAG
	kicks = wanted[context]
#else
	kicks = for_last[context];
	for_last[context] = false;
	looking[context] = false
#endif
}

proctype guest(byte context)
{
	bool kicks;

end:	do
	:: atomic { left > 0 && chains[context] < ROOM -> left--; under_way++; offer(context) };
	   d_step { look_for_kick(context) };
	   if
	   :: kicks -> edges = edges | BIT(context) /* write() to the eventfd */
	   :: else
	   fi;
	   atomic { kicks = false; under_way-- }
	od
}

/* --- doorbells ---------------------------------------------------------------------------------------------------- */

/* pv_doorbells_note(). `seen` is the caller's. */
inline note(source)
{
#if MUTATE == SUMMARY_BEFORE_WORD
	summary = summary | (1 << WORD(source));
	words[WORD(source)] = words[WORD(source)] | source
#elif MUTATE == WORD_BY_TWO_STEPS
	seen = words[WORD(source)];
	atomic { words[WORD(source)] = seen | source; seen = 0 };
	summary = summary | (1 << WORD(source))
#else
	words[WORD(source)] = words[WORD(source)] | source; /* atomic_fetch_or() */
	summary = summary | (1 << WORD(source))
#endif
}

/* pv_doorbells_rouse(): the exchange, then the bell. `was` is the caller's. */
inline rouse()
{
	d_step {
#if MUTATE == BELL_NOT_EXCHANGED
		was = true; /* as it was when it was looked at */
#else
		was = asleep;
#endif
		asleep = false;
		assert(!was || !roused);
		roused = (roused || was)
	};
	if
	:: was -> d_step { was = false; edges = edges | BELL }
	:: else
	fi
}

/* pv_doorbells_ring(). */
inline ring(source)
{
#if MUTATE == LOOKS_BEFORE_RINGING
	was = asleep;
	note(source);
	if
	:: was -> was = false; rouse()
	:: else
	fi
#else
	note(source);
	if
	:: asleep -> rouse()
	:: else
	fi
#endif
}

/* Another thread, with mail or with something to do for a context. */
proctype ringer(byte one, other)
{
	byte source;
	bool was;
#if MUTATE == WORD_BY_TWO_STEPS
	byte seen;
#endif

end:	do
	:: atomic {
		left > 0 -> left--;
		under_way++;
		if
		:: source = one
		:: source = other
		fi;
#if MUTATE != RINGS_BEFORE_POSTING
		posted = posted | source;
		OWE(source)
#endif
	   };
	   ring(source);
#if MUTATE == RINGS_BEFORE_POSTING
	   d_step { posted = posted | source; OWE(source) };
#endif
	   atomic { source = 0; under_way-- }
	od
}

/* --- the worker --------------------------------------------------------------------------------------------------- */

/* Everything there is to do for a source: chains are given back, mail is read. */
inline serve(source)
{
	d_step {
		posted = posted & ~(source);
		if
		:: (source) == CONTEXT_0 -> chains[0] = 0
		:: (source) == CONTEXT_1 -> chains[1] = 0
		:: else
		fi;
		DONE(source)
	}
}

/* What the worker does as it likes is one of the things that happen in a burst, so that it does not do so for ever. */
inline spend()
{
	d_step { left > 0 -> left-- }
}

/* A context that was found empty. */
inline go_idle(context)
{
#if MUTATE == LOOKS_BEFORE_ASKING
	if
	:: has_work(context)
	:: !has_work(context) -> ask_for_kicks(context); polled = polled & ~BIT(context)
	fi
#elif MUTATE == IDLES_BLIND
	ask_for_kicks(context);
	polled = polled & ~BIT(context)
#else
#if MUTATE != ASKS_FOR_NOTHING
	ask_for_kicks(context);
#endif
	if
#if MUTATE == IDLES_WITH_WORK
	:: has_work(context) -> ask_for_none(context); polled = polled & ~BIT(context)
#else
	:: has_work(context) -> ask_for_none(context)
#endif
	:: else -> polled = polled & ~BIT(context)
	fi
#endif
}

/* One that is active. */
inline poll(context)
{
	if
	:: (polled & BIT(context)) == 0
	:: (polled & BIT(context)) != 0 && has_work(context) -> serve(BIT(context))
	:: (polled & BIT(context)) != 0 && !has_work(context) ->
		if
		:: spend() /* not for long enough */
		:: go_idle(context)
		fi
	fi
}

/* One that rings. */
inline activate(context)
{
	if
	:: (rung & BIT(context)) != 0 && (polled & BIT(context)) == 0 ->
#if MUTATE == POLLS_ON_A_RING
		serve(BIT(context))
#elif MUTATE == IDLE_WITHOUT_ASKING
		ask_for_none(context);
		if
		:: has_work(context) -> polled = polled | BIT(context)
		:: else
		fi
#else
		ask_for_none(context);
		polled = polled | BIT(context)
#endif
	:: else
	fi
}

/* The exchange of one word. */
inline take_word(word)
{
	if
	:: (named & (1 << word)) != 0 ->
#if MUTATE == TAKES_BY_TWO_STEPS
		rung = rung | words[word];
		words[word] = 0
#else
		d_step { rung = rung | words[word]; words[word] = 0 }
#endif
	:: else
	fi
}

/* pv_doorbells_take(), and what is done about it. */
inline take()
{
#if MUTATE == SUMMARY_BY_TWO_STEPS
	named = summary;
	summary = 0;
#elif MUTATE == WORDS_BEFORE_SUMMARY
	named = summary;
#else
	d_step { named = summary; summary = 0 };
#endif
	take_word(0);
	take_word(1);
#if MUTATE == WORDS_BEFORE_SUMMARY
	summary = 0;
#endif
	named = 0;
	activate(0);
	activate(1);
	if
	:: (rung & MAIL) != 0 -> serve(MAIL)
	:: else
	fi;
	rung = 0
}

/* What the relay tells the worker of: it notes that itself. */
inline tell()
{
	if
	:: (told & CONTEXT_0) != 0 -> note(CONTEXT_0)
	:: else
	fi;
	if
	:: (told & CONTEXT_1) != 0 -> note(CONTEXT_1)
	:: else
	fi;
	told = 0
}

/* epoll_wait(), all there is. */
#define take_edges() told = edges; edges = 0

/* pv_relay_wait() without waiting. */
inline look()
{
	d_step { take_edges() };
	tell()
}

/* The same until there is something: the sleep, and */
#define wait() end_asleep: d_step { edges != 0 -> take_edges() }
/* what is done when it ends. */
inline hear()
{
#if MUTATE == WAKES_UP_DEAF
	told = 0;
#endif
	tell()
}

/* pv_doorbells_prepare_sleep(), the sleep, pv_doorbells_wake_up(). */
inline sleep()
{
#if MUTATE == LOOKS_BEFORE_ASLEEP
	if
	:: summary == 0 -> d_step { asleep = true; roused = false }; wait(); hear()
	:: else
	fi;
#elif MUTATE == SLEEPS_BLIND
	d_step { asleep = true; roused = false };
	wait();
	hear();
#else
	d_step { asleep = true; roused = false };
	if
	:: summary == 0 ->
#if MUTATE == FORGETS_BELLS
		edges = edges & ~BELL;
#elif MUTATE == FORGETS_KICKS
		edges = edges & BELL;
#endif
		wait();
		hear()
	:: else
	fi;
#endif
	asleep = false
}

/* A round is given what may happen in it: all again, if everything of the last burst is over. */
inline start_round()
{
	d_step {
		if
		:: edges == 0 && summary == 0 && under_way == 0 -> left = BURST
		:: else
		fi
	}
}

proctype worker()
{
	byte rung, named, told;
#if MUTATE == WORD_BY_TWO_STEPS
	byte seen;
#endif
	byte polled = CONTEXT_0 | CONTEXT_1; /* contexts that are active */

	do
	:: start_round();
	   look();
	   take();
	   poll(0);
	   poll(1);
	   if
	   :: polled == 0 -> sleep()
	   :: else
	   fi
	od
}

/* All contexts are active in the beginning, and asked not to kick. */
init {
	atomic {
		ask_for_none(0);
		ask_for_none(1);
		if
		:: watched = CONTEXT_0
		:: watched = CONTEXT_1
		:: watched = MAIL
		fi;
		run worker();
		run guest(0);
		run guest(1);
		run ringer(MAIL, CONTEXT_1);
		run ringer(MAIL, CONTEXT_0)
	}
}
