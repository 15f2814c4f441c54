/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What there is to know about a running data path, as JSON: one source for the control socket and for DPDK's telemetry.
 * Counters are read while the workers write them. Each function returns an object that the caller owns.
 */
#ifndef PV_CORE_REPORT_H
#define PV_CORE_REPORT_H

#include <jansson.h>

#include "core/datapath.h"

/* "up", "down" or "revoked". */
const char *pv_report_state(const struct pv_port *port);

json_t *pv_report_ports(const struct pv_datapath *datapath);
json_t *pv_report_stages(const struct pv_datapath *datapath);
json_t *pv_report_workers(const struct pv_datapath *datapath);
json_t *pv_report_fdb(const struct pv_datapath *datapath);

/* Contexts, in core/report_contexts.c. */
json_t *pv_report_contexts(const struct pv_datapath *datapath);

/* What a worker has done for the contexts and wires that it polls in turns, for `show workers`; 0 where it has none. */
json_t *pv_report_contexts_of(const struct pv_datapath *datapath, const struct pv_worker *worker);

/* The time in nanoseconds that reports carry. */
json_int_t pv_report_now_ns(void);

json_t *pv_report_config(const struct pv_datapath *datapath);

/* Which implementation of each primitive is bound, and why; an array. */
json_t *pv_report_bindings(const struct pv_binding *bindings, size_t n);

/* The answer of `doctor` for one port, or NULL with the reason in `error`. */
json_t *pv_report_doctor(const struct pv_datapath *datapath, const char *port, char *error, size_t size);

/* The port of that name, or NULL with the reason in `error`. */
struct pv_port *pv_report_find_port(const struct pv_datapath *datapath, const char *name, char *error, size_t size);

#endif
