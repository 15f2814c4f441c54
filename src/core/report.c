/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "core/path.h"

json_int_t
pv_report_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double
ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0.0 : (double)part / (double)whole;
}

/* The non-zero drops by name; `counts` begins with reason number `first`. */
static json_t *
drops_json(const uint64_t *counts, uint16_t first, uint16_t last)
{
	json_t *drops = json_object();

	for (uint16_t reason = first; reason < last; reason++)
		if (counts[reason] > 0)
			json_object_set_new(drops, pv_drop_name(reason), json_integer((json_int_t)counts[reason]));
	return drops;
}

static void
sum_port(const struct pv_datapath *datapath, uint16_t port, struct pv_port_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		const struct pv_port_counters *counters = &datapath->workers[i]->ports[port];

		sum->rx_packets += counters->rx_packets;
		sum->rx_bytes += counters->rx_bytes;
		sum->tx_packets += counters->tx_packets;
		sum->tx_bytes += counters->tx_bytes;
		sum->rx_calls += counters->rx_calls;
		sum->tx_calls += counters->tx_calls;
		sum->rx_cycles += counters->rx_cycles;
		sum->tx_cycles += counters->tx_cycles;
		sum->linearized += counters->linearized;
		sum->completed += counters->completed;
		sum->segmented += counters->segmented;
		sum->segments += counters->segments;
		for (uint16_t reason = 0; reason < pv_drop_count(); reason++)
			sum->drops[reason] += counters->drops[reason];
	}
}

static json_t *
direction_json(uint64_t packets, uint64_t bytes, uint64_t calls, uint64_t cycles)
{
	return json_pack("{s:I, s:I, s:I, s:f, s:f}", "packets", (json_int_t)packets, "bytes", (json_int_t)bytes,
			 "calls", (json_int_t)calls, "packets_per_call", ratio(packets, calls), "cycles_per_packet",
			 ratio(cycles, packets));
}

/* What the offload driver has done for a port. */
static json_t *
offload_json(const struct pv_port_counters *sum)
{
	return json_pack("{s:I, s:I, s:I}", "checksums", (json_int_t)sum->completed, "segmented",
			 (json_int_t)sum->segmented, "segments", (json_int_t)sum->segments);
}

const char *
pv_report_state(const struct pv_port *port)
{
	return port->revoked ? "revoked" : port->up ? "up" : "down";
}

static json_t *
port_json(const struct pv_datapath *datapath, const struct pv_port *port)
{
	struct pv_port_counters sum;
	char mac[18] = "";
	json_t *detail = port->type->report != NULL ? port->type->report(port) : json_object();

	sum_port(datapath, port->id, &sum);
	if (port->mac.set)
		pv_mac_format(port->mac.bytes, mac);
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:i, s:{s:i, s:i}, s:o, s:o, s:I, s:o, s:o, s:o}", "name",
			 port->name, "type", port->type->name, "role", pv_role_names[port->role], "state",
			 pv_report_state(port), "mac", port->mac.set ? mac : NULL, "mtu", (int)port->mtu, "queues",
			 "configured", port->queues, "active", port->up ? port->active_queues : 0, "rx",
			 direction_json(sum.rx_packets, sum.rx_bytes, sum.rx_calls, sum.rx_cycles), "tx",
			 direction_json(sum.tx_packets, sum.tx_bytes, sum.tx_calls, sum.tx_cycles), "linearized",
			 (json_int_t)sum.linearized, "software_offload", offload_json(&sum), "drops",
			 drops_json(sum.drops, 0, pv_drop_count()), "detail", detail);
}

json_t *
pv_report_ports(const struct pv_datapath *datapath)
{
	json_t *ports = json_array();

	for (const struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		json_array_append_new(ports, port_json(datapath, port));
	return json_pack("{s:I, s:o}", "time_ns", pv_report_now_ns(), "ports", ports);
}

static uint64_t
busy_cycles(const struct pv_datapath *datapath)
{
	uint64_t cycles = 0;

	for (uint16_t i = 0; i < datapath->n_workers; i++)
		cycles += datapath->workers[i]->counters.busy_cycles;
	return cycles;
}

/* What a stage and a section of the framework have in common. */
static json_t *
stage_json(const char *name, const char *kind, const struct pv_stage_counters *sum, uint64_t busy)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:f, s:f, s:I, s:I}", "name", name, "kind", kind, "calls",
			 (json_int_t)sum->calls, "packets", (json_int_t)sum->packets, "packets_per_call",
			 ratio(sum->packets, sum->calls), "cycles", (json_int_t)sum->cycles, "cycles_per_packet",
			 ratio(sum->cycles, sum->packets), "share", ratio(sum->cycles, busy), "emitted",
			 (json_int_t)sum->emitted, "dropped", (json_int_t)sum->dropped);
}

