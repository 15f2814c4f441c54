/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "core/report.h"

/* Telemetry has a thread of its own: the data path may go only while it does not look. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct pv_datapath *shown;

static struct rte_tel_data *container_of_json(json_t *value);

/* Telemetry takes letters, digits, '_' and '/' in names, and drops what has another one. */
static void
clean_name(const char *name, char clean[RTE_TEL_MAX_STRING_LEN])
{
	size_t i;

	for (i = 0; i < RTE_TEL_MAX_STRING_LEN - 1 && name[i] != '\0'; i++)
		clean[i] = isalnum((unsigned char)name[i]) || name[i] == '/' ? name[i] : '_';
	clean[i] = '\0';
}

static void
add_container(struct rte_tel_data *data, const char *name, json_t *value)
{
	struct rte_tel_data *container = container_of_json(value);

	if (container != NULL && rte_tel_data_add_dict_container(data, name, container, 0) != 0)
		rte_tel_data_free(container);
}

static void
add_member(struct rte_tel_data *data, const char *given, json_t *value)
{
	char name[RTE_TEL_MAX_STRING_LEN], number[32];

	clean_name(given, name);
	switch (json_typeof(value)) {
	case JSON_STRING:
		rte_tel_data_add_dict_string(data, name, json_string_value(value));
		break;
	case JSON_INTEGER:
		rte_tel_data_add_dict_u64(data, name, (uint64_t)json_integer_value(value));
		break;
	case JSON_REAL: /* telemetry of this DPDK has no fractions */
		snprintf(number, sizeof(number), "%.3f", json_real_value(value));
		rte_tel_data_add_dict_string(data, name, number);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		rte_tel_data_add_dict_int(data, name, json_is_true(value));
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		add_container(data, name, value);
		break;
	case JSON_NULL:
		rte_tel_data_add_dict_string(data, name, "");
		break;
	}
}

static void
fill_object(struct rte_tel_data *data, json_t *object)
{
	const char *name;
	json_t *value;

	rte_tel_data_start_dict(data);
	json_object_foreach(object, name, value)
		add_member(data, name, value);
}

static void
fill_strings(struct rte_tel_data *data, json_t *array)
{
	size_t index;
	json_t *value;

	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	json_array_foreach(array, index, value)
		rte_tel_data_add_array_string(data, json_string_value(value));
}

/* What tells an element of a list from the others: its name or address, else its place. */
static const char *
key_of(json_t *element, size_t index, char place[24])
{
	static const char *const keys[] = { "name", "mac", "primitive" };

	for (size_t i = 0; i < RTE_DIM(keys); i++) {
		const char *key = json_string_value(json_object_get(element, keys[i]));

		if (key != NULL)
			return key;
	}
	snprintf(place, 24, "%zu", index);
	return place;
}

/* Telemetry of this DPDK has no lists of objects inside of anything, so a list becomes an object. */
static void
fill_list(struct rte_tel_data *data, json_t *array)
{
	char place[24];
	size_t index;
	json_t *value;

	rte_tel_data_start_dict(data);
	json_array_foreach(array, index, value)
		add_member(data, key_of(value, index, place), value);
}

static struct rte_tel_data *
container_of_json(json_t *value)
{
	struct rte_tel_data *data = rte_tel_data_alloc();

	if (data == NULL)
		return NULL;
	if (json_is_object(value))
		fill_object(data, value);
	else if (json_is_string(json_array_get(value, 0)))
		fill_strings(data, value);
	else
		fill_list(data, value);
	return data;
}

static int
answer(json_t *(*report)(const struct pv_datapath *), struct rte_tel_data *data)
{
	json_t *object = NULL;

	pthread_mutex_lock(&lock);
	if (shown != NULL)
		object = report(shown);
	pthread_mutex_unlock(&lock);
	if (object == NULL)
		return -ENODEV;
	fill_object(data, object);
	json_decref(object);
	return 0;
}

static int
show_ports(const char *command, const char *parameters, struct rte_tel_data *data)
{
	return answer(pv_report_ports, data);
}

static int
show_stages(const char *command, const char *parameters, struct rte_tel_data *data)
{
	return answer(pv_report_stages, data);
}

static int
show_workers(const char *command, const char *parameters, struct rte_tel_data *data)
{
	return answer(pv_report_workers, data);
}

static int
show_fdb(const char *command, const char *parameters, struct rte_tel_data *data)
{
	return answer(pv_report_fdb, data);
}

static int
show_config(const char *command, const char *parameters, struct rte_tel_data *data)
{
	return answer(pv_report_config, data);
}

int
pv_telemetry_start(const struct pv_datapath *datapath)
{
	static const struct {
		const char *path;
		telemetry_cb show;
		const char *help;
	} endpoints[] = {
		{ "/pktvirt/ports", show_ports, "Counters, drops and state of each port. Takes no parameters" },
		{ "/pktvirt/stages", show_stages, "Calls, packets and cycles of each stage. Takes no parameters" },
		{ "/pktvirt/workers", show_workers, "Load and queues of each worker. Takes no parameters" },
		{ "/pktvirt/fdb", show_fdb, "The switching table. Takes no parameters" },
		{ "/pktvirt/config", show_config, "The effective configuration. Takes no parameters" },
	};

	pthread_mutex_lock(&lock);
	shown = datapath;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < RTE_DIM(endpoints); i++)
		if (rte_telemetry_register_cmd(endpoints[i].path, endpoints[i].show, endpoints[i].help) != 0)
			return -EINVAL;
	return 0;
}

void
pv_telemetry_stop(void)
{
	pthread_mutex_lock(&lock);
	shown = NULL;
	pthread_mutex_unlock(&lock);
}
