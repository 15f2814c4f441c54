/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/restage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "core/report.h"
#include "core/telemetry.h"
#include "core/worker_stages.h"

/* The name in an entry of "stages", and its options or NULL. */
static const char *
entry_name(json_t *entry, json_t **options)
{
	void *member = json_object_iter(entry);

	*options = member != NULL ? json_object_iter_value(member) : NULL;
	return member != NULL ? json_object_iter_key(member) : json_string_value(entry);
}

/* Where a stage is in a list; its length when it is not there. */
static size_t
find_entry(json_t *stages, const char *name)
{
	json_t *entry, *options;
	size_t i;

	json_array_foreach(stages, i, entry)
		if (strcmp(entry_name(entry, &options), name) == 0)
			return i;
	return json_array_size(stages);
}

/* Where a stage belongs that is not listed now: before the first that came after it in the configuration file. */
static size_t
find_place(const struct pv_datapath *datapath, json_t *stages, const char *name)
{
	const struct pv_config *first = datapath->config_given;
	size_t i = 0;

	while (i < first->n_stages && strcmp(first->stages[i].stage->name, name) != 0)
		i++;
	for (i++; i < first->n_stages; i++) {
		size_t at = find_entry(stages, first->stages[i].stage->name);

		if (at < json_array_size(stages))
			return at;
	}
	return json_array_size(stages);
}

/* The entry of a stage in the configuration file, or its name alone. */
static json_t *
entry_given(const struct pv_datapath *datapath, const char *name)
{
	json_t *dump = pv_config_dump(datapath->config_given), *stages = json_object_get(dump, "stages");
	json_t *entry = json_array_get(stages, find_entry(stages, name));

	entry = entry != NULL ? json_incref(entry) : json_string(name);
	json_decref(dump);
	return entry;
}

/* Changes options of the entry at a place. */
static void
set_options(json_t *stages, size_t at, const char *name, const json_t *change)
{
	json_t *options = NULL, *changed;

	entry_name(json_array_get(stages, at), &options);
	changed = options != NULL ? json_deep_copy(options) : json_object();
	json_object_update(changed, (json_t *)(uintptr_t)change);
	json_array_set_new(stages, at, json_pack("{s:o}", name, changed));
}

/* The list of stages with the change made; the caller owns it. */
static json_t *
change_list(const struct pv_datapath *datapath, const char *name, const json_t *change)
{
	json_t *dump = pv_config_dump(datapath->config);
	json_t *stages = json_incref(json_object_get(dump, "stages"));
	size_t at = find_entry(stages, name);

	json_decref(dump);
	if (json_is_false(change)) {
		json_array_remove(stages, at);
		return stages;
	}
	if (at == json_array_size(stages)) {
		at = find_place(datapath, stages, name);
		json_array_insert_new(stages, at, entry_given(datapath, name));
	}
	if (json_is_object(change))
		set_options(stages, at, name, change);
	return stages;
}

/* The configuration with other stages; NULL with the reason in `error`. */
static struct pv_config *
read_stages(const struct pv_config *config, json_t *stages, char *error, size_t size)
{
	struct pv_diag *diag = pv_diag_new("stages", NULL);
	struct pv_config *variant = diag != NULL ? pv_config_with_stages(config, stages, diag) : NULL;

	snprintf(error, size, "out of memory");
	if (diag != NULL && pv_diag_count(diag) > 0) {
		pv_diag_join(diag, error, size);
		pv_config_free_variant(variant);
		variant = NULL;
	}
	pv_diag_free(diag);
	return variant;
}

/* --- going over ------------------------------------------------------------------------------------------------------
 */

/* All that is exchanged. */
struct change {
	struct pv_config *config;
	struct pv_binding bindings[PV_BINDINGS_MAX];
	size_t n_bindings;
	struct pv_worker_stages sets[PV_WORKERS_MAX];
	uint16_t n_sets;
};

static void
swap_bindings(struct pv_datapath *datapath, struct change *change)
{
	struct pv_binding bindings[PV_BINDINGS_MAX];
	size_t n = datapath->n_bindings;

	memcpy(bindings, datapath->bindings, sizeof(bindings));
	memcpy(datapath->bindings, change->bindings, sizeof(bindings));
	datapath->n_bindings = change->n_bindings;
	memcpy(change->bindings, bindings, sizeof(bindings));
	change->n_bindings = n;
}

/* Has the ports before `end` go over to what is bound. The one that did not, or `end`; NULL is behind the last. */
static const struct pv_port *
rebind_ports(struct pv_datapath *datapath, const struct pv_port *end)
{
	const struct pv_port_env env = pv_datapath_port_env(datapath);

	for (struct pv_port *port = pv_first_port(datapath); port != end; port = pv_next_port(datapath, port))
		if (port->type->rebind != NULL && port->type->rebind(port, &env) != 0)
			return port;
	return end;
}

static int
make_sets(struct pv_datapath *datapath, struct change *change)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		struct pv_worker *worker = datapath->workers[i];
		int result = pv_worker_stages_make(worker, change->config, &worker->packet_stages, &change->sets[i]);

		if (result != 0)
			return result;
		change->n_sets++;
	}
	return 0;
}

