/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that come and go while the others' packets flow.
 *
 * A port is opened and closed while the workers run, which takes as long as its device does. Only to exchange the
 * queues that they poll and the places of ports are the workers held (core/hold.h), as for a change of the stages: what
 * arrives meanwhile waits in its queue, and no packet is under way.
 *
 * A removed port goes in this order: it is marked down, and no worker uses it any more; with the workers held it loses
 * its place, its queues, all its addresses and what waits for it; it is closed, so that packets which still refer to
 * its guest's memory are waited for while workers get rid of them; its counters are set to 0 for the next port of that
 * id. Ids are used again: when the workers have been held, no packet that came from the port is left but such as wait
 * for another's full queue (core/backlog.h), which nobody asks any more where they came from.
 *
 * The list of ports in the data path's configuration is the one that is shown and that stages are changed with: it is
 * kept in step. Nothing is written to the configuration file.
 *
 * All of it is on the main thread, and telemetry does not look meanwhile.
 *
 * Limits: packet buffers have the size that the ports at the start need, so a port with a larger MTU cannot be added;
 * nor can one for a PCI device, unless there was one at the start.
 */
#ifndef PV_CORE_HOT_PORTS_H
#define PV_CORE_HOT_PORTS_H

#include <jansson.h>

#include "core/datapath.h"

/*
 * Adds the port that `described` says, as in "ports" of a configuration. Returns what it has come to, or NULL with all
 * mistakes, one a line, or the reason in `error`, and nothing left behind.
 */
json_t *pv_port_add(struct pv_datapath *datapath, json_t *described, char *error, size_t size);

/* Removes the port of that name. Returns what has happened, or NULL with the reason in `error`. */
json_t *pv_port_remove(struct pv_datapath *datapath, const char *name, char *error, size_t size);

/*
 * The same for a description that was read, which it takes over, and a port that was found. `held_us` is for how long
 * the workers were held. NULL with the reason in `error`; the description is freed then.
 */
struct pv_port *pv_add_port(struct pv_datapath *datapath, struct pv_config_port *described, uint64_t *held_us,
			    char *error, size_t size);
void pv_remove_port(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us);

#endif
