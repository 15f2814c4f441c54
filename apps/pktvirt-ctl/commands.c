/* SPDX-License-Identifier: BSD-3-Clause */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "print.h"
#include "rates.h"
#include "top.h"
#include "usage.h"

#define INTERVAL_DEFAULT_MS 1000

typedef void (*printer)(const json_t *result, FILE *out);

static const struct {
	const char *what;
	printer print;
} shown[] = {
	{ "ports", print_ports },	{ "stages", print_stages }, { "workers", print_workers },
	{ "contexts", print_contexts }, { "fdb", print_fdb },	    { "config", print_config },
};

static const char *const shown_names[] = { "ports", "stages", "workers", "contexts", "fdb", "config", NULL };
static const char *const guest_names[] = { "qemu", "libvirt", "uml", "virtio-user", NULL };

static bool
is_one_of(const char *word, const char *const *names)
{
	while (*names != NULL && strcmp(word, *names) != 0)
		names++;
	return *names != NULL;
}

static int
fail(const char *why)
{
	fprintf(stderr, "pktvirt-ctl: %s\n", why);
	return EXIT_FAILURE;
}

static void
print_result(const json_t *result, bool as_json, printer print)
{
	if (as_json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print(result, stdout);
	}
}

/* Asks one question and prints the answer. */
static int
ask_and_print(const char *path, json_t *question, bool as_json, printer print)
{
	char why[CLIENT_WHY_MAX];
	json_t *result = NULL;
	int fd = client_connect(path, why);

	if (fd >= 0) {
		result = client_ask(fd, json_incref(question), why);
		close(fd);
	}
	json_decref(question);
	if (result == NULL)
		return fail(why);
	print_result(result, as_json, print);
	json_decref(result);
	return EXIT_SUCCESS;
}

static int
check_show(const struct request *request)
{
	if (!is_one_of(request->argument, shown_names))
		return usage_unknown("object of show", request->argument, shown_names);
	return 0;
}

static int
run_show(const struct request *request, const char *path)
{
	size_t i = 0;

	while (strcmp(shown[i].what, request->argument) != 0)
		i++;
	return ask_and_print(path, json_pack("{s:s, s:s}", "command", "show", "what", request->argument), request->json,
			     shown[i].print);
}

static int
check_attach(const struct request *request)
{
	if (request->guest == NULL)
		return usage_error("attach needs --for qemu|libvirt|uml|virtio-user");
	if (!is_one_of(request->guest, guest_names))
		return usage_unknown("kind of guest", request->guest, guest_names);
	return 0;
}

static int
run_attach(const struct request *request, const char *path)
{
	return ask_and_print(
		path,
		json_pack("{s:s, s:s, s:s}", "command", "attach", "port", request->argument, "for", request->guest),
		request->json, print_attach);
}

static int
run_doctor(const struct request *request, const char *path)
{
	return ask_and_print(path, json_pack("{s:s, s:s}", "command", "doctor", "port", request->argument),
			     request->json, print_doctor);
}

static int
run_version(const struct request *request, const char *path)
{
	return ask_and_print(path, json_pack("{s:s}", "command", "version"), request->json, print_version);
}

static void
print_rates(const json_t *rates, FILE *out)
{
	rates_print(rates, RATES_CONFIGURED, out);
}

/* The rates of one interval; NULL with the reason in `why`. */
static json_t *
measure(int fd, int interval_ms, char why[CLIENT_WHY_MAX])
{
	json_t *before = rates_sample(fd, why), *after = NULL, *rates = NULL;

	if (before != NULL) {
		usleep(1000u * (unsigned int)interval_ms);
		after = rates_sample(fd, why);
	}
	if (after != NULL)
		rates = rates_between(before, after);
	json_decref(before);
	json_decref(after);
	return rates;
}

