/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that wait for full queues: who gets the places that come free, what is dropped, and that nothing is lost. The
 * receiver is a port that takes as many frames as the test says; senders are the ports before it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_malloc.h>

#include "core/backlog.h"
#include "testbed.h"

#define SENDERS_MAX 6
#define QUEUE_MAX 1023u /* buffers: a quarter of the testbed's pool */
#define FOREVER_S 1000	/* no test lives to see the end of it */
#define FOREVER_US (FOREVER_S * 1000000u)

struct rig {
	struct testbed *testbed;
	struct pv_worker *worker;
	struct pv_datapath *datapath;
	uint16_t receiver;
	uint32_t next[SENDERS_MAX];    /* number of the sender's next frame, */
	uint32_t seen[SENDERS_MAX];    /* and of the last one that arrived, plus 1 */
	uint64_t arrived[SENDERS_MAX]; /* frames */
	uint64_t bytes[SENDERS_MAX];   /* that arrived */
};

/* Written into a frame behind its Ethernet header. */
struct mark {
	uint32_t sender, number;
};

static struct rig
rig_with(const struct testbed_setup *given)
{
	struct testbed_setup setup = *given;
	struct rig rig = { .receiver = given->ports - 1 };

	setup.stages[0] = pv_stage_find("multi-context-demux");
	assert_non_null(setup.stages[0]);
	rig.testbed = testbed_new(&setup);
	assert_non_null(rig.testbed);
	rig.datapath = testbed_datapath(rig.testbed);
	rig.worker = rig.datapath->workers[0];
	rig.datapath->contexts.hold_us = FOREVER_US;
	pv_backlog_choose(rig.worker);
	assert_non_null(rig.worker->backlog);
	testbed_limit(rig.testbed, rig.receiver, 0);
	return rig;
}

static struct rig
rig(uint16_t senders)
{
	return rig_with(&(struct testbed_setup){ .ports = senders + 1 });
}

static struct pv_port *
port_of(struct rig *rig, uint16_t port)
{
	return rig->datapath->ports[port];
}

/* A frame of a sender on its way to a port; it leaves with the others at flush(). */
static void
send_to(struct rig *rig, uint16_t to, uint16_t sender, uint32_t bytes)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(rig->datapath->pool);
	struct mark mark = { .sender = sender, .number = rig->next[sender]++ };

	assert_non_null(packet);
	memset(rte_pktmbuf_append(packet, (uint16_t)bytes), 0, bytes);
	memcpy(rte_pktmbuf_mtod_offset(packet, void *, RTE_ETHER_HDR_LEN), &mark, sizeof(mark));
	packet->port = sender;
	pv_deliver(rig->worker, packet, to);
}

static void
flush(struct rig *rig)
{
	pv_drain(rig->worker);
}

static void
send_many(struct rig *rig, uint16_t sender, uint32_t count, uint32_t bytes)
{
	for (uint32_t i = 0; i < count; i++)
		send_to(rig, rig->receiver, sender, bytes);
	flush(rig);
}

/* Counts what has arrived; each sender's frames are in its order. */
static void
look(struct rig *rig)
{
	for (uint32_t i = 0; i < testbed_sent(rig->testbed, rig->receiver); i++) {
		const struct rte_mbuf *packet = testbed_packet(rig->testbed, rig->receiver, i);
		struct mark mark;

		memcpy(&mark, rte_pktmbuf_mtod_offset(packet, const void *, RTE_ETHER_HDR_LEN), sizeof(mark));
		assert_true(mark.number >= rig->seen[mark.sender]);
		rig->seen[mark.sender] = mark.number + 1;
		rig->arrived[mark.sender]++;
		rig->bytes[mark.sender] += packet->pkt_len;
	}
	testbed_clear(rig->testbed);
	testbed_limit(rig->testbed, rig->receiver, 0);
}

static uint32_t attempts; /* to give the receiver frames */
static const struct pv_port_ops *ops_of_receiver;

