/* SPDX-License-Identifier: BSD-3-Clause */
/* What the implementations of host-io have in common: frames as pieces of memory, and the counting of them. */
#ifndef PV_VIO_HOST_FRAME_H
#define PV_VIO_HOST_FRAME_H

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include "vio/host_io.h"
#include "vio/net_header.h"
#include "vio/offload.h"

#define PV_HOST_SEGMENTS_MAX 72 /* of a frame that is written: 64 KiB, or 64 frames of a wire */

/* The kernel is hardware that does all of it. */
#define PV_HOST_OFFLOADS PV_OFFLOAD_ALL

/*
 * Writes the header of a frame into the room before it. False when there is none, or it is not ours alone, or the frame
 * asks for what the header has no words for.
 */
static inline bool
pv_host_put_header(const struct rte_mbuf *packet)
{
	struct virtio_net_hdr header;

	if (!RTE_MBUF_DIRECT(packet) || rte_mbuf_refcnt_read(packet) > 1 ||
	    rte_pktmbuf_headroom(packet) < PV_HOST_HEADER ||
	    pv_net_header_write(packet, PV_FEATURES_TO_GUEST, &header) != 0)
		return false;
	memcpy(rte_pktmbuf_mtod(packet, char *) - PV_HOST_HEADER, &header, sizeof(header));
	return true;
}

/*
 * Describes a frame with its header for writev(2). Returns the number of pieces, 0 when it has too many, or cannot be
 * described.
 */
static inline unsigned int
pv_host_gather(const struct rte_mbuf *packet, struct iovec *pieces)
{
	static const char zeros[PV_HOST_HEADER];
	unsigned int n = 0;

	if (packet->nb_segs > PV_HOST_SEGMENTS_MAX)
		return 0;
	if ((packet->ol_flags & PV_OFFLOAD_FLAGS) != 0) {
		if (!pv_host_put_header(packet))
			return 0;
		pieces[n++] = (struct iovec){ .iov_base = rte_pktmbuf_mtod(packet, char *) - PV_HOST_HEADER,
					      .iov_len = packet->data_len + (size_t)PV_HOST_HEADER };
		packet = packet->next;
	} else {
		pieces[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)zeros, .iov_len = PV_HOST_HEADER };
	}
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
