/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"

static const char document[] = "{\n"
			       "  \"name\": \"a \\\"quoted\\\" } name\",\n"
			       "  \"ports\": [\n"
			       "    { \"name\": \"vm0\", \"tap\": { \"interface\": \"pv0\" } },\n"
			       "    [1, [2, 3],\n"
			       "     4],\n"
			       "    {\n"
			       "      \"vhost-user\":\n"
			       "        { \"socket\": \"/a\" } }\n"
			       "  ],\n"
			       "  \"empty\": [], \"none\": {},\n"
			       "  \"last\": true\n"
			       "}\n";

static void
a_value_is_found_by_its_path(void **state)
{
	assert_int_equal(pv_json_line(document, ""), 1);
	assert_int_equal(pv_json_line(document, "name"), 2);
	assert_int_equal(pv_json_line(document, "ports"), 3);
	assert_int_equal(pv_json_line(document, "ports[0].tap.interface"), 4);
	assert_int_equal(pv_json_line(document, "ports[1][1][0]"), 5);
	assert_int_equal(pv_json_line(document, "ports[1][2]"), 6);
	assert_int_equal(pv_json_line(document, "ports[2]"), 7);
	assert_int_equal(pv_json_line(document, "ports[2].vhost-user"), 9);
	assert_int_equal(pv_json_line(document, "empty"), 11);
	assert_int_equal(pv_json_line(document, "last"), 12);
}

