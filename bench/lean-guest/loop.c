/* SPDX-License-Identifier: BSD-3-Clause */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define BURST 64

static ALWAYS_INLINE uint64_t
cycles(void)
{
#ifdef __x86_64__
	return __rdtsc();
#else
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

/* Takes up to BURST buffers out of a queue. */
static ALWAYS_INLINE uint32_t
take_burst(struct queue *queue, char **buffers, uint32_t *lengths, const bool packed)
{
	uint32_t count = 0;

	while (count < BURST && (buffers[count] = queue_take(queue, &lengths[count], packed)) != NULL) {
		__builtin_prefetch(buffers[count], 1);
		count++;
	}
	return count;
}

/* A buffer that is in no queue any more. There are not more of them than were made. */
static ALWAYS_INLINE void
keep_spare(struct port *port, char *buffer)
{
	if (port->spares < port->buffers)
		port->spare[port->spares++] = buffer;
	else
		port->bogus++;
}

/* What was sent from here and is done is spare now. */
static ALWAYS_INLINE void
reclaim(struct port *port, const bool packed)
{
	uint32_t length;
	char *buffer;

	for (uint32_t i = 0; i < 2 * BURST; i++) {
		buffer = queue_take(&port->queues[QUEUE_TX], &length, packed);
		if (buffer == NULL)
			return;
		keep_spare(port, buffer);
	}
}

/* Buffers of the other direction's port go where frames came in, so each circle keeps its own. */
static ALWAYS_INLINE void
refill(struct queue *queue, struct port *from, const bool packed)
{
	while (from->spares > 0 && queue->free > 0)
		queue_put(queue, from->spare[--from->spares], BUFFER_BYTES, VRING_DESC_F_WRITE, packed);
	queue_publish(queue, packed);
}

static ALWAYS_INLINE void
send_frame(struct port *port, char *buffer, uint32_t length, const bool packed)
{
	memcpy(buffer, port->head, sizeof(port->head));
	queue_put(&port->queues[QUEUE_TX], buffer, length, 0, packed);
	port->tx_packets++;
	port->tx_bytes += length - NET_HEADER;
}

/* Whether a frame from `out` has come in as it was sent. */
static bool
is_intact(const struct port *out, const char *buffer, uint32_t length)
{
	if (memcmp(buffer + NET_HEADER, out->head + NET_HEADER, sizeof(out->head) - NET_HEADER) != 0)
		return false;
	for (uint32_t i = 14; i < length - NET_HEADER; i++)
		if (buffer[NET_HEADER + i] != (char)i)
			return false;
	return true;
}

/* One frame that came in at `in`: out again at `out`, or among the spare buffers. */
static ALWAYS_INLINE void
pass_on(struct port *in, struct port *out, char *buffer, uint32_t length, bool circulating, const bool packed)
{
	if (is_frame(length)) {
		in->rx_packets++;
		in->rx_bytes += length - NET_HEADER;
		if (circulating && out->queues[QUEUE_TX].free > 0) {
			send_frame(out, buffer, length, packed);
			return;
		}
		out->tx_full += circulating;
		in->corrupt += !circulating && !is_intact(out, buffer, length);
	} else {
		in->bogus++;
	}
	keep_spare(out, buffer);
}

/* Passes on what has come in at `in`; returns how much. */
static ALWAYS_INLINE uint32_t
turn(struct port *in, struct port *out, bool circulating, const bool packed)
{
	uint32_t lengths[BURST], count;
	char *buffers[BURST + 1];

	count = take_burst(&in->queues[QUEUE_RX], buffers, lengths, packed);
	reclaim(out, packed);
	for (uint32_t i = 0; i < count; i++)
		pass_on(in, out, buffers[i], lengths[i], circulating, packed);
	queue_publish(&out->queues[QUEUE_TX], packed);
	refill(&in->queues[QUEUE_RX], out, packed);
	return count;
}

static ALWAYS_INLINE void
run(struct loop *loop, uint32_t rounds, const bool packed)
{
	uint64_t before = cycles(), now;
	uint32_t count;

	for (uint32_t i = 0; i < rounds; i++) {
		count = turn(&loop->ports[0], &loop->ports[1], loop->circulating, packed);
		count += turn(&loop->ports[1], &loop->ports[0], loop->circulating, packed);
		now = cycles();
		if (count > 0)
			loop->busy_cycles += now - before;
		else
			loop->idle_cycles += now - before;
		before = now;
	}
}

void
loop_run(struct loop *loop, uint32_t rounds)
{
	if (loop->packed)
		run(loop, rounds, true);
	else
		run(loop, rounds, false);
}

/* The part of a frame that no one writes on its way. */
static void
fill_payload(char *buffer, uint16_t size)
{
	char *type = buffer + NET_HEADER + 12;

	type[0] = (char)(ETHERTYPE_EXPERIMENTAL >> 8);
	type[1] = (char)(ETHERTYPE_EXPERIMENTAL & 0xff);
	for (uint16_t i = 14; i < size; i++)
		buffer[NET_HEADER + i] = (char)i;
}

static uint32_t
load_port(struct port *port, uint32_t count, const uint16_t *sizes, uint32_t n_sizes, bool packed)
{
	uint32_t loaded = 0;

	for (; loaded < count && port->spares > 0 && port->queues[QUEUE_TX].free > 0; loaded++) {
		char *buffer = port->spare[--port->spares];
		uint16_t size = sizes[loaded % n_sizes];

		fill_payload(buffer, size);
		send_frame(port, buffer, NET_HEADER + size, packed);
	}
	queue_publish(&port->queues[QUEUE_TX], packed);
	return loaded;
}

uint32_t
loop_load(struct loop *loop, uint32_t count, const uint16_t *sizes, uint32_t n_sizes)
{
	uint32_t loaded = 0;

	for (uint32_t i = 0; i < PORTS; i++)
		loaded += load_port(&loop->ports[i], count, sizes, n_sizes, loop->packed);
	return loaded;
}

static void
make_head(struct port *ports, uint8_t index)
{
	uint8_t address[6] = { 0x52, 0x54, 0x00, 0x70, 0x80, 0x00 };
	uint8_t *ethernet = ports[index].head + NET_HEADER;

	memset(ports[index].head, 0, sizeof(ports[index].head));
	address[5] = (uint8_t)(2 - index);
	memcpy(ethernet, address, sizeof(address));
	address[5] = (uint8_t)(1 + index);
	memcpy(ethernet + 6, address, sizeof(address));
}

/* As many buffers as fill the receive queue of the other port, and the transmit queue of this one. */
static int
make_port(struct loop *loop, uint8_t index, uint16_t queue_size)
{
	struct port *port = &loop->ports[index];

	make_head(loop->ports, index);
	port->buffers = 2u * queue_size;
	port->spare = calloc(port->buffers, sizeof(*port->spare));
	if (port->spare == NULL || queue_make(&port->queues[QUEUE_RX], &loop->memory, queue_size, loop->packed) != 0 ||
	    queue_make(&port->queues[QUEUE_TX], &loop->memory, queue_size, loop->packed) != 0)
		return -ENOMEM;
	for (; port->spares < port->buffers; port->spares++)
		port->spare[port->spares] = memory_take(&loop->memory, BUFFER_STRIDE, 64);
	return 0;
}

static size_t
memory_needed(uint16_t queue_size)
{
	return PORTS * QUEUE_COUNT * (queue_memory(queue_size) + (size_t)queue_size * BUFFER_STRIDE);
}

int
loop_make(struct loop *loop, const char *const *sockets, uint16_t queue_size, bool packed)
{
	int error;

	*loop = (struct loop){ .packed = packed };
	error = memory_make(&loop->memory, memory_needed(queue_size), true);
	for (uint8_t i = 0; i < PORTS && error == 0; i++)
		error = make_port(loop, i, queue_size);
	for (uint8_t i = 0; i < PORTS && error == 0; i++) {
		refill(&loop->ports[i].queues[QUEUE_RX], &loop->ports[1 - i], packed);
		loop->ports[i].connection = frontend_attach(sockets[i], &loop->memory, loop->ports[i].queues, packed);
		error = loop->ports[i].connection < 0 ? loop->ports[i].connection : 0;
	}
	return error;
}
