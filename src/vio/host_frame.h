/* SPDX-License-Identifier: BSD-3-Clause */
/* What the implementations of host-io have in common: frames as pieces of memory, and the counting of them. */
#ifndef PV_VIO_HOST_FRAME_H
#define PV_VIO_HOST_FRAME_H

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>

#include "vio/host_io.h"

#define PV_HOST_SEGMENTS_MAX 16 /* of a frame that is written */

/* Describes a frame with its header for writev(2). Returns the number of pieces, 0 when it has too many. */
static inline unsigned int
pv_host_gather(const struct rte_mbuf *packet, struct iovec *pieces)
{
	static const char zeros[PV_HOST_HEADER];
	unsigned int n = 0;

	if (packet->nb_segs > PV_HOST_SEGMENTS_MAX)
		return 0;
	pieces[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)zeros, .iov_len = PV_HOST_HEADER };
	for (; packet != NULL; packet = packet->next)
		pieces[n++] =
			(struct iovec){ .iov_base = rte_pktmbuf_mtod(packet, void *), .iov_len = packet->data_len };
	return n;
}

/* Where a frame is read to: its header lands in the headroom. */
static inline void *
pv_host_read_address(struct rte_mbuf *packet)
{
	return rte_pktmbuf_mtod(packet, char *) - PV_HOST_HEADER;
}

static inline uint32_t
pv_host_read_room(const struct rte_mbuf *packet)
{
	return (uint32_t)rte_pktmbuf_tailroom(packet) + PV_HOST_HEADER;
}

static inline void
pv_host_set_length(struct rte_mbuf *packet, ssize_t bytes)
{
	packet->data_len = (uint16_t)(bytes - PV_HOST_HEADER);
	packet->pkt_len = packet->data_len;
}

/* Other flags of the descriptor stay (O_ASYNC). 0 or -1 with errno set. */
static inline int
pv_host_set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* Whether one of `events` is there: POLLIN, and POLLERR where an error goes when it is read. */
static inline bool
pv_host_has(int fd, short events)
{
	struct pollfd there = { .fd = fd, .events = events };

	return poll(&there, 1, 0) == 1 && (there.revents & events) != 0;
}

/* Of a channel whose descriptor raises signals itself. */
static inline int
pv_host_no_event_fd(const struct pv_host_channel *channel)
{
	return -1;
}

static inline void
pv_host_count_refused(struct pv_host_io_counters *counters, const struct rte_mbuf *packet)
{
	counters->refused++;
	counters->refused_bytes += packet->pkt_len;
}

#endif
