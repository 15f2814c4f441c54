/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#include "core/fdb.h"
#include "known_random.h"

#define AGEING_S 300
#define PORTS 8
#define NO_LIMIT UINT32_MAX

struct mac {
	uint8_t bytes[6];
};

/* Instead of the library's: so that each table spreads its keys as it did the last time. */
ssize_t
getrandom(void *buffer, size_t length, unsigned int flags)
{
	return known_random(buffer, length);
}

/* A locally administered address that carries a number. */
static struct mac
mac(uint32_t number)
{
	struct mac address = { .bytes = { 0x52, 0x54 } };

	memcpy(address.bytes + 2, &number, sizeof(number));
	return address;
}

static struct pv_fdb *
table(uint32_t entries, uint32_t port_limit)
{
	struct pv_fdb *fdb = pv_fdb_new(entries, AGEING_S, port_limit, PORTS);

	assert_non_null(fdb);
	return fdb;
}

static enum pv_fdb_learned
learn(struct pv_fdb *fdb, uint32_t number, uint16_t port, uint32_t now_s)
{
	return pv_fdb_learn(fdb, mac(number).bytes, port, now_s);
}

static enum pv_fdb_learned
claim(struct pv_fdb *fdb, uint32_t number, uint16_t port)
{
	return pv_fdb_claim(fdb, mac(number).bytes, port, 0);
}

static uint16_t
lookup(const struct pv_fdb *fdb, uint32_t number)
{
	return pv_fdb_lookup(fdb, mac(number).bytes);
}

static struct pv_fdb_counters
counters(const struct pv_fdb *fdb)
{
	struct pv_fdb_counters now;

	pv_fdb_counters(fdb, &now);
	return now;
}

static size_t
used(const struct pv_fdb *fdb)
{
	return pv_fdb_list(fdb, NULL, 0, 0);
}

static void
an_unknown_address_has_no_port(void **state)
{
	static const uint8_t zero[6];
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	assert_int_equal(lookup(fdb, 1), PV_FDB_NO_PORT);
	assert_int_equal(pv_fdb_lookup(fdb, zero), PV_FDB_NO_PORT);
	assert_int_equal(used(fdb), 0);
	pv_fdb_free(fdb);
}

static void
a_learned_address_is_found_behind_its_port(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	assert_int_equal(learn(fdb, 1, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 1, 3, 0), PV_FDB_KNOWN);
	assert_int_equal(learn(fdb, 2, 0, 0), PV_FDB_LEARNED);
	assert_int_equal(lookup(fdb, 1), 3);
	assert_int_equal(lookup(fdb, 2), 0);
	assert_int_equal(counters(fdb).learned, 2);
	pv_fdb_free(fdb);
}

static void
every_bit_of_an_address_counts(void **state)
{
	struct pv_fdb *fdb = table(1024, NO_LIMIT);
	struct mac address = mac(0x12345678);

	assert_int_equal(pv_fdb_learn(fdb, address.bytes, 1, 0), PV_FDB_LEARNED);
	for (int bit = 0; bit < 48; bit++) {
		struct mac other = address;

		other.bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(pv_fdb_lookup(fdb, other.bytes), PV_FDB_NO_PORT);
	}
	pv_fdb_free(fdb);
}

static void
an_address_moves_to_the_port_that_it_was_last_seen_at(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	learn(fdb, 1, 3, 0);
	assert_int_equal(learn(fdb, 1, 4, 0), PV_FDB_MOVED);
	assert_int_equal(lookup(fdb, 1), 4);
	assert_int_equal(used(fdb), 1);
	assert_int_equal(counters(fdb).moved, 1);
	pv_fdb_free(fdb);
}

static void
an_address_that_is_not_seen_for_the_ageing_time_is_forgotten(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	learn(fdb, 1, 3, 1000);
	learn(fdb, 2, 3, 1000);
	learn(fdb, 2, 3, 1001);
	assert_int_equal(pv_fdb_age(fdb, 1000 + AGEING_S - 1), 0);
	assert_int_equal(pv_fdb_age(fdb, 1000 + AGEING_S), 1);
	assert_int_equal(lookup(fdb, 1), PV_FDB_NO_PORT);
	assert_int_equal(lookup(fdb, 2), 3);
	assert_int_equal(counters(fdb).aged, 1);
	pv_fdb_free(fdb);
}

