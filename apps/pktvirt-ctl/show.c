/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of `pktvirt-ctl show`. */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "print.h"
#include "value.h"

#define COLUMNS(columns) (sizeof(columns) / sizeof((columns)[0]))

static void
cell_count(struct table *table, const json_t *object, const char *key)
{
	char text[NUMBER_MAX];

	table_cell(table, "%s", format_exact(value_count(object, key), text));
}

/* A cell with one decimal; empty where the daemon gives none (a mechanism has no packets of its own). */
static void
cell_ratio(struct table *table, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_number(value))
		table_cell(table, "%.1f", json_number_value(value));
	else
		table_cell(table, "%s", "");
}

static void
cell_share(struct table *table, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	char text[NUMBER_MAX];

	table_cell(table, "%s", value != NULL ? format_share(json_number_value(value), text) : "");
}

static void
cell_optional_count(struct table *table, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	char text[NUMBER_MAX];

	table_cell(table, "%s", value != NULL ? format_exact(value_count(object, key), text) : "");
}

/* Prints a table that is not empty, after an empty line, and frees it. */
static void
print_section(struct table *table, FILE *out)
{
	if (table_rows(table) > 0) {
		fputc('\n', out);
		table_print(table, out);
	}
	table_free(table);
}

/* The non-zero drops of every object in `list`; `owner` is the key, and the head, of their names. */
static void
print_drops(json_t *list, const char *head, const char *owner, FILE *out)
{
	const struct column columns[] = { { head, false }, { "drop reason", false }, { "packets", true } };
	struct table *table = table_new(columns, COLUMNS(columns));
	const char *reason;
	json_t *object, *packets;
	size_t i;

	json_array_foreach(list, i, object) {
		json_object_foreach(json_object_get(object, "drops"), reason, packets) {
			json_t *name = json_object_get(object, owner);

			if (json_is_string(name))
				table_cell(table, "%s", json_string_value(name));
			else
				table_cell(table, "%lld", (long long)json_integer_value(name));
			table_cell(table, "%s", reason);
			cell_count(table, json_object_get(object, "drops"), reason);
		}
	}
	print_section(table, out);
}

static void
add_port(struct table *table, const json_t *port)
{
	const json_t *queues = json_object_get(port, "queues");
	const json_t *rx = json_object_get(port, "rx"), *tx = json_object_get(port, "tx");
	const char *mac = value_text(port, "mac");
	char dropped[NUMBER_MAX];

	table_cell(table, "%s", value_text(port, "name"));
	table_cell(table, "%s", value_text(port, "type"));
	table_cell(table, "%s", value_text(port, "role"));
	table_cell(table, "%s", value_text(port, "state"));
	table_cell(table, "%s", mac[0] != '\0' ? mac : "-");
	table_cell(table, "%lld", (long long)value_count(port, "mtu"));
	table_cell(table, "%lld/%lld", (long long)value_count(queues, "active"),
		   (long long)value_count(queues, "configured"));
	cell_count(table, rx, "packets");
	cell_count(table, rx, "bytes");
	cell_count(table, tx, "packets");
	cell_count(table, tx, "bytes");
	table_cell(table, "%s", format_exact(value_sum(json_object_get(port, "drops")), dropped));
}

/* "socket=/run/pktvirt/vm0.sock mode=server": the scalars; lists are for --json and `doctor`. */
static void
cell_detail(struct table *table, json_t *detail)
{
	char *text = NULL;
	const char *key, *space = "";
	size_t size;
	FILE *line = open_memstream(&text, &size);
	json_t *value;

	if (line == NULL)
		return;
	json_object_foreach(detail, key, value) {
		if (json_is_array(value) || json_is_object(value) || json_is_null(value))
			continue;
		fprintf(line, "%s%s=", space, key);
		if (json_is_string(value))
			fputs(json_string_value(value), line);
		else
			json_dumpf(value, line, JSON_ENCODE_ANY);
		space = " ";
	}
	fclose(line);
	table_cell(table, "%s", text);
	free(text);
}

