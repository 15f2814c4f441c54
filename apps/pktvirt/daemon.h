/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PKTVIRT_DAEMON_H
#define PKTVIRT_DAEMON_H

struct pv_config;

/*
 * Runs the switch that a configuration describes until SIGINT or SIGTERM. `eal` are the user's own EAL arguments.
 * Returns the exit status: 0 after a signal, 1 when it could not start. Nothing is left behind either way.
 */
int daemon_run(struct pv_config *config, char *const *eal, int n_eal);

#endif