static void
ageing_survives_a_clock_that_wraps_or_runs_ahead(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	learn(fdb, 1, 3, UINT32_MAX - 1);
	learn(fdb, 2, 3, 5);
	assert_int_equal(pv_fdb_age(fdb, 3), 0);
	assert_int_equal(pv_fdb_age(fdb, AGEING_S - 2), 1);
	assert_int_equal(lookup(fdb, 2), 3);
	pv_fdb_free(fdb);
}

static void
flushing_a_port_forgets_only_what_was_learned_from_it(void **state)
{
	struct pv_fdb *fdb = table(64, 2);

	learn(fdb, 1, 3, 0);
	learn(fdb, 2, 3, 0);
	learn(fdb, 3, 4, 0);
	assert_int_equal(pv_fdb_add_static(fdb, mac(4).bytes, 3), 0);
	assert_int_equal(pv_fdb_flush_port(fdb, 3), 2);
	assert_int_equal(lookup(fdb, 1), PV_FDB_NO_PORT);
	assert_int_equal(lookup(fdb, 3), 4);
	assert_int_equal(lookup(fdb, 4), 3);
	assert_int_equal(learn(fdb, 5, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 6, 3, 0), PV_FDB_LEARNED);
	pv_fdb_free(fdb);
}

static void
a_static_address_takes_the_place_of_a_learned_one(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	learn(fdb, 1, 3, 0);
	assert_int_equal(pv_fdb_add_static(fdb, mac(1).bytes, 5), 0);
	assert_int_equal(lookup(fdb, 1), 5);
	assert_int_equal(used(fdb), 1);
	assert_int_equal(learn(fdb, 2, 3, 0), PV_FDB_LEARNED);
	pv_fdb_free(fdb);
}

static void
a_static_address_neither_ages_nor_moves_nor_goes(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);

	assert_int_equal(pv_fdb_add_static(fdb, mac(1).bytes, 5), 0);
	assert_int_equal(pv_fdb_add_static(fdb, mac(1).bytes, 5), 0);
	assert_int_equal(pv_fdb_add_static(fdb, mac(1).bytes, 6), -EEXIST);
	assert_int_equal(pv_fdb_age(fdb, 10 * AGEING_S), 0);
	assert_int_equal(pv_fdb_flush_port(fdb, 5), 0);
	assert_int_equal(learn(fdb, 1, 5, 0), PV_FDB_KNOWN);
	assert_int_equal(lookup(fdb, 1), 5);
	pv_fdb_free(fdb);
}

static void
a_spoofed_static_address_changes_nothing(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);
	struct pv_fdb_counters before = counters(fdb), after;

	pv_fdb_add_static(fdb, mac(1).bytes, 5);
	assert_int_equal(learn(fdb, 1, 3, 0), PV_FDB_SPOOFED);
	assert_int_equal(lookup(fdb, 1), 5);
	after = counters(fdb);
	assert_memory_equal(&before, &after, sizeof(before));
	pv_fdb_free(fdb);
}

static void
a_claimed_address_neither_ages_nor_moves_nor_is_evicted(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);

	assert_int_equal(claim(fdb, 1, 5), PV_FDB_LEARNED);
	assert_int_equal(claim(fdb, 1, 5), PV_FDB_KNOWN);
	assert_int_equal(claim(fdb, 1, 6), PV_FDB_SPOOFED);
	assert_int_equal(learn(fdb, 1, 6, 0), PV_FDB_SPOOFED);
	assert_int_equal(learn(fdb, 1, 5, 0), PV_FDB_KNOWN);
	assert_int_equal(pv_fdb_age(fdb, 10 * AGEING_S), 0);
	for (uint32_t i = 1000; i < 2000; i++)
		learn(fdb, i, 1, i);
	assert_int_equal(lookup(fdb, 1), 5);
	pv_fdb_free(fdb);
}

