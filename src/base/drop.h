/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Named reasons why a packet is dropped. A reason is a cause ("no_port", "ring_full"), never "error". Those of the
 * core and of the ports are listed here; a stage brings its own in its registration. All share one number space, so
 * drops are counted in one array per worker and port and reported by name.
 */
#ifndef PV_BASE_DROP_H
#define PV_BASE_DROP_H

#include <stdint.h>

#include "base/limits.h"

enum {
	PV_DROP_RUNT,		/* shorter than an Ethernet header */
	PV_DROP_OVERSIZED,	/* longer than the ingress port's largest frame */
	PV_DROP_BAD_SOURCE,	/* source address is a group address or all zero */
	PV_DROP_SPOOFED_SOURCE, /* source address is another port's, or not its context's own */
	PV_DROP_LINK_LOCAL,	/* destination 01:80:c2:00:00:0x, which bridges do not forward */
	PV_DROP_SAME_PORT,	/* destination is behind the port it came from */
	PV_DROP_NO_PORT,	/* no other port that could take it */
	PV_DROP_PORT_DOWN,	/* the egress port has no guest or no link */
	PV_DROP_EXCEEDS_MTU,	/* longer than the egress port's largest frame */
	PV_DROP_RING_FULL,	/* the egress queue has no room */
	PV_DROP_MAILBOX_FULL,	/* the worker that owns the egress queue does not keep up */
	PV_DROP_NO_BUFFER,	/* the packet pool is empty */
	PV_DROP_BAD_HEADER,	/* the virtio-net header contradicts the frame, or asks for what was not negotiated */
	PV_DROP_HOST_REFUSED,	/* the host kernel does not take the frame: its interface is down, for example */
	PV_DROP_NEEDS_OFFLOAD,	/* the frame needs an offload that neither the receiver nor the offload driver can do */
	PV_DROP_BAD_CHAIN,	/* a guest's descriptor chain that is no frame: too short, or of the wrong direction */
	PV_DROP_SMALL_BUFFER,	/* the receiving guest's buffers are smaller than the frame */
	PV_DROP_UNSEGMENTED,	/* larger than the MTU: the host left it to be segmented, which its port does not do */
	PV_DROP_NO_MAPPING,	/* the kernel does not map the guest's pages that it is in, or is to go to */
	PV_DROP_WRONG_VLAN,	/* the destination is of another VLAN than the sender, or a guest of one sends a tag */
	PV_DROP_FILTERED,	/* a function at a hook of the bridge does not let it pass */
	PV_DROP_CORE_COUNT
};

#define PV_DROP_MAX 64

struct pv_drop_reason {
	const char *name; /* NULL ends a table */
	const char *help;
};

/*
 * Appends the reasons of `owner` (a stage's name), reported as "owner.reason". Returns the number of the first one, or
 * -ENOSPC when PV_DROP_MAX is exceeded, -ENOMEM. The table is kept by reference.
 */
int pv_drop_register(const char *owner, const struct pv_drop_reason *reasons);

/* How many reasons there are; the name of one as it is reported; what it means. */
uint16_t pv_drop_count(void);
const char *pv_drop_name(uint16_t reason);
const char *pv_drop_help(uint16_t reason);

#endif
