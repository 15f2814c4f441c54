/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/vio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_vhost.h>

#include "vio/buffers.h"
#include "vio/fault.h"
#include "vio/offload.h"

#define BIT(n) (1ULL << (n))
#define SENDS_LARGE (BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_UFO))
#define WAIT_MAX_US 500 /* for a message to be handled, and */
#define WAIT_SHARE 32	/* one part in so many of the time */
#define WAITS_MAX 3	/* of calls that a port's guests may have made wait before they are shut out */
#define SETTLE_POLL_NS 50000
#define ANSWER_MAX_US 1000			      /* for a frontend to make room in its channel for requests */
#define NEW_RING 0x8000u			      /* base of a packed ring that begins: place 0, wrap counter 1 */
#define SETTLE_WARN_POLLS 20000			      /* about a second */
#define FRAME_LONGEST (UINT16_MAX + PV_PORT_OVERHEAD) /* bytes; of any that a guest can be given */

struct pv_vio *
pv_vio_new(struct pv_port *port, const struct pv_port_env *env)
{
	struct pv_vio *vio;

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {
		pv_error(port->name, "the kernel gives no membarrier(2), which the data path vio needs: %s",
			 strerror(errno));
		return NULL;
	}
	vio = rte_zmalloc(port->name, sizeof(*vio), RTE_CACHE_LINE_SIZE);
	if (vio == NULL)
		return NULL;
	vio->port = port;
	vio->pool = env->pool;
	pv_vio_rebind(vio, env);
	vio->room = rte_pktmbuf_data_room_size(env->pool) - (uint32_t)RTE_PKTMBUF_HEADROOM;
	vio->backend_fd = -1;
	vio->inflight_fd = -1;
	vio->limit.burst = 10;
	vio->control_ring = PV_VIO_NO_RING;
	pv_control_init(&vio->control, port->queues, port->mtu, &port->mac, &port->active_queues);
	return vio;
}

void
pv_vio_rebind(struct pv_vio *vio, const struct pv_port_env *env)
{
	vio->copy_break = env->copy_break;
	vio->translation = env->translation;
	vio->io_channel = env->io_channel;
	vio->protection = env->protection;
}

static void
drop_log(struct pv_vio *vio)
{
	if (vio->log_mapping != NULL) {
		pv_fault_unwatch(vio->log_mapping);
		munmap(vio->log_mapping, vio->log_mapping_size);
	}
	vio->log_mapping = NULL;
	vio->memory.log = NULL;
}

static void
drop_backend_channel(struct pv_vio *vio)
{
	if (vio->backend_fd >= 0)
		close(vio->backend_fd);
	vio->backend_fd = -1;
}

static void
drop_inflight(struct pv_vio *vio)
{
	if (vio->inflight.mapping != NULL)
		pv_fault_unwatch(vio->inflight.mapping);
	pv_inflight_unmap(&vio->inflight);
}

static void
drop_inflight_file(struct pv_vio *vio)
{
	if (vio->inflight_fd >= 0)
		close(vio->inflight_fd);
	vio->inflight_fd = -1;
}

/* Forgets all that belongs to a connection. */
static void
drop_all(struct pv_vio *vio)
{
	pv_vio_drop_memory(vio);
	drop_log(vio);
	drop_backend_channel(vio);
	drop_inflight(vio);
	drop_inflight_file(vio);
}

void
pv_vio_free(struct pv_vio *vio)
{
	if (vio == NULL)
		return;
	drop_all(vio);
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		pv_translator_free(vio->rings[i].translator);
	rte_free(vio->iotlb);
	rte_free(vio->rings[0].held);
	rte_free(vio);
}

/* --- what the frontend tells -------------------------------------------------------------------------------------- */

void
pv_vio_connected(struct pv_vio *vio)
{
	drop_all(vio);
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		vio->enabled[i] = false;
	vio->faulted = 0;
	vio->remembered = NULL; /* the caller has given it up with the connection before */
	vio->control_ring = PV_VIO_NO_RING;
	pv_control_reset(&vio->control);
}

static void
close_window(struct pv_vio *vio)
{
	if (vio->memory.window == NULL)
		return;
	pv_window_close(&vio->window, &vio->memory);
	if (vio->iotlb != NULL)
		pv_iotlb_clear(vio->iotlb); /* a frontend may have filled it meanwhile, although nobody uses it */
}

