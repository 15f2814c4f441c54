/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACCEPTS_MAX 512
#define FOUND_MAX 64

static const struct pv_option no_options[] = { PV_OPTION_END };

/* An empty table where there is none. */
static const struct pv_option *
table(const struct pv_option *options)
{
	return options != NULL ? options : no_options;
}

static void *
field(const struct pv_option *option, void *object)
{
	return (char *)object + option->offset;
}

static const void *
const_field(const struct pv_option *option, const void *object)
{
	return (const char *)object + option->offset;
}

const struct pv_option *
pv_option_find(const struct pv_option *options, const char *name)
{
	for (options = table(options); options->name != NULL; options++)
		if (strcmp(options->name, name) == 0)
			return options;
	return NULL;
}

static void
set_default(const struct pv_option *option, void *at)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		*(bool *)at = option->fallback != 0;
		break;
	case PV_OPTION_TYPE_UINT:
	case PV_OPTION_TYPE_ENUM:
		*(uint32_t *)at = option->fallback;
		break;
	case PV_OPTION_TYPE_STRING:
		*(char **)at = option->fallback_text != NULL ? strdup(option->fallback_text) : NULL;
		break;
	case PV_OPTION_TYPE_MAC:
		*(struct pv_mac *)at = (struct pv_mac){ 0 };
		if (option->fallback_text != NULL)
			pv_mac_parse(option->fallback_text, at);
		break;
	}
}

void
pv_options_init(const struct pv_option *options, void *object)
{
	for (options = table(options); options->name != NULL; options++)
		set_default(options, field(options, object));
}

void
pv_options_clear(const struct pv_option *options, void *object)
{
	for (options = table(options); options->name != NULL; options++) {
		char **text = field(options, object);

		if (options->type != PV_OPTION_TYPE_STRING)
			continue;
		free(*text);
		*text = NULL;
	}
}

/* Joins names with commas; what does not fit is cut. */
static void
join(char *text, size_t size, const char *prefix, const char *const *names)
{
	size_t length = (size_t)snprintf(text, size, "%s", prefix);

	for (size_t i = 0; names[i] != NULL && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s", i > 0 ? ", " : "", names[i]);
}

void
pv_option_accepts(const struct pv_option *option, char *text, size_t size)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		snprintf(text, size, "true or false");
		break;
	case PV_OPTION_TYPE_UINT:
		snprintf(text, size, "%u to %u", option->min, option->max);
		break;
	case PV_OPTION_TYPE_STRING:
		snprintf(text, size, "a string of %u to %u characters", option->min, option->max);
		break;
	case PV_OPTION_TYPE_ENUM:
		join(text, size, "one of: ", option->choices);
		break;
	case PV_OPTION_TYPE_MAC:
		snprintf(text, size, "an Ethernet address such as 52:54:00:12:34:56");
		break;
	}
}

static const char *
type_name(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = " (object)",	[JSON_ARRAY] = " (array)",
		[JSON_STRING] = " (string)",	[JSON_INTEGER] = " (integer)",
		[JSON_REAL] = " (real number)", [JSON_TRUE] = " (boolean)",
		[JSON_FALSE] = " (boolean)",	[JSON_NULL] = "",
	};

	return names[json_typeof(value)];
}

void
pv_option_refuse(struct pv_diag *diag, const char *path, const json_t *found, bool typed, const char *accepts)
{
	char *text = json_dumps(found, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	const char *shown = text != NULL ? text : "?";
	const char *cut = strlen(shown) > FOUND_MAX ? "..." : "";

	pv_diag_add(diag, path, "%.*s%s%s: expected %s", FOUND_MAX, shown, cut, typed ? type_name(found) : "", accepts);
	free(text);
}

void
pv_option_unknown(struct pv_diag *diag, const char *path, const char *what, const char *word,
		  const char *const *accepted)
{
	const char *near = pv_nearest(word, accepted);
	char names[ACCEPTS_MAX];

	join(names, sizeof(names), accepted[0] != NULL ? "" : "none", accepted);
	if (near != NULL)
		pv_diag_add_key(diag, path, word, "unknown %s \"%s\"; did you mean \"%s\"?", what, word, near);
	else
		pv_diag_add_key(diag, path, word, "unknown %s \"%s\"; accepted: %s", what, word, names);
}

static json_type
json_type_of(const struct pv_option *option)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		return JSON_TRUE;
	case PV_OPTION_TYPE_UINT:
		return JSON_INTEGER;
	default:
		return JSON_STRING;
	}
}

