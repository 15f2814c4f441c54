/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The specialized packet path does what the generic one does. The same random traffic and the same random changes of
 * everything that a template is made from are run over one data path twice, and whatever can be seen from outside is
 * written down: packets out of each port with bytes and order, counters, drops by reason, the switching table with its
 * ages. Both records must be equal. Other tests look at single templates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_ether.h>

#include "core/backlog.h"
#include "core/path.h"
#include "core/worker_stages.h"
#include "known_random.h"
#include "testbed.h"

#define A "52:54:00:00:00:0a"
#define B "52:54:00:00:00:0b"
#define C "52:54:00:00:00:0c"
#define D "52:54:00:00:00:0d"
#define BROADCAST "ff:ff:ff:ff:ff:ff"

#define START_S 1000u /* time of the tests begins here, whatever the clock says */

/* Instead of the library's: so that each table spreads its keys as it did the last time. */
ssize_t
getrandom(void *buffer, size_t length, unsigned int flags)
{
	return known_random(buffer, length);
}

/* --- the two paths ------------------------------------------------------------------------------------------------ */

struct way {
	uint64_t options[2];
};

static void
go_specialized(struct pv_datapath *datapath, struct way *way, const char *key, unsigned int templates)
{
	const struct pv_stage *stage = pv_stage_find("specialization");
	const struct pv_implementation *wanted = pv_implementation_find(PV_PRIMITIVE_PACKET_PATH, "specialized");
	struct pv_diag *diag = pv_diag_new("test", "");
	json_t *json = json_pack("{s:s, s:i}", "key", key, "templates", (int)templates);

	assert_true(stage->options_size <= sizeof(way->options));
	pv_options_init(stage->options, way->options);
	pv_options_parse(stage->options, way->options, json, "", NULL, diag);
	assert_int_equal(pv_diag_count(diag), 0);
	pv_diag_free(diag);
	json_decref(json);
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		assert_int_equal(pv_path_bind(datapath->workers[i], wanted->ops, way->options), 0);
}

static void
go_generic(struct pv_datapath *datapath)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		assert_int_equal(pv_path_bind(datapath->workers[i], &pv_path_generic, NULL), 0);
}

static struct pv_template_counters *
templates_of(struct testbed *testbed)
{
	return &testbed_datapath(testbed)->workers[0]->counters.templates;
}

static struct testbed *
new_specialized(const struct testbed_setup *setup, const char *key)
{
	struct testbed *testbed = testbed_new(setup);
	struct way way;

	go_specialized(testbed_datapath(testbed), &way, key, 64);
	return testbed;
}

/* A checksum of bytes that go on from `sum` (FNV-1a). */
static uint32_t
checksum(const void *bytes, size_t length, uint32_t sum)
{
	for (const uint8_t *byte = bytes; length > 0; length--)
		sum = (sum ^ *byte++) * 16777619u;
	return sum;
}

/* --- a stage that decides ----------------------------------------------------------------------------------------- */

static uint32_t salt;	    /* of its decisions: when it changes, they all do */
static bool looks_at_flows; /* they depend on addresses and ports of IP, too */
static bool restless;	    /* some packets change the salt */

static const struct pv_drop_reason whims[] = { { "whim", "it was decided so" }, { NULL, NULL } };

static bool
is_plain_ipv4(const struct rte_mbuf *packet)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);

	return packet->data_len >= 38 && frame[12] == 0x08 && frame[13] == 0 && frame[14] == 0x45 &&
	       (frame[20] & 0x3f) == 0 && frame[21] == 0 && (frame[23] == 6 || frame[23] == 17);
}

/* Something that is the same for all packets that are alike. */
static uint32_t
mark_of(const struct rte_mbuf *packet, enum pv_hook hook)
{
	const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
	uint32_t mark = checksum(frame, 12, salt + hook * 7919u + packet->port * 104729u);

	if (looks_at_flows && is_plain_ipv4(packet))
		mark = checksum(frame + 26, 12, mark);
	return mark >> 12;
}

/*
 * The seventh address of the random traffic instead of the destination, another IP address of the sender, or something
 * that some packets are too short for.
 */
static struct pv_decision
decide_at_whim(struct pv_stage_self *self, enum pv_hook hook, enum pv_likeness likeness, const struct rte_mbuf *packet)
{
	uint32_t mark = mark_of(packet, hook);

	if (looks_at_flows && likeness != PV_LIKE_FLOW)
		return (struct pv_decision){ .verdict = PV_VERDICT_LOOK };
	if (mark % 16 == 0)
		return (struct pv_decision){ .verdict = PV_VERDICT_DROP, .reason = 0 };
	if (mark % 16 == 1)
		return (struct pv_decision){ .verdict = PV_VERDICT_LOOK };
	if (mark % 16 < 4)
		return (struct pv_decision){ .verdict = PV_VERDICT_REWRITE,
					     .length = 6,
					     .bytes = { 0x52, 0x54, 0, 0, 0, 7 } };
	if (mark % 16 == 4 && looks_at_flows && is_plain_ipv4(packet))
		return (struct pv_decision){
			.verdict = PV_VERDICT_REWRITE, .offset = 26, .length = 4, .bytes = { 10, 9, 8, 7 }
		};
	if (mark % 16 == 5)
		return (struct pv_decision){ .verdict = PV_VERDICT_REWRITE, .offset = 12, .length = 8 };
	return (struct pv_decision){ .verdict = PV_VERDICT_PASS };
}

