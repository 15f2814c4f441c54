/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAGE 4096

size_t
queue_memory(uint16_t size)
{
	return (size_t)size * (sizeof(struct vring_desc) + sizeof(struct vring_used_elem) + sizeof(uint16_t)) +
	       4 * PAGE;
}

/* The three parts of a ring each begin a page, as those of a real guest's may. */
static void
take_rings(struct queue *queue, struct memory *memory, bool packed)
{
	size_t size = queue->size;

	queue->desc = memory_take(memory, size * sizeof(struct vring_desc), PAGE);
	queue->avail = memory_take(memory, sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t), PAGE);
	queue->used = memory_take(
		memory, sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + sizeof(uint16_t), PAGE);
	/* The guest polls. */
	if (packed)
		queue->driver->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		queue->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

int
queue_make(struct queue *queue, struct memory *memory, uint16_t size, bool packed)
{
	*queue = (struct queue){ .size = size, .free = size, .next_wrap = true, .seen_wrap = true };
	queue->free_last = size;
	queue->free_ids = calloc(size, sizeof(*queue->free_ids));
	queue->buffers = calloc(size, sizeof(*queue->buffers));
	queue->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	queue->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (queue->free_ids == NULL || queue->buffers == NULL || queue->kick_fd < 0 || queue->call_fd < 0)
		return -ENOMEM;
	for (uint16_t id = 0; id < size; id++)
		queue->free_ids[id] = id;
	take_rings(queue, memory, packed);
	return 0;
}

void
queue_free(struct queue *queue)
{
	free(queue->free_ids);
	free(queue->buffers);
	close(queue->kick_fd);
	close(queue->call_fd);
}

void
queue_kick(struct queue *queue)
{
	const uint64_t one = 1;

	queue->kicks++;
	if (write(queue->kick_fd, &one, sizeof(one)) < 0)
		return; /* at its maximum: the switch has not read it, and knows */
}
