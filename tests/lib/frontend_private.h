/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the test frontend (frontend.h) share. Addresses are the guest's, but where they say otherwise. */
#ifndef TESTS_LIB_FRONTEND_PRIVATE_H
#define TESTS_LIB_FRONTEND_PRIVATE_H

#include "frontend.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#define PAGE 4096u
#define ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))
#define REGIONS_MAX 9
#define DESCRIPTORS_MAX (FRONTEND_PIECES_MAX + 2) /* of a buffer */
#define TRANSMIT_BYTES 2048u			  /* room of a transmit buffer, its header included */

/* Requests ("Front-end message types", "Back-end message types"). */
enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_BACKEND_REQ_FD = 21,
	IOTLB_MSG = 22,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
	BACKEND_IOTLB_MSG = 1,
};

struct region {
	uint64_t guest;	 /* address */
	uint64_t size;	 /* bytes */
	uint64_t user;	 /* address that the device is told as the frontend's own */
	uint64_t offset; /* in the file */
	uint16_t file;
};

struct piece {
	uint32_t offset; /* in the slot's cell */
	uint32_t length;
};

/* A buffer. What it looks like to the driver is in `shadow`, what it looks like in fact in its cell. */
struct slot {
	uint64_t cell;
	uint64_t table; /* room for an indirect table */
	uint8_t *shadow;
	struct piece pieces[DESCRIPTORS_MAX];
	uint16_t n_pieces;
	uint16_t n_descriptors;			 /* in the ring */
	uint16_t descriptors[DESCRIPTORS_MAX];	 /* of a split ring */
	struct vring_desc told[DESCRIPTORS_MAX]; /* what was written into a split ring's or an indirect table */
	uint64_t order;				 /* how many were offered before */
	uint32_t bytes;				 /* of all pieces */
	bool indirect;
	bool outstanding;
};

/* First in, first out. */
struct fifo {
	uint16_t *item;
	uint32_t *length; /* of the used buffer, or NULL */
	uint16_t size, count, first;
};

struct frontend_ring {
	struct frontend *frontend;
	const struct ring_format *format;
	uint16_t index, size;
	bool receives, in_order, event_idx;
	uint64_t descriptors, driver, device; /* the three areas (virtio 1.2, 2.7 and 2.8) */
	uint64_t device_bytes;
	uint32_t cell_bytes;
	int kick, call;
	struct slot *slots;
	uint16_t *by_order;		/* slot that was offered as number n, modulo size */
	uint16_t *by_head;		/* slot of a split ring's chain */
	struct fifo free_slots;		/* the driver's */
	struct fifo free_descriptors;	/* of a split ring */
	struct fifo ready;		/* used, and not looked at */
	uint64_t offered, used;		/* buffers, in all */
	uint16_t n_free;		/* descriptors */
	uint16_t available_at, used_at; /* places in a packed ring */
	bool available_wrap, used_wrap;
	uint32_t base;		/* as the device told it, to begin from */
	uint16_t fake_inflight; /* buffers that frontend_share_inflight() says a device had fetched */
	unsigned int fake_gone; /* enum frontend_gone */
	uint8_t fill;
};

/* What a split and a packed ring do differently. */
struct ring_format {
	/* Bytes of the areas. */
	uint64_t (*descriptors_bytes)(uint16_t size);
	uint64_t (*driver_bytes)(uint16_t size);
	uint64_t (*device_bytes)(uint16_t size);
	uint32_t first_base;
	/* Writes the descriptors of the slot, and tells the device. */
	void (*offer)(struct frontend_ring *ring, uint16_t slot, bool writable);
	/* Whether the device has used a buffer: its id and length. -EPROTO for a complaint. */
	int (*peek)(struct frontend_ring *ring, uint16_t *id, uint32_t *length);
	/* The slot of an id, or -1. */
	int (*find)(const struct frontend_ring *ring, uint16_t id);
	/* Steps over a used buffer; its descriptors are free again. -EPROTO when the device changed what it may not. */
	int (*pass)(struct frontend_ring *ring, const struct slot *slot);
	/* The base from which a device that has used all that was collected goes on. */
	uint32_t (*base)(const struct frontend_ring *ring);
	void (*call_never)(struct frontend_ring *ring);
	void (*call_after)(struct frontend_ring *ring, uint16_t skipped);
};
extern const struct ring_format frontend_split, frontend_packed;

