/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's half of one virtqueue (virtio 1.2, 2.7 and 2.8) in plain memory of the test, with pages around it that
 * nobody may touch. It writes what it is told to, right or wrong; the test says what should come of it.
 *
 * The memory is two regions of DRIVER_REGION bytes that touch for the guest and nowhere else: DRIVER_LOW, which has the
 * rings in its beginning, and DRIVER_HIGH right after it. Each is a file, from DRIVER_FILE_OFFSET on.
 */
#ifndef TESTS_LIB_DRIVER_H
#define TESTS_LIB_DRIVER_H

#include "vio/grant.h"
#include "vio/memory.h"
#include "vio/virtqueue.h"

#define DRIVER_REGION 0x200000u
#define DRIVER_LOW 0x10000000u /* guest-physical */
#define DRIVER_HIGH (DRIVER_LOW + DRIVER_REGION)
#define DRIVER_END (DRIVER_HIGH + DRIVER_REGION)
#define DRIVER_FILE_OFFSET 0x5000u
#define DRIVER_TABLES (DRIVER_LOW + 0x100000u)	/* here indirect tables are made */
#define DRIVER_BUFFERS (DRIVER_LOW + 0x180000u) /* from here to DRIVER_END nothing is made */

struct driver {
	struct pv_memory memory;
	struct pv_grant_files files; /* of its regions, in the same order */
	uint16_t size;
	bool packed;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *ring;
	struct vring_packed_desc_event *driver_event, *device_event;
	uint16_t place;		  /* split: next descriptor to be written; packed: the next place */
	uint16_t offered;	  /* split: available index */
	uint16_t taken;		  /* split: used index that the driver has come to; packed: place */
	bool wrap;		  /* packed */
	bool taken_wrap;	  /* packed */
	uint16_t id;		  /* packed: of the next chain */
	uint16_t slots[1u << 15]; /* packed: of the chain with that id */
	uint32_t table;		  /* offset of the next indirect table */
};

/* A descriptor. */
struct driver_buffer {
	uint64_t address;
	uint32_t length;
	uint16_t flags; /* VRING_DESC_F_WRITE; others are written, too */
};

struct driver *driver_new(bool packed, uint16_t size);
void driver_free(struct driver *driver);

/* What the device's half begins with. */
struct pv_virtqueue_setup driver_setup(const struct driver *driver, uint64_t features);

/* Where an address of the guest is; fails the test when it is nowhere. */
uint8_t *driver_at(const struct driver *driver, uint64_t address);

/* Offers a chain of descriptors, linked; returns its id. */
uint16_t driver_offer(struct driver *driver, const struct driver_buffer *buffers, uint16_t n);
/* The same for one buffer. */
uint16_t driver_offer_one(struct driver *driver, uint64_t address, uint32_t length, uint16_t flags);
/* Makes an indirect table of the buffers, linked in a split ring; returns its address. */
uint64_t driver_make_table(struct driver *driver, const struct driver_buffer *buffers, uint16_t n);
/* Offers such a table. */
uint16_t driver_offer_table(struct driver *driver, const struct driver_buffer *buffers, uint16_t n);

/* Takes the next chain that the device has used; false when there is none. */
bool driver_take(struct driver *driver, uint32_t *id, uint32_t *length);

#endif
