/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests in which an error shows as a thread that sleeps forever. */
#ifndef TESTS_LIB_HANG_H
#define TESTS_LIB_HANG_H

#define HANG_SECONDS 200 /* far more than any such test needs: it finds what stands still, not what is slow */

/*
 * Ends the program with status 1 and says `what`, unless hang_is_over() is called within HANG_SECONDS. Uses SIGUSR2,
 * which no thread may block. `what` is not copied.
 */
void hang_watch(const char *what);
void hang_is_over(void);

#endif