static void
do_at_whim(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		const struct pv_decision decision = decide_at_whim(self, run->hook, PV_LIKE_FLOW, packets[i]);
		bool too_short = decision.offset + decision.length > packets[i]->data_len;
		char *frame = rte_pktmbuf_mtod(packets[i], char *);

		if (decision.verdict == PV_VERDICT_REWRITE && !too_short)
			memcpy(frame + decision.offset, decision.bytes, decision.length);
		if (decision.verdict == PV_VERDICT_DROP || too_short ||
		    (decision.verdict == PV_VERDICT_LOOK && packets[i]->pkt_len % 3 == 0))
			pv_stage_drop(run, packets[i], 0);
		else
			pv_emit(run, packets[i]);
		if (restless && decision.verdict == PV_VERDICT_LOOK) {
			salt = salt * 7 + 1;
			pv_stage_changed(self);
		}
	}
}

static const struct pv_stage whimsical = {
	.name = "whimsical",
	.summary = "decides by addresses, ports and a salt",
	.source = "test",
	.hooks = PV_HOOKS_INGRESS | PV_HOOKS_EGRESS,
	.drops = whims,
	.process = do_at_whim,
	.decide = decide_at_whim,
};
static const struct pv_stage whimsical_at_ingress = {
	.name = "whimsical-at-ingress",
	.summary = "the same, before the switch",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.drops = whims,
	.process = do_at_whim,
	.decide = decide_at_whim,
};

/* Passes everything, or nothing. */
static bool is_content = true;

static struct pv_decision
decide_content(struct pv_stage_self *self, enum pv_hook hook, enum pv_likeness likeness, const struct rte_mbuf *packet)
{
	return (struct pv_decision){ .verdict = is_content ? PV_VERDICT_PASS : PV_VERDICT_DROP };
}

static void
pass_or_drop(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		if (is_content)
			pv_emit(run, packets[i]);
		else
			pv_stage_drop(run, packets[i], 0);
	}
}

static const struct pv_stage content = {
	.name = "content",
	.summary = "passes",
	.source = "test",
	.hooks = PV_HOOKS_INGRESS | PV_HOOKS_EGRESS,
	.drops = whims,
	.process = pass_or_drop,
	.decide = decide_content,
};

/* Drops frames of odd length to guests, and changes its mind about nothing. It does not decide. */
static void
drop_odd(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		if (packets[i]->pkt_len % 2 != 0)
			pv_stage_drop(run, packets[i], 0);
		else
			pv_emit(run, packets[i]);
	}
}

static const struct pv_stage odd_at_egress = {
	.name = "odd-at-egress",
	.summary = "drops",
	.source = "test",
	.hooks = PV_HOOK_BIT(PV_HOOK_TO_GUEST),
	.drops = whims,
	.process = drop_odd,
};

/* --- what is written down ----------------------------------------------------------------------------------------- */

struct record {
	char *text;
	size_t size;
	FILE *out;
};

static void
open_record(struct record *record)
{
	record->out = open_memstream(&record->text, &record->size);
	assert_non_null(record->out);
}

static void
write_packet(FILE *out, const struct rte_mbuf *packet, uint16_t queue)
{
	uint32_t sum = 1;

	for (const struct rte_mbuf *segment = packet; segment != NULL; segment = segment->next)
		sum = checksum(rte_pktmbuf_mtod(segment, const void *), segment->data_len, sum);
	fprintf(out, " %u:%u:%08x", queue, packet->pkt_len, sum);
}

static void
write_port(struct testbed *testbed, FILE *out, uint16_t port)
{
	const struct pv_datapath *datapath = testbed_datapath(testbed);

	fprintf(out, " port %u:", port);
	for (uint32_t i = 0; i < testbed_sent(testbed, port); i++)
		write_packet(out, testbed_packet(testbed, port, i), testbed_packet_queue(testbed, port, i));
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		const struct pv_port_counters *c = &datapath->workers[i]->ports[port];

		fprintf(out, "\n  worker %u rx %lu/%lu tx %lu/%lu drops", i, c->rx_packets, c->rx_bytes, c->tx_packets,
			c->tx_bytes);
		for (uint16_t reason = 0; reason < pv_drop_count(); reason++)
			if (c->drops[reason] > 0)
				fprintf(out, " %s %lu", pv_drop_name(reason), c->drops[reason]);
	}
	fprintf(out, "\n");
}

