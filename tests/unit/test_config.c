/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration reader, with the port types of the daemon and stages of its own. Every message that it can give is
 * compared as a whole. PV_TEST_CONFIG_DIR names the directory of the configurations that are shipped, and
 * PV_TEST_PLUGIN_DIR that of the shared objects made from plugins/.
 */
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config.h"

#define PORTS "\"ports\": [ { \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" } } ]"
#define TYPES "ethdev, raw, tap, vhost-user"

struct coalesce_options {
	uint32_t limit;
	char *label;
};

static const struct pv_option coalesce_table[] = {
	PV_OPTION_UINT(struct coalesce_options, limit, "limit", 2, 64, 20, "packets put together"),
	PV_OPTION_STRING(struct coalesce_options, label, "label", 1, 20, "none", "for people"),
	PV_OPTION_END,
};

static void
process(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
}

static const char *
bind_plain(const void *options)
{
	return "plain";
}

static const struct pv_stage coalesce = {
	.name = "test-coalesce",
	.summary = "puts packets together",
	.options = coalesce_table,
	.options_size = sizeof(struct coalesce_options),
	.hooks = PV_HOOKS_INGRESS,
	.process = process,
};
static const char *
bind_missing(const void *options)
{
	return "missing";
}

static const struct pv_implementation plain_way = {
	.primitive = "test-primitive", .name = "plain", .summary = "for the test", .plain = true
};
PV_IMPLEMENTATION(plain_way)
static const struct pv_stage astray = { .name = "test-astray", .primitive = "test-primitive", .bind = bind_missing };
static const struct pv_stage walk = { .name = "test-walk", .primitive = "test-primitive", .bind = bind_plain };
static const struct pv_stage cache = { .name = "test-cache", .primitive = "test-primitive", .bind = bind_plain };
PV_STAGE(coalesce)
PV_STAGE(walk)
PV_STAGE(astray)
PV_STAGE(cache)

static char scratch[] = "/tmp/pktvirt-config-XXXXXX";

static struct pv_config *
parse_good(const char *text)
{
	struct pv_diag *diag;
	struct pv_config *config = pv_config_parse("a.json", text, &diag);

	if (config == NULL)
		pv_diag_print(diag, stderr);
	assert_non_null(config);
	assert_int_equal(pv_diag_count(diag), 0);
	pv_diag_free(diag);
	return config;
}

/* Compares the mistakes found in `text`, one per line, with `expected`. */
static void
assert_mistakes(const char *text, const char *expected)
{
	struct pv_diag *diag;
	char *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	assert_null(pv_config_parse("a.json", text, &diag));
	pv_diag_print(diag, out);
	fclose(out);
	assert_string_equal(printed, expected);
	free(printed);
	pv_diag_free(diag);
}

/* The CPUs that this process may use: the first, the last, and one that is not there. */
static int
cpu(int which)
{
	cpu_set_t cpus;
	int found = -1;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if ((CPU_ISSET(i, &cpus) != 0) == (which >= 0) && (found < 0 || which != 0))
			found = i;
	return found;
}
#define FIRST_CPU cpu(0)
#define LAST_CPU cpu(1)
#define NO_CPU cpu(-1)

static void
what_is_not_given_has_its_default(void **state)
{
	struct pv_config *config = parse_good("{ " PORTS " }");

	assert_string_equal(config->path, "a.json");
	assert_string_equal(config->settings.name, "pktvirt");
	assert_null(config->settings.description);
	assert_int_equal(config->settings.baseline, PV_BASELINE_NONE);
	assert_null(config->settings.control_socket);
	assert_int_equal(config->settings.packets, 32768);
	assert_int_equal(config->settings.fdb_entries, 8192);
	assert_int_equal(config->settings.fdb_ageing_s, 300);
	assert_int_equal(config->settings.fdb_port_limit, 1024);
	assert_int_equal(config->settings.idle_sleep_us, 200);
	assert_int_equal(config->n_workers, 1);
	assert_int_equal(config->worker_cpus[0], LAST_CPU);
	assert_int_equal(config->n_ports, 1);
	assert_int_equal(config->ports[0].mtu, 1500);
	assert_int_equal(config->ports[0].role, config->ports[0].type->role);
	assert_false(config->ports[0].mac.set);
	assert_int_equal(config->n_stages, 0);
	assert_int_equal(config->n_plugins, 0);
	pv_config_free(config);
}

