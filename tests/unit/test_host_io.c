/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both implementations of the primitive host-io, for files and for sockets, over a socket pair: it keeps the bounds of
 * frames as a tap does, and its other end is the test's. What only a packet socket has is tested on one end of a veth
 * pair, in a network namespace of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/primitive.h"
#include "large.h"
#include "testbed.h"
#include "vio/host_io.h"
#include "vio/host_port.h"
#include "vio/offload.h"

#define HEADER PV_HOST_HEADER
#define SLOTS 64

struct channel {
	const struct pv_host_ops *io;
	struct pv_host_channel *channel;
	enum pv_host_kind kind;
	int fd;	   /* that the channel is on */
	int other; /* the kernel's end, as it were */
};

static struct rte_mempool *pool, *foreign_pool; /* that of the channels, and one that they do not know */

/* What a test is run for. */
struct way {
	const char *name;
	enum pv_host_kind kind;
};

static bool
is_per_burst(void **state)
{
	return strcmp(((const struct way *)*state)->name, "per-burst") == 0;
}

static const struct pv_host_ops *
find_way(const char *name, enum pv_host_kind kind)
{
	const struct pv_host_io *io = pv_implementation_find(PV_PRIMITIVE_HOST_IO, name)->ops;

	return io->channels[kind];
}

static struct channel
open_channel(void **state)
{
	const struct way *way = *state;
	struct channel channel = { .io = find_way(way->name, way->kind), .kind = way->kind };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	channel.fd = ends[0];
	channel.other = ends[1];
	channel.channel = channel.io->open(ends[0], pool, SLOTS);
	assert_non_null(channel.channel);
	return channel;
}

static void
close_channel(struct channel *channel)
{
	struct rte_mbuf *left[SLOTS];
	struct pv_host_io_counters before, last;
	uint16_t n_left;

	channel->io->counters(channel->channel, &before);
	n_left = channel->io->close(channel->channel, left, &last);
	assert_true(last.refused >= before.refused && last.frames >= before.frames && last.calls >= before.calls);
	rte_pktmbuf_free_bulk(left, n_left);
	close(channel->fd);
	close(channel->other);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void
send_frame(const struct channel *channel, uint8_t mark, size_t length)
{
	uint8_t frame[HEADER + 2000] = { 0 };

	memset(frame + HEADER, mark, length);
	assert_int_equal(write(channel->other, frame, HEADER + length), HEADER + length);
}

/* Reads until `wanted` frames have come: the kernel completes a posted read when it gets to it. */
static uint16_t
read_frames(const struct channel *channel, struct rte_mbuf **packets, uint16_t wanted)
{
	uint16_t n = 0;

	for (int tries = 0; n < wanted && tries < 1000000; tries++)
		n += channel->io->read(channel->channel, packets + n, RTE_MIN((uint16_t)(wanted - n), PV_BURST_MAX));
	return n;
}

static struct rte_mbuf *
make_packet(uint8_t mark, uint16_t length, uint16_t segments)
{
	struct rte_mbuf *head = NULL;

	for (uint16_t i = 0; i < segments; i++) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(pool);

		assert_non_null(segment);
		memset(rte_pktmbuf_append(segment, length), mark, length);
		if (head == NULL)
			head = segment;
		else
			assert_int_equal(rte_pktmbuf_chain(head, segment), 0);
	}
	return head;
}

static void
an_empty_read_returns_nothing(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[PV_BURST_MAX];

	assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0);
	assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0);
	close_channel(&channel);
}

static void
frames_are_read_whole_in_order_without_their_header(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[200];

	assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0);
	for (uint16_t burst = 0; burst < 4; burst++) {
		for (uint8_t i = 0; i < 50; i++)
			send_frame(&channel, (uint8_t)(burst * 50 + i), 60 + i);
		assert_int_equal(read_frames(&channel, packets, 50), 50);
		for (uint8_t i = 0; i < 50; i++) {
			assert_int_equal(packets[i]->pkt_len, 60 + i);
			assert_int_equal(packets[i]->data_len, 60 + i);
			assert_int_equal(*rte_pktmbuf_mtod(packets[i], uint8_t *), burst * 50 + i);
		}
		rte_pktmbuf_free_bulk(packets, 50);
	}
	close_channel(&channel);
}