static void
a_path_that_is_not_there_has_no_line(void **state)
{
	static const char *const paths[] = { "nam",	    "names",	"name.x", "ports[3]", "ports[0].tap.x",
					     "ports[0][0]", "empty[0]", "none.x", "[0]",      "ports[",
					     "ports[x]",    "ports[]",	"..",	  "last.x" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (pv_json_line(document, paths[i]) != 0)
			fail_msg("found %s", paths[i]);
}

static void
broken_text_ends_the_search(void **state)
{
	static const char *const texts[] = { "",	  "{",		 "{\"a\"",     "{\"a\":",
					     "{\"a\":[",  "{\"a\":[[1,", "{\"b\":\"x", "{\"b\":\"\\",
					     "{\"a\" 1}", "]",		 "{\"b\":}}",  "[1 2" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(pv_json_line(texts[i], "a[2]"), 0);
}

static void
a_mistake_says_file_line_path_and_text(void **state)
{
	struct pv_diag *diag = pv_diag_new("a.json", document);

	pv_diag_add(diag, "ports[0].tap.interface", "%d: expected %s", 5, "a string");
	assert_string_equal(pv_diag_message(diag, 0), "a.json:4: ports[0].tap.interface: 5: expected a string");
	pv_diag_free(diag);
}

static void
a_mistake_about_something_missing_has_the_line_of_its_parent(void **state)
{
	struct pv_diag *diag = pv_diag_new("a.json", document);

	pv_diag_add(diag, "ports[2].vhost-user.queues[1].x", "missing");
	pv_diag_add(diag, "ports[9].name", "missing");
	pv_diag_add(diag, "absent", "missing");
	assert_string_equal(pv_diag_message(diag, 0), "a.json:9: ports[2].vhost-user.queues[1].x: missing");
	assert_string_equal(pv_diag_message(diag, 1), "a.json:3: ports[9].name: missing");
	assert_string_equal(pv_diag_message(diag, 2), "a.json:1: absent: missing");
	pv_diag_free(diag);
}

static void
a_mistake_about_a_key_has_the_line_of_the_key(void **state)
{
	struct pv_diag *diag = pv_diag_new("a.json", document);

	pv_diag_add_key(diag, "", "last", "unknown");
	pv_diag_add_key(diag, "ports[2]", "vhost-user", "unknown");
	assert_string_equal(pv_diag_message(diag, 0), "a.json:12: unknown");
	assert_string_equal(pv_diag_message(diag, 1), "a.json:9: ports[2]: unknown");
	pv_diag_free(diag);
}

static void
without_text_there_is_no_line(void **state)
{
	struct pv_diag *diag = pv_diag_new("a.json", NULL);

	pv_diag_add(diag, "name", "bad");
	pv_diag_add(diag, "", "worse");
	pv_diag_add_line(diag, 7, "syntax");
	assert_string_equal(pv_diag_message(diag, 0), "a.json: name: bad");
	assert_string_equal(pv_diag_message(diag, 1), "a.json: worse");
	assert_string_equal(pv_diag_message(diag, 2), "a.json:7: syntax");
	pv_diag_free(diag);
}

static void
all_mistakes_are_kept_and_printed_in_order(void **state)
{
	struct pv_diag *diag = pv_diag_new("a.json", NULL);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(pv_diag_count(diag), 0);
	pv_diag_add(diag, "x", "one");
	pv_diag_add(diag, "y", "two");
	assert_int_equal(pv_diag_count(diag), 2);
	pv_diag_print(diag, out);
	fclose(out);
	assert_string_equal(text, "a.json: x: one\na.json: y: two\n");
	free(text);
	pv_diag_free(diag);
}

static void
freeing_no_collector_is_fine(void **state)
{
	pv_diag_free(NULL);
}

static void
a_long_path_is_cut(void **state)
{
	char key[PV_PATH_MAX + 100], path[PV_PATH_MAX];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	assert_string_equal(pv_path_member(path, "", "a"), "a");
	assert_string_equal(pv_path_member(path, "a[1]", "b"), "a[1].b");
	assert_int_equal(strlen(pv_path_member(path, "a", key)), PV_PATH_MAX - 1);
}

static void
a_misspelled_name_is_recognized(void **state)
{
	static const char *const names[] = { "limit", "tap", "ethdev", "vhost-user", "control-socket", NULL };

	assert_string_equal(pv_nearest("limt", names), "limit");
	assert_string_equal(pv_nearest("limits", names), "limit");
	assert_string_equal(pv_nearest("Limit", names), "limit");
	assert_string_equal(pv_nearest("ilmit", names), "limit");
	assert_string_equal(pv_nearest("ethdve", names), "ethdev");
	assert_string_equal(pv_nearest("tab", names), "tap");
	assert_string_equal(pv_nearest("vhost", names), "vhost-user");
	assert_string_equal(pv_nearest("vhost_user", names), "vhost-user");
	assert_string_equal(pv_nearest("controlsocket", names), "control-socket");
}

static void
the_nearest_of_several_names_wins(void **state)
{
	static const char *const names[] = { "rate-bps", "rate-pps", "rates", NULL };

	assert_string_equal(pv_nearest("rate-pp", names), "rate-pps");
	assert_string_equal(pv_nearest("rates", names), "rates");
}

static void
a_word_that_is_near_nothing_has_no_nearest_name(void **state)
{
	static const char *const names[] = { "limit", "tap", "on", NULL };
	static const char *const none[] = { NULL };
	char word[200];

	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_null(pv_nearest("burst", names));
	assert_null(pv_nearest("x", names));
	assert_null(pv_nearest("", names));
	assert_null(pv_nearest(word, names));
	assert_null(pv_nearest("limit", none));
}

static void
a_name_that_is_very_long_is_never_near(void **state)
{
	static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	const char *const names[] = { long_name, NULL };

	assert_null(pv_nearest("012345", names));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_found_by_its_path),
		cmocka_unit_test(a_path_that_is_not_there_has_no_line),
		cmocka_unit_test(broken_text_ends_the_search),
		cmocka_unit_test(a_mistake_says_file_line_path_and_text),
		cmocka_unit_test(a_mistake_about_something_missing_has_the_line_of_its_parent),
		cmocka_unit_test(a_mistake_about_a_key_has_the_line_of_the_key),
		cmocka_unit_test(without_text_there_is_no_line),
		cmocka_unit_test(all_mistakes_are_kept_and_printed_in_order),
		cmocka_unit_test(freeing_no_collector_is_fine),
		cmocka_unit_test(a_long_path_is_cut),
		cmocka_unit_test(a_misspelled_name_is_recognized),
		cmocka_unit_test(the_nearest_of_several_names_wins),
		cmocka_unit_test(a_word_that_is_near_nothing_has_no_nearest_name),
		cmocka_unit_test(a_name_that_is_very_long_is_never_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