/* With the workers held. 0, or -errno and all is as before. */
static int
go_over(struct pv_datapath *datapath, struct change *change)
{
	const struct pv_port *failed;
	int result = make_sets(datapath, change);

	if (result == 0) {
		swap_bindings(datapath, change);
		pv_datapath_choose_multiplexing(datapath);
		failed = rebind_ports(datapath, NULL);
		result = failed == NULL ? pv_datapath_choose_path(datapath) : -EIO;
		if (result == 0)
			result = pv_datapath_choose_critical(datapath);
		if (result != 0) {
			swap_bindings(datapath, change);
			pv_datapath_choose_multiplexing(datapath);
			rebind_ports(datapath, failed);
			pv_datapath_choose_path(datapath);
		}
	}
	for (uint16_t i = 0; i < change->n_sets; i++) {
		if (result == 0)
			pv_worker_stages_replace(datapath->workers[i], &change->sets[i]);
		else
			pv_worker_stages_discard(&change->sets[i]);
	}
	return result;
}

/* A frontend that sends messages all the time may be before us here, and no worker is held yet. */
static void
begin_rebind(struct pv_datapath *datapath)
{
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (port->type->begin_rebind != NULL)
			port->type->begin_rebind(port);
}

static void
end_rebind(struct pv_datapath *datapath)
{
	for (struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (port->type->end_rebind != NULL)
			port->type->end_rebind(port);
}

/* Exchanges the configuration for its variant. 0 and for how long the workers were held, or -errno. */
static int
apply(struct pv_datapath *datapath, struct change *change, uint64_t *held_us)
{
	struct pv_config *before = datapath->config;
	uint64_t start;
	int result;

	pv_telemetry_show(NULL);
	begin_rebind(datapath);
	start = pv_now_us();
	pv_hold_workers(datapath);
	result = go_over(datapath, change);
	if (result == 0)
		datapath->config = change->config;
	pv_release_workers(datapath);
	*held_us = pv_now_us() - start;
	end_rebind(datapath);
	pv_telemetry_show(datapath);
	if (result != 0)
		pv_config_free_variant(change->config);
	else if (before != datapath->config_given)
		pv_config_free_variant(before);
	return result;
}

/* What there is now, and for how long packets waited for it. */
static json_t *
report(const struct pv_datapath *datapath, uint64_t held_us)
{
	json_t *dump = pv_config_dump(datapath->config);
	json_t *answer =
		json_pack("{s:I, s:O, s:o}", "held_us", (json_int_t)held_us, "stages", json_object_get(dump, "stages"),
			  "primitives", pv_report_bindings(datapath->bindings, datapath->n_bindings));

	json_decref(dump);
	return answer;
}

/* The configuration that is wanted; a stage that does not exist is listed, so that the reader says what does. */
static struct pv_config *
make_variant(const struct pv_datapath *datapath, const char *name, const json_t *wanted, char *error, size_t size)
{
	json_t *stages = change_list(datapath, name, pv_stage_find(name) != NULL ? wanted : json_true());
	struct pv_config *variant = read_stages(datapath->config, stages, error, size);

	json_decref(stages);
	return variant;
}

/*
 * Guests negotiate features once, when they attach: they could not be offered others now. Less is as good as the same
 * for a packet stage, whose packets a guest then just does not get; not for the interface itself.
 */
static bool
changes_what_guests_have(const struct pv_datapath *datapath, const struct change *change)
{
	struct pv_config none = *change->config;
	uint64_t before, after;

	none.n_stages = 0;
	before = pv_guest_features(&none, datapath->bindings, datapath->n_bindings);
	after = pv_guest_features(&none, change->bindings, change->n_bindings);
	return before != after || (pv_guest_features(change->config, change->bindings, change->n_bindings) &
				   ~datapath->guest_features) != 0;
}

json_t *
pv_restage(struct pv_datapath *datapath, const char *name, const json_t *wanted, char *error, size_t size)
{
	struct change change = { .config = make_variant(datapath, name, wanted, error, size) };
	uint64_t held_us;
	int result;

	if (change.config == NULL)
		return NULL;
	result = pv_bind(change.config, change.bindings, PV_BINDINGS_MAX);
	if (result < 0) {
		pv_config_free_variant(change.config);
		snprintf(error, size, "%s cannot be bound: see the log", name);
		return NULL;
	}
	change.n_bindings = (size_t)result;
	if (changes_what_guests_have(datapath, &change)) {
		pv_config_free_variant(change.config);
		snprintf(error, size,
			 "%s: what guests are offered would change, and they negotiate that once: list it in the "
			 "configuration, and start pktvirt with that",
			 name);
		return NULL;
	}
	result = apply(datapath, &change, &held_us);
	if (result != 0) {
		snprintf(error, size, "nothing was changed: %s: see the log", strerror(-result));
		return NULL;
	}
	return report(datapath, held_us);
}