static void
what_is_given_is_taken(void **state)
{
	struct pv_config *config = parse_good(
		"{ \"$schema\": \"x\", \"name\": \"lab-1\", \"description\": \"d\", \"baseline\": \"xen\","
		"  \"control-socket\": \"/c\", \"packets\": 2048, \"fdb-entries\": 64, \"fdb-ageing-s\": 1,"
		"  \"fdb-port-limit\": 1, \"idle-sleep-us\": 0,"
		"  \"ports\": [ { \"name\": \"P.0_x-\", \"tap\": { \"interface\": \"pv0\" }, \"mtu\": 9000,"
		"                \"role\": \"wire\", \"mac\": \"52:54:00:00:00:01\" },"
		"              { \"name\": \"p1\", \"tap\": { \"interface\": \"pv1\" }, \"role\": \"guest\" } ],"
		"  \"stages\": [ { \"test-coalesce\": { \"limit\": 5 } }, \"test-walk\" ] }");
	const struct coalesce_options *options = config->stages[0].options;

	assert_string_equal(config->settings.name, "lab-1");
	assert_int_equal(config->settings.baseline, PV_BASELINE_XEN);
	assert_int_equal(config->settings.idle_sleep_us, 0);
	assert_int_equal(config->n_ports, 2);
	assert_string_equal(config->ports[0].name, "P.0_x-");
	assert_string_equal(config->ports[0].type->name, "tap");
	assert_int_equal(config->ports[0].mtu, 9000);
	assert_int_equal(config->ports[0].role, PV_ROLE_WIRE);
	assert_int_equal(config->ports[0].mac.bytes[5], 1);
	assert_int_equal(config->ports[1].role, PV_ROLE_GUEST);
	assert_int_equal(config->n_stages, 2);
	assert_ptr_equal(config->stages[0].stage, &coalesce);
	assert_int_equal(options->limit, 5);
	assert_string_equal(options->label, "none");
	assert_ptr_equal(config->stages[1].stage, &walk);
	pv_config_free(config);
}

static void
the_control_socket_is_named_after_the_instance(void **state)
{
	struct pv_config *config = parse_good("{ \"name\": \"lab\", " PORTS " }");
	char *path = pv_config_control_socket(config);

	assert_string_equal(path, "/run/pktvirt/lab.ctl");
	free(path);
	pv_config_free(config);
	config = parse_good("{ \"control-socket\": \"/tmp/c\", " PORTS " }");
	path = pv_config_control_socket(config);
	assert_string_equal(path, "/tmp/c");
	free(path);
	pv_config_free(config);
}

static void
a_syntax_error_has_its_line(void **state)
{
	assert_mistakes("{\n  \"name\": \"x\"\n  \"ports\": []\n}", "a.json:3: '}' expected near '\"ports\"'\n");
	assert_mistakes("", "a.json:1: '[' or '{' expected near end of file\n");
	assert_mistakes("{ " PORTS " }\n\n{}", "a.json:3: end of file expected near '{'\n");
}

static void
a_key_given_twice_is_refused(void **state)
{
	assert_mistakes("{ \"name\": \"x\",\n \"name\": \"y\", " PORTS " }",
			"a.json:2: duplicate object key near '\"name\"'\n");
}

static void
the_document_is_an_object(void **state)
{
	assert_mistakes("[]", "a.json:1: [] (array): expected an object\n");
}

static void
unknown_keys_of_the_top_level_are_refused(void **state)
{
	assert_mistakes("{ " PORTS ",\n \"worker\": [0] }",
			"a.json:2: unknown option \"worker\"; did you mean \"workers\"?\n");
	assert_mistakes(
		"{ " PORTS ",\n \"x\": [0] }",
		"a.json:2: unknown option \"x\"; accepted: name, description, baseline, control-socket, packets, "
		"fdb-entries, fdb-ageing-s, fdb-port-limit, idle-sleep-us, workers, ports, stages, plugins, $schema, "
		"$bindings\n");
}

static void
settings_are_checked(void **state)
{
	assert_mistakes("{ " PORTS ",\n\"name\": \"Lab 1\" }",
			"a.json:2: name: \"Lab 1\": expected lower-case letters, digits, \".\", \"_\" and \"-\"\n");
	assert_mistakes("{ " PORTS ",\n\"name\": \"\" }",
			"a.json:2: name: \"\": expected a string of 1 to 32 characters\n");
	assert_mistakes(
		"{ " PORTS ",\n\"name\": \"a23456789012345678901234567890123\" }",
		"a.json:2: name: \"a23456789012345678901234567890123\": expected a string of 1 to 32 characters\n");
	assert_mistakes("{ " PORTS ",\n\"baseline\": \"vmware\" }",
			"a.json:2: baseline: \"vmware\": expected one of: none, uml, xen\n");
	assert_mistakes("{ " PORTS ",\n\"control-socket\": \"\" }",
			"a.json:2: control-socket: \"\": expected a string of 1 to 107 characters\n");
	assert_mistakes("{ " PORTS ",\n\"packets\": 2047 }", "a.json:2: packets: 2047: expected 2048 to 4194304\n");
	assert_mistakes("{ " PORTS ",\n\"fdb-entries\": 1 }", "a.json:2: fdb-entries: 1: expected 64 to 1048576\n");
	assert_mistakes("{ " PORTS ",\n\"fdb-ageing-s\": 0 }", "a.json:2: fdb-ageing-s: 0: expected 1 to 1000000\n");
	assert_mistakes("{ " PORTS ",\n\"fdb-port-limit\": 0 }",
			"a.json:2: fdb-port-limit: 0: expected 1 to 1048576\n");
	assert_mistakes("{ " PORTS ",\n\"idle-sleep-us\": 10001 }",
			"a.json:2: idle-sleep-us: 10001: expected 0 to 10000\n");
	assert_mistakes("{ " PORTS ",\n\"$schema\": 1 }", "a.json:2: $schema: 1 (integer): expected a string\n");
}

