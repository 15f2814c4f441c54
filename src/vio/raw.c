/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw: an interface of the host that exists already, such as a NIC or one end of a veth pair, over a packet socket
 * (packet(7)). How frames cross the boundary is the primitive "host-io" (vio/host_io.h).
 *
 * What arrives at the interface comes in; what others on this host send on it does not (PACKET_IGNORE_OUTGOING). The
 * host's own network stack sees what arrives, too, so the interface should have no addresses there.
 *
 * A kernel at the other end of a veth leaves checksums to the "hardware"; they are completed here. Frames that are left
 * to be segmented are dropped as "unsegmented" where they are longer than the port takes, which the log says once, with
 * the commands that end it.
 *
 * Of the interface nothing is changed but promiscuous mode, which ends with the socket. It is looked at once a second:
 * while it is down, has no carrier or is not there, the port is down, and an interface that comes back under its name
 * is bound anew.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "vio/host_port.h"
#include "vio/port_types.h"

#define SOCKET_BUFFER (4 << 20) /* bytes each way: some 1000 frames, as many as a tap holds */
#define NAMES_MAX 16		/* of interfaces in a message */

struct raw_options {
	char *interface;
	bool promiscuous;
};

static const struct pv_option raw_options[] = {
	PV_OPTION_STRING_UNIQUE(struct raw_options, interface, "interface", 1, IFNAMSIZ - 1,
				"name of the kernel interface, which must exist"),
	PV_OPTION_BOOL(struct raw_options, promiscuous, "promiscuous", true,
		       "take frames for every address, not only for the interface's own"),
	PV_OPTION_END,
};

enum link { LINK_GONE, LINK_DOWN, LINK_UP };
static const char *const link_names[] = { "gone", "down", "up" };

struct raw {
	struct pv_host_port host;
	char interface[IFNAMSIZ];
	bool promiscuous;
	int index; /* of the interface that the socket is bound to, or 0 */
	enum link link;
	bool told;		       /* that frames were left to be segmented */
	_Atomic uint64_t kernel_drops; /* that the kernel has told of so far */
};

/* --- the interface ------------------------------------------------------------------------------------------------ */

static struct ifreq
request_for(const struct raw *raw)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, raw->interface, sizeof(raw->interface));
	return request;
}