static json_t *
section_json(const struct pv_datapath *datapath, enum pv_section section, uint64_t busy)
{
	static const char *const names[] = {
		[PV_SECTION_RECEIVE] = "receive",
		[PV_SECTION_SWITCH] = "switch",
		[PV_SECTION_TRANSMIT] = "transmit",
		[PV_SECTION_NOTIFY] = "notify",
	};
	struct pv_stage_counters sum = { 0 };

	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		const struct pv_section_counters *counters = &datapath->workers[i]->counters.section[section];

		sum.calls += counters->calls;
		sum.packets += counters->packets;
		sum.cycles += counters->cycles;
	}
	sum.emitted = sum.packets;
	return stage_json(names[section], "core", &sum, busy);
}

/* Of every worker's instance of stage i. */
static void
sum_stage(const struct pv_datapath *datapath, uint16_t index, struct pv_stage_counters *sum, uint64_t *held)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		const struct pv_stage_self *self = &datapath->workers[i]->packet_stages.stages[index];

		sum->calls += self->counters.calls;
		sum->packets += self->counters.packets;
		sum->emitted += self->counters.emitted;
		sum->dropped += self->counters.dropped;
		sum->cycles += self->counters.cycles;
		*held += self->held;
	}
}

static json_t *
stage_drops(const struct pv_datapath *datapath, const struct pv_stage_self *self)
{
	uint64_t counts[PV_DROP_MAX] = { 0 };
	uint16_t first = self->drop_base, last = first;

	for (const struct pv_drop_reason *drop = self->stage->drops; drop != NULL && drop->name != NULL; drop++)
		last++;
	for (uint16_t port = 0; port < datapath->n_ports; port++) {
		struct pv_port_counters sum;

		sum_port(datapath, port, &sum);
		for (uint16_t reason = first; reason < last; reason++)
			counts[reason] += sum.drops[reason];
	}
	return drops_json(counts, first, last);
}

static void
add_packet_stages(const struct pv_datapath *datapath, json_t *stages, uint64_t busy)
{
	const struct pv_worker *first = datapath->workers[0];

	for (uint16_t i = 0; i < first->packet_stages.n; i++) {
		struct pv_stage_counters sum = { 0 };
		uint64_t held = 0;
		json_t *stage;

		sum_stage(datapath, i, &sum, &held);
		stage = stage_json(first->packet_stages.stages[i].stage->name, "packet", &sum, busy);
		json_object_set_new(stage, "held", json_integer((json_int_t)held));
		json_object_set_new(stage, "drops", stage_drops(datapath, &first->packet_stages.stages[i]));
		json_array_append_new(stages, stage);
	}
}

/* A mechanism has no packets of its own: its cost is part of what receives and transmits. */
static void
add_mechanisms(const struct pv_config *config, json_t *stages)
{
	for (size_t i = 0; i < config->n_stages; i++)
		if (config->stages[i].stage->primitive != NULL)
			json_array_append_new(stages, json_pack("{s:s, s:s, s:s}", "name",
								config->stages[i].stage->name, "kind", "mechanism",
								"primitive", config->stages[i].stage->primitive));
}

json_t *
pv_report_bindings(const struct pv_binding *bindings, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "primitive", bindings[i].primitive, "implementation",
						bindings[i].implementation->name, "why", bindings[i].why));
	return list;
}

json_t *
pv_report_stages(const struct pv_datapath *datapath)
{
	uint64_t busy = busy_cycles(datapath);
	json_t *stages = json_array();

	for (enum pv_section section = 0; section < PV_SECTION_COUNT; section++)
		json_array_append_new(stages, section_json(datapath, section, busy));
	add_packet_stages(datapath, stages, busy);
	add_mechanisms(datapath->config, stages);
	return json_pack("{s:I, s:I, s:o, s:o}", "time_ns", pv_report_now_ns(), "tsc_hz", (json_int_t)rte_get_tsc_hz(),
			 "primitives", pv_report_bindings(datapath->bindings, datapath->n_bindings), "stages", stages);
}

