/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/bridge_hooks.h"

#include <errno.h>

#include <rte_ip.h>

#include "core/primitive.h"
#include "core/switch_inline.h"

/* --- chains of rules ---------------------------------------------------------------------------------------------- */

/* What a rule compares. A port that is PV_FDB_NO_PORT, a type 0 and a mask of zeroes are anything. It accepts. */
struct rule {
	uint16_t in, out;
	rte_be16_t type;
	struct rte_ether_addr source, source_mask, destination, destination_mask;
};

/* Behind the last rule everything is accepted. */
struct chain {
	const struct rule *rules;
	bool per_port; /* rule i is about port i: as many as there are ports */
};

/* One for each port that comes in. */
static struct rule accept_in[PV_PORTS_MAX];

static bool
is_under_mask(const struct rte_ether_addr *address, const struct rte_ether_addr *wanted,
	      const struct rte_ether_addr *mask)
{
	for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		if (((address->addr_bytes[i] ^ wanted->addr_bytes[i]) & mask->addr_bytes[i]) != 0)
			return false;
	return true;
}

static bool
matches(const struct rule *rule, const struct rte_ether_hdr *ether, const struct pv_bridge_state *state)
{
	return (rule->type == 0 || rule->type == ether->ether_type) &&
	       (rule->in == PV_FDB_NO_PORT || rule->in == state->in) &&
	       (rule->out == PV_FDB_NO_PORT || rule->out == state->out) &&
	       is_under_mask(&ether->src_addr, &rule->source, &rule->source_mask) &&
	       is_under_mask(&ether->dst_addr, &rule->destination, &rule->destination_mask);
}

/* Looks the rules through for the first that is about a frame, and counts it there. All accept. */
static void
look_through(const struct chain *chain, const struct rte_mbuf *packet, const struct pv_bridge_state *state)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	uint16_t n = chain->per_port ? state->worker->datapath->n_ports : 0, i = 0;

	while (i < n && !matches(&chain->rules[i], ether, state))
		i++;
	if (i == n)
		return;
	state->worker->ports[i].accepted_packets++;
	state->worker->ports[i].accepted_bytes += packet->pkt_len;
}

/* As ebtables does. */
static bool
filter_frame(void *own, const struct rte_mbuf *packet, const struct pv_bridge_state *state)
{
	look_through(own, packet, state);
	return true;
}

static bool
is_ip(const struct rte_mbuf *packet)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, const struct rte_ether_hdr *);
	uint8_t version;

	if (packet->data_len == RTE_ETHER_HDR_LEN)
		return false;
	version = *rte_pktmbuf_mtod_offset(packet, const uint8_t *, RTE_ETHER_HDR_LEN) >> 4;
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return version == 4 && packet->data_len >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr);
	return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && version == 6 &&
	       packet->data_len >= RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr);
}

/* As iptables does for what a bridge forwards. Linux drops what has a bad header; here it is no IP. */
static bool
filter_ip(void *own, const struct rte_mbuf *packet, const struct pv_bridge_state *state)
{
	if (is_ip(packet))
		look_through(own, packet, state);
	return true;
}

/* --- hooks -------------------------------------------------------------------------------------------------------- */

struct entry {
	pv_bridge_function *function;
	void *own;
};

static struct {
	struct entry entries[PV_BRIDGE_FUNCTIONS_MAX];
	uint16_t n;
} hooks[PV_BRIDGE_HOOK_COUNT];

int
pv_bridge_register(enum pv_bridge_hook hook, pv_bridge_function *function, void *own)
{
	if (hooks[hook].n == PV_BRIDGE_FUNCTIONS_MAX)
		return -ENOSPC;
	hooks[hook].entries[hooks[hook].n++] = (struct entry){ .function = function, .own = own };
	return 0;
}

