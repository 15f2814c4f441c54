/* SPDX-License-Identifier: BSD-3-Clause */
#include "stage_rig.h"

#include <jansson.h>
#include <stdlib.h>

#include <rte_debug.h>
#include <rte_malloc.h>

static void
collect(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct rig *rig = self->state;

	for (uint16_t i = 0; i < count; i++) {
		RTE_VERIFY(rig->n_out < RIG_OUT_MAX);
		rig->out[rig->n_out++] = packets[i];
	}
}

static const struct pv_stage sink = { .name = "sink", .process = collect };

static void
read_options(struct rig *rig, const char *text)
{
	const struct pv_stage *stage = rig->self.stage;
	struct pv_diag *diag = pv_diag_new("rig", "");
	json_t *json = json_loads(text != NULL ? text : "{}", 0, NULL);

	RTE_VERIFY(json != NULL && stage->options_size <= sizeof(rig->options));
	pv_options_init(stage->options, rig->options);
	pv_options_parse(stage->options, rig->options, json, "", NULL, diag);
	RTE_VERIFY(pv_diag_count(diag) == 0);
	pv_diag_free(diag);
	json_decref(json);
}

struct rig *
rig_new(const char *name, const char *options, struct rte_mempool *pool)
{
	struct rig *rig = rte_zmalloc("rig", sizeof(*rig), RTE_CACHE_LINE_SIZE);
	const struct pv_stage *stage = pv_stage_find(name);

	RTE_VERIFY(rig != NULL && stage != NULL && pool != NULL);
	rig->pool = pool;
	rig->self.stage = stage;
	rig->self.options = rig->options;
	read_options(rig, options);
	rig->self.state = rte_zmalloc(name, stage->state_size, RTE_CACHE_LINE_SIZE);
	RTE_VERIFY(rig->self.state != NULL);
	rig->self.drop_base = pv_stage_drop_base(stage);
	rig->worker.ports = calloc(PV_PORTS_MAX, sizeof(*rig->worker.ports));
	RTE_VERIFY(rig->worker.ports != NULL);
	rig->sink = (struct pv_stage_self){ .stage = &sink, .state = rig };
	rig->sink_run.self = &rig->sink;
	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		rig->run[hook] = (struct pv_run){
			.worker = &rig->worker, .self = &rig->self, .next = &rig->sink_run, .hook = hook
		};
	RTE_VERIFY(stage->init == NULL || stage->init(&rig->self) == 0);
	return rig;
}

void
rig_free(struct rig *rig)
{
	if (rig->self.stage->fini != NULL)
		rig->self.stage->fini(&rig->self);
	rig_clear(rig);
	pv_options_clear(rig->self.stage->options, rig->options);
	rte_free(rig->self.state);
	free(rig->worker.ports);
	rte_free(rig);
}

void
rig_process(struct rig *rig, enum pv_hook hook, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_run *run = &rig->run[hook];

	rig->self.stage->process(&rig->self, run, packets, count);
	pv_run_forward(run);
}

void
rig_flush(struct rig *rig, enum pv_hook hook)
{
	if (rig->self.held == 0 || rig->self.stage->flush == NULL)
		return;
	rig->self.stage->flush(&rig->self, &rig->run[hook]);
	pv_run_forward(&rig->run[hook]);
}

void
rig_clear(struct rig *rig)
{
	rte_pktmbuf_free_bulk(rig->out, rig->n_out);
	rig->n_out = 0;
}
