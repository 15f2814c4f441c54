/* SPDX-License-Identifier: BSD-3-Clause */
/* What users of io_uring have in common. */
#ifndef PV_VIO_URING_H
#define PV_VIO_URING_H

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>

/* Waits for the next completion, whatever signals come meanwhile. False: the ring gives none. */
static inline bool
pv_uring_wait(struct io_uring *ring, struct io_uring_cqe **cqe)
{
	int result;

	do
		result = io_uring_wait_cqe(ring, cqe);
	while (result == -EINTR);
	return result == 0;
}

#endif
