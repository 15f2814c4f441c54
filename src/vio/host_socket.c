/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host-io of a packet socket (packet(7)) that has PACKET_VNET_HDR and PACKET_AUXDATA switched on.
 *
 * Per packet: one recvmsg(2) or sendmsg(2) for each frame. Per burst: one recvmmsg(2) or sendmmsg(2) for each burst,
 * and one more for reading that finds the end; a look that finds nothing is none (vio/arrivals.h). Either way the
 * kernel is done with a frame when the call returns.
 *
 * The kernel takes the outer VLAN tag out of what arrives and tells it beside the frame. It is put back, so that frames
 * are what was on the wire, and csum_start of the header before them is moved with it. A frame that is longer than its
 * buffer comes cut; buffers are longer than any frame of a port (pv_packet_room()), so that the port sees that.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "base/critical.h"
#include "base/limits.h"
#include "vio/arrivals.h"
#include "vio/host_frame.h"

union ancillary {
	char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct cmsghdr aligned;
};

struct packet_socket {
	int fd;
	struct rte_mempool *pool;
	struct pv_host_io_counters counters;
	struct pv_arrivals arrivals; /* per burst */
	uint16_t first;		     /* slot for reading that has a buffer, as all behind it have */
	struct rte_mbuf *buffers[PV_BURST_MAX];
	struct iovec room[PV_BURST_MAX];
	union ancillary ancillary[PV_BURST_MAX];
	struct mmsghdr reads[PV_BURST_MAX];
	struct iovec pieces[PV_BURST_MAX][PV_HOST_SEGMENTS_MAX + 1];
	struct mmsghdr writes[PV_BURST_MAX];
};

static struct pv_host_channel *
single_open(int fd, struct rte_mempool *pool, uint16_t slots)
{
	struct packet_socket *socket = rte_zmalloc("pv_packet_socket", sizeof(*socket), RTE_CACHE_LINE_SIZE);

	if (socket == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	socket->fd = fd;
	socket->pool = pool;
	socket->first = PV_BURST_MAX;
	for (uint16_t i = 0; i < PV_BURST_MAX; i++) {
		socket->reads[i].msg_hdr.msg_iov = &socket->room[i];
		socket->reads[i].msg_hdr.msg_iovlen = 1;
		socket->reads[i].msg_hdr.msg_control = &socket->ancillary[i];
		socket->writes[i].msg_hdr.msg_iov = socket->pieces[i];
	}
	return (struct pv_host_channel *)socket;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Gives every slot a buffer, or as many as there are in the pool. */
static void
prepare_reads(struct packet_socket *socket)
{
	while (socket->first > 0) {
		struct rte_mbuf *packet = rte_pktmbuf_alloc(socket->pool);
		uint16_t slot = socket->first - 1;

		if (unlikely(packet == NULL))
			return;
		socket->buffers[slot] = packet;
		socket->room[slot] = (struct iovec){ pv_host_read_address(packet), pv_host_read_room(packet) };
		socket->reads[slot].msg_hdr.msg_controllen = sizeof(socket->ancillary[slot]);
		socket->first = slot;
	}
}

/* The tag that was taken out of a frame; false when there was none. */
static bool
find_tag(struct msghdr *message, struct rte_vlan_hdr *tag, uint16_t *tpid)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(message);
	struct tpacket_auxdata aux;

	if (control == NULL || control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA)
		return false;
	memcpy(&aux, CMSG_DATA(control), sizeof(aux));
	if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0)
		return false;
	*tpid = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? aux.tp_vlan_tpid : RTE_ETHER_TYPE_VLAN;
	tag->vlan_tci = rte_cpu_to_be_16(aux.tp_vlan_tci);
	return true;
}

/* What is before the tag moves into the headroom: the header and both addresses. */
static void
insert_tag(struct rte_mbuf *packet, uint16_t tpid, struct rte_vlan_hdr tag)
{
	struct virtio_net_hdr *header = pv_host_read_address(packet);
	struct rte_ether_hdr *ethernet;

	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		header->csum_start += sizeof(tag);
	memmove((char *)header - sizeof(tag), header, PV_HOST_HEADER + 2 * RTE_ETHER_ADDR_LEN);
	ethernet = (void *)rte_pktmbuf_prepend(packet, sizeof(tag));
	ethernet->ether_type = rte_cpu_to_be_16(tpid);
	memcpy(ethernet + 1, &tag.vlan_tci, sizeof(tag.vlan_tci));
}

