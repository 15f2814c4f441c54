/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/grant.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <rte_common.h>
#include <rte_malloc.h>

#include "vio/fault.h"

/*
 * Each piece is two system calls, and a guest chooses how many there are. Xen's own driver domain takes about 20; Linux
 * sends 19 at most.
 */
#define PIECES_MAX 64

/* A piece of a packet, mapped. */
struct window {
	void *mapping;
	size_t size;	     /* of the mapping: whole pages */
	const uint8_t *host; /* where the piece is in the mapping that stays, */
	size_t length;	     /* and its bytes */
	bool write;
};

struct pv_grants {
	const struct pv_grant_files *files;
	const struct pv_memory *memory;
	struct pv_grant_counters *counters;
	_Atomic uint32_t *faulted;
	uint32_t n, max;
	struct iovec *pieces; /* where those of the windows are now */
	struct window windows[];
};

/* Of a file of huge pages only whole ones can be mapped, and unmapped. */
static uint64_t
page_of(int fd)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct statfs status;

	if (fstatfs(fd, &status) == 0 && status.f_type == HUGETLBFS_MAGIC)
		page = RTE_MAX(page, (uint64_t)status.f_bsize);
	return page;
}

void
pv_grant_files_add(struct pv_grant_files *files, int fd, void *mapping, uint64_t size)
{
	if (files->n == RTE_DIM(files->file))
		return;
	files->file[files->n++] =
		(struct pv_grant_file){ .mapping = mapping, .size = size, .page = page_of(fd), .fd = fd };
}

struct pv_grants *
pv_grants_new(const struct pv_grant_files *files, const struct pv_memory *memory, uint32_t pieces,
	      _Atomic uint32_t *faulted, struct pv_grant_counters *counters)
{
	/* A piece can lie over the border of two files, where those follow one another here. */
	uint32_t max = 2 * (pieces + PV_REGIONS_MAX);
	struct pv_grants *grants =
		rte_zmalloc("pv_grants", sizeof(*grants) + max * sizeof(grants->windows[0]), RTE_CACHE_LINE_SIZE);

	if (grants == NULL)
		return NULL;
	grants->pieces = rte_calloc("pv_granted", max, sizeof(*grants->pieces), RTE_CACHE_LINE_SIZE);
	if (grants->pieces == NULL) {
		rte_free(grants);
		return NULL;
	}
	grants->files = files;
	grants->memory = memory;
	grants->counters = counters;
	grants->faulted = faulted;
	grants->max = max;
	return grants;
}

void
pv_grants_free(struct pv_grants *grants)
{
	if (grants == NULL)
		return;
	rte_free(grants->pieces);
	rte_free(grants);
}

static const struct pv_grant_file *
find_file(const struct pv_grant_files *files, const uint8_t *host)
{
	for (uint32_t i = 0; i < files->n; i++)
		if ((uintptr_t)host - (uintptr_t)files->file[i].mapping < files->file[i].size)
			return &files->file[i];
	return NULL;
}

/* Maps what [host, host + length) has in one file. Returns how many bytes that is; 0 and errno when it cannot. */
static size_t
open_window(struct pv_grants *grants, const uint8_t *host, size_t length, bool write)
{
	const struct pv_grant_file *file = find_file(grants->files, host);
	struct window *window = &grants->windows[grants->n];
	uint64_t offset, start;

	errno = E2BIG;
	if (file == NULL || grants->n == grants->max)
		return 0;
	offset = (uintptr_t)host - (uintptr_t)file->mapping;
	start = RTE_ALIGN_FLOOR(offset, file->page);
	*window = (struct window){ .host = host, .length = RTE_MIN(length, file->size - offset), .write = write };
	window->size = RTE_ALIGN_CEIL(offset + window->length, file->page) - start;
	/* Populated, as a grant is when the hypervisor returns: one trap into the kernel and no page fault. */
	window->mapping = mmap(NULL, window->size, write ? PROT_READ | PROT_WRITE : PROT_READ,
			       MAP_SHARED | MAP_POPULATE, file->fd, (off_t)start);
	if (window->mapping == MAP_FAILED)
		return 0;
	grants->pieces[grants->n++] =
		(struct iovec){ .iov_base = (uint8_t *)window->mapping + (offset - start), .iov_len = window->length };
	grants->counters->maps++;
	grants->counters->pages += window->size / file->page;
	return window->length;
}

static bool
open_piece(struct pv_grants *grants, const uint8_t *host, size_t length, bool write)
{
	while (length > 0) {
		size_t opened = open_window(grants, host, length, write);

		if (opened == 0)
			return false;
		host += opened;
		length -= opened;
	}
	return true;
}

static void
close_windows(struct pv_grants *grants, uint32_t keep)
{
	while (grants->n > keep) {
		const struct window *window = &grants->windows[--grants->n];

		munmap(window->mapping, window->size);
	}
}

bool
pv_grants_map(struct pv_grants *grants, struct pv_pieces *pieces, uint64_t bytes, bool write)
{
	uint32_t first = grants->n;

	bytes = RTE_MIN(bytes, pieces->bytes);
	for (uint64_t i = 0, left = bytes; left > 0; i++) {
		size_t length = RTE_MIN(pieces->piece[i].iov_len, left);

		errno = E2BIG;
		if (unlikely(i == PIECES_MAX || !open_piece(grants, pieces->piece[i].iov_base, length, write))) {
			grants->counters->failures++;
			grants->counters->error = errno;
			close_windows(grants, first);
			return false;
		}
		left -= length;
	}
	pieces->piece = grants->pieces + first;
	pieces->n = pieces->max = grants->n - first;
	pieces->bytes = bytes;
	pv_fault_shield(grants->faulted);
	return true;
}

uint32_t
pv_grants_count(const struct pv_grants *grants)
{
	return grants->n;
}

void
pv_grants_unmap(struct pv_grants *grants, uint32_t keep)
{
	for (uint32_t i = keep; i < grants->n; i++)
		if (grants->windows[i].write)
			pv_memory_written(grants->memory, grants->windows[i].host, grants->windows[i].length);
	close_windows(grants, keep);
	if (keep == 0)
		pv_fault_shield(NULL);
}