static uint16_t
count_attempt(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	attempts++;
	return ops_of_receiver->tx_burst(port, queue, packets, count);
}

/*
 * A round of the backlog in which the receiver is tried, if anything waits for it. On a machine that is slow, or busy
 * with something else, its attempts may have been dear by accident: then others have their turn for a moment.
 */
static uint32_t
run_backlog(struct rig *rig)
{
	struct pv_port_ops counting = { .tx_burst = count_attempt };
	struct pv_port *receiver = port_of(rig, rig->receiver);
	uint32_t left = 0;

	attempts = 0;
	ops_of_receiver = receiver->ops;
	receiver->ops = &counting;
	do {
		left += pv_backlog_run(rig->worker);
	} while (attempts == 0 && pv_backlog_waits(rig->worker, receiver, 0));
	receiver->ops = ops_of_receiver;
	return left;
}

/* Lets the receiver take so many frames. Returns how many left. */
static uint32_t
take(struct rig *rig, uint32_t frames)
{
	uint32_t left;

	testbed_limit(rig->testbed, rig->receiver, frames);
	left = run_backlog(rig);
	look(rig);
	return left;
}

static uint64_t
all_sent(const struct rig *rig)
{
	uint64_t sent = 0;

	for (uint16_t i = 0; i < SENDERS_MAX; i++)
		sent += rig->next[i];
	return sent;
}

static uint64_t
all_arrived(const struct rig *rig)
{
	uint64_t arrived = 0;

	for (uint16_t i = 0; i < SENDERS_MAX; i++)
		arrived += rig->arrived[i];
	return arrived;
}

/* What was sent has arrived, was dropped, or waits; who waits is known, and what the port counts is true. */
static void
assert_conserved(struct rig *rig)
{
	const struct pv_port_counters *counters = &rig->worker->ports[rig->receiver];
	uint64_t bytes = 0, waiting = 0;

	assert_int_equal(all_sent(rig),
			 all_arrived(rig) + testbed_all_drops(rig->testbed) + rig->worker->backlog->frames);
	for (uint16_t i = 0; i < SENDERS_MAX; i++) {
		bytes += rig->bytes[i];
		waiting += pv_backlog_waiting_of(rig->worker, i);
	}
	assert_int_equal(waiting, rig->worker->backlog->frames);
	assert_int_equal(counters->tx_packets, all_arrived(rig));
	assert_int_equal(counters->tx_bytes, bytes);
}

static void
end(struct rig *rig)
{
	while (take(rig, 512) > 0)
		;
	assert_true(pv_backlog_is_empty(rig->worker));
	assert_conserved(rig);
	for (uint16_t i = 0; i < rig->datapath->n_ports; i++)
		assert_int_equal(port_of(rig, i)->clogged_lanes, 0);
	testbed_free(rig->testbed);
}

static uint64_t
ring_full(struct rig *rig)
{
	return testbed_drops(rig->testbed, rig->receiver, PV_DROP_RING_FULL);
}

/* --- order and shares --------------------------------------------------------------------------------------------- */

static void
what_a_full_queue_does_not_take_is_sent_when_there_is_room(void **state)
{
	struct rig it = rig(1);

	testbed_limit(it.testbed, it.receiver, 3);
	send_many(&it, 0, 10, 100);
	assert_int_equal(testbed_sent(it.testbed, it.receiver), 3);
	look(&it);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 0), 7);
	assert_conserved(&it);
	assert_int_equal(take(&it, 0), 0);
	assert_int_equal(take(&it, 4), 4);
	assert_int_equal(take(&it, 100), 3);
	assert_int_equal(ring_full(&it), 0);
	assert_int_equal(it.worker->backlog->counters.kept, 7);
	end(&it);
}

static void
who_comes_later_does_not_overtake_though_there_is_room(void **state)
{
	struct rig it = rig(1);

	send_many(&it, 0, 5, 100);
	testbed_limit(it.testbed, it.receiver, 100);
	send_many(&it, 0, 5, 100);
	assert_int_equal(testbed_sent(it.testbed, it.receiver), 0);
	assert_int_equal(take(&it, 100), 10); /* look() sees their order */
	end(&it);
}