static void
a_read_shorter_than_the_header_is_no_frame(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[PV_BURST_MAX];

	assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0);
	assert_int_equal(write(channel.other, "short", 5), 5);
	send_frame(&channel, 7, 60);
	assert_int_equal(read_frames(&channel, packets, 1), 1);
	assert_int_equal(*rte_pktmbuf_mtod(packets[0], uint8_t *), 7);
	rte_pktmbuf_free(packets[0]);
	close_channel(&channel);
}

static void
a_full_burst_is_written_in_order(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[PV_BURST_MAX];
	uint8_t frame[HEADER + 2000], zeros[HEADER] = { 0 };

	for (uint8_t i = 0; i < PV_BURST_MAX; i++)
		packets[i] = make_packet(i, 60 + i, 1);
	assert_int_equal(channel.io->write(channel.channel, packets, PV_BURST_MAX), PV_BURST_MAX);
	for (uint8_t i = 0; i < PV_BURST_MAX; i++) {
		assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60 + i);
		assert_memory_equal(frame, zeros, HEADER);
		assert_int_equal(frame[HEADER], i);
		assert_int_equal(frame[HEADER + 59 + i], i);
	}
	assert_int_equal(channel.io->write(channel.channel, packets, 0), 0); /* sees the last completions */
	close_channel(&channel);
}

static void
a_chained_frame_is_written_whole(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packet = make_packet(9, 400, 4);
	uint8_t frame[HEADER + 2000];

	assert_int_equal(channel.io->write(channel.channel, &packet, 1), 1);
	assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 1600);
	close_channel(&channel);
}

static void
a_frame_in_too_many_pieces_is_refused_and_the_rest_goes_on(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[3] = { make_packet(1, 60, 1), make_packet(2, 20, 80), make_packet(3, 60, 1) };
	struct pv_host_io_counters counters;
	uint8_t frame[HEADER + 2000];

	assert_int_equal(channel.io->write(channel.channel, packets, 3), 3);
	assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60);
	assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60);
	assert_int_equal(frame[HEADER], 3);
	channel.io->counters(channel.channel, &counters);
	assert_int_equal(counters.refused, 1);
	assert_int_equal(counters.refused_bytes, 20 * 80);
	close_channel(&channel);
}

static void
frames_that_the_kernel_refuses_are_counted(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[4];
	struct pv_host_io_counters counters;

	shutdown(channel.other, SHUT_RD); /* now a write gives EPIPE */
	for (uint8_t i = 0; i < 4; i++)
		packets[i] = make_packet(i, 60, 1);
	assert_int_equal(channel.io->write(channel.channel, packets, 4), 4);
	channel.io->counters(channel.channel, &counters);
	assert_int_equal(counters.refused, 4);
	assert_int_equal(counters.refused_bytes, 4 * 60);
	assert_int_equal(counters.frames, 0);
	close_channel(&channel);
}

static void
what_the_kernel_does_not_take_is_not_lost(void **state)
{
	struct channel channel = open_channel(state);
	uint8_t frame[HEADER + 2000];
	uint32_t written = 0, seen = 0, given = 0;

	/* Until the other end's buffer is full and the channel refuses. */
	for (int round = 0; round < 200; round++) {
		struct rte_mbuf *packets[PV_BURST_MAX];
		uint16_t n;

		for (uint16_t i = 0; i < PV_BURST_MAX; i++, given++)
			packets[i] = make_packet(3, 1500, 1);
		n = channel.io->write(channel.channel, packets, PV_BURST_MAX);
		written += n;
		rte_pktmbuf_free_bulk(packets + n, PV_BURST_MAX - n);
		if (n < PV_BURST_MAX)
			break;
	}
	assert_true(written < given);
	for (int tries = 0; seen < written && tries < 1000000; tries++) {
		if (read(channel.other, frame, sizeof(frame)) > 0)
			seen++;
		else
			channel.io->write(channel.channel, NULL, 0);
	}
	assert_int_equal(seen, written);
	close_channel(&channel);
}

