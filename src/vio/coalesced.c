/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/coalesced.h"

#include <rte_errno.h>

int pv_coalesced_offset = -1;
uint64_t pv_coalesced_flag;

int
pv_coalesced_init(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "pktvirt_coalesced",
		.size = sizeof(struct pv_coalesced),
		.align = __alignof__(struct pv_coalesced),
	};
	static const struct rte_mbuf_dynflag flag = { .name = "pktvirt_coalesced" };
	int offset = rte_mbuf_dynfield_register(&field), bit;

	if (offset < 0)
		return -rte_errno;
	bit = rte_mbuf_dynflag_register(&flag);
	if (bit < 0)
		return -rte_errno;
	pv_coalesced_offset = offset;
	pv_coalesced_flag = RTE_BIT64(bit);
	return 0;
}