static bool
right_type(const struct pv_option *option, const json_t *value)
{
	return json_typeof(value) == json_type_of(option) ||
	       (option->type == PV_OPTION_TYPE_BOOL && json_is_boolean(value));
}

static bool
set_uint(const struct pv_option *option, uint32_t *at, json_int_t value)
{
	if (value < (json_int_t)option->min || value > (json_int_t)option->max)
		return false;
	*at = (uint32_t)value;
	return true;
}

static bool
set_string(const struct pv_option *option, char **at, const char *value)
{
	size_t length = strlen(value);
	char *copy = length >= option->min && length <= option->max ? strdup(value) : NULL;

	if (copy == NULL)
		return false;
	free(*at);
	*at = copy;
	return true;
}

static bool
set_enum(const struct pv_option *option, uint32_t *at, const char *value)
{
	for (uint32_t i = 0; option->choices[i] != NULL; i++)
		if (strcmp(option->choices[i], value) == 0) {
			*at = i;
			return true;
		}
	return false;
}

/* False when the value, which is of the right type, is not accepted. */
static bool
set_value(const struct pv_option *option, void *at, const json_t *value)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		*(bool *)at = json_is_true(value);
		return true;
	case PV_OPTION_TYPE_UINT:
		return set_uint(option, at, json_integer_value(value));
	case PV_OPTION_TYPE_STRING:
		return set_string(option, at, json_string_value(value));
	case PV_OPTION_TYPE_ENUM:
		return set_enum(option, at, json_string_value(value));
	case PV_OPTION_TYPE_MAC:
		return pv_mac_parse(json_string_value(value), at) == 0;
	}
	return false;
}

static void
parse_one(const struct pv_option *option, void *object, const json_t *value, const char *path, struct pv_diag *diag)
{
	char where[PV_PATH_MAX], accepts[ACCEPTS_MAX];
	bool typed;

	pv_path_member(where, path, option->name);
	pv_option_accepts(option, accepts, sizeof(accepts));
	if (value == NULL) {
		if (option->required)
			pv_diag_add(diag, where, "missing: expected %s", accepts);
		return;
	}
	typed = !right_type(option, value);
	if (typed || !set_value(option, field(option, object), value))
		pv_option_refuse(diag, where, value, typed, accepts);
}

static size_t
count_names(const char *const *names)
{
	size_t count = 0;

	while (names != NULL && names[count] != NULL)
		count++;
	return count;
}

/* The names of `options` and then those of `also`, NULL-terminated; allocated. */
static const char **
all_names(const struct pv_option *options, const char *const *also)
{
	size_t n = 0, n_also = count_names(also);
	const char **names;

	while (options[n].name != NULL)
		n++;
	names = calloc(n + n_also + 1, sizeof(*names));
	if (names == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		names[i] = options[i].name;
	for (size_t i = 0; i < n_also; i++)
		names[n + i] = also[i];
	return names;
}

static bool
contains(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static void
refuse_unknown(const struct pv_option *options, const char *const *also, json_t *json, const char *path,
	       struct pv_diag *diag)
{
	const char **names = all_names(options, also);
	const char *key;
	json_t *value;

	if (names == NULL)
		pv_diag_add(diag, path, "out of memory");
	else
		json_object_foreach(json, key, value)
			if (!contains(names, key))
				pv_option_unknown(diag, path, "option", key, names);
	free(names);
}

void
pv_options_parse(const struct pv_option *options, void *object, json_t *json, const char *path, const char *const *also,
		 struct pv_diag *diag)
{
	options = table(options);
	if (!json_is_object(json)) {
		pv_option_refuse(diag, path, json, true, "an object");
		return;
	}
	refuse_unknown(options, also, json, path, diag);
	for (; options->name != NULL; options++)
		parse_one(options, object, json_object_get(json, options->name), path, diag);
}

static json_t *
mac_json(const struct pv_mac *mac)
{
	char text[18];

	if (!mac->set)
		return NULL;
	pv_mac_format(mac->bytes, text);
	return json_string(text);
}

/* The value of an option as JSON; NULL when it has none. */
static json_t *
value_json(const struct pv_option *option, const void *at)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		return json_boolean(*(const bool *)at);
	case PV_OPTION_TYPE_UINT:
		return json_integer(*(const uint32_t *)at);
	case PV_OPTION_TYPE_STRING:
		return json_string(*(char *const *)at);
	case PV_OPTION_TYPE_ENUM:
		return json_string(option->choices[*(const uint32_t *)at]);
	case PV_OPTION_TYPE_MAC:
		return mac_json(at);
	}
	return NULL;
}

