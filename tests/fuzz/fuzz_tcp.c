/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any frames through receive-aggregation and ack-offload. Each is in memory of exactly its size, in one piece or two. A
 * unit is struct unit and then packets: struct step and its bytes. A broken rule ends the program:
 *
 *  - every packet comes out once; alone it is as it was, and in an aggregated one its payload is;
 *  - aggregated packets are sound mbufs whose offload fields fit their headers;
 *  - before an acknowledgment there are copies of it, at most 256, which differ in its number and checksum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>

#include "../lib/stage_rig.h"
#include "../lib/tcp_frames.h"
#include "core/pipeline.h"
#include "vio/coalesced.h"

#define STEPS_MAX 200
#define LENGTH_MAX 2000
#define COPIES_MAX 256
#define DIFFERENCE_MAX 10 /* bytes from an acknowledgment number to the end of the checksum */
#define WIRE 1

enum kind {
	TO_WIRE = 1,
	GOOD = 2,    /* the port has checked it */
	PARTIAL = 4, /* a local sender left its checksum */
	FLUSH = 8,   /* behind it */
	REPAIR = 16, /* the checksum of IPv4 is right */
	PATCH = 32,  /* the bytes are those of the last one of its direction, but for these at `first` */
};

struct unit {
	uint8_t limit, in_software;
};

struct step {
	uint8_t kind, unused;
	uint16_t length, first; /* bytes, and those in the first mbuf */
};

struct packet {
	struct rte_mbuf *mbufs[2];
	uint8_t bytes[LENGTH_MAX];
	uint16_t length, first;
	bool seen;
};

static struct rte_mempool *pool;
static struct rig *offload;
static struct packet packets[STEPS_MAX];
static unsigned int n_packets;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Instead of the library's: so that a unit does the same every time. */
ssize_t
getrandom(void *buffer, size_t length, unsigned int flags)
{
	memset(buffer, 0x5b, length);
	return (ssize_t)length;
}

static void
must(bool condition, const char *rule)
{
	if (condition)
		return;
	fprintf(stderr, "broken rule: %s\n", rule);
	abort();
}

static void
remove_runtime_directory(void)
{
	rmdir(rte_eal_get_runtime_dir());
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char *arguments[] = { "fuzz",
				     "--no-huge",
				     "--no-pci",
				     "--no-telemetry",
				     "--no-shconf",
				     "-m",
				     "64",
				     "--log-level=*:error",
				     "--file-prefix=pvfuzz",
				     "-l0" };

	must(rte_eal_init(RTE_DIM(arguments), arguments) >= 0 && pv_pipeline_init() == 0, "EAL starts");
	atexit(remove_runtime_directory);
	pool = rte_pktmbuf_pool_create("fuzz", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	must(pool != NULL, "memory is there");
	return 0;
}

/* --- packets ------------------------------------------------------------------------------------------------------ */

static struct rte_mbuf *
new_mbuf(const uint8_t *bytes, uint16_t length)
{
	struct rte_mbuf *mbuf = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*mbuf));

	must(mbuf != NULL, "memory is there");
	memset(mbuf, 0, sizeof(*mbuf));
	mbuf->buf_addr = malloc(length);
	must(mbuf->buf_addr != NULL, "memory is there");
	mbuf->buf_iova = (rte_iova_t)(uintptr_t)mbuf->buf_addr;
	mbuf->buf_len = length;
	mbuf->data_len = length;
	mbuf->pkt_len = length;
	mbuf->nb_segs = 1;
	mbuf->port = WIRE;
	mbuf->pool = pool;
	rte_mbuf_refcnt_set(mbuf, 1);
	memcpy(mbuf->buf_addr, bytes, length);
	return mbuf;
}

static void
free_packet(struct packet *packet)
{
	for (int i = 0; i < 2; i++) {
		if (packet->mbufs[i] != NULL)
			free(packet->mbufs[i]->buf_addr);
		free(packet->mbufs[i]);
		packet->mbufs[i] = NULL;
	}
}