int
pv_bridge_unregister(enum pv_bridge_hook hook, pv_bridge_function *function)
{
	uint16_t at = 0;

	while (at < hooks[hook].n && hooks[hook].entries[at].function != function)
		at++;
	if (at == hooks[hook].n)
		return -ENOENT;
	hooks[hook].n--;
	memmove(&hooks[hook].entries[at], &hooks[hook].entries[at + 1],
		(hooks[hook].n - at) * sizeof(hooks[hook].entries[0]));
	return 0;
}

/* What a driver domain has. */
__attribute__((constructor)) static void
set_up_hooks(void)
{
	static struct chain none, forward = { .rules = accept_in, .per_port = true };

	for (uint16_t i = 0; i < PV_PORTS_MAX; i++)
		accept_in[i] = (struct rule){ .in = i, .out = PV_FDB_NO_PORT };
	pv_bridge_register(PV_BRIDGE_PRE_ROUTING, filter_frame, &none);
	pv_bridge_register(PV_BRIDGE_PRE_ROUTING, filter_ip, &none);
	pv_bridge_register(PV_BRIDGE_FORWARD, filter_frame, &none);
	pv_bridge_register(PV_BRIDGE_FORWARD, filter_ip, &forward);
	pv_bridge_register(PV_BRIDGE_POST_ROUTING, filter_ip, &none);
	pv_bridge_register(PV_BRIDGE_POST_ROUTING, filter_frame, &none);
}

/* Has a packet pass a hook. False: it was dropped. */
static bool
pass_hook(struct pv_worker *worker, struct rte_mbuf *packet, enum pv_bridge_hook hook, uint16_t in, uint16_t out)
{
	const struct pv_bridge_state state = { .worker = worker, .hook = hook, .in = in, .out = out };

	worker->counters.hooked[hook]++;
	for (uint16_t i = 0; i < hooks[hook].n; i++) {
		if (likely(hooks[hook].entries[i].function(hooks[hook].entries[i].own, packet, &state)))
			continue;
		pv_drop(worker, packet->port, PV_DROP_FILTERED, packet);
		return false;
	}
	return true;
}

/* --- the bridge --------------------------------------------------------------------------------------------------- */

static bool
admit(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet)
{
	pv_switch_forget(memory);
	return pass_hook(worker, packet, PV_BRIDGE_PRE_ROUTING, packet->port, PV_FDB_NO_PORT) &&
	       pv_switch_learn(worker, memory, packet);
}

static void
forward(struct pv_worker *worker, struct rte_mbuf *packet, uint16_t to)
{
	if (pass_hook(worker, packet, PV_BRIDGE_FORWARD, packet->port, to) &&
	    pass_hook(worker, packet, PV_BRIDGE_POST_ROUTING, PV_FDB_NO_PORT, to))
		pv_deliver(worker, packet, to);
}

static void
forward_known(struct pv_worker *worker, struct pv_switch_memory *memory, struct rte_mbuf *packet, uint16_t egress)
{
	forward(worker, packet, egress);
}

static void
flood(struct pv_worker *worker, struct rte_mbuf *packet)
{
	pv_switch_flood(worker, packet, pv_switch_takes_all, forward);
}

static const struct pv_switch_rules rules = {
	.admit = admit,
	.flood = flood,
	.flood_unknown = flood,
	.deliver = forward_known,
};

static void
hooked_burst(struct pv_worker *worker, struct rte_mbuf **packets, uint16_t count)
{
	pv_switch_burst(worker, packets, count, &rules);
}

static const struct pv_implementation hooked_bridge = {
	.primitive = PV_PRIMITIVE_MULTIPLEXING,
	.name = "hooked-bridge",
	.summary = "the same, with hooks and chains of rules that each packet passes, as in Linux's bridge",
	.baselines = 1u << PV_BASELINE_XEN,
	.ops = &(const struct pv_multiplexing){ .switch_burst = hooked_burst },
};
PV_IMPLEMENTATION(hooked_bridge)
