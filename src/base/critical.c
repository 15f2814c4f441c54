/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/critical.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

enum { NOTED_IO = 1, NOTED_TICK = 2 };

__thread struct pv_events *pv_events_self;

static void
mark(struct pv_events *events, const uint64_t sources[PV_EVENT_WORDS])
{
	for (uint32_t i = 0; i < PV_EVENT_WORDS; i++)
		events->ready[i] |= sources[i];
}

/* What the handlers are for. Never interrupted by another one: they are blocked, or the mask is set. */
static void
handle(struct pv_events *events, int noted)
{
	events->counters.signals++;
	if ((noted & NOTED_TICK) != 0)
		mark(events, events->ticking);
	if ((noted & NOTED_IO) == 0)
		return;
	mark(events, events->descriptors);
	for (uint32_t i = 0; i < PV_EVENT_WORDS; i++)
		if (atomic_load(&events->raised[i]) != 0)
			events->ready[i] |= atomic_exchange(&events->raised[i], 0);
}

static void
on_signal(int number)
{
	struct pv_events *events = pv_events_self;
	int noted = number == SIGALRM ? NOTED_TICK : NOTED_IO;

	if (events == NULL)
		return;
	if (events->woken == 0)
		events->woken = rte_rdtsc();
	if (events->way == PV_CRITICAL_MASK && events->masked) {
		events->pending |= noted;
		events->counters.deferred++;
		return;
	}
	handle(events, noted);
}

static void
fill(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGIO);
	sigaddset(set, SIGALRM);
}

int
pv_events_install(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	fill(&action.sa_mask); /* no handler interrupts another */
	return sigaction(SIGIO, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0 ? 0 : -errno;
}

static int
start_timer(struct pv_events *events, uint32_t tick_us)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	struct itimerspec period = { .it_interval = { .tv_sec = tick_us / 1000000,
						      .tv_nsec = (long)(tick_us % 1000000) * 1000 } };

	event._sigev_un._tid = gettid(); /* timer_create(2) calls it sigev_notify_thread_id; glibc 2.36 does not */
	period.it_value = period.it_interval;
	if (timer_create(CLOCK_MONOTONIC, &event, &events->timer) != 0)
		return -errno;
	if (timer_settime(events->timer, 0, &period, NULL) == 0)
		return 0;
	timer_delete(events->timer);
	return -errno;
}

int
pv_events_begin(struct pv_events *events, enum pv_critical_way way, uint32_t tick_us)
{
	sigset_t ours, before;
	int result;

	fill(&ours);
	events->way = way;
	events->masked = false;
	events->pending = 0;
	events->thread = pthread_self();
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	events->open = before;
	sigdelset(&events->open, SIGIO);
	sigdelset(&events->open, SIGALRM);
	pthread_sigmask(SIG_BLOCK, NULL, &events->closed);
	result = start_timer(events, tick_us);
	if (result != 0) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		return result;
	}
	pv_events_self = events;
	atomic_store(&events->listening, true);
	/* What was raised before has sent no signal. pv_events_raise() sets its bit and looks at the flag; we set the
	 * flag and look at the bits. */
	handle(events, NOTED_IO | NOTED_TICK);
	pthread_sigmask(SIG_SETMASK, &events->open, NULL);
	return 0;
}

void
pv_events_end(struct pv_events *events)
{
	pthread_sigmask(SIG_SETMASK, &events->closed, NULL);
	atomic_store(&events->listening, false);
	timer_delete(events->timer);
	pv_events_self = NULL;
	pthread_sigmask(SIG_SETMASK, &events->open, NULL);
}

void
pv_events_raise(struct pv_events *events, uint32_t source)
{
	uint64_t bit = PV_EVENT_BIT(source);

	/* A bit that is set already has its signal on the way. */
	if ((atomic_fetch_or(&events->raised[PV_EVENT_WORD(source)], bit) & bit) == 0 &&
	    atomic_load(&events->listening))
		pthread_kill(events->thread, SIGIO);
}

void
pv_events_set(struct pv_events *events, uint32_t source)
{
	bool before = pv_events_enter(events);

	events->ready[PV_EVENT_WORD(source)] |= PV_EVENT_BIT(source);
	pv_events_leave(events, before);
}

void
pv_events_expect(struct pv_events *events, uint32_t source)
{
	bool before = pv_events_enter(events);

	events->descriptors[PV_EVENT_WORD(source)] |= PV_EVENT_BIT(source);
	pv_events_leave(events, before);
}

static bool
is_any_ready(const struct pv_events *events)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < PV_EVENT_WORDS; i++)
		any |= events->ready[i];
	return any != 0;
}

bool
pv_events_take(struct pv_events *events, uint64_t sources[PV_EVENT_WORDS])
{
	bool before = pv_events_enter(events), any = is_any_ready(events);

	memcpy(sources, events->ready, sizeof(events->ready));
	if (any)
		memset(events->ready, 0, sizeof(events->ready));
	pv_events_leave(events, before);
	return any;
}

/* Between the last look and the sleep nothing is handled: the signals are blocked until sigsuspend() sleeps. */
uint64_t
pv_events_wait(struct pv_events *events)
{
	uint64_t slept = 0;

	pthread_sigmask(SIG_SETMASK, &events->closed, NULL);
	if (!is_any_ready(events)) {
		events->counters.waits++;
		events->woken = 0;
		slept = rte_rdtsc();
		sigsuspend(&events->open);
		slept = (events->woken != 0 ? events->woken : rte_rdtsc()) - slept;
	}
	pthread_sigmask(SIG_SETMASK, &events->open, NULL);
	events->counters.wait_calls += 2;
	return slept;
}

void
pv_events_drain(struct pv_events *events)
{
	do {
		int noted;

		events->masked = true;
		atomic_signal_fence(memory_order_seq_cst);
		noted = __atomic_exchange_n(&events->pending, 0, __ATOMIC_RELAXED);
		if (noted != 0)
			handle(events, noted);
		atomic_signal_fence(memory_order_seq_cst);
		events->masked = false;
		atomic_signal_fence(memory_order_seq_cst);
	} while (events->pending != 0);
}

bool
pv_events_block(struct pv_events *events)
{
	sigset_t before;

	events->counters.mask_calls++;
	pthread_sigmask(SIG_BLOCK, &events->closed, &before);
	return sigismember(&before, SIGIO) == 1;
}

void
pv_events_unblock(struct pv_events *events, bool before)
{
	events->counters.mask_calls++;
	pthread_sigmask(SIG_SETMASK, before ? &events->closed : &events->open, NULL);
}
