/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * VLANs of contexts: p0 and p1 are of VLAN 10, p2 of 20, p3 of none; p4 and p5 are wires. Their addresses end in their
 * number, W is behind p4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include <rte_ether.h>

#include "core/contexts.h"
#include "core/path.h"
#include "large.h"
#include "testbed.h"
#include "vio/offload.h"

#define PORTS 6
#define A "52:54:00:00:00:00"
#define B "52:54:00:00:00:01"
#define C "52:54:00:00:00:02"
#define D "52:54:00:00:00:03"
#define W "52:54:00:00:00:aa"
#define X "52:54:00:00:00:bb" /* unknown */
#define BROADCAST "ff:ff:ff:ff:ff:ff"

#define TAG(tci)                                   \
	{                                          \
		0x81, 0x00, (tci) >> 8, (tci)&0xff \
	}
#define LENGTH 64 /* of frames without a tag */

struct tag {
	uint8_t bytes[4];
};

static const struct tag tag_10 = { TAG(10) }, tag_20 = { TAG(20) }, tag_30 = { TAG(30) };
static const struct tag priority = { TAG(5 << 13) }, priority_10 = { TAG(5 << 13 | 10) };
static const struct tag service_10 = { { 0x88, 0xa8, 0, 10 } };

static struct testbed *
new_testbed(void)
{
	const struct testbed_setup setup = { .ports = PORTS,
					     .wires = 1 << 4 | 1 << 5,
					     .macs = { A, B, C, D },
					     .vlans = { 10, 10, 20, 0 },
					     .stages = { pv_stage_find("multi-context-demux") } };

	return testbed_new(&setup);
}

/* A frame; `tag` may be NULL. */
static uint32_t
make_frame(uint8_t *frame, const char *destination, const char *source, const struct tag *tag)
{
	uint32_t length = LENGTH + (tag != NULL ? sizeof(tag->bytes) : 0);
	struct pv_mac to, from;

	assert_int_equal(pv_mac_parse(destination, &to), 0);
	assert_int_equal(pv_mac_parse(source, &from), 0);
	for (uint32_t i = 0; i < length; i++)
		frame[i] = (uint8_t)(length - i);
	memcpy(frame, to.bytes, 6);
	memcpy(frame + 6, from.bytes, 6);
	if (tag != NULL)
		memcpy(frame + 12, tag->bytes, sizeof(tag->bytes));
	memcpy(frame + length - LENGTH + 12, (const uint8_t[2]){ 0x08, 0x00 }, 2);
	return length;
}

static void
send_frame(struct testbed *testbed, uint16_t port, const char *destination, const char *source, const struct tag *tag)
{
	uint8_t frame[LENGTH + 4];
	uint32_t length = make_frame(frame, destination, source, tag);

	testbed_inject_bytes(testbed, port, 0, frame, length, 1);
	testbed_run(testbed, 1);
}

static void
assert_is_frame(const struct rte_mbuf *packet, const struct tag *tag)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t length = LENGTH + (tag != NULL ? sizeof(tag->bytes) : 0);

	assert_int_equal(packet->pkt_len, length);
	if (tag != NULL)
		assert_memory_equal(frame + 12, tag->bytes, sizeof(tag->bytes));
	assert_int_equal(frame[length - LENGTH + 12] << 8 | frame[length - LENGTH + 13], 0x0800);
	for (uint32_t i = length - LENGTH + 14; i < length; i++)
		assert_int_equal(frame[i], frame[length - LENGTH + 14] - (i - (length - LENGTH + 14)));
}

/* Each port of the string, "-" for none, got one frame: "u" as it is without a tag, "t" with `tag`. */
static void
assert_sent(struct testbed *testbed, const char *expected, const struct tag *tag)
{
	for (uint16_t port = 0; port < PORTS; port++) {
		assert_int_equal(testbed_sent(testbed, port), expected[port] == '-' ? 0 : 1);
		if (expected[port] != '-')
			assert_is_frame(testbed_packet(testbed, port, 0), expected[port] == 't' ? tag : NULL);
	}
	testbed_clear(testbed);
}

static void
a_broadcast_is_heard_within_its_vlan_and_tagged_on_wires(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 0, BROADCAST, A, NULL);
	assert_sent(testbed, "-u--tt", &tag_10);
	send_frame(testbed, 2, BROADCAST, C, NULL);
	assert_sent(testbed, "----tt", &tag_20);
	send_frame(testbed, 3, BROADCAST, D, NULL);
	assert_sent(testbed, "----uu", NULL);
	testbed_free(testbed);
}

