/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What interrupts a thread, and how a section keeps that out: each rule of base/critical.h by itself, in both ways with
 * signals. The test's own thread is the one that is told. test_critical_steps.c has the moments that matter, and
 * test_critical_stress.c other threads at random.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/critical.h"
#include "hang.h"

#define NEVER_US 4000000000u /* a tick that no test lives to see */

/* Sources in different words. */
enum { RAISED = 3, OTHER = 64, TICKING = 200, DESCRIPTOR = 575 };

static const enum pv_critical_way ways[] = { PV_CRITICAL_SIGMASK, PV_CRITICAL_MASK };
static struct pv_events events;

static enum pv_critical_way
way_of(void **state)
{
	return *(const enum pv_critical_way *)*state;
}

static int
begin_ticking(enum pv_critical_way way, uint32_t tick_us)
{
	memset(&events, 0, sizeof(events));
	events.ticking[PV_EVENT_WORD(TICKING)] = PV_EVENT_BIT(TICKING);
	return pv_events_begin(&events, way, tick_us);
}

static bool
is_ready(uint32_t source)
{
	const volatile uint64_t *ready = events.ready;

	return (ready[PV_EVENT_WORD(source)] & PV_EVENT_BIT(source)) != 0;
}

static bool
is_in(const uint64_t sources[PV_EVENT_WORDS], uint32_t source)
{
	return (sources[PV_EVENT_WORD(source)] & PV_EVENT_BIT(source)) != 0;
}

static void
assert_nothing_taken(void)
{
	uint64_t sources[PV_EVENT_WORDS];

	assert_false(pv_events_take(&events, sources));
	for (uint32_t i = 0; i < PV_EVENT_WORDS; i++)
		assert_int_equal(sources[i], 0);
}

/* Takes, once, the one source and nothing else. */
static void
assert_taken(uint32_t source)
{
	uint64_t sources[PV_EVENT_WORDS];

	assert_true(pv_events_take(&events, sources));
	for (uint32_t i = 0; i < PV_EVENT_WORDS; i++)
		assert_int_equal(sources[i], i == PV_EVENT_WORD(source) ? PV_EVENT_BIT(source) : 0);
	assert_nothing_taken();
}

static void
wait_for(uint32_t source)
{
	uint64_t sources[PV_EVENT_WORDS];

	while (!pv_events_take(&events, sources) || !is_in(sources, source))
		pv_events_wait(&events);
}

static bool
is_blocked(int number)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, number) == 1;
}

static bool
is_waiting_in_kernel(int number)
{
	sigset_t waiting;

	sigpending(&waiting);
	return sigismember(&waiting, number) == 1;
}

static int
begin(void **state)
{
	hang_watch("test_critical");
	if (begin_ticking(way_of(state), NEVER_US) != 0)
		return -1;
	/* begin has everything looked at that cannot say so by itself. */
	assert_taken(TICKING);
	return 0;
}

static int
end(void **state)
{
	if (pv_critical_events() != NULL)
		pv_events_end(&events);
	hang_is_over();
	return 0;
}

static void
nested_sections_restore_what_was_before(void **state)
{
	bool outer, middle, inner;

	outer = pv_critical_enter(&events);
	middle = pv_critical_enter(&events);
	inner = pv_critical_enter(&events);
	pv_events_raise(&events, RAISED);
	assert_false(is_ready(RAISED));
	pv_critical_leave(&events, inner);
	assert_false(is_ready(RAISED));
	inner = pv_critical_enter(&events);
	pv_critical_leave(&events, inner);
	pv_critical_leave(&events, middle);
	assert_false(is_ready(RAISED));
	pv_critical_leave(&events, outer);
	assert_true(is_ready(RAISED));
	assert_taken(RAISED);
	assert_false(is_blocked(SIGIO));
	assert_false(is_blocked(SIGALRM));
	pv_events_raise(&events, OTHER);
	assert_true(is_ready(OTHER));
}