void
pv_vio_drop_memory(struct pv_vio *vio)
{
	close_window(vio);
	vio->no_window = NULL;
	vio->memory_known = false;
	vio->memory.n_regions = 0;
	vio->memory.n_direct = 0;
	vio->files.n = 0;
	if (vio->iotlb != NULL)
		pv_iotlb_clear(vio->iotlb); /* it has our addresses of the memory */
}

void
pv_vio_take_memory(struct pv_vio *vio, int vid)
{
	struct rte_vhost_memory *table;

	pv_vio_drop_memory(vio);
	if (rte_vhost_get_mem_table(vid, &table) != 0)
		return;
	for (uint32_t i = 0; i < table->nregions && i < PV_REGIONS_MAX; i++) {
		const struct rte_vhost_mem_region *from = &table->regions[i];

		vio->memory.regions[vio->memory.n_regions++] = (struct pv_region){
			.guest = from->guest_phys_addr,
			.user = from->guest_user_addr,
			.size = from->size,
			.host = (uint8_t *)(uintptr_t)from->host_user_addr,
		};
		pv_grant_files_add(&vio->files, from->fd, from->mmap_addr, from->mmap_size);
	}
	vio->memory_known = true;
	free(table);
}

int
pv_vio_set_log(struct pv_vio *vio, int fd, uint64_t size, uint64_t offset)
{
	void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (mapping == MAP_FAILED)
		return -errno;
	drop_log(vio);
	vio->log_mapping = mapping;
	vio->log_mapping_size = size;
	pv_fault_watch(mapping, size, &vio->faulted);
	return 0;
}

/* Whether the rings will be packed; asked before a guest is attached, too. */
static bool
is_packed(int vid)
{
	uint64_t features = 0;

	rte_vhost_get_negotiated_features(vid, &features);
	return (features & BIT(VIRTIO_F_RING_PACKED)) != 0;
}

int
pv_vio_make_inflight(struct pv_vio *vio, int vid, struct pv_vhost_message *message)
{
	struct pv_vhost_inflight asked = message->payload.inflight;
	size_t size = pv_inflight_size(asked.num_queues, asked.queue_size, is_packed(vid));
	int fd = pv_inflight_create(size);

	if (fd < 0)
		return fd;
	drop_inflight_file(vio);
	vio->inflight_fd = fd;
	asked.mmap_size = size;
	asked.mmap_offset = 0;
	message->payload.inflight = asked;
	message->size = sizeof(asked);
	message->fds[0] = fd;
	message->fd_num = 1;
	return 0;
}

int
pv_vio_set_inflight(struct pv_vio *vio, int vid, const struct pv_vhost_message *message)
{
	struct pv_vhost_inflight given = message->payload.inflight;
	int result;

	if (message->fd_num != 1)
		return -EINVAL;
	drop_inflight(vio);
	result = pv_inflight_map(&vio->inflight, message->fds[0], given.mmap_size, given.mmap_offset, given.num_queues,
				 given.queue_size, is_packed(vid));
	if (result == 0)
		pv_fault_watch(vio->inflight.mapping, vio->inflight.mapping_size, &vio->faulted);
	return result;
}

void
pv_vio_tell_base(struct pv_vio *vio, uint32_t ring)
{
	if (vio->remembered != NULL && ring < RTE_DIM(vio->remembered->rings))
		vio->remembered->rings[ring].live = 0;
}

void
pv_vio_set_backend_channel(struct pv_vio *vio, int fd)
{
	const struct timeval longest = { .tv_usec = ANSWER_MAX_US };

	drop_backend_channel(vio);
	vio->backend_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* The library asks for addresses there, too, and would wait for a frontend that does not read. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest));
}

static void
insert_range(struct pv_vio *vio, const struct pv_vhost_iotlb *message)
{
	uint8_t *host = pv_memory_at_user(&vio->memory, message->user_address, message->size);

	if (host != NULL && message->size > 0 && message->address + message->size - 1 >= message->address)
		pv_iotlb_insert(vio->iotlb, message->address, message->size, host, message->permissions);
}

/* Most ports never need one. With it comes room for the frames that have to wait for it. */
static bool
has_iotlb(struct pv_vio *vio)
{
	struct rte_mbuf **held;

	if (vio->iotlb != NULL)
		return true;
	held = rte_calloc("pv_held", (size_t)PV_QUEUES_MAX * PV_VIO_HELD_MAX, sizeof(*held), RTE_CACHE_LINE_SIZE);
	vio->iotlb = rte_zmalloc("pv_iotlb", sizeof(*vio->iotlb), RTE_CACHE_LINE_SIZE);
	if (vio->iotlb == NULL || held == NULL) {
		rte_free(held);
		rte_free(vio->iotlb);
		vio->iotlb = NULL;
		return false;
	}
	for (uint16_t queue = 0; queue < PV_QUEUES_MAX; queue++)
		vio->rings[2 * queue].held = held + (size_t)queue * PV_VIO_HELD_MAX;
	return true;
}

