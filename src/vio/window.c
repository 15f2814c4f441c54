/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/window.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>

#include "vio/fault.h"

#define PAGE 4096u

/* Huge ones, of which only whole ones can be mapped, at multiples of their size. */
static uint64_t
largest_page(const struct pv_grant_files *files)
{
	uint64_t page = PAGE;

	for (uint32_t i = 0; i < files->n; i++)
		page = RTE_MAX(page, files->file[i].page);
	return page;
}

static const char *
check_region(const struct pv_region *region, const struct pv_grant_file *file)
{
	uint64_t offset = (uint64_t)((uintptr_t)region->host - (uintptr_t)file->mapping);

	if (region->size == 0 || region->size > PV_WINDOW_MAX || region->guest > PV_WINDOW_MAX - region->size)
		return "the guest's memory reaches beyond 1 TiB";
	if ((region->guest | region->size | offset) % file->page != 0)
		return "a region of the guest's memory is not made of whole pages of its file";
	return NULL;
}

static bool
overlap(const struct pv_region *one, const struct pv_region *other)
{
	return one->guest < other->guest + other->size && other->guest < one->guest + one->size;
}

/* Where the memory ends for the guest into *end. NULL, or why it cannot lie in a window. */
static const char *
check_memory(const struct pv_memory *memory, const struct pv_grant_files *files, uint64_t *end)
{
	if (memory->n_regions == 0 || files->n != memory->n_regions)
		return "the files of the guest's memory are not known";
	*end = 0;
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		const struct pv_region *region = &memory->regions[i];
		const char *why = check_region(region, &files->file[i]);

		if (why != NULL)
			return why;
		for (uint32_t j = 0; j < i; j++)
			if (overlap(region, &memory->regions[j]))
				return "regions of the guest's memory overlap";
		*end = RTE_MAX(*end, region->guest + region->size);
	}
	return NULL;
}

/* Takes address space for a window of `size` bytes, with a page before it and the guard behind it. */
static uint8_t *
reserve(struct pv_window *window, uint64_t size, uint64_t page)
{
	size_t length = PAGE + page + size + PV_WINDOW_GUARD;
	void *mapping = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	/* A guest that has us write to holes must not get a huge page for each byte. Without huge pages: EINVAL. */
	madvise(mapping, length, MADV_NOHUGEPAGE);
	window->mapping = mapping;
	window->length = length;
	return (uint8_t *)RTE_ALIGN_CEIL((uintptr_t)mapping + PAGE, page);
}

/* Maps a region where its guest has it, and has it watched. */
static const char *
map_region(struct pv_window *window, uint8_t *base, struct pv_region *region, const struct pv_grant_file *file,
	   uint8_t **elsewhere, _Atomic uint32_t *faulted)
{
	off_t offset = (off_t)((uintptr_t)region->host - (uintptr_t)file->mapping);
	void *at = mmap(base + region->guest, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file->fd,
			offset);

	if (at == MAP_FAILED)
		return strerrordesc_np(errno);
	if (pv_fault_watch(at, region->size, faulted) != 0)
		return "there are too many mappings to watch";
	*elsewhere = region->host;
	region->host = at;
	return NULL;
}

const char *
pv_window_open(struct pv_window *window, struct pv_memory *memory, const struct pv_grant_files *files,
	       _Atomic uint32_t *faulted)
{
	uint64_t page = largest_page(files), end, size;
	const char *why = check_memory(memory, files, &end);
	uint8_t *base;

	if (why != NULL)
		return why;
	size = rte_align64pow2(RTE_MAX(end, page));
	base = reserve(window, size, page);
	if (base == NULL)
		return strerrordesc_np(errno);
	for (uint32_t i = 0; i < memory->n_regions && why == NULL; i++)
		why = map_region(window, base, &memory->regions[i], &files->file[i], &window->elsewhere[i], faulted);
	if (why == NULL && pv_fault_watch_window(window->mapping, window->length, faulted) != 0)
		why = "there are too many mappings to watch";
	if (why != NULL) {
		pv_window_close(window, memory);
		return why;
	}
	memory->window = base;
	memory->window_mask = size - 1;
	return NULL;
}

void
pv_window_close(struct pv_window *window, struct pv_memory *memory)
{
	if (window->mapping == NULL)
		return;
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		if (window->elsewhere[i] == NULL)
			continue; /* it was not to be mapped */
		pv_fault_unwatch(memory->regions[i].host);
		memory->regions[i].host = window->elsewhere[i];
	}
	pv_fault_unwatch(window->mapping);
	munmap(window->mapping, window->length);
	memset(window, 0, sizeof(*window));
	memory->window = NULL;
}

void *
pv_window_move(const struct pv_window *window, const struct pv_memory *memory, void *elsewhere)
{
	if (window->mapping == NULL)
		return elsewhere;
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		uint64_t offset = (uint64_t)((uintptr_t)elsewhere - (uintptr_t)window->elsewhere[i]);

		if (offset < memory->regions[i].size)
			return memory->regions[i].host + offset;
	}
	return elsewhere;
}
