/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers that look random, for threads that are each to go another way: xorshift32 (Marsaglia, "Xorshift RNGs", 2003).
 * The state is the caller's, and not 0 at first. The same state gives the same numbers.
 */
#ifndef TESTS_LIB_NEXT_RANDOM_H
#define TESTS_LIB_NEXT_RANDOM_H

#include <stdint.h>

/* Changes the state, and returns the next number, which is not 0. */
static inline uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
