/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a descriptor may have become readable, told without a system call: a poll request stays in an io_uring, and
 * the kernel leaves a mark in memory that it shares with us. Where the kernel cannot (before Linux 5.19, or with
 * kernel.io_uring_disabled), there always may be something.
 *
 * The mark is set before a descriptor in O_ASYNC mode raises its signal, so that who is told by that finds it.
 */
#ifndef PV_VIO_ARRIVALS_H
#define PV_VIO_ARRIVALS_H

#include <liburing.h>
#include <stdbool.h>

#include <rte_branch_prediction.h>

struct pv_arrivals {
	struct io_uring ring;
	int fd;
	bool works; /* false: the kernel has no such thing */
	bool armed; /* the request is there */
	bool more;  /* there may be something whatever the marks say: it was not read to its end */
};

/* `arrivals` is zeroed. The descriptor stays the caller's, who closes the arrivals first. */
void pv_arrivals_open(struct pv_arrivals *arrivals, int fd);
void pv_arrivals_close(struct pv_arrivals *arrivals);

/* Takes the marks, and makes the request where there is none. Returns the system calls that this cost. */
unsigned int pv_arrivals_take(struct pv_arrivals *arrivals);

/* Whether there may be something to read; pv_arrivals_take() is to be called then, before reading. */
static inline bool
pv_arrivals_are_there(const struct pv_arrivals *arrivals)
{
	const unsigned int marks = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;

	return !arrivals->works || !arrivals->armed || arrivals->more ||
	       (IO_URING_READ_ONCE(*arrivals->ring.sq.kflags) & marks) != 0 || io_uring_cq_ready(&arrivals->ring) > 0;
}

#endif
