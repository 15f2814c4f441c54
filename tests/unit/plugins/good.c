/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin as it should be: a packet stage that passes everything on. */
#include "core/stage.h"

static void
process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		pv_emit(run, packets[i]);
}

static const struct pv_stage stage = {
	.name = "test-good",
	.summary = "passes packets on",
	.source = "none",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.process = process,
};
PV_PLUGIN(&stage);