static void
a_round_tries_again(void **state)
{
	struct rig it = rig(1);

	send_many(&it, 0, 5, 100);
	testbed_limit(it.testbed, it.receiver, 100);
	assert_int_equal(pv_worker_round(it.worker), 5);
	look(&it);
	assert_int_equal(pv_worker_round(it.worker), 0);
	end(&it);
}

static void
a_flooding_sender_does_not_push_another_below_its_share(void **state)
{
	struct rig it = rig(2);

	for (int round = 0; round < 500; round++) {
		send_many(&it, 0, 60, 1000);
		send_many(&it, 1, 10, 1000);
		take(&it, 20);
		assert_conserved(&it);
	}
	assert_in_range(it.next[1] - it.arrived[1], 0, 64);
	assert_int_equal(it.next[1], it.arrived[1] + pv_backlog_waiting_of(it.worker, 1)); /* none was dropped */
	end(&it);
}

/* Keeps every sender waiting, and has the receiver take a few frames at a time. */
static void
contend(struct rig *rig, uint16_t senders, const uint32_t *bytes, uint32_t rounds)
{
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint16_t i = 0; i < senders; i++)
			while (pv_backlog_waiting_of(rig->worker, i) < 150)
				send_many(rig, i, 10, bytes[i]);
		take(rig, 1 + round % 13);
	}
}

static void
senders_of_equal_weight_share_bytes_whatever_the_size_of_their_frames(void **state)
{
	static const uint32_t bytes[] = { 1514, 100, 600 };
	struct rig it = rig(3);

	it.datapath->contexts.quantum = 2048;
	contend(&it, 3, bytes, 4000);
	for (uint16_t i = 1; i < 3; i++)
		assert_in_range(it.bytes[i] * 100 / it.bytes[0], 97, 103);
	end(&it);
}

static void
senders_share_by_weight(void **state)
{
	static const uint32_t bytes[] = { 1000, 300, 1514 };
	struct rig it = rig(3);

	it.datapath->contexts.quantum = 1518;
	port_of(&it, 1)->weight = 2;
	port_of(&it, 2)->weight = 5;
	contend(&it, 3, bytes, 6000);
	assert_in_range(it.bytes[1] * 100 / it.bytes[0], 2 * 97, 2 * 103);
	assert_in_range(it.bytes[2] * 100 / it.bytes[0], 5 * 97, 5 * 103);
	end(&it);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void
a_sender_alone_may_fill_the_queues_limit_and_loses_its_newest_beyond(void **state)
{
	struct rig it = rig(1);

	send_many(&it, 0, 1100, 60);
	assert_int_equal(it.worker->backlog->frames, QUEUE_MAX);
	assert_int_equal(ring_full(&it), 1100 - QUEUE_MAX);
	assert_int_equal(it.worker->backlog->counters.refused, 1100 - QUEUE_MAX);
	take(&it, 1000);
	assert_int_equal(it.seen[0], 1000);
	end(&it);
}

static void
who_is_greediest_loses_when_another_comes(void **state)
{
	struct rig it = rig(2);

	send_many(&it, 0, QUEUE_MAX, 60);
	send_many(&it, 1, 100, 60);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 1), 100);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 0), QUEUE_MAX - 100);
	assert_int_equal(it.worker->backlog->counters.displaced, 100);
	send_many(&it, 0, 10, 60); /* it has more than its part: its own newest go */
	assert_int_equal(pv_backlog_waiting_of(it.worker, 0), QUEUE_MAX - 100);
	send_many(&it, 1, 600, 60);
	assert_in_range(pv_backlog_waiting_of(it.worker, 1), QUEUE_MAX / 2 - 1, QUEUE_MAX / 2 + 1);
	assert_in_range(pv_backlog_waiting_of(it.worker, 0), QUEUE_MAX / 2 - 1, QUEUE_MAX / 2 + 1);
	end(&it);
}

