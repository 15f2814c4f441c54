/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "buffer-passing": how a guest's frame gets to where it goes. Copied, it is one mbuf of ours. Shared,
 * its first PV_HEADER_COPY bytes are copied, and only they may be parsed or changed; the rest stays in the guest's
 * memory, referenced by the mbuf's further segments (external buffers), until whoever delivers the frame has copied it
 * to its destination and freed the mbuf.
 */
#ifndef PV_VIO_BUFFERS_H
#define PV_VIO_BUFFERS_H

#include <stdint.h>

#define PV_PRIMITIVE_BUFFER_PASSING "buffer-passing"

#define PV_HEADER_COPY 128     /* bytes of a shared frame that are copied */
#define PV_COPY_ALL UINT32_MAX /* as copy_break: nothing is shared */

struct pv_buffer_passing {
	/* Frames of up to so many bytes are copied; `options` are those of the stage that bound this, or NULL. */
	uint32_t (*copy_break)(const void *options);
};

#endif