/* Sets a member unless there is nothing to set it to. */
static void
set_member(json_t *object, const char *name, json_t *value)
{
	if (value != NULL)
		json_object_set_new(object, name, value);
}

json_t *
pv_options_dump(const struct pv_option *options, const void *object)
{
	json_t *json = json_object();

	for (options = table(options); options->name != NULL; options++)
		set_member(json, options->name, value_json(options, const_field(options, object)));
	return json;
}

/* The default as JSON; NULL when there is none. */
static json_t *
default_json(const struct pv_option *option)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		return json_boolean(option->fallback);
	case PV_OPTION_TYPE_UINT:
		return json_integer(option->fallback);
	case PV_OPTION_TYPE_ENUM:
		return json_string(option->choices[option->fallback]);
	default:
		return json_string(option->fallback_text);
	}
}

static void
help_default(const struct pv_option *option, FILE *out)
{
	json_t *value = option->required ? NULL : default_json(option);
	char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

	if (option->required)
		fprintf(out, "; required");
	else if (text != NULL)
		fprintf(out, "; default %s", text);
	free(text);
	json_decref(value);
}

void
pv_options_help(const struct pv_option *options, FILE *out, int indent)
{
	for (options = table(options); options->name != NULL; options++) {
		char accepts[ACCEPTS_MAX];

		pv_option_accepts(options, accepts, sizeof(accepts));
		fprintf(out, "%*s%-16s %s (%s", indent, "", options->name, options->help, accepts);
		help_default(options, out);
		fprintf(out, ")\n");
	}
}

static json_t *
choices_json(const char *const *choices)
{
	json_t *list = json_array();

	for (; *choices != NULL; choices++)
		json_array_append_new(list, json_string(*choices));
	return list;
}

static json_t *
type_schema(const struct pv_option *option)
{
	switch (option->type) {
	case PV_OPTION_TYPE_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case PV_OPTION_TYPE_UINT:
		return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)option->min, "maximum",
				 (json_int_t)option->max);
	case PV_OPTION_TYPE_STRING:
		return json_pack("{s:s, s:I, s:I}", "type", "string", "minLength", (json_int_t)option->min, "maxLength",
				 (json_int_t)option->max);
	case PV_OPTION_TYPE_ENUM:
		return json_pack("{s:o}", "enum", choices_json(option->choices));
	case PV_OPTION_TYPE_MAC:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$");
	}
	return json_object();
}

static json_t *
option_schema(const struct pv_option *option)
{
	json_t *schema = type_schema(option);

	json_object_set_new(schema, "description", json_string(option->help));
	if (!option->required)
		set_member(schema, "default", default_json(option));
	return schema;
}

json_t *
pv_options_schema(const struct pv_option *options)
{
	json_t *properties = json_object(), *required = json_array();

	for (options = table(options); options->name != NULL; options++) {
		json_object_set_new(properties, options->name, option_schema(options));
		if (options->required)
			json_array_append_new(required, json_string(options->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required", required,
			 "additionalProperties", 0);
}

int
pv_mac_parse(const char *text, struct pv_mac *mac)
{
	struct pv_mac parsed = { .set = true };
	uint8_t *bytes = parsed.bytes;
	int end = 0;

	/* sscanf() alone would accept signs, blanks and "0x". */
	if (strspn(text, "0123456789abcdefABCDEF:") != 17 || strlen(text) != 17)
		return -EINVAL;
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4],
		   &bytes[5], &end) != 6 ||
	    end != 17)
		return -EINVAL;
	*mac = parsed;
	return 0;
}

void
pv_mac_format(const uint8_t bytes[6], char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
}