/* The frame that was read into the first slot becomes packets[n]. Returns how many there are then. */
static uint16_t
take_read(struct packet_socket *socket, struct rte_mbuf **packets, uint16_t n)
{
	struct mmsghdr *read = &socket->reads[socket->first];
	struct rte_mbuf *packet = socket->buffers[socket->first++];
	struct rte_vlan_hdr tag;
	uint16_t tpid;

	if (unlikely(read->msg_len < PV_HOST_HEADER)) {
		rte_pktmbuf_free(packet);
		return n;
	}
	pv_host_set_length(packet, read->msg_len);
	if (find_tag(&read->msg_hdr, &tag, &tpid) && likely(packet->data_len >= RTE_ETHER_HDR_LEN))
		insert_tag(packet, tpid, tag);
	socket->counters.frames++;
	packets[n] = packet;
	return n + 1;
}

/*
 * After a call that has read nothing. EINVAL is the kernel's word for a frame that it has thrown away because a struct
 * virtio_net_hdr cannot describe it: one of a kind that is left to be segmented.
 */
static void
count_empty(struct packet_socket *socket)
{
	socket->counters.empty++;
	socket->counters.unreadable += errno == EINVAL;
}

/* Reads into the first slot. Whether there was something. */
static bool
read_one(struct packet_socket *socket)
{
	struct mmsghdr *read = &socket->reads[socket->first];
	ssize_t bytes = recvmsg(socket->fd, &read->msg_hdr, MSG_DONTWAIT);

	socket->counters.calls++;
	if (bytes < 0) {
		count_empty(socket);
		return false;
	}
	read->msg_len = (unsigned int)bytes;
	return true;
}

static uint16_t
single_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct packet_socket *socket = (struct packet_socket *)channel;
	struct pv_events *events = pv_critical_events();
	bool more = true;
	uint16_t n = 0;

	while (more && n < count) {
		bool before = pv_critical_enter(events);

		prepare_reads(socket);
		more = socket->first < PV_BURST_MAX && read_one(socket);
		if (more)
			n = take_read(socket, packets, n);
		pv_critical_leave(events, before);
	}
	return n;
}

/* Reads into the first slots. Returns how many there are, or -1. */
static int
read_burst(struct packet_socket *socket, uint16_t count)
{
	int received;

	socket->counters.calls += pv_arrivals_take(&socket->arrivals);
	received = recvmmsg(socket->fd, &socket->reads[socket->first], count, MSG_DONTWAIT, NULL);
	socket->counters.calls++;
	/* It also ends before a frame that it cannot describe, and says so in the next call. */
	socket->arrivals.more = received >= 0 || errno != EAGAIN;
	if (received < 0)
		count_empty(socket);
	return received;
}

static uint16_t
batched_read(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct packet_socket *socket = (struct packet_socket *)channel;
	struct pv_events *events = pv_critical_events();
	uint16_t n = 0;
	int received;

	if (likely(!pv_arrivals_are_there(&socket->arrivals)))
		return 0;
	prepare_reads(socket);
	count = RTE_MIN(count, PV_BURST_MAX - socket->first);
	received = likely(count > 0) ? read_burst(socket, count) : 0;
	for (int i = 0; i < received; i++) {
		bool before = pv_critical_enter(events);

		n = take_read(socket, packets, n);
		pv_critical_leave(events, before);
	}
	return n;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* False when a frame has too many pieces. */
static bool
describe(struct packet_socket *socket, uint16_t slot, const struct rte_mbuf *packet)
{
	size_t pieces = pv_host_gather(packet, socket->pieces[slot]);

	socket->writes[slot].msg_hdr.msg_iovlen = pieces;
	return pieces > 0;
}

/* False when the kernel has no room now. */
static bool
send_one(struct packet_socket *socket, const struct rte_mbuf *packet)
{
	if (describe(socket, 0, packet)) {
		socket->counters.calls++;
		if (sendmsg(socket->fd, &socket->writes[0].msg_hdr, MSG_DONTWAIT) >= 0) {
			socket->counters.frames++;
			return true;
		}
		if (errno == EAGAIN)
			return false;
	}
	pv_host_count_refused(&socket->counters, packet);
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

		more = send_one((struct packet_socket *)channel, packets[n]);
		pv_critical_leave(events, before);
		n += more;
	}
	rte_pktmbuf_free_bulk(packets, n);
	return n;
}

