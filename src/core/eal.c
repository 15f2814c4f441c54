/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/eal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "core/datapath.h"

#define CPUS_TEXT 8192 /* for a list of all that there can be */
#define ARGUMENTS_MAX 64
#define OTHER_MEMORY_MB 128 /* rings, tables, the library's own, with what one message can make it take */

struct arguments {
	char *text[ARGUMENTS_MAX + 1];
	int count;
	bool overflow;
};

__attribute__((format(printf, 2, 3))) static void
add(struct arguments *arguments, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	if (arguments->count == ARGUMENTS_MAX || vasprintf(&arguments->text[arguments->count], fmt, list) < 0)
		arguments->overflow = true;
	else
		arguments->count++;
	va_end(list);
}

/* The packet pool and what comes beside it. */
static size_t
memory_needed_mb(const struct pv_config *config)
{
	size_t packet = pv_packet_room(config) + sizeof(struct rte_mbuf) + 2 * RTE_CACHE_LINE_SIZE;
	size_t per_port = config->n_workers * sizeof(struct pv_port_counters) + 4096;

	return OTHER_MEMORY_MB + (config->settings.packets * packet + config->n_ports * per_port) / (1 << 20);
}

static size_t
free_hugepages_mb(const char *size, size_t mb)
{
	char path[128];
	size_t pages = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages", size);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%zu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * mb;
}

static void
add_memory(struct arguments *arguments, const struct pv_config *config)
{
	size_t needed = memory_needed_mb(config);

	if (free_hugepages_mb("2048kB", 2) >= needed || free_hugepages_mb("1048576kB", 1024) >= needed) {
		add(arguments, "--in-memory");
		return;
	}
	pv_warning("memory",
		   "running without hugepages, which costs speed; %zu MiB of free ones are needed: "
		   "sysctl vm.nr_hugepages=%zu",
		   needed, (needed + 1) / 2);
	add(arguments, "--no-huge");
	add(arguments, "--no-shconf");
	add(arguments, "-m");
	add(arguments, "%zu", needed);
}

/* A PCI address ("0000:03:00.0", "03:00.0") or "pci:…" in front of the devargs. */
static bool
is_pci(const char *devargs)
{
	unsigned int a, b, c, d;

	return strncmp(devargs, "pci:", 4) == 0 || sscanf(devargs, "%x:%x:%x.%u", &a, &b, &c, &d) == 4 ||
	       sscanf(devargs, "%x:%x.%u", &a, &b, &c) == 3;
}

static bool
needs_pci(const struct pv_config *config)
{
	bool needed = false;

	for (size_t i = 0; i < config->n_ports && !needed; i++) {
		json_t *options = pv_options_dump(config->ports[i].type->options, config->ports[i].options);
		const char *devargs = json_string_value(json_object_get(options, "devargs"));

		needed = devargs != NULL && is_pci(devargs);
		json_decref(options);
	}
	return needed;
}

static bool
is_a_workers(const struct pv_config *config, long cpu)
{
	for (uint16_t i = 0; i < config->n_workers; i++)
		if (config->worker_cpus[i] == cpu)
			return true;
	return false;
}

/* The CPUs that no worker has, or all when none is left, as EAL writes a set: "(0,2,3". */
static int
list_other_cpus(const struct pv_config *config, char *text, size_t size)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);
	bool all = n <= (long)config->n_workers;
	int length = 0;

	for (long cpu = 0; cpu < n && (size_t)length < size; cpu++)
		if (all || !is_a_workers(config, cpu))
			length += snprintf(text + length, size - (size_t)length, "%c%ld", length > 0 ? ',' : '(', cpu);
	return length;
}

/*
 * The main thread and the libraries' own stay away from the workers' CPUs: a worker that waits for a message to be
 * handled must not be what keeps its handler from running.
 */
