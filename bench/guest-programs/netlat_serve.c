/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answering. One process takes datagrams and one serves streams, so that each waits in the very call that gives it what
 * comes: poll() before it would be a system call more in what is measured.
 */
#include "netlat.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define RECEIVE_BUFFER (4 << 20)

/* Room for a batch of datagrams. */
struct room {
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	struct sockaddr_in from[BATCH];
	union datagram datagrams[BATCH];
};

/* The COUNTED since BEGIN: how many, and when the first and the last of them came. */
struct counted {
	int64_t n;
	uint64_t first_at, last_at;
};

static int
open_bound(int type, const char *port, uint16_t offset)
{
	struct sockaddr_in any = address_of("0.0.0.0", port);
	int fd = open_socket(type);

	any.sin_port = htons((uint16_t)(ntohs(any.sin_port) + offset));
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0)
		die("bind");
	return fd;
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

static void
send_back(int fd, const void *bytes, size_t size, const struct sockaddr_in *to)
{
	sendto(fd, bytes, size, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void
count(struct counted *counted, uint64_t now)
{
	if (counted->n++ == 0)
		counted->first_at = now;
	counted->last_at = now;
}

static struct tally
tally_of(const struct counted *counted)
{
	return (struct tally){ .n = counted->n, .span_us = clock_us((double)(counted->last_at - counted->first_at)) };
}

/* Datagram i of a batch that came `now`. */
static void
take(int fd, struct room *room, unsigned int i, uint64_t now, struct counted *counted)
{
	union datagram *datagram = &room->datagrams[i];
	size_t size = room->messages[i].msg_len;
	struct tally tally;

	switch (size > 0 ? datagram->head.kind : 0) {
	case ECHO:
		datagram->head.delivered_at = now;
		send_back(fd, datagram, size, &room->from[i]);
		break;
	case COUNTED:
		count(counted, now);
		break;
	case BEGIN:
		*counted = (struct counted){ 0 };
		/* fall through */
	case ASK:
		tally = tally_of(counted);
		send_back(fd, &tally, sizeof(tally), &room->from[i]);
		break;
	}
}

static void
serve_datagrams(int fd)
{
	struct room *room = calloc(1, sizeof(*room));
	struct counted counted = { 0 };

	if (room == NULL)
		die("memory");
	for (;;) {
		uint64_t now;
		int n;

		for (unsigned int i = 0; i < BATCH; i++) {
			room->pieces[i] = (struct iovec){ .iov_base = &room->datagrams[i], .iov_len = DATAGRAM_MAX };
			room->messages[i].msg_hdr = (struct msghdr){ .msg_name = &room->from[i],
								     .msg_namelen = sizeof(room->from[i]),
								     .msg_iov = &room->pieces[i],
								     .msg_iovlen = 1 };
		}
		n = recvmmsg(fd, room->messages, BATCH, MSG_WAITFORONE, NULL);
		now = clock_now();
		for (int i = 0; i < n; i++)
			take(fd, room, (unsigned int)i, now, &counted);
	}
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

/* False when the other side has ended the connection. */
static int
answer_bytes(int fd)
{
	unsigned char bytes[4096];
	ssize_t size = recv(fd, bytes, sizeof(bytes), 0);

	return size > 0 && send(fd, bytes, (size_t)size, MSG_NOSIGNAL) == size;
}

static void
serve_streams(int listening)
{
	struct pollfd fds[1 + CONNECTIONS_MAX] = { { .fd = listening, .events = POLLIN } };
	nfds_t n = 1;

	for (;;) {
		if (poll(fds, n, -1) < 0)
			die("poll");
		for (nfds_t i = 1; i < n; i++) {
			if (fds[i].revents == 0 || answer_bytes(fds[i].fd))
				continue;
			close(fds[i].fd);
			fds[i--] = fds[--n];
		}
		if (fds[0].revents != 0 && n < 1 + CONNECTIONS_MAX)
			fds[n++] = (struct pollfd){ .fd = accept(listening, NULL, NULL), .events = POLLIN };
	}
}

void
serve(char **arguments)
{
	int datagrams = open_bound(SOCK_DGRAM, arguments[0], 0), size = RECEIVE_BUFFER;
	int streams = open_bound(SOCK_STREAM, arguments[0], 0);
	pid_t child;

	open_bound(SOCK_DGRAM, arguments[0], 1);
	setsockopt(datagrams, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (listen(streams, CONNECTIONS_MAX) != 0)
		die("listen");
	if ((child = fork()) < 0)
		die("fork");
	if (child > 0)
		serve_streams(streams);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	serve_datagrams(datagrams);
}
