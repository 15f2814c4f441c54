/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/hot_ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>

#include "base/diag.h"
#include "base/log.h"
#include "core/backlog.h"
#include "core/path.h"
#include "core/report.h"
#include "core/telemetry.h"
#include "core/turns.h"
#include "core/worker_queues.h"

/* --- with the workers held ---------------------------------------------------------------------------------------- */

static uint64_t
hold(struct pv_datapath *datapath)
{
	uint64_t start_us = pv_now_us();

	pv_hold_workers(datapath);
	return start_us;
}

static void
release(struct pv_datapath *datapath, uint64_t start_us, uint64_t *held_us)
{
	pv_release_workers(datapath);
	*held_us += pv_now_us() - start_us;
}

static void
take_queues(struct pv_datapath *datapath)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		pv_worker_queues_take(datapath->workers[i]);
		pv_path_choose(datapath->workers[i]);
	}
}

/* 0 or -errno, and nothing has changed. */
static int
bring_in(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us)
{
	uint64_t start_us = hold(datapath);
	int result = pv_datapath_put_port(datapath, port);

	if (result == 0)
		take_queues(datapath);
	release(datapath, start_us, held_us);
	return result;
}

/* What a worker has of the port but its counters. */
static void
let_go(struct pv_worker *worker, uint16_t id)
{
	pv_backlog_forget_port(worker, id);
	pv_interrupts_forget(&worker->interrupts, id);
}

static void
take_out(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us)
{
	uint64_t start_us = hold(datapath);

	for (uint16_t i = 0; i < datapath->n_workers; i++)
		let_go(datapath->workers[i], port->id);
	datapath->ports[port->id] = NULL;
	take_queues(datapath);
	pv_fdb_remove_port(datapath->fdb, port->id);
	release(datapath, start_us, held_us);
}

/* The next port of that id begins with counters of 0. No worker counts for it now. */
static void
clear_counters(struct pv_datapath *datapath, uint16_t id)
{
	for (uint16_t i = 0; i < datapath->n_workers; i++) {
		struct pv_worker *worker = datapath->workers[i];

		memset(&worker->ports[id], 0, sizeof(worker->ports[id]));
		if (worker->turns != NULL)
			memset(&worker->turns->turn[id], 0, sizeof(worker->turns->turn[id]));
	}
}

/* --- the list of the configuration -------------------------------------------------------------------------------- */

static void
set_number_of_ports(struct pv_datapath *datapath, size_t n)
{
	datapath->config->n_ports = n;
	datapath->config_given->n_ports = n; /* of the same list */
}

static void
list_port(struct pv_datapath *datapath, const struct pv_config_port *described)
{
	size_t n = datapath->config->n_ports;

	datapath->config->ports[n] = *described;
	set_number_of_ports(datapath, n + 1);
}

static void
unlist_port(struct pv_datapath *datapath, const char *name)
{
	struct pv_config_port *ports = datapath->config->ports;
	size_t n = datapath->config->n_ports, i = 0;

	while (strcmp(ports[i].name, name) != 0) /* every port is listed */
		i++;
	pv_config_free_port(&ports[i]);
	memmove(&ports[i], &ports[i + 1], (n - i - 1) * sizeof(*ports));
	set_number_of_ports(datapath, n - 1);
}

/* --- adding ------------------------------------------------------------------------------------------------------- */

static uint16_t
free_id(const struct pv_datapath *datapath)
{
	uint16_t id = 0;

	while (id < datapath->n_ports && datapath->ports[id] != NULL)
		id++;
	return id;
}

/* Room that a worker has once made for an id stays. */
static int
make_room(struct pv_datapath *datapath, uint16_t id)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < datapath->n_workers; i++)
		result = pv_worker_queues_make_room(datapath->workers[i], id);
	return result;
}

static void
close_and_free(struct pv_datapath *datapath, struct pv_port *port)
{
	port->type->close(port);
	clear_counters(datapath, port->id);
	rte_free(port);
}

/* Marked down first: while a port is down no worker touches it. */
static void
take_away(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us)
{
	port->set_up(port, false);
	pv_steering_forget(datapath, port->id);
	take_out(datapath, port, held_us);
	close_and_free(datapath, port);
}

/* The configuration has nobody else with that address, but a guest may have claimed it (core/contexts.h). */
static void
say_why_not_brought_in(const struct pv_datapath *datapath, const struct pv_port *port, int error)
{
	const struct pv_port *owner = pv_port_from(datapath, pv_fdb_lookup(datapath->fdb, port->mac.bytes));
	char mac[18];

	pv_mac_format(port->mac.bytes, mac);
	if (error == -EEXIST && owner != NULL)
		pv_error(port->name,
			 "mac \"%s\": the guest of port \"%s\" speaks with it: expected an address that nobody has",
			 mac, owner->name);
	else
		pv_error(port->name, "mac \"%s\": %s", mac, strerror(-error));
}

