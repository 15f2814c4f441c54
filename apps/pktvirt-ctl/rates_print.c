/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "format.h"
#include "rates.h"
#include "value.h"

#define COLUMNS(columns) (sizeof(columns) / sizeof((columns)[0]))

const char *const rates_order_names[] = { "configuration", "in", "out", "drops", NULL };

struct entry {
	const json_t *port;
	double key;
	size_t index;
};

static void
cell_short(struct table *table, const json_t *object, const char *key)
{
	char text[NUMBER_MAX];

	table_cell(table, "%s", format_short(value_number(object, key), text));
}

static double
sum_of(json_t *rates)
{
	const char *key;
	json_t *value;
	double sum = 0;

	json_object_foreach(rates, key, value)
		sum += json_number_value(value);
	return sum;
}

/* "ring_full 12.3K runt 2.0" */
static void
cell_reasons(struct table *table, json_t *drops)
{
	char *text = NULL, number[NUMBER_MAX];
	const char *reason, *space = "";
	size_t size;
	FILE *line = open_memstream(&text, &size);
	json_t *rate;

	if (line == NULL)
		return;
	json_object_foreach(drops, reason, rate) {
		fprintf(line, "%s%s %s", space, reason, format_short(json_number_value(rate), number));
		space = "  ";
	}
	fclose(line);
	table_cell(table, "%s", text);
	free(text);
}

static void
add_port(struct table *table, const json_t *port)
{
	json_t *drops = json_object_get(port, "drops_per_s");
	char dropped[NUMBER_MAX];

	table_cell(table, "%s", value_text(port, "name"));
	table_cell(table, "%s", value_text(port, "state"));
	cell_short(table, json_object_get(port, "rx"), "packets_per_s");
	cell_short(table, json_object_get(port, "rx"), "bits_per_s");
	cell_short(table, json_object_get(port, "tx"), "packets_per_s");
	cell_short(table, json_object_get(port, "tx"), "bits_per_s");
	table_cell(table, "%s", format_short(sum_of(drops), dropped));
	cell_reasons(table, drops);
}

static double
sort_key(const json_t *port, enum rates_order order)
{
	switch (order) {
	case RATES_IN:
		return value_number(json_object_get(port, "rx"), "packets_per_s");
	case RATES_OUT:
		return value_number(json_object_get(port, "tx"), "packets_per_s");
	case RATES_DROPS:
		return sum_of(json_object_get(port, "drops_per_s"));
	default:
		return 0;
	}
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *first = a, *second = b;

	if (first->key != second->key)
		return first->key < second->key ? 1 : -1;
	return first->index < second->index ? -1 : 1;
}

static void
add_ports(struct table *table, json_t *ports, enum rates_order order)
{
	size_t n = json_array_size(ports);
	struct entry *entries = calloc(n + 1, sizeof(*entries));

	if (entries == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		const json_t *port = json_array_get(ports, i);

		entries[i] = (struct entry){ .port = port, .key = sort_key(port, order), .index = i };
	}
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < n; i++)
		add_port(table, entries[i].port);
	free(entries);
}

static void
print_workers(json_t *workers, FILE *out)
{
	static const struct column columns[] = {
		{ "worker", true },    { "cpu", true },		 { "busy", true },
		{ "packets/s", true }, { "packets/call", true }, { "cycles/packet", true },
	};
	struct table *table = table_new(columns, COLUMNS(columns));
	char busy[NUMBER_MAX];
	const json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker) {
		table_cell(table, "%.0f", value_number(worker, "id"));
		table_cell(table, "%.0f", value_number(worker, "cpu"));
		table_cell(table, "%s", format_share(value_number(worker, "busy_share"), busy));
		cell_short(table, worker, "packets_per_s");
		table_cell(table, "%.1f", value_number(worker, "packets_per_call"));
		table_cell(table, "%.1f", value_number(worker, "cycles_per_packet"));
	}
	table_print(table, out);
	table_free(table);
}

static void
print_stages(json_t *stages, FILE *out)
{
	static const struct column columns[] = {
		{ "stage", false },	   { "kind", false }, { "packets/s", true },
		{ "cycles/packet", true }, { "share", true }, { "drops/s", true },
	};
	struct table *table = table_new(columns, COLUMNS(columns));
	char share[NUMBER_MAX];
	const json_t *stage;
	size_t i;

	json_array_foreach(stages, i, stage) {
		table_cell(table, "%s", value_text(stage, "name"));
		table_cell(table, "%s", value_text(stage, "kind"));
		cell_short(table, stage, "packets_per_s");
		table_cell(table, "%.1f", value_number(stage, "cycles_per_packet"));
		table_cell(table, "%s", format_share(value_number(stage, "share"), share));
		cell_short(table, stage, "drops_per_s");
	}
	table_print(table, out);
	table_free(table);
}

void
rates_print(const json_t *rates, enum rates_order order, FILE *out)
{
	static const struct column columns[] = {
		{ "port", false },     { "state", false },    { "in pkt/s", true }, { "in bit/s", true },
		{ "out pkt/s", true }, { "out bit/s", true }, { "drops/s", true },  { "why", false },
	};
	struct table *ports = table_new(columns, COLUMNS(columns));

	print_workers(json_object_get(rates, "workers"), out);
	fputc('\n', out);
	print_stages(json_object_get(rates, "stages"), out);
	fputc('\n', out);
	add_ports(ports, json_object_get(rates, "ports"), order);
	table_print(ports, out);
	table_free(ports);
}