void
pv_vio_iotlb_message(struct pv_vio *vio, const struct pv_vhost_message *message)
{
	struct pv_vhost_iotlb change = message->payload.iotlb;

	if (!has_iotlb(vio))
		return;
	if (change.type == VHOST_IOTLB_UPDATE)
		insert_range(vio, &change);
	else if (change.type == VHOST_IOTLB_INVALIDATE)
		pv_iotlb_remove(vio->iotlb, change.address, change.size);
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		vio->rings[i].asked = 0;
}

void
pv_vio_choose_control(struct pv_vio *vio, uint64_t features)
{
	bool multiqueue = (features & BIT(VIRTIO_NET_F_MQ)) != 0;

	vio->enabled[PV_VIO_CONTROL] = false;
	vio->control_ring = PV_VIO_NO_RING;
	vio->tells_segments = (features & BIT(VIRTIO_NET_F_RSC_EXT)) != 0;
	pv_control_reset(&vio->control);
	if ((features & BIT(VIRTIO_NET_F_CTRL_VQ)) == 0)
		return;
	vio->control_ring = pv_control_ring(vio->port->queues, multiqueue);
	vio->control.multiqueue = multiqueue;
	vio->port->active_queues = vio->control.pairs;
}

void
pv_vio_place_ring(struct pv_vio *vio, const struct pv_vhost_vring_addr *at)
{
	if (at->index >= PV_VIO_CONTROL)
		return;
	vio->rings[at->index].areas[0] = at->descriptor;
	vio->rings[at->index].areas[1] = at->available;
	vio->rings[at->index].areas[2] = at->used;
}

void
pv_vio_announce(struct pv_vio *vio, const uint8_t mac[RTE_ETHER_ADDR_LEN])
{
	memcpy(vio->announced.addr_bytes, mac, RTE_ETHER_ADDR_LEN);
	vio->announce = true;
	vio->port->wake(vio->port, 0);
}

void
pv_vio_enable_ring(struct pv_vio *vio, uint16_t ring, bool enabled)
{
	vio->enabled[ring] = enabled;
}

/* --- taking over and giving back ---------------------------------------------------------------------------------- */

/* A guest that transmits with shared buffers needs to know what is out. */
static int
make_loans(struct pv_vio_ring *ring)
{
	ring->n_loans = rte_align32pow2(ring->queue.size);
	ring->loan_head = ring->loan_tail = 0;
	ring->loans = rte_calloc("pv_loans", ring->n_loans, sizeof(*ring->loans), RTE_CACHE_LINE_SIZE);
	if (ring->loans == NULL)
		return -ENOMEM;
	pv_vio_init_loans(ring);
	return 0;
}

/* The translator of a ring, empty; it is kept from one load to the next, as making one takes longer than a message. */
static int
prepare_translator(struct pv_vio *vio, struct pv_vio_ring *ring, bool guest_transmits)
{
	if (memcmp(&ring->translation, &vio->translation, sizeof(ring->translation)) != 0) {
		pv_translator_free(ring->translator);
		ring->translator = pv_translator_new(&vio->translation, &vio->memory, &ring->translated);
		ring->translation = vio->translation;
	}
	if (ring->translator == NULL && vio->translation.way != PV_TRANSLATE_REGION) {
		ring->translation.way = PV_TRANSLATE_REGION; /* to be tried again */
		return -ENOMEM;
	}
	if (ring->translator != NULL)
		pv_translator_flush(ring->translator);
	ring->queue.translator = ring->translator;
	ring->queue.longest = vio->header_size + (guest_transmits ? vio->frame_limit : FRAME_LONGEST);
	return 0;
}

/* What maps a ring's packets one by one, if that is the way. */
static int
prepare_grants(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	if (vio->io_channel.way != PV_CHANNEL_GRANT)
		return 0;
	ring->grants = pv_grants_new(&vio->files, &vio->memory, ring->queue.scratch_max, &vio->faulted, &ring->granted);
	return ring->grants != NULL ? 0 : -ENOMEM;
}

/* The slot of the port that a ring's kicks are told under; none for those that we are not kicked about. */
static bool
find_slot(const struct pv_vio *vio, const struct pv_vio_ring *ring, uint16_t *slot)
{
	uint16_t index = (uint16_t)(ring - vio->rings);

	*slot = index / 2;
	return index == PV_VIO_CONTROL || index % 2 == 1;
}

