/* SPDX-License-Identifier: BSD-3-Clause */
/* The data path "vio" as a vhost-user port has it: our own virtqueues (vio.h). */
#include "vio/vhost_vio.h"

static uint16_t
vio_rx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vhost_vio_rx(port, queue, packets, count);
}

static uint16_t
vio_tx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return pv_vhost_vio_tx(port, queue, packets, count);
}

static bool
vio_listen(struct pv_port *port, uint16_t queue, bool wanted)
{
	const struct pv_vhost *vhost = port->priv;

	return pv_vio_listen(vhost->vio, queue, wanted);
}

const struct pv_port_ops pv_vhost_vio_ops = {
	.rx_burst = vio_rx_burst,
	.tx_burst = vio_tx_burst,
	.listen = vio_listen,
};
