/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What there is to know about contexts: of each one, and of what a worker does for those that it has.
 */
#include "core/backlog.h"
#include "core/contexts.h"
#include "core/report.h"
#include "core/turns.h"

/* One whose queues are several workers' is active at any of them. Where signals tell workers nobody takes turns. */
static const char *
state_of(const struct pv_datapath *datapath, const struct pv_port *port)
{
	uint16_t active = pv_queues_in_use(port);

	if (port->revoked || !port->up || datapath->critical != PV_CRITICAL_POLL)
		return pv_report_state(port);
	for (uint16_t queue = 0; queue < active; queue++)
		if (pv_turns_is_active(datapath->workers[port->owner[queue]]->turns, port->id))
			return "active";
	return "idle";
}

static void
add_turns(struct pv_turn_counters *sum, const struct pv_worker *worker, uint16_t context)
{
	const struct pv_turn_counters *counters = &worker->turns->turn[context].counters;

	sum->turns += counters->turns;
	sum->passed_by += counters->passed_by;
	sum->idled += counters->idled;
	sum->rung += counters->rung;
}

static void
sum_turns(const struct pv_datapath *datapath, const struct pv_port *port, struct pv_turn_counters *sum)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++)
		add_turns(sum, datapath->workers[i], port->id);
}

/* What the context has sent. */
struct sent {
	uint64_t packets, bytes;
	uint64_t waiting; /* packets, of those */
};

static void
sum_sent(const struct pv_datapath *datapath, const struct pv_port *port, struct sent *sum)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		sum->packets += datapath->workers[i]->ports[port->id].rx_packets;
		sum->bytes += datapath->workers[i]->ports[port->id].rx_bytes;
		sum->waiting += pv_backlog_waiting_of(datapath->workers[i], port->id);
	}
}

/* The address that the context speaks with, or null. */
static json_t *
address_json(const struct pv_port *port)
{
	uint64_t address = port->address;
	uint8_t bytes[6];
	char text[18];

	if (address == 0)
		return json_null();
	pv_context_mac(address, bytes);
	pv_mac_format(bytes, text);
	return json_string(text);
}

static json_t *
context_json(const struct pv_datapath *datapath, const struct pv_port *port)
{
	struct pv_turn_counters turns = { 0 };
	struct sent sent = { 0 };

	sum_turns(datapath, port, &turns);
	sum_sent(datapath, port, &sent);
	return json_pack("{s:s, s:i, s:s, s:o, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", port->name,
			 "worker", port->owner[0], "state", state_of(datapath, port), "address", address_json(port),
			 "vlan", port->vlan, "weight", (json_int_t)port->weight, "rate_limit_mbps",
			 (json_int_t)port->rate_limit_mbps, "turns", (json_int_t)turns.turns, "packets",
			 (json_int_t)sent.packets, "bytes", (json_int_t)sent.bytes, "waiting_packets",
			 (json_int_t)sent.waiting, "kicks", (json_int_t)turns.rung, "idled", (json_int_t)turns.idled,
			 "passed_by", (json_int_t)turns.passed_by);
}

json_t *
pv_report_contexts(const struct pv_datapath *datapath)
{
	const char *way = pv_datapath_binding(datapath, PV_PRIMITIVE_MULTIPLEXING)->implementation->name;
	json_t *contexts = json_array();

	for (uint16_t i = 0; pv_has_contexts(datapath) && i < datapath->n_ports; i++)
		if (datapath->ports[i] != NULL && pv_is_context(datapath->ports[i]))
			json_array_append_new(contexts, context_json(datapath, datapath->ports[i]));
	return json_pack("{s:I, s:s, s:o}", "time_ns", pv_report_now_ns(), "multiplexing", way, "contexts", contexts);
}

/* --- of a worker -------------------------------------------------------------------------------------------------- */

static json_t *
backlog_json(const struct pv_worker *worker)
{
	static const struct pv_backlog none;
	const struct pv_backlog *backlog = worker->backlog != NULL ? worker->backlog : &none;
	const struct pv_backlog_counters *c = &backlog->counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "waiting", (json_int_t)backlog->frames, "kept",
			 (json_int_t)c->kept, "expired", (json_int_t)c->expired, "displaced", (json_int_t)c->displaced,
			 "refused", (json_int_t)c->refused);
}

static json_t *
interrupts_json(const struct pv_worker *worker)
{
	const struct pv_interrupts_counters *c = &worker->interrupts.counters;

	return json_pack("{s:I, s:I, s:I, s:I}", "passes", (json_int_t)c->passes, "rings", (json_int_t)c->rings,
			 "calls", (json_int_t)c->calls, "covered", (json_int_t)c->covered);
}

json_t *
pv_report_contexts_of(const struct pv_datapath *datapath, const struct pv_worker *worker)
{
	struct pv_turn_counters turns = { 0 };

	for (uint16_t id = 0; id < datapath->n_ports; id++)
		add_turns(&turns, worker, id);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "active", (json_int_t)worker->turns->n_active, "turns",
			 (json_int_t)turns.turns, "passed_by", (json_int_t)turns.passed_by, "idled",
			 (json_int_t)turns.idled, "kicks", (json_int_t)turns.rung, "backlog", backlog_json(worker),
			 "interrupts", interrupts_json(worker));
}
