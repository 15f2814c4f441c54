/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ethdev: any device that a DPDK driver makes from "devargs": a PCI NIC, or net_af_packet, net_af_xdp, net_tap,
 * net_pcap, net_ring, net_null, net_virtio_user. The device is attached when the port opens and detached when it
 * closes. Frames arrive whole; where guests take unfinished checksums the device is asked to check those that arrive.
 * What a device does for frames that are sent is used as far as the bound "guest-interface" says (vio/offload.h).
 */
#include <errno.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_tcp.h>

#include "vio/ethdev_flow.h"
#include "vio/offload.h"
#include "vio/port_types.h"

#define DESCRIPTORS 512
#define FOREIGN_MAX 65536 /* frames of other interfaces that are looked for when a device starts */
#define FOREIGN_BURST 32
#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CHECKSUMS (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define TX_SEGMENTATION (RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

struct ethdev_options {
	char *devargs;
	uint32_t queues;
};

static const struct pv_option ethdev_options[] = {
	PV_OPTION_STRING_UNIQUE(struct ethdev_options, devargs, "devargs", 1, 1023,
				"the device as DPDK names it, such as net_af_packet0,iface=eth1 or 0000:03:00.0"),
	PV_OPTION_UINT(struct ethdev_options, queues, "queues", 1, PV_QUEUES_MAX, 1,
		       "queue pairs; fewer are used when the device has fewer"),
	PV_OPTION_END,
};

struct ethdev {
	uint16_t device; /* DPDK's number */
	uint32_t able;	 /* PV_OFFLOAD_… that the device has been set up for */
	struct rte_mempool *pool;
	struct pv_ethdev_flows flows;
};

/* By number: the port that has the device. On the main thread. */
static const struct pv_port *users[RTE_MAX_ETHPORTS];

static uint16_t
ethdev_rx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	const struct ethdev *ethdev = port->priv;

	return rte_eth_rx_burst(ethdev->device, queue, packets, count);
}

/*
 * The words of net_header.h to DPDK's: for TSO the checksum field has the sum of the pseudo header without a length (it
 * is taken out, RFC 1624), and the header of IPv4 is summed up for each segment.
 */
static void
prepare_segmentation(struct rte_mbuf *packet)
{
	uint32_t at = packet->l2_len + packet->l3_len;
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(packet, struct rte_tcp_hdr *, at);
	uint16_t length = rte_cpu_to_be_16((uint16_t)(packet->pkt_len - at));
	uint32_t sum = (uint32_t)tcp->cksum + (uint16_t)~length;

	tcp->cksum = (uint16_t)((sum & UINT16_MAX) + (sum >> 16));
	if ((packet->ol_flags & RTE_MBUF_F_TX_IPV4) == 0)
		return;
	packet->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	rte_pktmbuf_mtod_offset(packet, struct rte_ipv4_hdr *, packet->l2_len)->hdr_checksum = 0;
}

/* Only those that a device which segments was given ask for it; what it does not take is prepared for good, too. */
static void
prepare(struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		if (unlikely((packets[i]->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM)) ==
			     RTE_MBUF_F_TX_TCP_SEG))
			prepare_segmentation(packets[i]);
}

static uint16_t
ethdev_tx_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	const struct ethdev *ethdev = port->priv;

	if (ethdev->able != 0)
		prepare(packets, count);
	return rte_eth_tx_burst(ethdev->device, queue, packets, count);
}

/* For a driver that sends the first segment only. A chain that does not fit one buffer is dropped here. */
static uint16_t
ethdev_tx_linear_burst(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t taken = 0, sent = 0;

	while (taken < count && rte_pktmbuf_linearize(packets[taken]) == 0)
		taken++;
	if (taken > 0)
		sent = ethdev_tx_burst(port, queue, packets, taken);
	if (sent < taken || taken == count)
		return sent;
	port->count_refused(port, queue, PV_DROP_HOST_REFUSED, 1, packets[taken]->pkt_len);
	rte_pktmbuf_free(packets[taken]);
	return sent + 1;
}

static const struct pv_port_ops ethdev_ops = { .rx_burst = ethdev_rx_burst, .tx_burst = ethdev_tx_burst };
static const struct pv_port_ops linear_ops = { .rx_burst = ethdev_rx_burst, .tx_burst = ethdev_tx_linear_burst };

/* The number of the device; -ENODEV when there is none, yet. */
static int
find(const char *devargs)
{
	struct rte_dev_iterator iterator;
	uint16_t device;

	RTE_ETH_FOREACH_MATCHING_DEV(device, devargs, &iterator) {
		rte_eth_iterator_cleanup(&iterator);
		return device;
	}
	return -ENODEV;
}

