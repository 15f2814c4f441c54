/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host-io of a descriptor with one frame per read(2) and write(2), per burst: reads are kept posted in an io_uring, so
 * an empty poll looks at shared memory and makes no call, and what was used up is posted again with one call per burst;
 * writes of a burst go with one call. The packet buffers are registered with the kernel. (The descriptor is not: a ring
 * would keep the interface there for a while after it was closed.)
 *
 * Order: the posted reads complete in the order in which the kernel runs them, one after the other in the context of
 * the worker, and each takes the next frame of the device's queue; so the completions are in the order of the frames.
 * Writes are carried out while they are submitted, in order. Frames that the kernel still holds when a burst ends are
 * freed when their completion is seen; those that refer to a guest's memory are taken back instead, and count as
 * refused, so that no guest waits for the kernel. (A tap holds none.)
 */
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "base/critical.h"
#include "base/limits.h"
#include "base/log.h"
#include "vio/host_frame.h"
#include "vio/uring.h"

#define CANCELLATION UINT64_MAX /* user data of a request that takes another back */
#define CHUNKS_MAX 64		/* of the pool's memory that are registered */

struct batched {
	struct io_uring reads, writes;
	int fd;
	int event_fd;	   /* of completed reads */
	bool registered;   /* the buffers are, in both rings: */
	uint16_t n_chunks; /* the memory of the pool */
	struct iovec chunks[CHUNKS_MAX];
	uint16_t slots;
	uint16_t writing;  /* frames that the kernel holds, */
	uint16_t borrowed; /* and of those, that refer to a guest's memory */
	struct rte_mempool *pool;
	struct pv_host_io_counters counters;
	uint16_t n_empty;	 /* read slots without a buffer */
	uint16_t *empty;	 /* which */
	struct rte_mbuf **read;	 /* by slot: the buffer of the posted read */
	struct rte_mbuf **write; /* by slot: the frame being written */
	uint16_t *free_writes;	 /* slots free for writing: slots - writing of them */
	struct iovec *pieces;	 /* by slot, PV_HOST_SEGMENTS_MAX + 1 each: io_uring may read them later */
};

static void
submit(struct batched *batched, struct io_uring *ring)
{
	io_uring_submit(ring);
	batched->counters.calls++;
}

/* The number of the registered memory that bytes are in, or -1. */
static int
find_chunk(const struct batched *batched, const char *at, size_t length)
{
	for (uint16_t i = 0; batched->registered && i < batched->n_chunks; i++) {
		size_t offset = (size_t)(at - (const char *)batched->chunks[i].iov_base);

		if (offset < batched->chunks[i].iov_len && length <= batched->chunks[i].iov_len - offset)
			return i;
	}
	return -1;
}

static void
prepare_read(const struct batched *batched, struct io_uring_sqe *sqe, struct rte_mbuf *packet)
{
	void *at = pv_host_read_address(packet);
	uint32_t room = pv_host_read_room(packet);
	int chunk = find_chunk(batched, at, room);

	if (likely(chunk >= 0))
		io_uring_prep_read_fixed(sqe, batched->fd, at, room, 0, chunk);
	else
		io_uring_prep_read(sqe, batched->fd, at, room, 0);
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
		prepare_read(batched, sqe, packet);
		io_uring_sqe_set_data64(sqe, slot);
		batched->read[slot] = packet;
		batched->n_empty--;
		posted++;
	}
	if (posted > 0)
		submit(batched, &batched->reads);
}

/* The frame of a completed read, or NULL when there is none in it. Its slot is free. */
static struct rte_mbuf *
take_read(struct batched *batched, const struct io_uring_cqe *cqe)
{
	uint16_t slot = (uint16_t)io_uring_cqe_get_data64(cqe);
	struct rte_mbuf *packet = batched->read[slot];

	batched->read[slot] = NULL;
	batched->empty[batched->n_empty++] = slot;
	if (unlikely(cqe->res < PV_HOST_HEADER)) {
		rte_pktmbuf_free(packet);
		return NULL;
	}
	pv_host_set_length(packet, cqe->res);
	return packet;
}

static uint16_t
batched_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct batched *batched = (struct batched *)channel;
	struct io_uring_cqe *cqes[PV_BURST_MAX];
	unsigned int n = io_uring_peek_batch_cqe(&batched->reads, cqes, RTE_MIN(count, PV_BURST_MAX));
	struct pv_events *events = pv_critical_events();
	uint16_t received = 0;

	for (unsigned int i = 0; i < n; i++) {
		bool before = pv_critical_enter(events);

		packets[received] = take_read(batched, cqes[i]);
		received += packets[received] != NULL;
		pv_critical_leave(events, before);
	}
	io_uring_cq_advance(&batched->reads, n);
	if (batched->n_empty > 0)
		post_reads(batched);
	batched->counters.frames += received;
	return received;
}