static void
system_calls_are_counted(void **state)
{
	struct channel channel = open_channel(state);
	struct pv_host_io_counters before, after;
	struct rte_mbuf *packets[PV_BURST_MAX];

	channel.io->counters(channel.channel, &before);
	for (uint8_t i = 0; i < PV_BURST_MAX; i++)
		packets[i] = make_packet(i, 60, 1);
	assert_int_equal(channel.io->write(channel.channel, packets, PV_BURST_MAX), PV_BURST_MAX);
	channel.io->counters(channel.channel, &after);
	assert_int_equal(after.frames - before.frames, PV_BURST_MAX);
	assert_int_equal(after.calls - before.calls, is_per_burst(state) ? 1 : PV_BURST_MAX);
	close_channel(&channel);
}

/* Every way but the baseline. */
static void
looks_that_find_nothing_cost_no_system_calls(void **state)
{
	struct channel channel = open_channel(state);
	struct pv_host_io_counters before, after;
	struct rte_mbuf *packets[PV_BURST_MAX];

	for (unsigned int round = 0; round < 5; round++) {
		uint16_t sent = (uint16_t)(round * 20);

		for (uint16_t i = 0; i < sent; i++)
			send_frame(&channel, 1, 60);
		for (uint16_t n = 0; n < sent;) {
			uint16_t got = channel.io->read(channel.channel, packets, PV_BURST_MAX);

			rte_pktmbuf_free_bulk(packets, got);
			n += got;
		}
		assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0); /* the end */
		channel.io->counters(channel.channel, &before);
		for (unsigned int i = 0; i < 1000; i++)
			assert_int_equal(channel.io->read(channel.channel, packets, PV_BURST_MAX), 0);
		channel.io->counters(channel.channel, &after);
		assert_int_equal(after.calls - before.calls, is_per_burst(state) ? 0 : 1000);
	}
	close_channel(&channel);
}

static void *freed;

static void
note_free(void *buffer, void *argument)
{
	freed = argument;
}

/* Goes over to the other way on the same descriptor; what the old one had read goes to `left`. */
static uint16_t
change_way(struct channel *channel, struct rte_mbuf **left)
{
	static const char *const names[] = { "per-packet", "per-burst" };
	const struct pv_host_ops *other = find_way(names[0], channel->kind);
	struct pv_host_io_counters last;
	uint16_t n = channel->io->close(channel->channel, left, &last);

	if (channel->io == other)
		other = find_way(names[1], channel->kind);
	channel->io = other;
	channel->channel = other->open(channel->fd, pool, SLOTS);
	assert_non_null(channel->channel);
	return n;
}

static void
no_frame_is_lost_when_the_way_changes(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packets[2 * SLOTS];
	uint8_t sent = 0, seen = 0;

	for (unsigned int round = 0; round < 200; round++) {
		uint16_t n = channel.io->read(channel.channel, packets, 1); /* posts reads */

		for (unsigned int i = 0; i < round % 40; i++)
			send_frame(&channel, sent++, 60);
		n += change_way(&channel, &packets[n]);
		for (unsigned int tries = 0; tries < 1000000 && (uint8_t)(seen + n) != sent; tries++)
			n += channel.io->read(channel.channel, &packets[n], SLOTS);
		for (uint16_t i = 0; i < n; i++)
			assert_int_equal(*rte_pktmbuf_mtod(packets[i], uint8_t *), seen++);
		assert_int_equal(seen, sent);
		rte_pktmbuf_free_bulk(packets, n);
	}
	close_channel(&channel);
}

