/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_malloc.h>

static void
must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "vio_bench: %s\n", what);
	abort();
}

static void
count_drop(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets)
{
	struct bench *bench = port->priv;

	must(queue == 0 && reason < PV_DROP_CORE_COUNT, "a drop of an unknown queue or reason");
	bench->dropped[reason] += packets;
}

static void
count_refused(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets, uint64_t bytes)
{
	struct bench *bench = port->priv;

	must(queue == 0 && reason < PV_DROP_CORE_COUNT, "a refusal of an unknown queue or reason");
	bench->refused[reason] += packets;
	bench->refused_bytes += bytes;
}

static void
watch(struct pv_port *port, uint16_t slot, int fd)
{
}

static void
wake(struct pv_port *port, uint16_t queue)
{
}

struct rte_mempool *
bench_pool(unsigned int packets)
{
	static unsigned int number;
	struct rte_mempool *pool;
	char name[32];

	snprintf(name, sizeof(name), "bench%u", number++);
	pool = rte_pktmbuf_pool_create(name, packets, 0, 0, RTE_PKTMBUF_HEADROOM + BENCH_ROOM, SOCKET_ID_ANY);
	must(pool != NULL, "no memory for a pool");
	return pool;
}

struct bench *
bench_new(const struct bench_setup *setup, const struct pv_memory *memory)
{
	const uint64_t twelve = 1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_F_VERSION_1;
	struct bench *bench = rte_zmalloc("bench", sizeof(*bench), RTE_CACHE_LINE_SIZE);
	struct pv_vio *vio = &bench->vio;

	must(bench != NULL, "no memory");
	bench->port.priv = bench;
	bench->port.queues = 1;
	bench->port.up = true;
	bench->port.count_drop = count_drop;
	bench->port.count_refused = count_refused;
	bench->port.watch = watch;
	bench->port.wake = wake;
	snprintf(bench->port.name, sizeof(bench->port.name), "bench");
	vio->port = &bench->port;
	vio->pool = setup->pool;
	vio->features = setup->features;
	vio->packed = (setup->features & 1ULL << VIRTIO_F_RING_PACKED) != 0;
	vio->mergeable = (setup->features & 1ULL << VIRTIO_NET_F_MRG_RXBUF) != 0;
	vio->header_size = (setup->features & twelve) != 0 ? 12 : 10;
	vio->copy_break = setup->copy_break != 0 ? setup->copy_break : PV_COPY_ALL;
	vio->room = rte_pktmbuf_data_room_size(setup->pool) - RTE_PKTMBUF_HEADROOM;
	vio->frame_limit = setup->frame_limit != 0 ? setup->frame_limit : 1522;
	vio->backend_fd = -1;
	vio->control_ring = PV_VIO_NO_RING;
	vio->memory = *memory;
	if (setup->files != NULL) {
		vio->io_channel.way = PV_CHANNEL_GRANT;
		vio->files = *setup->files;
	}
	if (setup->window_files != NULL)
		must(pv_window_open(&vio->window, &vio->memory, setup->window_files, &vio->faulted) == NULL,
		     "no window");
	vio->limit.burst = 0; /* the tests look at `why` */
	vio->running = true;
	return bench;
}

/* As vio.c does for a guest that transmits. */
static void
make_loans(struct pv_vio_ring *ring)
{
	ring->n_loans = rte_align32pow2(ring->queue.size);
	ring->loans = rte_calloc("loans", ring->n_loans, sizeof(*ring->loans), RTE_CACHE_LINE_SIZE);
	must(ring->loans != NULL, "no memory for loans");
	pv_vio_init_loans(ring);
}

/* As vio.c does. */
static void
make_grants(struct pv_vio *vio, struct pv_vio_ring *ring)
{
	ring->grants = pv_grants_new(&vio->files, &vio->memory, ring->queue.scratch_max, &vio->faulted, &ring->granted);
	must(ring->grants != NULL, "no memory for grants");
}

struct pv_virtqueue_setup
bench_move(const struct bench *bench, const struct pv_virtqueue_setup *setup)
{
	const struct pv_window *window = &bench->vio.window;
	struct pv_virtqueue_setup moved = *setup;

	moved.descriptors = pv_window_move(window, &bench->vio.memory, setup->descriptors);
	moved.driver = pv_window_move(window, &bench->vio.memory, setup->driver);
	moved.device = pv_window_move(window, &bench->vio.memory, setup->device);
	return moved;
}

int
bench_add_ring(struct bench *bench, uint16_t index, const struct pv_virtqueue_setup *setup)
{
	struct pv_vio_ring *ring = &bench->vio.rings[index];
	const struct pv_virtqueue_setup moved = bench_move(bench, setup);
	int result = pv_virtqueue_init(&ring->queue, &moved, &bench->vio.memory);

	if (result != 0)
		return result;
	if (index == 1 && bench->vio.copy_break != PV_COPY_ALL)
		make_loans(ring);
	if (bench->vio.io_channel.way == PV_CHANNEL_GRANT)
		make_grants(&bench->vio, ring);
	ring->held = rte_calloc("held", PV_VIO_HELD_MAX, sizeof(*ring->held), 0);
	must(ring->held != NULL, "no memory");
	ring->call_fd = eventfd(0, EFD_NONBLOCK);
	must(ring->call_fd >= 0, "no eventfd");
	ring->loaded = true;
	ring->ready = true;
	return 0;
}

uint64_t
bench_calls(struct bench *bench, uint16_t index)
{
	uint64_t calls = 0;

	return read(bench->vio.rings[index].call_fd, &calls, sizeof(calls)) == sizeof(calls) ? calls : 0;
}

void
bench_free(struct bench *bench)
{
	pv_vio_drop_held(&bench->vio, 0);
	for (uint16_t i = 0; i < 2; i++) {
		struct pv_vio_ring *ring = &bench->vio.rings[i];

		if (!ring->loaded)
			continue;
		must(pv_vio_settle(ring), "chains are still on loan");
		must(ring->grants == NULL || pv_grants_count(ring->grants) == 0, "packets are still mapped");
		pv_grants_free(ring->grants);
		close(ring->call_fd);
		pv_virtqueue_fini(&ring->queue);
		rte_free(ring->loans);
		rte_free(ring->held);
	}
	pv_window_close(&bench->vio.window, &bench->vio.memory);
	rte_free(bench);
}

struct rte_mbuf *
bench_packet(struct rte_mempool *pool, uint32_t length, uint16_t segments, uint8_t seed)
{
	struct rte_mbuf *packet = NULL;
	uint32_t done = 0;

	for (uint16_t i = 0; i < segments; i++) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(pool);
		uint32_t part = i + 1 < segments ? length / segments : length - done;

		if (segment == NULL)
			break;
		segment->data_len = segment->pkt_len = (uint16_t)part;
		for (uint32_t j = 0; j < part; j++)
			*rte_pktmbuf_mtod_offset(segment, uint8_t *, j) = (uint8_t)(seed + done + j);
		done += part;
		if (packet == NULL)
			packet = segment;
		else
			must(rte_pktmbuf_chain(packet, segment) == 0, "too many segments");
	}
	if (done == length)
		return packet;
	rte_pktmbuf_free(packet);
	return NULL;
}
