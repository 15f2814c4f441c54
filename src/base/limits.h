/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits that all parts share. */
#ifndef PV_BASE_LIMITS_H
#define PV_BASE_LIMITS_H

#define PV_PORTS_MAX 512 /* port ids, and so mbuf->port, are below this */
#define PV_BURST_MAX 64	 /* packets that a port hands over at once */

#endif