/* Describes frames until one has too many pieces. Returns how many. */
static uint16_t
describe_burst(struct packet_socket *socket, struct rte_mbuf *const *packets, uint16_t count)
{
	struct pv_events *events = pv_critical_events();
	bool more = true;
	uint16_t n = 0;

	while (more && n < count) {
		bool before = pv_critical_enter(events);

		more = describe(socket, n, packets[n]);
		pv_critical_leave(events, before);
		n += more;
	}
	return n;
}

/* Sends the first so many described frames. Returns how many are sent or refused; less when the kernel has no room. */
static uint16_t
send_described(struct packet_socket *socket, struct rte_mbuf *const *packets, uint16_t count)
{
	uint16_t done = 0;

	while (done < count) {
		int sent = sendmmsg(socket->fd, &socket->writes[done], count - done, MSG_DONTWAIT);

		socket->counters.calls++;
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0) {
			pv_host_count_refused(&socket->counters, packets[done++]);
			continue;
		}
		socket->counters.frames += (unsigned int)sent;
		done += (uint16_t)sent;
	}
	return done;
}

static uint16_t
batched_write(struct pv_host_channel *channel, struct rte_mbuf **packets, uint16_t count)
{
	struct packet_socket *socket = (struct packet_socket *)channel;
	uint16_t n = 0;

	while (n < count) {
		uint16_t wanted = RTE_MIN(count - n, PV_BURST_MAX);
		uint16_t described = describe_burst(socket, packets + n, wanted);
		uint16_t done = send_described(socket, packets + n, described);

		n += done;
		if (done < described)
			break;
		if (unlikely(described < wanted))
			pv_host_count_refused(&socket->counters, packets[n++]);
	}
	rte_pktmbuf_free_bulk(packets, n);
	return n;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void
socket_counters(const struct pv_host_channel *channel, struct pv_host_io_counters *counters)
{
	*counters = ((const struct packet_socket *)channel)->counters;
}

static bool
socket_has_frames(const struct pv_host_channel *channel)
{
	return pv_host_has(((const struct packet_socket *)channel)->fd, POLLIN | POLLERR);
}

static struct pv_host_channel *
batched_open(int fd, struct rte_mempool *pool, uint16_t slots)
{
	struct packet_socket *socket = (struct packet_socket *)single_open(fd, pool, slots);

	if (socket != NULL)
		pv_arrivals_open(&socket->arrivals, fd);
	return (struct pv_host_channel *)socket;
}

/* Every frame is with the kernel or has been handed over. */
static uint16_t
single_close(struct pv_host_channel *channel, struct rte_mbuf **left, struct pv_host_io_counters *last)
{
	struct packet_socket *socket = (struct packet_socket *)channel;

	*last = socket->counters;
	rte_pktmbuf_free_bulk(&socket->buffers[socket->first], PV_BURST_MAX - socket->first);
	rte_free(socket);
	return 0;
}

static uint16_t
batched_close(struct pv_host_channel *channel, struct rte_mbuf **left, struct pv_host_io_counters *last)
{
	pv_arrivals_close(&((struct packet_socket *)channel)->arrivals);
	return single_close(channel, left, last);
}

const struct pv_host_ops pv_host_socket_per_packet = {
	.open = single_open,
	.read = single_read,
	.write = single_write,
	.counters = socket_counters,
	.has_frames = socket_has_frames,
	.event_fd = pv_host_no_event_fd,
	.close = single_close,
};

const struct pv_host_ops pv_host_socket_per_burst = {
	.open = batched_open,
	.read = batched_read,
	.write = batched_write,
	.counters = socket_counters,
	.has_frames = socket_has_frames,
	.event_fd = pv_host_no_event_fd,
	.close = batched_close,
};
