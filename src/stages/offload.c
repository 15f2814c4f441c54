/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload: the high-level virtual interface. Guests are offered segmentation (TSO over IPv4 and IPv6, UFO) and checksum
 * offload whatever the wire ports can do, and packets stay large until just before a port that does not take them so.
 *
 * Source: Menon, "Optimizing Network Performance in Virtual Machines" (EPFL thesis, 2009), section 3.1.1.
 *
 * The primitive is "guest-interface". plain, what runs without the stage, as Xen's first interface did: guests are
 * offered no offloads, so every frame is whole and has its checksums. high-level, the stage: they are offered all of
 * them, in one or both directions. What is offered is negotiated when a guest attaches, so the stage cannot be switched
 * while pktvirt runs.
 *
 * The offload driver (vio/offload.h) does in software what the port that a packet goes to does not do: a guest that has
 * not negotiated an offload; a wire port without it, or one whose own is not to be used ("wire"). Between guests that
 * both have it a packet passes large. A tap and a raw port take all of it: the kernel is their hardware. An ethdev port
 * takes what its driver says.
 *
 * Scatter and gather need no feature: a guest's frame may always be in pieces, and a device that takes one piece only
 * is given one.
 *
 * Drops: needs_offload, for a packet that cannot be segmented (IPv6 extension headers before a UDP datagram, headers
 * that are not in the first segment); no_buffer.
 *
 * Limits: UDP segmentation without fragments (USO) is not offered; virtio has it since 1.2, Linux since 6.2.
 */
#include "core/primitive.h"
#include "core/stage.h"
#include "vio/offload.h"

enum direction { BOTH, FROM_GUEST, TO_GUEST };
enum wire { WIRE_ALL, WIRE_CHECKSUM, WIRE_NONE };

static const char *const directions[] = { "both", "from-guest", "to-guest", NULL };
static const char *const wires[] = { "all", "checksum", "none", NULL };

struct options {
	uint32_t direction;
	uint32_t wire;
};

static const struct pv_option options[] = {
	PV_OPTION_ENUM(struct options, direction, "direction", directions, BOTH,
		       "which way guests are offered offloads: for what they send, for what they are sent, or both"),
	PV_OPTION_ENUM(struct options, wire, "wire", wires, WIRE_ALL,
		       "which offloads of wire ports are used, if they have them; the rest is done in software"),
	PV_OPTION_END,
};

static uint64_t
no_features(const void *given)
{
	return 0;
}

static uint32_t
no_offloads(const void *given)
{
	return 0;
}

static uint64_t
features_of(const void *given)
{
	const struct options *asked = given;
	uint64_t features = 0;

	if (asked->direction != TO_GUEST)
		features |= PV_FEATURES_FROM_GUEST;
	if (asked->direction != FROM_GUEST)
		features |= PV_FEATURES_TO_GUEST;
	return features;
}

static uint32_t
wire_offloads_of(const void *given)
{
	switch (((const struct options *)given)->wire) {
	case WIRE_ALL:
		return PV_OFFLOAD_ALL;
	case WIRE_CHECKSUM:
		return PV_OFFLOAD_CSUM;
	default:
		return 0;
	}
}

static const struct pv_guest_interface plain_interface = { .features = no_features, .wire_offloads = no_offloads };
static const struct pv_guest_interface high_level_interface = { .features = features_of,
								.wire_offloads = wire_offloads_of };

static const struct pv_implementation plain = {
	.primitive = PV_PRIMITIVE_GUEST_INTERFACE,
	.name = "plain",
	.summary = "guests are offered no offloads: every frame is whole and carries its checksums",
	.plain = true,
	.baselines = 1u << PV_BASELINE_UML | 1u << PV_BASELINE_XEN,
	.ops = &plain_interface,
};
PV_IMPLEMENTATION(plain)

static const struct pv_implementation high_level = {
	.primitive = PV_PRIMITIVE_GUEST_INTERFACE,
	.name = "high-level",
	.summary = "guests are offered segmentation and checksum offload; software does what a port lacks",
	.ops = &high_level_interface,
};
PV_IMPLEMENTATION(high_level)

static const char *
bind(const void *given)
{
	return "high-level";
}

static const struct pv_stage stage = {
	.name = "offload",
	.summary = "guests send and receive large packets with unfinished checksums, whatever the wire can do",
	.source = "Menon, EPFL thesis 2009, section 3.1.1 (high-level virtual interface)",
	.options = options,
	.options_size = sizeof(struct options),
	.primitive = PV_PRIMITIVE_GUEST_INTERFACE,
	.bind = bind,
};
PV_STAGE(stage)
