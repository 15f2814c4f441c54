/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration as read from JSON: ports and stages with parsed options, checked as far as possible without
 * touching the machine's state. All mistakes of a file are reported in one run.
 */
#ifndef PV_CORE_CONFIG_H
#define PV_CORE_CONFIG_H

#include <jansson.h>
#include <stdint.h>

#include "core/primitive.h"
#include "core/stage.h"
#include "vio/port.h"

#define PV_WORKERS_MAX 16

struct pv_config_port {
	char *name;
	const struct pv_port_type *type;
	void *options; /* of the type */
	uint32_t role; /* enum pv_role; the type's unless given */
	struct pv_mac mac;
	uint32_t mtu;
	uint32_t weight;
	uint32_t rate_limit_mbps;
	uint32_t vlan;
};

struct pv_config_stage {
	const struct pv_stage *stage;
	void *options;
};

/* Scalars of the top level; their table is pv_config_options. */
struct pv_config_settings {
	char *name; /* of this instance: EAL file prefix and default control socket */
	char *description;
	uint32_t baseline;    /* enum pv_baseline */
	char *control_socket; /* NULL: /run/pktvirt/NAME.ctl */
	uint32_t packets;     /* mbufs in the packet pool */
	uint32_t fdb_entries;
	uint32_t fdb_ageing_s;
	uint32_t fdb_port_limit;
	uint32_t idle_sleep_us;
};
extern const struct pv_option pv_config_options[];

struct pv_config {
	char *path; /* the file */
	struct pv_config_settings settings;
	uint16_t worker_cpus[PV_WORKERS_MAX]; /* host CPU of each worker */
	size_t n_workers;
	struct pv_config_port *ports; /* with room for PV_PORTS_MAX */
	size_t n_ports;
	struct pv_config_stage *stages;
	size_t n_stages;
	char **plugins; /* as given; loaded while parsing, since stages may come from them */
	size_t n_plugins;
};

/*
 * Reads `path`. A bare name that is not in the working directory is looked up in configs/ there and then in the
 * installed data directory. Loads the plugins it names. Returns the configuration, or NULL after printing every
 * mistake on standard error.
 */
struct pv_config *pv_config_read(const char *path);

/* The same from text; `file` is the name for messages. The mistakes are left in *diag, which the caller frees. */
struct pv_config *pv_config_parse(const char *file, const char *text, struct pv_diag **diag);

void pv_config_free(struct pv_config *config);

/*
 * The same configuration with another list of stages, whose mistakes are added to `diag`, by the names of stages:
 * nobody has given the list. It refers to `config` for all else, which must outlive it. NULL without memory.
 */
struct pv_config *pv_config_with_stages(const struct pv_config *config, json_t *stages, struct pv_diag *diag);
void pv_config_free_variant(struct pv_config *variant);

/*
 * Reads one port, to stand beside those that `config` has and that run, into *port, and adds its mistakes to `diag` at
 * pv_config_port_path(). What has been read is the caller's, also after a mistake.
 */
void pv_config_parse_port(const struct pv_config *config, json_t *json, struct pv_config_port *port,
			  struct pv_diag *diag);
/* Where mistakes of a port are that stands in no file: its name, or "port" if it has none that is good. */
const char *pv_config_port_path(const json_t *json);
void pv_config_free_port(struct pv_config_port *port);

/* The effective values, defaults included, that pv_config_parse() would read back to the same; caller owns it. */
json_t *pv_config_dump(const struct pv_config *config);

/* The JSON Schema of a configuration with the stages registered now; the caller owns it. */
json_t *pv_config_schema(void);

/* The path of the control socket: as given, or made from the name. Allocated; the caller frees it. */
char *pv_config_control_socket(const struct pv_config *config);

#endif