static void
workers_are_cpu_numbers(void **state)
{
	assert_mistakes("{ " PORTS ",\n\"workers\": 2 }",
			"a.json:2: workers: 2 (integer): expected an array of 1 to 16 CPU numbers\n");
	assert_mistakes("{ " PORTS ",\n\"workers\": [] }",
			"a.json:2: workers: []: expected an array of 1 to 16 CPU numbers\n");
	assert_mistakes(
		"{ " PORTS ",\n\"workers\": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0] }",
		"a.json:2: workers: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]: expected an array of 1 to 16 "
		"CPU numbers\n");
	assert_mistakes("{ " PORTS ",\n\"workers\": [\"0\"] }",
			"a.json:2: workers[0]: \"0\" (string): expected the number of a CPU\n");
}

static void
a_worker_on_every_cpu_is_fine(void **state)
{
	char text[256];
	struct pv_config *config;

	if (FIRST_CPU == LAST_CPU)
		skip();
	snprintf(text, sizeof(text), "{ " PORTS ", \"workers\": [%d, %d] }", LAST_CPU, FIRST_CPU);
	config = parse_good(text);
	assert_int_equal(config->n_workers, 2);
	assert_int_equal(config->worker_cpus[0], LAST_CPU);
	assert_int_equal(config->worker_cpus[1], FIRST_CPU);
	pv_config_free(config);
}

static void
two_workers_on_one_cpu_are_refused(void **state)
{
	char text[256], expected[256];

	snprintf(text, sizeof(text), "{ " PORTS ",\n\"workers\": [%d,\n%d] }", LAST_CPU, LAST_CPU);
	snprintf(expected, sizeof(expected), "a.json:3: workers[1]: %d: already the CPU of workers[0]\n", LAST_CPU);
	assert_mistakes(text, expected);
}

