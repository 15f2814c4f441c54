/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/remember.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3274736575675670ULL /* "pVguest2" */

static void
name_file(char *path, size_t size, const char *socket)
{
	snprintf(path, size, "%s.guest", socket);
}

/* Opens the file, a plain one of ours and no link, or returns -1 with errno set. */
static int
open_file(const char *socket, int flags)
{
	char path[PATH_MAX];
	struct stat status;
	int fd;

	name_file(path, sizeof(path), socket);
	fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid())
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

uint64_t
pv_remember_features(const char *socket)
{
	struct pv_remembered found;
	int fd = open_file(socket, O_RDONLY);
	ssize_t bytes;

	if (fd < 0)
		return 0;
	bytes = pread(fd, &found, sizeof(found), 0);
	close(fd);
	return bytes == sizeof(found) && found.magic == MAGIC ? found.features : 0;
}

struct pv_remembered *
pv_remember_open(const char *socket, uint64_t features)
{
	int fd = open_file(socket, O_RDWR | O_CREAT);
	struct pv_remembered *remembered = MAP_FAILED;

	if (fd < 0)
		return NULL;
	/* With room for all of it: where there is none, a store to the mapping would be SIGBUS. */
	if (ftruncate(fd, sizeof(*remembered)) == 0 && (errno = posix_fallocate(fd, 0, sizeof(*remembered))) == 0)
		remembered = mmap(NULL, sizeof(*remembered), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (remembered == MAP_FAILED)
		return NULL;
	if (remembered->magic != MAGIC || remembered->features != features)
		memset(remembered, 0, sizeof(*remembered));
	remembered->magic = MAGIC;
	remembered->features = features;
	return remembered;
}

void
pv_remember_close(struct pv_remembered *remembered)
{
	if (remembered != NULL)
		munmap(remembered, sizeof(*remembered));
}

void
pv_remember_nothing(const char *socket)
{
	char path[PATH_MAX];

	name_file(path, sizeof(path), socket);
	unlink(path);
}
