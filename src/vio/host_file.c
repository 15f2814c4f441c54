/* SPDX-License-Identifier: BSD-3-Clause */
/* host-io of a descriptor with one frame per read(2) and write(2), per packet: one call for each. */
#include <errno.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "base/critical.h"
#include "vio/host_frame.h"

struct single {
	int fd;
	struct rte_mempool *pool;
	struct pv_host_io_counters counters;
};

static struct pv_host_channel *
single_open(int fd, struct rte_mempool *pool, uint16_t slots)
{
	struct single *single = rte_zmalloc("pv_single", sizeof(*single), RTE_CACHE_LINE_SIZE);

	if (single == NULL || pv_host_set_blocking(fd, false) != 0) {
		rte_free(single);
		errno = errno != 0 ? errno : ENOMEM;
		return NULL;
	}
	single->fd = fd;
	single->pool = pool;
	return (struct pv_host_channel *)single;
}

static struct rte_mbuf *
single_read_one(struct single *single)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(single->pool);
	ssize_t bytes;

	if (unlikely(packet == NULL))
		return NULL;
	bytes = read(single->fd, pv_host_read_address(packet), pv_host_read_room(packet));
	single->counters.calls++;
	if (bytes < PV_HOST_HEADER) {
		single->counters.empty++;
		rte_pktmbuf_free(packet);
		return NULL;
	}
	pv_host_set_length(packet, bytes);
	single->counters.frames++;
	return packet;
}

static uint16_t
single_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_events *events = pv_critical_events();
	bool more = true;
	uint16_t n = 0;

	while (more && n < count) {
		bool before = pv_critical_enter(events);

		packets[n] = single_read_one((struct single *)channel);
		more = packets[n] != NULL;
		pv_critical_leave(events, before);
		n += more;
	}
	return n;
}

/* False when the kernel has no room now. */
static bool
single_write_one(struct single *single, const struct rte_mbuf *packet)
{
	struct iovec pieces[PV_HOST_SEGMENTS_MAX + 1];
	unsigned int n_pieces = pv_host_gather(packet, pieces);

	if (n_pieces > 0) {
		single->counters.calls++;
		if (writev(single->fd, pieces, (int)n_pieces) >= 0) {
			single->counters.frames++;
			return true;
		}
		if (errno == EAGAIN)
			return false;
	}
	pv_host_count_refused(&single->counters, packet);
	return true;
}

static uint16_t
single_write(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_events *events = pv_critical_events();
	bool more = true;
	uint16_t n = 0;

	while (more && n < count) {
		bool before = pv_critical_enter(events);

		more = single_write_one((struct single *)channel, packets[n]);
		pv_critical_leave(events, before);
		n += more;
	}
	rte_pktmbuf_free_bulk(packets, n);
	return n;
}

static void
single_counters(const struct pv_host_channel *channel, struct pv_host_io_counters *counters)
{
	*counters = ((const struct single *)channel)->counters;
}

static bool
single_has_frames(const struct pv_host_channel *channel)
{
	/* Of a tap without its interface POLLERR is there for ever. */
	return pv_host_has(((const struct single *)channel)->fd, POLLIN);
}

static uint16_t
single_close(struct pv_host_channel *channel, struct rte_mbuf **left, struct pv_host_io_counters *last)
{
	single_counters(channel, last);
	rte_free(channel);
	return 0;
}

const struct pv_host_ops pv_host_file_per_packet = {
	.open = single_open,
	.read = single_read,
	.write = single_write,
	.counters = single_counters,
	.has_frames = single_has_frames,
	.event_fd = pv_host_no_event_fd,
	.close = single_close,
};