/* All but the calls of stages, which templates save, and how often learning was refused: once a burst, not a packet. */
static void
write_stages(const struct pv_datapath *datapath, FILE *out)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		const struct pv_worker *worker = datapath->workers[i];

		fprintf(out, " worker %u packets %lu handed %lu flooded %lu\n", i, worker->counters.packets,
			worker->counters.handed_over, worker->counters.flooded);
		for (uint16_t j = 0; j < worker->packet_stages.n; j++) {
			const struct pv_stage_self *self = &worker->packet_stages.stages[j];

			fprintf(out, "  %s in %lu out %lu dropped %lu\n", self->stage->name, self->counters.packets,
				self->counters.emitted, self->counters.dropped);
		}
	}
}

static void
write_table(const struct pv_datapath *datapath, uint32_t now_s, FILE *out)
{
	static struct pv_fdb_address addresses[2048];
	size_t n = pv_fdb_list(datapath->fdb, addresses, RTE_DIM(addresses), now_s);
	uint32_t sum = 1;

	assert_true(n <= RTE_DIM(addresses));
	for (size_t i = 0; i < n; i++) {
		sum = checksum(addresses[i].mac, 6, sum);
		sum = checksum(&addresses[i].port, sizeof(addresses[i].port), sum);
		sum = checksum(&addresses[i].age_s, sizeof(addresses[i].age_s), sum);
	}
	fprintf(out, " table %zu %08x\n", n, sum);
}

/* --- random traffic ----------------------------------------------------------------------------------------------- */

struct script {
	struct testbed_setup setup;
	const char *key;
	unsigned int seed, steps;
	uint16_t addresses;
	unsigned int templates;
	bool changes_stages;	/* stages come and go */
	uint32_t hits_at_least; /* of a thousand packets, else nothing was tested */
};

struct play {
	const struct script *script;
	struct testbed *testbed;
	struct pv_datapath *datapath;
	unsigned int seed;
	uint32_t now_s;
	uint32_t packets;
	bool down[PV_PORTS_MAX];
	FILE *out;
};

static uint32_t
pick(struct play *play, uint32_t n)
{
	return (uint32_t)rand_r(&play->seed) % n;
}

static bool
happens(struct play *play, uint32_t in)
{
	return pick(play, in) == 0;
}

static void
put_address(uint8_t *at, uint32_t number)
{
	const uint8_t bytes[6] = { 0x52, 0x54, 0, 0, (uint8_t)(number >> 8), (uint8_t)number };

	memcpy(at, bytes, sizeof(bytes));
}

static void
put_destination(struct play *play, uint8_t *at)
{
	memset(at, 0xff, 6);
	if (!happens(play, 25))
		put_address(at, pick(play, play->script->addresses));
	else if (happens(play, 4))
		memcpy(at, (const uint8_t[6]){ 0x01, 0x80, 0xc2, 0, 0, (uint8_t)pick(play, 20) }, 6);
	else if (happens(play, 3))
		memcpy(at, (const uint8_t[6]){ 0x01, 0, 0x5e, 0, 0, 1 }, 6);
}

/* Address i mostly speaks at port i modulo ports. */
static void
put_source(struct play *play, uint8_t *at, uint16_t port)
{
	uint32_t ports = play->script->setup.ports, number = pick(play, play->script->addresses);

	if (!happens(play, 40))
		number = RTE_MIN(number / ports * ports + port, play->script->addresses - 1u);
	put_address(at, number);
	if (happens(play, 200))
		memset(at, happens(play, 2) ? 0xff : 0, 6);
}

static void
put_payload(struct play *play, uint8_t *at)
{
	static const uint8_t types[][2] = {
		{ 0x08, 0x00 }, { 0x08, 0x00 }, { 0x86, 0xdd }, { 0x81, 0x00 }, { 0x08, 0x06 }
	};
	static const uint8_t protocols[] = { 6, 17, 1, 0, 44 };
	uint32_t type = pick(play, RTE_DIM(types));

	memcpy(at, types[type], 2);
	memset(at + 2, 0, 50);
	if (at[0] == 0x08 && at[1] == 0) {
		at[2] = happens(play, 5) ? 0x46 : 0x45;
		at[8] = happens(play, 5) ? 0x20 : 0;
		at[11] = protocols[pick(play, 3)];
		at[21] = (uint8_t)pick(play, 2);
		at[23] = (uint8_t)pick(play, 2);
	} else if (at[0] == 0x86) {
		at[2] = 0x60;
		at[8] = protocols[pick(play, RTE_DIM(protocols))];
		at[25] = (uint8_t)pick(play, 2);
		at[43] = (uint8_t)pick(play, 2);
	}
}