static void
all_queues_together_have_no_more_than_their_share_of_the_pool(void **state)
{
	struct rig it = rig(4);

	for (uint16_t to = 1; to < 4; to++)
		testbed_limit(it.testbed, to, 0);
	for (uint16_t to = 1; to < 4; to++) {
		for (int i = 0; i < 600; i++)
			send_to(&it, to, 0, 60);
		flush(&it);
	}
	assert_int_equal(it.worker->backlog->frames, QUEUE_MAX);
	assert_int_equal(rte_mempool_in_use_count(it.datapath->pool), QUEUE_MAX);
	assert_true(it.worker->backlog->counters.displaced > 0); /* the third queue took from the first */
	send_many(&it, 1, 50, 60);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 1), 50);
	assert_int_equal(it.worker->backlog->frames, QUEUE_MAX);
	assert_conserved(&it);
	for (uint16_t to = 1; to < 4; to++)
		pv_backlog_forget_port(it.worker, to);
	end(&it);
}

/* Of the frames that wait for these, all are in a next burst. */
static void
receivers_that_take_nothing_do_not_have_all_of_that_share(void **state)
{
	struct rig it = rig(19);

	for (uint16_t to = 2; to < 18; to++) {
		testbed_limit(it.testbed, to, 0);
		for (int i = 0; i < PV_BURST_MAX; i++)
			send_to(&it, to, 0, 60);
		flush(&it);
		pv_backlog_run(it.worker);
	}
	assert_in_range(it.worker->backlog->frames, QUEUE_MAX - 1, QUEUE_MAX);
	send_many(&it, 1, 50, 60);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 1), 50);
	assert_true(it.worker->backlog->frames <= QUEUE_MAX);
	assert_int_equal(take(&it, 50), 50);
	assert_int_equal(it.arrived[1], 50);
	for (uint16_t to = 2; to < 18; to++)
		pv_backlog_forget_port(it.worker, to);
	end(&it);
}

static void
a_frame_that_has_waited_for_too_long_is_dropped(void **state)
{
	struct rig it = rig(2);
	uint32_t dropped;

	it.datapath->contexts.hold_us = 20000;
	pv_backlog_choose(it.worker);
	send_many(&it, 0, 100, 60);
	send_many(&it, 1, 5, 60);
	dropped = take(&it, 0); /* a burst is chosen now; it is late already if the machine has paused us */
	rte_delay_us_block(25000);
	it.datapath->contexts.hold_us = FOREVER_US;
	pv_backlog_choose(it.worker);
	send_many(&it, 1, 7, 60);
	dropped += take(&it, 0);
	assert_int_equal(dropped, 105);
	assert_int_equal(ring_full(&it), 105);
	assert_int_equal(it.worker->backlog->counters.expired, 105);
	assert_int_equal(pv_backlog_waiting_of(it.worker, 1), 7);
	assert_int_equal(take(&it, 100), 7);
	end(&it);
}

/* --- receivers that cost time ------------------------------------------------------------------------------------- */

#define SLOW_US 20

static uint32_t slow_attempts;

/* Takes nothing, and takes its time, as where there are many small buffers, and too few. */
static uint16_t
slow_tx(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	slow_attempts++;
	rte_delay_us_block(SLOW_US);
	return 0;
}

