/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections of vhost-user ports (vhost_session.c), as the port's own half (vhost_user.c) sees them. */
#ifndef PV_VIO_VHOST_SESSION_H
#define PV_VIO_VHOST_SESSION_H

#include <rte_vhost.h>

#include "vio/vhost_user.h"

/* What the library calls for a port's socket. */
extern const struct rte_vhost_device_ops pv_vhost_session_ops;

/* Makes a port known by its socket, before the library may call for it. */
void pv_vhost_session_add(struct pv_vhost *vhost);

/* Goes over to what `env` says, between the other two (struct pv_port_type: rebind, begin_rebind, end_rebind). */
void pv_vhost_session_rebind(struct pv_vhost *vhost, const struct pv_port_env *env);
void pv_vhost_session_begin_rebind(struct pv_vhost *vhost);
void pv_vhost_session_end_rebind(struct pv_vhost *vhost);

/* As struct pv_port_type has it. */
void pv_vhost_session_set_granted(struct pv_vhost *vhost, bool granted);

/* Forgets it and its guest, after the library has let go of the socket. What outlives us of the guest stays. */
void pv_vhost_session_remove(struct pv_vhost *vhost);

#endif
