/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sockpath.h"

#define WHO "control"
#define BACKLOG 16
#define SOCKET_MODE 0600
#define ERROR_MAX 2048 /* bytes: all mistakes of a port */

struct client {
	int fd;	       /* -1: the slot is free */
	bool closing;  /* nothing more is read; closed when the answers are out */
	char *request; /* PV_CONTROL_REQUEST_MAX bytes, of which request_length are used */
	size_t request_length;
	char *answer; /* what is being sent, or NULL */
	size_t answer_length, answer_sent;
	time_t answered_s; /* when `answer` was made */
};

struct pv_control {
	int epoll;
	int listener;
	struct sockaddr_un address;
	struct stat socket; /* to remove no other's */
	pv_control_handler handler;
	struct client clients[PV_CONTROL_CLIENTS_MAX];
};

static time_t
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Adds or changes what epoll reports for `fd`: `owner` is the client, or NULL for the listener. */
static int
watch(struct pv_control *control, int operation, int fd, uint32_t events, struct client *owner)
{
	struct epoll_event event = { .events = events, .data.ptr = owner };

	return epoll_ctl(control->epoll, operation, fd, &event);
}

static void
drop_client(struct client *client)
{
	close(client->fd);
	free(client->request);
	free(client->answer);
	*client = (struct client){ .fd = -1 };
}

static bool
has_line(const struct client *client)
{
	return memchr(client->request, '\n', client->request_length) != NULL;
}

/* Takes `answer` as the line to send. */
static void
queue_answer(struct client *client, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);

	json_decref(answer);
	if (text == NULL) {
		client->closing = true;
		return;
	}
	client->answer = text;
	client->answer_length = strlen(text);
	client->answer[client->answer_length++] = '\n'; /* in the place of the terminator */
	client->answer_sent = 0;
	client->answered_s = now_s();
}

static json_t *
failure(const char *error)
{
	size_t length = strlen(error);
	json_t *text;

	/* A text that did not fit may end in the middle of a character, and then is no JSON string. */
	while ((text = json_stringn(error, length)) == NULL && length > 0)
		length--;
	return json_pack("{s:b, s:o}", "ok", false, "error", text);
}

static json_t *
answer_command(struct pv_control *control, json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	char error[ERROR_MAX] = "failed";
	json_t *result;

	if (command == NULL)
		return failure("expected an object with \"command\": a string");
	result = control->handler(command, request, error, sizeof(error));
	return result == NULL ? failure(error) : json_pack("{s:b, s:o}", "ok", true, "result", result);
}

static json_t *
answer_line(struct pv_control *control, const char *line, size_t length)
{
	json_error_t mistake;
	json_t *request = json_loadb(line, length, 0, &mistake);
	json_t *answer;
	char error[ERROR_MAX];

	if (request == NULL) {
		snprintf(error, sizeof(error), "the request is not JSON: %s", mistake.text);
		return failure(error);
	}
	answer = answer_command(control, request);
	json_decref(request);
	return answer;
}

/* Answers the first line of what was received. */
static void
answer_first_line(struct pv_control *control, struct client *client)
{
	char *end = memchr(client->request, '\n', client->request_length);
	size_t length = end - client->request;

	queue_answer(client, answer_line(control, client->request, length));
	client->request_length -= length + 1;
	memmove(client->request, end + 1, client->request_length);
}

static void
refuse_long_request(struct client *client)
{
	char error[ERROR_MAX];

	snprintf(error, sizeof(error), "the request is longer than %d bytes", PV_CONTROL_REQUEST_MAX);
	queue_answer(client, failure(error));
	client->closing = true;
}

/* Receives more of a line that is not complete. False: the client is gone. */
static bool
receive(struct client *client)
{
	size_t room = PV_CONTROL_REQUEST_MAX - client->request_length;
	ssize_t length = recv(client->fd, client->request + client->request_length, room, MSG_DONTWAIT);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR;
	if (length == 0)
		client->closing = true;
	client->request_length += length;
	if (client->request_length == PV_CONTROL_REQUEST_MAX && !has_line(client))
		refuse_long_request(client);
	return true;
}

/* Sends what the socket takes. False: the client is gone. */
static bool
send_answer(struct client *client)
{
	const char *rest = client->answer + client->answer_sent;
	ssize_t length =
		send(client->fd, rest, client->answer_length - client->answer_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR;
	client->answer_sent += length;
	if (client->answer_sent == client->answer_length) {
		free(client->answer);
		client->answer = NULL;
	}
	return true;
}

/* One round for a client that epoll has reported. False: it is gone or done with. */
static bool
serve(struct pv_control *control, struct client *client)
{
	if (client->answer == NULL && !client->closing && !has_line(client) && !receive(client))
		return false;
	if (client->answer == NULL && has_line(client))
		answer_first_line(control, client);
	if (client->answer != NULL && !send_answer(client))
		return false;
	return client->answer != NULL || has_line(client) || !client->closing;
}

static void
serve_and_rearm(struct pv_control *control, struct client *client)
{
	uint32_t events = EPOLLIN;

	if (!serve(control, client)) {
		drop_client(client);
		return;
	}
	/* A socket with room is reported at once, which is how requests that are already here get their turn. */
	if (client->answer != NULL || has_line(client))
		events = EPOLLOUT;
	watch(control, EPOLL_CTL_MOD, client->fd, events, client);
}

static struct client *
free_slot(struct pv_control *control)
{
	for (size_t i = 0; i < PV_CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i].fd < 0)
			return &control->clients[i];
	return NULL;
}

