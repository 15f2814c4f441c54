/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * batched-syscalls: one system call per burst, not per packet, where packets cross into the host kernel.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.2,
 * "Aggregated System Calls": the enhanced UML core crosses the boundary to the host once where UML crosses it several
 * times. pktvirt's boundary to the host is its kernel ports and the notification of guests.
 *
 * per-packet, the baseline of UML: a tap costs one read(2) or write(2) per frame, as UML's tuntap transport does, and a
 * guest is notified (one eventfd write) for every used buffer.
 *
 * per-burst, the stage, and what runs where no baseline asks otherwise: reads of a tap are kept posted in an io_uring,
 * so an empty poll looks at shared memory and makes no call, and what was used up is posted again with one call per
 * burst; writes of a burst go with one call. A guest is notified once per burst.
 *
 * Order: the posted reads complete in the order in which the kernel runs them, one after the other in the context of
 * the worker, and each takes the next frame of the device's queue; so the completions are in the order of the frames.
 * Writes are carried out while they are submitted, in order. Frames that the kernel still holds when a burst ends are
 * freed when their completion is seen.
 *
 * Limits: a kernel without io_uring (or with kernel.io_uring_disabled) has no per-burst way for taps; the port then
 * does not open and says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "base/log.h"
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/host_io.h"

#define SEGMENTS_MAX 16		/* of a frame that is written */
#define CANCELLATION UINT64_MAX /* user data of a request that takes another back */

static const char zeros[64];

/* Describes a frame with its header for writev(2). Returns the number of pieces, 0 when it has too many. */
static unsigned int
gather(const struct rte_mbuf *packet, uint16_t header, struct iovec *pieces)
{
	unsigned int n = 0;

	if (packet->nb_segs > SEGMENTS_MAX)
		return 0;
	pieces[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)zeros, .iov_len = header };
	for (; packet != NULL; packet = packet->next)
		pieces[n++] =
			(struct iovec){ .iov_base = rte_pktmbuf_mtod(packet, void *), .iov_len = packet->data_len };
	return n;
}

/* Where a frame is read to: its header lands in the headroom. */
static void *
read_address(struct rte_mbuf *packet, uint16_t header)
{
	return rte_pktmbuf_mtod(packet, char *) - header;
}

static uint32_t
read_room(const struct rte_mbuf *packet, uint16_t header)
{
	return (uint32_t)rte_pktmbuf_tailroom(packet) + header;
}

static void
set_length(struct rte_mbuf *packet, ssize_t bytes, uint16_t header)
{
	packet->data_len = (uint16_t)(bytes - header);
	packet->pkt_len = packet->data_len;
}

/* --- per packet --------------------------------------------------------------------------------------------------- */

struct single {
	int fd;
	uint16_t header;
	struct rte_mempool *pool;
	struct pv_host_io_counters counters;
};

static struct pv_host_channel *
single_open(int fd, struct rte_mempool *pool, uint16_t header, uint16_t slots)
{
	struct single *single = rte_zmalloc("pv_single", sizeof(*single), RTE_CACHE_LINE_SIZE);

	if (single == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
		rte_free(single);
		errno = errno != 0 ? errno : ENOMEM;
		return NULL;
	}
	single->fd = fd;
	single->header = header;
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
	bytes = read(single->fd, read_address(packet, single->header), read_room(packet, single->header));
	single->counters.calls++;
	if (bytes < single->header) {
		rte_pktmbuf_free(packet);
		return NULL;
	}
	set_length(packet, bytes, single->header);
	single->counters.frames++;
	return packet;
}

static uint16_t
single_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = 0;

	while (n < count && (packets[n] = single_read_one((struct single *)channel)) != NULL)
		n++;
	return n;
}

static void
count_refused(struct pv_host_io_counters *counters, const struct rte_mbuf *packet)
{
	counters->refused++;
	counters->refused_bytes += packet->pkt_len;
}

/* False when the kernel has no room now. */
static bool
single_write_one(struct single *single, const struct rte_mbuf *packet)
{
	struct iovec pieces[SEGMENTS_MAX + 1];
	unsigned int n_pieces = gather(packet, single->header, pieces);

	if (n_pieces > 0) {
		single->counters.calls++;
		if (writev(single->fd, pieces, (int)n_pieces) >= 0) {
			single->counters.frames++;
			return true;
		}
		if (errno == EAGAIN)
			return false;
	}
	count_refused(&single->counters, packet);
	return true;
}

static uint16_t
single_write(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = 0;

	while (n < count && single_write_one((struct single *)channel, packets[n]))
		n++;
	rte_pktmbuf_free_bulk(packets, n);
	return n;
}

static void
single_counters(const struct pv_host_channel *channel, struct pv_host_io_counters *counters)
{
	*counters = ((const struct single *)channel)->counters;
}

static void
single_close(struct pv_host_channel *channel)
{
	struct single *single = (struct single *)channel;

	close(single->fd);
	rte_free(single);
}

static const struct pv_host_io single_io = {
	.frames_per_notification = 1,
	.open = single_open,
	.read = single_read,
	.write = single_write,
	.counters = single_counters,
	.close = single_close,
};

