/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: on the connection, and on the channel that the device asks on. */
#include "frontend_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VERSION 1u
#define VERSION_MASK 3u
#define FLAG_REPLY (1u << 2)
#define FLAG_NEED_REPLY (1u << 3)
#define PAYLOAD_MAX 512

struct message {
	uint32_t request, flags, bytes;
	uint8_t payload[PAYLOAD_MAX];
};
#define HEADER_BYTES 12u

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
listen_for_device(struct frontend *frontend, const struct sockaddr_un *address)
{
	struct pollfd pending = { .fd = frontend->connection, .events = POLLIN };

	frontend->listener = frontend->connection;
	frontend->connection = -1;
	if (bind(frontend->listener, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
	    listen(frontend->listener, 1) != 0)
		return -errno;
	if (poll(&pending, 1, (int)frontend->setup.deadline_s * 1000) != 1)
		return -ETIMEDOUT;
	frontend->connection = accept4(frontend->listener, NULL, NULL, SOCK_CLOEXEC);
	return frontend->connection < 0 ? -errno : 0;
}

int
frontend_connect(struct frontend *frontend)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", frontend->path);
	frontend->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (frontend->connection < 0)
		return -errno;
	if (frontend->setup.listens)
		return listen_for_device(frontend, &address);
	return connect(frontend->connection, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

static void
close_if_open(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Waits until the other side has closed the connection, too: it would take the next one for a second one. */
static void
end_connection(struct frontend *frontend)
{
	struct pollfd end = { .fd = frontend->connection, .events = POLLIN };
	char rest[PAYLOAD_MAX];

	if (frontend->connection < 0 || shutdown(frontend->connection, SHUT_WR) != 0)
		return;
	while (poll(&end, 1, (int)frontend->setup.deadline_s * 1000) == 1 &&
	       recv(frontend->connection, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

void
frontend_disconnect(struct frontend *frontend)
{
	end_connection(frontend);
	close_if_open(&frontend->connection);
	close_if_open(&frontend->backend);
	if (frontend->listener >= 0)
		unlink(frontend->path);
	close_if_open(&frontend->listener);
}

/* Sends with descriptors of files. */
static int
send_message(int connection, struct message *message, const int *fds, uint16_t n_fds)
{
	struct iovec bytes = { .iov_base = message, .iov_len = HEADER_BYTES + message->bytes };
	union {
		char bytes[CMSG_SPACE(sizeof(int) * REGIONS_MAX)];
		struct cmsghdr alignment;
	} rights = { .bytes = { 0 } };
	struct msghdr header = { .msg_iov = &bytes, .msg_iovlen = 1 };

	if (n_fds > 0) {
		header.msg_control = rights.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		CMSG_FIRSTHDR(&header)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&header)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&header)->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds, sizeof(int) * n_fds);
	}
	return sendmsg(connection, &header, MSG_NOSIGNAL) == (ssize_t)bytes.iov_len ? 0 : -ECONNRESET;
}

/* The one descriptor that may come with an answer. */
static int
received_fd(struct msghdr *header)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(header);
	int fd = -1;

	if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(control), sizeof(fd));
	return fd;
}

static int
read_message(int connection, struct message *message, int *fd)
{
	struct iovec bytes = { .iov_base = message, .iov_len = HEADER_BYTES };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr alignment;
	} rights;
	struct msghdr header = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof(rights)
	};

	if (recvmsg(connection, &header, MSG_WAITALL | MSG_CMSG_CLOEXEC) != HEADER_BYTES)
		return -ECONNRESET;
	*fd = received_fd(&header);
	if (message->bytes > PAYLOAD_MAX)
		return -EBADMSG;
	if (message->bytes > 0 &&
	    recv(connection, message->payload, message->bytes, MSG_WAITALL) != (ssize_t)message->bytes)
		return -ECONNRESET;
	return 0;
}

/* Answers what the device has asked on its own channel. */
static int
serve_backend(struct frontend *frontend)
{
	struct message message;
	struct vhost_iotlb_msg miss;
	int fd, result = read_message(frontend->backend, &message, &fd);

	if (result != 0)
		return result;
	close_if_open(&fd);
	if (message.request != BACKEND_IOTLB_MSG || message.bytes != sizeof(miss))
		return frontend_complain(frontend, "the device asks number %u on its channel", message.request);
	memcpy(&miss, message.payload, sizeof(miss));
	result = frontend_answer_miss(frontend, &miss);
	if (result == 0 && (message.flags & FLAG_NEED_REPLY) != 0) {
		message.flags = VERSION | FLAG_REPLY;
		message.bytes = sizeof(uint64_t);
		memset(message.payload, 0, sizeof(uint64_t));
		result = send_message(frontend->backend, &message, NULL, 0);
	}
	return result;
}

