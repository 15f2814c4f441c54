/* SPDX-License-Identifier: BSD-3-Clause */
/* Loads the shared objects made from plugins/; PV_TEST_PLUGIN_DIR says where they are. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/plugin.h"
#include "core/stage.h"

static const char *directory;
static char why[256];
static char scratch[] = "/tmp/pktvirt-plugin-XXXXXX";

/* Loads one of the fixtures. */
static int
load(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s.so", directory, name);
	why[0] = '\0';
	return pv_plugin_load(path, why, sizeof(why));
}

/* Makes a file in the scratch directory; its path stays until the next call. */
static const char *
make_file(const char *name, const char *text)
{
	static char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

static void
stages_of_a_plugin_are_registered(void **state)
{
	assert_null(pv_stage_find("test-good"));
	assert_int_equal(load("good"), 0);
	assert_non_null(pv_stage_find("test-good"));
}

static void
loading_a_plugin_again_does_nothing(void **state)
{
	size_t before = pv_stage_count();

	assert_int_equal(load("good"), 0);
	assert_int_equal(pv_stage_count(), before);
}

static void
a_relative_path_is_taken_from_the_working_directory(void **state)
{
	char *before = getcwd(NULL, 0);

	assert_int_equal(chdir(directory), 0);
	assert_int_equal(pv_plugin_load("good.so", why, sizeof(why)), 0);
	assert_int_equal(pv_plugin_load("./good.so", why, sizeof(why)), 0);
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void
a_plugin_with_the_name_of_a_stage_is_refused_as_a_whole(void **state)
{
	assert_int_equal(load("same_stage"), -EEXIST);
	assert_string_equal(why, "there is a stage \"test-good\" already");
	assert_null(pv_stage_find("test-fresh"));
}

static void
a_plugin_with_two_stages_of_one_name_is_refused(void **state)
{
	assert_int_equal(load("twice"), -EEXIST);
	assert_string_equal(why, "there is a stage \"test-twice\" already");
	assert_null(pv_stage_find("test-twice"));
}

static void
a_stage_of_no_kind_is_refused(void **state)
{
	assert_int_equal(load("incomplete"), -EINVAL);
	assert_string_equal(why, "stage \"test-incomplete\" is neither a packet stage nor a mechanism");
	assert_int_equal(load("incomplete"), -EINVAL);
}

static void
a_plugin_of_another_abi_is_refused(void **state)
{
	assert_int_equal(load("other_abi"), -EPROTO);
	assert_string_equal(why, "built for plugin ABI 999, this pktvirt has 3: build it again");
}

static void
a_shared_object_without_the_export_is_refused(void **state)
{
	assert_int_equal(load("no_export"), -ENOEXEC);
	assert_string_equal(why, "not a pktvirt plugin: it does not export pv_plugin");
}

static void
a_function_that_there_is_not_is_named(void **state)
{
	assert_int_equal(load("undefined"), -ENOEXEC);
	assert_string_equal(why, "undefined symbol: pv_of_a_later_version");
}

static void
a_file_that_is_not_there_is_refused(void **state)
{
	assert_int_equal(load("absent"), -ENOENT);
	assert_string_equal(why, "No such file or directory");
}

static void
a_text_file_is_refused(void **state)
{
	const char *path = make_file("text.so", "this is a text and no shared object, long enough for an ELF header "
						"to have been read from it");

	assert_int_equal(pv_plugin_load(path, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "invalid ELF header");
	unlink(path);
}

static void
an_empty_file_is_refused(void **state)
{
	const char *path = make_file("empty.so", "");

	assert_int_equal(pv_plugin_load(path, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "file too short");
	unlink(path);
}

static void
a_directory_is_refused(void **state)
{
	assert_int_equal(pv_plugin_load(scratch, why, sizeof(why)), -ENOEXEC);
	assert_string_equal(why, "cannot read file data: Is a directory");
}

static void
a_file_that_may_not_be_read_is_refused(void **state)
{
	const char *path = make_file("secret.so", "");
	uid_t user = geteuid();

	/* Root may read everything, so the test becomes somebody else for a moment. */
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(chmod(scratch, 0755), 0);
	assert_int_equal(user == 0 ? seteuid(65534) : 0, 0);
	assert_int_equal(pv_plugin_load(path, why, sizeof(why)), -EACCES);
	assert_int_equal(seteuid(user), 0);
	assert_string_equal(why, "Permission denied");
	unlink(path);
}

static int
start(void **state)
{
	directory = getenv("PV_TEST_PLUGIN_DIR");
	if (directory != NULL)
		return mkdtemp(scratch) == NULL ? -1 : 0;
	print_error("PV_TEST_PLUGIN_DIR is not set\n");
	return -1;
}

static int
stop(void **state)
{
	return rmdir(scratch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages_of_a_plugin_are_registered),
		cmocka_unit_test(loading_a_plugin_again_does_nothing),
		cmocka_unit_test(a_relative_path_is_taken_from_the_working_directory),
		cmocka_unit_test(a_plugin_with_the_name_of_a_stage_is_refused_as_a_whole),
		cmocka_unit_test(a_plugin_with_two_stages_of_one_name_is_refused),
		cmocka_unit_test(a_stage_of_no_kind_is_refused),
		cmocka_unit_test(a_plugin_of_another_abi_is_refused),
		cmocka_unit_test(a_shared_object_without_the_export_is_refused),
		cmocka_unit_test(a_function_that_there_is_not_is_named),
		cmocka_unit_test(a_file_that_is_not_there_is_refused),
		cmocka_unit_test(a_text_file_is_refused),
		cmocka_unit_test(an_empty_file_is_refused),
		cmocka_unit_test(a_directory_is_refused),
		cmocka_unit_test(a_file_that_may_not_be_read_is_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