/* A frame that refers to memory of others is done with when it has been written, or has been given up. */
static void
borrowed_memory_is_not_kept(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf_ext_shared_info shared;
	uint8_t lent[500], frame[HEADER + 2000];

	memset(lent, 5, sizeof(lent));
	for (uint32_t round = 0; round < 300; round++) { /* more than the other end takes before it reads */
		struct rte_mbuf *packet = make_packet(4, 100, 1), *rest = rte_pktmbuf_alloc(pool);

		shared.free_cb = note_free;
		shared.fcb_opaque = &shared;
		rte_mbuf_ext_refcnt_set(&shared, 1);
		rte_pktmbuf_attach_extbuf(rest, lent, RTE_BAD_IOVA, sizeof(lent), &shared);
		rest->data_len = sizeof(lent);
		rest->pkt_len = sizeof(lent);
		assert_int_equal(rte_pktmbuf_chain(packet, rest), 0);
		freed = NULL;
		if (channel.io->write(channel.channel, &packet, 1) == 0)
			rte_pktmbuf_free(packet);
		assert_ptr_equal(freed, &shared);
	}
	assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 100 + sizeof(lent));
	assert_int_equal(frame[HEADER + 99], 4);
	assert_int_equal(frame[HEADER + 100], 5);
	assert_int_equal(frame[HEADER + 100 + sizeof(lent) - 1], 5);
	close_channel(&channel);
}

/* --- frames that ask for something -------------------------------------------------------------------------------- */

static const struct large asking[] = {
	{ .payload = 500 },
	{ .payload = 500, .udp = true, .ipv6 = true, .tags = 1 },
	{ .payload = 1900, .size = 600, .tcp_options = 3 },
	{ .payload = 1900, .size = 600, .ipv6 = true, .tags = 2 },
	{ .payload = 1900, .size = 600, .tcp_flags = 0x80 },
	{ .payload = 1900, .size = 600, .udp = true },
	{ .payload = 60000, .size = 1448 },
	{ .payload = 60000, .size = 1448, .pieces = 17, .first = 74, .external = true },
	{ .payload = 60000, .size = 1448, .udp = true, .ipv6 = true, .pieces = 71 },
};

static struct virtio_net_hdr
header_of(const struct large *large)
{
	struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .csum_start = large_l2(large) + large_l3(large),
					 .csum_offset = large->udp ? 6 : 16 };

	if (large->size == 0)
		return header;
	header.gso_type = large->udp  ? VIRTIO_NET_HDR_GSO_UDP :
			  large->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
					VIRTIO_NET_HDR_GSO_TCPV4;
	if (large->tcp_flags == 0x80)
		header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	header.gso_size = large->size;
	header.hdr_len = (uint16_t)large_headers(large);
	return header;
}

static void
check_written(const struct channel *channel, const struct large *large)
{
	static uint8_t found[HEADER + LARGE_FRAME_MAX], expected[LARGE_FRAME_MAX];
	struct virtio_net_hdr header = header_of(large);
	uint32_t length = large_bytes(large, expected);

	assert_int_equal(read(channel->other, found, sizeof(found)), HEADER + length);
	assert_memory_equal(found, &header, HEADER);
	assert_memory_equal(found + HEADER, expected, length);
}

static void
what_a_frame_asks_for_is_in_the_header_before_it(void **state)
{
	for (int foreign = 0; foreign < 2; foreign++) {
		struct channel channel = open_channel(state);
		uint8_t frame[HEADER + 100], zeros[HEADER] = { 0 };

		for (size_t i = 0; i < RTE_DIM(asking); i++) {
			struct rte_mbuf *packets[2] = { large_packet(&asking[i], foreign ? foreign_pool : pool),
							make_packet(3, 60, 1) };

			assert_int_equal(channel.io->write(channel.channel, packets, 2), 2);
			check_written(&channel, &asking[i]);
			assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60);
			assert_memory_equal(frame, zeros, HEADER);
		}
		assert_int_equal(channel.io->write(channel.channel, NULL, 0), 0);
		close_channel(&channel);
		assert_int_equal(rte_mempool_in_use_count(foreign_pool), 0);
		assert_int_equal(large_lent, 0);
	}
}

static void
share_the_buffer(struct rte_mbuf *packet)
{
	rte_mbuf_refcnt_update(packet, 1);
}

static void
leave_no_room(struct rte_mbuf *packet)
{
	packet->data_off = HEADER - 1;
}

static void
lose_the_size(struct rte_mbuf *packet)
{
	packet->tso_segsz = 0;
}

