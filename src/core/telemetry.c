/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "core/report.h"

/*
 * What telemetry of this DPDK can carry: 16 KiB of text, beyond which an object inside of the answer vanishes, and 256
 * members of an object. A list that would not fit is answered with the names of its elements, which can be asked for
 * one by one: /pktvirt/ports,vm0.
 */
#define ANSWER_BYTES_MAX (12 * 1024)

struct endpoint {
	const char *path;
	json_t *(*report)(const struct pv_datapath *datapath);
	const char *list; /* the member that may be long, or NULL */
	const char *help;
};

static const struct endpoint endpoints[] = {
	{ "/pktvirt/ports", pv_report_ports, "ports",
	  "Counters, drops and state of the ports. Parameters: a port's name" },
	{ "/pktvirt/stages", pv_report_stages, "stages",
	  "Calls, packets and cycles of the stages. Parameters: a stage's name" },
	{ "/pktvirt/workers", pv_report_workers, "workers",
	  "Load and queues of the workers. Parameters: a worker's number" },
	{ "/pktvirt/fdb", pv_report_fdb, "addresses", "The switching table. Parameters: an address" },
	{ "/pktvirt/contexts", pv_report_contexts, "contexts",
	  "Turns, addresses and state of contexts. Parameters: a context's name" },
	{ "/pktvirt/config", pv_report_config, NULL, "The effective configuration. Takes no parameters" },
};

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

	/* Freeing it does not free what is in it, so nothing is put into a full one: see fill_list(). */
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
		if (index < RTE_TEL_MAX_DICT_ENTRIES)
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

/* The element of a list that is called `name`, as an object of its own; NULL when there is none. */
static json_t *
find_element(json_t *list, const char *name)
{
	char place[24];
	size_t index;
	json_t *value;

	json_array_foreach(list, index, value)
		if (strcmp(key_of(value, index, place), name) == 0)
			return json_incref(value);
	return NULL;
}

static json_t *
names_of(json_t *list)
{
	json_t *names = json_array();
	char place[24];
	size_t index;
	json_t *value;

	json_array_foreach(list, index, value)
		json_array_append_new(names, json_string(key_of(value, index, place)));
	return names;
}

/* What is asked for, of a whole report that it takes over; NULL when there is no such element. */
static json_t *
narrow(const struct endpoint *endpoint, const char *name, json_t *report)
{
	json_t *list = endpoint->list != NULL ? json_object_get(report, endpoint->list) : NULL;
	json_t *element = NULL;

	if (list != NULL && name != NULL && name[0] != '\0') {
		element = find_element(list, name);
		json_decref(report);
		return element;
	}
	if (list != NULL && json_dumpb(report, NULL, 0, JSON_COMPACT) > ANSWER_BYTES_MAX)
		json_object_set_new(report, endpoint->list, names_of(list));
	return report;
}

static const struct endpoint *
find_endpoint(const char *path)
{
	for (size_t i = 0; i < RTE_DIM(endpoints); i++)
		if (strcmp(endpoints[i].path, path) == 0)
			return &endpoints[i];
	return NULL;
}

static int
answer(const char *path, const char *parameters, struct rte_tel_data *data)
{
	const struct endpoint *endpoint = find_endpoint(path);
	json_t *object = NULL;

	pthread_mutex_lock(&lock);
	if (shown != NULL && endpoint != NULL)
		object = narrow(endpoint, parameters, endpoint->report(shown));
	pthread_mutex_unlock(&lock);
	if (object == NULL)
		return -ENOENT;
	fill_object(data, object);
	json_decref(object);
	return 0;
}

void
pv_telemetry_show(const struct pv_datapath *datapath)
{
	pthread_mutex_lock(&lock);
	shown = datapath;
	pthread_mutex_unlock(&lock);
}

int
pv_telemetry_start(const struct pv_datapath *datapath)
{
	pv_telemetry_show(datapath);
	for (size_t i = 0; i < RTE_DIM(endpoints); i++)
		if (rte_telemetry_register_cmd(endpoints[i].path, answer, endpoints[i].help) != 0)
			return -EINVAL;
	return 0;
}
