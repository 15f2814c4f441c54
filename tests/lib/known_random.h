/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers that are the same each time. How well a hash with random numbers spreads the keys of a test is a
 * matter of luck: that two keys collide is as rare as it should be, but keys that follow one another collide together.
 * A test that counts what a table kept has getrandom() give these.
 */
#ifndef TESTS_LIB_KNOWN_RANDOM_H
#define TESTS_LIB_KNOWN_RANDOM_H

#include <stddef.h>
#include <sys/types.h>

/* Fills a buffer, from the same beginning in each call. Returns its length. */
ssize_t known_random(void *buffer, size_t length);

#endif
