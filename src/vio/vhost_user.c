/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vhost-user: a guest, attached over a Unix socket. This file is the port: its options, its socket, its reports.
 * rte_vhost speaks the protocol on a thread of its own; vhost_session.c is what it calls; vhost_vio.c and vhost_rte.c
 * move the packets.
 */
#include "vio/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_vhost.h>

#include "base/sockpath.h"
#include "vio/port_types.h"
#include "vio/vhost_session.h"
#include "vio/vio.h"

#define LIBRARY_BURST_MAX 32 /* packets that rte_vhost moves in a call, however many it is given */

struct vhost_options {
	char *socket;
	uint32_t mode;
	uint32_t data_path;
	uint32_t guest;
	uint32_t queues;
	uint32_t full_wait_us;
	char *permissions;
	char *group;
};

static const char *const mode_names[] = { "server", "client", NULL };
enum data_path { DATA_PATH_VIO, DATA_PATH_RTE_VHOST };
static const char *const data_path_names[] = { "vio", "rte_vhost", NULL };
static const struct pv_port_ops *const data_paths[] = { &pv_vhost_vio_ops, &pv_vhost_rte_ops };

static const struct pv_option vhost_options[] = {
	PV_OPTION_STRING_UNIQUE(struct vhost_options, socket, "socket", 1,
				sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, "path of the Unix socket"),
	PV_OPTION_ENUM(struct vhost_options, mode, "mode", mode_names, PV_VHOST_SERVER,
		       "who listens on the socket: server = pktvirt, client = the guest (pktvirt reconnects)"),
	PV_OPTION_ENUM(struct vhost_options, data_path, "data-path", data_path_names, DATA_PATH_VIO,
		       "who moves the packets: vio = our own virtqueues, rte_vhost = DPDK's burst calls"),
	PV_OPTION_ENUM(struct vhost_options, guest, "guest", pv_frontend_names, PV_FRONTEND_AUTO,
		       "kind of guest, which decides the features offered; auto tells it from the first messages"),
	PV_OPTION_UINT(struct vhost_options, queues, "queues", 1, PV_QUEUES_MAX, 1, "queue pairs offered"),
	PV_OPTION_UINT(
		struct vhost_options, full_wait_us, "full-wait-us", 0, 1000, 0,
		"how long a burst waits for a guest whose receive queue is full, before what does not fit is dropped"),
	PV_OPTION_STRING(struct vhost_options, permissions, "permissions", 3, 4, "0600",
			 "of the socket in server mode, octal: who may attach a guest"),
	PV_OPTION_STRING(struct vhost_options, group, "group", 1, 32, NULL, "group of the socket in server mode"),
	PV_OPTION_END,
};

/* The file mode that "0660" says, or -EINVAL. */
static int
parse_permissions(const char *text)
{
	long mode = strtol(text, NULL, 8);

	return text[strspn(text, "01234567")] == '\0' && mode <= 0777 ? (int)mode : -EINVAL;
}

/* The number of a group, or -ENOENT. */
static int
find_group(const char *name, gid_t *gid)
{
	struct group group, *found;
	char buffer[4096];

	if (getgrnam_r(name, &group, buffer, sizeof(buffer), &found) != 0 || found == NULL)
		return -ENOENT;
	*gid = group.gr_gid;
	return 0;
}

/*
 * What can be told before anything is started: a path that is too long or a plain file. That somebody listens there is
 * said at the start only: it may be the very daemon whose configuration is being checked.
 */
static void
vhost_check(const void *options, const char *path, struct pv_diag *diag)
{
	const struct vhost_options *given = options;
	char where[256], why[256];
	int result;
	gid_t gid;

	if (given->socket == NULL || given->mode == PV_VHOST_CLIENT)
		return;
	result = pv_socket_path_check(given->socket, why, sizeof(why));
	if (result != 0 && result != -EADDRINUSE) {
		snprintf(where, sizeof(where), "%s.socket", path);
		pv_diag_add(diag, where, "\"%s\": %s", given->socket, why);
	}
	if (parse_permissions(given->permissions) < 0) {
		snprintf(where, sizeof(where), "%s.permissions", path);
		pv_diag_add(diag, where, "\"%s\": expected an octal mode such as \"0660\"", given->permissions);
	}
	if (given->group != NULL && find_group(given->group, &gid) != 0) {
		snprintf(where, sizeof(where), "%s.group", path);
		pv_diag_add(diag, where, "\"%s\": expected a group of this machine", given->group);
	}
}

/* What the data path adds to the library's own features of the protocol. */
static int
offer_protocol(const struct pv_vhost *vhost)
{
	uint64_t features;

	if (vhost->vio == NULL)
		return 0;
	if (rte_vhost_driver_get_protocol_features(vhost->socket, &features) != 0)
		return -1;
	features |= 1ULL << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	return rte_vhost_driver_set_protocol_features(vhost->socket, features);
}