static void
a_claim_takes_an_address_from_the_port_that_taught_it(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	learn(fdb, 1, 3, 0);
	assert_int_equal(claim(fdb, 1, 5), PV_FDB_LEARNED);
	assert_int_equal(lookup(fdb, 1), 5);
	assert_int_equal(used(fdb), 1);
	assert_int_equal(learn(fdb, 2, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 3, 5, 0), PV_FDB_REFUSED);
	pv_fdb_free(fdb);
}

static void
what_a_port_has_learned_itself_it_can_claim_at_its_limit(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	learn(fdb, 1, 5, 0);
	assert_int_equal(claim(fdb, 2, 5), PV_FDB_REFUSED);
	assert_int_equal(claim(fdb, 1, 5), PV_FDB_LEARNED);
	assert_int_equal(pv_fdb_flush_port(fdb, 5), 1);
	assert_int_equal(claim(fdb, 2, 5), PV_FDB_LEARNED);
	pv_fdb_free(fdb);
}

static void
a_static_address_cannot_be_claimed_and_a_claimed_one_not_made_static_elsewhere(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	assert_int_equal(pv_fdb_add_static(fdb, mac(1).bytes, 3), 0);
	assert_int_equal(claim(fdb, 1, 5), PV_FDB_SPOOFED);
	assert_int_equal(claim(fdb, 1, 3), PV_FDB_KNOWN);
	assert_int_equal(claim(fdb, 2, 5), PV_FDB_LEARNED);
	assert_int_equal(pv_fdb_add_static(fdb, mac(2).bytes, 3), -EEXIST);
	assert_int_equal(pv_fdb_add_static(fdb, mac(2).bytes, 5), 0);
	assert_int_equal(claim(fdb, 3, 5), PV_FDB_LEARNED);
	assert_int_equal(pv_fdb_flush_port(fdb, 5), 1);
	assert_int_equal(lookup(fdb, 2), 5);
	pv_fdb_free(fdb);
}

static void
a_claim_is_given_up_by_its_port_only(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	claim(fdb, 1, 5);
	pv_fdb_unclaim(fdb, mac(1).bytes, 6);
	assert_int_equal(lookup(fdb, 1), 5);
	pv_fdb_unclaim(fdb, mac(1).bytes, 5);
	assert_int_equal(lookup(fdb, 1), PV_FDB_NO_PORT);
	assert_int_equal(claim(fdb, 2, 5), PV_FDB_LEARNED);
	learn(fdb, 3, 6, 0);
	pv_fdb_unclaim(fdb, mac(3).bytes, 6);
	assert_int_equal(lookup(fdb, 3), 6);
	pv_fdb_free(fdb);
}

static void
a_bucket_full_of_claims_refuses_the_next(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);
	uint32_t kept = 0;

	while (claim(fdb, kept, 2) == PV_FDB_LEARNED)
		kept++;
	assert_in_range(kept, 8, 16);
	assert_int_equal(claim(fdb, kept, 2), PV_FDB_REFUSED);
	assert_int_equal(pv_fdb_flush_port(fdb, 2), kept);
	assert_int_equal(claim(fdb, kept, 2), PV_FDB_LEARNED);
	pv_fdb_free(fdb);
}

static void
a_watched_address_has_changed_when_it_was_claimed(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);
	struct pv_fdb_guard guard;

	learn(fdb, 1, 5, 0);
	assert_int_equal(pv_fdb_watch(fdb, mac(1).bytes, &guard), 5);
	claim(fdb, 1, 5);
	assert_false(pv_fdb_is_unchanged(&guard));
	assert_int_equal(pv_fdb_watch(fdb, mac(1).bytes, &guard), 5);
	assert_int_equal(claim(fdb, 1, 6), PV_FDB_SPOOFED);
	assert_true(pv_fdb_is_unchanged(&guard));
	pv_fdb_flush_port(fdb, 5);
	assert_false(pv_fdb_is_unchanged(&guard));
	pv_fdb_free(fdb);
}