struct frontend {
	struct frontend_setup setup;
	char path[108];
	int connection, listener, backend; /* descriptors, or -1 */
	uint64_t features, offered, protocol, protocol_offered;
	uint8_t *base; /* our address of the guest's address 0 */
	uint64_t span;
	struct region regions[REGIONS_MAX];
	int files[REGIONS_MAX];
	uint16_t n_regions, n_files;
	uint16_t cursor_region;
	uint64_t cursor, plugged; /* next free address; in the region that was plugged, or 0 */
	struct frontend_ring rings[2 * FRONTEND_PAIRS_MAX];
	uint16_t n_rings;
	uint8_t header_bytes;
	bool attached, logging;
	uint8_t *log, *written; /* bit maps of pages: the device's and ours */
	uint64_t log_bytes;
	uint64_t misses;
	uint8_t *inflight;
	uint64_t inflight_bytes;
	char complaint[256];
};

/* Keeps the first complaint. Returns -EPROTO. */
int frontend_complain(struct frontend *frontend, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* frontend_memory.c */
/* Maps memory with room for `bytes` in pieces that frontend_allocate() is asked for. */
int frontend_map(struct frontend *frontend, uint64_t bytes);
void frontend_unmap(struct frontend *frontend);
/* An address of memory that nobody has; it may lie across two regions that touch if `may_straddle`. */
uint64_t frontend_allocate(struct frontend *frontend, uint64_t bytes, uint64_t alignment, bool may_straddle);
/* Tells the device. */
int frontend_tell_memory(struct frontend *frontend);
/* The address that the device is told as the frontend's own, or 0. */
uint64_t frontend_user_address(const struct frontend *frontend, uint64_t guest);
/* Our address of the guest's. */
static inline void *
frontend_at(const struct frontend *frontend, uint64_t guest)
{
	return frontend->base + guest;
}

/* frontend_socket.c */
int frontend_connect(struct frontend *frontend);
void frontend_disconnect(struct frontend *frontend);
/* Sends a message that has no answer, and does not wait for one of REPLY_ACK either. */
int frontend_tell_only(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes);
/* Sends a message, with descriptors of files, that has no answer but the one of REPLY_ACK. */
int frontend_tell(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes, const int *fds,
		  uint16_t n_fds);
/*
 * Sends a message and waits for its answer, of at most `room` bytes. Returns their number. `fd`, if
 * it is not NULL, is a descriptor to send, or -1, and becomes the one that comes with the answer, or -1.
 */
int frontend_ask(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes, void *answer,
		 uint32_t room, int *fd);
int frontend_open_backend_channel(struct frontend *frontend);

/* frontend_iotlb.c */
#define IOVA_SHIFT (1ULL << 40) /* an address of the guest's I/O space is that far from the guest-physical one */
/* The address that the device finds guest memory at. */
uint64_t frontend_device_address(const struct frontend *frontend, uint64_t guest);
int frontend_answer_miss(struct frontend *frontend, const struct vhost_iotlb_msg *miss);

/* frontend_ring.c */
int frontend_ring_make(struct frontend *frontend, uint16_t index);
void frontend_ring_free(struct frontend_ring *ring);
uint64_t frontend_ring_bytes(const struct frontend *frontend);
int frontend_ring_start(struct frontend_ring *ring);
int frontend_ring_tell_addresses(struct frontend_ring *ring);
int frontend_ring_stop(struct frontend_ring *ring);
/* Moves what the device has used to ring->ready. Returns 0 or -EPROTO. */
int frontend_ring_look(struct frontend_ring *ring);
/* Gives the slot back to the driver. */
void frontend_ring_release(struct frontend_ring *ring, uint16_t slot);
/* Copies `length` bytes, from `from` on, of what is in a used buffer. */
void frontend_ring_read(const struct frontend_ring *ring, uint16_t slot, uint32_t from, void *bytes, uint32_t length);
/* Offers as many receive buffers as there is room for. */
void frontend_ring_fill(struct frontend_ring *ring);

int frontend_fifo_make(struct fifo *fifo, uint16_t size, bool with_lengths);
void frontend_fifo_free(struct fifo *fifo);
void frontend_fifo_put(struct fifo *fifo, uint16_t item, uint32_t length);
uint16_t frontend_fifo_take(struct fifo *fifo, uint32_t *length);

/* frontend_inflight.c */
void frontend_write_inflight(struct frontend_ring *ring);
/* frontend_split.c */
/* Uses the buffer that was offered as number `order`, as a device would. */
void frontend_split_use(struct frontend_ring *ring, uint64_t order);

/* frontend_log.c */
/* Remembers that the device has written there. */
void frontend_log_written(struct frontend *frontend, uint64_t guest, uint64_t bytes);

/* Both sides of a ring see stores in their order. */
static inline uint16_t
load_acquire(const uint16_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static inline void
store_release(uint16_t *to, uint16_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

#endif
