/* SPDX-License-Identifier: BSD-3-Clause */
/* pktvirt: the command line. Exit statuses: 0, 1 for a failure at run time, 2 for a mistake of usage or config. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_version.h>

#include "base/log.h"
#include "core/config.h"
#include "core/report.h"
#include "daemon.h"
#include "stages.h"

#define EXIT_USAGE 2
#define DEFAULT_CONFIG "fast.json"

enum action { RUN, CHECK_CONFIG, PRINT_CONFIG, PRINT_SCHEMA, LIST_STAGES, HELP_STAGE, VERSION, HELP };

struct command {
	enum action action;
	const char *config;
	const char *stage;
	bool json;
	char *const *eal;
	int n_eal;
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check-config", no_argument, NULL, CHECK_CONFIG },
	{ "print-config", no_argument, NULL, PRINT_CONFIG },
	{ "print-schema", no_argument, NULL, PRINT_SCHEMA },
	{ "list-stages", no_argument, NULL, LIST_STAGES },
	{ "help-stage", required_argument, NULL, HELP_STAGE },
	{ "json", no_argument, NULL, 'j' },
	{ "log-level", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: pktvirt [--config FILE] [OPTION...] [-- EAL-OPTION...]\n"
	"A packet switch for virtual machines: guests attach over vhost-user, and the stages that the configuration\n"
	"lists process their packets. Runs until Ctrl-C or SIGTERM.\n"
	"\n"
	"  -c, --config FILE     configuration to run; a bare name is also looked for in configs/ and in\n"
	"                        " PV_DATA_DIR "/configs (default: " DEFAULT_CONFIG ")\n"
	"      --check-config    report every mistake of the configuration and exit\n"
	"      --print-config    print the configuration with all effective values, and what is bound, as JSON\n"
	"      --print-schema    print the JSON Schema of configurations\n"
	"      --list-stages     list the stages (with --json: as JSON)\n"
	"      --help-stage NAME what a stage does, where it comes from, and its options\n"
	"      --log-level LEVEL error, warning, info (default) or debug\n"
	"      --version         print the versions of pktvirt and DPDK\n"
	"  -h, --help            print this\n"
	"\n"
	"What follows -- goes to DPDK's EAL after the arguments that are made from the configuration.\n"
	"Exit status: 0; 1 for a failure at run time; 2 for a mistake in the arguments or the configuration.\n";

static int
usage_error(const char *fmt, const char *given, const char *more)
{
	fputs("pktvirt: ", stderr);
	fprintf(stderr, fmt, given, more);
	fputs("; see pktvirt --help\n", stderr);
	return EXIT_USAGE;
}

static int
unknown_option(const char *given)
{
	const char *names[sizeof(long_options) / sizeof(long_options[0])];
	const char *near;
	size_t n = 0;

	for (; long_options[n].name != NULL; n++)
		names[n] = long_options[n].name;
	names[n] = NULL;
	near = strncmp(given, "--", 2) == 0 ? pv_nearest(given + 2, names) : NULL;
	return near != NULL ? usage_error("unknown option \"%s\"; did you mean \"--%s\"?", given, near) :
			      usage_error("unknown option \"%s\"%s", given, "");
}

static int
set_log_level(const char *name)
{
	int level = pv_log_level_parse(name);

	if (level < 0)
		return usage_error("--log-level: \"%s\": expected error, warning, info or debug%s", name, "");
	pv_log_set_level((enum pv_log_level)level);
	return 0;
}

static int
take_option(struct command *command, int option, const char *given)
{
	switch (option) {
	case 'c':
		command->config = optarg;
		return 0;
	case 'j':
		command->json = true;
		return 0;
	case 'l':
		return set_log_level(optarg);
	case 'h':
		command->action = HELP;
		return 0;
	case HELP_STAGE:
		command->stage = optarg;
		/* fall through */
	case CHECK_CONFIG:
	case PRINT_CONFIG:
	case PRINT_SCHEMA:
	case LIST_STAGES:
	case VERSION:
		command->action = (enum action)option;
		return 0;
	case ':':
		return usage_error("%s needs a value%s", given, "");
	default:
		return unknown_option(given);
	}
}

static int
parse(int argc, char **argv, struct command *command)
{
	int option, result = 0;

	opterr = 0;
	while (result == 0) {
		int at = optind;

		option = getopt_long(argc, argv, "+:c:h", long_options, NULL);
		if (option == -1)
			break;
		result = take_option(command, option, argv[at]);
	}
	if (result == 0 && optind < argc && strcmp(argv[optind - 1], "--") != 0)
		return usage_error("unexpected argument \"%s\"; a configuration is given with --config%s", argv[optind],
				   "");
	command->eal = argv + optind;
	command->n_eal = argc - optind;
	return result;
}

static int
print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return EXIT_SUCCESS;
}

/* The configuration itself, so that it can be given to --config again; what is bound stands in a note in it. */
static int
print_config(const struct pv_config *config)
{
	struct pv_binding bindings[PV_BINDINGS_MAX];
	int n = pv_bind(config, bindings, PV_BINDINGS_MAX);
	json_t *json;

	if (n < 0)
		return EXIT_USAGE;
	json = pv_config_dump(config);
	json_object_set_new(json, "$bindings", pv_report_bindings(bindings, (size_t)n));
	return print_json(json);
}

static int
with_config(const struct command *command)
{
	struct pv_config *config = pv_config_read(command->config);
	int status = EXIT_SUCCESS;

	if (config == NULL)
		return EXIT_USAGE;
	if (command->action == CHECK_CONFIG)
		printf("%s: no mistakes: %zu port%s, %zu stage%s, %zu worker%s\n", config->path, config->n_ports,
		       config->n_ports == 1 ? "" : "s", config->n_stages, config->n_stages == 1 ? "" : "s",
		       config->n_workers, config->n_workers == 1 ? "" : "s");
	else if (command->action == PRINT_CONFIG)
		status = print_config(config);
	else
		status = daemon_run(config, command->eal, command->n_eal);
	pv_config_free(config);
	return status;
}

int
main(int argc, char **argv)
{
	struct command command = { .action = RUN, .config = DEFAULT_CONFIG };
	int result = parse(argc, argv, &command);

	if (result != 0)
		return result;
	switch (command.action) {
	case HELP:
		fputs(help, stdout);
		return EXIT_SUCCESS;
	case VERSION:
		printf("pktvirt %s, %s\n", PV_VERSION, rte_version());
		return EXIT_SUCCESS;
	case PRINT_SCHEMA:
		return print_json(pv_config_schema());
	case LIST_STAGES:
		return stages_list(command.json);
	case HELP_STAGE:
		return stages_help(command.stage);
	default:
		return with_config(&command);
	}
}
