/* SPDX-License-Identifier: BSD-3-Clause */
#include "context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST 32
#define BURSTS_PER_S 500 /* a pace that could not be kept is caught up with that part of a second at most */

static const bool packed; /* split rings, always */

/* --- Making and attaching ----------------------------------------------------------------------------------------- */

static void
make_address(uint8_t *address, uint16_t number)
{
	const uint8_t made[ADDRESS_BYTES] = { 0x52, 0x54, 0x00, 0x71, (uint8_t)(number >> 8), (uint8_t)number };

	memcpy(address, made, sizeof(made));
}

int
contexts_make(struct contexts *contexts, uint16_t count, uint16_t queue_size)
{
	*contexts = (struct contexts){ .count = count, .queue_size = queue_size };
	contexts->all = calloc(count, sizeof(*contexts->all));
	contexts->active = calloc(count, sizeof(*contexts->active));
	if (contexts->all == NULL || contexts->active == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < count; i++) {
		contexts->all[i].number = i;
		make_address(contexts->all[i].address, i);
	}
	return 0;
}

/* Buffers that are in no queue are offered to the switch, to receive with, but for as many as there is room to send. */
static ALWAYS_INLINE void
refill(struct context *context)
{
	struct queue *queue = &context->queues[QUEUE_RX];

	while (context->spares > context->queues[QUEUE_TX].free && queue->free > 0)
		queue_put(queue, context->spare[--context->spares], BUFFER_BYTES, VRING_DESC_F_WRITE, packed);
	queue_publish(queue, packed);
}

/* Memory, rings and buffers: twice as many as a ring has places. */
static int
make_guest(struct context *context, uint16_t queue_size)
{
	int error;

	context->buffers = 2u * queue_size;
	context->spares = 0;
	error = memory_make(&context->memory, 2 * (queue_memory(queue_size) + (size_t)queue_size * BUFFER_STRIDE),
			    false);
	if (error != 0)
		return error;
	context->spare = calloc(context->buffers, sizeof(*context->spare));
	if (context->spare == NULL)
		return -ENOMEM;
	for (int i = 0; i < QUEUE_COUNT && error == 0; i++)
		error = queue_make(&context->queues[i], &context->memory, queue_size, packed);
	while (error == 0 && context->spares < context->buffers)
		context->spare[context->spares++] = memory_take(&context->memory, BUFFER_STRIDE, 64);
	return error;
}

int
contexts_attach(struct contexts *contexts, const char *socket)
{
	struct context *context = &contexts->all[contexts->attached];
	int error = make_guest(context, contexts->queue_size);

	if (error != 0)
		return error;
	refill(context);
	context->connection = frontend_attach(socket, &context->memory, context->queues, packed);
	if (context->connection < 0)
		return context->connection;
	contexts->attached++;
	return 0;
}

