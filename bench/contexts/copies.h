/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bursts of the data path "vio" compiled from the very same source twice more, for protection.c alone: without
 * anything that keeps a guest in its memory (an address is where it would be if the first region had no end), and as
 * they are, so that there is something to compare with that was compiled and linked in the same way.
 */
#ifndef BENCH_CONTEXTS_COPIES_H
#define BENCH_CONTEXTS_COPIES_H

#include <stdint.h>

struct pv_vio;
struct rte_mbuf;

typedef uint16_t pv_burst(struct pv_vio *vio, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

pv_burst unprotected_receive, unprotected_transmit, protected_receive, protected_transmit;

#endif
