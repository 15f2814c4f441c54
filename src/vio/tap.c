/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tap: a kernel network interface whose other end is a port, opened with IFF_VNET_HDR.
 *
 * The interface is made when the port opens and goes when it closes; one that exists already (made persistent by
 * somebody else) is used and stays. The kernel is told that we take no offloads (TUNSETOFFLOAD 0), so every frame
 * arrives whole and with its checksums; a header that says otherwise is a bad_header drop. How frames cross the
 * boundary is the primitive "host-io" (vio/host_io.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "base/critical.h"
#include "base/drop.h"
#include "vio/host_io.h"
#include "vio/port_types.h"

#define TAP_SLOTS 64 /* frames in flight each way: two bursts */
#define LEFT_MAX (2 * TAP_SLOTS)

struct tap_options {
	char *interface;
};

static const struct pv_option tap_options[] = {
	PV_OPTION_STRING_UNIQUE(struct tap_options, interface, "interface", 1, IFNAMSIZ - 1,
				"name of the kernel interface; made if it does not exist"),
	PV_OPTION_END,
};

struct tap {
	char interface[IFNAMSIZ];
	int fd;
	bool raises; /* the descriptor raises signals at its worker */
	const struct pv_host_ops *io;
	struct rte_mempool *pool;
	struct rte_mbuf *left[LEFT_MAX]; /* frames that the channels before this one had read */
	uint16_t n_left, next_left;
	struct pv_host_io_counters before; /* of the channels before this one */
	struct pv_host_channel *channel;
	struct pv_host_io_counters last; /* as of the last transmission */
};

static bool
header_asks_for_work(const struct rte_mbuf *packet)
{
	const struct virtio_net_hdr *header =
		(const void *)(rte_pktmbuf_mtod(packet, const char *) - sizeof(struct virtio_net_hdr));

	return (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 || header->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

static uint16_t
take_left(struct tap *tap, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t n = RTE_MIN(tap->n_left, count);

	memcpy(packets, &tap->left[tap->next_left], n * sizeof(*packets));
	tap->next_left += n;
	tap->n_left -= n;
	return n;
}

static uint16_t
tap_rx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct tap *tap = port->priv;
	uint16_t received = unlikely(tap->n_left > 0) ? take_left(tap, packets, count) :
							tap->io->read(tap->channel, packets, count);
	uint16_t kept = 0;

	for (uint16_t i = 0; i < received; i++) {
		if (unlikely(header_asks_for_work(packets[i]))) {
			rte_pktmbuf_free(packets[i]);
			port->count_drop(port, queue, PV_DROP_BAD_HEADER, 1);
			continue;
		}
		packets[kept++] = packets[i];
	}
	return kept;
}

static uint16_t
tap_tx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct tap *tap = port->priv;
	struct pv_host_io_counters *last = &tap->last, now;
	uint16_t taken = tap->io->write(tap->channel, packets, count);

	tap->io->counters(tap->channel, &now);
	if (unlikely(now.refused != last->refused))
		port->count_refused(port, queue, PV_DROP_HOST_REFUSED, now.refused - last->refused,
				    now.refused_bytes - last->refused_bytes);
	*last = now;
	return taken;
}

/* Has the descriptor signal the thread that we are on, or nobody. */
static void
raise_signals(struct pv_port *port, struct tap *tap, bool wanted)
{
	struct pv_events *events = pv_critical_events();
	const struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = gettid() };
	int flags = fcntl(tap->fd, F_GETFL);

	tap->raises = wanted;
	if (wanted) {
		pv_events_expect(events, port->id);
		fcntl(tap->fd, F_SETOWN_EX, &owner);
	}
	fcntl(tap->fd, F_SETFL, wanted ? flags | O_ASYNC : flags & ~O_ASYNC);
}

/* The kernel tells of a frame either by a signal, or where reads are posted by an event of their completion. */
static bool
tap_listen(struct pv_port *port, uint16_t queue, bool wanted)
{
	struct tap *tap = port->priv;
	bool raises = wanted && tap->io->event_fd(tap->channel) < 0;

	if (raises != tap->raises)
		raise_signals(port, tap, raises);
	return wanted && (tap->n_left > 0 || tap->io->has_frames(tap->channel));
}

static const struct pv_port_ops tap_ops = {
	.rx_burst = tap_rx_burst,
	.tx_burst = tap_tx_burst,
	.listen = tap_listen,
};

/* Attaches to the interface and says what we do with its frames. Returns the descriptor or -errno. */
static int
attach(const char *interface)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct virtio_net_hdr);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, interface, strlen(interface));
	if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, 0) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int
bring_up(int control, struct ifreq *request)
{
	if (ioctl(control, SIOCSIFMTU, request) < 0 || ioctl(control, SIOCGIFFLAGS, request) < 0)
		return -errno;
	request->ifr_flags |= IFF_UP;
	return ioctl(control, SIOCSIFFLAGS, request) < 0 ? -errno : 0;
}

static int
set_mtu_and_up(const char *interface, uint32_t mtu)
{
	struct ifreq request = { .ifr_mtu = (int)mtu };
	int result, control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (control < 0)
		return -errno;
	memcpy(request.ifr_name, interface, strlen(interface));
	result = bring_up(control, &request);
	close(control);
	return result;
}

