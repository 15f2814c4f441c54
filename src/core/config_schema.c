/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON Schema (draft 2020-12) of a configuration, made from the tables that parse it. */
#include "core/config_parts.h"

static json_t *
array_schema(json_t *items, size_t min, size_t max)
{
	return json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items", items, "minItems", (json_int_t)min,
			 "maxItems", (json_int_t)max);
}

static json_t *
workers_schema(void)
{
	json_t *cpu = json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
	json_t *schema = array_schema(cpu, 1, PV_WORKERS_MAX);

	json_object_set_new(schema, "uniqueItems", json_true());
	json_object_set_new(schema, "description",
			    json_string("host CPUs that the workers run on; the last one unless "
					"given"));
	return schema;
}

/* A port is an object with the common options and the key of exactly one type. */
static json_t *
port_schema(void)
{
	json_t *schema = pv_options_schema(pv_config_port_options);
	json_t *properties = json_object_get(schema, "properties");
	json_t *one_of = json_array();

	json_object_del(json_object_get(properties, "role"), "default");
	for (size_t i = 0; pv_port_types[i] != NULL; i++) {
		const struct pv_port_type *type = pv_port_types[i];
		json_t *options = pv_options_schema(type->options);

		json_object_set_new(options, "description", json_string(type->summary));
		json_object_set_new(properties, type->name, options);
		json_array_append_new(one_of, json_pack("{s:[s]}", "required", type->name));
	}
	json_object_set_new(schema, "oneOf", one_of);
	return schema;
}

/* A stage is its name, or an object with one key, which is its name. */
static json_t *
stage_schema(void)
{
	json_t *names = json_array(), *properties = json_object();

	for (size_t i = 0; i < pv_stage_count(); i++) {
		const struct pv_stage *stage = pv_stage_get(i);
		json_t *options = pv_options_schema(stage->options);

		json_object_set_new(options, "description", json_string(stage->summary));
		json_object_set_new(properties, stage->name, options);
		json_array_append_new(names, json_string(stage->name));
	}
	return json_pack("{s:[{s:o}, {s:s, s:o, s:b, s:i, s:i}]}", "oneOf", "enum", names, "type", "object",
			 "properties", properties, "additionalProperties", 0, "minProperties", 1, "maxProperties", 1);
}

static json_t *
plugins_schema(void)
{
	return json_pack("{s:s, s:{s:s, s:i}, s:s}", "type", "array", "items", "type", "string", "minLength", 1,
			 "description", "shared objects with more stages");
}

json_t *
pv_config_schema(void)
{
	json_t *schema = pv_options_schema(pv_config_options);
	json_t *properties = json_object_get(schema, "properties");

	json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(schema, "title", json_string("pktvirt configuration"));
	json_object_set_new(properties, "$schema", json_pack("{s:s}", "type", "string"));
	json_object_set_new(properties, "$bindings", json_object());
	json_object_set_new(properties, "workers", workers_schema());
	json_object_set_new(properties, "ports", array_schema(port_schema(), 1, PV_PORTS_MAX));
	json_object_set_new(properties, "plugins", plugins_schema());
	json_object_set_new(properties, "stages", json_pack("{s:s, s:o}", "type", "array", "items", stage_schema()));
	json_array_append_new(json_object_get(schema, "required"), json_string("ports"));
	return schema;
}
