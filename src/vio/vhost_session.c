/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection of a vhost-user port while it lasts: who the frontend is, what it is offered, each of its messages
 * before and after the library handles it, and when its guest is there. The library's callbacks run on its message
 * thread, but for new_connection of a client, which comes from the thread that connected, and what unregistering a
 * socket calls, which comes from the main one.
 *
 * One guest at a time is attached to a port. Its kind is told from its first message: QEMU asks for the features first,
 * User-mode Linux (and virtio-user) takes ownership first; what each is offered is vhost_features.h's matter. A port
 * that goes down is out of every worker's hands before the library may touch its rings (port->set_up); a message that
 * may change rings or memory in between is enclosed in a pause of the data path (vio.h).
 */
#include "vio/vhost_session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_vhost.h>

#include "vio/fault.h"
#include "vio/vhost_connection.h"
#include "vio/vhost_guard.h"
#include "vio/vhost_message.h"
#include "vio/vio.h"

#define VIDS_MAX 1024 /* the library's own limit of devices */
#define PROTOCOL_F_CONFIG (1ULL << VHOST_USER_PROTOCOL_F_CONFIG)

/*
 * The port that a device of the library belongs to. A device that has ended may give its number to one of another port
 * before its own port has taken itself out.
 */
static struct pv_vhost *_Atomic by_vid[VIDS_MAX];

/*
 * The ports there are, by socket. A port's own place changes while the library has no socket of it, but maybe while
 * others' connections begin, who look through all of them: so with the lock.
 */
static struct pv_vhost *by_socket[PV_PORTS_MAX];
static pthread_mutex_t by_socket_lock = PTHREAD_MUTEX_INITIALIZER;

static struct pv_vhost *
find_by_vid(int vid)
{
	return vid >= 0 && vid < VIDS_MAX ? by_vid[vid] : NULL;
}

static struct pv_vhost *
find_by_socket(int vid)
{
	char socket[PATH_MAX];

	struct pv_vhost *found = NULL;

	if (rte_vhost_get_ifname(vid, socket, sizeof(socket)) != 0)
		return NULL;
	pthread_mutex_lock(&by_socket_lock);
	for (size_t i = 0; i < PV_PORTS_MAX && found == NULL; i++)
		if (by_socket[i] != NULL && strcmp(by_socket[i]->socket, socket) == 0)
			found = by_socket[i];
	pthread_mutex_unlock(&by_socket_lock);
	return found; /* whose socket is not unregistered while this callback is under way */
}

static void
set_by_socket(uint16_t port, struct pv_vhost *vhost)
{
	pthread_mutex_lock(&by_socket_lock);
	by_socket[port] = vhost;
	pthread_mutex_unlock(&by_socket_lock);
}

/* Takes a port's device out, unless its number is another's already. */
static void
forget_vid(struct pv_vhost *vhost, int vid)
{
	struct pv_vhost *expected = vhost;

	if (vid >= 0 && vid < VIDS_MAX)
		atomic_compare_exchange_strong(&by_vid[vid], &expected, NULL);
}

/* Whether a frontend may come back to a pktvirt that was started again; UML gives its device up. */
static bool
remembers(const struct pv_vhost *vhost, enum pv_frontend frontend)
{
	return vhost->vio != NULL && (vhost->mode == PV_VHOST_CLIENT || frontend == PV_FRONTEND_QEMU);
}

/* Whether we serve the control queue and the configuration space of this connection's guest. */
static bool
is_device_model(const struct pv_vhost *vhost)
{
	return (vhost->offered & PV_VHOST_OWN_FEATURES) != 0;
}

/* The same, of connections whose frontend is not known yet: whether it may come to that. */
static bool
may_be_device_model(const struct pv_vhost *vhost)
{
	return vhost->vio != NULL && (vhost->wanted == PV_FRONTEND_AUTO || vhost->wanted == PV_FRONTEND_UML);
}