static void
the_kernel_keeps_a_signal_until_the_section_ends(void **state)
{
	bool before = pv_critical_enter(&events);
	uint64_t signals = events.counters.signals;

	assert_true(is_blocked(SIGIO));
	assert_true(is_blocked(SIGALRM));
	pv_events_raise(&events, RAISED);
	raise(SIGALRM);
	assert_true(is_waiting_in_kernel(SIGIO));
	assert_true(is_waiting_in_kernel(SIGALRM));
	assert_int_equal(events.counters.signals, signals);
	pv_critical_leave(&events, before);
	assert_int_equal(events.counters.signals, signals + 2);
	assert_int_equal(events.counters.deferred, 0);
	assert_true(is_ready(RAISED));
	assert_true(is_ready(TICKING));
}

static void
a_signal_in_a_section_is_noted_and_run_by_its_end(void **state)
{
	bool before = pv_critical_enter(&events);
	uint64_t signals = events.counters.signals;

	assert_false(is_blocked(SIGIO));
	pv_events_raise(&events, RAISED);
	assert_int_equal(events.counters.deferred, 1);
	raise(SIGALRM);
	assert_int_equal(events.counters.deferred, 2);
	assert_int_equal(events.counters.signals, signals);
	assert_false(is_ready(RAISED));
	assert_false(is_ready(TICKING));
	pv_critical_leave(&events, before);
	assert_true(is_ready(RAISED));
	assert_true(is_ready(TICKING));
	assert_int_equal(events.pending, 0);
	assert_false(events.masked);
	assert_int_equal(events.counters.signals, signals + 1);
}

/* Whoever raises a bit that is set already relies on the signal that is on the way. */
static void
a_source_that_is_raised_again_sends_no_second_signal(void **state)
{
	bool before = pv_critical_enter(&events);

	pv_events_raise(&events, RAISED);
	pv_events_raise(&events, RAISED);
	assert_int_equal(events.counters.deferred, 1);
	pv_events_raise(&events, OTHER);
	assert_int_equal(events.counters.deferred, 2);
	pv_critical_leave(&events, before);
	assert_true(is_ready(OTHER));
	pv_events_raise(&events, RAISED);
	assert_int_equal(events.counters.signals, 3); /* with that of begin */
}

static void
each_source_comes_out_as_itself(void **state)
{
	for (uint32_t source = 0; source < PV_EVENT_SOURCES; source++) {
		pv_events_raise(&events, source);
		assert_taken(source);
		pv_events_set(&events, source);
		assert_taken(source);
	}
}

static void
a_source_may_be_set_and_taken_within_a_section(void **state)
{
	bool before = pv_critical_enter(&events);

	pv_events_set(&events, OTHER);
	pv_events_raise(&events, RAISED);
	assert_taken(OTHER);
	pv_critical_leave(&events, before);
	assert_taken(RAISED);
}

static void
what_was_raised_before_begin_is_ready_after_it(void **state)
{
	pv_events_end(&events);
	memset(&events, 0, sizeof(events));
	pv_events_raise(&events, RAISED);
	assert_int_equal(pv_events_begin(&events, way_of(state), NEVER_US), 0);
	assert_taken(RAISED);
}

static void
what_happens_between_end_and_begin_is_not_lost(void **state)
{
	pv_events_set(&events, OTHER);
	pv_events_end(&events);
	pv_events_raise(&events, RAISED);
	raise(SIGIO); /* of nobody's now */
	raise(SIGALRM);
	assert_false(is_ready(RAISED));
	assert_int_equal(events.counters.signals, 1); /* that of begin */
	assert_int_equal(pv_events_begin(&events, way_of(state), NEVER_US), 0);
	assert_true(is_ready(RAISED));
	assert_true(is_ready(OTHER));
	assert_true(is_ready(TICKING));
}

static void
without_events_a_section_is_nothing(void **state)
{
	uint64_t calls = events.counters.mask_calls;
	bool before;

	pv_events_end(&events);
	assert_null(pv_critical_events());
	before = pv_critical_enter(pv_critical_events());
	assert_false(is_blocked(SIGIO));
	pv_critical_leave(pv_critical_events(), before);
	assert_int_equal(events.counters.mask_calls, calls);
}

/* No signal may be queued, so there can be no timer. */
static void
a_begin_that_fails_leaves_the_signals_as_they_were(void **state)
{
	struct rlimit limit, none;
	sigset_t alarm;
	int result;

	pv_events_end(&events);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	result = begin_ticking(way_of(state), NEVER_US);
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	assert_int_equal(result, -EAGAIN);
	assert_null(pv_critical_events());
	assert_false(is_blocked(SIGIO));
	assert_true(is_blocked(SIGALRM));
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
}

