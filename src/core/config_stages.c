/* SPDX-License-Identifier: BSD-3-Clause */
/* "plugins" and "stages": what the pipeline is made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_parts.h"
#include "core/plugin.h"

#define WHY_MAX 256

static void
parse_plugin(struct pv_config *config, json_t *json, struct pv_diag *diag)
{
	char path[PV_PATH_MAX], why[WHY_MAX];
	const char *file = json_string_value(json);

	snprintf(path, sizeof(path), "plugins[%zu]", config->n_plugins);
	if (file == NULL || file[0] == '\0')
		pv_option_refuse(diag, path, json, file == NULL, "the path of a shared object");
	else if (pv_plugin_load(file, why, sizeof(why)) != 0)
		pv_diag_add(diag, path, "\"%s\": %s", file, why);
	config->plugins[config->n_plugins++] = file != NULL ? strdup(file) : NULL;
}

void
pv_config_parse_plugins(struct pv_config *config, json_t *json, struct pv_diag *diag)
{
	json_t *item;
	size_t i;

	if (json == NULL)
		return;
	if (!json_is_array(json)) {
		pv_option_refuse(diag, "plugins", json, true, "an array of paths of shared objects");
		return;
	}
	config->plugins = calloc(json_array_size(json) + 1, sizeof(*config->plugins));
	if (config->plugins == NULL) {
		pv_diag_add(diag, "plugins", "out of memory");
		return;
	}
	json_array_foreach(json, i, item)
		parse_plugin(config, item, diag);
}

void
pv_config_free_plugins(struct pv_config *config)
{
	for (size_t i = 0; i < config->n_plugins; i++)
		free(config->plugins[i]);
	free(config->plugins);
}

static void
refuse_unknown_stage(const char *name, const char *path, struct pv_diag *diag)
{
	size_t n = pv_stage_count();
	const char **names = calloc(n + 1, sizeof(*names));

	if (names == NULL) {
		pv_diag_add(diag, path, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++)
		names[i] = pv_stage_get(i)->name;
	pv_option_unknown(diag, path, "stage", name, names);
	free(names);
}

/* Where an entry of the list is; "" where no list was given, but a stage by its name. */
static const char *
entry_path(char path[PV_PATH_MAX], size_t entry, bool has_places)
{
	path[0] = '\0';
	if (has_places)
		snprintf(path, PV_PATH_MAX, "stages[%zu]", entry);
	return path;
}

/* A stage may be listed once, and only one may be about a primitive. */
static void
check_other_stages(const struct pv_config *config, const struct pv_stage *stage, const char *path, struct pv_diag *diag)
{
	char place[PV_PATH_MAX];

	for (size_t i = 0; i < config->n_stages; i++) {
		const struct pv_stage *other = config->stages[i].stage;

		entry_path(place, i, path[0] != '\0');
		if (other == NULL)
			continue;
		if (other == stage)
			pv_diag_add(diag, path, "\"%s\": already listed as %s", stage->name, place);
		else if (stage->primitive != NULL && other->primitive != NULL &&
			 strcmp(stage->primitive, other->primitive) == 0)
			pv_diag_add(diag, path, "\"%s\": decides %s, as \"%s\"%s%s does: expected one of them",
				    stage->name, stage->primitive, other->name, place[0] != '\0' ? " in " : "", place);
	}
}

/* What a mechanism decides, and how, must exist: a plugin can be about anything. */
static void
check_mechanism(const struct pv_config_stage *listed, const char *path, struct pv_diag *diag)
{
	const struct pv_stage *stage = listed->stage;
	const char *way;

	if (stage->primitive == NULL || listed->options == NULL)
		return;
	way = stage->bind(listed->options);
	if (pv_implementation_find(stage->primitive, way) == NULL)
		pv_diag_add(diag, path, "\"%s\": wants the implementation \"%s\" of %s: there is none", stage->name,
			    way, stage->primitive);
}

/* `options` is NULL for a stage that is listed by its name alone. */
static void
parse_stage_options(struct pv_config_stage *listed, json_t *options, const char *path, struct pv_diag *diag)
{
	const struct pv_stage *stage = listed->stage;
	json_t *json = options != NULL ? json_incref(options) : json_object();
	char where[PV_PATH_MAX];

	listed->options = calloc(1, stage->options_size + 1);
	if (listed->options == NULL) {
		pv_diag_add(diag, path, "out of memory");
	} else {
		pv_options_init(stage->options, listed->options);
		pv_options_parse(stage->options, listed->options, json, pv_path_member(where, path, stage->name), NULL,
				 diag);
	}
	json_decref(json);
}

/* The name in an entry, and in *options what stands beside it; NULL when it is neither of the two forms. */
static const char *
entry_name(json_t *json, json_t **options)
{
	void *member = json_object_iter(json);

	*options = NULL;
	if (json_is_string(json))
		return json_string_value(json);
	if (json_object_size(json) != 1)
		return NULL;
	*options = json_object_iter_value(member);
	return json_object_iter_key(member);
}

static void
parse_stage(struct pv_config *config, json_t *json, bool has_places, struct pv_diag *diag)
{
	struct pv_config_stage *listed = &config->stages[config->n_stages];
	char path[PV_PATH_MAX];
	json_t *options;
	const char *name = entry_name(json, &options);

	entry_path(path, config->n_stages, has_places);
	listed->stage = name != NULL ? pv_stage_find(name) : NULL;
	if (name == NULL) {
		pv_option_refuse(diag, path, json, true, "the name of a stage, or { \"name\": { options } }");
	} else if (listed->stage == NULL) {
		refuse_unknown_stage(name, path, diag);
	} else {
		check_other_stages(config, listed->stage, path, diag);
		parse_stage_options(listed, options, path, diag);
		check_mechanism(listed, path, diag);
	}
	config->n_stages++;
}

void
pv_config_parse_stages(struct pv_config *config, json_t *json, bool has_places, struct pv_diag *diag)
{
	json_t *item;
	size_t i;

	if (json == NULL)
		return;
	if (!json_is_array(json)) {
		pv_option_refuse(diag, "stages", json, true, "an array of stages");
		return;
	}
	config->stages = calloc(json_array_size(json) + 1, sizeof(*config->stages));
	if (config->stages == NULL) {
		pv_diag_add(diag, "stages", "out of memory");
		return;
	}
	json_array_foreach(json, i, item)
		parse_stage(config, item, has_places, diag);
}

void
pv_config_free_stages(struct pv_config *config)
{
	for (size_t i = 0; i < config->n_stages; i++) {
		struct pv_config_stage *listed = &config->stages[i];

		if (listed->options != NULL)
			pv_options_clear(listed->stage->options, listed->options);
		free(listed->options);
	}
	free(config->stages);
}
