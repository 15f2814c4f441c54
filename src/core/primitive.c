/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/primitive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/config.h"

#define IMPLEMENTATIONS_MAX 64

const char *const pv_baseline_names[] = {
	[PV_BASELINE_NONE] = "none",
	[PV_BASELINE_UML] = "uml",
	[PV_BASELINE_XEN] = "xen",
	[PV_BASELINE_COUNT] = NULL,
};

static const struct pv_implementation *implementations[IMPLEMENTATIONS_MAX];
static size_t n_implementations;

static int
compare(const struct pv_implementation *a, const struct pv_implementation *b)
{
	int order = strcmp(a->primitive, b->primitive);

	return order != 0 ? order : strcmp(a->name, b->name);
}

/* Whether two of one primitive would both be bound in some case. */
static bool
collide(const struct pv_implementation *a, const struct pv_implementation *b)
{
	return strcmp(a->primitive, b->primitive) == 0 &&
	       (strcmp(a->name, b->name) == 0 || (a->plain && b->plain) || (a->baselines & b->baselines) != 0);
}

int
pv_implementation_register(const struct pv_implementation *implementation)
{
	size_t at = n_implementations;

	for (size_t i = 0; i < n_implementations; i++)
		if (collide(implementations[i], implementation))
			return -EEXIST;
	if (n_implementations == IMPLEMENTATIONS_MAX)
		return -ENOSPC;
	for (; at > 0 && compare(implementations[at - 1], implementation) > 0; at--)
		implementations[at] = implementations[at - 1];
	implementations[at] = implementation;
	n_implementations++;
	return 0;
}

const struct pv_implementation *
pv_implementation_find(const char *primitive, const char *name)
{
	const struct pv_implementation wanted = { .primitive = primitive, .name = name };

	for (size_t i = 0; i < n_implementations; i++)
		if (compare(implementations[i], &wanted) == 0)
			return implementations[i];
	return NULL;
}

size_t
pv_implementation_count(void)
{
	return n_implementations;
}

const struct pv_implementation *
pv_implementation_get(size_t index)
{
	return implementations[index];
}

/* The listed stage about a primitive, or NULL. -EINVAL when there are two. */
static int
find_listed(const struct pv_config *config, const char *primitive, const struct pv_config_stage **found)
{
	*found = NULL;
	for (size_t i = 0; i < config->n_stages; i++) {
		const struct pv_config_stage *listed = &config->stages[i];

		if (listed->stage->primitive == NULL || strcmp(listed->stage->primitive, primitive) != 0)
			continue;
		if (*found != NULL) {
			pv_error(primitive, "the stages %s and %s are both about it: list one of them",
				 (*found)->stage->name, listed->stage->name);
			return -EINVAL;
		}
		*found = listed;
	}
	return 0;
}

static int
bind_listed(const struct pv_config_stage *listed, struct pv_binding *binding)
{
	const char *name = listed->stage->bind(listed->options);

	binding->implementation = pv_implementation_find(listed->stage->primitive, name);
	binding->options = listed->options;
	snprintf(binding->why, sizeof(binding->why), "stage %s", listed->stage->name);
	if (binding->implementation != NULL)
		return 0;
	pv_error(listed->stage->name, "there is no implementation \"%s\" of %s", name, listed->stage->primitive);
	return -EINVAL;
}

static const struct pv_implementation *
find_plain(const char *primitive)
{
	for (size_t i = 0; i < n_implementations; i++)
		if (implementations[i]->plain && strcmp(implementations[i]->primitive, primitive) == 0)
			return implementations[i];
	return NULL;
}

/* The way of a baseline; NULL when it has none of its own. */
static const struct pv_implementation *
find_of_baseline(const char *primitive, uint32_t baseline)
{
	if (baseline == PV_BASELINE_NONE)
		return NULL;
	for (size_t i = 0; i < n_implementations; i++)
		if ((implementations[i]->baselines & (1u << baseline)) != 0 &&
		    strcmp(implementations[i]->primitive, primitive) == 0)
			return implementations[i];
	return NULL;
}

static int
bind_unlisted(uint32_t baseline, struct pv_binding *binding)
{
	binding->implementation = find_of_baseline(binding->primitive, baseline);
	if (binding->implementation != NULL) {
		snprintf(binding->why, sizeof(binding->why), "baseline %s", pv_baseline_names[baseline]);
		return 0;
	}
	binding->implementation = find_plain(binding->primitive);
	snprintf(binding->why, sizeof(binding->why), "plain");
	if (binding->implementation != NULL)
		return 0;
	pv_error(binding->primitive, "has no plain implementation");
	return -EINVAL;
}

static int
bind_one(const struct pv_config *config, const char *primitive, struct pv_binding *binding)
{
	const struct pv_config_stage *listed;
	int result = find_listed(config, primitive, &listed);

	if (result != 0)
		return result;
	binding->primitive = primitive;
	binding->options = NULL;
	return listed != NULL ? bind_listed(listed, binding) : bind_unlisted(config->settings.baseline, binding);
}

static bool
is_implemented(const char *primitive)
{
	for (size_t i = 0; i < n_implementations; i++)
		if (strcmp(implementations[i]->primitive, primitive) == 0)
			return true;
	return false;
}

/* A stage about a primitive that nobody implements would bind nothing. */
static int
check_primitives(const struct pv_config *config)
{
	for (size_t i = 0; i < config->n_stages; i++) {
		const struct pv_stage *stage = config->stages[i].stage;

		if (stage->primitive == NULL || is_implemented(stage->primitive))
			continue;
		pv_error(stage->name, "there is no primitive \"%s\"", stage->primitive);
		return -EINVAL;
	}
	return 0;
}

int
pv_bind(const struct pv_config *config, struct pv_binding *bindings, size_t max)
{
	int result = check_primitives(config);
	size_t n = 0;

	for (size_t i = 0; result == 0 && i < n_implementations; i++) {
		const char *primitive = implementations[i]->primitive;

		if (n > 0 && strcmp(bindings[n - 1].primitive, primitive) == 0)
			continue;
		if (n == max)
			return -ENOSPC;
		result = bind_one(config, primitive, &bindings[n++]);
	}
	return result == 0 ? (int)n : result;
}
