/* SPDX-License-Identifier: BSD-3-Clause */
/* The server is polled by the test itself, on one thread; the clients are non-blocking sockets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "core/control.h"

#define ROUNDS_MAX 20000
#define BIG (8 * 1024 * 1024)

static char directory[] = "/tmp/pktvirt-control-XXXXXX";
static char path[64];

/* "echo" gives the request back, "big" a long string, "fail" an error, "cut" an error cut in a character. */
static json_t *
handle(const char *command, json_t *request, char *error, size_t error_size)
{
	if (strcmp(command, "echo") == 0)
		return json_incref(request);
	if (strcmp(command, "big") == 0) {
		char *text = calloc(1, BIG + 1);
		json_t *result;

		memset(text, 'x', BIG);
		result = json_pack("{s:s}", "text", text);
		free(text);
		return result;
	}
	if (strcmp(command, "cut") == 0)
		snprintf(error, error_size, "half \xc3");
	else
		snprintf(error, error_size, "unknown command \"%s\"", command);
	return NULL;
}

static int
make_directory(void **state)
{
	pv_log_set_level(PV_LOG_ERROR);
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/run/d.ctl", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	char run[64];

	snprintf(run, sizeof(run), "%s/run", directory);
	return rmdir(run) < 0 || rmdir(directory) < 0 ? -1 : 0;
}

static int
open_server(void **state)
{
	*state = pv_control_open(path, handle);
	return *state == NULL ? -1 : 0;
}

static int
close_server(void **state)
{
	pv_control_close(*state);
	return 0;
}

static int
connect_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Lets the server work until it has nothing to do. */
static void
settle(struct pv_control *control)
{
	struct pollfd readable = { .fd = pv_control_fd(control), .events = POLLIN };
	int rounds = 0;

	while (poll(&readable, 1, 0) > 0) {
		pv_control_poll(control);
		assert_true(rounds++ < ROUNDS_MAX);
	}
}

/* What the client has received by now, up to `size` - 1 bytes. */
static const char *
heard(int fd, char *text, size_t size)
{
	ssize_t length = recv(fd, text, size - 1, 0);

	text[length < 0 ? 0 : length] = '\0';
	return text;
}

static void
assert_answer(struct pv_control *control, const char *request, const char *expected)
{
	char text[1024];
	int fd = connect_client();

	say(fd, request);
	settle(control);
	assert_string_equal(heard(fd, text, sizeof(text)), expected);
	close(fd);
	settle(control);
}

static void
assert_hung_up(int fd)
{
	char byte;
	ssize_t length = recv(fd, &byte, 1, 0);

	assert_true(length == 0 || (length < 0 && errno != EAGAIN));
}

static void
a_request_gets_its_answer(void **state)
{
	assert_answer(*state, "{\"command\":\"echo\",\"n\":1}\n",
		      "{\"ok\":true,\"result\":{\"command\":\"echo\",\"n\":1}}\n");
}

static void
an_error_is_told_and_the_connection_stays(void **state)
{
	char text[256];
	int fd = connect_client();

	say(fd, "{\"command\":\"shwo\"}\n");
	settle(*state);
	assert_string_equal(heard(fd, text, sizeof(text)),
			    "{\"ok\":false,\"error\":\"unknown command \\\"shwo\\\"\"}\n");
	say(fd, "{\"command\":\"echo\"}\n");
	settle(*state);
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":true,\"result\":{\"command\":\"echo\"}}\n");
	close(fd);
}

static void
what_is_no_request_is_refused(void **state)
{
	static const char expected[] =
		"{\"ok\":false,\"error\":\"expected an object with \\\"command\\\": a string\"}\n";

	assert_answer(*state, "[]\n", expected);
	assert_answer(*state, "{}\n", expected);
	assert_answer(*state, "{\"command\":7}\n", expected);
	assert_answer(*state, "show ports\n",
		      "{\"ok\":false,\"error\":\"the request is not JSON: '[' or '{' expected near 'show'\"}\n");
	assert_answer(*state, "\n",
		      "{\"ok\":false,\"error\":\"the request is not JSON: '[' or '{' expected near end of file\"}\n");
}

