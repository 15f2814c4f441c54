/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two ports between which frames go round: what comes in at one goes out at the other, in the same buffer.
 *
 * Of a frame only the first 24 bytes are written (virtio-net header and both addresses, as a guest that routes does)
 * and nothing is read; but at the end, when it is taken out of the circle, it must be as it was put in. A frame from
 * port 0 to port 1 comes in at port 1 and leaves from port 0 again, so each direction is a circle of its own and its
 * addresses never change: a learning switch knows them from the first frame on.
 */
#ifndef LG_LOOP_H
#define LG_LOOP_H

#include "frame.h"
#include "frontend.h"

#define PORTS 2

struct port {
	struct queue queues[QUEUE_COUNT];
	int connection;
	uint8_t head[24]; /* what every frame that leaves here begins with */
	char **spare;	  /* buffers that are in no queue */
	uint32_t spares, buffers;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t tx_full; /* frames that came in and found no room to leave */
	uint64_t bogus;	  /* lengths that no frame has, buffers that were given back twice */
	uint64_t corrupt; /* frames taken out of the circle that are not as they were put in */
};

struct loop {
	struct memory memory;
	struct port ports[PORTS];
	bool packed;
	bool circulating;		   /* false: what comes in is taken out of the circle */
	uint64_t busy_cycles, idle_cycles; /* of rounds in which frames came in, and of the others */
};

/* Makes memory, queues and frames' heads, and attaches both ports. Returns 0 or -errno after saying why. */
int loop_make(struct loop *loop, const char *const *sockets, uint16_t queue_size, bool packed);

/* Polls both ports `rounds` times. */
void loop_run(struct loop *loop, uint32_t rounds);

/* Puts `count` frames on their way out of each port, with these sizes in turn. Returns how many there was room for. */
uint32_t loop_load(struct loop *loop, uint32_t count, const uint16_t *sizes, uint32_t n_sizes);

#endif
