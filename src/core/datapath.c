/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "core/backlog.h"
#include "core/contexts.h"
#include "core/path.h"
#include "core/pipeline.h"
#include "core/worker_contexts.h"
#include "core/worker_queues.h"
#include "core/worker_stages.h"
#include "vio/buffers.h"
#include "vio/host_io.h"
#include "vio/offload.h"

#define POOL_CACHE 256
#define IDLE_US_BEFORE_SLEEP 2000

uint32_t
pv_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

uint64_t
pv_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint16_t
pv_packet_room(const struct pv_config *config)
{
	uint32_t room = RTE_MBUF_DEFAULT_DATAROOM;

	for (size_t i = 0; i < config->n_ports; i++)
		room = RTE_MAX(room, config->ports[i].mtu + PV_PORT_OVERHEAD + 1);
	return (uint16_t)RTE_ALIGN(RTE_PKTMBUF_HEADROOM + room, RTE_CACHE_LINE_SIZE);
}

static void
count_drop(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets)
{
	const struct pv_datapath *datapath = port->framework;
	struct pv_port_counters *counters = &datapath->workers[port->owner[queue]]->ports[port->id];

	counters->rx_packets += packets;
	counters->drops[reason] += packets;
}

static void
count_refused(const struct pv_port *port, uint16_t queue, uint16_t reason, uint64_t packets, uint64_t bytes)
{
	const struct pv_datapath *datapath = port->framework;
	struct pv_port_counters *counters = &datapath->workers[port->owner[queue]]->ports[port->id];

	counters->tx_packets -= packets;
	counters->tx_bytes -= bytes;
	counters->drops[reason] += packets;
}

static void
set_up(struct pv_port *port, bool up)
{
	struct pv_datapath *datapath = port->framework;

	if (up)
		port->times_up++;
	port->up = up;
	if (up) {
		for (uint16_t queue = 0; queue < port->queues; queue++)
			port->wake(port, queue);
		return;
	}
	rte_rcu_qsbr_synchronize(datapath->qsbr, RTE_QSBR_THRID_INVALID);
	pv_fdb_flush_port(datapath->fdb, port->id);
	pv_context_reset_address(port);
}

static void
settle(struct pv_port *port)
{
	struct pv_datapath *datapath = port->framework;

	pv_hold_workers(datapath);
	pv_release_workers(datapath);
}

static struct pv_worker *
owner_of(const struct pv_port *port, uint16_t queue)
{
	const struct pv_datapath *datapath = port->framework;

	return datapath->workers[port->owner[queue]];
}

static void
wake(struct pv_port *port, uint16_t queue)
{
	pv_worker_wake(owner_of(port, queue), port->id);
}

/* An event of the relay: on the worker itself, which is about to look, or on the relay's thread. */
static void
wake_slot(struct pv_port *port, uint16_t slot)
{
	struct pv_worker *worker = owner_of(port, slot < PV_QUEUES_MAX ? slot : 0);

	if (worker->runs && pthread_equal(worker->thread, pthread_self()))
		pv_doorbells_note(&worker->doorbells, port->id);
	else
		pv_worker_wake(worker, port->id);
}

static void
watch(struct pv_port *port, uint16_t slot, int fd)
{
	const struct pv_datapath *datapath = port->framework;

	if (!pv_relay_watch(datapath->relay, port, slot, fd))
		pv_log_limited(&port->limit, PV_LOG_WARNING, port->name,
			       "the descriptor that its guest kicks cannot be waited for");
}

static const struct pv_binding *
find_in(const struct pv_binding *bindings, size_t n, const char *primitive)
{
	size_t i = 0;

	while (i < n - 1 && strcmp(bindings[i].primitive, primitive) != 0) /* every primitive is bound */
		i++;
	return &bindings[i];
}

const struct pv_binding *
pv_datapath_binding(const struct pv_datapath *datapath, const char *primitive)
{
	return find_in(datapath->bindings, datapath->n_bindings, primitive);
}

static struct pv_io_channel
bound_io_channel(const struct pv_datapath *datapath)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_IO_CHANNEL);
	const struct pv_io_channel_ops *ops = binding->implementation->ops;

	return ops->choose(binding->options);
}

static uint32_t
bound_copy_break(const struct pv_datapath *datapath, const struct pv_io_channel *channel)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_BUFFER_PASSING);
	const struct pv_buffer_passing *passing = binding->implementation->ops;

	return pv_io_channel_copy_break(channel, passing->copy_break(binding->options));
}

static struct pv_translation
bound_translation(const struct pv_datapath *datapath)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_TRANSLATION);
	const struct pv_translation_ops *ops = binding->implementation->ops;

	return ops->choose(binding->options);
}