static void
receivers_that_cost_time_have_a_small_part_of_it_together(void **state)
{
	const struct pv_port_ops slow = { .tx_burst = slow_tx }, *ops;
	struct rig it = rig(5);
	uint64_t start, all;

	ops = port_of(&it, 2)->ops;
	for (uint16_t to = 2; to < 5; to++) {
		testbed_limit(it.testbed, to, 0);
		send_to(&it, to, 0, 60);
		flush(&it);
		port_of(&it, to)->ops = &slow;
	}
	slow_attempts = 0;
	start = rte_rdtsc();
	for (all = 0; all < rte_get_tsc_hz() / 20 || slow_attempts < 6; all = rte_rdtsc() - start) {
		send_many(&it, 1, 1, 60);
		assert_in_range(take(&it, 1), 0, 1); /* the other receiver's is sent at once */
		assert_int_equal(it.arrived[1], it.next[1]);
	}
	assert_in_range(slow_attempts, 6, 9 + all * 1000000 / rte_get_tsc_hz() / SLOW_US / 16);
	for (uint16_t to = 2; to < 5; to++)
		port_of(&it, to)->ops = ops;
	for (uint16_t to = 2; to < 5; to++)
		pv_backlog_forget_port(it.worker, to);
	end(&it);
}

/* --- backpressure ------------------------------------------------------------------------------------------------- */

static void
a_guest_with_more_than_a_burst_waiting_is_blocked_until_its_lane_is_shorter(void **state)
{
	struct rig it = rig(2);

	it.datapath->contexts.backpressure_us = FOREVER_US;
	pv_backlog_choose(it.worker);
	send_many(&it, 0, PV_BURST_MAX, 60);
	assert_false(pv_backlog_blocks(port_of(&it, 0), rte_rdtsc()));
	send_many(&it, 0, PV_BURST_MAX + 1, 60);
	assert_true(pv_backlog_blocks(port_of(&it, 0), rte_rdtsc()));
	assert_false(pv_backlog_blocks(port_of(&it, 1), rte_rdtsc()));
	take(&it, 0); /* a burst is out of its lane */
	assert_true(pv_backlog_blocks(port_of(&it, 0), rte_rdtsc()));
	take(&it, 1); /* one more */
	assert_false(pv_backlog_blocks(port_of(&it, 0), rte_rdtsc()));
	end(&it);
}

static void
a_guest_is_blocked_no_longer_than_backpressure_us_at_once(void **state)
{
	struct rig it = rig(1);
	uint64_t now;

	it.datapath->contexts.backpressure_us = FOREVER_US;
	pv_backlog_choose(it.worker);
	send_many(&it, 0, 2 * PV_BURST_MAX, 60);
	now = rte_rdtsc();
	assert_true(pv_backlog_blocks(port_of(&it, 0), now));
	assert_false(pv_backlog_blocks(port_of(&it, 0), now + FOREVER_S * rte_get_tsc_hz()));
	end(&it);
}

static void
a_receiver_that_takes_nothing_has_nobody_blocked_for_long(void **state)
{
	struct rig it = rig(2);
	uint64_t before;

	it.datapath->contexts.backpressure_us = 1000;
	pv_backlog_choose(it.worker);
	send_many(&it, 0, 2 * PV_BURST_MAX, 60);
	for (int i = 0; i < 3; i++) {
		rte_delay_us_block(1500);
		before = rte_rdtsc();
		send_many(&it, 0, 1, 60);
		assert_int_equal(take(&it, 0), 0);
		assert_true(port_of(&it, 0)->clogged_lanes > 0);
		assert_true(port_of(&it, 0)->blocked_until <= before);
	}
	take(&it, 1);
	send_many(&it, 0, PV_BURST_MAX, 60);
	assert_true(port_of(&it, 0)->blocked_until > before);
	end(&it);
}

static void
a_wire_is_never_blocked(void **state)
{
	struct rig it = rig_with(&(struct testbed_setup){ .ports = 2, .wires = 1 });

	send_many(&it, 0, 500, 60);
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 0);
	assert_false(pv_backlog_blocks(port_of(&it, 0), rte_rdtsc()));
	end(&it);
}

/* --- ports that come and go --------------------------------------------------------------------------------------- */

static uint64_t
port_down(struct rig *rig)
{
	return testbed_drops(rig->testbed, rig->receiver, PV_DROP_PORT_DOWN);
}