static void
a_broadcast_from_a_wire_is_for_the_vlan_of_its_tag(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 4, BROADCAST, W, &tag_10);
	assert_sent(testbed, "uu---t", &tag_10);
	send_frame(testbed, 4, BROADCAST, W, &priority_10);
	assert_sent(testbed, "uu---t", &priority_10);
	send_frame(testbed, 4, BROADCAST, W, &tag_20);
	assert_sent(testbed, "--u--t", &tag_20);
	send_frame(testbed, 4, BROADCAST, W, &tag_30);
	assert_sent(testbed, "-----t", &tag_30);
	send_frame(testbed, 4, BROADCAST, W, NULL);
	assert_sent(testbed, "---u-u", NULL);
	send_frame(testbed, 4, BROADCAST, W, &priority);
	assert_sent(testbed, "---u-t", &priority);
	testbed_free(testbed);
}

static void
frames_to_one_address_stay_in_their_vlan(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 0, B, A, NULL);
	assert_sent(testbed, "-u----", NULL);
	send_frame(testbed, 0, C, A, NULL);
	send_frame(testbed, 0, D, A, NULL);
	send_frame(testbed, 3, A, D, NULL);
	assert_sent(testbed, "------", NULL);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_WRONG_VLAN), 2);
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_WRONG_VLAN), 1);
	testbed_free(testbed);
}

static void
a_wire_reaches_an_address_with_the_tag_of_its_vlan_only(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 4, C, W, &tag_20);
	assert_sent(testbed, "--u---", NULL);
	send_frame(testbed, 4, D, W, NULL);
	assert_sent(testbed, "---u--", NULL);
	send_frame(testbed, 4, D, W, &priority);
	assert_sent(testbed, "---u--", NULL);
	send_frame(testbed, 4, C, W, NULL);
	send_frame(testbed, 4, C, W, &tag_10);
	send_frame(testbed, 4, D, W, &tag_10);
	assert_sent(testbed, "------", NULL);
	assert_int_equal(testbed_drops(testbed, 4, PV_DROP_WRONG_VLAN), 3);
	testbed_free(testbed);
}

static void
frames_to_a_wire_have_the_tag_of_their_senders_vlan(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 4, BROADCAST, W, NULL);
	testbed_clear(testbed);
	send_frame(testbed, 2, W, C, NULL);
	assert_sent(testbed, "----t-", &tag_20);
	send_frame(testbed, 3, W, D, NULL);
	assert_sent(testbed, "----u-", NULL);
	send_frame(testbed, 2, X, C, NULL);
	assert_sent(testbed, "----tt", &tag_20);
	send_frame(testbed, 0, W, A, &priority);
	assert_sent(testbed, "----t-", &priority_10);
	testbed_free(testbed);
}

static void
between_wires_frames_pass_as_they_are(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 5, BROADCAST, X, NULL);
	testbed_clear(testbed);
	send_frame(testbed, 4, X, W, &tag_30);
	assert_sent(testbed, "-----t", &tag_30);
	send_frame(testbed, 4, X, W, &service_10);
	assert_sent(testbed, "-----t", &service_10);
	send_frame(testbed, 4, X, W, NULL);
	assert_sent(testbed, "-----u", NULL);
	testbed_free(testbed);
}

static void
a_guest_with_a_vlan_sends_no_tags(void **state)
{
	static const struct tag *const tags[] = { &tag_10, &tag_20, &service_10 };
	struct testbed *testbed = new_testbed();

	for (size_t i = 0; i < RTE_DIM(tags); i++) {
		send_frame(testbed, 0, BROADCAST, A, tags[i]);
		send_frame(testbed, 0, B, A, tags[i]);
	}
	assert_sent(testbed, "------", NULL);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_WRONG_VLAN), 6);
	send_frame(testbed, 0, B, A, &priority);
	assert_sent(testbed, "-u----", NULL);
	testbed_free(testbed);
}

static void
tags_of_a_guest_without_a_vlan_reach_wires_and_its_like(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 3, BROADCAST, D, &tag_10);
	assert_sent(testbed, "----tt", &tag_10);
	send_frame(testbed, 3, A, D, &tag_10);
	assert_sent(testbed, "------", NULL);
	assert_int_equal(testbed_drops(testbed, 3, PV_DROP_WRONG_VLAN), 1);
	testbed_port(testbed, 1)->vlan = 0;
	send_frame(testbed, 3, B, D, &tag_20);
	assert_sent(testbed, "-t----", &tag_20);
	testbed_free(testbed);
}

