/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin that needs a function which pktvirt does not have. */
#include "core/stage.h"

const char *pv_of_a_later_version(const void *options);

static const struct pv_stage stage = { .name = "test-undefined",
				       .primitive = "test-nothing",
				       .bind = pv_of_a_later_version };
PV_PLUGIN(&stage);
