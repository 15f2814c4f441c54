/* SPDX-License-Identifier: BSD-3-Clause */
/* What `attach`, `doctor` and `version` print. */
#include <string.h>

#include "format.h"
#include "print.h"
#include "value.h"

void
print_attach(const json_t *result, FILE *out)
{
	const char *text = value_text(result, "text");
	size_t length = strlen(text);

	fprintf(out, "%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
}

/* Without a guest nobody has had the chance to accept anything. */
static const char *
feature_state(const json_t *feature, bool has_guest)
{
	if (json_is_true(json_object_get(feature, "accepted")))
		return "in use";
	if (!json_is_true(json_object_get(feature, "offered")))
		return "not offered";
	return has_guest ? "offered, not accepted" : "offered";
}

static void
print_features(json_t *features, bool has_guest, FILE *out)
{
	static const struct column columns[] = {
		{ "feature", false },	 { "kind", false },	    { "state", false },
		{ "refused by", false }, { "to change it", false },
	};
	struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	json_t *feature;
	size_t i;

	json_array_foreach(features, i, feature) {
		table_cell(table, "%s", value_text(feature, "name"));
		table_cell(table, "%s", value_text(feature, "kind"));
		table_cell(table, "%s", feature_state(feature, has_guest));
		table_cell(table, "%s", value_text(feature, "refused_by"));
		table_cell(table, "%s", value_text(feature, "change"));
	}
	if (table_rows(table) > 0) {
		fputc('\n', out);
		table_print(table, out);
	}
	table_free(table);
}

void
print_doctor(const json_t *result, FILE *out)
{
	const char *state = value_text(result, "state");
	json_t *line;
	size_t i;

	fprintf(out, "%s is %s\n", value_text(result, "port"), state);
	json_array_foreach(json_object_get(result, "summary"), i, line)
		fprintf(out, "  %s\n", json_string_value(line));
	print_features(json_object_get(result, "features"), strcmp(state, "up") == 0, out);
}

void
print_version(const json_t *result, FILE *out)
{
	fprintf(out, "pktvirt %s, %s\n", value_text(result, "pktvirt"), value_text(result, "dpdk"));
}