/* The number of the interface of that name, or 0. */
static int
find_interface(const struct raw *raw)
{
	struct ifreq request = request_for(raw);

	return ioctl(raw->host.fd, SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

static enum link
find_link(const struct raw *raw)
{
	struct ifreq request = request_for(raw);

	if (ioctl(raw->host.fd, SIOCGIFFLAGS, &request) != 0)
		return LINK_GONE;
	return (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0 ? LINK_UP : LINK_DOWN;
}

static void
warn_of_mtu(const struct pv_port *port, const struct raw *raw)
{
	struct ifreq request = request_for(raw);

	if (ioctl(raw->host.fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu < (int)port->mtu)
		pv_warning(port->name,
			   "interface \"%s\" has an MTU of %d, less than the port's %u: the kernel refuses "
			   "longer frames",
			   raw->interface, request.ifr_mtu, port->mtu);
}

/* Another interface may have been promiscuous before. */
static int
set_promiscuous(const struct raw *raw, int index)
{
	struct packet_mreq membership = { .mr_ifindex = raw->index, .mr_type = PACKET_MR_PROMISC };

	if (!raw->promiscuous)
		return 0;
	if (raw->index != 0)
		setsockopt(raw->host.fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &membership, sizeof(membership));
	membership.mr_ifindex = index;
	return setsockopt(raw->host.fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership));
}

/* Receives from that interface from now on, and from no other. 0 or -errno. */
static int
bind_to(const struct pv_port *port, struct raw *raw, int index)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = index };
	socklen_t length = sizeof(address);

	if (bind(raw->host.fd, (struct sockaddr *)&address, sizeof(address)) < 0 || set_promiscuous(raw, index) < 0 ||
	    getsockname(raw->host.fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	if (address.sll_hatype != ARPHRD_ETHER)
		return -EPROTOTYPE;
	raw->index = index;
	warn_of_mtu(port, raw);
	return 0;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static int
switch_on(int fd, int option)
{
	static const int on = 1;

	return setsockopt(fd, SOL_PACKET, option, &on, sizeof(on));
}

/* A packet socket that receives nothing until it is bound. Returns the descriptor or -errno. */
static int
open_socket(void)
{
	static const int size = SOCKET_BUFFER;
	int error, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (switch_on(fd, PACKET_VNET_HDR) == 0 && switch_on(fd, PACKET_AUXDATA) == 0 &&
	    switch_on(fd, PACKET_IGNORE_OUTGOING) == 0) {
		/* Works with CAP_NET_ADMIN; otherwise what the kernel gives by default has to do. */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		return fd;
	}
	error = errno;
	close(fd);
	return -error;
}

static void
say_what_there_is(const struct pv_port *port, const char *interface)
{
	struct if_nameindex *there = if_nameindex();
	const char *names[NAMES_MAX + 1] = { NULL }, *near;
	char list[NAMES_MAX * (IFNAMSIZ + 2)] = "none";

	for (size_t i = 0, at = 0; there != NULL && i < NAMES_MAX && there[i].if_index != 0; i++) {
		names[i] = there[i].if_name;
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	near = pv_nearest(interface, names);
	if (near != NULL)
		pv_error(port->name, "raw interface \"%s\": there is none of that name; did you mean \"%s\"?",
			 interface, near);
	else
		pv_error(port->name, "raw interface \"%s\": there is none of that name: expected one of: %s", interface,
			 list);
	if (there != NULL)
		if_freenameindex(there);
}

static void
say_why(const struct pv_port *port, const char *interface, int error)
{
	if (error == ENODEV)
		say_what_there_is(port, interface);
	else if (error == EPROTOTYPE)
		pv_error(port->name, "raw interface \"%s\": it is not of Ethernet, as it must be", interface);
	else
		pv_error(port->name, "raw interface \"%s\": %s%s", interface, strerror(error),
			 error == EPERM	      ? ": needs root or CAP_NET_RAW" :
			 error == ENOPROTOOPT ? ": needs Linux 4.20 or newer" :
						"");
}

/* 0 or -errno; what is open then is the caller's to close. */
static int
open_raw(struct pv_port *port, struct raw *raw, const struct pv_port_env *env)
{
	int result, index;

	raw->host.fd = open_socket();
	if (raw->host.fd < 0)
		return raw->host.fd;
	index = find_interface(raw);
	result = index != 0 ? bind_to(port, raw, index) : -ENODEV;
	return result != 0 ? result : pv_host_port_open(port, &raw->host, env);
}

static int
raw_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	const struct raw_options *given = options;
	struct raw *raw = rte_zmalloc(port->name, sizeof(*raw), RTE_CACHE_LINE_SIZE);
	int result;

	if (raw == NULL)
		return -ENOMEM;
	raw->host.kind = PV_HOST_SOCKET;
	memcpy(raw->interface, given->interface, strlen(given->interface) + 1);
	raw->promiscuous = given->promiscuous;
	result = open_raw(port, raw, env);
	if (result != 0) {
		say_why(port, raw->interface, -result);
		if (raw->host.fd >= 0)
			close(raw->host.fd);
		rte_free(raw);
		return result;
	}
	port->ops = &pv_host_port_ops;
	port->priv = raw;
	port->copies = true;
	return 0;
}

/* --- while it runs ------------------------------------------------------------------------------------------------ */

/* Goes over to the interface that has the name now, if that is another one. */
static enum link
follow_interface(struct pv_port *port, struct raw *raw)
{
	int index = find_interface(raw), result = 0;

	if (index == 0)
		return LINK_GONE;
	if (index != raw->index)
		result = bind_to(port, raw, index);
	if (result == 0)
		return find_link(raw);
	pv_log_limited(&port->limit, PV_LOG_WARNING, port->name, "interface \"%s\" cannot be bound: %s", raw->interface,
		       strerror(-result));
	return LINK_GONE;
}

static void
tell_of_unsegmented(const struct pv_port *port, struct raw *raw)
{
	if (raw->told || raw->host.unsegmented == 0)
		return;
	raw->told = true;
	pv_warning(port->name,
		   "frames that the host left to be segmented are dropped: try \"ethtool -K %s gro off lro off\", and "
		   "\"ethtool -K PEER tso off gso off\" at the other end of a veth",
		   raw->interface);
}

static void
raw_look(struct pv_port *port)
{
	struct raw *raw = port->priv;
	enum link link = follow_interface(port, raw);

	tell_of_unsegmented(port, raw);
	if (link == raw->link || raw->host.channel == NULL)
		return;
	pv_info(port->name, "interface \"%s\" is %s", raw->interface, link_names[link]);
	if ((link == LINK_UP) != (raw->link == LINK_UP))
		port->set_up(port, link == LINK_UP);
	raw->link = link;
}

static int
raw_start(struct pv_port *port)
{
	struct raw *raw = port->priv;

	raw_look(port);
	if (raw->link == LINK_GONE)
		pv_warning(port->name, "interface \"%s\" is gone", raw->interface);
	return 0;
}

static void
raw_close(struct pv_port *port)
{
	struct raw *raw = port->priv;

	pv_host_port_close(port, &raw->host);
	close(raw->host.fd);
	rte_free(raw);
	port->priv = NULL;
}

/* Frames that found the socket's queue full. The kernel counts from zero after each answer. */
static uint64_t
count_kernel_drops(struct raw *raw)
{
	struct tpacket_stats statistics = { 0 };
	socklen_t length = sizeof(statistics);

	getsockopt(raw->host.fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length);
	return atomic_fetch_add(&raw->kernel_drops, statistics.tp_drops) + statistics.tp_drops;
}

static json_t *
raw_report(const struct pv_port *port)
{
	struct raw *raw = port->priv;
	json_t *report =
		json_pack("{s:s, s:s, s:b, s:I}", "interface", raw->interface, "link", link_names[raw->link],
			  "promiscuous", raw->promiscuous, "kernel_drops", (json_int_t)count_kernel_drops(raw));

	json_object_update_new(report, pv_host_port_report(&raw->host));
	return report;
}

const struct pv_port_type pv_port_raw = {
	.name = "raw",
	.summary = "a packet socket on a kernel interface that exists, such as one end of a veth pair",
	.role = PV_ROLE_WIRE,
	.options = raw_options,
	.options_size = sizeof(struct raw_options),
	.open = raw_open,
	.start = raw_start,
	.close = raw_close,
	.rebind = pv_host_port_rebind,
	.look = raw_look,
	.report = raw_report,
};