static uint32_t
pick_length(struct play *play)
{
	if (happens(play, 60))
		return pick(play, 14);
	if (happens(play, 60))
		return 1523 + pick(play, 100);
	return happens(play, 3) ? 14 + pick(play, 60) : 60 + pick(play, 1400);
}

/* A few frames of one flow, of different lengths and numbers of segments. */
static void
inject_flow(struct play *play)
{
	static uint8_t frame[2048];
	uint16_t port = (uint16_t)pick(play, play->script->setup.ports);
	uint16_t queue = (uint16_t)pick(play, RTE_MAX(play->script->setup.queues, 1));
	uint32_t n = happens(play, 2) ? 1 : 1 + pick(play, 12);

	if (play->down[port] || queue >= testbed_port(play->testbed, port)->active_queues)
		return;
	put_destination(play, frame);
	put_source(play, frame + 6, port);
	put_payload(play, frame + 12);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t length = pick_length(play);

		frame[60] = (uint8_t)play->packets++;
		testbed_inject_bytes(play->testbed, port, queue, frame, length,
				     (uint16_t)(happens(play, 10) ? 1 + pick(play, 3) : 1));
	}
}

/* --- random changes ----------------------------------------------------------------------------------------------- */

static void
change_port(struct play *play)
{
	uint16_t number = (uint16_t)pick(play, play->script->setup.ports);
	struct pv_port *port = testbed_port(play->testbed, number);

	switch (pick(play, 5)) {
	case 0: /* as when a guest goes, and comes */
		play->down[number] = !play->down[number];
		port->set_up(port, !play->down[number]);
		break;
	case 1: /* the moment in which a port is down, and the table does not know it yet */
		play->down[number] = !play->down[number];
		port->up = !play->down[number];
		break;
	case 2:
		port->active_queues = (uint16_t)(1 + pick(play, port->queues));
		break;
	case 3:
		port->frame_max = (uint16_t)(happens(play, 2) ? 1522 : 200 + pick(play, 1000));
		break;
	case 4:
		pv_fdb_flush_port(play->datapath->fdb, number);
		break;
	}
}

static void
pass_time(struct play *play)
{
	play->now_s += happens(play, 5) ? 250 : 1;
	for (uint16_t i = 0; i < play->datapath->n_workers; i++)
		play->datapath->workers[i]->now_s = play->now_s;
	if (happens(play, 2))
		pv_fdb_age(play->datapath->fdb, play->now_s);
}

static void
change_decisions(struct play *play)
{
	salt = pick(play, 1000);
	for (uint16_t i = 0; i < play->datapath->n_workers; i++) {
		struct pv_worker_stages *stages = &play->datapath->workers[i]->packet_stages;

		if (stages->n > 0)
			pv_stage_changed(&stages->stages[0]);
	}
}

/* Lists the first n stages of the configuration on every worker. */
static void
list_stages(struct pv_datapath *datapath, size_t n)
{
	struct pv_config config = *datapath->config;

	config.n_stages = n;
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		struct pv_worker *worker = datapath->workers[i];
		struct pv_worker_stages made;

		assert_int_equal(pv_worker_stages_make(worker, &config, NULL, &made), 0);
		pv_worker_stages_replace(worker, &made);
	}
}

static void
change_something(struct play *play)
{
	uint32_t what = pick(play, 10);

	if (what < 4)
		change_port(play);
	else if (what < 7)
		pass_time(play);
	else if (what < 9 || !play->script->changes_stages)
		change_decisions(play);
	else
		list_stages(play->datapath, pick(play, (uint32_t)play->datapath->config->n_stages + 1));
}

/* --- the property ------------------------------------------------------------------------------------------------- */

static void
run_step(struct play *play, unsigned int step)
{
	uint32_t flows = pick(play, 40);
	uint16_t limited = (uint16_t)pick(play, play->script->setup.ports);

	for (uint16_t port = 0; port < play->script->setup.ports; port++)
		testbed_limit(play->testbed, port, 1000);
	if (happens(play, 4))
		testbed_limit(play->testbed, limited, pick(play, 30));
	for (uint32_t i = 0; i < flows; i++)
		inject_flow(play);
	testbed_run(play->testbed, 3);
	fprintf(play->out, "step %u\n", step);
	for (uint16_t port = 0; port < play->script->setup.ports; port++)
		write_port(play->testbed, play->out, port);
	write_stages(play->datapath, play->out);
	write_table(play->datapath, play->now_s, play->out);
	testbed_clear(play->testbed);
	while (happens(play, 2))
		change_something(play);
}