static int
run_top_once(const char *path, int interval_ms, bool as_json)
{
	char why[CLIENT_WHY_MAX];
	json_t *rates = NULL;
	int fd = client_connect(path, why);

	if (fd >= 0) {
		rates = measure(fd, interval_ms, why);
		close(fd);
	}
	if (rates == NULL)
		return fail(why);
	print_result(rates, as_json, print_rates);
	json_decref(rates);
	return EXIT_SUCCESS;
}

static int
run_top(const struct request *request, const char *path)
{
	int interval_ms = request->interval_ms != 0 ? request->interval_ms : INTERVAL_DEFAULT_MS;

	if (request->once || request->json)
		return run_top_once(path, interval_ms, request->json);
	return top_run(path, interval_ms);
}

/* `stage set NAME on|off|KEY=VALUE...` */
static int
check_stage(const struct request *request)
{
	static const char *const verbs[] = { "set", NULL };
	char *const *words = request->more;

	if (!is_one_of(request->argument, verbs))
		return usage_unknown("verb of stage", request->argument, verbs);
	if (words[0] == NULL || words[1] == NULL)
		return usage_error("stage set needs the name of a stage, and on, off or KEY=VALUE...");
	if (strcmp(words[1], "on") == 0 || strcmp(words[1], "off") == 0)
		return words[2] == NULL ? 0 : usage_error("stage set: unexpected argument \"%s\"", words[2]);
	for (size_t i = 1; words[i] != NULL; i++)
		if (strchr(words[i], '=') == NULL || words[i][0] == '=')
			return usage_error("stage set: \"%s\": expected on, off or KEY=VALUE", words[i]);
	return 0;
}

/* A number, true or false is that; anything else is a text. */
static json_t *
value_of(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	if (json_is_number(value) || json_is_boolean(value))
		return value;
	json_decref(value);
	return json_string(text);
}

static json_t *
options_of(char *const *words)
{
	json_t *options = json_object();

	for (; *words != NULL; words++) {
		const char *value = strchr(*words, '=') + 1;

		json_object_setn_new(options, *words, (size_t)(value - *words - 1), value_of(value));
	}
	return options;
}

static int
run_stage(const struct request *request, const char *path)
{
	const char *state = request->more[1];
	json_t *set = strcmp(state, "on") == 0	? json_true() :
		      strcmp(state, "off") == 0 ? json_false() :
						  options_of(request->more + 1);

	return ask_and_print(path,
			     json_pack("{s:s, s:s, s:o}", "command", "stage", "name", request->more[0], "set", set),
			     request->json, print_change);
}

/* --- ports -------------------------------------------------------------------------------------------------------- */

/* NULL with the reason in `mistake`, which has no line when the file cannot be read. */
static json_t *
load_file(const char *name, json_error_t *mistake)
{
	FILE *file = fopen(name, "r");
	int first = file != NULL ? fgetc(file) : EOF; /* a directory can be opened, but not read */
	json_t *json = NULL;

	if (file == NULL || ferror(file) != 0) {
		mistake->line = 0;
		snprintf(mistake->text, sizeof(mistake->text), "%s", strerror(errno));
	} else {
		ungetc(first, file);
		json = json_loadf(file, JSON_REJECT_DUPLICATES, mistake);
	}
	if (file != NULL)
		fclose(file);
	return json;
}

/* The JSON that a word is, or the file that it names, or standard input; NULL with the reason in `mistake`. */
static json_t *
load_port(const char *word, json_error_t *mistake)
{
	if (strcmp(word, "-") == 0)
		return json_loadf(stdin, JSON_REJECT_DUPLICATES, mistake);
	if (word[0] == '@')
		return load_file(word + 1, mistake);
	return json_loads(word, JSON_REJECT_DUPLICATES, mistake);
}

