/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of what ends a process. */
#ifndef TESTS_LIB_CHILD_H
#define TESTS_LIB_CHILD_H

/*
 * Has a child do `work`, and fails the test unless that signal kills it. There the signal does what it does in pktvirt
 * (vio/fault.h), without cmocka's handler or a sanitizer's.
 */
void child_assert_killed(int number, void (*work)(void));

#endif
