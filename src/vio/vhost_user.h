/* SPDX-License-Identifier: BSD-3-Clause */
/* What the control half of a vhost-user port (vhost_user.c) shares with its data paths (vhost_vio.c, vhost_rte.c). */
#ifndef PV_VIO_VHOST_USER_H
#define PV_VIO_VHOST_USER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <sys/un.h>

#include "vio/host_io.h"
#include "vio/port.h"
#include "vio/vhost_features.h"
#include "vio/vhost_guard.h"

enum pv_vhost_mode { PV_VHOST_SERVER, PV_VHOST_CLIENT };

struct pv_vhost {
	const struct pv_host_io *io;
	struct rte_mempool *pool;
	int vid;	    /* of the library, while the port is up; read by the workers */
	struct pv_vio *vio; /* of the data path "vio", or NULL */
	uint16_t step_max;  /* packets that the data path moves at once */
	uint64_t full_wait_cycles;

	/* From here on the library's message thread writes, and reports read. */
	struct pv_port *port;
	char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	enum pv_vhost_mode mode;
	uint32_t data_path;	    /* as configured */
	int permissions;	    /* of the socket */
	gid_t group;		    /* or -1 */
	enum pv_frontend wanted;    /* by the configuration */
	_Atomic uint8_t frontend;   /* as told from the first messages */
	_Atomic bool told;	    /* that `frontend` is known for this connection */
	_Atomic int connection;	    /* vid of the connection, or -1 */
	int connection_fd;	    /* of the connection, or -1 */
	struct pv_log_limit events; /* for guests that come and go */
	uint64_t able;		    /* virtio features of the data path */
	uint64_t guest_features;    /* of them, offloads that are offered */
	uint64_t known_features;    /* of a guest that an earlier pktvirt left attached */
	struct pv_remembered *remembered;
	void *watched[PV_VHOST_REGIONS_MAX]; /* mappings of the guest's memory, see fault.h */
	uint32_t n_watched;
	_Atomic uint32_t faulted;  /* without `vio`, which has its own */
	_Atomic uint64_t offered;  /* virtio features, at the last connection */
	_Atomic uint64_t accepted; /* virtio features, of the guest that is attached */
	_Atomic uint64_t accepted_protocol;
	uint64_t accepted_own;	      /* of PV_VHOST_OWN_FEATURES */
	_Atomic uint64_t attachments; /* guests that came, in all */
	bool ring_enabled[2 * PV_QUEUES_MAX];
	bool attached;		     /* a guest is there, whether the port is up or not */
	bool in_message;	     /* between the hooks around one that may change rings or memory */
	pthread_mutex_t lock;	     /* held in each callback of the library, and while the port is rebound */
	struct pv_vhost_guard guard; /* of the connection */
};

/* The data paths: "data-path": "vio" and "rte_vhost", the library's own burst calls. */
extern const struct pv_port_ops pv_vhost_vio_ops, pv_vhost_rte_ops;

/* Moves packets from a guest's queue, or to it; returns how many. */
typedef uint16_t pv_vhost_move(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

/*
 * Moves packets in steps, each of which notifies the guest once: one packet each where the bound "host-io" crosses
 * into the host per packet, so that each used buffer costs its notification; else as many as the data path takes at
 * once.
 */
static __rte_always_inline uint16_t
pv_vhost_in_steps(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
		  pv_vhost_move *move)
{
	uint16_t moved = 0, step = RTE_MIN(RTE_MIN(count, vhost->io->frames_per_notification), vhost->step_max);

	while (moved < count) {
		uint16_t wanted = RTE_MIN(step, (uint16_t)(count - moved));
		uint16_t got = move(vhost, queue, packets + moved, wanted);

		moved += got;
		if (got < wanted)
			break;
	}
	return moved;
}

/* Sends what did not fit at first, as long as the port is configured to wait for room. */
uint16_t pv_vhost_wait(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
		       pv_vhost_move *move);

/* Sends a burst, and waits for a slow guest if it may. */
static __rte_always_inline uint16_t
pv_vhost_send(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	      pv_vhost_move *move)
{
	uint16_t sent = pv_vhost_in_steps(vhost, queue, packets, count, move);

	if (unlikely(sent < count && vhost->full_wait_cycles > 0))
		sent += pv_vhost_wait(vhost, queue, packets + sent, (uint16_t)(count - sent), move);
	return sent;
}

#endif
