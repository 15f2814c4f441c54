/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primitive "io-channel": how the pages of a guest's packet are reached.
 *
 * PV_CHANNEL_PERSISTENT: through the mapping of all of the guest's memory that the vhost library makes once.
 *
 * PV_CHANNEL_GRANT: as the driver domain of Xen did it (Menon, EPFL thesis 2009, sections 2.3 and 3.1.2): the pages of
 * each packet are mapped from the guest's memory for that packet, and unmapped when it was copied (grant.h). Rings and
 * tables of descriptors stay mapped, as the shared pages of Xen's rings did. Nothing can be shared then.
 *
 * A way may also say up to how many bytes a packet is copied, as "buffer-passing" does (buffers.h); the smaller of the
 * two counts.
 */
#ifndef PV_VIO_IO_CHANNEL_H
#define PV_VIO_IO_CHANNEL_H

#include <stdint.h>

#include "vio/buffers.h"

#define PV_PRIMITIVE_IO_CHANNEL "io-channel"

enum pv_channel_way { PV_CHANNEL_PERSISTENT, PV_CHANNEL_GRANT };

struct pv_io_channel {
	enum pv_channel_way way;
	uint32_t copy_break; /* bytes; PV_COPY_ALL leaves it to buffer-passing */
};

/* The function table of the primitive: what the options of the stage that bound it, or NULL, ask for. */
struct pv_io_channel_ops {
	struct pv_io_channel (*choose)(const void *options);
};

/* Up to how many bytes a port copies, given what buffer-passing asks for. */
static inline uint32_t
pv_io_channel_copy_break(const struct pv_io_channel *channel, uint32_t asked)
{
	if (channel->way == PV_CHANNEL_GRANT)
		return PV_COPY_ALL;
	return channel->copy_break < asked ? channel->copy_break : asked;
}

#endif
