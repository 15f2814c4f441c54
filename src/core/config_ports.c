/* SPDX-License-Identifier: BSD-3-Clause */
/* "ports": the list of ports, each of one type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_parts.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define TYPES_MAX 16

const struct pv_option pv_config_port_options[] = {
	PV_OPTION_STRING_REQUIRED(struct pv_config_port, name, "name", 1, PV_PORT_NAME_MAX - 1,
				  "name of the port: letters, digits, \".\", \"_\" and \"-\""),
	PV_OPTION_MAC(struct pv_config_port, mac, "mac", "the only address behind this port, which no other may use"),
	PV_OPTION_UINT(struct pv_config_port, mtu, "mtu", 68, 9000, 1500,
		       "largest packet in bytes, without its Ethernet "
		       "header"),
	PV_OPTION_UINT(struct pv_config_port, weight, "weight", 1, 1000, 1,
		       "share of what contexts send, beside the weights of the others (multi-context-demux)"),
	PV_OPTION_UINT(struct pv_config_port, rate_limit_mbps, "rate-limit-mbps", 0, 1000000, 0,
		       "most that the context sends, in Mb/s; 0: no limit (multi-context-demux)"),
	PV_OPTION_UINT(struct pv_config_port, vlan, "vlan", 0, 4094, 0,
		       "VLAN of the guest, whose tag its frames carry on wires only; 0: none (multi-context-demux)"),
	PV_OPTION_ENUM(struct pv_config_port, role, "role", pv_role_names, PV_ROLE_GUEST,
		       "which hooks its packets pass; the type's own unless given"),
	PV_OPTION_END,
};

/* The names of the types, NULL-terminated. */
static const char *const *
type_names(void)
{
	static const char *names[TYPES_MAX + 1];

	for (size_t i = 0; i < TYPES_MAX && pv_port_types[i] != NULL; i++)
		names[i] = pv_port_types[i]->name;
	return names;
}

static void
join_types(char *text, size_t size)
{
	size_t length = 0;

	for (size_t i = 0; pv_port_types[i] != NULL && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s", i > 0 ? ", " : "",
					   pv_port_types[i]->name);
}

static bool
has_unknown_key(json_t *json)
{
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
		if (pv_option_find(pv_config_port_options, key) == NULL && pv_port_type_find(key) == NULL)
			return true;
	return false;
}

/* The one type that a port is given; NULL after saying what is wrong with it. */
static const struct pv_port_type *
find_type(json_t *json, const char *path, struct pv_diag *diag)
{
	const struct pv_port_type *type = NULL;
	char names[256];

	join_types(names, sizeof(names));
	for (size_t i = 0; pv_port_types[i] != NULL; i++) {
		if (json_object_get(json, pv_port_types[i]->name) == NULL)
			continue;
		if (type != NULL) {
			pv_diag_add(diag, path, "\"%s\" and \"%s\": expected one type of: %s", type->name,
				    pv_port_types[i]->name, names);
			return NULL;
		}
		type = pv_port_types[i];
	}
	/* A misspelled type has been reported as an unknown key. */
	if (type == NULL && !has_unknown_key(json))
		pv_diag_add(diag, path, "no type: expected one of: %s", names);
	return type;
}

static void
parse_type_options(struct pv_config_port *port, json_t *json, const char *path, struct pv_diag *diag)
{
	const struct pv_port_type *type = port->type;
	size_t before = pv_diag_count(diag);
	char where[PV_PATH_MAX];

	port->options = calloc(1, type->options_size + 1);
	if (port->options == NULL) {
		pv_diag_add(diag, path, "out of memory");
		return;
	}
	pv_path_member(where, path, type->name);
	pv_options_init(type->options, port->options);
	pv_options_parse(type->options, port->options, json_object_get(json, type->name), where, NULL, diag);
	if (type->check != NULL && pv_diag_count(diag) == before)
		type->check(port->options, where, diag);
}

static bool
has_name_characters(const char *name)
{
	return name[strspn(name, NAME_CHARACTERS)] == '\0';
}

static void
check_name(const struct pv_config_port *port, const char *path, struct pv_diag *diag)
{
	char where[PV_PATH_MAX];

	if (port->name != NULL && !has_name_characters(port->name))
		pv_diag_add(diag, pv_path_member(where, path, "name"),
			    "\"%s\": expected letters, digits, \".\", \"_\" and \"-\"", port->name);
}

static void
check_mac(const struct pv_config_port *port, const char *path, struct pv_diag *diag)
{
	static const uint8_t zero[6];
	char where[PV_PATH_MAX], text[18];

	if (!port->mac.set || ((port->mac.bytes[0] & 1) == 0 && memcmp(port->mac.bytes, zero, sizeof(zero)) != 0))
		return;
	pv_mac_format(port->mac.bytes, text);
	pv_diag_add(diag, pv_path_member(where, path, "mac"), "\"%s\": expected a unicast address", text);
}

static void
check_same_name(const struct pv_config_port *port, const struct pv_config_port *other, const char *called,
		const char *path, struct pv_diag *diag)
{
	char where[PV_PATH_MAX];

	if (port->name != NULL && other->name != NULL && strcmp(port->name, other->name) == 0)
		pv_diag_add(diag, pv_path_member(where, path, "name"), "\"%s\": already the name of %s", port->name,
			    called);
}