/* 0 or -errno. */
static int
open_channel(struct pv_port *port, struct tap *tap, const struct pv_host_ops *io)
{
	tap->channel = io->open(tap->fd, tap->pool, TAP_SLOTS);
	if (tap->channel == NULL)
		return -errno;
	tap->io = io;
	memset(&tap->last, 0, sizeof(tap->last));
	port->watch(port, 0, io->event_fd(tap->channel));
	return 0;
}

static void
close_channel(struct pv_port *port, struct tap *tap, struct rte_mbuf **left, uint16_t *n_left)
{
	struct pv_host_io_counters last;

	*n_left = 0;
	if (tap->channel == NULL)
		return;
	port->watch(port, 0, -1);
	tap->io->counters(tap->channel, &last);
	tap->before.calls += last.calls;
	tap->before.empty += last.empty;
	tap->before.frames += last.frames;
	*n_left = tap->io->close(tap->channel, left);
}

static int
tap_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	const struct tap_options *given = options;
	struct tap *tap = rte_zmalloc(port->name, sizeof(*tap), RTE_CACHE_LINE_SIZE);
	int result;

	if (tap == NULL)
		return -ENOMEM;
	memcpy(tap->interface, given->interface, strlen(given->interface) + 1);
	tap->pool = env->pool;
	tap->fd = attach(tap->interface);
	result = tap->fd < 0 ? tap->fd : open_channel(port, tap, env->host_io->channels[PV_HOST_FILE]);
	if (result == 0) {
		result = set_mtu_and_up(tap->interface, port->mtu);
		if (result != 0)
			close_channel(port, tap, tap->left, &tap->n_left);
	}
	if (result != 0) {
		rte_pktmbuf_free_bulk(tap->left, tap->n_left);
		if (tap->fd >= 0)
			close(tap->fd);
		pv_error(port->name, "tap interface \"%s\": %s%s", tap->interface, strerror(-result),
			 result == -EPERM  ? ": needs root or CAP_NET_ADMIN" :
			 result == -EBUSY  ? ": another program has it open" :
			 result == -EINVAL ? ": an interface of that name exists and is no tap" :
					     "");
		rte_free(tap);
		return result;
	}
	port->ops = &tap_ops;
	port->priv = tap;
	port->copies = true;
	return 0;
}

static int
tap_start(struct pv_port *port)
{
	port->set_up(port, true);
	return 0;
}

static void
tap_close(struct pv_port *port)
{
	struct tap *tap = port->priv;

	struct rte_mbuf *left[TAP_SLOTS];
	uint16_t n_left;

	close_channel(port, tap, left, &n_left);
	rte_pktmbuf_free_bulk(left, n_left);
	rte_pktmbuf_free_bulk(&tap->left[tap->next_left], tap->n_left);
	close(tap->fd);
	rte_free(tap);
	port->priv = NULL;
}

/* Frames that the old channel had read, behind what is left of those before it. */
static void
keep_left(struct tap *tap, struct rte_mbuf *const *left, uint16_t n)
{
	memmove(tap->left, &tap->left[tap->next_left], tap->n_left * sizeof(*tap->left));
	tap->next_left = 0;
	for (uint16_t i = 0; i < n; i++) {
		if (tap->n_left < LEFT_MAX)
			tap->left[tap->n_left++] = left[i];
		else
			rte_pktmbuf_free(left[i]);
	}
}

static int
tap_rebind(struct pv_port *port, const struct pv_port_env *env)
{
	struct tap *tap = port->priv;
	const struct pv_host_ops *before = tap->io, *io = env->host_io->channels[PV_HOST_FILE];
	struct rte_mbuf *left[TAP_SLOTS];
	uint16_t n_left;
	int result;

	if (io == before || tap->channel == NULL)
		return 0;
	close_channel(port, tap, left, &n_left);
	keep_left(tap, left, n_left);
	result = open_channel(port, tap, io);
	if (result == 0)
		return 0;
	pv_error(port->name, "cannot go over to another way of reading and writing: %s", strerror(-result));
	if (open_channel(port, tap, before) != 0) {
		pv_error(port->name, "nor can it go on in the old way: the port is down");
		port->set_up(port, false);
	}
	return result;
}

static json_t *
tap_report(const struct pv_port *port)
{
	const struct tap *tap = port->priv;
	struct pv_host_io_counters counters = { 0 };
	uint64_t calls, frames;

	if (tap->channel != NULL)
		tap->io->counters(tap->channel, &counters);
	calls = tap->before.calls + counters.calls;
	frames = tap->before.frames + counters.frames;
	return json_pack("{s:s, s:I, s:I, s:I, s:f}", "interface", tap->interface, "system_calls", (json_int_t)calls,
			 "system_calls_in_vain", (json_int_t)(tap->before.empty + counters.empty), "system_call_frames",
			 (json_int_t)frames, "system_calls_per_frame",
			 frames > 0 ? (double)calls / (double)frames : 0.0);
}

const struct pv_port_type pv_port_tap = {
	.name = "tap",
	.summary = "a kernel tap interface, made when the daemon starts",
	.role = PV_ROLE_WIRE,
	.options = tap_options,
	.options_size = sizeof(struct tap_options),
	.open = tap_open,
	.start = tap_start,
	.close = tap_close,
	.rebind = tap_rebind,
	.report = tap_report,
};
