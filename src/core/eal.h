/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_CORE_EAL_H
#define PV_CORE_EAL_H

#include "core/config.h"

/*
 * Starts EAL with arguments made from the configuration: an lcore per worker on its CPU and one for the main thread on
 * all CPUs, hugepages when enough are free and plain memory with one warning line otherwise, PCI only when a port needs
 * it, nothing left in a file system. `extra` (n of them) follow, so they win. 0, or -errno after saying why.
 */
int pv_eal_start(const struct pv_config *config, char *const *extra, int n_extra);

void pv_eal_stop(void);

#endif