/* Whether a packet refers to memory that is not ours to keep. */
static bool
is_borrowed(const struct rte_mbuf *packet)
{
	for (; packet != NULL; packet = packet->next)
		if (RTE_MBUF_HAS_EXTBUF(packet))
			return true;
	return false;
}

static void
end_write(struct batched *batched, const struct io_uring_cqe *cqe)
{
	uint64_t slot = io_uring_cqe_get_data64(cqe);

	if (slot == CANCELLATION)
		return;
	if (unlikely(cqe->res < 0))
		pv_host_count_refused(&batched->counters, batched->write[slot]);
	else
		batched->counters.frames++;
	batched->borrowed -= is_borrowed(batched->write[slot]);
	rte_pktmbuf_free(batched->write[slot]);
	batched->write[slot] = NULL;
	batched->writing--;
	batched->free_writes[batched->slots - batched->writing - 1] = (uint16_t)slot;
}

static void
reap_writes(struct batched *batched)
{
	struct io_uring_cqe *cqes[PV_BURST_MAX];
	unsigned int n;

	while (batched->writing > 0 && (n = io_uring_peek_batch_cqe(&batched->writes, cqes, PV_BURST_MAX)) > 0) {
		for (unsigned int i = 0; i < n; i++)
			end_write(batched, cqes[i]);
		io_uring_cq_advance(&batched->writes, n);
	}
}

/* Asks for everything that is under way on a ring to be given up. */
static void
cancel_all(struct io_uring *ring, struct rte_mbuf *const *buffers, uint16_t slots)
{
	for (uint16_t slot = 0; slot < slots; slot++) {
		struct io_uring_sqe *sqe = buffers[slot] != NULL ? io_uring_get_sqe(ring) : NULL;

		if (sqe == NULL)
			continue;
		io_uring_prep_cancel64(sqe, slot, 0);
		io_uring_sqe_set_data64(sqe, CANCELLATION);
	}
	io_uring_submit(ring);
}

static void
take_back_writes(struct batched *batched)
{
	struct io_uring_cqe *cqe;

	cancel_all(&batched->writes, batched->write, batched->slots);
	while (batched->writing > 0 && pv_uring_wait(&batched->writes, &cqe)) {
		end_write(batched, cqe);
		io_uring_cqe_seen(&batched->writes, cqe);
	}
}

/*
 * A frame that is one piece of ours, with room for its header before it, is written from registered memory. False when
 * it cannot be described.
 */
static bool
prepare_write(struct batched *batched, struct io_uring_sqe **sqe, const struct rte_mbuf *packet, struct iovec *pieces)
{
	const char *at = rte_pktmbuf_mtod(packet, const char *) - PV_HOST_HEADER;
	uint32_t length = packet->data_len + PV_HOST_HEADER;
	bool fixed = packet->nb_segs == 1 && pv_host_put_header(packet);
	int chunk = fixed ? find_chunk(batched, at, length) : -1;
	unsigned int n = chunk < 0 ? pv_host_gather(packet, pieces) : 1;

	if (unlikely(n == 0))
		return false;
	*sqe = io_uring_get_sqe(&batched->writes); /* never NULL: as many entries as slots */
	if (likely(chunk >= 0))
		io_uring_prep_write_fixed(*sqe, batched->fd, at, length, 0, chunk);
	else
		io_uring_prep_writev(*sqe, batched->fd, pieces, n, 0);
	return true;
}

static void
post_write(struct batched *batched, struct rte_mbuf *packet)
{
	uint16_t slot = batched->free_writes[batched->slots - batched->writing - 1];
	struct io_uring_sqe *sqe;

	if (unlikely(!prepare_write(batched, &sqe, packet, &batched->pieces[slot * (PV_HOST_SEGMENTS_MAX + 1)]))) {
		pv_host_count_refused(&batched->counters, packet);
		rte_pktmbuf_free(packet);
		return;
	}
	io_uring_sqe_set_data64(sqe, slot);
	batched->write[slot] = packet;
	batched->writing++;
	batched->borrowed += is_borrowed(packet);
}

