/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio-net header (virtio 1.2, 5.1.6) to and from the standard offload fields of an mbuf. A guest's header is
 * copied out of its memory first; these functions see only the copy, and believe none of its fields before it is
 * checked against the frame. So are the headers of the frame: they are in the first segment, in memory that the guest
 * cannot change any more.
 *
 * What an mbuf says between a guest and a guest, where DPDK leaves a choice:
 *  - RTE_MBUF_F_TX_TCP_SEG and _UDP_SEG come with RTE_MBUF_F_TX_TCP_CKSUM and _UDP_CKSUM. _UDP_SEG is UFO: the frame
 *    becomes IP fragments with tso_segsz bytes of payload.
 *  - The checksum field of a frame that needs a checksum holds the sum of the pseudo header with the length of all that
 *    follows it, as virtio has it (5.1.6.2) and whether it is segmented or not. It is left as the guest wrote it. DPDK
 *    wants it without the length for TSO: an egress port that passes such a frame to a device changes the field. It
 *    changes it rather than computes it anew, because DPDK's pseudo header knows no extension headers of IPv6, which
 *    l3_len includes.
 *  - The IPv4 header's own checksum is always in the frame, because virtio cannot leave it out: RTE_MBUF_F_TX_IP_CKSUM
 *    is not used, and an egress port that asks a device for TSO adds it.
 *  - The length in the IP header is that of headers which are there and no more than what the frame has; for a frame to
 *    segment it is the frame's very end. So who finishes a checksum by that length stays in the frame.
 */
#ifndef PV_VIO_NET_HEADER_H
#define PV_VIO_NET_HEADER_H

#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

/* Of ol_flags, those with something to say in a virtio-net header. The rest of the transmit flags describes only. */
#define PV_NET_HEADER_FLAGS                                                                                   \
	((RTE_MBUF_F_TX_OFFLOAD_MASK &                                                                        \
	  ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_OUTER_IPV4 | RTE_MBUF_F_TX_OUTER_IPV6)) | \
	 RTE_MBUF_F_RX_L4_CKSUM_GOOD)

/*
 * Segments that a packet may be cut into: each costs its receiver and the switch as a packet does, and a guest chooses
 * their size. 64 KiB in segments of 88 bytes are fewer; a TCP with smaller ones sends less at once.
 */
#define PV_SEGMENTS_MAX 768

/*
 * Computes the checksum that the sender left to a device, and puts it into the frame: for a header with NEEDS_CSUM that
 * comes from the host's kernel, which asks for SCTP's CRC32c this way, too. -EINVAL when the checksum is not in the
 * first segment.
 */
int pv_net_header_complete(const struct virtio_net_hdr *header, struct rte_mbuf *packet);

/* The two below for a header or a packet that asks for something. */
int pv_net_header_read_offloads(const struct virtio_net_hdr *header, uint64_t features, struct rte_mbuf *packet);
int pv_net_header_write_offloads(const struct rte_mbuf *packet, uint64_t features, struct virtio_net_hdr *header);

/*
 * Takes what a guest's header says about the frame `packet`, whose Ethernet, IP and transport headers are in its first
 * segment and which has no offload fields yet, into ol_flags (RTE_MBUF_F_TX_…), l2_len, l3_len, l4_len and tso_segsz.
 * A checksum that an mbuf cannot express, such as that of a packet in a tunnel, is computed here and put into the
 * frame. `features` are those that the guest negotiated: what was not negotiated is refused. Returns 0, or -EINVAL when
 * the header contradicts itself, the frame or the features; the packet's fields are undefined then.
 *
 * Flags other than NEEDS_CSUM are ignored (virtio 1.2, 5.1.6.2.2), DATA_VALID of a guest among them: nobody vouches for
 * a checksum that only its sender has seen.
 */
static inline int
pv_net_header_read(const struct virtio_net_hdr *header, uint64_t features, struct rte_mbuf *packet)
{
	if (likely(((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) | header->gso_type) == 0))
		return 0;
	return pv_net_header_read_offloads(header, features, packet);
}

/*
 * Writes the header of `packet` for a guest that negotiated `features`: all of the ten bytes. Returns 0, or -ENOTSUP
 * when the packet needs an offload that the guest did not negotiate or that virtio does not have; the header is
 * undefined then.
 */
static inline int
pv_net_header_write(const struct rte_mbuf *packet, uint64_t features, struct virtio_net_hdr *header)
{
	*header = (struct virtio_net_hdr){ 0 };
	if (likely((packet->ol_flags & PV_NET_HEADER_FLAGS) == 0))
		return 0;
	return pv_net_header_write_offloads(packet, features, header);
}

#endif
