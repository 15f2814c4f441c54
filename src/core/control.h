/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: how pktvirt-ctl and scripts ask the daemon.
 *
 * A client sends one JSON object per line and gets one line per request, in order, on a connection that stays open:
 *
 *     {"command":"show","what":"ports"}
 *     {"ok":true,"result":{…}}
 *     {"ok":false,"error":"unknown command \"shwo\""}
 *
 * Everything happens in pv_control_poll(), on the thread that calls it, and nothing in there blocks: a client that
 * does not read its answer is not read from either, so it costs one slot and one answer. When all slots are taken and
 * somebody else wants in, the one that has kept its answer waiting for longest, and at least PV_CONTROL_STUCK_S, is
 * cut off.
 */
#ifndef PV_CORE_CONTROL_H
#define PV_CORE_CONTROL_H

#include <jansson.h>
#include <stddef.h>

#define PV_CONTROL_CLIENTS_MAX 32
#define PV_CONTROL_REQUEST_MAX (64 * 1024) /* bytes of a line, with its newline */
#define PV_CONTROL_STUCK_S 5

struct pv_control;

/*
 * Answers one request, whose "command" is given. Returns the result, which the caller then owns, or NULL with the
 * reason in `error`.
 */
typedef json_t *(*pv_control_handler)(const char *command, json_t *request, char *error, size_t error_size);

/*
 * Listens at `path` (mode 0600), making its directory and replacing a stale socket. Returns NULL with errno set, having
 * logged why: see pv_socket_path_check(), or what bind() gives.
 */
struct pv_control *pv_control_open(const char *path, pv_control_handler handler);

/* Closes every connection and removes the socket. NULL is fine. */
void pv_control_close(struct pv_control *control);

/* A descriptor that is readable while pv_control_poll() has something to do. */
int pv_control_fd(const struct pv_control *control);

/* Does what there is to do, at most one request of each client. */
void pv_control_poll(struct pv_control *control);

#endif
