/* SPDX-License-Identifier: BSD-3-Clause */
/* "workers": the host CPUs that the workers run on. */
#include <sched.h>
#include <stdio.h>

#include "core/config_parts.h"

#define OFFERED_MAX 128

/* Writes a set of CPUs as people do, "0-3,8"; what does not fit is cut. */
static void
format_cpus(const cpu_set_t *cpus, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (int first = 0, last; first < CPU_SETSIZE && length < size; first = last + 1) {
		const char *comma = length > 0 ? "," : "";

		last = first;
		if (!CPU_ISSET(first, cpus))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
			last++;
		if (last > first)
			length += (size_t)snprintf(text + length, size - length, "%s%d-%d", comma, first, last);
		else
			length += (size_t)snprintf(text + length, size - length, "%s%d", comma, first);
	}
}

static uint16_t
last_cpu(const cpu_set_t *cpus)
{
	int cpu = CPU_SETSIZE - 1;

	while (cpu > 0 && !CPU_ISSET(cpu, cpus))
		cpu--;
	return (uint16_t)cpu;
}

static bool
check_offered(json_int_t cpu, const char *path, const cpu_set_t *cpus, struct pv_diag *diag)
{
	char offered[OFFERED_MAX];

	if (cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((int)cpu, cpus))
		return true;
	format_cpus(cpus, offered, sizeof(offered));
	pv_diag_add(diag, path, "%" JSON_INTEGER_FORMAT ": this machine offers CPUs %s", cpu, offered);
	return false;
}

static bool
check_new(json_t *list, size_t index, const char *path, struct pv_diag *diag)
{
	for (size_t i = 0; i < index; i++)
		if (json_equal(json_array_get(list, i), json_array_get(list, index))) {
			pv_diag_add(diag, path, "%" JSON_INTEGER_FORMAT ": already the CPU of workers[%zu]",
				    json_integer_value(json_array_get(list, index)), i);
			return false;
		}
	return true;
}

static void
parse_worker(struct pv_config *config, json_t *list, size_t index, const cpu_set_t *cpus, struct pv_diag *diag)
{
	json_t *json = json_array_get(list, index);
	json_int_t cpu = json_integer_value(json);
	char path[PV_PATH_MAX];

	snprintf(path, sizeof(path), "workers[%zu]", index);
	if (!json_is_integer(json))
		pv_option_refuse(diag, path, json, true, "the number of a CPU");
	else if (check_offered(cpu, path, cpus, diag) && check_new(list, index, path, diag))
		config->worker_cpus[config->n_workers++] = (uint16_t)cpu;
}

void
pv_config_parse_workers(struct pv_config *config, json_t *json, struct pv_diag *diag)
{
	char accepts[64];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	if (json == NULL) {
		config->worker_cpus[config->n_workers++] = last_cpu(&cpus);
		return;
	}
	if (!json_is_array(json) || json_array_size(json) == 0 || json_array_size(json) > PV_WORKERS_MAX) {
		snprintf(accepts, sizeof(accepts), "an array of 1 to %d CPU numbers", PV_WORKERS_MAX);
		pv_option_refuse(diag, "workers", json, !json_is_array(json), accepts);
		return;
	}
	for (size_t i = 0; i < json_array_size(json); i++)
		parse_worker(config, json, i, &cpus, diag);
}
