/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "multiplexing": how guests share the switch.
 *
 * bridge          one learning bridge; every guest that is attached is polled in every round. What runs where no
 *                 baseline asks otherwise.
 * hooked-bridge   the same with a chain of hooks and rules that each packet passes, as in Xen's driver domain
 *                 (core/bridge_hooks.h).
 * contexts        each guest has a context of its own: an address that only it may use, turns by weight, a doorbell
 *                 instead of being polled while it is idle (stages/multi-context-demux.c).
 */
#ifndef PV_CORE_MULTIPLEXING_H
#define PV_CORE_MULTIPLEXING_H

#include <stdbool.h>
#include <stdint.h>

#include "vio/protection.h"

#define PV_PRIMITIVE_MULTIPLEXING "multiplexing"

struct pv_worker;
struct rte_mbuf;

/* What the stage multi-context-demux is given. */
struct pv_contexts_options {
	uint32_t protection;	  /* enum pv_protection */
	uint32_t idle_us;	  /* that a context is polled without a frame, before its doorbell has to tell */
	uint32_t quantum;	  /* bytes of a turn of a context of weight 1 */
	uint32_t hold_us;	  /* that a frame waits for its receiver's full queue */
	uint32_t backpressure_us; /* that a sender waits for its receiver, at once */
	bool rebalance;		  /* contexts move from a worker with much load to one with little */
};

/* The function table of the primitive. */
struct pv_multiplexing {
	/* Delivers packets that have passed the ingress stages. Each packet is delivered or dropped. */
	void (*switch_burst)(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count);
	/* Where the switching table alone says what becomes of a packet, a flow may have a template. */
	bool by_table;
	/* Of contexts: what the stage's options say. NULL: guests have no contexts. */
	struct pv_contexts_options (*contexts)(const void *options);
};

#endif
