/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <rte_version.h>

#include "core/attach.h"
#include "core/control.h"
#include "core/datapath.h"
#include "core/eal.h"
#include "core/hot_ports.h"
#include "core/report.h"
#include "core/restage.h"
#include "core/revocation.h"
#include "core/telemetry.h"
#include "vio/fault.h"

/* The running data path: the control socket's handler has no argument of its own. */
static struct pv_datapath *running;

static json_t *
show(json_t *request, char *error, size_t size)
{
	const char *what = json_string_value(json_object_get(request, "what"));

	if (what != NULL && strcmp(what, "ports") == 0)
		return pv_report_ports(running);
	if (what != NULL && strcmp(what, "stages") == 0)
		return pv_report_stages(running);
	if (what != NULL && strcmp(what, "workers") == 0)
		return pv_report_workers(running);
	if (what != NULL && strcmp(what, "fdb") == 0)
		return pv_report_fdb(running);
	if (what != NULL && strcmp(what, "contexts") == 0)
		return pv_report_contexts(running);
	if (what != NULL && strcmp(what, "config") == 0)
		return pv_report_config(running);
	snprintf(error, size, "nothing called \"%s\" to show: expected ports, stages, workers, contexts, fdb or config",
		 what != NULL ? what : "");
	return NULL;
}

static json_t *
attach(json_t *request, char *error, size_t size)
{
	const char *name = json_string_value(json_object_get(request, "port"));
	const char *kind = json_string_value(json_object_get(request, "for"));
	const struct pv_port *port;
	json_t *result;
	char *lines;

	if (name == NULL || kind == NULL) {
		snprintf(error, size, "attach needs \"port\" and \"for\"");
		return NULL;
	}
	port = pv_report_find_port(running, name, error, size);
	lines = port != NULL ? pv_attach_lines(port, kind, error, size) : NULL;
	if (lines == NULL)
		return NULL;
	result = json_pack("{s:s, s:s, s:s}", "port", name, "for", kind, "text", lines);
	free(lines);
	return result;
}

static json_t *
stage(json_t *request, char *error, size_t size)
{
	const char *name = json_string_value(json_object_get(request, "name"));
	const json_t *set = json_object_get(request, "set");

	if (name != NULL && (json_is_boolean(set) || json_is_object(set)))
		return pv_restage(running, name, set, error, size);
	snprintf(error, size, "stage needs \"name\", and \"set\": true, false or an object of options");
	return NULL;
}

static json_t *
change_ports(json_t *request, char *error, size_t size)
{
	const char *removed = json_string_value(json_object_get(request, "remove"));
	json_t *added = json_object_get(request, "add");

	if (added != NULL)
		return pv_port_add(running, added, error, size);
	if (removed != NULL)
		return pv_port_remove(running, removed, error, size);
	snprintf(error, size, "port needs \"add\": an object as in \"ports\", or \"remove\": a name");
	return NULL;
}

static json_t *
change_context(json_t *request, char *error, size_t size)
{
	const char *revoked = json_string_value(json_object_get(request, "revoke"));
	const char *granted = json_string_value(json_object_get(request, "grant"));

	if (revoked != NULL)
		return pv_context_revoke(running, revoked, error, size);
	if (granted != NULL)
		return pv_context_grant(running, granted, error, size);
	snprintf(error, size, "context needs \"revoke\" or \"grant\": the name of a context");
	return NULL;
}

static json_t *
answer(const char *command, json_t *request, char *error, size_t size)
{
	const char *port = json_string_value(json_object_get(request, "port"));

	if (strcmp(command, "show") == 0)
		return show(request, error, size);
	if (strcmp(command, "attach") == 0)
		return attach(request, error, size);
	if (strcmp(command, "doctor") == 0 && port != NULL)
		return pv_report_doctor(running, port, error, size);
	if (strcmp(command, "stage") == 0)
		return stage(request, error, size);
	if (strcmp(command, "port") == 0)
		return change_ports(request, error, size);
	if (strcmp(command, "context") == 0)
		return change_context(request, error, size);
	if (strcmp(command, "version") == 0)
		return json_pack("{s:s, s:s}", "pktvirt", PV_VERSION, "dpdk", rte_version());
	snprintf(error, size,
		 strcmp(command, "doctor") == 0 ?
			 "doctor needs \"port\"" :
			 "no command \"%s\": expected show, attach, doctor, stage, port, context or version",
		 command);
	return NULL;
}

