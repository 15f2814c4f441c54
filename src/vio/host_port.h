/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ports have in common whose frames cross a descriptor of the host kernel (vio/host_io.h): the channel, going over
 * to another one, signals, counting. Such a port's `priv` begins with a struct pv_host_port.
 */
#ifndef PV_VIO_HOST_PORT_H
#define PV_VIO_HOST_PORT_H

#include "vio/host_io.h"
#include "vio/port.h"

#define PV_HOST_SLOTS PV_BURST_MAX /* frames in flight each way */
#define PV_HOST_LEFT_MAX (2 * PV_HOST_SLOTS)

struct pv_host_port {
	int fd; /* the type's, which opens and closes it */
	enum pv_host_kind kind;
	bool raises; /* the descriptor raises signals at its worker */
	const struct pv_host_ops *ops;
	struct rte_mempool *pool;
	struct rte_mbuf *left[PV_HOST_LEFT_MAX]; /* frames that the channels before this one had read */
	uint16_t n_left, next_left;
	struct pv_host_io_counters before; /* of the channels before this one */
	struct pv_host_channel *channel;   /* NULL: none could be opened, and the port stays down */
	struct pv_host_io_counters last;   /* as of the last look at them */
	uint64_t unsegmented;		   /* frames that were dropped for that */
};

extern const struct pv_port_ops pv_host_port_ops;

/* Opens a channel on host->fd, of host->kind, in the way that is bound; `host` is zeroed otherwise. 0 or -errno. */
int pv_host_port_open(struct pv_port *port, struct pv_host_port *host, const struct pv_port_env *env);

/* Ends that, with the frames that were read and not taken. Also after a failed open. */
void pv_host_port_close(struct pv_port *port, struct pv_host_port *host);

/* As struct pv_port_type has it. */
int pv_host_port_rebind(struct pv_port *port, const struct pv_port_env *env);

/* System calls and frames, for the type's report; the caller owns it. */
json_t *pv_host_port_report(const struct pv_host_port *host);

#endif