static void
watch_kicks(struct pv_vio *vio, const struct pv_vio_ring *ring, int fd)
{
	uint16_t slot;

	if (find_slot(vio, ring, &slot))
		vio->port->watch(vio->port, slot, fd);
}

/* A worker has gathered calls of this ring (vio/interrupts.h), and cannot make them any more. */
static void
call_for_worker(struct pv_vio_ring *ring)
{
	if (ring->uncalled > 0 && pv_virtqueue_wants_call(&ring->queue))
		pv_vio_call_unless_full(ring);
	ring->uncalled = 0;
}

static void
unload_ring(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	watch_kicks(vio, ring, -1);
	ring->ready = false;
	ring->loaded = false;
	pv_virtqueue_fini(&ring->queue);
	rte_free(ring->loans);
	ring->loans = NULL;
	pv_grants_free(ring->grants);
	ring->grants = NULL;
}

/* The library's number of the ring that has this place here. */
static uint16_t
number_of(const struct pv_vio *vio, uint16_t place)
{
	return place == PV_VIO_CONTROL ? vio->control_ring : place;
}

/* What the library knows of a ring; false when that is not all. */
static bool
describe_ring(const struct pv_vio *vio, int vid, uint16_t index, struct pv_virtqueue_setup *setup, int *call_fd,
	      int *kick_fd)
{
	struct rte_vhost_vring vring;
	bool logging = (vio->features & BIT(VHOST_F_LOG_ALL)) != 0;

	if (rte_vhost_get_vhost_vring(vid, index, &vring) != 0 || vring.desc == NULL || vring.avail == NULL ||
	    vring.used == NULL || rte_vhost_get_vring_base(vid, index, &setup->avail_base, &setup->used_base) != 0)
		return false;
	setup->descriptors = pv_window_move(&vio->window, &vio->memory, vring.desc);
	setup->driver = pv_window_move(&vio->window, &vio->memory, vring.avail);
	setup->device = pv_window_move(&vio->window, &vio->memory, vring.used);
	setup->size = vring.size;
	setup->features = vio->features;
	setup->log_used = logging && vring.log_guest_addr != 0;
	setup->used_guest = vring.log_guest_addr;
	*call_fd = vring.callfd;
	*kick_fd = vring.kickfd;
	return true;
}

/* A write to an eventfd that nobody reads from would wait otherwise, and the worker with it. */
static void
never_wait(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_NONBLOCK) == 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Whether the device has used something in a packed ring. A driver begins with one of zeroes. */
static bool
was_used(const struct pv_virtqueue *queue)
{
	for (uint16_t i = 0; i < queue->size; i++)
		if ((pv_packed_rest(&queue->ring[i]).flags & PV_PACKED_USED) != 0)
			return true;
	return false;
}

/* A packed ring whose place nobody else keeps; where it was left, if it is the ring that we knew: then true. */
static bool
remember_ring(struct pv_vio *vio, uint16_t index, struct pv_virtqueue *queue, uint16_t told, bool first)
{
	struct pv_remembered_ring *known = &vio->remembered->rings[index];
	uint64_t guest = pv_memory_guest_address(&vio->memory, queue->ring);
	/* Another guest of the same make, or one that was reset meanwhile, may have its ring in the very same place. */
	bool begins = told == NEW_RING && !was_used(queue);
	bool same = first && known->live && known->guest == guest && known->size == queue->size &&
		    known->told == told && !begins;

	pv_inflight_begin(queue, &known->journal, same);
	known->guest = guest;
	known->size = queue->size;
	known->live = 1;
	if (first)
		known->told = told;
	return same;
}

/* Has the ring's place kept where it outlives us. Whether it may go on where another device was killed. */
static bool
track_ring(struct pv_vio *vio, uint16_t index, const struct pv_virtqueue_setup *setup)
{
	struct pv_virtqueue *queue = &vio->rings[index].queue;
	void *region = pv_inflight_region(&vio->inflight, index, queue->size);
	bool first = (vio->begun & BIT(index)) == 0;

	vio->begun |= BIT(index);
	if (region != NULL) {
		/* A split ring's region is always true; a packed one's is not when the guest has begun anew since. */
		pv_inflight_begin(queue, region, !queue->packed || (vio->inflight.known & BIT(index)) == 0);
		vio->inflight.known |= BIT(index);
		return first;
	}
	return queue->packed && vio->remembered != NULL && remember_ring(vio, index, queue, setup->avail_base, first);
}