uint64_t
pv_guest_features(const struct pv_config *config, const struct pv_binding *bindings, size_t n)
{
	const struct pv_binding *binding = find_in(bindings, n, PV_PRIMITIVE_GUEST_INTERFACE);
	const struct pv_guest_interface *interface = binding->implementation->ops;
	uint64_t features = interface->features(binding->options);

	for (size_t i = 0; i < config->n_stages; i++)
		features |= config->stages[i].stage->guest_features;
	return features;
}

void
pv_datapath_choose_multiplexing(struct pv_datapath *datapath)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_MULTIPLEXING);
	bool had_contexts = datapath->multiplexing != NULL && pv_has_contexts(datapath);

	datapath->multiplexing = binding->implementation->ops;
	if (pv_has_contexts(datapath))
		datapath->contexts = datapath->multiplexing->contexts(binding->options);
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		pv_backlog_choose(datapath->workers[i]);
	if (pv_has_contexts(datapath) && !had_contexts)
		pv_contexts_begin(datapath);
	else if (had_contexts && !pv_has_contexts(datapath))
		pv_contexts_end(datapath);
}

static enum pv_protection
bound_protection(const struct pv_datapath *datapath)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_MULTIPLEXING);
	const struct pv_multiplexing *multiplexing = binding->implementation->ops;

	return multiplexing->contexts == NULL ? PV_PROTECT_VALIDATE :
						multiplexing->contexts(binding->options).protection;
}

static uint32_t
bound_wire_offloads(const struct pv_datapath *datapath)
{
	const struct pv_binding *binding = pv_datapath_binding(datapath, PV_PRIMITIVE_GUEST_INTERFACE);
	const struct pv_guest_interface *interface = binding->implementation->ops;

	return interface->wire_offloads(binding->options);
}

struct pv_port_env
pv_datapath_port_env(const struct pv_datapath *datapath)
{
	struct pv_io_channel channel = bound_io_channel(datapath);

	return (struct pv_port_env){
		.pool = datapath->pool,
		.host_io = pv_datapath_binding(datapath, PV_PRIMITIVE_HOST_IO)->implementation->ops,
		.io_channel = channel,
		.copy_break = bound_copy_break(datapath, &channel),
		.translation = bound_translation(datapath),
		.guest_features = datapath->guest_features,
		.wire_offloads = bound_wire_offloads(datapath),
		.protection = bound_protection(datapath),
	};
}

/* What the framework has for a port. */
static struct pv_port *
make_port(struct pv_datapath *datapath, const struct pv_config_port *config, uint16_t id)
{
	struct pv_port *port = rte_zmalloc(config->name, sizeof(*port), RTE_CACHE_LINE_SIZE);

	if (port == NULL)
		return NULL;
	snprintf(port->name, sizeof(port->name), "%s", config->name);
	port->id = id;
	port->type = config->type;
	port->role = (uint8_t)config->role;
	port->mac = config->mac;
	port->mtu = config->mtu;
	port->frame_max = (uint16_t)(config->mtu + PV_PORT_OVERHEAD);
	port->vlan = (uint16_t)config->vlan;
	port->weight = config->weight;
	port->rate_limit_mbps = config->rate_limit_mbps;
	port->queues = 1;
	port->active_queues = 1;
	port->limit.burst = 10;
	port->count_drop = count_drop;
	port->count_refused = count_refused;
	port->set_up = set_up;
	port->watch = watch;
	port->wake = wake;
	port->settle = settle;
	port->framework = datapath;
	pv_context_reset_address(port);
	return port;
}

int
pv_datapath_open_port(struct pv_datapath *datapath, const struct pv_config_port *config, uint16_t id,
		      struct pv_port **port)
{
	const struct pv_port_env env = pv_datapath_port_env(datapath);
	int result;

	*port = make_port(datapath, config, id);
	result = *port != NULL ? (*port)->type->open(*port, config->options, &env) : -ENOMEM;
	if (result == 0) {
		pv_place_queues(*port, (uint16_t)datapath->config->n_workers);
		return 0;
	}
	if (result == -ENOMEM)
		pv_error(config->name, "cannot open the port: %s", strerror(ENOMEM));
	rte_free(*port);
	return result;
}

int
pv_datapath_put_port(struct pv_datapath *datapath, struct pv_port *port)
{
	int result = port->mac.set ? pv_fdb_add_static(datapath->fdb, port->mac.bytes, port->id) : 0;

	if (result != 0)
		return result;
	datapath->uses_vlans |= port->vlan != 0;
	pv_rate_init(&datapath->rates[port->id], port->rate_limit_mbps, rte_rdtsc());
	datapath->ports[port->id] = port;
	datapath->n_ports = RTE_MAX(datapath->n_ports, (uint16_t)(port->id + 1));
	return 0;
}

