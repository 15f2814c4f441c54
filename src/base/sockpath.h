/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths of Unix sockets that this process is about to listen on.
 *
 * A socket that nobody listens on any more is left over from a process that died, and may be replaced. One that
 * somebody listens on, and any other kind of file, is never touched.
 */
#ifndef PV_BASE_SOCKPATH_H
#define PV_BASE_SOCKPATH_H

#include <stddef.h>
#include <sys/un.h>

/* Bytes of the longest path, without the terminator. */
#define PV_SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/*
 * Says whether a socket could be bound at `path`, and changes nothing. Returns 0 when nothing is there or a stale
 * socket is; otherwise -errno with the reason, a phrase without the path, in `why`:
 *   -EINVAL        the path is empty
 *   -ENAMETOOLONG  it is longer than PV_SOCKET_PATH_MAX
 *   -EEXIST        there is a file that is not a socket
 *   -EADDRINUSE    somebody listens there
 *   other          it cannot be looked at (-EACCES, -ENOTDIR, …)
 */
int pv_socket_path_check(const char *path, char *why, size_t size);

/*
 * Checks as above, then makes the directories of `path` that are missing (mode 0755) and removes a stale socket, so
 * that bind() can follow. 0 or -errno with the reason in `why`.
 */
int pv_socket_path_prepare(const char *path, char *why, size_t size);

#endif
