/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio-net header (virtio 1.2, 5.1.6) to and from the standard offload fields of an mbuf. A guest's header is
 * copied out of its memory first; these functions see only the copy, and believe none of its fields before it is
 * checked against the frame.
 */
#ifndef PV_VIO_NET_HEADER_H
#define PV_VIO_NET_HEADER_H

#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

/*
 * Takes what a guest's header says about the frame `packet`, whose Ethernet, IP and transport headers are in its first
 * segment, into ol_flags (RTE_MBUF_F_TX_…, RTE_MBUF_F_RX_L4_CKSUM_…), l2_len, l3_len, l4_len and tso_segsz.
 * `features` are those that the guest negotiated: what was not negotiated is refused. Returns 0, or -EINVAL when the
 * header contradicts itself, the frame or the features; the packet's fields are undefined then.
 */
int pv_net_header_read(const struct virtio_net_hdr *header, uint64_t features, struct rte_mbuf *packet);

/*
 * Writes the header of `packet` for a guest that negotiated `features`: all of the ten bytes. Returns 0, or -ENOTSUP
 * when the packet needs an offload that the guest did not negotiate.
 */
int pv_net_header_write(const struct rte_mbuf *packet, uint64_t features, struct virtio_net_hdr *header);

#endif