static void
print_details(json_t *ports, FILE *out)
{
	static const struct column columns[] = { { "port", false }, { "detail", false } };
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *port;
	size_t i;

	json_array_foreach(ports, i, port) {
		if (json_object_size(json_object_get(port, "detail")) == 0)
			continue;
		table_cell(table, "%s", value_text(port, "name"));
		cell_detail(table, json_object_get(port, "detail"));
	}
	print_section(table, out);
}

void
print_ports(const json_t *result, FILE *out)
{
	static const struct column columns[] = {
		{ "port", false },    { "type", false },      { "role", false },    { "state", false },
		{ "mac", false },     { "mtu", true },	      { "queues", true },   { "rx packets", true },
		{ "rx bytes", true }, { "tx packets", true }, { "tx bytes", true }, { "dropped", true },
	};
	json_t *ports = json_object_get(result, "ports"), *port;
	struct table *table = table_new(columns, COLUMNS(columns));
	size_t i;

	json_array_foreach(ports, i, port)
		add_port(table, port);
	table_print(table, out);
	table_free(table);
	print_drops(ports, "port", "name", out);
	print_details(ports, out);
}

/* How each primitive is done, and why so. */
static void
print_primitives(json_t *primitives, FILE *out)
{
	static const struct column columns[] = { { "primitive", false }, { "bound", false }, { "why", false } };
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *primitive;
	size_t i;

	json_array_foreach(primitives, i, primitive) {
		table_cell(table, "%s", value_text(primitive, "primitive"));
		table_cell(table, "%s", value_text(primitive, "implementation"));
		table_cell(table, "%s", value_text(primitive, "why"));
	}
	print_section(table, out);
}

static void
add_stage(struct table *table, const json_t *stage)
{
	table_cell(table, "%s", value_text(stage, "name"));
	table_cell(table, "%s", value_text(stage, "kind"));
	cell_optional_count(table, stage, "calls");
	cell_optional_count(table, stage, "packets");
	cell_ratio(table, stage, "packets_per_call");
	cell_ratio(table, stage, "cycles_per_packet");
	cell_share(table, stage, "share");
	cell_optional_count(table, stage, "emitted");
	cell_optional_count(table, stage, "dropped");
	cell_optional_count(table, stage, "held");
}

void
print_stages(const json_t *result, FILE *out)
{
	static const struct column columns[] = {
		{ "stage", false },	  { "kind", false },	     { "calls", true }, { "packets", true },
		{ "packets/call", true }, { "cycles/packet", true }, { "share", true }, { "emitted", true },
		{ "dropped", true },	  { "held", true },
	};
	json_t *stages = json_object_get(result, "stages"), *stage;
	struct table *table = table_new(columns, COLUMNS(columns));
	size_t i;

	json_array_foreach(stages, i, stage)
		add_stage(table, stage);
	table_print(table, out);
	table_free(table);
	print_drops(stages, "stage", "name", out);
	print_primitives(json_object_get(result, "primitives"), out);
}

/* "vm0.0 vm1.0" */
static void
cell_queues(struct table *table, json_t *queues)
{
	char *text = NULL;
	size_t size, i;
	FILE *line = open_memstream(&text, &size);
	json_t *queue;

	if (line == NULL)
		return;
	json_array_foreach(queues, i, queue)
		fprintf(line, "%s%s", i > 0 ? " " : "", json_string_value(queue));
	fclose(line);
	table_cell(table, "%s", text);
	free(text);
}

static void
add_worker(struct table *table, const json_t *worker)
{
	cell_count(table, worker, "id");
	cell_count(table, worker, "cpu");
	cell_share(table, worker, "busy_share");
	cell_count(table, worker, "rounds");
	cell_count(table, worker, "busy_rounds");
	cell_count(table, worker, "packets");
	cell_ratio(table, worker, "packets_per_call");
	cell_ratio(table, worker, "cycles_per_packet");
	cell_ratio(table, json_object_get(worker, "signals"), "mask_calls_per_packet");
	cell_queues(table, json_object_get(worker, "queues"));
}