/* A port that stands on the command line is looked at before anything is asked. */
static int
check_added(const char *word)
{
	json_error_t mistake;
	json_t *port;

	if (word[0] == '@' || strcmp(word, "-") == 0)
		return 0;
	if (word[strspn(word, " \t\n")] != '{')
		return usage_error(
			"port add: \"%s\": expected an object as in \"ports\", @FILE, or - for standard input", word);
	port = load_port(word, &mistake);
	json_decref(port);
	return port != NULL ? 0 : usage_error("port add: the port is not JSON: %s", mistake.text);
}

/* `port add JSON|@FILE|-`, `port remove NAME` */
static int
check_port(const struct request *request)
{
	static const char *const verbs[] = { "add", "remove", NULL };
	char *const *words = request->more;
	bool adds = strcmp(request->argument, "add") == 0;

	if (!is_one_of(request->argument, verbs))
		return usage_unknown("verb of port", request->argument, verbs);
	if (words[0] == NULL)
		return usage_error(adds ? "port add needs the port, as JSON, or @FILE, or - for standard input" :
					  "port remove needs the name of a port");
	if (words[1] != NULL)
		return usage_error("port %s: unexpected argument \"%s\"", request->argument, words[1]);
	return adds ? check_added(words[0]) : 0;
}

/* What is no JSON. */
static int
refuse_port(const char *word, const json_error_t *mistake)
{
	const char *where = word[0] == '@' ? word + 1 : "standard input";
	char why[CLIENT_WHY_MAX];

	if (mistake->line > 0)
		snprintf(why, sizeof(why), "%s:%d: %s", where, mistake->line, mistake->text);
	else
		snprintf(why, sizeof(why), "%s: %s", where, mistake->text);
	return fail(why);
}

static int
run_port_add(const struct request *request, const char *path)
{
	json_error_t mistake;
	json_t *port = load_port(request->more[0], &mistake);

	if (port == NULL)
		return refuse_port(request->more[0], &mistake);
	return ask_and_print(path, json_pack("{s:s, s:o}", "command", "port", "add", port), request->json,
			     print_port_change);
}

static int
run_port(const struct request *request, const char *path)
{
	if (strcmp(request->argument, "add") == 0)
		return run_port_add(request, path);
	return ask_and_print(path, json_pack("{s:s, s:s}", "command", "port", "remove", request->more[0]),
			     request->json, print_port_change);
}

/* `context revoke NAME`, `context grant NAME` */
static int
check_context(const struct request *request)
{
	static const char *const verbs[] = { "revoke", "grant", NULL };
	char *const *words = request->more;

	if (!is_one_of(request->argument, verbs))
		return usage_unknown("verb of context", request->argument, verbs);
	if (words[0] == NULL)
		return usage_error("context %s needs the name of a port with a guest", request->argument);
	return words[1] == NULL ? 0 :
				  usage_error("context %s: unexpected argument \"%s\"", request->argument, words[1]);
}

static int
run_context(const struct request *request, const char *path)
{
	return ask_and_print(path, json_pack("{s:s, s:s}", "command", "context", request->argument, request->more[0]),
			     request->json, print_context_change);
}

const struct command commands[] = {
	{ .name = "show",
	  .argument = "one of: ports, stages, workers, contexts, fdb, config",
	  .check = check_show,
	  .run = run_show },
	{ .name = "top", .run = run_top },
	{ .name = "attach", .argument = "a port", .check = check_attach, .run = run_attach },
	{ .name = "doctor", .argument = "a port", .run = run_doctor },
	{ .name = "stage",
	  .argument = "a verb: set NAME on|off|KEY=VALUE...",
	  .takes_more = true,
	  .check = check_stage,
	  .run = run_stage },
	{ .name = "port",
	  .argument = "a verb: add JSON|@FILE|-, remove NAME",
	  .takes_more = true,
	  .check = check_port,
	  .run = run_port },
	{ .name = "context",
	  .argument = "a verb: revoke NAME, grant NAME",
	  .takes_more = true,
	  .check = check_context,
	  .run = run_context },
	{ .name = "version", .run = run_version },
	{ .name = NULL },
};