static void *
be_signalled(void *none)
{
	raise(SIGIO);
	raise(SIGALRM);
	kill(getpid(), SIGIO); /* somebody's: of this thread, or of the one with events */
	kill(getpid(), SIGALRM);
	return pv_critical_events();
}

static void
a_signal_on_another_thread_does_no_harm(void **state)
{
	bool before = pv_critical_enter(&events);
	pthread_t bystander;
	void *seen;

	assert_int_equal(pthread_create(&bystander, NULL, be_signalled, NULL), 0);
	assert_int_equal(pthread_join(bystander, &seen), 0);
	assert_null(seen);
	pv_events_raise(&events, RAISED);
	assert_false(is_ready(RAISED));
	pv_critical_leave(&events, before);
	assert_true(is_ready(RAISED));
}

static void *
raise_all(void *none)
{
	for (uint32_t source = 0; source < PV_EVENT_SOURCES; source++)
		pv_events_raise(&events, source);
	return NULL;
}

static void
other_threads_raise_every_source(void **state)
{
	uint64_t sources[PV_EVENT_WORDS], all[PV_EVENT_WORDS] = { 0 }, missing;
	pthread_t threads[2];

	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, raise_all, NULL), 0);
	do {
		if (!pv_events_take(&events, sources))
			pv_events_wait(&events);
		missing = 0;
		for (uint32_t i = 0; i < PV_EVENT_WORDS; i++) {
			all[i] |= sources[i];
			missing |= ~all[i];
		}
	} while (missing != 0);
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static void
a_tick_makes_ready_what_ticks(void **state)
{
	pv_events_end(&events);
	assert_int_equal(begin_ticking(way_of(state), 1000), 0);
	for (uint32_t tick = 0; tick < 4; tick++) { /* the first is that of begin */
		wait_for(TICKING);
		assert_false(is_ready(RAISED));
		assert_false(is_ready(DESCRIPTOR));
	}
}

static void
a_descriptor_that_is_expected_signals(void **state)
{
	const struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = gettid() };
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	raise(SIGIO);
	assert_nothing_taken();
	pv_events_expect(&events, DESCRIPTOR);
	assert_int_equal(fcntl(ends[0], F_SETOWN_EX, &owner), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_ASYNC), 0);
	assert_int_equal(write(ends[1], "", 1), 1);
	wait_for(DESCRIPTOR);
	close(ends[0]);
	close(ends[1]);
}

static void
a_wait_does_not_sleep_when_something_is_ready(void **state)
{
	pv_events_set(&events, OTHER);
	pv_events_wait(&events);
	pv_events_raise(&events, RAISED);
	pv_events_wait(&events);
	assert_int_equal(events.counters.waits, 0);
	assert_int_equal(events.counters.wait_calls, 4);
	assert_false(is_blocked(SIGIO));
	assert_false(is_blocked(SIGALRM));
}

struct alarmer {
	pthread_t sleeper;
	_Atomic bool woken;
};

static void *
alarm_until_woken(void *argument)
{
	struct alarmer *alarmer = argument;

	while (!alarmer->woken) {
		pthread_kill(alarmer->sleeper, SIGIO);
		sched_yield();
	}
	return NULL;
}

/* Who waits has other things to look after at each tick (pv_worker_tick). */
static void
a_wait_ends_with_any_signal(void **state)
{
	struct alarmer alarmer = { .sleeper = pthread_self() };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, alarm_until_woken, &alarmer), 0);
	pv_events_wait(&events);
	alarmer.woken = true;
	pthread_join(thread, NULL);
	assert_int_equal(events.counters.waits, 1);
	assert_false(is_blocked(SIGIO));
	assert_nothing_taken();
}

/* Sections as on a packet's way: short ones, nested ones, and with what the thread is told in them. */
static void
run_sections(uint32_t count)
{
	uint64_t sources[PV_EVENT_WORDS];

	for (uint32_t i = 0; i < count; i++) {
		struct pv_events *mine = pv_critical_events();
		bool outer = pv_critical_enter(mine), inner = pv_critical_enter(mine);

		pv_critical_leave(mine, inner);
		pv_events_set(mine, OTHER);
		pv_critical_leave(mine, outer);
		pv_events_take(mine, sources);
	}
}