/* Brings all to where it was in the beginning. */
static void
reset(struct play *play)
{
	const struct script *script = play->script;

	for (uint16_t port = 0; port < script->setup.ports; port++) {
		struct pv_port *there = testbed_port(play->testbed, port);

		there->frame_max = 1522;
		there->active_queues = there->queues;
		there->set_up(there, false);
		there->set_up(there, true);
	}
	for (uint16_t i = 0; i < play->datapath->n_workers; i++) {
		struct pv_worker *worker = play->datapath->workers[i];

		worker->now_s = START_S;
		memset(worker->ports, 0, script->setup.ports * sizeof(*worker->ports));
		memset(&worker->counters, 0, sizeof(worker->counters));
	}
	list_stages(play->datapath, play->datapath->config->n_stages);
	salt = 0;
}

/* Hits of a thousand packets. */
static uint32_t
hit_rate(const struct pv_datapath *datapath)
{
	uint64_t hits = 0, all = 1;

	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		hits += datapath->workers[i]->counters.templates.hits;
		all += datapath->workers[i]->counters.templates.hits + datapath->workers[i]->counters.templates.misses;
	}
	return (uint32_t)(hits * 1000 / all);
}

/* Returns the hit rate. */
static uint32_t
play_script(const struct script *script, struct testbed *testbed, struct record *record)
{
	uint32_t rate;

	struct play play = { .script = script,
			     .testbed = testbed,
			     .datapath = testbed_datapath(testbed),
			     .seed = script->seed,
			     .now_s = START_S };

	open_record(record);
	play.out = record->out;
	reset(&play);
	for (unsigned int step = 0; step < script->steps; step++)
		run_step(&play, step);
	rate = hit_rate(play.datapath);
	reset(&play); /* ports that are down would keep what was put into them */
	testbed_run(testbed, 100);
	testbed_clear(testbed);
	fclose(record->out);
	return rate;
}

static void
show_difference(const struct record *generic, const struct record *specialized)
{
	size_t same = 0, begin;

	while (same < generic->size && same < specialized->size && generic->text[same] == specialized->text[same])
		same++;
	for (begin = same; begin > 0 && strncmp(generic->text + begin, "step", 4) != 0; begin--)
		continue;
	fprintf(stderr, "generic:\n%.*s\nspecialized:\n%.*s\n", (int)(same - begin) + 200, generic->text + begin,
		(int)(same - begin) + 200, specialized->text + begin);
}

/* For how long a frame waits for a full queue, and whether that is tried, goes by the time: no two runs agree on it. */
static void
keep_nothing(struct pv_datapath *datapath)
{
	datapath->contexts.hold_us = 0;
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		pv_backlog_choose(datapath->workers[i]);
}

static void
both_paths_agree(const struct script *script)
{
	struct testbed *testbed = testbed_new(&script->setup);
	struct record generic, specialized;
	struct way way;
	uint32_t rate;
	bool same;

	keep_nothing(testbed_datapath(testbed));
	go_generic(testbed_datapath(testbed));
	play_script(script, testbed, &generic);
	go_specialized(testbed_datapath(testbed), &way, script->key, script->templates);
	rate = play_script(script, testbed, &specialized);
	same = generic.size == specialized.size && memcmp(generic.text, specialized.text, generic.size) == 0;
	if (!same)
		show_difference(&generic, &specialized);
	free(generic.text);
	free(specialized.text);
	testbed_free(testbed);
	assert_true(same);
	assert_in_range(rate, script->hits_at_least, 1000);
}

static void
few_flows_between_few_ports(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 4, .wires = 8 },
		.key = "l2",
		.seed = 1,
		.steps = 3000,
		.addresses = 12,
		.templates = 4096,
		.hits_at_least = 300,
	});
}

static void
contexts_that_claim_addresses_and_speak_with_others(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 6,
			   .wires = 1 << 4 | 1 << 5,
			   .workers = 2,
			   .queues = 2,
			   .macs = { [1] = A },
			   .stages = { pv_stage_find("multi-context-demux") } },
		.key = "l2",
		.seed = 21,
		.steps = 3000,
		.addresses = 12,
		.templates = 4096,
		.hits_at_least = 80,
	});
}

static void
more_flows_than_templates_and_static_addresses(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3,
			   .macs = { [0] = "00:00:00:00:00:00", [1] = "52:54:00:00:00:03" },
			   .fdb_port_limit = 12 },
		.key = "l2",
		.seed = 2,
		.steps = 3000,
		.addresses = 40,
		.templates = 64,
		.hits_at_least = 80,
	});
}

static void
more_addresses_than_the_table_has_room_for(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3 },
		.key = "l2",
		.seed = 3,
		.steps = 1500,
		.addresses = 1200,
		.templates = 4096,
		.hits_at_least = 5,
	});
}

static void
several_workers_and_queues(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3, .workers = 2, .queues = 3 },
		.key = "l2",
		.seed = 4,
		.steps = 3000,
		.addresses = 12,
		.templates = 4096,
		.hits_at_least = 300,
	});
}