/* --- per burst ---------------------------------------------------------------------------------------------------- */

struct batched {
	struct io_uring reads, writes;
	int fd;
	uint16_t header;
	uint16_t slots;
	uint16_t writing; /* frames that the kernel holds */
	struct rte_mempool *pool;
	struct pv_host_io_counters counters;
	uint16_t n_empty;	 /* read slots without a buffer */
	uint16_t *empty;	 /* which */
	struct rte_mbuf **read;	 /* by slot: the buffer of the posted read */
	struct rte_mbuf **write; /* by slot: the frame being written */
	uint16_t *free_writes;	 /* slots free for writing: slots - writing of them */
	struct iovec *pieces;	 /* by slot, SEGMENTS_MAX + 1 each: io_uring may read them later */
};

static void
submit(struct batched *batched, struct io_uring *ring)
{
	io_uring_submit(ring);
	batched->counters.calls++;
}

/* Posts a read for every slot without one; one call for all. */
static void
post_reads(struct batched *batched)
{
	uint16_t posted = 0;

	while (batched->n_empty > 0) {
		uint16_t slot = batched->empty[batched->n_empty - 1];
		struct rte_mbuf *packet = rte_pktmbuf_alloc(batched->pool);
		struct io_uring_sqe *sqe;

		if (unlikely(packet == NULL))
			break;
		sqe = io_uring_get_sqe(&batched->reads); /* never NULL: as many entries as slots */
		io_uring_prep_read(sqe, batched->fd, read_address(packet, batched->header),
				   read_room(packet, batched->header), 0);
		io_uring_sqe_set_data64(sqe, slot);
		batched->read[slot] = packet;
		batched->n_empty--;
		posted++;
	}
	if (posted > 0)
		submit(batched, &batched->reads);
}

static uint16_t
batched_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct batched *batched = (struct batched *)channel;
	struct io_uring_cqe *cqes[PV_BURST_MAX];
	unsigned int n = io_uring_peek_batch_cqe(&batched->reads, cqes, RTE_MIN(count, PV_BURST_MAX));
	uint16_t received = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t slot = (uint16_t)io_uring_cqe_get_data64(cqes[i]);
		struct rte_mbuf *packet = batched->read[slot];

		if (likely(cqes[i]->res >= batched->header)) {
			set_length(packet, cqes[i]->res, batched->header);
			packets[received++] = packet;
		} else {
			rte_pktmbuf_free(packet);
		}
		batched->read[slot] = NULL;
		batched->empty[batched->n_empty++] = slot;
	}
	io_uring_cq_advance(&batched->reads, n);
	if (batched->n_empty > 0)
		post_reads(batched);
	batched->counters.frames += received;
	return received;
}

static void
reap_writes(struct batched *batched)
{
	struct io_uring_cqe *cqes[PV_BURST_MAX];
	unsigned int n;

	while (batched->writing > 0 && (n = io_uring_peek_batch_cqe(&batched->writes, cqes, PV_BURST_MAX)) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			uint16_t slot = (uint16_t)io_uring_cqe_get_data64(cqes[i]);

			if (unlikely(cqes[i]->res < 0))
				count_refused(&batched->counters, batched->write[slot]);
			else
				batched->counters.frames++;
			rte_pktmbuf_free(batched->write[slot]);
			batched->write[slot] = NULL;
			batched->writing--;
			batched->free_writes[batched->slots - batched->writing - 1] = slot;
		}
		io_uring_cq_advance(&batched->writes, n);
	}
}

static void
prepare_write(struct batched *batched, struct rte_mbuf *packet)
{
	uint16_t slot = batched->free_writes[batched->slots - batched->writing - 1];
	struct iovec *pieces = &batched->pieces[slot * (SEGMENTS_MAX + 1)];
	unsigned int n_pieces = gather(packet, batched->header, pieces);
	struct io_uring_sqe *sqe;

	if (n_pieces == 0) {
		count_refused(&batched->counters, packet);
		rte_pktmbuf_free(packet);
		return;
	}
	sqe = io_uring_get_sqe(&batched->writes);
	io_uring_prep_writev(sqe, batched->fd, pieces, n_pieces, 0);
	io_uring_sqe_set_data64(sqe, slot);
	batched->write[slot] = packet;
	batched->writing++;
}

static uint16_t
batched_write(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct batched *batched = (struct batched *)channel;
	uint16_t before = batched->writing, n = 0;

	while (n < count && batched->writing < batched->slots)
		prepare_write(batched, packets[n++]);
	if (batched->writing > before)
		submit(batched, &batched->writes);
	reap_writes(batched);
	return n;
}

static void
batched_counters(const struct pv_host_channel *channel, struct pv_host_io_counters *counters)
{
	*counters = ((const struct batched *)channel)->counters;
}

static void
free_batched(struct batched *batched)
{
	rte_free(batched->empty);
	rte_free(batched->read);
	rte_free(batched->write);
	rte_free(batched->free_writes);
	rte_free(batched->pieces);
	rte_free(batched);
}

