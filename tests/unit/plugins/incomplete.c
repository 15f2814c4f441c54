/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin whose stage is of neither kind. */
#include "core/stage.h"

static const struct pv_stage stage = { .name = "test-incomplete", .hooks = PV_HOOK_BIT(PV_HOOK_TO_WIRE) };
PV_PLUGIN(&stage);