static void
an_error_cut_in_a_character_is_still_sent(void **state)
{
	assert_answer(*state, "{\"command\":\"cut\"}\n", "{\"ok\":false,\"error\":\"half \"}\n");
}

static void
requests_sent_together_are_answered_in_order(void **state)
{
	assert_answer(*state, "{\"command\":\"echo\",\"n\":1}\n{\"command\":\"echo\",\"n\":2}\n{\"command\":\"x\"}\n",
		      "{\"ok\":true,\"result\":{\"command\":\"echo\",\"n\":1}}\n"
		      "{\"ok\":true,\"result\":{\"command\":\"echo\",\"n\":2}}\n"
		      "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
}

static void
one_poll_answers_one_request_of_a_client(void **state)
{
	char text[256];
	int fd = connect_client();

	pv_control_poll(*state);
	say(fd, "{\"command\":\"a\"}\n{\"command\":\"b\"}\n");
	pv_control_poll(*state);
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":false,\"error\":\"unknown command \\\"a\\\"\"}\n");
	pv_control_poll(*state);
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":false,\"error\":\"unknown command \\\"b\\\"\"}\n");
	close(fd);
}

static void
a_request_may_arrive_in_pieces(void **state)
{
	char text[256];
	int fd = connect_client();

	for (const char *rest = "{\"command\":\"x\"}\n"; *rest != '\0'; rest++) {
		assert_string_equal(heard(fd, text, sizeof(text)), "");
		assert_int_equal(send(fd, rest, 1, MSG_NOSIGNAL), 1);
		settle(*state);
	}
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
	close(fd);
}

static void
a_client_that_stops_sending_still_gets_its_answers(void **state)
{
	char text[256];
	int fd = connect_client();

	say(fd, "{\"command\":\"a\"}\n{\"command\":\"b\"}\n{\"comm");
	shutdown(fd, SHUT_WR);
	settle(*state);
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":false,\"error\":\"unknown command \\\"a\\\"\"}\n"
							   "{\"ok\":false,\"error\":\"unknown command \\\"b\\\"\"}\n");
	assert_hung_up(fd);
	close(fd);
}