static void
claims_that_are_released_are_learned_addresses(void **state)
{
	struct pv_fdb *fdb = table(64, 1);

	claim(fdb, 1, 5);
	pv_fdb_add_static(fdb, mac(2).bytes, 5);
	assert_int_equal(pv_fdb_release_claims(fdb, 1000), 1);
	assert_int_equal(pv_fdb_age(fdb, 1000 + AGEING_S - 1), 0);
	assert_int_equal(learn(fdb, 3, 5, 1000), PV_FDB_REFUSED);
	assert_int_equal(learn(fdb, 1, 6, 1000), PV_FDB_MOVED);
	assert_int_equal(learn(fdb, 3, 5, 1000), PV_FDB_LEARNED);
	assert_int_equal(lookup(fdb, 2), 5);
	pv_fdb_free(fdb);
}

static void
of_what_was_learned_the_last_becomes_the_claim(void **state)
{
	struct pv_fdb_adoption ports[PORTS] = { [5] = { .keep = PV_FDB_KEEP_LAST },
						[6] = { .keep = PV_FDB_KEEP_NONE },
						[7] = { .keep = PV_FDB_KEEP_LAST } };
	struct pv_fdb *fdb = table(64, 3);

	for (uint32_t i = 0; i < 3; i++) {
		learn(fdb, 10 + i, 3, 100 + i);
		learn(fdb, 20 + i, 5, i == 1 ? 200 : 100 + i);
		learn(fdb, 30 + i, 6, 100 + i);
	}
	pv_fdb_add_static(fdb, mac(40).bytes, 6);
	pv_fdb_adopt(fdb, ports, 200);
	assert_true(ports[5].claimed);
	assert_false(ports[3].claimed || ports[6].claimed || ports[7].claimed);
	assert_memory_equal(ports[5].mac, mac(21).bytes, sizeof(ports[5].mac));
	assert_int_equal(used(fdb), 3 + 1 + 1);
	assert_int_equal(learn(fdb, 21, 3, 200), PV_FDB_SPOOFED);
	assert_int_equal(lookup(fdb, 40), 6);
	assert_int_equal(learn(fdb, 50, 5, 200), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 51, 5, 200), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 52, 5, 200), PV_FDB_REFUSED);
	pv_fdb_free(fdb);
}

/* Of the addresses below `end` the one that is not there. */
static uint32_t
missing(const struct pv_fdb *fdb, uint32_t end)
{
	uint32_t number = 0;

	while (number < end && lookup(fdb, number) != PV_FDB_NO_PORT)
		number++;
	return number;
}

static void
a_full_bucket_gives_up_its_oldest_address(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);
	uint32_t newest = 0, victim, now_s;

	while (learn(fdb, newest, 1, newest) == PV_FDB_LEARNED && counters(fdb).evicted == 0)
		newest++;
	victim = missing(fdb, newest);
	now_s = newest;
	/* Each victim that comes back drives out the next oldest of its bucket, in the end the one that began it. */
	for (int i = 0; i < 8; i++) {
		uint32_t former = victim;

		assert_int_equal(learn(fdb, former, 1, ++now_s), PV_FDB_LEARNED);
		victim = missing(fdb, newest + 1);
		assert_true(victim > former);
	}
	assert_int_equal(victim, newest);
	assert_int_equal(counters(fdb).evicted, 9);
	pv_fdb_free(fdb);
}

static void
static_addresses_are_never_evicted(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);
	uint32_t kept = 0;

	while (pv_fdb_add_static(fdb, mac(kept).bytes, 2) == 0)
		kept++;
	assert_in_range(kept, 8, 16);
	for (uint32_t i = 1000; i < 2000; i++)
		learn(fdb, i, 1, i);
	for (uint32_t i = 0; i < kept; i++)
		assert_int_equal(lookup(fdb, i), 2);
	assert_true(counters(fdb).refused > 0);
	pv_fdb_free(fdb);
}

