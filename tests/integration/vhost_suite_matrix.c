/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every combination of the features that change a ring. A case is one combination, with every way to lay out buffers
 * and memory; the other end of each connection has a combination of its own, so that frames go between all kinds.
 */
#include "vhost_suite.h"

#include <stdio.h>

#define FRAMES 40 /* each way, for each of the layouts of a case */
#define DIM(array) (sizeof(array) / sizeof((array)[0]))

/* A combination: a bit for each of these. */
enum { PACKED = 1, LEGACY = 2, MERGEABLE = 4, INDIRECT = 8, EVENT_IDX = 16, IN_ORDER = 32, COMBINATIONS = 64 };

static const struct frontend_chain chains[] = {
	{ FRONTEND_HEADER_TOGETHER, 1, false }, { FRONTEND_HEADER_APART, 1, false },
	{ FRONTEND_HEADER_HALVED, 1, false },	{ FRONTEND_HEADER_APART, 3, false },
	{ FRONTEND_HEADER_HALVED, 4, false },	{ FRONTEND_HEADER_TOGETHER, 5, false },
};
static const uint16_t split_sizes[] = { 8, 64, 256, 16, 1024, 32, 128 };
static const uint16_t packed_sizes[] = { 8, 13, 64, 100, 256, 1000, 1024, 37 };
static const uint32_t mergeable_bytes[] = { 1530, 600, 2048, 257 };
static const uint32_t big_bytes[] = { LONGEST + 12, 2048 };

/* A packed ring is of virtio 1 always. */
static bool
exists(uint32_t combination)
{
	return (combination & (PACKED | LEGACY)) != (PACKED | LEGACY);
}

static uint64_t
features_of(uint32_t combination)
{
	uint64_t features = FRONTEND_BIT((combination & LEGACY) != 0 ? VIRTIO_F_ANY_LAYOUT : VIRTIO_F_VERSION_1);

	if ((combination & PACKED) != 0)
		features |= FRONTEND_BIT(VIRTIO_F_RING_PACKED);
	if ((combination & MERGEABLE) != 0)
		features |= FRONTEND_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if ((combination & INDIRECT) != 0)
		features |= FRONTEND_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if ((combination & EVENT_IDX) != 0)
		features |= FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX);
	if ((combination & IN_ORDER) != 0)
		features |= FRONTEND_BIT(VIRTIO_F_IN_ORDER);
	return features;
}

static uint16_t
descriptors_of(const struct frontend_chain *chain)
{
	return chain->indirect ? 1 : (uint16_t)(chain->pieces + (chain->header != FRONTEND_HEADER_TOGETHER));
}

/* A ring size, or a larger one when two of the longest frames would not fit. */
static uint16_t
ring_size(uint32_t combination, uint32_t turn, const struct frontend_setup *setup)
{
	bool packed = (combination & PACKED) != 0;
	uint16_t size = packed ? packed_sizes[turn % DIM(packed_sizes)] : split_sizes[turn % DIM(split_sizes)];
	uint32_t buffers = (LONGEST + 12 + setup->receive_bytes - 1) / setup->receive_bytes;
	uint32_t needed = 2 * buffers * descriptors_of(&setup->receive);
	uint32_t sending = descriptors_of(&setup->transmit);

	while (size < needed || size < sending)
		size *= 2;
	return size;
}

/* The `turn`th way to be a frontend of that combination. */
static struct frontend_setup
setup_for(enum suite_port port, uint32_t combination, uint32_t turn)
{
	struct frontend_setup setup = suite_setup(port, features_of(combination));
	uint32_t sized = turn + combination;

	setup.memory = turn % FRONTEND_MEMORIES;
	setup.transmit = chains[turn / FRONTEND_MEMORIES % DIM(chains)];
	setup.receive = chains[(turn / FRONTEND_MEMORIES + turn) % DIM(chains)];
	setup.transmit.indirect = (combination & INDIRECT) != 0 && turn % 4 != 3;
	setup.receive.indirect = (combination & INDIRECT) != 0 && turn % 2 == 0;
	if ((combination & PACKED) != 0 && suite_has(SUITE_PACKED_RECEIVES_SINGLE))
		setup.receive = chains[0];
	setup.receive_bytes = (combination & MERGEABLE) != 0 ? mergeable_bytes[sized % DIM(mergeable_bytes)] :
							       big_bytes[sized % DIM(big_bytes)];
	setup.ring_size = ring_size(combination, sized, &setup);
	if (sized % 3 == 0)
		setup.protocol = 0;
	if (sized % 6 == 0)
		setup.features &= ~FRONTEND_BIT(FRONTEND_F_PROTOCOL);
	return setup;
}

/* The next combination that there is. */
static uint32_t
other_end(uint32_t combination, uint32_t turn)
{
	uint32_t other = (combination + 1 + 11 * turn) % COMBINATIONS;

	while (!exists(other))
		other = (other + 1) % COMBINATIONS;
	return other;
}

