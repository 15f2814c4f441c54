/* SPDX-License-Identifier: BSD-3-Clause */
/* The offload driver at the entry of a port (vio/offload.h): what the port does not do itself is done here. */
#include "core/path_inline.h"

static void
complete(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	if (unlikely(pv_offload_complete(packet) != 0)) {
		pv_drop(worker, to, PV_DROP_NEEDS_OFFLOAD, packet);
		return;
	}
	worker->ports[to].completed++;
	pv_path_put(worker, packet, to, &pv_any_shape);
}

/* A packet counts as cut when all of it was, else as dropped: packets in, less those cut, and segments are packets out.
 */
static void
segment(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	struct pv_port_counters *counters = &worker->ports[to];
	bool leaves_checksum = (worker->datapath->ports[to]->offloads & PV_OFFLOAD_CSUM) != 0;
	struct pv_segmenter segmenter;
	struct rte_mbuf *next;

	if (unlikely(pv_segmenter_begin(&segmenter, packet, worker->datapath->pool, leaves_checksum) != 0)) {
		pv_drop(worker, to, PV_DROP_NEEDS_OFFLOAD, packet);
		return;
	}
	while ((next = pv_segmenter_next(&segmenter)) != NULL) {
		counters->segments++;
		pv_path_put(worker, next, to, &pv_any_shape);
	}
	if (unlikely(segmenter.left > 0)) {
		pv_drop(worker, to, PV_DROP_NO_BUFFER, packet);
		return;
	}
	counters->segmented++;
	rte_pktmbuf_free(packet);
}

__rte_noinline void
pv_do_offload(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	if ((packet->ol_flags & PV_SEGMENTATION_FLAGS) != 0)
		segment(worker, packet, to);
	else
		complete(worker, packet, to);
}
