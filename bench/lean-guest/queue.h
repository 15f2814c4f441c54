/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue as its driver sees it (virtio 1.2, 2.7 split and 2.8 packed). Every buffer is one descriptor.
 *
 * The functions take the layout as an argument that is a constant where they are called, so that each loop is compiled
 * for one layout. Descriptors are used again in the order in which they come back: a switch that keeps the order finds
 * them one beside the other forever.
 */
#ifndef LG_QUEUE_H
#define LG_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "memory.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define PACKED_AVAIL (1 << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED (1 << VRING_PACKED_DESC_F_USED)

struct queue {
	uint16_t size;	  /* a power of two */
	uint16_t free;	  /* descriptors that the driver owns */
	uint16_t pending; /* filled since the last queue_publish() */
	uint16_t next;	  /* split: index of the next available element; packed: position of the next descriptor */
	uint16_t seen;	  /* the same of the next used one */
	bool next_wrap, seen_wrap;	/* packed: the driver's and the device's wrap counters */
	uint16_t head, head_flags;	/* packed: the first of those that are pending */
	uint16_t free_first, free_last; /* free running, into free_ids */
	uint16_t *free_ids;
	char **buffers; /* by descriptor id */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *packed_desc;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device;
	};
	int kick_fd, call_fd;
	uint64_t kicks;
};

/* Takes the rings out of the guest's memory and the rest from the heap. Returns 0 or -errno. */
int queue_make(struct queue *queue, struct memory *memory, uint16_t size, bool packed);

/* Gives back what queue_make() took from elsewhere. */
void queue_free(struct queue *queue);

/* Bytes of the guest's memory that queue_make() takes at most. */
size_t queue_memory(uint16_t size);

/* Wakes the switch up. */
void queue_kick(struct queue *queue);

static ALWAYS_INLINE void
queue_advance(const struct queue *queue, uint16_t *position, bool *wrap)
{
	if (++*position == queue->size) {
		*position = 0;
		*wrap = !*wrap;
	}
}

static ALWAYS_INLINE void
queue_fill_split(struct queue *queue, uint16_t id, char *buffer, uint32_t length, uint16_t flags)
{
	queue->desc[id].addr = (uintptr_t)buffer;
	queue->desc[id].len = length;
	queue->desc[id].flags = flags;
	queue->avail->ring[queue->next++ & (queue->size - 1)] = id;
}

static ALWAYS_INLINE void
queue_fill_packed(struct queue *queue, uint16_t id, char *buffer, uint32_t length, uint16_t flags)
{
	struct vring_packed_desc *desc = &queue->packed_desc[queue->next];

	flags |= queue->next_wrap ? PACKED_AVAIL : PACKED_USED;
	desc->addr = (uintptr_t)buffer;
	desc->len = length;
	desc->id = id;
	if (queue->pending == 0) {
		/* Its flags come last, because they make all of them visible. */
		queue->head = queue->next;
		queue->head_flags = flags;
	} else {
		desc->flags = flags;
	}
	queue_advance(queue, &queue->next, &queue->next_wrap);
}

/* Fills a descriptor; there must be a free one. `flags` is VRING_DESC_F_WRITE for what the switch fills, or 0. */
static ALWAYS_INLINE void
queue_put(struct queue *queue, char *buffer, uint32_t length, uint16_t flags, const bool packed)
{
	uint16_t id = queue->free_ids[queue->free_first++ & (queue->size - 1)];

	queue->buffers[id] = buffer;
	if (packed)
		queue_fill_packed(queue, id, buffer, length, flags);
	else
		queue_fill_split(queue, id, buffer, length, flags);
	queue->free--;
	queue->pending++;
}

/* Shows the switch what was filled, and wakes it up if it asks for that. */
static ALWAYS_INLINE void
queue_publish(struct queue *queue, const bool packed)
{
	bool quiet;

	if (queue->pending == 0)
		return;
	queue->pending = 0;
	if (packed)
		__atomic_store_n(&queue->packed_desc[queue->head].flags, queue->head_flags, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&queue->avail->idx, queue->next, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the switch looks at the ring after it asks to be woken up */
	if (packed)
		quiet = __atomic_load_n(&queue->device->flags, __ATOMIC_RELAXED) == VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		quiet = (__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) != 0;
	if (!quiet)
		queue_kick(queue);
}

static ALWAYS_INLINE bool
queue_next_used(struct queue *queue, uint32_t *id, uint32_t *length, const bool packed)
{
	if (packed) {
		const struct vring_packed_desc *desc = &queue->packed_desc[queue->seen];
		uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
		bool used = (flags & PACKED_USED) != 0;

		if (((flags & PACKED_AVAIL) != 0) != used || used != queue->seen_wrap)
			return false;
		*id = desc->id;
		*length = desc->len;
		queue_advance(queue, &queue->seen, &queue->seen_wrap);
	} else {
		const struct vring_used_elem *element = &queue->used->ring[queue->seen & (queue->size - 1)];

		if (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) == queue->seen)
			return false;
		*id = element->id;
		*length = element->len;
		queue->seen++;
	}
	return true;
}

/* The next buffer that the switch gives back and how much it has written, or NULL. */
static ALWAYS_INLINE char *
queue_take(struct queue *queue, uint32_t *length, const bool packed)
{
	uint32_t id;

	if (!queue_next_used(queue, &id, length, packed))
		return NULL;
	id &= queue->size - 1u;
	queue->free_ids[queue->free_last++ & (queue->size - 1)] = (uint16_t)id;
	queue->free++;
	return queue->buffers[id];
}

#endif