static void
nothing_waits_for_a_port_that_is_down(void **state)
{
	struct rig it = rig(2);
	struct pv_port *receiver = port_of(&it, it.receiver);

	send_many(&it, 0, 100, 60);
	take(&it, 0);
	receiver->up = false;
	assert_int_equal(take(&it, 100), 100);
	assert_int_equal(port_down(&it), 100);
	assert_int_equal(it.arrived[0], 0);
	send_many(&it, 1, 3, 60);
	assert_int_equal(port_down(&it), 103);
	end(&it);
}

static void
the_next_guest_is_not_given_what_waited_for_the_one_before(void **state)
{
	struct rig it = rig(1);
	struct pv_port *receiver = port_of(&it, it.receiver);

	send_many(&it, 0, 100, 60);
	receiver->set_up(receiver, false);
	receiver->set_up(receiver, true);
	send_many(&it, 0, 5, 60); /* to the next one */
	assert_int_equal(take(&it, 100), 5);
	assert_int_equal(port_down(&it), 100);
	send_many(&it, 0, 100, 60);
	receiver->set_up(receiver, false);
	receiver->set_up(receiver, true);
	assert_int_equal(take(&it, 100), 100);
	assert_int_equal(port_down(&it), 200);
	assert_int_equal(it.arrived[0], 5);
	end(&it);
}

static void
a_port_that_is_forgotten_is_not_referred_to(void **state)
{
	struct rig it = rig(2);

	send_many(&it, 0, 200, 60);
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 1);
	pv_backlog_forget_port(it.worker, 0); /* as a sender */
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 0);
	assert_int_equal(take(&it, 50), 50);
	send_many(&it, 0, 1, 60); /* it is there again */
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 1);
	pv_backlog_forget_port(it.worker, it.receiver);
	assert_int_equal(port_down(&it), 151);
	assert_true(pv_backlog_is_empty(it.worker));
	end(&it);
}

static void
what_waits_goes_with_its_queue_to_another_worker(void **state)
{
	struct rig it = rig_with(&(struct testbed_setup){ .ports = 3, .workers = 2 });
	struct pv_worker *other = it.datapath->workers[1];
	struct pv_port *receiver = port_of(&it, it.receiver);

	assert_int_equal(receiver->owner[0], 0);
	send_many(&it, 0, 150, 60);
	send_many(&it, 1, 20, 60);
	take(&it, 10);
	pv_backlog_move(it.worker, other, receiver, 0);
	receiver->owner[0] = 1;
	assert_true(pv_backlog_is_empty(it.worker));
	assert_int_equal(other->backlog->frames, 160);
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 1);
	testbed_limit(it.testbed, it.receiver, 200);
	assert_int_equal(pv_backlog_run(other), 160);
	look(&it);
	assert_int_equal(it.arrived[0], 150);
	assert_int_equal(it.arrived[1], 20);
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 0);
	testbed_free(it.testbed);
}

static void
a_queue_that_is_another_workers_is_not_touched(void **state)
{
	struct rig it = rig_with(&(struct testbed_setup){ .ports = 3, .workers = 2 });

	send_many(&it, 0, 5, 60);
	port_of(&it, it.receiver)->owner[0] = 1;
	take(&it, 100);
	assert_int_equal(it.arrived[0], 0);
	assert_int_equal(ring_full(&it), 5);
	end(&it);
}

static void
without_contexts_nothing_waits(void **state)
{
	struct rig it = rig(1);
	const struct pv_multiplexing *contexts = it.datapath->multiplexing;
	struct pv_multiplexing bridge = *contexts;

	send_many(&it, 0, 100, 60);
	bridge.contexts = NULL;
	it.datapath->multiplexing = &bridge;
	pv_backlog_choose(it.worker);
	assert_null(it.worker->backlog);
	assert_int_equal(ring_full(&it), 100);
	send_many(&it, 0, 10, 60);
	assert_int_equal(ring_full(&it), 110);
	it.datapath->multiplexing = contexts;
	pv_backlog_choose(it.worker);
	assert_non_null(it.worker->backlog);
	end(&it);
}