/* Says that calls are wanted for all buffers, or for none. */
static void
want_calls(struct frontend *frontend, bool wanted)
{
	struct frontend_ring *rings[] = { frontend_transmit_ring(frontend, 0), frontend_receive_ring(frontend, 0) };

	for (size_t i = 0; i < DIM(rings); i++) {
		if (wanted)
			frontend_ring_call_next(rings[i]);
		else
			frontend_ring_call_never(rings[i]);
	}
}

/* At most once for each used buffer; and never, where no call is wanted. */
static void
check_calls(struct frontend *frontend, bool wanted, uint64_t features)
{
	struct frontend_ring *rings[] = { frontend_transmit_ring(frontend, 0), frontend_receive_ring(frontend, 0) };
	/* An index cannot say "never" to a device that does not know yet how far it has told the driver: once it may.
	 */
	uint64_t first = (features & FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX)) != 0 &&
			 (features & FRONTEND_BIT(VIRTIO_F_RING_PACKED)) == 0;

	for (size_t i = 0; i < DIM(rings); i++) {
		uint64_t calls = frontend_ring_calls(rings[i]);
		uint64_t most = wanted ? frontend_ring_used(rings[i]) : first;

		if (calls > most)
			fail_msg("the device has called %lu times, %lu are allowed", (unsigned long)calls,
				 (unsigned long)most);
	}
}

/* What a frontend is, for whoever has to look at a failure. */
static const char *
describe(char *text, size_t room, uint32_t combination, const struct frontend_setup *setup)
{
	snprintf(text, room,
		 "%s%s%s%s%s%s, rings of %u, sends %u%s descriptors, header %u, receives %u bytes in %u%s, header %u, "
		 "memory %u",
		 (combination & PACKED) != 0 ? "packed" : "split", (combination & LEGACY) != 0 ? " legacy" : "",
		 (combination & MERGEABLE) != 0 ? " mergeable" : "", (combination & INDIRECT) != 0 ? " indirect" : "",
		 (combination & EVENT_IDX) != 0 ? " event_idx" : "", (combination & IN_ORDER) != 0 ? " in_order" : "",
		 setup->ring_size, setup->transmit.pieces, setup->transmit.indirect ? " indirect" : "",
		 setup->transmit.header, setup->receive_bytes, setup->receive.pieces,
		 setup->receive.indirect ? " indirect" : "", setup->receive.header, setup->memory);
	return text;
}

static void
run_turn(uint32_t combination, uint32_t turn)
{
	uint32_t other = other_end(combination, turn);
	struct frontend_setup setups[2] = { setup_for(VM0, combination, turn), setup_for(VM1, other, 3 * turn + 1) };
	struct frontend *ends[2];
	char text[2][256];

	suite_say("turn %u:\n  %s\n  %s", turn, describe(text[0], sizeof(text[0]), combination, &setups[0]),
		  describe(text[1], sizeof(text[1]), other, &setups[1]));
	for (int i = 0; i < 2; i++) {
		ends[i] = suite_connect(&setups[i]);
		want_calls(ends[i], (turn + (uint32_t)i) % 2 == 0);
		suite_attach_now(ends[i]);
	}
	suite_exchange(&(struct suite_flow){ ends[0], ends[1], VM0, VM1, 0, 0, false },
		       &(struct suite_flow){ ends[1], ends[0], VM1, VM0, 0, 0, false }, FRAMES);
	for (int i = 0; i < 2; i++) {
		check_calls(ends[i], (turn + (uint32_t)i) % 2 == 0, setups[i].features);
		suite_detach(ends[i]);
	}
}

/* Every memory layout with every layout of buffers. */
static void
run_combination(const struct suite_case *which)
{
	for (uint32_t turn = 0; turn < DIM(chains) * FRONTEND_MEMORIES; turn++)
		run_turn(which->number, turn);
}

void
suite_add_matrix(void)
{
	for (uint32_t combination = 0; combination < COMBINATIONS; combination++) {
		struct suite_case one = { .run = run_combination,
					  .number = combination,
					  .features = features_of(combination) };

		if (!exists(combination))
			continue;
		snprintf(one.name, sizeof(one.name), "frames_go_both_ways_over_a_%s%s_ring%s%s%s%s",
			 (combination & LEGACY) != 0 ? "legacy_" : "", (combination & PACKED) != 0 ? "packed" : "split",
			 (combination & MERGEABLE) != 0 ? "_mergeable" : "",
			 (combination & INDIRECT) != 0 ? "_indirect" : "",
			 (combination & EVENT_IDX) != 0 ? "_with_event_idx" : "",
			 (combination & IN_ORDER) != 0 ? "_in_order" : "");
		suite_add(&one);
	}
}
