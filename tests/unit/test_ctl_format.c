/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "format.h"
#include "rates.h"

static void
exact_numbers_have_thousands_separators(void **state)
{
	char text[NUMBER_MAX];

	assert_string_equal(format_exact(0, text), "0");
	assert_string_equal(format_exact(999, text), "999");
	assert_string_equal(format_exact(1000, text), "1,000");
	assert_string_equal(format_exact(1234567, text), "1,234,567");
	assert_string_equal(format_exact(UINT64_MAX, text), "18,446,744,073,709,551,615");
}

static void
short_numbers_keep_three_digits_and_a_suffix(void **state)
{
	static const struct {
		double value;
		const char *text;
	} expected[] = {
		{ 0, "0" },
		{ 0.4, "0.4" },
		{ 5, "5.0" },
		{ 12.34, "12.3" },
		{ 999.4, "999" },
		{ 999.6, "1.00K" },
		{ 1234, "1.23K" },
		{ 9994, "9.99K" },
		{ 9996, "10.0K" },
		{ 99949, "99.9K" },
		{ 99960, "100K" },
		{ 999600, "1.00M" },
		{ 12345678, "12.3M" },
		{ 9.87e9, "9.87G" },
		{ 1.5e12, "1.50T" },
		{ 1e24, "1000000E" },
	};
	char text[NUMBER_MAX];

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_string_equal(format_short(expected[i].value, text), expected[i].text);
}

static void
shares_and_ages_read_as_people_say_them(void **state)
{
	char text[NUMBER_MAX];

	assert_string_equal(format_share(0, text), "0.0%");
	assert_string_equal(format_share(0.1234, text), "12.3%");
	assert_string_equal(format_share(1, text), "100.0%");
	assert_string_equal(format_age(59, text), "59s");
	assert_string_equal(format_age(125, text), "2m 05s");
	assert_string_equal(format_age(3900, text), "1h 05m");
}

/* The printed table; the caller frees it. */
static char *
printed(struct table *table)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table_print(table, out);
	fclose(out);
	table_free(table);
	return text;
}

static void
a_table_aligns_and_has_no_trailing_spaces(void **state)
{
	static const struct column columns[] = { { "port", false }, { "packets", true }, { "why", false } };
	struct table *table = table_new(columns, 3);
	char *text;

	table_cell(table, "vm0");
	table_cell(table, "%d", 1);
	table_cell(table, "%s", "");
	table_cell(table, "a-long-name");
	table_cell(table, "%s", "123,456,789");
	table_cell(table, "x");
	table_cell(table, "%s", "");
	table_cell(table, "7");
	table_cell(table, "y");
	assert_int_equal(table_rows(table), 3);
	text = printed(table);
	assert_string_equal(text, "port             packets  why\n"
				  "vm0                    1\n"
				  "a-long-name  123,456,789  x\n"
				  "                       7  y\n");
	free(text);
}

static void
an_empty_table_is_its_head(void **state)
{
	static const struct column columns[] = { { "a", false }, { "b", true } };
	char *text = printed(table_new(columns, 2));

	assert_string_equal(text, "a  b\n");
	free(text);
}

/* A sample `seconds` after the daemon's start, with counters that grow evenly and one port that may be missing. */
static json_t *
sample(int seconds, bool with_vm1)
{
	json_t *ports = json_array(), *part;

	json_array_append_new(ports,
			      json_pack("{s:s, s:s, s:{s:i, s:i}, s:{s:i, s:i}, s:{s:i, s:i}}", "name", "vm0", "state",
					"up", "rx", "packets", 100 * seconds, "bytes", 6400 * seconds, "tx", "packets",
					0, "bytes", 0, "drops", "runt", 5 * seconds, "no_port", 3));
	if (with_vm1)
		json_array_append_new(ports, json_pack("{s:s, s:s, s:{s:i, s:i}, s:{s:i, s:i}, s:{}}", "name", "vm1",
						       "state", "up", "rx", "packets", 0, "bytes", 0, "tx", "packets",
						       200, "bytes", 400, "drops"));
	part = json_pack("{s:I, s:o}", "time_ns", (json_int_t)seconds * 1000000000, "ports", ports);
	return json_pack("{s:o, s:{s:[{s:s, s:s, s:i, s:i}, {s:s, s:s}]}, s:{s:[{s:i, s:i, s:i, s:i, s:i}]}}", "ports",
			 part, "stages", "stages", "name", "switch", "kind", "core", "packets", 100 * seconds, "cycles",
			 5000 * seconds, "name", "batched-syscalls", "kind", "mechanism", "workers", "workers", "id", 0,
			 "cpu", 3, "busy_cycles", 10 * seconds, "idle_cycles", 30 * seconds, "packets", 100 * seconds);
}

