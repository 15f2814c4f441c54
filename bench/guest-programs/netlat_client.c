/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client measures. */
#include "netlat.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_WAIT_US 1000000
#define QUESTION_WAIT_US 100000
#define QUESTIONS 100
#define PAUSE_US 300
#define FLOOD_BATCH 64
#define RUNS_MAX 1000000
#define SECONDS_MAX 3600

static union datagram buffer;

static void
print_times(const struct times *times_us)
{
	printf("{\"mean_us\": %.3f, \"ci95_us\": %.3f}", times_us->mean, times_ci95(times_us));
}

/* A socket whose receiving calls give up after this time. */
static int
open_datagrams(const struct sockaddr_in *to, suseconds_t wait_us)
{
	struct timeval wait = { .tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000 };
	int fd = open_socket(SOCK_DGRAM);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
		die("connect");
	return fd;
}

/* The server's tally; BEGIN empties it. Question and answer may get lost, above all behind a flood. */
static struct tally
question(const struct sockaddr_in *to, enum kind kind)
{
	int fd = open_datagrams(to, QUESTION_WAIT_US);
	struct head head = { .kind = (uint8_t)kind };
	struct tally tally;

	for (int i = 0; i < QUESTIONS; i++) {
		send(fd, &head, sizeof(head), 0);
		if (recv(fd, &tally, sizeof(tally), 0) != sizeof(tally))
			continue;
		close(fd);
		return tally;
	}
	fail("the server gives no answer");
}

/* Sends a datagram; returns when that began. */
static uint64_t
send_at(int fd, size_t size)
{
	uint64_t start = clock_now();

	buffer.head = (struct head){ .kind = ECHO, .sent_at = start };
	if (send(fd, buffer.bytes, size, 0) < 0)
		die("sendto");
	return start;
}

/* To the port at which nobody waits: a receiver that wakes up may take the sender's CPU. */
void
time_send(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	long size = number(arguments[2], sizeof(struct head), DATAGRAM_MAX), runs = number(arguments[3], 1, RUNS_MAX);
	struct times times_us = { 0 };
	int fd;

	to.sin_port = htons(ntohs(to.sin_port) + 1);
	fd = open_datagrams(&to, ANSWER_WAIT_US);
	for (long run = -(runs / 10); run < runs; run++) {
		uint64_t start = send_at(fd, (size_t)size), taken = clock_now() - start;

		if (run >= 0)
			times_add(&times_us, clock_us((double)taken));
		usleep(PAUSE_US);
	}
	print_times(&times_us);
	putchar('\n');
}

/* Waits for the datagram that was sent then, into the buffer; false when it does not come back. */
static bool
has_come_back(int fd, uint64_t sent_at)
{
	while (recv(fd, buffer.bytes, sizeof(buffer.bytes), 0) >= (ssize_t)sizeof(buffer.head))
		if (buffer.head.sent_at == sent_at)
			return true;
	return false;
}

void
time_echo(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	long size = number(arguments[2], sizeof(struct head), DATAGRAM_MAX), runs = number(arguments[3], 1, RUNS_MAX);
	struct times back_us = { 0 }, there_us = { 0 };
	int fd = open_datagrams(&to, ANSWER_WAIT_US);

	for (long run = -(runs / 10); run < runs; run++) {
		uint64_t start = send_at(fd, (size_t)size);

		if (has_come_back(fd, start) && run >= 0) {
			times_add(&back_us, clock_us((double)(clock_now() - start)));
			times_add(&there_us, clock_us((double)(int64_t)(buffer.head.delivered_at - start)));
		}
		usleep(PAUSE_US);
	}
	if (back_us.n == 0)
		fail("no datagram comes back");
	printf("{\"runs\": %ld, \"lost\": %lld, \"back\": ", runs, (long long)(runs - back_us.n));
	print_times(&back_us);
	printf(", \"there\": ");
	print_times(&there_us);
	printf("}\n");
}

void
time_getpid(char **arguments)
{
	long runs = number(arguments[0], 1, 10 * RUNS_MAX);
	struct times times_us = { 0 };

	for (long run = -(runs / 10); run < runs; run++) {
		uint64_t start = clock_now();

		syscall(SYS_getpid);
		if (run >= 0)
			times_add(&times_us, clock_us((double)(clock_now() - start)));
	}
	print_times(&times_us);
	putchar('\n');
}

void
count_round_trips(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	uint64_t wanted = clock_cycles(1e6 * (double)number(arguments[2], 1, SECONDS_MAX)), start, taken;
	int fd = open_socket(SOCK_STREAM);
	long n = 0;

	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	start = clock_now();
	do {
		if (send(fd, "r", 1, 0) != 1 || recv(fd, buffer.bytes, 1, 0) != 1)
			die("exchange of a byte");
		n++;
		taken = clock_now() - start;
	} while (taken < wanted);
	printf("{\"transactions\": %ld, \"rate\": %.3f}\n", n, (double)n * 1e6 / clock_us((double)taken));
}

/* All messages are the same datagram, to where the socket is connected. */
static int64_t
send_many(int fd, size_t size, uint64_t for_cycles)
{
	struct iovec piece = { .iov_base = buffer.bytes, .iov_len = size };
	struct mmsghdr messages[FLOOD_BATCH];
	uint64_t start = clock_now();
	int64_t n = 0;

	for (int i = 0; i < FLOOD_BATCH; i++)
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };
	buffer.head.kind = COUNTED;
	do {
		int sent = sendmmsg(fd, messages, FLOOD_BATCH, 0);

		if (sent < 0)
			die("sendmmsg");
		n += sent;
	} while (clock_now() - start < for_cycles);
	return n;
}

void
flood(char **arguments)
{
	struct sockaddr_in to = address_of(arguments[0], arguments[1]);
	long size = number(arguments[2], 1, DATAGRAM_MAX), seconds = number(arguments[3], 1, SECONDS_MAX);
	int fd = open_datagrams(&to, ANSWER_WAIT_US);
	struct tally tally;
	int64_t sent;

	question(&to, BEGIN);
	sent = send_many(fd, (size_t)size, clock_cycles(1e6 * (double)seconds));
	tally = question(&to, ASK);
	printf("{\"sent\": %lld, \"arrived\": %lld, \"rate\": %.3f}\n", (long long)sent, (long long)tally.n,
	       tally.n > 1 ? (double)(tally.n - 1) * 1e6 / tally.span_us : 0);
}