void
contexts_detach(struct contexts *contexts)
{
	struct context *context = &contexts->all[--contexts->attached];
	uint16_t number = context->number;

	close(context->connection);
	for (int i = 0; i < QUEUE_COUNT; i++)
		queue_free(&context->queues[i]);
	free(context->spare);
	memory_free(&context->memory);
	*context = (struct context){ .number = number };
	make_address(context->address, number);
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

/* How much may be done now. */
static ALWAYS_INLINE uint32_t
pace_room(struct pace *pace, uint64_t now)
{
	uint64_t due, most;

	if (pace->rate == 0)
		return BURST;
	due = (uint64_t)((double)(now - pace->since_ns) * pace->rate / 1e9);
	most = pace->rate / BURSTS_PER_S + 1;
	if (due > pace->done + most) { /* what could not be done is not done later */
		pace->since_ns = now;
		pace->done = 0;
		due = most;
	}
	due = due > pace->done ? due - pace->done : 0;
	return due < BURST ? (uint32_t)due : BURST;
}

static ALWAYS_INLINE void
keep_spare(struct context *context, char *buffer)
{
	if (context->spares < context->buffers)
		context->spare[context->spares++] = buffer;
	else
		context->bogus++;
}

/* What was sent and is done is spare now. */
static ALWAYS_INLINE void
reclaim(struct context *context)
{
	uint32_t length;
	char *buffer;

	for (uint32_t i = 0; i < 2 * BURST; i++) {
		buffer = queue_take(&context->queues[QUEUE_TX], &length, packed);
		if (buffer == NULL)
			return;
		keep_spare(context, buffer);
	}
}

/* Puts a frame into the transmit queue, which has room for it. Of the payload nothing is written. */
static ALWAYS_INLINE void
put_frame(struct context *context, char *buffer, const uint8_t *to, uint32_t size)
{
	static const uint8_t type[2] = { ETHERTYPE_EXPERIMENTAL >> 8, ETHERTYPE_EXPERIMENTAL & 0xff };
	char *frame = buffer + NET_HEADER;

	memset(buffer, 0, NET_HEADER);
	memcpy(frame, to, ADDRESS_BYTES);
	memcpy(frame + ADDRESS_BYTES, context->address, ADDRESS_BYTES);
	memcpy(frame + 2 * ADDRESS_BYTES, type, sizeof(type));
	queue_put(&context->queues[QUEUE_TX], buffer, NET_HEADER + size, 0, packed);
	context->tx_packets++;
	context->tx_bytes += size;
}

bool
context_send(struct context *context, const uint8_t *to, uint16_t size)
{
	struct queue *queue = &context->queues[QUEUE_TX];

	reclaim(context);
	if (context->spares == 0 || queue->free == 0)
		return false;
	put_frame(context, context->spare[--context->spares], to, size);
	queue_publish(queue, packed);
	return true;
}

bool
context_has_all_back(struct context *context)
{
	const struct queue *queue = &context->queues[QUEUE_TX];

	reclaim(context);
	return queue->free == queue->size;
}

static ALWAYS_INLINE void
send_burst(struct context *context, uint64_t now)
{
	struct queue *queue = &context->queues[QUEUE_TX];
	uint32_t room = pace_room(&context->sending, now);

	reclaim(context);
	for (; room > 0 && context->spares > 0 && queue->free > 0; room--) {
		put_frame(context, context->spare[--context->spares], context->to, context->sizes[context->next_size]);
		context->next_size = context->next_size + 1 < context->n_sizes ? context->next_size + 1 : 0;
		context->sending.done++;
	}
	queue_publish(queue, packed);
}

/* Counts a frame for the context that it is from. */
static ALWAYS_INLINE void
count_delivered(struct contexts *contexts, struct context *context, const char *buffer, uint32_t bytes)
{
	const uint8_t *source = (const uint8_t *)buffer + NET_HEADER + ADDRESS_BYTES;
	uint32_t number = (uint32_t)source[4] << 8 | source[5];

	if (memcmp(source, context->address, 4) != 0)
		return; /* not one of ours: the host's, from a wire */
	if (number >= contexts->count) {
		context->bogus++;
		return;
	}
	contexts->all[number].delivered_packets++;
	contexts->all[number].delivered_bytes += bytes;
}

static ALWAYS_INLINE void
take_frame(struct contexts *contexts, struct context *context, char *buffer, uint32_t length)
{
	uint32_t bytes = length - NET_HEADER;

	if (!is_frame(length)) {
		context->bogus++;
		keep_spare(context, buffer);
		return;
	}
	context->rx_packets++;
	context->rx_bytes += bytes;
	count_delivered(contexts, context, buffer, bytes);
	if (context->reflects && context->queues[QUEUE_TX].free > 0)
		put_frame(context, buffer, context->to, bytes);
	else
		keep_spare(context, buffer);
}

uint32_t
context_take(struct contexts *contexts, struct context *context, uint64_t now)
{
	uint32_t room = pace_room(&context->taking, now), count = 0, length;
	char *buffer;

	for (; count < room; count++) {
		buffer = queue_take(&context->queues[QUEUE_RX], &length, packed);
		if (buffer == NULL)
			break;
		take_frame(contexts, context, buffer, length);
	}
	context->taking.done += count;
	if (context->reflects) {
		queue_publish(&context->queues[QUEUE_TX], packed);
		reclaim(context);
	}
	refill(context);
	return count;
}

void
contexts_choose(struct contexts *contexts)
{
	contexts->n_active = 0;
	for (uint16_t i = 0; i < contexts->attached; i++)
		if (contexts->all[i].sends || contexts->all[i].receives)
			contexts->active[contexts->n_active++] = i;
}

void
contexts_run(struct contexts *contexts)
{
	uint64_t now = now_ns();

	for (uint16_t i = 0; i < contexts->n_active; i++) {
		struct context *context = &contexts->all[contexts->active[i]];

		if (context->sends)
			send_burst(context, now);
		if (context->receives)
			context_take(contexts, context, now);
	}
}
