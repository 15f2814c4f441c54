/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of the configuration reader; the interface is core/config.h. */
#ifndef PV_CORE_CONFIG_PARTS_H
#define PV_CORE_CONFIG_PARTS_H

#include "core/config.h"

/* Options of every port beside its type, in struct pv_config_port. The default role is the type's. */
extern const struct pv_option pv_config_port_options[];

/*
 * Each reads one key of the top level, `json` (NULL when it is not given), into `config` and adds mistakes to `diag`.
 * What has been read belongs to `config`, also after a mistake.
 */
void pv_config_parse_workers(struct pv_config *config, json_t *json, struct pv_diag *diag);
void pv_config_parse_ports(struct pv_config *config, json_t *json, struct pv_diag *diag);
void pv_config_parse_plugins(struct pv_config *config, json_t *json, struct pv_diag *diag);

/* The same. Mistakes are at the place in the list, or, without `has_places`, named by the stage alone. */
void pv_config_parse_stages(struct pv_config *config, json_t *json, bool has_places, struct pv_diag *diag);

void pv_config_free_ports(struct pv_config *config);
void pv_config_free_stages(struct pv_config *config);
void pv_config_free_plugins(struct pv_config *config);

/*
 * Finds the file that `name` means (see pv_config_read()) and reads it. Returns its path and puts its contents into
 * *text, both allocated; or NULL after adding to `diag` why not.
 */
char *pv_config_load_file(const char *name, char **text, struct pv_diag *diag);

#endif
