/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/vhost_connection.h"

#include <dirent.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define READ_LIMIT_US 200000

/* The address of one end; false when `fd` is no connected Unix socket. */
static bool
addresses(int fd, struct sockaddr_un *ours, struct sockaddr_un *theirs)
{
	socklen_t ours_size = sizeof(*ours), theirs_size = sizeof(*theirs);

	return getsockname(fd, (struct sockaddr *)ours, &ours_size) == 0 &&
	       getpeername(fd, (struct sockaddr *)theirs, &theirs_size) == 0 && ours->sun_family == AF_UNIX;
}

static bool
is_connection(int fd, const char *path, bool listening)
{
	struct sockaddr_un ours = { 0 }, theirs = { 0 };

	return addresses(fd, &ours, &theirs) &&
	       strncmp(listening ? ours.sun_path : theirs.sun_path, path, sizeof(ours.sun_path)) == 0;
}

int
pv_connection_find(const char *path, bool listening)
{
	DIR *descriptors = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	if (descriptors == NULL)
		return -1;
	/* One that has ended may be that before, which the library has not closed yet. */
	while ((found < 0 || pv_connection_has_ended(found)) && (entry = readdir(descriptors)) != NULL) {
		int fd = atoi(entry->d_name); /* "." and ".." make 0, which is none of ours */

		if (is_connection(fd, path, listening))
			found = fd;
	}
	closedir(descriptors);
	return found;
}

void
pv_connection_limit_reads(int fd)
{
	const struct timeval longest = { .tv_usec = READ_LIMIT_US };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
}

bool
pv_connection_is_stuffed(int fd)
{
	struct pollfd answer = { .fd = fd, .events = POLLOUT };

	return fd >= 0 && poll(&answer, 1, 0) == 0;
}

bool
pv_connection_has_ended(int fd)
{
	struct pollfd end = { .fd = fd };

	return fd >= 0 && poll(&end, 1, 0) > 0 && (end.revents & POLLHUP) != 0;
}
