/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PKTVIRT_CTL_TOP_H
#define PKTVIRT_CTL_TOP_H

/*
 * Shows the daemon's rates on the terminal, a sample every `interval_ms`, until the user has enough. A daemon that goes
 * away is waited for. Returns an exit status.
 */
int top_run(const char *path, int interval_ms);

#endif