static void
load_ring(struct pv_vio *vio, int vid, uint16_t index)
{
	struct pv_vio_ring *ring = &vio->rings[index];
	struct pv_virtqueue_setup setup;
	bool guest_transmits = index % 2 == 1;
	int result, kick_fd;

	if (!describe_ring(vio, vid, number_of(vio, index), &setup, &ring->call_fd, &kick_fd))
		return;
	/* Behind an IOMMU the library takes ranges that follow one another there for one piece of memory. */
	result = pv_virtqueue_is_in_memory(&setup, &vio->memory) ? 0 : -EFAULT;
	if (result == 0)
		result = pv_virtqueue_init(&ring->queue, &setup, &vio->memory);
	if (result == 0)
		result = prepare_translator(vio, ring, guest_transmits);
	if (result == 0 && index != PV_VIO_CONTROL) /* commands are no packets */
		result = prepare_grants(vio, ring);
	if (result == 0 && guest_transmits && vio->copy_break != PV_COPY_ALL)
		result = make_loans(ring);
	if (result != 0) {
		pv_log_limited(&vio->port->limit, PV_LOG_WARNING, vio->port->name,
			       "ring %u of %u entries cannot be used: %s", number_of(vio, index), setup.size,
			       strerror(-result));
		unload_ring(vio, ring);
		return;
	}
	if (ring->call_fd >= 0)
		never_wait(ring->call_fd);
	/* A command that is executed again does no harm. Who was killed may not have called for what it gave back. */
	if (index != PV_VIO_CONTROL && track_ring(vio, index, &setup))
		pv_vio_call_unless_full(ring);
	pv_virtqueue_set_kicks(&ring->queue, false);
	ring->asked = 0;
	ring->loaded = true;
	ring->ready = true;
	watch_kicks(vio, ring, kick_fd);
}

/* Waits until no packet refers to what the guest transmitted. The workers go on, and so do the packets. */
static void
wait_for_loans(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	const struct timespec moment = { .tv_nsec = SETTLE_POLL_NS };

	for (uint32_t polls = 0; !pv_vio_settle(ring); polls++) {
		if (polls == SETTLE_WARN_POLLS)
			pv_warning(vio->port->name, "waiting for %u packets that refer to the guest's memory",
				   ring->loan_tail - ring->loan_head);
		nanosleep(&moment, NULL);
	}
}

/* Waits until no worker is in a burst with a ring; see pv_vio_enter(). */
static void
wait_for_bursts(struct pv_vio *vio)
{
	/* Every thread of ours sees what was stored before. It cannot fail: it was registered. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		while (atomic_load_explicit(&vio->rings[i].busy, memory_order_acquire))
			sched_yield();
}

void
pv_vio_pause(struct pv_vio *vio, int vid)
{
	vio->paused = vio->attached; /* first, so that a worker that may not enter knows that it is to wait */
	vio->running = false;
	if (!vio->attached)
		return;
	wait_for_bursts(vio); /* also when no ring is loaded: workers seek rings in the IOTLB then */
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++) {
		struct pv_vio_ring *ring = &vio->rings[i];

		if (!ring->loaded)
			continue;
		wait_for_loans(vio, ring);
		call_for_worker(ring);
		rte_vhost_set_vring_base(vid, number_of(vio, i), pv_virtqueue_avail_base(&ring->queue),
					 pv_virtqueue_used_base(&ring->queue));
		unload_ring(vio, ring);
	}
}

/* What the guest's features mean for the rings. */
static void
take_features(struct pv_vio *vio, int vid)
{
	uint64_t features = vio->features;

	rte_vhost_get_negotiated_features(vid, &features);
	vio->features = features;
	vio->packed = (features & BIT(VIRTIO_F_RING_PACKED)) != 0;
	vio->mergeable = (features & BIT(VIRTIO_NET_F_MRG_RXBUF)) != 0;
	vio->header_size = (features & (BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1))) != 0 ?
				   sizeof(struct virtio_net_hdr_mrg_rxbuf) :
				   sizeof(struct virtio_net_hdr);
	vio->frame_limit =
		(features & SENDS_LARGE) != 0 ? PV_LARGE_FRAME_MAX : RTE_MIN((uint32_t)vio->port->frame_max, vio->room);
	vio->port->offloads = pv_offload_of_guest(features);
}

