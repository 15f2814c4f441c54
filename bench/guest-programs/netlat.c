/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlat: how long it takes to send a datagram, to have it delivered and to have it back, how many can be sent, and how
 * long an exchange of a byte over TCP takes; for guests and for namespaces of the host. Results are one line of JSON.
 *
 *     netlat serve PORT                        answer the others, until killed
 *     netlat send ADDRESS PORT SIZE RUNS       elapsed time of sendto(), as Koh et al. (LCN 2006) measured it
 *     netlat echo ADDRESS PORT SIZE RUNS       time from sendto() until the datagram is back, and until the server,
 *                                              which waits for it, has it ("there"; means something only where both
 *                                              ends have the same time stamp counter)
 *     netlat flood ADDRESS PORT SIZE SECONDS   datagrams as fast as they can be sent, and how many arrive
 *     netlat rr ADDRESS PORT SECONDS           round trips of one byte over a TCP connection
 *     netlat getpid RUNS                       elapsed time of the smallest system call
 *     netlat clock                             what the clocks are worth
 *
 * Times are means with the half width of their 95 % interval, in microseconds; a tenth of the runs goes before as
 * warming up. Datagrams of send and echo are paced, so that none waits for another.
 */
#include "netlat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static const char usage[] =
	"Usage: netlat serve PORT | send|echo ADDRESS PORT SIZE RUNS | flood ADDRESS PORT SIZE SECONDS |\n"
	"       rr ADDRESS PORT SECONDS | getpid RUNS | clock\n";

void
fail(const char *format, ...)
{
	va_list arguments;

	fputs("netlat: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void
die(const char *what)
{
	fail("%s: %s", what, strerror(errno));
}

long
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

struct sockaddr_in
address_of(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(port, 1, 65534)) };

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "netlat: \"%s\": expected an IPv4 address\n", host);
		exit(2);
	}
	return address;
}

int
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

/* The counter and its rate, the smallest step that CLOCK_MONOTONIC was seen to make, and what a look at it takes. */
static void
print_clock(char **arguments)
{
	enum { LOOKS = 1000 };
	struct timespec last, now;
	double smallest = 1e9;
	uint64_t start = clock_now();

	clock_gettime(CLOCK_MONOTONIC, &last);
	for (int i = 0; i < LOOKS; i++) {
		double step;

		clock_gettime(CLOCK_MONOTONIC, &now);
		step = (double)(now.tv_sec - last.tv_sec) * 1e9 + (double)(now.tv_nsec - last.tv_nsec);
		if (step > 0 && step < smallest)
			smallest = step;
		last = now;
	}
	printf("{\"tsc\": %llu, \"tsc_hz\": %.0f, \"step_us\": %.3f, \"look_us\": %.3f}\n",
	       (unsigned long long)clock_now(), clock_hz(), smallest / 1e3,
	       clock_us((double)(clock_now() - start)) / LOOKS);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		void (*run)(char **arguments);
	} modes[] = {
		{ "serve", 1, serve },	     { "send", 4, time_send },	     { "echo", 4, time_echo },
		{ "flood", 4, flood },	     { "rr", 3, count_round_trips }, { "getpid", 1, time_getpid },
		{ "clock", 0, print_clock },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (argc != 2 + modes[i].arguments || strcmp(argv[1], modes[i].name) != 0)
			continue;
		clock_begin();
		modes[i].run(argv + 2);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
