/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/* Standard error is one end of a socket that keeps message boundaries, so each write(2) is seen as one. */
static int real_stderr, captured[2];
static char line[8192];
static time_t now_s = 100000;

/* Instead of the library's: so that no second passes but when a test says so. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	*now = (struct timespec){ .tv_sec = now_s };
	return 0;
}

static int
capture(void **state)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, captured) != 0)
		return -1;
	real_stderr = dup(STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	pv_log_set_level(PV_LOG_INFO);
	return dup2(captured[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int
restore(void **state)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(captured[0]);
	close(captured[1]);
	return 0;
}

/* What the next write to standard error was; "" when there was none. */
static const char *
written(void)
{
	ssize_t length = recv(captured[0], line, sizeof(line) - 1, 0);

	line[length > 0 ? length : 0] = '\0';
	return line;
}

static void
a_line_names_who_it_is_about_and_is_one_write(void **state)
{
	pv_info("vm0", "guest attached, %d queue pair", 1);
	assert_string_equal(written(), "pktvirt: vm0: guest attached, 1 queue pair\n");
	assert_string_equal(written(), "");
}

static void
lines_below_the_level_are_not_written(void **state)
{
	pv_debug("vm0", "detail");
	assert_string_equal(written(), "");
	pv_log_set_level(PV_LOG_DEBUG);
	pv_debug("vm0", "detail");
	assert_string_equal(written(), "pktvirt: vm0: detail\n");
	pv_log_set_level(PV_LOG_ERROR);
	pv_warning("vm0", "bad");
	assert_string_equal(written(), "");
	pv_error("vm0", "worse");
	assert_string_equal(written(), "pktvirt: vm0: worse\n");
}

static void
levels_are_known_by_name(void **state)
{
	assert_int_equal(pv_log_level_parse("error"), PV_LOG_ERROR);
	assert_int_equal(pv_log_level_parse("warning"), PV_LOG_WARNING);
	assert_int_equal(pv_log_level_parse("info"), PV_LOG_INFO);
	assert_int_equal(pv_log_level_parse("debug"), PV_LOG_DEBUG);
	assert_int_equal(pv_log_level_parse("loud"), -EINVAL);
	assert_int_equal(pv_log_level_parse(""), -EINVAL);
}

static void
the_set_level_is_the_level(void **state)
{
	pv_log_set_level(PV_LOG_DEBUG);
	assert_int_equal(pv_log_get_level(), PV_LOG_DEBUG);
}

static void
a_guest_cannot_forge_a_line(void **state)
{
	pv_info("vm0", "said %s", "hello\npktvirt: vm1: gone\r\x1b[2J\x7f\xc2\x9b!");
	assert_string_equal(written(),
			    "pktvirt: vm0: said hello\\x0apktvirt: vm1: gone\\x0d\\x1b[2J\\x7f\\xc2\\x9b!\n");
}

static void
text_in_utf8_is_left_alone(void **state)
{
	pv_info("vm0", "%s", "Größe \xe2\x89\xa5 2");
	assert_string_equal(written(), "pktvirt: vm0: Größe \xe2\x89\xa5 2\n");
}

static void
a_long_line_is_cut_but_stays_a_line(void **state)
{
	char text[4096];

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pv_info("vm0", "%s", text);
	written();
	assert_in_range(strlen(line), 1000, 4200);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

/* Sets the variable to what systemd would for this standard error, off by `off`. */
static void
set_journal_stream(unsigned long long off)
{
	struct stat status;
	char value[64];

	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino + off);
	setenv("JOURNAL_STREAM", value, 1);
}

static void
the_journal_is_told_the_priority(void **state)
{
	set_journal_stream(0);
	pv_log_set_level(PV_LOG_DEBUG);
	pv_error("a", "b");
	assert_string_equal(written(), "<3>pktvirt: a: b\n");
	pv_warning("a", "b");
	assert_string_equal(written(), "<4>pktvirt: a: b\n");
	pv_info("a", "b");
	assert_string_equal(written(), "<6>pktvirt: a: b\n");
	pv_debug("a", "b");
	assert_string_equal(written(), "<7>pktvirt: a: b\n");
}