/* Has the memory lie in a window, unless it does. NULL, or why it cannot. */
static const char *
try_window(struct pv_vio *vio, bool translated)
{
	if (translated)
		return "the guest is behind an IOMMU";
	if (vio->translation.way != PV_TRANSLATE_REGION)
		return "addresses are translated page by page";
	if (vio->io_channel.way == PV_CHANNEL_GRANT)
		return "pages are mapped for each packet";
	if (vio->memory.window != NULL)
		return NULL;
	return pv_window_open(&vio->window, &vio->memory, &vio->files, &vio->faulted);
}

/* A guest whose memory cannot lie in a window has its addresses validated. */
static void
choose_protection(struct pv_vio *vio, bool translated)
{
	bool wanted = vio->protection == PV_PROTECT_WINDOW;
	const char *why = wanted ? try_window(vio, translated) : NULL;

	if (!wanted || why != NULL)
		close_window(vio);
	if (why != NULL && why != vio->no_window)
		pv_log_limited(&vio->port->limit, PV_LOG_WARNING, vio->port->name,
			       "no window for the guest's memory, so its addresses are validated: %s", why);
	vio->no_window = why;
}

/* False without memory. */
static bool
choose_addresses(struct pv_vio *vio)
{
	bool translated = (vio->features & BIT(VIRTIO_F_ACCESS_PLATFORM)) != 0;

	if (translated && !has_iotlb(vio))
		return false;
	choose_protection(vio, translated);
	vio->memory.iotlb = translated ? vio->iotlb : NULL;
	vio->memory.n_direct = translated ? 0 : vio->memory.n_regions;
	vio->memory.log = (vio->features & BIT(VHOST_F_LOG_ALL)) != 0 ? vio->log_mapping : NULL;
	vio->memory.log_size = vio->log_mapping_size;
	return true;
}

/* Whoever looks after the rings looks at once: what came before they could be used is not told. */
static void
wake_all(const struct pv_vio *vio)
{
	for (uint16_t queue = 0; queue < vio->port->queues; queue++)
		vio->port->wake(vio->port, queue);
}

static void
load_rings(struct pv_vio *vio, int vid)
{
	take_features(vio, vid);
	if (!choose_addresses(vio))
		return;
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		if (vio->enabled[i] && !vio->rings[i].loaded)
			load_ring(vio, vid, i);
	vio->running = true;
	wake_all(vio);
}

void
pv_vio_resume(struct pv_vio *vio, int vid)
{
	if (vio->attached && vio->memory_known && !vio->stopped && !vio->port->revoked)
		load_rings(vio, vid);
	vio->paused = false;
}

void
pv_vio_attach(struct pv_vio *vio, int vid, struct pv_remembered *remembered)
{
	vio->attached = true;
	vio->vid = vid;
	vio->stopped = false;
	vio->faulted &= ~PV_FAULT_HOLE; /* the window is another one, with the holes that it has */
	vio->remembered = remembered;
	vio->begun = 0;
	pv_vio_resume(vio, vid);
}

void
pv_vio_detach(struct pv_vio *vio, int vid)
{
	pv_vio_pause(vio, vid);
	for (uint16_t queue = 0; queue < vio->port->queues; queue++)
		pv_vio_drop_held(vio, queue);
	for (uint16_t i = 0; i < PV_VIO_RINGS; i++)
		if (vio->rings[i].translator != NULL)
			pv_translator_rest(vio->rings[i].translator);
	close_window(vio);
	vio->attached = false;
	vio->paused = false;
}

/* --- on the workers ----------------------------------------------------------------------------------------------- */

void
pv_vio_stop(struct pv_vio *vio, const struct pv_vio_ring *ring)
{
	if (atomic_exchange(&vio->stopped, true))
		return;
	vio->running = false;
	vio->port->up = false;
	if (ring->queue.stopped != NULL)
		snprintf(vio->why, sizeof(vio->why), "ring %u: %s: %u", number_of(vio, (uint16_t)(ring - vio->rings)),
			 ring->queue.stopped, ring->queue.stopped_value);
	else
		snprintf(vio->why, sizeof(vio->why), "%s",
			 (vio->faulted & PV_FAULT_CUT) != 0 ? "the file of the guest's memory is shorter than it was" :
							      "an address of the guest is where it has no memory");
	pv_log_limited(&vio->limit, PV_LOG_WARNING, vio->port->name, "stopped until the guest attaches again: %s",
		       vio->why);
}

bool
pv_vio_wait(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	uint64_t start = rte_rdtsc(), longest = rte_get_tsc_hz() / 1000000 * WAIT_MAX_US;

	if (start < ring->may_wait)
		return false;
	while (vio->paused && rte_rdtsc() - start < longest)
		rte_pause();
	ring->may_wait = rte_rdtsc() + WAIT_SHARE * (rte_rdtsc() - start);
	return pv_vio_enter(vio, ring);
}