static void
check_same_mac(const struct pv_config_port *port, const struct pv_config_port *other, const char *called,
	       const char *path, struct pv_diag *diag)
{
	char where[PV_PATH_MAX], text[18];

	if (!port->mac.set || !other->mac.set ||
	    memcmp(port->mac.bytes, other->mac.bytes, sizeof(port->mac.bytes)) != 0)
		return;
	pv_mac_format(port->mac.bytes, text);
	pv_diag_add(diag, pv_path_member(where, path, "mac"), "\"%s\": already the mac of %s", text, called);
}

/* The value of a unique option of a port, or NULL. */
static const char *
unique_value(const struct pv_config_port *port, const char *name)
{
	const struct pv_option *option = port->options != NULL ? pv_option_find(port->type->options, name) : NULL;

	if (option == NULL || !option->unique)
		return NULL;
	return *(char *const *)((const char *)port->options + option->offset);
}

/* Unique options of one name are compared whatever the types of the ports. */
static void
check_same_options(const struct pv_config_port *port, const struct pv_config_port *other, const char *called,
		   const char *path, struct pv_diag *diag)
{
	char type_path[PV_PATH_MAX], where[PV_PATH_MAX];

	if (port->type == NULL || port->type->options == NULL)
		return;
	pv_path_member(type_path, path, port->type->name);
	for (const struct pv_option *option = port->type->options; option->name != NULL; option++) {
		const char *ours = unique_value(port, option->name), *theirs = unique_value(other, option->name);

		if (ours != NULL && theirs != NULL && strcmp(ours, theirs) == 0)
			pv_diag_add(diag, pv_path_member(where, type_path, option->name),
				    "\"%s\": already the %s of %s", ours, option->name, called);
	}
}

/* What the ports of `config` have must not be had twice. Those that run are called by their names, not their places. */
static void
check_same(const struct pv_config *config, bool run, const struct pv_config_port *port, const char *path,
	   struct pv_diag *diag)
{
	char called[PV_PORT_NAME_MAX + 16];

	for (size_t i = 0; i < config->n_ports; i++) {
		const struct pv_config_port *other = &config->ports[i];

		if (run)
			snprintf(called, sizeof(called), "port \"%s\"", other->name);
		else
			snprintf(called, sizeof(called), "ports[%zu]", i);
		check_same_name(port, other, run ? "a port" : called, path, diag);
		check_same_mac(port, other, called, path, diag);
		check_same_options(port, other, called, path, diag);
	}
}

static void
parse_port(json_t *json, const char *path, struct pv_config_port *port, struct pv_diag *diag)
{
	pv_options_init(pv_config_port_options, port);
	pv_options_parse(pv_config_port_options, port, json, path, type_names(), diag);
	port->type = json_is_object(json) ? find_type(json, path, diag) : NULL;
	if (port->type != NULL) {
		parse_type_options(port, json, path, diag);
		if (json_object_get(json, "role") == NULL)
			port->role = port->type->role;
	}
	check_name(port, path, diag);
	check_mac(port, path, diag);
}

void
pv_config_parse_ports(struct pv_config *config, json_t *json, struct pv_diag *diag)
{
	size_t n = json_array_size(json), i;
	char accepts[64];
	json_t *item;

	snprintf(accepts, sizeof(accepts), "an array of 1 to %d ports", PV_PORTS_MAX);
	if (json == NULL) {
		pv_diag_add(diag, "ports", "missing: expected %s", accepts);
		return;
	}
	if (n == 0 || n > PV_PORTS_MAX) {
		pv_option_refuse(diag, "ports", json, !json_is_array(json), accepts);
		return;
	}
	config->ports = calloc(PV_PORTS_MAX, sizeof(*config->ports));
	if (config->ports == NULL) {
		pv_diag_add(diag, "ports", "out of memory");
		return;
	}
	json_array_foreach(json, i, item) {
		char path[PV_PATH_MAX];

		snprintf(path, sizeof(path), "ports[%zu]", i);
		parse_port(item, path, &config->ports[i], diag);
		check_same(config, false, &config->ports[i], path, diag);
		config->n_ports++;
	}
}

const char *
pv_config_port_path(const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	bool is_good = name != NULL && name[0] != '\0' && strlen(name) < PV_PORT_NAME_MAX && has_name_characters(name);

	return is_good ? name : "port";
}

void
pv_config_parse_port(const struct pv_config *config, json_t *json, struct pv_config_port *port, struct pv_diag *diag)
{
	memset(port, 0, sizeof(*port));
	parse_port(json, pv_config_port_path(json), port, diag);
	check_same(config, true, port, pv_config_port_path(json), diag);
}

void
pv_config_free_port(struct pv_config_port *port)
{
	if (port->options != NULL)
		pv_options_clear(port->type->options, port->options);
	free(port->options);
	pv_options_clear(pv_config_port_options, port);
}

void
pv_config_free_ports(struct pv_config *config)
{
	for (size_t i = 0; i < config->n_ports; i++)
		pv_config_free_port(&config->ports[i]);
	free(config->ports);
}
