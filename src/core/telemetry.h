/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_CORE_TELEMETRY_H
#define PV_CORE_TELEMETRY_H

struct pv_datapath;

/*
 * Registers /pktvirt/ports, /stages, /workers, /fdb and /config with DPDK's telemetry, for dpdk-telemetry.py.
 * `datapath` stays the caller's; pv_telemetry_show(NULL) before it goes.
 */
int pv_telemetry_start(const struct pv_datapath *datapath);

/* Tells of another data path from now on, or of none (NULL), for which every question is answered with an error. */
void pv_telemetry_show(const struct pv_datapath *datapath);

#endif