/* Whether the guest has a control queue that we serve. */
static bool
has_control_queue(const struct pv_vhost *vhost)
{
	return vhost->vio != NULL && vhost->vio->control_ring != PV_VIO_NO_RING;
}

/* The configuration space is a matter of the protocol. */
static void
offer_config(const struct pv_vhost *vhost)
{
	uint64_t features = 0;

	rte_vhost_driver_get_protocol_features(vhost->socket, &features);
	features &= ~PROTOCOL_F_CONFIG;
	if (is_device_model(vhost))
		features |= PROTOCOL_F_CONFIG;
	rte_vhost_driver_set_protocol_features(vhost->socket, features);
}

/* Offers this connection what its kind of frontend can take. The library then refuses anything else. */
static void
offer(struct pv_vhost *vhost, enum pv_frontend frontend)
{
	uint64_t offered = pv_vhost_offered(frontend, vhost->able, vhost->port->queues, vhost->guest_features);

	if (remembers(vhost, frontend))
		offered |= vhost->known_features & vhost->able & ~PV_VHOST_OWN_FEATURES;

	vhost->frontend = frontend;
	vhost->told = true;
	vhost->offered = offered;
	rte_vhost_driver_enable_features(vhost->socket, vhost->able & ~PV_VHOST_OWN_FEATURES);
	rte_vhost_driver_disable_features(vhost->socket, ~offered);
	offer_config(vhost);
}

/*
 * The library's mappings of the guest's memory: on either data path a page that the frontend takes away must not end
 * the daemon (fault.h).
 */
static void
unwatch_memory(struct pv_vhost *vhost)
{
	for (uint32_t i = 0; i < vhost->n_watched; i++)
		pv_fault_unwatch(vhost->watched[i]);
	vhost->n_watched = 0;
}

static _Atomic uint32_t *
faulted(struct pv_vhost *vhost)
{
	return vhost->vio != NULL ? &vhost->vio->faulted : &vhost->faulted;
}

static void
watch_memory(struct pv_vhost *vhost, int vid)
{
	struct rte_vhost_memory *table;

	unwatch_memory(vhost);
	if (rte_vhost_get_mem_table(vid, &table) != 0)
		return;
	for (uint32_t i = 0; i < table->nregions && i < PV_REGIONS_MAX; i++) {
		const struct rte_vhost_mem_region *region = &table->regions[i];

		if (pv_fault_watch(region->mmap_addr, region->mmap_size, faulted(vhost)) != 0)
			pv_log_limited(
				&vhost->port->limit, PV_LOG_WARNING, vhost->port->name,
				"too many regions of guests' memory to watch: a guest that takes it away ends us");
		else
			vhost->watched[vhost->n_watched++] = region->mmap_addr;
	}
	free(table);
}

/* Ends the connection. The library closes nothing that came with a message which is refused here. */
static enum rte_vhost_msg_result
cut_off(struct pv_vhost *vhost, struct pv_vhost_message *message, const char *why)
{
	pv_log_limited(&vhost->port->limit, PV_LOG_WARNING, vhost->port->name, "cut off: %s", why);
	pv_vhost_message_close_fds(message);
	message->flags &= ~PV_VHOST_FLAG_NEED_REPLY;
	return RTE_VHOST_MSG_RESULT_ERR;
}

/* Tells the kind of frontend from its first message. */
static void
tell_frontend(struct pv_vhost *vhost, uint32_t request)
{
	if (vhost->wanted != PV_FRONTEND_AUTO)
		offer(vhost, vhost->wanted);
	else if (request == PV_VHOST_SET_OWNER)
		offer(vhost, PV_FRONTEND_UML);
	else if (request == PV_VHOST_GET_FEATURES)
		offer(vhost, PV_FRONTEND_QEMU);
}