/* By which code packets go, and the templates of their flows. */
static void
print_paths(json_t *workers, FILE *out)
{
	static const struct column columns[] = { { "worker", false }, { "path", false }, { "hits", true },
						 { "misses", true },  { "stale", true }, { "evicted", true } };
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker) {
		const json_t *path = json_object_get(worker, "path");

		cell_count(table, worker, "id");
		table_cell(table, "%s", value_text(path, "shape"));
		cell_count(table, path, "hits");
		cell_count(table, path, "misses");
		cell_count(table, path, "stale");
		cell_count(table, path, "evicted");
	}
	print_section(table, out);
}

static void
add_worker_contexts(struct table *table, const json_t *worker)
{
	const json_t *contexts = json_object_get(worker, "contexts");
	const json_t *backlog = json_object_get(contexts, "backlog"), *calls = json_object_get(contexts, "interrupts");

	cell_count(table, worker, "id");
	cell_count(table, contexts, "turns");
	cell_count(table, contexts, "passed_by");
	cell_count(table, contexts, "kicks");
	cell_count(table, backlog, "waiting");
	cell_count(table, backlog, "kept");
	cell_count(table, backlog, "expired");
	cell_count(table, backlog, "displaced");
	cell_count(table, backlog, "refused");
	cell_count(table, calls, "covered");
	cell_count(table, calls, "calls");
}

/* Turns, frames that waited for a full queue, and calls of guests that were gathered; of workers that have contexts. */
static void
print_worker_contexts(json_t *workers, FILE *out)
{
	static const struct column columns[] = {
		{ "worker", false }, { "turns", true },	     { "passed by", true },   { "kicks", true },
		{ "waiting", true }, { "waited", true },     { "expired", true },     { "displaced", true },
		{ "refused", true }, { "given back", true }, { "guest calls", true },
	};
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker)
		if (value_count(json_object_get(worker, "contexts"), "turns") != 0)
			add_worker_contexts(table, worker);
	print_section(table, out);
}

void
print_workers(const json_t *result, FILE *out)
{
	static const struct column columns[] = {
		{ "worker", true },	  { "cpu", true },	     { "busy", true },
		{ "rounds", true },	  { "busy rounds", true },   { "packets", true },
		{ "packets/call", true }, { "cycles/packet", true }, { "mask calls/packet", true },
		{ "queues", false },
	};
	json_t *workers = json_object_get(result, "workers"), *worker;
	struct table *table = table_new(columns, COLUMNS(columns));
	size_t i;

	json_array_foreach(workers, i, worker)
		add_worker(table, worker);
	table_print(table, out);
	table_free(table);
	print_drops(workers, "worker", "id", out);
	print_paths(workers, out);
	print_worker_contexts(workers, out);
}

/* A text or a number of which none is "-". */
static void
cell_optional_text(struct table *table, const json_t *object, const char *key)
{
	const char *text = value_text(object, key);

	table_cell(table, "%s", text[0] != '\0' ? text : "-");
}

static void
cell_unless_zero(struct table *table, const json_t *object, const char *key)
{
	char text[NUMBER_MAX];

	table_cell(table, "%s", value_count(object, key) != 0 ? format_exact(value_count(object, key), text) : "-");
}

static void
add_context(struct table *table, const json_t *context)
{
	table_cell(table, "%s", value_text(context, "name"));
	cell_count(table, context, "worker");
	table_cell(table, "%s", value_text(context, "state"));
	cell_optional_text(table, context, "address");
	cell_unless_zero(table, context, "vlan");
	cell_count(table, context, "weight");
	cell_unless_zero(table, context, "rate_limit_mbps");
	cell_count(table, context, "turns");
	cell_count(table, context, "packets");
	cell_count(table, context, "bytes");
	cell_count(table, context, "kicks");
	cell_count(table, context, "waiting_packets");
}

