/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin with two stages of one name. */
#include "core/stage.h"

static const char *
bind_nothing(const void *options)
{
	return "nothing";
}

static const struct pv_stage one = { .name = "test-twice", .primitive = "test-nothing", .bind = bind_nothing };
static const struct pv_stage two = { .name = "test-twice", .primitive = "test-nothing", .bind = bind_nothing };
PV_PLUGIN(&one, &two);
