/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Switching stages while packets flow: the stages of the running configuration are changed, the primitives bound anew,
 * and ports and workers go over to that while every worker is held. Guests stay attached; what arrives meanwhile waits
 * in their rings.
 */
#ifndef PV_CORE_RESTAGE_H
#define PV_CORE_RESTAGE_H

#include <jansson.h>

#include "core/datapath.h"

/*
 * Switches the stage `name`. `wanted` is true (listed), false (not listed), or an object of options to change, which
 * lists it too. A stage that is not listed so far comes with the options and to the place that the configuration file
 * gives it, or with its defaults and to the end. Returns {"held_us", "stages", "primitives"}, which the caller owns; or
 * NULL with the reason in `error`, and nothing has changed. On the main thread.
 */
json_t *pv_restage(struct pv_datapath *datapath, const char *name, const json_t *wanted, char *error, size_t size);

#endif