static void
stages_that_decide_by_addresses(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 4, .wires = 2, .stages = { &whimsical } },
		.key = "l2",
		.seed = 5,
		.steps = 3000,
		.addresses = 12,
		.templates = 4096,
		.changes_stages = true,
		.hits_at_least = 200,
	});
}

static void
stages_that_decide_by_flows(void **state)
{
	looks_at_flows = true;
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3, .stages = { &whimsical } },
		.key = "flow",
		.seed = 6,
		.steps = 6000,
		.addresses = 5,
		.templates = 4096,
		.changes_stages = true,
		.hits_at_least = 50,
	});
	looks_at_flows = false;
}

static void
stages_that_do_not_decide_behind_some_that_do(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 4, .wires = 4, .stages = { &whimsical_at_ingress, &odd_at_egress, &whimsical } },
		.key = "l2",
		.seed = 7,
		.steps = 3000,
		.addresses = 12,
		.templates = 4096,
		.changes_stages = true,
		.hits_at_least = 200,
	});
}

static void
several_workers_queues_and_stages(void **state)
{
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3, .workers = 2, .queues = 2, .wires = 1, .stages = { &whimsical } },
		.key = "flow",
		.seed = 8,
		.steps = 3000,
		.addresses = 8,
		.templates = 4096,
		.changes_stages = true,
		.hits_at_least = 50,
	});
}

static void
a_stage_that_changes_its_mind_while_packets_pass(void **state)
{
	restless = true;
	both_paths_agree(&(const struct script){
		.setup = { .ports = 3, .stages = { &whimsical_at_ingress } },
		.key = "l2",
		.seed = 9,
		.steps = 3000,
		.addresses = 8,
		.templates = 4096,
		.hits_at_least = 100,
	});
	restless = false;
}

/* --- single templates --------------------------------------------------------------------------------------------- */

static void
inject_many(struct testbed *testbed, uint16_t port, const char *destination, const char *source, int n)
{
	for (int i = 0; i < n; i++)
		testbed_inject(testbed, port, 0, destination, source, 60);
	testbed_run(testbed, 1);
}

/* A at port 0, B at port 1, C at port 2; A has a template for B. */
static void
teach(struct testbed *testbed)
{
	inject_many(testbed, 0, BROADCAST, A, 1);
	inject_many(testbed, 1, BROADCAST, B, 1);
	inject_many(testbed, 2, BROADCAST, C, 1);
	inject_many(testbed, 0, B, A, 1);
	testbed_clear(testbed);
	memset(templates_of(testbed), 0, sizeof(struct pv_template_counters));
}

static const struct testbed_setup three = { .ports = 3 };

static void
a_flow_misses_once_and_then_hits_over_bursts(void **state)
{
	struct testbed *testbed = new_specialized(&three, "l2");

	teach(testbed);
	for (int burst = 0; burst < 3; burst++)
		inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->hits, 30);
	assert_int_equal(templates_of(testbed)->misses, 0);
	assert_int_equal(testbed_sent(testbed, 1), 30);
	assert_int_equal(testbed_sent(testbed, 2), 0);
	testbed_free(testbed);
}

static void
flows_that_alternate_hit(void **state)
{
	struct testbed *testbed = new_specialized(&three, "l2");

	teach(testbed);
	for (int i = 0; i < 20; i++)
		testbed_inject(testbed, 0, 0, i % 2 == 0 ? B : C, A, 60);
	testbed_run(testbed, 1);
	assert_int_equal(templates_of(testbed)->misses, 1); /* the first to C */
	assert_int_equal(templates_of(testbed)->hits, 19);
	testbed_free(testbed);
}

static void
each_second_one_packet_teaches_the_table(void **state)
{
	struct testbed *testbed = new_specialized(&three, "l2");
	struct pv_datapath *datapath = testbed_datapath(testbed);
	struct pv_fdb_address addresses[3];

	datapath->workers[0]->now_s = START_S;
	teach(testbed);
	datapath->workers[0]->now_s = START_S + 1;
	inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->misses, 1);
	assert_int_equal(templates_of(testbed)->stale, 0);
	assert_int_equal(pv_fdb_list(datapath->fdb, addresses, 3, START_S + 1), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(addresses[i].age_s, addresses[i].port == 0 ? 0 : 1);
	testbed_free(testbed);
}

static void
a_destination_that_moves_makes_its_template_stale(void **state)
{
	struct testbed *testbed = new_specialized(&three, "l2");

	teach(testbed);
	inject_many(testbed, 2, A, B, 1);
	testbed_clear(testbed);
	memset(templates_of(testbed), 0, sizeof(struct pv_template_counters));
	inject_many(testbed, 0, B, A, 5);
	assert_int_equal(templates_of(testbed)->stale, 1);
	assert_int_equal(templates_of(testbed)->hits, 4);
	assert_int_equal(testbed_sent(testbed, 2), 5);
	testbed_free(testbed);
}

