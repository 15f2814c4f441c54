/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/stage.h"

#include <string.h>

#define STAGES_MAX 128

struct entry {
	const struct pv_stage *stage;
	uint16_t drop_base;
};

static struct entry entries[STAGES_MAX];
static size_t n_entries;

static const char *const hook_names[] = {
	[PV_HOOK_FROM_GUEST] = "from-guest",
	[PV_HOOK_FROM_WIRE] = "from-wire",
	[PV_HOOK_TO_GUEST] = "to-guest",
	[PV_HOOK_TO_WIRE] = "to-wire",
};

const char *
pv_hook_name(enum pv_hook hook)
{
	return hook_names[hook];
}

static bool
is_complete(const struct pv_stage *stage)
{
	bool packet = stage->hooks != 0 && stage->process != NULL;
	bool some_packet = stage->hooks != 0 || stage->process != NULL;
	bool mechanism = stage->primitive != NULL && stage->bind != NULL;
	bool some_mechanism = stage->primitive != NULL || stage->bind != NULL;

	return stage->name != NULL && ((packet && !some_mechanism) || (mechanism && !some_packet));
}

static int
register_drops(const struct pv_stage *stage)
{
	return stage->drops != NULL ? pv_drop_register(stage->name, stage->drops) : 0;
}

static void
insert(const struct pv_stage *stage, uint16_t drop_base)
{
	size_t at = n_entries++;

	for (; at > 0 && strcmp(entries[at - 1].stage->name, stage->name) > 0; at--)
		entries[at] = entries[at - 1];
	entries[at] = (struct entry){ .stage = stage, .drop_base = drop_base };
}

int
pv_stage_register(const struct pv_stage *stage)
{
	int drop_base;

	if (!is_complete(stage))
		return -EINVAL;
	if (pv_stage_find(stage->name) != NULL)
		return -EEXIST;
	if (n_entries == STAGES_MAX)
		return -ENOSPC;
	drop_base = register_drops(stage);
	if (drop_base < 0)
		return drop_base;
	insert(stage, (uint16_t)drop_base);
	return 0;
}

const struct pv_stage *
pv_stage_find(const char *name)
{
	for (size_t i = 0; i < n_entries; i++)
		if (strcmp(entries[i].stage->name, name) == 0)
			return entries[i].stage;
	return NULL;
}

size_t
pv_stage_count(void)
{
	return n_entries;
}

const struct pv_stage *
pv_stage_get(size_t index)
{
	return entries[index].stage;
}

uint16_t
pv_stage_drop_base(const struct pv_stage *stage)
{
	for (size_t i = 0; i < n_entries; i++)
		if (entries[i].stage == stage)
			return entries[i].drop_base;
	return 0;
}
