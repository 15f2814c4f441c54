/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_VIO_PORT_TYPES_H
#define PV_VIO_PORT_TYPES_H

#include "vio/port.h"

extern const struct pv_port_type pv_port_ethdev;
extern const struct pv_port_type pv_port_raw;
extern const struct pv_port_type pv_port_tap;
extern const struct pv_port_type pv_port_vhost_user;

#endif