static void
a_section_costs_two_calls_or_none(void **state)
{
	uint64_t before = events.counters.mask_calls;

	run_sections(10); /* of four each */
	assert_int_equal(events.counters.mask_calls - before, way_of(state) == PV_CRITICAL_SIGMASK ? 80 : 0);
}

static void
no_handler_interrupts_another(void **state)
{
	static const int numbers[] = { SIGIO, SIGALRM };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction action;

		assert_int_equal(sigaction(numbers[i], NULL, &action), 0);
		for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++)
			assert_true(numbers[i] == numbers[j] || sigismember(&action.sa_mask, numbers[j]));
	}
}

/* From now on the process may end, return from a handler, and nothing else. */
static bool
give_up_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NO_FILTER = 77, WENT_WRONG = 78 };

/* Until signals have come within sections and outside of them. */
static void
run_filtered(enum pv_critical_way way)
{
	struct pv_events_counters *counters = &events.counters;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (begin_ticking(way, 100) != 0)
		_exit(WENT_WRONG);
	if (!give_up_system_calls())
		_exit(NO_FILTER);
	do {
		run_sections(1000);
	} while (counters->deferred < 10 || counters->signals < 20);
	syscall(SYS_exit_group, 0); /* before _exit(), AddressSanitizer asks for the signal stack */
}

static void
the_kernel_sees_no_section_with_a_mask_in_user_space(void **state)
{
	enum pv_critical_way way = way_of(state);
	int status;
	pid_t child;

	pv_events_end(&events);
	child = fork();
	if (child == 0)
		run_filtered(way);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER) {
		print_message("skipped: the kernel gives us no seccomp filter\n");
		skip();
	}
	if (way == PV_CRITICAL_MASK) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	} else {
		assert_true(WIFSIGNALED(status)); /* so the filter does see sections that make calls */
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static int
install(void **state)
{
	/* Again, because each data path does it. */
	return pv_events_install() == 0 && pv_events_install() == 0 ? 0 : -1;
}

#define IN_WAY(test, name, way)                                                  \
	{                                                                        \
#test ", " name, test, begin, end, (void *)(uintptr_t)&ways[way] \
	}
#define IN_SIGNAL_MASK(test) IN_WAY(test, "signal-mask", 0)
#define IN_USER_MASK(test) IN_WAY(test, "user-mask", 1)
#define IN_BOTH(test) IN_SIGNAL_MASK(test), IN_USER_MASK(test)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOTH(nested_sections_restore_what_was_before),
		IN_SIGNAL_MASK(the_kernel_keeps_a_signal_until_the_section_ends),
		IN_USER_MASK(a_signal_in_a_section_is_noted_and_run_by_its_end),
		IN_USER_MASK(a_source_that_is_raised_again_sends_no_second_signal),
		IN_BOTH(each_source_comes_out_as_itself),
		IN_BOTH(a_source_may_be_set_and_taken_within_a_section),
		IN_BOTH(what_was_raised_before_begin_is_ready_after_it),
		IN_BOTH(what_happens_between_end_and_begin_is_not_lost),
		IN_BOTH(without_events_a_section_is_nothing),
		IN_BOTH(a_begin_that_fails_leaves_the_signals_as_they_were),
		IN_BOTH(a_signal_on_another_thread_does_no_harm),
		IN_BOTH(other_threads_raise_every_source),
		IN_BOTH(a_tick_makes_ready_what_ticks),
		IN_BOTH(a_descriptor_that_is_expected_signals),
		IN_BOTH(a_wait_does_not_sleep_when_something_is_ready),
		IN_BOTH(a_wait_ends_with_any_signal),
		cmocka_unit_test(no_handler_interrupts_another),
		IN_BOTH(a_section_costs_two_calls_or_none),
		IN_BOTH(the_kernel_sees_no_section_with_a_mask_in_user_space),
	};

	return cmocka_run_group_tests_name("critical", tests, install, NULL);
}