/* Waits for an answer on the connection; meanwhile the device may ask for translations. */
static int
wait_for_answer(struct frontend *frontend)
{
	int64_t end = now_ms() + (int64_t)frontend->setup.deadline_s * 1000;
	struct pollfd waiting[2] = { { .fd = frontend->connection, .events = POLLIN },
				     { .fd = frontend->backend, .events = POLLIN } };

	for (;;) {
		int64_t left = end - now_ms();
		int result;

		if (left <= 0 || poll(waiting, 2, (int)left) == 0)
			return -ETIMEDOUT;
		if ((waiting[1].revents & POLLIN) != 0 && (result = serve_backend(frontend)) != 0)
			return result;
		if (waiting[0].revents != 0)
			return 0;
	}
}

static int
read_answer(struct frontend *frontend, uint32_t request, struct message *answer, int *fd)
{
	int result = wait_for_answer(frontend);

	if (result == 0)
		result = read_message(frontend->connection, answer, fd);
	if (result == -ETIMEDOUT)
		return frontend_complain(frontend, "no answer to message %u", request);
	if (result != 0)
		return frontend_complain(frontend, "the connection has ended at message %u", request);
	if (answer->request != request || (answer->flags & (FLAG_REPLY | VERSION_MASK)) != (FLAG_REPLY | VERSION))
		return frontend_complain(frontend, "the answer to message %u is number %u with flags %#x", request,
					 answer->request, answer->flags);
	return 0;
}

static void
log_message(const struct frontend *frontend, uint32_t request)
{
	char line[160];

	if (frontend->setup.log == NULL)
		return;
	snprintf(line, sizeof(line), "%s: message %u", frontend->path, request);
	frontend->setup.log(line);
}

static int
send_request(struct frontend *frontend, uint32_t request, uint32_t flags, const void *payload, uint32_t bytes,
	     const int *fds, uint16_t n_fds)
{
	struct message message = { .request = request, .flags = VERSION | flags, .bytes = bytes };

	log_message(frontend, request);
	if (bytes > 0)
		memcpy(message.payload, payload, bytes);
	if (send_message(frontend->connection, &message, fds, n_fds) != 0)
		return frontend_complain(frontend, "the connection has ended before message %u", request);
	return 0;
}

int
frontend_tell_only(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes)
{
	return send_request(frontend, request, 0, payload, bytes, NULL, 0);
}

int
frontend_tell(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes, const int *fds,
	      uint16_t n_fds)
{
	bool acknowledged = (frontend->protocol & FRONTEND_BIT(FRONTEND_PROTOCOL_REPLY_ACK)) != 0;
	struct message answer;
	uint64_t refused = 0;
	int fd = -1, result;

	result = send_request(frontend, request, acknowledged ? FLAG_NEED_REPLY : 0, payload, bytes, fds, n_fds);
	if (result != 0 || !acknowledged)
		return result;
	result = read_answer(frontend, request, &answer, &fd);
	close_if_open(&fd);
	if (result != 0)
		return result;
	if (answer.bytes != sizeof(refused))
		return frontend_complain(frontend, "message %u is acknowledged with %u bytes", request, answer.bytes);
	memcpy(&refused, answer.payload, sizeof(refused));
	return refused == 0 ? 0 : frontend_complain(frontend, "message %u is refused", request);
}

int
frontend_ask(struct frontend *frontend, uint32_t request, const void *payload, uint32_t bytes, void *answer,
	     uint32_t room, int *fd)
{
	struct message message;
	int result, file = -1;

	result = send_request(frontend, request, 0, payload, bytes, fd, fd != NULL && *fd >= 0 ? 1 : 0);
	if (result != 0)
		return result;
	result = read_answer(frontend, request, &message, &file);
	if (fd != NULL)
		*fd = file;
	else
		close_if_open(&file);
	if (result != 0)
		return result;
	if (message.bytes > room)
		return frontend_complain(frontend, "the answer to message %u has %u bytes", request, message.bytes);
	memcpy(answer, message.payload, message.bytes);
	return (int)message.bytes;
}

int
frontend_open_backend_channel(struct frontend *frontend)
{
	int pair[2], result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	frontend->backend = pair[0];
	result = frontend_tell(frontend, SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	return result;
}

int
frontend_service(struct frontend *frontend)
{
	struct pollfd now[2] = { { .fd = frontend->connection, .events = POLLIN },
				 { .fd = frontend->backend, .events = POLLIN } };

	if (poll(now, 2, 0) <= 0)
		return 0;
	if (now[0].revents != 0)
		return frontend_complain(frontend, "the device ends the connection, or says what it was not asked");
	return (now[1].revents & POLLIN) != 0 ? serve_backend(frontend) : 0;
}