static int
register_socket(struct pv_vhost *vhost)
{
	/*
	 * On the library's data path a frame that does not fit one buffer is not copied, else it could be megabytes; so
	 * there is no segmentation.
	 */
	uint64_t flags =
		vhost->data_path == DATA_PATH_VIO ? RTE_VHOST_USER_IOMMU_SUPPORT : RTE_VHOST_USER_LINEARBUF_SUPPORT;

	if (vhost->mode == PV_VHOST_CLIENT)
		flags |= RTE_VHOST_USER_CLIENT;

	if (rte_vhost_driver_register(vhost->socket, flags) != 0) {
		pv_error(vhost->port->name, "socket \"%s\": refused by the vhost library, whose message is in the log",
			 vhost->socket);
		return -EADDRNOTAVAIL;
	}
	if (rte_vhost_driver_get_features(vhost->socket, &vhost->able) != 0 ||
	    rte_vhost_driver_callback_register(vhost->socket, &pv_vhost_session_ops) != 0 ||
	    offer_protocol(vhost) != 0) {
		rte_vhost_driver_unregister(vhost->socket);
		return -EINVAL;
	}
	if (vhost->vio != NULL)
		vhost->able |= pv_vhost_own_features(vhost->port->mac.set);
	vhost->offered = pv_vhost_offered(vhost->wanted, vhost->able, vhost->port->queues, vhost->guest_features);
	return 0;
}

static struct pv_vhost *
vhost_new(struct pv_port *port, const struct vhost_options *given, const struct pv_port_env *env)
{
	struct pv_vhost *vhost = rte_zmalloc(port->name, sizeof(*vhost), RTE_CACHE_LINE_SIZE);

	if (vhost == NULL)
		return NULL;
	vhost->port = port;
	vhost->io = env->host_io;
	vhost->pool = env->pool;
	vhost->data_path = given->data_path;
	vhost->step_max = given->data_path == DATA_PATH_VIO ? PV_BURST_MAX : LIBRARY_BURST_MAX;
	vhost->full_wait_cycles = given->full_wait_us * (rte_get_tsc_hz() / 1000000);
	vhost->mode = given->mode;
	vhost->wanted = given->guest;
	vhost->frontend = given->guest;
	vhost->connection = -1;
	vhost->events.burst = 10;
	pthread_mutex_init(&vhost->lock, NULL);
	vhost->permissions = parse_permissions(given->permissions);
	vhost->group = (gid_t)-1;
	if (given->group != NULL)
		find_group(given->group, &vhost->group);
	snprintf(vhost->socket, sizeof(vhost->socket), "%s", given->socket);
	return vhost;
}

uint16_t
pv_vhost_wait(const struct pv_vhost *vhost, uint16_t queue, struct rte_mbuf **packets, uint16_t count,
	      pv_vhost_move *move)
{
	uint64_t start = rte_rdtsc();
	uint16_t moved = 0;

	while (moved < count && vhost->port->up && rte_rdtsc() - start < vhost->full_wait_cycles) {
		rte_pause();
		moved += pv_vhost_in_steps(vhost, queue, packets + moved, (uint16_t)(count - moved), move);
	}
	return moved;
}

static int
open_data_path(struct pv_vhost *vhost, const struct pv_port_env *env)
{
	vhost->port->copies = true;
	if (vhost->data_path != DATA_PATH_VIO)
		return 0;
	vhost->guest_features = env->guest_features;
	vhost->vio = pv_vio_new(vhost->port, env);
	vhost->port->tells = true;
	return vhost->vio != NULL ? 0 : -ENOMEM;
}

static void
forget(struct pv_port *port)
{
	struct pv_vhost *vhost = port->priv;

	pv_vhost_session_remove(vhost);
	port->priv = NULL;
	pv_vio_free(vhost->vio);
	rte_free(vhost);
}

static int
vhost_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	const struct vhost_options *given = options;
	struct pv_vhost *vhost;
	char why[256];
	int result;

	if (given->mode == PV_VHOST_SERVER && (result = pv_socket_path_prepare(given->socket, why, sizeof(why))) != 0) {
		pv_error(port->name, "socket \"%s\": %s", given->socket, why);
		return result;
	}
	vhost = vhost_new(port, given, env);
	if (vhost == NULL)
		return -ENOMEM;
	port->queues = (uint16_t)given->queues;
	port->ops = data_paths[given->data_path];
	port->priv = vhost;
	pv_vhost_session_add(vhost);
	result = open_data_path(vhost, env);
	if (result == 0)
		result = register_socket(vhost);
	if (result != 0)
		forget(port);
	return result;
}