static void
ask_for_what_virtio_has_not(struct rte_mbuf *packet)
{
	packet->ol_flags |= RTE_MBUF_F_TX_VLAN;
}

/* The header is written into the frame's own buffer: that is to be ours alone. */
static void
a_frame_whose_header_cannot_be_put_before_it_is_refused_and_counted(void **state)
{
	static void (*const spoils[])(struct rte_mbuf *) = { share_the_buffer, leave_no_room, lose_the_size,
							     ask_for_what_virtio_has_not };

	for (size_t i = 0; i < RTE_DIM(spoils); i++)
		for (uint16_t pieces = 0; pieces < 2; pieces++) {
			struct channel channel = open_channel(state);
			struct large large = asking[2];
			struct pv_host_io_counters counters;
			uint8_t frame[HEADER + 2000];
			struct rte_mbuf *packets[3];

			large.pieces = pieces;
			packets[0] = make_packet(1, 60, 1);
			packets[1] = large_packet(&large, pool);
			packets[2] = make_packet(3, 60, 1);
			spoils[i](packets[1]);
			assert_int_equal(channel.io->write(channel.channel, packets, 3), 3);
			assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60);
			assert_int_equal(read(channel.other, frame, sizeof(frame)), HEADER + 60);
			assert_int_equal(frame[HEADER], 3);
			assert_int_equal(channel.io->write(channel.channel, NULL, 0), 0);
			channel.io->counters(channel.channel, &counters);
			assert_int_equal(counters.refused, 1);
			assert_int_equal(counters.refused_bytes, large_headers(&large) + large.payload);
			if (i == 0)
				rte_pktmbuf_free(packets[1]); /* the other reference, to the first segment alone */
			close_channel(&channel);
		}
}

static void
a_clone_that_asks_for_something_is_refused(void **state)
{
	struct channel channel = open_channel(state);
	struct rte_mbuf *packet = large_packet(&asking[0], pool), *clone = rte_pktmbuf_clone(packet, pool);
	struct pv_host_io_counters counters;

	assert_non_null(clone);
	assert_int_equal(channel.io->write(channel.channel, &clone, 1), 1);
	channel.io->counters(channel.channel, &counters);
	assert_int_equal(counters.refused, 1);
	rte_pktmbuf_free(packet);
	close_channel(&channel);
}

static void
watch(struct pv_port *port, uint16_t slot, int fd)
{
}

static void
settle(struct pv_port *port)
{
}

static struct pv_host_channel *
open_nothing(int fd, struct rte_mempool *packets, uint16_t slots)
{
	errno = ENOSPC;
	return NULL;
}