/* Cuts off the client that has not read its answer for longest; its slot, or NULL when all are reading. */
static struct client *
cut_off_stuck_client(struct pv_control *control)
{
	struct client *stuck = NULL;
	time_t since = now_s() - PV_CONTROL_STUCK_S;

	for (size_t i = 0; i < PV_CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &control->clients[i];

		if (client->answer == NULL || client->answered_s > since)
			continue;
		since = client->answered_s;
		stuck = client;
	}
	if (stuck != NULL)
		drop_client(stuck);
	return stuck;
}

static void
turn_away(int fd)
{
	static const char answer[] = "{\"ok\":false,\"error\":\"too many clients\"}\n";

	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void
admit(struct pv_control *control, int fd)
{
	struct client *client = free_slot(control);

	if (client == NULL)
		client = cut_off_stuck_client(control);
	if (client == NULL) {
		turn_away(fd);
		return;
	}
	client->fd = fd;
	client->request = malloc(PV_CONTROL_REQUEST_MAX);
	if (client->request == NULL || watch(control, EPOLL_CTL_ADD, fd, EPOLLIN, client) < 0)
		drop_client(client);
}

/* Until nobody waits: the listener is reported once per arrival, so that a lack of descriptors is no busy loop. */
static void
accept_clients(struct pv_control *control)
{
	int fd;

	while ((fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		admit(control, fd);
	if (errno != EAGAIN)
		pv_warning(WHO, "cannot accept a client: %s", strerror(errno));
}

/* The mode is set on the descriptor first, since the path gets it when it appears. */
static int
bind_and_listen(struct pv_control *control)
{
	const struct sockaddr *address = (const struct sockaddr *)&control->address;

	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (control->listener < 0 || fchmod(control->listener, SOCKET_MODE) < 0 ||
	    bind(control->listener, address, sizeof(control->address)) < 0)
		return -errno;
	if (lstat(control->address.sun_path, &control->socket) < 0 || listen(control->listener, BACKLOG) < 0)
		return -errno;
	return watch(control, EPOLL_CTL_ADD, control->listener, EPOLLIN | EPOLLET, NULL) < 0 ? -errno : 0;
}

static struct pv_control *
new_control(const char *path, pv_control_handler handler)
{
	struct pv_control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return NULL;
	for (size_t i = 0; i < PV_CONTROL_CLIENTS_MAX; i++)
		control->clients[i].fd = -1;
	control->handler = handler;
	control->listener = -1;
	control->address.sun_family = AF_UNIX;
	memcpy(control->address.sun_path, path, strlen(path));
	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll >= 0)
		return control;
	free(control);
	return NULL;
}

struct pv_control *
pv_control_open(const char *path, pv_control_handler handler)
{
	struct pv_control *control = NULL;
	char why[256];
	int result = pv_socket_path_prepare(path, why, sizeof(why));

	if (result == 0) {
		control = new_control(path, handler);
		result = control == NULL ? -errno : bind_and_listen(control);
		snprintf(why, sizeof(why), "cannot listen there: %s", strerror(-result));
	}
	if (result == 0)
		return control;
	pv_error(WHO, "%s: %s", path, why);
	pv_control_close(control);
	errno = -result;
	return NULL;
}

static void
remove_socket(const struct pv_control *control)
{
	struct stat there;

	if (lstat(control->address.sun_path, &there) == 0 && there.st_ino == control->socket.st_ino &&
	    there.st_dev == control->socket.st_dev)
		unlink(control->address.sun_path);
}

void
pv_control_close(struct pv_control *control)
{
	if (control == NULL)
		return;
	for (size_t i = 0; i < PV_CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i].fd >= 0)
			drop_client(&control->clients[i]);
	remove_socket(control);
	if (control->listener >= 0)
		close(control->listener);
	close(control->epoll);
	free(control);
}

int
pv_control_fd(const struct pv_control *control)
{
	return control->epoll;
}

void
pv_control_poll(struct pv_control *control)
{
	struct epoll_event events[PV_CONTROL_CLIENTS_MAX + 1];
	int n = epoll_wait(control->epoll, events, PV_CONTROL_CLIENTS_MAX + 1, 0);
	bool arrival = false;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == NULL)
			arrival = true;
		else
			serve_and_rearm(control, events[i].data.ptr);
	}
	/* Last, so that no event above is about a client that had the slot before. */
	if (arrival)
		accept_clients(control);
}
