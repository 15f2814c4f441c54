/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path "vio" of one port without its control plane: rings over memory of the test, and a port that only counts
 * what is dropped. It ends the program when something cannot be made.
 */
#ifndef TESTS_LIB_VIO_BENCH_H
#define TESTS_LIB_VIO_BENCH_H

#include "vio/buffers.h"
#include "vio/vio.h"

#define BENCH_ROOM 2048 /* bytes of a frame that a packet of the pool takes */

struct bench_setup {
	uint64_t features;
	uint32_t copy_break;  /* 0: PV_COPY_ALL */
	uint32_t frame_limit; /* 0: 1522 */
	struct rte_mempool *pool;
	const struct pv_grant_files *files;	   /* packets are mapped from these one by one; NULL: they are not */
	const struct pv_grant_files *window_files; /* the memory is mapped from these in a window; NULL: it is not */
};

struct bench {
	struct pv_vio vio;
	struct pv_port port;
	uint64_t dropped[PV_DROP_CORE_COUNT], refused[PV_DROP_CORE_COUNT], refused_bytes;
};

struct rte_mempool *bench_pool(unsigned int packets);

/* `memory` is copied; the rings lie in that, whether there is a window or not. */
struct bench *bench_new(const struct bench_setup *setup, const struct pv_memory *memory);
/* Ring 0 is what the guest receives with, 1 what it transmits with. 0 or what pv_virtqueue_init() returns. */
int bench_add_ring(struct bench *bench, uint16_t index, const struct pv_virtqueue_setup *setup);
/* The same ring where the port has it: in the window, if there is one. */
struct pv_virtqueue_setup bench_move(const struct bench *bench, const struct pv_virtqueue_setup *setup);
/* How often the guest was called on a ring since the last question. */
uint64_t bench_calls(struct bench *bench, uint16_t index);
void bench_free(struct bench *bench);

/* A packet of a counting pattern that begins with `seed`, over so many segments. NULL without buffers. */
struct rte_mbuf *bench_packet(struct rte_mempool *pool, uint32_t length, uint16_t segments, uint8_t seed);

#endif
