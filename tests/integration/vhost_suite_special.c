/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to a device between its first frame and its last: new memory, restarts, migration, several queues, an
 * IOMMU, other kinds of frontends. Each case runs on split and on packed rings, where it can.
 */
#include "vhost_suite.h"

#include <stdio.h>

#define FRAMES 300
#define RESTARTS 5
#define FLOWS 32
#define DIM(array) (sizeof(array) / sizeof((array)[0]))

/* Two frontends of one kind at vm0 and vm1, and frames between them. */
struct pair {
	struct frontend *left, *right;
	struct suite_flow there, back;
};

static struct pair
pair_up(struct frontend *left, struct frontend *right)
{
	return (struct pair){ .left = left,
			      .right = right,
			      .there = { .from = left, .to = right, .source = VM0, .target = VM1 },
			      .back = { .from = right, .to = left, .source = VM1, .target = VM0 } };
}

/* The left one has the features of the case, the right one is the simplest there is. */
static struct pair
attach_pair(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(VM0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));

	left.protocol |= which->protocol;
	left.memory = FRONTEND_MEMORY_HOLES;
	return pair_up(suite_attach(&left), suite_attach(&right));
}

static void
exchange(struct pair *pair)
{
	suite_exchange(&pair->there, &pair->back, FRAMES);
}

static void
detach_pair(struct pair *pair)
{
	suite_detach(pair->left);
	suite_detach(pair->right);
}

/* Frames one way, of which none is lost. */
static void
send_only(struct suite_flow *flow, uint32_t count)
{
	struct suite_wait wait = { .what = "frames go one way", .flows = { flow } };
	uint32_t end = flow->received + count;

	while (flow->received < end)
		suite_wait(&wait, suite_move(flow, end));
	suite_drain(flow->from);
}

/* --- Memory and restarts --- */

static void
rings_go_on(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	for (int i = 0; i < RESTARTS; i++) {
		exchange(&pair);
		assert_int_equal(frontend_stop_rings(pair.left), 0);
		assert_int_equal(frontend_start_rings(pair.left), 0);
	}
	exchange(&pair);
	detach_pair(&pair);
}

/* Buffers that are with the device when it is stopped, are used after it goes on. */
static void
frames_wait_in_a_stopped_ring(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);
	uint8_t frame[LONGEST];

	exchange(&pair);
	assert_int_equal(frontend_stop_rings(pair.left), 0);
	for (uint32_t i = 0; i < 20; i++) {
		suite_make_frame(frame, VM0, VM1, pair.there.sent, suite_length(pair.there.sent));
		assert_true(frontend_send(pair.left, 0, frame, suite_length(pair.there.sent)));
		pair.there.sent++;
	}
	assert_int_equal(frontend_start_rings(pair.left), 0);
	exchange(&pair);
	detach_pair(&pair);
}

static void
memory_moves(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	for (int i = 0; i < RESTARTS; i++) {
		exchange(&pair);
		assert_int_equal(frontend_stop_rings(pair.left), 0);
		assert_int_equal(frontend_move_memory(pair.left), 0);
		assert_int_equal(frontend_start_rings(pair.left), 0);
	}
	exchange(&pair);
	detach_pair(&pair);
}

static void
memory_is_plugged(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	exchange(&pair);
	assert_int_equal(frontend_enable_pair(pair.left, 0, false), 0);
	assert_int_equal(frontend_plug_memory(pair.left), 0);
	assert_int_equal(frontend_enable_pair(pair.left, 0, true), 0);
	exchange(&pair);
	detach_pair(&pair);
}

/* What the right one has sent has come, or never will: the device took it before the last frame of the left one. */
static void
settle_lossy(struct pair *pair)
{
	send_only(&pair->there, pair->there.sent - pair->there.received);
	suite_drain(pair->right);
	send_only(&pair->there, 1);
	suite_move(&pair->back, pair->back.sent);
	pair->back.received = pair->back.sent;
	pair->back.lossy = false;
}

/*
 * Without a pause, as QEMU does. A worker waits for a receiver whose memory changes, but not for ever, and on a busy
 * machine the message may take longer; what the left one sends meanwhile is in its ring, and comes.
 */
