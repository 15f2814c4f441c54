/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin with a new stage and one of a name that another plugin has. */
#include "core/stage.h"

static const char *
bind_nothing(const void *options)
{
	return "nothing";
}

static const struct pv_stage fresh = { .name = "test-fresh", .primitive = "test-nothing", .bind = bind_nothing };
static const struct pv_stage again = { .name = "test-good", .primitive = "test-nothing", .bind = bind_nothing };
PV_PLUGIN(&fresh, &again);