static void
a_worker_that_ends_frees_what_waits(void **state)
{
	struct rig it = rig(2);

	send_many(&it, 0, 100, 60);
	send_many(&it, 1, 10, 60);
	take(&it, 5);
	pv_backlog_free(it.worker->backlog);
	it.worker->backlog = NULL;
	assert_int_equal(port_of(&it, 0)->clogged_lanes, 0);
	testbed_free(it.testbed); /* looks at the pool */
}

/* --- the memory of guests ----------------------------------------------------------------------------------------- */

#define REST 1000

static unsigned int given_back;

static void
give_back(void *buffer, void *opaque)
{
	given_back++;
}

/* A frame whose payload is a guest's memory; its first buffer has room for a copy of that, or none. */
static void
send_shared(struct rig *rig, uint8_t *memory, struct rte_mbuf_ext_shared_info *shared, bool room)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(rig->datapath->pool);
	struct rte_mbuf *rest = rte_pktmbuf_alloc(rig->datapath->pool);
	struct mark mark = { .sender = 0, .number = rig->next[0]++ };

	assert_non_null(packet);
	assert_non_null(rest);
	if (!room)
		packet->data_off = (uint16_t)(packet->buf_len - 128);
	memset(rte_pktmbuf_append(packet, 128), 0, 128);
	memcpy(rte_pktmbuf_mtod_offset(packet, void *, RTE_ETHER_HDR_LEN), &mark, sizeof(mark));
	rte_pktmbuf_attach_extbuf(rest, memory, RTE_BAD_IOVA, REST, shared);
	rest->data_len = REST;
	rest->pkt_len = REST;
	assert_int_equal(rte_pktmbuf_chain(packet, rest), 0);
	packet->port = 0;
	pv_deliver(rig->worker, packet, rig->receiver);
	flush(rig);
}

static void
check_copy(bool room)
{
	struct rig it = rig(1);
	struct rte_mbuf_ext_shared_info shared = { .free_cb = give_back };
	uint8_t memory[REST], bytes[128 + REST];
	const uint8_t *found;

	port_of(&it, it.receiver)->copies = true;
	given_back = 0;
	rte_mbuf_ext_refcnt_set(&shared, 1);
	memset(memory, 0x5a, sizeof(memory));
	send_shared(&it, memory, &shared, room);
	assert_int_equal(given_back, 1);
	memset(memory, 0, sizeof(memory));
	testbed_limit(it.testbed, it.receiver, 1);
	assert_int_equal(pv_backlog_run(it.worker), 1);
	found = rte_pktmbuf_read(testbed_packet(it.testbed, it.receiver, 0), 0, sizeof(bytes), bytes);
	assert_non_null(found);
	for (uint32_t i = 128; i < sizeof(bytes); i++)
		assert_int_equal(found[i], 0x5a);
	look(&it);
	end(&it);
}

static void
a_frame_that_waits_does_not_refer_to_a_guests_memory(void **state)
{
	check_copy(true);
	check_copy(false);
}

static void
without_buffers_for_a_copy_such_a_frame_is_dropped(void **state)
{
	static struct rte_mbuf *all[4096];
	struct rig it = rig(1);
	struct rte_mbuf_ext_shared_info shared = { .free_cb = give_back };
	uint8_t memory[REST];
	unsigned int n = rte_mempool_avail_count(it.datapath->pool) - 2; /* but those of the frame */

	port_of(&it, it.receiver)->copies = true;
	given_back = 0;
	rte_mbuf_ext_refcnt_set(&shared, 1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(it.datapath->pool, all, n), 0);
	send_shared(&it, memory, &shared, false);
	assert_int_equal(given_back, 1);
	assert_int_equal(testbed_drops(it.testbed, it.receiver, PV_DROP_NO_BUFFER), 1);
	assert_true(pv_backlog_is_empty(it.worker));
	rte_pktmbuf_free_bulk(all, n);
	end(&it);
}

/* --- anything ----------------------------------------------------------------------------------------------------- */

