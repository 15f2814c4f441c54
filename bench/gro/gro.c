/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles per packet of the stage receive-aggregation and of rte_gro_reassemble_burst(), for the same TCP streams over
 * IPv4 in the same bursts, packets of the flows in turn.
 *
 *     build/bench/gro/gro [ROUNDS]
 *
 * In each round all are measured one after the other, so that what disturbs the machine meets all of them; medians are
 * printed. Each gets fresh packets, more than a cache of the second level holds. rte_gro is told the lengths of headers
 * and the packet type beforehand and computes no checksums at all: of what it makes the IP header's is wrong and
 * nothing says how to segment it. "software" is the stage when it looks at the checksum of each segment itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_debug.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_gro.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "stage_rig.h"
#include "tcp_frames.h"

#define PACKETS 2048
#define BURST 64
#define ROUNDS_MAX 1001
#define PAYLOAD 1448

enum way { WAY_STAGE, WAY_SOFTWARE, WAY_GRO, WAYS };

static const unsigned int flow_counts[] = { 1, 2, 4, 8, 16, 32, 64 };
static struct rte_mbuf *packets[PACKETS];

struct result {
	double cycles[WAYS][ROUNDS_MAX];
	double left; /* packets of a hundred that are left */
};

static void
make_packets(struct rte_mempool *pool, unsigned int flows, bool good)
{
	for (unsigned int i = 0; i < PACKETS; i++) {
		struct tcp_frame frame = tcp_frame(i % flows, i / flows * PAYLOAD, PAYLOAD);

		frame.id = (uint16_t)(i / flows);
		packets[i] = tcp_frame_mbuf(pool, &frame);
		packets[i]->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
		packets[i]->l2_len = RTE_ETHER_HDR_LEN;
		packets[i]->l3_len = sizeof(struct rte_ipv4_hdr);
		packets[i]->l4_len = sizeof(struct rte_tcp_hdr) + 12;
		packets[i]->port = 0;
		if (good)
			packets[i]->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
}

static double
run_stage(struct rig *rig, double *left)
{
	uint64_t start = rte_rdtsc(), cycles;

	for (unsigned int i = 0; i < PACKETS; i += BURST) {
		rig_process(rig, PV_HOOK_FROM_WIRE, &packets[i], BURST);
		rig_flush(rig, PV_HOOK_FROM_WIRE);
	}
	cycles = rte_rdtsc() - start;
	*left = rig->n_out * 100.0 / PACKETS;
	rig_clear(rig);
	return (double)cycles / PACKETS;
}

static double
run_gro(void)
{
	const struct rte_gro_param param = {
		.gro_types = RTE_GRO_TCP_IPV4,
		.max_flow_num = 64,
		.max_item_per_flow = BURST,
	};
	uint16_t left[PACKETS / BURST];
	uint64_t start = rte_rdtsc(), cycles;

	for (unsigned int i = 0; i < PACKETS; i += BURST)
		left[i / BURST] = rte_gro_reassemble_burst(&packets[i], BURST, &param);
	cycles = rte_rdtsc() - start;
	for (unsigned int i = 0; i < PACKETS; i += BURST)
		rte_pktmbuf_free_bulk(&packets[i], left[i / BURST]);
	return (double)cycles / PACKETS;
}

static int
compare(const void *a, const void *b)
{
	double one = *(const double *)a, two = *(const double *)b;

	return (one > two) - (one < two);
}

static double
median(double *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void
measure(struct rte_mempool *pool, struct rig *const rigs[], unsigned int flows, unsigned int rounds,
	struct result *result)
{
	for (unsigned int round = 0; round < rounds; round++) {
		for (enum way i = 0; i < WAYS; i++) {
			enum way way = (i + round) % WAYS;

			make_packets(pool, flows, way != WAY_SOFTWARE);
			result->cycles[way][round] = way == WAY_GRO ? run_gro() : run_stage(rigs[way], &result->left);
		}
	}
}

int
main(int argc, char **argv)
{
	static char *arguments[] = { "gro", "--no-huge", "--no-pci",   "--no-telemetry",      "--no-shconf",
				     "-m",  "256",	 "--lcores=0", "--file-prefix=pvgro", "--log-level=*:error" };
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 101;
	static struct result result;
	struct rte_mempool *pool;
	struct rig *rigs[WAY_GRO];

	if (rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "gro: %s: expected 1 to %d rounds\n", argv[1], ROUNDS_MAX);
		return 2;
	}
	RTE_VERIFY(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
	pool = rte_pktmbuf_pool_create("packets", 2 * PACKETS - 1, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	rigs[WAY_STAGE] = rig_new("receive-aggregation", "{\"limit\": 64, \"checksum\": \"port\"}", pool);
	rigs[WAY_SOFTWARE] = rig_new("receive-aggregation", "{\"limit\": 64}", pool);
	printf("cycles per packet of %u bytes, bursts of %u, medians of %u rounds\n", PAYLOAD + 66, BURST, rounds);
	printf("%6s %8s %9s %9s %9s %9s\n", "flows", "left", "stage", "rte_gro", "ratio", "software");
	for (unsigned int i = 0; i < RTE_DIM(flow_counts); i++) {
		double stage, gro;

		measure(pool, rigs, flow_counts[i], rounds, &result);
		stage = median(result.cycles[WAY_STAGE], rounds);
		gro = median(result.cycles[WAY_GRO], rounds);
		printf("%6u %7.1f%% %9.1f %9.1f %9.2f %9.1f\n", flow_counts[i], result.left, stage, gro, gro / stage,
		       median(result.cycles[WAY_SOFTWARE], rounds));
	}
	for (enum way way = 0; way < WAY_GRO; way++)
		rig_free(rigs[way]);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return 0;
}