static void
a_port_learns_no_more_than_its_limit(void **state)
{
	struct pv_fdb *fdb = table(1024, 2);

	assert_int_equal(learn(fdb, 1, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 2, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 3, 3, 0), PV_FDB_REFUSED);
	assert_int_equal(learn(fdb, 1, 3, 0), PV_FDB_KNOWN);
	assert_int_equal(lookup(fdb, 3), PV_FDB_NO_PORT);
	assert_int_equal(learn(fdb, 3, 4, 0), PV_FDB_LEARNED);
	assert_int_equal(counters(fdb).refused, 1);
	pv_fdb_free(fdb);
}

static void
a_place_that_becomes_free_can_be_taken_again(void **state)
{
	struct pv_fdb *fdb = table(1024, 1);

	learn(fdb, 1, 3, 0);
	assert_int_equal(learn(fdb, 1, 4, 0), PV_FDB_MOVED);
	assert_int_equal(learn(fdb, 2, 3, 0), PV_FDB_LEARNED);
	assert_int_equal(learn(fdb, 2, 4, 0), PV_FDB_REFUSED);
	assert_int_equal(lookup(fdb, 2), 3);
	assert_int_equal(pv_fdb_age(fdb, AGEING_S), 2);
	assert_int_equal(learn(fdb, 5, 3, AGEING_S), PV_FDB_LEARNED);
	pv_fdb_free(fdb);
}

static void
an_address_whose_move_is_refused_still_ages(void **state)
{
	struct pv_fdb *fdb = table(1024, 1);

	learn(fdb, 1, 3, 0);
	learn(fdb, 2, 4, 0);
	assert_int_equal(learn(fdb, 1, 4, AGEING_S - 1), PV_FDB_REFUSED);
	pv_fdb_age(fdb, AGEING_S);
	assert_int_equal(lookup(fdb, 1), PV_FDB_NO_PORT);
	pv_fdb_free(fdb);
}

static void
the_list_has_every_address_with_its_port_and_age(void **state)
{
	struct pv_fdb *fdb = table(64, NO_LIMIT);
	struct pv_fdb_address one[1], both[4];

	learn(fdb, 1, 3, 10);
	pv_fdb_add_static(fdb, mac(2).bytes, 5);
	assert_int_equal(pv_fdb_list(fdb, one, 1, 17), 2);
	assert_int_equal(pv_fdb_list(fdb, both, 4, 17), 2);
	for (int i = 0; i < 2; i++) {
		struct mac expected = mac(both[i].is_static ? 2 : 1);

		assert_memory_equal(both[i].mac, expected.bytes, sizeof(expected.bytes));
		assert_int_equal(both[i].port, both[i].is_static ? 5 : 3);
		assert_int_equal(both[i].age_s, both[i].is_static ? 0 : 7);
		assert_false(both[i].is_claimed);
	}
	assert_int_not_equal(both[0].is_static, both[1].is_static);
	claim(fdb, 1, 3);
	pv_fdb_list(fdb, both, 4, 17);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(both[i].is_claimed, !both[i].is_static);
		assert_int_equal(both[i].age_s, 0);
	}
	pv_fdb_free(fdb);
}

static void
the_capacity_is_rounded_up_to_a_power_of_two(void **state)
{
	static const uint32_t wanted[][2] = { { 0, 16 }, { 16, 16 }, { 17, 32 }, { 8192, 8192 }, { 8193, 16384 } };

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct pv_fdb *fdb = table(wanted[i][0], NO_LIMIT);

		assert_int_equal(pv_fdb_capacity(fdb), wanted[i][1]);
		assert_int_equal(pv_fdb_ageing_s(fdb), AGEING_S);
		pv_fdb_free(fdb);
	}
}

static void
consecutive_addresses_spread_over_the_table(void **state)
{
	struct pv_fdb *fdb = table(8192, NO_LIMIT);

	for (uint32_t i = 0; i < 2048; i++)
		learn(fdb, i, 1, 0);
	/* A load of 2 in buckets of 8: a perfect hash evicts about one of two thousand. */
	assert_in_range(counters(fdb).evicted, 0, 10);
	pv_fdb_free(fdb);
}

