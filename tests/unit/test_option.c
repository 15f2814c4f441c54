/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/option.h"

struct sample {
	uint32_t limit;
	bool log;
	char *label;
	char *path;
	uint32_t mode;
	struct pv_mac mac;
};

static const char *const modes[] = { "copy", "shared", NULL };

static const struct pv_option options[] = {
	PV_OPTION_UINT(struct sample, limit, "limit", 2, 64, 20, "packets put together"),
	PV_OPTION_BOOL(struct sample, log, "log", true, "say so"),
	PV_OPTION_STRING(struct sample, label, "label", 1, 8, "none", "for people"),
	PV_OPTION_STRING(struct sample, path, "path", 1, 100, NULL, "of a file"),
	PV_OPTION_ENUM(struct sample, mode, "mode", modes, 1, "what is done"),
	PV_OPTION_MAC(struct sample, mac, "mac", "whose it is"),
	PV_OPTION_END,
};

static const struct pv_option required_options[] = {
	PV_OPTION_STRING_UNIQUE(struct sample, path, "path", 1, 100, "of a file"),
	PV_OPTION_END,
};

static struct pv_diag *diag;
static struct sample sample;

/* Parses JSON text, found at "at", into `sample`. */
static void
parse(const struct pv_option *table, const char *text, const char *const *also)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(json);
	pv_options_parse(table, &sample, json, "at", also, diag);
	json_decref(json);
}

static void
assert_one_mistake(const char *text, const char *message)
{
	parse(options, text, NULL);
	assert_int_equal(pv_diag_count(diag), 1);
	assert_string_equal(pv_diag_message(diag, 0), message);
}

static int
start(void **state)
{
	diag = pv_diag_new("f", NULL);
	pv_options_init(options, &sample);
	return 0;
}

static int
stop(void **state)
{
	pv_options_clear(options, &sample);
	pv_diag_free(diag);
	return 0;
}

static void
what_is_not_given_has_its_default(void **state)
{
	parse(options, "{}", NULL);
	assert_int_equal(pv_diag_count(diag), 0);
	assert_int_equal(sample.limit, 20);
	assert_true(sample.log);
	assert_string_equal(sample.label, "none");
	assert_null(sample.path);
	assert_int_equal(sample.mode, 1);
	assert_false(sample.mac.set);
}

static void
what_is_given_is_taken(void **state)
{
	parse(options,
	      "{\"limit\": 2, \"log\": false, \"label\": \"x\", \"path\": \"/a\", \"mode\": \"copy\","
	      " \"mac\": \"52:54:00:aB:0c:Ff\"}",
	      NULL);
	assert_int_equal(pv_diag_count(diag), 0);
	assert_int_equal(sample.limit, 2);
	assert_false(sample.log);
	assert_string_equal(sample.label, "x");
	assert_string_equal(sample.path, "/a");
	assert_int_equal(sample.mode, 0);
	assert_true(sample.mac.set);
	assert_memory_equal(sample.mac.bytes, ((uint8_t[]){ 0x52, 0x54, 0, 0xab, 0x0c, 0xff }), 6);
}

static void
a_number_out_of_range_is_refused(void **state)
{
	assert_one_mistake("{\"limit\": 0}", "f: at.limit: 0: expected 2 to 64");
	assert_int_equal(sample.limit, 20);
}

static void
the_ends_of_a_range_are_in_it(void **state)
{
	parse(options, "{\"limit\": 64}", NULL);
	assert_int_equal(sample.limit, 64);
	parse(options, "{\"limit\": 2}", NULL);
	assert_int_equal(sample.limit, 2);
	assert_int_equal(pv_diag_count(diag), 0);
	assert_one_mistake("{\"limit\": 65}", "f: at.limit: 65: expected 2 to 64");
}

static void
a_number_beyond_32_bits_is_not_wrapped(void **state)
{
	assert_one_mistake("{\"limit\": 4294967300}", "f: at.limit: 4294967300: expected 2 to 64");
}

static void
a_negative_number_is_refused(void **state)
{
	assert_one_mistake("{\"limit\": -4294967290}", "f: at.limit: -4294967290: expected 2 to 64");
}

static void
a_fraction_is_not_a_number_of_things(void **state)
{
	assert_one_mistake("{\"limit\": 2.5}", "f: at.limit: 2.5 (real number): expected 2 to 64");
}

static void
a_string_is_not_a_boolean(void **state)
{
	assert_one_mistake("{\"log\": \"yes\"}", "f: at.log: \"yes\" (string): expected true or false");
}

static void
a_number_is_not_a_string(void **state)
{
	assert_one_mistake("{\"label\": 5}", "f: at.label: 5 (integer): expected a string of 1 to 8 characters");
}

