/* SPDX-License-Identifier: BSD-3-Clause */
#include "frontend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#define BIT(n) (1ULL << (n))
#define ANSWER_TIMEOUT_S 10

/* "Front-end message types" and the bits of the protocol's specification. */
enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

#define VERSION 1u
#define NEED_REPLY (1u << 3)
#define F_PROTOCOL_FEATURES 30
#define PROTOCOL_F_REPLY_ACK 3
#define PACKED_BASE_WRAP (1u << 15) /* both sides begin with wrap counter 1 */

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t number;
		struct {
			uint32_t index, value;
		} vring;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} address;
		struct {
			uint32_t count, padding;
			struct {
				uint64_t guest_address, size, user_address, offset;
			} region;
		} table;
	};
} __attribute__((packed));

#define HEADER offsetof(struct message, number)

struct frontend {
	const char *path;
	int connection;
	bool acknowledged; /* the switch answers every message that asks for it */
};

static int
complain(const struct frontend *frontend, const char *what, int error)
{
	fprintf(stderr, "%s: %s: %s: %s\n", program_invocation_short_name, frontend->path, what, strerror(error));
	return -error;
}

static int
write_message(const struct frontend *frontend, struct message *message, size_t payload, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { .iov_base = message, .iov_len = HEADER + payload };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

	message->size = (uint32_t)payload;
	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
							    .cmsg_level = SOL_SOCKET,
							    .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	}
	if (sendmsg(frontend->connection, &header, MSG_NOSIGNAL) != (ssize_t)part.iov_len)
		return complain(frontend, "the switch takes no message", errno);
	return 0;
}

/* Reads the answer to a message, a number. */
static int
read_number(const struct frontend *frontend, uint32_t request, uint64_t *number)
{
	struct message answer;
	size_t wanted = HEADER + sizeof(*number);

	errno = EPROTO;
	if (recv(frontend->connection, &answer, wanted, MSG_WAITALL) != (ssize_t)wanted || answer.request != request)
		return complain(frontend, "the switch gives no answer", errno);
	*number = answer.number;
	return 0;
}

static int
get(const struct frontend *frontend, uint32_t request, uint64_t *number)
{
	struct message message = { .request = request, .flags = VERSION };
	int error = write_message(frontend, &message, 0, -1);

	return error != 0 ? error : read_number(frontend, request, number);
}

/* Sends a message and waits until the switch has done what it says, where it tells. */
static int
set(const struct frontend *frontend, struct message *message, size_t payload, int fd)
{
	uint64_t failed = 0;
	int error;

	message->flags = VERSION | (frontend->acknowledged ? NEED_REPLY : 0);
	error = write_message(frontend, message, payload, fd);
	if (error == 0 && frontend->acknowledged)
		error = read_number(frontend, message->request, &failed);
	if (error == 0 && failed != 0)
		error = complain(frontend, "the switch refuses a message", EPROTO);
	return error;
}

static int
set_number(const struct frontend *frontend, uint32_t request, uint64_t number, int fd)
{
	struct message message = { .request = request, .number = number };

	return set(frontend, &message, sizeof(message.number), fd);
}

static int
set_vring(const struct frontend *frontend, uint32_t request, uint32_t index, uint32_t value)
{
	struct message message = { .request = request, .vring = { index, value } };

	return set(frontend, &message, sizeof(message.vring), -1);
}

static int
negotiate(struct frontend *frontend, bool packed)
{
	const uint64_t needed = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(F_PROTOCOL_FEATURES) |
				(packed ? BIT(VIRTIO_F_RING_PACKED) : 0);
	struct message owner = { .request = SET_OWNER };
	uint64_t offered = 0, protocol = 0;
	int error;

	if ((error = set(frontend, &owner, 0, -1)) != 0 || (error = get(frontend, GET_FEATURES, &offered)) != 0)
		return error;
	if ((offered & needed) != needed)
		return complain(frontend, packed ? "the switch offers no packed ring" : "the switch lacks a feature",
				ENOTSUP);
	if ((error = get(frontend, GET_PROTOCOL_FEATURES, &protocol)) != 0)
		return error;
	protocol &= BIT(PROTOCOL_F_REPLY_ACK);
	if ((error = set_number(frontend, SET_PROTOCOL_FEATURES, protocol, -1)) != 0)
		return error;
	frontend->acknowledged = protocol != 0;
	return set_number(frontend, SET_FEATURES, needed, -1);
}

/* A guest's physical address is where we have its memory mapped. */
static int
share_memory(const struct frontend *frontend, const struct memory *memory)
{
	struct message message = { .request = SET_MEM_TABLE };

	message.table.count = 1;
	message.table.region.guest_address = (uintptr_t)memory->base;
	message.table.region.user_address = (uintptr_t)memory->base;
	message.table.region.size = memory->size;
	return set(frontend, &message, sizeof(message.table), memory->fd);
}

static int
set_address(const struct frontend *frontend, uint32_t index, const struct queue *queue)
{
	struct message message = { .request = SET_VRING_ADDR };

	message.address.index = index;
	message.address.desc = (uintptr_t)queue->desc;
	message.address.avail = (uintptr_t)queue->avail;
	message.address.used = (uintptr_t)queue->used;
	return set(frontend, &message, sizeof(message.address), -1);
}

static int
start_queue(const struct frontend *frontend, uint32_t index, const struct queue *queue, bool packed)
{
	int error = set_vring(frontend, SET_VRING_NUM, index, queue->size);

	if (error == 0)
		error = set_vring(frontend, SET_VRING_BASE, index, packed ? PACKED_BASE_WRAP : 0);
	if (error == 0)
		error = set_address(frontend, index, queue);
	if (error == 0)
		error = set_number(frontend, SET_VRING_CALL, index, queue->call_fd);
	return error == 0 ? set_number(frontend, SET_VRING_KICK, index, queue->kick_fd) : error;
}

static int
start(struct frontend *frontend, const struct memory *memory, const struct queue *queues, bool packed)
{
	int error = negotiate(frontend, packed);

	if (error == 0)
		error = share_memory(frontend, memory);
	for (uint32_t index = 0; index < QUEUE_COUNT && error == 0; index++)
		error = start_queue(frontend, index, &queues[index], packed);
	for (uint32_t index = 0; index < QUEUE_COUNT && error == 0; index++)
		error = set_vring(frontend, SET_VRING_ENABLE, index, 1);
	return error;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connection < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    connect(connection, (struct sockaddr *)&address, sizeof(address)) == 0)
		return connection;
	close(connection);
	return -1;
}

int
frontend_attach(const char *path, const struct memory *memory, const struct queue *queues, bool packed)
{
	struct frontend frontend = { .path = path, .connection = connect_to(path) };
	int error;

	if (frontend.connection < 0)
		return complain(&frontend, "cannot connect", errno);
	error = start(&frontend, memory, queues, packed);
	if (error == 0)
		return frontend.connection;
	close(frontend.connection);
	return error;
}
