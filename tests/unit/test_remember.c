/* SPDX-License-Identifier: BSD-3-Clause */
/* What is remembered of a guest from one pktvirt to the next. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vio/remember.h"

#define FEATURES 0x130000001ULL

static char directory[] = "/tmp/pv-remember-XXXXXX";
static char socket_path[PATH_MAX], file[PATH_MAX];

static void
what_a_guest_negotiated_is_known_until_it_leaves(void **state)
{
	struct pv_remembered *it;

	assert_int_equal(pv_remember_features(socket_path), 0);
	it = pv_remember_open(socket_path, FEATURES);
	assert_non_null(it);
	assert_int_equal(pv_remember_features(socket_path), FEATURES);
	pv_remember_close(it);
	assert_int_equal(pv_remember_features(socket_path), FEATURES);
	pv_remember_nothing(socket_path);
	assert_int_equal(pv_remember_features(socket_path), 0);
}

static void
rings_are_kept_for_a_guest_with_the_same_features_only(void **state)
{
	struct pv_remembered *it = pv_remember_open(socket_path, FEATURES);

	assert_non_null(it);
	it->rings[1].live = 1;
	it->rings[1].journal.place.used = 7;
	pv_remember_close(it);
	it = pv_remember_open(socket_path, FEATURES);
	assert_non_null(it);
	assert_int_equal(it->rings[1].live, 1);
	assert_int_equal(it->rings[1].journal.place.used, 7);
	pv_remember_close(it);
	it = pv_remember_open(socket_path, FEATURES | 2);
	assert_non_null(it);
	assert_int_equal(it->rings[1].live, 0);
	assert_int_equal(it->features, FEATURES | 2);
	pv_remember_close(it);
	pv_remember_nothing(socket_path);
}

static void
write_file(const void *bytes, size_t size)
{
	FILE *stream = fopen(file, "w");

	assert_non_null(stream);
	assert_int_equal(fwrite(bytes, 1, size, stream), size);
	assert_int_equal(fclose(stream), 0);
}

static void
a_file_that_is_not_as_it_was_written_says_nothing(void **state)
{
	static uint8_t bytes[2 * sizeof(struct pv_remembered)];
	struct pv_remembered *it;
	struct stat status;

	memset(bytes, 0xa5, sizeof(bytes));
	write_file(bytes, sizeof(bytes));
	assert_int_equal(pv_remember_features(socket_path), 0);
	write_file(bytes, 9);
	assert_int_equal(pv_remember_features(socket_path), 0);
	it = pv_remember_open(socket_path, FEATURES);
	assert_non_null(it);
	assert_int_equal(it->rings[0].live, 0);
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(status.st_size, sizeof(*it));
	assert_true((size_t)status.st_blocks * 512 >= sizeof(*it)); /* there is room for what will be stored */
	pv_remember_close(it);
	pv_remember_nothing(socket_path);
}

static void
what_is_no_plain_file_is_left_alone(void **state)
{
	assert_int_equal(symlink("/tmp/nothing-there", file), 0);
	assert_null(pv_remember_open(socket_path, FEATURES));
	assert_int_equal(pv_remember_features(socket_path), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_null(pv_remember_open(socket_path, FEATURES));
	assert_int_equal(pv_remember_features(socket_path), 0);
	assert_int_equal(unlink(file), 0);
}

static int
make_directory(void **state)
{
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/vm0.sock", directory);
	snprintf(file, sizeof(file), "%s/vm0.sock.guest", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	return rmdir(directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_guest_negotiated_is_known_until_it_leaves),
		cmocka_unit_test(rings_are_kept_for_a_guest_with_the_same_features_only),
		cmocka_unit_test(a_file_that_is_not_as_it_was_written_says_nothing),
		cmocka_unit_test(what_is_no_plain_file_is_left_alone),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