static void
memory_is_plugged_under_traffic(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	exchange(&pair);
	suite_move(&pair.there, pair.there.sent + FRAMES);
	suite_move(&pair.back, pair.back.sent + FRAMES);
	pair.back.lossy = true;
	assert_int_equal(frontend_plug_memory(pair.left), 0);
	settle_lossy(&pair);
	exchange(&pair);
	detach_pair(&pair);
}

/* --- Several queue pairs --- */

struct spread {
	struct frontend *from, *to;
	uint16_t from_pairs, to_pairs;
	uint32_t sent[FLOWS], received[FLOWS], arrived[FRONTEND_PAIRS_MAX];
	uint32_t all_sent, all_received;
};

#define SPREAD_BYTES 100
#define FLOW_AT 34   /* UDP source port */
#define NUMBER_AT 42 /* first bytes of the datagram */

/* A datagram: a switch tells flows apart by its ports. */
static void
make_datagram(uint8_t *frame, enum suite_port from, enum suite_port to, uint16_t flow, uint32_t number)
{
	const uint8_t ip[20] = { 0x45, 0, 0, SPREAD_BYTES - 14, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
	const uint8_t udp[8] = { 0x10, (uint8_t)flow, 0x20, 0, 0, SPREAD_BYTES - 34, 0, 0 };

	suite_make_frame(frame, from, to, number, SPREAD_BYTES);
	frame[12] = 0x08;
	frame[13] = 0x00;
	memcpy(frame + 14, ip, sizeof(ip));
	memcpy(frame + FLOW_AT, udp, sizeof(udp));
	memcpy(frame + NUMBER_AT, &number, sizeof(number));
}

/* A flow keeps to one queue of its sender; all of them may come in at one queue of the receiver. */
static bool
send_spread(struct spread *spread, uint32_t count)
{
	uint8_t frame[LONGEST];
	uint32_t room = UINT32_MAX;

	for (uint16_t pair = 0; pair < spread->to_pairs; pair++)
		if (frontend_room(spread->to, pair, SPREAD_BYTES) < room)
			room = frontend_room(spread->to, pair, SPREAD_BYTES);
	if (spread->all_sent == count || spread->all_sent - spread->all_received >= room)
		return false;
	for (uint16_t flow = 0; flow < FLOWS && spread->all_sent < count && room > 0; flow++, room--) {
		make_datagram(frame, MQ0, MQ1, flow, spread->sent[flow]);
		if (spread->all_sent - spread->all_received >= room ||
		    !frontend_send(spread->from, flow % spread->from_pairs, frame, SPREAD_BYTES))
			return true;
		spread->sent[flow]++;
		spread->all_sent++;
	}
	return true;
}

static bool
receive_spread(struct spread *spread, uint16_t pair)
{
	uint8_t frame[FRONTEND_FRAME_MAX], expected[LONGEST];
	bool progress = false;
	int length;

	while ((length = frontend_receive(spread->to, pair, frame)) > 0) {
		uint16_t flow = frame[FLOW_AT + 1];

		assert_int_equal(length, SPREAD_BYTES);
		assert_in_range(flow, 0, FLOWS - 1);
		make_datagram(expected, MQ0, MQ1, flow, spread->received[flow]);
		assert_memory_equal(frame, expected, SPREAD_BYTES);
		spread->received[flow]++;
		spread->all_received++;
		spread->arrived[pair]++;
		progress = true;
	}
	suite_check(spread->to);
	return progress;
}

static void
send_over_all_queues(struct spread *spread, uint32_t count)
{
	struct suite_wait wait = { .what = "frames are under way on several queues" };
	uint32_t end = spread->all_sent + count;

	while (spread->all_received < end) {
		bool progress = send_spread(spread, end);

		for (uint16_t pair = 0; pair < spread->to_pairs; pair++)
			progress |= receive_spread(spread, pair);
		suite_check(spread->from);
		suite_wait(&wait, progress);
	}
}

static struct frontend *
attach_queues(enum suite_port port, const struct suite_case *which, uint16_t pairs)
{
	struct frontend_setup setup =
		suite_setup(port, which->features | FRONTEND_BIT(VIRTIO_NET_F_MQ) | FRONTEND_BIT(VIRTIO_NET_F_CTRL_VQ));

	setup.protocol |= FRONTEND_BIT(FRONTEND_PROTOCOL_MQ);
	setup.queue_pairs = pairs;
	setup.ring_size = 128;
	return suite_attach(&setup);
}

static void
flows_spread_over_queues(const struct suite_case *which)
{
	struct spread spread = { .from_pairs = which->queue_pairs, .to_pairs = which->queue_pairs };
	uint32_t busy = 0;

	spread.from = attach_queues(MQ0, which, spread.from_pairs);
	spread.to = attach_queues(MQ1, which, spread.to_pairs);
	send_over_all_queues(&spread, 4000);
	for (uint16_t pair = 0; pair < spread.to_pairs; pair++)
		busy += spread.arrived[pair] > 0;
	assert_true(busy > 1);
	suite_detach(spread.from);
	suite_detach(spread.to);
}

/* A guest with four queues that uses two, then four, then one of them. */
static void
queues_come_and_go(const struct suite_case *which)
{
	struct spread spread = { .from_pairs = 1, .to_pairs = 4 };

	spread.from = attach_queues(MQ0, which, 1);
	spread.to = attach_queues(MQ1, which, 4);
	for (uint16_t used = 2; used > 0; used = used == 2 ? 4 : used == 4 ? 1 : 0) {
		for (uint16_t pair = 0; pair < 4; pair++)
			assert_int_equal(frontend_enable_pair(spread.to, pair, pair < used), 0);
		memset(spread.arrived, 0, sizeof(spread.arrived));
		send_over_all_queues(&spread, 1000);
		for (uint16_t pair = used; pair < 4; pair++)
			assert_int_equal(spread.arrived[pair], 0);
	}
	suite_detach(spread.from);
	suite_detach(spread.to);
}

/* --- Migration --- */

static int
count_logged(struct frontend *frontend)
{
	int written = frontend_check_log(frontend);

	suite_check(frontend);
	return written;
}

static void
written_pages_are_logged(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	exchange(&pair);
	assert_int_equal(frontend_start_log(pair.left), 0);
	exchange(&pair);
	assert_int_equal(frontend_stop_rings(pair.left), 0);
	assert_true(count_logged(pair.left) > 0);
	assert_int_equal(frontend_start_rings(pair.left), 0);
	assert_int_equal(frontend_stop_log(pair.left), 0);
	exchange(&pair);
	assert_int_equal(count_logged(pair.left), 0);
	detach_pair(&pair);
}

/* --- In-flight tracking --- */

static void
wait_for_call(struct frontend_ring *ring)
{
	struct suite_wait wait = { .what = "the device does not call" };

	while (frontend_ring_calls(ring) == 0)
		suite_wait(&wait, false);
}

static void
nothing_stays_in_flight(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	exchange(&pair);
	assert_int_equal(frontend_stop_rings(pair.left), 0);
	assert_int_equal(frontend_inflight(pair.left, frontend_transmit_ring(pair.left, 0)), 0);
	assert_int_equal(frontend_inflight(pair.left, frontend_receive_ring(pair.left, 0)), 0);
	assert_int_equal(frontend_start_rings(pair.left), 0);
	exchange(&pair);
	detach_pair(&pair);
}

#define OFFERED 10
#define FETCHED 6
#define SENT_BEFORE 5000 /* numbers of frames that must not come again */

/*
 * A device that is gone had fetched six of ten frames, and sent three of them: the other three come first, then those
 * that it had not fetched.
 */
static void
send_what_was_in_flight(const struct suite_case *which, unsigned int gone)
{
	struct frontend_setup left = suite_setup(VM0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
	struct pair pair;
	uint8_t frame[LONGEST];

	left.protocol |= which->protocol;
	pair = pair_up(suite_connect(&left), suite_attach(&right));
	for (uint16_t i = 0; i < OFFERED; i++) {
		uint32_t number = frontend_gone_used(i, FETCHED, gone) ? SENT_BEFORE + (uint32_t)i : pair.there.sent++;

		suite_make_frame(frame, VM0, VM1, number, suite_length(number));
		assert_true(frontend_send(pair.left, 0, frame, suite_length(number)));
	}
	assert_int_equal(frontend_fake_inflight(pair.left, frontend_transmit_ring(pair.left, 0), FETCHED, gone), 0);
	suite_attach_now(pair.left);
	wait_for_call(
		frontend_receive_ring(pair.left, 0)); /* the one before may not have called for what it gave back */
	exchange(&pair);
	assert_int_equal(frontend_inflight(pair.left, frontend_transmit_ring(pair.left, 0)), 0);
	detach_pair(&pair);
}

static void
frames_in_flight_are_sent(const struct suite_case *which)
{
	send_what_was_in_flight(which, FRONTEND_GONE_IN_ORDER);
	send_what_was_in_flight(which, FRONTEND_GONE_IN_ORDER | FRONTEND_GONE_TORN);
}

/* Another program may have been the device before. */
static void
frames_in_flight_out_of_order_are_sent(const struct suite_case *which)
{
	send_what_was_in_flight(which, FRONTEND_GONE_OUT_OF_ORDER);
	send_what_was_in_flight(which, FRONTEND_GONE_OUT_OF_ORDER | FRONTEND_GONE_TORN);
}

/* --- IOTLB --- */

/* Frames into a device that may have no translation for a buffer, and then drops them: each again until it comes. */
static void
insist(struct suite_flow *flow, uint32_t count)
{
	struct suite_wait wait = { .what = "a frame does not come, however often it is sent" };
	uint8_t frame[LONGEST], got[FRONTEND_FRAME_MAX];
	uint32_t end = flow->received + count;

	while (flow->received < end) {
		uint32_t length = suite_length(2 * flow->received + 1); /* long enough for its number, mostly */
		int came;

		suite_make_frame(frame, flow->source, flow->target, flow->received, length);
		if (frontend_ring_outstanding(frontend_transmit_ring(flow->from, 0)) == 0)
			frontend_send(flow->from, 0, frame, length);
		frontend_reclaim(flow->from, 0);
		suite_check(flow->from);
		suite_check(flow->to);
		came = frontend_receive(flow->to, 0, got);
		suite_check(flow->to);
		if (came == (int)length && memcmp(got, frame, length) == 0)
			flow->received++;
		suite_wait(&wait, came == (int)length);
	}
	flow->sent = flow->received;
}

static void
addresses_are_translated(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(VM0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
	struct pair pair;
	uint64_t misses = 0;

	left.protocol |= which->protocol;
	pair = pair_up(suite_attach(&left), suite_attach(&right));
	for (int i = 0; i < 3; i++) {
		send_only(&pair.there, FRAMES);
		insist(&pair.back, FRAMES);
		assert_true(frontend_misses(pair.left) > misses);
		misses = frontend_misses(pair.left);
		assert_int_equal(frontend_invalidate_all(pair.left), 0);
	}
	send_only(&pair.there, FRAMES);
	detach_pair(&pair);
}

/* --- Calls --- */

/* Sends frames one by one, so that each is known to be done with before the next. */
static void
send_one_by_one(struct pair *pair, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		send_only(&pair->there, 1);
}

/*
 * The receiver asks for calls. Whether the device has called for a buffer is certain when it has used the next one. The
 * first call after a start is free.
 */
static void
calls_come_when_asked_for(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);
	struct frontend_ring *ring = frontend_transmit_ring(pair.left, 0);
	bool event_idx = (which->features & FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX)) != 0;

	send_one_by_one(&pair, 3);
	for (int i = 0; i < 100; i++) {
		frontend_ring_call_never(ring);
		send_one_by_one(&pair, 1);
		frontend_ring_calls(ring);
		send_one_by_one(&pair, 9);
		assert_int_equal(frontend_ring_calls(ring), 0);
		frontend_ring_call_next(ring);
		send_one_by_one(&pair, 1);
		wait_for_call(ring);
		if (!event_idx)
			continue;
		frontend_ring_call_after(ring, 5);
		send_one_by_one(&pair, 5);
		assert_int_equal(frontend_ring_calls(ring), 0);
		send_one_by_one(&pair, 1);
		wait_for_call(ring);
		send_one_by_one(&pair, 3);
		assert_int_equal(frontend_ring_calls(ring), 0);
	}
	detach_pair(&pair);
}

/* --- Receivers with too little room --- */

/* What fits comes; the rest is dropped, and the ring is as good as before. */
static void
a_full_ring_takes_what_fits(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(VM0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
	struct pair pair;
	uint8_t frame[LONGEST];

	left.ring_size = 16;
	pair = pair_up(suite_attach(&left), suite_attach(&right));
	for (int i = 0; i < 20; i++) {
		for (uint32_t n = 0; n < 50; n++) {
			uint32_t number = pair.back.sent + n;

			suite_make_frame(frame, VM1, VM0, number, suite_length(number));
			assert_true(frontend_send(pair.right, 0, frame, suite_length(number)));
		}
		suite_drain(pair.right);
		/* What the device has taken it may deliver a little later; by the time this one comes, it has. */
		send_one_by_one(&pair, 1);
		pair.back.sent += 16;
		suite_exchange(&pair.there, &pair.back, 0);
		assert_int_equal(pair.back.received, pair.back.sent);
	}
	detach_pair(&pair);
}

static void
a_frame_that_does_not_fit_harms_nobody(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(VM0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
	struct pair pair;
	uint8_t frame[LONGEST];

	left.receive_bytes = 300;
	pair = pair_up(suite_attach(&left), suite_attach(&right));
	for (uint32_t n = 0; n < FRAMES; n++) {
		suite_make_frame(frame, VM1, VM0, n, 1000);
		assert_true(frontend_send(pair.right, 0, frame, 1000));
		suite_drain(pair.right);
		assert_int_equal(frontend_receive(pair.left, 0, frame), 0);
		suite_check(pair.left);
	}
	detach_pair(&pair);
}

/* --- What rte_vhost does not do --- */

static void
chained_receive_buffers_are_chains(const struct suite_case *which)
{
	static const struct frontend_chain chains[] = { { FRONTEND_HEADER_HALVED, 1, false },
							{ FRONTEND_HEADER_TOGETHER, 5, false },
							{ FRONTEND_HEADER_TOGETHER, 6, true } };

	for (size_t i = 0; i < DIM(chains); i++) {
		struct frontend_setup left =
			suite_setup(VM0, which->features | FRONTEND_BIT(VIRTIO_RING_F_INDIRECT_DESC));
		struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
		struct pair pair;

		left.receive = chains[i];
		pair = pair_up(suite_attach(&left), suite_attach(&right));
		exchange(&pair);
		detach_pair(&pair);
	}
}

static void
num_buffers_is_one(const struct suite_case *which)
{
	struct pair pair = attach_pair(which);

	exchange(&pair);
	detach_pair(&pair);
}

/* --- Kinds of frontends --- */

/* SET_OWNER first, no features of the protocol. */
static void
a_frontend_like_uml_is_served(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(VM0, which->features), right = suite_setup(VM1, which->features);
	struct pair pair;

	left.owner_first = right.owner_first = true;
	left.protocol = right.protocol = 0;
	left.features &= ~FRONTEND_BIT(FRONTEND_F_PROTOCOL);
	pair = pair_up(suite_attach(&left), suite_attach(&right));
	exchange(&pair);
	detach_pair(&pair);
}

static void
the_daemon_connects_to_a_frontend(const struct suite_case *which)
{
	struct frontend_setup left = suite_setup(CLIENT0, which->features);
	struct frontend_setup right = suite_setup(VM1, FRONTEND_BIT(VIRTIO_F_VERSION_1));
	struct pair pair;

	for (int i = 0; i < 2; i++) {
		pair = pair_up(suite_attach(&left), suite_attach(&right));
		pair.there.source = pair.back.target = CLIENT0;
		exchange(&pair);
		detach_pair(&pair);
	}
}

/* --- All of them --- */

#define VERSION_1 FRONTEND_BIT(VIRTIO_F_VERSION_1)
#define MERGEABLE FRONTEND_BIT(VIRTIO_NET_F_MRG_RXBUF)
#define EVENT_IDX FRONTEND_BIT(VIRTIO_RING_F_EVENT_IDX)

/* Once for each ring format, unless it is about split rings only. */
static const struct {
	struct suite_case one;
	bool split_only;
} specials[] = {
	{ { .name = "rings_go_on_from_where_they_were_stopped", .run = rings_go_on }, false },
	{ { .name = "rings_with_event_idx_go_on_from_where_they_were_stopped",
	    .run = rings_go_on,
	    .features = EVENT_IDX },
	  false },
	{ { .name = "frames_wait_in_a_ring_that_is_stopped", .run = frames_wait_in_a_stopped_ring }, false },
	{ { .name = "memory_moves_while_the_rings_are_stopped", .run = memory_moves }, false },
	{ { .name = "memory_is_plugged_while_the_rings_are_disabled", .run = memory_is_plugged }, false },
	{ { .name = "memory_is_plugged_while_frames_are_under_way", .run = memory_is_plugged_under_traffic }, false },
	{ { .name = "flows_spread_over_two_queues", .run = flows_spread_over_queues, .queue_pairs = 2 }, false },
	{ { .name = "flows_spread_over_four_queues", .run = flows_spread_over_queues, .queue_pairs = 4 }, false },
	{ { .name = "queues_come_and_go", .run = queues_come_and_go }, false },
	{ { .name = "written_pages_are_logged_and_no_others",
	    .run = written_pages_are_logged,
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_LOG_SHMFD) },
	  false },
	{ { .name = "written_pages_of_mergeable_buffers_are_logged",
	    .run = written_pages_are_logged,
	    .features = MERGEABLE,
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_LOG_SHMFD) },
	  false },
	{ { .name = "nothing_stays_in_flight",
	    .run = nothing_stays_in_flight,
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_INFLIGHT_SHMFD) },
	  false },
	{ { .name = "frames_that_were_in_flight_are_sent_once",
	    .run = frames_in_flight_are_sent,
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_INFLIGHT_SHMFD) },
	  true },
	{ { .name = "frames_that_another_device_left_in_flight_out_of_order_are_sent_once",
	    .run = frames_in_flight_out_of_order_are_sent,
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_INFLIGHT_SHMFD) },
	  true },
	{ { .name = "addresses_behind_an_iommu_are_translated",
	    .run = addresses_are_translated,
	    .features = FRONTEND_BIT(VIRTIO_F_ACCESS_PLATFORM),
	    .protocol = FRONTEND_BIT(FRONTEND_PROTOCOL_BACKEND_REQ) },
	  false },
	{ { .name = "calls_come_when_asked_for_by_flags", .run = calls_come_when_asked_for }, false },
	{ { .name = "calls_come_when_asked_for_by_index", .run = calls_come_when_asked_for, .features = EVENT_IDX },
	  false },
	{ { .name = "a_full_ring_takes_what_fits", .run = a_full_ring_takes_what_fits }, false },
	{ { .name = "a_frame_that_does_not_fit_harms_nobody", .run = a_frame_that_does_not_fit_harms_nobody }, false },
	{ { .name = "chained_receive_buffers_are_taken_for_chains", .run = chained_receive_buffers_are_chains },
	  false },
	{ { .name = "num_buffers_is_one_without_mergeable_buffers", .run = num_buffers_is_one }, false },
	{ { .name = "a_frontend_like_uml_is_served", .run = a_frontend_like_uml_is_served }, true },
	{ { .name = "the_daemon_connects_to_a_frontend", .run = the_daemon_connects_to_a_frontend }, false },
};

static void
add(const struct suite_case *special, uint64_t features, const char *format)
{
	struct suite_case one = *special;

	one.features |= VERSION_1 | features;
	snprintf(one.name, sizeof(one.name), "%.100s_on_%s_rings", special->name, format);
	suite_add(&one);
}

void
suite_add_special(void)
{
	for (size_t i = 0; i < DIM(specials); i++) {
		add(&specials[i].one, 0, "split");
		if (!specials[i].split_only)
			add(&specials[i].one, FRONTEND_BIT(VIRTIO_F_RING_PACKED), "packed");
	}
}
