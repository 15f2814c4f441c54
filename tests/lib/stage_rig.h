/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One packet stage without a worker: what it emits is collected. For tests, benchmarks and fuzzers; what is asked
 * wrongly ends the program. Packets that are emitted belong to the rig until rig_clear().
 */
#ifndef TESTS_LIB_STAGE_RIG_H
#define TESTS_LIB_STAGE_RIG_H

#include "core/worker.h"

#define RIG_OUT_MAX 16384

struct rig {
	struct pv_stage_self self, sink;
	struct pv_run run[PV_HOOK_COUNT], sink_run;
	struct pv_worker worker; /* has counters, and nothing else */
	struct rte_mempool *pool;
	struct rte_mbuf *out[RIG_OUT_MAX];
	uint32_t n_out;
	uint64_t options[8];
};

/* The registered stage `name` with its options as JSON, such as "{\"limit\": 3}", or NULL. */
struct rig *rig_new(const char *name, const char *options, struct rte_mempool *pool);
/* Ends the stage, which frees what it holds, and frees what was emitted. */
void rig_free(struct rig *rig);

/* A call of process with `count` packets, and of flush if something is held, as a worker makes them. */
void rig_process(struct rig *rig, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count);
void rig_flush(struct rig *rig, enum pv_hook hook);

void rig_clear(struct rig *rig);

#endif
