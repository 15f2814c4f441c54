/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sockpath.h"
#include "core/config_parts.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789._-"

const struct pv_option pv_config_options[] = {
	PV_OPTION_STRING(struct pv_config_settings, name, "name", 1, 32, "pktvirt",
			 "name of this instance: lower-case letters, digits, \".\", \"_\" and \"-\""),
	PV_OPTION_STRING(struct pv_config_settings, description, "description", 0, 1000, NULL, "for people"),
	PV_OPTION_ENUM(struct pv_config_settings, baseline, "baseline", pv_baseline_names, PV_BASELINE_NONE,
		       "the system whose way of doing things runs where no stage is listed"),
	PV_OPTION_STRING(struct pv_config_settings, control_socket, "control-socket", 1, PV_SOCKET_PATH_MAX, NULL,
			 "path of the control socket; /run/pktvirt/NAME.ctl unless given"),
	PV_OPTION_UINT(struct pv_config_settings, packets, "packets", 2048, 4194304, 32768,
		       "buffers in the packet pool"),
	PV_OPTION_UINT(struct pv_config_settings, fdb_entries, "fdb-entries", 64, 1048576, 8192,
		       "addresses in the switching table"),
	PV_OPTION_UINT(struct pv_config_settings, fdb_ageing_s, "fdb-ageing-s", 1, 1000000, 300,
		       "seconds after which an unseen address is forgotten"),
	PV_OPTION_UINT(struct pv_config_settings, fdb_port_limit, "fdb-port-limit", 1, 1048576, 1024,
		       "addresses that may be learned from one port"),
	PV_OPTION_UINT(struct pv_config_settings, idle_sleep_us, "idle-sleep-us", 0, 10000, 200,
		       "microseconds that an idle worker sleeps at a time, at most; 0 = it always polls"),
	PV_OPTION_END,
};

/* Keys of the top level that are not settings. $bindings is a note that --print-config leaves. */
static const char *const sections[] = { "workers", "ports", "stages", "plugins", "$schema", "$bindings", NULL };

static void
check_name(const struct pv_config *config, struct pv_diag *diag)
{
	const char *name = config->settings.name;

	if (name != NULL && name[strspn(name, NAME_CHARACTERS)] != '\0')
		pv_diag_add(diag, "name", "\"%s\": expected lower-case letters, digits, \".\", \"_\" and \"-\"", name);
}

static void
check_schema_key(json_t *json, struct pv_diag *diag)
{
	if (json != NULL && !json_is_string(json))
		pv_option_refuse(diag, "$schema", json, true, "a string");
}

static void
parse_document(struct pv_config *config, json_t *root, struct pv_diag *diag)
{
	pv_options_init(pv_config_options, &config->settings);
	pv_options_parse(pv_config_options, &config->settings, root, "", sections, diag);
	if (!json_is_object(root))
		return;
	check_name(config, diag);
	check_schema_key(json_object_get(root, "$schema"), diag);
	pv_config_parse_plugins(config, json_object_get(root, "plugins"), diag);
	pv_config_parse_workers(config, json_object_get(root, "workers"), diag);
	pv_config_parse_ports(config, json_object_get(root, "ports"), diag);
	pv_config_parse_stages(config, json_object_get(root, "stages"), true, diag);
}

static json_t *
parse_json(const char *text, struct pv_diag *diag)
{
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (root == NULL)
		pv_diag_add_line(diag, error.line, "%s", error.text);
	return root;
}

struct pv_config *
pv_config_parse(const char *file, const char *text, struct pv_diag **diag)
{
	struct pv_config *config = calloc(1, sizeof(*config));
	json_t *root;

	*diag = pv_diag_new(file, text);
	root = config != NULL && *diag != NULL ? parse_json(text, *diag) : NULL;
	if (root != NULL) {
		config->path = strdup(file);
		parse_document(config, root, *diag);
		json_decref(root);
	}
	if (root == NULL || pv_diag_count(*diag) > 0) {
		pv_config_free(config);
		return NULL;
	}
	return config;
}

struct pv_config *
pv_config_read(const char *path)
{
	struct pv_diag *diag = pv_diag_new(path, NULL);
	struct pv_config *config = NULL;
	char *found, *text;

	if (diag == NULL)
		return NULL;
	found = pv_config_load_file(path, &text, diag);
	if (found != NULL) {
		pv_diag_free(diag);
		config = pv_config_parse(found, text, &diag);
		free(text);
		free(found);
	}
	if (diag != NULL)
		pv_diag_print(diag, stderr);
	pv_diag_free(diag);
	return config;
}

void
pv_config_free(struct pv_config *config)
{
	if (config == NULL)
		return;
	pv_config_free_stages(config);
	pv_config_free_ports(config);
	pv_config_free_plugins(config);
	pv_options_clear(pv_config_options, &config->settings);
	free(config->path);
	free(config);
}

struct pv_config *
pv_config_with_stages(const struct pv_config *config, json_t *stages, struct pv_diag *diag)
{
	struct pv_config *variant = malloc(sizeof(*variant));

	if (variant == NULL)
		return NULL;
	*variant = *config;
	variant->stages = NULL;
	variant->n_stages = 0;
	pv_config_parse_stages(variant, stages, false, diag);
	return variant;
}

void
pv_config_free_variant(struct pv_config *variant)
{
	if (variant == NULL)
		return;
	pv_config_free_stages(variant);
	free(variant);
}

char *
pv_config_control_socket(const struct pv_config *config)
{
	char *path;

	if (config->settings.control_socket != NULL)
		return strdup(config->settings.control_socket);
	return asprintf(&path, "/run/pktvirt/%s.ctl", config->settings.name) >= 0 ? path : NULL;
}