static void
a_spoofed_source_is_dropped_whatever_the_vlan(void **state)
{
	struct testbed *testbed = new_testbed();

	send_frame(testbed, 0, BROADCAST, B, NULL);
	send_frame(testbed, 4, BROADCAST, C, &tag_10); /* addresses are unique over all VLANs */
	assert_sent(testbed, "------", NULL);
	assert_int_equal(testbed_drops(testbed, 0, PV_DROP_SPOOFED_SOURCE), 1);
	assert_int_equal(testbed_drops(testbed, 4, PV_DROP_SPOOFED_SOURCE), 1);
	testbed_free(testbed);
}

static void
half_a_tag_is_a_runt(void **state)
{
	struct testbed *testbed = new_testbed();
	uint8_t frame[LENGTH + 4];

	make_frame(frame, BROADCAST, W, &tag_10);
	testbed_inject_bytes(testbed, 4, 0, frame, 17, 1);
	testbed_inject_bytes(testbed, 4, 0, frame, 18, 1);
	testbed_inject_bytes(testbed, 4, 0, frame, 34, 2); /* 17 bytes in the first segment */
	testbed_run(testbed, 1);
	assert_int_equal(testbed_drops(testbed, 4, PV_DROP_RUNT), 2);
	assert_int_equal(testbed_sent(testbed, 0), 1);
	assert_int_equal(testbed_packet(testbed, 0, 0)->pkt_len, 14);
	testbed_free(testbed);
}

/* A packet that somebody else holds, too, is not written. */
static void
a_shared_packet_is_copied_for_its_tag(void **state)
{
	struct testbed *testbed = new_testbed();
	struct rte_mempool *pool = testbed_datapath(testbed)->pool;
	struct rte_mbuf *original = rte_pktmbuf_alloc(pool), *clone;
	uint8_t frame[LENGTH + 4];

	make_frame(frame, X, A, NULL);
	memcpy(rte_pktmbuf_append(original, LENGTH), frame, LENGTH);
	clone = rte_pktmbuf_clone(original, pool);
	testbed_inject_packet(testbed, 0, 0, clone);
	rte_mbuf_refcnt_update(original, 1);
	testbed_inject_packet(testbed, 0, 0, original);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 4), 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_is_frame(testbed_packet(testbed, 4, i), &tag_10);
		assert_is_frame(testbed_packet(testbed, 5, i), &tag_10);
	}
	assert_memory_equal(rte_pktmbuf_mtod(original, const void *), frame, LENGTH);
	assert_is_frame(original, NULL);
	rte_pktmbuf_free(original);
	testbed_free(testbed);
}

static struct rte_mbuf *
send_large(struct testbed *testbed, uint16_t port, const struct large *large)
{
	struct rte_mbuf *packet = large_packet(large, testbed_datapath(testbed)->pool);

	testbed_inject_packet(testbed, port, 0, packet);
	testbed_run(testbed, 1);
	return packet;
}

/* `tagged` says how the frames at the port look. */
static void
assert_right_checksums(struct testbed *testbed, uint16_t port, const struct large *tagged)
{
	static uint8_t frame[LARGE_FRAME_MAX];

	for (uint32_t i = 0; i < testbed_sent(testbed, port); i++) {
		const struct rte_mbuf *packet = testbed_packet(testbed, port, i);

		assert_int_equal(packet->ol_flags & PV_OFFLOAD_FLAGS, 0);
		assert_true(large_checksums_are_right(tagged, frame, large_flat(packet, frame)));
		if (tagged->tags > 0)
			assert_memory_equal(frame + 12, tag_10.bytes, sizeof(tag_10.bytes));
	}
}

static void
what_is_left_to_be_done_is_done_right_behind_a_tag(void **state)
{
	for (uint16_t size = 0; size <= 1000; size += 1000) {
		struct large large = { .payload = size == 0 ? 500 : 3500, .size = size, .destination = W, .source = A };
		struct large tagged = large;
		struct testbed *testbed = new_testbed();

		tagged.tags = 1;
		send_frame(testbed, 4, BROADCAST, W, NULL);
		testbed_clear(testbed);
		send_large(testbed, 0, &large);
		assert_int_equal(testbed_sent(testbed, 4), size == 0 ? 1 : 4);
		assert_right_checksums(testbed, 4, &tagged);
		testbed_free(testbed);
	}
}

static void
a_port_that_does_offloads_is_told_where_the_headers_are(void **state)
{
	struct large large = { .payload = 3500, .size = 1000, .destination = W, .source = A };
	struct testbed *testbed = testbed_take_large(new_testbed());
	const struct rte_mbuf *packet;

	send_frame(testbed, 4, BROADCAST, W, NULL);
	testbed_clear(testbed);
	send_large(testbed, 0, &large);
	packet = testbed_packet(testbed, 4, 0);
	assert_int_equal(packet->l2_len, 18);
	assert_int_equal(packet->l3_len, 20);
	assert_int_not_equal(packet->ol_flags & RTE_MBUF_F_TX_TCP_SEG, 0);
	testbed_free(testbed);
}

