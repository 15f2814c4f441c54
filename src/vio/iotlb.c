/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/iotlb.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/vhost_types.h>

#include <rte_common.h>

/* The first range that does not end before `address`. */
static uint32_t
search(const struct pv_iotlb *iotlb, uint64_t address)
{
	uint32_t low = 0, high = iotlb->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (iotlb->ranges[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
pv_iotlb_find(const struct pv_iotlb *iotlb, uint64_t address, uint64_t *length, bool write, void **host)
{
	const struct pv_iotlb_range *range = &iotlb->ranges[search(iotlb, address)];
	uint8_t needed = write ? VHOST_ACCESS_WO : VHOST_ACCESS_RO;

	if (range == &iotlb->ranges[iotlb->n] || address < range->first)
		return -EAGAIN;
	if ((range->access & needed) == 0)
		return -EFAULT;
	*host = range->host + (address - range->first);
	*length = RTE_MIN(*length, range->last - address + 1);
	return 0;
}

void
pv_iotlb_remove(struct pv_iotlb *iotlb, uint64_t address, uint64_t size)
{
	uint64_t last = address + size - 1 < address ? UINT64_MAX : address + size - 1;
	uint32_t from = search(iotlb, address), to = from;

	if (size == 0)
		return;
	while (to < iotlb->n && iotlb->ranges[to].first <= last)
		to++;
	memmove(&iotlb->ranges[from], &iotlb->ranges[to], (iotlb->n - to) * sizeof(iotlb->ranges[0]));
	iotlb->n -= to - from;
}

void
pv_iotlb_insert(struct pv_iotlb *iotlb, uint64_t address, uint64_t size, uint8_t *host, uint8_t access)
{
	uint32_t at;

	pv_iotlb_remove(iotlb, address, size);
	if (iotlb->n == PV_IOTLB_MAX)
		pv_iotlb_clear(iotlb);
	at = search(iotlb, address);
	memmove(&iotlb->ranges[at + 1], &iotlb->ranges[at], (iotlb->n - at) * sizeof(iotlb->ranges[0]));
	iotlb->ranges[at] = (struct pv_iotlb_range){
		.first = address,
		.last = address + size - 1,
		.host = host,
		.access = access,
	};
	iotlb->n++;
}

void
pv_iotlb_clear(struct pv_iotlb *iotlb)
{
	iotlb->n = 0;
}