static void
the_journal_of_a_parent_is_not_ours(void **state)
{
	set_journal_stream(1);
	pv_error("a", "b");
	assert_string_equal(written(), "pktvirt: a: b\n");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	pv_error("a", "b");
	assert_string_equal(written(), "pktvirt: a: b\n");
}

static void
a_limit_lets_a_burst_through_and_counts_the_rest(void **state)
{
	struct pv_log_limit limit = { .burst = 3 };
	uint64_t suppressed = 99;

	for (int i = 0; i < 3; i++) {
		assert_true(pv_log_limit_pass(&limit, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	assert_false(pv_log_limit_pass(&limit, &suppressed));
	assert_false(pv_log_limit_pass(&limit, &suppressed));
	now_s++;
	assert_true(pv_log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 2);
	now_s += 1000;
	for (int i = 0; i < 3; i++)
		assert_true(pv_log_limit_pass(&limit, &suppressed));
}

static void
a_limited_line_says_how_many_were_suppressed(void **state)
{
	struct pv_log_limit limit = { .burst = 1 };

	pv_log_limited(&limit, PV_LOG_WARNING, "vm0", "bad ring %d", 1);
	assert_string_equal(written(), "pktvirt: vm0: bad ring 1\n");
	pv_log_limited(&limit, PV_LOG_WARNING, "vm0", "bad ring %d", 2);
	pv_log_limited(&limit, PV_LOG_WARNING, "vm0", "bad ring %d", 3);
	assert_string_equal(written(), "");
	now_s++;
	pv_log_limited(&limit, PV_LOG_WARNING, "vm0", "bad ring %d", 4);
	assert_string_equal(written(), "pktvirt: vm0: bad ring 4 (2 more suppressed)\n");
}

static void
a_line_below_the_level_uses_up_no_limit(void **state)
{
	struct pv_log_limit limit = { .burst = 1 };

	pv_log_limited(&limit, PV_LOG_DEBUG, "vm0", "detail");
	assert_string_equal(written(), "");
	pv_log_limited(&limit, PV_LOG_INFO, "vm0", "news");
	assert_string_equal(written(), "pktvirt: vm0: news\n");
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, capture, restore)

/* Of the thread's lines about one, the first that is an error. */
static void
an_error_is_kept_for_who_asked(void **state)
{
	char text[64] = "before";

	pv_log_keep_error("vm0", text, sizeof(text));
	assert_string_equal(text, "");
	pv_warning("vm0", "no error");
	pv_error("vm1", "not about it");
	assert_string_equal(text, "");
	pv_error("vm0", "mtu %d", 1);
	pv_error("vm0", "and then");
	assert_string_equal(text, "vm0: mtu 1");
	pv_log_keep_error("vm0", text, 8);
	pv_error("vm0", "cut off");
	assert_string_equal(text, "vm0: cu");
	pv_log_keep_error("vm0", text, sizeof(text));
	pv_log_keep_error(NULL, NULL, 0);
	pv_error("vm0", "too late");
	assert_string_equal(text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURED(a_line_names_who_it_is_about_and_is_one_write),
		CAPTURED(lines_below_the_level_are_not_written),
		CAPTURED(levels_are_known_by_name),
		CAPTURED(the_set_level_is_the_level),
		CAPTURED(a_guest_cannot_forge_a_line),
		CAPTURED(text_in_utf8_is_left_alone),
		CAPTURED(a_long_line_is_cut_but_stays_a_line),
		CAPTURED(the_journal_is_told_the_priority),
		CAPTURED(the_journal_of_a_parent_is_not_ours),
		CAPTURED(a_limit_lets_a_burst_through_and_counts_the_rest),
		CAPTURED(a_limited_line_says_how_many_were_suppressed),
		CAPTURED(a_line_below_the_level_uses_up_no_limit),
		CAPTURED(an_error_is_kept_for_who_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