static void
a_flood_from_one_port_leaves_the_addresses_of_others_alone(void **state)
{
	struct pv_fdb *fdb = table(16384, 512);

	for (uint32_t i = 0; i < 256; i++)
		learn(fdb, i, i % 4, 0);
	for (uint32_t i = 0; i < 100000; i++)
		learn(fdb, 1000 + i, 7, 1 + i / 1000);
	for (uint32_t i = 0; i < 256; i++)
		assert_int_equal(lookup(fdb, i), i % 4);
	assert_int_equal(used(fdb), 256 + 512);
	assert_int_equal(counters(fdb).refused, 100000 - 512);
	assert_int_equal(counters(fdb).evicted, 0);
	pv_fdb_free(fdb);
}

/* Threads: few addresses in few buckets, so that learning, moving, evicting, ageing and flushing collide. */

#define THREADS 4
#define ITERATIONS 200000
#define ADDRESSES 40
#define LIMIT 12

struct hammer {
	struct pv_fdb *fdb;
	uint32_t random;
	uint64_t wrong;
};

static uint32_t
next_random(struct hammer *hammer)
{
	hammer->random = hammer->random * 1664525 + 1013904223;
	return hammer->random >> 8;
}

static void
look_up_and_check(struct hammer *hammer, uint32_t number)
{
	uint16_t port = lookup(hammer->fdb, number);

	if (port >= PORTS && port != PV_FDB_NO_PORT)
		hammer->wrong++;
}

static void *
hammer_on_the_table(void *argument)
{
	struct hammer *hammer = argument;

	for (uint32_t i = 0; i < ITERATIONS; i++) {
		uint32_t dice = next_random(hammer);
		uint32_t number = dice % ADDRESSES, port = dice / ADDRESSES % PORTS;

		if (dice % 97 == 0)
			pv_fdb_flush_port(hammer->fdb, port);
		else if (dice % 89 == 0)
			pv_fdb_age(hammer->fdb, i / 100);
		else if (dice % 3 == 0)
			look_up_and_check(hammer, number);
		else if (dice % 7 == 0)
			pv_fdb_claim(hammer->fdb, mac(number).bytes, (uint16_t)port, i / 100);
		else if (dice % 11 == 0)
			pv_fdb_unclaim(hammer->fdb, mac(number).bytes, (uint16_t)port);
		else
			learn(hammer->fdb, number, port, i / 100);
	}
	return NULL;
}

