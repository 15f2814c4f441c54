/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP frames from a description, and the reference for what a device makes of a large one. For tests, benchmarks and
 * fuzzers; what is asked wrongly ends the program.
 */
#ifndef TESTS_LIB_TCP_FRAMES_H
#define TESTS_LIB_TCP_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define TCP_FRAME_MAX 65600 /* bytes of a frame, with tags */
#define TCP_OPTIONS_MAX 40

/* Numbers are in host order. The payload's bytes follow from seq, so that what overlaps is the same. */
struct tcp_frame {
	bool ipv6;
	uint8_t tags;
	uint16_t tpid[2], tci[2];
	uint8_t mac; /* last byte of the source's Ethernet address */
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags, reserved; /* reserved: lower bits of data_off */
	bool timestamps;
	uint32_t sent, echoed;
	uint16_t id, fragment; /* of IPv4; fragment: DF, MF and offset */
	uint8_t tos, ttl;
	uint32_t label; /* of IPv6 */
	uint16_t payload;
	uint8_t ip_options; /* bytes of NOP: multiples of 4; IPv6: of 8, a header of destination options */
	uint8_t options[TCP_OPTIONS_MAX];
	uint8_t options_len; /* instead of timestamps; multiple of 4 */
	uint16_t padding;    /* behind the IP packet */
};

/* A segment of the connection number `flow`, as a sender in the middle of a stream has it: ACK, DF, timestamps. */
struct tcp_frame tcp_frame(unsigned int flow, uint32_t seq, uint16_t payload);

uint16_t tcp_frame_headers(const struct tcp_frame *frame);
/* Writes the frame with its checksums; returns its length. */
uint32_t tcp_frame_write(const struct tcp_frame *frame, uint8_t *bytes);
/* The same in an mbuf. */
struct rte_mbuf *tcp_frame_mbuf(struct rte_mempool *pool, const struct tcp_frame *frame);

/* Computes the checksums of IP and TCP in a frame with headers of these lengths. */
void tcp_frame_checksums(uint8_t *bytes, uint16_t l2_len, uint16_t l3_len, bool ipv6);

/* Copies a packet's bytes, of all its mbufs; returns how many. */
uint32_t tcp_frame_copy(const struct rte_mbuf *packet, uint8_t *bytes);

/*
 * What a device makes of a packet with RTE_MBUF_F_TX_TCP_SEG: calls `give` with each frame. A packet without is given
 * as it is. Fails the program when the offload fields contradict the frame.
 */
void tcp_frame_segment(const struct rte_mbuf *packet,
		       void (*give)(void *context, unsigned int index, uint8_t *bytes, uint32_t length), void *context);

#endif
