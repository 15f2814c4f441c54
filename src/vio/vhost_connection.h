/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection of a vhost-user port, as a descriptor, which the library does not tell. It is needed because the
 * library reads and answers all connections on one thread with blocking calls, and answers some messages while it holds
 * locks of the rings that workers wait for: a frontend that sends half a message, or does not read its answers, would
 * stop every port.
 */
#ifndef PV_VIO_VHOST_CONNECTION_H
#define PV_VIO_VHOST_CONNECTION_H

#include <stdbool.h>

/* The descriptor of the connection over the Unix socket `path`, on which we listen or not; -1 when there is none. */
int pv_connection_find(const char *path, bool listening);

/* Makes a read that finds half a message give up, which ends the connection. */
void pv_connection_limit_reads(int fd);

/* Whether an answer would have to wait until the other side reads what it was sent. */
bool pv_connection_is_stuffed(int fd);

/* Whether the other side has closed the connection. */
bool pv_connection_has_ended(int fd);

#endif
