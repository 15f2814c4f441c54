/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlat.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

#define CALIBRATION_US 20000
#define READINGS 16
#define HZ_MIN 1e8
#define HZ_MAX 2e10

static double hz;

/* Both clocks at the same moment. */
struct moment {
	uint64_t cycles;
	double ns;
};

/* The reading, of some, in which least time passed between a look at one clock and at the other. */
static struct moment
closest_moment(void)
{
	struct moment best = { 0 };
	uint64_t smallest = UINT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		struct timespec now;
		uint64_t before = clock_now(), gap;

		clock_gettime(CLOCK_MONOTONIC, &now);
		gap = clock_now() - before;
		if (gap >= smallest)
			continue;
		smallest = gap;
		best = (struct moment){ before + gap / 2, (double)now.tv_sec * 1e9 + (double)now.tv_nsec };
	}
	return best;
}

void
clock_begin(void)
{
	struct moment first = closest_moment(), last;

	usleep(CALIBRATION_US);
	last = closest_moment();
	hz = (double)(last.cycles - first.cycles) / (last.ns - first.ns) * 1e9;
	if (!(hz >= HZ_MIN && hz <= HZ_MAX))
		fail("time stamp counter: %g per second of CLOCK_MONOTONIC: expected 0.1 to 20 GHz", hz);
}

double
clock_hz(void)
{
	return hz;
}

double
clock_us(double cycles)
{
	return cycles / hz * 1e6;
}

uint64_t
clock_cycles(double us)
{
	return (uint64_t)(us * hz / 1e6);
}

void
times_add(struct times *times, double time)
{
	double distance = time - times->mean;

	times->n++;
	times->mean += distance / (double)times->n;
	times->squares += distance * (time - times->mean);
}

double
times_ci95(const struct times *times)
{
	double n = (double)times->n;

	return times->n > 1 ? 1.96 * sqrt(times->squares / (n - 1) / n) : 0;
}
