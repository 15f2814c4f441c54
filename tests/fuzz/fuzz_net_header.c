/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any header over any frame in one or two segments, read for a guest with any features; then any mbuf fields over the
 * same frame, written. The segments are memory of exactly their size. A broken rule ends the program.
 */
#include <stdio.h>

#include "net_header_rules.h"

/* How a unit begins, as it is in memory; the frame follows. */
struct unit {
	uint64_t ol_flags, tx_offload;
	struct virtio_net_hdr header;
	uint16_t features; /* bits 0 to 15: all that matter */
	uint16_t first;	   /* bytes in the first segment, when the frame has more */
	uint16_t unused;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fill(struct rte_mbuf *segment, const uint8_t *bytes, uint32_t length)
{
	*segment = (struct rte_mbuf){ .buf_addr = malloc(length), .data_len = (uint16_t)length, .nb_segs = 1 };
	memcpy(segment->buf_addr, bytes, length);
}

static void
must_be_null(const char *broken)
{
	if (broken == NULL)
		return;
	fprintf(stderr, "broken rule: %s\n", broken);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rte_mbuf segments[2];
	struct unit unit;
	uint16_t first;
	bool accepted;

	if (size <= sizeof(unit) || size - sizeof(unit) > UINT16_MAX)
		return -1;
	memcpy(&unit, data, sizeof(unit));
	data += sizeof(unit);
	size -= sizeof(unit);
	first = unit.first < size ? unit.first : (uint16_t)size;
	fill(&segments[0], data, first);
	fill(&segments[1], data + first, size - first);
	segments[0].pkt_len = size;
	if (first < size) {
		segments[0].next = &segments[1];
		segments[0].nb_segs = 2;
	}

	must_be_null(rules_of_read(&segments[0], &unit.header, unit.features, &accepted));
	segments[0].tx_offload = unit.tx_offload;
	segments[0].ol_flags = unit.ol_flags;
	must_be_null(rules_of_write(&segments[0], unit.features));
	free(segments[0].buf_addr);
	free(segments[1].buf_addr);
	return 0;
}
