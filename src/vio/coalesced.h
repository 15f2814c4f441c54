/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a packet that was made of several TCP segments says beside its offload fields: the number of them, which a
 * virtio-net header with RSC_INFO has fields for (virtio 1.2, 5.1.6.4), and the acknowledgment number of each.
 *
 * It is in a dynamic field of every mbuf of the packet, which each begin with the payload of one segment, and means
 * something only in mbufs with the dynamic flag. A copy of the packet (rte_pktmbuf_copy) keeps both in its first mbuf
 * only: there the numbers of the other segments are lost, and their boundaries are known by tso_segsz.
 */
#ifndef PV_VIO_COALESCED_H
#define PV_VIO_COALESCED_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

struct pv_coalesced {
	uint32_t ack;	   /* of the segment whose payload is in this mbuf, in host order */
	uint16_t segments; /* of the packet; in the first mbuf only, */
	uint16_t dup_acks; /* as is this: how many of them repeated an acknowledgment and had no payload */
};

extern int pv_coalesced_offset;
extern uint64_t pv_coalesced_flag; /* of ol_flags; 0 as long as nobody coalesces */

/* Registers the field and the flag; any number of times. 0 or -errno. */
int pv_coalesced_init(void);

static inline bool
pv_is_coalesced(const struct rte_mbuf *mbuf)
{
	return (mbuf->ol_flags & pv_coalesced_flag) != 0;
}

static inline struct pv_coalesced *
pv_coalesced(const struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, pv_coalesced_offset, struct pv_coalesced *);
}

/*
 * Tells a guest that knows VIRTIO_NET_F_RSC_EXT of how many segments a packet was made, in the place of csum_start and
 * csum_offset (virtio 1.2, 5.1.6.4.2); their checksums were good. Nothing for other packets.
 */
static inline void
pv_coalesced_tell(const struct rte_mbuf *packet, struct virtio_net_hdr *header)
{
	const struct pv_coalesced *coalesced;

	if (!pv_is_coalesced(packet) || header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return;
	coalesced = pv_coalesced(packet);
	header->flags = VIRTIO_NET_HDR_F_RSC_INFO | VIRTIO_NET_HDR_F_DATA_VALID;
	header->csum_start = coalesced->segments;
	header->csum_offset = coalesced->dup_acks;
}

#endif