static void
a_guest_that_invents_addresses_leaves_other_flows_their_templates(void **state)
{
	struct testbed *testbed = new_specialized(&three, "l2");
	char invented[18];

	teach(testbed);
	for (int i = 0; i < 100; i++) {
		snprintf(invented, sizeof(invented), "52:54:00:01:00:%02x", i);
		inject_many(testbed, 2, B, invented, 3);
		inject_many(testbed, 0, B, A, 10);
		testbed_clear(testbed);
	}
	assert_int_equal(templates_of(testbed)->stale, 0);
	assert_in_range(templates_of(testbed)->hits, 1000, 1300);
	testbed_free(testbed);
}

/* With room for all addresses in their places of the switching table: a template goes with an address that is evicted.
 */
static void
a_flow_of_this_second_is_not_evicted_and_one_of_the_last_is(void **state)
{
	const struct testbed_setup roomy = { .ports = 3, .fdb_entries = 65536 };
	struct testbed *testbed = new_specialized(&roomy, "l2");
	struct pv_template_counters *counters = templates_of(testbed);
	char source[18];

	teach(testbed);
	for (uint32_t second = 0; second < 2; second++) {
		testbed_datapath(testbed)->workers[0]->now_s = START_S + second;
		for (int i = 0; i < 256; i++) {
			snprintf(source, sizeof(source), "52:54:00:02:%02x:%02x", second, i);
			inject_many(testbed, 0, B, source, 1);
			inject_many(testbed, 0, B, source, 1);
			testbed_clear(testbed);
		}
		if (second == 0)
			assert_in_range(counters->evicted, 0, 1); /* teach() was at another time */
	}
	assert_in_range(counters->evicted, 32, 66);
	testbed_free(testbed);
}

static void
templates_of_flows_tell_ports_apart_and_leave_fragments_alone(void **state)
{
	struct testbed *testbed = new_specialized(&three, "flow");
	struct pv_template_counters *counters = templates_of(testbed);
	uint8_t frame[60] = { 0x52, 0x54, 0, 0, 0, 0x0b, 0x52, 0x54, 0, 0, 0, 0x0a, 8, 0, 0x45 };

	teach(testbed);
	frame[23] = IPPROTO_UDP;
	for (uint8_t source = 1; source <= 2; source++) {
		frame[35] = source;
		for (int i = 0; i < 5; i++)
			testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 1);
	}
	testbed_run(testbed, 1);
	assert_int_equal(counters->misses, 2);
	assert_int_equal(counters->hits, 8);
	frame[20] = 0x20; /* more fragments */
	for (int i = 0; i < 5; i++)
		testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 1);
	testbed_run(testbed, 1);
	assert_int_equal(counters->misses, 2 + 5);
	assert_int_equal(testbed_sent(testbed, 1), 15);
	testbed_free(testbed);
}

static void
a_stage_that_has_decided_is_not_called_and_still_counts(void **state)
{
	const struct testbed_setup setup = { .ports = 3, .stages = { &content } };
	struct testbed *testbed = new_specialized(&setup, "l2");
	const struct pv_stage_counters *counters =
		&testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].counters;
	struct pv_stage_counters before;

	teach(testbed);
	before = *counters;
	inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->hits, 10);
	assert_int_equal(counters->calls, before.calls);
	assert_int_equal(counters->packets, before.packets + 2 * 10); /* at both hooks */
	assert_int_equal(counters->emitted, before.emitted + 2 * 10);
	testbed_free(testbed);
}

static void
a_stage_that_changes_its_mind_is_asked_again(void **state)
{
	const struct testbed_setup setup = { .ports = 3, .stages = { &content } };
	struct testbed *testbed = new_specialized(&setup, "l2");
	struct pv_stage_self *self = &testbed_datapath(testbed)->workers[0]->packet_stages.stages[0];

	teach(testbed);
	is_content = false;
	pv_stage_changed(self);
	inject_many(testbed, 0, B, A, 10);
	is_content = true;
	assert_int_equal(templates_of(testbed)->stale, 1);
	assert_int_equal(self->counters.dropped, 10);
	assert_int_equal(testbed_drops(testbed, 0, self->drop_base), 10);
	assert_int_equal(testbed_sent(testbed, 1), 0);
	testbed_free(testbed);
}

static void
a_stage_that_does_not_decide_sees_every_packet(void **state)
{
	const struct testbed_setup setup = { .ports = 3, .stages = { &odd_at_egress } };
	struct testbed *testbed = new_specialized(&setup, "l2");
	const struct pv_stage_counters *counters =
		&testbed_datapath(testbed)->workers[0]->packet_stages.stages[0].counters;
	uint64_t calls;

	teach(testbed);
	calls = counters->calls;
	inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->hits, 10); /* past the switch, */
	assert_int_equal(counters->calls, calls + 1);	   /* not past the stage */
	assert_int_equal(testbed_sent(testbed, 1), 10);
	testbed_free(testbed);
}

