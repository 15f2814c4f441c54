/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs to keep guests in their memory: cycles per packet of the bursts of the data path "vio", for what
 * Menon's table 5.3 (thesis 2009) has for a whole machine.
 *
 *     build/bench/contexts/protection [--json] [ROUNDS]
 *
 * none         nothing is checked (copies.h); there is no such thing in the daemon
 * window       the guest's memory lies in a window (vio/window.h)
 * validate-1   each address is looked for in the regions of the guest, of which there is one,
 * validate-8   or eight, the most that there may be, with buffers in all of them
 * daemon       as validate-1, the code as it lies in the daemon: what differs from that is where the compiler and the
 *              linker have put it, and no difference between two ways that is not larger means anything
 *
 * One guest with split rings, one buffer a frame, as Linux offers them, at places in no order; bursts of 32 frames,
 * copied. Only the bursts are timed. In each round all ways are measured one after the other, beginning with another
 * one each time, so that what disturbs the machine meets all of them. Printed are medians and, in brackets, 95 %
 * intervals of them; the cost is the median over the rounds of the difference to "none" of the same round.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include <linux/virtio_config.h>

#include <rte_cycles.h>
#include <rte_debug.h>
#include <rte_eal.h>

#include "copies.h"
#include "vio_bench.h"

#define REGIONS 8
#define REGION_SIZE ((uint64_t)2 << 20)
#define MEMORY_SIZE (REGIONS * REGION_SIZE)
#define BUFFER_SIZE 2048u
#define BUFFERS ((MEMORY_SIZE - RINGS_SIZE) / BUFFER_SIZE)
#define RINGS_SIZE 0x10000u /* at the beginning of the memory: two of 256 entries */
#define RING_SIZE 256u
#define BURST 32u
#define BURSTS (RING_SIZE / BURST * 4) /* of a round */
#define HEADER 12u
#define ROUNDS_MAX 10001
#define FEATURES (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX)

enum way { WAY_NONE, WAY_WINDOW, WAY_VALIDATE_1, WAY_VALIDATE_8, WAY_DAEMON, WAYS };

static const char *const way_names[] = { "none", "window", "validate-1", "validate-8", "daemon" };

/* A guest with one ring: 1 it transmits with, 0 it receives with. */
struct guest {
	uint8_t *memory; /* its address 0, as the guest has it: */
	uint8_t *ours; /* we have it elsewhere, as one process has what another one shares, and no entries of the TLB */
	struct pv_grant_files files;
	struct bench *bench;
	struct vring_desc *descriptors;
	struct vring_avail *available;
	uint32_t next_buffer;
	pv_burst *move;
};

struct interval {
	double low, median, high;
};

struct result {
	double cycles[WAYS][ROUNDS_MAX], cost[WAYS][ROUNDS_MAX];
};

/* From the guest, and to it. */
static pv_burst *const moves[WAYS][2] = {
	{ unprotected_receive, unprotected_transmit }, { protected_receive, protected_transmit },
	{ protected_receive, protected_transmit },     { protected_receive, protected_transmit },
	{ pv_vio_receive, pv_vio_transmit },
};

static uint64_t buffers[BUFFERS]; /* guest addresses in no order, the same for all */

static void
shuffle_buffers(void)
{
	for (uint64_t i = 0; i < BUFFERS; i++) {
		uint64_t j = (uint64_t)rand() % (i + 1);

		buffers[i] = buffers[j];
		buffers[j] = RINGS_SIZE + i * BUFFER_SIZE;
	}
}

static void
share_memory(struct guest *guest, struct pv_memory *memory, unsigned int regions)
{
	uint64_t size = MEMORY_SIZE / regions;
	int fd = memfd_create("guest", MFD_CLOEXEC);

	RTE_VERIFY(fd >= 0 && ftruncate(fd, MEMORY_SIZE) == 0);
	guest->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	guest->ours = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	RTE_VERIFY(guest->memory != MAP_FAILED && guest->ours != MAP_FAILED);
	memset(guest->memory, 0, MEMORY_SIZE);
	*memory = (struct pv_memory){ .n_direct = regions, .n_regions = regions };
	for (unsigned int i = 0; i < regions; i++) {
		memory->regions[i] =
			(struct pv_region){ .guest = i * size, .size = size, .host = guest->ours + i * size };
		pv_grant_files_add(&guest->files, fd, guest->ours, MEMORY_SIZE);
	}
}

static void
start_guest(struct guest *guest, enum way way, bool receives, struct rte_mempool *pool)
{
	struct pv_memory memory;
	struct bench_setup setup = { .features = FEATURES, .pool = pool };
	struct pv_virtqueue_setup ring = { .size = RING_SIZE, .features = FEATURES };

	memset(guest, 0, sizeof(*guest));
	share_memory(guest, &memory, way == WAY_VALIDATE_8 ? REGIONS : 1);
	ring.descriptors = guest->ours;
	ring.driver = guest->ours + 0x4000;
	ring.device = guest->ours + 0x8000;
	guest->descriptors = (struct vring_desc *)guest->memory;
	guest->available = (struct vring_avail *)(guest->memory + 0x4000);
	setup.window_files = way == WAY_WINDOW ? &guest->files : NULL;
	guest->bench = bench_new(&setup, &memory);
	RTE_VERIFY(bench_add_ring(guest->bench, receives ? 0 : 1, &ring) == 0);
	guest->move = moves[way][receives];
}

static void
stop_guest(struct guest *guest)
{
	bench_free(guest->bench);
	munmap(guest->memory, MEMORY_SIZE);
	munmap(guest->ours, MEMORY_SIZE);
	close(guest->files.file[0].fd);
}