/* Whether a message may change what the workers use: memory, rings, how they are read, or the channel for requests. */
static bool
touches_rings(uint32_t request)
{
	static const uint32_t requests[] = {
		PV_VHOST_SET_FEATURES,	   PV_VHOST_RESET_OWNER,    PV_VHOST_SET_MEM_TABLE,
		PV_VHOST_SET_LOG_BASE,	   PV_VHOST_SET_VRING_NUM,  PV_VHOST_SET_VRING_ADDR,
		PV_VHOST_SET_VRING_BASE,   PV_VHOST_SET_VRING_KICK, PV_VHOST_SET_VRING_CALL,
		PV_VHOST_SET_VRING_ENABLE, PV_VHOST_IOTLB_MSG,	    PV_VHOST_SET_BACKEND_REQ_FD,
	};

	for (size_t i = 0; i < RTE_DIM(requests); i++)
		if (requests[i] == request)
			return true;
	return false;
}

/* The payload of GET_CONFIG, and of the answer. */
struct config_space {
	uint32_t offset, size, flags;
	uint8_t bytes[256];
};

/* What cannot be told is answered without a payload (vhost-user protocol, VHOST_USER_GET_CONFIG). */
static enum rte_vhost_msg_result
tell_config(const struct pv_vhost *vhost, struct pv_vhost_message *message)
{
	const uint32_t head = offsetof(struct config_space, bytes);
	struct config_space space;

	memcpy(&space, message->payload.bytes, head);
	if (message->size < head || space.size > sizeof(space.bytes) || message->size != head + space.size) {
		message->size = 0;
		return RTE_VHOST_MSG_RESULT_REPLY;
	}
	pv_control_read_config(&vhost->vio->control, space.offset, space.bytes, space.size);
	memcpy(message->payload.bytes, &space, message->size);
	return RTE_VHOST_MSG_RESULT_REPLY;
}

/* The library would leave out those that it does not know. */
static enum rte_vhost_msg_result
tell_features(const struct pv_vhost *vhost, struct pv_vhost_message *message)
{
	message->payload.u64 = vhost->offered;
	message->size = sizeof(message->payload.u64);
	return RTE_VHOST_MSG_RESULT_REPLY;
}

/* Keeps those from the library that it does not know. */
static void
take_features(struct pv_vhost *vhost, struct pv_vhost_message *message)
{
	uint64_t features = message->payload.u64;

	pv_vio_choose_control(vhost->vio, is_device_model(vhost) ? features : 0);
	vhost->accepted_own = features & vhost->offered & PV_VHOST_OWN_FEATURES;
	message->payload.u64 = features & ~vhost->accepted_own;
}

static void
place_ring(struct pv_vhost *vhost, const struct pv_vhost_message *message)
{
	struct pv_vhost_vring_addr at = message->payload.addr;

	pv_vio_place_ring(vhost->vio, &at);
}

/* The library handles the message next, and takes its descriptors. 0 or -errno. */
static int
make_way(struct pv_vhost *vhost, int vid, struct pv_vhost_message *message)
{
	if (message->request == PV_VHOST_GET_VRING_BASE)
		pv_vio_tell_base(vhost->vio, message->payload.state.index);
	if (!touches_rings(message->request))
		return 0;
	vhost->in_message = true;
	pv_vio_pause(vhost->vio, vid);
	if (message->request == PV_VHOST_SET_BACKEND_REQ_FD && message->fd_num == 1)
		pv_vio_set_backend_channel(vhost->vio, message->fds[0]);
	if (message->request == PV_VHOST_SET_VRING_ADDR)
		place_ring(vhost, message);
	if (message->request == PV_VHOST_SET_FEATURES)
		take_features(vhost, message);
	if (message->request == PV_VHOST_SET_MEM_TABLE || message->request == PV_VHOST_RESET_OWNER)
		pv_vio_drop_memory(vhost->vio);
	else if (message->request == PV_VHOST_SET_LOG_BASE && message->fd_num == 1)
		return pv_vio_set_log(vhost->vio, message->fds[0], message->payload.log.mmap_size,
				      message->payload.log.mmap_offset);
	return 0;
}

