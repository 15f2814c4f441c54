/* SPDX-License-Identifier: BSD-3-Clause */
/* The frontend's side of vhost-user: hands a port's memory and its two queues to the switch. */
#ifndef LG_FRONTEND_H
#define LG_FRONTEND_H

#include <stdbool.h>

#include "memory.h"
#include "queue.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_COUNT }; /* as virtio-net numbers them */

/*
 * Connects to the switch that listens on `path` and starts the queues. Returns the connection, which has to stay open,
 * or -errno after saying why.
 */
int frontend_attach(const char *path, const struct memory *memory, const struct queue *queues, bool packed);

#endif
