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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "loop.h"

#define ROUNDS 2048 /* between two looks at the commands, some milliseconds at most */

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

static void
load(struct loop *loop, uint32_t count, char *text)
{
	uint16_t sizes[SIZES_MAX];
	uint32_t n_sizes = parse_sizes(text, FRAME_MIN, FRAME_MAX, sizes);

	if (n_sizes == 0) {
		printf("{\"error\": \"load: expected 1 to %d sizes of %d to %d bytes\"}\n", SIZES_MAX, FRAME_MIN,
		       FRAME_MAX);
		return;
	}
	loop->circulating = true;
	printf("{\"loaded\": %u}\n", loop_load(loop, count, sizes, n_sizes));
}

static void
obey(void *given, const char *line)
{
	struct loop *loop = given;
	char text[COMMAND_MAX];
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
	while (commands_read(obey, loop)) {
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
	    commands_do_not_wait() != 0)
		return EXIT_FAILURE;
	puts("ready");
	fflush(stdout);
	return serve(&loop);
}
