/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/host_port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/critical.h"
#include "base/drop.h"
#include "vio/host_frame.h"

#define WHOLE UINT16_MAX /* no PV_DROP_… */

/* --- packets ------------------------------------------------------------------------------------------------------ */

/* Segments of a TCP connection that together are no longer than one may be are one, and need not be segmented. */
static bool
is_unsegmented(const struct pv_port *port, const struct virtio_net_hdr *header, const struct rte_mbuf *packet)
{
	uint8_t type = header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	bool is_tcp = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;

	return type != VIRTIO_NET_HDR_GSO_NONE && (!is_tcp || packet->pkt_len > port->frame_max);
}

/* Does what the kernel has left to us. The reason why a frame is not whole then, or WHOLE. */
static uint16_t
make_whole(const struct pv_port *port, struct rte_mbuf *packet)
{
	const struct virtio_net_hdr *header = (const void *)(rte_pktmbuf_mtod(packet, const char *) - PV_HOST_HEADER);
	bool needs_checksum = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;

	if (unlikely(is_unsegmented(port, header, packet)))
		return PV_DROP_UNSEGMENTED;
	if ((header->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0)
		packet->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD; /* the device has looked */
	return needs_checksum && pv_net_header_complete(header, packet) < 0 ? PV_DROP_BAD_HEADER : WHOLE;
}

static uint16_t
take_left(struct pv_host_port *host, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = RTE_MIN(host->n_left, count);

	memcpy(packets, &host->left[host->next_left], n * sizeof(*packets));
	host->next_left += n;
	host->n_left -= n;
	return n;
}

static void
count_dropped(struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets)
{
	struct pv_host_port *host = port->priv;

	if (reason == PV_DROP_UNSEGMENTED)
		host->unsegmented += packets;
	port->count_drop(port, queue, reason, packets);
}

/* What the channel has lost since the last time. */
static void
count_lost(struct pv_port *port, uint16_t queue, const struct pv_host_io_counters *now)
{
	struct pv_host_port *host = port->priv;
	struct pv_host_io_counters *last = &host->last;

	if (unlikely(now->unreadable != last->unreadable))
		count_dropped(port, queue, PV_DROP_UNSEGMENTED, now->unreadable - last->unreadable);
	if (unlikely(now->refused != last->refused))
		port->count_refused(port, queue, PV_DROP_HOST_REFUSED, now->refused - last->refused,
				    now->refused_bytes - last->refused_bytes);
	*last = *now;
}

static void
look_for_lost(struct pv_port *port, uint16_t queue)
{
	const struct pv_host_port *host = port->priv;
	struct pv_host_io_counters now;

	host->ops->counters(host->channel, &now);
	count_lost(port, queue, &now);
}

static uint16_t
host_rx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_host_port *host = port->priv;
	uint16_t received = unlikely(host->n_left > 0) ? take_left(host, packets, count) :
							 host->ops->read(host->channel, packets, count);
	uint16_t kept = 0;

	for (uint16_t i = 0; i < received; i++) {
		uint16_t reason = make_whole(port, packets[i]);

		if (likely(reason == WHOLE)) {
			packets[kept++] = packets[i];
			continue;
		}
		rte_pktmbuf_free(packets[i]);
		count_dropped(port, queue, reason, 1);
	}
	if (received == 0)
		look_for_lost(port, queue);
	return kept;
}

static uint16_t
host_tx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct pv_host_port *host = port->priv;
	uint16_t taken = host->ops->write(host->channel, packets, count);

	look_for_lost(port, queue);
	return taken;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Has the descriptor signal the thread that we are on, or nobody. */
static void
raise_signals(struct pv_port *port, struct pv_host_port *host, bool wanted)
{
	struct pv_events *events = pv_critical_events();
	const struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = gettid() };
	int flags = fcntl(host->fd, F_GETFL);

	host->raises = wanted;
	if (wanted) {
		pv_events_expect(events, port->id);
		fcntl(host->fd, F_SETOWN_EX, &owner);
	}
	fcntl(host->fd, F_SETFL, wanted ? flags | O_ASYNC : flags & ~O_ASYNC);
}

/* The kernel tells of a frame either by a signal, or where reads are posted by an event of their completion. */
static bool
host_listen(struct pv_port *port, uint16_t queue, bool wanted)
{
	struct pv_host_port *host = port->priv;
	bool raises = wanted && host->ops->event_fd(host->channel) < 0;

	if (raises != host->raises)
		raise_signals(port, host, raises);
	return wanted && (host->n_left > 0 || host->ops->has_frames(host->channel));
}

