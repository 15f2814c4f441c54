/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/drop.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static struct pv_drop_reason reasons[PV_DROP_MAX] = {
	[PV_DROP_RUNT] = { "runt", "shorter than an Ethernet header" },
	[PV_DROP_OVERSIZED] = { "oversized", "longer than the ingress port's largest frame" },
	[PV_DROP_BAD_SOURCE] = { "bad_source", "source address is a group address or all zero" },
	[PV_DROP_SPOOFED_SOURCE] = { "spoofed_source",
				     "source address is another port's, or not the one that its context speaks with" },
	[PV_DROP_LINK_LOCAL] = { "link_local", "destination 01:80:c2:00:00:0x, which bridges do not forward" },
	[PV_DROP_SAME_PORT] = { "same_port", "destination is behind the port it came from" },
	[PV_DROP_NO_PORT] = { "no_port", "no other port that could take it" },
	[PV_DROP_PORT_DOWN] = { "port_down", "the egress port has no guest or no link" },
	[PV_DROP_EXCEEDS_MTU] = { "exceeds_mtu", "longer than the egress port's largest frame" },
	[PV_DROP_RING_FULL] = { "ring_full", "the egress queue has no room" },
	[PV_DROP_MAILBOX_FULL] = { "mailbox_full", "the worker that owns the egress queue does not keep up" },
	[PV_DROP_NO_BUFFER] = { "no_buffer", "the packet pool is empty" },
	[PV_DROP_BAD_HEADER] = { "bad_header", "the virtio-net header contradicts the frame, or asks for what was not "
					       "negotiated" },
	[PV_DROP_HOST_REFUSED] = { "host_refused",
				   "the host kernel does not take the frame: its interface is down, for "
				   "example" },
	[PV_DROP_NEEDS_OFFLOAD] = { "needs_offload", "the frame needs an offload that neither its receiver nor the "
						     "offload driver can do" },
	[PV_DROP_BAD_CHAIN] = { "bad_chain",
				"a guest's descriptor chain that is no frame: too short for the header, or "
				"with buffers of the wrong direction" },
	[PV_DROP_SMALL_BUFFER] = { "small_buffer", "the receiving guest's buffers are smaller than the frame" },
	[PV_DROP_UNSEGMENTED] = { "unsegmented",
				  "larger than the MTU, because the host left it to be segmented: ethtool -K INTERFACE "
				  "gro off lro off, or tso off gso off on the other end of a veth" },
	[PV_DROP_NO_MAPPING] = { "no_mapping",
				 "the kernel does not map the guest's pages that it is in, or is to go to" },
	[PV_DROP_WRONG_VLAN] = { "wrong_vlan", "its destination is of another VLAN than its sender, or a guest with a "
					       "VLAN has sent it with a tag" },
	[PV_DROP_FILTERED] = { "filtered", "a function at a hook of the bridge does not let it pass" },
};
static uint16_t n_reasons = PV_DROP_CORE_COUNT;

static size_t
length_of(const struct pv_drop_reason *table)
{
	size_t length = 0;

	while (table[length].name != NULL)
		length++;
	return length;
}

/* Frees the names from `first` on, which are ours. */
static void
forget(uint16_t first, uint16_t end)
{
	for (uint16_t i = first; i < end; i++)
		free((char *)(uintptr_t)reasons[i].name);
}

int
pv_drop_register(const char *owner, const struct pv_drop_reason *table)
{
	uint16_t first = n_reasons, next = first;

	if (length_of(table) > (size_t)(PV_DROP_MAX - n_reasons))
		return -ENOSPC;
	for (; table->name != NULL; table++, next++) {
		char *name;

		if (asprintf(&name, "%s.%s", owner, table->name) < 0) {
			forget(first, next);
			return -ENOMEM;
		}
		reasons[next] = (struct pv_drop_reason){ .name = name, .help = table->help };
	}
	n_reasons = next;
	return first;
}

uint16_t
pv_drop_count(void)
{
	return n_reasons;
}

const char *
pv_drop_name(uint16_t reason)
{
	return reason < n_reasons ? reasons[reason].name : NULL;
}

const char *
pv_drop_help(uint16_t reason)
{
	return reason < n_reasons ? reasons[reason].help : NULL;
}
