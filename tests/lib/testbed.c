/* SPDX-License-Identifier: BSD-3-Clause */
#include "testbed.h"
#include "vio/offload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ether.h>

#define QUEUE_MAX 1024

struct fake {
	struct rte_mbuf *in[PV_QUEUES_MAX][QUEUE_MAX];
	uint32_t n_in[PV_QUEUES_MAX], next_in[PV_QUEUES_MAX];
	struct rte_mbuf *out[QUEUE_MAX];
	uint16_t out_queue[QUEUE_MAX];
	uint32_t n_out, limit;
};

struct testbed {
	struct pv_config config;
	struct pv_config_port ports[PV_PORTS_MAX];
	struct pv_config_stage stages[8];
	struct pv_datapath *datapath;
	uint16_t queues;
	bool fakes;
};

static uint16_t queues_of_new_ports;

static uint16_t
fake_rx(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct fake *fake = port->priv;
	uint16_t n = 0;

	while (n < count && fake->next_in[queue] < fake->n_in[queue])
		packets[n++] = fake->in[queue][fake->next_in[queue]++];
	return n;
}

static uint16_t
fake_tx(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	struct fake *fake = port->priv;
	uint16_t n = 0;

	while (n < count && fake->n_out < fake->limit) {
		fake->out_queue[fake->n_out] = queue;
		fake->out[fake->n_out++] = packets[n++];
	}
	return n;
}

static const struct pv_port_ops fake_ops = { .rx_burst = fake_rx, .tx_burst = fake_tx };

static int
fake_open(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	fake->limit = QUEUE_MAX;
	port->priv = fake;
	port->ops = &fake_ops;
	port->queues = queues_of_new_ports;
	port->active_queues = queues_of_new_ports;
	return 0;
}

static int
fake_start(struct pv_port *port)
{
	port->up = true;
	return 0;
}

static void
clear_out(struct fake *fake)
{
	rte_pktmbuf_free_bulk(fake->out, fake->n_out);
	fake->n_out = 0;
}

static void
fake_close(struct pv_port *port)
{
	struct fake *fake = port->priv;

	clear_out(fake);
	for (uint16_t queue = 0; queue < port->queues; queue++)
		for (uint32_t i = fake->next_in[queue]; i < fake->n_in[queue]; i++)
			rte_pktmbuf_free(fake->in[queue][i]);
	free(fake);
}

static const struct pv_port_type fake_type = {
	.name = "fake",
	.summary = "a port that a test fills and empties",
	.open = fake_open,
	.start = fake_start,
	.close = fake_close,
};

/* EAL leaves it. */
static void
remove_runtime_directory(void)
{
	rmdir(rte_eal_get_runtime_dir());
}

void
testbed_start_eal(void)
{
	static char *arguments[] = {
		"test", "--no-huge", "--no-pci", "--no-telemetry",	"--no-shconf",	       "-m",
		"128",	"--lcores",  NULL,	 "--log-level=*:error", "--file-prefix=pvtest"
	};
	char lcores[64];

	snprintf(lcores, sizeof(lcores), "(0-%u)@(0-%ld)", TESTBED_THREADS, sysconf(_SC_NPROCESSORS_CONF) - 1);
	arguments[8] = strdup(lcores);
	atexit(remove_runtime_directory);
	assert_true(rte_eal_init(RTE_DIM(arguments), arguments) >= 0);
}

struct pv_config_port
testbed_describe_port(const char *name)
{
	struct pv_config_port port = { .name = strdup(name), .type = &fake_type, .role = PV_ROLE_GUEST, .mtu = 1500 };

	assert_non_null(port.name);
	return port;
}

static void
describe_port(struct testbed *testbed, const struct testbed_setup *setup, uint16_t i)
{
	struct pv_config_port *port = &testbed->ports[i];
	char name[8];

	snprintf(name, sizeof(name), "p%u", i);
	*port = testbed_describe_port(name);
	if (setup->type != NULL)
		port->type = setup->type;
	port->role = i < 32 && (setup->wires & (1u << i)) != 0 ? PV_ROLE_WIRE : PV_ROLE_GUEST;
	port->mtu = setup->mtu != 0 ? setup->mtu : 1500;
	if (i < RTE_DIM(setup->macs) && setup->macs[i] != NULL)
		assert_int_equal(pv_mac_parse(setup->macs[i], &port->mac), 0);
	if (i < RTE_DIM(setup->vlans))
		port->vlan = setup->vlans[i];
}

