/* SPDX-License-Identifier: BSD-3-Clause */
/* Bursts of a vhost-user port on the data path "vio", for callers that know that a port is one of those. */
#ifndef PV_VIO_VHOST_VIO_H
#define PV_VIO_VHOST_VIO_H

#include "vio/vhost_user.h"
#include "vio/vio.h"

static inline uint16_t
pv_vhost_vio_receive_step(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vio_receive(vhost->vio, queue, packets, count);
}

static inline uint16_t
pv_vhost_vio_transmit_step(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vio_transmit(vhost->vio, queue, packets, count);
}

/* As rx_burst and tx_burst of struct pv_port_ops. */
static __rte_always_inline uint16_t
pv_vhost_vio_rx(const struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vhost_in_steps(port->priv, queue, packets, count, pv_vhost_vio_receive_step);
}

static __rte_always_inline uint16_t
pv_vhost_vio_tx(const struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vhost_send(port->priv, queue, packets, count, pv_vhost_vio_transmit_step);
}

#endif