static json_t *
rates(int before_s, bool had_vm1, int after_s)
{
	json_t *before = sample(before_s, had_vm1), *after = sample(after_s, true);
	json_t *result = rates_between(before, after);

	json_decref(before);
	json_decref(after);
	assert_non_null(result);
	return result;
}

static double
number(json_t *object, const char *part, size_t index, const char *key)
{
	return json_number_value(json_object_get(json_array_get(json_object_get(object, part), index), key));
}

static void
rates_are_per_second_of_the_daemons_clock(void **state)
{
	json_t *result = rates(10, true, 12);
	json_t *port = json_array_get(json_object_get(result, "ports"), 0);

	assert_true(json_number_value(json_object_get(result, "interval_s")) == 2);
	assert_true(json_number_value(json_object_get(json_object_get(port, "rx"), "packets_per_s")) == 100);
	assert_true(json_number_value(json_object_get(json_object_get(port, "rx"), "bits_per_s")) == 8 * 6400);
	assert_true(json_number_value(json_object_get(json_object_get(port, "drops_per_s"), "runt")) == 5);
	assert_null(json_object_get(json_object_get(port, "drops_per_s"), "no_port"));
	json_decref(result);
}

static void
costs_are_those_of_the_interval(void **state)
{
	json_t *result = rates(10, true, 12);

	assert_int_equal(json_array_size(json_object_get(result, "stages")), 1);
	assert_true(number(result, "stages", 0, "cycles_per_packet") == 50);
	assert_true(number(result, "stages", 0, "share") == 1);
	assert_true(number(result, "workers", 0, "busy_share") == 0.25);
	json_decref(result);
}

static void
a_port_that_is_new_or_was_reset_counts_from_zero(void **state)
{
	json_t *fresh = rates(10, false, 12), *reset = rates(12, true, 10);
	json_t *vm1 = json_array_get(json_object_get(fresh, "ports"), 1);
	json_t *vm0 = json_array_get(json_object_get(reset, "ports"), 0);

	assert_true(json_number_value(json_object_get(json_object_get(vm1, "tx"), "packets_per_s")) == 100);
	assert_true(json_number_value(json_object_get(json_object_get(vm0, "rx"), "packets_per_s")) == 0);
	json_decref(fresh);
	json_decref(reset);
}

static char directory[] = "/tmp/pktvirt-ctl-XXXXXX";

static void
touch(const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void
forget(const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	assert_int_equal(unlink(path), 0);
}

static int
make_directory(void **state)
{
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
	return rmdir(directory);
}

/* The file that is found for a daemon's name, without its directory; NULL when there is a choice to make. */
static const char *
found(const char *name)
{
	static char path[128];
	char why[CLIENT_WHY_MAX];

	if (client_find_socket(directory, name, path, sizeof(path), why) < 0)
		return NULL;
	return strrchr(path, '/') + 1;
}

static void
the_default_daemon_is_pktvirt_or_the_only_one(void **state)
{
	char path[128], why[CLIENT_WHY_MAX];

	assert_string_equal(found(NULL), "pktvirt.ctl");
	touch("a.ctl");
	assert_string_equal(found(NULL), "a.ctl");
	touch("b.ctl");
	assert_null(found(NULL));
	client_find_socket(directory, NULL, path, sizeof(path), why);
	assert_non_null(strstr(why, "choose one with --name: a b"));
	touch("pktvirt.ctl");
	assert_string_equal(found(NULL), "pktvirt.ctl");
	assert_string_equal(found("b"), "b.ctl");
	forget("a.ctl");
	forget("b.ctl");
	forget("pktvirt.ctl");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_numbers_have_thousands_separators),
		cmocka_unit_test(short_numbers_keep_three_digits_and_a_suffix),
		cmocka_unit_test(shares_and_ages_read_as_people_say_them),
		cmocka_unit_test(a_table_aligns_and_has_no_trailing_spaces),
		cmocka_unit_test(an_empty_table_is_its_head),
		cmocka_unit_test(rates_are_per_second_of_the_daemons_clock),
		cmocka_unit_test(costs_are_those_of_the_interval),
		cmocka_unit_test(a_port_that_is_new_or_was_reset_counts_from_zero),
		cmocka_unit_test(the_default_daemon_is_pktvirt_or_the_only_one),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