static void
add_lcores(struct arguments *arguments, const struct pv_config *config)
{
	char others[CPUS_TEXT], lcores[PV_WORKERS_MAX * 16 + 64 + CPUS_TEXT];
	int length;

	list_other_cpus(config, others, sizeof(others));
	length = snprintf(lcores, sizeof(lcores), "%u@%s)", PV_MAIN_LCORE, others);
	for (uint16_t i = 0; i < config->n_workers; i++)
		length += snprintf(lcores + length, sizeof(lcores) - (size_t)length, ",%u@%u", pv_worker_lcore(i),
				   config->worker_cpus[i]);
	add(arguments, "--lcores=%s", lcores);
	add(arguments, "--main-lcore=%u", PV_MAIN_LCORE);
}

static void
add_log_level(struct arguments *arguments)
{
	static const char *const names[] = {
		[PV_LOG_ERROR] = "error",
		[PV_LOG_WARNING] = "warning",
		[PV_LOG_INFO] = "warning", /* of the libraries' talk, what matters */
		[PV_LOG_DEBUG] = "debug",
	};

	add(arguments, "--log-level=lib.telemetry:error"); /* it warns of having nothing to warn of */
	add(arguments, "--log-level=*:%s", names[pv_log_get_level()]);
}

/* The libraries' lines, one at a time, go the way of ours. */
static ssize_t
write_library_log(void *cookie, const char *text, size_t size)
{
	static struct pv_log_limit limit = { .burst = 50 };
	static const enum pv_log_level levels[] = {
		[RTE_LOG_EMERG] = PV_LOG_ERROR, [RTE_LOG_ALERT] = PV_LOG_ERROR,	    [RTE_LOG_CRIT] = PV_LOG_ERROR,
		[RTE_LOG_ERR] = PV_LOG_ERROR,	[RTE_LOG_WARNING] = PV_LOG_WARNING, [RTE_LOG_NOTICE] = PV_LOG_INFO,
		[RTE_LOG_INFO] = PV_LOG_INFO,	[RTE_LOG_DEBUG] = PV_LOG_DEBUG,
	};
	int level = rte_log_cur_msg_loglevel();
	const char *end = memchr(text, '\n', size);
	int length = end != NULL ? (int)(end - text) : (int)size;

	if (level < (int)RTE_LOG_EMERG || level > (int)RTE_LOG_DEBUG)
		level = (int)RTE_LOG_INFO;
	if (length > 0 && pv_log_get_level() == PV_LOG_DEBUG)
		pv_log(levels[level], "dpdk", "%.*s", length, text);
	else if (length > 0)
		pv_log_limited(&limit, levels[level], "dpdk", "%.*s", length, text);
	return (ssize_t)size;
}

static void
take_library_log(void)
{
	static const cookie_io_functions_t functions = { .write = write_library_log };
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return;
	setlinebuf(stream);
	rte_openlog_stream(stream);
}

/* AF_XDP pins its packet memory; an old kernel counts that against the limit of locked memory. */
static void
raise_locked_memory_limit(void)
{
	const struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

/* EAL leaves it. It stays when somebody else has files in it. */
static void
remove_runtime_directory(void)
{
	rmdir(rte_eal_get_runtime_dir());
}

int
pv_eal_start(const struct pv_config *config, char *const *extra, int n_extra)
{
	/* EAL keeps pointers into the strings, and changes the order of what it is given. */
	static struct arguments arguments;
	static char *given[ARGUMENTS_MAX + 1];

	add(&arguments, "pktvirt");
	add_lcores(&arguments, config);
	add(&arguments, "--file-prefix=%s", config->settings.name);
	add_memory(&arguments, config);
	if (!needs_pci(config))
		add(&arguments, "--no-pci");
	add_log_level(&arguments);
	for (int i = 0; i < n_extra; i++)
		add(&arguments, "%s", extra[i]);
	if (arguments.overflow) {
		pv_error("eal", "too many arguments after --: expected fewer than %d", ARGUMENTS_MAX);
		return -E2BIG;
	}
	raise_locked_memory_limit();
	take_library_log();
	/* Telemetry removes its socket when the process exits, in a handler that is registered later and so runs
	 * before. */
	atexit(remove_runtime_directory);
	memcpy(given, arguments.text, sizeof(given));
	if (rte_eal_init(arguments.count, given) < 0) {
		pv_error("eal", "DPDK does not start: %s", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

void
pv_eal_stop(void)
{
	rte_eal_cleanup();
}