/* vhost-user protocol, "Back-end message types": VHOST_USER_BACKEND_IOTLB_MSG. */
struct iotlb_request {
	uint32_t request, flags, size;
	struct vhost_iotlb_msg miss;
} __rte_packed;

void
pv_vio_ask_iotlb(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	const struct iotlb_request request = {
		.request = 1,
		.flags = 1, /* the version */
		.size = sizeof(request.miss),
		.miss = { .iova = ring->queue.missing, .perm = VHOST_ACCESS_RW, .type = VHOST_IOTLB_MISS },
	};

	if (vio->backend_fd < 0 || ring->asked == ring->queue.missing + 1)
		return;
	if (send(vio->backend_fd, &request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(request))
		return;
	ring->asked = ring->queue.missing + 1;
	ring->counters.misses++;
}

/* Asks for the first of the ring's areas that is not known; the library takes the answer, and tells when it has all. */
static void
seek_ring(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	for (size_t i = 0; i < RTE_DIM(ring->areas); i++) {
		uint64_t length = 1;
		void *host;

		if (pv_iotlb_find(vio->iotlb, ring->areas[i], &length, false, &host) != -EAGAIN)
			continue;
		ring->queue.missing = ring->areas[i];
		pv_vio_ask_iotlb(vio, ring);
		return;
	}
}

void
pv_vio_seek_rings(struct pv_vio *vio, uint16_t queue)
{
	for (uint16_t i = 0; i < 2; i++) {
		struct pv_vio_ring *ring = &vio->rings[2 * queue + i];

		/* The message thread changes the IOTLB when no ring is busy. */
		ring->busy = true;
		atomic_thread_fence(memory_order_seq_cst);
		if (vio->running && !ring->ready)
			seek_ring(vio, ring);
		pv_vio_leave(ring);
	}
}

void
pv_vio_serve_control(struct pv_vio *vio)
{
	struct pv_vio_ring *ring = &vio->rings[PV_VIO_CONTROL];
	int answered;

	vio->control_rounds = 0;
	if (!pv_vio_enter(vio, ring))
		return;
	answered = pv_control_serve(&vio->control, &ring->queue);
	if (answered > 0)
		wake_all(vio); /* maybe there are more queues in use now */
	if (answered == -EAGAIN)
		pv_vio_ask_iotlb(vio, ring);
	else if (answered > 0 && pv_virtqueue_wants_call(&ring->queue))
		pv_vio_call(vio, ring);
	if (ring->queue.stopped != NULL)
		pv_vio_stop(vio, ring);
	pv_vio_leave(ring);
}

/* Turns kicks of a ring on or off; whether there is something in it, or chains of it are out: nobody tells of those. */
static bool
listen_to_ring(const struct pv_vio *vio, struct pv_vio_ring *ring, bool wanted)
{
	bool work;

	if (!pv_vio_enter(vio, ring))
		return false; /* when it can be used again its port is woken */
	pv_virtqueue_set_kicks(&ring->queue, wanted);
	work = wanted && (pv_virtqueue_has_work(&ring->queue) || ring->loan_head != ring->loan_tail);
	pv_vio_leave(ring);
	return work;
}

bool
pv_vio_listen(struct pv_vio *vio, uint16_t queue, bool wanted)
{
	bool work = listen_to_ring(vio, &vio->rings[2 * queue + 1], wanted);

	if (queue == 0 && vio->control_ring != PV_VIO_NO_RING)
		work |= listen_to_ring(vio, &vio->rings[PV_VIO_CONTROL], wanted);
	/* Memory that is not all there is work, too: the port is to be stopped (pv_vio_receive). */
	return work || (wanted && vio->faulted && vio->rings[2 * queue + 1].ready) || vio->rings[2 * queue].n_held > 0;
}

__thread struct pv_notified pv_notified;

/* Refused when the guest has not taken the calls before: then it will look anyway. */
static ssize_t
call(struct pv_vio_ring *ring)
{
	static const uint64_t one = 1;
	uint64_t start = rte_rdtsc();
	ssize_t result = write(ring->call_fd, &one, sizeof(one));

	ring->counters.calls++;
	pv_notified.calls++;
	pv_notified.cycles += rte_rdtsc() - start;
	return result;
}

static void
count_wait(struct pv_vio *vio)
{
	if (atomic_fetch_add(&vio->waits, 1) + 1 < WAITS_MAX)
		return;
	atomic_store(&vio->waits, 0);
	vio->port->revoked = true;
	pv_warning(vio->port->name,
		   "its guests have made a worker wait %d times, and are shut out: pktvirt-ctl context grant %s lets "
		   "them in",
		   WAITS_MAX, vio->port->name);
}

void
pv_vio_call(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	if (ring->call_fd < 0 || call(ring) >= 0 || errno != EINTR)
		return;
	pv_virtqueue_stop(&ring->queue, "calling the guest waits until it takes the calls before, on descriptor",
			  (uint32_t)ring->call_fd);
	count_wait(vio); /* before a guest can attach anew */
	pv_vio_stop(vio, ring);
}

void
pv_vio_call_unless_full(struct pv_vio_ring *ring)
{
	struct pollfd room = { .fd = ring->call_fd, .events = POLLOUT };

	if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT) != 0 && call(ring) < 0)
		return;
}