/* Only one CPU is left, so that the message is known. */
static void
a_cpu_that_there_is_not_is_refused(void **state)
{
	char text[256], expected[256];
	cpu_set_t before, one;
	int last = LAST_CPU;

	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(last, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	snprintf(text, sizeof(text), "{ " PORTS ",\n\"workers\": [-1, %d, 99999, %d] }", last, NO_CPU);
	snprintf(expected, sizeof(expected),
		 "a.json:2: workers[0]: -1: this machine offers CPUs %d\n"
		 "a.json:2: workers[2]: 99999: this machine offers CPUs %d\n"
		 "a.json:2: workers[3]: %d: this machine offers CPUs %d\n",
		 last, last, NO_CPU, last);
	assert_mistakes(text, expected);
	sched_setaffinity(0, sizeof(before), &before);
}

static void
neighbouring_cpus_are_shown_as_a_range(void **state)
{
	cpu_set_t before, two;

	sched_getaffinity(0, sizeof(before), &before);
	if (!CPU_ISSET(0, &before) || !CPU_ISSET(1, &before))
		skip();
	CPU_ZERO(&two);
	CPU_SET(0, &two);
	CPU_SET(1, &two);
	assert_int_equal(sched_setaffinity(0, sizeof(two), &two), 0);
	assert_mistakes("{ " PORTS ",\n\"workers\": [99] }",
			"a.json:2: workers[0]: 99: this machine offers CPUs 0-1\n");
	sched_setaffinity(0, sizeof(before), &before);
}

static void
there_are_ports(void **state)
{
	assert_mistakes("{ }", "a.json:1: ports: missing: expected an array of 1 to 512 ports\n");
	assert_mistakes("{\n\"ports\": [] }", "a.json:2: ports: []: expected an array of 1 to 512 ports\n");
	assert_mistakes("{\n\"ports\": {} }", "a.json:2: ports: {} (object): expected an array of 1 to 512 ports\n");
	assert_mistakes("{\n\"ports\": [ 5 ] }", "a.json:2: ports[0]: 5 (integer): expected an object\n");
}

/* Parses one port, which is on line 2. */
static void
assert_port_mistakes(const char *port, const char *expected)
{
	char text[512];

	snprintf(text, sizeof(text), "{ \"ports\": [\n%s ] }", port);
	assert_mistakes(text, expected);
}

static void
a_port_has_a_good_name(void **state)
{
	assert_port_mistakes("{ \"tap\": { \"interface\": \"pv0\" } }",
			     "a.json:2: ports[0].name: missing: expected a string of 1 to 31 characters\n");
	assert_port_mistakes("{ \"name\": \"\", \"tap\": { \"interface\": \"pv0\" } }",
			     "a.json:2: ports[0].name: \"\": expected a string of 1 to 31 characters\n");
	assert_port_mistakes("{ \"name\": \"vm 0\", \"tap\": { \"interface\": \"pv0\" } }",
			     "a.json:2: ports[0].name: \"vm 0\": expected letters, digits, \".\", \"_\" and \"-\"\n");
}

static void
a_port_has_exactly_one_type(void **state)
{
	assert_port_mistakes("{ \"name\": \"p0\" }", "a.json:2: ports[0]: no type: expected one of: " TYPES "\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": { \"interface\": \"a\" }, \"ethdev\": {} }",
			     "a.json:2: ports[0]: \"ethdev\" and \"tap\": expected one type of: " TYPES "\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"vhostuser\": {} }",
			     "a.json:2: ports[0]: unknown option \"vhostuser\"; did you mean \"vhost-user\"?\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"bridge\": {} }",
			     "a.json:2: ports[0]: unknown option \"bridge\"; accepted: name, mac, mtu, weight, "
			     "rate-limit-mbps, vlan, role, " TYPES "\n");
}

static void
common_options_of_a_port_are_checked(void **state)
{
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mtu\": 67 }",
			     "a.json:2: ports[0].mtu: 67: expected 68 to 9000\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"role\": \"host\" }",
			     "a.json:2: ports[0].role: \"host\": expected one of: guest, wire\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mac\": \"x\" }",
			     "a.json:2: ports[0].mac: \"x\": expected an Ethernet address such as 52:54:00:12:34:56\n");
	assert_port_mistakes(
		"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mac\": \"01:00:5e:00:00:01\" }",
		"a.json:2: ports[0].mac: \"01:00:5e:00:00:01\": expected a unicast address\n");
	assert_port_mistakes(
		"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mac\": \"00:00:00:00:00:00\" }",
		"a.json:2: ports[0].mac: \"00:00:00:00:00:00\": expected a unicast address\n");
}

static void
options_of_a_port_type_are_checked(void **state)
{
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": 5 }",
			     "a.json:2: ports[0].tap: 5 (integer): expected an object\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": {} }",
			     "a.json:2: ports[0].tap.interface: missing: expected a string of 1 to 15 characters\n");
	assert_port_mistakes("{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\",\n\"ifc\": 1 } }",
			     "a.json:3: ports[0].tap: unknown option \"ifc\"; accepted: interface\n");
	assert_port_mistakes(
		"{ \"name\": \"p0\", \"vhost-user\": { \"socket\": 5 } }",
		"a.json:2: ports[0].vhost-user.socket: 5 (integer): expected a string of 1 to 107 characters\n");
}

static void
what_a_port_type_checks_itself_is_reported(void **state)
{
	char text[256], expected[256];
	struct pv_diag *diag;

	snprintf(text, sizeof(text), "{ \"ports\": [ { \"name\": \"p0\", \"vhost-user\": {\n\"socket\": \"%s\" } } ] }",
		 scratch);
	snprintf(expected, sizeof(expected), "a.json:2: ports[0].vhost-user.socket: \"%s\": ", scratch);
	assert_null(pv_config_parse("a.json", text, &diag));
	assert_int_equal(pv_diag_count(diag), 1);
	assert_memory_equal(pv_diag_message(diag, 0), expected, strlen(expected));
	pv_diag_free(diag);
}