static void
repair(uint8_t *bytes, uint16_t length)
{
	struct rte_ipv4_hdr ip;
	uint16_t at = RTE_ETHER_HDR_LEN;

	while (at + 2 < length && (bytes[at - 2] == 0x81 || bytes[at - 2] == 0x88) && bytes[at - 1] != 0)
		at += 4;
	if (at + sizeof(ip) > length)
		return;
	memcpy(&ip, bytes + at, sizeof(ip));
	ip.hdr_checksum = 0;
	ip.hdr_checksum = (uint16_t)~rte_raw_cksum(&ip, sizeof(ip));
	memcpy(bytes + at, &ip, sizeof(ip));
}

static void
make_mbufs(struct packet *packet, const struct step *step)
{
	uint16_t first = packet->first;

	packet->mbufs[0] = new_mbuf(packet->bytes, first);
	if (first < packet->length) {
		packet->mbufs[1] = new_mbuf(packet->bytes + first, (uint16_t)(packet->length - first));
		packet->mbufs[0]->next = packet->mbufs[1];
		packet->mbufs[0]->nb_segs = 2;
		packet->mbufs[0]->pkt_len = packet->length;
	}
	if ((step->kind & GOOD) != 0)
		packet->mbufs[0]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if ((step->kind & PARTIAL) != 0)
		packet->mbufs[0]->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static struct packet *
packet_of(const struct rte_mbuf *mbuf)
{
	for (unsigned int i = 0; i < n_packets; i++)
		if (packets[i].mbufs[0] == mbuf)
			return &packets[i];
	must(false, "what comes out has come in");
	return NULL;
}

static void
look_at_alone(const struct rte_mbuf *mbuf)
{
	struct packet *packet = packet_of(mbuf);
	uint8_t bytes[LENGTH_MAX];

	must(!packet->seen, "a packet comes out once");
	packet->seen = true;
	must(mbuf->pkt_len == packet->length && tcp_frame_copy(mbuf, bytes) == packet->length &&
		     memcmp(bytes, packet->bytes, packet->length) == 0,
	     "a packet that stayed alone is as it was");
}

static void
look_at_segment(void *context, unsigned int index, uint8_t *bytes, uint32_t length)
{
	unsigned int *segments = context;

	must(index == *segments, "segments come in order");
	(*segments)++;
}

static void
look_at_aggregated(const struct rte_mbuf *head)
{
	uint32_t headers = head->l2_len + head->l3_len + head->l4_len;
	unsigned int segments = 0;
	const char *reason = "";

	must(rte_mbuf_check(head, 1, &reason) == 0, reason);
	must(head->nb_segs == pv_coalesced(head)->segments, "there is an mbuf for each segment");
	tcp_frame_segment(head, look_at_segment, &segments);
	must(segments == head->nb_segs, "there are as many segments as came");
	for (const struct rte_mbuf *mbuf = head; mbuf != NULL; mbuf = mbuf->next) {
		struct packet *packet = packet_of(mbuf);
		uint32_t skip = mbuf == head ? headers : 0, at = mbuf->data_off + skip;

		must(!packet->seen, "a packet comes out once");
		packet->seen = true;
		must(at + mbuf->data_len - skip <= packet->length &&
			     memcmp(rte_pktmbuf_mtod_offset(mbuf, const void *, skip), packet->bytes + at,
				    mbuf->data_len - skip) == 0,
		     "the payload is what it was");
	}
}

/* Both stages have seen them: what is out is looked at, and stays allocated until the end. */
static void
pass_on(struct rig *from)
{
	must(from->self.held == 0, "nothing is held");
	for (uint32_t i = 0; i < from->n_out; i++) {
		rig_process(offload, PV_HOOK_FROM_WIRE, &from->out[i], 1);
		must(offload->n_out == 1 && offload->out[0] == from->out[i], "packets from the wire pass");
		offload->n_out = 0;
		if (pv_is_coalesced(from->out[i]))
			look_at_aggregated(from->out[i]);
		else
			look_at_alone(from->out[i]);
	}
	from->n_out = 0;
}

static void
look_at_copy(const struct rte_mbuf *copy, const struct packet *packet)
{
	uint8_t bytes[LENGTH_MAX];
	uint32_t first = 0, end = packet->length;

	must(copy->pkt_len == packet->length, "a copy is as long as its template");
	tcp_frame_copy(copy, bytes);
	while (first < end && bytes[first] == packet->bytes[first])
		first++;
	while (end > first && bytes[end - 1] == packet->bytes[end - 1])
		end--;
	must(end - first <= DIFFERENCE_MAX, "a copy differs in number and checksum");
}

static void
send_packet(struct packet *packet)
{
	uint32_t n;

	pv_packet_set_egress(packet->mbufs[0], WIRE);
	rig_process(offload, PV_HOOK_TO_WIRE, packet->mbufs, 1);
	n = offload->n_out;
	must(n >= 1 && n <= COPIES_MAX + 1 && offload->out[n - 1] == packet->mbufs[0], "the template is the last");
	look_at_alone(packet->mbufs[0]);
	offload->n_out = n - 1;
	for (uint32_t i = 0; i < n - 1; i++)
		look_at_copy(offload->out[i], packet);
	rig_clear(offload);
}

/* --- units -------------------------------------------------------------------------------------------------------- */

/* Reads a packet; the bytes that it took, or 0 when there is none. */
static size_t
read_packet(const uint8_t *data, size_t size, const struct packet *before, struct step *step, struct packet *packet)
{
	const size_t max = LENGTH_MAX;

	if (size < sizeof(*step))
		return 0;
	memcpy(step, data, sizeof(*step));
	size -= sizeof(*step);
	step->length = (uint16_t)RTE_MIN(RTE_MIN((size_t)step->length, size), max);
	memset(packet, 0, sizeof(*packet));
	packet->length = step->length;
	packet->first = step->first < step->length ? step->first : step->length;
	memcpy(packet->bytes, data + sizeof(*step), step->length);
	if ((step->kind & PATCH) != 0 && before != NULL) {
		*packet = *before;
		memset(packet->mbufs, 0, sizeof(packet->mbufs));
		packet->seen = false;
		if (step->first < before->length)
			memcpy(packet->bytes + step->first, data + sizeof(*step),
			       RTE_MIN(step->length, before->length - step->first));
	}
	if ((step->kind & REPAIR) != 0)
		repair(packet->bytes, packet->length);
	return sizeof(*step) + step->length;
}

static void
run(struct rig *rig, const uint8_t *data, size_t size)
{
	const struct packet *before[2] = { NULL, NULL };
	struct step step;
	size_t taken;

	while (n_packets < STEPS_MAX) {
		struct packet *packet = &packets[n_packets];

		taken = read_packet(data, size, size > 0 ? before[data[0] & TO_WIRE] : NULL, &step, packet);
		if (taken == 0)
			return;
		data += taken;
		size -= taken;
		if (packet->first < RTE_ETHER_HDR_LEN) /* dropped before the stages */
			continue;
		n_packets++;
		before[step.kind & TO_WIRE] = packet;
		make_mbufs(packet, &step);
		if ((step.kind & TO_WIRE) != 0)
			send_packet(packet);
		else
			rig_process(rig, PV_HOOK_FROM_WIRE, packet->mbufs, 1);
		if ((step.kind & FLUSH) != 0) {
			rig_flush(rig, PV_HOOK_FROM_WIRE);
			pass_on(rig);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *rig;
	struct unit unit;
	char options[64];

	if (size < sizeof(unit))
		return -1;
	memcpy(&unit, data, sizeof(unit));
	snprintf(options, sizeof(options), "{\"limit\": %u, \"checksum\": \"%s\"}", 2 + unit.limit % 63,
		 unit.in_software != 0 ? "software" : "port");
	rig = rig_new("receive-aggregation", options, pool);
	offload = rig_new("ack-offload", "{\"flows\": 16}", pool);
	n_packets = 0;
	run(rig, data + sizeof(unit), size - sizeof(unit));
	rig_flush(rig, PV_HOOK_FROM_WIRE);
	pass_on(rig);
	for (unsigned int i = 0; i < n_packets; i++) {
		must(packets[i].seen, "every packet comes out");
		free_packet(&packets[i]);
	}
	rig_free(rig);
	rig_free(offload);
	must(rte_mempool_in_use_count(pool) == 0, "no copy is lost");
	return 0;
}