static void
hammer_with_threads(struct pv_fdb *fdb)
{
	struct hammer hammers[THREADS];
	pthread_t threads[THREADS];

	for (uint32_t i = 0; i < THREADS; i++) {
		hammers[i] = (struct hammer){ .fdb = fdb, .random = i };
		assert_int_equal(pthread_create(&threads[i], NULL, hammer_on_the_table, &hammers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_int_equal(hammers[i].wrong, 0);
}

static void
assert_each_address_once(const struct pv_fdb_address *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			assert_memory_not_equal(all[i].mac, all[j].mac, sizeof(all[i].mac));
}

/* A port's count is not visible, but what it still may learn is: exactly the limit less what is listed. */
static void
assert_counts_match_the_list(struct pv_fdb *fdb, const struct pv_fdb_address *all, size_t n)
{
	for (uint16_t port = 0; port < PORTS; port++) {
		uint32_t listed = 0, learned = 0, number = 1000000u * (port + 1);
		uint64_t evicted = counters(fdb).evicted;

		for (size_t i = 0; i < n; i++)
			listed += all[i].port == port && !all[i].is_static;
		while (learn(fdb, number++, port, 0) == PV_FDB_LEARNED)
			learned++;
		assert_int_equal(listed + learned, LIMIT);
		assert_int_equal(counters(fdb).evicted, evicted);
	}
}

static void
threads_leave_each_address_once_and_every_count_right(void **state)
{
	struct pv_fdb_address all[64];
	struct pv_fdb *fdb = table(64, LIMIT);
	size_t n;

	assert_int_equal(pv_fdb_add_static(fdb, mac(0).bytes, 6), 0);
	hammer_with_threads(fdb);
	n = pv_fdb_list(fdb, all, 64, 0);
	assert_in_range(n, 1, ADDRESSES);
	assert_each_address_once(all, n);
	assert_int_equal(lookup(fdb, 0), 6);
	for (uint16_t port = 0; port < PORTS; port++)
		pv_fdb_flush_port(fdb, port);
	assert_int_equal(used(fdb), 1);
	pv_fdb_free(fdb);
}

static void
threads_that_never_evict_leave_every_count_right(void **state)
{
	struct pv_fdb_address all[ADDRESSES];
	struct pv_fdb *fdb = table(16384, LIMIT);
	size_t n;

	hammer_with_threads(fdb);
	n = pv_fdb_list(fdb, all, ADDRESSES, 0);
	assert_in_range(n, 0, ADDRESSES);
	assert_each_address_once(all, n);
	assert_counts_match_the_list(fdb, all, n);
	pv_fdb_free(fdb);
}

#define RACES 20000
#define FILLERS 6 /* addresses that a flush takes out of the slots in front of the racers' */

struct race {
	struct pv_fdb *fdb;
	pthread_barrier_t *barrier;
	uint16_t port;
};

static void *
race_to_learn(void *argument)
{
	struct race *race = argument;

	for (uint32_t i = 0; i < RACES; i++) {
		pthread_barrier_wait(race->barrier);
		learn(race->fdb, 1000 + i, race->port, 0);
		pthread_barrier_wait(race->barrier);
	}
	return NULL;
}

/* Empties slots while two racers look for one, so that they may choose two. Only the racers' address is left then. */
static void
flush_while_they_race(struct pv_fdb *fdb, pthread_barrier_t *barrier, uint32_t *twice)
{
	for (uint32_t i = 0; i < RACES; i++) {
		for (uint32_t filler = 0; filler < FILLERS; filler++)
			learn(fdb, filler, 3, 0);
		pthread_barrier_wait(barrier);
		pv_fdb_flush_port(fdb, 3);
		pthread_barrier_wait(barrier);
		*twice += used(fdb) != 1;
		pv_fdb_flush_port(fdb, 1);
		pv_fdb_flush_port(fdb, 2);
	}
}

static void
an_address_learned_by_two_workers_at_once_is_there_once(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);
	pthread_barrier_t barrier;
	struct race races[2];
	pthread_t threads[2];
	uint32_t twice = 0;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, 3), 0);
	for (uint16_t i = 0; i < 2; i++) {
		races[i] = (struct race){ .fdb = fdb, .barrier = &barrier, .port = i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, race_to_learn, &races[i]), 0);
	}
	flush_while_they_race(fdb, &barrier, &twice);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(twice, 0);
	pthread_barrier_destroy(&barrier);
	pv_fdb_free(fdb);
}

/* Two claim an address that a third one learns, with slots that become empty meanwhile. */
struct contest {
	struct race race;
	enum pv_fdb_learned result;
};

static void *
race_to_claim(void *argument)
{
	struct contest *contest = argument;
	struct race *race = &contest->race;

	for (uint32_t i = 0; i < RACES; i++) {
		pthread_barrier_wait(race->barrier);
		contest->result = race->port == 4 ? learn(race->fdb, 1000 + i, 4, 0) :
						    pv_fdb_claim(race->fdb, mac(1000 + i).bytes, race->port, 0);
		pthread_barrier_wait(race->barrier);
		pthread_barrier_wait(race->barrier);
	}
	return NULL;
}

/* Whoever was told that the address is his has it, nobody else was, and it is there once. */
static bool
is_decided(const struct pv_fdb *fdb, const struct contest contests[3], uint32_t number)
{
	uint16_t winner = contests[0].result == PV_FDB_LEARNED ? 1 : 2;

	return (contests[0].result == PV_FDB_LEARNED) + (contests[1].result == PV_FDB_LEARNED) == 1 &&
	       (contests[0].result == PV_FDB_SPOOFED) + (contests[1].result == PV_FDB_SPOOFED) == 1 &&
	       lookup(fdb, number) == winner && used(fdb) == 1;
}

