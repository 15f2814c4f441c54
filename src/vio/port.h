/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port: something that frames come from and go to. Its type (vhost-user, ethdev, raw, tap) knows how; the switch sees
 * only this interface.
 *
 * Queues: a port has `queues` queue pairs. Receive queue i and transmit queue i belong to the same one worker
 * (owner[i]), which alone calls rx_burst and tx_burst on them, so a port needs no locks on its queues. A worker that
 * owns no queue of a port hands packets to the owner's mailbox instead (src/core/worker.h).
 */
#ifndef PV_VIO_PORT_H
#define PV_VIO_PORT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/drop.h"
#include "base/log.h"
#include "base/option.h"
#include "vio/io_channel.h"
#include "vio/protection.h"
#include "vio/translation.h"

#define PV_QUEUES_MAX 16
#define PV_PORT_NAME_MAX 32
#define PV_PORT_OVERHEAD 22 /* of a frame over the MTU: Ethernet header and two VLAN tags */

enum pv_role { PV_ROLE_GUEST, PV_ROLE_WIRE };
extern const char *const pv_role_names[]; /* "guest", "wire", NULL */

struct pv_host_io;
struct pv_port;

/* What the framework gives a port when it is opened. */
struct pv_port_env {
	struct rte_mempool *pool;	   /* for received packets */
	const struct pv_host_io *host_io;  /* the bound way of crossing into the host */
	struct pv_io_channel io_channel;   /* the bound way of reaching a guest's pages */
	uint32_t copy_break;		   /* bytes, of that and the bound way of passing buffers (vio/buffers.h) */
	struct pv_translation translation; /* the bound way of translating addresses */
	uint64_t guest_features; /* that guests are offered of PV_FEATURES_OFFLOAD (vio/offload.h); while a port is
				    open they do not change */
	uint32_t wire_offloads;	 /* that are left to a wire port which can do them, of PV_OFFLOAD_ALL */
	enum pv_protection protection; /* of the memory of a guest that is given one from now on */
};

struct pv_port_type {
	const char *name; /* the key in the configuration */
	const char *summary;
	enum pv_role role; /* unless the configuration says otherwise */
	const struct pv_option *options;
	size_t options_size;
	/*
	 * Checks what the table cannot, before anything is started: adds to `diag` at `path` (of the type's object).
	 * May be NULL.
	 */
	void (*check)(const void *options, const char *path, struct pv_diag *diag);
	/*
	 * Creates the port's device: sets ops, priv and mtu-dependent limits, may lower port->queues. 0 or -errno,
	 * having logged why, with nothing left behind.
	 */
	int (*open)(struct pv_port *port, const void *options, const struct pv_port_env *env);
	/* After every port is open and queues have owners: lets guests in. 0 or -errno, having logged why. */
	int (*start)(struct pv_port *port);
	/* Takes everything back, also after open alone. The workers have stopped or are past a quiesce. */
	void (*close)(struct pv_port *port);
	/*
	 * Goes over to other ways of doing the primitives, while every worker is held between two rounds: the guest or
	 * link stays, and no frame is lost. 0, or -errno having logged why; the port then goes on as before. NULL: the
	 * type does nothing that `env` decides.
	 */
	int (*rebind)(struct pv_port *port, const struct pv_port_env *env);
	/*
	 * Before the workers are held for that, and after they go on: the place to wait for what keeps the port's own
	 * threads out meanwhile, so that only these wait and no worker does. Workers run, and may not be waiting for
	 * the port's threads then. NULL: there is nothing.
	 */
	void (*begin_rebind)(struct pv_port *port);
	void (*end_rebind)(struct pv_port *port);
	/*
	 * Shuts the port's guest out, or lets it in again, and says so in port->revoked. A guest that is shut out stays
	 * connected, and its port is down: when this returns nothing of ours uses its rings or memory, nor will until
	 * it is let in, whoever attaches. Not on a worker, and not while they are held. NULL: ports of the type have no
	 * guests.
	 */
	void (*set_granted)(struct pv_port *port, bool granted);
	/* Looks at what nobody tells of, such as a link; once a second, on the main thread. NULL: there is nothing. */
	void (*look)(struct pv_port *port);
	/*
	 * Has frames for an address, in a VLAN or (0) in any, come in at a queue pair, while the port is up; and no
	 * longer, so that they are spread as others are. It may take its time. On the main thread. 0 or -errno:
	 * -ENOTSUP, that such rules are not to be had here; others, that this one is not. NULL: neither can be.
	 */
	int (*steer)(struct pv_port *port, const uint8_t mac[6], uint16_t vlan, uint16_t queue);
	int (*unsteer)(struct pv_port *port, const uint8_t mac[6], uint16_t vlan);
	/* Facts of this type for `show ports` (socket, guest, negotiated features…); the caller owns it. NULL: none. */
	json_t *(*report)(const struct pv_port *port);
	/* One "doctor" answer: why each feature is or is not in use; the caller owns it. May be NULL. */
	json_t *(*doctor)(const struct pv_port *port);
};

