/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/memory.h"

#include <errno.h>

#include <rte_common.h>

#include "vio/iotlb.h"

#define LOG_PAGE_SHIFT 12 /* vhost-user protocol, "Migration": VHOST_LOG_PAGE is 4096 */

/* The part of [address, address + length) that begins in one region; its length into *length. All in a window. */
static void *
find_part(const struct pv_memory *memory, uint64_t address, uint64_t *length)
{
	if (memory->window != NULL)
		return memory->window + (address & memory->window_mask);
	for (uint32_t i = 0; i < memory->n_direct; i++) {
		const struct pv_region *region = &memory->regions[i];
		uint64_t offset = address - region->guest;

		if (offset < region->size) {
			*length = RTE_MIN(*length, region->size - offset);
			return region->host + offset;
		}
	}
	return NULL;
}

int
pv_memory_find(const struct pv_memory *memory, uint64_t address, uint64_t length, bool write, struct iovec *piece)
{
	int result = 0;

	if (memory->iotlb != NULL)
		result = pv_iotlb_find(memory->iotlb, address, &length, write, &piece->iov_base);
	else
		piece->iov_base = find_part(memory, address, &length);
	piece->iov_len = length;
	return result == 0 && piece->iov_base == NULL ? -EFAULT : result;
}

int
pv_memory_map(const struct pv_memory *memory, uint64_t address, uint32_t length, bool write, struct iovec *pieces,
	      unsigned int max, uint64_t *missing)
{
	uint64_t left = length;
	unsigned int n = 0;

	while (left > 0) {
		int result;

		if (n == max)
			return -EMSGSIZE;
		result = pv_memory_find(memory, address, left, write, &pieces[n]);
		if (result != 0) {
			*missing = address;
			return result;
		}
		left -= pieces[n].iov_len;
		if (__builtin_add_overflow(address, pieces[n].iov_len, &address) && left > 0)
			return -EFAULT;
		n++;
	}
	return (int)n;
}

void *
pv_memory_at_user(const struct pv_memory *memory, uint64_t user, uint64_t length)
{
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		const struct pv_region *region = &memory->regions[i];
		uint64_t offset = user - region->user;

		if (offset < region->size && length <= region->size - offset)
			return region->host + offset;
	}
	return NULL;
}

void
pv_memory_log_guest(const struct pv_memory *memory, uint64_t guest, uint64_t length)
{
	uint64_t page = guest >> LOG_PAGE_SHIFT, last;

	if (memory->log == NULL || length == 0)
		return;
	last = (guest + length - 1) >> LOG_PAGE_SHIFT;
	/* The frontend takes bits out of it meanwhile. The size was checked against the file's. */
	for (; page <= last && page / 8 < memory->log_size; page++)
		atomic_fetch_or_explicit(&memory->log[page / 8], (uint8_t)(1u << (page % 8)), memory_order_release);
}

bool
pv_memory_has(const struct pv_memory *memory, const void *host, uint64_t length)
{
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		const struct pv_region *region = &memory->regions[i];
		uint64_t offset = (uint64_t)((uintptr_t)host - (uintptr_t)region->host);

		if (offset < region->size && length <= region->size - offset)
			return true;
	}
	return false;
}

uint64_t
pv_memory_guest_address(const struct pv_memory *memory, const void *host)
{
	for (uint32_t i = 0; i < memory->n_regions; i++) {
		const struct pv_region *region = &memory->regions[i];
		uint64_t offset = (uint64_t)((uintptr_t)host - (uintptr_t)region->host);

		if (offset < region->size)
			return region->guest + offset;
	}
	return UINT64_MAX;
}

void
pv_memory_log_host(const struct pv_memory *memory, const void *host, uint64_t length)
{
	uint64_t guest = pv_memory_guest_address(memory, host);

	if (guest != UINT64_MAX)
		pv_memory_log_guest(memory, guest, length);
}
