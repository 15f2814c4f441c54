/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/sockpath.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MODE 0755

/* Says in `why` what failed and returns -error. */
static int
fail(int error, char *why, size_t size, const char *what)
{
	snprintf(why, size, "%s: %s", what, strerror(error));
	return -error;
}

static const char *
kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFLNK:
		return "a symbolic link";
	default:
		return "a device";
	}
}

/* 0 when connecting to `path` reached somebody, else the errno. */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int error = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	strncpy(address.sun_path, path, PV_SOCKET_PATH_MAX);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* 0 when the socket at `path` is stale or gone, -EADDRINUSE when somebody is there, -errno when it cannot be told. */
static int
check_owner(const char *path)
{
	int error = connect_to(path);

	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		return 0;
	case 0:
	case EAGAIN:	 /* its backlog is full */
	case EPROTOTYPE: /* a datagram socket is bound there */
		return -EADDRINUSE;
	default:
		return -error;
	}
}

static int
check_socket(const char *path, char *why, size_t size)
{
	int result = check_owner(path);

	if (result == -EADDRINUSE)
		snprintf(why, size, "another process listens there");
	else if (result < 0)
		fail(-result, why, size, "a socket is there that cannot be asked whether it is in use");
	return result;
}

int
pv_socket_path_check(const char *path, char *why, size_t size)
{
	struct stat status;

	if (path[0] == '\0') {
		snprintf(why, size, "empty: expected a path");
		return -EINVAL;
	}
	if (strlen(path) > PV_SOCKET_PATH_MAX) {
		snprintf(why, size, "%zu bytes: the path of a socket has at most %zu", strlen(path),
			 PV_SOCKET_PATH_MAX);
		return -ENAMETOOLONG;
	}
	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : fail(errno, why, size, "cannot look at it");
	if (!S_ISSOCK(status.st_mode)) {
		snprintf(why, size, "%s is there; it is not replaced", kind_of(status.st_mode));
		return -EEXIST;
	}
	return check_socket(path, why, size);
}

/* Makes every directory above the last component of `path`. */
static int
make_directories(const char *path, char *why, size_t size)
{
	char directory[PV_SOCKET_PATH_MAX + 1];

	for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
		if (mkdir(directory, DIRECTORY_MODE) < 0 && errno != EEXIST)
			return fail(errno, why, size, "cannot make its directory");
	}
	return 0;
}

int
pv_socket_path_prepare(const char *path, char *why, size_t size)
{
	int result = pv_socket_path_check(path, why, size);

	if (result == 0)
		result = make_directories(path, why, size);
	if (result == 0 && unlink(path) < 0 && errno != ENOENT)
		result = fail(errno, why, size, "cannot remove the stale socket");
	return result;
}
