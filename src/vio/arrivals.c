/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/arrivals.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "vio/uring.h"

#define ENTRIES 4
#define POLL 1	  /* user data of the request, */
#define REMOVAL 2 /* and of the one that takes it back */

/*
 * Without IORING_SETUP_COOP_TASKRUN the kernel would interrupt the thread that has made the request at each arrival.
 * With it the flag IORING_SQ_TASKRUN says that the kernel has something to do for the request when the thread comes by:
 * that is the call that reads.
 */
void
pv_arrivals_open(struct pv_arrivals *arrivals, int fd)
{
	int result =
		io_uring_queue_init(ENTRIES, &arrivals->ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	arrivals->fd = fd;
	arrivals->works = result == 0;
	if (result != 0)
		pv_info("host-io",
			"the kernel is asked each time whether there are frames, for lack of an io_uring: %s",
			strerror(-result));
}

static void
arm(struct pv_arrivals *arrivals)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&arrivals->ring); /* never NULL: all before were submitted */

	io_uring_prep_poll_multishot(sqe, arrivals->fd, POLLIN);
	io_uring_sqe_set_data64(sqe, POLL);
	arrivals->armed = io_uring_submit(&arrivals->ring) == 1;
}

/* A completion without IORING_CQE_F_MORE is the request's last. */
static void
take(struct pv_arrivals *arrivals, const struct io_uring_cqe *cqe)
{
	if (io_uring_cqe_get_data64(cqe) == POLL && (cqe->flags & IORING_CQE_F_MORE) == 0)
		arrivals->armed = false;
}

unsigned int
pv_arrivals_take(struct pv_arrivals *arrivals)
{
	struct io_uring_cqe *cqe;
	unsigned int calls = 0, head, n = 0;

	if (!arrivals->works)
		return 0;
	if (unlikely((IO_URING_READ_ONCE(*arrivals->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0)) {
		io_uring_get_events(&arrivals->ring);
		calls++;
	}
	io_uring_for_each_cqe(&arrivals->ring, head, cqe)
	{
		take(arrivals, cqe);
		n++;
	}
	io_uring_cq_advance(&arrivals->ring, n);
	if (unlikely(!arrivals->armed)) {
		arm(arrivals);
		calls++;
	}
	return calls;
}

/* The request refers to the descriptor, which would stay open for a while after the ring was closed. */
void
pv_arrivals_close(struct pv_arrivals *arrivals)
{
	struct io_uring_cqe *cqe;

	if (!arrivals->works)
		return;
	if (arrivals->armed) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&arrivals->ring);

		io_uring_prep_cancel64(sqe, POLL, 0); /* a removal of the poll fails while it has something to tell */
		io_uring_sqe_set_data64(sqe, REMOVAL);
		io_uring_submit(&arrivals->ring);
	}
	while (arrivals->armed && pv_uring_wait(&arrivals->ring, &cqe)) {
		take(arrivals, cqe);
		io_uring_cqe_seen(&arrivals->ring, cqe);
	}
	io_uring_queue_exit(&arrivals->ring);
}