static void
describe_stage(struct pv_config_stage *listed, const struct pv_stage *stage)
{
	listed->stage = stage;
	listed->options = calloc(1, stage->options_size + 1);
	assert_non_null(listed->options);
	pv_options_init(stage->options, listed->options);
}

static void
describe(struct testbed *testbed, const struct testbed_setup *setup)
{
	struct pv_config *config = &testbed->config;

	pv_options_init(pv_config_options, &config->settings);
	config->settings.packets = 4096;
	config->settings.fdb_entries = setup->fdb_entries != 0 ? setup->fdb_entries : 1024;
	if (setup->fdb_port_limit != 0)
		config->settings.fdb_port_limit = setup->fdb_port_limit;
	config->n_workers = setup->workers != 0 ? setup->workers : 1;
	config->ports = testbed->ports;
	config->n_ports = setup->ports;
	config->stages = testbed->stages;
	for (uint16_t i = 0; i < setup->ports; i++)
		describe_port(testbed, setup, i);
	for (size_t i = 0; i < RTE_DIM(setup->stages) && setup->stages[i] != NULL; i++)
		describe_stage(&testbed->stages[config->n_stages++], setup->stages[i]);
}

static void
free_all(struct testbed *testbed)
{
	for (size_t i = 0; i < testbed->config.n_stages; i++) {
		pv_options_clear(testbed->stages[i].stage->options, testbed->stages[i].options);
		free(testbed->stages[i].options);
	}
	for (size_t i = 0; i < testbed->config.n_ports; i++)
		pv_config_free_port(&testbed->ports[i]);
	pv_options_clear(pv_config_options, &testbed->config.settings);
	free(testbed);
}

struct testbed *
testbed_new(const struct testbed_setup *setup)
{
	struct testbed *testbed = calloc(1, sizeof(*testbed));

	assert_non_null(testbed);
	testbed->queues = setup->queues != 0 ? setup->queues : 1;
	testbed->fakes = setup->type == NULL;
	queues_of_new_ports = testbed->queues;
	describe(testbed, setup);
	testbed->datapath = pv_datapath_new(&testbed->config);
	if (testbed->datapath == NULL) {
		free_all(testbed);
		return NULL;
	}
	for (uint16_t i = 0; testbed->fakes && i < setup->ports; i++)
		fake_start(testbed->datapath->ports[i]);
	return testbed;
}

static void
check_all_was_taken(struct testbed *testbed)
{
	for (struct pv_port *port = pv_first_port(testbed->datapath); port != NULL;
	     port = pv_next_port(testbed->datapath, port)) {
		const struct fake *fake = port->priv;

		for (uint16_t queue = 0; queue < testbed->queues; queue++)
			assert_int_equal(fake->next_in[queue], fake->n_in[queue]);
	}
}

void
testbed_free(struct testbed *testbed)
{
	struct rte_mempool *pool = testbed->datapath->pool;
	unsigned int outside;

	if (testbed->fakes) {
		testbed_clear(testbed);
		check_all_was_taken(testbed);
	}
	outside = rte_mempool_in_use_count(pool);
	pv_datapath_free(testbed->datapath);
	free_all(testbed);
	assert_int_equal(outside, 0);
}

struct pv_datapath *
testbed_datapath(struct testbed *testbed)
{
	return testbed->datapath;
}

struct pv_port *
testbed_port(struct testbed *testbed, uint16_t port)
{
	return testbed->datapath->ports[port];
}

void
testbed_inject_packet(struct testbed *testbed, uint16_t port, uint16_t queue, struct rte_mbuf *packet)
{
	struct fake *fake = testbed->datapath->ports[port]->priv;

	if (fake->next_in[queue] == fake->n_in[queue])
		fake->next_in[queue] = fake->n_in[queue] = 0;
	assert_true(fake->n_in[queue] < QUEUE_MAX);
	fake->in[queue][fake->n_in[queue]++] = packet;
}

