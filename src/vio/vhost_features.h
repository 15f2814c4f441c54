/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feature policy of vhost-user ports: what is offered to which kind of frontend, and the names of the bits.
 *
 * QEMU is a device model of its own: it serves the control queue and masks what the guest cannot use, so it is offered
 * all that the data path does. User-mode Linux hands the bits straight to the guest's virtio-net driver: that driver
 * waits forever for a control queue that nobody serves, and believes a configuration space that nobody tells. So it is
 * offered them where we do both (control_queue.h): on the data path "vio". UML also starts packed rings with the wrong
 * wrap counter (it sends ring base 0), so those are not offered to it. virtio-user begins like UML, serves its control
 * queue itself and takes that feature back out of its answer.
 */
#ifndef PV_VIO_VHOST_FEATURES_H
#define PV_VIO_VHOST_FEATURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

/* What stands at the other end of the socket. PV_FRONTEND_AUTO: told from the first messages. */
enum pv_frontend { PV_FRONTEND_AUTO, PV_FRONTEND_UML, PV_FRONTEND_QEMU, PV_FRONTEND_VIRTIO_USER };
extern const char *const pv_frontend_names[];

/*
 * Features of a device model, for frontends that have none. rte_vhost does not know them: it is not told that they were
 * offered or accepted. "Whose control queue we serve" and "offered one of these" are the same.
 */
#define PV_VHOST_OWN_FEATURES                                                                             \
	(1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_CTRL_VLAN | 1ULL << VIRTIO_NET_F_CTRL_MAC_ADDR | \
	 1ULL << VIRTIO_NET_F_RSC_EXT)

/* Those that a data path with a control queue of ours has; `has_mac`: the port's configuration names an address. */
uint64_t pv_vhost_own_features(bool has_mac);

/*
 * Of `able`, the virtio features of a data path with `queues` pairs: those that are offered to a frontend. Of offloads
 * (vio/offload.h) it is those in `wanted`.
 */
uint64_t pv_vhost_offered(enum pv_frontend frontend, uint64_t able, uint16_t queues, uint64_t wanted);

/*
 * The answer of `doctor` for each known feature: offered and accepted, by whom it was refused and what to change.
 * `attached` is false while nobody is connected, and then the accepted ones mean nothing. The caller owns it.
 */
json_t *pv_vhost_doctor(enum pv_frontend frontend, uint64_t able, uint64_t offered, uint64_t accepted,
			uint64_t offered_protocol, uint64_t accepted_protocol, bool attached);

/* Names of the virtio feature bits in `features`, as a JSON array; the caller owns it. */
json_t *pv_vhost_feature_names(uint64_t features);

#endif
