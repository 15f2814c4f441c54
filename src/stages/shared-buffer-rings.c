/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shared-buffer-rings: a frame's payload stays where the guest put it until it is copied to where it goes.
 *
 * Source: Koh et al., "Efficient Packet Processing in User-Level OSes: A Study of UML" (LCN 2006), section 4.4.
 *
 * The primitive is "buffer-passing" (vio/buffers.h). copy, what runs without the stage: a guest's frame is copied into
 * a packet buffer, and from there to the receiver: two copies. shared, the stage: the first PV_HEADER_COPY bytes are
 * copied, and only they are parsed; the packet refers to the rest in the guest's memory, and the receiving guest's port
 * copies it from there: one copy of the payload. Frames of up to copy-break bytes are copied as before, which costs
 * less than keeping account of them.
 *
 * Who owns what: the guest's buffer is on loan from when its frame is received until the last packet that refers to it
 * is freed, and is given back in the order in which it came. A guest keeps at least half of its ring: when more is on
 * loan, frames are copied. A tap's frames the kernel takes straight from there. A
 * device of DPDK holds on to what it is given, so the payload is copied once into a buffer of the packet pool; that of
 * an AF_XDP device is its UMEM, and the device copies no more.
 */
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/buffers.h"

struct options {
	uint32_t copy_break;
};

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct options, copy_break, "copy-break", PV_HEADER_COPY, 65535, 256,
		       "bytes up to which a frame is copied as a whole"),
	PV_OPTION_END,
};

static uint32_t
copy_all(const void *given)
{
	return PV_COPY_ALL;
}

static uint32_t
share_above_break(const void *given)
{
	return ((const struct options *)given)->copy_break;
}

static const struct pv_implementation copy = {
	.primitive = PV_PRIMITIVE_BUFFER_PASSING,
	.name = "copy",
	.summary = "a guest's frame is copied into a packet buffer, and from there to its receiver",
	.plain = true,
	.ops = &(const struct pv_buffer_passing){ .copy_break = copy_all },
};
PV_IMPLEMENTATION(copy)

static const struct pv_implementation shared = {
	.primitive = PV_PRIMITIVE_BUFFER_PASSING,
	.name = "shared",
	.summary = "the payload stays in the guest's memory until it is copied to its receiver",
	.ops = &(const struct pv_buffer_passing){ .copy_break = share_above_break },
};
PV_IMPLEMENTATION(shared)

static const char *
bind_sharing(const void *given)
{
	return shared.name;
}

static const struct pv_stage shared_buffer_rings = {
	.name = "shared-buffer-rings",
	.summary = "a guest's payload is referenced where it is and copied once, straight to its receiver",
	.source = "Koh et al., LCN 2006, section 4.4 (shared socket buffers)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_BUFFER_PASSING,
	.bind = bind_sharing,
};
PV_STAGE(shared_buffer_rings)
