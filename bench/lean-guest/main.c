/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lean-guest SOCKET SOCKET [split|packed [QUEUE_SIZE]]
 *
 * A guest with two vhost-user ports between which it passes frames on (loop.h), for measuring the switch and not the
 * guest. One thread, which polls. Once both ports are attached it says "ready"; then it takes commands, a line each,
 * and answers each with a line of JSON:
 *
 *     load COUNT SIZE[,SIZE...]   put COUNT frames of these sizes in turn on their way out of each port
 *     drain                       take every frame that comes in out of the circle, until the next load
 *     stats                       nothing but the answer
 *
 * It ends at the end of its input, or with status 1 when the switch closes a connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define ROUNDS 2048 /* between two looks at the commands, some milliseconds at most */
#define SIZES_MAX 64
#define LINE_MAX_BYTES 512

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void
print_port(const struct port *port)
{
	printf("{\"rx_packets\": %lu, \"rx_bytes\": %lu, \"tx_packets\": %lu, \"tx_bytes\": %lu, \"tx_full\": %lu, "
	       "\"bogus\": %lu, \"corrupt\": %lu, \"kicks\": %lu}",
	       port->rx_packets, port->rx_bytes, port->tx_packets, port->tx_bytes, port->tx_full, port->bogus,
	       port->corrupt, port->queues[QUEUE_RX].kicks + port->queues[QUEUE_TX].kicks);
}

static void
print_stats(const struct loop *loop)
{
	printf("{\"time_ns\": %lu, \"busy_cycles\": %lu, \"idle_cycles\": %lu, \"ports\": [", now_ns(),
	       loop->busy_cycles, loop->idle_cycles);
	print_port(&loop->ports[0]);
	printf(", ");
	print_port(&loop->ports[1]);
	puts("]}");
}

/* "64,570" to numbers; returns how many, 0 if there is a mistake. */
static uint32_t
parse_sizes(char *text, uint16_t *sizes)
{
	uint32_t count = 0;

	for (char *next = strtok(text, ","); next != NULL; next = strtok(NULL, ",")) {
		char *end;
		unsigned long size = strtoul(next, &end, 10);

		if (*end != '\0' || size < FRAME_MIN || size > FRAME_MAX || count == SIZES_MAX)
			return 0;
		sizes[count++] = (uint16_t)size;
	}
	return count;
}

static void
load(struct loop *loop, uint32_t count, char *text)
{
	uint16_t sizes[SIZES_MAX];
	uint32_t n_sizes = parse_sizes(text, sizes);

	if (n_sizes == 0) {
		printf("{\"error\": \"load: expected 1 to %d sizes of %d to %d bytes\"}\n", SIZES_MAX, FRAME_MIN,
		       FRAME_MAX);
		return;
	}
	loop->circulating = true;
	printf("{\"loaded\": %u}\n", loop_load(loop, count, sizes, n_sizes));
}

static void
obey(struct loop *loop, const char *line)
{
	char text[LINE_MAX_BYTES];
	unsigned int count;

	if (sscanf(line, "load %u %511s", &count, text) == 2) {
		load(loop, count, text);
	} else if (strcmp(line, "drain") == 0 || strcmp(line, "stats") == 0) {
		loop->circulating = loop->circulating && line[0] != 'd';
		print_stats(loop);
	} else {
		puts("{\"error\": \"unknown command: expected load, drain or stats\"}");
	}
	fflush(stdout);
}

/* Does what the input says; false at its end. It comes in whole lines. */
static bool
read_commands(struct loop *loop)
{
	char line[LINE_MAX_BYTES];
	ssize_t length = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	line[length] = '\0';
	for (char *rest = line, *next; (next = strsep(&rest, "\n")) != NULL;)
		if (*next != '\0')
			obey(loop, next);
	return true;
}

static bool
is_attached(const struct loop *loop)
{
	struct pollfd ends[PORTS];

	for (int i = 0; i < PORTS; i++)
		ends[i] = (struct pollfd){ .fd = loop->ports[i].connection, .events = POLLRDHUP };
	return poll(ends, PORTS, 0) == 0;
}

static int
serve(struct loop *loop)
{
	while (read_commands(loop)) {
		loop_run(loop, ROUNDS);
		if (!is_attached(loop)) {
			fputs("lean-guest: the switch has closed a connection\n", stderr);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

static bool
parse(int argc, char **argv, bool *packed, unsigned long *queue_size)
{
	char *end = "";

	if (argc < 3 || argc > 5)
		return false;
	*packed = argc > 3 && strcmp(argv[3], "packed") == 0;
	if (argc > 3 && !*packed && strcmp(argv[3], "split") != 0)
		return false;
	*queue_size = argc > 4 ? strtoul(argv[4], &end, 10) : 1024;
	return *end == '\0' && *queue_size >= 64 && *queue_size <= 32768 && (*queue_size & (*queue_size - 1)) == 0;
}

int
main(int argc, char **argv)
{
	static struct loop loop;
	unsigned long queue_size;
	bool packed;

	if (!parse(argc, argv, &packed, &queue_size)) {
		fputs("usage: lean-guest SOCKET SOCKET [split|packed [QUEUE_SIZE]]; QUEUE_SIZE: 64 to 32768, a power "
		      "of two (1024)\n",
		      stderr);
		return 2;
	}
	if (loop_make(&loop, (const char *const *)argv + 1, (uint16_t)queue_size, packed) != 0 ||
	    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0)
		return EXIT_FAILURE;
	puts("ready");
	fflush(stdout);
	return serve(&loop);
}
