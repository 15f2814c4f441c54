/* SPDX-License-Identifier: BSD-3-Clause */
#include "known_random.h"

#include <stdint.h>

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"). */
ssize_t
known_random(void *buffer, size_t length)
{
	uint64_t state = 0x9e3779b97f4a7c15;
	uint8_t *bytes = buffer;

	for (size_t i = 0; i < length; i++) {
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		bytes[i] = (uint8_t)(state * 0x2545f4914f6cdd1d >> 56);
	}
	return (ssize_t)length;
}