void
testbed_inject_bytes(struct testbed *testbed, uint16_t port, uint16_t queue, const void *bytes, uint32_t length,
		     uint16_t segments)
{
	struct rte_mbuf *head = NULL;
	const char *from = bytes;

	for (uint16_t left = segments; left > 0; left--) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(testbed->datapath->pool);
		uint32_t part = length / left;

		assert_non_null(segment);
		memcpy(rte_pktmbuf_append(segment, (uint16_t)part), from, part);
		from += part;
		length -= part;
		if (head == NULL)
			head = segment;
		else
			assert_int_equal(rte_pktmbuf_chain(head, segment), 0);
	}
	testbed_inject_packet(testbed, port, queue, head);
}

void
testbed_inject(struct testbed *testbed, uint16_t port, uint16_t queue, const char *destination, const char *source,
	       uint32_t length)
{
	uint8_t frame[16384];
	struct pv_mac to, from;

	assert_true(length <= sizeof(frame) && length >= RTE_ETHER_HDR_LEN);
	assert_int_equal(pv_mac_parse(destination, &to), 0);
	assert_int_equal(pv_mac_parse(source, &from), 0);
	for (uint32_t i = 0; i < length; i++)
		frame[i] = (uint8_t)i;
	memcpy(frame, to.bytes, 6);
	memcpy(frame + 6, from.bytes, 6);
	frame[12] = 0x08;
	frame[13] = 0x00;
	testbed_inject_bytes(testbed, port, queue, frame, length, 1 + length / 2000);
}

void
testbed_run(struct testbed *testbed, unsigned int rounds)
{
	for (unsigned int round = 0; round < rounds; round++)
		for (uint16_t i = 0; i < testbed->datapath->n_workers; i++)
			pv_worker_round(testbed->datapath->workers[i]);
}

static struct fake *
fake_of(struct testbed *testbed, uint16_t port)
{
	return testbed->datapath->ports[port]->priv;
}

uint32_t
testbed_sent(struct testbed *testbed, uint16_t port)
{
	return fake_of(testbed, port)->n_out;
}

const struct rte_mbuf *
testbed_packet(struct testbed *testbed, uint16_t port, uint32_t index)
{
	assert_true(index < fake_of(testbed, port)->n_out);
	return fake_of(testbed, port)->out[index];
}

uint16_t
testbed_packet_queue(struct testbed *testbed, uint16_t port, uint32_t index)
{
	return fake_of(testbed, port)->out_queue[index];
}

void
testbed_clear(struct testbed *testbed)
{
	for (struct pv_port *port = pv_first_port(testbed->datapath); port != NULL;
	     port = pv_next_port(testbed->datapath, port))
		clear_out(port->priv);
}

struct testbed *
testbed_take_large(struct testbed *testbed)
{
	if (testbed == NULL)
		return NULL;
	for (struct pv_port *port = pv_first_port(testbed->datapath); port != NULL;
	     port = pv_next_port(testbed->datapath, port))
		port->offloads = PV_OFFLOAD_ALL;
	return testbed;
}

void
testbed_limit(struct testbed *testbed, uint16_t port, uint32_t packets)
{
	fake_of(testbed, port)->limit = fake_of(testbed, port)->n_out + packets;
}

uint64_t
testbed_drops(struct testbed *testbed, uint16_t port, uint16_t reason)
{
	uint64_t drops = 0;

	for (uint16_t i = 0; i < testbed->datapath->n_workers; i++)
		drops += testbed->datapath->workers[i]->ports[port].drops[reason];
	return drops;
}

uint64_t
testbed_all_drops(struct testbed *testbed)
{
	uint64_t drops = 0;

	for (uint16_t port = 0; port < testbed->datapath->n_ports; port++)
		for (uint16_t reason = 0; reason < pv_drop_count(); reason++)
			drops += testbed_drops(testbed, port, reason);
	return drops;
}