static void
a_string_of_the_wrong_length_is_refused(void **state)
{
	assert_one_mistake("{\"label\": \"\"}", "f: at.label: \"\": expected a string of 1 to 8 characters");
	parse(options, "{\"label\": \"123456789\"}", NULL);
	assert_string_equal(pv_diag_message(diag, 1),
			    "f: at.label: \"123456789\": expected a string of 1 to 8 characters");
	assert_string_equal(sample.label, "none");
}

static void
an_unknown_choice_lists_the_choices(void **state)
{
	assert_one_mistake("{\"mode\": \"fast\"}", "f: at.mode: \"fast\": expected one of: copy, shared");
}

static void
null_is_no_choice(void **state)
{
	assert_one_mistake("{\"mode\": null}", "f: at.mode: null: expected one of: copy, shared");
}

static void
a_boolean_is_not_a_choice(void **state)
{
	assert_one_mistake("{\"mode\": true}", "f: at.mode: true (boolean): expected one of: copy, shared");
}

static void
a_bad_address_is_refused(void **state)
{
	assert_one_mistake("{\"mac\": \"52:54\"}",
			   "f: at.mac: \"52:54\": expected an Ethernet address such as 52:54:00:12:34:56");
	assert_false(sample.mac.set);
}

static void
an_array_is_shown_cut(void **state)
{
	assert_one_mistake("{\"log\": [1, 2, 3, \"a long text that goes on and on and on and on and on and on\"]}",
			   "f: at.log: [1, 2, 3, \"a long text that goes on and on and on and on and on ... (array): "
			   "expected true or false");
}

static void
control_characters_in_a_value_are_shown_escaped(void **state)
{
	assert_one_mistake("{\"mode\": \"a\\nb\"}", "f: at.mode: \"a\\nb\": expected one of: copy, shared");
}

static void
a_misspelled_option_names_the_nearest(void **state)
{
	assert_one_mistake("{\"limt\": 5}", "f: at: unknown option \"limt\"; did you mean \"limit\"?");
}

static void
an_unknown_option_lists_what_is_accepted(void **state)
{
	assert_one_mistake("{\"x\": 5}", "f: at: unknown option \"x\"; accepted: limit, log, label, path, mode, mac");
}

static void
a_table_without_options_accepts_none(void **state)
{
	parse(NULL, "{\"x\": 5}", NULL);
	assert_string_equal(pv_diag_message(diag, 0), "f: at: unknown option \"x\"; accepted: none");
}

static void
keys_that_the_caller_parses_are_known(void **state)
{
	static const char *const also[] = { "workers", NULL };

	parse(options, "{\"workers\": 1, \"wokers\": 1}", also);
	assert_int_equal(pv_diag_count(diag), 1);
	assert_string_equal(pv_diag_message(diag, 0), "f: at: unknown option \"wokers\"; did you mean \"workers\"?");
}

static void
a_required_option_that_is_missing_is_reported(void **state)
{
	parse(required_options, "{}", NULL);
	assert_int_equal(pv_diag_count(diag), 1);
	assert_string_equal(pv_diag_message(diag, 0), "f: at.path: missing: expected a string of 1 to 100 characters");
}

static void
options_must_be_an_object(void **state)
{
	assert_one_mistake("[1]", "f: at: [1] (array): expected an object");
}

static void
all_mistakes_are_reported_in_one_run(void **state)
{
	parse(options, "{\"limit\": 0, \"log\": 1, \"lable\": \"x\"}", NULL);
	assert_int_equal(pv_diag_count(diag), 3);
}

static void
a_string_given_twice_is_kept_once(void **state)
{
	parse(options, "{\"label\": \"one\"}", NULL);
	parse(options, "{\"label\": \"two\"}", NULL);
	assert_string_equal(sample.label, "two");
}

static void
assert_dumps_as(const char *expected)
{
	json_t *json = pv_options_dump(options, &sample);
	char *text = json_dumps(json, JSON_COMPACT);

	assert_string_equal(text, expected);
	free(text);
	json_decref(json);
}

static void
effective_values_are_dumped_in_the_order_of_the_table(void **state)
{
	assert_dumps_as("{\"limit\":20,\"log\":true,\"label\":\"none\",\"mode\":\"shared\"}");
	parse(options, "{\"mac\": \"52:54:00:AB:0C:FF\", \"log\": false, \"path\": \"/a\"}", NULL);
	assert_dumps_as("{\"limit\":20,\"log\":false,\"label\":\"none\",\"path\":\"/a\",\"mode\":\"shared\","
			"\"mac\":\"52:54:00:ab:0c:ff\"}");
}

