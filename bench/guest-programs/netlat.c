/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlat: how long it takes to send a datagram, to have it back, and to exchange a byte over TCP; for guests and for
 * namespaces of the host. Results are one line of JSON.
 *
 *     netlat serve PORT                        answer the others, until killed
 *     netlat send ADDRESS PORT SIZE RUNS       elapsed time of sendto(), as Koh et al. (LCN 2006) measured it
 *     netlat echo ADDRESS PORT SIZE RUNS       round trips of datagrams
 *     netlat rr ADDRESS PORT SECONDS           round trips of one byte over a TCP connection
 *     netlat getpid RUNS                       elapsed time of the smallest system call
 *
 * Times are means with the half width of their 95 % interval, in microseconds; a tenth of the runs goes before as
 * warming up. Datagrams are paced, so that none waits for another.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_MAX 65507
#define ANSWER_WAIT_MS 1000
#define PAUSE_US 300
#define CONNECTIONS_MAX 16

static unsigned char buffer[DATAGRAM_MAX];

static void
die(const char *what)
{
	fprintf(stderr, "netlat: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static double
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static long
number(const char *text, long low, long high)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < low || value > high) {
		fprintf(stderr, "netlat: \"%s\": expected %ld to %ld\n", text, low, high);
		exit(2);
	}
	return value;
}

static struct sockaddr_in
address_of(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(port, 1, 65535)) };

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "netlat: \"%s\": expected an IPv4 address\n", host);
		exit(2);
	}
	return address;
}

static int
open_socket(int type)
{
	int fd = socket(AF_INET, type, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

static void
print_times(const double *times, long n, long lost)
{
	double sum = 0, squares = 0, mean;

	for (long i = 0; i < n; i++)
		sum += times[i];
	mean = n > 0 ? sum / (double)n : 0;
	for (long i = 0; i < n; i++)
		squares += (times[i] - mean) * (times[i] - mean);
	printf("{\"runs\": %ld, \"lost\": %ld, \"mean_us\": %.3f, \"ci95_us\": %.3f}\n", n, lost, mean,
	       n > 1 ? 1.96 * sqrt(squares / (double)(n - 1) / (double)n) : 0);
}

/* Sends one datagram, and waits for it to come back if `echo`; how long that took, or -1 when it did not. */
static double
send_one(int fd, const struct sockaddr_in *to, size_t size, int echo)
{
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	double start = now_us();

	buffer[0] = echo ? 'e' : 's';
	if (sendto(fd, buffer, size, 0, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die("sendto");
	if (!echo)
		return now_us() - start;
	if (poll(&answer, 1, ANSWER_WAIT_MS) != 1 || recv(fd, buffer, sizeof(buffer), 0) < 0)
		return -1;
	return now_us() - start;
}

static void
time_datagrams(char **arguments, int echo)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	long size = number(arguments[2], 1, DATAGRAM_MAX), runs = number(arguments[3], 1, 1000000), n = 0, lost = 0;
	double *times = calloc((size_t)runs, sizeof(*times));
	int fd = open_socket(SOCK_DGRAM);

	if (times == NULL)
		die("memory");
	for (long run = -(runs / 10); run < runs; run++) {
		double taken = send_one(fd, &to, (size_t)size, echo);

		usleep(PAUSE_US);
		if (run < 0)
			continue;
		if (taken < 0)
			lost++;
		else
			times[n++] = taken;
	}
	print_times(times, n, lost);
	free(times);
}

static void
time_getpid(long runs)
{
	double *times = calloc((size_t)runs, sizeof(*times));

	if (times == NULL)
		die("memory");
	for (long run = -(runs / 10); run < runs; run++) {
		double start = now_us();

		syscall(SYS_getpid);
		if (run >= 0)
			times[run] = now_us() - start;
	}
	print_times(times, runs, 0);
	free(times);
}

static void
count_round_trips(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	double seconds = (double)number(arguments[2], 1, 3600), start, end;
	int fd = open_socket(SOCK_STREAM);
	long n = 0;

	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	start = now_us();
	end = start + seconds * 1e6;
	do {
		if (send(fd, "r", 1, 0) != 1 || recv(fd, buffer, 1, 0) != 1)
			die("exchange of a byte");
		n++;
	} while (now_us() < end);
	printf("{\"transactions\": %ld, \"rate\": %.3f}\n", n, (double)n * 1e6 / (now_us() - start));
}

/* --- answering ---------------------------------------------------------------------------------------------------- */

static void
answer_datagram(int fd)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	ssize_t size = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length);

	if (size > 0 && buffer[0] == 'e')
		sendto(fd, buffer, (size_t)size, 0, (const struct sockaddr *)&from, length);
}

/* False when the other side has ended the connection. */
static int
answer_bytes(int fd)
{
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0);

	return size > 0 && send(fd, buffer, (size_t)size, MSG_NOSIGNAL) == size;
}

static void
serve(const char *port)
{
	struct sockaddr_in any = address_of("0.0.0.0", port);
	struct pollfd fds[2 + CONNECTIONS_MAX] = { { .fd = open_socket(SOCK_DGRAM), .events = POLLIN },
						   { .fd = open_socket(SOCK_STREAM), .events = POLLIN } };
	nfds_t n = 2;

	for (int i = 0; i < 2; i++)
		if (bind(fds[i].fd, (const struct sockaddr *)&any, sizeof(any)) != 0)
			die("bind");
	if (listen(fds[1].fd, CONNECTIONS_MAX) != 0)
		die("listen");
	for (;;) {
		if (poll(fds, n, -1) < 0)
			die("poll");
		if (fds[0].revents != 0)
			answer_datagram(fds[0].fd);
		for (nfds_t i = 2; i < n; i++) {
			if (fds[i].revents == 0 || answer_bytes(fds[i].fd))
				continue;
			close(fds[i].fd);
			fds[i--] = fds[--n];
		}
		if (fds[1].revents != 0 && n < 2 + CONNECTIONS_MAX)
			fds[n++] = (struct pollfd){ .fd = accept(fds[1].fd, NULL, NULL), .events = POLLIN };
	}
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	else if (argc == 6 && (strcmp(argv[1], "send") == 0 || strcmp(argv[1], "echo") == 0))
		time_datagrams(argv + 2, strcmp(argv[1], "echo") == 0);
	else if (argc == 5 && strcmp(argv[1], "rr") == 0)
		count_round_trips(argv + 2);
	else if (argc == 3 && strcmp(argv[1], "getpid") == 0)
		time_getpid(number(argv[2], 1, 10000000));
	else {
		fputs("Usage: netlat serve PORT | send|echo ADDRESS PORT SIZE RUNS | rr ADDRESS PORT SECONDS | "
		      "getpid RUNS\n",
		      stderr);
		return 2;
	}
	return 0;
}
