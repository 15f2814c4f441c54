/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_CORE_TELEMETRY_H
#define PV_CORE_TELEMETRY_H

struct pv_datapath;

/*
 * Registers /pktvirt/ports, /stages, /workers, /fdb and /config with DPDK's telemetry, for dpdk-telemetry.py.
 * `datapath` stays the caller's; pv_telemetry_stop() before it goes.
 */
int pv_telemetry_start(const struct pv_datapath *datapath);
void pv_telemetry_stop(void);

#endif