/* --- report ------------------------------------------------------------------------------------------------------- */

/* What the guest has asked its control queue for; null without one. */
static json_t *
report_control(const struct pv_vio *vio)
{
	const struct pv_control *control = &vio->control;
	unsigned int modes = control->modes;

	if (vio->control_ring == PV_VIO_NO_RING)
		return json_null();
	return json_pack("{s:i, s:I, s:I, s:b, s:b}", "ring", vio->control_ring, "commands",
			 (json_int_t)control->commands, "refused", (json_int_t)control->refused, "promiscuous",
			 modes >> VIRTIO_NET_CTRL_RX_PROMISC & 1, "all_multicast",
			 modes >> VIRTIO_NET_CTRL_RX_ALLMULTI & 1);
}

static json_t *
report_translation(const struct pv_translation_counters *counters)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "hits", (json_int_t)counters->hits, "misses",
			 (json_int_t)counters->misses, "walks", (json_int_t)counters->walks, "filled",
			 (json_int_t)counters->filled, "odd", (json_int_t)counters->odd, "caught",
			 (json_int_t)counters->caught);
}

static json_t *
report_grants(const struct pv_grant_counters *counters)
{
	return json_pack("{s:I, s:I, s:I, s:s?}", "maps", (json_int_t)counters->maps, "pages",
			 (json_int_t)counters->pages, "failures", (json_int_t)counters->failures, "failure",
			 counters->error != 0 ? strerrorname_np(counters->error) : NULL);
}

static json_t *
report_ring(const struct pv_vio_ring *ring)
{
	return json_pack("{s:b, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "ready", ring->ready, "size",
			 ring->loaded ? ring->queue.size : 0, "calls", (json_int_t)ring->counters.calls, "frames",
			 (json_int_t)ring->counters.frames, "copied", (json_int_t)ring->counters.copied, "shared",
			 (json_int_t)ring->counters.shared, "gathered", (json_int_t)ring->counters.gathered,
			 "iotlb_misses", (json_int_t)ring->counters.misses, "translation",
			 report_translation(&ring->translated), "grants", report_grants(&ring->granted));
}

static double
per_frame(uint64_t times, uint64_t frames)
{
	return frames > 0 ? (double)times / (double)frames : 0.0;
}

/* How memory is protected, or that of the next guest is to be. */
static const char *
protection_of(const struct pv_vio *vio)
{
	if (vio->memory.window != NULL)
		return pv_protection_names[PV_PROTECT_WINDOW];
	return pv_protection_names[vio->attached ? PV_PROTECT_VALIDATE : vio->protection];
}

json_t *
pv_vio_report(const struct pv_vio *vio)
{
	json_t *rings = json_array();
	uint64_t calls = 0, frames = 0, maps = 0;

	for (uint16_t i = 0; i < 2 * vio->port->queues; i++) {
		json_array_append_new(rings, report_ring(&vio->rings[i]));
		calls += vio->rings[i].counters.calls;
		frames += vio->rings[i].counters.frames;
		maps += vio->rings[i].granted.maps;
	}
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:I, s:f, s:f, s:o, s:o}", "buffers",
			 vio->copy_break == PV_COPY_ALL ? "copy" : "shared", "pages",
			 vio->io_channel.way == PV_CHANNEL_GRANT ? "grant" : "persistent", "protection",
			 protection_of(vio), "no_window", vio->no_window, "stopped", vio->stopped ? vio->why : NULL,
			 "notifications", (json_int_t)calls, "notifications_per_frame", per_frame(calls, frames),
			 "mappings_per_frame", per_frame(maps, frames), "control", report_control(vio), "rings", rings);
}