/* Attaches the device. Returns its number, or -errno after saying why. */
static int
attach(const struct pv_port *port, const char *devargs)
{
	int found = find(devargs), result;

	/* DPDK gives it to everybody who asks, under any options, and takes it away from all. */
	if (found >= 0 && users[found] != NULL) {
		pv_error(port->name, "devargs \"%s\": the device of port \"%s\": expected one that no port has",
			 devargs, users[found]->name);
		return -EBUSY;
	}
	result = rte_dev_probe(devargs);
	if (result != 0) {
		/* Drivers return -1 for anything, which is no error number then. */
		pv_error(port->name, "devargs \"%s\": %s: expected a device and options that a DPDK driver accepts",
			 devargs,
			 result == -1 ? "refused by its driver, whose message is in the log" : rte_strerror(-result));
		return result;
	}
	found = find(devargs);
	if (found < 0)
		pv_error(port->name, "devargs \"%s\": this is no Ethernet device", devargs);
	return found;
}

static int
set_up_queues(struct ethdev *ethdev, uint16_t queues)
{
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	int socket = rte_eth_dev_socket_id(ethdev->device);
	int result = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev->device, &rx, &tx);

	for (uint16_t queue = 0; result == 0 && queue < queues; queue++) {
		result = rte_eth_rx_queue_setup(ethdev->device, queue, rx, (unsigned int)socket, NULL, ethdev->pool);
		if (result == 0)
			result = rte_eth_tx_queue_setup(ethdev->device, queue, tx, (unsigned int)socket, NULL);
	}
	return result;
}

/*
 * What the device does of what packets ask for, and what it is to be set up with for that. net_tap segments by
 * librte_gso, so it loses TCP over IPv6, and packets of more than 64 segments.
 */
static uint32_t
choose_offloads(const struct rte_eth_dev_info *info, uint64_t *wanted)
{
	uint32_t able = 0;

	if ((info->tx_offload_capa & TX_CHECKSUMS) != TX_CHECKSUMS)
		return 0;
	able |= PV_OFFLOAD_CSUM;
	*wanted |= TX_CHECKSUMS;
	if ((info->tx_offload_capa & TX_SEGMENTATION) == TX_SEGMENTATION && strcmp(info->driver_name, "net_tap") != 0) {
		able |= PV_OFFLOAD_TSO4 | PV_OFFLOAD_TSO6;
		*wanted |= TX_SEGMENTATION;
	}
	return able;
}

/*
 * To a virtio device "checks checksums" also means that it may hand over frames without one, and DPDK's driver says no
 * more of them than that it does not know.
 */
static bool
is_virtio(const struct rte_eth_dev_info *info)
{
	return strncmp(info->driver_name, "net_virtio", strlen("net_virtio")) == 0;
}

static void
use_offloads(struct pv_port *port, const struct ethdev *ethdev, const struct pv_port_env *env)
{
	port->offloads = ethdev->able & env->wire_offloads;
}

/* Fewer queues than asked for when the device has fewer; sets port->queues and port->ops. */
static int
configure(struct pv_port *port, struct ethdev *ethdev, uint32_t queues, const struct pv_port_env *env)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	uint16_t available;
	int result = rte_eth_dev_info_get(ethdev->device, &info);

	if (result != 0)
		return result;
	available = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
	port->queues = RTE_MIN((uint16_t)queues, available);
	if (port->queues < queues)
		pv_warning(port->name, "the device has %u queue pairs, not the %u asked for", port->queues, queues);
	if (port->queues > 1 && (info.flow_type_rss_offloads & RTE_ETH_RSS_IP) != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
	}
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((env->guest_features & PV_FEATURES_FROM_GUEST) != 0)
		ethdev->able = choose_offloads(&info, &conf.txmode.offloads);
	if ((env->guest_features & PV_FEATURES_TO_GUEST) != 0 && !is_virtio(&info))
		conf.rxmode.offloads = info.rx_offload_capa & RX_CHECKSUMS;
	use_offloads(port, ethdev, env);
	port->ops = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 ? &ethdev_ops : &linear_ops;
	return rte_eth_dev_configure(ethdev->device, port->queues, port->queues, &conf);
}

/* Sets what not every driver can: an MTU other than it has, and promiscuous mode, which a switch needs. */
static int
set_mtu_and_promiscuous(const struct pv_port *port, const struct ethdev *ethdev)
{
	uint16_t mtu = 0;
	int result;

	if (rte_eth_dev_get_mtu(ethdev->device, &mtu) != 0 || mtu != port->mtu) {
		result = rte_eth_dev_set_mtu(ethdev->device, (uint16_t)port->mtu);
		if (result != 0 && result != -ENOTSUP) {
			pv_error(port->name, "mtu %u: %s", port->mtu, rte_strerror(-result));
			return result;
		}
	}
	result = rte_eth_promiscuous_enable(ethdev->device);
	if (result != 0 && result != -ENOTSUP)
		pv_warning(port->name, "promiscuous mode: %s: frames for other addresses may not arrive",
			   rte_strerror(-result));
	return 0;
}

static void
detach(struct ethdev *ethdev)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = NULL;

	if (rte_eth_dev_info_get(ethdev->device, &info) == 0)
		device = info.device;
	users[ethdev->device] = NULL;
	rte_eth_dev_close(ethdev->device);
	if (device != NULL)
		rte_dev_remove(device);
}

