/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A signal at every instruction. What a thread does with its sections and its events is run one instruction at a time
 * (the CPU's trap flag), again and again, and each time a source is raised an instruction later: so every moment at
 * which a handler can come in between has been there, those between a last look and the sleep among them. Each time the
 * source must be taken exactly once, without help, and what is ready must not change within a section.
 *
 * docs/models/user-mask.pml says the same of statements; this says it of what the compiler made of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/critical.h"
#include "hang.h"

#define NEVER_US 4000000000u /* a tick that no test lives to see */

enum { RAISED = 3, OTHER = 5 }; /* sources of one word */

static const enum pv_critical_way ways[] = { PV_CRITICAL_SIGMASK, PV_CRITICAL_MASK };
static struct pv_events events;

#ifdef __x86_64__

#define TRAP_FLAG 0x100

/*
 * So many steps a sequence, because one costs up to 40 us on a virtual machine: all of its instructions if there are
 * 100, as nearly all sequences with the mask in user space have. Of others every so manieth is tried.
 */
#ifdef __SANITIZE_ADDRESS__
enum { MOST_STEPS = 1000, MOST_STEPS_WITH_CALLS = 1000 }; /* many more instructions, of the same moments */
#else
enum { MOST_STEPS = 5500, MOST_STEPS_WITH_CALLS = 2000 };
#endif

/* How often each was raised, or taken. */
struct counts {
	uint32_t raised, other;
};
static volatile struct counts given;
static struct counts taken;

static struct {
	volatile bool on;
	volatile bool by_tick;	 /* RAISED is, by SIGALRM */
	volatile bool sleeps_on; /* something was ready when it went to sleep */
	volatile uint32_t step, raise_at;
} stepper;

static bool
is_ready(uint32_t source)
{
	const volatile uint64_t *ready = events.ready;

	return (ready[PV_EVENT_WORD(source)] & PV_EVENT_BIT(source)) != 0;
}

static void
give_other(void)
{
	given.other++;
	pv_events_raise(&events, OTHER);
}

static void
take(void)
{
	uint64_t sources[PV_EVENT_WORDS];

	if (!pv_events_take(&events, sources))
		return;
	taken.raised += (sources[PV_EVENT_WORD(RAISED)] & PV_EVENT_BIT(RAISED)) != 0;
	taken.other += (sources[PV_EVENT_WORD(OTHER)] & PV_EVENT_BIT(OTHER)) != 0;
}

/* Whether the next instruction is the system call that sleeps. */
static bool
is_to_sleep(const ucontext_t *context)
{
	static const uint8_t instruction[] = { 0x0f, 0x05 };

	return context->uc_mcontext.gregs[REG_RAX] == SYS_rt_sigsuspend &&
	       memcmp((const void *)(uintptr_t)context->uc_mcontext.gregs[REG_RIP], instruction, 2) == 0;
}

/* Before each instruction. A handler that comes of this runs before the instruction, and is not stepped through. */
static void
on_step(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;

	if (!stepper.on) {
		context->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
		return;
	}
	context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	if (stepper.step++ == stepper.raise_at) {
		given.raised++;
		if (stepper.by_tick)
			raise(SIGALRM);
		else
			pv_events_raise(&events, RAISED);
	}
	if (!is_to_sleep(context))
		return;
	stepper.sleeps_on = is_ready(RAISED) || is_ready(OTHER);
	if (given.raised == 0 || stepper.sleeps_on)
		give_other(); /* it is to wake up: there are instructions after the sleep */
}

static void
start_steps(uint32_t raise_at)
{
	stepper.step = 0;
	stepper.raise_at = raise_at;
	stepper.sleeps_on = false;
	stepper.on = true;
	__asm__ volatile("int3" ::: "memory");
}

static void
stop_steps(void)
{
	stepper.on = false;
	__asm__ volatile("nop" ::: "memory");
}

/* What is stepped through, and what is done before and after it. */
struct sequence {
	const char *name;
	void (*before)(void);
	void (*run)(void);
	void (*after)(void);
	bool by_tick; /* RAISED is, by SIGALRM */
};

static bool outer;
static enum pv_critical_way way;

static void
nothing(void)
{
}

static void
enter(void)
{
	outer = pv_critical_enter(&events);
}

static void
leave(void)
{
	pv_critical_leave(&events, outer);
}

static void
leave_unchanged(void)
{
	bool ready = is_ready(RAISED);

	pv_events_set(&events, PV_EVENT_SOURCES - 1);
	if (is_ready(RAISED) != ready || (way == PV_CRITICAL_MASK && !events.masked))
		fail_msg("a handler ran in the section");
	leave();
}

static void
enter_and_give(void)
{
	enter();
	give_other();
}

static void
nest(void)
{
	bool inner = pv_critical_enter(&events);

	pv_critical_leave(&events, inner);
	if (is_ready(RAISED))
		fail_msg("a handler ran in the section around it");
}

static void
set_other(void)
{
	given.other++;
	pv_events_set(&events, OTHER);
}

static void
sleep_until_told(void)
{
	pv_events_wait(&events);
}

static void
end(void)
{
	pv_events_end(&events);
}

static void
begin(void)
{
	if (pv_events_begin(&events, way, NEVER_US) != 0)
		fail_msg("no timer");
}

static const struct sequence sequences[] = {
	{ "a section begins", nothing, enter, leave_unchanged, false },
	{ "a section ends", enter, leave, nothing, false },
	{ "a section in which a source was raised ends", enter_and_give, leave, nothing, false },
	{ "the same, and it is a tick that comes", enter_and_give, leave, nothing, true },
	{ "a section within one", enter, nest, leave, false },
	{ "a source is set", nothing, set_other, nothing, false },
	{ "what is ready is taken", set_other, take, nothing, false },
	{ "nothing is taken", nothing, take, nothing, false },
	{ "a wait for something", nothing, sleep_until_told, nothing, false },
	{ "a wait with something ready", set_other, sleep_until_told, nothing, false },
	{ "end", nothing, end, begin, false },
	{ "begin", end, begin, nothing, false },
};

/* Runs it with RAISED at one step. Whether it has so many. */
static bool
is_right_at(const struct sequence *sequence, uint32_t step)
{
	given = (struct counts){ 0 };
	taken = (struct counts){ 0 };
	stepper.by_tick = sequence->by_tick;
	events.ticking[PV_EVENT_WORD(RAISED)] = sequence->by_tick ? PV_EVENT_BIT(RAISED) : 0;
	sequence->before();
	start_steps(step);
	sequence->run();
	stop_steps();
	sequence->after();
	take();
	if (stepper.sleeps_on)
		fail_msg("%s, instruction %u: sleeps with something ready", sequence->name, step);
	if (taken.raised != given.raised || taken.other != given.other)
		fail_msg("%s, instruction %u: taken %u of %u, and %u of %u", sequence->name, step, taken.raised,
			 given.raised, taken.other, given.other);
	return given.raised != 0;
}

/* The sum of steps up to each instruction that is tried is half the square of all by the stride. */
static uint32_t
stride_of(uint32_t instructions)
{
	uint32_t most = way == PV_CRITICAL_SIGMASK ? MOST_STEPS_WITH_CALLS : MOST_STEPS;

	return 1 + instructions * instructions / 2 / most;
}

static void
try_steps(const struct sequence *sequence)
{
	uint32_t stride, step = 0;

	hang_watch(sequence->name);
	is_right_at(sequence, UINT32_MAX); /* links what is called for the first time */
	is_right_at(sequence, UINT32_MAX);
	stride = stride_of(stepper.step);
	print_message("%s: each %u. of %u instructions\n", sequence->name, stride, stepper.step);
	while (is_right_at(sequence, step))
		step += stride;
	assert_true(step > 0);
	hang_is_over();
}

static void
a_source_raised_at_any_instruction_is_taken_once(void **state)
{
	way = *(const enum pv_critical_way *)*state;
	memset(&events, 0, sizeof(events));
	begin();
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++)
		try_steps(&sequences[i]);
	end();
}

static int
install(void **state)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGIO);
	sigaddset(&action.sa_mask, SIGALRM);
	return pv_events_install() == 0 && sigaction(SIGTRAP, &action, NULL) == 0 ? 0 : -1;
}

/* Some virtual machines do not trap. */
static bool
can_step(void)
{
	install(NULL);
	start_steps(UINT32_MAX);
	gettid(); /* some instructions */
	stop_steps();
	return stepper.step > 1;
}

#define IN_WAY(test, name, way)                                                  \
	{                                                                        \
#test ", " name, test, NULL, NULL, (void *)(uintptr_t)&ways[way] \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WAY(a_source_raised_at_any_instruction_is_taken_once, "signal-mask", 0),
		IN_WAY(a_source_raised_at_any_instruction_is_taken_once, "user-mask", 1),
	};

	if (can_step())
		return cmocka_run_group_tests_name("critical_steps", tests, install, NULL);
	puts("the CPU does not trap after an instruction");
	return 77;
}

#else

int
main(void)
{
	puts("written for x86-64");
	return 77;
}

#endif
