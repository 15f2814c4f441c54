/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tap: a kernel network interface whose other end is a port, opened with IFF_VNET_HDR.
 *
 * The interface is made when the port opens and goes when it closes; one that exists already (made persistent by
 * somebody else) is used and stays. The kernel is told that we take no offloads (TUNSETOFFLOAD 0), so every frame
 * arrives whole and with its checksums. How frames cross the boundary is the primitive "host-io"
 * (vio/host_io.h).
 *
 * Whoever may can remove the interface under us. That is seen within a second, and the port is down from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "vio/host_port.h"
#include "vio/port_types.h"

#define BUSY_POLL_NS 10000000 /* between looks whether the interface is free, */
#define BUSY_POLLS 150	      /* and how many: 1.5 s in all */

struct tap_options {
	char *interface;
};

static const struct pv_option tap_options[] = {
	PV_OPTION_STRING_UNIQUE(struct tap_options, interface, "interface", 1, IFNAMSIZ - 1,
				"name of the kernel interface; made if it does not exist"),
	PV_OPTION_END,
};

struct tap {
	struct pv_host_port host;
	char interface[IFNAMSIZ];
	bool gone;
};

/*
 * Makes the descriptor the interface's other end. One that was closed a moment ago may still be: the library that
 * speaks vhost-user polls its descriptors by their numbers, for a second at a time, and so may have got hold of a tap's
 * whose number was that of a socket before.
 */
static int
take_interface(int fd, struct ifreq *request)
{
	const struct timespec moment = { .tv_nsec = BUSY_POLL_NS };
	int result = ioctl(fd, TUNSETIFF, request);

	for (int polls = 0; result < 0 && errno == EBUSY && polls < BUSY_POLLS; polls++) {
		nanosleep(&moment, NULL);
		result = ioctl(fd, TUNSETIFF, request);
	}
	return result;
}

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
	if (take_interface(fd, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
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

static int
tap_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	const struct tap_options *given = options;
	struct tap *tap = rte_zmalloc(port->name, sizeof(*tap), RTE_CACHE_LINE_SIZE);
	int result;

	if (tap == NULL)
		return -ENOMEM;
	memcpy(tap->interface, given->interface, strlen(given->interface) + 1);
	tap->host.fd = attach(tap->interface);
	result = tap->host.fd < 0 ? tap->host.fd : pv_host_port_open(port, &tap->host, env);
	if (result == 0)
		result = set_mtu_and_up(tap->interface, port->mtu);
	if (result != 0) {
		pv_host_port_close(port, &tap->host);
		if (tap->host.fd >= 0)
			close(tap->host.fd);
		pv_error(port->name, "tap interface \"%s\": %s%s", tap->interface, strerror(-result),
			 result == -EPERM  ? ": needs root or CAP_NET_ADMIN" :
			 result == -EBUSY  ? ": another program has it open" :
			 result == -EINVAL ? ": expected the name of a tap, or one that an interface can have" :
					     "");
		rte_free(tap);
		return result;
	}
	port->ops = &pv_host_port_ops;
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
tap_look(struct pv_port *port)
{
	struct tap *tap = port->priv;
	struct ifreq request = { 0 };

	if (tap->gone || ioctl(tap->host.fd, TUNGETIFF, &request) == 0 || errno != EBADFD)
		return;
	tap->gone = true;
	pv_warning(port->name, "interface \"%s\" is gone: the port is down until pktvirt is started again",
		   tap->interface);
	port->set_up(port, false);
}

static void
tap_close(struct pv_port *port)
{
	struct tap *tap = port->priv;

	pv_host_port_close(port, &tap->host);
	close(tap->host.fd);
	rte_free(tap);
	port->priv = NULL;
}

static json_t *
tap_report(const struct pv_port *port)
{
	const struct tap *tap = port->priv;
	json_t *report = json_pack("{s:s, s:s}", "interface", tap->interface, "link", tap->gone ? "gone" : "up");

	json_object_update_new(report, pv_host_port_report(&tap->host));
	return report;
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
	.rebind = pv_host_port_rebind,
	.look = tap_look,
	.report = tap_report,
};
