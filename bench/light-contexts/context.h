/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest with one vhost-user port, an address, and memory of its own, light enough that a process can have hundreds.
 *
 * It does what it is told to and else nothing: it sends frames, as fast as its ring takes them or at a rate; it takes
 * what it receives, at once or at a rate; it sends back what it receives. What it sends comes from its own address,
 * and who receives it counts it for the sender, so that of each sender it is known how much was delivered.
 */
#ifndef LC_CONTEXT_H
#define LC_CONTEXT_H

#include "commands.h"
#include "frame.h"
#include "frontend.h"

#define ADDRESS_BYTES 6

/* How fast something is done. */
struct pace {
	uint32_t rate; /* a second; 0: without a limit */
	uint64_t since_ns, done;
};

struct context {
	struct memory memory;
	struct queue queues[QUEUE_COUNT];
	int connection;
	uint16_t number;
	uint8_t address[ADDRESS_BYTES];
	char **spare; /* buffers that are in no queue */
	uint32_t spares, buffers;

	bool sends, receives, reflects; /* reflects: sends back what it receives, to `to` */
	struct pace sending, taking;
	uint8_t to[ADDRESS_BYTES]; /* of whom it sends to */
	uint16_t sizes[SIZES_MAX];
	uint32_t n_sizes, next_size;

	uint64_t tx_packets, tx_bytes;		     /* given to the switch */
	uint64_t rx_packets, rx_bytes;		     /* that came in */
	uint64_t delivered_packets, delivered_bytes; /* of those given, that came in at any context of this process */
	uint64_t bogus; /* lengths that no frame has, buffers that were given back twice, senders that do not exist */
};

struct contexts {
	struct context *all;
	uint16_t *active; /* numbers of those that send or receive */
	uint16_t count, attached, n_active;
	uint16_t queue_size;
};

/* Makes as many contexts, of which none is attached. Returns 0 or -errno, after saying why. */
int contexts_make(struct contexts *contexts, uint16_t count, uint16_t queue_size);

/* Attaches the next one. Returns 0 or -errno, after saying why. */
int contexts_attach(struct contexts *contexts, const char *socket);

/* Detaches the one that was attached last, as a guest does that ends. */
void contexts_detach(struct contexts *contexts);

/* Looks which of them have something to do, after that was changed: contexts->active. */
void contexts_choose(struct contexts *contexts);

/* Lets these have a turn each. */
void contexts_run(struct contexts *contexts);

/* Puts a frame to that address into the transmit queue, and shows it. False if there is no room. */
bool context_send(struct context *context, const uint8_t *to, uint16_t size);

/* Takes buffers of frames back, at most two bursts; whether the switch has none any more. */
bool context_has_all_back(struct context *context);

/* Takes what has come in, at most a burst; returns how much. */
uint32_t context_take(struct contexts *contexts, struct context *context, uint64_t now);

#endif
