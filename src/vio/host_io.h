/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "host-io": how packets cross the boundary between pktvirt and the host kernel. A port that has a
 * kernel descriptor carrying one frame per call (a tap, a packet socket) opens a channel on it; the bound
 * implementation decides how many system calls its frames cost. It also says how many frames a guest's ring is given
 * per notification, since a notification is a system call too.
 */
#ifndef PV_VIO_HOST_IO_H
#define PV_VIO_HOST_IO_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define PV_PRIMITIVE_HOST_IO "host-io"

/* What precedes each frame at the boundary. */
#define PV_HOST_HEADER ((uint16_t)sizeof(struct virtio_net_hdr))

/* Counted by the worker that owns the channel. */
struct pv_host_io_counters {
	uint64_t calls;			 /* system calls, */
	uint64_t empty;			 /* of them, reads that found nothing */
	uint64_t frames;		 /* that were read and written */
	uint64_t unreadable;		 /* frames that the kernel had, and could not hand over */
	uint64_t refused, refused_bytes; /* of frames that write took, and the kernel did not */
};

struct pv_host_channel;

/* Channels on one kind of descriptor. */
struct pv_host_ops {
	/*
	 * Takes over the descriptor `fd` for frames that are preceded by a struct virtio_net_hdr (written as zeros,
	 * left in the headroom when read). `slots` frames are in flight at most. NULL with errno set. Closing `fd`
	 * stays the caller's.
	 */
	struct pv_host_channel *(*open)(int fd, struct rte_mempool *pool, uint16_t slots);
	/* Reads up to `count` frames; never waits. */
	uint16_t (*read)(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count);
	/*
	 * Writes the first n frames and owns those; returns n. Never waits. A frame that the kernel refuses for another
	 * reason than being full is one of them, and counted as refused, maybe in a later call.
	 */
	uint16_t (*write)(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count);
	void (*counters)(const struct pv_host_channel *channel, struct pv_host_io_counters *counters);
	/* Whether there is something to read, or seems to be. */
	bool (*has_frames)(const struct pv_host_channel *channel);
	/* An eventfd that becomes readable when there is; -1: the descriptor itself raises signals (O_ASYNC). */
	int (*event_fd)(const struct pv_host_channel *channel);
	/*
	 * Ends the channel, with nothing of it under way. Frames that had been read by then, `slots` at most, go to
	 * `left`, in order; returns how many. `last` gets the counters as they are then.
	 */
	uint16_t (*close)(struct pv_host_channel *channel, struct rte_mbuf **left, struct pv_host_io_counters *last);
};

enum pv_host_kind {
	PV_HOST_FILE,	/* one frame per read(2) and write(2): a tap */
	PV_HOST_SOCKET, /* a packet socket with PACKET_VNET_HDR and PACKET_AUXDATA */
	PV_HOST_KINDS
};

/* The function table of the primitive. */
struct pv_host_io {
	/* Frames handed to a guest's ring, or taken from it, before the guest may be notified. */
	uint16_t frames_per_notification;
	const struct pv_host_ops *channels[PV_HOST_KINDS];
};

extern const struct pv_host_ops pv_host_file_per_packet, pv_host_file_per_burst;
extern const struct pv_host_ops pv_host_socket_per_packet, pv_host_socket_per_burst;

#endif