static int
ethdev_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	const struct ethdev_options *given = options;
	struct ethdev *ethdev = rte_zmalloc(port->name, sizeof(*ethdev), RTE_CACHE_LINE_SIZE);
	int result;

	if (ethdev == NULL)
		return -ENOMEM;
	result = attach(port, given->devargs);
	if (result < 0) {
		rte_free(ethdev);
		return result;
	}
	ethdev->device = (uint16_t)result;
	users[ethdev->device] = port;
	ethdev->pool = env->pool;
	result = configure(port, ethdev, given->queues, env);
	if (result == 0)
		result = set_up_queues(ethdev, port->queues);
	if (result == 0)
		result = set_mtu_and_promiscuous(port, ethdev);
	if (result != 0) {
		pv_error(port->name, "devargs \"%s\": %s", given->devargs, rte_strerror(-result));
		detach(ethdev);
		rte_free(ethdev);
		return result;
	}
	port->priv = ethdev;
	return 0;
}

/*
 * A packet socket receives from every interface of the host until it is bound to one, which net_af_packet does last:
 * what its ring holds then is not for us to forward.
 */
static void
discard_foreign_frames(const struct ethdev *ethdev, uint16_t queues)
{
	struct rte_mbuf *packets[FOREIGN_BURST];
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(ethdev->device, &info) != 0 || strcmp(info.driver_name, "net_af_packet") != 0)
		return;
	for (uint16_t queue = 0; queue < queues; queue++) {
		uint32_t discarded = 0;
		uint16_t count;

		do {
			count = rte_eth_rx_burst(ethdev->device, queue, packets, FOREIGN_BURST);
			rte_pktmbuf_free_bulk(packets, count);
			discarded += count;
		} while (count > 0 && discarded < FOREIGN_MAX);
	}
}

static int
ethdev_start(struct pv_port *port)
{
	const struct ethdev *ethdev = port->priv;
	int result = rte_eth_dev_start(ethdev->device);

	if (result != 0) {
		pv_error(port->name, "the device does not start: %s", rte_strerror(-result));
		return result;
	}
	discard_foreign_frames(ethdev, port->queues);
	port->active_queues = port->queues;
	port->set_up(port, true);
	return 0;
}

static int
ethdev_rebind(struct pv_port *port, const struct pv_port_env *env)
{
	use_offloads(port, port->priv, env);
	return 0;
}

static void
ethdev_close(struct pv_port *port)
{
	struct ethdev *ethdev = port->priv;

	pv_ethdev_flow_clear(&ethdev->flows, ethdev->device);
	rte_eth_dev_stop(ethdev->device);
	detach(ethdev);
	rte_free(ethdev);
	port->priv = NULL;
}

static int
ethdev_steer(struct pv_port *port, const uint8_t mac[6], uint16_t vlan, uint16_t queue)
{
	struct ethdev *ethdev = port->priv;

	return pv_ethdev_flow_add(&ethdev->flows, ethdev->device, mac, vlan, queue);
}

static int
ethdev_unsteer(struct pv_port *port, const uint8_t mac[6], uint16_t vlan)
{
	struct ethdev *ethdev = port->priv;

	return pv_ethdev_flow_remove(&ethdev->flows, ethdev->device, mac, vlan);
}

static json_t *
ethdev_report(const struct pv_port *port)
{
	const struct ethdev *ethdev = port->priv;
	struct rte_eth_link link = { 0 };
	struct rte_eth_stats stats = { 0 };
	struct rte_eth_dev_info info = { 0 };

	rte_eth_link_get_nowait(ethdev->device, &link);
	rte_eth_stats_get(ethdev->device, &stats);
	rte_eth_dev_info_get(ethdev->device, &info);
	return json_pack("{s:s?, s:i, s:s, s:I, s:I, s:I, s:I, s:I}", "driver", info.driver_name, "ethdev",
			 ethdev->device, "link", link.link_status == RTE_ETH_LINK_UP ? "up" : "down", "device_missed",
			 (json_int_t)stats.imissed, "device_no_buffer", (json_int_t)stats.rx_nombuf,
			 "device_receive_errors", (json_int_t)stats.ierrors, "device_transmit_errors",
			 (json_int_t)stats.oerrors, "steered", (json_int_t)ethdev->flows.count);
}

const struct pv_port_type pv_port_ethdev = {
	.name = "ethdev",
	.summary = "a device of any DPDK driver: a NIC, AF_XDP, AF_PACKET, tap, pcap, ring, null, virtio-user",
	.role = PV_ROLE_WIRE,
	.options = ethdev_options,
	.options_size = sizeof(struct ethdev_options),
	.open = ethdev_open,
	.start = ethdev_start,
	.close = ethdev_close,
	.rebind = ethdev_rebind,
	.steer = ethdev_steer,
	.unsteer = ethdev_unsteer,
	.report = ethdev_report,
};