static json_t *
worker_queues(const struct pv_worker *worker)
{
	json_t *queues = json_array();

	for (uint16_t i = 0; i < worker->n_queues; i++)
		json_array_append_new(queues,
				      json_sprintf("%s.%u", worker->queues[i].port->name, worker->queues[i].queue));
	return queues;
}

static json_t *
worker_drops(const struct pv_datapath *datapath, const struct pv_worker *worker)
{
	uint64_t counts[PV_DROP_MAX] = { 0 };

	for (uint16_t port = 0; port < datapath->n_ports; port++)
		for (uint16_t reason = 0; reason < pv_drop_count(); reason++)
			counts[reason] += worker->ports[port].drops[reason];
	return drops_json(counts, 0, pv_drop_count());
}

/* What a worker asked of the kernel to keep its devices' signals out, and to wait for them. */
static json_t *
signals_json(const struct pv_worker *worker)
{
	const struct pv_events_counters *c = &worker->events.counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "mask_calls", (json_int_t)c->mask_calls, "wait_calls",
			 (json_int_t)c->wait_calls + (json_int_t)c->waits, "waits", (json_int_t)c->waits, "handled",
			 (json_int_t)c->signals, "deferred", (json_int_t)c->deferred, "mask_calls_per_packet",
			 ratio(c->mask_calls, worker->counters.packets));
}

/* By which code the worker's packets go, and what templates of flows did for them. */
static json_t *
path_json(const struct pv_worker *worker)
{
	const struct pv_template_counters *c = &worker->counters.templates;

	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "shape", worker->path->shape, "hits", (json_int_t)c->hits,
			 "misses", (json_int_t)c->misses, "stale", (json_int_t)c->stale, "evicted",
			 (json_int_t)c->evicted);
}

/* Contexts that came from other workers and went to them. */
static json_t *
moves_json(const struct pv_datapath *datapath, uint16_t worker)
{
	return json_pack("{s:I, s:I}", "in", (json_int_t)datapath->rebalance.moved_in[worker], "out",
			 (json_int_t)datapath->rebalance.moved_out[worker]);
}

/* Packets that passed the hooks of a bridge, and those that a rule of one accepted. */
static json_t *
hooks_json(const struct pv_datapath *datapath, const struct pv_worker *worker)
{
	const uint64_t *hooked = worker->counters.hooked;
	uint64_t accepted = 0;

	for (uint16_t port = 0; port < datapath->n_ports; port++)
		accepted += worker->ports[port].accepted_packets;
	return json_pack("{s:I, s:I, s:I, s:I}", "pre_routing", (json_int_t)hooked[PV_BRIDGE_PRE_ROUTING], "forward",
			 (json_int_t)hooked[PV_BRIDGE_FORWARD], "post_routing",
			 (json_int_t)hooked[PV_BRIDGE_POST_ROUTING], "accepted", (json_int_t)accepted);
}

static json_t *
worker_json(const struct pv_datapath *datapath, const struct pv_worker *worker)
{
	const struct pv_worker_counters *c = &worker->counters;

	return json_pack(
		"{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:f, s:I, s:I, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o}",
		"id", worker->id, "cpu", worker->cpu, "lcore", (int)worker->lcore, "rounds", (json_int_t)c->rounds,
		"busy_rounds", (json_int_t)c->busy_rounds, "sleeps", (json_int_t)c->sleeps, "busy_cycles",
		(json_int_t)c->busy_cycles, "idle_cycles", (json_int_t)c->idle_cycles, "busy_share",
		ratio(c->busy_cycles, c->busy_cycles + c->idle_cycles), "packets", (json_int_t)c->packets, "calls",
		(json_int_t)c->bursts, "packets_per_call", ratio(c->packets, c->bursts), "cycles_per_packet",
		ratio(c->busy_cycles, c->packets), "handed_over", (json_int_t)c->handed_over, "flooded",
		(json_int_t)c->flooded, "queues", worker_queues(worker), "drops", worker_drops(datapath, worker),
		"signals", signals_json(worker), "path", path_json(worker), "moves", moves_json(datapath, worker->id),
		"hooks", hooks_json(datapath, worker), "contexts", pv_report_contexts_of(datapath, worker));
}

