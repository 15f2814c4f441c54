/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/steering.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/contexts.h"
#include "core/datapath.h"

#define GROUP_BIT 1u /* of an address's first byte: of no single guest */

/* A rule: frames for an address (as port->address; 0: there is none), of a VLAN or of any, go to a queue pair. */
struct rule {
	uint64_t address;
	uint16_t vlan, queue;
};

/* What there is at a wire port, for each context. */
struct pv_steered {
	struct {
		struct rule made;
		struct rule failed; /* not to be had, */
		uint32_t again_s;   /* to be asked for at that time */
	} of[PV_PORTS_MAX];
	bool lacks[2];	  /* kinds of rules, without and with a VLAN, that the device has not, */
	bool has[2];	  /* and has, as it made one */
	uint16_t first;	  /* context that a look begins with */
	uint32_t changes; /* that this look may still make */
	struct pv_log_limit limit;
};

static bool
is_same(const struct rule *a, const struct rule *b)
{
	return a->address == b->address && a->vlan == b->vlan && a->queue == b->queue;
}

/* --- what is to be ------------------------------------------------------------------------------------------------ */

/* The worker that owns every queue pair in use, or PV_WORKERS_MAX. */
static uint16_t
only_owner(const struct pv_port *port)
{
	uint16_t active = pv_queues_in_use(port);

	for (uint16_t queue = 1; queue < active; queue++)
		if (port->owner[queue] != port->owner[0])
			return PV_WORKERS_MAX;
	return port->owner[0];
}

/* A queue pair of the wire that a worker owns, the `turn`th in turn. False when there is none. */
static bool
find_queue(const struct pv_port *wire, uint16_t worker, uint16_t turn, uint16_t *queue)
{
	uint16_t own[PV_QUEUES_MAX], n = 0, active = pv_queues_in_use(wire);

	for (uint16_t i = 0; i < active; i++)
		if (wire->owner[i] == worker)
			own[n++] = i;
	if (n > 0)
		*queue = own[turn % n];
	return n > 0;
}

/* The rule that a context is to have at a wire; one without an address when it is to have none. */
static struct rule
wanted_rule(const struct pv_datapath *datapath, const struct pv_port *wire, uint16_t context)
{
	const struct pv_port *port = datapath->ports[context];
	struct rule none = { 0 }, rule = { 0 };

	if (port == NULL || !pv_is_context(port) || !port->up || !wire->up || !pv_has_contexts(datapath))
		return none;
	rule.address = port->mac.set ? pv_context_address(port->mac.bytes) : port->address;
	rule.vlan = port->vlan;
	if (rule.address == 0 || (rule.address & GROUP_BIT) != 0)
		return none;
	/* The contexts of a worker are every n_workers'th (core/worker_queues.c). */
	return find_queue(wire, only_owner(port), (uint16_t)(context / datapath->n_workers), &rule.queue) ? rule : none;
}

static bool
can_steer(const struct pv_port *wire)
{
	return wire != NULL && !pv_is_context(wire) && wire->type->steer != NULL && wire->queues > 1;
}

/* --- making it so ------------------------------------------------------------------------------------------------- */

static void
take_away(struct pv_port *wire, struct pv_steered *steered, uint16_t context)
{
	struct rule *made = &steered->of[context].made;
	uint8_t mac[6];
	int result;

	pv_context_mac(made->address, mac);
	result = wire->type->unsteer(wire, mac, made->vlan);
	if (result == 0)
		made->address = 0;
	else
		pv_log_limited(&steered->limit, PV_LOG_WARNING, wire->name,
			       "the device does not let go of a rule for an address: %s", strerror(-result));
}

/* Some drivers take a rule for valid and then have no way to make it (net_tap without a multiq qdisc). */
static void
refused(const struct pv_port *wire, struct pv_steered *steered, uint16_t context, const struct rule *rule, int result,
	uint32_t now_s)
{
	bool kind = rule->vlan != 0;

	if (result == -ENOTSUP || !steered->has[kind]) {
		steered->lacks[kind] = true;
		pv_info(wire->name,
			"the device takes no rules by address%s: %s: frames are handed from worker to worker",
			kind ? " and VLAN" : "", strerror(-result));
		return;
	}
	steered->of[context].failed = *rule;
	steered->of[context].again_s = now_s + PV_STEERING_AGAIN_S;
	pv_log_limited(&steered->limit, PV_LOG_WARNING, wire->name,
		       "the device does not take a rule for an address: %s", strerror(-result));
}