/*
 * Takes back what is posted on a ring, so that the buffers are ours again: leaving a ring only begins to cancel, and
 * the kernel might still write into a buffer that somebody else has got by then.
 */
static void
take_back(struct io_uring *ring, struct rte_mbuf **buffers, uint16_t slots)
{
	struct io_uring_cqe *cqe;
	uint16_t posted = 0;

	for (uint16_t slot = 0; slot < slots; slot++) {
		struct io_uring_sqe *sqe = buffers[slot] != NULL ? io_uring_get_sqe(ring) : NULL;

		if (sqe == NULL)
			continue;
		io_uring_prep_cancel64(sqe, slot, 0);
		io_uring_sqe_set_data64(sqe, CANCELLATION);
		posted++;
	}
	io_uring_submit(ring);
	while (posted > 0 && io_uring_wait_cqe(ring, &cqe) == 0) {
		if (io_uring_cqe_get_data64(cqe) != CANCELLATION)
			posted--;
		io_uring_cqe_seen(ring, cqe);
	}
	rte_pktmbuf_free_bulk(buffers, slots);
}

static void
batched_close(struct pv_host_channel *channel)
{
	struct batched *batched = (struct batched *)channel;

	take_back(&batched->reads, batched->read, batched->slots);
	take_back(&batched->writes, batched->write, batched->slots);
	io_uring_queue_exit(&batched->reads);
	io_uring_queue_exit(&batched->writes);
	close(batched->fd);
	free_batched(batched);
}

static struct batched *
allocate_batched(uint16_t slots)
{
	struct batched *batched = rte_zmalloc("pv_batched", sizeof(*batched), RTE_CACHE_LINE_SIZE);

	if (batched == NULL)
		return NULL;
	batched->slots = slots;
	batched->empty = rte_calloc("pv_batched", slots, sizeof(*batched->empty), 0);
	batched->read = rte_calloc("pv_batched", slots, sizeof(*batched->read), 0);
	batched->write = rte_calloc("pv_batched", slots, sizeof(*batched->write), 0);
	batched->free_writes = rte_calloc("pv_batched", slots, sizeof(*batched->free_writes), 0);
	batched->pieces = rte_calloc("pv_batched", slots, (SEGMENTS_MAX + 1) * sizeof(*batched->pieces), 0);
	if (batched->empty == NULL || batched->read == NULL || batched->write == NULL || batched->free_writes == NULL ||
	    batched->pieces == NULL) {
		free_batched(batched);
		return NULL;
	}
	for (uint16_t slot = 0; slot < slots; slot++)
		batched->empty[slot] = batched->free_writes[slot] = slot;
	batched->n_empty = slots;
	return batched;
}

static int
open_rings(struct batched *batched)
{
	int result = io_uring_queue_init(batched->slots, &batched->reads, 0);

	if (result == 0) {
		result = io_uring_queue_init(batched->slots, &batched->writes, 0);
		if (result != 0)
			io_uring_queue_exit(&batched->reads);
	}
	if (result != 0)
		pv_error("batched-syscalls",
			 "the kernel gives no io_uring (%s): kernel.io_uring_disabled must be 0, or use the "
			 "baseline \"uml\" without this stage",
			 strerror(-result));
	return result;
}

static struct pv_host_channel *
batched_open(int fd, struct rte_mempool *pool, uint16_t header, uint16_t slots)
{
	struct batched *batched = allocate_batched(slots);
	int result;

	if (batched == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	result = open_rings(batched);
	if (result != 0) {
		free_batched(batched);
		errno = -result;
		return NULL;
	}
	batched->fd = fd;
	batched->header = header;
	batched->pool = pool;
	return (struct pv_host_channel *)batched;
}

static const struct pv_host_io batched_io = {
	.frames_per_notification = PV_BURST_MAX,
	.open = batched_open,
	.read = batched_read,
	.write = batched_write,
	.counters = batched_counters,
	.close = batched_close,
};

/* --- registration ------------------------------------------------------------------------------------------------- */

static const struct pv_implementation per_packet = {
	.primitive = PV_PRIMITIVE_HOST_IO,
	.name = "per-packet",
	.summary = "one system call for each frame of a tap and each used buffer of a guest",
	.baselines = 1u << PV_BASELINE_UML,
	.ops = &single_io,
};
PV_IMPLEMENTATION(per_packet)

static const struct pv_implementation per_burst = {
	.primitive = PV_PRIMITIVE_HOST_IO,
	.name = "per-burst",
	.summary = "one system call for a burst of frames (io_uring), one notification of a guest per burst",
	.plain = true,
	.ops = &batched_io,
};
PV_IMPLEMENTATION(per_burst)

static const char *
bind_host_io(const void *options)
{
	return per_burst.name;
}

static const struct pv_stage batched_syscalls = {
	.name = "batched-syscalls",
	.summary = "one system call per burst at every boundary to the host, not one per packet",
	.source = "Koh et al., LCN 2006, section 4.2 (aggregated system calls)",
	.primitive = PV_PRIMITIVE_HOST_IO,
	.bind = bind_host_io,
};
PV_STAGE(batched_syscalls)