static void
an_address_claimed_by_two_at_once_is_of_one_and_the_other_knows(void **state)
{
	struct pv_fdb *fdb = table(16, NO_LIMIT);
	pthread_barrier_t barrier;
	struct contest contests[3];
	pthread_t threads[3];
	uint32_t undecided = 0;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, 4), 0);
	for (uint16_t i = 0; i < 3; i++) {
		contests[i].race = (struct race){ .fdb = fdb, .barrier = &barrier, .port = i < 2 ? i + 1 : 4 };
		assert_int_equal(pthread_create(&threads[i], NULL, race_to_claim, &contests[i]), 0);
	}
	for (uint32_t i = 0; i < RACES; i++) {
		for (uint32_t filler = 0; filler < FILLERS; filler++)
			learn(fdb, filler, 3, 0);
		pthread_barrier_wait(&barrier);
		pv_fdb_flush_port(fdb, 3);
		pthread_barrier_wait(&barrier);
		undecided += !is_decided(fdb, contests, 1000 + i);
		for (uint16_t port = 1; port <= 4; port++)
			pv_fdb_flush_port(fdb, port);
		pthread_barrier_wait(&barrier);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(undecided, 0);
	pthread_barrier_destroy(&barrier);
	pv_fdb_free(fdb);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_address_has_no_port),
		cmocka_unit_test(a_learned_address_is_found_behind_its_port),
		cmocka_unit_test(every_bit_of_an_address_counts),
		cmocka_unit_test(an_address_moves_to_the_port_that_it_was_last_seen_at),
		cmocka_unit_test(an_address_that_is_not_seen_for_the_ageing_time_is_forgotten),
		cmocka_unit_test(ageing_survives_a_clock_that_wraps_or_runs_ahead),
		cmocka_unit_test(flushing_a_port_forgets_only_what_was_learned_from_it),
		cmocka_unit_test(a_static_address_takes_the_place_of_a_learned_one),
		cmocka_unit_test(a_static_address_neither_ages_nor_moves_nor_goes),
		cmocka_unit_test(a_spoofed_static_address_changes_nothing),
		cmocka_unit_test(a_claimed_address_neither_ages_nor_moves_nor_is_evicted),
		cmocka_unit_test(a_claim_takes_an_address_from_the_port_that_taught_it),
		cmocka_unit_test(what_a_port_has_learned_itself_it_can_claim_at_its_limit),
		cmocka_unit_test(a_static_address_cannot_be_claimed_and_a_claimed_one_not_made_static_elsewhere),
		cmocka_unit_test(a_claim_is_given_up_by_its_port_only),
		cmocka_unit_test(a_bucket_full_of_claims_refuses_the_next),
		cmocka_unit_test(a_watched_address_has_changed_when_it_was_claimed),
		cmocka_unit_test(claims_that_are_released_are_learned_addresses),
		cmocka_unit_test(of_what_was_learned_the_last_becomes_the_claim),
		cmocka_unit_test(a_full_bucket_gives_up_its_oldest_address),
		cmocka_unit_test(static_addresses_are_never_evicted),
		cmocka_unit_test(a_port_learns_no_more_than_its_limit),
		cmocka_unit_test(a_place_that_becomes_free_can_be_taken_again),
		cmocka_unit_test(an_address_whose_move_is_refused_still_ages),
		cmocka_unit_test(the_list_has_every_address_with_its_port_and_age),
		cmocka_unit_test(the_capacity_is_rounded_up_to_a_power_of_two),
		cmocka_unit_test(consecutive_addresses_spread_over_the_table),
		cmocka_unit_test(a_flood_from_one_port_leaves_the_addresses_of_others_alone),
		cmocka_unit_test(threads_leave_each_address_once_and_every_count_right),
		cmocka_unit_test(threads_that_never_evict_leave_every_count_right),
		cmocka_unit_test(an_address_learned_by_two_workers_at_once_is_there_once),
		cmocka_unit_test(an_address_claimed_by_two_at_once_is_of_one_and_the_other_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