const struct pv_port_ops pv_host_port_ops = {
	.rx_burst = host_rx_burst,
	.tx_burst = host_tx_burst,
	.listen = host_listen,
};

/* --- channels ----------------------------------------------------------------------------------------------------- */

/* 0 or -errno. */
static int
open_channel(struct pv_port *port, struct pv_host_port *host, const struct pv_host_ops *ops)
{
	host->channel = ops->open(host->fd, host->pool, PV_HOST_SLOTS);
	if (host->channel == NULL)
		return -errno;
	host->ops = ops;
	memset(&host->last, 0, sizeof(host->last));
	port->watch(port, 0, ops->event_fd(host->channel));
	port->tells = ops->event_fd(host->channel) >= 0;
	return 0;
}

/* What it had read goes to `left`; returns how many frames. What it has lost until its end is counted, too. */
static uint16_t
close_channel(struct pv_port *port, struct pv_host_port *host, struct rte_mbuf **left)
{
	struct pv_host_io_counters last;
	uint16_t n;

	if (host->channel == NULL)
		return 0;
	port->watch(port, 0, -1);
	n = host->ops->close(host->channel, left, &last);
	if (port->priv != NULL) /* else it has never been in use */
		count_lost(port, 0, &last);
	host->before.calls += last.calls;
	host->before.empty += last.empty;
	host->before.frames += last.frames;
	return n;
}

static void
use_offloads(struct pv_port *port, const struct pv_port_env *env)
{
	port->offloads = PV_HOST_OFFLOADS & env->wire_offloads;
}

int
pv_host_port_open(struct pv_port *port, struct pv_host_port *host, const struct pv_port_env *env)
{
	host->pool = env->pool;
	use_offloads(port, env);
	return open_channel(port, host, env->host_io->channels[host->kind]);
}

void
pv_host_port_close(struct pv_port *port, struct pv_host_port *host)
{
	struct rte_mbuf *left[PV_HOST_SLOTS];
	bool was_open = host->channel != NULL;

	rte_pktmbuf_free_bulk(left, close_channel(port, host, left));
	/*
	 * A read that was posted lets go of the descriptor on the worker that had posted it. Were the worker the last
	 * to do so, it would have to take the interface away, which takes the kernel long.
	 */
	if (was_open)
		port->settle(port);
	rte_pktmbuf_free_bulk(&host->left[host->next_left], host->n_left);
}

/* Frames that the old channel had read, behind what is left of those before it. */
static void
keep_left(struct pv_host_port *host, struct rte_mbuf *const *left, uint16_t n)
{
	memmove(host->left, &host->left[host->next_left], host->n_left * sizeof(*host->left));
	host->next_left = 0;
	for (uint16_t i = 0; i < n; i++) {
		if (host->n_left < PV_HOST_LEFT_MAX)
			host->left[host->n_left++] = left[i];
		else
			rte_pktmbuf_free(left[i]);
	}
}

int
pv_host_port_rebind(struct pv_port *port, const struct pv_port_env *env)
{
	struct pv_host_port *host = port->priv;
	const struct pv_host_ops *before = host->ops, *ops = env->host_io->channels[host->kind];
	struct rte_mbuf *left[PV_HOST_SLOTS];
	int result;

	if (ops == before || host->channel == NULL) {
		use_offloads(port, env);
		return 0;
	}
	keep_left(host, left, close_channel(port, host, left));
	result = open_channel(port, host, ops);
	if (result == 0) {
		use_offloads(port, env);
		return 0;
	}
	pv_error(port->name, "cannot go over to another way of reading and writing: %s", strerror(-result));
	if (open_channel(port, host, before) != 0) {
		pv_error(port->name, "nor can it go on in the old way: the port is down");
		port->set_up(port, false);
	}
	return result;
}

/* --- report ------------------------------------------------------------------------------------------------------- */

json_t *
pv_host_port_report(const struct pv_host_port *host)
{
	struct pv_host_io_counters counters = { 0 };
	uint64_t calls, empty, frames;

	if (host->channel != NULL)
		host->ops->counters(host->channel, &counters);
	calls = host->before.calls + counters.calls;
	empty = host->before.empty + counters.empty;
	frames = host->before.frames + counters.frames;
	return json_pack("{s:I, s:I, s:I, s:f}", "system_calls", (json_int_t)calls, "system_calls_in_vain",
			 (json_int_t)empty, "system_call_frames", (json_int_t)frames, "system_calls_per_frame",
			 frames > 0 ? (double)calls / (double)frames : 0.0);
}
