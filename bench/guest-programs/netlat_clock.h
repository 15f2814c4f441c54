/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time by the processor's time stamp counter, and what many times come to.
 *
 * clock_gettime() is a system call in a User-mode Linux guest, which takes longer there than much of what is to be
 * measured; reading the counter is one instruction. A User-mode Linux guest and the host's processes read the same
 * counter, so one may take the time that the other noted; a virtual machine's may have an offset and a scale.
 */
#ifndef NETLAT_CLOCK_H
#define NETLAT_CLOCK_H

#include <stdint.h>

/* Measures the counter's rate against CLOCK_MONOTONIC; takes 20 ms, and must come before all that knows the rate. */
void clock_begin(void);

/* Cycles per second, as measured. */
double clock_hz(void);

/* Microseconds of some cycles. */
double clock_us(double cycles);

/* Cycles of some microseconds. */
uint64_t clock_cycles(double us);

/* The counter now: not before what comes before is done, and before what comes after begins. */
static inline uint64_t
clock_now(void)
{
	uint64_t now;

	__builtin_ia32_lfence();
	now = __builtin_ia32_rdtsc();
	__builtin_ia32_lfence();
	return now;
}

/* How many times there were, their mean, and the sum of the squares of their distances from it (Welford's method). */
struct times {
	int64_t n;
	double mean, squares;
};

/* Adds a time, in any unit. */
void times_add(struct times *times, double time);

/* Half the width of the 95 % interval of the mean; 0 of fewer than two times. */
double times_ci95(const struct times *times);

#endif
