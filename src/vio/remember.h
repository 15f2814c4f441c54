/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a port remembers of its guest while it is attached, in a file beside the socket ("vm0.sock.guest"), so that a
 * pktvirt that is started after this one goes on where it was:
 *
 * - the features that the guest negotiated. They are offered again, whatever the configuration says by then: a guest
 *   cannot give back what its driver uses, and its device model would connect and give up for ever.
 * - the place in each packed ring, unless the frontend keeps it (inflight.h): QEMU does not know it when its backend is
 *   gone. It is kept the same way.
 *
 * The file is there from when a guest attaches until its connection ends, and stays when pktvirt ends before the guest.
 * All of it is ours: what is not as we wrote it is not used.
 */
#ifndef PV_VIO_REMEMBER_H
#define PV_VIO_REMEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "vio/inflight.h"
#include "vio/port.h"

/* A ring, by what tells it from another one in the same place. */
struct pv_remembered_ring {
	uint64_t guest; /* guest-physical address of its descriptors */
	uint16_t size;
	uint16_t told; /* base that the frontend began with */
	uint16_t live; /* in use: the place in it is in the journal, not with the frontend */
	struct {
		struct pv_inflight_packed place;
		struct pv_inflight_entry entries[PV_INFLIGHT_ENTRIES];
	} journal;
};

struct pv_remembered {
	uint64_t magic;
	uint64_t features; /* virtio, negotiated */
	struct pv_remembered_ring rings[2 * PV_QUEUES_MAX];
};

/* The features that the guest of this socket had negotiated when pktvirt ended; 0 when nothing is remembered. */
uint64_t pv_remember_features(const char *socket);

/*
 * Maps the file of a socket, which is made if need be. What it says of rings is kept when its guest had the same
 * features. NULL with errno set. Given back by pv_remember_close().
 */
struct pv_remembered *pv_remember_open(const char *socket, uint64_t features);
void pv_remember_close(struct pv_remembered *remembered);

/* Removes the file of a socket: its guest has left. */
void pv_remember_nothing(const char *socket);

#endif