static void
what_ports_may_not_share_is_unique(void **state)
{
	assert_mistakes("{ \"ports\": [\n"
			"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" } },\n"
			"{ \"name\": \"p1\", \"tap\": { \"interface\": \"pv1\" } },\n"
			"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv2\" } } ] }",
			"a.json:4: ports[2].name: \"p0\": already the name of ports[0]\n");
	assert_mistakes("{ \"ports\": [\n"
			"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mac\": \"02:00:00:00:00:01\" },\n"
			"{ \"name\": \"p1\", \"tap\": { \"interface\": \"pv1\" }, \"mac\": \"02:00:00:00:00:01\" } ] }",
			"a.json:3: ports[1].mac: \"02:00:00:00:00:01\": already the mac of ports[0]\n");
	assert_mistakes("{ \"ports\": [\n"
			"{ \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" } },\n"
			"{ \"name\": \"p1\", \"tap\": { \"interface\": \"pv0\" } } ] }",
			"a.json:3: ports[1].tap.interface: \"pv0\": already the interface of ports[0]\n");
	assert_mistakes(
		"{ \"ports\": [\n"
		"{ \"name\": \"p0\", \"vhost-user\": { \"socket\": \"/tmp/pv-no-such.sock\" } },\n"
		"{ \"name\": \"p1\", \"vhost-user\": { \"socket\": \"/tmp/pv-no-such.sock\" } } ] }",
		"a.json:3: ports[1].vhost-user.socket: \"/tmp/pv-no-such.sock\": already the socket of ports[0]\n");
}

static void
stages_are_names_or_objects_of_one_name(void **state)
{
	assert_mistakes("{ " PORTS ",\n\"stages\": \"test-walk\" }",
			"a.json:2: stages: \"test-walk\" (string): expected an array of stages\n");
	assert_mistakes(
		"{ " PORTS ",\n\"stages\": [ 5 ] }",
		"a.json:2: stages[0]: 5 (integer): expected the name of a stage, or { \"name\": { options } }\n");
	assert_mistakes(
		"{ " PORTS ",\n\"stages\": [ {} ] }",
		"a.json:2: stages[0]: {} (object): expected the name of a stage, or { \"name\": { options } }\n");
	assert_mistakes("{ " PORTS ",\n\"stages\": [ {\"test-walk\": {}, \"test-coalesce\": {}} ] }",
			"a.json:2: stages[0]: {\"test-walk\": {}, \"test-coalesce\": {}} (object): expected the name "
			"of a stage, "
			"or { \"name\": { options } }\n");
}

static void
an_unknown_stage_names_the_nearest(void **state)
{
	assert_mistakes("{ " PORTS ",\n\"stages\": [ \"test-colaesce\" ] }",
			"a.json:2: stages[0]: unknown stage \"test-colaesce\"; did you mean \"test-coalesce\"?\n");
	assert_mistakes("{ " PORTS ",\n\"stages\": [\n{ \"test-wlak\": {} } ] }",
			"a.json:3: stages[0]: unknown stage \"test-wlak\"; did you mean \"test-walk\"?\n");
}

static void
an_unknown_stage_lists_those_there_are(void **state)
{
	char expected[1024];
	size_t length = (size_t)sprintf(expected, "a.json:2: stages[0]: unknown stage \"x\"; accepted: ");

	for (size_t i = 0; i < pv_stage_count(); i++)
		length += (size_t)snprintf(expected + length, sizeof(expected) - length, "%s%s", i > 0 ? ", " : "",
					   pv_stage_get(i)->name);
	snprintf(expected + length, sizeof(expected) - length, "\n");
	assert_mistakes("{ " PORTS ",\n\"stages\": [ \"x\" ] }", expected);
}

static void
options_of_a_stage_are_checked(void **state)
{
	assert_mistakes("{ " PORTS ", \"stages\": [\n{ \"test-coalesce\": {\n\"limit\": 0 } } ] }",
			"a.json:3: stages[0].test-coalesce.limit: 0: expected 2 to 64\n");
	assert_mistakes("{ " PORTS ", \"stages\": [\n{ \"test-coalesce\": {\n\"limt\": 5 } } ] }",
			"a.json:3: stages[0].test-coalesce: unknown option \"limt\"; did you mean \"limit\"?\n");
	assert_mistakes("{ " PORTS ", \"stages\": [\n{ \"test-coalesce\": true } ] }",
			"a.json:2: stages[0].test-coalesce: true (boolean): expected an object\n");
	assert_mistakes("{ " PORTS ", \"stages\": [\n{ \"test-walk\": { \"x\": 1 } } ] }",
			"a.json:2: stages[0].test-walk: unknown option \"x\"; accepted: none\n");
}

static void
a_stage_is_listed_once(void **state)
{
	assert_mistakes("{ " PORTS ", \"stages\": [ \"test-walk\", 5,\n \"test-walk\" ] }",
			"a.json:1: stages[1]: 5 (integer): expected the name of a stage, or { \"name\": { options } }\n"
			"a.json:2: stages[2]: \"test-walk\": already listed as stages[0]\n");
}

static void
a_mechanism_binds_what_there_is(void **state)
{
	assert_mistakes("{ " PORTS ", \"stages\": [ \"test-astray\" ] }",
			"a.json:1: stages[0]: \"test-astray\": wants the implementation \"missing\" of test-primitive: "
			"there is none\n");
}