static void
help_has_a_line_per_option(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	pv_options_help(options, out, 2);
	pv_options_help(required_options, out, 0);
	fclose(out);
	assert_string_equal(text, "  limit            packets put together (2 to 64; default 20)\n"
				  "  log              say so (true or false; default true)\n"
				  "  label            for people (a string of 1 to 8 characters; default \"none\")\n"
				  "  path             of a file (a string of 1 to 100 characters)\n"
				  "  mode             what is done (one of: copy, shared; default \"shared\")\n"
				  "  mac              whose it is (an Ethernet address such as 52:54:00:12:34:56)\n"
				  "path             of a file (a string of 1 to 100 characters; required)\n");
	free(text);
}

static void
assert_schema(const struct pv_option *table, const char *expected)
{
	json_t *schema = pv_options_schema(table);
	json_t *wanted = json_loads(expected, 0, NULL);

	assert_non_null(wanted);
	assert_true(json_equal(schema, wanted));
	json_decref(wanted);
	json_decref(schema);
}

static void
the_schema_is_that_of_the_table(void **state)
{
	assert_schema(options,
		      "{\"type\": \"object\", \"required\": [], \"additionalProperties\": false, \"properties\": {"
		      "\"limit\": {\"type\": \"integer\", \"minimum\": 2, \"maximum\": 64, \"default\": 20,"
		      "  \"description\": \"packets put together\"},"
		      "\"log\": {\"type\": \"boolean\", \"default\": true, \"description\": \"say so\"},"
		      "\"label\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 8, \"default\": \"none\","
		      "  \"description\": \"for people\"},"
		      "\"path\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 100,"
		      "  \"description\": \"of a file\"},"
		      "\"mode\": {\"enum\": [\"copy\", \"shared\"], \"default\": \"shared\","
		      "  \"description\": \"what is done\"},"
		      "\"mac\": {\"type\": \"string\", \"pattern\": \"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$\","
		      "  \"description\": \"whose it is\"}}}");
	assert_schema(
		required_options,
		"{\"type\": \"object\", \"required\": [\"path\"], \"additionalProperties\": false, \"properties\": {"
		"\"path\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 100,"
		"  \"description\": \"of a file\"}}}");
	assert_schema(NULL,
		      "{\"type\": \"object\", \"required\": [], \"additionalProperties\": false, \"properties\": {}}");
}

static void
an_option_is_found_by_its_name(void **state)
{
	assert_ptr_equal(pv_option_find(options, "label"), &options[2]);
	assert_null(pv_option_find(options, "x"));
	assert_null(pv_option_find(NULL, "x"));
}

static void
only_whole_ethernet_addresses_are_read(void **state)
{
	static const char *const bad[] = { "",
					   "52:54:00:12:34",
					   "52:54:00:12:34:5",
					   "52:54:00:12:34:567",
					   "52-54-00-12-34-56",
					   "52:54:00:12:34:5g",
					   " 2:54:00:12:34:56",
					   "0x:54:00:12:34:56",
					   "+2:54:00:12:34:56",
					   "1:22:33:44:55:666",
					   "::::::::::::::::::" };
	struct pv_mac mac = { 0 };
	char text[18];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pv_mac_parse(bad[i], &mac), -EINVAL);
	assert_false(mac.set);
	assert_int_equal(pv_mac_parse("01:23:45:67:89:aB", &mac), 0);
	pv_mac_format(mac.bytes, text);
	assert_string_equal(text, "01:23:45:67:89:ab");
}

#define PARSED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PARSED(what_is_not_given_has_its_default),
		PARSED(what_is_given_is_taken),
		PARSED(a_number_out_of_range_is_refused),
		PARSED(the_ends_of_a_range_are_in_it),
		PARSED(a_number_beyond_32_bits_is_not_wrapped),
		PARSED(a_negative_number_is_refused),
		PARSED(a_fraction_is_not_a_number_of_things),
		PARSED(a_string_is_not_a_boolean),
		PARSED(a_number_is_not_a_string),
		PARSED(a_string_of_the_wrong_length_is_refused),
		PARSED(an_unknown_choice_lists_the_choices),
		PARSED(null_is_no_choice),
		PARSED(a_boolean_is_not_a_choice),
		PARSED(a_bad_address_is_refused),
		PARSED(an_array_is_shown_cut),
		PARSED(control_characters_in_a_value_are_shown_escaped),
		PARSED(a_misspelled_option_names_the_nearest),
		PARSED(an_unknown_option_lists_what_is_accepted),
		PARSED(a_table_without_options_accepts_none),
		PARSED(keys_that_the_caller_parses_are_known),
		PARSED(a_required_option_that_is_missing_is_reported),
		PARSED(options_must_be_an_object),
		PARSED(all_mistakes_are_reported_in_one_run),
		PARSED(a_string_given_twice_is_kept_once),
		PARSED(effective_values_are_dumped_in_the_order_of_the_table),
		PARSED(help_has_a_line_per_option),
		PARSED(the_schema_is_that_of_the_table),
		PARSED(an_option_is_found_by_its_name),
		PARSED(only_whole_ethernet_addresses_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
