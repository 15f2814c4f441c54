/* SPDX-License-Identifier: BSD-3-Clause */
/* Turns of contexts (core/turns.h): shares in bytes, by weight, whatever the sizes; and who is in the set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "core/turns.h"

#define QUANTUM 98304
#define SENDERS_MAX 8

/* A guest: frames of a size, and how many it makes available from one pass to the next; 0: no end of them. */
struct sender {
	uint32_t frame_bytes, weight, supply;
	uint64_t left; /* available */
	uint64_t sent; /* bytes */
};

static struct pv_turns *turns;

static int
make(void **state)
{
	turns = calloc(1, sizeof(*turns));
	return turns != NULL ? 0 : -1;
}

static int
release(void **state)
{
	free(turns);
	return 0;
}

static void
send_burst(struct sender *sender, uint16_t context, uint64_t now)
{
	uint32_t burst = pv_turn_burst(&turns->turn[context], 0), frames = burst;

	sender->left += sender->supply;
	if (sender->supply > 0)
		frames = RTE_MIN(frames, sender->left);
	sender->left -= RTE_MIN(sender->left, frames);
	if (frames == 0)
		return;
	sender->sent += (uint64_t)frames * sender->frame_bytes;
	pv_turns_charge(turns, context, frames, (uint64_t)frames * sender->frame_bytes, frames >= burst, now);
}

static void
run_passes(struct sender *senders, uint16_t n, uint32_t passes)
{
	for (uint32_t pass = 0; pass < passes; pass++) {
		for (uint16_t i = 0; i < n; i++)
			send_burst(&senders[i], i, pass);
		pv_turns_end_pass(turns);
	}
}

static void
begin_all(struct sender *senders, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		pv_turns_begin(turns, i, QUANTUM * senders[i].weight, 0);
}

/* Within a share of a hundredth. */
static void
assert_near(double value, double wanted)
{
	assert_true(value > wanted * 0.99);
	assert_true(value < wanted * 1.01);
}

static void
flooding_senders_get_the_same_bytes_whatever_their_frames(void **state)
{
	struct sender senders[] = { { .frame_bytes = 60, .weight = 1 },
				    { .frame_bytes = 300, .weight = 1 },
				    { .frame_bytes = 1514, .weight = 1 },
				    { .frame_bytes = 9018, .weight = 1 },
				    { .frame_bytes = 65549, .weight = 1 } };

	begin_all(senders, RTE_DIM(senders));
	run_passes(senders, RTE_DIM(senders), 200000);
	for (size_t i = 1; i < RTE_DIM(senders); i++)
		assert_near((double)senders[i].sent, (double)senders[0].sent);
}

/* The greedy one makes frames of their headers alone. */
static void
frames_too_short_for_a_wire_cost_as_much_as_the_shortest(void **state)
{
	struct sender senders[] = { { .frame_bytes = 14, .weight = 1 }, { .frame_bytes = 60, .weight = 1 } };

	begin_all(senders, RTE_DIM(senders));
	run_passes(senders, RTE_DIM(senders), 100000);
	assert_near((double)senders[0].sent / 14, (double)senders[1].sent / 60);
}

static void
shares_go_by_weight(void **state)
{
	struct sender senders[] = { { .frame_bytes = 1514, .weight = 1 },
				    { .frame_bytes = 1514, .weight = 2 },
				    { .frame_bytes = 60, .weight = 4 } };

	begin_all(senders, RTE_DIM(senders));
	run_passes(senders, RTE_DIM(senders), 100000);
	assert_near((double)senders[1].sent, 2.0 * (double)senders[0].sent);
	assert_near((double)senders[2].sent, 4.0 * (double)senders[0].sent);
}

/* Two frames a pass, far below its share: all of them are taken, and those that flood lose nothing by it. */
static void
who_sends_little_is_served_and_holds_up_nobody(void **state)
{
	struct sender senders[] = { { .frame_bytes = 1514, .weight = 1, .supply = 2 },
				    { .frame_bytes = 1514, .weight = 1 },
				    { .frame_bytes = 1514, .weight = 1 } };
	const uint32_t passes = 10000;

	begin_all(senders, RTE_DIM(senders));
	run_passes(senders, RTE_DIM(senders), passes);
	assert_int_equal(senders[0].sent, 2ULL * passes * 1514);
	assert_true(senders[1].sent > (uint64_t)passes * PV_BURST_MAX * 1514 * 9 / 10);
	assert_near((double)senders[2].sent, (double)senders[1].sent);
}

static void
nobody_saves_up_for_later(void **state)
{
	struct sender senders[] = { { .frame_bytes = 1514, .weight = 1 }, { .frame_bytes = 1514, .weight = 1 } };

	begin_all(senders, RTE_DIM(senders));
	pv_turns_deactivate(turns, 1);
	run_passes(senders, 1, 10000);
	pv_turns_activate(turns, 1, 0);
	senders[0].sent = 0;
	run_passes(senders, 2, 1000);
	assert_near((double)senders[1].sent, (double)senders[0].sent);
	assert_true(turns->turn[1].deficit <= QUANTUM);
}

static void
what_was_overdrawn_is_paid_back(void **state)
{
	pv_turns_begin(turns, 7, QUANTUM, 0);
	pv_turns_charge(turns, 7, 1, 5 * QUANTUM / 2, true, 0);
	assert_int_equal(pv_turn_burst(&turns->turn[7], 0), 0);
	pv_turns_end_pass(turns);
	assert_int_equal(pv_turn_burst(&turns->turn[7], 0), 0);
	pv_turns_end_pass(turns);
	assert_int_not_equal(pv_turn_burst(&turns->turn[7], 0), 0);
}

static void
a_wire_keeps_no_deficit(void **state)
{
	pv_turns_begin(turns, 3, 0, 0);
	pv_turns_charge(turns, 3, PV_BURST_MAX, UINT32_MAX, true, 5);
	assert_int_equal(pv_turn_burst(&turns->turn[3], 0), PV_BURST_MAX);
	assert_int_equal(turns->turn[3].last_frame, 5);
}

static void
the_set_has_who_is_active(void **state)
{
	static const uint16_t contexts[] = { 0, 63, 64, 511 };

	for (size_t i = 0; i < RTE_DIM(contexts); i++) {
		pv_turns_begin(turns, contexts[i], QUANTUM, 9);
		pv_turns_activate(turns, contexts[i], 10);
		assert_int_equal(turns->n_active, i + 1);
		assert_true(pv_turns_is_active(turns, contexts[i]));
		assert_int_equal(turns->turn[contexts[i]].last_frame, 9);
	}
	assert_false(pv_turns_is_active(turns, 1));
	pv_turns_deactivate(turns, 63);
	pv_turns_deactivate(turns, 63);
	assert_int_equal(turns->n_active, 3);
	assert_false(pv_turns_is_active(turns, 63));
	assert_true(pv_turns_is_active(turns, 64));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, release)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flooding_senders_get_the_same_bytes_whatever_their_frames),
		TEST(frames_too_short_for_a_wire_cost_as_much_as_the_shortest),
		TEST(shares_go_by_weight),
		TEST(who_sends_little_is_served_and_holds_up_nobody),
		TEST(nobody_saves_up_for_later),
		TEST(what_was_overdrawn_is_paid_back),
		TEST(a_wire_keeps_no_deficit),
		TEST(the_set_has_who_is_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
