/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Revocation: shuts a context's guest out at once, until it is granted its context again. Menon, thesis 2009, chapter
 * 5: who gives a guest a context must be able to take it away while the guest goes on.
 *
 * The guest stays connected and its messages are answered, but its port is down: workers have passed a quiescent point,
 * its addresses are forgotten, its rings are given back with their positions, and no packet refers to its memory. A
 * guest that attaches meanwhile stays out, too. Frames that were under way from it have been delivered or dropped;
 * those to it are dropped as `port_down`. When it is granted the context the rings go on where they stood.
 *
 * The port's lock is taken as for a change of stages (struct pv_port_type: set_granted), with the workers running: its
 * message thread may have it, and be waiting for them. On the main thread.
 */
#ifndef PV_CORE_REVOCATION_H
#define PV_CORE_REVOCATION_H

#include <jansson.h>

#include "core/datapath.h"

/* Shuts the guest of that port out. Returns what it has come to, or NULL with the reason in `error`. */
json_t *pv_context_revoke(struct pv_datapath *datapath, const char *name, char *error, size_t size);

/* Lets it in again. The same. */
json_t *pv_context_grant(struct pv_datapath *datapath, const char *name, char *error, size_t size);

#endif
