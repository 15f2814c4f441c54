/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large packets as guests send them, and what is true of the frames that they become. It fails the test when something
 * cannot be made.
 */
#ifndef TESTS_LIB_LARGE_H
#define TESTS_LIB_LARGE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define LARGE_FRAME_MAX 65600
#define LARGE_PIECES_MAX 32

/* TCP, or UDP. Lengths in bytes where nothing else is said. */
struct large {
	bool udp, ipv6;
	uint8_t tags;	     /* of VLANs */
	uint8_t extensions;  /* headers of 8 bytes behind that of IPv6, words of options in that of IPv4 */
	uint8_t tcp_options; /* in words */
	uint8_t tcp_flags;   /* beside ACK */
	uint16_t id;	     /* of IPv4; its DF is set unless it is UDP */
	uint32_t sequence;
	uint32_t payload;
	uint16_t size;	 /* of the payload of a segment, or of a fragment's; 0: it is not to be segmented */
	uint16_t pieces; /* mbufs behind the first, which has the headers; 0: as few as there can be */
	uint16_t first;	 /* bytes of payload in the first, if there are pieces */
	bool external;	 /* every other piece is an external buffer */
	const char *destination, *source; /* NULL: two addresses */
};

/* Writes the frame; its checksum is that of the pseudo header (virtio 1.2, 5.1.6.2). Returns its length. */
uint32_t large_bytes(const struct large *large, uint8_t *frame);

/* Where the parts of the frame begin. */
uint16_t large_l2(const struct large *large);
uint16_t large_l3(const struct large *large);
uint16_t large_l4(const struct large *large);
uint32_t large_headers(const struct large *large);

/* The flags that a packet has which a guest sent. */
uint64_t large_flags(const struct large *large);

/* A packet of buffers of the pool. */
struct rte_mbuf *large_packet(const struct large *large, struct rte_mempool *pool);

/* External buffers that were lent since the start of the program, and not given back. */
extern uint32_t large_lent;

/* The same bytes in one piece; returns how many. */
uint32_t large_flat(const struct rte_mbuf *packet, uint8_t *frame);

/* Whether the checksums in a frame are right: that of IPv4, and that of TCP or UDP, behind extension headers as well.
 */
bool large_checksums_are_right(const struct large *large, const uint8_t *frame, uint32_t length);

/*
 * What a frame becomes whose checksum was put in: for a packet that is not segmented. `frame` is what large_bytes()
 * made.
 */
void large_complete(const struct large *large, uint8_t *frame, uint32_t length);

/*
 * Fails unless the frames are what the packet is to become: segments of TCP, or fragments of UDP. `partial`: the
 * checksum of the segments is left to a device.
 */
void large_assert_segments(const struct large *large, const struct rte_mbuf *const *segments, uint32_t n, bool partial);

/* How many frames it becomes. */
uint32_t large_count(const struct large *large);

#endif
