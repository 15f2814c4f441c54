/* SPDX-License-Identifier: BSD-3-Clause */
#include "rates.h"

#include <stdbool.h>
#include <string.h>

#include "value.h"

json_t *
rates_sample(int fd, char why[CLIENT_WHY_MAX])
{
	static const char *const parts[] = { "ports", "stages", "workers" };
	json_t *sample = json_object();

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		json_t *part = client_ask(fd, json_pack("{s:s, s:s}", "command", "show", "what", parts[i]), why);

		if (part == NULL) {
			json_decref(sample);
			return NULL;
		}
		json_object_set_new(sample, parts[i], part);
	}
	return sample;
}

/* The list called `what` in the part of that name. */
static json_t *
list_of(const json_t *sample, const char *what)
{
	return json_object_get(json_object_get(sample, what), what);
}

/* What has the same value of `key` as `object`, so that ports may come and go between samples. */
static const json_t *
counterpart(json_t *list, const json_t *object, const char *key)
{
	const json_t *other;
	size_t i;

	json_array_foreach(list, i, other) {
		if (json_equal(json_object_get(other, key), json_object_get(object, key)))
			return other;
	}
	return NULL;
}

/* A counter that went down was reset: then nothing is known about the interval. */
static double
growth(const json_t *before, const json_t *after, const char *key)
{
	uint64_t then = value_count(before, key), now = value_count(after, key);

	return now >= then ? (double)(now - then) : 0;
}

static double
ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static json_t *
direction_rates(const json_t *before, const json_t *after, const char *direction, double seconds)
{
	const json_t *then = json_object_get(before, direction), *now = json_object_get(after, direction);

	return json_pack("{s:f, s:f}", "packets_per_s", growth(then, now, "packets") / seconds, "bits_per_s",
			 8 * growth(then, now, "bytes") / seconds);
}

static json_t *
drop_rates(const json_t *before, json_t *after, double seconds)
{
	json_t *rates = json_object(), *packets;
	const char *reason;

	json_object_foreach(after, reason, packets) {
		double dropped = growth(before, after, reason);

		if (dropped > 0)
			json_object_set_new(rates, reason, json_real(dropped / seconds));
	}
	return rates;
}

static json_t *
port_rates(const json_t *before, const json_t *port, double seconds)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", value_text(port, "name"), "state",
			 value_text(port, "state"), "rx", direction_rates(before, port, "rx", seconds), "tx",
			 direction_rates(before, port, "tx", seconds), "drops_per_s",
			 drop_rates(json_object_get(before, "drops"), json_object_get(port, "drops"), seconds));
}

/* Cycles of everything that is measured: what shares are of. */
static double
all_cycles(json_t *before, json_t *after)
{
	const json_t *stage;
	double cycles = 0;
	size_t i;

	json_array_foreach(after, i, stage)
		cycles += growth(counterpart(before, stage, "name"), stage, "cycles");
	return cycles;
}

static json_t *
stage_rates(const json_t *before, const json_t *stage, double all, double seconds)
{
	double cycles = growth(before, stage, "cycles"), packets = growth(before, stage, "packets");

	return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "name", value_text(stage, "name"), "kind",
			 value_text(stage, "kind"), "packets_per_s", packets / seconds, "cycles_per_packet",
			 ratio(cycles, packets), "share", ratio(cycles, all), "drops_per_s",
			 growth(before, stage, "dropped") / seconds);
}

static json_t *
worker_rates(const json_t *before, const json_t *worker, double seconds)
{
	double busy = growth(before, worker, "busy_cycles"), idle = growth(before, worker, "idle_cycles");
	double packets = growth(before, worker, "packets"), calls = growth(before, worker, "calls");

	return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "id", (json_int_t)value_count(worker, "id"), "cpu",
			 (json_int_t)value_count(worker, "cpu"), "busy_share", ratio(busy, busy + idle),
			 "packets_per_s", packets / seconds, "packets_per_call", ratio(packets, calls),
			 "cycles_per_packet", ratio(busy, packets));
}

static json_t *
all_port_rates(json_t *before, json_t *after, double seconds)
{
	json_t *rates = json_array();
	const json_t *port;
	size_t i;

	json_array_foreach(after, i, port)
		json_array_append_new(rates, port_rates(counterpart(before, port, "name"), port, seconds));
	return rates;
}

/* Of those that see packets: a mechanism's cost is part of what it serves. */
static json_t *
all_stage_rates(json_t *before, json_t *after, double seconds)
{
	double all = all_cycles(before, after);
	json_t *rates = json_array();
	const json_t *stage;
	size_t i;

	json_array_foreach(after, i, stage) {
		if (strcmp(value_text(stage, "kind"), "mechanism") != 0)
			json_array_append_new(rates,
					      stage_rates(counterpart(before, stage, "name"), stage, all, seconds));
	}
	return rates;
}

static json_t *
all_worker_rates(json_t *before, json_t *after, double seconds)
{
	json_t *rates = json_array();
	const json_t *worker;
	size_t i;

	json_array_foreach(after, i, worker)
		json_array_append_new(rates, worker_rates(counterpart(before, worker, "id"), worker, seconds));
	return rates;
}

json_t *
rates_between(const json_t *before, const json_t *after)
{
	double elapsed_ns = growth(json_object_get(before, "ports"), json_object_get(after, "ports"), "time_ns");
	double seconds = elapsed_ns > 0 ? elapsed_ns / 1e9 : 1;

	return json_pack("{s:f, s:o, s:o, s:o}", "interval_s", seconds, "ports",
			 all_port_rates(list_of(before, "ports"), list_of(after, "ports"), seconds), "stages",
			 all_stage_rates(list_of(before, "stages"), list_of(after, "stages"), seconds), "workers",
			 all_worker_rates(list_of(before, "workers"), list_of(after, "workers"), seconds));
}