static void
make(struct pv_port *wire, struct pv_steered *steered, uint16_t context, const struct rule *rule, uint32_t now_s)
{
	uint8_t mac[6];
	int result;

	pv_context_mac(rule->address, mac);
	result = wire->type->steer(wire, mac, rule->vlan, rule->queue);
	if (result != 0) {
		refused(wire, steered, context, rule, result, now_s);
		return;
	}
	steered->of[context].made = *rule;
	steered->has[rule->vlan != 0] = true;
}

static bool
is_to_be_asked_for(const struct pv_steered *steered, uint16_t context, const struct rule *rule, uint32_t now_s)
{
	if (rule->address == 0 || steered->lacks[rule->vlan != 0] || steered->of[context].made.address != 0)
		return false;
	return !is_same(rule, &steered->of[context].failed) || now_s >= steered->of[context].again_s;
}

/* An address that went from one context to another is taken from that before the other gets it. */
static void
take_wrong_ones_away(const struct pv_datapath *datapath, struct pv_port *wire, struct pv_steered *steered)
{
	for (uint16_t i = 0; i < datapath->n_ports && steered->changes > 0; i++) {
		uint16_t context = (uint16_t)((steered->first + i) % datapath->n_ports);
		struct rule wanted = wanted_rule(datapath, wire, context);

		if (steered->of[context].made.address == 0 || is_same(&wanted, &steered->of[context].made))
			continue;
		take_away(wire, steered, context);
		steered->changes--;
	}
}

/* Where the changes end that a look may make, the next begins. */
static void
make_lacking_ones(const struct pv_datapath *datapath, struct pv_port *wire, struct pv_steered *steered, uint32_t now_s)
{
	uint16_t first = steered->first;

	for (uint16_t i = 0; i < datapath->n_ports && steered->changes > 0; i++) {
		uint16_t context = (uint16_t)((first + i) % datapath->n_ports);
		struct rule wanted = wanted_rule(datapath, wire, context);

		if (!is_to_be_asked_for(steered, context, &wanted, now_s))
			continue;
		make(wire, steered, context, &wanted, now_s);
		steered->first = (uint16_t)(context + 1);
		steered->changes--;
	}
}

static struct pv_steered *
steered_at(struct pv_steering *steering, uint16_t wire)
{
	if (steering->at[wire] == NULL)
		steering->at[wire] = calloc(1, sizeof(*steering->at[wire]));
	if (steering->at[wire] != NULL)
		steering->at[wire]->limit.burst = 3;
	return steering->at[wire];
}

/* As far as the device lets go. */
static void
let_go(const struct pv_datapath *datapath, uint16_t wire, uint16_t context)
{
	struct pv_steered *steered = datapath->steering.at[wire];

	if (steered != NULL && steered->of[context].made.address != 0)
		take_away(datapath->ports[wire], steered, context);
}

void
pv_steer(struct pv_datapath *datapath, uint32_t now_s)
{
	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		struct pv_port *wire = datapath->ports[i];
		struct pv_steered *steered = NULL;

		if (can_steer(wire) && (pv_has_contexts(datapath) || datapath->steering.at[i] != NULL))
			steered = steered_at(&datapath->steering, i);
		if (steered == NULL)
			continue;
		steered->changes = PV_STEERING_CHANGES;
		take_wrong_ones_away(datapath, wire, steered);
		make_lacking_ones(datapath, wire, steered, now_s);
	}
}

void
pv_steering_forget(struct pv_datapath *datapath, uint16_t port)
{
	for (uint16_t i = 0; i < datapath->n_ports; i++) {
		let_go(datapath, i, port);
		let_go(datapath, port, i);
	}
	free(datapath->steering.at[port]);
	datapath->steering.at[port] = NULL;
}
