/* SPDX-License-Identifier: BSD-3-Clause */
/* The effective configuration as JSON. */
#include "core/config_parts.h"

static json_t *
dump_workers(const struct pv_config *config)
{
	json_t *workers = json_array();

	for (size_t i = 0; i < config->n_workers; i++)
		json_array_append_new(workers, json_integer(config->worker_cpus[i]));
	return workers;
}

static json_t *
dump_port(const struct pv_config_port *port)
{
	json_t *json = pv_options_dump(pv_config_port_options, port);

	json_object_set_new(json, port->type->name, pv_options_dump(port->type->options, port->options));
	return json;
}

static json_t *
dump_ports(const struct pv_config *config)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < config->n_ports; i++)
		json_array_append_new(ports, dump_port(&config->ports[i]));
	return ports;
}

static json_t *
dump_stage(const struct pv_config_stage *listed)
{
	if (listed->stage->options == NULL)
		return json_string(listed->stage->name);
	return json_pack("{s:o}", listed->stage->name, pv_options_dump(listed->stage->options, listed->options));
}

static json_t *
dump_stages(const struct pv_config *config)
{
	json_t *stages = json_array();

	for (size_t i = 0; i < config->n_stages; i++)
		json_array_append_new(stages, dump_stage(&config->stages[i]));
	return stages;
}

static json_t *
dump_plugins(const struct pv_config *config)
{
	json_t *plugins = json_array();

	for (size_t i = 0; i < config->n_plugins; i++)
		json_array_append_new(plugins, json_string(config->plugins[i]));
	return plugins;
}

json_t *
pv_config_dump(const struct pv_config *config)
{
	json_t *json = pv_options_dump(pv_config_options, &config->settings);

	json_object_set_new(json, "workers", dump_workers(config));
	json_object_set_new(json, "ports", dump_ports(config));
	json_object_set_new(json, "plugins", dump_plugins(config));
	json_object_set_new(json, "stages", dump_stages(config));
	return json;
}