/* Gives the socket its group and permissions, and nothing else that somebody may have put in its place. */
static int
set_group_and_permissions(const struct pv_vhost *vhost)
{
	int result, fd = open(vhost->socket, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char itself[64];
	struct stat status;
	bool done;

	if (fd < 0)
		return -errno;
	snprintf(itself, sizeof(itself), "/proc/self/fd/%d", fd); /* chmod() has no form for O_PATH */
	errno = ENOTSOCK;
	done = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
	       fchownat(fd, "", (uid_t)-1, vhost->group, AT_EMPTY_PATH) == 0 &&
	       chmod(itself, (mode_t)vhost->permissions) == 0;
	result = done ? 0 : -errno;
	close(fd);
	return result;
}

/* Listens, with a socket that only we may connect to until it has its permissions. */
static int
listen_on_socket(const struct pv_vhost *vhost)
{
	mode_t mask;
	int result;
	char why[256];

	/* Again: the library unlinks what is there when it cannot listen. */
	if (pv_socket_path_check(vhost->socket, why, sizeof(why)) != 0) {
		pv_error(vhost->port->name, "socket \"%s\": %s", vhost->socket, why);
		return -EADDRINUSE;
	}
	mask = umask(0177);
	result = rte_vhost_driver_start(vhost->socket);
	umask(mask);
	if (result != 0) {
		pv_error(vhost->port->name, "socket \"%s\": cannot listen", vhost->socket);
		return -EADDRNOTAVAIL;
	}
	result = set_group_and_permissions(vhost);
	if (result != 0)
		pv_error(vhost->port->name, "socket \"%s\": cannot set its group and permissions: %s", vhost->socket,
			 strerror(-result));
	return result;
}

static int
vhost_start(struct pv_port *port)
{
	const struct pv_vhost *vhost = port->priv;

	if (vhost->mode == PV_VHOST_SERVER)
		return listen_on_socket(vhost);
	if (rte_vhost_driver_start(vhost->socket) != 0) {
		pv_error(port->name, "socket \"%s\": cannot start connecting", vhost->socket);
		return -EADDRNOTAVAIL;
	}
	return 0;
}

static void
vhost_close(struct pv_port *port)
{
	struct pv_vhost *vhost = port->priv;

	rte_vhost_driver_unregister(vhost->socket); /* ends the connection, and says that its guest is gone */
	forget(port);
}

static int
vhost_rebind(struct pv_port *port, const struct pv_port_env *env)
{
	pv_vhost_session_rebind(port->priv, env);
	return 0;
}

static void
vhost_begin_rebind(struct pv_port *port)
{
	pv_vhost_session_begin_rebind(port->priv);
}

static void
vhost_end_rebind(struct pv_port *port)
{
	pv_vhost_session_end_rebind(port->priv);
}

static void
vhost_set_granted(struct pv_port *port, bool granted)
{
	pv_vhost_session_set_granted(port->priv, granted);
}

static json_t *
vhost_report(const struct pv_port *port)
{
	const struct pv_vhost *vhost = port->priv;
	uint64_t accepted = vhost->accepted;

	json_t *report =
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:I, s:s, s:o}", "socket", vhost->socket, "mode",
			  mode_names[vhost->mode], "data_path", data_path_names[vhost->data_path], "frontend",
			  pv_frontend_names[vhost->frontend], "connected", vhost->connection >= 0, "attached",
			  vhost->attached, "revoked", port->revoked, "attachments", (json_int_t)vhost->attachments,
			  "ring", (accepted & (1ULL << VIRTIO_F_RING_PACKED)) != 0 ? "packed" : "split", "features",
			  pv_vhost_feature_names(port->up ? accepted : 0));

	if (vhost->vio != NULL)
		json_object_update_new(report, pv_vio_report(vhost->vio));
	return report;
}

static json_t *
vhost_doctor(const struct pv_port *port)
{
	const struct pv_vhost *vhost = port->priv;
	uint64_t protocol = 0;

	rte_vhost_driver_get_protocol_features(vhost->socket, &protocol);
	return pv_vhost_doctor(vhost->frontend, vhost->able, vhost->offered, vhost->accepted, protocol,
			       vhost->accepted_protocol, port->up);
}

const struct pv_port_type pv_port_vhost_user = {
	.name = "vhost-user",
	.summary = "a guest attached over a vhost-user socket",
	.role = PV_ROLE_GUEST,
	.options = vhost_options,
	.options_size = sizeof(struct vhost_options),
	.check = vhost_check,
	.open = vhost_open,
	.start = vhost_start,
	.close = vhost_close,
	.rebind = vhost_rebind,
	.begin_rebind = vhost_begin_rebind,
	.end_rebind = vhost_end_rebind,
	.set_granted = vhost_set_granted,
	.report = vhost_report,
	.doctor = vhost_doctor,
};
