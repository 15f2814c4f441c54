/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A data path for unit tests: real workers, switch and stages between ports that a test fills and empties by hand. The
 * workers' rounds are run by the test, on its own thread, so nothing depends on time.
 */
#ifndef TESTS_LIB_TESTBED_H
#define TESTS_LIB_TESTBED_H

#include "core/datapath.h"

struct testbed;

#define TESTBED_THREADS 2 /* lcores that workers can be started on (pv_datapath_start) */

/* Starts EAL without hugepages and PCI; once per program. */
void testbed_start_eal(void);

struct testbed_setup {
	uint16_t ports;			  /* named p0, p1, …; all up */
	uint16_t workers;		  /* 0 means 1 */
	uint16_t queues;		  /* per port; 0 means 1 */
	uint32_t wires;			  /* bit i: port i is a wire, not a guest */
	const struct pv_stage *stages[8]; /* in order, with their defaults */
	const char *macs[8];		  /* static address of port i */
	uint16_t vlans[8];		  /* of port i; 0: none */
	uint32_t mtu;			  /* 0 means 1500 */
	/* NULL: ports that the test fills and empties. Those of another type are its own matter, and it starts them. */
	const struct pv_port_type *type;
	uint32_t fdb_port_limit; /* 0 means the default */
	uint32_t fdb_entries;	 /* 0: 1024 */
};
struct testbed *testbed_new(const struct testbed_setup *setup);
/* Fails the test when the pool is not whole again: a packet was leaked, or freed twice. */
void testbed_free(struct testbed *testbed);

/* A port that a test fills and empties, to be added while the data path runs (core/hot_ports.h). */
struct pv_config_port testbed_describe_port(const char *name);

struct pv_datapath *testbed_datapath(struct testbed *testbed);
struct pv_port *testbed_port(struct testbed *testbed, uint16_t port);

/* Puts a frame of `length` bytes into the port's receive queue: addresses, type 0x0800, then a counting pattern. */
void testbed_inject(struct testbed *testbed, uint16_t port, uint16_t queue, const char *destination, const char *source,
		    uint32_t length);
/* The same with any bytes, in `segments` mbufs. */
void testbed_inject_bytes(struct testbed *testbed, uint16_t port, uint16_t queue, const void *bytes, uint32_t length,
			  uint16_t segments);
/* The same with a packet of the data path's pool, which is the port's then. */
void testbed_inject_packet(struct testbed *testbed, uint16_t port, uint16_t queue, struct rte_mbuf *packet);

/* Runs a round of every worker, `rounds` times. */
void testbed_run(struct testbed *testbed, unsigned int rounds);

/* Packets that the port was given to send, in order, since the last testbed_clear(). */
uint32_t testbed_sent(struct testbed *testbed, uint16_t port);
const struct rte_mbuf *testbed_packet(struct testbed *testbed, uint16_t port, uint32_t index);
uint16_t testbed_packet_queue(struct testbed *testbed, uint16_t port, uint32_t index);
void testbed_clear(struct testbed *testbed);

/* Has all ports take packets that are to be segmented or lack a checksum. Returns the testbed; NULL is fine. */
struct testbed *testbed_take_large(struct testbed *testbed);

/* Makes the port take at most `packets` more. */
void testbed_limit(struct testbed *testbed, uint16_t port, uint32_t packets);

/* A counter of the port, summed over workers. */
uint64_t testbed_drops(struct testbed *testbed, uint16_t port, uint16_t reason);
uint64_t testbed_all_drops(struct testbed *testbed);

#endif