/* Lets an open port take part, and its guest in. 0 or -errno; the port is gone then. */
static int
join(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us)
{
	int result = make_room(datapath, port->id);

	if (result == 0) {
		result = bring_in(datapath, port, held_us);
		if (result != 0)
			say_why_not_brought_in(datapath, port, result);
	}
	if (result != 0) {
		close_and_free(datapath, port);
		return result;
	}
	result = port->type->start(port);
	if (result != 0)
		take_away(datapath, port, held_us);
	return result;
}

struct pv_port *
pv_add_port(struct pv_datapath *datapath, struct pv_config_port *described, uint64_t *held_us, char *error, size_t size)
{
	struct pv_port *port = NULL;
	int result;

	*held_us = 0;
	pv_telemetry_show(NULL);
	pv_log_keep_error(described->name, error, size);
	result = pv_datapath_open_port(datapath, described, free_id(datapath), &port);
	if (result == 0)
		result = join(datapath, port, held_us);
	pv_log_keep_error(NULL, NULL, 0);
	if (result == 0) {
		list_port(datapath, described);
	} else {
		if (error[0] == '\0')
			snprintf(error, size, "%s: %s: the daemon's log says more", described->name, strerror(-result));
		pv_config_free_port(described);
	}
	pv_telemetry_show(datapath);
	return result == 0 ? port : NULL;
}

/* Packet buffers were made for the ports that there were then. */
static void
check_mtu(const struct pv_datapath *datapath, const struct pv_config_port *described, const char *path,
	  struct pv_diag *diag)
{
	uint32_t room = rte_pktmbuf_data_room_size(datapath->pool) - (uint32_t)RTE_PKTMBUF_HEADROOM;
	uint32_t most = room - PV_PORT_OVERHEAD - 1;
	char where[PV_PATH_MAX];

	if (described->mtu > most)
		pv_diag_add(diag, pv_path_member(where, path, "mtu"),
			    "%u: expected at most %u, which the packet buffers have room for: they are made for the "
			    "ports at the start",
			    described->mtu, most);
}

/* Reads a port; false with its mistakes in `error`. */
static bool
read_port(const struct pv_datapath *datapath, json_t *json, struct pv_config_port *described, char *error, size_t size)
{
	struct pv_diag *diag = pv_diag_new("port", NULL);
	bool good;

	snprintf(error, size, "out of memory");
	if (diag == NULL)
		return false;
	pv_config_parse_port(datapath->config, json, described, diag);
	check_mtu(datapath, described, pv_config_port_path(json), diag);
	good = pv_diag_count(diag) == 0;
	if (!good) {
		pv_diag_join(diag, error, size);
		pv_config_free_port(described);
	}
	pv_diag_free(diag);
	return good;
}

json_t *
pv_port_add(struct pv_datapath *datapath, json_t *described, char *error, size_t size)
{
	struct pv_config_port read;
	const struct pv_port *port;
	uint64_t held_us;

	if (datapath->config->n_ports == PV_PORTS_MAX) {
		snprintf(error, size, "there are %d ports, and cannot be more: remove one first", PV_PORTS_MAX);
		return NULL;
	}
	if (!read_port(datapath, described, &read, error, size))
		return NULL;
	port = pv_add_port(datapath, &read, &held_us, error, size);
	if (port == NULL)
		return NULL;
	pv_info(port->name, "added");
	return json_pack("{s:s, s:s, s:s, s:s, s:I}", "port", port->name, "done", "added", "type", port->type->name,
			 "state", pv_report_state(port), "held_us", (json_int_t)held_us);
}

/* --- removing ----------------------------------------------------------------------------------------------------- */

void
pv_remove_port(struct pv_datapath *datapath, struct pv_port *port, uint64_t *held_us)
{
	*held_us = 0;
	pv_telemetry_show(NULL);
	unlist_port(datapath, port->name);
	take_away(datapath, port, held_us);
	pv_telemetry_show(datapath);
}

json_t *
pv_port_remove(struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	struct pv_port *port = pv_report_find_port(datapath, name, error, size);
	json_t *answer;
	uint64_t held_us;

	if (port == NULL)
		return NULL;
	answer = json_pack("{s:s, s:s, s:s}", "port", port->name, "done", "removed", "type", port->type->name);
	pv_remove_port(datapath, port, &held_us);
	pv_info(name, "removed");
	json_object_set_new(answer, "held_us", json_integer((json_int_t)held_us));
	return answer;
}
