/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message of the vhost-user protocol as rte_vhost hands it to pre_msg_handle and post_msg_handle: the message itself
 * ("Message Specification" of the protocol), then the descriptors that came with it. The library declares this only in
 * a header of its own (lib/vhost/vhost_user.h, struct vhu_msg_context), so it is declared again here.
 */
#ifndef PV_VIO_VHOST_MESSAGE_H
#define PV_VIO_VHOST_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <rte_version.h>

/* The payload grows in 25.03, and the descriptors behind it move. */
#if RTE_VERSION >= RTE_VERSION_NUM(25, 3, 0, 0)
#error "struct pv_vhost_message is that of DPDK 22.11 to 24.11: compare it with this one's lib/vhost/vhost_user.h"
#endif

/* "Front-end message types" of the protocol, by their numbers there. */
enum pv_vhost_request {
	PV_VHOST_GET_FEATURES = 1,
	PV_VHOST_SET_FEATURES = 2,
	PV_VHOST_SET_OWNER = 3,
	PV_VHOST_RESET_OWNER = 4,
	PV_VHOST_SET_MEM_TABLE = 5,
	PV_VHOST_SET_LOG_BASE = 6,
	PV_VHOST_SET_LOG_FD = 7,
	PV_VHOST_SET_VRING_NUM = 8,
	PV_VHOST_SET_VRING_ADDR = 9,
	PV_VHOST_SET_VRING_BASE = 10,
	PV_VHOST_GET_VRING_BASE = 11,
	PV_VHOST_SET_VRING_KICK = 12,
	PV_VHOST_SET_VRING_CALL = 13,
	PV_VHOST_SET_VRING_ERR = 14,
	PV_VHOST_GET_PROTOCOL_FEATURES = 15,
	PV_VHOST_SET_PROTOCOL_FEATURES = 16,
	PV_VHOST_GET_QUEUE_NUM = 17,
	PV_VHOST_SET_VRING_ENABLE = 18,
	PV_VHOST_SEND_RARP = 19,
	PV_VHOST_NET_SET_MTU = 20,
	PV_VHOST_SET_BACKEND_REQ_FD = 21,
	PV_VHOST_IOTLB_MSG = 22,
	PV_VHOST_GET_CONFIG = 24,
	PV_VHOST_SET_CONFIG = 25,
	PV_VHOST_CREATE_CRYPTO_SESSION = 26,
	PV_VHOST_CLOSE_CRYPTO_SESSION = 27,
	PV_VHOST_POSTCOPY_ADVISE = 28,
	PV_VHOST_POSTCOPY_LISTEN = 29,
	PV_VHOST_POSTCOPY_END = 30,
	PV_VHOST_GET_INFLIGHT_FD = 31,
	PV_VHOST_SET_INFLIGHT_FD = 32,
	PV_VHOST_ADD_MEM_REG = 37,
	PV_VHOST_REM_MEM_REG = 38,
	PV_VHOST_SET_STATUS = 39,
	PV_VHOST_GET_STATUS = 40,
	PV_VHOST_REQUESTS, /* above the last one */
};

/* pv_vhost_message.flags */
#define PV_VHOST_VERSION_MASK 3u
#define PV_VHOST_VERSION 1u
#define PV_VHOST_FLAG_REPLY (1u << 2)
#define PV_VHOST_FLAG_NEED_REPLY (1u << 3)

/* The payload of SET_VRING_KICK, _CALL and _ERR. */
#define PV_VHOST_VRING_INDEX_MASK 0xffu
#define PV_VHOST_VRING_NO_FD (1u << 8)

#define PV_VHOST_REGIONS_MAX 8 /* and descriptors that come with one message */
#define PV_VHOST_HEADER_SIZE 12
#define PV_VHOST_PAYLOAD_SIZE 632 /* of the library's largest, whatever it is */

struct pv_vhost_vring_state {
	uint32_t index;
	uint32_t num;
};

struct pv_vhost_vring_addr {
	uint32_t index;
	uint32_t flags; /* 1: log writes to the used ring */
	uint64_t descriptor;
	uint64_t used;	    /* of a packed ring: the device event suppression */
	uint64_t available; /* of a packed ring: the driver event suppression */
	uint64_t log;
};

struct pv_vhost_region {
	uint64_t guest_address; /* physical */
	uint64_t size;
	uint64_t user_address; /* in the frontend */
	uint64_t mmap_offset;
};

struct pv_vhost_memory {
	uint32_t n_regions;
	uint32_t padding;
	struct pv_vhost_region regions[PV_VHOST_REGIONS_MAX];
};

struct pv_vhost_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

struct pv_vhost_iotlb {
	uint64_t address; /* I/O virtual */
	uint64_t size;
	uint64_t user_address;
	uint8_t permissions; /* 1 read, 2 write */
	uint8_t type;	     /* 2 update, 3 invalidate */
};

struct pv_vhost_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

struct __attribute__((packed)) pv_vhost_message {
	uint32_t request; /* enum pv_vhost_request, or any other number */
	uint32_t flags;
	uint32_t size; /* bytes of the payload that came; what is behind them is of no meaning */
	union {
		uint64_t u64;
		struct pv_vhost_vring_state state;
		struct pv_vhost_vring_addr addr;
		struct pv_vhost_memory memory;
		struct pv_vhost_log log;
		struct pv_vhost_iotlb iotlb;
		struct pv_vhost_inflight inflight;
		uint8_t bytes[PV_VHOST_PAYLOAD_SIZE];
	} payload;
	int fds[PV_VHOST_REGIONS_MAX];
	int fd_num;
};

_Static_assert(sizeof(struct pv_vhost_vring_addr) == 40, "as the protocol has it");
_Static_assert(sizeof(struct pv_vhost_memory) == 264, "as the protocol has it");
_Static_assert(sizeof(struct pv_vhost_inflight) == 24, "as frontends send it, with padding");
_Static_assert(sizeof(struct pv_vhost_iotlb) == 32, "as Linux has it");
_Static_assert(offsetof(struct pv_vhost_message, payload) == PV_VHOST_HEADER_SIZE, "as the protocol has it");
_Static_assert(offsetof(struct pv_vhost_message, fds) == 644, "as the library has it");
_Static_assert(sizeof(struct pv_vhost_message) == 680, "as the library has it");

#endif
