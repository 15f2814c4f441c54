/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Size of the file's pages. */
static size_t
page_size(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 ? (size_t)status.st_blksize : (size_t)2 << 20;
}

int
memory_make(struct memory *memory, size_t size, bool huge)
{
	size_t page;
	int error;

	memory->used = 0;
	memory->fd = memfd_create("lean-guest", (huge ? MFD_HUGETLB : 0) | MFD_CLOEXEC);
	if (memory->fd < 0)
		goto fail;
	page = page_size(memory->fd);
	memory->size = (size + page - 1) / page * page;
	if (ftruncate(memory->fd, (off_t)memory->size) < 0)
		goto fail;
	memory->base =
		mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED | (huge ? MAP_POPULATE : 0), memory->fd, 0);
	if (memory->base == MAP_FAILED)
		goto fail;
	return 0;
fail:
	error = errno;
	fprintf(stderr, "%s: no memory of %zu bytes%s: %s\n", program_invocation_short_name, size,
		huge ? " in hugepages (see sysctl vm.nr_hugepages)" : "", strerror(error));
	return -error;
}

void *
memory_take(struct memory *memory, size_t size, size_t alignment)
{
	size_t start = (memory->used + alignment - 1) & ~(alignment - 1);

	assert(start + size <= memory->size);
	memory->used = start + size;
	return memory->base + start;
}

void
memory_free(struct memory *memory)
{
	munmap(memory->base, memory->size);
	close(memory->fd);
}
