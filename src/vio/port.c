/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/port.h"

#include <string.h>

#include "vio/port_types.h"

const char *const pv_role_names[] = { "guest", "wire", NULL };

const struct pv_port_type *const pv_port_types[] = {
	&pv_port_ethdev, &pv_port_raw, &pv_port_tap, &pv_port_vhost_user, NULL,
};

const struct pv_port_type *
pv_port_type_find(const char *name)
{
	for (size_t i = 0; pv_port_types[i] != NULL; i++)
		if (strcmp(pv_port_types[i]->name, name) == 0)
			return pv_port_types[i];
	return NULL;
}