/* As a wire would that takes such packets of the kernel. */
static void
what_is_left_to_be_done_is_done_right_without_its_tag(void **state)
{
	struct large large = { .tags = 1, .payload = 3500, .size = 1000, .destination = A, .source = W };
	struct large untagged = large;
	struct testbed *testbed = new_testbed();
	struct rte_mbuf *packet = large_packet(&large, testbed_datapath(testbed)->pool);

	untagged.tags = 0;
	memcpy(rte_pktmbuf_mtod_offset(packet, char *, 12), tag_10.bytes, sizeof(tag_10.bytes));
	testbed_inject_packet(testbed, 4, 0, packet);
	testbed_run(testbed, 1);
	assert_int_equal(testbed_sent(testbed, 0), 4);
	assert_right_checksums(testbed, 0, &untagged);
	testbed_free(testbed);
}

static void
templates_are_not_used_where_ports_have_vlans(void **state)
{
	struct testbed_setup setup = { .ports = PORTS,
				       .wires = 1 << 4 | 1 << 5,
				       .stages = { pv_stage_find("multi-context-demux"),
						   pv_stage_find("specialization") } };
	struct testbed *testbed = testbed_new(&setup);
	const struct pv_worker *worker = testbed_datapath(testbed)->workers[0];
	const char *shape = worker->path->shape;

	testbed_free(testbed);
	setup.vlans[2] = 20;
	testbed = testbed_new(&setup);
	worker = testbed_datapath(testbed)->workers[0];
	assert_string_not_equal(worker->path->shape, shape);
	for (int i = 0; i < 5; i++)
		send_frame(testbed, 0, B, A, NULL);
	assert_int_equal(worker->counters.templates.hits, 0);
	testbed_free(testbed);
}

/* Random frames with random tags: in + copies = out + dropped. */
static void
no_packet_is_lost_or_made_up(void **state)
{
	static const struct tag *const tags[] = { NULL, NULL, &tag_10, &tag_20, &priority, &service_10 };
	static const char *const addresses[] = { A, B, C, D, W, X, BROADCAST };
	struct testbed *testbed = new_testbed();
	const struct pv_worker *worker = testbed_datapath(testbed)->workers[0];
	uint64_t in = 0, out = 0;
	unsigned int seed = 5;

	for (int burst = 0; burst < 50; burst++) {
		uint8_t frame[LENGTH + 4];

		for (int i = 0; i < 40; i++, in++) {
			uint32_t length = make_frame(frame, addresses[rand_r(&seed) % 7], addresses[rand_r(&seed) % 7],
						     tags[rand_r(&seed) % RTE_DIM(tags)]);

			testbed_inject_bytes(testbed, (uint16_t)(rand_r(&seed) % PORTS), 0, frame, length, 1);
		}
		testbed_run(testbed, 2);
		for (uint16_t port = 0; port < PORTS; port++)
			out += testbed_sent(testbed, port);
		testbed_clear(testbed);
	}
	assert_int_equal(in + worker->counters.flooded, out + testbed_all_drops(testbed));
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broadcast_is_heard_within_its_vlan_and_tagged_on_wires),
		cmocka_unit_test(a_broadcast_from_a_wire_is_for_the_vlan_of_its_tag),
		cmocka_unit_test(frames_to_one_address_stay_in_their_vlan),
		cmocka_unit_test(a_wire_reaches_an_address_with_the_tag_of_its_vlan_only),
		cmocka_unit_test(frames_to_a_wire_have_the_tag_of_their_senders_vlan),
		cmocka_unit_test(between_wires_frames_pass_as_they_are),
		cmocka_unit_test(a_guest_with_a_vlan_sends_no_tags),
		cmocka_unit_test(tags_of_a_guest_without_a_vlan_reach_wires_and_its_like),
		cmocka_unit_test(a_spoofed_source_is_dropped_whatever_the_vlan),
		cmocka_unit_test(half_a_tag_is_a_runt),
		cmocka_unit_test(a_shared_packet_is_copied_for_its_tag),
		cmocka_unit_test(what_is_left_to_be_done_is_done_right_behind_a_tag),
		cmocka_unit_test(a_port_that_does_offloads_is_told_where_the_headers_are),
		cmocka_unit_test(what_is_left_to_be_done_is_done_right_without_its_tag),
		cmocka_unit_test(templates_are_not_used_where_ports_have_vlans),
		cmocka_unit_test(no_packet_is_lost_or_made_up),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