static void
one_stage_decides_a_primitive(void **state)
{
	assert_mistakes(
		"{ " PORTS ", \"stages\": [ \"test-walk\",\n \"test-cache\" ] }",
		"a.json:2: stages[1]: \"test-cache\": decides test-primitive, as \"test-walk\" in stages[0] does: "
		"expected one of them\n");
}

static void
plugins_are_loaded_before_stages_are_looked_up(void **state)
{
	const char *directory = getenv("PV_TEST_PLUGIN_DIR");
	char text[PATH_MAX + 256];
	struct pv_config *config;

	assert_non_null(directory);
	snprintf(text, sizeof(text), "{ " PORTS ", \"stages\": [ \"test-good\" ], \"plugins\": [ \"%s/good.so\" ] }",
		 directory);
	config = parse_good(text);
	assert_string_equal(config->stages[0].stage->name, "test-good");
	assert_int_equal(config->n_plugins, 1);
	pv_config_free(config);
}

static void
plugins_are_paths_of_shared_objects(void **state)
{
	assert_mistakes("{ " PORTS ",\n\"plugins\": \"a.so\" }",
			"a.json:2: plugins: \"a.so\" (string): expected an array of paths of shared objects\n");
	assert_mistakes("{ " PORTS ",\n\"plugins\": [\n5, \"\", \"./no-such.so\" ] }",
			"a.json:3: plugins[0]: 5 (integer): expected the path of a shared object\n"
			"a.json:3: plugins[1]: \"\": expected the path of a shared object\n"
			"a.json:3: plugins[2]: \"./no-such.so\": No such file or directory\n");
}

static void
all_mistakes_are_reported_in_one_run(void **state)
{
	assert_mistakes(
		"{\n"
		"  \"packets\": 1,\n"
		"  \"workers\": [ true ],\n"
		"  \"ports\": [\n"
		"    { \"name\": \"p0\", \"tap\": {} },\n"
		"    { \"name\": \"p0\", \"mtu\": 1 }\n"
		"  ],\n"
		"  \"stages\": [ 1,\n"
		"    { \"test-coalesce\": { \"limit\": \"all\", \"label\": 1 } } ]\n"
		"}\n",
		"a.json:2: packets: 1: expected 2048 to 4194304\n"
		"a.json:3: workers[0]: true (boolean): expected the number of a CPU\n"
		"a.json:5: ports[0].tap.interface: missing: expected a string of 1 to 15 characters\n"
		"a.json:6: ports[1].mtu: 1: expected 68 to 9000\n"
		"a.json:6: ports[1]: no type: expected one of: " TYPES "\n"
		"a.json:6: ports[1].name: \"p0\": already the name of ports[0]\n"
		"a.json:8: stages[0]: 1 (integer): expected the name of a stage, or { \"name\": { options } }\n"
		"a.json:9: stages[1].test-coalesce.limit: \"all\" (string): expected 2 to 64\n"
		"a.json:9: stages[1].test-coalesce.label: 1 (integer): expected a string of 1 to 20 characters\n");
}

static void
assert_round_trip(const struct pv_config *config)
{
	json_t *first = pv_config_dump(config), *second;
	char *text = json_dumps(first, JSON_INDENT(2));
	struct pv_config *again = parse_good(text);

	second = pv_config_dump(again);
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	pv_config_free(again);
	free(text);
}

static void
what_is_dumped_is_read_back_the_same(void **state)
{
	struct pv_config *config = parse_good(
		"{ \"description\": \"\", \"baseline\": \"uml\", \"idle-sleep-us\": 0,"
		"  \"ports\": [ { \"name\": \"p0\", \"tap\": { \"interface\": \"pv0\" }, \"mac\": "
		"\"52:54:00:00:00:01\","
		"                \"role\": \"wire\" },"
		"              { \"name\": \"p1\", \"vhost-user\": { \"socket\": \"/tmp/pv-no-such.sock\" } },"
		"              { \"name\": \"p2\", \"ethdev\": { \"devargs\": \"net_null0\" } } ],"
		"  \"stages\": [ { \"test-coalesce\": { \"limit\": 5 } }, \"test-walk\" ] }");

	assert_round_trip(config);
	pv_config_free(config);
}