struct pv_port_ops {
	/*
	 * Takes up to `count` frames into mbufs from env->pool; returns how many. Frames may be chained; those needing
	 * offload work carry the standard transmit flags (RTE_MBUF_F_TX_*) and header lengths. Segments that are
	 * external buffers (vio/buffers.h) are a guest's memory: read them, and free them soon.
	 */
	uint16_t (*rx_burst)(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
	/* Sends the first n of `packets` and owns those n from then on; returns n. The rest stays the caller's. */
	uint16_t (*tx_burst)(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
	/*
	 * Asks the device to say when there are frames (struct pv_port: watch), or no longer to. Whether there are some
	 * already, so that nobody waits for an event that was before. NULL: it cannot say, and is to be polled.
	 */
	bool (*listen)(struct pv_port *port, uint16_t queue, bool wanted);
};

struct pv_port {
	const struct pv_port_ops *ops;
	void *priv; /* the type's */
	uint16_t id;
	uint16_t queues;	   /* queue pairs there are */
	uint16_t frame_max;	   /* bytes of the largest frame, both ways: mtu + PV_PORT_OVERHEAD */
	uint8_t role;		   /* enum pv_role */
	_Atomic uint32_t offloads; /* PV_OFFLOAD_… that tx_burst does, or the guest: the rest is done before */
	bool tells;	      /* what it has watched (see `watch`) and `listen` tell of all frames, without signals */
	bool copies;	      /* tx_burst is done with a packet when it returns: it may refer to a guest */
	_Atomic bool up;      /* a guest or link is there; down ports are neither polled nor sent to */
	_Atomic bool revoked; /* its guest is shut out (core/revocation.h) */
	_Atomic uint16_t active_queues;	       /* queue pairs in use by the guest, 1 to queues; meaningful while up */
	_Atomic uint16_t owner[PV_QUEUES_MAX]; /* worker of each queue pair; changes only while workers are held */

	char name[PV_PORT_NAME_MAX];
	const struct pv_port_type *type;
	struct pv_mac mac; /* static address behind this port, or not set */
	uint32_t mtu;
	uint16_t vlan;		  /* that a guest's frames are of, 1 to 4094; 0: of none */
	uint32_t weight;	  /* share of a context among others */
	uint32_t rate_limit_mbps; /* of what a context sends; 0: none */
	/*
	 * The one address that a context speaks with (its six bytes, first in the lowest, and bit 48); 0 while it is
	 * not known. Written when it is claimed and given up (core/contexts.c).
	 */
	_Atomic uint64_t address;
	_Atomic uint32_t times_up; /* guests or links that there were; one more before `up` is set */
	/*
	 * Of a sender: where much of what it sent waits for full queues, over all workers, and until what value of the
	 * time stamp counter it is not polled for that (core/backlog.h).
	 */
	_Atomic uint32_t clogged_lanes;
	_Atomic uint64_t blocked_until;
	_Atomic int32_t mail;	   /* packets from it that are in mailboxes between workers; with contexts */
	struct pv_log_limit limit; /* for lines a guest can trigger; used by the port's control thread */
	/* Set by the framework: counts frames that came in at rx_burst of a queue and never became packets (PV_DROP_…).
	 */
	void (*count_drop)(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets);
	/*
	 * Set by the framework: takes frames back that tx_burst of a queue took and that could not be delivered, maybe
	 * later. They count as dropped for that reason then, not as sent. On the worker.
	 */
	void (*count_refused)(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets,
			      uint64_t bytes);
	/*
	 * Set by the framework: says that a guest or link came or went. When it returns from "went", no worker uses the
	 * port and what was learned from it is forgotten. Not on a worker.
	 */
	void (*set_up)(struct pv_port *port, bool up);
	/*
	 * Set by the framework, for types that can `listen`: what becomes readable when a queue has frames, or -1 that
	 * it is no more. It is never read from, and says nothing of what was there before (that is `wake`). `slot` is a
	 * queue pair, or PV_QUEUES_MAX for something that queue 0 looks after. Not on a worker.
	 */
	void (*watch)(struct pv_port *port, uint16_t slot, int fd);
	void (*wake)(struct pv_port *port, uint16_t queue); /* the same as if it had become readable once */
	/*
	 * Set by the framework: returns when every worker has come back from whatever it was doing, in the kernel too.
	 * Not on a worker, and not while they are held.
	 */
	void (*settle)(struct pv_port *port);
	void *framework; /* what these belong to */
};

/* How many queue pairs of a port the guest uses, also while it changes that. */
static inline uint16_t
pv_queues_in_use(const struct pv_port *port)
{
	uint16_t active = port->active_queues;

	return active < port->queues ? active : port->queues;
}

/* The types of this build, by name; NULL-terminated. */
extern const struct pv_port_type *const pv_port_types[];
const struct pv_port_type *pv_port_type_find(const char *name);

/* What calling guests (the system calls themselves) has cost this thread. */
struct pv_notified {
	uint64_t calls, cycles;
};
extern __thread struct pv_notified pv_notified;

#endif
