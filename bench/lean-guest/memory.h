/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's memory: one piece, of hugepages or others, that the switch maps too. */
#ifndef LG_MEMORY_H
#define LG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct memory {
	int fd;
	char *base;
	size_t size; /* a multiple of the page's */
	size_t used;
};

/*
 * Reserves `size` bytes, zeroed; hugepages are there at once, others when they are touched. Returns 0 or -errno, after
 * saying why.
 */
int memory_make(struct memory *memory, size_t size, bool huge);

/* Gives it back. */
void memory_free(struct memory *memory);

/* Hands out the next `size` bytes at a multiple of `alignment`, a power of two. Never fails: see memory_make(). */
void *memory_take(struct memory *memory, size_t size, size_t alignment);

#endif