/* As a driver does for a burst; what it sends is still in its cache. */
static void
offer(struct guest *guest, uint32_t length, uint16_t flags)
{
	uint16_t index = guest->available->idx;

	for (uint32_t i = 0; i < BURST; i++, index++) {
		uint64_t address = buffers[guest->next_buffer++ % BUFFERS];
		uint16_t place = index % RING_SIZE;

		if (flags == 0)
			memset(guest->memory + address, 0, RTE_MIN(length, 64u));
		guest->descriptors[place] = (struct vring_desc){ .addr = address, .len = length, .flags = flags };
		guest->available->ring[place] = place;
	}
	__atomic_store_n(&guest->available->idx, index, __ATOMIC_RELEASE);
}

static uint64_t
time_burst(struct guest *guest, struct rte_mbuf **packets)
{
	uint64_t start = rte_rdtsc_precise();

	RTE_VERIFY(guest->move(&guest->bench->vio, 0, packets, BURST) == BURST);
	return rte_rdtsc_precise() - start;
}

/* Cycles per packet of a round. */
static double
run(struct guest *guest, bool receives, uint32_t frame, struct rte_mempool *pool)
{
	struct rte_mbuf *packets[BURST];
	uint64_t cycles = 0;

	for (uint32_t i = 0; i < BURSTS; i++) {
		offer(guest, receives ? BUFFER_SIZE : HEADER + frame, receives ? VRING_DESC_F_WRITE : 0);
		for (uint32_t j = 0; receives && j < BURST; j++)
			packets[j] = bench_packet(pool, frame, 1, (uint8_t)j);
		cycles += time_burst(guest, packets);
		if (!receives)
			rte_pktmbuf_free_bulk(packets, BURST);
	}
	return (double)cycles / (BURSTS * BURST);
}

static void
measure(bool receives, uint32_t frame, unsigned int rounds, struct rte_mempool *pool, struct result *result)
{
	struct guest guests[WAYS];

	for (enum way way = 0; way < WAYS; way++) {
		start_guest(&guests[way], way, receives, pool);
		run(&guests[way], receives, frame, pool); /* pages and caches */
	}
	for (unsigned int round = 0; round < rounds; round++) {
		for (enum way i = 0; i < WAYS; i++) {
			enum way way = (i + round) % WAYS;

			result->cycles[way][round] = run(&guests[way], receives, frame, pool);
		}
		for (enum way way = 0; way < WAYS; way++)
			result->cost[way][round] = result->cycles[way][round] - result->cycles[WAY_NONE][round];
	}
	for (enum way way = 0; way < WAYS; way++)
		stop_guest(&guests[way]);
}

static int
compare(const void *a, const void *b)
{
	double one = *(const double *)a, two = *(const double *)b;

	return (one > two) - (one < two);
}

/* The median and, from the ranks that it has with 95 %, where it is. */
static struct interval
interval(double *values, unsigned int count)
{
	double half = 0.98 * sqrt(count);
	unsigned int low = (unsigned int)RTE_MAX(0.0, floor(count / 2.0 - half));

	qsort(values, count, sizeof(*values), compare);
	return (struct interval){ values[low], values[count / 2], values[count - 1 - low] };
}

static json_t *
pack(const struct interval *interval)
{
	return json_pack("{s:f, s:f, s:f}", "low", interval->low, "median", interval->median, "high", interval->high);
}

/* Prints a line of the table, or appends to `all`. */
static void
tell(const char *direction, uint32_t frame, enum way way, struct result *result, unsigned int rounds, json_t *all)
{
	struct interval cycles = interval(result->cycles[way], rounds), cost = interval(result->cost[way], rounds);

	if (all == NULL)
		printf("%-8s %5u  %-10s %7.1f [%6.1f, %6.1f] %7.1f [%5.1f, %5.1f]\n", direction, frame, way_names[way],
		       cycles.median, cycles.low, cycles.high, cost.median, cost.low, cost.high);
	else
		json_array_append_new(all, json_pack("{s:s, s:i, s:s, s:o, s:o}", "direction", direction, "frame",
						     (int)frame, "protection", way_names[way], "cycles", pack(&cycles),
						     "cost", pack(&cost)));
}

static void
measure_all(unsigned int rounds, struct rte_mempool *pool, json_t *all)
{
	static const uint32_t frames[] = { 60, 1514 };
	static struct result result;

	for (int receives = 0; receives < 2; receives++)
		for (size_t i = 0; i < RTE_DIM(frames); i++) {
			measure(receives, frames[i], rounds, pool, &result);
			for (enum way way = 0; way < WAYS; way++)
				tell(receives ? "to" : "from", frames[i], way, &result, rounds, all);
		}
}

int
main(int argc, char **argv)
{
	static char *arguments[] = { "protection",
				     "--no-huge",
				     "--no-pci",
				     "--no-telemetry",
				     "--no-shconf",
				     "-m",
				     "256",
				     "--lcores=0",
				     "--file-prefix=pvprotection",
				     "--log-level=*:error" };
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	const char *given = argc > 1 + json ? argv[1 + json] : "301";
	unsigned int rounds = (unsigned int)strtoul(given, NULL, 10);
	json_t *all = json ? json_array() : NULL;
	struct rte_mempool *pool;

	if (rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "protection: %s: expected 1 to %d rounds\n", given, ROUNDS_MAX);
		return 2;
	}
	RTE_VERIFY(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
	pool = bench_pool(1023);
	shuffle_buffers();
	if (!json)
		printf("cycles per packet, bursts of %u, medians of %u rounds; from and to the guest\n"
		       "%-8s %5s  %-10s %7s %16s %7s\n",
		       BURST, rounds, "", "bytes", "protection", "cycles", "", "cost");
	measure_all(rounds, pool, all);
	if (json) {
		json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		putchar('\n');
	}
	json_decref(all);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return 0;
}
