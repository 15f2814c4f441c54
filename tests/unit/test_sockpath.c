/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sockpath.h"

static char directory[] = "/tmp/pktvirt-sockpath-XXXXXX";
static char path[64];
static char why[160];

static int
make_directory(void **state)
{
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	return rmdir(directory);
}

static int
clear(void **state)
{
	why[0] = '\0';
	return unlink(path) < 0 && errno != ENOENT ? -1 : 0;
}

/* A socket of `type` that is bound at the path. */
static int
bound(int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(address.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
a_path_where_nothing_is_can_be_used(void **state)
{
	assert_int_equal(pv_socket_path_check(path, why, sizeof(why)), 0);
	assert_int_equal(pv_socket_path_check("relative.sock", why, sizeof(why)), 0);
	assert_int_equal(pv_socket_path_check("/no/such/directory/s", why, sizeof(why)), 0);
}

static void
an_empty_path_is_refused(void **state)
{
	assert_int_equal(pv_socket_path_check("", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "empty: expected a path");
}

static void
a_path_of_107_bytes_is_the_longest(void **state)
{
	char longest[109];

	memset(longest, 'x', sizeof(longest));
	longest[107] = '\0';
	assert_int_equal(pv_socket_path_check(longest, why, sizeof(why)), 0);
	longest[107] = 'x';
	longest[108] = '\0';
	assert_int_equal(pv_socket_path_check(longest, why, sizeof(why)), -ENAMETOOLONG);
	assert_string_equal(why, "108 bytes: the path of a socket has at most 107");
}

static void
a_file_of_another_kind_is_never_touched(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pv_socket_path_prepare(path, why, sizeof(why)), -EEXIST);
	assert_string_equal(why, "a regular file is there; it is not replaced");
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(pv_socket_path_prepare(directory, why, sizeof(why)), -EEXIST);
	assert_string_equal(why, "a directory is there; it is not replaced");
}

static void
a_symbolic_link_is_not_followed(void **state)
{
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(pv_socket_path_check(path, why, sizeof(why)), -EEXIST);
	assert_string_equal(why, "a symbolic link is there; it is not replaced");
}

static void
a_socket_that_somebody_listens_on_is_in_use(void **state)
{
	int fd = bound(SOCK_STREAM);

	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pv_socket_path_check(path, why, sizeof(why)), -EADDRINUSE);
	assert_string_equal(why, "another process listens there");
	assert_int_equal(pv_socket_path_prepare(path, why, sizeof(why)), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
}

static void
a_datagram_socket_in_use_is_seen(void **state)
{
	int fd = bound(SOCK_DGRAM);

	assert_int_equal(pv_socket_path_check(path, why, sizeof(why)), -EADDRINUSE);
	close(fd);
}

static void
a_stale_socket_is_removed_but_not_by_looking(void **state)
{
	close(bound(SOCK_STREAM));
	assert_int_equal(pv_socket_path_check(path, why, sizeof(why)), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(pv_socket_path_prepare(path, why, sizeof(why)), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void
missing_directories_are_made(void **state)
{
	char deep[96], parent[96], grandparent[96];
	struct stat status;
	mode_t before = umask(0);

	snprintf(grandparent, sizeof(grandparent), "%s/a", directory);
	snprintf(parent, sizeof(parent), "%s/a/b", directory);
	snprintf(deep, sizeof(deep), "%s/a/b/s", directory);
	assert_int_equal(pv_socket_path_prepare(deep, why, sizeof(why)), 0);
	umask(before);
	assert_int_equal(stat(parent, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(rmdir(parent), 0);
	assert_int_equal(rmdir(grandparent), 0);
}

static void
a_file_where_a_directory_should_be_is_reported(void **state)
{
	char below[96];

	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(below, sizeof(below), "%s/t", path);
	assert_int_equal(pv_socket_path_check(below, why, sizeof(why)), -ENOTDIR);
	assert_string_equal(why, "cannot look at it: Not a directory");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_path_where_nothing_is_can_be_used, clear),
		cmocka_unit_test_teardown(an_empty_path_is_refused, clear),
		cmocka_unit_test_teardown(a_path_of_107_bytes_is_the_longest, clear),
		cmocka_unit_test_teardown(a_file_of_another_kind_is_never_touched, clear),
		cmocka_unit_test_teardown(a_symbolic_link_is_not_followed, clear),
		cmocka_unit_test_teardown(a_socket_that_somebody_listens_on_is_in_use, clear),
		cmocka_unit_test_teardown(a_datagram_socket_in_use_is_seen, clear),
		cmocka_unit_test_teardown(a_stale_socket_is_removed_but_not_by_looking, clear),
		cmocka_unit_test_teardown(missing_directories_are_made, clear),
		cmocka_unit_test_teardown(a_file_where_a_directory_should_be_is_reported, clear),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