void
print_contexts(const json_t *result, FILE *out)
{
	static const struct column columns[] = {
		{ "context", false }, { "worker", true }, { "state", false },	  { "address", false },
		{ "vlan", true },     { "weight", true }, { "limit Mb/s", true }, { "turns", true },
		{ "packets", true },  { "bytes", true },  { "kicks", true },	  { "waiting", true },
	};
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *context;
	size_t i;

	json_array_foreach(json_object_get(result, "contexts"), i, context)
		add_context(table, context);
	fprintf(out, "multiplexing: %s\n", value_text(result, "multiplexing"));
	if (strcmp(value_text(result, "multiplexing"), "contexts") != 0)
		fputs("guests have no contexts: see pktvirt-ctl stage set multi-context-demux on\n", out);
	print_section(table, out);
}

static void
print_fdb_summary(const json_t *result, FILE *out)
{
	static const char *const keys[] = { "learned", "moved", "aged", "evicted", "refused" };
	char used[NUMBER_MAX], capacity[NUMBER_MAX], ageing[NUMBER_MAX], number[NUMBER_MAX];

	fprintf(out, "%s of %s addresses used; they age after %s\n", format_exact(value_count(result, "used"), used),
		format_exact(value_count(result, "capacity"), capacity),
		format_age(value_count(result, "ageing_s"), ageing));
	for (size_t i = 0; i < COLUMNS(keys); i++)
		fprintf(out, "%s%s %s", i > 0 ? ", " : "", keys[i], format_exact(value_count(result, keys[i]), number));
	fputc('\n', out);
}

void
print_fdb(const json_t *result, FILE *out)
{
	static const struct column columns[] = {
		{ "address", false }, { "port", false }, { "kind", false }, { "age", true }
	};
	struct table *table = table_new(columns, COLUMNS(columns));
	json_t *address;
	size_t i;

	json_array_foreach(json_object_get(result, "addresses"), i, address) {
		bool is_static = json_is_true(json_object_get(address, "static"));
		bool is_claimed = json_is_true(json_object_get(address, "claimed"));
		char age[NUMBER_MAX];

		table_cell(table, "%s", value_text(address, "mac"));
		table_cell(table, "%s", value_text(address, "port"));
		table_cell(table, "%s", is_static ? "static" : is_claimed ? "claimed" : "learned");
		table_cell(table, "%s", is_static || is_claimed ? "-" : format_age(value_count(address, "age_s"), age));
	}
	print_fdb_summary(result, out);
	print_section(table, out);
}

void
print_config(const json_t *result, FILE *out)
{
	json_dumpf(json_object_get(result, "config"), out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	fputc('\n', out);
	print_primitives(json_object_get(result, "bindings"), out);
}

void
print_port_change(const json_t *result, FILE *out)
{
	fprintf(out, "port %s was %s (%s); packets waited for %lld us\n", value_text(result, "port"),
		value_text(result, "done"), value_text(result, "type"), (long long)value_count(result, "held_us"));
}

void
print_context_change(const json_t *result, FILE *out)
{
	const char *name = value_text(result, "context"), *state = value_text(result, "state");

	if (strcmp(state, "revoked") == 0)
		fprintf(out, "context %s was revoked; its guest is shut out until: pktvirt-ctl context grant %s\n",
			name, name);
	else
		fprintf(out, "context %s was %s; its port is %s\n", name, value_text(result, "done"), state);
}

void
print_change(const json_t *result, FILE *out)
{
	const char *key, *comma = "";
	json_t *stages = json_object_get(result, "stages"), *stage;
	size_t i;

	fputs("stages: ", out);
	json_array_foreach(stages, i, stage) {
		key = json_is_string(stage) ? json_string_value(stage) : json_object_iter_key(json_object_iter(stage));
		fprintf(out, "%s%s", comma, key);
		comma = ", ";
	}
	fprintf(out, "%s; packets waited for %lld us\n", i == 0 ? "none" : "",
		(long long)value_count(result, "held_us"));
	print_primitives(json_object_get(result, "primitives"), out);
}