static int
open_ports(struct pv_datapath *datapath)
{
	const struct pv_config *config = datapath->config;
	struct pv_port *port;
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < config->n_ports; i++) {
		result = pv_datapath_open_port(datapath, &config->ports[i], i, &port);
		if (result != 0)
			break;
		result = pv_datapath_put_port(datapath, port);
		if (result == 0)
			continue;
		pv_error(port->name, "cannot open the port: its mac: %s", strerror(-result));
		port->type->close(port);
		rte_free(port);
	}
	return result;
}

static int
make_mailboxes(struct pv_worker *worker)
{
	char name[RTE_RING_NAMESIZE];

	for (uint16_t from = 0; from < (uint16_t)worker->datapath->config->n_workers; from++) {
		if (from == worker->id)
			continue;
		snprintf(name, sizeof(name), "pv_mail_%u_%u", from, worker->id);
		worker->mailbox[from] =
			rte_ring_create(name, PV_MAILBOX_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (worker->mailbox[from] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
bind_path(struct pv_worker *worker)
{
	const struct pv_binding *binding = pv_datapath_binding(worker->datapath, PV_PRIMITIVE_PACKET_PATH);

	return pv_path_bind(worker, binding->implementation->ops, binding->options);
}

static int
build_worker(struct pv_worker *worker)
{
	uint16_t n_ports = worker->datapath->n_ports;
	int result = pv_worker_queues_make(worker);

	worker->burst_max = PV_BURST_MAX;
	pv_doorbells_init(&worker->doorbells, pv_relay_bell_fd(worker->datapath->relay, worker->id));
	if (result == 0)
		result = pv_worker_contexts_make(worker);
	for (uint16_t i = 0; result == 0 && i < n_ports; i++)
		result = pv_worker_queues_make_room(worker, i);
	if (result == 0)
		pv_worker_queues_take(worker);
	if (result == 0)
		result = make_mailboxes(worker);
	if (result == 0)
		result = pv_worker_stages_make(worker, worker->datapath->config, NULL, &worker->packet_stages);
	if (result == 0)
		result = bind_path(worker);
	if (result == 0)
		pv_backlog_choose(worker);
	return result;
}

static int
build_workers(struct pv_datapath *datapath)
{
	for (uint16_t i = 0; i < (uint16_t)datapath->config->n_workers; i++) {
		struct pv_worker *worker = rte_zmalloc("pv_worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
		int result;

		if (worker == NULL)
			return -ENOMEM;
		worker->datapath = datapath;
		worker->id = i;
		worker->cpu = datapath->config->worker_cpus[i];
		worker->lcore = pv_worker_lcore(i);
		datapath->workers[datapath->n_workers++] = worker;
		result = build_worker(worker);
		if (result != 0)
			return result;
		rte_rcu_qsbr_thread_register(datapath->qsbr, i);
	}
	return 0;
}

/* Frees the packets that a worker holds, which may refer to the memory of guests. It has stopped. */
static void
release_packets(struct pv_worker *worker)
{
	struct rte_mbuf *packet;

	for (uint16_t from = 0; from < PV_WORKERS_MAX; from++) {
		if (worker->mailbox[from] == NULL)
			continue;
		while (rte_ring_dequeue(worker->mailbox[from], (void **)&packet) == 0)
			rte_pktmbuf_free(packet);
	}
	pv_backlog_free(worker->backlog);
	worker->backlog = NULL;
	pv_worker_stages_end(worker);
}

static void
free_worker(struct pv_worker *worker)
{
	pv_path_unbind(worker);
	for (uint16_t from = 0; from < PV_WORKERS_MAX; from++)
		rte_ring_free(worker->mailbox[from]);
	pv_worker_contexts_free(worker);
	pv_worker_queues_free(worker);
	rte_free(worker);
}

static int
make_tables(struct pv_datapath *datapath)
{
	const struct pv_config_settings *settings = &datapath->config->settings;
	size_t n_workers = datapath->config->n_workers;
	int bound = pv_bind(datapath->config, datapath->bindings, PV_BINDINGS_MAX);

	if (bound < 0)
		return bound;
	datapath->n_bindings = (size_t)bound;
	datapath->guest_features = pv_guest_features(datapath->config, datapath->bindings, datapath->n_bindings);
	datapath->pool = rte_pktmbuf_pool_create("pv_packets", settings->packets - 1, POOL_CACHE, 0,
						 pv_packet_room(datapath->config), SOCKET_ID_ANY);
	datapath->fdb =
		pv_fdb_new(settings->fdb_entries, settings->fdb_ageing_s, settings->fdb_port_limit, PV_PORTS_MAX);
	datapath->ports = calloc(PV_PORTS_MAX, sizeof(*datapath->ports));
	datapath->workers = calloc(n_workers, sizeof(*datapath->workers));
	datapath->relay = pv_relay_new(PV_PORTS_MAX, (uint16_t)n_workers, wake_slot);
	datapath->qsbr = rte_zmalloc("pv_qsbr", rte_rcu_qsbr_get_memsize((uint32_t)n_workers), RTE_CACHE_LINE_SIZE);
	if (datapath->pool == NULL || datapath->fdb == NULL || datapath->ports == NULL || datapath->workers == NULL ||
	    datapath->qsbr == NULL || datapath->relay == NULL)
		return -ENOMEM;
	rte_rcu_qsbr_init(datapath->qsbr, (uint32_t)n_workers);
	pv_datapath_choose_multiplexing(datapath);
	return pv_pipeline_init();
}

static uint64_t
idle_cycles_before_sleep(const struct pv_config_settings *settings)
{
	return settings->idle_sleep_us == 0 ? UINT64_MAX : rte_get_tsc_hz() / 1000000 * IDLE_US_BEFORE_SLEEP;
}

struct pv_datapath *
pv_datapath_new(struct pv_config *config)
{
	struct pv_datapath *datapath = calloc(1, sizeof(*datapath));
	int result;

	if (datapath == NULL)
		return NULL;
	datapath->config = datapath->config_given = config;
	pv_hold_init(&datapath->hold);
	datapath->idle_cycles_before_sleep = idle_cycles_before_sleep(&config->settings);
	result = make_tables(datapath);
	if (result == -ENOMEM)
		pv_error("memory", "%u packets and a table of %u addresses do not fit: lower \"packets\"",
			 config->settings.packets, config->settings.fdb_entries);
	if (result == 0)
		result = open_ports(datapath);
	if (result == 0) {
		result = build_workers(datapath);
		if (result == -ENOMEM)
			pv_error("memory", "not enough for the workers");
	}
	if (result != 0) {
		pv_datapath_free(datapath);
		return NULL;
	}
	return datapath;
}

void
pv_datapath_look(struct pv_datapath *datapath)
{
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (port->type->look != NULL)
			port->type->look(port);
}

int
pv_datapath_choose_critical(struct pv_datapath *datapath)
{
	const struct pv_critical_ops *ops = pv_datapath_binding(datapath, PV_PRIMITIVE_CRITICAL)->implementation->ops;
	int result = 0;

	if (ops->way == PV_CRITICAL_POLL)
		pv_relay_stop(datapath->relay);
	else
		result = pv_events_install();
	if (result == 0 && ops->way != PV_CRITICAL_POLL)
		result = pv_relay_start(datapath->relay);
	if (result == 0)
		datapath->critical = ops->way;
	else
		pv_error("worker", "cannot be told by signals: %s", strerror(-result));
	return result;
}

int
pv_datapath_choose_path(struct pv_datapath *datapath)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < datapath->n_workers; i++)
		result = bind_path(datapath->workers[i]);
	if (result != 0)
		pv_error("worker", "the packet path has no memory");
	return result;
}

int
pv_datapath_start(struct pv_datapath *datapath)
{
	int chosen = pv_datapath_choose_critical(datapath);

	if (chosen != 0)
		return chosen;
	datapath->running = true;
	chosen = pv_watchdog_start(datapath);
	if (chosen != 0)
		return chosen;
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		int result = rte_eal_remote_launch(pv_worker_main, datapath->workers[i], datapath->workers[i]->lcore);

		if (result != 0) {
			pv_error("worker", "worker %u does not start: %s", i, strerror(-result));
			return result;
		}
	}
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port)) {
		int result = port->type->start(port);

		if (result != 0)
			return result;
	}
	return 0;
}