static void
a_dump_has_every_effective_value(void **state)
{
	struct pv_config *config = parse_good("{ " PORTS ", \"stages\": [ \"test-walk\", \"test-coalesce\" ] }");
	json_t *dump = pv_config_dump(config);
	json_t *wanted = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:[i], s:[{s:s, s:i, s:i, s:i, s:i, s:s, "
				   "s:{s:s}}], s:[], s:[s, {s:{s:i, s:s}}]}",
				   "name", "pktvirt", "baseline", "none", "packets", 32768, "fdb-entries", 8192,
				   "fdb-ageing-s", 300, "fdb-port-limit", 1024, "idle-sleep-us", 200, "workers",
				   LAST_CPU, "ports", "name", "p0", "mtu", 1500, "weight", 1, "rate-limit-mbps", 0,
				   "vlan", 0, "role", pv_role_names[config->ports[0].role], "tap", "interface", "pv0",
				   "plugins", "stages", "test-walk", "test-coalesce", "limit", 20, "label", "none");

	assert_non_null(wanted);
	assert_true(json_equal(dump, wanted));
	json_decref(wanted);
	json_decref(dump);
	pv_config_free(config);
}

/* Puts the sockets of a configuration into a directory where nobody listens, as a daemon on this host may do. */
static void
move_sockets(json_t *root, const char *directory)
{
	json_t *port;
	size_t i;

	json_array_foreach(json_object_get(root, "ports"), i, port) {
		json_t *vhost = json_object_get(port, "vhost-user");

		if (vhost != NULL)
			json_object_set_new(vhost, "socket", json_sprintf("%s/%zu.sock", directory, i));
	}
}

static void
assert_shipped_is_good(const char *path)
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	struct pv_config *config;
	char *text;

	if (root == NULL)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	move_sockets(root, scratch);
	text = json_dumps(root, JSON_INDENT(2));
	config = parse_good(text);
	assert_round_trip(config);
	pv_config_free(config);
	json_decref(root);
	free(text);
}

static void
shipped_configurations_are_good_and_round_trip(void **state)
{
	const char *directory = getenv("PV_TEST_CONFIG_DIR");
	DIR *files = directory != NULL ? opendir(directory) : NULL;
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(files);
	while ((entry = readdir(files)) != NULL) {
		const char *ending = strchr(entry->d_name, '.');
		char path[PATH_MAX];

		if (ending == NULL || strcmp(ending, ".json") != 0) /* the schema ends with .schema.json */
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		assert_shipped_is_good(path);
		count++;
	}
	closedir(files);
	assert_true(count > 0);
}

static json_t *
at(json_t *json, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(*keys)) : json_object_get(json, *keys);
	return json;
}
#define AT(json, ...) at(json, (const char *const[]){ __VA_ARGS__, NULL })

static void
the_schema_has_what_the_tables_have(void **state)
{
	json_t *schema = pv_config_schema();
	json_t *port = AT(schema, "properties", "ports", "items");
	json_t *stage = AT(schema, "properties", "stages", "items", "oneOf");

	assert_string_equal(json_string_value(AT(schema, "$schema")), "https://json-schema.org/draft/2020-12/schema");
	assert_true(json_is_false(AT(schema, "additionalProperties")));
	assert_string_equal(json_string_value(AT(schema, "required", "0")), "ports");
	assert_int_equal(json_integer_value(AT(schema, "properties", "packets", "default")), 32768);
	assert_int_equal(json_integer_value(AT(schema, "properties", "workers", "maxItems")), PV_WORKERS_MAX);
	assert_int_equal(json_integer_value(AT(port, "properties", "tap", "properties", "interface", "maxLength")), 15);
	assert_string_equal(json_string_value(AT(port, "oneOf", "2", "required", "0")), "tap");
	assert_null(AT(port, "properties", "role", "default"));
	assert_int_equal(json_array_size(AT(stage, "0", "enum")), pv_stage_count());
	assert_int_equal(
		json_integer_value(AT(stage, "1", "properties", "test-coalesce", "properties", "limit", "minimum")), 2);
	assert_int_equal(json_integer_value(AT(stage, "1", "maxProperties")), 1);
	json_decref(schema);
}

/* What a function prints on standard error while it reads a configuration. */
static const char *
stderr_of_reading(const char *name, bool good)
{
	static char text[1024];
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);
	struct pv_config *config;
	size_t length;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	config = pv_config_read(name);
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	assert_int_equal(config != NULL, good);
	pv_config_free(config);
	return text;
}

static void
write_file(const char *path, const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	fclose(file);
}

/* Runs in the scratch directory. */
static void
a_file_is_looked_for_where_configurations_are(void **state)
{
	static const char text[] = "{ " PORTS " }";

	assert_string_equal(stderr_of_reading("none.json", false),
			    "none.json: no such file; looked at none.json, configs/none.json and " PV_DATA_DIR
			    "/configs/none.json\n");
	assert_string_equal(stderr_of_reading("./none.json", false), "./none.json: no such file\n");
	assert_int_equal(mkdir("configs", 0755), 0);
	write_file("configs/one.json", text, sizeof(text) - 1);
	assert_string_equal(stderr_of_reading("one.json", true), "");
	assert_string_equal(stderr_of_reading("./one.json", false), "./one.json: no such file\n");
	write_file("one.json", "{\n}", 3);
	assert_string_equal(stderr_of_reading("one.json", false),
			    "one.json:1: ports: missing: expected an array of 1 to 512 ports\n");
	unlink("one.json");
	unlink("configs/one.json");
	rmdir("configs");
}

