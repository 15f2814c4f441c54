/* SPDX-License-Identifier: BSD-3-Clause */
/* The rate limit of a context, over simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_cycles.h>

#include "core/rate.h"
#include "testbed.h"

#define LARGEST_BURST (64u * 65557u) /* bytes: as many frames as a burst has, each as long as can be */

static const uint32_t rates_mbps[] = { 1, 3, 10, 100, 999, 1000, 2500, 9999, 10000, 40000, 100000 };

static uint64_t
burst_of(uint32_t mbps)
{
	return RTE_MAX((uint64_t)mbps * 125, (uint64_t)PV_RATE_BURST_MIN);
}

/* Sends bursts of some bytes as long as that is allowed, from `start` for some time, looking every `step` cycles. */
static uint64_t
send_for(struct pv_rate *rate, uint32_t bytes, uint64_t start, uint64_t cycles, uint64_t step)
{
	uint64_t sent = 0;

	for (uint64_t now = start; now < start + cycles; now = RTE_MAX(now + step, rate->until))
		for (; pv_rate_allows(rate, now); sent += bytes)
			pv_rate_charge(rate, bytes, now);
	return sent;
}

static void
assert_rate(uint64_t sent, uint32_t mbps, double seconds, uint64_t slack)
{
	double wanted = (double)mbps * 125000 * seconds;

	if ((double)sent < 0.994 * wanted - (double)slack || (double)sent > 1.006 * wanted + (double)slack)
		fail_msg("at %u Mbit/s %.0f bytes were sent and not %.0f", mbps, (double)sent, wanted);
}

static void
over_a_second_the_rate_is_that_of_the_limit(void **state)
{
	static const uint32_t bursts[] = { 60, 1514, 64 * 1514, LARGEST_BURST };
	uint64_t hz = rte_get_tsc_hz(), start = 1ULL << 50;

	for (size_t i = 0; i < RTE_DIM(rates_mbps); i++)
		for (size_t j = 0; j < RTE_DIM(bursts); j++) {
			uint32_t mbps = rates_mbps[i], bytes = bursts[j];
			struct pv_rate rate;

			if (bytes < 1514 && mbps > 2500)
				continue; /* it takes long */
			pv_rate_init(&rate, mbps, start);
			pv_rate_charge(&rate, (uint32_t)burst_of(mbps), start); /* the bucket is empty */
			assert_rate(send_for(&rate, bytes, start, hz, 1), mbps, 1, bytes);
		}
}

static void
a_worker_that_looks_seldom_gives_away_nothing(void **state)
{
	uint64_t hz = rte_get_tsc_hz();
	struct pv_rate rate;

	pv_rate_init(&rate, 1000, 0);
	pv_rate_charge(&rate, (uint32_t)burst_of(1000), 0);
	/* In 150 us the rate gives less than the bucket holds. */
	assert_rate(send_for(&rate, 15140, 0, hz, hz / 1000000 * 150), 1000, 1, 15140);
}

static void
after_a_rest_no_more_goes_at_once_than_the_bucket_and_a_burst(void **state)
{
	uint64_t hz = rte_get_tsc_hz(), now = 0;

	for (size_t i = 0; i < RTE_DIM(rates_mbps); i++) {
		uint32_t mbps = rates_mbps[i], bytes = 1514;
		struct pv_rate rate;
		uint64_t sent = 0;

		pv_rate_init(&rate, mbps, now);
		for (int rest = 0; rest < 3; rest++, now += 1000 * hz) {
			for (sent = 0; pv_rate_allows(&rate, now); sent += bytes)
				pv_rate_charge(&rate, bytes, now);
			assert_in_range(sent, burst_of(mbps) - bytes, burst_of(mbps) + bytes);
		}
	}
}

static void
a_debt_is_paid_before_anything_else_is_sent(void **state)
{
	uint64_t hz = rte_get_tsc_hz();
	struct pv_rate rate;

	pv_rate_init(&rate, 8, 0); /* 1000000 bytes in a second */
	pv_rate_charge(&rate, PV_RATE_BURST_MIN + 500000, 0);
	assert_false(pv_rate_allows(&rate, hz * 49 / 100));
	assert_true(pv_rate_allows(&rate, hz * 51 / 100));
	pv_rate_charge(&rate, 500000, 0); /* though it is not allowed */
	assert_false(pv_rate_allows(&rate, hz * 99 / 100));
	assert_true(pv_rate_allows(&rate, hz * 101 / 100));
}

static void
no_debt_is_so_large_that_it_overflows(void **state)
{
	uint64_t hz = rte_get_tsc_hz(), start = UINT64_MAX / 2;
	struct pv_rate rate;
	double seconds;

	pv_rate_init(&rate, 1, start);
	for (int i = 0; i < 1000; i++)
		pv_rate_charge(&rate, LARGEST_BURST, start);
	seconds = (double)(rate.until - start) / (double)hz;
	assert_true(seconds > 0.99 * 1000 * LARGEST_BURST / 125000 && seconds < 1.01 * 1000 * LARGEST_BURST / 125000);
	assert_false(pv_rate_allows(&rate, rate.until - 1));
	assert_true(pv_rate_allows(&rate, rate.until));
}

static void
years_of_use_and_of_rest_change_nothing(void **state)
{
	uint64_t hz = rte_get_tsc_hz(), now = 12345, year = 365ULL * 86400 * hz;
	struct pv_rate rate;

	pv_rate_init(&rate, 1000, now);
	for (int day = 0; day < 3 * 365; day++, now += 86400 * hz)
		pv_rate_charge(&rate, 1514, now);
	for (int rest = 0; rest < 5; rest++, now += (uint64_t)rest * year) {
		pv_rate_charge(&rate, (uint32_t)burst_of(1000), now);
		assert_true(pv_rate_allows(&rate, now + 10));
		assert_rate(send_for(&rate, 15140, now, hz, 1), 1000, 1, 15140);
		assert_false(pv_rate_allows(&rate, rate.until - 1));
		assert_in_range(rate.until, now + hz - hz / 1000, now + hz + hz / 1000);
	}
}

/* Time stamps of two processors are not quite the same. */
static void
time_that_goes_back_does_no_harm(void **state)
{
	uint64_t hz = rte_get_tsc_hz(), start = hz;
	struct pv_rate rate;

	pv_rate_init(&rate, 1000, start);
	pv_rate_charge(&rate, 1514, start - 1000);
	assert_true(pv_rate_allows(&rate, start));
	pv_rate_charge(&rate, 200000, start + 1000);
	pv_rate_charge(&rate, 1514, start - 1000);
	assert_in_range(rate.until - start, hz / 10000 * 5, hz / 10000 * 8);
}

static void
no_limit_is_none(void **state)
{
	struct pv_rate rate;

	pv_rate_init(&rate, 0, 1000);
	for (int i = 0; i < 100; i++) {
		pv_rate_charge(&rate, UINT32_MAX, 1000);
		assert_true(pv_rate_allows(&rate, 1000));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_a_second_the_rate_is_that_of_the_limit),
		cmocka_unit_test(a_worker_that_looks_seldom_gives_away_nothing),
		cmocka_unit_test(after_a_rest_no_more_goes_at_once_than_the_bucket_and_a_burst),
		cmocka_unit_test(a_debt_is_paid_before_anything_else_is_sent),
		cmocka_unit_test(no_debt_is_so_large_that_it_overflows),
		cmocka_unit_test(years_of_use_and_of_rest_change_nothing),
		cmocka_unit_test(time_that_goes_back_does_no_harm),
		cmocka_unit_test(no_limit_is_none),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
