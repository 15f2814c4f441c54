/* SPDX-License-Identifier: BSD-3-Clause */
#include "stages.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "core/primitive.h"
#include "core/stage.h"

#define STAGES_MAX 256

static json_t *
hooks_json(const struct pv_stage *stage)
{
	json_t *hooks = json_array();

	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		if ((stage->hooks & PV_HOOK_BIT(hook)) != 0)
			json_array_append_new(hooks, json_string(pv_hook_name(hook)));
	return hooks;
}

static json_t *
options_json(const struct pv_option *options)
{
	json_t *list = json_array();
	char accepts[256];

	for (; options != NULL && options->name != NULL; options++) {
		pv_option_accepts(options, accepts, sizeof(accepts));
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "name", options->name, "accepts", accepts,
						      "required", options->required, "help", options->help));
	}
	return list;
}

static json_t *
drops_json(const struct pv_drop_reason *drop)
{
	json_t *list = json_array();

	for (; drop != NULL && drop->name != NULL; drop++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", drop->name, "help", drop->help));
	return list;
}

static json_t *
stage_json(const struct pv_stage *stage)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o}", "name", stage->name, "kind",
			 stage->primitive != NULL ? "mechanism" : "packet", "summary", stage->summary, "source",
			 stage->source, "primitive", stage->primitive, "hooks", hooks_json(stage), "options",
			 options_json(stage->options), "drops", drops_json(stage->drops));
}

static json_t *
implementation_json(const struct pv_implementation *implementation)
{
	json_t *baselines = json_array();

	for (unsigned int i = 0; pv_baseline_names[i] != NULL; i++)
		if ((implementation->baselines & (1u << i)) != 0)
			json_array_append_new(baselines, json_string(pv_baseline_names[i]));
	return json_pack("{s:s, s:s, s:s, s:b, s:o}", "primitive", implementation->primitive, "name",
			 implementation->name, "summary", implementation->summary, "plain", implementation->plain,
			 "baselines", baselines);
}

static int
list_json(void)
{
	json_t *stages = json_array(), *implementations = json_array(), *all;

	for (size_t i = 0; i < pv_stage_count(); i++)
		json_array_append_new(stages, stage_json(pv_stage_get(i)));
	for (size_t i = 0; i < pv_implementation_count(); i++)
		json_array_append_new(implementations, implementation_json(pv_implementation_get(i)));
	all = json_pack("{s:o, s:o}", "stages", stages, "implementations", implementations);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return 0;
}

static void
print_implementation(const struct pv_implementation *implementation)
{
	printf("%-16s %-20s %s", implementation->primitive, implementation->name, implementation->summary);
	if (implementation->plain)
		printf(" [plain]");
	for (unsigned int i = 0; pv_baseline_names[i] != NULL; i++)
		if ((implementation->baselines & (1u << i)) != 0)
			printf(" [baseline %s]", pv_baseline_names[i]);
	putchar('\n');
}

int
stages_list(bool as_json)
{
	if (as_json)
		return list_json();
	printf("Stages (\"stages\" of a configuration lists them):\n\n");
	for (size_t i = 0; i < pv_stage_count(); i++) {
		const struct pv_stage *stage = pv_stage_get(i);

		printf("%-24s %s\n%-24s %s\n", stage->name, stage->summary, "", stage->source);
	}
	printf("\nImplementations of primitives (a stage binds one, else the baseline, else the plain one):\n\n");
	for (size_t i = 0; i < pv_implementation_count(); i++)
		print_implementation(pv_implementation_get(i));
	return 0;
}

static int
unknown_stage(const char *name)
{
	const char *names[STAGES_MAX + 1];
	const char *near;
	size_t n = 0;

	for (; n < pv_stage_count() && n < STAGES_MAX; n++)
		names[n] = pv_stage_get(n)->name;
	names[n] = NULL;
	near = pv_nearest(name, names);
	if (near != NULL)
		fprintf(stderr, "pktvirt: unknown stage \"%s\"; did you mean \"%s\"?\n", name, near);
	else
		fprintf(stderr, "pktvirt: unknown stage \"%s\"; pktvirt --list-stages shows those there are\n", name);
	return 2;
}

static void
print_position(const struct pv_stage *stage)
{
	if (stage->primitive != NULL) {
		printf("\nMechanism: binds the primitive \"%s\".\n", stage->primitive);
		return;
	}
	printf("\nPacket stage at:");
	for (enum pv_hook hook = 0; hook < PV_HOOK_COUNT; hook++)
		if ((stage->hooks & PV_HOOK_BIT(hook)) != 0)
			printf(" %s", pv_hook_name(hook));
	putchar('\n');
}

int
stages_help(const char *name)
{
	const struct pv_stage *stage = pv_stage_find(name);

	if (stage == NULL)
		return unknown_stage(name);
	printf("%s: %s\nSource: %s\n", stage->name, stage->summary, stage->source);
	print_position(stage);
	if (stage->options != NULL) {
		printf("\nOptions:\n");
		pv_options_help(stage->options, stdout, 2);
	} else {
		printf("\nIt has no options.\n");
	}
	if (stage->drops != NULL)
		printf("\nDrop reasons:\n");
	for (const struct pv_drop_reason *drop = stage->drops; drop != NULL && drop->name != NULL; drop++)
		printf("  %s.%s: %s\n", stage->name, drop->name, drop->help);
	return 0;
}
