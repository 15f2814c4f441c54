/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtio-net device is asked besides frames: commands on its control queue (virtio 1.2, 5.1.6.5) and its
 * configuration space (5.1.4). QEMU and virtio-user answer both themselves; User-mode Linux has no device model, so its
 * driver asks us, and waits for the answer to a command without looking away.
 *
 * The switch filters nothing that it delivers to a port: a guest gets what its neighbours send to it, and what is sent
 * to everybody. So receive modes, address tables and VLANs are taken note of, or not even that, and granted. What has
 * an effect is the number of queue pairs.
 *
 * One worker serves the queue. All else is read from anywhere.
 */
#ifndef PV_VIO_CONTROL_QUEUE_H
#define PV_VIO_CONTROL_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "vio/virtqueue.h"

struct pv_control {
	/* The device. */
	uint16_t pairs_max; /* queue pairs */
	uint16_t mtu;
	struct pv_mac mac;	  /* the one address that the guest may have, or not set */
	_Atomic uint16_t *active; /* where the number of queue pairs in use is told, or NULL */

	/* What the guest chose. */
	_Atomic bool multiqueue;  /* VIRTIO_NET_F_MQ was negotiated */
	_Atomic uint16_t pairs;	  /* in use: 1 until it asks for more */
	_Atomic uint8_t modes;	  /* 1 << VIRTIO_NET_CTRL_RX_… for each that is on */
	_Atomic uint64_t address; /* that it has set; 0: none */

	_Atomic uint64_t commands; /* answered, */
	_Atomic uint64_t refused;  /* those answered with VIRTIO_NET_ERR, or not at all: there was no room for it */
};

/* A device of up to `pairs` queue pairs, which are told in *active as the guest takes them into use. */
void pv_control_init(struct pv_control *control, uint16_t pairs, uint32_t mtu, const struct pv_mac *mac,
		     _Atomic uint16_t *active);

/* Another guest comes: as after init. Not while the queue is served. */
void pv_control_reset(struct pv_control *control);

/* Which ring of the device its control queue is (virtio 1.2, 5.1.2). */
static inline uint16_t
pv_control_ring(uint16_t pairs, bool multiqueue)
{
	return multiqueue ? 2 * pairs : 2;
}

/*
 * Answers a few commands. Returns how many chains were given back and published; -EAGAIN when there is none that does
 * not have to wait for the IOTLB (queue->missing). A queue that breaks the rules is stopped (queue->stopped).
 */
int pv_control_serve(struct pv_control *control, struct pv_virtqueue *queue);

/*
 * Copies the configuration space (struct virtio_net_config) from `offset` on; zeros where it ends. A field means
 * something when its feature was negotiated (5.1.4).
 */
void pv_control_read_config(const struct pv_control *control, uint32_t offset, void *to, uint32_t size);

#endif
