/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames, and the buffers that they are in: each begins with the virtio-net header. */
#ifndef LG_FRAME_H
#define LG_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include "queue.h"

#define FRAME_MIN 60
#define FRAME_MAX 1514
#define BUFFER_BYTES 2048
/* No power of two, so that the first lines of the buffers do not all fall into the same few sets of a cache. */
#define BUFFER_STRIDE (BUFFER_BYTES + 5 * 64)
#define NET_HEADER ((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define ETHERTYPE_EXPERIMENTAL 0x88b5

/* Whether a buffer that so many bytes were written to holds a frame, of a length that frames have. */
static ALWAYS_INLINE bool
is_frame(uint32_t length)
{
	return length >= NET_HEADER + FRAME_MIN && length <= NET_HEADER + FRAME_MAX;
}

#endif
