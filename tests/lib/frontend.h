/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vhost-user frontend for tests, with a virtio-net driver in it: it speaks the protocol ("Vhost-user Protocol",
 * QEMU's documentation) and drives split and packed rings (virtio 1.2, 2.7 and 2.8) in memory that it shares. It needs
 * neither a kernel nor DPDK, and one thread: nothing happens but inside of these calls.
 *
 * It is a suspicious driver. All that the device writes is compared with what it may write: ids that were not
 * outstanding, more bytes than a buffer has, a wrong order, bytes outside of what it says it wrote, descriptors that
 * it changed, headers that promise what was not negotiated. The first such thing is kept: frontend_complaint().
 *
 * Calls that return int return 0 or -errno, unless they say otherwise; -EPROTO with a complaint.
 */
#ifndef TESTS_LIB_FRONTEND_H
#define TESTS_LIB_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRONTEND_BIT(n) (1ULL << (n))
#define FRONTEND_F_PROTOCOL 30 /* VHOST_USER_F_PROTOCOL_FEATURES */
#define FRONTEND_F_LOG_ALL 26  /* VHOST_F_LOG_ALL */

/* Features of the protocol ("Protocol features"). */
enum {
	FRONTEND_PROTOCOL_MQ = 0,
	FRONTEND_PROTOCOL_LOG_SHMFD = 1,
	FRONTEND_PROTOCOL_REPLY_ACK = 3,
	FRONTEND_PROTOCOL_BACKEND_REQ = 5,
	FRONTEND_PROTOCOL_INFLIGHT_SHMFD = 12,
};

#define FRONTEND_PAIRS_MAX 8
#define FRONTEND_PIECES_MAX 14 /* of a buffer, without its header */
#define FRONTEND_FRAME_MAX 9216

/* How the guest's memory is laid out. Its pieces are regions of the memory table. */
enum frontend_memory {
	FRONTEND_MEMORY_ONE,	  /* one region */
	FRONTEND_MEMORY_HOLES,	  /* three, with holes between them */
	FRONTEND_MEMORY_MANY,	  /* eight, each a file of its own */
	FRONTEND_MEMORY_TOUCHING, /* eight that touch for the guest and nowhere else: buffers lie across their borders
				   */
	FRONTEND_MEMORY_SKEWED,	  /* two in one file, all of their three addresses different */
	FRONTEND_MEMORIES,
};

/* Where the virtio-net header of a buffer is. */
enum frontend_header {
	FRONTEND_HEADER_TOGETHER, /* in one descriptor with the first data */
	FRONTEND_HEADER_APART,	  /* in a descriptor of its own */
	FRONTEND_HEADER_HALVED,	  /* over two descriptors, the second of which has data, too */
};

/* How a buffer is described. */
struct frontend_chain {
	enum frontend_header header;
	uint8_t pieces; /* descriptors that the data is spread over, 1 to FRONTEND_PIECES_MAX */
	bool indirect;	/* in a table of its own; needs the feature */
};

struct frontend_setup {
	const char *socket; /* path */
	bool listens;	    /* on it, for a port that connects */
	bool owner_first;   /* begin with SET_OWNER, as User-mode Linux, not with GET_FEATURES, as QEMU */
	uint64_t features;  /* virtio features to ask for; FRONTEND_F_PROTOCOL, too, if it is to be negotiated */
	uint64_t protocol;  /* features of the protocol to ask for */
	enum frontend_memory memory;
	uint16_t queue_pairs;
	uint16_t ring_size;
	struct frontend_chain transmit, receive;
	uint32_t receive_bytes;	       /* size of a receive buffer, its header included */
	bool num_buffers_unset;	       /* the device is excused from setting num_buffers without mergeable buffers */
	uint32_t deadline_s;	       /* for an answer; 0 means 20 */
	void (*log)(const char *line); /* told of messages, for debugging; may be NULL */
};

struct frontend;
struct frontend_ring;

/* Connects, or listens and waits for the connection, and maps the memory. NULL with errno set. */
struct frontend *frontend_new(const struct frontend_setup *setup);
/* Ends the connection, if it is still there, and frees everything. */
void frontend_free(struct frontend *frontend);

/*
 * Does what a frontend does until its guest has a network. The rings start with all of the receive buffers offered.
 * Afterwards the device has seen all messages. -ENOTSUP when a feature that was asked for is not offered.
 */
int frontend_attach(struct frontend *frontend);
/* Of the features that the setup asks for, those that the device did not offer; after frontend_attach(). */
uint64_t frontend_not_offered(const struct frontend *frontend);
uint64_t frontend_protocol_not_offered(const struct frontend *frontend);
/* Takes the rings back and ends the connection. Checks the ring bases that the device tells. */
int frontend_detach(struct frontend *frontend);

/* What the device has done wrong first, or NULL. */
const char *frontend_complaint(const struct frontend *frontend);

/* Takes the rings back (GET_VRING_BASE): what the device has used until then is to be collected still. */
int frontend_stop_rings(struct frontend *frontend);
/* Gives the rings to the device, from where it had stopped. */
int frontend_start_rings(struct frontend *frontend);
/* Enables or disables the rings of a queue pair (SET_VRING_ENABLE), and waits until the device has done so. */
int frontend_enable_pair(struct frontend *frontend, uint16_t pair, bool enable);

/* While the rings are stopped: puts all memory elsewhere but for the guest, and tells the device. */
int frontend_move_memory(struct frontend *frontend);
/* Adds a region, and tells the device. Every buffer that is offered from now on lies in it. */
int frontend_plug_memory(struct frontend *frontend);

/* Handles messages of the device, if there are any: on its own channel, or the end of the connection. */
int frontend_service(struct frontend *frontend);

/* --- Frames --- */

/*
 * Makes a frame available to the device on the transmit ring of a queue pair. False when the ring has no room for it
 * now. The device sees it at once.
 */
bool frontend_send(struct frontend *frontend, uint16_t pair, const void *frame, uint32_t length);

/*
 * Takes the next frame out of the receive ring of a queue pair, and offers its buffers again. Returns the frame's
 * length, without header, 0 when there is none, or -EPROTO. `frame` has room for FRONTEND_FRAME_MAX.
 */
int frontend_receive(struct frontend *frontend, uint16_t pair, void *frame);

/* Takes back transmit buffers that the device has used. Returns how many, or -EPROTO. */
int frontend_reclaim(struct frontend *frontend, uint16_t pair);

/* How many frames of `length` bytes the device has buffers for, at least, on that ring. */
uint32_t frontend_room(const struct frontend *frontend, uint16_t pair, uint32_t length);

/* --- Rings --- */

struct frontend_ring *frontend_transmit_ring(struct frontend *frontend, uint16_t pair);
struct frontend_ring *frontend_receive_ring(struct frontend *frontend, uint16_t pair);

/* A buffer that the device has used. */
struct frontend_used {
	uint16_t slot;	 /* which of the ring's buffers */
	uint32_t length; /* bytes that the device says it wrote */
};

/* Buffers that are the device's now. */
uint16_t frontend_ring_outstanding(const struct frontend_ring *ring);
/* Buffers that the device has used, in all. */
uint64_t frontend_ring_used(const struct frontend_ring *ring);

/* Offers a frame, with its header before it, or an empty buffer. `chain` is not checked. False when there is no room.
 */
bool frontend_ring_offer_tx(struct frontend_ring *ring, const void *frame, uint32_t length,
			    const struct frontend_chain *chain);
bool frontend_ring_offer_rx(struct frontend_ring *ring, uint32_t bytes, const struct frontend_chain *chain);
/* Takes what the device has used, at most `room`. Returns how many, or -EPROTO. */
int frontend_ring_collect_used(struct frontend_ring *ring, struct frontend_used *used, uint32_t room);

/* When the device is to call (virtio 1.2, 2.7.7 and 2.8.10). */
void frontend_ring_call_never(struct frontend_ring *ring);
/* For each buffer; with EVENT_IDX for the next one only. */
void frontend_ring_call_next(struct frontend_ring *ring);
/* With EVENT_IDX: when it uses the buffer that comes after `skipped` others, all of one descriptor. */
void frontend_ring_call_after(struct frontend_ring *ring, uint16_t skipped);
/* How often the device has called, since the last question. */
uint64_t frontend_ring_calls(struct frontend_ring *ring);

/* --- Migration --- */

/* Begins to log what the device writes: SET_LOG_BASE, VHOST_F_LOG_ALL, used rings with VHOST_VRING_F_LOG. */
int frontend_start_log(struct frontend *frontend);
/* Ends it. */
int frontend_stop_log(struct frontend *frontend);
/*
 * Compares the log with what was written: all of those pages must be in it, and no page that the device had no reason
 * to write. Complains, or returns the number of pages that were written, and begins anew with an empty log.
 */
int frontend_check_log(struct frontend *frontend);

/* --- IOTLB (VIRTIO_F_ACCESS_PLATFORM) --- */

/* Makes the device forget all translations; it asks for them again. */
int frontend_invalidate_all(struct frontend *frontend);
/* Translations that the device has asked for, in all. */
uint64_t frontend_misses(const struct frontend *frontend);

/* --- In-flight tracking ("Inflight I/O tracking") --- */

/* Gets the region from the device and gives it back, as QEMU does. Called by frontend_attach() when negotiated. */
int frontend_share_inflight(struct frontend *frontend);
/* Buffers of the ring that the region says are in flight, or -EPROTO. */
int frontend_inflight(struct frontend *frontend, const struct frontend_ring *ring);
/* How a device that is gone had worked. */
enum frontend_gone {
	FRONTEND_GONE_IN_ORDER = 0,
	FRONTEND_GONE_OUT_OF_ORDER = 1, /* it had used every second buffer that it had fetched, not the first half */
	FRONTEND_GONE_TORN = 2,		/* it had used the last of these, and had not said so in the region */
};
/* Whether such a device had used the buffer that was offered as number `order`, of `fetched`. */
bool frontend_gone_used(uint16_t order, uint16_t fetched, unsigned int gone);
/* Before frontend_attach(), for a split ring: makes it so for the first `fetched` buffers that were offered. */
int frontend_fake_inflight(struct frontend *frontend, struct frontend_ring *ring, uint16_t fetched, unsigned int gone);

#endif
