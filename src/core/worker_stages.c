/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/worker_stages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "base/log.h"
#include "core/path.h"

static bool
have_same_options(const struct pv_stage *stage, const void *a, const void *b)
{
	json_t *one = pv_options_dump(stage->options, a), *two = pv_options_dump(stage->options, b);
	bool same = json_equal(one, two);

	json_decref(one);
	json_decref(two);
	return same;
}

static const struct pv_stage_self *
find_same(const struct pv_worker_stages *before, const struct pv_config_stage *listed)
{
	for (uint16_t i = 0; before != NULL && i < before->n; i++)
		if (before->stages[i].stage == listed->stage &&
		    have_same_options(listed->stage, before->stages[i].options, listed->options))
			return &before->stages[i];
	return NULL;
}

static int
begin(struct pv_stage_self *self, struct pv_worker *worker, const struct pv_config_stage *listed)
{
	const struct pv_stage *stage = listed->stage;
	int result;

	*self = (struct pv_stage_self){
		.stage = stage, .options = listed->options, .worker = worker->id, .generation = &worker->generation
	};
	self->drop_base = pv_stage_drop_base(stage);
	self->state = rte_zmalloc(stage->name, RTE_MAX(stage->state_size, 1u), RTE_CACHE_LINE_SIZE);
	if (self->state == NULL)
		return -ENOMEM;
	result = stage->init != NULL ? stage->init(self) : 0;
	if (result != 0) {
		pv_error(stage->name, "does not start on worker %u: %s", worker->id, strerror(-result));
		rte_free(self->state);
	}
	return result;
}

static void
end(struct pv_stage_self *self)
{
	if (self->stage->fini != NULL)
		self->stage->fini(self);
	rte_free(self->state);
}

static int
make_stages(struct pv_worker *worker, const struct pv_config *config, const struct pv_worker_stages *before,
	    struct pv_worker_stages *made)
{
	made->stages = calloc(config->n_stages + 1, sizeof(*made->stages));
	made->kept = calloc(config->n_stages + 1, sizeof(*made->kept));
	if (made->stages == NULL || made->kept == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_stages; i++) {
		const struct pv_config_stage *listed = &config->stages[i];
		const struct pv_stage_self *same = find_same(before, listed);
		int result = 0;

		if (listed->stage->process == NULL)
			continue;
		if (same != NULL)
			made->stages[made->n] = *same;
		else
			result = begin(&made->stages[made->n], worker, listed);
		if (result != 0)
			return result;
		made->stages[made->n].options = listed->options;
		made->kept[made->n++] = same != NULL;
	}
	return 0;
}

/* The stages of one hook, in the order of the configuration. */
static int
make_chain(struct pv_worker *worker, struct pv_worker_stages *made, enum pv_hook hook)
{
	struct pv_chain *chain = &made->chain[hook];

	chain->runs = rte_zmalloc("pv_chain", (made->n + 1u) * sizeof(*chain->runs), RTE_CACHE_LINE_SIZE);
	if (chain->runs == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < made->n; i++) {
		struct pv_run *run = &chain->runs[chain->count];

		if ((made->stages[i].stage->hooks & PV_HOOK_BIT(hook)) == 0)
			continue;
		run->worker = worker;
		run->self = &made->stages[i];
		run->hook = hook;
		if (chain->count > 0)
			chain->runs[chain->count - 1].next = run;
		chain->count++;
	}
	return 0;
}

int
pv_worker_stages_make(struct pv_worker *worker, const struct pv_config *config, const struct pv_worker_stages *before,
		      struct pv_worker_stages *made)
{
	int result;

	memset(made, 0, sizeof(*made));
	result = make_stages(worker, config, before, made);
	for (enum pv_hook hook = 0; result == 0 && hook < PV_HOOK_COUNT; hook++)
		result = make_chain(worker, made, hook);
	if (result != 0)
		pv_worker_stages_discard(made);
	return result;
}

static void
free_set(struct pv_worker_stages *set)
{
	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		rte_free(set->chain[hook].runs);
	free(set->stages);
	free(set->kept);
	memset(set, 0, sizeof(*set));
}

void
pv_worker_stages_discard(struct pv_worker_stages *made)
{
	for (uint16_t i = 0; i < made->n; i++)
		if (!made->kept[i])
			end(&made->stages[i]);
	free_set(made);
}

/* Whether a set has taken over the state of a stage. */
static bool
has_taken_over(const struct pv_worker_stages *set, const struct pv_stage_self *self)
{
	for (uint16_t i = 0; i < set->n; i++)
		if (set->kept[i] && set->stages[i].stage == self->stage)
			return true;
	return false;
}

void
pv_worker_stages_replace(struct pv_worker *worker, const struct pv_worker_stages *made)
{
	struct pv_worker_stages *before = &worker->packet_stages;

	for (uint16_t i = 0; i < before->n; i++)
		if (!has_taken_over(made, &before->stages[i]))
			end(&before->stages[i]);
	free_set(before);
	*before = *made;
	pv_path_choose(worker);
}

void
pv_worker_stages_end(struct pv_worker *worker)
{
	for (uint16_t i = 0; i < worker->packet_stages.n; i++)
		end(&worker->packet_stages.stages[i]);
	free_set(&worker->packet_stages);
}
