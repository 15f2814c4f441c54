/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Code that is run one instruction at a time (the CPU's trap flag), with something done before each instruction that a
 * test chooses: so whatever another thread could do in between is done at every moment there is. One step costs up to
 * 40 us on a virtual machine. x86-64 only, and one at a time in a process.
 */
#ifndef TESTS_LIB_STEPS_H
#define TESTS_LIB_STEPS_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/*
 * What is done before an instruction, the `step`th from 0. It is not stepped through. SIGIO and SIGALRM that come of it
 * are handled before the instruction, and not stepped through either.
 */
typedef void steps_do(const ucontext_t *context, uint32_t step);

/* Whether the CPU does that; some virtual machines do not. Uses SIGTRAP from now on. Before the others. */
bool steps_are_possible(void);

/* From here this thread goes by steps, */
void steps_begin(steps_do *before_each);

/* and to here. Returns how many there were. */
uint32_t steps_end(void);

#endif