/* Those in use are under way, or wait in a device: what is in a worker's cache is not. */
static json_t *
pool_json(const struct rte_mempool *pool)
{
	return json_pack("{s:I, s:I}", "size", (json_int_t)pool->size, "in_use",
			 (json_int_t)rte_mempool_in_use_count(pool));
}

json_t *
pv_report_workers(const struct pv_datapath *datapath)
{
	json_t *workers = json_array();

	for (uint16_t i = 0; i < datapath->n_workers; i++)
		json_array_append_new(workers, worker_json(datapath, datapath->workers[i]));
	return json_pack("{s:I, s:I, s:o, s:o}", "time_ns", pv_report_now_ns(), "tsc_hz", (json_int_t)rte_get_tsc_hz(),
			 "packet_buffers", pool_json(datapath->pool), "workers", workers);
}

static json_t *
address_json(const struct pv_datapath *datapath, const struct pv_fdb_address *address)
{
	char mac[18];

	pv_mac_format(address->mac, mac);
	return json_pack("{s:s, s:s, s:b, s:b, s:i}", "mac", mac, "port", datapath->ports[address->port]->name,
			 "static", address->is_static, "claimed", address->is_claimed, "age_s", (int)address->age_s);
}

static json_t *
addresses_json(const struct pv_datapath *datapath, size_t *used)
{
	json_t *list = json_array();
	size_t max = pv_fdb_capacity(datapath->fdb);
	struct pv_fdb_address *addresses = calloc(max, sizeof(*addresses));

	*used = 0;
	if (addresses == NULL)
		return list;
	*used = pv_fdb_list(datapath->fdb, addresses, max, pv_now_s());
	for (size_t i = 0; i < RTE_MIN(*used, max); i++)
		json_array_append_new(list, address_json(datapath, &addresses[i]));
	free(addresses);
	return list;
}

json_t *
pv_report_fdb(const struct pv_datapath *datapath)
{
	struct pv_fdb_counters counters;
	size_t used;
	json_t *addresses = addresses_json(datapath, &used);

	pv_fdb_counters(datapath->fdb, &counters);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "capacity",
			 (json_int_t)pv_fdb_capacity(datapath->fdb), "used", (json_int_t)used, "ageing_s",
			 (json_int_t)pv_fdb_ageing_s(datapath->fdb), "learned", (json_int_t)counters.learned, "moved",
			 (json_int_t)counters.moved, "aged", (json_int_t)counters.aged, "evicted",
			 (json_int_t)counters.evicted, "refused", (json_int_t)counters.refused, "addresses", addresses);
}

json_t *
pv_report_config(const struct pv_datapath *datapath)
{
	return json_pack("{s:o, s:o}", "config", pv_config_dump(datapath->config), "bindings",
			 pv_report_bindings(datapath->bindings, datapath->n_bindings));
}

struct pv_port *
pv_report_find_port(const struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	const char *names[PV_PORTS_MAX + 1] = { NULL };
	const char *near;
	uint16_t n = 0;

	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port)) {
		if (strcmp(port->name, name) == 0)
			return port;
		names[n++] = port->name;
	}
	near = pv_nearest(name, names);
	if (near != NULL)
		snprintf(error, size, "no port \"%s\"; did you mean \"%s\"?", name, near);
	else
		snprintf(error, size, "no port \"%s\"; pktvirt-ctl show ports says which there are", name);
	return NULL;
}

json_t *
pv_report_doctor(const struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	const struct pv_port *port = pv_report_find_port(datapath, name, error, size);
	json_t *summary;

	if (port == NULL)
		return NULL;
	if (port->type->doctor == NULL) {
		snprintf(error, size, "port \"%s\" is of type %s, which negotiates no features; expected vhost-user",
			 name, port->type->name);
		return NULL;
	}
	summary = json_array();
	if (port->revoked)
		json_array_append_new(summary,
				      json_string("its guest is shut out: pktvirt-ctl context grant lets it in"));
	json_array_append_new(summary, port->up ? json_sprintf("a guest is attached, with %u of %u queue pairs in use",
							       port->active_queues, port->queues) :
						  json_string("no guest is attached: \"accepted\" means nothing yet"));
	return json_pack("{s:s, s:s, s:o, s:o}", "port", name, "state", pv_report_state(port), "summary", summary,
			 "features", port->type->doctor(port));
}