/* Whatever it goes over to, or does not. */
static void
a_port_does_the_offloads_that_are_bound(void **state)
{
	static const struct pv_host_ops broken = { .open = open_nothing };
	const struct pv_host_io refusing = { .channels = { &broken, &broken } };
	struct pv_port_env env = { .pool = pool,
				   .host_io = pv_implementation_find(PV_PRIMITIVE_HOST_IO, "per-packet")->ops,
				   .wire_offloads = PV_OFFLOAD_ALL };
	struct pv_host_port host = { .kind = PV_HOST_FILE };
	struct pv_port port = { .name = "port", .priv = &host, .watch = watch, .settle = settle };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	host.fd = ends[0];
	assert_int_equal(pv_host_port_open(&port, &host, &env), 0);
	assert_int_equal(port.offloads, PV_OFFLOAD_ALL);
	env.wire_offloads = PV_OFFLOAD_CSUM;
	assert_int_equal(pv_host_port_rebind(&port, &env), 0);
	assert_int_equal(port.offloads, PV_OFFLOAD_CSUM);
	env.host_io = pv_implementation_find(PV_PRIMITIVE_HOST_IO, "per-burst")->ops;
	env.wire_offloads = PV_OFFLOAD_ALL;
	assert_int_equal(pv_host_port_rebind(&port, &env), 0);
	assert_int_equal(port.offloads, PV_OFFLOAD_ALL);
	env.host_io = &refusing;
	env.wire_offloads = 0;
	assert_int_equal(pv_host_port_rebind(&port, &env), -ENOSPC);
	assert_int_equal(port.offloads, PV_OFFLOAD_ALL);
	pv_host_port_close(&port, &host);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

/* A frame whose checksum the device has looked at says so, and no other does. */
static void
a_checksum_that_was_looked_at_is_known_to_be_good(void **state)
{
	const struct pv_port_env env = { .pool = pool,
					 .host_io = pv_implementation_find(PV_PRIMITIVE_HOST_IO, "per-packet")->ops };
	struct pv_host_port host = { .kind = PV_HOST_FILE };
	struct pv_port port = { .name = "port", .priv = &host, .watch = watch, .settle = settle, .frame_max = 1522 };
	uint8_t frame[HEADER + 60] = { VIRTIO_NET_HDR_F_DATA_VALID };
	struct rte_mbuf *packets[2];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	host.fd = ends[0];
	assert_int_equal(pv_host_port_open(&port, &host, &env), 0);
	assert_int_equal(write(ends[1], frame, sizeof(frame)), sizeof(frame));
	frame[0] = 0;
	assert_int_equal(write(ends[1], frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(pv_host_port_ops.rx_burst(&port, 0, packets, 2), 2);
	assert_int_equal(packets[0]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	assert_int_equal(packets[1]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN);
	rte_pktmbuf_free_bulk(packets, 2);
	pv_host_port_close(&port, &host);
	close(ends[0]);
	close(ends[1]);
}

/* --- packet sockets ----------------------------------------------------------------------------------------------- */

static bool has_veth; /* pvt0 and pvt1, in a namespace of our own */

static void
shell(const char *command)
{
	assert_int_equal(system(command), 0);
}

static void
make_veth(void)
{
	if (unshare(CLONE_NEWNET) != 0)
		return;
	shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6;" /* so that nobody else speaks */
	      "ip link add pvt0 mtu 9000 type veth peer name pvt1 mtu 9000 && ip link set pvt0 up && ip link set pvt1 "
	      "up");
	has_veth = true;
}

static int
open_packet_socket(const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	address.sll_ifindex = (int)if_nametoindex(interface);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static struct channel
open_packet_channel(void **state)
{
	const struct way *way = *state;
	struct channel channel = { .io = find_way(way->name, way->kind), .kind = way->kind };

	if (!has_veth)
		skip();
	channel.fd = open_packet_socket("pvt0");
	channel.other = open_packet_socket("pvt1");
	channel.channel = channel.io->open(channel.fd, pool, SLOTS);
	assert_non_null(channel.channel);
	return channel;
}

#define TAGGED 100 /* bytes */

/* A frame with so many tags; returns its length. */
static uint16_t
make_tagged(uint8_t *frame, unsigned int tags, uint16_t tpid, uint8_t mark)
{
	static const uint8_t addresses[12] = { 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2 };
	uint16_t at = sizeof(addresses);

	for (uint16_t i = 0; i < TAGGED; i++)
		frame[i] = (uint8_t)(i * 7 + mark);
	memcpy(frame, addresses, sizeof(addresses));
	for (unsigned int i = 0; i < tags; i++, at += 4)
		memcpy(frame + at, (uint16_t[]){ htons(i == 0 ? tpid : ETH_P_8021Q), htons(0xe123 + i) }, 4);
	memcpy(frame + at, (uint16_t[]){ htons(0x88b5) }, 2); /* IEEE 802, local experimental */
	return TAGGED;
}

static void
send_with_header(const struct channel *channel, const struct virtio_net_hdr *header, const uint8_t *frame,
		 uint16_t length)
{
	const struct iovec pieces[] = { { (void *)(uintptr_t)header, sizeof(*header) },
					{ (void *)(uintptr_t)frame, length } };

	assert_int_equal(writev(channel->other, pieces, 2), (ssize_t)sizeof(*header) + length);
}

static void
tags_are_where_they_were(void **state)
{
	static const struct virtio_net_hdr empty;
	static const uint16_t tpids[] = { ETH_P_8021Q, ETH_P_8021AD };
	struct channel channel = open_packet_channel(state);
	struct rte_mbuf *packets[PV_BURST_MAX];
	uint8_t frame[TAGGED];

	for (uint8_t burst = 0; burst < 6; burst++) {
		unsigned int tags = burst / 2;
		uint16_t tpid = tpids[burst % 2];

		for (uint8_t i = 0; i < 40; i++)
			send_with_header(&channel, &empty, frame, make_tagged(frame, tags, tpid, i));
		assert_int_equal(read_frames(&channel, packets, 40), 40);
		for (uint8_t i = 0; i < 40; i++) {
			make_tagged(frame, tags, tpid, i);
			assert_int_equal(packets[i]->pkt_len, sizeof(frame));
			assert_memory_equal(rte_pktmbuf_mtod(packets[i], void *), frame, sizeof(frame));
		}
		rte_pktmbuf_free_bulk(packets, 40);
	}
	close_channel(&channel);
}

static void
a_checksum_left_to_a_device_is_where_the_header_says(void **state)
{
	struct channel channel = open_packet_channel(state);
	uint8_t frame[TAGGED];

	for (uint16_t tags = 0; tags < 3; tags++) {
		struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						 .csum_start = 34 + 4 * tags,
						 .csum_offset = 16 };
		struct rte_mbuf *packet;

		send_with_header(&channel, &header, frame, make_tagged(frame, tags, ETH_P_8021Q, 0));
		assert_int_equal(read_frames(&channel, &packet, 1), 1);
		header = *(const struct virtio_net_hdr *)(rte_pktmbuf_mtod(packet, char *) - PV_HOST_HEADER);
		assert_int_equal(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(header.csum_start, 34 + 4 * tags);
		assert_int_equal(header.csum_offset, 16);
		rte_pktmbuf_free(packet);
	}
	close_channel(&channel);
}

static void
a_frame_longer_than_its_buffer_fills_that(void **state)
{
	static const struct virtio_net_hdr empty;
	struct channel channel = open_packet_channel(state);
	struct rte_mbuf *packets[2];
	uint8_t frame[5000] = { 0 };

	make_tagged(frame, 0, 0, 0);
	send_with_header(&channel, &empty, frame, sizeof(frame));
	send_with_header(&channel, &empty, frame, 100);
	assert_int_equal(read_frames(&channel, packets, 2), 2);
	assert_int_equal(packets[0]->pkt_len, RTE_MBUF_DEFAULT_DATAROOM);
	assert_int_equal(rte_pktmbuf_tailroom(packets[0]), 0);
	assert_int_equal(packets[1]->pkt_len, 100);
	rte_pktmbuf_free_bulk(packets, 2);
	close_channel(&channel);
}

/* Reads what arrives at the other end, which may take a moment; returns its length. */
static ssize_t
read_other(const struct channel *channel, uint8_t *frame, size_t room)
{
	struct pollfd readable = { .fd = channel->other, .events = POLLIN };

	assert_int_equal(poll(&readable, 1, 60000), 1);
	return read(channel->other, frame, room);
}

/* Without the outer tag, which the kernel tells beside the frame; and UDP in fragments, because a veth does no UFO. */
static void
the_kernel_takes_every_kind_of_request(void **state)
{
	static uint8_t found[HEADER + LARGE_FRAME_MAX];
	struct channel channel = open_packet_channel(state);
	struct pv_host_io_counters counters;

	for (size_t i = 0; i < RTE_DIM(asking); i++) {
		struct rte_mbuf *packet = large_packet(&asking[i], pool);
		ssize_t length = HEADER + (ssize_t)packet->pkt_len - (asking[i].tags > 0 ? 4 : 0);
		uint32_t frames = asking[i].udp ? large_count(&asking[i]) : 1;
		struct virtio_net_hdr header;

		assert_int_equal(channel.io->write(channel.channel, &packet, 1), 1);
		for (uint32_t n = 0; n < frames; n++)
			assert_int_equal(read_other(&channel, found, sizeof(found)) == length, frames == 1);
		memcpy(&header, found, sizeof(header));
		assert_int_equal(header.gso_size, frames > 1 ? 0 : asking[i].size);
	}
	channel.io->counters(channel.channel, &counters);
	assert_int_equal(counters.refused, 0);
	close_channel(&channel);
}

static void
an_interface_that_is_down_refuses_and_has_nothing(void **state)
{
	struct channel channel = open_packet_channel(state);
	struct rte_mbuf *packets[3];
	struct pv_host_io_counters counters;
	uint8_t frame[HEADER + 2000];
	uint32_t tries;
	uint16_t n;

	assert_int_equal(channel.io->read(channel.channel, packets, 1), 0);
	shell("ip link set pvt0 down");
	assert_true(channel.io->has_frames(channel.channel)); /* an error, that reading takes away */
	assert_int_equal(channel.io->read(channel.channel, packets, 1), 0);
	assert_false(channel.io->has_frames(channel.channel));
	for (uint8_t i = 0; i < 3; i++)
		packets[i] = make_packet(2, 60, 1);
	assert_int_equal(channel.io->write(channel.channel, packets, 3), 3);
	channel.io->counters(channel.channel, &counters);
	assert_int_equal(counters.refused, 3);
	shell("ip link set pvt0 up && timeout 60 sh -c 'until ip link show pvt1 | grep -q state.UP; do :; done'");
	packets[0] = make_packet(2, 60, 1);
	assert_int_equal(channel.io->write(channel.channel, packets, 1), 1);
	assert_int_equal(read_other(&channel, frame, sizeof(frame)), HEADER + 60);
	/* The other end drops frames until it has seen that the link is up. */
	for (n = 0, tries = 0; n == 0 && tries < 1000000; tries++) {
		if (tries % 1000 == 0)
			send_frame(&channel, 4, 70);
		n = channel.io->read(channel.channel, packets, 1);
	}
	assert_int_equal(n, 1);
	assert_int_equal(packets[0]->pkt_len, 70);
	rte_pktmbuf_free(packets[0]);
	close_channel(&channel);
}

#define AS(test, title, kind)                                                                    \
	{ #test ": per-packet, " title, test, NULL, NULL, &(struct way){ "per-packet", kind } }, \
	{                                                                                        \
#test ": per-burst, " title, test, NULL, NULL, &(struct way)                     \
		{                                                                                \
			"per-burst", kind                                                        \
		}                                                                                \
	}
#define ALL(test) AS(test, "file", PV_HOST_FILE), AS(test, "socket", PV_HOST_SOCKET)
#define SOCKETS(test) AS(test, "packet socket", PV_HOST_SOCKET)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(an_empty_read_returns_nothing),
		ALL(frames_are_read_whole_in_order_without_their_header),
		ALL(a_read_shorter_than_the_header_is_no_frame),
		ALL(a_full_burst_is_written_in_order),
		ALL(a_chained_frame_is_written_whole),
		ALL(a_frame_in_too_many_pieces_is_refused_and_the_rest_goes_on),
		ALL(frames_that_the_kernel_refuses_are_counted),
		ALL(what_the_kernel_does_not_take_is_not_lost),
		ALL(system_calls_are_counted),
		ALL(looks_that_find_nothing_cost_no_system_calls),
		ALL(no_frame_is_lost_when_the_way_changes),
		ALL(borrowed_memory_is_not_kept),
		ALL(what_a_frame_asks_for_is_in_the_header_before_it),
		ALL(a_frame_whose_header_cannot_be_put_before_it_is_refused_and_counted),
		ALL(a_clone_that_asks_for_something_is_refused),
		cmocka_unit_test(a_port_does_the_offloads_that_are_bound),
		cmocka_unit_test(a_checksum_that_was_looked_at_is_known_to_be_good),
		SOCKETS(tags_are_where_they_were),
		SOCKETS(a_checksum_left_to_a_device_is_where_the_header_says),
		SOCKETS(a_frame_longer_than_its_buffer_fills_that),
		SOCKETS(the_kernel_takes_every_kind_of_request),
		SOCKETS(an_interface_that_is_down_refuses_and_has_nothing),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon has it */
	testbed_start_eal();
	make_veth();
	pool = rte_pktmbuf_pool_create("test", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	foreign_pool = rte_pktmbuf_pool_create("foreign", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(foreign_pool);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