static void
print_attach_lines(const struct pv_port *port)
{
	static const struct {
		const char *kind, *title;
	} guests[] = { { "qemu", "QEMU" }, { "uml", "User-mode Linux" } };
	char error[256], *lines;

	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		lines = pv_attach_lines(port, guests[i].kind, error, sizeof(error));
		if (lines == NULL)
			continue;
		printf("\n# %s: attach a %s guest\n%s", port->name, guests[i].title, lines);
		free(lines);
	}
}

static void
say_ready(const struct pv_datapath *datapath)
{
	for (const struct pv_port *port = pv_first_port(datapath); port != NULL; port = pv_next_port(datapath, port))
		if (strcmp(port->type->name, "vhost-user") == 0)
			print_attach_lines(port);
	printf("\npktvirt %s is ready: %u port%s, %u worker%s; pktvirt-ctl shows what it does, Ctrl-C ends it\n",
	       PV_VERSION, datapath->n_ports, datapath->n_ports == 1 ? "" : "s", datapath->n_workers,
	       datapath->n_workers == 1 ? "" : "s");
	fflush(stdout);
	sd_notifyf(0, "READY=1\nSTATUS=%u ports, %u workers", datapath->n_ports, datapath->n_workers);
}

static int
every_second(void)
{
	const struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &second, NULL);
	return fd;
}

static void
watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The table's ageing, what ports look at, and where contexts are and their frames arrive. */
static void
do_chores(int timer)
{
	uint64_t times;

	if (read(timer, &times, sizeof(times)) != sizeof(times))
		return;
	pv_fdb_age(running->fdb, pv_now_s());
	pv_datapath_look(running);
	pv_rebalance(running);
	pv_steer(running, pv_now_s());
}

/* Serves the control socket, and each second does the chores, until a signal comes. */
static void
serve(struct pv_control *control, int signals)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), timer = every_second();
	struct epoll_event event = { 0 };

	watch(epoll, signals);
	watch(epoll, timer);
	watch(epoll, pv_control_fd(control));
	do {
		if (epoll_wait(epoll, &event, 1, -1) < 1)
			continue;
		if (event.data.fd == timer)
			do_chores(timer);
		else if (event.data.fd != signals)
			pv_control_poll(control);
	} while (event.data.fd != signals);
	close(timer);
	close(epoll);
}

/* The signals that end the daemon, as a descriptor; every thread made later has them blocked. */
static int
take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
run_datapath(struct pv_control *control, int signals)
{
	int status = EXIT_FAILURE;

	if (pv_datapath_start(running) == 0 && pv_telemetry_start(running) == 0) {
		say_ready(running);
		serve(control, signals);
		sd_notify(0, "STOPPING=1");
		status = EXIT_SUCCESS;
	}
	pv_telemetry_show(NULL);
	return status;
}

static struct pv_control *
open_control(const struct pv_config *config)
{
	char *path = pv_config_control_socket(config);
	struct pv_control *control = path != NULL ? pv_control_open(path, answer) : NULL;

	if (control == NULL && errno == EADDRINUSE)
		pv_error("control", "a pktvirt seems to run already: give this one another \"%s\"",
			 config->settings.control_socket != NULL ? "control-socket" : "name");
	free(path);
	return control;
}

int
daemon_run(struct pv_config *config, char *const *eal, int n_eal)
{
	int signals = take_signals(), status = EXIT_FAILURE;
	struct pv_control *control = open_control(config);

	if (control == NULL)
		return EXIT_FAILURE;
	if (pv_eal_start(config, eal, n_eal) == 0) {
		/* After EAL, which has a SIGBUS handler of its own while it starts. */
		running = pv_fault_install() == 0 ? pv_datapath_new(config) : NULL;
		if (running != NULL)
			status = run_datapath(control, signals);
		pv_datapath_free(running);
		pv_eal_stop();
	}
	pv_control_close(control);
	close(signals);
	return status;
}