/* Sends a line of `length` bytes, newline included. */
static void
say_line(struct pv_control *control, int fd, size_t length)
{
	char *line = malloc(length);
	size_t sent = 0;

	memset(line, ' ', length);
	memcpy(line, "{\"command\":\"x\"}", 15);
	line[length - 1] = '\n';
	while (sent < length) {
		ssize_t n = send(fd, line + sent, length - sent, MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += n;
		settle(control);
	}
	free(line);
}

static void
a_request_of_the_largest_size_is_taken_and_a_longer_one_cut_off(void **state)
{
	char text[256];
	int fd = connect_client();

	say_line(*state, fd, PV_CONTROL_REQUEST_MAX);
	assert_string_equal(heard(fd, text, sizeof(text)), "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
	say_line(*state, fd, PV_CONTROL_REQUEST_MAX + 1);
	assert_string_equal(heard(fd, text, sizeof(text)),
			    "{\"ok\":false,\"error\":\"the request is longer than 65536 bytes\"}\n");
	assert_hung_up(fd);
	close(fd);
}

static void
a_long_answer_waits_for_a_slow_reader(void **state)
{
	static char chunk[100000];
	size_t received = 0;
	int fd = connect_client();

	say(fd, "{\"command\":\"big\"}\n{\"command\":\"x\"}\n");
	do {
		settle(*state);
		received += strlen(heard(fd, chunk, sizeof(chunk)));
	} while (strchr(chunk, '\n') == NULL);
	settle(*state);
	received += strlen(heard(fd, chunk, sizeof(chunk)));
	assert_int_equal(received, BIG + strlen("{\"ok\":true,\"result\":{\"text\":\"\"}}\n"
						"{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n"));
	close(fd);
}

static void
a_client_that_vanishes_is_forgotten(void **state)
{
	int fd = connect_client();

	say(fd, "{\"command\":\"big\"}\n");
	pv_control_poll(*state);
	close(fd);
	settle(*state);
	assert_answer(*state, "{\"command\":\"x\"}\n", "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
}

static void
connect_all(struct pv_control *control, int *fds)
{
	for (int i = 0; i < PV_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		settle(control);
	}
}

static void
close_all(const int *fds)
{
	for (int i = 0; i < PV_CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void
one_client_too_many_is_told_so(void **state)
{
	int fds[PV_CONTROL_CLIENTS_MAX], extra;
	char text[256];

	connect_all(*state, fds);
	extra = connect_client();
	settle(*state);
	assert_string_equal(heard(extra, text, sizeof(text)), "{\"ok\":false,\"error\":\"too many clients\"}\n");
	assert_hung_up(extra);
	close(extra);
	close_all(fds);
	settle(*state);
	assert_answer(*state, "{\"command\":\"x\"}\n", "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
}

static void
a_stuck_client_makes_room_for_another(void **state)
{
	int fds[PV_CONTROL_CLIENTS_MAX];

	connect_all(*state, fds);
	say(fds[7], "{\"command\":\"big\"}\n");
	settle(*state);
	sleep(PV_CONTROL_STUCK_S + 1);
	assert_answer(*state, "{\"command\":\"x\"}\n", "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
	close_all(fds);
}

static void
nothing_to_do_means_not_readable(void **state)
{
	struct pollfd readable = { .fd = pv_control_fd(*state), .events = POLLIN };
	int fd = connect_client();

	assert_int_equal(poll(&readable, 1, 0), 1);
	settle(*state);
	assert_int_equal(poll(&readable, 1, 0), 0);
	close(fd);
}

static void
only_the_owner_may_connect(void **state)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
}

static void
a_second_server_is_refused(void **state)
{
	pv_log_set_level(PV_LOG_ERROR);
	assert_null(pv_control_open(path, handle));
	assert_int_equal(errno, EADDRINUSE);
	settle(*state);
	assert_answer(*state, "{\"command\":\"x\"}\n", "{\"ok\":false,\"error\":\"unknown command \\\"x\\\"\"}\n");
}

static void
closing_removes_the_socket_but_no_other(void **state)
{
	struct pv_control *control = *state;
	int fd;

	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	pv_control_close(control);
	assert_int_equal(access(path, F_OK), 0);
	assert_null(pv_control_open(path, handle));
	assert_int_equal(errno, EEXIST);
	assert_int_equal(unlink(path), 0);
	control = pv_control_open(path, handle);
	assert_non_null(control);
	pv_control_close(control);
	assert_int_equal(access(path, F_OK), -1);
	*state = NULL;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_request_gets_its_answer, open_server, close_server),
		cmocka_unit_test_setup_teardown(an_error_is_told_and_the_connection_stays, open_server, close_server),
		cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, open_server, close_server),
		cmocka_unit_test_setup_teardown(an_error_cut_in_a_character_is_still_sent, open_server, close_server),
		cmocka_unit_test_setup_teardown(requests_sent_together_are_answered_in_order, open_server,
						close_server),
		cmocka_unit_test_setup_teardown(one_poll_answers_one_request_of_a_client, open_server, close_server),
		cmocka_unit_test_setup_teardown(a_request_may_arrive_in_pieces, open_server, close_server),
		cmocka_unit_test_setup_teardown(a_client_that_stops_sending_still_gets_its_answers, open_server,
						close_server),
		cmocka_unit_test_setup_teardown(a_request_of_the_largest_size_is_taken_and_a_longer_one_cut_off,
						open_server, close_server),
		cmocka_unit_test_setup_teardown(a_long_answer_waits_for_a_slow_reader, open_server, close_server),
		cmocka_unit_test_setup_teardown(a_client_that_vanishes_is_forgotten, open_server, close_server),
		cmocka_unit_test_setup_teardown(one_client_too_many_is_told_so, open_server, close_server),
		cmocka_unit_test_setup_teardown(a_stuck_client_makes_room_for_another, open_server, close_server),
		cmocka_unit_test_setup_teardown(nothing_to_do_means_not_readable, open_server, close_server),
		cmocka_unit_test_setup_teardown(only_the_owner_may_connect, open_server, close_server),
		cmocka_unit_test_setup_teardown(a_second_server_is_refused, open_server, close_server),
		cmocka_unit_test_setup_teardown(closing_removes_the_socket_but_no_other, open_server, close_server),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