/* --- choosing a path ---------------------------------------------------------------------------------------------- */

static const char *
shape_of(const struct testbed_setup *setup, const char *key)
{
	struct testbed *testbed = new_specialized(setup, key);
	const char *shape = testbed_datapath(testbed)->workers[0]->path->shape;

	testbed_free(testbed);
	return shape;
}

static void
the_path_fits_the_worker(void **state)
{
	const struct testbed_setup staged = { .ports = 2, .stages = { &odd_at_egress } };
	const struct testbed_setup two_workers = { .ports = 2, .workers = 2 };
	const struct pv_stage *of_wires = pv_stage_find("receive-aggregation");
	const struct testbed_setup guests = { .ports = 2, .stages = { of_wires } };
	const struct testbed_setup wired = { .ports = 2, .wires = 2, .stages = { of_wires } };

	assert_string_equal(shape_of(&guests, "l2"), "fused: one worker, no stages");
	assert_string_equal(shape_of(&wired, "l2"), "templates");
	assert_string_equal(shape_of(&three, "l2"), "fused: one worker, no stages");
	assert_string_equal(shape_of(&staged, "l2"), "templates");
	assert_string_equal(shape_of(&two_workers, "l2"), "templates");
	assert_string_equal(shape_of(&three, "flow"), "templates of flows");
}

static void
stages_that_come_change_the_path(void **state)
{
	const struct testbed_setup setup = { .ports = 2, .stages = { &odd_at_egress } };
	struct testbed *testbed = new_specialized(&setup, "l2");
	struct pv_worker *worker = testbed_datapath(testbed)->workers[0];

	list_stages(testbed_datapath(testbed), 0);
	assert_string_equal(worker->path->shape, "fused: one worker, no stages");
	list_stages(testbed_datapath(testbed), 1);
	assert_string_equal(worker->path->shape, "templates");
	testbed_free(testbed);
}

static void *
make_nothing(const struct pv_worker *worker, const void *options)
{
	return NULL;
}

static void
a_path_without_memory_leaves_the_one_before(void **state)
{
	const struct pv_packet_path greedy = { .make = make_nothing };
	struct testbed *testbed = new_specialized(&three, "l2");
	struct pv_worker *worker = testbed_datapath(testbed)->workers[0];

	teach(testbed);
	assert_int_equal(pv_path_bind(worker, &greedy, NULL), -ENOMEM);
	inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->hits, 10);
	go_generic(testbed_datapath(testbed));
	assert_string_equal(worker->path->shape, "generic");
	inject_many(testbed, 0, B, A, 10);
	assert_int_equal(templates_of(testbed)->hits, 10);
	assert_int_equal(testbed_sent(testbed, 1), 20);
	testbed_free(testbed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_flows_between_few_ports),
		cmocka_unit_test(contexts_that_claim_addresses_and_speak_with_others),
		cmocka_unit_test(more_flows_than_templates_and_static_addresses),
		cmocka_unit_test(more_addresses_than_the_table_has_room_for),
		cmocka_unit_test(several_workers_and_queues),
		cmocka_unit_test(stages_that_decide_by_addresses),
		cmocka_unit_test(stages_that_decide_by_flows),
		cmocka_unit_test(stages_that_do_not_decide_behind_some_that_do),
		cmocka_unit_test(several_workers_queues_and_stages),
		cmocka_unit_test(a_stage_that_changes_its_mind_while_packets_pass),
		cmocka_unit_test(a_flow_misses_once_and_then_hits_over_bursts),
		cmocka_unit_test(flows_that_alternate_hit),
		cmocka_unit_test(each_second_one_packet_teaches_the_table),
		cmocka_unit_test(a_destination_that_moves_makes_its_template_stale),
		cmocka_unit_test(a_guest_that_invents_addresses_leaves_other_flows_their_templates),
		cmocka_unit_test(a_flow_of_this_second_is_not_evicted_and_one_of_the_last_is),
		cmocka_unit_test(templates_of_flows_tell_ports_apart_and_leave_fragments_alone),
		cmocka_unit_test(a_stage_that_has_decided_is_not_called_and_still_counts),
		cmocka_unit_test(a_stage_that_changes_its_mind_is_asked_again),
		cmocka_unit_test(a_stage_that_does_not_decide_sees_every_packet),
		cmocka_unit_test(the_path_fits_the_worker),
		cmocka_unit_test(stages_that_come_change_the_path),
		cmocka_unit_test(a_path_without_memory_leaves_the_one_before),
	};

	if (pv_stage_register(&whimsical) != 0 || pv_stage_register(&whimsical_at_ingress) != 0 ||
	    pv_stage_register(&odd_at_egress) != 0 || pv_stage_register(&content) != 0)
		return 1;
	testbed_start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