static uint16_t
batched_write(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct batched *batched = (struct batched *)channel;
	uint16_t before = batched->writing, n = 0;

	struct pv_events *events = pv_critical_events();

	while (n < count && batched->writing < batched->slots) {
		bool entered = pv_critical_enter(events);

		post_write(batched, packets[n++]);
		pv_critical_leave(events, entered);
	}
	if (batched->writing > before)
		submit(batched, &batched->writes);
	reap_writes(batched);
	if (unlikely(batched->borrowed > 0))
		take_back_writes(batched);
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
 * Takes the posted reads back, so that the buffers are ours again: leaving a ring only begins to cancel, and the kernel
 * might still write into a buffer that somebody else has got by then. What was read before goes to `left`.
 */
static uint16_t
take_back_reads(struct batched *batched, struct rte_mbuf **left)
{
	uint16_t posted = batched->slots - batched->n_empty, n = 0;
	struct io_uring_cqe *cqe;

	cancel_all(&batched->reads, batched->read, batched->slots);
	while (posted > 0 && pv_uring_wait(&batched->reads, &cqe)) {
		uint64_t slot = io_uring_cqe_get_data64(cqe);

		if (slot != CANCELLATION && cqe->res >= PV_HOST_HEADER) {
			pv_host_set_length(batched->read[slot], cqe->res);
			left[n++] = batched->read[slot];
			batched->read[slot] = NULL;
		}
		posted -= slot != CANCELLATION;
		io_uring_cqe_seen(&batched->reads, cqe);
	}
	rte_pktmbuf_free_bulk(batched->read, batched->slots);
	return n;
}

static bool
batched_has_frames(const struct pv_host_channel *channel)
{
	return io_uring_cq_ready(&((const struct batched *)channel)->reads) > 0;
}

static int
batched_event_fd(const struct pv_host_channel *channel)
{
	return ((const struct batched *)channel)->event_fd;
}

static void
close_rings(struct batched *batched)
{
	io_uring_queue_exit(&batched->reads);
	io_uring_queue_exit(&batched->writes);
	if (batched->event_fd >= 0)
		close(batched->event_fd);
}

static uint16_t
batched_close(struct pv_host_channel *channel, struct rte_mbuf **left, struct pv_host_io_counters *last)
{
	struct batched *batched = (struct batched *)channel;
	uint16_t n;

	take_back_writes(batched);
	n = take_back_reads(batched, left);
	*last = batched->counters;
	close_rings(batched);
	free_batched(batched);
	return n;
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
	batched->pieces = rte_calloc("pv_batched", slots, (PV_HOST_SEGMENTS_MAX + 1) * sizeof(*batched->pieces), 0);
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

static void
note_chunk(struct rte_mempool *pool, void *argument, struct rte_mempool_memhdr *memory, unsigned int index)
{
	struct batched *batched = argument;

	if (batched->n_chunks < CHUNKS_MAX)
		batched->chunks[batched->n_chunks++] = (struct iovec){ memory->addr, memory->len };
}

/* Frames work without it, so a limit of locked memory that is too low costs speed only. */
static void
register_buffers(struct batched *batched)
{
	int result;

	rte_mempool_mem_iter(batched->pool, note_chunk, batched);
	result = io_uring_register_buffers(&batched->reads, batched->chunks, batched->n_chunks);
	if (result == 0)
		result = io_uring_register_buffers(&batched->writes, batched->chunks, batched->n_chunks);
	batched->registered = result == 0;
	if (result != 0)
		pv_info("batched-syscalls", "packet buffers are not registered with the kernel: %s", strerror(-result));
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
	if (result == 0) {
		batched->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		result = batched->event_fd < 0 ? -errno : io_uring_register_eventfd(&batched->reads, batched->event_fd);
		if (result != 0)
			close_rings(batched);
	}
	if (result == 0)
		register_buffers(batched);
	else
		pv_error("batched-syscalls",
			 "the kernel gives no io_uring (%s): kernel.io_uring_disabled must be 0, or use the "
			 "baseline \"uml\" without this stage",
			 strerror(-result));
	return result;
}

static struct pv_host_channel *
batched_open(int fd, struct rte_mempool *pool, uint16_t slots)
{
	struct batched *batched = allocate_batched(slots);
	int result;

	if (batched == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	batched->fd = fd;
	batched->pool = pool;
	/* Otherwise a read would end at once when there is nothing. */
	result = pv_host_set_blocking(fd, true) == 0 ? open_rings(batched) : -errno;
	if (result != 0) {
		free_batched(batched);
		errno = -result;
		return NULL;
	}
	return (struct pv_host_channel *)batched;
}

const struct pv_host_ops pv_host_file_per_burst = {
	.open = batched_open,
	.read = batched_read,
	.write = batched_write,
	.counters = batched_counters,
	.has_frames = batched_has_frames,
	.event_fd = batched_event_fd,
	.close = batched_close,
};