static void
stop_workers(struct pv_datapath *datapath)
{
	datapath->stop = true;
	datapath->leave = true;
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		pv_worker_wake(datapath->workers[i], PV_SOURCE_LEAVE);
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		rte_eal_wait_lcore(datapath->workers[i]->lcore);
}

void
pv_datapath_free(struct pv_datapath *datapath)
{
	if (datapath == NULL)
		return;
	if (datapath->running) {
		stop_workers(datapath);
		datapath->running = false;
		pv_watchdog_stop(datapath);
		pv_relay_stop(datapath->relay); /* it wakes workers by their ports */
	}
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		release_packets(datapath->workers[i]);
	for (uint16_t i = 0; i < datapath->n_ports; i++)
		pv_steering_forget(datapath, i);
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		port->type->close(port);
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		free_worker(datapath->workers[i]);
	for (uint16_t i = 0; i < datapath->n_ports; i++)
		rte_free(datapath->ports[i]);
	pv_relay_free(datapath->relay);
	if (datapath->config != datapath->config_given)
		pv_config_free_variant(datapath->config);
	free(datapath->workers);
	free(datapath->ports);
	rte_free(datapath->qsbr);
	pv_fdb_free(datapath->fdb);
	rte_mempool_free(datapath->pool);
	free(datapath);
}
