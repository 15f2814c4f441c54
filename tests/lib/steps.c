/* SPDX-License-Identifier: BSD-3-Clause */
#include "steps.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#ifdef __x86_64__

#define TRAP_FLAG 0x100

static volatile bool on;
static volatile uint32_t steps;
static steps_do *volatile before;

static void
on_step(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;

	if (!on) {
		context->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
		return;
	}
	context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
	before(context, steps++);
}

void
steps_begin(steps_do *before_each)
{
	before = before_each;
	steps = 0;
	on = true;
	__asm__ volatile("int3" ::: "memory");
}

uint32_t
steps_end(void)
{
	on = false;
	__asm__ volatile("nop" ::: "memory");
	return steps;
}

static void
do_nothing(const ucontext_t *context, uint32_t step)
{
}

bool
steps_are_possible(void)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGIO);
	sigaddset(&action.sa_mask, SIGALRM);
	if (sigaction(SIGTRAP, &action, NULL) != 0)
		return false;
	steps_begin(do_nothing);
	gettid(); /* some instructions */
	return steps_end() > 1;
}

#else

bool
steps_are_possible(void)
{
	return false;
}

void
steps_begin(steps_do *before_each)
{
}

uint32_t
steps_end(void)
{
	return 0;
}

#endif
