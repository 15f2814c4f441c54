/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io-channel: a guest's packet is not mapped to be switched: its beginning comes in a header channel, by copy.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis 4267, 2009), section 3.1.2, "I/O
 * Channel Optimizations"; section 2.3 has what the baseline costs.
 *
 * The primitive is "io-channel" (vio/io_channel.h).
 *
 * grant, the baseline of Xen: the driver domain has only the rings and tables of descriptors mapped. The pages of each
 * packet are mapped from the guest's memory, in both directions, and unmapped when it was copied: one mmap() of the
 * guest's file for each piece of memory that a packet lies in, and one munmap(). Here the kernel's page tables are
 * what Xen's grant tables and page tables are there, and its flushes of TLBs on other processors are the same.
 *
 * header-channel, the stage: the guest's memory is mapped once. The driver domain needs no more than the headers of a
 * packet to switch it, so the first PV_HEADER_COPY bytes are copied; the payload is touched by nobody but the receiver,
 * which copies it from where it is. Packets of up to copy-break bytes are copied as a whole, which is what the thesis
 * does with ACKs in place of page transfers. This is what shared-buffer-rings does after User-mode Linux, with the same
 * machinery: where both are listed, the smaller copy-break counts.
 *
 * persistent, what runs where no baseline asks otherwise: the memory is mapped once, and packets are copied.
 *
 * Who owns what: as in shared-buffer-rings. With grant nothing of a packet refers to the guest when it has been
 * received, so that shared-buffer-rings has no effect beside it.
 *
 * Limits: what is mapped is a page or several, so more of a guest than its packet, as with Xen. On the data path
 * "rte_vhost" the library moves the packets, in its own mapping: there the primitive changes nothing.
 *
 * Drop reasons, of the port: no_mapping, when the kernel refuses to map (it counts mappings, sysctl vm.max_map_count,
 * and the guest may have sealed its file). A page that the guest has taken out of its file stops its port.
 *
 * Counted for each ring (pktvirt-ctl --json show ports): maps, pages of them, failures; for the port
 * mappings_per_frame.
 */
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/io_channel.h"

struct options {
	uint32_t copy_break;
};

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, copy_break, "copy-break", PV_HEADER_COPY, 65535, 256,
		       "bytes up to which a packet is copied as a whole"),
	PV_OPTION_END,
};

static struct pv_io_channel
choose_persistent(const void *given)
{
	return (struct pv_io_channel){ .way = PV_CHANNEL_PERSISTENT, .copy_break = PV_COPY_ALL };
}

static struct pv_io_channel
choose_grant(const void *given)
{
	return (struct pv_io_channel){ .way = PV_CHANNEL_GRANT, .copy_break = PV_COPY_ALL };
}

static struct pv_io_channel
choose_header_channel(const void *given)
{
	const struct options *asked = given;

	return (struct pv_io_channel){ .way = PV_CHANNEL_PERSISTENT, .copy_break = asked->copy_break };
}

static const struct pv_implementation persistent = {
	.primitive = PV_PRIMITIVE_IO_CHANNEL,
	.name = "persistent",
	.summary = "a guest's memory is mapped as long as the guest is there",
	.plain = true,
	.ops = &(const struct pv_io_channel_ops){ .choose = choose_persistent },
};
PV_IMPLEMENTATION(persistent)

static const struct pv_implementation grant = {
	.primitive = PV_PRIMITIVE_IO_CHANNEL,
	.name = "grant",
	.summary = "the pages of each packet are mapped from the guest's memory, and unmapped when it was copied",
	.baselines = 1u << PV_BASELINE_XEN,
	.ops = &(const struct pv_io_channel_ops){ .choose = choose_grant },
};
PV_IMPLEMENTATION(grant)

static const struct pv_implementation header_channel = {
	.primitive = PV_PRIMITIVE_IO_CHANNEL,
	.name = "header-channel",
	.summary =
		"headers and small packets are copied; a payload is copied once, by its receiver, and mapped by nobody",
	.ops = &(const struct pv_io_channel_ops){ .choose = choose_header_channel },
};
PV_IMPLEMENTATION(header_channel)

static const char *
bind_header_channel(const void *given)
{
	return header_channel.name;
}

static const struct pv_stage io_channel = {
	.name = "io-channel",
	.summary = "packets are switched by a copy of their headers; no page of a guest is mapped for each",
	.source = "Menon, EPFL thesis 2009, section 3.1.2 (I/O channel optimizations)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_IO_CHANNEL,
	.bind = bind_header_channel,
};
PV_STAGE(io_channel)