static void
mistakes_name_the_file_that_was_found(void **state)
{
	assert_int_equal(mkdir("configs", 0755), 0);
	write_file("configs/two.json", "{ }", 3);
	assert_string_equal(stderr_of_reading("two.json", false),
			    "configs/two.json:1: ports: missing: expected an array of 1 to 512 ports\n");
	unlink("configs/two.json");
	rmdir("configs");
}

static void
a_file_that_is_no_text_is_refused(void **state)
{
	assert_string_equal(stderr_of_reading("/", false), "/: cannot be read: Is a directory\n");
	write_file("zero.json", "{ \0 }", 5);
	assert_string_equal(stderr_of_reading("zero.json", false), "zero.json: cannot be read: not a text file\n");
	write_file("zero.json", "", 0);
	assert_string_equal(stderr_of_reading("zero.json", false),
			    "zero.json:1: '[' or '{' expected near end of file\n");
	unlink("zero.json");
}

static void
a_file_that_may_not_be_read_is_refused(void **state)
{
	uid_t user = geteuid();

	/* Root may read everything, so the test becomes somebody else for a moment. */
	write_file("secret.json", "{ }", 3);
	assert_int_equal(chmod("secret.json", 0), 0);
	assert_int_equal(chmod(".", 0755), 0);
	assert_int_equal(user == 0 ? seteuid(65534) : 0, 0);
	assert_string_equal(stderr_of_reading("secret.json", false),
			    "secret.json: cannot be read: Permission denied\n");
	assert_int_equal(seteuid(user), 0);
	unlink("secret.json");
}

static void
freeing_no_configuration_is_fine(void **state)
{
	pv_config_free(NULL);
}

static int
start(void **state)
{
	return mkdtemp(scratch) == NULL || chdir(scratch) != 0 ? -1 : 0;
}

static int
stop(void **state)
{
	return chdir("/") != 0 ? -1 : rmdir(scratch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(what_is_given_is_taken),
		cmocka_unit_test(the_control_socket_is_named_after_the_instance),
		cmocka_unit_test(a_syntax_error_has_its_line),
		cmocka_unit_test(a_key_given_twice_is_refused),
		cmocka_unit_test(the_document_is_an_object),
		cmocka_unit_test(unknown_keys_of_the_top_level_are_refused),
		cmocka_unit_test(settings_are_checked),
		cmocka_unit_test(workers_are_cpu_numbers),
		cmocka_unit_test(a_worker_on_every_cpu_is_fine),
		cmocka_unit_test(two_workers_on_one_cpu_are_refused),
		cmocka_unit_test(a_cpu_that_there_is_not_is_refused),
		cmocka_unit_test(neighbouring_cpus_are_shown_as_a_range),
		cmocka_unit_test(there_are_ports),
		cmocka_unit_test(a_port_has_a_good_name),
		cmocka_unit_test(a_port_has_exactly_one_type),
		cmocka_unit_test(common_options_of_a_port_are_checked),
		cmocka_unit_test(options_of_a_port_type_are_checked),
		cmocka_unit_test(what_a_port_type_checks_itself_is_reported),
		cmocka_unit_test(what_ports_may_not_share_is_unique),
		cmocka_unit_test(stages_are_names_or_objects_of_one_name),
		cmocka_unit_test(an_unknown_stage_names_the_nearest),
		cmocka_unit_test(an_unknown_stage_lists_those_there_are),
		cmocka_unit_test(options_of_a_stage_are_checked),
		cmocka_unit_test(a_stage_is_listed_once),
		cmocka_unit_test(a_mechanism_binds_what_there_is),
		cmocka_unit_test(one_stage_decides_a_primitive),
		cmocka_unit_test(plugins_are_loaded_before_stages_are_looked_up),
		cmocka_unit_test(plugins_are_paths_of_shared_objects),
		cmocka_unit_test(all_mistakes_are_reported_in_one_run),
		cmocka_unit_test(what_is_dumped_is_read_back_the_same),
		cmocka_unit_test(a_dump_has_every_effective_value),
		cmocka_unit_test(shipped_configurations_are_good_and_round_trip),
		cmocka_unit_test(the_schema_has_what_the_tables_have),
		cmocka_unit_test(a_file_is_looked_for_where_configurations_are),
		cmocka_unit_test(mistakes_name_the_file_that_was_found),
		cmocka_unit_test(a_file_that_is_no_text_is_refused),
		cmocka_unit_test(a_file_that_may_not_be_read_is_refused),
		cmocka_unit_test(freeing_no_configuration_is_fine),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
