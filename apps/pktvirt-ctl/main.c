/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pktvirt-ctl: asks a running pktvirt over its control socket.
 *
 * main.c reads the command line and commands.c does what it says: client.c talks to the daemon, show.c and guide.c
 * print results, top.c with rates.c and rates_print.c is `top`, format.c makes numbers and tables.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/diag.h"
#include "client.h"
#include "commands.h"
#include "usage.h"

#define PATH_SIZE 4096
#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 3600
#define NAMES_MAX 16

enum { OPTION_SOCKET = 256, OPTION_NAME, OPTION_FOR, OPTION_INTERVAL, OPTION_ONCE, OPTION_JSON, OPTION_VERSION };

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "for", required_argument, NULL, OPTION_FOR },
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A full disk behind a redirection is an error too. */
static int
finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "pktvirt-ctl: cannot write: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

/* What getopt does not take; `given` is the argument as the user wrote it. */
static int
wrong_option(const char *given)
{
	const char *names[NAMES_MAX + 1] = { NULL }, *near;

	if (optopt >= OPTION_SOCKET)
		return usage_error("\"%s\": the option takes no value", given);
	if (optopt != 0)
		return usage_error("unknown option \"-%c\"", optopt);
	for (size_t i = 0; options[i].name != NULL; i++)
		names[i] = options[i].name;
	near = pv_nearest(given + strlen("--"), names);
	if (near != NULL)
		return usage_error("unknown option \"%s\"; did you mean \"--%s\"?", given, near);
	return usage_error("unknown option \"%s\"", given);
}

static int
parse_interval(const char *text, int *interval_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= INTERVAL_MIN_S && seconds <= INTERVAL_MAX_S))
		return usage_error("--interval: \"%s\": expected %g to %d seconds", text, INTERVAL_MIN_S,
				   INTERVAL_MAX_S);
	*interval_ms = (int)lround(seconds * 1000);
	return 0;
}

static int
take_option(struct request *request, int option, const char *given)
{
	switch (option) {
	case OPTION_SOCKET:
		request->socket = optarg;
		return 0;
	case OPTION_NAME:
		request->name = optarg;
		return 0;
	case OPTION_FOR:
		request->guest = optarg;
		return 0;
	case OPTION_INTERVAL:
		return parse_interval(optarg, &request->interval_ms);
	case OPTION_ONCE:
		request->once = true;
		return 0;
	case OPTION_JSON:
		request->json = true;
		return 0;
	case OPTION_VERSION:
		puts("pktvirt-ctl " PV_VERSION);
		exit(finish_output(EXIT_SUCCESS));
	case 'h':
		fputs(usage_text, stdout);
		exit(finish_output(EXIT_SUCCESS));
	case ':':
		return usage_error("option \"%s\" needs a value", given);
	default:
		return wrong_option(given);
	}
}

/* Reads the options; 0 or EXIT_USAGE. The words that are left begin at optind. */
static int
read_options(int argc, char **argv, struct request *request)
{
	int option, result = 0;

	opterr = 0;
	while (result == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		result = take_option(request, option, argv[optind - 1]);
	return result;
}

static int
unknown_command(const char *word)
{
	const char *names[NAMES_MAX + 1] = { NULL };

	for (size_t i = 0; commands[i].name != NULL; i++)
		names[i] = commands[i].name;
	return usage_unknown("command", word, names);
}

static const struct command *
find_command(const char *word)
{
	for (const struct command *command = commands; command->name != NULL; command++)
		if (strcmp(command->name, word) == 0)
			return command;
	return NULL;
}

/* Whether the daemon can be asked about it. */
static bool
is_utf8(const char *word)
{
	json_t *text = json_string(word);
	bool is_text = text != NULL;

	json_decref(text);
	return is_text;
}

/* Takes the words that are no options: 0 with the command, or EXIT_USAGE. */
static int
read_words(int n_words, char **words, const struct command **command, struct request *request)
{
	int n_expected;

	if (n_words == 0)
		return usage_error("a command is missing");
	for (int i = 0; i < n_words; i++)
		if (!is_utf8(words[i]))
			return usage_error("argument %d is no UTF-8", i + 1);
	*command = find_command(words[0]);
	if (*command == NULL)
		return unknown_command(words[0]);
	n_expected = (*command)->argument != NULL ? 2 : 1;
	if (n_words > n_expected && !(*command)->takes_more)
		return usage_error("%s: unexpected argument \"%s\"", words[0], words[n_expected]);
	request->argument = words[1];
	request->more = n_words > 2 ? words + 2 : words + n_words; /* which is NULL */
	if (n_words < n_expected)
		return usage_error("%s needs %s", words[0], (*command)->argument);
	return 0;
}

/* Options that belong to one command are refused with another. */
static int
check_options(const struct command *command, const struct request *request)
{
	bool is_top = strcmp(command->name, "top") == 0;

	if (request->guest != NULL && strcmp(command->name, "attach") != 0)
		return usage_error("--for belongs to attach, not to %s", command->name);
	if (request->interval_ms != 0 && !is_top)
		return usage_error("--interval belongs to top, not to %s", command->name);
	if (request->once && !is_top)
		return usage_error("--once belongs to top, not to %s", command->name);
	if (request->socket != NULL && request->name != NULL)
		return usage_error("give either --socket or --name");
	return command->check != NULL ? command->check(request) : 0;
}

/* Writes where the daemon's socket is to `path`; 0 or -1 with the reason in `why`. */
static int
find_daemon(const struct request *request, char path[PATH_SIZE], char why[CLIENT_WHY_MAX])
{
	const char *socket = request->socket;

	if (socket == NULL && request->name == NULL)
		socket = getenv("PKTVIRT_SOCKET");
	if (socket == NULL || socket[0] == '\0')
		return client_find_socket(CLIENT_DIRECTORY, request->name, path, PATH_SIZE, why);
	snprintf(path, PATH_SIZE, "%s", socket);
	return 0;
}

int
main(int argc, char **argv)
{
	struct request request = { 0 };
	const struct command *command = NULL;
	char path[PATH_SIZE], why[CLIENT_WHY_MAX];

	if (read_options(argc, argv, &request) != 0 ||
	    read_words(argc - optind, argv + optind, &command, &request) != 0 || check_options(command, &request) != 0)
		return EXIT_USAGE;
	if (find_daemon(&request, path, why) < 0) {
		fprintf(stderr, "pktvirt-ctl: %s\n", why);
		return EXIT_FAILURE;
	}
	return finish_output(command->run(&request, path));
}
