/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path as a whole: ports, workers, switching table, stages and bound primitives, built from a configuration.
 */
#ifndef PV_CORE_DATAPATH_H
#define PV_CORE_DATAPATH_H

#include <stdatomic.h>

#include "core/hold.h"
#include "core/multiplexing.h"
#include "core/rate.h"
#include "core/rebalance.h"
#include "core/relay.h"
#include "core/watchdog.h"
#include "core/steering.h"
#include "core/worker.h"

struct pv_datapath {
	struct pv_config *config;	/* as it is now: see core/restage.h and core/hot_ports.h */
	struct pv_config *config_given; /* as the data path was built, but for the ports, which are those of `config` */
	struct rte_mempool *pool;
	struct pv_fdb *fdb;
	struct rte_rcu_qsbr *qsbr; /* one thread per worker; quiescent between rounds */
	struct pv_port **ports;	   /* by id; NULL where one was removed: see pv_first_port() */
	uint16_t n_ports;	   /* ids are below this */
	bool uses_vlans;	   /* one of them has, or had, a VLAN (core/vlan.h) */
	struct pv_worker **workers;
	uint16_t n_workers;
	struct pv_binding bindings[PV_BINDINGS_MAX];
	size_t n_bindings;
	uint64_t guest_features; /* that guests are offered of PV_FEATURES_OFFLOAD; as the data path was built */
	uint64_t idle_cycles_before_sleep;
	enum pv_critical_way critical; /* as bound, */
	const struct pv_multiplexing *multiplexing;
	struct pv_contexts_options contexts; /* and what it was given, if guests have contexts */
	struct pv_relay *relay;
	struct pv_hold hold;
	struct pv_rebalance rebalance;
	struct pv_watchdog watchdog;
	struct pv_steering steering;
	struct pv_rate rates[PV_PORTS_MAX]; /* limits of contexts, by port id */
	_Atomic bool leave;		    /* workers end what they run: they are to be held, or */
	_Atomic bool stop;		    /* to end */
	bool running;
};

/*
 * Builds the data path: the pool, the table, every port, the workers and their stages. EAL is up, with an lcore for
 * each worker. `config` must outlive it, and its list of ports is the data path's to change (core/hot_ports.h). NULL
 * after saying why, with nothing left behind.
 */
struct pv_datapath *pv_datapath_new(struct pv_config *config);

/* Starts the workers, then lets guests in. 0 or -errno, having logged why. */
int pv_datapath_start(struct pv_datapath *datapath);

/* The port with the lowest id, and the one after another; NULL when there is none. On any thread but telemetry's. */
static inline struct pv_port *
pv_port_from(const struct pv_datapath *datapath, uint16_t id)
{
	while (id < datapath->n_ports && datapath->ports[id] == NULL)
		id++;
	return id < datapath->n_ports ? datapath->ports[id] : NULL;
}

static inline struct pv_port *
pv_first_port(const struct pv_datapath *datapath)
{
	return pv_port_from(datapath, 0);
}

static inline struct pv_port *
pv_next_port(const struct pv_datapath *datapath, const struct pv_port *port)
{
	return pv_port_from(datapath, port->id + 1);
}

/*
 * Opens a port as `config` describes it; nobody knows of it yet. 0, or -errno having logged why, with nothing left
 * behind.
 */
int pv_datapath_open_port(struct pv_datapath *datapath, const struct pv_config_port *config, uint16_t id,
			  struct pv_port **port);

/*
 * Puts an open port into the place of its id, and its static address into the table. The workers do not run or are
 * held. 0, or -EEXIST or -ENOSPC of the table, and nothing has changed.
 */
int pv_datapath_put_port(struct pv_datapath *datapath, struct pv_port *port);

/* Has ports look at what nobody tells them of, every second. On the main thread. */
void pv_datapath_look(struct pv_datapath *datapath);

/* What ports are given of the primitives as they are bound. */
struct pv_port_env pv_datapath_port_env(const struct pv_datapath *datapath);

/* What guests are to be offered with a configuration and what is bound with it: its interface, and its stages. */
uint64_t pv_guest_features(const struct pv_config *config, const struct pv_binding *bindings, size_t n);

/*
 * Chooses how workers keep out what interrupts them, as it is bound, with the relay if that is signals. When the
 * workers do not run or are held. 0, or -errno having logged why, and it stays as it was.
 */
int pv_datapath_choose_critical(struct pv_datapath *datapath);

/*
 * Has every worker go the packet path that is bound (core/path.h). When the workers do not run or are held. 0, or
 * -ENOMEM having said so, and some may still go the path before.
 */
int pv_datapath_choose_path(struct pv_datapath *datapath);

/*
 * Chooses how guests share the switch, as it is bound. When the workers do not run or are held, and before their paths
 * are chosen.
 */
void pv_datapath_choose_multiplexing(struct pv_datapath *datapath);

/* A primitive as it is bound. Every primitive is. */
const struct pv_binding *pv_datapath_binding(const struct pv_datapath *datapath, const char *primitive);

/* Whether guests have contexts: each its own address, turns and doorbell (core/multiplexing.h). */
static inline bool
pv_has_contexts(const struct pv_datapath *datapath)
{
	return datapath->multiplexing->contexts != NULL;
}

/* Whether the switching table alone says what becomes of a packet. */
static inline bool
pv_switches_by_table(const struct pv_datapath *datapath)
{
	return datapath->multiplexing->by_table && !(pv_has_contexts(datapath) && datapath->uses_vlans);
}

/* Stops the workers, closes the ports and frees everything. NULL is fine. */
void pv_datapath_free(struct pv_datapath *datapath);

/*
 * Bytes of a packet buffer, headroom included: a frame of the largest MTU fits one, and a longer one can be told from
 * it.
 */
uint16_t pv_packet_room(const struct pv_config *config);

/* The lcore that runs worker i, and the main one; how EAL's arguments number them. */
static inline unsigned int
pv_worker_lcore(uint16_t worker)
{
	return worker + 1u;
}
#define PV_MAIN_LCORE 0u

#endif