/* The two messages of in-flight tracking are ours, not the library's. */
static enum rte_vhost_msg_result
handle_inflight(struct pv_vhost *vhost, int vid, struct pv_vhost_message *message)
{
	int result;

	if (message->request == PV_VHOST_GET_INFLIGHT_FD)
		return pv_vio_make_inflight(vhost->vio, vid, message) == 0 ? RTE_VHOST_MSG_RESULT_REPLY :
									     RTE_VHOST_MSG_RESULT_ERR;
	pv_vio_pause(vhost->vio, vid);
	result = pv_vio_set_inflight(vhost->vio, vid, message);
	pv_vhost_message_close_fds(message);
	pv_vio_resume(vhost->vio, vid);
	return result == 0 ? RTE_VHOST_MSG_RESULT_OK : RTE_VHOST_MSG_RESULT_ERR;
}

static enum rte_vhost_msg_result
check_message(struct pv_vhost *vhost, int vid, struct pv_vhost_message *header)
{
	char why[256];

	/* An answer to a frontend that does not read would wait with the rings locked. */
	if (pv_connection_is_stuffed(vhost->connection_fd))
		return cut_off(vhost, header, "the frontend does not read the answers to its messages");
	if (!vhost->told)
		tell_frontend(vhost, header->request);
	vhost->guard.offered = vhost->offered;
	if (pv_vhost_guard(&vhost->guard, header, why, sizeof(why)) != 0)
		return cut_off(vhost, header, why);
	if (header->request == PV_VHOST_GET_CONFIG && is_device_model(vhost))
		return tell_config(vhost, header);
	if (header->request == PV_VHOST_GET_QUEUE_NUM) {
		pv_vhost_guard_answer_queue_num(&vhost->guard, header);
		return RTE_VHOST_MSG_RESULT_REPLY;
	}
	if (header->request == PV_VHOST_GET_FEATURES && is_device_model(vhost))
		return tell_features(vhost, header);
	pv_vhost_guard_take_reply(&vhost->guard, header);
	if (header->request == PV_VHOST_SET_MEM_TABLE || header->request == PV_VHOST_RESET_OWNER)
		unwatch_memory(vhost);
	/* The library looks into rings in the new memory before after_message() can watch it. */
	if (header->request == PV_VHOST_SET_MEM_TABLE)
		pv_fault_shield(faulted(vhost));
	if (vhost->vio == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	if (header->request == PV_VHOST_GET_INFLIGHT_FD || header->request == PV_VHOST_SET_INFLIGHT_FD)
		return handle_inflight(vhost, vid, header);
	if (header->request == PV_VHOST_SEND_RARP) {
		pv_vio_announce(vhost->vio, header->payload.bytes);
		return RTE_VHOST_MSG_RESULT_OK;
	}
	if (make_way(vhost, vid, header) != 0)
		return cut_off(vhost, header, "its log of written pages cannot be mapped");
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static void
go_on(struct pv_vhost *vhost, int vid, const struct pv_vhost_message *handled)
{
	if (!touches_rings(handled->request))
		return;
	if (handled->request == PV_VHOST_SET_MEM_TABLE)
		pv_vio_take_memory(vhost->vio, vid);
	else if (handled->request == PV_VHOST_IOTLB_MSG)
		pv_vio_iotlb_message(vhost->vio, handled);
	vhost->in_message = false;
	pv_vio_resume(vhost->vio, vid);
}

static enum rte_vhost_msg_result
before_message(int vid, void *message)
{
	struct pv_vhost *vhost = find_by_vid(vid);
	enum rte_vhost_msg_result result;

	if (vhost == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	pthread_mutex_lock(&vhost->lock);
	result = check_message(vhost, vid, message);
	pthread_mutex_unlock(&vhost->lock);
	return result;
}

/* The library has handled the message, and it was good. */
static enum rte_vhost_msg_result
take_message(struct pv_vhost *vhost, int vid, struct pv_vhost_message *message)
{
	pv_fault_shield(NULL);
	if (message->request == PV_VHOST_SET_MEM_TABLE)
		watch_memory(vhost, vid);
	if (vhost->vio != NULL)
		go_on(vhost, vid, message);
	return pv_vhost_guard_owes_reply(&vhost->guard, message) ? RTE_VHOST_MSG_RESULT_REPLY :
								   RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static enum rte_vhost_msg_result
after_message(int vid, void *message)
{
	struct pv_vhost *vhost = find_by_vid(vid);
	enum rte_vhost_msg_result result;

	if (vhost == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	pthread_mutex_lock(&vhost->lock);
	result = take_message(vhost, vid, message);
	pthread_mutex_unlock(&vhost->lock);
	return result;
}

static const struct rte_vhost_user_extern_ops message_ops = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

static void
forget_guest(struct pv_vhost *vhost)
{
	pv_remember_close(vhost->remembered);
	vhost->remembered = NULL;
}

/* What lets a pktvirt that is started after this one go on with the guest. Without it, it works until then. */
static void
remember_guest(struct pv_vhost *vhost)
{
	forget_guest(vhost);
	if (!remembers(vhost, vhost->frontend))
		return;
	vhost->remembered = pv_remember_open(vhost->socket, vhost->accepted);
	if (vhost->remembered == NULL)
		pv_log_limited(&vhost->port->limit, PV_LOG_WARNING, vhost->port->name,
			       "cannot keep %s.guest (%s): after a restart of pktvirt this guest may not come back",
			       vhost->socket, strerror(errno));
}

static void
end_connection(struct pv_vhost *vhost, int vid)
{
	forget_vid(vhost, vid);
	pv_fault_shield(NULL);
	unwatch_memory(vhost); /* the library unmaps it next */
	if (vhost->vio != NULL)
		pv_vio_drop_memory(vhost->vio);
	forget_guest(vhost);
	pv_remember_nothing(vhost->socket);
	vhost->connection = -1;
}

/* Queue pairs in use: those asked for, up to the first that is not enabled both ways. At least the first. */
static uint16_t
count_active(const struct pv_vhost *vhost)
{
	uint16_t pair = 0, most = vhost->port->queues;

	if (has_control_queue(vhost))
		most = vhost->vio->control.pairs;
	while (pair < most && vhost->ring_enabled[2 * pair] && vhost->ring_enabled[2 * pair + 1])
		pair++;
	return RTE_MAX(pair, 1);
}

/* A ring is complete and enabled, or not; told within a message, or after it. */
static void
change_ring(struct pv_vhost *vhost, int vid, uint16_t ring, bool enabled)
{
	pv_vio_pause(vhost->vio, vid);
	pv_vio_enable_ring(vhost->vio, ring, enabled);
	if (!vhost->in_message)
		pv_vio_resume(vhost->vio, vid);
}

static void
take_ring_state(struct pv_vhost *vhost, int vid, uint16_t ring, int enabled)
{
	if (has_control_queue(vhost) && ring == vhost->vio->control_ring) {
		change_ring(vhost, vid, PV_VIO_CONTROL, enabled != 0);
		return;
	}
	if (ring >= 2 * vhost->port->queues) {
		if (enabled)
			pv_log_limited(
				&vhost->port->limit, PV_LOG_WARNING, vhost->port->name,
				"guest has a queue pair number %u, which nobody serves: the port's \"queues\" is %u",
				ring / 2, vhost->port->queues);
		return;
	}
	vhost->ring_enabled[ring] = enabled != 0;
	vhost->port->active_queues = count_active(vhost);
	if (vhost->vio != NULL)
		change_ring(vhost, vid, ring, enabled != 0);
}

static int
on_ring_state(int vid, uint16_t ring, int enabled)
{
	struct pv_vhost *vhost = find_by_vid(vid);

	if (vhost == NULL)
		return 0;
	pthread_mutex_lock(&vhost->lock);
	take_ring_state(vhost, vid, ring, enabled);
	pthread_mutex_unlock(&vhost->lock);
	return 0;
}

static void
attach_guest(struct pv_vhost *vhost, int vid)
{
	uint64_t features = 0, protocol = 0;

	rte_vhost_get_negotiated_features(vid, &features);
	rte_vhost_get_negotiated_protocol_features(vid, &protocol);
	vhost->accepted = features | vhost->accepted_own;
	vhost->accepted_protocol = protocol;
	vhost->vid = vid;
	vhost->attachments++;
	if (vhost->vio != NULL) {
		remember_guest(vhost);
		pv_vio_attach(vhost->vio, vid, vhost->remembered);
	}
	vhost->attached = true;
	if (!vhost->port->revoked)
		vhost->port->set_up(vhost->port, true);
	pv_log_limited(&vhost->events, PV_LOG_INFO, vhost->port->name, "guest attached%s: %s driver, %s ring%s",
		       vhost->port->revoked ? ", and stays shut out" : "",
		       (features & (1ULL << VIRTIO_F_VERSION_1)) != 0 ? "virtio 1" : "legacy",
		       (features & (1ULL << VIRTIO_F_RING_PACKED)) != 0 ? "packed" : "split",
		       (features & (1ULL << VIRTIO_NET_F_MRG_RXBUF)) != 0 ? ", mergeable buffers" : "");
}

static int
on_guest(int vid)
{
	struct pv_vhost *vhost = find_by_vid(vid);

	if (vhost == NULL)
		return -1;
	pthread_mutex_lock(&vhost->lock);
	attach_guest(vhost, vid);
	pthread_mutex_unlock(&vhost->lock);
	return 0;
}

static void
detach_guest(struct pv_vhost *vhost, int vid)
{
	vhost->attached = false;
	vhost->port->set_up(vhost->port, false);
	if (vhost->vio != NULL)
		pv_vio_detach(vhost->vio, vid);
	pv_log_limited(&vhost->events, PV_LOG_INFO, vhost->port->name, "guest detached");
}

/*
 * The guest has gone and come again so quickly that the library sees the new connection first. What it says of the old
 * one later finds no port.
 */
static void
drop_connection(struct pv_vhost *vhost)
{
	int vid = vhost->connection;

	if (vhost->attached)
		detach_guest(vhost, vid);
	end_connection(vhost, vid);
}

static void
on_guest_gone(int vid)
{
	struct pv_vhost *vhost = find_by_vid(vid);

	if (vhost == NULL)
		return;
	pthread_mutex_lock(&vhost->lock);
	detach_guest(vhost, vid);
	pthread_mutex_unlock(&vhost->lock);
}

static void
on_connection_gone(int vid)
{
	struct pv_vhost *vhost = find_by_vid(vid);

	if (vhost == NULL)
		return;
	pthread_mutex_lock(&vhost->lock);
	end_connection(vhost, vid);
	pthread_mutex_unlock(&vhost->lock);
}

static int
begin_connection(struct pv_vhost *vhost, int vid)
{
	uint64_t protocol = 0;

	if (vhost->connection >= 0 && pv_connection_has_ended(vhost->connection_fd))
		drop_connection(vhost);
	if (vhost->connection >= 0) {
		pv_log_limited(&vhost->port->limit, PV_LOG_WARNING, vhost->port->name,
			       "second connection to %s refused: a guest is connected already", vhost->socket);
		return -1;
	}
	vhost->told = false;
	vhost->accepted = 0;
	vhost->accepted_protocol = 0;
	vhost->accepted_own = 0;
	memset(vhost->ring_enabled, 0, sizeof(vhost->ring_enabled));
	vhost->in_message = false;
	vhost->known_features = 0;
	if (vhost->vio != NULL) {
		pv_vio_connected(vhost->vio);
		vhost->known_features = pv_remember_features(vhost->socket);
	}
	rte_vhost_driver_get_protocol_features(vhost->socket, &protocol);
	if (may_be_device_model(vhost))
		protocol |= PROTOCOL_F_CONFIG; /* if it is not offered in the end, the library refuses it */
	pv_vhost_guard_init(&vhost->guard, vhost->port->queues, may_be_device_model(vhost), vhost->offered, protocol);
	by_vid[vid] = vhost;
	vhost->connection = vid;
	vhost->connection_fd = pv_connection_find(vhost->socket, vhost->mode == PV_VHOST_SERVER);
	pv_connection_limit_reads(vhost->connection_fd);
	return rte_vhost_extern_callback_register(vid, &message_ops, NULL);
}

static int
on_connection(int vid)
{
	struct pv_vhost *vhost = find_by_socket(vid);
	int result;

	if (vhost == NULL || vid >= VIDS_MAX)
		return -1;
	pthread_mutex_lock(&vhost->lock);
	result = begin_connection(vhost, vid);
	pthread_mutex_unlock(&vhost->lock);
	return result;
}

const struct rte_vhost_device_ops pv_vhost_session_ops = {
	.new_connection = on_connection,
	.destroy_connection = on_connection_gone,
	.vring_state_changed = on_ring_state,
	.new_device = on_guest,
	.destroy_device = on_guest_gone,
};

/*
 * Whoever has the lock of a port, such as its message thread in set_up(), may be waiting for the workers, so it is not
 * waited for while they are held. On the library's data path there is nothing to keep out, and its message thread has
 * locks that workers wait for.
 */
void
pv_vhost_session_begin_rebind(struct pv_vhost *vhost)
{
	if (vhost->vio != NULL)
		pthread_mutex_lock(&vhost->lock);
}

void
pv_vhost_session_end_rebind(struct pv_vhost *vhost)
{
	if (vhost->vio != NULL)
		pthread_mutex_unlock(&vhost->lock);
}

void
pv_vhost_session_rebind(struct pv_vhost *vhost, const struct pv_port_env *env)
{
	vhost->io = env->host_io;
	if (vhost->vio == NULL)
		return;
	/* Within a message the rings are paused, and go on when it has been handled. */
	if (!vhost->in_message)
		pv_vio_pause(vhost->vio, vhost->vio->vid);
	pv_vio_rebind(vhost->vio, env);
	if (!vhost->in_message)
		pv_vio_resume(vhost->vio, vhost->vio->vid);
}

/* No worker uses the rings any more when the port is down. Within a message they are paused already. */
static void
shut_out(struct pv_vhost *vhost)
{
	vhost->port->revoked = true;
	vhost->port->set_up(vhost->port, false);
	if (vhost->vio == NULL)
		return;
	if (!vhost->in_message) {
		pv_vio_pause(vhost->vio, vhost->vio->vid);
		pv_vio_resume(vhost->vio, vhost->vio->vid); /* which does not, as it is now */
	}
	for (uint16_t queue = 0; queue < vhost->port->queues; queue++)
		pv_vio_drop_held(vhost->vio, queue);
}

static void
let_in(struct pv_vhost *vhost)
{
	vhost->port->revoked = false;
	if (!vhost->attached)
		return;
	if (vhost->vio != NULL && !vhost->in_message)
		pv_vio_resume(vhost->vio, vhost->vio->vid);
	if (vhost->vio == NULL || !vhost->vio->stopped)
		vhost->port->set_up(vhost->port, true);
}

void
pv_vhost_session_set_granted(struct pv_vhost *vhost, bool granted)
{
	pthread_mutex_lock(&vhost->lock);
	if (granted)
		let_in(vhost);
	else
		shut_out(vhost);
	pthread_mutex_unlock(&vhost->lock);
}

void
pv_vhost_session_add(struct pv_vhost *vhost)
{
	set_by_socket(vhost->port->id, vhost);
}

void
pv_vhost_session_remove(struct pv_vhost *vhost)
{
	set_by_socket(vhost->port->id, NULL);
	forget_vid(vhost, vhost->connection); /* of a connection that unregistering ends the library does not tell */
	unwatch_memory(vhost);
	forget_guest(vhost);
}
