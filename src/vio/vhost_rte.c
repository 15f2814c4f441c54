/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path "rte_vhost": packets move with rte_vhost_dequeue_burst() and rte_vhost_enqueue_burst(), which copy
 * between guest memory and mbufs and notify the guest once per call.
 */
#include <rte_vhost.h>

#include "vio/vhost_user.h"

/* virtio 1.2, 5.1.2: receiveq1 is 0, transmitq1 is 1, and so on, as the guest sees it. */
#define GUEST_RECEIVES(queue) ((uint16_t)(2 * (queue)))
#define GUEST_TRANSMITS(queue) ((uint16_t)(2 * (queue) + 1))

static uint16_t
receive_step(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_vhost_dequeue_burst(vhost->vid, GUEST_TRANSMITS(queue), vhost->pool, packets, count);
}

static uint16_t
transmit_step(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_vhost_enqueue_burst(vhost->vid, GUEST_RECEIVES(queue), packets, count);
}

static uint16_t
rte_rx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vhost_in_steps(port->priv, queue, packets, count, receive_step);
}

static uint16_t
rte_tx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t sent = pv_vhost_send(port->priv, queue, packets, count, transmit_step);

	/* The library has copied them; they are ours to free. */
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

const struct pv_port_ops pv_vhost_rte_ops = { .rx_burst = rte_rx_burst, .tx_burst = rte_tx_burst };