static void
do_something(struct rig *rig, uint32_t senders)
{
	uint16_t sender = (uint16_t)((unsigned int)rand() % senders);

	switch (rand() % 16) {
	case 0:
		port_of(rig, rig->receiver)->up = !port_of(rig, rig->receiver)->up;
		break;
	case 1:
		port_of(rig, rig->receiver)->times_up++;
		break;
	case 2:
		pv_backlog_forget_port(rig->worker, sender);
		break;
	case 3:
		port_of(rig, sender)->weight = (uint32_t)rand() % 10;
		break;
	case 4:
		if (rand() % 8 == 0)
			pv_backlog_forget_port(rig->worker, rig->receiver);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		take(rig, (uint32_t)rand() % 100);
		break;
	default:
		send_many(rig, sender, (uint32_t)rand() % 90, 60 + (uint32_t)rand() % 1454);
	}
}

static void
every_frame_is_sent_or_dropped_or_waits_whatever_happens(void **state)
{
	for (unsigned int seed = 1; seed <= 20; seed++) {
		struct rig it = rig(SENDERS_MAX);

		srand(seed);
		it.datapath->contexts.hold_us = 300;
		it.datapath->contexts.quantum = 1518 << seed % 5;
		pv_backlog_choose(it.worker);
		for (int i = 0; i < 2000; i++) {
			do_something(&it, SENDERS_MAX);
			look(&it);
			assert_conserved(&it);
			assert_in_range(it.worker->backlog->frames, 0, QUEUE_MAX);
			assert_int_equal(rte_mempool_in_use_count(it.datapath->pool), it.worker->backlog->frames);
		}
		end(&it);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_full_queue_does_not_take_is_sent_when_there_is_room),
		cmocka_unit_test(who_comes_later_does_not_overtake_though_there_is_room),
		cmocka_unit_test(a_round_tries_again),
		cmocka_unit_test(a_flooding_sender_does_not_push_another_below_its_share),
		cmocka_unit_test(senders_of_equal_weight_share_bytes_whatever_the_size_of_their_frames),
		cmocka_unit_test(senders_share_by_weight),
		cmocka_unit_test(a_sender_alone_may_fill_the_queues_limit_and_loses_its_newest_beyond),
		cmocka_unit_test(who_is_greediest_loses_when_another_comes),
		cmocka_unit_test(all_queues_together_have_no_more_than_their_share_of_the_pool),
		cmocka_unit_test(receivers_that_take_nothing_do_not_have_all_of_that_share),
		cmocka_unit_test(a_frame_that_has_waited_for_too_long_is_dropped),
		cmocka_unit_test(receivers_that_cost_time_have_a_small_part_of_it_together),
		cmocka_unit_test(a_guest_with_more_than_a_burst_waiting_is_blocked_until_its_lane_is_shorter),
		cmocka_unit_test(a_guest_is_blocked_no_longer_than_backpressure_us_at_once),
		cmocka_unit_test(a_receiver_that_takes_nothing_has_nobody_blocked_for_long),
		cmocka_unit_test(a_wire_is_never_blocked),
		cmocka_unit_test(nothing_waits_for_a_port_that_is_down),
		cmocka_unit_test(the_next_guest_is_not_given_what_waited_for_the_one_before),
		cmocka_unit_test(a_port_that_is_forgotten_is_not_referred_to),
		cmocka_unit_test(what_waits_goes_with_its_queue_to_another_worker),
		cmocka_unit_test(a_queue_that_is_another_workers_is_not_touched),
		cmocka_unit_test(without_contexts_nothing_waits),
		cmocka_unit_test(a_worker_that_ends_frees_what_waits),
		cmocka_unit_test(a_frame_that_waits_does_not_refer_to_a_guests_memory),
		cmocka_unit_test(without_buffers_for_a_copy_such_a_frame_is_dropped),
		cmocka_unit_test(every_frame_is_sent_or_dropped_or_waits_whatever_happens),
	};

	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
