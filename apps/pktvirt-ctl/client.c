/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_NAME "pktvirt"
#define ANSWER_TIMEOUT_S 10
#define CHUNK 65536

/* With several daemons the user must choose. */
static int
say_several(const char *directory, const glob_t *found, char why[CLIENT_WHY_MAX])
{
	int length = snprintf(why, CLIENT_WHY_MAX, "several daemons are in %s; choose one with --name:", directory);

	for (size_t i = 0; i < found->gl_pathc && length < CLIENT_WHY_MAX; i++) {
		const char *file = strrchr(found->gl_pathv[i], '/') + 1;

		length += snprintf(why + length, CLIENT_WHY_MAX - length, " %.*s", (int)(strlen(file) - strlen(".ctl")),
				   file);
	}
	return -1;
}

int
client_find_socket(const char *directory, const char *name, char *path, size_t size, char why[CLIENT_WHY_MAX])
{
	glob_t found = { 0 };
	int result = 0;

	snprintf(path, size, "%s/%s.ctl", directory, name != NULL ? name : DEFAULT_NAME);
	if (name == NULL && access(path, F_OK) < 0) {
		char pattern[CLIENT_WHY_MAX];

		snprintf(pattern, sizeof(pattern), "%s/*.ctl", directory);
		if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1)
			snprintf(path, size, "%s", found.gl_pathv[0]);
		else if (found.gl_pathc > 1)
			result = say_several(directory, &found, why);
		globfree(&found);
	}
	return result;
}

static void
explain_connect(int error, const char *path, char why[CLIENT_WHY_MAX])
{
	if (error == ENOENT || error == ECONNREFUSED)
		snprintf(why, CLIENT_WHY_MAX, "%s: no daemon is listening there; start one with: pktvirt --config FILE",
			 path);
	else if (error == EACCES)
		snprintf(why, CLIENT_WHY_MAX, "%s: permission denied; run pktvirt-ctl as the daemon's user", path);
	else
		snprintf(why, CLIENT_WHY_MAX, "%s: %s", path, strerror(error));
}

int
client_connect(const char *path, char why[CLIENT_WHY_MAX])
{
	const struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		explain_connect(ENAMETOOLONG, path, why);
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	explain_connect(errno, path, why);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
send_line(int fd, const char *line)
{
	size_t length = strlen(line), sent = 0;

	while (sent < length) {
		ssize_t n = send(fd, line + sent, length - sent, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		sent += n < 0 ? 0 : n;
	}
	return send(fd, "\n", 1, MSG_NOSIGNAL) == 1;
}

/* One line, which the caller frees; NULL with errno set, 0 for the end of the connection. */
static char *
receive_line(int fd)
{
	char *line = NULL;
	size_t length = 0;
	ssize_t n;

	do {
		char *longer = realloc(line, length + CHUNK + 1);

		if (longer == NULL)
			break;
		line = longer;
		n = recv(fd, line + length, CHUNK, 0);
		if (n == 0)
			errno = 0;
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		length += n < 0 ? 0 : n;
		line[length] = '\0';
		if (length > 0 && line[length - 1] == '\n')
			return line;
	} while (true);
	free(line);
	return NULL;
}

static char *
exchange(int fd, json_t *request, char why[CLIENT_WHY_MAX])
{
	char *line = json_dumps(request, JSON_COMPACT);
	char *answer = NULL;

	if (line != NULL && send_line(fd, line))
		answer = receive_line(fd);
	free(line);
	if (answer != NULL)
		return answer;
	if (errno == EAGAIN)
		snprintf(why, CLIENT_WHY_MAX, "the daemon has not answered for %d s", ANSWER_TIMEOUT_S);
	else
		snprintf(why, CLIENT_WHY_MAX, "the daemon closed the connection%s%s", errno == 0 ? "" : ": ",
			 errno == 0 ? "" : strerror(errno));
	return NULL;
}

json_t *
client_ask(int fd, json_t *request, char why[CLIENT_WHY_MAX])
{
	char *line = exchange(fd, request, why);
	json_t *answer, *result;

	json_decref(request);
	if (line == NULL)
		return NULL;
	answer = json_loads(line, 0, NULL);
	free(line);
	result = json_incref(json_object_get(answer, "result"));
	if (result == NULL) {
		const char *error = json_string_value(json_object_get(answer, "error"));

		snprintf(why, CLIENT_WHY_MAX, "%s", error != NULL ? error : "the daemon's answer is not understood");
	}
	json_decref(answer);
	return result;
}
