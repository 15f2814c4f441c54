/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a packet's sender may leave to be done, and the offload driver, which does it in software where the port that
 * the packet goes to does not (Menon, EPFL thesis 2009, 3.1.1): checksums of TCP and UDP, segmentation of TCP (TSO),
 * fragmentation of UDP (UFO). Between ports that both know an offload a packet passes as it is, large.
 *
 * Which of that guests are offered, and what of it wire ports are trusted with, is the primitive "guest-interface".
 * What is done in software does not depend on it: a guest that was attached under another configuration, and stages
 * that make large packets, are served all the same.
 *
 * Requests are those of the mbuf's standard fields, as net_header.h has them.
 */
#ifndef PV_VIO_OFFLOAD_H
#define PV_VIO_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#define PV_PRIMITIVE_GUEST_INTERFACE "guest-interface"

/* What a packet may need, and what a port does (struct pv_port, offloads). */
enum {
	PV_OFFLOAD_CSUM = 1u << 0, /* the checksum of TCP or UDP */
	PV_OFFLOAD_TSO4 = 1u << 1,
	PV_OFFLOAD_TSO6 = 1u << 2,
	PV_OFFLOAD_ECN = 1u << 3, /* TSO of a packet with CWR, which belongs into the first segment only */
	PV_OFFLOAD_UFO = 1u << 4,
	PV_OFFLOAD_ALL = (1u << 5) - 1,
};

/* The features of virtio-net that are about offloads: what guests send, and what they take. */
#define PV_FEATURES_FROM_GUEST                                                                   \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GSO | 1ULL << VIRTIO_NET_F_HOST_TSO4 | \
	 1ULL << VIRTIO_NET_F_HOST_TSO6 | 1ULL << VIRTIO_NET_F_HOST_ECN | 1ULL << VIRTIO_NET_F_HOST_UFO)
#define PV_FEATURES_TO_GUEST                                                                                   \
	(1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ULL << VIRTIO_NET_F_GUEST_ECN | 1ULL << VIRTIO_NET_F_GUEST_UFO)
#define PV_FEATURES_OFFLOAD (PV_FEATURES_FROM_GUEST | PV_FEATURES_TO_GUEST)

/* Bytes of the longest frame that asks for segmentation: an IP datagram behind an Ethernet header and two tags. */
#define PV_LARGE_FRAME_MAX (UINT16_MAX + 22u)

/* The function table of the primitive. `options` are those of the stage that bound it, or NULL. */
struct pv_guest_interface {
	uint64_t (*features)(const void *options);	/* that guests are offered, of PV_FEATURES_OFFLOAD */
	uint32_t (*wire_offloads)(const void *options); /* that are left to wire ports which can do them */
};

/* Of ol_flags, the requests that the offload driver knows. */
#define PV_OFFLOAD_FLAGS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define PV_SEGMENTATION_FLAGS (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

/* What a port does for a guest that negotiated `features`. */
uint32_t pv_offload_of_guest(uint64_t features);

/* What a packet with some of PV_OFFLOAD_FLAGS needs, of PV_OFFLOAD_ALL. */
uint32_t pv_offload_needed(const struct rte_mbuf *packet);

/* Bytes of the longest frame that a packet to be segmented becomes. */
uint32_t pv_offload_longest(const struct rte_mbuf *packet);

/* Whether a packet, maybe after it is segmented, is no longer than a frame of `frame_max` bytes. */
static inline bool
pv_offload_fits(const struct rte_mbuf *packet, uint32_t frame_max)
{
	if (packet->pkt_len <= frame_max)
		return true;
	return (packet->ol_flags & PV_SEGMENTATION_FLAGS) != 0 && pv_offload_longest(packet) <= frame_max;
}

/*
 * Puts the checksum into a packet that needs it and is not to be segmented; the request is gone then. 0, or -EINVAL
 * when its field is not in the first segment.
 */
int pv_offload_complete(struct rte_mbuf *packet);

/* Whether a packet refers to no guest's memory. */
bool pv_offload_is_own(const struct rte_mbuf *packet);

/*
 * Has a packet that refers to a guest's memory, behind its first segment, refer to it no more: the bytes are copied,
 * into the first segment if they fit. 0, or -ENOMEM and the packet is as it was.
 */
int pv_offload_own(struct rte_mbuf *packet, struct rte_mempool *pool);

/* The segments of a packet, one after the other. */
struct pv_segmenter {
	struct rte_mbuf *packet; /* the caller's; with its checksum, if it is UDP */
	struct rte_mempool *pool;
	const struct rte_mbuf *from; /* where its payload is read from, */
	uint32_t offset;	     /* and from which byte of that segment on */
	uint32_t left;		     /* bytes of payload to come */
	uint32_t done;		     /* bytes that have been */
	uint16_t headers;	     /* bytes before the payload, */
	uint16_t size;		     /* and of payload in each segment but the last */
	uint16_t number;	     /* of the next segment */
	uint32_t identification;     /* of the fragments of IPv6 */
	bool leaves_checksum;	     /* to whoever takes the segments: the requests in ol_flags say so */
};

/*
 * Begins with a packet that is to be segmented (PV_SEGMENTATION_FLAGS), whose headers are in its first segment.
 * Segments are copies in one buffer of `pool` each, which belong to nobody else. Of TCP their checksum may be left
 * undone. 0, or -EINVAL for a packet that cannot be segmented.
 */
int pv_segmenter_begin(struct pv_segmenter *segmenter, struct rte_mbuf *packet, struct rte_mempool *pool,
		       bool leaves_checksum);

/* The next segment, the caller's; NULL when there is none (left is 0 then), or no buffer for it. */
struct rte_mbuf *pv_segmenter_next(struct pv_segmenter *segmenter);

#endif
