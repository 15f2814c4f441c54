/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a frontend may tell the vhost library. rte_vhost trusts messages in more than one place with its own memory or
 * its threads, so each one is checked here before the library sees it: vhost_guard.c says what and why.
 */
#ifndef PV_VIO_VHOST_GUARD_H
#define PV_VIO_VHOST_GUARD_H

#include <stdbool.h>

#include "vio/port.h"
#include "vio/vhost_message.h"

#define PV_VHOST_RINGS_MAX (2 * PV_QUEUES_MAX + 1) /* with a control queue */

/* A ring, as far as the library has been told of it since it was last stopped. */
struct pv_vhost_guard_ring {
	uint32_t size; /* in descriptors; 0: not told */
	uint32_t base;
	bool base_known; /* that `base` is where the library will begin */
	bool addressed;	 /* that `at` was told */
	struct pv_vhost_vring_addr at;
};

/* What must be known of one connection to judge its next message. */
struct pv_vhost_guard {
	uint16_t queues;	   /* queue pairs that the port serves */
	uint16_t rings;		   /* that the frontend may speak of */
	uint64_t offered;	   /* virtio features; the caller changes them when it offers others */
	uint64_t offered_protocol; /* features of the protocol */
	uint64_t features;	   /* accepted */
	uint64_t protocol;
	bool reply_owed;
	uint32_t n_regions; /* 0: no memory yet */
	struct pv_vhost_region regions[PV_VHOST_REGIONS_MAX];
	struct pv_vhost_guard_ring ring[PV_VHOST_RINGS_MAX];
};

/*
 * Begins a connection to a port of `queues` queue pairs (at most PV_QUEUES_MAX), and a control queue if so. `offered`
 * and `offered_protocol` are what the library would accept.
 */
void pv_vhost_guard_init(struct pv_vhost_guard *guard, uint16_t queues, bool control_queue, uint64_t offered,
			 uint64_t offered_protocol);

/*
 * Judges a message, and remembers it when the library may have it: 0. Else -EPERM, with one line in `why`
 * ("SET_MEM_TABLE: region 1: 0x200000 bytes at offset 0x1000 exceed the file's 0x100000"); the caller then closes the
 * descriptors and ends the connection. Never blocks on what a descriptor refers to. A request that the library does not
 * know is left to it: it refuses those itself.
 */
int pv_vhost_guard(struct pv_vhost_guard *guard, const struct pv_vhost_message *message, char *why, size_t why_size);

/* Makes the message the answer to GET_QUEUE_NUM: the library itself would say 128, whatever the port has. */
void pv_vhost_guard_answer_queue_num(const struct pv_vhost_guard *guard, struct pv_vhost_message *message);

/*
 * What the library fails to do ends the connection, even if the frontend asked for a reply (REPLY_ACK): the library
 * would go on with a device that is half changed, for one with rings in memory that it has unmapped. So the reply is
 * ours: pv_vhost_guard_take_reply(), after pv_vhost_guard(), makes the library believe that none was asked for;
 * pv_vhost_guard_owes_reply(), in post_msg_handle, which is called only when all went well, makes the message the
 * reply and returns true when it is to be sent (RTE_VHOST_MSG_RESULT_REPLY).
 */
void pv_vhost_guard_take_reply(struct pv_vhost_guard *guard, struct pv_vhost_message *message);
bool pv_vhost_guard_owes_reply(struct pv_vhost_guard *guard, struct pv_vhost_message *message);

/* Closes what came with a message that is refused; the library does not. */
void pv_vhost_message_close_fds(struct pv_vhost_message *message);

#endif
