/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feature policy of vhost-user ports: what is offered to which kind of frontend, and the names of the bits.
 *
 * QEMU is a device model of its own: it serves the control queue and masks what the guest cannot use, so it is offered
 * all that the data path does. User-mode Linux hands the bits straight to the guest's virtio-net driver: that driver
 * waits forever for a control queue that nobody serves, and UML starts packed rings with the wrong wrap counter
 * (it sends ring base 0), so neither is offered to it. virtio-user serves its control queue itself.
 */
#ifndef PV_VIO_VHOST_FEATURES_H
#define PV_VIO_VHOST_FEATURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What stands at the other end of the socket. PV_FRONTEND_AUTO: told from the first messages. */
enum pv_frontend { PV_FRONTEND_AUTO, PV_FRONTEND_UML, PV_FRONTEND_QEMU, PV_FRONTEND_VIRTIO_USER };
extern const char *const pv_frontend_names[];

/* Of `able`, the virtio features that the data path has: those that are offered to a frontend. */
uint64_t pv_vhost_offered(enum pv_frontend frontend, uint64_t able);

/*
 * The answer of `doctor` for each known feature: offered and accepted, by whom it was refused and what to change.
 * `attached` is false while nobody is connected, and then the accepted ones mean nothing. The caller owns it.
 */
json_t *pv_vhost_doctor(enum pv_frontend frontend, uint64_t able, uint64_t offered, uint64_t accepted,
			uint64_t offered_protocol, uint64_t accepted_protocol, bool attached);

/* Names of the virtio feature bits in `features`, as a JSON array; the caller owns it. */
json_t *pv_vhost_feature_names(uint64_t features);

#endif
